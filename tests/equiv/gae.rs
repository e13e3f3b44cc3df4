use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::gae::{Spec, TERMINATED, TRUNCATED, WG, check, gae_cpu};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (t, r, b) in
        [(1, 1, 1), (2, 3, 1), (37, 1, WG - 1), (5, 1, WG), (200, 3, 7), (13, 2, WG + 1), (3, 5, 1009)]
    {
        assert_all(&format!("T={t} R={r} B={b}"), check(gpu, &Spec { t, r, b }, 7));
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { t: 1, r: 3, b: 65_536 * WG / 3 + 5 }, 9));
}

/// Worked by hand: γ = 1/2, λ = 1/2, reward scale 2, rewards 1, V = (4, 8, 16 | 32), V(final_obs) = 64.
fn by_hand(flags: [u32; 3]) -> Vec<f64> {
    let s = Spec { t: 3, r: 1, b: 1 };
    let (mut adv, mut ret) = (vec![0f64; 3], vec![0f64; 3]);
    gae_cpu(
        &s,
        &[1.0; 3],
        &[4.0, 8.0, 16.0, 32.0],
        &[64.0; 3],
        &flags,
        &[[0.5, 0.5, 2.0, 0.0]],
        &mut adv,
        &mut ret,
    );
    for ((r, a), v) in ret.iter().zip(&adv).zip([4.0, 8.0, 16.0]) {
        assert_eq!(*r, a + v);
    }
    adv
}

#[test]
fn ends_of_episodes_by_hand() {
    // No end: δ = (2+4−4, 2+8−8, 2+16−16) = (2, 2, 2); adv₂ = 2, adv₁ = 2 + 2/4, adv₀ = 2 + 2.5/4.
    assert_eq!(by_hand([0, 0, 0]), [2.625, 2.5, 2.0]);
    // Terminated in the middle: δ₁ = 2 − 8 and nothing of slot 2 comes through.
    assert_eq!(by_hand([0, TERMINATED, 0]), [0.5, -6.0, 2.0]);
    // Truncated in the middle: δ₁ = 2 + 32 − 8.
    assert_eq!(by_hand([0, TRUNCATED, 0]), [8.5, 26.0, 2.0]);
    // Both at once is a termination.
    assert_eq!(by_hand([0, TERMINATED | TRUNCATED, 0]), by_hand([0, TERMINATED, 0]));
    // Truncated in the last slot: V(final_obs), not the value behind the rollout.
    assert_eq!(by_hand([0, 0, TRUNCATED])[2], 18.0);
}
