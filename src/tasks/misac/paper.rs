//! The RL-H-MoE paper (heterogeneous mixture of experts for camera scheduling and analogue beams), task misac: section
//! IV and the abstract. Figures 3 to 5 print no numbers but on their axes; these are those of the text.

use crate::tasks::basis::Basis;

/// How the text gives an energy, J.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Printed {
    Exactly(f64),
    /// "∼ 30 Joules", "as low as 20 Joules".
    About(f64),
    Above(f64),
    Between(f64, f64),
}

/// One printed energy per slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintedEnergy {
    /// Figure of the paper the text refers to.
    pub figure: &'static str,
    /// Agent id of this crate.
    pub agent: &'static str,
    /// RF signal-to-noise ratio, dB.
    pub snr_db: f64,
    /// J per slot.
    pub value: Printed,
}

const fn printed(figure: &'static str, agent: &'static str, snr_db: f64, value: Printed) -> PrintedEnergy {
    PrintedEnergy { figure, agent, snr_db, value }
}

/// Every energy that the text prints for an agent.
pub const VALUES: &[PrintedEnergy] = &[
    printed("3", "vision-only", 10.0, Printed::Exactly(40.0)),
    printed("3", "radar-only", 10.0, Printed::Above(60.0)),
    printed("3", "ppo-mono", 10.0, Printed::About(30.0)),
    printed("3", "homogeneous-moe", 10.0, Printed::About(30.0)),
    printed("3", "h-moe", 10.0, Printed::Between(20.0, 25.0)),
    printed("5", "h-moe", 20.0, Printed::About(20.0)),
];

/// "an energy saving of over 40 % compared to the Vision-Only baseline", %.
pub const SAVING_PERCENT: f64 = 40.0;
/// Camera energy of a slot in which all vehicles are looked at, J.
pub const CAMERA_SLOT_J: f64 = 40.0;
/// SNR of figures 3 and 4, dB.
pub const HEADLINE_SNR_DB: f64 = 10.0;
/// Agents that the paper compares, by the ids of this crate.
pub const AGENTS: [&str; 6] =
    ["h-moe", "h-moe-no-aoi", "ppo-mono", "homogeneous-moe", "vision-only", "radar-only"];

/// What the text says. The report judges each from its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    VisionEnergy,
    VisionMae,
    RadarEnergy,
    RadarDiverges,
    PpoStagnates,
    HomogeneousStagnates,
    MaskingFails,
    ProposedEnergy,
    ProposedLowest,
    Saving,
    ProposedMae,
    EnergyFalls,
    EnergyAtHighSnr,
    FewerFrames,
    LowestEverywhere,
    Optimal,
    LinkGuaranteed,
    AgeGuaranteed,
    ReliableLinks,
    Modulus,
    Power,
    AgeingLowersGain,
    MaximisesGain,
    Conflict,
    StableConvergence,
}

impl Claim {
    /// Learned agents that it speaks of.
    pub fn agents(self) -> &'static [&'static str] {
        match self {
            Claim::VisionEnergy
            | Claim::VisionMae
            | Claim::RadarEnergy
            | Claim::RadarDiverges
            | Claim::AgeingLowersGain => &[],
            Claim::PpoStagnates => &["ppo-mono"],
            Claim::HomogeneousStagnates => &["homogeneous-moe"],
            Claim::MaskingFails => &["h-moe-no-aoi"],
            Claim::Conflict => &["ppo-mono", "homogeneous-moe"],
            Claim::ProposedLowest | Claim::LowestEverywhere => {
                &["h-moe", "h-moe-no-aoi", "ppo-mono", "homogeneous-moe"]
            }
            _ => &["h-moe"],
        }
    }

    /// Agents whose rows a verdict needs.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Claim::VisionEnergy => &["vision-only"],
            Claim::RadarEnergy | Claim::RadarDiverges => &["radar-only"],
            Claim::VisionMae => &["vision-only", "radar-only"],
            Claim::AgeingLowersGain => &["vision-only", "radar-only"],
            Claim::MaskingFails => &["h-moe-no-aoi", "vision-only", "radar-only"],
            Claim::Saving | Claim::ProposedMae | Claim::ReliableLinks => &["h-moe", "vision-only"],
            Claim::Optimal => &["h-moe", "dp-optimal"],
            _ => self.agents(),
        }
    }

    /// Rows that a verdict needs beyond metrics of evaluations, in words.
    pub fn beyond(self) -> Option<&'static str> {
        Some(match self {
            Claim::RadarDiverges => "means of single slots",
            Claim::StableConvergence | Claim::Conflict => "learning curves",
            _ => return None,
        })
    }

    /// What the verdict rests on: β(SNR) was chosen so that the fixed policies and the optimum have the printed
    /// energies.
    pub fn basis(self) -> Basis {
        match self {
            // (8) draws its errors with the variance that the age has by (7), whoever steers.
            Claim::VisionEnergy | Claim::Modulus | Claim::Power | Claim::AgeingLowersGain => {
                Basis::Construction
            }
            Claim::RadarEnergy
            | Claim::ProposedEnergy
            | Claim::EnergyAtHighSnr
            | Claim::Saving
            | Claim::EnergyFalls
            | Claim::FewerFrames => Basis::Calibration,
            _ => Basis::Measured,
        }
    }
}

/// Claim, where it stands, and the claim in the paper's sense.
pub const CLAIMS: &[(Claim, &str, &str)] = &[
    (Claim::VisionEnergy, "3", "Vision-Only costs exactly 40 J per slot"),
    (Claim::RadarEnergy, "3", "Radar-Only costs more than 60 J per slot on average"),
    (Claim::PpoStagnates, "3", "Standard PPO stagnates at about 30 J"),
    (Claim::HomogeneousStagnates, "3", "Homogeneous MoE stagnates at about 30 J"),
    (Claim::MaskingFails, "3", "RL-H-MoE without AoI fails entirely"),
    (Claim::ProposedEnergy, "3", "RL-H-MoE costs 20 to 25 J per slot"),
    (Claim::ProposedLowest, "3", "RL-H-MoE costs less than every other agent of the paper"),
    (Claim::Saving, "3", "RL-H-MoE saves over 40 % of the energy of Vision-Only"),
    (Claim::VisionMae, "4", "Vision-Only has the lowest sensing MAE"),
    (Claim::ProposedMae, "4", "The sensing MAE of RL-H-MoE nearly matches that of Vision-Only"),
    (Claim::RadarDiverges, "4", "The sensing error of Radar-Only diverges over time"),
    (Claim::EnergyFalls, "5", "The energy of RL-H-MoE falls as the SNR rises"),
    (Claim::EnergyAtHighSnr, "5", "RL-H-MoE reaches as low as 20 J at 20 dB"),
    (Claim::FewerFrames, "5", "RL-H-MoE takes fewer camera frames as the SNR rises"),
    (Claim::LowestEverywhere, "5", "RL-H-MoE costs less than every other agent of the paper at every SNR"),
    (Claim::Optimal, "Abs.", "RL-H-MoE reaches an optimal sensing policy"),
    (Claim::LinkGuaranteed, "(9e)", "RL-H-MoE keeps L_BMP ≤ Γ_misa in every slot"),
    (Claim::AgeGuaranteed, "(9d)", "RL-H-MoE keeps A_k ≤ A_max in every slot"),
    (
        Claim::ReliableLinks,
        "Abs.",
        "The links of RL-H-MoE are reliable: its sum-rate nearly matches that of Vision-Only",
    ),
    (Claim::Modulus, "(9b)", "The beams of RL-H-MoE have constant modulus"),
    (Claim::Power, "(9c)", "The beams of RL-H-MoE keep the power limit"),
    (Claim::AgeingLowersGain, "(8)", "Frames that are not taken lower the beam gain"),
    (Claim::MaximisesGain, "III-B", "The spatial expert of RL-H-MoE maximises the expected signal gain"),
    (Claim::Conflict, "III", "In a shared network the two tasks' gradients conflict"),
    (Claim::StableConvergence, "III-C", "RL-H-MoE, whose experts share no gradient, converges stably"),
];
