//! What can go wrong with checkpoints and jobs.

use crate::config::ConfigError;
use crate::energy::CountError;
use crate::gpu::GpuError;
use std::path::Path;

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot read checkpoint '{0}': {1}")]
    Read(String, std::io::Error),
    #[error("cannot write checkpoint '{0}': {1}")]
    Write(String, String),
    #[error("checkpoint '{0}' is damaged or no checkpoint: {1}")]
    Damaged(String, String),
    #[error("checkpoint '{file}': tensor '{tensor}' {what}")]
    Tensor { file: String, tensor: String, what: String },
    #[error("checkpoint '{0}': {1}")]
    Config(String, ConfigError),
    #[error("checkpoint '{file}' holds task '{found}', not '{wanted}'")]
    OtherTask { file: String, found: String, wanted: &'static str },
    #[error("checkpoint '{file}' holds agent '{found}', not '{wanted}'")]
    OtherAgent { file: String, found: String, wanted: String },
}

impl JobError {
    /// What is wrong with a file or a folder.
    pub fn file(path: &Path, what: impl ToString) -> JobError {
        JobError::File { path: path.display().to_string(), what: what.to_string() }
    }
}

/// What can stop a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("interrupted: {done} of {of} updates are saved; continue with --resume")]
    Interrupted { done: u32, of: u32 },
    #[error("'{path}': {what}")]
    File { path: String, what: String },
    #[error("{what} needs {needed_gib:.1} GiB of memory but {available_gib:.1} GiB are free; lower {keys}")]
    Memory { what: String, needed_gib: f64, available_gib: f64, keys: &'static str },
    #[error(
        "checkpoint '{file}' was made with another configuration ({what}); overwrite it with --force, or choose another --out"
    )]
    OtherConfig { file: String, what: String },
    #[error("operations of agent '{0}': {1}")]
    Count(&'static str, CountError),
    #[error(transparent)]
    Agent(Box<dyn std::error::Error + Send + Sync>),
    #[error("agent '{0}' needs no training")]
    NotLearned(&'static str),
    #[error("agent '{0}' is learned: give its weights with --checkpoint FILE")]
    NoWeights(&'static str),
    #[error("agent '{0}' is a bound: a number that no agent exceeds, without an episode that could be seen")]
    NothingToSee(&'static str),
    #[error("agent '{0}' has neither weights nor a rule that its task makes")]
    NoRule(&'static str),
}
