//! grad_norm: the Euclidean norm of every replica's gradient, per parameter group, for clipping in `adam`.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "grad_norm");

pub const WG: usize = 256;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "256 interleaved sums of squares: for up to a million parameters a random walk of 2^-24 steps stays under 1e-6 of the sum, the root halves it",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// Group 0 = parameters before `split`, group 1 = the others; either may be empty (norm 0).
    pub split: usize,
    /// Both entries hold the norm over all parameters (one optimiser over everything).
    pub joint: bool,
}

/// `grads` `[R, P]`, `norms` `[R, 2]`.
pub fn grad_norm_cpu<F: Real<Elem = F>>(spec: &Spec, grads: &[F], norms: &mut [F]) {
    let squares = |g: &[F]| {
        let mut sum = F::splat(0.0);
        g.iter().for_each(|&g| sum += g * g);
        sum
    };
    for (grads, norms) in grads.chunks_exact(spec.p).zip(norms.chunks_exact_mut(2)).take(spec.r) {
        let (a, b) = (squares(&grads[..spec.split]), squares(&grads[spec.split..]));
        let (a, b) = if spec.joint { (a + b, a + b) } else { (a, b) };
        norms[0] = a.sqrt();
        norms[1] = b.sqrt();
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    let sums = 2 + usize::from(spec.joint);
    Cost::new(spec.r * (2 * spec.p + sums), spec.r * (spec.p + 2))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { p, split, joint, .. } = spec;
    Prelude::new().u32("WG", WG).u32("P", p).u32("SPLIT", split).u32("JOINT", usize::from(joint))
}

host! {
    GradNorm, GradNormBound;
    fits |gpu, &Spec { r, p, split, .. }| {
        assert!(split <= p, "grad_norm: the second group starts at {split} of {p} parameters");
        check_groups(gpu, "grad_norm", &[r])?;
        check_trips(gpu, "grad_norm", p.div_ceil(WG) + 2 + Reduce::TRIPS)
    };
    /// `grads` `[R, P]`, `norms` `[R, 2]`.
    bind |spec| { grads: f32 = of_len(spec.r * spec.p), norms: f32 = of_len(spec.r * 2) }
    record |spec| [spec.r as u32, 1, 1];
}

/// Shader against f64 twin on the same f32 inputs, in each form of the sum over a workgroup.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, spec, seed))
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, p, .. } = spec;
    let grads = normal(seed, 0, r * p, 0.1);
    let mut want = vec![f64::NAN; r * 2];
    grad_norm_cpu(spec, &widen(&grads), &mut want);

    bind!(gpu, bound = GradNorm::new(gpu, spec)?; grads, norms[2 * r]);
    gpu.run(|pass| bound.record(pass))?;
    Ok(vec![compare("norms", &gpu.read(&norms)?, &want, TOL)])
}
