use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::column_sum::{Spec, WG, check};

fn run(r: usize, m: usize, c: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{m},{c}]"), check(gpu, &Spec { r, m, c }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, 1, 17);
    run(1, WG - 1, 1);
    run(3, 4 * WG + 1, 1);
    run(3, 127, 6);
    run(1, 128, 8);
    run(2, 129, 9);
    run(1, 1009, 3);
}

#[test]
fn gpu_matches_cpu_over_a_million_rows() {
    run(1, 1_000_003, 6);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_535, 2, 9);
}
