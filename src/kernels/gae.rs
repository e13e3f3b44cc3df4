//! gae: advantages and returns of a rollout, by generalised advantage estimation (Schulman et al., arXiv 1506.02438,
//! (11)–(16)).
//!
//! A terminated slot has next value 0; a truncated one bootstraps from V(final_obs); both end the trace:
//! `δ = scale·reward + γ·next − V`, `adv = δ + γλ·adv[t+1]` (0 behind an end), `ret = adv + V`.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "gae");

pub const WG: usize = 64;

/// Relative to the discounted sum of the magnitudes that enter an advantage.
pub const TOL: Tol = Tol {
    abs: 0.0,
    rel: 1e-6,
    why: "a slot adds three roundings (6e-8 each) and the trace rounds what it carries over about 1/(1−γλ) ≈ 20 slots",
};

/// Bit of `flags`: the episode ended in a state without future.
pub const TERMINATED: u32 = 1;
/// Bit of `flags`: the episode was cut off; its future is V(final_obs).
pub const TRUNCATED: u32 = 2;

/// T slots of B environments of R replicas.
#[derive(Clone, Debug)]
pub struct Spec {
    pub t: usize,
    pub r: usize,
    pub b: usize,
}

pub const DEFAULT: Spec = Spec { t: 37, r: 3, b: 101 };

/// What a dispatch must do where no slot was cut off (then it reads a final value there).
pub fn cost(spec: &Spec) -> Cost {
    let slots = spec.t * spec.r * spec.b;
    Cost::new(8 * slots, 5 * slots + spec.r * spec.b + 4 * spec.r)
}

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("T", s.t).u32("R", s.r).u32("B", s.b)
}

/// `reward` `[T, R, B]`, `value` `[T+1, R, B]` (the last row is V of the observation behind the rollout), `final_value`
/// `[T, R, B]` (V(final_obs), read where truncated and not terminated), `flags` `[T, R, B]`, `hyper` `[R]` of (γ, λ,
/// reward scale, 0); `advantage`, `returns` `[T, R, B]`.
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn gae_cpu<F: Real>(
    s: &Spec,
    reward: &[F],
    value: &[F],
    final_value: &[F],
    flags: &[u32],
    hyper: &[[F; 4]],
    advantage: &mut [F],
    returns: &mut [F],
) {
    let row = s.r * s.b;
    let zero = F::splat(0.0);
    let mut carried = vec![zero; row];
    for t in (0..s.t).rev() {
        for (i, adv) in carried.iter_mut().enumerate() {
            let at = t * row + i;
            let [gamma, lambda, scale, _] = hyper[i / s.b];
            let next = match flags[at] {
                f if f & TERMINATED != 0 => zero,
                f if f & TRUNCATED != 0 => final_value[at],
                _ => value[at + row],
            };
            let delta = (reward[at] * scale + gamma * next) - value[at];
            let ended = flags[at] & (TERMINATED | TRUNCATED) != 0;
            *adv = delta + if ended { zero } else { gamma * lambda * *adv };
            advantage[at] = *adv;
            returns[at] = *adv + value[at];
        }
    }
}

host! {
    Gae, GaeBound;
    fits |gpu, spec| check_trips(gpu, "gae", spec.t);
    /// Shapes as in [`gae_cpu`]; `reward` may go on behind its T slots.
    bind |&Spec { t, r, b }| {
        reward: f32 = at_least(t * r * b),
        value: f32 = of_len((t + 1) * r * b),
        final_value: f32 = of_len(t * r * b),
        flags: u32 = of_len(t * r * b),
        hyper: [f32; 4] = of_len(r),
        advantage: f32 = of_len(t * r * b),
        returns: f32 = of_len(t * r * b),
    }
    record |spec| fold_groups(spec.r * spec.b, WG);
}

/// Inputs of a rollout on the GPU's side of a check or of golden vectors.
pub struct Inputs {
    pub reward: Vec<f32>,
    pub value: Vec<f32>,
    pub final_value: Vec<f32>,
    pub flags: Vec<u32>,
    pub hyper: Vec<[f32; 4]>,
}

/// Runs the shader once: (advantage, returns).
pub fn gae_gpu(gpu: &Gpu, s: &Spec, x: &Inputs) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let n = s.t * s.r * s.b;
    bind!(gpu, bound = Gae::new(gpu, s)?; reward = x.reward, value = x.value, final_value = x.final_value,
        flags = x.flags, hyper = x.hyper, advantage[n], returns[n]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&advantage)?, gpu.read(&returns)?))
}

/// Shader against f64 twin. V(final_obs) is NaN wherever it must not be read.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let n = s.t * s.r * s.b;
    let mut draw = Sample::new(seed, 1);
    let flags: Vec<u32> = (0..n)
        .map(|_| match draw.word() % 16 {
            0 => TERMINATED,
            1 => TRUNCATED,
            2 => TERMINATED | TRUNCATED,
            _ => 0,
        })
        .collect();
    let mut final_value = draw.normal(n, 2.0);
    for (v, &f) in final_value.iter_mut().zip(&flags) {
        if f != TRUNCATED {
            *v = f32::NAN;
        }
    }
    let hyper = (0..s.r)
        .map(|r| [0.99 - 0.07 * (r % 3) as f32, 0.95 - 0.11 * (r % 4) as f32, 0.5 + r as f32 % 7.0, 0.0])
        .collect();
    let x = Inputs {
        reward: draw.normal(n, 1.0),
        value: draw.normal(n + s.r * s.b, 2.0),
        final_value,
        flags,
        hyper,
    };

    let (reward, value, final_value) = (widen(&x.reward), widen(&x.value), widen(&x.final_value));
    let hyper = widen_rows(&x.hyper);
    let (mut adv, mut ret) = (vec![0f64; n], vec![0f64; n]);
    gae_cpu(s, &reward, &value, &final_value, &x.flags, &hyper, &mut adv, &mut ret);

    // The same recursion over magnitudes: how large the terms were of which an advantage is the sum.
    let row = s.r * s.b;
    let mut scale = vec![0f64; n];
    for at in (0..n).rev() {
        let [gamma, lambda, reward_scale, _] = hyper[at % row / s.b];
        let (next, carried) = match x.flags[at] {
            0 => (value[at + row], scale.get(at + row).copied().unwrap_or(0.0)),
            TRUNCATED => (final_value[at], 0.0),
            _ => (0.0, 0.0),
        };
        scale[at] = (reward[at] * reward_scale).abs()
            + gamma * next.abs()
            + value[at].abs()
            + gamma * lambda * carried;
    }

    let (got_adv, got_ret) = gae_gpu(gpu, s, &x)?;
    Ok(vec![
        compare_scaled("advantage", &got_adv, &adv, &scale, TOL),
        compare_scaled("returns", &got_ret, &ret, &scale, TOL),
    ])
}
