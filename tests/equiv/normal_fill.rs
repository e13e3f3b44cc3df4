use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::normal_fill::{Spec, WG, check, normal_fill_cpu};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for blocks in [1, WG - 1, WG, WG + 1, 4099] {
        assert_all(&format!("{blocks} blocks"), check(gpu, &Spec { blocks }, 7));
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("folded", check(gpu, &Spec { blocks: 65_536 * WG + 5 }, 9));
}

#[test]
fn moments_are_those_of_a_normal() {
    const N: usize = 1 << 18;
    let mut z = vec![[0f64; 4]; N / 4];
    normal_fill_cpu(&[0, 0, 0, 0, 3, 4], &mut z);
    let moment = |k: i32| z.as_flattened().iter().map(|x| x.powi(k)).sum::<f64>() / N as f64;
    // Standard errors of the moments are sqrt(1, 2, 15, 96)/√N; five of them.
    for (k, want, spread) in [(1, 0.0, 1.0f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        assert!((moment(k) - want).abs() < 5.0 * (spread / N as f64).sqrt(), "moment {k} is {}", moment(k));
    }
}
