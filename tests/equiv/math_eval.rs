use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::math_eval::{FUNCTIONS, Function, Spec, WG, check, check_all};

#[test]
fn every_function_keeps_its_stated_error() {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all("200,003 arguments each", check_all(gpu, 200_003, 3));
}

#[test]
fn awkward_sizes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for n in [1, WG - 1, WG, WG + 1, 4099] {
        // Few arguments say nothing about a share of equal bits, so tanh is left to the test above.
        for function in FUNCTIONS.into_iter().filter(|f| *f != Function::Tanh) {
            assert_all(&format!("{n} arguments"), check(gpu, &Spec { function, n }, 7));
        }
    }
}
