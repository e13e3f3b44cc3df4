//! expert_mix: outputs of two experts mixed by a softmax gate, y = g₀·a + g₁·b with g = softmax(z).

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "expert_mix");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of |a| + |b|: two exponentials to a few ulps, a division of 2.5 ulp, two products and a sum",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// C: outputs of an expert.
    pub c: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 100, c: 260 };

/// Softmax of one row of the gate.
pub fn shares<F: Real<Elem = F>>(z: [F; 2]) -> [F; 2] {
    let top = z[0].max(z[1]);
    let e = z.map(|z| (z - top).exp());
    e.map(|x| x / (e[0] + e[1]))
}

/// `gate` `[R, m]` of z for both experts; `a`, `b`, `y` `[R, m, C]`.
pub fn expert_mix_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    m: usize,
    gate: &[[F; 2]],
    a: &[F],
    b: &[F],
    y: &mut [F],
) {
    let rows = y.chunks_exact_mut(spec.c).zip(a.chunks_exact(spec.c).zip(b.chunks_exact(spec.c)));
    for ((y, (a, b)), z) in rows.zip(gate).take(spec.r * m) {
        let g = shares(*z);
        for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
            *y = g[0] * a + g[1] * b;
        }
    }
}

/// Operations of [`shares`].
pub(super) const SHARES: usize = 1 + 2 * (1 + EXP) + 1 + 2;

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let rows = spec.r * spec.m;
    Cost::new(rows * (SHARES + 3 * spec.c), rows * (2 + 3 * spec.c))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("C", spec.c)
}

host! {
    ExpertMix, ExpertMixBound;
    /// `gate` `[R, M, 2]`; `a`, `b`, `y` `[R, M, C]`.
    bind |&Spec { r, m, c }| {
        gate: f32 = of_len(r * m * 2),
        a: f32 = of_len(r * m * c),
        b: f32 = of_len(r * m * c),
        y: f32 = of_len(r * m * c),
    }
}

impl ExpertMixBound {
    /// `m` rows of each replica.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        let Spec { r, m: most, c } = self.spec;
        assert!((1..=most).contains(&m), "expert_mix: {m} rows, compiled for 1..={most}");
        self.bound.record(pass, fold_groups(r * m * c, WG), &[m as u32]);
    }
}

/// Gate rows as the twin takes them.
pub(super) fn pairs(x: &[f32]) -> Vec<[f64; 2]> {
    x.chunks_exact(2).map(|z| [f64::from(z[0]), f64::from(z[1])]).collect()
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, c } = spec;
    let gate = normal(seed, 0, r * m * 2, 3.0);
    let [a, b] = [1, 2].map(|which| normal(seed, which, r * m * c, 1.0));
    let mut want = vec![f64::NAN; r * m * c];
    expert_mix_cpu(spec, m, &pairs(&gate), &widen(&a), &widen(&b), &mut want);
    let scale: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs() + b.abs())).collect();
    bind!(gpu, bound = ExpertMix::new(gpu, spec)?; gate, a, b, y[r * m * c]);
    gpu.run(|pass| bound.record(pass, m))?;
    Ok(vec![compare_scaled("y", &gpu.read(&y)?, &want, &scale, TOL)])
}
