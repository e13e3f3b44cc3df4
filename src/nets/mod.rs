//! Where a policy's parameters lie in the flat vector `params[r]` of its replica, what they are called, how they start
//! and what a forward pass costs. The arithmetic itself is in `kernels`.

pub mod activity;
pub mod bernoulli;
pub mod codebook;
pub mod cpu;
pub mod dense;
pub mod experts;
pub mod int8;
pub mod lif;
pub mod lstm;
pub mod lstm_cpu;
pub mod mlp;
pub mod population;
pub mod product;
pub mod spiking;

pub use activity::{Activity, LayerActivity};
pub use codebook::Codebook;
pub use lif::{Lif, Membrane, Readout};
pub use mlp::{ActorCriticLayout, Hidden, MlpLayout};
pub use population::Population;

use crate::num::philox::PhiloxRng;
use crate::num::real::Real;
use rand::Rng;
use std::ops::Range;

/// A named part of the flat parameter vector; names, shapes and order are PyTorch's (`fc1.weight` is `[out, in]`,
/// row-major).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// First element inside the replica's flat vector.
    pub offset: usize,
}

impl Tensor {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where the elements lie inside the replica's flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.count()
    }
}

/// A policy as it acts: a network inside the flat vector of a replica, and what turns its outputs into actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub net: MlpLayout,
    /// P: length of the flat vector of a replica.
    pub params: usize,
    pub head: Head,
}

/// What turns the outputs of a policy network into actions.
#[derive(Clone, Debug, PartialEq)]
pub enum Head {
    /// Outputs are the means of a diagonal Gaussian, whose log standard deviations `[A]` start at this element of the
    /// flat vector.
    Gaussian { log_std_off: usize },
    /// Raw actions are scale·tanh(output).
    Tanh { scale: f32 },
    /// Outputs `[K, L]` are the values of every vehicle's choices, of which it takes the largest.
    Factored { codebook: Codebook },
}

/// What follows a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    None,
    Tanh,
    Relu,
}

impl Activation {
    /// The `ACT` constant of the dense shaders.
    pub fn code(self) -> usize {
        match self {
            Activation::None => 0,
            Activation::Tanh => 1,
            Activation::Relu => 2,
        }
    }

    /// act(z).
    #[inline(always)]
    pub fn apply<F: Real>(self, z: F) -> F {
        match self {
            Activation::None => z,
            Activation::Tanh => z.tanh(),
            Activation::Relu => F::select(F::splat(0.0).lt(z), z, F::splat(0.0)),
        }
    }

    /// Operations of [`Activation::apply`], by the polynomials of the shaders.
    pub fn operations(self) -> usize {
        match self {
            Activation::None => 0,
            Activation::Tanh => crate::num::real::counted::TANH,
            Activation::Relu => 1,
        }
    }

    /// Operations of [`Activation::slope`].
    pub fn slope_operations(self) -> usize {
        match self {
            Activation::None => 0,
            Activation::Tanh => 2,
            Activation::Relu => 1,
        }
    }

    /// act'(z), written in h = act(z): 1 − h² for tanh; 1 where h > 0, else 0, for ReLU (0 at the kink, as PyTorch).
    #[inline(always)]
    pub fn slope<F: Real>(self, h: F) -> F {
        let (zero, one) = (F::splat(0.0), F::splat(1.0));
        match self {
            Activation::None => one,
            Activation::Tanh => one - h * h,
            Activation::Relu => F::select(zero.lt(h), one, zero),
        }
    }
}

/// A `[rows, cols]` matrix, row-major, with orthonormal rows (rows ≤ cols) or columns (rows ≥ cols), times `gain`: the
/// Haar-uniform draw of `torch.nn.init.orthogonal_` (Saxe et al. 2014). Computed in f64, by Gram–Schmidt, whose R has a
/// positive diagonal as the sign convention of that function asks.
pub fn orthogonal(rows: usize, cols: usize, gain: f64, rng: &mut PhiloxRng) -> Vec<f64> {
    // `vectors` vectors of `length` are made orthonormal; there are never more than dimensions.
    let (vectors, length) = (rows.min(cols), rows.max(cols));
    let mut q: Vec<Vec<f64>> = Vec::with_capacity(vectors);
    while q.len() < vectors {
        let mut v = normals(length, rng);
        let before = dot(&v, &v).sqrt();
        // Twice is enough (Kahan, Parlett): the second pass removes what rounding left of the first.
        for _ in 0..2 {
            for u in &q {
                let along = dot(&v, u);
                v.iter_mut().zip(u).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = dot(&v, &v).sqrt();
        // A draw that lies in the span of the others says nothing about a direction: take the next one.
        if norm > 1e-6 * before {
            v.iter_mut().for_each(|a| *a /= norm);
            q.push(v);
        }
    }
    let at = |r: usize, c: usize| if rows <= cols { q[r][c] } else { q[c][r] };
    (0..rows * cols).map(|k| gain * at(k / cols, k % cols)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Standard normals in f64, two for every two words of the generator.
pub fn normals(n: usize, rng: &mut PhiloxRng) -> Vec<f64> {
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let (w1, w2) = (rng.next_u32(), rng.next_u32());
        let (a, b) = f64::normal_pair(w1, w2);
        out.extend([a, b]);
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::philox::Stream;

    #[test]
    fn orthogonal_rows_or_columns_are_orthonormal_times_gain() {
        for (rows, cols) in [(1, 1), (6, 128), (128, 12), (128, 128), (1, 5), (5, 1)] {
            let gain = 1.7;
            let m = orthogonal(rows, cols, gain, &mut PhiloxRng::new([1, 2], Stream::Init, 0, 3));
            let n = rows.min(cols);
            for i in 0..n {
                for j in 0..n {
                    let product: f64 = (0..rows.max(cols))
                        .map(|k| {
                            if rows <= cols {
                                m[i * cols + k] * m[j * cols + k]
                            } else {
                                m[k * cols + i] * m[k * cols + j]
                            }
                        })
                        .sum();
                    let want = if i == j { gain * gain } else { 0.0 };
                    assert!((product - want).abs() < 1e-12, "[{rows},{cols}] ({i},{j}): {product}");
                }
            }
        }
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let n = 200_001;
        let z = normals(n, &mut PhiloxRng::new([5, 0], Stream::Init, 0, 0));
        assert_eq!(z.len(), n);
        let mean = z.iter().sum::<f64>() / n as f64;
        let var = z.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        // Standard errors: 1/√n = 0.0022 and √(2/n) = 0.0032; five of each.
        assert!(mean.abs() < 0.011 && (var - 1.0).abs() < 0.016, "mean {mean}, variance {var}");
    }
}
