//! What the agents by the analytic gradient of the policy are built from: `apg` with tanh networks, `spiking-apg` with
//! spiking ones, both backends.
//!
//! An actor without a critic: a slot's objective is a differentiable function of the action taken in it
//! ([`SlotGradient`](crate::env::SlotGradient)), so its gradient goes on through the squashing of the raw action,
//! scale·tanh(z), into the network. A rollout under noise gives observations and scenes; every minibatch acts anew in
//! them, under noise of its own, so that a gradient is always one at the present policy's actions. The noise smooths
//! what is climbed, and goes to its final size over the run.
//!
//! The gradient is taken where the simulator knows the slot to be, in its true angles and distances. What an action
//! does to later slots is not in it.

use super::LearnerState;
use crate::config::{ApgConfig, SpikingConfig};
use crate::env::Env;
use crate::nets::cpu::carried_width;
use crate::nets::{Activation, Head, MlpLayout, Policy, Tensor};
use std::f64::consts::SQRT_2;
use std::sync::Arc;

/// What both backends are built from.
#[derive(Clone, Debug)]
pub struct ApgSpec {
    pub env: Arc<dyn Env>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    pub apg: ApgConfig,
    /// A spiking network with these neurons instead of a tanh perceptron.
    pub spiking: Option<SpikingConfig>,
    /// Of each replica where they differ in numbers, `[R]`, or empty.
    pub each: Vec<ApgConfig>,
}

impl ApgSpec {
    /// Agent `apg` with hidden layers of these widths; `None` where a slot of the environment has no gradient.
    pub fn mlp(apg: &ApgConfig, hidden: &[usize], env: Arc<dyn Env>) -> Option<Self> {
        env.slot_gradient()?;
        Some(ApgSpec { env, hidden: hidden.to_vec(), apg: apg.clone(), spiking: None, each: Vec::new() })
    }

    /// Agent `spiking-apg`: neurons, widths (those of `[ppo]` if it has none), initial weights and penalty are those of
    /// `[spiking]`.
    pub fn spiking(
        apg: &ApgConfig,
        hidden: &[usize],
        spiking: &SpikingConfig,
        env: Arc<dyn Env>,
    ) -> Option<Self> {
        let hidden = if spiking.hidden.is_empty() { hidden } else { &spiking.hidden };
        let apg = ApgConfig { lr: apg.lr_spiking, actor_gain: spiking.actor_gain, ..apg.clone() };
        Some(ApgSpec { spiking: Some(spiking.clone()), ..ApgSpec::mlp(&apg, hidden, env)? })
    }

    /// What replica `r` learns with.
    pub fn of(&self, r: usize) -> &ApgConfig {
        self.each.get(r).unwrap_or(&self.apg)
    }

    /// O → A before the squashing.
    pub fn net(&self) -> MlpLayout {
        let neurons = match &self.spiking {
            Some(s) => s.neurons(),
            None => Activation::Tanh.into(),
        };
        let sizes = self.env.sizes();
        MlpLayout::new(&[&[sizes.obs], &self.hidden[..], &[sizes.action]].concat(), neurons, 0)
    }

    /// `actor.fc1.weight`, …
    pub fn tensors(&self) -> Vec<Tensor> {
        self.net().tensors("actor.")
    }

    /// The policy that is learned; it acts without exploration.
    pub fn policy(&self) -> Policy {
        let net = self.net();
        Policy { params: net.end(), net, head: Head::Tanh { scale: self.apg.action_scale as f32 } }
    }

    /// Samples T·B of one update of one replica.
    pub fn samples(&self) -> usize {
        self.apg.envs * self.apg.horizon
    }

    /// Minibatches of one epoch.
    pub fn minibatches(&self) -> usize {
        self.samples() / self.apg.minibatch
    }

    /// Weight of the mean firing rate in the loss.
    pub fn rate_penalty(&self) -> f64 {
        self.spiking.as_ref().map_or(0.0, |s| s.rate_penalty)
    }

    /// Standard deviation of the noise of each replica in an update (0-based) of a run of `total`, `[R]`.
    pub fn noise(&self, update: u32, total: u32) -> Vec<f64> {
        let of = |r: usize| {
            let ApgConfig { noise_start, noise_final, noise_share, .. } = *self.of(r);
            let end = noise_share * f64::from(total);
            let progress = if f64::from(update) < end { f64::from(update) / end } else { 1.0 };
            noise_start + (noise_final - noise_start) * progress
        };
        (0..self.env.replicas()).map(of).collect()
    }

    /// Learning rate of each replica in an update (0-based) of a run of `total`, `[R]`: linear from the configured one
    /// to its final share.
    pub fn learning_rates(&self, update: u32, total: u32) -> Vec<f64> {
        let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
        let of = |r: usize| self.of(r).lr * (1.0 + (self.of(r).lr_final_share - 1.0) * progress.min(1.0));
        (0..self.env.replicas()).map(of).collect()
    }

    /// The key of a schedule that changes and so follows the length of the run, if there is one in any replica.
    pub fn follows_length(&self) -> Option<&'static str> {
        let own = |c: &ApgConfig| match c {
            c if c.lr_final_share != 1.0 => Some("apg.lr_final_share"),
            c => (c.noise_start != c.noise_final).then_some("apg.noise_share"),
        };
        std::iter::once(&self.apg).chain(&self.each).find_map(own)
    }

    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        let net = self.net();
        let gain = self.spiking.as_ref().map_or(SQRT_2, |s| s.hidden_gain);
        let mut params = Vec::new();
        for r in 0..self.env.replicas() {
            let mut flat = vec![0.0; net.end()];
            net.init(self.env.key(r), 0, gain, self.of(r).actor_gain, &mut flat);
            params.extend(flat);
        }
        let zeros = vec![0.0; params.len()];
        LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra: Vec::new() }
    }

    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        let scene = self.env.slot_gradient().map_or(0, |g| g.scene_dim());
        let potentials = carried_width(&self.net());
        let rollout = self.samples() * (self.env.sizes().obs + scene + potentials) * 4;
        let weights = self.net().end() * 4 * (6 + self.apg.minibatch.div_ceil(1024));
        (self.env.replicas() * (rollout + weights)) as u64
    }
}

/// Where the noise of gradient step `step`, 1, 2, …, is drawn: behind every slot of a rollout, which are counted up to
/// 2³¹.
pub(super) fn noise_clock(step: u64) -> u32 {
    1 << 31 | step as u32
}
