use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::kernels::misac_reset::{Spec, WG, check};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

fn run(r: usize, b: usize, vehicles: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let task = MisacSpec {
        vehicles,
        antennas: 64,
        slots: 20,
        uncertainty: Uncertainty::Constant,
        choices: Choices::DEFAULT,
    };
    assert_all(&format!("[{r},{b},{vehicles}]"), check(gpu, &Spec { r, b, task }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, WG - 1, 3);
    run(1, WG, 4);
    run(3, WG + 1, 5);
    run(1, 257, 8);
}
