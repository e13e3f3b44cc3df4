//! Networks out of the dense and the spiking kernels: layer behind layer, bound on the GPU as training records them,
//! and through the CPU twins.
//!
//! A spiking network ([`MlpLayout::lif`]) sees the same input at every spike step, so its first currents are one dense
//! layer, or those of the neurons that encode the input ([`MlpLayout::population`]). Its output is a
//! leaky integrator without threshold, read after the last step: linear in the spikes, it is one dense layer on their
//! trace Σ_t λ(1−λ)^(S−1−t) s(t), whose bias has the factor 1−(1−λ)^S. Where potentials are carried from slot to slot
//! ([`Membrane::Carried`](crate::nets::Membrane)), those of all layers stand in one buffer, slot by slot: a pass reads
//! one slot and writes another ([`Between`]).

use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::dense_forward_f16::{self, Stored};
pub use crate::kernels::layer::Rows;
use crate::kernels::lif_backward::{self, Upstream};
use crate::kernels::lif_forward::{self, CarriedAt, Current, LeakAt};
use crate::kernels::{
    column_sum, dense_backward_input, dense_backward_weights, dense_forward, grad_reduce,
    population_backward, population_forward, readout_carried, spike_backward_weights, spike_forward,
};
use crate::nets::mlp::Layer;
use crate::nets::{Activation, Lif, Membrane, MlpLayout};
use crate::num::real::Real;

/// The layers whose outputs a forward pass writes into buffers of its caller: all, but of a spiking network only the
/// output layer.
pub fn visible(net: &MlpLayout) -> &[Layer] {
    let all = &net.layers[..];
    if net.lif.is_some() { &all[all.len() - 1..] } else { all }
}

/// Carried potentials of so many slots; none where they are reset.
fn membrane(gpu: &Gpu, net: &MlpLayout, slots: usize, rows: Rows) -> Result<Option<Buf<f32>>, GpuError> {
    let shape = [slots, rows.r, rows.m, net.carried().iter().sum()];
    (shape[3] > 0).then(|| gpu.alloc("spikes.membrane", &shape, Fill::Zero)).transpose()
}

/// What happens inside a spiking network, for passes that work on the same rows one after the other. A clone is the
/// same buffers.
#[derive(Clone)]
pub struct Spikes {
    /// Currents of the first hidden layer `[R, m, N]`, the same at every step.
    current: Buf<f32>,
    /// Spike words (`lif_forward`) of each hidden layer, `[R, m, N]`.
    pub words: Vec<Buf<u32>>,
    /// Trace of the last hidden layer `[R, m, N]`: what the output layer weighs.
    trace: Buf<f32>,
    /// Potentials of the hidden layers above the first, `[R, m, S, N]`, if a backward pass needs them.
    pub potentials: Vec<Buf<f32>>,
    /// Potentials that outlive an inference, all layers' side by side, `[slots, R, m, width]`, zero at first.
    pub membrane: Option<Buf<f32>>,
}

/// The slots among carried potentials that a pass starts from and writes to.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    pub start: usize,
    pub end: usize,
}

impl Between {
    /// Of potentials that nobody else uses: from rest, or what was put into the first slot, to the second.
    pub const OWN: Between = Between { start: 0, end: 1 };

    /// Slot `t` of a rollout of `horizon` slots, in which every episode has `slots`: to the next one, or behind the
    /// rollout where it ends an episode, whose successor finds its own still at rest.
    pub fn of_rollout(t: usize, horizon: usize, slots: usize) -> Between {
        Between { start: t, end: if (t + 1).is_multiple_of(slots) { horizon } else { t + 1 } }
    }
}

/// Where layer after layer of a network has its potentials in slots of `rows` samples.
fn carried_at(net: &MlpLayout, rows: usize, between: Between) -> Vec<CarriedAt> {
    let carried = net.carried();
    let width = carried.iter().sum::<usize>();
    let first = carried.iter().scan(0, |next, n| Some(std::mem::replace(next, *next + n)));
    let at = |first| {
        let of = |slot: usize| slot * rows * width + first;
        CarriedAt { start: of(between.start), end: of(between.end), width }
    };
    first.map(at).collect()
}

impl Spikes {
    /// Buffers for `rows` rows; with `learn` > 0, for a backward pass over up to `learn` of them. `None` for a
    /// perceptron.
    pub fn new(gpu: &Gpu, net: &MlpLayout, rows: Rows, learn: usize) -> Result<Option<Self>, GpuError> {
        let Some(lif) = net.lif else { return Ok(None) };
        let (hidden, _) = split(net);
        let Rows { r, m, .. } = rows;
        let zero = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Zero);
        let words = |l: &Layer| gpu.alloc::<u32>("spikes.words", &[r, m, l.outputs], Fill::Zero);
        let kept = if learn > 0 { &hidden[1..] } else { &[] };
        let potentials = |l: &Layer| zero("spikes.potentials", &[r, learn, lif.steps, l.outputs]);
        Ok(Some(Spikes {
            current: zero("spikes.current", &[r, m, hidden[0].outputs])?,
            words: hidden.iter().map(words).collect::<Result<_, _>>()?,
            trace: zero("spikes.trace", &[r, m, hidden[hidden.len() - 1].outputs])?,
            potentials: kept.iter().map(potentials).collect::<Result<_, _>>()?,
            membrane: membrane(gpu, net, 2, rows)?,
        }))
    }

    /// The same with potentials of its own for a rollout of `horizon` slots of `rows`, if any are carried.
    pub fn of_rollout(
        &self,
        gpu: &Gpu,
        net: &MlpLayout,
        horizon: usize,
        rows: Rows,
    ) -> Result<Self, GpuError> {
        Ok(Spikes { membrane: membrane(gpu, net, horizon + 1, rows)?, ..self.clone() })
    }
}

/// Hidden layers and output layer of a spiking network.
fn split(net: &MlpLayout) -> (&[Layer], &Layer) {
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    assert!(!hidden.is_empty(), "a spiking network has hidden layers");
    (hidden, last)
}

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

/// A network's backward pass: weight gradients into partial sums, for `grad_reduce` to add.
pub struct Backward {
    /// All layers; of a spiking network the first, if it does not encode, and the last.
    weights: Vec<dense_backward_weights::DenseBackwardWeightsBound>,
    inputs: Vec<Option<dense_backward_input::DenseBackwardInputBound>>,
    neurons: Option<NeuronsBack>,
    layout: MlpLayout,
}

/// What lies between the first and the last layer of a spiking network.
struct NeuronsBack {
    encoder: Option<population_backward::PopulationBackwardBound>,
    /// By the currents of each hidden layer, and by its neurons' leak if that is learned.
    neurons: Vec<lif_backward::LifBackwardBound>,
    /// Of the latter, sums over the neurons of a layer and all rows, into the first slice of the partial gradients.
    leaks: Vec<column_sum::ColumnSumBound>,
    /// R and P
    r: usize,
    p: usize,
    /// Of the hidden layers above the first: by their weights, and by the spikes of the layer below.
    weights: Vec<spike_backward_weights::SpikeBackwardWeightsBound>,
    spikes: Vec<dense_backward_input::DenseBackwardInputBound>,
    rate_penalty: f64,
}

impl Backward {
    /// `x` and `acts` as for the forward pass of a perceptron; `dy[l]` is the gradient by layer l before its
    /// activation, of which the last is given and the others are written; `dx`, if wanted, receives the gradient by the
    /// input; `partials` is `[slices, R, P]`.
    #[expect(clippy::too_many_arguments, reason = "a network with its input, activations and gradients")]
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        slices: usize,
        params: &Buf<f32>,
        x: &Buf<f32>,
        acts: &[&Buf<f32>],
        dy: &[&Buf<f32>],
        dx: Option<&Buf<f32>>,
        partials: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        assert!(net.lif.is_none(), "a spiking network goes backwards through its spikes");
        let (mut weights, mut inputs) = (Vec::new(), Vec::new());
        for (n, l) in net.layers.iter().enumerate() {
            let input = if n == 0 { x } else { acts[n - 1] };
            let spec = dense_backward_weights::Spec::of(l, rows, slices);
            let kernel = dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?;
            weights.push(kernel.bind(gpu, dy[n], input, partials));
            let below = if n == 0 { dx } else { Some(dy[n - 1]) };
            let spec = dense_backward_input::Spec::of(l, rows, act_before(net, n));
            let kernel = |below| {
                let kernel = dense_backward_input::DenseBackwardInput::new(gpu, &spec)?;
                Ok::<_, GpuError>(kernel.bind(gpu, params, dy[n], input, below))
            };
            inputs.push(below.map(kernel).transpose()?);
        }
        Ok(Backward { weights, inputs, neurons: None, layout: net.clone() })
    }

    /// Of a spiking network, behind a forward pass that kept its potentials in `spikes`. `dy` is the gradient by the
    /// output; the loss has `rate_penalty` times the mean firing rate of all hidden neurons in it. Neurons that encode
    /// the inputs pass nothing on to `dx`, which no learner asks them for. Where leaks are learned, their places in all
    /// slices of `partials` but the first must be 0, and stay so.
    #[expect(clippy::too_many_arguments, reason = "a network with its input, activations and gradients")]
    pub fn spiking(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        slices: usize,
        params: &Buf<f32>,
        x: &Buf<f32>,
        spikes: &Spikes,
        dy: &Buf<f32>,
        dx: Option<&Buf<f32>>,
        partials: &Buf<f32>,
        rate_penalty: f64,
    ) -> Result<Self, GpuError> {
        let lif = net.lif.expect("a spiking network");
        assert!(
            net.population.is_none() || dx.is_none(),
            "neurons that encode pass no gradient to their inputs"
        );
        let Rows { r, m, .. } = rows;
        let (hidden, last) = split(net);
        let zero = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Zero);
        // Gradients by the currents: of the first layer summed over the steps, of the others one a step.
        let d_current = hidden
            .iter()
            .enumerate()
            .map(|(n, l)| {
                let shape = if n == 0 { vec![r, m, l.outputs] } else { vec![r, m, lif.steps, l.outputs] };
                zero("spikes.d_current", &shape)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let d_trace = zero("spikes.d_trace", &[r, m, last.inputs])?;

        let dense_weights = |l: &Layer, b_scale: f64, dy: &Buf<f32>, x: &Buf<f32>| {
            let spec =
                dense_backward_weights::Spec { b_scale, ..dense_backward_weights::Spec::of(l, rows, slices) };
            let kernel = dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?;
            Ok::<_, GpuError>(kernel.bind(gpu, dy, x, partials))
        };
        // Of `m` rows; nothing activates, so the layer's input is not read.
        let dense_input = |l: &Layer, m: usize, dy: &Buf<f32>, dx: &Buf<f32>| {
            let spec = dense_backward_input::Spec::of(l, Rows { m, ..rows }, Activation::None);
            let kernel = dense_backward_input::DenseBackwardInput::new(gpu, &spec)?;
            Ok::<_, GpuError>(kernel.bind(gpu, params, dy, dy, dx))
        };
        let (mut weights, mut inputs) = (Vec::new(), Vec::new());
        let encoder = match net.population {
            Some(of) => {
                let of = population_forward::Spec::of(&hidden[0], of, rows);
                let kernel = population_backward::PopulationBackward::new(
                    gpu,
                    &population_backward::Spec { of, slices },
                )?;
                Some(kernel.bind(gpu, params, x, &spikes.current, &d_current[0], partials))
            }
            None => {
                weights.push(dense_weights(&hidden[0], 1.0, &d_current[0], x)?);
                inputs.push(dx.map(|dx| dense_input(&hidden[0], m, &d_current[0], dx)).transpose()?);
                None
            }
        };
        weights.push(dense_weights(last, lif.readout_total(), dy, &spikes.trace)?);
        inputs.push(Some(dense_input(last, m, dy, &d_trace)?));
        let (mut neurons, mut between, mut by_spikes) = (Vec::new(), Vec::new(), Vec::new());
        let mut leaks = Vec::new();
        for (n, l) in hidden.iter().enumerate() {
            let d_spikes = match hidden.get(n + 1) {
                Some(_) => Some(zero("spikes.d_spikes", &[r, m, lif.steps, l.outputs])?),
                None => None,
            };
            let (current, source) = match n {
                0 => (Current::Constant, &spikes.current),
                _ => (Current::PerStep, &spikes.potentials[n - 1]),
            };
            let (upstream, from) = match &d_spikes {
                Some(d) => (Upstream::Spikes, d),
                None => (Upstream::Readout, &d_trace),
            };
            let spec = lif_backward::Spec { r, m, n: l.outputs, lif, current, upstream };
            let kernel = lif_backward::LifBackward::new(gpu, &spec)?;
            let (by, leak) = (&d_current[n], lif.learn_leak.then_some(params));
            let d_leak = leak.map(|_| zero("spikes.d_leak", &[r, m, l.outputs])).transpose()?;
            let membrane = spikes.membrane.as_ref();
            neurons.push(kernel.bind(gpu, leak, source, from, by, d_leak.as_ref(), membrane)?);
            if let Some(d_leak) = &d_leak {
                let sum = column_sum::Spec { r, m: m * l.outputs, c: 1 };
                leaks.push(column_sum::ColumnSum::new(gpu, &sum)?.bind(gpu, d_leak, partials));
            }
            if let (Some(above), Some(d_spikes)) = (hidden.get(n + 1), &d_spikes) {
                let spec = spike_backward_weights::Spec::of(above, rows, lif.steps, slices);
                let kernel = spike_backward_weights::SpikeBackwardWeights::new(gpu, &spec)?;
                between.push(kernel.bind(gpu, &d_current[n + 1], &spikes.words[n], partials));
                by_spikes.push(dense_input(above, m * lif.steps, &d_current[n + 1], d_spikes)?);
            }
        }
        let p = rows.p;
        let neurons =
            NeuronsBack { encoder, neurons, leaks, r, p, weights: between, spikes: by_spikes, rate_penalty };
        Ok(Backward { weights, inputs, neurons: Some(neurons), layout: net.clone() })
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        let Some(back) = &self.neurons else {
            for n in (0..self.layout.layers.len()).rev() {
                self.dense(pass, n, n, m);
            }
            return;
        };
        let lif = self.layout.lif.expect("a spiking network");
        let (hidden, _) = split(&self.layout);
        let penalty = spike_penalty(&self.layout, back.rate_penalty, m) as f32;
        let carried = carried_at(&self.layout, back.r * m, Between::OWN);
        self.dense(pass, self.weights.len() - 1, hidden.len(), m);
        for n in (0..hidden.len()).rev() {
            let leak = LeakAt { p: back.p, off: self.layout.leaks().start + n };
            let carried = carried.get(n).copied().unwrap_or_default();
            back.neurons[n].record(pass, m, penalty, leak, carried);
            if let Some(sum) = back.leaks.get(n) {
                let (m, out_stride, out_off) = (m * hidden[n].outputs, leak.p, leak.off);
                sum.record(pass, &column_sum::Args { m, out_stride, out_off, scale: 1.0 });
            }
            if n > 0 {
                let rows = m * lif.steps;
                back.weights[n - 1].record(pass, &spike_backward_weights::Args::of(&hidden[n], m));
                back.spikes[n - 1].record(pass, &dense_backward_input::Args::of(&hidden[n], rows));
            }
        }
        match &back.encoder {
            Some(encoder) => encoder.record(pass, &population_backward::Args::of(&hidden[0], m)),
            None => self.dense(pass, 0, 0, m),
        }
    }

    /// The `k`-th dense layer of this pass, which is layer `n` of the network.
    fn dense(&self, pass: &mut wgpu::ComputePass, k: usize, n: usize, m: usize) {
        let l = &self.layout.layers[n];
        self.weights[k].record(pass, &dense_backward_weights::Args::of(l, m));
        if let Some(input) = &self.inputs[k] {
            input.record(pass, &dense_backward_input::Args::of(l, m));
        }
    }
}

/// What a loss with `rate_penalty` times the mean firing rate has as gradient by each spike of `m` samples.
fn spike_penalty(net: &MlpLayout, rate_penalty: f64, m: usize) -> f64 {
    let (hidden, _) = split(net);
    let neurons: usize = hidden.iter().map(|l| l.outputs).sum();
    let steps = net.lif.expect("a spiking network").steps;
    rate_penalty / (m * steps * neurons) as f64
}

impl Backward {
    /// The gradient by the input alone; the partial sums stay as they are.
    pub fn record_input(&self, pass: &mut wgpu::ComputePass, m: usize) {
        for (input, l) in self.inputs.iter().zip(&self.layout.layers).rev() {
            let input = input.as_ref().expect("made with `dx`");
            input.record(pass, &dense_backward_input::Args::of(l, m));
        }
    }
}

/// The activation that made the input of layer `n`.
fn act_before(net: &MlpLayout, n: usize) -> Activation {
    if n == 0 { Activation::None } else { net.layers[n - 1].act }
}

/// Slices of the rows in the weight gradient of the CPU twins; more than one, so that their sum is tested too.
pub const CPU_SLICES: usize = 3;

/// What a forward and backward pass leaves.
pub struct Pass<F> {
    /// Input, hidden activations and output, each `[R, M, width]`; of spiking neurons the potentials before the reset,
    /// `[R, M, S, width]`.
    pub h: Vec<Vec<F>>,
    /// `[R, P]`; NaN where the parameters are not the network's.
    pub grads: Vec<F>,
    /// Gradient by the input `[R, M, I]`; empty where neurons encode it.
    pub dx: Vec<F>,
}

/// One dense layer through its twin: outputs `[R, M, O]`.
pub fn dense_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    b_scale: f64,
    params: &[F],
    x: &[F],
) -> Vec<F> {
    let rows = Rows { r, m, p: params.len() / r };
    let spec = dense_forward::Spec { b_scale, ..dense_forward::Spec::of(l, rows) };
    let mut y = nan(r * m * l.outputs);
    dense_forward::dense_forward_cpu(&spec, &dense_forward::Args::of(l, m), params, x, &mut y);
    y
}

fn nan<F: Real<Elem = F>>(n: usize) -> Vec<F> {
    vec![F::splat(f64::NAN); n]
}

/// What happens inside a spiking network, as [`Spikes`].
struct SpikesCpu<F> {
    current: Vec<F>,
    words: Vec<Vec<u32>>,
    trace: Vec<F>,
    /// Carried potentials before and after it, `[2, R, M, width]`.
    membrane: Vec<F>,
}

/// w `[R]` of the learned leak of hidden layer `n`; empty where it is not learned.
fn leaks_of<F: Real<Elem = F>>(net: &MlpLayout, r: usize, params: &[F], n: usize) -> Vec<F> {
    let of = |replica: &[F]| net.leaks().nth(n).map(|off| replica[off]);
    params.chunks_exact(params.len() / r).filter_map(of).collect()
}

/// Input, potentials of the hidden layers and output of a spiking network; `start` as for [`carried_forward_cpu`].
fn spiking_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    lif: Lif,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
) -> (Vec<Vec<F>>, SpikesCpu<F>) {
    let (hidden, last) = split(net);
    let carried = carried_at(net, r * m, Between::OWN);
    let of = |layer: usize| carried.get(layer).copied().unwrap_or_default();
    let mut membrane = vec![F::splat(0.0); 2 * r * m * of(0).width];
    membrane[..start.len()].copy_from_slice(start);
    let rows = Rows { r, m, p: params.len() / r };
    let current = match net.population {
        Some(of) => {
            let (l, mut current) = (&hidden[0], nan(r * m * hidden[0].outputs));
            let (spec, at) = (population_forward::Spec::of(l, of, rows), population_forward::Args::of(l, m));
            population_forward::population_forward_cpu(&spec, &at, params, x, &mut current);
            current
        }
        None => dense_cpu(&hidden[0], (r, m), 1.0, params, x),
    };
    let (mut h, mut words) = (vec![x.to_vec()], Vec::<Vec<u32>>::new());
    let mut trace = Vec::new();
    for (n, l) in hidden.iter().enumerate() {
        let neurons = r * m * l.outputs;
        let (mut word, mut potentials) = (vec![u32::MAX; neurons], nan(neurons * lif.steps));
        trace = nan(neurons);
        if n == 0 {
            let spec = lif_forward::Spec {
                r,
                m,
                n: l.outputs,
                lif,
                current: Current::Constant,
                keep: true,
                trace: true,
            };
            let leaks = leaks_of(net, r, params, n);
            lif_forward::lif_forward_cpu(
                &spec,
                m,
                of(n),
                &leaks,
                &current,
                &mut word,
                &mut potentials,
                &mut trace,
                &mut membrane,
            );
        } else {
            let (spec, at) = (
                spike_forward::Spec::of(l, rows, lif, [true; 2]),
                spike_forward::Args::of(l, m, net.leaks().start + n, of(n)),
            );
            let (below, word, potentials) = (&words[n - 1], &mut word, &mut potentials);
            let (trace, membrane) = (&mut trace, &mut membrane);
            spike_forward::spike_forward_cpu(&spec, &at, params, below, word, potentials, trace, membrane);
        }
        h.push(potentials);
        words.push(word);
    }
    let mut y = dense_cpu(last, (r, m), lif.readout_total(), params, &trace);
    if carried.len() == net.layers.len() {
        let spec = readout_carried::Spec { r, m, o: last.outputs, kept: lif.readout_kept() };
        readout_carried::readout_carried_cpu(&spec, m, 0, of(hidden.len()), &mut y, &mut membrane);
    }
    h.push(y);
    (h, SpikesCpu { current, words, trace, membrane })
}

/// As [`forward_cpu`], of a network whose potentials are carried: from `start` `[R, M, width]`, or from rest if that is
/// empty. Also gives those that are left, layer behind layer in each row.
pub fn carried_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
) -> (Vec<Vec<F>>, Vec<F>) {
    let lif = net.lif.filter(|lif| lif.membrane == Membrane::Carried).expect("potentials that are carried");
    let (h, mut spikes) = spiking_forward_cpu(net, lif, (r, m), params, x, start);
    let end = spikes.membrane.split_off(spikes.membrane.len() / 2);
    (h, end)
}

/// Outputs `[R, M, O]` of each layer, the input first, through the CPU twins; of spiking neurons the potentials, as in
/// [`Pass::h`].
pub fn forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
) -> Vec<Vec<F>> {
    if let Some(lif) = net.lif {
        return spiking_forward_cpu(net, lif, (r, m), params, x, &[]).0;
    }
    let mut h = vec![x.to_vec()];
    for l in &net.layers {
        h.push(dense_cpu(l, (r, m), 1.0, params, &h[h.len() - 1]));
    }
    h
}

/// Forward, then backward from `dloss(output)`, through the CPU twins.
pub fn forward_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    rows: (usize, usize),
    params: &[F],
    x: &[F],
    dloss: impl FnOnce(&[F]) -> Vec<F>,
) -> Pass<F> {
    penalised_backward_cpu(net, rows, params, x, &[], 0.0, dloss)
}

/// The same with `rate_penalty` times the mean firing rate of all hidden neurons, over the M samples of a replica, in
/// the loss of a spiking network; `start` as for [`carried_forward_cpu`], which nothing goes back to.
pub fn penalised_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
    rate_penalty: f64,
    dloss: impl FnOnce(&[F]) -> Vec<F>,
) -> Pass<F> {
    let p = params.len() / r;
    let mut partials = nan(CPU_SLICES * r * p);
    let dense_back = |l: &Layer, act: Activation, b_scale: f64, x: &[F], dy: &[F], partials: &mut Vec<F>| {
        dense_weights_cpu(l, (r, m), CPU_SLICES, b_scale, x, dy, partials);
        dense_input_cpu(l, (r, m), act, params, x, dy)
    };
    let (h, dx) = match net.lif {
        None => {
            let h = forward_cpu(net, (r, m), params, x);
            let mut dy = dloss(&h[net.layers.len()]);
            for (n, l) in net.layers.iter().enumerate().rev() {
                dy = dense_back(l, act_before(net, n), 1.0, &h[n], &dy, &mut partials);
            }
            (h, dy)
        }
        Some(lif) => {
            let (hidden, last) = split(net);
            let (h, spikes) = spiking_forward_cpu(net, lif, (r, m), params, x, start);
            let carried = carried_at(net, r * m, Between::OWN);
            let penalty = F::splat(spike_penalty(net, rate_penalty, m));
            let dy = dloss(&h[net.layers.len()]);
            let (act, total) = (Activation::None, lif.readout_total());
            let mut upstream = dense_back(last, act, total, &spikes.trace, &dy, &mut partials);
            let mut d_current = Vec::new();
            for (n, l) in hidden.iter().enumerate().rev() {
                let (current, source) = match n {
                    0 => (Current::Constant, &spikes.current),
                    _ => (Current::PerStep, &h[n + 1]),
                };
                let by = if n + 1 == hidden.len() { Upstream::Readout } else { Upstream::Spikes };
                let spec = lif_backward::Spec { r, m, n: l.outputs, lif, current, upstream: by };
                d_current = nan(source.len());
                let (leaks, mut d_leak) = (leaks_of(net, r, params, n), nan(r * m * l.outputs));
                lif_backward::lif_backward_cpu(
                    &spec,
                    m,
                    carried.get(n).copied().unwrap_or_default(),
                    penalty,
                    &leaks,
                    source,
                    &upstream,
                    &mut d_current,
                    &mut d_leak,
                    &spikes.membrane,
                );
                if lif.learn_leak {
                    let off = net.leaks().start + n;
                    partials.iter_mut().skip(off).step_by(p).for_each(|x| *x = F::splat(0.0));
                    let sum = column_sum::Spec { r, m: m * l.outputs, c: 1 };
                    let at = column_sum::Args { m: sum.m, out_stride: p, out_off: off, scale: 1.0 };
                    column_sum::column_sum_cpu(&sum, &at, &d_leak, &mut partials);
                }
                if n > 0 {
                    let rows = Rows { r, m, p };
                    let spec = spike_backward_weights::Spec::of(l, rows, lif.steps, CPU_SLICES);
                    let (at, below) = (spike_backward_weights::Args::of(l, m), &spikes.words[n - 1]);
                    spike_backward_weights::spike_backward_weights_cpu(
                        &spec,
                        &at,
                        &d_current,
                        below,
                        &mut partials,
                    );
                    let rows = (r, m * lif.steps);
                    upstream = dense_input_cpu(l, rows, act, params, &[], &d_current);
                }
            }
            let dx = match net.population {
                Some(of) => {
                    let l = &hidden[0];
                    let of = population_forward::Spec::of(l, of, Rows { r, m, p });
                    let spec = population_backward::Spec { of, slices: CPU_SLICES };
                    let at = population_backward::Args::of(l, m);
                    let (current, d) = (&spikes.current, &d_current);
                    population_backward::population_backward_cpu(
                        &spec,
                        &at,
                        params,
                        x,
                        current,
                        d,
                        &mut partials,
                    );
                    Vec::new()
                }
                None => dense_back(&hidden[0], act, 1.0, x, &d_current, &mut partials),
            };
            (h, dx)
        }
    };
    let mut grads = nan(r * p);
    grad_reduce::grad_reduce_cpu(&grad_reduce::Spec { r, p, s: CPU_SLICES }, &partials, &mut grads);
    Pass { h, grads, dx }
}

/// The gradient by a dense layer's weights and bias through its twin, into `partials` `[slices, R, P]`.
pub fn dense_weights_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    slices: usize,
    b_scale: f64,
    x: &[F],
    dy: &[F],
    partials: &mut [F],
) {
    let rows = Rows { r, m, p: partials.len() / (slices * r) };
    let spec = dense_backward_weights::Spec { b_scale, ..dense_backward_weights::Spec::of(l, rows, slices) };
    let at = dense_backward_weights::Args::of(l, m);
    dense_backward_weights::dense_backward_weights_cpu(&spec, &at, dy, x, partials);
}

/// The gradient by a dense layer's input `[R, M, I]` through its twin; `act` made that input, which is not read
/// without.
pub fn dense_input_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    act: Activation,
    params: &[F],
    x: &[F],
    dy: &[F],
) -> Vec<F> {
    let rows = Rows { r, m, p: params.len() / r };
    let (spec, at) = (dense_backward_input::Spec::of(l, rows, act), dense_backward_input::Args::of(l, m));
    let mut dx = nan(r * m * l.inputs);
    dense_backward_input::dense_backward_input_cpu(&spec, &at, params, dy, x, &mut dx);
    dx
}
