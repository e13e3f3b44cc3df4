//! population_backward: the gradient by sharpness and centre of the neurons that encode a network's inputs, summed over
//! rows: with d = x−μ and g = κ·d·i·(dL/di), Σ −g·d and Σ g·κ. The rows are cut into slices of ⌈m/slices⌉;
//! `grad_reduce` adds the slices in a fixed order.

use super::common::*;
use super::population_forward::{self, sample, sizes};

pub const SHADER: Source = shader!("shaders/", "population_backward");

pub const WG: usize = 256;

/// Neurons of a workgroup.
const COLUMNS: usize = 32;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|term|: a term is a difference of inputs and five products to half an ulp each, and rounding of an f32 sum grows like a random walk",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub of: population_forward::Spec,
    pub slices: usize,
}

pub const DEFAULT: Spec = Spec { of: population_forward::DEFAULT, slices: 3 };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// κ `[N]` inside a replica's parameters.
    pub w_off: usize,
    /// μ `[N]` inside a replica's parameters.
    pub b_off: usize,
}

/// `params` `[R, P]`, `x` `[R, m, O]`, `current` `[R, m, N]` of `population_forward`, `d_current` `[R, m, N]` the
/// gradient by it; `partials` `[slices, R, P]`: only the layer's sharpnesses and centres are written, zeros where a
/// slice has no rows.
pub fn population_backward_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    x: &[F],
    current: &[F],
    d_current: &[F],
    partials: &mut [F],
) {
    let population_forward::Spec { r, o, fields, p, .. } = spec.of;
    let (n, slice) = (spec.of.n(), at.m.div_ceil(spec.slices));
    for (sr, partial) in partials[..spec.slices * r * p].chunks_exact_mut(p).enumerate() {
        let (s, r) = (sr / r, sr % r);
        let params = &params[r * p..][..p];
        for k in 0..n {
            let (sharpness, centre) = (params[at.w_off + k], params[at.b_off + k]);
            let (mut by_sharpness, mut by_distance) = (F::splat(0.0), F::splat(0.0));
            for m in (s * slice).min(at.m)..((s + 1) * slice).min(at.m) {
                let row = r * at.m + m;
                let d = x[row * o + k / fields] - centre;
                let g = sharpness * d * current[row * n + k] * d_current[row * n + k];
                by_sharpness += g * d;
                by_distance += g;
            }
            partial[at.w_off + k] = -by_sharpness;
            partial[at.b_off + k] = sharpness * by_distance;
        }
    }
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let population_forward::Spec { r, m, o, .. } = spec.of;
    let n = spec.of.n();
    Cost::new(r * n * (7 * m + spec.slices), r * (2 * n + m * (o + 2 * n)) + spec.slices * r * 2 * n)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    sizes(&spec.of).u32("WG", WG).u32("COLUMNS", COLUMNS)
}

host! {
    PopulationBackward, PopulationBackwardBound;
    fits |gpu, &Spec { of, slices }| {
        assert!(slices >= 1, "population_backward: no slices");
        check_groups(gpu, "population_backward", &[of.r * slices, of.n().div_ceil(COLUMNS)])?;
        let lanes = WG / COLUMNS;
        check_trips(gpu, "population_backward", of.m.div_ceil(slices).div_ceil(lanes) + lanes)?;
        check_index(gpu, "population_backward", of.r * of.m * of.n())
    };
    /// `params` `[R, P]`, `x` `[R, M, O]`, `current` and `d_current` `[R, M, N]`, `partials` `[slices, R, P]`.
    bind |&Spec { of, slices }| {
        params: f32 = of_len(of.r * of.p),
        x: f32 = at_least(of.r * of.m * of.o),
        current: f32 = at_least(of.r * of.m * of.n()),
        d_current: f32 = at_least(of.r * of.m * of.n()),
        partials: f32 = of_len(slices * of.r * of.p),
    }
}

impl PopulationBackwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let Spec { of, slices } = self.spec;
        let most = of.m;
        assert!((1..=most).contains(&at.m), "population_backward: {} rows, compiled for 1..={most}", at.m);
        assert_inside("population_backward", "the parameters", at.w_off.max(at.b_off), of.n(), of.p);
        let imm = [at.m, at.m.div_ceil(slices), at.w_off, at.b_off].map(|v| v as u32);
        self.bound.record(pass, [of.n().div_ceil(COLUMNS) as u32, 1, (of.r * slices) as u32], &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs. The layer lies at the end of the P parameters; the parameters before
/// it belong to others and must stay as they are.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let Spec { of, slices } = *spec;
    let (r, p, rows) = (of.r, of.p, of.r * of.m);
    let (params, x, at) = sample(&of, seed);
    let x = x[at.x_off..].to_vec();
    let at = Args { m: of.m, w_off: at.w_off, b_off: at.b_off };
    let current = Sample::new(seed, 2).uniform(rows * of.n(), 0.0, of.gain);
    let d_current = normal(seed, 3, rows * of.n(), 1.0);
    // Poison where the kernel must write, a mark where it must not.
    let mut before = vec![f32::NAN; slices * r * p];
    before.chunks_exact_mut(p).for_each(|replica| replica[..at.w_off].fill(2.5));
    let [params64, x64, current64, d64] = [&params, &x, &current, &d_current].map(|v| widen(v));
    let mut want = widen(&before);
    population_backward_cpu(spec, &at, &params64, &x64, &current64, &d64, &mut want);
    let scale = sums_of_magnitudes(spec, &at, &params64, &x64, &current64, &d64);
    bind!(gpu, bound = PopulationBackward::new(gpu, spec)?; params, x, current, d_current, partials = before);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("partials", &gpu.read(&partials)?, &want, &scale, TOL)])
}

/// Σ|term| of every partial sum.
fn sums_of_magnitudes(
    spec: &Spec,
    at: &Args,
    params: &[f64],
    x: &[f64],
    current: &[f64],
    d: &[f64],
) -> Vec<f64> {
    let population_forward::Spec { r, m, o, fields, p, .. } = spec.of;
    let (n, slice) = (spec.of.n(), m.div_ceil(spec.slices));
    let mut scale = vec![0.0; spec.slices * r * p];
    for e in 0..r * m * n {
        let (row, k) = (e / n, e % n);
        let (of, base) = (row / m * p, (row % m / slice * r + row / m) * p);
        let (sharpness, off) =
            (params[of + at.w_off + k], x[row * o + k / fields] - params[of + at.b_off + k]);
        let g = (sharpness * off * current[e] * d[e]).abs();
        scale[base + at.w_off + k] += g * off.abs();
        scale[base + at.b_off + k] += g * sharpness.abs();
    }
    scale
}
