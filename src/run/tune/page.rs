//! What a tuning leaves beside its dataset: the chosen settings as TOML, which `--config` lays over a preset, and a
//! page.

use super::plan::Tuning;
use super::run::{Trial, Tuned};
use crate::num::stats;
use crate::num::text::{num, with_interval};
use crate::report::figure::{self, Figure, Look, Series};
use crate::report::page;
use crate::run::rows::text_of;
use crate::run::sweep::dataset::Status;
use crate::run::sweep::plan::{Draw, leaves};
use crate::run::sweep::{Point, SweepError, put_file, remove, task};
use crate::run::task::Task;
use std::collections::BTreeMap;
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

/// Dotted keys of a value on an axis: those of a table, each for itself.
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
    let folder = dir.join("page");
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

    let mut figures: Vec<(String, String)> = Vec::new();
    let text = markdown(tuning, tuned, &apart, &mut figures)?;
    for (file, svg) in &figures {
        put_file(folder.join(file), svg)?;
    }
    let of = |file: &str| figures.iter().find(|f| f.0 == file).map(|f| f.1.clone());
    let title = format!("Tuning of task {}", C::NAME);
    out.pages.push(put_file(folder.join("tune.html"), &page::html(&text, &title, of))?);
    out.pages.push(put_file(folder.join("tune.md"), &text)?);
    Ok(out)
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

fn markdown<C: Task>(
    tuning: &Tuning<C>,
    tuned: &Tuned,
    apart: &[&String],
    figures: &mut Vec<(String, String)>,
) -> Result<String, SweepError> {
    let metric = &tuning.objective;
    let mut page = format!("# Tuning of task {}\n\n", C::NAME);
    let _ = writeln!(
        page,
        "{} trials of each agent with {} seeds that are used for nothing else, up to {} slots a seed; `{metric}`, {} is better. \
         Trial 1 is the configuration as it stands.\n",
        tuning.trials,
        tuning.all.seeds.len(),
        tuning.settings["budget"],
        text_of(&tuning.better)
    );
    if tuning.sizes.len() > 1 {
        let sizes: Vec<String> = tuning.sizes.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            page,
            "Successive halving by {}: {} trials come to the rungs, each under the schedule of the whole run.\n",
            tuning.settings["halving"],
            sizes.join(", ")
        );
    }
    let _ = writeln!(page, "| agent | chosen trial | `{metric}` (95 %) | as it stands |\n|---|--:|---|---|");
    let last = tuning.sizes.len() - 1;
    for (a, agent) in tuning.agents.iter().enumerate() {
        let first = tuned.rungs.iter().rev().find_map(|r| r[a].iter().find(|t| t.number == 0));
        let stands = first.map_or("-".into(), |t| objective(t, metric));
        let reached = tuned.rungs.iter().rposition(|r| r[a].iter().any(|t| t.number == 0));
        let note = if reached.is_some_and(|r| r < last) { " (not to the end)" } else { "" };
        let (chosen, value) = match tuned.chosen(a) {
            Some(t) => ((t.number + 1).to_string(), objective(t, metric)),
            None => ("-".into(), "no trial ended well".into()),
        };
        let _ = writeln!(page, "| {agent} | {chosen} | {value} | {stands}{note} |");
    }
    if !apart.is_empty() {
        let keys = apart.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "\nThe agents want different values of {keys}: each has a file of its own.");
    }
    for (a, agent) in tuning.agents.iter().enumerate() {
        let _ = writeln!(page, "\n## {agent}\n");
        trials(&mut page, tuning, tuned, a);
        sensitivity(&mut page, tuning, a, &tuned.rungs[0][a], tuned.chosen(a), figures)?;
    }
    page.push_str("\n## What was asked\n\n| option or key | value |\n|---|---|\n");
    for (key, value) in &tuning.settings {
        let _ = writeln!(page, "| `{key}` | {} |", value.replace('|', "\\|"));
    }
    Ok(page)
}

/// Every trial of an agent, the best first: those that came furthest before the others.
fn trials<C: Task>(page: &mut String, tuning: &Tuning<C>, tuned: &Tuned, a: usize) {
    let metric = &tuning.objective;
    let keys: Vec<&String> = tuning.drawn(tuning.point(0, a, 0)).map(|(key, ..)| key).collect();
    let mut told: Vec<&str> = Vec::new();
    for m in tuned.rungs[0][a].iter().flat_map(|t| &t.replicas).flat_map(|r| &r.metrics) {
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
    for (rung, ranked) in tuned.rungs.iter().enumerate().rev() {
        for t in &ranked[a] {
            if seen.contains(&t.number) {
                continue;
            }
            seen.push(t.number);
            let point = tuning.point(rung, a, t.number);
            let slots = point.axes[tuning.draws.len()].as_ref().map_or(String::new(), ToString::to_string);
            let _ = write!(page, "| {} | {slots} | {} |", t.number + 1, objective(t, metric));
            for key in &keys {
                let value = tuning.drawn(point).find(|d| d.0 == *key).map_or("-".into(), |d| cell(d.2));
                let _ = write!(page, " {value} |");
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
fn sensitivity<C: Task>(
    page: &mut String,
    tuning: &Tuning<C>,
    a: usize,
    ranked: &[Trial],
    chosen: Option<&Trial>,
    figures: &mut Vec<(String, String)>,
) -> Result<(), SweepError> {
    let metric = &tuning.objective;
    let mut rows = String::new();
    let mut drawn = String::new();
    for (key, draw) in &tuning.draws {
        let value =
            |t: &Trial| tuning.drawn(tuning.point(0, a, t.number)).find(|d| d.0 == key).map(|d| d.2.clone());
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
        let log_x = matches!(draw, Draw::LogUniform(_));
        points.retain(|p| !log_x || p.1 > 0.0);
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        let series = |name: &str, of: &dyn Fn(usize) -> bool| {
            let points = points.iter().filter(|p| of(p.0)).map(|p| figure::Point::new(p.1, p.2, None));
            Series::new(name, Look::Marks, points.collect())
        };
        let is_chosen = |n: usize| chosen.is_some_and(|t| t.number == n);
        let mut lines = vec![series("trials", &|n| !is_chosen(n)), series("chosen", &is_chosen)];
        lines.retain(|s| !s.points.is_empty());
        let figure = Figure {
            title: format!("{}: {metric} against {key}", tuning.agents[a]),
            x_label: key.clone(),
            y_label: metric.clone(),
            log_x,
            series: lines,
            ..Figure::with(figure::categories(["trials", "chosen"]))
        };
        if let Some(svg) = figure.svg()? {
            let file = format!("{}-{key}.svg", tuning.agents[a]);
            let _ =
                write!(drawn, "\n![{}: {metric} of every trial against {key}]({file})\n", tuning.agents[a]);
            figures.push((file, svg));
        }
    }
    if !rows.is_empty() {
        let _ = write!(
            page,
            "\n### How {metric} follows each key\n\nOver all trials that ended well, at the length that all of them have: Spearman's rank correlation, \
             or the mean of each value with its trials.\n\n| key | |\n|---|---|\n{rows}{drawn}"
        );
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
