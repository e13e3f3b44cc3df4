use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::lstm_backward::{Spec, WG, check};

fn run(r: usize, m: usize, h: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{m},{h}]"), check(gpu, &Spec { r, m, h }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, WG - 1, 1);
    run(1, WG, 5);
    run(3, 17, WG + 1);
    run(2, 31, 64);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG / 32 + 5, 32);
}
