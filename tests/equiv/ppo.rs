//! PPO on the GPU against PPO on the CPU: same specification, same start, same draws.
//!
//! The first gradient is compared as such (the first moment of Adam is (1−β1)·clipped gradient); steps of Adam are
//! compared with what an error of the gradient can do to them, because a step is the gradient's sign where the gradient
//! is small.

use crate::common::shared_gpu;
use crate::small_ppo::{TWO, assert_same_bits, config, fresh, spec, spiking_spec};
use isacbench::kernels::Tol;
use isacbench::kernels::compare::{compare_f64, compare_scaled};
use isacbench::learn::ppo_gpu::{PpoGpu, RolloutPath};
use isacbench::learn::{LearnerState, Ppo, PpoSpec, UpdateMetrics};
use isacbench::tasks::v2x::physics::Beam;

/// Of the largest gradient of a parameter group.
const GRADIENT: Tol = Tol {
    abs: 1e-5,
    rel: 0.0,
    why: "sums over the minibatch in another order, of samples whose rollouts are rounded differently",
};
const GRADIENT_MATRIX: Tol = Tol {
    abs: 1e-4,
    rel: 0.0,
    why: "the log-probability of 195 actions is about 180, rounded to 1e-5, which every ratio has",
};

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn largest(x: &[f32]) -> f64 {
    x.iter().fold(0.0, |m, x| m.max(f64::from(x.abs())))
}

/// The state after one minibatch step.
fn first_step(spec: &PpoSpec, gradient: Tol, cpu: &LearnerState, gpu: &LearnerState) {
    let start = LearnerState::new(spec);
    let (layout, ppo) = (spec.layout(), &spec.ppo);
    let (p, split) = (layout.params(), layout.split());
    for r in 0..spec.env.replicas() {
        for (group, range, lr) in [
            ("actor", r * p..r * p + split, ppo.lr_actor),
            ("critic", r * p + split..(r + 1) * p, ppo.lr_critic),
        ] {
            let [m_cpu, m_gpu] = [cpu, gpu].map(|s| &s.m[range.clone()]);
            let size = largest(m_cpu);
            assert!(size > 0.0, "replica {r}: no gradient in the {group}");
            let allowed = Tol { abs: gradient.abs * size, ..gradient };
            let c = compare_f64(
                &format!("replica {r}, gradient of the {group}"),
                &wide(m_gpu),
                &wide(m_cpu),
                allowed,
            );
            println!("{}: {:.1e} of the largest", c.quantity, c.max_abs_err / size);
            assert!(c.passed(), "{c:?}");

            // After one step m̂/(√v̂ + ε) = g/(|g| + ε), whose slope is ε/(|g| + ε)² and whose whole change is at most
            // 2. Parameters are rounded to 6e-8 of themselves, twice.
            let moved = |s: &LearnerState| -> Vec<f32> {
                s.params[range.clone()].iter().zip(&start.params[range.clone()]).map(|(a, b)| a - b).collect()
            };
            let eps = ppo.adam_eps;
            let scale: Vec<f64> = m_cpu
                .iter()
                .zip(&start.params[range.clone()])
                .map(|(m, p)| {
                    let (g, dg) = (
                        f64::from(m.abs()) / (1.0 - ppo.adam_beta1),
                        gradient.abs * size / (1.0 - ppo.adam_beta1),
                    );
                    let near = (g - dg).max(0.0);
                    lr * (dg * eps / (near + eps).powi(2)).min(2.0)
                        + lr * 2e-6
                        + 1.3e-7 * (f64::from(p.abs()) + lr)
                })
                .collect();
            let (got, want) = (moved(gpu), wide(&moved(cpu)));
            assert!(largest(&got) > 0.5 * lr, "replica {r}: the {group} did not move");
            let one = Tol {
                abs: 0.0,
                rel: 1.0,
                why: "what the gradient's error does to a step of Adam, and rounding of the parameter",
            };
            let c = compare_scaled(&format!("replica {r}, step of the {group}"), &got, &want, &scale, one);
            println!("{}: {:.1e}, {:.2} of the budget", c.quantity, c.max_abs_err, c.budget_share);
            assert!(c.passed(), "{c:?}");
        }
    }
}

/// `loose` = 1 in the first update; the steps of Adam that follow differ where gradients are tiny.
fn metrics_agree(what: &str, spec: &PpoSpec, cpu: &UpdateMetrics, gpu: &UpdateMetrics, loose: f64) {
    let samples = spec.samples() as f64;
    let seen = samples * spec.ppo.epochs as f64;
    let [(cpu_reward, cpu_rate, cpu_jain, cpu_slots), (gpu_reward, gpu_rate, gpu_jain, gpu_slots)] =
        [cpu, gpu].map(|u| {
            let &[reward, rate, jain, indicator] = &u.slots[..] else { panic!("{:?}", u.slots) };
            (reward, rate, jain, indicator)
        });
    // A threshold may be passed on one side and missed on the other; such a slot loses its whole reward, at most 40
    // bps/Hz.
    let flipped = 40.0 * (cpu_slots - gpu_slots).abs();
    // Losses that are differences of larger numbers (normalised advantages around 0, ratios around 1) have an absolute
    // part.
    #[rustfmt::skip]
    let rows = [
        ("reward", cpu_reward, gpu_reward, flipped, 2e-6),
        ("sum-rate", cpu_rate, gpu_rate, 0.0, 2e-6),
        ("Jain", cpu_jain, gpu_jain, 0.0, 2e-6),
        ("indicator", cpu_slots, gpu_slots, 1.5 / samples, 0.0),
        ("policy loss", cpu.policy_loss, gpu.policy_loss, 1e-6, 2e-5),
        ("value loss", cpu.value_loss, gpu.value_loss, 0.0, 5e-6),
        ("entropy", cpu.entropy, gpu.entropy, 0.0, 1e-6),
        ("KL", cpu.approx_kl, gpu.approx_kl, 2e-7, 2e-4),
        ("clip share", cpu.clip_fraction, gpu.clip_fraction, 1.5 / seen, 0.0),
        ("actor norm", cpu.grad_norm_actor, gpu.grad_norm_actor, 0.0, 2e-5),
        ("critic norm", cpu.grad_norm_critic, gpu.grad_norm_critic, 0.0, 2e-5),
        // A tenth of the logarithm of the divergences, summed over the steps.
        ("share of the rate", cpu.rate_share, gpu.rate_share, 0.0, 1e-4),
        ("skipped", cpu.skipped_share, gpu.skipped_share, 0.0, 0.0),
        ("explained variance", cpu.explained_variance, gpu.explained_variance, 1e-4, 1e-4),
        ("silent neurons", cpu.dead_neurons, gpu.dead_neurons, 0.0, 0.0),
        ("saturated neurons", cpu.saturated_neurons, gpu.saturated_neurons, 0.0, 0.0),
    ];
    for (name, cpu, gpu, abs, rel) in rows {
        let (err, budget) = ((gpu - cpu).abs(), loose * (abs + rel * cpu.abs()));
        println!(
            "{what}, {name}: {cpu:.7}, differs by {err:.1e}, {:.1e} of itself, {:.2} of the budget",
            err / cpu.abs().max(1e-30),
            err / budget.max(1e-30)
        );
        assert!(err <= budget, "{what}, {name}: GPU {gpu}, CPU {cpu}, allowed ±{budget:e}");
    }
}

fn rest_of_update(spec: &PpoSpec, learner: &mut dyn Ppo, update: u32, skip: usize) -> Vec<UpdateMetrics> {
    let lr = spec.learning_rates(update, 3);
    let all = (0..spec.ppo.epochs as u32).flat_map(|e| (0..spec.minibatches() as u32).map(move |mb| (e, mb)));
    for (epoch, mb) in all.skip(skip) {
        learner.minibatch(update, epoch, mb, &lr).unwrap();
    }
    learner.finish(true).unwrap().unwrap()
}

/// Three updates on both; the share of clipped ratios, summed (1 without a GPU).
fn same_update(name: &str, sets: &[&str], who: &[(u32, f64)]) -> f64 {
    let Some(gpu) = shared_gpu() else { return 1.0 };
    let config = config(sets);
    let spec = spec(&config, who);
    let mut both = [fresh(&spec, None), fresh(&spec, Some(gpu))];
    let lr = spec.learning_rates(0, 3);
    let [cpu, on_gpu] = both.each_mut().map(|l| {
        l.rollout(0).unwrap();
        l.advantages().unwrap();
        l.minibatch(0, 0, 0, &lr).unwrap();
        l.state(0).unwrap()
    });
    let gradient = if config.task.beam == Beam::Matrix { GRADIENT_MATRIX } else { GRADIENT };
    first_step(&spec, gradient, &cpu, &on_gpu);

    let mut clipped = 0.0;
    for update in 0..3 {
        let [cpu, on_gpu] = both.each_mut().map(|l| {
            if update > 0 {
                l.rollout(update).unwrap();
                l.advantages().unwrap();
            }
            rest_of_update(&spec, &mut **l, update, usize::from(update == 0))
        });
        for (r, (cpu, on_gpu)) in cpu.iter().zip(&on_gpu).enumerate() {
            let loose = if update == 0 { 1.0 } else { 100.0 };
            metrics_agree(&format!("{name} update {update} replica {r}"), &spec, cpu, on_gpu, loose);
            clipped += on_gpu.clip_fraction;
        }
    }
    clipped
}

#[test]
fn angles_two_replicas() {
    same_update("angles", &[], &TWO);
}

#[test]
fn tracking_odd_sizes_joint_clipping() {
    // A narrow clip range, so that policy and value clipping take part; two episodes in a rollout.
    let sets = [
        "task.beam=tracking",
        "task.slots=25",
        "ppo.horizon=50",
        "ppo.envs=33",
        "ppo.minibatch=825",
        "ppo.clip_scope=joint",
        "ppo.clip_value=true",
        "ppo.clip=0.01",
    ];
    let clipped = same_update("tracking", &sets, &[(7, 30.0)]);
    assert!(clipped > 0.01, "nothing was clipped: {clipped}");
}

#[test]
fn matrix_advantages_as_they_are() {
    let sets = ["task.beam=matrix", "ppo.envs=8", "ppo.normalise_advantages=false", "ppo.max_grad_norm=0"];
    same_update("matrix", &sets, &TWO);
}

/// More environments than the CPU carries at once and the GPU puts into a workgroup, minibatches of several parts and
/// slices.
#[test]
fn many_environments() {
    let sets = [
        "task.beam=tracking",
        "task.slots=5",
        "ppo.horizon=10",
        "ppo.envs=301",
        "ppo.minibatch=1505",
        "ppo.hidden=[20]",
        "spiking.hidden=[]",
    ];
    same_update("many", &sets, &TWO);
}

/// Two updates of learning from rollouts of either path: the same bits on lavapipe, which neither fuses nor
/// reassociates what both do; elsewhere within what two updates make of rounding.
fn same_learning(name: &str, sets: &[&str], who: &[(u32, f64)]) {
    let Some(gpu) = shared_gpu() else { return };
    let spec = spec(&config(sets), who);
    let [fused, per_slot] = [RolloutPath::Fused, RolloutPath::PerSlot].map(|path| {
        let mut learner = PpoGpu::with_path(gpu.clone(), &spec, &LearnerState::new(&spec), path).unwrap();
        let update = |update: u32| {
            learner.rollout(update).unwrap();
            learner.advantages().unwrap();
            rest_of_update(&spec, &mut learner, update, 0)
        };
        let curve: Vec<_> = (0..2).map(update).collect();
        (learner.state(2).unwrap(), curve)
    });
    if gpu.rounds_as_twins() {
        assert_same_bits(name, &fused.0, &per_slot.0);
        assert_eq!(fused.1, per_slot.1, "{name}: learning curves");
    }
    for (update, (a, b)) in fused.1.iter().zip(&per_slot.1).enumerate() {
        for (r, (a, b)) in a.iter().zip(b).enumerate() {
            let loose = if update == 0 { 1.0 } else { 100.0 };
            metrics_agree(&format!("{name} update {update} replica {r}"), &spec, b, a, loose);
        }
    }
    // Learning has begun, and replicas are not each other's.
    assert_ne!(fused.0.params, spec.initial_params());
    assert!(fused.1.iter().flatten().all(|m| m.slots[1] > 0.0 && m.slots[2] > 0.0));
}

#[test]
fn fused_rollouts_learn_the_same_angles() {
    same_learning("angles", &[], &TWO);
}

/// One replica, whose critic takes several slots at once; two episodes, each of which is no whole number of dispatches.
#[test]
fn fused_rollouts_learn_the_same_tracking() {
    let sets = [
        "task.beam=tracking",
        "task.kinematics=cartesian",
        "task.slots=30",
        "ppo.horizon=60",
        "ppo.envs=33",
        "ppo.minibatch=330",
        "ppo.hidden=[24,16]",
        "spiking.hidden=[]",
    ];
    same_learning("tracking", &sets, &[(7, 30.0)]);
}

#[test]
fn what_cannot_be_fused_says_so_and_learns_slot_by_slot() {
    let Some(gpu) = shared_gpu() else { return };
    let matrix = spec(&config(&["task.beam=matrix", "ppo.envs=8"]), &TWO);
    let spiking = spiking_spec(&config(&[]), &TWO);
    for spec in [&matrix, &spiking] {
        assert!(!RolloutPath::Fused.possible(gpu, spec) && RolloutPath::PerSlot.possible(gpu, spec));
        assert_eq!(RolloutPath::choose(gpu, spec), RolloutPath::PerSlot);
    }
    let start = LearnerState::new(&matrix);
    let error =
        PpoGpu::with_path(gpu.clone(), &matrix, &start, RolloutPath::Fused).err().unwrap().to_string();
    assert!(error.contains("workgroup") && error.contains("fused"), "{error}");
    // The rule for what can.
    let plain = spec(&config(&[]), &TWO);
    let want = if gpu.is_software() { RolloutPath::PerSlot } else { RolloutPath::Fused };
    assert!(RolloutPath::Fused.possible(gpu, &plain));
    assert_eq!(RolloutPath::choose(gpu, &plain), want);
}
