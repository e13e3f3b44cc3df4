use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::joint_policy_loss::{Spec, WG, check};

fn run(r: usize, m: usize, k: usize, a: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { r, m, k, a, p: a + 7, ls_off: 3, clip: true };
    assert_all(&format!("[{r},{m},{k}+{a}]"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1);
    run(3, WG - 1, 3, 2);
    run(1, WG, 4, 17);
    run(3, WG + 1, 5, 6);
    run(1, 31, 4, 256);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, 1);
}
