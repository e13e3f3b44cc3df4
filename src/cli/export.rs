//! `isacbench export`

#[cfg(feature = "nir")]
use super::print::note;
use super::print::say;
use super::tasks::{self, Tasks};
use crate::run::torch;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What a policy is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ONNX, opset 17, dynamic batch.
    Onnx,
    /// safetensors under PyTorch's names: `isacbench.torch_module` loads it, `isacbench import` takes it back.
    Torch,
    /// NIR, for spiking networks: the network alone.
    #[cfg(feature = "nir")]
    Nir,
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

pub(super) fn export(a: &ExportArgs, all: &Tasks) -> Result<()> {
    let inside = a.checkpoint.join("checkpoint.safetensors");
    let path = if a.checkpoint.is_dir() { &inside } else { &a.checkpoint };
    let checkpoint = tasks::checkpoint(all, path)?;
    let bytes = match a.format {
        Format::Onnx => checkpoint.onnx(a.replica, a.raw)?,
        Format::Torch => checkpoint.torch(a.replica)?,
        #[cfg(feature = "nir")]
        Format::Nir => {
            let (bytes, warnings) = checkpoint.nir(a.replica)?;
            warnings.iter().for_each(|w| note!("warning: {w}"));
            bytes
        }
    };
    crate::files::write_whole(&a.out, &bytes)
        .with_context(|| format!("cannot write '{}'", a.out.display()))?;
    let what = if a.raw || a.format != Format::Onnx { "networks" } else { "decision" };
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

#[derive(Args)]
pub struct ImportArgs {
    /// What `export --format torch` wrote, with whatever weights it has now
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Checkpoint to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite a checkpoint that is there
    #[arg(long)]
    force: bool,
}

/// Makes a checkpoint of weights that were changed elsewhere.
pub(super) fn import(a: &ImportArgs, all: &Tasks) -> Result<()> {
    if a.out.exists() && !a.force {
        bail!("'{}' is there already; overwrite it with --force, or choose another --out", a.out.display());
    }
    let name = a.file.display().to_string();
    let bytes = std::fs::read(&a.file).with_context(|| format!("cannot read '{name}'"))?;
    let task = torch::task_of(&bytes, &name)?;
    let checkpoint = tasks::find(all, Some(&task), None)?.import(&bytes, &name)?;
    checkpoint.save_weights(&a.out)?;
    say!("agent {}, task {task}, seed {}: {}", checkpoint.agent(), checkpoint.seeds()[0], a.out.display());
    Ok(())
}
