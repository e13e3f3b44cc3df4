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
use crate::learn::{LearnerState, PpoSpec, UpdateMetrics, learning_rates};
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

/// What to train, for how long, and how often to look.
pub struct Plan<'a> {
    pub spec: &'a PpoSpec,
    /// Updates of the whole run (learning rates follow it).
    pub updates: u32,
    /// Where this call stops.
    pub until: u32,
    /// Updates between two reads of the metrics.
    pub log_every: u32,
}

/// A learner on the GPU if one is given, else on the CPU.
pub fn learner(
    spec: &PpoSpec,
    start: &LearnerState,
    gpu: Option<&Arc<Gpu>>,
) -> Result<Box<dyn Ppo>, GpuError> {
    Ok(match gpu {
        Some(gpu) => Box::new(PpoGpu::new(gpu.clone(), spec, start)?),
        None => Box::new(PpoCpu::new(spec, start)),
    })
}

/// Trains from update `start` to `until`. `seen(update, metrics)` gets every read of the metrics, `tick(update)` every update. A run that is
/// continued from a saved state equals one that never stopped.
pub fn train(
    plan: &Plan,
    learner: &mut dyn Ppo,
    start: u32,
    mut seen: impl FnMut(u32, &[UpdateMetrics]),
    mut tick: impl FnMut(u32),
) -> Result<LearnerState, GpuError> {
    let ppo = &plan.spec.ppo;
    for update in start..plan.until {
        // ---- ROLLOUT: obs --policy--> actions, logprobs, values --env_step--> rewards, flags, final_obs, obs ----
        learner.rollout(update)?;

        // ---- ADVANTAGES: gae in reverse over t; truncated slots bootstrap from V(final_obs) ----
        learner.advantages()?;

        // ---- EPOCHS × MINIBATCHES: gather, loss, backward, clip, adam ----
        let lr = learning_rates(ppo, update, plan.updates);
        for epoch in 0..ppo.epochs as u32 {
            for mb in 0..plan.spec.minibatches() as u32 {
                learner.minibatch(update, epoch, mb, lr)?;
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
