//! A whole paper in one job: trains every learned agent over the grid of powers and seeds, evaluates every agent, and hands the rows to the report.
//!
//! All (power, seed) replicas of an agent train side by side. The learner is saved every few updates with the rows it has produced, so that a job
//! that was interrupted continues from there and ends with the same rows, bit for bit.

use crate::agents::{AGENTS, Agent, Kind};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, V2xConfig};
use crate::evaluate::{BOUND_CARRIER, Controller, Job, Outcome, evaluate};
use crate::files::{writable_folder, write_whole};
use crate::gpu::{Gpu, GpuError};
use crate::learn::{Algorithm, LearnerState, Replica, UpdateMetrics};
use crate::rows::{CurveRow, EvalRow, SlotRow};
use crate::task::v2x::{V2xParams, metric};
use crate::train::{Learner, Plan, train};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can stop a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("'{path}': {what}")]
    File { path: String, what: String },
    #[error(
        "{what} needs {needed_gib:.1} GiB of memory but {available_gib:.1} GiB are free; lower train.seeds, ppo.envs, ppo.horizon or the agent's capacity"
    )]
    Memory { what: String, needed_gib: f64, available_gib: f64 },
    #[error(
        "checkpoint '{file}' was made with another configuration ({what}); remove it or choose another --out"
    )]
    OtherConfig { file: String, what: String },
    #[error("agent '{0}' needs no training")]
    NotLearned(&'static str),
    #[error("agent '{0}' is learned: give its weights with --checkpoint FILE")]
    NoWeights(&'static str),
}

/// Sees how far a job is.
pub trait Watch: Sync {
    /// A stage of `total` units begins.
    fn begin(&self, what: &str, total: u64);
    /// `units` more are done.
    fn advance(&self, units: u64, note: &str);
    fn end(&self);
    /// Something the reader of the results must know.
    fn warn(&self, what: &str);
}

/// The replicas of a configuration: every power with every seed, powers outermost.
pub fn replicas(task: &V2xConfig, p_max_dbm: &[f64], seeds: &[u32]) -> Vec<(f64, Replica)> {
    let at = |p: f64, seed: u32| Replica {
        seed,
        task: V2xConfig { p_max_dbm: p, ..task.clone() }.params([seed, 0]),
    };
    p_max_dbm.iter().flat_map(|p| seeds.iter().map(move |s| (*p, at(*p, *s)))).collect()
}

/// Names the configuration in rows.
struct Labels {
    agent: String,
    beam: String,
    kinematics: String,
}

impl Labels {
    fn new(agent: &str, config: &Config) -> Self {
        let lower = |x: String| x.to_lowercase();
        Labels {
            agent: agent.into(),
            beam: lower(format!("{:?}", config.task.beam)),
            kinematics: lower(format!("{:?}", config.task.kinematics)),
        }
    }

    fn curve(&self, p_max_dbm: f64, seed: u32, update: u32, env_steps: u64, u: &UpdateMetrics) -> CurveRow {
        CurveRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            p_max_dbm,
            seed,
            update,
            env_steps,
            reward: u.reward,
            sum_rate_bps_hz: u.sum_rate_bps_hz,
            jain: u.jain,
            indicator_share: u.indicator_share,
            policy_loss: u.policy_loss,
            value_loss: u.value_loss,
            entropy: u.entropy,
            approx_kl: u.approx_kl,
            clip_fraction: u.clip_fraction,
            grad_norm_actor: u.grad_norm_actor,
            grad_norm_critic: u.grad_norm_critic,
        }
    }

    fn evals(
        &self,
        p_max_dbm: f64,
        seed: u32,
        vehicles: usize,
        bound_only: bool,
        o: &Outcome,
    ) -> Vec<EvalRow> {
        let row = |metric: String, mean: f64, std_error: f64| EvalRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            p_max_dbm,
            seed,
            episodes: o.episodes,
            metric,
            mean,
            std_error,
        };
        if bound_only {
            let e = o.metrics[metric::UPPER_BOUND];
            return vec![row(metric::NAMES[metric::SUM_RATE].into(), e.mean, e.std_error)];
        }
        let names = Outcome::names(vehicles);
        names
            .into_iter()
            .zip(&o.metrics)
            .enumerate()
            .filter(|(i, _)| *i != metric::UPPER_BOUND)
            .map(|(_, (n, e))| row(n, e.mean, e.std_error))
            .collect()
    }

    fn slots(&self, p_max_dbm: f64, seed: u32, o: &Outcome) -> Vec<SlotRow> {
        let row = |(slot, e): (usize, &crate::evaluate::Estimate)| SlotRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            p_max_dbm,
            seed,
            slot: slot as u32,
            sum_rate_bps_hz: e.mean,
        };
        o.slots.iter().enumerate().map(row).collect()
    }
}

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find(|l| l.starts_with("MemAvailable"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Refuses a learner that does not fit into memory.
pub fn check_memory(algorithm: &Algorithm) -> Result<(), JobError> {
    let needed = algorithm.host_bytes();
    match available_memory() {
        Some(available) if needed > available / 10 * 9 => Err(JobError::Memory {
            what: format!(
                "training {} replicas of {} environment steps an update",
                algorithm.replicas().len(),
                algorithm.samples()
            ),
            needed_gib: needed as f64 / 2f64.powi(30),
            available_gib: available as f64 / 2f64.powi(30),
        }),
        _ => Ok(()),
    }
}

/// A training run that keeps a checkpoint and its rows in a folder.
pub struct Training<'a> {
    pub config: &'a Config,
    pub agent: &'a Agent,
    pub replicas: Vec<(f64, Replica)>,
    /// Folder of `checkpoint.safetensors` and `curves.jsonl`.
    pub dir: PathBuf,
    /// Updates between checkpoints.
    pub every: u32,
    pub resume: bool,
}

impl Training<'_> {
    fn rows_path(&self) -> PathBuf {
        self.dir.join("curves.jsonl")
    }
    /// The checkpoint file.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.dir.join("checkpoint.safetensors")
    }

    fn checkpoint(&self, state: LearnerState) -> Checkpoint {
        Checkpoint {
            config: self.config.clone(),
            agent: self.agent.id.into(),
            seeds: self.replicas.iter().map(|r| r.1.seed).collect(),
            p_max_dbm: self.replicas.iter().map(|r| r.0).collect(),
            state,
        }
    }

    /// Trains to the end of the plan and returns the last checkpoint with all rows.
    pub fn run(
        &self,
        gpu: Option<&Arc<Gpu>>,
        watch: &dyn Watch,
    ) -> Result<(Checkpoint, Vec<CurveRow>), JobError> {
        let replicas: Vec<Replica> = self.replicas.iter().map(|r| r.1).collect();
        let algorithm = Algorithm::new(self.agent.kind, self.config, replicas)
            .ok_or(JobError::NotLearned(self.agent.id))?;
        // An adapter has its own memory, and its limits are checked where its buffers are made.
        if gpu.is_none_or(|g| g.is_software()) {
            check_memory(&algorithm)?;
        }
        let (mut state, mut rows) = (algorithm.start(), Vec::new());
        if self.resume && self.checkpoint_path().exists() {
            (state, rows) = self.load()?;
        }
        let total = self.config.train.updates;
        let mut learner = Learner::new(&algorithm, &state, gpu)?;
        writable_folder(&self.dir).map_err(|e| JobError::File {
            path: self.dir.display().to_string(),
            what: format!("cannot write into this folder: {e}"),
        })?;
        let labels = Labels::new(self.agent.id, self.config);
        let replicas = self.replicas.len();
        watch.begin(&format!("train {} ({replicas} replicas)", self.agent.id), u64::from(total));
        watch.advance(u64::from(state.updates), "");
        while state.updates < total {
            let until = total.min((state.updates / self.every + 1) * self.every);
            let start = state.updates;
            let plan =
                Plan { algorithm: &algorithm, updates: total, until, log_every: self.config.train.log_every };
            state = train(
                &plan,
                &mut learner,
                start,
                |update, metrics| {
                    let steps = u64::from(update + 1) * algorithm.samples() as u64;
                    for ((p, r), u) in self.replicas.iter().zip(metrics) {
                        rows.push(labels.curve(*p, r.seed, update, steps, u));
                    }
                    let n = metrics.len() as f64;
                    let mean = |f: fn(&UpdateMetrics) -> f64| metrics.iter().map(f).sum::<f64>() / n;
                    watch.advance(
                        0,
                        &format!(
                            "sum-rate {:.2} bps/Hz, reward {:.2}",
                            mean(|u| u.sum_rate_bps_hz),
                            mean(|u| u.reward)
                        ),
                    );
                },
                |_| watch.advance(1, ""),
            )?;
            self.save(&state, &rows)?;
        }
        watch.end();
        // The learner passes over gradients that are not finite, so such a replica keeps its last good weights and would look merely bad.
        let last = rows.rchunks(self.replicas.len()).next().unwrap_or_default();
        let has_actor = self.agent.kind != Kind::Dqn;
        let diverged =
            |r: &&CurveRow| !r.grad_norm_critic.is_finite() || (has_actor && !r.grad_norm_actor.is_finite());
        let stuck: Vec<_> = last.iter().filter(diverged).collect();
        if let Some(r) = stuck.first() {
            watch.warn(&format!(
                "{} of {} replicas have stopped learning (first: seed {} at {} dBm), their gradients are not finite; lower the agent's learning rates or reward_scale",
                stuck.len(), last.len(), r.seed, r.p_max_dbm
            ));
        }
        Ok((self.checkpoint(state), rows))
    }

    /// Rows first: a checkpoint is never ahead of its rows, and rows behind it are cut off when it is read.
    fn save(&self, state: &LearnerState, rows: &[CurveRow]) -> Result<(), JobError> {
        let path = self.rows_path();
        let file = |what: String| JobError::File { path: path.display().to_string(), what };
        let mut text = String::new();
        for row in rows {
            text += &serde_json::to_string(row).map_err(|e| file(e.to_string()))?;
            text.push('\n');
        }
        write_whole(&path, text.as_bytes()).map_err(|e| file(e.to_string()))?;
        Ok(self.checkpoint(state.clone()).save(&self.checkpoint_path())?)
    }

    fn load(&self) -> Result<(LearnerState, Vec<CurveRow>), JobError> {
        let saved = Checkpoint::load(&self.checkpoint_path())?;
        let other = |what: String| {
            Err(JobError::OtherConfig { file: self.checkpoint_path().display().to_string(), what })
        };
        if let Some(what) = saved.config.difference(self.config) {
            return other(what);
        }
        if saved.agent != self.agent.id {
            return other(format!("agent '{}' there and '{}' here", saved.agent, self.agent.id));
        }
        if !saved.p_max_dbm.iter().zip(&saved.seeds).eq(self.replicas.iter().map(|(p, r)| (p, &r.seed))) {
            return other(format!(
                "replicas at {:?} dBm there and {:?} here",
                saved.p_max_dbm,
                self.replicas.iter().map(|r| r.0).collect::<Vec<_>>()
            ));
        }
        let path = self.rows_path();
        let file = |what: String| JobError::File { path: path.display().to_string(), what };
        let text = std::fs::read_to_string(&path).map_err(|e| file(e.to_string()))?;
        let mut rows = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let row: CurveRow =
                serde_json::from_str(line).map_err(|e| file(format!("line {}: {e}", i + 1)))?;
            if row.update < saved.state.updates {
                rows.push(row);
            }
        }
        // Rows are written before their checkpoint, so fewer of them mean that the file was cut or belongs to another run.
        let train = &self.config.train;
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
        Ok((saved.state, rows))
    }
}

/// Everything a report is made of.
#[derive(Default)]
pub struct Rows {
    pub curves: Vec<CurveRow>,
    pub evals: Vec<EvalRow>,
    pub slots: Vec<SlotRow>,
}

/// Evaluates one agent in the given replicas; `checkpoint` belongs to a learned one.
pub fn outcomes(
    agent: &Agent,
    config: &Config,
    replicas: &[V2xParams],
    checkpoint: Option<&Checkpoint>,
    gpu: Option<&Gpu>,
    watch: &dyn Watch,
) -> Result<Vec<Outcome>, JobError> {
    let episodes = config.evaluate.episodes;
    let controller = match (agent.kind, checkpoint) {
        (Kind::Reference(who), _) => Controller::Reference(who),
        (Kind::UpperBound, _) => Controller::Reference(BOUND_CARRIER),
        (_, Some(c)) => Controller::Policy {
            policy: c.algorithm().policy(),
            params: &c.state.params,
            greedy: config.evaluate.greedy,
        },
        (_, None) => return Err(JobError::NoWeights(agent.id)),
    };
    watch.begin(&format!("evaluate {}", agent.id), episodes * replicas.len() as u64);
    let job = Job { task: config.task.spec(), replicas: replicas.to_vec(), controller, episodes };
    let out = evaluate(&job, gpu, &|n| watch.advance(n, ""))?;
    watch.end();
    Ok(out)
}

/// The experiments behind the figures of "spiking-ac".
pub fn spiking_ac(
    config: &Config,
    out: &Path,
    resume: bool,
    gpu: Option<&Arc<Gpu>>,
    watch: &dyn Watch,
) -> Result<Rows, JobError> {
    let mut rows = Rows::default();
    let grid = replicas(&config.task, &config.reproduce.p_max_dbm, &config.train.seeds);
    let params: Vec<V2xParams> = grid.iter().map(|r| r.1.task).collect();
    for agent in AGENTS {
        let mut checkpoint = None;
        if agent.kind.is_learned() {
            let training = Training {
                config,
                agent,
                replicas: grid.clone(),
                dir: out.join("training").join(agent.id),
                every: config.reproduce.checkpoint_every,
                resume,
            };
            let (saved, curves) = training.run(gpu, watch)?;
            rows.curves.extend(curves);
            checkpoint = Some(saved);
        }
        let labels = Labels::new(agent.id, config);
        let results = outcomes(agent, config, &params, checkpoint.as_ref(), gpu.map(|g| &**g), watch)?;
        let bound = agent.kind == Kind::UpperBound;
        for ((p, r), o) in grid.iter().zip(&results) {
            rows.evals.extend(labels.evals(*p, r.seed, config.task.vehicles, bound, o));
            if !bound {
                rows.slots.extend(labels.slots(*p, r.seed, o));
            }
        }
    }
    Ok(rows)
}
