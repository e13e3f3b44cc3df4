//! minibatch_gather: observations and actions of one minibatch, in the order of the keyed shuffle of an epoch
//! ([`Samples`]): of single samples, or of whole environments slot by slot, as a recurrent policy learns from them.
//! Copies, so exact on every device.

use super::common::*;
use crate::num::shuffle::{Minibatch, Samples, Unit};
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "minibatch_gather");

pub const WG: usize = 64;

/// T slots of B environments of R replicas with O observations and A actions each; minibatches of M samples of a
/// replica.
#[derive(Clone, Debug)]
pub struct Spec {
    pub t: usize,
    pub r: usize,
    pub b: usize,
    pub o: usize,
    pub a: usize,
    pub m: usize,
    pub unit: Unit,
    /// Rows behind each replica's observations that are left alone: the slot behind a sequence
    /// ([`crate::learn::recurrent`]).
    pub tail: usize,
}

pub const DEFAULT: Spec = Spec { t: 9, r: 3, b: 101, o: 12, a: 6, m: 151, unit: Unit::Sample, tail: 0 };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, 2 * spec.r + 2 * spec.r * spec.m * (spec.o + spec.a))
}

pub fn prelude(s: &Spec) -> Prelude {
    let p = Prelude::new().u32("WG", WG).u32("T", s.t).u32("R", s.r).u32("B", s.b);
    let p = p.u32("O", s.o).u32("A", s.a).u32("M", s.m).u32("TAIL", s.tail);
    p.u32("WHOLE", usize::from(s.unit == Unit::Environment))
}

/// `keys` `[R]`, `obs` `[T+1, R, B, O]`, `action` `[T, R, B, A]`; `mb_obs` `[R, M+tail, O]`, `mb_action` `[R, M, A]`.
pub fn minibatch_gather_cpu<F: Copy + Send + Sync>(
    s: &Spec,
    which: Minibatch,
    keys: &[[u32; 2]],
    obs: &[F],
    action: &[F],
    mb_obs: &mut [F],
    mb_action: &mut [F],
) {
    let samples = Samples::new(s.unit, which, keys, (s.t, s.b), s.m);
    let replicas =
        mb_obs.chunks_exact_mut((s.m + s.tail) * s.o).zip(mb_action.chunks_exact_mut(s.m * s.a)).enumerate();
    for (r, (mb_obs, mb_action)) in replicas {
        let rows = mb_obs.par_chunks_mut(s.o).zip(mb_action.par_chunks_mut(s.a)).enumerate();
        rows.with_min_len(1024).for_each(|(m, (to_obs, to_action))| {
            let (slot, env) = samples.at(r, m);
            let at = (slot * s.r + r) * s.b + env;
            to_obs.copy_from_slice(&obs[at * s.o..][..s.o]);
            to_action.copy_from_slice(&action[at * s.a..][..s.a]);
        });
    }
}

host! {
    MinibatchGather, MinibatchGatherBound;
    fits |gpu, spec| {
        spec.unit.assert_whole(spec.t, spec.m);
        check_trips(gpu, "minibatch_gather", spec.o + spec.a + 1000)
    };
    /// Shapes as in [`minibatch_gather_cpu`]; all but the keys may go on behind.
    bind |&Spec { t, r, b, o, a, m, tail, .. }| {
        keys: [u32; 2] = of_len(r),
        obs: f32 = at_least((t + 1) * r * b * o),
        action: f32 = at_least(t * r * b * a),
        mb_obs: f32 = at_least(r * (m + tail) * o),
        mb_action: f32 = at_least(r * m * a),
    }
}

impl MinibatchGatherBound {
    /// Panics unless the minibatch lies inside the epoch.
    pub fn record(&self, pass: &mut wgpu::ComputePass, which: Minibatch) {
        which.assert_inside(self.spec.m, self.spec.t * self.spec.b);
        // A workgroup serves one replica: M is rounded up for each.
        let groups = fold_groups(self.spec.r * self.spec.m.div_ceil(WG), 1);
        self.bound.record(pass, groups, &which.immediates());
    }
}

/// Shader against twin, bits of every number (the tail must stay poison): the first and the last minibatch of an epoch.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut draw = Sample::new(seed, 2);
    let keys = draw.keys(s.r);
    let obs: Vec<u32> = (0..(s.t + 1) * s.r * s.b * s.o).map(|_| draw.word() & 0x7eff_ffff).collect();
    let action: Vec<u32> = (0..s.t * s.r * s.b * s.a).map(|_| draw.word() & 0x7eff_ffff).collect();

    bind!(gpu, bound = MinibatchGather::new(gpu, s)?; keys_buf = keys, obs_buf = floats(&obs),
        action_buf = floats(&action), mb_obs[s.r * (s.m + s.tail) * s.o], mb_action[s.r * s.m * s.a]);
    let mut rows = Vec::new();
    for mb in [0, (s.t * s.b / s.m - 1) as u32] {
        let which = Minibatch { update: 3 + seed, epoch: 1, mb };
        let (mut want_obs, mut want_action) =
            (vec![u32::MAX; s.r * (s.m + s.tail) * s.o], vec![0u32; s.r * s.m * s.a]);
        minibatch_gather_cpu(s, which, &keys, &obs, &action, &mut want_obs, &mut want_action);
        gpu.run(|pass| bound.record(pass, which))?;
        let (got_obs, got_action) = (gpu.read(&mb_obs)?, gpu.read(&mb_action)?);
        rows.push(compare_exact(&format!("mb_obs, minibatch {mb}"), &bits(&got_obs), &want_obs));
        rows.push(compare_exact(&format!("mb_action, minibatch {mb}"), &bits(&got_action), &want_action));
    }
    Ok(rows)
}
