//! `isacbench evaluate`

use super::watch::{Bars, Silent};
use super::{Common, find_agent, place};
use crate::agents::{self, Kind};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, Layered, V2xConfig};
use crate::energy::accounts;
use crate::evaluate::Estimate;
use crate::evaluate::v2x::Outcome;
use crate::learn::Algorithm;
use crate::reproduce::{self, Watch};
use crate::stats;
use crate::task::v2x::{V2xParams, metric};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    common: Common,
    /// Task to run
    #[arg(long, default_value = "v2x", value_parser = ["v2x"])]
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
    /// Read the device's energy counter, if it has one: four windows of 5 s
    #[arg(long)]
    measure_energy: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn evaluate(a: &EvaluateArgs) -> Result<()> {
    let agent = find_agent(&a.agent)?;
    let mut sets = a.common.sets.clone();
    if let Some(n) = a.episodes {
        sets.push(format!("evaluate.episodes={n}"));
    }
    if a.greedy {
        sets.push("evaluate.greedy=true".into());
    }
    let mut checkpoint = None;
    let (config, replicas): (Config, Vec<V2xParams>) = match (&a.checkpoint, agent.kind) {
        (Some(path), kind) if kind.is_learned() => {
            if a.common.config.is_some() {
                bail!("--config: a checkpoint brings its own configuration; change single keys with --set");
            }
            let mut saved = Checkpoint::<Config>::load(path)?;
            if saved.agent != agent.id {
                let (file, found, wanted) = (path.display().to_string(), saved.agent, agent.id.into());
                return Err(CheckpointError::OtherAgent { file, found, wanted }.into());
            }
            let config = saved.config.with(&sets)?;
            let sizes = |c: &Config| Algorithm::new(kind, c, Vec::new()).map(|a| (*a.task(), a.policy()));
            if sizes(&config) != sizes(&saved.config) {
                bail!("--set: these keys change the sizes that '{}' was trained with", path.display());
            }
            let chosen =
                sets.iter().filter_map(|s| s.split_once('=')).any(|(key, _)| key.trim() == "task.p_max_dbm");
            if chosen && saved.swept.contains(&config.task.p_max_dbm) {
                saved.keep(config.task.p_max_dbm);
            } else if saved.swept.iter().any(|p| *p != saved.swept[0]) {
                let mut all = saved.swept.clone();
                all.dedup();
                bail!(
                    "'{}' holds replicas for {all:?} dBm: choose one with --set task.p_max_dbm=…",
                    path.display()
                );
            }
            let power = if chosen { config.task.p_max_dbm } else { saved.swept[0] };
            let task = V2xConfig { p_max_dbm: power, ..config.task.clone() };
            let params =
                saved.seeds.iter().map(|s| task.params([config.evaluate.seed.wrapping_add(*s), 0])).collect();
            checkpoint = Some(saved);
            (config, params)
        }
        (Some(_), _) => bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id),
        (None, kind) if kind.is_learned() => return Err(reproduce::JobError::NoWeights(agent.id).into()),
        (None, _) => {
            let config = Config::load(a.common.config.as_deref(), &sets)?;
            let params = vec![config.task.params([config.evaluate.seed, 0])];
            (config, params)
        }
    };
    let place = place(&a.common.device)?;
    let bars = Bars::new();
    let watch: &dyn Watch = if a.json { &Silent } else { &bars };
    if !a.json {
        eprintln!("{}", place.why);
    }
    let outcomes =
        reproduce::outcomes(agent, &config, &replicas, checkpoint.as_ref(), place.gpu.as_deref(), watch)?;
    let vehicles = config.task.vehicles;
    let mut metrics = summarise(agent.kind == Kind::UpperBound, vehicles, &outcomes);
    let mut measured = None;
    if let Some(saved) = &checkpoint {
        metrics.extend(energies(agent, saved, &outcomes)?);
        let gpu = place.gpu.as_deref();
        measured = Some(reproduce::measured(agent, &config, &replicas, saved, gpu, a.measure_energy, watch));
    }
    let episodes: u64 = outcomes.iter().map(|o| o.episodes).sum();
    if a.json {
        let mut object = Map::new();
        for m in &metrics {
            object.insert(
                m.name.clone(),
                json!({ "mean": number(m.mean), "ci95": [number(m.lo), number(m.hi)] }),
            );
        }
        if let Some(measured) = &measured {
            let (mean, reason) = match measured {
                Ok((joules, how)) => (number(*joules), how),
                Err(why) => (Value::Null, why),
            };
            object.insert(MEASURED.into(), json!({ "mean": mean, "reason": reason }));
        }
        let mut out = json!({ "task": a.task, "agent": agent.id, "device": place.name.device, "episodes": episodes, "replicas": outcomes.len(), "metrics": object });
        if agent.kind != Kind::UpperBound {
            let slots: Vec<_> = (0..config.task.slots)
                .map(|t| pool(&outcomes.iter().map(|o| (o.slots[t], o.episodes)).collect::<Vec<_>>()))
                .collect();
            out["slots"] = json!({ "sum_rate_bps_hz": slots.iter().map(|s| json!({ "mean": number(s.0), "ci95": [number(s.1), number(s.2)] })).collect::<Vec<_>>() });
        }
        println!("{out}");
        return Ok(());
    }
    println!(
        "{} at {} dBm, {episodes} episodes of {} slots",
        agent.id, config.task.p_max_dbm, config.task.slots
    );
    for m in &metrics {
        // Angle errors go down to 1e-9 rad.
        let show = |x: f64| if x != 0.0 && x.abs() < 1e-3 { format!("{x:.6e}") } else { format!("{x:.6}") };
        println!("  {:24} {:>14}   95 % interval [{}, {}]", m.name, show(m.mean), show(m.lo), show(m.hi));
    }
    match measured {
        Some(Ok((joules, how))) => println!("  {MEASURED} {joules:.3e} ({how})"),
        Some(Err(why)) => println!("  {MEASURED} none: {why}"),
        None => {}
    }
    Ok(())
}

/// One policy call and its slot by the device's counter.
const MEASURED: &str = "energy_measured_j_per_slot";

/// Energy of a policy call, once per slot, by each model, and firing rates (or shares of active units) of the policy network.
fn energies(agent: &agents::Agent, saved: &Checkpoint<Config>, outcomes: &[Outcome]) -> Result<Vec<Summary>> {
    let policy = saved.algorithm().policy();
    let mut values: Vec<(String, Vec<(Estimate, u64)>)> = Vec::new();
    for (o, params) in outcomes.iter().zip(saved.state.params.chunks(policy.params)) {
        let Some(activity) = &o.activity else { continue };
        let (entries, counted) = accounts::inference(&policy.net, params, activity)
            .map_err(|e| reproduce::JobError::Count(agent.id, e))?;
        let plain = |x: &str| x.replace(", ", "_").replace([' ', '-'], "_");
        let named = entries
            .iter()
            .map(|e| (format!("energy_{}_{}_j_per_slot", plain(e.method), plain(&e.constants)), e.energy_j));
        let rates = counted.iter().filter(|q| q.layer > 0);
        let rates = rates.map(|q| (format!("{}_{}_layer_{}", q.network, q.name, q.layer), q.value));
        for (name, mean) in named.chain(rates) {
            let estimate = (Estimate { mean, std_error: f64::NAN }, o.episodes);
            match values.iter_mut().find(|v| v.0 == name) {
                Some(v) => v.1.push(estimate),
                None => values.push((name, vec![estimate])),
            }
        }
    }
    let summary = |(name, values): (String, Vec<_>)| {
        let (mean, lo, hi) = pool(&values);
        Summary { name, mean, lo, hi }
    };
    Ok(values.into_iter().map(summary).collect())
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
fn pool(replicas: &[(Estimate, u64)]) -> (f64, f64, f64) {
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
