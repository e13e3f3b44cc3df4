//! Tables and figures of a dataset.
//!
//! Rows are filtered and grouped by polars. Of each part the columns that a query needs are decoded, and the rows that
//! pass are kept; means and interquartile means of a group carry 95 % percentile bootstrap intervals. Where a group
//! holds several points, each point's seeds are resampled for themselves (stratified, as in rliable). Replicas whose
//! status is not `ok` are counted and left out. Points of an agent whose results are the same number by number are one
//! experiment, and are counted once in a group: their agent does not read what tells them apart.

use super::dataset::{PARTITION, PlanFile, SLOTS, TRIAL, Tree, partition, verified};
use super::{SweepError, claims, digest, put_file};
use crate::num::stats::{self, Interval, once};
use crate::num::text::{FEW_SEEDS, num, with_interval};
use crate::report::figure::{self, Bar, Bars, Figure, Look, Palette, Point};
use crate::report::opening::write_opening;
use crate::report::words::{axis, code, counted, listed};
use crate::report::{ReportError, page};
use crate::run::registry::AnyTask;
use crate::run::task::Better;
use polars::prelude::*;
use polars_lazy::prelude::*;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is asked of a dataset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Metrics; empty for the task's own.
    pub metrics: Vec<String>,
    /// Only rows in which each of these columns has this value.
    pub filters: Vec<(String, String)>,
    /// Columns that tell groups apart; empty for agent and all axes.
    pub by: Vec<String>,
    /// Column on the x axis; the first one with several numbers if it is absent.
    pub x: Option<String>,
}

/// A value of a grouping column.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    /// If it is a number.
    pub number: Option<f64>,
}

/// One group's statistics, in the metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub metric: String,
    /// In the order of [`Answer::by`].
    pub keys: Vec<Key>,
    /// Replicas that count, and those that do not because of their status.
    pub replicas: usize,
    pub left_out: usize,
    pub mean: f64,
    pub mean_95: Option<Interval>,
    pub iqm: f64,
    pub iqm_95: Option<Interval>,
}

/// What a query found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub by: Vec<String>,
    pub x: Option<String>,
    /// Sorted by metric, then by the columns of `by`.
    pub groups: Vec<Group>,
    /// Points of the plan, and those the dataset holds.
    pub planned: usize,
    pub present: usize,
    /// Points whose results are those of another point of their agent.
    pub repeated: usize,
}

const BOOTSTRAP_SEED: u32 = 0;

fn table<T>(result: PolarsResult<T>) -> Result<T, SweepError> {
    result.map_err(|source| ReportError::Table { what: "sweep".into(), source }.into())
}

/// The rows of a part, with the columns of its path before the others. Parts of earlier versions hold these too.
fn part(path: &Path, columns: Option<&[String]>) -> PolarsResult<DataFrame> {
    let values = partition(path).ok_or_else(|| polars_err!(NoData: "'{}' is no part", path.display()))?;
    let stored = columns.map(|all| {
        let stored = all.iter().filter(|c| !PARTITION.contains(&c.as_str())).cloned();
        // One column is needed to know how many rows there are.
        stored.chain(["seed".to_string()]).collect::<BTreeSet<_>>().into_iter().collect()
    });
    let file = ParquetReader::new(std::fs::File::open(path)?).with_columns(stored).finish()?;
    let rows = file.height();
    let of_path = PARTITION.into_iter().zip(values);
    let mut all: Vec<Column> =
        of_path.map(|(name, value)| Column::new(name.into(), vec![value; rows])).collect();
    all.extend(file.columns().iter().filter(|c| !PARTITION.contains(&c.name().as_str())).cloned());
    let frame = DataFrame::new(rows, all)?;
    match columns {
        Some(columns) => frame.select(columns.iter().cloned()),
        None => Ok(frame),
    }
}

/// The results of a point as a text, without its name: equal texts are equal results of one agent.
fn results(path: &Path) -> PolarsResult<String> {
    let names = ["seed", "metric", "episodes", "mean", "std_error", "status"];
    let frame = part(path, Some(&names.map(String::from)))?;
    let mut text = partition(path).map_or(String::new(), |[_, agent]| agent.to_string());
    for i in 0..frame.height() {
        for column in frame.columns() {
            // The debug form of a number is read back as the same number.
            let _ = write!(text, "\n{:?}", column.get(i)?);
        }
    }
    Ok(digest(&[text.as_bytes()]))
}

/// The parts of a dataset with what is asked of them.
struct Parts {
    paths: Vec<PathBuf>,
    /// Columns that a group is made from.
    columns: Vec<String>,
    /// Whether a row passes the filters.
    passes: Expr,
}

impl Parts {
    /// These columns of the rows that pass. Parts are decoded one by one, so memory holds what passed and one part.
    fn rows(&self, columns: &[String], passes: &Expr) -> PolarsResult<DataFrame> {
        let mut all: Option<DataFrame> = None;
        for path in &self.paths {
            let rows = part(path, Some(columns))?.lazy().filter(passes.clone()).collect()?;
            match &mut all {
                Some(all) => all.vstack_mut_owned(rows).map(drop)?,
                None => all = Some(rows),
            }
        }
        all.ok_or_else(|| polars_err!(NoData: "no part"))
    }

    /// The rows of a metric.
    fn of(&self, metric: &str) -> PolarsResult<DataFrame> {
        self.rows(&self.columns, &self.passes.clone().and(col("metric").eq(lit(metric.to_string()))))
    }

    /// The metrics of the rows that pass, between commas.
    fn metrics(&self) -> PolarsResult<String> {
        let rows = self.rows(&self.columns, &self.passes)?;
        let names: BTreeSet<&str> = rows.column("metric")?.str()?.iter().flatten().collect();
        Ok(names.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// `column = value` for a value that was typed.
fn equals(schema: &Schema, column: &str, value: &str) -> Result<Expr, SweepError> {
    let wrong = |what: String| SweepError::Option(format!("--where {column}={value}: {what}"));
    let no_number = |_| wrong("is not the kind of value that the column holds".into());
    let known = || schema.iter_names().map(|n| n.as_str()).collect::<Vec<_>>().join(", ");
    let kind = schema.get(column).ok_or_else(|| wrong(format!("no such column; there are: {}", known())))?;
    if value == MISSING {
        return Ok(col(column).is_null());
    }
    Ok(match kind {
        DataType::String => col(column).eq(lit(value.to_string())),
        DataType::Boolean => match value {
            "true" => col(column),
            "false" => col(column).not(),
            _ => return Err(wrong("must be true or false".into())),
        },
        DataType::Float64 => col(column).eq(lit(value.parse::<f64>().map_err(|_| no_number(()))?)),
        _ => col(column).eq(lit(value.parse::<i64>().map_err(|_| no_number(()))?)),
    })
}

/// Stands for the value on an axis that an agent does not read.
const MISSING: &str = "-";

impl Key {
    /// Whether groups with these keys can be compared: the keys are equal, or one agent does not read the axis.
    fn fits(&self, other: &Key) -> bool {
        self == other || self.text == MISSING || other.text == MISSING
    }
}

/// The number that a value stands for on an axis: of a list its mean.
pub(in crate::run) fn number(value: &str) -> Option<f64> {
    if let Ok(x) = value.parse::<f64>() {
        return Some(x);
    }
    fn all(value: &toml::Value, out: &mut Vec<f64>) -> Option<()> {
        match value {
            toml::Value::Float(x) => out.push(*x),
            toml::Value::Integer(x) => out.push(*x as f64),
            toml::Value::Array(x) => x.iter().try_for_each(|v| all(v, out))?,
            _ => return None,
        }
        Some(())
    }
    let list = value.trim();
    if !list.starts_with('[') {
        return None;
    }
    let parsed: toml::Table = format!("x = {list}").parse().ok()?;
    let mut numbers = Vec::new();
    all(parsed.get("x")?, &mut numbers)?;
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

fn key(value: &AnyValue) -> Key {
    let text = match value {
        AnyValue::String(s) => s.to_string(),
        AnyValue::StringOwned(s) => s.to_string(),
        AnyValue::Null => MISSING.into(),
        AnyValue::Float64(x) => format!("{x}"),
        other => other.to_string(),
    };
    // Lists are kept as text.
    let list = || text.starts_with('[').then(|| number(&text)).flatten();
    let number = if value.is_primitive_numeric() { value.extract::<f64>() } else { list() };
    Key { text, number }
}

/// What is looked at of a task where no metric is named; `None` of an unknown task.
pub type MetricOf<'a> = &'a dyn Fn(&str) -> Option<&'static str>;

/// Asks a dataset. Every part is verified first.
///
/// # Errors
/// [`SweepError::NoPlan`] and [`SweepError::Damaged`] with the file, [`SweepError::Option`] for a column, value or
/// metric that is not there.
pub fn ask(dir: &Path, query: &Query, metric_of: MetricOf) -> Result<Answer, SweepError> {
    let plan = PlanFile::load(dir)?;
    let parts: Vec<PathBuf> = Tree::list(dir)?.parts.into_values().flatten().collect();
    parts.iter().try_for_each(|p| verified(p).map(drop))?;
    if parts.is_empty() {
        return Err(SweepError::Incomplete(format!("'{}' holds no results yet", dir.display())));
    }
    let present = parts.len();
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    // The point that stands for each point whose results are another's.
    let mut twins: BTreeMap<String, String> = BTreeMap::new();
    for part in &parts {
        let Some([point, _]) = partition(part) else { continue };
        match first.entry(table(results(part))?) {
            Entry::Occupied(other) => drop(twins.insert(point.into(), other.get().clone())),
            Entry::Vacant(new) => drop(new.insert(point.into())),
        }
    }
    let schema = table(self::part(&parts[0], None))?.schema().clone();
    let has = |option: &str, column: &str| match schema.contains(column) {
        true => Ok(()),
        false => {
            let known = schema.iter_names().map(|n| n.as_str()).collect::<Vec<_>>().join(", ");
            Err(SweepError::Option(format!("{option} {column}: no such column; there are: {known}")))
        }
    };
    // A column that is asked for twice tells no more.
    let mut by = once(query.by.iter().cloned());
    if by.is_empty() && !plan.tuning.is_empty() {
        // The settings follow from the trial.
        by = ["agent", TRIAL, SLOTS].map(String::from).to_vec();
    }
    if by.is_empty() {
        by = std::iter::once("agent".to_string()).chain(plan.axes.iter().cloned()).collect();
    }
    for column in &by {
        has("--by", column)?;
        if ["metric", "mean", "std_error", "status", "episodes"].contains(&column.as_str()) {
            return Err(SweepError::Option(format!("--by {column}: groups cannot be told apart by it")));
        }
    }
    let metrics = match (&query.metrics[..], metric_of(&plan.task)) {
        ([], _) if plan.tuning.contains_key("objective") => vec![plan.tuning["objective"].clone()],
        ([], Some(usual)) => vec![usual.to_string()],
        ([], None) => {
            let what = format!("--metric: name one, task '{}' is not one of this program", plan.task);
            return Err(SweepError::Option(what));
        }
        (named, _) => named.to_vec(),
    };
    let mut passes = col("metric").is_not_null();
    for (column, value) in &query.filters {
        passes = passes.and(equals(&schema, column, value)?);
    }
    let own = ["point", "seed", "metric", "mean", "status"].map(String::from);
    let filtered = query.filters.iter().map(|f| f.0.clone());
    let columns = once(by.iter().cloned().chain(own).chain(filtered));
    let parts = Parts { paths: parts, columns, passes };
    let mut groups = Vec::new();
    for metric in &metrics {
        let found = groups_of(table(parts.of(metric))?, &by, metric, &twins)?;
        if found.is_empty() {
            let what = match table(parts.metrics())? {
                none if none.is_empty() => "no row passes --where".into(),
                names => format!("no such metric; there are: {names}"),
            };
            return Err(SweepError::Option(format!("--metric {metric}: {what}")));
        }
        let mut found = found;
        // polars sorts lists, which are text, letter by letter.
        found.sort_by(|a, b| {
            let each = a.keys.iter().zip(&b.keys).map(|(a, b)| match (a.number, b.number) {
                (Some(x), Some(y)) => x.total_cmp(&y),
                _ => std::cmp::Ordering::Equal,
            });
            each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        groups.extend(found);
    }
    let several = |i: &usize| {
        let read = groups.iter().map(|g: &Group| &g.keys[*i]).filter(|k| k.text != MISSING);
        let numbers: Option<Vec<f64>> = read.map(|k| k.number).collect();
        numbers.is_some_and(|n| n.iter().any(|x| *x != n[0]))
    };
    let x = match &query.x {
        Some(x) => {
            has("--x", x)?;
            let place = by.iter().position(|c| c == x);
            if !place.is_some_and(|i| {
                groups.iter().all(|g| g.keys[i].number.is_some() || g.keys[i].text == MISSING)
            }) {
                return Err(SweepError::Option(format!("--x {x}: must be a column of numbers among --by")));
            }
            Some(x.clone())
        }
        None => (0..by.len()).find(several).map(|i| by[i].clone()),
    };
    Ok(Answer { by, x, groups, planned: plan.own().count(), present, repeated: twins.len() })
}

fn groups_of(
    rows: DataFrame,
    by: &[String],
    metric: &str,
    twins: &BTreeMap<String, String>,
) -> Result<Vec<Group>, SweepError> {
    let keys: Vec<Expr> = by.iter().map(col).collect();
    let order: Vec<Expr> = keys.iter().cloned().chain([col("point"), col("seed")]).collect();
    let grouped = rows
        .lazy()
        .sort_by_exprs(&order, SortMultipleOptions::default().with_maintain_order(true))
        .group_by_stable(&keys)
        .agg([
            col("point").alias("points"),
            col("mean").alias("values"),
            col("status").eq(lit("ok")).alias("ok"),
        ])
        .collect();
    let grouped = table(grouped)?;
    let list = |name: &str, i: usize| -> PolarsResult<Series> {
        let column = grouped.column(name)?.list()?;
        column.get_as_series(i).ok_or_else(|| polars_err!(ComputeError: "group {i} has no {name}"))
    };
    let one = |i: usize| -> PolarsResult<Group> {
        let keys = by.iter().map(|c| Ok(key(&grouped.column(c)?.get(i)?))).collect::<PolarsResult<_>>()?;
        let (points, values, ok) = (list("points", i)?, list("values", i)?, list("ok", i)?);
        let points: Vec<&str> = points.str()?.iter().map(Option::unwrap_or_default).collect();
        let mut strata: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        // By results, the point whose rows count.
        let mut counted: BTreeMap<&str, &str> = BTreeMap::new();
        let mut left_out = 0;
        for ((point, value), ok) in points.iter().zip(values.f64()?.iter()).zip(ok.bool()?.iter()) {
            let results = twins.get(*point).map_or(*point, String::as_str);
            if counted.entry(results).or_insert(point) != point {
                continue;
            }
            match ok {
                Some(true) => strata.entry(point).or_default().push(value.unwrap_or(f64::NAN)),
                _ => left_out += 1,
            }
        }
        let strata: Vec<Vec<f64>> = strata.into_values().collect();
        let all = strata.concat();
        Ok(Group {
            metric: metric.into(),
            keys,
            replicas: all.len(),
            left_out,
            mean: stats::mean(&all),
            mean_95: stats::stratified_95(&strata, BOOTSTRAP_SEED, stats::mean),
            iqm: stats::iqm(&all),
            iqm_95: stats::stratified_95(&strata, BOOTSTRAP_SEED, stats::iqm),
        })
    };
    table((0..grouped.height()).map(one).collect())
}

/// A heading and its table, without figures.
fn markdown_table(a: &Answer, metric: &str) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut out = String::new();
    for name in &a.by {
        let _ = write!(out, "| {} ", cell(name));
    }
    out.push_str("| replicas | left out | mean (95 %) | IQM (95 %) |\n|");
    out.push_str(&"---|".repeat(a.by.len()));
    out.push_str("--:|--:|---|---|\n");
    for g in a.groups.iter().filter(|g| g.metric == metric) {
        for k in &g.keys {
            let _ = write!(out, "| {} ", cell(&k.text));
        }
        let (mean, iqm) = (with_interval(g.mean, g.mean_95), with_interval(g.iqm, g.iqm_95));
        let _ = writeln!(out, "| {} | {} | {mean} | {iqm} |", g.replicas, g.left_out);
    }
    out
}

/// Whether the values of a column are lists, which stand at their means.
fn groups_are_lists(a: &Answer, column: usize) -> bool {
    a.groups.iter().any(|g| g.keys[column].text.starts_with('['))
}

/// Figures of a metric: lines over the x axis, or bars where there is none; one for each value of the columns that are
/// neither agent nor x. With the text that tells it from the others.
fn figures(a: &Answer, metric: &str, palette: &Palette) -> Result<Vec<(String, String)>, SweepError> {
    let place = |name: &str| a.by.iter().position(|c| c == name);
    let (agent, x) = (place("agent"), a.x.as_deref().and_then(place));
    let groups: Vec<&Group> = a.groups.iter().filter(|g| g.metric == metric && g.replicas > 0).collect();
    let others: Vec<usize> =
        (0..a.by.len()).filter(|i| x.is_none_or(|x| x != *i) && agent.is_none_or(|n| n != *i)).collect();
    let fits = |g: &Group, of: &Group| others.iter().all(|i| g.keys[*i].fits(&of.keys[*i]));
    let missing = |g: &Group| others.iter().filter(|i| g.keys[**i].text == MISSING).count();
    let mut panels: Vec<(String, Vec<&Group>)> = Vec::new();
    for g in &groups {
        // What an agent does not read makes no panel of its own: it stands in those of agents that do.
        if groups.iter().any(|of| fits(g, of) && missing(of) < missing(g)) {
            continue;
        }
        let name = others.iter().map(|i| format!("{} = {}", a.by[*i], g.keys[*i].text));
        let name = name.collect::<Vec<_>>().join(", ");
        if !panels.iter().any(|p| p.0 == name) {
            panels.push((name, groups.iter().filter(|of| fits(of, g)).copied().collect()));
        }
    }
    let agent_of = |g: &Group| agent.map_or("all".to_string(), |i| g.keys[i].text.clone());
    let Some(x) = x else {
        let bar =
            |g: &&Group| Bar { agent: agent_of(g), y: g.mean, interval: g.mean_95, seeds: Some(g.replicas) };
        let group = |(name, groups): &(String, Vec<&Group>)| {
            (name.replace(", ", "\n"), groups.iter().map(bar).collect())
        };
        // Bars stand on zero.
        if panels.iter().flat_map(|p| &p.1).any(|g| g.mean < 0.0) {
            return Ok(Vec::new());
        }
        let bars = Bars {
            title: axis(metric),
            y_label: axis(metric),
            counted: REPLICAS,
            groups: panels.iter().map(group).collect(),
            ..Bars::with(palette.clone())
        };
        return Ok(bars.svg()?.map(|svg| (String::new(), svg)).into_iter().collect());
    };
    let mut out = Vec::new();
    for (name, groups) in panels {
        let mut lines: Vec<figure::Series> = Vec::new();
        let mut all: Vec<f64> = groups.iter().filter_map(|g| g.keys[x].number).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        for g in groups {
            // An agent that does not read the axis is level over it.
            let at = g.keys[x].number.map_or_else(|| all.clone(), |x| vec![x]);
            let points = at.into_iter().map(|x| Point::new(x, g.mean, g.mean_95).of(g.replicas));
            let agent = agent_of(g);
            match lines.iter_mut().find(|l| l.agent == agent) {
                Some(l) => l.points.extend(points),
                None => lines.push(figure::Series { agent, look: Look::Points, points: points.collect() }),
            }
        }
        for l in &mut lines {
            l.points.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        let title = if name.is_empty() { axis(metric) } else { format!("{}, {name}", axis(metric)) };
        let figure = Figure {
            title,
            x_label: match groups_are_lists(a, x) {
                true => format!("mean of {}", axis(&a.by[x])),
                false => axis(&a.by[x]),
            },
            y_label: axis(metric),
            series: lines,
            counted: REPLICAS,
            ..Figure::with(palette.clone())
        };
        out.extend(figure.svg()?.map(|svg| (name, svg)));
    }
    Ok(out)
}

/// The tasks of a program by their names.
pub type TaskOf<'a> = &'a dyn Fn(&str) -> Option<&'a dyn AnyTask>;

/// What the means of a group are over.
const REPLICAS: &str = "replicas";

/// The page in one sentence: the best group by the first metric, where there are seeds enough to say so.
fn answer(a: &Answer, plan: &PlanFile, task: Option<&dyn AnyTask>) -> String {
    let what =
        format!("{} of {} points with {} each", a.present, a.planned, counted(plan.seeds.len(), "seed"));
    let Some(metric) = a.groups.first().map(|g| g.metric.as_str()) else { return format!("{what}.") };
    let better = task.and_then(|t| t.facts(metric).better);
    if plan.seeds.len() < FEW_SEEDS {
        return format!("{what}: too few seeds to say which is best by {}.", axis(metric));
    }
    let Some(better) = better else { return format!("{what}: means of {}.", axis(metric)) };
    let sign = if better == Better::Higher { 1.0 } else { -1.0 };
    let known = a.groups.iter().filter(|g| g.metric == metric && g.mean.is_finite());
    let Some(best) = known.max_by(|x, y| (sign * x.mean).total_cmp(&(sign * y.mean))) else {
        return format!("{what}.");
    };
    let named = |g: &Group| {
        let keys = a.by.iter().zip(&g.keys).filter(|(_, k)| k.text != MISSING);
        code(&keys.map(|(name, k)| format!("{name} = {}", k.text)).collect::<Vec<_>>().join(", "))
    };
    let least = if better == Better::Higher { "Highest" } else { "Lowest" };
    let overlaps = |g: &Group| g.mean_95.zip(best.mean_95).is_none_or(|(x, y)| x.lo <= y.hi && y.lo <= x.hi);
    let level: Vec<String> = a
        .groups
        .iter()
        .filter(|g| g.metric == metric && g.mean.is_finite() && !std::ptr::eq(*g, best) && overlaps(g))
        .map(|g| format!("{} ({})", named(g), num(g.mean)))
        .collect();
    let level = match level.len() {
        0 => String::new(),
        n if n <= MOST_LEVEL => format!("; not told apart, since intervals overlap: {}", listed(&level)),
        n => format!("; {n} others are not told apart from it, since intervals overlap"),
    };
    format!("{least} {}: {} with {}{level} ({what}).", axis(metric), named(best), num(best.mean))
}

/// How many groups that overlap the best one are named.
const MOST_LEVEL: usize = 3;

/// Writes `report.html`, `report.md` and figures to `out` and gives their paths, the pages first.
pub fn write(
    dir: &Path,
    out: &Path,
    query: &Query,
    task_of: TaskOf,
) -> Result<(Answer, Vec<PathBuf>), SweepError> {
    let answer = ask(dir, query, &|task| task_of(task).map(AnyTask::metric))?;
    let plan = PlanFile::load(dir)?;
    let task = task_of(&plan.task);
    let palette = task.map_or_else(Palette::default, |t| t.palette().into());
    let title = format!("Sweep {}, task {}", plan.hash, plan.task);
    let mut page = String::new();
    write_opening(&mut page, &title, &self::answer(&answer, &plan, task), &[]);
    let mut run = format!(
        "## The run\n\nTask {}, {} of {} points, {} each; shard {}, device {}, isacbench {}.\n\n",
        plan.task,
        answer.present,
        answer.planned,
        counted(plan.seeds.len(), "seed"),
        plan.shard,
        plan.devices.join(", "),
        plan.crate_version
    );
    if answer.repeated > 0 {
        let n = answer.repeated;
        let _ = writeln!(
            run,
            "Points with the results of another, number by number: {n}; a group counts them once.\n"
        );
    }
    if !query.filters.is_empty() {
        let shown = query.filters.iter().map(|(k, v)| format!("`{k} = {v}`")).collect::<Vec<_>>();
        let _ = writeln!(page, "Only rows with {}.\n", shown.join(" and "));
    }
    run.push_str(
        "Means and interquartile means (IQM, the mean of the middle half) over replicas, with 95 % percentile bootstrap intervals; \
         the seeds of each point are resampled for themselves. Replicas that diverged, or whose evaluation was not finite, are left out and counted.\n",
    );
    let mut paths = Vec::new();
    let mut drawn: BTreeMap<String, String> = BTreeMap::new();
    let mut metrics: Vec<&str> = answer.groups.iter().map(|g| g.metric.as_str()).collect();
    metrics.dedup();
    for metric in metrics {
        let _ = write!(page, "\n## {metric}\n");
        for (n, (name, svg)) in figures(&answer, metric, &palette)?.into_iter().enumerate() {
            let file = format!("{metric}-{}.svg", n + 1);
            let caption = if name.is_empty() { axis(metric) } else { format!("{}, {name}", axis(metric)) };
            let _ = write!(page, "\n![{caption}, means over replicas with 95 % intervals]({file})\n");
            paths.push(put_file(out.join(&file), &svg)?);
            drawn.insert(file, svg);
        }
        let _ = write!(page, "\n{}", markdown_table(&answer, metric));
    }
    if let Some(task) = task {
        let (section, shown) = claims::write(dir, out, &plan, &query.filters, task)?;
        page.push_str(&section);
        for path in shown {
            let svg = std::fs::read_to_string(&path).map_err(super::reading(&path))?;
            drawn.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), svg);
            paths.push(path);
        }
    }
    let _ = write!(page, "\n{run}");
    let html = page::html(&page, &title, |file| drawn.get(file).cloned());
    paths.insert(0, put_file(out.join("report.html"), &html)?);
    paths.insert(1, put_file(out.join("report.md"), &page)?);
    Ok((answer, paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sweep::dataset::{Dataset, Replicated, Status};
    use crate::run::sweep::plan::{Plan, Shard, SweepFile};
    use crate::run::sweep::task::Measured;
    use crate::tasks::v2x::config::V2xConfig;

    /// Rewards 1, 2, 3 at one power and 101, 102, 103 at another; the last replica has diverged.
    fn dataset(dir: &Path) {
        let text = "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"ekf\"]\nseeds = [0, 1, 2]\n[grid]\ntask.p_max_dbm = [0, 40]";
        let plan: Plan<V2xConfig> = Plan::new(&SweepFile::parse(text, "x").unwrap(), "x").unwrap();
        let mut dataset = Dataset::open(dir, &PlanFile::of(&plan, Shard::WHOLE, "cpu"), false).unwrap();
        for (n, point) in plan.points.iter().enumerate() {
            let replica = |seed: u32| {
                let mean = 100.0 * n as f64 + f64::from(seed + 1);
                let measured = |metric: &str, mean| Measured {
                    metric: metric.into(),
                    episodes: 1,
                    mean,
                    std_error: 0.0,
                    step: None,
                };
                let metrics = vec![measured("reward", mean), measured("other", -mean)];
                let status = if mean > 102.5 { Status::Diverged } else { Status::Ok };
                Replicated { seed, status, metrics }
            };
            dataset.commit(&plan.axes, point, &[0, 1, 2].map(replica)).unwrap();
        }
    }

    /// The first line names what cannot be told from the best by its interval.
    #[test]
    fn the_best_is_named_with_what_is_level_with_it() {
        let text = "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"ekf\"]\nseeds = [0, 1, 2, 3, 4]\n[grid]\ntask.p_max_dbm = [0, 20, 40]";
        let plan: Plan<V2xConfig> = Plan::new(&SweepFile::parse(text, "x").unwrap(), "x").unwrap();
        let file = PlanFile::of(&plan, Shard::WHOLE, "cpu");
        let first_line = |ends: [(f64, f64); 3]| {
            let group = |((lo, hi), power): ((f64, f64), &str)| Group {
                metric: "sum_rate_bps_hz".into(),
                keys: vec![Key { text: power.into(), number: None }],
                replicas: 5,
                left_out: 0,
                mean: (lo + hi) / 2.0,
                mean_95: Some(Interval { lo, hi }),
                iqm: 0.0,
                iqm_95: None,
            };
            let groups = ends.into_iter().zip(["0", "20", "40"]).map(group).collect();
            let by = vec!["task.p_max_dbm".to_string()];
            let all = Answer { by, x: None, groups, planned: 3, present: 3, repeated: 0 };
            answer(&all, &file, Some(&crate::run::registry::Entry::<V2xConfig>::new()))
        };
        let clear = first_line([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]);
        assert!(
            clear.ends_with("`task.p_max_dbm = 40` with 5.5000 (3 of 3 points with 5 seeds each)."),
            "{clear}"
        );
        let level = first_line([(1.0, 2.0), (4.0, 5.5), (5.0, 6.0)]);
        assert!(
            level.contains("not told apart, since intervals overlap: `task.p_max_dbm = 20` (4.7500)"),
            "{level}"
        );
        assert!(!level.contains("= 0`"), "{level}");
    }

    /// Of four seeds each: two points with equal rewards but other costs, and one with equal results in all metrics.
    #[test]
    fn points_with_equal_results_are_one_experiment() {
        let text = "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"ekf\"]\nseeds = [0, 1, 2, 3]\n[grid]\ntask.p_max_dbm = [0, 20, 40]";
        let plan: Plan<V2xConfig> = Plan::new(&SweepFile::parse(text, "x").unwrap(), "x").unwrap();
        let asked = |costs: [f64; 3]| {
            let dir = tempfile::tempdir().unwrap();
            let mut dataset =
                Dataset::open(dir.path(), &PlanFile::of(&plan, Shard::WHOLE, "cpu"), false).unwrap();
            for (point, cost) in plan.points.iter().zip(costs) {
                let replica = |seed: u32| {
                    let m = |metric: &str, mean| Measured {
                        metric: metric.into(),
                        episodes: 1,
                        mean,
                        std_error: 0.0,
                        step: None,
                    };
                    let metrics = vec![m("reward", f64::from(seed)), m("cost", cost)];
                    Replicated { seed, status: Status::Ok, metrics }
                };
                dataset.commit(&plan.axes, point, &[0, 1, 2, 3].map(replica)).unwrap();
            }
            let query =
                Query { metrics: vec!["reward".into()], by: vec!["agent".into()], ..Query::default() };
            let (answer, paths) = write(dir.path(), &dir.path().join("page"), &query, &|_| None).unwrap();
            let said = std::fs::read_to_string(&paths[1]).unwrap().contains("number by number");
            assert_eq!(said, answer.repeated > 0);
            (answer.repeated, answer.groups[0].replicas, answer.groups[0].mean_95.unwrap())
        };
        let apart = asked([1.0, 2.0, 3.0]);
        assert_eq!((apart.0, apart.1), (0, 12));
        let two = asked([1.0, 2.0, 2.0]);
        assert_eq!((two.0, two.1), (1, 8));
        let one = asked([1.0, 1.0, 1.0]);
        assert_eq!((one.0, one.1), (2, 4));
        // The interval of four seeds is not that of twelve.
        assert!(one.2.hi - one.2.lo > 1.5 * (apart.2.hi - apart.2.lo), "{one:?} {apart:?}");
    }

    fn asked(dir: &Path, by: &[&str]) -> Vec<Group> {
        let by = by.iter().map(ToString::to_string).collect();
        ask(dir, &Query { metrics: vec!["reward".into()], by, ..Query::default() }, &|_| None).unwrap().groups
    }

    #[test]
    fn what_diverged_is_counted_and_left_out() {
        let dir = tempfile::tempdir().unwrap();
        dataset(dir.path());
        let groups = asked(dir.path(), &[]);
        let found: Vec<_> = groups.iter().map(|g| (g.replicas, g.left_out, g.mean)).collect();
        assert_eq!(found, [(3, 0, 2.0), (2, 1, 101.5)]);
    }

    #[test]
    fn lists_stand_at_their_mean() {
        assert_eq!(number("2.55"), Some(2.55));
        assert_eq!(number("[10.0, 14.0]"), Some(12.0));
        assert_eq!(number("[[-5, 10], [-15, 20]]"), Some(2.5));
        assert_eq!([number("angles"), number("[]"), number("[\"a\"]")], [None; 3]);
        assert_eq!(key(&AnyValue::String("[10.0, 14.0]")).number, Some(12.0));
        assert_eq!(key(&AnyValue::String("3")).number, None);
    }

    #[test]
    fn a_column_may_be_asked_for_twice() {
        let dir = tempfile::tempdir().unwrap();
        dataset(dir.path());
        let of = |by: &[&str]| asked(dir.path(), by).iter().map(|g| (g.replicas, g.mean)).collect::<Vec<_>>();
        assert_eq!(of(&["agent", "agent"]), of(&["agent"]));
    }

    #[test]
    fn only_rows_that_pass_are_there() {
        let dir = tempfile::tempdir().unwrap();
        dataset(dir.path());
        let filters =
            [("task.p_max_dbm", "40"), ("seed", "1")].map(|(k, v)| (k.to_string(), v.to_string())).to_vec();
        let query = Query { metrics: vec!["other".into()], filters, ..Query::default() };
        let groups = ask(dir.path(), &query, &|_| None).unwrap().groups;
        let [g] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((g.replicas, g.left_out, g.mean), (1, 0, -102.0));
    }

    #[test]
    fn seeds_of_each_point_are_resampled_for_themselves() {
        let dir = tempfile::tempdir().unwrap();
        dataset(dir.path());
        let groups = asked(dir.path(), &["agent"]);
        let [g] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((g.replicas, g.left_out, g.mean), (5, 1, 41.8));
        let i = g.mean_95.unwrap();
        // Resampled together, the share of the second point would vary: by tens.
        assert!(41.0 <= i.lo && i.lo < 41.8 && 41.8 < i.hi && i.hi <= 42.6, "{i:?}");
    }
}
