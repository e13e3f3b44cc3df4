//! What training asks of a learner, whatever device it is on.

use super::{LearnerState, UpdateMetrics};
use crate::gpu::GpuError;

/// A PPO learner on some device. The order of the calls is fixed by [`train`](crate::run::train::train); a GPU records
/// them into one command stream per update.
pub trait Ppo {
    /// `horizon` slots in every environment with the current policy.
    fn rollout(&mut self, update: u32) -> Result<(), GpuError>;
    /// Generalised advantage estimation over the rollout.
    fn advantages(&mut self) -> Result<(), GpuError>;
    /// One minibatch step: gather, loss, backward, clip, Adam, with the scheduled rates of actor and critic of each
    /// replica.
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 2]]) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Parameters and optimiser state after `updates` updates.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner by the analytic gradient of its slots on some device. The order of the calls is fixed by
/// [`train`](crate::run::train::train).
pub trait Apg {
    /// `horizon` slots in every environment under the current policy and noise of the standard deviation of each
    /// replica, `[R]`.
    fn rollout(&mut self, update: u32, noise: &[f64]) -> Result<(), GpuError>;
    /// One minibatch step: gather, act anew, slot gradient, backward, clip, Adam at the learning rate of each replica,
    /// `[R]`.
    fn minibatch(
        &mut self,
        update: u32,
        epoch: u32,
        mb: u32,
        noise: &[f64],
        lr: &[f64],
    ) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Parameters and optimiser state after `updates` updates.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner with a replay on some device. `clock` counts the slots since the first update; the order of the calls is
/// fixed by [`train`](crate::run::train::train).
pub trait OffPolicy {
    /// One slot in every environment: `exploration` is the standard deviation of the noise (`ddpg`) or ε (`dqn`) of
    /// each replica, `[R]`.
    fn collect(&mut self, clock: u32, exploration: &[f64]) -> Result<(), GpuError>;
    /// The slot's transitions into the replay.
    fn store(&mut self, clock: u32) -> Result<(), GpuError>;
    /// Gradient step `step` behind slot `clock`: sample, targets, loss, backward, clip, Adam at the learning rates of
    /// each replica, `[R]`.
    fn minibatch(&mut self, clock: u32, step: u32, lr: &[[f64; 2]]) -> Result<(), GpuError>;
    /// Target networks follow the online ones.
    fn targets(&mut self) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Everything that `updates` updates have left.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}

/// A learner of experts on some device. The order of the calls is fixed by [`train`](crate::run::train::train).
pub trait Experts {
    /// One episode in every environment with the current scheduler.
    fn rollout(&mut self, update: u32) -> Result<(), GpuError>;
    /// Values and generalised advantage estimation over the rollout.
    fn advantages(&mut self) -> Result<(), GpuError>;
    /// One minibatch step of scheduler and critic: gather, losses (L_spat too where the trunk is shared), backward,
    /// clip, Adam. `rates` are the scheduled ones of scheduler, critic and phases of each replica.
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 3]]) -> Result<(), GpuError>;
    /// The update's step of the phases, where they have a network of their own.
    fn spatial(&mut self, update: u32, rates: &[[f64; 3]]) -> Result<(), GpuError>;
    /// Closes the update; with `read`, its means, one per replica.
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError>;
    /// Parameters and optimiser state after `updates` updates.
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError>;
}
