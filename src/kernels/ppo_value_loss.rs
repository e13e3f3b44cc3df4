//! ppo_value_loss: PPO's value loss, clipped around the old value or not, and its gradient (CleanRL's formula).
//!
//! `v_loss = mean over M of ½(V − ret)²`, or clipped `½ max((V − ret)², (V_old + clamp(V − V_old, −ε, ε) − ret)²)`; where the clipped
//! branch is larger outside the clip range, no gradient passes.

use super::compare::{Comparison, Tol, compare_scaled};
use super::cost::Cost;
use super::inputs::{Sample, widen, widen_rows};
use crate::gpu::{Bound, Buf, Fill, Gpu, GpuError, Kernel, Prelude, Source, fold_groups};
use crate::num::real::Real;
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
    /// Values behind each replica's samples that belong to none: the slot behind a sequence ([`crate::learn::recurrent`]).
    pub tail: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 1009, tail: 7 };

/// The weight of the value loss in the gradient, and the clip's ε if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    pub vf_coef: f64,
    pub clip_eps: Option<f64>,
}

/// What a dispatch must do that does not clip.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, tail } = spec;
    Cost::new(5 * r * m, r * (4 * m + tail))
}

pub fn prelude(_: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG)
}

/// `value` `[R, M+tail]`, `mb_scalars` `[R, M]` of (old logprob, advantage, return, old value); `d_value` `[R, M+tail]` = vf_coef · d v_loss / dV
/// (with its 1/M; 0 in the tail), `terms_v` `[R, M, 1]` = the sample's term of v_loss (without 1/M).
pub fn ppo_value_loss_cpu<F: Real + Send + Sync>(
    s: &Spec,
    hyper: Hyper,
    value: &[F],
    mb_scalars: &[[F; 4]],
    d_value: &mut [F],
    terms_v: &mut [F],
) {
    let [zero, half, one, coef] = [0.0, 0.5, 1.0, hyper.vf_coef].map(F::splat);
    let per_sample = one / F::splat(s.m as f64);
    let replicas = d_value.chunks_exact_mut(s.m + s.tail).zip(value.chunks_exact(s.m + s.tail));
    let samples = terms_v.chunks_exact_mut(s.m).zip(mb_scalars.chunks_exact(s.m));
    let one_sample = |((d, term), (&v, &[_, _, ret, old])): ((&mut F, &mut F), (&F, &[F; 4]))| {
        let error = v - ret;
        let (mut square, mut slope) = (error * error, error);
        if let Some(eps) = hyper.clip_eps.map(F::splat) {
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
    for ((d_value, value), (terms_v, mb_scalars)) in replicas.zip(samples) {
        d_value[s.m..].fill(zero);
        let rows = d_value.par_iter_mut().zip(terms_v).zip(value.par_iter().zip(mb_scalars));
        rows.with_min_len(4096).for_each(one_sample);
    }
}

/// The compiled kernel.
pub struct PpoValueLoss {
    kernel: Kernel,
    spec: Spec,
}

/// The kernel with its buffers.
pub struct PpoValueLossBound {
    bound: Bound,
    spec: Spec,
}

impl PpoValueLoss {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<PpoValueLoss, GpuError> {
        Ok(PpoValueLoss { kernel: gpu.kernel(&SHADER, &prelude(spec))?, spec: spec.clone() })
    }

    /// Shapes as in [`ppo_value_loss_cpu`].
    pub fn bind(
        &self,
        gpu: &Gpu,
        value: &Buf<f32>,
        mb_scalars: &Buf<[f32; 4]>,
        d_value: &Buf<f32>,
        terms_v: &Buf<f32>,
    ) -> PpoValueLossBound {
        let (n, values) = (self.spec.r * self.spec.m, self.spec.r * (self.spec.m + self.spec.tail));
        let buffers = [value.of_len(values), mb_scalars.of_len(n), d_value.of_len(values), terms_v.of_len(n)];
        PpoValueLossBound { bound: self.kernel.bind(gpu, &buffers), spec: self.spec.clone() }
    }
}

impl PpoValueLossBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, hyper: Hyper) {
        let s = &self.spec;
        let eps = hyper.clip_eps.unwrap_or(0.0) as f32;
        let immediates = [
            s.m,
            s.tail,
            (hyper.vf_coef as f32).to_bits() as usize,
            usize::from(hyper.clip_eps.is_some()),
            eps.to_bits() as usize,
        ];
        self.bound.record(pass, fold_groups(s.r * (s.m + s.tail), WG), &immediates.map(|x| x as u32));
    }
}

/// Runs the shader once: (d_value, terms_v).
pub fn ppo_value_loss_gpu(
    gpu: &Gpu,
    s: &Spec,
    hyper: Hyper,
    value: &[f32],
    mb_scalars: &[[f32; 4]],
) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let d_value = gpu.alloc("ppo_value_loss.d_value", &[s.r, s.m + s.tail], Fill::Poison)?;
    let terms_v = gpu.alloc("ppo_value_loss.terms_v", &[s.r, s.m, 1], Fill::Poison)?;
    let value = gpu.upload("ppo_value_loss.value", &[s.r, s.m + s.tail], value)?;
    let scalars = gpu.upload("ppo_value_loss.mb_scalars", &[s.r, s.m], mb_scalars)?;
    let bound = PpoValueLoss::new(gpu, s)?.bind(gpu, &value, &scalars, &d_value, &terms_v);
    gpu.run(|pass| bound.record(pass, hyper))?;
    Ok((gpu.read(&d_value)?, gpu.read(&terms_v)?))
}

/// Values and scalars that keep 1e-3 away from the places where the clipped loss changes its branch (`clip_eps` from the old value, and
/// both squares equal), where f32 and f64 may rightly disagree. Columns that must not be read are NaN.
pub fn sample_inputs(s: &Spec, clip_eps: f64, seed: u32) -> (Vec<f32>, Vec<[f32; 4]>) {
    let mut draw = Sample::new(seed, 6);
    let one = |_| loop {
        let [v, ret, step] = draw.normal(3, 1.0)[..] else { unreachable!("three numbers were drawn") };
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
    // Representable in f32, so that twin and shader use the same numbers.
    let eps = f64::from(0.2f32);
    let (value, scalars) = sample_inputs(s, eps, seed);
    let (wide_value, wide_scalars) = (widen(&value), widen_rows(&scalars));
    let (n, values) = (s.r * s.m, s.r * (s.m + s.tail));
    let mut rows = Vec::new();
    for clip_eps in [None, Some(eps)] {
        let hyper = Hyper { vf_coef: 0.5, clip_eps };
        let (mut d_value, mut terms_v) = (vec![f64::NAN; values], vec![0f64; n]);
        ppo_value_loss_cpu(s, hyper, &wide_value, &wide_scalars, &mut d_value, &mut terms_v);
        let (got_d, got_terms) = ppo_value_loss_gpu(gpu, s, hyper, &value, &scalars)?;
        let own = wide_value.chunks(s.m + s.tail).flat_map(|row| &row[..s.m]);
        let size: Vec<f64> =
            own.zip(&wide_scalars).map(|(v, x)| v.abs() + x[2].abs() + x[3].abs() + eps).collect();
        // In the tail nothing but 0 will do.
        let mut d_scale = vec![0.0; values];
        for (to, from) in d_scale.chunks_mut(s.m + s.tail).zip(size.chunks(s.m)) {
            to.iter_mut().zip(from).for_each(|(d, m)| *d = m * hyper.vf_coef / s.m as f64);
        }
        let term_scale: Vec<f64> = size.iter().zip(&terms_v).map(|(m, t)| t + m * t.sqrt()).collect();
        let name = if clip_eps.is_some() { "clipped" } else { "free" };
        rows.push(compare_scaled(&format!("d_value, {name}"), &got_d, &d_value, &d_scale, TOL));
        rows.push(compare_scaled(&format!("terms_v, {name}"), &got_terms, &terms_v, &term_scale, TOL));
    }
    Ok(rows)
}
