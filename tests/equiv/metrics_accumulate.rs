use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::metrics_accumulate::{Spec, WG, check};

fn run(elements: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("{elements} elements"), check(gpu, &Spec { elements }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    for elements in [1, WG - 1, WG, WG + 1, 4099] {
        run(elements);
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_536 * WG + 5);
}
