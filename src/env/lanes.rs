//! A task of the plain kind: its equations, with sizes known at compile time, are all there is to be written.
//! [`PlainEnv`] makes an environment of them:
//! vector lanes on the CPU, one kernel on a GPU, the flags, the end of an episode and its automatic reset.

use super::{At, Component, Env, EnvBuffers, EnvGpu, Metric, Sizes, StepArgs, StepSlices, TRUNCATED};
use crate::gpu::{Bound, Buf, Gpu, GpuError, Prelude, Source, fold_groups};
use crate::nets::Codebook;
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, each_group, load_rows, run_lanes, store_rows};
use bytemuck::Pod;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// The equations of a task with the parameters of one replica, as its kernel reads them: S numbers of the state, O of
/// an observation, A of an action, M metrics of a slot.
///
/// Written once over [`Real`], they are the vector lanes of the CPU, in f32 the twin of the kernel to the last bit, and
/// in f64 its judge. What is generic over [`Real`] must be `#[inline(always)]`, so that it is compiled with the
/// instructions of its caller.
pub trait Physics<const S: usize, const O: usize, const A: usize, const M: usize>:
    Pod + Debug + Send + Sync
{
    /// The kernel for both reset and step, one thread for each environment in workgroups of [`WG`]. Its prelude has
    /// `WG`, `R`, `B`, `T` and `TRUNCATED`, its immediates are the u32
    /// `clock, action_off, state_off, next_off, obs_off, reward_off, full, reset`, and its bindings `params` `[R]`,
    /// then action, state, obs, final_obs, reward, flags and metrics as in [`EnvBuffers`].
    const SHADER: Source;
    /// Names and meanings of the metrics; the first is the reward.
    const METRICS: [(&'static str, &'static str); M];
    /// As [`Env::curve`].
    const CURVE: &'static [usize];

    fn observation() -> Vec<Component>;
    fn action() -> Vec<Component>;
    /// Philox key.
    fn key(&self) -> [u32; 2];
    /// The same replica with its draws under another key.
    fn keyed(self, key: [u32; 2]) -> Self;

    /// The first state of an episode of the environments `env`.
    fn reset<V: Real>(&self, env: V::Word, clock: u32) -> [V; S];
    fn observe<V: Real>(&self, state: &[V; S]) -> [V; O];
    /// One slot. Returns the rows of the metrics.
    fn step<V: Real>(&self, env: V::Word, clock: u32, action: &[V; A], state: &mut [V; S]) -> [V; M];
    /// As [`Env::codebook`].
    fn codebook(beams: usize, power_levels: &[f64]) -> Option<Codebook> {
        let _ = (beams, power_levels);
        None
    }
}

/// Threads of a workgroup of a plain task's kernel.
pub const WG: usize = 64;

/// Constants of a plain task's kernel for R replicas of B environments in episodes of T slots.
pub fn prelude(r: usize, b: usize, slots: usize) -> Prelude {
    let prelude = Prelude::new().u32("WG", WG).u32("R", r).u32("B", b).u32("T", slots);
    prelude.u32("TRUNCATED", TRUNCATED as usize)
}

/// R replicas of a plain task.
#[derive(Clone, Debug)]
pub struct PlainEnv<P, const S: usize, const O: usize, const A: usize, const M: usize> {
    /// T
    pub slots: usize,
    /// `[R]`, with the keys of training.
    pub params: Vec<P>,
}

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> Env for PlainEnv<P, S, O, A, M>
where
    P: Physics<S, O, A, M>,
{
    fn sizes(&self) -> Sizes {
        Sizes { obs: O, action: A, state: S, slots: self.slots, metrics: M }
    }
    fn replicas(&self) -> usize {
        self.params.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.params[replica].key()
    }
    fn part(&self, replicas: Range<usize>) -> Option<Arc<dyn Env>> {
        Some(Arc::new(PlainEnv { slots: self.slots, params: self.params[replicas].to_vec() }))
    }

    fn observation(&self) -> Vec<Component> {
        P::observation()
    }
    fn action(&self) -> Vec<Component> {
        P::action()
    }
    fn metrics(&self) -> Vec<Metric> {
        P::METRICS.map(|(name, about)| Metric { name: name.into(), about }).into()
    }
    fn curve(&self) -> &[usize] {
        P::CURVE
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        let physics = self.params[at.replica].keyed(at.key);
        run_lanes(Chunk { physics, at, state, obs, slot: None });
    }
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let physics = self.params[at.replica].keyed(at.key);
        let ends = (at.clock as usize + 1).is_multiple_of(self.slots);
        run_lanes(Chunk { physics, at, state, obs, slot: Some((action, ends, out)) });
    }

    fn bind(&self, gpu: &Gpu, b: usize, to: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        let r = self.params.len();
        let params = gpu.upload("plain.params", &[r], &self.params)?;
        let kernel = gpu.kernel(&P::SHADER, &prelude(r, b, self.slots))?;
        let [action, state, obs, reward] = [to.action, to.state, to.obs, to.reward].map(|buf| &buf.raw);
        let (final_obs, metrics) = (to.final_obs.of_len(r * b * O), to.metrics.of_len(r * M * b));
        let buffers = [&params.raw, action, state, obs, final_obs, reward, &to.flags.raw, metrics];
        let bound = kernel.bind(gpu, &buffers);
        Ok(Box::new(PlainGpu::<P, S, O, A, M> { bound, threads: r * b, host: self.params.clone(), params }))
    }

    fn codebook(&self, beams: usize, power_levels: &[f64]) -> Option<Codebook> {
        P::codebook(beams, power_levels)
    }
}

struct PlainGpu<P, const S: usize, const O: usize, const A: usize, const M: usize> {
    bound: Bound,
    threads: usize,
    host: Vec<P>,
    params: Buf<P>,
}

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> PlainGpu<P, S, O, A, M> {
    fn record(&self, pass: &mut wgpu::ComputePass, at: &StepArgs, reset: bool) {
        let offsets = [at.action_off, at.state_off, at.next_off, at.obs_off, at.reward_off].map(|x| x as u32);
        let imm = [&[at.clock][..], &offsets, &[u32::from(at.full), u32::from(reset)]].concat();
        self.bound.record(pass, fold_groups(self.threads, WG), &imm);
    }
}

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> EnvGpu for PlainGpu<P, S, O, A, M>
where
    P: Physics<S, O, A, M>,
{
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]) {
        gpu.write(
            &self.params,
            &self.host.iter().zip(keys).map(|(p, key)| p.keyed(*key)).collect::<Vec<_>>(),
        );
    }
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32, state_off: usize, obs_off: usize) {
        self.record(pass, &StepArgs { clock, next_off: state_off, obs_off, ..StepArgs::default() }, true);
    }
    fn step(&self, pass: &mut wgpu::ComputePass, at: &StepArgs) {
        self.record(pass, at, false);
    }
}

/// Some environments of one replica: fresh episodes, or one slot.
struct Chunk<'a, P, const S: usize, const O: usize, const A: usize, const M: usize> {
    physics: P,
    at: &'a At,
    state: &'a mut [f32],
    obs: &'a mut [f32],
    /// The action, whether the episode ends, and what the slot writes.
    slot: Option<(&'a [f32], bool, StepSlices<'a>)>,
}

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> LaneKernel
    for Chunk<'_, P, S, O, A, M>
where
    P: Physics<S, O, A, M>,
{
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let envs = self.at.envs;
        let whole = envs / V::LANES * V::LANES;
        each_group!(e in 0, whole, V, { self.lanes::<V>(e); });
        each_group!(e in whole, envs, f32, { self.lanes::<f32>(e); });
    }
}

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> Chunk<'_, P, S, O, A, M>
where
    P: Physics<S, O, A, M>,
{
    /// The environments from number `e` of the chunk on, one in each lane.
    #[inline(always)]
    fn lanes<V: Real<Elem = f32>>(&mut self, e: usize) {
        let At { first, envs, clock, .. } = *self.at;
        let p = self.physics;
        let ids = V::Word::iota(first + e as u32);
        let mut s = [V::splat(0.0); S];
        match &mut self.slot {
            None => s = p.reset(ids, clock),
            Some((action, ends, out)) => {
                for (i, x) in s.iter_mut().enumerate() {
                    *x = V::load(&self.state[i * envs + e..]);
                }
                let mut a = [V::splat(0.0); A];
                load_rows(action, e, &mut a);
                let rows: [V; M] = p.step(ids, clock, &a, &mut s);
                rows[0].store(&mut out.reward[e..]);
                if let Some(metrics) = &mut out.metrics {
                    for (i, x) in rows.iter().enumerate() {
                        x.store(&mut metrics[i * envs + e..]);
                    }
                }
                out.flags[e..e + V::LANES].fill(if *ends { TRUNCATED } else { 0 });
                if *ends {
                    store_rows(&p.observe(&s), out.final_obs, e);
                    s = p.reset(ids, clock + 1);
                }
            }
        }
        for (i, x) in s.iter().enumerate() {
            x.store(&mut self.state[i * envs + e..]);
        }
        store_rows(&p.observe(&s), self.obs, e);
    }
}
