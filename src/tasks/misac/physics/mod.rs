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

mod channel;
mod spec;
mod state;

pub use channel::{Channel, Gains, beam_element, channel, channel_elements, gain_row, gains, spatial_gain};
pub use spec::{
    Ageing, Choices, DISTANCE_UNIT_M, ErrorGrowth, KMAX, MMAX, MOST_GROWTH, MisacParams, MisacSpec,
    SCATTERERS, STATE_ROWS, Uncertainty,
};
pub use state::{
    State, beta, estimated_cos, geometry, load_state, observe, reset, seen_error, store_state, stream,
};

use crate::env::{Batch, StepSlices, TRUNCATED};
pub use crate::nets::experts::Phase;
use crate::num::philox::draw;
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, c, each_group, run_lanes};
use state::grown_error;

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

    pub(super) const SPEC: MisacSpec = MisacSpec {
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
}
