//! A policy's network on the CPU backend, whatever its neurons: tanh or ReLU layers ([`dense`]) or spikes
//! ([`spiking`]).

use super::dense::{self, Packed, Strided, leading};
use super::mlp::Layer;
use super::{Activation, Activity, LayerActivity, MlpLayout, spiking};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// Where a tanh is taken for saturated.
pub const SATURATED: f32 = 0.99;

/// What a forward pass leaves.
pub enum Activations {
    Dense(dense::Activations),
    Spiking(spiking::Activations),
}

impl Activations {
    /// For up to `rows` samples, with what a backward pass needs.
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        Self::of(layout, rows, true)
    }

    /// For up to `rows` samples that no backward pass follows.
    pub fn forward_only(layout: &MlpLayout, rows: usize) -> Self {
        Self::of(layout, rows, false)
    }

    /// As [`Activations::forward_only`], for [`Activations::count`].
    pub fn counting(layout: &MlpLayout, rows: usize) -> Self {
        let mut this = Self::of(layout, rows, false);
        if let Activations::Spiking(a) = &mut this {
            a.count = true;
        }
        this
    }

    fn of(layout: &MlpLayout, rows: usize, keep: bool) -> Self {
        match &layout.lif {
            None => Activations::Dense(dense::Activations::new(layout, rows)),
            Some(lif) => Activations::Spiking(spiking::Activations::new(layout, lif, rows, keep)),
        }
    }

    /// Potentials of spiking neurons that the next forward pass starts from, of rows of [`carried_width`]; empty where
    /// nothing outlives an inference.
    pub fn before(&self) -> &[f32] {
        match self {
            Activations::Dense(_) => &[],
            Activations::Spiking(a) => a.before(),
        }
    }

    /// Starts the next forward pass of as many rows from these potentials.
    pub fn begin(&mut self, potentials: &[f32]) {
        if let Activations::Spiking(a) = self {
            a.begin(potentials);
        }
    }

    /// Starts the next forward pass where the last one ended, if anything outlives an inference.
    pub fn carry(&mut self) {
        if let Activations::Spiking(a) = self {
            a.carry();
        }
    }

    /// Starts the next forward pass at rest.
    pub fn rest(&mut self) {
        if let Activations::Spiking(a) = self {
            a.rest();
        }
    }

    /// Output of the network, `[rows, leading(outputs)]`.
    pub fn output(&self) -> &[f32] {
        match self {
            Activations::Dense(a) => a.output(),
            Activations::Spiking(a) => a.output(),
        }
    }

    /// Adds the spikes of each hidden layer in the last forward pass.
    pub fn add_spikes(&self, sums: &mut [u64]) {
        if let Activations::Spiking(a) = self {
            sums.iter_mut().zip(a.spikes()).for_each(|(sum, n)| *sum += n);
        }
    }

    /// Adds, for each hidden unit in the last forward pass of `rows` samples, how often it was not silent and how often
    /// not saturated: see [`Extremes`].
    pub fn add_extremes(&self, layout: &MlpLayout, rows: usize, sums: &mut Extremes) {
        let (_, hidden) = layout.layers.split_last().expect("a network has layers");
        let mut sums = sums.0.iter_mut();
        let mut add = |moved: u64, free: u64| {
            let sum = sums.next().expect("one sum for each hidden unit");
            *sum = [sum[0] + moved, sum[1] + free];
        };
        match self {
            Activations::Dense(a) => {
                for (l, h) in hidden.iter().zip(&a.layers) {
                    let ld = leading(l.outputs);
                    for unit in 0..l.outputs {
                        let values = (0..rows).map(|m| h[m * ld + unit].abs());
                        let moved = values.clone().filter(|x| *x > 0.0).count();
                        let free = match l.act {
                            Activation::Tanh => values.filter(|x| *x <= SATURATED).count(),
                            _ => rows,
                        };
                        add(moved as u64, free as u64);
                    }
                }
            }
            Activations::Spiking(a) => {
                let steps = layout.lif.expect("a spiking network has neurons").steps;
                for layer in a.activity(rows, steps) {
                    layer.active.iter().for_each(|n| add(*n, (rows * steps) as u64 - n));
                }
            }
        }
    }

    /// What was active in the last forward pass, of `rows` samples x.
    pub fn count(&self, layout: &MlpLayout, rows: usize, x: Strided, sum: &mut Activity) {
        let first = |updates| LayerActivity {
            presentations: 1,
            active: (0..layout.inputs())
                .map(|i| (0..rows).filter(|m| x.data[m * x.row + i * x.col] != 0.0).count() as u64)
                .collect(),
            membrane_updates: updates,
        };
        let products = |l: &Layer| (rows * l.inputs * l.outputs) as u64;
        let mut executed = 0;
        let layers = match self {
            Activations::Dense(a) => {
                let hidden = a.layers.iter().zip(&layout.layers[1..]).map(|(h, l)| LayerActivity {
                    presentations: 1,
                    active: run_lanes(CountActive { rows, units: l.inputs, h }),
                    membrane_updates: 0,
                });
                executed += layout.layers.iter().map(products).sum::<u64>();
                std::iter::once(first(0)).chain(hidden).collect()
            }
            Activations::Spiking(a) => {
                let steps = layout.lif.expect("a spiking network has neurons").steps;
                let mut layers = vec![first(a.first_updates())];
                layers.extend(a.activity(rows, steps));
                // The first matrix, if there is one, is multiplied once, the last one by the weighted spikes; between
                // them only groups of neurons are added.
                let first = if layout.population.is_some() { 0 } else { products(&layout.layers[0]) };
                let last = layout.layers.last().map_or(0, products);
                executed += first + last + a.group_additions();
                layers
            }
        };
        sum.add(&Activity { samples: rows as u64, layers, executed });
    }
}

/// Potentials of a sample that outlive its inference, of whole vectors of each layer; 0 where there are none.
pub fn carried_width(layout: &MlpLayout) -> usize {
    spiking::Places::new(layout).width
}

/// Of every hidden unit of a network, how often it was not silent (a spike; a value that is not 0) and how often not
/// saturated (no spike in a step; a tanh within ±[`SATURATED`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extremes(pub Vec<[u64; 2]>);

impl Extremes {
    /// For the hidden units of a network.
    pub fn of(layout: &MlpLayout) -> Self {
        let (_, hidden) = layout.layers.split_last().expect("a network has layers");
        Extremes(vec![[0; 2]; hidden.iter().map(|l| l.outputs).sum()])
    }

    /// Shares of units that were always silent, and always saturated.
    pub fn shares(&self) -> [f64; 2] {
        [0, 1].map(|k| self.0.iter().filter(|n| n[k] == 0).count() as f64 / self.0.len() as f64)
    }
}

/// Per unit, rows in which it is not zero.
struct CountActive<'a> {
    rows: usize,
    units: usize,
    /// `[rows, leading(units)]`
    h: &'a [f32],
}

impl LaneKernel for CountActive<'_> {
    type Out = Vec<u64>;
    #[inline(always)]
    fn run<V: F32Lanes>(self) -> Vec<u64> {
        assert!(self.rows <= 1 << 24, "counts must be exact in f32");
        let (ld, zero, one) = (leading(self.units), V::splat(0.0), V::splat(1.0));
        let mut counts = vec![0f32; ld];
        for j in (0..self.units).step_by(V::LANES) {
            let mut sum = zero;
            for m in 0..self.rows {
                let h = V::load(&self.h[m * ld + j..]).abs();
                sum += V::select(zero.lt(h), one, zero);
            }
            sum.store(&mut counts[j..]);
        }
        counts[..self.units].iter().map(|&n| n as u64).collect()
    }
}

/// Forward pass of `rows` samples x into `acts`.
pub fn forward(net: &Packed, rows: usize, x: Strided, acts: &mut Activations) {
    match (acts, &net.layout.lif) {
        (Activations::Dense(acts), None) => dense::forward(net, rows, x, acts),
        (Activations::Spiking(acts), Some(lif)) => spiking::forward(net, lif, rows, x, acts),
        _ => panic!("activations of another kind of network"),
    }
}

/// Gradient sums of one network, and the space its backward pass needs.
pub enum Gradient {
    Dense(dense::Gradient),
    Spiking(spiking::Gradient),
}

impl Gradient {
    /// For up to `rows` samples at once.
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        match &layout.lif {
            None => Gradient::Dense(dense::Gradient::new(layout, rows)),
            Some(lif) => Gradient::Spiking(spiking::Gradient::new(layout, lif, rows)),
        }
    }

    pub fn clear(&mut self) {
        match self {
            Gradient::Dense(g) => g.clear(),
            Gradient::Spiking(g) => g.clear(),
        }
    }

    /// Gradient by the outputs, from which [`backward`] starts: `[rows, leading(outputs)]`, zero beyond the outputs.
    pub fn d_out(&mut self) -> &mut [f32] {
        match self {
            Gradient::Dense(g) => g.d.layers.last_mut().expect("a network has layers"),
            Gradient::Spiking(g) => &mut g.d_out,
        }
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &MlpLayout, grads: &mut [f32]) {
        match (self, &layout.lif) {
            (Gradient::Dense(g), _) => g.write_to(layout, grads),
            (Gradient::Spiking(g), Some(lif)) => g.write_to(layout, lif, grads),
            _ => panic!("a gradient of another kind of network"),
        }
    }
}

/// Backward pass from [`Gradient::d_out`]; adds to the sums. `x` is `[rows, leading(inputs)]`, zero beyond the inputs;
/// `spike_cost` is added to the gradient by every spike.
pub fn backward(
    net: &Packed,
    rows: usize,
    x: &[f32],
    acts: &Activations,
    spike_cost: f32,
    grad: &mut Gradient,
) {
    match (acts, grad, &net.layout.lif) {
        (Activations::Dense(acts), Gradient::Dense(grad), None) => dense::backward(net, rows, x, acts, grad),
        (Activations::Spiking(acts), Gradient::Spiking(grad), Some(lif)) => {
            spiking::backward(net, lif, rows, x, acts, spike_cost, grad)
        }
        _ => panic!("activations or gradient of another kind of network"),
    }
}
