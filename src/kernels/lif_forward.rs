//! lif_forward: S steps of leaky integrate-and-fire neurons ([`Lif`]) from given currents: U = (1−λ)V + λi, a spike
//! where U ≥ U_th, V = U_r there and U elsewhere, V(0) = 0 or what the slot before left ([`CarriedAt`]). A neuron's
//! steps are one spike word: bit t is its spike at step t, bit 16 + t says that U differs from the step before (always
//! so at t = 0: NeuroBench's membrane updates).

use super::common::*;
use super::compare;
use crate::nets::lif::MAX_STEPS;
use crate::nets::{Lif, Membrane};

pub const SHADER: Source = shader!("shaders/", "lif_forward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-6,
    rel: 1e-6,
    why: "of sum |terms| of U: two products and a sum a step, each to half an ulp, of potentials that forget by 1-lambda",
};

/// A spike may differ where the judge's potential is this close to the threshold, and a bit of change where two
/// potentials are.
pub const MARGIN: f64 = 1e-5;

/// Whether neurons get one current for all steps or one at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// `[R, M, N]`: direct encoding, the input is the same at each step.
    Constant,
    /// `[R, M, S, N]`
    PerStep,
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
    pub current: Current,
    /// Whether the potentials before the reset are stored.
    pub keep: bool,
    /// Whether the trace is stored: the read-out's integrator on the spikes alone.
    pub trace: bool,
}

/// Where the w of a layer's learned leak lies in the parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeakAt {
    /// P: parameters of a replica.
    pub p: usize,
    /// Inside a replica's parameters.
    pub off: usize,
}

/// Where potentials that outlive an inference ([`Membrane::Carried`]) lie among those of all layers: neuron n of sample
/// s, counted over all replicas, at `start` + s·`width` + n, and at `end` + s·`width` + n afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct CarriedAt {
    pub start: usize,
    pub end: usize,
    pub width: usize,
}

impl CarriedAt {
    fn place(&self, element: usize, neurons: usize) -> usize {
        element / neurons * self.width + element % neurons
    }
    /// Of element e of arrays `[R, M, N]` before the inference.
    pub fn start(&self, element: usize, neurons: usize) -> usize {
        self.start + self.place(element, neurons)
    }
    /// The same behind it.
    pub fn end(&self, element: usize, neurons: usize) -> usize {
        self.end + self.place(element, neurons)
    }
    /// That `samples` of so many neurons lie inside `all` elements.
    pub(super) fn assert_inside(&self, kernel: &str, samples: usize, neurons: usize, all: usize) {
        let last = samples * neurons - 1;
        assert!(
            neurons <= self.width && self.start(last, neurons).max(self.end(last, neurons)) < all,
            "{kernel}: {samples} samples of {neurons} neurons at {self:?} leave {all} potentials"
        );
    }
    pub(super) fn immediates(&self) -> [u32; 3] {
        [self.start, self.end, self.width].map(|v| v as u32)
    }
}

/// λ of the neurons of a replica: sigmoid of its `w` `[R]` where it is learned, else the constant.
pub(super) fn lambda_of<F: Real<Elem = F>>(lif: &Lif, w: &[F], r: usize) -> F {
    if lif.learn_leak { w[r].sigmoid() } else { F::splat(lif.lambda) }
}

/// 1−λ, rounded once where λ is a constant.
pub(super) fn leak_of<F: Real<Elem = F>>(lif: &Lif, lambda: F) -> F {
    if lif.learn_leak { F::splat(1.0) - lambda } else { F::splat(1.0 - lif.lambda) }
}

/// What one neuron with this λ does from this potential with the currents of its steps: its spike word, trace and last
/// potential. `each` gets every step's potential before the reset.
pub(super) fn neuron<F: Real<Elem = F, Mask = bool>>(
    lif: &Lif,
    lambda: F,
    start: F,
    current: impl Fn(usize) -> F,
    mut each: impl FnMut(usize, F),
) -> (u32, F, F) {
    let (share, kept) = lif.integrator();
    let leak = leak_of(lif, lambda);
    let [share, kept, threshold, reset, one, zero] =
        [share, kept, lif.threshold, lif.reset, 1.0, 0.0].map(F::splat);
    let (mut v, mut before, mut trace, mut word) = (start, zero, zero, 0u32);
    for t in 0..lif.steps {
        let u = leak * v + lambda * current(t);
        let fires = threshold.le(u);
        let changed = t == 0 || u.lt(before) || before.lt(u);
        word |= u32::from(fires) << t | u32::from(changed) << (t + MAX_STEPS);
        trace = kept * trace + share * F::select(fires, one, zero);
        v = F::select(fires, reset, u);
        before = u;
        each(t, u);
    }
    (word, trace, v)
}

/// `m` samples a replica. `leaks`: w `[R]` where λ = sigmoid(w) is learned, else not read; `current` `[R, m, N]` or
/// `[R, m, S, N]`; `words` `[R, m, N]`; `potentials` `[R, m, S, N]` if they are kept, before the reset; `traces`
/// `[R, m, N]` if they are wanted; `membrane` as `carried` says, neither looked at unless potentials are carried.
#[expect(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn lif_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    m: usize,
    carried: CarriedAt,
    leaks: &[F],
    current: &[F],
    words: &mut [u32],
    potentials: &mut [F],
    traces: &mut [F],
    membrane: &mut [F],
) {
    let &Spec { r, n, lif, .. } = spec;
    let carries = lif.membrane == Membrane::Carried;
    for e in 0..r * m * n {
        let at = |t: usize| (e / n * lif.steps + t) * n + e % n;
        let drive = |t: usize| match spec.current {
            Current::Constant => current[e],
            Current::PerStep => current[at(t)],
        };
        let lambda = lambda_of(&lif, leaks, e / (m * n));
        let start = if carries { membrane[carried.start(e, n)] } else { F::splat(0.0) };
        let (word, trace, v) = neuron(&lif, lambda, start, drive, |t, u| {
            if spec.keep {
                potentials[at(t)] = u;
            }
        });
        words[e] = word;
        if spec.trace {
            traces[e] = trace;
        }
        if carries {
            membrane[carried.end(e, n)] = v;
        }
    }
}

/// The constants of `shaders/shared/lif.wgsl`.
pub(super) fn lif_prelude(lif: &Lif, p: Prelude) -> Prelude {
    assert!((1..=MAX_STEPS).contains(&lif.steps), "{} spike steps do not fit a spike word", lif.steps);
    let (share, kept) = lif.integrator();
    p.u32("S", lif.steps)
        .f32("SHARE", share as f32)
        .f32("KEPT", kept as f32)
        .u32("LEARNED", usize::from(lif.learn_leak))
        .u32("CARRIED", usize::from(lif.membrane == Membrane::Carried))
        .f32("LAMBDA", lif.lambda as f32)
        .f32("LEAK", (1.0 - lif.lambda) as f32)
        .f32("THRESHOLD", lif.threshold as f32)
        .f32("RESET", lif.reset as f32)
}

/// What a dispatch over all M samples must do.
pub fn cost(spec: &Spec) -> Cost {
    let (neurons, steps) = (spec.r * spec.m * spec.n, spec.lif.steps);
    let currents = if spec.current == Current::PerStep { steps } else { 1 };
    let kept = if spec.keep { steps } else { 0 };
    // A step: potential, spike, whether the potential changed (known of the first), trace.
    let each = 4 * steps + (steps - 1) + if spec.trace { 3 * steps } else { 0 };
    let leaks = if spec.lif.learn_leak { spec.r } else { 0 };
    let carried = carried_words(&spec.lif);
    Cost::new(
        neurons * each + leaks * (SIGMOID + 1),
        neurons * (currents + 1 + kept + usize::from(spec.trace) + carried) + leaks,
    )
}

/// Words of a neuron's potential that are read and written where it is carried.
pub(super) fn carried_words(lif: &Lif) -> usize {
    if lif.membrane == Membrane::Carried { 2 } else { 0 }
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let p = Prelude::new()
        .u32("WG", WG)
        .u32("N", spec.n)
        .u32("PER_STEP", usize::from(spec.current == Current::PerStep))
        .u32("KEEP", usize::from(spec.keep))
        .u32("TRACE", usize::from(spec.trace));
    lif_prelude(&spec.lif, p)
}

host! {
    LifForward, LifForwardBound, length of membrane;
    // Indices of potentials are u32.
    fits |gpu, spec| {
        check_index(gpu, "lif_forward", spec.r * spec.m * spec.lif.steps * spec.n)?;
        check_trips(gpu, "lif_forward", spec.lif.steps)
    };
}

/// A buffer that a kernel may leave out: this one, or one element in its place.
pub(super) fn optional(
    gpu: &Gpu,
    buf: Option<&Buf<f32>>,
    wanted: bool,
    len: usize,
) -> Result<wgpu::Buffer, GpuError> {
    assert_eq!(buf.is_some(), wanted, "a buffer is bound if and only if the kernel is compiled to use it");
    match buf {
        Some(buf) => Ok(buf.at_least(len).clone()),
        None => Ok(gpu.alloc::<f32>("unused", &[1], Fill::Zero)?.raw),
    }
}

impl LifForward {
    /// `params` `[R, P]` where the leak is learned, `current` `[R, M, N]` or `[R, M, S, N]`, `words` `[R, M, N]`;
    /// `potentials` `[R, M, S, N]` and `traces` `[R, M, N]` as the specification wants; `membrane` where potentials are
    /// carried: whatever the places of `record` point into.
    #[expect(clippy::too_many_arguments, reason = "the buffers in binding order")]
    pub fn bind(
        &self,
        gpu: &Gpu,
        params: Option<&Buf<f32>>,
        current: &Buf<f32>,
        words: &Buf<u32>,
        potentials: Option<&Buf<f32>>,
        traces: Option<&Buf<f32>>,
        membrane: Option<&Buf<f32>>,
    ) -> Result<LifForwardBound, GpuError> {
        let Spec { r, m, n, lif, current: kind, keep, trace } = self.spec;
        let neurons = r * m * n;
        let currents = if kind == Current::PerStep { lif.steps * neurons } else { neurons };
        let potentials = optional(gpu, potentials, keep, lif.steps * neurons)?;
        let traces = optional(gpu, traces, trace, neurons)?;
        let params = optional(gpu, params, lif.learn_leak, r)?;
        let carried = optional(gpu, membrane, lif.membrane == Membrane::Carried, 1)?;
        let buffers =
            [&params, current.at_least(currents), words.at_least(neurons), &potentials, &traces, &carried];
        let membrane = membrane.map_or(0, Buf::len);
        Ok(LifForwardBound { spec: self.spec, bound: self.kernel.bind(gpu, &buffers), membrane })
    }
}

impl LifForwardBound {
    /// `m` samples of each replica, at least 1; `leak` is not looked at unless it is learned, `carried` not unless
    /// potentials are.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, leak: LeakAt, carried: CarriedAt) {
        assert!((1..=self.spec.m).contains(&m), "lif_forward: {m} samples, compiled for 1..={}", self.spec.m);
        let replica = m * self.spec.n;
        let neurons = self.spec.r * replica;
        if self.spec.lif.membrane == Membrane::Carried {
            carried.assert_inside("lif_forward", self.spec.r * m, self.spec.n, self.membrane);
        }
        let [neurons32, replica, p, off] = [neurons, replica, leak.p, leak.off].map(|v| v as u32);
        let [start, end, width] = carried.immediates();
        let imm = [neurons32, replica, p, off, start, end, width];
        self.bound.record(pass, fold_groups(neurons.div_ceil(4), WG), &imm);
    }
}

/// What neurons should have done, by the judge's potentials: words, and which of their bits another rounding cannot
/// change.
pub struct Judged {
    /// N: neurons of a sample, and S.
    n: usize,
    steps: usize,
    words: Vec<u32>,
    sure: Vec<u32>,
    potentials: Vec<f64>,
}

impl Judged {
    /// `potentials` `[rows, S, N]` before the reset, in f64. A neuron that comes within `margin` of its threshold is
    /// free from then on.
    pub fn new(lif: &Lif, n: usize, potentials: Vec<f64>, margin: f64) -> Judged {
        let steps = lif.steps;
        let neurons = potentials.len() / steps;
        let (mut words, mut sure) = (vec![0u32; neurons], vec![0u32; neurons]);
        for e in 0..neurons {
            let mut before = f64::NAN;
            for t in 0..steps {
                let u = potentials[(e / n * steps + t) * n + e % n];
                let (spike, change) = (1 << t, 1 << (t + MAX_STEPS));
                let near = (u - lif.threshold).abs() < margin;
                if near {
                    break;
                }
                sure[e] |= spike;
                // Equal potentials come of equal steps, which are equal in any arithmetic.
                if t == 0 || u == before || (u - before).abs() > margin {
                    sure[e] |= change;
                }
                words[e] |= if u >= lif.threshold { spike } else { 0 };
                words[e] |= if u != before { change } else { 0 };
                before = u;
            }
        }
        Judged { n, steps, words, sure, potentials }
    }

    fn certain(&self, e: usize) -> bool {
        self.sure[e] & ((1 << self.steps) - 1) == (1 << self.steps) - 1
    }

    /// Neurons that came within the margin, and a cap on their number.
    fn exempt(&self) -> Comparison {
        let exempt = (0..self.sure.len()).filter(|&e| !self.certain(e)).count();
        let cap = Tol {
            abs: 1.0 + 1e-3 * self.sure.len() as f64,
            rel: 0.0,
            why: "neurons within the margin of their threshold, whose spikes are free: one, and one in a thousand",
        };
        compare::compare("neurons that are not compared", &[exempt as f32], &[0.0], cap)
    }

    /// Words of a device, bit by bit where they are sure.
    pub fn compare_words(&self, got: &[u32]) -> Vec<Comparison> {
        assert_eq!(got.len(), self.words.len(), "as many words as neurons");
        let masked = |w: &[u32]| w.iter().zip(&self.sure).map(|(w, s)| w & s).collect::<Vec<_>>();
        // Bits that stand for no spike step.
        let outside = !(((1u32 << self.steps) - 1) * 0x1_0001);
        let stray: Vec<u32> = got.iter().map(|w| w & outside).collect();
        vec![
            compare_exact("words", &masked(got), &masked(&self.words)),
            compare_exact("bits of no step", &stray, &vec![0; stray.len()]),
            self.exempt(),
        ]
    }

    /// Potentials `[rows, S, N]` of a device, with `scale` for the relative part; where the judge's neuron came within
    /// the margin, anything.
    pub fn compare_potentials(&self, got: &[f32], scale: &[f64], tol: Tol) -> Comparison {
        let free = |i: usize| !self.certain(i / (self.n * self.steps) * self.n + i % self.n);
        let got: Vec<f32> = got
            .iter()
            .enumerate()
            .map(|(i, &u)| if free(i) { self.potentials[i] as f32 } else { u })
            .collect();
        compare_scaled("potentials", &got, &self.potentials, scale, tol)
    }

    /// Carried potentials of a device, those that nothing may write included, against the judge's, `want`, but for the
    /// neurons within the margin; with the `scale` of each element `[rows, N]` for the relative part.
    pub fn compare_ends(
        &self,
        got: &[f32],
        want: &[f64],
        at: CarriedAt,
        scale: impl Fn(usize) -> f64,
        tol: Tol,
    ) -> Comparison {
        let (mut got, mut scales) = (got.to_vec(), magnitudes(want));
        for e in 0..self.sure.len() {
            let end = at.end(e, self.n);
            scales[end] = scale(e);
            if !self.certain(e) {
                got[end] = want[end] as f32;
            }
        }
        compare_scaled("membrane", &got, want, &scales, tol)
    }

    /// Traces of a device against the judge's, `want`, but for the neurons within the margin.
    pub fn compare_traces(&self, got: &[f32], want: &[f64]) -> Comparison {
        let got: Vec<f32> =
            got.iter().enumerate().map(|(e, &x)| if self.certain(e) { x } else { want[e] as f32 }).collect();
        let tol = Tol { abs: 1e-6, rel: 0.0, why: "at most 16 sums of terms below 1" };
        compare::compare("traces", &got, want, tol)
    }
}

/// Parameters `[R, P]` with the w of a learned leak among them, λ from some 0.2 to 0.8; empty if it is not.
pub(super) fn leaks(lif: &Lif, r: usize, seed: u32) -> (Vec<f32>, LeakAt) {
    let at = LeakAt { p: 3, off: 1 };
    if lif.learn_leak { (normal(seed, 8, r * at.p, 0.7), at) } else { (Vec::new(), LeakAt::default()) }
}

/// Potentials of `samples` of n neurons between others, none above its threshold, in two rows of which the second is
/// where they go; empty if nothing is carried.
pub(super) fn carried(lif: &Lif, samples: usize, n: usize, seed: u32) -> (CarriedAt, Vec<f32>) {
    if lif.membrane == Membrane::Reset {
        return (CarriedAt::default(), Vec::new());
    }
    let width = n + 3;
    let at = CarriedAt { start: 2, end: 2 + samples * width, width };
    let below = lif.threshold as f32 - 0.05;
    (at, normal(seed, 9, 2 * samples * width, 0.6).into_iter().map(|v| v.min(below)).collect())
}

pub(super) fn upload_carried(gpu: &Gpu, label: &str, membrane: &[f32]) -> Result<Option<Buf<f32>>, GpuError> {
    (!membrane.is_empty()).then(|| gpu.upload(label, &[membrane.len()], membrane)).transpose()
}

/// The w of each replica among `params`.
pub(super) fn logits(params: &[f32], at: LeakAt) -> Vec<f32> {
    params.chunks_exact(at.p.max(1)).map(|replica| replica[at.off]).collect()
}

/// Shader against f64 twin on the same f32 currents, which drive neurons across their threshold and back.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, n, lif, .. } = spec;
    let neurons = r * m * n;
    let steps = if spec.current == Current::PerStep { lif.steps } else { 1 };
    let current: Vec<f32> =
        normal(seed, 0, neurons * steps, 2.0).into_iter().map(|x| x + 0.5 + lif.threshold as f32).collect();
    let judge = Spec { keep: true, trace: true, ..*spec };
    let current64 = widen(&current);
    let (mut words, mut traces) = (vec![0; neurons], vec![0.0; neurons]);
    let mut potentials = vec![0.0; neurons * lif.steps];
    let (params, at) = leaks(&lif, r, seed);
    let (carried, membrane) = carried(&lif, r * m, n, seed);
    let mut ends = widen(&membrane);
    lif_forward_cpu(
        &judge,
        m,
        carried,
        &widen(&logits(&params, at)),
        &current64,
        &mut words,
        &mut potentials,
        &mut traces,
        &mut ends,
    );
    let peak = current64.iter().chain(&ends).fold(lif.reset.abs(), |a, x| a.max(x.abs()));
    let judged = Judged::new(&lif, n, potentials, MARGIN);

    let kernel = LifForward::new(gpu, spec)?;
    let current = gpu.upload("lif_forward.current", &[r, m, steps, n], &current)?;
    let words = gpu.alloc::<u32>("lif_forward.words", &[r, m, n], Fill::Poison)?;
    let out = |wanted: bool, steps: usize| {
        wanted.then(|| gpu.alloc::<f32>("lif_forward.out", &[r, m, steps, n], Fill::Poison)).transpose()
    };
    let (kept, traced) = (out(spec.keep, lif.steps)?, out(spec.trace, 1)?);
    let params = lif.learn_leak.then(|| gpu.upload("lif_forward.params", &[r, at.p], &params)).transpose()?;
    let membrane = upload_carried(gpu, "lif_forward.membrane", &membrane)?;
    let bound = kernel.bind(
        gpu,
        params.as_ref(),
        &current,
        &words,
        kept.as_ref(),
        traced.as_ref(),
        membrane.as_ref(),
    )?;
    gpu.run(|pass| bound.record(pass, m, at, carried))?;
    let mut rows = judged.compare_words(&gpu.read(&words)?);
    if let Some(kept) = kept {
        let scale = vec![peak; neurons * lif.steps];
        rows.push(judged.compare_potentials(&gpu.read(&kept)?, &scale, TOL));
    }
    if let Some(traced) = traced {
        rows.push(judged.compare_traces(&gpu.read(&traced)?, &traces));
    }
    if let Some(membrane) = membrane {
        rows.push(judged.compare_ends(&gpu.read(&membrane)?, &ends, carried, |_| peak, TOL));
    }
    Ok(rows)
}
