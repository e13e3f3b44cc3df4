//! Task v2x: one-step ISAC beamforming for K vehicles (paper "spiking-ac"; equation numbers below are its own).
//!
//! Shapes: state rows `[10K, B]` (environment fastest): θ, d, v, θ̂, d̂, v̂, γ̂ and the three variances of the last
//! echo, K rows each; with [`Limits::Episode`] three more, [`State::past`]. Observation rows `[B, 4K]` = (x −
//! shift)·scale of x = (θ̂, d̂, v̂, log10(1+γ̂)), each with its own shift and scale. Angles in rad, distances in m,
//! speeds in m/s, powers in W.
//!
//! [`step`] is one source for f64, f32 and vector lanes; `shaders/v2x/v2x_step.wgsl` repeats it operation by operation.
//! Array gains of steered beams use the closed form aᴴ(θ)a(φ) = e^{jπ(N−1)Δ/2}·D(Δ), D(Δ) = sin(πNΔ/2)/(N sin(πΔ/2)), Δ
//! = cos θ − cos φ; explicit beam matrices are summed over the antennas.

mod beams;
mod echo;
pub mod metric;
mod spec;
mod state;

#[cfg(test)]
pub(super) use beams::softmax_power;
pub(super) use beams::{Base, Beams, aim, antenna, base_of, beams};
pub use beams::{comm_snr_per_watt, loading, pointed, water_fill};
pub(super) use echo::{Heard, LIT_FLOOR, RADAR_FLOOR, beyond, hear};
pub use spec::{
    Beam, Choices, Kinematics, Limits, MatrixBase, PAST_ROWS, Reward, STATE_ROWS, V2xParams, V2xSpec,
};
pub use state::{Noise, State, echo_noise, load_state, motion, motion_noise, observe, reset, store_state};

pub use super::array::{KMAX, dirichlet, steering_vector};
use crate::env::{Batch, StepSlices, TRUNCATED};
use crate::num::real::{Real, Word, c, each_group, load_rows};
use echo::{log2_1p, own_sinr, so_far};
use state::load_past;

/// What one slot produced.
#[derive(Clone, Copy)]
pub struct SlotOut<V> {
    pub sum_rate: V,
    pub jain: V,
    pub reward: V,
    pub indicator: V,
    pub angle_se: V,
    pub distance_se: V,
    pub angle_crlb: V,
    pub distance_crlb: V,
    pub upper_bound: V,
    pub pointing_se: V,
    pub rate: [V; KMAX],
    /// Of each vehicle: |θ̂−θ|, |d̂−d|, |φ−θ|.
    pub error: [[V; KMAX]; metric::SAMPLES],
}

/// One slot in the order of the task: action → truth moves → rates, sensing, reward → echo. `act` holds the A action
/// values (one V each); `full` adds the metrics that only evaluation needs.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "two noise arrays are inputs so that recorded slots can be replayed"
)]
pub fn step<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    moved: &Noise<V>,
    echoed: &Noise<V>,
    act: &[V],
    full: bool,
    s: &mut State<V>,
) -> SlotOut<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    motion(k, spec.kinematics, p, moved, s);
    let (mut sin, mut cos) = ([zero; KMAX], [zero; KMAX]);
    for i in 0..k {
        (sin[i], cos[i]) = s.theta[i].sin_cos();
    }
    let b = beams(spec, k, p, &sin, &cos, s, act);
    let phi = if full { pointed(spec, k, p, s, act) } else { [zero; KMAX] };

    let h = hear(spec, k, p, &b, s);
    s.obs_sinr = h.sinr;
    let (per_vehicle, radar) = (V::splat(1.0 / k as f64), h.radar);
    let mut out = SlotOut {
        sum_rate: h.sum_rate,
        jain: h.jain,
        reward: zero,
        indicator: zero,
        angle_se: zero,
        distance_se: zero,
        angle_crlb: zero,
        distance_crlb: zero,
        upper_bound: zero,
        pointing_se: zero,
        rate: h.rate,
        error: [[zero; KMAX]; metric::SAMPLES],
    };
    // (24a), (24b)
    let [limited_theta, limited_d] = match spec.choices.limits {
        Limits::Slot => [h.mean_theta, h.mean_d],
        Limits::Episode => so_far(k, p, &h, s),
    };
    // (27)
    let pass = V::mask_and(limited_d.le(c!(p.eps_d_m2)), limited_theta.le(c!(p.eps_theta_rad2)));
    out.indicator = V::select(pass, one, zero);
    out.reward = match spec.choices.reward {
        Reward::Product => V::select(pass, (h.sum_rate * h.jain - h.mean_theta) - h.mean_d, zero),
        Reward::Indicator => V::select(pass, h.sum_rate * h.jain, zero),
        Reward::Lagrangian => {
            let lost_theta = c!(p.reward_weight_theta) * beyond(p.eps_theta_rad2, limited_theta);
            let lost_d = c!(p.reward_weight_d) * beyond(p.eps_d_m2, limited_d);
            (h.sum_rate * h.jain - lost_theta) - lost_d
        }
    };

    // The echo.
    let z = echoed;
    let (last_theta, last_d) = (s.obs_theta, s.obs_d);
    let noise = c!(p.sensing_noise);
    for j in 0..k {
        let var_theta = h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        let var_d = h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
        let std_v = (c!(p.sigma_v_scale) / (radar[j].sqrt() * cos[j].abs().max(c!(p.cos_floor))))
            .min(c!(p.cap_v_m_s));
        let err_theta = (noise * var_theta.sqrt()) * z[3 * j];
        let err_d = (noise * var_d.sqrt()) * z[3 * j + 1];
        let noisy_v = noise * std_v;
        s.obs_theta[j] = s.theta[j] + err_theta;
        s.obs_d[j] = s.d[j] + err_d;
        s.obs_v[j] = s.v[j] + noisy_v * z[3 * j + 2];
        s.var[0][j] = (noise * noise) * var_theta;
        s.var[1][j] = (noise * noise) * var_d;
        s.var[2][j] = noisy_v * noisy_v;
        if full {
            out.angle_se += err_theta * err_theta;
            out.distance_se += err_d * err_d;
            out.angle_crlb += var_theta;
            out.distance_crlb += var_d;
            let off = phi[j] - s.theta[j];
            out.pointing_se += off * off;
            out.error[0][j] = err_theta.abs();
            out.error[1][j] = err_d.abs();
            out.error[2][j] = off.abs();
        }
    }
    if !spec.choices.sinr_feedback {
        let last = State { obs_theta: last_theta, obs_d: last_d, ..*s };
        s.obs_sinr = own_sinr(spec, k, p, act, &last, s);
    }
    if full {
        out.angle_se *= per_vehicle;
        out.distance_se *= per_vehicle;
        out.angle_crlb *= per_vehicle;
        out.distance_crlb *= per_vehicle;
        out.pointing_se *= per_vehicle;
        let mut snr = [one; KMAX];
        for j in 0..k {
            snr[j] = comm_snr_per_watt(p, s.d[j]);
        }
        let fill = water_fill(k, c!(p.p_max_w), &snr);
        for j in 0..k {
            out.upper_bound += log2_1p(fill[j] * snr[j]);
        }
    }
    out
}

#[inline(always)]
fn put_rows<V: Real>(k: usize, p: &V2xParams, s: &State<V>, rows: &mut [V::Elem], env: usize) {
    let o = 4 * k;
    let mut lanes = [V::Elem::default(); 16];
    observe(
        k,
        p,
        s,
        #[inline(always)]
        |i, x| {
            x.store(&mut lanes);
            for (l, value) in lanes.iter().enumerate().take(V::LANES) {
                rows[(env + l) * o + i] = *value;
            }
        },
    );
}

/// v2x_reset over the environments [from, to) of a batch, in whole lane groups: fresh states and their observations.
#[inline(always)]
pub fn reset_range<V: Real, const KC: usize>(
    spec: &V2xSpec,
    b: &mut Batch<V2xParams, V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    each_group!(env in from, to, V, {
        let s = reset::<V>(k, b.params, V::Word::iota(b.first + env as u32), clock);
        store_state(spec, k, &s, b.state, b.envs, env);
        put_rows(k, b.params, &s, b.obs, env);
    });
}

/// v2x_step over the environments [from, to) of a batch, in whole lane groups. `clock` counts the slots since the first
/// reset; the episode ends where (clock+1) mod T = 0, and the state is then reset with the draws of clock+1.
#[inline(always)]
pub fn step_range<V: Real, const KC: usize>(
    spec: &V2xSpec,
    b: &mut Batch<V2xParams, V::Elem>,
    action: &[V::Elem],
    out: &mut StepSlices<V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    let a = spec.action_dim();
    let ends = (clock as usize + 1).is_multiple_of(spec.slots);
    // Large actions (explicit beam matrices) do not fit the fixed array.
    let mut fixed = [V::splat(0.0); 2 * KMAX + KMAX * KMAX];
    let mut large = if a > fixed.len() { vec![V::splat(0.0); a] } else { Vec::new() };
    each_group!(env in from, to, V, {
        let act: &mut [V] = if a > fixed.len() { &mut large } else { &mut fixed[..a] };
        load_rows(action, env, act);
        let ids = V::Word::iota(b.first + env as u32);
        let mut s = load_state::<V>(k, b.state, b.envs, env);
        s.past = load_past(spec, k, b.state, b.envs, env);
        let moved = motion_noise::<V>(k, b.params, ids, clock);
        let echoed = echo_noise::<V>(k, b.params, ids, clock);
        let o = step(spec, k, b.params, &moved, &echoed, act, out.full, &mut s);
        o.reward.store(&mut out.reward[env..]);
        out.flags[env..env + V::LANES].fill(if ends { TRUNCATED } else { 0 });
        if let Some(m) = out.metrics.as_deref_mut() {
            let fixed = [o.sum_rate, o.jain, o.reward, o.indicator, o.angle_se, o.distance_se, o.angle_crlb, o.distance_crlb, o.upper_bound, o.pointing_se];
            let rows = if out.full { metric::RATE + k } else { 4 };
            for (row, x) in fixed.into_iter().chain(o.rate).enumerate().take(rows) {
                x.store(&mut m[row * b.envs + env..]);
            }
            if out.full {
                for (q, group) in o.error.iter().enumerate() {
                    for (i, x) in group.iter().enumerate().take(k) {
                        x.store(&mut m[(metric::RATE + (1 + q) * k + i) * b.envs + env..]);
                    }
                }
            }
        }
        if ends {
            put_rows(k, b.params, &s, out.final_obs, env);
            s = reset::<V>(k, b.params, ids, clock + 1);
        }
        store_state(spec, k, &s, b.state, b.envs, env);
        put_rows(k, b.params, &s, b.obs, env);
    });
}
