//! A point's result depends on its agent, configuration and seed alone: bit for bit the same in a batch with others,
//! alone, in another order, after an interruption, and beside a replica whose numbers are not finite.
#![cfg(feature = "report")]

use isacbench::gpu::{Gpu, GpuError};
use isacbench::learn::Learner;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::sweep::dataset::{Dataset, PlanFile, Replicated, Status, Tree};
use isacbench::run::sweep::plan::SweepFile;
use isacbench::run::sweep::run::{Commits, Device, Way, batches, evaluated, run};
use isacbench::run::sweep::{Plan, Shard};
use isacbench::run::task::{Task, Unit};
use isacbench::run::train::{TrainingSpan, train};
use isacbench::run::watch::Watch;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

fn plan<C: Task>(text: &str) -> Plan<C> {
    Plan::new(&SweepFile::parse(text, "test").unwrap(), "test").unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a shard in batches of at most `replicas` and gives each point's file name, which holds its checksum.
fn results<C: Task>(
    plan: &Plan<C>,
    dir: &Path,
    shard: Shard,
    replicas: usize,
    gpu: Option<&Arc<Gpu>>,
) -> BTreeMap<String, String> {
    let file = PlanFile::of(plan, shard, "cpu");
    let mut dataset = Dataset::open(dir, &file, true).unwrap();
    let mut way = Way {
        device: Device { gpu: gpu.cloned(), reopen: &|| Err(GpuError::Device("not asked for".into())) },
        replicas,
        watch: &Quiet,
        progress: &|_| (),
        commits: &Commits::default(),
    };
    let done = run(plan, &file, &mut dataset, &mut way).unwrap();
    assert_eq!(done.computed + done.found, plan.shard(shard).len());
    assert!(!dir.join("work").exists(), "half-trained states were left");
    names(dir)
}

fn names(dir: &Path) -> BTreeMap<String, String> {
    let name = |(id, files): (String, Vec<std::path::PathBuf>)| {
        assert_eq!(files.len(), 1);
        (id, files[0].file_name().unwrap().to_string_lossy().into_owned())
    };
    Tree::list(dir).unwrap().parts.into_iter().map(name).collect()
}

/// The same sweep in full batches, replica by replica, in shards, and of fewer points.
fn packing<C: Task>(text: &str, fewer: (&str, &str), agent: &str, gpu: Option<&Arc<Gpu>>) {
    let whole = plan::<C>(text);
    let folder = || tempfile::tempdir().unwrap();
    let first = folder();
    let together = results(&whole, first.path(), Shard::WHOLE, 1000, gpu);
    let full = batches(&whole, Shard::WHOLE, 1000, |_| false);
    assert!(full.len() < whole.points.len(), "nothing was packed: {full:?}");
    // Not the same because nothing depends on anything: `agent` is moved by every axis.
    let mut seen: Vec<Vec<Option<f64>>> = Vec::new();
    for files in Tree::list(first.path()).unwrap().parts.values() {
        if files[0].to_string_lossy().contains(&format!("agent={agent}/")) {
            let rows = isacbench::report::frames::read_parquet(&files[0]).unwrap();
            let means = rows.column("mean").unwrap().f64().unwrap().iter().collect();
            assert!(!seen.contains(&means), "two points gave the same means");
            seen.push(means);
        }
    }
    assert!(seen.len() > 1, "no points of {agent}");
    assert_eq!(results(&whole, folder().path(), Shard::WHOLE, 1, gpu), together, "replica by replica");
    let mut shards = BTreeMap::new();
    for index in 1..=2 {
        shards.extend(results(&whole, folder().path(), Shard { index, of: 2 }, 3, gpu));
    }
    assert_eq!(shards, together, "in two shards");
    let part = plan::<C>(&text.replace(fewer.0, fewer.1));
    assert!(part.points.len() < whole.points.len());
    for (id, name) in results(&part, folder().path(), Shard::WHOLE, 1000, gpu) {
        assert_eq!(together[&id], name, "point {id} beside fewer others");
    }
}

/// Axes that share a batch: task parameters, and a number that each replica of a learner has for itself.
fn v2x() -> String {
    let text = include_str!("../../configs/sweep-v2x-tiny.toml");
    let text = text.replace(
        "task.p_max_dbm = [0, 20, 40]",
        "task.p_max_dbm = [0, 40]\ntask.noise_comm_dbm = [-80, -70]",
    );
    text.replace("task.beam = [\"angles\", \"tracking\"]", "ppo.gamma = [0.6, 0.7]")
}

/// Numbers of learners beside one of the task.
const OWN: &str = "task.noise_comm_dbm = [-80, -70]\nppo.gamma = [0.6, 0.7]\nppo.clip = [0.2, 0.05]\n\
                   ppo.vf_coef = [0.5, 1.0]\nppo.entropy_coef = [0.0, 0.1]\nddpg.tau = [0.005, 0.05]";

/// A short sweep over [`OWN`], and its second point alone.
fn numbers() -> (String, String) {
    let text = v2x().replace("task.noise_comm_dbm = [-80, -70]\n", "").replace("[0, 40]", "[40]");
    let text = text.replace("ppo.gamma = [0.6, 0.7]", &format!("[list]\n{OWN}"));
    let text = text.replace("train.updates = 6", "train.updates = 3");
    let text = text.replace("\"spiking-ac\", \"ppo\", \"ddpg\", \"dqn\", \"ekf\"", "\"ppo\", \"ddpg\"");
    let second = |line: &str| {
        let (key, values) = line.split_once(" = [").expect("a list");
        let second = values.split_once(", ").expect("two values").1;
        format!("{key} = [{second}")
    };
    (text, OWN.lines().map(second).collect::<Vec<_>>().join("\n"))
}

#[test]
fn v2x_on_the_cpu() {
    let text = v2x().replace("count = 2", "count = 3");
    packing::<V2xConfig>(&text, ("[-80, -70]", "[-70]"), "ppo", None);
}

/// What each replica of a learner has for itself, one by one on the GPU, here too.
#[test]
fn numbers_of_learners_on_the_cpu() {
    let (text, fewer) = numbers();
    packing::<V2xConfig>(&text, (OWN, &fewer), "ppo", None);
}

#[test]
fn misac_on_the_cpu() {
    let text = include_str!("../../configs/sweep-misac-tiny.toml");
    let own = "[list]\ntemporal.lr_policy = [5e-3, 1e-3]\ntemporal.gamma = [0.97, 0.9]\ntemporal.clip = [0.2, 0.1]\ntemporal.entropy_coef = [0.0, 0.1]\nspatial.lr = [1e-3, 3e-3]";
    let text = text.replace("[0, 10, 20]", "[20]\ntask.e_vis_j = [10, 11]") + own;
    packing::<MisacConfig>(&text, ("[10, 11]", "[11]"), "h-moe", None);
}

#[test]
fn v2x_on_the_gpu() {
    let Some(gpu) = crate::common::shared_gpu() else { return };
    let (text, fewer) = numbers();
    packing::<V2xConfig>(&text, (OWN, &fewer), "ppo", Some(gpu));
}

#[test]
fn a_batch_of_one_shape_holds_different_tasks_and_numbers_and_no_other_structure() {
    // Epochs are of a whole batch, γ is not.
    let text = v2x().replace("ppo.gamma = [0.6, 0.7]", "ppo.gamma = [0.6, 0.7]\nppo.epochs = [1, 2]");
    let p = plan::<V2xConfig>(&text);
    let full = batches(&p, Shard::WHOLE, 1000, |_| false);
    let of =
        |agent: &str| full.iter().filter(|b| b.agent == agent).map(|b| b.points.len()).collect::<Vec<_>>();
    // [ppo] is read by both agents that learn by PPO, and by no other: for those, points that differ in nothing else
    // are one.
    assert_eq!((of("ppo"), of("spiking-ac")), (vec![8, 8], vec![8, 8]));
    assert_eq!((of("ddpg"), of("dqn"), of("ekf")), (vec![4], vec![4], vec![4]));
}

#[test]
fn a_half_trained_batch_goes_on_where_it_was() {
    let text = v2x().replace("\"spiking-ac\", \"ppo\", \"ddpg\", \"dqn\", \"ekf\"", "\"ddpg\"");
    let text = text.replace("ppo.gamma", "ddpg.gamma");
    let long = plan::<V2xConfig>(&text);
    let folder = tempfile::tempdir().unwrap();
    let whole = results(&long, folder.path(), Shard::WHOLE, 1000, None);
    // A saved state is kept while the same sweep runs in another folder.
    let other = tempfile::tempdir().unwrap();
    let keep = other.path().join("kept");
    std::thread::scope(|s| {
        let worker = s.spawn(|| results(&long, other.path(), Shard::WHOLE, 1000, None));
        while !worker.is_finished() {
            let found = std::fs::read_dir(other.path().join("work")).into_iter().flatten().flatten().next();
            if let Some(found) = found {
                let _ = std::fs::create_dir_all(keep.join(found.file_name()));
                let to = keep.join(found.file_name()).join("checkpoint.safetensors");
                let _ = std::fs::copy(found.path().join("checkpoint.safetensors"), to);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let state = std::fs::read_dir(&keep).unwrap().flatten().next().expect("a state was saved").path();
    let state = state.join("checkpoint.safetensors");
    let saved = Checkpoint::<V2xConfig>::load(&state).unwrap();
    assert!((1..6).contains(&saved.state.updates), "{} updates", saved.state.updates);
    for damaged in [false, true] {
        let third = tempfile::tempdir().unwrap();
        let work = third.path().join("work").join(state.parent().unwrap().file_name().unwrap());
        std::fs::create_dir_all(&work).unwrap();
        let bytes = std::fs::read(&state).unwrap();
        let bytes = if damaged { &bytes[..bytes.len() / 2] } else { &bytes };
        std::fs::write(work.join("checkpoint.safetensors"), bytes).unwrap();
        assert_eq!(results(&long, third.path(), Shard::WHOLE, 1000, None), whole, "damaged: {damaged}");
    }
}

#[test]
fn a_replica_that_is_not_finite_is_recorded_and_the_others_go_on() {
    let p = plan::<V2xConfig>(&v2x());
    for agent in ["ppo", "spiking-ac", "ddpg", "dqn"] {
        let config = &p.points.iter().find(|q| q.agent == agent).unwrap().config;
        let units: Vec<Unit<V2xConfig>> = (0..3).map(|seed| Unit { config, seed }).collect();
        let algorithm = config.algorithm(V2xConfig::agent(agent).unwrap(), &units).unwrap();
        let start = algorithm.start();
        let width = algorithm.params();
        let rows = |nan: bool| {
            let mut state = start.clone();
            if nan {
                state.params[width + 3] = f32::NAN;
            }
            let (swept, seeds) = (vec![config.swept(); 3], vec![0, 1, 2]);
            let c = Checkpoint { config: config.clone(), agent: agent.into(), seeds, swept, state };
            evaluated(agent, &units, Some(&c), &[false, false, true], None, &Quiet, &BTreeSet::new()).unwrap()
        };
        let (healthy, broken) = (rows(false), rows(true));
        let status = |r: &[Replicated]| r.iter().map(|r| r.status).collect::<Vec<_>>();
        assert_eq!(status(&healthy), [Status::Ok, Status::Ok, Status::Diverged], "{agent}");
        assert_eq!(status(&broken), [Status::Ok, Status::Diverged, Status::Diverged], "{agent}");
        // As text, since what has no error has NaN there.
        let told = |r: &[Replicated]| format!("{:?} {:?}", r[0], r[2]);
        assert_eq!(told(&healthy), told(&broken), "{agent}: a neighbour changed");
    }
}

#[test]
fn training_beside_a_replica_that_is_not_finite_changes_nothing() {
    let p = plan::<V2xConfig>(&v2x());
    for agent in ["ppo", "spiking-ac", "ddpg", "dqn"] {
        let config = &p.points.iter().find(|q| q.agent == agent).unwrap().config;
        let units: Vec<Unit<V2xConfig>> = (0..3).map(|seed| Unit { config, seed }).collect();
        let algorithm = config.algorithm(V2xConfig::agent(agent).unwrap(), &units).unwrap();
        let width = algorithm.params();
        let trained = |nan: bool| {
            let mut start = algorithm.start();
            if nan {
                start.params[width..2 * width].fill(f32::NAN);
            }
            let mut learner = Learner::new(&algorithm, &start, None).unwrap();
            let plan = TrainingSpan { algorithm: &algorithm, updates: 4, until: 4, log_every: 4 };
            let mut last = Vec::new();
            let state = train(&plan, &mut learner, 0, |_, m| last = m.to_vec(), |_| true).unwrap();
            (state.params, last)
        };
        let ((healthy, _), (broken, metrics)) = (trained(false), trained(true));
        for r in [0, 2] {
            let of = |v: &[f32]| v[r * width..][..width].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(of(&healthy), of(&broken), "{agent}: replica {r}");
        }
        assert!(!metrics[1].grad_norm_critic.is_finite(), "{agent}: {:?}", metrics[1]);
    }
}
