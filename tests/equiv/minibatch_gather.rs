use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::minibatch_gather::{Spec, WG, check, minibatch_gather_cpu};
use isacbench::num::shuffle::{Minibatch, Unit};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (t, r, b, o, a, m) in [
        (1, 1, 1, 1, 1, 1),
        (7, 1, 11, 12, 6, 77),
        (5, 3, 2 * WG, 12, 6, WG - 1),
        (4, 1, WG, 3, 1, WG),
        (3, 2, 101, 5, 2, WG + 1),
        (2, 3, 1009, 70, 3, 1009),
    ] {
        let spec = Spec { t, r, b, o, a, m, unit: Unit::Sample, tail: 0 };
        assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
        let spec = Spec { m: m.div_ceil(t) * t, unit: Unit::Environment, tail: m % 5, ..spec };
        assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { t: 1, r: 65_537, b: 2, o: 2, a: 1, m: 1, unit: Unit::Sample, tail: 0 };
    assert_all("folded", check(gpu, &spec, 9));
}

/// The minibatches of an epoch are a partition of the rollout's samples, each with its own replica's rows; whole
/// environments come slot by slot, in the same order in every slot.
#[test]
fn an_epoch_visits_every_sample_once() {
    let obs: Vec<f64> = (0..7 * 2 * 10).map(f64::from).collect();
    for (unit, tail) in [(Unit::Sample, 0), (Unit::Environment, 3)] {
        let s = Spec { t: 6, r: 2, b: 10, o: 1, a: 1, m: 30, unit, tail };
        let mut seen = Vec::new();
        for mb in 0..2 {
            let (mut mb_obs, mut mb_action) = (vec![-1.0; 2 * (30 + tail)], vec![0.0; 60]);
            let which = Minibatch { update: 1, epoch: 2, mb };
            minibatch_gather_cpu(
                &s,
                which,
                &[[1, 0], [1, 1]],
                &obs,
                &obs[..120],
                &mut mb_obs,
                &mut mb_action,
            );
            let own: Vec<f64> = mb_obs.chunks(30 + tail).flat_map(|rows| rows[..30].to_vec()).collect();
            assert_eq!(own, mb_action, "both are gathered from the same rows");
            assert!(mb_obs.chunks(30 + tail).all(|rows| rows[30..].iter().all(|x| *x == -1.0)));
            for (i, row) in own.iter().enumerate() {
                assert_eq!(*row as usize / 10 % 2, i / 30, "row {row} at {i} belongs to the other replica");
                if unit == Unit::Environment {
                    let first = own[i / 30 * 30 + i % 5];
                    assert_eq!(*row, first + 20.0 * (i % 30 / 5) as f64, "{i}: another slot or environment");
                }
            }
            seen.extend(own);
        }
        seen.sort_by(f64::total_cmp);
        assert_eq!(seen, obs[..120]);
    }
}
