//! Random inputs of the checks.

use crate::philox::{PhiloxRng, Stream};
use crate::policy::normals;

/// `n` normal numbers of mean 0 and standard deviation `sigma`, rounded to f32. `which` tells the inputs of one check apart.
pub fn normal(seed: u32, which: u32, n: usize, sigma: f64) -> Vec<f32> {
    let z = normals(n, &mut PhiloxRng::new([seed, which], Stream::Baseline, 0, 0));
    z.into_iter().map(|z| (sigma * z) as f32).collect()
}

/// The same numbers as f64, for the judge.
pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}
