//! The learner of an algorithm on a device: the one place that knows them all.

use super::apg_cpu::ApgCpu;
use super::apg_gpu::ApgGpu;
use super::experts_cpu::ExpertsPpoCpu;
use super::experts_gpu::ExpertsPpoGpu;
use super::learner::{Apg, Experts, OffPolicy, Ppo};
use super::off_policy_cpu::OffPolicyCpu;
use super::off_policy_gpu::OffPolicyGpu;
use super::parts::{Making, Parts, in_parts};
use super::ppo_cpu::PpoCpu;
use super::ppo_gpu::PpoGpu;
use super::{Algorithm, LearnerState, UpdateMetrics};
use crate::gpu::{Gpu, GpuError};
use std::ops::Range;
use std::sync::Arc;

/// A learner on some device.
pub enum Learner {
    OnPolicy(Box<dyn Ppo>),
    OffPolicy(Box<dyn OffPolicy>),
    Experts(Box<dyn Experts>),
    Apg(Box<dyn Apg>),
}

impl Learner {
    /// On the GPU if one is given, else on the CPU. Replicas whose buffers would be larger than the adapter binds learn
    /// side by side in several learners, with the same results.
    ///
    /// # Errors
    /// What the adapter cannot do or hold.
    pub fn new(
        algorithm: &Algorithm,
        start: &LearnerState,
        gpu: Option<&Arc<Gpu>>,
    ) -> Result<Self, GpuError> {
        if let Some(gpu) = gpu {
            let new: &Making<_> = &|algorithm, start| Self::on_gpu(algorithm, start, gpu);
            return Ok(Self::joined(in_parts(algorithm, start, new)?));
        }
        Ok(match algorithm {
            Algorithm::Ppo(spec) => Learner::OnPolicy(Box::new(PpoCpu::new(spec, start))),
            Algorithm::OffPolicy(spec) => Learner::OffPolicy(Box::new(OffPolicyCpu::new(spec, start))),
            Algorithm::Experts(spec) => Learner::Experts(Box::new(ExpertsPpoCpu::new(spec, start))),
            Algorithm::Apg(spec) => Learner::Apg(Box::new(ApgCpu::new(spec, start))),
        })
    }

    /// A single one on a GPU.
    fn on_gpu(algorithm: &Algorithm, start: &LearnerState, gpu: &Arc<Gpu>) -> Result<Self, GpuError> {
        let gpu = gpu.clone();
        Ok(match algorithm {
            Algorithm::Ppo(spec) => Learner::OnPolicy(Box::new(PpoGpu::new(gpu, spec, start)?)),
            Algorithm::OffPolicy(spec) => Learner::OffPolicy(Box::new(OffPolicyGpu::new(gpu, spec, start)?)),
            Algorithm::Experts(spec) => Learner::Experts(Box::new(ExpertsPpoGpu::new(gpu, spec, start)?)),
            Algorithm::Apg(spec) => Learner::Apg(Box::new(ApgGpu::new(gpu, spec, start)?)),
        })
    }

    /// One learner of several of one kind.
    fn joined(mut learners: Vec<(Range<usize>, Learner)>) -> Self {
        if learners.len() == 1 {
            return learners.remove(0).1;
        }
        macro_rules! all {
            ($kind:ident) => {{
                let of = |(replicas, learner)| match learner {
                    Learner::$kind(learner) => (replicas, learner),
                    _ => unreachable!("learners of one algorithm"),
                };
                Learner::$kind(Box::new(Parts(learners.into_iter().map(of).collect())))
            }};
        }
        match learners[0].1 {
            Learner::OnPolicy(_) => all!(OnPolicy),
            Learner::OffPolicy(_) => all!(OffPolicy),
            Learner::Experts(_) => all!(Experts),
            Learner::Apg(_) => all!(Apg),
        }
    }

    /// Parameters and optimiser state after `updates` updates.
    pub fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.state(updates),
            Learner::OffPolicy(x) => x.state(updates),
            Learner::Experts(x) => x.state(updates),
            Learner::Apg(x) => x.state(updates),
        }
    }

    /// Closes the update; with `read`, its means, one per replica.
    pub fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.finish(read),
            Learner::OffPolicy(x) => x.finish(read),
            Learner::Experts(x) => x.finish(read),
            Learner::Apg(x) => x.finish(read),
        }
    }
}
