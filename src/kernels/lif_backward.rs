//! lif_backward: from the gradient by a layer's spikes, or by the read-out's trace of them, to the gradient by its
//! currents, backwards through the S steps: dU = ds·σ'(U) + dV·(dV/dU) with the surrogate σ'(U) = (η/2)/(1 +
//! (πη(U−U_th)/2)²) of (36), (39) and dV/dU = 1−s where the reset is a constant, else 1−s−(U−U_r)σ'(U); then di = λ·dU,
//! and (1−λ)·dU reaches the step before. By w of a learned leak λ = sigmoid(w) it is Σ_t λ(1−λ)(i−V)·dU, V that of the
//! step before, where i−V = (U−V)/λ. Potentials that were carried into the first step are constants.

use super::common::*;
use super::lif_forward::{
    CarriedAt, Current, LeakAt, carried, lambda_of, leak_of, leaks, lif_prelude, logits, neuron, optional,
    upload_carried,
};
use crate::nets::lif::MAX_STEPS;
use crate::nets::{Lif, Membrane};

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
    /// Constant currents are what the potentials are made from again and the gradient is summed for; of currents per
    /// step, the potentials were kept and each has its own gradient.
    pub current: Current,
    pub upstream: Upstream,
}

impl Spec {
    /// Elements of M samples, of every spike step or of all together.
    fn values(&self, per_step: bool) -> usize {
        self.r * self.m * self.n * if per_step { self.lif.steps } else { 1 }
    }
}

/// `m` samples a replica; `leaks` as in [`lif_forward_cpu`](super::lif_forward::lif_forward_cpu); `penalty` is added to
/// the gradient by every spike.
/// `source`: the currents `[R, m, N]` if constant, else the potentials before the reset `[R, m, S, N]`; `upstream`
/// `[R, m, N]` or `[R, m, S, N]`; `d_current` `[R, m, N]` if constant, else `[R, m, S, N]`; `d_leak` `[R, m, N]` by w,
/// of each neuron, where it is learned; `membrane` where potentials are carried, as `carried` says of their start.
#[expect(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn lif_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    m: usize,
    carried: CarriedAt,
    penalty: F,
    leaks: &[F],
    source: &[F],
    upstream: &[F],
    d_current: &mut [F],
    d_leak: &mut [F],
    membrane: &[F],
) {
    backward(spec, m, carried, penalty, leaks, source, upstream, d_current, d_leak, membrane, |x| x)
}

#[expect(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
/// `sign` = identity, or the magnitude of what it is given, for a bound of the rounding errors.
fn backward<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    m: usize,
    carried: CarriedAt,
    penalty: F,
    leaks: &[F],
    source: &[F],
    upstream: &[F],
    d_current: &mut [F],
    d_leak: &mut [F],
    membrane: &[F],
    sign: impl Fn(F) -> F,
) {
    let &Spec { r, n, lif, .. } = spec;
    let slope = std::f64::consts::FRAC_PI_2 * lif.eta;
    let (share, kept) = lif.integrator();
    let [threshold, reset, half_eta, slope, one, zero] =
        [lif.threshold, lif.reset, 0.5 * lif.eta, slope, 1.0, 0.0].map(F::splat);
    let [share, kept] = [share, kept].map(F::splat);
    for e in 0..r * m * n {
        let at = |t: usize| (e / n * lif.steps + t) * n + e % n;
        let lambda = lambda_of(&lif, leaks, e / (m * n));
        let leak = leak_of(&lif, lambda);
        let carries = lif.membrane == Membrane::Carried;
        let start = if carries { membrane[carried.start(e, n)] } else { zero };
        let mut potentials = [zero; MAX_STEPS];
        match spec.current {
            Current::Constant => {
                neuron(&lif, lambda, start, |_| source[e], |t, u| potentials[t] = u);
            }
            Current::PerStep => (0..lif.steps).for_each(|t| potentials[t] = source[at(t)]),
        }
        let (mut weight, mut dv, mut sum, mut by_leak) = (share, zero, zero, zero);
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
            if lif.learn_leak {
                let before = if t > 0 { potentials[t - 1] } else { start };
                let v = F::select(threshold.le(before), reset, before);
                by_leak += du * (sign(u) + sign(-v));
            }
            dv = leak * du;
            weight *= kept;
        }
        if spec.current == Current::Constant {
            d_current[e] = sum;
        }
        if lif.learn_leak {
            d_leak[e] = leak * by_leak;
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
    // A step: gradient by the spike, surrogate, through the reset, by the potential, by the current; where the
    // potentials are made again, theirs.
    let reset = if spec.lif.detach_reset { 0 } else { 3 };
    let (again, passes) = if constant { (4 + 1, 1) } else { (0, steps) };
    let learned = usize::from(spec.lif.learn_leak);
    // Without a learned leak, kept potentials say all.
    let reads = spec.lif.membrane == Membrane::Carried && (constant || spec.lif.learn_leak);
    let each = steps * (upstream + 5 + 1 + reset + 3 + 1 + 1 + again + 3 * learned) + learned;
    Cost::new(
        neurons * each + spec.r * learned * (SIGMOID + 1),
        neurons * (2 * passes + arrives + learned + usize::from(reads)) + spec.r * learned,
    )
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
    LifBackward, LifBackwardBound, length of membrane;
    // Indices of potentials are u32; at most 32 loop iterations a thread.
    fits |gpu, spec| check_index(gpu, "lif_backward", spec.values(true));
}

impl LifBackward {
    /// `params` `[R, P]` and `d_leak` `[R, M, N]` where the leak is learned; `source`, `upstream` and `d_current` as
    /// the specification wants them, with M samples; `membrane` where potentials are carried: whatever the places of
    /// `record` point into.
    #[expect(clippy::too_many_arguments, reason = "the buffers in binding order")]
    pub fn bind(
        &self,
        gpu: &Gpu,
        params: Option<&Buf<f32>>,
        source: &Buf<f32>,
        upstream: &Buf<f32>,
        d_current: &Buf<f32>,
        d_leak: Option<&Buf<f32>>,
        membrane: Option<&Buf<f32>>,
    ) -> Result<LifBackwardBound, GpuError> {
        let spec = self.spec;
        let per_step = spec.values(spec.current == Current::PerStep);
        let params = optional(gpu, params, spec.lif.learn_leak, spec.r)?;
        let d_leak = optional(gpu, d_leak, spec.lif.learn_leak, spec.values(false))?;
        let carried = optional(gpu, membrane, spec.lif.membrane == Membrane::Carried, 1)?;
        let buffers = [
            &params,
            source.at_least(per_step),
            upstream.at_least(spec.values(spec.upstream == Upstream::Spikes)),
            d_current.at_least(per_step),
            &d_leak,
            &carried,
        ];
        let membrane = membrane.map_or(0, Buf::len);
        Ok(LifBackwardBound { spec, bound: self.kernel.bind(gpu, &buffers), membrane })
    }
}

impl LifBackwardBound {
    /// `m` samples of each replica, at least 1; `penalty` is added to the gradient by every spike; `leak` is not looked
    /// at unless it is learned, `carried` not unless potentials are.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        m: usize,
        penalty: f32,
        leak: LeakAt,
        carried: CarriedAt,
    ) {
        assert!(
            (1..=self.spec.m).contains(&m),
            "lif_backward: {m} samples, compiled for 1..={}",
            self.spec.m
        );
        let replica = m * self.spec.n;
        let neurons = self.spec.r * replica;
        let [elements, replica, stride, off] = [neurons, replica, leak.p, leak.off].map(|v| v as u32);
        if self.spec.lif.membrane == Membrane::Carried {
            carried.assert_inside("lif_backward", self.spec.r * m, self.spec.n, self.membrane);
        }
        let [start, _, width] = carried.immediates();
        let imm = [elements, penalty.to_bits(), replica, stride, off, start, width];
        self.bound.record(pass, fold_groups(neurons, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, n, lif, .. } = spec;
    let neurons = r * m * n;
    let len = |per_step: bool| if per_step { neurons * lif.steps } else { neurons };
    let penalty = 0.013f32;
    let (params, at) = leaks(&lif, r, seed);
    let w = widen(&logits(&params, at));
    let (carried, membrane) = carried(&lif, r * m, n, seed);
    let starts = widen(&membrane);
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
        Current::Constant => {
            for (e, current) in source.iter_mut().enumerate() {
                let lambda = lambda_of(&lif, &w, e / (m * n));
                let start = if starts.is_empty() { 0.0 } else { starts[carried.start(e, n)] };
                clear_of_threshold(&Lif { lambda, learn_leak: false, ..lif }, start, current);
            }
        }
    }
    let upstream = normal(seed, 1, len(spec.upstream == Upstream::Spikes), 1.0);
    let (source64, upstream64) = (widen(&source), widen(&upstream));
    let mut want = vec![0.0; source.len()];
    let mut want_leak = vec![0.0; neurons];
    let p64 = f64::from(penalty);
    let (d, d_leak) = (&mut want, &mut want_leak);
    lif_backward_cpu(spec, m, carried, p64, &w, &source64, &upstream64, d, d_leak, &starts);
    let (mut scale, mut scale_leak) = (vec![0.0; source.len()], vec![0.0; neurons]);
    let up = magnitudes(&upstream64);
    let (d, d_leak) = (&mut scale, &mut scale_leak);
    backward(spec, m, carried, p64, &w, &source64, &up, d, d_leak, &starts, f64::abs);

    let upload = |name: &str, data: &[f32]| gpu.upload(&format!("lif_backward.{name}"), &[data.len()], data);
    let out = |name: &str, len| gpu.alloc::<f32>(&format!("lif_backward.{name}"), &[len], Fill::Poison);
    let (source, upstream) = (upload("source", &source)?, upload("upstream", &upstream)?);
    let d_current = out("d_current", want.len())?;
    let params = lif.learn_leak.then(|| upload("params", &params)).transpose()?;
    let d_leak = lif.learn_leak.then(|| out("d_leak", neurons)).transpose()?;
    let kernel = LifBackward::new(gpu, spec)?;
    let membrane = upload_carried(gpu, "lif_backward.membrane", &membrane)?;
    let leak = d_leak.as_ref();
    let bound = kernel.bind(gpu, params.as_ref(), &source, &upstream, &d_current, leak, membrane.as_ref())?;
    gpu.run(|pass| bound.record(pass, m, penalty, at, carried))?;
    let mut rows = vec![compare_scaled("d_current", &gpu.read(&d_current)?, &want, &scale, TOL)];
    if let Some(d_leak) = d_leak {
        rows.push(compare_scaled("d_leak", &gpu.read(&d_leak)?, &want_leak, &scale_leak, TOL));
    }
    Ok(rows)
}

/// Moves a constant current until no step of its neuron, from this potential on, is within 1e-4 of the threshold.
fn clear_of_threshold(lif: &Lif, start: f64, current: &mut f32) {
    let near = |i: f32| {
        let mut near = false;
        neuron(lif, lif.lambda, start, |_| f64::from(i), |_, u| near |= (u - lif.threshold).abs() <= 1e-4);
        near
    };
    while near(*current) {
        *current += 0.003;
    }
}
