//! population_forward: currents of the neurons that encode a network's inputs
//! ([`Population`](crate::nets::Population)): i = g·exp(−z²/2), z = κ(x−μ).

use super::common::*;
use crate::nets::population;

pub const SHADER: Source = shader!("shaders/", "population_forward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 6e-7,
    why: "of i(1 + z^2): z^2/2 is off by six half-ulps, two products and an exponential round five times more; below e^-87 exponentials end",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// O: inputs.
    pub o: usize,
    /// Neurons of an input.
    pub fields: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// g
    pub gain: f64,
}

impl Spec {
    /// N: neurons.
    pub fn n(&self) -> usize {
        self.o * self.fields
    }
}

/// As many fields as in PopSAN's paper, for observations of a typical size.
pub const DEFAULT: Spec = Spec { r: 3, m: 200, o: 12, fields: 10, p: 2 * 120 + 5, gain: 4.0 };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// κ `[N]` inside a replica's parameters.
    pub w_off: usize,
    /// μ `[N]` inside a replica's parameters.
    pub b_off: usize,
    /// First element of x.
    pub x_off: usize,
}

/// `params` `[R, P]`, `x` `[R, m, O]` from its offset, `current` `[R, m, N]`.
pub fn population_forward_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    x: &[F],
    current: &mut [F],
) {
    let &Spec { r, o, fields, p, gain, .. } = spec;
    let (n, gain) = (spec.n(), F::splat(gain));
    for e in 0..r * at.m * n {
        let (row, k) = (e / n, e % n);
        let params = &params[row / at.m * p..][..p];
        let x = x[at.x_off + row * o + k / fields];
        current[e] = population::current(gain, params[at.w_off + k], params[at.b_off + k], x);
    }
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, o, .. } = spec;
    let n = spec.n();
    Cost::new(r * m * n * (5 + EXP), r * (2 * n + m * (o + n)))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    sizes(spec).u32("WG", WG).f32("GAIN", spec.gain as f32)
}

/// Those that `population_backward` has too.
pub(super) fn sizes(spec: &Spec) -> Prelude {
    let &Spec { r, o, fields, p, .. } = spec;
    Prelude::new().u32("R", r).u32("P", p).u32("O", o).u32("N", spec.n()).u32("FIELDS", fields)
}

host! {
    PopulationForward, PopulationForwardBound;
    fits |gpu, spec| check_index(gpu, "population_forward", spec.r * spec.m * spec.n());
    /// `params` `[R, P]`, `x` `[…, R, M, O]`, `current` `[R, M, N]`.
    bind |spec| {
        params: f32 = of_len(spec.r * spec.p),
        x: f32,
        current: f32 = at_least(spec.r * spec.m * spec.n()),
    }
}

impl PopulationForwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let spec = &self.spec;
        let (most, n) = (spec.m, spec.n());
        assert!((1..=most).contains(&at.m), "population_forward: {} rows, compiled for 1..={most}", at.m);
        assert_inside("population_forward", "the parameters", at.w_off.max(at.b_off), n, spec.p);
        assert_inside("population_forward", "x", at.x_off, spec.r * at.m * spec.o, self.x);
        let imm = [at.m, at.w_off, at.b_off, at.x_off].map(|v| v as u32);
        self.bound.record(pass, fold_groups(spec.r * at.m * n, WG), &imm);
    }
}

/// Parameters `[R, P]` with the layer at their end, rows x `[R, m, O]` from their fourth element, and where all that
/// lies. Some inputs are far from every field.
pub(super) fn sample(spec: &Spec, seed: u32) -> (Vec<f32>, Vec<f32>, Args) {
    let &Spec { r, m, o, p, .. } = spec;
    let n = spec.n();
    let at = Args { m, w_off: p - 2 * n, b_off: p - n, x_off: 3 };
    let mut x = normal(seed, 1, at.x_off + r * m * o, 1.2);
    x.iter_mut().step_by(101).for_each(|x| *x *= 40.0);
    (normal(seed, 0, r * p, 1.5), x, at)
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (params, x, at) = sample(spec, seed);
    let mut want = vec![f64::NAN; spec.r * spec.m * spec.n()];
    population_forward_cpu(spec, &at, &widen(&params), &widen(&x), &mut want);
    // z^2 of what the current tells, g exp(-z^2/2).
    let scale: Vec<f64> = want.iter().map(|i| i * (1.0 - 2.0 * (i / spec.gain).max(1e-300).ln())).collect();
    bind!(gpu, bound = PopulationForward::new(gpu, spec)?; params, x, current[want.len()]);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("current", &gpu.read(&current)?, &want, &scale, TOL)])
}
