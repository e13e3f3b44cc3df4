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
/// What a comparison is called by.
#[derive(Clone, Copy, Debug)]
enum Of {
    Constant,
    Kinematic,
    EveryChoice,
}

impl Of {
    /// The task with `b` environments.
    const fn batch(self, b: usize) -> misac_batch::Spec {
        let batch = match self {
            Of::Constant => MISAC,
            Of::Kinematic => misac(Uncertainty::Kinematic),
            Of::EveryChoice => CHOSEN,
        };
        misac_batch::Spec { b, ..batch }
    }
}

const MISAC: misac_batch::Spec = misac(Uncertainty::Constant);
const BEAMS: misac_gain::Spec =
    misac_gain::Spec { batch: misac_batch::Spec { b: 100, ..MISAC }, phase: Phase::Direct };
const SPATIAL: spatial_loss::Spec =
    spatial_loss::Spec { batch: misac_batch::Spec { b: 20, ..MISAC }, phase: Phase::Direct, slots: 9, m: 90 };

const PHASED: [(Phase, Of); 3] =
    [(Phase::Direct, Of::Constant), (Phase::Residual, Of::Constant), (Phase::Residual, Of::EveryChoice)];

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
        variants([Of::Constant, Of::Kinematic, Of::EveryChoice], |of| misac_step::check(gpu, &of.batch(MISAC.b), 1))
    }),
    entry!(misac_gain, BEAMS, check |gpu| {
        variants(PHASED, |(phase, of)| misac_gain::check(gpu, &misac_gain::Spec { batch: of.batch(100), phase }, 1))
    }),
    entry!(spatial_loss, SPATIAL, check |gpu| {
        let spec = |phase, of: Of| spatial_loss::Spec { batch: of.batch(20), phase, ..SPATIAL };
        variants(PHASED, |(phase, of)| spatial_loss::check(gpu, &spec(phase, of), 1))
    }),
    entry!(misac_accumulate, MISAC),
];
