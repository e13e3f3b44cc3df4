use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::value_iteration::{Spec, check, ordered, solve_gpu, unordered};
use isacbench::tasks::misac::dp::Schedule;

fn run(r: usize, k: usize, age_max: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("[{r},{k},{age_max}]"), check(gpu, &Spec { r, k, age_max }, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1);
    run(3, 1, 63);
    run(2, 2, 10);
    run(1, 3, 10);
    run(2, 5, 4);
    run(1, 8, 2);
}

#[test]
fn ordered_bits_keep_the_order() {
    let x = [f32::NEG_INFINITY, -3.5e30, -1.0, -1e-38, -0.0, 0.0, 1e-38, 2.0, 2.0000002, 3e38];
    for pair in x.windows(2) {
        assert!(ordered(pair[0]) < ordered(pair[1]), "{pair:?}");
    }
    for x in x {
        assert_eq!(unordered(ordered(x)).to_bits(), x.to_bits());
    }
}

fn problem(snr_db: f64, vehicles: usize) -> Schedule {
    Schedule {
        // Vehicles that differ, so that no symmetry hides a mistaken index.
        beta: (0..vehicles)
            .map(|k| (0.055 + 0.165 * 10f64.powf(-snr_db / 20.0)) * (1.0 + 0.1 * k as f64))
            .collect(),
        e_vis_j: 10.0,
        e_recovery_j: 25.0,
        t_proc: 0,
        age_max: 10,
        lambda_j: 200.0,
        gamma_misa: 0.15,
    }
}

/// The optimum of every problem of a batch, as found in f64, and how far f32 comes.
#[test]
fn solution_is_that_of_f64() {
    let Some(gpu) = gpu_or_skip() else { return };
    let problems: Vec<Schedule> = [0.0, 10.0, 20.0]
        .iter()
        .enumerate()
        .map(|(i, snr)| Schedule { t_proc: i % 2, ..problem(*snr, 3) })
        .collect();
    // A tolerance below what f32 reaches: stops where the residual stops to fall.
    let got = solve_gpu(gpu, &problems, 0.0, 100_000).unwrap();
    for (s, got) in problems.iter().zip(&got) {
        let want = s.solve(1e-9, 100_000);
        println!(
            "cost {:.6} against {:.6} J, residual {:.1e} after {}",
            got.cost_j, want.cost_j, got.residual_j, got.iterations
        );
        assert!(got.iterations < 100_000, "the residual did not settle");
        assert!(got.residual_j < 1e-4, "residual {} J", got.residual_j);
        assert!((got.cost_j - want.cost_j).abs() < 1e-4, "{} against {}", got.cost_j, want.cost_j);
        let worst = got.values.iter().zip(&want.values).map(|(a, b)| (a - b).abs()).fold(0.0f64, f64::max);
        assert!(worst < 5e-3, "values differ by {worst} J");
        // What the decisions from these values cost over a multiple of every period up to 12.
        let mut ages = vec![0; 3];
        for _ in 0..500 {
            ages = s.next(&ages, &s.decide(&ages, &got.values));
        }
        let run = s.simulate(&ages, 27_720, |_, a| s.decide(a, &got.values));
        assert!((run.cost_j() - want.cost_j).abs() < 2e-3, "{} against {}", run.cost_j(), want.cost_j);
    }
}
