//! Training runs that keep a checkpoint and their rows in a folder, and continue from there.

use super::{JobError, Watch};
use crate::files::{writable_folder, write_whole};
use crate::gpu::{Gpu, GpuError};
use crate::learn::LearnerState;
use crate::run::checkpoint::{Algorithmic, Checkpoint, Trainable};
use crate::run::rows::ActivityRow;
use crate::run::train::Plan;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find(|l| l.starts_with("MemAvailable"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Refuses a learner that does not fit into memory; `keys` are what would make it smaller.
pub fn check_memory(algorithm: &impl Algorithmic, keys: &'static str) -> Result<(), JobError> {
    let needed = algorithm.host_bytes();
    match available_memory() {
        Some(available) if needed > available / 10 * 9 => Err(JobError::Memory {
            what: format!(
                "training {} replicas of {} environment steps an update",
                algorithm.replicas(),
                algorithm.samples()
            ),
            needed_gib: needed as f64 / 2f64.powi(30),
            available_gib: available as f64 / 2f64.powi(30),
            keys,
        }),
        _ => Ok(()),
    }
}

/// Gets every read of an update's metrics, one per replica.
pub type Seen<'a, M> = &'a mut dyn FnMut(u32, &[M]);

/// A task as training and evaluation jobs see it: what it sweeps, and the rows that its updates give.
pub trait Job: Trainable {
    /// A learning curve's row.
    type Row: Serialize + DeserializeOwned + Clone;
    /// What an update of a replica is read as.
    type Metrics;
    /// A learner on some device.
    type Learner;
    /// What to lower where a learner does not fit into memory.
    const MEMORY_KEYS: &'static str;

    /// On the GPU if one is given, else on the CPU.
    fn learner(
        algorithm: &Self::Algorithm,
        start: &LearnerState,
        gpu: Option<&Arc<Gpu>>,
    ) -> Result<Self::Learner, GpuError>;
    /// Updates `start` to `plan.until`, see [`train`](crate::run::train::train).
    fn train(
        plan: &Plan<Self::Algorithm>,
        learner: &mut Self::Learner,
        start: u32,
        seen: Seen<Self::Metrics>,
        tick: &mut dyn FnMut(u32),
    ) -> Result<LearnerState, GpuError>;
    /// Row of one update of the replica at (swept value, seed). `run` names what else differs.
    fn curve(
        &self,
        run: &RunId,
        at: (f64, u32),
        update: u32,
        env_steps: u64,
        metrics: &Self::Metrics,
    ) -> Self::Row;
    /// Number of the row's update.
    fn update_of(row: &Self::Row) -> u32;
    /// Whether a gradient of this update was not finite, so that the learner passed over it.
    fn is_stuck(&self, agent: &str, row: &Self::Row) -> bool;
    /// How far learning is, for the progress bar.
    fn note(metrics: &[Self::Metrics]) -> String;
    /// Rows of the update beside its curve: firing rates of agents with spikes.
    fn activity(
        &self,
        _run: &RunId,
        _at: (f64, u32),
        _update: u32,
        _algorithm: &Self::Algorithm,
        _metrics: &Self::Metrics,
    ) -> Vec<ActivityRow> {
        Vec::new()
    }
    /// What the progress bar says beside the agent's name.
    fn label(&self) -> String {
        String::new()
    }
}

/// Which run of a job a row belongs to.
#[derive(Clone, Debug)]
pub struct RunId {
    pub agent: &'static str,
    /// What an experiment varies, such as `rate_penalty=0.03`; else empty.
    pub variant: String,
}

/// What a training run leaves.
pub struct Trained<C: Job> {
    pub checkpoint: Checkpoint<C>,
    pub curves: Vec<C::Row>,
    /// Firing rates of every update that was read, of agents with spikes.
    pub activity: Vec<ActivityRow>,
}

/// Rows of every read of the metrics: learning curves and firing rates.
struct Read<C: Job> {
    curves: Vec<C::Row>,
    activity: Vec<ActivityRow>,
}

/// A training run that keeps a checkpoint and its rows in a folder.
pub struct Training<'a, C: Job> {
    pub config: &'a C,
    pub run: RunId,
    /// (swept value, seed) of every replica, see [`super::grid`].
    pub replicas: Vec<(f64, u32)>,
    /// Folder of `checkpoint.safetensors`, `curves.jsonl` and, with spikes, `activity.jsonl`.
    pub dir: PathBuf,
    /// Updates between checkpoints.
    pub every: u32,
    pub resume: bool,
}

impl<C: Job> Training<'_, C> {
    fn rows_path(&self) -> PathBuf {
        self.dir.join("curves.jsonl")
    }
    fn activity_path(&self) -> PathBuf {
        self.dir.join("activity.jsonl")
    }
    /// The checkpoint file.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.dir.join("checkpoint.safetensors")
    }

    fn checkpoint(&self, state: LearnerState) -> Checkpoint<C> {
        Checkpoint {
            config: self.config.clone(),
            agent: self.run.agent.into(),
            seeds: self.replicas.iter().map(|r| r.1).collect(),
            swept: self.replicas.iter().map(|r| r.0).collect(),
            state,
        }
    }

    /// Trains to the end of the plan and returns the last checkpoint with all rows.
    pub fn run(&self, gpu: Option<&Arc<Gpu>>, watch: &dyn Watch) -> Result<Trained<C>, JobError> {
        let algorithm = self
            .config
            .algorithm(self.run.agent, &self.replicas)
            .ok_or(JobError::NotLearned(self.run.agent))?;
        // An adapter has its own memory, and its limits are checked where its buffers are made.
        if gpu.is_none_or(|g| g.is_software()) {
            check_memory(&algorithm, C::MEMORY_KEYS)?;
        }
        let (mut state, mut read) =
            (algorithm.start(), Read::<C> { curves: Vec::new(), activity: Vec::new() });
        if self.resume && self.checkpoint_path().exists() {
            (state, read) = self.load()?;
        }
        let train_config = self.config.train_config();
        let total = train_config.updates;
        let mut learner = C::learner(&algorithm, &state, gpu)?;
        writable_folder(&self.dir).map_err(|e| JobError::File {
            path: self.dir.display().to_string(),
            what: format!("cannot write into this folder: {e}"),
        })?;
        let replicas = self.replicas.len();
        let label = self.config.label();
        let what: Vec<&str> =
            [self.run.agent, &label, &self.run.variant].into_iter().filter(|x| !x.is_empty()).collect();
        watch.begin(&format!("train {} ({replicas} replicas)", what.join(" ")), u64::from(total));
        watch.advance(u64::from(state.updates), "");
        while state.updates < total {
            let until = total.min((state.updates / self.every + 1) * self.every);
            let start = state.updates;
            let plan =
                Plan { algorithm: &algorithm, updates: total, until, log_every: train_config.log_every };
            state = C::train(
                &plan,
                &mut learner,
                start,
                &mut |update, metrics| {
                    let steps = u64::from(update + 1) * algorithm.samples() as u64;
                    for (at, u) in self.replicas.iter().zip(metrics) {
                        read.curves.push(self.config.curve(&self.run, *at, update, steps, u));
                        read.activity.extend(self.config.activity(&self.run, *at, update, &algorithm, u));
                    }
                    watch.advance(0, &C::note(metrics));
                },
                &mut |_| watch.advance(1, ""),
            )?;
            self.save(&state, &read)?;
        }
        watch.end();
        // The learner passes over gradients that are not finite, so such a replica keeps its last good weights and would look merely bad.
        let last = read.curves.rchunks(replicas).next().unwrap_or_default();
        let stuck = |(_, row): &(&(f64, u32), &C::Row)| self.config.is_stuck(self.run.agent, row);
        let stuck: Vec<_> = self.replicas.iter().zip(last).filter(stuck).collect();
        if let Some(((x, seed), _)) = stuck.first() {
            watch.warn(&format!(
                "{} of {replicas} replicas have stopped learning (first: seed {seed} at {x} {}), their gradients are not finite; lower the agent's learning rates or reward_scale",
                stuck.len(),
                C::SWEPT_UNIT,
            ));
        }
        Ok(Trained { checkpoint: self.checkpoint(state), curves: read.curves, activity: read.activity })
    }

    /// Rows first: a checkpoint is never ahead of its rows, and rows behind it are cut off when it is read.
    fn save(&self, state: &LearnerState, read: &Read<C>) -> Result<(), JobError> {
        write_lines(&self.rows_path(), &read.curves)?;
        let path = self.activity_path();
        if !read.activity.is_empty() {
            write_lines(&path, &read.activity)?;
        } else if path.exists() {
            // Of an agent that was trained here before.
            std::fs::remove_file(&path)
                .map_err(|e| JobError::File { path: path.display().to_string(), what: e.to_string() })?;
        }
        Ok(self.checkpoint(state.clone()).save(&self.checkpoint_path())?)
    }

    fn load(&self) -> Result<(LearnerState, Read<C>), JobError> {
        let saved = Checkpoint::<C>::load(&self.checkpoint_path())?;
        let other = |what: String| {
            Err(JobError::OtherConfig { file: self.checkpoint_path().display().to_string(), what })
        };
        if let Some(what) = saved.config.difference(self.config) {
            return other(what);
        }
        if saved.agent != self.run.agent {
            return other(format!("agent '{}' there and '{}' here", saved.agent, self.run.agent));
        }
        if saved.replicas() != self.replicas {
            return other(format!(
                "replicas at {:?} {} there and {:?} here",
                saved.swept,
                C::SWEPT_UNIT,
                self.replicas.iter().map(|r| r.0).collect::<Vec<_>>()
            ));
        }
        let path = self.rows_path();
        let file = |what: String| JobError::File { path: path.display().to_string(), what };
        let mut rows: Vec<C::Row> = read_lines(&path)?;
        rows.retain(|r| C::update_of(r) < saved.state.updates);
        // Rows are written before their checkpoint, so fewer of them mean that the file was cut or belongs to another run.
        let train = self.config.train_config();
        let reads = (0..saved.state.updates)
            .filter(|u| (u + 1).is_multiple_of(train.log_every) || u + 1 == train.updates)
            .count();
        if rows.len() != reads * self.replicas.len() {
            return Err(file(format!(
                "has {} rows where the checkpoint beside it needs {}",
                rows.len(),
                reads * self.replicas.len()
            )));
        }
        let path = self.activity_path();
        let mut activity: Vec<ActivityRow> = if path.exists() { read_lines(&path)? } else { Vec::new() };
        activity.retain(|r| r.update.is_some_and(|u| u < saved.state.updates));
        if !rows.is_empty() && !activity.len().is_multiple_of(rows.len()) {
            return Err(JobError::File {
                path: path.display().to_string(),
                what: format!("has {} rows for the {} of curves.jsonl beside it", activity.len(), rows.len()),
            });
        }
        Ok((saved.state, Read { curves: rows, activity }))
    }
}

/// One JSON object a line, whole or not at all.
pub fn write_lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), JobError> {
    let file = |what: String| JobError::File { path: path.display().to_string(), what };
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row).map_err(|e| file(e.to_string()))?;
        text.push('\n');
    }
    write_whole(path, text.as_bytes()).map_err(|e| file(e.to_string()))
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, JobError> {
    let file = |what: String| JobError::File { path: path.display().to_string(), what };
    let text = std::fs::read_to_string(path).map_err(|e| file(e.to_string()))?;
    let row = |(i, line)| serde_json::from_str(line).map_err(|e| file(format!("line {}: {e}", i + 1)));
    text.lines().enumerate().map(row).collect()
}
