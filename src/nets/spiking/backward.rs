//! The backward pass: through the spike steps of each layer, and through the layers tile by tile.

use super::encoding::{encode_back, spread};
use super::groups::weight_gradient;
use super::neurons::Neurons;
use super::{Activations, PAPER_STEPS, TILE, of_layer};
use crate::nets::dense::{Aligned, PAD, Packed, RowMajor, Strided, as_is, layer_sums, leading, product};
use crate::nets::{Lif, MlpLayout, Population};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// Rows of a tile, times steps, that the backward pass carries through the layers at once: with the operands of the
/// product by Wᵀ they stay in the first cache. A multiple of 12, too.
const SUBTILE: usize = 48;

/// Rows of a subtile: that part of a tile.
fn subtile_rows(steps: usize) -> usize {
    (SUBTILE / steps).clamp(1, TILE)
}

/// Gradient sums of one network in padded layout, and the space its backward pass needs.
pub struct Gradient {
    /// dW `[out, leading(in)]` of the first and the last layer, dWᵀ `[in, leading(out)]` of those between; of a
    /// [`Population`] `[leading(out)]`.
    w: Vec<Aligned>,
    /// `[leading(out)]` per layer; of the last, without the factor of the constant current.
    b: Vec<Aligned>,
    /// By w of every hidden layer's leak, where it is learned.
    leaks: Vec<f64>,
    /// Gradient by the outputs, `[rows, leading(outputs)]`.
    pub d_out: Aligned,
    /// Gradient by i₁ `[rows, leading(N₁)]`.
    d_current: Aligned,
    /// Of a tile, by the currents of each hidden layer but the first: `[TILE, S, leading(neurons)]`.
    d_currents: Vec<Aligned>,
    /// Of a subtile, with the widest layer's ld: by outputs and h `[subtile_rows, ld]`, by spikes
    /// `[subtile_rows, S, ld]`.
    d_top: Aligned,
    d_weighted: Aligned,
    d_spikes: Aligned,
    /// Inputs of a row, of each neuron that encodes them: `[leading(N₁)]`, or empty.
    spread: Aligned,
    /// Rows that have a gradient.
    live: Vec<usize>,
}

impl Gradient {
    pub fn new(layout: &MlpLayout, lif: &Lif, rows: usize) -> Self {
        let layers = &layout.layers;
        let last = layers.len() - 1;
        let encodes = |i: usize| i == 0 && layout.population.is_some();
        let size = |(i, l): (usize, &crate::nets::mlp::Layer)| {
            if encodes(i) {
                leading(l.outputs)
            } else if i == 0 || i == last {
                l.outputs * leading(l.inputs)
            } else {
                l.inputs * leading(l.outputs)
            }
        };
        let widest = layers[..last].iter().map(|l| leading(l.outputs)).max().expect("a hidden layer");
        let subtile = subtile_rows(lif.steps);
        Gradient {
            w: layers.iter().enumerate().map(|l| Aligned::zeros(size(l))).collect(),
            b: layers.iter().map(|l| Aligned::zeros(leading(l.outputs))).collect(),
            leaks: vec![0.0; layout.leaks().len()],
            d_out: Aligned::zeros(rows * leading(layout.outputs())),
            d_current: Aligned::zeros(rows * leading(layers[0].outputs)),
            d_currents: layers[1..last]
                .iter()
                .map(|l| Aligned::zeros(TILE * lif.steps * leading(l.outputs)))
                .collect(),
            d_top: Aligned::zeros(subtile * leading(layout.outputs())),
            d_weighted: Aligned::zeros(subtile * widest),
            d_spikes: Aligned::zeros(if last > 1 { subtile * lif.steps * widest } else { 0 }),
            spread: Aligned::zeros(if encodes(0) { leading(layers[0].outputs) } else { 0 }),
            live: Vec::with_capacity(rows),
        }
    }

    pub fn clear(&mut self) {
        self.w.iter_mut().chain(&mut self.b).for_each(|v| v.fill(0.0));
        self.leaks.fill(0.0);
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &MlpLayout, lif: &Lif, grads: &mut [f32]) {
        grads[layout.leaks()].iter_mut().zip(&self.leaks).for_each(|(g, sum)| *g = *sum as f32);
        let last = layout.layers.len() - 1;
        for (i, l) in layout.layers.iter().enumerate() {
            let (ldi, ldo, w) = (leading(l.inputs), leading(l.outputs), &self.w[i]);
            if i == 0 && layout.population.is_some() {
                grads[l.w_off..l.b_off].copy_from_slice(&w[..l.outputs]);
                grads[l.b_off..][..l.outputs].copy_from_slice(&self.b[i][..l.outputs]);
                continue;
            }
            for (o, row) in grads[l.w_off..l.b_off].chunks_exact_mut(l.inputs).enumerate() {
                if i == 0 || i == last {
                    row.copy_from_slice(&w[o * ldi..o * ldi + l.inputs]);
                } else {
                    row.iter_mut().enumerate().for_each(|(j, g)| *g = w[j * ldo + o]);
                }
            }
            let total = if i == last { lif.readout_total() as f32 } else { 1.0 };
            let b = &mut grads[l.b_off..l.b_off + l.outputs];
            b.iter_mut().zip(self.b[i].iter()).for_each(|(g, b)| *g = total * b);
        }
    }
}

/// Gradients by the spikes of one sample.
enum Upstream<'a> {
    /// By h `[ld]`, with the weights of the steps.
    Weighted(&'a [f32], &'a [f32]),
    /// `[S, ld]`
    Steps(&'a [f32]),
}

/// The gradient by the currents of one sample and layer, from the gradient by its spikes.
struct Descend<'a> {
    lif: &'a Lif,
    /// Neurons, whole vectors.
    cols: usize,
    up: Upstream<'a>,
    cost: f32,
    /// Potentials before the first step; empty where they are reset.
    start: &'a [f32],
}

impl Descend<'_> {
    /// Gradient by the spikes of step `t`, with what they cost.
    #[inline(always)]
    fn up<V: F32Lanes>(&self, t: usize, ld: usize, j: usize) -> V {
        let cost = V::splat_f32(self.cost);
        match self.up {
            Upstream::Weighted(h, readout) => V::splat_f32(readout[t]).mul_add(V::load(&h[j..]), cost),
            Upstream::Steps(d) => V::load(&d[t * ld + j..]) + cost,
        }
    }

    /// Potentials before the first step.
    #[inline(always)]
    fn start<V: F32Lanes>(&self, j: usize) -> V {
        if self.start.is_empty() { V::splat(0.0) } else { V::load(&self.start[j..]) }
    }

    /// Gradient by the constant current of a first layer: Σ_t ds(t)·ds/dU(t)·dU(t)/di, with dU/di carried forward
    /// through the steps. Returns the gradient by w of the leak sigmoid(w), if it is learned.
    #[inline(always)]
    fn constant<V: F32Lanes>(&self, i: &[f32], di: &mut [f32]) -> f32 {
        match (self.lif.steps, self.lif.learn_leak) {
            (PAPER_STEPS, false) => self.constant_of::<V, PAPER_STEPS, false>(i, di),
            (_, false) => self.constant_of::<V, 0, false>(i, di),
            (_, true) => self.constant_of::<V, 0, true>(i, di),
        }
    }

    /// Gradients by the currents of a later layer, from its potentials; adds their sum to the bias gradient. Returns
    /// the gradient by w as [`Descend::constant`].
    #[inline(always)]
    fn stepwise<V: F32Lanes>(&self, u: &[f32], di: &mut [f32], b: &mut [f32]) -> f32 {
        match (self.lif.steps, self.lif.learn_leak) {
            (PAPER_STEPS, false) => self.stepwise_of::<V, PAPER_STEPS, false>(u, di, b),
            (_, false) => self.stepwise_of::<V, 0, false>(u, di, b),
            (_, true) => self.stepwise_of::<V, 0, true>(u, di, b),
        }
    }

    // dU/dw = λ(1−λ)·(i−V) at one step, and i−V = (U−V)/λ, since U = V + λ(i−V). Factors (1−λ) are left to the end.

    #[inline(always)]
    fn constant_of<V: F32Lanes, const S: usize, const LEAK: bool>(&self, i: &[f32], di: &mut [f32]) -> f32 {
        let steps = if S > 0 { S } else { self.lif.steps };
        let (c, ld) = (Neurons::<V>::new(self.lif), i.len());
        let mut by_leak = V::splat(0.0);
        for j in (0..self.cols).step_by(V::LANES) {
            let drive = c.share * V::load(&i[j..]);
            let (mut v, mut dv, mut sum) = (self.start(j), V::splat(0.0), V::splat(0.0));
            // dV/dw
            let mut dw = V::splat(0.0);
            for t in 0..steps {
                let u = c.keep.mul_add(v, drive);
                let du = c.keep.mul_add(dv, c.share);
                let slope = c.slope(u);
                let up = self.up::<V>(t, ld, j) * slope;
                sum = up.mul_add(du, sum);
                dv = c.carry(u, slope, du);
                if LEAK {
                    let by_w = c.keep.mul_add(dw, u - v);
                    by_leak = up.mul_add(by_w, by_leak);
                    dw = c.carry(u, slope, by_w);
                }
                v = V::select(c.threshold.le(u), c.reset, u);
            }
            sum.store(&mut di[j..]);
        }
        if LEAK { (c.keep * by_leak).sum() } else { 0.0 }
    }

    #[inline(always)]
    fn stepwise_of<V: F32Lanes, const S: usize, const LEAK: bool>(
        &self,
        u: &[f32],
        di: &mut [f32],
        b: &mut [f32],
    ) -> f32 {
        let steps = if S > 0 { S } else { self.lif.steps };
        let (c, ld) = (Neurons::<V>::new(self.lif), u.len() / steps);
        let mut by_leak = V::splat(0.0);
        for j in (0..self.cols).step_by(V::LANES) {
            let (mut dv, mut sum) = (V::splat(0.0), V::splat(0.0));
            for t in (0..steps).rev() {
                let here = V::load(&u[t * ld + j..]);
                let slope = c.slope(here);
                let du = self.up::<V>(t, ld, j).mul_add(slope, c.carry(here, slope, dv));
                let d = c.share * du;
                d.store(&mut di[t * ld + j..]);
                sum += d;
                dv = c.keep * du;
                if LEAK {
                    let v = if t == 0 {
                        self.start(j)
                    } else {
                        let before = V::load(&u[(t - 1) * ld + j..]);
                        V::select(c.threshold.le(before), c.reset, before)
                    };
                    by_leak = du.mul_add(here - v, by_leak);
                }
            }
            (V::load(&b[j..]) + sum).store(&mut b[j..]);
        }
        if LEAK { (c.keep * by_leak).sum() } else { 0.0 }
    }
}

struct Backward<'a> {
    net: &'a Packed,
    lif: &'a Lif,
    rows: usize,
    /// `[rows, leading(inputs)]`, zero beyond the inputs.
    x: &'a [f32],
    acts: &'a Activations,
    cost: f32,
    grad: &'a mut Gradient,
}

impl Backward<'_> {
    /// Rows of a tile through the hidden layers, down to the gradient by i₁.
    #[inline(always)]
    fn tile<V: F32Lanes>(&mut self, readout: &[f32], rows: &[usize]) {
        let (layers, lif, s) = (&self.net.layout.layers, self.lif, self.lif.steps);
        let hidden = layers.len() - 1;
        let Gradient { w, b, leaks, d_out, d_current, d_currents, d_top, d_weighted, d_spikes, .. } =
            &mut *self.grad;
        let top = &layers[hidden];
        let (ldh, ldo) = (leading(top.inputs), leading(top.outputs));
        for (subtile, rows) in rows.chunks(subtile_rows(s)).enumerate() {
            let first = subtile * subtile_rows(s);
            for (d, m) in d_top.chunks_exact_mut(ldo).zip(rows) {
                d.copy_from_slice(&d_out[m * ldo..(m + 1) * ldo]);
            }
            let size = [rows.len(), top.inputs.next_multiple_of(PAD), top.outputs];
            let d = Strided { data: d_top, row: ldo, col: 1 };
            let w = RowMajor { data: &self.net.layers[hidden].w, ld: ldh };
            product::<V, 2>(size, d, w, (d_weighted, ldh), false, as_is);
            for i in (0..hidden).rev() {
                let (state, lif) = (&self.acts.hidden[i], &of_layer(self.net, lif, i));
                let (ld, cols) = (leading(state.neurons), state.neurons.next_multiple_of(PAD));
                for (q, &m) in rows.iter().enumerate() {
                    let up = if i + 1 == hidden {
                        Upstream::Weighted(&d_weighted[q * ld..(q + 1) * ld], readout)
                    } else {
                        Upstream::Steps(&d_spikes[q * s * ld..(q + 1) * s * ld])
                    };
                    let start = self.acts.places.of(&self.acts.before, m, i);
                    let descend = Descend { lif, cols, up, cost: self.cost, start };
                    let by_leak = if i == 0 {
                        let at = m * ld..(m + 1) * ld;
                        descend.constant::<V>(&self.acts.current[at.clone()], &mut d_current[at])
                    } else {
                        let u = &state.u[m * s * ld..(m + 1) * s * ld];
                        let at = (first + q) * s * ld..(first + q + 1) * s * ld;
                        descend.stepwise::<V>(u, &mut d_currents[i - 1][at], &mut b[i])
                    };
                    if let Some(leak) = leaks.get_mut(i) {
                        *leak += f64::from(by_leak);
                    }
                }
                if i > 0 {
                    let l = &layers[i];
                    let ldi = leading(l.inputs);
                    let size = [rows.len() * s, l.inputs.next_multiple_of(PAD), l.outputs];
                    let d = Strided { data: &d_currents[i - 1][first * s * ld..], row: ld, col: 1 };
                    let w = RowMajor { data: &self.net.layers[i].w, ld: ldi };
                    product::<V, 2>(size, d, w, (d_spikes, ldi), false, as_is);
                }
            }
        }
        for i in 1..hidden {
            let outputs = layers[i].outputs;
            let di = RowMajor { data: &d_currents[i - 1], ld: leading(outputs) };
            weight_gradient::<V>((rows, s), &self.acts.hidden[i - 1].groups, di, &mut w[i], outputs);
        }
    }
}

impl LaneKernel for Backward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let (rows, s) = (self.rows, self.lif.steps);
        let readout: Vec<f32> = (0..s).map(|t| self.lif.readout_weight(t) as f32).collect();
        let layers = &self.net.layout.layers;
        let last = layers.len() - 1;
        let (ld0, ldo) = (leading(layers[0].outputs), leading(layers[last].outputs));
        // Nothing goes back from a sample whose outputs have no gradient, such as one that PPO clips, unless spikes
        // cost.
        let mut live = std::mem::take(&mut self.grad.live);
        live.clear();
        for m in 0..rows {
            if self.cost != 0.0 || self.grad.d_out[m * ldo..(m + 1) * ldo].iter().any(|d| *d != 0.0) {
                live.push(m);
            } else {
                self.grad.d_current[m * ld0..(m + 1) * ld0].fill(0.0);
            }
        }
        for tile in live.chunks(TILE) {
            self.tile::<V>(&readout, tile);
        }
        self.grad.live = live;
        let Gradient { w, b, d_out, d_current, spread: x, .. } = self.grad;
        let encoded = self.net.layout.population;
        let first = encoded.is_none().then_some((0, &*d_current, self.x));
        // A loop and no closure: one that is called twice is not compiled for the vector unit.
        for (i, dy, input) in first.into_iter().chain([(last, &*d_out, &self.acts.weighted[..])]) {
            let l = &layers[i];
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            let (dy, x) = (RowMajor { data: dy, ld: ldo }, RowMajor { data: input, ld: ldi });
            layer_sums::<V>([rows, l.outputs, l.inputs], dy, x, (&mut w[i], ldi), &mut b[i]);
        }
        if let Some(Population { fields, .. }) = encoded {
            let l = &layers[0];
            let each = self.x.chunks_exact(leading(l.inputs)).zip(self.acts.current.chunks_exact(ld0));
            for ((row, i), d) in each.zip(d_current.chunks_exact(ld0)).take(rows) {
                spread(row.iter().copied(), fields, &mut x[..l.outputs]);
                encode_back::<V>(self.net, [x, i, d], &mut w[0], &mut b[0]);
            }
        }
    }
}

/// Backward pass: takes the output gradient from `grad.d_out` (`[rows, leading(outputs)]`, zero beyond the outputs) and
/// adds to the sums. `x` is `[rows, leading(inputs)]`; `cost` is added to the gradient by every spike.
pub fn backward(
    net: &Packed,
    lif: &Lif,
    rows: usize,
    x: &[f32],
    acts: &Activations,
    cost: f32,
    grad: &mut Gradient,
) {
    assert!(acts.keep, "the forward pass did not keep what its gradient needs");
    run_lanes(Backward { net, lif, rows, x, acts, cost, grad });
}
