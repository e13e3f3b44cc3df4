use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::dqn_act::{Spec, WG, check};
use isacbench::nets::Codebook;
use isacbench::tasks::v2x::codebook::codebook;
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, V2xSpec};

fn run(r: usize, b: usize, vehicles: usize, beam: Beam, beams: usize, levels: &[f64]) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = V2xSpec {
        vehicles,
        antennas: 7,
        slots: 3,
        beam,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };
    let book = codebook(&task, None, beams, levels).expect("a learned parameterisation");
    for additive in [false, true] {
        let codebook = Codebook { additive, ..book.clone() };
        assert_all(
            &format!("R={r} B={b} K={vehicles} {beam:?} {beams} {levels:?} additive={additive}"),
            check(gpu, &Spec { r, b, codebook }, 7),
        );
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, Beam::Angles, 1, &[1.0]);
    run(3, WG - 1, 3, Beam::Angles, 32, &[0.25, 0.5, 1.0]);
    run(1, WG, 2, Beam::Tracking, 5, &[1.0, 3.0]);
    run(3, WG + 1, 3, Beam::Matrix, 7, &[0.5, 1.0]);
    run(2, 101, 8, Beam::Matrix, 3, &[1.0]);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, Beam::Angles, 2, &[1.0]);
}
