use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::adam::{Spec, WG, check};

fn run(r: usize, p: usize, split: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{p}] split {split}"), check(gpu, &Spec { r, p, split }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 0);
    run(1, WG - 1, 7);
    run(1, WG, WG);
    run(3, WG + 1, 1);
    run(3, 1009, 500);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(2, 32_768 * WG + 5, 1000);
}
