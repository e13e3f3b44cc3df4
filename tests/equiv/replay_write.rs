use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::replay_write::{Spec, WG, check};
use isacbench::learn::replay::Row;

fn run(r: usize, b: usize, c: usize, obs: usize, action: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("R={r} B={b} C={c} O={obs} D={action}"),
        check(gpu, &Spec { r, b, c, row: Row { obs, action } }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1);
    run(3, WG - 1, 2, 12, 3);
    run(1, WG, 5, 12, 195);
    run(3, WG + 1, 1, 4, 2);
    run(2, 101, 9, 7, 5);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG / 29 + 3, 1, 12, 3);
}
