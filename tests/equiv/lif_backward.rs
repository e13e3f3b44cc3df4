use crate::common::{assert_all, gpu_or_skip};
use crate::neurons::{LOW, ONE, OTHER, PAPER};
use isacbench::kernels::lif_backward::Upstream::{self, Readout, Spikes};
use isacbench::kernels::lif_backward::{Spec, check, lif_backward_cpu};
use isacbench::kernels::lif_forward::CarriedAt;
use isacbench::kernels::lif_forward::Current::{self, Constant, PerStep};
use isacbench::nets::{Lif, Membrane};

fn run(r: usize, m: usize, n: usize, lif: Lif, current: Current, upstream: Upstream) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{n}] {current:?} {upstream:?} {lif:?}"),
        check(gpu, &Spec { r, m, n, lif, current, upstream }, 7),
    );
}

const ALL: [(Current, Upstream); 4] =
    [(Constant, Readout), (Constant, Spikes), (PerStep, Readout), (PerStep, Spikes)];

#[test]
fn gpu_matches_cpu_with_the_papers_neurons() {
    for (current, upstream) in ALL {
        run(3, 67, 128, PAPER, current, upstream);
        run(2, 31, 128, Lif { detach_reset: true, ..PAPER }, current, upstream);
    }
}

#[test]
fn gpu_matches_cpu_with_other_neurons() {
    for lif in [ONE, OTHER, LOW] {
        for (current, upstream) in ALL {
            run(2, 37, 33, lif, current, upstream);
            run(2, 37, 33, Lif { detach_reset: !lif.detach_reset, ..lif }, current, upstream);
        }
    }
}

#[test]
fn gpu_matches_cpu_with_learned_leaks() {
    for lif in [PAPER, OTHER, LOW] {
        let lif = Lif { learn_leak: true, ..lif };
        for (current, upstream) in ALL {
            run(3, 37, 33, lif, current, upstream);
            run(2, 5, 9, Lif { detach_reset: !lif.detach_reset, ..lif }, current, upstream);
        }
    }
}

#[test]
fn gpu_matches_cpu_from_carried_potentials() {
    for lif in [PAPER, ONE, OTHER, LOW] {
        let lif = Lif { membrane: Membrane::Carried, ..lif };
        for (current, upstream) in ALL {
            run(3, 37, 33, lif, current, upstream);
            run(2, 5, 9, Lif { learn_leak: true, ..lif }, current, upstream);
        }
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    for neurons in [1, 13, 63, 64, 65, 257] {
        for (current, upstream) in ALL {
            run(1, 1, neurons, PAPER, current, upstream);
            run(1, neurons, 1, OTHER, current, upstream);
        }
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_537, 64, ONE, Constant, Readout);
}

/// A spiking chain by hand: two steps at U = U_th and U = 2, gradient 1 by the last spike only.
#[test]
fn two_steps_by_hand() {
    let d_current = |detach_reset: bool| {
        let lif = Lif { steps: 2, detach_reset, ..PAPER };
        let spec = Spec { r: 1, m: 1, n: 1, lif, current: PerStep, upstream: Spikes };
        let mut d = [f64::NAN; 2];
        let at = CarriedAt::default();
        lif_backward_cpu(&spec, 1, at, 0.0, &[], &[1.0, 2.0], &[0.0, 1.0], &mut d, &mut [], &[]);
        d
    };
    let surrogate = |x: f64| 1.5 / (1.0 + (1.5 * std::f64::consts::PI * x).powi(2));
    let last = 0.5 * surrogate(1.0);
    // The first step fired: a constant reset lets nothing through; followed, −(U − U_r)·σ'(0) = −1.5 comes through.
    let near = |a: [f64; 2], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
    assert!(near(d_current(true), [0.0, last]), "{:?}", d_current(true));
    assert!(near(d_current(false), [0.5 * (0.5 * surrogate(1.0)) * -1.5, last]), "{:?}", d_current(false));
}
