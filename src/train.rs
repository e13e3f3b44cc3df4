//! The main path of learning, top to bottom:
//!
//! ```text
//! obs[t] --policy--> (actions, logprobs, values)[t] --env_step--> rewards, terminated, truncated, final_obs[t]; obs[t+1]
//!         --gae (reverse t)--> advantages, returns --epochs × minibatches: loss, backward, adam--> params
//! metrics (reduced on the device) --> rows
//! ```
//!
//! Every array carries the replica axis R: agents with their own weights, seed and task parameters train side by side.

use crate::gpu::{Gpu, GpuError};
use crate::learn::ppo_cpu::PpoCpu;
use crate::learn::ppo_gpu::PpoGpu;
use crate::learn::{Algorithm, LearnerState, PpoSpec, UpdateMetrics, learning_rates};
use std::sync::Arc;

/// A PPO learner on some device. The order of the calls is fixed by [`train`]; a GPU records them into one command stream per update.
pub trait Ppo {
    /// `horizon` slots in every environment with the current policy.
    fn rollout(&mut self, update: u32) -> Result<(), GpuError>;
    /// Generalised advantage estimation over the rollout.
    fn advantages(&mut self) -> Result<(), GpuError>;
    /// One minibatch step: gather, loss, backward, clip, Adam.
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, lr: [f64; 2]) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Parameters and optimiser state after `updates` updates.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner on some device.
pub enum Learner {
    OnPolicy(Box<dyn Ppo>),
}

impl Learner {
    /// On the GPU if one is given, else on the CPU.
    pub fn new(
        algorithm: &Algorithm,
        start: &LearnerState,
        gpu: Option<&Arc<Gpu>>,
    ) -> Result<Self, GpuError> {
        Ok(match (algorithm, gpu) {
            (Algorithm::Ppo(spec), Some(gpu)) => {
                Learner::OnPolicy(Box::new(PpoGpu::new(gpu.clone(), spec, start)?))
            }
            (Algorithm::Ppo(spec), None) => Learner::OnPolicy(Box::new(PpoCpu::new(spec, start))),
        })
    }

    /// Parameters and optimiser state after `updates` updates.
    pub fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.state(updates),
        }
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.finish(read),
        }
    }
}

/// What to train, for how long, and how often to look.
pub struct Plan<'a> {
    pub algorithm: &'a Algorithm,
    /// Updates of the whole run (learning rates follow it).
    pub updates: u32,
    /// Where this call stops.
    pub until: u32,
    /// Updates between two reads of the metrics.
    pub log_every: u32,
}

/// Trains from update `start` to `until`. `seen(update, metrics)` gets every read of the metrics, `tick(update)` every update. A run that is
/// continued from a saved state equals one that never stopped.
pub fn train(
    plan: &Plan,
    learner: &mut Learner,
    start: u32,
    mut seen: impl FnMut(u32, &[UpdateMetrics]),
    mut tick: impl FnMut(u32),
) -> Result<LearnerState, GpuError> {
    for update in start..plan.until {
        match (plan.algorithm, &mut *learner) {
            (Algorithm::Ppo(spec), Learner::OnPolicy(ppo)) => {
                on_policy(ppo.as_mut(), spec, update, plan.updates)?
            }
        }

        // ---- METRICS: reduced on the device, read every log_every updates ----
        let read = (update + 1).is_multiple_of(plan.log_every) || update + 1 == plan.updates;
        if let Some(metrics) = learner.finish(read)? {
            seen(update, &metrics);
        }
        tick(update);
    }
    learner.state(plan.until)
}

fn on_policy(ppo: &mut dyn Ppo, spec: &PpoSpec, update: u32, updates: u32) -> Result<(), GpuError> {
    // ---- ROLLOUT: obs --policy--> actions, logprobs, values --env_step--> rewards, flags, final_obs, obs ----
    ppo.rollout(update)?;

    // ---- ADVANTAGES: gae in reverse over t; truncated slots bootstrap from V(final_obs) ----
    ppo.advantages()?;

    // ---- EPOCHS × MINIBATCHES: gather, loss, backward, clip, adam ----
    let lr = learning_rates(&spec.ppo, update, updates);
    for epoch in 0..spec.ppo.epochs as u32 {
        for mb in 0..spec.minibatches() as u32 {
            ppo.minibatch(update, epoch, mb, lr)?;
        }
    }
    Ok(())
}
