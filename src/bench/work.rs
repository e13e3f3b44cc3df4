//! FLOPs of rollouts and updates, by the formula: the sums of what their kernels must do. `None` with spiking networks,
//! whose operations depend on the data. Tasks hand in what their own kernels must do. The CPU backend does the same
//! work by other means; its fused layers are counted as if they were these kernels.

use crate::kernels::layer::Rows;
use crate::kernels::*;
use crate::learn::{ExpertsSpec, PpoSpec};
use crate::nets::experts::Decision;
use crate::nets::lstm::LstmLayout;
use crate::nets::mlp::Layer;
use crate::nets::{Activation, MlpLayout};

/// FLOPs of the parts of an update of all replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flops {
    pub rollout: Option<f64>,
    pub advantages: Option<f64>,
    /// All minibatches of all epochs, and what follows them.
    pub minibatches: Option<f64>,
}

impl Flops {
    /// Advantages and minibatches.
    pub fn update(&self) -> Option<f64> {
        Some(self.advantages? + self.minibatches?)
    }
    pub fn training(&self) -> Option<f64> {
        Some(self.rollout? + self.update()?)
    }
}

/// FLOPs of a task's physics in all environments of all replicas.
#[derive(Clone, Copy, Debug)]
pub struct Physics {
    pub reset: Option<f64>,
    /// One slot.
    pub step: Option<f64>,
}

fn dense(l: &Layer, r: usize, m: usize) -> dense_forward::Spec {
    dense_forward::Spec::of(l, Rows { r, m, p: 0 })
}

/// Forward pass of a perceptron over `m` rows of each replica.
pub fn forward(net: &MlpLayout, r: usize, m: usize) -> Option<f64> {
    if net.lif.is_some() {
        return None;
    }
    net.layers.iter().map(|l| dense_forward::cost(&dense(l, r, m)).flops).sum()
}

/// Gradient by the weights of a dense layer, and by its inputs if anything below wants it, before activation `below`.
fn dense_backward(l: &Layer, r: usize, m: usize, below: Option<Activation>) -> Option<f64> {
    let rows = Rows { r, m, p: 0 };
    let weights = dense_backward_weights::Spec::of(l, rows, 1);
    let inputs = match below {
        Some(act) => dense_backward_input::cost(&dense_backward_input::Spec::of(l, rows, act)).flops?,
        None => 0.0,
    };
    Some(dense_backward_weights::cost(&weights).flops? + inputs)
}

/// Backward pass of a perceptron behind its forward pass; gradients by its input if they are wanted.
pub fn backward(net: &MlpLayout, r: usize, m: usize, by_input: bool) -> Option<f64> {
    if net.lif.is_some() {
        return None;
    }
    let below = |n: usize| match n {
        0 => by_input.then_some(Activation::None),
        n => Some(net.layers[n - 1].act),
    };
    net.layers.iter().enumerate().map(|(n, l)| dense_backward(l, r, m, below(n))).sum()
}

/// Forward pass of an LSTM over `s` steps of `m` sequences of each replica.
pub fn lstm_forward(lstm: &LstmLayout, r: usize, s: usize, m: usize) -> Option<f64> {
    let step = dense_forward::cost(&dense(&lstm.input, r, m)).flops?
        + dense_forward::cost(&dense(&lstm.recurrent, r, m)).flops?
        + crate::kernels::lstm_forward::cost(&crate::kernels::lstm_forward::Spec { r, m, h: lstm.hidden() })
            .flops?;
    Some(s as f64 * step)
}

/// Backward pass of an LSTM without gradients by its input.
pub fn lstm_backward(lstm: &LstmLayout, r: usize, s: usize, m: usize) -> Option<f64> {
    let step = dense_backward(&lstm.input, r, m, None)?
        + dense_backward(&lstm.recurrent, r, m, Some(Activation::None))?
        + crate::kernels::lstm_backward::cost(&crate::kernels::lstm_backward::Spec {
            r,
            m,
            h: lstm.hidden(),
        })
        .flops?;
    Some(s as f64 * step)
}

/// Clipping and Adam over `p` parameters in two groups.
fn optimiser(r: usize, p: usize) -> Option<f64> {
    let norm = grad_norm::Spec { r, p, split: 0, joint: false };
    Some(grad_norm::cost(&norm).flops? + adam::cost(&adam::Spec { r, p, split: 0 }).flops?)
}

/// PPO with perceptrons.
pub fn ppo(spec: &PpoSpec, physics: Physics) -> Flops {
    let (r, b, t, m) = (spec.env.replicas(), spec.ppo.envs, spec.ppo.horizon, spec.ppo.minibatch);
    let (layout, sizes) = (spec.layout(), spec.env.sizes());
    let (p, a) = (layout.params(), sizes.action);
    let both = |rows: usize| Some(forward(&layout.actor, r, rows)? + forward(&layout.critic, r, rows)?);
    let rollout = || {
        let sums = metrics_reduce::Spec { r, metric_rows: sizes.metrics, b };
        let slot = both(b)?
            + gaussian_head::cost(&gaussian_head::Spec { r, b, a, p, behind: 0 }).flops?
            + physics.step?
            + metrics_reduce::cost(&sums).flops?;
        let episodes = (t / sizes.slots) as f64;
        Some(physics.reset? + t as f64 * slot + episodes * forward(&layout.critic, r, b)?)
    };
    let minibatch = || {
        let normalise = spec.ppo.normalise_advantages;
        let stats = advantage_stats::Spec { r, m, unbiased: true, normalise };
        Some(
            both(m)?
                + advantage_stats::cost(&stats).flops?
                + ppo_policy_loss::cost(&ppo_policy_loss::Spec { r, m, a, p, ls_off: 0 }).flops?
                + ppo_value_loss::cost(&ppo_value_loss::Spec { r, m, tail: 0, clip: false }).flops?
                + backward(&layout.actor, r, m, false)?
                + backward(&layout.critic, r, m, false)?
                + column_sum::cost(&column_sum::Spec { r, m, c: a + 4 }).flops?
                + column_sum::cost(&column_sum::Spec { r, m, c: 1 }).flops?
                + optimiser(r, p)?,
        )
    };
    let steps = (spec.ppo.epochs * spec.minibatches()) as f64;
    Flops {
        rollout: rollout(),
        advantages: gae::cost(&gae::Spec { t, r, b }).flops,
        minibatches: minibatch().map(|f| steps * f),
    }
}

/// Experts that share nothing; `None` throughout for architectures that share a trunk. `beams` says the FLOPs of L_spat
/// in that many slots of all environments.
pub fn experts(spec: &ExpertsSpec, physics: Physics, beams: impl FnOnce(usize) -> Option<f64>) -> Flops {
    let Decision::Isolated { lstm, head, phases } = &spec.layout.decision else {
        return Flops { rollout: None, advantages: None, minibatches: None };
    };
    let (r, b, t) = (spec.replicas(), spec.temporal.envs, spec.slots());
    let (k, critic) = (spec.layout.vehicles, &spec.layout.critic);
    let rollout = || {
        let sums = metrics_reduce::Spec { r, metric_rows: spec.env.sizes().metrics, b };
        let slot = lstm_forward(lstm, r, 1, b)?
            + forward(head, r, b)?
            + forward(critic, r, b)?
            + bernoulli_head::cost(&bernoulli_head::Spec { r, b, a: k }).flops?
            + physics.step?
            + metrics_reduce::cost(&sums).flops?;
        Some(physics.reset? + t as f64 * slot + forward(critic, r, b)?)
    };
    let envs = spec.minibatch_envs();
    let m = t * envs;
    let minibatch = || {
        let normalise = spec.temporal.normalise_advantages;
        let stats = advantage_stats::Spec { r, m, unbiased: true, normalise };
        let [policy, others, _] = spec.layout.groups();
        Some(
            advantage_stats::cost(&stats).flops?
                + lstm_forward(lstm, r, t, envs)?
                + forward(head, r, m)?
                + forward(critic, r, m)?
                + bernoulli_policy_loss::cost(&bernoulli_policy_loss::Spec {
                    r,
                    m,
                    a: k,
                    skip: 0,
                    clip: true,
                })
                .flops?
                + ppo_value_loss::cost(&ppo_value_loss::Spec { r, m, tail: 0, clip: false }).flops?
                + backward(head, r, m, true)?
                + lstm_backward(lstm, r, t, envs)?
                + backward(critic, r, m, false)?
                + column_sum::cost(&column_sum::Spec { r, m, c: 5 }).flops?
                + optimiser(r, policy.len() + others.len())?,
        )
    };
    let spatial = || {
        let slots = spec.spatial_slots(0).count();
        let m = slots * b;
        Some(
            forward(phases, r, m)?
                + beams(slots)?
                + backward(phases, r, m, false)?
                + column_sum::cost(&column_sum::Spec { r, m, c: k }).flops?
                + optimiser(r, phases.params())?,
        )
    };
    let steps = (spec.epochs() * spec.minibatches()) as f64;
    Flops {
        rollout: rollout(),
        advantages: gae::cost(&gae::Spec { t, r, b }).flops,
        minibatches: minibatch().and_then(|f| Some(steps * f + spatial()?)),
    }
}
