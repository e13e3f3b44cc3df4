//! dense_forward_f16: y = act(x Wᵀ + b) for every replica with its own weights, x and W rounded to f16, products and
//! sums in f32. A precision of its own: what it computes is not what `dense_forward` computes, and results say which it
//! was.
//!
//! The product of two f16 is exact in f32, so fused and separate multiply-adds agree, and with the sum's order fixed
//! only the rounding of the operands tells it from the twin. The parameters stay f32 and are rounded as they are
//! staged.

use super::common::*;
use super::dense_forward::{self, DenseForward, DenseForwardBound};
use super::tile::Tile;
use crate::nets::Activation;
use crate::num::real::half::{f16_bits, f16_value, round_f16};
use bytemuck::Pod;

pub use dense_forward::Args;

pub const SHADER: Source = shader!("shaders/", "dense_forward_f16");

pub const TOL: Tol = Tol {
    abs: 3e-7,
    rel: 1e-6,
    why: "as dense_forward on the rounded operands: rel of sum|x w| + |b|, 16 half-ulps of the sum of magnitudes; abs: tanh to 1.3 ulp of 1. Stored as f16, half an ulp of that more",
};

/// Half an ulp of an f16: of a number, and of the small ones.
const HALF_ULP: f64 = 1.0 / 2048.0;
const HALF_STEP: f64 = 1.0 / (1 << 25) as f64;

/// What a matrix lies in memory as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    F32,
    F16,
}

impl Stored {
    fn wgsl(self) -> &'static str {
        match self {
            Stored::F32 => "f32",
            Stored::F16 => "f16",
        }
    }
    fn bytes(self) -> usize {
        match self {
            Stored::F32 => 4,
            Stored::F16 => 2,
        }
    }
}

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// I: inputs.
    pub i: usize,
    /// O: outputs.
    pub o: usize,
    /// P: parameters of a replica.
    pub p: usize,
    pub act: Activation,
    /// Of x; if f32, it is rounded as it is staged.
    pub x: Stored,
    /// Of y.
    pub y: Stored,
}

/// `params` `[R, P]`, `x` `[R, m, I]` from `x_off`, `y` `[R, m, O]` from `y_off`, the latter rounded if it is stored as
/// f16.
pub fn dense_forward_f16_cpu<F: Real<Elem = F> + Into<f64>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    x: &[F],
    y: &mut [F],
) {
    let &Spec { r, i, o, p, act, .. } = spec;
    // Operands are f32 to begin with, so that narrowing them first does not round twice.
    let rounded = |v: F| F::splat(f64::from(round_f16(v.into() as f32)));
    let x = &x[at.x_off..][..r * at.m * i];
    let y = &mut y[at.y_off..][..r * at.m * o];
    for (row, (x, y)) in x.chunks_exact(i).zip(y.chunks_exact_mut(o)).enumerate() {
        let params = &params[row / at.m * p..][..p];
        for (j, y) in y.iter_mut().enumerate() {
            let w = &params[at.w_off + j * i..][..i];
            let mut sum = F::splat(0.0);
            for (&x, &w) in x.iter().zip(w) {
                sum += rounded(x) * rounded(w);
            }
            let out = act.apply(sum + params[at.b_off + j]);
            *y = if spec.y == Stored::F16 { rounded(out) } else { out };
        }
    }
}

/// What a dispatch over all M rows must do: the operations of `dense_forward`, and half the bytes of what is stored as
/// f16.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, act, .. } = spec;
    let bytes = 4 * r * o * (i + 1) + r * m * (i * spec.x.bytes() + o * spec.y.bytes());
    Cost { flops: Some((r * m * o * (2 * i + 1 + act.operations())) as f64), bytes: bytes as f64 }
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { m, i, o, p, act, x, y, .. } = spec;
    let sizes = Prelude::new().u32("P", p).u32("I", i).u32("O", o).u32("ACT", act.code()).f32("B_SCALE", 1.0);
    Tile::choose(m, o).prelude_f16(sizes.alias("X", x.wgsl()).alias("Y", y.wgsl()))
}

/// The compiled kernel; serves every layer of the same sizes, whatever its offsets.
pub struct DenseForwardF16 {
    spec: Spec,
    layer: DenseForward,
}

impl DenseForwardF16 {
    /// Errors on adapters without f16 in shaders.
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        if !gpu.features.contains(wgpu::Features::SHADER_F16) {
            return Err(GpuError::Unsupported {
                adapter: gpu.info.name.clone(),
                what: "f16 in shaders (SHADER_F16)".into(),
            });
        }
        let &Spec { r, m, i, o, p, act, .. } = spec;
        let layer = dense_forward::Spec { r, m, i, o, p, act, b_scale: 1.0 };
        let layer = DenseForward::compile(gpu, &SHADER, &layer, &prelude(spec))?;
        Ok(DenseForwardF16 { spec: *spec, layer })
    }

    /// `params` `[R, P]`; `x` and `y`, f32 or the bits of f16, hold whatever the offsets of `record` point into.
    pub fn bind<X: Pod, Y: Pod>(
        &self,
        gpu: &Gpu,
        params: &Buf<f32>,
        x: &Buf<X>,
        y: &Buf<Y>,
    ) -> DenseForwardBound {
        let spec = &self.spec;
        assert_eq!(
            (size_of::<X>(), size_of::<Y>()),
            (spec.x.bytes(), spec.y.bytes()),
            "dense_forward_f16: x and y are not stored as {spec:?} says"
        );
        self.layer.bind(gpu, params, x, y)
    }
}

/// A matrix on the device in either form.
enum Matrix {
    F32(Buf<f32>),
    F16(Buf<u16>),
}

impl Matrix {
    /// `values`, and room for `more`.
    fn new(gpu: &Gpu, stored: Stored, label: &str, values: &[f32], more: usize) -> Result<Matrix, GpuError> {
        // Writes are whole words.
        let len = (values.len() + more).next_multiple_of(2);
        let mut values = values.to_vec();
        values.resize(values.len().next_multiple_of(2), 0.0);
        Ok(match stored {
            Stored::F32 => {
                let buf = gpu.alloc(label, &[len], Fill::Poison)?;
                gpu.write(&buf, &values);
                Matrix::F32(buf)
            }
            Stored::F16 => {
                let buf = gpu.alloc(label, &[len], Fill::Poison)?;
                gpu.write(&buf, &values.iter().map(|&v| f16_bits(v)).collect::<Vec<_>>());
                Matrix::F16(buf)
            }
        })
    }

    fn read(&self, gpu: &Gpu, len: usize) -> Result<Vec<f32>, GpuError> {
        let mut all = match self {
            Matrix::F32(buf) => gpu.read(buf)?,
            Matrix::F16(buf) => gpu.read(buf)?.into_iter().map(f16_value).collect(),
        };
        all.truncate(len);
        Ok(all)
    }
}

/// Runs the shader once. `params` `[R, P]`, `x` from `at.x_off`; the y behind `at.y_off` elements that hold zeros.
pub fn dense_forward_f16_gpu(
    gpu: &Gpu,
    spec: &Spec,
    at: &Args,
    params: &[f32],
    x: &[f32],
) -> Result<Vec<f32>, GpuError> {
    let kernel = DenseForwardF16::new(gpu, spec)?;
    let params = gpu.upload("dense_forward_f16.params", &[spec.r, spec.p], params)?;
    let len = at.y_off + spec.r * at.m * spec.o;
    let x = Matrix::new(gpu, spec.x, "dense_forward_f16.x", x, 0)?;
    let y = Matrix::new(gpu, spec.y, "dense_forward_f16.y", &vec![0.0; at.y_off], len - at.y_off)?;
    let bound = match (&x, &y) {
        (Matrix::F32(x), Matrix::F32(y)) => kernel.bind(gpu, &params, x, y),
        (Matrix::F32(x), Matrix::F16(y)) => kernel.bind(gpu, &params, x, y),
        (Matrix::F16(x), Matrix::F32(y)) => kernel.bind(gpu, &params, x, y),
        (Matrix::F16(x), Matrix::F16(y)) => kernel.bind(gpu, &params, x, y),
    };
    gpu.run(|pass| bound.record(pass, at))?;
    y.read(gpu, len)
}

/// Shader against f64 twin on the same inputs, and on lavapipe against the bits of the f32 twin where nothing follows
/// the sum but what is exact. The layer lies at the end of the P parameters, x and y behind 4 and 8 other elements,
/// which the kernel must neither use nor touch.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, .. } = spec;
    let at = Args { m, w_off: p - o * i - o, b_off: p - o, x_off: 4, y_off: 8 };
    // Devices may flush f16 below 2⁻¹⁴ to 0, so none are used here.
    let flushed = |x: Vec<f32>| -> Vec<f32> {
        let least = 1.0 / (1 << 14) as f32;
        x.into_iter().map(|x| if x.abs() < least { 0.0 } else { x }).collect()
    };
    let params = flushed(normal(seed, 0, r * p, 1.0 / (i as f64).sqrt()));
    let mut x = flushed(normal(seed, 1, at.x_off + r * m * i, 1.0));
    if spec.x == Stored::F16 {
        x.iter_mut().for_each(|x| *x = round_f16(*x));
    }
    let (params64, x64) = (widen(&params), widen(&x));

    // The judge does not round what comes out: that costs half an ulp, whichever way it falls.
    let judge = Spec { y: Stored::F32, ..*spec };
    let len = at.y_off + r * m * o;
    let mut want = vec![0.0; len];
    dense_forward_f16_cpu(&judge, &at, &params64, &x64, &mut want);
    // The same sum with magnitudes bounds the rounding of each term; |act'| ≤ 1 keeps the bound.
    let mut scale = vec![0.0; len];
    let linear = Spec { act: Activation::None, ..judge };
    dense_forward_f16_cpu(&linear, &at, &magnitudes(&params64), &magnitudes(&x64), &mut scale);
    let mut tol = TOL;
    if spec.y == Stored::F16 {
        tol.abs += HALF_STEP;
        for (scale, want) in scale.iter_mut().zip(&want) {
            *scale += want.abs() * HALF_ULP / tol.rel;
        }
    }

    let got = dense_forward_f16_gpu(gpu, spec, &at, &params, &x)?;
    let mut rows = vec![compare_scaled("y", &got, &want, &scale, tol)];
    if spec.act != Activation::Tanh {
        let mut twin = vec![0.0; len];
        dense_forward_f16_cpu(spec, &at, &params, &x, &mut twin);
        rows.extend(compare_bits(gpu, "y", &got, &twin));
    }
    Ok(rows)
}
