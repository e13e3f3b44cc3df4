//! Long short-term memory (Hochreiter & Schmidhuber 1997) in the flat parameter vector, with PyTorch's names, shapes
//! and gate order i, f, g, o.

use super::mlp::Layer;
use super::{Activation, Tensor};
use crate::nets::orthogonal;
use crate::num::philox::{PhiloxRng, Stream};

/// One LSTM layer: `lstm.weight_ih` `[4H, I]`, `lstm.bias_ih` `[4H]`, `lstm.weight_hh` `[4H, H]`, `lstm.bias_hh`
/// `[4H]`, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmLayout {
    /// W_ih x + b_ih, a dense layer without activation.
    pub input: Layer,
    /// W_hh h + b_hh.
    pub recurrent: Layer,
}

impl LstmLayout {
    /// Starts at `offset` of the flat vector.
    pub fn new(inputs: usize, hidden: usize, offset: usize) -> Self {
        let layer = |inputs: usize, w_off: usize| Layer {
            inputs,
            outputs: 4 * hidden,
            act: Activation::None,
            w_off,
            b_off: w_off + 4 * hidden * inputs,
        };
        let input = layer(inputs, offset);
        LstmLayout { input, recurrent: layer(hidden, input.b_off + 4 * hidden) }
    }

    pub fn inputs(&self) -> usize {
        self.input.inputs
    }

    /// H
    pub fn hidden(&self) -> usize {
        self.recurrent.inputs
    }

    /// One past the last element inside the flat vector.
    pub fn end(&self) -> usize {
        self.recurrent.b_off + self.recurrent.outputs
    }

    /// Number of parameters.
    pub fn params(&self) -> usize {
        self.end() - self.input.w_off
    }

    /// In the order of the flat vector.
    pub fn tensors(&self, prefix: &str) -> Vec<Tensor> {
        let of = |name: &str, shape: Vec<usize>, offset: usize| Tensor {
            name: format!("{prefix}lstm.{name}"),
            shape,
            offset,
        };
        let part = |kind: &str, l: &Layer| {
            [
                of(&format!("weight_{kind}"), vec![l.outputs, l.inputs], l.w_off),
                of(&format!("bias_{kind}"), vec![l.outputs], l.b_off),
            ]
        };
        [part("ih", &self.input), part("hh", &self.recurrent)].concat()
    }

    /// Writes initial values into `params`, the flat vector of one replica: every gate's matrices orthogonal with gain
    /// 1, zero biases but for the forget gate's, which starts at 1 (Jozefowicz et al. 2015). `first_tensor` is the
    /// index of `weight_ih` among the tensors of the whole vector.
    pub fn init(&self, key: [u32; 2], first_tensor: usize, params: &mut [f32]) {
        let h = self.hidden();
        for (n, l) in [&self.input, &self.recurrent].into_iter().enumerate() {
            let mut rng = PhiloxRng::new(key, Stream::Init, 0, (first_tensor + 2 * n) as u32);
            for gate in 0..4 {
                let w = orthogonal(h, l.inputs, 1.0, &mut rng);
                let at = l.w_off + gate * h * l.inputs;
                params[at..at + h * l.inputs].iter_mut().zip(w).for_each(|(p, x)| *p = x as f32);
            }
            params[l.b_off..l.b_off + 4 * h].fill(0.0);
        }
        params[self.input.b_off + h..self.input.b_off + 2 * h].fill(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_tile_the_flat_vector_and_gates_start_orthogonal() {
        let l = LstmLayout::new(12, 64, 5);
        let mut next = 5;
        for t in l.tensors("") {
            assert_eq!(t.offset, next, "{}", t.name);
            next = t.range().end;
        }
        assert_eq!((next, l.params()), (l.end(), 4 * 64 * (12 + 64 + 2)));
        let mut p = vec![f32::NAN; l.end()];
        l.init([1, 2], 3, &mut p);
        assert!(p[5..].iter().all(|x| x.is_finite()));
        let row = |g: usize, j: usize| &p[l.recurrent.w_off + (g * 64 + j) * 64..][..64];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(row(2, 7), row(2, 7)) - 1.0).abs() < 1e-5 && dot(row(2, 7), row(2, 9)).abs() < 1e-5);
        assert_eq!(p[l.input.b_off + 64], 1.0);
    }
}
