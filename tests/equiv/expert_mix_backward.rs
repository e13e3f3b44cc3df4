use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::expert_mix::expert_mix_cpu;
use isacbench::kernels::expert_mix_backward::{Spec, WG, check, expert_mix_backward_cpu};

fn run(r: usize, m: usize, c: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{m},{c}]"), check(gpu, &Spec { r, m, c }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, WG - 1, 3);
    run(2, WG, 5);
    run(2, WG + 1, 260);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 65_536 * WG + 5, 1);
}

/// Central differences of Σ w·y in f64.
#[test]
fn gradients_are_the_slopes_of_the_mixture() {
    let spec = Spec { r: 1, m: 2, c: 3 };
    let x: Vec<f64> = (0..16).map(|i| ((i * 7) % 11) as f64 * 0.3 - 1.4).collect();
    let w: Vec<f64> = (0..6).map(|i| ((i * 5) % 7) as f64 * 0.2 - 0.5).collect();
    let gate = |x: &[f64]| [[x[0], x[1]], [x[2], x[3]]];
    let loss = |x: &[f64]| {
        let mut y = [0.0; 6];
        expert_mix_cpu(&spec, 2, &gate(x), &x[4..10], &x[10..], &mut y);
        y.iter().zip(&w).map(|(y, w)| y * w).sum::<f64>()
    };
    let (mut da, mut db, mut d_gate) = ([0.0; 6], [0.0; 6], [[0.0; 2]; 2]);
    expert_mix_backward_cpu(&spec, 2, &gate(&x), &x[4..10], &x[10..], &w, &mut da, &mut db, &mut d_gate);
    let grad = [d_gate.as_flattened(), &da, &db].concat();
    for (i, grad) in grad.iter().enumerate() {
        let moved = |by: f64| {
            let mut x = x.clone();
            x[i] += by;
            loss(&x)
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((slope - grad).abs() < 1e-9, "{i}: {grad} against {slope}");
    }
}
