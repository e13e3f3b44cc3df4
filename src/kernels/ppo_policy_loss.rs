//! ppo_policy_loss: PPO's clipped surrogate with entropy bonus for a diagonal Gaussian policy, and its gradient
//! (Schulman et al., arXiv 1707.06347, (7) and (9); the gradient's conventions are those of CleanRL on
//! torch.distributions).
//!
//! `loss = mean over M of max(−adv·ratio, −adv·clamp(ratio, 1−ε, 1+ε)) − ent_coef·entropy`, with
//! `ratio = e^(logp − logp_old)`, `logp = Σ_a −z²/2 − log_std − ½ ln 2π`, `z = (action − mean)/std`,
//! `entropy = Σ_a ½ + ½ ln 2π + log_std`, and `adv = (advantage − stats.0)·stats.1`. Where the clipped branch is larger
//! outside the clip range, no gradient passes.

use super::common::*;
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "ppo_policy_loss");

pub const WG: usize = 64;

/// Relative to a quantity's own terms times 1 + |logp| (summed over magnitudes).
pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "a log-probability of A terms carries a few roundings (6e-8 each) of its magnitude, which e^x turns into a relative error of the ratio",
};

/// Minibatches of M samples of R replicas, A actions; P parameters per replica with log_std at `ls_off`.
#[derive(Clone, Debug)]
pub struct Spec {
    pub r: usize,
    pub m: usize,
    pub a: usize,
    pub p: usize,
    pub ls_off: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, a: 6, p: 17, ls_off: 5 };

/// A replica's ε of the clip and weight of the entropy.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    pub clip_eps: f64,
    pub ent_coef: f64,
}

impl Hyper {
    /// The replica's row of `hyper` `[R]`.
    pub fn row(&self) -> [f32; 2] {
        [self.clip_eps as f32, self.ent_coef as f32]
    }
}

/// Behind the A gradients of log_std, a row of `terms` holds these.
pub const TERMS: [&str; 4] = ["pg_loss", "approx_kl", "clipfrac", "entropy"];

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, a, .. } = spec;
    // An action's z, log-probability, entropy and two gradients; a sample's ratio and the clipped surrogate.
    let sample = a * (2 + 5 + 2 + 5) + (13 + EXP);
    Cost::new(r * (m * sample + a * EXP), r * (a + 2) + r * m * (4 * a + 6))
}

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("P", s.p).u32("A", s.a)
}

/// `hyper` `[R]`, `params` `[R, P]`, `mean`, `mb_action` `[R, M, A]`, `mb_scalars` `[R, M]` of (old logprob, advantage,
/// return, old value), `stats` `[R]`; `d_mean` `[R, M, A]` = d loss / d mean, `terms` `[R, M, A+4]`: the sample's part
/// of d loss / d log_std (A, with its 1/M and the entropy's part), then per-sample policy loss, k3 estimate of KL,
/// whether the ratio is outside the clip range, entropy (without 1/M).
#[expect(clippy::too_many_arguments, reason = "the kernel's buffers in binding order")]
pub fn ppo_policy_loss_cpu<F: Real + Send + Sync>(
    s: &Spec,
    hyper: &[Hyper],
    params: &[F],
    mean: &[F],
    mb_action: &[F],
    mb_scalars: &[[F; 4]],
    stats: &[[F; 2]],
    d_mean: &mut [F],
    terms: &mut [F],
) {
    let a = s.a;
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let half_ln_2pi = F::splat(0.918_938_533_204_672_7);
    let per_sample = one / F::splat(s.m as f64);
    let log_std: Vec<F> = params.chunks_exact(s.p).flat_map(|p| p[s.ls_off..][..a].iter().copied()).collect();
    let inverse_std: Vec<F> = log_std.iter().map(|&ls| (-ls).exp()).collect();

    let rows = d_mean.par_chunks_mut(a).zip(terms.par_chunks_mut(a + 4)).enumerate();
    rows.with_min_len(256).for_each(|(i, (d_mean, terms))| {
        let r = i / s.m;
        let (clip, ent_coef) = (F::splat(hyper[r].clip_eps), F::splat(hyper[r].ent_coef));
        let (log_std, inverse_std) = (&log_std[r * a..][..a], &inverse_std[r * a..][..a]);
        let (mean, action) = (&mean[i * a..][..a], &mb_action[i * a..][..a]);
        let (mut logp, mut entropy) = (zero, zero);
        for k in 0..a {
            let z = (action[k] - mean[k]) * inverse_std[k];
            logp += -half * (z * z) - log_std[k] - half_ln_2pi;
            entropy += log_std[k] + (half + half_ln_2pi);
        }
        let [logp_old, advantage, ..] = mb_scalars[i];
        let log_ratio = logp - logp_old;
        let ratio = log_ratio.exp();
        let adv = (advantage - stats[r][0]) * stats[r][1];
        let free = -adv * ratio;
        let clipped = -adv * ratio.max(one - clip).min(one + clip);
        let outside = clip.lt((ratio - one).abs());
        // The clamp has slope 1 inside and 0 outside, where only the free branch passes a gradient.
        let g = F::select(F::mask_and(outside, free.lt(clipped)), zero, free) * per_sample;
        for k in 0..a {
            let z = (action[k] - mean[k]) * inverse_std[k];
            d_mean[k] = g * z * inverse_std[k];
            terms[k] = g * (z * z - one) - ent_coef * per_sample;
        }
        terms[a] = free.max(clipped);
        terms[a + 1] = (ratio - one) - log_ratio;
        terms[a + 2] = F::select(outside, one, zero);
        terms[a + 3] = entropy;
    });
}

host! {
    PpoPolicyLoss, PpoPolicyLossBound;
    fits |gpu, spec| {
        let &Spec { a, p, ls_off, .. } = spec;
        assert!(ls_off + a <= p, "log_std at {ls_off}..+{a} of {p} parameters");
        check_trips(gpu, "ppo_policy_loss", 2 * a)
    };
    /// Shapes as in [`ppo_policy_loss_cpu`]; `hyper` holds the rows of [`Hyper`].
    bind |&Spec { r, m, a, p, .. }| {
        params: f32 = of_len(r * p),
        mean: f32 = of_len(r * m * a),
        mb_action: f32 = of_len(r * m * a),
        mb_scalars: [f32; 4] = of_len(r * m),
        stats: [f32; 2] = of_len(r),
        hyper: [f32; 2] = of_len(r),
        d_mean: f32 = of_len(r * m * a),
        terms: f32 = of_len(r * m * (a + 4)),
    }
    record |s| fold_groups(s.r * s.m, WG), with [s.m as u32, s.ls_off as u32];
}

/// Inputs of a minibatch on the GPU's side of a check or of golden vectors.
#[derive(Clone, Default)]
pub struct Inputs {
    pub params: Vec<f32>,
    pub mean: Vec<f32>,
    pub action: Vec<f32>,
    pub scalars: Vec<[f32; 4]>,
    pub stats: Vec<[f32; 2]>,
}

/// Runs the shader once: (d_mean, terms).
pub fn ppo_policy_loss_gpu(
    gpu: &Gpu,
    s: &Spec,
    hyper: &[Hyper],
    x: &Inputs,
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let rows: Vec<_> = hyper.iter().map(Hyper::row).collect();
    bind!(gpu, bound = PpoPolicyLoss::new(gpu, s)?; params = x.params, mean = x.mean, mb_action = x.action,
        mb_scalars = x.scalars, stats = x.stats, hyper = rows, d_mean[s.r * s.m * s.a], terms[s.r * s.m * (s.a + 4)]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&d_mean)?, gpu.read(&terms)?))
}

/// Numbers of `r` replicas, each its own. Representable in f32, so that twin and shader use the same.
pub fn sample_hyper(r: usize) -> Vec<Hyper> {
    let replicas = (0..r).map(|r| r as f32);
    replicas
        .map(|r| Hyper { clip_eps: f64::from(0.2 + 0.01 * r), ent_coef: f64::from(0.01 * (1.0 + r)) })
        .collect()
}

/// (old logprob, advantage, return, old value) of a sample whose action now has `logp`, 1e-3 away from the edges of its
/// clip range.
pub(super) fn sample_scalars(draw: &mut Sample, logp: f64, clip_eps: f64) -> [f32; 4] {
    let mut log_ratio = draw.unit() - 0.5;
    if ((log_ratio.exp() - 1.0).abs() - clip_eps).abs() < 1e-3 {
        log_ratio = 0.5 * (1.0 - clip_eps).ln();
    }
    let [advantage, ret, value] = draw.normals(2.0);
    [(logp - log_ratio) as f32, advantage, ret, value]
}

/// A minibatch whose log-ratios spread over (−0.5, 0.5) but keep 1e-3 away from the edges of the clip range, where f32
/// and f64 may rightly take different branches. Parameters that are not log_std are NaN.
pub fn sample_inputs(s: &Spec, hyper: &[Hyper], seed: u32) -> Inputs {
    let n = s.r * s.m;
    let mut draw = Sample::new(seed, 5);
    let mut params = vec![f32::NAN; s.r * s.p];
    for p in params.chunks_exact_mut(s.p) {
        p[s.ls_off..][..s.a].copy_from_slice(&draw.uniform(s.a, -1.0, 0.5));
    }
    let mean = draw.normal(n * s.a, 1.0);
    let noise = draw.normal(n * s.a, 1.0);
    let log_std = |i: usize| params[i / s.a / s.m * s.p + s.ls_off + i % s.a];
    let action: Vec<f32> = (0..n * s.a).map(|i| mean[i] + log_std(i).exp() * noise[i]).collect();
    let scalars = (0..n)
        .map(|i| {
            let logp: f64 = (i * s.a..(i + 1) * s.a)
                .map(|k| {
                    let ls = f64::from(log_std(k));
                    let z = f64::from(action[k] - mean[k]) * (-ls).exp();
                    -0.5 * z * z - ls - 0.918_938_533_204_672_7
                })
                .sum();
            sample_scalars(&mut draw, logp, hyper[i / s.m].clip_eps)
        })
        .collect();
    let stats = draw.uniform(s.r, 0.3, 0.9).into_iter().map(|inverse| [inverse - 0.6, inverse]).collect();
    Inputs { params, mean, action, scalars, stats }
}

/// Shader against f64 twin.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let n = s.r * s.m;
    let hyper = sample_hyper(s.r);
    let x = sample_inputs(s, &hyper, seed);
    let (params, mean, action) = (widen(&x.params), widen(&x.mean), widen(&x.action));
    let (mut d_mean, mut terms) = (vec![0f64; n * s.a], vec![0f64; n * (s.a + 4)]);
    let (scalars, stats) = (widen_rows(&x.scalars), widen_rows(&x.stats));
    ppo_policy_loss_cpu(s, &hyper, &params, &mean, &action, &scalars, &stats, &mut d_mean, &mut terms);
    let (got_d_mean, got_terms) = ppo_policy_loss_gpu(gpu, s, &hyper, &x)?;

    // The magnitude that a log-probability is the sum of, and with it the scales of what is made from it.
    let ls = |i: usize, k: usize| params[i / s.m * s.p + s.ls_off + k];
    let z2 = |i: usize, k: usize| ((action[i * s.a + k] - mean[i * s.a + k]) * (-ls(i, k)).exp()).powi(2);
    let magnitude: Vec<f64> = (0..n)
        .map(|i| 1.0 + (0..s.a).map(|k| 0.5 * z2(i, k) + ls(i, k).abs() + 0.919).sum::<f64>())
        .collect();
    let width = s.a + 4;
    let d_mean_scale: Vec<f64> = d_mean.iter().enumerate().map(|(i, d)| d * magnitude[i / s.a]).collect();
    let mut rows = vec![compare_scaled("d_mean", &got_d_mean, &d_mean, &d_mean_scale, TOL)];
    let mut term = |name: &str, c: usize, scale: &dyn Fn(usize, f64) -> f64, tol: Tol| {
        let want = column(&terms, width, c);
        let scale: Vec<f64> = want.iter().enumerate().map(|(i, &w)| scale(i, w)).collect();
        rows.push(compare_scaled(name, &column(&got_terms, width, c), &want, &scale, tol));
    };
    let bonus = |i: usize| hyper[i / s.m].ent_coef / s.m as f64;
    for k in 0..s.a {
        // z² − 1 cancels, and the entropy's part is added: relative to the sum of their magnitudes.
        let scale = |i: usize, w: f64| {
            let g = ((w + bonus(i)) / (z2(i, k) - 1.0)).abs();
            g * (z2(i, k) + 1.0) * magnitude[i] + bonus(i)
        };
        term(&format!("d log_std {k}"), k, &scale, TOL);
    }
    term(TERMS[0], s.a, &|i, w| w * magnitude[i], TOL);
    term(TERMS[1], s.a + 1, &|i, _| magnitude[i], TOL);
    term(
        TERMS[2],
        s.a + 2,
        &|_, _| 0.0,
        Tol { abs: 0.0, rel: 0.0, why: "no ratio is near an edge of the clip range" },
    );
    term(TERMS[3], s.a + 3, &|i, _| magnitude[i], TOL);
    Ok(rows)
}
