//! Kernels of task v2x.

mod shared;
pub mod v2x_batch;
pub mod v2x_gradient;
pub mod v2x_reference;
pub mod v2x_reset;
pub mod v2x_rollout;
pub mod v2x_scene;
pub mod v2x_slots;
pub mod v2x_step;

pub use shared::SHARED;

use super::gradient::Quantity;
use super::physics::{Beam, Choices, Kinematics, V2xSpec};
use super::reference::Reference;
use crate::kernels::{Entry, entry, named, variants};
use crate::nets::{Activation, ActorCriticLayout};

/// The paper's task with 500 environments in three replicas.
const fn v2x(beam: Beam) -> v2x_batch::Spec {
    v2x_batch::Spec {
        r: 3,
        b: 500,
        task: V2xSpec {
            vehicles: 3,
            antennas: 32,
            slots: 100,
            beam,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        },
    }
}

const BEAMS: [Beam; 9] = [
    Beam::Angles,
    Beam::Tracking,
    Beam::Matrix,
    Beam::Direct,
    Beam::OnSteering,
    Beam::OnZf,
    Beam::Zf,
    Beam::Steer,
    Beam::Span,
];

/// The gradient of 500 slots in each of three replicas.
const fn gradient(beam: Beam, of: Quantity) -> v2x_gradient::Spec {
    v2x_gradient::Spec { batch: v2x(beam), of, width: 0.5 }
}

/// The same task with 100 environments in three replicas under a perceptron, as it suits a device with these limits.
fn rollout(beam: Beam, hidden: &[usize], limits: &wgpu::Limits) -> v2x_rollout::Spec {
    let batch = v2x_batch::Spec { b: 100, ..v2x(beam) };
    let layout =
        ActorCriticLayout::new(batch.task.obs_dim(), hidden, batch.task.action_dim(), Activation::Tanh);
    v2x_rollout::Spec::new(limits, batch, 10, &layout).expect("fits every device")
}

/// Every kernel of this task, in data-flow order.
#[rustfmt::skip]
pub const REGISTRY: &[Entry] = &[
    entry!(v2x_reset, v2x(Beam::Angles)),
    entry!(v2x_reference, v2x_reference::Spec { batch: v2x(Beam::Span), who: Reference::GenieZf }, check |gpu| {
        let of = |who: Reference| v2x_reference::Spec { batch: v2x(who.beam()), who };
        let blind = [Reference::Random, Reference::LastEstimate, Reference::Ekf, Reference::EkfZf, Reference::Ukf];
        let all = blind.into_iter().chain([Reference::Genie, Reference::GenieZf]);
        variants(all, |who| v2x_reference::check(gpu, &of(who), 1))
    }),
    entry!(v2x_step, v2x(Beam::Angles), check |gpu| {
        variants(BEAMS, |beam| v2x_step::check(gpu, &v2x(beam), 1))
    }),
    entry!(v2x_scene, v2x(Beam::Angles)),
    entry!(v2x_gradient, gradient(Beam::Angles, Quantity::Rate), check |gpu| {
        let all = BEAMS.into_iter().flat_map(|beam| [Quantity::Rate, Quantity::RewardSmooth].map(|of| (beam, of)));
        variants(all, |(beam, of)| v2x_gradient::check(gpu, &gradient(beam, of), 1))
    }),
    entry!(v2x_slots, v2x(Beam::Angles), check |gpu| {
        let all = [Beam::Angles, Beam::Tracking, Beam::Matrix, Beam::OnSteering, Beam::OnZf, Beam::Zf];
        variants(all, |beam| v2x_slots::check(gpu, &v2x(beam), 1))
    }),
    entry!(v2x_rollout, rollout(Beam::Angles, &[128, 128], &wgpu::Limits::default()), check |gpu| {
        // Streamed weights as the adapter has room for, and resident ones for which every adapter has.
        let all = &wgpu::Limits::default();
        let mut rows = Vec::new();
        for (beam, hidden, limits) in [(Beam::Angles, &[128, 128][..], &gpu.limits), (Beam::Tracking, &[20], all), (Beam::Zf, &[20], all)] {
            let spec = rollout(beam, hidden, limits);
            rows.extend(named(&format!("{beam:?}"), v2x_rollout::check(gpu, &spec, 1)?));
        }
        Ok(rows)
    }, wg rollout(Beam::Angles, &[128, 128], &wgpu::Limits::default()).tiling.threads()),
];
