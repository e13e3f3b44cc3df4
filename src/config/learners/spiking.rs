//! `[spiking]`: neurons that spike, in place of a perceptron.

use crate::config::{ConfigError, FACTOR, RATE, Rule, TARGET_KL};
use crate::nets::{Hidden, Lif, Membrane, Population, Readout, lif};
use serde::{Deserialize, Serialize};

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
    /// As [`PpoConfig::structure`](super::PpoConfig::structure): without what takes the place of its keys.
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
