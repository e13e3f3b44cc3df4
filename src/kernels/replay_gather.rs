//! replay_gather: one minibatch out of the ring of every replica, drawn uniformly with replacement ([`sample`]).
//! Integers and copies: exact.

use super::common::*;
use super::replay::{Row, sample};

pub const SHADER: Source = shader!("shaders/", "replay_gather");

pub const WG: usize = 64;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// Transitions that a ring holds.
    pub capacity: usize,
    pub row: Row,
    /// M: samples of a replica.
    pub m: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, capacity: 707, row: Row { obs: 12, action: 6 }, m: 151 };

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slot counter and gradient step: no two dispatches of a training may draw at the same pair.
    pub clock: u32,
    pub step: u32,
    /// Rows that hold a transition, 1 to `capacity`.
    pub filled: usize,
}

/// `keys` `[R]`, `replay` `[R, capacity, W]`; `mb_obs` `[R, M, O]`, `mb_action` `[R, M, D]`, `mb_next` `[R, M, O]`,
/// `mb_scalars` `[R, M]` of (reward, 1 − terminated).
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn replay_gather_cpu<F: Copy>(
    spec: &Spec,
    at: &Args,
    keys: &[[u32; 2]],
    replay: &[F],
    mb_obs: &mut [F],
    mb_action: &mut [F],
    mb_next: &mut [F],
    mb_scalars: &mut [[F; 2]],
) {
    let &Spec { capacity, row, m, .. } = spec;
    let (w, o, d) = (row.width(), row.obs, row.action);
    for (i, scalars) in mb_scalars.iter_mut().enumerate() {
        let (r, k) = (i / m, i % m);
        let index = sample(keys[r], at.clock, at.step, (k / 4) as u32, at.filled as u32)[k % 4] as usize;
        let from = &replay[(r * capacity + index) * w..][..w];
        mb_obs[i * o..][..o].copy_from_slice(&from[..o]);
        mb_action[i * d..][..d].copy_from_slice(&from[o..row.next()]);
        mb_next[i * o..][..o].copy_from_slice(&from[row.next()..row.scalars()]);
        *scalars = [from[row.scalars()], from[row.scalars() + 1]];
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, 2 * spec.r + 2 * spec.r * spec.m * spec.row.width())
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, capacity, row, m } = spec;
    let p = Prelude::new().u32("WG", WG).u32("R", r).u32("CAPACITY", capacity);
    p.u32("O", row.obs).u32("D", row.action).u32("M", m)
}

host! {
    ReplayGather, ReplayGatherBound;
    fits |gpu, spec| check_trips(gpu, "replay_gather", spec.row.width() + 20);
    /// Shapes as in [`replay_gather_cpu`].
    bind |&Spec { r, capacity, row, m }| {
        keys: [u32; 2] = of_len(r),
        replay: f32 = of_len(r * capacity * row.width()),
        mb_obs: f32 = of_len(r * m * row.obs),
        mb_action: f32 = of_len(r * m * row.action),
        mb_next: f32 = of_len(r * m * row.obs),
        mb_scalars: [f32; 2] = of_len(r * m),
    }
}

impl ReplayGatherBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let Spec { r, capacity, m, .. } = self.spec;
        assert!((1..=capacity).contains(&at.filled), "replay_gather: {} of {capacity} rows", at.filled);
        // A workgroup serves one replica: M is rounded up for each.
        let groups = fold_groups(r * m.div_ceil(WG), 1);
        self.bound.record(pass, groups, &[at.clock, at.step, at.filled as u32]);
    }
}

/// Shader against twin, bits of every number: a ring with one row, a part of it, and all of it.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, capacity, row, m } = spec;
    let (o, d, w) = (row.obs, row.action, row.width());
    let mut draw = Sample::new(seed, 0);
    let keys = draw.keys(r);
    // Every number names its place.
    let replay: Vec<u32> = (0..(r * capacity * w) as u32).map(|i| i + 0x0100_0000).collect();
    bind!(gpu, bound = ReplayGather::new(gpu, spec)?; keys_buf = keys, replay_buf = floats(&replay), mb_obs[r * m * o],
        mb_action[r * m * d], mb_next[r * m * o], mb_scalars[r * m]);
    let mut rows = Vec::new();
    for filled in [1, capacity.div_ceil(2), capacity] {
        let at = Args { clock: 40 + seed, step: 1, filled };
        let (mut obs, mut action) = (vec![0u32; r * m * o], vec![0u32; r * m * d]);
        let (mut next, mut scalars) = (vec![0u32; r * m * o], vec![[0u32; 2]; r * m]);
        replay_gather_cpu(spec, &at, &keys, &replay, &mut obs, &mut action, &mut next, &mut scalars);
        gpu.run(|pass| bound.record(pass, &at))?;
        let mut row = |what: &str, got: &[f32], want: &[u32]| {
            rows.push(compare_exact(&format!("{what}, {filled} filled"), bytemuck::cast_slice(got), want));
        };
        row("mb_obs", &gpu.read(&mb_obs)?, &obs);
        row("mb_action", &gpu.read(&mb_action)?, &action);
        row("mb_next", &gpu.read(&mb_next)?, &next);
        row("mb_scalars", gpu.read(&mb_scalars)?.as_flattened(), scalars.as_flattened());
    }
    Ok(rows)
}
