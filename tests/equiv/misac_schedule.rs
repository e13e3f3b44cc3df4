use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::dp::Rule;
use isacbench::tasks::misac::kernels::misac_batch::Spec as BatchSpec;
use isacbench::tasks::misac::kernels::misac_schedule::{Spec, WG, check};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for rule in [Rule::Always, Rule::Never, Rule::Periodic, Rule::Table, Rule::Plan] {
        for (r, b, vehicles) in [(1, 1, 1), (3, WG - 1, 3), (1, WG, 4), (3, WG + 1, 2), (1, 257, 5)] {
            for choices in [Choices::DEFAULT, Choices { age_saturates: false, ..Choices::DEFAULT }] {
                let uncertainty = Uncertainty::Constant;
                let task = MisacSpec { vehicles, antennas: 64, slots: 20, uncertainty, choices };
                let spec = Spec { batch: BatchSpec { r, b, task }, rule, age_max: 10 };
                assert_all(&format!("{rule:?} [{r},{b},{vehicles}], {choices:?}"), check(gpu, &spec, 7));
            }
        }
    }
}
