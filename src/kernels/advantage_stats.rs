//! advantage_stats: mean and 1/(std + 1e-8) of the advantages of a minibatch, per replica; what `ppo_policy_loss`
//! normalises with.
//!
//! The standard deviation is the unbiased one (n−1: torch, CleanRL) or the biased one (n: jnp, purejaxrl); a single
//! sample has none (0). Without normalisation the result is (0, 1).

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "advantage_stats");

/// Threads of the one workgroup of a replica; a power of two.
pub const WG: usize = 256;

pub const TOL: Tol = Tol {
    abs: 0.0,
    rel: 5e-7,
    why: "a sum of M numbers rounds M/256 + 8 times in fixed order (6e-8 each, random signs), relative to the mean magnitude",
};

/// Minibatches of M samples of R replicas.
#[derive(Clone, Debug)]
pub struct Spec {
    pub r: usize,
    pub m: usize,
    /// n−1 instead of n under the sum of squares.
    pub unbiased: bool,
    /// `false`: the statistics are (0, 1), so that advantages are used as they are.
    pub normalise: bool,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, unbiased: true, normalise: true };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    if !spec.normalise {
        return Cost::new(0, 2 * spec.r);
    }
    // Of each element: into the mean; difference, square and sum. Only the advantage of a row is read.
    Cost::new(spec.r * (4 * spec.m + 5), spec.r * (spec.m + 2))
}

pub fn prelude(s: &Spec) -> Prelude {
    let p = Prelude::new().u32("WG", WG).u32("R", s.r).u32("M", s.m);
    p.u32("UNBIASED", s.unbiased.into()).u32("NORMALISE", s.normalise.into())
}

/// Sums `term(0..m)` in the order of the shader: WG strided partial sums, then a tree.
fn tree_sum<F: Real>(m: usize, term: impl Fn(usize) -> F) -> F {
    let mut part = [F::splat(0.0); WG];
    for i in 0..m {
        part[i % WG] += term(i);
    }
    let mut half = WG / 2;
    while half > 0 {
        for lane in 0..half {
            let other = part[lane + half];
            part[lane] += other;
        }
        half /= 2;
    }
    part[0]
}

/// `mb_scalars` `[R, M]` of (old logprob, advantage, return, old value); `stats` `[R]` of (mean, 1/(std + 1e-8)).
pub fn advantage_stats_cpu<F: Real>(s: &Spec, mb_scalars: &[[F; 4]], stats: &mut [[F; 2]]) {
    for (row, out) in mb_scalars.chunks_exact(s.m).zip(stats) {
        if !s.normalise {
            *out = [F::splat(0.0), F::splat(1.0)];
            continue;
        }
        let mean = tree_sum(s.m, |i| row[i][1]) / F::splat(s.m as f64);
        let squares = tree_sum(s.m, |i| {
            let d = row[i][1] - mean;
            d * d
        });
        let variance = squares / F::splat((s.m - usize::from(s.unbiased)).max(1) as f64);
        *out = [mean, F::splat(1.0) / (variance.sqrt() + F::splat(1e-8))];
    }
}

host! {
    AdvantageStats, AdvantageStatsBound;
    fits |gpu, spec| check_trips(gpu, "advantage_stats", 2 * (spec.m.div_ceil(WG) + Reduce::TRIPS));
    /// Shapes as in [`advantage_stats_cpu`].
    bind |&Spec { r, m, .. }| { mb_scalars: [f32; 4] = of_len(r * m), stats: [f32; 2] = of_len(r) }
    record |spec| fold_groups(spec.r, 1);
}

/// Runs the shader once.
pub fn advantage_stats_gpu(gpu: &Gpu, s: &Spec, mb_scalars: &[[f32; 4]]) -> Result<Vec<[f32; 2]>, GpuError> {
    bind!(gpu, bound = AdvantageStats::new(gpu, s)?; mb_scalars, stats[s.r]);
    gpu.run(|pass| bound.record(pass))?;
    gpu.read(&stats)
}

/// Shader against f64 twin, in each form of the sum over a workgroup.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, s, seed))
}

fn check_form(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut draw = Sample::new(seed, 4);
    // The other columns must not enter.
    let scalars: Vec<[f32; 4]> = draw
        .normal(s.r * s.m, 3.0)
        .into_iter()
        .map(|adv| [f32::NAN, adv + 0.7, f32::NAN, f32::NAN])
        .collect();
    let mut want = vec![[0f64; 2]; s.r];
    advantage_stats_cpu(s, &widen_rows(&scalars), &mut want);
    let got = advantage_stats_gpu(gpu, s, &scalars)?;
    let magnitude: Vec<f64> = scalars
        .chunks_exact(s.m)
        .map(|row| row.iter().map(|v| f64::from(v[1].abs())).sum::<f64>() / s.m as f64)
        .collect();
    let (got, want) = (got.as_flattened(), want.as_flattened());
    let inverse = column(want, 2, 1);
    // A deviation is a difference from the mean, which is known to a rounding of the magnitude.
    let condition: Vec<f64> = inverse.iter().zip(&magnitude).map(|(i, m)| i * (1.0 + m * i)).collect();
    Ok(vec![
        compare_scaled("mean", &column(got, 2, 0), &column(want, 2, 0), &magnitude, TOL),
        compare_scaled("1/std", &column(got, 2, 1), &inverse, &condition, TOL),
    ])
}
