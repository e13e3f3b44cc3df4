//! v2x_slots: many slots of every environment in one dispatch, the state in registers, with standard normal actions:
//! the physics alone, as fast as the device does it. The physics is `src/tasks/v2x/physics/`, the draws are those of
//! gaussian_head.

use super::v2x_batch::{STEP, check_params, check_states};
pub use super::v2x_batch::{Spec, WG};
use super::v2x_step::{self, compare_near, of_twin, promised, scales, v2x_step_cpu};
use crate::kernels::common::*;
use crate::kernels::gaussian_head::four_normals;
use crate::kernels::{MAX_TRIPS, bind, host, shader};
use crate::tasks::v2x::physics::{V2xParams, metric};

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_slots", super::SHARED);

/// For one slot; several slots in one dispatch are compared, bit by bit, with one dispatch for each slot.
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 4.0 * STEP,
    why: "twice that of v2x_step: the action is drawn here, and its Box-Muller error (5e-7 absolute, more near radius 0) moves angles and powers",
};

/// Rows of `sums`.
pub const SUMS: usize = 2;

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slots since the first reset; an episode ends where (clock+1) mod T = 0.
    pub clock: u32,
    /// Slots of this dispatch.
    pub slots: u32,
}

/// Actions `[R, B, A]` of slot `clock`: standard normals.
fn actions<F: Scalar>(spec: &Spec, params: &[V2xParams], clock: u32) -> Vec<F> {
    let a = spec.task.action_dim();
    let mut action = vec![F::splat(0.0); spec.action_len()];
    for (n, row) in action.chunks_exact_mut(a).enumerate() {
        for (block, four) in row.chunks_mut(4).enumerate() {
            let z = four_normals::<F>(params[n / spec.b].key, n % spec.b, clock, block);
            four.copy_from_slice(&z[..four.len()]);
        }
    }
    action
}

/// `params` `[R]`; `state` `[R, 10K, B]`; `obs` `[R, B, 4K]` after the last slot; `sums` `[R, 2, B]` of the rewards and
/// of the sum-rates (bps/Hz) of these slots.
pub fn v2x_slots_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    state: &mut [F],
    obs: &mut [F],
    sums: &mut [F],
) {
    let (b, zero) = (spec.b, F::splat(0.0));
    let (mut final_obs, mut flags) = (vec![zero; spec.obs_len()], vec![0; spec.r * b]);
    let (mut reward, mut metrics) = (vec![zero; spec.r * b], vec![zero; spec.metrics_len()]);
    sums.fill(zero);
    for clock in at.clock..at.clock + at.slots {
        let action = actions(spec, params, clock);
        let step = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true };
        v2x_step_cpu(
            spec,
            &step,
            params,
            &action,
            state,
            obs,
            &mut final_obs,
            &mut reward,
            &mut flags,
            &mut metrics,
        );
        for r in 0..spec.r {
            let rates = &metrics[(r * spec.task.metric_rows() + metric::SUM_RATE) * b..][..b];
            for env in 0..b {
                sums[SUMS * r * b + env] += reward[r * b + env];
                sums[(SUMS * r + 1) * b + env] += rates[env];
            }
        }
    }
}

/// Of a dispatch of one slot.
pub fn cost(spec: &Spec) -> Cost {
    cost_of(spec, 1)
}

/// Of a dispatch of `slots` slots, none of which ends an episode.
pub fn cost_of(spec: &Spec, slots: usize) -> Cost {
    let slot = v2x_step::cost_of(spec, false).flops.expect("counted");
    // Box and Muller for every two actions; two sums with their barriers, which are no work.
    let draws = spec.r * spec.b * (spec.task.action_dim().div_ceil(4) * 2 * NORMAL_PAIR + SUMS);
    let words =
        spec.r * words_of::<V2xParams>() + 2 * spec.state_len() + spec.obs_len() + SUMS * spec.r * spec.b;
    Cost::new(slots * (slot as usize + draws), words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    v2x_step::prelude(spec)
}

host! {
    V2xSlots, V2xSlotsBound, up to slots;
    fits |gpu, spec| check_trips(gpu, "v2x_slots", trips(spec, slots));
    /// `params` `[R]`, `state` `[R, 10K, B]`, `obs` `[R, B, 4K]`, `sums` `[R, 2, B]`.
    bind |spec| {
        params: V2xParams = of_len(spec.r),
        state: f32 = of_len(spec.state_len()),
        obs: f32 = of_len(spec.obs_len()),
        sums: f32 = of_len(SUMS * spec.r * spec.b),
    }
}

impl V2xSlots {
    /// Most slots that a dispatch may do: `wanted`, or fewer on software Vulkan.
    pub fn most_slots(gpu: &Gpu, spec: &Spec, wanted: usize) -> usize {
        let most = if gpu.is_software() { (MAX_TRIPS - 1) / trips(spec, 1) } else { wanted };
        wanted.min(most)
    }
}

/// Loop iterations of one thread.
fn trips(spec: &Spec, slots: usize) -> usize {
    slots * (1 + v2x_step::trips(&spec.task) + philox_trips(spec.task.action_dim()))
}

impl V2xSlotsBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.b, WG), &[at.clock, at.slots]);
    }
}

/// One slot against the f64 twin, in the middle and at the end of an episode (on lavapipe also against the bits of the
/// f32 twin); then several slots across an episode's end in one dispatch against one dispatch a slot, bit by bit, on
/// any device.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    const SLOTS: u32 = 5;
    let (n, b, t) = (spec.r * spec.b, spec.b, spec.task.slots as u32);
    let params = check_params(spec, seed);
    let states = check_states(spec, seed);
    let kernel = V2xSlots::new(gpu, spec, SLOTS as usize)?;
    bind!(gpu, bound = kernel; params_buf = params, state_buf = states, obs_buf[spec.obs_len()], sums_buf[SUMS * n]);
    let run = |at: Args| -> Result<[Vec<f32>; 3], GpuError> {
        gpu.run(|pass| bound.record(pass, &at))?;
        Ok([gpu.read(&state_buf)?, gpu.read(&obs_buf)?, gpu.read(&sums_buf)?])
    };
    let mut rows = Vec::new();
    for (when, clock) in [("middle", 2 * t), ("end", 3 * t - 1)] {
        let one = Args { clock, slots: 1 };
        let step = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true };
        let action = actions::<f32>(spec, &params, clock);
        let physics = of_twin(spec, &step, &params, &states, &action);
        let (scales, near_threshold) = scales(spec, &step, &params, &states, &action, &physics);
        let mut want = [widen(&states), vec![0.0; spec.obs_len()], vec![0.0; SUMS * n]];
        let [state, obs, sums] = &mut want;
        v2x_slots_cpu(spec, &one, &params, state, obs, sums);
        let mut twin = [states.clone(), vec![0.0; spec.obs_len()], vec![0.0; SUMS * n]];
        let [state, obs, sums] = &mut twin;
        v2x_slots_cpu(spec, &one, &params, state, obs, sums);
        let rate = |r: usize| &scales.metrics[(r * spec.task.metric_rows() + metric::SUM_RATE) * b..][..b];
        let of_sums =
            (0..spec.r).flat_map(|r| [&scales.reward[r * b..][..b], rate(r)].concat()).collect::<Vec<_>>();

        gpu.write(&state_buf, &states);
        let got = run(one)?;
        for (i, (what, scale)) in
            [("state", &scales.state), ("obs", &scales.obs), ("sums", &of_sums)].into_iter().enumerate()
        {
            let name = format!("{what}, {when}");
            rows.extend(compare_twins(gpu, &name, &got[i], [&want[i], scale], TOL, &twin[i]));
        }
        rows.push(compare_near(spec.task.beam, near_threshold, n));
    }

    let clock = 3 * t - 3;
    gpu.write(&state_buf, &states);
    let together = run(Args { clock, slots: SLOTS })?;
    gpu.write(&state_buf, &states);
    let mut apart = [vec![], vec![], vec![0f32; SUMS * n]];
    for at in clock..clock + SLOTS {
        let [state, obs, sums] = run(Args { clock: at, slots: 1 })?;
        let total = apart[2].iter().zip(&sums).map(|(a, b)| a + b).collect();
        apart = [state, obs, total];
    }
    for (i, what) in ["state", "obs", "sums"].into_iter().enumerate() {
        let name = format!("{what}, {SLOTS} slots in one dispatch and in {SLOTS}");
        rows.push(compare_words(&name, &together[i], &apart[i]));
    }
    Ok(promised(spec.task.beam, rows))
}
