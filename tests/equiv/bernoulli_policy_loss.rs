use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::bernoulli_policy_loss::{Spec, WG, check};

fn run(r: usize, m: usize, a: usize, skip: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{a}], {skip} in front"),
        check(gpu, &Spec { r, m, a, skip, clip: true }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 0);
    run(3, WG - 1, 3, 1);
    run(1, WG, 4, WG - 1);
    run(3, WG + 1, 5, 0);
    run(1, 31, 17, 7);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, 100);
}
