//! v2x_rollout: many slots of every environment under a perceptron in one dispatch. A workgroup keeps its environments'
//! state in registers, their activations and the actor's weights in workgroup memory, and writes what PPO learns from.
//! The same numbers as dense_forward, gaussian_head and v2x_step dispatched slot by slot (bit by bit on devices that
//! neither fuse nor reassociate): the same sums in the same order, the same draws.
//!
//! For beams of few actions: `angles` and `tracking`. The 2·K·N + K actions of `matrix` leave no room for a workgroup
//! ([`Plan::choose`] has none for them).

use super::v2x_batch::{self, check_params, check_states};
use super::v2x_step::{self, compare_near, metric_row, of_twin, scales};
use crate::env::{Batch, StepSlices};
use crate::kernels::common::*;
use crate::kernels::dense_forward::{self, dense_forward_cpu};
use crate::kernels::gaussian_head::{self, four_normals, gaussian_head_cpu};
use crate::kernels::layer::Rows;
use crate::kernels::{MAX_TRIPS, bind, host, shader};
use crate::nets::{ActorCriticLayout, MlpLayout};
use crate::tasks::v2x::physics::{V2xParams, load_state, metric, observe, step_range};

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

/// Most hidden layers.
pub const MAX_HIDDEN: usize = 8;

/// Threads that every WebGPU device has in a workgroup.
const MAX_THREADS: usize = 256;

/// How a workgroup goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// E: environments of a workgroup, a multiple of 8.
    pub envs: usize,
    /// Threads over the neurons of a layer, four neurons each; eight environments a thread.
    pub quads: usize,
    /// Inputs of a layer whose weights are staged at a time.
    pub slice: usize,
    /// All weights stay in workgroup memory through the dispatch; else they are staged slice by slice at every slot.
    pub resident: bool,
}

/// Inputs of a layer, rounded up to what a step of the products takes.
fn terms(inputs: usize) -> usize {
    inputs.next_multiple_of(4)
}

impl Plan {
    /// What suits a device with these limits, for `b` environments of a replica: as many environments in a workgroup as
    /// fit (each shares the weights with the others), at most twice as many as there are; of as many, with resident
    /// weights before streamed ones. `None` where nothing fits: spiking networks, layers too wide or too many, and too
    /// many actions for a thread to have four of one environment.
    pub fn choose(limits: &wgpu::Limits, net: &MlpLayout, b: usize) -> Option<Plan> {
        let (_, hidden) = net.layers.split_last()?;
        if net.lif.is_some() || !(1..=MAX_HIDDEN).contains(&hidden.len()) {
            return None;
        }
        let widest = hidden.iter().map(|l| l.outputs).max()?;
        // So many that each thread also has one quad of the last layer's outputs at most, and whole warps for large E.
        let quads = widest.div_ceil(4).max(8 * net.outputs().div_ceil(4)).next_multiple_of(8);
        let invocations =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let fits = |p: &Plan| {
            p.threads() <= MAX_THREADS.min(invocations as usize)
                && p.bytes(net) <= limits.max_compute_workgroup_storage_size as usize
        };
        let sizes = [64, 32, 16, 8].into_iter().filter(|&envs| envs == 8 || envs < 2 * b);
        let ways = [(true, 16), (false, 16), (false, 8)];
        sizes.flat_map(|envs| ways.map(|(resident, slice)| Plan { envs, quads, slice, resident })).find(fits)
    }

    pub fn threads(&self) -> usize {
        self.envs / 8 * self.quads
    }

    /// Rows of the activations.
    fn act_rows(net: &MlpLayout) -> usize {
        net.layers.iter().map(|l| terms(l.inputs)).max().expect("a network has layers")
    }

    /// Quads of weights that are staged.
    fn staged(&self, net: &MlpLayout) -> usize {
        let (last, hidden) = net.layers.split_last().expect("a network has layers");
        match self.resident {
            true => {
                hidden.iter().map(|l| terms(l.inputs) * (self.quads + 1)).sum::<usize>()
                    + terms(last.inputs) * last.outputs.div_ceil(4)
            }
            false => self.slice * (self.quads + 1),
        }
    }

    /// Workgroup memory.
    pub fn bytes(&self, net: &MlpLayout) -> usize {
        let activations = Self::act_rows(net) * (self.envs / 4 + 1);
        let means = self.envs * net.outputs().div_ceil(4);
        16 * (activations + self.staged(net) + means) + 4 * self.envs * net.inputs()
    }
}

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
    pub plan: Plan,
}

impl Spec {
    /// The rollout of the actor of `layout` as it suits a device with these limits; `None` where nothing does.
    pub fn new(
        limits: &wgpu::Limits,
        batch: v2x_batch::Spec,
        horizon: usize,
        layout: &ActorCriticLayout,
    ) -> Option<Spec> {
        let plan = Plan::choose(limits, &layout.actor, batch.b)?;
        let (net, ls_off, p) = (layout.actor.clone(), layout.log_std_off, layout.params());
        Some(Spec { batch, horizon, net, ls_off, p, plan })
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
    let (plan, net) = (&spec.plan, &spec.net);
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
        .u32("E", plan.envs)
        .u32("THREADS", plan.threads())
        .u32("BK", plan.slice)
        .u32("BQ", plan.quads)
        .u32("OUTQ", last.outputs.div_ceil(4))
        .u32("RESIDENT", usize::from(plan.resident))
        .u32("ACT_ROWS", Plan::act_rows(net))
        .u32("STAGED", plan.staged(net))
        .u32("OUTCOME_REWARD", outcome::REWARD)
        .u32("OUTCOME_SUM_RATE", outcome::SUM_RATE)
        .u32("OUTCOME_JAIN", outcome::JAIN)
        .u32("OUTCOME_INDICATOR", outcome::INDICATOR);
    widths.enumerate().fold(sizes, |p, (n, width)| p.u32(&format!("WIDTH_{n}"), width))
}

/// Loop iterations of one thread.
fn trips(spec: &Spec, slots: usize) -> usize {
    let (plan, net, task) = (&spec.plan, &spec.net, &spec.batch.task);
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    let (envs, threads, a) = (plan.envs, plan.threads(), task.action_dim());
    let outq = last.outputs.div_ceil(4);
    let stage = |inputs: usize, quads: usize| {
        inputs.div_ceil(plan.slice) * (1 + (plan.slice * quads).div_ceil(threads))
    };
    let once: usize =
        hidden.iter().map(|l| 1 + stage(l.inputs, plan.quads)).sum::<usize>() + 1 + stage(last.inputs, outq);
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
            (spec.plan.bytes(&spec.net), gpu.limits.max_compute_workgroup_storage_size as usize);
        if needed > there {
            let what =
                format!("{needed} bytes of workgroup memory (kernel 'v2x_rollout'; there are {there})");
            return Err(GpuError::Unsupported { adapter: gpu.info.name.clone(), what });
        }
        let v2x_batch::Spec { r, b, .. } = spec.batch;
        assert!(
            r <= 65_535 && b.div_ceil(spec.plan.envs) <= 65_535,
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
        let groups = [spec.batch.b.div_ceil(spec.plan.envs) as u32, 1, spec.batch.r as u32];
        self.bound.record(pass, groups, &[at.clock, at.first as u32, at.slots as u32]);
    }
}

// ---- Checks ----

/// Everything that dispatches leave.
struct Written<F> {
    state: Vec<F>,
    obs: Vec<F>,
    action: Vec<F>,
    logprob: Vec<F>,
    flags: Vec<u32>,
    outcome: Vec<F>,
}

/// What stands where nothing was written.
const POISON: f32 = f32::from_bits(u32::MAX);

impl<F: Scalar> Written<F> {
    /// By the twin, over `poison`.
    fn of_twin(spec: &Spec, at: &Args, params: &[V2xParams], net: &[F], state: &[F], poison: F) -> Self {
        let mut w = Written {
            state: state.to_vec(),
            obs: vec![poison; spec.obs_len()],
            action: vec![poison; spec.action_len()],
            logprob: vec![poison; spec.slots_len()],
            flags: vec![u32::MAX; spec.slots_len()],
            outcome: vec![poison; spec.outcome_len()],
        };
        v2x_rollout_cpu(
            spec,
            at,
            params,
            net,
            &mut w.state,
            &mut w.obs,
            &mut w.action,
            &mut w.logprob,
            &mut w.flags,
            &mut w.outcome,
        );
        w
    }
}

impl Written<f32> {
    /// By one dispatch after another, over poison.
    fn of_device(
        gpu: &Gpu,
        kernel: &V2xRollout,
        at: &[Args],
        params: &[V2xParams],
        net: &[f32],
        state: &[f32],
    ) -> Result<Self, GpuError> {
        let spec = &kernel.spec;
        bind!(gpu, bound = kernel; params, net, state, obs[spec.obs_len()], action[spec.action_len()],
            logprob[spec.slots_len()], flags[spec.slots_len()], outcome[spec.outcome_len()]);
        for at in at {
            gpu.run(|pass| bound.record(pass, at))?;
        }
        Ok(Written {
            state: gpu.read(&state)?,
            obs: gpu.read(&obs)?,
            action: gpu.read(&action)?,
            logprob: gpu.read(&logprob)?,
            flags: gpu.read(&flags)?,
            outcome: gpu.read(&outcome)?,
        })
    }

    fn floats(&self) -> [(&'static str, &[f32]); 5] {
        [
            ("state", &self.state),
            ("obs", &self.obs),
            ("action", &self.action),
            ("logprob", &self.logprob),
            ("outcome", &self.outcome),
        ]
    }
}

/// How far f32 may be from the f64 action and log-probability of every environment, in units of [`TOL_ACTION`].
fn action_scales(
    spec: &Spec,
    params: &[V2xParams],
    net: &[f64],
    states: &[f32],
    clock: u32,
) -> (Vec<f64>, Vec<f64>) {
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (mut action, mut logprob) = (Vec::new(), Vec::new());
    for n in 0..r * b {
        let (replica, env) = (n / b, n % b);
        let net = &net[replica * spec.p..][..spec.p];
        let mut x = vec![0.0; task.obs_dim()];
        let s = v2x_batch::state_of(&spec.batch, states, replica, env);
        observe(task.vehicles, &params[replica], &s, |i, v| x[i] = v);
        // Three roundings of each number before its shift, and of 1 + γ.
        let p = &params[replica];
        let shift = |i: usize| f64::from(p.obs_shift[i / task.vehicles] * p.obs_scale[i / task.vehicles]);
        let by = |i: usize| f64::from(p.obs_scale[i / task.vehicles]);
        let mut error: Vec<f64> =
            x.iter().enumerate().map(|(i, x)| 0.15 * (x.abs() + shift(i).abs()) + 0.1 * by(i)).collect();
        for l in &spec.net.layers {
            let out = (0..l.outputs).map(|j| {
                let (w, bias) = (&net[l.w_off + j * l.inputs..][..l.inputs], net[l.b_off + j]);
                let (mut sum, mut size, mut carried) = (bias, bias.abs(), 0.0);
                for ((w, x), e) in w.iter().zip(&x).zip(&error) {
                    sum += w * x;
                    size += (w * x).abs();
                    carried += (w * e).powi(2);
                }
                (l.act.apply(sum), (carried + (0.5 * size).powi(2)).sqrt() + 0.15)
            });
            (x, error) = out.unzip();
        }
        let mut sum = 0.0;
        for (k, (mean, error)) in x.iter().zip(&error).enumerate() {
            let log_std = net[spec.ls_off + k];
            let z = four_normals::<f64>(params[replica].key, env, clock, k / 4);
            let (z, radius) = (z[k % 4].abs(), z[k % 4].hypot(z[(k % 4) ^ 1]));
            action.push(mean.abs() + error + log_std.exp() * (1.0 + z + 0.05 / radius));
            sum += z * z + z * (1.0 + 0.05 / radius) + log_std.abs() + 1.0;
        }
        logprob.push(sum);
    }
    (action, logprob)
}

/// One slot in the middle and one at the end of an episode: actions against the f64 twin, the physics against the f64
/// twin of v2x_step from the device's actions, on lavapipe all but log-probabilities against the bits of the f32 twin,
/// and that nothing else is written; then several slots across an episode's end in one dispatch against one dispatch a
/// slot, bit by bit, on any device. What of the parameters is not the actor's is not a number.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    const SLOTS: usize = 5;
    let spec = &Spec { horizon: SLOTS + 2, ..spec.clone() };
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (n, o, a, t) = (r * b, task.obs_dim(), task.action_dim(), task.slots as u32);
    let params = check_params(&spec.batch, seed);
    let states = check_states(&spec.batch, seed);
    let mut net = normal(seed, 2, r * spec.p, 0.15);
    for (i, x) in net.iter_mut().enumerate() {
        let i = i % spec.p;
        let used =
            (spec.net.offset..spec.net.end()).contains(&i) || (spec.ls_off..spec.ls_off + a).contains(&i);
        *x = if used { *x } else { f32::NAN };
    }
    let net64 = widen(&net);
    let kernel = V2xRollout::new(gpu, spec, SLOTS)?;
    // Mesa merges the constants of a log-probability's sum, as in gaussian_head.
    let twin_bits = |what: &str, name: &str, got: &[f32], twin: &[f32]| {
        (what != "logprob").then(|| compare_bits(gpu, name, got, twin)).flatten()
    };
    let mut rows = Vec::new();
    for (when, clock) in [("middle", 2 * t), ("end", 3 * t - 1)] {
        let ends = (clock + 1).is_multiple_of(t);
        let at = Args { clock, first: 1, slots: 1 };
        let want = Written::<f64>::of_twin(spec, &at, &params, &net64, &widen(&states), 0.0);
        let twin = Written::<f32>::of_twin(spec, &at, &params, &net, &states, POISON);
        let got = Written::of_device(gpu, &kernel, &[at], &params, &net, &states)?;

        let (action_scale, logprob_scale) = action_scales(spec, &params, &net64, &states, clock);
        let action = &got.action[n * a..][..n * a];
        let name = |what: &str| format!("{what}, {when}");
        rows.push(compare_scaled(
            &name("action"),
            action,
            &want.action[n * a..][..n * a],
            &action_scale,
            TOL_ACTION,
        ));
        rows.push(compare_scaled(
            &name("logprob"),
            &got.logprob[n..][..n],
            &want.logprob[n..][..n],
            &logprob_scale,
            gaussian_head::TOL_LOGPROB,
        ));

        let step = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true };
        let physics = of_twin::<f64>(&spec.batch, &step, &params, &states, action);
        let (scales, near_threshold) = scales(&spec.batch, &step, &params, &states, action, &physics);
        let mut judge = |what: &str, got: &[f32], want: &[f64], scale: &[f64]| {
            rows.push(compare_scaled(&name(what), got, want, scale, TOL));
        };
        judge("state", &got.state, &physics.state, &scales.state);
        judge("obs", &got.obs[2 * n * o..][..n * o], &physics.obs, &scales.obs);
        if ends {
            judge("final obs", &got.obs[spec.final_off()..], &physics.final_obs, &scales.final_obs);
        }
        for (q, from) in METRICS.into_iter().enumerate() {
            let [want, scale] = [&physics, &scales].map(|slot| metric_row(&spec.batch, &slot.metrics, from));
            let got = &got.outcome[q * spec.slots_len() + n..][..n];
            judge(metric::NAMES[from], got, &want, &scale);
        }
        rows.push(compare_near(spec.batch.task.beam, near_threshold, n));
        rows.push(compare_exact(&name("flags"), &got.flags, &twin.flags));
        for ((what, got), (_, twin)) in got.floats().into_iter().zip(twin.floats()) {
            let left = |x: &[f32]| x.iter().map(|x| u32::from(x.to_bits() == u32::MAX)).collect::<Vec<_>>();
            rows.push(compare_exact(
                &name(&format!("what is left alone of {what}")),
                &left(got),
                &left(twin),
            ));
            rows.extend(twin_bits(what, &name(what), got, twin));
        }
    }

    let clock = 3 * t - 3;
    let one = |n: usize| Args { clock: clock + n as u32, first: 1 + n, slots: 1 };
    let all = [Args { clock, first: 1, slots: SLOTS }];
    let together = Written::of_device(gpu, &kernel, &all, &params, &net, &states)?;
    let each: Vec<_> = (0..SLOTS).map(one).collect();
    let apart = Written::of_device(gpu, &kernel, &each, &params, &net, &states)?;
    let twin = Written::<f32>::of_twin(spec, &all[0], &params, &net, &states, POISON);
    for (((what, a), (_, b)), (_, twin)) in
        together.floats().into_iter().zip(apart.floats()).zip(twin.floats())
    {
        let name = format!("{what}, {SLOTS} slots in one dispatch");
        rows.push(compare_words(&format!("{name} and in {SLOTS}"), a, b));
        rows.extend(twin_bits(what, &name, a, twin));
    }
    rows.push(compare_exact("flags of several slots", &together.flags, &twin.flags));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Activation, Hidden};

    fn net(inputs: usize, hidden: &[usize], actions: usize) -> MlpLayout {
        MlpLayout::new(&[&[inputs], hidden, &[actions]].concat(), Activation::Tanh, 0)
    }

    /// WebGPU's defaults with so many KiB of workgroup memory.
    fn limits(kib: u32) -> wgpu::Limits {
        wgpu::Limits { max_compute_workgroup_storage_size: kib << 10, ..wgpu::Limits::default() }
    }

    fn plan(kib: u32, hidden: &[usize], b: usize) -> Option<Plan> {
        Plan::choose(&limits(kib), &net(12, hidden, 6), b)
    }

    /// The memory of the paper's policy, by hand: 64 environments as 17 quads of 128 activations, 16 rows of 33 quads
    /// of weights, 2 quads of means each, 12 numbers observed.
    #[test]
    fn memory_by_hand() {
        let p = Plan { envs: 64, quads: 32, slice: 16, resident: false };
        assert_eq!(p.bytes(&net(12, &[128, 128], 6)), 16 * (128 * 17 + 16 * 33 + 64 * 2) + 4 * 64 * 12);
        // 12 inputs and 64: 17 quads each; the last layer's 64: 2.
        let p = Plan { envs: 64, quads: 16, slice: 16, resident: true };
        let weights = (12 + 64) * 17 + 64 * 2;
        assert_eq!(p.bytes(&net(12, &[64, 64], 6)), 16 * (64 * 17 + weights + 64 * 2) + 4 * 64 * 12);
    }

    #[test]
    fn plans_of_the_usual_limits() {
        let streamed = |envs, slice| Some(Plan { envs, quads: 32, slice, resident: false });
        // NVIDIA, software Vulkan, what WebGPU promises.
        assert_eq!(plan(48, &[128, 128], 65_536), streamed(64, 16));
        assert_eq!(plan(32, &[128, 128], 65_536), streamed(32, 16));
        assert_eq!(plan(16, &[128, 128], 65_536), streamed(16, 8));
        let half = |envs, resident| Some(Plan { envs, quads: 16, slice: 16, resident });
        assert_eq!(plan(48, &[64, 64], 65_536), half(64, true));
        // Sixty-four environments with streamed weights go before thirty-two with resident ones.
        assert_eq!(plan(32, &[64, 64], 65_536), half(64, false));
        assert_eq!(plan(48, &[16, 16], 65_536), half(64, true));
        // No more than twice the environments that there are.
        assert_eq!(plan(48, &[16, 16], 16), half(16, true));
        assert_eq!(plan(48, &[16, 16], 17), half(32, true));
        assert_eq!(plan(48, &[16, 16], 1), half(8, true));
    }

    #[test]
    fn what_does_not_fit_has_no_plan() {
        assert_eq!(plan(48, &[4096], 1024), None);
        assert_eq!(plan(48, &[16; 9], 1024), None);
        assert_eq!(plan(48, &[], 1024), None);
        assert!(plan(48, &[16; 8], 1024).is_some());
        assert_eq!(plan(4, &[128, 128], 1024), None);
        // Explicit beams of 32 antennas.
        assert_eq!(Plan::choose(&limits(64), &net(12, &[128, 128], 195), 1024), None);
        let lif = crate::nets::Lif {
            steps: 6,
            lambda: 0.5,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: false,
            readout: crate::nets::Readout::Last,
            learn_leak: false,
            membrane: crate::nets::Membrane::Reset,
        };
        let spiking = MlpLayout::new(&[12, 128, 128, 6], Hidden::Lif(lif), 0);
        assert_eq!(Plan::choose(&limits(64), &spiking, 1024), None);
        let few = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..limits(48) };
        assert_eq!(Plan::choose(&few, &net(12, &[128, 128], 6), 1024).map(|p| p.threads()), Some(128));
    }

    /// What the shader takes for granted: threads for all environments and for a quad of each one's outputs, whole
    /// slices of four.
    #[test]
    fn plans_hold_together() {
        for kib in [16, 32, 48, 64] {
            for hidden in [&[1][..], &[20], &[31, 7], &[64, 64], &[100, 200], &[128, 128], &[256], &[512, 8]]
            {
                for k in 1..=8 {
                    for b in [1, 5, 16, 33, 4096] {
                        let net = net(4 * k, hidden, 2 * k);
                        let Some(p) = Plan::choose(&limits(kib), &net, b) else { continue };
                        assert!(p.bytes(&net) <= (kib as usize) << 10 && p.threads() <= 256, "{p:?}");
                        assert!(p.threads() >= p.envs * (2 * k).div_ceil(4), "{p:?} of {net:?}");
                        assert!(p.envs.is_multiple_of(8) && p.slice.is_multiple_of(4), "{p:?}");
                        assert!(net.layers.iter().rev().skip(1).all(|l| l.outputs <= 4 * p.quads), "{p:?}");
                    }
                }
            }
        }
        assert!(plan(48, &[512, 8], 4096).is_some());
    }

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
        let spec = Spec::new(&limits(48), batch, 40, &layout).expect("small");
        let of = |clock, slots| one_end(&spec, &Args { clock, first: 0, slots });
        assert!(of(0, 10) && of(3, 7) && of(9, 10) && of(3, 16) && of(10, 10));
        assert!(!of(3, 17) && !of(0, 20) && !of(9, 11));
    }
}
