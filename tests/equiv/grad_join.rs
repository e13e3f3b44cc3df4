use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::grad_join::{Spec, WG, check};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (r, p) in [(1, 1), (3, WG - 1), (1, WG), (2, WG + 1), (5, 37_009)] {
        assert_all(&format!("[{r},{p}]"), check(gpu, &Spec { r, p }, 7));
    }
}
