//! The typed configuration: TOML files, one per task and preset, with any key overridable from the command line.
//!
//! Units stand in the names; dB and dBm exist only here and in reports. Unknown keys are errors, every number has its
//! range in a table ([`ranges`]), and [`Layered::validate`] names the key that is out of it.

use serde::{Deserialize, Serialize};

mod layers;
mod learners;
pub mod ranges;
mod readings;

pub(crate) use layers::first_difference;
#[cfg(feature = "report")]
pub(crate) use layers::one_line;
pub use layers::{LEARNERS, Layered, user_sets};
pub use learners::*;
pub use ranges::Rule;
pub use readings::{AS_CONFIGURED, Reading, ReadingsConfig, Setting};
/// For [`through_serde!`](crate::through_serde).
#[doc(hidden)]
pub use toml;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read config file '{0}': {1}")]
    Read(String, std::io::Error),
    #[error("{0}: {1}")]
    Parse(String, String),
    #[error("config key '{key}': {what}")]
    Value { key: String, what: String },
    #[error("--set {0}: expected key=value, for example --set task.p_max_dbm=30")]
    Set(String),
    /// `what` is a preset, scale or experiment; `known` are those that the task has.
    #[error("no {what} '{name}' (there are: {known})")]
    NoSuch { what: &'static str, name: String, known: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// One replica is trained per seed, all at once.
    pub seeds: Vec<u32>,
    pub updates: u32,
    /// Updates between two reads of the metrics.
    pub log_every: u32,
}

/// How many episodes are run of each replica, under which seed where an agent brings none, and how a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    pub episodes: u64,
    pub seed: u32,
    /// Take the mode of the policy instead of a sample.
    pub greedy: bool,
}

impl TrainConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::whole("seeds", 0.0, U32_MAX).list(1, 65_536).distinct(),
        Rule::whole("updates", 1.0, U32_MAX),
        Rule::whole("log_every", 1.0, U32_MAX),
    ];
}

impl EvaluateConfig {
    pub const RULES: &'static [Rule] =
        &[Rule::whole("episodes", 1.0, MOST_EPISODES), Rule::whole("seed", 0.0, U32_MAX)];
}

impl TrainConfig {
    /// Whether the metrics of this update, from 0, are read.
    pub fn reads(&self, update: u32) -> bool {
        (update + 1).is_multiple_of(self.log_every) || update + 1 == self.updates
    }

    /// Whether they are read only because the run ends with it.
    pub fn reads_last(&self, update: u32) -> bool {
        update + 1 == self.updates && !(update + 1).is_multiple_of(self.log_every)
    }

    /// That the slots of a training, `slots` an update, can be counted: draws depend on a clock of 32 bits, and would
    /// repeat.
    ///
    /// # Errors
    /// [`ConfigError::Value`]
    pub fn clock(&self, key: &str, slots: usize) -> Result<(), ConfigError> {
        if u64::from(self.updates) * slots as u64 > u64::from(u32::MAX) {
            let what =
                format!("{} updates of {key} = {slots} slots are more than 4294967295 slots", self.updates);
            return Err(ConfigError::value("train.updates", what));
        }
        Ok(())
    }
}

/// Seeds and counts of updates are numbers of 32 bits.
pub const U32_MAX: f64 = u32::MAX as f64;
/// Episodes have 32 bits of keys for 4096 each (see [`crate::run::evaluate`]); these are well below.
pub const MOST_EPISODES: f64 = 1e12;
/// Of a learning rate: below, single precision moves nothing; above, one step is beyond any network.
pub(crate) const RATE: [f64; 2] = [1e-30, 10.0];
/// Of a factor, weight or gain.
pub(crate) const FACTOR: [f64; 2] = [1e-9, 1e6];
/// Of the ε in Adam's quotient.
pub(crate) const ADAM_EPS: [f64; 2] = [1e-15, 1.0];
/// Target KL divergences, nats.
pub(crate) const TARGET_KL: [f64; 2] = [1e-6, 100.0];
/// Of 1 to 8 hidden layers.
pub(crate) const fn widths(key: &'static str) -> Rule {
    Rule::whole(key, 1.0, 4096.0).list(1, 8)
}

impl ConfigError {
    /// That the value of `key` is wrong, and how.
    pub fn value(key: &str, what: impl Into<String>) -> ConfigError {
        ConfigError::Value { key: key.into(), what: what.into() }
    }
}

/// dBm to W.
pub fn dbm_to_w(dbm: f64) -> f64 {
    10f64.powf((dbm - 30.0) / 10.0)
}
