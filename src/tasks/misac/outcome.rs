//! What an evaluation of task misac is asked, and what it says: the same on both devices.

use super::agents::FixedSchedule;
use super::dp::Rule;
use super::physics::{MisacParams, MisacSpec, metric};
use crate::nets::experts::ExpertsLayout;
use crate::run::evaluate::{Acts, Estimate};
use std::sync::Arc;

/// What is reported of a controller: means over episodes, slots and vehicles, but for [`AGE_MAX`] and
/// [`MODULUS_ERROR`].
pub const METRICS: [&str; 15] = [
    metric::NAMES[metric::ENERGY],
    metric::NAMES[metric::REWARD],
    "cost_j",
    metric::NAMES[metric::L_BMP],
    metric::NAMES[metric::OVER_GAMMA],
    metric::NAMES[metric::AGE_MAX],
    "mae_deg",
    "frames_per_slot",
    "beam_gain_share",
    "estimate_gain_share",
    "true_angle_gain_share",
    "sum_rate_bps_hz",
    "modulus_error",
    "power_share",
    metric::NAMES[metric::OVER_AGE],
];
/// Energy (3) per slot, J.
pub const ENERGY: usize = 0;
/// (11) per slot, J.
pub const REWARD: usize = 1;
/// Energy and penalty per slot, −(11), J.
pub const COST: usize = 2;
/// Mean over vehicles of (7).
pub const L_BMP: usize = 3;
/// Share of slots with L_BMP > Γ_misa.
pub const SHARE_OVER_GAMMA: usize = 4;
/// The largest age of any vehicle in any slot of any episode; has no standard error.
pub const AGE_MAX: usize = 5;
/// Mean |θ̂ − θ|, degrees.
pub const MAE: usize = 6;
/// Camera frames of all vehicles per slot.
pub const FRAMES: usize = 7;
/// Σ|h^H v|² of the agent's beams over that of phases matched to the true channel; sums over the episode's judged slots
/// and vehicles.
pub const BEAM_GAIN: usize = 8;
/// The same of beams that steer at the estimated angle, and at the true one.
pub const ESTIMATE_GAIN: usize = 9;
pub const TRUE_ANGLE_GAIN: usize = 10;
/// Σ_k log2(1 + SINR_k) of (1), with the interference of all beams, bps/Hz.
pub const SUM_RATE: usize = 11;
/// The largest | |v_m| − 1/√M | (9b) of any beam; has no standard error.
pub const MODULUS_ERROR: usize = 12;
/// Transmitted power over P_max (9c).
pub const POWER: usize = 13;
/// Share of slots that leave a vehicle with an age beyond A_max (9d).
pub const SHARE_OVER_AGE: usize = 14;

/// What acts.
pub enum Controller<'a> {
    /// A schedule for each replica; beams steer at the estimated angle.
    Fixed(&'a [Arc<dyn FixedSchedule>]),
    /// Networks; `params` `[R, P]`.
    Learned { layout: &'a ExpertsLayout, params: &'a [f32], greedy: bool },
    /// Somebody outside of this program; `phases`: its actions are those of [`Outside`](super::outside::Outside) with
    /// phases, else beams steer at the estimated angle.
    Outside { rule: &'a dyn Acts, phases: bool },
}

/// One evaluation.
pub struct MisacEvaluation<'a> {
    pub task: MisacSpec,
    /// Task parameters of each replica; the first word of the key is its seed.
    pub replicas: Vec<MisacParams>,
    pub controller: Controller<'a>,
    /// Episodes per replica.
    pub episodes: u64,
    /// The channel is drawn and the beams are judged in every n-th slot.
    pub gain_stride: usize,
}

impl MisacEvaluation<'_> {
    /// Whether a GPU can make the decisions: those of networks always, those of schedules where each says how
    /// ([`FixedSchedule::rule`]) and all say the same.
    pub fn decides_on_gpu(&self) -> bool {
        match &self.controller {
            Controller::Fixed(schedules) => rule_of(schedules, &self.replicas).is_some(),
            Controller::Learned { .. } => true,
            Controller::Outside { .. } => false,
        }
    }
}

/// The rule of all replicas' schedules, and its words, replica by replica.
pub(super) fn rule_of(
    schedules: &[Arc<dyn FixedSchedule>],
    replicas: &[MisacParams],
) -> Option<(Rule, Vec<u32>)> {
    let mut all: Option<(Rule, Vec<u32>)> = None;
    for schedule in schedules {
        let (rule, words) = schedule.rule()?;
        match &mut all {
            None => all = Some((rule, words)),
            Some((same, words_of_all)) if *same == rule => words_of_all.extend(words),
            Some(_) => return None,
        }
    }
    // Tables of one kernel have one largest age.
    all.filter(|_| replicas.iter().all(|p| p.age_max == replicas[0].age_max))
}

/// What one replica did.
#[derive(Clone, Debug, PartialEq)]
pub struct MisacEstimates {
    pub episodes: u64,
    /// In the order of [`METRICS`].
    pub metrics: Vec<Estimate>,
    /// Energy of each slot, J. A GPU sums a slot's episodes in f32: its standard error is NaN where the spread is lost
    /// in that rounding, as it is where every episode costs the same.
    pub slot_energy_j: Vec<Estimate>,
    /// Mean |θ̂ − θ| of each slot, degrees.
    pub slot_mae_deg: Vec<Estimate>,
    /// Slots in which each of the 3K network inputs was not zero; all 0 without networks.
    pub active_inputs: Vec<u64>,
}

/// Sums over episodes: (Σx, Σx²) per metric and per slot; what is a maximum stands in the first place.
#[derive(Clone)]
pub(super) struct Sums {
    pub episodes: u64,
    metrics: [[f64; 2]; METRICS.len()],
    /// Energy and error of each slot.
    pub slots: Vec<[[f64; 2]; 2]>,
    /// Share of Σx² of a slot by which Σx² and (Σx)² may be off.
    pub slot_rounding: f64,
    pub active_inputs: Vec<u64>,
}

fn is_maximum(metric: usize) -> bool {
    matches!(metric, AGE_MAX | MODULUS_ERROR)
}

/// The larger one, or NaN if there is one.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

impl Sums {
    pub fn new(task: &MisacSpec) -> Self {
        Sums {
            episodes: 0,
            metrics: [[0.0; 2]; METRICS.len()],
            slots: vec![[[0.0; 2]; 2]; task.slots],
            slot_rounding: 0.0,
            active_inputs: vec![0; task.obs_dim()],
        }
    }

    /// The value of one episode.
    fn put(&mut self, metric: usize, x: f64) {
        let sum = &mut self.metrics[metric];
        if is_maximum(metric) {
            sum[0] = larger(sum[0], x);
        } else {
            sum[0] += x;
            sum[1] += x * x;
        }
    }

    /// One episode: `total` holds sums over slots (for [`SUM_RATE`] and [`POWER`] over judged ones) in the order of
    /// [`METRICS`] and, where they are reported, maxima; `gains` Σ|h^H v|² of the agent's beams, of matched phases, and
    /// of beams at the estimated and the true angle.
    pub fn put_episode(&mut self, eval: &MisacEvaluation, mut total: [f64; METRICS.len()], gains: [f64; 4]) {
        let slots = eval.task.slots;
        let (per_slot, per_judged) = (1.0 / slots as f64, 1.0 / slots.div_ceil(eval.gain_stride) as f64);
        let [own, matched, estimate, truth] = gains;
        for m in [ENERGY, REWARD, L_BMP, SHARE_OVER_GAMMA, MAE, FRAMES, SHARE_OVER_AGE] {
            total[m] *= per_slot;
        }
        total[COST] = -total[REWARD];
        total[SUM_RATE] *= per_judged;
        total[POWER] *= per_judged;
        for (m, gain) in [(BEAM_GAIN, own), (ESTIMATE_GAIN, estimate), (TRUE_ANGLE_GAIN, truth)] {
            total[m] = gain / matched;
        }
        for (m, x) in total.iter().enumerate() {
            self.put(m, *x);
        }
        self.episodes += 1;
    }

    pub fn add(&mut self, o: &Sums) {
        self.episodes += o.episodes;
        self.slot_rounding = self.slot_rounding.max(o.slot_rounding);
        for (metric, (a, b)) in self.metrics.iter_mut().zip(&o.metrics).enumerate() {
            a[0] = if is_maximum(metric) { larger(a[0], b[0]) } else { a[0] + b[0] };
            a[1] += b[1];
        }
        for (a, b) in self.slots.iter_mut().flatten().zip(o.slots.iter().flatten()) {
            a[0] += b[0];
            a[1] += b[1];
        }
        self.active_inputs.iter_mut().zip(&o.active_inputs).for_each(|(a, b)| *a += b);
    }

    pub fn estimates(&self) -> MisacEstimates {
        let estimate = |(metric, sums): (usize, &[f64; 2])| {
            if is_maximum(metric) {
                Estimate { mean: sums[0], std_error: f64::NAN }
            } else {
                Estimate::of(self.episodes, *sums)
            }
        };
        let slot = |[sum, squares]: [f64; 2]| {
            let e = Estimate::of(self.episodes, [sum, squares]);
            let rounding = self.slot_rounding * squares;
            let lost = rounding > 0.0 && squares - sum * e.mean < rounding;
            Estimate { std_error: if lost { f64::NAN } else { e.std_error }, ..e }
        };
        let slots = |what: usize| self.slots.iter().map(|s| slot(s[what])).collect();
        MisacEstimates {
            episodes: self.episodes,
            metrics: self.metrics.iter().enumerate().map(estimate).collect(),
            slot_energy_j: slots(0),
            slot_mae_deg: slots(1),
            active_inputs: self.active_inputs.clone(),
        }
    }
}
