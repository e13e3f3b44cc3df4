//! The LSTM of the CPU backend: one register-tiled product for all gates of [h | x], with the gates' functions as its epilogue, and the cell in
//! lanes. The equations are those of the `lstm_forward` and `lstm_backward` twins, with which it is compared by tolerance.
//!
//! Units are padded to Hp, a multiple of [`PAD`]; padded units stay zero. A row of inputs is [h (Hp) | x (I)] with leading dimension
//! [`Sizes::ld_in`], a row of gates [i | f | g | o] (Hp each) with [`Sizes::ld_gates`], a row of cells Hp long.

use super::dense::{PAD, RowMajor, Strided, leading, product, tanh_rational};
use super::lstm::LstmLayout;
use crate::real::{F32Lanes, LaneKernel, run_lanes};

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
    /// [Hp + I, ld_gates], for the forward pass.
    wt: Vec<f32>,
    /// W_hh [4Hp, leading(Hp)], for the gradient by h.
    w_hh: Vec<f32>,
    /// b_ih + b_hh [4Hp]
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
    /// [rows, ld_in]
    pub input: &'a [f32],
    /// Receives the gates after their functions, [rows, ld_gates].
    pub acts: &'a mut [f32],
    /// Holds c before the step from `c_prev`, receives c from `c_now` (they may be equal), [rows, Hp].
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
            self.rows,
            4 * units,
            units + net.layout.inputs(),
            Strided { data: self.input, row: net.sizes.ld_in, col: 1 },
            RowMajor { data: &net.wt, ld: net.sizes.ld_gates },
            self.acts,
            net.sizes.ld_gates,
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

/// One step for rows whose state is overwritten: `input` [rows, ld_in] holds h and receives it.
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
