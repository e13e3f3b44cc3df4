use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::td_loss::{Spec, WG, check};

fn run(r: usize, m: usize, k: usize, l: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for huber in [false, true] {
        assert_all(
            &format!("R={r} M={m} K={k} L={l} huber={huber}"),
            check(gpu, &Spec { r, m, k, l, huber }, 7),
        );
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1);
    run(3, WG - 1, 3, 96);
    run(1, WG, 8, 5);
    run(3, WG + 1, 1, 1);
    run(2, 257, 2, 7);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, 1);
}
