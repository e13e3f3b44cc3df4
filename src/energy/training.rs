//! Operations of a training run: forward, backward and update, per training episode (one environment's T slots).
//!
//! Counted per sample. A dense network multiplies W·x forward, Wᵀ·g backward in every layer but the first, and g·xᵀ;
//! inputs and gradients that are zero (ReLU) are left out. A spiking network is unrolled over its S steps: Wᵀ·g is
//! real-valued and is multiplied at every step, because the surrogate's slope is zero nowhere; the gradient of the
//! output weights, and of every matrix behind spikes, accumulates over spikes; the first layer's input is constant, so
//! that its gradient is one product with the sum over steps; one that encodes the inputs (`nets::population`) has a
//! current a neuron and sample, and two gradients. An LSTM multiplies by 4H(I+H) weights forward and 3H gates with the
//! state (as NeuroBench counts an `LSTMCell`); backward by as many weights for their gradient, by the 4H·H recurrent
//! ones for the state's, and 16 times a unit for the gates' (`kernels::lstm_backward`).

use super::methods::{Constants, paper_formula};
use crate::learn::mixture::heads;
use crate::learn::off_policy::OffPolicySpec;
use crate::learn::{Algorithm, ApgSpec, ExpertsSpec, PpoSpec};
use crate::nets::experts::Decision;
use crate::nets::lstm::LstmLayout;
use crate::nets::{ActorCriticLayout, MlpLayout, population};
use std::ops::{Add, AddAssign, Mul};

/// MACs of an optimiser step per parameter: the norm for clipping 1, first moment 2, second moment 3, the step 1; root
/// and division as one.
pub const ADAM_MACS: f64 = 8.0;
/// MACs of a soft target update per parameter.
pub const TARGET_MACS: f64 = 2.0;

/// What is trained, as far as its operations go.
#[derive(Clone, Debug, PartialEq)]
pub enum Net {
    /// Dense or spiking.
    Layers(MlpLayout),
    Lstm(LstmLayout),
    /// The sum of this many networks' outputs, each times its share of a gate. No parameters.
    Mix {
        networks: usize,
        outputs: usize,
    },
}

/// Work on one network between two points of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSchedule {
    pub name: String,
    pub net: Net,
    /// Samples forward only: acting, bootstrapping, targets.
    pub forward: u64,
    /// Samples forward and backward, with the gradient of the weights.
    pub forward_backward: u64,
    /// Whether the latter goes on to the network's input: it is a head on another.
    pub head: bool,
    /// Samples forward and backward to the network's input only (DDPG's critic under the actor's loss).
    pub through: u64,
    pub optimiser_steps: u64,
    /// Soft updates of this network as a target.
    pub target_updates: u64,
}

impl NetworkSchedule {
    /// Of what is neither a head nor a target.
    fn of(name: &str, net: Net, forward: u64, forward_backward: u64, optimiser_steps: u64) -> Self {
        NetworkSchedule {
            name: name.into(),
            net,
            forward,
            forward_backward,
            head: false,
            through: 0,
            optimiser_steps,
            target_updates: 0,
        }
    }
}

/// What an algorithm does in `episodes` training episodes of one replica.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSchedule {
    pub episodes: u64,
    /// T, slots of an episode.
    pub slots: u64,
    pub networks: Vec<NetworkSchedule>,
}

impl TrainingSchedule {
    /// One update of the algorithm.
    pub fn of(algorithm: &Algorithm) -> Self {
        match algorithm {
            Algorithm::Ppo(spec) => TrainingSchedule::ppo(spec),
            Algorithm::OffPolicy(spec) => TrainingSchedule::off_policy(spec),
            Algorithm::Experts(spec) => TrainingSchedule::experts(spec),
            Algorithm::Apg(spec) => TrainingSchedule::apg(spec),
        }
    }

    fn ppo(spec: &PpoSpec) -> Self {
        let ActorCriticLayout { actor, critic, .. } = spec.layout();
        let samples = spec.samples() as u64;
        let slots = spec.env.sizes().slots as u64;
        let episodes = samples / slots;
        let passes = spec.ppo.epochs as u64 * samples;
        let steps = (spec.ppo.epochs * spec.minibatches()) as u64;
        let network = |name: &str, net: MlpLayout, forward: u64| {
            NetworkSchedule::of(name, Net::Layers(net), forward, passes, steps)
        };
        TrainingSchedule {
            episodes,
            slots,
            // The critic also values the observation after each episode's last slot.
            networks: vec![network("actor", actor, samples), network("critic", critic, samples + episodes)],
        }
    }

    /// The actor alone: what the slots' gradients cost is the simulator's.
    fn apg(spec: &ApgSpec) -> Self {
        let (samples, slots) = (spec.samples() as u64, spec.env.sizes().slots as u64);
        let (passes, steps) =
            (spec.apg.epochs as u64 * samples, (spec.apg.epochs * spec.minibatches()) as u64);
        let actor = NetworkSchedule::of("actor", Net::Layers(spec.net()), samples, passes, steps);
        TrainingSchedule { episodes: samples / slots, slots, networks: vec![actor] }
    }

    /// DDPG and DQN once their replay is filled enough to learn from.
    fn off_policy(spec: &OffPolicySpec) -> Self {
        let acts = spec.samples() as u64;
        let steps = spec.steps() as u64;
        let samples = steps * spec.common.minibatch as u64;
        let learns = |name: &str, net: &MlpLayout, forward: u64, through: u64| NetworkSchedule {
            through,
            ..NetworkSchedule::of(name, Net::Layers(net.clone()), forward, samples, steps)
        };
        let target = |name: &str, net: &MlpLayout| NetworkSchedule {
            target_updates: steps,
            ..NetworkSchedule::of(name, Net::Layers(net.clone()), samples, 0, 0)
        };
        let nets = spec.nets();
        let networks = match &nets.critic {
            Some(critic) => vec![
                learns("actor", &nets.policy, acts, 0),
                learns("critic", critic, 0, samples),
                target("actor_target", &nets.policy),
                target("critic_target", critic),
            ],
            None => vec![learns("q", &nets.policy, acts, 0), target("q_target", &nets.policy)],
        };
        let slots = spec.env.sizes().slots as u64;
        TrainingSchedule { episodes: spec.common.envs as u64, slots, networks }
    }

    /// One update of a mixture of experts: an episode of every environment, in which only logits and values are asked
    /// for; then the passes over all slots, and those of the phases over the slots that enter L_spat, as many as in the
    /// first update. Names are those of the account of inference.
    pub fn experts(spec: &ExpertsSpec) -> Self {
        let (envs, slots) = (spec.temporal.envs as u64, spec.slots() as u64);
        let samples = envs * slots;
        let (epochs, steps) = (spec.epochs() as u64, (spec.epochs() * spec.minibatches()) as u64);
        let spatial = envs * spec.spatial_slots(0).count() as u64;
        let part = NetworkSchedule::of;
        let policy = |name: &str, net| part(name, net, samples, epochs * samples, steps);
        let mut networks = Vec::new();
        match &spec.layout.decision {
            Decision::Isolated { lstm, head, phases } => {
                networks.push(policy("scheduler", Net::Lstm(lstm.clone())));
                let head = policy("scheduler", Net::Layers(head.clone()));
                networks.push(NetworkSchedule { head: true, ..head });
                networks.push(part("phases", Net::Layers(phases.clone()), 0, spatial, 1));
            }
            // L_spat is one more head on the trunk, which slots that enter it pass too; phases that are drawn enter the
            // policy loss instead, in every slot.
            Decision::Shared { gate, experts } => {
                let (k, phases) = (spec.layout.vehicles, spec.layout.phases());
                let [acts, learns] = match spec.layout.log_std {
                    None => [0, epochs * spatial],
                    Some(_) => [samples, epochs * samples],
                };
                for expert in experts {
                    let [logits, others] = heads(expert, k);
                    networks.push(policy("all", Net::Layers(logits)));
                    let last = vec![others.layers[others.layers.len() - 1]];
                    let others =
                        part("all", Net::Layers(MlpLayout { layers: last, ..others }), acts, learns, steps);
                    networks.push(NetworkSchedule { head: true, ..others });
                }
                if let Some(gate) = gate {
                    networks.push(policy("all", Net::Layers(gate.clone())));
                    let mix = |outputs| Net::Mix { networks: experts.len(), outputs };
                    networks.push(policy("all", mix(k)));
                    networks.push(part("all", mix(phases), acts, learns, steps));
                }
            }
        }
        // It also values the observation after each episode's last slot.
        let critic = Net::Layers(spec.layout.critic.clone());
        networks.push(part("critic", critic, samples + envs, epochs * samples, steps));
        TrainingSchedule { episodes: envs, slots, networks }
    }

    /// Splits firing rates (or shares of active units) of all hidden layers, networks in order, among the networks;
    /// `None` if they are not of this length.
    pub fn split_rates<'a>(&self, rates: &'a [f64]) -> Option<Vec<&'a [f64]>> {
        let mut rest = rates;
        let split: Option<_> = self.trained().map(|n| rest.split_off(..n.net.hidden_layers())).collect();
        split.filter(|_| rest.is_empty())
    }

    /// The networks that learn: targets follow them and have no rates of their own.
    pub fn trained(&self) -> impl Iterator<Item = &NetworkSchedule> {
        self.networks.iter().filter(|n| n.forward_backward > 0)
    }
}

/// Operations, means per sample or per episode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operations {
    pub macs: f64,
    /// Accumulates and bias additions.
    pub acs: f64,
    /// Updates of a neuron: a MAC and an addition each (membrane and threshold forward, slope backward).
    pub neurons: f64,
}

impl Operations {
    pub fn joules(&self, c: &Constants) -> f64 {
        1e-12 * (c.mac_pj() * (self.macs + self.neurons) + c.add_pj * (self.acs + self.neurons))
    }
}

impl Add for Operations {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Operations { macs: self.macs + o.macs, acs: self.acs + o.acs, neurons: self.neurons + o.neurons }
    }
}

impl AddAssign for Operations {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl Mul<f64> for Operations {
    type Output = Self;
    fn mul(self, x: f64) -> Self {
        Operations { macs: self.macs * x, acs: self.acs * x, neurons: self.neurons * x }
    }
}

/// Share of non-zero units before and behind layer `l`; `rates` are those of the hidden layers.
fn shares(rates: &[f64], l: usize) -> (f64, f64) {
    let before = if l == 0 { 1.0 } else { rates[l - 1] };
    (before, rates.get(l).copied().unwrap_or(1.0))
}

fn size(net: &MlpLayout, l: usize) -> (f64, f64) {
    (net.layers[l].inputs as f64, net.layers[l].outputs as f64)
}

/// One sample forward. `rates` has one entry per hidden layer.
pub fn forward(net: &MlpLayout, rates: &[f64]) -> Operations {
    let mut o = Operations::default();
    for l in 0..net.layers.len() {
        let ((n, m), (before, _)) = (size(net, l), shares(rates, l));
        match net.lif {
            Some(lif) if l == 0 && net.population.is_some() => {
                o.macs += m * population::MACS as f64;
                o.neurons += lif.steps as f64 * m;
            }
            Some(lif) => {
                let steps = lif.steps as f64;
                o.macs += if l == 0 { n * m } else { 0.0 };
                o.acs += if l == 0 { m } else { steps * (before * n * m + m) };
                o.neurons += steps * m;
            }
            None => (o.macs, o.acs) = (o.macs + before * n * m, o.acs + m),
        }
    }
    o
}

/// One sample backward, without its forward pass: gradients of the weights (`weights`), and of the input (`input`).
pub fn backward(net: &MlpLayout, rates: &[f64], weights: bool, input: bool) -> Operations {
    let mut o = Operations::default();
    let last = net.layers.len() - 1;
    for l in 0..=last {
        let ((n, m), (before, behind)) = (size(net, l), shares(rates, l));
        let to_input = l > 0 || input;
        match net.lif {
            Some(lif) if l == 0 && net.population.is_some() => {
                o.macs += if weights { m * population::GRADIENT_MACS as f64 } else { 0.0 };
                o.neurons += lif.steps as f64 * m;
            }
            Some(lif) => {
                let steps = lif.steps as f64;
                // The gradient at the output has one value, scaled for each step; at hidden layers it differs from step
                // to step.
                if to_input {
                    o.macs += if l == last || l == 0 { n * m } else { steps * n * m };
                }
                if weights && l == 0 {
                    o.macs += n * m;
                } else if weights {
                    o.acs += steps * before * n * m;
                }
                if weights {
                    o.acs += if l == last { m } else { steps * m };
                }
                if l < last {
                    o.neurons += steps * m;
                }
            }
            None => {
                let products = before * n * behind * m;
                o.macs += if to_input { products } else { 0.0 } + if weights { products } else { 0.0 };
                o.acs += if weights { behind * m } else { 0.0 };
                if l < last {
                    o.neurons += behind * m;
                }
            }
        }
    }
    o
}

impl Net {
    /// Hidden layers, whose rates are asked for.
    pub fn hidden_layers(&self) -> usize {
        match self {
            Net::Layers(net) => net.layers.len() - 1,
            Net::Lstm(_) | Net::Mix { .. } => 0,
        }
    }

    pub fn spikes(&self) -> bool {
        matches!(self, Net::Layers(net) if net.lif.is_some())
    }

    pub fn params(&self) -> usize {
        match self {
            // Not those between a head's weights and its biases, which are another's.
            Net::Layers(net) => {
                let encoder = net.population.map_or(0, |_| 2 * net.layers[0].outputs);
                let dense: usize = net.dense_layers().iter().map(|l| (l.inputs + 1) * l.outputs).sum();
                encoder + dense + net.leaks().len()
            }
            Net::Lstm(lstm) => lstm.params(),
            Net::Mix { .. } => 0,
        }
    }

    /// One sample forward.
    fn forward(&self, rates: &[f64]) -> Operations {
        match self {
            Net::Layers(net) => forward(net, rates),
            Net::Lstm(lstm) => {
                let (i, h) = (lstm.inputs() as f64, lstm.hidden() as f64);
                Operations { macs: 4.0 * h * (i + h) + 3.0 * h, acs: 8.0 * h, neurons: 0.0 }
            }
            Net::Mix { networks, outputs } => {
                Operations { macs: (networks * outputs) as f64, ..Operations::default() }
            }
        }
    }

    /// One sample backward.
    fn backward(&self, rates: &[f64], weights: bool, input: bool) -> Operations {
        match self {
            Net::Layers(net) => backward(net, rates, weights, input),
            Net::Lstm(lstm) => {
                let (i, h) = (lstm.inputs() as f64, lstm.hidden() as f64);
                let by_input = if input { 4.0 * h * i } else { 0.0 };
                let by_weights = if weights { 4.0 * h * (i + h) } else { 0.0 };
                Operations {
                    macs: by_weights + by_input + 4.0 * h * h + 16.0 * h,
                    acs: if weights { 8.0 * h } else { 0.0 },
                    neurons: 0.0,
                }
            }
            // By every output of every network, and by its share.
            Net::Mix { networks, outputs } => {
                Operations { macs: 2.0 * (networks * outputs) as f64, ..Operations::default() }
            }
        }
    }

    /// Joules of a pass forward by the formula of the paper "spiking-ac"; for a network without spikes that is one MAC
    /// for each product.
    fn paper_joules(&self, rates: &[f64], constants: &Constants) -> f64 {
        match self {
            Net::Layers(net) => paper_formula(net, rates, constants).joules,
            Net::Lstm(_) | Net::Mix { .. } => 1e-12 * constants.mac_pj() * self.forward(rates).macs,
        }
    }
}

/// Operations of one network per training episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeOperations {
    pub forward: Operations,
    pub backward: Operations,
    pub update: Operations,
}

impl EpisodeOperations {
    pub fn total(&self) -> Operations {
        self.forward + self.backward + self.update
    }
}

/// Per training episode of `schedule`. `rates` of the hidden layers: firing rates, or shares of units that are not
/// zero; where they were not measured, 1, which counts every product of a dense network.
pub fn per_episode(network: &NetworkSchedule, episodes: u64, rates: &[f64]) -> EpisodeOperations {
    let NetworkSchedule { net, forward: only, forward_backward, head, through, .. } = network;
    let each = 1.0 / episodes as f64;
    let macs = |per: f64, times: u64| Operations {
        macs: per * net.params() as f64 * times as f64,
        ..Operations::default()
    };
    EpisodeOperations {
        forward: net.forward(rates) * ((only + forward_backward + through) as f64 * each),
        backward: net.backward(rates, true, *head) * (*forward_backward as f64 * each)
            + net.backward(rates, false, true) * (*through as f64 * each),
        update: (macs(ADAM_MACS, network.optimiser_steps) + macs(TARGET_MACS, network.target_updates)) * each,
    }
}

/// The paper's energy of a training episode: its formula for one pass forward through each network that learns, once in
/// every slot. It knows no backward pass and no epochs, and calls networks that are trained differently equal.
pub fn paper_episode(network: &NetworkSchedule, slots: u64, rates: &[f64], constants: &Constants) -> f64 {
    slots as f64 * network.net.paper_joules(rates, constants)
}

#[cfg(test)]
mod tests {
    use super::super::counts::FirstLayer;
    use super::super::counts::tests::{encoded, lif};
    use super::super::methods::INT32;
    use super::*;
    use crate::config::{Layered, PolicyGradient};
    use crate::nets::Activation;
    use crate::nets::experts::Architecture;
    use crate::tasks::misac::agents::{H_MOE, HOMOGENEOUS_MOE, PPO_MONO};
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    const SIZES: [usize; 4] = [12, 128, 128, 6];

    fn close(got: f64, want: f64, within: f64) {
        assert!((got - want).abs() <= within, "{got} is not within {within} of {want}");
    }

    #[test]
    fn a_dense_sample() {
        let net = MlpLayout::new(&SIZES, Activation::Tanh, 0);
        let (f, b) = (forward(&net, &[1.0; 2]), backward(&net, &[1.0; 2], true, false));
        assert_eq!((f.macs, f.macs + b.macs), (18_688.0, 54_528.0));
        close((f.macs + b.macs) * INT32.mac_pj() * 1e-3, 174.0, 0.5);
        // Biases: one addition per output, forward and backward; a slope per hidden unit.
        assert_eq!((f.acs, b.acs, b.neurons), (262.0, 262.0, 256.0));
        // Of gradients by the input, the weights are not needed: one product per weight.
        assert_eq!(backward(&net, &[1.0; 2], false, true).macs, 18_688.0);
    }

    #[test]
    fn zeros_of_a_relu_sample_are_skipped() {
        let net = MlpLayout::new(&[2, 10, 3], Activation::Relu, 0);
        assert_eq!(forward(&net, &[0.5]).macs, 20.0 + 15.0);
        // dW1 and dW2 at the five active units, dX of the second layer at these.
        assert_eq!(backward(&net, &[0.5], true, false).macs, 10.0 + 15.0 + 15.0);
    }

    #[test]
    fn a_spiking_sample_costs_more_than_a_dense_one() {
        let net = MlpLayout::new(&SIZES, lif(), 0);
        let b = backward(&net, &[0.2; 2], true, false);
        assert_eq!(b.macs, 98_304.0 + 768.0 + 1_536.0);
        let biases = 6.0 * 256.0 + 6.0;
        close(b.acs - biases, 20_582.4, 1e-6);
        // The note counts neither biases nor neurons, and the forward pass by the paper's formula.
        let products = Operations { acs: b.acs - biases, neurons: 0.0, ..b };
        let nj = 1e9 * (products.joules(&INT32) + paper_formula(&net, &[0.2; 2], &INT32).joules);
        close(nj, 329.0, 0.6);
        close(174.49 / nj, 0.53, 0.005);
        assert_eq!(b.neurons, 6.0 * 256.0);
        let f = forward(&net, &[0.2; 2]);
        close(f.acs, 128.0 + 6.0 * (0.2 * 17_152.0 + 134.0), 1e-9);
        assert_eq!((f.macs, f.neurons), (1536.0, 1572.0));
    }

    #[test]
    fn a_sample_whose_inputs_are_encoded() {
        let (net, rates) = (encoded(250, 100, FirstLayer::Once).0, [0.25, 0.1]);
        let (f, b) = (forward(&net, &rates), backward(&net, &rates, true, false));
        let acs = 0.25 * 96.0 * 128.0 + 0.1 * 128.0 * 6.0;
        assert_eq!((f.macs, f.neurons), (96.0 * 14.0, 6.0 * (96.0 + 128.0 + 6.0)));
        close(f.acs, 6.0 * (acs + 128.0 + 6.0), 1e-9);
        // By the spikes of both layers, and by sharpness and centre.
        assert_eq!(b.macs, 6.0 * 96.0 * 128.0 + 128.0 * 6.0 + 96.0 * 4.0);
        close(b.acs, 6.0 * (acs + 128.0) + 6.0, 1e-9);
        assert_eq!(b.neurons, 6.0 * (96.0 + 128.0));
        assert_eq!(Net::Layers(net.clone()).params(), net.params());
    }

    #[test]
    fn an_episode_of_ppo() {
        let sets = ["ppo.envs=4", "ppo.horizon=200", "ppo.minibatch=100", "ppo.epochs=3"].map(String::from);
        let config = V2xConfig::load(None, &sets).unwrap();
        let s = TrainingSchedule::of(&Algorithm::Ppo(PpoSpec::mlp(&config.ppo, config.env_of(Vec::new()))));
        assert_eq!((s.episodes, s.slots, s.networks.len()), (8, 100, 2));
        let (actor, critic) = (&s.networks[0], &s.networks[1]);
        assert_eq!((actor.forward, critic.forward, actor.forward_backward), (800, 808, 2400));
        assert_eq!((actor.optimiser_steps, critic.optimiser_steps), (24, 24));
        let e = per_episode(actor, s.episodes, &[1.0; 2]);
        assert_eq!(e.forward.macs, 400.0 * 18_688.0);
        assert_eq!(e.backward.macs, 300.0 * (54_528.0 - 18_688.0));
        assert_eq!(e.update.macs, 3.0 * ADAM_MACS * 18_950.0);
        assert_eq!(e.total().macs, e.forward.macs + e.backward.macs + e.update.macs);
        // The paper: one pass forward of actor and critic in every slot.
        let nj: f64 = s.trained().map(|n| 1e9 * paper_episode(n, 1, &[], &INT32)).sum();
        close(nj, 117.56, 0.01);
        assert_eq!(s.split_rates(&[1.0, 2.0, 3.0, 4.0]).unwrap(), [&[1.0, 2.0][..], &[3.0, 4.0]]);
        assert_eq!(s.split_rates(&[]), None);
    }

    #[test]
    fn targets_cost_their_updates_and_have_no_rates() {
        let net = MlpLayout::new(&[2, 3, 1], Activation::Relu, 0);
        let network = |name: &str, forward_backward, target_updates| NetworkSchedule {
            name: name.into(),
            net: Net::Layers(net.clone()),
            forward: 10,
            forward_backward,
            head: false,
            through: 0,
            optimiser_steps: 0,
            target_updates,
        };
        let s = TrainingSchedule {
            episodes: 2,
            slots: 100,
            networks: vec![network("q", 20, 0), network("target", 0, 6)],
        };
        assert_eq!(s.split_rates(&[0.5]), Some(vec![&[0.5][..]]));
        assert_eq!(per_episode(&s.networks[1], 2, &[1.0]).update.macs, 3.0 * TARGET_MACS * 13.0);
    }

    fn experts(architecture: Architecture) -> (ExpertsSpec, TrainingSchedule) {
        let sets = ["temporal.envs=8", "temporal.minibatch_envs=4", "temporal.epochs=3", "spatial.stride=50"];
        let config = MisacConfig::load(None, &sets.map(String::from)).unwrap();
        let mut spec = config.learner(architecture, config.typed_env(&[]));
        spec.temporal.algorithm = PolicyGradient::Ppo;
        let schedule = TrainingSchedule::experts(&spec);
        (spec, schedule)
    }

    /// By the paper's formula a training slot is an inference of what decides, and one of the critic.
    #[test]
    fn the_paper_s_training_slot_is_an_inference() {
        for architecture in [H_MOE, PPO_MONO, HOMOGENEOUS_MOE] {
            let (spec, s) = experts(architecture);
            let params = vec![1.0; spec.params()];
            let counts = crate::energy::experts::counts(&spec.layout, &params, &[1; 12], 1, 1).unwrap();
            let products: u64 = counts.iter().map(|(_, c)| c.dense()).sum();
            let critic = f64::from(12 * 64 + 64 * 64 + 64);
            let want = 3.2e-12 * (products as f64 + critic);
            let got: f64 =
                s.trained().map(|n| paper_episode(n, 1, &vec![1.0; n.net.hidden_layers()], &INT32)).sum();
            close(got / want, 1.0, 1e-9);
            // Every parameter is in one of the networks, and their names are those of the account of inference.
            assert_eq!(s.networks.iter().map(|n| n.net.params()).sum::<usize>(), spec.params());
            for n in &s.networks {
                assert!(n.name == "critic" || counts.iter().any(|(name, _)| *name == n.name), "{}", n.name);
            }
        }
    }

    #[test]
    fn an_episode_of_h_moe() {
        let (_, s) = experts(H_MOE);
        assert_eq!((s.episodes, s.slots), (8, 200));
        let of = |n: usize| {
            let n = &s.networks[n];
            per_episode(n, s.episodes, &vec![1.0; n.net.hidden_layers()])
        };
        // The rollout and three passes, in two minibatches each.
        let (lstm, head, phases, critic) = (of(0), of(1), of(2), of(3));
        assert_eq!(lstm.forward.macs, 200.0 * 4.0 * (4.0 * 64.0 * 76.0 + 192.0));
        assert_eq!(lstm.backward.macs, 200.0 * 3.0 * (4.0 * 64.0 * 76.0 + 4.0 * 64.0 * 64.0 + 1024.0));
        assert_eq!(lstm.update.macs, 6.0 * ADAM_MACS * (4.0 * 64.0 * 76.0 + 512.0) / 8.0);
        // A head's gradient goes on: three times its weights.
        assert_eq!((head.forward.macs, head.backward.macs), (800.0 * 256.0, 600.0 * 512.0));
        // Four slots of an episode enter L_spat, once.
        assert_eq!(phases.forward.macs, 4.0 * (1536.0 + 16_384.0 + 128.0 * 256.0));
        assert_eq!(phases.update.macs, ADAM_MACS * (13.0 * 128.0 + 129.0 * 128.0 + 129.0 * 256.0) / 8.0);
        assert_eq!(critic.forward.macs, 801.0 * 4928.0);
    }

    /// Where phases are drawn, the rollout and the passes of the policy loss compute them in every slot, and L_spat
    /// computes them once more in the slots that enter it.
    #[test]
    fn drawn_phases_enter_every_pass() {
        let head = |mono_phases: &str| {
            let sets =
                ["temporal.envs=8", "temporal.minibatch_envs=4", "temporal.epochs=3", "spatial.stride=50"];
            let sets: Vec<String> = sets.iter().map(|s| s.to_string()).chain([mono_phases.into()]).collect();
            let config = MisacConfig::load(None, &sets).unwrap();
            let spec = config.learner(PPO_MONO, config.typed_env(&[]));
            let TrainingSchedule { networks, .. } = TrainingSchedule::experts(&spec);
            assert_eq!(networks.len(), 3);
            (networks[1].forward, networks[1].forward_backward, networks[1].net.params())
        };
        assert_eq!(head("temporal.mono_phases=l-spat"), (0, 3 * 4 * 8, 129 * 256));
        assert_eq!(head("temporal.mono_phases=gaussian"), (1600, 4800, 129 * 256));
    }

    #[test]
    fn products_of_a_mixture_and_of_heads() {
        let (spec, s) = experts(HOMOGENEOUS_MOE);
        assert_eq!(s.networks.len(), 2 * 2 + 3 + 1);
        let (k, phases) = (spec.layout.vehicles, spec.layout.phases());
        let [one, others] = [&s.networks[5], &s.networks[6]];
        assert_eq!((&one.net, one.forward), (&Net::Mix { networks: 2, outputs: k }, 1600));
        assert_eq!((&others.net, others.forward), (&Net::Mix { networks: 2, outputs: phases }, 0));
        assert_eq!(others.forward_backward, 3 * 4 * 8);
        let e = per_episode(one, 1, &[]);
        assert_eq!(
            (e.forward.macs, e.backward.macs),
            ((1600 + 4800) as f64 * 2.0 * k as f64, 4800.0 * 4.0 * k as f64)
        );
        assert_eq!(e.update.macs, 0.0);
    }
}
