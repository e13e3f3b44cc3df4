//! A whole paper, or an experiment that it lacks, in one job: trains every learned agent over the grid of powers (or
//! signal-to-noise ratios) and seeds, evaluates every agent, and hands the rows to the report.
//!
//! All replicas of an agent train side by side. The learner is saved every few updates with the rows it has produced,
//! so that a job that was interrupted continues from there and ends with the same rows, bit for bit.

mod best;
mod expected;
mod run;
mod training;

pub use expected::{Expected, expected};
pub use run::{measured, reproduce};
#[cfg(feature = "report")]
pub(in crate::run) use training::curve;
pub use training::{RunId, Trained, Training, check_memory};

use crate::gpu::Gpu;
use crate::run::journal::Journal;
use crate::run::watch::Watch;
use std::path::Path;
use std::sync::Arc;

/// How a job is done.
pub struct Way<'a> {
    /// Folder of the job.
    pub out: &'a Path,
    /// Continue from the checkpoints in `out`.
    pub resume: bool,
    /// Read energy from the device's counter too, if it has one.
    pub measure: bool,
    pub gpu: Option<&'a Arc<Gpu>>,
    /// Hears of every checkpoint.
    pub journal: Option<&'a Journal>,
    pub watch: &'a dyn Watch,
}

/// Replicas: every swept value (a power, a signal-to-noise ratio) with every seed, values outermost.
pub fn grid(swept: &[f64], seeds: &[u32]) -> Vec<(f64, u32)> {
    swept.iter().flat_map(|x| seeds.iter().map(move |s| (*x, *s))).collect()
}
