//! Training runs that keep a checkpoint and their rows in a folder, and continue from there.

use super::best::Best;
use crate::energy::TrainingSchedule;
use crate::energy::accounts;
use crate::files::{if_there, writable_folder, write_whole};
use crate::gpu::Gpu;
use crate::learn::{Algorithm, Learner, LearnerState, UpdateMetrics};
use crate::run::checkpoint::{Checkpoint, is_finished, last_read};
use crate::run::errors::{CheckpointError, JobError};
use crate::run::health::{self, Finding, Health, Keys};
use crate::run::journal::Journal;
use crate::run::rows::{ActivityRow, CurveRow, Key, Schema};
use crate::run::task::{Agent, Task};
use crate::run::tensorboard::{self, Events};
use crate::run::train::{TrainingSpan, train};
use crate::run::watch::Watch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find(|l| l.starts_with("MemAvailable"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Refuses a learner that does not fit into memory; `keys` are what would make it smaller.
pub fn check_memory(algorithm: &Algorithm, keys: &'static str) -> Result<(), JobError> {
    let needed = algorithm.host_bytes();
    match available_memory() {
        Some(available) if needed > available / 10 * 9 => Err(JobError::Memory {
            what: format!(
                "training {} replicas of {} environment steps an update",
                algorithm.env().replicas(),
                algorithm.samples()
            ),
            needed_gib: needed as f64 / 2f64.powi(30),
            available_gib: available as f64 / 2f64.powi(30),
            keys,
        }),
        _ => Ok(()),
    }
}

/// Which run of a job a row belongs to.
pub struct RunId<C: Task> {
    pub agent: &'static Agent<C>,
    /// What an experiment varies, such as `rate_penalty=0.03`; else empty.
    pub variant: String,
}

/// What a training run leaves.
pub struct Trained<C: Task> {
    pub checkpoint: Checkpoint<C>,
    pub curves: Vec<CurveRow>,
    /// Firing rates of every update that was read, of agents with spikes.
    pub activity: Vec<ActivityRow>,
    /// Updates that were done before this process.
    pub found: u32,
    /// When each replica's reward was highest, as (update, mean reward); `None` where rewards were not read.
    pub best: Vec<Option<(u32, f64)>>,
}

/// The row of one update of a replica.
pub(in crate::run) fn curve(key: Key, update: u32, env_steps: u64, u: &UpdateMetrics) -> CurveRow {
    let [beam_gain, grad_norm_spatial, gradient_cosine] =
        u.beams.map_or([f64::NAN; 3], |b| [b.gain, b.grad_norm, b.cosine]);
    CurveRow {
        key,
        update,
        env_steps,
        slots: u.slots.clone(),
        policy_loss: u.policy_loss,
        value_loss: u.value_loss,
        entropy: u.entropy,
        approx_kl: u.approx_kl,
        clip_fraction: u.clip_fraction,
        explained_variance: u.explained_variance,
        dead_neurons: u.dead_neurons,
        saturated_neurons: u.saturated_neurons,
        rate_share: u.rate_share,
        skipped_share: u.skipped_share,
        grad_norm_actor: u.grad_norm_actor,
        grad_norm_critic: u.grad_norm_critic,
        beam_gain,
        grad_norm_spatial,
        gradient_cosine,
    }
}

/// Firing rates of an update's rollout; none without spikes.
fn activity(key: &Key, update: u32, algorithm: &Algorithm, u: &UpdateMetrics) -> Vec<ActivityRow> {
    if u.firing_rates.is_empty() {
        return Vec::new();
    }
    let rates = accounts::firing_rates(&TrainingSchedule::of(algorithm), &u.firing_rates);
    rates.into_iter().map(|q| ActivityRow::new(key, "train", Some(update), q)).collect()
}

/// Most replicas that are named in warnings of one kind.
const NAMED: usize = 8;

/// Looks after the health of all replicas.
struct Care<'a> {
    runs: Vec<Health>,
    keys: &'a [Key],
    turn: Keys,
    /// Of the swept value.
    unit: &'static str,
    /// Replicas that were found ill, by what of them.
    ill: BTreeMap<&'static str, usize>,
}

impl<'a> Care<'a> {
    fn new(
        algorithm: &Algorithm,
        keys: &'a [Key],
        schema: &Schema,
        unit: &'static str,
        updates: u32,
    ) -> Self {
        let runs = keys.iter().map(|_| Health::new(schema, updates)).collect();
        Care { runs, keys, turn: Keys::of(algorithm), unit, ill: BTreeMap::new() }
    }

    /// The next rows of a replica; what is to be warned of.
    fn see(&mut self, replica: usize, row: &CurveRow, activity: &[ActivityRow]) -> Vec<String> {
        let rates = activity.iter().filter(|r| r.quantity == health::FIRING_RATE).map(|r| r.value);
        let found = self.runs[replica].see(row, &rates.collect::<Vec<_>>());
        found.into_iter().filter_map(|f| self.warning(replica, &f)).collect()
    }

    /// What is to be warned of when the run is over.
    fn end(&mut self) -> Vec<String> {
        let found: Vec<_> = (0..self.runs.len()).filter_map(|i| Some((i, self.runs[i].end()?))).collect();
        let mut out: Vec<String> = found.iter().filter_map(|(i, f)| self.warning(*i, f)).collect();
        for (column, n) in self.ill.iter().filter(|(_, n)| **n > NAMED) {
            out.push(format!("{} more replicas are as those above in their {column}", n - NAMED));
        }
        out
    }

    fn warning(&mut self, replica: usize, f: &Finding) -> Option<String> {
        let (n, key) = (self.ill.entry(f.column()).or_default(), &self.keys[replica]);
        *n += 1;
        let who = format!("{}, seed {} at {} {}", key.agent, key.seed, key.at, self.unit);
        (*n <= NAMED).then(|| format!("{who}: {}", f.advice(&self.turn)))
    }
}

/// Rows of every read of the metrics: learning curves and firing rates.
#[derive(Default)]
struct Read {
    curves: Vec<CurveRow>,
    activity: Vec<ActivityRow>,
}

/// A training run that keeps a checkpoint and its rows in a folder.
pub struct Training<'a, C: Task> {
    pub config: &'a C,
    pub run: RunId<C>,
    /// (swept value, seed) of every replica, see [`super::grid`].
    pub replicas: Vec<(f64, u32)>,
    /// Folder of `checkpoint.safetensors`, `curves.jsonl` and, with spikes, `activity.jsonl`.
    pub dir: PathBuf,
    /// Updates between checkpoints.
    pub every: u32,
    /// Continue from the checkpoint in `dir`; else what a training left there before is removed.
    pub resume: bool,
    /// Hears of every checkpoint.
    pub journal: Option<&'a Journal>,
    /// Where learning curves are written for TensorBoard too.
    pub events: Option<tensorboard::Place>,
    /// Whether the best weights are kept beside the last ones.
    pub best: bool,
}

impl<C: Task> Training<'_, C> {
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
            agent: self.run.agent.id.into(),
            seeds: self.replicas.iter().map(|r| r.1).collect(),
            swept: self.replicas.iter().map(|r| r.0).collect(),
            state,
        }
    }

    /// Trains to the last update and returns the last checkpoint with all rows.
    ///
    /// # Errors
    /// What stopped it; what was saved stays.
    pub fn run(&self, gpu: Option<&Arc<Gpu>>, watch: &dyn Watch) -> Result<Trained<C>, JobError> {
        let agent = self.run.agent;
        let algorithm =
            self.config.algorithm_at(agent, &self.replicas).ok_or(JobError::NotLearned(agent.id))?;
        // An adapter has its own memory, and its limits are checked where its buffers are made.
        if gpu.is_none_or(|g| g.is_software()) {
            check_memory(&algorithm, C::MEMORY_KEYS)?;
        }
        let (mut state, mut read) = (algorithm.start(), Read::default());
        let resumed = self.resume && self.checkpoint_path().exists();
        if resumed {
            (state, read) = self.load(&algorithm, watch)?;
        }
        let found = state.updates;
        let train_config = self.config.common().train;
        let total = train_config.updates;
        // A finished run may lack what a learner needs.
        let mut learner = (found < total).then(|| Learner::new(&algorithm, &state, gpu)).transpose()?;
        writable_folder(&self.dir)
            .map_err(|e| JobError::file(&self.dir, format!("cannot write into this folder: {e}")))?;
        let keys: Vec<Key> =
            self.replicas.iter().map(|at| self.config.key(agent, &self.run.variant, *at)).collect();
        let mut events = None;
        if let Some(place) = &self.events {
            let of = format!("{}\n{}", agent.id, self.config.training_text());
            let (resume, done, rows) = (self.resume, found, &read.curves[..]);
            let training =
                tensorboard::Training { schema: C::SCHEMA, keys: &keys, of: &of, resume, done, rows };
            events = Some(Events::open(place, &training)?);
        }
        if !resumed {
            self.clear()?;
        }
        if let Some(journal) = self.journal {
            // Of a run that only ends again, no other device is told.
            if let Some(devices) = journal.other_device().filter(|_| (1..total).contains(&found)) {
                watch.warn(&format!(
                    "this run continues on another device ({devices}): its numbers may differ from those of either alone"
                ));
            }
            journal.begin(found, total)?;
        }
        let replicas = self.replicas.len();
        let labels = self.config.labels(agent, &self.run.variant);
        let words = std::iter::once(agent.id).chain(labels.iter().map(String::as_str));
        let what = words.filter(|x| !x.is_empty()).collect::<Vec<_>>().join(" ");
        watch.begin(&format!("train {what} ({replicas} replicas)"), u64::from(total));
        watch.advance(u64::from(found), "");
        let mut care = Care::new(&algorithm, &keys, C::SCHEMA, C::SWEPT.unit, total);
        // Of what was read before, there were warnings before.
        let layers = read.activity.len() / read.curves.len().max(1);
        for (i, row) in read.curves.iter().enumerate() {
            care.see(i % replicas, row, &read.activity[i * layers..][..layers]);
        }
        // The learner passes over gradients that are not finite, so such a replica keeps its last good weights and
        // would look merely bad.
        let mut stuck = vec![false; replicas];
        let mut best = Best::new(C::SCHEMA, replicas, self.every, total);
        if resumed {
            best.load::<C>(&self.dir, &self.replicas);
        }
        while let Some(learner) = learner.as_mut().filter(|_| state.updates < total) {
            let until = total.min((state.updates / self.every + 1) * self.every);
            let start = state.updates;
            let span = TrainingSpan {
                algorithm: &algorithm,
                updates: total,
                until,
                log_every: train_config.log_every,
            };
            let mut told = Ok(());
            state = train(
                &span,
                learner,
                start,
                |update, metrics| {
                    let steps = u64::from(update + 1) * algorithm.samples() as u64;
                    for (i, ((key, u), stuck)) in keys.iter().zip(metrics).zip(&mut stuck).enumerate() {
                        let row = curve(key.clone(), update, steps, u);
                        let rates = activity(key, update, &algorithm, u);
                        care.see(i, &row, &rates).iter().for_each(|warning| watch.warn(warning));
                        if let Some(events) = events.as_mut().filter(|_| told.is_ok()) {
                            told = events.add(&row);
                        }
                        read.curves.push(row);
                        read.activity.extend(rates);
                        *stuck = algorithm.is_stuck(u).unwrap_or(*stuck);
                    }
                    watch.advance(0, &algorithm.note(metrics));
                },
                |_| {
                    watch.advance(1, "");
                    !watch.stops()
                },
            )?;
            if self.best && best.see(state.updates, &state.params, &read.curves) {
                best.save(&self.dir, &self.checkpoint(state.clone()))?;
            }
            self.save(&state, &read)?;
            // The state is saved first, even where its events cannot be written.
            told?;
            if let Some(journal) = self.journal {
                journal.saved(state.updates - start)?;
            }
            if state.updates < total && watch.stops() {
                return Err(JobError::Interrupted { done: state.updates, of: total });
            }
        }
        watch.end();
        // Of a run that was found finished, there was a warning when it ended.
        if found < total {
            care.end().iter().for_each(|warning| watch.warn(warning));
        }
        let stuck: Vec<_> = self.replicas.iter().zip(stuck).filter(|(_, stuck)| *stuck).collect();
        if let Some(((x, seed), _)) = stuck.first() {
            watch.warn(&format!(
                "{} of {replicas} replicas have stopped learning (first: seed {seed} at {x} {}), their gradients are not finite; lower the agent's learning rates or reward_scale",
                stuck.len(),
                C::SWEPT.unit,
            ));
        }
        let checkpoint = self.checkpoint(state);
        Ok(Trained { checkpoint, curves: read.curves, activity: read.activity, found, best: best.found() })
    }

    /// Rows first: a checkpoint is never ahead of its rows, and rows behind it are cut off when it is read.
    fn save(&self, state: &LearnerState, read: &Read) -> Result<(), JobError> {
        write_lines(&self.rows_path(), &read.curves)?;
        match read.activity.is_empty() {
            false => write_lines(&self.activity_path(), &read.activity)?,
            // Of an agent that was trained here before.
            true => remove(&self.activity_path())?,
        }
        let last = read.curves.last().map(|r| r.update);
        let finished = state.updates == self.config.common().train.updates;
        Ok(self.checkpoint(state.clone()).save_beside_rows(&self.checkpoint_path(), last, finished)?)
    }

    /// Removes what another training left, its checkpoint first: rows without a checkpoint are not read.
    fn clear(&self) -> Result<(), JobError> {
        let [weights, rewards] = Best::paths(&self.dir);
        let all = [self.checkpoint_path(), self.rows_path(), self.activity_path(), weights, rewards];
        all.iter().try_for_each(|path| remove(path))
    }

    /// The saved state and its rows. Keys that change no training may be others now, and the run may be longer.
    fn load(&self, algorithm: &Algorithm, watch: &dyn Watch) -> Result<(LearnerState, Read), JobError> {
        let path = self.checkpoint_path();
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).map_err(|e| CheckpointError::Read(name.clone(), e))?;
        let saved = Checkpoint::<C>::from_bytes(&bytes, name)?;
        let other = |what: String| {
            Err(JobError::OtherConfig { file: self.checkpoint_path().display().to_string(), what })
        };
        if let Some(what) = self.config.training_difference(&saved.config, self.run.agent) {
            return other(what);
        }
        if saved.agent != self.run.agent.id {
            return other(format!("agent '{}' there and '{}' here", saved.agent, self.run.agent.id));
        }
        if saved.replicas() != self.replicas {
            return other(format!(
                "replicas at {:?} {} there and {:?} here",
                saved.swept,
                C::SWEPT.unit,
                self.replicas.iter().map(|r| r.0).collect::<Vec<_>>()
            ));
        }
        let (before, now) = (saved.config.common().train, self.config.common().train);
        let done = saved.state.updates;
        if now.updates < done {
            return other(format!("train.updates is {} and {done} are done", now.updates));
        }
        if now.updates > done && is_finished(&bytes) {
            let what = format!(
                "it was finished after {done} updates and left its replay out, so it cannot go on to {}; begin anew with --force",
                now.updates
            );
            return Err(JobError::file(&self.checkpoint_path(), what));
        }
        if now.updates != before.updates
            && let Some(key) = algorithm.follows_length()
        {
            watch.warn(&format!(
                "train.updates was {} and is {} now: {key} follows the length of the run, so what was done up to update {done} is not what a run of this length would have done",
                before.updates, now.updates
            ));
        }
        let path = self.rows_path();
        let mut rows: Vec<CurveRow> = read_lines(&path)?;
        rows.retain(|r| r.update < done);
        // Rows are written before their checkpoint, so a last one that is missing means that the file was cut or
        // belongs to another run. One that does not name it was read at the same updates all the way.
        let last = last_read(&bytes).unwrap_or_else(|| (0..done).rev().find(|u| before.reads(*u)));
        let there = rows.iter().filter(|r| Some(r.update) == last).count();
        if last.is_some_and(|_| there != self.replicas.len())
            || !rows.len().is_multiple_of(self.replicas.len())
        {
            let (last, needs) = (last.unwrap_or(0), self.replicas.len());
            let what =
                format!("has {there} rows of update {last} where the checkpoint beside it needs {needs}");
            return Err(JobError::file(&path, what));
        }
        let path = self.activity_path();
        let mut activity: Vec<ActivityRow> = if path.exists() { read_lines(&path)? } else { Vec::new() };
        activity.retain(|r| r.update.is_some_and(|u| u < done));
        if !rows.is_empty() && !activity.len().is_multiple_of(rows.len()) {
            let (n, of) = (activity.len(), rows.len());
            let what = format!("has {n} rows for the {of} of curves.jsonl beside it");
            return Err(JobError::file(&path, what));
        }
        // A shorter run has read its last update; a longer one would have passed over it.
        rows.retain(|r| now.reads(r.update) || !before.reads_last(r.update));
        activity.retain(|r| r.update.is_none_or(|u| now.reads(u) || !before.reads_last(u)));
        Ok((saved.state, Read { curves: rows, activity }))
    }
}

/// One JSON object a line, whole or not at all.
pub fn write_lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), JobError> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row).map_err(|e| JobError::file(path, e))?;
        text.push('\n');
    }
    write_whole(path, text.as_bytes()).map_err(|e| JobError::file(path, e))
}

fn remove(path: &Path) -> Result<(), JobError> {
    if_there(std::fs::remove_file(path)).map(drop).map_err(|e| JobError::file(path, e))
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, JobError> {
    let text = std::fs::read_to_string(path).map_err(|e| JobError::file(path, e))?;
    let row = |(i, line)| {
        serde_json::from_str(line).map_err(|e| JobError::file(path, format!("line {}: {e}", i + 1)))
    };
    text.lines().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::v2x::config::V2xConfig;
    use std::sync::Mutex;

    /// What was warned of.
    #[derive(Default)]
    struct Warned(Mutex<Vec<String>>);

    impl Watch for Warned {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64, _: &str) {}
        fn end(&self) {}
        fn warn(&self, what: &str) {
            self.0.lock().unwrap().push(what.into());
        }
    }

    /// One update of 10 slots is over before `dqn` has made its first gradient step; ten steps whose rate is as large
    /// as single precision allows end in gradients that are not finite.
    #[test]
    fn only_gradients_that_were_made_can_be_not_finite() {
        for (learns, rate, stuck) in [(false, 1e-3, false), (true, 1e-3, false), (true, 1e38, true)] {
            let starts = if learns { 32 } else { 640 };
            let sets = [
                "task.slots=10".to_string(),
                "ppo.horizon=10".into(),
                "ppo.minibatch=40".into(),
                "train.updates=1".into(),
                "train.seeds=[0]".into(),
                "dqn.hidden=[8]".into(),
                "dqn.envs=32".into(),
                "dqn.capacity=640".into(),
                "dqn.minibatch=16".into(),
                "dqn.train_every=1".into(),
                format!("dqn.learning_starts={starts}"),
            ];
            let mut config = V2xConfig::load(None, &sets).unwrap();
            // No file may ask for the last one.
            config.dqn.lr = rate;
            let (dir, watch) = (tempfile::tempdir().unwrap(), Warned::default());
            let training = Training {
                config: &config,
                run: RunId { agent: V2xConfig::agent("dqn").unwrap(), variant: String::new() },
                replicas: vec![(40.0, 0)],
                dir: dir.path().into(),
                every: 1,
                resume: false,
                journal: None,
                events: None,
                best: false,
            };
            let trained = training.run(None, &watch);
            let warned = watch.0.into_inner().unwrap();
            assert_eq!(warned.iter().any(|w| w.contains("not finite")), stuck, "{rate}: {warned:?}");
            assert!(stuck || (trained.unwrap().checkpoint.state.adam_steps > 0) == learns);
        }
    }
}
