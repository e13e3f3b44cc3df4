//! The environments: what a learner, an evaluation or a bench asks of a task's physics, and nothing else of it.
//!
//! An [`Env`] owns the parameters of all R replicas and is object-safe: learners are compiled once, not once per task.
//! Lanes, sizes known at compile time and f64 stay inside. A step writes `reward`, the flags `terminated` (bit 0) and
//! `truncated` (bit 1), `final_obs` where an episode ended, and then the next observation, which after an end is the
//! first one of a fresh episode (automatic reset). Episodes of all environments end together, at the time limit T:
//! where (clock + 1) mod T = 0.
//!
//! Randomness is counted ([`crate::num::philox`]): what an environment draws depends on the key, its number and the
//! clock, not on the chunk that it is stepped in.

pub mod lanes;
pub mod stepper;

use crate::gpu::{Buf, Gpu, GpuError};
use crate::nets::{ActorCriticLayout, Codebook};
use crate::num::shuffle::Minibatch;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// Bit of the flags word: the episode ended by the task's own rule; nothing is to be bootstrapped.
pub const TERMINATED: u32 = 1;
/// Bit of the flags word: the time limit cut the episode; bootstrap from V(final_obs).
pub const TRUNCATED: u32 = 2;

/// What fixes the sizes of arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// O: numbers of an observation.
    pub obs: usize,
    /// A: numbers of an action.
    pub action: usize,
    /// Rows of the state `[S, B]`, environment fastest.
    pub state: usize,
    /// T: slots of an episode.
    pub slots: usize,
    /// Rows of the metrics of a slot `[metrics, B]`.
    pub metrics: usize,
}

/// One number of an observation or an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub name: String,
    /// As in `rad`; empty for a plain number.
    pub unit: &'static str,
    /// Bounds, infinite where there are none.
    pub low: f32,
    pub high: f32,
}

impl Component {
    /// A number without bounds.
    pub fn free(name: impl Into<String>, unit: &'static str) -> Self {
        Component { name: name.into(), unit, low: f32::NEG_INFINITY, high: f32::INFINITY }
    }
}

/// One row of the metrics of a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// As it stands in files and reports, with its unit as a suffix where it has one.
    pub name: String,
    /// What it is, in a line.
    pub about: &'static str,
}

/// The last rows of the metrics: values of which an evaluation tells the distribution, not the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Rows of each quantity: its distribution is over the values in all of them, in every slot and episode.
    pub rows: usize,
    /// What the median and the 90 % quantile of the absolute values are called, quantity by quantity.
    pub quantiles: &'static [[&'static str; 2]],
}

impl Samples {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows * self.quantiles.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A limit on the mean of a metric over the slots of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What the share of episodes that keep it is called.
    pub share: &'static str,
    /// Row of the metrics.
    pub row: usize,
    /// The most that the mean may be, `[R]`.
    pub most: Vec<f32>,
}

/// Some environments of one replica at one moment.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub replica: usize,
    /// Philox key: (seed, 0) in training, (seed, 1, 2, …) in evaluations.
    pub key: [u32; 2],
    /// Number of the first environment in its streams.
    pub first: u32,
    pub envs: usize,
    /// Slots since the first reset.
    pub clock: u32,
}

/// Arrays of one replica (or of one chunk of its environments) that its physics steps: `envs` environments, the first
/// of which is environment `first` of the replica.
pub struct Batch<'a, P, E = f32> {
    pub params: &'a P,
    pub envs: usize,
    pub first: u32,
    /// `[S, envs]`
    pub state: &'a mut [E],
    /// Next observation `[envs, O]`.
    pub obs: &'a mut [E],
}

/// What a step writes beside state and next observation.
pub struct StepSlices<'a, E = f32> {
    /// `[envs, O]`, written where an episode ended.
    pub final_obs: &'a mut [E],
    /// `[envs]`
    pub reward: &'a mut [E],
    /// `[envs]`: [`TERMINATED`] | [`TRUNCATED`]
    pub flags: &'a mut [u32],
    /// `[metrics, envs]`; without `full` only the rows of [`Env::curve`] need be written.
    pub metrics: Option<&'a mut [E]>,
    /// Also compute what only evaluation needs.
    pub full: bool,
}

/// What a slot of some environments leaves behind: what a step changes and writes.
#[derive(Clone, Debug, Default)]
pub struct Slot<E = f32> {
    /// `[S, envs]`
    pub state: Vec<E>,
    /// Next observation `[envs, O]`.
    pub obs: Vec<E>,
    /// `[envs, O]`, written where an episode ended.
    pub final_obs: Vec<E>,
    /// `[envs]`
    pub reward: Vec<E>,
    /// `[envs]`: [`TERMINATED`] | [`TRUNCATED`]
    pub flags: Vec<u32>,
    /// `[metrics, envs]`; empty where they are not asked for.
    pub metrics: Vec<E>,
}

impl<E: Copy> Slot<E> {
    /// Before a step from `state`: the given numbers of elements of observations, final observations, rewards (and
    /// flags) and metrics, all `value`.
    pub fn filled(state: Vec<E>, [obs, final_obs, reward, metrics]: [usize; 4], value: E) -> Self {
        let [obs, final_obs, metrics] = [obs, final_obs, metrics].map(|n| vec![value; n]);
        Slot { state, obs, final_obs, reward: vec![value; reward], flags: vec![0; reward], metrics }
    }
}

impl Slot {
    /// One slot of `env` on from what the last one left.
    pub fn step(&mut self, env: &dyn Env, at: &At, action: &[f32], full: bool) {
        let Slot { state, obs, final_obs, reward, flags, metrics } = self;
        let metrics = (!metrics.is_empty()).then_some(&mut metrics[..]);
        env.step(at, action, state, obs, StepSlices { final_obs, reward, flags, metrics, full });
    }
}

/// A task's physics with the parameters of R replicas.
pub trait Env: Debug + Send + Sync {
    fn sizes(&self) -> Sizes;
    /// R
    fn replicas(&self) -> usize;
    /// The Philox key under which a replica trains: (seed, 0).
    fn key(&self, replica: usize) -> [u32; 2];
    /// Some of the replicas alone, counted from 0: where there are more than a GPU binds at once, they are run in
    /// parts. `None` where this environment cannot be divided.
    fn part(&self, replicas: Range<usize>) -> Option<Arc<dyn Env>> {
        let _ = replicas;
        None
    }

    /// The O numbers of an observation.
    fn observation(&self) -> Vec<Component>;
    /// The A numbers of an action, as a policy writes them.
    fn action(&self) -> Vec<Component>;
    /// The rows of the metrics of a slot.
    fn metrics(&self) -> Vec<Metric>;
    /// Which of them, the last ones, are samples of distributions.
    fn samples(&self) -> Option<Samples> {
        None
    }
    /// Limits that whole episodes are held to.
    fn limits(&self) -> Vec<Limit> {
        Vec::new()
    }
    /// Rows of the metrics that learning curves show, in the order of their columns; the first is the reward.
    fn curve(&self) -> &[usize];

    /// Fresh episodes: state `[S, envs]` and observations `[envs, O]`.
    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]);
    /// One slot: action `[envs, A]`, state `[S, envs]`, next observations `[envs, O]`.
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices);

    /// The same on a GPU: kernels for `b` environments of each replica, bound to these buffers.
    ///
    /// # Errors
    /// What the adapter lacks.
    fn bind(&self, gpu: &Gpu, b: usize, buffers: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError>;

    /// What a factored discrete policy can choose, if the task has such choices: `beams` and power levels as `[dqn]`
    /// names them.
    fn codebook(&self, beams: usize, power_levels: &[f64]) -> Option<Codebook> {
        let _ = (beams, power_levels);
        None
    }
    /// Many slots of policy and environment in one dispatch, where the task has a kernel for it and this adapter can
    /// run it.
    fn fused(
        &self,
        gpu: &Gpu,
        b: usize,
        horizon: usize,
        layout: &ActorCriticLayout,
    ) -> Option<Box<dyn FusedPlan>> {
        let _ = (gpu, b, horizon, layout);
        None
    }
    /// The first of the actions `[envs, A]` of somebody outside of this program that cannot be taken in `replica`, and
    /// why; policies here write none that cannot.
    fn fault(&self, replica: usize, actions: &[f32]) -> Option<(usize, String)> {
        let _ = (replica, actions);
        None
    }
    /// What a slot gives as a differentiable function of the action taken in it, if the task has such.
    fn slot_gradient(&self) -> Option<&dyn SlotGradient> {
        None
    }
    /// Beams whose phases are learned from a channel beside the decisions (L_spat), if the task has such.
    fn beams(&self) -> Option<&dyn Beams> {
        None
    }
}

/// Buffers of an environment's kernels on a GPU, R replicas of B environments; offsets come with each dispatch.
pub struct EnvBuffers<'a> {
    /// `[…, R, A·B]`: `[R, B, A]` from the step's offset.
    pub action: &'a Buf<f32>,
    /// `[R, S, B]`, stepped in place; `[…, R, S, B]` of an environment with [`Env::beams`], whose learner keeps the
    /// states of its slots.
    pub state: &'a Buf<f32>,
    /// `[…, R, B, O]`
    pub obs: &'a Buf<f32>,
    /// `[R, B, O]`
    pub final_obs: &'a Buf<f32>,
    /// `[…, R, B]`
    pub reward: &'a Buf<f32>,
    /// `[…, R, B]`
    pub flags: &'a Buf<u32>,
    /// `[R, metrics, B]`
    pub metrics: &'a Buf<f32>,
}

/// What changes from one step on a GPU to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepArgs {
    pub clock: u32,
    pub action_off: usize,
    /// Start of the state before the step, and of the one behind it: the same for in place.
    pub state_off: usize,
    pub next_off: usize,
    /// Start of the next observation.
    pub obs_off: usize,
    /// Start of reward and flags.
    pub reward_off: usize,
    /// Whether metrics are written.
    pub full: bool,
}

/// An environment's kernels, bound to their buffers.
pub trait EnvGpu: Send + Sync {
    /// Draws of the dispatches submitted from now on are under these keys, one for each replica.
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]);
    /// Fresh episodes at `clock`.
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32, state_off: usize, obs_off: usize);
    /// One slot.
    fn step(&self, pass: &mut wgpu::ComputePass, at: &StepArgs);
}

/// How an environment would run a rollout of a perceptron inside one kernel.
pub trait FusedPlan {
    /// Whether it is likely to be faster than layer by layer on hardware.
    fn pays(&self) -> bool;
    /// Rows of outcomes: the reward first, then the others in the order of [`Env::curve`].
    fn outcomes(&self) -> usize;
    /// Compiles and binds the kernel.
    ///
    /// # Errors
    /// What the adapter lacks.
    fn bind(&self, gpu: &Gpu, buffers: &FusedBuffers) -> Result<Box<dyn FusedRollout>, GpuError>;
}

/// Buffers of a fused rollout of T slots.
pub struct FusedBuffers<'a> {
    /// `[R, P]`
    pub params: &'a Buf<f32>,
    /// `[R, S, B]`
    pub state: &'a Buf<f32>,
    /// `[T + 2, R, B, O]`: the last row holds final observations.
    pub obs: &'a Buf<f32>,
    /// `[T, R, B, A]`
    pub action: &'a Buf<f32>,
    /// `[T, R, B]`
    pub logprob: &'a Buf<f32>,
    /// `[T, R, B]`
    pub flags: &'a Buf<u32>,
    /// `[outcomes, T, R, B]`
    pub outcome: &'a Buf<f32>,
}

/// A fused rollout, bound to its buffers.
pub trait FusedRollout: Send + Sync {
    /// Most slots of a dispatch.
    fn most(&self) -> usize;
    /// Fresh episodes at `clock`, in the state and the first row of observations.
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32);
    /// `slots` slots from `clock`, the first of which is slot `first` of the buffers. At most one of them ends an
    /// episode.
    fn record(&self, pass: &mut wgpu::ComputePass, clock: u32, first: usize, slots: usize);
}

/// What of a slot is climbed by its gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// What the reward is made of, without the conditions that it stands under.
    Rate,
    /// The reward with a smooth indicator of each condition: σ((ln limit − ln value)/width), a width in nepers.
    RewardSmooth { width: f32 },
}

/// Samples of a [`SlotGradient`] are padded to a multiple of this, the widest lanes.
pub const GRADIENT_GROUP: usize = 16;

/// A slot as a function of the action taken in it. What that action does beyond its slot is not in it, and it knows the
/// truth that a policy does not.
pub trait SlotGradient: Send + Sync {
    /// W: numbers of a scene, which is all that a slot's outcome depends on beside its action.
    fn scene_dim(&self) -> usize;
    /// Scenes `[envs, W]` of the coming slot out of the states `[S, envs]` before it.
    fn scene(&self, at: &At, state: &[f32], scene: &mut [f32]);
    /// The objective `[n]` in these scenes `[n, W]` under these actions `[n, A]`, and `weight` times its gradient by
    /// them, `[n, A]`; n is a multiple of [`GRADIENT_GROUP`].
    #[allow(clippy::too_many_arguments, reason = "samples and what is asked of them")]
    fn gradient(
        &self,
        replica: usize,
        of: Objective,
        weight: f32,
        scene: &[f32],
        action: &[f32],
        d_action: &mut [f32],
        value: &mut [f32],
    );
    /// The same on a GPU.
    ///
    /// # Errors
    /// What the adapter lacks.
    fn bind(
        &self,
        gpu: &Gpu,
        size: GradientSize,
        buffers: &GradientBuffers,
    ) -> Result<Box<dyn SlotGradientGpu>, GpuError>;
}

/// Sizes of a [`SlotGradient`] on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct GradientSize {
    /// B: environments of a replica.
    pub b: usize,
    /// M: samples of a minibatch of a replica.
    pub m: usize,
    pub of: Objective,
}

/// Buffers of a [`SlotGradient`] on a GPU.
pub struct GradientBuffers<'a> {
    /// `[R, S, B]`
    pub state: &'a Buf<f32>,
    /// `[…, R, B, W]`
    pub scenes: &'a Buf<f32>,
    /// Of a minibatch: `[R, M, W]`, `[R, M, A]`, `[R, M, A]`, `[R, M]`.
    pub scene: &'a Buf<f32>,
    pub action: &'a Buf<f32>,
    pub d_action: &'a Buf<f32>,
    pub value: &'a Buf<f32>,
}

/// A [`SlotGradient`], bound to its buffers.
pub trait SlotGradientGpu: Send + Sync {
    /// Scenes of slot `clock` from `scene_off` on.
    fn scene(&self, pass: &mut wgpu::ComputePass, clock: u32, scene_off: usize);
    /// Values and `weight` times the gradients of a minibatch.
    fn gradient(&self, pass: &mut wgpu::ComputePass, weight: f32);
}

/// Beams of constant modulus that are judged by a channel which the environment draws from its own counters: what
/// L_spat needs.
pub trait Beams: Send + Sync {
    /// Vehicles K and antennas M of the array: a slot has K·M phases.
    fn shape(&self) -> [usize; 2];
    /// Gains of one slot's samples and the gradient of −weight·Σ gain by the phases; returns Σ gain over samples and
    /// vehicles.
    fn loss(&self, replica: usize, samples: BeamSamples) -> f64;
    /// The same on a GPU for minibatches of whole environments; `direct`: outputs are the phases themselves, else
    /// corrections to steering.
    ///
    /// # Errors
    /// What the adapter lacks.
    fn bind(&self, gpu: &Gpu, size: BeamSize, buffers: &BeamBuffers) -> Result<Box<dyn BeamsGpu>, GpuError>;
}

/// Samples of one slot for [`Beams::loss`]; arrays over samples are padded to a multiple of [`BeamSamples::GROUP`].
pub struct BeamSamples<'a> {
    pub clock: u32,
    /// Environment of each sample, `n` and more.
    pub ids: &'a [u32],
    pub n: usize,
    /// State before the slot's step, `[S, ids.len()]`; finite behind n too.
    pub state: &'a [f32],
    /// Weight λ/(N·K) of every sample and vehicle.
    pub weight: f32,
    /// cos θ̂ in the first K columns of rows with this leading dimension, if the outputs are corrections to the phases
    /// that steer there.
    pub steer: Option<(&'a [f32], usize)>,
    /// Outputs of the phase network, K·M columns from the first on, of rows `ld` apart.
    pub out: &'a [f32],
    pub ld: usize,
    /// Receives the gradient, laid out as `out`.
    pub d_out: &'a mut [f32],
}

impl BeamSamples<'_> {
    /// Samples are padded to a multiple of this.
    pub const GROUP: usize = 16;
}

/// Sizes of L_spat on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct BeamSize {
    /// B: environments of the rollout.
    pub b: usize,
    /// Slots that enter, and samples M of a replica.
    pub slots: usize,
    pub m: usize,
    /// Outputs are phases, not corrections to steering.
    pub direct: bool,
}

/// Buffers of L_spat on a GPU.
pub struct BeamBuffers<'a> {
    /// `[slots + 1, R, S, B]`
    pub state: &'a Buf<f32>,
    /// `[R, M, K·M]`, and their gradient.
    pub phases: &'a Buf<f32>,
    pub d_phases: &'a Buf<f32>,
    /// `[R, M, K]`
    pub gain: &'a Buf<f32>,
}

/// What changes from one dispatch of L_spat to the next.
#[derive(Clone, Copy, Debug)]
pub struct BeamArgs {
    pub which: Minibatch,
    /// Clock of the first of the kept slots, and from one of them to the next.
    pub clock: u32,
    pub clock_step: u32,
    /// λ of (13).
    pub lambda: f32,
}

/// L_spat, bound to its buffers.
pub trait BeamsGpu: Send + Sync {
    fn record(&self, pass: &mut wgpu::ComputePass, at: &BeamArgs);
}
