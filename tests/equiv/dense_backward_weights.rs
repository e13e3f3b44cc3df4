use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::dense_backward_weights::{Spec, check};

fn run(r: usize, m: usize, i: usize, o: usize, s: usize) {
    scaled(r, m, i, o, s, 1.0);
}

fn scaled(r: usize, m: usize, i: usize, o: usize, s: usize, b_scale: f64) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m}] {o}x{i}, {s} slices, bias times {b_scale}"),
        check(gpu, &Spec { r, m, i, o, p: o * i + o + 5, s, b_scale }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_the_read_out_of_spikes() {
    scaled(2, 131, 128, 6, 3, 0.984375);
    scaled(1, 3, 1, 1, 2, 0.25);
}

#[test]
fn gpu_matches_cpu_at_the_layers_of_the_policies() {
    run(1, 131, 128, 128, 3);
    run(3, 131, 12, 128, 4);
    run(3, 131, 128, 6, 2);
    run(2, 67, 128, 1, 1);
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1);
    run(3, 17, 63, 9, 2);
    run(1, 16, 65, 129, 1);
    run(2, 15, 33, 127, 3);
    run(1, 257, 7, 31, 16);
}

#[test]
fn slices_without_rows_are_zero() {
    // ceil(5/4) = 2 rows a slice: the third has one, the fourth none. One row in 7 slices leaves six empty.
    run(3, 5, 12, 8, 4);
    run(1, 1, 3, 2, 7);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_535, 1, 129, 65_535);
}
