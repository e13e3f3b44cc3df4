//! Perceptrons in 8-bit integers, as small processors run them: dynamic quantisation of trained weights, nothing
//! trained anew.
//!
//! Weights are symmetric, with a scale for each output: W[o, i] ≈ s_o·q[o, i], q of −127 to 127. What enters a layer
//! gets a scale of its own in every decision, x ≈ t·p with t = max |x|/127. Products and sums are integers, Σ q·p in
//! i32, exact up to 133,000 inputs; then y = act(s_o·t·Σ + b_o) in f32. So a decision takes, beside its integer
//! products, two f32 products and an addition for each output and a maximum over the inputs of each layer.

use super::dense::{Activations, Strided, leading};
use super::{Activation, MlpLayout};

const MOST: f32 = 127.0;

/// A layer's weights, an output each row.
struct Layer {
    inputs: usize,
    act: Activation,
    /// q `[outputs, inputs]`
    weights: Vec<i8>,
    /// s `[outputs]`
    scales: Vec<f32>,
    bias: Vec<f32>,
}

/// A perceptron with 8-bit weights.
pub struct Net(Vec<Layer>);

/// Writes x/scale, rounded, and returns the scale: the largest |x| becomes ±127. Zeros have scale 0. Where an x is not
/// finite the scale is NaN, and with it all that is made of them: integers could not tell.
fn quantise(x: impl Iterator<Item = f32> + Clone, to: &mut [i8]) -> f32 {
    let scale = x.clone().fold(0f32, |most, x| most.max(x.abs())) / MOST;
    let finite = x.clone().all(f32::is_finite);
    if !finite || scale == 0.0 {
        to.fill(0);
        return if finite { 0.0 } else { f32::NAN };
    }
    for (q, x) in to.iter_mut().zip(x) {
        *q = (x / scale).round_ties_even().clamp(-MOST, MOST) as i8;
    }
    scale
}

impl Net {
    /// Of trained weights: `params` is the flat vector of a replica.
    ///
    /// # Panics
    /// For a spiking network.
    pub fn new(layout: &MlpLayout, params: &[f32]) -> Self {
        assert!(layout.lif.is_none(), "only perceptrons are quantised");
        let layer = |l: &super::mlp::Layer| {
            let mut weights = vec![0; l.inputs * l.outputs];
            let rows = params[l.w_off..l.b_off].chunks_exact(l.inputs);
            let scales = rows.zip(weights.chunks_exact_mut(l.inputs));
            let scales = scales.map(|(w, q)| quantise(w.iter().copied(), q)).collect();
            let bias = params[l.b_off..l.b_off + l.outputs].to_vec();
            Layer { inputs: l.inputs, act: l.act, weights, scales, bias }
        };
        Net(layout.layers.iter().map(layer).collect())
    }

    /// Forward pass of `rows` samples x into `out`; hidden layers hold what the next layer sees, t·p.
    pub fn forward(&self, rows: usize, x: Strided, out: &mut Activations) {
        let mut p = vec![0i8; self.0.iter().map(|l| l.inputs).max().unwrap_or(0)];
        for m in 0..rows {
            for (i, layer) in self.0.iter().enumerate() {
                let p = &mut p[..layer.inputs];
                let (before, here) = out.layers.split_at_mut(i);
                let t = match before.last_mut() {
                    None => quantise((0..layer.inputs).map(|k| x.data[m * x.row + k * x.col]), p),
                    Some(h) => {
                        let h = &mut h[m * leading(layer.inputs)..][..layer.inputs];
                        let t = quantise(h.iter().copied(), p);
                        h.iter_mut().zip(&*p).for_each(|(h, p)| *h = t * f32::from(*p));
                        t
                    }
                };
                let y = &mut here[0][m * leading(layer.bias.len())..][..layer.bias.len()];
                let rows = layer.weights.chunks_exact(layer.inputs);
                for (((y, q), s), b) in y.iter_mut().zip(rows).zip(&layer.scales).zip(&layer.bias) {
                    let sum: i32 = q.iter().zip(&*p).map(|(q, p)| i32::from(*q) * i32::from(*p)).sum();
                    *y = layer.act.apply(s * t * sum as f32 + b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::cpu::{Activations as Any, forward};
    use crate::nets::dense::Packed;

    fn close_to_f32(act: Activation, within: f32) {
        let layout = MlpLayout::new(&[12, 64, 64, 6], act, 3);
        let mut params = vec![0f32; layout.end()];
        layout.init([7, 0], 0, 1.0, 1.0, &mut params);
        let rows = 50;
        let x: Vec<f32> = (0..rows * 12).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 1.5).collect();
        let x = Strided { data: &x, row: 12, col: 1 };
        let mut packed = Packed::new(&layout);
        packed.pack(&params);
        let mut want = Any::forward_only(&layout, rows);
        forward(&packed, rows, x, &mut want);
        let mut got = Activations::new(&layout, rows);
        Net::new(&layout, &params).forward(rows, x, &mut got);
        let mut worst = 0f32;
        for (a, b) in got.output().chunks(leading(6)).zip(want.output().chunks(leading(6))) {
            a[..6].iter().zip(&b[..6]).for_each(|(a, b)| worst = worst.max((a - b).abs()));
        }
        assert!(worst < within, "{worst}");
        // Eight bits are not f32: rounding must show.
        assert!(worst > 1e-5, "{worst}");
    }

    #[test]
    fn outputs_are_those_of_f32_but_for_rounding_to_eight_bits() {
        close_to_f32(Activation::Tanh, 0.05);
        close_to_f32(Activation::Relu, 0.05);
    }

    #[test]
    fn by_hand() {
        let layout = MlpLayout::new(&[2, 1], Activation::None, 0);
        // Scale 2/127, weights 127 and −64 (−1 is −63.5, to the even neighbour); bias ½.
        let net = Net::new(&layout, &[2.0, -1.0, 0.5]);
        let mut out = Activations::new(&layout, 2);
        let x = [1.0, 0.5, 0.0, 0.0];
        net.forward(2, Strided { data: &x, row: 2, col: 1 }, &mut out);
        // Inputs 127 and 64: half of 127 is 63.5.
        let want = 2.0 / 127.0 * (1.0 / 127.0) * (127.0 * 127.0 - 64.0 * 64.0) + 0.5;
        assert!((out.output()[0] - want).abs() < 1e-6, "{}", out.output()[0]);
        assert_eq!(out.output()[leading(1)], 0.5);
    }

    #[test]
    fn what_is_no_number_stays_none_and_harms_no_other_row() {
        let layout = MlpLayout::new(&[2, 1], Activation::None, 0);
        let outputs = |weights: [f32; 2], x: [f32; 4]| {
            let net = Net::new(&layout, &[weights[0], weights[1], 0.0]);
            let mut out = Activations::new(&layout, 2);
            net.forward(2, Strided { data: &x, row: 2, col: 1 }, &mut out);
            [out.output()[0], out.output()[leading(1)]]
        };
        for bad in [f32::NAN, f32::INFINITY] {
            let [first, second] = outputs([1.0, 1.0], [bad, 1.0, 1.0, 1.0]);
            assert!(first.is_nan() && (second - 2.0).abs() < 1e-6, "{first} {second}");
            // Weights of a training that diverged must not look like a policy.
            assert!(outputs([bad, 1.0], [1.0; 4]).iter().all(|y| y.is_nan()));
        }
    }
}
