use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::expert_mix::{Spec, WG, check};

fn run(r: usize, m: usize, c: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{m},{c}]"), check(gpu, &Spec { r, m, c }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, WG - 1, 3);
    run(2, 31, WG + 1);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG / 4 + 5, 4);
}
