//! v2x_step: one slot of every environment of every replica, with automatic reset at the episode's end. The physics is
//! `src/tasks/v2x/physics/`.

use super::v2x_batch::{self, STEP, check_params, check_states, shift_of, state_of, step_scale};
pub use super::v2x_batch::{Spec, WG};
use super::v2x_reference::{self, v2x_reference_cpu};
use crate::env::{Batch, Slot, StepSlices, TERMINATED, TRUNCATED};
use crate::kernels::common::*;
use crate::kernels::slot::{self, numbers};
use crate::kernels::{bind, constants, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::tasks::v2x::physics::{Beam, V2xParams, V2xSpec, echo_noise, metric, motion_noise, step_range};
use crate::tasks::v2x::reference::Reference;

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_step", super::SHARED);

/// Judged from the same f32 state and action, so errors never add up over slots.
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2.0 * STEP,
    why: "of |value| plus what angles off by 1 rad, distances by 100 %, ... would change (secants at 1e-6): cos theta is rounded to 6e-8, \
          argument reduction adds 2e-7 rad, Box-Muller 5e-7, and N antennas turn an angle's error into a gain's; twice, for sums of such errors",
};

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slots since the first reset; an episode ends where (clock+1) mod T = 0.
    pub clock: u32,
    /// Start of action `[R, B, A]` inside its buffer, such as a slot of a rollout.
    pub action_off: usize,
    /// Start of the next observation `[R, B, 4K]` inside `obs`.
    pub obs_off: usize,
    /// Start of `[R, B]` inside `reward` and inside `flags`.
    pub reward_off: usize,
    /// Whether metrics are written.
    pub full: bool,
}

/// `params` `[R]`; `action` `[R, B, A]` from `action_off`; `state` `[R, 10K, B]`; `obs` `[R, B, 4K]` from `obs_off`;
/// `final_obs` `[R, B, 4K]`, written where an episode ended; `reward` and `flags` `[R, B]` from `reward_off`; `metrics`
/// `[R, METRIC_ROWS, B]`, written if `full`.
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn v2x_step_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    action: &[F],
    state: &mut [F],
    obs: &mut [F],
    final_obs: &mut [F],
    reward: &mut [F],
    flags: &mut [u32],
    metrics: &mut [F],
) {
    let (b, t) = (spec.b, &spec.task);
    let (rows, row, a, m) = (t.state_rows() * b, t.obs_dim() * b, t.action_dim() * b, t.metric_rows() * b);
    for (r, params) in params.iter().enumerate().take(spec.r) {
        let mut batch = Batch {
            params,
            envs: b,
            first: 0,
            state: &mut state[r * rows..][..rows],
            obs: &mut obs[at.obs_off + r * row..][..row],
        };
        let mut out = StepSlices {
            final_obs: &mut final_obs[r * row..][..row],
            reward: &mut reward[at.reward_off + r * b..][..b],
            flags: &mut flags[at.reward_off + r * b..][..b],
            metrics: at.full.then(|| &mut metrics[r * m..][..m]),
            full: at.full,
        };
        step_range::<F, 0>(t, &mut batch, &action[at.action_off + r * a..][..a], &mut out, at.clock, 0, b);
    }
}

/// What a dispatch must do that writes metrics.
pub fn cost(spec: &Spec) -> Cost {
    cost_of(spec, true)
}

/// What a dispatch must do that ends no episode, with metrics if `full`; operations counted on the twin.
pub fn cost_of(spec: &Spec, full: bool) -> Cost {
    let one = Spec { r: 1, b: 1, ..*spec };
    let (params, states) = (check_params(&one, 1), check_states(&one, 1));
    let action = vec![0.1; one.action_len()];
    let args = Args { clock: 0, action_off: 0, obs_off: 0, reward_off: 0, full };
    let each = operations(|| drop(of_twin::<Counted>(&one, &args, &params, &states, &action)));
    let envs = spec.r * spec.b;
    let words = spec.r * words_of::<V2xParams>()
        + spec.action_len()
        + 2 * spec.state_len()
        + spec.obs_len()
        + 2 * envs
        + if full { spec.metrics_len() } else { 0 };
    Cost::new(envs * each as usize, words)
}

/// The constants of `shaders/v2x/shared/v2x_beams.wgsl`.
pub(super) fn beam_constants(prelude: Prelude, task: &V2xSpec) -> Prelude {
    prelude
        .u32("BEAM", task.beam as usize)
        .u32("BEAM_ANGLES", Beam::Angles as usize)
        .u32("BEAM_TRACKING", Beam::Tracking as usize)
        .u32("BEAM_MATRIX", Beam::Matrix as usize)
        .u32("BEAM_DIRECT", Beam::Direct as usize)
        .u32("BEAM_ON_STEERING", Beam::OnSteering as usize)
        .u32("BEAM_ON_ZF", Beam::OnZf as usize)
        .u32("BEAM_ZF", Beam::Zf as usize)
        .u32("BEAM_STEER", Beam::Steer as usize)
        .u32("BEAM_SPAN", Beam::Span as usize)
}

pub fn prelude(spec: &Spec) -> Prelude {
    let prelude = beam_constants(v2x_batch::constants(spec), &spec.task)
        .u32("TRUNCATED", TRUNCATED as usize)
        .u32("METRIC_ROWS", spec.task.metric_rows());
    constants!(prelude, "METRIC", metric: SUM_RATE, JAIN, REWARD, INDICATOR, ANGLE_SE, DISTANCE_SE, ANGLE_CRLB,
        DISTANCE_CRLB, UPPER_BOUND, POINTING_SE, RATE)
}

/// Loop iterations of one thread.
pub(super) fn trips(t: &V2xSpec) -> usize {
    let (k, n) = (t.vehicles, t.antennas);
    let beams = match t.beam {
        Beam::Matrix | Beam::Direct => n * (2 * k + k * (k + 1)) + k * k,
        Beam::OnSteering => n * (4 * k + k * (k + 1)) + k * k + k,
        Beam::OnZf => n * (4 * k + 2 * k * (k + 1)) + k * k + k + k * (2 * k * k + 6 * k + 4),
        Beam::Span => k * (k + 1) * (k + 1),
        // Gram matrix, inverse, norms and the mix beside what Span does.
        Beam::Zf => k * (k + 1) * (k + 1) + k * (2 * k * k + 6 * k + 4),
        _ => k * (k + 2),
    };
    // γ̂ without feedback hears the beams once more.
    let heard = if t.choices.sinr_feedback { beams } else { 2 * beams + k * k + 2 * k };
    heard + 2 * philox_trips(3 * k) + philox_trips(k) + 3 * k * k + 14 * k
}

/// Those of what `v2x_pointing.wgsl` adds.
fn pointing_trips(t: &V2xSpec) -> usize {
    let (k, n) = (t.vehicles, t.antennas);
    let sums = match t.beam {
        Beam::Matrix | Beam::Direct => n * 2 * k,
        Beam::OnSteering => n * 4 * k + k,
        Beam::OnZf => n * (4 * k + k * k) + k + k * (2 * k * k + 6 * k + 4),
        _ => 0,
    };
    sums + 2 * k
}

host! {
    V2xStep, V2xStepBound;
    fits |gpu, spec| check_trips(gpu, "v2x_step", trips(&spec.task) + pointing_trips(&spec.task));
    /// `params` `[R]`, `state` `[R, 10K, B]`, `final_obs` `[R, B, 4K]`, `metrics` `[R, METRIC_ROWS, B]`; `action`,
    /// `obs`, `reward` and `flags` hold whatever the offsets of `record` point into.
    bind |spec| {
        params: V2xParams = of_len(spec.r),
        action: f32,
        state: f32 = of_len(spec.state_len()),
        obs: f32,
        final_obs: f32 = of_len(spec.obs_len()),
        reward: f32 = of_len(flags.len()),
        flags: u32,
        metrics: f32 = of_len(spec.metrics_len()),
    }
}

impl V2xStepBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let spec = &self.spec;
        let n = spec.r * spec.b;
        assert_inside("v2x_step", "action", at.action_off, spec.action_len(), self.action);
        assert_inside("v2x_step", "obs", at.obs_off, spec.obs_len(), self.obs);
        assert_inside("v2x_step", "reward and flags", at.reward_off, n, self.reward);
        let imm =
            [at.clock, at.action_off as u32, at.obs_off as u32, at.reward_off as u32, u32::from(at.full)];
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// Actions `[R, B, A]` that look at every regime: beams on the vehicle, a beam width off, and anywhere.
pub(super) fn check_actions(
    spec: &Spec,
    params: &[V2xParams],
    states: &[f32],
    clock: u32,
    seed: u32,
) -> Vec<f32> {
    let mut u = uniforms(seed, 2);
    let (k, n, a, b) = (spec.task.vehicles, spec.task.antennas, spec.task.action_dim(), spec.b);
    // What the clairvoyant references would do: the coming angles, or the zero-forcing mix.
    let who = if spec.task.beam == Beam::Span { Reference::GenieZf } else { Reference::Genie };
    let own =
        v2x_reference::Spec { batch: Spec { task: V2xSpec { beam: who.beam(), ..spec.task }, ..*spec }, who };
    let at = v2x_reference::Args { clock, action_off: 0 };
    let mut genie = vec![0f32; own.batch.action_len()];
    v2x_reference_cpu(&own, &at, params, states, &mut [], &mut genie);
    if spec.task.beam == Beam::Span {
        // Vehicles nearly in line have no zero-forcing mix in f32 (the states here are drawn freely): unmixed beams
        // there.
        for (e, act) in genie.chunks_exact_mut(a).enumerate() {
            if act[k..].iter().any(|x| !x.is_finite()) || act[k..k + k * k].iter().any(|x| x.abs() > 4.0) {
                for i in 0..k {
                    for j in 0..k {
                        act[k + j * k + i] = f32::from(u8::from(i == j));
                    }
                    act[k + k * k + i] = params[e / b].p_max_w / k as f32;
                }
            }
        }
        return genie;
    }
    let mut out = vec![0f32; spec.action_len()];
    for e in 0..spec.r * b {
        let p_max = f64::from(params[e / b].p_max_w);
        let s = state_of(spec, states, e / b, e % b);
        let mut phi = [0.0; crate::tasks::v2x::physics::KMAX];
        for i in 0..k {
            let ahead = f64::from(genie[e * 2 * k + i]);
            phi[i] = match e % 4 {
                0 => ahead,
                1 => ahead + 0.01 * (2.0 * u() - 1.0),
                2 => ahead + 0.2 * (2.0 * u() - 1.0),
                _ => std::f64::consts::PI * u(),
            };
        }
        let act = &mut out[e * a..][..a];
        match spec.task.beam {
            Beam::Matrix | Beam::Direct | Beam::OnSteering | Beam::OnZf => {
                for i in 0..k {
                    for m in 0..n {
                        // A steering vector (conjugated response) with 30 % of noise on it.
                        let turn = std::f64::consts::PI * m as f64 * phi[i].cos();
                        let mut noise = || 0.6 * (u() - 0.5);
                        act[i * n + m] = (turn.cos() + noise()) as f32;
                        act[(k + i) * n + m] = (-turn.sin() + noise()) as f32;
                    }
                    act[2 * k * n + i] = (4.0 * u() - 2.0) as f32;
                }
            }
            Beam::Steer => {
                for i in 0..k {
                    act[i] = phi[i] as f32;
                }
            }
            _ => {
                for i in 0..k {
                    let share = (phi[i] / std::f64::consts::PI).clamp(1e-3, 0.999);
                    act[i] = match spec.task.beam {
                        Beam::Angles => (share / (1.0 - share)).ln() as f32,
                        _ if e % 4 == 3 => (6.0 * u() - 3.0) as f32,
                        _ => ((phi[i] - s.obs_theta[i]) / f64::from(params[e / b].tracking_delta_rad))
                            .clamp(-0.999, 0.999)
                            .atanh() as f32,
                    };
                    act[k + i] = (4.0 * u() - 2.0) as f32;
                }
            }
        }
        if spec.task.beam.writes_powers() {
            let powers = &mut act[a - k..];
            powers.fill_with(|| (0.05 + u()) as f32);
            let sum: f64 = powers.iter().map(|w| f64::from(*w)).sum();
            for w in powers {
                *w = (f64::from(*w) * p_max / sum) as f32;
            }
        }
    }
    out
}

/// What the twin makes of a slot.
pub fn of_twin<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    states: &[f32],
    action: &[f32],
) -> Slot<F> {
    let reward_len = at.reward_off + spec.r * spec.b;
    let sizes = [at.obs_off + spec.obs_len(), spec.obs_len(), reward_len, spec.metrics_len()];
    let mut slot = slot::before(states, sizes);
    let Slot { state, obs, final_obs, reward, flags, metrics } = &mut slot;
    let action = numbers(action);
    v2x_step_cpu(spec, at, params, &action, state, obs, final_obs, reward, flags, metrics);
    slot
}

/// Numbers of row `q` of the metrics `[R, METRIC_ROWS, B]`, replica by replica.
pub(super) fn metric_row<T: Copy>(spec: &Spec, metrics: &[T], q: usize) -> Vec<T> {
    metrics.chunks_exact(spec.b).skip(q).step_by(spec.task.metric_rows()).flatten().copied().collect()
}

/// That few of `n` environments are where the check cannot tell what they should do. Where zero-forcing meets vehicles
/// in line, as it does among states that are drawn freely, an error grows by the inverse's size, and more of them are
/// near.
pub(super) fn compare_near(beam: Beam, near_threshold: usize, n: usize) -> Comparison {
    let what = "environments whose indicator an error of 1e-6 may turn";
    let why = "the limits of (27) cut through a continuous distribution";
    let share = match beam {
        Beam::Zf => 0.02,
        // Formed at the last estimates of all, however near in line: seen are 0.066 for five vehicles and 64 antennas.
        Beam::OnZf => 0.08,
        _ => 0.01,
    };
    compare_share(what, near_threshold, n, share + 1.0 / n as f64, why)
}

/// Scales of everything a slot writes: of its own outputs, or of the reset state (its value) where the episode ended;
/// and how many environments an error of [`STEP`] may take across the limits of (27).
pub(super) fn scales(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    states: &[f32],
    action: &[f32],
    want: &Slot<f64>,
) -> (Slot<f64>, usize) {
    let (n, a, k, b, row) =
        (spec.r * spec.b, spec.task.action_dim(), spec.task.vehicles, spec.b, spec.task.obs_dim());
    let len = spec.task.state_rows();
    let clock = at.clock;
    let ends = (clock as usize + 1).is_multiple_of(spec.task.slots);
    let mut scales = Slot {
        state: magnitudes(&want.state),
        obs: magnitudes(&want.obs),
        final_obs: vec![0.0; spec.obs_len()],
        reward: vec![0.0; at.reward_off + n],
        flags: vec![],
        metrics: vec![0.0; spec.metrics_len()],
    };
    let mut near_threshold = 0;
    for e in 0..n {
        let (r, env) = (e / b, e % b);
        let p = &params[r];
        let moved = motion_noise::<f64>(k, p, env as u32, clock);
        let echoed = echo_noise::<f64>(k, p, env as u32, clock);
        let act = widen(&action[at.action_off + e * a..][..a]);
        let scale = step_scale(&spec.task, p, &state_of(spec, states, r, env), &moved, &echoed, &act);
        if ends {
            scales.final_obs[e * row..][..row].copy_from_slice(&scale[len..len + row]);
            let fresh = &mut scales.obs[at.obs_off + e * row..][..row];
            fresh.iter_mut().enumerate().for_each(|(i, scale)| *scale += shift_of(p, k, i));
        } else {
            for q in 0..len {
                scales.state[(r * len + q) * b + env] = scale[q];
            }
            scales.obs[at.obs_off + e * row..][..row].copy_from_slice(&scale[len..len + row]);
        }
        scales.reward[at.reward_off + e] = scale[len + row + metric::REWARD];
        for q in 0..spec.task.metric_rows() {
            scales.metrics[(r * spec.task.metric_rows() + q) * b + env] = scale[len + row + q];
        }
        // The value itself is 0 or 1; what comes on top is 1/STEP for each input whose error turns it.
        near_threshold += usize::from(scale[len + row + metric::INDICATOR] > 1.5);
    }
    (scales, near_threshold)
}

/// Shader against f64 twin in the middle and at the end of an episode, with and without metrics; on lavapipe also
/// against the bits of the f32 twin, but for matrices on a base. What a dispatch must leave alone is compared as well.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let params = check_params(spec, seed);
    let states = check_states(spec, seed);
    let mut rows = Vec::new();
    let middle = (2 * spec.task.slots) as u32;
    for (when, clock, full) in [("middle", middle, true), ("end", middle + spec.task.slots as u32 - 1, false)]
    {
        let at = Args { clock, action_off: 2, obs_off: 3, reward_off: 5, full };
        let ends = (clock as usize + 1).is_multiple_of(spec.task.slots);
        let mut action = vec![0f32; at.action_off];
        action.extend(check_actions(spec, &params, &states, clock, seed));
        let want = of_twin::<f64>(spec, &at, &params, &states, &action);
        let twin = of_twin::<f32>(spec, &at, &params, &states, &action);

        let (scale, near_threshold) = scales(spec, &at, &params, &states, &action, &want);
        bind!(gpu, bound = V2xStep::new(gpu, spec)?; params_buf = params, action, state = states, obs[want.obs.len()],
            final_obs[spec.obs_len()], reward[want.reward.len()], flags[want.flags.len()], metrics[spec.metrics_len()]);
        gpu.write(&obs, &vec![0.0; at.obs_off]);
        gpu.write(&reward, &vec![0.0; at.reward_off]);
        gpu.write(&flags, &vec![0; at.reward_off]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let got = slot::read(gpu, [&state, &obs, &final_obs, &reward, &metrics], &flags)?;
        let metrics = full.then(|| {
            // Row by row, because their units and sizes differ.
            let mut rows = Vec::new();
            for q in 0..spec.task.metric_rows() {
                let [want, scale] = [&want, &scale].map(|slot| metric_row(spec, &slot.metrics, q));
                let [got, twin] = [&got, &twin].map(|slot| metric_row(spec, &slot.metrics, q));
                let name = format!("{}, {when}", metric::name(spec.task.vehicles, q));
                rows.extend(compare_twins(gpu, &name, &got, [&want[..], &scale], TOL, &twin));
            }
            rows.push(compare_near(spec.task.beam, near_threshold, spec.r * spec.b));
            rows
        });
        rows.extend(slot::compare(&got, gpu, (when, TOL), [&want, &scale], &twin, ends, metrics));
        debug_assert!(want.flags.iter().all(|f| f & TERMINATED == 0));
    }
    Ok(promised(spec.task.beam, rows))
}

/// Without the comparisons of bits where beams are matrices on a base: Mesa re-associates their sums.
pub(super) fn promised(beam: Beam, mut rows: Vec<Comparison>) -> Vec<Comparison> {
    if matches!(beam, Beam::OnSteering | Beam::OnZf) {
        rows.retain(|row| !row.quantity.ends_with(TWIN_BITS));
    }
    rows
}
