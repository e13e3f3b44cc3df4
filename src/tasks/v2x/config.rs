//! Configuration of task v2x (paper "spiking-ac"): a job of it, its physics, and the constants that kernels take.

use crate::config::{
    ApgConfig, Climb, ConfigError, DdpgConfig, DqnConfig, EvaluateConfig, Layered, PpoConfig, ReadingsConfig,
    Rule, SpikingConfig, TrainConfig, U32_MAX, dbm_to_w,
};
use crate::run::evaluate::Precision;
use crate::run::rows::text_of;
use crate::run::task::{Agent, Task};
use crate::tasks::v2x::physics::{
    self, Beam, Choices, KMAX, Kinematics, Limits, MatrixBase, Reward, V2xParams, V2xSpec,
};
use crate::through_serde;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What a named experiment lays between scale and the user's own keys; the sizes it has at each scale stand below
/// `scale`.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("spiking-ac", ""),
    ("rate-penalty", include_str!("../../../configs/experiment-rate-penalty.toml")),
    ("front", include_str!("../../../configs/experiment-front.toml")),
    ("beams", include_str!("../../../configs/experiment-beams.toml")),
    ("recipe", include_str!("../../../configs/experiment-recipe.toml")),
    ("readings", include_str!("../../../configs/readings-v2x.toml")),
];

/// Names of the experiments, in the order in which `reproduce all` runs them.
pub fn experiments() -> impl Iterator<Item = &'static str> {
    EXPERIMENTS.iter().map(|e| e.0)
}

/// How large a reproduction is: layered between the preset and the user's own keys.
const SCALES: &[(&str, &str)] = &[
    ("smoke", include_str!("../../../configs/scale-smoke.toml")),
    ("quick", include_str!("../../../configs/scale-quick.toml")),
    ("study", include_str!("../../../configs/scale-study.toml")),
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
    pub protocol: ProtocolConfig,
    pub ppo: PpoConfig,
    pub spiking: SpikingConfig,
    pub ddpg: DdpgConfig,
    pub dqn: DqnConfig,
    pub apg: ApgConfig,
    pub train: TrainConfig,
    pub evaluate: EvaluateConfig,
    pub reproduce: ReproduceConfig,
    /// What a named experiment varies; no other job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentConfig>,
    /// What a job of readings varies; no other job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<ReadingsConfig>,
}

/// The grid of a paper's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReproduceConfig {
    pub p_max_dbm: Vec<f64>,
    /// Factors of the echo's errors, beside what `task.sensing_noise` says, at which trained agents are evaluated too,
    /// at the highest power.
    pub error_factors: Vec<f64>,
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
    /// Of an agent: what is set in each of its runs, `key=value` with blanks between; without it, there is one run, as
    /// configured.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, Vec<String>>,
    /// Precisions in which dense agents are evaluated beside f32, with the same weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub precisions: Vec<Precision>,
}

impl ReproduceConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::decimal("p_max_dbm", -60.0, 90.0).list(1, 1000).distinct(),
        Rule::decimal("error_factors", 1.001, 1e3).list(0, 100).distinct(),
        Rule::whole("checkpoint_every", 1.0, U32_MAX),
    ];
}

impl ExperimentConfig {
    pub const RULES: &'static [Rule] = &[Rule::decimal("rate_penalties", 0.0, 1e6).list(0, 1000).distinct()];

    /// That agents and beams are learned ones and stand there once.
    fn relations(&self) -> Result<(), ConfigError> {
        let learned = |a: &&String| <V2xConfig as Task>::agent(a).is_some_and(|a| a.is_learned());
        if let Some(a) = self.agents.iter().find(|a| !learned(a)) {
            return Err(ConfigError::value("experiment.agents", format!("'{a}' is no learned agent")));
        }
        if let Some(b) = self.beams.iter().find(|b| !is_learned(**b)) {
            return Err(ConfigError::value("experiment.beams", format!("{b:?} {NOT_LEARNED}")));
        }
        fn twice<T: PartialEq + std::fmt::Debug>(key: &str, x: &[T]) -> Result<(), ConfigError> {
            let again = x.iter().enumerate().find(|(i, v)| x[..*i].contains(v));
            again.map_or(Ok(()), |(_, v)| Err(ConfigError::value(key, format!("{v:?} is listed twice"))))
        }
        twice("experiment.agents", &self.agents)?;
        twice("experiment.beams", &self.beams)?;
        twice("experiment.precisions", &self.precisions)?;
        for (agent, variants) in &self.variants {
            let key = format!("experiment.variants.{agent}");
            if !self.agents.contains(agent) {
                return Err(ConfigError::value(&key, format!("'{agent}' is not in experiment.agents")));
            }
            if variants.is_empty() {
                return Err(ConfigError::value(&key, "no variant is listed"));
            }
            twice(&key, variants)?;
        }
        Ok(())
    }
}

const NOT_LEARNED: &str = "is not a learned parameterisation (angles, tracking, matrix, zf)";

fn is_learned(beam: Beam) -> bool {
    matches!(beam, Beam::Angles | Beam::Tracking | Beam::Matrix | Beam::Zf)
}

impl Layered for V2xConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = PRESETS;
    const SCALES: &'static [(&'static str, &'static str)] = SCALES;
    const EXPERIMENTS: &'static [(&'static str, &'static str)] = EXPERIMENTS;
    const BEFORE: &'static str = "
        [task]
        reward = 'product'
        reward_weights = [1.0, 1.0]
        limits = 'slot'
        caps_in_reward = false
        sensing_noise = 1.0
        sinr_feedback = true
        ekf_noise = 1.0
        reward_by_link = false
        zf_regularisation = 1.0
        matrix_base = 'none'
        matrix_scale = 0.3
        obs_shift = [0.0, 0.0, 0.0, 0.0]
        obs_scale = [0.3183098861837907, 0.03333333333333333, 0.07142857142857142, 0.2]
        [protocol]
        symbol_s = 8.93e-6
        pilot_symbols = 1
        pilot_samples = 127
        feedback_symbols = 1
        stage_symbols = 36
        sweep_period_slots = 1
        uplink_dbm = 23.0
        history_slots = 2
        [ppo]
        log_std_min = -20.0
        log_std_max = 5.0
        trust_region = false
        target_kl = 1.0
        kl_skip_ratio = 1.0
        [spiking]
        hidden = []
        population = 0
        readout = 'last'
        learn_leak = false
        membrane = 'reset'
        target_kl = 1.0
        [dqn]
        head = 'branches'
        [reproduce]
        error_factors = []
        [apg]
        objective = 'rate'
        indicator_width = 0.5
        envs = 64
        horizon = 100
        epochs = 4
        minibatch = 800
        lr = 1e-3
        lr_spiking = 3e-3
        lr_final_share = 0.03
        adam_beta1 = 0.9
        adam_beta2 = 0.999
        adam_eps = 1e-8
        max_grad_norm = 0.0
        action_scale = 4.0
        noise_start = 0.3
        noise_final = 0.0
        noise_share = 0.6
        actor_gain = 0.01
    ";
    const LATER: &'static [&'static str] = &["protocol", "apg"];
    const RULES: &'static [(&'static str, &'static [Rule])] = &[
        ("task", V2xTaskConfig::RULES),
        ("protocol", ProtocolConfig::RULES),
        ("ppo", PpoConfig::RULES),
        ("spiking", SpikingConfig::RULES),
        ("ddpg", DdpgConfig::RULES),
        ("dqn", DqnConfig::RULES),
        ("apg", ApgConfig::RULES),
        ("train", TrainConfig::RULES),
        ("evaluate", EvaluateConfig::RULES),
        ("reproduce", ReproduceConfig::RULES),
        ("experiment", ExperimentConfig::RULES),
        ("readings", ReadingsConfig::RULES),
    ];

    through_serde!();

    fn relations(&self) -> Result<(), ConfigError> {
        self.task.relations()?;
        if let Some(readings) = &self.readings {
            readings.relations(&self.without_readings())?;
        }
        let Some(experiment) = &self.experiment else { return Ok(()) };
        experiment.relations()?;
        for (agent, variants) in &experiment.variants {
            for variant in variants {
                let of = |e: ConfigError| {
                    ConfigError::value(&format!("experiment.variants.{agent}"), e.to_string())
                };
                self.varied(variant).and_then(|c| c.relations_for(agent)).map_err(of)?;
            }
        }
        Ok(())
    }

    /// Writes out short forms: `task.antennas` sets both arrays, and `task.vehicles` alone sets the start positions.
    /// Those are the first places of `task.start_m`; more vehicles follow at the distance between the last two (10 m
    /// behind a single one).
    fn written_out(user: &mut toml::Table, below: &toml::Table) {
        let Some(task) = user.get_mut("task").and_then(toml::Value::as_table_mut) else { return };
        if let Some(antennas) = task.remove("antennas") {
            for key in ["antennas_tx", "antennas_rx"] {
                task.entry(key).or_insert_with(|| antennas.clone());
            }
        }
        let wanted = task.get("vehicles").and_then(toml::Value::as_integer);
        let wanted = wanted.and_then(|k| usize::try_from(k).ok()).filter(|k| (1..=KMAX).contains(k));
        let starts = below.get("task").and_then(|t| t.get("start_m")?.clone().try_into().ok());
        let (Some(k), Some(starts)) = (wanted.filter(|_| !task.contains_key("start_m")), starts) else {
            return;
        };
        let mut starts: Vec<[f64; 2]> = starts;
        while let (Some([x, y]), true) = (starts.last().copied(), starts.len() < k) {
            let before = starts.len().checked_sub(2).map_or([x + 10.0, y], |i| starts[i]);
            starts.push([2.0 * x - before[0], 2.0 * y - before[1]]);
        }
        starts.truncate(k);
        let pairs = starts.into_iter().map(|p| toml::Value::from(p.to_vec()));
        task.insert("start_m".into(), toml::Value::Array(pairs.collect()));
    }

    fn relations_for(&self, agent: &str) -> Result<(), ConfigError> {
        let (slots, horizon) = (self.task.slots, self.ppo.horizon);
        let smooth = ["apg", "spiking-apg"].contains(&agent) && self.apg.objective == Climb::RewardSmooth;
        if smooth && self.task.limits == Limits::Episode {
            let what =
                "\"reward-smooth\" needs task.limits = \"slot\": its gradient is that of a slot by itself";
            return Err(ConfigError::value("apg.objective", what));
        }
        let learned = Self::agent(agent).is_some_and(Agent::is_learned);
        if learned && !is_learned(self.task.beam) {
            return Err(ConfigError::value(
                "task.beam",
                format!("{} {NOT_LEARNED}", text_of(&self.task.beam)),
            ));
        }
        match agent {
            "ppo" => self.ppo.relations(slots)?,
            "spiking-ac" => {
                self.ppo.relations(slots)?;
                self.spiking.relations()?;
            }
            "apg" => self.apg.relations(slots)?,
            "spiking-apg" => {
                self.apg.relations(slots)?;
                self.spiking.relations()?;
            }
            "ddpg" => self.ddpg.relations()?,
            "dqn" => self.dqn.relations()?,
            _ => return Ok(()),
        }
        match agent {
            "ppo" | "spiking-ac" => self.train.clock("ppo.horizon", horizon),
            "apg" | "spiking-apg" => self.train.clock("apg.horizon", self.apg.horizon),
            _ => self.train.clock("task.slots", slots),
        }
    }
}

/// Most past estimates that `channel-history` extrapolates from.
pub const HISTORY_MAX: usize = 8;

/// What pilots, reports and waiting take of a slot, and how good a pilot is: symbols of 5G NR, of which the paper has
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolConfig {
    /// An OFDM symbol with its cyclic prefix, s.
    pub symbol_s: f64,
    /// Of the pilot of one beam, or of one vehicle.
    pub pilot_symbols: u32,
    /// Samples of a pilot that the receiver adds up.
    pub pilot_samples: u32,
    /// Of one vehicle's report.
    pub feedback_symbols: u32,
    /// Between the last pilot and the reports that answer it.
    pub stage_symbols: u32,
    /// Slots from one sweep to the next.
    pub sweep_period_slots: usize,
    /// Power of a vehicle's pilot, dBm.
    pub uplink_dbm: f64,
    /// Past estimates that are extrapolated.
    pub history_slots: usize,
}

impl ProtocolConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::decimal("symbol_s", 1e-9, 1.0),
        Rule::whole("pilot_symbols", 1.0, 1e6),
        Rule::whole("pilot_samples", 1.0, 1e6),
        Rule::whole("feedback_symbols", 0.0, 1e6),
        Rule::whole("stage_symbols", 0.0, 1e6),
        Rule::whole("sweep_period_slots", 1.0, 100_000.0),
        Rule::decimal("uplink_dbm", -60.0, 90.0),
        Rule::whole("history_slots", 2.0, HISTORY_MAX as f64),
    ];

    /// Power of a vehicle's pilot, W.
    pub fn uplink_w(&self) -> f64 {
        dbm_to_w(self.uplink_dbm)
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
    /// How (27) is read.
    pub reward: Reward,
    /// w_θ and w_d of `reward = "lagrangian"`, bps/Hz for each neper beyond a limit.
    pub reward_weights: [f64; 2],
    /// Which bounds (24a) and (24b) limit.
    pub limits: Limits,
    /// Whether the bounds of (27) and of its limits are capped as the echo is.
    pub caps_in_reward: bool,
    /// Δ of `beam = "tracking"` and `"zf"`.
    pub tracking_delta_rad: f64,
    /// What the raw numbers of `beam = "matrix"` are a residual on.
    pub matrix_base: MatrixBase,
    /// Size of that residual beside the base, whose elements have modulus 1.
    pub matrix_scale: f64,
    /// Factor of the regularisation of `beam = "zf"`: 0 is plain zero-forcing, 1 the rule of Peel, Hochwald and
    /// Swindlehurst.
    pub zf_regularisation: f64,
    pub distance_floor_m: f64,
    pub cos_floor: f64,
    pub cap_theta_rad: f64,
    pub cap_d_m: f64,
    pub cap_v_m_s: f64,
    /// Factor of the standard deviations of the echo, after their caps.
    pub sensing_noise: f64,
    /// Whether γ̂ is the SINR that the vehicles report; else (12) at the estimates of the echo.
    pub sinr_feedback: bool,
    /// Factor of the variances of the echo that `ekf`, `ukf` and `ekf-zf` believe.
    pub ekf_noise: f64,
    /// Whether the factor that rewards are learned with grows as the link budget falls: [`V2xTaskConfig::link_factor`].
    pub reward_by_link: bool,
    /// Observations are (x − shift)·scale of θ̂ in rad, d̂ in m, v̂ in m/s and log10(1+γ̂).
    pub obs_shift: [f64; 4],
    pub obs_scale: [f64; 4],
}

impl V2xConfig {
    /// `[ppo]` with the scale of the rewards that it learns from, as those below.
    pub fn ppo_by_link(&self) -> PpoConfig {
        PpoConfig { reward_scale: self.ppo.reward_scale * self.task.link_factor(), ..self.ppo.clone() }
    }
    /// `[ddpg]`
    pub fn ddpg_by_link(&self) -> DdpgConfig {
        DdpgConfig { reward_scale: self.ddpg.reward_scale * self.task.link_factor(), ..self.ddpg.clone() }
    }
    /// `[dqn]`
    pub fn dqn_by_link(&self) -> DqnConfig {
        DqnConfig { reward_scale: self.dqn.reward_scale * self.task.link_factor(), ..self.dqn.clone() }
    }
}

impl V2xTaskConfig {
    pub const RULES: &'static [Rule] = &[
        Rule::whole("vehicles", 1.0, KMAX as f64),
        Rule::whole("antennas_tx", 2.0, 1024.0),
        Rule::whole("antennas_rx", 1.0, 1024.0),
        Rule::whole("slots", 1.0, 100_000.0),
        Rule::decimal("carrier_hz", 1e8, 1e13),
        Rule::decimal("light_speed_m_s", 1e8, 1e9),
        Rule::decimal("slot_s", 1e-9, 1000.0),
        Rule::decimal("kappa", -1e6, 1e6).list(2, 2),
        Rule::decimal("xi", 1e-6, 1e9),
        Rule::decimal("noise_radar_dbm", -150.0, 0.0),
        Rule::decimal("noise_comm_dbm", -150.0, 0.0),
        Rule::decimal("alpha_tau_s", 1e-18, 1.0),
        Rule::decimal("alpha_mu_hz", 1e-6, 1e12),
        Rule::decimal("sigma_theta_deg", 0.0, 90.0),
        Rule::decimal("sigma_d_m", 0.0, 1e6),
        Rule::decimal("sigma_v_m_s", 0.0, 1e6),
        Rule::decimal("p_max_dbm", -60.0, 90.0),
        Rule::decimal("start_m", -1e6, 1e6).pairs(1, KMAX),
        Rule::decimal("speed_m_s", 0.0, 1e4).list(2, 2),
        Rule::decimal("path_gain_1m_db", -200.0, 0.0),
        Rule::decimal("path_loss_exponent", 0.0, 10.0),
        Rule::decimal("jain_scale", 1e-6, 1e6),
        Rule::decimal("eps_theta_rad2", 1e-20, 10.0),
        Rule::decimal("eps_d_m2", 1e-12, 1e12),
        Rule::decimal("reward_weights", 0.0, 1e6).list(2, 2),
        Rule::decimal("tracking_delta_rad", 1e-9, 10.0),
        Rule::decimal("matrix_scale", 1e-6, 1e6),
        Rule::decimal("zf_regularisation", 0.0, 1e6),
        Rule::decimal("distance_floor_m", 1e-3, 1e6),
        Rule::decimal("cos_floor", 1e-6, 1.0),
        Rule::decimal("cap_theta_rad", 1e-9, 10.0),
        Rule::decimal("cap_d_m", 1e-9, 1e6),
        Rule::decimal("cap_v_m_s", 1e-9, 1e6),
        Rule::decimal("sensing_noise", 1e-3, 1e3),
        Rule::decimal("ekf_noise", 1e-6, 1e6),
        Rule::decimal("obs_shift", -1e6, 1e6).list(4, 4),
        Rule::decimal("obs_scale", 1e-6, 1e6).list(4, 4),
    ];

    /// What no single key shows.
    fn relations(&self) -> Result<(), ConfigError> {
        let bad = |key, what: String| Err(ConfigError::value(key, what));
        if self.name != "v2x" {
            return bad("task.name", format!("'{}' is no task of this program (there is: v2x)", self.name));
        }
        let (starts, floor) = (&self.start_m, self.distance_floor_m);
        if starts.len() != self.vehicles {
            let what =
                format!("{starts:?} must list one (x, y) for each of task.vehicles = {}", self.vehicles);
            return bad("task.start_m", what);
        }
        if let Some([x, y]) = starts.iter().find(|[x, y]| *y < 1e-3 || x.hypot(*y) < floor) {
            let what = format!(
                "[{x:?}, {y:?}] must have a y of at least 0.001 and lie beyond task.distance_floor_m = {floor}"
            );
            return bad("task.start_m", what);
        }
        if self.kinematics == Kinematics::Cartesian && starts.iter().any(|[_, y]| *y != starts[0][1]) {
            let what = "must have one y for all vehicles: kinematics 'cartesian' moves them along one road";
            return bad("task.start_m", format!("{starts:?} {what}"));
        }
        let [lo, hi] = self.speed_m_s;
        if lo > hi {
            return bad("task.speed_m_s", format!("[{lo:?}, {hi:?}] must have the lower speed first"));
        }
        let kappa = self.kappa[0].hypot(self.kappa[1]);
        if kappa < 1e-6 {
            return bad("task.kappa", format!("{:?} must have a magnitude of at least 0.000001", self.kappa));
        }
        if !is_learned(self.beam) && self.beam != Beam::Direct {
            return bad("task.beam", format!("{:?} {NOT_LEARNED}", self.beam));
        }
        // Each key passed alone; together they may still leave what f32 holds, and the simulation would be full of
        // infinities.
        let p = self.params([0, 0]);
        for (key, what, x) in [
            ("task.p_max_dbm", "power", p.p_max_w),
            ("task.noise_radar_dbm", "noise", p.noise_radar_w),
            ("task.noise_comm_dbm", "noise", p.noise_comm_w),
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
                return bad(key, format!("the {what} becomes {x:e} in single precision"));
            }
        }
        Ok(())
    }

    /// Rates of beams that hit and do not disturb each other, with equal powers, to vehicles abreast of the array,
    /// added, bps/Hz.
    fn link_rate(&self) -> f64 {
        let p = self.params([0, 0]);
        let power = f64::from(p.p_max_w) / self.vehicles as f64;
        let rate = |[_, y]: &[f64; 2]| {
            let d = y.abs().max(self.distance_floor_m);
            (power * physics::comm_snr_per_watt::<f64>(&p, d)).ln_1p() / std::f64::consts::LN_2
        };
        self.start_m[..self.vehicles].iter().map(rate).sum()
    }

    /// By how much rewards are larger for learners than their section's `reward_scale` says: with `task.reward_by_link`
    /// the rate of undisturbed links of the preset `fast` over that of these, else 1. So what a critic learns keeps its
    /// size, which its rate is tuned to: without it, at 0 dBm, values are smaller than the noise of its own steps.
    pub fn link_factor(&self) -> f64 {
        static FAST: OnceLock<f64> = OnceLock::new();
        if !self.reward_by_link {
            return 1.0;
        }
        let fast = FAST.get_or_init(|| {
            let preset = V2xConfig::load(None, &[]).expect("the preset is valid");
            preset.task.link_rate()
        });
        (fast / self.link_rate()).min(1e6)
    }

    /// Sizes and code paths.
    pub fn spec(&self) -> V2xSpec {
        V2xSpec {
            vehicles: self.vehicles,
            antennas: self.antennas_tx,
            slots: self.slots,
            beam: self.beam.on(self.matrix_base),
            kinematics: self.kinematics,
            choices: Choices {
                reward: self.reward,
                limits: self.limits,
                caps_in_reward: self.caps_in_reward,
                sinr_feedback: self.sinr_feedback,
            },
        }
    }

    /// Parameters of a replica in linear units.
    pub fn params(&self, key: [u32; 2]) -> V2xParams {
        let kappa2 = self.kappa[0] * self.kappa[0] + self.kappa[1] * self.kappa[1];
        let sigma_z2 = dbm_to_w(self.noise_radar_dbm);
        let sigma_y2 = if self.matched_filter_noise { self.xi * sigma_z2 } else { sigma_z2 };
        let (tx, rx) = (self.antennas_tx as f64, self.antennas_rx as f64);
        let ([theta, d, v, sinr], [by_theta, by_d, by_v, by_sinr]) = (self.obs_shift, self.obs_scale);
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
            zf_regularisation: self.zf_regularisation as f32,
            matrix_scale: self.matrix_scale as f32,
            reward_weight_theta: self.reward_weights[0] as f32,
            reward_weight_d: self.reward_weights[1] as f32,
            sensing_noise: self.sensing_noise as f32,
            ekf_noise: self.ekf_noise as f32,
            pad: [0.0; 3],
            // The kernels know the natural logarithm.
            obs_shift: [theta, d, v, sinr / std::f64::consts::LOG10_E].map(|x| x as f32),
            obs_scale: [by_theta, by_d, by_v, std::f64::consts::LOG10_E * by_sinr].map(|x| x as f32),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LEARNERS;

    /// A policy serves another reward, limit or motion; where it would be another policy, the key is named.
    #[test]
    fn short_keys_are_written_out() {
        let of = |sets: &[&str]| {
            V2xConfig::load(None, &sets.iter().map(|s| s.to_string()).collect::<Vec<_>>()).map(|c| c.task)
        };
        let both = of(&["task.antennas=64"]).expect("valid");
        assert_eq!((both.antennas_tx, both.antennas_rx), (64, 64));
        let one = of(&["task.antennas=64", "task.antennas_rx=16"]).expect("valid");
        assert_eq!((one.antennas_tx, one.antennas_rx), (64, 16));
        let starts =
            |sets: &[&str]| of(sets).expect("valid").start_m.iter().map(|p| p[0]).collect::<Vec<_>>();
        assert_eq!(starts(&["task.vehicles=5"]), [-5.0, -15.0, -25.0, -35.0, -45.0]);
        assert_eq!(starts(&["task.vehicles=1"]), [-5.0]);
        assert_eq!(starts(&["task.vehicles=2", "task.start_m=[[-3,10],[-9,10]]"]), [-3.0, -9.0]);
        // Who names places names them all.
        assert!(of(&["task.vehicles=4", "task.start_m=[[-3,10]]"]).is_err());
        assert!(of(&["task.vehicles=99"]).is_err() && of(&["task.antennas=many"]).is_err());
        let alone = V2xConfig::load(None, &["task.vehicles=1".into()]).expect("valid");
        let more = alone.with(&["task.vehicles=3".into()]).expect("valid");
        assert_eq!(more.task.start_m, [[-5.0, 10.0], [-15.0, 10.0], [-25.0, 10.0]]);
        assert_eq!(alone.with_words("task.vehicles=3").expect("valid").task.start_m, more.task.start_m);
    }

    #[test]
    fn a_policy_serves_what_its_network_and_actions_allow() {
        let with = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
            V2xConfig::load(None, &sets).unwrap()
        };
        let (trained, agent) = (with(&[]), V2xConfig::agent("spiking-ac").unwrap());
        let other = |sets: &[&str]| with(sets).other_decision(&trained, agent);
        let serves = [
            "task.reward=indicator",
            "task.limits=episode",
            "task.kinematics=cartesian",
            "task.sensing_noise=2",
        ];
        assert!(other(&serves).is_empty(), "{:?}", other(&serves));
        assert_eq!(other(&["task.beam=tracking", "task.reward=indicator"]), ["task.beam"]);
        assert_eq!(other(&["spiking.membrane=carried", "ppo.hidden=[4]"]), ["spiking.membrane"]);
        assert_eq!(other(&["spiking.hidden=[4]", "spiking.steps=3"]), ["spiking.hidden", "spiking.steps"]);
    }

    /// The default link's factor is 1 to the bit: what was learned there is learned again.
    #[test]
    fn rewards_are_larger_where_links_are_weaker() {
        let with = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
            V2xConfig::load(None, &sets).unwrap()
        };
        let factor = |sets: &[&str]| with(sets).task.link_factor();
        assert_eq!(factor(&[]), 1.0);
        let weak = factor(&["task.p_max_dbm=0"]);
        assert!((20.0..120.0).contains(&weak), "{weak}");
        let far = factor(&["task.path_gain_1m_db=-110"]);
        assert!((far / weak - 1.0).abs() < 1e-4, "{far} is not {weak}");
        assert!(factor(&["task.p_max_dbm=60"]) < 1.0);
        assert_eq!(factor(&["preset=paper", "task.p_max_dbm=0"]), 1.0);
        assert_eq!(factor(&["task.reward_by_link=false", "task.p_max_dbm=0"]), 1.0);

        let c = with(&["task.p_max_dbm=0", "ddpg.reward_scale=0.5"]);
        let (ppo, ddpg, dqn) = (c.ppo_by_link(), c.ddpg_by_link(), c.dqn_by_link());
        assert_eq!(ppo, PpoConfig { reward_scale: c.ppo.reward_scale * weak, ..c.ppo });
        assert_eq!(ddpg, DdpgConfig { reward_scale: 0.5 * weak, ..c.ddpg });
        assert_eq!(dqn, DqnConfig { reward_scale: c.dqn.reward_scale * weak, ..c.dqn });
    }

    /// So that what the learners' defaults are changes no result of this task, and defaults have a key for every
    /// setting.
    #[test]
    fn presets_leave_nothing_to_the_defaults_of_learners() {
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        let keys = |section: &toml::Value| section.as_table().unwrap().keys().cloned().collect::<Vec<_>>();
        for (name, preset) in PRESETS {
            let preset = table(preset);
            for (section, defaults) in &table(LEARNERS) {
                assert_eq!(keys(&preset[section]), keys(defaults), "[{section}] of {name}");
            }
        }
    }
}
