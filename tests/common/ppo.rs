//! Small trainings for the tests of learning.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::config::Layered;
use isacbench::gpu::Gpu;
use isacbench::learn::{Algorithm, Learner, LearnerState, Ppo, PpoSpec, UpdateMetrics};
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::env::params_of;
use isacbench::tasks::v2x::physics::V2xParams;
use std::sync::Arc;

/// Observations as in the preset `paper`. Where they are larger, networks pass on more of a rollout's rounding.
pub const UNSHIFTED: [&str; 2] = [
    "task.obs_shift=[0,0,0,0]",
    "task.obs_scale=[0.3183098861837907,0.03333333333333333,0.07142857142857142,0.2]",
];
/// Returns of several slots: with one alone, an indicator of (27) that rounding flips is all of an advantage.
const RETURNS: [&str; 2] = ["ppo.gamma=0.6", "ppo.gae_lambda=0.5"];

/// The preset `fast` with [`UNSHIFTED`] observations and rewards of one scale, small: two hidden layers of 16, 16
/// environments, 4 minibatches, 2 epochs. `sets` are further `key=value`.
pub fn config(sets: &[&str]) -> V2xConfig {
    let small = [
        "task.reward_by_link=false",
        "ppo.hidden=[16,16]",
        "spiking.hidden=[]",
        "ppo.envs=16",
        "ppo.minibatch=400",
        "ppo.epochs=2",
    ];
    let sets: Vec<String> =
        small.iter().chain(&UNSHIFTED).chain(&RETURNS).chain(sets).map(|s| s.to_string()).collect();
    V2xConfig::load(None, &sets).unwrap()
}

/// Task parameters of one replica per (seed, P_max in dBm).
pub fn params(config: &V2xConfig, who: &[(u32, f64)]) -> Vec<V2xParams> {
    who.iter().map(|&(seed, p_max_dbm)| params_of(&config.task, p_max_dbm, [seed, 0])).collect()
}

/// Perceptrons in these replicas.
pub fn spec(config: &V2xConfig, who: &[(u32, f64)]) -> PpoSpec {
    PpoSpec::mlp(&config.ppo, config.env_of(params(config, who)))
}

/// Spiking networks in these replicas.
pub fn spiking_spec(config: &V2xConfig, who: &[(u32, f64)]) -> PpoSpec {
    PpoSpec::spiking(&config.ppo, &config.spiking, config.env_of(params(config, who)))
}

/// Two replicas that differ in everything replicas can differ in.
pub const TWO: [(u32, f64); 2] = [(3, 40.0), (11, 20.0)];

/// A learner with fresh weights.
pub fn fresh(spec: &PpoSpec, gpu: Option<&Arc<Gpu>>) -> Box<dyn Ppo> {
    let Learner::OnPolicy(ppo) =
        Learner::new(&Algorithm::Ppo(spec.clone()), &LearnerState::new(spec), gpu).unwrap()
    else {
        panic!("PPO learns on policy")
    };
    ppo
}

/// A whole training: the state at its end and the metrics of every update.
pub fn trained(
    spec: &PpoSpec,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    continued(spec, &LearnerState::new(spec), updates, updates, gpu)
}

/// Trains on from `start` to update `stop` of a training of `updates`.
pub fn continued(
    spec: &PpoSpec,
    start: &LearnerState,
    stop: u32,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    let mut seen = Vec::new();
    let algorithm = Algorithm::Ppo(spec.clone());
    let span = TrainingSpan { algorithm: &algorithm, updates, until: stop, log_every: 1 };
    let mut learner = Learner::new(&algorithm, start, gpu).unwrap();
    let state = train(&span, &mut learner, start.updates, |_, metrics| seen.push(metrics.to_vec()), |_| true);
    (state.unwrap(), seen)
}

/// The replica `r` of a state of `replicas`.
pub fn replica_of(state: &LearnerState, r: usize, replicas: usize) -> LearnerState {
    let p = state.params.len() / replicas;
    let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
    LearnerState { params: of(&state.params), m: of(&state.m), v: of(&state.v), ..state.clone() }
}

/// The same bits everywhere, which `==` on floats does not say of 0 and −0.
pub fn assert_same_bits(what: &str, a: &LearnerState, b: &LearnerState) {
    assert_eq!((a.adam_steps, a.updates), (b.adam_steps, b.updates), "{what}: progress");
    for (name, a, b) in [("params", &a.params, &b.params), ("m", &a.m, &b.m), ("v", &a.v, &b.v)] {
        assert!(a.len() == b.len() && !a.is_empty(), "{what}: {} {name} against {}", a.len(), b.len());
        let differ = a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "{what}: {differ} of {} {name} differ", a.len());
    }
    assert!(a.params.iter().all(|x| x.is_finite()), "{what}: not finite");
}
