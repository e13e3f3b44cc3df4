//! Networks out of the dense kernels: layer behind layer, bound on the GPU as training records them, and through the CPU twins.

use crate::gpu::{Buf, Gpu, GpuError};
use crate::kernels::{dense_backward_input, dense_backward_weights, dense_forward, grad_reduce};
use crate::policy::{Activation, MlpLayout};
use crate::real::Real;

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

/// A network's forward pass from one input buffer through its own activations.
pub struct Forward {
    layers: Vec<dense_forward::DenseForwardBound>,
    layout: MlpLayout,
}

impl Forward {
    /// `params` [R, P]; `x` [R, m, I]; `acts[l]` receives the output of layer l, [R, m, O].
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
        acts: &[&Buf<f32>],
    ) -> Result<Self, GpuError> {
        let mut layers = Vec::new();
        for (i, l) in net.layers.iter().enumerate() {
            let spec = dense_forward::Spec {
                r: rows.r,
                m: rows.m,
                i: l.inputs,
                o: l.outputs,
                p: rows.p,
                act: l.act,
            };
            let input = if i == 0 { x } else { acts[i - 1] };
            layers.push(dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, params, input, acts[i]));
        }
        Ok(Forward { layers, layout: net.clone() })
    }

    /// `m` rows per replica from `x_off` of the input to `y_off` of the output.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, x_off: usize, y_off: usize) {
        let last = self.layers.len() - 1;
        for (i, (bound, l)) in self.layers.iter().zip(&self.layout.layers).enumerate() {
            let args = dense_forward::Args {
                m,
                w_off: l.w_off,
                b_off: l.b_off,
                x_off: if i == 0 { x_off } else { 0 },
                y_off: if i == last { y_off } else { 0 },
            };
            bound.record(pass, &args);
        }
    }
}

/// A network's backward pass: weight gradients into partial sums, for `grad_reduce` to add.
pub struct Backward {
    weights: Vec<dense_backward_weights::DenseBackwardWeightsBound>,
    inputs: Vec<Option<dense_backward_input::DenseBackwardInputBound>>,
    layout: MlpLayout,
}

impl Backward {
    /// `x` and `acts` as for the forward pass; `dy[l]` is the gradient by layer l before its activation, of which the last is given and the
    /// others are written; `dx`, if wanted, receives the gradient by the input; `partials` is [slices, R, P].
    #[expect(clippy::too_many_arguments, reason = "a network with its input, activations and gradients")]
    pub fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        rows: Rows,
        slices: usize,
        params: &Buf<f32>,
        x: &Buf<f32>,
        acts: &[&Buf<f32>],
        dy: &[&Buf<f32>],
        dx: Option<&Buf<f32>>,
        partials: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let Rows { r, m, p } = rows;
        let (mut weights, mut inputs) = (Vec::new(), Vec::new());
        for (n, l) in net.layers.iter().enumerate() {
            let (i, o) = (l.inputs, l.outputs);
            let input = if n == 0 { x } else { acts[n - 1] };
            let spec = dense_backward_weights::Spec { r, m, i, o, p, s: slices };
            weights.push(
                dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?
                    .bind(gpu, dy[n], input, partials),
            );
            let below = if n == 0 { dx } else { Some(dy[n - 1]) };
            inputs.push(match below {
                Some(below) => {
                    let spec = dense_backward_input::Spec { r, m, i, o, p, act: act_before(net, n) };
                    Some(
                        dense_backward_input::DenseBackwardInput::new(gpu, &spec)?
                            .bind(gpu, params, dy[n], input, below),
                    )
                }
                None => None,
            });
        }
        Ok(Backward { weights, inputs, layout: net.clone() })
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        for (n, l) in self.layout.layers.iter().enumerate().rev() {
            let args =
                dense_backward_weights::Args { m, w_off: l.w_off, b_off: l.b_off, dy_off: 0, x_off: 0 };
            self.weights[n].record(pass, &args);
            if let Some(input) = &self.inputs[n] {
                input.record(
                    pass,
                    &dense_backward_input::Args { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 },
                );
            }
        }
    }
}

impl Backward {
    /// The gradient by the input alone; the partial sums stay as they are.
    pub fn record_input(&self, pass: &mut wgpu::ComputePass, m: usize) {
        for (input, l) in self.inputs.iter().zip(&self.layout.layers).rev() {
            let input = input.as_ref().expect("made with `dx`");
            let args = dense_backward_input::Args { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 };
            input.record(pass, &args);
        }
    }
}

/// The activation that made the input of layer `n`.
fn act_before(net: &MlpLayout, n: usize) -> Activation {
    if n == 0 { Activation::None } else { net.layers[n - 1].act }
}

/// Slices of the rows in the weight gradient of the CPU twins; more than one, so that their sum is tested too.
pub const CPU_SLICES: usize = 3;

/// What a forward and backward pass leaves.
pub struct Pass<F> {
    /// Input, hidden activations and output, each [R, M, width].
    pub h: Vec<Vec<F>>,
    /// [R, P]; NaN where the parameters are not the network's.
    pub grads: Vec<F>,
    /// Gradient by the input [R, M, I].
    pub dx: Vec<F>,
}

/// Outputs [R, M, O] of each layer, the input first, through the CPU twins.
pub fn forward_cpu<F: Real<Elem = F>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
) -> Vec<Vec<F>> {
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

/// Forward, then backward from `dloss(output)`, through the CPU twins.
pub fn forward_backward_cpu<F: Real<Elem = F>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    dloss: impl FnOnce(&[F]) -> Vec<F>,
) -> Pass<F> {
    let p = params.len() / r;
    let h = forward_cpu(net, (r, m), params, x);
    let mut dy = dloss(&h[net.layers.len()]);
    let mut partials = vec![F::splat(f64::NAN); CPU_SLICES * r * p];
    for (n, l) in net.layers.iter().enumerate().rev() {
        let (i, o) = (l.inputs, l.outputs);
        let spec = dense_backward_weights::Spec { r, m, i, o, p, s: CPU_SLICES };
        let at = dense_backward_weights::Args { m, w_off: l.w_off, b_off: l.b_off, dy_off: 0, x_off: 0 };
        dense_backward_weights::dense_backward_weights_cpu(&spec, &at, &dy, &h[n], &mut partials);
        let spec = dense_backward_input::Spec { r, m, i, o, p, act: act_before(net, n) };
        let at = dense_backward_input::Args { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 };
        let mut dx = vec![F::splat(f64::NAN); r * m * i];
        dense_backward_input::dense_backward_input_cpu(&spec, &at, params, &dy, &h[n], &mut dx);
        dy = dx;
    }
    let mut grads = vec![F::splat(f64::NAN); r * p];
    grad_reduce::grad_reduce_cpu(&grad_reduce::Spec { r, p, s: CPU_SLICES }, &partials, &mut grads);
    Pass { h, grads, dx: dy }
}
