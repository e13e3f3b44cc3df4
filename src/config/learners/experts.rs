//! `[temporal]` and `[spatial]`: experts for a schedule and for phases.

use super::limits;
use crate::config::{ADAM_EPS, ConfigError, FACTOR, RATE, Rule, TARGET_KL, widths};
use crate::kernels::kl_control::Limits;
use crate::nets::experts::Phase;
use serde::{Deserialize, Serialize};

/// How the scheduling expert learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyGradient {
    /// Advantage actor-critic: one step of the policy gradient (12) per trajectory batch (Algorithm 1).
    A2c,
    /// Clipped surrogate, several epochs over minibatches of whole environments.
    Ppo,
}

/// What the phases of `ppo-mono` are learned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonoPhases {
    /// L_spat (13), through the trunk that the schedule comes from too.
    LSpat,
    /// The policy gradient alone: phases are drawn from a Gaussian, and their density and the probability of the
    /// cameras make one ratio, with the advantage of (11).
    Gaussian,
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
    /// Whether the policy's rate follows the KL divergence of its minibatches, as in `[ppo]`; never with `a2c`, which
    /// makes one step.
    pub trust_region: bool,
    pub target_kl: f64,
    pub kl_skip_ratio: f64,
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
    /// T_seq: slots after which gradients through the LSTM are cut, while its state goes on; 0 = the whole episode.
    pub t_seq: usize,
    pub mono_phases: MonoPhases,
    /// Initial ln of the standard deviation of a drawn phase, rad.
    pub log_std_init: f64,
}

/// The phase expert and its loss (13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialConfig {
    /// What the outputs of the phase network mean: the phases, as printed, or a correction to those that steer at the
    /// estimated angle.
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
    pub const RULES: &'static [Rule] = &[
        Rule::whole("hidden", 1.0, 1024.0),
        widths("trunk"),
        widths("critic"),
        Rule::whole("envs", 1.0, 1_048_576.0),
        Rule::whole("epochs", 1.0, 1000.0),
        Rule::whole("minibatch_envs", 1.0, 1_048_576.0),
        Rule::share("gamma"),
        Rule::share("gae_lambda"),
        Rule::decimal("clip", FACTOR[0], FACTOR[1]),
        Rule::decimal("lr_policy", RATE[0], RATE[1]),
        Rule::decimal("lr_critic", RATE[0], RATE[1]),
        Rule::share("lr_final_share"),
        Rule::share("adam_beta1").below(),
        Rule::share("adam_beta2").below(),
        Rule::decimal("adam_eps", ADAM_EPS[0], ADAM_EPS[1]),
        Rule::decimal("max_grad_norm", 0.0, FACTOR[1]),
        Rule::decimal("entropy_coef", 0.0, FACTOR[1]),
        Rule::decimal("reward_scale", FACTOR[0], FACTOR[1]),
        Rule::decimal("head_gain", FACTOR[0], FACTOR[1]),
        Rule::decimal("target_kl", TARGET_KL[0], TARGET_KL[1]),
        Rule::decimal("kl_skip_ratio", 1.0, 1e6),
        Rule::whole("t_seq", 0.0, 100_000.0),
        Rule::decimal("log_std_init", -20.0, 5.0),
    ];

    /// What replicas must have in common to learn side by side: this with 0 for the numbers that a learner keeps for
    /// each replica.
    pub fn structure(&self) -> TemporalConfig {
        TemporalConfig {
            gamma: 0.0,
            gae_lambda: 0.0,
            lr_policy: 0.0,
            lr_critic: 0.0,
            lr_final_share: 0.0,
            max_grad_norm: 0.0,
            reward_scale: 0.0,
            head_gain: 0.0,
            trust_region: false,
            target_kl: 0.0,
            kl_skip_ratio: 0.0,
            clip: 0.0,
            entropy_coef: 0.0,
            log_std_init: 0.0,
            ..self.clone()
        }
    }

    /// What the trust region allows.
    pub fn limits(&self) -> Limits {
        limits(self.trust_region && self.algorithm == PolicyGradient::Ppo, self.target_kl, self.kl_skip_ratio)
    }

    /// What its agents need beside ranges, with episodes of `slots` slots.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self, slots: usize) -> Result<(), ConfigError> {
        if !self.envs.is_multiple_of(self.minibatch_envs) {
            let what = format!("{} must divide temporal.envs = {}", self.minibatch_envs, self.envs);
            return Err(ConfigError::value("temporal.minibatch_envs", what));
        }
        // One advantage minus its own mean is 0: nothing would be learned.
        let (key, envs) = match self.algorithm {
            PolicyGradient::A2c => ("temporal.envs", self.envs),
            PolicyGradient::Ppo => ("temporal.minibatch_envs", self.minibatch_envs),
        };
        if self.normalise_advantages && envs * slots == 1 {
            let what = "1 must be at least 2 with task.slots = 1 and temporal.normalise_advantages, which leaves nothing of a single advantage";
            return Err(ConfigError::value(key, what));
        }
        Ok(())
    }
}

impl SpatialConfig {
    /// As [`TemporalConfig::structure`].
    pub fn structure(&self) -> SpatialConfig {
        SpatialConfig { lr: 0.0, output_gain: 0.0, ..self.clone() }
    }

    pub const RULES: &'static [Rule] = &[
        widths("hidden"),
        Rule::decimal("loss_weight", FACTOR[0], FACTOR[1]),
        Rule::decimal("lr", RATE[0], RATE[1]),
        Rule::decimal("max_grad_norm", 0.0, FACTOR[1]),
        Rule::whole("stride", 1.0, 100_000.0),
        Rule::decimal("output_gain", FACTOR[0], FACTOR[1]),
    ];
}
