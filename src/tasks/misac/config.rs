//! Configuration of task misac (paper "rl-h-moe") and its agents.

use crate::config::{
    ConfigError, Layered, Phase, PolicyGradient, SpatialConfig, TemporalConfig, TrainConfig, check, dbm_to_w,
    through_serde,
};
use crate::tasks::misac::physics::{KMAX, MMAX, MisacParams, MisacSpec, SCATTERERS, Uncertainty};
use serde::{Deserialize, Serialize};

/// A job of task misac.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacConfig {
    /// The preset this configuration started from.
    pub preset: String,
    pub task: MisacTaskConfig,
    pub temporal: TemporalConfig,
    pub spatial: SpatialConfig,
    pub train: TrainConfig,
    pub evaluate: MisacEvaluateConfig,
    pub reproduce: MisacReproduceConfig,
}

/// Task misac (paper "rl-h-moe", sections II and IV, and the choices the paper leaves open).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacTaskConfig {
    pub name: String,
    /// K
    pub vehicles: usize,
    /// M, elements of the half-wavelength array.
    pub antennas: usize,
    /// T, slots of an episode.
    pub slots: usize,
    /// Whether β of (7) is one constant or follows each vehicle's angular rate.
    pub uncertainty: Uncertainty,
    /// RF signal-to-noise ratio that β depends on, dB.
    pub snr_db: f64,
    /// β(SNR) = floor + slope·10^(−SNR/20), per slot of age.
    pub beta_floor: f64,
    pub beta_slope: f64,
    /// e_vis of (4), J per vehicle and camera frame.
    pub e_vis_j: f64,
    /// E_recovery of (5), J per vehicle.
    pub e_recovery_j: f64,
    /// Γ_misa of (9e).
    pub gamma_misa: f64,
    /// λ_misa of (11), J.
    pub lambda_misa_j: f64,
    /// T_proc of (6): age after a camera frame, slots.
    pub t_proc_slots: u32,
    /// A_max: age at which it saturates, slots.
    pub age_max_slots: u32,
    pub carrier_hz: f64,
    pub light_speed_m_s: f64,
    pub slot_s: f64,
    pub p_max_dbm: f64,
    pub noise_dbm: f64,
    pub road_y_m: f64,
    /// Range of the start positions along the road, m.
    pub start_x_m: [f64; 2],
    pub speed_m_s: [f64; 2],
    /// Standard deviation of the angle error on a camera frame, degrees.
    pub sigma_vis_deg: f64,
    /// Without a frame the angle error walks with standard deviation (this/M)·√β, rad.
    pub beam_width_factor: f64,
    /// Relative standard deviation of the measured distance.
    pub distance_noise: f64,
    /// L_p of (2): the line of sight alone (1), or with two scatterers (3).
    pub paths: usize,
    /// Power of the line of sight over that of all scatterers, dB.
    pub rician_db: f64,
    /// ρ/M of E‖Δh‖² = ρ·P_misa behind (8).
    pub csi_error: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacEvaluateConfig {
    /// Per replica.
    pub episodes: u64,
    pub seed: u32,
    /// Take the mode of the policy instead of a sample.
    pub greedy: bool,
    /// The channel is drawn and beams are judged in every n-th slot: what most of an evaluation's time goes into.
    pub gain_stride: usize,
}

/// The grid of the paper's figures, and what goes beyond them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacReproduceConfig {
    pub snr_db: Vec<f64>,
    /// Recipes of learning: every learned agent is trained with `temporal.algorithm` and `spatial.phase`, and `h-moe`, at `task.snr_db`, with every
    /// other pair of these lists too. May be empty.
    pub algorithms: Vec<PolicyGradient>,
    pub phases: Vec<Phase>,
    /// Processing delays of the sweep over T_proc, at `task.snr_db`.
    pub t_proc_slots: Vec<u32>,
    /// Ratios at which β follows the vehicles' angular rates (`uncertainty = "kinematic"`); may be empty.
    pub kinematic_snr_db: Vec<f64>,
    /// Discount and GAE's λ there, instead of those of `temporal`: what comes next depends on where the vehicles are, and less on what was done.
    pub kinematic_gamma: f64,
    pub kinematic_gae_lambda: f64,
    /// Updates between two checkpoints, from which `--resume` continues.
    pub checkpoint_every: u32,
}

impl Layered for MisacConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        ("fast", include_str!("../../../configs/misac-fast.toml")),
        ("paper", include_str!("../../../configs/misac-paper.toml")),
    ];
    const SCALES: &'static [(&'static str, &'static str)] = &[
        ("smoke", include_str!("../../../configs/misac-scale-smoke.toml")),
        ("quick", include_str!("../../../configs/misac-scale-quick.toml")),
        ("full", include_str!("../../../configs/misac-scale-full.toml")),
    ];
    const EXPERIMENTS: &'static [(&'static str, &'static str)] = &[("rl-h-moe", "")];

    through_serde!();

    fn validate(&self) -> Result<(), ConfigError> {
        self.task.validate()?;
        self.temporal.validate()?;
        self.spatial.validate()?;
        self.train.validate()?;
        self.evaluate.validate()?;
        self.reproduce.validate()?;
        let most = self.task.age_max_slots;
        check!(
            "reproduce.t_proc_slots",
            self.reproduce.t_proc_slots,
            self.reproduce.t_proc_slots.iter().all(|t| *t <= most),
            "must not be above task.age_max_slots"
        );
        Ok(())
    }
}

impl MisacTaskConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        check!("task.name", self.name, self.name == "misac", "must be misac");
        check!("task.vehicles", self.vehicles, (1..=KMAX).contains(&self.vehicles), "must be 1 to 8");
        check!("task.antennas", self.antennas, (2..=MMAX).contains(&self.antennas), "must be 2 to 256");
        check!("task.slots", self.slots, (1..=100_000).contains(&self.slots), "must be 1 to 100000");
        check!("task.snr_db", self.snr_db, (-40.0..=80.0).contains(&self.snr_db), "must be -40 to 80");
        check!("task.beta_floor", self.beta_floor, not_negative(self.beta_floor), "must not be negative");
        check!("task.beta_slope", self.beta_slope, not_negative(self.beta_slope), "must not be negative");
        let beta = self.beta();
        check!("task.beta_floor", beta, (1e-6..=100.0).contains(&beta), "must give a β of 1e-6 to 100");
        check!("task.e_vis_j", self.e_vis_j, not_negative(self.e_vis_j), "must not be negative");
        check!(
            "task.e_recovery_j",
            self.e_recovery_j,
            not_negative(self.e_recovery_j),
            "must not be negative"
        );
        check!("task.gamma_misa", self.gamma_misa, (0.0..=1.0).contains(&self.gamma_misa), "must be 0 to 1");
        check!(
            "task.lambda_misa_j",
            self.lambda_misa_j,
            not_negative(self.lambda_misa_j),
            "must not be negative"
        );
        check!(
            "task.age_max_slots",
            self.age_max_slots,
            (1..=10_000).contains(&self.age_max_slots),
            "must be 1 to 10000"
        );
        check!(
            "task.t_proc_slots",
            self.t_proc_slots,
            self.t_proc_slots <= self.age_max_slots,
            "must not be above task.age_max_slots"
        );
        check!("task.carrier_hz", self.carrier_hz, positive(self.carrier_hz), "must be positive");
        check!(
            "task.light_speed_m_s",
            self.light_speed_m_s,
            positive(self.light_speed_m_s),
            "must be positive"
        );
        check!("task.slot_s", self.slot_s, positive(self.slot_s), "must be positive");
        check!(
            "task.p_max_dbm",
            self.p_max_dbm,
            (-60.0..=90.0).contains(&self.p_max_dbm),
            "must be -60 to 90"
        );
        check!(
            "task.noise_dbm",
            self.noise_dbm,
            (-180.0..=0.0).contains(&self.noise_dbm),
            "must be -180 to 0"
        );
        check!("task.road_y_m", self.road_y_m, (1.0..=1e5).contains(&self.road_y_m), "must be 1 to 100000");
        let [lo, hi] = self.start_x_m;
        check!(
            "task.start_x_m",
            self.start_x_m,
            lo <= hi && lo.abs() <= 1e6 && hi.abs() <= 1e6,
            "must be a range within ±1000000"
        );
        let [lo, hi] = self.speed_m_s;
        check!(
            "task.speed_m_s",
            self.speed_m_s,
            positive(lo) && lo <= hi && hi <= 1e4,
            "must be a range of positive speeds up to 10000"
        );
        check!(
            "task.sigma_vis_deg",
            self.sigma_vis_deg,
            (0.0..=90.0).contains(&self.sigma_vis_deg),
            "must be 0 to 90"
        );
        check!(
            "task.beam_width_factor",
            self.beam_width_factor,
            (0.0..=10.0).contains(&self.beam_width_factor),
            "must be 0 to 10"
        );
        check!(
            "task.distance_noise",
            self.distance_noise,
            (0.0..=1.0).contains(&self.distance_noise),
            "must be 0 to 1"
        );
        check!("task.paths", self.paths, self.paths == 1 || self.paths == SCATTERERS + 1, "must be 1 or 3");
        check!(
            "task.rician_db",
            self.rician_db,
            (-60.0..=60.0).contains(&self.rician_db),
            "must be -60 to 60"
        );
        check!("task.csi_error", self.csi_error, (0.0..=100.0).contains(&self.csi_error), "must be 0 to 100");
        Ok(())
    }

    /// β(SNR) of (7), per slot of age.
    pub fn beta(&self) -> f64 {
        self.beta_floor + self.beta_slope * 10f64.powf(-self.snr_db / 20.0)
    }

    /// Sizes and code paths.
    pub fn spec(&self) -> MisacSpec {
        MisacSpec {
            vehicles: self.vehicles,
            antennas: self.antennas,
            slots: self.slots,
            uncertainty: self.uncertainty,
        }
    }

    /// Parameters of a replica in linear units.
    pub fn params(&self, key: [u32; 2]) -> MisacParams {
        let rician = 10f64.powf(self.rician_db / 10.0);
        let (los, scatter) = match self.paths {
            1 => (1.0, 0.0),
            _ => ((rician / (rician + 1.0)).sqrt(), (1.0 / ((rician + 1.0) * SCATTERERS as f64)).sqrt()),
        };
        let wavelength = self.light_speed_m_s / self.carrier_hz;
        MisacParams {
            key,
            beta: self.beta() as f32,
            e_vis_j: self.e_vis_j as f32,
            e_recovery_j: self.e_recovery_j as f32,
            lambda_j: self.lambda_misa_j as f32,
            gamma_misa: self.gamma_misa as f32,
            t_proc: self.t_proc_slots as f32,
            age_max: self.age_max_slots as f32,
            sigma_vis_rad: self.sigma_vis_deg.to_radians() as f32,
            beam_width_rad: (self.beam_width_factor / self.antennas as f64) as f32,
            distance_noise: self.distance_noise as f32,
            dt_s: self.slot_s as f32,
            road_y_m: self.road_y_m as f32,
            x_min_m: self.start_x_m[0] as f32,
            x_max_m: self.start_x_m[1] as f32,
            speed_min_m_s: self.speed_m_s[0] as f32,
            speed_max_m_s: self.speed_m_s[1] as f32,
            los: los as f32,
            scatter: scatter as f32,
            csi_error: self.csi_error as f32,
            beam_power_w: (dbm_to_w(self.p_max_dbm) / self.vehicles as f64) as f32,
            path_gain_m2: (wavelength / (4.0 * std::f64::consts::PI)).powi(2) as f32,
            noise_w: dbm_to_w(self.noise_dbm) as f32,
        }
    }
}

impl MisacEvaluateConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        check!("evaluate.episodes", self.episodes, self.episodes > 0, "must be at least 1");
        check!(
            "evaluate.gain_stride",
            self.gain_stride,
            (1..=100_000).contains(&self.gain_stride),
            "must be 1 to 100000"
        );
        Ok(())
    }
}

/// The first value that stands in the list before, with its place from 1.
fn repeated<T: PartialEq>(list: &[T]) -> Option<(&T, usize)> {
    list.iter().enumerate().find(|(i, x)| list[..*i].contains(x)).map(|(i, x)| (x, i + 1))
}

impl MisacReproduceConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, what: String| Err(ConfigError::Value { key, what });
        if self.snr_db.is_empty() {
            return bad("reproduce.snr_db", "needs at least one ratio".into());
        }
        for (key, list) in
            [("reproduce.snr_db", &self.snr_db), ("reproduce.kinematic_snr_db", &self.kinematic_snr_db)]
        {
            if let Some(x) = list.iter().find(|x| !(-40.0..=80.0).contains(*x)) {
                return bad(key, format!("{x} must be -40 to 80"));
            }
            if let Some((x, i)) = repeated(list) {
                return bad(key, format!("{x} is listed twice (again at place {i})"));
            }
        }
        for (key, x) in [
            ("reproduce.kinematic_gamma", self.kinematic_gamma),
            ("reproduce.kinematic_gae_lambda", self.kinematic_gae_lambda),
        ] {
            if !(0.0..=1.0).contains(&x) {
                return bad(key, format!("{x} must be 0 to 1"));
            }
        }
        if let Some((x, i)) = repeated(&self.t_proc_slots) {
            return bad("reproduce.t_proc_slots", format!("{x} is listed twice (again at place {i})"));
        }
        if repeated(&self.algorithms).is_some() {
            return bad(
                "reproduce.algorithms",
                format!("{:?} must list each algorithm once", self.algorithms),
            );
        }
        if repeated(&self.phases).is_some() {
            return bad("reproduce.phases", format!("{:?} must list each meaning once", self.phases));
        }
        if self.checkpoint_every == 0 {
            return bad("reproduce.checkpoint_every", "must be at least 1".into());
        }
        Ok(())
    }
}
