//! The folder of a job: one process at a time, and no work lost by oversight.

use super::print::note;
use crate::files::remove_leftovers;
use crate::run::journal;
use crate::run::lock::Lock;
use crate::run::rows::Manifest;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::Path;

/// What is to happen to work that is there already.
#[derive(Args, Clone, Copy)]
pub struct Again {
    /// Continue what --out holds, or begin it if there is nothing
    #[arg(long)]
    pub resume: bool,
    /// Overwrite what --out holds
    #[arg(long, conflicts_with = "resume")]
    pub force: bool,
}

/// What a folder can hold: a name for it, and files of which one is there as soon as it has something to lose.
struct Kind {
    what: &'static str,
    marks: &'static [&'static str],
}

const TRAINING: Kind = Kind { what: "a training", marks: &["checkpoint.safetensors", "curves.jsonl"] };
const REPRODUCTION: Kind =
    Kind { what: "a reproduction", marks: &["training", "report.html", "evals.parquet", "rows.json"] };
const SWEEP: Kind = Kind { what: "a sweep", marks: &["plan.json", "data"] };

/// A folder that this process has for itself until the value is dropped.
pub(super) struct Folder {
    _lock: Lock,
    /// What the manifest of the work says that is to be continued.
    pub before: Option<Manifest>,
}

/// Takes the folder of a training.
pub(super) fn for_training(dir: &Path, again: Again) -> Result<Folder> {
    take(dir, again, &TRAINING, &[&REPRODUCTION, &SWEEP])
}

/// Takes the folder of `experiment` by `task`, and empties it of trainings that are to be overwritten. Trainings of two
/// experiments have folders of one name, and their pages too: one would be taken for the other.
pub(super) fn for_reproduction(dir: &Path, again: Again, task: &str, experiment: &str) -> Result<Folder> {
    let folder = take(dir, again, &REPRODUCTION, &[&TRAINING, &SWEEP])?;
    if let Some(before) = &folder.before {
        same_experiment(dir, before, task, experiment)?;
    }
    let trainings = dir.join("training");
    if again.force && trainings.exists() {
        std::fs::remove_dir_all(&trainings)
            .with_context(|| format!("cannot remove '{}'", trainings.display()))?;
    }
    Ok(folder)
}

/// Why [`for_reproduction`] would refuse the folder, without touching it; `None` if it would not.
pub(super) fn refusal_of_reproduction(
    dir: &Path,
    again: Again,
    task: &str,
    experiment: &str,
) -> Option<anyhow::Error> {
    let there = match to_continue(dir, again, &REPRODUCTION, &[&TRAINING, &SWEEP]) {
        Ok(there) => there,
        Err(refusal) => return Some(refusal),
    };
    let before = there.then(|| journal::read(dir).ok().flatten()).flatten()?;
    same_experiment(dir, &before, task, experiment).err()
}

/// That what is to be continued is of this experiment.
fn same_experiment(dir: &Path, before: &Manifest, task: &str, experiment: &str) -> Result<()> {
    let other = match before.experiment.as_deref() {
        _ if before.task != task => Some(format!("a reproduction of task '{}', not '{task}'", before.task)),
        // Of a version that did not write it down.
        None => None,
        Some(there) => (there != experiment).then(|| format!("experiment '{there}', not '{experiment}'")),
    };
    if let Some(other) = other {
        bail!("'{}' holds {other}; overwrite it with --force, or choose another --out", dir.display());
    }
    Ok(())
}

fn take(dir: &Path, again: Again, own: &Kind, others: &[&Kind]) -> Result<Folder> {
    let lock = Lock::take(dir)?;
    if let Some(pid) = lock.stale {
        note!("process {pid} had '{}' and is gone; taking it over", dir.display());
    }
    let there = to_continue(dir, again, own, others)?;
    remove_leftovers(dir).with_context(|| format!("cannot tidy '{}'", dir.display()))?;
    let mut before = None;
    if there {
        before = journal::read(dir).unwrap_or_else(|e| {
            note!("warning: {e}; what was done before this process is not known");
            None
        });
    }
    Ok(Folder { _lock: lock, before })
}

/// Whether the folder holds work of this kind that is to be continued.
///
/// # Errors
/// It holds work that would be lost.
fn to_continue(dir: &Path, again: Again, own: &Kind, others: &[&Kind]) -> Result<bool> {
    let has = |kind: &Kind| kind.marks.iter().any(|mark| dir.join(mark).exists());
    if let Some(other) = others.iter().find(|kind| has(kind)) {
        bail!("'{}' holds {}, not {}; choose another --out", dir.display(), other.what, own.what);
    }
    let there = (has(own) || dir.join(journal::FILE).exists()) && !again.force;
    if there && !again.resume {
        let whose = match journal::read(dir) {
            Ok(Some(m)) => format!(" (task {}, {})", m.task, m.agents.join(", ")),
            _ => String::new(),
        };
        bail!(
            "'{}' holds {} already{whose}; continue it with --resume, overwrite it with --force, or choose another --out",
            dir.display(),
            own.what
        );
    }
    Ok(there)
}
