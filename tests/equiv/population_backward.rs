use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::inputs::{normal, widen};
use isacbench::kernels::population_backward::{Args, Spec, check, population_backward_cpu};
use isacbench::kernels::population_forward::{self, population_forward_cpu};

fn of(r: usize, m: usize, o: usize, fields: usize) -> population_forward::Spec {
    population_forward::Spec { r, m, o, fields, p: 2 * o * fields + 3, gain: 4.0 }
}

fn run(r: usize, m: usize, o: usize, fields: usize, slices: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(
        &format!("[{r},{m},{o},{fields}] in {slices}"),
        check(gpu, &Spec { of: of(r, m, o, fields), slices }, 7),
    );
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1);
    // Slices without a row, of a row, and of more than a workgroup takes at once.
    run(2, 3, 5, 3, 7);
    run(3, 31, 4, 8, 4);
    run(2, 517, 13, 10, 5);
    run(1, 9, 12, 64, 2);
}

/// Central differences of Σ c·i by every sharpness and centre.
#[test]
fn the_gradient_is_the_difference() {
    let (r, m) = (2, 5);
    let spec = Spec { of: of(r, m, 3, 4), slices: 2 };
    let (n, p) = (12, spec.of.p);
    let (at, back) = (
        population_forward::Args { m, w_off: 1, b_off: 1 + n, x_off: 0 },
        Args { m, w_off: 1, b_off: 1 + n },
    );
    let [params, x, c] =
        [(0, r * p), (1, r * m * 3), (2, r * m * n)].map(|(k, len)| widen(&normal(3, k, len, 0.8)));
    let currents = |params: &[f64]| {
        let mut i = vec![f64::NAN; r * m * n];
        population_forward_cpu(&spec.of, &at, params, &x, &mut i);
        i
    };
    let mut partials = vec![0.0; 2 * r * p];
    population_backward_cpu(&spec, &back, &params, &x, &currents(&params), &c, &mut partials);
    for e in (0..r * p).filter(|e| (1..1 + 2 * n).contains(&(e % p))) {
        let loss = |step: f64| {
            let mut moved = params.clone();
            moved[e] += step;
            currents(&moved).iter().zip(&c).map(|(i, c)| i * c).sum::<f64>()
        };
        let (want, got) = ((loss(1e-5) - loss(-1e-5)) / 2e-5, partials[e] + partials[r * p + e]);
        assert!((got - want).abs() < 1e-8 * (1.0 + want.abs()), "parameter {e}: {got} against {want}");
    }
}
