//! `[apg]`: the gradient of the rewards themselves.

use super::whole_rollouts;
use crate::config::{ADAM_EPS, ConfigError, FACTOR, RATE, Rule};
use crate::env::Objective;
use crate::kernels::adam;
use serde::{Deserialize, Serialize};

/// What agents `apg` and `spiking-apg` climb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Climb {
    /// What the reward is made of, without its conditions: the slot's rate times its fairness.
    Rate,
    /// The reward with smooth conditions.
    RewardSmooth,
}

/// Agents `apg` and `spiking-apg`: a deterministic actor that climbs the exact gradient of its slot; networks as those
/// of `[ppo]` and `[spiking]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApgConfig {
    pub objective: Climb,
    /// Width of the smooth conditions, nepers of what they limit.
    pub indicator_width: f64,
    /// Environments B per replica.
    pub envs: usize,
    /// Slots collected per update.
    pub horizon: usize,
    /// Passes over the update's slots, each under noise of its own.
    pub epochs: usize,
    /// Samples per Adam step and replica; envs·horizon must be a multiple.
    pub minibatch: usize,
    pub lr: f64,
    /// Of spiking networks.
    pub lr_spiking: f64,
    /// The learning rate falls linearly to this share of its start over the run.
    pub lr_final_share: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
    /// 0 = no clipping.
    pub max_grad_norm: f64,
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

impl ApgConfig {
    /// What Adam steps with at this rate.
    pub fn adam(&self, lr: f64) -> adam::Hyper {
        let &ApgConfig { adam_beta1: beta1, adam_beta2: beta2, adam_eps: eps, .. } = self;
        adam::Hyper { lr: [lr; 2], max_norm: self.max_grad_norm, beta1, beta2, eps }
    }

    /// The objective as environments know it.
    pub fn of(&self) -> Objective {
        match self.objective {
            Climb::Rate => Objective::Rate,
            Climb::RewardSmooth => Objective::RewardSmooth { width: self.indicator_width as f32 },
        }
    }

    /// What replicas must have in common to learn side by side: this with 0 for the numbers that a learner keeps for
    /// each replica.
    pub fn structure(&self) -> ApgConfig {
        ApgConfig {
            lr: 0.0,
            lr_spiking: 0.0,
            lr_final_share: 0.0,
            max_grad_norm: 0.0,
            noise_start: 0.0,
            noise_final: 0.0,
            noise_share: 0.0,
            actor_gain: 0.0,
            ..self.clone()
        }
    }

    pub const RULES: &'static [Rule] = &[
        Rule::decimal("indicator_width", 1e-3, 1e3),
        Rule::whole("envs", 1.0, 16_777_216.0),
        Rule::whole("horizon", 1.0, 100_000.0),
        Rule::whole("epochs", 1.0, 1000.0),
        Rule::whole("minibatch", 1.0, 1e12),
        Rule::decimal("lr", RATE[0], RATE[1]),
        Rule::decimal("lr_spiking", RATE[0], RATE[1]),
        Rule::share("lr_final_share"),
        Rule::share("adam_beta1").below(),
        Rule::share("adam_beta2").below(),
        Rule::decimal("adam_eps", ADAM_EPS[0], ADAM_EPS[1]),
        Rule::decimal("max_grad_norm", 0.0, FACTOR[1]),
        Rule::decimal("action_scale", FACTOR[0], FACTOR[1]),
        Rule::decimal("noise_start", 0.0, FACTOR[1]),
        Rule::decimal("noise_final", 0.0, FACTOR[1]),
        Rule::share("noise_share"),
        Rule::decimal("actor_gain", FACTOR[0], FACTOR[1]),
    ];

    /// What its agents need beside ranges, with episodes of `slots` slots.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self, slots: usize) -> Result<(), ConfigError> {
        whole_rollouts("apg", self.envs, self.horizon, self.minibatch, slots)
    }
}
