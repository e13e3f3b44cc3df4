//! Environment steps per second of the CPU backend, with the settings of the JAX peers: physics alone (actions drawn with Philox every slot, as
//! the peers draw their own), rollout (policy and physics), training (a whole update: rollout, advantages, 4 epochs of 16 minibatches), the last
//! two of agent `ppo` and, with `_spiking`, of agent `spiking-ac`. With `_misac`, task misac: physics with every vehicle's channel, and agent `h-moe`
//! with one gradient step over all slots.
//!
//! `scripts/compare-peer.sh` sets these against the peer; the time per iteration here covers one episode or one update.

mod workload;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use isacbench::learn::PpoSpec;
use isacbench::policy::experts::H_MOE;
use std::hint::black_box;
use std::time::Duration;
use workload::{MakePpo, Physics, Training, misac};

/// One replica with `envs` environments, as it stands in the ids.
fn id(envs: usize) -> BenchmarkId {
    BenchmarkId::from_parameter(format!("R=1,B={envs}"))
}

fn end_to_end(c: &mut Criterion) {
    let mut group = c.benchmark_group("physics");
    for envs in [256, 1024, 4096, 8192] {
        let mut physics = Physics::new(envs);
        group.throughput(Throughput::Elements((envs * physics.slots()) as u64));
        group.bench_function(id(envs), |b| b.iter(|| black_box(physics.run())));
    }
    group.finish();
    let agents: [(MakePpo, &str); 2] = [(PpoSpec::mlp, ""), (PpoSpec::spiking, "_spiking")];
    for (make, suffix) in agents {
        for name in ["rollout", "training"] {
            let mut group = c.benchmark_group(format!("{name}{suffix}"));
            group.sampling_mode(SamplingMode::Flat);
            for envs in [512, 1024, 4096] {
                let mut training = Training::new(make, envs);
                group.throughput(Throughput::Elements(training.steps() as u64));
                group.bench_function(id(envs), |b| {
                    b.iter(|| if name == "rollout" { training.rollout() } else { training.update() });
                });
            }
            group.finish();
        }
    }
    experts(c);
}

fn experts(c: &mut Criterion) {
    const ENVS: [usize; 2] = [256, 1024];
    let mut group = c.benchmark_group("physics_misac");
    for envs in ENVS {
        let mut physics = misac::Physics::new(envs);
        group.throughput(Throughput::Elements((envs * physics.slots()) as u64));
        group.bench_function(id(envs), |b| b.iter(|| black_box(physics.run())));
    }
    group.finish();
    for name in ["rollout", "training"] {
        let mut group = c.benchmark_group(format!("{name}_misac"));
        group.sampling_mode(SamplingMode::Flat);
        for envs in ENVS {
            let mut training = misac::Training::new(H_MOE, envs);
            group.throughput(Throughput::Elements(training.steps() as u64));
            group.bench_function(id(envs), |b| {
                b.iter(|| if name == "rollout" { training.rollout() } else { training.update() });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    // Ten updates of the largest batch take longer than the measurement time; criterion then runs each of the ten samples once.
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = end_to_end
}
criterion_main!(benches);
