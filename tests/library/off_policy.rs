//! The off-policy agents: the same bits whatever runs beside them, a resumed training equals one that never stopped,
//! what the replay holds, and that they learn.

use crate::common::shared_gpu;
use crate::small_off_policy::*;
use isacbench::gpu::Gpu;
use isacbench::learn::off_policy::OffPolicySpec;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::evaluate::{Controller, Evaluation, Precision, evaluate};
use isacbench::run::task::{Task, Unit};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::env::params_of;
use isacbench::tasks::v2x::physics::metric;
use std::sync::Arc;

fn twice_and_alone(what: &str, gpu: Option<&Arc<Gpu>>) {
    for agent in AGENTS {
        let config = config(agent, &[]);
        let both = algorithm(agent, &config, &TWO);
        let (together, metrics) = trained(&both, 2, gpu);
        let (again, metrics_again) = trained(&both, 2, gpu);
        assert_same_bits(&format!("{agent} on the {what}, twice"), &together, &again);
        assert_same_metrics(agent, &metrics, &metrics_again);
        for (r, who) in TWO.into_iter().enumerate() {
            let (alone, metrics_alone) = trained(&algorithm(agent, &config, &[who]), 2, gpu);
            let name = format!("{agent} on the {what}, replica {r} beside another and alone");
            assert_same_bits(&name, &replica_of(&together, r, 2), &alone);
            let mine: Vec<_> = metrics.iter().map(|m| vec![m[r].clone()]).collect();
            assert_same_metrics(&name, &mine, &metrics_alone);
        }
        // Not the same because nothing depends on anything.
        assert_ne!(replica_of(&together, 0, 2).params, replica_of(&together, 1, 2).params);
        assert_ne!(together.params, both.start().params);
        assert_ne!(together.params, together.extra[0].data, "the targets are not the online weights");
    }
}

/// Replicas that differ in every number of their own give what each gives alone.
fn packed(what: &str, gpu: Option<&Arc<Gpu>>) {
    for agent in AGENTS {
        let all = ["gamma=0.3", "tau=0.02", "lr_final_share=0.5", "max_grad_norm=0.05", "reward_scale=0.2"];
        let own = match agent {
            "ddpg" => {
                &["lr_actor=1e-3", "lr_critic=3e-3", "noise_start=0.4", "noise_share=0.9", "actor_gain=0.3"]
            }
            _ => {
                &["lr=3e-3", "epsilon_start=0.5", "epsilon_final=0.1", "epsilon_share=0.9", "output_gain=0.3"]
            }
        };
        let configs = [config(agent, &[]), config(agent, &[&all[..], own].concat())];
        let found = V2xConfig::agent(agent).unwrap();
        let unit = |(config, seed)| Unit { config, seed };
        let units: Vec<_> = configs.iter().zip([3, 11]).map(unit).collect();
        let of = |units: &[Unit<V2xConfig>]| units[0].config.algorithm(found, units).unwrap();
        let both = of(&units);
        let [one, other] = configs.each_ref().map(|c| c.algorithm(found, &[]).unwrap().structure());
        assert_eq!(one, other);
        assert_eq!((spec(&both).each.len(), spec(&of(&units[1..])).each.len()), (2, 0));
        let (together, metrics) = trained(&both, 3, gpu);
        let mut seen = Vec::new();
        for r in 0..2 {
            let (alone, metrics_alone) = trained(&of(&units[r..=r]), 3, gpu);
            let name = format!("{agent} on the {what}, replica {r} beside one with other numbers and alone");
            assert_same_bits(&name, &replica_of(&together, r, 2), &alone);
            assert_same_bits(&name, &together.replica(r, 2), &alone);
            let mine: Vec<_> = metrics.iter().map(|m| vec![m[r].clone()]).collect();
            assert_same_metrics(&name, &mine, &metrics_alone);
            // The same seed with the other's numbers is another training.
            let other = of(&[Unit { config: &configs[1 - r], seed: units[r].seed }]);
            assert_ne!(trained(&other, 3, gpu).0.params, alone.params, "{name}: no number matters");
            seen.push(alone);
        }
        let joined = isacbench::learn::LearnerState::side_by_side(&seen).unwrap();
        assert_same_bits(&format!("{agent}: put side by side"), &joined, &together);
        seen[1].updates += 1;
        assert_eq!(isacbench::learn::LearnerState::side_by_side(&seen), None);
    }
}

#[test]
fn replicas_with_numbers_of_their_own_on_the_cpu() {
    packed("CPU", None);
}

#[test]
fn replicas_with_numbers_of_their_own_on_the_gpu() {
    if let Some(gpu) = shared_gpu() {
        packed("GPU", Some(gpu));
    }
}

/// Other widths, minibatches and rounds of gradient steps begin other batches.
#[test]
fn structures_are_told_apart() {
    for agent in AGENTS {
        let of = |set: &str| algorithm(agent, &config(agent, &[set]), &[]).structure();
        let usual = of("gamma=0.1");
        assert_eq!(usual, of("gamma=0.9"));
        for set in ["hidden=[16,8]", "minibatch=49", "gradient_steps=1", "train_every=1", "adam_beta1=0.8"] {
            assert_ne!(usual, of(set), "{agent}: {set}");
        }
    }
}

/// A value of every beam and one of every level in place of one of every pair: another network, and nothing else. What
/// is drawn and stored of a choice is the same.
#[test]
fn heads_of_dqn() {
    let of = |head: &str| {
        let sets = [head, "epsilon_start=1.0", "epsilon_final=1.0", "learning_starts=140", "capacity=140"];
        algorithm("dqn", &config("dqn", &sets), &TWO)
    };
    let all = ["head=branches", "head=additive"].map(of);
    let [branches, additive] = all.each_ref().map(spec);
    let outputs = |s: &OffPolicySpec| s.nets().policy.layers.last().unwrap().outputs;
    assert_eq!((outputs(branches), outputs(additive)), (3 * 32 * 3, 3 * (32 + 3)));
    assert_eq!(branches.row(), additive.row());
    let text = |s: &OffPolicySpec| format!("{:?} {:?}", s.common, s.numbers);
    assert_eq!(text(branches), text(additive));
    assert_ne!(all[0].structure(), all[1].structure());
    // Nobody learns yet, and everybody explores.
    let replay = all.each_ref().map(|a| trained(a, 1, None).0.extra.remove(1).data);
    assert!(replay[0] == replay[1] && replay[0].iter().any(|x| *x != 0.0));
}

#[test]
fn twice_and_alone_on_the_cpu() {
    twice_and_alone("CPU", None);
}

#[test]
fn twice_and_alone_on_the_gpu() {
    if let Some(gpu) = shared_gpu() {
        twice_and_alone("GPU", Some(gpu));
    }
}

#[test]
fn any_number_of_threads() {
    for agent in AGENTS {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trained(&algorithm(agent, &config(agent, &[]), &TWO), 2, None))
        };
        let (one, metrics_one) = with(1);
        for threads in [2, 3] {
            let (many, metrics) = with(threads);
            assert_same_bits(&format!("{agent}, {threads} threads"), &one, &many);
            assert_same_metrics(agent, &metrics_one, &metrics);
        }
    }
}

fn resumed(what: &str, gpu: Option<&Arc<Gpu>>) {
    let dir = tempfile::tempdir().unwrap();
    let branches = "head=branches";
    for (agent, beam, own) in [
        ("ddpg", "tracking", "noise_share=0.6"),
        ("dqn", "angles", branches),
        ("dqn", "matrix", branches),
        ("dqn", "angles", "head=additive"),
    ] {
        let beam = format!("task.beam={beam}");
        // Exploration and learning rates that fall, so that their progress must survive.
        let config = config(agent, &[&beam, own, "lr_final_share=0.1"]);
        let algorithm = algorithm(agent, &config, &TWO);
        let path = dir.path().join("half.safetensors");
        let (whole, metrics) = trained(&algorithm, 4, gpu);
        let (half, first) = continued(&algorithm, &algorithm.start(), 2, 4, gpu);
        let (seeds, swept) = TWO.into_iter().unzip();
        Checkpoint { config, agent: agent.into(), seeds, swept, state: half.clone() }.save(&path).unwrap();
        let read = Checkpoint::<isacbench::tasks::v2x::config::V2xConfig>::load(&path).unwrap();
        let name = format!("{agent} with {beam} on the {what}");
        assert_same_bits(&format!("{name}, saved and read"), &half, &read.state);
        let (rest, second) = continued(&read.algorithm(), &read.state, 4, 4, gpu);
        assert_same_bits(&format!("{name}, resumed"), &whole, &rest);
        assert_same_metrics(&name, &metrics, &[first, second].concat());
        assert_ne!(half.params, whole.params, "{name}: the second half changed nothing");
    }
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_on_the_cpu() {
    resumed("CPU", None);
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_on_the_gpu() {
    if let Some(gpu) = shared_gpu() {
        resumed("GPU", Some(gpu));
    }
}

/// Each transition leads from its slot's observation to the next slot's, except where an episode ends; none is a
/// termination.
#[test]
fn the_replay_holds_a_chain_of_transitions() {
    for agent in AGENTS {
        // Room for three episodes of 10 slots, of which two are filled.
        let algorithm = algorithm(agent, &config(agent, &["capacity=210"]), &TWO);
        let (state, _) = trained(&algorithm, 2, None);
        let spec = spec(&algorithm);
        let (row, b) = (spec.row(), spec.common.envs);
        let w = row.width();
        for replay in state.extra[1].data.chunks(210 * w) {
            let at = |slot: usize, env: usize| &replay[(slot * b + env) * w..][..w];
            for slot in 0..20 {
                for env in 0..b {
                    let here = at(slot, env);
                    assert_eq!(here[w - 1], 1.0, "a time limit is no termination");
                    assert!((-0.5..=2.5).contains(&here[w - 2]), "{agent}: scaled reward {}", here[w - 2]);
                    let next = &here[row.next()..row.scalars()];
                    if slot < 19 {
                        let same = next == &at(slot + 1, env)[..row.obs];
                        assert_eq!(same, slot != 9, "{agent}: slot {slot}");
                    }
                    if agent == "dqn" {
                        assert!(
                            here[row.obs..row.next()]
                                .iter()
                                .all(|c| (0.0..96.0).contains(c) && c.fract() == 0.0)
                        );
                    } else {
                        assert!(here[row.obs..row.next()].iter().all(|a| a.abs() <= 4.0));
                    }
                }
            }
            assert!(replay[20 * b * w..].iter().all(|x| *x == 0.0), "{agent}: written beyond the slots seen");
        }
    }
}

/// Nothing is learned before `learning_starts`, and everything is NaN that has no number; nobody is stuck who made no
/// step.
#[test]
fn learning_starts_when_the_replay_has_enough() {
    for agent in AGENTS {
        let algorithm = algorithm(agent, &config(agent, &["learning_starts=71", "capacity=140"]), &TWO);
        let (state, metrics) = trained(&algorithm, 1, None);
        assert_eq!(state.params, algorithm.start().params, "{agent} moved before");
        assert_eq!(state.adam_steps, 0);
        assert!(metrics[0].iter().all(|m| m.gradient_steps == 0 && algorithm.is_stuck(m).is_none()));
        assert!(metrics[0].iter().all(|m| m.value_loss.is_nan() && m.slots[0].is_finite()));
        // Slots 11 to 20, of which every second is followed by two steps.
        let (state, metrics) = trained(&algorithm, 2, None);
        assert_eq!(state.adam_steps, 10);
        assert!(metrics[1].iter().all(|m| m.gradient_steps == 10 && algorithm.is_stuck(m) == Some(false)));
        // Weights that are not finite have such gradients.
        let mut broken = algorithm.start();
        let width = algorithm.params();
        broken.params[width..].fill(f32::NAN);
        let (_, of_broken) = continued(&algorithm, &broken, 2, 2, None);
        assert_eq!(
            of_broken[1].iter().map(|m| algorithm.is_stuck(m)).collect::<Vec<_>>(),
            [Some(false), Some(true)]
        );
        assert!(metrics[1].iter().all(|m| m.value_loss.is_finite() && m.grad_norm_critic > 0.0));
        assert!(metrics[1].iter().all(|m| m.policy_loss.is_nan() == (agent == "dqn") && m.entropy.is_nan()));
    }
}

/// Vehicles of 40 dBm with beams that follow the last echo: learning improves the reward.
#[test]
fn both_agents_learn_to_track() {
    for (agent, sets) in [
        ("ddpg", vec!["noise_start=0.5", "noise_share=0.5", "lr_actor=1e-3", "lr_critic=2e-3"]),
        ("dqn", vec!["epsilon_share=0.5", "lr=2e-3"]),
        ("dqn", vec!["epsilon_share=0.5", "lr=2e-3", "head=additive"]),
    ] {
        let easy = [
            "task.beam=tracking",
            "task.slots=50",
            "ppo.horizon=50",
            "ppo.minibatch=400",
            "hidden=[64,64]",
            "envs=16",
            "capacity=8000",
            "minibatch=128",
            "learning_starts=400",
            "train_every=1",
            "gradient_steps=1",
            "gamma=0.5",
            "tau=0.01",
        ];
        let sets: Vec<&str> = easy.into_iter().chain(sets).collect();
        let config = config(agent, &sets);
        let algorithm = algorithm(agent, &config, &[(1, 40.0), (2, 40.0)]);
        let (state, curve) = trained(&algorithm, 30, None);
        for r in 0..2 {
            let [first, last] = [0, 29].map(|u| curve[u][r].slots[0]);
            println!("{agent}, replica {r}: reward {first:.2} -> {last:.2}");
            assert!(last > first + 2.0, "{agent}, replica {r} learned nothing: {first} -> {last}");
        }
        // Evaluation acts without exploration, the same on both backends, whatever `greedy` says.
        let eval = |greedy: bool| Evaluation {
            env: config.env_of([1, 2].map(|seed| params_of(&config.task, 40.0, [seed, 0])).to_vec()),
            controller: Controller::Policy {
                policy: algorithm.policy().unwrap(),
                params: &state.params,
                greedy,
                precision: Precision::F32,
            },
            episodes: 64,
            slots: &[],
        };
        let cpu = evaluate(&eval(false), None, &|_| ()).unwrap();
        assert_eq!(cpu, evaluate(&eval(true), None, &|_| ()).unwrap());
        for (r, out) in cpu.iter().enumerate() {
            let (reward, exploring) = (out.metrics[metric::REWARD].mean, curve[29][r].slots[0]);
            println!("{agent}, replica {r}: evaluated reward {reward:.2}");
            assert!(reward > 0.9 * exploring, "{agent}, replica {r}: {reward} after {exploring}");
        }
        if let Some(gpu) = shared_gpu() {
            let on_gpu = evaluate(&eval(false), Some(gpu), &|_| ()).unwrap();
            for (a, b) in cpu.iter().zip(&on_gpu) {
                for (i, (a, b)) in a.metrics.iter().zip(&b.metrics).enumerate() {
                    // A choice between two nearly equal values, or a threshold, may fall on the other side.
                    assert!(
                        (a.mean - b.mean).abs() <= 2e-3 * (1e-9 + a.mean.abs()),
                        "{agent}, metric {i}: {} {}",
                        a.mean,
                        b.mean
                    );
                }
            }
        }
    }
}
