//! `isacbench sweep` and `isacbench merge`

use super::common::{size, time};
use super::print::{note, say};
use super::watch::Bars;
use super::{Place, place};
use crate::gpu::{DeviceChoice, Gpu};
use crate::run::sweep::dataset::{Dataset, PlanFile};
use crate::run::sweep::merge;
use crate::run::sweep::plan::SweepFile;
use crate::run::sweep::run::{
    self, Batch, CPU_REPLICAS, Commits, Device, Done, GPU_REPLICAS, Measurement, Progress, Way,
};
use crate::run::sweep::{Plan, Shard, SweepError};
use crate::run::task::Task;
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
pub struct SweepArgs {
    /// What is swept: task, agents, seeds, and [grid], [list] and [random] over any configuration key
    #[arg(value_name = "FILE.toml")]
    pub(super) file: PathBuf,
    /// auto (hardware GPU if there is one, else the CPU path), cpu, gpu (any adapter), or part of an adapter's name or
    /// interface (vulkan, metal, dx12)
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Folder for the dataset [default: runs/sweep-FILE, with -I-of-N behind it of a shard]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print points, batches, memory and time, from a short measurement, and stop
    #[arg(long)]
    dry_run: bool,
    /// Continue the sweep in --out, or begin it if there is none
    #[arg(long)]
    resume: bool,
    /// Do only this part of the points; shards of one sweep need no knowledge of each other
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
    /// Most replicas side by side [default: the file's, else 16 on a CPU and 256 on a GPU; what does not fit is split]
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
}

/// The sweep of a file that names the task whose configuration is `C`.
pub(super) fn sweep<C: Task>(a: &SweepArgs, file: &SweepFile) -> Result<()> {
    let asked = some_replicas(a.replicas)?.or(file.replicas);
    let plan = Plan::<C>::new(file, &a.file.display().to_string())?;
    let place = place(&a.device)?;
    note!("{}", place.why);
    go(a, plan, &place, asked.unwrap_or(usual_replicas(&place)))
}

/// What `--replicas` asks for.
pub(super) fn some_replicas(asked: Option<usize>) -> Result<Option<usize>> {
    match asked {
        Some(0) => bail!("--replicas: must be at least 1"),
        asked => Ok(asked),
    }
}

/// Most replicas of a batch where nobody names a number.
pub(super) fn usual_replicas(place: &Place) -> usize {
    if place.gpu.is_some() { GPU_REPLICAS } else { CPU_REPLICAS }
}

fn go<C: Task>(a: &SweepArgs, plan: Plan<C>, place: &Place, replicas: usize) -> Result<()> {
    let own = plan.shard(a.shard).len();
    say!(
        "{} points ({} in shard {}) of {} seeds, plan {}",
        plan.points.len(),
        own,
        a.shard,
        plan.seeds.len(),
        plan.hash
    );
    if plan.merged > 0 {
        let (merged, points) = (plan.merged, plan.points.len());
        say!(
            "{} combinations are {points} points: {merged} differ only in keys that their agent does not read",
            merged + points
        );
    }
    if a.dry_run {
        return dry_run(a, &plan, replicas, place);
    }
    let planned = PlanFile::of(&plan, a.shard, device_name(place));
    let out = a.out.clone().unwrap_or_else(|| default_out(&a.file, a.shard));
    let mut dataset = open(&out, &planned, a.resume)?;
    if !dataset.done.is_empty() {
        note!("{} of {own} points are there already", dataset.done.len());
    }
    let (done, points) = work(&a.device, place, replicas, &out, |way| {
        let done = run::run(&plan, &planned, &mut dataset, way)?;
        Ok((done, way.commits.count().0))
    })?;
    say!("{points} points in {} ({} now, {} before)", out.display(), done.computed, done.found);
    say_not_ok(&done);
    Ok(())
}

/// Does `job` in the folder `out`. On a signal the process ends between two writes.
pub(super) fn work<T>(
    device: &DeviceChoice,
    place: &Place,
    replicas: usize,
    out: &Path,
    job: impl FnOnce(&mut Way) -> Result<T, SweepError>,
) -> Result<T> {
    let commits = Arc::new(Commits::default());
    end_on_signals(&commits, out)?;
    let mut way = Way {
        device: Device { gpu: place.gpu.clone(), reopen: &|| Gpu::open(device).map(Arc::new) },
        replicas,
        watch: &Bars::new(),
        progress: &tell,
        commits: &commits,
    };
    Ok(job(&mut way)?)
}

pub(super) fn say_not_ok(done: &Done) {
    if done.not_ok > 0 {
        say!("{} replicas diverged or are not finite: see the column status", done.not_ok);
    }
}

/// As plans name the device: on a CPU nothing depends on which one it is.
pub(super) fn device_name(place: &Place) -> &str {
    place.gpu.as_ref().map_or("cpu", |g| g.info.name.as_str())
}

/// Takes the folder of a job's dataset, and says what is odd about it.
pub(super) fn open(out: &Path, planned: &PlanFile, resume: bool) -> Result<Dataset> {
    let dataset = Dataset::open(out, planned, resume)?;
    if let Some(pid) = dataset.lock.stale {
        note!("process {pid} had this folder and is gone; taking it over");
    }
    for path in &dataset.damaged {
        note!("warning: a part was damaged; it is kept as '{}' and computed again", path.display());
    }
    Ok(dataset)
}

/// A line after a batch.
fn tell(p: &Progress) {
    note!(
        "batch {}/{}: {} of {} points, {:.2} replicas/s, about {} left",
        p.batch,
        p.batches,
        p.points,
        p.of,
        p.replicas_per_s,
        time(p.left_s)
    );
}

fn default_out(file: &Path, shard: Shard) -> PathBuf {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix("sweep-").unwrap_or(&name);
    match shard {
        Shard::WHOLE => format!("runs/sweep-{name}").into(),
        Shard { index, of } => format!("runs/sweep-{name}-{index}-of-{of}").into(),
    }
}

fn dry_run<C: Task>(a: &SweepArgs, plan: &Plan<C>, replicas: usize, place: &Place) -> Result<()> {
    let batches = run::batches(plan, a.shard, replicas, |_| false);
    say_costs(&batches, &run::costs(plan, &batches, replicas, place.gpu.as_ref())?, replicas);
    Ok(())
}

/// Memory and time of each batch and of all.
pub(super) fn say_costs(batches: &[Batch], found: &Measurement, replicas: usize) {
    let (costs, spent) = (&found.costs, found.spent_s);
    say!("{:>5}  {:16} {:>7} {:>9} {:>12} {:>14}", "batch", "agent", "points", "replicas", "memory", "time");
    for (n, (b, c)) in batches.iter().zip(costs).enumerate() {
        let memory = if c.bytes == 0 { "-".to_string() } else { size(c.bytes) };
        let points = b.points.len();
        say!(
            "{:>5}  {:16} {points:>7} {:>9} {memory:>12} {:>14}",
            n + 1,
            b.agent,
            b.replicas,
            time(c.seconds)
        );
    }
    let all: f64 = costs.iter().map(|c| c.seconds).sum();
    let most = costs.iter().map(|c| c.bytes).max().unwrap_or(0);
    say!(
        "{} batches, about {} in all and {} of memory for the learner, up to {replicas} replicas at once",
        batches.len(),
        time(all),
        size(most)
    );
    say!(
        "times: measured here in {spent:.1} s, one update past the warm-up and up to 256 episodes of each agent and size; memory: computed from the sizes"
    );
}

/// Ends the process on SIGINT and SIGTERM as soon as nothing is being written.
fn end_on_signals(commits: &Arc<Commits>, out: &Path) -> Result<()> {
    let (commits, out) = (commits.clone(), out.display().to_string());
    super::signals::at_each(move |signal| {
        let _nothing_is_written = commits.pause();
        let (done, of) = commits.count();
        note!("interrupted: {done} of {of} points are saved in '{out}'; continue with --resume");
        std::process::exit(128 + signal);
    })
}

#[derive(Args)]
pub struct MergeArgs {
    /// Folders of shards
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Folder for the whole dataset
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn merge(a: &MergeArgs) -> Result<()> {
    let done = merge::merge(&a.dirs, &a.out)?;
    say!("{} points in {}, none missing, {} held twice", done.points, a.out.display(), done.repeated);
    Ok(())
}
