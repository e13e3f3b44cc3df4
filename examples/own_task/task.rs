//! What commands ask of the task: its configuration and its agents.

use crate::physics::{A, M, O, S, SUM_RATE, UPPER_BOUND, UavEnv, UavKernel, UavParams};
use isacbench::config::{ConfigError, DdpgConfig, EvaluateConfig, Layered, PpoConfig, Rule, TrainConfig};
use isacbench::env::Env;
use isacbench::env::lanes::Physics;
use isacbench::kernels::{Entry, entry};
use isacbench::learn::{Algorithm, OffPolicySpec, PpoSpec};
use isacbench::run::check;
use isacbench::run::evaluate::{Acts, Moment};
use isacbench::run::rows::{Named, Schema};
use isacbench::run::task::{Acting, Agent, Common, Kind, Swept, Task, Unit};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UavConfig {
    pub preset: String,
    pub task: UavTaskConfig,
    pub ppo: PpoConfig,
    pub ddpg: DdpgConfig,
    pub train: TrainConfig,
    pub evaluate: EvaluateConfig,
}

/// Section `[task]`; `uav.toml` says what the keys are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UavTaskConfig {
    pub name: String,
    pub slots: usize,
    pub side_m: f64,
    pub height_m: f64,
    pub reach_m: f64,
    pub p_max_dbm: f64,
    pub user_1m_db: f64,
    pub echo_1m_db: f64,
    pub snr_min_db: f64,
    pub penalty: f64,
}

const TASK_RULES: &[Rule] = &[
    Rule::whole("slots", 1.0, 100_000.0),
    Rule::decimal("side_m", 1.0, 1e5),
    Rule::decimal("height_m", 1.0, 1e4),
    Rule::decimal("reach_m", 1e-3, 1e5),
    Rule::decimal("p_max_dbm", -60.0, 90.0),
    Rule::decimal("user_1m_db", -120.0, 240.0),
    Rule::decimal("echo_1m_db", -120.0, 240.0),
    Rule::decimal("snr_min_db", -50.0, 60.0),
    Rule::decimal("penalty", 0.0, 1e3),
];

impl Layered for UavConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[("uav", include_str!("uav.toml"))];
    const RULES: &'static [(&'static str, &'static [Rule])] = &[
        ("task", TASK_RULES),
        ("ppo", PpoConfig::RULES),
        ("ddpg", DdpgConfig::RULES),
        ("train", TrainConfig::RULES),
        ("evaluate", EvaluateConfig::RULES),
    ];

    isacbench::through_serde!();

    fn relations_for(&self, agent: &str) -> Result<(), ConfigError> {
        match agent {
            "ppo" => self.ppo.relations(self.task.slots),
            "ddpg" => self.ddpg.relations(),
            _ => Ok(()),
        }
    }
}

impl UavConfig {
    /// Replicas in linear units.
    pub fn params(units: &[Unit<Self>]) -> Vec<UavParams> {
        let params = |u: &Unit<Self>| {
            let t = &u.config.task;
            let snr_1m = |db: f64| 10f64.powf((t.p_max_dbm + db) / 10.0);
            UavParams {
                key: [u.seed, 0],
                half_m: (t.side_m / 2.0) as f32,
                height_m: t.height_m as f32,
                reach_m: t.reach_m as f32,
                comm_m2: (snr_1m(t.user_1m_db) / 2.0) as f32,
                echo_m4: snr_1m(t.echo_1m_db) as f32,
                snr_min_db: t.snr_min_db as f32,
                penalty: t.penalty as f32,
            }
        };
        units.iter().map(params).collect()
    }
}

/// What learned agents are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// Stays where it is; half of the power senses.
    Hover,
    /// Flies straight to the middle between the target and the users' middle; senses with just the power that the
    /// constraint asks for.
    Direct,
    /// The sum-rate that no flight exceeds.
    Bound,
}

/// A rule with the parameters of the replicas that it flies in.
struct Flight(Fixed, Vec<UavParams>);

impl Acts for Flight {
    fn act(&self, now: &Moment, _: &mut [f32], action: &mut [f32]) {
        let p = &self.1[now.at.replica];
        for (action, obs) in action.chunks_mut(A).zip(now.obs.chunks(O)) {
            action.copy_from_slice(&self.0.act(p, obs));
        }
    }
}

impl Fixed {
    /// The action `[A]` on an observation `[O]`.
    pub fn act(self, p: &UavParams, obs: &[f32]) -> [f32; A] {
        if self != Fixed::Direct {
            return [0.0; A];
        }
        let (mut velocity, mut d2) = ([0f32; 2], p.height_m * p.height_m);
        let way = [0, 1].map(|i| p.half_m * (obs[6 + i] + (obs[2 + i] + obs[4 + i]) / 2.0) / 2.0);
        // Slots that the way takes along its longer axis, at 0.99 of the speed: all of it would be an infinite action.
        let slots = (way[0].abs().max(way[1].abs()) / (0.99 * p.reach_m)).max(1.0);
        for i in 0..2 {
            velocity[i] = (way[i] / slots / p.reach_m).atanh();
            d2 += (p.half_m * obs[6 + i] - way[i] / slots).powi(2);
        }
        let share = (10f32.powf(p.snr_min_db / 10.0) * d2 * d2 / p.echo_m4).clamp(0.001, 0.99);
        [velocity[0], velocity[1], (share / (1.0 - share)).ln()]
    }
}

const AGENTS: &[Agent<UavConfig>] = &[
    Agent {
        id: "ppo",
        summary: "PPO, tanh networks, Gaussian policy",
        kind: Kind::Learned(|config, env| Algorithm::Ppo(PpoSpec::mlp(&config.ppo, env))),
    },
    Agent {
        id: "ddpg",
        summary: "DDPG, ReLU networks, deterministic actor with replay",
        kind: Kind::Learned(|config, env| Algorithm::OffPolicy(OffPolicySpec::ddpg(&config.ddpg, env))),
    },
    Agent { id: "hover", summary: "stands still, half of the power senses", kind: Kind::Fixed(Fixed::Hover) },
    Agent { id: "direct", summary: "flies straight to the middle", kind: Kind::Fixed(Fixed::Direct) },
    Agent { id: "bound", summary: "sum-rate that no flight exceeds", kind: Kind::Fixed(Fixed::Bound) },
];

/// The column that holds a metric.
const fn column(metric: usize) -> Named {
    Named::of(<UavParams as Physics<S, O, A, M>>::METRICS[metric])
}

impl Task for UavConfig {
    type Fixed = Fixed;

    const SCHEMA: &'static Schema = &Schema {
        task: "uav",
        labels: &[Named::new("variant", "What an experiment varies; else empty.")],
        swept: Named::new("p_max_dbm", "Transmit power, dBm."),
        curve: &[column(0), column(SUM_RATE), column(2)],
        learner: &["policy_loss", "value_loss", "entropy", "grad_norm_actor", "grad_norm_critic"],
        slots: &[column(SUM_RATE)],
    };
    const SWEPT: Swept = Swept { unit: "dBm", noun: "powers" };
    const LEARNER: &'static str = "ppo";
    const METRIC: &'static str = column(SUM_RATE).name;

    fn agents() -> &'static [Agent<Self>] {
        AGENTS
    }
    fn common(&self) -> Common<'_> {
        Common { train: &self.train, evaluate: self.evaluate, checkpoint_every: 20 }
    }
    fn swept(&self) -> f64 {
        self.task.p_max_dbm
    }
    fn at(&self, p_max_dbm: f64) -> Self {
        UavConfig { task: UavTaskConfig { p_max_dbm, ..self.task.clone() }, ..self.clone() }
    }
    fn env(&self, units: &[Unit<Self>]) -> Arc<dyn Env> {
        Arc::new(UavEnv { slots: self.task.slots, params: Self::params(units) })
    }
    fn acting(&self, fixed: Fixed, units: &[Unit<Self>]) -> Option<Acting> {
        let bound = (fixed == Fixed::Bound).then_some((SUM_RATE, UPPER_BOUND));
        Some(Acting { env: self.env(units), rule: Arc::new(Flight(fixed, Self::params(units))), bound })
    }
    fn kernels() -> &'static [Entry] {
        const { &[entry!(UavKernel, check::DEFAULT)] }
    }
}
