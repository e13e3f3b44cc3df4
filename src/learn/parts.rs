//! A batch of replicas in several learners on one GPU, where the buffers of a single one would be larger than the
//! adapter binds. Replicas know nothing of each other, so every number is that of one learner.

use super::learner::{Apg, Experts, OffPolicy, Ppo};
use super::{Algorithm, LearnerState, UpdateMetrics};
use crate::gpu::GpuError;
use std::ops::Range;

/// Learners of consecutive replicas, all of one kind.
pub(super) struct Parts<L: ?Sized>(pub(super) Vec<(Range<usize>, Box<L>)>);

/// What makes a learner `T` of some replicas.
pub(super) type Making<'a, T> = dyn Fn(&Algorithm, &LearnerState) -> Result<T, GpuError> + 'a;

/// The learner that `new` makes; where it is too large for the adapter, as many smaller ones as it takes.
///
/// # Errors
/// Those of `new`; [`GpuError::TooLarge`] if a single replica is.
pub(super) fn in_parts<T>(
    algorithm: &Algorithm,
    start: &LearnerState,
    new: &Making<T>,
) -> Result<Vec<(Range<usize>, T)>, GpuError> {
    let mut learners = Vec::new();
    halved(algorithm, start, 0, new, &mut learners)?;
    Ok(learners)
}

/// Pushes learners of this algorithm's replicas, the first of which is replica `first` of the whole batch.
fn halved<T>(
    algorithm: &Algorithm,
    start: &LearnerState,
    first: usize,
    new: &Making<T>,
    out: &mut Vec<(Range<usize>, T)>,
) -> Result<(), GpuError> {
    let replicas = algorithm.env().replicas();
    let too_large = match new(algorithm, start) {
        Ok(learner) => {
            out.push((first..first + replicas, learner));
            return Ok(());
        }
        Err(e @ GpuError::TooLarge { .. }) if replicas > 1 => e,
        Err(e) => return Err(e),
    };
    for part in [0..replicas / 2, replicas / 2..replicas] {
        let Some(algorithm) = algorithm.part(part.clone()) else { return Err(too_large) };
        let states: Vec<_> = part.clone().map(|r| start.replica(r, replicas)).collect();
        let start = LearnerState::side_by_side(&states).expect("replicas of one state");
        halved(&algorithm, &start, first + part.start, new, out)?;
    }
    Ok(())
}

impl<L: ?Sized> Parts<L> {
    /// Asks every part, with its replicas.
    fn each(
        &mut self,
        mut ask: impl FnMut(&mut L, Range<usize>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        self.0.iter_mut().try_for_each(|(replicas, learner)| ask(learner, replicas.clone()))
    }

    /// The means of all replicas.
    fn means(
        &mut self,
        ask: impl Fn(&mut L) -> Result<Option<Vec<UpdateMetrics>>, GpuError>,
    ) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        // All of them close their update, whatever is read.
        let means: Vec<_> = self.0.iter_mut().map(|(_, x)| ask(x)).collect::<Result<_, _>>()?;
        Ok(means.into_iter().collect::<Option<Vec<_>>>().map(|parts| parts.concat()))
    }

    /// The states of all replicas.
    fn states(
        &mut self,
        ask: impl Fn(&mut L) -> Result<LearnerState, GpuError>,
    ) -> Result<LearnerState, GpuError> {
        let mut states = Vec::new();
        for (replicas, learner) in &mut self.0 {
            let (state, n) = (ask(learner)?, replicas.len());
            states.extend((0..n).map(|r| state.replica(r, n)));
        }
        Ok(LearnerState::side_by_side(&states).expect("parts learn the same number of steps"))
    }
}

impl Ppo for Parts<dyn Ppo> {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        self.each(|x, _| x.rollout(update))
    }
    fn advantages(&mut self) -> Result<(), GpuError> {
        self.each(|x, _| x.advantages())
    }
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 2]]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.minibatch(update, epoch, mb, &rates[replicas]))
    }
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        self.means(|x| x.finish(read))
    }
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        self.states(|x| x.state(updates))
    }
}

impl Apg for Parts<dyn Apg> {
    fn rollout(&mut self, update: u32, noise: &[f64]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.rollout(update, &noise[replicas]))
    }
    fn minibatch(
        &mut self,
        update: u32,
        epoch: u32,
        mb: u32,
        noise: &[f64],
        lr: &[f64],
    ) -> Result<(), GpuError> {
        self.each(|x, replicas| x.minibatch(update, epoch, mb, &noise[replicas.clone()], &lr[replicas]))
    }
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        self.means(|x| x.finish(read))
    }
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        self.states(|x| x.state(updates))
    }
}

impl OffPolicy for Parts<dyn OffPolicy> {
    fn collect(&mut self, clock: u32, exploration: &[f64]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.collect(clock, &exploration[replicas]))
    }
    fn store(&mut self, clock: u32) -> Result<(), GpuError> {
        self.each(|x, _| x.store(clock))
    }
    fn minibatch(&mut self, clock: u32, step: u32, lr: &[[f64; 2]]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.minibatch(clock, step, &lr[replicas]))
    }
    fn targets(&mut self) -> Result<(), GpuError> {
        self.each(|x, _| x.targets())
    }
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        self.means(|x| x.finish(read))
    }
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        self.states(|x| x.state(updates))
    }
}

impl Experts for Parts<dyn Experts> {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        self.each(|x, _| x.rollout(update))
    }
    fn advantages(&mut self) -> Result<(), GpuError> {
        self.each(|x, _| x.advantages())
    }
    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.minibatch(update, epoch, mb, &rates[replicas]))
    }
    fn spatial(&mut self, update: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        self.each(|x, replicas| x.spatial(update, &rates[replicas]))
    }
    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        self.means(|x| x.finish(read))
    }
    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        self.states(|x| x.state(updates))
    }
}
