use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::critic_input::WG;
use isacbench::kernels::critic_input_backward::{Spec, check};

fn run(r: usize, m: usize, o: usize, a: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("R={r} M={m} O={o} A={a}"), check(gpu, &Spec { r, m, o, a }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1);
    run(3, WG - 1, 12, 6);
    run(1, WG, 12, 195);
    run(3, WG + 1, 5, 2);
    run(2, 257, 4, 3);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1, 1);
}
