//! `isacbench evaluate`

use super::common::cpu_place;
use super::print::{note, say};
use super::watch::{Bars, Silent};
use super::{Common, Place, place};
use crate::config::user_sets;
use crate::energy::accounts::metric_name;
use crate::energy::meters::Joules;
use crate::energy::rules::RULE;
use crate::num::stats::{self, Interval};
use crate::num::text::{FEW_SEEDS, seeds_in_words};
use crate::run::checkpoint::Checkpoint;
use crate::run::compare::{self, Comparison, Condition, Score};
use crate::run::errors::CheckpointError;
use crate::run::errors::JobError;
use crate::run::evaluate::{Acts, Estimate, Precision};
use crate::run::reproduce;
use crate::run::rows::{sources, text_of};
use crate::run::task::{Agent, Evaluated, Facts, Task, Unit, Weights};
use crate::run::watch::Watch;
#[cfg(feature = "report")]
use anyhow::Context;
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
    /// Agent id (docs/agents.md has all), or several with commas between them, which are then compared
    #[arg(long, value_delimiter = ',', required_unless_present = "policy", value_name = "AGENT[,AGENT]")]
    pub(super) agent: Vec<String>,
    /// A network in an ONNX file instead of an agent, beside references and the bound (the command that `pip install
    /// ./python[onnx]` brings has it)
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    pub(super) policy: Option<PathBuf>,
    /// Trained weights of a learned agent: a file, or the folder of its training; of several agents AGENT=PATH
    /// (repeatable)
    #[arg(long = "checkpoint", value_name = "[AGENT=]PATH")]
    checkpoints: Vec<PathBuf>,
    /// Episodes per replica
    #[arg(long, value_name = "N")]
    episodes: Option<u64>,
    /// Evaluation seeds of agents without weights, from evaluate.seed on [default: those that the checkpoints are
    /// evaluated with; without a checkpoint 1, or 10 where several agents are compared]
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// Take the mean action of a stochastic policy, or what is more probable: short for --set evaluate.greedy=true
    #[arg(long, conflicts_with = "sampled")]
    greedy: bool,
    /// Draw the actions of a stochastic policy: short for --set evaluate.greedy=false
    #[arg(long)]
    sampled: bool,
    /// What the policy's network computes in. Energies are by the number formats that their methods name, not by this
    /// one
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Read the device's energy counter, if it has one: half a minute
    #[arg(long)]
    measure_energy: bool,
    /// Metric that several agents are compared by (repeatable) [default: those that the task is judged by]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Folder for a page with figures: means, pairs, and what happens slot by slot
    #[cfg(feature = "report")]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Seeds of agents without weights where several agents are compared.
const COMPARED_SEEDS: u32 = 10;
/// Most of them: each is a replica.
const MOST_SEEDS: u32 = 4096;

/// Evaluates agents of a task and prints what they did.
pub(super) fn evaluate<C: Task>(a: &EvaluateArgs) -> Result<()> {
    let bars = Bars::new();
    let watch: &dyn Watch = if a.json { &Silent } else { &bars };
    let told = evaluation::<C>(a, watch)?;
    match a.json {
        true => say!("{}", told.json()),
        false => told.print(),
    }
    #[cfg(feature = "report")]
    if let Some(out) = &a.out {
        let paths = told.page(out, C::palette(), C::METRIC)?;
        if !a.json {
            for path in paths {
                note!("wrote {}", path.display());
            }
        }
    }
    Ok(())
}

/// One agent of an evaluation, ready to run.
struct Subject<C: Task> {
    agent: &'static Agent<C>,
    config: C,
    seeds: Vec<u32>,
    /// With the path that it was named by.
    saved: Option<(Checkpoint<C>, PathBuf)>,
}

/// Evaluates agents of a task, and compares them if there are several.
pub(super) fn evaluation<C: Task>(a: &EvaluateArgs, watch: &dyn Watch) -> Result<Told> {
    let mut sets = a.common.sets.clone();
    if let Some(n) = a.episodes {
        sets.push(format!("evaluate.episodes={n}"));
    }
    if a.greedy || a.sampled {
        sets.push(format!("evaluate.greedy={}", a.greedy));
    }
    let subjects = subjects::<C>(a, &sets)?;
    for metric in &a.metrics {
        if subjects.len() < 2 {
            bail!("--metric {metric}: one agent is not compared; name several, as in --agent a,b");
        }
    }
    let place = place(&a.common.device)?;
    if !a.json {
        note!("{}", place.why);
    }
    let all: Vec<Printed> = subjects.iter().map(|s| evaluated(a, s, &place, watch)).collect::<Result<_>>()?;
    let scores: Vec<Score> = all.iter().flat_map(Printed::scores).collect();
    let usual = || C::COMPARED.iter().map(ToString::to_string).collect();
    let metrics: Vec<String> = if a.metrics.is_empty() { usual() } else { a.metrics.clone() };
    let mut comparisons = Vec::new();
    for metric in metrics.iter().filter(|_| all.len() > 1) {
        match compare::compare(&scores, metric, &C::facts(metric), None) {
            Some(comparison) => comparisons.push(comparison),
            None if a.metrics.is_empty() => {}
            None => {
                let known = stats::once(scores.iter().map(|s| s.metric.as_str())).join(", ");
                bail!("--metric {metric}: fewer than two of the agents have it; there are: {known}");
            }
        }
    }
    Ok(Told { all, comparisons })
}

/// The agents that are asked for, each with its configuration and seeds.
fn subjects<C: Task>(a: &EvaluateArgs, sets: &[String]) -> Result<Vec<Subject<C>>> {
    let agents: Vec<_> =
        a.agent.iter().map(|id| super::common::agent::<C>(id.trim())).collect::<Result<_>>()?;
    if let Some(twice) = agents.iter().enumerate().find(|(i, x)| agents[..*i].iter().any(|y| x.id == y.id)) {
        bail!(
            "--agent: '{}' is named twice; evaluate each checkpoint by itself with --json, and put the files into \
             `isacbench compare`",
            twice.1.id
        );
    }
    let mut paths: Vec<Option<PathBuf>> = vec![None; agents.len()];
    for given in &a.checkpoints {
        let (place, path) = whose(given, &agents)?;
        let agent = agents[place];
        if !agent.is_learned() {
            bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id);
        }
        if paths[place].replace(path).is_some() {
            bail!("--checkpoint: agent '{}' has two", agent.id);
        }
    }
    let mut out: Vec<Option<Subject<C>>> = Vec::new();
    for (agent, path) in agents.iter().zip(&paths) {
        if !agent.is_learned() {
            a.precision
                .refuse("this agent has no network")
                .or_else(|e| if agents.len() > 1 { Ok(()) } else { Err(e) })?;
            out.push(None);
            continue;
        }
        let Some(path) = path else { return Err(JobError::NoWeights(agent.id).into()) };
        let (checkpoint, config) = weights::<C>(a.common.config.as_deref(), path, agent, sets)?;
        let seed = config.common().evaluate.seed;
        let seeds = checkpoint.seeds.iter().map(|s| seed.wrapping_add(*s)).collect();
        out.push(Some(Subject { agent, config, seeds, saved: Some((checkpoint, path.clone())) }));
    }
    // Agents without weights run where those with weights do.
    let learned: Vec<&Subject<C>> = out.iter().flatten().collect();
    let config = match learned.first() {
        Some(first) => first.config.clone(),
        None => C::load(a.common.config.as_deref(), sets)?,
    };
    for other in learned.iter().skip(1) {
        let first = learned[0];
        let mut keys = first.config.different_keys(&other.config);
        keys.retain(|key| ["task.", "evaluate."].iter().any(|section| key.starts_with(section)));
        if !keys.is_empty() {
            let (x, y) = (first.agent.id, other.agent.id);
            note!(
                "warning: '{x}' and '{y}' differ in {}; their pairs are of different experiments",
                keys.join(", ")
            );
        }
    }
    if a.seeds.is_some() && learned.len() == agents.len() {
        bail!(
            "--seeds is of agents without weights; those of a checkpoint run with the seeds of its replicas"
        );
    }
    let mut seeds = stats::once(learned.iter().flat_map(|s| s.seeds.iter().copied()));
    if seeds.is_empty() || a.seeds.is_some() {
        let n = a.seeds.unwrap_or(if agents.len() > 1 { COMPARED_SEEDS } else { 1 });
        if !(1..=MOST_SEEDS).contains(&n) {
            bail!("--seeds {n}: must be from 1 to {MOST_SEEDS}");
        }
        let first = config.common().evaluate.seed;
        seeds = (0..n).map(|i| first.wrapping_add(i)).collect();
    }
    let fixed = |agent| Subject { agent, config: config.clone(), seeds: seeds.clone(), saved: None };
    Ok(agents.iter().zip(out).map(|(agent, s)| s.unwrap_or_else(|| fixed(*agent))).collect())
}

/// Whose weights a `--checkpoint` has, as a place among the agents, and where they lie.
fn whose<C: Task>(given: &Path, agents: &[&'static Agent<C>]) -> Result<(usize, PathBuf)> {
    if let Some((id, path)) = given.to_str().and_then(|text| text.split_once('='))
        && let Some(place) = agents.iter().position(|x| x.id == id)
    {
        return Ok((place, path.into()));
    }
    let learned: Vec<usize> = (0..agents.len()).filter(|i| agents[*i].is_learned()).collect();
    match (&learned[..], agents.len()) {
        ([place], _) => Ok((*place, given.into())),
        ([], 1) => Ok((0, given.into())),
        _ => {
            let names: Vec<_> = agents.iter().map(|x| x.id).collect();
            bail!(
                "--checkpoint {}: say whose it is, as in {}=PATH",
                given.display(),
                names[learned.first().map_or(0, |i| *i)]
            )
        }
    }
}

/// Runs one agent.
fn evaluated<C: Task>(a: &EvaluateArgs, s: &Subject<C>, place: &Place, watch: &dyn Watch) -> Result<Printed> {
    let units: Vec<_> = s.seeds.iter().map(|seed| Unit { config: &s.config, seed: *seed }).collect();
    let gpu = place.gpu.as_deref();
    let algorithm = s.saved.as_ref().map(|(checkpoint, _)| checkpoint.algorithm());
    let precision = if s.saved.is_some() { a.precision } else { Precision::F32 };
    let weights = s.saved.as_ref().zip(algorithm.as_ref()).map(|((c, _), algorithm)| Weights {
        algorithm,
        params: &c.state.params,
        precision,
    });
    let evaluated = C::evaluate(s.agent, &units, weights, gpu, watch)?;
    let measured =
        weights.map(|w| reproduce::measured::<C>(s.agent, &units, w, gpu, a.measure_energy, watch));
    let device = match evaluated.iter().all(|e| e.on_gpu) {
        true => place.name.device.clone(),
        false => cpu_place("the agent decides there").name.device,
    };
    let checkpoint = s.saved.as_ref().map(|(_, path)| path.display().to_string());
    let printed = Printed::of(&s.config, s.agent.id, device, &evaluated, s.seeds.clone());
    Ok(Printed { measured, precision, checkpoint, ..printed })
}

/// Judges a policy from outside of this program as agents of the task are, with these keys.
pub(super) fn judgement<C: Task>(
    sets: &[String],
    whole: bool,
    name: &str,
    rule: Arc<dyn Acts>,
    watch: &dyn Watch,
) -> Result<Told> {
    let config = C::load(None, sets)?;
    let evaluated = config.judge(rule, whole, watch)?;
    let device = cpu_place("a policy from outside").name.device;
    let seeds = vec![config.common().evaluate.seed];
    Ok(Told { all: vec![Printed::of(&config, name, device, &[evaluated], seeds)], comparisons: Vec::new() })
}

/// What an evaluation tells.
pub(super) struct Told {
    all: Vec<Printed>,
    /// Empty of one agent.
    comparisons: Vec<Comparison>,
}

impl Told {
    /// One object: that of the agent, or of several agents all of them and their comparisons.
    pub(super) fn json(&self) -> Value {
        match &self.all[..] {
            [one] => one.json(),
            all => json!({
                "task": all[0].task,
                "agents": all.iter().map(Printed::json).collect::<Vec<_>>(),
                "comparisons": self.comparisons.iter().map(compare::json).collect::<Vec<_>>(),
            }),
        }
    }

    fn print(&self) {
        let [one] = &self.all[..] else {
            let first = &self.all[0];
            say!("{} at {}, {} slots an episode", first.task, first.at, first.episode_slots);
            for p in &self.all {
                let of = p.checkpoint.as_ref().map_or(String::new(), |path| format!(", {path}"));
                say!("  {}: {} episodes over {}{of}", p.agent, p.episodes, seeds_in_words(p.seeds.len()));
            }
            say!("{}", compare::METHOD);
            for comparison in &self.comparisons {
                say!("\n{}", compare::text(comparison).trim_end());
            }
            return;
        };
        one.print();
    }

    #[cfg(feature = "report")]
    fn page(
        &self,
        out: &Path,
        palette: &'static [crate::report::figure::Swatch],
        metric: &'static str,
    ) -> Result<Vec<PathBuf>> {
        let read =
            compare::Read::of_evaluations(&self.json()).context("an evaluation cannot be read back")?;
        let asked = compare::Asked { palette: palette.into(), metric, ..compare::Asked::default() };
        Ok(compare::write(out, &read, &self.comparisons, &asked)?)
    }
}

/// The checkpoint with the replicas that are to be evaluated, and the configuration with the user's keys at their place
/// of the swept axis.
pub(super) fn weights<C: Task>(
    file: Option<&Path>,
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
    let config = saved.config.under(file, sets)?;
    let other = config.other_decision(&saved.config, agent);
    if !other.is_empty() {
        let (by, keys) = (if file.is_some() { "--config or --set" } else { "--set" }, other.join(", "));
        bail!(
            "{by}: '{}' was trained with another value of {keys}, so its policy does not fit",
            path.display()
        );
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

/// Mean over replicas or episodes, and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pooled {
    mean: f64,
    interval: Option<Interval>,
}

impl Pooled {
    /// Mean and 95 % interval, kept in the quantity's range: over seeds by bootstrap where there are several replicas,
    /// over episodes by Student's t where there is one.
    fn of(replicas: &[(Estimate, u64)], facts: &Facts) -> Self {
        let means: Vec<f64> = replicas.iter().map(|r| r.0.mean).collect();
        let mean = stats::mean(&means);
        let interval = match &replicas {
            [(one, episodes)] => stats::t_interval_95(mean, one.std_error, *episodes as usize),
            _ => stats::bootstrap_mean_95(&means, 0),
        };
        Pooled { mean, interval: interval.map(|i| i.within(facts.range)) }
    }

    fn root(self) -> Self {
        let of = |x: f64| x.max(0.0).sqrt();
        Pooled { mean: of(self.mean), interval: self.interval.map(|i| i.map(of)) }
    }

    fn json(self) -> Value {
        let [lo, hi] = self.interval.map_or([f64::NAN; 2], |i| [i.lo, i.hi]);
        json!({ "mean": number(self.mean), "ci95": [number(lo), number(hi)] })
    }
}

/// What an evaluation prints of one agent.
pub(super) struct Printed {
    task: &'static str,
    /// Place on the swept axis.
    at: String,
    agent: String,
    device: String,
    precision: Precision,
    episodes: u64,
    /// T
    episode_slots: usize,
    /// Of the evaluation, replica by replica.
    seeds: Vec<u32>,
    /// The whole configuration.
    config: toml::Table,
    /// Where the weights lay.
    checkpoint: Option<String>,
    metrics: Vec<Summary>,
    /// Joules per slot by the device's counter, or why not; `None` of agents without networks.
    measured: Option<Joules>,
    /// Each slot, by name.
    slots: Vec<(&'static str, Vec<Pooled>)>,
}

impl Printed {
    fn of<C: Task>(
        config: &C,
        agent: &str,
        device: String,
        evaluated: &[Evaluated],
        seeds: Vec<u32>,
    ) -> Self {
        let mut values = Values::default();
        for e in evaluated {
            for (name, estimate) in &e.metrics {
                values.add(name.clone(), *estimate, e.episodes);
            }
            energies(e, &mut values);
        }
        let slots = C::SCHEMA.slots.iter().enumerate().filter_map(|(i, column)| {
            let told: Vec<_> = evaluated.iter().filter_map(|e| Some((e.slots.get(i)?, e.episodes))).collect();
            let (count, facts) = (told.first()?.0.len(), C::facts(column.name));
            let at = |t: usize| Pooled::of(&told.iter().map(|(s, n)| (s[t], *n)).collect::<Vec<_>>(), &facts);
            Some((column.name, (0..count).map(at).collect()))
        });
        Printed {
            task: C::NAME,
            at: format!("{} {}", config.swept(), C::SWEPT.unit),
            agent: agent.into(),
            device,
            precision: Precision::F32,
            episodes: evaluated.iter().map(|e| e.episodes).sum(),
            episode_slots: config.env(&[]).sizes().slots,
            seeds,
            config: config.table(),
            checkpoint: None,
            metrics: values.summaries(C::facts),
            measured: None,
            slots: slots.collect(),
        }
    }

    /// Its value for each metric and seed, under one condition.
    fn scores(&self) -> Vec<Score> {
        let of = |m: &Summary| {
            let one = |(seed, value): (&u32, &f64)| Score {
                agent: self.agent.clone(),
                condition: Condition::new(),
                seed: *seed,
                metric: m.name.clone(),
                value: *value,
            };
            self.seeds.iter().zip(&m.per_seed).map(one).collect::<Vec<_>>()
        };
        self.metrics.iter().flat_map(of).collect()
    }

    /// What its intervals are over, in words.
    fn over(&self) -> String {
        match (self.seeds.len(), &self.checkpoint) {
            (1, None) => "Student's t over the episodes of one seed".into(),
            (1, Some(_)) => {
                "Student's t over the episodes of one seed: it says nothing of other trainings".into()
            }
            (n, _) => format!("percentile bootstrap over {}", seeds_in_words(n)),
        }
    }

    /// One object.
    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        for m in &self.metrics {
            let mut value = m.value.json();
            value["per_seed"] = m.per_seed.iter().map(|x| number(*x)).collect();
            if let Some(root) = m.facts.root {
                value["root"] = m.value.root().json();
                value["root"]["name"] = json!(root);
            }
            object.insert(m.name.clone(), value);
        }
        if let Some(measured) = &self.measured {
            let (mean, reason) = match measured {
                Ok(m) => (number(m.joules_per_unit), m.how()),
                Err(why) => (Value::Null, why.clone()),
            };
            object.insert(MEASURED.into(), json!({ "mean": mean, "reason": reason }));
        }
        let ((revision, dirty), seeds) = (sources(), self.seeds.len());
        let mut out = json!({
            "task": self.task,
            "agent": self.agent,
            "device": self.device,
            "precision": self.precision,
            "episodes": self.episodes,
            "replicas": seeds,
            "seeds": self.seeds,
            "checkpoint": self.checkpoint,
            "git_revision": revision,
            "git_dirty": dirty,
            "crate_version": env!("CARGO_PKG_VERSION"),
            "intervals": self.over(),
            "few_seeds": seeds < FEW_SEEDS,
            "configuration": self.config,
            "metrics": object,
        });
        if !self.slots.is_empty() {
            let of = |all: &Vec<Pooled>| all.iter().map(|x| x.json()).collect::<Vec<_>>();
            out["slots"] =
                self.slots.iter().map(|(n, s)| (n.to_string(), of(s).into())).collect::<Map<_, _>>().into();
        }
        out
    }

    fn print(&self) {
        let precision = text_of(&self.precision);
        let (agent, at) = (&self.agent, &self.at);
        say!("{agent} at {at}, {} episodes of {} slots, {precision}", self.episodes, self.episode_slots);
        say!("95 % intervals: {}", self.over());
        // Angle errors go down to 1e-9 rad.
        let show = |x: f64| if x != 0.0 && x.abs() < 1e-3 { format!("{x:.6e}") } else { format!("{x:.6}") };
        for m in &self.metrics {
            // Maxima and what a schedule knows of itself have none.
            let ends = |i: Interval| format!("   95 % interval [{}, {}]", show(i.lo), show(i.hi));
            let interval = m.value.interval.map_or(String::new(), ends);
            let root =
                m.facts.root.map_or(String::new(), |name| format!("   {name} {}", show(m.value.root().mean)));
            say!("  {:25} {:>14}{interval}{root}", m.name, show(m.value.mean));
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
    fn summaries(self, facts: impl Fn(&str) -> Facts) -> Vec<Summary> {
        let summary = |(name, values): (String, Vec<(Estimate, u64)>)| {
            let facts = facts(&name);
            let per_seed = values.iter().map(|v| v.0.mean).collect();
            Summary { value: Pooled::of(&values, &facts), facts, per_seed, name }
        };
        self.0.into_iter().map(summary).collect()
    }
}

/// One policy call and its slot by the device's counter.
const MEASURED: &str = "energy_measured_j_per_slot";

/// Energy of a decision, once per slot, by each model, and firing rates (or shares of active units) of the policy
/// network.
fn energies(e: &Evaluated, values: &mut Values) {
    let named = e.energy.iter().map(|x| {
        // Where there is one network, it is the actor; a rule has none.
        let network = if x.network == RULE { "actor" } else { &x.network };
        (metric_name(network, x.method, &x.constants), x.energy_j)
    });
    let rates = e.counted.iter().filter(|q| q.layer > 0);
    let rates = rates.map(|q| (format!("{}_{}_layer_{}", q.network, q.name, q.layer), q.value));
    for (name, mean) in named.chain(rates) {
        values.add(name, Estimate::exact(mean), e.episodes);
    }
}

fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

/// One metric.
struct Summary {
    name: String,
    facts: Facts,
    value: Pooled,
    /// Replica by replica.
    per_seed: Vec<f64>,
}
