//! Small trainings of the off-policy agents.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::config::Layered;
use isacbench::gpu::Gpu;
use isacbench::learn::{Algorithm, Learner, LearnerState, OffPolicy, OffPolicySpec, UpdateMetrics};
use isacbench::run::task::Task;
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::v2x::config::V2xConfig;
use std::sync::Arc;

/// The agents of this kind.
pub const AGENTS: [&str; 2] = ["ddpg", "dqn"];

/// Two replicas that differ in everything replicas can differ in.
pub const TWO: [(u32, f64); 2] = [(3, 40.0), (11, 20.0)];

/// The preset `fast`, small: episodes of 10 slots, 7 environments, a ring of 12 slots that is overwritten within two
/// episodes, two gradient steps every second slot. `sets` are further keys of the agent's section, or whole ones.
pub fn config(agent: &str, sets: &[&str]) -> V2xConfig {
    let small = [
        "hidden=[16,16]",
        "envs=7",
        "capacity=84",
        "minibatch=50",
        "learning_starts=30",
        "train_every=2",
        "gradient_steps=2",
        "tau=0.05",
        // What the tolerances were measured with, whatever a study finds best.
        "gamma=0.6",
    ];
    let rates: &[&str] = match agent {
        "ddpg" => &["lr_actor=3e-4", "lr_critic=1e-3", "noise_start=1.0", "noise_final=0.05"],
        _ => &["lr=1e-3", "epsilon_final=0.02", "epsilon_share=0.5"],
    };
    let whole = |s: &&str| {
        if s.contains('.') && s.split('=').next().unwrap().contains('.') {
            s.to_string()
        } else {
            format!("{agent}.{s}")
        }
    };
    let mut all = vec!["task.slots=10".to_string(), "ppo.horizon=10".into(), "ppo.minibatch=40".into()];
    // As in the preset `paper`: where observations are larger, networks pass on more of a rollout's rounding.
    all.push("task.obs_shift=[0,0,0,0]".into());
    all.push("task.obs_scale=[0.3183098861837907,0.03333333333333333,0.07142857142857142,0.2]".into());
    all.extend(small.iter().chain(rates).chain(sets).map(whole));
    V2xConfig::load(None, &all).unwrap()
}

/// One replica per (seed, P_max in dBm).
pub fn algorithm(agent: &str, config: &V2xConfig, who: &[(u32, f64)]) -> Algorithm {
    let replicas: Vec<_> = who.iter().map(|(seed, p_max_dbm)| (*p_max_dbm, *seed)).collect();
    config.algorithm_at(V2xConfig::agent(agent).unwrap(), &replicas).unwrap()
}

pub fn spec(algorithm: &Algorithm) -> &OffPolicySpec {
    let Algorithm::OffPolicy(spec) = algorithm else { panic!("not an off-policy agent") };
    spec
}

/// A learner with fresh weights.
pub fn fresh(algorithm: &Algorithm, gpu: Option<&Arc<Gpu>>) -> Box<dyn OffPolicy> {
    let Learner::OffPolicy(x) = Learner::new(algorithm, &algorithm.start(), gpu).unwrap() else {
        panic!("not an off-policy agent")
    };
    x
}

/// A whole training: the state at its end and the metrics of every update.
pub fn trained(
    algorithm: &Algorithm,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    continued(algorithm, &algorithm.start(), updates, updates, gpu)
}

/// Trains on from `start` to update `stop` of a training of `updates`.
pub fn continued(
    algorithm: &Algorithm,
    start: &LearnerState,
    stop: u32,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    let mut seen = Vec::new();
    let span = TrainingSpan { algorithm, updates, until: stop, log_every: 1 };
    let mut learner = Learner::new(algorithm, start, gpu).unwrap();
    let state = train(&span, &mut learner, start.updates, |_, metrics| seen.push(metrics.to_vec()), |_| true);
    (state.unwrap(), seen)
}

/// The same bits everywhere, replay and targets included.
pub fn assert_same_bits(what: &str, a: &LearnerState, b: &LearnerState) {
    assert_eq!((a.adam_steps, a.updates), (b.adam_steps, b.updates), "{what}: progress");
    let arrays = |s: &LearnerState| {
        let mut all = vec![
            ("params".to_string(), s.params.clone()),
            ("m".into(), s.m.clone()),
            ("v".into(), s.v.clone()),
        ];
        all.extend(s.extra.iter().map(|e| (e.name.clone(), e.data.clone())));
        all
    };
    for ((name, a), (other, b)) in arrays(a).into_iter().zip(arrays(b)) {
        assert!(name == other && a.len() == b.len() && !a.is_empty(), "{what}: {name} against {other}");
        let differ = a.iter().zip(&b).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "{what}: {differ} of {} {name} differ", a.len());
        assert!(a.iter().all(|x| x.is_finite()), "{what}: {name} is not finite");
    }
    assert_eq!(a.extra.len(), b.extra.len(), "{what}: further arrays");
}

/// The same numbers, where NaN equals NaN.
pub fn assert_same_metrics(what: &str, a: &[Vec<UpdateMetrics>], b: &[Vec<UpdateMetrics>]) {
    // Every number is printed so that it reads back as itself, and NaN as NaN.
    assert_eq!(format!("{a:?}"), format!("{b:?}"), "{what}: metrics");
}

/// The replica `r` of a state of `replicas`.
pub fn replica_of(state: &LearnerState, r: usize, replicas: usize) -> LearnerState {
    let of = |v: &[f32]| v.chunks(v.len() / replicas).nth(r).unwrap().to_vec();
    let mut out =
        LearnerState { params: of(&state.params), m: of(&state.m), v: of(&state.v), ..state.clone() };
    out.extra.iter_mut().for_each(|e| e.data = of(&e.data));
    out
}
