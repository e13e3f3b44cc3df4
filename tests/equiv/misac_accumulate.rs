use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::kernels::misac_accumulate::{Spec, WG, check};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (r, b, vehicles) in [(1, 1, 1), (3, WG - 1, 3), (1, WG, 4), (3, WG + 1, 2), (2, 257, 8)] {
        let task = MisacSpec {
            vehicles,
            antennas: 64,
            slots: 20,
            uncertainty: Uncertainty::Constant,
            choices: Choices::DEFAULT,
        };
        assert_all(&format!("[{r},{b},{vehicles}]"), check(gpu, &Spec { r, b, task }, 7));
    }
}
