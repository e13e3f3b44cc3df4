//! Leaky integrate-and-fire neurons: (34), (35) of the paper "spiking-ac", with the surrogate gradient (36), (39).
//!
//! One spike step of a neuron with current i = W s + b:
//! U ← (1−λ)·V + λ·i; it fires, s = 1, where U ≥ U_th; then V ← U_r, else V ← U. V starts at 0. The output layer is a leaky integrator
//! without threshold, read after the last step. Backward, ds/dU = (η/2)/(1 + (π·η·(U−U_th)/2)²).

use serde::{Deserialize, Serialize};

/// Most spike steps: the spikes of a neuron are the lower bits of a word.
pub const MAX_STEPS: usize = 16;

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
}

impl Lif {
    /// Share λ(1−λ)^(S−1−t) that the current of step t has in the output integrator after the last step.
    pub fn readout_weight(&self, step: usize) -> f64 {
        self.lambda * (1.0 - self.lambda).powi((self.steps - 1 - step) as i32)
    }
    /// Sum of all [`Lif::readout_weight`]s, 1−(1−λ)^S: what a constant current such as the bias is scaled by.
    pub fn readout_total(&self) -> f64 {
        1.0 - (1.0 - self.lambda).powi(self.steps as i32)
    }
}
