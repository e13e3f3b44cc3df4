//! philox_fill: blocks of Philox4x32-10 in counter order (Salmon et al., SC'11). Integers: exact on every device.

use super::compare::{Comparison, compare_exact};
use super::cost::Cost;
use crate::gpu::{Fill, Gpu, GpuError, Prelude, Source, fold_groups};
use crate::num::philox::philox4x32_10;

pub const SHADER: Source = shader!("shaders/", "philox_fill");

pub const WG: usize = 64;

#[derive(Clone, Debug)]
pub struct Spec {
    /// Number of blocks of four words.
    pub blocks: usize,
}

pub const DEFAULT: Spec = Spec { blocks: 4099 };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, 4 * spec.blocks + 6)
}

pub fn prelude(_: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG)
}

/// `start_key` = counter (lowest word first) and key; `out` `[N, 4]`.
pub fn philox_fill_cpu(start_key: &[u32; 6], out: &mut [[u32; 4]]) {
    let [c0, c1, c2, c3, k0, k1] = *start_key;
    let start = u128::from(c0) | u128::from(c1) << 32 | u128::from(c2) << 64 | u128::from(c3) << 96;
    for (i, block) in out.iter_mut().enumerate() {
        let c = start.wrapping_add(i as u128);
        *block = philox4x32_10([c as u32, (c >> 32) as u32, (c >> 64) as u32, (c >> 96) as u32], [k0, k1]);
    }
}

/// Runs the shader.
pub fn philox_fill_gpu(gpu: &Gpu, start_key: &[u32; 6], blocks: usize) -> Result<Vec<[u32; 4]>, GpuError> {
    let kernel = gpu.kernel(&SHADER, &prelude(&Spec { blocks }))?;
    let start = gpu.upload("philox_fill.start_key", &[6], start_key)?;
    let out = gpu.alloc::<[u32; 4]>("philox_fill.out", &[blocks], Fill::Poison)?;
    let bound = kernel.bind(gpu, &[&start.raw, &out.raw]);
    gpu.run(|pass| bound.record(pass, fold_groups(blocks, WG), &[]))?;
    gpu.read(&out)
}

/// Shader against twin; the counter carries into its second word on the way.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let start_key = [u32::MAX - 7, u32::MAX, 5, 6, seed, 0xABCD_0123];
    let mut want = vec![[0; 4]; spec.blocks];
    philox_fill_cpu(&start_key, &mut want);
    let got = philox_fill_gpu(gpu, &start_key, spec.blocks)?;
    Ok(vec![compare_exact("out", got.as_flattened(), want.as_flattened())])
}
