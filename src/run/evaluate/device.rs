//! Where a job runs.

use super::{Controller, Job, Outcome, Precision, cpu, gpu};
use crate::gpu::{Gpu, GpuError};

/// Runs a job whose rule is somebody's outside of this program, on the CPU: one thread asks it, for up to
/// [`KEY_BATCH`](super::KEY_BATCH) episodes at once, slot by slot from the first to the last. The episodes are those of
/// [`evaluate`].
///
/// # Panics
/// If a policy's network is to decide.
pub fn in_order(job: &Job, progress: &(dyn Fn(u64) + Sync)) -> Vec<Outcome> {
    assert!(matches!(job.controller, Controller::Rule(_)), "a rule decides");
    cpu::in_order(job, progress)
}

/// Runs the job on the GPU if one is given and [`Job::decides_on_gpu`], else on the CPU; `progress` gets the number of
/// episodes that were finished since its last call. Results depend neither on the number of threads nor on how episodes
/// are grouped.
///
/// # Errors
/// What the device cannot do; f16 where there is none ([`Precision::F16`]), int8 of spiking networks.
pub fn evaluate(
    job: &Job,
    gpu: Option<&Gpu>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Outcome>, GpuError> {
    match (gpu.filter(|_| job.decides_on_gpu()), &job.controller) {
        (Some(gpu), _) => on_gpu(job, gpu, progress),
        (None, Controller::Policy { precision: Precision::F16, .. }) => {
            Err(GpuError::NoF16("this evaluation runs on the CPU"))
        }
        (None, Controller::Policy { policy, precision: Precision::Int8, .. }) if policy.net.lif.is_some() => {
            Err(GpuError::NoInt8("this network spikes"))
        }
        (None, _) => Ok(cpu::evaluate(job, progress)),
    }
}

/// All replicas at once, or, where a learned policy's buffers would be larger than the adapter binds, in parts.
fn on_gpu(job: &Job, gpu: &Gpu, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Outcome>, GpuError> {
    let (found, replicas) = (gpu::evaluate(job, gpu, progress), job.env.replicas());
    let Controller::Policy { policy, params, greedy, precision } = &job.controller else { return found };
    if replicas == 1 || !matches!(found, Err(GpuError::TooLarge { .. })) {
        return found;
    }
    let mut outcomes = Vec::new();
    for part in [0..replicas / 2, replicas / 2..replicas] {
        let Some(env) = job.env.part(part.clone()) else { return found };
        let controller = Controller::Policy {
            policy: policy.clone(),
            params: &params[part.start * policy.params..part.end * policy.params],
            greedy: *greedy,
            precision: *precision,
        };
        let job = Job { env, controller, episodes: job.episodes, slots: job.slots };
        outcomes.extend(on_gpu(&job, gpu, progress)?);
    }
    Ok(outcomes)
}
