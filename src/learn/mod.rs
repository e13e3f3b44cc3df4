//! The learning algorithms, on both backends with the same random draws: on-policy updates made of rollout, advantages and minibatch steps, and
//! off-policy ones whose slots, replay and gradient steps alternate.

mod adam;
mod ddpg_cpu;
mod dqn_cpu;
pub mod experts;
mod experts_backward_cpu;
pub mod experts_cpu;
pub mod experts_gpu;
pub mod mixture;
pub mod network;
pub mod off_policy;
pub mod off_policy_cpu;
pub mod off_policy_gpu;
pub mod off_policy_step_gpu;
pub mod ppo_cpu;
pub mod ppo_gpu;
pub mod recurrent;
pub mod replay;
mod spatial_cpu;
pub mod step_gpu;

pub use experts::{ExpertsSpec, MisacUpdate};
pub use off_policy::OffPolicySpec;

use crate::config::{PpoConfig, SpikingConfig};
use crate::nets::{Activation, ActorCriticLayout, Head, Hidden, Policy, Tensor};
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::physics::{V2xParams, V2xSpec};
use std::sync::Mutex;

/// One independent agent: its seed and its own task parameters, of task v2x unless another is named.
#[derive(Clone, Copy, Debug)]
pub struct Replica<P = V2xParams> {
    pub seed: u32,
    pub task: P,
}

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
pub enum Algorithm {
    Ppo(PpoSpec),
    OffPolicy(OffPolicySpec),
}

impl Algorithm {
    pub fn task(&self) -> &V2xSpec {
        match self {
            Algorithm::Ppo(s) => &s.task,
            Algorithm::OffPolicy(s) => &s.task,
        }
    }
    pub fn replicas(&self) -> &[Replica] {
        match self {
            Algorithm::Ppo(s) => &s.replicas,
            Algorithm::OffPolicy(s) => &s.replicas,
        }
    }
    /// Environment steps of one update of one replica.
    pub fn samples(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.samples(),
            Algorithm::OffPolicy(s) => s.samples(),
        }
    }
    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.layout().params(),
            Algorithm::OffPolicy(s) => s.nets().params(),
        }
    }
    /// What lies where in the flat vector.
    pub fn tensors(&self) -> Vec<Tensor> {
        match self {
            Algorithm::Ppo(s) => s.layout().tensors(),
            Algorithm::OffPolicy(s) => s.tensors(),
        }
    }
    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        match self {
            Algorithm::Ppo(s) => LearnerState::new(s),
            Algorithm::OffPolicy(s) => s.start(),
        }
    }
    /// The policy that is learned.
    pub fn policy(&self) -> Policy {
        match self {
            Algorithm::Ppo(s) => {
                let layout = s.layout();
                let head = Head::Gaussian { log_std_off: layout.log_std_off };
                Policy { params: layout.params(), net: layout.actor, head }
            }
            Algorithm::OffPolicy(s) => s.policy(),
        }
    }
    /// Whether the policy is a network with a gradient of its own, rather than the choice that a critic values most.
    pub fn has_actor(&self) -> bool {
        match self {
            Algorithm::Ppo(_) => true,
            Algorithm::OffPolicy(s) => s.nets().critic.is_some(),
        }
    }
    /// Whether the policy network has neurons that spike.
    pub fn spikes(&self) -> bool {
        self.policy().net.lif.is_some()
    }
    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        match self {
            Algorithm::Ppo(s) => {
                let per_slot = s.task.obs_dim() + s.task.action_dim() + 7;
                let rollout = s.samples() * per_slot * 4;
                let weights = s.layout().params() * 4 * (6 + s.ppo.minibatch.div_ceil(1024));
                (s.replicas.len() * (rollout + weights)) as u64
            }
            Algorithm::OffPolicy(s) => s.host_bytes(),
        }
    }
}

/// What both PPO backends are built from.
#[derive(Clone, Debug)]
pub struct PpoSpec {
    pub task: V2xSpec,
    pub ppo: PpoConfig,
    /// Spiking networks with these neurons instead of tanh perceptrons.
    pub spiking: Option<SpikingConfig>,
    pub replicas: Vec<Replica>,
}

impl PpoSpec {
    /// PPO with tanh perceptrons: agent `ppo`.
    pub fn mlp(config: &V2xConfig, replicas: Vec<Replica>) -> Self {
        PpoSpec { task: config.task.spec(), ppo: config.ppo.clone(), spiking: None, replicas }
    }
    /// PPO with spiking networks: agent `spiking-ac`. What `[spiking]` says of learning takes the place of `[ppo]`.
    pub fn spiking(config: &V2xConfig, replicas: Vec<Replica>) -> Self {
        let s = &config.spiking;
        let ppo = PpoConfig {
            lr_actor: s.lr_actor,
            lr_critic: s.lr_critic,
            actor_gain: s.actor_gain,
            ..config.ppo.clone()
        };
        PpoSpec { task: config.task.spec(), ppo, spiking: Some(s.clone()), replicas }
    }
    pub fn layout(&self) -> ActorCriticLayout {
        let neurons = match &self.spiking {
            Some(s) => Hidden::Lif(s.lif()),
            None => Activation::Tanh.into(),
        };
        ActorCriticLayout::new(self.task.obs_dim(), &self.ppo.hidden, self.task.action_dim(), neurons)
    }
    /// Samples T·B of one update of one replica.
    pub fn samples(&self) -> usize {
        self.ppo.envs * self.ppo.horizon
    }
    /// Minibatches of one epoch.
    pub fn minibatches(&self) -> usize {
        self.samples() / self.ppo.minibatch
    }
    /// The flat parameter vectors [R, P] before the first update.
    pub fn initial_params(&self) -> Vec<f32> {
        let layout = self.layout();
        let ls = self.ppo.log_std_init as f32;
        let gain = self.spiking.as_ref().map_or(std::f64::consts::SQRT_2, |s| s.hidden_gain);
        self.replicas.iter().flat_map(|r| layout.init(r.task.key, gain, self.ppo.actor_gain, ls)).collect()
    }
}

/// Parameters and optimiser state of all replicas: what a checkpoint holds and what a backend starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// [R, P]
    pub params: Vec<f32>,
    /// First and second moments of Adam, [R, P].
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
    /// [R, shape…]
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
    /// Mean per slot, as the task defines it (not scaled).
    pub reward: f64,
    pub sum_rate_bps_hz: f64,
    pub jain: f64,
    pub indicator_share: f64,
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
}

/// Learning rates of an update (0-based) of a run of `total`: linear from the configured ones to their final share.
pub fn learning_rates(ppo: &PpoConfig, update: u32, total: u32) -> [f64; 2] {
    let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
    let share = 1.0 + (ppo.lr_final_share - 1.0) * progress.min(1.0);
    [ppo.lr_actor * share, ppo.lr_critic * share]
}
