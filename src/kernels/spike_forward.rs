//! spike_forward: a layer of leaky integrate-and-fire neurons driven by the spikes of the layer below through a weight
//! and a bias, all S steps at once. Spike words as in `lif_forward`.

use super::common::*;
use super::lif_forward::{
    CarriedAt, Judged, MARGIN, carried, carried_words, lambda_of, lif_prelude, neuron, optional,
    upload_carried,
};
use super::tile::BK;
use crate::nets::lif::MAX_STEPS;
use crate::nets::{Lif, Membrane};

pub const SHADER: Source = shader!("shaders/", "spike_forward");

pub const TOL: Tol = Tol {
    abs: 3e-7,
    rel: 1e-6,
    why: "of sum|w| + |b|, which bounds the current: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica; the most that will be recorded.
    pub m: usize,
    /// I: neurons of the layer below.
    pub i: usize,
    /// O: neurons of the layer.
    pub o: usize,
    /// P: parameters of a replica.
    pub p: usize,
    pub lif: Lif,
    /// Whether the potentials before the reset are stored.
    pub keep: bool,
    /// Whether the trace is stored: the read-out's leaky integrator on the spikes alone.
    pub trace: bool,
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Samples of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Weight `[O, I]` inside a replica's parameters.
    pub w_off: usize,
    /// Bias `[O]` inside a replica's parameters.
    pub b_off: usize,
    /// w of the leak sigmoid(w) inside a replica's parameters, where it is learned.
    pub leak_off: usize,
    /// Potentials that outlive an inference, where there are such.
    pub carried: CarriedAt,
}

/// `params` `[R, P]`, `spikes` `[R, m, I]` words of the layer below, `words` `[R, m, O]`; `potentials` `[R, m, S, O]`
/// if they are kept, before the reset; `traces` `[R, m, O]` if they are wanted; `membrane` as [`Args::carried`] says.
#[expect(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn spike_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    spikes: &[u32],
    words: &mut [u32],
    potentials: &mut [F],
    traces: &mut [F],
    membrane: &mut [F],
) {
    let &Spec { r, i, o, p, lif, .. } = spec;
    let carries = lif.membrane == Membrane::Carried;
    for row in 0..r * at.m {
        let params = &params[row / at.m * p..][..p];
        let spikes = &spikes[row * i..][..i];
        let lambda = lambda_of(&lif, params.get(at.leak_off..).unwrap_or(&[]), 0);
        for j in 0..o {
            let w = &params[at.w_off + j * i..][..i];
            let mut current = [F::splat(0.0); MAX_STEPS];
            for (t, current) in current[..lif.steps].iter_mut().enumerate() {
                for (&word, &w) in spikes.iter().zip(w) {
                    if word >> t & 1 != 0 {
                        *current += w;
                    }
                }
                *current += params[at.b_off + j];
            }
            let e = row * o + j;
            let start = if carries { membrane[at.carried.start(e, o)] } else { F::splat(0.0) };
            let (word, trace, v) = neuron(
                &lif,
                lambda,
                start,
                |t| current[t],
                |t, u| {
                    if spec.keep {
                        potentials[(row * lif.steps + t) * o + j] = u;
                    }
                },
            );
            words[e] = word;
            if spec.trace {
                traces[e] = trace;
            }
            if carries {
                membrane[at.carried.end(e, o)] = v;
            }
        }
    }
}

/// What one workgroup computes: `bm` samples × `bn` neurons, a sample and four neurons a thread.
#[derive(Clone, Copy, Debug)]
struct Tile {
    bm: usize,
    bn: usize,
}

impl Tile {
    /// 256 threads where there is enough to do, narrow for few neurons, never under one warp of 32.
    fn choose(samples: usize, neurons: usize) -> Tile {
        let bn = neurons.next_power_of_two().clamp(8, 64);
        Tile { bm: samples.next_power_of_two().clamp(128 / bn, 1024 / bn), bn }
    }
    fn threads(self) -> usize {
        self.bm * self.bn / 4
    }
    /// Loop iterations of a thread for `inputs` inputs.
    fn trips(self, inputs: usize) -> usize {
        let loads = (self.bm * BK).div_ceil(self.threads()) + (BK * self.bn / 4).div_ceil(self.threads());
        inputs.div_ceil(BK) * (1 + loads + BK / 2)
    }
}

/// Workgroups for `m` samples of each replica.
pub fn groups(spec: &Spec, m: usize) -> [u32; 3] {
    let tile = Tile::choose(spec.m, spec.o);
    [m.div_ceil(tile.bm) as u32, spec.o.div_ceil(tile.bn) as u32, spec.r as u32]
}

/// Threads of a workgroup.
pub fn threads(spec: &Spec) -> usize {
    Tile::choose(spec.m, spec.o).threads()
}

/// What a dispatch over all M samples must do. A weight is added where there is a spike: the operations depend on the
/// data.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, lif, keep, trace, .. } = spec;
    let moved = 1 + if keep { lif.steps } else { 0 } + usize::from(trace) + carried_words(&lif);
    Cost::moving(r * o * (i + 1) + r * m * (i + o * moved))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { m, i, o, p, lif, keep, trace, .. } = spec;
    let tile = Tile::choose(m, o);
    let prelude = Prelude::new()
        .u32("P", p)
        .u32("I", i)
        .u32("O", o)
        .u32("KEEP", usize::from(keep))
        .u32("TRACE", usize::from(trace))
        .u32("BM", tile.bm)
        .u32("BN", tile.bn)
        .u32("BK", BK)
        .u32("THREADS", tile.threads());
    lif_prelude(&lif, prelude)
}

host! {
    SpikeForward, SpikeForwardBound, length of membrane;
    // Indices of potentials are u32.
    fits |gpu, &Spec { r, m, i, o, lif, .. }| {
        let tile = Tile::choose(m, o);
        check_groups(gpu, "spike_forward", &[r, m.div_ceil(tile.bm), o.div_ceil(tile.bn)])?;
        check_trips(gpu, "spike_forward", tile.trips(i))?;
        check_index(gpu, "spike_forward", r * m * lif.steps * o)
    };
}

impl SpikeForward {
    /// `params` `[R, P]`, `spikes` `[R, M, I]`, `words` `[R, M, O]`; `potentials` `[R, M, S, O]` and `traces`
    /// `[R, M, O]` as the specification wants; `membrane` where potentials are carried: whatever the places of `record`
    /// point into.
    #[expect(clippy::too_many_arguments, reason = "the buffers in binding order")]
    pub fn bind(
        &self,
        gpu: &Gpu,
        params: &Buf<f32>,
        spikes: &Buf<u32>,
        words: &Buf<u32>,
        potentials: Option<&Buf<f32>>,
        traces: Option<&Buf<f32>>,
        membrane: Option<&Buf<f32>>,
    ) -> Result<SpikeForwardBound, GpuError> {
        let Spec { r, m, i, o, p, lif, keep, trace } = self.spec;
        let potentials = optional(gpu, potentials, keep, r * m * lif.steps * o)?;
        let traces = optional(gpu, traces, trace, r * m * o)?;
        let carried = optional(gpu, membrane, lif.membrane == Membrane::Carried, 1)?;
        let buffers = [
            params.of_len(r * p),
            spikes.at_least(r * m * i),
            words.at_least(r * m * o),
            &potentials,
            &traces,
            &carried,
        ];
        let membrane = membrane.map_or(0, Buf::len);
        Ok(SpikeForwardBound { spec: self.spec, bound: self.kernel.bind(gpu, &buffers), membrane })
    }
}

impl SpikeForwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, i, o, p, .. } = &self.spec;
        assert!((1..=m).contains(&at.m), "spike_forward: {} samples, compiled for 1..={m}", at.m);
        assert!(
            at.w_off + o * i <= p && at.b_off + o <= p,
            "spike_forward: {at:?} leaves the {p} parameters"
        );
        assert!(
            !self.spec.lif.learn_leak || at.leak_off < p,
            "spike_forward: {at:?} leaves the {p} parameters"
        );
        if self.spec.lif.membrane == Membrane::Carried {
            at.carried.assert_inside("spike_forward", r * at.m, o, self.membrane);
        }
        let groups = groups(&self.spec, at.m);
        let [m, w_off, b_off, leak_off] = [at.m, at.w_off, at.b_off, at.leak_off].map(|v| v as u32);
        let [start, end, width] = at.carried.immediates();
        self.bound.record(pass, groups, &[m, w_off, b_off, leak_off, start, end, width]);
    }
}

/// Random spike words: each bit of the steps with probability 0.3, and noise in the upper half, which nothing may read.
pub(super) fn random_words(seed: u32, what: u32, n: usize, steps: usize) -> Vec<u32> {
    let mut s = Sample::new(seed, what);
    let mut word = || (0..steps).fold(0, |w, t| w | u32::from(s.unit() < 0.3) << t) | s.word() << MAX_STEPS;
    (0..n).map(|_| word()).collect()
}

/// Shader against f64 twin on the same f32 weights and the same spikes. The layer lies at the end of the P parameters.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, lif, .. } = spec;
    // The leak, if it is learned, before the layer.
    let (carried, membrane) = carried(&lif, r * m, o, seed);
    let at = Args { m, w_off: p - o * i - o, b_off: p - o, leak_off: 1, carried };
    // Currents around the threshold, half of them above: of variance 1 + 4.
    let mut params = normal(seed, 0, r * p, 1.0 / (0.3 * i as f64).sqrt());
    params.chunks_mut(p).for_each(|p| p[at.b_off..].iter_mut().for_each(|b| *b = 2.0 * *b + 1.0));
    let spikes = random_words(seed, 1, r * m * i, lif.steps);
    let params64 = widen(&params);
    let judge = Spec { keep: true, trace: true, ..*spec };
    let (mut words, mut traces) = (vec![0; r * m * o], vec![0.0; r * m * o]);
    let mut potentials = vec![0.0; r * m * lif.steps * o];
    let mut ends = widen(&membrane);
    let (u, to) = (&mut potentials, &mut ends);
    spike_forward_cpu(&judge, &at, &params64, &spikes, &mut words, u, &mut traces, to);
    let bound_of = |replica: usize, j: usize| {
        let params = &params64[replica * p..][..p];
        let w = &params[at.w_off + j * i..][..i];
        w.iter().map(|w| w.abs()).sum::<f64>() + params[at.b_off + j].abs() + lif.reset.abs()
    };
    let bounds: Vec<f64> = (0..r * o).map(|k| bound_of(k / o, k % o)).collect();
    let scale: Vec<f64> =
        (0..potentials.len()).map(|k| bounds[k / (m * lif.steps * o) * o + k % o]).collect();
    let judged = Judged::new(&lif, o, potentials, MARGIN);

    let kernel = SpikeForward::new(gpu, spec)?;
    let params = gpu.upload("spike_forward.params", &[r, p], &params)?;
    let spikes = gpu.upload("spike_forward.spikes", &[r, m, i], &spikes)?;
    let words = gpu.alloc::<u32>("spike_forward.words", &[r, m, o], Fill::Poison)?;
    let out = |wanted: bool, steps: usize| {
        wanted.then(|| gpu.alloc::<f32>("spike_forward.out", &[r, m, steps, o], Fill::Poison)).transpose()
    };
    let (kept, traced) = (out(spec.keep, lif.steps)?, out(spec.trace, 1)?);
    let membrane = upload_carried(gpu, "spike_forward.membrane", &membrane)?;
    let bound =
        kernel.bind(gpu, &params, &spikes, &words, kept.as_ref(), traced.as_ref(), membrane.as_ref())?;
    gpu.run(|pass| bound.record(pass, &at))?;
    let mut rows = judged.compare_words(&gpu.read(&words)?);
    if let Some(kept) = kept {
        rows.push(judged.compare_potentials(&gpu.read(&kept)?, &scale, TOL));
    }
    if let Some(traced) = traced {
        rows.push(judged.compare_traces(&gpu.read(&traced)?, &traces));
    }
    if let Some(membrane) = membrane {
        // A potential is within the current's bound or where it started.
        let scale = |e: usize| bounds[e / (m * o) * o + e % o] + lif.threshold.abs() + 3.0;
        rows.push(judged.compare_ends(&gpu.read(&membrane)?, &ends, carried, scale, TOL));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_default_limits_of_webgpu() {
        for samples in (1..300).chain([4096]) {
            for neurons in (1..200).chain([4096]) {
                let t = Tile::choose(samples, neurons);
                assert!((32..=256).contains(&t.threads()), "{samples}x{neurons}: {t:?}");
                let bytes = 4 * t.bm * (BK + 1) + 16 * BK * (t.bn / 4 + 1);
                assert!(bytes <= 16_384, "{t:?} takes {bytes} bytes of workgroup memory");
            }
        }
    }
}
