//! Monte Carlo evaluation: whole episodes of one controller in many replicas.
//!
//! Episode e of a replica runs under key (seed, 1 + e/4096) as environment e mod 4096, whatever the device or the batch, so that results do not
//! depend on how episodes are grouped; training uses key (seed, 0). The unit of every interval is the episode's mean over its slots.

/// Episodes under one Philox key.
pub const KEY_BATCH: u64 = 4096;

/// What a policy's network computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// Single precision, as in training.
    F32,
    /// Weights and activations rounded to half precision, sums in single (`dense_forward_f16`): perceptrons on a GPU adapter only.
    F16,
}

impl Precision {
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }
}

/// Mean over episodes and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    /// NaN for a single episode.
    pub std_error: f64,
}

impl Estimate {
    /// From the sums (Σx, Σx²) over episodes.
    pub(crate) fn of(episodes: u64, [sum, squares]: [f64; 2]) -> Self {
        let n = episodes as f64;
        let mean = sum / n;
        let var = ((squares - sum * mean) / (n - 1.0)).max(0.0);
        Estimate { mean, std_error: if episodes > 1 { (var / n).sqrt() } else { f64::NAN } }
    }
}
