use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::v2x::gradient::Quantity;
use isacbench::tasks::v2x::kernels::v2x_batch;
use isacbench::tasks::v2x::kernels::v2x_gradient::{Spec, WG, check};
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, Reward, V2xSpec};

fn run((r, m): (usize, usize), vehicles: usize, beam: Beam, of: &[Quantity]) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = V2xSpec {
        vehicles,
        antennas: 32,
        slots: 20,
        beam,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };
    for of in of {
        let spec = Spec { batch: v2x_batch::Spec { r, b: m, task }, of: *of, width: 0.5 };
        assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    }
}

const CLIMBED: [Quantity; 2] = [Quantity::Rate, Quantity::RewardSmooth];

#[test]
fn angles_and_tracking() {
    run((1, 1), 1, Beam::Angles, &CLIMBED);
    run((3, WG + 1), 3, Beam::Angles, &Quantity::ALL);
    run((2, WG - 1), 5, Beam::Tracking, &CLIMBED);
}

/// Both other rewards, and bounds with caps, where actions are anywhere.
#[test]
fn choices() {
    let Some(gpu) = gpu_or_skip() else { return };
    let rewards = [Reward::Product, Reward::Indicator, Reward::Lagrangian];
    for (beam, reward, caps_in_reward) in [Beam::Angles, Beam::Zf]
        .into_iter()
        .flat_map(|b| rewards.map(|r| [(b, r, false), (b, r, true)]))
        .flatten()
    {
        let choices = Choices { reward, caps_in_reward, ..Choices::DEFAULT };
        let kinematics = Kinematics::Paper;
        let task = V2xSpec { vehicles: 3, antennas: 32, slots: 20, beam, kinematics, choices };
        let batch = v2x_batch::Spec { r: 3, b: WG + 1, task };
        let spec = Spec { batch, of: Quantity::RewardSmooth, width: 0.5 };
        assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    }
}

#[test]
fn matrices() {
    run((2, WG), 3, Beam::Matrix, &Quantity::ALL);
    run((1, 19), 2, Beam::Direct, &Quantity::ALL);
    run((1, 37), 3, Beam::OnSteering, &CLIMBED);
    run((2, 21), 2, Beam::OnZf, &CLIMBED);
}

#[test]
fn zf_and_physical_actions() {
    run((3, WG + 1), 3, Beam::Zf, &Quantity::ALL);
    run((1, WG), 3, Beam::Steer, &CLIMBED);
    run((1, WG), 3, Beam::Span, &CLIMBED);
}
