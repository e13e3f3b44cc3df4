use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::lif_forward::CarriedAt;
use isacbench::kernels::readout_carried::{Spec, WG, check, readout_carried_cpu};

fn run(r: usize, m: usize, o: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { r, m, o, kept: 0.3 };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(2, 67, 6);
    run(1, WG - 1, 1);
    run(3, WG, 13);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1);
}

/// Two samples of two outputs behind one neuron, by hand.
#[test]
fn outputs_by_hand() {
    let spec = Spec { r: 1, m: 2, o: 2, kept: 0.25 };
    let mut y = [1.0f64, 2.0, 3.0, 4.0];
    let mut membrane = [9.0, 4.0, 8.0, 9.0, -4.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    readout_carried_cpu(&spec, 2, 0, CarriedAt { start: 1, end: 7, width: 3 }, &mut y, &mut membrane);
    assert_eq!(y, [2.0, 4.0, 2.0, 4.0]);
    assert_eq!(membrane, [9.0, 4.0, 8.0, 9.0, -4.0, 0.0, 9.0, 2.0, 4.0, 9.0, 2.0, 4.0]);
}
