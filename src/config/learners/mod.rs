//! Configuration of what learns by itself from an [`Env`](crate::env::Env): `[ppo]`, `[spiking]`, `[ddpg]`, `[dqn]`,
//! `[apg]`, `[temporal]`, `[spatial]`.

mod apg;
mod experts;
mod off_policy;
mod policy_gradient;
mod ppo;
mod spiking;

pub use apg::{ApgConfig, Climb};
pub use experts::{MonoPhases, PolicyGradient, SpatialConfig, TemporalConfig};
pub use off_policy::{DdpgConfig, DqnConfig, DqnHead};
pub use ppo::{ClipScope, PpoConfig};
pub use spiking::SpikingConfig;

use super::ConfigError;
use crate::kernels::kl_control::Limits;

/// What a trust region allows; [`Limits::NONE`] where there is none.
fn limits(on: bool, target_kl: f64, kl_skip_ratio: f64) -> Limits {
    if on { Limits { target: target_kl, limit: target_kl * kl_skip_ratio } } else { Limits::NONE }
}

/// That rollouts are whole minibatches and end with an episode.
fn whole_rollouts(
    section: &str,
    envs: usize,
    horizon: usize,
    minibatch: usize,
    slots: usize,
) -> Result<(), ConfigError> {
    let samples = envs * horizon;
    if !samples.is_multiple_of(minibatch) {
        let what = format!("{minibatch} must divide {section}.envs * {section}.horizon = {samples}");
        return Err(ConfigError::value(&format!("{section}.minibatch"), what));
    }
    if !horizon.is_multiple_of(slots) {
        let what = format!("{horizon} must be a multiple of task.slots = {slots}");
        return Err(ConfigError::value(&format!("{section}.horizon"), what));
    }
    Ok(())
}
