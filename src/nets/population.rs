//! Population coding of the inputs of a spiking network: PopSAN (Tang et al. 2020, "Deep Reinforcement Learning with
//! Population-Coded Spiking Neural Network for Continuous Control").
//!
//! P neurons stand for each input, each for the values round a centre μ: a Gaussian receptive field. Neuron n of input
//! x is stimulated by A = exp(−z²/2) with z = κ(x−μ), where κ = 1/σ is the sharpness of its field; through all spike
//! steps it gets the current i = g·A, and fires as any neuron of a hidden layer does. The layers above see spikes
//! alone. Centres and sharpnesses are learned: di/dκ = −i·z·(x−μ), di/dμ = i·z·κ. The sharpness is the parameter, not
//! σ, so that no step of the optimiser can lead to a division by 0.

use super::Lif;
use crate::num::real::Real;

/// The first fields tile −`RANGE` to `RANGE`: inputs are at about zero mean and unit scale.
pub const RANGE: f64 = 2.0;
/// σ of the first fields over the distance of their centres: what a single neuron, which fires in few steps or in all,
/// tells coarsely, several tell between them.
pub const WIDTH: f64 = 2.0;
/// g over the current U_th/λ that lifts a neuron to its threshold in one step: one that is stimulated by half or more
/// fires in every step.
pub const GAIN: f64 = 2.0;
/// Products of a [`current`], and as many additions, those of its exponential among them.
pub const MACS: u64 = 14;
/// Products of its gradients by sharpness and centre, and additions to their sums, about.
pub const GRADIENT_MACS: u64 = 4;

/// The neurons that encode the inputs of a network: its first hidden layer, each with one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// P: neurons of an input.
    pub fields: usize,
    /// g: current at the centre of a field.
    pub gain: f64,
}

impl Population {
    /// `fields` neurons of this kind for each input.
    pub fn new(fields: usize, lif: &Lif) -> Self {
        assert!(fields > 0, "an input without a neuron");
        Population { fields, gain: GAIN * lif.threshold / lif.lambda }
    }

    /// Initial sharpnesses and centres of the neurons of all inputs, input by input.
    pub fn init(&self, sharpness: &mut [f32], centre: &mut [f32]) {
        let apart = 2.0 * RANGE / self.fields as f64;
        sharpness.fill((1.0 / (WIDTH * apart)) as f32);
        for (n, centre) in centre.iter_mut().enumerate() {
            *centre = (apart * ((n % self.fields) as f64 + 0.5) - RANGE) as f32;
        }
    }
}

/// The current g·exp(−z²/2) that input `x` gives a neuron, z = κ(x−μ).
#[inline(always)]
pub fn current<F: Real>(gain: F, sharpness: F, centre: F, x: F) -> F {
    let z = sharpness * (x - centre);
    gain * (F::splat(-0.5) * (z * z)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::lif::MAX_STEPS;
    use crate::nets::{ActorCriticLayout, Hidden, Membrane, Readout};
    use crate::num::real::counted::{Counted, Operations, kinds};

    const LIF: Lif = Lif {
        steps: 6,
        lambda: 0.5,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset: true,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    };

    #[test]
    fn fields_tile_the_range() {
        let population = Population::new(4, &LIF);
        let (mut sharpness, mut centre) = ([0.0; 8], [0.0; 8]);
        population.init(&mut sharpness, &mut centre);
        assert_eq!(centre, [-1.5, -0.5, 0.5, 1.5, -1.5, -0.5, 0.5, 1.5]);
        assert_eq!(sharpness, [0.5; 8]);
    }

    /// Spikes of a neuron under the current at a distance of `z` widths from its centre.
    fn spikes(lif: &Lif, z: f64) -> usize {
        let (i, mut v, mut fired) = (current(Population::new(8, lif).gain, 1.0, 0.0, z), 0.0, 0);
        for _ in 0..lif.steps {
            let u = (1.0 - lif.lambda) * v + lif.lambda * i;
            let fires = u >= lif.threshold;
            fired += usize::from(fires);
            v = if fires { lif.reset } else { u };
        }
        fired
    }

    /// Whatever the neurons: in every step within 1.17 widths, where A ≥ ½, fewer further out, and none from where g·A
    /// stays below U_th.
    #[test]
    fn the_nearer_the_more_spikes() {
        for lif in
            [LIF, Lif { steps: MAX_STEPS, threshold: 0.7, ..LIF }, Lif { lambda: 0.8, threshold: 1.3, ..LIF }]
        {
            let silent = (-2.0 * (lif.lambda / GAIN).ln()).sqrt();
            assert_eq!([0.0, 1.17, -1.17].map(|z| spikes(&lif, z)), [lif.steps; 3], "{lif:?}");
            assert_eq!(spikes(&lif, silent + 1e-9), 0, "{lif:?}");
            let all: Vec<usize> = (0..40).map(|k| spikes(&lif, 0.05 * f64::from(k))).collect();
            assert!(all.is_sorted_by(|near, far| near >= far), "{lif:?}: {all:?}");
            assert!(all.iter().any(|n| (1..lif.steps).contains(n)), "{lif:?}: all or nothing");
        }
    }

    #[test]
    fn a_current_is_so_many_products_and_additions() {
        let done = kinds(|| {
            let [gain, sharpness, centre, x] = [4.0, 2.0, 0.5, 0.3].map(Counted);
            std::hint::black_box(current(gain, sharpness, centre, x));
        });
        assert_eq!(done, Operations { additions: MACS, multiplications: MACS, ..Operations::default() });
    }

    #[test]
    fn a_population_is_a_layer_of_one_input_each() {
        let ac = ActorCriticLayout::new(12, &[128], 6, Hidden::Encoded(LIF, Population::new(8, &LIF)));
        let widths: Vec<usize> = ac.actor.layers.iter().map(|l| l.outputs).collect();
        assert_eq!(widths, [96, 128, 6]);
        // A sharpness and a centre each; matrices and biases behind them.
        assert_eq!(ac.actor.params(), 2 * 96 + 128 * 97 + 6 * 129);
        assert_eq!(ac.actor.dense_macs(), 128 * 96 + 6 * 128);
        let names: Vec<String> = ac.tensors().into_iter().map(|t| t.name).collect();
        let of = |net: &str| {
            ["population.sharpness", "population.centre", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
                .map(|t| format!("{net}.{t}"))
        };
        assert_eq!(names, [&of("actor")[..], &["log_std".into()], &of("critic")[..]].concat());
        let mut end = 0;
        for t in ac.tensors() {
            assert_eq!(t.offset, end, "{}", t.name);
            end += t.count();
        }
        assert_eq!(end, ac.params());
        let params = ac.init([1, 0], 4.0, 0.3, -0.5);
        assert_eq!(params[ac.actor.layers[0].w_off..][..96], [1.0; 96]);
        assert_eq!(params[ac.actor.layers[0].b_off..][..3], [-1.75, -1.25, -0.75]);
        assert_eq!(ac.actor.at(7).layers[1].w_off, 7 + 2 * 96);
    }
}
