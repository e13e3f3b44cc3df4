use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::population_forward::{Args, DEFAULT, Spec, WG, check, population_forward_cpu};

fn run(r: usize, m: usize, o: usize, fields: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { r, m, o, fields, p: 2 * o * fields + 3, ..DEFAULT };
    assert_all(&format!("[{r},{m},{o},{fields}]"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1);
    run(3, 7, 5, 3);
    run(2, WG - 1, 1, 9);
    run(2, 31, 13, 10);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 + 5, 8, 8);
}

/// Two inputs of two neurons each: at the centre of a field, one and two widths from it, and far outside.
#[test]
fn currents_by_hand() {
    let spec = Spec { r: 1, m: 1, o: 2, fields: 2, p: 8, gain: 4.0 };
    let at = Args { m: 1, w_off: 0, b_off: 4, x_off: 0 };
    let mut current = [f64::NAN; 4];
    // Sharpnesses, then centres.
    let params = [1.0, 2.0, 4.0, 1.0, 0.5, -0.5, 0.5, 100.0];
    population_forward_cpu(&spec, &at, &params, &[0.5, 1.0], &mut current);
    let want = [4.0, 4.0 * (-2.0f64).exp(), 4.0 * (-2.0f64).exp(), 0.0];
    assert!(current.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15), "{current:?}");
}
