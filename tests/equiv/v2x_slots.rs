use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::v2x::kernels::v2x_slots::{Spec, V2xSlots, WG, check};
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, Limits, Reward, V2xSpec};

fn spec(r: usize, b: usize, vehicles: usize, beam: Beam, kinematics: Kinematics) -> Spec {
    Spec {
        r,
        b,
        task: V2xSpec { vehicles, antennas: 32, slots: 20, beam, kinematics, choices: Choices::DEFAULT },
    }
}

fn run(spec: &Spec) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("{spec:?}"), check(gpu, spec, 7));
}

#[test]
fn angles() {
    run(&spec(1, 1, 1, Beam::Angles, Kinematics::Paper));
    run(&spec(3, 257, 3, Beam::Angles, Kinematics::Cartesian));
}

#[test]
fn tracking() {
    run(&spec(3, WG + 1, 3, Beam::Tracking, Kinematics::Paper));
    run(&spec(1, WG - 1, 5, Beam::Tracking, Kinematics::Cartesian));
}

/// γ̂ and the past of an episode are carried from one slot to the next on the device.
#[test]
fn choices() {
    let mut spec = spec(3, WG + 1, 3, Beam::Tracking, Kinematics::Paper);
    for (limits, caps_in_reward) in [(Limits::Slot, true), (Limits::Episode, false)] {
        spec.task.choices =
            Choices { reward: Reward::Lagrangian, limits, caps_in_reward, sinr_feedback: false };
        run(&spec);
    }
}

#[test]
fn matrix() {
    for beam in [Beam::Matrix, Beam::OnSteering, Beam::OnZf] {
        run(&spec(2, WG, 3, beam, Kinematics::Paper));
    }
}

#[test]
fn zf() {
    run(&spec(3, WG + 1, 3, Beam::Zf, Kinematics::Paper));
}

/// Software Vulkan would cut the loops of such a thread short without a word.
#[test]
fn software_refuses_slots_it_would_cut() {
    let Some(gpu) = gpu_or_skip() else { return };
    if gpu.is_software() {
        let spec = spec(1, 1, 3, Beam::Angles, Kinematics::Paper);
        let error =
            V2xSlots::new(gpu, &spec, 1000).err().expect("a thousand slots are above the limit").to_string();
        assert!(error.contains("loop iterations"), "{error}");
    }
}
