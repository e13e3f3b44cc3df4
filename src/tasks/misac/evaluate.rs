//! Evaluation of task misac, on the CPU in vector lanes or on a GPU, with the same draws: energies, constraints, tracking and what the beams reach.

use super::evaluate_gpu;
use crate::gpu::{Gpu, GpuError};
use crate::kernels::bernoulli_head::uniform;
use crate::nets::experts::{ExpertsCpu, ExpertsLayout, ExpertsState, act};
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, run_lanes};
use crate::run::evaluate::{Estimate, KEY_BATCH};
use crate::tasks::misac::agents::{FixedSchedule, Slot};
use crate::tasks::misac::dp::Rule;
use crate::tasks::misac::physics::{
    Batch, MisacParams, MisacSpec, Phase, StepSlices, gains, load_state, metric, misac_reset_chunk,
    misac_step_chunk,
};
use rayon::prelude::*;
use std::sync::Arc;

/// Episodes that a thread carries at once.
const CHUNK: u64 = 256;

/// What is reported of a controller: means over episodes, slots and vehicles, but for [`AGE_MAX`] and [`MODULUS_ERROR`].
pub const METRICS: [&str; 14] = [
    "energy_j",
    "reward",
    "cost_j",
    "l_bmp",
    "share_over_gamma",
    "age_max",
    "mae_deg",
    "frames_per_slot",
    "beam_gain_share",
    "estimate_gain_share",
    "true_angle_gain_share",
    "sum_rate_bps_hz",
    "modulus_error",
    "power_share",
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
/// Σ|h^H v|² of the agent's beams over that of phases matched to the true channel; sums over the episode's judged slots and vehicles.
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

/// What acts.
pub enum Controller<'a> {
    /// A schedule for each replica; beams steer at the estimated angle.
    Fixed(&'a [Arc<dyn FixedSchedule>]),
    /// Networks; `params` [R, P].
    Learned { layout: &'a ExpertsLayout, params: &'a [f32], greedy: bool },
}

/// One evaluation.
pub struct Job<'a> {
    pub task: MisacSpec,
    /// Task parameters of each replica; the first word of the key is its seed.
    pub replicas: Vec<MisacParams>,
    pub controller: Controller<'a>,
    /// Episodes per replica.
    pub episodes: u64,
    /// The channel is drawn and the beams are judged in every n-th slot.
    pub gain_stride: usize,
}

impl Job<'_> {
    /// Whether a GPU can make the decisions: those of networks always, those of schedules where each says how
    /// ([`FixedSchedule::rule`]) and all say the same.
    pub fn decides_on_gpu(&self) -> bool {
        match &self.controller {
            Controller::Fixed(schedules) => rule_of(schedules, &self.replicas).is_some(),
            Controller::Learned { .. } => true,
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
pub struct Outcome {
    pub episodes: u64,
    /// In the order of [`METRICS`].
    pub metrics: Vec<Estimate>,
    /// Energy of each slot, J. A GPU sums a slot's episodes in f32: its standard error is NaN where the spread is lost in that rounding, as it is
    /// where every episode costs the same.
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
fn larger(a: f64, b: f64) -> f64 {
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

    /// One episode: `total` holds sums over slots (for [`SUM_RATE`] and [`POWER`] over judged ones) in the order of [`METRICS`] and, where they are
    /// reported, maxima; `gains` Σ|h^H v|² of the agent's beams, of matched phases, and of beams at the estimated and the true angle.
    pub fn put_episode(&mut self, job: &Job, mut total: [f64; METRICS.len()], gains: [f64; 4]) {
        let slots = job.task.slots;
        let (per_slot, per_judged) = (1.0 / slots as f64, 1.0 / slots.div_ceil(job.gain_stride) as f64);
        let [own, matched, estimate, truth] = gains;
        for m in [ENERGY, REWARD, L_BMP, SHARE_OVER_GAMMA, MAE, FRAMES] {
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

    pub fn outcome(&self) -> Outcome {
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
        Outcome {
            episodes: self.episodes,
            metrics: self.metrics.iter().enumerate().map(estimate).collect(),
            slot_energy_j: slots(0),
            slot_mae_deg: slots(1),
            active_inputs: self.active_inputs.clone(),
        }
    }
}

/// Runs the job on the GPU if one is given and [`Job::decides_on_gpu`], else on the CPU; `progress` gets the number of episodes that were finished
/// since its last call. Results depend neither on the number of threads nor on how episodes are grouped.
pub fn evaluate(
    job: &Job,
    gpu: Option<&Gpu>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Outcome>, GpuError> {
    match gpu.filter(|_| job.decides_on_gpu()) {
        Some(gpu) => evaluate_gpu::evaluate(job, gpu, progress),
        None => Ok(on_cpu(job, progress)),
    }
}

fn on_cpu(job: &Job, progress: &(dyn Fn(u64) + Sync)) -> Vec<Outcome> {
    let chunks = job.episodes.div_ceil(CHUNK);
    let nets: Vec<ExpertsCpu> = match &job.controller {
        Controller::Fixed(_) => Vec::new(),
        Controller::Learned { layout, params, .. } => params
            .chunks(layout.params())
            .map(|p| {
                let mut net = ExpertsCpu::new(layout);
                net.pack(p);
                net
            })
            .collect(),
    };
    let mut out = vec![Sums::new(&job.task); job.replicas.len()];
    // Chunks are taken a few thousand at a time, so that memory does not grow with the number of episodes.
    let tasks = job.replicas.len() as u64 * chunks;
    let mut next = 0;
    while next < tasks {
        let upto = tasks.min(next + 4096);
        let sums: Vec<(usize, Sums)> = (next..upto)
            .into_par_iter()
            .map(|i| {
                let (r, first) = ((i / chunks) as usize, i % chunks * CHUNK);
                let n = CHUNK.min(job.episodes - first);
                let mut params = job.replicas[r];
                params.key[1] = 1 + (first / KEY_BATCH) as u32;
                let s = episodes(job, nets.get(r), r, &params, (first % KEY_BATCH) as u32, n as usize);
                progress(n);
                (r, s)
            })
            .collect();
        for (r, s) in &sums {
            out[*r].add(s);
        }
        next = upto;
    }
    out.iter().map(Sums::outcome).collect()
}

/// `envs` episodes side by side, the first as environment `first`.
fn episodes(
    job: &Job,
    net: Option<&ExpertsCpu>,
    replica: usize,
    params: &MisacParams,
    first: u32,
    envs: usize,
) -> Sums {
    let task = &job.task;
    let (o, k) = (task.obs_dim(), task.vehicles);
    let mut state = vec![0f32; task.state_rows() * envs];
    let (mut obs, mut final_obs) = (vec![0f32; envs * o], vec![0f32; envs * o]);
    let mut action = vec![0f32; envs * k];
    let (mut reward, mut flags) = (vec![0f32; envs], vec![0u32; envs]);
    let mut rows = vec![0f32; metric::ROWS * envs];
    let mut reached = vec![0f32; REACHED * envs];
    let mut sums = Sums::new(task);
    // Of every episode: sums over slots, in f64.
    let mut total = vec![[0f64; METRICS.len()]; envs];
    let mut power_gain = vec![[0f64; 4]; envs];

    let mut logits = vec![0f32; if net.is_some() { envs * k } else { 0 }];
    let mut phases = vec![0f32; net.map_or(0, |n| envs * n.layout.phases())];
    let mut recurrent = net.map(|n| ExpertsState::new(&n.layout, envs));
    misac_reset_chunk(task, params, envs, first, &mut state, &mut obs, 0);
    let mut memory: Vec<Vec<u32>> = Vec::new();
    if let Controller::Fixed(schedules) = &job.controller {
        let begin = |env| schedules[replica].begin(&Slot { task, params, state: &state, envs, env, slot: 0 });
        memory = (0..envs).map(begin).collect();
    }
    for slot in 0..task.slots {
        let clock = slot as u32;
        let judged = slot.is_multiple_of(job.gain_stride);
        match &job.controller {
            Controller::Fixed(schedules) => {
                for (env, (pi, memory)) in action.chunks_mut(k).zip(&memory).enumerate() {
                    let now = Slot { task, params, state: &state, envs, env, slot };
                    schedules[replica].decide(&now, memory, pi);
                }
            }
            Controller::Learned { layout, greedy, .. } => {
                let (net, recurrent) =
                    (net.expect("one per replica"), recurrent.as_mut().expect("made above"));
                let wanted = judged.then_some(&mut phases[..]);
                act(net, envs, &obs, recurrent, &mut logits, wanted);
                for (n, (pi, x)) in action.iter_mut().zip(&logits).enumerate() {
                    let on = match greedy {
                        true => *x > 0.0,
                        false => {
                            uniform::<f32>(params.key, first as usize + n / k, clock, n % k)
                                < Real::sigmoid(*x)
                        }
                    };
                    *pi = f32::from(u8::from(on));
                }
                let seen = if layout.architecture.ages { o } else { 2 * k };
                for row in obs.chunks(o) {
                    for (n, x) in sums.active_inputs.iter_mut().zip(&row[..seen]) {
                        *n += u64::from(*x != 0.0);
                    }
                }
            }
        }
        if judged {
            let phases = net.map(|_| &phases[..]);
            run_lanes(Judge { task, params, envs, first, clock, state: &state, phases, out: &mut reached });
            for (env, (total, gain)) in total.iter_mut().zip(&mut power_gain).enumerate() {
                let row = |n: usize| f64::from(reached[n * envs + env]);
                gain.iter_mut().enumerate().for_each(|(n, sum)| *sum += row(n));
                total[SUM_RATE] += row(4);
                total[MODULUS_ERROR] = larger(total[MODULUS_ERROR], row(5));
                total[POWER] += row(6);
            }
        }
        let batch = Batch { params, envs, first, state: &mut state, obs: &mut obs };
        let out = StepSlices {
            final_obs: &mut final_obs,
            reward: &mut reward,
            flags: &mut flags,
            metrics: Some(&mut rows),
        };
        misac_step_chunk(task, batch, &action, out, clock);
        for (env, total) in total.iter_mut().enumerate() {
            let row = |n: usize| f64::from(rows[n * envs + env]);
            let (energy, mae) = (row(metric::ENERGY), row(metric::ANGLE_MAE).to_degrees());
            total[ENERGY] += energy;
            total[REWARD] += row(metric::REWARD);
            total[L_BMP] += row(metric::L_BMP);
            total[SHARE_OVER_GAMMA] += row(metric::OVER_GAMMA);
            total[AGE_MAX] = larger(total[AGE_MAX], row(metric::AGE_MAX));
            total[MAE] += mae;
            total[FRAMES] += action[env * k..][..k].iter().map(|x| f64::from(*x)).sum::<f64>();
            for (sum, x) in sums.slots[slot].iter_mut().zip([energy, mae]) {
                sum[0] += x;
                sum[1] += x * x;
            }
        }
    }
    for (total, gains) in total.into_iter().zip(power_gain) {
        sums.put_episode(job, total, gains);
    }
    sums
}

/// Rows of what [`Judge`] writes: sums over vehicles of the four gains (own, matched, estimate, truth) and of the rates, the largest modulus error,
/// and the power over P_max.
const REACHED: usize = 7;

/// Judges the beams of one slot, in the state before the step.
struct Judge<'a> {
    task: &'a MisacSpec,
    params: &'a MisacParams,
    envs: usize,
    first: u32,
    clock: u32,
    /// [7K, envs]
    state: &'a [f32],
    /// [envs, K·M]; `None`: steered at the estimate.
    phases: Option<&'a [f32]>,
    /// [`REACHED`, envs]
    out: &'a mut [f32],
}

impl Judge<'_> {
    #[inline(always)]
    fn range<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let Judge { task, params, envs, first, clock, state, phases, .. } = *self;
        let (k, km) = (task.vehicles, task.vehicles * task.antennas);
        let zero = V::splat(0.0);
        let mut phi = vec![zero; km];
        let mut lanes = [0f32; 16];
        let per_p_max = V::splat(1.0 / (f64::from(params.beam_power_w) * k as f64));
        let mut env = from;
        while env < to {
            let ids = V::Word::iota(first + env as u32);
            let s = load_state::<V>(k, state, envs, env);
            let mut meaning = Phase::Residual;
            if let Some(rows) = phases {
                meaning = Phase::Direct;
                for (n, phi) in phi.iter_mut().enumerate() {
                    for (l, x) in lanes.iter_mut().enumerate().take(V::LANES) {
                        *x = rows[(env + l) * km + n];
                    }
                    *phi = V::load(&lanes);
                }
            }
            let mut sum = [zero; REACHED];
            for i in 0..k {
                let g = gains::<V>(
                    task,
                    params,
                    &s,
                    i,
                    ids,
                    clock,
                    meaning,
                    #[inline(always)]
                    |n| phi[n],
                );
                for (sum, x) in sum.iter_mut().zip([g.gain, g.matched, g.estimate, g.truth, g.rate]) {
                    *sum += x;
                }
                sum[5] = sum[5].max(g.modulus_error);
                sum[6] += g.power * per_p_max;
            }
            for (n, x) in sum.into_iter().enumerate() {
                x.store(&mut self.out[n * envs + env..]);
            }
            env += V::LANES;
        }
    }
}

impl LaneKernel for Judge<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let whole = self.envs / V::LANES * V::LANES;
        self.range::<V>(0, whole);
        self.range::<f32>(whole, self.envs);
    }
}
