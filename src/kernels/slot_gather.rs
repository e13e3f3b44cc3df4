//! slot_gather: observations of every `stride`-th slot of the environments of a minibatch, slot by slot in the order of
//! `minibatch_gather`, as the phases learn from them (`spatial_loss`). Copies, so exact on every device.

use super::common::*;
use crate::num::shuffle::{Minibatch, Samples, Unit};

pub const SHADER: Source = shader!("shaders/", "slot_gather");

pub const WG: usize = 64;

/// T slots of B environments of R replicas with O observations each; up to `slots` slots of `envs` environments at a
/// time.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub t: usize,
    pub r: usize,
    pub b: usize,
    pub o: usize,
    pub slots: usize,
    pub envs: usize,
}

pub const DEFAULT: Spec = Spec { t: 23, r: 3, b: 101, o: 12, slots: 6, envs: 50 };

/// Slots `first`, `first + stride`, …, `slots` of them, of a minibatch of whole environments.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    pub which: Minibatch,
    pub first: usize,
    pub stride: usize,
    pub slots: usize,
}

impl Args {
    fn assert_inside(&self, spec: &Spec) {
        self.which.assert_inside(spec.envs, spec.b);
        let last = self.first + (self.slots.max(1) - 1) * self.stride;
        assert!(
            (1..=spec.slots).contains(&self.slots) && last < spec.t,
            "slot_gather: {self:?} leaves {spec:?}"
        );
    }
}

/// `keys` `[R]`, `obs` `[T+1, R, B, O]`; `kept` `[R, slots, envs, O]`.
pub fn slot_gather_cpu<F: Copy>(spec: &Spec, at: &Args, keys: &[[u32; 2]], obs: &[F], kept: &mut [F]) {
    at.assert_inside(spec);
    let &Spec { r: replicas, b, o, envs, .. } = spec;
    let m = at.slots * envs;
    let samples = Samples::new(Unit::Environment, at.which, keys, (at.slots, b), m);
    for (n, to) in kept.chunks_exact_mut(o).take(replicas * m).enumerate() {
        let (slot, env) = samples.at(n / m, n % m);
        let from = ((at.first + slot * at.stride) * replicas + n / m) * b + env;
        to.copy_from_slice(&obs[from * o..][..o]);
    }
}

/// What a dispatch over all slots must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, 2 * spec.r + 2 * spec.r * spec.slots * spec.envs * spec.o)
}

/// Constants of the shader.
pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", s.r).u32("B", s.b).u32("O", s.o).u32("ENVS", s.envs)
}

host! {
    SlotGather, SlotGatherBound;
    /// `keys` `[R]`, `obs` `[T+1, R, B, O]`; `kept` `[R, slots, envs, O]` for as many slots as the specification has.
    bind |&Spec { t, r, b, o, slots, envs }| {
        keys: [u32; 2] = of_len(r),
        obs: f32 = of_len((t + 1) * r * b * o),
        kept: f32 = of_len(r * slots * envs * o),
    }
}

impl SlotGatherBound {
    /// Panics if a slot or an environment lies outside of the rollout.
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        at.assert_inside(&self.spec);
        let n = self.spec.r * at.slots * self.spec.envs * self.spec.o;
        let [update, epoch, mb] = at.which.immediates();
        let imm = [update, epoch, mb, at.first as u32, at.stride as u32, at.slots as u32];
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// Shader against twin, bits of every number: as many slots as fit of the last minibatch, and the last one alone of the
/// first.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let Spec { t, r, b, o, slots, envs } = *spec;
    let mut draw = Sample::new(seed, 0);
    let keys = draw.keys(r);
    let obs: Vec<u32> = (0..(t + 1) * r * b * o).map(|_| draw.word() & 0x7eff_ffff).collect();
    let stride = t / slots;
    let first = usize::from(t > slots * stride);
    let mut rows = Vec::new();
    let which = |mb: usize| Minibatch { update: 3 + seed, epoch: 1, mb: mb as u32 };
    let whole = Args { which: which(b / envs - 1), first, stride, slots };
    for at in [whole, Args { which: which(0), first: t - 1, stride, slots: 1 }] {
        bind!(gpu, bound = SlotGather::new(gpu, spec)?; keys_buf = keys, obs_buf = floats(&obs),
            kept[r * slots * envs * o]);
        let mut want = vec![u32::MAX; r * slots * envs * o];
        slot_gather_cpu(spec, &at, &keys, &obs, &mut want);
        gpu.run(|pass| bound.record(pass, &at))?;
        let got = gpu.read(&kept)?;
        let what = format!("kept, {} slots", at.slots);
        rows.push(compare_exact(&what, bytemuck::cast_slice(&got), &want));
    }
    Ok(rows)
}
