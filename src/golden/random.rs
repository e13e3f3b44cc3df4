//! philox.safetensors and box_muller.safetensors: blocks of words, and uniform and normal numbers made of them.

use super::{Backend, GoldenError, Rows, Vectors};
use crate::gpu::{Gpu, GpuError};
use crate::kernels::compare::{compare_exact, compare_scaled};
use crate::kernels::{math_eval, normal_fill, philox_fill};
use crate::num::real::Real;

pub(super) fn philox(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    const DIGEST_BLOCKS: usize = 1 << 20;
    let mut rows = Rows::default();
    let [known, _] = v.dims("kat.ctr")?;
    let [long, _] = v.dims("run.out")?;
    let [carry, _] = v.dims("carry.out")?;
    let start = |ctr: &[u32], key: &[u32]| -> [u32; 6] { [ctr[0], ctr[1], ctr[2], ctr[3], key[0], key[1]] };
    let key = v.u32("run.key", &[2])?;
    let run_start = start(&v.u32("run.start", &[4])?, &key);
    let carry_start = start(&v.u32("carry.start", &[4])?, &key);
    let (ctr, kat_key) = (v.u32("kat.ctr", &[known, 4])?, v.u32("kat.key", &[known, 2])?);

    let cpu = |start: &[u32; 6], n: usize| {
        let mut out = vec![[0; 4]; n];
        philox_fill::philox_fill_cpu(start, &mut out);
        Ok(out)
    };
    // Integers: the twin is one for f64 and f32, and counts as the former.
    type Blocks<'a> = &'a dyn Fn(&[u32; 6], usize) -> Result<Vec<[u32; 4]>, GpuError>;
    let mut on = |backend: Backend, blocks: Blocks| -> Result<(), GoldenError> {
        let mut kat = Vec::new();
        for (c, k) in ctr.chunks(4).zip(kat_key.chunks(2)) {
            kat.extend(blocks(&start(c, k), 1)?);
        }
        let mut exact = |name: &str, got: &[u32], shape: &[usize]| -> Result<(), GoldenError> {
            rows.push(backend, compare_exact(name, got, &v.u32(name, shape)?));
            Ok(())
        };
        exact("kat.out", kat.as_flattened(), &[known, 4])?;
        exact("carry.out", blocks(&carry_start, carry)?.as_flattened(), &[carry, 4])?;
        let run = blocks(&run_start, DIGEST_BLOCKS.max(long))?;
        exact("run.out", run[..long].as_flattened(), &[long, 4])?;
        let words = run[..DIGEST_BLOCKS].as_flattened();
        exact("digest.xor", &[words.iter().fold(0, |a, w| a ^ w)], &[1])?;
        exact("digest.sum", &[words.iter().fold(0u32, |a, w| a.wrapping_add(*w))], &[1])?;
        exact("digest.last", &run[DIGEST_BLOCKS - 1], &[4])
    };
    on(Backend::CpuF64, &cpu)?;
    if let Some(gpu) = gpu {
        on(Backend::Gpu, &|start, n| philox_fill::philox_fill_gpu(gpu, start, n))?;
    }
    Ok(rows)
}

pub(super) fn box_muller(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    for prefix in v.cases("x1")? {
        let name = |t: &str| format!("{prefix}{t}");
        let [n] = v.dims(&name("x1"))?;
        let (x1, x2) = (v.u32(&name("x1"), &[n])?, v.u32(&name("x2"), &[n])?);
        let words: Vec<[u32; 2]> = x1.iter().copied().zip(x2.iter().copied()).map(<[u32; 2]>::from).collect();
        for (u, x) in [("u1", &x1), ("u2", &x2)] {
            let exact: Vec<f64> = x.iter().map(|&w| f64::unit_from_word(w)).collect();
            rows.tensor(v, Backend::CpuF64, &name(u), &exact, 0.0)?;
            let bits: Vec<u32> = x.iter().map(|&w| f32::unit_from_word(w).to_bits()).collect();
            let want: Vec<u32> = v.f32(&name(u), &[n])?.into_iter().map(f32::to_bits).collect();
            rows.push(Backend::CpuF32, compare_exact(&name(u), &bits, &want));
        }

        let pair = math_eval::Spec { function: math_eval::Function::NormalPair, n };
        let mut exact = vec![[0f64; 2]; n];
        math_eval::math_eval_cpu(&pair, &words, &mut exact);
        for (c, z) in ["z0", "z1"].into_iter().enumerate() {
            rows.tensor(v, Backend::CpuF64, &name(z), &exact.iter().map(|p| p[c]).collect::<Vec<_>>(), 0.0)?;
        }
        let (z0, z1) = (v.f32(&name("z0"), &[n])?, v.f32(&name("z1"), &[n])?);
        let want: Vec<f64> = z0.iter().zip(&z1).flat_map(|(a, b)| [f64::from(*a), f64::from(*b)]).collect();
        let scale = normal_fill::radius_condition(&want);
        let mut pairs = |backend, what: &str, got: &[[f32; 2]]| {
            let quantity = format!("{prefix}z0, z1{what}");
            rows.push(
                backend,
                compare_scaled(&quantity, got.as_flattened(), &want, &scale, normal_fill::TOL),
            );
        };
        let mut twin = vec![[0f32; 2]; n];
        math_eval::math_eval_cpu(&pair, &words, &mut twin);
        pairs(Backend::CpuF32, "", &twin);
        if let Some(gpu) = gpu {
            pairs(Backend::Gpu, "", &math_eval::math_eval_gpu(gpu, &pair, &words)?);
        }
        // The words without a prefix are those of the file's key, counters from 0.
        if prefix.is_empty() && n % 2 == 0 {
            let key = v.u32("key", &[2])?;
            let start = [0, 0, 0, 0, key[0], key[1]];
            let mut blocks = vec![[0f32; 4]; n / 2];
            normal_fill::normal_fill_cpu(&start, &mut blocks);
            pairs(Backend::CpuF32, " from the key", blocks.as_flattened().as_chunks().0);
            if let Some(gpu) = gpu {
                let blocks = normal_fill::normal_fill_gpu(gpu, &start, n / 2)?;
                pairs(Backend::Gpu, " from the key", blocks.as_flattened().as_chunks().0);
            }
        }
    }
    Ok(rows)
}
