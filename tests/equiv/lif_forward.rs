use crate::common::{assert_all, gpu_or_skip};
use crate::neurons::{LOW, ONE, OTHER, PAPER};
use isacbench::kernels::lif_forward::Current::{self, Constant, PerStep};
use isacbench::kernels::lif_forward::{CarriedAt, Judged, Spec, check, lif_forward_cpu};
use isacbench::nets::{Lif, Membrane};

fn run(r: usize, m: usize, n: usize, lif: Lif, current: Current, keep: bool, trace: bool) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{n}] {current:?} {lif:?} keep {keep} trace {trace}"),
        check(gpu, &Spec { r, m, n, lif, current, keep, trace }, 7),
    );
}

#[test]
fn gpu_matches_cpu_with_the_papers_neurons() {
    run(3, 129, 128, PAPER, Constant, false, false);
    run(2, 131, 128, PAPER, Constant, true, true);
    run(3, 127, 64, PAPER, PerStep, true, true);
}

#[test]
fn gpu_matches_cpu_with_other_neurons() {
    for lif in [ONE, OTHER, LOW] {
        for current in [Constant, PerStep] {
            run(2, 67, 33, lif, current, true, true);
            run(1, 31, 7, lif, current, false, true);
        }
    }
}

/// Replicas whose neurons share workgroups and threads, each with a leak of its own.
#[test]
fn gpu_matches_cpu_with_learned_leaks() {
    for lif in [PAPER, OTHER, LOW] {
        let lif = Lif { learn_leak: true, ..lif };
        for current in [Constant, PerStep] {
            run(3, 67, 33, lif, current, true, true);
            run(5, 1, 7, lif, current, false, true);
        }
    }
}

#[test]
fn gpu_matches_cpu_from_carried_potentials() {
    for lif in [PAPER, ONE, OTHER, LOW] {
        let lif = Lif { membrane: Membrane::Carried, ..lif };
        for current in [Constant, PerStep] {
            run(3, 67, 33, lif, current, true, true);
            run(1, 1, 257, Lif { learn_leak: true, ..lif }, current, false, true);
        }
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    // A workgroup takes 256 neurons.
    for neurons in [1, 13, 63, 64, 65, 255, 256, 257] {
        run(1, 1, neurons, PAPER, Constant, true, true);
        run(1, neurons, 1, OTHER, PerStep, true, false);
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_537, 256, ONE, Constant, false, false);
}

/// By hand: λ = ½, currents 4, 0, 1, 1, 4, 4.
#[test]
fn potentials_spikes_and_changes_by_hand() {
    let spec = Spec { r: 1, m: 1, n: 1, lif: PAPER, current: PerStep, keep: true, trace: true };
    let at = CarriedAt::default();
    let run = |current: &[f64; 6]| {
        let (mut words, mut u, mut trace) = ([0], [0.0f64; 6], [0.0]);
        lif_forward_cpu(&spec, 1, at, &[], current, &mut words, &mut u, &mut trace, &mut []);
        (words, u, trace)
    };
    let (words, u, trace) = run(&[4.0, 0.0, 1.0, 1.0, 4.0, 4.0]);
    assert_eq!(u, [2.0, 0.0, 0.5, 0.75, 2.375, 2.0]);
    // Spikes at steps 0, 4 and 5; every potential differs from the one before.
    assert_eq!(words, [0b11_0001 | 0b11_1111 << 16]);
    assert_eq!(trace, [1.0 / 64.0 + 1.0 / 4.0 + 1.0 / 2.0]);
    // A neuron that fires at each step, and one at rest: only the first step is an update.
    for (current, spikes) in [(2.0, 0b11_1111), (0.0, 0)] {
        assert_eq!(run(&[current; 6]).0, [spikes | 1 << 16], "current {current}");
    }
    // Exactly the threshold fires.
    assert_eq!(run(&[2.0, 0.0, 0.0, 0.0, 0.0, 0.0]).0[0] & 1, 1);
}

/// Two neurons from ½ and −1 without currents, by hand: neither fires, and a 64th is left. Those around stay.
#[test]
fn carried_potentials_by_hand() {
    let lif = Lif { membrane: Membrane::Carried, ..PAPER };
    let spec = Spec { r: 1, m: 1, n: 2, lif, current: Constant, keep: true, trace: false };
    let mut membrane = [9.0, 0.5, -1.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let (mut words, mut u) = ([0; 2], [0.0f64; 12]);
    let at = CarriedAt { start: 1, end: 5, width: 4 };
    lif_forward_cpu(&spec, 1, at, &[], &[0.0, 0.0], &mut words, &mut u, &mut [], &mut membrane);
    assert_eq!(membrane, [9.0, 0.5, -1.0, 9.0, 9.0, 0.5 / 64.0, -1.0 / 64.0, 9.0]);
    assert_eq!(u[..4], [0.25, -0.5, 0.125, -0.25]);
    assert_eq!(words, [0b11_1111 << 16; 2]);
    // What stands below the threshold with half a current fires at once.
    lif_forward_cpu(&spec, 1, at, &[], &[1.5, 0.0], &mut words, &mut u, &mut [], &mut membrane);
    assert_eq!((u[0], words[0] & 1), (1.0, 1));
}

/// The comparison of spikes can fail, and frees a spike only within the margin.
#[test]
fn wrong_spikes_are_seen() {
    let lif = Lif { steps: 2, ..PAPER };
    // [rows = 1, S = 2, N = 3]: fires then rests; rests within the margin of the threshold; never near.
    let potentials = vec![1.5, 0.999_999, 0.2, 0.3, 0.4, 0.2];
    let judged = Judged::new(&lif, 3, potentials, 1e-5);
    let failed = |words: [u32; 3]| judged.compare_words(&words).iter().any(|c| !c.passed());
    let right = [0b01 | 0b11 << 16, 0b10 | 0b01 << 16, 0b01 << 16];
    assert!(!failed(right));
    assert!(!failed([right[0], 0b01 | 0b11 << 16, right[2]]), "the neuron within the margin is free");
    assert!(failed([0b11 | 0b11 << 16, right[1], right[2]]), "a spike too many");
    assert!(failed([0b11 << 16, right[1], right[2]]), "a spike too few");
    assert!(failed([0b01 | 0b01 << 16, right[1], right[2]]), "a change not seen");
    assert!(failed([right[0], right[1], 0b11 << 16]), "a change that was none");
    assert!(failed([right[0] | 0b100, right[1], right[2]]), "a spike after the last step");
    assert!(failed([right[0], right[1] | 1 << 18, right[2]]), "a change after the last step");
}
