//! A whole paper, or an experiment that it lacks, in one job: trains every learned agent over the grid of powers (or signal-to-noise ratios) and
//! seeds, evaluates every agent, and hands the rows to the report.
//!
//! All replicas of an agent train side by side. The learner is saved every few updates with the rows it has produced, so that a job that was
//! interrupted continues from there and ends with the same rows, bit for bit.

mod training;

pub use training::{Job, RunId, Seen, Trained, Training, check_memory};

use crate::energy::CountError;
use crate::energy::meters::{self, GpuName, Meter};
use crate::gpu::{Gpu, GpuError};
use crate::run::checkpoint::CheckpointError;
use crate::tasks::misac::agents::AgentError;
use std::path::Path;
use std::sync::Arc;

/// What can stop a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("'{path}': {what}")]
    File { path: String, what: String },
    #[error("{what} needs {needed_gib:.1} GiB of memory but {available_gib:.1} GiB are free; lower {keys}")]
    Memory { what: String, needed_gib: f64, available_gib: f64, keys: &'static str },
    #[error(
        "checkpoint '{file}' was made with another configuration ({what}); remove it or choose another --out"
    )]
    OtherConfig { file: String, what: String },
    #[error("operations of agent '{0}': {1}")]
    Count(&'static str, CountError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error("agent '{0}' needs no training")]
    NotLearned(&'static str),
    #[error("agent '{0}' is learned: give its weights with --checkpoint FILE")]
    NoWeights(&'static str),
}

/// Sees how far a job is.
pub trait Watch: Sync {
    /// A stage of `total` units begins.
    fn begin(&self, what: &str, total: u64);
    /// `units` more are done.
    fn advance(&self, units: u64, note: &str);
    fn end(&self);
    /// Something the reader of the results must know.
    fn warn(&self, what: &str);
}

/// How a job is done.
pub struct Way<'a> {
    /// Folder of the job.
    pub out: &'a Path,
    /// Continue from the checkpoints in `out`.
    pub resume: bool,
    /// Read energy from the device's counter too, if it has one.
    pub measure: bool,
    pub gpu: Option<&'a Arc<Gpu>>,
    pub watch: &'a dyn Watch,
}

/// Replicas: every swept value (a power, a signal-to-noise ratio) with every seed, values outermost.
pub fn grid(swept: &[f64], seeds: &[u32]) -> Vec<(f64, u32)> {
    swept.iter().flat_map(|x| seeds.iter().map(move |s| (*x, *s))).collect()
}

/// Joules per unit of `work` by the counter of the device and how it was measured, or why it was not. Runs `work`, which says how many units it was,
/// again and again, idle power subtracted, if `asked`.
pub(crate) fn meter(
    agent: &str,
    gpu: Option<&Gpu>,
    asked: bool,
    watch: &dyn Watch,
    work: impl FnMut() -> Result<u64, String>,
) -> Result<(f64, String), String> {
    // Software adapters run on the processor.
    let name = gpu.filter(|g| !g.is_software()).map(|g| GpuName::of(&g.info));
    let mut meter = Meter::open(Path::new(meters::SYSFS), name)?;
    if !asked {
        return Err(format!("not asked for, with --measure-energy ({} can be read)", meter.what()));
    }
    let what = meter.what();
    watch.begin(&format!("measure {agent}"), 1);
    let result = meters::measure(&mut meter, None, work);
    watch.end();
    let m = result?;
    Ok((m.joules_per_unit, m.how(&format!("{what}; policy with its environment"))))
}

/// Sees nothing.
pub(crate) struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}
