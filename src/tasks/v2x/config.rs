//! Configuration of task v2x (paper "spiking-ac"): a job of it, its physics, and the constants that kernels take.

use crate::config::{
    ConfigError, DdpgConfig, DqnConfig, EvaluateConfig, Layered, PpoConfig, SpikingConfig, TrainConfig,
    check, dbm_to_w, through_serde,
};
use crate::tasks::v2x::physics::{Beam, KMAX, Kinematics, V2xParams, V2xSpec};
use serde::{Deserialize, Serialize};

/// What a named experiment lays between scale and the user's own keys; the sizes it has at each scale stand below `scale`.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("spiking-ac", ""),
    ("rate-penalty", include_str!("../../../configs/experiment-rate-penalty.toml")),
    ("beams", include_str!("../../../configs/experiment-beams.toml")),
];

/// Names of the experiments, in the order in which `reproduce all` runs them.
pub fn experiments() -> impl Iterator<Item = &'static str> {
    EXPERIMENTS.iter().map(|e| e.0)
}

/// How large a reproduction is: layered between the preset and the user's own keys.
const SCALES: &[(&str, &str)] = &[
    ("smoke", include_str!("../../../configs/scale-smoke.toml")),
    ("quick", include_str!("../../../configs/scale-quick.toml")),
    ("full", include_str!("../../../configs/scale-full.toml")),
];

/// Presets compiled into the program, so that it needs no files at run time.
const PRESETS: &[(&str, &str)] = &[
    ("fast", include_str!("../../../configs/v2x-fast.toml")),
    ("paper", include_str!("../../../configs/v2x-paper.toml")),
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2xConfig {
    /// The preset this configuration started from.
    pub preset: String,
    pub task: V2xTaskConfig,
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
        let learned = |a: &&String| crate::tasks::v2x::agents::find(a).is_some_and(|a| a.is_learned());
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

impl Layered for V2xConfig {
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

/// Task v2x (paper "spiking-ac", section V-A, and the choices the paper leaves open).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2xTaskConfig {
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

impl V2xTaskConfig {
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
