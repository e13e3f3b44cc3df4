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
//! and for experts, whose two losses meet in no parameter unless they share a trunk:
//!
//! ```text
//! obs[t] --lstm (or trunk)--> schedules, logprobs; critic --> values --env_step--> rewards, final_obs[T]; obs[t+1]
//!         --gae--> advantages, returns --epochs × minibatches of environments: policy and value loss, backward, adam--> scheduler, critic
//!         --channel, L_spat (13), backward, adam, once--> phases
//! ```
//!
//! and for agents by the analytic gradient of their slots, which need no critic:
//!
//! ```text
//! obs[t] --policy + noise--> actions --env_step--> obs[t+1]; scenes[t]
//!         --epochs × minibatches: policy + noise--> actions --slot gradient at scenes, backward, adam--> params
//! ```
//!
//! Every array carries the replica axis R: agents with their own weights, seed and task parameters train side by side.

use crate::gpu::GpuError;
use crate::learn::{
    Algorithm, Apg, ApgSpec, Experts, ExpertsSpec, Learner, LearnerState, OffPolicy, OffPolicySpec, Ppo,
    PpoSpec, UpdateMetrics,
};

/// What to train, for how long, and how often to look.
pub struct TrainingSpan<'a> {
    pub algorithm: &'a Algorithm,
    /// Updates of the whole run (learning rates follow it).
    pub updates: u32,
    /// Where this call stops.
    pub until: u32,
    /// Updates between two reads of the metrics.
    pub log_every: u32,
}

impl TrainingSpan<'_> {
    fn reads(&self, update: u32) -> bool {
        (update + 1).is_multiple_of(self.log_every) || update + 1 == self.updates
    }
}

/// Trains from update `start` to `until`. `seen(update, metrics)` gets every read of the metrics, `tick(update)` every
/// update; where that says false, training ends behind it. A run that is continued from a saved state equals one that
/// never stopped.
pub fn train(
    span: &TrainingSpan,
    learner: &mut Learner,
    start: u32,
    mut seen: impl FnMut(u32, &[UpdateMetrics]),
    mut tick: impl FnMut(u32) -> bool,
) -> Result<LearnerState, GpuError> {
    for update in start..span.until {
        match (span.algorithm, &mut *learner) {
            (Algorithm::Ppo(spec), Learner::OnPolicy(ppo)) => {
                on_policy(ppo.as_mut(), spec, update, span.updates)?
            }
            (Algorithm::OffPolicy(spec), Learner::OffPolicy(x)) => {
                off_policy(x.as_mut(), spec, update, span.updates)?
            }
            (Algorithm::Experts(spec), Learner::Experts(x)) => {
                experts(x.as_mut(), spec, update, span.updates)?
            }
            (Algorithm::Apg(spec), Learner::Apg(x)) => analytic(x.as_mut(), spec, update, span.updates)?,
            _ => unreachable!("a learner is made of its algorithm"),
        }

        // ---- METRICS: reduced on the device, read every log_every updates ----
        if let Some(metrics) = learner.finish(span.reads(update))? {
            seen(update, &metrics);
        }
        if !tick(update) {
            return learner.state(update + 1);
        }
    }
    learner.state(span.until)
}

fn on_policy(ppo: &mut dyn Ppo, spec: &PpoSpec, update: u32, updates: u32) -> Result<(), GpuError> {
    // ---- ROLLOUT: obs --policy--> actions, logprobs, values --env_step--> rewards, flags, final_obs, obs ----
    ppo.rollout(update)?;

    // ---- ADVANTAGES: gae in reverse over t; truncated slots bootstrap from V(final_obs) ----
    ppo.advantages()?;

    // ---- EPOCHS × MINIBATCHES: gather, loss, backward, clip, adam ----
    let rates = spec.learning_rates(update, updates);
    for epoch in 0..spec.ppo.epochs as u32 {
        for mb in 0..spec.minibatches() as u32 {
            ppo.minibatch(update, epoch, mb, &rates)?;
        }
    }
    Ok(())
}

fn analytic(learner: &mut dyn Apg, spec: &ApgSpec, update: u32, updates: u32) -> Result<(), GpuError> {
    // ---- ROLLOUT: obs --policy + noise--> actions --env_step--> obs; scenes, in which slots are judged ----
    let (noise, lr) = (spec.noise(update, updates), spec.learning_rates(update, updates));
    learner.rollout(update, &noise)?;

    // ---- EPOCHS × MINIBATCHES: gather, act anew, slot gradient, backward, clip, adam ----
    for epoch in 0..spec.apg.epochs as u32 {
        for mb in 0..spec.minibatches() as u32 {
            learner.minibatch(update, epoch, mb, &noise, &lr)?;
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
    let (slots, lr) = (spec.env.sizes().slots as u32, spec.learning_rates(update, updates));
    let exploration = spec.exploration(update, updates);
    for clock in update * slots..(update + 1) * slots {
        // ---- COLLECT: obs --policy + exploration--> actions --env_step--> reward, flags, final_obs, obs ----
        learner.collect(clock, &exploration)?;

        // ---- REPLAY: the slot's transitions take the place of the oldest ----
        learner.store(clock)?;

        // ---- GRADIENT STEPS: sample, targets, loss, backward, clip, adam; then the target networks follow ----
        if spec.learns(clock) {
            for step in 0..spec.common.gradient_steps as u32 {
                learner.minibatch(clock, step, &lr)?;
                learner.targets()?;
            }
        }
    }
    Ok(())
}

fn experts(learner: &mut dyn Experts, spec: &ExpertsSpec, update: u32, updates: u32) -> Result<(), GpuError> {
    // ---- ROLLOUT: obs --scheduler--> actions, logprobs --env_step--> rewards, final_obs, obs; states for L_spat ----
    learner.rollout(update)?;

    // ---- ADVANTAGES: gae in reverse over t; the last slot bootstraps from V(final_obs) ----
    learner.advantages()?;

    // ---- EPOCHS × MINIBATCHES of whole environments: policy and value loss, backward, clip, adam ----
    let rates = spec.learning_rates(update, updates);
    for epoch in 0..spec.epochs() as u32 {
        for mb in 0..spec.minibatches() as u32 {
            learner.minibatch(update, epoch, mb, &rates)?;
        }
    }

    // ---- SPATIAL: channels, L_spat, backward, clip, adam; no gradient of it reaches the scheduler ----
    if spec.layout.isolated() {
        learner.spatial(update, &rates)?;
    }
    Ok(())
}
