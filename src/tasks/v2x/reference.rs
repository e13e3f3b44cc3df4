//! The reference agents of task v2x that need no learning: `random`, `last-estimate`, `ekf`, `ekf-zf`, `ukf`, `genie`,
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
    /// [`Reference::Ekf`] with the unscented transform in place of the Jacobian.
    Ukf,
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
    /// Whether it predicts by a Kalman filter.
    pub fn filters(self) -> bool {
        matches!(self, Reference::Ekf | Reference::EkfZf | Reference::Ukf)
    }
    /// Rows of its own memory per environment: the filter's mean (3) and covariance (6) per vehicle.
    pub fn memory_rows(self, vehicles: usize) -> usize {
        if self.filters() { 9 * vehicles } else { 0 }
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

    /// As [`Filter::update`], but the covariances of what is measured are products, P·r/(P + r) on the diagonal: the
    /// difference loses its sign in f32 where an echo is sharp, and [`Filter::predict_unscented`] takes a root of it.
    #[inline(always)]
    fn update_signed(&mut self, z: [V; 3], var: [V; 3]) {
        const AT: [[usize; 3]; 3] = [[0, 1, 2], [1, 3, 4], [2, 4, 5]];
        for m in 0..3 {
            let column = [self.p[AT[m][0]], self.p[AT[m][1]], self.p[AT[m][2]]];
            let inv = V::splat(1.0) / (column[m] + var[m]);
            let innovation = z[m] - self.x[m];
            let kept = var[m] * inv;
            for r in 0..3 {
                let gain = column[r] * inv;
                self.x[r] += gain * innovation;
                for q in r..3 {
                    if r == m || q == m {
                        self.p[AT[r][q]] *= kept;
                    } else {
                        self.p[AT[r][q]] -= gain * column[q];
                    }
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

    /// (14) by the unscented transform of Julier and Uhlmann: mean and covariance of the 2n points x ± √(n+κ)·L_j, P =
    /// L·Lᵀ, under additive noise. κ = 3 − n, which meets the fourth moments of a Gaussian, is 0 for n = 3: the centre
    /// has no weight and the others 1/6 each. Of each point only its deviation from the moved mean is formed, δ + (h(x
    /// + δ) − h(x)) with h what a slot adds: the difference of two angles would cancel in f32.
    #[inline(always)]
    fn predict_unscented(&mut self, par: &V2xParams) {
        let (zero, sixth) = (V::splat(0.0), V::splat(1.0 / 6.0));
        let [tt, td, tv, dd, dv, vv] = self.p;
        let l00 = root(tt, tt);
        let (l10, l20) = (td / l00, tv / l00);
        let l11 = root(dd - l10 * l10, dd);
        let l21 = (dv - l10 * l20) / l11;
        let l22 = root((vv - l20 * l20) - l21 * l21, vv);
        let columns = [[l00, l10, l20], [zero, l11, l21], [zero, zero, l22]];
        let [theta, d, v] = self.x;
        let centre = moved(par, self.x);
        let mut off = [[zero; 3]; 6];
        let mut mean = [zero; 2];
        for (i, e) in off.iter_mut().enumerate() {
            let side = V::splat(if i % 2 == 0 { 3f64.sqrt() } else { -3f64.sqrt() });
            let column = columns[i / 2];
            let delta = [side * column[0], side * column[1], side * column[2]];
            let point = moved(par, [theta + delta[0], d + delta[1], v + delta[2]]);
            *e = [delta[0] + (point[0] - centre[0]), delta[1] + (point[1] - centre[1]), delta[2]];
            mean[0] += e[0];
            mean[1] += e[1];
        }
        // Those of the speed, of which a slot makes nothing else, cancel.
        let mean = [mean[0] * sixth, mean[1] * sixth];
        self.x = [(theta + centre[0]) + mean[0], ((d + centre[1]) + mean[1]).max(c!(par.d_floor_m)), v];
        let mut p = [zero; 6];
        for e in off {
            let (a, b, g) = (e[0] - mean[0], e[1] - mean[1], e[2]);
            p[0] += a * a;
            p[1] += a * b;
            p[2] += a * g;
            p[3] += b * b;
            p[4] += b * g;
            p[5] += g * g;
        }
        let q = [c!(par.sigma_theta_rad), c!(par.sigma_d_m), c!(par.sigma_v_m_s)];
        self.p = [
            p[0] * sixth + q[0] * q[0],
            p[1] * sixth,
            p[2] * sixth,
            p[3] * sixth + q[1] * q[1],
            p[4] * sixth,
            p[5] * sixth + q[2] * q[2],
        ];
    }
}

/// Root of a pivot of the Cholesky factor of a covariance, of which `of` is the diagonal: at least a millionth of that,
/// since rounding may take all of it, and positive where nothing is uncertain.
#[inline(always)]
fn root<V: Real>(pivot: V, of: V) -> V {
    pivot.max(V::splat(1e-6) * of).max(V::splat(1e-30)).sqrt()
}

/// What (14) adds to θ and d in a slot; distances below the floor count as at it.
#[inline(always)]
fn moved<V: Real>(par: &V2xParams, [theta, d, v]: [V; 3]) -> [V; 2] {
    let (sin, cos) = theta.sin_cos();
    let way = v * c!(par.dt_s);
    [(way * sin) / d.max(c!(par.d_floor_m)), -(way * cos)]
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
        Reference::Ekf | Reference::EkfZf | Reference::Ukf => {
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
                    if who == Reference::Ukf {
                        f.update_signed(z, var);
                    } else {
                        f.update(z, var);
                    }
                }
                if who == Reference::Ukf {
                    f.predict_unscented(p);
                } else {
                    f.predict(p);
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::v2x::config::V2xConfig;

    fn params() -> V2xParams {
        V2xConfig::load(None, &[]).expect("the built-in preset is valid").task.params([0, 0])
    }

    /// A filter in the middle of an episode with deviations of this size.
    fn filter(size: f64) -> Filter<f64> {
        // L·Lᵀ
        let l = [[4e-4, 0.0, 0.0], [0.05, 0.2, 0.0], [-0.1, 0.2, 0.5]].map(|row| row.map(|x| size * x));
        let p = |a: usize, b: usize| (0..3).map(|i| l[a][i] * l[b][i]).sum();
        Filter { x: [0.9, 14.0, 12.0], p: [p(0, 0), p(0, 1), p(0, 2), p(1, 1), p(1, 2), p(2, 2)] }
    }

    #[track_caller]
    fn near(a: &Filter<f64>, b: &Filter<f64>, share: f64) {
        let size = [0, 3, 5].map(|i| b.p[i].sqrt());
        for i in 0..3 {
            assert!((a.x[i] - b.x[i]).abs() <= share * size[i], "{i}: {:?} {:?}", a.x, b.x);
        }
        for (q, (i, j)) in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)].into_iter().enumerate() {
            assert!((a.p[q] - b.p[q]).abs() <= share * size[i] * size[j], "{q}: {:?} {:?}", a.p, b.p);
        }
    }

    /// Of narrow states it is the linear prediction; of wide ones the points know more: their mean moves by half the
    /// curvature.
    #[test]
    fn an_unscented_prediction_is_the_linear_one_of_narrow_states() {
        let p = V2xParams { sigma_theta_rad: 0.0, sigma_d_m: 0.0, sigma_v_m_s: 0.0, ..params() };
        for (size, share) in [(1e-3, 1e-5), (1.0, 0.02)] {
            let (mut linear, mut unscented) = (filter(size), filter(size));
            linear.predict(&p);
            unscented.predict_unscented(&p);
            near(&unscented, &linear, share);
        }
        let before = filter(1.0);
        let (mut linear, mut unscented) = (before, before);
        linear.predict(&p);
        unscented.predict_unscented(&p);
        // E[Δθ] − Δθ(mean) to second order in d: θ'' = 2·v·Δt·sin θ/d³, with the covariances of θ, d and v.
        let ([theta, d, v], [tt, td, tv, dd, dv, _], dt) = (before.x, before.p, f64::from(p.dt_s));
        let (sin, cos) = theta.sin_cos();
        let second =
            v * dt * sin / d.powi(3) * dd - 0.5 * v * dt * sin / d * tt - v * dt * cos / d.powi(2) * td
                + dt * cos / d * tv
                - dt * sin / d.powi(2) * dv;
        let moved = unscented.x[0] - linear.x[0];
        assert!((moved / second - 1.0).abs() < 0.01, "{moved:e} {second:e}");
    }

    /// The update is the same in exact numbers, and in f32 its covariances keep their signs where an echo is sharp.
    #[test]
    fn covariances_of_an_update_keep_their_signs() {
        let (mut plain, mut signed) = (filter(1.0), filter(1.0));
        let (z, var) = ([0.9003, 14.1, 11.0], [1e-8, 1e-2, 2.0]);
        plain.update(z, var);
        signed.update_signed(z, var);
        near(&signed, &plain, 1e-9);
        let narrow = filter(1.0);
        let mut f = Filter { x: narrow.x.map(|x| x as f32), p: narrow.p.map(|x| x as f32) };
        for slot in 0..200 {
            f.update_signed(
                [0.9, 14.0, 12.0],
                [[1e-18, 1e-12, 1e-6], [1.0, 25.0, 25.0]][usize::from(slot % 7 == 6)],
            );
            assert!([0, 3, 5].iter().all(|i| f.p[*i] > 0.0), "slot {slot}: {:?}", f.p);
            assert!(f.p[1] * f.p[1] <= 1.001 * f.p[0] * f.p[3], "slot {slot}: {:?}", f.p);
            f.predict_unscented(&params());
            assert!(f.x.iter().chain(&f.p).all(|x| x.is_finite()), "slot {slot}: {:?} {:?}", f.x, f.p);
            // Back to where echoes are.
            f.x = [0.9, 14.0, 12.0];
        }
        // Nothing is uncertain at the start.
        let mut start = Filter { x: [0.9f32, 14.0, 12.0], p: [0.0; 6] };
        start.predict_unscented(&params());
        let q = [params().sigma_theta_rad, params().sigma_d_m, params().sigma_v_m_s].map(|x| x * x);
        for (i, q) in [(0, q[0]), (3, q[1]), (5, q[2])] {
            assert!((start.p[i] / q - 1.0).abs() < 1e-6, "{:?}", start.p);
        }
        assert!([1, 2, 4].iter().all(|i| start.p[*i].abs() < 1e-20), "{:?}", start.p);
    }
}
