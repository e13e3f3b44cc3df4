mod common;
use common::{assert_all, gpu_or_skip};
use isacbench::kernels::misac_batch::{
    Spec as BatchSpec, check_params, check_phases, check_states, state_of,
};
use isacbench::kernels::spatial_loss::{Args, Spec, check, spatial_loss_cpu};
use isacbench::shuffle::Minibatch;
use isacbench::task::misac::{MisacSpec, Phase, Uncertainty};

fn spec(r: usize, b: usize, k: usize, antennas: usize, phase: Phase, slots: usize, m: usize) -> Spec {
    let task = MisacSpec { vehicles: k, antennas, slots: 20, uncertainty: Uncertainty::Kinematic };
    Spec { batch: BatchSpec { r, b, task }, phase, slots, m, shuffled: true }
}

fn run(spec: Spec) {
    let Some(gpu) = gpu_or_skip() else { return };
    for shuffled in [false, true] {
        let spec = Spec { shuffled, ..spec };
        assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(spec(1, 1, 1, 2, Phase::Direct, 1, 1));
    run(spec(3, 7, 3, 17, Phase::Direct, 5, 11));
    run(spec(2, 5, 4, 64, Phase::Residual, 3, 15));
    run(spec(1, 3, 8, 256, Phase::Residual, 2, 2));
}

/// A minibatch of one slot in order is that slot, and the shuffled minibatches of an epoch are all samples once.
#[test]
fn minibatches_cover_the_rollout() {
    let ordered = Spec { shuffled: false, ..spec(2, 6, 2, 8, Phase::Direct, 4, 6) };
    let params = check_params(&ordered.batch, 3);
    let states: Vec<f64> =
        (0..4).flat_map(|slot| check_states(&ordered.batch, &params, slot)).map(f64::from).collect();
    let phases = vec![0.3; ordered.phases_len()];
    let gains = |spec: &Spec| {
        let mut all = Vec::new();
        for mb in 0..4 {
            let at =
                Args { which: Minibatch { update: 1, epoch: 0, mb }, clock: 40, state_off: 0, lambda: 1.0 };
            let (mut d, mut gain) = (vec![0.0; spec.phases_len()], vec![0.0; spec.gain_len()]);
            spatial_loss_cpu(spec, &at, &params, &states, &phases, &mut d, &mut gain);
            all.push(gain);
        }
        all
    };
    let in_order = gains(&ordered);
    // Slot 2 alone.
    let single = Spec { slots: 1, ..ordered };
    let at = Args {
        which: Minibatch { update: 1, epoch: 0, mb: 0 },
        clock: 42,
        state_off: 2 * ordered.batch.state_len(),
        lambda: 1.0,
    };
    let (mut d, mut gain) = (vec![0.0; single.phases_len()], vec![0.0; single.gain_len()]);
    spatial_loss_cpu(&single, &at, &params, &states, &phases, &mut d, &mut gain);
    assert_eq!(gain, in_order[2]);
    // The same gains in another order, replica by replica.
    let sorted = |all: Vec<Vec<f64>>, r: usize| {
        let mut own: Vec<f64> = all.iter().flat_map(|g| g[r * 12..(r + 1) * 12].to_vec()).collect();
        own.sort_by(f64::total_cmp);
        own
    };
    let shuffled = gains(&Spec { shuffled: true, ..ordered });
    assert_ne!(shuffled, in_order);
    for r in 0..2 {
        assert_eq!(sorted(shuffled.clone(), r), sorted(in_order.clone(), r));
    }
}

/// The gradient against central differences of −λ·mean gain in f64.
#[test]
fn gradient_is_that_of_the_loss() {
    for phase in [Phase::Direct, Phase::Residual] {
        let spec = spec(2, 3, 2, 9, phase, 2, 4);
        let params = check_params(&spec.batch, 3);
        let states: Vec<f64> =
            (0..2).flat_map(|slot| check_states(&spec.batch, &params, slot)).map(f64::from).collect();
        let at =
            Args { which: Minibatch { update: 1, epoch: 0, mb: 0 }, clock: 40, state_off: 0, lambda: 2.5 };
        let start = (0..8).map(|e| (e / 4, state_of(&spec.batch, &states, e / 4, e % 3)));
        let phases: Vec<f64> =
            check_phases(&spec.batch, phase, &params, start, 5).into_iter().map(f64::from).collect();
        let run = |phases: &[f64]| {
            let (mut d, mut gain) = (vec![0.0; spec.phases_len()], vec![0.0; spec.gain_len()]);
            spatial_loss_cpu(&spec, &at, &params, &states, phases, &mut d, &mut gain);
            (d, gain)
        };
        // The loss of a replica is −λ times the mean over its own samples and vehicles.
        let loss = |phases: &[f64]| {
            let per = 1.0 / (spec.m * 2) as f64;
            -2.5 * per * run(phases).1.iter().sum::<f64>()
        };
        let grad = run(&phases).0;
        let largest = grad.iter().fold(0.0f64, |a, g| a.max(g.abs()));
        assert!(largest > 1e-3, "the gradient is all but zero");
        for i in 0..phases.len() {
            let step = 1e-5;
            let mut moved = phases.clone();
            moved[i] += step;
            let up = loss(&moved);
            moved[i] -= 2.0 * step;
            let slope = (up - loss(&moved)) / (2.0 * step);
            // λ/(M·K·antennas²) is rounded to f32.
            assert!(
                (slope - grad[i]).abs() < 1e-6 * largest,
                "{phase:?}, phase {i}: {} against {slope}",
                grad[i]
            );
        }
    }
}
