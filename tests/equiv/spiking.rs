//! Spiking networks on the GPU: passes against the CPU twins, PPO with them, and the activity that an evaluation
//! counts.

use crate::common::{gpu_or_skip, shared_gpu};
use crate::neurons::{LOW, OTHER, PAPER};
use crate::small_ppo::{self, TWO, assert_same_bits, config, continued, fresh, replica_of, trained};
use isacbench::gpu::{Fill, Gpu};
use isacbench::kernels::compare::compare_f64;
use isacbench::kernels::inputs::{normal, widen};
use isacbench::kernels::{Tol, grad_reduce};
use isacbench::learn::network::{
    Backward, Forward, Rows, Spikes, carried_forward_cpu, forward_cpu, penalised_backward_cpu,
};
use isacbench::learn::{Algorithm, LearnerState, PpoSpec};
use isacbench::nets::{Activity, Hidden, Lif, Membrane, MlpLayout, Population, Readout};
use isacbench::num::stats;
use isacbench::run::evaluate::{Controller, Evaluation, Precision, ReplicaEstimates, evaluate};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::env::reset_chunk;
use isacbench::tasks::v2x::physics::V2xParams;

// ---- passes ----

/// Rows that no step brings within 1e-5 of a threshold, so that all arithmetics fire alike: the first of some draws.
fn clear_rows(net: &MlpLayout, (r, m): (usize, usize), params: &[f64], start: &[f64]) -> Vec<f32> {
    let lif = net.lif.unwrap();
    (0..50)
        .map(|draw| normal(9, draw, r * m * net.inputs(), 1.0))
        .find(|x| {
            let h = penalised_backward_cpu(net, (r, m), params, &widen(x), start, 0.0, |y| y.to_vec()).h;
            h[1..net.layers.len()].iter().flatten().all(|u| (u - lif.threshold).abs() > 1e-5)
        })
        .expect("one draw of fifty keeps clear of the threshold")
}

/// Two replicas; the network lies between parameters of others, its buffers hold more rows than are used.
fn passes(gpu: &Gpu, hidden: &[usize], neurons: impl Into<Hidden>) {
    const SLICES: usize = 3;
    let (inputs, outputs, r, m, penalty) = (5, 3, 2, 21, 0.7);
    let neurons = neurons.into();
    let what = format!("{hidden:?} {neurons:?}");
    let net = MlpLayout::new(&[&[inputs], hidden, &[outputs]].concat(), neurons, 2);
    // Neurons that encode the inputs pass nothing on to them.
    let encodes = net.population.is_some();
    let p = net.end() + 1;
    let params: Vec<f32> = normal(8, 0, r * p, 1.0).iter().map(|w| w + 0.3).collect();
    let params64 = widen(&params);
    let width = net.carried().iter().sum::<usize>();
    let below = net.lif.unwrap().threshold as f32 - 0.05;
    let start: Vec<f32> = normal(8, 3, r * m * width, 0.6).iter().map(|v| v.min(below)).collect();
    let start64 = widen(&start);
    let x = clear_rows(&net, (r, m), &params64, &start64);
    let dy = normal(8, 2, r * m * outputs, 1.0);
    let want = penalised_backward_cpu(&net, (r, m), &params64, &widen(&x), &start64, penalty, |_| widen(&dy));

    let size = Rows { r, m, p };
    let starting = |rows: Rows, learn: usize| {
        let spikes = Spikes::new(gpu, &net, rows, learn).unwrap().unwrap();
        if let Some(membrane) = &spikes.membrane {
            let mut all = vec![f32::NAN; membrane.len()];
            all[..start.len()].copy_from_slice(&start);
            gpu.write(membrane, &all);
        }
        spikes
    };
    let spikes = starting(Rows { m: m + 10, ..size }, m + 3);
    let poison = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Poison).unwrap();
    let params_buf = gpu.upload("params", &[r, p], &params).unwrap();
    let x_buf = gpu.upload("x", &[r, m, inputs], &x).unwrap();
    let dy_buf = gpu.upload("dy", &[r, m, outputs], &dy).unwrap();
    let (out, dx) = (poison("out", &[r, m, outputs]), poison("dx", &[r, m, inputs]));
    // Leaks are summed into the first slice; in the others their places are 0.
    let partials: Vec<f32> =
        (0..SLICES * r * p).map(|e| if net.leaks().contains(&(e % p)) { 0.0 } else { f32::NAN }).collect();
    let partials = gpu.upload("partials", &[SLICES, r, p], &partials).unwrap();
    let grads = poison("grads", &[r, p]);
    let forward =
        Forward::sharing(gpu, &net, size, &params_buf, &x_buf, &[&out], Some(&spikes), true).unwrap();
    let backward = Backward::spiking(
        gpu,
        &net,
        size,
        SLICES,
        &params_buf,
        &x_buf,
        &spikes,
        &dy_buf,
        (!encodes).then_some(&dx),
        &partials,
        penalty,
    )
    .unwrap();
    let reduce = grad_reduce::GradReduce::new(gpu, &grad_reduce::Spec { r, p, s: SLICES })
        .unwrap()
        .bind(gpu, &partials, &grads);
    gpu.run(|pass| {
        forward.record(pass, m, 0, 0);
        backward.record(pass, m);
        reduce.record(pass);
    })
    .unwrap();

    let agree = |name: &str, got: &[f64], want: &[f64], rel: f64| {
        let largest = want.iter().fold(0.0f64, |a, x| a.max(x.abs()));
        assert!(largest > 1e-3, "{what}: {name} of at most {largest}");
        let tol = Tol { abs: rel * largest, rel: 0.0, why: "of the largest: rounding of f32 sums" };
        let c = compare_f64(name, got, want, tol);
        assert!(c.passed(), "{what}: {c:?}");
    };
    agree("output", &widen(&gpu.read(&out).unwrap()), &want.h[net.layers.len()], 2e-6);
    if !encodes {
        agree("dx", &widen(&gpu.read(&dx).unwrap()), &want.dx, 1e-5);
    }
    let grads = widen(&gpu.read(&grads).unwrap());
    for t in net.tensors("") {
        let of = |g: &[f64]| (0..r).flat_map(|k| g[k * p..][t.range()].to_vec()).collect::<Vec<_>>();
        agree(&t.name, &of(&grads), &of(&want.grads), 1e-5);
    }

    if let Some(membrane) = &spikes.membrane {
        let got = gpu.read(membrane).unwrap();
        let end = carried_forward_cpu(&net, (r, m), &params64, &widen(&x), &start64).1;
        assert_eq!(got[..start.len()], start, "{what}: a pass leaves where it started");
        agree("potentials", &widen(&got[start.len()..2 * start.len()]), &end, 2e-6);
    }

    // Without keeping anything, and from rows further down: the same outputs.
    let longer = [vec![0.5; 3], x].concat();
    let x_buf = gpu.upload("x", &[longer.len()], &longer).unwrap();
    let again = poison("out", &[4 + r * m * outputs]);
    let own = starting(size, 0);
    let forward =
        Forward::sharing(gpu, &net, size, &params_buf, &x_buf, &[&again], Some(&own), false).unwrap();
    gpu.run(|pass| forward.record(pass, m, 3, 4)).unwrap();
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&gpu.read(&again).unwrap()[4..]), bits(&gpu.read(&out).unwrap()), "{what}: inference");
}

#[test]
fn passes_agree_with_the_twins() {
    let Some(gpu) = gpu_or_skip() else { return };
    // Both conventions of the reset are among them; each network compiles a dozen kernels.
    passes(gpu, &[9, 17], PAPER);
    passes(gpu, &[70], OTHER);
    passes(gpu, &[8, 1, 6, 7], LOW);
    for (hidden, lif) in [(&[9, 17][..], PAPER), (&[11], LOW), (&[8, 1, 6, 7], OTHER)] {
        let lif = Lif { membrane: Membrane::Carried, ..lif };
        passes(gpu, hidden, lif);
        passes(gpu, hidden, Lif { learn_leak: true, readout: Readout::Mean, ..lif });
    }
    for (hidden, lif) in [(&[9, 17][..], PAPER), (&[11], OTHER)] {
        passes(gpu, hidden, Hidden::Encoded(lif, Population::new(4, &lif)));
        let lif = Lif { learn_leak: true, ..lif };
        passes(gpu, hidden, lif);
        passes(gpu, hidden, Hidden::Encoded(lif, Population::new(4, &lif)));
    }
}

// ---- learning ----

/// A small training with spiking networks.
fn spiking(sets: &[&str], who: &[(u32, f64)]) -> PpoSpec {
    small_ppo::spiking_spec(&config(sets), who)
}

/// Potentials that outlive a slot by some way, those of the outputs too.
const CARRIED: [&str; 4] =
    ["spiking.membrane=carried", "spiking.readout=last", "spiking.lambda=0.2", "spiking.hidden_gain=8"];

const SHORT: [&str; 4] = ["task.beam=tracking", "task.slots=5", "ppo.horizon=10", "ppo.envs=80"];

fn rates_are_rates(spec: &PpoSpec, rates: &[f64]) {
    let layers = spec.layout().actor.layers.len() - 1;
    assert_eq!(rates.len(), 2 * layers, "actor's hidden layers, then the critic's");
    assert!(rates.iter().all(|r| (0.0..1.0).contains(r)), "{rates:?}");
    assert!(rates[0] > 0.0, "no neuron of the first layer fires: {rates:?}");
}

#[test]
fn same_bits_twice_and_beside_others() {
    let Some(gpu) = shared_gpu() else { return };
    let wide =
        |who: &[(u32, f64)]| spiking(&[&SHORT[..3], &["ppo.envs=215", "ppo.minibatch=1075"]].concat(), who);
    let (together, metrics) = trained(&wide(&TWO), 2, Some(gpu));
    let (again, metrics_again) = trained(&wide(&TWO), 2, Some(gpu));
    assert_same_bits("twice", &together, &again);
    assert_eq!(metrics, metrics_again);
    for (r, who) in TWO.into_iter().enumerate() {
        let (alone, metrics_alone) = trained(&wide(&[who]), 2, Some(gpu));
        assert_same_bits(&format!("replica {r} alone"), &replica_of(&together, r, 2), &alone);
        for (update, m) in metrics.iter().enumerate() {
            assert_eq!(m[r], metrics_alone[update][0], "metrics of replica {r}");
            rates_are_rates(&wide(&TWO), &m[r].firing_rates);
        }
    }
    assert_ne!(replica_of(&together, 0, 2).params, replica_of(&together, 1, 2).params);
    assert_ne!(together.params, wide(&TWO).initial_params());
}

#[test]
fn a_resumed_training_is_the_one_never_stopped() {
    let Some(gpu) = shared_gpu() else { return };
    for spec in [spiking(&SHORT, &TWO), spiking(&[&SHORT[..], &CARRIED].concat(), &TWO)] {
        let (whole, _) = trained(&spec, 3, Some(gpu));
        let (half, _) = continued(&spec, &LearnerState::new(&spec), 1, 3, Some(gpu));
        let (resumed, _) = continued(&spec, &half, 3, 3, Some(gpu));
        assert_same_bits("resumed", &whole, &resumed);
    }
}

#[test]
fn a_rate_penalty_makes_neurons_silent() {
    let Some(gpu) = shared_gpu() else { return };
    let last_rates = |penalty: &str| {
        let own = ["spiking.hidden_gain=2", "spiking.lr_actor=0.003", "spiking.lr_critic=0.003", penalty];
        let sets = [&SHORT[..], &own].concat();
        let (_, metrics) = trained(&spiking(&sets, &TWO[..1]), 8, Some(gpu));
        metrics.last().unwrap()[0].firing_rates.clone()
    };
    let (free, penalised) = (last_rates("spiking.rate_penalty=0"), last_rates("spiking.rate_penalty=100"));
    println!("firing rates {free:?}, with a penalty {penalised:?}");
    for (free, penalised) in free.iter().zip(&penalised) {
        assert!(penalised < &(0.8 * free), "{penalised} against {free} without a penalty");
    }
}

/// PPO on the CPU and on the GPU: the same start, the same draws. A spike may fall on the other side of its threshold
/// where observations or sums are rounded differently; it moves a minibatch of M by about 1/M.
#[test]
fn cpu_and_gpu_learn_alike() {
    learn_alike(&[]);
}

#[test]
fn cpu_and_gpu_learn_alike_from_encoded_observations() {
    learn_alike(&["spiking.population=5", "spiking.hidden=[16]"]);
}

#[test]
fn cpu_and_gpu_learn_leaks_alike() {
    learn_alike(&["spiking.learn_leak=true"]);
}

/// Two episodes a rollout, two hidden layers.
#[test]
fn cpu_and_gpu_learn_alike_from_carried_potentials() {
    learn_alike(&[&CARRIED[..], &["task.slots=10", "ppo.horizon=20", "ppo.envs=80"]].concat());
}

fn learn_alike(sets: &[&str]) {
    let Some(gpu) = shared_gpu() else { return };
    let spec = spiking(&[&["task.beam=tracking", "spiking.rate_penalty=0.1"], sets].concat(), &TWO);
    let mut both = [fresh(&spec, None), fresh(&spec, Some(gpu))];
    let lr = spec.learning_rates(0, 3);
    let [cpu, on_gpu] = both.each_mut().map(|l| {
        l.rollout(0).unwrap();
        l.advantages().unwrap();
        l.minibatch(0, 0, 0, &lr).unwrap();
        l.state(0).unwrap()
    });
    let (p, split) = (spec.layout().params(), spec.layout().split());
    for r in 0..TWO.len() {
        for range in [r * p..r * p + split, r * p + split..(r + 1) * p] {
            // After one step the first moment is the clipped gradient times 1−β1.
            let [cpu, on_gpu] = [&cpu, &on_gpu].map(|s| widen(&s.m[range.clone()]));
            let largest = cpu.iter().fold(0.0f64, |a, x| a.max(x.abs()));
            assert!(largest > 0.0);
            let tol = Tol { abs: 2e-3 * largest, rel: 0.0, why: "a few spikes in a minibatch" };
            let c = compare_f64("gradient", &on_gpu, &cpu, tol);
            println!("replica {r}: {:.1e} of the largest", c.max_abs_err / largest);
            assert!(c.passed(), "{c:?}");
        }
    }
    for update in 0..3 {
        let [cpu, on_gpu] = both.each_mut().map(|l| {
            if update > 0 {
                l.rollout(update).unwrap();
                l.advantages().unwrap();
            }
            for epoch in 0..spec.ppo.epochs as u32 {
                for mb in 0..spec.minibatches() as u32 {
                    if (update, epoch, mb) != (0, 0, 0) {
                        l.minibatch(update, epoch, mb, &spec.learning_rates(update, 3)).unwrap();
                    }
                }
            }
            l.finish(true).unwrap().unwrap()
        });
        for (cpu, on_gpu) in cpu.iter().zip(&on_gpu) {
            rates_are_rates(&spec, &cpu.firing_rates);
            let loose = if update == 0 { 1.0 } else { 100.0 };
            for (cpu, on_gpu) in cpu.firing_rates.iter().zip(&on_gpu.firing_rates) {
                println!("update {update}: firing rate {cpu} on the CPU, {on_gpu} on the GPU");
                assert!((cpu - on_gpu).abs() < 2e-5 * loose, "{cpu} against {on_gpu}");
            }
            for (name, cpu, on_gpu, abs) in [
                ("reward", cpu.slots[0], on_gpu.slots[0], 1e-3),
                ("value loss", cpu.value_loss, on_gpu.value_loss, 1e-3 * cpu.value_loss.abs()),
                ("entropy", cpu.entropy, on_gpu.entropy, 1e-5),
                ("actor norm", cpu.grad_norm_actor, on_gpu.grad_norm_actor, 1e-2 * cpu.grad_norm_actor),
                ("critic norm", cpu.grad_norm_critic, on_gpu.grad_norm_critic, 1e-2 * cpu.grad_norm_critic),
            ] {
                println!("update {update}: {name} {cpu} on the CPU, {on_gpu} on the GPU");
                assert!((cpu - on_gpu).abs() < loose * abs, "{name}: {cpu} against {on_gpu}");
            }
        }
    }
}

/// Spikes make the two part after some updates, so whole curves are compared as curves: means over seeds within each
/// other's intervals.
#[test]
fn whole_curves_lie_within_each_others_intervals() {
    let Some(gpu) = shared_gpu() else { return };
    let seeds = [1, 2, 3, 4, 5].map(|seed| (seed, 40.0));
    let spec = spiking(&["task.beam=tracking", "spiking.hidden_gain=8", "ppo.minibatch=200"], &seeds);
    let updates = 16;
    let [cpu, on_gpu] = [None, Some(gpu)].map(|gpu| {
        let (_, seen) = trained(&spec, updates, gpu);
        seen.iter()
            .map(|u| {
                let rewards: Vec<f64> = u.iter().map(|u| u.slots[0]).collect();
                let (mean, se) = (stats::mean(&rewards), stats::standard_error(&rewards).unwrap());
                (mean, stats::t_interval_95(mean, se, rewards.len()).unwrap())
            })
            .collect::<Vec<_>>()
    });
    for (update, ((a, in_a), (b, in_b))) in cpu.iter().zip(&on_gpu).enumerate() {
        println!(
            "update {update}: CPU {a:.3} ({:.3} to {:.3}), GPU {b:.3} ({:.3} to {:.3})",
            in_a.lo, in_a.hi, in_b.lo, in_b.hi
        );
        assert!((in_a.lo..=in_a.hi).contains(b) && (in_b.lo..=in_b.hi).contains(a), "update {update}");
    }
    // Else there was nothing to compare.
    let (first, last) = (&cpu[0], &cpu[updates as usize - 1]);
    assert!(last.1.lo > first.1.hi, "reward {} at first, {} at last", first.0, last.0);
}

// ---- activity in evaluation ----

/// What the policy of fresh weights of the replicas [`TWO`] does over `episodes`.
fn evaluated(config: &V2xConfig, spec: &PpoSpec, episodes: u64, gpu: Option<&Gpu>) -> Vec<ReplicaEstimates> {
    let params = spec.initial_params();
    let controller = Controller::Policy {
        policy: Algorithm::Ppo(spec.clone()).policy().unwrap(),
        params: &params,
        greedy: false,
        precision: Precision::F32,
    };
    let env = config.env_of(small_ppo::params(config, &TWO));
    evaluate(&Evaluation { env, controller, episodes, slots: &[] }, gpu, &|_| {}).unwrap()
}

/// Spikes of each unit and potentials that changed, by the potentials [M, S, N] of the f32 twin.
fn counted(lif: &Lif, n: usize, u: &[f32]) -> (Vec<u64>, u64) {
    let (mut spikes, mut updates) = (vec![0; n], 0);
    for (k, &now) in u.iter().enumerate() {
        spikes[k % n] += u64::from(f64::from(now) >= lif.threshold);
        updates += u64::from((k / n).is_multiple_of(lif.steps) || now != u[k - n]);
    }
    (spikes, updates)
}

/// One slot of 37 episodes from the same reset states, through the twins; a thousandth may differ.
#[test]
fn activity_of_one_slot_is_the_twins() {
    let Some(gpu) = gpu_or_skip() else { return };
    let sets = ["task.slots=1", "ppo.horizon=1", "ppo.envs=400"];
    let spikes = spiking(&sets, &TWO);
    let encoded = spiking(&[&sets[..], &["spiking.population=5", "spiking.hidden=[16]"]].concat(), &TWO);
    let dense = small_ppo::spec(&config(&[&sets[..], &["ppo.hidden=[16,16]"]].concat()), &TWO);
    let (m, config) = (37, config(&sets));
    let (task, replicas) = (config.task.spec(), small_ppo::params(&config, &TWO));
    for spec in [spikes, encoded, dense] {
        let (layout, params) = (spec.layout(), spec.initial_params());
        let (net, p) = (layout.actor.clone(), layout.params());
        let (o, v) = (task.obs_dim(), task.vehicles);
        for (r, outcome) in evaluated(&config, &spec, m as u64, Some(gpu)).iter().enumerate() {
            let activity = outcome.activity.as_ref().expect("a policy network is active");
            let (mut state, mut obs) = (vec![0.0; task.state_rows() * m], vec![0.0; m * o]);
            let evaluated = V2xParams { key: [replicas[r].key[0], 1], ..replicas[r] };
            reset_chunk(&task, &evaluated, m, 0, &mut state, &mut obs, 0);
            let h = forward_cpu(&net, (1, m), &params[r * p..(r + 1) * p], &obs);
            assert_eq!((activity.samples, activity.layers.len()), (m as u64, 3));
            // At the reset no SINR was reported: its observations are 0.
            let inputs: Vec<u64> =
                (0..o).map(|k| obs.iter().skip(k).step_by(o).filter(|x| **x != 0.0).count() as u64).collect();
            assert_eq!(activity.layers[0].active, inputs);
            assert_eq!(inputs.iter().filter(|&&n| n == 0).count(), v);
            assert_eq!(activity.layers[0].presentations, 1);
            let mut spikes_seen = 0;
            for n in 0..2 {
                let (below, here) = (&activity.layers[n], &activity.layers[n + 1]);
                let width = net.layers[n].outputs;
                let Some(lif) = net.lif else {
                    assert_eq!(here.active, vec![m as u64; width], "tanh is nowhere 0");
                    assert_eq!((here.presentations, below.membrane_updates), (1, 0));
                    continue;
                };
                let (spikes, updates) = counted(&lif, width, &h[n + 1]);
                let differ: u64 = spikes.iter().zip(&here.active).map(|(a, b)| a.abs_diff(*b)).sum();
                let most = (m * lif.steps * width) as u64 / 1000;
                assert!(differ <= most, "layer {n}: {:?} against {spikes:?}", here.active);
                assert!(
                    updates.abs_diff(below.membrane_updates) <= most,
                    "{updates} {}",
                    below.membrane_updates
                );
                assert_eq!(here.presentations, lif.steps as u64);
                spikes_seen += spikes.iter().sum::<u64>();
            }
            assert_eq!(activity.layers[2].membrane_updates, 0);
            assert!(net.lif.is_none() || spikes_seen > 0, "nothing fired");
        }
    }
}

#[test]
fn activity_adds_up_over_slots_and_episodes() {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = spiking(&SHORT, &TWO);
    // Two batches of episodes.
    let config = config(&SHORT);
    let outcomes = evaluated(&config, &spec, 4096 + 5, Some(gpu));
    let again = evaluated(&config, &spec, 4096 + 5, Some(gpu));
    assert_eq!(outcomes, again);
    let first: Vec<Activity> =
        evaluated(&config, &spec, 4096, Some(gpu)).into_iter().map(|o| o.activity.unwrap()).collect();
    for (all, first) in outcomes.iter().map(|o| o.activity.as_ref().unwrap()).zip(&first) {
        assert_eq!(all.samples, 4101 * 5);
        assert_eq!(first.samples, 4096 * 5);
        for (all, first) in all.layers.iter().zip(&first.layers) {
            for (all, first) in all.active.iter().zip(&first.active) {
                let more = all.checked_sub(*first).expect("counts grow with the episodes");
                assert!(more <= 5 * 5 * 6, "{more} more in 5 episodes of 5 slots");
            }
        }
        // Every potential is written in the first step.
        for (n, width) in [16, 16].into_iter().enumerate() {
            let updates = all.layers[n].membrane_updates;
            assert!((all.samples * width..=all.samples * width * 6).contains(&updates), "{updates}");
        }
    }
    assert_ne!(outcomes[0].activity, outcomes[1].activity, "the replicas differ");
}

/// Whoever carries potentials decides as others in an episode's first slot and otherwise later; both backends alike, in
/// every slot and in the second batch of episodes too.
#[test]
fn an_evaluation_carries_potentials_from_slot_to_slot() {
    let by_slot = |membrane: &str, gpu: Option<&Gpu>| {
        let sets = [&SHORT[..], &CARRIED, &[membrane]].concat();
        let (config, spec) = (config(&sets), spiking(&sets, &TWO));
        let params = spec.initial_params();
        let controller = Controller::Policy {
            policy: Algorithm::Ppo(spec.clone()).policy().unwrap(),
            params: &params,
            greedy: true,
            precision: Precision::F32,
        };
        let env = config.env_of(small_ppo::params(&config, &TWO));
        let row = env.curve()[1];
        let eval = Evaluation { env, controller, episodes: 4096 + 300, slots: &[row] };
        let outcomes = evaluate(&eval, gpu, &|_| {}).unwrap();
        outcomes.iter().map(|o| o.slots[0].iter().map(|e| e.mean).collect()).collect::<Vec<Vec<f64>>>()
    };
    let (carried, reset) =
        (by_slot("spiking.membrane=carried", None), by_slot("spiking.membrane=reset", None));
    for (carried, reset) in carried.iter().zip(&reset) {
        assert_eq!(carried.len(), 5);
        assert_eq!(carried[0], reset[0], "the first slot");
        assert!(carried[1..].iter().zip(&reset[1..]).all(|(a, b)| a != b), "{carried:?} {reset:?}");
    }
    let Some(gpu) = gpu_or_skip() else { return };
    for (cpu, on_gpu) in carried.iter().zip(&by_slot("spiking.membrane=carried", Some(gpu))) {
        println!("{cpu:?} on the CPU, {on_gpu:?} on the GPU");
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 2e-4 * a.abs();
        assert!(cpu.iter().zip(on_gpu).all(near), "{cpu:?} {on_gpu:?}");
    }
}

#[test]
fn cpu_and_gpu_count_the_same_activity() {
    let Some(gpu) = gpu_or_skip() else { return };
    let config = config(&SHORT);
    let encoded = spiking(&[&SHORT[..], &["spiking.population=5", "spiking.hidden=[16]"]].concat(), &TWO);
    let carried = spiking(&[&SHORT[..], &CARRIED].concat(), &TWO);
    for spec in [spiking(&SHORT, &TWO), encoded, carried, small_ppo::spec(&config, &TWO)] {
        let (cpu, on_gpu) = (evaluated(&config, &spec, 300, None), evaluated(&config, &spec, 300, Some(gpu)));
        let net = spec.layout().actor;
        for (cpu, on_gpu) in cpu.iter().zip(&on_gpu) {
            let [cpu, on_gpu] = [cpu, on_gpu].map(|o| o.activity.as_ref().unwrap());
            assert_eq!((cpu.samples, cpu.layers.len()), (on_gpu.samples, on_gpu.layers.len()));
            let weights = |l: usize| match net.population {
                Some(_) if l == 0 => 0,
                _ => (net.layers[l].inputs * net.layers[l].outputs) as u64,
            };
            let between = net.lif.map_or(1, |lif| lif.steps as u64);
            assert_eq!(on_gpu.executed, on_gpu.samples * (weights(0) + between * weights(1) + weights(2)));
            if net.lif.is_some() {
                // The CPU adds no row of a silent neuron, and every other row at least once.
                let rows = |active: &[u64]| active.iter().sum::<u64>() * net.layers[1].outputs as u64;
                let [least, most] = [6, 1].map(|d| rows(&cpu.layers[1].active) / d);
                let added = cpu.executed - cpu.samples * (weights(0) + weights(2));
                println!("{added} additions for {most} spikes times rows");
                assert!((least..=2 * most).contains(&added) && cpu.executed < on_gpu.executed);
            } else {
                assert_eq!(cpu.executed, on_gpu.executed);
            }
            for (cpu, on_gpu) in cpu.layers.iter().zip(&on_gpu.layers) {
                assert_eq!(cpu.presentations, on_gpu.presentations);
                let all = cpu.presentations * 1500 * cpu.active.len() as u64;
                let differ: u64 = cpu.active.iter().zip(&on_gpu.active).map(|(a, b)| a.abs_diff(*b)).sum();
                println!("{differ} of {all} presentations differ");
                assert!(differ <= all / 1000);
                let updates = cpu.membrane_updates.abs_diff(on_gpu.membrane_updates);
                assert!(updates <= cpu.membrane_updates / 1000, "{updates} membrane updates differ");
            }
        }
    }
}
