//! Kernels of task misac.

pub mod misac_accumulate;
pub mod misac_batch;
pub mod misac_gain;
pub mod misac_reset;
pub mod misac_schedule;
pub mod misac_step;
mod shared;
pub mod spatial_loss;

pub use shared::SHARED;

use super::dp::Rule;
use super::physics::{MisacSpec, Phase, Uncertainty};
use crate::kernels::{Entry, entry, variants};

/// The second paper's task with 500 environments in three replicas.
const fn misac(uncertainty: Uncertainty) -> misac_batch::Spec {
    misac_batch::Spec { r: 3, b: 500, task: MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty } }
}
const MISAC: misac_batch::Spec = misac(Uncertainty::Constant);
const BEAMS: misac_gain::Spec =
    misac_gain::Spec { batch: misac_batch::Spec { b: 100, ..MISAC }, phase: Phase::Direct };
const SPATIAL: spatial_loss::Spec =
    spatial_loss::Spec { batch: misac_batch::Spec { b: 20, ..MISAC }, phase: Phase::Direct, slots: 9, m: 90 };

const PHASES: [Phase; 2] = [Phase::Direct, Phase::Residual];

/// Every kernel of this task, in data-flow order.
#[rustfmt::skip]
pub const REGISTRY: &[Entry] = &[
    entry!(misac_reset, MISAC),
    entry!(misac_schedule, misac_schedule::Spec { batch: MISAC, rule: Rule::Table, age_max: 10 }, check |gpu| {
        let of = |rule| misac_schedule::Spec { batch: MISAC, rule, age_max: 10 };
        let rules = [Rule::Always, Rule::Never, Rule::Periodic, Rule::Table, Rule::Plan];
        variants(rules, |rule| misac_schedule::check(gpu, &of(rule), 1))
    }),
    entry!(misac_step, MISAC, check |gpu| {
        variants([Uncertainty::Constant, Uncertainty::Kinematic], |u| misac_step::check(gpu, &misac(u), 1))
    }),
    entry!(misac_gain, BEAMS, check |gpu| {
        variants(PHASES, |phase| misac_gain::check(gpu, &misac_gain::Spec { phase, ..BEAMS }, 1))
    }),
    entry!(spatial_loss, SPATIAL, check |gpu| {
        variants(PHASES, |phase| spatial_loss::check(gpu, &spatial_loss::Spec { phase, ..SPATIAL }, 1))
    }),
    entry!(misac_accumulate, MISAC),
];
