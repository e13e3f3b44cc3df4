//! `isacbench evaluate`

use super::watch::{Bars, Silent};
use super::{Common, Place, cpu_place, find_misac_agent, find_v2x_agent, place};
use crate::config::Layered;
use crate::energy::accounts;
use crate::gpu::GpuError;
use crate::num::stats;
use crate::run::checkpoint::{Checkpoint, CheckpointError, Trainable};
use crate::run::evaluate::{Estimate, Precision};
use crate::run::reproduce::{JobError, Watch};
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::misac::evaluate::Outcome as MisacOutcome;
use crate::tasks::misac::physics::MisacParams;
use crate::tasks::v2x::agents::V2xAgent;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::evaluate::Outcome;
use crate::tasks::v2x::physics::{V2xParams, metric};
use crate::tasks::v2x::reproduce::Weights;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    common: Common,
    /// Task to run
    #[arg(long, default_value = "v2x", value_parser = ["v2x", "misac"])]
    task: String,
    /// Agent id (see the README's table)
    #[arg(long)]
    agent: String,
    /// Trained weights of a learned agent
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Episodes per replica
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    episodes: Option<u64>,
    /// Take the mode of a stochastic policy instead of a sample
    #[arg(long)]
    greedy: bool,
    /// What the policy's network computes in; the models of energy name the numbers that they are of, whatever this is
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Read the device's energy counter, if it has one: half a minute
    #[arg(long)]
    measure_energy: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn evaluate(a: &EvaluateArgs) -> Result<()> {
    let mut sets = a.common.sets.clone();
    if let Some(n) = a.episodes {
        sets.push(format!("evaluate.episodes={n}"));
    }
    if a.greedy {
        sets.push("evaluate.greedy=true".into());
    }
    let printed = match a.task.as_str() {
        "misac" => misac(a, &sets)?,
        _ => v2x(a, &sets)?,
    };
    printed.print(a);
    Ok(())
}

/// The checkpoint with the replicas that are to be evaluated, the configuration with the user's keys, and the swept value.
fn weights<C: Trainable>(
    a: &EvaluateArgs,
    path: &Path,
    agent: &str,
    sets: &[String],
    same_sizes: impl Fn(&C, &C) -> bool,
    swept: impl Fn(&C) -> f64,
) -> Result<(Checkpoint<C>, C, f64)> {
    if a.common.config.is_some() {
        bail!("--config: a checkpoint brings its own configuration; change single keys with --set");
    }
    let mut saved = Checkpoint::<C>::load(path)?;
    if saved.agent != agent {
        let (file, found, wanted) = (path.display().to_string(), saved.agent, agent.into());
        return Err(CheckpointError::OtherAgent { file, found, wanted }.into());
    }
    let config = saved.config.with(sets)?;
    if !same_sizes(&config, &saved.config) {
        bail!("--set: these keys change the sizes that '{}' was trained with", path.display());
    }
    let (key, wanted) = (format!("task.{}", C::SWEPT), swept(&config));
    let chosen = sets.iter().filter_map(|s| s.split_once('=')).any(|(k, _)| k.trim() == key);
    if chosen && saved.swept.contains(&wanted) {
        saved.keep(wanted);
    } else if saved.swept.iter().any(|p| *p != saved.swept[0]) {
        let mut all = saved.swept.clone();
        all.dedup();
        bail!(
            "'{}' holds replicas for {all:?} {}: choose one with --set {key}=…",
            path.display(),
            C::SWEPT_UNIT
        );
    }
    let at = if chosen { wanted } else { saved.swept[0] };
    Ok((saved, config, at))
}

fn misac(a: &EvaluateArgs, sets: &[String]) -> Result<Printed> {
    use crate::tasks::misac::reproduce::{energies, measured, outcomes, params_of};
    let agent = find_misac_agent(&a.agent)?;
    if a.precision == Precision::F16 {
        return Err(GpuError::NoF16("this is task misac").into());
    }
    let learned = agent.architecture().is_some();
    let mut checkpoint = None;
    let (config, at, seeds) = match &a.checkpoint {
        Some(path) if learned => {
            let sizes = |c: &MisacConfig| c.algorithm(agent.id, &[]).map(|s| (s.task, s.layout));
            let same = |x: &MisacConfig, y: &MisacConfig| sizes(x) == sizes(y);
            let (saved, config, at) = weights(a, path, agent.id, sets, same, |c| c.task.snr_db)?;
            let seeds = saved.seeds.iter().map(|s| config.evaluate.seed.wrapping_add(*s)).collect();
            checkpoint = Some(saved);
            (config, at, seeds)
        }
        Some(_) => bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id),
        None if learned => return Err(JobError::NoWeights(agent.id).into()),
        None => {
            let config = MisacConfig::load(a.common.config.as_deref(), sets)?;
            let (at, seeds) = (config.task.snr_db, vec![config.evaluate.seed]);
            (config, at, seeds)
        }
    };
    let replicas: Vec<MisacParams> = seeds.iter().map(|s| params_of(&config.task, at, [*s, 0])).collect();
    let mut place = place(&a.common.device)?;
    let bars = Bars::new();
    let watch = a.watch(&bars, &place);
    let gpu = place.gpu.as_deref();
    let evaluated = outcomes(agent, &config, &replicas, checkpoint.as_ref(), gpu, watch)?;
    let mut values = Values::default();
    for e in &evaluated {
        for (name, estimate) in e.metrics() {
            values.add(name.into(), estimate, e.outcome.episodes);
        }
    }
    let mut energy = None;
    if let Some(saved) = &checkpoint {
        for (r, e) in evaluated.iter().enumerate() {
            for entry in energies(agent, &config, saved, r, &e.outcome)? {
                let name = format!(
                    "energy_{}_{}_{}_j_per_slot",
                    plain(&entry.network),
                    plain(entry.method),
                    plain(&entry.constants)
                );
                values.add(name, Estimate { mean: entry.energy_j, std_error: f64::NAN }, e.outcome.episodes);
            }
        }
        energy = Some(measured(agent, &config, &replicas, saved, gpu, a.measure_energy, watch));
    }
    if evaluated.iter().any(|e| !e.on_gpu) {
        place = cpu_place("the agent decides there");
    }
    let mut slots = Vec::new();
    if evaluated.iter().all(|e| !e.bound) {
        let of = |what: fn(&MisacOutcome) -> &Vec<Estimate>| {
            let at =
                |t| evaluated.iter().map(|e| (what(&e.outcome)[t], e.outcome.episodes)).collect::<Vec<_>>();
            (0..config.task.slots).map(|t| pool(&at(t))).collect()
        };
        slots = vec![("energy_j", of(|o| &o.slot_energy_j)), ("mae_deg", of(|o| &o.slot_mae_deg))];
    }
    Ok(Printed {
        title: format!("{} at {at} dB", agent.id),
        agent: agent.id,
        device: place.name.device,
        episodes: evaluated.iter().map(|e| e.outcome.episodes).sum(),
        replicas: evaluated.len(),
        episode_slots: config.task.slots,
        metrics: values.summaries(),
        measured: energy,
        slots,
    })
}

fn v2x(a: &EvaluateArgs, sets: &[String]) -> Result<Printed> {
    let agent = find_v2x_agent(&a.agent)?;
    if a.precision == Precision::F16 && !agent.is_learned() {
        return Err(GpuError::NoF16("this agent has no network").into());
    }
    let mut checkpoint = None;
    let (config, at, seeds) = match &a.checkpoint {
        Some(path) if agent.is_learned() => {
            let sizes = |c: &V2xConfig| agent.algorithm(c, Vec::new()).map(|a| (*a.task(), a.policy()));
            let same = |x: &V2xConfig, y: &V2xConfig| sizes(x) == sizes(y);
            let (saved, config, at) = weights(a, path, agent.id, sets, same, |c| c.task.p_max_dbm)?;
            let seeds = saved.seeds.iter().map(|s| config.evaluate.seed.wrapping_add(*s)).collect();
            checkpoint = Some(saved);
            (config, at, seeds)
        }
        Some(_) => bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id),
        None if agent.is_learned() => return Err(JobError::NoWeights(agent.id).into()),
        None => {
            let config = V2xConfig::load(a.common.config.as_deref(), sets)?;
            let (at, seeds) = (config.task.p_max_dbm, vec![config.evaluate.seed]);
            (config, at, seeds)
        }
    };
    let replicas: Vec<V2xParams> =
        seeds.iter().map(|s| crate::tasks::v2x::reproduce::params_of(&config.task, at, [*s, 0])).collect();
    let mut place = place(&a.common.device)?;
    let bars = Bars::new();
    let watch = a.watch(&bars, &place);
    let gpu = place.gpu.as_deref();
    let weights = checkpoint.as_ref().map(|checkpoint| Weights { checkpoint, precision: a.precision });
    let outcomes = crate::tasks::v2x::reproduce::outcomes(agent, &config, &replicas, weights, gpu, watch)?;
    let mut metrics = summarise(agent.is_bound(), config.task.vehicles, &outcomes);
    let mut measured = None;
    if let Some(weights) = weights {
        metrics.extend(energies(agent, weights.checkpoint, &outcomes)?);
        measured = Some(crate::tasks::v2x::reproduce::measured(
            agent,
            &config,
            &replicas,
            weights,
            gpu,
            a.measure_energy,
            watch,
        ));
    }
    if !agent.decides_on_gpu() {
        place = cpu_place("the agent decides there");
    }
    let mut slots = Vec::new();
    if !agent.is_bound() {
        let at = |t: usize| pool(&outcomes.iter().map(|o| (o.slots[t], o.episodes)).collect::<Vec<_>>());
        slots.push(("sum_rate_bps_hz", (0..config.task.slots).map(at).collect()));
    }
    Ok(Printed {
        title: format!("{} at {at} dBm", agent.id),
        agent: agent.id,
        device: place.name.device,
        episodes: outcomes.iter().map(|o| o.episodes).sum(),
        replicas: outcomes.len(),
        episode_slots: config.task.slots,
        metrics,
        measured,
        slots,
    })
}

impl EvaluateArgs {
    /// Bars, or nothing where the output is for a program.
    fn watch<'a>(&self, bars: &'a Bars, place: &Place) -> &'a dyn Watch {
        if self.json {
            return &Silent;
        }
        eprintln!("{}", place.why);
        bars
    }
}

/// Mean over replicas or episodes, and the ends of its 95 % interval.
type Pooled = (f64, f64, f64);

/// What an evaluation prints.
struct Printed {
    title: String,
    agent: &'static str,
    device: String,
    episodes: u64,
    replicas: usize,
    /// T
    episode_slots: usize,
    metrics: Vec<Summary>,
    /// Joules per slot by the device's counter, or why not; `None` of agents without networks.
    measured: Option<Result<(f64, String), String>>,
    /// Each slot, by name.
    slots: Vec<(&'static str, Vec<Pooled>)>,
}

impl Printed {
    fn print(&self, a: &EvaluateArgs) {
        if a.json {
            let value =
                |(mean, lo, hi): Pooled| json!({ "mean": number(mean), "ci95": [number(lo), number(hi)] });
            let mut object = Map::new();
            for m in &self.metrics {
                object.insert(m.name.clone(), value((m.mean, m.lo, m.hi)));
            }
            if let Some(measured) = &self.measured {
                let (mean, reason) = match measured {
                    Ok((joules, how)) => (number(*joules), how),
                    Err(why) => (Value::Null, why),
                };
                object.insert(MEASURED.into(), json!({ "mean": mean, "reason": reason }));
            }
            let mut out = json!({ "task": a.task, "agent": self.agent, "device": self.device, "precision": a.precision.name(), "episodes": self.episodes, "replicas": self.replicas, "metrics": object });
            if !self.slots.is_empty() {
                let of = |all: &Vec<Pooled>| all.iter().copied().map(value).collect::<Vec<_>>();
                out["slots"] = self
                    .slots
                    .iter()
                    .map(|(n, s)| (n.to_string(), of(s).into()))
                    .collect::<Map<_, _>>()
                    .into();
            }
            println!("{out}");
            return;
        }
        let precision = a.precision.name();
        println!("{}, {} episodes of {} slots, {precision}", self.title, self.episodes, self.episode_slots);
        for m in &self.metrics {
            // Angle errors go down to 1e-9 rad.
            let show =
                |x: f64| if x != 0.0 && x.abs() < 1e-3 { format!("{x:.6e}") } else { format!("{x:.6}") };
            // Maxima and what a schedule knows of itself have none.
            let interval = if m.lo.is_nan() {
                String::new()
            } else {
                format!("   95 % interval [{}, {}]", show(m.lo), show(m.hi))
            };
            println!("  {:24} {:>14}{interval}", m.name, show(m.mean));
        }
        match &self.measured {
            Some(Ok((joules, how))) => println!("  {MEASURED} {joules:.3e} ({how})"),
            Some(Err(why)) => println!("  {MEASURED} none: {why}"),
            None => {}
        }
    }
}

/// Estimates of every replica by name, in the order of their first appearance.
#[derive(Default)]
struct Values(Vec<(String, Vec<(Estimate, u64)>)>);

impl Values {
    fn add(&mut self, name: String, estimate: Estimate, episodes: u64) {
        match self.0.iter_mut().find(|v| v.0 == name) {
            Some(v) => v.1.push((estimate, episodes)),
            None => self.0.push((name, vec![(estimate, episodes)])),
        }
    }
    fn summaries(self) -> Vec<Summary> {
        let summary = |(name, values): (String, Vec<_>)| {
            let (mean, lo, hi) = pool(&values);
            Summary { name, mean, lo, hi }
        };
        self.0.into_iter().map(summary).collect()
    }
}

/// A name of methods and constants as part of a metric's name.
fn plain(x: &str) -> String {
    x.replace(", ", "_").replace([' ', '-'], "_")
}

/// One policy call and its slot by the device's counter.
const MEASURED: &str = "energy_measured_j_per_slot";

/// Energy of a policy call, once per slot, by each model, and firing rates (or shares of active units) of the policy network.
fn energies(agent: &V2xAgent, saved: &Checkpoint<V2xConfig>, outcomes: &[Outcome]) -> Result<Vec<Summary>> {
    let policy = saved.algorithm().policy();
    let mut values = Values::default();
    for (o, params) in outcomes.iter().zip(saved.state.params.chunks(policy.params)) {
        let Some(activity) = &o.activity else { continue };
        let (entries, counted) =
            accounts::inference(&policy.net, params, activity).map_err(|e| JobError::Count(agent.id, e))?;
        let named = entries
            .iter()
            .map(|e| (format!("energy_{}_{}_j_per_slot", plain(e.method), plain(&e.constants)), e.energy_j));
        let rates = counted.iter().filter(|q| q.layer > 0);
        let rates = rates.map(|q| (format!("{}_{}_layer_{}", q.network, q.name, q.layer), q.value));
        for (name, mean) in named.chain(rates) {
            values.add(name, Estimate { mean, std_error: f64::NAN }, o.episodes);
        }
    }
    Ok(values.summaries())
}

fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

struct Summary {
    name: String,
    mean: f64,
    lo: f64,
    hi: f64,
}

/// Mean and 95 % interval: over seeds where there are several replicas, over episodes where there is one.
fn pool(replicas: &[(Estimate, u64)]) -> Pooled {
    let means: Vec<f64> = replicas.iter().map(|r| r.0.mean).collect();
    let mean = stats::mean(&means);
    let interval = match stats::standard_error(&means) {
        Some(se) => stats::t_interval_95(mean, se, means.len()),
        None => stats::t_interval_95(mean, replicas[0].0.std_error, replicas[0].1 as usize),
    };
    interval.map_or((mean, f64::NAN, f64::NAN), |i| (mean, i.lo, i.hi))
}

/// The metrics as they are reported: mean squares become roots.
fn summarise(bound_only: bool, vehicles: usize, outcomes: &[Outcome]) -> Vec<Summary> {
    let pooled =
        |row: usize| pool(&outcomes.iter().map(|o| (o.metrics[row], o.episodes)).collect::<Vec<_>>());
    let plain = |name: &str, row: usize| {
        let (mean, lo, hi) = pooled(row);
        Summary { name: name.into(), mean, lo, hi }
    };
    let root = |name: &str, row: usize| {
        let (mean, lo, hi) = pooled(row);
        Summary { name: name.into(), mean: mean.sqrt(), lo: lo.max(0.0).sqrt(), hi: hi.sqrt() }
    };
    if bound_only {
        return vec![plain("sum_rate_bps_hz", metric::UPPER_BOUND)];
    }
    let mut out = vec![
        plain("sum_rate_bps_hz", metric::SUM_RATE),
        plain("jain", metric::JAIN),
        plain("reward", metric::REWARD),
        plain("indicator_share", metric::INDICATOR),
        root("angle_rmse_rad", metric::ANGLE_SE),
        root("distance_rmse_m", metric::DISTANCE_SE),
        root("angle_crlb_root_rad", metric::ANGLE_CRLB),
        root("distance_crlb_root_m", metric::DISTANCE_CRLB),
        plain("upper_bound_bps_hz", metric::UPPER_BOUND),
    ];
    out.extend((0..vehicles).map(|k| plain(&format!("rate_{k}_bps_hz"), metric::RATE + k)));
    out
}
