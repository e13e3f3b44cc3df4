//! The report of task v2x: every figure and table of the Spiking-AC paper that a run's rows can answer, beside the printed values.
//!
//! No outcome is written down here: each sentence is chosen, and each number filled in, from the rows.

use super::figure::{Figure, Look, PaperMark, Point, Series};
use super::frames::{self, SeedGroup};
use super::paper::{self, Claim, HEADLINE_DBM, LEAD_SLOTS, PEAK_SLOTS, Quantity};
use super::{ReportError, ReportPaths, page, write_whole};
use crate::rows::{CurveRow, EvalRow, Manifest, SlotRow};
use crate::stats::{self, Bootstrap, Interval, RESAMPLES};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Agents of the task in the order of every table: id and what it does.
const AGENTS: [(&str, &str); 10] = [
    ("spiking-ac", "PPO with spiking actor and critic"),
    ("ppo", "PPO with tanh networks"),
    ("ddpg", "deterministic actor with replay"),
    ("dqn", "discrete beams and powers with replay"),
    ("random", "random beams and powers"),
    ("last-estimate", "steers at the last estimate, equal power"),
    ("ekf", "steers at the prediction of an extended Kalman filter, equal power"),
    ("genie", "steers at the true angle, equal power"),
    ("genie-zf", "zero-forcing with the true angles, water-filled power"),
    ("upper-bound", "every vehicle without interference, water-filled power: no agent can exceed it"),
];
const LEARNED: [&str; 4] = ["spiking-ac", "ppo", "ddpg", "dqn"];
/// References that need no training and could stand in for a learned agent, or show what perfect knowledge gives.
const SIMPLE: [&str; 5] = ["random", "last-estimate", "ekf", "genie", "genie-zf"];
const GENIE: &str = "genie";
const BOUND: &str = "upper-bound";
/// Preferred variant of the main tables and figures.
const MAIN_BEAM: &str = "angles";
const MAIN_KINEMATICS: &str = "paper";
const BOOTSTRAP_SEED: u32 = 0;
/// Points of a drawn learning curve; longer ones are averaged over spans of updates.
const CURVE_POINTS: usize = 200;
/// Share of a run's updates, at its end, that counts as "after training".
const LAST_SHARE: f64 = 0.1;

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` to `dir`, which is created if it is not there.
///
/// Rows may come in any order and may lack agents, powers or whole tables; the report says what is missing. A figure without rows is not
/// drawn, and one of an earlier report in `dir` is removed.
///
/// # Errors
/// [`ReportError::DuplicateRow`] if two rows have the same keys, before anything is written; else what the file system, polars or plotters
/// refuse.
pub fn write(
    dir: &Path,
    curves: &[CurveRow],
    evals: &[EvalRow],
    slots: &[SlotRow],
    manifest: &Manifest,
) -> Result<ReportPaths, ReportError> {
    let mut curve_frame = frames::curves(curves)?;
    let mut eval_frame = frames::evals(evals)?;
    let mut slot_frame = frames::slots(slots)?;
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Io { path: dir.to_path_buf(), source })?;

    let tables = ["curves.parquet", "evals.parquet", "slots.parquet"].map(|name| dir.join(name)).to_vec();
    frames::write_parquet(&tables[0], &mut curve_frame)?;
    frames::write_parquet(&tables[1], &mut eval_frame)?;
    frames::write_parquet(&tables[2], &mut slot_frame)?;
    let manifest_path = dir.join("manifest.json");
    write_whole(&manifest_path, (serde_json::to_string_pretty(manifest)? + "\n").as_bytes())?;

    let view = View::new(
        frames::eval_groups(&eval_frame)?,
        frames::slot_groups(&slot_frame)?,
        frames::curve_groups(&curve_frame, "reward")?,
        curves,
    );
    let mut drawn: BTreeMap<&str, String> = BTreeMap::new();
    let mut paths = Vec::new();
    let plates = view.plates();
    for plate in &plates {
        let path = dir.join(plate.file);
        match plate.figure.svg()? {
            Some(svg) => {
                write_whole(&path, svg.as_bytes())?;
                drawn.insert(plate.file, svg);
                paths.push(path);
            }
            None if path.exists() => {
                std::fs::remove_file(&path).map_err(|source| ReportError::Io { path, source })?;
            }
            None => {}
        }
    }
    let markdown = view.markdown(&plates, |file| drawn.contains_key(file), manifest);
    let (md_path, html_path) = (dir.join("report.md"), dir.join("report.html"));
    write_whole(&md_path, markdown.as_bytes())?;
    write_whole(&html_path, page::html(&markdown, TITLE, |file| drawn.get(file).cloned()).as_bytes())?;
    Ok(ReportPaths { markdown: md_path, html: html_path, manifest: manifest_path, tables, figures: paths })
}

const TITLE: &str = "Spiking-AC (task v2x): this run beside the printed results";

/// A mean over seeds with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Estimate {
    mean: f64,
    interval: Option<Interval>,
    seeds: usize,
}

impl Estimate {
    /// For an increasing `f`: the square root that turns a mean square into an RMSE.
    fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        Estimate { mean: f(self.mean), interval: self.interval.map(|i| i.map(&f)), seeds: self.seeds }
    }

    fn interval_text(&self) -> String {
        match (self.interval, self.seeds) {
            (Some(i), _) => format!("{} to {}", num(i.lo), num(i.hi)),
            (None, 1) => "one seed: no interval".to_string(),
            (None, _) => "not finite: no interval".to_string(),
        }
    }

    /// For a cell or a sentence that has no room for words.
    fn short(&self) -> String {
        match self.interval {
            Some(i) => format!("{} ({} to {})", num(self.mean), num(i.lo), num(i.hi)),
            None => num(self.mean),
        }
    }

    fn point(&self, x: f64) -> Point {
        Point { x, y: self.mean, interval: self.interval }
    }
}

/// How two estimates stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Above,
    Below,
    /// The intervals overlap.
    Level,
}

fn order(a: &Estimate, b: &Estimate) -> Order {
    let (a_lo, a_hi) = a.interval.map_or((a.mean, a.mean), |i| (i.lo, i.hi));
    let (b_lo, b_hi) = b.interval.map_or((b.mean, b.mean), |i| (i.lo, i.hi));
    if a_lo > b_hi {
        Order::Above
    } else if a_hi < b_lo {
        Order::Below
    } else {
        Order::Level
    }
}

/// Four significant digits; `-` for what is missing.
fn num(x: f64) -> String {
    if x.is_nan() {
        return "-".to_string();
    }
    if x == 0.0 || x.is_infinite() {
        return format!("{x}");
    }
    let power = x.abs().log10().floor() as i32;
    if !(-3..7).contains(&power) {
        return format!("{x:.2e}");
    }
    format!("{x:.*}", (3 - power).max(0) as usize)
}

/// A ratio, with more digits where it is small.
fn times(x: f64) -> String {
    if x.is_finite() { format!("{}×", num((x * 1e4).round() / 1e4)) } else { "-".to_string() }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn code(agent: &str) -> String {
    format!("`{agent}`")
}

/// Text as a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A Markdown table; the first `text_columns` are aligned left, the others right.
fn table(header: &[&str], text_columns: usize, rows: &[Vec<String>]) -> String {
    let mut out = format!("| {} |\n|", header.join(" | "));
    for i in 0..header.len() {
        out.push_str(if i < text_columns { "---|" } else { "--:|" });
    }
    out.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| cell(c)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
    out
}

fn rank(agent: &str) -> (usize, String) {
    (AGENTS.iter().position(|(id, _)| *id == agent).unwrap_or(AGENTS.len()), agent.to_string())
}

/// Resamples by number of seeds: each is drawn once, so all quantities of a run see the same ones.
#[derive(Default)]
struct Resamples(Mutex<HashMap<usize, Option<Arc<Bootstrap>>>>);

impl Resamples {
    fn estimate(&self, values: &[f64]) -> Estimate {
        let bootstrap = {
            let mut drawn = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let n = values.len();
            drawn.entry(n).or_insert_with(|| Bootstrap::new(n, BOOTSTRAP_SEED).map(Arc::new)).clone()
        };
        let interval = bootstrap.and_then(|b| b.mean_interval(values));
        Estimate { mean: stats::mean(values), interval, seeds: values.len() }
    }
}

/// Verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    /// Holds as far as it goes: agents the claim speaks of are missing.
    HoldsInPart,
    Fails,
    /// Means agree with the claim or contradict it by less than the intervals.
    Open,
    NoData,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Verdict::Holds => "**holds**",
            Verdict::HoldsInPart => "holds for those compared",
            Verdict::Fails => "**does not hold**",
            Verdict::Open => "open: intervals overlap",
            Verdict::NoData => "not in this run",
        }
    }
}

/// "`a` is above `b`", as part of a claim.
struct Pair {
    a: (String, Estimate),
    b: (String, Estimate),
    /// Where they are compared, e.g. " at 40 dBm".
    place: String,
    /// Whether level does not suffice.
    strict: bool,
}

impl Pair {
    fn verdict(&self) -> Verdict {
        match order(&self.a.1, &self.b.1) {
            Order::Above => Verdict::Holds,
            Order::Below => Verdict::Fails,
            Order::Level if self.strict => Verdict::Open,
            Order::Level => Verdict::Holds,
        }
    }

    /// How far `a` is above `b`, as a share of the larger; no unit.
    fn lead(&self) -> f64 {
        let (a, b) = (self.a.1.mean, self.b.1.mean);
        (a - b) / a.abs().max(b.abs()).max(f64::MIN_POSITIVE)
    }

    fn text(&self) -> String {
        format!("{} {} against {} {}{}", self.a.0, self.a.1.short(), self.b.0, self.b.1.short(), self.place)
    }
}

fn in_part(verdict: Verdict, missing: &[String]) -> Verdict {
    if verdict == Verdict::Holds && !missing.is_empty() { Verdict::HoldsInPart } else { verdict }
}

fn not_compared(missing: &[String]) -> Option<String> {
    (!missing.is_empty()).then(|| format!("Not compared, for want of rows: {}", listed(missing)))
}

struct Judgement {
    claim: Claim,
    verdict: Verdict,
    evidence: String,
}

/// Judges a claim about `wanted` agents from its comparisons.
fn judge(claim: Claim, pairs: &[Pair], wanted: &[&str]) -> Judgement {
    let with = |v: Verdict| pairs.iter().filter(move |p| p.verdict() == v);
    let count = |v: Verdict| with(v).count();
    let verdict = if pairs.is_empty() {
        Verdict::NoData
    } else if count(Verdict::Fails) > 0 {
        Verdict::Fails
    } else if count(Verdict::Open) > 0 {
        Verdict::Open
    } else {
        Verdict::Holds
    };
    let mut parts: Vec<String> = Vec::new();
    let some = |v: Verdict, most: usize| {
        let mut texts: Vec<String> = with(v).take(most).map(Pair::text).collect();
        if count(v) > most {
            texts.push(format!("{} more", count(v) - most));
        }
        texts.join("; ")
    };
    if pairs.len() > 1 {
        parts.push(format!("{} of {} comparisons hold", count(Verdict::Holds), pairs.len()));
    }
    if count(Verdict::Fails) > 0 {
        parts.push(format!("Against it: {}", some(Verdict::Fails, 3)));
    }
    if count(Verdict::Open) > 0 {
        parts.push(format!("Intervals overlap: {}", some(Verdict::Open, 3)));
    }
    if verdict == Verdict::Holds && pairs.len() <= 2 {
        parts.push(some(Verdict::Holds, 2));
    } else if verdict == Verdict::Holds {
        let closest = pairs.iter().min_by(|p, q| p.lead().total_cmp(&q.lead()));
        parts.extend(closest.map(|p| format!("Closest: {}", p.text())));
    }
    if pairs.iter().any(|p| p.a.1.seeds < 2 || p.b.1.seeds < 2) {
        parts.push("One seed: no interval, means compared".to_string());
    }
    let compared =
        |agent: &str| pairs.iter().any(|p| p.a.0.contains(&code(agent)) || p.b.0.contains(&code(agent)));
    let missing: Vec<String> = wanted.iter().filter(|a| !compared(a)).map(|a| code(a)).collect();
    let verdict = in_part(verdict, &missing);
    parts.extend(not_compared(&missing));
    Judgement { claim, verdict, evidence: parts.join(". ") }
}

/// One figure with its file and caption.
struct Plate {
    file: &'static str,
    number: &'static str,
    figure: Figure,
    caption: String,
    /// What is missing if it cannot be drawn.
    needs: &'static str,
}

/// Learning curve of one agent at the power of figure 4a.
struct Learning {
    agent: String,
    /// (middle of the span of updates, mean over seeds), ascending.
    curve: Vec<(f64, Estimate)>,
    /// Updates averaged into one point.
    span: usize,
    updates: usize,
    /// Environment steps of one seed per update and in all.
    steps_per_update: f64,
    env_steps: u64,
    first: Estimate,
    last: Estimate,
}

struct Cell {
    agent: String,
    beam: String,
    kinematics: String,
    p_max_dbm: f64,
    metric: String,
    estimate: Estimate,
}

/// Everything the text is made from: estimates over seeds of the variant that is reported.
struct View {
    resamples: Resamples,
    cells: Vec<Cell>,
    slots: Vec<SeedGroup<u32>>,
    beam: String,
    kinematics: String,
    /// Agents in the reported variant with the beam their rows have, in table order.
    agents: Vec<(String, String)>,
    /// Powers of the reported variant, ascending, dBm.
    powers_dbm: Vec<f64>,
    /// 40 dBm, or the highest power of the run.
    headline_dbm: Option<f64>,
    slot_dbm: Option<f64>,
    curve_dbm: Option<f64>,
    learning: Vec<Learning>,
}

fn distinct_powers(powers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut powers: Vec<f64> = powers.filter(|p| p.is_finite()).collect();
    powers.sort_by(f64::total_cmp);
    powers.dedup();
    powers
}

/// 40 dBm if it is there, else the highest.
fn headline(powers: &[f64]) -> Option<f64> {
    powers.iter().copied().find(|p| *p == HEADLINE_DBM).or(powers.last().copied())
}

impl View {
    fn new(
        evals: Vec<SeedGroup<String>>,
        slots: Vec<SeedGroup<u32>>,
        curves: Vec<SeedGroup<u32>>,
        curve_rows: &[CurveRow],
    ) -> View {
        let resamples = Resamples::default();
        let variants: BTreeSet<(String, String, String)> = {
            let of = |a: &str, b: &str, k: &str| (a.to_string(), b.to_string(), k.to_string());
            let evals = evals.iter().map(|g| of(&g.agent, &g.beam, &g.kinematics));
            let slots = slots.iter().map(|g| of(&g.agent, &g.beam, &g.kinematics));
            let curves = curves.iter().map(|g| of(&g.agent, &g.beam, &g.kinematics));
            evals.chain(slots).chain(curves).collect()
        };
        let preferred = |wanted: &str, there: BTreeSet<&String>| {
            there.iter().find(|v| **v == wanted).or(there.first()).map(|v| v.to_string()).unwrap_or_default()
        };
        let kinematics = preferred(MAIN_KINEMATICS, variants.iter().map(|v| &v.2).collect());
        let in_main = |v: &&(String, String, String)| v.2 == kinematics;
        let beam = preferred(MAIN_BEAM, variants.iter().filter(in_main).map(|v| &v.1).collect());
        let mut agents: Vec<(String, String)> = Vec::new();
        let ids: BTreeSet<&String> = variants.iter().filter(in_main).map(|v| &v.0).collect();
        for id in ids {
            let beams = variants.iter().filter(in_main).filter(|v| v.0 == *id).map(|v| &v.1);
            agents.push((id.clone(), preferred(&beam, beams.collect())));
        }
        agents.sort_by_key(|(id, _)| rank(id));

        let cells: Vec<Cell> = evals
            .into_par_iter()
            .map(|g| Cell {
                estimate: resamples.estimate(&g.values),
                agent: g.agent,
                beam: g.beam,
                kinematics: g.kinematics,
                p_max_dbm: g.p_max_dbm,
                metric: g.key,
            })
            .collect();
        let shown = |agent: &str, beam: &str, kin: &str| {
            kin == kinematics && agents.iter().any(|(id, b)| id == agent && b == beam)
        };
        let powers_dbm = distinct_powers(
            cells.iter().filter(|c| shown(&c.agent, &c.beam, &c.kinematics)).map(|c| c.p_max_dbm),
        );
        let slots: Vec<_> = slots.into_iter().filter(|g| shown(&g.agent, &g.beam, &g.kinematics)).collect();
        let curves: Vec<_> = curves.into_iter().filter(|g| shown(&g.agent, &g.beam, &g.kinematics)).collect();
        let slot_dbm = headline(&distinct_powers(slots.iter().map(|g| g.p_max_dbm)));
        let curve_dbm = headline(&distinct_powers(curves.iter().map(|g| g.p_max_dbm)));
        let learning = agents
            .par_iter()
            .filter_map(|(id, beam)| {
                let mine: Vec<_> =
                    curves.iter().filter(|g| g.agent == *id && Some(g.p_max_dbm) == curve_dbm).collect();
                let same = |r: &&CurveRow| {
                    r.agent == *id
                        && r.beam == *beam
                        && r.kinematics == kinematics
                        && Some(r.p_max_dbm) == curve_dbm
                };
                let env_steps = curve_rows.iter().filter(same).map(|r| r.env_steps).max()?;
                learning_curve(id, &mine, env_steps, &resamples)
            })
            .collect();
        let headline_dbm = headline(&powers_dbm);
        View {
            resamples,
            cells,
            slots,
            beam,
            kinematics,
            agents,
            powers_dbm,
            headline_dbm,
            slot_dbm,
            curve_dbm,
            learning,
        }
    }

    fn has(&self, agent: &str) -> bool {
        self.agents.iter().any(|(id, _)| id == agent)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().map(|(id, _)| id.as_str())
    }

    fn missing(&self, wanted: &[&str]) -> Vec<String> {
        wanted.iter().filter(|a| !self.has(a)).map(|a| code(a)).collect()
    }

    fn metric(&self, agent: &str, metric: &str, p_max_dbm: f64) -> Option<Estimate> {
        let (_, beam) = self.agents.iter().find(|(id, _)| id == agent)?;
        let found = |c: &&Cell| {
            c.agent == agent
                && c.beam == *beam
                && c.kinematics == self.kinematics
                && c.metric == metric
                && c.p_max_dbm == p_max_dbm
        };
        self.cells.iter().find(found).map(|c| c.estimate)
    }

    /// RMSEs are square roots of means over seeds.
    fn quantity(&self, agent: &str, quantity: Quantity, p_max_dbm: f64) -> Option<Estimate> {
        match quantity {
            Quantity::SumRate => self.metric(agent, "sum_rate_bps_hz", p_max_dbm),
            Quantity::AngleRmse => self.metric(agent, "angle_mse_rad2", p_max_dbm).map(|e| e.map(f64::sqrt)),
            Quantity::DistanceRmse => {
                self.metric(agent, "distance_mse_m2", p_max_dbm).map(|e| e.map(f64::sqrt))
            }
        }
    }

    fn root(&self, agent: &str, metric: &str, p_max_dbm: f64) -> Option<Estimate> {
        self.metric(agent, metric, p_max_dbm).map(|e| e.map(f64::sqrt))
    }

    /// (slot, estimate) of one agent at the power of figure 5a, ascending.
    fn slot_curve(&self, agent: &str) -> Vec<(u32, Estimate)> {
        let mine = self.slots.iter().filter(|g| g.agent == agent && Some(g.p_max_dbm) == self.slot_dbm);
        mine.map(|g| (g.key, self.resamples.estimate(&g.values))).collect()
    }

    /// Mean over the slots that `inside` takes, per seed, then over seeds.
    fn slot_mean(&self, agent: &str, inside: impl Fn(u32) -> bool) -> Option<Estimate> {
        let mut by_seed: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for g in self
            .slots
            .iter()
            .filter(|g| g.agent == agent && Some(g.p_max_dbm) == self.slot_dbm && inside(g.key))
        {
            for (seed, value) in g.seeds.iter().zip(&g.values) {
                by_seed.entry(*seed).or_default().push(*value);
            }
        }
        let values: Vec<f64> = by_seed.values().map(|v| stats::mean(v)).collect();
        (!values.is_empty()).then(|| self.resamples.estimate(&values))
    }

    // ---- figures -----------------------------------------------------------------------------------------------------------------

    fn plates(&self) -> Vec<Plate> {
        vec![self.fig4a(), self.fig5a(), self.fig5b(), self.fig6(), self.fig7()]
    }

    fn marks(&self, figure: &str) -> Vec<PaperMark> {
        let here = paper::VALUES.iter().filter(|v| v.figure == figure);
        here.map(|v| PaperMark { agent: v.agent.to_string(), x: v.p_max_dbm, y: v.value }).collect()
    }

    fn fig4a(&self) -> Plate {
        let mut series: Vec<Series> = Vec::new();
        let ends = |l: &Learning| Some((l.curve.first()?.0, l.curve.last()?.0));
        let spans: Vec<(f64, f64)> = self.learning.iter().filter_map(ends).collect();
        let from = spans.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
        let to = spans.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
        let mut levels: Vec<String> = Vec::new();
        for agent in self.ids() {
            if let Some(l) = self.learning.iter().find(|l| l.agent == agent) {
                let points = l.curve.iter().map(|(x, e)| e.point(*x)).collect();
                series.push(Series { agent: agent.to_string(), look: Look::Curve, points });
            } else if let (Some(e), false) =
                (self.curve_dbm.and_then(|p| self.metric(agent, "reward", p)), spans.is_empty())
            {
                let points = [from, to].map(|x| Point { x, y: e.mean, interval: None }).to_vec();
                series.push(Series { agent: agent.to_string(), look: Look::Level, points });
                levels.push(code(agent));
            }
        }
        let at = self.curve_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        let mut caption = format!(
            "Figure 4a. Reward (27) per training iteration{at}, mean over seeds with a 95 % band. One iteration is one update and \
             takes a different number of environment steps for each algorithm (table below). The paper prints no numbers here and \
             does not state the power."
        );
        if let Some(l) = self.learning.iter().filter(|l| l.span > 1).max_by_key(|l| l.span) {
            let _ = write!(caption, " Long curves are averaged over spans of up to {} updates.", l.span);
        }
        if !levels.is_empty() {
            let _ = write!(
                caption,
                " Dotted: evaluated reward of {}, which train nothing here.",
                listed(&levels)
            );
        }
        Plate {
            file: "fig4a.svg",
            number: "4a",
            figure: Figure {
                title: format!("Reward during training{at}"),
                x_label: "training iteration (update)".into(),
                y_label: "reward per slot (bps/Hz)".into(),
                x_ticks: vec![],
                log_y: false,
                from_zero: false,
                bound_label: String::new(),
                series,
                marks: vec![],
            },
            caption,
            needs: "no learning curves",
        }
    }

    fn fig5a(&self) -> Plate {
        let series = self
            .ids()
            .map(|agent| Series {
                agent: agent.to_string(),
                look: Look::Curve,
                points: self.slot_curve(agent).iter().map(|(slot, e)| e.point(f64::from(*slot))).collect(),
            })
            .collect();
        let at = self.slot_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        let substitute = match self.slot_dbm {
            Some(p) if p != HEADLINE_DBM => {
                format!(" The paper shows {HEADLINE_DBM} dBm, which this run lacks.")
            }
            _ => String::new(),
        };
        Plate {
            file: "fig5a.svg",
            number: "5a",
            figure: Figure {
                title: format!("Mean sum-rate over the slots of an episode{at}"),
                x_label: "slot".into(),
                y_label: "mean sum-rate (bps/Hz)".into(),
                x_ticks: vec![],
                log_y: false,
                from_zero: true,
                bound_label: String::new(),
                series,
                marks: vec![],
            },
            caption: format!(
                "Figure 5a. Mean sum-rate over slots{at}, mean over seeds with a 95 % band. The paper prints no numbers \
                 here.{substitute}"
            ),
            needs: "no slot rows",
        }
    }

    fn against_power(&self, get: impl Fn(&str, f64) -> Option<Estimate>, look: Look) -> Vec<Series> {
        let points = |agent: &str| {
            self.powers_dbm.iter().filter_map(|&p| get(agent, p).map(|e| e.point(p))).collect::<Vec<_>>()
        };
        let series = |agent: &str| Series { agent: agent.to_string(), look, points: points(agent) };
        self.ids().map(series).filter(|s| !s.points.is_empty()).collect()
    }

    fn power_ticks(&self, marks: &[PaperMark]) -> Vec<f64> {
        distinct_powers(self.powers_dbm.iter().copied().chain(marks.iter().map(|m| m.x)))
    }

    fn fig5b(&self) -> Plate {
        let marks = self.marks("5b");
        Plate {
            file: "fig5b.svg",
            number: "5b",
            figure: Figure {
                title: "Mean sum-rate against the power limit".into(),
                x_label: "P_max (dBm)".into(),
                y_label: "mean sum-rate (bps/Hz)".into(),
                x_ticks: self.power_ticks(&marks),
                log_y: false,
                from_zero: true,
                bound_label: String::new(),
                series: self.against_power(|a, p| self.quantity(a, Quantity::SumRate, p), Look::Points),
                marks,
            },
            caption: "Figure 5b. Mean sum-rate against P_max, mean over seeds with 95 % error bars. Hollow black markers: values \
                      printed in the paper."
                .into(),
            needs: "no evaluated sum-rate",
        }
    }

    fn error_figure(&self, quantity: Quantity, bound_metric: &str) -> Figure {
        let number = if quantity == Quantity::AngleRmse { "6" } else { "7" };
        let marks = self.marks(number);
        let mut series = self.against_power(|a, p| self.root(a, bound_metric, p), Look::Bound);
        series.extend(self.against_power(|a, p| self.quantity(a, quantity, p), Look::Points));
        let what = if quantity == Quantity::AngleRmse { "Angle" } else { "Distance" };
        Figure {
            title: format!("{what} error against the power limit"),
            x_label: "P_max (dBm)".into(),
            y_label: format!("{} ({})", quantity.name(), quantity.unit()),
            x_ticks: self.power_ticks(&marks),
            log_y: true,
            from_zero: false,
            bound_label: "√CRLB, same colour".into(),
            series,
            marks,
        }
    }

    fn fig6(&self) -> Plate {
        Plate {
            file: "fig6.svg",
            number: "6",
            figure: self.error_figure(Quantity::AngleRmse, "angle_crlb_rad2"),
            caption: "Figure 6. Angle RMSE against P_max, log scale, square root of the mean square over episodes and seeds, with 95 % \
                      error bars. Dashed: square root of the mean CRLB (22) of the same agent. Hollow black markers: values printed in \
                      the paper."
                .into(),
            needs: "no evaluated angle error",
        }
    }

    fn fig7(&self) -> Plate {
        Plate {
            file: "fig7.svg",
            number: "7",
            figure: self.error_figure(Quantity::DistanceRmse, "distance_crlb_m2"),
            caption: "Figure 7. Distance RMSE against P_max, log scale, made like figure 6. Dashed: square root of the mean CRLB (23). \
                      Hollow black markers: values printed in the paper."
                .into(),
            needs: "no evaluated distance error",
        }
    }

    // ---- claims ------------------------------------------------------------------------------------------------------------------

    fn reward_after_training(&self, agent: &str) -> Option<Estimate> {
        let learned = self.learning.iter().find(|l| l.agent == agent).map(|l| l.last);
        learned.or_else(|| self.metric(agent, "reward", self.curve_dbm?))
    }

    fn pairs(
        &self,
        wanted: &[(&str, &str, bool)],
        place: &str,
        get: impl Fn(&str) -> Option<Estimate>,
    ) -> Vec<Pair> {
        let pair = |&(a, b, strict): &(&str, &str, bool)| {
            Some(Pair { a: (code(a), get(a)?), b: (code(b), get(b)?), place: place.to_string(), strict })
        };
        wanted.iter().filter_map(pair).collect()
    }

    /// Spiking-AC against each other agent of the paper at each power; `low` if the lower value leads.
    fn leads(&self, quantity: Quantity, low: bool) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for &p in &self.powers_dbm {
            for other in &paper::AGENTS[1..] {
                let (Some(sac), Some(rival)) =
                    (self.quantity("spiking-ac", quantity, p), self.quantity(other, quantity, p))
                else {
                    continue;
                };
                let (sac, rival) = ((code("spiking-ac"), sac), (code(other), rival));
                let (a, b) = if low { (rival, sac) } else { (sac, rival) };
                pairs.push(Pair { a, b, place: format!(" at {p} dBm"), strict: true });
            }
        }
        pairs
    }

    /// Whether the error falls from each power to the next (level is allowed) and from the lowest to the highest (it is not).
    fn falls(&self, quantity: Quantity, agents: &[&str]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for agent in agents {
            let known: Vec<(f64, Estimate)> = self
                .powers_dbm
                .iter()
                .filter_map(|&p| Some((p, self.quantity(agent, quantity, p)?)))
                .collect();
            let mut steps: Vec<(usize, usize, bool)> =
                (1..known.len()).map(|i| (i - 1, i, known.len() == 2)).collect();
            if known.len() > 2 {
                steps.push((0, known.len() - 1, true));
            }
            for (from, to, strict) in steps {
                let named = |i: usize| (format!("{} at {} dBm", code(agent), known[i].0), known[i].1);
                pairs.push(Pair { a: named(from), b: named(to), place: String::new(), strict });
            }
        }
        pairs
    }

    fn judge(&self, claim: Claim) -> Judgement {
        match claim {
            Claim::RewardOrder => {
                let wanted = [
                    ("spiking-ac", "ppo", false),
                    ("ppo", "ddpg", true),
                    ("ddpg", "dqn", true),
                    ("ddpg", "random", true),
                ];
                judge(claim, &self.pairs(&wanted, "", |a| self.reward_after_training(a)), &paper::AGENTS)
            }
            Claim::RandomPoorest => {
                let wanted = LEARNED.map(|a| (a, "random", true));
                judge(claim, &self.pairs(&wanted, "", |a| self.reward_after_training(a)), &paper::AGENTS)
            }
            Claim::FastestConvergence => self.judge_convergence(),
            Claim::SlotPeak => self.judge_peak(),
            Claim::FirstSlots => {
                let wanted = ["ppo", "ddpg", "dqn", "random"].map(|a| ("spiking-ac", a, true));
                let pairs = self.pairs(&wanted, "", |a| self.slot_mean(a, |slot| slot < LEAD_SLOTS));
                judge(claim, &pairs, &paper::AGENTS)
            }
            Claim::DqnWorseNear => {
                let near = |slot: u32| (PEAK_SLOTS.0..=PEAK_SLOTS.1).contains(&slot);
                let (a, b) = (self.slot_mean("dqn", |s| !near(s)), self.slot_mean("dqn", near));
                let pair = a.zip(b).map(|(a, b)| Pair {
                    a: ("`dqn` in the other slots".into(), a),
                    b: (format!("`dqn` in slots {}–{}", PEAK_SLOTS.0, PEAK_SLOTS.1), b),
                    place: String::new(),
                    strict: true,
                });
                judge(claim, pair.as_slice(), &["dqn"])
            }
            Claim::RateOrder => judge(claim, &self.leads(Quantity::SumRate, false), &paper::AGENTS),
            Claim::RateGap => self.judge_gap(),
            Claim::AngleOrder => judge(claim, &self.leads(Quantity::AngleRmse, true), &paper::AGENTS),
            Claim::AngleFalls => {
                judge(claim, &self.falls(Quantity::AngleRmse, &paper::AGENTS), &paper::AGENTS)
            }
            Claim::DistanceOrder => judge(claim, &self.leads(Quantity::DistanceRmse, true), &paper::AGENTS),
            Claim::DistanceFalls => {
                let agents = ["spiking-ac", "ppo", "ddpg"];
                judge(claim, &self.falls(Quantity::DistanceRmse, &agents), &agents)
            }
            Claim::DistanceWorsens => {
                let agents = ["dqn", "random"];
                let mut pairs = Vec::new();
                if let [low, .., high] = self.powers_dbm[..] {
                    for agent in agents {
                        let named = |p: f64| {
                            let e = self.quantity(agent, Quantity::DistanceRmse, p)?;
                            Some((format!("{} at {p} dBm", code(agent)), e))
                        };
                        if let (Some(a), Some(b)) = (named(high), named(low)) {
                            pairs.push(Pair { a, b, place: String::new(), strict: true });
                        }
                    }
                }
                judge(claim, &pairs, &agents)
            }
        }
    }

    /// Reward that counts as converged: 90 % of the way from the lowest first to the highest last reward of the learned agents.
    fn common_reward(&self) -> Option<f64> {
        let learned = || self.learning.iter().filter(|l| LEARNED.contains(&l.agent.as_str()));
        let low = learned().map(|l| l.first.mean).fold(f64::INFINITY, f64::min);
        let high = learned().map(|l| l.last.mean).fold(f64::NEG_INFINITY, f64::max);
        (high > low && low.is_finite()).then_some(low + 0.9 * (high - low))
    }

    /// Environment steps of one seed until the mean curve reaches [`View::common_reward`].
    fn steps_to_common(&self, l: &Learning) -> Option<f64> {
        let goal = self.common_reward()?;
        l.curve.iter().find(|(_, e)| e.mean >= goal).map(|(update, _)| (update + 1.0) * l.steps_per_update)
    }

    fn judge_convergence(&self) -> Judgement {
        let claim = Claim::FastestConvergence;
        let steps = |ids: &[&str]| -> Vec<(String, f64)> {
            let mine = self.learning.iter().filter(|l| ids.contains(&l.agent.as_str()));
            mine.map(|l| (code(&l.agent), self.steps_to_common(l).unwrap_or(f64::INFINITY))).collect()
        };
        let (fast, slow) = (steps(&["spiking-ac", "ppo"]), steps(&["ddpg", "dqn"]));
        let Some(goal) = self.common_reward().filter(|_| !fast.is_empty() && !slow.is_empty()) else {
            return judge(claim, &[], &LEARNED);
        };
        let last_fast = fast.iter().map(|f| f.1).fold(0.0, f64::max);
        let first_slow = slow.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
        let holds = last_fast.is_finite() && last_fast < first_slow;
        let told = fast.iter().chain(&slow).map(|(id, s)| match s.is_finite() {
            true => format!("{id} after {s:.0} environment steps per seed"),
            false => format!("{id} never"),
        });
        let known = |a: &&&str| self.learning.iter().any(|l| l.agent == **a);
        let missing: Vec<String> = LEARNED.iter().filter(|a| !known(a)).map(|a| code(a)).collect();
        let told = format!(
            "Mean reward reaches {}, 90 % of the way up: {}",
            num(goal),
            told.collect::<Vec<_>>().join(", ")
        );
        Judgement {
            claim,
            verdict: in_part(if holds { Verdict::Holds } else { Verdict::Fails }, &missing),
            evidence: [Some(told), not_compared(&missing)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(". "),
        }
    }

    fn judge_peak(&self) -> Judgement {
        let claim = Claim::SlotPeak;
        let curve = self.slot_curve("spiking-ac");
        if curve.last().is_none_or(|(slot, _)| *slot <= PEAK_SLOTS.1) {
            let evidence = match curve.last() {
                Some((slot, _)) => format!("`spiking-ac` has slots up to {slot} only"),
                None => "no slot rows of `spiking-ac`".to_string(),
            };
            return Judgement { claim, verdict: Verdict::NoData, evidence };
        }
        // Averages of five slots, so that the noise of one slot does not make the peak.
        let smooth: Vec<(u32, f64)> = curve
            .windows(5)
            .map(|w| (w[2].0, stats::mean(&w.iter().map(|(_, e)| e.mean).collect::<Vec<_>>())))
            .collect();
        let (Some(first), Some(last)) = (smooth.first(), smooth.last()) else {
            return Judgement {
                claim,
                verdict: Verdict::NoData,
                evidence: "fewer than five slots".to_string(),
            };
        };
        let peak = smooth.iter().fold(*first, |best, s| if s.1 > best.1 { *s } else { best });
        let inside = (PEAK_SLOTS.0..=PEAK_SLOTS.1).contains(&peak.0);
        let holds = inside && first.1 < peak.1 && last.1 < peak.1;
        Judgement {
            claim,
            verdict: if holds { Verdict::Holds } else { Verdict::Fails },
            evidence: format!(
                "`spiking-ac` peaks in slot {} with {} bps/Hz (mean of five slots), from {} at the start and {} at the end",
                peak.0,
                num(peak.1),
                num(first.1),
                num(last.1)
            ),
        }
    }

    fn judge_gap(&self) -> Judgement {
        let claim = Claim::RateGap;
        let lead = |p: f64| {
            let sac = self.quantity("spiking-ac", Quantity::SumRate, p)?.mean;
            let rivals = paper::AGENTS[1..]
                .iter()
                .filter_map(|a| Some((*a, self.quantity(a, Quantity::SumRate, p)?.mean)));
            let (rival, rate) = rivals.max_by(|a, b| a.1.total_cmp(&b.1))?;
            Some((sac - rate, rival))
        };
        let ends = match self.powers_dbm[..] {
            [low, .., high] => lead(low).zip(lead(high)).map(|(l, h)| (low, l, high, h)),
            _ => None,
        };
        let Some((low, at_low, high, at_high)) = ends else {
            return judge(claim, &[], &paper::AGENTS);
        };
        let holds = at_high.0 > 0.0 && at_low.0.abs() < at_high.0;
        let told = |p: f64, (lead, rival): (f64, &str)| {
            let side = if lead >= 0.0 { "ahead of" } else { "behind" };
            format!("{} bps/Hz {side} {} at {p} dBm", num(lead.abs()), code(rival))
        };
        let everywhere =
            |a: &str| [low, high].iter().all(|&p| self.quantity(a, Quantity::SumRate, p).is_some());
        let missing: Vec<String> = paper::AGENTS.iter().filter(|a| !everywhere(a)).map(|a| code(a)).collect();
        let told =
            format!("`spiking-ac` is {} and {} (means compared)", told(high, at_high), told(low, at_low));
        Judgement {
            claim,
            verdict: in_part(if holds { Verdict::Holds } else { Verdict::Fails }, &missing),
            evidence: [Some(told), not_compared(&missing)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(". "),
        }
    }

    // ---- text --------------------------------------------------------------------------------------------------------------------

    fn markdown(&self, plates: &[Plate], drawn: impl Fn(&str) -> bool, manifest: &Manifest) -> String {
        let judgements: Vec<Judgement> = paper::CLAIMS.iter().map(|(claim, ..)| self.judge(*claim)).collect();
        let mut out = format!("# {TITLE}\n\n");
        self.write_scope(&mut out, manifest);
        self.write_in_short(&mut out, &judgements);
        self.write_printed(&mut out);
        self.write_claims(&mut out, &judgements);
        self.write_simple(&mut out);
        self.write_distance(&mut out);
        out.push_str("## Figures\n\n");
        for plate in plates {
            if drawn(plate.file) {
                let _ = writeln!(out, "![{}]({})\n", plate.caption, plate.file);
            } else {
                let _ = writeln!(out, "Figure {} is not drawn: {} in this run.\n", plate.number, plate.needs);
            }
            if plate.number == "4a" {
                self.write_training(&mut out);
            }
        }
        self.write_grids(&mut out);
        self.write_variants(&mut out);
        self.write_method(&mut out);
        write_manifest(&mut out, manifest);
        out
    }

    fn write_scope(&self, out: &mut String, manifest: &Manifest) {
        let powers: Vec<String> = self.powers_dbm.iter().map(|p| format!("{p}")).collect();
        let seeds = self.cells.iter().map(|c| c.estimate.seeds).max();
        let _ = writeln!(
            out,
            "Beam `{}`, kinematics `{}`; P_max {} dBm; {} on {} ({}).\n",
            if self.beam.is_empty() { "-" } else { &self.beam },
            if self.kinematics.is_empty() { "-" } else { &self.kinematics },
            if powers.is_empty() { "-".to_string() } else { powers.join(", ") },
            match seeds {
                None => "no evaluated seed".to_string(),
                Some(1) => "one seed".to_string(),
                Some(n) => format!("up to {n} seeds"),
            },
            manifest.device,
            manifest.backend,
        );
        let other: Vec<String> = self
            .agents
            .iter()
            .filter(|(_, beam)| *beam != self.beam)
            .map(|(id, beam)| format!("{} (beam `{beam}`)", code(id)))
            .collect();
        if !other.is_empty() {
            let _ = writeln!(out, "Shown with the beam their rows have: {}.\n", listed(&other));
        }
        let absent = self.missing(&AGENTS.map(|(id, _)| id));
        if !absent.is_empty() {
            let _ = writeln!(out, "Not in this run: {}.\n", listed(&absent));
        }
        if let Some(p) = self.headline_dbm.filter(|p| *p != HEADLINE_DBM) {
            let _ = writeln!(
                out,
                "This run has no evaluation at {HEADLINE_DBM} dBm, the power of most printed values. Where one power is needed, its \
                 highest, {p} dBm, stands in, and nothing of ours stands beside the values printed for {HEADLINE_DBM} dBm.\n"
            );
        }
        if self.headline_dbm.is_none() {
            out.push_str("This run has no evaluation rows: tables of ours show `-`.\n\n");
        }
    }

    fn best_learned(&self, quantity: Quantity, p_max_dbm: f64) -> Option<(&'static str, Estimate)> {
        let known = LEARNED.iter().filter_map(|a| Some((*a, self.quantity(a, quantity, p_max_dbm)?)));
        let sign = if quantity == Quantity::SumRate { 1.0 } else { -1.0 };
        known
            .filter(|(_, e)| e.mean.is_finite())
            .max_by(|a, b| (sign * a.1.mean).total_cmp(&(sign * b.1.mean)))
    }

    fn printed_rate(agent: &str) -> Option<f64> {
        let wanted = |v: &&paper::PrintedValue| {
            v.agent == agent && v.quantity == Quantity::SumRate && v.p_max_dbm == HEADLINE_DBM
        };
        paper::VALUES.iter().find(wanted).map(|v| v.value)
    }

    fn write_in_short(&self, out: &mut String, judgements: &[Judgement]) {
        out.push_str("## In short\n\n");
        let names = |v: Verdict| judgements.iter().filter(|j| j.verdict == v).count();
        let _ = writeln!(
            out,
            "- Of {} claims of the paper about reward, rate and sensing, {} hold in this run, {} hold for \
             those agents that can be compared, {} do not hold, {} stay open because intervals overlap, and {} cannot be judged from its rows.",
            judgements.len(),
            names(Verdict::Holds),
            names(Verdict::HoldsInPart),
            names(Verdict::Fails),
            names(Verdict::Open),
            names(Verdict::NoData),
        );
        if let (Some(ours), Some(printed)) =
            (self.quantity("spiking-ac", Quantity::SumRate, HEADLINE_DBM), View::printed_rate("spiking-ac"))
        {
            let _ = writeln!(
                out,
                "- `spiking-ac` reaches {} bps/Hz at {HEADLINE_DBM} dBm; the paper prints {printed} bps/Hz ({}).",
                ours.short(),
                times(ours.mean / printed)
            );
        }
        for line in self.simple_against_printed() {
            let _ = writeln!(out, "- {line}");
        }
        for line in self.bound_sentences() {
            let _ = writeln!(out, "- {line}");
        }
        out.push('\n');
    }

    /// The references that could run on a road-side unit, against the value printed for Spiking-AC.
    fn simple_against_printed(&self) -> Vec<String> {
        let Some(printed) = View::printed_rate("spiking-ac") else { return Vec::new() };
        let sentence = |agent: &&str| {
            let ours = self.quantity(agent, Quantity::SumRate, HEADLINE_DBM)?.mean;
            let side = if ours > printed {
                "more than"
            } else if ours < printed {
                "less than"
            } else {
                "the same as"
            };
            let what = AGENTS.iter().find(|(id, _)| id == agent).map(|(_, what)| *what).unwrap_or_default();
            Some(format!(
                "{} ({what}; nothing learned) reaches {} bps/Hz at {HEADLINE_DBM} dBm, {side} the {printed} bps/Hz printed for \
                 Spiking-AC ({}).",
                code(agent),
                num(ours),
                times(ours / printed)
            ))
        };
        ["last-estimate", "ekf"].iter().filter_map(sentence).collect()
    }

    fn write_printed(&self, out: &mut String) {
        out.push_str("## Ours beside the printed values\n\nIntervals are over seeds.\n\n");
        let rows: Vec<Vec<String>> = paper::VALUES
            .iter()
            .map(|v| {
                let ours = self.quantity(v.agent, v.quantity, v.p_max_dbm);
                vec![
                    v.figure.to_string(),
                    format!("{} ({})", v.quantity.name(), v.quantity.unit()),
                    code(v.agent),
                    format!("{}", v.p_max_dbm),
                    format!("{}", v.value),
                    ours.map_or("-".into(), |e| num(e.mean)),
                    ours.map_or("-".into(), |e| e.interval_text()),
                    ours.map_or("-".into(), |e| e.seeds.to_string()),
                    ours.map_or("-".into(), |e| times(e.mean / v.value)),
                ]
            })
            .collect();
        let header = [
            "figure",
            "quantity",
            "agent",
            "P_max (dBm)",
            "paper",
            "ours",
            "95 % interval",
            "seeds",
            "ours / paper",
        ];
        out.push_str(&table(&header, 3, &rows));

        out.push_str(
            "Advantages of Spiking-AC that the paper prints in percent (rate gained over the other, or error removed from it), beside what \
             its own printed values give and what ours give:\n\n",
        );
        let rows: Vec<Vec<String>> = paper::GAINS
            .iter()
            .map(|g| {
                let percent = |sac: f64, other: f64| match g.quantity {
                    Quantity::SumRate => 100.0 * (sac / other - 1.0),
                    Quantity::AngleRmse | Quantity::DistanceRmse => 100.0 * (1.0 - sac / other),
                };
                let printed = |agent: &str| {
                    let wanted = |v: &&paper::PrintedValue| {
                        v.agent == agent && v.quantity == g.quantity && v.p_max_dbm == g.p_max_dbm
                    };
                    paper::VALUES.iter().find(wanted).map(|v| v.value)
                };
                let own = printed("spiking-ac").zip(printed(g.versus)).map(|(a, b)| percent(a, b));
                let mean = |agent: &str| self.quantity(agent, g.quantity, g.p_max_dbm).map(|e| e.mean);
                let ours = mean("spiking-ac").zip(mean(g.versus)).map(|(a, b)| percent(a, b));
                let text =
                    |x: Option<f64>| x.filter(|x| x.is_finite()).map_or("-".into(), |x| format!("{x:.2}"));
                vec![
                    g.figure.to_string(),
                    g.quantity.name().to_string(),
                    code(g.versus),
                    format!("{}", g.p_max_dbm),
                    format!("{}", g.percent),
                    text(own),
                    text(ours),
                ]
            })
            .collect();
        let header = [
            "figure",
            "quantity",
            "against",
            "P_max (dBm)",
            "paper (%)",
            "paper's values give (%)",
            "ours (%)",
        ];
        out.push_str(&table(&header, 3, &rows));

        out.push_str("Energy factors that the paper prints. The rows of this report carry no energy, so nothing of ours stands here:\n\n");
        let rows: Vec<Vec<String>> = paper::ENERGY
            .iter()
            .map(|e| {
                let versus: Vec<String> = e.versus.iter().map(|a| code(a)).collect();
                vec![
                    e.figure.to_string(),
                    format!("energy per {}", e.what),
                    listed(&versus),
                    format!("{}", e.factor),
                    "-".to_string(),
                ]
            })
            .collect();
        out.push_str(&table(&["figure", "quantity", "less than", "paper (×)", "ours (×)"], 3, &rows));
    }

    fn write_claims(&self, out: &mut String, judgements: &[Judgement]) {
        out.push_str("## Which claims of the paper hold\n\n");
        out.push_str(
            "One agent counts as above another if its 95 % interval lies above the other's; where they overlap the comparison stays open. \
             Simple references are not among the paper's agents and are not part of these claims.\n\n",
        );
        let rows: Vec<Vec<String>> = paper::CLAIMS
            .iter()
            .zip(judgements)
            .map(|((claim, figure, text), j)| {
                debug_assert_eq!(*claim, j.claim);
                vec![figure.to_string(), text.to_string(), j.verdict.text().to_string(), j.evidence.clone()]
            })
            .collect();
        out.push_str(&table(&["figure", "claim", "here", "numbers"], 4, &rows));
    }

    fn write_simple(&self, out: &mut String) {
        out.push_str("## Simple references against the learned agents\n\n");
        let Some(p) = self.headline_dbm else {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        };
        let learned: Vec<(&str, Estimate)> =
            LEARNED.iter().filter_map(|a| Some((*a, self.quantity(a, Quantity::SumRate, p)?))).collect();
        if learned.is_empty() {
            let _ = writeln!(out, "No learned agent is evaluated at {p} dBm in this run.\n");
        }
        for agent in SIMPLE {
            let Some(own) = self.quantity(agent, Quantity::SumRate, p) else { continue };
            let printed = match (View::printed_rate("spiking-ac"), p == HEADLINE_DBM) {
                (Some(value), true) if own.mean > value => {
                    format!(", above the {value} bps/Hz printed for Spiking-AC ({})", times(own.mean / value))
                }
                (Some(value), true) => format!(", not above the {value} bps/Hz printed for Spiking-AC"),
                _ => String::new(),
            };
            let _ = write!(out, "- {} has {} bps/Hz at {p} dBm{printed}. ", code(agent), own.short());
            let told = |with: Order, words: &str| -> Option<String> {
                let those: Vec<String> = learned
                    .iter()
                    .filter(|(_, e)| order(&own, e) == with)
                    .map(|(id, e)| {
                        let gap = own.mean - e.mean;
                        let size = format!("{} bps/Hz", num(gap.abs()));
                        let ratio = times(own.mean / e.mean);
                        match with {
                            Order::Level if gap < 0.0 => format!("{} (mean {size} lower, {ratio})", code(id)),
                            Order::Level => format!("{} (mean {size} higher, {ratio})", code(id)),
                            Order::Above | Order::Below => format!("{} by {size} ({ratio})", code(id)),
                        }
                    })
                    .collect();
                let all = if those.len() == learned.len() && those.len() > 1 {
                    "every learned agent: "
                } else {
                    ""
                };
                (!those.is_empty()).then(|| format!("{words} {all}{}.", listed(&those)))
            };
            let parts = [
                told(Order::Above, "It beats"),
                told(Order::Level, "Its interval overlaps that of"),
                told(Order::Below, "It is beaten by"),
            ];
            let _ = writeln!(out, "{}", parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
        let absent = self.missing(&SIMPLE);
        if !absent.is_empty() {
            let _ = writeln!(out, "- Not in this run: {}.", listed(&absent));
        }
        out.push('\n');
        let quantities = [Quantity::SumRate, Quantity::AngleRmse, Quantity::DistanceRmse];
        let rows: Vec<Vec<String>> = SIMPLE
            .iter()
            .filter(|a| self.has(a))
            .map(|agent| {
                let mut row = vec![code(agent)];
                for q in quantities {
                    let (own, best) = (self.quantity(agent, q, p), self.best_learned(q, p));
                    row.push(own.map_or("-".into(), |e| num(e.mean)));
                    row.push(own.zip(best).map_or("-".into(), |(o, (_, b))| times(o.mean / b.mean)));
                }
                row
            })
            .collect();
        if !rows.is_empty() && !learned.is_empty() {
            let best: Vec<String> = quantities
                .iter()
                .filter_map(|q| {
                    let (agent, e) = self.best_learned(*q, p)?;
                    Some(format!("{} {} {} ({})", q.name(), num(e.mean), q.unit(), code(agent)))
                })
                .collect();
            let _ = writeln!(
                out,
                "Best learned agent of this run at {p} dBm: {}. Each reference over it:\n",
                best.join(", ")
            );
            let header = [
                "reference",
                "sum-rate (bps/Hz)",
                "over best",
                "angle RMSE (rad)",
                "over best",
                "distance RMSE (m)",
                "over best",
            ];
            out.push_str(&table(&header, 1, &rows));
        }
    }

    /// The best learned agent against `genie` and `upper-bound`, and whether the bound is kept.
    fn bound_sentences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(p) = self.headline_dbm else { return lines };
        if let Some((agent, best)) = self.best_learned(Quantity::SumRate, p) {
            let against = |reference: &str| {
                let rate = self.quantity(reference, Quantity::SumRate, p)?.mean;
                Some(format!(
                    "{:.1} % of {} ({} bps/Hz)",
                    100.0 * best.mean / rate,
                    code(reference),
                    num(rate)
                ))
            };
            let told: Vec<String> = [GENIE, BOUND].iter().filter_map(|r| against(r)).collect();
            if !told.is_empty() {
                lines.push(format!(
                    "The best learned agent at {p} dBm, {} with {} bps/Hz, has {}.",
                    code(agent),
                    num(best.mean),
                    listed(&told)
                ));
            }
        }
        if self.has(BOUND) {
            let mut compared = 0;
            let mut broken: Vec<String> = Vec::new();
            for &p in &self.powers_dbm {
                let Some(bound) = self.quantity(BOUND, Quantity::SumRate, p) else { continue };
                for agent in self.ids().filter(|a| *a != BOUND) {
                    let Some(own) = self.quantity(agent, Quantity::SumRate, p) else { continue };
                    compared += 1;
                    if own.mean > bound.mean {
                        let what = format!("{} {} against {}", code(agent), num(own.mean), num(bound.mean));
                        broken.push(format!("{what} at {p} dBm"));
                    }
                }
            }
            if !broken.is_empty() {
                lines.push(format!(
                    "**`upper-bound` is exceeded, which must not happen and means an error in the physics or a bound evaluated on other \
                     episodes: {}.**",
                    broken.join("; ")
                ));
            } else if compared > 0 {
                lines.push(format!("No agent exceeds `upper-bound` at any power ({compared} comparisons)."));
            }
        }
        lines
    }

    fn write_distance(&self, out: &mut String) {
        let Some(p) = self.headline_dbm else { return };
        let _ = writeln!(out, "## Distance to `genie` and `upper-bound` at {p} dBm\n");
        let rate = |agent: &str| self.quantity(agent, Quantity::SumRate, p);
        let (genie, bound) = (rate(GENIE), rate(BOUND));
        let rows: Vec<Vec<String>> = self
            .ids()
            .filter_map(|agent| {
                let own = rate(agent)?;
                let mut row = vec![code(agent), num(own.mean)];
                for reference in [genie, bound] {
                    row.push(reference.map_or("-".into(), |r| format!("{:.1}", 100.0 * own.mean / r.mean)));
                    row.push(reference.map_or("-".into(), |r| num(r.mean - own.mean)));
                }
                Some(row)
            })
            .collect();
        if rows.is_empty() {
            out.push_str("No evaluated sum-rate in this run.\n\n");
            return;
        }
        let header = [
            "agent",
            "sum-rate (bps/Hz)",
            "of `genie` (%)",
            "short of it (bps/Hz)",
            "of `upper-bound` (%)",
            "short of it (bps/Hz)",
        ];
        out.push_str(&table(&header, 1, &rows));
        for line in self.bound_sentences() {
            let _ = writeln!(out, "{line}\n");
        }
    }

    fn write_training(&self, out: &mut String) {
        if self.learning.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = self
            .learning
            .iter()
            .map(|l| {
                vec![
                    code(&l.agent),
                    l.updates.to_string(),
                    format!("{:.0}", l.steps_per_update),
                    l.env_steps.to_string(),
                    num(l.first.mean),
                    num(l.last.mean),
                    l.last.interval_text(),
                    self.steps_to_common(l).map_or("-".into(), |s| format!("{s:.0}")),
                ]
            })
            .collect();
        let goal =
            self.common_reward().map_or("a common reward".to_string(), |g| format!("reward {}", num(g)));
        let goal = format!("steps to {goal}");
        let header = [
            "agent",
            "updates",
            "steps per update",
            "environment steps per seed",
            "first reward",
            "last reward",
            "95 % interval",
            &goal,
        ];
        out.push_str(&table(&header, 1, &rows));
    }

    fn write_grids(&self, out: &mut String) {
        out.push_str("## All agents over P_max\n\n");
        if self.powers_dbm.is_empty() {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        }
        out.push_str("Mean over seeds, with the 95 % interval in brackets.");
        if self.cells.iter().any(|c| c.estimate.seeds == 1) {
            out.push_str(" A value without brackets is of one seed: no interval.");
        }
        out.push_str("\n\n");
        let plain = |e: Estimate| e;
        let root = |e: Estimate| e.map(f64::sqrt);
        type Change = fn(Estimate) -> Estimate;
        let grids: [(&str, &str, Change); 8] = [
            ("Mean sum-rate (bps/Hz)", "sum_rate_bps_hz", plain),
            ("Angle RMSE (rad)", "angle_mse_rad2", root),
            ("√CRLB of the angle (rad)", "angle_crlb_rad2", root),
            ("Distance RMSE (m)", "distance_mse_m2", root),
            ("√CRLB of the distance (m)", "distance_crlb_m2", root),
            ("Jain index", "jain", plain),
            ("Share of slots within the sensing limits of (27)", "indicator_share", plain),
            ("Reward per slot (bps/Hz)", "reward", plain),
        ];
        for (title, metric, change) in grids {
            let rows: Vec<Vec<String>> = self
                .ids()
                .filter(|a| self.powers_dbm.iter().any(|&p| self.metric(a, metric, p).is_some()))
                .map(|agent| {
                    let value =
                        |&p: &f64| self.metric(agent, metric, p).map_or("-".into(), |e| change(e).short());
                    [code(agent)].into_iter().chain(self.powers_dbm.iter().map(value)).collect()
                })
                .collect();
            let _ = writeln!(out, "### {title}\n");
            if rows.is_empty() {
                out.push_str("Not in this run.\n\n");
                continue;
            }
            let powers: Vec<String> = self.powers_dbm.iter().map(|p| format!("{p} dBm")).collect();
            let header: Vec<&str> = ["agent"].into_iter().chain(powers.iter().map(String::as_str)).collect();
            out.push_str(&table(&header, 1, &rows));
        }
    }

    fn write_variants(&self, out: &mut String) {
        let mut other: Vec<(&str, &str, &str, f64)> = Vec::new();
        for c in &self.cells {
            let main = c.kinematics == self.kinematics
                && self.agents.iter().any(|(id, beam)| *id == c.agent && *beam == c.beam);
            let key = (c.agent.as_str(), c.beam.as_str(), c.kinematics.as_str(), c.p_max_dbm);
            if !main && !other.contains(&key) {
                other.push(key);
            }
        }
        if other.is_empty() {
            return;
        }
        other.sort_by(|a, b| (rank(a.0), a.1, a.2).cmp(&(rank(b.0), b.1, b.2)).then(a.3.total_cmp(&b.3)));
        out.push_str("## Other variants in this run\n\n");
        let rows: Vec<Vec<String>> = other
            .iter()
            .map(|&(agent, beam, kin, p)| {
                let get = |metric: &str| {
                    let found = |c: &&Cell| {
                        (c.agent.as_str(), c.beam.as_str(), c.kinematics.as_str(), c.metric.as_str())
                            == (agent, beam, kin, metric)
                            && c.p_max_dbm == p
                    };
                    self.cells.iter().find(found).map(|c| c.estimate)
                };
                let root = |metric: &str| get(metric).map_or("-".into(), |e| e.map(f64::sqrt).short());
                vec![
                    code(agent),
                    format!("`{beam}`"),
                    format!("`{kin}`"),
                    format!("{p}"),
                    get("sum_rate_bps_hz").map_or("-".into(), |e| e.short()),
                    root("angle_mse_rad2"),
                    root("distance_mse_m2"),
                ]
            })
            .collect();
        let header = [
            "agent",
            "beam",
            "kinematics",
            "P_max (dBm)",
            "sum-rate (bps/Hz)",
            "angle RMSE (rad)",
            "distance RMSE (m)",
        ];
        out.push_str(&table(&header, 3, &rows));
    }

    fn write_method(&self, out: &mut String) {
        let fewest = self.cells.iter().map(|c| c.estimate.seeds).filter(|n| *n > 1).min();
        let _ = writeln!(
            out,
            "## How the numbers are made\n\n\
             - Intervals are 95 % percentile bootstrap intervals of the mean over seeds, {RESAMPLES} resamples, the same resamples for all \
             quantities. They tell the spread between trainings, not between episodes.{}\n\
             - An RMSE is the square root of the mean square error over episodes, vehicles, slots and seeds; its interval is the square root \
             of that mean's interval. √CRLB likewise.\n\
             - \"After training\" is the mean over the last {:.0} % of a run's updates.\n\
             - Printed values come from the text of the paper; its figures are not read off.\n\
             - `-` stands for what this run does not have. The rows are beside this page as Parquet.\n",
            match fewest {
                Some(n) if n < 5 =>
                    format!(" With {n} seeds such an interval is too narrow; take it as a hint."),
                _ => String::new(),
            },
            100.0 * LAST_SHARE
        );
    }
}

/// Averages a curve over spans of updates and over seeds. `None` without a point.
fn learning_curve(
    agent: &str,
    groups: &[&SeedGroup<u32>],
    env_steps: u64,
    resamples: &Resamples,
) -> Option<Learning> {
    let last_update = groups.last()?.key;
    let span_mean = |part: &[&SeedGroup<u32>]| {
        let mut by_seed: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for g in part {
            for (seed, value) in g.seeds.iter().zip(&g.values) {
                by_seed.entry(*seed).or_default().push(*value);
            }
        }
        resamples.estimate(&by_seed.values().map(|v| stats::mean(v)).collect::<Vec<_>>())
    };
    let span = groups.len().div_ceil(CURVE_POINTS);
    let middle = |part: &[&SeedGroup<u32>]| {
        let (first, last) = (part[0].key, part[part.len() - 1].key);
        f64::from(first) + f64::from(last - first) / 2.0
    };
    let curve = groups.chunks(span).map(|part| (middle(part), span_mean(part))).collect();
    let tenth = ((groups.len() as f64 * LAST_SHARE).ceil() as usize).max(1);
    Some(Learning {
        agent: agent.to_string(),
        curve,
        span,
        updates: groups.len(),
        steps_per_update: env_steps as f64 / (f64::from(last_update) + 1.0),
        env_steps,
        first: span_mean(&groups[..1]),
        last: span_mean(&groups[groups.len() - tenth..]),
    })
}

fn write_manifest(out: &mut String, m: &Manifest) {
    out.push_str("## The run\n\n");
    let or_dash = |x: &Option<String>| x.clone().unwrap_or_else(|| "-".into());
    let seeds: Vec<String> = m.seeds.iter().map(u32::to_string).collect();
    let revision = match (&m.git_revision, m.git_dirty) {
        (Some(r), Some(true)) => format!("{r}, with local changes"),
        (Some(r), Some(false)) => r.clone(),
        (Some(r), None) => format!("{r}, local changes unknown"),
        (None, _) => "-".to_string(),
    };
    let rows: Vec<Vec<String>> = [
        ("command", format!("`{}`", m.command)),
        ("task", m.task.clone()),
        ("agents", m.agents.join(", ")),
        ("seeds", seeds.join(", ")),
        ("device", m.device.clone()),
        ("driver", or_dash(&m.driver)),
        ("backend", m.backend.clone()),
        ("revision", revision),
        ("crate version", m.crate_version.clone()),
        ("system", m.os.clone()),
        ("CPU", or_dash(&m.cpu_model)),
        ("CPU cores", m.cpu_cores.map_or("-".into(), |n| n.to_string())),
        ("vector instructions", m.simd.clone()),
        ("started (UTC)", or_dash(&m.started_utc)),
        ("wall time (s)", m.wall_s.map_or("-".into(), |s| format!("{s:.1}"))),
    ]
    .map(|(name, value)| vec![name.to_string(), value])
    .to_vec();
    out.push_str(&table(&["", ""], 2, &rows));
    // The fence is longer than any run of backticks in the text, so the text cannot end it.
    let longest = m.config.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "Configuration:\n\n{fence}toml\n{}\n{fence}", m.config.trim_end());
}
