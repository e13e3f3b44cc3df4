use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::polyak::{Spec, WG, check};

fn run(r: usize, p: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{p}]"), check(gpu, &Spec { r, p }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1);
    run(3, WG - 1);
    run(1, WG);
    run(3, WG + 1);
    run(2, 1009);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(3, 65_536 * WG / 3 + 5);
}
