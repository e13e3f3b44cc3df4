use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::kernels::misac_batch::Spec as BatchSpec;
use isacbench::tasks::misac::kernels::misac_gain::{Spec, WG, check};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Phase, Uncertainty};

fn run(r: usize, b: usize, vehicles: usize, antennas: usize, phase: Phase, uncertainty: Uncertainty) {
    let task = MisacSpec { vehicles, antennas, slots: 20, uncertainty, choices: Choices::DEFAULT };
    of_task(r, b, phase, task);
}

fn of_task(r: usize, b: usize, phase: Phase, task: MisacSpec) {
    let Some(gpu) = gpu_or_skip() else { return };
    let batch = BatchSpec { r, b, task };
    assert_all(&format!("[{r},{b}], {task:?}, {phase:?}"), check(gpu, &Spec { batch, phase }, 7));
}

#[test]
fn every_choice() {
    for choices in Choices::EACH {
        let task =
            MisacSpec { vehicles: 3, antennas: 17, slots: 20, uncertainty: Uncertainty::Constant, choices };
        of_task(3, 5, Phase::Direct, task);
        let task = MisacSpec { antennas: 8, uncertainty: Uncertainty::Kinematic, ..task };
        of_task(2, 7, Phase::Residual, task);
    }
}

#[test]
fn direct_phases() {
    run(1, 1, 1, 1, Phase::Direct, Uncertainty::Constant);
    run(3, WG / 4 + 1, 4, 64, Phase::Direct, Uncertainty::Constant);
    run(1, WG - 1, 3, 17, Phase::Direct, Uncertainty::Kinematic);
}

#[test]
fn residual_phases() {
    run(1, WG + 1, 1, 31, Phase::Residual, Uncertainty::Kinematic);
    run(3, 21, 3, 64, Phase::Residual, Uncertainty::Constant);
    run(1, 5, 8, 256, Phase::Residual, Uncertainty::Constant);
}
