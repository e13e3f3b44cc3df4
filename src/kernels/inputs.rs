//! Inputs for the kernels' checks: reproducible numbers of a stated range, and the same numbers for the judge.

use crate::num::philox::{PhiloxRng, Stream};
use crate::num::real::Real;
use rand::Rng;

/// A source of inputs.
pub struct Sample(PhiloxRng);

impl Sample {
    /// The source of `seed`; `what` tells the sources of one check apart.
    pub fn new(seed: u32, what: u32) -> Sample {
        Sample(PhiloxRng::new([seed, 0x5A17], Stream::Baseline, what, 0))
    }
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }
    /// One number in (0, 1).
    pub fn unit(&mut self) -> f64 {
        f64::unit_from_word(self.word())
    }
    /// `n` numbers in (lo, hi).
    pub fn uniform(&mut self, n: usize, lo: f64, hi: f64) -> Vec<f32> {
        (0..n).map(|_| (lo + (hi - lo) * self.unit()) as f32).collect()
    }
    /// `n` normal numbers of mean 0.
    pub fn normal(&mut self, n: usize, std: f64) -> Vec<f32> {
        (0..n).flat_map(|_| self.normals::<1>(std)).collect()
    }
    /// N normal numbers of mean 0.
    pub fn normals<const N: usize>(&mut self, std: f64) -> [f32; N] {
        [(); N].map(|()| (std * f64::normal_pair(self.word(), self.word()).0) as f32)
    }

    /// A replica's Philox key each.
    pub fn keys(&mut self, replicas: usize) -> Vec<[u32; 2]> {
        (0..replicas as u32).map(|r| [self.word(), r]).collect()
    }
}

/// `n` normal numbers of mean 0 from a source of their own.
pub fn normal(seed: u32, what: u32, n: usize, std: f64) -> Vec<f32> {
    Sample::new(seed, what).normal(n, std)
}

/// The same numbers as f64.
pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// |x| of every number.
pub fn magnitudes(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.abs()).collect()
}

/// The numbers of these bits.
pub fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|&x| f32::from_bits(x)).collect()
}

/// The same rows as f64.
pub fn widen_rows<const N: usize>(x: &[[f32; N]]) -> Vec<[f64; N]> {
    x.iter().map(|row| row.map(f64::from)).collect()
}

/// Column `c` of rows of `width`.
pub fn column<T: Copy>(rows: &[T], width: usize, c: usize) -> Vec<T> {
    rows.chunks_exact(width).map(|row| row[c]).collect()
}

/// Uniform numbers in [0, 1) of a check's own stream.
pub fn uniforms(seed: u32, which: u32) -> impl FnMut() -> f64 {
    let mut rng = PhiloxRng::new([seed, which], Stream::Init, 0, 0);
    move || f64::from(rng.next_u32()) / 4_294_967_296.0
}
