//! The report of task v2x: every figure and table of the Spiking-AC paper that a run's rows can answer, beside the
//! printed values.
//!
//! No outcome is written down here: each sentence is chosen, and each number filled in, from the rows.

mod claims;
mod energy;
pub mod experiments;
mod figures;
mod text;

use super::paper::{self, Claim, HEADLINE_DBM, LEAD_SLOTS, PEAK_SLOTS, Quantity};
use crate::num::stats::{self, RESAMPLES, once};
use crate::num::text::seeds_in_words;
use crate::report::figure::{
    Bar, Bars, Figure, Look, Note, PaperMark, Picture, Plate, Point, Reach, Series, Shape, Swatch, extent,
};
use crate::report::judge::*;
use crate::report::opening::{Number, fold, write_opening};
use crate::report::words::*;
use crate::report::{Judged, ReportError, ReportPaths, Tables};
use crate::run::health::{self, Ill};
use crate::run::rows::{ActivityRow, CurveRow, ELSEWHERE, EvalRow, Key, Manifest, Rows, Schema};
use crate::run::task::Task;
use crate::tasks::v2x::agents::BEYOND;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::overhead::{NET_RATE, OVERHEAD_SHARE};
use crate::tasks::v2x::rows::{BEAM, ERRORS, KINEMATICS, SCHEMA, VARIANT};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Agents of the task in the order of every table: id and what it does.
const AGENTS: [(&str, &str); 17] = [
    ("spiking-ac", "PPO with spiking actor and critic"),
    ("ppo", "PPO with tanh networks"),
    ("ddpg", "deterministic actor with replay"),
    ("dqn", "discrete beams and powers with replay"),
    ("apg", "tanh network by the gradient of its slots"),
    ("spiking-apg", "spiking network by the gradient of its slots"),
    ("random", "random beams and powers"),
    ("last-estimate", "steers at the last estimate, equal power"),
    ("ekf", "steers at the prediction of an extended Kalman filter, equal power"),
    ("ukf", "steers at the prediction of an unscented Kalman filter, equal power"),
    ("ekf-zf", "zero-forcing at the prediction of `ekf`, water-filled power"),
    ("beam-training", "sweeps a codebook with pilots, equal power"),
    ("two-stage", "steers at the last echo one slot on, after pilots and reports, equal power"),
    ("channel-history", "extrapolates the angles of uplink pilots, equal power"),
    ("genie", "steers at the true angle, equal power"),
    ("genie-zf", "zero-forcing at the true angles, water-filled power"),
    ("upper-bound", "every vehicle without interference, water-filled power: no agent can exceed it"),
];
/// Their colours and markers: colours of Okabe and Ito, with some of Paul Tol's.
pub static PALETTE: &[Swatch] = &[
    Swatch::new("spiking-ac", (0xD5, 0x5E, 0x00), Shape::Circle),
    Swatch::new("ppo", (0x00, 0x72, 0xB2), Shape::Square),
    Swatch::new("ddpg", (0x00, 0x9E, 0x73), Shape::Up),
    Swatch::new("dqn", (0xCC, 0x79, 0xA7), Shape::Diamond),
    Swatch::new("apg", (0x99, 0x99, 0x33), Shape::Right),
    Swatch::new("spiking-apg", (0xAA, 0x44, 0x99), Shape::Left),
    Swatch::new("random", (0x8A, 0x8A, 0x8A), Shape::Down),
    Swatch::new("last-estimate", (0xE6, 0x9F, 0x00), Shape::Plus),
    Swatch::new("ekf", (0x56, 0xB4, 0xE9), Shape::Cross),
    Swatch::new("ukf", (0xDD, 0xAA, 0x33), Shape::Star6),
    Swatch::new("ekf-zf", (0x11, 0x77, 0x33), Shape::Hexagon),
    Swatch::new("beam-training", (0x66, 0x11, 0x00), Shape::Star3),
    Swatch::new("two-stage", (0xCC, 0x66, 0x77), Shape::Star4),
    Swatch::new("channel-history", (0x44, 0xAA, 0x99), Shape::Star5),
    Swatch::new("genie", (0x33, 0x22, 0x88), Shape::Pentagon),
    Swatch::new("genie-zf", (0x88, 0x22, 0x55), Shape::Star),
    Swatch::new("upper-bound", (0x00, 0x00, 0x00), Shape::None),
];
const LEARNED: [&str; 4] = ["spiking-ac", "ppo", "ddpg", "dqn"];
/// References that need no training and could stand in for a learned agent, or show what perfect knowledge gives.
const SIMPLE: [&str; 7] = ["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf"];
/// Rules that could be built, and whose operations are counted.
const COUNTED: [&str; 7] =
    ["last-estimate", "ekf", "ukf", "ekf-zf", "beam-training", "two-stage", "channel-history"];
const GENIE: &str = "genie";
const BOUND: &str = "upper-bound";
/// Preferred variant of the main tables and figures.
const MAIN_BEAM: &str = "angles";
const MAIN_KINEMATICS: &str = "paper";
/// Places among the means of a slot, and among those of a curve.
const SLOT_RATE: usize = Schema::place(SCHEMA.slots, "sum_rate_bps_hz");
const SLOT_ANGLE: usize = Schema::place(SCHEMA.slots, "angle_mse_rad2");
const SLOT_DISTANCE: usize = Schema::place(SCHEMA.slots, "distance_mse_m2");
const SLOT_POINTING: usize = Schema::place(SCHEMA.slots, "pointing_mse_rad2");
const CURVE_REWARD: usize = Schema::place(SCHEMA.curve, "reward");

/// Points of a drawn learning curve; longer ones are averaged over spans of updates.
const CURVE_POINTS: usize = 200;
/// Share of a run's updates, at its end, that counts as "after training".
const LAST_SHARE: f64 = 0.1;

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` to `dir`, which is created if it is not there.
///
/// Rows may come in any order and may lack agents, powers or whole tables; the report says what is missing. A figure
/// without rows is not drawn, and one of an earlier report in `dir` is removed.
///
/// # Errors
/// [`ReportError::DuplicateRow`] if two rows have the same keys, before anything is written; else what the file system,
/// polars or plotters refuse.
pub fn write(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let view = View::new(rows);
    let plates = view.plates();
    tables.pages(TITLE, Plate::svgs(&plates)?, |drawn| view.markdown(&plates, drawn, manifest))
}

/// Every claim of the paper, judged from rows in one mode.
pub fn claims(rows: &Rows) -> Vec<Judged> {
    let view = View::of(rows);
    let judged = |(claim, place, text): &(Claim, &'static str, &'static str)| {
        let Judgement { verdict, evidence, .. } = view.judge(*claim);
        Judged {
            place,
            text,
            basis: claim.basis().text(),
            needs: claim.agents(),
            beyond: claim.beyond(),
            verdict,
            evidence,
        }
    };
    paper::CLAIMS.iter().map(judged).collect()
}

const TITLE: &str = "Spiking-AC (task v2x): this run beside the printed results";

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

/// Energies of one agent by one account, one value per seed, networks added.
struct Group {
    agent: String,
    stage: String,
    method: String,
    constants: String,
    values: Vec<f64>,
    reason: String,
}

/// Energies and activity of the variant and power that are shown.
struct Energies {
    groups: Vec<Group>,
    activity: Vec<ActivityRow>,
    p_max_dbm: Option<f64>,
}

/// Everything the text is made from: estimates over seeds of the variant that is reported.
struct View {
    resamples: Resamples,
    cells: Vec<Cell>,
    /// By (slot, place among the means of a slot).
    slots: Vec<SeedGroup<(u32, usize)>>,
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
    /// What is wrong with the trainings behind these.
    ill: Vec<Ill>,
    energy: Energies,
    /// In the order of the tables, factors ascending.
    tolerated: Vec<Tolerated>,
    /// The same weights in the other mode, if there are rows of it.
    other: Option<Box<OtherView>>,
}

/// What an agent does with more errors in its echoes than it was trained with.
struct Tolerated {
    agent: String,
    factor: f64,
    p_max_dbm: f64,
    /// Sum-rate over that without the factor, seed by seed.
    share: Estimate,
    distance_rmse_m: f64,
}

/// What the agents do in the mode that is not the page's.
struct OtherView {
    mode: &'static str,
    /// Those that decide otherwise in it.
    agents: BTreeSet<String>,
    view: View,
}

/// 40 dBm if it is there, else the highest.
fn headline(powers: &[f64]) -> Option<f64> {
    powers.iter().copied().find(|p| *p == HEADLINE_DBM).or(powers.last().copied())
}

/// Whether a row is of no experiment.
fn is_plain(key: &Key) -> bool {
    key.labels[VARIANT].is_empty()
}

impl View {
    fn new(rows: &Rows) -> View {
        let other = rows.other_mode().map(|mode| {
            let (agents, view) = (rows.in_two_modes(), View::of(&rows.in_mode(true)));
            Box::new(OtherView { mode, agents, view })
        });
        View { other, ..View::of(&rows.in_mode(false)) }
    }

    /// Of rows in one mode.
    fn of(rows: &Rows) -> View {
        let evals = seed_groups(rows.evals.iter().map(|r| (&r.key, r.metric.clone(), r.mean)));
        let columns = |r| std::iter::repeat(r).zip(0..SCHEMA.slots.len());
        let of_slots = rows.slots.iter().flat_map(columns);
        let slots = seed_groups(of_slots.filter_map(|(r, i)| Some((&r.key, (r.slot, i), *r.values.get(i)?))));
        let curves = seed_groups(rows.curves.iter().map(|r| (&r.key, r.update, r.slots[CURVE_REWARD])));
        let resamples = Resamples::default();
        let variants: BTreeSet<(String, String, String)> = {
            let of = |a: &String, l: &[String]| (a.clone(), l[BEAM].clone(), l[KINEMATICS].clone());
            let evals = evals.iter().map(|g| of(&g.agent, &g.labels));
            let slots = slots.iter().map(|g| of(&g.agent, &g.labels));
            let curves = curves.iter().map(|g| of(&g.agent, &g.labels));
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
                beam: g.labels[BEAM].clone(),
                kinematics: g.labels[KINEMATICS].clone(),
                p_max_dbm: g.at,
                metric: g.key,
            })
            .collect();
        let is_main = |agent: &str, beam: &str, kin: &str| {
            kin == kinematics && agents.iter().any(|(id, b)| id == agent && b == beam)
        };
        let shown = |agent: &str, labels: &[String]| is_main(agent, &labels[BEAM], &labels[KINEMATICS]);
        let powers_dbm =
            distinct(cells.iter().filter(|c| is_main(&c.agent, &c.beam, &c.kinematics)).map(|c| c.p_max_dbm));
        let slots: Vec<_> = slots.into_iter().filter(|g| shown(&g.agent, &g.labels)).collect();
        let curves: Vec<_> = curves.into_iter().filter(|g| shown(&g.agent, &g.labels)).collect();
        let slot_dbm = headline(&distinct(slots.iter().map(|g| g.at)));
        let curve_dbm = headline(&distinct(curves.iter().map(|g| g.at)));
        let learning = agents
            .par_iter()
            .filter_map(|(id, _)| {
                let mine: Vec<_> =
                    curves.iter().filter(|g| g.agent == *id && Some(g.at) == curve_dbm).collect();
                let same = |r: &&CurveRow| {
                    let k = &r.key;
                    k.agent == *id && is_plain(k) && shown(id, &k.labels) && Some(k.at) == curve_dbm
                };
                let env_steps = rows.curves.iter().filter(same).map(|r| r.env_steps).max()?;
                learning_curve(id, &mine, env_steps, &resamples)
            })
            .collect();
        let reported = rows.curves.iter().filter(|r| is_plain(&r.key) && shown(&r.key.agent, &r.key.labels));
        let ill = health::by_agent(reported, &rows.activity, &SCHEMA);
        let headline_dbm = headline(&powers_dbm);
        let energy = View::energies(rows, &|k| is_plain(k) && shown(&k.agent, &k.labels));
        let tolerated = tolerated(rows, &|k| shown(&k.agent, &k.labels), &resamples);
        View {
            energy,
            tolerated,
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
            ill,
            other: None,
        }
    }

    /// Every agent with the view that its numbers are of and how it is called; those that can decide in two ways twice.
    fn in_all_modes(&self) -> Vec<(String, &View, &str)> {
        let mut out = Vec::new();
        for agent in self.ids() {
            out.push((code(agent), self, agent));
            if let Some(o) = self.other.as_ref().filter(|o| o.agents.contains(agent)) {
                out.push((format!("{} {}", code(agent), o.mode), &o.view, agent));
            }
        }
        out
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

    /// (slot, estimate) of one agent at the power of figure 5a, ascending, of a column of [`SCHEMA`]'s slots.
    fn slot_curve(&self, agent: &str, column: usize) -> Vec<(u32, Estimate)> {
        let mine = self.slots.iter().filter(|g| g.agent == agent && Some(g.at) == self.slot_dbm);
        let of_column = mine.filter(|g| g.key.1 == column);
        of_column.map(|g| (g.key.0, self.resamples.estimate(&g.values))).collect()
    }

    /// Mean sum-rate over the slots that `inside` takes, per seed, then over seeds.
    fn slot_mean(&self, agent: &str, inside: impl Fn(u32) -> bool) -> Option<Estimate> {
        let here = |g: &&SeedGroup<(u32, usize)>| {
            g.agent == agent && Some(g.at) == self.slot_dbm && g.key.1 == SLOT_RATE && inside(g.key.0)
        };
        let values = seed_values(self.slots.iter().filter(here));
        (!values.is_empty()).then(|| self.resamples.estimate(&values))
    }
}

/// The values of one quantity over the seeds of one run and power.
struct SeedGroup<K> {
    agent: String,
    labels: Vec<String>,
    at: f64,
    /// What tells the groups of one run and power apart: metric, slot or update.
    key: K,
    /// Ascending, with a value each.
    seeds: Vec<u32>,
    values: Vec<f64>,
}

/// Groups of (run, key, value), in the order of agent, labels, power and key. Rows of an experiment's variants lie
/// beside these in Parquet, not on this page; a seed without a value has no say.
fn seed_groups<'a, K: Ord + Clone>(rows: impl Iterator<Item = (&'a Key, K, f64)>) -> Vec<SeedGroup<K>> {
    let mut rows: Vec<_> = rows.filter(|(run, _, value)| is_plain(run) && !value.is_nan()).collect();
    let order = |(a, x, _): &(&Key, K, f64), (b, y, _): &(&Key, K, f64)| {
        (&a.agent, &a.labels).cmp(&(&b.agent, &b.labels)).then(a.at.total_cmp(&b.at)).then(x.cmp(y))
    };
    rows.sort_by(|a, b| order(a, b).then(a.0.seed.cmp(&b.0.seed)));
    let group = |rows: &[(&Key, K, f64)]| {
        let (run, key, _) = &rows[0];
        SeedGroup {
            agent: run.agent.clone(),
            labels: run.labels.clone(),
            at: run.at,
            key: key.clone(),
            seeds: rows.iter().map(|r| r.0.seed).collect(),
            values: rows.iter().map(|r| r.2).collect(),
        }
    };
    rows.chunk_by(|a, b| order(a, b).is_eq()).map(group).collect()
}

/// What the agents that are `shown` keep with each factor of the echo's errors, at the highest power of these rows.
fn tolerated(rows: &Rows, shown: &dyn Fn(&Key) -> bool, resamples: &Resamples) -> Vec<Tolerated> {
    let factor = |k: &Key| -> Option<f64> {
        k.labels[VARIANT].strip_prefix(ELSEWHERE)?.strip_prefix(ERRORS)?.parse().ok()
    };
    let with: Vec<(f64, &EvalRow)> =
        rows.evals.iter().filter(|r| shown(&r.key)).filter_map(|r| Some((factor(&r.key)?, r))).collect();
    let Some(p_max_dbm) = distinct(with.iter().map(|(_, r)| r.key.at)).last().copied() else {
        return Vec::new();
    };
    let plain: BTreeMap<(&str, &[String], u32), f64> = rows
        .evals
        .iter()
        .filter(|r| is_plain(&r.key) && r.key.at == p_max_dbm && r.metric == "sum_rate_bps_hz")
        .map(|r| ((r.key.agent.as_str(), &r.key.labels[..VARIANT], r.key.seed), r.mean))
        .collect();
    let mut agents: Vec<&str> = with.iter().map(|(_, r)| r.key.agent.as_str()).collect();
    agents.sort_by_key(|id| rank(id));
    agents.dedup();
    let of = |agent: &str, factor: f64| {
        let mine = |metric: &'static str| {
            let is = move |r: &&EvalRow| {
                (r.key.agent.as_str(), r.key.at, r.metric.as_str()) == (agent, p_max_dbm, metric)
            };
            with.iter().filter(|(x, _)| *x == factor).map(|(_, r)| *r).filter(is)
        };
        let share = |r: &EvalRow| {
            let whole = plain.get(&(agent, &r.key.labels[..VARIANT], r.key.seed))?;
            Some(r.mean / whole).filter(|x| x.is_finite())
        };
        let shares: Vec<f64> = mine("sum_rate_bps_hz").filter_map(share).collect();
        let squares: Vec<f64> = mine("distance_mse_m2").map(|r| r.mean).collect();
        (!shares.is_empty()).then(|| Tolerated {
            agent: agent.into(),
            factor,
            p_max_dbm,
            share: resamples.estimate(&shares),
            distance_rmse_m: stats::mean(&squares).sqrt(),
        })
    };
    let factors = distinct(with.iter().map(|(x, _)| *x));
    agents.into_iter().flat_map(|agent| factors.iter().filter_map(move |x| of(agent, *x))).collect()
}

/// Means of each seed over these groups.
fn seed_values<'a, K: 'a>(groups: impl Iterator<Item = &'a SeedGroup<K>>) -> Vec<f64> {
    let each = groups.flat_map(|g| g.seeds.iter().copied().zip(g.values.iter().copied()));
    seed_means(each).into_values().collect()
}

/// Averages a curve over spans of updates and over seeds. `None` without a point.
fn learning_curve(
    agent: &str,
    groups: &[&SeedGroup<u32>],
    env_steps: u64,
    resamples: &Resamples,
) -> Option<Learning> {
    let last_update = groups.last()?.key;
    let span_mean = |part: &[&SeedGroup<u32>]| resamples.estimate(&seed_values(part.iter().copied()));
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

/// A share of a slot.
fn percent_of_slot(share: f64) -> String {
    format!("{} %", num(100.0 * share))
}

/// Place in the tables; agents without one come last, by their id.
fn rank(agent: &str) -> (usize, String) {
    (AGENTS.iter().position(|a| a.0 == agent).unwrap_or(AGENTS.len()), agent.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_its_own_colour() {
        crate::report::figure::tell_apart(PALETTE);
        let known = crate::tasks::v2x::agents::AGENTS.iter().map(|a| a.id);
        assert!(
            known.clone().eq(AGENTS.iter().map(|a| a.0)),
            "tables and colours are in the order of the task"
        );
        assert!(known.eq(PALETTE.iter().map(|s| &*s.name)));
    }
}
