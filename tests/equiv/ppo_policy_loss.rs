use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::ppo_policy_loss::{Hyper, Spec, WG, check, ppo_policy_loss_cpu};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (r, m, a, p, ls_off) in [
        (1, 1, 1, 1, 0),
        (3, 1, 2, 7, 3),
        (1, 1009, 6, 6, 0),
        (1, WG - 1, 6, 17, 11),
        (3, WG, 3, 5, 1),
        (1, WG + 1, 7, 8, 1),
        (5, 397, 16, 40, 24),
    ] {
        assert_all(&format!("R={r} M={m} A={a} P={p}"), check(gpu, &Spec { r, m, a, p, ls_off }, 7));
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { r: 1, m: 65_536 * WG + 5, a: 1, p: 2, ls_off: 1 }, 9));
}

/// One action, std 1, mean 0, action 1, so z = 1 and d logp / d mean = 1; ratio and advantage choose the branch.
#[test]
fn clip_branches_by_hand() {
    let gradient = |ratio: f64, adv: f64| {
        let s = Spec { r: 1, m: 1, a: 1, p: 1, ls_off: 0 };
        let logp = -0.5 - 0.918_938_533_204_672_7;
        let (mut d_mean, mut terms) = ([0.0], [0.0; 5]);
        let hyper = [Hyper { clip_eps: 0.2, ent_coef: 0.25 }];
        let scalars = [[logp - ratio.ln(), adv, f64::NAN, f64::NAN]];
        ppo_policy_loss_cpu(
            &s,
            &hyper,
            &[0.0],
            &[0.0],
            &[1.0],
            &scalars,
            &[[0.0, 1.0]],
            &mut d_mean,
            &mut terms,
        );
        assert!((terms[0] + 0.25).abs() < 1e-15, "z² = 1: log_std feels the entropy only");
        assert!((terms[2] - (ratio - 1.0 - ratio.ln())).abs() < 1e-15);
        assert!((terms[4] - (1.418_938_533_204_672_7)).abs() < 1e-15);
        (d_mean[0], terms[1], terms[3])
    };
    let near = |got: (f64, f64, f64), want: (f64, f64, f64)| {
        assert!(
            (got.0 - want.0).abs() < 1e-14 && (got.1 - want.1).abs() < 1e-14 && got.2 == want.2,
            "{got:?}, not {want:?}"
        );
    };
    near(gradient(1.1, 2.0), (-2.2, -2.2, 0.0));
    near(gradient(1.5, 2.0), (0.0, -2.4, 1.0));
    near(gradient(1.5, -2.0), (3.0, 3.0, 1.0));
    near(gradient(0.5, 2.0), (-1.0, -1.0, 1.0));
    near(gradient(0.5, -2.0), (0.0, 1.6, 1.0));
}
