//! The backward pass on the GPU.

use super::spikes::{Between, Spikes, carried_at};
use super::{spike_penalty, split};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::layer::Rows;
use crate::kernels::lif_backward::Upstream;
use crate::kernels::lif_forward::{Current, LeakAt};
use crate::kernels::{
    column_sum, dense_backward_input, dense_backward_weights, lif_backward, population_backward,
    population_forward, spike_backward_weights,
};
use crate::nets::mlp::Layer;
use crate::nets::{Activation, MlpLayout};

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
pub(super) fn act_before(net: &MlpLayout, n: usize) -> Activation {
    if n == 0 { Activation::None } else { net.layers[n - 1].act }
}
