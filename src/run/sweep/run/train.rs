//! The training of a part of a batch: from saved states on, with its learning curves.

use super::batch::Commits;
use crate::files::if_there;
use crate::gpu::Gpu;
use crate::learn::{Algorithm, Learner, LearnerState, UpdateMetrics};
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::{CheckpointError, JobError};
use crate::run::reproduce::{check_memory, curve};
use crate::run::rows::{Cells, CurveRow, Key, Row};
use crate::run::sweep::plan::{Mode, what_is_read};
use crate::run::sweep::task;
use crate::run::task::{Task, Unit};
use crate::run::train::TrainingSpan;
use crate::run::watch::Watch;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far replicas train, and the files of the states that they go on from and leave for others: one for each replica,
/// or none.
pub(super) struct Span {
    pub(super) until: u32,
    pub(super) from: Vec<PathBuf>,
    pub(super) to: Vec<PathBuf>,
}

/// What the last update of a training says of a replica, by the names that learning curves have.
pub(super) fn of_training<C: Task>(u: &UpdateMetrics) -> Vec<task::Measured> {
    let row = [curve(Key::default(), 0, 0, u)];
    let told = CurveRow::columns(C::SCHEMA).into_iter().filter(|c| C::SCHEMA.learner.contains(&c.name));
    let numbers = told.filter_map(|c| match c.cells(&row) {
        Cells::Real(x) => Some((c.name, x[0])),
        _ => None,
    });
    let rates = &u.firing_rates;
    let rate = (!rates.is_empty()).then(|| ("firing_rate", rates.iter().sum::<f64>() / rates.len() as f64));
    let measured = |(name, mean): (&str, f64)| task::Measured {
        metric: format!("{TRAINING}{name}"),
        episodes: 0,
        mean,
        std_error: f64::NAN,
        step: None,
    };
    numbers.chain(rate).map(measured).collect()
}

/// Begins the names of metrics that tell of a training and not of an evaluation.
pub const TRAINING: &str = "train_";

/// Learning curves, replica by replica.
pub(super) type Curves = Vec<Vec<task::Measured>>;

/// What an update says of a replica, as its learning curve has it.
fn of_update<C: Task>(update: u32, u: &UpdateMetrics) -> Vec<task::Measured> {
    let row = [curve(Key::default(), update, 0, u)];
    let shown = |name| C::SCHEMA.learner.contains(&name) || C::SCHEMA.curve.iter().any(|c| c.name == name);
    let columns = CurveRow::columns(C::SCHEMA).into_iter().filter(|c| shown(c.name));
    let numbers = columns.filter_map(|c| Some((c.name, c.number(&row[0])?)));
    let measured = |(name, mean): (&str, f64)| task::Measured {
        metric: format!("{}{name}", task::CURVE),
        episodes: 0,
        mean,
        std_error: f64::NAN,
        step: Some(update),
    };
    numbers.filter(|(_, x)| x.is_finite()).map(measured).collect()
}

/// What is left of a training.
pub(super) struct Left<C: Task> {
    pub(super) checkpoint: Checkpoint<C>,
    /// Which replicas have stopped learning.
    pub(super) stuck: Vec<bool>,
    /// The metrics of its last update.
    pub(super) last: Vec<UpdateMetrics>,
    /// Empty where they are not kept.
    pub(super) curves: Curves,
}

/// Trains replicas side by side, from the state saved in `dir` if there is one, else from those that others have left
/// for them.
#[expect(clippy::too_many_arguments, reason = "the state of one training")]
pub(super) fn train<C: Task>(
    agent: &'static str,
    units: &[Unit<C>],
    span: &Span,
    dir: &Path,
    gpu: Option<&Arc<Gpu>>,
    watch: &dyn Watch,
    commits: &Commits,
    keeps: bool,
) -> Result<Left<C>, JobError> {
    let algorithm =
        units[0].config.algorithm(task::agent(agent), units).ok_or(JobError::NotLearned(agent))?;
    // An adapter has its own memory, and its limits are checked where its buffers are made.
    if gpu.is_none_or(|g| g.is_software()) {
        check_memory(&algorithm, C::MEMORY_KEYS)?;
    }
    let path = dir.join("checkpoint.safetensors");
    let state = match saved(agent, units, span.until, &path) {
        Ok(Some(state)) => state,
        Ok(None) => passed_on(agent, units, &span.from, watch).unwrap_or_else(|| algorithm.start()),
        Err(e) => {
            let aside: PathBuf = path.with_extension("damaged");
            watch.warn(&format!("{e}; this batch starts over, the file is kept as '{}'", aside.display()));
            std::fs::rename(&path, &aside).map_err(|e| JobError::file(&path, e))?;
            algorithm.start()
        }
    };
    let left = train_from(agent, units, &algorithm, state, span.until, &path, gpu, watch, commits, keeps)?;
    for ((r, unit), to) in units.iter().enumerate().zip(&span.to) {
        let state = left.checkpoint.state.replica(r, units.len());
        let _writing = commits.pause();
        match single(agent, unit, state).save(to) {
            // A replica whose weights are not finite goes nowhere.
            Ok(()) | Err(CheckpointError::Tensor { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(left)
}

/// The checkpoint of one replica.
fn single<C: Task>(agent: &str, unit: &Unit<C>, state: LearnerState) -> Checkpoint<C> {
    Checkpoint {
        config: unit.config.clone(),
        agent: agent.into(),
        seeds: vec![unit.seed],
        swept: vec![unit.config.swept()],
        state,
    }
}

/// The states that others have left for these replicas, side by side. Without one of them, all begin anew and come to
/// the same place later.
fn passed_on<C: Task>(
    agent: &str,
    units: &[Unit<C>],
    from: &[PathBuf],
    watch: &dyn Watch,
) -> Option<LearnerState> {
    let mut states = Vec::new();
    for (unit, path) in units.iter().zip(from) {
        let found = saved(agent, std::slice::from_ref(unit), u32::MAX, path).unwrap_or_else(|e| {
            watch.warn(&format!("{e}; these replicas start over"));
            None
        });
        states.push(found?);
    }
    LearnerState::side_by_side(&states)
}

/// The state that a job left of these replicas before update `until`; `None` if it left none.
pub(super) fn saved<C: Task>(
    agent: &str,
    units: &[Unit<C>],
    until: u32,
    path: &Path,
) -> Result<Option<LearnerState>, CheckpointError> {
    if !path.exists() {
        return Ok(None);
    }
    let c = Checkpoint::<C>::load(path)?;
    // Keys that the agent does not read may have changed: they make no other point.
    let read = |config: &C| what_is_read(Mode::TrainAndEvaluate, config, task::agent(agent));
    let ours = c.agent == agent
        && read(&c.config) == read(units[0].config)
        && c.replicas() == replicas(units)
        && c.state.updates < until;
    if ours {
        return Ok(Some(c.state));
    }
    Err(CheckpointError::Damaged(path.display().to_string(), "it is of other replicas".into()))
}

/// (swept value, seed) of each replica.
pub(super) fn replicas<C: Task>(units: &[Unit<C>]) -> Vec<(f64, u32)> {
    units.iter().map(|u| (u.config.swept(), u.seed)).collect()
}

#[expect(clippy::too_many_arguments, reason = "the state of one training")]
pub(super) fn train_from<C: Task>(
    agent: &'static str,
    units: &[Unit<C>],
    algorithm: &Algorithm,
    mut state: LearnerState,
    goal: u32,
    path: &Path,
    gpu: Option<&Arc<Gpu>>,
    watch: &dyn Watch,
    commits: &Commits,
    keeps: bool,
) -> Result<Left<C>, JobError> {
    let head = units[0].config;
    let total = head.common().train.updates;
    let every = head.common().checkpoint_every;
    let checkpoint = |state: LearnerState| {
        let (swept, seeds) = replicas(units).into_iter().unzip();
        Checkpoint { config: head.clone(), agent: agent.into(), seeds, swept, state }
    };
    let mut learner = Learner::new(algorithm, &state, gpu)?;
    let mut stuck = vec![false; units.len()];
    let mut last = Vec::new();
    let own = path.with_file_name("curves.json");
    let mut curves = if keeps { half_told(&own, units.len(), state.updates)? } else { Curves::new() };
    watch.begin(&format!("train {agent} ({} replicas)", units.len()), u64::from(goal));
    watch.advance(u64::from(state.updates), "");
    while state.updates < goal {
        let start = state.updates;
        let until = goal.min((start / every + 1) * every);
        // Without curves, only the last update's metrics are looked at.
        let log_every = if keeps { head.common().train.log_every } else { goal };
        let span = TrainingSpan { algorithm, updates: total, until, log_every };
        state = crate::run::train::train(
            &span,
            &mut learner,
            start,
            |update, metrics| {
                if keeps {
                    curves.iter_mut().zip(metrics).for_each(|(own, m)| own.extend(of_update::<C>(update, m)));
                }
                for (stuck, m) in stuck.iter_mut().zip(metrics) {
                    *stuck = algorithm.is_stuck(m).unwrap_or(*stuck);
                }
                last = metrics.to_vec();
                watch.advance(0, &algorithm.note(metrics));
            },
            |_| {
                watch.advance(1, "");
                true
            },
        )?;
        if until < goal {
            let _writing = commits.pause();
            if keeps {
                let text = serde_json::to_string(&curves).expect("numbers and names are always JSON");
                crate::files::write_whole(&own, text.as_bytes()).map_err(|e| JobError::file(&own, e))?;
            }
            match checkpoint(state.clone()).save(path) {
                // A replica whose weights are not finite: its state could not be read again. The others must not lose
                // theirs, so the batch goes on.
                Ok(()) | Err(CheckpointError::Tensor { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    watch.end();
    Ok(Left { checkpoint: checkpoint(state), stuck, last, curves })
}

/// The curves that a half-trained batch has left, up to the update that it goes on from.
fn half_told(path: &Path, replicas: usize, updates: u32) -> Result<Curves, JobError> {
    let none = || vec![Vec::new(); replicas];
    if updates == 0 {
        return Ok(none());
    }
    let Some(text) = if_there(std::fs::read(path)).map_err(|e| JobError::file(path, e))? else {
        return Ok(none());
    };
    let mut curves: Curves = serde_json::from_slice(&text).unwrap_or_else(|_| none());
    curves.resize(replicas, Vec::new());
    curves.iter_mut().for_each(|own| own.retain(|m| m.step.is_none_or(|step| step < updates)));
    Ok(curves)
}
