use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::minibatch_scalars::{Spec, WG, check};
use isacbench::kernels::{minibatch_gather, minibatch_scalars::minibatch_scalars_cpu};
use isacbench::num::shuffle::{Minibatch, Unit};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (t, r, b, m) in [
        (1, 1, 1, 1),
        (7, 1, 11, 77),
        (5, 3, 2 * WG, WG - 1),
        (4, 1, WG, WG),
        (3, 2, 101, WG + 1),
        (2, 3, 1009, 1009),
    ] {
        for (m, unit) in [(m, Unit::Sample), (m.div_ceil(t) * t, Unit::Environment)] {
            let spec = Spec { t, r, b, m, unit };
            assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
        }
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { t: 2, r: 2_097_153, b: 1, m: 2, unit: Unit::Sample }, 9));
}

/// Observations and scalars of a sample come from the same slot and environment.
#[test]
fn scalars_follow_the_order_of_the_gather() {
    for unit in [Unit::Sample, Unit::Environment] {
        in_order(unit);
    }
}

fn in_order(unit: Unit) {
    let (t, r, b, m) = (6, 2, 10, 30);
    let row: Vec<f64> = (0..7 * 2 * 10).map(f64::from).collect();
    let which = Minibatch { update: 1, epoch: 2, mb: 1 };
    let keys = [[1, 0], [1, 1]];
    let (mut mb_obs, mut mb_action) = (vec![0.0; 60], vec![0.0; 60]);
    let gather = minibatch_gather::Spec { t, r, b, o: 1, a: 1, m, unit, tail: 0 };
    minibatch_gather::minibatch_gather_cpu(
        &gather,
        which,
        &keys,
        &row,
        &row[..120],
        &mut mb_obs,
        &mut mb_action,
    );
    let mut scalars = vec![[0.0; 4]; 60];
    let n = &row[..120];
    minibatch_scalars_cpu(&Spec { t, r, b, m, unit }, which, &keys, n, n, n, &row, &mut scalars);
    for (s, o) in scalars.iter().zip(&mb_obs) {
        assert_eq!(*s, [*o; 4]);
    }
}
