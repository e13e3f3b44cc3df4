//! Spiking networks on the CPU backend: leaky integrate-and-fire layers as [`Lif`] defines them, direct encoding, any
//! number of hidden layers.
//!
//! What makes it fast:
//! * The input is the same in every spike step, so i₁ = W₁x + b₁ is one product, or one Gaussian a neuron
//!   ([`Population`](super::Population)); the potentials of the first layer are computed from it again in the backward
//!   pass and never stored.
//! * Behind a hidden layer, the neurons of a sample that fired in the same steps are a group: their weight rows are
//!   added once, and the sum then goes to every step of the group (under a constant current there are at most S
//!   groups). Silent neurons cost nothing. The weight gradient is the transpose: the current gradients of a group's
//!   steps are added once, then go to the rows of its neurons.
//! * The output layer is linear in the spikes: one product with h = Σ_t λ(1−λ)^(S−1−t)·s(t).
//! * The gradient by the spikes, Wᵀ·di(t), is dense, since surrogate slopes are nowhere 0: one product over samples ×
//!   steps.
//!
//! Measured on a Xeon with AVX-512, 12-128-128-6, S = 6, rates 0.11 and 0.16, µs a sample and core: forward 0.90, of
//! which the currents of the second layer are 0.30, the neurons 0.21 and the grouping 0.18; backward 2.21, of which
//! Wᵀ·di(t) is 1.32, the sparse weight gradient 0.26 and the neurons 0.43 (a tanh network: 0.38 and 0.57). So the
//! potentials of later layers are kept for the backward pass, since to compute them again costs those 0.30, and those
//! of the first are not: they are a few instructions of the 0.20 that its gradient takes. Wᵀ·di(t) is bound by its
//! multiply-adds. Tiles of 24 to 120 rows, subtiles in the first cache, and spans of 4 or 8 vectors made no
//! difference.
//!
//! Potentials that outlive an inference ([`Membrane::Carried`](super::Membrane)) start from
//! [`Activations::begin`]'s and end in arrays of their own, so that a backward pass finds the former. It takes them as
//! constants: nothing goes back to the slot before.
//!
//! Rows are carried through all layers a tile at a time, so that potentials of all steps stay in the second cache. Sums
//! run in an order that depends on the samples alone.

mod backward;
mod encoding;
mod forward;
mod groups;
mod neurons;

pub use backward::{Gradient, backward};
pub use forward::forward;

use super::dense::{Aligned, PAD, Packed, leading};
use super::{LayerActivity, Lif, MlpLayout};
use groups::Groups;

/// Rows that go through the layers together; times any number of steps a multiple of the 12 rows of a tile of
/// [`product`].
const TILE: usize = 24;

/// Spike steps for which the loops over steps are unrolled: those of the paper.
const PAPER_STEPS: usize = 6;

/// Words of a set of `n` neurons.
fn words(n: usize) -> usize {
    n.div_ceil(64)
}

/// A hidden layer of neurons.
struct Layer {
    neurons: usize,
    /// U(t) before the reset, `[rows, S, leading(neurons)]`; empty in the first layer, one tile if no backward pass
    /// will follow.
    u: Aligned,
    /// Sets of neurons that fired, `[rows, S, words]`.
    fired: Vec<u64>,
    /// Of the rows of the last forward pass; unused in the last hidden layer.
    groups: Groups,
    /// Spikes and membrane updates of the last forward pass.
    spikes: u64,
    updates: u64,
}

/// What a forward pass leaves for the backward pass and for counting.
pub struct Activations {
    hidden: Vec<Layer>,
    /// i₁ `[rows, leading(N₁)]`
    current: Aligned,
    /// h: spikes of the last hidden layer weighted by what is left of them at the end, `[rows, leading(N)]`.
    weighted: Aligned,
    out: Aligned,
    keep: bool,
    /// Count membrane updates.
    pub count: bool,
    places: Places,
    /// Potentials that the next forward pass starts from, and those that the last one ended at: rows of
    /// [`Places::width`]; empty where they are reset.
    before: Aligned,
    after: Aligned,
}

/// Where the potentials of each layer stand in a row of those that outlive an inference.
pub struct Places {
    /// The first of each layer, which has whole vectors of them; empty where potentials are reset.
    first: Vec<usize>,
    /// Floats of a row.
    pub width: usize,
}

impl Places {
    pub fn new(layout: &MlpLayout) -> Self {
        let (mut first, mut width) = (Vec::new(), 0);
        for neurons in layout.carried() {
            first.push(width);
            width += neurons.next_multiple_of(PAD);
        }
        Places { first, width }
    }

    /// Of all potentials, row `m`'s from those of a layer on; nothing where they are reset.
    #[inline(always)]
    fn of<'a>(&self, all: &'a [f32], m: usize, layer: usize) -> &'a [f32] {
        self.first.get(layer).map_or(&[], |first| &all[m * self.width + first..])
    }

    #[inline(always)]
    fn of_mut<'a>(&self, all: &'a mut [f32], m: usize, layer: usize) -> &'a mut [f32] {
        self.first.get(layer).map_or(&mut [], |first| &mut all[m * self.width + first..])
    }
}

impl Activations {
    /// For up to `rows` samples; `keep` what a backward pass needs.
    pub fn new(layout: &MlpLayout, lif: &Lif, rows: usize, keep: bool) -> Self {
        let layers = &layout.layers;
        assert!(layers.len() >= 2, "a spiking network needs a hidden layer");
        let tall = if keep { rows } else { TILE.min(rows) };
        let hidden = layers[..layers.len() - 1].iter().enumerate().map(|(i, l)| {
            assert!(l.outputs <= usize::from(u16::MAX), "at most 65535 neurons in a layer");
            Layer {
                neurons: l.outputs,
                u: Aligned::zeros(if i == 0 { 0 } else { tall * lif.steps * leading(l.outputs) }),
                fired: vec![0; rows * lif.steps * words(l.outputs)],
                groups: Groups::new(rows, l.outputs),
                spikes: 0,
                updates: 0,
            }
        });
        let ld = |l: usize| leading(layers[l].outputs);
        let places = Places::new(layout);
        let potentials = || Aligned::zeros(rows * places.width);
        Activations {
            before: potentials(),
            after: potentials(),
            hidden: hidden.collect(),
            current: Aligned::zeros(rows * ld(0)),
            weighted: Aligned::zeros(rows * ld(layers.len() - 2)),
            out: Aligned::zeros(rows * ld(layers.len() - 1)),
            keep,
            count: false,
            places,
        }
    }

    /// Potentials that the next forward pass starts from, rows of [`Places::width`]; empty where they are reset.
    pub fn before(&self) -> &[f32] {
        &self.before
    }

    /// Starts the next forward pass of as many rows from these potentials.
    pub fn begin(&mut self, potentials: &[f32]) {
        self.before[..potentials.len()].copy_from_slice(potentials);
    }

    /// Starts the next forward pass where the last one ended.
    pub fn carry(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
    }

    /// Starts the next forward pass at rest.
    pub fn rest(&mut self) {
        self.before.fill(0.0);
    }

    /// Output of the network, `[rows, leading(outputs)]`.
    pub fn output(&self) -> &[f32] {
        &self.out
    }

    /// Spikes of each hidden layer in the last forward pass.
    pub fn spikes(&self) -> impl Iterator<Item = u64> {
        self.hidden.iter().map(|l| l.spikes)
    }

    /// What the last forward pass of `rows` samples did; the input layer is left to the caller.
    pub fn activity(&self, rows: usize, steps: usize) -> Vec<LayerActivity> {
        let behind = |i: usize| self.hidden.get(i + 1).map_or(0, |l| l.updates);
        let counted = self.hidden.iter().enumerate().map(|(i, l)| LayerActivity {
            presentations: steps as u64,
            active: count_bits(&l.fired[..rows * steps * words(l.neurons)], l.neurons),
            membrane_updates: behind(i),
        });
        counted.collect()
    }

    /// Membrane updates of the first hidden layer in the last forward pass.
    pub fn first_updates(&self) -> u64 {
        self.hidden[0].updates
    }

    /// Additions of weights between hidden layers in the last forward pass: every member of a group once, and the
    /// group's sum once per step in which it fired.
    pub fn group_additions(&self) -> u64 {
        let rows = |g: &Groups| {
            let members = g.ends.last().copied().unwrap_or(0) as u64;
            members + g.steps.iter().map(|s| u64::from(s.count_ones())).sum::<u64>()
        };
        self.hidden.windows(2).map(|w| rows(&w[0].groups) * w[1].neurons as u64).sum()
    }

    /// Sets of neurons of a hidden layer that fired, `[rows, S, words of 64 neurons]`.
    pub fn fired(&self, layer: usize) -> &[u64] {
        &self.hidden[layer].fired
    }
}

/// How often each of `n` units is in the sets `[·, words(n)]`: counters whose bits lie in planes, 64 units beside each
/// other.
fn count_bits(sets: &[u64], n: usize) -> Vec<u64> {
    let mut counts = vec![0; n];
    for (k, counts) in counts.chunks_mut(64).enumerate() {
        let mut planes = [0u64; 64];
        for set in sets.chunks_exact(words(n)) {
            let mut carry = set[k];
            for plane in &mut planes {
                if carry == 0 {
                    break;
                }
                (*plane, carry) = (*plane ^ carry, *plane & carry);
            }
        }
        for (bit, count) in counts.iter_mut().enumerate() {
            *count = planes.iter().enumerate().map(|(p, plane)| (plane >> bit & 1) << p).sum();
        }
    }
    counts
}

/// The neurons of hidden layer `i`, whose leak may be a learned one.
fn of_layer(net: &Packed, lif: &Lif, i: usize) -> Lif {
    Lif { lambda: net.leaks.get(i).map_or(lif.lambda, |leak| f64::from(*leak)), ..*lif }
}

#[cfg(test)]
mod tests;
