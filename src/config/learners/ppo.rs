//! `[ppo]`: proximal policy optimisation of one network with a critic beside it.

use super::{limits, whole_rollouts};
use crate::config::{ADAM_EPS, ConfigError, FACTOR, RATE, Rule, TARGET_KL, widths};
use crate::kernels::kl_control::Limits;
use crate::kernels::ppo_value_loss;
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
    /// Where the logarithm of a standard deviation stays, behind every step.
    pub log_std_min: f64,
    pub log_std_max: f64,
    /// Gain of the orthogonal initialisation of the actor's last layer.
    pub actor_gain: f64,
    /// Whether the actor's rate follows the KL divergence of its minibatches from the policy of the rollout:
    /// [`kl_control`](crate::kernels::kl_control).
    pub trust_region: bool,
    /// The divergence that the rate is steered to, nats.
    pub target_kl: f64,
    /// A step whose minibatch is further away than this many times `target_kl` is left out.
    pub kl_skip_ratio: f64,
}

impl PpoConfig {
    /// What weighs the value loss.
    pub fn squares(&self) -> ppo_value_loss::Hyper {
        ppo_value_loss::Hyper { vf_coef: self.vf_coef, clip_eps: self.clip }
    }

    /// What replicas must have in common to learn side by side: this with 0 for the numbers that a learner keeps for
    /// each replica.
    pub fn structure(&self) -> PpoConfig {
        PpoConfig {
            gamma: 0.0,
            gae_lambda: 0.0,
            lr_actor: 0.0,
            lr_critic: 0.0,
            lr_final_share: 0.0,
            max_grad_norm: 0.0,
            reward_scale: 0.0,
            log_std_init: 0.0,
            actor_gain: 0.0,
            target_kl: 0.0,
            kl_skip_ratio: 0.0,
            trust_region: false,
            clip: 0.0,
            vf_coef: 0.0,
            entropy_coef: 0.0,
            ..self.clone()
        }
    }

    /// What the trust region allows.
    pub fn limits(&self) -> Limits {
        limits(self.trust_region, self.target_kl, self.kl_skip_ratio)
    }

    pub const RULES: &'static [Rule] = &[
        widths("hidden"),
        Rule::whole("envs", 1.0, 16_777_216.0),
        Rule::whole("horizon", 1.0, 100_000.0),
        Rule::whole("epochs", 1.0, 1000.0),
        Rule::whole("minibatch", 1.0, 1e12),
        Rule::share("gamma"),
        Rule::share("gae_lambda"),
        Rule::decimal("clip", FACTOR[0], FACTOR[1]),
        Rule::decimal("lr_actor", RATE[0], RATE[1]),
        Rule::decimal("lr_critic", RATE[0], RATE[1]),
        Rule::share("lr_final_share"),
        Rule::share("adam_beta1").below(),
        Rule::share("adam_beta2").below(),
        Rule::decimal("adam_eps", ADAM_EPS[0], ADAM_EPS[1]),
        Rule::decimal("max_grad_norm", 0.0, FACTOR[1]),
        Rule::decimal("vf_coef", FACTOR[0], FACTOR[1]),
        Rule::decimal("entropy_coef", 0.0, FACTOR[1]),
        // Returns beyond single precision are told in training, as whatever leaves no finite gradient.
        Rule::decimal("reward_scale", FACTOR[0], 1e38),
        Rule::decimal("log_std_init", -20.0, 5.0),
        Rule::decimal("log_std_min", -20.0, 5.0),
        Rule::decimal("log_std_max", -20.0, 5.0),
        Rule::decimal("actor_gain", FACTOR[0], FACTOR[1]),
        Rule::decimal("target_kl", TARGET_KL[0], TARGET_KL[1]),
        Rule::decimal("kl_skip_ratio", 1.0, 1e6),
    ];

    /// What its agents need beside ranges, with episodes of `slots` slots.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self, slots: usize) -> Result<(), ConfigError> {
        whole_rollouts("ppo", self.envs, self.horizon, self.minibatch, slots)?;
        if !(self.log_std_min..=self.log_std_max).contains(&self.log_std_init) {
            let (low, high) = (self.log_std_min, self.log_std_max);
            let what = format!(
                "{:?} must be ppo.log_std_min = {low:?} to ppo.log_std_max = {high:?}",
                self.log_std_init
            );
            return Err(ConfigError::value("ppo.log_std_init", what));
        }
        // One advantage minus its own mean is 0: nothing would be learned.
        if self.normalise_advantages && self.minibatch == 1 {
            let what = "1 must be at least 2 with ppo.normalise_advantages, which leaves nothing of a single advantage";
            return Err(ConfigError::value("ppo.minibatch", what));
        }
        Ok(())
    }
}
