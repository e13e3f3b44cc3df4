//! The least that a WebGPU device has is enough: with the lowest limits and no features, and with bindings that hold no
//! more than a single replica, every learned agent trains to the same bits.

use crate::common::shared_gpu;
use crate::small_off_policy::{assert_same_bits, assert_same_metrics};
use isacbench::gpu::{DeviceChoice, Gpu, GpuError, Reach};
use isacbench::learn::ppo_gpu::PpoGpu;
use isacbench::learn::{Algorithm, Learner, LearnerState, UpdateMetrics};
use isacbench::run::evaluate::{Controller, Evaluation, Precision, evaluate};
use isacbench::run::task::Task;
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use std::sync::{Arc, OnceLock};

const V2X: [&str; 20] = [
    "task.slots=5",
    "ppo.hidden=[16,12]",
    "ppo.envs=7",
    "ppo.horizon=10",
    "ppo.minibatch=35",
    "ppo.epochs=2",
    "spiking.hidden=[20]",
    "apg.envs=14",
    "apg.horizon=5",
    "apg.minibatch=35",
    "ddpg.hidden=[16,12]",
    "ddpg.envs=7",
    "ddpg.capacity=84",
    "ddpg.minibatch=20",
    "ddpg.learning_starts=21",
    "dqn.hidden=[16,12]",
    "dqn.envs=7",
    "dqn.capacity=84",
    "dqn.minibatch=20",
    "dqn.learning_starts=21",
];
const MISAC: [&str; 10] = [
    "task.vehicles=3",
    "task.antennas=7",
    "task.slots=6",
    "temporal.hidden=9",
    "temporal.trunk=[10,7]",
    "temporal.critic=[11]",
    "temporal.envs=10",
    "temporal.minibatch_envs=5",
    "spatial.hidden=[13,6]",
    "spatial.stride=2",
];

type Agent = (&'static str, Algorithm);

/// Every learned agent of a task with these replicas.
fn agents_of<C: Task>(sets: &[&str], replicas: &[(f64, u32)]) -> Vec<Agent> {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let config = C::load(None, &sets).unwrap();
    let learned = C::agents().iter().filter(|agent| agent.is_learned());
    learned.map(|agent| (agent.id, config.algorithm_at(agent, replicas).unwrap())).collect()
}

fn v2x() -> Vec<Agent> {
    let all = agents_of::<V2xConfig>(&V2X, &[(40.0, 3), (20.0, 11)]);
    assert_eq!(all.len(), 6, "learned agents of task v2x");
    all
}

fn misac() -> Vec<Agent> {
    let all = agents_of::<MisacConfig>(&MISAC, &[(10.0, 3), (0.0, 11)]);
    assert_eq!(all.len(), 4, "learned agents of task misac");
    all
}

/// Agents that are trained in parts as well: one of each kind of learner, and one with spikes.
const IN_PARTS: [&str; 5] = ["ppo", "spiking-ac", "apg", "ddpg", "h-moe"];

fn trained(
    algorithm: &Algorithm,
    start: &LearnerState,
    gpu: &Arc<Gpu>,
) -> Result<(LearnerState, Vec<Vec<UpdateMetrics>>), GpuError> {
    let mut seen = Vec::new();
    let span = TrainingSpan { algorithm, updates: 2, until: 2, log_every: 1 };
    let mut learner = Learner::new(algorithm, start, Some(gpu))?;
    let state =
        train(&span, &mut learner, start.updates, |_, metrics| seen.push(metrics.to_vec()), |_| true)?;
    Ok((state, seen))
}

/// A software device, whose compiler is the same for immediates and uniforms: hardware promises no bits.
fn software() -> Option<&'static Arc<Gpu>> {
    let gpu = shared_gpu()?;
    if !gpu.is_software() {
        eprintln!("SKIPPED (bits are compared on software Vulkan): {}", gpu.info.name);
        return None;
    }
    Some(gpu)
}

/// The same adapter, opened with the lowest limits of WebGPU.
fn least() -> Option<&'static Arc<Gpu>> {
    static LEAST: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let open = || {
        let name = DeviceChoice::Named(software()?.info.name.clone());
        let gpu = Gpu::open_with(&name, Reach::Least).expect("what every device has");
        assert!(gpu.features.is_empty());
        assert_eq!(gpu.limits.max_storage_buffer_binding_size, 128 << 20);
        assert_eq!(gpu.limits.max_immediate_size, 0);
        Some(Arc::new(gpu))
    };
    LEAST.get_or_init(open).as_ref()
}

/// The same device that binds no more than so many bytes.
fn binding(gpu: &Gpu, bytes: u64) -> Arc<Gpu> {
    let mut small = gpu.clone();
    small.limits.max_storage_buffer_binding_size = bytes;
    Arc::new(small)
}

/// The smallest binding with which `algorithm` can learn at all.
fn smallest(algorithm: &Algorithm, gpu: &Gpu) -> u64 {
    let mut bytes = 4;
    loop {
        match Learner::new(algorithm, &algorithm.start(), Some(&binding(gpu, bytes))) {
            Ok(_) => return bytes,
            Err(GpuError::TooLarge { needed, allowed, .. }) => {
                assert!(needed > bytes && allowed == bytes, "{needed} bytes asked for, {allowed} allowed");
                bytes = needed;
            }
            Err(e) => panic!("{e}"),
        }
    }
}

fn the_same(agents: &[Agent]) {
    let (Some(gpu), Some(least)) = (software(), least()) else { return };
    for (agent, algorithm) in agents {
        let start = algorithm.start();
        let (state, metrics) = trained(algorithm, &start, gpu).unwrap_or_else(|e| panic!("{agent}: {e}"));
        assert_ne!(state.params, start.params, "{agent} learns");
        let same = |what: &str, gpu: &Arc<Gpu>| {
            let what = format!("{agent} with {what}");
            let (other, seen) = trained(algorithm, &start, gpu).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_same_bits(&what, &state, &other);
            assert_same_metrics(&what, &metrics, &seen);
        };
        same("the lowest limits", least);
        if !IN_PARTS.contains(agent) {
            continue;
        }
        let few = binding(least, smallest(algorithm, least));
        same("bindings of one replica", &few);
        // What was trained as a whole goes on in parts.
        let from = LearnerState { updates: 0, ..state };
        let (on, _) = trained(algorithm, &from, &few).unwrap();
        let (whole, _) = trained(algorithm, &from, gpu).unwrap();
        assert_same_bits(&format!("{agent} goes on"), &on, &whole);
    }
}

#[test]
fn agents_of_v2x_train_the_same_with_the_lowest_limits_and_in_parts() {
    the_same(&v2x());
}

#[test]
fn agents_of_misac_train_the_same_with_the_lowest_limits_and_in_parts() {
    the_same(&misac());
}

#[test]
fn one_learner_of_all_replicas_would_not_fit_and_one_replica_must() {
    let Some(gpu) = software() else { return };
    let (_, algorithm) = v2x().into_iter().find(|(agent, _)| *agent == "ppo").unwrap();
    let Algorithm::Ppo(spec) = &algorithm else { panic!("PPO") };
    let bytes = smallest(&algorithm, gpu);
    let whole = PpoGpu::new(binding(gpu, bytes), spec, &algorithm.start());
    assert!(matches!(whole.err(), Some(GpuError::TooLarge { .. })), "parts were made for nothing");
    let none = Learner::new(&algorithm, &algorithm.start(), Some(&binding(gpu, bytes - 4)));
    let error = none.err().expect("a replica does not fit").to_string();
    assert!(error.contains("storage binding") && error.contains("fewer"), "{error}");
}

#[test]
fn an_evaluation_in_parts_is_the_same() {
    let Some(gpu) = software() else { return };
    let (_, algorithm) = v2x().into_iter().find(|(agent, _)| *agent == "spiking-ac").unwrap();
    let (params, policy) = (algorithm.start().params, algorithm.policy().unwrap());
    let controller = Controller::Policy { policy, params: &params, greedy: true, precision: Precision::F32 };
    let eval = Evaluation { env: algorithm.env().clone(), controller, episodes: 40, slots: &[2] };
    let whole = evaluate(&eval, Some(gpu), &|_| {}).unwrap();
    assert_eq!(whole.len(), 2);
    let mut bytes = 4;
    let parts = loop {
        match evaluate(&eval, Some(&binding(gpu, bytes)), &|_| {}) {
            Ok(parts) => break parts,
            Err(GpuError::TooLarge { needed, .. }) if needed > bytes => bytes = needed,
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(whole, parts);
    assert_ne!(whole[0].metrics, whole[1].metrics);
}
