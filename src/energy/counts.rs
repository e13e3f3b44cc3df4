//! Operations of an inference as integers, by the definitions of NeuroBench 2.3 (`SynapticOperations`,
//! `MembraneUpdates`).
//!
//! An effective operation is a pair of a non-zero input and a non-zero weight; it is an accumulate (AC) where the
//! inputs are spikes, else a multiply-accumulate (MAC). Biases are left out there and counted apart here.

use crate::nets::mlp::Layer;
use crate::nets::{Activity, MlpLayout, Readout};

/// When the matrix behind the constant input of a spiking network is multiplied (direct encoding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstLayer {
    /// Once per inference, its current kept for all spike steps: what the kernels of this crate do.
    Once,
    /// At each of the S spike steps: what NeuroBench counts.
    EveryStep,
}

/// Why operations cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    #[error("no inference was counted")]
    NoSamples,
    #[error("activity of {found} layers for a network of {wanted}")]
    Layers { found: usize, wanted: usize },
    #[error("layer {layer}: activity of {found} inputs for {wanted}")]
    Inputs { layer: usize, found: usize, wanted: usize },
    #[error("layer {layer}: {found} presentations per inference, not {wanted}")]
    Presentations { layer: usize, found: u64, wanted: u64 },
    #[error("layer {layer}: an input was active more often than it was presented")]
    TooActive { layer: usize },
}

/// Sums over all counted inferences for one weight matrix and the neurons behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCounts {
    pub inputs: u64,
    pub outputs: u64,
    /// Whether the inputs are spikes, so that a product is an accumulate.
    pub spikes: bool,
    /// Input vectors presented.
    pub presentations: u64,
    /// `[inputs]` Presentations in which each input was not zero.
    pub active: Vec<u64>,
    /// Pairs of a non-zero input and a non-zero weight.
    pub effective: u64,
    /// Currents of a [`Population`](crate::nets::Population), which are made without a matrix; 0 where there is one.
    pub fields: u64,
    /// Membrane potentials written: all of the first step, later those that changed. Spiking hidden layers only.
    pub membrane_updates: u64,
    /// Neurons times spike steps behind this matrix, the integrating output layer included; 0 without spikes.
    pub neuron_steps: u64,
}

impl LayerCounts {
    /// Of a matrix without neurons behind it, whose inputs are numbers.
    pub fn dense_of(layer: &Layer, params: &[f32], presentations: u64, active: Vec<u64>) -> LayerCounts {
        let mut weights = vec![0u64; layer.inputs];
        for row in params[layer.w_off..layer.b_off].chunks_exact(layer.inputs) {
            weights.iter_mut().zip(row).for_each(|(n, w)| *n += u64::from(*w != 0.0));
        }
        LayerCounts {
            inputs: layer.inputs as u64,
            outputs: layer.outputs as u64,
            spikes: false,
            presentations,
            effective: active.iter().zip(&weights).map(|(a, w)| a * w).sum(),
            fields: 0,
            active,
            membrane_updates: 0,
            neuron_steps: 0,
        }
    }

    /// Of neurons that encode the inputs, each of one.
    fn encoder_of(layer: &Layer, presentations: u64, active: Vec<u64>) -> LayerCounts {
        let (inputs, outputs) = (layer.inputs as u64, layer.outputs as u64);
        LayerCounts {
            inputs,
            outputs,
            spikes: false,
            presentations,
            active,
            effective: 0,
            fields: outputs * presentations,
            membrane_updates: 0,
            neuron_steps: 0,
        }
    }

    /// Products without regard to zeros.
    pub fn dense(&self) -> u64 {
        if self.fields > 0 { 0 } else { self.inputs * self.outputs * self.presentations }
    }
    /// Non-zero inputs over all presentations; spikes where the inputs are spikes.
    pub fn nonzero(&self) -> u64 {
        self.active.iter().sum()
    }
    /// One per output and presentation behind a matrix.
    pub fn bias_additions(&self) -> u64 {
        if self.fields > 0 { 0 } else { self.outputs * self.presentations }
    }
}

/// Products of two activations, which no weight is read for: those of an LSTM's gates with its state, or of a gate with
/// its experts' outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elementwise {
    /// Without regard to zeros.
    pub dense: u64,
    /// With two operands that are not zero.
    pub effective: u64,
    /// Words of the vectors that are multiplied.
    pub words: u64,
}

/// Sums over `samples` inferences of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub samples: u64,
    pub layers: Vec<LayerCounts>,
    pub first: FirstLayer,
    /// S; `None` without spikes.
    pub steps: Option<u64>,
    /// What a spiking network's output layer reads: its integrators leak and multiply, or only add.
    pub readout: Readout,
    /// Potentials that each inference takes over from the one before it.
    pub carried: u64,
    /// Weights and biases.
    pub parameters: u64,
    pub elementwise: Elementwise,
}

impl Counts {
    /// Counts the operations of `net`, whose weights lie in the flat vector `params` of a replica, from its measured
    /// activity.
    pub fn new(
        net: &MlpLayout,
        params: &[f32],
        activity: &Activity,
        first: FirstLayer,
    ) -> Result<Counts, CountError> {
        if activity.samples == 0 {
            return Err(CountError::NoSamples);
        }
        if activity.layers.len() != net.layers.len() {
            return Err(CountError::Layers { found: activity.layers.len(), wanted: net.layers.len() });
        }
        let steps = net.lif.map(|l| l.steps as u64);
        let mut layers = Vec::new();
        for (l, (layer, seen)) in net.layers.iter().zip(&activity.layers).enumerate() {
            if seen.active.len() != layer.inputs {
                return Err(CountError::Inputs {
                    layer: l + 1,
                    found: seen.active.len(),
                    wanted: layer.inputs,
                });
            }
            let spikes = steps.is_some() && l > 0;
            let wanted = if spikes { steps.unwrap_or(1) } else { 1 };
            if seen.presentations != wanted {
                return Err(CountError::Presentations { layer: l + 1, found: seen.presentations, wanted });
            }
            if seen.active.iter().any(|a| *a > wanted * activity.samples) {
                return Err(CountError::TooActive { layer: l + 1 });
            }
            // The constant input of a spiking network was seen once; NeuroBench presents it at every step.
            let repeats = match (l, first, steps) {
                (0, FirstLayer::EveryStep, Some(s)) => s,
                _ => 1,
            };
            let active = seen.active.iter().map(|a| a * repeats).collect();
            let presentations = wanted * repeats * activity.samples;
            let counts = match net.population {
                Some(_) if l == 0 => LayerCounts::encoder_of(layer, presentations, active),
                _ => LayerCounts::dense_of(layer, params, presentations, active),
            };
            layers.push(LayerCounts {
                spikes,
                membrane_updates: seen.membrane_updates,
                neuron_steps: steps.map_or(0, |s| s * layer.outputs as u64 * activity.samples),
                ..counts
            });
        }
        let parameters = net.params() as u64;
        let elementwise = Elementwise::default();
        let readout = net.lif.map_or_else(Readout::default, |l| l.readout);
        let carried = net.carried().into_iter().sum::<usize>() as u64;
        let samples = activity.samples;
        Ok(Counts { samples, layers, first, steps, readout, carried, parameters, elementwise })
    }

    fn sum(&self, of: impl Fn(&LayerCounts) -> u64) -> u64 {
        self.layers.iter().map(of).sum()
    }
    /// Products without regard to zeros.
    pub fn dense(&self) -> u64 {
        self.sum(LayerCounts::dense) + self.elementwise.dense
    }
    pub fn effective_macs(&self) -> u64 {
        self.sum(|l| if l.spikes { 0 } else { l.effective }) + self.elementwise.effective
    }
    pub fn effective_acs(&self) -> u64 {
        self.sum(|l| if l.spikes { l.effective } else { 0 })
    }
    /// Currents that are made without a matrix.
    pub fn fields(&self) -> u64 {
        self.sum(|l| l.fields)
    }
    pub fn membrane_updates(&self) -> u64 {
        self.sum(|l| l.membrane_updates)
    }
    /// Neurons times spike steps, the integrating output layer included.
    pub fn neuron_steps(&self) -> u64 {
        self.sum(|l| l.neuron_steps)
    }
    pub fn bias_additions(&self) -> u64 {
        self.sum(LayerCounts::bias_additions)
    }
    /// Firing rate of each hidden layer, or share of its outputs that were not zero.
    pub fn rates(&self) -> Vec<f64> {
        let rate = |l: &LayerCounts| l.nonzero() as f64 / (l.inputs * l.presentations) as f64;
        self.layers[1..].iter().map(rate).collect()
    }
    /// A sum per inference.
    pub fn per_inference(&self, sum: u64) -> f64 {
        sum as f64 / self.samples as f64
    }
    /// Bytes of the parameters in f32.
    pub fn parameter_bytes(&self) -> u64 {
        4 * self.parameters
    }
    /// Bytes that one environment holds between two spike steps, in f32: the potentials of hidden layers and output,
    /// and the current of the first layer if it is kept. Between two slots it holds the potentials alone where they are
    /// carried, else nothing.
    pub fn state_bytes(&self) -> u64 {
        match self.steps {
            None => 0,
            Some(_) => {
                let kept = if self.first == FirstLayer::Once { self.layers[0].outputs } else { 0 };
                4 * (self.sum(|l| l.outputs) + kept)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nets::{Activation, Hidden, LayerActivity, Lif, Membrane, Population, Readout};

    pub fn lif() -> Lif {
        Lif {
            steps: 6,
            lambda: 0.5,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: true,
            readout: Readout::Last,
            learn_leak: false,
            membrane: Membrane::Reset,
        }
    }

    /// 12-128-128-`outputs` with spikes at rates (s1, s2) in thousandths, over 1000 inferences; weights all 1.
    pub fn spiking(outputs: usize, s1: u64, s2: u64, first: FirstLayer) -> (MlpLayout, Counts) {
        let net = MlpLayout::new(&[12, 128, 128, outputs], lif(), 0);
        let layer = |n: usize, presentations: u64, active: u64, membrane_updates: u64| LayerActivity {
            presentations,
            active: vec![active; n],
            membrane_updates,
        };
        let activity = Activity {
            samples: 1000,
            layers: vec![
                layer(12, 1, 1000, 128 * 6000),
                layer(128, 6, 6 * s1, 128 * 6000),
                layer(128, 6, 6 * s2, 0),
            ],
            executed: 0,
        };
        let counts = Counts::new(&net, &vec![1.0; net.params()], &activity, first).unwrap();
        (net, counts)
    }

    pub fn dense(outputs: usize) -> (MlpLayout, Counts) {
        let net = MlpLayout::new(&[12, 128, 128, outputs], Activation::Tanh, 0);
        let layer = |n| LayerActivity { presentations: 1, active: vec![7; n], membrane_updates: 0 };
        let activity = Activity { samples: 7, layers: vec![layer(12), layer(128), layer(128)], executed: 0 };
        let counts = Counts::new(&net, &vec![1.0; net.params()], &activity, FirstLayer::Once).unwrap();
        (net, counts)
    }

    /// 12 inputs encoded by 8 neurons each, 128 hidden ones, six outputs; spikes at rates (s1, s2) in thousandths, over
    /// 1000 inferences.
    pub fn encoded(s1: u64, s2: u64, first: FirstLayer) -> (MlpLayout, Counts) {
        let net = MlpLayout::new(&[12, 128, 6], Hidden::Encoded(lif(), Population::new(8, &lif())), 0);
        let layer = |n: usize, presentations: u64, active: u64, membrane_updates: u64| LayerActivity {
            presentations,
            active: vec![active; n],
            membrane_updates,
        };
        let activity = Activity {
            samples: 1000,
            layers: vec![
                layer(12, 1, 1000, 96 * 6000),
                layer(96, 6, 6 * s1, 128 * 6000),
                layer(128, 6, 6 * s2, 0),
            ],
            executed: 0,
        };
        let counts = Counts::new(&net, &vec![1.0; net.params()], &activity, first).unwrap();
        (net, counts)
    }

    /// Neurons that encode have no matrix, and the first hidden layer accumulates spikes at every step.
    #[test]
    fn encoded_inputs_have_fields_and_no_products() {
        for (first, times) in [(FirstLayer::Once, 1), (FirstLayer::EveryStep, 6)] {
            let c = encoded(250, 100, first).1;
            assert_eq!(c.fields(), 1000 * 96 * times);
            assert_eq!((c.layers[0].dense(), c.layers[0].effective, c.layers[0].bias_additions()), (0, 0, 0));
            assert_eq!(c.effective_macs(), 0);
            assert_eq!(c.effective_acs(), 6 * (250 * 96 * 128 + 100 * 128 * 6));
            assert_eq!(c.dense(), 6000 * (96 * 128 + 128 * 6));
            assert_eq!((c.membrane_updates(), c.bias_additions()), (6000 * (96 + 128), 6000 * (128 + 6)));
            assert_eq!(c.rates(), [0.25, 0.1]);
            assert_eq!(c.parameters, 2 * 96 + 97 * 128 + 129 * 6);
            assert_eq!(c.state_bytes(), 4 * (96 + 128 + 6 + if times == 1 { 96 } else { 0 }));
        }
    }

    #[test]
    fn three_by_three_by_hand() {
        // Two inputs, two ReLU neurons, one output; zero weights at W1[0, 1] and W2[0, 0].
        let net = MlpLayout::new(&[2, 2, 1], Activation::Relu, 3);
        let params = [9.0, 9.0, 9.0, 1.0, 0.0, 2.0, 3.0, 9.0, 9.0, 0.0, 5.0, 9.0];
        let layer = |active: [u64; 2]| LayerActivity {
            presentations: 1,
            active: active.to_vec(),
            membrane_updates: 0,
        };
        let activity = Activity { samples: 10, layers: vec![layer([10, 4]), layer([3, 6])], executed: 0 };
        let c = Counts::new(&net, &params, &activity, FirstLayer::Once).unwrap();
        // Column 0 of W1 has two weights, column 1 one; of W2 only the second.
        assert_eq!((c.layers[0].effective, c.layers[1].effective), (10 * 2 + 4, 6));
        assert_eq!((c.effective_macs(), c.effective_acs(), c.dense()), (30, 0, 60));
        assert_eq!((c.bias_additions(), c.parameters, c.state_bytes()), (30, 9, 0));
        assert_eq!(c.rates(), [9.0 / 20.0]);
    }

    #[test]
    fn spikes_are_accumulates_and_the_first_layer_is_macs() {
        let (_, once) = spiking(6, 200, 100, FirstLayer::Once);
        let (_, every) = spiking(6, 200, 100, FirstLayer::EveryStep);
        let per = |c: &Counts, x: u64| c.per_inference(x);
        assert_eq!(
            (per(&once, once.effective_macs()), per(&every, every.effective_macs())),
            (1536.0, 9216.0)
        );
        assert_eq!(per(&every, every.dense()), 112_128.0);
        // 6 · (0.2 · 16384 + 0.1 · 768)
        assert!((per(&once, once.effective_acs()) - 20_121.6).abs() < 1e-9);
        assert_eq!(once.effective_acs(), every.effective_acs());
        assert_eq!((per(&once, once.membrane_updates()), per(&once, once.neuron_steps())), (1536.0, 1572.0));
        assert_eq!((per(&once, once.bias_additions()), per(&every, every.bias_additions())), (932.0, 1572.0));
        assert_eq!((once.state_bytes(), every.state_bytes()), (4 * 390, 4 * 262));
        assert_eq!(once.parameter_bytes(), 75_800);
        assert_eq!(once.rates(), [0.2, 0.1]);
    }

    #[test]
    fn counts_beyond_single_precision_stay_exact() {
        let net = MlpLayout::new(&[1, 1], Activation::Tanh, 0);
        let samples = (1 << 24) + 1;
        let layer = LayerActivity { presentations: 1, active: vec![samples], membrane_updates: 0 };
        let activity = Activity { samples, layers: vec![layer], executed: 0 };
        let c = Counts::new(&net, &[1.0, 0.0], &activity, FirstLayer::Once).unwrap();
        assert_eq!(c.effective_macs(), 16_777_217);
    }

    #[test]
    fn an_activity_of_another_network_is_refused() {
        let net = MlpLayout::new(&[2, 3, 1], lif(), 0);
        let params = vec![1.0; net.params()];
        let layer = |n: usize, presentations| LayerActivity {
            presentations,
            active: vec![1; n],
            membrane_updates: 0,
        };
        let count = |samples, layers| {
            Counts::new(&net, &params, &Activity { samples, layers, executed: 0 }, FirstLayer::Once)
                .unwrap_err()
        };
        assert_eq!(count(0, vec![]), CountError::NoSamples);
        assert_eq!(count(1, vec![layer(2, 1)]), CountError::Layers { found: 1, wanted: 2 });
        assert_eq!(
            count(1, vec![layer(2, 1), layer(2, 6)]),
            CountError::Inputs { layer: 2, found: 2, wanted: 3 }
        );
        assert_eq!(
            count(1, vec![layer(2, 1), layer(3, 1)]),
            CountError::Presentations { layer: 2, found: 1, wanted: 6 }
        );
        let busy = LayerActivity { active: vec![2, 0], ..layer(2, 1) };
        assert_eq!(count(1, vec![busy, layer(3, 6)]), CountError::TooActive { layer: 1 });
    }
}
