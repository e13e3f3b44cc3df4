//! How long work takes on this device, from a short measurement.

use crate::gpu::{Gpu, GpuError};
use crate::learn::{Algorithm, Learner, LearnerState};
use crate::run::train::{TrainingSpan, train};
use std::sync::Arc;
use std::time::Instant;

/// Seconds of one update of all replicas, past the warm-up, and the state behind it.
///
/// # Errors
/// What the device refuses.
pub fn update(algorithm: &Algorithm, gpu: Option<&Arc<Gpu>>) -> Result<(f64, LearnerState), GpuError> {
    let state = algorithm.start();
    let mut learner = Learner::new(algorithm, &state, gpu)?;
    let until = algorithm.warm_up() + 1;
    let span = TrainingSpan { algorithm, updates: until, until, log_every: until };
    let mut ends = vec![Instant::now()];
    let ended = |_| {
        ends.push(Instant::now());
        true
    };
    let state = train(&span, &mut learner, 0, |_, _| (), ended)?;
    let seconds = match ends[..] {
        [.., before, last] => (last - before).as_secs_f64(),
        _ => 0.0,
    };
    Ok((seconds, state))
}
