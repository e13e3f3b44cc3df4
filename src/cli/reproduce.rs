//! `isacbench reproduce`

use super::folder::{self, Again, Folder};
use super::print::{note, say};
use super::watch::{Bars, end_in_order};
use super::{Common, Place, manifest, place};
use crate::num::stats::once;
use crate::run::journal::Journal;
use crate::run::reproduce::{self, Way};
use crate::run::rows::{Manifest, Rows};
use crate::run::task::Task;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ReproduceArgs {
    /// A paper's figures (spiking-ac, rl-h-moe), rate-penalty (sum-rate against energy), front (the same of networks of
    /// many sizes, spiking and dense), beams (every learned agent with every parameterisation of the beams), readings
    /// (which claims of each paper survive what it leaves open), or all (each in a folder of its own; --set and
    /// --config then take keys that all of them have)
    #[arg(value_name = "EXPERIMENT")]
    pub(super) experiment: String,
    #[command(flatten)]
    pub(super) common: Common,
    /// Only what is of this task
    #[arg(long)]
    pub(super) task: Option<String>,
    /// smoke (minutes: does everything run?), quick (half an hour on two cores) or full (a GPU)
    #[arg(long, default_value = "smoke", value_parser = ["smoke", "quick", "study", "full"])]
    pub(super) scale: String,
    /// Folder for the report [default: runs/EXPERIMENT-SCALE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    again: Again,
    /// Read the device's energy counter, if it has one: half a minute for each learned agent
    #[arg(long)]
    measure_energy: bool,
}

/// An experiment with its configuration.
pub trait Reproduction {
    /// Name of its task.
    fn task(&self) -> &'static str;
    /// Runs it and writes its report. `before` is what the processes before this one left.
    ///
    /// # Errors
    /// What stopped it.
    fn run(&self, way: Way, place: &Place, before: Option<Manifest>) -> Result<()>;
}

/// An experiment of the task whose configuration is `C`.
pub(super) struct Of<C> {
    pub experiment: String,
    pub config: C,
}

impl<C: Task> Reproduction for Of<C> {
    fn task(&self) -> &'static str {
        C::NAME
    }
    fn run(&self, way: Way, place: &Place, before: Option<Manifest>) -> Result<()> {
        let agents = once(self.config.runs().into_iter().map(|run| run.agent.id.to_string()));
        let now =
            Manifest { experiment: Some(self.experiment.clone()), ..manifest(&self.config, &agents, place) };
        let journal = Journal::new(way.out, now, before);
        let way = Way { journal: Some(&journal), ..way };
        let rows = reproduce::reproduce(&self.config, &way)?;
        write::<C>(&self.experiment, way.out, &rows, &journal.now())
    }
}

impl ReproduceArgs {
    /// Whether every experiment is asked for.
    pub(super) fn all(&self) -> bool {
        self.experiment == "all"
    }
}

/// Experiments by name.
pub(super) type Jobs = Vec<(&'static str, Box<dyn Reproduction>)>;

/// Runs the experiments that are asked for.
pub(super) fn run(a: &ReproduceArgs, jobs: Jobs) -> Result<()> {
    let place = &place(&a.common.device)?;
    // All of them before the first begins: what one of them would be refused is said before hours of work, not after.
    let mut folders: Vec<(PathBuf, Folder)> = Vec::new();
    for (name, job) in &jobs {
        let mut out = match &a.out {
            Some(dir) if a.all() => dir.join(name),
            Some(dir) => dir.clone(),
            None => PathBuf::from(format!("runs/{name}-{}", a.scale)),
        };
        // An experiment of several tasks has a folder for each.
        if jobs.iter().filter(|j| j.0 == *name).count() > 1 {
            out.push(job.task());
        }
        let folder = folder::for_reproduction(&out, a.again, job.task(), name)?;
        folders.push((out, folder));
    }
    end_in_order()?;
    let known: Vec<(String, PathBuf)> = jobs
        .iter()
        .zip(&folders)
        .map(|((name, job), (out, _))| match jobs.iter().filter(|j| j.0 == *name).count() {
            1 => (name.to_string(), out.clone()),
            _ => (format!("{name}, task {}", job.task()), out.clone()),
        })
        .collect();
    for ((_, job), (out, folder)) in jobs.iter().zip(folders) {
        note!("{}", place.why);
        let way = Way {
            out: &out,
            resume: a.again.resume,
            measure: a.measure_energy,
            gpu: place.gpu.as_ref(),
            journal: None,
            watch: &Bars::new(),
        };
        job.run(way, place, folder.before.clone())?;
        // After each of them: what is interrupted has its page too.
        if a.all() {
            index(a.out.as_deref().unwrap_or(Path::new("runs")), &known)?;
        }
    }
    Ok(())
}

/// The page that links the reports of all experiments.
#[cfg(feature = "report")]
fn index(dir: &Path, reports: &[(String, PathBuf)]) -> Result<()> {
    let page = crate::report::index::write(dir, reports)?;
    say!("index:  {}", page.display());
    Ok(())
}

#[cfg(not(feature = "report"))]
fn index(_: &Path, _: &[(String, PathBuf)]) -> Result<()> {
    Ok(())
}

fn write<C: Task>(experiment: &str, out: &Path, rows: &Rows, manifest: &Manifest) -> Result<()> {
    let paths = C::write_report(experiment, out, rows, manifest).map_err(|e| anyhow!(e))?;
    let page = paths.first().is_some_and(|p| p.extension().is_some_and(|e| e == "html"));
    let mut what = if page { "report:" } else { "rows:" };
    for path in &paths {
        say!("{what:7} {}", path.display());
        what = "";
    }
    if cfg!(not(feature = "report")) {
        say!("        built without the feature 'report': no figures");
    }
    Ok(())
}
