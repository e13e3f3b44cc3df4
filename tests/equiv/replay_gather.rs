use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::replay_gather::{Spec, WG, check};
use isacbench::learn::replay::Row;

fn run(r: usize, capacity: usize, m: usize, obs: usize, action: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("R={r} capacity={capacity} M={m} O={obs} D={action}"),
        check(gpu, &Spec { r, capacity, row: Row { obs, action }, m }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1);
    run(3, 1009, WG - 1, 12, 3);
    run(1, 50, WG, 12, 195);
    run(3, 64, WG + 1, 4, 2);
    run(2, 31, 1009, 7, 5);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_537, 2, 1, 1, 1);
}
