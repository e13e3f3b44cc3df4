//! critic_input_backward: the gradient by a deterministic policy's network outputs z, out of the gradient by the
//! critic's input whose action part is μ = scale·tanh(z): dz = dx·scale·(1 − (μ/scale)²).

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "critic_input_backward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 6e-7,
    why: "of |dx|·scale: a division of 2.5 ulp, 1 - t^2 to one ulp of 1, two products",
};

/// Sizes, fixed when the kernel is compiled.
pub type Spec = super::critic_input::Spec;

pub const DEFAULT: Spec = super::critic_input::DEFAULT;

/// `x` `[R, M, O+A]` with μ behind the observations; `dx` `[R, M, O+A]`; `dz` `[R, M, A]`.
pub fn critic_input_backward_cpu<F: Real<Elem = F>>(spec: &Spec, scale: F, x: &[F], dx: &[F], dz: &mut [F]) {
    let &Spec { o, a, .. } = spec;
    for ((dz, x), dx) in dz.chunks_exact_mut(a).zip(x.chunks_exact(o + a)).zip(dx.chunks_exact(o + a)) {
        for ((dz, &x), &dx) in dz.iter_mut().zip(&x[o..]).zip(&dx[o..]) {
            let t = x / scale;
            *dz = dx * scale * (F::splat(1.0) - t * t);
        }
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, a, .. } = spec;
    Cost::new(5 * r * m * a, 3 * r * m * a)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    super::critic_input::prelude(spec)
}

host! {
    CriticInputBackward, CriticInputBackwardBound;
    /// Shapes as in [`critic_input_backward_cpu`].
    bind |&Spec { r, m, o, a }| {
        x: f32 = of_len(r * m * (o + a)),
        dx: f32 = of_len(r * m * (o + a)),
        dz: f32 = of_len(r * m * a),
    }
}

impl CriticInputBackwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, scale: f32) {
        let Spec { r, m, a, .. } = self.spec;
        self.bound.record(pass, fold_groups(r * m * a, WG), &[scale.to_bits()]);
    }
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, o, a } = spec;
    let scale = 2.5f32;
    let x: Vec<f32> = normal(seed, 0, r * m * (o + a), 1.0).iter().map(|z| scale * Real::tanh(*z)).collect();
    let dx = normal(seed, 1, r * m * (o + a), 1.0);
    let mut want = vec![f64::NAN; r * m * a];
    critic_input_backward_cpu(spec, f64::from(scale), &widen(&x), &widen(&dx), &mut want);
    let magnitude = |i: usize| f64::from(scale * dx[i / a * (o + a) + o + i % a].abs());
    let size: Vec<f64> = (0..want.len()).map(magnitude).collect();
    bind!(gpu, bound = CriticInputBackward::new(gpu, spec)?; x, dx, dz[r * m * a]);
    gpu.run(|pass| bound.record(pass, scale))?;
    Ok(vec![compare_scaled("dz", &gpu.read(&dz)?, &want, &size, TOL)])
}
