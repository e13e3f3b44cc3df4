//! The agents by the gradient of their slots: the GPU against the CPU from the same start with the same draws; runs
//! that are split over threads, resumed or packed are the same bit for bit.

use crate::common::shared_gpu;
use isacbench::config::Layered;
use isacbench::gpu::Gpu;
use isacbench::kernels::Tol;
use isacbench::kernels::compare::compare_f64;
use isacbench::learn::{Algorithm, ApgSpec, Learner, LearnerState, UpdateMetrics};
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::task::Task;
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::v2x::config::V2xConfig;
use std::sync::Arc;

/// Two replicas that differ in everything replicas can differ in.
const TWO: [(f64, u32); 2] = [(40.0, 3), (20.0, 11)];

/// Chunks, parts and blocks of which the last is short.
fn config(sets: &[&str]) -> V2xConfig {
    let small = [
        "task.slots=10",
        "ppo.hidden=[16,16]",
        "spiking.hidden=[24]",
        "apg.envs=98",
        "apg.horizon=10",
        "apg.minibatch=490",
        "apg.epochs=2",
    ];
    let sets: Vec<String> = small.iter().chain(sets).map(ToString::to_string).collect();
    V2xConfig::load(None, &sets).unwrap()
}

fn algorithm(agent: &str, config: &V2xConfig, who: &[(f64, u32)]) -> Algorithm {
    config.algorithm_at(V2xConfig::agent(agent).unwrap(), who).unwrap()
}

fn spec(algorithm: &Algorithm) -> &ApgSpec {
    let Algorithm::Apg(spec) = algorithm else { panic!("not by the gradient of its slots") };
    spec
}

/// Trains on from `start` to update `stop` of a training of `updates`.
fn continued(
    algorithm: &Algorithm,
    start: &LearnerState,
    stop: u32,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    let mut seen = Vec::new();
    let span = TrainingSpan { algorithm, updates, until: stop, log_every: 1 };
    let mut learner = Learner::new(algorithm, start, gpu).unwrap();
    let state = train(&span, &mut learner, start.updates, |_, m| seen.push(m.to_vec()), |_| true);
    (state.unwrap(), seen)
}

fn trained(
    algorithm: &Algorithm,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    continued(algorithm, &algorithm.start(), updates, updates, gpu)
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// The first gradient as such (the first moment of Adam is (1−β1)·gradient), then the metrics of two whole updates.
fn same(agent: &str, sets: &[&str], gradient: Tol) {
    let Some(gpu) = shared_gpu() else { return };
    let algorithm = algorithm(agent, &config(sets), &TWO);
    let (spec, p) = (spec(&algorithm), algorithm.params());
    let (noise, lr) = (spec.noise(0, 2), spec.learning_rates(0, 2));
    let [cpu, on_gpu] = [None, Some(gpu)].map(|gpu| {
        let Learner::Apg(mut learner) = Learner::new(&algorithm, &algorithm.start(), gpu).unwrap() else {
            panic!("not by the gradient of its slots")
        };
        learner.rollout(0, &noise).unwrap();
        learner.minibatch(0, 0, 1, &noise, &lr).unwrap();
        learner.state(0).unwrap()
    });
    for r in 0..2 {
        let [a, b] = [&cpu, &on_gpu].map(|s| wide(&s.m[r * p..(r + 1) * p]));
        let size = a.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        assert!(size > 0.0, "{agent}, replica {r}: no gradient");
        let c = compare_f64("gradient", &b, &a, Tol { abs: gradient.abs * size, ..gradient });
        println!("{agent} {sets:?}, replica {r}: {:.1e} of the largest", c.max_abs_err / size);
        assert!(c.passed(), "{agent} {sets:?}, replica {r}: {c:?}");
    }

    let [cpu, on_gpu] = [None, Some(gpu)].map(|gpu| trained(&algorithm, 2, gpu));
    for (update, (a, b)) in cpu.1.iter().zip(&on_gpu.1).enumerate() {
        for (r, (a, b)) in a.iter().zip(b).enumerate() {
            let mut pairs = vec![
                ("sum-rate", a.slots[1], b.slots[1]),
                ("Jain", a.slots[2], b.slots[2]),
                ("loss", a.policy_loss, b.policy_loss),
                ("norm", a.grad_norm_actor, b.grad_norm_actor),
                ("dead", 1.0 + a.dead_neurons, 1.0 + b.dead_neurons),
                ("saturated", 1.0 + a.saturated_neurons, 1.0 + b.saturated_neurons),
            ];
            pairs.extend(a.firing_rates.iter().zip(&b.firing_rates).map(|(a, b)| ("firing rate", *a, *b)));
            assert_eq!(a.firing_rates.len(), b.firing_rates.len());
            for (name, a, b) in pairs {
                println!("{agent} update {update} replica {r}, {name}: CPU {a:.6}, GPU {b:.6}");
                assert!(
                    (a - b).abs() <= 0.03 * a.abs() + 1e-4,
                    "{agent} update {update} replica {r}, {name}: {a} {b}"
                );
            }
            assert_eq!((a.gradient_steps, b.gradient_steps), (4, 4));
            assert!([a, b].iter().all(|u| u.value_loss.is_nan() && u.grad_norm_critic.is_nan()));
        }
    }
}

const EXACT: Tol = Tol {
    abs: 3e-5,
    rel: 0.0,
    why: "of the largest: sums over the minibatch in another order, of slots that are rounded differently",
};

#[test]
fn tanh_networks() {
    same("apg", &[], EXACT);
    same("apg", &["task.beam=zf", "apg.objective=reward-smooth", "apg.max_grad_norm=0.01"], EXACT);
}

#[test]
fn explicit_beams() {
    same("apg", &["task.beam=matrix"], EXACT);
}

#[test]
fn spiking_networks() {
    let spikes = Tol { abs: 2e-2, why: "a potential at the threshold may fire on one side only", ..EXACT };
    same("spiking-apg", &["task.beam=tracking", "spiking.rate_penalty=0.1"], spikes);
    same("spiking-apg", &["task.beam=tracking", "spiking.population=5", "spiking.learn_leak=true"], spikes);
    let carried =
        ["task.beam=tracking", "spiking.membrane=carried", "spiking.readout=last", "spiking.lambda=0.2"];
    same("spiking-apg", &carried, spikes);
}

/// The same bits everywhere.
fn assert_same(what: &str, a: &LearnerState, b: &LearnerState) {
    assert_eq!(a, b, "{what}");
    assert!(a.params.iter().all(|x| x.is_finite()), "{what}");
}

#[test]
fn results_do_not_depend_on_threads_and_replicas_beside() {
    for agent in ["apg", "spiking-apg"] {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trained(&algorithm(agent, &config(&[]), &TWO), 2, None))
        };
        let (one, many) = (with(1), with(3));
        assert_same(agent, &one.0, &many.0);
        assert_eq!(format!("{:?}", one.1), format!("{:?}", many.1), "{agent}: metrics");
        for (r, who) in TWO.iter().enumerate() {
            let alone = trained(&algorithm(agent, &config(&[]), &[*who]), 2, None).0;
            assert_same(agent, &one.0.replica(r, 2), &alone);
        }
    }
}

fn resumed(what: &str, gpu: Option<&Arc<Gpu>>) {
    let dir = tempfile::tempdir().unwrap();
    for agent in ["apg", "spiking-apg"] {
        let config = config(&["task.beam=tracking"]);
        let algorithm = algorithm(agent, &config, &TWO);
        assert!(algorithm.follows_length().is_some());
        let path = dir.path().join(format!("{agent}.safetensors"));
        let (whole, metrics) = trained(&algorithm, 4, gpu);
        let (half, first) = continued(&algorithm, &algorithm.start(), 2, 4, gpu);
        let (swept, seeds) = TWO.into_iter().unzip();
        Checkpoint { config, agent: agent.into(), seeds, swept, state: half.clone() }.save(&path).unwrap();
        let read = Checkpoint::<V2xConfig>::load(&path).unwrap();
        assert_same(&format!("{agent} on the {what}, saved and read"), &half, &read.state);
        let (rest, second) = continued(&read.algorithm(), &read.state, 4, 4, gpu);
        assert_same(&format!("{agent} on the {what}, resumed"), &whole, &rest);
        assert_eq!(format!("{metrics:?}"), format!("{:?}", [first, second].concat()), "{agent}: metrics");
        assert_ne!(half.params, whole.params, "{agent}: the second half changed nothing");
    }
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one() {
    resumed("CPU", None);
    if let Some(gpu) = shared_gpu() {
        resumed("GPU", Some(gpu));
    }
}

/// Vehicles of 40 dBm with beams that follow the last echo: a few hundred steps find most of what there is.
#[test]
fn it_learns_to_track() {
    let sets = ["task.beam=tracking", "apg.envs=48", "apg.minibatch=120", "apg.noise_start=0.1"];
    let algorithm = algorithm("apg", &config(&sets), &TWO[..1]);
    let (_, curve) = trained(&algorithm, 40, None);
    let [first, last] = [0, 39].map(|u: usize| curve[u][0].slots[1]);
    println!("sum-rate {first:.2} -> {last:.2}");
    assert!(last > first + 2.0, "learned nothing: {first} -> {last}");
    assert!(curve[39][0].policy_loss < curve[0][0].policy_loss);
}
