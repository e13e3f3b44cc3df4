//! Environment steps per second of the CPU backend, as one JSON object: physics, rollout and whole training with the settings of the JAX peer
//! (`benches/peers/v2x_ppo_jax.py`). `scripts/compare-peer.sh` alternates the two.
//!
//! ```text
//! cargo run --release --no-default-features --example throughput -- 1024 3 2 ppo
//! # environments, repetitions (best of), updates timed at once, agent (ppo, spiking-ac)
//! ```

#[path = "../benches/workload/mod.rs"]
mod workload;

use isacbench::agents;
use std::time::Instant;
use workload::{Physics, Training};

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

fn main() -> anyhow::Result<()> {
    let arg = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (envs, repetitions, updates) = (arg(1, 1024)?, arg(2, 3)?, arg(3, 1)?);
    let agent = std::env::args().nth(4).unwrap_or("ppo".into());
    let kind = agents::find(&agent).filter(|a| matches!(a.id, "ppo" | "spiking-ac")).map(|a| a.kind);
    let kind = kind.ok_or_else(|| anyhow::anyhow!("agent '{agent}': ppo or spiking-ac"))?;
    let mut physics = Physics::new(envs);
    let steps = (envs * physics.slots()) as f64;
    let physics_s = best(repetitions, || {
        std::hint::black_box(physics.run());
    });
    let mut training = Training::new(kind, envs);
    let samples = training.steps() as f64;
    let rollout_s = best(repetitions, || training.rollout());
    let training_s = best(repetitions, || (0..updates).for_each(|_| training.update()));
    println!(
        "{}",
        serde_json::json!({
            "agent": agent,
            "envs": envs,
            "threads": rayon::current_num_threads(),
            "simd": format!("{:?}", isacbench::real::SimdLevel::detect()),
            "physics_sps": steps / physics_s,
            "rollout_sps": samples / rollout_s,
            "train_sps": samples * updates as f64 / training_s,
        })
    );
    Ok(())
}
