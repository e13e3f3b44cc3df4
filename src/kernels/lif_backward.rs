//! lif_backward: from the gradient by a layer's spikes, or by the read-out's trace of them, to the gradient by its currents, backwards through
//! the S steps: dU = ds·σ'(U) + dV·(dV/dU) with the surrogate σ'(U) = (η/2)/(1 + (πη(U−U_th)/2)²) of (36), (39) and dV/dU = 1−s where the
//! reset is a constant, else 1−s−(U−U_r)σ'(U); then di = λ·dU, and (1−λ)·dU reaches the step before.

use super::common::*;
use super::lif_forward::{self, Current, lif_forward_cpu, lif_prelude, neuron};
use crate::nets::Lif;
use crate::nets::lif::MAX_STEPS;

pub const SHADER: Source = shader!("shaders/", "lif_backward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 4e-6,
    why: "of the same recursion with magnitudes: the surrogate is off by its slope (at most eta times itself) times half an ulp of U, and WGSL divides to 2.5 ulp",
};

/// What the gradient that comes in is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The trace of the read-out `[R, M, N]`: a spike of step t has the share [`Lif::readout_weight`] of it.
    Readout,
    /// The spikes of each step `[R, M, S, N]`.
    Spikes,
}

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica; the most that will be recorded.
    pub m: usize,
    /// N: neurons.
    pub n: usize,
    pub lif: Lif,
    /// Constant currents are what the potentials are made from again and the gradient is summed for; of currents per step, the potentials
    /// were kept and each has its own gradient.
    pub current: Current,
    pub upstream: Upstream,
}

impl Spec {
    /// Elements of M samples, of every spike step or of all together.
    fn values(&self, per_step: bool) -> usize {
        self.r * self.m * self.n * if per_step { self.lif.steps } else { 1 }
    }
}

/// `m` samples a replica; `penalty` is added to the gradient by every spike. `source`: the currents `[R, m, N]` if constant, else the
/// potentials before the reset `[R, m, S, N]`; `upstream` `[R, m, N]` or `[R, m, S, N]`; `d_current` `[R, m, N]` if constant, else `[R, m, S, N]`.
pub fn lif_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    m: usize,
    penalty: F,
    source: &[F],
    upstream: &[F],
    d_current: &mut [F],
) {
    backward(spec, m, penalty, source, upstream, d_current, |x| x)
}

/// `sign` = identity, or the magnitude of what it is given, for a bound of the rounding errors.
fn backward<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    m: usize,
    penalty: F,
    source: &[F],
    upstream: &[F],
    d_current: &mut [F],
    sign: impl Fn(F) -> F,
) {
    let &Spec { r, n, lif, .. } = spec;
    let slope = std::f64::consts::FRAC_PI_2 * lif.eta;
    let (share, kept) = lif.integrator();
    let [lambda, leak, threshold, reset, half_eta, slope, one, zero] =
        [lif.lambda, 1.0 - lif.lambda, lif.threshold, lif.reset, 0.5 * lif.eta, slope, 1.0, 0.0]
            .map(F::splat);
    let [share, kept] = [share, kept].map(F::splat);
    for e in 0..r * m * n {
        let at = |t: usize| (e / n * lif.steps + t) * n + e % n;
        let mut potentials = [zero; MAX_STEPS];
        match spec.current {
            Current::Constant => {
                neuron(&lif, |_| source[e], |t, u| potentials[t] = u);
            }
            Current::PerStep => (0..lif.steps).for_each(|t| potentials[t] = source[at(t)]),
        }
        let (mut weight, mut dv, mut sum) = (share, zero, zero);
        for t in (0..lif.steps).rev() {
            let u = potentials[t];
            let ds = penalty
                + match spec.upstream {
                    Upstream::Readout => weight * upstream[e],
                    Upstream::Spikes => upstream[at(t)],
                };
            let x = slope * (u - threshold);
            let surrogate = half_eta / (one + x * x);
            let mut through = F::select(threshold.le(u), zero, one);
            if !lif.detach_reset {
                through = sign(through) + sign(-((u - reset) * surrogate));
            }
            let du = sign(ds) * surrogate + sign(dv) * sign(through);
            match spec.current {
                Current::Constant => sum += lambda * du,
                Current::PerStep => d_current[at(t)] = lambda * du,
            }
            dv = leak * du;
            weight *= kept;
        }
        if spec.current == Current::Constant {
            d_current[e] = sum;
        }
    }
}

/// What a dispatch over all M samples must do.
pub fn cost(spec: &Spec) -> Cost {
    let (neurons, steps) = (spec.r * spec.m * spec.n, spec.lif.steps);
    let constant = spec.current == Current::Constant;
    let (upstream, arrives) = match spec.upstream {
        Upstream::Readout => (3, 1),
        Upstream::Spikes => (1, steps),
    };
    // A step: gradient by the spike, surrogate, through the reset, by the potential, by the current; where the potentials are made again, theirs.
    let reset = if spec.lif.detach_reset { 0 } else { 3 };
    let (again, passes) = if constant { (4 + 1, 1) } else { (0, steps) };
    let each = steps * (upstream + 5 + 1 + reset + 3 + 1 + 1 + again);
    Cost::new(neurons * each, neurons * (2 * passes + arrives))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let lif = &spec.lif;
    let p = Prelude::new()
        .u32("WG", WG)
        .u32("N", spec.n)
        .u32("CONSTANT", usize::from(spec.current == Current::Constant))
        .u32("READOUT", usize::from(spec.upstream == Upstream::Readout))
        .u32("DETACH", usize::from(lif.detach_reset))
        .f32("HALF_ETA", (0.5 * lif.eta) as f32)
        .f32("SLOPE", (std::f64::consts::FRAC_PI_2 * lif.eta) as f32);
    lif_prelude(lif, p)
}

host! {
    LifBackward, LifBackwardBound;
    // Indices of potentials are u32; at most 32 loop iterations a thread.
    fits |gpu, spec| check_index(gpu, "lif_backward", spec.values(true));
    /// `source`, `upstream` and `d_current` as the specification wants them, with M samples.
    bind |spec| {
        source: f32 = at_least(spec.values(spec.current == Current::PerStep)),
        upstream: f32 = at_least(spec.values(spec.upstream == Upstream::Spikes)),
        d_current: f32 = at_least(spec.values(spec.current == Current::PerStep)),
    }
}

impl LifBackwardBound {
    /// `m` samples of each replica, at least 1; `penalty` is added to the gradient by every spike.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, penalty: f32) {
        assert!(
            (1..=self.spec.m).contains(&m),
            "lif_backward: {m} samples, compiled for 1..={}",
            self.spec.m
        );
        let neurons = self.spec.r * m * self.spec.n;
        self.bound.record(pass, fold_groups(neurons, WG), &[neurons as u32, penalty.to_bits()]);
    }
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, n, lif, .. } = spec;
    let neurons = r * m * n;
    let len = |per_step: bool| if per_step { neurons * lif.steps } else { neurons };
    let penalty = 0.013f32;
    let mut source: Vec<f32> = normal(seed, 0, len(spec.current == Current::PerStep), 2.0)
        .into_iter()
        .map(|x| x + 0.5 + lif.threshold as f32)
        .collect();
    // Whether a neuron fired must not hang on the last bit: move it away from its threshold.
    match spec.current {
        Current::PerStep => {
            for u in &mut source {
                if (f64::from(*u) - lif.threshold).abs() < 1e-3 {
                    *u += 0.01;
                }
            }
        }
        Current::Constant => clear_of_threshold(&lif, &mut source),
    }
    let upstream = normal(seed, 1, len(spec.upstream == Upstream::Spikes), 1.0);
    let (source64, upstream64) = (widen(&source), widen(&upstream));
    let mut want = vec![0.0; source.len()];
    lif_backward_cpu(spec, m, f64::from(penalty), &source64, &upstream64, &mut want);
    let mut scale = vec![0.0; source.len()];
    backward(spec, m, f64::from(penalty), &source64, &magnitudes(&upstream64), &mut scale, f64::abs);

    bind!(gpu, bound = LifBackward::new(gpu, spec)?; source, upstream, d_current[want.len()]);
    gpu.run(|pass| bound.record(pass, m, penalty))?;
    Ok(vec![compare_scaled("d_current", &gpu.read(&d_current)?, &want, &scale, TOL)])
}

/// Moves constant currents until no step of their neuron is within 1e-4 of the threshold.
fn clear_of_threshold(lif: &Lif, current: &mut [f32]) {
    let spec = lif_forward::Spec {
        r: 1,
        m: 1,
        n: 1,
        lif: *lif,
        current: Current::Constant,
        keep: true,
        trace: false,
    };
    for i in current {
        loop {
            let (mut word, mut potentials) = ([0], [0.0; MAX_STEPS]);
            lif_forward_cpu(&spec, 1, &[f64::from(*i)], &mut word, &mut potentials, &mut []);
            if potentials[..lif.steps].iter().all(|u| (u - lif.threshold).abs() > 1e-4) {
                break;
            }
            *i += 0.003;
        }
    }
}
