//! `isacbench report`

use super::print::{note, say};
use crate::report::bench::{self, BENCHMARKS};
use crate::run::compare::ASKED;
use crate::run::journal;
use crate::run::lock::{self, Lock};
use crate::run::registry::AnyTask;
use crate::run::rows::{EvalRow, Manifest, Row};
use crate::run::sweep::SweepError;
use crate::run::sweep::dataset::{PLAN, PlanFile};
use crate::run::sweep::report::{self, Query};
use crate::run::tune;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ReportArgs {
    /// Folder of a paper's run or another experiment of `reproduce`, a sweep, a tuning, a comparison, or benchmarks
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Metric to show, of a sweep or a tuning (repeatable) [default: the one that the task is judged by]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Only rows in which a column has this value, for example --where agent=ppo (repeatable)
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    filters: Vec<String>,
    /// Column that tells groups apart (repeatable) [default: agent and all swept keys; of a tuning agent, trial and
    /// slots]
    #[arg(long = "by", value_name = "COLUMN")]
    by: Vec<String>,
    /// Column on the x axis [default: the first one that holds several numbers]
    #[arg(long, value_name = "COLUMN")]
    x: Option<String>,
    /// Folder for page and figures [default: DIR/report of a sweep, DIR/page of a tuning, else DIR itself]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ReportArgs {
    /// The options that ask something of a dataset.
    fn asked(&self) -> Option<&'static str> {
        let all = [
            ("--metric", !self.metrics.is_empty()),
            ("--where", !self.filters.is_empty()),
            ("--by", !self.by.is_empty()),
            ("--x", self.x.is_some()),
        ];
        all.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// Renders the pages of a folder from the rows in it.
pub(super) fn report(a: &ReportArgs, tasks: &[&dyn AnyTask]) -> Result<()> {
    let dir = &a.dir;
    if dir.is_file() {
        bail!("'{}': a file; name the folder that it lies in", dir.display());
    }
    if !dir.is_dir() {
        bail!("'{}': no such folder", dir.display());
    }
    if dir.join(PLAN).exists() {
        let tuning = !PlanFile::load(dir)?.tuning.is_empty();
        return if tuning && a.asked().is_none() { tuned(a) } else { dataset(a, tasks) };
    }
    let manifest = journal::read(dir)?;
    let kind = match &manifest {
        Some(_) if dir.join(BENCHMARKS).exists() => "benchmarks",
        Some(_) if dir.join(EvalRow::FILE).exists() => "a reproduction",
        _ if dir.join(ASKED).exists() => "a comparison",
        Some(_) => bail!(
            "'{}': a training; `compare` and `evaluate` show what it learned, there is no report of it",
            dir.display()
        ),
        // A dataset without its plan.
        None if dir.join("data").exists() => return dataset(a, tasks),
        None => bail!(
            "'{}' holds no results: neither a paper's run or another experiment, nor a sweep, a tuning, a comparison or \
             benchmarks",
            dir.display()
        ),
    };
    if let Some(option) = a.asked() {
        bail!("{option}: is of sweeps and tunings, and '{}' holds {kind}", dir.display());
    }
    let out = a.out.clone().unwrap_or_else(|| dir.clone());
    let _lock = alone(&out)?;
    let paths = match (kind, manifest) {
        ("benchmarks", Some(m)) => benchmarks(dir, &out, &m, tasks)?,
        ("a reproduction", Some(m)) => reproduction(dir, &out, &m, tasks)?,
        _ => super::compare::again(dir, &out, tasks)?,
    };
    said(&paths);
    Ok(())
}

/// A folder in which a job is at work is left alone; one without a job gets no file of ours.
fn alone(dir: &Path) -> Result<Option<Lock>> {
    let has_one = dir.join(lock::FILE).exists();
    Ok(has_one.then(|| Lock::take(dir)).transpose()?)
}

fn said(paths: &[PathBuf]) {
    for (i, path) in paths.iter().enumerate() {
        say!("{} {}", if i == 0 { "report:" } else { "       " }, path.display());
    }
}

fn benchmarks(dir: &Path, out: &Path, manifest: &Manifest, tasks: &[&dyn AnyTask]) -> Result<Vec<PathBuf>> {
    let (rows, energy) = bench::read(dir)?;
    let tasks: Vec<&str> = tasks.iter().map(|t| t.name()).collect();
    let report = bench::Report { rows: &rows, energy: &energy, left_out: &[], manifest, tasks: &tasks };
    let paths = bench::write(out, &report)?;
    Ok(vec![paths.html, paths.summary])
}

fn reproduction(dir: &Path, out: &Path, m: &Manifest, tasks: &[&dyn AnyTask]) -> Result<Vec<PathBuf>> {
    let task = tasks.iter().find(|t| t.name() == m.task);
    let task = task.with_context(|| {
        format!("'{}' is of task {}, which is none of this program", dir.display(), m.task)
    })?;
    let rows = crate::report::read_rows(dir, task.schema())?;
    let experiment = m.experiment.as_deref().unwrap_or_default();
    let paths = task.write_report(experiment, out, &rows, m).map_err(|e| anyhow!(e))?;
    Ok(paths)
}

fn tuned(a: &ReportArgs) -> Result<()> {
    let out = a.out.clone().unwrap_or_else(|| a.dir.join(tune::page::FOLDER));
    let _lock = alone(&a.dir)?;
    said(&tune::page::again(&a.dir, &out)?);
    Ok(())
}

fn dataset(a: &ReportArgs, tasks: &[&dyn AnyTask]) -> Result<()> {
    let filter = |f: &String| {
        let (k, v) = f.split_once('=').ok_or_else(|| {
            SweepError::Option(format!("--where {f}: expected COLUMN=VALUE, for example --where agent=ppo"))
        })?;
        Ok((k.trim().to_string(), v.trim().to_string()))
    };
    let query = Query {
        metrics: a.metrics.clone(),
        filters: a.filters.iter().map(filter).collect::<Result<_, SweepError>>()?,
        by: a.by.clone(),
        x: a.x.clone(),
    };
    let out = a.out.clone().unwrap_or_else(|| a.dir.join("report"));
    let task_of = |task: &str| tasks.iter().copied().find(|t| t.name() == task);
    let (answer, paths) = report::write(&a.dir, &out, &query, &task_of)?;
    if answer.present < answer.planned {
        note!("warning: {} of {} points are there", answer.present, answer.planned);
    }
    said(&paths);
    Ok(())
}
