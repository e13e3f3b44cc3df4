//! The main path of learning, top to bottom:
//!
//! ```text
//! obs[t] --policy--> (actions, logprobs, values)[t] --env_step--> rewards, terminated, truncated, final_obs[t]; obs[t+1]
//!         --gae (reverse t)--> advantages, returns --epochs × minibatches: loss, backward, adam--> params
//! metrics (reduced on the device) --> rows
//! ```
//!
//! and for agents with a replay, slot by slot:
//!
//! ```text
//! obs --policy + exploration--> actions --env_step--> rewards, terminated, final_obs, obs --> replay
//!     --uniform minibatches: targets, loss, backward, adam--> params --polyak--> target networks
//! ```
//!
//! and for the experts of task misac, whose two losses meet in no parameter unless they share a trunk:
//!
//! ```text
//! obs[t] --lstm (or trunk)--> schedules, logprobs; critic --> values --env_step--> rewards, final_obs[T]; obs[t+1]
//!         --gae--> advantages, returns --epochs × minibatches of environments: policy and value loss, backward, adam--> scheduler, critic
//!         --channel, L_spat (13), backward, adam, once--> phases
//! ```
//!
//! Every array carries the replica axis R: agents with their own weights, seed and task parameters train side by side.

use crate::gpu::{Gpu, GpuError};
use crate::learn::experts_cpu::MisacCpu;
use crate::learn::experts_gpu::MisacGpu;
use crate::learn::off_policy_cpu::OffPolicyCpu;
use crate::learn::off_policy_gpu::OffPolicyGpu;
use crate::learn::ppo_cpu::PpoCpu;
use crate::learn::ppo_gpu::PpoGpu;
use crate::learn::{
    Algorithm, ExpertsSpec, LearnerState, MisacUpdate, OffPolicySpec, PpoSpec, UpdateMetrics, learning_rates,
};
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

/// A learner with a replay on some device. `clock` counts the slots since the first update; the order of the calls is fixed by [`train`].
pub trait OffPolicy {
    /// One slot in every environment: `exploration` is the standard deviation of the noise (`ddpg`) or ε (`dqn`).
    fn collect(&mut self, clock: u32, exploration: f64) -> Result<(), GpuError>;
    /// The slot's transitions into the replay.
    fn store(&mut self, clock: u32) -> Result<(), GpuError>;
    /// Gradient step `step` behind slot `clock`: sample, targets, loss, backward, clip, Adam.
    fn minibatch(&mut self, clock: u32, step: u32, lr: [f64; 2]) -> Result<(), GpuError>;
    /// Target networks follow the online ones.
    fn targets(&mut self) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Everything that `updates` updates have left.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner of task misac on some device. The order of the calls is fixed by [`train_experts`].
pub trait Experts {
    /// One episode in every environment with the current scheduler.
    fn rollout(&mut self, update: u32) -> Result<(), GpuError>;
    /// Values and generalised advantage estimation over the rollout.
    fn advantages(&mut self) -> Result<(), GpuError>;
    /// One minibatch step of scheduler and critic: gather, losses (L_spat too where the trunk is shared), backward, clip, Adam.
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, lr: [f64; 3]) -> Result<(), GpuError>;
    /// The update's step of the phases, where they have a network of their own.
    fn spatial(&mut self, update: u32, lr: f64) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<MisacUpdate>>, GpuError>;
    /// Parameters and optimiser state after `updates` updates.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner on some device.
pub enum Learner {
    OnPolicy(Box<dyn Ppo>),
    OffPolicy(Box<dyn OffPolicy>),
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
            (Algorithm::OffPolicy(spec), Some(gpu)) => {
                Learner::OffPolicy(Box::new(OffPolicyGpu::new(gpu.clone(), spec, start)?))
            }
            (Algorithm::OffPolicy(spec), None) => {
                Learner::OffPolicy(Box::new(OffPolicyCpu::new(spec, start)))
            }
        })
    }

    /// Parameters and optimiser state after `updates` updates.
    pub fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.state(updates),
            Learner::OffPolicy(x) => x.state(updates),
        }
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        match self {
            Learner::OnPolicy(ppo) => ppo.finish(read),
            Learner::OffPolicy(x) => x.finish(read),
        }
    }
}

/// A learner of task misac, on the GPU if one is given, else on the CPU.
pub fn experts(
    spec: &ExpertsSpec,
    start: &LearnerState,
    gpu: Option<&Arc<Gpu>>,
) -> Result<Box<dyn Experts>, GpuError> {
    Ok(match gpu {
        Some(gpu) => Box::new(MisacGpu::new(gpu.clone(), spec, start)?),
        None => Box::new(MisacCpu::new(spec, start)),
    })
}

/// What to train, for how long, and how often to look.
pub struct Plan<'a, A = Algorithm> {
    pub algorithm: &'a A,
    /// Updates of the whole run (learning rates follow it).
    pub updates: u32,
    /// Where this call stops.
    pub until: u32,
    /// Updates between two reads of the metrics.
    pub log_every: u32,
}

impl<A> Plan<'_, A> {
    fn reads(&self, update: u32) -> bool {
        (update + 1).is_multiple_of(self.log_every) || update + 1 == self.updates
    }
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
            (Algorithm::OffPolicy(spec), Learner::OffPolicy(x)) => {
                off_policy(x.as_mut(), spec, update, plan.updates)?
            }
            _ => unreachable!("a learner is made of its algorithm"),
        }

        // ---- METRICS: reduced on the device, read every log_every updates ----
        if let Some(metrics) = learner.finish(plan.reads(update))? {
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

fn off_policy(
    learner: &mut dyn OffPolicy,
    spec: &OffPolicySpec,
    update: u32,
    updates: u32,
) -> Result<(), GpuError> {
    let (slots, lr) = (spec.task.slots as u32, spec.learning_rates(update, updates));
    let exploration = spec.exploration(update, updates);
    for clock in update * slots..(update + 1) * slots {
        // ---- COLLECT: obs --policy + exploration--> actions --env_step--> reward, flags, final_obs, obs ----
        learner.collect(clock, exploration)?;

        // ---- REPLAY: the slot's transitions take the place of the oldest ----
        learner.store(clock)?;

        // ---- GRADIENT STEPS: sample, targets, loss, backward, clip, adam; then the target networks follow ----
        if spec.learns(clock) {
            for step in 0..spec.common.gradient_steps as u32 {
                learner.minibatch(clock, step, lr)?;
                learner.targets()?;
            }
        }
    }
    Ok(())
}

/// As [`train`], for task misac.
pub fn train_experts(
    plan: &Plan<ExpertsSpec>,
    learner: &mut dyn Experts,
    start: u32,
    mut seen: impl FnMut(u32, &[MisacUpdate]),
    mut tick: impl FnMut(u32),
) -> Result<LearnerState, GpuError> {
    let spec = plan.algorithm;
    for update in start..plan.until {
        // ---- ROLLOUT: obs --scheduler--> actions, logprobs --env_step--> rewards, final_obs, obs; states for L_spat ----
        learner.rollout(update)?;

        // ---- ADVANTAGES: gae in reverse over t; the last slot bootstraps from V(final_obs) ----
        learner.advantages()?;

        // ---- EPOCHS × MINIBATCHES of whole environments: policy and value loss, backward, clip, adam ----
        let lr = spec.learning_rates(update, plan.updates);
        for epoch in 0..spec.epochs() as u32 {
            for mb in 0..spec.minibatches() as u32 {
                learner.minibatch(update, epoch, mb, lr)?;
            }
        }

        // ---- SPATIAL: channels, L_spat, backward, clip, adam; no gradient of it reaches the scheduler ----
        if spec.layout.isolated() {
            learner.spatial(update, lr[2])?;
        }

        // ---- METRICS ----
        if let Some(metrics) = learner.finish(plan.reads(update))? {
            seen(update, &metrics);
        }
        tick(update);
    }
    learner.state(plan.until)
}
