//! joint_policy_loss: PPO's clipped surrogate with entropy bonus for K independent Bernoulli variables and A Gaussian
//! ones in one ratio, and its gradient by logits, means and log_std (Schulman et al., arXiv 1707.06347, (7) and (9);
//! conventions of CleanRL on torch.distributions). Without a clip range the loss is that of the advantage actor-critic,
//! −A·logp.
//!
//! `loss = mean over samples of max(−adv·ratio, −adv·clamp(ratio, 1−ε, 1+ε)) − ent_coef·entropy`, where logp and
//! entropy are sums over both: that of bernoulli_policy_loss and that of ppo_policy_loss. The gradient overwrites the
//! outputs that it is taken by: they are not needed afterwards, and a kernel has eight buffers at most.

use super::common::*;
use super::ppo_policy_loss::{TERMS, sample_scalars};
use crate::nets::bernoulli::log_sigmoid;
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "joint_policy_loss");

pub const WG: usize = 64;

/// Relative to a quantity's own terms times 1 + |logp| (summed over magnitudes).
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "a log-probability of K + A terms carries a few roundings (6e-8 each) of its magnitude, which e^x turns into a relative error of the ratio",
};

/// Minibatches of M samples of R replicas, K Bernoulli variables, A Gaussian ones; P parameters per replica with
/// log_std at `ls_off`.
#[derive(Clone, Debug)]
pub struct Spec {
    pub r: usize,
    pub m: usize,
    pub k: usize,
    pub a: usize,
    pub p: usize,
    pub ls_off: usize,
    /// The clipped surrogate, or else the plain policy gradient.
    pub clip: bool,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, k: 4, a: 12, p: 17, ls_off: 5, clip: true };

pub use super::ppo_policy_loss::{Hyper, sample_hyper};

/// What a dispatch must do that clips.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, k, a, .. } = spec;
    // A decision's log-probabilities, entropy and gradient; a Gaussian's z, log-density, entropy and two gradients; a
    // sample's ratio and the clipped surrogate.
    let taken = k * (2 * LOG_SIGMOID + 2 + SIGMOID + 5 + 6);
    let sample = taken + a * (2 + 5 + 2 + 5) + (13 + EXP);
    Cost::new(r * (m * sample + a * EXP), r * (a + 2) + r * m * (3 * k + 4 * a + 6))
}

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("P", s.p).u32("K", s.k).u32("A", s.a)
}

/// `hyper` `[R]`, `params` `[R, P]`, `outputs` `[R, M, K+A]` (logits, then means; d loss / d outputs afterwards),
/// `mb_taken` `[R, M, K]` of 0 and 1, `mb_drawn` `[R, M, A]`, `mb_scalars` `[R, M]` of (old logprob, advantage, return,
/// old value), `stats` `[R]`; `terms` `[R, M, A+4]`: the sample's part of d loss / d log_std (A, with its 1/M and the
/// entropy's part), then per-sample policy loss, k3 estimate of KL, whether the ratio is outside the clip range,
/// entropy (without 1/M).
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn joint_policy_loss_cpu<F: Real + PartialOrd + Send + Sync>(
    s: &Spec,
    hyper: &[Hyper],
    params: &[F],
    outputs: &mut [F],
    mb_taken: &[F],
    mb_drawn: &[F],
    mb_scalars: &[[F; 4]],
    stats: &[[F; 2]],
    terms: &mut [F],
) {
    let (k, a) = (s.k, s.a);
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let half_ln_2pi = F::splat(0.918_938_533_204_672_7);
    let per_sample = one / F::splat(s.m as f64);
    let log_std: Vec<F> = params.chunks_exact(s.p).flat_map(|p| p[s.ls_off..][..a].iter().copied()).collect();
    let inverse_std: Vec<F> = log_std.iter().map(|&ls| (-ls).exp()).collect();

    let rows = outputs.par_chunks_mut(k + a).zip(terms.par_chunks_mut(a + 4)).enumerate();
    rows.with_min_len(256).for_each(|(i, (outputs, terms))| {
        let r = i / s.m;
        let (clip, ent_coef) = (F::splat(hyper[r].clip_eps), F::splat(hyper[r].ent_coef));
        let (log_std, inverse_std) = (&log_std[r * a..][..a], &inverse_std[r * a..][..a]);
        let (logits, mean) = outputs.split_at_mut(k);
        let (taken, drawn) = (&mb_taken[i * k..][..k], &mb_drawn[i * a..][..a]);
        let (mut logp, mut entropy) = (zero, zero);
        for (&mut x, &taken) in logits.iter_mut().zip(taken) {
            let (on, off) = (log_sigmoid(x), log_sigmoid(-x));
            logp += if taken > half { on } else { off };
            let p = x.sigmoid();
            entropy += -(p * on + (one - p) * off);
        }
        for n in 0..a {
            let z = (drawn[n] - mean[n]) * inverse_std[n];
            logp += -half * (z * z) - log_std[n] - half_ln_2pi;
            entropy += log_std[n] + (half + half_ln_2pi);
        }
        let [logp_old, advantage, ..] = mb_scalars[i];
        let log_ratio = logp - logp_old;
        let ratio = log_ratio.exp();
        let adv = (advantage - stats[r][0]) * stats[r][1];
        let free = -adv * ratio;
        let clipped = -adv * ratio.max(one - clip).min(one + clip);
        let outside = clip.lt((ratio - one).abs());
        // The clamp has slope 1 inside and 0 outside, where only the free branch passes a gradient.
        let slope = if s.clip { F::select(F::mask_and(outside, free.lt(clipped)), zero, free) } else { -adv };
        let g = slope * per_sample;
        for (x, &taken) in logits.iter_mut().zip(taken) {
            let p = x.sigmoid();
            *x = g * (taken - p) + (ent_coef * per_sample) * (*x * (p * (one - p)));
        }
        for n in 0..a {
            let z = (drawn[n] - mean[n]) * inverse_std[n];
            mean[n] = g * z * inverse_std[n];
            terms[n] = g * (z * z - one) - ent_coef * per_sample;
        }
        terms[a] = if s.clip { free.max(clipped) } else { -adv * logp };
        terms[a + 1] = (ratio - one) - log_ratio;
        terms[a + 2] = if s.clip { F::select(outside, one, zero) } else { zero };
        terms[a + 3] = entropy;
    });
}

host! {
    JointPolicyLoss, JointPolicyLossBound;
    fits |gpu, spec| {
        let &Spec { k, a, p, ls_off, .. } = spec;
        assert!(ls_off + a <= p, "log_std at {ls_off}..+{a} of {p} parameters");
        check_trips(gpu, "joint_policy_loss", 2 * (k + a))
    };
    /// Shapes as in [`joint_policy_loss_cpu`]; `hyper` holds the rows of [`Hyper`].
    bind |&Spec { r, m, k, a, p, .. }| {
        params: f32 = of_len(r * p),
        outputs: f32 = of_len(r * m * (k + a)),
        mb_taken: f32 = of_len(r * m * k),
        mb_drawn: f32 = of_len(r * m * a),
        mb_scalars: [f32; 4] = of_len(r * m),
        stats: [f32; 2] = of_len(r),
        hyper: [f32; 2] = of_len(r),
        terms: f32 = of_len(r * m * (a + 4)),
    }
    record |s| fold_groups(s.r * s.m, WG), with [s.m as u32, s.ls_off as u32, s.clip.into()];
}

/// Inputs of a minibatch on the GPU's side of a check.
#[derive(Clone, Default)]
pub struct Inputs {
    pub params: Vec<f32>,
    pub outputs: Vec<f32>,
    pub taken: Vec<f32>,
    pub drawn: Vec<f32>,
    pub scalars: Vec<[f32; 4]>,
    pub stats: Vec<[f32; 2]>,
}

/// Runs the shader once: (d_outputs, terms).
pub fn joint_policy_loss_gpu(
    gpu: &Gpu,
    s: &Spec,
    hyper: &[Hyper],
    x: &Inputs,
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let rows: Vec<_> = hyper.iter().map(Hyper::row).collect();
    bind!(gpu, bound = JointPolicyLoss::new(gpu, s)?; params = x.params, outputs = x.outputs, mb_taken = x.taken,
        mb_drawn = x.drawn, mb_scalars = x.scalars, stats = x.stats, hyper = rows,
        terms[s.r * s.m * (s.a + 4)]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&outputs)?, gpu.read(&terms)?))
}

/// A minibatch whose log-ratios spread over (−0.5, 0.5) but keep 1e-3 away from the edges of their clip range.
/// Parameters that are not log_std are NaN.
pub fn sample_inputs(s: &Spec, hyper: &[Hyper], seed: u32) -> Inputs {
    let (n, width) = (s.r * s.m, s.k + s.a);
    let mut draw = Sample::new(seed, 9);
    let mut params = vec![f32::NAN; s.r * s.p];
    for p in params.chunks_exact_mut(s.p) {
        p[s.ls_off..][..s.a].copy_from_slice(&draw.uniform(s.a, -1.0, 0.5));
    }
    let outputs = draw.normal(n * width, 1.5);
    let taken: Vec<f32> = (0..n * s.k).map(|_| if draw.unit() < 0.5 { 1.0 } else { 0.0 }).collect();
    let noise = draw.normal(n * s.a, 1.0);
    let log_std = |i: usize| params[i / s.a / s.m * s.p + s.ls_off + i % s.a];
    let mean = |i: usize| outputs[i / s.a * width + s.k + i % s.a];
    let drawn: Vec<f32> = (0..n * s.a).map(|i| mean(i) + log_std(i).exp() * noise[i]).collect();
    let scalars = (0..n)
        .map(|i| {
            let side = |k: usize| {
                let x = f64::from(outputs[i * width + k]);
                if taken[i * s.k + k] > 0.5 { x } else { -x }
            };
            let decided: f64 = (0..s.k).map(|k| log_sigmoid(side(k))).sum();
            let density = |i: usize| {
                let ls = f64::from(log_std(i));
                let z = f64::from(drawn[i] - mean(i)) * (-ls).exp();
                -0.5 * z * z - ls - 0.918_938_533_204_672_7
            };
            let logp = decided + (i * s.a..(i + 1) * s.a).map(density).sum::<f64>();
            sample_scalars(&mut draw, logp, hyper[i / s.m].clip_eps)
        })
        .collect();
    let stats = draw.uniform(s.r, 0.3, 0.9).into_iter().map(|inverse| [inverse - 0.6, inverse]).collect();
    Inputs { params, outputs, taken, drawn, scalars, stats }
}

/// Shader against f64 twin, clipped and not.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (n, k, a, width) = (s.r * s.m, s.k, s.a, s.a + 4);
    let hyper = sample_hyper(s.r);
    let x = sample_inputs(s, &hyper, seed);
    let (params, outputs) = (widen(&x.params), widen(&x.outputs));
    let (taken, drawn) = (widen(&x.taken), widen(&x.drawn));
    let (scalars, stats) = (widen_rows(&x.scalars), widen_rows(&x.stats));
    // The magnitude that a log-probability is the sum of, and with it the scales of what is made from it.
    let ls = |i: usize, j: usize| params[i / s.m * s.p + s.ls_off + j];
    let z = |i: usize, j: usize| (drawn[i * a + j] - outputs[i * (k + a) + k + j]) * (-ls(i, j)).exp();
    let magnitude: Vec<f64> = (0..n)
        .map(|i| {
            let decided: f64 = outputs[i * (k + a)..][..k].iter().map(|x| 1.0 + x.abs()).sum();
            let densities: f64 = (0..a).map(|j| 0.5 * z(i, j).powi(2) + ls(i, j).abs() + 0.919).sum();
            1.0 + decided + densities
        })
        .collect();
    let adv = |i: usize| (scalars[i][1] - stats[i / s.m][0]) * stats[i / s.m][1];
    let per_sample = 1.0 / s.m as f64;
    // What a gradient by a log-probability is of the size of: no ratio is above e^(1/2).
    let g = |i: usize| adv(i).abs() * 2.0 * per_sample * magnitude[i];
    let bonus = |i: usize| hyper[i / s.m].ent_coef * per_sample;
    let d_scale: Vec<f64> = (0..n * (k + a))
        .map(|at| {
            let (i, j) = (at / (k + a), at % (k + a));
            match j.checked_sub(k) {
                None => g(i) + bonus(i) * magnitude[i],
                Some(j) => g(i) * (z(i, j).abs() + 1e-3) * (-ls(i, j)).exp(),
            }
        })
        .collect();
    let mut rows = Vec::new();
    for (clip, how) in [(true, "clipped"), (false, "plain")] {
        let s = &Spec { clip, ..s.clone() };
        let (mut d_outputs, mut terms) = (outputs.clone(), vec![0f64; n * width]);
        joint_policy_loss_cpu(
            s,
            &hyper,
            &params,
            &mut d_outputs,
            &taken,
            &drawn,
            &scalars,
            &stats,
            &mut terms,
        );
        let (got_d, got_terms) = joint_policy_loss_gpu(gpu, s, &hyper, &x)?;
        rows.push(compare_scaled(&format!("d_outputs, {how}"), &got_d, &d_outputs, &d_scale, TOL));
        let mut term = |name: &str, c: usize, scale: &dyn Fn(usize) -> f64| {
            let (got, want) = (column(&got_terms, width, c), column(&terms, width, c));
            let scale: Vec<f64> = (0..n).map(scale).collect();
            rows.push(compare_scaled(&format!("{name}, {how}"), &got, &want, &scale, TOL));
        };
        for j in 0..a {
            // z² − 1 cancels, and the entropy's part is added: relative to the sum of their magnitudes.
            term(&format!("d log_std {j}"), j, &|i| g(i) * (z(i, j).powi(2) + 1.0) + bonus(i));
        }
        // −A·logp is small where logp is, although its terms are not.
        term(TERMS[0], a, &|i| {
            let [mean, inverse] = stats[i / s.m];
            2.0 * (scalars[i][1].abs() + mean.abs()) * inverse * magnitude[i]
        });
        term(TERMS[1], a + 1, &|i| magnitude[i]);
        // No ratio is near an edge of the clip range.
        term(TERMS[2], a + 2, &|_| 0.0);
        term(TERMS[3], a + 3, &|i| magnitude[i]);
    }
    Ok(rows)
}
