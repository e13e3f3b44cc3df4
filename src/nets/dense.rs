//! The dense layers of the CPU backend: weights packed for the [products](super::product), forward and backward passes
//! of a whole network.

use super::mlp::Layer;
pub use super::product::*;
use super::{Activation, MlpLayout};
use crate::num::real::{F32Lanes, LaneKernel, Real, run_lanes};

/// target ← τ·online + (1 − τ)·target over `params` and `target` `[R, P]`: the twin of kernel `polyak`, and what the
/// packed layers do.
pub fn polyak_cpu<F: Real<Elem = F>>(tau: F, params: &[F], target: &mut [F]) {
    let rest = F::splat(1.0) - tau;
    for (target, &online) in target.iter_mut().zip(params) {
        *target = tau * online + rest * *target;
    }
}

/// Rows that go through the layers together: what a layer reads and writes of them stays in the first cache. Whole
/// tiles of 12.
const TALL: usize = 48;

/// One network's weights laid out for [`product`]: padded, and transposed for the forward pass. Rebuilt after every
/// update.
pub struct Packed {
    pub layout: MlpLayout,
    pub(super) layers: Vec<PackedLayer>,
    /// λ of every hidden layer of spiking neurons where they are learned.
    pub(super) leaks: Vec<f32>,
}

pub(super) struct PackedLayer {
    /// Wᵀ `[in, leading(out)]`, for the forward pass.
    pub wt: Aligned,
    /// W `[out, leading(in)]`, for the input gradient. Of a [`Population`](super::Population) this is `[leading(out)]`,
    /// and Wᵀ is empty.
    pub w: Aligned,
    /// `[leading(out)]`
    pub bias: Aligned,
}

impl Packed {
    pub fn new(layout: &MlpLayout) -> Self {
        let encoder = layout.layers.iter().take(layout.layers.len() - layout.dense_layers().len());
        let encoder = encoder.map(|l| PackedLayer {
            wt: Aligned::zeros(0),
            w: Aligned::zeros(leading(l.outputs)),
            bias: Aligned::zeros(leading(l.outputs)),
        });
        let dense = layout.dense_layers().iter().map(|l| PackedLayer {
            wt: Aligned::zeros(l.inputs * leading(l.outputs)),
            w: Aligned::zeros(l.outputs * leading(l.inputs)),
            bias: Aligned::zeros(leading(l.outputs)),
        });
        let leaks = vec![0.0; layout.leaks().len()];
        Packed { layout: layout.clone(), layers: encoder.chain(dense).collect(), leaks }
    }

    /// Takes the weights from the replica's flat vector.
    pub fn pack(&mut self, params: &[f32]) {
        let logits = &params[self.layout.leaks()];
        self.leaks.iter_mut().zip(logits).for_each(|(leak, w)| *leak = w.sigmoid());
        for (n, (l, p)) in self.layout.layers.iter().zip(&mut self.layers).enumerate() {
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            p.bias[..l.outputs].copy_from_slice(&params[l.b_off..l.b_off + l.outputs]);
            if n == 0 && self.layout.population.is_some() {
                p.w[..l.outputs].copy_from_slice(&params[l.w_off..l.b_off]);
                continue;
            }
            for (o, row) in params[l.w_off..l.b_off].chunks_exact(l.inputs).enumerate() {
                p.w[o * ldi..o * ldi + l.inputs].copy_from_slice(row);
                for (i, x) in row.iter().enumerate() {
                    p.wt[i * ldo + o] = *x;
                }
            }
        }
    }

    /// self ← τ·online + (1 − τ)·self, the bits that packing the so mixed flat vectors would give.
    pub fn blend(&mut self, tau: f32, online: &Packed) {
        for (p, q) in self.layers.iter_mut().zip(&online.layers) {
            for (to, from) in [(&mut p.wt, &q.wt), (&mut p.w, &q.w), (&mut p.bias, &q.bias)] {
                polyak_cpu(tau, from, to);
            }
        }
    }

    /// Weights `[leading(inputs)]` and bias of output `o` of the last layer.
    pub fn output(&self, o: usize) -> (&[f32], f32) {
        let ld = leading(self.layout.layers.last().expect("a network has layers").inputs);
        let p = self.layers.last().expect("a network has layers");
        (&p.w[o * ld..(o + 1) * ld], p.bias[o])
    }
}

/// Outputs of every layer for up to `rows` samples; layer l is `[rows, leading(outputs)]`.
pub struct Activations {
    pub layers: Vec<Aligned>,
}

impl Activations {
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        let of = |l: &Layer| Aligned::zeros(rows * leading(l.outputs));
        Activations { layers: layout.layers.iter().map(of).collect() }
    }
    /// Output of the network, `[rows, leading(outputs)]`.
    pub fn output(&self) -> &[f32] {
        self.layers.last().expect("a network has layers")
    }
}

struct Forward<'a> {
    net: &'a Packed,
    rows: usize,
    x: Strided<'a>,
    out: &'a mut Activations,
    /// Layers to run.
    layers: usize,
    /// Outputs of the last layer that are wanted, the first ones.
    outputs: usize,
}

impl LaneKernel for Forward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        for lo in (0..self.rows).step_by(TALL) {
            self.tile::<V>(lo, TALL.min(self.rows - lo));
        }
    }
}

impl Forward<'_> {
    /// Rows `lo..lo + rows` through the layers.
    #[inline(always)]
    fn tile<V: F32Lanes>(&mut self, lo: usize, rows: usize) {
        for (i, (l, p)) in self.net.layout.layers.iter().zip(&self.net.layers).enumerate().take(self.layers) {
            let (before, here) = self.out.layers.split_at_mut(i);
            let a = match before.last() {
                Some(h) => {
                    let row = leading(l.inputs);
                    Strided { data: &h[lo * row..], row, col: 1 }
                }
                None => Strided { data: &self.x.data[lo * self.x.row..], ..self.x },
            };
            let ld = leading(l.outputs);
            let b = RowMajor { data: &p.wt, ld };
            let (c, bias) = (&mut here[0][lo * ld..], &p.bias);
            let last = i + 1 == self.net.layers.len();
            let cols = if last { self.outputs } else { l.outputs }.next_multiple_of(PAD);
            if last && i > 0 && self.outputs == 1 && l.act == Activation::None {
                let (size, a) =
                    ([rows, l.inputs.next_multiple_of(PAD)], RowMajor { data: a.data, ld: a.row });
                row_sums::<V>(size, a, &p.w, bias[0], (c, ld));
                continue;
            }
            macro_rules! layer {
                ($($epilogue:tt)*) => {
                    product::<V, 2>([rows, cols, l.inputs], a, b, (c, ld), false, #[inline(always)] $($epilogue)*)
                };
            }
            match l.act {
                Activation::Tanh => layer!(|s, _, j| tanh_rational(s + V::load(&bias[j..]))),
                Activation::Relu => layer!(|s, _, j| (s + V::load(&bias[j..])).max(V::splat(0.0))),
                Activation::None => layer!(|s, _, j| s + V::load(&bias[j..])),
            }
        }
    }
}

/// Forward pass of `rows` samples x into `out`.
pub fn forward(net: &Packed, rows: usize, x: Strided, out: &mut Activations) {
    let outputs = net.layout.outputs();
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len(), outputs });
}

/// The same without the last layer.
pub fn forward_hidden(net: &Packed, rows: usize, x: Strided, out: &mut Activations) {
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len() - 1, outputs: 0 });
}

/// The same with the first `outputs` outputs only.
pub fn forward_first(net: &Packed, rows: usize, x: Strided, outputs: usize, out: &mut Activations) {
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len(), outputs });
}

/// Gradient sums of one network in padded layout, and the space its backward pass needs.
pub struct Gradient {
    /// dW `[out, leading(in)]` per layer.
    w: Vec<Aligned>,
    /// `[out]` per layer.
    b: Vec<Aligned>,
    /// Gradients by layer outputs, as [`Activations`].
    pub d: Activations,
}

impl Gradient {
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        Gradient {
            w: layout.layers.iter().map(|l| Aligned::zeros(l.outputs * leading(l.inputs))).collect(),
            b: layout.layers.iter().map(|l| Aligned::zeros(leading(l.outputs))).collect(),
            d: Activations::new(layout, rows),
        }
    }

    pub fn clear(&mut self) {
        self.w.iter_mut().chain(&mut self.b).for_each(|v| v.fill(0.0));
    }

    /// Adds the gradient `d` at output `o` of the last layer for a sample whose last hidden outputs are `h`
    /// `[leading(inputs)]`.
    pub fn add_output(&mut self, o: usize, d: f32, h: &[f32]) {
        let w = &mut self.w.last_mut().expect("a network has layers")[o * h.len()..(o + 1) * h.len()];
        w.iter_mut().zip(h).for_each(|(w, h)| *w += d * h);
        self.b.last_mut().expect("a network has layers")[o] += d;
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &MlpLayout, grads: &mut [f32]) {
        for (l, layer) in layout.layers.iter().enumerate() {
            let ld = leading(layer.inputs);
            for (o, row) in grads[layer.w_off..layer.b_off].chunks_exact_mut(layer.inputs).enumerate() {
                row.copy_from_slice(&self.w[l][o * ld..o * ld + layer.inputs]);
            }
            grads[layer.b_off..layer.b_off + layer.outputs].copy_from_slice(&self.b[l][..layer.outputs]);
        }
    }
}

struct Backward<'a> {
    net: &'a Packed,
    rows: usize,
    /// `[rows, leading(inputs)]`, zero beyond the inputs.
    x: &'a [f32],
    acts: &'a Activations,
    grad: &'a mut Gradient,
    /// Whether the gradients by weights and biases are wanted; without, x is not read.
    weights: bool,
    /// Receives the gradient by the input, `[rows, leading(inputs)]`.
    dx: Option<&'a mut [f32]>,
    /// Layers to go through, from below.
    layers: usize,
    /// Outputs of the last layer that have a gradient, the first ones.
    outputs: usize,
}

impl<'a> Backward<'a> {
    /// Through all layers, from all outputs.
    fn whole(
        net: &'a Packed,
        rows: usize,
        x: &'a [f32],
        acts: &'a Activations,
        grad: &'a mut Gradient,
    ) -> Self {
        let (layers, outputs) = (net.layers.len(), net.layout.outputs());
        Backward { net, rows, x, acts, grad, weights: true, dx: None, layers, outputs }
    }
}

impl LaneKernel for Backward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let layers = &self.net.layout.layers;
        for i in (0..self.layers).rev() {
            let l = &layers[i];
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            let outputs = if i + 1 == layers.len() { self.outputs } else { l.outputs };
            let input = if i == 0 { self.x } else { &self.acts.layers[i - 1] };
            let (lower, upper) = self.grad.d.layers.split_at_mut(i);
            let dy = &upper[0];
            if self.weights {
                let (dy, x) = (RowMajor { data: dy, ld: ldo }, RowMajor { data: input, ld: ldi });
                let dw = (&mut self.grad.w[i][..], ldi);
                layer_sums::<V>([self.rows, outputs, l.inputs], dy, x, dw, &mut self.grad.b[i]);
            }
            // dh[m, i] = (Σ_o dy[m, o]·W[o, i])·act'(h)
            macro_rules! input_gradient {
                ($to:expr, $($epilogue:tt)*) => {
                    product::<V, 2>(
                        [self.rows, l.inputs.next_multiple_of(PAD), outputs],
                        Strided { data: dy, row: ldo, col: 1 },
                        RowMajor { data: &self.net.layers[i].w, ld: ldi },
                        ($to, ldi),
                        false,
                        #[inline(always)]
                        $($epilogue)*
                    )
                };
            }
            if i > 0 {
                let (act, one) = (layers[i - 1].act, V::splat(1.0));
                input_gradient!(&mut lower[i - 1], |s, m, j| {
                    let h = V::load(&input[m * ldi + j..]);
                    match act {
                        Activation::Tanh => s * (one - h * h),
                        Activation::Relu => V::select(V::splat(0.0).lt(h), s, V::splat(0.0)),
                        Activation::None => s,
                    }
                });
            } else if let Some(dx) = self.dx.as_deref_mut() {
                input_gradient!(dx, |s, _, _| s);
            }
        }
    }
}

/// Backward pass: takes the output gradient from the last layer of `grad.d` (`[rows, leading(outputs)]`, zero beyond
/// the outputs) and adds to the sums. `x` is `[rows, leading(inputs)]`.
pub fn backward(net: &Packed, rows: usize, x: &[f32], acts: &Activations, grad: &mut Gradient) {
    backward_first(net, rows, x, acts, net.layout.outputs(), grad);
}

/// The same where only the first `outputs` outputs have a gradient.
pub fn backward_first(
    net: &Packed,
    rows: usize,
    x: &[f32],
    acts: &Activations,
    outputs: usize,
    grad: &mut Gradient,
) {
    run_lanes(Backward { outputs, ..Backward::whole(net, rows, x, acts, grad) });
}

/// The same from the last hidden layer on: takes the gradient before that layer's activation.
pub fn backward_hidden(net: &Packed, rows: usize, x: &[f32], acts: &Activations, grad: &mut Gradient) {
    let layers = net.layers.len() - 1;
    run_lanes(Backward { layers, outputs: 0, ..Backward::whole(net, rows, x, acts, grad) });
}

/// Backward pass to the input alone: takes the output gradient as [`backward`] does, leaves the sums as they are, and
/// writes the gradient by the input to `dx` `[rows, leading(inputs)]`.
pub fn backward_input(net: &Packed, rows: usize, acts: &Activations, grad: &mut Gradient, dx: &mut [f32]) {
    run_lanes(Backward { weights: false, dx: Some(dx), ..Backward::whole(net, rows, &[], acts, grad) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::philox::{PhiloxRng, Stream};
    use rand::Rng;

    /// Loss Σ c·y of a small network, in f64, straight from the definition.
    fn loss(layout: &MlpLayout, params: &[f64], x: &[f64], c: &[f64]) -> f64 {
        let mut h: Vec<f64> = x.to_vec();
        for l in &layout.layers {
            h = (0..l.outputs)
                .map(|o| {
                    let z: f64 =
                        (0..l.inputs).map(|i| params[l.w_off + o * l.inputs + i] * h[i]).sum::<f64>()
                            + params[l.b_off + o];
                    l.act.apply(z)
                })
                .collect();
        }
        h.iter().zip(c).map(|(y, c)| y * c).sum()
    }

    #[test]
    fn forward_and_backward_equal_the_definition_and_its_differences() {
        for (sizes, act, rows) in [
            (vec![12, 128, 128, 6], Activation::Tanh, 37),
            (vec![5, 33, 1], Activation::Tanh, 13),
            (vec![7, 20, 70, 3], Activation::Relu, 1),
        ] {
            let layout = MlpLayout::new(&sizes, act, 3);
            let mut rng = PhiloxRng::new([1, 2], Stream::Init, 0, 9);
            let mut draw = || f64::from(rng.next_u32()) / 4294967296.0 - 0.5;
            let params: Vec<f64> = (0..layout.end()).map(|_| f64::from((draw() * 0.4) as f32)).collect();
            let flat: Vec<f32> = params.iter().map(|p| *p as f32).collect();
            let (inputs, outputs) = (layout.inputs(), layout.outputs());
            let xs: Vec<f64> = (0..rows * inputs).map(|_| f64::from((draw() * 2.0) as f32)).collect();
            let cs: Vec<f64> = (0..rows * outputs).map(|_| f64::from(draw() as f32)).collect();
            let mut net = Packed::new(&layout);
            net.pack(&flat);
            let ld = leading(inputs);
            let mut x = vec![0.0; rows * ld];
            for m in 0..rows {
                for i in 0..inputs {
                    x[m * ld + i] = xs[m * inputs + i] as f32;
                }
            }
            let mut acts = Activations::new(&layout, rows);
            forward(&net, rows, Strided { data: &x, row: ld, col: 1 }, &mut acts);
            let total: f64 = (0..rows)
                .map(|m| loss(&layout, &params, &xs[m * inputs..], &cs[m * outputs..(m + 1) * outputs]))
                .sum();
            let ldo = leading(outputs);
            let got: f64 = (0..rows)
                .flat_map(|m| (0..outputs).map(move |o| (m, o)))
                .map(|(m, o)| f64::from(acts.output()[m * ldo + o]) * cs[m * outputs + o])
                .sum();
            assert!((got - total).abs() < 1e-5 * (1.0 + total.abs()), "{sizes:?}: {got} against {total}");

            let mut grad = Gradient::new(&layout, rows);
            let top = grad.d.layers.last_mut().unwrap();
            for m in 0..rows {
                for o in 0..outputs {
                    top[m * ldo + o] = cs[m * outputs + o] as f32;
                }
            }
            let mut dx = vec![f32::NAN; rows * ld];
            backward_input(&net, rows, &acts, &mut grad, &mut dx);
            assert!(
                grad.w.iter().chain(&grad.b).flat_map(|v| v.iter()).all(|g| *g == 0.0),
                "sums were touched"
            );
            for (m, i) in [(0, 0), (rows - 1, inputs - 1), (rows / 2, inputs / 2)] {
                let h = 1e-5;
                let at = |delta: f64| {
                    let mut row = xs[m * inputs..(m + 1) * inputs].to_vec();
                    row[i] += delta;
                    loss(&layout, &params, &row, &cs[m * outputs..(m + 1) * outputs])
                };
                let want = (at(h) - at(-h)) / (2.0 * h);
                let got = f64::from(dx[m * ld + i]);
                assert!(
                    (got - want).abs() < 2e-5 * (1.0 + want.abs()),
                    "{sizes:?} input {i}: {got} against {want}"
                );
            }
            backward(&net, rows, &x, &acts, &mut grad);
            let mut grads = vec![0f32; layout.end()];
            grad.write_to(&layout, &mut grads);
            for p in (layout.offset..layout.end()).step_by(41) {
                let h = 1e-5;
                let at = |delta: f64| {
                    let mut q = params.clone();
                    q[p] += delta;
                    (0..rows)
                        .map(|m| loss(&layout, &q, &xs[m * inputs..], &cs[m * outputs..(m + 1) * outputs]))
                        .sum::<f64>()
                };
                let want = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (f64::from(grads[p]) - want).abs() < 2e-5 * (1.0 + want.abs()),
                    "{sizes:?} parameter {p}: {} against {want}",
                    grads[p]
                );
            }
        }
    }
}
