//! `isacbench evaluate`

use super::common::cpu_place;
use super::print::{note, say};
use super::watch::{Bars, Silent};
use super::{Common, place};
use crate::config::user_sets;
use crate::energy::meters::Joules;
use crate::energy::rules::RULE;
use crate::num::stats;
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::CheckpointError;
use crate::run::errors::JobError;
use crate::run::evaluate::{Acts, Estimate, Precision};
use crate::run::reproduce;
use crate::run::rows::text_of;
use crate::run::task::{Agent, Evaluated, Task, Unit, Weights};
use crate::run::watch::Watch;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    common: Common,
    /// Task to run [default: the one that has the agent]
    #[arg(long)]
    pub(super) task: Option<String>,
    /// Agent id (docs/agents.md has all)
    #[arg(long)]
    pub(super) agent: String,
    /// Trained weights of a learned agent: a file, or the folder of its training
    #[arg(long, value_name = "PATH")]
    checkpoint: Option<PathBuf>,
    /// Episodes per replica
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    episodes: Option<u64>,
    /// Take the mean action of a stochastic policy, or what is more probable: short for --set evaluate.greedy=true
    #[arg(long, conflicts_with = "sampled")]
    greedy: bool,
    /// Draw the actions of a stochastic policy: short for --set evaluate.greedy=false
    #[arg(long)]
    sampled: bool,
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

/// Evaluates one agent of a task and prints what it did.
pub(super) fn evaluate<C: Task>(a: &EvaluateArgs) -> Result<()> {
    let bars = Bars::new();
    let watch: &dyn Watch = if a.json { &Silent } else { &bars };
    let printed = evaluation::<C>(a, watch)?;
    match a.json {
        true => say!("{}", printed.json()),
        false => printed.print(),
    }
    Ok(())
}

/// Evaluates one agent of a task.
pub(super) fn evaluation<C: Task>(a: &EvaluateArgs, watch: &dyn Watch) -> Result<Printed> {
    let mut sets = a.common.sets.clone();
    if let Some(n) = a.episodes {
        sets.push(format!("evaluate.episodes={n}"));
    }
    if a.greedy || a.sampled {
        sets.push(format!("evaluate.greedy={}", a.greedy));
    }
    let agent = super::common::agent::<C>(&a.agent)?;
    if !agent.is_learned() {
        a.precision.refuse("this agent has no network")?;
    }
    let mut saved = None;
    let (config, seeds) = match &a.checkpoint {
        Some(path) if agent.is_learned() => {
            let (checkpoint, config) = weights::<C>(a, path, agent, &sets)?;
            let seed = config.common().evaluate.seed;
            let seeds = checkpoint.seeds.iter().map(|s| seed.wrapping_add(*s)).collect();
            saved = Some(checkpoint);
            (config, seeds)
        }
        Some(_) => bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id),
        None if agent.is_learned() => return Err(JobError::NoWeights(agent.id).into()),
        None => {
            let config = C::load(a.common.config.as_deref(), &sets)?;
            let seeds = vec![config.common().evaluate.seed];
            (config, seeds)
        }
    };
    let units: Vec<_> = seeds.iter().map(|seed| Unit { config: &config, seed: *seed }).collect();
    let mut place = place(&a.common.device)?;
    if !a.json {
        note!("{}", place.why);
    }
    let gpu = place.gpu.as_deref();
    let algorithm = saved.as_ref().map(Checkpoint::algorithm);
    let weights = saved.as_ref().zip(algorithm.as_ref()).map(|(c, algorithm)| Weights {
        algorithm,
        params: &c.state.params,
        precision: a.precision,
    });
    let evaluated = C::evaluate(agent, &units, weights, gpu, watch)?;
    let measured = weights.map(|w| reproduce::measured::<C>(agent, &units, w, gpu, a.measure_energy, watch));
    if evaluated.iter().any(|e| !e.on_gpu) {
        place = cpu_place("the agent decides there");
    }
    let device = place.name.device.clone();
    Ok(Printed { measured, precision: a.precision, ..Printed::of(&config, agent.id, device, &evaluated) })
}

/// Judges a policy from outside of this program as agents of the task are, with these keys.
pub(super) fn judgement<C: Task>(
    sets: &[String],
    whole: bool,
    name: &str,
    rule: Arc<dyn Acts>,
    watch: &dyn Watch,
) -> Result<Printed> {
    let config = C::load(None, sets)?;
    let evaluated = config.judge(rule, whole, watch)?;
    Ok(Printed::of(&config, name, cpu_place("a policy from outside").name.device, &[evaluated]))
}

/// The checkpoint with the replicas that are to be evaluated, and the configuration with the user's keys at their place
/// of the swept axis.
fn weights<C: Task>(
    a: &EvaluateArgs,
    path: &Path,
    agent: &Agent<C>,
    sets: &[String],
) -> Result<(Checkpoint<C>, C)> {
    // The folder of a training holds one.
    let inside = path.join("checkpoint.safetensors");
    let path = if path.is_dir() { &inside } else { path };
    let mut saved = Checkpoint::<C>::load(path)?;
    if saved.agent != agent.id {
        let (file, found, wanted) = (path.display().to_string(), saved.agent, agent.id.into());
        return Err(CheckpointError::OtherAgent { file, found, wanted }.into());
    }
    let file = a.common.config.as_deref();
    let config = saved.config.under(file, sets)?;
    let other = config.other_decision(&saved.config, agent);
    if !other.is_empty() {
        let (by, keys) = (if file.is_some() { "--config or --set" } else { "--set" }, other.join(", "));
        bail!("{by}: '{}' was trained with another {keys}, and its policy is of that", path.display());
    }
    let (key, wanted) = (format!("task.{}", C::SCHEMA.swept.name), config.swept());
    let chosen = user_sets(file, sets, &key)?;
    if chosen && saved.swept.contains(&wanted) {
        saved.keep(wanted);
    } else if saved.swept.iter().any(|p| *p != saved.swept[0]) {
        let mut all = saved.swept.clone();
        all.dedup();
        bail!(
            "'{}' holds replicas for {all:?} {}: choose one with --set {key}=…",
            path.display(),
            C::SWEPT.unit
        );
    }
    let at = if chosen { wanted } else { saved.swept[0] };
    Ok((saved, config.at(at)))
}

/// Mean over replicas or episodes, and the ends of its 95 % interval.
type Pooled = (f64, f64, f64);

/// What an evaluation prints.
pub(super) struct Printed {
    task: &'static str,
    title: String,
    agent: String,
    device: String,
    precision: Precision,
    episodes: u64,
    replicas: usize,
    /// T
    episode_slots: usize,
    metrics: Vec<Summary>,
    /// Joules per slot by the device's counter, or why not; `None` of agents without networks.
    measured: Option<Joules>,
    /// Each slot, by name.
    slots: Vec<(&'static str, Vec<Pooled>)>,
}

impl Printed {
    fn of<C: Task>(config: &C, agent: &str, device: String, evaluated: &[Evaluated]) -> Self {
        let mut values = Values::default();
        for e in evaluated {
            for (name, estimate) in &e.metrics {
                values.add(name.clone(), *estimate, e.episodes);
            }
        }
        let mut metrics: Vec<Summary> = values.summaries().into_iter().map(Summary::shown::<C>).collect();
        metrics.extend(energies(evaluated));
        let slots = C::SCHEMA.slots.iter().enumerate().filter_map(|(i, column)| {
            let told: Vec<_> = evaluated.iter().filter_map(|e| Some((e.slots.get(i)?, e.episodes))).collect();
            let count = told.first()?.0.len();
            let at = |t: usize| pool(&told.iter().map(|(s, n)| (s[t], *n)).collect::<Vec<_>>());
            Some((column.name, (0..count).map(at).collect()))
        });
        Printed {
            task: C::NAME,
            title: format!("{agent} at {} {}", config.swept(), C::SWEPT.unit),
            agent: agent.into(),
            device,
            precision: Precision::F32,
            episodes: evaluated.iter().map(|e| e.episodes).sum(),
            replicas: evaluated.len(),
            episode_slots: config.env(&[]).sizes().slots,
            metrics,
            measured: None,
            slots: slots.collect(),
        }
    }

    /// One object.
    pub(super) fn json(&self) -> Value {
        let value =
            |(mean, lo, hi): Pooled| json!({ "mean": number(mean), "ci95": [number(lo), number(hi)] });
        let mut object = Map::new();
        for m in &self.metrics {
            object.insert(m.name.clone(), value((m.mean, m.lo, m.hi)));
        }
        if let Some(measured) = &self.measured {
            let (mean, reason) = match measured {
                Ok(m) => (number(m.joules_per_unit), m.how()),
                Err(why) => (Value::Null, why.clone()),
            };
            object.insert(MEASURED.into(), json!({ "mean": mean, "reason": reason }));
        }
        let mut out = json!({ "task": self.task, "agent": self.agent, "device": self.device, "precision": self.precision, "episodes": self.episodes, "replicas": self.replicas, "metrics": object });
        if !self.slots.is_empty() {
            let of = |all: &Vec<Pooled>| all.iter().copied().map(value).collect::<Vec<_>>();
            out["slots"] =
                self.slots.iter().map(|(n, s)| (n.to_string(), of(s).into())).collect::<Map<_, _>>().into();
        }
        out
    }

    fn print(&self) {
        let precision = text_of(&self.precision);
        say!("{}, {} episodes of {} slots, {precision}", self.title, self.episodes, self.episode_slots);
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
            say!("  {:25} {:>14}{interval}", m.name, show(m.mean));
        }
        match &self.measured {
            Some(Ok(m)) => say!("  {MEASURED} {:.3e} ({})", m.joules_per_unit, m.how()),
            Some(Err(why)) => say!("  {MEASURED} none: {why}"),
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

/// Energy of a decision, once per slot, by each model, and firing rates (or shares of active units) of the policy
/// network.
fn energies(evaluated: &[Evaluated]) -> Vec<Summary> {
    let mut values = Values::default();
    for e in evaluated {
        let named = e.energy.iter().map(|x| {
            // Where there is one network, it is the actor; a rule has none.
            let plainly = ["actor", RULE].contains(&x.network.as_str());
            let network = if plainly { String::new() } else { format!("{}_", plain(&x.network)) };
            (format!("energy_{network}{}_{}_j_per_slot", plain(x.method), plain(&x.constants)), x.energy_j)
        });
        let rates = e.counted.iter().filter(|q| q.layer > 0);
        let rates = rates.map(|q| (format!("{}_{}_layer_{}", q.network, q.name, q.layer), q.value));
        for (name, mean) in named.chain(rates) {
            values.add(name, Estimate::exact(mean), e.episodes);
        }
    }
    values.summaries()
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

impl Summary {
    /// As the task prints it: mean squares become roots.
    fn shown<C: Task>(self) -> Self {
        let shown = C::shown(&self.name);
        let of = |x: f64| if shown.root { x.sqrt() } else { x };
        let lo = if shown.root && self.lo < 0.0 { 0.0 } else { self.lo };
        Summary { name: shown.name, mean: of(self.mean), lo: of(lo), hi: of(self.hi) }
    }
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
