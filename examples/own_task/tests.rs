//! What every task should show before anything learns on it, and that both learners learn.

use crate::physics::{A, EXAMPLE, S, SUM_RATE, UPPER_BOUND};
use crate::task::UavConfig;
use isacbench::config::Layered;
use isacbench::env::lanes::Physics;
use isacbench::gpu::{DeviceChoice, Gpu};
use isacbench::kernels::inputs::normal;
use isacbench::run::check;
use isacbench::run::reproduce::{Way, reproduce};
use isacbench::run::task::{Task, Unit};
use isacbench::run::watch::Quiet;
use std::sync::Arc;

/// Any adapter; without one there is nothing to compare, unless `REQUIRE_GPU=1`.
fn gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(&DeviceChoice::Gpu) {
        Ok(gpu) => Some(Arc::new(gpu)),
        Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => panic!("REQUIRE_GPU=1 and: {e}"),
        Err(e) => {
            eprintln!("SKIPPED (no GPU): {e}");
            None
        }
    }
}

fn config(sets: &[&str]) -> UavConfig {
    UavConfig::load(None, &sets.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn lanes_and_kernel_are_the_physics() {
    let config = config(&[]);
    let env = config.env(&[Unit { config: &config, seed: 1 }, Unit { config: &config.at(10.0), seed: 2 }]);
    check::on_cpu(&*env, &|slot, n| normal(2, slot, n * A, 3.0)).unwrap();
    let Some(gpu) = gpu() else { return };
    for c in UavConfig::kernels().iter().flat_map(|e| (e.check)(&gpu).unwrap()) {
        assert!(c.elements > 0 && c.passed(), "{}: {:?}", c.quantity, c.failures);
    }
}

/// No flight exceeds the bound; above two users in one place with all of the power it is met.
#[test]
fn the_bound_holds_and_is_met() {
    let p = EXAMPLE;
    for e in 0..500 {
        let mut s = p.reset::<f64>(e, 0);
        for row in normal(3, e, 20 * A, 4.0).chunks(A) {
            let m = p.step(e, 0, &[0, 1, 2].map(|i| f64::from(row[i])), &mut s);
            assert!(m[0] <= m[SUM_RATE] && m[SUM_RATE] <= m[UPPER_BOUND], "{m:?} in environment {e}");
        }
    }
    let m = p.step(0, 0, &[0.0, 0.0, -80.0], &mut [50f64; S]);
    assert!((m[SUM_RATE] / m[UPPER_BOUND] - 1.0).abs() < 1e-12);
}

/// Every task can be played: a line for each metric, with what an evaluation says on average.
#[cfg(feature = "report")]
#[test]
fn episodes_are_played_as_they_are_evaluated() {
    use isacbench::run::record::Shot;
    let config = config(&["task.slots=20", "evaluate.episodes=4"]);
    let agent = |id| UavConfig::agent(id).unwrap();
    let shot = Shot { seed: 7, episodes: 4, slots: 20 };
    for id in ["hover", "direct"] {
        let (scene, takes) = config.film(agent(id), None, &shot).unwrap();
        assert!(scene.plan.is_none() && scene.lines.len() == crate::physics::M);
        let unit = Unit { config: &config, seed: 7 };
        let evaluated = UavConfig::evaluate(agent(id), &[unit], None, None, &Quiet).unwrap().remove(0);
        for (n, line) in scene.lines.iter().enumerate() {
            let all: Vec<f64> = takes.iter().flat_map(|t| &t.lines[n]).map(|x| f64::from(*x)).collect();
            let (got, want) = (all.iter().sum::<f64>() / 80.0, &evaluated.metrics[n]);
            assert!(want.0 == line.metric && (got - want.1.mean).abs() < 1e-9, "{id} {want:?} {got}");
        }
    }
    assert!(config.film(agent("bound"), None, &shot).is_err());
}

/// A tiny training of both learners and an evaluation of all agents, on the CPU and, where there is one, on a GPU.
#[test]
fn agents_learn_and_are_held_against_rule_and_bound() {
    let config = config(&[
        "train.seeds=[0]",
        "train.updates=2",
        "task.slots=10",
        "evaluate.episodes=64",
        "ppo={hidden=[16], envs=16, horizon=10, minibatch=80}",
        "ddpg={hidden=[16], envs=16, capacity=160, minibatch=32, learning_starts=160}",
    ]);
    for (n, gpu) in [None, gpu()].iter().enumerate().filter(|(n, gpu)| *n == 0 || gpu.is_some()) {
        let (out, gpu) = (tempfile::tempdir().unwrap(), gpu.as_ref());
        let way = Way { out: out.path(), resume: false, measure: false, gpu, watch: &Quiet, journal: None };
        let rows = reproduce(&config, &way).unwrap();
        let mean = |agent: &str, metric: &str| {
            let row = rows.evals.iter().find(|r| r.key.agent == agent && r.metric == metric).unwrap();
            assert!(row.std_error > 0.0, "{agent} {metric} on device {n}");
            row.mean
        };
        for agent in ["ppo", "ddpg", "hover", "direct"] {
            let [rate, bound] = [agent, "bound"].map(|agent| mean(agent, UavConfig::METRIC));
            let holds = mean(agent, "reward") <= rate && rate < bound;
            assert!(holds, "{agent}: {rate} of {bound} on device {n}");
        }
        assert!(mean("direct", "reward") > mean("hover", "reward"));
        for agent in ["ppo", "ddpg"] {
            assert_eq!(rows.curves.iter().filter(|r| r.key.agent == agent).count(), 2);
        }
    }
}
