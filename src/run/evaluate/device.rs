//! Where an evaluation runs.

use super::{Controller, Evaluation, Precision, ReplicaEstimates, cpu, gpu};
use crate::gpu::{Gpu, GpuError};

/// Runs an evaluation on the CPU whose rule comes from outside of this program: one thread asks it, for up to
/// [`KEY_BATCH`](super::KEY_BATCH) episodes at once, slot by slot from the first to the last. The episodes are those of
/// [`evaluate`].
///
/// # Panics
/// If a policy's network is to decide.
pub fn in_order(eval: &Evaluation, progress: &(dyn Fn(u64) + Sync)) -> Vec<ReplicaEstimates> {
    assert!(matches!(eval.controller, Controller::Rule(_)), "a rule decides");
    cpu::in_order(eval, progress)
}

/// Runs the evaluation on the GPU if one is given and [`Evaluation::decides_on_gpu`], else on the CPU; `progress` gets
/// the number of episodes that were finished since its last call. Results depend neither on the number of threads nor
/// on how episodes are grouped.
///
/// # Errors
/// What the device cannot do; f16 where there is none ([`Precision::F16`]), int8 of spiking networks.
pub fn evaluate(
    eval: &Evaluation,
    gpu: Option<&Gpu>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<ReplicaEstimates>, GpuError> {
    match (gpu.filter(|_| eval.decides_on_gpu()), &eval.controller) {
        (Some(gpu), _) => on_gpu(eval, gpu, progress),
        (None, Controller::Policy { precision: Precision::F16, .. }) => {
            Err(GpuError::NoF16("this evaluation runs on the CPU"))
        }
        (None, Controller::Policy { policy, precision: Precision::Int8, .. }) if policy.net.lif.is_some() => {
            Err(GpuError::NoInt8("this network spikes"))
        }
        (None, _) => Ok(cpu::evaluate(eval, progress)),
    }
}

/// All replicas at once, or, where a learned policy's buffers would be larger than the adapter binds, in parts.
fn on_gpu(
    eval: &Evaluation,
    gpu: &Gpu,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<ReplicaEstimates>, GpuError> {
    let (found, replicas) = (gpu::evaluate(eval, gpu, progress), eval.env.replicas());
    let Controller::Policy { policy, params, greedy, precision } = &eval.controller else { return found };
    if replicas == 1 || !matches!(found, Err(GpuError::TooLarge { .. })) {
        return found;
    }
    let mut estimates = Vec::new();
    for part in [0..replicas / 2, replicas / 2..replicas] {
        let Some(env) = eval.env.part(part.clone()) else { return found };
        let controller = Controller::Policy {
            policy: policy.clone(),
            params: &params[part.start * policy.params..part.end * policy.params],
            greedy: *greedy,
            precision: *precision,
        };
        let eval = Evaluation { env, controller, episodes: eval.episodes, slots: eval.slots };
        estimates.extend(on_gpu(&eval, gpu, progress)?);
    }
    Ok(estimates)
}
