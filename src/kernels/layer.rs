//! A layer of a network as its kernels see it: sizes, and where its parameters lie. Inputs and outputs lie at the
//! starts of their buffers.

use super::lif_forward::CarriedAt;
use super::{dense_backward_input, dense_backward_weights, dense_forward};
use super::{population_backward, population_forward, spike_backward_weights, spike_forward};
use crate::nets::mlp::Layer;
use crate::nets::{Activation, Lif, Population};

/// Sizes that all layers of a network share.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// R: replicas.
    pub r: usize,
    /// Rows of a replica; the most that will be recorded.
    pub m: usize,
    /// P: parameters of a replica.
    pub p: usize,
}

impl dense_forward::Spec {
    pub fn of(l: &Layer, Rows { r, m, p }: Rows) -> Self {
        Self { r, m, i: l.inputs, o: l.outputs, p, act: l.act, b_scale: 1.0 }
    }
}

impl dense_backward_weights::Spec {
    /// Sums over `s` slices of the rows.
    pub fn of(l: &Layer, Rows { r, m, p }: Rows, s: usize) -> Self {
        Self { r, m, i: l.inputs, o: l.outputs, p, s, b_scale: 1.0 }
    }
}

impl dense_backward_input::Spec {
    /// Behind the activation that made the layer's input.
    pub fn of(l: &Layer, Rows { r, m, p }: Rows, act: Activation) -> Self {
        Self { r, m, i: l.inputs, o: l.outputs, p, act }
    }
}

impl spike_forward::Spec {
    pub fn of(l: &Layer, Rows { r, m, p }: Rows, lif: Lif, [keep, trace]: [bool; 2]) -> Self {
        Self { r, m, i: l.inputs, o: l.outputs, p, lif, keep, trace }
    }
}

impl spike_backward_weights::Spec {
    pub fn of(l: &Layer, Rows { r, m, p }: Rows, steps: usize, slices: usize) -> Self {
        Self { r, m, i: l.inputs, o: l.outputs, p, steps, slices }
    }
}

impl population_forward::Spec {
    pub fn of(l: &Layer, of: Population, Rows { r, m, p }: Rows) -> Self {
        Self { r, m, o: l.inputs, fields: of.fields, p, gain: of.gain }
    }
}

impl dense_forward::Args {
    /// `m` rows of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off, x_off: 0, y_off: 0 }
    }
}

impl dense_backward_weights::Args {
    /// `m` rows of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off, dy_off: 0, x_off: 0 }
    }
}

impl dense_backward_input::Args {
    /// `m` rows of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 }
    }
}

impl spike_forward::Args {
    /// `m` samples of each replica; `leak_off` is where the layer's leak is learned, if it is; `carried` where its
    /// potentials are, if they outlive an inference.
    pub fn of(l: &Layer, m: usize, leak_off: usize, carried: CarriedAt) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off, leak_off, carried }
    }
}

impl spike_backward_weights::Args {
    /// `m` samples of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off }
    }
}

impl population_forward::Args {
    /// `m` rows of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off, x_off: 0 }
    }
}

impl population_backward::Args {
    /// `m` rows of each replica.
    pub fn of(l: &Layer, m: usize) -> Self {
        Self { m, w_off: l.w_off, b_off: l.b_off }
    }
}
