//! Task v2x: the paper "spiking-ac" and the experiments that it lacks.

use crate::config::TrainConfig;
use crate::energy::TrainingSchedule;
use crate::energy::accounts::{self, Entry, Quantity};
use crate::gpu::{Gpu, GpuError};
use crate::learn::{Algorithm, LearnerState, Replica, UpdateMetrics};
use crate::nets::Tensor;
use crate::run::checkpoint::{Algorithmic, Checkpoint, Trainable};
use crate::run::evaluate::Precision;
use crate::run::reproduce::{Job, RunId, Seen, Trained, Training};
use crate::run::reproduce::{JobError, Quiet, Watch, Way, grid, meter};
use crate::run::rows::{ActivityRow, CurveRow, EnergyRow, EvalRow, SlotRow};
use crate::run::train::{Learner, Plan, train};
use crate::tasks::v2x::agents::{self as agents, AGENTS, V2xAgent, V2xKind};
use crate::tasks::v2x::config::{V2xConfig, V2xTaskConfig};
use crate::tasks::v2x::evaluate::{BOUND_CARRIER, Controller, Job as Evaluation, Outcome, evaluate};
use crate::tasks::v2x::physics::{Beam, V2xParams, metric};
use std::path::PathBuf;
use std::sync::Arc;

/// Task parameters at a power limit, dBm, under a key.
pub fn params_of(task: &V2xTaskConfig, p_max_dbm: f64, key: [u32; 2]) -> V2xParams {
    V2xTaskConfig { p_max_dbm, ..task.clone() }.params(key)
}

impl Algorithmic for Algorithm {
    fn params(&self) -> usize {
        self.params()
    }
    fn tensors(&self) -> Vec<Tensor> {
        self.tensors()
    }
    fn start(&self) -> LearnerState {
        self.start()
    }
    fn replicas(&self) -> usize {
        self.replicas().len()
    }
    fn samples(&self) -> usize {
        self.samples()
    }
    fn host_bytes(&self) -> u64 {
        self.host_bytes()
    }
}

impl Trainable for V2xConfig {
    type Algorithm = Algorithm;
    const TASK: &'static str = "v2x";
    const SWEPT: &'static str = "p_max_dbm";
    const SWEPT_UNIT: &'static str = "dBm";
    const SWEPT_NOUN: &'static str = "powers";

    fn train_config(&self) -> &TrainConfig {
        &self.train
    }
    fn algorithm(&self, agent: &str, replicas: &[(f64, u32)]) -> Option<Algorithm> {
        let replicas = replicas
            .iter()
            .map(|(p, seed)| Replica { seed: *seed, task: params_of(&self.task, *p, [*seed, 0]) })
            .collect();
        agents::find(agent)?.algorithm(self, replicas)
    }
}

impl Job for V2xConfig {
    type Row = CurveRow;
    type Metrics = UpdateMetrics;
    type Learner = Learner;
    const MEMORY_KEYS: &'static str = "train.seeds, ppo.envs, ppo.horizon or the agent's capacity";

    fn learner(
        algorithm: &Algorithm,
        start: &LearnerState,
        gpu: Option<&Arc<Gpu>>,
    ) -> Result<Learner, GpuError> {
        Learner::new(algorithm, start, gpu)
    }
    fn train(
        plan: &Plan,
        learner: &mut Learner,
        start: u32,
        seen: Seen<UpdateMetrics>,
        tick: &mut dyn FnMut(u32),
    ) -> Result<LearnerState, GpuError> {
        train(plan, learner, start, seen, tick)
    }
    fn curve(
        &self,
        run: &RunId,
        (p_max_dbm, seed): (f64, u32),
        update: u32,
        env_steps: u64,
        u: &UpdateMetrics,
    ) -> CurveRow {
        Labels::new(run.agent, self, &run.variant).curve(p_max_dbm, seed, update, env_steps, u)
    }
    fn update_of(row: &CurveRow) -> u32 {
        row.update
    }
    fn is_stuck(&self, agent: &str, row: &CurveRow) -> bool {
        let has_actor = self.algorithm(agent, &[]).is_some_and(|a| a.has_actor());
        !row.grad_norm_critic.is_finite() || (has_actor && !row.grad_norm_actor.is_finite())
    }
    fn note(metrics: &[UpdateMetrics]) -> String {
        let n = metrics.len() as f64;
        let mean = |f: fn(&UpdateMetrics) -> f64| metrics.iter().map(f).sum::<f64>() / n;
        format!("sum-rate {:.2} bps/Hz, reward {:.2}", mean(|u| u.sum_rate_bps_hz), mean(|u| u.reward))
    }
    fn activity(
        &self,
        run: &RunId,
        (p_max_dbm, seed): (f64, u32),
        update: u32,
        algorithm: &Algorithm,
        u: &UpdateMetrics,
    ) -> Vec<ActivityRow> {
        let labels = Labels::new(run.agent, self, &run.variant);
        accounts::firing_rates(&TrainingSchedule::of(algorithm), &u.firing_rates)
            .into_iter()
            .map(|q| labels.activity(p_max_dbm, seed, "train", Some(update), q))
            .collect()
    }
    fn label(&self) -> String {
        Labels::new("", self, "").beam
    }
}

/// Names the configuration in rows.
struct Labels {
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
}

impl Labels {
    fn new(agent: &str, config: &V2xConfig, variant: &str) -> Self {
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
        let row = |(slot, e): (usize, &crate::run::evaluate::Estimate)| SlotRow {
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

/// What a learned agent is evaluated with.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub checkpoint: &'a Checkpoint<V2xConfig>,
    pub precision: Precision,
}

impl<'a> From<&'a Checkpoint<V2xConfig>> for Weights<'a> {
    /// In the precision of training.
    fn from(checkpoint: &'a Checkpoint<V2xConfig>) -> Self {
        Weights { checkpoint, precision: Precision::F32 }
    }
}

/// Evaluates one agent in the given replicas, on the GPU if one is given and the agent's decisions can be made there; `weights` belong to a
/// learned agent.
pub fn outcomes(
    agent: &V2xAgent,
    config: &V2xConfig,
    replicas: &[V2xParams],
    weights: Option<Weights>,
    gpu: Option<&Gpu>,
    watch: &dyn Watch,
) -> Result<Vec<Outcome>, JobError> {
    let episodes = config.evaluate.episodes;
    let controller = match (agent.kind, weights) {
        (V2xKind::Reference(who), _) => Controller::Reference(who),
        (V2xKind::Rule(rule), _) => Controller::Rule(rule),
        (V2xKind::Bound, _) => Controller::Reference(BOUND_CARRIER),
        (V2xKind::Learned(_), Some(w)) => Controller::Policy {
            policy: w.checkpoint.algorithm().policy(),
            params: &w.checkpoint.state.params,
            greedy: config.evaluate.greedy,
            precision: w.precision,
        },
        (V2xKind::Learned(_), None) => return Err(JobError::NoWeights(agent.id)),
    };
    if gpu.is_some() && !agent.decides_on_gpu() {
        watch.warn(&format!("agent '{}' decides on the CPU, and is evaluated there", agent.id));
    }
    watch.begin(&format!("evaluate {}", agent.id), episodes * replicas.len() as u64);
    let job = Evaluation { task: config.task.spec(), replicas: replicas.to_vec(), controller, episodes };
    let out = evaluate(&job, gpu, &|n| watch.advance(n, ""))?;
    watch.end();
    Ok(out)
}

/// Joules per slot (a policy call and a step of its environment) by the device's counter and how it was measured, or why it was not. Evaluates
/// the given replicas again and again, idle power subtracted, if `asked`.
pub fn measured(
    agent: &V2xAgent,
    config: &V2xConfig,
    replicas: &[V2xParams],
    weights: Weights,
    gpu: Option<&Gpu>,
    asked: bool,
    watch: &dyn Watch,
) -> Result<(f64, String), String> {
    let mut short = config.clone();
    short.evaluate.episodes = config.evaluate.episodes.min(1024);
    let slots = short.evaluate.episodes * (replicas.len() * config.task.slots) as u64;
    meter(agent.id, gpu, asked, watch, || {
        outcomes(agent, &short, replicas, Some(weights), gpu, &Quiet).map_err(|e| e.to_string())?;
        Ok(slots)
    })
}

/// Accounts of one trained and evaluated agent; an agent whose activity was not counted has those of its training only.
fn account(
    agent: &V2xAgent,
    labels: &Labels,
    trained: &Trained<V2xConfig>,
    grid: &[(f64, u32)],
    results: &[Outcome],
    rows: &mut Rows,
) -> Result<(), JobError> {
    let algorithm = trained.checkpoint.algorithm();
    let (policy, schedule) = (algorithm.policy(), TrainingSchedule::of(&algorithm));
    let weights = trained.checkpoint.state.params.chunks(policy.params);
    for (((p, seed), o), params) in grid.iter().zip(results).zip(weights) {
        if let Some(activity) = &o.activity {
            let (energy, counted) = accounts::inference(&policy.net, params, activity)
                .map_err(|e| JobError::Count(agent.id, e))?;
            rows.energy.extend(energy.into_iter().map(|e| labels.energy(*p, *seed, e)));
            let row = |q| labels.activity(*p, *seed, "evaluate", None, q);
            rows.activity.extend(counted.into_iter().map(row));
        }
        let rates = mean_rates(&trained.activity, *p, *seed);
        let (energy, counted) = accounts::training(&schedule, &rates);
        rows.energy.extend(energy.into_iter().map(|e| labels.energy(*p, *seed, e)));
        rows.activity.extend(counted.into_iter().map(|q| labels.activity(*p, *seed, "train", None, q)));
    }
    Ok(())
}

/// One agent with one configuration of an experiment.
#[derive(Debug)]
pub struct Run {
    pub agent: &'static V2xAgent,
    pub config: V2xConfig,
    /// What tells it from other runs of this agent and beam, such as `rate_penalty=0.03`; else empty.
    pub variant: String,
    /// Folder of its training below the job's.
    pub folder: PathBuf,
}

/// The runs of a job: every agent as it is configured or, with an `[experiment]`, the agents, beams and penalties listed there, and then every
/// agent that needs no training.
pub fn runs(config: &V2xConfig) -> Vec<Run> {
    let whole = |agent: &'static V2xAgent| Run {
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
            let spikes = agent.algorithm(&run.config, Vec::new()).is_some_and(|a| a.spikes());
            if !spikes || e.rate_penalties.is_empty() {
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
    out.extend(AGENTS.iter().filter(|a| !a.is_learned()).map(whole));
    for run in &mut out {
        // What the other runs of the job are is none of a checkpoint's business: a longer list continues with the same ones.
        run.config.experiment = None;
    }
    out
}

/// Trains and evaluates all [`runs`] of a configuration.
pub fn reproduce(config: &V2xConfig, way: &Way) -> Result<Rows, JobError> {
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
        let grid = grid(&config.reproduce.p_max_dbm, &config.train.seeds);
        let params: Vec<V2xParams> =
            grid.iter().map(|(p, seed)| params_of(&config.task, *p, [*seed, 0])).collect();
        let mut trained = None;
        if agent.is_learned() {
            let training = Training {
                config,
                run: RunId { agent: agent.id, variant: self.variant.clone() },
                replicas: grid.clone(),
                dir: way.out.join("training").join(&self.folder),
                every: config.reproduce.checkpoint_every,
                resume: way.resume,
            };
            trained = Some(training.run(way.gpu, watch)?);
        }
        let device = way.gpu.map(|g| &**g);
        let weights = trained.as_ref().map(|t| Weights::from(&t.checkpoint));
        let labels = Labels::new(agent.id, config, &self.variant);
        let results = outcomes(agent, config, &params, weights, device, watch)?;
        let bound = agent.is_bound();
        for ((p, seed), o) in grid.iter().zip(&results) {
            rows.evals.extend(labels.evals(*p, *seed, config.task.vehicles, bound, o));
            if !bound {
                rows.slots.extend(labels.slots(*p, *seed, o));
            }
        }
        if let Some(trained) = trained {
            account(agent, &labels, &trained, &grid, &results, rows)?;
            // The device is asked once for all replicas, which do the same work; the row stands at the last of them.
            if let Some((p, seed)) = grid.last() {
                let weights = Weights::from(&trained.checkpoint);
                let result = measured(agent, config, &params, weights, device, way.measure, watch);
                for (phase, result) in [
                    (accounts::INFERENCE, result),
                    (accounts::TRAINING, Err("training is not measured apart from evaluation".into())),
                ] {
                    rows.energy.push(labels.energy(*p, *seed, accounts::measured(phase, &result)));
                }
            }
            rows.curves.extend(trained.curves);
            rows.activity.extend(trained.activity);
        }
        Ok(())
    }
}
