use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::obs_mask::{Spec, WG, check};

fn run(rows: usize, o: usize, first: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { rows, o, first };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 0);
    run(WG - 1, 3, 2);
    run(WG, 12, 8);
    run(1009, 6, 1);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_536 * WG + 5, 2, 1);
}
