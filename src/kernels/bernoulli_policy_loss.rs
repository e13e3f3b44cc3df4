//! bernoulli_policy_loss: PPO's clipped surrogate with entropy bonus for A independent Bernoulli variables, and its gradient by the logits (Schulman et
//! al., arXiv 1707.06347, (7) and (9); conventions of CleanRL on torch.distributions). With one epoch and ratio 1 its gradient is that of
//! the advantage actor-critic, −∇ log P(π|s)·A ((12) of the paper "rl-h-moe").
//!
//! `loss = mean over samples of max(−adv·ratio, −adv·clamp(ratio, 1−ε, 1+ε)) − ent_coef·entropy`, `logp = Σ_a π ln σ(x) + (1−π) ln σ(−x)`. The first `skip`
//! samples of a replica are padding (the slot in front of a sequence): no gradient, no term, not counted in the mean.

use super::MAX_TRIPS;
use super::bernoulli_head::log_sigmoid;
use super::compare::{Comparison, Tol, compare_scaled};
use super::inputs::{Sample, column, widen, widen_rows};
use super::ppo_policy_loss::{Hyper, TERMS};
use crate::gpu::{Bound, Buf, Fill, Gpu, GpuError, Kernel, Prelude, fold_groups};
use crate::real::Real;
use rayon::prelude::*;

pub const WG: usize = 64;

/// Relative to a quantity's own terms times 1 + |logp| (summed over magnitudes).
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "a log-probability of A terms carries a few roundings (6e-8 each) of its magnitude, which e^x turns into a relative error of the ratio",
};

/// Minibatches of M samples of R replicas, A actions.
#[derive(Clone, Debug)]
pub struct Spec {
    pub r: usize,
    pub m: usize,
    pub a: usize,
    /// Samples at the start of a replica that are padding.
    pub skip: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, a: 4, skip: 13 };

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("A", s.a)
}

/// `logits`, `mb_action` [R,M,A], `mb_scalars` [R,M] of (old logprob, advantage, return, old value), `stats` [R]; `d_logits` [R,M,A] =
/// d loss / d logits, `terms` [R,M,4]: per-sample policy loss, k3 estimate of KL, whether the ratio is outside the clip range, entropy (without
/// 1/M).
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn bernoulli_policy_loss_cpu<F: Real + PartialOrd + Send + Sync>(
    s: &Spec,
    hyper: Hyper,
    logits: &[F],
    mb_action: &[F],
    mb_scalars: &[[F; 4]],
    stats: &[[F; 2]],
    d_logits: &mut [F],
    terms: &mut [F],
) {
    let a = s.a;
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let clip = F::splat(hyper.clip_eps);
    let per_sample = one / F::splat((s.m - s.skip) as f64);
    let rows = d_logits.par_chunks_mut(a).zip(terms.par_chunks_mut(4)).enumerate();
    rows.with_min_len(256).for_each(|(i, (d_logits, terms))| {
        if i % s.m < s.skip {
            d_logits.fill(zero);
            terms.fill(zero);
            return;
        }
        let (logits, action) = (&logits[i * a..][..a], &mb_action[i * a..][..a]);
        let (mut logp, mut entropy) = (zero, zero);
        for (&x, &taken) in logits.iter().zip(action) {
            let (on, off) = (log_sigmoid(x), log_sigmoid(-x));
            logp += if taken > half { on } else { off };
            let p = x.sigmoid();
            entropy += -(p * on + (one - p) * off);
        }
        let [logp_old, advantage, ..] = mb_scalars[i];
        let log_ratio = logp - logp_old;
        let ratio = log_ratio.exp();
        let adv = (advantage - stats[i / s.m][0]) * stats[i / s.m][1];
        let free = -adv * ratio;
        let clipped = -adv * ratio.max(one - clip).min(one + clip);
        let outside = clip.lt((ratio - one).abs());
        let g = F::select(F::mask_and(outside, free.lt(clipped)), zero, free) * per_sample;
        for ((d, &x), &taken) in d_logits.iter_mut().zip(logits).zip(action) {
            let p = x.sigmoid();
            *d = g * (taken - p) + (F::splat(hyper.ent_coef) * per_sample) * (x * (p * (one - p)));
        }
        terms[0] = free.max(clipped);
        terms[1] = (ratio - one) - log_ratio;
        terms[2] = F::select(outside, one, zero);
        terms[3] = entropy;
    });
}

/// The compiled kernel.
pub struct BernoulliPolicyLoss {
    kernel: Kernel,
    spec: Spec,
}

/// The kernel with its buffers.
pub struct BernoulliPolicyLossBound {
    bound: Bound,
    spec: Spec,
}

impl BernoulliPolicyLoss {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        assert!(2 * spec.a + 4 < MAX_TRIPS, "A = {}: software Vulkan ends loops at 65,535 trips", spec.a);
        assert!(spec.skip < spec.m, "{} of {} samples are padding", spec.skip, spec.m);
        Ok(BernoulliPolicyLoss {
            kernel: gpu.kernel("bernoulli_policy_loss", &prelude(spec))?,
            spec: spec.clone(),
        })
    }

    /// Shapes as in [`bernoulli_policy_loss_cpu`].
    #[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
    pub fn bind(
        &self,
        gpu: &Gpu,
        logits: &Buf<f32>,
        mb_action: &Buf<f32>,
        mb_scalars: &Buf<[f32; 4]>,
        stats: &Buf<[f32; 2]>,
        d_logits: &Buf<f32>,
        terms: &Buf<f32>,
    ) -> BernoulliPolicyLossBound {
        let Spec { r, m, a, .. } = self.spec;
        let n = r * m;
        let buffers = [
            logits.of_len(n * a),
            mb_action.of_len(n * a),
            mb_scalars.of_len(n),
            stats.of_len(r),
            d_logits.of_len(n * a),
            terms.of_len(n * 4),
        ];
        BernoulliPolicyLossBound { bound: self.kernel.bind(gpu, &buffers), spec: self.spec.clone() }
    }
}

impl BernoulliPolicyLossBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, hyper: Hyper) {
        let s = &self.spec;
        let immediates =
            [s.m as u32, s.skip as u32, (hyper.clip_eps as f32).to_bits(), (hyper.ent_coef as f32).to_bits()];
        self.bound.record(pass, fold_groups(s.r * s.m, WG), &immediates);
    }
}

/// Inputs of a minibatch on the GPU's side of a check or of golden vectors.
pub struct Inputs {
    pub logits: Vec<f32>,
    pub action: Vec<f32>,
    pub scalars: Vec<[f32; 4]>,
    pub stats: Vec<[f32; 2]>,
}

/// Runs the shader once: (d_logits, terms).
pub fn bernoulli_policy_loss_gpu(
    gpu: &Gpu,
    s: &Spec,
    hyper: Hyper,
    x: &Inputs,
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let d_logits = gpu.alloc("bernoulli_policy_loss.d_logits", &[s.r, s.m, s.a], Fill::Poison)?;
    let terms = gpu.alloc("bernoulli_policy_loss.terms", &[s.r, s.m, 4], Fill::Poison)?;
    let bound = BernoulliPolicyLoss::new(gpu, s)?.bind(
        gpu,
        &gpu.upload("bernoulli_policy_loss.logits", &[s.r, s.m, s.a], &x.logits)?,
        &gpu.upload("bernoulli_policy_loss.mb_action", &[s.r, s.m, s.a], &x.action)?,
        &gpu.upload("bernoulli_policy_loss.mb_scalars", &[s.r, s.m], &x.scalars)?,
        &gpu.upload("bernoulli_policy_loss.stats", &[s.r], &x.stats)?,
        &d_logits,
        &terms,
    );
    gpu.run(|pass| bound.record(pass, hyper))?;
    Ok((gpu.read(&d_logits)?, gpu.read(&terms)?))
}

/// A minibatch whose log-ratios spread over (−0.5, 0.5) but keep 1e-3 away from the edges of the clip range.
pub fn sample_inputs(s: &Spec, hyper: Hyper, seed: u32) -> Inputs {
    let n = s.r * s.m;
    let mut draw = Sample::new(seed, 6);
    let logits = draw.normal(n * s.a, 2.0);
    let action: Vec<f32> = (0..n * s.a).map(|_| if draw.unit() < 0.5 { 1.0 } else { 0.0 }).collect();
    let scalars = (0..n)
        .map(|i| {
            let side = |k: usize| if action[k] > 0.5 { f64::from(logits[k]) } else { -f64::from(logits[k]) };
            let logp: f64 = (i * s.a..(i + 1) * s.a).map(|k| log_sigmoid(side(k))).sum();
            let mut log_ratio = draw.unit() - 0.5;
            if ((log_ratio.exp() - 1.0).abs() - hyper.clip_eps).abs() < 1e-3 {
                log_ratio = 0.5 * (1.0 - hyper.clip_eps).ln();
            }
            let [advantage, ret, value] = draw.normal(3, 2.0)[..] else {
                unreachable!("three numbers were drawn")
            };
            [(logp - log_ratio) as f32, advantage, ret, value]
        })
        .collect();
    let stats = draw.uniform(s.r, 0.3, 0.9).into_iter().map(|inverse| [inverse - 0.6, inverse]).collect();
    Inputs { logits, action, scalars, stats }
}

/// Shader against f64 twin.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let n = s.r * s.m;
    // Representable in f32, so that twin and shader use the same numbers.
    let hyper = Hyper { clip_eps: f64::from(0.2f32), ent_coef: f64::from(0.01f32) };
    let x = sample_inputs(s, hyper, seed);
    let (logits, action) = (widen(&x.logits), widen(&x.action));
    let (scalars, stats) = (widen_rows(&x.scalars), widen_rows(&x.stats));
    let (mut d_logits, mut terms) = (vec![0f64; n * s.a], vec![0f64; n * 4]);
    bernoulli_policy_loss_cpu(s, hyper, &logits, &action, &scalars, &stats, &mut d_logits, &mut terms);
    let (got_d, got_terms) = bernoulli_policy_loss_gpu(gpu, s, hyper, &x)?;

    // The magnitude that a log-probability is the sum of.
    let magnitude: Vec<f64> =
        logits.chunks(s.a).map(|row| row.iter().map(|x| 1.0 + x.abs()).sum::<f64>()).collect();
    let per_sample = 1.0 / (s.m - s.skip) as f64;
    let d_scale: Vec<f64> = (0..n * s.a)
        .map(|k| {
            let i = k / s.a;
            let adv = (scalars[i][1] - stats[i / s.m][0]) * stats[i / s.m][1];
            (adv.abs() * 2.0 + hyper.ent_coef) * per_sample * magnitude[i]
        })
        .collect();
    let mut rows = vec![compare_scaled("d_logits", &got_d, &d_logits, &d_scale, TOL)];
    for (c, name) in TERMS.iter().enumerate() {
        let want = column(&terms, 4, c);
        let scale: Vec<f64> = (0..n)
            .map(|i| match c {
                0 => want[i] * magnitude[i],
                2 => 0.0,
                _ => magnitude[i],
            })
            .collect();
        rows.push(compare_scaled(name, &column(&got_terms, 4, c), &want, &scale, TOL));
    }
    Ok(rows)
}
