use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::v2x::kernels::v2x_scene::{Spec, WG, check};
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, V2xSpec};

fn run(r: usize, b: usize, vehicles: usize, kinematics: Kinematics) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = V2xSpec {
        vehicles,
        antennas: 32,
        slots: 20,
        beam: Beam::Angles,
        kinematics,
        choices: Choices::DEFAULT,
    };
    let spec = Spec { r, b, task };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn awkward_sizes() {
    run(1, 1, 1, Kinematics::Paper);
    run(3, WG + 1, 3, Kinematics::Paper);
    run(2, WG - 1, 5, Kinematics::Cartesian);
}
