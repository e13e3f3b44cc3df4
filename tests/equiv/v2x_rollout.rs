//! The fused rollout against its twin, and against the kernels whose work it does.

use crate::common::{assert_all, gpu_or_skip};
use isacbench::gpu::{Buf, Fill, Gpu};
use isacbench::kernels::compare::compare_exact;
use isacbench::kernels::inputs::normal;
use isacbench::kernels::{dense_forward, gaussian_head};
use isacbench::nets::{Activation, ActorCriticLayout};
use isacbench::tasks::v2x::kernels::v2x_rollout::{Args, Spec, Tiling, V2xRollout, check, outcome};
use isacbench::tasks::v2x::kernels::{v2x_batch, v2x_step};
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, Limits, V2xSpec, metric};

/// Replicas, environments, vehicles; beams; kinematics; hidden layers.
type Case = ((usize, usize, usize), Beam, Kinematics, &'static [usize]);

/// A policy as it suits the adapter.
fn spec(gpu: &Gpu, ((r, b, vehicles), beam, kinematics, hidden): Case) -> Spec {
    let task = V2xSpec { vehicles, antennas: 32, slots: 20, beam, kinematics, choices: Choices::DEFAULT };
    let layout = ActorCriticLayout::new(task.obs_dim(), hidden, task.action_dim(), Activation::Tanh);
    Spec::new(&gpu.limits, v2x_batch::Spec { r, b, task }, 10, &layout).expect("a small policy fits")
}

/// The same with resident or streamed weights, of as many environments as have room then.
fn tiled(gpu: &Gpu, case: Case, resident: bool, slice: usize) -> Spec {
    let mut spec = spec(gpu, case);
    spec.tiling = Tiling { resident, slice, ..spec.tiling };
    while spec.tiling.bytes(&spec.net) > gpu.limits.max_compute_workgroup_storage_size as usize {
        spec.tiling.envs /= 2;
        assert!(spec.tiling.envs >= 8, "no room for {spec:?}");
    }
    spec
}

fn run(case: Case, resident: bool, slice: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = tiled(gpu, case, resident, slice);
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    same_bits(gpu, &spec);
}

#[test]
fn angles_resident() {
    run(((1, 1, 1), Beam::Angles, Kinematics::Paper, &[16]), true, 16);
    run(((2, 67, 3), Beam::Angles, Kinematics::Cartesian, &[20, 33]), true, 16);
}

#[test]
fn angles_streamed() {
    run(((2, 63, 5), Beam::Angles, Kinematics::Paper, &[5, 40, 3]), false, 8);
}

#[test]
fn tracking_resident() {
    run(((2, 33, 3), Beam::Tracking, Kinematics::Paper, &[64, 64]), true, 16);
}

#[test]
fn tracking_streamed() {
    run(((1, 70, 8), Beam::Tracking, Kinematics::Cartesian, &[36]), false, 16);
}

#[test]
fn zf_resident() {
    run(((2, 33, 3), Beam::Zf, Kinematics::Paper, &[20]), true, 16);
}

#[test]
fn the_policy_of_the_paper() {
    run(((2, 37, 3), Beam::Angles, Kinematics::Paper, &[128, 128]), false, 16);
}

#[test]
fn limits_of_an_episode() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut spec = tiled(gpu, ((2, 33, 3), Beam::Angles, Kinematics::Paper, &[20]), true, 16);
    spec.batch.task.choices.limits = Limits::Episode;
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
    same_bits(gpu, &spec);
}

/// Everything that a rollout leaves.
struct Left {
    floats: Vec<(&'static str, Vec<f32>)>,
    flags: Vec<u32>,
}

struct Inputs {
    net: Vec<f32>,
    states: Vec<f32>,
    clock: u32,
}

fn fused(gpu: &Gpu, spec: &Spec, x: &Inputs) -> Left {
    let zero = |len: usize| gpu.alloc::<f32>("rollout", &[len], Fill::Zero).unwrap();
    let params = gpu.upload("params", &[spec.batch.r], &v2x_batch::check_params(&spec.batch, 7)).unwrap();
    let net = gpu.upload("net", &[x.net.len()], &x.net).unwrap();
    let state = gpu.upload("state", &[x.states.len()], &x.states).unwrap();
    let (obs, action) = (zero(spec.obs_len()), zero(spec.action_len()));
    let (logprob, outcomes) = (zero(spec.slots_len()), zero(spec.outcome_len()));
    let flags = gpu.alloc::<u32>("flags", &[spec.slots_len()], Fill::Zero).unwrap();
    let bound = V2xRollout::new(gpu, spec, spec.horizon)
        .unwrap()
        .bind(gpu, &params, &net, &state, &obs, &action, &logprob, &flags, &outcomes);
    let at = Args { clock: x.clock, first: 0, slots: spec.horizon };
    gpu.run(|pass| bound.record(pass, &at)).unwrap();
    let (obs, all) = (gpu.read(&obs).unwrap(), gpu.read(&outcomes).unwrap());
    let row = |q: usize| all[q * spec.slots_len()..][..spec.slots_len()].to_vec();
    // The first observation is the caller's to write.
    let seen = spec.batch.obs_len();
    Left {
        floats: vec![
            ("state", gpu.read(&state).unwrap()),
            ("obs", obs[seen..spec.final_off()].to_vec()),
            ("final_obs", obs[spec.final_off()..].to_vec()),
            ("action", gpu.read(&action).unwrap()),
            ("logprob", gpu.read(&logprob).unwrap()),
            ("reward", row(outcome::REWARD)),
            ("sum-rate", row(outcome::SUM_RATE)),
            ("Jain", row(outcome::JAIN)),
            ("indicator", row(outcome::INDICATOR)),
        ],
        flags: gpu.read(&flags).unwrap(),
    }
}

/// Layer by layer and slot by slot.
fn unfused(gpu: &Gpu, spec: &Spec, x: &Inputs) -> Left {
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (n, o, a, p, t) = (r * b, task.obs_dim(), task.action_dim(), spec.p, spec.horizon);
    let zero = |len: usize| gpu.alloc::<f32>("rollout", &[len], Fill::Zero).unwrap();
    let task_params = v2x_batch::check_params(&spec.batch, 7);
    let params = gpu.upload("params", &[r], &task_params).unwrap();
    let keys = gpu.upload("keys", &[r], &task_params.iter().map(|p| p.key).collect::<Vec<_>>()).unwrap();
    let net = gpu.upload("net", &[x.net.len()], &x.net).unwrap();
    let state = gpu.upload("state", &[x.states.len()], &x.states).unwrap();
    let (obs, final_obs, action) = (zero((t + 1) * n * o), zero(n * o), zero(t * n * a));
    let (logprob, reward, metrics) = (zero(t * n), zero(t * n), zero(spec.batch.metrics_len()));
    let flags = gpu.alloc::<u32>("flags", &[t * n], Fill::Zero).unwrap();
    // What stands in the states is what is seen first.
    let mut seen = vec![0f32; n * o];
    for (e, row) in seen.chunks_exact_mut(o).enumerate() {
        let rows = &x.states[e / b * task.state_rows() * b..][..task.state_rows() * b];
        let s = isacbench::tasks::v2x::physics::load_state::<f32>(task.vehicles, rows, b, e % b);
        isacbench::tasks::v2x::physics::observe(task.vehicles, &task_params[e / b], &s, |i, x| row[i] = x);
    }
    gpu.write(&obs, &seen);

    let acts: Vec<Buf<f32>> = spec.net.layers.iter().map(|l| zero(n * l.outputs)).collect();
    let layers: Vec<_> = spec
        .net
        .layers
        .iter()
        .enumerate()
        .map(|(i, l)| {
            let dense =
                dense_forward::Spec { r, m: b, i: l.inputs, o: l.outputs, p, act: l.act, b_scale: 1.0 };
            let input = if i == 0 { &obs } else { &acts[i - 1] };
            dense_forward::DenseForward::new(gpu, &dense).unwrap().bind(gpu, &net, input, &acts[i])
        })
        .collect();
    let head = gaussian_head::GaussianHead::new(gpu, &gaussian_head::Spec { r, b, a, p, behind: 0 })
        .unwrap()
        .bind(gpu, &net, &keys, acts.last().unwrap(), &action, &logprob);
    let step = v2x_step::V2xStep::new(gpu, &spec.batch)
        .unwrap()
        .bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
    let mut rows = vec![Vec::new(); 3];
    for slot in 0..t {
        let clock = x.clock + slot as u32;
        gpu.run(|pass| {
            for (i, (bound, l)) in layers.iter().zip(&spec.net.layers).enumerate() {
                let x_off = if i == 0 { slot * n * o } else { 0 };
                let at = dense_forward::Args { m: b, w_off: l.w_off, b_off: l.b_off, x_off, y_off: 0 };
                bound.record(pass, &at);
            }
            let draw = gaussian_head::Args {
                b,
                clock,
                ls_off: spec.ls_off,
                greedy: false,
                action_off: slot * n * a,
                logprob_off: slot * n,
            };
            head.record(pass, &draw);
            let act = v2x_step::Args {
                clock,
                action_off: slot * n * a,
                obs_off: (slot + 1) * n * o,
                reward_off: slot * n,
                full: true,
            };
            step.record(pass, &act);
        })
        .unwrap();
        let all = gpu.read(&metrics).unwrap();
        for (rows, what) in rows.iter_mut().zip([metric::SUM_RATE, metric::JAIN, metric::INDICATOR]) {
            for r in 0..r {
                rows.extend_from_slice(&all[(r * task.metric_rows() + what) * b..][..b]);
            }
        }
    }
    let [sum_rate, jain, indicator] = rows.try_into().unwrap();
    Left {
        floats: vec![
            ("state", gpu.read(&state).unwrap()),
            ("obs", gpu.read(&obs).unwrap()[n * o..].to_vec()),
            ("final_obs", gpu.read(&final_obs).unwrap()),
            ("action", gpu.read(&action).unwrap()),
            ("logprob", gpu.read(&logprob).unwrap()),
            ("reward", gpu.read(&reward).unwrap()),
            ("sum-rate", sum_rate),
            ("Jain", jain),
            ("indicator", indicator),
        ],
        flags: gpu.read(&flags).unwrap(),
    }
}

/// Ten slots across an episode's end in one dispatch, against five and more dispatches a slot: every bit on lavapipe,
/// which neither fuses nor reassociates these sums. (Hardware may, and a slot's error then grows with those behind it:
/// there `check` judges slot by slot.)
fn same_bits(gpu: &Gpu, spec: &Spec) {
    if !gpu.rounds_as_twins() {
        return;
    }
    let x = Inputs {
        net: normal(5, 2, spec.batch.r * spec.p, 0.2),
        states: v2x_batch::check_states(&spec.batch, 7),
        clock: 2 * 20 + 15,
    };
    let (a, b) = (fused(gpu, spec, &x), unfused(gpu, spec, &x));
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut rows = vec![compare_exact("flags", &a.flags, &b.flags)];
    for ((what, a), (_, b)) in a.floats.iter().zip(&b.floats) {
        rows.push(compare_exact(what, &bits(a), &bits(b)));
    }
    assert_all(&format!("{spec:?}, against the kernels it fuses"), Ok(rows));
    // Slot 4 ends an episode and no other does.
    let ended: Vec<_> =
        a.flags.chunks(spec.batch.r * spec.batch.b).map(|f| f.iter().all(|f| *f != 0)).collect();
    assert_eq!(ended, [false, false, false, false, true, false, false, false, false, false]);
    let acted = a.floats.iter().filter(|(what, _)| *what != "reward" && *what != "indicator");
    for (what, x) in acted {
        assert!(x.iter().all(|x| x.is_finite()) && x.iter().any(|x| *x != 0.0), "{what}: nothing happens");
    }
}

/// Software Vulkan would cut the loops of such a thread short without a word.
#[test]
fn software_refuses_slots_it_would_cut() {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = spec(gpu, ((1, 1, 3), Beam::Angles, Kinematics::Paper, &[16]));
    let most = V2xRollout::most_slots(gpu, &spec, 100_000);
    if gpu.is_software() {
        assert!((25..1000).contains(&most), "{most} slots");
        let error = V2xRollout::new(gpu, &spec, most + 1).err().expect("above the limit").to_string();
        assert!(error.contains("loop iterations"), "{error}");
    } else {
        assert_eq!(most, 100_000);
    }
    assert!(V2xRollout::new(gpu, &spec, most).is_ok());
    assert_eq!(V2xRollout::most_slots(gpu, &spec, 7), 7);
}

#[test]
fn a_tiling_beyond_the_workgroup_memory_is_an_error() {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = spec(gpu, ((1, 4096, 3), Beam::Angles, Kinematics::Paper, &[128, 128]));
    // 67 KiB of weights and 34 of activations.
    let spec = Spec { tiling: Tiling { envs: 64, resident: true, ..spec.tiling }, ..spec };
    if spec.tiling.bytes(&spec.net) > gpu.limits.max_compute_workgroup_storage_size as usize {
        let error = V2xRollout::new(gpu, &spec, 1).err().expect("there is not so much").to_string();
        assert!(error.contains("workgroup memory") && error.contains("v2x_rollout"), "{error}");
    }
}
