//! dense_backward_input: the gradient of a dense layer with respect to its input, times the slope of the activation
//! that made that input, so that dx is the gradient at the previous layer's pre-activation.

use super::common::*;
use super::tile::Tile;
use crate::nets::Activation;

pub const SHADER: Source = shader!("shaders/", "dense_backward_input");

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|dy w|: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes; 1 - h^2 to one ulp of 1",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// I: inputs of the layer.
    pub i: usize,
    /// O: outputs of the layer.
    pub o: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// The activation that made the layer's input.
    pub act: Activation,
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Weight `[O, I]` inside a replica's parameters.
    pub w_off: usize,
    /// Start of dy `[R, m, O]` inside its buffer.
    pub dy_off: usize,
    /// Start of h `[R, m, I]` inside its buffer.
    pub h_off: usize,
    /// Start of dx `[R, m, I]` inside its buffer.
    pub dx_off: usize,
}

/// `params` `[R, P]`; `dy` `[R, m, O]` from `dy_off`: gradient at the layer's output, before its own activation; `h`
/// `[R, m, I]` from `h_off`: the layer's input (not read without activation); `dx` `[R, m, I]` from `dx_off`.
pub fn dense_backward_input_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    dy: &[F],
    h: &[F],
    dx: &mut [F],
) {
    let &Spec { r, i, o, p, act, .. } = spec;
    let dy = &dy[at.dy_off..][..r * at.m * o];
    let dx = &mut dx[at.dx_off..][..r * at.m * i];
    for (row, (dy, dx)) in dy.chunks_exact(o).zip(dx.chunks_exact_mut(i)).enumerate() {
        let w = &params[row / at.m * p + at.w_off..][..o * i];
        dx.fill(F::splat(0.0));
        for (&dy, w) in dy.iter().zip(w.chunks_exact(i)) {
            for (dx, &w) in dx.iter_mut().zip(w) {
                *dx += dy * w;
            }
        }
        if act != Activation::None {
            for (dx, &h) in dx.iter_mut().zip(&h[at.h_off + row * i..]) {
                *dx *= act.slope(h);
            }
        }
    }
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, act, .. } = spec;
    let (slope, read) = if act == Activation::None { (0, 0) } else { (act.slope_operations() + 1, i) };
    Cost::new(r * m * i * (2 * o + slope), r * o * i + r * m * (o + read + i))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { m, i, o, p, act, .. } = spec;
    Tile::choose(m, i).prelude(Prelude::new().u32("P", p).u32("I", i).u32("O", o).u32("ACT", act.code()))
}

host! {
    DenseBackwardInput, DenseBackwardInputBound;
    fits |gpu, &Spec { r, m, i, o, .. }| {
        let tile = Tile::choose(m, i);
        check_groups(gpu, "dense_backward_input", &[r, m.div_ceil(tile.bm)])?;
        check_trips(gpu, "dense_backward_input", tile.trips(o))
    };
    /// `params` `[R, P]`; the others hold whatever the offsets of `record` point into. Without activation `h` is not
    /// read: give `dy`.
    bind |spec| { params: f32 = of_len(spec.r * spec.p), dy: f32, h: f32, dx: f32 }
}

impl DenseBackwardInputBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, i, o, p, act } = &self.spec;
        assert!((1..=m).contains(&at.m), "dense_backward_input: {} rows, compiled for 1..={m}", at.m);
        assert!(at.w_off + o * i <= p, "dense_backward_input: {at:?} leaves the {p} parameters");
        assert_inside("dense_backward_input", "dy", at.dy_off, r * at.m * o, self.dy);
        let h_end = if act == Activation::None { 0 } else { at.h_off + r * at.m * i };
        assert!(h_end <= self.h, "dense_backward_input: {at:?} leaves h of {} elements", self.h);
        assert_inside("dense_backward_input", "dx", at.dx_off, r * at.m * i, self.dx);
        let [gx, gy] = Tile::choose(m, i).groups(at.m, i);
        let imm = [at.m, at.w_off, at.dy_off, at.h_off, at.dx_off].map(|v| v as u32);
        self.bound.record(pass, [gx, gy, r as u32], &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs. The weight lies at the end of the P parameters.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, act } = spec;
    let at = Args { m, w_off: p - o * i, dy_off: 3, h_off: 4, dx_off: 7 };
    let params = normal(seed, 0, r * p, 1.0);
    let dy = normal(seed, 1, at.dy_off + r * m * o, 1.0);
    let mut h = normal(seed, 2, at.h_off + r * m * i, 1.0);
    h.iter_mut().for_each(|h| *h = act.apply(*h));
    let (params64, dy64, h64) = (widen(&params), widen(&dy), widen(&h));

    let len = at.dx_off + r * m * i;
    let mut want = vec![0.0; len];
    dense_backward_input_cpu(spec, &at, &params64, &dy64, &h64, &mut want);
    // The same sum with magnitudes and slope 1 bounds the rounding of each term.
    let mut scale = vec![0.0; len];
    let linear = Spec { act: Activation::None, ..*spec };
    dense_backward_input_cpu(&linear, &at, &magnitudes(&params64), &magnitudes(&dy64), &[], &mut scale);

    bind!(gpu, bound = DenseBackwardInput::new(gpu, spec)?; params, dy, h, dx[len]);
    gpu.write(&dx, &[0.0; 7]);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("dx", &gpu.read(&dx)?, &want, &scale, TOL)])
}
