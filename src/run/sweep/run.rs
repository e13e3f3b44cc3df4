//! Batch after batch: train, evaluate, commit.
//!
//! A batch is done in parts as large as the device carries. While a part is trained its state is saved every
//! `reproduce.checkpoint_every` updates below `work/`, from which an interrupted job goes on; the points of a batch are
//! committed when all its replicas are evaluated.

use super::dataset::{Dataset, PlanFile, Replicated, Status};
use super::pack::{in_parts, pack};
use super::plan::{Mode, Plan, Point, Shard, what_is_read};
use super::task::{self, Keep};
use super::{SweepError, digest, writing};
use crate::files::if_there;
use crate::gpu::{Gpu, GpuError};
use crate::learn::{Algorithm, Learner, LearnerState, UpdateMetrics};
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::CheckpointError;
use crate::run::errors::JobError;
use crate::run::pace;
use crate::run::reproduce::{check_memory, curve};
use crate::run::rows::{Cells, CurveRow, Key, Row};
use crate::run::task::{Task, Unit, Weights};
use crate::run::train::Plan as Training;
use crate::run::watch::Watch;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Replicas of a batch where neither file nor command line names a number. A CPU gains nothing from more, and what is
/// done is saved more often.
pub const CPU_REPLICAS: usize = 16;
/// A GPU is filled; what does not fit is split.
pub const GPU_REPLICAS: usize = 256;

/// What a process that wants to end must know: how much is committed, and that nothing is being written.
#[derive(Default)]
pub struct Commits {
    gate: Mutex<()>,
    done: AtomicUsize,
    total: AtomicUsize,
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
fn work_of<C: Task>(plan: &Plan<C>, point: &Point<C>) -> f64 {
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

/// Does what is missing of a plan's shard.
///
/// # Errors
/// What stops the job; committed points stay.
pub fn run<C: Task>(
    plan: &Plan<C>,
    file: &PlanFile,
    dataset: &mut Dataset,
    way: &mut Way,
) -> Result<Done, SweepError> {
    let mut out = Done { found: dataset.done.len(), ..Done::default() };
    let (work, passed) = (dataset.dir.join(WORK), dataset.dir.join(PASSED));
    let todo = batches(plan, file.shard, way.replicas, |id| dataset.done.contains_key(id));
    let total = plan.shard(file.shard).len();
    way.commits.total.store(total, Ordering::SeqCst);
    way.commits.done.store(dataset.done.len(), Ordering::SeqCst);
    let weigh = |b: &Batch| b.points.len() as f64 * work_of(plan, &plan.points[b.points[0]]);
    let all: f64 = todo.iter().map(weigh).sum();
    let (started, mut behind, mut replicas) = (Instant::now(), 0.0, 0);
    // Of the shape that is being worked on: how many replicas have turned out to fit.
    let mut fits: Option<(String, usize)> = None;
    for (n, batch) in todo.iter().enumerate() {
        let units = units(plan, &batch.points);
        let mut most = way.replicas;
        if let Some((_, known)) = fits.as_ref().filter(|(shape, _)| *shape == batch.shape) {
            most = *known;
        }
        let results = whole_batch(plan, batch, &units, &mut most, (&work, &passed), way)?;
        fits = Some((batch.shape.clone(), most));
        out.not_ok += results.iter().filter(|r| r.status != Status::Ok).count();
        for (i, replicas) in batch.points.iter().zip(results.chunks(plan.seeds.len())) {
            let _writing = way.commits.pause();
            dataset.commit(&plan.axes, &plan.points[*i], replicas)?;
            way.commits.done.fetch_add(1, Ordering::SeqCst);
        }
        out.computed += batch.points.len();
        // Half-trained states of this batch are of no use any more.
        clear(&work)?;
        behind += weigh(batch);
        replicas += batch.replicas;
        let spent = started.elapsed().as_secs_f64();
        (way.progress)(&Progress {
            batch: n + 1,
            batches: todo.len(),
            points: way.commits.count().0,
            of: total,
            replicas_per_s: replicas as f64 / spent,
            left_s: spent * (all - behind) / behind,
        });
    }
    clear(&work)?;
    Ok(out)
}

pub(in crate::run) fn clear(work: &Path) -> Result<(), SweepError> {
    if_there(std::fs::remove_dir_all(work)).map(drop).map_err(writing(work))
}

/// Folder of half-trained batches, and that of the replicas that points of a later stage go on from.
const WORK: &str = "work";
pub(in crate::run) const PASSED: &str = "passed";

/// Where the state of a point's replica lies for those that go on from it.
pub(in crate::run) fn passed_file(folder: &Path, point: &str, seed: u32) -> PathBuf {
    folder.join(format!("{point}-{seed}.safetensors"))
}

/// How far replicas train, and the files of the states that they go on from and leave for others: one for each replica,
/// or none.
struct Span {
    until: u32,
    from: Vec<PathBuf>,
    to: Vec<PathBuf>,
}

/// Results of a batch's replicas, in their order, in parts of at most `most`.
fn whole_batch<C: Task>(
    plan: &Plan<C>,
    batch: &Batch,
    units: &[Unit<C>],
    most: &mut usize,
    (work, passed): (&Path, &Path),
    way: &mut Way,
) -> Result<Vec<Replicated>, SweepError> {
    let agent = batch.agent;
    let (watch, commits) = (way.watch, way.commits);
    let device = &mut way.device;
    let smaller = |e: &JobError, n: usize, fit: usize| {
        watch.warn(&format!("{agent}: a batch of {n} replicas did not fit ({e}); trying {fit}"));
    };
    let part = |range: std::ops::Range<usize>| {
        let units = &units[range.clone()];
        let result = (|| {
            let (mut trained, mut stuck) = (None, vec![false; units.len()]);
            let mut seen: Vec<UpdateMetrics> = Vec::new();
            let mut curves: Curves = Vec::new();
            if let Some(w) = plan.weights.get(agent) {
                trained = Some(w.rows(units));
            } else if task::agent::<C>(agent).is_learned() {
                let name = part_name(plan, batch, &range);
                let span = span(plan, batch, &range, passed);
                let gpu = device.gpu.as_ref();
                let keeps = plan.keep.contains(&Keep::Curves);
                let left = train(agent, units, &span, &work.join(name), gpu, watch, commits, keeps)?;
                (trained, stuck, seen, curves) = (Some(left.checkpoint), left.stuck, left.last, left.curves);
            }
            // What fits in training may not in evaluation; a part of the batch is evaluated without another training.
            let mut at_once = units.len();
            let evaluate = |r: std::ops::Range<usize>| {
                let weights = trained.as_ref().map(|c| c.weights_of(r.clone()));
                let gpu = device.gpu.as_deref();
                evaluated(agent, &units[r.clone()], weights.as_ref(), &stuck[r], gpu, watch, &plan.keep)
            };
            let mut out = in_parts(units.len(), &mut at_once, evaluate, smaller)?;
            if plan.tells_training {
                out.iter_mut().zip(&seen).for_each(|(r, u)| r.metrics.extend(of_training::<C>(u)));
            }
            out.iter_mut().zip(curves).for_each(|(r, own)| r.metrics.extend(own));
            Ok(out)
        })();
        if let Err(JobError::Gpu(GpuError::Lost(..))) = &result {
            // The old device answers nothing any more.
            device.gpu = Some((device.reopen)()?);
        }
        result
    };
    let before = *most;
    let out = in_parts(units.len(), most, part, smaller)?;
    if *most < before {
        watch.warn(&format!("{agent}: {most} replicas fit"));
    }
    Ok(out)
}

/// Folder of a part's half-trained state: the same only for the same replicas in the same order.
fn part_name<C: Task>(plan: &Plan<C>, batch: &Batch, range: &std::ops::Range<usize>) -> String {
    let seeds = plan.seeds.len();
    let name = |n: usize| format!("{} {}", plan.points[batch.points[n / seeds]].id, plan.seeds[n % seeds]);
    let names: Vec<String> = range.clone().map(name).collect();
    digest(&names.iter().map(|n| n.as_bytes()).collect::<Vec<_>>())
}

/// How a part of a batch trains.
fn span<C: Task>(plan: &Plan<C>, batch: &Batch, range: &std::ops::Range<usize>, passed: &Path) -> Span {
    let seeds = plan.seeds.len();
    let of = |n: usize| (&plan.points[batch.points[n / seeds]], plan.seeds[n % seeds]);
    let from = |n: usize| {
        let (point, seed) = of(n);
        Some(passed_file(passed, &point.stage.as_ref()?.from.as_ref()?.0, seed))
    };
    let to = |n: usize| {
        let (point, seed) = of(n);
        point.stage.as_ref()?.keep.then(|| passed_file(passed, &point.id, seed))
    };
    // All points of a batch are in one stage.
    Span {
        until: of(range.start).0.updates().0,
        from: range.clone().filter_map(from).collect(),
        to: range.clone().filter_map(to).collect(),
    }
}

/// What the last update of a training says of a replica, by the names that learning curves have.
fn of_training<C: Task>(u: &UpdateMetrics) -> Vec<task::Measured> {
    let row = [curve(Key::default(), 0, 0, u)];
    let told = CurveRow::columns(C::SCHEMA).into_iter().filter(|c| C::SCHEMA.learner.contains(&c.name));
    let numbers = told.filter_map(|c| match c.cells(&row) {
        Cells::Real(x) => Some((c.name, x[0])),
        _ => None,
    });
    let rates = &u.firing_rates;
    let rate = (!rates.is_empty()).then(|| ("firing_rate", rates.iter().sum::<f64>() / rates.len() as f64));
    let measured = |(name, mean): (&str, f64)| task::Measured {
        metric: format!("{TRAINING}{name}"),
        episodes: 0,
        mean,
        std_error: f64::NAN,
        step: None,
    };
    numbers.chain(rate).map(measured).collect()
}

/// Begins the names of metrics that tell of a training and not of an evaluation.
pub const TRAINING: &str = "train_";

/// Learning curves, replica by replica.
type Curves = Vec<Vec<task::Measured>>;

/// What an update says of a replica, as its learning curve has it.
fn of_update<C: Task>(update: u32, u: &UpdateMetrics) -> Vec<task::Measured> {
    let row = [curve(Key::default(), update, 0, u)];
    let shown = |name| C::SCHEMA.learner.contains(&name) || C::SCHEMA.curve.iter().any(|c| c.name == name);
    let columns = CurveRow::columns(C::SCHEMA).into_iter().filter(|c| shown(c.name));
    let numbers = columns.filter_map(|c| Some((c.name, c.number(&row[0])?)));
    let measured = |(name, mean): (&str, f64)| task::Measured {
        metric: format!("{}{name}", task::CURVE),
        episodes: 0,
        mean,
        std_error: f64::NAN,
        step: Some(update),
    };
    numbers.filter(|(_, x)| x.is_finite()).map(measured).collect()
}

/// What is left of a training.
struct Left<C: Task> {
    checkpoint: Checkpoint<C>,
    /// Which replicas have stopped learning.
    stuck: Vec<bool>,
    /// The metrics of its last update.
    last: Vec<UpdateMetrics>,
    /// Empty where they are not kept.
    curves: Curves,
}

/// Trains replicas side by side, from the state saved in `dir` if there is one, else from those that others have left
/// for them.
#[expect(clippy::too_many_arguments, reason = "the state of one training")]
fn train<C: Task>(
    agent: &'static str,
    units: &[Unit<C>],
    span: &Span,
    dir: &Path,
    gpu: Option<&Arc<Gpu>>,
    watch: &dyn Watch,
    commits: &Commits,
    keeps: bool,
) -> Result<Left<C>, JobError> {
    let algorithm =
        units[0].config.algorithm(task::agent(agent), units).ok_or(JobError::NotLearned(agent))?;
    // An adapter has its own memory, and its limits are checked where its buffers are made.
    if gpu.is_none_or(|g| g.is_software()) {
        check_memory(&algorithm, C::MEMORY_KEYS)?;
    }
    let path = dir.join("checkpoint.safetensors");
    let state = match saved(agent, units, span.until, &path) {
        Ok(Some(state)) => state,
        Ok(None) => passed_on(agent, units, &span.from, watch).unwrap_or_else(|| algorithm.start()),
        Err(e) => {
            let aside: PathBuf = path.with_extension("damaged");
            watch.warn(&format!("{e}; this batch starts over, the file is kept as '{}'", aside.display()));
            std::fs::rename(&path, &aside).map_err(|e| JobError::file(&path, e))?;
            algorithm.start()
        }
    };
    let left = train_from(agent, units, &algorithm, state, span.until, &path, gpu, watch, commits, keeps)?;
    for ((r, unit), to) in units.iter().enumerate().zip(&span.to) {
        let state = left.checkpoint.state.replica(r, units.len());
        let _writing = commits.pause();
        match single(agent, unit, state).save(to) {
            // A replica whose weights are not finite goes nowhere.
            Ok(()) | Err(CheckpointError::Tensor { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(left)
}

/// The checkpoint of one replica.
fn single<C: Task>(agent: &str, unit: &Unit<C>, state: LearnerState) -> Checkpoint<C> {
    Checkpoint {
        config: unit.config.clone(),
        agent: agent.into(),
        seeds: vec![unit.seed],
        swept: vec![unit.config.swept()],
        state,
    }
}

/// The states that others have left for these replicas, side by side. Without one of them, all begin anew and come to
/// the same place later.
fn passed_on<C: Task>(
    agent: &str,
    units: &[Unit<C>],
    from: &[PathBuf],
    watch: &dyn Watch,
) -> Option<LearnerState> {
    let mut states = Vec::new();
    for (unit, path) in units.iter().zip(from) {
        let found = saved(agent, std::slice::from_ref(unit), u32::MAX, path).unwrap_or_else(|e| {
            watch.warn(&format!("{e}; these replicas start over"));
            None
        });
        states.push(found?);
    }
    LearnerState::side_by_side(&states)
}

/// The state that a job left of these replicas before update `until`; `None` if it left none.
fn saved<C: Task>(
    agent: &str,
    units: &[Unit<C>],
    until: u32,
    path: &Path,
) -> Result<Option<LearnerState>, CheckpointError> {
    if !path.exists() {
        return Ok(None);
    }
    let c = Checkpoint::<C>::load(path)?;
    // Keys that the agent does not read may have changed: they make no other point.
    let read = |config: &C| what_is_read(Mode::TrainAndEvaluate, config, task::agent(agent));
    let ours = c.agent == agent
        && read(&c.config) == read(units[0].config)
        && c.replicas() == replicas(units)
        && c.state.updates < until;
    if ours {
        return Ok(Some(c.state));
    }
    Err(CheckpointError::Damaged(path.display().to_string(), "it is of other replicas".into()))
}

/// (swept value, seed) of each replica.
fn replicas<C: Task>(units: &[Unit<C>]) -> Vec<(f64, u32)> {
    units.iter().map(|u| (u.config.swept(), u.seed)).collect()
}

#[expect(clippy::too_many_arguments, reason = "the state of one training")]
fn train_from<C: Task>(
    agent: &'static str,
    units: &[Unit<C>],
    algorithm: &Algorithm,
    mut state: LearnerState,
    goal: u32,
    path: &Path,
    gpu: Option<&Arc<Gpu>>,
    watch: &dyn Watch,
    commits: &Commits,
    keeps: bool,
) -> Result<Left<C>, JobError> {
    let head = units[0].config;
    let total = head.common().train.updates;
    let every = head.common().checkpoint_every;
    let checkpoint = |state: LearnerState| {
        let (swept, seeds) = replicas(units).into_iter().unzip();
        Checkpoint { config: head.clone(), agent: agent.into(), seeds, swept, state }
    };
    let mut learner = Learner::new(algorithm, &state, gpu)?;
    let mut stuck = vec![false; units.len()];
    let mut last = Vec::new();
    let own = path.with_file_name("curves.json");
    let mut curves = if keeps { half_told(&own, units.len(), state.updates)? } else { Curves::new() };
    watch.begin(&format!("train {agent} ({} replicas)", units.len()), u64::from(goal));
    watch.advance(u64::from(state.updates), "");
    while state.updates < goal {
        let start = state.updates;
        let until = goal.min((start / every + 1) * every);
        // Without curves, only the last update's metrics are looked at.
        let log_every = if keeps { head.common().train.log_every } else { goal };
        let plan = Training { algorithm, updates: total, until, log_every };
        state = crate::run::train::train(
            &plan,
            &mut learner,
            start,
            |update, metrics| {
                if keeps {
                    curves.iter_mut().zip(metrics).for_each(|(own, m)| own.extend(of_update::<C>(update, m)));
                }
                for (stuck, m) in stuck.iter_mut().zip(metrics) {
                    *stuck = algorithm.is_stuck(m).unwrap_or(*stuck);
                }
                last = metrics.to_vec();
                watch.advance(0, &algorithm.note(metrics));
            },
            |_| {
                watch.advance(1, "");
                true
            },
        )?;
        if until < goal {
            let _writing = commits.pause();
            if keeps {
                let text = serde_json::to_string(&curves).expect("numbers and names are always JSON");
                crate::files::write_whole(&own, text.as_bytes()).map_err(|e| JobError::file(&own, e))?;
            }
            match checkpoint(state.clone()).save(path) {
                // A replica whose weights are not finite: its state could not be read again. The others must not lose
                // theirs, so the batch goes on.
                Ok(()) | Err(CheckpointError::Tensor { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    watch.end();
    Ok(Left { checkpoint: checkpoint(state), stuck, last, curves })
}

/// The curves that a half-trained batch has left, up to the update that it goes on from.
fn half_told(path: &Path, replicas: usize, updates: u32) -> Result<Curves, JobError> {
    let none = || vec![Vec::new(); replicas];
    if updates == 0 {
        return Ok(none());
    }
    let Some(text) = if_there(std::fs::read(path)).map_err(|e| JobError::file(path, e))? else {
        return Ok(none());
    };
    let mut curves: Curves = serde_json::from_slice(&text).unwrap_or_else(|_| none());
    curves.resize(replicas, Vec::new());
    curves.iter_mut().for_each(|own| own.retain(|m| m.step.is_none_or(|step| step < updates)));
    Ok(curves)
}

/// Metrics and status of replicas; `trained` holds a learned agent's weights, `stuck` who has stopped learning.
pub fn evaluated<C: Task>(
    agent: &str,
    units: &[Unit<C>],
    trained: Option<&Checkpoint<C>>,
    stuck: &[bool],
    gpu: Option<&Gpu>,
    watch: &dyn Watch,
    keep: &BTreeSet<Keep>,
) -> Result<Vec<Replicated>, JobError> {
    let algorithm = trained.map(Checkpoint::algorithm);
    let weights = trained.zip(algorithm.as_ref()).map(|(c, a)| Weights::trained(a, &c.state.params));
    let metrics = task::evaluate(task::agent(agent), units, weights, gpu, watch, keep)?;
    let finite = |r: usize| {
        trained.is_none_or(|c| {
            let width = c.state.params.len() / units.len();
            c.state.params[r * width..][..width].iter().all(|x| x.is_finite())
        })
    };
    let one = |(r, metrics): (usize, Vec<task::Measured>)| {
        let status = if stuck[r] || !finite(r) {
            Status::Diverged
        } else if metrics.iter().any(|m| !m.mean.is_finite()) {
            Status::NotFinite
        } else {
            Status::Ok
        };
        Replicated { seed: units[r].seed, status, metrics }
    };
    Ok(metrics.into_iter().enumerate().map(one).collect())
}

/// What a batch is expected to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Of the learner, in parts of at most the batch size; 0 where nothing learns.
    pub bytes: u64,
    pub seconds: f64,
}

/// What a short measurement tells of batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// In the order of the batches.
    pub costs: Vec<Cost>,
    /// What an evaluation of each agent tells: agent, metric.
    pub metrics: BTreeSet<(String, String)>,
    /// How long it took.
    pub spent_s: f64,
}

/// Expected memory and time of batches, from one short measurement for each agent and structure: an update of a few
/// replicas past the warm-up, and some episodes.
pub fn costs<C: Task>(
    plan: &Plan<C>,
    batches: &[Batch],
    most: usize,
    gpu: Option<&Arc<Gpu>>,
) -> Result<Measurement, SweepError> {
    const EPISODES: u64 = 256;
    let started = Instant::now();
    // By agent and structure: seconds of an update and of an episode of one replica.
    let mut known: Vec<(String, [f64; 2])> = Vec::new();
    let (mut costs, mut metrics) = (Vec::new(), BTreeSet::new());
    for b in batches {
        let all = units(plan, &b.points);
        let head = all[0].config;
        let learner = |units: &[Unit<C>]| match plan.mode {
            Mode::Evaluate => None,
            Mode::TrainAndEvaluate => head.algorithm(task::agent(b.agent), units),
        };
        let part = all.len().min(most);
        let bytes = learner(&all[..part]).map_or(0, |a| a.host_bytes());
        let one = learner(&all[..1]);
        let structure = learner(&[]).map_or(String::new(), |a| a.structure());
        let key = format!("{} {structure} {:?}", b.agent, head.env(&[]));
        let rates = match known.iter().find(|k| k.0 == key) {
            Some(k) => k.1,
            None => {
                // A CPU is as fast with few replicas as with many; a GPU is not.
                let few = &all[..part.min(if gpu.is_some() { part } else { 2 })];
                let (rates, told) = measure(plan, b.agent, few, learner(few), EPISODES, gpu)?;
                metrics.extend(told.into_iter().map(|m| (b.agent.to_string(), m.metric)));
                known.push((key, rates));
                rates
            }
        };
        let (until, from) = plan.points[b.points[0]].updates();
        let updates = if one.is_some() { f64::from(until - from) } else { 0.0 };
        let each = updates * rates[0] + head.common().evaluate.episodes as f64 * rates[1];
        costs.push(Cost { bytes, seconds: each * all.len() as f64 });
    }
    Ok(Measurement { costs, metrics, spent_s: started.elapsed().as_secs_f64() })
}

fn measure<C: Task>(
    plan: &Plan<C>,
    agent: &'static str,
    units: &[Unit<C>],
    learner: Option<Algorithm>,
    episodes: u64,
    gpu: Option<&Arc<Gpu>>,
) -> Result<([f64; 2], Vec<task::Measured>), SweepError> {
    let n = units.len() as f64;
    let quiet = crate::run::watch::Quiet;
    let (mut update_s, mut weights) = (0.0, plan.weights.get(agent).map(|w| w.rows(units)));
    if let Some(algorithm) = learner {
        let (seconds, state) = pace::update(&algorithm, gpu)?;
        update_s = seconds / n;
        let (swept, seeds) = replicas(units).into_iter().unzip();
        weights =
            Some(Checkpoint { config: units[0].config.clone(), agent: agent.into(), seeds, swept, state });
    }
    let few = episodes.min(units[0].config.common().evaluate.episodes);
    let short: Vec<C> = units.iter().map(|u| u.config.with_episodes(few)).collect();
    let short: Vec<Unit<C>> =
        short.iter().zip(units).map(|(config, u)| Unit { config, seed: u.seed }).collect();
    let started = Instant::now();
    let stuck = vec![false; short.len()];
    let none = BTreeSet::new();
    let mut told = evaluated(agent, &short, weights.as_ref(), &stuck, gpu.map(|g| &**g), &quiet, &none)?;
    Ok(([update_s, started.elapsed().as_secs_f64() / (n * few as f64)], told.swap_remove(0).metrics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::v2x::config::V2xConfig;

    /// What `advance` heard.
    #[derive(Default)]
    struct Heard(Mutex<Vec<u64>>, AtomicUsize);

    impl Watch for Heard {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, n: u64, _: &str) {
            self.0.lock().unwrap().push(n);
        }
        fn end(&self) {}
        fn warn(&self, _: &str) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Heard {
        fn steps(&self) -> Vec<u64> {
            self.0.lock().unwrap().iter().copied().filter(|n| *n > 0).collect()
        }
    }

    /// Four updates of ten slots.
    fn config(more: &[&str]) -> V2xConfig {
        let small = [
            "ppo.hidden=[4]",
            "spiking.hidden=[]",
            "ppo.envs=2",
            "task.slots=5",
            "ppo.horizon=5",
            "ppo.minibatch=10",
            "train.updates=4",
            "reproduce.checkpoint_every=2",
        ];
        let sets: Vec<String> = small.iter().chain(more).map(ToString::to_string).collect();
        V2xConfig::load(None, &sets).unwrap()
    }

    fn two(config: &V2xConfig) -> Vec<Unit<'_, V2xConfig>> {
        [3, 4].map(|seed| Unit { config, seed }).into()
    }

    fn batch(agent: &str, units: &[Unit<V2xConfig>]) -> Option<Algorithm> {
        units[0].config.algorithm(V2xConfig::agent(agent)?, units)
    }

    fn half_trained(units: &[Unit<V2xConfig>], updates: u32) -> Checkpoint<V2xConfig> {
        let state = batch("ppo", units).unwrap().start();
        let (swept, seeds) = replicas(units).into_iter().unzip();
        let state = LearnerState { updates, ..state };
        Checkpoint { config: units[0].config.clone(), agent: "ppo".into(), seeds, swept, state }
    }

    #[test]
    fn part_of_a_batch_has_its_own_weights() {
        let config = config(&[]);
        let units = [5, 6, 7].map(|seed| Unit { config: &config, seed });
        let all = half_trained(&units, 4);
        let width = all.state.params.len() / 3;
        let some = all.weights_of(1..3);
        assert_eq!((some.seeds, some.swept), (vec![6, 7], all.swept[1..].to_vec()));
        assert_eq!(some.state.params, all.state.params[width..]);
    }

    #[test]
    fn a_half_trained_state_is_continued_by_its_own_replicas_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.safetensors");
        let own = config(&[]);
        let units = two(&own);
        assert!(saved("ppo", &units, 4, &path).unwrap().is_none(), "there is none yet");
        let half = half_trained(&units, 2);
        half.save(&path).unwrap();
        assert_eq!(saved("ppo", &units, 4, &path).unwrap(), Some(half.state));
        let others = [3, 5].map(|seed| Unit { config: &own, seed });
        let other = config(&["ppo.clip=0.1"]);
        for (agent, units) in [("ppo", others.to_vec()), ("spiking-ac", units.clone()), ("ppo", two(&other))]
        {
            assert!(matches!(saved(agent, &units, 4, &path), Err(CheckpointError::Damaged(..))), "{agent}");
        }
        half_trained(&units, 4).save(&path).unwrap();
        assert!(saved("ppo", &units, 4, &path).is_err(), "nothing is left to train");
    }

    #[test]
    fn training_begins_behind_what_was_saved() {
        let config = config(&[]);
        let units = two(&config);
        let heard = |prepare: &dyn Fn(&Path)| {
            let (dir, watch) = (tempfile::tempdir().unwrap(), Heard::default());
            prepare(&dir.path().join("checkpoint.safetensors"));
            let span = Span { until: 4, from: Vec::new(), to: Vec::new() };
            train("ppo", &units, &span, dir.path(), None, &watch, &Commits::default(), false).unwrap();
            (watch.steps(), watch.1.load(Ordering::SeqCst))
        };
        assert_eq!(heard(&|_| ()), (vec![1; 4], 0));
        assert_eq!(heard(&|path| half_trained(&units, 3).save(path).unwrap()), (vec![3, 1], 0));
        // What cannot be read is said, and training starts over.
        assert_eq!(heard(&|path| std::fs::write(path, "no checkpoint").unwrap()), (vec![1; 4], 1));
    }

    #[test]
    fn a_replica_whose_gradients_are_not_finite_is_stuck_and_no_other() {
        let config = config(&[]);
        let units = two(&config);
        let algorithm = batch("ppo", &units).unwrap();
        let mut state = algorithm.start();
        let width = state.params.len() / 2;
        state.params[width] = f32::NAN;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.safetensors");
        let (watch, commits) = (Heard::default(), Commits::default());
        let Left { checkpoint: c, stuck, .. } =
            train_from("ppo", &units, &algorithm, state, 4, &path, None, &watch, &commits, false).unwrap();
        assert_eq!(stuck, [false, true]);
        assert!(c.state.params[..width].iter().all(|x| x.is_finite()));
    }

    /// In the 20 slots of 2 environments a learner that waits for 60 transitions makes no gradient step, and has no
    /// norm that could be bad.
    #[test]
    fn a_replica_that_made_no_gradient_step_is_not_stuck() {
        for (starts, broken, want) in
            [(60, false, [false; 2]), (10, false, [false; 2]), (10, true, [false, true])]
        {
            let starts = format!("dqn.learning_starts={starts}");
            let config =
                config(&["dqn.hidden=[4]", "dqn.envs=2", "dqn.capacity=80", "dqn.minibatch=8", &starts]);
            let units = two(&config);
            let algorithm = batch("dqn", &units).unwrap();
            let mut state = algorithm.start();
            let width = algorithm.params();
            if broken {
                state.params[width..].fill(f32::NAN);
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("checkpoint.safetensors");
            let (watch, commits) = (Heard::default(), Commits::default());
            let Left { checkpoint: c, stuck, .. } =
                train_from("dqn", &units, &algorithm, state, 4, &path, None, &watch, &commits, false)
                    .unwrap();
            assert_eq!(stuck, want, "{starts}");
            assert_eq!(c.state.adam_steps == 0, starts.ends_with("60"), "{starts}");
        }
    }

    /// The device is gone before anything is done with it: another is opened, the batch is split, and the results are
    /// those of a sound device.
    #[test]
    fn a_lost_device_is_opened_again() {
        let open = || Gpu::open(&crate::gpu::DeviceChoice::Gpu);
        let lost = match open() {
            Ok(gpu) => gpu,
            Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
                panic!("REQUIRE_GPU=1 and: {e}")
            }
            Err(e) => return eprintln!("SKIPPED (no GPU): {e}"),
        };
        let text = "task = \"v2x\"\nagents = [\"ppo\"]\nseeds = [1, 2]\n[config]\nppo.hidden = [4]\nppo.envs = 2\ntask.slots = 5\nppo.horizon = 5\nppo.minibatch = 10\ntrain.updates = 2\nevaluate.episodes = 8\n";
        let plan: Plan<V2xConfig> =
            Plan::new(&crate::run::sweep::plan::SweepFile::parse(text, "x").unwrap(), "x").unwrap();
        let file = PlanFile::of(&plan, Shard::WHOLE, "a GPU");
        let done = |gpu: Gpu| {
            let (dir, watch, opened) = (tempfile::tempdir().unwrap(), Heard::default(), AtomicUsize::new(0));
            let mut dataset = Dataset::open(dir.path(), &file, false).unwrap();
            let reopen = || {
                opened.fetch_add(1, Ordering::SeqCst);
                open().map(Arc::new)
            };
            let mut way = Way {
                device: Device { gpu: Some(Arc::new(gpu)), reopen: &reopen },
                replicas: 2,
                watch: &watch,
                progress: &|_| (),
                commits: &Commits::default(),
            };
            assert_eq!(
                run(&plan, &file, &mut dataset, &mut way).unwrap(),
                Done { computed: 1, found: 0, not_ok: 0 }
            );
            // Its name holds the checksum of the results.
            let part = dataset.done[&plan.points[0].id].file_name().unwrap().to_owned();
            (part, opened.into_inner(), watch.1.into_inner() > 0)
        };
        let (sound, none, quiet) = done(open().unwrap());
        assert_eq!((none, quiet), (0, false));
        lost.device.destroy();
        lost.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        assert_eq!(done(lost), (sound, 1, true));
    }
}
