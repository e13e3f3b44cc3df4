//! Configuration of what learns by itself from an [`Env`](crate::env::Env): `[ppo]`, `[spiking]`, `[ddpg]`, `[dqn]`,
//! `[apg]`.

use super::{ADAM_EPS, ConfigError, FACTOR, RATE, Rule, TARGET_KL, widths};
use crate::env::Objective;
use crate::kernels::kl_control::Limits;
use crate::kernels::{adam, ppo_policy_loss, ppo_value_loss};
use crate::nets::experts::Phase;
use crate::nets::{Hidden, Lif, Membrane, Population, Readout, lif};
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

/// What kernels take of a section that learns by the policy gradient.
macro_rules! policy_gradient {
    ($($section:ty),*) => {$(
        impl $section {
            /// What Adam steps with at these rates of policy and critic.
            pub fn adam(&self, lr: [f64; 2]) -> adam::Hyper {
                let (beta1, beta2, eps) = (self.adam_beta1, self.adam_beta2, self.adam_eps);
                adam::Hyper { lr, max_norm: self.max_grad_norm, beta1, beta2, eps }
            }

            /// What `gae` takes: γ, λ and the factor of the rewards.
            pub fn gae(&self) -> [f32; 4] {
                [self.gamma as f32, self.gae_lambda as f32, self.reward_scale as f32, 0.0]
            }

            /// What weighs the terms of the policy's loss.
            pub fn surrogate(&self) -> ppo_policy_loss::Hyper {
                ppo_policy_loss::Hyper { clip_eps: self.clip, ent_coef: self.entropy_coef }
            }
        }
    )*};
}
policy_gradient!(PpoConfig, TemporalConfig);

/// What a trust region allows; [`Limits::NONE`] where there is none.
fn limits(on: bool, target_kl: f64, kl_skip_ratio: f64) -> Limits {
    if on { Limits { target: target_kl, limit: target_kl * kl_skip_ratio } } else { Limits::NONE }
}

/// That rollouts are whole minibatches and end with an episode.
fn whole_rollouts(
    section: &str,
    envs: usize,
    horizon: usize,
    minibatch: usize,
    slots: usize,
) -> Result<(), ConfigError> {
    let samples = envs * horizon;
    if !samples.is_multiple_of(minibatch) {
        let what = format!("{minibatch} must divide {section}.envs * {section}.horizon = {samples}");
        return Err(ConfigError::value(&format!("{section}.minibatch"), what));
    }
    if !horizon.is_multiple_of(slots) {
        let what = format!("{horizon} must be a multiple of task.slots = {slots}");
        return Err(ConfigError::value(&format!("{section}.horizon"), what));
    }
    Ok(())
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

/// Agent `spiking-ac`: PPO as in `[ppo]` with spiking networks, and what differs with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikingConfig {
    /// Widths of the hidden layers of actor and critic; none: those of `[ppo]`.
    pub hidden: Vec<usize>,
    /// P, neurons that encode each observation, in front of the hidden layers ([`Population`]); 0: the first of these
    /// sees the numbers themselves.
    pub population: usize,
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
    /// What the output layer reads: the potential after the last step, or the mean of the steps' currents.
    pub readout: Readout,
    /// Whether every hidden layer learns a λ of its own, from `lambda` on.
    pub learn_leak: bool,
    /// Where the potentials of an inference start: at 0, or where that of the slot before left them.
    pub membrane: Membrane,
    /// Gain of the orthogonal initialisation of the hidden layers.
    pub hidden_gain: f64,
    /// In place of the keys of `[ppo]`.
    pub actor_gain: f64,
    pub lr_actor: f64,
    pub lr_critic: f64,
    pub target_kl: f64,
    /// Weight of the mean firing rate of actor and critic in their losses.
    pub rate_penalty: f64,
}

impl SpikingConfig {
    /// As [`PpoConfig::structure`]: without what takes the place of its keys.
    pub fn structure(&self) -> SpikingConfig {
        SpikingConfig { actor_gain: 0.0, lr_actor: 0.0, lr_critic: 0.0, target_kl: 0.0, ..self.clone() }
    }

    pub fn lif(&self) -> Lif {
        Lif {
            steps: self.steps,
            lambda: self.lambda,
            threshold: self.threshold,
            reset: self.reset,
            eta: self.eta,
            detach_reset: self.detach_reset,
            readout: self.readout,
            learn_leak: self.learn_leak,
            membrane: self.membrane,
        }
    }

    /// What the networks are made of.
    pub fn neurons(&self) -> Hidden {
        let lif = self.lif();
        if self.population == 0 {
            lif.into()
        } else {
            Hidden::Encoded(lif, Population::new(self.population, &lif))
        }
    }

    pub const RULES: &'static [Rule] = &[
        Rule::whole("hidden", 1.0, 4096.0).list(0, 8),
        Rule::whole("population", 0.0, 64.0),
        Rule::whole("steps", 1.0, lif::MAX_STEPS as f64),
        Rule::decimal("lambda", 1e-6, 1.0),
        Rule::decimal("threshold", 1e-6, 1e6),
        Rule::decimal("reset", -1e6, 1e6),
        Rule::decimal("eta", 1e-6, 1e6),
        Rule::decimal("hidden_gain", FACTOR[0], FACTOR[1]),
        Rule::decimal("actor_gain", FACTOR[0], FACTOR[1]),
        Rule::decimal("lr_actor", RATE[0], RATE[1]),
        Rule::decimal("lr_critic", RATE[0], RATE[1]),
        Rule::decimal("target_kl", TARGET_KL[0], TARGET_KL[1]),
        Rule::decimal("rate_penalty", 0.0, FACTOR[1]),
    ];

    /// What its agent needs beside ranges.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn relations(&self) -> Result<(), ConfigError> {
        if self.reset as f32 >= self.threshold as f32 {
            let what = format!("{:?} must be below spiking.threshold = {:?}", self.reset, self.threshold);
            return Err(ConfigError::value("spiking.reset", what));
        }
        // sigmoid(w) is 1 nowhere.
        if self.learn_leak && self.lambda as f32 >= 1.0 {
            let what = format!("{:?} must be below 1 with spiking.learn_leak", self.lambda);
            return Err(ConfigError::value("spiking.lambda", what));
        }
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
