//! The typed configuration: TOML files, one per task and preset, with any key overridable from the command line.
//!
//! Units stand in the names; dB and dBm exist only here and in reports. Unknown keys are errors, and [`Config::validate`] names the key that
//! is out of range.

use crate::task::v2x::Beam;
use serde::{Deserialize, Serialize};

macro_rules! check {
    ($key:literal, $value:expr, $ok:expr, $want:literal) => {
        if !$ok {
            return Err(ConfigError::Value { key: $key, what: format!("{:?} {}", $value, $want) });
        }
    };
}

mod layers;
mod learners;
mod misac;
mod v2x;

pub use layers::Layered;
#[cfg(feature = "report")]
pub(crate) use layers::one_line;
use layers::through_serde;
pub use learners::*;
pub use misac::*;
pub use v2x::*;

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

/// What a named experiment lays between scale and the user's own keys; the sizes it has at each scale stand below `scale`.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("spiking-ac", ""),
    ("rate-penalty", include_str!("../../configs/experiment-rate-penalty.toml")),
    ("beams", include_str!("../../configs/experiment-beams.toml")),
];

/// Names of the experiments, in the order in which `reproduce all` runs them.
pub fn experiments() -> impl Iterator<Item = &'static str> {
    EXPERIMENTS.iter().map(|e| e.0)
}

/// How large a reproduction is: layered between the preset and the user's own keys.
const SCALES: &[(&str, &str)] = &[
    ("smoke", include_str!("../../configs/scale-smoke.toml")),
    ("quick", include_str!("../../configs/scale-quick.toml")),
    ("full", include_str!("../../configs/scale-full.toml")),
];

/// Presets compiled into the program, so that it needs no files at run time.
const PRESETS: &[(&str, &str)] = &[
    ("fast", include_str!("../../configs/v2x-fast.toml")),
    ("paper", include_str!("../../configs/v2x-paper.toml")),
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The preset this configuration started from.
    pub preset: String,
    pub task: V2xConfig,
    pub ppo: PpoConfig,
    pub spiking: SpikingConfig,
    pub ddpg: DdpgConfig,
    pub dqn: DqnConfig,
    pub train: TrainConfig,
    pub evaluate: EvaluateConfig,
    pub reproduce: ReproduceConfig,
    /// What a named experiment varies; no other job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentConfig>,
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

/// The grid of a paper's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReproduceConfig {
    pub p_max_dbm: Vec<f64>,
    /// Updates between two checkpoints, from which `--resume` continues.
    pub checkpoint_every: u32,
}

/// What an experiment beside a paper's figures varies, at `reproduce.p_max_dbm` and with `train.seeds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExperimentConfig {
    /// Learned agents.
    pub agents: Vec<String>,
    /// Values of `spiking.rate_penalty` for agents with spikes; empty for the one in `[spiking]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_penalties: Vec<f64>,
    /// Values of `task.beam`; empty for the one in `[task]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beams: Vec<Beam>,
}

impl ExperimentConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, what: String| Err(ConfigError::Value { key, what });
        let learned = |a: &&String| crate::agents::v2x::find(a).is_some_and(|a| a.is_learned());
        if let Some(a) = self.agents.iter().find(|a| !learned(a)) {
            return bad("experiment.agents", format!("'{a}' is no learned agent"));
        }
        if let Some(p) = self.rate_penalties.iter().find(|p| !(p.is_finite() && **p >= 0.0)) {
            return bad("experiment.rate_penalties", format!("{p} must not be negative"));
        }
        if let Some(b) =
            self.beams.iter().find(|b| !matches!(b, Beam::Angles | Beam::Tracking | Beam::Matrix))
        {
            let what = format!("{b:?} is not a learned parameterisation (angles, tracking, matrix)");
            return bad("experiment.beams", what);
        }
        fn twice<T: PartialEq + std::fmt::Debug>(x: &[T]) -> Option<String> {
            let again = x.iter().enumerate().find(|(i, v)| x[..*i].contains(v));
            again.map(|(_, v)| format!("{v:?} is listed twice"))
        }
        for (key, again) in [
            ("experiment.agents", twice(&self.agents)),
            ("experiment.rate_penalties", twice(&self.rate_penalties)),
            ("experiment.beams", twice(&self.beams)),
        ] {
            if let Some(what) = again {
                return bad(key, what);
            }
        }
        Ok(())
    }
}

/// dBm to W.
pub fn dbm_to_w(dbm: f64) -> f64 {
    10f64.powf((dbm - 30.0) / 10.0)
}

impl Layered for Config {
    const PRESETS: &'static [(&'static str, &'static str)] = PRESETS;
    const SCALES: &'static [(&'static str, &'static str)] = SCALES;
    const EXPERIMENTS: &'static [(&'static str, &'static str)] = EXPERIMENTS;

    through_serde!();

    fn validate(&self) -> Result<(), ConfigError> {
        self.task.validate()?;
        self.ppo.validate()?;
        self.spiking.validate()?;
        self.ddpg.validate()?;
        self.dqn.validate()?;
        if let Some(e) = &self.experiment {
            e.validate()?;
        }
        self.train.validate()?;
        self.evaluate.validate()?;
        let bad = |key, what: String| Err(ConfigError::Value { key, what });
        if self.reproduce.p_max_dbm.is_empty() {
            return bad("reproduce.p_max_dbm", "needs at least one power".into());
        }
        if let Some(p) = self.reproduce.p_max_dbm.iter().find(|p| !(-60.0..=90.0).contains(*p)) {
            return bad("reproduce.p_max_dbm", format!("{p} must be -60 to 90"));
        }
        let mut powers = self.reproduce.p_max_dbm.clone();
        powers.sort_by(f64::total_cmp);
        if let Some(w) = powers.windows(2).find(|w| w[0] == w[1]) {
            return bad("reproduce.p_max_dbm", format!("{} is listed twice", w[0]));
        }
        if self.reproduce.checkpoint_every == 0 {
            return bad("reproduce.checkpoint_every", "must be at least 1".into());
        }
        if !self.ppo.horizon.is_multiple_of(self.task.slots) {
            return bad(
                "ppo.horizon",
                format!("{} must be a multiple of task.slots = {}", self.ppo.horizon, self.task.slots),
            );
        }
        Ok(())
    }
}
