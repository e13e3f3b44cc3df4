//! Rows of task misac. Every row names its run by the same seven keys: agent, algorithm, phase, uncertainty, variant, SNR and seed.

use crate::run::rows::nan_as_null;
use serde::{Deserialize, Serialize};

/// One update of one training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacCurveRow {
    /// Agent id, e.g. `h-moe`.
    pub agent: String,
    /// `a2c` or `ppo`; empty for agents that do not learn.
    pub algorithm: String,
    /// Meaning of the phase expert's outputs, `direct` or `residual`; empty for agents without one.
    pub phase: String,
    /// `constant` or `kinematic`.
    pub uncertainty: String,
    /// What else an experiment varies, such as `t_proc=2`; else empty.
    pub variant: String,
    /// RF signal-to-noise ratio, dB.
    pub snr_db: f64,
    pub seed: u32,
    /// Number of the update, from 0.
    pub update: u32,
    /// Environment steps taken by this replica when the update ended, steps.
    pub env_steps: u64,
    /// Mean reward (11) per slot of the update's rollout, J.
    #[serde(with = "nan_as_null")]
    pub reward: f64,
    /// Mean energy (3) per slot, J.
    #[serde(with = "nan_as_null")]
    pub energy_j: f64,
    /// Mean L_BMP, 0 to 1.
    #[serde(with = "nan_as_null")]
    pub l_bmp: f64,
    /// Share of slots with L_BMP above Γ_misa, 0 to 1.
    #[serde(with = "nan_as_null")]
    pub share_over_gamma: f64,
    /// Mean |h^H v|² over vehicles and the slots that entered L_spat, over M, in which phases matched to a channel of equal magnitudes give 1.
    #[serde(with = "nan_as_null")]
    pub beam_gain: f64,
    /// Policy loss and value loss, averaged over the update's minibatches.
    #[serde(with = "nan_as_null")]
    pub policy_loss: f64,
    #[serde(with = "nan_as_null")]
    pub value_loss: f64,
    /// Entropy of the schedule, nat.
    #[serde(with = "nan_as_null")]
    pub entropy: f64,
    /// Euclidean norms of the gradients before any clipping, averaged over the update.
    #[serde(with = "nan_as_null")]
    pub grad_norm_policy: f64,
    #[serde(with = "nan_as_null")]
    pub grad_norm_critic: f64,
    #[serde(with = "nan_as_null")]
    pub grad_norm_spatial: f64,
    /// Cosine between the gradients of the policy loss and of L_spat on the parameters that both reach; NaN where no parameter is shared.
    #[serde(with = "nan_as_null")]
    pub gradient_cosine: f64,
}

/// One metric of one evaluated agent, SNR and seed (long format); names in [`crate::tasks::misac::evaluate::METRICS`], and what schedules know of themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacEvalRow {
    pub agent: String,
    pub algorithm: String,
    pub phase: String,
    pub uncertainty: String,
    pub variant: String,
    pub snr_db: f64,
    pub seed: u32,
    /// Number of episodes behind `mean`.
    pub episodes: u64,
    /// Name of the metric, with its unit as a suffix where it has one.
    pub metric: String,
    /// Mean over episodes, slots and vehicles, in the metric's unit; of `age_max` and `modulus_error` the largest value of all.
    #[serde(with = "nan_as_null")]
    pub mean: f64,
    /// Standard error of `mean` over episodes; NaN for a single episode, a maximum and an exact value.
    #[serde(with = "nan_as_null")]
    pub std_error: f64,
}

/// Means in one slot of the episode, over the episodes of one evaluated agent, SNR and seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacSlotRow {
    pub agent: String,
    pub algorithm: String,
    pub phase: String,
    pub uncertainty: String,
    pub variant: String,
    pub snr_db: f64,
    pub seed: u32,
    /// Slot of the episode, from 0.
    pub slot: u32,
    /// Mean energy (3), J.
    #[serde(with = "nan_as_null")]
    pub energy_j: f64,
    /// Mean absolute angle error over vehicles, degrees.
    #[serde(with = "nan_as_null")]
    pub mae_deg: f64,
}

/// Energy of one agent's decision networks by one method of [`crate::energy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisacEnergyRow {
    pub agent: String,
    pub algorithm: String,
    pub phase: String,
    pub uncertainty: String,
    pub variant: String,
    pub snr_db: f64,
    pub seed: u32,
    /// `inference` (one slot's decision and beams).
    pub stage: String,
    /// `scheduler`, `phases`, …; `all` where they cannot be told apart.
    pub network: String,
    /// `paper`, `effective-ops`, `memory-aware` or `measured`.
    pub method: String,
    /// Number format of the constants and what else was chosen; `device` where it was measured.
    pub constants: String,
    /// J per slot; NaN where the method gives none.
    #[serde(with = "nan_as_null")]
    pub energy_j: f64,
    /// Why there is no energy, or how it was measured; else empty.
    pub reason: String,
}

/// Everything a report on task misac is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MisacRows {
    pub curves: Vec<MisacCurveRow>,
    pub evals: Vec<MisacEvalRow>,
    pub slots: Vec<MisacSlotRow>,
    pub energy: Vec<MisacEnergyRow>,
}
