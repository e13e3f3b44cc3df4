//! Points that are done together, and what a sweep is done with.

use crate::gpu::{Gpu, GpuError};
use crate::run::sweep::pack::pack;
use crate::run::sweep::plan::{Mode, Plan, Point, Shard};
use crate::run::sweep::task;
use crate::run::task::{Task, Unit};
use crate::run::watch::Watch;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Replicas of a batch where neither file nor command line names a number. A CPU gains nothing from more, and what is
/// done is saved more often.
pub const CPU_REPLICAS: usize = 16;

/// A GPU is filled; what does not fit is split.
pub const GPU_REPLICAS: usize = 256;

/// What a process that wants to end must know: how much is committed, and that nothing is being written.
#[derive(Default)]
pub struct Commits {
    gate: Mutex<()>,
    pub(super) done: AtomicUsize,
    pub(super) total: AtomicUsize,
}

impl Commits {
    /// Waits until nothing is being written, and keeps it so while the guard lives.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Points committed and points of this folder.
    pub fn count(&self) -> (usize, usize) {
        (self.done.load(Ordering::SeqCst), self.total.load(Ordering::SeqCst))
    }
}

/// How far a sweep is, after a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub batch: usize,
    pub batches: usize,
    pub points: usize,
    pub of: usize,
    /// Replicas per second since this process began.
    pub replicas_per_s: f64,
    pub left_s: f64,
}

/// The device, and how to get it back after it was lost.
pub struct Device<'a> {
    pub gpu: Option<Arc<Gpu>>,
    pub reopen: &'a dyn Fn() -> Result<Arc<Gpu>, GpuError>,
}

/// How a sweep is done.
pub struct Way<'a> {
    pub device: Device<'a>,
    /// Most replicas of a batch.
    pub replicas: usize,
    pub watch: &'a dyn Watch,
    pub progress: &'a dyn Fn(&Progress),
    pub commits: &'a Commits,
}

/// What a sweep left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// Points computed now, and points found there.
    pub computed: usize,
    pub found: usize,
    /// Replicas computed now whose status is not `ok`.
    pub not_ok: usize,
}

/// Points of one shape that are done together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub agent: &'static str,
    /// Indices into the plan.
    pub points: Vec<usize>,
    pub replicas: usize,
    /// Text of what the replicas have in common.
    pub shape: String,
}

/// The batches of a shard's points, those for which `skip` holds left out.
pub fn batches<C: Task>(
    plan: &Plan<C>,
    shard: Shard,
    most: usize,
    skip: impl Fn(&str) -> bool,
) -> Vec<Batch> {
    let open: Vec<usize> = plan.shard(shard).into_iter().filter(|i| !skip(&plan.points[*i].id)).collect();
    let shape = |p: &Point<C>| format!("{} {:?}", task::shape(&p.config, task::agent(p.agent)), p.updates());
    let shapes: Vec<String> = open.iter().map(|i| shape(&plan.points[*i])).collect();
    let named: Vec<(usize, &str)> = open.iter().copied().zip(shapes.iter().map(String::as_str)).collect();
    let batch = |points: Vec<usize>| {
        let first = &plan.points[points[0]];
        Batch { agent: first.agent, replicas: points.len() * plan.seeds.len(), shape: shape(first), points }
    };
    pack(&named, plan.seeds.len(), most).into_iter().map(batch).collect()
}

/// The replicas of a batch: points in their order, each with all seeds.
pub fn units<'a, C: Task>(plan: &'a Plan<C>, points: &[usize]) -> Vec<Unit<'a, C>> {
    let of = |i: &usize| {
        let config = &plan.points[*i].config;
        plan.seeds.iter().map(move |seed| Unit { config, seed: *seed })
    };
    points.iter().flat_map(of).collect()
}

/// Environment steps that a replica of a point takes, training steps counted tenfold: they are about as much slower.
pub(super) fn work_of<C: Task>(plan: &Plan<C>, point: &Point<C>) -> f64 {
    let (agent, config, (until, from)) = (point.agent, &point.config, point.updates());
    let evaluation = config.common().evaluate.episodes as f64 * config.env(&[]).sizes().slots as f64;
    let learner = if plan.mode == Mode::Evaluate {
        None
    } else {
        config.algorithm(task::agent(agent), &[Unit { config, seed: 0 }])
    };
    let training = learner.map_or(0.0, |a| a.samples() as f64 * f64::from(until - from));
    evaluation + 10.0 * training
}
