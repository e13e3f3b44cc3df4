//! Sweeps: grids, lists and random draws over any configuration key × agents × seeds, as one job that survives
//! interruption.
//!
//! 1. [`plan`]: the sweep file → points (one agent with one configuration each), their ids and the hash of the whole.
//! 2. [`task`]: what replicas of one batch must have in common, and how a batch is trained and evaluated, for both
//!    tasks.
//! 3. [`pack`]: points of equal shape side by side along the replica axis; batches that do not fit into memory are
//!    split.
//! 4. [`run`]: batch after batch; the points of a batch are committed to the [`dataset`] when it is done.
//! 5. [`dataset`]: one Parquet file per point, whole or not at all, its checksum in its name; [`lock`](super::lock):
//!    one process per folder.
//! 6. [`merge`](mod@merge): shards become one dataset; [`report`](mod@report): tables and figures of one; [`claims`]:
//!    those of a paper, judged from it.
//!
//! A point's result depends on its agent, its configuration and the seed alone: not on the batch it was packed into,
//! the number of threads, the shard, or how often the job was interrupted.

pub mod claims;
pub mod dataset;
pub mod merge;
pub mod pack;
pub mod plan;
pub mod report;
pub mod run;
pub mod task;

pub use plan::{Mode, Plan, Point, Shard, Stage};

use crate::config::ConfigError;
use crate::files::{if_there, write_whole};
use crate::gpu::GpuError;
use crate::report::ReportError;
use crate::run::errors::CheckpointError;
use crate::run::errors::JobError;
use crate::run::lock::LockError;
use std::path::{Path, PathBuf};

/// What can stop a sweep, a merge or a report.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("cannot read '{0}': {1}")]
    Read(String, std::io::Error),
    #[error("cannot write '{0}': {1}; what is committed stays as it is")]
    Write(String, std::io::Error),
    #[error("{0}: {1}")]
    Parse(String, String),
    #[error("{file}: key '{key}': {what}")]
    Key { file: String, key: String, what: String },
    #[error("{file}")]
    Config { file: String, source: ConfigError },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("'{dir}' holds a sweep or a tuning already; continue it with --resume or choose another --out")]
    Exists { dir: String },
    #[error("'{dir}' holds no sweep (there is no plan.json); is it the folder that --out named?")]
    NoPlan { dir: String },
    #[error("'{file}' is of another job: {what}; choose another --out")]
    OtherPlan { file: String, what: String },
    #[error("'{file}' is damaged: {what}")]
    Damaged { file: String, what: String },
    #[error("{0}")]
    Incomplete(String),
    #[error("point {point} has two results, '{a}' and '{b}', which differ")]
    Conflict { point: String, a: String, b: String },
    #[error("{0}")]
    Option(String),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl SweepError {
    /// That a key of a file is wrong, and how.
    pub fn key(file: &str, key: impl Into<String>, what: impl Into<String>) -> SweepError {
        SweepError::Key { file: file.into(), key: key.into(), what: what.into() }
    }

    /// That a file is of another job, and in what.
    fn other_plan(file: &Path, what: String) -> SweepError {
        SweepError::OtherPlan { file: file.display().to_string(), what }
    }

    pub(in crate::run) fn damaged(file: &Path, what: String) -> SweepError {
        SweepError::Damaged { file: file.display().to_string(), what }
    }
}

impl From<GpuError> for SweepError {
    fn from(e: GpuError) -> Self {
        SweepError::Job(e.into())
    }
}

impl From<CheckpointError> for SweepError {
    fn from(e: CheckpointError) -> Self {
        SweepError::Job(e.into())
    }
}

pub(in crate::run) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> SweepError + '_ {
    |e| SweepError::Read(path.display().to_string(), e)
}

pub(in crate::run) fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> SweepError + '_ {
    |e| SweepError::Write(path.display().to_string(), e)
}

/// Writes a file of a page, whole or not at all.
pub(in crate::run) fn put_file(path: PathBuf, text: &str) -> Result<PathBuf, SweepError> {
    write_whole(&path, text.as_bytes()).map_err(writing(&path))?;
    Ok(path)
}

/// Removes a file if it is there.
pub(in crate::run) fn remove(path: &Path) -> Result<(), SweepError> {
    if_there(std::fs::remove_file(path)).map(drop).map_err(writing(path))
}

/// The first 16 hexadecimal digits of the SHA-256 of `parts`, each with its length before it.
pub(in crate::run) fn digest(parts: &[&[u8]]) -> String {
    use sha2::{Digest, Sha256};
    let mut h = Sha256::new();
    for part in parts {
        h.update((part.len() as u64).to_le_bytes());
        h.update(part);
    }
    hex(&h.finalize())
}

/// The first 16 hexadecimal digits of a file's SHA-256, as `sha256sum` prints them.
fn checksum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
