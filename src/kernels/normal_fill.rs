//! normal_fill: standard normals from blocks of Philox4x32-10 in counter order, by Box–Muller; four per block.

use super::common::*;
use super::philox_fill::philox_fill_cpu;
use rayon::prelude::*;

pub const SHADER: Source = shader!("shaders/", "normal_fill");

pub const WG: usize = 64;

/// Relative to [`radius_condition`].
pub const TOL: Tol = Tol {
    abs: 1.5e-6,
    rel: 6.1e-8,
    why: "a radius up to 5.9 times a sine of absolute error 1.2e-7, plus ½ ulp (6e-8) of a uniform number near 1, which the logarithm \
          and the root turn into 6e-8/radius",
};

#[derive(Clone, Debug)]
pub struct Spec {
    /// Number of blocks of four words.
    pub blocks: usize,
}

pub const DEFAULT: Spec = Spec { blocks: 4099 };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(2 * NORMAL_PAIR * spec.blocks, 4 * spec.blocks + 6)
}

pub fn prelude(_: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG)
}

/// d radius / d u at u = 1, for each of the normals `z`, which stand in pairs (r cos φ, r sin φ); finite at radius 0,
/// where u = 1 − 2⁻²⁵ of 25 bits is 1 in f32.
pub fn radius_condition(z: &[f64]) -> Vec<f64> {
    z.chunks_exact(2).flat_map(|p| [1.0 / p[0].hypot(p[1]).max(2f64.powi(-12)); 2]).collect()
}

/// `start_key` = counter (lowest word first) and key; `out` `[N, 4]`.
pub fn normal_fill_cpu<F: Real<Word = u32> + Send + Sync>(start_key: &[u32; 6], out: &mut [[F; 4]]) {
    let mut words = vec![[0u32; 4]; out.len()];
    philox_fill_cpu(start_key, &mut words);
    out.par_iter_mut().zip(words).with_min_len(4096).for_each(|(z, w)| {
        let ((z0, z1), (z2, z3)) = (F::normal_pair(w[0], w[1]), F::normal_pair(w[2], w[3]));
        *z = [z0, z1, z2, z3];
    });
}

host! {
    NormalFill, NormalFillBound;
    /// `start_key` `[6]`, `out` `[N]` of four normals; the number of blocks is the length of `out`.
    bind |_| { start_key: u32 = of_len(6), out: [f32; 4] }
    record |spec| fold_groups(spec.blocks, WG);
}

/// Runs the shader once.
pub fn normal_fill_gpu(gpu: &Gpu, start_key: &[u32; 6], blocks: usize) -> Result<Vec<[f32; 4]>, GpuError> {
    bind!(gpu, bound = NormalFill::new(gpu, &Spec { blocks })?; start_key, out[blocks]);
    gpu.run(|pass| bound.record(pass))?;
    gpu.read(&out)
}

/// Shader against f64 twin and, where the device rounds as the twins, against the bits of the f32 twin.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let start_key = [u32::MAX - 7, u32::MAX, 5, 6, seed, 0xABCD_0124];
    let mut want = vec![[0f64; 4]; s.blocks];
    normal_fill_cpu(&start_key, &mut want);
    let got = normal_fill_gpu(gpu, &start_key, s.blocks)?;
    let want = want.as_flattened();
    let mut rows = vec![compare_scaled("out", got.as_flattened(), want, &radius_condition(want), TOL)];
    if gpu.rounds_as_twins() {
        let mut twin = vec![[0f32; 4]; s.blocks];
        normal_fill_cpu(&start_key, &mut twin);
        rows.push(compare_words("bits of the f32 twin", got.as_flattened(), twin.as_flattened()));
    }
    Ok(rows)
}
