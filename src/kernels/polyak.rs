//! polyak: target networks follow the online ones, target ← τ·online + (1 − τ)·target (τ = 1 copies).

use super::common::*;
pub use crate::nets::dense::polyak_cpu;

pub const SHADER: Source = shader!("shaders/", "polyak");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2.4e-7,
    why: "of |online| + |target|: two products, a sum and 1 - tau, rounded to 6e-8 each",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// P: parameters of a replica.
    pub p: usize,
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(3 * spec.r * spec.p, spec.r + 3 * spec.r * spec.p)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("P", spec.p)
}

host! {
    Polyak, PolyakBound;
    /// `tau` `[R]`, `params` and `target` `[R, P]`.
    bind |&Spec { r, p }| { tau: f32 = of_len(r), params: f32 = of_len(r * p), target: f32 = of_len(r * p) }
    record |spec| fold_groups(spec.r * spec.p, WG);
}

/// Shader against f64 twin on the same f32 inputs: a small share, another one in each replica, and all.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, p } = spec;
    let (online, before) = (normal(seed, 0, r * p, 1.0), normal(seed, 1, r * p, 1.0));
    let scale: Vec<f64> = online.iter().zip(&before).map(|(a, b)| f64::from(a.abs() + b.abs())).collect();
    let small: Vec<f32> = (0..r).map(|r| 0.005 * (r + 1) as f32).collect();
    let mut rows = Vec::new();
    for (name, tau) in [("small shares", small), ("copies", vec![1.0; r])] {
        let mut want = widen(&before);
        for ((tau, online), want) in tau.iter().zip(widen(&online).chunks(p)).zip(want.chunks_mut(p)) {
            polyak_cpu(f64::from(*tau), online, want);
        }
        bind!(gpu, bound = Polyak::new(gpu, spec)?; tau, params = online, target = before);
        gpu.run(|pass| bound.record(pass))?;
        rows.push(compare_scaled(name, &gpu.read(&target)?, &want, &scale, TOL));
    }
    Ok(rows)
}
