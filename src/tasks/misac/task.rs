//! What jobs and commands ask of task misac.

use super::agents::{AGENTS, FixedSchedule, Make};
use super::config::{MisacConfig, MisacEvaluateConfig};
use super::env::MisacEnv;
use super::evaluate::{
    COST, Controller, ENERGY, FRAMES, METRICS, MisacEstimates, MisacEvaluation, evaluate, in_order,
};
use super::exchange::MisacWrap;
use super::outside::Outside;
use super::physics::{MisacParams, Uncertainty};
use super::rows::{SCHEMA, labels};
use crate::config::ReadingsConfig;
use crate::config::{ConfigError, EvaluateConfig};
use crate::energy::accounts::Entry;
use crate::energy::experts;
use crate::env::Env;
use crate::exchange::Wrap;
use crate::gpu::Gpu;
use crate::kernels;
use crate::learn::Algorithm;
use crate::nets::experts::ExpertsLayout;
use crate::run::errors::JobError;
use crate::run::evaluate::{Acts, Estimate};
use crate::run::readings;
use crate::run::rows::{Schema, text_of};
use crate::run::task::{Agent, Common, Evaluated, Facts, Kind, Run, Swept, Task, Timetables, Unit, Weights};
use crate::run::watch::Watch;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "report")]
use {
    crate::report::Judged,
    crate::report::replay::{Scene, Take},
    crate::run::actor::Actor,
    crate::run::record::Shot,
    crate::run::rows::{Manifest, Rows},
    std::error::Error,
    std::path::Path,
};

/// The agent that the paper proposes; what goes beyond the paper's grid is run with it.
const PROPOSED: &str = "h-moe";
const CAUSAL: &str = "dp-causal";
const BOUND: &str = "dp-bound";
const OPTIMUM: &str = "dp-optimal";

impl Task for MisacConfig {
    type Fixed = Make;

    const SCHEMA: &'static Schema = &SCHEMA;
    const SWEPT: Swept = Swept { unit: "dB", noun: "signal-to-noise ratios" };
    const LEARNER: &'static str = PROPOSED;
    const METRIC: &'static str = "energy_j";
    const CITE: &'static str = include_str!("paper.bib");
    const SCHEDULES: bool = true;
    const TUNE: &'static str = include_str!("../../../configs/tune-misac.toml");
    #[cfg(feature = "report")]
    const SHOWN: &'static [&'static str] = super::replay::SHOWN;
    const MEMORY_KEYS: &'static str = "train.seeds, reproduce.snr_db or temporal.envs";

    fn agents() -> &'static [Agent<Self>] {
        AGENTS
    }
    fn common(&self) -> Common<'_> {
        let MisacEvaluateConfig { episodes, seed, greedy, .. } = self.evaluate;
        let evaluate = EvaluateConfig { episodes, seed, greedy };
        Common { train: &self.train, evaluate, checkpoint_every: self.reproduce.checkpoint_every }
    }
    fn swept(&self) -> f64 {
        self.task.snr_db
    }
    fn at(&self, snr_db: f64) -> Self {
        let mut c = self.clone();
        c.task.snr_db = snr_db;
        c
    }
    fn env(&self, units: &[Unit<Self>]) -> Arc<dyn Env> {
        let params = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        Arc::new(MisacEnv { spec: self.task.spec(), params })
    }
    fn wrap(&self, seed: u32) -> Option<Box<dyn Wrap>> {
        Some(Box::new(MisacWrap { spec: self.task.spec(), params: self.task.params([seed, 0]) }))
    }
    fn facts(name: &str) -> Facts {
        let plain = Facts::of(name);
        match name {
            "reward" => plain.higher().within(f64::NEG_INFINITY, 0.0),
            "beam_gain_share" => plain.higher(),
            "sum_rate_bps_hz" => plain.higher().within(0.0, f64::INFINITY),
            "l_bmp" | "share_over_gamma" | "share_over_age" => plain.lower().within(0.0, 1.0),
            "power_share" | "estimate_gain_share" | "true_angle_gain_share" => plain,
            _ => plain.lower().within(0.0, f64::INFINITY),
        }
    }
    fn labels(&self, agent: &Agent<Self>, variant: &str) -> Vec<String> {
        labels(self, agent.is_learned(), variant)
    }
    fn evaluation_text(&self) -> String {
        let e = &self.evaluate;
        format!("{} {} {}", e.episodes, e.greedy, e.gain_stride)
    }

    fn evaluate(
        agent: &Agent<Self>,
        units: &[Unit<Self>],
        weights: Option<Weights>,
        gpu: Option<&Gpu>,
        watch: &dyn Watch,
    ) -> Result<Vec<Evaluated>, JobError> {
        let Some(first) = units.first() else { return Ok(Vec::new()) };
        if let Some(w) = weights {
            w.precision.refuse("these networks are more than perceptrons")?;
        }
        let (config, task) = (first.config, first.config.task.spec());
        let replicas: Vec<MisacParams> = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        let run = |controller| {
            let (episodes, gain_stride) = (config.evaluate.episodes, config.evaluate.gain_stride);
            let eval =
                MisacEvaluation { task, replicas: replicas.clone(), controller, episodes, gain_stride };
            let on_gpu = gpu.is_some() && eval.decides_on_gpu();
            if gpu.is_some() && !on_gpu {
                watch.warn(&format!("agent '{}' decides on the CPU, and is evaluated there", agent.id));
            }
            watch.begin(&format!("evaluate {}", agent.id), episodes * units.len() as u64);
            let out = evaluate(&eval, gpu, &|n| watch.advance(n, ""));
            watch.end();
            out.map(|estimates| (estimates, on_gpu))
        };
        match (&agent.kind, weights.map(|w| (w, w.algorithm))) {
            (Kind::Fixed(Make(make)), _) => {
                // One schedule serves all replicas that differ in their seed only.
                let mut made: Vec<(MisacParams, Arc<dyn FixedSchedule>)> = Vec::new();
                let mut schedules = Vec::new();
                for p in &replicas {
                    let p = MisacParams { key: [0, 0], ..*p };
                    if !made.iter().any(|m| m.0 == p) {
                        let schedule = make(&task, &p).map_err(|e| JobError::Agent(Box::new(e)))?;
                        made.push((p, schedule));
                    }
                    schedules.extend(made.iter().find(|m| m.0 == p).map(|m| m.1.clone()));
                }
                let (estimates, on_gpu) = run(Controller::Fixed(&schedules))?;
                let whole = |(o, s): (&MisacEstimates, &Arc<dyn FixedSchedule>)| fixed(o, s.as_ref(), on_gpu);
                Ok(estimates.iter().zip(&schedules).map(whole).collect())
            }
            (Kind::Learned(_), Some((w, Algorithm::Experts(spec)))) => {
                let (layout, greedy) = (&spec.layout, config.evaluate.greedy);
                let (estimates, on_gpu) = run(Controller::Learned { layout, params: w.params, greedy })?;
                let rows = w.params.chunks(layout.params());
                let whole = |(o, params): (&MisacEstimates, &[f32])| {
                    let energy = energies(layout, params, o, task.slots);
                    let energy = energy.map_err(|e| JobError::Count(agent.id, e))?;
                    Ok(Evaluated { energy, ..evaluated(o, all_metrics(o), on_gpu) })
                };
                estimates.iter().zip(rows).map(whole).collect()
            }
            (Kind::Learned(_), _) => Err(JobError::NoWeights(agent.id)),
        }
    }

    fn client_env(&self, units: &[Unit<Self>], whole: bool) -> Result<Arc<dyn Env>, ConfigError> {
        let params = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        Ok(Arc::new(Outside { env: MisacEnv { spec: self.task.spec(), params }, phases: whole }))
    }
    fn judge(&self, rule: Arc<dyn Acts>, whole: bool, watch: &dyn Watch) -> Result<Evaluated, JobError> {
        let (episodes, gain_stride) = (self.evaluate.episodes, self.evaluate.gain_stride);
        let eval = MisacEvaluation {
            task: self.task.spec(),
            replicas: vec![self.task.params([self.evaluate.seed, 0])],
            controller: Controller::Outside { rule: &*rule, phases: whole },
            episodes,
            gain_stride,
        };
        let estimates = in_order(&eval, &|n| watch.advance(n, ""));
        Ok(evaluated(&estimates[0], all_metrics(&estimates[0]), false))
    }

    fn timetables(&self, watch: &dyn Watch) -> Result<Option<Timetables>, JobError> {
        super::timetables::timetables(self, watch).map(Some).map_err(|e| JobError::Agent(Box::new(e)))
    }
    fn reads(&self, agent: &Agent<Self>, key: &str) -> bool {
        super::reads::reads(self, agent, key)
    }
    fn readings(&self) -> Option<&ReadingsConfig> {
        self.readings.as_ref()
    }
    fn without_readings(&self) -> Self {
        MisacConfig { readings: None, ..self.clone() }
    }
    #[cfg(feature = "report")]
    fn claims(rows: &Rows, config: &str) -> Vec<Judged> {
        super::report::claims(rows, config)
    }
    fn runs(&self) -> Vec<Run<Self>> {
        match &self.readings {
            Some(readings) => readings::runs(readings, self),
            None => runs(self),
        }
    }

    #[cfg(feature = "report")]
    fn write_report(
        experiment: &str,
        out: &Path,
        rows: &Rows,
        manifest: &Manifest,
    ) -> Result<Vec<PathBuf>, Box<dyn Error + Send + Sync>> {
        let paths = match experiment {
            "readings" => crate::run::readings::write::<Self>(out, rows, manifest),
            _ => super::report::write(out, rows, manifest),
        }?;
        Ok(paths.pages())
    }
    #[cfg(feature = "report")]
    fn film(
        &self,
        agent: &Agent<Self>,
        actor: Option<&Actor>,
        shot: &Shot,
    ) -> Result<(Scene, Vec<Take>), JobError> {
        super::replay::film(self, agent, actor, shot)
    }
    #[cfg(feature = "report")]
    fn palette() -> &'static [crate::report::figure::Swatch] {
        super::report::PALETTE
    }
    fn kernels() -> &'static [kernels::Entry] {
        super::kernels::REGISTRY
    }
}

fn evaluated(o: &MisacEstimates, metrics: Vec<(String, Estimate)>, on_gpu: bool) -> Evaluated {
    Evaluated {
        episodes: o.episodes,
        metrics,
        slots: vec![o.slot_energy_j.clone(), o.slot_mae_deg.clone()],
        energy: Vec::new(),
        counted: Vec::new(),
        on_gpu,
    }
}

fn all_metrics(o: &MisacEstimates) -> Vec<(String, Estimate)> {
    METRICS.iter().map(|n| n.to_string()).zip(o.metrics.iter().copied()).collect()
}

/// What an evaluation says of a schedule, with what it knows of itself. Of a bound: its energy, which no policy's cost
/// is below, as both energy and cost, and as `plan_cost_j` what its plans cost with the penalty that they run into.
fn fixed(o: &MisacEstimates, schedule: &dyn FixedSchedule, on_gpu: bool) -> Evaluated {
    if schedule.is_bound() {
        let m = &o.metrics;
        let metrics = [
            (METRICS[ENERGY], m[ENERGY]),
            (METRICS[COST], m[ENERGY]),
            (METRICS[FRAMES], m[FRAMES]),
            ("plan_cost_j", m[COST]),
        ];
        let metrics = metrics.map(|(n, e)| (n.to_string(), e)).to_vec();
        return Evaluated { slots: Vec::new(), ..evaluated(o, metrics, on_gpu) };
    }
    let mut metrics = all_metrics(o);
    metrics.extend(schedule.facts().into_iter().map(|(n, x)| (n.to_string(), Estimate::exact(x))));
    evaluated(o, metrics, on_gpu)
}

/// Joules per slot of each decision network of one replica by every model.
fn energies(
    layout: &ExpertsLayout,
    params: &[f32],
    o: &MisacEstimates,
    slots: usize,
) -> Result<Vec<Entry>, crate::energy::CountError> {
    experts::inference(layout, params, &o.active_inputs, o.episodes * slots as u64, slots)
}

/// The runs of a job: every agent over the grid of signal-to-noise ratios; then, beyond the paper, `h-moe` with other
/// recipes, the sweep over T_proc, and β that follows the vehicles' angular rates.
fn runs(config: &MisacConfig) -> Vec<Run<MisacConfig>> {
    let grid = &config.reproduce;
    let agent = |id: &str| MisacConfig::agent(id).expect("an agent of the registry");
    let at_hand = [config.task.snr_db];
    let run = |agent: &'static Agent<MisacConfig>,
               config: &MisacConfig,
               snr_db: &[f64],
               folder: &str,
               variant: &str| {
        let mut own = config.clone();
        own.reproduce.algorithms.clear();
        own.reproduce.phases.clear();
        own.reproduce.t_proc_slots.clear();
        own.reproduce.kinematic_snr_db.clear();
        (own.reproduce.kinematic_gamma, own.reproduce.kinematic_gae_lambda) =
            (own.temporal.gamma, own.temporal.gae_lambda);
        let folder = PathBuf::from(agent.id).join(folder);
        let (swept, variant) = (snr_db.to_vec(), variant.into());
        Run {
            agent,
            config: config.clone(),
            own,
            swept,
            variant,
            folder,
            precisions: Vec::new(),
            elsewhere: Vec::new(),
        }
    };
    let main = config.task.uncertainty == Uncertainty::Constant;
    let solved = main && (config.task.age_saturates || !config.task.realign);
    let mut out: Vec<Run<MisacConfig>> = AGENTS
        .iter()
        // With one constant β there is the optimum itself, and with any other it is not to be had; nor is it where
        // sweeps realign and ages do not saturate.
        .filter(|a| if main { ![CAUSAL, BOUND].contains(&a.id) } else { true })
        .filter(|a| solved || a.id != OPTIMUM)
        .map(|a| run(a, config, &grid.snr_db, "", ""))
        .collect();
    for algorithm in &grid.algorithms {
        for phase in &grid.phases {
            if (*algorithm, *phase) != (config.temporal.algorithm, config.spatial.phase) {
                let mut other = config.clone();
                (other.temporal.algorithm, other.spatial.phase) = (*algorithm, *phase);
                let folder = format!("{}-{}", text_of(algorithm), text_of(phase));
                out.push(run(agent(PROPOSED), &other, &at_hand, &folder, ""));
            }
        }
    }
    for t in grid.t_proc_slots.iter().filter(|t| **t != config.task.t_proc_slots) {
        let mut other = config.clone();
        other.task.t_proc_slots = *t;
        let variant = format!("t_proc={t}");
        for a in AGENTS.iter().filter(|a| a.id == PROPOSED || !a.is_learned()) {
            if out.iter().any(|r| r.agent.id == a.id) {
                out.push(run(a, &other, &at_hand, &variant, &variant));
            }
        }
    }
    if main && !grid.kinematic_snr_db.is_empty() {
        let mut other = config.clone();
        other.task.uncertainty = Uncertainty::Kinematic;
        (other.temporal.gamma, other.temporal.gae_lambda) = (grid.kinematic_gamma, grid.kinematic_gae_lambda);
        for id in [PROPOSED, "best-periodic", CAUSAL, BOUND] {
            out.push(run(agent(id), &other, &grid.kinematic_snr_db, "kinematic", ""));
        }
    }
    out
}
