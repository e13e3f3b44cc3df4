use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::v2x::kernels::v2x_batch;
use isacbench::tasks::v2x::kernels::v2x_reference::{Spec, WG, check};
use isacbench::tasks::v2x::physics::{Choices, Kinematics, V2xSpec};
use isacbench::tasks::v2x::reference::Reference;

fn run(who: Reference, r: usize, b: usize, vehicles: usize, kinematics: Kinematics) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = V2xSpec {
        vehicles,
        antennas: 32,
        slots: 20,
        beam: who.beam(),
        kinematics,
        choices: Choices::DEFAULT,
    };
    let spec = Spec { batch: v2x_batch::Spec { r, b, task }, who };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn random() {
    run(Reference::Random, 1, 1, 1, Kinematics::Paper);
    run(Reference::Random, 3, 257, 3, Kinematics::Paper);
    run(Reference::Random, 1, WG, 5, Kinematics::Paper);
}

#[test]
fn last_estimate() {
    run(Reference::LastEstimate, 3, WG - 1, 3, Kinematics::Paper);
    run(Reference::LastEstimate, 1, 1, 5, Kinematics::Cartesian);
}

#[test]
fn ekf() {
    run(Reference::Ekf, 1, 1, 1, Kinematics::Cartesian);
    run(Reference::Ekf, 3, WG + 1, 3, Kinematics::Paper);
    run(Reference::Ekf, 1, WG, 5, Kinematics::Cartesian);
}

#[test]
fn ukf() {
    run(Reference::Ukf, 1, 1, 1, Kinematics::Cartesian);
    run(Reference::Ukf, 3, WG + 1, 3, Kinematics::Paper);
    run(Reference::Ukf, 1, WG, 5, Kinematics::Cartesian);
}

#[test]
fn zero_forcing_at_the_prediction() {
    run(Reference::EkfZf, 1, 1, 1, Kinematics::Cartesian);
    run(Reference::EkfZf, 3, WG + 1, 3, Kinematics::Paper);
    run(Reference::EkfZf, 1, WG, 5, Kinematics::Cartesian);
}

#[test]
fn genie() {
    run(Reference::Genie, 3, 31, 3, Kinematics::Cartesian);
    run(Reference::Genie, 1, WG + 1, 5, Kinematics::Paper);
}

#[test]
fn zero_forcing() {
    run(Reference::GenieZf, 1, 1, 1, Kinematics::Paper);
    run(Reference::GenieZf, 3, 257, 3, Kinematics::Paper);
    run(Reference::GenieZf, 1, WG - 1, 5, Kinematics::Cartesian);
}
