//! Forward and backward of an MLP through the CPU twins of the dense kernels, layer by layer as the training records them.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::kernels::{dense_backward_input, dense_backward_weights, dense_forward, grad_reduce};
use isacbench::policy::{Activation, MlpLayout};
use isacbench::real::Real;

/// Slices of the rows in the weight gradient; more than one, so that their sum is tested too.
pub const SLICES: usize = 3;

pub struct Pass<F> {
    /// Input, hidden activations and output, each [R, M, width].
    pub h: Vec<Vec<F>>,
    /// [R, P]
    pub grads: Vec<F>,
    /// Gradient at the input [R, M, I].
    pub dx: Vec<F>,
}

/// Outputs [R, M, O] of each layer, the input first.
pub fn forward<F: Real<Elem = F>>(net: &MlpLayout, r: usize, m: usize, params: &[F], x: &[F]) -> Vec<Vec<F>> {
    let p = params.len() / r;
    let mut h = vec![x.to_vec()];
    for l in &net.layers {
        let spec = dense_forward::Spec { r, m, i: l.inputs, o: l.outputs, p, act: l.act };
        let at = dense_forward::Args { m, w_off: l.w_off, b_off: l.b_off, x_off: 0, y_off: 0 };
        let mut y = vec![F::splat(f64::NAN); r * m * l.outputs];
        dense_forward::dense_forward_cpu(&spec, &at, params, &h[h.len() - 1], &mut y);
        h.push(y);
    }
    h
}

/// The activation that made layer `l`'s input.
pub fn act_before(net: &MlpLayout, l: usize) -> Activation {
    if l == 0 { Activation::None } else { net.layers[l - 1].act }
}

/// Forward, then backward from `dloss(output)`.
pub fn forward_backward<F: Real<Elem = F>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    dloss: impl Fn(&[F]) -> Vec<F>,
) -> Pass<F> {
    let p = params.len() / r;
    let h = forward(net, r, m, params, x);
    let mut dy = dloss(&h[net.layers.len()]);
    let mut partials = vec![F::splat(f64::NAN); SLICES * r * p];
    for (n, l) in net.layers.iter().enumerate().rev() {
        let (i, o) = (l.inputs, l.outputs);
        let spec = dense_backward_weights::Spec { r, m, i, o, p, s: SLICES };
        let at = dense_backward_weights::Args { m, w_off: l.w_off, b_off: l.b_off, dy_off: 0, x_off: 0 };
        dense_backward_weights::dense_backward_weights_cpu(&spec, &at, &dy, &h[n], &mut partials);
        let spec = dense_backward_input::Spec { r, m, i, o, p, act: act_before(net, n) };
        let at = dense_backward_input::Args { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 };
        let mut dx = vec![F::splat(f64::NAN); r * m * i];
        dense_backward_input::dense_backward_input_cpu(&spec, &at, params, &dy, &h[n], &mut dx);
        dy = dx;
    }
    let mut grads = vec![F::splat(f64::NAN); r * p];
    grad_reduce::grad_reduce_cpu(&grad_reduce::Spec { r, p, s: SLICES }, &partials, &mut grads);
    Pass { h, grads, dx: dy }
}
