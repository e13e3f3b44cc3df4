//! `isacbench export`

use super::embed;
use super::print::say;
use super::tasks::Tasks;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What a policy is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ONNX, opset 17, dynamic batch.
    Onnx,
}

#[derive(Args)]
pub struct ExportArgs {
    /// Trained weights: a file, or the folder of its training
    #[arg(long, value_name = "PATH")]
    checkpoint: PathBuf,
    /// Which replica of the checkpoint, from 0
    #[arg(long, default_value_t = 0, value_name = "R")]
    replica: usize,
    #[arg(long, value_enum, default_value = "onnx")]
    format: Format,
    /// The networks alone: observations as environments give them in, raw actions out
    #[arg(long)]
    raw: bool,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn export(a: &ExportArgs, tasks: &Tasks) -> Result<()> {
    let inside = a.checkpoint.join("checkpoint.safetensors");
    let path = if a.checkpoint.is_dir() { &inside } else { &a.checkpoint };
    let checkpoint = embed::checkpoint(tasks, path)?;
    let bytes = match a.format {
        Format::Onnx => checkpoint.onnx(a.replica, a.raw)?,
    };
    crate::files::write_whole(&a.out, &bytes)
        .with_context(|| format!("cannot write '{}'", a.out.display()))?;
    let what = if a.raw { "networks" } else { "decision" };
    say!(
        "{what} of agent {}, task {}, seed {}: {} ({} bytes)",
        checkpoint.agent(),
        checkpoint.task(),
        checkpoint.seeds()[a.replica],
        a.out.display(),
        bytes.len()
    );
    Ok(())
}
