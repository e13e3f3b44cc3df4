//! The typed configuration: TOML files, one per task and preset, with any key overridable from the command line.
//!
//! Units stand in the names; dB and dBm exist only here and in reports. Unknown keys are errors, and [`Layered::validate`] names the key that
//! is out of range.

use serde::{Deserialize, Serialize};

macro_rules! check {
    ($key:literal, $value:expr, $ok:expr, $want:literal) => {
        if !$ok {
            return Err(ConfigError::Value { key: $key, what: format!("{:?} {}", $value, $want) });
        }
    };
}

pub(crate) use check;

mod layers;
mod learners;

pub use layers::Layered;
#[cfg(feature = "report")]
pub(crate) use layers::one_line;
pub(crate) use layers::through_serde;
pub use learners::*;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read config file '{0}': {1}")]
    Read(String, std::io::Error),
    #[error("{0}: {1}")]
    Parse(String, String),
    #[error("config key '{key}': {what}")]
    Value { key: &'static str, what: String },
    #[error("--set {0}: expected key=value, for example --set task.p_max_dbm=30")]
    Set(String),
    #[error("no preset '{0}' (there are: fast, paper)")]
    Preset(String),
    #[error("no scale '{0}' (there are: smoke, quick, full)")]
    Scale(String),
    #[error("no experiment '{0}' (there are: spiking-ac, rate-penalty, beams, rl-h-moe, and all)")]
    Experiment(String),
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    pub episodes: u64,
    pub seed: u32,
    /// Take the mode of the policy instead of a sample.
    pub greedy: bool,
}

impl TrainConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let seeds = &self.seeds;
        check!("train.seeds", seeds, !seeds.is_empty(), "needs at least one seed");
        let again = seeds.iter().enumerate().any(|(i, s)| seeds[..i].contains(s));
        check!("train.seeds", seeds, !again, ": a seed is listed twice");
        check!("train.updates", self.updates, self.updates > 0, "must be at least 1");
        check!("train.log_every", self.log_every, self.log_every > 0, "must be at least 1");
        Ok(())
    }
}

impl EvaluateConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check!("evaluate.episodes", self.episodes, self.episodes > 0, "must be at least 1");
        Ok(())
    }
}

/// dBm to W.
pub fn dbm_to_w(dbm: f64) -> f64 {
    10f64.powf((dbm - 30.0) / 10.0)
}

/// Keys that learning reads in single precision, where 1e39 would be infinite and 1e-50 zero.
pub(crate) fn positive(x: f64) -> bool {
    (x as f32).is_normal() && x > 0.0
}

pub(crate) fn not_negative(x: f64) -> bool {
    (x as f32).is_finite() && x >= 0.0
}

pub(crate) fn share(x: f64) -> bool {
    (0.0..=1.0).contains(&x)
}

pub(crate) fn widths(w: &[usize]) -> bool {
    (1..=8).contains(&w.len()) && w.iter().all(|h| (1..=4096).contains(h))
}
