//! Multilayer perceptrons: y = W_L act(… act(W_1 x + b_1) …) + b_L, no activation on the output.

use super::{Activation, Lif, Membrane, Population, Readout, Tensor, orthogonal};
use crate::num::philox::{PhiloxRng, Stream};
use std::ops::Range;

/// One dense layer: sizes, what follows it, and where it lies in the flat vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    pub act: Activation,
    /// First element of the weight `[outputs, inputs]`.
    pub w_off: usize,
    /// First element of the bias `[outputs]`.
    pub b_off: usize,
}

/// What the hidden layers of a network are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hidden {
    /// y = act(W x + b)
    Dense(Activation),
    /// Leaky integrate-and-fire neurons; the output layer integrates without firing.
    Lif(Lif),
    /// The same behind a layer of neurons that encode the inputs.
    Encoded(Lif, Population),
}

/// A fully connected network in the flat parameter vector: `fc1.weight, fc1.bias, fc2.weight, …`, without gaps. With a
/// [`Population`], sharpnesses `[I, P]` and centres `[I, P]` of its fields stand before them: the weight, a number for
/// each neuron, and the bias of the first layer, I → I·P. Learned leaks of the hidden layers stand behind everything.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpLayout {
    /// In a spiking network no layer has an activation of its own.
    pub layers: Vec<Layer>,
    /// Neurons behind the hidden layers of a spiking network; `None` for a perceptron.
    pub lif: Option<Lif>,
    /// What the first layer is if it encodes the inputs; its neurons count among the hidden ones.
    pub population: Option<Population>,
    /// First element inside the replica's flat vector.
    pub offset: usize,
}

impl MlpLayout {
    /// `sizes` = inputs, hidden widths, outputs, such as `[12, 128, 128, 6]`; `hidden` follows every layer but the
    /// last. Starts at `offset` of the flat vector. A [`Population`] is a further layer, behind the inputs.
    pub fn new(sizes: &[usize], hidden: impl Into<Hidden>, offset: usize) -> Self {
        let (act, lif, population) = match hidden.into() {
            Hidden::Dense(act) => (act, None, None),
            Hidden::Lif(lif) => (Activation::None, Some(lif), None),
            Hidden::Encoded(lif, population) => (Activation::None, Some(lif), Some(population)),
        };
        assert!(
            sizes.len() >= 2 && sizes.iter().all(|&n| n > 0),
            "an MLP needs inputs and outputs, not {sizes:?}"
        );
        let mut sizes = sizes.to_vec();
        if let Some(population) = population {
            sizes.insert(1, sizes[0] * population.fields);
        }
        let mut next = offset;
        let last = sizes.len() - 2;
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(l, pair)| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let w_off = next;
                let encodes = l == 0 && population.is_some();
                let b_off = w_off + if encodes { outputs } else { inputs * outputs };
                next = b_off + outputs;
                Layer { inputs, outputs, act: if l == last { Activation::None } else { act }, w_off, b_off }
            })
            .collect();
        MlpLayout { layers, lif, population, offset }
    }

    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Where the learned w of each hidden layer's leak λ = sigmoid(w) lie; empty without.
    pub fn leaks(&self) -> Range<usize> {
        let last = self.layers[self.layers.len() - 1];
        let start = last.b_off + last.outputs;
        let learned = self.lif.is_some_and(|lif| lif.learn_leak);
        start..start + if learned { self.layers.len() - 1 } else { 0 }
    }

    /// Neurons of each layer whose potentials outlive an inference: those of the hidden layers, then the output's
    /// integrators if they leak; empty where potentials are reset.
    pub fn carried(&self) -> Vec<usize> {
        let layers = match self.lif {
            Some(Lif { membrane: Membrane::Carried, readout: Readout::Last, .. }) => self.layers.len(),
            Some(Lif { membrane: Membrane::Carried, readout: Readout::Mean, .. }) => self.layers.len() - 1,
            _ => 0,
        };
        self.layers[..layers].iter().map(|l| l.outputs).collect()
    }

    /// One past the last element inside the flat vector.
    pub fn end(&self) -> usize {
        self.leaks().end
    }

    /// Number of parameters.
    pub fn params(&self) -> usize {
        self.end() - self.offset
    }

    /// The same network at another place of a flat vector.
    pub fn at(&self, offset: usize) -> Self {
        let place = |x: usize| x - self.offset + offset;
        let layer = |l: &Layer| Layer { w_off: place(l.w_off), b_off: place(l.b_off), ..*l };
        MlpLayout { layers: self.layers.iter().map(layer).collect(), offset, ..*self }
    }

    /// Layers that are not the [`Population`]'s, the output layer among them.
    pub fn dense_layers(&self) -> &[Layer] {
        &self.layers[usize::from(self.population.is_some())..]
    }

    /// Multiply–accumulates of one forward pass of one sample, biases not counted (NeuroBench's `dense` synaptic
    /// operations). A [`Population`] has no synapses.
    pub fn dense_macs(&self) -> usize {
        self.dense_layers().iter().map(|l| l.inputs * l.outputs).sum()
    }

    /// `{prefix}fc1.weight`, `{prefix}fc1.bias`, … in the order of the flat vector; before them
    /// `{prefix}population.sharpness` and `{prefix}population.centre` if there are any.
    pub fn tensors(&self, prefix: &str) -> Vec<Tensor> {
        let mut out = Vec::with_capacity(2 * self.layers.len());
        if let Some(Population { fields, .. }) = self.population {
            let Layer { inputs, w_off, b_off, .. } = self.layers[0];
            let tensor = |kind: &str, offset| Tensor {
                name: format!("{prefix}population.{kind}"),
                shape: vec![inputs, fields],
                offset,
            };
            out.extend([tensor("sharpness", w_off), tensor("centre", b_off)]);
        }
        for (l, layer) in self.dense_layers().iter().enumerate() {
            let name = |kind: &str| format!("{prefix}fc{}.{kind}", l + 1);
            out.push(Tensor {
                name: name("weight"),
                shape: vec![layer.outputs, layer.inputs],
                offset: layer.w_off,
            });
            out.push(Tensor { name: name("bias"), shape: vec![layer.outputs], offset: layer.b_off });
        }
        let leaks = self.leaks();
        if !leaks.is_empty() {
            out.push(Tensor { name: format!("{prefix}leak"), shape: vec![leaks.len()], offset: leaks.start });
        }
        out
    }

    /// Writes initial values into `params`, the flat vector of one replica: orthogonal weights with gain `hidden_gain`,
    /// `last_gain` in the last layer; zero biases. Deterministic in (seed, replica id, index of the tensor), so a
    /// replica starts the same in any batch. `first_tensor` is the index of the network's first tensor among those of
    /// the whole flat vector.
    pub fn init(
        &self,
        key: [u32; 2],
        first_tensor: usize,
        hidden_gain: f64,
        last_gain: f64,
        params: &mut [f32],
    ) {
        for (l, layer) in self.layers.iter().enumerate() {
            if let (0, Some(population)) = (l, self.population) {
                let (sharpness, centre) =
                    params[layer.w_off..][..2 * layer.outputs].split_at_mut(layer.outputs);
                population.init(sharpness, centre);
                continue;
            }
            let gain = if l + 1 == self.layers.len() { last_gain } else { hidden_gain };
            let mut rng = PhiloxRng::new(key, Stream::Init, 0, (first_tensor + 2 * l) as u32);
            let w = orthogonal(layer.outputs, layer.inputs, gain, &mut rng);
            params[layer.w_off..layer.b_off].iter_mut().zip(w).for_each(|(p, x)| *p = x as f32);
            params[layer.b_off..layer.b_off + layer.outputs].fill(0.0);
        }
        let lambda = self.lif.map_or(0.5, |lif| lif.lambda);
        params[self.leaks()].fill((lambda / (1.0 - lambda)).ln() as f32);
    }
}

/// Actor, state-independent log standard deviation and critic in one flat vector, in this order. Two parameter groups:
/// everything before the critic, and the critic.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorCriticLayout {
    /// inputs → action means `[A]`.
    pub actor: MlpLayout,
    /// First element of `log_std` `[A]`.
    pub log_std_off: usize,
    /// inputs → value `[1]`.
    pub critic: MlpLayout,
}

impl ActorCriticLayout {
    /// `inputs` observations, hidden layers of the given widths in both networks, `actions` actions.
    pub fn new(inputs: usize, hidden: &[usize], actions: usize, neurons: impl Into<Hidden>) -> Self {
        let neurons = neurons.into();
        let sizes = |outputs: usize| [&[inputs], hidden, &[outputs]].concat();
        let actor = MlpLayout::new(&sizes(actions), neurons, 0);
        let log_std_off = actor.end();
        let critic = MlpLayout::new(&sizes(1), neurons, log_std_off + actions);
        ActorCriticLayout { actor, log_std_off, critic }
    }

    /// A: number of actions.
    pub fn actions(&self) -> usize {
        self.actor.outputs()
    }

    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        self.critic.end()
    }

    /// Where the second parameter group (the critic) starts.
    pub fn split(&self) -> usize {
        self.critic.offset
    }

    /// `actor.fc1.weight`, …, `log_std`, `critic.fc1.weight`, …: the names of the golden files.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut out = self.actor.tensors("actor.");
        out.push(Tensor { name: "log_std".into(), shape: vec![self.actions()], offset: self.log_std_off });
        out.extend(self.critic.tensors("critic."));
        out
    }

    /// The initial flat vector `[P]` of the replica with this Philox key: orthogonal weights (`hidden_gain`;
    /// `actor_gain` and 1 in the last layers of actor and critic), zero biases, `log_std` constant.
    pub fn init(&self, key: [u32; 2], hidden_gain: f64, actor_gain: f64, log_std: f32) -> Vec<f32> {
        let mut params = vec![0.0; self.params()];
        self.actor.init(key, 0, hidden_gain, actor_gain, &mut params);
        params[self.log_std_off..self.split()].fill(log_std);
        self.critic.init(key, 2 * self.actor.layers.len() + 1, hidden_gain, 1.0, &mut params);
        params
    }
}

impl From<Activation> for Hidden {
    fn from(act: Activation) -> Self {
        Hidden::Dense(act)
    }
}

impl From<Lif> for Hidden {
    fn from(lif: Lif) -> Self {
        Hidden::Lif(lif)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::SQRT_2;

    #[test]
    fn sizes_of_the_reference_policy() {
        let m = MlpLayout::new(&[12, 128, 128, 6], Activation::Tanh, 10);
        // Weights and biases counted by hand; dense operations as NeuroBench counts them (opcounts.safetensors).
        assert_eq!(m.params(), 12 * 128 + 128 + 128 * 128 + 128 + 128 * 6 + 6);
        assert_eq!(m.dense_macs(), 18_688);
        assert_eq!((m.inputs(), m.outputs()), (12, 6));
        assert_eq!((m.layers[0].w_off, m.layers[0].b_off, m.layers[1].w_off), (10, 1546, 1674));
        let acts: Vec<_> = m.layers.iter().map(|l| l.act).collect();
        assert_eq!(acts, [Activation::Tanh, Activation::Tanh, Activation::None]);
    }

    #[test]
    fn tensors_tile_the_flat_vector_without_gaps() {
        let ac = ActorCriticLayout::new(12, &[32, 16], 6, Activation::Relu);
        let mut next = 0;
        let tensors = ac.tensors();
        for t in &tensors {
            assert_eq!(t.offset, next, "{}", t.name);
            next = t.range().end;
        }
        assert_eq!(next, ac.params());
        let names: Vec<_> = tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names[..2], ["actor.fc1.weight", "actor.fc1.bias"]);
        assert_eq!(names[6..8], ["log_std", "critic.fc1.weight"]);
        assert_eq!(names[12], "critic.fc3.bias");
        assert_eq!(tensors[7].offset, ac.split());
        assert_eq!(ac.split(), ac.log_std_off + 6);
    }

    #[test]
    fn initial_values_depend_on_seed_replica_and_tensor_only() {
        let ac = ActorCriticLayout::new(7, &[7], 7, Activation::Tanh);
        let a = ac.init([3, 5], SQRT_2, 0.01, -0.5);
        assert_eq!(a, ac.init([3, 5], SQRT_2, 0.01, -0.5));
        let w1 = |p: &[f32]| p[ac.actor.layers[0].w_off..ac.actor.layers[0].b_off].to_vec();
        assert_ne!(w1(&a), w1(&ac.init([4, 5], SQRT_2, 0.01, -0.5)));
        assert_ne!(w1(&a), w1(&ac.init([3, 6], SQRT_2, 0.01, -0.5)));
        // Actor and critic share the shape of their first layer but not its values.
        assert_ne!(w1(&a), a[ac.critic.layers[0].w_off..ac.critic.layers[0].b_off].to_vec());
        assert_eq!(a[ac.log_std_off..ac.split()], [-0.5; 7]);
        for layer in ac.actor.layers.iter().chain(&ac.critic.layers) {
            assert!(a[layer.b_off..layer.b_off + layer.outputs].iter().all(|&b| b == 0.0));
        }
        let last = ac.actor.layers[1];
        let row: f32 = a[last.w_off..last.w_off + 7].iter().map(|w| w * w).sum();
        assert!((row.sqrt() - 0.01).abs() < 1e-6, "last row has norm {}", row.sqrt());
    }

    #[test]
    fn learned_leaks_stand_at_the_end_and_start_at_lambda() {
        let lif = Lif {
            steps: 6,
            lambda: 0.3,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: true,
            readout: Readout::Last,
            learn_leak: true,
            membrane: Membrane::Reset,
        };
        let constant = MlpLayout::new(&[4, 8, 5, 2], Lif { learn_leak: false, ..lif }, 3);
        let net = MlpLayout::new(&[4, 8, 5, 2], lif, 3);
        assert_eq!(
            (constant.leaks(), net.leaks()),
            (constant.end()..constant.end(), net.end() - 2..net.end())
        );
        assert_eq!(net.params(), constant.params() + 2);
        let last = net.tensors("actor.").pop().unwrap();
        assert_eq!(
            (last.name.as_str(), last.shape.as_slice(), last.range()),
            ("actor.leak", &[2][..], net.leaks())
        );
        assert_eq!(net.at(10).leaks(), net.leaks().start + 7..net.leaks().end + 7);
        let mut params = vec![f32::NAN; net.end()];
        net.init([1, 0], 0, 2.0, 1.0, &mut params);
        for w in &params[net.leaks()] {
            assert!((1.0 / (1.0 + f64::from(-w).exp()) - 0.3).abs() < 1e-7);
        }
        assert!(params[3..].iter().all(|p| p.is_finite()));
    }
}
