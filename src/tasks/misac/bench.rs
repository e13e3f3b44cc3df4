//! What the benches ask of task misac: sizes, the checks in front of a measurement, and FLOPs.

use super::agents::H_MOE;
use super::config::MisacConfig;
use super::kernels::{misac_batch, misac_reset, misac_step, spatial_loss};
use super::physics::{Choices, MisacSpec, Uncertainty, misac_step_chunk};
use crate::bench::DeviceKind;
use crate::bench::check::{self, CheckError, ENVS};
use crate::bench::grid::{Grid, Learning};
use crate::bench::work::{self, Flops, Physics};
use crate::config::Layered;
use crate::env::{Batch, Slot, StepSlices};
use crate::gpu::Gpu;
use crate::kernels::inputs::normal;
use crate::learn::ExpertsSpec;
use crate::run::task::Task;
use std::sync::Arc;

/// Environments, without a policy.
pub fn physics_sizes(grid: Grid, kind: DeviceKind) -> &'static [usize] {
    match kind {
        DeviceKind::SoftwareGpu => &[64],
        DeviceKind::Cpu => grid.choose(&[256], &[256, 1024], &[256, 1024, 4096]),
        DeviceKind::Gpu => grid.choose(&[16_384], &[4096, 65_536], &[1024, 4096, 16_384, 65_536, 262_144]),
    }
}

/// Rollouts, updates and training.
pub fn learner_sizes(grid: Grid, kind: DeviceKind) -> Vec<Learning> {
    Learning::table(match kind {
        DeviceKind::SoftwareGpu => &[(1, 4, 8)],
        DeviceKind::Cpu => grid.choose(
            &[(1, 64, 64)],
            &[(1, 256, 64), (1, 1024, 64), (4, 64, 64)],
            &[(1, 256, 64), (1, 512, 64), (1, 1024, 64), (1, 2048, 64), (4, 64, 64)],
        ),
        DeviceKind::Gpu => grid.choose(
            &[(1, 1024, 64)],
            &[(1, 1024, 64), (1, 4096, 64), (8, 256, 64)],
            &[(1, 256, 64), (1, 1024, 64), (1, 2048, 64), (1, 4096, 64), (8, 256, 64), (32, 64, 64)],
        ),
    })
}

/// A slot in vector lanes against the scalar f32 twin, bit for bit.
///
/// # Errors
/// What differs.
pub fn check_physics() -> Result<String, CheckError> {
    let task = MisacSpec {
        vehicles: 4,
        antennas: 64,
        slots: 200,
        uncertainty: Uncertainty::Constant,
        choices: Choices::DEFAULT,
    };
    let spec = misac_batch::Spec { r: 1, b: ENVS, task };
    let params = misac_batch::check_params(&spec, 1);
    let state = misac_batch::check_states(&spec, &params, 1);
    let camera = |x: f32| f32::from(u8::from(x > 0.5));
    let action: Vec<f32> = normal(1, 0, spec.action_len(), 1.0).into_iter().map(camera).collect();
    let (state_off, next_off, obs_off, reward_off) = (0, 0, 0, 0);
    let at =
        misac_step::Args { clock: 5, action_off: 0, state_off, next_off, obs_off, reward_off, full: false };
    let twin = misac_step::of_twin::<f32>(&spec, &at, &params, &state, &action);
    let mut lanes = Slot::filled(state, [spec.obs_len(), spec.obs_len(), ENVS, 0], f32::NAN);
    let Slot { state, obs, final_obs, reward, flags, .. } = &mut lanes;
    let batch = Batch { params: &params[0], envs: ENVS, first: 0, state, obs };
    let out = StepSlices { final_obs, reward, flags, metrics: None, full: false };
    misac_step_chunk(&task, batch, &action, out, at.clock);
    check::slots(&lanes, &twin)
}

/// What the rollouts and updates of experts that share nothing are made of on the CPU: their networks and the physics.
///
/// # Errors
/// What differs.
pub fn check_cpu(spec: &ExpertsSpec) -> Result<String, CheckError> {
    check::experts_cpu(spec, &check_physics()?)
}

/// The first minibatch step of a small training of `h-moe` on the GPU against the CPU backend.
///
/// # Errors
/// What differs, or what the adapter lacks.
pub fn check_gpu(gpu: &Arc<Gpu>) -> Result<String, CheckError> {
    let sets = [
        "task.vehicles=3",
        "task.antennas=7",
        "task.slots=12",
        "temporal.hidden=9",
        "temporal.critic=[11]",
        "temporal.envs=10",
        "temporal.minibatch_envs=5",
        "spatial.hidden=[13, 6]",
        "spatial.stride=5",
    ]
    .map(String::from);
    let config = MisacConfig::load(None, &sets).expect("the built-in preset with other sizes is valid");
    let env = config.env_at(&[(10.0, 3), (0.0, 11)]);
    check::experts(gpu, &ExpertsSpec::new(H_MOE, env, &config.temporal, &config.spatial))
}

/// FLOPs of experts that share nothing.
pub fn flops(spec: &ExpertsSpec, task: MisacSpec) -> Flops {
    let (r, b) = (spec.replicas(), spec.temporal.envs);
    let batch = misac_batch::Spec { r, b, task };
    let physics = Physics { reset: misac_reset::cost(&batch).flops, step: misac_step::cost(&batch).flops };
    work::experts(spec, physics, |slots| {
        let loss = spatial_loss::Spec { batch, phase: spec.layout.phase, slots, m: slots * b };
        spatial_loss::cost(&loss).flops
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are made of sizes: none may stand twice.
    #[test]
    fn no_size_stands_twice() {
        for grid in [Grid::Small, Grid::Default, Grid::Large] {
            for kind in [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::SoftwareGpu] {
                let all = learner_sizes(grid, kind);
                for (i, s) in all.iter().enumerate() {
                    assert!(!all[..i].contains(s), "{grid:?} {kind:?}: {s:?} twice");
                }
            }
        }
    }
}
