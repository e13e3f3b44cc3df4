use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::kernels::misac_step::{Spec, WG, check};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

fn run(r: usize, b: usize, vehicles: usize, uncertainty: Uncertainty) {
    of_choices(r, b, vehicles, uncertainty, Choices::DEFAULT);
}

fn of_choices(r: usize, b: usize, vehicles: usize, uncertainty: Uncertainty, choices: Choices) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = MisacSpec { vehicles, antennas: 64, slots: 20, uncertainty, choices };
    let what = format!("[{r},{b},{vehicles}], {uncertainty:?}, {choices:?}");
    assert_all(&what, check(gpu, &Spec { r, b, task }, 7));
}

#[test]
fn constant_uncertainty() {
    run(1, 1, 1, Uncertainty::Constant);
    run(3, WG - 1, 3, Uncertainty::Constant);
    run(1, WG, 4, Uncertainty::Constant);
    run(3, 257, 5, Uncertainty::Constant);
}

#[test]
fn kinematic_uncertainty() {
    run(3, WG + 1, 4, Uncertainty::Kinematic);
    run(1, 31, 8, Uncertainty::Kinematic);
}

#[test]
fn every_choice() {
    for choices in Choices::EACH {
        of_choices(3, WG - 1, 5, Uncertainty::Constant, choices);
        of_choices(1, WG + 1, 8, Uncertainty::Kinematic, choices);
    }
}
