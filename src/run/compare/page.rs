//! The page of a comparison: tables, and a figure for each question.

use super::read::{CompareError, Line, Read};
use super::tell::{METHOD, told};
use super::{Comparison, Condition, Estimate, Score, condition_text, estimate};
use crate::num::stats::{Interval, once};
use crate::num::text::{FEW_SEEDS, num, seeds_in_words, with_interval};
use crate::report::figure::{Bar, Bars, Figure, Look, Palette, Point, Series, categories};
use crate::report::opening::write_opening;
use crate::report::words::{axis as axis_of, code, counted, table};
use crate::report::{ReportError, page, write_whole};
use crate::run::registry::AnyTask;
use crate::run::sweep::report::number;
use crate::run::task::{Better, Facts};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What figures are wanted beside the usual ones.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Swept key on the x axis; the first one that holds several numbers if it is absent.
    pub x: Option<String>,
    /// Metrics on the axes of a scatter.
    pub scatter: Vec<(String, String)>,
    /// Colours of the task's agents.
    pub palette: Palette,
    /// What is shown slot by slot where nothing that is compared is.
    pub metric: &'static str,
}

/// Panels of one figure beyond which the others are left out: a page of hundreds answers nothing.
const MOST_PANELS: usize = 8;

/// Whether the values of a key are lists, which are drawn by their means.
fn lists(conditions: &[Condition], key: &str) -> bool {
    conditions.iter().flatten().any(|(k, v)| k == key && v.trim_start().starts_with('['))
}

/// The key on the x axis.
fn axis(conditions: &[Condition], asked: Option<&str>) -> Result<Option<String>, CompareError> {
    let keys = once(conditions.iter().flatten().map(|(k, _)| k.clone()));
    if let Some(key) = asked {
        let key = key.trim_start_matches("task.");
        let values = || conditions.iter().flatten().filter(|(k, _)| k == key);
        if keys.iter().any(|k| k == key) && values().any(|(_, v)| number(v).is_none()) {
            return Err(CompareError::Option(format!("--x {key}: its values are no numbers")));
        }
        return match keys.iter().any(|k| k == key) {
            true => Ok(Some(key.into())),
            false => {
                let known = if keys.is_empty() { "none".into() } else { keys.join(", ") };
                Err(CompareError::Option(format!("--x {key}: no run is swept over it; there are: {known}")))
            }
        };
    }
    let several = |key: &String| {
        let values = once(conditions.iter().flatten().filter(|(k, _)| k == key).map(|(_, v)| number(v)));
        values.len() > 1 && values.iter().all(Option::is_some)
    };
    Ok(keys.into_iter().find(several))
}

/// The condition without a key, and the key's value.
fn apart<'a>(condition: &'a Condition, key: &str) -> (Condition, Option<&'a str>) {
    let rest = condition.iter().filter(|(k, _)| k != key).cloned().collect();
    (rest, condition.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()))
}

fn palette(agents: &[&str], own: &Palette) -> Palette {
    match agents.iter().all(|a| own.iter().any(|s| s.name == *a)) {
        true => own.clone(),
        false => categories(agents.iter().map(ToString::to_string)).into(),
    }
}

/// What a comparison was made from and what was asked, beside its page: [`again`] reads it.
pub const ASKED: &str = "compare.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    read: Read,
    /// Metrics in the order of the page, with the values of each that are better.
    metrics: Vec<(String, Better)>,
    x: Option<String>,
    scatter: Vec<(String, String)>,
}

impl Kept {
    fn of(read: &Read, comparisons: &[Comparison], asked: &Asked) -> Kept {
        let mut read = read.clone();
        // JSON has no other numbers, and they have no part in a comparison.
        read.scores.retain(|s| s.value.is_finite());
        read.lines.retain(|l| l.slots.iter().all(|(mean, _)| mean.is_finite()));
        Kept {
            read,
            metrics: comparisons.iter().map(|c| (c.metric.clone(), c.better)).collect(),
            x: asked.x.clone(),
            scatter: asked.scatter.clone(),
        }
    }
}

/// Writes the page of the comparison in `dir` to `out`, and gives its paths.
///
/// # Errors
/// What cannot be read or written.
pub fn again(dir: &Path, out: &Path, tasks: &[&dyn AnyTask]) -> Result<Vec<PathBuf>, CompareError> {
    let path = dir.join(ASKED);
    let bytes = std::fs::read(&path).map_err(|source| CompareError::Io { path: path.clone(), source })?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|e| CompareError::Nothing {
        path: path.clone(),
        what: format!("not what `compare --out` writes: {e}"),
    })?;
    let task = tasks.iter().copied().find(|t| t.name() == kept.read.task);
    let one = |(metric, better): &(String, Better)| {
        super::compare(&kept.read.scores, metric, &super::facts_of(task, metric), Some(*better))
    };
    let all: Vec<Comparison> = kept.metrics.iter().filter_map(one).collect();
    let asked = Asked {
        x: kept.x,
        scatter: kept.scatter,
        palette: task.map_or(Palette::default(), |t| t.palette().into()),
        metric: task.map_or("", |t| t.metric()),
    };
    write(out, &kept.read, &all, &asked)
}

struct Drawn {
    file: String,
    caption: String,
    svg: String,
}

/// A file name's part of a text.
fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    text.chars().map(plain).collect()
}

/// Means over a swept key, a panel for each combination of the others, or bars where nothing is swept.
fn means(c: &Comparison, asked: &Asked) -> Result<Vec<Drawn>, CompareError> {
    let agents: Vec<&str> = c.agents.iter().map(|a| a.agent.as_str()).collect();
    let palette = palette(&agents, &asked.palette);
    let Some(key) = axis(&c.conditions, asked.x.as_deref())? else {
        let bar = |agent: &str, e: &Estimate| Bar {
            agent: agent.into(),
            y: e.mean,
            interval: e.interval,
            seeds: Some(e.runs),
        };
        let group = |(i, condition): (usize, &Condition)| {
            let bars = c.agents.iter().filter_map(|a| Some(bar(&a.agent, a.by_condition[i].as_ref()?)));
            (condition_text(condition).replace(", ", "\n"), bars.collect::<Vec<_>>())
        };
        let groups: Vec<_> = c.conditions.iter().enumerate().take(MOST_PANELS).map(group).collect();
        // Bars stand on zero.
        if groups.iter().flat_map(|g| &g.1).any(|b| b.y < 0.0) {
            return Ok(Vec::new());
        }
        let bars = Bars {
            title: axis_of(&c.metric),
            y_label: axis_of(&c.metric),
            groups,
            counted: RUNS,
            ..Bars::with(palette)
        };
        let file = format!("means-{}.svg", slug(&c.metric));
        let caption = format!("{}: means with 95 % intervals", axis_of(&c.metric));
        return Ok(bars.svg()?.map(|svg| Drawn { file, caption, svg }).into_iter().collect());
    };
    let mut panels: Vec<(Condition, Vec<Series>)> = Vec::new();
    for (i, condition) in c.conditions.iter().enumerate() {
        let (rest, value) = apart(condition, &key);
        let Some(x) = value.and_then(number) else { continue };
        let place = panels.iter().position(|p| p.0 == rest).unwrap_or_else(|| {
            panels.push((rest, Vec::new()));
            panels.len() - 1
        });
        let lines = &mut panels[place].1;
        for a in &c.agents {
            let Some(e) = &a.by_condition[i] else { continue };
            let point = Point::new(x, e.mean, e.interval).of(e.runs);
            match lines.iter_mut().find(|l| l.agent == a.agent) {
                Some(line) => line.points.push(point),
                None => lines.push(Series::new(&a.agent, Look::Points, vec![point])),
            }
        }
    }
    let x_label =
        if lists(&c.conditions, &key) { format!("mean of {}", axis_of(&key)) } else { axis_of(&key) };
    let mut out = Vec::new();
    for (n, (rest, mut series)) in panels.into_iter().enumerate().take(MOST_PANELS) {
        series.iter_mut().for_each(|l| l.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
        let place = condition_text(&rest);
        let words = axis_of(&c.metric);
        let title = if place.is_empty() { words.clone() } else { format!("{words}, {place}") };
        let caption = format!("{title} over {x_label}, with 95 % intervals");
        let figure = Figure {
            title,
            x_label: x_label.clone(),
            y_label: words,
            series,
            counted: RUNS,
            ..Figure::with(palette.clone())
        };
        let file = format!("means-{}-{}.svg", slug(&c.metric), n + 1);
        out.extend(figure.svg()?.map(|svg| Drawn { file, caption, svg }));
    }
    Ok(out)
}

/// Probability of each rank.
fn ranks(c: &Comparison, asked: &Asked) -> Result<Option<Drawn>, CompareError> {
    if c.agents.iter().any(|a| a.ranks.is_empty()) || c.agents.len() > 12 {
        return Ok(None);
    }
    let agents: Vec<&str> = c.agents.iter().map(|a| a.agent.as_str()).collect();
    let group = |rank: usize| {
        let bar = |a: &super::Of| Bar {
            agent: a.agent.clone(),
            y: a.ranks[rank],
            interval: None,
            seeds: Some(a.all.runs),
        };
        (format!("rank {}", rank + 1), c.agents.iter().map(bar).filter(|b| b.y > 0.0005).collect())
    };
    let bars = Bars {
        title: format!("Rank by {}", axis_of(&c.metric)),
        y_label: "probability".into(),
        counted: RUNS,
        groups: (0..c.agents.len()).map(group).collect(),
        ..Bars::with(palette(&agents, &asked.palette))
    };
    let caption = format!("Probability of each rank by {}, by resampling seeds", axis_of(&c.metric));
    let file = format!("ranks-{}.svg", slug(&c.metric));
    Ok(bars.svg()?.map(|svg| Drawn { file, caption, svg }))
}

fn profiles(c: &Comparison, asked: &Asked) -> Result<Option<Drawn>, CompareError> {
    let agents: Vec<&str> = c.agents.iter().map(|a| a.agent.as_str()).collect();
    let line = |a: &super::Of| {
        let points = a.profile.iter().map(|s| Point::new(s.at, s.share, s.interval)).collect();
        Series::new(&a.agent, Look::Curve, points)
    };
    let figure = Figure {
        title: format!("Performance profile by {}", axis_of(&c.metric)),
        counted: RUNS,
        x_label: "normalised score τ: 0 the worst agent's mean, 1 the best one's".into(),
        y_label: "share of runs above τ".into(),
        series: c.agents.iter().map(line).filter(|s| !s.points.is_empty()).collect(),
        ..Figure::with(palette(&agents, &asked.palette))
    };
    let caption = format!("Performance profiles by {}: the higher a line, the better", axis_of(&c.metric));
    let file = format!("profile-{}.svg", slug(&c.metric));
    Ok(figure.svg()?.map(|svg| Drawn { file, caption, svg }))
}

/// One metric over another, a point for each agent and condition.
fn scatter(read: &Read, (x, y): &(String, String), asked: &Asked) -> Result<Drawn, CompareError> {
    let known = once(read.scores.iter().map(|s| s.metric.as_str()));
    if let Some(missing) = [x, y].into_iter().find(|m| !known.contains(&m.as_str())) {
        let what = format!("--scatter {x},{y}: no metric '{missing}'; there are: {}", known.join(", "));
        return Err(CompareError::Option(what));
    }
    let of = |metric: &str, s: &Score| -> Option<Estimate> {
        let own = |o: &&Score| o.metric == metric && o.agent == s.agent && o.condition == s.condition;
        let values: Vec<f64> = read.scores.iter().filter(own).map(|s| s.value).collect();
        (!values.is_empty()).then(|| estimate(&[values], &Facts::of(metric)))
    };
    let mut lines: Vec<Series> = Vec::new();
    let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
    for s in read.scores.iter().filter(|s| s.metric == *x) {
        if !seen.insert((&s.agent, condition_text(&s.condition))) {
            continue;
        }
        let (Some(over), Some(up)) = (of(x, s), of(y, s)) else { continue };
        let point =
            Point { x_interval: over.interval, ..Point::new(over.mean, up.mean, up.interval).of(up.runs) };
        match lines.iter_mut().find(|l| l.agent == s.agent) {
            Some(line) => line.points.push(point),
            None => lines.push(Series::new(&s.agent, Look::Marks, vec![point])),
        }
    }
    lines.iter_mut().for_each(|l| l.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    let agents: Vec<String> = lines.iter().map(|l| l.agent.clone()).collect();
    let agents: Vec<&str> = agents.iter().map(String::as_str).collect();
    let xs = || lines.iter().flat_map(|l| &l.points).map(|p| p.x);
    let (lo, hi) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    let figure = Figure {
        title: format!("{} over {}", axis_of(y), axis_of(x)),
        x_label: axis_of(x),
        y_label: axis_of(y),
        counted: RUNS,
        // Energies of networks lie decades apart.
        log_x: lo > 0.0 && hi / lo > 100.0,
        palette: palette(&agents, &asked.palette),
        series: lines.clone(),
        ..Figure::default()
    };
    let file = format!("scatter-{}-{}.svg", slug(x), slug(y));
    let caption =
        format!("{} over {}: an agent under a condition each, with 95 % intervals", axis_of(y), axis_of(x));
    let drawn = figure.svg()?.map(|svg| Drawn { file, caption, svg });
    drawn.ok_or_else(|| CompareError::Option(format!("--scatter {x},{y}: no agent has both")))
}

/// What agents do slot by slot: of the quantities that are compared, or of the first one, as many conditions as a page
/// bears.
fn slots(read: &Read, comparisons: &[Comparison], asked: &Asked) -> Result<Vec<Drawn>, CompareError> {
    let mut panels: BTreeMap<(usize, usize), Vec<&Line>> = BTreeMap::new();
    let all = once(read.lines.iter().map(|l| l.quantity.as_str()));
    let mut quantities = all.clone();
    quantities.retain(|q| comparisons.iter().any(|c| c.metric == *q));
    if quantities.is_empty() {
        let usual = all.iter().position(|q| *q == asked.metric).unwrap_or(0);
        quantities = all.into_iter().skip(usual).take(1).collect();
    }
    let conditions = once(read.lines.iter().map(|l| &l.condition));
    for l in &read.lines {
        let Some(quantity) = quantities.iter().position(|q| *q == l.quantity) else { continue };
        let condition = conditions.iter().position(|c| **c == l.condition).unwrap_or_default();
        panels.entry((quantity, condition)).or_default().push(l);
    }
    let mut out = Vec::new();
    for ((q, c), lines) in panels {
        if c >= MOST_PANELS {
            continue;
        }
        let agents = once(lines.iter().map(|l| l.agent.as_str()));
        let point = |(slot, (mean, ends)): (usize, &(f64, Option<[f64; 2]>))| {
            Point::new(slot as f64, *mean, ends.map(|[lo, hi]| Interval { lo, hi }))
        };
        let series = lines
            .iter()
            .map(|l| Series::new(&l.agent, Look::Curve, l.slots.iter().enumerate().map(point).collect()));
        let place = condition_text(conditions[c]);
        let words = axis_of(quantities[q]);
        let title = if place.is_empty() { words.clone() } else { format!("{words}, {place}") };
        let caption = format!("{title}, slot by slot, with 95 % intervals");
        let figure = Figure {
            title,
            x_label: "slot".into(),
            y_label: words,
            series: series.collect(),
            ..Figure::with(palette(&agents, &asked.palette))
        };
        let file = format!("slots-{}-{}.svg", slug(quantities[q]), c + 1);
        out.extend(figure.svg()?.map(|svg| Drawn { file, caption, svg }));
    }
    Ok(out)
}

/// What the means of figures are over.
const RUNS: &str = "runs";

/// The page in one sentence: who is ahead by the first metric, and by how much.
fn answer(comparisons: &[Comparison]) -> String {
    let Some(c) = comparisons.first() else { return "Nothing is compared.".into() };
    let [best, next, ..] = &c.agents[..] else { return "Nothing is compared.".into() };
    let values = format!(
        "{} has {} and {} {} by {}",
        code(&best.agent),
        num(best.all.mean),
        code(&next.agent),
        num(next.all.mean),
        axis_of(&c.metric)
    );
    if c.seeds < FEW_SEEDS {
        return format!("{values}: with {} a hint at most.", counted(c.seeds, "seed"));
    }
    let apart = c.pairs.iter().find(|p| (p.a, p.b) == (0, 1)).and_then(|p| p.paired.as_ref()?.interval);
    match apart {
        Some(i) if i.lo > 0.0 || i.hi < 0.0 => {
            format!("{values}: the difference is beyond its 95 % interval.")
        }
        Some(_) => format!("{values}: their difference is within its 95 % interval."),
        None => format!("{values}; they share no seed, so there is no paired difference."),
    }
}

/// The heading of a metric with what is compared, and its tables.
fn section(c: &Comparison) -> (String, String) {
    let direction = if c.better == Better::Higher { "higher" } else { "lower" };
    let mut heading = format!("## {}\n\n", c.metric);
    let mut out = String::new();
    let scope = match (c.conditions.len(), c.shared) {
        (1, _) => "one condition".to_string(),
        (n, shared) if shared == n => format!("the mean over {n} conditions"),
        (n, 0) => {
            format!("no condition that all agents have: means are of what each has of {n}, without ranks")
        }
        (n, shared) => format!("the mean over the {shared} of {n} conditions that all agents have"),
    };
    let _ = writeln!(heading, "{direction} is better; {scope}; {}.\n", seeds_in_words(c.seeds));
    let rows: Vec<Vec<String>> = c
        .agents
        .iter()
        .map(|a| {
            vec![
                code(&a.agent),
                with_interval(a.all.mean, a.all.interval),
                with_interval(a.iqm, a.iqm_interval),
                if a.ranks.is_empty() { "-".into() } else { format!("{:.2}", a.mean_rank()) },
                a.all.runs.to_string(),
            ]
        })
        .collect();
    out.push_str(&table("agent | mean (95 %) | IQM (95 %) | mean rank | runs", 1, &rows));
    let rows: Vec<Vec<String>> = told(c)
        .map(|p| {
            let x = p.paired.as_ref();
            vec![
                format!("{} − {}", code(&c.agents[p.a].agent), code(&c.agents[p.b].agent)),
                x.map_or("no common seed".into(), |x| with_interval(x.difference, x.interval)),
                x.map_or("-".into(), |x| format!("{} of {}", x.above, x.pairs)),
                p.improvement.map_or("-".into(), |(x, i)| with_interval(x, i)),
            ]
        })
        .collect();
    let header = "pair | paired difference (95 %) | pairs in which the first is better | probability that it is (95 %)";
    out.push_str(&table(header, 1, &rows));
    if c.conditions.len() > 1 {
        let names: Vec<String> =
            c.agents.iter().take(MOST_PANELS).map(|a| format!(" | {}", code(&a.agent))).collect();
        let rows: Vec<Vec<String>> = c
            .conditions
            .iter()
            .enumerate()
            .map(|(i, condition)| {
                let cell = |a: &super::Of| {
                    a.by_condition[i].map_or("-".into(), |e| with_interval(e.mean, e.interval))
                };
                let cells = c.agents.iter().take(MOST_PANELS).map(cell);
                std::iter::once(condition_text(condition)).chain(cells).collect()
            })
            .collect();
        out.push_str(&table(&format!("condition{}", names.concat()), 1, &rows));
        if c.agents.len() > MOST_PANELS {
            let _ = writeln!(out, "Under single conditions: the first {MOST_PANELS} agents.\n");
        }
    }
    (heading, out)
}

/// Writes `compare.md`, `compare.html` and the figures to `out` and gives their paths, the page first.
///
/// # Errors
/// A key or metric that is not there, and what the file system refuses.
pub fn write(
    out: &Path,
    read: &Read,
    comparisons: &[Comparison],
    asked: &Asked,
) -> Result<Vec<PathBuf>, CompareError> {
    for mark in ["manifest.json", "plan.json", "checkpoint.safetensors"] {
        if out.join(mark).exists() {
            let what = format!("--out: '{}' holds a job; choose another folder", out.display());
            return Err(CompareError::Option(what));
        }
    }
    std::fs::create_dir_all(out).map_err(|source| ReportError::Io { path: out.to_path_buf(), source })?;
    let title = format!("Comparison, task {}", read.task);
    let mut text = String::new();
    write_opening(&mut text, &title, &answer(comparisons), &[]);
    let mut made = String::from("## What was compared\n\n");
    let rows: Vec<Vec<String>> =
        read.sources.iter().map(|s| vec![code(&s.name), s.kind.to_string(), s.about.clone()]).collect();
    made.push_str(&table("source | kind | made by", 3, &rows));
    // What is to be borne in mind stands before what it is about.
    for warning in &read.warnings {
        let _ = writeln!(text, "- Note: {warning}.");
    }
    text.push('\n');
    let _ = writeln!(
        made,
        "\n{METHOD}. A pair are two agents with one seed under one condition, so with the same draws of the environment. The probability \
         that one is better is the Mann–Whitney share over conditions, ranks are of means over resampled seeds, IQM is the mean of the \
         middle half: all as in Agarwal et al. (NeurIPS 2021).\n"
    );
    let mut all: Vec<Drawn> = Vec::new();
    let mut show = |text: &mut String, drawn: Vec<Drawn>| {
        for d in drawn {
            let _ = writeln!(text, "![{}]({})\n", d.caption, d.file);
            all.push(d);
        }
    };
    for pair in &asked.scatter {
        show(&mut text, vec![scatter(read, pair, asked)?]);
    }
    for c in comparisons {
        let (heading, tables) = section(c);
        text.push_str(&heading);
        show(&mut text, means(c, asked)?);
        text.push_str(&tables);
        show(&mut text, ranks(c, asked)?.into_iter().collect());
        show(&mut text, profiles(c, asked)?.into_iter().collect());
    }
    let drawn = slots(read, comparisons, asked)?;
    if !drawn.is_empty() {
        text.push_str("## Slot by slot\n\n");
        show(&mut text, drawn);
    }
    text.push_str(&made);
    let svgs: BTreeMap<&str, &str> = all.iter().map(|d| (d.file.as_str(), d.svg.as_str())).collect();
    let html = page::html(&text, &title, |file| svgs.get(file).map(ToString::to_string));
    let mut paths = vec![out.join("compare.html"), out.join("compare.md")];
    let kept = serde_json::to_string(&Kept::of(read, comparisons, asked)).map_err(ReportError::from)?;
    write_whole(&out.join(ASKED), kept.as_bytes())?;
    write_whole(&paths[0], html.as_bytes())?;
    write_whole(&paths[1], text.as_bytes())?;
    for d in &all {
        paths.push(out.join(&d.file));
        write_whole(&paths[paths.len() - 1], d.svg.as_bytes())?;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_at_their_mean() {
        let conditions: Vec<Condition> =
            ["[14.0, 18.0]", "[10.0, 14.0]"].map(|v| vec![("speed_m_s".to_string(), v.to_string())]).to_vec();
        assert_eq!(axis(&conditions, None).unwrap().as_deref(), Some("speed_m_s"));
        assert!(lists(&conditions, "speed_m_s"));
        assert!(axis(&conditions, Some("p_max_dbm")).unwrap_err().to_string().contains("speed_m_s"));
    }
}
