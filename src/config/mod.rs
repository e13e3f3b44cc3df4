//! The typed configuration: TOML files, one per task and preset, with any key overridable from the command line.
//!
//! Units stand in the names; dB and dBm exist only here and in reports. Unknown keys are errors, and [`Config::validate`] names the key that
//! is out of range.

use crate::policy::{Lif, lif};
use crate::task::v2x::{Beam, KMAX, Kinematics, V2xParams, V2xSpec};
use serde::{Deserialize, Serialize};

macro_rules! check {
    ($key:literal, $value:expr, $ok:expr, $want:literal) => {
        if !$ok {
            return Err(ConfigError::Value { key: $key, what: format!("{:?} {}", $value, $want) });
        }
    };
}

mod layers;
mod misac;

pub use layers::Layered;
#[cfg(feature = "report")]
pub(crate) use layers::one_line;
pub use misac::*;

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

/// Task v2x (paper "spiking-ac", section V-A, and the choices the paper leaves open).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2xConfig {
    pub name: String,
    pub vehicles: usize,
    pub antennas_tx: usize,
    pub antennas_rx: usize,
    /// T, slots of an episode.
    pub slots: usize,
    pub beam: Beam,
    pub kinematics: Kinematics,
    pub carrier_hz: f64,
    pub light_speed_m_s: f64,
    pub slot_s: f64,
    /// Re and Im of κ in β = κ/(2d).
    pub kappa: [f64; 2],
    /// Matched-filter gain ξ of (15).
    pub xi: f64,
    pub noise_radar_dbm: f64,
    pub noise_comm_dbm: f64,
    /// α_τ of (9), s.
    pub alpha_tau_s: f64,
    /// α_μ of (10), Hz.
    pub alpha_mu_hz: f64,
    pub sigma_theta_deg: f64,
    pub sigma_d_m: f64,
    pub sigma_v_m_s: f64,
    pub p_max_dbm: f64,
    /// Start positions (x, y) of the vehicles, m; the unit is at the origin.
    pub start_m: Vec<[f64; 2]>,
    pub speed_m_s: [f64; 2],
    /// Path loss α_0 at 1 m, dB (a gain: negative).
    pub path_gain_1m_db: f64,
    pub path_loss_exponent: f64,
    /// σ_y² = ξσ_z² in (22) (1), or σ_z² (0).
    pub matched_filter_noise: bool,
    /// Factor in front of the Jain index (28): 1 is the standard index, 2 what the paper prints.
    pub jain_scale: f64,
    pub eps_theta_rad2: f64,
    pub eps_d_m2: f64,
    /// Δ of `beam = "tracking"`.
    pub tracking_delta_rad: f64,
    pub distance_floor_m: f64,
    pub cos_floor: f64,
    pub cap_theta_rad: f64,
    pub cap_d_m: f64,
    pub cap_v_m_s: f64,
}

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

impl V2xConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        check!("task.name", self.name, self.name == "v2x", "is no task of this program (there is: v2x)");
        check!("task.vehicles", self.vehicles, (1..=KMAX).contains(&self.vehicles), "must be 1 to 8");
        check!(
            "task.antennas_tx",
            self.antennas_tx,
            (2..=1024).contains(&self.antennas_tx),
            "must be 2 to 1024"
        );
        check!(
            "task.antennas_rx",
            self.antennas_rx,
            (1..=1024).contains(&self.antennas_rx),
            "must be 1 to 1024"
        );
        check!("task.slots", self.slots, (1..=100_000).contains(&self.slots), "must be 1 to 100000");
        check!("task.carrier_hz", self.carrier_hz, positive(self.carrier_hz), "must be positive");
        check!(
            "task.light_speed_m_s",
            self.light_speed_m_s,
            positive(self.light_speed_m_s),
            "must be positive"
        );
        check!("task.slot_s", self.slot_s, positive(self.slot_s), "must be positive");
        check!("task.kappa", self.kappa, positive(self.kappa[0].hypot(self.kappa[1])), "must not be zero");
        check!("task.xi", self.xi, positive(self.xi), "must be positive");
        check!(
            "task.noise_radar_dbm",
            self.noise_radar_dbm,
            (-150.0..=0.0).contains(&self.noise_radar_dbm),
            "must be -150 to 0"
        );
        check!(
            "task.noise_comm_dbm",
            self.noise_comm_dbm,
            (-150.0..=0.0).contains(&self.noise_comm_dbm),
            "must be -150 to 0"
        );
        check!("task.alpha_tau_s", self.alpha_tau_s, positive(self.alpha_tau_s), "must be positive");
        check!("task.alpha_mu_hz", self.alpha_mu_hz, positive(self.alpha_mu_hz), "must be positive");
        check!(
            "task.sigma_theta_deg",
            self.sigma_theta_deg,
            not_negative(self.sigma_theta_deg),
            "must not be negative"
        );
        check!("task.sigma_d_m", self.sigma_d_m, not_negative(self.sigma_d_m), "must not be negative");
        check!("task.sigma_v_m_s", self.sigma_v_m_s, not_negative(self.sigma_v_m_s), "must not be negative");
        check!(
            "task.p_max_dbm",
            self.p_max_dbm,
            (-60.0..=90.0).contains(&self.p_max_dbm),
            "must be -60 to 90"
        );
        check!(
            "task.start_m",
            self.start_m,
            self.start_m.len() == self.vehicles,
            "must list one (x, y) per vehicle"
        );
        check!(
            "task.start_m",
            self.start_m,
            self.start_m
                .iter()
                .all(|[x, y]| x.is_finite() && positive(*y) && x.hypot(*y) >= self.distance_floor_m),
            "must be finite, with y > 0, beyond distance_floor_m"
        );
        let [lo, hi] = self.speed_m_s;
        check!(
            "task.speed_m_s",
            self.speed_m_s,
            lo.is_finite() && hi.is_finite() && 0.0 <= lo && lo <= hi,
            "must be 0 <= min <= max"
        );
        check!(
            "task.path_gain_1m_db",
            self.path_gain_1m_db,
            (-200.0..=0.0).contains(&self.path_gain_1m_db),
            "must be -200 to 0"
        );
        check!(
            "task.path_loss_exponent",
            self.path_loss_exponent,
            (0.0..=10.0).contains(&self.path_loss_exponent),
            "must be 0 to 10"
        );
        check!("task.jain_scale", self.jain_scale, positive(self.jain_scale), "must be positive");
        check!("task.eps_theta_rad2", self.eps_theta_rad2, positive(self.eps_theta_rad2), "must be positive");
        check!("task.eps_d_m2", self.eps_d_m2, positive(self.eps_d_m2), "must be positive");
        check!(
            "task.tracking_delta_rad",
            self.tracking_delta_rad,
            positive(self.tracking_delta_rad),
            "must be positive"
        );
        check!(
            "task.distance_floor_m",
            self.distance_floor_m,
            positive(self.distance_floor_m),
            "must be positive"
        );
        check!(
            "task.cos_floor",
            self.cos_floor,
            self.cos_floor > 0.0 && self.cos_floor <= 1.0,
            "must be in (0, 1]"
        );
        check!("task.cap_theta_rad", self.cap_theta_rad, positive(self.cap_theta_rad), "must be positive");
        check!("task.cap_d_m", self.cap_d_m, positive(self.cap_d_m), "must be positive");
        check!("task.cap_v_m_s", self.cap_v_m_s, positive(self.cap_v_m_s), "must be positive");
        check!(
            "task.beam",
            self.beam,
            matches!(self.beam, Beam::Angles | Beam::Tracking | Beam::Matrix),
            "is not a learned parameterisation (angles, tracking, matrix)"
        );
        check!(
            "task.start_m",
            self.start_m,
            self.kinematics != Kinematics::Cartesian
                || self.start_m.iter().all(|[_, y]| *y == self.start_m[0][1]),
            "must have one y for all vehicles: kinematics 'cartesian' moves them along one road"
        );
        // Each key passed alone; together they may still leave what f32 holds, and the simulation would be full of infinities.
        let p = self.params([0, 0]);
        for (key, what, x) in [
            ("task.path_gain_1m_db", "communication gain", p.comm_gain),
            ("task.kappa", "radar gain", p.radar_gain),
            ("task.xi", "scale of CRLB_theta", p.crlb_theta_scale),
            ("task.alpha_tau_s", "scale of CRLB_d", p.crlb_d_scale),
            ("task.alpha_mu_hz", "scale of the speed's error", p.sigma_v_scale),
            ("task.slot_s", "slot", p.dt_s),
            ("task.jain_scale", "factor", p.jain_scale),
            ("task.eps_theta_rad2", "limit", p.eps_theta_rad2),
            ("task.eps_d_m2", "limit", p.eps_d_m2),
        ] {
            if !x.is_normal() {
                return Err(ConfigError::Value {
                    key,
                    what: format!("the {what} becomes {x:e} in single precision"),
                });
            }
        }
        Ok(())
    }

    /// Sizes and code paths.
    pub fn spec(&self) -> V2xSpec {
        V2xSpec {
            vehicles: self.vehicles,
            antennas: self.antennas_tx,
            slots: self.slots,
            beam: self.beam,
            kinematics: self.kinematics,
        }
    }

    /// Parameters of a replica in linear units.
    pub fn params(&self, key: [u32; 2]) -> V2xParams {
        let kappa2 = self.kappa[0] * self.kappa[0] + self.kappa[1] * self.kappa[1];
        let sigma_z2 = dbm_to_w(self.noise_radar_dbm);
        let sigma_y2 = if self.matched_filter_noise { self.xi * sigma_z2 } else { sigma_z2 };
        let (tx, rx) = (self.antennas_tx as f64, self.antennas_rx as f64);
        let mut p = V2xParams {
            key,
            p_max_w: dbm_to_w(self.p_max_dbm) as f32,
            comm_gain: (tx * 10f64.powf(self.path_gain_1m_db / 10.0)) as f32,
            path_loss_exponent: self.path_loss_exponent as f32,
            noise_comm_w: dbm_to_w(self.noise_comm_dbm) as f32,
            radar_gain: (tx * rx * kappa2 / 4.0) as f32,
            noise_radar_w: sigma_z2 as f32,
            crlb_theta_scale: (4.0 * sigma_y2 / (self.xi * self.xi * tx * rx * kappa2)) as f32,
            crlb_d_scale: (self.alpha_tau_s * self.light_speed_m_s / 2.0).powi(2) as f32,
            sigma_v_scale: (self.alpha_mu_hz * self.light_speed_m_s / (2.0 * self.carrier_hz)) as f32,
            dt_s: self.slot_s as f32,
            sigma_theta_rad: self.sigma_theta_deg.to_radians() as f32,
            sigma_d_m: self.sigma_d_m as f32,
            sigma_v_m_s: self.sigma_v_m_s as f32,
            eps_theta_rad2: self.eps_theta_rad2 as f32,
            eps_d_m2: self.eps_d_m2 as f32,
            jain_scale: self.jain_scale as f32,
            tracking_delta_rad: self.tracking_delta_rad as f32,
            speed_min_m_s: self.speed_m_s[0] as f32,
            speed_max_m_s: self.speed_m_s[1] as f32,
            d_floor_m: self.distance_floor_m as f32,
            cos_floor: self.cos_floor as f32,
            cap_theta_rad: self.cap_theta_rad as f32,
            cap_d_m: self.cap_d_m as f32,
            cap_v_m_s: self.cap_v_m_s as f32,
            road_y_m: self.start_m[0][1] as f32,
            pad: [0.0; 5],
            start_theta_rad: [0.0; KMAX],
            start_d_m: [0.0; KMAX],
        };
        for (i, [x, y]) in self.start_m.iter().enumerate() {
            p.start_theta_rad[i] = y.atan2(-x) as f32;
            p.start_d_m[i] = x.hypot(*y) as f32;
        }
        p
    }
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
