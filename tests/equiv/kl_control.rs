use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::kl_control::{Spec, WG, check};

fn run(r: usize, c: usize, column: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for seed in 0..10 {
        let spec = Spec { r, c, column };
        assert_all(&format!("{r} replicas, column {column} of {c}, seed {seed}"), check(gpu, &spec, seed));
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 0);
    run(WG - 1, 4, 1);
    run(WG, 10, 7);
    run(2 * WG + 1, 5, 4);
}
