use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::td_loss::{Spec, WG, check};

fn run(r: usize, m: usize, k: usize, l: usize) {
    run_split(r, m, k, l, 0);
}

fn run_split(r: usize, m: usize, k: usize, l: usize, split: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for huber in [false, true] {
        assert_all(
            &format!("R={r} M={m} K={k} L={l}, {split} of them beams, huber={huber}"),
            check(gpu, &Spec { r, m, k, l, split, huber }, 7),
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
fn gpu_matches_cpu_where_beams_and_levels_are_by_themselves() {
    run_split(3, WG - 1, 3, 35, 32);
    run_split(1, WG + 1, 8, 5, 1);
    run_split(2, 101, 1, 2, 1);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, 1);
}
