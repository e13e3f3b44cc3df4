//! Configuration of task misac (paper "rl-h-moe") and its agents.

use crate::config::{
    ConfigError, Layered, MOST_EPISODES, PolicyGradient, ReadingsConfig, Rule, SpatialConfig, TemporalConfig,
    TrainConfig, U32_MAX, dbm_to_w,
};
use crate::learn::ExpertsSpec;
use crate::nets::experts::{Architecture, ExpertsLayout, Phase};
use crate::run::task::Task;
use crate::tasks::misac::env::MisacEnv;
use crate::tasks::misac::physics::{
    Ageing, Choices, ErrorGrowth, KMAX, MMAX, MisacParams, MisacSpec, SCATTERERS, Uncertainty,
};
use crate::through_serde;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// What a job of readings varies; no other job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<ReadingsConfig>,
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
    /// A_max of (9d), slots.
    pub age_max_slots: u32,
    /// Whether an age counts as A_max at most; if not, (9d) can be broken. Observations are A/A_max either way.
    pub age_saturates: bool,
    /// Whether the sweep of (5), which runs with probability P_misa, leaves angle and age as a camera frame does.
    pub realign: bool,
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
    /// Whether the angle error walks without a frame, or grows exponentially.
    pub error_growth: ErrorGrowth,
    /// As it walks: with standard deviation (this/M)·√β in a slot, rad.
    pub beam_width_factor: f64,
    /// As it grows exponentially: by e^(this·β) in a slot.
    pub error_rate: f64,
    /// Standard deviation of the radar's own noise of the angle, where A > T_proc, degrees.
    pub radar_noise_deg: f64,
    /// Relative standard deviation of the measured distance.
    pub distance_noise: f64,
    /// L_p of (2): the line of sight alone (1), or with two scatterers (3).
    pub paths: usize,
    /// Power of the line of sight over that of all scatterers, dB.
    pub rician_db: f64,
    /// ρ/M of E‖Δh‖² = ρ·P_misa behind (8).
    pub csi_error: f64,
    /// Whether Δh adds its power to that of the estimated channel, or takes it from there.
    pub channel_ageing: Ageing,
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
    /// Recipes of learning: every learned agent is trained with `temporal.algorithm` and `spatial.phase`, and `h-moe`,
    /// at `task.snr_db`, with every other pair of these lists too. May be empty.
    pub algorithms: Vec<PolicyGradient>,
    pub phases: Vec<Phase>,
    /// Processing delays of the sweep over T_proc, at `task.snr_db`.
    pub t_proc_slots: Vec<u32>,
    /// Ratios at which β follows the vehicles' angular rates (`uncertainty = "kinematic"`); may be empty.
    pub kinematic_snr_db: Vec<f64>,
    /// Discount and GAE's λ there, instead of those of `temporal`: what comes next depends on where the vehicles are,
    /// and less on what was done.
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
        ("study", include_str!("../../../configs/misac-scale-study.toml")),
        ("full", include_str!("../../../configs/misac-scale-full.toml")),
    ];
    const EXPERIMENTS: &'static [(&'static str, &'static str)] =
        &[("rl-h-moe", ""), ("readings", include_str!("../../../configs/readings-misac.toml"))];
    const BEFORE: &'static str = "
        [task]
        age_saturates = true
        realign = false
        error_growth = 'random-walk'
        error_rate = 2.77
        radar_noise_deg = 0.0
        channel_ageing = 'independent'
        [temporal]
        trust_region = false
        target_kl = 1.0
        kl_skip_ratio = 1.0
        t_seq = 0
        mono_phases = 'l-spat'
        log_std_init = -0.5
    ";

    const RULES: &'static [(&'static str, &'static [Rule])] = &[
        ("task", MisacTaskConfig::RULES),
        ("temporal", TemporalConfig::RULES),
        ("spatial", SpatialConfig::RULES),
        ("train", TrainConfig::RULES),
        ("evaluate", MisacEvaluateConfig::RULES),
        ("reproduce", MisacReproduceConfig::RULES),
        ("readings", ReadingsConfig::RULES),
    ];

    through_serde!();

    fn relations(&self) -> Result<(), ConfigError> {
        self.task.relations()?;
        if let Some(readings) = &self.readings {
            readings.relations(&self.without_readings())?;
        }
        self.reproduce.relations(self.task.age_max_slots)
    }

    fn relations_for(&self, agent: &str) -> Result<(), ConfigError> {
        if agent == "dp-optimal" && self.task.realign && !self.task.age_saturates {
            let what = "dp-optimal solves sweeps that realign only with task.age_saturates = true";
            return Err(ConfigError::value("task.realign", what));
        }
        let learns = <MisacConfig as Task>::agent(agent).is_some_and(|a| a.is_learned());
        if !learns {
            return Ok(());
        }
        self.temporal.relations(self.task.slots)?;
        self.train.clock("task.slots", self.task.slots)
    }
}

impl MisacConfig {
    /// Environments of replicas with these RF signal-to-noise ratios, dB, and seeds.
    pub fn typed_env(&self, replicas: &[(f64, u32)]) -> MisacEnv {
        self.env_of(replicas.iter().map(|(snr_db, seed)| self.task.params_at(*snr_db, [*seed, 0])).collect())
    }
    /// Environments of replicas with these parameters.
    pub fn env_of(&self, params: Vec<MisacParams>) -> MisacEnv {
        MisacEnv { spec: self.task.spec(), params }
    }
    /// What trains these networks in these environments.
    pub fn learner(&self, architecture: Architecture, env: MisacEnv) -> ExpertsSpec {
        ExpertsSpec::new(architecture, Arc::new(env), &self.temporal, &self.spatial)
    }
    /// Where everything lies in the flat vector of these networks.
    pub fn layout(&self, architecture: Architecture) -> ExpertsLayout {
        self.learner(architecture, self.typed_env(&[])).layout
    }
}

impl MisacTaskConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::whole("vehicles", 1.0, KMAX as f64),
        Rule::whole("antennas", 2.0, MMAX as f64),
        Rule::whole("slots", 1.0, 100_000.0),
        SNR_DB,
        Rule::decimal("beta_floor", 0.0, 100.0),
        Rule::decimal("beta_slope", 0.0, 1e4),
        Rule::decimal("e_vis_j", 0.0, 1e6),
        Rule::decimal("e_recovery_j", 0.0, 1e6),
        Rule::share("gamma_misa"),
        Rule::decimal("lambda_misa_j", 0.0, 1e6),
        Rule::whole("t_proc_slots", 0.0, 10_000.0),
        Rule::whole("age_max_slots", 1.0, 10_000.0),
        Rule::decimal("carrier_hz", 1e8, 1e13),
        Rule::decimal("light_speed_m_s", 1e8, 1e9),
        Rule::decimal("slot_s", 1e-9, 1000.0),
        Rule::decimal("p_max_dbm", -60.0, 90.0),
        Rule::decimal("noise_dbm", -180.0, 0.0),
        Rule::decimal("road_y_m", 1.0, 1e5),
        Rule::decimal("start_x_m", -1e6, 1e6).list(2, 2),
        Rule::decimal("speed_m_s", 1e-6, 1e4).list(2, 2),
        Rule::decimal("sigma_vis_deg", 0.0, 90.0),
        Rule::decimal("beam_width_factor", 0.0, 10.0),
        Rule::decimal("error_rate", 0.0, 100.0),
        Rule::decimal("radar_noise_deg", 0.0, 90.0),
        Rule::decimal("distance_noise", 0.0, 1.0),
        Rule::whole("paths", 1.0, (SCATTERERS + 1) as f64),
        Rule::decimal("rician_db", -60.0, 60.0),
        Rule::decimal("csi_error", 0.0, 100.0),
    ];

    /// What no single key shows.
    fn relations(&self) -> Result<(), ConfigError> {
        let bad = |key, what: String| Err(ConfigError::value(key, what));
        if self.name != "misac" {
            return bad("task.name", format!("'{}' must be misac", self.name));
        }
        let beta = self.beta();
        if !(1e-6..=100.0).contains(&beta) {
            let what = format!(
                "{:?} with task.beta_slope and task.snr_db gives a β of {beta:e}: it must be 1e-6 to 100",
                self.beta_floor
            );
            return bad("task.beta_floor", what);
        }
        if self.t_proc_slots > self.age_max_slots {
            let what = format!(
                "{} must not be above task.age_max_slots = {}",
                self.t_proc_slots, self.age_max_slots
            );
            return bad("task.t_proc_slots", what);
        }
        for (key, [lo, hi]) in [("task.start_x_m", self.start_x_m), ("task.speed_m_s", self.speed_m_s)] {
            if lo > hi {
                return bad(key, format!("[{lo:?}, {hi:?}] must have the lower end first"));
            }
        }
        if self.paths != 1 && self.paths != SCATTERERS + 1 {
            return bad("task.paths", format!("{} must be 1 or {}", self.paths, SCATTERERS + 1));
        }
        // Each key passed alone; together they may still leave what f32 holds, and the simulation would be full of
        // infinities.
        let p = self.params([0, 0]);
        for (key, what, x) in [
            ("task.beta_floor", "growth of the error", p.beta),
            ("task.slot_s", "slot", p.dt_s),
            ("task.p_max_dbm", "power of a beam", p.beam_power_w),
            ("task.carrier_hz", "path gain at 1 m", p.path_gain_m2),
            ("task.noise_dbm", "noise", p.noise_w),
            ("task.rician_db", "line of sight", p.los),
        ] {
            if !x.is_normal() {
                return bad(key, format!("the {what} becomes {x:e} in single precision"));
            }
        }
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
            choices: Choices {
                ageing: self.channel_ageing,
                realign: self.realign,
                age_saturates: self.age_saturates,
                growth: self.error_growth,
                radar_noise: self.radar_noise_deg > 0.0,
            },
        }
    }

    /// Parameters of a replica at an RF signal-to-noise ratio, dB.
    pub fn params_at(&self, snr_db: f64, key: [u32; 2]) -> MisacParams {
        MisacTaskConfig { snr_db, ..self.clone() }.params(key)
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
            error_rate: self.error_rate as f32,
            radar_noise_rad: self.radar_noise_deg.to_radians() as f32,
        }
    }
}

impl MisacEvaluateConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::whole("episodes", 1.0, MOST_EPISODES),
        Rule::whole("seed", 0.0, U32_MAX),
        Rule::whole("gain_stride", 1.0, 100_000.0),
    ];
}

const SNR_DB: Rule = Rule::decimal("snr_db", -40.0, 80.0);

impl MisacReproduceConfig {
    pub const RULES: &'static [Rule] = &[
        SNR_DB.list(1, 1000).distinct(),
        Rule::whole("t_proc_slots", 0.0, 10_000.0).list(0, 1000).distinct(),
        Rule::decimal("kinematic_snr_db", -40.0, 80.0).list(0, 1000).distinct(),
        Rule::share("kinematic_gamma"),
        Rule::share("kinematic_gae_lambda"),
        Rule::whole("checkpoint_every", 1.0, U32_MAX),
    ];

    /// What no single key shows.
    fn relations(&self, age_max_slots: u32) -> Result<(), ConfigError> {
        if let Some(t) = self.t_proc_slots.iter().find(|t| **t > age_max_slots) {
            let what = format!("{t} must not be above task.age_max_slots = {age_max_slots}");
            return Err(ConfigError::value("reproduce.t_proc_slots", what));
        }
        fn once<T: PartialEq + std::fmt::Debug>(
            key: &str,
            list: &[T],
            what: &str,
        ) -> Result<(), ConfigError> {
            let again = list.iter().enumerate().any(|(i, x)| list[..i].contains(x));
            if again {
                Err(ConfigError::value(key, format!("{list:?} must list each {what} once")))
            } else {
                Ok(())
            }
        }
        once("reproduce.algorithms", &self.algorithms, "algorithm")?;
        once("reproduce.phases", &self.phases, "meaning")
    }
}
