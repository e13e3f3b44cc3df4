//! Every kernel of the registry has a bench case that runs, and what the case says to move is what its buffers hold.

#[path = "../../benches/performance/kernels/mod.rs"]
mod cases;

use crate::common::gpu_or_skip;
use isacbench::bench::DeviceKind;
use isacbench::bench::grid::{Grid, Kernels};
use isacbench::gpu::Gpu;
use isacbench::kernels::Entry;
use isacbench::tasks;
use isacbench::tasks::misac::physics::gain_row;

fn small() -> Kernels {
    Grid::Small.kernels(DeviceKind::SoftwareGpu)
}

/// Words of a case's buffers, each times how often the dispatch must move it: once, twice where it is updated in place,
/// and less where it touches a part only. None where what is touched is no number of whole buffers.
fn words(case: &cases::Case, stem: &str, at: Kernels) -> Option<usize> {
    let hidden = cases::HIDDEN;
    // The layer's weights out of all parameters, of every replica (and slice).
    let layer = at.r * hidden * (hidden + 1);
    let (a, vehicles) = (6, 4);
    let own = |label: &str, words: usize| match (stem, label) {
        ("v2x_step" | "misac_step", "final_obs") => 0,
        ("v2x_step" | "v2x_slots" | "v2x_rollout" | "misac_step", "state") => 2 * words,
        // The actor and its log-std; the observations behind ten slots, of twelve rows.
        ("v2x_rollout", "net") => at.r * (12 * hidden + hidden * hidden + hidden * a + 2 * hidden + 2 * a),
        ("v2x_rollout", "obs") => words / 12 * 10,
        ("v2x_reference", "memory") => 0,
        // Truth and last echo, without its variances and SINR.
        ("v2x_scene", "state") => words / 2,
        // What its scenes were made from.
        ("v2x_gradient", "state") => 0,
        ("activity_count" | "quantile_count", "counts") | ("grad_join", "grads") => 2 * words,
        // Errors of three vehicles behind the means.
        ("quantile_count", "metrics") => words / 22 * 9,
        ("metrics_accumulate" | "misac_accumulate", "episode") => 2 * words,
        // All rows but the one that no episode keeps.
        ("misac_accumulate", "gains") => words / gain_row::ROWS * (gain_row::ROWS - 1),
        // One step's divergence of each replica.
        ("kl_control", "means") => at.r,
        ("kl_control", "pace") => 2 * words,
        ("adam", "params" | "m" | "v") | ("polyak", "target") | ("lstm_backward", "dc") => 2 * words,
        ("readout_carried", "y" | "membrane") => 2 * words,
        ("dense_forward" | "dense_forward_f16" | "dense_backward_input" | "spike_forward", "params") => {
            match stem {
                "dense_backward_input" => layer - at.r * hidden,
                _ => layer,
            }
        }
        ("dense_backward_weights" | "spike_backward_weights", "partials") => at.s * layer,
        ("gaussian_head" | "ppo_policy_loss", "params") => at.r * a,
        ("joint_policy_loss", "params") => at.r * 64,
        ("joint_policy_loss", "outputs") => 2 * words,
        // Sharpnesses and centres of 120 neurons.
        ("population_forward" | "population_backward", "params") => at.r * 2 * 120,
        ("population_backward", "partials") => at.s * at.r * 2 * 120,
        // A loss reads the old log-probability and the advantage; the mean of advantages those alone; the value loss
        // the return.
        ("ppo_policy_loss" | "bernoulli_policy_loss" | "joint_policy_loss", "mb_scalars") => words / 2,
        ("advantage_stats" | "ppo_value_loss", "mb_scalars") => words / 4,
        // V(final_obs) is read where a slot was cut off.
        ("gae", "final_value") => 0,
        ("obs_mask", "obs") => words / (3 * vehicles) * vehicles,
        // The actions behind the observations.
        ("critic_input_backward", "x" | "dx") => words / (12 + a) * a,
        // Only what was chosen.
        ("td_loss", "q") => at.r * at.m * 3,
        _ => words,
    };
    match stem {
        // Samples are taken out of larger buffers, an entry out of a table, a row put into the replay.
        "minibatch_gather" | "minibatch_scalars" | "slot_gather" | "replay_gather" | "replay_write"
        | "misac_schedule" | "spatial_loss" => None,
        _ => Some(case.buffers.iter().map(|(label, bytes)| own(label, bytes / 4)).sum()),
    }
}

/// Whether the adapter cannot run it, with a printed line.
fn skipped(gpu: &Gpu, entry: &Entry) -> bool {
    let lacks = entry.lacks(gpu);
    lacks
        .inspect(|lacks| eprintln!("SKIPPED: {} lacks {lacks} for {}", gpu.info.name, entry.kernel))
        .is_some()
}

#[test]
fn least_bytes_are_those_of_the_buffers() {
    let Some(gpu) = gpu_or_skip() else { return };
    let (mut compared, mut differ) = (0, Vec::new());
    for entry in tasks::kernels() {
        let stem = entry.kernel;
        if skipped(gpu, entry) {
            continue;
        }
        let case = cases::build(Some(gpu), small(), stem).unwrap_or_else(|e| panic!("{stem}: {e}"));
        assert!(!case.buffers.is_empty() && case.cost.bytes > 0.0, "{stem}");
        let Some(words) = words(&case, stem, small()) else { continue };
        if case.cost.bytes != 4.0 * words as f64 {
            differ.push(format!(
                "{stem}: {} words by cost, {words} by {:?}",
                case.cost.bytes / 4.0,
                case.buffers
            ));
        }
        compared += 1;
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(compared, tasks::kernels().filter(|e| e.lacks(gpu).is_none()).count() - 7);
}

#[test]
fn every_kernel_has_a_case_that_runs() {
    let Some(gpu) = gpu_or_skip() else { return };
    for entry in tasks::kernels() {
        let stem = entry.kernel;
        let described = cases::build(None, small(), stem).expect("nothing is made without an adapter");
        if skipped(gpu, entry) {
            continue;
        }
        let case = cases::build(Some(gpu), small(), stem).unwrap_or_else(|e| panic!("{stem}: {e}"));
        assert_eq!((&case.sizes, case.cost), (&described.sizes, described.cost), "{stem}");
        let record = case.record.expect("there is an adapter");
        gpu.run(|pass| (0..2).for_each(|_| record(pass))).unwrap_or_else(|e| panic!("{stem}: {e}"));
    }
}
