use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::spike_backward_weights::{Spec, check};

fn run(r: usize, m: usize, i: usize, o: usize, steps: usize, slices: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{steps}] {o}x{i}, {slices} slices"),
        check(gpu, &Spec { r, m, i, o, p: o * i + o + 5, steps, slices }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_the_layers_of_the_policies() {
    run(1, 67, 128, 128, 6, 3);
    run(3, 31, 128, 64, 6, 2);
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1, 1);
    run(3, 17, 63, 9, 16, 2);
    run(1, 16, 65, 129, 6, 1);
    run(2, 15, 33, 127, 7, 3);
    run(1, 257, 7, 31, 1, 16);
}

#[test]
fn slices_without_samples_are_zero() {
    // ceil(5/4) = 2 samples a slice: the third has one, the fourth none. One sample in 7 slices leaves six empty.
    run(3, 5, 12, 8, 6, 4);
    run(1, 1, 3, 2, 16, 7);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_535, 1, 129, 2, 65_535);
}
