//! Configuration of the learned agents of task v2x: `[ppo]`, `[spiking]`, `[ddpg]`, `[dqn]`.

use super::{ConfigError, not_negative, positive, share, widths};
use crate::nets::{Lif, lif};
use serde::{Deserialize, Serialize};

/// Whose gradient norm is clipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClipScope {
    /// Actor (with log-std) and critic each by their own norm.
    Separate,
    /// One norm over all parameters.
    Joint,
}

/// PPO with a Gaussian policy and separate tanh networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PpoConfig {
    /// Widths of the hidden layers of actor and critic.
    pub hidden: Vec<usize>,
    /// Environments B per replica.
    pub envs: usize,
    /// Slots collected per update.
    pub horizon: usize,
    pub epochs: usize,
    /// Samples per minibatch and replica; envs·horizon must be a multiple.
    pub minibatch: usize,
    pub gamma: f64,
    pub gae_lambda: f64,
    pub clip: f64,
    pub clip_value: bool,
    pub lr_actor: f64,
    pub lr_critic: f64,
    /// Both learning rates fall linearly to this share of their start over the run.
    pub lr_final_share: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
    /// 0 = no clipping.
    pub max_grad_norm: f64,
    pub clip_scope: ClipScope,
    pub vf_coef: f64,
    pub entropy_coef: f64,
    pub normalise_advantages: bool,
    /// Rewards are multiplied by this before learning (not in reports).
    pub reward_scale: f64,
    pub log_std_init: f64,
    /// Gain of the orthogonal initialisation of the actor's last layer.
    pub actor_gain: f64,
}

impl PpoConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Learning is in single precision: 1e39 would be infinite there and 1e-50 zero.
        let positive = |x: f64| (x as f32).is_normal() && x > 0.0;
        let not_negative = |x: f64| (x as f32).is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        check!(
            "ppo.hidden",
            self.hidden,
            !self.hidden.is_empty() && self.hidden.len() <= 8,
            "must list 1 to 8 layers"
        );
        check!(
            "ppo.hidden",
            self.hidden,
            self.hidden.iter().all(|h| (1..=4096).contains(h)),
            "must have widths 1 to 4096"
        );
        check!(
            "ppo.envs",
            self.envs,
            (1..=1 << 24).contains(&self.envs),
            "must be 1 to 16777216 environments"
        );
        check!("ppo.horizon", self.horizon, (1..=100_000).contains(&self.horizon), "must be 1 to 100000");
        check!("ppo.epochs", self.epochs, (1..=1000).contains(&self.epochs), "must be 1 to 1000");
        check!("ppo.minibatch", self.minibatch, self.minibatch >= 1, "must be at least 1");
        check!(
            "ppo.minibatch",
            self.minibatch,
            (self.envs * self.horizon).is_multiple_of(self.minibatch),
            "must divide ppo.envs * ppo.horizon"
        );
        check!("ppo.gamma", self.gamma, share(self.gamma), "must be 0 to 1");
        check!("ppo.gae_lambda", self.gae_lambda, share(self.gae_lambda), "must be 0 to 1");
        check!("ppo.clip", self.clip, positive(self.clip), "must be positive, and so in single precision");
        check!(
            "ppo.lr_actor",
            self.lr_actor,
            positive(self.lr_actor),
            "must be positive, and so in single precision"
        );
        check!(
            "ppo.lr_critic",
            self.lr_critic,
            positive(self.lr_critic),
            "must be positive, and so in single precision"
        );
        check!("ppo.lr_final_share", self.lr_final_share, share(self.lr_final_share), "must be 0 to 1");
        check!(
            "ppo.adam_beta1",
            self.adam_beta1,
            share(self.adam_beta1) && self.adam_beta1 < 1.0,
            "must be in [0, 1)"
        );
        check!(
            "ppo.adam_beta2",
            self.adam_beta2,
            share(self.adam_beta2) && self.adam_beta2 < 1.0,
            "must be in [0, 1)"
        );
        check!(
            "ppo.adam_eps",
            self.adam_eps,
            positive(self.adam_eps),
            "must be positive, and so in single precision"
        );
        check!(
            "ppo.max_grad_norm",
            self.max_grad_norm,
            not_negative(self.max_grad_norm),
            "must be finite and not negative"
        );
        check!(
            "ppo.vf_coef",
            self.vf_coef,
            positive(self.vf_coef),
            "must be positive, and so in single precision"
        );
        check!(
            "ppo.entropy_coef",
            self.entropy_coef,
            not_negative(self.entropy_coef),
            "must be finite and not negative"
        );
        check!(
            "ppo.reward_scale",
            self.reward_scale,
            positive(self.reward_scale),
            "must be positive, and so in single precision"
        );
        check!(
            "ppo.log_std_init",
            self.log_std_init,
            (-20.0..=5.0).contains(&self.log_std_init),
            "must be -20 to 5"
        );
        check!(
            "ppo.actor_gain",
            self.actor_gain,
            positive(self.actor_gain),
            "must be positive, and so in single precision"
        );
        Ok(())
    }
}

/// Agent `spiking-ac`: PPO as in `[ppo]` with spiking networks, and what differs with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikingConfig {
    /// S, spike steps of one inference.
    pub steps: usize,
    /// λ, share of the current in the new potential.
    pub lambda: f64,
    /// U_th
    pub threshold: f64,
    /// U_r, potential after a spike.
    pub reset: f64,
    /// η, sharpness of the surrogate gradient (39).
    pub eta: f64,
    /// Whether the reset is a constant in the backward pass.
    pub detach_reset: bool,
    /// Gain of the orthogonal initialisation of the hidden layers.
    pub hidden_gain: f64,
    /// In place of the keys of `[ppo]`.
    pub actor_gain: f64,
    pub lr_actor: f64,
    pub lr_critic: f64,
    /// Weight of the mean firing rate of actor and critic in their losses.
    pub rate_penalty: f64,
}

impl SpikingConfig {
    pub fn lif(&self) -> Lif {
        Lif {
            steps: self.steps,
            lambda: self.lambda,
            threshold: self.threshold,
            reset: self.reset,
            eta: self.eta,
            detach_reset: self.detach_reset,
        }
    }

    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        check!("spiking.steps", self.steps, (1..=lif::MAX_STEPS).contains(&self.steps), "must be 1 to 16");
        check!("spiking.lambda", self.lambda, self.lambda > 0.0 && self.lambda <= 1.0, "must be in (0, 1]");
        check!("spiking.threshold", self.threshold, positive(self.threshold), "must be positive");
        check!(
            "spiking.reset",
            self.reset,
            self.reset.is_finite() && self.reset < self.threshold,
            "must be below spiking.threshold"
        );
        check!("spiking.eta", self.eta, positive(self.eta), "must be positive");
        check!("spiking.hidden_gain", self.hidden_gain, positive(self.hidden_gain), "must be positive");
        check!("spiking.actor_gain", self.actor_gain, positive(self.actor_gain), "must be positive");
        check!("spiking.lr_actor", self.lr_actor, positive(self.lr_actor), "must be positive");
        check!("spiking.lr_critic", self.lr_critic, positive(self.lr_critic), "must be positive");
        check!(
            "spiking.rate_penalty",
            self.rate_penalty,
            self.rate_penalty.is_finite() && self.rate_penalty >= 0.0,
            "must not be negative"
        );
        Ok(())
    }
}

/// Agent `ddpg`: deterministic actor, replay, Polyak targets, Gaussian exploration; ReLU networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdpgConfig {
    /// Widths of the hidden layers of actor and critic.
    pub hidden: Vec<usize>,
    /// Environments B per replica.
    pub envs: usize,
    /// Transitions that the replay of a replica holds; a multiple of `envs`.
    pub capacity: usize,
    /// Transitions per gradient step and replica, drawn uniformly with replacement.
    pub minibatch: usize,
    /// Transitions of a replica before its first gradient step.
    pub learning_starts: usize,
    /// Slots between two rounds of gradient steps.
    pub train_every: usize,
    /// Gradient steps of a round.
    pub gradient_steps: usize,
    pub gamma: f64,
    /// Share of the online weights in the targets after every gradient step.
    pub tau: f64,
    pub lr_actor: f64,
    pub lr_critic: f64,
    /// Both learning rates fall linearly to this share of their start over the run.
    pub lr_final_share: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
    /// 0 = no clipping; actor and critic each by their own norm.
    pub max_grad_norm: f64,
    /// Rewards are multiplied by this before they are stored (not in reports).
    pub reward_scale: f64,
    /// Raw actions lie in [−scale, scale].
    pub action_scale: f64,
    /// Standard deviation of the exploration noise in raw units at the start …
    pub noise_start: f64,
    /// … and from `noise_share` of the run on; linear in between.
    pub noise_final: f64,
    pub noise_share: f64,
    /// Gain of the orthogonal initialisation of the actor's last layer.
    pub actor_gain: f64,
}

/// Agent `dqn`: per vehicle one of `beams` beams and one of the power levels, Q summed over vehicles; replay, target network, ε-greedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DqnConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Beams per vehicle on the DFT grid.
    pub beams: usize,
    /// Relative powers to choose from; a vehicle gets its share of their sum over vehicles.
    pub power_levels: Vec<f64>,
    /// Environments B per replica.
    pub envs: usize,
    /// Transitions that the replay of a replica holds; a multiple of `envs`.
    pub capacity: usize,
    /// Transitions per gradient step and replica, drawn uniformly with replacement.
    pub minibatch: usize,
    /// Transitions of a replica before its first gradient step.
    pub learning_starts: usize,
    /// Slots between two rounds of gradient steps.
    pub train_every: usize,
    /// Gradient steps of a round.
    pub gradient_steps: usize,
    pub gamma: f64,
    /// Share of the online weights in the target after every gradient step.
    pub tau: f64,
    pub lr: f64,
    /// The learning rate falls linearly to this share of its start over the run.
    pub lr_final_share: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
    /// 0 = no clipping.
    pub max_grad_norm: f64,
    /// Rewards are multiplied by this before they are stored (not in reports).
    pub reward_scale: f64,
    /// Probability that a vehicle's choice is uniform instead of greedy, at the start …
    pub epsilon_start: f64,
    /// … and from `epsilon_share` of the run on; linear in between.
    pub epsilon_final: f64,
    pub epsilon_share: f64,
    /// Gain of the orthogonal initialisation of the last layer.
    pub output_gain: f64,
}

/// The checks that `[ddpg]` and `[dqn]` share.
macro_rules! check_off_policy {
    ($section:literal, $c:expr) => {{
        // Learning is in single precision: 1e39 would be infinite there and 1e-50 zero.
        let positive = |x: f64| (x as f32).is_normal() && x > 0.0;
        let not_negative = |x: f64| (x as f32).is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let c = $c;
        let rows: [(&'static str, String, bool, &str); 15] = [
            (
                concat!($section, ".hidden"),
                format!("{:?}", c.hidden),
                (1..=8).contains(&c.hidden.len()) && c.hidden.iter().all(|h| (1..=4096).contains(h)),
                "must list 1 to 8 widths of 1 to 4096",
            ),
            (
                concat!($section, ".envs"),
                c.envs.to_string(),
                (1..=1 << 20).contains(&c.envs),
                "must be 1 to 1048576",
            ),
            (
                concat!($section, ".capacity"),
                c.capacity.to_string(),
                (1..=1 << 28).contains(&c.capacity) && c.capacity.is_multiple_of(c.envs.max(1)),
                concat!("must be a positive multiple of ", $section, ".envs, at most 268435456"),
            ),
            (
                concat!($section, ".minibatch"),
                c.minibatch.to_string(),
                (1..=1 << 20).contains(&c.minibatch),
                "must be 1 to 1048576",
            ),
            (
                concat!($section, ".learning_starts"),
                c.learning_starts.to_string(),
                c.learning_starts <= c.capacity,
                concat!("must be at most ", $section, ".capacity"),
            ),
            (
                concat!($section, ".train_every"),
                c.train_every.to_string(),
                (1..=100_000).contains(&c.train_every),
                "must be 1 to 100000",
            ),
            (
                concat!($section, ".gradient_steps"),
                c.gradient_steps.to_string(),
                (1..=1000).contains(&c.gradient_steps),
                "must be 1 to 1000",
            ),
            (concat!($section, ".gamma"), c.gamma.to_string(), share(c.gamma), "must be 0 to 1"),
            (
                concat!($section, ".tau"),
                c.tau.to_string(),
                share(c.tau) && positive(c.tau),
                "must be in (0, 1]",
            ),
            (
                concat!($section, ".lr_final_share"),
                c.lr_final_share.to_string(),
                share(c.lr_final_share),
                "must be 0 to 1",
            ),
            (
                concat!($section, ".adam_beta1"),
                c.adam_beta1.to_string(),
                share(c.adam_beta1) && c.adam_beta1 < 1.0,
                "must be in [0, 1)",
            ),
            (
                concat!($section, ".adam_beta2"),
                c.adam_beta2.to_string(),
                share(c.adam_beta2) && c.adam_beta2 < 1.0,
                "must be in [0, 1)",
            ),
            (
                concat!($section, ".adam_eps"),
                c.adam_eps.to_string(),
                positive(c.adam_eps),
                "must be positive, and so in single precision",
            ),
            (
                concat!($section, ".max_grad_norm"),
                c.max_grad_norm.to_string(),
                not_negative(c.max_grad_norm),
                "must be finite and not negative",
            ),
            (
                concat!($section, ".reward_scale"),
                c.reward_scale.to_string(),
                positive(c.reward_scale),
                "must be positive, and so in single precision",
            ),
        ];
        for (key, value, ok, want) in rows {
            if !ok {
                return Err(ConfigError::Value { key, what: format!("{value} {want}") });
            }
        }
    }};
}

impl DdpgConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_off_policy!("ddpg", self);
        let positive = |x: f64| (x as f32).is_normal() && x > 0.0;
        let not_negative = |x: f64| (x as f32).is_finite() && x >= 0.0;
        check!(
            "ddpg.lr_actor",
            self.lr_actor,
            positive(self.lr_actor),
            "must be positive, and so in single precision"
        );
        check!(
            "ddpg.lr_critic",
            self.lr_critic,
            positive(self.lr_critic),
            "must be positive, and so in single precision"
        );
        check!(
            "ddpg.actor_gain",
            self.actor_gain,
            positive(self.actor_gain),
            "must be positive, and so in single precision"
        );
        check!(
            "ddpg.action_scale",
            self.action_scale,
            positive(self.action_scale) && self.action_scale <= 80.0,
            "must be positive, at most 80"
        );
        check!(
            "ddpg.noise_start",
            self.noise_start,
            not_negative(self.noise_start),
            "must be finite and not negative"
        );
        check!(
            "ddpg.noise_final",
            self.noise_final,
            not_negative(self.noise_final),
            "must be finite and not negative"
        );
        check!(
            "ddpg.noise_share",
            self.noise_share,
            (0.0..=1.0).contains(&self.noise_share),
            "must be 0 to 1"
        );
        Ok(())
    }
}

impl DqnConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_off_policy!("dqn", self);
        let positive = |x: f64| (x as f32).is_normal() && x > 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        check!("dqn.beams", self.beams, (1..=256).contains(&self.beams), "must be 1 to 256");
        check!(
            "dqn.power_levels",
            self.power_levels,
            (1..=16).contains(&self.power_levels.len())
                && self.power_levels.iter().all(|w| (1e-6..=1e6).contains(w)),
            "must list 1 to 16 weights of 1e-6 to 1e6"
        );
        check!("dqn.lr", self.lr, positive(self.lr), "must be positive, and so in single precision");
        check!(
            "dqn.output_gain",
            self.output_gain,
            positive(self.output_gain),
            "must be positive, and so in single precision"
        );
        check!("dqn.epsilon_start", self.epsilon_start, share(self.epsilon_start), "must be 0 to 1");
        check!("dqn.epsilon_final", self.epsilon_final, share(self.epsilon_final), "must be 0 to 1");
        check!("dqn.epsilon_share", self.epsilon_share, share(self.epsilon_share), "must be 0 to 1");
        Ok(())
    }
}

/// How the phases Φ of an action become beams (10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Φ as it is.
    Direct,
    /// Φ on top of −π·m·cos θ̂, the phases of a beam steered at the estimate.
    Residual,
}

/// How the scheduling expert learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyGradient {
    /// Advantage actor-critic: one step of the policy gradient (12) per trajectory batch (Algorithm 1).
    A2c,
    /// Clipped surrogate, several epochs over minibatches of whole environments.
    Ppo,
}

/// The scheduling expert, its critic, and the trunks of the agents that share one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalConfig {
    pub algorithm: PolicyGradient,
    /// H, units of the LSTM.
    pub hidden: usize,
    /// Widths of the shared trunk of `ppo-mono` and of each expert of `homogeneous-moe`.
    pub trunk: Vec<usize>,
    /// Widths of the critic's hidden layers.
    pub critic: Vec<usize>,
    /// Environments B per replica; an update collects one episode in each.
    pub envs: usize,
    /// Passes over the rollout of an update; `a2c` makes one step over all of it.
    pub epochs: usize,
    /// Environments of a minibatch; must divide `envs`.
    pub minibatch_envs: usize,
    pub gamma: f64,
    pub gae_lambda: f64,
    /// Clip range of `ppo`.
    pub clip: f64,
    pub lr_policy: f64,
    pub lr_critic: f64,
    /// All learning rates fall linearly to this share of their start over the run.
    pub lr_final_share: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
    /// Of policy and critic each; 0 = no clipping.
    pub max_grad_norm: f64,
    pub entropy_coef: f64,
    pub normalise_advantages: bool,
    /// Rewards are multiplied by this before learning (not in reports).
    pub reward_scale: f64,
    /// Gain of the orthogonal initialisation of the scheduling head.
    pub head_gain: f64,
}

/// The phase expert and its loss (13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialConfig {
    /// What the outputs of the phase network mean: the phases, as printed, or a correction to those that steer at the estimated angle.
    pub phase: Phase,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// λ of L_spat.
    pub loss_weight: f64,
    pub lr: f64,
    /// 0 = no clipping.
    pub max_grad_norm: f64,
    /// Every n-th slot of the rollout enters the loss; 1 = all, as printed.
    pub stride: usize,
    /// Gain of the orthogonal initialisation of the last layer.
    pub output_gain: f64,
}

impl TemporalConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check!("temporal.hidden", self.hidden, (1..=1024).contains(&self.hidden), "must be 1 to 1024");
        check!("temporal.trunk", self.trunk, widths(&self.trunk), "must list 1 to 8 widths of 1 to 4096");
        check!("temporal.critic", self.critic, widths(&self.critic), "must list 1 to 8 widths of 1 to 4096");
        check!("temporal.envs", self.envs, (1..=1 << 20).contains(&self.envs), "must be 1 to 1048576");
        check!("temporal.epochs", self.epochs, (1..=1000).contains(&self.epochs), "must be 1 to 1000");
        check!(
            "temporal.minibatch_envs",
            self.minibatch_envs,
            self.minibatch_envs >= 1 && self.envs.is_multiple_of(self.minibatch_envs.max(1)),
            "must divide temporal.envs"
        );
        check!("temporal.gamma", self.gamma, share(self.gamma), "must be 0 to 1");
        check!("temporal.gae_lambda", self.gae_lambda, share(self.gae_lambda), "must be 0 to 1");
        check!("temporal.clip", self.clip, positive(self.clip), "must be positive");
        check!("temporal.lr_policy", self.lr_policy, positive(self.lr_policy), "must be positive");
        check!("temporal.lr_critic", self.lr_critic, positive(self.lr_critic), "must be positive");
        check!("temporal.lr_final_share", self.lr_final_share, share(self.lr_final_share), "must be 0 to 1");
        check!(
            "temporal.adam_beta1",
            self.adam_beta1,
            share(self.adam_beta1) && self.adam_beta1 < 1.0,
            "must be in [0, 1)"
        );
        check!(
            "temporal.adam_beta2",
            self.adam_beta2,
            share(self.adam_beta2) && self.adam_beta2 < 1.0,
            "must be in [0, 1)"
        );
        check!("temporal.adam_eps", self.adam_eps, positive(self.adam_eps), "must be positive");
        check!(
            "temporal.max_grad_norm",
            self.max_grad_norm,
            not_negative(self.max_grad_norm),
            "must not be negative"
        );
        check!(
            "temporal.entropy_coef",
            self.entropy_coef,
            not_negative(self.entropy_coef),
            "must not be negative"
        );
        check!("temporal.reward_scale", self.reward_scale, positive(self.reward_scale), "must be positive");
        check!("temporal.head_gain", self.head_gain, positive(self.head_gain), "must be positive");
        Ok(())
    }
}

impl SpatialConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check!("spatial.hidden", self.hidden, widths(&self.hidden), "must list 1 to 8 widths of 1 to 4096");
        check!("spatial.loss_weight", self.loss_weight, positive(self.loss_weight), "must be positive");
        check!("spatial.lr", self.lr, positive(self.lr), "must be positive");
        check!(
            "spatial.max_grad_norm",
            self.max_grad_norm,
            not_negative(self.max_grad_norm),
            "must not be negative"
        );
        check!("spatial.stride", self.stride, (1..=100_000).contains(&self.stride), "must be 1 to 100000");
        check!("spatial.output_gain", self.output_gain, positive(self.output_gain), "must be positive");
        Ok(())
    }
}
