//! `[ddpg]` and `[dqn]`: what learns from a replay buffer.

use crate::config::{ADAM_EPS, ConfigError, FACTOR, RATE, Rule, widths};
use serde::{Deserialize, Serialize};

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

/// What the outputs of agent `dqn` are, of each vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DqnHead {
    /// A value of every pair of beam and power level.
    Branches,
    /// A value of every beam and one of every power level, whose sum a pair is worth.
    Additive,
}

/// Agent `dqn`: per vehicle one of `beams` beams and one of the power levels, Q summed over vehicles; replay, target
/// network, ε-greedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DqnConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Beams per vehicle on the DFT grid.
    pub beams: usize,
    /// Relative powers to choose from; a vehicle gets its share of their sum over vehicles.
    pub power_levels: Vec<f64>,
    pub head: DqnHead,
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

/// The ranges that `[ddpg]` and `[dqn]` share, and what each has besides.
macro_rules! off_policy_rules {
    ($($own:expr),* $(,)?) => {
        &[
            widths("hidden"),
            Rule::whole("envs", 1.0, 1_048_576.0),
            Rule::whole("capacity", 1.0, 268_435_456.0),
            Rule::whole("minibatch", 1.0, 1_048_576.0),
            Rule::whole("learning_starts", 0.0, 268_435_456.0),
            Rule::whole("train_every", 1.0, 100_000.0),
            Rule::whole("gradient_steps", 1.0, 1000.0),
            Rule::share("gamma"),
            Rule::decimal("tau", FACTOR[0], 1.0),
            Rule::share("lr_final_share"),
            Rule::share("adam_beta1").below(),
            Rule::share("adam_beta2").below(),
            Rule::decimal("adam_eps", ADAM_EPS[0], ADAM_EPS[1]),
            Rule::decimal("max_grad_norm", 0.0, FACTOR[1]),
            Rule::decimal("reward_scale", FACTOR[0], FACTOR[1]),
            $($own),*
        ]
    };
}

/// What a replay needs beside ranges.
fn replay_relations(
    section: &str,
    envs: usize,
    capacity: usize,
    learning_starts: usize,
) -> Result<(), ConfigError> {
    if !capacity.is_multiple_of(envs) {
        let what = format!("{capacity} must be a multiple of {section}.envs = {envs}");
        return Err(ConfigError::value(&format!("{section}.capacity"), what));
    }
    if learning_starts > capacity {
        let what = format!("{learning_starts} must be at most {section}.capacity = {capacity}");
        return Err(ConfigError::value(&format!("{section}.learning_starts"), what));
    }
    Ok(())
}

impl DdpgConfig {
    pub const RULES: &'static [Rule] = off_policy_rules![
        Rule::decimal("lr_actor", RATE[0], RATE[1]),
        Rule::decimal("lr_critic", RATE[0], RATE[1]),
        Rule::decimal("actor_gain", FACTOR[0], FACTOR[1]),
        Rule::decimal("action_scale", 1e-6, 80.0),
        Rule::decimal("noise_start", 0.0, 1e6),
        Rule::decimal("noise_final", 0.0, 1e6),
        Rule::share("noise_share"),
    ];

    /// What its agent needs beside ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self) -> Result<(), ConfigError> {
        replay_relations("ddpg", self.envs, self.capacity, self.learning_starts)
    }
}

impl DqnConfig {
    pub const RULES: &'static [Rule] = off_policy_rules![
        Rule::whole("beams", 1.0, 256.0),
        Rule::decimal("power_levels", 1e-6, 1e6).list(1, 16),
        Rule::decimal("lr", RATE[0], RATE[1]),
        Rule::decimal("output_gain", FACTOR[0], FACTOR[1]),
        Rule::share("epsilon_start"),
        Rule::share("epsilon_final"),
        Rule::share("epsilon_share"),
    ];

    /// What its agent needs beside ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self) -> Result<(), ConfigError> {
        replay_relations("dqn", self.envs, self.capacity, self.learning_starts)
    }
}
