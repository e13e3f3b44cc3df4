//! Forward passes on the GPU, in f32 and in f16.

use super::spikes::{Between, Spikes, carried_at};
use super::{split, visible};
use crate::gpu::{Buf, Gpu, GpuError};
use crate::kernels::dense_forward_f16::Stored;
use crate::kernels::layer::Rows;
use crate::kernels::lif_forward::{Current, LeakAt};
use crate::kernels::{
    dense_forward, dense_forward_f16, lif_forward, population_forward, readout_carried, spike_forward,
};
use crate::nets::MlpLayout;
use crate::nets::mlp::Layer;

/// A network's forward pass from one input buffer through its own activations.
pub struct Forward {
    /// All layers; of a spiking network the first, if it does not encode, and the last.
    layers: Vec<dense_forward::DenseForwardBound>,
    neurons: Option<Neurons>,
    layout: MlpLayout,
}

/// What lies between the first and the last layer of a spiking network.
struct Neurons {
    encoder: Option<population_forward::PopulationForwardBound>,
    first: lif_forward::LifForwardBound,
    above: Vec<spike_forward::SpikeForwardBound>,
    /// Of outputs that go on from those of the slot before.
    readout: Option<readout_carried::ReadoutCarriedBound>,
    /// R and P
    r: usize,
    p: usize,
}

impl Forward {
    /// `params` `[R, P]`; `x` `[R, m, I]`; `acts[l]` receives the output of the l-th [`visible`] layer, `[R, m, O]`.
    /// What is inside a spiking network is its own, and nothing is kept for a backward pass.
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
        acts: &[&Buf<f32>],
    ) -> Result<Self, GpuError> {
        let spikes = Spikes::new(gpu, net, rows, 0)?;
        Self::sharing(gpu, net, rows, params, x, acts, spikes.as_ref(), false)
    }

    /// The same inside `spikes`, which other passes share; with `learn` the potentials are kept for a backward pass.
    #[expect(clippy::too_many_arguments, reason = "a network with its input and activations")]
    pub fn sharing(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
        acts: &[&Buf<f32>],
        spikes: Option<&Spikes>,
        learn: bool,
    ) -> Result<Self, GpuError> {
        let Rows { r, m, .. } = rows;
        assert_eq!(acts.len(), visible(net).len(), "one buffer per visible layer");
        let dense = |l: &Layer, b_scale: f64, input: &Buf<f32>, output: &Buf<f32>| {
            let spec = dense_forward::Spec { b_scale, ..dense_forward::Spec::of(l, rows) };
            Ok::<_, GpuError>(dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, params, input, output))
        };
        let (mut layers, mut neurons) = (Vec::new(), None);
        match net.lif {
            None => {
                for (n, l) in net.layers.iter().enumerate() {
                    layers.push(dense(l, 1.0, if n == 0 { x } else { acts[n - 1] }, acts[n])?);
                }
            }
            Some(lif) => {
                let spikes = spikes.expect("a spiking network has spikes");
                let (hidden, last) = split(net);
                let encoder = match net.population {
                    Some(of) => {
                        let spec = population_forward::Spec::of(&hidden[0], of, rows);
                        let kernel = population_forward::PopulationForward::new(gpu, &spec)?;
                        Some(kernel.bind(gpu, params, x, &spikes.current))
                    }
                    None => {
                        layers.push(dense(&hidden[0], 1.0, x, &spikes.current)?);
                        None
                    }
                };
                layers.push(dense(last, lif.readout_total(), &spikes.trace, acts[0])?);
                // Only the last hidden layer is read out.
                let trace = |n: usize| (n + 1 == hidden.len()).then_some(&spikes.trace);
                let spec = lif_forward::Spec {
                    r,
                    m,
                    n: hidden[0].outputs,
                    lif,
                    current: Current::Constant,
                    keep: false,
                    trace: trace(0).is_some(),
                };
                let first = lif_forward::LifForward::new(gpu, &spec)?.bind(
                    gpu,
                    lif.learn_leak.then_some(params),
                    &spikes.current,
                    &spikes.words[0],
                    None,
                    trace(0),
                    spikes.membrane.as_ref(),
                )?;
                let mut above = Vec::new();
                for (n, l) in hidden.iter().enumerate().skip(1) {
                    let spec = spike_forward::Spec::of(l, rows, lif, [learn, trace(n).is_some()]);
                    let potentials = learn.then(|| &spikes.potentials[n - 1]);
                    above.push(spike_forward::SpikeForward::new(gpu, &spec)?.bind(
                        gpu,
                        params,
                        &spikes.words[n - 1],
                        &spikes.words[n],
                        potentials,
                        trace(n),
                        spikes.membrane.as_ref(),
                    )?);
                }
                let readout = match &spikes.membrane {
                    Some(membrane) if net.carried().len() == net.layers.len() => {
                        let spec = readout_carried::Spec { r, m, o: last.outputs, kept: lif.readout_kept() };
                        Some(readout_carried::ReadoutCarried::new(gpu, &spec)?.bind(gpu, acts[0], membrane))
                    }
                    _ => None,
                };
                neurons = Some(Neurons { encoder, first, above, readout, r, p: rows.p });
            }
        }
        Ok(Forward { layers, neurons, layout: net.clone() })
    }

    /// `m` rows per replica from `x_off` of the input to `y_off` of the output; carried potentials, if there are any,
    /// as [`Between::OWN`].
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, x_off: usize, y_off: usize) {
        self.record_between(pass, m, x_off, y_off, Between::OWN);
    }

    /// The same between two slots of carried potentials, which have `m` rows per replica.
    pub fn record_between(
        &self,
        pass: &mut wgpu::ComputePass,
        m: usize,
        x_off: usize,
        y_off: usize,
        between: Between,
    ) {
        let layers = &self.layout.layers;
        let last = layers.len() - 1;
        let args = |n: usize| {
            let (x_off, y_off) = (if n == 0 { x_off } else { 0 }, if n == last { y_off } else { 0 });
            dense_forward::Args { x_off, y_off, ..dense_forward::Args::of(&layers[n], m) }
        };
        let Some(neurons) = &self.neurons else {
            self.layers.iter().enumerate().for_each(|(n, bound)| bound.record(pass, &args(n)));
            return;
        };
        match &neurons.encoder {
            Some(encoder) => {
                encoder.record(
                    pass,
                    &population_forward::Args { x_off, ..population_forward::Args::of(&layers[0], m) },
                );
            }
            None => self.layers[0].record(pass, &args(0)),
        }
        let leaks = self.layout.leaks().start;
        let carried = carried_at(&self.layout, neurons.r * m, between);
        let of = |layer: usize| carried.get(layer).copied().unwrap_or_default();
        neurons.first.record(pass, m, LeakAt { p: neurons.p, off: leaks }, of(0));
        for (n, (bound, l)) in neurons.above.iter().zip(&layers[1..]).enumerate() {
            bound.record(pass, &spike_forward::Args::of(l, m, leaks + 1 + n, of(1 + n)));
        }
        self.layers[self.layers.len() - 1].record(pass, &args(last));
        if let Some(readout) = &neurons.readout {
            readout.record(pass, m, y_off, of(last));
        }
    }
}

/// A perceptron's forward pass with weights and activations in f16.
pub struct ForwardF16 {
    layers: Vec<dense_forward::DenseForwardBound>,
    layout: MlpLayout,
}

impl ForwardF16 {
    /// `params` `[R, P]`, `x` `[R, m, I]` and `out` `[R, m, O]` in f32; `hidden[l]` receives the output of hidden layer
    /// l as the bits of f16, `[R, m, N]`. Errors on spiking networks and on adapters without f16.
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
        hidden: &[Buf<u16>],
        out: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        if net.lif.is_some() {
            return Err(GpuError::NoF16("this network spikes"));
        }
        let Rows { r, m, p } = rows;
        let last = net.layers.len() - 1;
        assert_eq!(hidden.len(), last, "one buffer per hidden layer");
        let stored = |f16: bool| if f16 { Stored::F16 } else { Stored::F32 };
        let layers = net.layers.iter().enumerate().map(|(n, l)| {
            let (i, o, act) = (l.inputs, l.outputs, l.act);
            let spec = dense_forward_f16::Spec { r, m, i, o, p, act, x: stored(n > 0), y: stored(n < last) };
            let kernel = dense_forward_f16::DenseForwardF16::new(gpu, &spec)?;
            Ok(match (n, n == last) {
                (0, true) => kernel.bind(gpu, params, x, out),
                (0, false) => kernel.bind(gpu, params, x, &hidden[0]),
                (_, true) => kernel.bind(gpu, params, &hidden[n - 1], out),
                (_, false) => kernel.bind(gpu, params, &hidden[n - 1], &hidden[n]),
            })
        });
        Ok(ForwardF16 { layers: layers.collect::<Result<_, GpuError>>()?, layout: net.clone() })
    }

    /// `m` rows per replica.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        for (bound, l) in self.layers.iter().zip(&self.layout.layers) {
            bound.record(pass, &dense_forward_f16::Args::of(l, m));
        }
    }
}
