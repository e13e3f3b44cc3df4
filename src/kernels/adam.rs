//! adam: one step of Adam (Kingma & Ba 2015) as `torch.optim.Adam` does it, eps after the bias-corrected square root, no weight decay,
//! after clipping the gradient's norm as `torch.nn.utils.clip_grad_norm_` does, group by group.
//!
//! A replica one of whose norms is NaN or infinite is left untouched (parameters and moments): its gradient is no direction to go, and
//! its neighbours in the batch are not concerned. Whoever reports must look at the norms; a replica that stays so has diverged.

use super::compare::{Comparison, Tol, compare_scaled};
use super::cost::Cost;
use super::inputs::{normal, widen};
use crate::gpu::{Bound, Buf, Gpu, GpuError, Kernel, Prelude, Source, fold_groups};
use crate::num::real::Real;

pub const SHADER: Source = shader!("shaders/", "adam");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of the magnitudes each moment is a sum of; of |p|/8 + 4 steps for parameters: two divisions of 2.5 ulp, a root and the clipping factor, squared in v",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// Group 0 = parameters before `split`, group 1 = the others.
    pub split: usize,
}

/// Hyper-parameters of one replica.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    /// Learning rate of each parameter group.
    pub lr: [f64; 2],
    /// Largest norm of a group's gradient; 0 or less: no clipping.
    pub max_norm: f64,
    /// The betas may differ between replicas only as far as the bias corrections, which all replicas of a dispatch share, still fit.
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

impl Hyper {
    /// The replica's row of `hyper` `[R, 8]`: lr of both groups, max_norm, beta1, beta2, eps, 1 − beta1, 1 − beta2. The last two are
    /// subtracted here in f64, since 1 − 0.999 in f32 is off by 1e-5 of itself.
    pub fn row<F: Real<Elem = F>>(&self) -> [F; 8] {
        let Hyper { lr, max_norm, beta1, beta2, eps } = *self;
        [lr[0], lr[1], max_norm, beta1, beta2, eps, 1.0 - beta1, 1.0 - beta2].map(F::splat)
    }

    /// The arguments of step `t` = 1, 2, …
    pub fn args(&self, t: u64) -> Args {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        Args { bias_correction1: correction(self.beta1), bias_correction2: correction(self.beta2) }
    }
}

/// What changes from one step to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// 1 − beta1^t
    pub bias_correction1: f64,
    /// 1 − beta2^t
    pub bias_correction2: f64,
}

/// `params` `[R, P]`, `grads` `[R, P]` before clipping, `norms` `[R, 2]` (see `grad_norm`), `m` and `v` `[R, P]`, `hyper` `[R, 8]` (see
/// [`Hyper::row`]).
#[allow(clippy::too_many_arguments, reason = "the bindings, in order")]
pub fn adam_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    at: &Args,
    params: &mut [F],
    grads: &[F],
    norms: &[F],
    m: &mut [F],
    v: &mut [F],
    hyper: &[F],
) {
    let finite = |x: F| x.abs().lt(F::splat(f64::INFINITY));
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let (bc1, bc2) = (F::splat(at.bias_correction1), F::splat(at.bias_correction2));
    for r in 0..spec.r {
        let norms = &norms[2 * r..][..2];
        let [lr0, lr1, max_norm, beta1, beta2, eps, rest1, rest2] = std::array::from_fn(|k| hyper[8 * r + k]);
        if !finite(norms[0]) || !finite(norms[1]) {
            continue;
        }
        for p in 0..spec.p {
            let i = r * spec.p + p;
            let (lr, norm) = if p < spec.split { (lr0, norms[0]) } else { (lr1, norms[1]) };
            let mut g = grads[i];
            if zero.lt(max_norm) {
                g *= one.min(max_norm / (norm + F::splat(1e-6)));
            }
            m[i] = beta1 * m[i] + rest1 * g;
            v[i] = beta2 * v[i] + rest2 * (g * g);
            params[i] -= lr * (m[i] / bc1) / ((v[i] / bc2).sqrt() + eps);
        }
    }
}

/// What a step must do that clips.
pub fn cost(spec: &Spec) -> Cost {
    // An element: clipping 1, first moment 3, second 4, step 7; all but the gradient is read and written.
    Cost::new(15 * spec.r * spec.p, spec.r * (7 * spec.p + 2 + 8))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, p, split } = spec;
    Prelude::new().u32("WG", WG).u32("R", r).u32("P", p).u32("SPLIT", split)
}

/// The compiled kernel.
pub struct Adam {
    spec: Spec,
    kernel: Kernel,
}

impl Adam {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        let &Spec { p, split, .. } = spec;
        assert!(split <= p, "adam: the second group starts at {split} of {p} parameters");
        Ok(Adam { spec: *spec, kernel: gpu.kernel(&SHADER, &prelude(spec))? })
    }

    /// `params`, `grads`, `m`, `v` `[R, P]`; `norms` `[R, 2]`; `hyper` `[R, 8]`.
    #[allow(clippy::too_many_arguments, reason = "the bindings, in order")]
    pub fn bind(
        &self,
        gpu: &Gpu,
        params: &Buf<f32>,
        grads: &Buf<f32>,
        norms: &Buf<f32>,
        m: &Buf<f32>,
        v: &Buf<f32>,
        hyper: &Buf<f32>,
    ) -> AdamBound {
        let Spec { r, p, .. } = self.spec;
        for (buf, len) in
            [(params, r * p), (grads, r * p), (norms, r * 2), (m, r * p), (v, r * p), (hyper, r * 8)]
        {
            assert_eq!(
                buf.len(),
                len,
                "'{}' of shape {:?} does not fit {:?}",
                buf.label,
                buf.shape,
                self.spec
            );
        }
        let bound = self.kernel.bind(gpu, &[&params.raw, &grads.raw, &norms.raw, &m.raw, &v.raw, &hyper.raw]);
        AdamBound { spec: self.spec, bound }
    }
}

/// The kernel with its buffers.
pub struct AdamBound {
    spec: Spec,
    bound: Bound,
}

impl AdamBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let imm = [at.bias_correction1, at.bias_correction2].map(|c| (c as f32).to_bits());
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.p, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs, at step 3. Replica 0 does not clip; from two replicas on, the last has diverged (its
/// second norm is NaN) and must come out as it went in.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, p, split } = spec;
    let n = r * p;
    let [params, grads, m] =
        [(0, 1.0), (1, 0.3), (2, 0.1)].map(|(which, sigma)| normal(seed, which, n, sigma));
    let v: Vec<f32> = normal(seed, 3, n, 0.1).iter().map(|x| x * x).collect();
    let hyper = |r: usize| Hyper {
        lr: [3e-4 * (r + 1) as f64, 1e-3],
        max_norm: if r == 0 { 0.0 } else { 0.5 },
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-5,
    };
    let at = hyper(0).args(3);
    let rows: Vec<f32> = (0..r).flat_map(|r| hyper(r).row::<f32>()).collect();
    let mut norms: Vec<f32> = (0..r).flat_map(|r| [1.7 + r as f32, 0.1]).collect();
    if r > 1 {
        norms[2 * r - 1] = f32::NAN;
    }

    let [mut p64, g64, norms64, mut m64, mut v64, h64] =
        [&params, &grads, &norms, &m, &v, &rows].map(|x| widen(x));
    let (mut p_scale, mut m_scale, mut v_scale) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let judge = Args {
        bias_correction1: at.bias_correction1 as f32 as f64,
        bias_correction2: at.bias_correction2 as f32 as f64,
    };
    let live = if r > 1 { n - p } else { n };
    let (before_p, before_m) = (p64.clone(), m64.clone());
    adam_cpu(spec, &judge, &mut p64, &g64, &norms64, &mut m64, &mut v64, &h64);
    // The diverged replica keeps scale 0: no difference is allowed.
    for i in 0..live {
        let lr = h64[8 * (i / p) + usize::from(i % p >= split)];
        m_scale[i] = 0.9 * before_m[i].abs() + 0.1 * g64[i].abs();
        v_scale[i] = v64[i];
        let step =
            lr * m_scale[i] / judge.bias_correction1 / ((v64[i] / judge.bias_correction2).sqrt() + 1e-5);
        p_scale[i] = before_p[i].abs() / 8.0 + 4.0 * step;
    }

    let kernel = Adam::new(gpu, spec)?;
    let params = gpu.upload("adam.params", &[r, p], &params)?;
    let grads = gpu.upload("adam.grads", &[r, p], &grads)?;
    let norms = gpu.upload("adam.norms", &[r, 2], &norms)?;
    let m = gpu.upload("adam.m", &[r, p], &m)?;
    let v = gpu.upload("adam.v", &[r, p], &v)?;
    let hyper = gpu.upload("adam.hyper", &[r, 8], &rows)?;
    let bound = kernel.bind(gpu, &params, &grads, &norms, &m, &v, &hyper);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![
        compare_scaled("params", &gpu.read(&params)?, &p64, &p_scale, TOL),
        compare_scaled("m", &gpu.read(&m)?, &m64, &m_scale, TOL),
        compare_scaled("v", &gpu.read(&v)?, &v64, &v_scale, TOL),
    ])
}
