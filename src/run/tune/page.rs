//! What a tuning leaves beside its dataset: the chosen settings as TOML, which `--config` lays over a preset, and a
//! page.

use super::plan::Tuning;
use super::run::{Ranking, Trial, Tuned, order};
use crate::num::stats;
use crate::num::text::{FEW_SEEDS, num, with_interval};
use crate::report::figure::{self, Figure, Look, Series};
use crate::report::opening::fold;
use crate::report::page;
use crate::report::words::{axis, code, counted, listed};
use crate::run::rows::text_of;
use crate::run::sweep::dataset::{PLAN, PlanFile, SLOTS, Status, TRIAL, Tree, read_part};
use crate::run::sweep::plan::{Draw, leaves};
use crate::run::sweep::run::Done;
use crate::run::sweep::{Point, SweepError, put_file, remove, task};
use crate::run::task::{Better, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Sections of a configuration that are no settings of an agent.
const NOT_OF_AGENTS: [&str; 4] = ["train", "evaluate", "reproduce", "preset"];

/// Sets a dotted key.
fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.into(), value)),
        Some((head, rest)) => {
            let below = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// Dotted keys of a value on an axis; a table gives one for each of its own keys.
fn keys_of(key: &str, value: &Value) -> BTreeMap<String, Value> {
    let mut table = Table::new();
    put(&mut table, key, value.clone());
    leaves(&table, |_| false)
}

impl<C: Task> Tuning<C> {
    /// Keys that were drawn and that the point's agent reads, with their values.
    fn drawn<'a>(&'a self, point: &'a Point<C>) -> impl Iterator<Item = (&'a String, &'a Draw, &'a Value)> {
        let each = self.draws.iter().zip(&point.axes);
        each.filter_map(|((key, draw), value)| Some((key, draw, value.as_ref()?)))
    }

    /// What an agent is to be run with: the keys that it reads of those drawn, and of those set in all trials.
    fn settings_of(&self, point: &Point<C>) -> BTreeMap<String, Value> {
        let agent = task::agent::<C>(point.agent);
        let section = |key: &str| key.split('.').next().unwrap_or_default().to_string();
        let own =
            |key: &&String| !NOT_OF_AGENTS.contains(&section(key).as_str()) && point.config.reads(agent, key);
        let fixed = leaves(&self.fixed, |_| false);
        let mut out: BTreeMap<String, Value> =
            fixed.iter().filter(|(k, _)| own(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (key, _, value) in self.drawn(point) {
            out.extend(keys_of(key, value));
        }
        out
    }

    fn toml(&self, head: &str, settings: &BTreeMap<String, Value>) -> String {
        let mut table = Table::new();
        if let Some(preset) = self.fixed.get("preset") {
            table.insert("preset".into(), preset.clone());
        }
        put(&mut table, "task.name", Value::String(C::NAME.into()));
        settings.iter().for_each(|(key, value)| put(&mut table, key, value.clone()));
        format!("{head}{}", toml::to_string(&table).expect("keys and values make TOML"))
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The page, HTML first.
    pub pages: Vec<PathBuf>,
    /// Settings as TOML: one file for each agent that has a chosen trial, and one for all where they agree on the keys
    /// that they share.
    pub settings: Vec<PathBuf>,
}

/// Writes `chosen-AGENT.toml`, `chosen.toml` and the page to `dir/page`.
///
/// # Errors
/// What the file system does not allow.
pub fn write<C: Task>(tuning: &Tuning<C>, tuned: &Tuned, dir: &Path) -> Result<Written, SweepError> {
    let mut out = Written::default();
    let last = tuning.sizes.len() - 1;
    let mut all: BTreeMap<String, Vec<(&str, Value)>> = BTreeMap::new();
    for (a, agent) in tuning.agents.iter().enumerate() {
        let path = dir.join(format!("chosen-{agent}.toml"));
        let Some(best) = tuned.chosen(a) else {
            // Of an earlier page.
            remove(&path)?;
            continue;
        };
        let settings = tuning.settings_of(tuning.point(last, a, best.number));
        let head = format!(
            "# Trial {} of {} of agent {agent}: {} = {} after {} updates.\n",
            best.number + 1,
            tuning.trials,
            tuning.objective,
            best.objective.map_or(String::new(), num),
            tuning.point(last, a, best.number).updates().0
        );
        out.settings.push(put_file(path, &tuning.toml(&head, &settings))?);
        for (key, value) in settings {
            all.entry(key).or_default().push((agent, value));
        }
    }
    let apart: Vec<&String> =
        all.iter().filter(|(_, of)| of.iter().any(|(_, v)| *v != of[0].1)).map(|(key, _)| key).collect();
    let path = dir.join("chosen.toml");
    if apart.is_empty() && out.settings.len() == tuning.agents.len() {
        let settings = all.iter().map(|(key, of)| (key.clone(), of[0].1.clone())).collect();
        let head =
            format!("# The best of {} trials of each agent: {}.\n", tuning.trials, tuning.agents.join(", "));
        out.settings.push(put_file(path, &tuning.toml(&head, &settings))?);
    } else {
        remove(&path)?;
    }

    let values = |a: usize, n: usize| {
        let drawn = tuning.drawn(tuning.point(0, a, n));
        drawn.map(|(key, _, value)| (key.clone(), value.clone())).collect()
    };
    let slots = |rung: usize, a: usize, n: usize| {
        let slots = tuning.point(rung, a, n).axes[tuning.draws.len()].as_ref();
        slots.map_or(String::new(), ToString::to_string)
    };
    out.pages = written(&View::of(tuning, tuned, &apart, &values, &slots), &dir.join(FOLDER))?;
    Ok(out)
}

/// Folder of the page in that of a tuning.
pub const FOLDER: &str = "page";

/// Writes the page of the tuning in `dir` to `out` from what its folder holds, and gives its paths.
///
/// # Errors
/// [`SweepError::NoPlan`] and [`SweepError::Damaged`] with the file, and what the file system does not allow.
pub fn again(dir: &Path, out: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let plan = PlanFile::load(dir)?;
    let setting = |key: &str| plan.tuning.get(key).cloned().unwrap_or_default();
    let (objective, better) = (setting("objective"), setting("better"));
    let of_better = if better == text_of(&Better::Lower) { Better::Lower } else { Better::Higher };
    let agents: Vec<String> = setting("agent").split(", ").map(String::from).collect();
    let mut parts = Tree::list(dir)?.parts;
    let place = |name: &str| plan.axes.iter().position(|a| a == name);
    let (Some(slots), Some(trial)) = (place(SLOTS), place(TRIAL)) else {
        return Err(SweepError::damaged(&dir.join(PLAN), "a tuning without slots and trials".into()));
    };
    let parsed = |text: &String| format!("x = {text}").parse::<Table>().ok()?.remove("x");
    let mut values: BTreeMap<(usize, usize), BTreeMap<String, Value>> = BTreeMap::new();
    // By agent and slots, so in the order of the rungs.
    let mut found: Vec<BTreeMap<i64, Ranking>> = vec![BTreeMap::new(); agents.len()];
    for point in &plan.points {
        let Some(a) = agents.iter().position(|id| *id == point.agent) else { continue };
        let whole = |axis: usize| point.axes[axis].as_ref().and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
        let number = usize::try_from(whole(trial) - 1).unwrap_or(0);
        let Some(part) = parts.remove(&point.id).and_then(|mut paths| paths.pop()) else { continue };
        let drawn =
            plan.axes.iter().zip(&point.axes).filter(|(key, _)| ![SLOTS, TRIAL].contains(&key.as_str()));
        let drawn = drawn.filter_map(|(key, v)| Some((key.clone(), parsed(v.as_ref()?)?)));
        values.entry((a, number)).or_insert_with(|| drawn.collect());
        found[a].entry(whole(slots)).or_default().push(Trial::new(number, read_part(&part)?, &objective));
    }
    let most = found.iter().map(BTreeMap::len).max().unwrap_or(0);
    let mut lengths: Vec<Vec<i64>> = vec![Vec::new(); most];
    let mut rungs: Vec<Vec<Ranking>> = vec![Vec::new(); most];
    for of_agent in found {
        let mut each = of_agent.into_iter();
        for rung in 0..most {
            let (slots, mut ranking) = each.next().unwrap_or_default();
            ranking.sort_by(|x, y| order(of_better, x, y));
            lengths[rung].push(slots);
            rungs[rung].push(ranking);
        }
    }
    let all = Tuned { rungs, done: Done::default() };
    let settings = |a: usize| all.chosen(a).and_then(|t| values.get(&(a, t.number)));
    let keys: BTreeSet<&String> = values.values().flat_map(BTreeMap::keys).collect();
    let differs = |key: &&&String| {
        let mine: Vec<&Value> = (0..agents.len()).filter_map(|a| settings(a)?.get(**key)).collect();
        mine.iter().any(|v| *v != mine[0])
    };
    let apart = keys.iter().filter(differs).map(|k| k.to_string()).collect();
    let log = |key: &String| plan.tuning.get(&format!("space.{key}")).is_some_and(|d| d.starts_with("log_"));
    let view = View {
        task: &plan.task,
        trials: setting("trials"),
        seeds: plan.seeds.len(),
        objective: &objective,
        better,
        settings: &plan.tuning,
        sizes: all.rungs.iter().map(|r| r.iter().map(Vec::len).max().unwrap_or(0)).collect(),
        draws: keys.into_iter().map(|key| (key.clone(), log(key))).collect(),
        agents,
        values: &|a, number| values.get(&(a, number)).cloned().unwrap_or_default(),
        slots: &|rung, a, _| lengths[rung].get(a).map_or(String::new(), i64::to_string),
        tuned: &all,
        apart,
    };
    written(&view, out)
}

/// What a page is made from.
struct View<'a> {
    task: &'a str,
    trials: String,
    seeds: usize,
    objective: &'a str,
    better: String,
    settings: &'a BTreeMap<String, String>,
    /// Trials of each agent in every rung.
    sizes: Vec<usize>,
    /// Keys that were drawn, and whether on a logarithmic scale.
    draws: BTreeMap<String, bool>,
    agents: Vec<String>,
    /// What a trial (from 0) of an agent was drawn with, of the keys that the agent reads.
    values: &'a dyn Fn(usize, usize) -> BTreeMap<String, Value>,
    /// Slots of a trial in a rung: (rung, agent, trial).
    slots: &'a dyn Fn(usize, usize, usize) -> String,
    tuned: &'a Tuned,
    /// Keys of which the agents want different values.
    apart: Vec<String>,
}

impl<'a> View<'a> {
    fn of<C: Task>(
        tuning: &'a Tuning<C>,
        tuned: &'a Tuned,
        apart: &[&String],
        values: &'a dyn Fn(usize, usize) -> BTreeMap<String, Value>,
        slots: &'a dyn Fn(usize, usize, usize) -> String,
    ) -> View<'a> {
        View {
            task: C::NAME,
            trials: tuning.trials.to_string(),
            seeds: tuning.all.seeds.len(),
            objective: &tuning.objective,
            better: text_of(&tuning.better),
            settings: &tuning.settings,
            sizes: tuning.sizes.clone(),
            draws: tuning.draws.iter().map(|(k, d)| (k.clone(), matches!(d, Draw::LogUniform(_)))).collect(),
            agents: tuning.agents.iter().map(ToString::to_string).collect(),
            values,
            slots,
            tuned,
            apart: apart.iter().map(ToString::to_string).collect(),
        }
    }
}

fn written(view: &View, folder: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let mut figures: Vec<(String, String)> = Vec::new();
    let text = markdown(view, &mut figures)?;
    for (file, svg) in &figures {
        put_file(folder.join(file), svg)?;
    }
    let of = |file: &str| figures.iter().find(|f| f.0 == file).map(|f| f.1.clone());
    let title = format!("Tuning of task {}", view.task);
    let html = put_file(folder.join("tune.html"), &page::html(&text, &title, of))?;
    Ok(vec![html, put_file(folder.join("tune.md"), &text)?])
}

fn objective(t: &Trial, metric: &str) -> String {
    let ends = |status: Status| t.replicas.iter().filter(|r| r.status == status).count();
    match t.objective {
        Some(mean) => {
            let of = |m: &crate::run::sweep::task::Measured| m.metric == metric;
            let seeds: Vec<f64> =
                t.replicas.iter().filter_map(|r| r.metrics.iter().find(|m| of(m)).map(|m| m.mean)).collect();
            with_interval(mean, stats::bootstrap_mean_95(&seeds, 0))
        }
        None => {
            format!("{} diverged, {} not finite", ends(Status::Diverged), ends(Status::NotFinite))
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Float(x) => num(*x),
        Value::String(s) => s.replace('|', "\\|"),
        other => other.to_string().replace('|', "\\|"),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or(value.as_integer().map(|i| i as f64))
}

/// What the page answers: the chosen trial of each agent, and what it gained.
fn answer(view: &View) -> String {
    let one = |(a, agent): (usize, &String)| {
        let Some(t) = view.tuned.chosen(a) else {
            return format!("{} no trial that ended well", code(agent));
        };
        let stands =
            view.tuned.rungs.iter().rev().find_map(|r| r[a].iter().find(|t| t.number == 0)?.objective);
        let before = match stands {
            Some(_) if t.number == 0 => " (as it stood)".to_string(),
            Some(x) => format!(" (before {})", num(x)),
            None => String::new(),
        };
        format!("{} {}{before}", code(agent), t.objective.map_or("-".into(), num))
    };
    let told: Vec<String> = view.agents.iter().enumerate().map(one).collect();
    format!("Tuned, by {}: {}.", axis(view.objective), listed(&told))
}

fn markdown(view: &View, figures: &mut Vec<(String, String)>) -> Result<String, SweepError> {
    let metric = view.objective;
    let mut page = format!("# Tuning of task {}\n\n**{}**\n\n", view.task, answer(view));
    let hint = match view.seeds < FEW_SEEDS {
        true => {
            format!(" With {} an interval is too narrow; take it as a hint.", counted(view.seeds, "seed"))
        }
        false => String::new(),
    };
    let _ = writeln!(
        page,
        "{} trials of each agent with {} seeds that are used for nothing else, up to {} slots a seed; `{metric}`, {} is better. \
         Trial 1 is the configuration as it stands.{hint}\n",
        view.trials, view.seeds, view.settings["budget"], view.better
    );
    if view.sizes.len() > 1 {
        let sizes: Vec<String> = view.sizes.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            page,
            "Successive halving by {}: {} trials come to the rungs, each under the schedule of the whole run.\n",
            view.settings["halving"],
            sizes.join(", ")
        );
    }
    page.push_str("## Chosen\n\n");
    let _ = writeln!(page, "| agent | chosen trial | `{metric}` (95 %) | as it stands |\n|---|--:|---|---|");
    let last = view.sizes.len() - 1;
    for (a, agent) in view.agents.iter().enumerate() {
        let first = view.tuned.rungs.iter().rev().find_map(|r| r[a].iter().find(|t| t.number == 0));
        let stands = first.map_or("-".into(), |t| objective(t, metric));
        let reached = view.tuned.rungs.iter().rposition(|r| r[a].iter().any(|t| t.number == 0));
        let note = if reached.is_some_and(|r| r < last) { " (not to the end)" } else { "" };
        let (chosen, value) = match view.tuned.chosen(a) {
            Some(t) => ((t.number + 1).to_string(), objective(t, metric)),
            None => ("-".into(), "no trial ended well".into()),
        };
        let _ = writeln!(page, "| {agent} | {chosen} | {value} | {stands}{note} |");
    }
    if !view.apart.is_empty() {
        let keys = view.apart.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "\nThe agents want different values of {keys}: each has a file of its own.");
    }
    for (a, agent) in view.agents.iter().enumerate() {
        let _ = writeln!(page, "\n## {agent}\n");
        sensitivity(&mut page, view, a, figures)?;
        let mut table = String::new();
        trials(&mut table, view, a);
        fold(&mut page, &format!("All trials of {}", code(agent)), &table);
    }
    page.push_str("\n## What was asked\n\n| option or key | value |\n|---|---|\n");
    for (key, value) in view.settings {
        let _ = writeln!(page, "| `{key}` | {} |", value.replace('|', "\\|"));
    }
    Ok(page)
}

/// Every trial of an agent, the best first: those that came furthest before the others.
fn trials(page: &mut String, view: &View, a: usize) {
    let (metric, rungs) = (view.objective, &view.tuned.rungs);
    let keys: Vec<String> = (view.values)(a, 0).into_keys().collect();
    let mut told: Vec<&str> = Vec::new();
    for m in rungs[0][a].iter().flat_map(|t| &t.replicas).flat_map(|r| &r.metrics) {
        if HEALTH.contains(&m.metric.as_str()) && !told.contains(&m.metric.as_str()) && m.mean.is_finite() {
            told.push(&m.metric);
        }
    }
    let _ = write!(page, "| trial | slots | `{metric}` (95 %) |");
    keys.iter().map(|k| k.as_str()).chain(told.iter().copied()).for_each(|k| {
        let _ = write!(page, " `{k}` |");
    });
    let _ = writeln!(page, "\n|--:|--:|---|{}", "---|".repeat(keys.len() + told.len()));
    let mut seen = Vec::new();
    for (rung, ranked) in rungs.iter().enumerate().rev() {
        for t in &ranked[a] {
            if seen.contains(&t.number) {
                continue;
            }
            seen.push(t.number);
            let slots = (view.slots)(rung, a, t.number);
            let _ = write!(page, "| {} | {slots} | {} |", t.number + 1, objective(t, metric));
            let values = (view.values)(a, t.number);
            for key in &keys {
                let _ = write!(page, " {} |", values.get(key).map_or("-".into(), cell));
            }
            for metric in &told {
                let _ = write!(page, " {} |", t.mean(metric).map_or("-".into(), num));
            }
            page.push('\n');
        }
    }
}

/// What a table of trials shows of the last update of each; the dataset has all that learning curves have.
const HEALTH: [&str; 6] = [
    "train_approx_kl",
    "train_clip_fraction",
    "train_entropy",
    "train_explained_variance",
    "train_rate_share",
    "train_firing_rate",
];

/// How the objective follows each key, over all trials at the length that all of them have: rank correlations and
/// figures.
fn sensitivity(
    page: &mut String,
    view: &View,
    a: usize,
    figures: &mut Vec<(String, String)>,
) -> Result<(), SweepError> {
    let (metric, agent) = (view.objective, &view.agents[a]);
    let (ranked, chosen) = (&view.tuned.rungs[0][a], view.tuned.chosen(a));
    let seeds = view.seeds;
    let mut rows = String::new();
    let mut drawn = String::new();
    for (key, log) in &view.draws {
        let value = |t: &Trial| (view.values)(a, t.number).remove(key);
        let all: Vec<(usize, Value, f64)> =
            ranked.iter().filter_map(|t| Some((t.number, value(t)?, t.objective?))).collect();
        if all.iter().all(|x| x.1 == all[0].1) {
            continue;
        }
        let points: Option<Vec<(usize, f64, f64)>> =
            all.iter().map(|(n, v, y)| Some((*n, number(v)?, *y))).collect();
        let Some(mut points) = points else {
            // Words and lists: the mean of each.
            let mut by: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            all.iter().for_each(|(_, v, y)| by.entry(cell(v)).or_default().push(*y));
            let means = by.iter().map(|(v, y)| format!("{v}: {} ({})", num(stats::mean(y)), y.len()));
            let _ = writeln!(rows, "| `{key}` | {} |", means.collect::<Vec<_>>().join("; "));
            continue;
        };
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().map(|p| (p.1, p.2)).unzip();
        let _ = writeln!(rows, "| `{key}` | {:+.2} |", rank_correlation(&x, &y));
        points.retain(|p| !log || p.1 > 0.0);
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        let series = |name: &str, of: &dyn Fn(usize) -> bool| {
            let points =
                points.iter().filter(|p| of(p.0)).map(|p| figure::Point::new(p.1, p.2, None).of(seeds));
            Series::new(name, Look::Marks, points.collect())
        };
        let is_chosen = |n: usize| chosen.is_some_and(|t| t.number == n);
        let mut lines = vec![series("trials", &|n| !is_chosen(n)), series("chosen", &is_chosen)];
        lines.retain(|s| !s.points.is_empty());
        let figure = Figure {
            title: format!("{agent}: {} against {key}", axis(metric)),
            x_label: key.clone(),
            y_label: axis(metric),
            log_x: *log,
            series: lines,
            ..Figure::with(figure::categories(["trials", "chosen"]))
        };
        if let Some(svg) = figure.svg()? {
            let file = format!("{agent}-{key}.svg");
            let _ = write!(drawn, "\n![{agent}: {metric} of every trial against {key}]({file})\n");
            figures.push((file, svg));
        }
    }
    if !rows.is_empty() {
        let _ = write!(
            page,
            "\n### How {metric} follows each key\n\nOver all trials that ended well, at the length that all of them have: Spearman's rank correlation, \
             or the mean of each value with its trials.\n\n| key | |\n|---|---|\n{rows}\n"
        );
    }
    if !drawn.is_empty() {
        fold(page, &format!("Figures: every trial of {} against each key", code(agent)), &drawn);
    }
    Ok(())
}

/// Spearman's: the correlation of ranks, equal values by their mean rank. NaN where one of both does not vary.
fn rank_correlation(x: &[f64], y: &[f64]) -> f64 {
    let ranks = |v: &[f64]| -> Vec<f64> {
        let below = |x: f64| v.iter().filter(|o| **o < x).count() as f64;
        let equal = |x: f64| v.iter().filter(|o| **o == x).count() as f64;
        v.iter().map(|x| below(*x) + 0.5 * (equal(*x) - 1.0)).collect()
    };
    let (a, b) = (ranks(x), ranks(y));
    let (ma, mb) = (stats::mean(&a), stats::mean(&b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_correlated_and_not_values() {
        let x = [1.0, 10.0, 100.0, 1000.0];
        assert_eq!(rank_correlation(&x, &[0.1, 0.2, 0.3, 5.0]), 1.0);
        assert_eq!(rank_correlation(&x, &[3.0, 2.0, 1.0, 0.0]), -1.0);
        // Ranks 0, 1, 2, 3 and 0.5, 0.5, 2, 3: 4.5 of √(5 · 4.5).
        assert!((rank_correlation(&x, &[7.0, 7.0, 8.0, 9.0]) - 0.9f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn dotted_keys_are_sections() {
        let mut t = Table::new();
        put(&mut t, "a.b", Value::Integer(1));
        put(&mut t, "a.c", Value::Boolean(true));
        put(&mut t, "d", Value::Integer(2));
        assert_eq!(toml::to_string(&t).unwrap(), "d = 2\n\n[a]\nb = 1\nc = true\n");
    }
}
