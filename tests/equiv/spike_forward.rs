use crate::common::{assert_all, gpu_or_skip};
use crate::neurons::{LOW, ONE, OTHER, PAPER};
use isacbench::kernels::spike_forward::{Spec, check};
use isacbench::nets::{Lif, Membrane};

fn run(r: usize, m: usize, i: usize, o: usize, lif: Lif, keep: bool, trace: bool) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{i}] -> {o} {lif:?} keep {keep} trace {trace}"),
        check(gpu, &Spec { r, m, i, o, p: o * i + o + 5, lif, keep, trace }, 7),
    );
}

#[test]
fn gpu_matches_cpu_with_the_papers_neurons() {
    run(3, 67, 128, 128, PAPER, true, true);
    run(1, 131, 128, 128, PAPER, false, true);
    run(2, 33, 128, 64, PAPER, true, false);
}

#[test]
fn gpu_matches_cpu_with_other_neurons() {
    for lif in [ONE, OTHER, LOW] {
        run(2, 33, 31, 65, lif, true, true);
        run(1, 17, 16, 9, lif, false, false);
    }
}

#[test]
fn gpu_matches_cpu_with_learned_leaks() {
    for lif in [PAPER, OTHER, LOW] {
        run(3, 33, 31, 65, Lif { learn_leak: true, ..lif }, true, true);
    }
}

#[test]
fn gpu_matches_cpu_from_carried_potentials() {
    for lif in [PAPER, ONE, OTHER, LOW] {
        let lif = Lif { membrane: Membrane::Carried, ..lif };
        run(3, 33, 31, 65, lif, true, true);
        run(1, 17, 16, 9, Lif { learn_leak: true, ..lif }, false, false);
    }
}

#[test]
fn gpu_matches_cpu_at_any_number_of_steps() {
    for steps in 1..=16 {
        run(1, 5, 19, 8, Lif { steps, ..LOW }, true, true);
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, PAPER, true, true);
    run(3, 1, 17, 5, PAPER, true, true);
    run(1, 129, 1, 7, PAPER, true, true);
    run(2, 127, 15, 8, OTHER, true, true);
    run(1, 15, 16, 63, PAPER, true, true);
    run(1, 16, 33, 64, PAPER, true, true);
    run(2, 17, 257, 129, PAPER, true, true);
}

#[test]
fn gpu_matches_cpu_at_many_samples() {
    run(1, 70_001, 2, 3, ONE, true, true);
}
