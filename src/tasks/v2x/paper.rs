//! The Spiking-AC paper (spiking actor-critic for integrated sensing and communication), task v2x: section V-B and
//! figures 4 to 7.

use crate::tasks::basis::Basis;

/// What a printed number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Mean sum-rate over an episode, bps/Hz.
    SumRate,
    /// Root mean square error of the angle estimate, rad.
    AngleRmse,
    /// Root mean square error of the distance estimate, m.
    DistanceRmse,
}

impl Quantity {
    /// Words of a table.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::SumRate => "mean sum-rate",
            Quantity::AngleRmse => "angle RMSE",
            Quantity::DistanceRmse => "distance RMSE",
        }
    }

    /// Unit of the printed value and of ours.
    pub fn unit(self) -> &'static str {
        match self {
            Quantity::SumRate => "bps/Hz",
            Quantity::AngleRmse => "rad",
            Quantity::DistanceRmse => "m",
        }
    }
}

/// One printed number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintedValue {
    /// Figure of the paper the text refers to.
    pub figure: &'static str,
    /// Agent id of this crate.
    pub agent: &'static str,
    pub quantity: Quantity,
    /// Power limit, dBm.
    pub p_max_dbm: f64,
    /// In `quantity`'s unit, with the digits printed.
    pub value: f64,
}

const fn printed(
    figure: &'static str,
    agent: &'static str,
    quantity: Quantity,
    p_max_dbm: f64,
    value: f64,
) -> PrintedValue {
    PrintedValue { figure, agent, quantity, p_max_dbm, value }
}

/// Every value the text prints, figures in order.
pub const VALUES: &[PrintedValue] = &[
    printed("5b", "spiking-ac", Quantity::SumRate, 40.0, 10.864),
    printed("5b", "ppo", Quantity::SumRate, 40.0, 9.058),
    printed("5b", "ddpg", Quantity::SumRate, 40.0, 6.716),
    printed("6", "spiking-ac", Quantity::AngleRmse, 0.0, 0.1654),
    printed("6", "spiking-ac", Quantity::AngleRmse, 40.0, 0.1588),
    printed("7", "spiking-ac", Quantity::DistanceRmse, 0.0, 0.62175),
    printed("7", "spiking-ac", Quantity::DistanceRmse, 40.0, 0.2),
    printed("7", "ppo", Quantity::DistanceRmse, 0.0, 0.89357),
    printed("7", "ppo", Quantity::DistanceRmse, 40.0, 0.3),
    printed("7", "ddpg", Quantity::DistanceRmse, 0.0, 1.088),
    printed("7", "ddpg", Quantity::DistanceRmse, 40.0, 0.40358),
    printed("7", "dqn", Quantity::DistanceRmse, 40.0, 4.79),
    printed("7", "random", Quantity::DistanceRmse, 40.0, 7.435),
];

/// A printed advantage of Spiking-AC in percent: of the other's sum-rate gained, or of the other's RMSE removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintedGain {
    /// Figure of the paper the text refers to.
    pub figure: &'static str,
    pub quantity: Quantity,
    /// Power limit, dBm.
    pub p_max_dbm: f64,
    /// Agent that Spiking-AC is set against.
    pub versus: &'static str,
    /// Advantage, %.
    pub percent: f64,
}

const fn gain(
    figure: &'static str,
    quantity: Quantity,
    p_max_dbm: f64,
    versus: &'static str,
    percent: f64,
) -> PrintedGain {
    PrintedGain { figure, quantity, p_max_dbm, versus, percent }
}

/// Every advantage the text prints. The three angle values without a power of their own follow one at 40 dBm in the
/// same sentence.
pub const GAINS: &[PrintedGain] = &[
    gain("5b", Quantity::SumRate, 40.0, "ppo", 19.96),
    gain("5b", Quantity::SumRate, 40.0, "ddpg", 61.7),
    gain("6", Quantity::AngleRmse, 10.0, "ppo", 1.31),
    gain("6", Quantity::AngleRmse, 40.0, "ppo", 1.46),
    gain("6", Quantity::AngleRmse, 40.0, "ddpg", 7.53),
    gain("6", Quantity::AngleRmse, 40.0, "dqn", 83.35),
    gain("6", Quantity::AngleRmse, 40.0, "random", 89.95),
    gain("7", Quantity::DistanceRmse, 40.0, "ppo", 33.33),
    gain("7", Quantity::DistanceRmse, 40.0, "ddpg", 50.37),
    gain("7", Quantity::DistanceRmse, 40.0, "dqn", 95.83),
    gain("7", Quantity::DistanceRmse, 40.0, "random", 97.31),
];

/// A printed energy factor: Spiking-AC takes `factor` times less than `versus`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintedEnergy {
    /// Figure of the paper the text refers to.
    pub figure: &'static str,
    /// What the energy is spent on.
    pub what: &'static str,
    pub versus: &'static [&'static str],
    /// Ratio of energies, no unit.
    pub factor: f64,
}

/// Every energy factor the text prints.
pub const ENERGY: &[PrintedEnergy] = &[
    PrintedEnergy { figure: "4b", what: "training episode", versus: &["ppo", "ddpg"], factor: 5.15 },
    PrintedEnergy { figure: "4b", what: "training episode", versus: &["dqn"], factor: 2.58 },
    PrintedEnergy { figure: "4c", what: "inference", versus: &["ppo"], factor: 7.125 },
];

/// What the text says without a number. The report judges each from its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    RewardOrder,
    RandomPoorest,
    FastestConvergence,
    FasterThanPpo,
    DqnFindsNothing,
    SlotPeak,
    FirstSlots,
    PpoSecond,
    DqnWorseNear,
    RateOrder,
    RateGap,
    AngleOrder,
    AngleFalls,
    DistanceOrder,
    DistanceFalls,
    DistanceWorsens,
    SensingPeak,
    KeepsLimits,
    ToleratesErrors,
    BeatsTracking,
    TrainingEnergy,
    DqnEnergy,
    InferenceEnergy,
    InferenceSavesMore,
    HalfEnergy,
    EqualEnergy,
    TwiceDqn,
    LessOverhead,
    NetRate,
}

impl Claim {
    /// Agents that it speaks of.
    pub fn agents(self) -> &'static [&'static str] {
        match self {
            Claim::FastestConvergence => &AGENTS[..4],
            Claim::SlotPeak | Claim::SensingPeak | Claim::KeepsLimits | Claim::ToleratesErrors => {
                &AGENTS[..1]
            }
            Claim::FasterThanPpo => &AGENTS[..2],
            Claim::BeatsTracking => &["spiking-ac", TRACKING],
            Claim::DqnWorseNear | Claim::DqnFindsNothing => &["dqn"],
            Claim::DistanceFalls => &AGENTS[..3],
            Claim::DistanceWorsens => &["dqn", "random"],
            Claim::TrainingEnergy => &AGENTS[..3],
            Claim::DqnEnergy => &["spiking-ac", "dqn"],
            Claim::InferenceEnergy | Claim::InferenceSavesMore => &AGENTS[..2],
            Claim::HalfEnergy => &AGENTS[..4],
            Claim::EqualEnergy => &["ppo", "ddpg"],
            Claim::TwiceDqn => &["ppo", "ddpg", "dqn"],
            Claim::LessOverhead | Claim::NetRate => &PROTOCOLS,
            _ => &AGENTS,
        }
    }

    /// Rows that a verdict needs beyond metrics of evaluations, in words.
    pub fn beyond(self) -> Option<&'static str> {
        Some(match self {
            Claim::FastestConvergence | Claim::FasterThanPpo | Claim::DqnFindsNothing => "learning curves",
            Claim::SlotPeak
            | Claim::FirstSlots
            | Claim::PpoSecond
            | Claim::DqnWorseNear
            | Claim::SensingPeak => "means of single slots",
            Claim::TrainingEnergy
            | Claim::DqnEnergy
            | Claim::InferenceEnergy
            | Claim::InferenceSavesMore
            | Claim::HalfEnergy
            | Claim::EqualEnergy
            | Claim::TwiceDqn => "energies of networks",
            Claim::ToleratesErrors => "evaluations with other errors",
            _ => return None,
        })
    }

    /// What the verdict rests on.
    pub fn basis(self) -> Basis {
        match self {
            // The echo's noise falls with the power of an aligned beam, whatever is learned; symbols of pilots and
            // reports decide the overhead, and sizes of networks the others.
            Claim::AngleFalls | Claim::LessOverhead | Claim::EqualEnergy | Claim::TwiceDqn => {
                Basis::Construction
            }
            _ => Basis::Measured,
        }
    }
}

/// First and last slot of the span in which figure 5a peaks ("40-60 time steps").
pub const PEAK_SLOTS: (u32, u32) = (40, 60);
/// Slots in which Spiking-AC leads figure 5a ("the first 40 time steps").
pub const LEAD_SLOTS: u32 = 40;
/// Slots that are averaged where a course over the slots is to have its highest or lowest point.
pub const SMOOTH_SLOTS: usize = 5;
/// What "tolerates estimation errors" is read as: this share of the sum-rate is left with each of
/// `reproduce.error_factors`.
pub const TOLERATED_SHARE: f64 = 0.9;
/// What "ensures sensing accuracy" is read as: (24a) and (24b) hold in this share of the episodes.
pub const KEPT_SHARE: f64 = 0.99;
/// The conventional tracking that Spiking-AC is set against.
pub const TRACKING: &str = "ekf";
/// What "about" and a printed factor are read as: within this share of it.
pub const ABOUT: f64 = 0.1;
/// What "identical" is read as.
pub const IDENTICAL: f64 = 0.01;
/// Power of figures 5a and of most printed values, dBm.
pub const HEADLINE_DBM: f64 = 40.0;
/// Agents that the paper compares, by the ids of this crate.
pub const AGENTS: [&str; 5] = ["spiking-ac", "ppo", "ddpg", "dqn", "random"];

/// Figure 2: the one-step scheme, and the protocols that it is set against.
pub const PROTOCOLS: [&str; 4] = ["spiking-ac", "beam-training", "two-stage", "channel-history"];

/// Claim, figure and the claim in the paper's sense.
pub const CLAIMS: &[(Claim, &str, &str)] = &[
    (Claim::RewardOrder, "4a", "Reward after training: Spiking-AC ≥ PPO > DDPG > DQN and Random"),
    (Claim::RandomPoorest, "4a", "Random earns the least reward"),
    (Claim::FastestConvergence, "4a", "Spiking-AC and PPO converge fastest"),
    (Claim::FasterThanPpo, "4a", "Spiking-AC converges in fewer slots than PPO"),
    (Claim::DqnFindsNothing, "4a", "DQN finds no better policy in its training"),
    (Claim::SlotPeak, "5a", "The sum-rate rises until slots 40–60 and falls after them"),
    (Claim::FirstSlots, "5a", "Spiking-AC has the highest sum-rate in the first 40 slots"),
    (Claim::PpoSecond, "5a", "PPO has the second-highest sum-rate in the first 40 slots"),
    (Claim::DqnWorseNear, "5a", "DQN does worse while the vehicles are near than while they are far"),
    (Claim::RateOrder, "5b", "Spiking-AC has the highest sum-rate at every P_max"),
    (Claim::RateGap, "5b", "The lead of Spiking-AC shrinks as P_max falls"),
    (Claim::AngleOrder, "6", "Spiking-AC has the lowest angle RMSE at every P_max"),
    (Claim::AngleFalls, "6", "The angle RMSE of every agent falls as P_max rises"),
    (Claim::DistanceOrder, "7", "Spiking-AC has the lowest distance RMSE at every P_max"),
    (Claim::DistanceFalls, "7", "The distance RMSE of Spiking-AC, PPO and DDPG falls as P_max rises"),
    (Claim::DistanceWorsens, "7", "The distance RMSE of DQN and Random is worse at the highest P_max"),
    (Claim::SensingPeak, "V-B", "The errors of angle and distance of Spiking-AC are least in slots 40–60"),
    (Claim::KeepsLimits, "(24)", "Spiking-AC keeps the sensing limits (24a) and (24b)"),
    (Claim::ToleratesErrors, "III-A", "Spiking-AC tolerates errors of its estimates"),
    (
        Claim::BeatsTracking,
        "I-B",
        "Spiking-AC has a higher sum-rate than tracking by an extended Kalman filter",
    ),
    (Claim::TrainingEnergy, "4b", "Training Spiking-AC takes 5.15 times less energy than PPO and DDPG"),
    (Claim::DqnEnergy, "4b", "Training Spiking-AC takes 2.58 times less energy than DQN"),
    (
        Claim::InferenceEnergy,
        "4c",
        "An inference of Spiking-AC takes 7.125 times less energy than one of PPO",
    ),
    (Claim::InferenceSavesMore, "4b, 4c", "Inference saves more than training"),
    (Claim::HalfEnergy, "text", "Spiking-AC takes over 50 % less energy than every other agent"),
    (Claim::EqualEnergy, "4b", "PPO and DDPG take the same energy"),
    (Claim::TwiceDqn, "4b", "PPO and DDPG take about twice the energy of DQN"),
    (
        Claim::LessOverhead,
        "2",
        "One-step beamforming from sensing data has less overhead than beam training, two-stage prediction and past channels",
    ),
    (
        Claim::NetRate,
        "2",
        "Net of overhead, Spiking-AC has a higher sum-rate than those three at every P_max",
    ),
];
