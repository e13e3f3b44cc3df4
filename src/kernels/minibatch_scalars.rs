//! minibatch_scalars: old log-probability, advantage, return and old value of each sample of a minibatch, in the order
//! of [`super::minibatch_gather`]. Copies, so exact on every device.

use super::common::*;
use crate::num::shuffle::{Minibatch, Samples, Unit};
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "minibatch_scalars");

pub const WG: usize = 64;

/// T slots of B environments of R replicas; minibatches of M samples of a replica.
#[derive(Clone, Debug)]
pub struct Spec {
    pub t: usize,
    pub r: usize,
    pub b: usize,
    pub m: usize,
    pub unit: Unit,
}

pub const DEFAULT: Spec = Spec { t: 9, r: 3, b: 101, m: 151, unit: Unit::Sample };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, 2 * spec.r + 8 * spec.r * spec.m)
}

pub fn prelude(s: &Spec) -> Prelude {
    let p = Prelude::new().u32("WG", WG).u32("T", s.t).u32("R", s.r).u32("B", s.b).u32("M", s.m);
    p.u32("WHOLE", usize::from(s.unit == Unit::Environment))
}

/// `keys` `[R]`, `logprob`, `advantage`, `returns` `[T, R, B]`, `value` `[T+1, R, B]`; `mb_scalars` `[R, M]` of (old
/// logprob, advantage, return, old value).
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn minibatch_scalars_cpu<F: Copy + Send + Sync>(
    s: &Spec,
    which: Minibatch,
    keys: &[[u32; 2]],
    logprob: &[F],
    advantage: &[F],
    returns: &[F],
    value: &[F],
    mb_scalars: &mut [[F; 4]],
) {
    let samples = Samples::new(s.unit, which, keys, (s.t, s.b), s.m);
    mb_scalars.par_iter_mut().enumerate().with_min_len(1024).for_each(|(i, to)| {
        let (r, m) = (i / s.m, i % s.m);
        let (slot, env) = samples.at(r, m);
        let at = (slot * s.r + r) * s.b + env;
        *to = [logprob[at], advantage[at], returns[at], value[at]];
    });
}

host! {
    MinibatchScalars, MinibatchScalarsBound;
    fits |_, spec| {
        spec.unit.assert_whole(spec.t, spec.m);
        Ok(())
    };
    /// Shapes as in [`minibatch_scalars_cpu`].
    bind |&Spec { t, r, b, m, .. }| {
        keys: [u32; 2] = of_len(r),
        logprob: f32 = of_len(t * r * b),
        advantage: f32 = of_len(t * r * b),
        returns: f32 = of_len(t * r * b),
        value: f32 = of_len((t + 1) * r * b),
        mb_scalars: [f32; 4] = of_len(r * m),
    }
}

impl MinibatchScalarsBound {
    /// Panics unless the minibatch lies inside the epoch.
    pub fn record(&self, pass: &mut wgpu::ComputePass, which: Minibatch) {
        which.assert_inside(self.spec.m, self.spec.t * self.spec.b);
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.m, WG), &which.immediates());
    }
}

/// Shader against twin, bits of every number: the first and the last minibatch of an epoch.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut draw = Sample::new(seed, 3);
    let keys = draw.keys(s.r);
    let n = s.t * s.r * s.b;
    let mut numbers = |n: usize| -> Vec<u32> { (0..n).map(|_| draw.word() & 0x7eff_ffff).collect() };
    let [logprob, advantage, returns, value] = [numbers(n), numbers(n), numbers(n), numbers(n + s.r * s.b)];

    bind!(gpu, bound = MinibatchScalars::new(gpu, s)?; keys_buf = keys, logprob_buf = floats(&logprob),
        advantage_buf = floats(&advantage), returns_buf = floats(&returns), value_buf = floats(&value), out[s.r * s.m]);
    let mut rows = Vec::new();
    for mb in [0, (s.t * s.b / s.m - 1) as u32] {
        let which = Minibatch { update: 3 + seed, epoch: 1, mb };
        let mut want = vec![[0u32; 4]; s.r * s.m];
        minibatch_scalars_cpu(s, which, &keys, &logprob, &advantage, &returns, &value, &mut want);
        gpu.run(|pass| bound.record(pass, which))?;
        let (got, want) = (bits(gpu.read(&out)?.as_flattened()), want.as_flattened());
        rows.push(compare_exact(&format!("mb_scalars, minibatch {mb}"), &got, want));
    }
    Ok(rows)
}
