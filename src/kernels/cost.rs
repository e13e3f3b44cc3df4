//! What one dispatch of a kernel must do, from its sizes alone: the numerators of FLOP/s and bytes/s.

use crate::num::real::counted::Counted;
pub use crate::num::real::counted::{
    ATAN2_UPPER, EXP, LN, NORMAL_PAIR, SIGMOID, SIN_COS, SIN_COS_PI_MULTIPLE, TANH, UNIT,
};

/// Work of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Floating-point operations of the twin's formula, counted as [`crate::num::real::counted`] counts; `None` where
    /// they depend on the data. Padding, and what a kernel computes twice because that is faster, is not work. Integer
    /// work (Philox, shuffles) is none either.
    pub flops: Option<f64>,
    /// Bytes that must move through the device's memory at least: each input read once, each output written once, both
    /// for what is updated in place. Parts of a buffer that a dispatch does not touch do not count.
    pub bytes: f64,
}

impl Cost {
    /// `flops` operations; `words` of 4 bytes moved.
    pub fn new(flops: usize, words: usize) -> Cost {
        Cost { flops: Some(flops as f64), bytes: 4.0 * words as f64 }
    }

    /// The same where the operations depend on the data.
    pub fn moving(words: usize) -> Cost {
        Cost { flops: None, bytes: 4.0 * words as f64 }
    }
}

/// ln of the logistic function.
pub const LOG_SIGMOID: usize = 1 + 1 + EXP + 1 + LN;

/// 4-byte words of a value.
pub fn words_of<T>() -> usize {
    size_of::<T>() / 4
}

/// Numbers for a twin that counts.
pub fn counted(x: &[f32]) -> Vec<Counted> {
    x.iter().map(|&x| Counted(x)).collect()
}
