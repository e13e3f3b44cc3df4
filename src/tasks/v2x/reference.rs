//! The reference agents of task v2x that need no learning: `random`, `last-estimate`, `ekf`, `ekf-zf`, `genie`,
//! `genie-zf`.
//!
//! Each writes a *physical* action: [`Beam::Steer`] (angles, powers) or, for zero-forcing, [`Beam::Span`].
//! `shaders/v2x/v2x_reference.wgsl` is the GPU side.

use super::forcing::{gram, inverse};
use super::physics::{
    Beam, KMAX, Kinematics, State, V2xParams, V2xSpec, comm_snr_per_watt, load_state, motion, motion_noise,
    water_fill,
};
use crate::num::philox::{Stream, draw};
use crate::num::real::{Real, Word, c};

/// Which reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// φ_k ~ U(0, π), p ~ P_max·Dirichlet(1).
    Random,
    /// Steer at θ̂ of the last echo, equal power.
    LastEstimate,
    /// Extended Kalman filter on (θ, d, v) with (14) and the measurements of the echo, whose variances the receiver
    /// knows; steer at the one-step prediction, equal power.
    Ekf,
    /// Zero-forcing at the filter's predicted angles, power water-filled over its predicted distances.
    EkfZf,
    /// Steer at the true θ of the coming slot, equal power.
    Genie,
    /// Zero-forcing with the true angles of the coming slot and water-filled power.
    GenieZf,
}

impl Reference {
    /// The action parameterisation it writes.
    pub fn beam(self) -> Beam {
        if matches!(self, Reference::EkfZf | Reference::GenieZf) { Beam::Span } else { Beam::Steer }
    }
    /// Rows of its own memory per environment: the filter's mean (3) and covariance (6) per vehicle.
    pub fn memory_rows(self, vehicles: usize) -> usize {
        if matches!(self, Reference::Ekf | Reference::EkfZf) { 9 * vehicles } else { 0 }
    }
}

/// One vehicle's filter: mean (θ, d, v) and the covariance's upper triangle (θθ, θd, θv, dd, dv, vv).
#[derive(Clone, Copy)]
struct Filter<V> {
    x: [V; 3],
    p: [V; 6],
}

impl<V: Real> Filter<V> {
    /// The measurements see one state each with independent noise, so the update is three scalar ones in turn.
    #[inline(always)]
    fn update(&mut self, z: [V; 3], var: [V; 3]) {
        const AT: [[usize; 3]; 3] = [[0, 1, 2], [1, 3, 4], [2, 4, 5]];
        for m in 0..3 {
            let column = [self.p[AT[m][0]], self.p[AT[m][1]], self.p[AT[m][2]]];
            let inv = V::splat(1.0) / (column[m] + var[m]);
            let innovation = z[m] - self.x[m];
            for r in 0..3 {
                let gain = column[r] * inv;
                self.x[r] += gain * innovation;
                for q in r..3 {
                    self.p[AT[r][q]] -= gain * column[q];
                }
            }
        }
    }

    /// (14) and its Jacobian at the current mean; process noise as configured.
    #[inline(always)]
    fn predict(&mut self, par: &V2xParams) {
        let [theta, d, v] = self.x;
        let (sin, cos) = theta.sin_cos();
        let dt = c!(par.dt_s);
        let turn = (v * dt) / d;
        // F = [[1 + turn·cos, −turn·sin/d, dt·sin/d], [v·dt·sin, 1, −dt·cos], [0, 0, 1]]
        let f = [
            [V::splat(1.0) + turn * cos, -(turn * sin) / d, (dt * sin) / d],
            [(v * dt) * sin, V::splat(1.0), -(dt * cos)],
        ];
        self.x = [theta + turn * sin, (d - (v * dt) * cos).max(c!(par.d_floor_m)), v];
        let [tt, td, tv, dd, dv, vv] = self.p;
        // Rows of F·P, then (F·P)·Fᵀ.
        let mut rows = [[V::splat(0.0); 3]; 2];
        for (row, [a, b, g]) in rows.iter_mut().zip(f) {
            *row = [(a * tt + b * td) + g * tv, (a * td + b * dd) + g * dv, (a * tv + b * dv) + g * vv];
        }
        let [r0, r1] = rows;
        let q = [c!(par.sigma_theta_rad), c!(par.sigma_d_m), c!(par.sigma_v_m_s)];
        self.p = [
            ((r0[0] * f[0][0] + r0[1] * f[0][1]) + r0[2] * f[0][2]) + q[0] * q[0],
            (r0[0] * f[1][0] + r0[1] * f[1][1]) + r0[2] * f[1][2],
            r0[2],
            ((r1[0] * f[1][0] + r1[1] * f[1][1]) + r1[2] * f[1][2]) + q[1] * q[1],
            r1[2],
            vv + q[2] * q[2],
        ];
    }
}

/// The action of one slot into `act` (A values). `memory` are the agent's own rows of these lanes, all zero before the
/// first slot.
#[allow(clippy::too_many_arguments, reason = "the replica, the slot, the state and what is written")]
#[inline(always)]
pub fn act<V: Real>(
    who: Reference,
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    env: V::Word,
    clock: u32,
    s: &State<V>,
    memory: &mut [V],
    act: &mut [V],
) {
    let share = V::splat(f64::from(p.p_max_w) / k as f64);
    match who {
        Reference::Random => {
            let mut words = [V::Word::splat(0); 2 * KMAX];
            for b in 0..(2 * k).div_ceil(4) {
                words[4 * b..4 * b + 4].copy_from_slice(&draw(p.key, Stream::Baseline, env, clock, b as u32));
            }
            let mut sum = V::splat(0.0);
            for i in 0..k {
                act[i] = V::splat(std::f64::consts::PI) * V::unit_from_word(words[i]);
                act[k + i] = -V::unit_from_word(words[k + i]).ln();
                sum += act[k + i];
            }
            let scale = V::splat(f64::from(p.p_max_w)) / sum;
            for w in &mut act[k..2 * k] {
                *w *= scale;
            }
        }
        Reference::LastEstimate => {
            act[..k].copy_from_slice(&s.obs_theta[..k]);
            act[k..2 * k].fill(share);
        }
        Reference::Ekf | Reference::EkfZf => {
            let (mut theta, mut d) = ([V::splat(0.0); KMAX], [V::splat(0.0); KMAX]);
            let first = (clock as usize).is_multiple_of(spec.slots);
            for i in 0..k {
                let z = [s.obs_theta[i], s.obs_d[i], s.obs_v[i]];
                let mut f = Filter { x: z, p: [V::splat(0.0); 6] };
                if !first {
                    f.x.copy_from_slice(&memory[9 * i..9 * i + 3]);
                    f.p.copy_from_slice(&memory[9 * i + 3..9 * i + 9]);
                    let mut var = [s.var[0][i], s.var[1][i], s.var[2][i]];
                    // An exact filter does not multiply: its operations are counted.
                    if p.ekf_noise != 1.0 {
                        for x in &mut var {
                            *x *= c!(p.ekf_noise);
                        }
                    }
                    f.update(z, var);
                }
                f.predict(p);
                memory[9 * i..9 * i + 3].copy_from_slice(&f.x);
                memory[9 * i + 3..9 * i + 9].copy_from_slice(&f.p);
                (theta[i], d[i]) = (f.x[0], f.x[1]);
            }
            if who == Reference::EkfZf {
                forced(k, spec.antennas, p, &theta, &d, act);
                return;
            }
            act[..k].copy_from_slice(&theta[..k]);
            act[k..2 * k].fill(share);
        }
        Reference::Genie | Reference::GenieZf => {
            // The draws are counter-based, so the coming slot's truth can be had before it happens.
            let mut next = *s;
            motion(k, spec.kinematics, p, &motion_noise::<V>(k, p, env, clock), &mut next);
            if who == Reference::GenieZf {
                forced(k, spec.antennas, p, &next.theta, &next.d, act);
                return;
            }
            act[..k].copy_from_slice(&next.theta[..k]);
            act[k..2 * k].fill(share);
        }
    }
}

/// Zero-forcing at these angles with power water-filled over these distances: an action of [`Beam::Span`].
#[inline(always)]
pub fn forced<V: Real>(
    k: usize,
    antennas: usize,
    p: &V2xParams,
    theta: &[V; KMAX],
    d: &[V; KMAX],
    act: &mut [V],
) {
    let mut cos = [V::splat(0.0); KMAX];
    for i in 0..k {
        cos[i] = theta[i].sin_cos().1;
    }
    let inv = inverse(k, gram(k, antennas, &cos));
    let mut snr = [V::splat(1.0); KMAX];
    act[..k].copy_from_slice(&theta[..k]);
    for i in 0..k {
        // Column i normalised: ‖f_i‖² = (G⁻¹)_ii, and the vehicle's own response is its inverse root.
        // (never below 1, as G has a unit diagonal).
        let norm2 = inv[i][i].max(V::splat(1.0));
        let norm = norm2.sqrt();
        snr[i] = comm_snr_per_watt(p, d[i]) / norm2;
        for j in 0..k {
            act[k + j * k + i] = inv[j][i] / norm;
        }
    }
    let power = water_fill(k, V::splat(f64::from(p.p_max_w)), &snr);
    act[k + k * k..].copy_from_slice(&power[..k]);
}

/// v2x_reference over the environments [from, to) of a batch: reads `state` `[10K, envs]`, updates `memory`
/// `[rows, envs]`, writes `action` `[envs, A]`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn reference_range<V: Real, const KC: usize>(
    who: Reference,
    spec: &V2xSpec,
    params: &V2xParams,
    envs: usize,
    first: u32,
    state: &[V::Elem],
    memory: &mut [V::Elem],
    action: &mut [V::Elem],
    clock: u32,
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    let a = spec.action_dim();
    debug_assert_eq!(spec.beam, who.beam());
    debug_assert!(matches!(spec.kinematics, Kinematics::Paper | Kinematics::Cartesian));
    let mut values = [V::splat(0.0); 2 * KMAX + KMAX * KMAX];
    let mut own = [V::splat(0.0); 9 * KMAX];
    let rows = who.memory_rows(k);
    let mut env = from;
    while env + V::LANES <= to {
        let s = load_state::<V>(k, state, envs, env);
        for (r, m) in own.iter_mut().enumerate().take(rows) {
            *m = V::load(&memory[r * envs + env..]);
        }
        act(
            who,
            spec,
            k,
            params,
            V::Word::iota(first + env as u32),
            clock,
            &s,
            &mut own[..rows],
            &mut values[..a],
        );
        for (r, m) in own.iter().enumerate().take(rows) {
            m.store(&mut memory[r * envs + env..]);
        }
        let mut lanes = [V::Elem::default(); 16];
        for (i, x) in values.iter().enumerate().take(a) {
            x.store(&mut lanes);
            for (l, value) in lanes.iter().enumerate().take(V::LANES) {
                action[(env + l) * a + i] = *value;
            }
        }
        env += V::LANES;
    }
}
