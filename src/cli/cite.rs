//! `isacbench cite`

use super::Tasks;
use super::print::say;
use crate::run::journal;
use crate::run::rows::{Manifest, sources};
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct CiteArgs {
    /// Folder of a training, an experiment or a bench, whose command, revision and device are to be told
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Only the paper of this task
    #[arg(long)]
    task: Option<String>,
}

/// Prints what to cite.
pub(super) fn cite(a: &CiteArgs, tasks: &Tasks) -> Result<()> {
    let manifest = match &a.run {
        None => None,
        Some(dir) => match journal::read(dir)? {
            Some(manifest) => Some(manifest),
            None => bail!("'{}' holds no manifest.json of a run", dir.display()),
        },
    };
    let task = a.task.clone().or_else(|| manifest.as_ref().map(|m| m.task.clone()));
    if let Some(name) = &task {
        super::tasks::find(tasks, Some(name), None)?;
    }
    say!("{}", program(sources().0));
    for t in tasks.iter().filter(|t| task.as_deref().is_none_or(|name| t.name() == name)) {
        if !t.cite().is_empty() {
            say!("{}", t.cite().trim_end());
        }
    }
    if let Some(manifest) = &manifest {
        say!("% {}", line(manifest));
    }
    Ok(())
}

/// The program as BibTeX.
fn program(revision: Option<&str>) -> String {
    let note = revision.map_or(String::new(), |r| format!(",\n  note = {{revision {r}}}"));
    format!(
        "@software{{isacbench,\n  title = {{isacbench: learned control for integrated sensing and communication, re-runnable}},\n  \
         author = {{{{The isacbench developers}}}},\n  version = {{{}}}{note}\n}}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Where the numbers of a run come from, in a line.
fn line(m: &Manifest) -> String {
    let changed = if m.git_dirty == Some(true) { " with changes" } else { "" };
    let revision =
        m.git_revision.as_ref().map_or("an unknown revision".into(), |r| format!("revision {r}{changed}"));
    let began = m.started_utc.as_ref().map_or(String::new(), |t| format!(", begun {t}"));
    let seeds = m.seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "numbers of `{}` by isacbench {}, {revision}, on {}{began}; seeds {seeds}; configuration in its manifest.json",
        m.command, m.crate_version, m.device
    )
}
