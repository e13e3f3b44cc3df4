//! A whole paper, or an experiment that it lacks, in one job: trains every learned agent over the grid of powers and seeds, evaluates every agent,
//! and hands the rows to the report.
//!
//! All (power, seed) replicas of an agent train side by side. The learner is saved every few updates with the rows it has produced, so that a job
//! that was interrupted continues from there and ends with the same rows, bit for bit.

use crate::agents::{AGENTS, Agent, Kind};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, Layered, V2xConfig};
use crate::energy::accounts::{self, Entry, Quantity};
use crate::energy::meters::{self, Meter};
use crate::energy::{CountError, TrainingSchedule};
use crate::evaluate::v2x::{BOUND_CARRIER, Controller, Job, Outcome, evaluate};
use crate::files::{writable_folder, write_whole};
use crate::gpu::{Gpu, GpuError};
use crate::learn::{Algorithm, LearnerState, Replica, UpdateMetrics};
use crate::rows::{ActivityRow, CurveRow, EnergyRow, EvalRow, SlotRow};
use crate::task::v2x::{Beam, V2xParams, metric};
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
    #[error("operations of agent '{0}': {1}")]
    Count(&'static str, CountError),
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
    variant: String,
}

impl Labels {
    fn new(agent: &str, config: &Config, variant: &str) -> Self {
        let lower = |x: String| x.to_lowercase();
        Labels {
            agent: agent.into(),
            beam: lower(format!("{:?}", config.task.beam)),
            kinematics: lower(format!("{:?}", config.task.kinematics)),
            variant: variant.into(),
        }
    }

    fn curve(&self, p_max_dbm: f64, seed: u32, update: u32, env_steps: u64, u: &UpdateMetrics) -> CurveRow {
        CurveRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            variant: self.variant.clone(),
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
            variant: self.variant.clone(),
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

    fn energy(&self, p_max_dbm: f64, seed: u32, e: Entry) -> EnergyRow {
        EnergyRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            variant: self.variant.clone(),
            p_max_dbm,
            seed,
            phase: e.phase.into(),
            network: e.network,
            method: e.method.into(),
            constants: e.constants,
            energy_j: e.energy_j,
            reason: e.reason,
        }
    }

    fn activity(
        &self,
        p_max_dbm: f64,
        seed: u32,
        phase: &str,
        update: Option<u32>,
        q: Quantity,
    ) -> ActivityRow {
        ActivityRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            variant: self.variant.clone(),
            p_max_dbm,
            seed,
            phase: phase.into(),
            update,
            network: q.network,
            layer: q.layer,
            quantity: q.name.into(),
            value: q.value,
        }
    }

    fn slots(&self, p_max_dbm: f64, seed: u32, o: &Outcome) -> Vec<SlotRow> {
        let row = |(slot, e): (usize, &crate::evaluate::Estimate)| SlotRow {
            agent: self.agent.clone(),
            beam: self.beam.clone(),
            kinematics: self.kinematics.clone(),
            variant: self.variant.clone(),
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

/// What a training run leaves.
pub struct Trained {
    pub checkpoint: Checkpoint,
    pub curves: Vec<CurveRow>,
    /// Firing rates of every update that was read, of agents with spikes.
    pub activity: Vec<ActivityRow>,
}

/// Rows of every read of the metrics: learning curves and firing rates.
#[derive(Default)]
struct Read {
    curves: Vec<CurveRow>,
    activity: Vec<ActivityRow>,
}

/// A training run that keeps a checkpoint and its rows in a folder.
pub struct Training<'a> {
    pub config: &'a Config,
    pub agent: &'a Agent,
    pub replicas: Vec<(f64, Replica)>,
    /// What an experiment varies, for the rows; else empty.
    pub variant: String,
    /// Folder of `checkpoint.safetensors`, `curves.jsonl` and, with spikes, `activity.jsonl`.
    pub dir: PathBuf,
    /// Updates between checkpoints.
    pub every: u32,
    pub resume: bool,
}

impl Training<'_> {
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
    pub fn run(&self, gpu: Option<&Arc<Gpu>>, watch: &dyn Watch) -> Result<Trained, JobError> {
        let replicas: Vec<Replica> = self.replicas.iter().map(|r| r.1).collect();
        let algorithm = Algorithm::new(self.agent.kind, self.config, replicas)
            .ok_or(JobError::NotLearned(self.agent.id))?;
        // An adapter has its own memory, and its limits are checked where its buffers are made.
        if gpu.is_none_or(|g| g.is_software()) {
            check_memory(&algorithm)?;
        }
        let (mut state, mut read) = (algorithm.start(), Read::default());
        if self.resume && self.checkpoint_path().exists() {
            (state, read) = self.load()?;
        }
        let total = self.config.train.updates;
        let mut learner = Learner::new(&algorithm, &state, gpu)?;
        writable_folder(&self.dir).map_err(|e| JobError::File {
            path: self.dir.display().to_string(),
            what: format!("cannot write into this folder: {e}"),
        })?;
        let labels = Labels::new(self.agent.id, self.config, &self.variant);
        let schedule = TrainingSchedule::of(&algorithm);
        let replicas = self.replicas.len();
        let what = [self.agent.id, &labels.beam, &labels.variant].join(" ");
        watch.begin(&format!("train {} ({replicas} replicas)", what.trim_end()), u64::from(total));
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
                        read.curves.push(labels.curve(*p, r.seed, update, steps, u));
                        for q in accounts::firing_rates(&schedule, &u.firing_rates) {
                            read.activity.push(labels.activity(*p, r.seed, "train", Some(update), q));
                        }
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
            self.save(&state, &read)?;
        }
        watch.end();
        // The learner passes over gradients that are not finite, so such a replica keeps its last good weights and would look merely bad.
        let last = read.curves.rchunks(self.replicas.len()).next().unwrap_or_default();
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
        Ok(Trained { checkpoint: self.checkpoint(state), curves: read.curves, activity: read.activity })
    }

    /// Rows first: a checkpoint is never ahead of its rows, and rows behind it are cut off when it is read.
    fn save(&self, state: &LearnerState, read: &Read) -> Result<(), JobError> {
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

    fn load(&self) -> Result<(LearnerState, Read), JobError> {
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
        let mut rows: Vec<CurveRow> = read_lines(&path)?;
        rows.retain(|r| r.update < saved.state.updates);
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
fn write_lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), JobError> {
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

/// Everything a report is made of.
#[derive(Default)]
pub struct Rows {
    pub curves: Vec<CurveRow>,
    pub evals: Vec<EvalRow>,
    pub slots: Vec<SlotRow>,
    pub energy: Vec<EnergyRow>,
    pub activity: Vec<ActivityRow>,
}

/// Mean over all updates of a replica's firing rates, hidden layers in the order of their networks.
fn mean_rates(rows: &[ActivityRow], p_max_dbm: f64, seed: u32) -> Vec<f64> {
    let mut sums: Vec<((&str, u32), f64, u32)> = Vec::new();
    for r in rows.iter().filter(|r| r.p_max_dbm == p_max_dbm && r.seed == seed && r.value.is_finite()) {
        let key = (r.network.as_str(), r.layer);
        match sums.iter_mut().find(|s| s.0 == key) {
            Some((_, sum, n)) => {
                *sum += r.value;
                *n += 1;
            }
            None => sums.push((key, r.value, 1)),
        }
    }
    sums.iter().map(|(_, sum, n)| sum / f64::from(*n)).collect()
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

/// Joules per slot (a policy call and a step of its environment) by the device's counter and how it was measured, or why it was not. Evaluates
/// the given replicas again and again, idle power subtracted, if `asked`.
pub fn measured(
    agent: &Agent,
    config: &Config,
    replicas: &[V2xParams],
    checkpoint: &Checkpoint,
    gpu: Option<&Gpu>,
    asked: bool,
    watch: &dyn Watch,
) -> Result<(f64, String), String> {
    // Software adapters run on the processor.
    let name = gpu.filter(|g| !g.is_software()).map(|g| g.info.name.as_str());
    let mut meter = Meter::open(Path::new(meters::SYSFS), name)?;
    if !asked {
        return Err(format!("not asked for, with --measure-energy ({} can be read)", meter.what()));
    }
    let mut short = config.clone();
    short.evaluate.episodes = config.evaluate.episodes.min(1024);
    let slots = short.evaluate.episodes * (replicas.len() * config.task.slots) as u64;
    let what = meter.what();
    watch.begin(&format!("measure {}", agent.id), 1);
    let result = meters::measure(&mut meter, || {
        outcomes(agent, &short, replicas, Some(checkpoint), gpu, &Quiet).map_err(|e| e.to_string())?;
        Ok(slots)
    });
    watch.end();
    let m = result?;
    Ok((m.joules_per_unit, m.how(&format!("{what}; policy with its environment"))))
}

struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// Accounts of one trained and evaluated agent; an agent whose activity was not counted has those of its training only.
fn account(
    agent: &Agent,
    labels: &Labels,
    trained: &Trained,
    grid: &[(f64, Replica)],
    results: &[Outcome],
    rows: &mut Rows,
) -> Result<(), JobError> {
    let algorithm = trained.checkpoint.algorithm();
    let (policy, schedule) = (algorithm.policy(), TrainingSchedule::of(&algorithm));
    let weights = trained.checkpoint.state.params.chunks(policy.params);
    for (((p, r), o), params) in grid.iter().zip(results).zip(weights) {
        if let Some(activity) = &o.activity {
            let (energy, counted) = accounts::inference(&policy.net, params, activity)
                .map_err(|e| JobError::Count(agent.id, e))?;
            rows.energy.extend(energy.into_iter().map(|e| labels.energy(*p, r.seed, e)));
            let row = |q| labels.activity(*p, r.seed, "evaluate", None, q);
            rows.activity.extend(counted.into_iter().map(row));
        }
        let rates = mean_rates(&trained.activity, *p, r.seed);
        let (energy, counted) = accounts::training(&schedule, &rates);
        rows.energy.extend(energy.into_iter().map(|e| labels.energy(*p, r.seed, e)));
        rows.activity.extend(counted.into_iter().map(|q| labels.activity(*p, r.seed, "train", None, q)));
    }
    Ok(())
}

/// One agent with one configuration of an experiment.
#[derive(Debug)]
pub struct Run {
    pub agent: &'static Agent,
    pub config: Config,
    /// What tells it from other runs of this agent and beam, such as `rate_penalty=0.03`; else empty.
    pub variant: String,
    /// Folder of its training below the job's.
    pub folder: PathBuf,
}

/// The runs of a job: every agent as it is configured or, with an `[experiment]`, the agents, beams and penalties listed there, and then every
/// agent that needs no training.
pub fn runs(config: &Config) -> Vec<Run> {
    let whole = |agent: &'static Agent| Run {
        agent,
        config: config.clone(),
        variant: String::new(),
        folder: agent.id.into(),
    };
    let Some(e) = &config.experiment else { return AGENTS.iter().map(whole).collect() };
    let mut out = Vec::new();
    for agent in AGENTS.iter().filter(|a| e.agents.iter().any(|id| id == a.id)) {
        let mut beams = vec![whole(agent)];
        if !e.beams.is_empty() {
            let with = |beam: &Beam| {
                let mut run = whole(agent);
                run.config.task.beam = *beam;
                run.folder.push(format!("{beam:?}").to_lowercase());
                run
            };
            beams = e.beams.iter().map(with).collect();
        }
        for run in beams {
            if agent.kind != Kind::SpikingAc || e.rate_penalties.is_empty() {
                out.push(run);
                continue;
            }
            for p in &e.rate_penalties {
                let variant = format!("rate_penalty={p}");
                let mut config = run.config.clone();
                config.spiking.rate_penalty = *p;
                out.push(Run { agent, config, folder: run.folder.join(&variant), variant });
            }
        }
    }
    out.extend(AGENTS.iter().filter(|a| !a.kind.is_learned()).map(whole));
    for run in &mut out {
        // What the other runs of the job are is none of a checkpoint's business: a longer list continues with the same ones.
        run.config.experiment = None;
    }
    out
}

/// How a job is done.
pub struct Way<'a> {
    /// Folder of the job.
    pub out: &'a Path,
    /// Continue from the checkpoints in `out`.
    pub resume: bool,
    /// Read energy from the device's counter too, if it has one.
    pub measure: bool,
    pub gpu: Option<&'a Arc<Gpu>>,
    pub watch: &'a dyn Watch,
}

/// Trains and evaluates all [`runs`] of a configuration.
pub fn reproduce(config: &Config, way: &Way) -> Result<Rows, JobError> {
    let mut rows = Rows::default();
    for run in runs(config) {
        run.add_rows(way, &mut rows)?;
    }
    Ok(rows)
}

impl Run {
    /// Trains (if it learns) and evaluates the agent over the grid of powers and seeds, and adds its rows.
    fn add_rows(&self, way: &Way, rows: &mut Rows) -> Result<(), JobError> {
        let (agent, config, watch) = (self.agent, &self.config, way.watch);
        let grid = replicas(&config.task, &config.reproduce.p_max_dbm, &config.train.seeds);
        let params: Vec<V2xParams> = grid.iter().map(|r| r.1.task).collect();
        let mut trained = None;
        if agent.kind.is_learned() {
            let training = Training {
                config,
                agent,
                replicas: grid.clone(),
                variant: self.variant.clone(),
                dir: way.out.join("training").join(&self.folder),
                every: config.reproduce.checkpoint_every,
                resume: way.resume,
            };
            trained = Some(training.run(way.gpu, watch)?);
        }
        let device = way.gpu.map(|g| &**g);
        let checkpoint = trained.as_ref().map(|t| &t.checkpoint);
        let labels = Labels::new(agent.id, config, &self.variant);
        let results = outcomes(agent, config, &params, checkpoint, device, watch)?;
        let bound = agent.kind == Kind::UpperBound;
        for ((p, r), o) in grid.iter().zip(&results) {
            rows.evals.extend(labels.evals(*p, r.seed, config.task.vehicles, bound, o));
            if !bound {
                rows.slots.extend(labels.slots(*p, r.seed, o));
            }
        }
        if let Some(trained) = trained {
            account(agent, &labels, &trained, &grid, &results, rows)?;
            // The device is asked once for all replicas, which do the same work; the row stands at the last of them.
            if let Some((p, r)) = grid.last() {
                let result =
                    measured(agent, config, &params, &trained.checkpoint, device, way.measure, watch);
                for (phase, result) in [
                    (accounts::INFERENCE, result),
                    (accounts::TRAINING, Err("training is not measured apart from evaluation".into())),
                ] {
                    rows.energy.push(labels.energy(*p, r.seed, accounts::measured(phase, &result)));
                }
            }
            rows.curves.extend(trained.curves);
            rows.activity.extend(trained.activity);
        }
        Ok(())
    }
}
