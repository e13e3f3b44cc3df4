use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::activity_count::{Spec, Units, activity_count_cpu, check};

fn run(r: usize, m: usize, c: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for units in [Units::Values, Units::Halves, Units::Spikes] {
        assert_all(&format!("[{r},{m},{c}] {units:?}"), check(gpu, &Spec { r, m, c, units }, 7));
    }
}

#[test]
fn gpu_matches_cpu() {
    run(3, 1000, 128);
    run(2, 515, 12);
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, 17, 7);
    for m in [31, 32, 33, 127, 128, 129, 1025] {
        run(1, m, 9);
        run(2, m, 1);
    }
}

#[test]
fn gpu_matches_cpu_at_many_units() {
    run(1, 3, 70_001);
}

/// By hand: two samples of three units.
#[test]
fn counts_by_hand() {
    let spec = Spec { r: 1, m: 2, c: 3, units: Units::Spikes };
    let words = [0x0003_0001, 0, 0x000f_0000, 0x0001_8001, 0x8000_0000, 0x0001_0007];
    let mut counts = [9; 6];
    activity_count_cpu(&spec, 2, true, &words, &mut counts);
    assert_eq!(counts, [3, 0, 3, 3, 1, 5]);
    activity_count_cpu(&spec, 1, false, &words, &mut counts);
    assert_eq!(counts, [4, 0, 3, 5, 1, 9]);
    let values = [1.0f32, -0.0, 0.0, f32::MIN_POSITIVE / 2.0, -3.0, 0.0].map(f32::to_bits);
    let spec = Spec { units: Units::Values, ..spec };
    activity_count_cpu(&spec, 2, true, &values, &mut counts);
    assert_eq!(counts[..3], [2, 1, 0]);
    // Halves: 1 and −0, 0 and −3, the smallest and 0.
    let halves = [0x8000_3c00, 0xc200_0000, 0x0000_0001];
    let spec = Spec { units: Units::Halves, ..spec };
    activity_count_cpu(&spec, 2, true, &halves, &mut counts);
    assert_eq!(counts[..3], [2, 1, 0]);
}
