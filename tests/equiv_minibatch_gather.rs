mod common;
use common::{assert_all, gpu_or_skip};
use isacbench::kernels::minibatch_gather::{Spec, WG, check, minibatch_gather_cpu};
use isacbench::shuffle::Minibatch;

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
        assert_all(
            &format!("T={t} R={r} B={b} O={o} A={a} M={m}"),
            check(gpu, &Spec { t, r, b, o, a, m }, 7),
        );
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { t: 1, r: 65_537, b: 2, o: 2, a: 1, m: 1 }, 9));
}

/// The minibatches of an epoch are a partition of the rollout's samples, each with its own replica's rows.
#[test]
fn an_epoch_visits_every_sample_once() {
    let s = Spec { t: 6, r: 2, b: 10, o: 1, a: 1, m: 20 };
    let obs: Vec<f64> = (0..7 * 2 * 10).map(f64::from).collect();
    let mut seen = Vec::new();
    for mb in 0..3 {
        let (mut mb_obs, mut mb_action) = (vec![0.0; 40], vec![0.0; 40]);
        let which = Minibatch { update: 1, epoch: 2, mb };
        minibatch_gather_cpu(&s, which, &[[1, 0], [1, 1]], &obs, &obs[..120], &mut mb_obs, &mut mb_action);
        assert_eq!(mb_obs, mb_action, "both are gathered from the same rows");
        for (i, row) in mb_obs.iter().enumerate() {
            assert_eq!(*row as usize / 10 % 2, i / 20, "row {row} at {i} belongs to the other replica");
        }
        seen.extend(mb_obs);
    }
    seen.sort_by(f64::total_cmp);
    assert_eq!(seen, obs[..120]);
}
