use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::grad_reduce::{Spec, WG, check};

fn run(r: usize, p: usize, s: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{s},{r},{p}]"), check(gpu, &Spec { r, p, s }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(1, WG - 1, 2);
    run(1, WG, 7);
    run(3, WG + 1, 64);
    run(3, 1009, 5);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1);
}
