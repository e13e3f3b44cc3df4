//! Networks out of the dense and the spiking kernels: layer behind layer, bound on the GPU as training records them,
//! and through the CPU twins.
//!
//! A spiking network ([`MlpLayout::lif`]) sees the same input at every spike step, so its first currents are one dense
//! layer, or those of the neurons that encode the input ([`MlpLayout::population`]). Its output is a
//! leaky integrator without threshold, read after the last step: linear in the spikes, it is one dense layer on their
//! trace Σ_t λ(1−λ)^(S−1−t) s(t), whose bias has the factor 1−(1−λ)^S. Where potentials are carried from slot to slot
//! ([`Membrane::Carried`](crate::nets::Membrane)), those of all layers stand in one buffer, slot by slot: a pass reads
//! one slot and writes another ([`Between`]).

mod backward;
mod cpu;
mod forward;
mod spikes;

pub use backward::Backward;
pub use cpu::{
    CPU_SLICES, Pass, carried_forward_cpu, dense_cpu, dense_input_cpu, dense_weights_cpu,
    forward_backward_cpu, forward_cpu, penalised_backward_cpu,
};
pub use forward::{Forward, ForwardF16};
pub use spikes::{Between, Spikes};

pub use crate::kernels::layer::Rows;
use crate::nets::MlpLayout;
use crate::nets::mlp::Layer;

/// The layers whose outputs a forward pass writes into buffers of its caller: all, but of a spiking network only the
/// output layer.
pub fn visible(net: &MlpLayout) -> &[Layer] {
    let all = &net.layers[..];
    if net.lif.is_some() { &all[all.len() - 1..] } else { all }
}

/// Hidden layers and output layer of a spiking network.
fn split(net: &MlpLayout) -> (&[Layer], &Layer) {
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    assert!(!hidden.is_empty(), "a spiking network has hidden layers");
    (hidden, last)
}

/// What a loss with `rate_penalty` times the mean firing rate has as gradient by each spike of `m` samples.
fn spike_penalty(net: &MlpLayout, rate_penalty: f64, m: usize) -> f64 {
    let (hidden, _) = split(net);
    let neurons: usize = hidden.iter().map(|l| l.outputs).sum();
    let steps = net.lif.expect("a spiking network").steps;
    rate_penalty / (m * steps * neurons) as f64
}
