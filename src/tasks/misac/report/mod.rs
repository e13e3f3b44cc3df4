//! The report of task misac: every figure and printed number of the RL-H-MoE paper that a run's rows can answer, beside
//! the printed values, and what the paper lacks: the exact optimum, the best fixed camera period, and the energy of the
//! deciding networks.
//!
//! No outcome is written down here: each sentence is chosen, and each number filled in, from the rows. The one number
//! that is not of the rows is the energy of coin-flip scheduling, a closed form of the configuration in the manifest.

mod claims;
mod figures;
mod networks;
mod text;

use super::paper::{self, Claim, HEADLINE_SNR_DB, Printed};
use crate::config::Layered;
use crate::num::stats::RESAMPLES;
use crate::num::text::seeds_in_words;
use crate::report::figure::{
    Bar, Bars, Figure, Look, PaperMark, Picture, Plate, Point, Reach, Series, Shape, Swatch, extent,
};
use crate::report::judge::*;
use crate::report::opening::{Number, fold, write_opening};
use crate::report::words::*;
use crate::report::{Judged, ReportError, ReportPaths, Tables};
use crate::run::health::{self, Ill};
use crate::run::rows::{CurveRow, Key, Manifest, Rows, Schema, SlotRow};
use crate::run::task::Task;
use crate::tasks::misac::config::{MisacConfig, MisacTaskConfig};
use crate::tasks::misac::rows::{ALGORITHM, PHASE, SCHEMA, UNCERTAINTY, VARIANT};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Agents of the task in the order of every table: id and what it does.
const AGENTS: [(&str, &str); 8] = [
    (PROPOSED, "LSTM schedules cameras, a perceptron of its own sets phases; no gradient crosses"),
    (MASKED, "the same without the ages in its state"),
    (MONO, "one perceptron for both tasks, both losses through its trunk"),
    (HOMOGENEOUS, "two equal experts under a softmax gate, both losses shared"),
    (VISION, "every camera in every slot"),
    (RADAR, "no camera ever"),
    (PERIODIC, "best fixed camera period, staggered over vehicles"),
    (OPTIMUM, "exact optimum of the scheduling problem"),
];
/// Colours and markers of all agents; the bounds have no marker.
pub static PALETTE: &[Swatch] = &[
    Swatch::new("h-moe", (0xD5, 0x5E, 0x00), Shape::Circle),
    Swatch::new("h-moe-no-aoi", (0xCC, 0x79, 0xA7), Shape::Diamond),
    Swatch::new("ppo-mono", (0x00, 0x72, 0xB2), Shape::Square),
    Swatch::new("homogeneous-moe", (0x00, 0x9E, 0x73), Shape::Up),
    Swatch::new("vision-only", (0xE6, 0x9F, 0x00), Shape::Plus),
    Swatch::new("radar-only", (0x8A, 0x8A, 0x8A), Shape::Down),
    Swatch::new("best-periodic", (0x56, 0xB4, 0xE9), Shape::Cross),
    Swatch::new("dp-optimal", (0x00, 0x00, 0x00), Shape::None),
    Swatch::new("dp-causal", (0x88, 0x22, 0x55), Shape::Star),
    Swatch::new("dp-bound", (0x33, 0x22, 0x88), Shape::None),
];
/// Agents whose two losses meet in shared parameters.
const SHARED: [&str; 2] = [MONO, HOMOGENEOUS];
const PROPOSED: &str = "h-moe";
const MASKED: &str = "h-moe-no-aoi";
const MONO: &str = "ppo-mono";
const HOMOGENEOUS: &str = "homogeneous-moe";
const VISION: &str = "vision-only";
const RADAR: &str = "radar-only";
const PERIODIC: &str = "best-periodic";
const OPTIMUM: &str = "dp-optimal";
/// Under `kinematic` uncertainty: a dynamic program that knows what an agent observes.
const CAUSAL: &str = "dp-causal";
/// Lower bound on the cost under `kinematic` uncertainty, of a schedule that knows the trajectories.
const BOUND: &str = "dp-bound";

const CONSTANT: &str = "constant";
const KINEMATIC: &str = "kinematic";
const T_PROC: &str = "t_proc=";

const ENERGY: &str = "energy_j";
const COST: &str = "cost_j";
const OVER_GAMMA: &str = "share_over_gamma";
const MAE: &str = "mae_deg";
const FRAMES: &str = "frames_per_slot";
const OVER_AGE: &str = "share_over_age";
const SUM_RATE: &str = "sum_rate_bps_hz";
const BEAM_GAIN: &str = "beam_gain_share";
const ESTIMATE_GAIN: &str = "estimate_gain_share";
const TRUE_ANGLE_GAIN: &str = "true_angle_gain_share";

/// Places among the means of a curve, and among those of a slot.
const CURVE_REWARD: usize = Schema::place(SCHEMA.curve, "reward");
const CURVE_ENERGY: usize = Schema::place(SCHEMA.curve, ENERGY);
const CURVE_OVER_GAMMA: usize = Schema::place(SCHEMA.curve, OVER_GAMMA);
const SLOT_ENERGY: usize = Schema::place(SCHEMA.slots, ENERGY);
const SLOT_MAE: usize = Schema::place(SCHEMA.slots, MAE);

/// Points of a drawn curve; longer ones are averaged over spans of updates, or thinned out over slots.
const CURVE_POINTS: usize = 200;
/// Share of a run's updates, at its end, that counts as "after training".
const LAST_SHARE: f64 = 0.1;
/// What "about" and "nearly matching" allow here: the paper does not say.
const ABOUT: f64 = 0.1;
/// What "optimal" allows here: cost above that of `dp-optimal`, and slots over Γ_misa, %.
const OPTIMAL_GAP_PERCENT: f64 = 1.0;
const OPTIMAL_OVER_PERCENT: f64 = 0.5;
/// What "maximises the gain" allows here: at least this share of what steering at the estimated angle reaches.
const MAXIMAL_SHARE: f64 = 0.99;
/// What "stable" allows here: a cost above the lowest before, late in a training, %.
const RELAPSE_PERCENT: f64 = 10.0;

const TITLE: &str = "RL-H-MoE (task misac): this run beside the printed results";

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` to `dir`, which is created if it is not there.
///
/// Rows may come in any order and may lack agents, SNRs or whole tables; the report says what is missing. A figure
/// without rows is not drawn, and one of an earlier report in `dir` is removed.
///
/// # Errors
/// [`ReportError::DuplicateRow`] if two rows have the same keys, before anything is written; else what the file system,
/// polars or plotters refuse.
pub fn write(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let (own, other) = (rows.in_mode(false), rows.other_mode().map(|mode| (mode, rows.in_mode(true))));
    let mut view = View::new(&own, &manifest.config);
    view.other = other.as_ref().map(|(mode, other)| {
        let (agents, view) = (rows.in_two_modes(), View::new(other, &manifest.config));
        Box::new(OtherView { mode, agents, view })
    });
    let plates = view.plates();
    tables.pages(TITLE, Plate::svgs(&plates)?, |drawn| view.markdown(&plates, drawn, manifest))
}

/// Every claim of the paper, judged from rows in one mode.
pub fn claims(rows: &Rows, config: &str) -> Vec<Judged> {
    let view = View::new(rows, config);
    let judged = |(claim, place, text): &(Claim, &'static str, &'static str)| {
        let Judgement { verdict, evidence, .. } = view.judge(*claim);
        Judged {
            place,
            text,
            basis: claim.basis().text(),
            needs: claim.needs(),
            beyond: claim.beyond(),
            verdict,
            evidence,
        }
    };
    paper::CLAIMS.iter().map(judged).collect()
}

type BySeed = BTreeMap<u32, f64>;

/// One agent as it was configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    /// Place in the tables; agents without one come last.
    place: usize,
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
}

impl Run {
    fn of(key: &Key) -> Run {
        let label = |i: usize| key.labels[i].clone();
        Run {
            place: place(&key.agent),
            agent: key.agent.clone(),
            algorithm: label(ALGORITHM),
            phase: label(PHASE),
            uncertainty: label(UNCERTAINTY),
            variant: label(VARIANT),
        }
    }

    /// Whether a row of any of the tables is of this run.
    fn has(&self, key: &Key) -> bool {
        key.agent == self.agent
            && key.labels[ALGORITHM] == self.algorithm
            && key.labels[PHASE] == self.phase
            && key.labels[UNCERTAINTY] == self.uncertainty
            && key.labels[VARIANT] == self.variant
    }
}

fn place(agent: &str) -> usize {
    let known = AGENTS.iter().map(|(id, _)| *id).chain([CAUSAL, BOUND]);
    let len = known.clone().count();
    known.into_iter().position(|id| id == agent).unwrap_or(len)
}

/// One metric of one run at one SNR.
struct Cell {
    run: Run,
    snr_db: f64,
    metric: String,
    estimate: Estimate,
}

/// A learning curve: updates of one run at one SNR, averaged over spans.
struct Learning {
    run: Run,
    updates: usize,
    env_steps: u64,
    /// (environment steps at the end of the span, mean over seeds) of energy, cost and gradient cosine.
    energy: Vec<(f64, Estimate)>,
    cost: Vec<(f64, Estimate)>,
    cosine: Vec<(f64, Estimate)>,
    first_energy: Option<Estimate>,
    last_energy: Option<Estimate>,
    last_over_gamma: Option<Estimate>,
    /// Mean over the whole training.
    mean_cosine: Option<Estimate>,
}

/// Energy of one agent's networks by one method and set of constants, networks added.
struct Account {
    agent: String,
    method: String,
    constants: String,
    /// J per slot.
    seeds: BySeed,
    /// Networks that were added.
    networks: Vec<String>,
    reason: String,
}

/// Energies of the runs and the SNR that are shown.
#[derive(Default)]
struct Networks {
    accounts: Vec<Account>,
    snr_db: Option<f64>,
}

/// Everything the text is made from.
struct View<'a> {
    rows: &'a Rows,
    resamples: Resamples,
    /// Every run with an evaluation, slot or learning curve, in table order.
    runs: Vec<Run>,
    cells: Vec<Cell>,
    /// `constant`, unless the rows have no such run.
    uncertainty: String,
    /// Algorithm and meaning of the phases that is shown of the learned agents.
    recipe: (String, String),
    /// SNRs of the runs that are shown, ascending, dB.
    snrs_db: Vec<f64>,
    /// 10 dB, or what is nearest to it.
    headline_db: Option<f64>,
    slot_db: Option<f64>,
    curve_db: Option<f64>,
    learning: Vec<Learning>,
    /// What is wrong with the trainings that are shown.
    ill: Vec<Ill>,
    networks: Networks,
    /// The task as the manifest has it, if it does.
    task: Option<MisacTaskConfig>,
    /// The same weights in the other mode, if there are rows of it.
    other: Option<Box<OtherView<'a>>>,
}

/// What the agents do in the mode that is not the page's.
struct OtherView<'a> {
    mode: &'static str,
    /// Those that decide otherwise in it.
    agents: BTreeSet<String>,
    view: View<'a>,
}

/// The SNR of figures 3 and 4, or the nearest, dB.
fn headline(values: impl Iterator<Item = f64>) -> Option<f64> {
    let away = |x: f64| (x - HEADLINE_SNR_DB).abs();
    distinct(values).into_iter().min_by(|a, b| away(*a).total_cmp(&away(*b)))
}

/// Mean over seeds; `None` without a finite value.
fn over_seeds(resamples: &Resamples, seeds: &BySeed) -> Option<Estimate> {
    let values: Vec<f64> = seeds.values().copied().filter(|v| v.is_finite()).collect();
    (!values.is_empty()).then(|| resamples.estimate(&values))
}

/// Means per seed of (seed, value), of what is finite.
fn finite_means(values: impl Iterator<Item = (u32, f64)>) -> BySeed {
    seed_means(values.filter(|v| v.1.is_finite()))
}

impl<'a> View<'a> {
    fn new(rows: &'a Rows, config: &str) -> Self {
        let resamples = Resamples::default();
        type Group = (Run, u64, String);
        let mut groups: BTreeMap<Group, (f64, BySeed)> = BTreeMap::new();
        for r in &rows.evals {
            let key = (Run::of(&r.key), r.key.at.to_bits(), r.metric.clone());
            groups.entry(key).or_insert_with(|| (r.key.at, BySeed::new())).1.insert(r.key.seed, r.mean);
        }
        let cells: Vec<Cell> = groups
            .into_par_iter()
            .filter_map(|((run, _, metric), (snr_db, seeds))| {
                let estimate = over_seeds(&resamples, &seeds)?;
                Some(Cell { run, snr_db, metric, estimate })
            })
            .collect();
        let mut runs: Vec<Run> = cells.iter().map(|c| c.run.clone()).collect();
        // Rows come run by run, so that the last one is the likely match.
        for key in rows.curves.iter().map(|r| &r.key).chain(rows.slots.iter().map(|r| &r.key)) {
            if !runs.last().is_some_and(|run| run.has(key)) {
                runs.push(Run::of(key));
            }
        }
        runs.sort();
        runs.dedup();

        let plain = |r: &&Run| r.variant.is_empty();
        let constant = runs.iter().filter(plain).any(|r| r.uncertainty == CONSTANT);
        let uncertainty = match runs.iter().find(plain) {
            Some(r) if !constant => r.uncertainty.clone(),
            _ => CONSTANT.to_string(),
        };
        // The recipe with most rows; on a tie the later names, ppo and residual, those of the default preset.
        let mut recipes: BTreeMap<(String, String), usize> = BTreeMap::new();
        for run in runs.iter().filter(plain).filter(|r| !r.algorithm.is_empty()) {
            let cells = cells.iter().filter(|c| c.run == *run).count();
            *recipes.entry((run.algorithm.clone(), run.phase.clone())).or_default() += cells;
        }
        let recipe = recipes.into_iter().max_by_key(|(_, n)| *n).map(|(r, _)| r).unwrap_or_default();
        let task = MisacConfig::from_toml(config, "manifest.json").ok().map(|c| c.task);
        let mut view = View {
            rows,
            resamples,
            runs,
            cells,
            uncertainty,
            recipe,
            snrs_db: Vec::new(),
            headline_db: None,
            slot_db: None,
            curve_db: None,
            learning: Vec::new(),
            ill: Vec::new(),
            networks: Networks::default(),
            task,
            other: None,
        };
        let shown: Vec<Run> = view.shown().cloned().collect();
        view.snrs_db = distinct(view.cells.iter().filter(|c| shown.contains(&c.run)).map(|c| c.snr_db));
        view.headline_db = headline(view.snrs_db.iter().copied());
        view.slot_db =
            headline(rows.slots.iter().filter(|r| shown.iter().any(|s| s.has(&r.key))).map(|r| r.key.at));
        view.curve_db =
            headline(rows.curves.iter().filter(|r| shown.iter().any(|s| s.has(&r.key))).map(|r| r.key.at));
        view.learning = shown.iter().filter_map(|run| view.learned(run)).collect();
        let reported = rows.curves.iter().filter(|r| shown.iter().any(|s| s.has(&r.key)));
        view.ill = health::by_agent(reported, &rows.activity, &SCHEMA);
        view.networks = view.networks_of(&shown);
        view
    }

    /// The run of an agent in an uncertainty and variant; of several recipes the one that is shown.
    fn run(&self, agent: &str, uncertainty: &str, variant: &str) -> Option<&Run> {
        let mut mine = self
            .runs
            .iter()
            .filter(|r| r.agent == agent && r.uncertainty == uncertainty && r.variant == variant);
        let preferred = mine.clone().find(|r| (&r.algorithm, &r.phase) == (&self.recipe.0, &self.recipe.1));
        preferred.or_else(|| mine.next())
    }

    fn main(&self, agent: &str) -> Option<&Run> {
        self.run(agent, &self.uncertainty, "")
    }

    /// The runs of the main tables and figures, in table order.
    fn shown(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|r| self.main(&r.agent) == Some(*r))
    }

    /// Every agent with the view that its numbers are of and how it is called; those that can decide in two ways twice.
    fn in_all_modes(&self) -> Vec<(String, &View<'_>, &str)> {
        let mut out = Vec::new();
        for agent in self.ids() {
            out.push((code(agent), self, agent));
            if let Some(o) = self.other.as_ref().filter(|o| o.agents.contains(agent)) {
                out.push((format!("{} {}", code(agent), o.mode), &o.view, agent));
            }
        }
        out
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.shown().map(|r| r.agent.as_str())
    }

    fn has(&self, agent: &str) -> bool {
        self.main(agent).is_some()
    }

    fn missing(&self, wanted: &[&str]) -> Vec<String> {
        wanted.iter().filter(|a| !self.has(a)).map(|a| code(a)).collect()
    }

    fn cell(&self, run: &Run, metric: &str, snr_db: f64) -> Option<&Cell> {
        self.cells.iter().find(|c| c.metric == metric && c.snr_db == snr_db && c.run == *run)
    }

    fn metric_of(&self, run: &Run, metric: &str, snr_db: f64) -> Option<Estimate> {
        self.cell(run, metric, snr_db).map(|c| c.estimate)
    }

    fn metric(&self, agent: &str, metric: &str, snr_db: f64) -> Option<Estimate> {
        self.metric_of(self.main(agent)?, metric, snr_db)
    }

    /// Cost of (11): energy and penalty, J per slot. Where the rows lack it, the reward with its sign turned, or the
    /// value of a dynamic program.
    fn cost_of(&self, run: &Run, snr_db: f64) -> Option<Estimate> {
        self.metric_of(run, COST, snr_db)
            .or_else(|| self.metric_of(run, "reward", snr_db).map(|e| e.map_down(|r| -r)))
            .or_else(|| self.metric_of(run, "dp_value_j", snr_db))
    }

    fn cost(&self, agent: &str, snr_db: f64) -> Option<Estimate> {
        self.cost_of(self.main(agent)?, snr_db)
    }

    /// Cost of an agent above that of `dp-optimal`, % of the latter.
    fn gap_percent(&self, agent: &str, snr_db: f64) -> Option<Estimate> {
        let optimum = self.cost(OPTIMUM, snr_db)?.mean;
        Some(self.cost(agent, snr_db)?.map(|c| 100.0 * (c / optimum - 1.0)))
    }

    fn percent_over(&self, agent: &str, snr_db: f64) -> Option<Estimate> {
        self.metric(agent, OVER_GAMMA, snr_db).map(|e| e.map(|x| 100.0 * x))
    }

    /// Slots of one run at the SNR of figures 3 and 4, by seed, ascending.
    fn slots_of(&self, agent: &str) -> BTreeMap<u32, Vec<&SlotRow>> {
        let mut seeds: BTreeMap<u32, Vec<&SlotRow>> = BTreeMap::new();
        if let Some(run) = self.main(agent) {
            let mine = |r: &&SlotRow| Some(r.key.at) == self.slot_db && run.has(&r.key);
            for r in self.rows.slots.iter().filter(mine) {
                seeds.entry(r.key.seed).or_default().push(r);
            }
        }
        seeds.values_mut().for_each(|s| s.sort_by_key(|r| r.slot));
        seeds
    }

    /// Mean of a quantity from the first slot to each, since schedules zigzag from slot to slot; mean over seeds.
    fn over_slots(&self, agent: &str, value: fn(&SlotRow) -> f64) -> Vec<(f64, Estimate)> {
        let mut by_slot: BTreeMap<u32, BySeed> = BTreeMap::new();
        for (seed, slots) in self.slots_of(agent) {
            let (mut sum, mut n) = (0.0, 0.0);
            for r in slots.into_iter().filter(|r| value(r).is_finite()) {
                (sum, n) = (sum + value(r), n + 1.0);
                by_slot.entry(r.slot).or_default().insert(seed, sum / n);
            }
        }
        let every = by_slot.len().div_ceil(CURVE_POINTS).max(1);
        let last = by_slot.len().saturating_sub(1);
        let kept: Vec<(u32, BySeed)> = by_slot
            .into_iter()
            .enumerate()
            .filter(|(i, _)| i % every == 0 || *i == last)
            .map(|(_, slot)| slot)
            .collect();
        let point =
            |(slot, seeds): (u32, BySeed)| Some((f64::from(slot), over_seeds(&self.resamples, &seeds)?));
        kept.into_par_iter().filter_map(point).collect()
    }

    /// Mean over the slots in the part `from..to` of the episode, per seed, then over seeds.
    fn slot_mean(&self, agent: &str, value: fn(&SlotRow) -> f64, part: (f64, f64)) -> Option<Estimate> {
        let slots = self.slots_of(agent);
        let end = f64::from(slots.values().flatten().map(|r| r.slot).max()? + 1);
        let inside = |r: &&SlotRow| (part.0 * end..part.1 * end).contains(&f64::from(r.slot));
        let mine = slots.iter().flat_map(|(seed, s)| s.iter().map(move |r| (*seed, *r)));
        let means = finite_means(mine.filter(|(_, r)| inside(r)).map(|(seed, r)| (seed, value(r))));
        over_seeds(&self.resamples, &means)
    }

    /// `None` without a learning curve at the SNR that is shown.
    fn learned(&self, run: &Run) -> Option<Learning> {
        let mut updates: BTreeMap<u32, Vec<&CurveRow>> = BTreeMap::new();
        for r in self.rows.curves.iter().filter(|r| Some(r.key.at) == self.curve_db && run.has(&r.key)) {
            updates.entry(r.update).or_default().push(r);
        }
        let updates: Vec<Vec<&CurveRow>> = updates.into_values().collect();
        let env_steps = updates.iter().flatten().map(|r| r.env_steps).max()?;
        let mean = |part: &[Vec<&CurveRow>], value: fn(&CurveRow) -> f64| {
            over_seeds(&self.resamples, &finite_means(part.iter().flatten().map(|r| (r.key.seed, value(r)))))
        };
        let span = updates.len().div_ceil(CURVE_POINTS);
        let curve = |value: fn(&CurveRow) -> f64| -> Vec<(f64, Estimate)> {
            let point = |part: &[Vec<&CurveRow>]| {
                let steps = part.iter().flatten().map(|r| r.env_steps).max()?;
                Some((steps as f64, mean(part, value)?))
            };
            updates.par_chunks(span).filter_map(point).collect()
        };
        let tenth = ((updates.len() as f64 * LAST_SHARE).ceil() as usize).max(1);
        let last = &updates[updates.len() - tenth..];
        Some(Learning {
            run: run.clone(),
            updates: updates.len(),
            env_steps,
            energy: curve(|r| r.slots[CURVE_ENERGY]),
            cost: curve(|r| -r.slots[CURVE_REWARD]),
            cosine: curve(|r| r.gradient_cosine),
            first_energy: mean(&updates[..1], |r| r.slots[CURVE_ENERGY]),
            last_energy: mean(last, |r| r.slots[CURVE_ENERGY]),
            last_over_gamma: mean(last, |r| r.slots[CURVE_OVER_GAMMA]),
            mean_cosine: mean(&updates, |r| r.gradient_cosine),
        })
    }

    fn learning_of(&self, agent: &str) -> Option<&Learning> {
        self.learning.iter().find(|l| l.run.agent == agent)
    }

    /// Mean gradient cosines of the agents whose losses share parameters.
    fn cosines(&self) -> Vec<(&'static str, Estimate)> {
        SHARED.into_iter().filter_map(|a| Some((a, self.learning_of(a)?.mean_cosine?))).collect()
    }

    /// Environment steps of one seed until the mean cost is first within what counts as optimal.
    fn steps_to_optimal(&self, l: &Learning) -> Option<f64> {
        let optimum = self.cost(OPTIMUM, self.curve_db?)?.mean;
        let goal = optimum * (1.0 + OPTIMAL_GAP_PERCENT / 100.0);
        l.cost.iter().find(|(_, e)| e.mean <= goal).map(|(steps, _)| *steps)
    }

    /// Energy of a slot where each camera is switched on with probability ½, in steady state, J: the age is T_proc + j
    /// with probability 2^−(j+1) up to A_max, where the rest of the probability lies, or without end. None where sweeps
    /// realign.
    fn coin_flip_j(&self, snr_db: f64) -> Option<f64> {
        let task = MisacTaskConfig { snr_db, ..self.task.clone()? };
        if self.uncertainty != CONSTANT || task.realign {
            return None;
        }
        // Beyond 60 slots lies 2^−60 of the probability.
        let most = if task.age_saturates { task.age_max_slots } else { task.t_proc_slots + 60 };
        let beta = task.beta();
        let (mut left, mut misaligned) = (1.0, 0.0);
        for age in task.t_proc_slots.min(most)..=most {
            let here = if age == most { left } else { left / 2.0 };
            misaligned += here * (1.0 - (-beta * f64::from(age)).exp());
            left -= here;
        }
        Some(task.vehicles as f64 * (0.5 * task.e_vis_j + task.e_recovery_j * misaligned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_its_own_colour() {
        crate::report::figure::tell_apart(PALETTE);
        let known = crate::tasks::misac::agents::AGENTS.iter().map(|a| a.id);
        for id in known.chain(AGENTS.iter().map(|a| a.0)) {
            assert!(PALETTE.iter().any(|s| s.name == id), "{id}");
        }
    }
}
