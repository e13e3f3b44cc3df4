//! dense_backward_weights: the gradient of a dense layer's weight and bias, summed over rows. The rows are cut into S
//! slices of ⌈m/S⌉, because one layer's gradient alone is too few workgroups for a GPU; `grad_reduce` adds the slices
//! in a fixed order.

use super::common::*;
use super::tile::{BK, Tile};

pub const SHADER: Source = shader!("shaders/", "dense_backward_weights");

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|dy x| over the slice: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes",
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
    /// S: slices of the rows.
    pub s: usize,
    /// The forward pass's factor of the bias.
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
    /// Start of dy `[R, m, O]` inside its buffer.
    pub dy_off: usize,
    /// Start of x `[R, m, I]` inside its buffer.
    pub x_off: usize,
}

/// `dy` `[R, m, O]` from `dy_off`: gradient at the layer's pre-activation; `x` `[R, m, I]` from `x_off`: the layer's
/// input; `partials` `[S, R, P]`: only the layer's weight and bias are written, zeros where a slice has no rows.
pub fn dense_backward_weights_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    dy: &[F],
    x: &[F],
    partials: &mut [F],
) {
    let &Spec { r, i, o, p, s, b_scale, .. } = spec;
    let slice = at.m.div_ceil(s);
    for (sr, partial) in partials[..s * r * p].chunks_exact_mut(p).enumerate() {
        let (s, r) = (sr / r, sr % r);
        partial[at.w_off..][..o * i].fill(F::splat(0.0));
        partial[at.b_off..][..o].fill(F::splat(0.0));
        for m in (s * slice).min(at.m)..((s + 1) * slice).min(at.m) {
            let row = r * at.m + m;
            let x = &x[at.x_off + row * i..][..i];
            for (j, &dy) in dy[at.dy_off + row * o..][..o].iter().enumerate() {
                for (w, &x) in partial[at.w_off + j * i..][..i].iter_mut().zip(x) {
                    *w += dy * x;
                }
                partial[at.b_off + j] += dy;
            }
        }
        partial[at.b_off..][..o].iter_mut().for_each(|b| *b *= F::splat(b_scale));
    }
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, s, b_scale, .. } = spec;
    let scaled = if b_scale == 1.0 { 0 } else { s * r * o };
    Cost::new(r * m * o * (2 * i + 1) + scaled, r * m * (o + i) + s * r * o * (i + 1))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, i, o, p, b_scale, .. } = spec;
    let sizes = Prelude::new().u32("R", r).u32("P", p).u32("I", i).u32("O", o);
    Tile::choose(o, i).prelude(sizes.f32("B_SCALE", b_scale as f32))
}

host! {
    DenseBackwardWeights, DenseBackwardWeightsBound;
    fits |gpu, &Spec { r, m, i, o, s, .. }| {
        assert!(s >= 1, "dense_backward_weights: no slices");
        check_groups(gpu, "dense_backward_weights", &[r * s])?;
        let (tile, slice) = (Tile::choose(o, i), m.div_ceil(s));
        check_trips(gpu, "dense_backward_weights", tile.trips(slice) + slice.div_ceil(BK) * BK)
    };
    /// `partials` `[S, R, P]`; `dy` and `x` hold whatever the offsets of `record` point into.
    bind |spec| { dy: f32, x: f32, partials: f32 = of_len(spec.s * spec.r * spec.p) }
}

impl DenseBackwardWeightsBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, i, o, p, s, .. } = &self.spec;
        assert!((1..=m).contains(&at.m), "dense_backward_weights: {} rows, compiled for 1..={m}", at.m);
        assert!(
            at.w_off + o * i <= p && at.b_off + o <= p,
            "dense_backward_weights: {at:?} leaves the {p} parameters"
        );
        assert_inside("dense_backward_weights", "dy", at.dy_off, r * at.m * o, self.dy);
        assert_inside("dense_backward_weights", "x", at.x_off, r * at.m * i, self.x);
        let [gx, gy] = Tile::choose(o, i).groups(o, i);
        let imm = [at.m, at.m.div_ceil(s), at.w_off, at.b_off, at.dy_off, at.x_off].map(|v| v as u32);
        self.bound.record(pass, [gx, gy, (r * s) as u32], &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs. The layer lies at the end of the P parameters; the parameters before
/// it belong to others and must stay as they are.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, s, .. } = spec;
    let at = Args { m, w_off: p - o * i - o, b_off: p - o, dy_off: 3, x_off: 4 };
    let dy = normal(seed, 0, at.dy_off + r * m * o, 1.0);
    let x = normal(seed, 1, at.x_off + r * m * i, 1.0);
    let (dy64, x64) = (widen(&dy), widen(&x));
    // Poison where the kernel must write, a mark where it must not.
    let mut before = vec![f32::NAN; s * r * p];
    before.chunks_exact_mut(p).for_each(|replica| replica[..at.w_off].fill(2.5));

    let mut want = widen(&before);
    dense_backward_weights_cpu(spec, &at, &dy64, &x64, &mut want);
    let mut scale = vec![0.0; s * r * p];
    dense_backward_weights_cpu(spec, &at, &magnitudes(&dy64), &magnitudes(&x64), &mut scale);

    bind!(gpu, bound = DenseBackwardWeights::new(gpu, spec)?; dy, x, partials = before);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("partials", &gpu.read(&partials)?, &want, &scale, TOL)])
}
