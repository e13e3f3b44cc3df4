//! Learning task misac on the GPU against the CPU: same specification, same start, same draws; determinism, isolation
//! of the experts, and whole learning curves.
//!
//! The first gradient is compared as such (the first moment of Adam is (1−β1)·clipped gradient).

use crate::common::shared_gpu;
use isacbench::config::Layered;
use isacbench::gpu::Gpu;
use isacbench::kernels::Tol;
use isacbench::kernels::compare::compare_f64;
use isacbench::learn::{Algorithm, BeamUpdate, Experts, ExpertsSpec, Learner, LearnerState, UpdateMetrics};
use isacbench::nets::experts::Architecture;
use isacbench::num::stats;
use isacbench::run::train::{TrainingSpan, train};
use isacbench::tasks::misac::agents::{H_MOE, H_MOE_NO_AOI, HOMOGENEOUS_MOE, PPO_MONO};
use isacbench::tasks::misac::config::MisacConfig;
use std::sync::Arc;

/// Small, with sizes that are no multiples of anything; the number of slots that enter L_spat differs between updates.
const SMALL: [&str; 11] = [
    "task.vehicles=3",
    "task.antennas=7",
    "task.slots=12",
    "temporal.hidden=9",
    "temporal.trunk=[10, 7]",
    "temporal.critic=[11]",
    "temporal.envs=10",
    "temporal.minibatch_envs=5",
    "temporal.epochs=2",
    "spatial.hidden=[13, 6]",
    "spatial.stride=5",
];

/// (seed, RF SNR in dB): replicas that differ in everything replicas can differ in.
const TWO: [(u32, f64); 2] = [(3, 10.0), (11, 0.0)];

fn spec(architecture: Architecture, sets: &[&str], who: &[(u32, f64)]) -> ExpertsSpec {
    let sets: Vec<String> = SMALL.iter().chain(sets).map(|s| s.to_string()).collect();
    let config = MisacConfig::load(None, &sets).unwrap();
    let replicas: Vec<_> = who.iter().map(|&(seed, snr_db)| (snr_db, seed)).collect();
    config.learner(architecture, config.typed_env(&replicas))
}

fn continued(
    spec: &ExpertsSpec,
    start: &LearnerState,
    until: u32,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    let mut seen = Vec::new();
    let algorithm = Algorithm::Experts(spec.clone());
    let span = TrainingSpan { algorithm: &algorithm, updates, until, log_every: 1 };
    let mut learner = Learner::new(&algorithm, start, gpu).unwrap();
    let see = |_, m: &[UpdateMetrics]| seen.push(m.to_vec());
    let state = train(&span, &mut learner, start.updates, see, |_| true).unwrap();
    (state, seen)
}

fn trained(
    spec: &ExpertsSpec,
    updates: u32,
    gpu: Option<&Arc<Gpu>>,
) -> (LearnerState, Vec<Vec<UpdateMetrics>>) {
    continued(spec, &spec.start(), updates, updates, gpu)
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Everything of an update in a form that compares NaN as equal.
fn words(updates: &[Vec<UpdateMetrics>]) -> Vec<String> {
    updates.iter().map(|u| format!("{u:?}")).collect()
}

fn assert_same_bits(what: &str, a: &LearnerState, b: &LearnerState) {
    assert_eq!((a.adam_steps, a.updates), (b.adam_steps, b.updates), "{what}: progress");
    for (name, a, b) in [("params", &a.params, &b.params), ("m", &a.m, &b.m), ("v", &a.v, &b.v)] {
        assert!(a.iter().all(|x| x.is_finite()), "{what}: {name} not finite");
        assert_eq!(bits(a), bits(b), "{what}: {name}");
    }
}

/// Moments after one step of every optimiser.
fn first_step(what: &str, spec: &ExpertsSpec, cpu: &LearnerState, gpu: &LearnerState) {
    let (p, start) = (spec.params(), spec.start());
    for r in 0..spec.replicas() {
        for (group, range) in ["scheduler", "critic", "phases"].iter().zip(spec.layout.groups()) {
            if range.is_empty() {
                continue;
            }
            let of = |all: &[f32]| wide(&all[r * p..(r + 1) * p][range.clone()]);
            let (want, got) = (of(&cpu.m), of(&gpu.m));
            let size = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(size > 0.0, "{what}, replica {r}: no gradient in the {group}");
            let tol = Tol {
                abs: 2e-5 * size,
                rel: 0.0,
                why: "of the largest gradient: sums in another order, rounded rollouts",
            };
            let c = compare_f64(&format!("{what}, replica {r}, gradient of the {group}"), &got, &want, tol);
            println!("{}: {:.1e} of the largest", c.quantity, c.max_abs_err / size);
            assert!(c.passed(), "{c:?}");
            assert_ne!(of(&gpu.params), of(&start.params), "{what}, replica {r}: the {group} did not move");
        }
    }
}

fn beams(u: &UpdateMetrics) -> BeamUpdate {
    u.beams.expect("experts learn beams")
}

/// `loose` = 1 in the first update; the steps of Adam that follow differ where gradients are tiny.
fn metrics_agree(what: &str, cpu: &UpdateMetrics, gpu: &UpdateMetrics, loose: f64) {
    // Advantages weigh log-probabilities, which are about as large as the entropy.
    let weighed = 2e-6 * (cpu.entropy / 4.0).max(1.0);
    #[rustfmt::skip]
    let rows = [
        ("reward", cpu.slots[0], gpu.slots[0], 1e-5, 1e-6),
        ("energy", cpu.slots[1], gpu.slots[1], 1e-5, 1e-6),
        ("L_BMP", cpu.slots[2], gpu.slots[2], 1e-7, 2e-6),
        ("share over Γ", cpu.slots[3], gpu.slots[3], 1e-7, 0.0),
        ("beam gain", beams(cpu).gain, beams(gpu).gain, 1e-6, 1e-5),
        ("policy loss", cpu.policy_loss, gpu.policy_loss, weighed, 2e-5),
        ("value loss", cpu.value_loss, gpu.value_loss, 0.0, 1e-5),
        ("entropy", cpu.entropy, gpu.entropy, 0.0, 2e-6),
        ("policy norm", cpu.grad_norm_actor, gpu.grad_norm_actor, 0.0, 5e-5),
        ("critic norm", cpu.grad_norm_critic, gpu.grad_norm_critic, 0.0, 5e-5),
        ("spatial norm", beams(cpu).grad_norm, beams(gpu).grad_norm, 0.0, 5e-5),
        ("cosine", beams(cpu).cosine, beams(gpu).cosine, 2e-5, 0.0),
    ];
    for (name, cpu, gpu, abs, rel) in rows {
        if cpu.is_nan() {
            assert!(gpu.is_nan(), "{what}, {name}: GPU {gpu} where the CPU has none");
            continue;
        }
        let (err, budget) = ((gpu - cpu).abs(), loose * (abs + rel * cpu.abs()));
        println!("{what}, {name}: {cpu:.7}, differs by {err:.1e}, {:.2} of the budget", err / budget);
        assert!(err <= budget, "{what}, {name}: GPU {gpu}, CPU {cpu}, allowed ±{budget:e}");
    }
}

/// Two updates on both.
fn same_updates(what: &str, architecture: Architecture, sets: &[&str], who: &[(u32, f64)]) {
    let Some(gpu) = shared_gpu() else { return };
    let spec = spec(architecture, sets, who);
    let algorithm = Algorithm::Experts(spec.clone());
    let mut both: [Box<dyn Experts>; 2] =
        [None, Some(gpu)].map(|gpu| match Learner::new(&algorithm, &spec.start(), gpu).unwrap() {
            Learner::Experts(x) => x,
            _ => unreachable!("a learner is made of its algorithm"),
        });
    let lr = spec.learning_rates(0, 3);
    let [cpu, on_gpu] = both.each_mut().map(|l| {
        l.rollout(0).unwrap();
        l.advantages().unwrap();
        l.minibatch(0, 0, 0, &lr).unwrap();
        if spec.layout.isolated() {
            l.spatial(0, &lr).unwrap();
        }
        l.state(0).unwrap()
    });
    first_step(what, &spec, &cpu, &on_gpu);
    for update in 0..2 {
        let [cpu, on_gpu] = both.each_mut().map(|l| {
            let lr = spec.learning_rates(update, 3);
            if update > 0 {
                l.rollout(update).unwrap();
                l.advantages().unwrap();
            }
            let steps =
                (0..spec.epochs() as u32).flat_map(|e| (0..spec.minibatches() as u32).map(move |mb| (e, mb)));
            for (epoch, mb) in steps.skip(usize::from(update == 0)) {
                l.minibatch(update, epoch, mb, &lr).unwrap();
            }
            if update > 0 && spec.layout.isolated() {
                l.spatial(update, &lr).unwrap();
            }
            l.finish(true).unwrap().unwrap()
        });
        for (r, (cpu, on_gpu)) in cpu.iter().zip(&on_gpu).enumerate() {
            let loose = if update == 0 { 1.0 } else { 100.0 };
            metrics_agree(&format!("{what}, update {update}, replica {r}"), cpu, on_gpu, loose);
        }
    }
}

#[test]
fn ppo_two_replicas() {
    same_updates("h-moe", H_MOE, &[], &TWO);
}

#[test]
fn without_ages_and_phases_as_printed() {
    let sets = ["spatial.phase=\"direct\"", "spatial.output_gain=0.5", "task.uncertainty=\"kinematic\""];
    same_updates("h-moe-no-aoi", H_MOE_NO_AOI, &sets, &TWO);
}

/// Algorithm 1: one step over all environments; advantages as they are; no clipping.
#[test]
fn a2c_advantages_as_they_are() {
    let sets = [
        "temporal.algorithm=\"a2c\"",
        "temporal.normalise_advantages=false",
        "temporal.max_grad_norm=0",
        "spatial.max_grad_norm=0",
        "spatial.stride=1",
    ];
    same_updates("a2c", H_MOE, &sets, &TWO[..1]);
}

/// Gradients through the LSTM are cut within the episode of 12 slots, or not at all.
#[test]
fn cut_sequences() {
    same_updates("h-moe, T_seq 5", H_MOE, &["temporal.t_seq=5"], &TWO);
    let params = |t_seq: usize, gpu| {
        trained(&spec(H_MOE, &[&format!("temporal.t_seq={t_seq}")], &TWO), 1, gpu).0.params
    };
    for gpu in [None, shared_gpu()] {
        let whole = params(0, gpu);
        assert_eq!(bits(&whole), bits(&params(12, gpu)));
        assert_ne!(bits(&whole), bits(&params(5, gpu)));
    }
}

/// Both losses through one trunk.
#[test]
fn shared_trunk() {
    same_updates("ppo-mono", PPO_MONO, &[], &TWO);
}

/// Phases that are drawn, in one ratio with the cameras; L_spat is compared only.
#[test]
fn drawn_phases() {
    let sets = ["temporal.mono_phases=gaussian", "temporal.entropy_coef=0.01"];
    same_updates("ppo-mono, drawn", PPO_MONO, &sets, &TWO);
    let a2c = [&sets[..], &["temporal.algorithm=a2c", "spatial.phase=direct", "task.vehicles=5"]].concat();
    same_updates("ppo-mono, drawn, a2c", PPO_MONO, &a2c, &TWO[..1]);
}

/// Both losses through two experts and their gate, which is far from its start.
#[test]
fn gated_experts() {
    let sets = ["temporal.head_gain=0.7", "spatial.output_gain=0.7", "spatial.phase=\"direct\""];
    same_updates("homogeneous-moe", HOMOGENEOUS_MOE, &sets, &TWO);
    let a2c = ["temporal.algorithm=\"a2c\"", "spatial.stride=1"];
    same_updates("homogeneous-moe, a2c", HOMOGENEOUS_MOE, &a2c, &TWO[..1]);
}

/// More rows than a workgroup and a slice of the weight gradients hold.
#[test]
fn many_environments() {
    same_updates(
        "many",
        H_MOE,
        &["temporal.envs=141", "temporal.minibatch_envs=47", "temporal.epochs=1"],
        &TWO,
    );
}

#[test]
fn same_bits_twice_and_alone() {
    let Some(gpu) = shared_gpu() else { return };
    for (architecture, algorithm) in
        [(H_MOE, "ppo"), (H_MOE_NO_AOI, "a2c"), (HOMOGENEOUS_MOE, "ppo"), (PPO_MONO, "ppo")]
    {
        let algorithm = format!("temporal.algorithm=\"{algorithm}\"");
        let drawn = "temporal.mono_phases=gaussian";
        let of = |who: &[(u32, f64)]| spec(architecture, &[&algorithm, drawn], who);
        let (together, metrics) = trained(&of(&TWO), 2, Some(gpu));
        let (again, metrics_again) = trained(&of(&TWO), 2, Some(gpu));
        assert_same_bits("twice", &together, &again);
        assert_eq!(words(&metrics), words(&metrics_again));
        let p = of(&TWO).params();
        for (r, who) in TWO.into_iter().enumerate() {
            let (alone, metrics_alone) = trained(&of(&[who]), 2, Some(gpu));
            for (all, one) in
                [(&together.params, &alone.params), (&together.m, &alone.m), (&together.v, &alone.v)]
            {
                assert_eq!(bits(&all[r * p..(r + 1) * p]), bits(one), "replica {r} alone");
            }
            for (all, one) in metrics.iter().zip(&metrics_alone) {
                assert_eq!(format!("{:?}", all[r]), format!("{:?}", one[0]), "metrics of replica {r} alone");
            }
        }
    }
}

#[test]
fn a_resumed_training_is_the_one_never_stopped() {
    let Some(gpu) = shared_gpu() else { return };
    let spec = spec(H_MOE, &["temporal.lr_final_share=0.1"], &TWO);
    let (whole, metrics) = trained(&spec, 4, Some(gpu));
    let (half, first) = continued(&spec, &spec.start(), 2, 4, Some(gpu));
    let (rest, second) = continued(&spec, &half, 4, 4, Some(gpu));
    assert_same_bits("resumed", &whole, &rest);
    assert_eq!(words(&metrics), words(&[first, second].concat()));
    assert_ne!(half.params, whole.params);
}

/// Nothing of the phases, their learning rate, their loss or their start, changes a bit of scheduler and critic.
#[test]
fn no_gradient_of_the_phases_reaches_the_scheduler() {
    let Some(gpu) = shared_gpu() else { return };
    let run = |sets: &[&str]| {
        let spec = spec(H_MOE, sets, &TWO);
        let (state, _) = trained(&spec, 3, Some(gpu));
        let [policy, critic, phases] = spec.layout.groups();
        let of = |ranges: &[std::ops::Range<usize>]| -> Vec<u32> {
            let part = |row: &[f32]| ranges.iter().flat_map(|x| bits(&row[x.clone()])).collect::<Vec<_>>();
            [&state.params, &state.m, &state.v]
                .iter()
                .flat_map(|all| all.chunks(spec.params()).flat_map(part))
                .collect()
        };
        (of(&[policy, critic]), of(&[phases]))
    };
    let (temporal, phases) = run(&[]);
    for sets in [["spatial.lr=0.02"], ["spatial.loss_weight=7.5"], ["spatial.stride=1"]] {
        let (same, other) = run(&sets);
        assert!(same == temporal, "{sets:?} changed scheduler or critic");
        assert!(other != phases, "{sets:?} did not change the phases");
    }
}

/// The two part after some updates, where a rounding turns a decision over, so whole curves are compared as curves:
/// means over seeds within each other's intervals.
#[test]
fn whole_curves_lie_within_each_others_intervals() {
    let Some(gpu) = shared_gpu() else { return };
    let seeds = [1, 2, 3, 4, 5].map(|seed| (seed, 10.0));
    let sets = [
        "task.slots=24",
        "temporal.envs=24",
        "temporal.minibatch_envs=8",
        "temporal.epochs=4",
        "temporal.lr_policy=0.03",
        "temporal.lr_critic=0.03",
        "spatial.phase=\"direct\"",
        "spatial.output_gain=0.5",
        "spatial.lr=0.05",
    ];
    let spec = spec(H_MOE, &sets, &seeds);
    let updates = 20;
    let curves = [None, Some(gpu)].map(|gpu| trained(&spec, updates, gpu).1);
    for (name, of) in [
        ("reward", (|u| u.slots[0]) as fn(&UpdateMetrics) -> f64),
        ("beam gain", |u| beams(u).gain),
        ("entropy", |u| u.entropy),
    ] {
        let [cpu, on_gpu] = curves.each_ref().map(|seen| {
            let each = |u: &Vec<UpdateMetrics>| {
                let x: Vec<f64> = u.iter().map(of).collect();
                let (mean, se) = (stats::mean(&x), stats::standard_error(&x).unwrap());
                (mean, stats::t_interval_95(mean, se, x.len()).unwrap())
            };
            seen.iter().map(each).collect::<Vec<_>>()
        });
        for (update, ((a, in_a), (b, in_b))) in cpu.iter().zip(&on_gpu).enumerate() {
            println!(
                "{name}, update {update}: CPU {a:.4} ({:.4} to {:.4}), GPU {b:.4} ({:.4} to {:.4})",
                in_a.lo, in_a.hi, in_b.lo, in_b.hi
            );
            assert!(
                (in_a.lo..=in_a.hi).contains(b) && (in_b.lo..=in_b.hi).contains(a),
                "{name}, update {update}"
            );
        }
        // Else there was nothing to compare.
        let (first, last) = (&cpu[0], &cpu[updates as usize - 1]);
        let moved = last.1.lo > first.1.hi || last.1.hi < first.1.lo;
        assert!(moved, "{name}: {} at first, {} at last", first.0, last.0);
    }
}
