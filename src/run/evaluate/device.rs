//! Where a job runs.

use super::{Controller, Job, Outcome, Precision, cpu, gpu};
use crate::gpu::{Gpu, GpuError};

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
        (Some(gpu), _) => gpu::evaluate(job, gpu, progress),
        (None, Controller::Policy { precision: Precision::F16, .. }) => {
            Err(GpuError::NoF16("this evaluation runs on the CPU"))
        }
        (None, Controller::Policy { policy, precision: Precision::Int8, .. }) if policy.net.lif.is_some() => {
            Err(GpuError::NoInt8("this network spikes"))
        }
        (None, _) => Ok(cpu::evaluate(job, progress)),
    }
}
