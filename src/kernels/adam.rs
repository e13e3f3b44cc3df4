//! adam: one step of Adam (Kingma & Ba 2015) as `torch.optim.Adam` does it, eps after the bias-corrected square root,
//! no weight decay, after clipping the gradient's norm as `torch.nn.utils.clip_grad_norm_` does, group by group.
//!
//! A replica one of whose norms is NaN or infinite is left untouched (parameters and moments): its gradient is no
//! direction to go, and its neighbours in the batch are not concerned. Whoever reports must look at the norms; a
//! replica that stays so has diverged.
//!
//! Its second form is paced: rate, bias corrections and whether the step counts come from each replica's [`Pace`]
//! (`kl_control`), and some parameters, the logarithms of standard deviations, are clamped behind the step.

use super::common::*;
use super::kl_control::Pace;

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
    /// The betas may differ between replicas only as far as the bias corrections, which all replicas of a dispatch
    /// share, still fit.
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

impl Hyper {
    /// The replica's row of `hyper` `[R, 8]`: lr of both groups, max_norm, beta1, beta2, eps, 1 − beta1, 1 − beta2. The
    /// last two are subtracted here in f64, since 1 − 0.999 in f32 is off by 1e-5 of itself.
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

/// Parameters of a replica that stay between two numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Clamp {
    pub params: std::ops::Range<usize>,
    pub low: f64,
    pub high: f64,
}

impl Clamp {
    /// None.
    pub const NONE: Clamp = Clamp { params: 0..0, low: 0.0, high: 0.0 };
}

impl Args {
    /// Of the paced form, which takes nothing from here.
    pub const PACED: Args = Args { bias_correction1: 1.0, bias_correction2: 1.0 };
}

/// `params` `[R, P]`, `grads` `[R, P]` before clipping, `norms` `[R, 2]` (see `grad_norm`), `m` and `v` `[R, P]`,
/// `hyper` `[R, 8]` (see [`Hyper::row`]).
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
    let corrections = [F::splat(at.bias_correction1), F::splat(at.bias_correction2)];
    for r in 0..spec.r {
        if finite(norms[2 * r]) && finite(norms[2 * r + 1]) {
            replica_cpu(spec, r, F::splat(1.0), corrections, params, grads, norms, m, v, hyper);
        }
    }
}

/// The same at each replica's pace `[R, 8]`, with some of its parameters clamped.
#[allow(clippy::too_many_arguments, reason = "the bindings, in order")]
pub fn adam_paced_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    clamp: &Clamp,
    params: &mut [F],
    grads: &[F],
    norms: &[F],
    m: &mut [F],
    v: &mut [F],
    hyper: &[F],
    pace: &[Pace<F>],
) {
    for (r, pace) in pace.iter().enumerate().take(spec.r) {
        if F::splat(0.0).lt(pace.live) {
            replica_cpu(spec, r, pace.rate, pace.corrections, params, grads, norms, m, v, hyper);
            for x in &mut params[r * spec.p..][clamp.params.clone()] {
                *x = x.max(F::splat(clamp.low)).min(F::splat(clamp.high));
            }
        }
    }
}

/// The step of replica `r`, whose first group has this share of its rate.
#[allow(clippy::too_many_arguments, reason = "the bindings, in order")]
fn replica_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    r: usize,
    rate: F,
    [bc1, bc2]: [F; 2],
    params: &mut [F],
    grads: &[F],
    norms: &[F],
    m: &mut [F],
    v: &mut [F],
    hyper: &[F],
) {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let [lr0, lr1, max_norm, beta1, beta2, eps, rest1, rest2] = std::array::from_fn(|k| hyper[8 * r + k]);
    for p in 0..spec.p {
        let i = r * spec.p + p;
        let (lr, norm) = if p < spec.split { (lr0 * rate, norms[2 * r]) } else { (lr1, norms[2 * r + 1]) };
        let mut g = grads[i];
        if zero.lt(max_norm) {
            g *= one.min(max_norm / (norm + F::splat(1e-6)));
        }
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * (g * g);
        params[i] -= lr * (m[i] / bc1) / ((v[i] / bc2).sqrt() + eps);
    }
}

/// What a step must do that clips.
pub fn cost(spec: &Spec) -> Cost {
    // An element: clipping 1, first moment 3, second 4, step 7; all but the gradient is read and written.
    Cost::new(15 * spec.r * spec.p, spec.r * (7 * spec.p + 2 + 8))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    prelude_of(spec, None)
}

fn prelude_of(spec: &Spec, paced: Option<&Clamp>) -> Prelude {
    let &Spec { r, p, split } = spec;
    let Clamp { params, low, high } = paced.unwrap_or(&Clamp::NONE);
    Prelude::new()
        .u32("WG", WG)
        .u32("R", r)
        .u32("P", p)
        .u32("SPLIT", split)
        .u32("PACED", usize::from(paced.is_some()))
        .u32("CLAMP_FROM", params.start)
        .u32("CLAMP_TO", params.end)
        .f32("CLAMP_LOW", *low as f32)
        .f32("CLAMP_HIGH", *high as f32)
}

host! {
    Adam, AdamBound;
    fits |_, &Spec { p, split, .. }| {
        assert!(split <= p, "adam: the second group starts at {split} of {p} parameters");
        Ok(())
    };
    /// `params`, `grads`, `m`, `v` `[R, P]`; `norms` `[R, 2]`; `hyper` `[R, 8]`; of the paced form `pace` `[R, 8]`,
    /// else any buffer as long, such as `hyper`, which is not read.
    bind |&Spec { r, p, .. }| {
        params: f32 = of_len(r * p),
        grads: f32 = of_len(r * p),
        norms: f32 = of_len(2 * r),
        m: f32 = of_len(r * p),
        v: f32 = of_len(r * p),
        hyper: f32 = of_len(8 * r),
        pace: f32 = of_len(8 * r),
    }
}

impl Adam {
    /// The paced form.
    pub fn paced(gpu: &Gpu, spec: &Spec, clamp: &Clamp) -> Result<Self, GpuError> {
        let &Spec { p, split, .. } = spec;
        assert!(split <= p && clamp.params.end <= p, "adam: {split} and {clamp:?} of {p} parameters");
        Ok(Adam { spec: *spec, kernel: gpu.kernel(&SHADER, &prelude_of(spec, Some(clamp)))? })
    }
}

impl AdamBound {
    /// One step; in the paced form at what [`Args::PACED`] stands for.
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let imm = [at.bias_correction1, at.bias_correction2].map(|c| (c as f32).to_bits());
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.p, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs, at step 3, in both forms. Replica 0 does not clip; from two replicas
/// on, the last must come out as it went in: its second norm is NaN, and in the paced form its step does not count.
/// There, the others have a share of their rate, and a few parameters are clamped.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut rows = check_form(gpu, spec, seed, None)?;
    // From the middle of the first group into the second, and where a step ends up.
    let params = spec.split / 2..(spec.split / 2 + 8).min(spec.p);
    let clamp = Clamp { params, low: -0.25, high: 0.5 };
    rows.extend(super::named("paced", check_form(gpu, spec, seed, Some(&clamp))?));
    Ok(rows)
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32, paced: Option<&Clamp>) -> Result<Vec<Comparison>, GpuError> {
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
    let live = if r > 1 { n - p } else { n };
    if r > 1 && paced.is_none() {
        norms[2 * r - 1] = f32::NAN;
    }
    let pace: Vec<Pace<f32>> = (0..r)
        .map(|i| Pace {
            rate: if paced.is_some() { 1.0 / (i + 1) as f32 } else { 1.0 },
            live: if i * p < live { 1.0 } else { 0.0 },
            ..Pace::after(3, [0.9, 0.999])
        })
        .collect();

    let [mut p64, g64, norms64, mut m64, mut v64, h64] =
        [&params, &grads, &norms, &m, &v, &rows].map(|x| widen(x));
    let (mut p_scale, mut m_scale, mut v_scale) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let judge = Args {
        bias_correction1: at.bias_correction1 as f32 as f64,
        bias_correction2: at.bias_correction2 as f32 as f64,
    };
    let (before_p, before_m) = (p64.clone(), m64.clone());
    match paced {
        None => adam_cpu(spec, &judge, &mut p64, &g64, &norms64, &mut m64, &mut v64, &h64),
        Some(clamp) => {
            let pace64: Vec<Pace<f64>> = pace.iter().map(Pace::wide).collect();
            adam_paced_cpu(spec, clamp, &mut p64, &g64, &norms64, &mut m64, &mut v64, &h64, &pace64);
        }
    }
    // The replica that stays keeps scale 0: no difference is allowed.
    for i in 0..live {
        let rate = if i % p < split { f64::from(pace[i / p].rate) } else { 1.0 };
        let lr = rate * h64[8 * (i / p) + usize::from(i % p >= split)];
        m_scale[i] = 0.9 * before_m[i].abs() + 0.1 * g64[i].abs();
        v_scale[i] = v64[i];
        let step =
            lr * m_scale[i] / judge.bias_correction1 / ((v64[i] / judge.bias_correction2).sqrt() + 1e-5);
        p_scale[i] = before_p[i].abs() / 8.0 + 4.0 * step;
    }

    let kernel = match paced {
        None => Adam::new(gpu, spec)?,
        Some(clamp) => Adam::paced(gpu, spec, clamp)?,
    };
    let pace: Vec<f32> = pace.iter().flat_map(Pace::row).collect();
    bind!(gpu, bound = kernel; params, grads, norms, m, v, hyper = rows, pace);
    gpu.run(|pass| bound.record(pass, if paced.is_some() { &Args::PACED } else { &at }))?;
    Ok(vec![
        compare_scaled("params", &gpu.read(&params)?, &p64, &p_scale, TOL),
        compare_scaled("m", &gpu.read(&m)?, &m64, &m_scale, TOL),
        compare_scaled("v", &gpu.read(&v)?, &v64, &v_scale, TOL),
    ])
}
