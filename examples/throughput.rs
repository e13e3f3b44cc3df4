//! Environment steps per second of the CPU backend, as one JSON object: physics, rollout and whole training with the
//! settings of the JAX peers (`benches/peers/v2x_ppo_jax.py`, `misac_hmoe_jax.py`). `scripts/compare-peer.sh`
//! alternates the two sides.
//!
//! ```text
//! cargo run --release --no-default-features --example throughput -- 1024 3 2 ppo
//! # environments, repetitions (best of), updates timed at once, agent (ppo, spiking-ac, h-moe, ppo-mono, homogeneous-moe)
//! ```

#[path = "../benches/workload/mod.rs"]
#[allow(dead_code, reason = "the benches use more of it")]
mod workload;

use isacbench::nets::experts::Architecture;
use isacbench::tasks::misac::agents::{H_MOE, HOMOGENEOUS_MOE, PPO_MONO};
use std::time::Instant;
use workload::learner::{Learner, Size, Who};
use workload::{Physics, misac};

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

fn rates(
    (who, width): (Who, usize),
    mut physics: impl FnMut() -> f64,
    physics_steps: usize,
    (envs, repetitions, updates): (usize, usize, usize),
) -> anyhow::Result<Rates> {
    let physics_s = best(repetitions, || {
        std::hint::black_box(physics());
    });
    let mut learner = Learner::new(who, Size { r: 1, b: envs, h: width }, None)?;
    let samples = learner.steps() as f64;
    let rollout_s = best(repetitions, || learner.rollout().expect("the CPU has no device errors"));
    let training_s = best(repetitions, || {
        (0..updates).for_each(|_| learner.update().expect("the CPU has no device errors"));
    });
    Ok([physics_steps as f64 / physics_s, samples / rollout_s, samples * updates as f64 / training_s])
}

fn v2x(id: &'static str, how: (usize, usize, usize)) -> anyhow::Result<Rates> {
    let mut physics = Physics::new(how.0);
    let steps = how.0 * physics.slots();
    rates((Who::V2x(id), 128), || physics.run(), steps, how)
}

fn experts(architecture: Architecture, how: (usize, usize, usize)) -> anyhow::Result<Rates> {
    let mut physics = misac::Physics::new(how.0);
    let steps = how.0 * physics.slots();
    rates((Who::Misac(architecture), 64), || physics.run(), steps, how)
}

fn main() -> anyhow::Result<()> {
    let arg = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (envs, repetitions, updates) = (arg(1, 1024)?, arg(2, 3)?, arg(3, 1)?);
    let how = (envs, repetitions, updates);
    let agent = std::env::args().nth(4).unwrap_or("ppo".into());
    let [physics, rollout, train] = match agent.as_str() {
        "h-moe" => experts(H_MOE, how)?,
        "ppo-mono" => experts(PPO_MONO, how)?,
        "homogeneous-moe" => experts(HOMOGENEOUS_MOE, how)?,
        "ppo" => v2x("ppo", how)?,
        "spiking-ac" => v2x("spiking-ac", how)?,
        other => anyhow::bail!("agent '{other}': ppo, spiking-ac, h-moe, ppo-mono or homogeneous-moe"),
    };
    println!(
        "{}",
        serde_json::json!({
            "agent": agent,
            "envs": envs,
            "threads": rayon::current_num_threads(),
            "simd": format!("{:?}", isacbench::num::real::SimdLevel::detect()),
            "physics_sps": physics,
            "rollout_sps": rollout,
            "train_sps": train,
        })
    );
    Ok(())
}
