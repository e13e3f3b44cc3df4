//! replay_write: the transitions of one slot into the rings of all replicas, in place of the oldest. Copies and one
//! product: exact.
//!
//! Row: observation `[O]`, stored action `[D]`, next observation `[O]` (the final one where an episode was truncated or
//! terminated), scaled reward, 1 − terminated. Truncation is no termination: such a row keeps its bootstrap.

use super::common::*;
use super::replay::Row;
use crate::env::{TERMINATED, TRUNCATED};

pub const SHADER: Source = shader!("shaders/", "replay_write");

pub const WG: usize = 64;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica.
    pub b: usize,
    /// C: slots that a ring holds.
    pub c: usize,
    pub row: Row,
}

pub const DEFAULT: Spec = Spec { r: 3, b: 101, c: 7, row: Row { obs: 12, action: 6 } };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Place of the slot in the ring, below C.
    pub slot: usize,
    /// Start of the observations `[R, B, O]` inside `obs` before the slot …
    pub obs_off: usize,
    /// … and behind it.
    pub next_off: usize,
}

/// `reward_scale` `[R]`; `obs` holds both observations of the slot; `final_obs` `[R, B, O]`; `action` `[R, B, D]`;
/// `reward`, `flags` `[R, B]`; `replay` `[R, C, B, W]`.
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn replay_write_cpu(
    spec: &Spec,
    at: &Args,
    reward_scale: &[f32],
    obs: &[f32],
    final_obs: &[f32],
    action: &[f32],
    reward: &[f32],
    flags: &[u32],
    replay: &mut [f32],
) {
    let &Spec { r, b, c, row } = spec;
    let (w, o, d) = (row.width(), row.obs, row.action);
    for n in 0..r * b {
        let next = if flags[n] != 0 { &final_obs[n * o..] } else { &obs[at.next_off + n * o..] };
        row.put(
            &mut replay[((n / b * c + at.slot) * b + n % b) * w..][..w],
            &obs[at.obs_off + n * o..][..o],
            &action[n * d..][..d],
            &next[..o],
            reward_scale[n / b] * reward[n],
            flags[n],
        );
    }
}

/// What a dispatch must do: a transition read, its reward scaled, its row written.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, b, row, .. } = spec;
    Cost::new(r * b, r + r * b * (2 * row.obs + row.action + 2 + row.width()))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, b, c, row } = spec;
    let p = Prelude::new().u32("WG", WG).u32("R", r).u32("B", b).u32("C", c);
    p.u32("O", row.obs).u32("D", row.action).u32("TERMINATED", TERMINATED as usize)
}

host! {
    ReplayWrite, ReplayWriteBound;
    /// Shapes as in [`replay_write_cpu`]; `obs` holds whatever the offsets of `record` point into.
    bind |&Spec { r, b, c, row }| {
        reward_scale: f32 = of_len(r),
        obs: f32,
        final_obs: f32 = of_len(r * b * row.obs),
        action: f32 = of_len(r * b * row.action),
        reward: f32 = of_len(r * b),
        flags: u32 = of_len(r * b),
        replay: f32 = of_len(r * b * c * row.width()),
    }
}

impl ReplayWriteBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let Spec { r, b, c, row } = self.spec;
        assert!(at.slot < c, "replay_write: slot {} of a ring of {c}", at.slot);
        for off in [at.obs_off, at.next_off] {
            assert_inside("replay_write", "obs", off, r * b * row.obs, self.obs);
        }
        let imm = [at.slot as u32, at.obs_off as u32, at.next_off as u32];
        self.bound.record(pass, fold_groups(r * b * row.width(), WG), &imm);
    }
}

/// Shader against twin, bits of every number, with all kinds of flags; the rest of the rings must stay as it is.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, b, c, row } = spec;
    let (n, o) = (r * b, row.obs);
    let mut draw = Sample::new(seed, 0);
    let mut numbers = |n: usize| draw.normal(n, 1.0);
    let (obs, final_obs) = (numbers(2 * n * o + 5), numbers(n * o));
    let (action, reward) = (numbers(n * row.action), numbers(n));
    let before = numbers(n * c * row.width());
    let flags: Vec<u32> = (0..n)
        .map(|_| [0, 0, TRUNCATED, TERMINATED, TERMINATED | TRUNCATED][draw.word() as usize % 5])
        .collect();
    let at = Args { slot: c - 1, obs_off: n * o + 5, next_off: 2 };
    let scales: Vec<f32> = (0..r).map(|r| 0.05 * (r + 1) as f32).collect();
    let mut want = before.clone();
    replay_write_cpu(spec, &at, &scales, &obs, &final_obs, &action, &reward, &flags, &mut want);

    bind!(gpu, bound = ReplayWrite::new(gpu, spec)?; reward_scale = scales, obs, final_obs, action, reward, flags,
        replay = before);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_words("replay", &gpu.read(&replay)?, &want)])
}
