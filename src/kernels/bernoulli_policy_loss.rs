//! bernoulli_policy_loss: PPO's clipped surrogate with entropy bonus for A independent Bernoulli variables, and its
//! gradient by the logits (Schulman et al., arXiv 1707.06347, (7) and (9); conventions of CleanRL on
//! torch.distributions). Without a clip range the loss is that of the advantage actor-critic, −A·logp, whose gradient
//! is (12) of the paper "rl-h-moe".
//!
//! `loss = mean over samples of max(−adv·ratio, −adv·clamp(ratio, 1−ε, 1+ε)) − ent_coef·entropy`,
//! `logp = Σ_a π ln σ(x) + (1−π) ln σ(−x)`. The first `skip` rows of a replica's logits belong to no sample (the state
//! in front of a sequence) and get no gradient.

use super::common::*;
use super::ppo_policy_loss::{TERMS, sample_scalars};
use crate::nets::bernoulli::log_sigmoid;
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "bernoulli_policy_loss");

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
    /// Rows of logits in front of each replica's samples.
    pub skip: usize,
    /// The clipped surrogate, or else the plain policy gradient.
    pub clip: bool,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, a: 4, skip: 13, clip: true };

pub use super::ppo_policy_loss::{Hyper, sample_hyper};

/// What a dispatch must do that clips.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, a, skip, .. } = spec;
    // An action's log-probabilities, entropy and gradient; a sample's ratio and the clipped surrogate.
    let sample = a * (2 * LOG_SIGMOID + 2 + SIGMOID + 5 + 6) + (13 + EXP);
    Cost::new(r * m * sample, 2 * r + r * m * (2 * a + 6) + r * (m + skip) * a)
}

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("A", s.a)
}

/// `hyper` `[R]`, `logits` `[R, skip+M, A]`, `mb_action` `[R, M, A]`, `mb_scalars` `[R, M]` of (old logprob, advantage,
/// return, old value), `stats` `[R]`; `d_logits` `[R, skip+M, A]` = d loss / d logits, `terms` `[R, M, 4]`: per-sample
/// policy loss, k3 estimate of KL, whether the ratio is outside the clip range, entropy (without 1/M).
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn bernoulli_policy_loss_cpu<F: Real + PartialOrd + Send + Sync>(
    s: &Spec,
    hyper: &[Hyper],
    logits: &[F],
    mb_action: &[F],
    mb_scalars: &[[F; 4]],
    stats: &[[F; 2]],
    d_logits: &mut [F],
    terms: &mut [F],
) {
    let a = s.a;
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let per_sample = one / F::splat(s.m as f64);
    let one_sample = |(i, (d_logits, terms)): (usize, (&mut [F], &mut [F]))| {
        let r = i / s.m;
        let (clip, ent_coef) = (F::splat(hyper[r].clip_eps), F::splat(hyper[r].ent_coef));
        let row = i + (r + 1) * s.skip;
        let (logits, action) = (&logits[row * a..][..a], &mb_action[i * a..][..a]);
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
        let adv = (advantage - stats[r][0]) * stats[r][1];
        let free = -adv * ratio;
        let clipped = -adv * ratio.max(one - clip).min(one + clip);
        let outside = clip.lt((ratio - one).abs());
        let slope = if s.clip { F::select(F::mask_and(outside, free.lt(clipped)), zero, free) } else { -adv };
        let g = slope * per_sample;
        for ((d, &x), &taken) in d_logits.iter_mut().zip(logits).zip(action) {
            let p = x.sigmoid();
            *d = g * (taken - p) + (ent_coef * per_sample) * (x * (p * (one - p)));
        }
        terms[0] = if s.clip { free.max(clipped) } else { -adv * logp };
        terms[1] = (ratio - one) - log_ratio;
        terms[2] = if s.clip { F::select(outside, one, zero) } else { zero };
        terms[3] = entropy;
    };
    let replicas = d_logits.chunks_exact_mut((s.skip + s.m) * a).zip(terms.chunks_exact_mut(s.m * 4));
    for (r, (d_logits, terms)) in replicas.enumerate() {
        let (padding, d_logits) = d_logits.split_at_mut(s.skip * a);
        padding.fill(zero);
        let rows = d_logits.par_chunks_mut(a).zip(terms.par_chunks_mut(4)).enumerate();
        rows.with_min_len(256).for_each(|(m, row)| one_sample((r * s.m + m, row)));
    }
}

host! {
    BernoulliPolicyLoss, BernoulliPolicyLossBound;
    fits |gpu, spec| check_trips(gpu, "bernoulli_policy_loss", 2 * spec.a + 4);
    /// Shapes as in [`bernoulli_policy_loss_cpu`]; `hyper` holds the rows of [`Hyper`].
    bind |&Spec { r, m, a, skip, .. }| {
        logits: f32 = of_len(r * (skip + m) * a),
        mb_action: f32 = of_len(r * m * a),
        mb_scalars: [f32; 4] = of_len(r * m),
        stats: [f32; 2] = of_len(r),
        hyper: [f32; 2] = of_len(r),
        d_logits: f32 = of_len(r * (skip + m) * a),
        terms: f32 = of_len(r * m * 4),
    }
    record |s| fold_groups(s.r * (s.skip + s.m), WG), with [s.m as u32, s.skip as u32, s.clip.into()];
}

/// Inputs of a minibatch on the GPU's side of a check or of golden vectors.
#[derive(Clone, Default)]
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
    hyper: &[Hyper],
    x: &Inputs,
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let rows: Vec<_> = hyper.iter().map(Hyper::row).collect();
    bind!(gpu, bound = BernoulliPolicyLoss::new(gpu, s)?; logits = x.logits, mb_action = x.action, mb_scalars = x.scalars,
        stats = x.stats, hyper = rows, d_logits[s.r * (s.skip + s.m) * s.a], terms[s.r * s.m * 4]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&d_logits)?, gpu.read(&terms)?))
}

/// A minibatch whose log-ratios spread over (−0.5, 0.5) but keep 1e-3 away from the edges of their clip range; logits
/// that must not be read are NaN.
pub fn sample_inputs(s: &Spec, hyper: &[Hyper], seed: u32) -> Inputs {
    let n = s.r * s.m;
    let mut draw = Sample::new(seed, 6);
    let own = draw.normal(n * s.a, 2.0);
    let action: Vec<f32> = (0..n * s.a).map(|_| if draw.unit() < 0.5 { 1.0 } else { 0.0 }).collect();
    let scalars = (0..n)
        .map(|i| {
            let side = |k: usize| if action[k] > 0.5 { f64::from(own[k]) } else { -f64::from(own[k]) };
            let logp: f64 = (i * s.a..(i + 1) * s.a).map(|k| log_sigmoid(side(k))).sum();
            sample_scalars(&mut draw, logp, hyper[i / s.m].clip_eps)
        })
        .collect();
    let stats = draw.uniform(s.r, 0.3, 0.9).into_iter().map(|inverse| [inverse - 0.6, inverse]).collect();
    let rows = own.chunks(s.m * s.a).map(|row| [&vec![f32::NAN; s.skip * s.a], row].concat());
    Inputs { logits: rows.collect::<Vec<_>>().concat(), action, scalars, stats }
}

/// Shader against f64 twin, clipped and not.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (n, a) = (s.r * s.m, s.a);
    let hyper = sample_hyper(s.r);
    let x = sample_inputs(s, &hyper, seed);
    let (logits, action) = (widen(&x.logits), widen(&x.action));
    let (scalars, stats) = (widen_rows(&x.scalars), widen_rows(&x.stats));
    // The magnitude that a log-probability is the sum of.
    let own = logits.chunks((s.skip + s.m) * a).flat_map(|rows| rows[s.skip * a..].chunks(a));
    let magnitude: Vec<f64> = own.map(|row| row.iter().map(|x| 1.0 + x.abs()).sum::<f64>()).collect();
    let per_sample = 1.0 / s.m as f64;
    // In the rows of no sample nothing but 0 will do.
    let mut d_scale = vec![0.0; logits.len()];
    for (r, rows) in d_scale.chunks_mut((s.skip + s.m) * a).enumerate() {
        for (k, scale) in rows[s.skip * a..].iter_mut().enumerate() {
            let i = r * s.m + k / a;
            let adv = (scalars[i][1] - stats[r][0]) * stats[r][1];
            *scale = (adv.abs() * 2.0 + hyper[r].ent_coef) * per_sample * magnitude[i];
        }
    }
    let mut rows = Vec::new();
    for (clip, how) in [(true, "clipped"), (false, "plain")] {
        let s = &Spec { clip, ..s.clone() };
        let (mut d_logits, mut terms) = (vec![f64::NAN; logits.len()], vec![0f64; n * 4]);
        bernoulli_policy_loss_cpu(s, &hyper, &logits, &action, &scalars, &stats, &mut d_logits, &mut terms);
        let (got_d, got_terms) = bernoulli_policy_loss_gpu(gpu, s, &hyper, &x)?;
        rows.push(compare_scaled(&format!("d_logits, {how}"), &got_d, &d_logits, &d_scale, TOL));
        for (c, name) in TERMS.iter().enumerate() {
            let want = column(&terms, 4, c);
            let scale: Vec<f64> = (0..n)
                .map(|i| match c {
                    0 if clip => want[i].abs() * magnitude[i],
                    // −A·logp is small where logp is, although its terms are not.
                    0 => {
                        let [mean, inverse] = stats[i / s.m];
                        (scalars[i][1].abs() + mean.abs()) * inverse * magnitude[i]
                    }
                    2 => 0.0,
                    _ => magnitude[i],
                })
                .collect();
            let got = column(&got_terms, 4, c);
            rows.push(compare_scaled(&format!("{name}, {how}"), &got, &want, &scale, TOL));
        }
    }
    Ok(rows)
}
