use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::dense_forward::{Spec, check};
use isacbench::nets::Activation::{self, None, Relu, Tanh};

/// Replicas, rows, inputs, outputs.
pub type Sizes = (usize, usize, usize, usize, Activation);

pub const LAYERS: [Sizes; 4] =
    [(3, 129, 12, 128, Tanh), (1, 127, 128, 128, Relu), (3, 131, 128, 6, None), (2, 128, 128, 1, None)];

pub const AWKWARD: [Sizes; 7] = [
    (1, 1, 1, 1, Tanh),
    (3, 1, 17, 5, Relu),
    (1, 257, 1, 7, Tanh),
    (3, 7, 15, 63, None),
    (1, 9, 16, 65, Tanh),
    (2, 63, 31, 33, Relu),
    (1, 33, 257, 9, Tanh),
];

fn run(r: usize, m: usize, i: usize, o: usize, act: Activation) {
    scaled(r, m, i, o, act, 1.0);
}

fn scaled(r: usize, m: usize, i: usize, o: usize, act: Activation, b_scale: f64) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{i}] -> {o} {act:?}, bias times {b_scale}"),
        check(gpu, &Spec { r, m, i, o, p: o * i + o + 5, act, b_scale }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_the_read_out_of_spikes() {
    scaled(2, 129, 128, 6, None, 0.984375);
    scaled(1, 3, 1, 1, None, 0.25);
}

#[test]
fn gpu_matches_cpu_at_the_layers_of_the_policies() {
    for (r, m, i, o, act) in LAYERS {
        run(r, m, i, o, act);
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    for (r, m, i, o, act) in AWKWARD {
        run(r, m, i, o, act);
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(65_535, 1, 3, 65, None);
}
