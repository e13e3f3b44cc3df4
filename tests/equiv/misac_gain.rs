use crate::common::{assert_all, gpu_or_skip};
use isacbench::tasks::misac::kernels::misac_batch::Spec as BatchSpec;
use isacbench::tasks::misac::kernels::misac_gain::{Spec, WG, check};
use isacbench::tasks::misac::physics::{MisacSpec, Phase, Uncertainty};

fn run(r: usize, b: usize, vehicles: usize, antennas: usize, phase: Phase, uncertainty: Uncertainty) {
    let Some(gpu) = gpu_or_skip() else { return };
    let batch = BatchSpec { r, b, task: MisacSpec { vehicles, antennas, slots: 20, uncertainty } };
    assert_all(&format!("[{r},{b},{vehicles},{antennas}], {phase:?}"), check(gpu, &Spec { batch, phase }, 7));
}

#[test]
fn direct_phases() {
    run(1, 1, 1, 1, Phase::Direct, Uncertainty::Constant);
    run(3, WG / 4 + 1, 4, 64, Phase::Direct, Uncertainty::Constant);
    run(1, WG - 1, 3, 17, Phase::Direct, Uncertainty::Kinematic);
}

#[test]
fn residual_phases() {
    run(1, WG + 1, 1, 31, Phase::Residual, Uncertainty::Kinematic);
    run(3, 21, 3, 64, Phase::Residual, Uncertainty::Constant);
    run(1, 5, 8, 256, Phase::Residual, Uncertainty::Constant);
}
