use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::quantile_count::{Spec, WG, check};

fn run(spec: Spec) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    for b in [1, WG - 1, WG, WG + 1, 4099] {
        run(Spec { r: 2, metric_rows: 7, b, quantities: 2, rows: 3 });
    }
    run(Spec { r: 1, metric_rows: 1, b: 5, quantities: 1, rows: 1 });
}
