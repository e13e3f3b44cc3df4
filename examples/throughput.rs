//! Environment steps per second of the CPU backend, as one JSON object: physics, rollout and whole training with the settings of the JAX peers
//! (`benches/peers/v2x_ppo_jax.py`, `misac_hmoe_jax.py`). `scripts/compare-peer.sh` alternates the two sides.
//!
//! ```text
//! cargo run --release --no-default-features --example throughput -- 1024 3 2 ppo
//! # environments, repetitions (best of), updates timed at once, agent (ppo, spiking-ac, h-moe, ppo-mono, homogeneous-moe)
//! ```

#[path = "../benches/workload/mod.rs"]
mod workload;

use isacbench::learn::PpoSpec;
use isacbench::policy::experts::{Architecture, H_MOE, HOMOGENEOUS_MOE, PPO_MONO};
use std::time::Instant;
use workload::{MakePpo, Physics, Training, misac};

/// Shortest of `repetitions` runs, s. One run before them warms caches and page tables, as the peer does.
fn best(repetitions: usize, mut run: impl FnMut()) -> f64 {
    run();
    (0..repetitions)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Environment steps per second of physics, rollout and training.
type Rates = [f64; 3];

fn v2x(make: MakePpo, envs: usize, repetitions: usize, updates: usize) -> Rates {
    let mut physics = Physics::new(envs);
    let steps = (envs * physics.slots()) as f64;
    let physics_s = best(repetitions, || {
        std::hint::black_box(physics.run());
    });
    let mut training = Training::new(make, envs);
    let samples = training.steps() as f64;
    let rollout_s = best(repetitions, || training.rollout());
    let training_s = best(repetitions, || (0..updates).for_each(|_| training.update()));
    [steps / physics_s, samples / rollout_s, samples * updates as f64 / training_s]
}

fn experts(architecture: Architecture, envs: usize, repetitions: usize, updates: usize) -> Rates {
    let mut physics = misac::Physics::new(envs);
    let steps = (envs * physics.slots()) as f64;
    let physics_s = best(repetitions, || {
        std::hint::black_box(physics.run());
    });
    let mut training = misac::Training::new(architecture, envs);
    let samples = training.steps() as f64;
    let rollout_s = best(repetitions, || training.rollout());
    let training_s = best(repetitions, || (0..updates).for_each(|_| training.update()));
    [steps / physics_s, samples / rollout_s, samples * updates as f64 / training_s]
}

fn main() -> anyhow::Result<()> {
    let arg = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (envs, repetitions, updates) = (arg(1, 1024)?, arg(2, 3)?, arg(3, 1)?);
    let agent = std::env::args().nth(4).unwrap_or("ppo".into());
    let [physics, rollout, train] = match agent.as_str() {
        "h-moe" => experts(H_MOE, envs, repetitions, updates),
        "ppo-mono" => experts(PPO_MONO, envs, repetitions, updates),
        "homogeneous-moe" => experts(HOMOGENEOUS_MOE, envs, repetitions, updates),
        "ppo" => v2x(PpoSpec::mlp, envs, repetitions, updates),
        "spiking-ac" => v2x(PpoSpec::spiking, envs, repetitions, updates),
        other => anyhow::bail!("agent '{other}': ppo, spiking-ac, h-moe, ppo-mono or homogeneous-moe"),
    };
    println!(
        "{}",
        serde_json::json!({
            "agent": agent,
            "envs": envs,
            "threads": rayon::current_num_threads(),
            "simd": format!("{:?}", isacbench::real::SimdLevel::detect()),
            "physics_sps": physics,
            "rollout_sps": rollout,
            "train_sps": train,
        })
    );
    Ok(())
}
