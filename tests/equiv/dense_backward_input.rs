use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::dense_backward_input::{Spec, check};
use isacbench::nets::Activation::{self, None, Relu, Tanh};

fn run(r: usize, m: usize, i: usize, o: usize, act: Activation) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{i}] <- {o} {act:?}"),
        check(gpu, &Spec { r, m, i, o, p: o * i + 5, act }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_the_layers_of_the_policies() {
    run(1, 129, 128, 128, Tanh);
    run(3, 131, 128, 6, Relu);
    run(2, 127, 128, 1, Tanh);
    run(3, 65, 12, 128, None);
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, Tanh);
    run(3, 1, 5, 17, Relu);
    run(1, 257, 7, 1, Tanh);
    run(3, 7, 63, 15, None);
    run(1, 9, 65, 16, Tanh);
    run(2, 63, 33, 31, Relu);
    run(1, 33, 9, 257, Tanh);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_535, 1, 65, 2, Relu);
}
