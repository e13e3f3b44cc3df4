//! The LSTM of the CPU backend: one register-tiled product for all gates of [h | x], with the gates' functions as its
//! epilogue, and the cell in lanes. The equations are those of the `lstm_forward` and `lstm_backward` twins, with which
//! it is compared by tolerance.
//!
//! Units are padded to Hp, a multiple of [`PAD`]; padded units stay zero. A row of inputs is [h (Hp) | x (I)] with
//! leading dimension [`Sizes::ld_in`], a row of gates [i | f | g | o] (Hp each) with [`Sizes::ld_gates`], a row of
//! cells Hp long.

use super::MlpLayout;
use super::dense::{PAD, Packed, RowMajor, Strided, as_is, layer_sums, leading, product, tanh_rational};
use super::lstm::LstmLayout;
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// How rows lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Hp
    pub units: usize,
    /// Floats from one row of inputs to the next.
    pub ld_in: usize,
    /// Floats from one row of gates to the next.
    pub ld_gates: usize,
}

impl Sizes {
    pub fn of(layout: &LstmLayout) -> Self {
        let units = layout.hidden().next_multiple_of(PAD);
        Sizes { units, ld_in: leading(units + layout.inputs()), ld_gates: leading(4 * units) }
    }
}

/// Weights laid out for [`product`]. Rebuilt after every update.
pub struct LstmPacked {
    pub layout: LstmLayout,
    pub sizes: Sizes,
    /// `[Hp + I, ld_gates]`, for the forward pass.
    wt: Vec<f32>,
    /// W_hh `[4Hp, leading(Hp)]`, for the gradient by h.
    w_hh: Vec<f32>,
    /// b_ih + b_hh `[4Hp]`
    bias: Vec<f32>,
}

impl LstmPacked {
    pub fn new(layout: &LstmLayout) -> Self {
        let sizes = Sizes::of(layout);
        let units = sizes.units;
        LstmPacked {
            layout: layout.clone(),
            sizes,
            wt: vec![0.0; (units + layout.inputs()) * sizes.ld_gates],
            w_hh: vec![0.0; 4 * units * leading(units)],
            bias: vec![0.0; 4 * units],
        }
    }

    /// Takes the weights from the replica's flat vector.
    pub fn pack(&mut self, params: &[f32]) {
        let (h, inputs, units) = (self.layout.hidden(), self.layout.inputs(), self.sizes.units);
        let (ld, ldh) = (self.sizes.ld_gates, leading(units));
        let (ih, hh) = (self.layout.input, self.layout.recurrent);
        for gate in 0..4 {
            for j in 0..h {
                let (o, at) = (gate * h + j, gate * units + j);
                let row = &params[hh.w_off + o * h..][..h];
                self.w_hh[at * ldh..][..h].copy_from_slice(row);
                row.iter().enumerate().for_each(|(i, w)| self.wt[i * ld + at] = *w);
                for (i, w) in params[ih.w_off + o * inputs..][..inputs].iter().enumerate() {
                    self.wt[(units + i) * ld + at] = *w;
                }
                self.bias[at] = params[ih.b_off + o] + params[hh.b_off + o];
            }
        }
    }
}

/// One step forward of `rows` rows.
pub struct LstmStep<'a> {
    pub net: &'a LstmPacked,
    pub rows: usize,
    /// `[rows, ld_in]`
    pub input: &'a [f32],
    /// Receives the gates after their functions, `[rows, ld_gates]`.
    pub acts: &'a mut [f32],
    /// Holds c before the step from `c_prev`, receives c from `c_now` (they may be equal), `[rows, Hp]`.
    pub cell: &'a mut [f32],
    pub c_prev: usize,
    pub c_now: usize,
}

impl LstmStep<'_> {
    #[inline(always)]
    fn gates<V: F32Lanes>(&mut self) {
        let (net, units) = (self.net, self.net.sizes.units);
        let (half, bias) = (V::splat(0.5), &net.bias);
        product::<V, 2>(
            [self.rows, 4 * units, units + net.layout.inputs()],
            Strided { data: self.input, row: net.sizes.ld_in, col: 1 },
            RowMajor { data: &net.wt, ld: net.sizes.ld_gates },
            (self.acts, net.sizes.ld_gates),
            false,
            #[inline(always)]
            |s, _, j| {
                let z = s + V::load(&bias[j..]);
                if j / units == 2 {
                    tanh_rational(z)
                } else {
                    // σ(z) = ½ + ½ tanh(z/2)
                    half.mul_add(tanh_rational(half * z), half)
                }
            },
        );
    }

    #[inline(always)]
    fn cells<V: F32Lanes>(&mut self, hidden: &mut [f32], ld_hidden: usize) {
        let (units, ld) = (self.net.sizes.units, self.net.sizes.ld_gates);
        for m in 0..self.rows {
            let acts = &self.acts[m * ld..][..4 * units];
            for j in (0..units).step_by(V::LANES) {
                let [i, f, g, o] = [0, 1, 2, 3].map(|q| V::load(&acts[q * units + j..]));
                let at = m * units + j;
                let c = f.mul_add(V::load(&self.cell[self.c_prev + at..]), i * g);
                c.store(&mut self.cell[self.c_now + at..]);
                (o * tanh_rational(c)).store(&mut hidden[m * ld_hidden + j..]);
            }
        }
    }
}

struct Step<'a, 'b> {
    step: LstmStep<'a>,
    hidden: &'b mut [f32],
    ld_hidden: usize,
}

impl LaneKernel for Step<'_, '_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        self.step.gates::<V>();
        self.step.cells::<V>(self.hidden, self.ld_hidden);
    }
}

/// One step; h goes to the first Hp of every `ld_hidden` floats of `hidden`.
pub fn step(step: LstmStep, hidden: &mut [f32], ld_hidden: usize) {
    run_lanes(Step { step, hidden, ld_hidden });
}

/// One step for rows whose state is overwritten: `input` `[rows, ld_in]` holds h and receives it.
pub fn step_in_place(net: &LstmPacked, rows: usize, input: &mut [f32], acts: &mut [f32], cell: &mut [f32]) {
    struct InPlace<'a>(&'a LstmPacked, usize, &'a mut [f32], &'a mut [f32], &'a mut [f32]);
    impl LaneKernel for InPlace<'_> {
        type Out = ();
        #[inline(always)]
        fn run<V: F32Lanes>(self) {
            let InPlace(net, rows, input, acts, cell) = self;
            LstmStep { net, rows, input, acts, cell, c_prev: 0, c_now: 0 }.gates::<V>();
            LstmStep { net, rows, input: &[], acts, cell, c_prev: 0, c_now: 0 }
                .cells::<V>(input, net.sizes.ld_in);
        }
    }
    run_lanes(InPlace(net, rows, input, acts, cell));
}

/// Slots whose weight gradients are taken in one product have about this many rows together: enough to pay for reading
/// and writing the sums.
const ROWS: usize = 96;

/// Sequences from zero state with what a backward pass needs: T steps of up to `rows` rows. Arrays are `[T+1, rows, ·]`
/// or `[T, rows, ·]` of the rows in use.
pub struct Sequences {
    sizes: Sizes,
    steps: usize,
    /// Steps after which no gradient is sent back; 0: all of them.
    t_seq: usize,
    /// `[T+1, rows, ld_in]`: h before a step, and x; the last slot holds the last h.
    pub input: Vec<f32>,
    /// `[T+1, rows, Hp]`: c before a step, and the last.
    cell: Vec<f32>,
    /// `[T, rows, ld_gates]`: gates after their functions, then the gradients by their sums.
    acts: Vec<f32>,
    /// Gradients by h and c of the current step, `[rows, leading(Hp)]` and `[rows, Hp]`.
    dh: Vec<f32>,
    dc: Vec<f32>,
}

impl Sequences {
    pub fn new(layout: &LstmLayout, steps: usize, rows: usize) -> Self {
        let sizes = Sizes::of(layout);
        Sequences {
            sizes,
            steps,
            t_seq: 0,
            input: vec![0.0; (steps + 1) * rows * sizes.ld_in],
            cell: vec![0.0; (steps + 1) * rows * sizes.units],
            acts: vec![0.0; steps * rows * sizes.ld_gates],
            dh: vec![0.0; rows * leading(sizes.units)],
            dc: vec![0.0; rows * sizes.units],
        }
    }

    /// The same with the backward pass cut behind every `t_seq` steps; the state goes on. 0: nowhere.
    pub fn cut(self, t_seq: usize) -> Self {
        Sequences { t_seq, ..self }
    }

    /// x of row `row` of step `step` of sequences of `rows` rows.
    pub fn x(&mut self, rows: usize, step: usize, row: usize) -> &mut [f32] {
        &mut self.input[(step * rows + row) * self.sizes.ld_in + self.sizes.units..]
    }

    /// h after every step, from which linear layers read with [`Sizes::ld_in`] between rows: `[T, rows]`.
    pub fn hidden(&self, rows: usize) -> &[f32] {
        &self.input[rows * self.sizes.ld_in..]
    }

    /// All steps from zero state.
    pub fn forward(&mut self, net: &LstmPacked, rows: usize) {
        let Sizes { units, ld_in, ld_gates } = self.sizes;
        self.input.chunks_mut(ld_in).take(rows).for_each(|row| row[..units].fill(0.0));
        self.cell[..rows * units].fill(0.0);
        for t in 0..self.steps {
            let (before, after) = self.input.split_at_mut((t + 1) * rows * ld_in);
            let one = LstmStep {
                net,
                rows,
                input: &before[t * rows * ld_in..],
                acts: &mut self.acts[t * rows * ld_gates..],
                cell: &mut self.cell,
                c_prev: t * rows * units,
                c_now: (t + 1) * rows * units,
            };
            step(one, after, ld_in);
        }
    }

    /// Back through all steps behind [`Sequences::forward`], from `d_head` `[T, rows, leading(K)]`, the gradient by the
    /// outputs of the linear layer `head` on h; adds to the sums of both. Leaves the gradients by the gates' sums in
    /// place of the gates.
    pub fn backward(
        &mut self,
        net: &LstmPacked,
        head: &Packed,
        rows: usize,
        d_head: &[f32],
        grad: &mut LstmGradient,
    ) {
        run_lanes(Backward { net, head, rows, d_head, seq: self, grad });
    }
}

/// Gradient sums of an LSTM and the linear layer behind it.
pub struct LstmGradient {
    sizes: Sizes,
    /// `[4Hp, ld_in]`: by W_hh, then W_ih.
    w: Vec<f32>,
    /// `[4Hp]`
    b: Vec<f32>,
    /// `[K, Hp]`
    head_w: Vec<f32>,
    head_b: Vec<f32>,
}

impl LstmGradient {
    pub fn new(layout: &LstmLayout, head: &MlpLayout) -> Self {
        let sizes = Sizes::of(layout);
        LstmGradient {
            sizes,
            w: vec![0.0; 4 * sizes.units * sizes.ld_in],
            b: vec![0.0; 4 * sizes.units],
            head_w: vec![0.0; head.outputs() * sizes.units],
            head_b: vec![0.0; leading(head.outputs())],
        }
    }

    pub fn clear(&mut self) {
        for v in [&mut self.w, &mut self.b, &mut self.head_w, &mut self.head_b] {
            v.fill(0.0);
        }
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &LstmLayout, head: &MlpLayout, grads: &mut [f32]) {
        let Sizes { units, ld_in, .. } = self.sizes;
        let h = layout.hidden();
        for (l, from) in [(&layout.recurrent, 0), (&layout.input, units)] {
            for gate in 0..4 {
                for j in 0..h {
                    let row = &self.w[(gate * units + j) * ld_in + from..][..l.inputs];
                    grads[l.w_off + (gate * h + j) * l.inputs..][..l.inputs].copy_from_slice(row);
                }
                grads[l.b_off + gate * h..][..h].copy_from_slice(&self.b[gate * units..][..h]);
            }
        }
        let l = &head.layers[0];
        for (to, from) in grads[l.w_off..l.b_off].chunks_exact_mut(h).zip(self.head_w.chunks_exact(units)) {
            to.copy_from_slice(&from[..h]);
        }
        grads[l.b_off..l.b_off + l.outputs].copy_from_slice(&self.head_b[..l.outputs]);
    }
}

struct Backward<'a> {
    net: &'a LstmPacked,
    head: &'a Packed,
    rows: usize,
    d_head: &'a [f32],
    seq: &'a mut Sequences,
    grad: &'a mut LstmGradient,
}

impl LaneKernel for Backward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let Backward { net, head, rows, d_head, seq, grad } = self;
        let Sizes { units, ld_in, ld_gates } = net.sizes;
        let (ldh, outputs) = (leading(units), head.layout.outputs());
        let ldk = leading(outputs);
        let (w_head, ld_head) = (&head.layers[0].w, leading(head.layout.inputs()));
        let slots = (ROWS / rows).max(1);
        let (one, mut done) = (V::splat(1.0), seq.steps);
        for t in (0..seq.steps).rev() {
            // dh = W_hhᵀ·(gates' gradients of the next step) + W_headᵀ·(the head's)
            let last = t + 1 == seq.steps || (t + 1).is_multiple_of(seq.t_seq);
            if last {
                seq.dc[..rows * units].fill(0.0);
            } else {
                let d_gates = Strided { data: &seq.acts[(t + 1) * rows * ld_gates..], row: ld_gates, col: 1 };
                let w = RowMajor { data: &net.w_hh, ld: ldh };
                product::<V, 2>([rows, units, 4 * units], d_gates, w, (&mut seq.dh, ldh), false, as_is);
            }
            let d = Strided { data: &d_head[t * rows * ldk..], row: ldk, col: 1 };
            let w = RowMajor { data: w_head, ld: ld_head };
            product::<V, 2>([rows, units, outputs], d, w, (&mut seq.dh, ldh), !last, as_is);
            for m in 0..rows {
                let acts = &mut seq.acts[(t * rows + m) * ld_gates..][..4 * units];
                for j in (0..units).step_by(V::LANES) {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|q| V::load(&acts[q * units + j..]));
                    let before = V::load(&seq.cell[(t * rows + m) * units + j..]);
                    let c = tanh_rational(V::load(&seq.cell[((t + 1) * rows + m) * units + j..]));
                    let dh = V::load(&seq.dh[m * ldh + j..]);
                    let dc = V::load(&seq.dc[m * units + j..]) + (dh * o) * (one - c * c);
                    let by = [
                        (dc * g) * (i * (one - i)),
                        (dc * before) * (f * (one - f)),
                        (dc * i) * (one - g * g),
                        (dh * c) * (o * (one - o)),
                    ];
                    for (q, d) in by.into_iter().enumerate() {
                        d.store(&mut acts[q * units + j..]);
                    }
                    (dc * f).store(&mut seq.dc[m * units + j..]);
                }
            }
            if done - t == slots || t == 0 {
                let many = (done - t) * rows;
                let d_gates = RowMajor { data: &seq.acts[t * rows * ld_gates..], ld: ld_gates };
                let x = RowMajor { data: &seq.input[t * rows * ld_in..], ld: ld_in };
                let size = [many, 4 * units, units + net.layout.inputs()];
                layer_sums::<V>(size, d_gates, x, (&mut grad.w, ld_in), &mut grad.b);
                done = t;
            }
        }
        let (d, h) = (RowMajor { data: d_head, ld: ldk }, RowMajor { data: seq.hidden(rows), ld: ld_in });
        let size = [seq.steps * rows, outputs, units];
        layer_sums::<V>(size, d, h, (&mut grad.head_w, units), &mut grad.head_b);
    }
}
