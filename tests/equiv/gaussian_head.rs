use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::gaussian_head::{Spec, WG, check};

fn run(r: usize, b: usize, a: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for behind in [0, 2] {
        let what = format!("[{r},{b},{a}], behind {behind}");
        assert_all(&what, check(gpu, &Spec { r, b, a, p: a + 4, behind }, 7));
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, WG - 1, 3);
    run(1, WG, 4);
    run(3, WG + 1, 5);
    run(3, 257, 6);
    run(1, 31, 17);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1);
}
