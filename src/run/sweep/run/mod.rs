//! Batch after batch: train, evaluate, commit.
//!
//! A batch is done in parts as large as the device carries. While a part is trained its state is saved every
//! `reproduce.checkpoint_every` updates below `work/`, from which an interrupted job goes on; the points of a batch are
//! committed when all its replicas are evaluated.

mod batch;
mod cost;
mod train;

pub use batch::{Batch, CPU_REPLICAS, Commits, Device, Done, GPU_REPLICAS, Progress, Way, batches, units};
pub use cost::{Cost, Measurement, costs};
pub use train::TRAINING;

use super::dataset::{Dataset, PlanFile, Replicated, Status};
use super::pack::in_parts;
use super::plan::Plan;
use super::task::Keep;
use super::{SweepError, digest, task, writing};
use crate::files::if_there;
use crate::gpu::{Gpu, GpuError};
use crate::learn::UpdateMetrics;
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::JobError;
use crate::run::task::{Task, Unit, Weights};
use crate::run::watch::Watch;
use batch::work_of;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;
use train::{Curves, Span, of_training, train};

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

#[cfg(test)]
mod tests {
    use super::train::{Left, replicas, saved, train_from};
    use super::*;
    use crate::config::Layered;
    use crate::learn::{Algorithm, LearnerState};
    use crate::run::errors::CheckpointError;
    use crate::run::sweep::plan::Shard;
    use crate::tasks::v2x::config::V2xConfig;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Mutex};

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
