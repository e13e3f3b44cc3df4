use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::philox_fill::{Spec, WG, check};

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
