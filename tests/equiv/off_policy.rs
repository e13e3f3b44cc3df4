//! The off-policy agents on the GPU against those on the CPU: same specification, same start, same draws.
//!
//! The first gradient is compared as such (the first moment of Adam is (1−β1)·gradient).

use crate::common::shared_gpu;
use crate::small_off_policy::*;
use isacbench::kernels::Tol;
use isacbench::kernels::compare::{compare, compare_f64};

/// Of the largest gradient of a parameter group.
const GRADIENT: Tol = Tol {
    abs: 1e-5,
    rel: 0.0,
    why: "sums over the minibatch in another order, of samples whose slots are rounded differently",
};

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// One gradient step behind `slots` slots of collecting, then two whole updates.
fn same(agent: &str, sets: &[&str]) {
    let Some(gpu) = shared_gpu() else { return };
    let algorithm = algorithm(agent, &config(agent, sets), &TWO);
    let spec = spec(&algorithm);
    let lr = spec.learning_rates(0, 2);
    let slots = 6;
    let [cpu, on_gpu] = [None, Some(gpu)].map(|gpu| {
        let mut learner = fresh(&algorithm, gpu);
        for clock in 0..slots {
            learner.collect(clock, &spec.exploration(0, 2)).unwrap();
            learner.store(clock).unwrap();
        }
        learner.minibatch(slots - 1, 0, &lr).unwrap();
        learner.targets().unwrap();
        learner.state(0).unwrap()
    });
    // The same transitions: choices exactly, numbers by the physics' tolerance.
    let tol = Tol {
        abs: 5e-4,
        rel: 2e-5,
        why: "actions differ by the rounding of the network, and near a null of a beam the logarithm of the SINR is steep in them",
    };
    let c = compare("replay", &on_gpu.extra[1].data, &wide(&cpu.extra[1].data), tol);
    println!("{agent} {sets:?}: replay differs by {:.1e}", c.max_abs_err);
    assert!(c.passed(), "{c:?}");
    assert!(cpu.extra[1].data.iter().filter(|x| **x != 0.0).count() > 100);

    let (p, split) = (algorithm.params(), spec.nets().split());
    for r in 0..2 {
        for (group, range) in [("first", r * p..r * p + split), ("second", r * p + split..(r + 1) * p)] {
            if range.is_empty() {
                continue;
            }
            let [a, b] = [&cpu, &on_gpu].map(|s| wide(&s.m[range.clone()]));
            let size = a.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            assert!(size > 0.0, "{agent}, replica {r}: no gradient in the {group} group");
            let c = compare_f64("gradient", &b, &a, Tol { abs: GRADIENT.abs * size, ..GRADIENT });
            println!(
                "{agent} {sets:?}, replica {r}, {group} group: {:.1e} of the largest",
                c.max_abs_err / size
            );
            assert!(c.passed(), "{agent}, replica {r}, {group} group: {c:?}");
        }
        // A step of Adam is the learning rate in size, and the targets follow by τ of it.
        let [a, b] = [&cpu, &on_gpu].map(|s| wide(&s.extra[0].data[r * p..(r + 1) * p]));
        let most = 2.0 * spec.of(r).tau * lr[r][0].max(lr[r][1]) + 1e-6;
        let c = compare_f64("target", &b, &a, Tol { abs: most, rel: 0.0, why: "tau steps of Adam" });
        assert!(c.passed(), "{agent}, replica {r}: {c:?}");
        let start = wide(&algorithm.start().params[r * p..(r + 1) * p]);
        assert!(a.iter().zip(&start).any(|(a, b)| a != b), "{agent}: the targets did not move");
    }

    let [cpu, on_gpu] = [None, Some(gpu)].map(|gpu| trained(&algorithm, 2, gpu));
    for (update, (a, b)) in cpu.1.iter().zip(&on_gpu.1).enumerate() {
        for (r, (a, b)) in a.iter().zip(b).enumerate() {
            for (name, a, b, rel) in [
                ("sum-rate", a.slots[1], b.slots[1], 0.02),
                ("Jain", a.slots[2], b.slots[2], 0.02),
                ("value loss", a.value_loss, b.value_loss, 0.05),
                ("critic norm", a.grad_norm_critic, b.grad_norm_critic, 0.05),
                ("policy loss", a.policy_loss, b.policy_loss, 0.05),
                ("actor norm", a.grad_norm_actor, b.grad_norm_actor, 0.05),
            ] {
                println!("{agent} update {update} replica {r}, {name}: CPU {a:.6}, GPU {b:.6}");
                let has_actor = agent == "ddpg" || !["policy loss", "actor norm"].contains(&name);
                assert_eq!((a.is_nan(), b.is_nan()), (!has_actor, !has_actor), "{agent}, {name}");
                assert!(
                    !has_actor || (a - b).abs() <= rel * a.abs() + 1e-4,
                    "{agent} update {update}, {name}: {a} {b}"
                );
            }
        }
    }
    assert_eq!(cpu.0.adam_steps, on_gpu.0.adam_steps);
}

#[test]
fn ddpg_angles() {
    same("ddpg", &["actor_gain=0.5"]);
}

#[test]
fn ddpg_matrix_clipped() {
    same("ddpg", &["task.beam=matrix", "max_grad_norm=0.01", "minibatch=131", "gamma=0.5"]);
}

#[test]
fn dqn_angles() {
    same("dqn", &["output_gain=0.5", "epsilon_start=0.3"]);
}

#[test]
fn dqn_additive() {
    same("dqn", &["head=additive", "output_gain=0.5", "epsilon_start=0.3", "gamma=0.5"]);
}

#[test]
fn dqn_tracking_large() {
    same(
        "dqn",
        &["task.beam=tracking", "minibatch=700", "beams=5", "envs=70", "capacity=840", "reward_scale=1.0"],
    );
}
