use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::v2x::kernels::v2x_step::{Spec, V2xStep, WG, check};
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, Limits, Reward, V2xSpec};

fn spec(r: usize, b: usize, vehicles: usize, antennas: usize, beam: Beam, kinematics: Kinematics) -> Spec {
    Spec {
        r,
        b,
        task: V2xSpec { vehicles, antennas, slots: 20, beam, kinematics, choices: Choices::DEFAULT },
    }
}

fn run(spec: &Spec) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("{spec:?}"), check(gpu, spec, 7));
}

#[test]
fn angles() {
    run(&spec(1, 1, 1, 32, Beam::Angles, Kinematics::Paper));
    run(&spec(3, 257, 3, 32, Beam::Angles, Kinematics::Cartesian));
    run(&spec(1, WG, 5, 16, Beam::Angles, Kinematics::Paper));
}

#[test]
fn tracking() {
    run(&spec(3, WG + 1, 3, 32, Beam::Tracking, Kinematics::Paper));
    run(&spec(1, WG - 1, 5, 64, Beam::Tracking, Kinematics::Cartesian));
}

#[test]
fn matrix() {
    run(&spec(1, 1, 1, 8, Beam::Matrix, Kinematics::Paper));
    run(&spec(3, WG - 1, 3, 32, Beam::Matrix, Kinematics::Paper));
    run(&spec(1, WG + 1, 5, 17, Beam::Matrix, Kinematics::Cartesian));
    run(&spec(2, WG + 1, 3, 32, Beam::Direct, Kinematics::Paper));
}

/// Matrices as residuals on steering and on zero-forcing at the last estimates.
#[test]
fn matrix_on_a_base() {
    run(&spec(1, 1, 1, 8, Beam::OnSteering, Kinematics::Paper));
    run(&spec(3, WG + 1, 3, 32, Beam::OnSteering, Kinematics::Paper));
    run(&spec(1, WG - 1, 5, 17, Beam::OnSteering, Kinematics::Cartesian));
    run(&spec(1, 1, 1, 32, Beam::OnZf, Kinematics::Paper));
    run(&spec(3, WG + 1, 3, 32, Beam::OnZf, Kinematics::Paper));
    run(&spec(1, 4 * WG + 1, 5, 64, Beam::OnZf, Kinematics::Cartesian));
}

#[test]
fn zf() {
    run(&spec(1, 1, 1, 32, Beam::Zf, Kinematics::Paper));
    run(&spec(3, WG + 1, 3, 32, Beam::Zf, Kinematics::Paper));
    run(&spec(1, WG - 1, 5, 64, Beam::Zf, Kinematics::Cartesian));
}

#[test]
fn steer() {
    run(&spec(3, 257, 3, 32, Beam::Steer, Kinematics::Paper));
    run(&spec(1, 31, 8, 32, Beam::Steer, Kinematics::Cartesian));
}

#[test]
fn span() {
    run(&spec(3, WG, 3, 32, Beam::Span, Kinematics::Paper));
    run(&spec(1, 31, 5, 64, Beam::Span, Kinematics::Cartesian));
}

/// Both other rewards, capped bounds, and γ̂ without feedback.
#[test]
fn choices() {
    use Reward::{Indicator, Lagrangian, Product};
    for (beam, reward, caps_in_reward, sinr_feedback) in [
        (Beam::Angles, Indicator, false, false),
        (Beam::Angles, Lagrangian, false, true),
        (Beam::Tracking, Lagrangian, true, false),
        (Beam::Matrix, Product, true, false),
        (Beam::Zf, Indicator, true, false),
        (Beam::Steer, Product, false, false),
        (Beam::Span, Lagrangian, true, false),
    ] {
        let mut spec = spec(3, WG + 1, 3, 32, beam, Kinematics::Paper);
        spec.task.choices = Choices { reward, limits: Limits::Slot, caps_in_reward, sinr_feedback };
        run(&spec);
    }
}

/// Limits of an episode, whose past is part of the state.
#[test]
fn limits_of_an_episode() {
    for (beam, reward, caps_in_reward) in [
        (Beam::Angles, Reward::Product, false),
        (Beam::Steer, Reward::Lagrangian, false),
        (Beam::Tracking, Reward::Indicator, true),
    ] {
        let mut spec = spec(3, WG + 1, 3, 32, beam, Kinematics::Paper);
        spec.task.choices = Choices { reward, limits: Limits::Episode, caps_in_reward, sinr_feedback: true };
        run(&spec);
    }
}

/// Software Vulkan would cut the loops of such a thread short without a word.
#[test]
fn software_refuses_loops_it_would_cut() {
    let Some(gpu) = gpu_or_skip() else { return };
    let huge = spec(1, 1, 8, 1024, Beam::Matrix, Kinematics::Paper);
    if gpu.is_software() {
        let error =
            V2xStep::new(gpu, &huge).err().expect("73,728 iterations are above the limit").to_string();
        assert!(error.contains("loop iterations"), "{error}");
    } else {
        run(&huge);
    }
}
