//! `isacbench page`

use super::print::say;
use crate::config::user_sets;
use crate::files::{entries, if_there, write_whole};
use crate::report::live::Trained;
use crate::run::checkpoint::{Checkpoint, task_of};
use crate::run::errors::CheckpointError;
use crate::run::rows::sources;
use crate::run::task::Task;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct PageArgs {
    /// Folder for the live page, index.html
    #[arg(long, value_name = "DIR")]
    live: PathBuf,
    /// Task to run [default: that of the checkpoint, else the first that has such a page]
    #[arg(long)]
    pub(super) task: Option<String>,
    /// Trained weights that drive it: a file, or the folder of a training [default: a policy inside the program]
    #[arg(long, value_name = "PATH")]
    checkpoint: Option<PathBuf>,
    /// Which replica of the checkpoint, from 0
    #[arg(long, default_value_t = 0, value_name = "R", requires = "checkpoint")]
    replica: usize,
    /// Agent that drives at first: that of the checkpoint, or one without weights [default: that of the checkpoint]
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Environments side by side
    #[arg(long, default_value_t = 256, value_name = "N")]
    envs: usize,
    /// Override a configuration key, for example --set task.p_max_dbm=30 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Overwrite what the folder holds
    #[arg(long)]
    force: bool,
}

/// Most environments of a page: what a phone's browser still draws.
const MOST_ENVS: usize = 65_536;

impl PageArgs {
    /// The checkpoint's file: the folder of a training holds one.
    fn file(&self) -> Option<PathBuf> {
        let path = self.checkpoint.as_ref()?;
        Some(if path.is_dir() { path.join("checkpoint.safetensors") } else { path.clone() })
    }

    /// The task that is meant, by its name or its checkpoint.
    pub(super) fn task(&self) -> Result<Option<String>> {
        match (&self.task, self.file()) {
            (Some(name), _) => Ok(Some(name.clone())),
            (None, Some(file)) => Ok(Some(task_of(&file)?)),
            (None, None) => Ok(None),
        }
    }
}

/// The name of a policy inside the program, in errors.
const INSIDE: &str = "policy inside the program";

pub(super) fn page<C: Task>(a: &PageArgs) -> Result<()> {
    let Some(inside) = C::LIVE_POLICY else { bail!("task {} has no live page yet", C::NAME) };
    if !(1..=MOST_ENVS).contains(&a.envs) {
        bail!("--envs {}: 1 to {MOST_ENVS}", a.envs);
    }
    let page = a.live.join("index.html");
    vacant(&a.live, a.force)?;
    let saved = match a.file() {
        Some(file) => Checkpoint::<C>::load(&file)?,
        None => Checkpoint::from_bytes(inside, INSIDE.into())?,
    };
    let (config, trained) = policy(a, &saved)?;
    let live = config.live(&trained, a.agent.as_deref(), a.envs);
    let live = live.with_context(|| format!("task {} has no live page yet", C::NAME))??;
    let html = live.html();
    write_whole(&page, html.as_bytes()).with_context(|| format!("cannot write '{}'", page.display()))?;
    let drives = a.agent.as_deref().unwrap_or(&trained.agent);
    say!("{}: agent {drives}, {} environments ({} kB)", page.display(), a.envs, html.len() / 1000);
    Ok(())
}

/// That nothing is lost in the folder.
fn vacant(dir: &Path, force: bool) -> Result<()> {
    if dir.is_file() {
        bail!("--live '{}': a file; name a folder, which gets an index.html", dir.display());
    }
    let there = if_there(entries(dir)).with_context(|| format!("cannot read '{}'", dir.display()))?;
    if !force && there.is_some_and(|there| !there.is_empty()) {
        bail!(
            "'{}' is not empty; overwrite its index.html with --force, or choose another folder",
            dir.display()
        );
    }
    Ok(())
}

/// The replica that drives, and the configuration that it drives in.
fn policy<C: Task>(a: &PageArgs, saved: &Checkpoint<C>) -> Result<(C, Trained)> {
    let (file, r) = (a.file(), a.replica);
    let file = file.map_or(INSIDE.into(), |f| f.display().to_string());
    if r >= saved.seeds.len() {
        bail!("--replica {r}: the checkpoint has replicas 0 to {}", saved.seeds.len() - 1);
    }
    let (swept, seed) = (saved.swept[r], saved.seeds[r]);
    let agent =
        C::agent(&saved.agent).ok_or_else(|| CheckpointError::Damaged(file.clone(), "no agent".into()))?;
    let config = saved.config.with(&a.sets)?;
    let other = config.other_decision(&saved.config, agent);
    if !other.is_empty() {
        bail!(
            "--set: '{file}' was trained with another value of {}, so its policy does not fit; --checkpoint takes one \
             that does",
            other.join(", ")
        );
    }
    let key = format!("task.{}", C::SCHEMA.swept.name);
    let config = if user_sets(None, &a.sets, &key)? { config } else { config.at(swept) };
    let algorithm = config.algorithm_at(agent, &[(config.swept(), seed)]).expect("a learned agent");
    let params = saved.weights_of([r]).state.params;
    let revision = match sources() {
        (Some(revision), dirty) => {
            let changed = if dirty == Some(true) { " with local changes" } else { "" };
            format!("revision {}{changed}", revision.get(..12).unwrap_or(revision))
        }
        (None, _) => "unknown revision".into(),
    };
    let about = format!(
        "policy {}, {} updates, seed {seed}, trained at {swept} {}; isacbench {}, {revision}",
        saved.agent,
        saved.state.updates,
        C::SWEPT.unit,
        env!("CARGO_PKG_VERSION")
    );
    Ok((config, Trained { agent: saved.agent.clone(), algorithm, params, about }))
}
