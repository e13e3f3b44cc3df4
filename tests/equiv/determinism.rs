//! The same training gives the same bits, whatever runs beside it.

use crate::common::shared_gpu;
use crate::small_ppo::{TWO, assert_same_bits, config, replica_of, spec, trained};
use isacbench::gpu::Gpu;
use isacbench::learn::PpoSpec;
use std::sync::Arc;

/// Several chunks of environments and several parts of a minibatch on the CPU; several workgroups and slices on the
/// GPU.
fn wide(who: &[(u32, f64)]) -> PpoSpec {
    let sets = ["task.beam=tracking", "task.slots=5", "ppo.horizon=10", "ppo.envs=515", "ppo.minibatch=2575"];
    spec(&config(&sets), who)
}

fn twice_and_alone(what: &str, gpu: Option<&Arc<Gpu>>) {
    let (together, metrics) = trained(&wide(&TWO), 2, gpu);
    let (again, metrics_again) = trained(&wide(&TWO), 2, gpu);
    assert_same_bits(&format!("{what}, twice"), &together, &again);
    assert_eq!(metrics, metrics_again, "{what}: metrics of the same training");
    for (r, who) in TWO.into_iter().enumerate() {
        let (alone, metrics_alone) = trained(&wide(&[who]), 2, gpu);
        assert_same_bits(
            &format!("{what}, replica {r} beside another and alone"),
            &replica_of(&together, r, 2),
            &alone,
        );
        for (update, m) in metrics.iter().enumerate() {
            assert_eq!(m[r], metrics_alone[update][0], "{what}: metrics of replica {r}");
        }
    }
    // Not the same because nothing depends on anything: the replicas differ, and training moves them.
    assert_ne!(replica_of(&together, 0, 2).params, replica_of(&together, 1, 2).params);
    assert_ne!(together.params, wide(&TWO).initial_params());
}

#[test]
fn twice_and_alone_on_the_cpu() {
    twice_and_alone("CPU", None);
}

#[test]
fn twice_and_alone_on_the_gpu() {
    if let Some(gpu) = shared_gpu() {
        twice_and_alone("GPU", Some(gpu));
    }
}

#[test]
fn any_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&wide(&TWO), 2, None))
    };
    let (one, metrics_one) = with(1);
    for threads in [2, 3] {
        let (many, metrics) = with(threads);
        assert_same_bits(&format!("{threads} threads"), &one, &many);
        assert_eq!(metrics_one, metrics, "{threads} threads: metrics");
    }
}
