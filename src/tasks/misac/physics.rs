//! Task misac: camera scheduling and analogue beamforming for K vehicles (paper "rl-h-moe"; equation numbers below are
//! its own).
//!
//! A slot, in this order: the observation (cos θ̂_k, d̂_k/80, A_k/A_max) with θ̂ = θ + e; the decision π ∈ {0,1}^K and
//! the phases Φ ∈ R^{K×M}; energy (3), misalignment (7) and reward (11) with the ages *before* the decision acts; the
//! channel (2), (8) of this slot, in which the beams (10) are judged; then the tracking error, the ages (6) and the
//! vehicles move on.
//!
//! Shapes: state rows `[7K, B]` (environment fastest): position x, speed v, age A, tracking error e, the two
//! scatterers' cosines and the mean angular rate of the episode, K rows each. Angles in rad, distances in m, speeds in
//! m/s, energies in J, powers in W.
//!
//! One source for f64, f32 and vector lanes, as in [`v2x`](crate::tasks::v2x::physics). Rewards and ages need no
//! channel, so [`step`] does without one; [`Channel`] is drawn where beams are learned or judged, from its own
//! counters, and so is the same wherever it is drawn.

use crate::env::{Batch, StepSlices, TRUNCATED};
pub use crate::nets::experts::Phase;
use crate::num::philox::draw;
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, c, each_group, run_lanes};

/// What the numbers of this task are drawn for.
pub mod stream {
    use crate::num::philox::Stream;

    /// Initial state of an episode.
    pub const RESET: Stream = Stream::task(0);
    /// Noise of the range estimate, and the radar's own noise of the angle.
    pub const RANGE: Stream = Stream::task(1);
    /// Tracking error.
    pub const TRACK: Stream = Stream::task(2);
    /// Phases of the propagation paths.
    pub const PHASE: Stream = Stream::task(3);
    /// Channel error Δh.
    pub const CSI: Stream = Stream::task(4);
    /// Whether a beam is lost and found again by a sweep.
    pub const RECOVERY: Stream = Stream::task(5);
}

/// Largest number of vehicles.
pub const KMAX: usize = 8;
/// Largest number of antennas.
pub const MMAX: usize = 256;
/// State rows per vehicle.
pub const STATE_ROWS: usize = 7;
/// Unit of the distance in an observation, m.
pub const DISTANCE_UNIT_M: f64 = 80.0;
/// Logarithm of the factor by which an error grows in a slot, at most.
pub const MOST_GROWTH: f64 = 20.0;
/// L_p − 1: scatterers of a vehicle's channel.
pub const SCATTERERS: usize = 2;

/// β_k of (7) over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uncertainty {
    /// One β for every vehicle and slot, as printed.
    Constant,
    /// β times the vehicle's angular rate over its mean in the episode.
    Kinematic,
}

/// The channel (8) of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ageing {
    /// h = ĥ + Δh, as printed: Δh adds its power.
    Independent,
    /// h = √(1−c)·ĥ + Δh with c = min(1, ρ·P_misa/M), the variance of an element of Δh: E‖h‖² = M at every age.
    PowerPreserving,
}

/// How the angle error grows from one slot without a frame to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorGrowth {
    /// By independent steps: with the root of the age.
    RandomWalk,
    /// By the factor e^(r·β_k), so that σ(A) = σ_vis·e^(r·β·A) A slots behind a frame; at most π.
    Exponential,
}

/// What the paper leaves open of a slot, as code paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    pub ageing: Ageing,
    /// Whether the sweep of (5), which runs with probability P_misa, leaves angle and age as a frame does.
    pub realign: bool,
    /// Whether an age counts as A_max at most.
    pub age_saturates: bool,
    pub growth: ErrorGrowth,
    /// Whether the angle has the radar's own noise beside the tracking error where A > T_proc.
    pub radar_noise: bool,
}

impl Choices {
    /// As every configuration had it before there was a choice.
    pub const DEFAULT: Choices = Choices {
        ageing: Ageing::Independent,
        realign: false,
        age_saturates: true,
        growth: ErrorGrowth::RandomWalk,
        radar_noise: false,
    };
    /// The default, each other choice by itself, and all others together.
    pub const EACH: [Choices; 7] = [
        Choices::DEFAULT,
        Choices { ageing: Ageing::PowerPreserving, ..Choices::DEFAULT },
        Choices { realign: true, ..Choices::DEFAULT },
        Choices { age_saturates: false, ..Choices::DEFAULT },
        Choices { growth: ErrorGrowth::Exponential, ..Choices::DEFAULT },
        Choices { radar_noise: true, ..Choices::DEFAULT },
        Choices {
            ageing: Ageing::PowerPreserving,
            realign: true,
            age_saturates: false,
            growth: ErrorGrowth::Exponential,
            radar_noise: true,
        },
    ];
}

/// What fixes array sizes and code paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MisacSpec {
    /// Vehicles K.
    pub vehicles: usize,
    /// Antennas M.
    pub antennas: usize,
    /// Slots T of an episode.
    pub slots: usize,
    pub uncertainty: Uncertainty,
    pub choices: Choices,
}

impl MisacSpec {
    /// O: cosines, distances, ages.
    pub fn obs_dim(&self) -> usize {
        3 * self.vehicles
    }
    /// Rows of the state.
    pub fn state_rows(&self) -> usize {
        STATE_ROWS * self.vehicles
    }
}

/// Rows of the metrics of one slot.
pub mod metric {
    /// Energy (3), J.
    pub const ENERGY: usize = 0;
    /// Reward (11), J.
    pub const REWARD: usize = 1;
    /// L_BMP: mean over vehicles of (7).
    pub const L_BMP: usize = 2;
    /// 1 where L_BMP > Γ_misa (9e).
    pub const OVER_GAMMA: usize = 3;
    /// Mean over vehicles of |e|, rad, of the estimate that this slot's beams used.
    pub const ANGLE_MAE: usize = 4;
    /// Largest age, slots.
    pub const AGE_MAX: usize = 5;
    /// 1 where the slot leaves a vehicle with an age beyond A_max (9d), which counts as A_max where ages saturate.
    pub const OVER_AGE: usize = 6;
    pub const ROWS: usize = 7;
    /// Names in files and reports.
    pub const NAMES: [&str; ROWS] =
        ["energy_j", "reward", "l_bmp", "share_over_gamma", "angle_mae_rad", "age_max", "share_over_age"];
    /// What they are, in a line.
    pub const ABOUT: [&str; ROWS] = [
        "energy (3) of cameras and recoveries",
        "reward (11), J: less energy and the penalty of (9e)",
        "mean over vehicles of the misalignment probability (7)",
        "1 where L_BMP is above Γ_misa (9e)",
        "mean over vehicles of |θ̂ − θ| of the estimates that the slot's beams used",
        "largest age of any vehicle, slots",
        "1 where the slot leaves a vehicle with an age beyond A_max (9d)",
    ];
}

/// Rows of what the beams of one vehicle reached in one slot: [`Gains`].
pub mod gain_row {
    /// |h^H v|² of the vehicle's own beam.
    pub const GAIN: usize = 0;
    /// (Σ_m |h_m|)²/M: the most that beams of constant modulus reach.
    pub const MATCHED: usize = 1;
    /// |h^H v|² of the phases −π·m·cos θ̂.
    pub const ESTIMATE: usize = 2;
    /// |h^H v|² of the phases −π·m·cos θ.
    pub const TRUTH: usize = 3;
    /// Signal over interference and noise of (1).
    pub const SINR: usize = 4;
    /// log2(1 + SINR), bps/Hz.
    pub const RATE: usize = 5;
    /// max_m | |v_m| − 1/√M | (9b).
    pub const MODULUS_ERROR: usize = 6;
    /// Power of the beam, W; (9c) bounds its sum over vehicles.
    pub const POWER: usize = 7;
    pub const ROWS: usize = 8;
    /// Names in files and reports.
    pub const NAMES: [&str; ROWS] = [
        "beam_gain",
        "beam_gain_matched",
        "beam_gain_estimate",
        "beam_gain_truth",
        "sinr",
        "rate_bps_hz",
        "modulus_error",
        "beam_power_w",
    ];
}

/// Task parameters of one replica, as the kernels read them (f32, linear units).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MisacParams {
    /// Philox key: seed and replica id.
    pub key: [u32; 2],
    /// β(SNR) of (7), per slot of age.
    pub beta: f32,
    /// e_vis of (4), J.
    pub e_vis_j: f32,
    /// E_recovery of (5), J.
    pub e_recovery_j: f32,
    /// λ_misa of (11), J.
    pub lambda_j: f32,
    /// Γ_misa of (9e).
    pub gamma_misa: f32,
    /// T_proc of (6), slots.
    pub t_proc: f32,
    /// A_max, slots.
    pub age_max: f32,
    /// Standard deviation of e on a camera frame, rad.
    pub sigma_vis_rad: f32,
    /// 0.886/M: without a frame e walks with standard deviation √β times this, rad.
    pub beam_width_rad: f32,
    /// Relative standard deviation of d̂.
    pub distance_noise: f32,
    pub dt_s: f32,
    /// Distance of the road from the unit, m.
    pub road_y_m: f32,
    pub x_min_m: f32,
    pub x_max_m: f32,
    pub speed_min_m_s: f32,
    pub speed_max_m_s: f32,
    /// Amplitude of the line of sight, √(κ/(κ+1)).
    pub los: f32,
    /// Amplitude of each scatterer, √(1/((κ+1)(L_p−1))).
    pub scatter: f32,
    /// ρ/M: variance of an element of Δh per unit of P_misa.
    pub csi_error: f32,
    /// P_max/K, W: power of a beam.
    pub beam_power_w: f32,
    /// (λ_c/4π)², m²: path gain at 1 m.
    pub path_gain_m2: f32,
    /// σ², W.
    pub noise_w: f32,
    /// r of [`ErrorGrowth::Exponential`].
    pub error_rate: f32,
    /// Standard deviation of the radar's own noise of the angle, rad.
    pub radar_noise_rad: f32,
}

/// State of one environment (or one per lane).
#[derive(Clone, Copy)]
pub struct State<V> {
    pub x: [V; KMAX],
    pub v: [V; KMAX],
    pub age: [V; KMAX],
    pub e: [V; KMAX],
    /// Cosines of the scatterers' angles.
    pub scatter: [[V; KMAX]; SCATTERERS],
    /// Mean angular rate of the episode over its speed, rad/m; what `kinematic` uncertainty is relative to.
    pub turn: [V; KMAX],
}

/// What the decision of one slot cost.
#[derive(Clone, Copy)]
pub struct SlotOut<V> {
    /// (3), J.
    pub energy: V,
    /// (11), J.
    pub reward: V,
    /// Mean over vehicles of (7).
    pub l_bmp: V,
    /// 1 where L_BMP > Γ_misa.
    pub over: V,
    /// Mean |e|, rad, of the estimate that this slot's beams used.
    pub mae: V,
    /// Largest age.
    pub age_max: V,
    /// 1 where a vehicle's age after the slot is beyond A_max.
    pub over_age: V,
    /// P_misa of each vehicle (7).
    pub misaligned: [V; KMAX],
}

/// cos θ, sin θ and d of a vehicle at x on the road; θ grows as it approaches from x < 0.
#[inline(always)]
pub fn geometry<V: Real>(p: &MisacParams, x: V) -> (V, V, V) {
    let y = c!(p.road_y_m);
    let d = (x * x + y * y).sqrt();
    (-x / d, y / d, d)
}

/// The first state of an episode: x and v uniform, ages 0, e as after a camera frame, scatterers uniform in angle.
#[inline(always)]
pub fn reset<V: Real>(spec: &MisacSpec, p: &MisacParams, env: V::Word, clock: u32) -> State<V> {
    let zero = V::splat(0.0);
    let mut s = State {
        x: [zero; KMAX],
        v: [zero; KMAX],
        age: [zero; KMAX],
        e: [zero; KMAX],
        scatter: [[zero; KMAX]; SCATTERERS],
        turn: [zero; KMAX],
    };
    let time = V::splat(f64::from(p.dt_s) * spec.slots as f64);
    for i in 0..spec.vehicles {
        let w = draw(p.key, stream::RESET, env, clock, 2 * i as u32);
        s.x[i] = c!(p.x_min_m) + c!(p.x_max_m - p.x_min_m) * V::unit_from_word(w[0]);
        s.v[i] = c!(p.speed_min_m_s) + c!(p.speed_max_m_s - p.speed_min_m_s) * V::unit_from_word(w[1]);
        // cos of an angle in (0, π)
        s.scatter[0][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[2]), 1).1;
        s.scatter[1][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[3]), 1).1;
        let w = draw(p.key, stream::RESET, env, clock, 2 * i as u32 + 1);
        s.e[i] = c!(p.sigma_vis_rad) * V::normal_pair(w[0], w[1]).0;
        // θ at both ends of the episode; the rate is v·y/d², its mean over time (θ_T − θ_0)/T.
        let way = s.v[i] * time;
        let y = c!(p.road_y_m);
        let turned = y.atan2_upper(-(s.x[i] + way)) - y.atan2_upper(-s.x[i]);
        s.turn[i] = turned / way;
    }
    s
}

/// β_k of this slot.
#[inline(always)]
pub fn beta<V: Real>(spec: &MisacSpec, p: &MisacParams, s: &State<V>, i: usize) -> V {
    match spec.uncertainty {
        Uncertainty::Constant => c!(p.beta),
        Uncertainty::Kinematic => {
            let (_, sin, d) = geometry(p, s.x[i]);
            c!(p.beta) * ((sin / d) / s.turn[i])
        }
    }
}

/// The observation of a state at `clock`, 3K values written through `put(index, value)`: cos θ̂, d̂/80, A/A_max.
#[inline(always)]
pub fn observe<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    env: V::Word,
    clock: u32,
    mut put: impl FnMut(usize, V),
) {
    let k = spec.vehicles;
    let mut noise = V::splat(0.0);
    for i in 0..k {
        if i.is_multiple_of(2) {
            let w = draw(p.key, stream::RANGE, env, clock, i as u32 / 2);
            let z = V::normal_pair(w[0], w[1]);
            put(k + i, ranged(p, s.x[i], z.0));
            noise = z.1;
        } else {
            put(k + i, ranged(p, s.x[i], noise));
        }
        put(i, estimated_cos(p, s.x[i], seen_error(spec, p, s, i, env, clock)));
        put(2 * k + i, s.age[i] * V::splat(1.0 / f64::from(p.age_max)));
    }
}

#[inline(always)]
fn ranged<V: Real>(p: &MisacParams, x: V, z: V) -> V {
    let d = geometry(p, x).2;
    (d * (V::splat(1.0) + c!(p.distance_noise) * z)) * V::splat(1.0 / DISTANCE_UNIT_M)
}

/// e of vehicle `i` as θ̂ of the slot `clock` has it: the tracking error, and the radar's own noise where the estimate
/// is no frame's.
#[inline(always)]
pub fn seen_error<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
) -> V {
    if !spec.choices.radar_noise {
        return s.e[i];
    }
    let w = draw(p.key, stream::RANGE, env, clock, i as u32 / 2);
    let z = V::normal_pair(w[2], w[3]);
    let noise = c!(p.radar_noise_rad) * if i.is_multiple_of(2) { z.0 } else { z.1 };
    s.e[i] + V::select(c!(p.t_proc).lt(s.age[i]), noise, V::splat(0.0))
}

/// e after a slot without a frame; `rate` is β_k, `z` the slot's normal number. What grows with the age counts it as
/// (7) does.
#[inline(always)]
fn grown_error<V: Real>(spec: &MisacSpec, p: &MisacParams, [e, age]: [V; 2], rate: V, z: V) -> V {
    match spec.choices.growth {
        ErrorGrowth::RandomWalk => e + (c!(p.beam_width_rad) * rate.sqrt()) * z,
        ErrorGrowth::Exponential => {
            // Any error is at π after so much growth.
            let mut exponent = (c!(p.error_rate) * rate).min(V::splat(MOST_GROWTH));
            if spec.choices.age_saturates {
                exponent = V::select(age.lt(c!(p.age_max)), exponent, V::splat(0.0));
            }
            let most = c!(std::f32::consts::PI);
            (e * exponent.exp()).min(most).max(-most)
        }
    }
}

/// cos θ̂ = cos(θ + e).
#[inline(always)]
pub fn estimated_cos<V: Real>(p: &MisacParams, x: V, e: V) -> V {
    let (cos, sin, _) = geometry(p, x);
    let (se, ce) = e.sin_cos();
    cos * ce - sin * se
}

/// One slot: what the decision costs, then errors, ages and vehicles move on. `pi[k]` is 1 or 0. Energy (3) is that of
/// the sweeps expected (5), whether or not they are drawn ([`Choices::realign`]).
#[inline(always)]
pub fn step<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    env: V::Word,
    clock: u32,
    pi: &[V],
    s: &mut State<V>,
) -> SlotOut<V> {
    let k = spec.vehicles;
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mean = V::splat(1.0 / k as f64);
    let mut out = SlotOut {
        energy: zero,
        reward: zero,
        l_bmp: zero,
        over: zero,
        mae: zero,
        age_max: zero,
        over_age: zero,
        misaligned: [zero; KMAX],
    };
    let (mut frames, mut misaligned) = (zero, zero);
    let mut noise = [zero; KMAX];
    for i in 0..k.div_ceil(4) {
        let w = draw(p.key, stream::TRACK, env, clock, i as u32);
        let (a, b) = V::normal_pair(w[0], w[1]);
        let (c, d) = V::normal_pair(w[2], w[3]);
        for (j, z) in [a, b, c, d].into_iter().enumerate().take(k - 4 * i) {
            noise[4 * i + j] = z;
        }
    }
    let mut luck = [one; KMAX];
    if spec.choices.realign {
        for i in 0..k.div_ceil(4) {
            let w = draw(p.key, stream::RECOVERY, env, clock, i as u32);
            for (j, w) in w.into_iter().enumerate().take(k - 4 * i) {
                luck[4 * i + j] = V::unit_from_word(w);
            }
        }
    }
    for i in 0..k {
        let rate = beta(spec, p, s, i);
        out.misaligned[i] = one - (-(rate * s.age[i])).exp();
        misaligned += out.misaligned[i];
        frames += pi[i];
        out.mae += seen_error(spec, p, s, i, env, clock).abs();
        out.age_max = out.age_max.max(s.age[i]);
        // e after the slot: fresh where a frame was taken or a sweep has found the vehicle, else grown.
        let grown = grown_error(spec, p, [s.e[i], s.age[i]], rate, noise[i]);
        let mut renewed = pi[i];
        if spec.choices.realign {
            renewed = V::select(luck[i].lt(out.misaligned[i]), one, renewed);
        }
        let fresh = zero.lt(renewed);
        s.e[i] = V::select(fresh, c!(p.sigma_vis_rad) * noise[i], grown);
        // Ages that were counted as A_max grow beyond it as those that are A_max do.
        let age = V::select(fresh, c!(p.t_proc), s.age[i] + one);
        out.over_age = V::select(c!(p.age_max).lt(age), one, out.over_age);
        s.age[i] = if spec.choices.age_saturates { age.min(c!(p.age_max)) } else { age };
        s.x[i] += s.v[i] * c!(p.dt_s);
    }
    out.mae *= mean;
    out.l_bmp = misaligned * mean;
    out.energy = c!(p.e_vis_j) * frames + c!(p.e_recovery_j) * misaligned;
    let excess = (out.l_bmp - c!(p.gamma_misa)).max(zero);
    out.over = V::select(zero.lt(excess), one, zero);
    out.reward = -out.energy - c!(p.lambda_j) * excess;
    out
}

/// Reads the state of the lanes starting at `env` from rows `[7K, B]`.
#[inline(always)]
pub fn load_state<V: Real>(k: usize, rows: &[V::Elem], stride: usize, env: usize) -> State<V> {
    let zero = V::splat(0.0);
    let mut all = [[zero; KMAX]; STATE_ROWS];
    for (q, group) in all.iter_mut().enumerate() {
        for (i, x) in group.iter_mut().enumerate().take(k) {
            *x = V::load(&rows[(q * k + i) * stride + env..]);
        }
    }
    let [x, v, age, e, s0, s1, turn] = all;
    State { x, v, age, e, scatter: [s0, s1], turn }
}

/// Writes what [`load_state`] reads.
#[inline(always)]
pub fn store_state<V: Real>(k: usize, s: &State<V>, rows: &mut [V::Elem], stride: usize, env: usize) {
    let all = [&s.x, &s.v, &s.age, &s.e, &s.scatter[0], &s.scatter[1], &s.turn];
    for (q, group) in all.into_iter().enumerate() {
        for (i, x) in group.iter().enumerate().take(k) {
            x.store(&mut rows[(q * k + i) * stride + env..]);
        }
    }
}

#[inline(always)]
fn put_rows<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    ids: V::Word,
    clock: u32,
    rows: &mut [V::Elem],
    env: usize,
) {
    let o = spec.obs_dim();
    let mut lanes = [V::Elem::default(); 16];
    observe(
        spec,
        p,
        s,
        ids,
        clock,
        #[inline(always)]
        |i, x| {
            x.store(&mut lanes);
            for (l, value) in lanes.iter().enumerate().take(V::LANES) {
                rows[(env + l) * o + i] = *value;
            }
        },
    );
}

/// The sizes with the number of vehicles as a constant of the code, or as given where `KC` is 0.
#[inline(always)]
fn with_vehicles<const KC: usize>(spec: &MisacSpec) -> MisacSpec {
    MisacSpec { vehicles: if KC > 0 { KC } else { spec.vehicles }, ..*spec }
}

/// misac_reset over the environments [from, to) of a batch, in whole lane groups: fresh states and their observations.
#[inline(always)]
pub fn reset_range<V: Real, const KC: usize>(
    spec: &MisacSpec,
    b: &mut Batch<MisacParams, V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let spec = &with_vehicles::<KC>(spec);
    each_group!(env in from, to, V, {
        let ids = V::Word::iota(b.first + env as u32);
        let s = reset::<V>(spec, b.params, ids, clock);
        store_state(spec.vehicles, &s, b.state, b.envs, env);
        put_rows(spec, b.params, &s, ids, clock, b.obs, env);
    });
}

/// misac_step over the environments [from, to) of a batch, in whole lane groups. `action` `[envs, K]` holds 1 where a
/// camera is on, else 0. `clock` counts the slots since the first reset; the episode ends where (clock+1) mod T = 0,
/// and the state is then reset with the draws of clock+1. The observation of a slot is drawn at its own clock, so
/// `final_obs` and the next observation are both drawn at clock+1.
#[inline(always)]
pub fn step_range<V: Real, const KC: usize>(
    spec: &MisacSpec,
    b: &mut Batch<MisacParams, V::Elem>,
    action: &[V::Elem],
    out: &mut StepSlices<V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let spec = &with_vehicles::<KC>(spec);
    let k = spec.vehicles;
    let ends = (clock as usize + 1).is_multiple_of(spec.slots);
    each_group!(env in from, to, V, {
        let mut pi = [V::splat(0.0); KMAX];
        let mut lanes = [V::Elem::default(); 16];
        for (i, x) in pi.iter_mut().enumerate().take(k) {
            for (l, value) in lanes.iter_mut().enumerate().take(V::LANES) {
                *value = action[(env + l) * k + i];
            }
            *x = V::load(&lanes);
        }
        let ids = V::Word::iota(b.first + env as u32);
        let mut s = load_state::<V>(k, b.state, b.envs, env);
        let o = step(spec, b.params, ids, clock, &pi, &mut s);
        o.reward.store(&mut out.reward[env..]);
        out.flags[env..env + V::LANES].fill(if ends { TRUNCATED } else { 0 });
        if let Some(m) = out.metrics.as_deref_mut() {
            let rows = [o.energy, o.reward, o.l_bmp, o.over, o.mae, o.age_max, o.over_age];
            for (row, x) in rows.into_iter().enumerate() {
                x.store(&mut m[row * b.envs + env..]);
            }
        }
        if ends {
            put_rows(spec, b.params, &s, ids, clock + 1, out.final_obs, env);
            s = reset::<V>(spec, b.params, ids, clock + 1);
        }
        store_state(k, &s, b.state, b.envs, env);
        put_rows(spec, b.params, &s, ids, clock + 1, b.obs, env);
    });
}

struct StepChunk<'a> {
    spec: &'a MisacSpec,
    batch: Batch<'a, MisacParams>,
    action: &'a [f32],
    out: StepSlices<'a>,
    clock: u32,
}

impl LaneKernel for StepChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.batch.envs;
        let whole = n / V::LANES * V::LANES;
        let StepChunk { spec, action, clock, .. } = self;
        if spec.vehicles == 4 {
            step_range::<V, 4>(spec, &mut self.batch, action, &mut self.out, clock, 0, whole);
        } else {
            step_range::<V, 0>(spec, &mut self.batch, action, &mut self.out, clock, 0, whole);
        }
        if whole < n {
            step_range::<f32, 0>(spec, &mut self.batch, action, &mut self.out, clock, whole, n);
        }
    }
}

/// One slot of all environments of a batch with the widest vectors: the fast form of `kernels::misac_step`, same bits.
pub fn misac_step_chunk(
    spec: &MisacSpec,
    batch: Batch<MisacParams>,
    action: &[f32],
    out: StepSlices,
    clock: u32,
) {
    run_lanes(StepChunk { spec, batch, action, out, clock });
}

/// Fresh episodes in all environments of a batch.
pub fn misac_reset_chunk(
    spec: &MisacSpec,
    params: &MisacParams,
    envs: usize,
    first: u32,
    state: &mut [f32],
    obs: &mut [f32],
    clock: u32,
) {
    reset_range::<f32, 0>(spec, &mut Batch { params, envs, first, state, obs }, clock, 0, envs);
}

/// The channel h_k of one vehicle in one slot, `[M]` each part.
#[derive(Clone, Copy)]
pub struct Channel<V> {
    pub re: [V; MMAX],
    pub im: [V; MMAX],
}

/// (2) and (8) of vehicle `i` in the slot `clock`, for the state *before* [`step`]: line of sight, scatterers with
/// fresh phases, and Δh ~ CN(0, ρ·P_misa/M·I), joined as [`Ageing`] says. E‖ĥ‖² = M; the path loss is apart.
#[inline(always)]
pub fn channel<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    h: &mut Channel<V>,
) {
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, re, im| (h.re[m], h.im[m]) = (re, im),
    );
}

/// The elements of [`channel`] one by one: `put(m, re, im)`.
#[inline(always)]
pub fn channel_elements<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    mut put: impl FnMut(usize, V, V),
) {
    let one = V::splat(1.0);
    let (cos, _, _) = geometry(p, s.x[i]);
    let misaligned = one - (-(beta(spec, p, s, i) * s.age[i])).exp();
    // A real and an imaginary part each have half the variance.
    let (mut los, mut scatter) = (c!(p.los), c!(p.scatter));
    let sigma = match spec.choices.ageing {
        Ageing::Independent => {
            (V::splat(0.5 * f64::from(p.csi_error)) * misaligned).max(V::splat(0.0)).sqrt()
        }
        Ageing::PowerPreserving => {
            let lost = (c!(p.csi_error) * misaligned).max(V::splat(0.0)).min(one);
            let kept = (one - lost).sqrt();
            (los, scatter) = (los * kept, scatter * kept);
            (V::splat(0.5) * lost).sqrt()
        }
    };
    let phases = draw(p.key, stream::PHASE, env, clock, i as u32);
    let paths = [
        (cos, los, V::sin_cos_word(phases[0])),
        (s.scatter[0][i], scatter, V::sin_cos_word(phases[1])),
        (s.scatter[1][i], scatter, V::sin_cos_word(phases[2])),
    ];
    let blocks = spec.antennas.div_ceil(2);
    for b in 0..blocks {
        let w = draw(p.key, stream::CSI, env, clock, (i * blocks + b) as u32);
        for half in 0..2 {
            let m = 2 * b + half;
            if m >= spec.antennas {
                break;
            }
            let (z0, z1) = V::normal_pair(w[2 * half], w[2 * half + 1]);
            let (mut re, mut im) = (sigma * z0, sigma * z1);
            for (u, amplitude, (sin, cos)) in paths {
                // e^{jφ}·e^{−jπ m u}
                let (sm, cm) = V::sin_cos_pi_multiple(u, m as u32);
                re += amplitude * (cos * cm + sin * sm);
                im += amplitude * (sin * cm - cos * sm);
            }
            put(m, re, im);
        }
    }
}

/// √M·v_m = e^{jΦ_m} of (10), real and imaginary part, for the estimated cosine `cos_hat` of the vehicle.
#[inline(always)]
pub fn beam_element<V: Real>(phase: Phase, cos_hat: V, m: usize, phi: V) -> (V, V) {
    let (sin, cos) = phi.sin_cos();
    match phase {
        Phase::Direct => (cos, sin),
        Phase::Residual => {
            let (sm, cm) = V::sin_cos_pi_multiple(cos_hat, m as u32);
            (cos * cm + sin * sm, sin * cm - cos * sm)
        }
    }
}

/// conj(h)·w of one antenna.
#[inline(always)]
fn conj_product<V: Real>(h: (V, V), w: (V, V)) -> (V, V) {
    (h.0 * w.0 + h.1 * w.1, h.0 * w.1 - h.1 * w.0)
}

/// What the beams of a slot are worth to one vehicle; rows and units as in [`gain_row`].
#[derive(Clone, Copy, Debug)]
pub struct Gains<V> {
    pub gain: V,
    pub matched: V,
    pub estimate: V,
    pub truth: V,
    pub sinr: V,
    pub rate: V,
    pub modulus_error: V,
    pub power: V,
}

/// The beams of a slot, of which vehicle j has the phases `phi(j·M + m)` (rad), as vehicle `i` receives them (1); the
/// state is the one before [`step`]. Every beam is sent with `beam_power_w`, over the path loss of vehicle i.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a slot of one vehicle and what its beams are made of")]
pub fn gains<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    phase: Phase,
    phi: impl Fn(usize) -> V,
) -> Gains<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (k, n) = (spec.vehicles, spec.antennas);
    let per_antenna = V::splat(1.0 / n as f64);
    let mut cos_hat = [zero; KMAX];
    for j in 0..k {
        cos_hat[j] = estimated_cos(p, s.x[j], seen_error(spec, p, s, j, env, clock));
    }
    let (cos, _, _) = geometry(p, s.x[i]);
    // Σ conj(h_m)·e^{jΦ_m} of every beam, then of the two references.
    let (mut re, mut im) = ([zero; KMAX + 2], [zero; KMAX + 2]);
    let (mut amplitudes, mut off, mut power) = (zero, zero, zero);
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, hr, hi| {
            for j in 0..k {
                let w = beam_element(phase, cos_hat[j], m, phi(j * n + m));
                let t = conj_product((hr, hi), w);
                re[j] += t.0;
                im[j] += t.1;
                if j == i {
                    let square = w.0 * w.0 + w.1 * w.1;
                    off = off.max((square.sqrt() - one).abs());
                    power += square;
                }
            }
            for (j, u) in [cos_hat[i], cos].into_iter().enumerate() {
                let (sm, cm) = V::sin_cos_pi_multiple(u, m as u32);
                let t = conj_product((hr, hi), (cm, -sm));
                re[KMAX + j] += t.0;
                im[KMAX + j] += t.1;
            }
            amplitudes += (hr * hr + hi * hi).sqrt();
        },
    );
    let gain = |j: usize| (re[j] * re[j] + im[j] * im[j]) * per_antenna;
    let mut interference = zero;
    for j in 0..k {
        if j != i {
            interference += gain(j);
        }
    }
    // Received power over noise of a beam of gain 1.
    let d2 = s.x[i] * s.x[i] + c!(p.road_y_m) * c!(p.road_y_m);
    let snr = ((c!(p.beam_power_w) * c!(p.path_gain_m2)) / c!(p.noise_w)) / d2;
    let sinr = (snr * gain(i)) / (snr * interference + one);
    Gains {
        gain: gain(i),
        matched: (amplitudes * amplitudes) * per_antenna,
        estimate: gain(KMAX),
        truth: gain(KMAX + 1),
        sinr,
        rate: (one + sinr).ln() * V::splat(std::f64::consts::LOG2_E),
        modulus_error: off * V::splat(1.0 / (n as f64).sqrt()),
        power: (c!(p.beam_power_w) * per_antenna) * power,
    }
}

/// The gain |h^H v|²/M of vehicle i's own beam in the slot `clock` (state before [`step`]), and the derivative of
/// M²·|h^H v|²/M by each of its phases, Φ_m: 2·Im(conj(c_m)·Σ c) with c_m = conj(h_m)·e^{jΦ_m}. `phi(m)` are the
/// vehicle's M phases (rad). What (13) is made of.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a slot of one vehicle and its beam")]
pub fn spatial_gain<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    phase: Phase,
    phi: impl Fn(usize) -> V,
    derivative: &mut [V; MMAX],
) -> V {
    let zero = V::splat(0.0);
    let n = spec.antennas;
    let cos_hat = estimated_cos(p, s.x[i], seen_error(spec, p, s, i, env, clock));
    let mut t = Channel { re: [zero; MMAX], im: [zero; MMAX] };
    let (mut re, mut im) = (zero, zero);
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, hr, hi| {
            (t.re[m], t.im[m]) = conj_product((hr, hi), beam_element(phase, cos_hat, m, phi(m)));
            re += t.re[m];
            im += t.im[m];
        },
    );
    for (m, out) in derivative.iter_mut().enumerate().take(n) {
        let turned = im * t.re[m] - re * t.im[m];
        *out = turned + turned;
    }
    (re * re + im * im) * V::splat(1.0 / (n as f64 * n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn params(beta: f32) -> MisacParams {
        MisacParams {
            key: [7, 0],
            beta,
            e_vis_j: 10.0,
            e_recovery_j: 25.0,
            lambda_j: 200.0,
            gamma_misa: 0.15,
            t_proc: 0.0,
            age_max: 10.0,
            sigma_vis_rad: 0.05f32.to_radians(),
            beam_width_rad: 0.886 / 64.0,
            distance_noise: 0.01,
            dt_s: 0.02,
            road_y_m: 20.0,
            x_min_m: -80.0,
            x_max_m: 0.0,
            speed_min_m_s: 15.0,
            speed_max_m_s: 25.0,
            los: (10f32 / 11.0).sqrt(),
            scatter: (1f32 / 22.0).sqrt(),
            csi_error: 0.1,
            beam_power_w: 0.25,
            path_gain_m2: (3e8f32 / 28e9 / (4.0 * std::f32::consts::PI)).powi(2),
            noise_w: 10f32.powf(-14.4),
            error_rate: 2.77,
            radar_noise_rad: 0.01,
        }
    }

    const SPEC: MisacSpec = MisacSpec {
        vehicles: 4,
        antennas: 64,
        slots: 200,
        uncertainty: Uncertainty::Constant,
        choices: Choices::DEFAULT,
    };

    #[test]
    fn cameras_always_on_cost_exactly_40_joules() {
        let p = params(0.107);
        let mut s = reset::<f32>(&SPEC, &p, 3, 0);
        for n in 0..50 {
            let out = step(&SPEC, &p, 3, n, &[1.0; 4], &mut s);
            assert_eq!(out.energy, 40.0);
            assert_eq!(out.reward, -40.0);
        }
    }

    #[test]
    fn without_cameras_ages_saturate_and_the_cost_is_its_closed_form() {
        let p = params(0.107);
        let mut s = reset::<f64>(&SPEC, &p, 3, 0);
        for n in 0..30 {
            let out = step(&SPEC, &p, 3, n, &[0.0; 4], &mut s);
            let age = f64::from(n.min(10));
            let want = 100.0 * (1.0 - (-f64::from(p.beta) * age).exp());
            assert!((out.energy - want).abs() < 1e-9, "slot {n}: {} against {want}", out.energy);
            assert_eq!(out.age_max, age);
            assert_eq!(out.over_age, f64::from(u8::from(n >= 10)), "behind slot {n}");
        }
    }

    /// Wide lanes, their remainder and single environments give the same bits; an episode ends at T with the
    /// observation before the reset.
    #[test]
    fn step_chunk_equals_single_environments_and_ends_episodes() {
        for (vehicles, uncertainty) in [(4, Uncertainty::Constant), (3, Uncertainty::Kinematic)] {
            let spec = MisacSpec { vehicles, slots: 5, uncertainty, ..SPEC };
            let p = params(0.107);
            let (envs, first, o, k) = (37, 1000, spec.obs_dim(), vehicles);
            let (mut state, mut obs) = (vec![0f32; spec.state_rows() * envs], vec![0f32; envs * o]);
            misac_reset_chunk(&spec, &p, envs, first, &mut state, &mut obs, 0);
            let mut single: Vec<State<f32>> =
                (0..envs as u32).map(|e| reset(&spec, &p, first + e, 0)).collect();
            for clock in 0..7 {
                let action: Vec<f32> = (0..envs * k)
                    .map(|i| f32::from(u8::from((i + clock as usize).is_multiple_of(3))))
                    .collect();
                let (mut final_obs, mut reward) = (vec![f32::NAN; envs * o], vec![0f32; envs]);
                let (mut flags, mut metrics) = (vec![7u32; envs], vec![0f32; metric::ROWS * envs]);
                let out = StepSlices {
                    final_obs: &mut final_obs,
                    reward: &mut reward,
                    flags: &mut flags,
                    metrics: Some(&mut metrics),
                    full: true,
                };
                let batch = Batch { params: &p, envs, first, state: &mut state, obs: &mut obs };
                misac_step_chunk(&spec, batch, &action, out, clock);
                for (e, s) in single.iter_mut().enumerate() {
                    let id = first + e as u32;
                    let got = step(&spec, &p, id, clock, &action[e * k..][..k], s);
                    assert_eq!(reward[e].to_bits(), got.reward.to_bits());
                    assert_eq!(metrics[metric::ENERGY * envs + e], got.energy);
                    assert_eq!(metrics[metric::OVER_GAMMA * envs + e], got.over);
                    assert_eq!(metrics[metric::AGE_MAX * envs + e], got.age_max);
                    assert_eq!(metrics[metric::OVER_AGE * envs + e], got.over_age);
                    let row = |s: &State<f32>| {
                        let mut row = vec![0f32; o];
                        observe(&spec, &p, s, id, clock + 1, |i, x| row[i] = x);
                        row
                    };
                    if clock == 4 {
                        assert_eq!(flags[e], TRUNCATED);
                        assert_eq!(final_obs[e * o..][..o], row(s));
                        *s = reset(&spec, &p, id, 5);
                    } else {
                        assert_eq!(flags[e], 0);
                        assert!(final_obs[e * o].is_nan());
                    }
                    assert_eq!(obs[e * o..][..o], row(s), "environment {e}, clock {clock}");
                    assert_eq!(state[(2 * k + 1) * envs + e], s.age[1]);
                    assert_eq!(state[(6 * k) * envs + e].to_bits(), s.turn[0].to_bits());
                }
            }
        }
    }

    #[test]
    fn channel_has_the_power_it_is_normalised_to() {
        let p = params(0.107);
        let mut power = [0.0; 2];
        let n = 400;
        for env in 0..n {
            let mut s = reset::<f64>(&SPEC, &p, env, 0);
            let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
            for (with_error, power) in power.iter_mut().enumerate() {
                s.age = [10.0 * with_error as f64; KMAX];
                channel(&SPEC, &p, &s, 0, env, 5, &mut h);
                *power += (0..64).map(|m| h.re[m] * h.re[m] + h.im[m] * h.im[m]).sum::<f64>();
            }
        }
        let misaligned = 1.0 - (-f64::from(p.beta) * 10.0).exp();
        for (got, want) in power.iter().zip([64.0, 64.0 * (1.0 + 0.1 * misaligned)]) {
            let got = got / f64::from(n);
            // The scatterers' interference with the line of sight spreads ‖h‖² by a few per cent.
            assert!((got / want - 1.0).abs() < 0.02, "{got} against {want}");
        }
    }

    #[test]
    fn kinematic_uncertainty_has_mean_one_over_the_episode() {
        let spec = MisacSpec { uncertainty: Uncertainty::Kinematic, ..SPEC };
        let p = params(0.107);
        let mut s = reset::<f64>(&spec, &p, 9, 0);
        let mut sum = [0.0; 4];
        for n in 0..200 {
            for (i, sum) in sum.iter_mut().enumerate() {
                *sum += beta(&spec, &p, &s, i) / f64::from(p.beta);
            }
            step(&spec, &p, 9, n, &[0.0; 4], &mut s);
        }
        for (i, sum) in sum.iter().enumerate() {
            // A left Riemann sum of the rate.
            assert!((sum / 200.0 - 1.0).abs() < 0.01, "vehicle {i}: {}", sum / 200.0);
        }
    }

    #[test]
    fn beams_from_the_estimate_and_from_the_truth_reach_their_known_shares_of_matched_phases() {
        use crate::tasks::misac::dp::Schedule;
        let beta = 0.055 + 0.165 * 10f64.powf(-0.5);
        let p = params(beta as f32);
        let problem = Schedule {
            beta: vec![f64::from(p.beta); 4],
            e_vis_j: 10.0,
            e_recovery_j: 25.0,
            t_proc: 0,
            age_max: 10,
            lambda_j: 200.0,
            gamma_misa: 0.15,
            realign: false,
        };
        let values = problem.solve(1e-7, 10_000).unwrap().values;
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        let (mut matched, mut truth, mut estimate) = (0.0, 0.0, 0.0);
        for env in 0..40 {
            let mut s = reset::<f64>(&SPEC, &p, env, 0);
            for n in 0..200 {
                if n % 5 == 0 {
                    for i in 0..4 {
                        channel(&SPEC, &p, &s, i, env, n, &mut h);
                        // |h^H v|² of unit-modulus phases −π m u, and of arg h.
                        let gain = |u: f64| {
                            let (mut re, mut im) = (0.0, 0.0);
                            for m in 0..64 {
                                let (sin, cos) = f64::sin_cos_pi_multiple(u, m as u32);
                                re += h.re[m] * cos - h.im[m] * sin;
                                im += h.re[m] * sin + h.im[m] * cos;
                            }
                            (re * re + im * im) / 64.0
                        };
                        truth += gain(geometry(&p, s.x[i]).0);
                        estimate += gain(estimated_cos(&p, s.x[i], s.e[i]));
                        let sum: f64 = (0..64).map(|m| h.re[m].hypot(h.im[m])).sum();
                        matched += sum * sum / 64.0;
                    }
                }
                let ages: Vec<usize> = s.age[..4].iter().map(|a| *a as usize).collect();
                let pi: Vec<f64> = problem.decide(&ages, &values).iter().map(|b| f64::from(*b)).collect();
                step(&SPEC, &p, env, n, &pi, &mut s);
            }
        }
        println!("truth {:.4}, estimate {:.4}", truth / matched, estimate / matched);
        assert!((truth / matched - 0.947).abs() < 0.006, "true angle {}", truth / matched);
        assert!((estimate / matched - 0.917).abs() < 0.012, "estimated angle {}", estimate / matched);
    }

    /// `gains` against its definition in complex arithmetic written out, with random phases, in f64; and in f32.
    #[test]
    fn gains_are_their_definitions() {
        let p = params(0.107);
        let (k, m) = (SPEC.vehicles, SPEC.antennas);
        let phase = |j: usize, m: usize| ((j * 64 + m) as f64 * 1.7).sin() * 3.0;
        let mut s = reset::<f64>(&SPEC, &p, 11, 0);
        s.e = [0.01; KMAX];
        s.age = [3.0; KMAX];
        let narrow = |x: &[f64; KMAX]| x.map(|x| x as f32);
        let t = State {
            x: narrow(&s.x),
            v: narrow(&s.v),
            age: narrow(&s.age),
            e: narrow(&s.e),
            scatter: [narrow(&s.scatter[0]), narrow(&s.scatter[1])],
            turn: narrow(&s.turn),
        };
        for i in 0..k {
            let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
            channel(&SPEC, &p, &s, i, 11, 4, &mut h);
            let phi = |n: usize| phase(n / m, n % m);
            let g = gains(&SPEC, &p, &s, i, 11, 4, Phase::Direct, phi);
            // |h^H v|² with v = e^{jΦ}/√M
            let product = |phase: &dyn Fn(usize) -> f64| {
                let sum = (0..m).fold(num_complex::Complex64::ZERO, |sum, m| {
                    let h = num_complex::Complex64::new(h.re[m], h.im[m]);
                    sum + h.conj() * num_complex::Complex64::from_polar(1.0 / 8.0, phase(m))
                });
                sum.norm_sqr()
            };
            let close = |got: f64, want: f64, what: &str| {
                assert!((got - want).abs() < 1e-9 * want.max(1.0), "{what}: {got} against {want}")
            };
            let own = product(&|m| phase(i, m));
            close(g.gain, own, "own");
            let others: f64 = (0..k).filter(|j| *j != i).map(|j| product(&|m| phase(j, m))).sum();

            close(g.matched, product(&|m| h.im[m].atan2(h.re[m])), "matched");
            let theta = (-s.x[i]).atan2(20.0);
            let cos = |theta: f64| theta.sin();
            close(g.truth, product(&|m| -std::f64::consts::PI * m as f64 * cos(theta)), "truth");
            // θ grows where its cosine falls.
            close(
                g.estimate,
                product(&|m| -std::f64::consts::PI * m as f64 * cos(theta - s.e[i])),
                "estimate",
            );
            let d2 = s.x[i] * s.x[i] + 400.0;
            let (power, noise) = (f64::from(p.beam_power_w * p.path_gain_m2) / d2, f64::from(p.noise_w));
            let sinr = power * own / (power * others + noise);
            assert!((g.rate - (1.0 + sinr).log2()).abs() < 1e-6, "rate");
            close(g.power, f64::from(p.beam_power_w), "power");
            assert!(g.modulus_error < 1e-15);
            // No correction to the steering phases is the beam of the estimate.
            close(gains(&SPEC, &p, &s, i, 11, 4, Phase::Residual, |_| 0.0).gain, g.estimate, "residual");

            let g32 = gains(&SPEC, &p, &t, i, 11, 4, Phase::Direct, |n| phi(n) as f32);
            for (a, b) in [(g32.gain, g.gain), (g32.matched, g.matched)] {
                assert!((f64::from(a) - b).abs() < 1e-3 * g.matched, "{a} in f32, {b} in f64");
            }
            assert!(g32.modulus_error < 1e-6, "{}", g32.modulus_error);
        }
    }
}
