//! Leaky integrate-and-fire neurons: (34), (35) of the paper "spiking-ac", with the surrogate gradient (36), (39).
//!
//! One spike step of a neuron with current i = W s + b:
//! U ← (1−λ)·V + λ·i; it fires, s = 1, where U ≥ U_th; then V ← U_r, else V ← U. V starts at 0, or where the inference
//! of the slot before left it ([`Membrane`]). The output layer is a leaky integrator without threshold, read after the
//! last step, or the mean of the steps' currents ([`Readout`]).
//! Backward, ds/dU = (η/2)/(1 + (π·η·(U−U_th)/2)²).

use serde::{Deserialize, Serialize};

/// Most spike steps: the spikes of a neuron are the lower bits of a word.
pub const MAX_STEPS: usize = 16;

/// What a spiking network's output layer makes of the currents i(t) = W s(t) + b of its S steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// The potential of a leaky integrator after the last step, Σ_t λ(1−λ)^(S−1−t) i(t), as the paper has it: with λ =
    /// ½ little more than the last two steps count.
    #[default]
    Last,
    /// The mean of the currents: all steps count alike, so the output moves in smaller steps when a spike comes or
    /// goes.
    Mean,
}

/// Where the potentials of an inference start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Membrane {
    /// At 0: a decision hangs on its observation alone.
    #[default]
    Reset,
    /// Where the inference of the slot before left them, at 0 in the first slot of an episode. The output's integrator
    /// is carried too, where it is one ([`Readout::Last`]).
    Carried,
}

/// Constants of the neurons of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lif {
    /// S, spike steps of one inference, during which the input stays the same (direct encoding).
    pub steps: usize,
    /// λ, share of the current in the new potential.
    pub lambda: f64,
    /// U_th
    pub threshold: f64,
    /// U_r, the potential after a spike.
    pub reset: f64,
    /// η, sharpness of the surrogate gradient.
    pub eta: f64,
    /// Whether the backward pass takes the reset as a constant (dV/dU = 1−s, as snnTorch) or follows it
    /// (dV/dU = 1−s−(U−U_r)·ds/dU, SpikingJelly's default).
    pub detach_reset: bool,
    /// What the output layer reads.
    #[serde(default)]
    pub readout: Readout,
    /// Whether every hidden layer has a λ of its own, sigmoid(w) with a learned w, and starts at `lambda` (PLIF, Fang
    /// et al. 2021). The output layer keeps `lambda`.
    #[serde(default)]
    pub learn_leak: bool,
    /// Where the potentials of an inference start.
    #[serde(default)]
    pub membrane: Membrane,
}

impl Lif {
    /// (share, keep): the output integrator is keep times itself plus share times the step's current.
    pub fn integrator(&self) -> (f64, f64) {
        match self.readout {
            Readout::Last => (self.lambda, 1.0 - self.lambda),
            Readout::Mean => (1.0 / self.steps as f64, 1.0),
        }
    }
    /// Share of the current of step t in the output: λ(1−λ)^(S−1−t), or 1/S.
    pub fn readout_weight(&self, step: usize) -> f64 {
        let (share, keep) = self.integrator();
        share * keep.powi((self.steps - 1 - step) as i32)
    }
    /// Share of the output's potential before an inference in the one after it, (1−λ)^S; the mean of currents keeps
    /// nothing.
    pub fn readout_kept(&self) -> f64 {
        match self.readout {
            Readout::Last => (1.0 - self.lambda).powi(self.steps as i32),
            Readout::Mean => 0.0,
        }
    }
    /// Sum of all [`Lif::readout_weight`]s, 1−(1−λ)^S or 1: what a constant current such as the bias is scaled by.
    pub fn readout_total(&self) -> f64 {
        match self.readout {
            Readout::Last => 1.0 - (1.0 - self.lambda).powi(self.steps as i32),
            Readout::Mean => 1.0,
        }
    }
}
