//! ppo_value_loss: PPO's value loss, clipped around the old value or not, and its gradient (CleanRL's formula).
//!
//! `v_loss = mean over M of ½(V − ret)²`, or clipped `½ max((V − ret)², (V_old + clamp(V − V_old, −ε, ε) − ret)²)`;
//! where the clipped branch is larger outside the clip range, no gradient passes.

use super::common::*;
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "ppo_value_loss");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 0.0,
    rel: 1e-6,
    why: "a handful of roundings (6e-8 each) of |V| + |V_old| + |ret| + ε, times the error where it is squared",
};

/// Minibatches of M samples of R replicas.
#[derive(Clone, Debug)]
pub struct Spec {
    pub r: usize,
    pub m: usize,
    /// Values behind each replica's samples that belong to none: the slot behind a sequence
    /// ([`crate::learn::recurrent`]).
    pub tail: usize,
    /// Whether values are clipped around the old ones.
    pub clip: bool,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, tail: 7, clip: true };

/// A replica's weight of the value loss in the gradient, and ε of the clip where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    pub vf_coef: f64,
    pub clip_eps: f64,
}

impl Hyper {
    /// The replica's row of `hyper` `[R]`.
    pub fn row(&self) -> [f32; 2] {
        [self.vf_coef as f32, self.clip_eps as f32]
    }
}

/// What a dispatch must do that does not clip.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, tail, .. } = spec;
    Cost::new(5 * r * m, r * (4 * m + tail))
}

pub fn prelude(_: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG)
}

/// A value's gradient and term, the value, and the scalars of its sample.
type Row<'a, F> = ((&'a mut F, &'a mut F), (&'a F, &'a [F; 4]));

/// `hyper` `[R]`, `value` `[R, M+tail]`, `mb_scalars` `[R, M]` of (old logprob, advantage, return, old value);
/// `d_value` `[R, M+tail]` = vf_coef · d v_loss / dV (with its 1/M; 0 in the tail), `terms_v` `[R, M, 1]` = the
/// sample's term of v_loss (without 1/M).
pub fn ppo_value_loss_cpu<F: Real + Send + Sync>(
    s: &Spec,
    hyper: &[Hyper],
    value: &[F],
    mb_scalars: &[[F; 4]],
    d_value: &mut [F],
    terms_v: &mut [F],
) {
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let per_sample = one / F::splat(s.m as f64);
    let replicas = d_value.chunks_exact_mut(s.m + s.tail).zip(value.chunks_exact(s.m + s.tail));
    let samples = terms_v.chunks_exact_mut(s.m).zip(mb_scalars.chunks_exact(s.m));
    let one_sample = |[coef, eps]: [F; 2], ((d, term), (&v, &[_, _, ret, old])): Row<'_, F>| {
        let error = v - ret;
        let (mut square, mut slope) = (error * error, error);
        if s.clip {
            let step = v - old;
            let held = (old + step.max(-eps).min(eps)) - ret;
            // Inside the clip range both branches are the same function of V; outside, the clipped one is constant.
            let stopped = F::mask_and(eps.lt(step.abs()), square.lt(held * held));
            square = F::select(stopped, held * held, square);
            slope = F::select(stopped, zero, slope);
        }
        *d = coef * slope * per_sample;
        *term = half * square;
    };
    for (((d_value, value), (terms_v, mb_scalars)), h) in replicas.zip(samples).zip(hyper) {
        let numbers = [h.vf_coef, h.clip_eps].map(F::splat);
        d_value[s.m..].fill(zero);
        let rows = d_value.par_iter_mut().zip(terms_v).zip(value.par_iter().zip(mb_scalars));
        rows.with_min_len(4096).for_each(|row| one_sample(numbers, row));
    }
}

host! {
    PpoValueLoss, PpoValueLossBound;
    /// Shapes as in [`ppo_value_loss_cpu`]; `hyper` holds the rows of [`Hyper`].
    bind |&Spec { r, m, tail, .. }| {
        value: f32 = of_len(r * (m + tail)),
        mb_scalars: [f32; 4] = of_len(r * m),
        hyper: [f32; 2] = of_len(r),
        d_value: f32 = of_len(r * (m + tail)),
        terms_v: f32 = of_len(r * m),
    }
    record |s| fold_groups(s.r * (s.m + s.tail), WG), with [s.m as u32, s.tail as u32, s.clip.into()];
}

/// Runs the shader once: (d_value, terms_v).
pub fn ppo_value_loss_gpu(
    gpu: &Gpu,
    s: &Spec,
    hyper: &[Hyper],
    value: &[f32],
    mb_scalars: &[[f32; 4]],
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let rows: Vec<_> = hyper.iter().map(Hyper::row).collect();
    bind!(gpu, bound = PpoValueLoss::new(gpu, s)?; value, mb_scalars, hyper = rows, d_value[s.r * (s.m + s.tail)],
        terms_v[s.r * s.m]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&d_value)?, gpu.read(&terms_v)?))
}

/// Values and scalars that keep 1e-3 away from the places where the clipped loss changes its branch (`clip_eps` from
/// the old value, and both squares equal), where f32 and f64 may rightly disagree. Columns that must not be read are
/// NaN.
pub fn sample_inputs(s: &Spec, hyper: &[Hyper], seed: u32) -> (Vec<f32>, Vec<[f32; 4]>) {
    let mut draw = Sample::new(seed, 6);
    let one = |i: usize| loop {
        let clip_eps = hyper[i / s.m].clip_eps;
        let [v, ret, step] = draw.normals::<3>(1.0);
        let old = v - 0.4 * step;
        let (held, free) = (old + (v - old).clamp(-clip_eps as f32, clip_eps as f32) - ret, v - ret);
        let distance = f64::from((v - old).abs()) - clip_eps;
        if distance.abs() > 1e-3 && (distance < 0.0 || (held.abs() - free.abs()).abs() > 1e-3) {
            return (v, [f32::NAN, f32::NAN, ret, old]);
        }
    };
    let (value, scalars): (Vec<f32>, Vec<[f32; 4]>) = (0..s.r * s.m).map(one).unzip();
    let rows = value.chunks(s.m).map(|row| [row, &vec![f32::NAN; s.tail]].concat());
    (rows.collect::<Vec<_>>().concat(), scalars)
}

/// Shader against f64 twin, clipped and not.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    // Representable in f32, so that twin and shader use the same numbers; every replica has its own.
    let hyper: Vec<Hyper> = (0..s.r)
        .map(|r| r as f32)
        .map(|r| Hyper { vf_coef: f64::from(0.5 + 0.125 * r), clip_eps: f64::from(0.2 + 0.01 * r) })
        .collect();
    let (value, scalars) = sample_inputs(s, &hyper, seed);
    let (wide_value, wide_scalars) = (widen(&value), widen_rows(&scalars));
    let (n, values) = (s.r * s.m, s.r * (s.m + s.tail));
    let own = wide_value.chunks(s.m + s.tail).flat_map(|row| &row[..s.m]);
    let sizes = own.zip(&wide_scalars).enumerate();
    let size: Vec<f64> =
        sizes.map(|(i, (v, x))| v.abs() + x[2].abs() + x[3].abs() + hyper[i / s.m].clip_eps).collect();
    // In the tail nothing but 0 will do.
    let mut d_scale = vec![0.0; values];
    for ((to, from), h) in d_scale.chunks_mut(s.m + s.tail).zip(size.chunks(s.m)).zip(&hyper) {
        to.iter_mut().zip(from).for_each(|(d, m)| *d = m * h.vf_coef / s.m as f64);
    }
    let mut rows = Vec::new();
    for (clip, name) in [(false, "free"), (true, "clipped")] {
        let s = &Spec { clip, ..s.clone() };
        let (mut d_value, mut terms_v) = (vec![f64::NAN; values], vec![0f64; n]);
        ppo_value_loss_cpu(s, &hyper, &wide_value, &wide_scalars, &mut d_value, &mut terms_v);
        let (got_d, got_terms) = ppo_value_loss_gpu(gpu, s, &hyper, &value, &scalars)?;
        let term_scale: Vec<f64> = size.iter().zip(&terms_v).map(|(m, t)| t + m * t.sqrt()).collect();
        rows.push(compare_scaled(&format!("d_value, {name}"), &got_d, &d_value, &d_scale, TOL));
        rows.push(compare_scaled(&format!("terms_v, {name}"), &got_terms, &terms_v, &term_scale, TOL));
    }
    Ok(rows)
}
