//! The learning algorithms: each an update made of rollout, advantages and minibatch steps, on both backends with the same random draws.

pub mod network;
pub mod ppo_cpu;
pub mod ppo_gpu;
pub mod step_gpu;

use crate::config::PpoConfig;
use crate::policy::{Activation, ActorCriticLayout};
use crate::task::v2x::{V2xParams, V2xSpec};

/// One independent agent: its seed and its own task parameters.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    pub seed: u32,
    pub task: V2xParams,
}

/// What both PPO backends are built from.
#[derive(Clone, Debug)]
pub struct PpoSpec {
    pub task: V2xSpec,
    pub ppo: PpoConfig,
    pub replicas: Vec<Replica>,
}

impl PpoSpec {
    pub fn layout(&self) -> ActorCriticLayout {
        ActorCriticLayout::new(
            self.task.obs_dim(),
            &self.ppo.hidden,
            self.task.action_dim(),
            Activation::Tanh,
        )
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
        self.replicas
            .iter()
            .flat_map(|r| layout.init(r.task.key[0], r.task.key[1], self.ppo.actor_gain, 1.0, ls))
            .collect()
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
}

impl LearnerState {
    /// The start of a run.
    pub fn new(spec: &PpoSpec) -> Self {
        let params = spec.initial_params();
        let zeros = vec![0.0; params.len()];
        LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0 }
    }
}

/// Means over one update of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
}

/// Learning rates of an update (0-based) of a run of `total`: linear from the configured ones to their final share.
pub fn learning_rates(ppo: &PpoConfig, update: u32, total: u32) -> [f64; 2] {
    let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
    let share = 1.0 + (ppo.lr_final_share - 1.0) * progress.min(1.0);
    [ppo.lr_actor * share, ppo.lr_critic * share]
}
