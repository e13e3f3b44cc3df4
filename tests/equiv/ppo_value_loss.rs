use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::ppo_value_loss::{Hyper, Spec, WG, check, ppo_value_loss_cpu};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (r, m, tail) in
        [(1, 1, 0), (3, 1, 2), (1, 1009, 0), (1, WG - 1, 1), (3, WG, WG), (1, WG + 1, 0), (5, 397, 3)]
    {
        assert_all(&format!("R={r} M={m}, {tail} behind"), check(gpu, &Spec { r, m, tail, clip: true }, 7));
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { r: 3, m: 65_536 * WG / 3 + 5, tail: 1, clip: true }, 9));
}

#[test]
fn clip_branches_by_hand() {
    let loss = |v: f64, old: f64, ret: f64, clip_eps: Option<f64>| {
        let (mut d, mut term) = ([0.0], [0.0]);
        let hyper = [Hyper { vf_coef: 0.5, clip_eps: clip_eps.unwrap_or(f64::NAN) }];
        ppo_value_loss_cpu(
            &Spec { r: 1, m: 1, tail: 0, clip: clip_eps.is_some() },
            &hyper,
            &[v],
            &[[f64::NAN, f64::NAN, ret, old]],
            &mut d,
            &mut term,
        );
        (d[0], term[0])
    };
    assert_eq!(loss(3.0, 1.0, 1.0, None), (1.0, 2.0));
    // Held at 1.5, nearer to the return: the free branch is larger.
    assert_eq!(loss(3.0, 1.0, 1.0, Some(0.5)), (1.0, 2.0));
    // Held at 1.5, further from the return 3: the held branch is larger and constant.
    assert_eq!(loss(3.0, 1.0, 3.0, Some(0.5)), (0.0, 1.125));
    // Inside the clip range.
    assert_eq!(loss(1.25, 1.0, 3.25, Some(0.5)), (-1.0, 2.0));
}
