//! grad_join: adds the gradient of a second loss to that of the first, and compares the two on the parameters that both
//! losses pass through: what gradients of schedule and beams do to each other on a shared trunk.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "grad_join");

pub const WG: usize = 256;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of the sums of magnitudes: 256 interleaved sums of products, random walks of 6e-8 steps; one rounding of a sum",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// P: parameters of a replica.
    pub p: usize,
}

/// `mask` `[P]` of 0 and 1, `other` `[R, P]`, `grads` `[R, P]`; `out` `[R, 3]` from element `out_off`: Σ a·b, Σ a², Σ
/// b² over the mask, a = `grads` before the sum and b = `other`.
pub fn grad_join_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    out_off: usize,
    mask: &[F],
    other: &[F],
    grads: &mut [F],
    out: &mut [F],
) {
    let rows = grads.chunks_exact_mut(spec.p).zip(other.chunks_exact(spec.p));
    for ((grads, other), out) in rows.zip(out[out_off..].chunks_exact_mut(3)).take(spec.r) {
        let mut s = [F::splat(0.0); 3];
        for ((a, &b), &mask) in grads.iter_mut().zip(other).zip(mask) {
            s[0] += mask * (*a * b);
            s[1] += mask * (*a * *a);
            s[2] += mask * (b * b);
            *a += b;
        }
        out.copy_from_slice(&s);
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(10 * spec.r * spec.p, spec.p + 3 * spec.r * spec.p + 3 * spec.r)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("P", spec.p)
}

host! {
    GradJoin, GradJoinBound;
    fits |gpu, &Spec { r, p }| {
        check_groups(gpu, "grad_join", &[r])?;
        check_trips(gpu, "grad_join", p.div_ceil(WG) + 2 + Reduce::TRIPS)
    };
    /// `mask` `[P]`; `other`, `grads` `[R, P]`; `out` holds whatever the offset of `record` points into.
    bind |&Spec { r, p }| {
        mask: f32 = of_len(p),
        other: f32 = of_len(r * p),
        grads: f32 = of_len(r * p),
        out: f32,
    }
}

impl GradJoinBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, out_off: usize) {
        assert!(out_off + 3 * self.spec.r <= self.out, "grad_join: out ends before {out_off} + 3R");
        self.bound.record(pass, [self.spec.r as u32, 1, 1], &[out_off as u32]);
    }
}

/// Shader against f64 twin on the same f32 inputs; what lies before the sums must stay. In each form of the sum over a
/// workgroup.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, spec, seed))
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (&Spec { r, p }, off) = (spec, 2);
    let [grads, other] = [0, 1].map(|which| normal(seed, which, r * p, 0.1));
    let mask: Vec<f32> = (0..p).map(|i| if i % 3 == 1 { 0.0 } else { 1.0 }).collect();
    let before = vec![2.5f32; off + 3 * r];
    let (mut want, mut out) = (widen(&grads), widen(&before));
    grad_join_cpu(spec, off, &widen(&mask), &widen(&other), &mut want, &mut out);
    let magnitude = |x: &[f32]| x.iter().map(|x| f64::from(x.abs())).collect::<Vec<_>>();
    let (mut sums, mut scale) = (magnitude(&grads), vec![0.0; off + 3 * r]);
    grad_join_cpu(spec, off, &widen(&mask), &magnitude(&other), &mut sums, &mut scale);

    bind!(gpu, bound = GradJoin::new(gpu, spec)?; mask, other, grads, out_buf = before);
    gpu.run(|pass| bound.record(pass, off))?;
    Ok(vec![
        compare_scaled("grads", &gpu.read(&grads)?, &want, &sums, TOL),
        compare_scaled("out", &gpu.read(&out_buf)?, &out, &scale, TOL),
    ])
}
