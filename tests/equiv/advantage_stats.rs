use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::advantage_stats::{Spec, WG, advantage_stats_cpu, check};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (r, m) in [(1, 1), (3, 2), (1, 1009), (3, WG - 1), (2, WG), (1, WG + 1), (2, 20_011), (1000, 3)] {
        // Every size is compiled anew; what is divided by shows at any.
        let ways: &[_] = if m <= 3 { &[(true, true), (false, true), (true, false)] } else { &[(true, true)] };
        for &(unbiased, normalise) in ways {
            assert_all(
                &format!("R={r} M={m} unbiased {unbiased} normalise {normalise}"),
                check(gpu, &Spec { r, m, unbiased, normalise }, 7),
            );
        }
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { r: 65_537, m: 3, unbiased: true, normalise: true }, 9));
}

#[test]
fn spread_by_hand() {
    let stats = |adv: &[f64], unbiased, normalise| {
        let scalars: Vec<_> = adv.iter().map(|&a| [9.0, a, 9.0, 9.0]).collect();
        let mut out = [[0.0; 2]];
        advantage_stats_cpu(&Spec { r: 1, m: adv.len(), unbiased, normalise }, &scalars, &mut out);
        out[0]
    };
    // 1, 3, 5, 7: squares about 4 sum to 20.
    assert_eq!(stats(&[1.0, 3.0, 5.0, 7.0], false, true), [4.0, 1.0 / (5f64.sqrt() + 1e-8)]);
    assert_eq!(stats(&[1.0, 3.0, 5.0, 7.0], true, true), [4.0, 1.0 / ((20f64 / 3.0).sqrt() + 1e-8)]);
    assert_eq!(stats(&[1.0, 3.0, 5.0, 7.0], true, false), [0.0, 1.0]);
    // One sample: its normalised advantage is (a − a)/1e-8 = 0, not NaN.
    let [mean, inverse] = stats(&[2.5], true, true);
    assert!(mean == 2.5 && (2.5 - mean) * inverse == 0.0);
}
