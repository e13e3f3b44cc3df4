//! grad_reduce: adds the slices of `dense_backward_weights` (and of any other kernel that writes partial gradients) in
//! a fixed order.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "grad_reduce");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|partial|: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// S: slices.
    pub s: usize,
}

/// `partials` `[S, R, P]`, `grads` `[R, P]`.
pub fn grad_reduce_cpu<F: Real<Elem = F>>(spec: &Spec, partials: &[F], grads: &mut [F]) {
    let n = spec.r * spec.p;
    let grads = &mut grads[..n];
    grads.fill(F::splat(0.0));
    for slice in partials.chunks_exact(n).take(spec.s) {
        for (g, &x) in grads.iter_mut().zip(slice) {
            *g += x;
        }
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(spec.s * spec.r * spec.p, (spec.s + 1) * spec.r * spec.p)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("N", spec.r * spec.p).u32("S", spec.s)
}

host! {
    GradReduce, GradReduceBound;
    fits |gpu, spec| check_trips(gpu, "grad_reduce", spec.s);
    /// `partials` `[S, R, P]`, `grads` `[R, P]`.
    bind |&Spec { r, p, s }| { partials: f32 = of_len(s * r * p), grads: f32 = of_len(r * p) }
    record |spec| fold_groups(spec.r * spec.p, WG);
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, p, s } = spec;
    let partials = normal(seed, 0, s * r * p, 1.0);
    let partials64 = widen(&partials);
    let (mut want, mut scale) = (vec![0.0; r * p], vec![0.0; r * p]);
    grad_reduce_cpu(spec, &partials64, &mut want);
    grad_reduce_cpu(spec, &magnitudes(&partials64), &mut scale);

    bind!(gpu, bound = GradReduce::new(gpu, spec)?; partials, grads[r * p]);
    gpu.run(|pass| bound.record(pass))?;
    Ok(vec![compare_scaled("grads", &gpu.read(&grads)?, &want, &scale, TOL)])
}
