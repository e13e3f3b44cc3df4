//! `isacbench reproduce`

use super::common::{size, time};
use super::folder::{self, Again, Folder};
use super::print::{note, say};
use super::watch::{Bars, end_in_order};
use super::{Common, Place, manifest, place};
use crate::num::stats::once;
use crate::run::journal::Journal;
use crate::run::reproduce::{self, Expected, Way};
use crate::run::rows::{Manifest, Rows};
use crate::run::task::Task;
use crate::run::watch::{Quiet, Watch};
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ReproduceArgs {
    /// A paper's figures (spiking-ac, rl-h-moe), rate-penalty (sum-rate against energy), front (the same of networks of
    /// many sizes, spiking and dense), beams (every learned agent with every parameterisation of the beams), recipe
    /// (the paper's own rates: sum-rate over slots), readings (which claims of each paper survive what it leaves open),
    /// or all (each in a folder of its own; --set and --config then take keys that all of them have)
    #[arg(value_name = "EXPERIMENT")]
    pub(super) experiment: String,
    #[command(flatten)]
    pub(super) common: Common,
    /// Only what is of this task
    #[arg(long)]
    pub(super) task: Option<String>,
    /// smoke (minutes: does everything run?), quick (half an hour on two cores), study (five seeds, the whole grid) or
    /// full (32 seeds: several sittings on two cores, or a GPU)
    #[arg(long, default_value = "smoke", value_parser = ["smoke", "quick", "study", "full"])]
    pub(super) scale: String,
    /// Folder for the report [default: runs/EXPERIMENT-SCALE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    again: Again,
    /// Say what it will take, and do nothing: runs, replicas, memory, and time from a short measurement
    #[arg(long)]
    dry_run: bool,
    /// Read the device's energy counter, if it has one: half a minute for each learned agent
    #[arg(long)]
    measure_energy: bool,
}

/// An experiment with its configuration.
pub trait Reproduction {
    /// Name of its task.
    fn task(&self) -> &'static str;
    /// What each of its runs will take.
    ///
    /// # Errors
    /// What could not be measured.
    fn expected(&self, way: &Way) -> Result<Vec<Expected>>;
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
    fn expected(&self, way: &Way) -> Result<Vec<Expected>> {
        Ok(reproduce::expected(&self.config, way)?)
    }
    fn run(&self, way: Way, place: &Place, before: Option<Manifest>) -> Result<()> {
        let agents = once(self.config.runs().into_iter().map(|run| run.agent.id.to_string()));
        let now =
            Manifest { experiment: Some(self.experiment.clone()), ..manifest(&self.config, &agents, place) };
        let journal = Journal::new(way.out, now, before);
        let way = Way { journal: Some(&journal), ..way };
        let rows = reproduce::reproduce(&self.config, &way)?;
        // First, so that the report can link it; without it, the report is what it is.
        #[cfg(feature = "report")]
        let replay = crate::run::replay::beside_report(&self.config, way.out).unwrap_or_else(|e| {
            note!("warning: no replay: {e}");
            None
        });
        write::<C>(&self.experiment, way.out, &rows, &journal.now())?;
        #[cfg(feature = "report")]
        if let Some(path) = replay {
            say!("replay: {}", path.display());
        }
        Ok(())
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
    let out_of = |name: &str, task: &str| {
        let mut out = match &a.out {
            Some(dir) if a.all() => dir.join(name),
            Some(dir) => dir.clone(),
            None => PathBuf::from(format!("runs/{name}-{}", a.scale)),
        };
        // An experiment of several tasks has a folder for each.
        if jobs.iter().filter(|j| j.0 == name).count() > 1 {
            out.push(task);
        }
        out
    };
    let outs: Vec<PathBuf> = jobs.iter().map(|(name, job)| out_of(name, job.task())).collect();
    fn way<'a>(a: &ReproduceArgs, place: &'a Place, out: &'a Path, watch: &'a dyn Watch) -> Way<'a> {
        let (resume, measure) = (a.again.resume, a.measure_energy);
        Way { out, resume, measure, gpu: place.gpu.as_ref(), journal: None, watch }
    }
    if a.dry_run {
        note!("{}", place.why);
        let mut all = 0.0;
        for ((name, job), out) in jobs.iter().zip(&outs) {
            if let Some(refusal) = folder::refusal_of_reproduction(out, a.again, job.task(), name) {
                note!("warning: without --dry-run this would be refused: {refusal}");
            }
            all += say_expected(name, job.task(), &job.expected(&way(a, place, out, &Quiet))?);
        }
        if jobs.len() > 1 {
            say!("about {} in all", time(all));
        }
        return Ok(());
    }
    // All of them before the first begins: what one of them would be refused is said before hours of work, not after.
    let mut folders: Vec<Folder> = Vec::new();
    for ((name, job), out) in jobs.iter().zip(&outs) {
        folders.push(folder::for_reproduction(out, a.again, job.task(), name)?);
    }
    end_in_order()?;
    note!("{}", place.why);
    // Measuring takes about as long as a smoke run.
    let mut expected: Vec<Vec<f64>> = Vec::new();
    if a.scale != "smoke" {
        for ((_, job), out) in jobs.iter().zip(&outs) {
            let runs = job.expected(&way(a, place, out, &Quiet))?;
            expected.push(runs.iter().map(|run| run.seconds).collect());
        }
        note!("about {}, by a short measurement", time(expected.iter().flatten().sum()));
    }
    let known: Vec<(String, PathBuf)> = jobs
        .iter()
        .zip(&outs)
        .map(|((name, job), out)| match jobs.iter().filter(|j| j.0 == *name).count() {
            1 => (name.to_string(), out.clone()),
            _ => (format!("{name}, task {}", job.task()), out.clone()),
        })
        .collect();
    for (n, ((_, job), (out, folder))) in jobs.iter().zip(outs.iter().zip(folders)).enumerate() {
        // What the jobs behind this one take stands behind its last run.
        let later = expected.get(n + 1..).unwrap_or_default().iter().flatten().sum();
        let runs = expected.get(n).map(|runs| runs.iter().copied().chain([later]).collect());
        let watch = Bars::of_runs(runs.unwrap_or_default());
        job.run(way(a, place, out, &watch), place, folder.before.clone())?;
        // After each of them: what is interrupted has its page too.
        if a.all() {
            index(a.out.as_deref().unwrap_or(Path::new("runs")), &known)?;
        }
    }
    Ok(())
}

/// Names of runs that are longer stand on lines of their own.
const WIDEST: usize = 60;

/// A table of what a job will take; returns the seconds of all.
fn say_expected(name: &str, task: &str, runs: &[Expected]) -> f64 {
    say!("{name} (task {task})");
    let names: Vec<String> =
        runs.iter().map(|r| format!("{} {}", r.agent, r.what).trim().to_string()).collect();
    let fits = names.iter().map(|n| n.chars().count()).filter(|n| *n <= WIDEST).max().unwrap_or(0).max(3);
    say!("{:fits$} {:>8} {:>11} {:>12} {:>16}", "run", "replicas", "updates", "memory", "time");
    for (name, run) in names.iter().zip(runs) {
        let (memory, updates) = match run.updates {
            [_, 0] => ("-".into(), "-".into()),
            [0, all] => (size(run.bytes), all.to_string()),
            [done, all] => (size(run.bytes), format!("{done} of {all}")),
        };
        let left = if run.seconds > 0.0 { time(run.seconds) } else { "done".into() };
        let mut name = name.as_str();
        if name.chars().count() > fits {
            say!("{name}");
            name = "";
        }
        say!("{name:fits$} {:>8} {updates:>11} {memory:>12} {left:>16}", run.replicas);
    }
    let all = runs.iter().map(|run| run.seconds).sum();
    say!(
        "{} runs, about {}: measured here from one update and some episodes of each agent and size",
        runs.len(),
        time(all)
    );
    all
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
