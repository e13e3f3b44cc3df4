//! Task misac: camera scheduling and analogue beamforming for K vehicles (paper "rl-h-moe"; equation numbers below are its own).
//!
//! A slot, in this order: the observation (cos θ̂_k, d̂_k/80, A_k/A_max) with θ̂ = θ + e; the decision π ∈ {0,1}^K and the phases Φ ∈ R^{K×M};
//! energy (3), misalignment (7) and reward (11) with the ages *before* the decision acts; the channel (2), (8) of this slot, in which the beams (10)
//! are judged; then the tracking error, the ages (6) and the vehicles move on.
//!
//! Shapes: state rows [7K, B] (environment fastest): position x, speed v, age A, tracking error e, the two scatterers' cosines and the mean
//! angular rate of the episode, K rows each. Angles in rad, distances in m, speeds in m/s, energies in J, powers in W.
//!
//! One source for f64, f32 and vector lanes, as in [`super::v2x`]. Rewards and ages need no channel, so [`step`] does without one; [`Channel`] is
//! drawn where beams are learned or judged, from its own counters, and so is the same wherever it is drawn.

use crate::philox::{Stream, draw};
use crate::real::Real;
use crate::task::v2x::c;

/// Largest number of vehicles.
pub const KMAX: usize = 8;
/// Largest number of antennas.
pub const MMAX: usize = 256;
/// State rows per vehicle.
pub const STATE_ROWS: usize = 7;
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
        let w = draw(p.key, Stream::MisacReset, env, clock, 2 * i as u32);
        s.x[i] = c!(p.x_min_m) + c!(p.x_max_m - p.x_min_m) * V::unit_from_word(w[0]);
        s.v[i] = c!(p.speed_min_m_s) + c!(p.speed_max_m_s - p.speed_min_m_s) * V::unit_from_word(w[1]);
        // cos of an angle in (0, π)
        s.scatter[0][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[2]), 1).1;
        s.scatter[1][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[3]), 1).1;
        let w = draw(p.key, Stream::MisacReset, env, clock, 2 * i as u32 + 1);
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
            let w = draw(p.key, Stream::MisacRange, env, clock, i as u32 / 2);
            let z = V::normal_pair(w[0], w[1]);
            put(k + i, ranged(p, s.x[i], z.0));
            noise = z.1;
        } else {
            put(k + i, ranged(p, s.x[i], noise));
        }
        put(i, estimated_cos(p, s.x[i], s.e[i]));
        put(2 * k + i, s.age[i] * V::splat(1.0 / f64::from(p.age_max)));
    }
}

#[inline(always)]
fn ranged<V: Real>(p: &MisacParams, x: V, z: V) -> V {
    let d = geometry(p, x).2;
    (d * (V::splat(1.0) + c!(p.distance_noise) * z)) * V::splat(1.0 / 80.0)
}

/// cos θ̂ = cos(θ + e).
#[inline(always)]
pub fn estimated_cos<V: Real>(p: &MisacParams, x: V, e: V) -> V {
    let (cos, sin, _) = geometry(p, x);
    let (se, ce) = e.sin_cos();
    cos * ce - sin * se
}

/// One slot: what the decision costs, then errors, ages and vehicles move on. `pi[k]` is 1 or 0.
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
        misaligned: [zero; KMAX],
    };
    let (mut frames, mut misaligned) = (zero, zero);
    let mut noise = [zero; KMAX];
    for i in 0..k.div_ceil(4) {
        let w = draw(p.key, Stream::MisacTrack, env, clock, i as u32);
        let (a, b) = V::normal_pair(w[0], w[1]);
        let (c, d) = V::normal_pair(w[2], w[3]);
        for (j, z) in [a, b, c, d].into_iter().enumerate().take(k - 4 * i) {
            noise[4 * i + j] = z;
        }
    }
    for i in 0..k {
        let rate = beta(spec, p, s, i);
        out.misaligned[i] = one - (-(rate * s.age[i])).exp();
        misaligned += out.misaligned[i];
        frames += pi[i];
        out.mae += s.e[i].abs();
        out.age_max = out.age_max.max(s.age[i]);
        // e after the slot: fresh where a frame was taken, else one step of its walk.
        let walked = s.e[i] + (c!(p.beam_width_rad) * rate.sqrt()) * noise[i];
        let taken = zero.lt(pi[i]);
        s.e[i] = V::select(taken, c!(p.sigma_vis_rad) * noise[i], walked);
        s.age[i] = V::select(taken, c!(p.t_proc), s.age[i] + one).min(c!(p.age_max));
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

/// The channel h_k of one vehicle in one slot, [M] each part.
#[derive(Clone, Copy)]
pub struct Channel<V> {
    pub re: [V; MMAX],
    pub im: [V; MMAX],
}

/// (2) and (8) of vehicle `i` in the slot `clock`, for the state *before* [`step`]: line of sight, scatterers with fresh phases, and
/// Δh ~ CN(0, ρ·P_misa/M·I). E‖h‖² = M without Δh; the path loss is apart.
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
    let one = V::splat(1.0);
    let (cos, _, _) = geometry(p, s.x[i]);
    let misaligned = one - (-(beta(spec, p, s, i) * s.age[i])).exp();
    // A real and an imaginary part each have half the variance.
    let sigma = (V::splat(0.5 * f64::from(p.csi_error)) * misaligned).max(V::splat(0.0)).sqrt();
    let phases = draw(p.key, Stream::MisacPhase, env, clock, i as u32);
    let paths = [
        (cos, c!(p.los), V::sin_cos_word(phases[0])),
        (s.scatter[0][i], c!(p.scatter), V::sin_cos_word(phases[1])),
        (s.scatter[1][i], c!(p.scatter), V::sin_cos_word(phases[2])),
    ];
    let blocks = spec.antennas.div_ceil(2);
    for b in 0..blocks {
        let w = draw(p.key, Stream::MisacCsi, env, clock, (i * blocks + b) as u32);
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
            (h.re[m], h.im[m]) = (re, im);
        }
    }
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
        }
    }

    const SPEC: MisacSpec =
        MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty: Uncertainty::Constant };

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
        use crate::task::misac_dp::Schedule;
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
        };
        let values = problem.solve(1e-7, 10_000).values;
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
}
