use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::metrics_reduce::{Spec, WG, check};

fn run(r: usize, metric_rows: usize, b: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{metric_rows},{b}]"), check(gpu, &Spec { r, metric_rows, b }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, 12, WG - 1);
    run(1, 14, WG);
    run(3, 10, WG + 1);
    run(3, 12, 4099);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(5, 13_108, 2);
}
