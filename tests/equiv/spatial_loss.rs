use crate::common::{assert_all, gpu_or_skip};
use isacbench::num::shuffle::Minibatch;
use isacbench::tasks::misac::kernels::misac_batch::{
    Spec as BatchSpec, check_params, check_phases, check_states, state_of,
};
use isacbench::tasks::misac::kernels::spatial_loss::{Args, Spec, check, spatial_loss_cpu};
use isacbench::tasks::misac::physics::{Choices, MisacSpec, Phase, Uncertainty};

fn spec(r: usize, b: usize, k: usize, antennas: usize, phase: Phase, slots: usize, m: usize) -> Spec {
    let (uncertainty, choices) = (Uncertainty::Kinematic, Choices::DEFAULT);
    let task = MisacSpec { vehicles: k, antennas, slots: 20, uncertainty, choices };
    Spec { batch: BatchSpec { r, b, task }, phase, slots, m }
}

fn run(spec: Spec) {
    let Some(gpu) = gpu_or_skip() else { return };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(spec(1, 1, 1, 2, Phase::Direct, 1, 1));
    run(spec(3, 7, 3, 17, Phase::Direct, 5, 10));
    run(spec(2, 5, 4, 64, Phase::Residual, 3, 15));
    run(spec(1, 3, 8, 256, Phase::Residual, 2, 2));
}

#[test]
fn every_choice() {
    for choices in Choices::EACH {
        let mut spec = spec(2, 5, 3, 16, Phase::Residual, 3, 15);
        spec.batch.task.choices = choices;
        run(spec);
    }
}

/// The minibatches of an epoch are all samples once, and a slot alone is its part of the whole.
#[test]
fn minibatches_cover_the_rollout() {
    let spec = Spec { m: 8, ..spec(2, 6, 2, 8, Phase::Direct, 4, 8) };
    let params = check_params(&spec.batch, 3);
    let states: Vec<f64> =
        (0..4).flat_map(|slot| check_states(&spec.batch, &params, slot)).map(f64::from).collect();
    let phases = vec![0.3; 2 * 24 * 16];
    let gains = |spec: &Spec, mb: u32, clock: u32, state_off: usize| {
        let which = Minibatch { update: 1, epoch: 0, mb };
        let at = Args { which, clock, clock_step: 5, state_off, lambda: 1.0 };
        let (mut d, mut gain) = (vec![0.0; spec.phases_len()], vec![0.0; spec.gain_len()]);
        spatial_loss_cpu(spec, &at, &params, &states, &phases, &mut d, &mut gain);
        gain
    };
    let sorted = |mut gains: Vec<f64>| {
        gains.sort_by(f64::total_cmp);
        gains
    };
    let whole = gains(&Spec { m: 24, ..spec }, 0, 40, 0);
    let parts: Vec<Vec<f64>> = (0..3).map(|mb| gains(&spec, mb, 40, 0)).collect();
    for r in 0..2 {
        let own: Vec<f64> = parts.iter().flat_map(|g| g[r * 16..(r + 1) * 16].to_vec()).collect();
        assert_ne!(own, whole[r * 48..(r + 1) * 48]);
        assert_eq!(sorted(own), sorted(whole[r * 48..(r + 1) * 48].to_vec()));
    }
    // Slot 2 alone.
    let single = gains(&Spec { slots: 1, m: 6, ..spec }, 0, 50, 2 * spec.batch.state_len());
    for r in 0..2 {
        assert_eq!(single[r * 12..(r + 1) * 12], whole[r * 48 + 24..r * 48 + 36]);
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
        let at = Args {
            which: Minibatch { update: 1, epoch: 0, mb: 0 },
            clock: 40,
            clock_step: 1,
            state_off: 0,
            lambda: 2.5,
        };
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
