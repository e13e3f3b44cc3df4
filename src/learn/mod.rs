//! The learning algorithms, on both backends with the same random draws: on-policy updates made of rollout, advantages and minibatch steps, and
//! off-policy ones whose slots, replay and gradient steps alternate.

mod adam;
mod ddpg_cpu;
mod dispatch;
mod dqn_cpu;
pub mod experts;
mod experts_backward_cpu;
pub mod experts_cpu;
pub mod experts_gpu;
mod experts_memory_cpu;
#[cfg(test)]
mod experts_toy;
mod learner;
pub mod mixture;
pub mod network;
pub mod off_policy;
pub mod off_policy_cpu;
pub mod off_policy_gpu;
mod off_policy_memory_cpu;
pub mod off_policy_step_gpu;
mod pack;
pub mod ppo_cpu;
pub mod ppo_gpu;
pub mod recurrent;
pub use crate::kernels::replay;
pub mod step_gpu;
#[cfg(test)]
mod toy;

pub use dispatch::Learner;
pub use experts::ExpertsSpec;
pub use learner::{Experts, OffPolicy, Ppo};
pub use off_policy::OffPolicySpec;

use crate::config::{PpoConfig, SpikingConfig};
use crate::env::Env;
use crate::nets::{Activation, ActorCriticLayout, Head, Hidden, Policy, Tensor};
use std::sync::{Arc, Mutex};

/// Slices of a minibatch whose weight gradients are summed apart on a GPU, so that the sums fill it.
fn slices(rows: usize) -> usize {
    rows.div_ceil(512).clamp(1, 64)
}

/// Working memory that threads borrow, so that it is allocated and zeroed once.
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    fn new() -> Self {
        Pool(Mutex::new(Vec::new()))
    }

    fn with<R>(&self, new: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let free = self.0.lock().expect("no thread panics with the lock").pop();
        let mut item = free.unwrap_or_else(new);
        let out = work(&mut item);
        self.0.lock().expect("no thread panics with the lock").push(item);
        out
    }
}

/// A learning algorithm with everything that its backends are built from.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a job has one or two of them, and passes them by reference")]
pub enum Algorithm {
    Ppo(PpoSpec),
    OffPolicy(OffPolicySpec),
    Experts(ExpertsSpec),
}

impl Algorithm {
    /// Where its replicas learn.
    pub fn env(&self) -> &Arc<dyn Env> {
        match self {
            Algorithm::Ppo(s) => &s.env,
            Algorithm::OffPolicy(s) => &s.env,
            Algorithm::Experts(s) => &s.env,
        }
    }
    /// Environment steps of one update of one replica.
    pub fn samples(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.samples(),
            Algorithm::OffPolicy(s) => s.samples(),
            Algorithm::Experts(s) => s.samples(),
        }
    }
    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.layout().params(),
            Algorithm::OffPolicy(s) => s.nets().params(),
            Algorithm::Experts(s) => s.params(),
        }
    }
    /// What lies where in the flat vector.
    pub fn tensors(&self) -> Vec<Tensor> {
        match self {
            Algorithm::Ppo(s) => s.layout().tensors(),
            Algorithm::OffPolicy(s) => s.tensors(),
            Algorithm::Experts(s) => s.tensors(),
        }
    }
    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        match self {
            Algorithm::Ppo(s) => LearnerState::new(s),
            Algorithm::OffPolicy(s) => s.start(),
            Algorithm::Experts(s) => s.start(),
        }
    }
    /// The policy that is learned; `None` of experts, which are more than a network with a head.
    pub fn policy(&self) -> Option<Policy> {
        match self {
            Algorithm::Ppo(s) => {
                let layout = s.layout();
                let head = Head::Gaussian { log_std_off: layout.log_std_off };
                Some(Policy { params: layout.params(), net: layout.actor, head })
            }
            Algorithm::OffPolicy(s) => Some(s.policy()),
            Algorithm::Experts(_) => None,
        }
    }
    /// The networks that decide, as text: equal texts are equal networks.
    pub fn decision(&self) -> String {
        match self {
            Algorithm::Experts(s) => format!("{:?}", s.layout),
            _ => format!("{:?}", self.policy()),
        }
    }
    /// Whether the policy is a network with a gradient of its own, rather than the choice that a critic values most.
    pub fn has_actor(&self) -> bool {
        match self {
            Algorithm::Ppo(_) | Algorithm::Experts(_) => true,
            Algorithm::OffPolicy(s) => s.nets().critic.is_some(),
        }
    }
    /// Whether a gradient of this update was not finite, so that the learner passed over it; `None` where it made no gradient step.
    pub fn is_stuck(&self, u: &UpdateMetrics) -> Option<bool> {
        let finite = u.grad_norm_critic.is_finite() && (u.grad_norm_actor.is_finite() || !self.has_actor());
        (u.gradient_steps > 0).then_some(!finite)
    }
    /// Whether the policy network has neurons that spike.
    pub fn spikes(&self) -> bool {
        self.policy().is_some_and(|p| p.net.lif.is_some())
    }
    /// Updates before the one whose time is that of all later ones.
    pub fn warm_up(&self) -> u32 {
        match self {
            Algorithm::Ppo(_) | Algorithm::Experts(_) => 1,
            // A replay is filled before there is anything to learn from.
            Algorithm::OffPolicy(s) => s.common.learning_starts.div_ceil(s.samples()).clamp(1, 20) as u32,
        }
    }
    /// The key of a setting that follows the length of the run, if there is one: without, a longer run begins as a shorter one does.
    pub fn follows_length(&self) -> Option<&'static str> {
        let rates = |share: f64| (share != 1.0).then_some("lr_final_share");
        match self {
            Algorithm::Ppo(s) => rates(s.ppo.lr_final_share),
            Algorithm::Experts(s) => rates(s.temporal.lr_final_share),
            Algorithm::OffPolicy(s) => s.follows_length(),
        }
    }
    /// How far learning is, in a few words: the first two means of an update over all replicas.
    pub fn note(&self, metrics: &[UpdateMetrics]) -> String {
        let (env, n) = (self.env(), metrics.len() as f64);
        let names = env.metrics();
        let mean = |i: usize| metrics.iter().map(|u| u.slots[i]).sum::<f64>() / n;
        let of = |(i, row): (usize, &usize)| format!("{} {:.2}", names[*row].name, mean(i));
        env.curve().iter().take(2).enumerate().map(of).collect::<Vec<_>>().join(", ")
    }
    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        match self {
            Algorithm::Ppo(s) => {
                let sizes = s.env.sizes();
                let per_slot = sizes.obs + sizes.action + 7;
                let rollout = s.samples() * per_slot * 4;
                let weights = s.layout().params() * 4 * (6 + s.ppo.minibatch.div_ceil(1024));
                (s.env.replicas() * (rollout + weights)) as u64
            }
            Algorithm::OffPolicy(s) => s.host_bytes(),
            Algorithm::Experts(s) => s.host_bytes(),
        }
    }
}

/// What both PPO backends are built from.
#[derive(Clone, Debug)]
pub struct PpoSpec {
    pub env: Arc<dyn Env>,
    pub ppo: PpoConfig,
    /// Spiking networks with these neurons instead of tanh perceptrons.
    pub spiking: Option<SpikingConfig>,
}

impl PpoSpec {
    /// PPO with tanh perceptrons: agent `ppo`.
    pub fn mlp(ppo: &PpoConfig, env: Arc<dyn Env>) -> Self {
        PpoSpec { env, ppo: ppo.clone(), spiking: None }
    }
    /// PPO with spiking networks: agent `spiking-ac`. What `[spiking]` says of learning takes the place of `[ppo]`.
    pub fn spiking(ppo: &PpoConfig, spiking: &SpikingConfig, env: Arc<dyn Env>) -> Self {
        let s = spiking;
        let ppo = PpoConfig {
            lr_actor: s.lr_actor,
            lr_critic: s.lr_critic,
            actor_gain: s.actor_gain,
            ..ppo.clone()
        };
        PpoSpec { env, ppo, spiking: Some(s.clone()) }
    }
    pub fn layout(&self) -> ActorCriticLayout {
        let neurons = match &self.spiking {
            Some(s) => Hidden::Lif(s.lif()),
            None => Activation::Tanh.into(),
        };
        let sizes = self.env.sizes();
        ActorCriticLayout::new(sizes.obs, &self.ppo.hidden, sizes.action, neurons)
    }
    /// Samples T·B of one update of one replica.
    pub fn samples(&self) -> usize {
        self.ppo.envs * self.ppo.horizon
    }
    /// Minibatches of one epoch.
    pub fn minibatches(&self) -> usize {
        self.samples() / self.ppo.minibatch
    }
    /// The flat parameter vectors `[R, P]` before the first update.
    pub fn initial_params(&self) -> Vec<f32> {
        let layout = self.layout();
        let ls = self.ppo.log_std_init as f32;
        let gain = self.spiking.as_ref().map_or(std::f64::consts::SQRT_2, |s| s.hidden_gain);
        let keys = (0..self.env.replicas()).map(|r| self.env.key(r));
        keys.flat_map(|key| layout.init(key, gain, self.ppo.actor_gain, ls)).collect()
    }
}

/// Parameters and optimiser state of all replicas: what a checkpoint holds and what a backend starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// `[R, P]`
    pub params: Vec<f32>,
    /// First and second moments of Adam, `[R, P]`.
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    /// Adam steps done.
    pub adam_steps: u64,
    /// Updates done.
    pub updates: u32,
    /// What else an algorithm must remember to go on as if it had never stopped: target networks, replay.
    pub extra: Vec<Extra>,
}

/// A further array of a learner's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    pub name: String,
    /// Of one replica.
    pub shape: Vec<usize>,
    /// `[R, shape…]`
    pub data: Vec<f32>,
}

impl LearnerState {
    /// The start of a run.
    pub fn new(spec: &PpoSpec) -> Self {
        let params = spec.initial_params();
        let zeros = vec![0.0; params.len()];
        LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra: Vec::new() }
    }
}

/// Means over one update of one replica. What an algorithm does not have is NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateMetrics {
    /// Means per slot of the metrics that [`Env::curve`] names, in its order: the first is the reward as the task defines it (not scaled).
    pub slots: Vec<f64>,
    /// Gradient steps behind the losses and norms below, which are NaN where there was none.
    pub gradient_steps: u32,
    /// Means over the minibatches of the update.
    pub policy_loss: f64,
    pub value_loss: f64,
    pub entropy: f64,
    pub approx_kl: f64,
    pub clip_fraction: f64,
    /// Mean gradient norms before clipping.
    pub grad_norm_actor: f64,
    pub grad_norm_critic: f64,
    /// Firing rates, spikes per neuron and spike step, in the rollout: the actor's hidden layers, then the critic's. Empty without spikes.
    pub firing_rates: Vec<f64>,
    /// Of the loss of the beams, where there is one.
    pub beams: Option<BeamUpdate>,
}

/// What an update of experts says of the beams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamUpdate {
    /// |h^H v|²/M over the samples that entered L_spat.
    pub gain: f64,
    /// Norm of L_spat's gradient before clipping; where the trunk is shared, of its part on the trunk in the first minibatch.
    pub grad_norm: f64,
    /// Cosine between the gradients of policy loss and L_spat on a shared trunk (hidden layers and gate), in the update's first minibatch; NaN where
    /// none is shared.
    pub cosine: f64,
}

/// Learning rates of an update (0-based) of a run of `total`: linear from the configured ones to their final share.
pub fn learning_rates(ppo: &PpoConfig, update: u32, total: u32) -> [f64; 2] {
    let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
    let share = 1.0 + (ppo.lr_final_share - 1.0) * progress.min(1.0);
    [ppo.lr_actor * share, ppo.lr_critic * share]
}
