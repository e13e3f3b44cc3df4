//! What the kernels of task misac share: sizes, the constants of `shaders/misac/shared/misac.wgsl`, and the inputs of
//! their checks.

use crate::gpu::Prelude;
use crate::kernels::constants;
use crate::kernels::inputs::uniforms;
use crate::kernels::twin::Scalar;
use crate::num::philox::draw;
use crate::num::real::Real;
use crate::tasks::misac::physics::{
    Ageing, ErrorGrowth, KMAX, MOST_GROWTH, MisacParams, MisacSpec, Phase, STATE_ROWS, State, Uncertainty,
    estimated_cos, load_state, metric, reset, stream,
};

pub const WG: usize = 64;

/// Sizes, fixed when a kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica.
    pub b: usize,
    pub task: MisacSpec,
}

impl Spec {
    /// Elements of the state `[R, 7K, B]`.
    pub fn state_len(&self) -> usize {
        self.r * self.task.state_rows() * self.b
    }
    /// Elements of an observation `[R, B, 3K]`.
    pub fn obs_len(&self) -> usize {
        self.r * self.b * self.task.obs_dim()
    }
    /// Elements of a decision `[R, B, K]`.
    pub fn action_len(&self) -> usize {
        self.r * self.b * self.task.vehicles
    }
    /// Elements of the phases of a slot `[R, B, K, M]`.
    pub fn phases_len(&self) -> usize {
        self.action_len() * self.task.antennas
    }
}

/// The constants of `shaders/misac/shared/misac.wgsl`.
pub fn constants(spec: &Spec) -> Prelude {
    let (t, choices) = (&spec.task, &spec.task.choices);
    Prelude::new()
        .u32("WG", WG)
        .u32("R", spec.r)
        .u32("B", spec.b)
        .u32("K", t.vehicles)
        .u32("N", t.antennas)
        .u32("T", t.slots)
        .u32("UNCERTAINTY", t.uncertainty as usize)
        .u32("UNCERTAINTY_CONSTANT", Uncertainty::Constant as usize)
        .u32("POWER_PRESERVING", usize::from(choices.ageing == Ageing::PowerPreserving))
        .u32("REALIGN", usize::from(choices.realign))
        .u32("AGE_SATURATES", usize::from(choices.age_saturates))
        .u32("EXPONENTIAL", usize::from(choices.growth == ErrorGrowth::Exponential))
        .u32("RADAR_NOISE", usize::from(choices.radar_noise))
        .f32("MOST_GROWTH", MOST_GROWTH as f32)
}

/// The constants of `shaders/misac/shared/misac_beam.wgsl` besides.
pub fn beam_constants(spec: &Spec, phase: Phase) -> Prelude {
    constants(spec).u32("PHASE", phase as usize).u32("PHASE_DIRECT", Phase::Direct as usize)
}

/// With the rows of a slot's metrics.
pub fn with_metrics(prelude: Prelude) -> Prelude {
    constants!(prelude, "METRIC", metric: ROWS, ENERGY, REWARD, L_BMP, OVER_GAMMA, ANGLE_MAE, AGE_MAX, OVER_AGE)
}

// ---- Inputs of the checks ----

/// How far the f32 rounding of an angle's cosine (and of what it comes from) may move the phase of antenna m, per m,
/// rad: cos θ is within 2e-7.
pub const PHASE_STEP: f64 = 6.3e-7;

/// The default parameters at an RF SNR of 0, 10, 20 dB, … by replica, with a key and a processing delay of its own
/// each.
pub fn check_params(spec: &Spec, seed: u32) -> Vec<MisacParams> {
    (0..spec.r as u32)
        .map(|r| {
            let snr_db = 10.0 * f64::from(r % 3);
            MisacParams {
                key: [seed, 17 + r],
                beta: (0.055 + 0.165 * 10f64.powf(-snr_db / 20.0)) as f32,
                e_vis_j: 10.0,
                e_recovery_j: 25.0,
                lambda_j: 200.0,
                gamma_misa: 0.15,
                t_proc: (r % 2) as f32,
                age_max: 10.0,
                sigma_vis_rad: 0.05f32.to_radians(),
                beam_width_rad: 0.886 / spec.task.antennas as f32,
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
                beam_power_w: 1.0 / spec.task.vehicles as f32,
                path_gain_m2: (3e8f32 / 28e9 / (4.0 * std::f32::consts::PI)).powi(2),
                noise_w: 10f32.powf(-14.4),
                error_rate: 2.77,
                radar_noise_rad: 0.004,
            }
        })
        .collect()
}

/// States of episodes under way, `[R, 7K, B]`: vehicles moved on by some slots, whole ages up to A_max, or twice that
/// where they do not saturate, errors up to some beam widths.
pub fn check_states(spec: &Spec, params: &[MisacParams], seed: u32) -> Vec<f32> {
    let mut u = uniforms(seed, 1);
    let (k, b) = (spec.task.vehicles, spec.b);
    let oldest = if spec.task.choices.age_saturates { 1.0 } else { 2.0 };
    let mut rows = vec![0f32; spec.state_len()];
    for (r, p) in params.iter().enumerate() {
        for env in 0..b {
            let s = reset::<f64>(&spec.task, p, env as u32, 7);
            for i in 0..k {
                let slots = (u() * spec.task.slots as f64).floor();
                let all = [
                    s.x[i] + s.v[i] * f64::from(p.dt_s) * slots,
                    s.v[i],
                    (u() * (oldest * f64::from(p.age_max) + 1.0)).floor(),
                    0.02 * (2.0 * u() - 1.0),
                    s.scatter[0][i],
                    s.scatter[1][i],
                    s.turn[i],
                ];
                for (q, x) in all.into_iter().enumerate() {
                    rows[((r * STATE_ROWS + q) * k + i) * b + env] = x as f32;
                }
            }
        }
    }
    rows
}

/// The state of one environment out of rows `[R, 7K, B]`.
pub fn state_of<F: Scalar>(spec: &Spec, rows: &[F], r: usize, env: usize) -> State<F> {
    load_state(spec.task.vehicles, &rows[r * spec.task.state_rows() * spec.b..], spec.b, env)
}

/// How far f32 rounding may move the two normals of two words, per 1e-6: Box–Muller to 5e-7 absolute, and radii near 0
/// more, because u near 1 would need 25 bits.
pub fn normal_size(w1: u32, w2: u32) -> f64 {
    let (a, b) = f64::normal_pair(w1, w2);
    let radius = a.hypot(b);
    1.0 + radius + 0.05 / radius.max(1e-4)
}

/// [`normal_size`] of the range noise of each vehicle at `clock`.
pub fn range_size(k: usize, key: [u32; 2], env: u32, clock: u32) -> [f64; KMAX] {
    std::array::from_fn(|i| match i < k {
        true => {
            let w = draw(key, stream::RANGE, env, clock, i as u32 / 2);
            normal_size(w[0], w[1])
        }
        false => 0.0,
    })
}

/// How far f32 rounding may move the radar's own noise of each vehicle's angle at `clock`, rad per 1e-6.
pub fn radar_size(spec: &Spec, p: &MisacParams, env: u32, clock: u32) -> [f64; KMAX] {
    std::array::from_fn(|i| match i < spec.task.vehicles && spec.task.choices.radar_noise {
        true => {
            let w = draw(p.key, stream::RANGE, env, clock, i as u32 / 2);
            f64::from(p.radar_noise_rad) * normal_size(w[2], w[3])
        }
        false => 0.0,
    })
}

/// Phases `[samples, K, M]` for states given one by one: steered at the estimate, near it, and anywhere in (−π, π).
pub fn check_phases(
    spec: &Spec,
    phase: Phase,
    params: &[MisacParams],
    samples: impl Iterator<Item = (usize, State<f64>)>,
    seed: u32,
) -> Vec<f32> {
    let mut u = uniforms(seed, 3);
    let (k, n) = (spec.task.vehicles, spec.task.antennas);
    let mut out = Vec::new();
    for (at, (r, s)) in samples.enumerate() {
        for i in 0..k {
            let cos = estimated_cos(&params[r], s.x[i], s.e[i]);
            let spread = [0.0, 0.3, 1.0][(at + i) % 3];
            for m in 0..n {
                let steered = match phase {
                    Phase::Direct => -(m as f64 * cos / 2.0),
                    Phase::Residual => 0.0,
                };
                let turns = steered + spread * (u() - 0.5);
                out.push((std::f64::consts::TAU * (turns - turns.round())) as f32);
            }
        }
    }
    out
}
