//! Task misac: the paper "rl-h-moe" and what goes beyond it.

use crate::config::TrainConfig;
use crate::energy::accounts::{self, Entry};
use crate::energy::experts;
use crate::gpu::{Gpu, GpuError};
use crate::learn::{ExpertsSpec, LearnerState, MisacUpdate, Replica};
use crate::nets::Tensor;
use crate::run::checkpoint::{Algorithmic, Checkpoint, Trainable};
use crate::run::evaluate::Estimate;
use crate::run::reproduce::{Job, RunId, Seen, Training};
use crate::run::reproduce::{JobError, Quiet, Watch, Way, grid, meter};
use crate::run::train::{self, Experts, Plan, train_experts};
use crate::tasks::misac::agents::{self as agents, AGENTS, FixedSchedule, MisacAgent, MisacKind};
use crate::tasks::misac::config::{MisacConfig, MisacTaskConfig};
use crate::tasks::misac::evaluate::{
    COST, Controller, ENERGY, FRAMES, Job as Evaluation, METRICS, Outcome, evaluate,
};
use crate::tasks::misac::physics::{MisacParams, Uncertainty};
use crate::tasks::misac::rows::{MisacCurveRow, MisacEnergyRow, MisacEvalRow, MisacRows, MisacSlotRow};
use std::path::PathBuf;
use std::sync::Arc;

/// Task parameters at an RF signal-to-noise ratio, dB, under a key.
pub fn params_of(task: &MisacTaskConfig, snr_db: f64, key: [u32; 2]) -> MisacParams {
    MisacTaskConfig { snr_db, ..task.clone() }.params(key)
}

impl Algorithmic for ExpertsSpec {
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
        self.replicas.len()
    }
    fn samples(&self) -> usize {
        self.samples()
    }
    fn host_bytes(&self) -> u64 {
        self.host_bytes()
    }
}

impl Trainable for MisacConfig {
    type Algorithm = ExpertsSpec;
    const TASK: &'static str = "misac";
    const SWEPT: &'static str = "snr_db";
    const SWEPT_UNIT: &'static str = "dB";
    const SWEPT_NOUN: &'static str = "signal-to-noise ratios";

    fn train_config(&self) -> &TrainConfig {
        &self.train
    }
    fn algorithm(&self, agent: &str, replicas: &[(f64, u32)]) -> Option<ExpertsSpec> {
        let replica =
            |(snr, seed): &(f64, u32)| Replica { seed: *seed, task: params_of(&self.task, *snr, [*seed, 0]) };
        let architecture = agents::find(agent)?.architecture()?;
        Some(ExpertsSpec::new(architecture, self, replicas.iter().map(replica).collect()))
    }
}

impl Job for MisacConfig {
    type Row = MisacCurveRow;
    type Metrics = MisacUpdate;
    type Learner = Box<dyn Experts>;
    const MEMORY_KEYS: &'static str = "train.seeds, reproduce.snr_db or temporal.envs";

    fn learner(
        algorithm: &ExpertsSpec,
        start: &LearnerState,
        gpu: Option<&Arc<Gpu>>,
    ) -> Result<Box<dyn Experts>, GpuError> {
        train::experts(algorithm, start, gpu)
    }
    fn train(
        plan: &Plan<ExpertsSpec>,
        learner: &mut Box<dyn Experts>,
        start: u32,
        seen: Seen<MisacUpdate>,
        tick: &mut dyn FnMut(u32),
    ) -> Result<LearnerState, GpuError> {
        train_experts(plan, learner.as_mut(), start, seen, tick)
    }
    fn curve(
        &self,
        run: &RunId,
        (snr_db, seed): (f64, u32),
        update: u32,
        env_steps: u64,
        u: &MisacUpdate,
    ) -> MisacCurveRow {
        let l = Labels::new(run.agent, self, &run.variant);
        MisacCurveRow {
            agent: l.agent,
            algorithm: l.algorithm,
            phase: l.phase,
            uncertainty: l.uncertainty,
            variant: l.variant,
            snr_db,
            seed,
            update,
            env_steps,
            reward: u.reward,
            energy_j: u.energy_j,
            l_bmp: u.l_bmp,
            share_over_gamma: u.share_over_gamma,
            beam_gain: u.beam_gain,
            policy_loss: u.policy_loss,
            value_loss: u.value_loss,
            entropy: u.entropy,
            grad_norm_policy: u.grad_norm_policy,
            grad_norm_critic: u.grad_norm_critic,
            grad_norm_spatial: u.grad_norm_spatial,
            gradient_cosine: u.gradient_cosine,
        }
    }
    fn update_of(row: &MisacCurveRow) -> u32 {
        row.update
    }
    fn is_stuck(&self, _agent: &str, row: &MisacCurveRow) -> bool {
        !(row.grad_norm_policy.is_finite() && row.grad_norm_critic.is_finite())
    }
    fn note(metrics: &[MisacUpdate]) -> String {
        let n = metrics.len() as f64;
        let mean = |f: fn(&MisacUpdate) -> f64| metrics.iter().map(f).sum::<f64>() / n;
        format!("energy {:.2} J, reward {:.2} J", mean(|u| u.energy_j), mean(|u| u.reward))
    }
    fn label(&self) -> String {
        let l = Labels::new(AGENTS[0].id, self, "");
        format!("{} {} {}", l.algorithm, l.phase, l.uncertainty)
    }
}

/// Names the configuration in rows.
struct Labels {
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
}

impl Labels {
    fn new(agent: &str, config: &MisacConfig, variant: &str) -> Self {
        let lower = |x: String| x.to_lowercase();
        let learned = agents::find(agent).is_some_and(|a| a.architecture().is_some());
        let of = |x: String| if learned { lower(x) } else { String::new() };
        Labels {
            agent: agent.into(),
            algorithm: of(format!("{:?}", config.temporal.algorithm)),
            phase: of(format!("{:?}", config.spatial.phase)),
            uncertainty: lower(format!("{:?}", config.task.uncertainty)),
            variant: variant.into(),
        }
    }

    fn evals(&self, snr_db: f64, seed: u32, e: &Evaluated) -> Vec<MisacEvalRow> {
        let row = |(metric, e2): (&'static str, Estimate)| MisacEvalRow {
            agent: self.agent.clone(),
            algorithm: self.algorithm.clone(),
            phase: self.phase.clone(),
            uncertainty: self.uncertainty.clone(),
            variant: self.variant.clone(),
            snr_db,
            seed,
            episodes: e.outcome.episodes,
            metric: metric.into(),
            mean: e2.mean,
            std_error: e2.std_error,
        };
        e.metrics().into_iter().map(row).collect()
    }

    fn slots(&self, snr_db: f64, seed: u32, o: &Outcome) -> Vec<MisacSlotRow> {
        let row = |(slot, (energy, mae)): (usize, (&Estimate, &Estimate))| MisacSlotRow {
            agent: self.agent.clone(),
            algorithm: self.algorithm.clone(),
            phase: self.phase.clone(),
            uncertainty: self.uncertainty.clone(),
            variant: self.variant.clone(),
            snr_db,
            seed,
            slot: slot as u32,
            energy_j: energy.mean,
            mae_deg: mae.mean,
        };
        o.slot_energy_j.iter().zip(&o.slot_mae_deg).enumerate().map(row).collect()
    }

    fn energy(&self, snr_db: f64, seed: u32, e: Entry) -> MisacEnergyRow {
        MisacEnergyRow {
            agent: self.agent.clone(),
            algorithm: self.algorithm.clone(),
            phase: self.phase.clone(),
            uncertainty: self.uncertainty.clone(),
            variant: self.variant.clone(),
            snr_db,
            seed,
            stage: e.phase.into(),
            network: e.network,
            method: e.method.into(),
            constants: e.constants,
            energy_j: e.energy_j,
            reason: e.reason,
        }
    }
}

/// What one replica did, and what its schedule knows of itself.
pub struct Evaluated {
    pub outcome: Outcome,
    pub facts: Vec<(&'static str, f64)>,
    /// Whether it is a lower bound rather than a schedule.
    pub bound: bool,
    /// Whether a GPU evaluated it.
    pub on_gpu: bool,
}

impl Evaluated {
    /// Names and values as they are reported, in the order of [`METRICS`]. Of a bound: its energy, which no policy's cost is below, as both energy
    /// and cost, and as `plan_cost_j` what its plans cost with the penalty that they run into.
    pub fn metrics(&self) -> Vec<(&'static str, Estimate)> {
        let m = &self.outcome.metrics;
        let exact =
            |(name, mean): &(&'static str, f64)| (*name, Estimate { mean: *mean, std_error: f64::NAN });
        if self.bound {
            return vec![
                (METRICS[ENERGY], m[ENERGY]),
                (METRICS[COST], m[ENERGY]),
                (METRICS[FRAMES], m[FRAMES]),
                ("plan_cost_j", m[COST]),
            ];
        }
        METRICS.into_iter().zip(m.iter().copied()).chain(self.facts.iter().map(exact)).collect()
    }
}

/// Evaluates one agent in the given replicas, on the GPU if one is given and the agent's decisions can be made there; `checkpoint` belongs to a
/// learned agent and holds as many.
pub fn outcomes(
    agent: &MisacAgent,
    config: &MisacConfig,
    replicas: &[MisacParams],
    checkpoint: Option<&Checkpoint<MisacConfig>>,
    gpu: Option<&Gpu>,
    watch: &dyn Watch,
) -> Result<Vec<Evaluated>, JobError> {
    let (task, episodes) = (config.task.spec(), config.evaluate.episodes);
    let run = |controller, facts: Vec<(Vec<(&'static str, f64)>, bool)>| {
        let gain_stride = config.evaluate.gain_stride;
        let job = Evaluation { task, replicas: replicas.to_vec(), controller, episodes, gain_stride };
        let on_gpu = gpu.is_some() && job.decides_on_gpu();
        if gpu.is_some() && !on_gpu {
            watch.warn(&format!("agent '{}' decides on the CPU, and is evaluated there", agent.id));
        }
        watch.begin(&format!("evaluate {}", agent.id), episodes * replicas.len() as u64);
        let out = evaluate(&job, gpu, &|n| watch.advance(n, ""));
        watch.end();
        let whole = |(outcome, (facts, bound))| Evaluated { outcome, facts, bound, on_gpu };
        Ok(out?.into_iter().zip(facts).map(whole).collect())
    };
    match (agent.kind, checkpoint) {
        (MisacKind::Fixed(make), _) => {
            // One schedule serves all replicas that differ in their seed only.
            let mut made: Vec<(MisacParams, Arc<dyn FixedSchedule>)> = Vec::new();
            let mut schedules = Vec::new();
            for p in replicas {
                let p = MisacParams { key: [0, 0], ..*p };
                if !made.iter().any(|m| m.0 == p) {
                    made.push((p, make(&task, &p)?));
                }
                schedules.extend(made.iter().find(|m| m.0 == p).map(|m| m.1.clone()));
            }
            let facts = schedules.iter().map(|s| (s.facts(), s.is_bound())).collect();
            run(Controller::Fixed(&schedules), facts)
        }
        (MisacKind::Learned(_), Some(c)) => {
            let layout = c.algorithm().layout;
            let (params, greedy) = (&c.state.params[..], config.evaluate.greedy);
            let none = vec![(Vec::new(), false); replicas.len()];
            run(Controller::Learned { layout: &layout, params, greedy }, none)
        }
        (MisacKind::Learned(_), None) => Err(JobError::NoWeights(agent.id)),
    }
}

/// Joules per slot of each decision network of one replica by every model.
pub fn energies(
    agent: &MisacAgent,
    config: &MisacConfig,
    checkpoint: &Checkpoint<MisacConfig>,
    replica: usize,
    o: &Outcome,
) -> Result<Vec<Entry>, JobError> {
    let layout = checkpoint.algorithm().layout;
    let params = &checkpoint.state.params[replica * layout.params()..][..layout.params()];
    let slots = config.task.slots;
    experts::inference(&layout, params, &o.active_inputs, o.episodes * slots as u64, slots)
        .map_err(|e| JobError::Count(agent.id, e))
}

/// Joules per slot (a decision and a step of its environment) by the device's counter and how it was measured, or why it was not.
pub fn measured(
    agent: &MisacAgent,
    config: &MisacConfig,
    replicas: &[MisacParams],
    checkpoint: &Checkpoint<MisacConfig>,
    gpu: Option<&Gpu>,
    asked: bool,
    watch: &dyn Watch,
) -> Result<(f64, String), String> {
    let mut short = config.clone();
    short.evaluate.episodes = config.evaluate.episodes.min(1024);
    let slots = short.evaluate.episodes * (replicas.len() * config.task.slots) as u64;
    meter(agent.id, gpu, asked, watch, || {
        outcomes(agent, &short, replicas, Some(checkpoint), gpu, &Quiet).map_err(|e| e.to_string())?;
        Ok(slots)
    })
}

/// One agent with one configuration of the job.
pub struct MisacRun {
    pub agent: &'static MisacAgent,
    pub config: MisacConfig,
    pub snr_db: Vec<f64>,
    /// What tells it from other runs of this agent, algorithm, meaning of phases and uncertainty, such as `t_proc=2`; else empty.
    pub variant: String,
    /// Folder of its training below the job's.
    pub folder: PathBuf,
}

/// The agent that the paper proposes; what goes beyond the paper's grid is run with it.
const PROPOSED: &str = "h-moe";
const BOUND: &str = "dp-bound";

/// The runs of a job: every agent over the grid of signal-to-noise ratios; then, beyond the paper, `h-moe` with other recipes, the sweep over T_proc,
/// and β that follows the vehicles' angular rates.
pub fn runs(config: &MisacConfig) -> Vec<MisacRun> {
    let grid = &config.reproduce;
    let agent = |id: &str| agents::find(id).expect("an agent of the registry");
    let at_hand = [config.task.snr_db];
    let run = |agent: &'static MisacAgent,
               config: &MisacConfig,
               snr_db: &[f64],
               folder: &str,
               variant: &str| {
        let folder = PathBuf::from(agent.id).join(folder);
        MisacRun { agent, config: config.clone(), snr_db: snr_db.to_vec(), variant: variant.into(), folder }
    };
    let main = config.task.uncertainty == Uncertainty::Constant;
    let mut out: Vec<MisacRun> = AGENTS
        .iter()
        // With one constant β there is the optimum itself, and with any other it is not to be had.
        .filter(|a| a.id != if main { BOUND } else { "dp-optimal" })
        .map(|a| run(a, config, &grid.snr_db, "", ""))
        .collect();
    for algorithm in &grid.algorithms {
        for phase in &grid.phases {
            if (*algorithm, *phase) != (config.temporal.algorithm, config.spatial.phase) {
                let mut other = config.clone();
                (other.temporal.algorithm, other.spatial.phase) = (*algorithm, *phase);
                let folder = format!("{algorithm:?}-{phase:?}").to_lowercase();
                out.push(run(agent(PROPOSED), &other, &at_hand, &folder, ""));
            }
        }
    }
    for t in grid.t_proc_slots.iter().filter(|t| **t != config.task.t_proc_slots) {
        let mut other = config.clone();
        other.task.t_proc_slots = *t;
        let variant = format!("t_proc={t}");
        for a in AGENTS.iter().filter(|a| a.id == PROPOSED || a.architecture().is_none()) {
            if out.iter().any(|r| r.agent.id == a.id) {
                out.push(run(a, &other, &at_hand, &variant, &variant));
            }
        }
    }
    if main && !grid.kinematic_snr_db.is_empty() {
        let mut other = config.clone();
        other.task.uncertainty = Uncertainty::Kinematic;
        (other.temporal.gamma, other.temporal.gae_lambda) = (grid.kinematic_gamma, grid.kinematic_gae_lambda);
        for id in [PROPOSED, "best-periodic", BOUND] {
            out.push(run(agent(id), &other, &grid.kinematic_snr_db, "kinematic", ""));
        }
    }
    out
}

/// Trains and evaluates all [`runs`] of a configuration.
pub fn reproduce(config: &MisacConfig, way: &Way) -> Result<MisacRows, JobError> {
    let mut rows = MisacRows::default();
    for run in runs(config) {
        run.add_rows(way, &mut rows)?;
    }
    Ok(rows)
}

impl MisacRun {
    /// Trains (if it learns) and evaluates the agent over its ratios and seeds, and adds its rows.
    fn add_rows(&self, way: &Way, rows: &mut MisacRows) -> Result<(), JobError> {
        let (agent, config, watch) = (self.agent, &self.config, way.watch);
        let grid = grid(&self.snr_db, &config.train.seeds);
        let params: Vec<MisacParams> =
            grid.iter().map(|(snr, seed)| params_of(&config.task, *snr, [*seed, 0])).collect();
        let mut trained = None;
        if agent.architecture().is_some() {
            let mut own = config.clone();
            // What the other runs of the job are is none of a checkpoint's business: a longer list continues with the same ones.
            own.reproduce.algorithms.clear();
            own.reproduce.phases.clear();
            own.reproduce.t_proc_slots.clear();
            own.reproduce.kinematic_snr_db.clear();
            (own.reproduce.kinematic_gamma, own.reproduce.kinematic_gae_lambda) =
                (own.temporal.gamma, own.temporal.gae_lambda);
            let training = Training {
                config: &own,
                run: RunId { agent: agent.id, variant: self.variant.clone() },
                replicas: grid.clone(),
                dir: way.out.join("training").join(&self.folder),
                every: config.reproduce.checkpoint_every,
                resume: way.resume,
            };
            trained = Some(training.run(way.gpu, watch)?);
        }
        let checkpoint = trained.as_ref().map(|t| &t.checkpoint);
        let labels = Labels::new(agent.id, config, &self.variant);
        let gpu = way.gpu.map(|gpu| &**gpu);
        let results = outcomes(agent, config, &params, checkpoint, gpu, watch)?;
        for (r, ((snr, seed), e)) in grid.iter().zip(&results).enumerate() {
            rows.evals.extend(labels.evals(*snr, *seed, e));
            if !e.bound {
                rows.slots.extend(labels.slots(*snr, *seed, &e.outcome));
            }
            if let Some(checkpoint) = checkpoint {
                let entries = energies(agent, config, checkpoint, r, &e.outcome)?;
                rows.energy.extend(entries.into_iter().map(|e| labels.energy(*snr, *seed, e)));
            }
        }
        if let (Some(checkpoint), Some((snr, seed))) = (checkpoint, grid.last()) {
            // The device is asked once for all replicas, which do the same work; the row stands at the last of them.
            let result = measured(agent, config, &params, checkpoint, gpu, way.measure, watch);
            rows.energy.push(labels.energy(*snr, *seed, accounts::measured(accounts::INFERENCE, &result)));
        }
        if let Some(trained) = trained {
            rows.curves.extend(trained.curves);
        }
        Ok(())
    }
}
