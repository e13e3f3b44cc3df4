//! The heterogeneous mixture of task misac learns: in a short run its energy comes near the exact optimum of the
//! scheduling problem.

use isacbench::config::Layered;
use isacbench::learn::{Algorithm, Learner, UpdateMetrics};
use isacbench::nets::experts::Architecture;
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::misac::agents::{H_MOE, H_MOE_NO_AOI};
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::dp::Schedule;

const UPDATES: u32 = 50;
const SNR_DB: [f64; 2] = [10.0, 20.0];

/// Means per slot, in the order of the task's curve.
const REWARD: usize = 0;
const ENERGY: usize = 1;
const OVER_GAMMA: usize = 3;

/// [update][signal-to-noise ratio]
fn curve(architecture: Architecture, updates: u32, sets: &[&str]) -> Vec<Vec<UpdateMetrics>> {
    let small = [
        "temporal.envs=16",
        "temporal.minibatch_envs=4",
        "temporal.lr_policy=5e-3",
        "temporal.entropy_coef=0",
    ];
    let sets: Vec<String> = small.iter().chain(sets).map(|s| s.to_string()).collect();
    let config = MisacConfig::load(None, &sets).expect("a valid configuration");
    let spec = config.learner(architecture, config.typed_env(&SNR_DB.map(|snr_db| (snr_db, 1))));
    let algorithm = Algorithm::Experts(spec);
    let span = TrainingSpan { algorithm: &algorithm, updates, until: updates, log_every: 1 };
    let mut rows = Vec::new();
    let mut learner = Learner::new(&algorithm, &algorithm.start(), None).expect("the CPU has all memory");
    train(&span, &mut learner, 0, |_, m| rows.push(m.to_vec()), |_| true)
        .expect("the CPU has no device errors");
    rows
}

fn gain(u: &UpdateMetrics) -> f64 {
    u.beams.expect("experts learn beams").gain
}

/// Energy per slot of the exact optimum, J.
fn optimum(snr_db: f64) -> f64 {
    let config = MisacConfig::load(None, &[format!("task.snr_db={snr_db}")]).expect("valid");
    let t = &config.task;
    let problem = Schedule {
        beta: vec![t.beta(); t.vehicles],
        e_vis_j: t.e_vis_j,
        e_recovery_j: t.e_recovery_j,
        t_proc: t.t_proc_slots as usize,
        age_max: t.age_max_slots as usize,
        lambda_j: t.lambda_misa_j,
        gamma_misa: t.gamma_misa,
        realign: t.realign,
    };
    problem.solve(1e-7, 10_000).unwrap().cost_j
}

#[test]
fn the_schedule_comes_near_the_optimum_if_it_sees_the_ages() {
    let rows = curve(H_MOE, UPDATES, &["spatial.stride=20"]);
    let blind = curve(H_MOE_NO_AOI, UPDATES, &["spatial.stride=200"]);
    assert_eq!(rows.len(), UPDATES as usize);
    for (r, snr_db) in SNR_DB.into_iter().enumerate() {
        let (first, last, best) = (&rows[0][r], &rows[UPDATES as usize - 1][r], optimum(snr_db));
        let without = blind[UPDATES as usize - 1][r].slots[ENERGY];
        println!(
            "{snr_db} dB: {:.2} -> {:.2} J, optimum {best:.2} J, without ages {:.2} J",
            first.slots[ENERGY], last.slots[ENERGY], without
        );
        // Slots of the first few ages of an episode are cheaper than the average over an endless one, by less than 1 %.
        let energy = last.slots[ENERGY];
        assert!(energy > 0.99 * best, "below the optimum: {energy} of {best}");
        assert!(energy < 1.03 * best, "{energy} of {best}");
        assert!(last.slots[OVER_GAMMA] < 0.5 * first.slots[OVER_GAMMA]);
        assert!(last.slots[REWARD] > first.slots[REWARD] && last.entropy < 0.5 * first.entropy);
        // Who does not see the ages cannot tell which vehicle has waited: no better than one coin for all.
        assert!(without > 1.15 * best);
    }
}

#[test]
fn direct_phases_learn_from_l_spat_alone() {
    let sets = [
        "spatial.phase=direct",
        "spatial.stride=2",
        "spatial.lr=3e-3",
        "spatial.output_gain=1.0",
        "temporal.epochs=1",
    ];
    let rows = curve(H_MOE, 20, &sets);
    for r in 0..2 {
        let (first, last) = (gain(&rows[0][r]), gain(&rows[19][r]));
        println!("gain {first:.4} -> {last:.4}");
        // Random phases reach 1/M = 0.016 in the mean over channels.
        assert!(first < 0.03, "{first}");
        assert!(last > 2.0 * first, "{first} -> {last}");
    }
}
