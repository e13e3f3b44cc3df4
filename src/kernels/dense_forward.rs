//! dense_forward: y = act(x Wᵀ + c·b) for every replica with its own weights; c = 1 but in the read-out of spikes. Also
//! the forward of any other dense map whose weights lie in the flat parameter vector.

use super::common::*;
use super::tile::Tile;
use crate::nets::Activation;
use bytemuck::Pod;

pub const SHADER: Source = shader!("shaders/", "dense_forward");

pub const TOL: Tol = Tol {
    abs: 3e-7,
    rel: 1e-6,
    why: "rel of sum|x w| + |b|: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes; abs: tanh to 1.3 ulp of 1",
};

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
    /// c: factor of the bias.
    pub b_scale: f64,
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Weight `[O, I]` inside a replica's parameters.
    pub w_off: usize,
    /// Bias `[O]` inside a replica's parameters.
    pub b_off: usize,
    /// Start of x `[R, m, I]` inside its buffer, such as a slot of a rollout.
    pub x_off: usize,
    /// Start of y `[R, m, O]` inside its buffer.
    pub y_off: usize,
}

/// `params` `[R, P]`, `x` `[R, m, I]` from `x_off`, `y` `[R, m, O]` from `y_off`.
pub fn dense_forward_cpu<F: Real<Elem = F>>(spec: &Spec, at: &Args, params: &[F], x: &[F], y: &mut [F]) {
    let &Spec { r, i, o, p, act, b_scale, .. } = spec;
    let x = &x[at.x_off..][..r * at.m * i];
    let y = &mut y[at.y_off..][..r * at.m * o];
    for (row, (x, y)) in x.chunks_exact(i).zip(y.chunks_exact_mut(o)).enumerate() {
        let params = &params[row / at.m * p..][..p];
        for (j, y) in y.iter_mut().enumerate() {
            let w = &params[at.w_off + j * i..][..i];
            let mut sum = F::splat(0.0);
            for (&x, &w) in x.iter().zip(w) {
                sum += x * w;
            }
            *y = act.apply(sum + F::splat(b_scale) * params[at.b_off + j]);
        }
    }
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, act, b_scale, .. } = spec;
    let bias = if b_scale == 1.0 { 1 } else { 2 };
    Cost::new(r * m * o * (2 * i + bias + act.operations()), r * o * (i + 1) + r * m * (i + o))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { m, i, o, p, act, b_scale, .. } = spec;
    let sizes = Prelude::new().u32("P", p).u32("I", i).u32("O", o);
    let sizes = sizes.u32("ACT", act.code()).f32("B_SCALE", b_scale as f32);
    Tile::choose(m, o).prelude(sizes.alias("X", "f32").alias("Y", "f32"))
}

/// The compiled kernel; serves every layer of the same sizes, whatever its offsets.
pub struct DenseForward {
    name: &'static str,
    spec: Spec,
    tile: Tile,
    kernel: Kernel,
}

impl DenseForward {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        Self::compile(gpu, &SHADER, spec, &prelude(spec))
    }

    /// The same layer as another kernel, of another precision.
    pub(super) fn compile(
        gpu: &Gpu,
        shader: &Source,
        spec: &Spec,
        prelude: &Prelude,
    ) -> Result<Self, GpuError> {
        let &Spec { r, m, i, o, .. } = spec;
        let name = shader.name;
        let tile = Tile::choose(m, o);
        check_groups(gpu, name, &[r, m.div_ceil(tile.bm)])?;
        check_trips(gpu, name, tile.trips(i))?;
        let kernel = gpu.kernel(shader, prelude)?;
        Ok(DenseForward { name, spec: *spec, tile, kernel })
    }

    /// `params` `[R, P]`; `x` and `y`, of whatever type the kernel was compiled for, hold whatever the offsets of
    /// `record` point into.
    pub fn bind<X: Pod, Y: Pod>(
        &self,
        gpu: &Gpu,
        params: &Buf<f32>,
        x: &Buf<X>,
        y: &Buf<Y>,
    ) -> DenseForwardBound {
        let &DenseForward { name, spec, tile, .. } = self;
        let bound = self.kernel.bind(gpu, &[params.of_len(spec.r * spec.p), &x.raw, &y.raw]);
        DenseForwardBound { name, spec, tile, bound, x_len: x.len(), y_len: y.len() }
    }
}

/// The kernel with its buffers.
pub struct DenseForwardBound {
    name: &'static str,
    spec: Spec,
    tile: Tile,
    bound: Bound,
    x_len: usize,
    y_len: usize,
}

impl DenseForwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &DenseForwardBound { name, spec: Spec { r, m, i, o, p, .. }, x_len, y_len, .. } = self;
        assert!((1..=m).contains(&at.m), "{name}: {} rows, compiled for 1..={m}", at.m);
        // What lies outside would read as zero and vanish when written, in silence.
        assert!(at.w_off + o * i <= p && at.b_off + o <= p, "{name}: {at:?} leaves the {p} parameters");
        assert!(
            at.x_off + r * at.m * i <= x_len && at.y_off + r * at.m * o <= y_len,
            "{name}: {at:?} leaves x of {x_len} or y of {y_len} elements"
        );
        let [gx, gy] = self.tile.groups(at.m, o);
        let imm = [at.m, at.w_off, at.b_off, at.x_off, at.y_off].map(|v| v as u32);
        self.bound.record(pass, [gx, gy, r as u32], &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs. The layer lies at the end of the P parameters, x and y behind 3 and
/// 7 other elements, which the kernel must neither use nor touch.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, .. } = spec;
    let at = Args { m, w_off: p - o * i - o, b_off: p - o, x_off: 3, y_off: 7 };
    let params = normal(seed, 0, r * p, 1.0 / (i as f64).sqrt());
    let x = normal(seed, 1, at.x_off + r * m * i, 1.0);
    let (params64, x64) = (widen(&params), widen(&x));

    let len = at.y_off + r * m * o;
    let mut want = vec![0.0; len];
    dense_forward_cpu(spec, &at, &params64, &x64, &mut want);
    // The same sum with magnitudes bounds the rounding of each term; |act'| ≤ 1 keeps the bound.
    let mut scale = vec![0.0; len];
    let linear = Spec { act: Activation::None, ..*spec };
    dense_forward_cpu(&linear, &at, &magnitudes(&params64), &magnitudes(&x64), &mut scale);

    bind!(gpu, bound = DenseForward::new(gpu, spec)?; params, x, y[len]);
    gpu.write(&y, &[0.0; 7]);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("y", &gpu.read(&y)?, &want, &scale, TOL)])
}
