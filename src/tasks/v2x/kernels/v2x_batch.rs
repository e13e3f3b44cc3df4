//! What the kernels of task v2x share: sizes, the constants of `shaders/v2x/shared/v2x.wgsl`, and the inputs and
//! condition numbers of their checks.

use crate::config::Layered;
use crate::gpu::Prelude;
use crate::kernels::inputs::uniforms;
use crate::num::real::Real;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::forcing::{Square, gram, inverse, loaded, regularised_mix};
use crate::tasks::v2x::physics::{
    Base, Beam, KMAX, Kinematics, Limits, Noise, PAST_ROWS, Reward, STATE_ROWS, State, V2xParams, V2xSpec,
    antenna, base_of, dirichlet, loading, metric, motion, observe, step,
};

pub const WG: usize = 64;

/// Sizes, fixed when a kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica.
    pub b: usize,
    pub task: V2xSpec,
}

impl Spec {
    /// Elements of the state `[R, 10K, B]`.
    pub fn state_len(&self) -> usize {
        self.r * self.task.state_rows() * self.b
    }
    /// Elements of an observation `[R, B, 4K]`.
    pub fn obs_len(&self) -> usize {
        self.r * self.b * self.task.obs_dim()
    }
    /// Elements of an action `[R, B, A]`.
    pub fn action_len(&self) -> usize {
        self.r * self.b * self.task.action_dim()
    }
    /// Elements of the metrics of a slot `[R, METRIC_ROWS, B]`.
    pub fn metrics_len(&self) -> usize {
        self.r * self.task.metric_rows() * self.b
    }
}

/// The constants of `shaders/v2x/shared/v2x.wgsl`.
pub fn constants(spec: &Spec) -> Prelude {
    let t = &spec.task;
    Prelude::new()
        .u32("WG", WG)
        .u32("R", spec.r)
        .u32("B", spec.b)
        .u32("K", t.vehicles)
        .u32("N", t.antennas)
        .u32("T", t.slots)
        .u32("A", t.action_dim())
        .u32("KINEMATICS", t.kinematics as usize)
        .u32("KINEMATICS_PAPER", Kinematics::Paper as usize)
        .u32("REWARD", t.choices.reward as usize)
        .u32("REWARD_PRODUCT", Reward::Product as usize)
        .u32("REWARD_INDICATOR", Reward::Indicator as usize)
        .u32("REWARD_LAGRANGIAN", Reward::Lagrangian as usize)
        .u32("LIMITS", t.choices.limits as usize)
        .u32("LIMITS_SLOT", Limits::Slot as usize)
        .u32("LIMITS_EPISODE", Limits::Episode as usize)
        .u32("CAPS_IN_REWARD", usize::from(t.choices.caps_in_reward))
        .u32("SINR_FEEDBACK", usize::from(t.choices.sinr_feedback))
}

// ---- Inputs of the checks ----

/// The paper's parameters for `k` vehicles, with P_max = 40, 30, 20 dBm, … by replica and a key of its own each; noise
/// and weights that are no factor of 1 but in the first, and caps that many bounds reach, beyond their limits, where a
/// reward has them.
pub fn check_params(spec: &Spec, seed: u32) -> Vec<V2xParams> {
    let mut task = V2xConfig::load(None, &[]).expect("the built-in preset is valid").task;
    task.vehicles = spec.task.vehicles;
    task.antennas_tx = spec.task.antennas;
    task.start_m = (0..task.vehicles).map(|k| [-5.0 - 10.0 * k as f64, 10.0]).collect();
    (0..spec.r as u32)
        .map(|r| {
            task.p_max_dbm = 40.0 - 10.0 * f64::from(r % 3);
            task.sensing_noise = [1.0, 1.7, 0.6][r as usize % 3];
            task.ekf_noise = [1.0, 0.3, 4.0][r as usize % 3];
            if spec.task.choices.caps_in_reward {
                task.cap_theta_rad = [1.0, 3e-8, 1e-7][r as usize % 3];
                task.cap_d_m = [5.0, 1.0, 2.0][r as usize % 3];
                // Else a bound at its cap is no loss.
                task.eps_theta_rad2 = 0.1 * task.cap_theta_rad * task.cap_theta_rad;
                task.eps_d_m2 = 0.1 * task.cap_d_m * task.cap_d_m;
            }
            task.reward_weights = [[1.0, 1.0], [0.5, 2.0], [3.0, 0.2]][r as usize % 3];
            task.params([seed, 17 + r])
        })
        .collect()
}

/// States spread over the whole road, with the errors and variances an echo leaves: `[R, 10K, B]`. Where limits are
/// those of an episode, some slots behind it with bounds about the limits.
pub fn check_states(spec: &Spec, seed: u32) -> Vec<f32> {
    let (mut u, mut of_past) = (uniforms(seed, 1), uniforms(seed, 3));
    let (k, b, len) = (spec.task.vehicles, spec.b, spec.task.state_rows());
    let params = check_params(spec, seed);
    let mut rows = vec![0f32; spec.state_len()];
    for r in 0..spec.r {
        for env in 0..b {
            for i in 0..k {
                let x = -40.0 + 80.0 * u();
                let (theta, d, v) = (10f64.atan2(-x), x.hypot(10.0), 9.0 + 6.0 * u());
                let (e_theta, e_d, e_v) = (10f64.powf(-6.0 + 4.0 * u()), 0.01 + u(), 0.01 + u());
                let all = [
                    theta,
                    d,
                    v,
                    theta + e_theta * (2.0 * u() - 1.0),
                    d + e_d * (2.0 * u() - 1.0),
                    v + e_v * (2.0 * u() - 1.0),
                    10f64.powf(-2.0 + 6.0 * u()),
                    e_theta * e_theta,
                    e_d * e_d,
                    e_v * e_v,
                ];
                for (q, x) in all.into_iter().enumerate() {
                    rows[(r * len + q * k + i) * b + env] = x as f32;
                }
            }
            let slots = (20.0 * of_past()).floor();
            let limits = [params[r].eps_theta_rad2, params[r].eps_d_m2].map(f64::from);
            let past = limits.map(|limit| slots * limit * 10f64.powf(of_past() - 0.7));
            for (q, x) in [past[0], past[1], slots].into_iter().enumerate().take(len - STATE_ROWS * k) {
                rows[(r * len + STATE_ROWS * k + q) * b + env] = x as f32;
            }
        }
    }
    rows
}

/// The state of one environment out of rows `[R, 10K, B]`.
pub fn state_of(spec: &Spec, rows: &[f32], r: usize, env: usize) -> State<f64> {
    let (k, len) = (spec.task.vehicles, spec.task.state_rows());
    let mut all = [[0.0; KMAX]; STATE_ROWS];
    for (q, group) in all.iter_mut().enumerate() {
        for (i, x) in group.iter_mut().enumerate().take(k) {
            *x = f64::from(rows[(r * len + q * k + i) * spec.b + env]);
        }
    }
    let mut past = [0.0; PAST_ROWS];
    for (q, x) in past.iter_mut().enumerate().take(len - STATE_ROWS * k) {
        *x = f64::from(rows[(r * len + STATE_ROWS * k + q) * spec.b + env]);
    }
    let [theta, d, v, obs_theta, obs_d, obs_v, obs_sinr, v0, v1, v2] = all;
    State { theta, d, v, obs_theta, obs_d, obs_v, obs_sinr, var: [v0, v1, v2], past }
}

// ---- Condition ----

/// An f32 slot is the exact slot of inputs moved by about this much (rad, or relative): cos θ is rounded to 6e-8, the
/// argument reduction of sin and cos adds 2e-7 rad, Box–Muller 5e-7.
pub const STEP: f64 = 1e-6;

/// Σ over the inputs of |change of output i| / STEP when input q moves by ±STEP·size\[q\] (the larger of the two).
/// Secants over the real size of the error, so that they hold at nulls and kinks as well.
pub fn sensitivity(x: &[f64], size: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let base = f(x);
    let mut total = vec![0.0; base.len()];
    let mut moved = x.to_vec();
    for q in 0..x.len() {
        let sides = [-STEP, STEP].map(|h| {
            moved[q] = x[q] + h * size[q];
            f(&moved)
        });
        moved[q] = x[q];
        for (i, t) in total.iter_mut().enumerate() {
            *t += (sides[0][i] - base[i]).abs().max((sides[1][i] - base[i]).abs()) / STEP;
        }
    }
    total
}

/// How far f32 rounding may move normals: Box–Muller to 5e-7 absolute, and radii near 0 more, because u near 1 would
/// need 25 bits.
pub fn noise_size(z: &Noise<f64>) -> Noise<f64> {
    let mut size = [1.0; 3 * KMAX];
    for (i, s) in size.iter_mut().enumerate() {
        *s = 1.0 + 0.05 / z[i].hypot(z[i ^ 1]).max(1e-4);
    }
    size
}

/// What a number of an observation is rounded as large as, beside itself: its shift, scaled. `i` counts along a row
/// `[4K]`.
pub fn shift_of(p: &V2xParams, vehicles: usize, i: usize) -> f64 {
    f64::from(p.obs_shift[i / vehicles].abs()) * f64::from(p.obs_scale[i / vehicles])
}

/// The mix of regularised zero-forcing at angles φ and distances d, and what its numbers are rounded as large as: an
/// error E of the Gram matrix, of an angle's and its own rounding, changes the inverse by G⁻¹·E·G⁻¹.
fn mix_scale(
    spec: &V2xSpec,
    p: &V2xParams,
    phi: &[f64; KMAX],
    d: &[f64; KMAX],
) -> (Square<f64>, Square<f64>) {
    let (k, n) = (spec.vehicles, spec.antennas);
    let cos = phi.map(f64::cos);
    let loading = loading(k, p, d);
    let mix = regularised_mix(k, n, &cos, &loading);
    let g = gram(k, n, &cos);
    let loaded = loaded(k, &g, &loading);
    let inv = inverse(k, loaded);
    // D and angles are off by a few roundings, 2.4e-7, an eighth of what the tolerance of a slot allows of a scale; a
    // quarter leaves room.
    let error = |a: usize, b: usize| {
        let turn = std::f64::consts::PI * (phi[a].sin().abs() + phi[b].sin().abs());
        let far = if a == b { 0.0 } else { turn * dirichlet(cos[a] - cos[b], n).1.abs() };
        0.25 * (loaded[a][b].abs().max(1.0) + far)
    };
    let mut size = [[0.0; KMAX]; KMAX];
    for i in 0..k {
        let column: Vec<f64> = (0..k)
            .map(|j| {
                let pairs = (0..k).flat_map(|a| (0..k).map(move |b| (a, b)));
                pairs.map(|(a, b)| (inv[j][a] * inv[b][i]).abs() * error(a, b)).sum()
            })
            .collect();
        // ‖f_i‖² = xᵀGx, by which the column is divided.
        let heard: Vec<f64> = (0..k).map(|a| (0..k).map(|b| g[a][b] * inv[b][i]).sum()).collect();
        let norm2: f64 = (0..k).map(|a| inv[a][i] * heard[a]).sum();
        let moved: f64 = (0..k)
            .map(|a| {
                let own: f64 = (0..k).map(|b| (inv[a][i] * inv[b][i]).abs() * error(a, b)).sum();
                2.0 * heard[a].abs() * column[a] + own
            })
            .sum();
        for j in 0..k {
            size[j][i] = column[j] / norm2.sqrt() + mix[j][i].abs() * moved / norm2;
        }
    }
    (mix, size)
}

/// How far f32 may move the angles that explicit beams point at, rad: the sum over the antennas is off by a few
/// roundings of its terms, of beams on a base by what a cosine off by 1e-7 turns their last element by, and where the
/// phase step is next to π the angle jumps from one end of the array to the other.
fn pointing_blur(spec: &V2xSpec, p: &V2xParams, last: &State<f64>, act: &[f64]) -> Vec<f64> {
    use std::f64::consts::PI;
    let (k, n) = (spec.vehicles, spec.antennas);
    let each = if spec.beam.is_raw() { 4e-7 } else { 1e-7 * PI * n as f64 };
    let base = base_of(spec, k, p, last);
    let f: Vec<_> = (0..n).map(|m| antenna(spec, k, p, &base, act, m).0).collect();
    let blur = |i: usize| {
        let (mut step, mut size) = ([0.0, 0.0], 0.0);
        for pair in f.windows(2) {
            let ([x, y], [re, im]) = (pair[0][i], pair[1][i]);
            step[0] += x * re + y * im;
            step[1] += x * im - y * re;
            size += x.hypot(y) * re.hypot(im);
        }
        let turn = step[1].atan2(step[0]);
        let off = each * size / step[0].hypot(step[1]).max(1e-30) + 4e-7;
        let angle = |turn: f64| (-(turn - 2.0 * PI * (turn / (2.0 * PI)).round()) / PI).acos();
        let far = |by: f64| (angle(turn + by) - angle(turn)).abs();
        far(-off.min(PI)).max(far(off.min(PI)))
    };
    (0..k).map(blur).collect()
}

/// The action of [`Beam::Matrix`] that a residual `act` stands for, on the base of these numbers: K angles and, on
/// zero-forcing, the K·K numbers of the mix.
fn explicit(spec: &V2xSpec, p: &V2xParams, numbers: &[f64], act: &[f64]) -> Vec<f64> {
    let (k, n) = (spec.vehicles, spec.antennas);
    let (angles, mix) = numbers.split_at(k);
    let mut base = Base { half: [0.0; KMAX], mix: [[0.0; KMAX]; KMAX] };
    for (half, angle) in base.half.iter_mut().zip(angles) {
        *half = 0.5 * angle.cos();
    }
    for (row, mine) in base.mix.iter_mut().zip(mix.chunks(k)) {
        row[..k].copy_from_slice(mine);
    }
    let mut out = act.to_vec();
    for m in 0..n {
        let (f, _) = antenna(spec, k, p, &base, act, m);
        for i in 0..k {
            [out[i * n + m], out[(k + i) * n + m]] = f[i];
        }
    }
    out
}

/// Scales of a slot's outputs, in the layout [state rows | 4K observation | metrics].
pub fn step_scale(
    spec: &V2xSpec,
    p: &V2xParams,
    s: &State<f64>,
    moved: &Noise<f64>,
    echoed: &Noise<f64>,
    act: &[f64],
) -> Vec<f64> {
    let (k, rows) = (spec.vehicles, spec.state_rows());
    // The learned parameterisations as the physical one they stand for, whose angles are then moved.
    let mut physical = act.to_vec();
    let mut beam = spec.beam;
    // What the mix of zero-forcing is rounded as large as.
    let mut mixed = Vec::new();
    if matches!(beam, Beam::Angles | Beam::Tracking | Beam::Zf) {
        for i in 0..k {
            physical[i] = match beam {
                Beam::Angles => std::f64::consts::PI * act[i].sigmoid(),
                _ => s.obs_theta[i] + f64::from(p.tracking_delta_rad) * act[i].tanh(),
            };
        }
        let sum: f64 = act[k..].iter().map(|l| l.exp()).sum();
        for i in k..2 * k {
            physical[i] = f64::from(p.p_max_w) * act[i].exp() / sum;
        }
    }
    let square = |x: &Square<f64>| x[..k].iter().flat_map(|row| row[..k].to_vec()).collect::<Vec<f64>>();
    if beam == Beam::Zf {
        let phi: [f64; KMAX] = std::array::from_fn(|i| if i < k { physical[i] } else { 0.0 });
        let (mix, size) = mix_scale(spec, p, &phi, &s.obs_d);
        physical.splice(k..k, square(&mix));
        mixed = square(&size);
    }
    // Beams on a base as the explicit ones that they are, of which the angles and the mix of the base are moved.
    let mut based = Vec::new();
    if matches!(beam, Beam::OnSteering | Beam::OnZf) {
        based.extend(s.obs_theta[..k].iter().map(|theta| (*theta, 1.0)));
        if beam == Beam::OnZf {
            let (mix, size) = mix_scale(spec, p, &s.obs_theta, &s.obs_d);
            based.extend(square(&mix).into_iter().zip(square(&size)));
        }
        let numbers: Vec<f64> = based.iter().map(|(x, _)| *x).collect();
        physical = explicit(spec, p, &numbers, act);
    }
    let own = *spec;
    beam = match beam {
        Beam::Angles | Beam::Tracking => Beam::Steer,
        Beam::Zf => Beam::Span,
        Beam::OnSteering | Beam::OnZf => Beam::Matrix,
        _ => beam,
    };
    let spec = V2xSpec { beam, ..*spec };
    let mut x = Vec::new();
    let mut size = Vec::new();
    for i in 0..k {
        x.extend([s.theta[i], s.d[i], s.v[i]]);
        size.extend([1.0, s.d[i], s.v[i]]);
    }
    x.extend_from_slice(&moved[..3 * k]);
    size.extend_from_slice(&noise_size(moved)[..3 * k]);
    x.extend_from_slice(&echoed[..3 * k]);
    size.extend_from_slice(&noise_size(echoed)[..3 * k]);
    for (number, by) in &based {
        x.push(*number);
        size.push(*by);
    }
    // Explicit beams come in exactly and are summed directly; only the K numbers of their powers are moved.
    let fixed = if beam.is_matrix() { physical.len() - k } else { 0 };
    for (i, &a) in physical.iter().enumerate().skip(fixed) {
        x.push(a);
        size.push(match beam {
            _ if beam.is_matrix() && !beam.writes_powers() => 1.0 + a.abs(),
            _ if i < k => 1.0,
            _ if i - k < mixed.len() => mixed[i - k],
            _ => a.abs(),
        });
    }
    let run = |x: &[f64]| {
        let mut s = *s;
        for i in 0..k {
            (s.theta[i], s.d[i], s.v[i]) = (x[3 * i], x[3 * i + 1], x[3 * i + 2]);
        }
        let (mut moved, mut echoed): (Noise<f64>, Noise<f64>) = ([0.0; 3 * KMAX], [0.0; 3 * KMAX]);
        moved[..3 * k].copy_from_slice(&x[3 * k..6 * k]);
        echoed[..3 * k].copy_from_slice(&x[6 * k..9 * k]);
        let (numbers, moved_act) = x[9 * k..].split_at(based.len());
        let mut act = if based.is_empty() { physical.clone() } else { explicit(&own, p, numbers, act) };
        act[fixed..].copy_from_slice(moved_act);
        let o = step(&spec, k, p, &moved, &echoed, &act, true, &mut s);
        let mut out = Vec::new();
        for group in [
            &s.theta,
            &s.d,
            &s.v,
            &s.obs_theta,
            &s.obs_d,
            &s.obs_v,
            &s.obs_sinr,
            &s.var[0],
            &s.var[1],
            &s.var[2],
        ] {
            out.extend_from_slice(&group[..k]);
        }
        out.extend_from_slice(&s.past[..rows - STATE_ROWS * k]);
        let mut row = vec![0.0; 4 * k];
        observe(k, p, &s, |i, v| row[i] = v);
        out.extend(row);
        out.extend([
            o.sum_rate,
            o.jain,
            o.reward,
            o.indicator,
            o.angle_se,
            o.distance_se,
            o.angle_crlb,
            o.distance_crlb,
            o.upper_bound,
            o.pointing_se,
        ]);
        for group in [&o.rate].into_iter().chain(&o.error) {
            out.extend_from_slice(&group[..k]);
        }
        out
    };
    let base = run(&x);
    let mut scale = sensitivity(&x, &size, run);
    for (s, b) in scale.iter_mut().zip(&base) {
        *s += b.abs();
    }
    // 1 + γ is rounded to 6e-8, and its logarithm to as much again: 3e-7 bps/Hz whatever γ is, and through (28) and
    // (27) what follows from it.
    let rounding = 0.3;
    let m = rows + 4 * k;
    let rates = &base[m + metric::RATE..][..k];
    let (sum, square) = (base[m], rates.iter().map(|r| r * r).sum::<f64>() + 1e-30);
    let jain = 2.0 * base[m + metric::JAIN] * (k as f64 / (sum + 1e-15) + sum / square);
    let by = p.obs_scale.map(f64::from);
    for i in 0..k {
        // Of the natural logarithm: 3e-7 in log2.
        scale[rows + 3 * k + i] += rounding * std::f64::consts::LN_2 * by[3];
        scale[m + metric::RATE + i] += rounding;
    }
    for i in 0..4 * k {
        scale[rows + i] += shift_of(p, k, i);
    }
    // dD/dΔ is a difference of two nearly equal products where a beam all but hits: its error is some 1.2e-7/sin(πΔ/2).
    // Next to the lever (N−1)/2 it shows only where Δ is about 1e-5 and less.
    let mut next = *s;
    motion(k, spec.kinematics, p, moved, &mut next);
    let mut worst = 0.0f64;
    for j in 0..k {
        let (mut resp, mut slope, mut blur) = (0.0, 0.0, 0.0);
        for q in 0..k {
            let weight = match beam {
                _ if beam.is_matrix() => 0.0,
                Beam::Span => physical[k + q * k + j],
                _ => f64::from(u8::from(q == j)),
            };
            let delta = next.theta[j].cos() - physical[q].cos();
            let (d, e) = dirichlet(delta, spec.antennas);
            resp += weight * d;
            slope += weight * e;
            blur += weight.abs() * 1.2e-7 / (std::f64::consts::FRAC_PI_2 * delta).sin().abs().max(2e-6);
        }
        let lever = (spec.antennas as f64 - 1.0) / 2.0 * resp;
        let share =
            (2.0 * slope.abs() * blur + blur * blur) / (lever * lever + slope * slope).max(1e-30) / STEP;
        scale[7 * k + j] += share * base[7 * k + j];
        scale[3 * k + j] += share * (base[3 * k + j] - base[j]).abs();
        scale[rows + j] += share * (base[3 * k + j] - base[j]).abs() * by[0];
        worst = worst.max(share);
        let angle = m + spec.sample_row() + j;
        scale[angle] += share * base[angle];
    }
    if beam.is_matrix() {
        let off = &base[m + spec.sample_row() + 2 * k..][..k];
        for (j, blur) in pointing_blur(&own, p, s, act).into_iter().enumerate() {
            scale[m + spec.sample_row() + 2 * k + j] += blur / STEP;
            scale[m + metric::POINTING_SE] += (2.0 * off[j] + blur) * blur / STEP / k as f64;
        }
    }
    for q in [metric::ANGLE_SE, metric::ANGLE_CRLB] {
        scale[m + q] += worst * base[m + q];
    }
    if rows > STATE_ROWS * k {
        scale[STATE_ROWS * k] += worst * base[m + metric::ANGLE_CRLB];
    }
    scale[m + metric::SUM_RATE] += rounding * k as f64;
    scale[m + metric::UPPER_BOUND] += rounding * k as f64;
    scale[m + metric::JAIN] += rounding * jain;
    let lagrangian = spec.choices.reward == Reward::Lagrangian;
    let earns = if lagrangian { 1.0 } else { base[m + metric::INDICATOR] };
    scale[m + metric::REWARD] += rounding * earns * (k as f64 * base[m + metric::JAIN] + sum * jain);
    if lagrangian {
        // Logarithms are rounded as large as they are, below 100 nepers; that of CRLB_θ moves as its slope does.
        let weights = [p.reward_weight_theta, p.reward_weight_d].map(f64::from);
        scale[m + metric::REWARD] += weights[0] * (100.0 * rounding + worst) + weights[1] * 100.0 * rounding;
    }
    scale
}
