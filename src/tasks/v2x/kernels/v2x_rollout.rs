//! v2x_rollout: many slots of every environment under a perceptron in one dispatch. A workgroup keeps its environments'
//! state in registers, their activations and the actor's weights in workgroup memory, and writes what PPO learns from.
//! The same numbers as dense_forward, gaussian_head and v2x_step dispatched slot by slot (bit by bit on devices that
//! neither fuse nor reassociate): the same sums in the same order, the same draws.
//!
//! For beams of few actions: `angles` and `tracking`. The 2·K·N + K actions of `matrix` leave no room for a workgroup
//! ([`Tiling::choose`] has none for them).

mod check;
mod tiling;

pub use check::check;
pub use tiling::{MAX_HIDDEN, Tiling};

use super::{v2x_batch, v2x_step};
use crate::env::{Batch, StepSlices};
use crate::kernels::common::*;
use crate::kernels::dense_forward::dense_forward_cpu;
use crate::kernels::gaussian_head::gaussian_head_cpu;
use crate::kernels::layer::Rows;
use crate::kernels::{MAX_TRIPS, dense_forward, gaussian_head, host, shader};
use crate::nets::{ActorCriticLayout, MlpLayout};
use crate::tasks::v2x::physics::{V2xParams, load_state, metric, observe, step_range};
use tiling::terms;

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_rollout", super::SHARED);

/// Of one slot, the physics judged from the device's own action; more slots in a dispatch are compared, bit by bit,
/// with as many dispatches of one.
pub const TOL: Tol = v2x_step::TOL;

pub const TOL_ACTION: Tol = Tol {
    abs: 0.0,
    rel: 2e-6,
    why: "as gaussian_head, plus the mean's error: roots of sums of squares of what each layer rounds (as dense_forward), carried on by the weights",
};

/// Rows of `outcome`.
pub mod outcome {
    /// Reward (27).
    pub const REWARD: usize = 0;
    /// Σ_k log2(1+γ_k), bps/Hz (13).
    pub const SUM_RATE: usize = 1;
    /// Jain index (28).
    pub const JAIN: usize = 2;
    /// 1 where the indicator of (27) holds.
    pub const INDICATOR: usize = 3;
    pub const ROWS: usize = 4;
}

/// The same quantities among the metrics of v2x_step, in the order of [`outcome`].
const METRICS: [usize; outcome::ROWS] = [metric::REWARD, metric::SUM_RATE, metric::JAIN, metric::INDICATOR];

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Debug)]
pub struct Spec {
    pub batch: v2x_batch::Spec,
    /// T: slots that the buffers hold.
    pub horizon: usize,
    /// 4K → action means `[A]`.
    pub net: MlpLayout,
    /// First element of `log_std` `[A]` inside a replica's parameters.
    pub ls_off: usize,
    /// P: parameters of a replica.
    pub p: usize,
    pub tiling: Tiling,
}

impl Spec {
    /// The rollout of the actor of `layout` as it suits a device with these limits; `None` where nothing does.
    pub fn new(
        limits: &wgpu::Limits,
        batch: v2x_batch::Spec,
        horizon: usize,
        layout: &ActorCriticLayout,
    ) -> Option<Spec> {
        let tiling = Tiling::choose(limits, &layout.actor, batch.b)?;
        let (net, ls_off, p) = (layout.actor.clone(), layout.log_std_off, layout.params());
        Some(Spec { batch, horizon, net, ls_off, p, tiling })
    }
    /// Environments of all replicas.
    fn row(&self) -> usize {
        self.batch.r * self.batch.b
    }
    /// Elements of `obs` `[T + 2, R, B, 4K]`.
    pub fn obs_len(&self) -> usize {
        (self.horizon + 2) * self.batch.obs_len()
    }
    /// First element of the final observations `[R, B, 4K]` inside `obs`.
    pub fn final_off(&self) -> usize {
        (self.horizon + 1) * self.batch.obs_len()
    }
    /// Elements of `action` `[T, R, B, A]`.
    pub fn action_len(&self) -> usize {
        self.horizon * self.batch.action_len()
    }
    /// Elements of `logprob` and of `flags` `[T, R, B]`.
    pub fn slots_len(&self) -> usize {
        self.horizon * self.row()
    }
    /// Elements of `outcome` `[4, T, R, B]`.
    pub fn outcome_len(&self) -> usize {
        outcome::ROWS * self.slots_len()
    }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slots since the first reset; an episode ends where (clock+1) mod T = 0.
    pub clock: u32,
    /// The slot of the buffers that `clock` is.
    pub first: usize,
    /// Slots of this dispatch. At most one of them ends an episode.
    pub slots: usize,
}

/// Whether no more than one of these slots ends an episode: the final observations of one are kept.
fn one_end(spec: &Spec, at: &Args) -> bool {
    let t = spec.batch.task.slots;
    (at.clock as usize + at.slots) / t <= at.clock as usize / t + 1
}

/// `params` `[R]`; `net` `[R, P]`; `state` `[R, 10K, B]`; `obs` `[T+2, R, B, 4K]`, of which slots first+1 … first+slots
/// are written, and row T+1 where an episode ended (the observation behind its last slot); `action` `[T, R, B, A]`,
/// `logprob` and `flags` `[T, R, B]` and `outcome` `[4, T, R, B]`, of which slots first … first+slots−1 are written.
#[expect(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn v2x_rollout_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    net: &[F],
    state: &mut [F],
    obs: &mut [F],
    action: &mut [F],
    logprob: &mut [F],
    flags: &mut [u32],
    outcome: &mut [F],
) {
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (o, a, zero) = (task.obs_dim(), task.action_dim(), F::splat(0.0));
    let (row, state_row) = (r * b, task.state_rows() * b);
    let (obs, last) = obs.split_at_mut(spec.final_off());
    let keys: Vec<_> = params.iter().map(|p| p.key).collect();
    let mut seen = vec![zero; row * o];
    for (n, seen) in seen.chunks_exact_mut(o).enumerate() {
        let s = load_state::<F>(task.vehicles, &state[n / b * state_row..][..state_row], b, n % b);
        observe(task.vehicles, &params[n / b], &s, |i, x| seen[i] = x);
    }
    for n in 0..at.slots {
        let (clock, slot) = (at.clock + n as u32, at.first + n);
        let mut x = std::mem::take(&mut seen);
        for l in &spec.net.layers {
            let dense = dense_forward::Spec::of(l, Rows { r, m: b, p: spec.p });
            let mut y = vec![zero; row * l.outputs];
            dense_forward_cpu(&dense, &dense_forward::Args::of(l, b), net, &x, &mut y);
            x = y;
        }
        let head = gaussian_head::Args {
            b,
            clock,
            ls_off: spec.ls_off,
            greedy: false,
            action_off: slot * row * a,
            logprob_off: slot * row,
        };
        gaussian_head_cpu(&head_spec(spec), &head, net, &keys, &x, action, logprob);
        for (i, params) in params.iter().enumerate().take(r) {
            let first = slot * row + i * b;
            let (mut reward, mut metrics) = (vec![zero; b], vec![zero; 4 * b]);
            let mut batch = Batch {
                params,
                envs: b,
                first: 0,
                state: &mut state[i * state_row..][..state_row],
                obs: &mut obs[(first + row) * o..][..b * o],
            };
            let mut out = StepSlices {
                final_obs: &mut last[i * b * o..][..b * o],
                reward: &mut reward,
                flags: &mut flags[first..][..b],
                metrics: Some(&mut metrics),
                full: false,
            };
            step_range::<F, 0>(&task, &mut batch, &action[first * a..][..b * a], &mut out, clock, 0, b);
            for (q, from) in METRICS.into_iter().enumerate() {
                outcome[q * spec.slots_len() + first..][..b].copy_from_slice(&metrics[from * b..][..b]);
            }
        }
        seen = obs[(slot + 1) * row * o..][..row * o].to_vec();
    }
}

fn head_spec(spec: &Spec) -> gaussian_head::Spec {
    gaussian_head::Spec {
        r: spec.batch.r,
        b: spec.batch.b,
        a: spec.batch.task.action_dim(),
        p: spec.p,
        behind: 0,
    }
}

/// Of a dispatch of one slot.
pub fn cost(spec: &Spec) -> Cost {
    cost_of(spec, 1)
}

/// Of a dispatch of `slots` slots, none of which ends an episode.
pub fn cost_of(spec: &Spec, slots: usize) -> Cost {
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let dense = |l: &crate::nets::mlp::Layer| {
        let (i, o, p, act) = (l.inputs, l.outputs, spec.p, l.act);
        dense_forward::cost(&dense_forward::Spec { r, m: b, i, o, p, act, b_scale: 1.0 })
    };
    let parts = spec
        .net
        .layers
        .iter()
        .map(dense)
        .chain([gaussian_head::cost(&head_spec(spec)), v2x_step::cost_of(&spec.batch, false)]);
    let slot: f64 = parts.map(|c| c.flops.expect("counted")).sum();
    // The observation of the first slot: of each vehicle four shifts and factors, and log(1 + γ).
    let observation = task.vehicles * (4 * 2 + 1 + LN);
    let each = task.obs_dim() + task.action_dim() + 2 + outcome::ROWS;
    let words = r * (words_of::<V2xParams>() + spec.net.params() + task.action_dim())
        + 2 * spec.batch.state_len()
        + slots * r * b * each;
    Cost::new(slots * slot as usize + r * b * observation, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    let (tiling, net) = (&spec.tiling, &spec.net);
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    let act = hidden[0].act;
    let widths = (0..MAX_HIDDEN).map(|n| hidden.get(n).map_or(0, |l| l.outputs));
    let sizes = v2x_step::prelude(&spec.batch)
        .u32("P", spec.p)
        .u32("O", net.inputs())
        .u32("SLOTS", spec.horizon)
        .u32("NET_OFF", net.offset)
        .u32("LS_OFF", spec.ls_off)
        .u32("HIDDEN", hidden.len())
        .u32("ACT", act.code())
        .u32("E", tiling.envs)
        .u32("THREADS", tiling.threads())
        .u32("BK", tiling.slice)
        .u32("BQ", tiling.quads)
        .u32("OUTQ", last.outputs.div_ceil(4))
        .u32("RESIDENT", usize::from(tiling.resident))
        .u32("ACT_ROWS", Tiling::act_rows(net))
        .u32("STAGED", tiling.staged(net))
        .u32("OUTCOME_REWARD", outcome::REWARD)
        .u32("OUTCOME_SUM_RATE", outcome::SUM_RATE)
        .u32("OUTCOME_JAIN", outcome::JAIN)
        .u32("OUTCOME_INDICATOR", outcome::INDICATOR);
    widths.enumerate().fold(sizes, |p, (n, width)| p.u32(&format!("WIDTH_{n}"), width))
}

/// Loop iterations of one thread.
fn trips(spec: &Spec, slots: usize) -> usize {
    let (tiling, net, task) = (&spec.tiling, &spec.net, &spec.batch.task);
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    let (envs, threads, a) = (tiling.envs, tiling.threads(), task.action_dim());
    let outq = last.outputs.div_ceil(4);
    let stage = |inputs: usize, quads: usize| {
        inputs.div_ceil(tiling.slice) * (1 + (tiling.slice * quads).div_ceil(threads))
    };
    let once: usize = hidden.iter().map(|l| 1 + stage(l.inputs, tiling.quads)).sum::<usize>()
        + 1
        + stage(last.inputs, outq);
    let products: usize = net.layers.iter().map(|l| terms(l.inputs) / 4 + 9).sum();
    let copies = (envs * net.inputs()).div_ceil(threads)
        + (envs * a).div_ceil(threads)
        + (envs / 4 * net.inputs()).div_ceil(threads);
    let physics = v2x_step::trips(task) + philox_trips(a) + a + 4 * task.vehicles;
    once + copies + 22 * task.vehicles + slots * (1 + once + products + physics + copies)
}

host! {
    V2xRollout, V2xRolloutBound, up to slots;
    fits |gpu, spec| {
        check_trips(gpu, "v2x_rollout", trips(spec, slots))?;
        let (needed, there) =
            (spec.tiling.bytes(&spec.net), gpu.limits.max_compute_workgroup_storage_size as usize);
        if needed > there {
            let what =
                format!("{needed} bytes of workgroup memory (kernel 'v2x_rollout'; there are {there})");
            return Err(GpuError::Unsupported { adapter: gpu.info.name.clone(), what });
        }
        let v2x_batch::Spec { r, b, .. } = spec.batch;
        assert!(
            r <= 65_535 && b.div_ceil(spec.tiling.envs) <= 65_535,
            "v2x_rollout: {r} replicas of {b} environments are too many workgroups"
        );
        Ok(())
    };
    /// Shapes as in [`v2x_rollout_cpu`].
    bind |spec| {
        params: V2xParams = of_len(spec.batch.r),
        net: f32 = of_len(spec.batch.r * spec.p),
        state: f32 = of_len(spec.batch.state_len()),
        obs: f32 = of_len(spec.obs_len()),
        action: f32 = of_len(spec.action_len()),
        logprob: f32 = of_len(spec.slots_len()),
        flags: u32 = of_len(spec.slots_len()),
        outcome: f32 = of_len(spec.outcome_len()),
    }
}

impl V2xRollout {
    /// Most slots that a dispatch may do: `wanted`, or fewer on software Vulkan; there 0 if it cannot do one.
    pub fn most_slots(gpu: &Gpu, spec: &Spec, wanted: usize) -> usize {
        let fits = |slots: &usize| !gpu.is_software() || trips(spec, *slots) < MAX_TRIPS;
        (1..=wanted).rev().find(fits).unwrap_or(0)
    }
}

impl V2xRolloutBound {
    /// Panics unless the slots lie inside the buffers and at most one of them ends an episode.
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let spec = &self.spec;
        assert!(
            (1..=self.slots).contains(&at.slots),
            "v2x_rollout: {at:?}, compiled for 1..={} slots",
            self.slots
        );
        assert!(at.first + at.slots <= spec.horizon, "v2x_rollout: {at:?} leaves {} slots", spec.horizon);
        assert!(one_end(spec, at), "v2x_rollout: {at:?} ends more than one episode");
        let groups = [spec.batch.b.div_ceil(spec.tiling.envs) as u32, 1, spec.batch.r as u32];
        self.bound.record(pass, groups, &[at.clock, at.first as u32, at.slots as u32]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Activation;

    #[test]
    fn a_dispatch_ends_one_episode_at_most() {
        let batch = v2x_batch::Spec {
            r: 1,
            b: 8,
            task: crate::tasks::v2x::physics::V2xSpec {
                vehicles: 3,
                antennas: 32,
                slots: 10,
                beam: crate::tasks::v2x::physics::Beam::Angles,
                kinematics: crate::tasks::v2x::physics::Kinematics::Paper,
                choices: crate::tasks::v2x::physics::Choices::DEFAULT,
            },
        };
        let layout = ActorCriticLayout::new(12, &[16], 6, Activation::Tanh);
        let limits = wgpu::Limits { max_compute_workgroup_storage_size: 48 << 10, ..wgpu::Limits::default() };
        let spec = Spec::new(&limits, batch, 40, &layout).expect("small");
        let of = |clock, slots| one_end(&spec, &Args { clock, first: 0, slots });
        assert!(of(0, 10) && of(3, 7) && of(9, 10) && of(3, 16) && of(10, 10));
        assert!(!of(3, 17) && !of(0, 20) && !of(9, 11));
    }
}
