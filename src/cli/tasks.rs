//! The one dispatch by name: a task without its type, as the command line holds it.

use super::evaluate::EvaluateArgs;
use super::reproduce::{Jobs, ReproduceArgs, Reproduction};
use super::schedule::ScheduleArgs;
use super::train::TrainArgs;
use crate::config::{ConfigError, Layered};
use crate::num::stats::once;
use crate::run::evaluate::Acts;
use crate::run::registry::{AnyCheckpoint, AnyTask, Entry};
#[cfg(feature = "report")]
use crate::run::sweep::SweepError;
use crate::run::task::Task;
use crate::run::watch::Watch;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What the commands do with a task.
pub trait Registered: AnyTask {
    /// Names of what `reproduce` runs, in the order in which `all` does.
    fn experiments(&self) -> Vec<&'static str>;
    fn train(&self, a: &TrainArgs) -> Result<()>;
    fn evaluate(&self, a: &EvaluateArgs) -> Result<()>;
    /// [`Task::SCHEDULES`]
    fn schedules(&self) -> bool;
    /// Prints the task's schedules; whether it has any.
    fn schedule(&self, a: &ScheduleArgs) -> Result<bool>;
    /// Evaluates as the command does, for a program that has this one inside.
    fn evaluation(&self, a: &EvaluateArgs, watch: &dyn Watch) -> Result<Value>;
    /// Judges a policy from outside; `whole` as in [`Task::client_env`].
    fn judgement(
        &self,
        sets: &[String],
        whole: bool,
        name: &str,
        rule: Arc<dyn Acts>,
        watch: &dyn Watch,
    ) -> Result<Value>;
    /// The configuration of an experiment, ready to run.
    ///
    /// # Errors
    /// The key that is wrong.
    fn reproduction(
        &self,
        experiment: &str,
        scale: &str,
        file: Option<&Path>,
        sets: &[String],
    ) -> Result<Box<dyn Reproduction>, ConfigError>;
    /// Plans a sweep file and runs it, or says what it would do.
    #[cfg(feature = "report")]
    fn sweep(&self, a: &super::sweep::SweepArgs, file: &crate::run::sweep::plan::SweepFile) -> Result<()>;
    /// Writes a page that plays episodes.
    #[cfg(feature = "report")]
    fn replay(&self, a: &super::replay::ReplayArgs) -> Result<()>;
    /// Tunes learned agents, or says what that would take.
    #[cfg(feature = "report")]
    fn tune(&self, a: &super::tune::TuneArgs) -> Result<()>;
    /// Whether it has a live page.
    #[cfg(feature = "report")]
    fn has_page(&self) -> bool;
    /// Writes it.
    #[cfg(feature = "report")]
    fn page(&self, a: &super::page::PageArgs) -> Result<()>;
}

/// The tasks of a program, in the order in which they are told; the first is the one that holds where none is named.
pub type Tasks = [&'static dyn Registered];

impl<C: Task> Registered for Entry<C> {
    fn experiments(&self) -> Vec<&'static str> {
        <C as Layered>::EXPERIMENTS.iter().map(|e| e.0).collect()
    }
    fn train(&self, a: &TrainArgs) -> Result<()> {
        super::train::train::<C>(a)
    }
    fn evaluate(&self, a: &EvaluateArgs) -> Result<()> {
        super::evaluate::evaluate::<C>(a)
    }
    fn schedules(&self) -> bool {
        C::SCHEDULES
    }
    fn schedule(&self, a: &ScheduleArgs) -> Result<bool> {
        super::schedule::schedule::<C>(a)
    }
    fn evaluation(&self, a: &EvaluateArgs, watch: &dyn Watch) -> Result<Value> {
        Ok(super::evaluate::evaluation::<C>(a, watch)?.json())
    }
    fn judgement(
        &self,
        sets: &[String],
        whole: bool,
        name: &str,
        rule: Arc<dyn Acts>,
        watch: &dyn Watch,
    ) -> Result<Value> {
        Ok(super::evaluate::judgement::<C>(sets, whole, name, rule, watch)?.json())
    }
    fn reproduction(
        &self,
        experiment: &str,
        scale: &str,
        file: Option<&Path>,
        sets: &[String],
    ) -> Result<Box<dyn Reproduction>, ConfigError> {
        let config = C::load_experiment(experiment, scale, file, sets)?;
        config.runs().iter().try_for_each(|r| r.config.relations_for(r.agent.id))?;
        Ok(Box::new(super::reproduce::Of { experiment: experiment.into(), config }))
    }
    #[cfg(feature = "report")]
    fn sweep(&self, a: &super::sweep::SweepArgs, file: &crate::run::sweep::plan::SweepFile) -> Result<()> {
        super::sweep::sweep::<C>(a, file)
    }
    #[cfg(feature = "report")]
    fn replay(&self, a: &super::replay::ReplayArgs) -> Result<()> {
        super::replay::replay::<C>(a)
    }
    #[cfg(feature = "report")]
    fn tune(&self, a: &super::tune::TuneArgs) -> Result<()> {
        super::tune::tune::<C>(a)
    }
    #[cfg(feature = "report")]
    fn has_page(&self) -> bool {
        C::LIVE_POLICY.is_some()
    }
    #[cfg(feature = "report")]
    fn page(&self, a: &super::page::PageArgs) -> Result<()> {
        super::page::page::<C>(a)
    }
}

/// The tasks as all may see them.
pub(super) fn any(tasks: &Tasks) -> Vec<&'static dyn AnyTask> {
    tasks.iter().map(|t| *t as _).collect()
}

/// The experiments that are asked for, ready to run.
pub(super) fn experiments(tasks: &Tasks, a: &ReproduceArgs) -> Result<Jobs> {
    if let Some(name) = &a.task {
        find(tasks, Some(name), None)?;
    }
    let mine = tasks.iter().filter(|t| a.task.as_deref().is_none_or(|name| t.name() == name));
    let known: Vec<_> = mine.flat_map(|t| t.experiments().into_iter().map(move |e| (e, *t))).collect();
    let chosen: Vec<_> = known.iter().filter(|(name, _)| a.all() || *name == a.experiment).collect();
    let several = chosen.len() > 1;
    let job = |&(name, task): &(&'static str, &dyn Registered)| {
        let job = task.reproduction(name, &a.scale, a.common.config.as_deref(), &a.common.sets);
        // With several experiments, a key may be right for one and wrong for another.
        let of = || if a.all() { format!("experiment {name}") } else { format!("task {}", task.name()) };
        let job = job.map_err(|e| if several { anyhow!("{}: {e}", of()) } else { e.into() });
        Ok((name, job?))
    };
    let jobs = chosen.into_iter().map(job).collect::<Result<Jobs>>()?;
    if jobs.is_empty() {
        let names = once(known.iter().map(|k| k.0));
        let of = a.task.as_ref().map_or(String::new(), |task| format!(" of task {task}"));
        bail!("no experiment '{}'{of} (there are: {}, and all)", a.experiment, names.join(", "));
    }
    Ok(jobs)
}

/// Prints the schedules of the task that is named, or of the first that schedules anything.
pub(super) fn schedule(tasks: &Tasks, a: &ScheduleArgs) -> Result<()> {
    let named = a.task.as_deref().map(|name| find(tasks, Some(name), None)).transpose()?;
    let task = named.or_else(|| tasks.iter().copied().find(|t| t.schedules()));
    let task = task.context("no task of this program schedules anything")?;
    task.schedule(a)?.then_some(()).with_context(|| format!("task {} schedules nothing", task.name()))
}

/// A checkpoint of any of the tasks.
pub(super) fn checkpoint(tasks: &Tasks, path: &Path) -> Result<Box<dyn AnyCheckpoint>> {
    let task = crate::run::checkpoint::task_of(path)?;
    let found = tasks.iter().find(|t| t.name() == task);
    let names = || tasks.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    let found = found.with_context(|| {
        format!("checkpoint '{}' is of task '{task}'; there are: {}", path.display(), names())
    });
    Ok(found?.open(path)?)
}

/// Runs a sweep file by its task.
#[cfg(feature = "report")]
pub(super) fn sweep(tasks: &Tasks, a: &super::sweep::SweepArgs) -> Result<()> {
    let file = crate::run::sweep::plan::SweepFile::load(&a.file)?;
    let Some(task) = tasks.iter().find(|t| t.name() == file.task) else {
        let names: Vec<_> = tasks.iter().map(|t| t.name()).collect();
        let what = format!("'{}' is no task of this program (there are: {})", file.task, names.join(", "));
        return Err(SweepError::key(&a.file.display().to_string(), "task", what).into());
    };
    task.sweep(a, &file)
}

/// Writes the live page of the task that is meant, or of the first that has one.
#[cfg(feature = "report")]
pub(super) fn page(tasks: &Tasks, a: &super::page::PageArgs) -> Result<()> {
    match a.task()? {
        Some(name) => find(tasks, Some(&name), None)?.page(a),
        None => {
            let first = tasks.iter().find(|t| t.has_page());
            first.context("no task of this program has a live page")?.page(a)
        }
    }
}

/// The task called `name`; without a name the one that has this agent, else the first.
pub(super) fn find(
    tasks: &Tasks,
    name: Option<&str>,
    agent: Option<&str>,
) -> Result<&'static dyn Registered> {
    let names = || tasks.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    match (name, agent) {
        (Some(name), _) => match tasks.iter().find(|t| t.name() == name) {
            Some(task) => Ok(*task),
            None => bail!("no task '{name}' in this program; there are: {}", names()),
        },
        (None, Some(agent)) => match tasks.iter().find(|t| t.agents().contains(&agent)) {
            Some(task) => Ok(*task),
            None => {
                let of = |t: &&dyn Registered| format!("{} ({})", t.agents().join(", "), t.name());
                bail!(
                    "no agent '{agent}'; there are: {}",
                    tasks.iter().map(of).collect::<Vec<_>>().join("; ")
                )
            }
        },
        (None, None) => tasks.first().copied().context("this program has no task"),
    }
}
