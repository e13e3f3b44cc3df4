//! What is compared: evaluations (files of `evaluate --json`), and folders of trainings, sweeps, tunings and
//! reproductions.

use super::{Condition, Score};
use crate::energy::accounts::{INFERENCE, metric_name};
use crate::num::stats::{bootstrap_mean_95, mean, once};
use crate::report::{ReportError, frames, made_by};
use crate::run::errors::JobError;
use crate::run::journal;
use crate::run::registry::AnyTask;
use crate::run::rows::{CurveRow, EnergyRow, EvalRow, Key, Manifest, Row, Schema, SlotRow};
use crate::run::sweep::SweepError;
use crate::run::sweep::dataset::{PLAN, PlanFile, Status, Tree, read_part};
use crate::run::sweep::task::SLOT;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("'{}': {what}", path.display())]
    Nothing { path: PathBuf, what: String },
    #[error("'{}' is of task {found}, '{}' of task {task}", path.display(), first.display())]
    OtherTask { path: PathBuf, found: String, first: PathBuf, task: String },
    #[error("{0}")]
    Option(String),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub name: String,
    /// `evaluation`, `training`, `sweep` or `report`.
    pub kind: Cow<'static, str>,
    /// What it was made by, in words: preset, updates, seeds, revision.
    pub about: String,
    /// Of a training, keys of its task with their values.
    pub task: BTreeMap<String, String>,
}

/// A quantity of an agent slot by slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub agent: String,
    pub condition: Condition,
    pub quantity: String,
    /// Mean and, if there is one, the ends of its 95 % interval, slot by slot.
    pub slots: Vec<(f64, Option<[f64; 2]>)>,
}

/// Everything that is compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    pub task: String,
    pub sources: Vec<Source>,
    pub scores: Vec<Score>,
    pub lines: Vec<Line>,
    /// What is to be borne in mind.
    pub warnings: Vec<String>,
}

/// Reads all of them.
///
/// # Errors
/// What cannot be read, and runs of different tasks.
pub fn read(paths: &[PathBuf], tasks: &[&dyn AnyTask]) -> Result<Read, CompareError> {
    let mut all: Vec<(PathBuf, Read)> = Vec::new();
    let mut evaluations: Vec<(String, Value)> = Vec::new();
    for (path, name) in paths.iter().zip(names(paths)) {
        let nothing = |what: &str| CompareError::Nothing { path: path.clone(), what: what.into() };
        if path.is_file() {
            let bytes =
                std::fs::read(path).map_err(|source| CompareError::Io { path: path.clone(), source })?;
            let text = String::from_utf8(bytes)
                .map_err(|_| nothing("not what `evaluate --json` prints: it is no text"))?;
            // One object, or several one behind the other.
            let several = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            let before = evaluations.len();
            for value in several {
                let value = value.map_err(|e| nothing(&format!("not what `evaluate --json` prints: {e}")))?;
                evaluations.extend(objects(&value).into_iter().map(|v| (name.clone(), v)));
            }
            if evaluations.len() == before {
                return Err(nothing("not what `evaluate --json` prints: it has no metrics"));
            }
            let task = evaluations[before].1["task"].as_str();
            let task = task.ok_or_else(|| nothing("not what `evaluate --json` prints: it names no task"))?;
            let task = task.to_string();
            all.push((path.clone(), Read { task, ..Read::default() }));
            continue;
        }
        if !path.is_dir() {
            return Err(nothing("there is no such file or folder"));
        }
        let own = if path.join(PLAN).exists() {
            sweep(path, &name, tasks)?
        } else {
            let manifest = journal::read(path)?;
            let manifest = manifest.ok_or_else(|| {
                nothing(
                    "neither a training, a sweep nor a report: there is no plan.json and no manifest.json; of an evaluation the \
                     file is named that holds what `evaluate --json` printed",
                )
            })?;
            let task = tasks.iter().find(|t| t.name() == manifest.task);
            let task =
                task.ok_or_else(|| nothing(&format!("task '{}' is none of this program", manifest.task)))?;
            if path.join(EvalRow::FILE).exists() {
                report(path, &name, &manifest, *task)?
            } else if path.join(CurveRow::FILE).exists() {
                training(path, &name, &manifest, task.schema())?
            } else if path.join("curves.jsonl").exists() {
                return Err(nothing("its training is not finished: continue it with --resume"));
            } else {
                return Err(nothing("there is neither evals.parquet nor curves.parquet in it"));
            }
        };
        all.push((path.clone(), own));
    }
    let Some((first, task)) = all.first().map(|(path, read)| (path.clone(), read.task.clone())) else {
        return Ok(Read::default());
    };
    if let Some((path, other)) = all.iter().find(|(_, read)| read.task != task) {
        return Err(CompareError::OtherTask { path: path.clone(), found: other.task.clone(), first, task });
    }
    let swept = tasks.iter().find(|t| t.name() == task).map(|t| t.schema().swept.name);
    let mut out = Read { task, ..Read::default() };
    all.into_iter().for_each(|(_, read)| out.add(read));
    if !evaluations.is_empty() {
        let keys = once(out.scores.iter().flat_map(|s| s.condition.iter().map(|(k, _)| k.clone())));
        out.add(of_evaluations(&evaluations, swept, &keys));
    }
    out.tell_apart();
    out.warn_of_other_tasks();
    Ok(out)
}

impl Read {
    /// What `evaluate --json` printed of one agent or several.
    pub fn of_evaluations(value: &Value) -> Option<Read> {
        let all = objects(value);
        let task = all.first()?["task"].as_str()?.to_string();
        let all: Vec<_> = all.into_iter().map(|v| (String::new(), v)).collect();
        let mut read = of_evaluations(&all, None, &[]);
        read.task = task;
        read.tell_apart();
        Some(read)
    }

    fn add(&mut self, other: Read) {
        self.sources.extend(other.sources);
        self.scores.extend(other.scores);
        self.lines.extend(other.lines);
        self.warnings.extend(other.warnings);
    }

    /// Agents of one name that are not one thing get the name of their source behind them: weights of several
    /// trainings, and other values under one condition with one seed.
    fn tell_apart(&mut self) {
        let mut things: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (agent, _, thing) in self.scores.iter().filter_map(|s| parts(&s.agent)) {
            things.entry(agent).or_default().insert(thing);
        }
        let mut twice: BTreeSet<String> =
            things.iter().filter(|(_, all)| all.len() > 1).map(|(agent, _)| agent.to_string()).collect();
        if self.sources.len() > 1 {
            let mut first: BTreeMap<(&str, &Condition, u32, &str), (f64, &str)> = BTreeMap::new();
            for s in &self.scores {
                let Some((agent, source, _)) = parts(&s.agent) else { continue };
                let known =
                    first.entry((agent, &s.condition, s.seed, &s.metric)).or_insert((s.value, source));
                if known.1 != source && known.0 != s.value {
                    twice.insert(agent.into());
                }
            }
        }
        let named = |whole: &str| match parts(whole) {
            Some((agent, source, _)) if twice.contains(agent) => format!("{agent} ({source})"),
            Some((agent, ..)) => agent.to_string(),
            None => whole.to_string(),
        };
        self.scores.iter_mut().for_each(|s| s.agent = named(&s.agent));
        self.lines.iter_mut().for_each(|l| l.agent = named(&l.agent));
    }

    /// Warns of keys of the task in which trainings differ: their pairs are of different experiments.
    fn warn_of_other_tasks(&mut self) {
        let trainings: Vec<&Source> = self.sources.iter().filter(|s| s.kind == "training").collect();
        let Some(first) = trainings.first() else { return };
        let mut keys: BTreeSet<&String> = BTreeSet::new();
        for other in &trainings {
            let all = first.task.keys().chain(other.task.keys());
            keys.extend(all.filter(|k| first.task.get(*k) != other.task.get(*k)));
        }
        if !keys.is_empty() {
            let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
            let text =
                format!("the trainings differ in {}: their pairs are of different tasks", keys.join(", "));
            self.warnings.push(text);
        }
    }
}

/// Between an agent's name, that of its source, and what tells its weights from others, until [`Read::tell_apart`].
const FROM: char = '\u{1f}';

fn parts(whole: &str) -> Option<(&str, &str, &str)> {
    let (agent, rest) = whole.split_once(FROM)?;
    let (source, thing) = rest.split_once(FROM)?;
    Some((agent, source, thing))
}

/// An agent of a source; `thing` is empty of one without weights, which is the same everywhere.
fn from(agent: &str, source: &str, thing: &str) -> String {
    format!("{agent}{FROM}{source}{FROM}{thing}")
}

/// A value as text, the same for equal values however they were written.
fn plain(value: &str) -> String {
    let text = value.trim().trim_matches('"');
    if let Ok(x) = text.parse::<f64>() {
        return x.to_string();
    }
    let list = text.starts_with('[').then(|| format!("x = {text}").parse::<toml::Table>().ok()).flatten();
    fn shown(v: &toml::Value) -> String {
        match v {
            toml::Value::Array(all) => format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(", ")),
            toml::Value::Float(x) => x.to_string(),
            other => other.to_string(),
        }
    }
    list.and_then(|t| t.get("x").map(shown)).unwrap_or_else(|| text.to_string())
}

/// The same for what somebody typed.
pub fn same_value(a: &str, b: &str) -> bool {
    plain(a) == plain(b)
}

/// Each path in as few words as tell it from the others.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let last = |path: &Path, n: usize| {
        let all: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        let mut text = all[all.len().saturating_sub(n)..].join("/");
        if path.is_file()
            && let Some(stem) = text.strip_suffix(".json")
        {
            text.truncate(stem.len());
        }
        text
    };
    let of = |path: &PathBuf| {
        let unique = |n: &usize| paths.iter().filter(|p| last(p, *n) == last(path, *n)).count() == 1;
        last(path, (1..8).find(unique).unwrap_or(8))
    };
    paths.iter().map(of).collect()
}

/// The objects of agents in what `evaluate --json` printed.
fn objects(value: &Value) -> Vec<Value> {
    match value["agents"].as_array() {
        Some(all) => all.clone(),
        None if value["metrics"].is_object() => vec![value.clone()],
        None => Vec::new(),
    }
}

/// Dotted keys below a JSON object and their values as text.
fn flat(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(all) => all.iter().for_each(|(k, v)| flat(&format!("{prefix}.{k}"), v, out)),
        Value::String(text) => drop(out.insert(prefix.into(), text.clone())),
        other => drop(out.insert(prefix.into(), other.to_string())),
    }
}

/// Evaluations, each with the name of its source; `swept` is the swept key of their task, `wanted` are keys that the
/// conditions of other sources have.
fn of_evaluations(all: &[(String, Value)], swept: Option<&str>, wanted: &[String]) -> Read {
    let mut out = Read::default();
    let keys: Vec<BTreeMap<String, String>> = all
        .iter()
        .map(|(_, v)| {
            let mut keys = BTreeMap::new();
            for section in ["task", "protocol", "evaluate"] {
                flat(section, &v["configuration"][section], &mut keys);
            }
            keys.into_iter().map(|(k, v)| (k, plain(&v))).collect::<BTreeMap<_, _>>()
        })
        .collect();
    let agent = |v: &Value| v["agent"].as_str().unwrap_or("?").to_string();
    let known: BTreeSet<&String> = keys.iter().flat_map(BTreeMap::keys).collect();
    // A key is a condition where some agent has several values of it; what differs between agents alone is part of what
    // they are.
    let several = |key: &str| {
        let mut of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for ((_, v), keys) in all.iter().zip(&keys) {
            of.entry(agent(v)).or_default().extend(keys.get(key).map(String::as_str));
        }
        of.values().any(|values| values.len() > 1)
    };
    let swept = swept.map(|name| format!("task.{name}"));
    let is_swept = |key: &str| swept.as_deref() == Some(key);
    let is_wanted = |key: &str| wanted.iter().any(|w| key.strip_prefix("task.") == Some(w));
    let not_length = |key: &&str| *key != "evaluate.episodes";
    let mut conditions: Vec<&str> =
        known.iter().map(|k| k.as_str()).filter(not_length).filter(|k| several(k) || is_wanted(k)).collect();
    conditions.sort_by_key(|key| !is_swept(key));
    for key in known.iter().filter(|key| !conditions.contains(&key.as_str())) {
        let values = once(keys.iter().map(|k| k.get(*key)));
        if values.len() > 1 && !["task.beam", "evaluate.greedy"].contains(&key.as_str()) {
            let told: Vec<&str> = values.iter().map(|v| v.map_or("nothing", String::as_str)).collect();
            out.warnings.push(format!("the evaluations differ in {key}: {}", told.join(", ")));
        }
    }
    for ((source, v), keys) in all.iter().zip(&keys) {
        let name = from(&agent(v), source, v["checkpoint"].as_str().unwrap_or(""));
        if v["configuration"].is_null() {
            let text =
                format!("{source}: of a version that told no configuration; its conditions are unknown");
            out.warnings.push(text);
        }
        let condition: Condition = conditions
            .iter()
            .filter_map(|k| Some((k.strip_prefix("task.").unwrap_or(k).to_string(), keys.get(*k)?.clone())))
            .collect();
        let seeds: Vec<u32> = match v["seeds"].as_array() {
            Some(all) => all.iter().filter_map(|s| u32::try_from(s.as_u64()?).ok()).collect(),
            None => vec![0],
        };
        for (metric, value) in v["metrics"].as_object().into_iter().flatten() {
            let mut each: Vec<Option<f64>> =
                value["per_seed"].as_array().into_iter().flatten().map(Value::as_f64).collect();
            // Of one seed, and of earlier versions.
            if each.is_empty() && seeds.len() == 1 {
                each.push(value["mean"].as_f64());
            }
            for (seed, x) in seeds.iter().zip(each) {
                let Some(value) = x else { continue };
                let (agent, condition) = (name.clone(), condition.clone());
                out.scores.push(Score { agent, condition, seed: *seed, metric: metric.clone(), value });
            }
        }
        for (quantity, slots) in v["slots"].as_object().into_iter().flatten() {
            let slot = |s: &Value| {
                let end = |i: usize| s["ci95"][i].as_f64();
                (s["mean"].as_f64().unwrap_or(f64::NAN), end(0).zip(end(1)).map(|(lo, hi)| [lo, hi]))
            };
            out.lines.push(Line {
                agent: name.clone(),
                condition: condition.clone(),
                quantity: quantity.clone(),
                slots: slots.as_array().into_iter().flatten().map(slot).collect(),
            });
        }
        let text = |key: &str| v[key].as_str().map(ToString::to_string);
        let config = &v["configuration"];
        let about = About {
            preset: config["preset"].as_str().map(Into::into),
            updates: v["checkpoint"].as_str().and(config["train"]["updates"].as_u64()),
            seeds: seeds.len(),
            revision: text("git_revision"),
            dirty: v["git_dirty"].as_bool(),
        };
        let name = if source.is_empty() { agent(v) } else { format!("{source}: {}", agent(v)) };
        out.sources.push(Source {
            name,
            kind: "evaluation".into(),
            about: about.text(),
            task: BTreeMap::new(),
        });
    }
    out
}

/// What stands behind a table of numbers.
struct About {
    preset: Option<String>,
    updates: Option<u64>,
    seeds: usize,
    revision: Option<String>,
    dirty: Option<bool>,
}

impl About {
    fn text(&self) -> String {
        let preset = self.preset.as_ref().map(|p| format!("preset {p}"));
        let updates = self.updates.map(|n| format!("{n} updates"));
        let changed = if self.dirty == Some(true) { " with local changes" } else { "" };
        let revision =
            self.revision.as_ref().map(|r| format!("revision {}{changed}", r.get(..12).unwrap_or(r)));
        let seeds = Some(crate::num::text::seeds_in_words(self.seeds));
        [preset, updates, seeds, revision].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Agents of rows: what their labels have that is not usual stands behind the name.
struct Labels<'a> {
    schema: &'a Schema,
    usual: Vec<String>,
}

impl<'a> Labels<'a> {
    fn of<'b>(schema: &'a Schema, keys: impl Iterator<Item = &'b Key> + Clone) -> Labels<'a> {
        let usual = |i: usize| {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for key in keys.clone() {
                let label = key.labels.get(i).map_or("", String::as_str);
                *counts.entry(label).or_default() += usize::from(!label.is_empty());
            }
            counts
                .into_iter()
                .max_by_key(|(_, n)| *n)
                .filter(|(_, n)| *n > 0)
                .map_or("", |(l, _)| l)
                .to_string()
        };
        let last = schema.labels.len().saturating_sub(1);
        // The last one, the variant, is empty as a rule.
        let usual = (0..schema.labels.len()).map(|i| if i == last { String::new() } else { usual(i) });
        Labels { schema, usual: usual.collect() }
    }
    fn agent(&self, key: &Key) -> String {
        let mut out = key.agent.clone();
        for ((label, usual), named) in key.labels.iter().zip(&self.usual).zip(self.schema.labels) {
            if !label.is_empty() && label != usual {
                let word =
                    if named.name == "variant" { label.clone() } else { format!("{}={label}", named.name) };
                out = format!("{out}, {word}");
            }
        }
        out
    }
    fn condition(&self, key: &Key) -> Condition {
        vec![(self.schema.swept.name.into(), key.at.to_string())]
    }
}

/// Mean over seeds and the ends of its interval.
fn of_seeds(x: &[f64]) -> (f64, Option<[f64; 2]>) {
    (mean(x), bootstrap_mean_95(x, 0).map(|i| [i.lo, i.hi]))
}

/// A reproduction: its evaluations, energies of a decision, and slots.
fn report(dir: &Path, name: &str, m: &Manifest, task: &dyn AnyTask) -> Result<Read, CompareError> {
    let (schema, learned) = (task.schema(), task.learned());
    let thing = |key: &Key| if learned.contains(&key.agent.as_str()) { name } else { "" };
    let evals: Vec<EvalRow> = frames::read(&dir.join(EvalRow::FILE), schema)?;
    let labels = Labels::of(schema, evals.iter().map(|r| &r.key));
    let mut out = Read { task: m.task.clone(), ..Read::default() };
    let score = |key: &Key, metric: String, value: f64| Score {
        agent: from(&labels.agent(key), name, thing(key)),
        condition: labels.condition(key),
        seed: key.seed,
        metric,
        value,
    };
    out.scores.extend(evals.iter().map(|r| score(&r.key, r.metric.clone(), r.mean)));
    let energy = dir.join(EnergyRow::FILE);
    if energy.exists() {
        let rows: Vec<EnergyRow> = frames::read(&energy, schema)?;
        let inference = rows.iter().filter(|r| r.stage == INFERENCE && r.energy_j.is_finite());
        out.scores.extend(
            inference.map(|r| score(&r.key, metric_name(&r.network, &r.method, &r.constants), r.energy_j)),
        );
    }
    let slots = dir.join(SlotRow::FILE);
    if slots.exists() {
        // Reports of earlier versions have fewer columns.
        let rows: Vec<SlotRow> = frames::read(&slots, schema).unwrap_or_else(|e| {
            out.warnings.push(format!("{name}: no slots: {e}"));
            Vec::new()
        });
        // By agent, condition and quantity: values of all seeds, slot by slot.
        let mut all: BTreeMap<(String, Condition, usize), Vec<Vec<f64>>> = BTreeMap::new();
        for r in &rows {
            for (i, value) in r.values.iter().enumerate().filter(|(_, x)| x.is_finite()) {
                let of = (from(&labels.agent(&r.key), name, thing(&r.key)), labels.condition(&r.key), i);
                let slots = all.entry(of).or_default();
                let slot = r.slot as usize;
                slots.resize(slots.len().max(slot + 1), Vec::new());
                slots[slot].push(*value);
            }
        }
        out.lines.extend(all.into_iter().map(|((agent, condition, i), slots)| Line {
            agent,
            condition,
            quantity: schema.slots[i].name.into(),
            slots: slots.iter().map(|x| of_seeds(x)).collect(),
        }));
    }
    let task = BTreeMap::new();
    out.sources.push(Source { name: name.into(), kind: "report".into(), about: made_by(m), task });
    Ok(out)
}

/// A training: means over the last tenth of its updates, of what its curves hold of the task.
fn training(dir: &Path, name: &str, m: &Manifest, schema: &Schema) -> Result<Read, CompareError> {
    let rows: Vec<CurveRow> = frames::read(&dir.join(CurveRow::FILE), schema)?;
    let labels = Labels::of(schema, rows.iter().map(|r| &r.key));
    let last = rows.iter().map(|r| r.update).max().unwrap_or(0);
    let from_update = last - last / 10;
    let mut all: BTreeMap<(String, Condition, u32, usize), Vec<f64>> = BTreeMap::new();
    for r in rows.iter().filter(|r| r.update >= from_update) {
        for (i, x) in r.slots.iter().enumerate() {
            let of = (from(&labels.agent(&r.key), name, name), labels.condition(&r.key), r.key.seed, i);
            all.entry(of).or_default().push(*x);
        }
    }
    let scores = all.into_iter().map(|((agent, condition, seed, i), x)| Score {
        agent,
        condition,
        seed,
        metric: format!("train_{}", schema.curve[i].name),
        value: mean(&x),
    });
    let about = format!("updates {from_update} to {last}, actions drawn, {}", made_by(m));
    let config: toml::Table = m.config.parse().unwrap_or_default();
    let mut keys = BTreeMap::new();
    if let Some(task) = config.get("task").and_then(|t| serde_json::to_value(t).ok()) {
        flat("task", &task, &mut keys);
    }
    Ok(Read {
        task: m.task.clone(),
        sources: vec![Source { name: name.into(), kind: "training".into(), about, task: keys }],
        scores: scores.collect(),
        ..Read::default()
    })
}

/// A dataset of a sweep or a tuning: replicas whose status is `ok`. Keys of the task are conditions, those of learners
/// are part of what an agent is.
fn sweep(dir: &Path, name: &str, tasks: &[&dyn AnyTask]) -> Result<Read, CompareError> {
    let plan = PlanFile::load(dir)?;
    let learned = tasks.iter().find(|t| t.name() == plan.task).map_or(Vec::new(), |t| t.learned());
    let tree = Tree::list(dir)?;
    let is_condition =
        |key: &str| !["evaluate.episodes"].contains(&key) && (key.starts_with("task.") || key == "slots");
    let values_of = |i: usize| once(plan.points.iter().filter_map(|p| p.axes[i].clone()));
    let mut out = Read { task: plan.task.clone(), ..Read::default() };
    let mut left_out = 0;
    let mut slots: BTreeMap<(String, Condition, String), Vec<Vec<f64>>> = BTreeMap::new();
    for point in &plan.points {
        let Some(path) = tree.parts.get(&point.id).and_then(|all| all.first()) else { continue };
        let mut agent = point.agent.clone();
        let thing = if learned.contains(&point.agent.as_str()) { name } else { "" };
        // An agent that does not read a key is under each of its values what it is.
        let mut conditions: Vec<Condition> = vec![Condition::new()];
        for (i, (key, value)) in plan.axes.iter().zip(&point.axes).enumerate() {
            if is_condition(key) {
                let values = value.clone().map_or_else(|| values_of(i), |v| vec![v]);
                let key = key.strip_prefix("task.").unwrap_or(key);
                conditions = conditions
                    .iter()
                    .flat_map(|c| {
                        values
                            .iter()
                            .map(move |v| c.iter().cloned().chain([(key.into(), plain(v))]).collect())
                    })
                    .collect();
            } else if let Some(value) = value
                && (values_of(i).len() > 1 || !plan.tuning.is_empty())
                && (plan.tuning.is_empty() || key == "trial")
            {
                agent = format!("{agent}, {key}={}", plain(value));
            }
        }
        for replica in read_part(path)? {
            if replica.status != Status::Ok {
                left_out += 1;
                continue;
            }
            for m in &replica.metrics {
                if let Some(step) = m.step {
                    if let Some(quantity) = m.metric.strip_prefix(SLOT) {
                        for condition in &conditions {
                            let line = (from(&agent, name, thing), condition.clone(), quantity.to_string());
                            let slots = slots.entry(line).or_default();
                            slots.resize(slots.len().max(step as usize + 1), Vec::new());
                            slots[step as usize].push(m.mean);
                        }
                    }
                    continue;
                }
                out.scores.extend(conditions.iter().map(|condition| Score {
                    agent: from(&agent, name, thing),
                    condition: condition.clone(),
                    seed: replica.seed,
                    metric: m.metric.clone(),
                    value: m.mean,
                }));
            }
        }
    }
    let line = |((agent, condition, quantity), slots): (_, Vec<Vec<f64>>)| Line {
        agent,
        condition,
        quantity,
        slots: slots.iter().map(|x| of_seeds(x)).collect(),
    };
    out.lines.extend(slots.into_iter().map(line));
    if left_out > 0 {
        out.warnings
            .push(format!("{name}: {left_out} replicas diverged or are not finite, and are left out"));
    }
    let seeds = crate::num::text::seeds_in_words(plan.seeds.len());
    let about = format!("plan {}, {seeds}, isacbench {}", plan.hash, plan.crate_version);
    out.sources.push(Source { name: name.into(), kind: "sweep".into(), about, task: BTreeMap::new() });
    Ok(out)
}
