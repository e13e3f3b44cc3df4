//! How active the hidden layers of a policy are on a GPU: what learners with any kind of neurons tell of them.

use super::network::Spikes;
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::activity_count::{self, Units};
use crate::nets::MlpLayout;
use crate::nets::lif::MAX_STEPS;
use crate::nets::mlp::Layer;

/// Spikes of a hidden layer in a rollout.
pub(super) struct Firing {
    count: activity_count::ActivityCountBound,
    /// `[R, 2, N]`
    counts: Buf<u32>,
    neurons: usize,
    /// Spike steps.
    steps: usize,
}

impl Firing {
    /// One for each hidden layer; none for a perceptron.
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        spikes: Option<&Spikes>,
        (r, m): (usize, usize),
        slots: usize,
    ) -> Result<Vec<Self>, GpuError> {
        assert!(
            u32::try_from(slots * m * MAX_STEPS).is_ok(),
            "{m} environments overflow the counts of a neuron"
        );
        let words = spikes.iter().flat_map(|s| &s.words).zip(&net.layers);
        let of = |(words, layer): (&Buf<u32>, &Layer)| {
            let neurons = layer.outputs;
            let spec = activity_count::Spec { r, m, c: neurons, units: Units::Spikes };
            let counts = gpu.alloc("rollout.firing", &[r, 2, neurons], Fill::Zero)?;
            let count = activity_count::ActivityCount::new(gpu, &spec)?.bind(gpu, words, &counts);
            let steps = net.lif.map_or(1, |lif| lif.steps);
            Ok(Firing { count, counts, neurons, steps })
        };
        words.map(of).collect()
    }

    /// Counts the slot that was just decided; the `first` of a rollout begins anew.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, first: bool) {
        self.count.record(pass, m, first);
    }

    /// Spikes per neuron and spike step of each replica in `slots` slots of its environments.
    pub fn rates(&self, gpu: &Gpu, slots: f64) -> Result<Vec<f64>, GpuError> {
        let (counts, n) = (gpu.read(&self.counts)?, self.neurons);
        let of = |counts: &[u32]| {
            counts[..n].iter().map(|n| f64::from(*n)).sum::<f64>() / (slots * (self.steps * n) as f64)
        };
        Ok(counts.chunks_exact(2 * n).map(of).collect())
    }
}

/// How often the units of a hidden layer were not silent, and how often not saturated.
pub(super) struct Extreme {
    /// Of neurons that spike, the first counts both.
    counts: Vec<(activity_count::ActivityCountBound, Buf<u32>)>,
    neurons: usize,
    /// What a unit can be counted for in a minibatch: samples, times spike steps.
    most: u32,
}

impl Extreme {
    /// One for each hidden layer of the actor, in a minibatch of `m` samples; `values` are the outputs of a
    /// perceptron's.
    pub fn new(
        gpu: &Gpu,
        spikes: Option<&Spikes>,
        values: &[Buf<f32>],
        net: &MlpLayout,
        r: usize,
        m: usize,
    ) -> Result<Vec<Self>, GpuError> {
        let counter = |units, source: Source, neurons| {
            let spec = activity_count::Spec { r, m, c: neurons, units };
            let counts = gpu.alloc::<u32>("update.extremes", &[spec.counts()], Fill::Zero)?;
            let kernel = activity_count::ActivityCount::new(gpu, &spec)?;
            let bound = match source {
                Source::Words(words) => kernel.bind(gpu, words, &counts),
                Source::Values(values) => kernel.bind(gpu, values, &counts),
            };
            Ok::<_, GpuError>((bound, counts))
        };
        let (_, hidden) = net.layers.split_last().expect("a network has layers");
        let of = |(i, layer): (usize, &Layer)| {
            let n = layer.outputs;
            let (counts, steps) = match (spikes, net.lif) {
                (Some(spikes), Some(lif)) => {
                    (vec![counter(Units::Spikes, Source::Words(&spikes.words[i]), n)?], lif.steps)
                }
                _ => {
                    let values = &values[i];
                    let of = |units| counter(units, Source::Values(values), n);
                    (vec![of(Units::Values)?, of(Units::Inside)?], 1)
                }
            };
            Ok(Extreme { counts, neurons: n, most: (m * steps) as u32 })
        };
        hidden.iter().enumerate().map(of).collect()
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        self.counts.iter().for_each(|(count, _)| count.record(pass, m, true));
    }

    /// Of each replica, both counts of every unit.
    pub fn read(&self, gpu: &Gpu, r: usize) -> Result<Vec<Vec<[u64; 2]>>, GpuError> {
        let counts = self.counts.iter().map(|(_, c)| gpu.read(c)).collect::<Result<Vec<_>, _>>()?;
        let n = self.neurons;
        let of = |r: usize, unit: usize| match &counts[..] {
            // Spikes, then membrane updates.
            [spikes] => {
                let spikes = spikes[2 * r * n + unit];
                [spikes.into(), (self.most - spikes).into()]
            }
            both => [0, 1].map(|k| both[k][r * n + unit].into()),
        };
        Ok((0..r).map(|r| (0..n).map(|unit| of(r, unit)).collect()).collect())
    }
}

/// What the activity of a layer is read from.
enum Source<'a> {
    Words(&'a Buf<u32>),
    Values(&'a Buf<f32>),
}
