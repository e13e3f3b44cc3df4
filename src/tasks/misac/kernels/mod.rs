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
use super::physics::{Choices, MisacSpec, Phase, Uncertainty};
use crate::kernels::{Entry, entry, variants};

/// The second paper's task with 500 environments in three replicas.
const fn misac(uncertainty: Uncertainty) -> misac_batch::Spec {
    let choices = Choices::DEFAULT;
    let task = MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty, choices };
    misac_batch::Spec { r: 3, b: 500, task }
}
/// With every choice but the default's.
const CHOSEN: misac_batch::Spec = {
    let spec = misac(Uncertainty::Kinematic);
    misac_batch::Spec {
        task: MisacSpec { choices: Choices::EACH[Choices::EACH.len() - 1], ..spec.task },
        ..spec
    }
};
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
        let specs = [MISAC, misac(Uncertainty::Kinematic), CHOSEN];
        variants(specs, |spec| misac_step::check(gpu, &spec, 1))
    }),
    entry!(misac_gain, BEAMS, check |gpu| {
        let chosen = misac_batch::Spec { b: 100, ..CHOSEN };
        let specs = [(PHASES[0], BEAMS.batch), (PHASES[1], BEAMS.batch), (PHASES[1], chosen)];
        variants(specs, |(phase, batch)| misac_gain::check(gpu, &misac_gain::Spec { batch, phase }, 1))
    }),
    entry!(spatial_loss, SPATIAL, check |gpu| {
        let chosen = misac_batch::Spec { b: 20, ..CHOSEN };
        let specs = [(PHASES[0], SPATIAL.batch), (PHASES[1], SPATIAL.batch), (PHASES[1], chosen)];
        variants(specs, |(phase, batch)| spatial_loss::check(gpu, &spatial_loss::Spec { batch, phase, ..SPATIAL }, 1))
    }),
    entry!(misac_accumulate, MISAC),
];
