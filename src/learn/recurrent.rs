//! An LSTM over sequences, or step by step, out of the dense and cell kernels: bound on the GPU as training records it,
//! and through the CPU twins.
//!
//! A sequence of S steps lies as `[R, S+1, M, ·]` with one more slot than steps: slot s of `hidden` and `cell` is the
//! state before step s (slot 0 where it starts), slot s of `x` and of the gates belongs to step s, and the last slot of
//! the gates' gradients stays zero. Every product but the recurrent one runs over all (S+1)·M rows at once.

use super::network::{Rows, dense_cpu, dense_input_cpu, dense_weights_cpu};
use crate::gpu::{Buf, Gpu, GpuError, zeros};
use crate::kernels::{
    dense_backward_input, dense_backward_weights, dense_forward, lstm_backward, lstm_forward,
};
use crate::nets::Activation;
use crate::nets::lstm::LstmLayout;
use crate::nets::mlp::Layer;
use crate::num::real::Real;

/// Sizes of a batch of sequences.
#[derive(Clone, Copy, Debug)]
pub struct Sequences {
    /// R: replicas.
    pub r: usize,
    /// S: steps.
    pub s: usize,
    /// M: sequences of a replica.
    pub m: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// Steps after which the backward pass is cut, while the state goes on; 0: nowhere.
    pub t_seq: usize,
}

impl Sequences {
    /// (S+1)·M, rows of a replica.
    pub fn rows(&self) -> usize {
        (self.s + 1) * self.m
    }
    fn forward_args(&self, h: usize, step: usize) -> lstm_forward::Args {
        let slot = self.m * h;
        lstm_forward::Args {
            m: self.m,
            stride: self.rows(),
            gx_off: 4 * slot * step,
            c_prev_off: slot * step,
            c_off: slot * (step + 1),
            acts_off: 4 * slot * step,
            h_off: slot * (step + 1),
        }
    }
    fn backward_args(&self, h: usize, step: usize) -> lstm_backward::Args {
        let slot = self.m * h;
        lstm_backward::Args {
            m: self.m,
            stride: self.rows(),
            dh_off: slot * (step + 1),
            c_prev_off: slot * step,
            c_off: slot * (step + 1),
            acts_off: 4 * slot * step,
            dg_off: 4 * slot * step,
            last: step + 1 == self.s || (step + 1).is_multiple_of(self.t_seq),
        }
    }
}

/// Layers of an LSTM have no activation of their own.
const NONE: Activation = Activation::None;

/// An LSTM's forward and backward pass over sequences on the GPU.
pub struct LstmGpu {
    layout: LstmLayout,
    size: Sequences,
    /// State before every step and after the last, `[R, S+1, M, H]`; slot 0 is where the sequences start (zero at
    /// first).
    pub hidden: Buf<f32>,
    pub cell: Buf<f32>,
    /// h of the current step, `[R, M, H]`; to be set to slot 0 of `hidden` before a forward pass that does not start at
    /// zero.
    pub h_now: Buf<f32>,
    /// Gradient by `hidden`, `[R, S+1, M, H]`, to be filled before the backward pass; slot 0 is not read.
    pub dh: Buf<f32>,
    /// Gradients by the start state, `[R, M, H]`.
    pub dh0: Buf<f32>,
    pub dc: Buf<f32>,
    input: dense_forward::DenseForwardBound,
    recurrent: dense_forward::DenseForwardBound,
    forward: lstm_forward::LstmForwardBound,
    backward: lstm_backward::LstmBackwardBound,
    send_back: dense_backward_input::DenseBackwardInputBound,
    input_weights: dense_backward_weights::DenseBackwardWeightsBound,
    recurrent_weights: dense_backward_weights::DenseBackwardWeightsBound,
    input_back: Option<dense_backward_input::DenseBackwardInputBound>,
}

impl LstmGpu {
    /// `params` `[R, P]`; `x` `[R, S+1, M, I]`, finite in the last slot too; `dx`, if wanted, receives the gradient by
    /// `x`; weight gradients go into `partials` `[slices, R, P]`.
    #[expect(clippy::too_many_arguments, reason = "a layer with its input and gradients")]
    pub fn new(
        gpu: &Gpu,
        layout: &LstmLayout,
        size: Sequences,
        slices: usize,
        params: &Buf<f32>,
        x: &Buf<f32>,
        dx: Option<&Buf<f32>>,
        partials: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let Sequences { r, s, m, p, .. } = size;
        let (h, rows, slots) = (layout.hidden(), size.rows(), s + 1);
        zeros!(gpu, "lstm": gates_x[r, slots, m, 4 * h], gates_h[r, m, 4 * h], acts[r, slots, m, 4 * h],
            hidden[r, slots, m, h], cell[r, slots, m, h], h_now[r, m, h], dh[r, slots, m, h], dh_next[r, m, h],
            dc[r, m, h], d_gates[r, slots, m, 4 * h], d_now[r, m, 4 * h]);
        let cells = lstm_forward::Spec { r, m, h };
        let weights = |l: &Layer, input: &Buf<f32>| {
            let spec = dense_backward_weights::Spec::of(l, Rows { r, m: rows, p }, slices);
            Ok::<_, GpuError>(
                dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?
                    .bind(gpu, &d_gates, input, partials),
            )
        };
        let back = |l: &Layer, m: usize, from: &Buf<f32>, to: &Buf<f32>| {
            let spec = dense_backward_input::Spec::of(l, Rows { r, m, p }, NONE);
            Ok::<_, GpuError>(
                dense_backward_input::DenseBackwardInput::new(gpu, &spec)?.bind(gpu, params, from, from, to),
            )
        };
        let dense = |l: &Layer, m: usize, from: &Buf<f32>, to: &Buf<f32>| {
            let spec = dense_forward::Spec::of(l, Rows { r, m, p });
            Ok::<_, GpuError>(dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, params, from, to))
        };
        Ok(LstmGpu {
            input: dense(&layout.input, rows, x, &gates_x)?,
            recurrent: dense(&layout.recurrent, m, &h_now, &gates_h)?,
            forward: lstm_forward::LstmForward::new(gpu, &cells)?
                .bind(gpu, &gates_x, &gates_h, &cell, &acts, &hidden, &h_now),
            backward: lstm_backward::LstmBackward::new(gpu, &lstm_backward::Spec { r, m, h })?
                .bind(gpu, &dh, &dh_next, &cell, &acts, &dc, &d_gates, &d_now),
            send_back: back(&layout.recurrent, m, &d_now, &dh_next)?,
            input_weights: weights(&layout.input, x)?,
            recurrent_weights: weights(&layout.recurrent, &hidden)?,
            input_back: dx.map(|dx| back(&layout.input, rows, &d_gates, dx)).transpose()?,
            layout: layout.clone(),
            size,
            hidden,
            cell,
            h_now,
            dh,
            dh0: dh_next,
            dc,
        })
    }

    /// All steps: `hidden` and `cell` from slot 1 on.
    pub fn record_forward(&self, pass: &mut wgpu::ComputePass) {
        self.input.record(pass, &dense_forward::Args::of(&self.layout.input, self.size.rows()));
        for step in 0..self.size.s {
            self.recurrent.record(pass, &dense_forward::Args::of(&self.layout.recurrent, self.size.m));
            self.forward.record(pass, &self.size.forward_args(self.layout.hidden(), step));
        }
    }

    /// Back through all steps from `dh`: weight gradients, `dh0`, `dc`, and the gradient by `x`.
    pub fn record_backward(&self, pass: &mut wgpu::ComputePass) {
        let (l, rows) = (&self.layout, self.size.rows());
        for step in (0..self.size.s).rev() {
            self.backward.record(pass, &self.size.backward_args(l.hidden(), step));
            self.send_back.record(pass, &dense_backward_input::Args::of(&l.recurrent, self.size.m));
        }
        for (bound, layer) in [(&self.input_weights, &l.input), (&self.recurrent_weights, &l.recurrent)] {
            bound.record(pass, &dense_backward_weights::Args::of(layer, rows));
        }
        if let Some(back) = &self.input_back {
            back.record(pass, &dense_backward_input::Args::of(&l.input, rows));
        }
    }
}

/// An LSTM that acts: one step at a time, its state carried from one to the next and nothing kept for a backward pass.
pub struct LstmStepGpu {
    layout: LstmLayout,
    m: usize,
    /// State `[R, M, H]`, to be set to zero where sequences start.
    pub hidden: Buf<f32>,
    pub cell: Buf<f32>,
    input: dense_forward::DenseForwardBound,
    recurrent: dense_forward::DenseForwardBound,
    forward: lstm_forward::LstmForwardBound,
}

impl LstmStepGpu {
    /// `params` `[R, P]`; `x` holds the inputs `[R, M, I]` of all steps, at the offsets of [`LstmStepGpu::record`].
    pub fn new(
        gpu: &Gpu,
        layout: &LstmLayout,
        Rows { r, m, p }: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let h = layout.hidden();
        zeros!(gpu, "lstm.step": gates_x[r, m, 4 * h], gates_h[r, m, 4 * h], acts[r, m, 4 * h], copy[r, m, h],
            hidden[r, m, h], cell[r, m, h]);
        let dense = |l: &Layer, from: &Buf<f32>, to: &Buf<f32>| {
            let spec = dense_forward::Spec::of(l, Rows { r, m, p });
            Ok::<_, GpuError>(dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, params, from, to))
        };
        Ok(LstmStepGpu {
            input: dense(&layout.input, x, &gates_x)?,
            recurrent: dense(&layout.recurrent, &hidden, &gates_h)?,
            forward: lstm_forward::LstmForward::new(gpu, &lstm_forward::Spec { r, m, h })?
                .bind(gpu, &gates_x, &gates_h, &cell, &acts, &copy, &hidden),
            layout: layout.clone(),
            m,
            hidden,
            cell,
        })
    }

    /// One step from the inputs at element `x_off`.
    pub fn record(&self, pass: &mut wgpu::ComputePass, x_off: usize) {
        let m = self.m;
        self.input
            .record(pass, &dense_forward::Args { x_off, ..dense_forward::Args::of(&self.layout.input, m) });
        self.recurrent.record(pass, &dense_forward::Args::of(&self.layout.recurrent, m));
        let args =
            lstm_forward::Args { m, stride: m, gx_off: 0, c_prev_off: 0, c_off: 0, acts_off: 0, h_off: 0 };
        self.forward.record(pass, &args);
    }
}

/// What a pass over sequences leaves.
pub struct LstmPass<F> {
    /// `[R, S+1, M, H]`
    pub hidden: Vec<F>,
    pub cell: Vec<F>,
    /// `[R, S+1, M, I]`, zero in the last slot.
    pub dx: Vec<F>,
    /// `[R, M, H]`
    pub dh0: Vec<F>,
    pub dc0: Vec<F>,
}

/// Forward from the start state `h0`, `c0` `[R, M, H]`, then backward from `dloss(hidden)`, both `[R, S+1, M, H]`,
/// through the CPU twins. Weight gradients go into `partials` `[slices, R, P]`.
#[expect(clippy::too_many_arguments, reason = "a layer with its input, state and gradients")]
pub fn forward_backward_cpu<F: Real<Elem = F>>(
    layout: &LstmLayout,
    size: Sequences,
    slices: usize,
    params: &[F],
    x: &[F],
    (h0, c0): (&[F], &[F]),
    dloss: impl FnOnce(&[F]) -> Vec<F>,
    partials: &mut [F],
) -> LstmPass<F> {
    let Sequences { r, s, m, .. } = size;
    let (h, rows) = (layout.hidden(), size.rows());
    let zeros = |n: usize| vec![F::splat(0.0); n];
    let gates_x = dense_cpu(&layout.input, (r, rows), 1.0, params, x);
    let (mut hidden, mut cell) = (zeros(r * rows * h), zeros(r * rows * h));
    for k in 0..r {
        let slot = m * h;
        hidden[k * rows * h..][..slot].copy_from_slice(&h0[k * slot..][..slot]);
        cell[k * rows * h..][..slot].copy_from_slice(&c0[k * slot..][..slot]);
    }
    let mut h_now = h0.to_vec();
    let mut acts = zeros(r * rows * 4 * h);
    let cells = lstm_forward::Spec { r, m, h };
    for step in 0..s {
        let gates_h = dense_cpu(&layout.recurrent, (r, m), 1.0, params, &h_now);
        let args = size.forward_args(h, step);
        lstm_forward::lstm_forward_cpu(
            &cells,
            &args,
            &gates_x,
            &gates_h,
            &mut cell,
            &mut acts,
            &mut hidden,
            &mut h_now,
        );
    }
    let dh = dloss(&hidden);
    let (mut dh_next, mut dc) = (zeros(r * m * h), zeros(r * m * h));
    let (mut d_gates, mut d_now) = (zeros(r * rows * 4 * h), zeros(r * m * 4 * h));
    let cells = lstm_backward::Spec { r, m, h };
    for step in (0..s).rev() {
        let args = size.backward_args(h, step);
        lstm_backward::lstm_backward_cpu(
            &cells,
            &args,
            &dh,
            &dh_next,
            &cell,
            &acts,
            &mut dc,
            &mut d_gates,
            &mut d_now,
        );
        dh_next = dense_input_cpu(&layout.recurrent, (r, m), NONE, params, &[], &d_now);
    }
    for (l, input) in [(&layout.input, x), (&layout.recurrent, &hidden[..])] {
        dense_weights_cpu(l, (r, rows), slices, 1.0, input, &d_gates, partials);
    }
    let dx = dense_input_cpu(&layout.input, (r, rows), NONE, params, &[], &d_gates);
    LstmPass { hidden, cell, dx, dh0: dh_next, dc0: dc }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::inputs::normal;

    /// A cut backward pass is that of the pieces, each from the state in which the one before it ended.
    #[test]
    fn a_cut_pass_is_the_sum_of_its_pieces() {
        let (m, s, inputs, h) = (3, 7, 2, 4);
        let layout = LstmLayout::new(inputs, h, 0);
        let p = layout.params();
        let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
        let params = wide(normal(1, 0, p, 0.5));
        let mut x = wide(normal(2, 0, s * m * inputs, 1.0));
        x.resize((s + 1) * m * inputs, 0.0);
        let up = wide(normal(3, 0, (s + 1) * m * h, 1.0));
        // Steps [from, to) from a state, the gradient cut behind every `t_seq` of them.
        let pass = |from: usize, to: usize, start: (&[f64], &[f64]), t_seq: usize| {
            let size = Sequences { r: 1, s: to - from, m, p, t_seq };
            let mut own = x[from * m * inputs..to * m * inputs].to_vec();
            own.resize((to - from + 1) * m * inputs, 0.0);
            let mut partials = vec![0.0; p];
            let dloss = |_: &[f64]| up[from * m * h..(to + 1) * m * h].to_vec();
            let pass = forward_backward_cpu(&layout, size, 1, &params, &own, start, dloss, &mut partials);
            (pass, partials)
        };
        let zeros = vec![0.0; m * h];
        let (whole, full) = pass(0, s, (&zeros, &zeros), 0);
        for t_seq in [1, 3, s, s + 1] {
            let (_, cut) = pass(0, s, (&zeros, &zeros), t_seq);
            let mut sum = vec![0.0; p];
            for from in (0..s).step_by(t_seq) {
                let state = from * m * h..(from + 1) * m * h;
                let start = (&whole.hidden[state.clone()], &whole.cell[state]);
                let (_, piece) = pass(from, s.min(from + t_seq), start, 0);
                sum.iter_mut().zip(piece).for_each(|(a, b)| *a += b);
            }
            let off = cut.iter().zip(&sum).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12, "cut behind every {t_seq} steps: {off:e} off the sum of its pieces");
            assert_eq!(cut == full, t_seq >= s, "cut behind every {t_seq} of {s} steps");
        }
    }
}
