//! What the benches ask of task v2x: sizes, the checks in front of a measurement, and FLOPs.

use super::agents::V2xAgent;
use super::config::V2xConfig;
use super::env::step_chunk;
use super::kernels::{v2x_batch, v2x_reset, v2x_step};
use super::physics::{Beam, Choices, Kinematics, V2xSpec};
use crate::bench::DeviceKind;
use crate::bench::check::{self, CheckError, ENVS};
use crate::bench::grid::{Grid, Learning};
use crate::bench::work::{self, Flops, Physics};
use crate::config::Layered;
use crate::env::{Batch, Slot, StepSlices};
use crate::gpu::Gpu;
use crate::kernels::inputs::normal;
use crate::learn::ppo_gpu::RolloutPath;
use crate::learn::{Algorithm, PpoSpec};
use crate::run::task::Task;
use std::sync::Arc;

/// Environments, without a policy.
pub fn physics_sizes(grid: Grid, kind: DeviceKind) -> &'static [usize] {
    match kind {
        DeviceKind::SoftwareGpu => &[128],
        DeviceKind::Cpu => grid.choose(&[1024], &[256, 1024, 4096, 8192], &[256, 1024, 4096, 16_384, 65_536]),
        DeviceKind::Gpu => grid.choose(
            &[65_536],
            &[4096, 65_536, 1_048_576],
            &[1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304],
        ),
    }
}

/// Rollouts, updates and training.
pub fn learner_sizes(grid: Grid, kind: DeviceKind) -> Vec<Learning> {
    Learning::table(match kind {
        DeviceKind::SoftwareGpu => &[(1, 16, 16)],
        DeviceKind::Cpu => grid.choose(
            &[(1, 256, 128)],
            &[(1, 256, 128), (1, 1024, 128), (1, 4096, 128), (4, 256, 128), (1, 1024, 64), (1, 1024, 256)],
            &[
                (1, 256, 128),
                (1, 512, 128),
                (1, 1024, 128),
                (1, 2048, 128),
                (1, 4096, 128),
                (1, 8192, 128),
                (16, 256, 128),
                (1, 1024, 64),
                (1, 1024, 256),
            ],
        ),
        DeviceKind::Gpu => grid.choose(
            &[(1, 16_384, 128)],
            &[
                (1, 4096, 128),
                (1, 16_384, 128),
                (1, 65_536, 128),
                (16, 4096, 128),
                (1, 16_384, 64),
                (1, 16_384, 256),
            ],
            &[
                (1, 256, 128),
                (1, 1024, 128),
                (1, 4096, 128),
                (1, 16_384, 128),
                (1, 65_536, 128),
                (1, 131_072, 128),
                (16, 4096, 128),
                (64, 1024, 128),
                (1, 16_384, 64),
                (1, 16_384, 256),
            ],
        ),
    })
}

/// A slot in vector lanes against the scalar f32 twin, bit for bit.
///
/// # Errors
/// What differs.
pub fn check_physics() -> Result<String, CheckError> {
    let task = V2xSpec {
        vehicles: 3,
        antennas: 32,
        slots: 100,
        beam: Beam::Angles,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };
    let spec = v2x_batch::Spec { r: 1, b: ENVS, task };
    let params = v2x_batch::check_params(&spec, 1);
    let state = v2x_batch::check_states(&spec, 1);
    let action = normal(1, 0, spec.action_len(), 1.0);
    let at = v2x_step::Args { clock: 5, action_off: 0, obs_off: 0, reward_off: 0, full: false };
    let twin = v2x_step::of_twin::<f32>(&spec, &at, &params, &state, &action);
    let mut lanes = Slot::filled(state, [spec.obs_len(), spec.obs_len(), ENVS, 0], f32::NAN);
    let Slot { state, obs, final_obs, reward, flags, .. } = &mut lanes;
    let batch = Batch { params: &params[0], envs: ENVS, first: 0, state, obs };
    let out = StepSlices { final_obs, reward, flags, metrics: None, full: false };
    step_chunk(&task, batch, &action, out, at.clock);
    check::slots(&lanes, &twin)
}

/// What the rollouts and updates of an agent that learns by PPO are made of on the CPU: its networks and the physics.
///
/// # Errors
/// What differs.
pub fn check_cpu(spec: &PpoSpec) -> Result<String, CheckError> {
    check::ppo_cpu(spec, &check_physics()?)
}

/// The first minibatch step of a small training of `agent`, which learns by PPO, on the GPU against the CPU backend;
/// the rollout goes `path`, or as the adapter's does.
///
/// # Errors
/// What differs, or what the adapter lacks.
///
/// # Panics
/// If `agent` does not learn by PPO.
pub fn check_gpu(gpu: &Arc<Gpu>, agent: &V2xAgent, path: Option<RolloutPath>) -> Result<String, CheckError> {
    let sets =
        ["ppo.hidden=[16,16]", "spiking.hidden=[]", "ppo.envs=16", "ppo.minibatch=400", "ppo.epochs=1"]
            .map(String::from);
    let config = V2xConfig::load(None, &sets).expect("the built-in preset with other sizes is valid");
    let Some(Algorithm::Ppo(spec)) = config.algorithm_at(agent, &[(40.0, 3), (20.0, 11)]) else {
        panic!("agent '{}' does not learn by PPO", agent.id)
    };
    check::ppo(gpu, &spec, path)
}

/// FLOPs of an agent that learns by PPO.
pub fn flops(spec: &PpoSpec, task: V2xSpec) -> Flops {
    let batch = v2x_batch::Spec { r: spec.env.replicas(), b: spec.ppo.envs, task };
    let physics = Physics { reset: v2x_reset::cost(&batch).flops, step: v2x_step::cost(&batch).flops };
    work::ppo(spec, physics)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are made of sizes: none may stand twice. Minibatches are sixteenths.
    #[test]
    fn no_size_stands_twice_and_rollouts_divide_into_minibatches() {
        for grid in [Grid::Small, Grid::Default, Grid::Large] {
            for kind in [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::SoftwareGpu] {
                let all = learner_sizes(grid, kind);
                for (i, s) in all.iter().enumerate() {
                    assert!(!all[..i].contains(s), "{grid:?} {kind:?}: {s:?} twice");
                }
                assert!(all.iter().all(|s| (s.b * 100).is_multiple_of(16)));
            }
        }
    }
}
