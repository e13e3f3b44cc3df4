//! misac_step: one slot of every environment of every replica, with automatic reset at the episode's end. The physics
//! is `src/tasks/misac/physics/`.
//!
//! The next state goes to an array of its own or back in place: a rollout that keeps the state of every slot,
//! `[T+1, R, 7K, B]`, lets beams be learned on channels that are drawn again later (`spatial_loss`).

use super::misac_batch::{self, check_params, check_states, normal_size, radar_size, range_size, state_of};
pub use super::misac_batch::{Spec, WG};
use super::misac_reset::reset_scale;
use crate::env::{Batch, Slot, StepSlices, TRUNCATED};
use crate::kernels::common::*;
use crate::kernels::slot::{self, numbers};
use crate::kernels::{bind, host, shader};
use crate::num::philox::draw;
use crate::num::real::counted::{Counted, operations};
use crate::tasks::misac::physics::{
    Choices, ErrorGrowth, MOST_GROWTH, MisacParams, beta, metric, step_range, stream,
};

pub const SHADER: Source = shader!("shaders/misac/", "misac_step", super::SHARED);

/// Judged from the same f32 state and action, so errors never add up over slots.
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2e-6,
    why: "of |value| and of what it is made of: positions of 80 m, unit cosines and probabilities, energies of all K vehicles, Box-Muller radii",
};

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slots since the first reset; an episode ends where (clock+1) mod T = 0.
    pub clock: u32,
    /// Start of action `[R, B, K]` inside its buffer, such as a slot of a rollout.
    pub action_off: usize,
    /// Start of the state `[R, 7K, B]` inside its buffer.
    pub state_off: usize,
    /// Where the next state goes: `state_off` for in place, else not overlapping with it.
    pub next_off: usize,
    /// Start of the next observation `[R, B, 3K]` inside `obs`.
    pub obs_off: usize,
    /// Start of `[R, B]` inside `reward` and inside `flags`.
    pub reward_off: usize,
    /// Whether metrics are written.
    pub full: bool,
}

/// `params` `[R]`; `action` `[R, B, K]` of 0 and 1 from `action_off`; `state` `[R, 7K, B]` from `state_off`, the next
/// from `next_off`; `obs` `[R, B, 3K]` from `obs_off`; `final_obs` `[R, B, 3K]`, written where an episode ended;
/// `reward` and `flags` `[R, B]` from `reward_off`; `metrics` `[R, METRIC_ROWS, B]`, written if `full`.
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn misac_step_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[MisacParams],
    action: &[F],
    state: &mut [F],
    obs: &mut [F],
    final_obs: &mut [F],
    reward: &mut [F],
    flags: &mut [u32],
    metrics: &mut [F],
) {
    let (b, t) = (spec.b, &spec.task);
    let (rows, row, a, m) = (t.state_rows() * b, t.obs_dim() * b, t.vehicles * b, metric::ROWS * b);
    state.copy_within(at.state_off..at.state_off + spec.state_len(), at.next_off);
    for (r, params) in params.iter().enumerate().take(spec.r) {
        let mut batch = Batch {
            params,
            envs: b,
            first: 0,
            state: &mut state[at.next_off + r * rows..][..rows],
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
    let params = check_params(&one, 1);
    let (state, action) = (check_states(&one, &params, 1), vec![0.0; one.action_len()]);
    let args = Args { clock: 0, action_off: 0, state_off: 0, next_off: 0, obs_off: 0, reward_off: 0, full };
    let each = operations(|| drop(of_twin::<Counted>(&one, &args, &params, &state, &action)));
    let envs = spec.r * spec.b;
    let words = spec.r * words_of::<MisacParams>()
        + spec.action_len()
        + 2 * spec.state_len()
        + spec.obs_len()
        + envs * (2 + if full { metric::ROWS } else { 0 });
    Cost::new(envs * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    misac_batch::with_metrics(misac_batch::constants(spec)).u32("TRUNCATED", TRUNCATED as usize)
}

host! {
    MisacStep, MisacStepBound;
    fits |gpu, spec| check_trips(gpu, "misac_step", spec.task.vehicles * (1 + philox_trips(32)));
    /// `params` `[R]`, `final_obs` `[R, B, 3K]`, `metrics` `[R, METRIC_ROWS, B]`; the others hold whatever the offsets
    /// of `record` point into.
    bind |spec| {
        params: MisacParams = of_len(spec.r),
        action: f32,
        state: f32,
        obs: f32,
        final_obs: f32 = of_len(spec.obs_len()),
        reward: f32 = of_len(flags.len()),
        flags: u32,
        metrics: f32 = of_len(spec.r * metric::ROWS * spec.b),
    }
}

impl MisacStepBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let spec = &self.spec;
        let (n, rows) = (spec.r * spec.b, spec.state_len());
        assert_inside("misac_step", "action", at.action_off, spec.action_len(), self.action);
        assert_inside("misac_step", "state", at.state_off, rows, self.state);
        assert_inside("misac_step", "the next state", at.next_off, rows, self.state);
        let apart = at.state_off.abs_diff(at.next_off);
        assert!(apart == 0 || apart >= rows, "misac_step: state and next state overlap in part");
        assert_inside("misac_step", "obs", at.obs_off, spec.obs_len(), self.obs);
        assert_inside("misac_step", "reward and flags", at.reward_off, n, self.reward);
        let [action_off, state_off, next_off, obs_off, reward_off] =
            [at.action_off, at.state_off, at.next_off, at.obs_off, at.reward_off].map(|x| x as u32);
        let imm = [at.clock, action_off, state_off, next_off, obs_off, reward_off, u32::from(at.full)];
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// What the twin makes of a slot.
pub fn of_twin<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[MisacParams],
    state: &[f32],
    action: &[f32],
) -> Slot<F> {
    let n = spec.r * spec.b;
    let sizes = [at.obs_off + spec.obs_len(), spec.obs_len(), at.reward_off + n, n * metric::ROWS];
    let mut slot = slot::before(state, sizes);
    let Slot { state, obs, final_obs, reward, flags, metrics } = &mut slot;
    let action = numbers(action);
    misac_step_cpu(spec, at, params, &action, state, obs, final_obs, reward, flags, metrics);
    slot
}

/// Shader against f64 twin in the middle of an episode (next state apart, with metrics) and at its end (in place,
/// without); on lavapipe also against the bits of the f32 twin. What a dispatch must leave alone is compared as well.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (n, k, b) = (spec.r * spec.b, spec.task.vehicles, spec.b);
    let (rows_of_state, row) = (spec.task.state_rows(), spec.task.obs_dim());
    let params = check_params(spec, seed);
    let states = check_states(spec, &params, seed);
    let states64 = widen(&states);
    let mut rows = Vec::new();
    let middle = (2 * spec.task.slots) as u32;
    for (when, clock, full) in [("middle", middle, true), ("end", middle + spec.task.slots as u32 - 1, false)]
    {
        let state_off = 4;
        let next_off = if full { state_off + spec.state_len() } else { state_off };
        let at = Args { clock, action_off: 2, state_off, next_off, obs_off: 3, reward_off: 5, full };
        let ends = (clock as usize + 1).is_multiple_of(spec.task.slots);
        let mut u = uniforms(seed, 2);
        let action: Vec<f32> =
            (0..at.action_off + spec.action_len()).map(|_| f32::from(u8::from(u() < 0.4))).collect();
        let mut state = vec![0f32; at.state_off];
        state.extend(&states);
        state.resize(next_off + spec.state_len(), 0.0);
        let want = of_twin::<f64>(spec, &at, &params, &state, &action);
        let twin = of_twin::<f32>(spec, &at, &params, &state, &action);

        let sizes = [want.obs.len(), spec.obs_len(), want.reward.len(), want.metrics.len()];
        let mut scale = slot::before::<f64>(&vec![0.0; state.len()], sizes);
        let mut at_limit = 0;
        let mut at_luck = 0;
        let Choices { realign, growth, age_saturates, .. } = spec.task.choices;
        for e in 0..n {
            let (r, env) = (e / b, e % b);
            let p = &params[r];
            let s = state_of(spec, &states64, r, env);
            let range = range_size(k, p.key, env as u32, clock + 1);
            // By rounding, the radar's noise of this slot and of the next.
            let radar = [clock, clock + 1].map(|clock| radar_size(spec, p, env as u32, clock));
            // Of the state after the slot, before any reset.
            let (mut own, mut seen) = (vec![0.0; rows_of_state], vec![0.0; row]);
            let mut misaligned = 0.0;
            let mut drawn_near = false;
            for i in 0..k {
                let w = draw(p.key, stream::TRACK, env as u32, clock, i as u32 / 4);
                let size = normal_size(w[i % 4 / 2 * 2], w[i % 4 / 2 * 2 + 1]);
                let rate = beta(&spec.task, p, &s, i);
                let lost = 1.0 - (-rate * s.age[i]).exp();
                misaligned += lost;
                let walk = f64::from(p.sigma_vis_rad).max(f64::from(p.beam_width_rad) * rate.sqrt());
                let grown = match growth {
                    ErrorGrowth::RandomWalk => s.e[i].abs(),
                    ErrorGrowth::Exponential => {
                        let exponent = (f64::from(p.error_rate) * rate).min(MOST_GROWTH);
                        (1.0 + exponent) * (s.e[i].abs() * exponent.exp()).min(std::f64::consts::PI)
                    }
                };
                let luck = draw(p.key, stream::RECOVERY, env as u32, clock, i as u32 / 4)[i % 4];
                let either = realign && (f64::unit_from_word(luck) - lost).abs() < 1e-6;
                drawn_near |= either;
                let undecided = if either { 1e9 } else { 0.0 };
                let sizes = [80.0, 0.0, undecided, grown + walk * size + undecided, 0.0, 0.0, 0.0];
                for (q, size) in sizes.into_iter().enumerate() {
                    own[q * k + i] = size;
                }
                seen[i] = 1.0 + own[3 * k + i] + radar[1][i];
                seen[k + i] = 2.0 + f64::from(p.distance_noise) * range[i];
                seen[2 * k + i] = if age_saturates { 1.0 } else { 3.0 } + undecided;
            }
            if ends {
                scale.final_obs[e * row..][..row].copy_from_slice(&seen);
                (own, seen) = reset_scale(spec, p, env as u32, clock + 1);
            }
            scale.obs[at.obs_off + e * row..][..row].copy_from_slice(&seen);
            for (q, size) in own.iter().enumerate() {
                scale.state[next_off + (r * rows_of_state + q) * b + env] = *size;
            }
            let energy = k as f64 * f64::from(p.e_vis_j + p.e_recovery_j);
            scale.reward[at.reward_off + e] = energy + f64::from(p.lambda_j);
            let near = (misaligned / k as f64 - f64::from(p.gamma_misa)).abs() < 1e-6;
            at_limit += usize::from(near);
            at_luck += usize::from(drawn_near);
            let unsure = |near| if near { 1e9 } else { 0.0 };
            let mae = (0..k).map(|i| s.e[i].abs() + radar[0][i]).sum();
            let reward = energy + f64::from(p.lambda_j);
            let sizes = [energy, reward, 1.0, unsure(near), mae, 0.0, unsure(drawn_near)];
            for (q, size) in sizes.into_iter().enumerate() {
                scale.metrics[(r * metric::ROWS + q) * b + env] = size;
            }
        }

        bind!(gpu, bound = MisacStep::new(gpu, spec)?; params_buf = params, action, state, obs[want.obs.len()],
            final_obs[spec.obs_len()], reward[want.reward.len()], flags[want.flags.len()], metrics[want.metrics.len()]);
        gpu.write(&obs, &vec![0.0; at.obs_off]);
        gpu.write(&reward, &vec![0.0; at.reward_off]);
        gpu.write(&flags, &vec![0; at.reward_off]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let got = slot::read(gpu, [&state, &obs, &final_obs, &reward, &metrics], &flags)?;
        let metrics = full.then(|| {
            let (what, judged) = (format!("metrics, {when}"), [&want.metrics[..], &scale.metrics]);
            let mut rows = compare_twins(gpu, &what, &got.metrics, judged, TOL, &twin.metrics);
            let what = "environments whose L_BMP is within 1e-6 of its limit";
            let why = "the limit of (9e) cuts through the sums of a few probabilities";
            rows.push(compare_share(what, at_limit, n, 0.01 + 1.0 / n as f64, why));
            let what = "environments with a sweep whose draw is within 1e-6 of P_misa";
            let why = "2e-6 of all draws are so near";
            rows.push(compare_share(what, at_luck, n, 0.001 + 1.0 / n as f64, why));
            rows
        });
        rows.extend(slot::compare(&got, gpu, (when, TOL), [&want, &scale], &twin, ends, metrics));
    }
    Ok(rows)
}
