//! Every kernel of the registry on the adapter that ISACBENCH_DEVICE names (`gpu`, or a part of its name). Without it nothing runs: the default
//! device of this program is the CPU.
//!
//! One iteration is a submission of ten dispatches and the wait for its end, by the wall clock. A kernel is timed only after its equivalence
//! check has passed on this adapter. On a software adapter the sizes are small and the figures say nothing about GPUs.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use isacbench::gpu::{Buf, Fill, Gpu, GpuError, fold_groups};
use isacbench::kernels::inputs::normal;
use isacbench::kernels::*;
use isacbench::learn::replay::Row;
use isacbench::policy::{Activation, Codebook, Lif};
use isacbench::shuffle::{Minibatch, Unit};
use isacbench::task::misac::{MisacSpec, Phase, STATE_ROWS, Uncertainty, gain_row, metric};
use isacbench::task::misac_dp::Rule;
use isacbench::task::v2x::{Beam, Kinematics, V2xSpec};
use isacbench::task::v2x_reference::Reference;
use std::time::Duration;

/// Dispatches of one submission.
const DISPATCHES: usize = 10;
/// Width of the hidden layers.
const HIDDEN: usize = 128;

/// The neurons of the paper.
const LIF: Lif = Lif { steps: 6, lambda: 0.5, threshold: 1.0, reset: 0.0, eta: 3.0, detach_reset: false };

/// Sizes of a training run.
struct Sizes {
    /// Replicas, environments, slots, samples of a minibatch, slices of its weight gradients, parameters of a replica.
    r: usize,
    b: usize,
    t: usize,
    m: usize,
    s: usize,
    p: usize,
}

impl Sizes {
    fn of(gpu: &Gpu) -> Sizes {
        let p = 36_999;
        if gpu.is_software() {
            Sizes { r: 1, b: 512, t: 20, m: 1024, s: 2, p }
        } else {
            Sizes { r: 4, b: 4096, t: 100, m: 25_600, s: 50, p }
        }
    }
}

type Record = Box<dyn Fn(&mut wgpu::ComputePass)>;

/// A kernel bound to its buffers.
struct Case {
    /// Behind the stem in the id.
    sizes: String,
    /// Elements that one dispatch produces or reads; floating-point operations for the dense layers.
    elements: usize,
    record: Record,
}

fn case(
    sizes: String,
    elements: usize,
    record: impl Fn(&mut wgpu::ComputePass) + 'static,
) -> Result<Case, GpuError> {
    Ok(Case { sizes, elements, record: Box::new(record) })
}

fn build(gpu: &Gpu, stem: &str) -> Result<Case, GpuError> {
    let &Sizes { r, b, t, m, s, p } = &Sizes::of(gpu);
    let task =
        V2xSpec { vehicles: 3, antennas: 32, slots: 100, beam: Beam::Angles, kinematics: Kinematics::Paper };
    let (o, a, rows) = (task.obs_dim(), task.action_dim(), task.metric_rows());
    let batch = v2x_batch::Spec { r, b, task };
    let floats =
        |name: &str, shape: &[usize]| gpu.upload(name, shape, &normal(1, 0, shape.iter().product(), 0.3));
    let zeros = |name: &str, shape: &[usize]| gpu.alloc::<f32>(name, shape, Fill::Zero);
    let spike_words = |name: &str| {
        let words = normal(4, 0, r * m.max(b) * HIDDEN, 1.0).into_iter().map(|x| x.to_bits() >> 8 & 0x3f);
        gpu.upload(name, &[r, m.max(b), HIDDEN], &words.collect::<Vec<_>>())
    };
    let keys = || gpu.upload("keys", &[r], &(0..r as u32).map(|i| [1, i]).collect::<Vec<_>>());
    let tasks = || gpu.upload("params", &[r], &v2x_batch::check_params(&batch, 1));
    let scalars = || -> Result<Buf<[f32; 4]>, GpuError> {
        let rows: Vec<[f32; 4]> =
            normal(2, 0, r * m, 0.3).into_iter().map(|x| [-5.0 + 0.1 * x, x, 0.5 * x, 0.4 * x]).collect();
        gpu.upload("mb_scalars", &[r, m], &rows)
    };
    // Reset states: what the kernels of the task start from.
    let fresh = || -> Result<(Buf<f32>, Buf<f32>), GpuError> {
        let (state, obs) = (zeros("state", &[r, task.state_rows(), b])?, zeros("obs", &[r, b, o])?);
        let bound = v2x_reset::V2xReset::new(gpu, &batch)?.bind(gpu, &tasks()?, &state, &obs);
        gpu.run(|pass| bound.record(pass, &v2x_reset::Args { clock: 0, obs_off: 0 }))?;
        Ok((state, obs))
    };
    // The second paper's task.
    let misac = MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty: Uncertainty::Constant };
    let cars = misac_batch::Spec { r, b, task: misac };
    let road = || gpu.upload("misac_params", &[r], &misac_batch::check_params(&cars, 1));
    let traffic = || {
        let rows = misac_batch::check_states(&cars, &misac_batch::check_params(&cars, 1), 1);
        gpu.upload("misac_state", &[r, STATE_ROWS * 4, b], &rows)
    };
    let envs = format!("R={r},B={b}");
    let samples = format!("R={r},M={m}");
    match stem {
        "philox_fill" => {
            let blocks = r * b * 64;
            let start = gpu.upload("start_key", &[6], &[0u32, 1, 2, 3, 4, 5])?;
            let out = gpu.alloc::<[u32; 4]>("out", &[blocks], Fill::Zero)?;
            let bound = gpu
                .kernel("philox_fill", &philox_fill::prelude(&philox_fill::Spec { blocks }))?
                .bind(gpu, &[&start.raw, &out.raw]);
            case(format!("N={blocks}"), 4 * blocks, move |pass| {
                bound.record(pass, fold_groups(blocks, philox_fill::WG), &[])
            })
        }
        "normal_fill" => {
            let blocks = r * b * 64;
            let start = gpu.upload("start_key", &[6], &[0u32, 1, 2, 3, 4, 5])?;
            let out = gpu.alloc::<[f32; 4]>("out", &[blocks], Fill::Zero)?;
            let bound =
                normal_fill::NormalFill::new(gpu, &normal_fill::Spec { blocks })?.bind(gpu, &start, &out);
            case(format!("N={blocks}"), 4 * blocks, move |pass| bound.record(pass))
        }
        "math_eval" => {
            let n = r * b * 64;
            let args: Vec<[u32; 2]> =
                normal(3, 0, n, 3.0).into_iter().map(|x| [x.to_bits(), x.to_bits()]).collect();
            let args = gpu.upload("args", &[n], &args)?;
            let out = gpu.alloc::<[f32; 2]>("out", &[n], Fill::Zero)?;
            let bound = math_eval::MathEval::new(gpu, &math_eval::Spec { n, ..math_eval::DEFAULT })?
                .bind(gpu, &args, &out);
            case(format!("exp,N={n}"), n, move |pass| bound.record(pass))
        }
        "v2x_reset" => {
            let (state, obs) = (zeros("state", &[r, task.state_rows(), b])?, zeros("obs", &[r, b, o])?);
            let bound = v2x_reset::V2xReset::new(gpu, &batch)?.bind(gpu, &tasks()?, &state, &obs);
            case(envs, r * b, move |pass| bound.record(pass, &v2x_reset::Args { clock: 0, obs_off: 0 }))
        }
        "v2x_reference" => {
            let who = Reference::GenieZf;
            let spec = v2x_reference::Spec {
                batch: v2x_batch::Spec { task: V2xSpec { beam: who.beam(), ..task }, ..batch },
                who,
            };
            let (state, _) = fresh()?;
            let (memory, action) =
                (zeros("memory", &[spec.memory_len().max(1)])?, zeros("action", &[spec.batch.action_len()])?);
            let bound =
                v2x_reference::V2xReference::new(gpu, &spec)?.bind(gpu, &tasks()?, &state, &memory, &action);
            let args = v2x_reference::Args { clock: 0, action_off: 0 };
            case(format!("GenieZf,{envs}"), r * b, move |pass| bound.record(pass, &args))
        }
        "v2x_step" => {
            let ((state, obs), action) = (fresh()?, floats("action", &[r, b, a])?);
            let (final_obs, reward) = (zeros("final_obs", &[r, b, o])?, zeros("reward", &[r, b])?);
            let (flags, metrics) =
                (gpu.alloc::<u32>("flags", &[r, b], Fill::Zero)?, zeros("metrics", &[r, rows, b])?);
            let kernel = v2x_step::V2xStep::new(gpu, &batch)?;
            let bound =
                kernel.bind(gpu, &tasks()?, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
            let args = v2x_step::Args { clock: 0, action_off: 0, obs_off: 0, reward_off: 0, full: false };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "misac_reset" => {
            let (state, obs) = (traffic()?, zeros("obs", &[r, b, misac.obs_dim()])?);
            let bound = misac_reset::MisacReset::new(gpu, &cars)?.bind(gpu, &road()?, &state, &obs);
            let args = misac_reset::Args { clock: 0, state_off: 0, obs_off: 0 };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "misac_schedule" => {
            let spec = misac_schedule::Spec { batch: cars, rule: Rule::Table, age_max: 10 };
            let rule = gpu.alloc::<u32>("rule", &[spec.rule_len()], Fill::Zero)?;
            let action = zeros("action", &[r, b, 4])?;
            let kernel = misac_schedule::MisacSchedule::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &traffic()?, &rule, &action);
            let args = misac_schedule::Args { clock: 0, state_off: 0, action_off: 0 };
            case(format!("Table,{envs}"), r * b, move |pass| bound.record(pass, &args))
        }
        "misac_step" => {
            let (state, action) = (traffic()?, zeros("action", &[r, b, 4])?);
            let (obs, final_obs) = (zeros("obs", &[cars.obs_len()])?, zeros("final_obs", &[cars.obs_len()])?);
            let (reward, metrics) = (zeros("reward", &[r, b])?, zeros("metrics", &[r, metric::ROWS, b])?);
            let flags = gpu.alloc::<u32>("flags", &[r, b], Fill::Zero)?;
            let bound = misac_step::MisacStep::new(gpu, &cars)?.bind(
                gpu,
                &road()?,
                &action,
                &state,
                &obs,
                &final_obs,
                &reward,
                &flags,
                &metrics,
            );
            let args = misac_step::Args {
                clock: 0,
                action_off: 0,
                state_off: 0,
                next_off: 0,
                obs_off: 0,
                reward_off: 0,
                full: false,
            };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "misac_gain" => {
            let spec = misac_gain::Spec { batch: cars, phase: Phase::Direct };
            let (phases, gains) = (floats("phases", &[r, b, 4, 64])?, zeros("gains", &[spec.gains_len()])?);
            let bound =
                misac_gain::MisacGain::new(gpu, &spec)?.bind(gpu, &road()?, &traffic()?, &phases, &gains);
            let args = misac_gain::Args { clock: 0, state_off: 0, phases_off: 0 };
            case(format!("{envs},K=4,N=64"), r * b, move |pass| bound.record(pass, &args))
        }
        "expert_mix" => {
            let spec = expert_mix::Spec { r, m, c: 260 };
            let (x, y) = (floats("x", &[r, m, 260])?, zeros("y", &[r, m, 260])?);
            let gate = floats("gate", &[r, m, 2])?;
            let bound = expert_mix::ExpertMix::new(gpu, &spec)?.bind(gpu, &gate, &x, &x, &y);
            case(format!("{samples},C=260"), r * m * 260, move |pass| bound.record(pass, m))
        }
        "expert_mix_backward" => {
            let spec = expert_mix_backward::Spec { r, m, c: 260 };
            let [da, db] = [zeros("da", &[r, m, 260])?, zeros("db", &[r, m, 260])?];
            let (x, gate, d_gate) =
                (floats("x", &[r, m, 260])?, floats("gate", &[r, m, 2])?, zeros("d_gate", &[r, m, 2])?);
            let kernel = expert_mix_backward::ExpertMixBackward::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &gate, &x, &x, &x, &da, &db, &d_gate);
            case(format!("{samples},C=260"), r * m * 260, move |pass| bound.record(pass, m))
        }
        "grad_join" => {
            let (mask, out) = (floats("mask", &[p])?, zeros("out", &[r, 3])?);
            let (other, grads) = (floats("other", &[r, p])?, floats("grads", &[r, p])?);
            let kernel = grad_join::GradJoin::new(gpu, &grad_join::Spec { r, p })?;
            let bound = kernel.bind(gpu, &mask, &other, &grads, &out);
            case(format!("R={r},P={p}"), r * p, move |pass| bound.record(pass, 0))
        }
        "obs_mask" => {
            let spec = obs_mask::Spec { rows: r * b, o: 12, first: 8 };
            let bound = obs_mask::ObsMask::new(gpu, &spec)?.bind(gpu, &floats("obs", &[r, b, 12])?);
            case(envs, r * b, move |pass| bound.record(pass, 0))
        }
        "slot_gather" => {
            let spec = slot_gather::Spec { t, r, b, o: 12, slots: t / 4, envs: b };
            let (obs, kept) = (zeros("obs", &[t + 1, r, b, 12])?, zeros("kept", &[r, t / 4, b, 12])?);
            let bound = slot_gather::SlotGather::new(gpu, &spec)?.bind(gpu, &keys()?, &obs, &kept);
            let args = slot_gather::Args {
                which: Minibatch { update: 0, epoch: 0, mb: 0 },
                first: 0,
                stride: 4,
                slots: t / 4,
            };
            case(format!("{envs},T={t},stride=4"), r * b * (t / 4), move |pass| bound.record(pass, &args))
        }
        "spatial_loss" => {
            let spec = spatial_loss::Spec { batch: cars, phase: Phase::Direct, slots: 1, m: m.min(b) };
            let m = spec.m;
            let (phases, d_phases) = (floats("phases", &[r, m, 4, 64])?, zeros("d_phases", &[r, m, 4, 64])?);
            let gain = zeros("gain", &[r, m, 4])?;
            let kernel = spatial_loss::SpatialLoss::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &road()?, &traffic()?, &phases, &d_phases, &gain);
            let args = spatial_loss::Args {
                which: Minibatch { update: 0, epoch: 0, mb: 0 },
                clock: 0,
                clock_step: 1,
                state_off: 0,
                lambda: 1.0,
            };
            case(format!("R={r},M={m},K=4,N=64"), r * m, move |pass| bound.record(pass, &args))
        }
        "value_iteration" => {
            let spec = value_iteration::Spec { r, ..value_iteration::DEFAULT };
            let states = spec.states();
            let problems = gpu.upload(
                "problems",
                &[r],
                &vec![
                    value_iteration::Problem {
                        e_vis_j: 10.0,
                        e_recovery_j: 25.0,
                        lambda_j: 200.0,
                        gamma_misa: 0.15,
                        reset_age: 0
                    };
                    r
                ],
            )?;
            let misaligned = floats("misaligned", &[r, spec.k, spec.age_max + 1])?;
            let values = floats("values", &[2, r, states])?;
            let span = gpu.upload("span", &[r, 2], &value_iteration::NOTHING.repeat(r))?;
            let kernel = value_iteration::ValueIteration::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &problems, &misaligned, &values, &span);
            let args = value_iteration::Args { from_off: 0, to_off: r * states, measure: true };
            case(format!("R={r},K={},A={}", spec.k, spec.age_max), r * states, move |pass| {
                bound.record(pass, &args)
            })
        }
        "dense_forward" => {
            let spec =
                dense_forward::Spec { r, m, i: HIDDEN, o: HIDDEN, p, act: Activation::Tanh, b_scale: 1.0 };
            let (params, x, y) =
                (floats("params", &[r, p])?, floats("x", &[r, m, HIDDEN])?, zeros("y", &[r, m, HIDDEN])?);
            let bound = dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, &params, &x, &y);
            let args = dense_forward::Args { m, w_off: 0, b_off: HIDDEN * HIDDEN, x_off: 0, y_off: 0 };
            case(format!("{samples},H={HIDDEN}"), 2 * r * m * HIDDEN * HIDDEN, move |pass| {
                bound.record(pass, &args)
            })
        }
        "dense_backward_input" => {
            let spec = dense_backward_input::Spec { r, m, i: HIDDEN, o: HIDDEN, p, act: Activation::Tanh };
            let (params, dy) = (floats("params", &[r, p])?, floats("dy", &[r, m, HIDDEN])?);
            let (h, dx) = (floats("h", &[r, m, HIDDEN])?, zeros("dx", &[r, m, HIDDEN])?);
            let bound =
                dense_backward_input::DenseBackwardInput::new(gpu, &spec)?.bind(gpu, &params, &dy, &h, &dx);
            let args = dense_backward_input::Args { m, w_off: 0, dy_off: 0, h_off: 0, dx_off: 0 };
            case(format!("{samples},H={HIDDEN}"), 2 * r * m * HIDDEN * HIDDEN, move |pass| {
                bound.record(pass, &args)
            })
        }
        "dense_backward_weights" => {
            let spec = dense_backward_weights::Spec { r, m, i: HIDDEN, o: HIDDEN, p, s, b_scale: 1.0 };
            let (dy, x) = (floats("dy", &[r, m, HIDDEN])?, floats("x", &[r, m, HIDDEN])?);
            let partials = zeros("partials", &[s, r, p])?;
            let bound =
                dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?.bind(gpu, &dy, &x, &partials);
            let args =
                dense_backward_weights::Args { m, w_off: 0, b_off: HIDDEN * HIDDEN, dy_off: 0, x_off: 0 };
            case(format!("{samples},H={HIDDEN},S={s}"), 2 * r * m * HIDDEN * HIDDEN, move |pass| {
                bound.record(pass, &args)
            })
        }
        "lif_forward" => {
            let (n, current) = (HIDDEN, lif_forward::Current::Constant);
            let spec = lif_forward::Spec { r, m, n, lif: LIF, current, keep: false, trace: false };
            let current = floats("current", &[r, m, HIDDEN])?;
            let words = gpu.alloc::<u32>("words", &[r, m, HIDDEN], Fill::Zero)?;
            let bound = lif_forward::LifForward::new(gpu, &spec)?.bind(gpu, &current, &words, None, None)?;
            case(format!("{samples},N={n},S={}", LIF.steps), r * m * n, move |pass| bound.record(pass, m))
        }
        "spike_forward" => {
            let (i, o) = (HIDDEN, HIDDEN);
            let spec = spike_forward::Spec { r, m, i, o, p, lif: LIF, keep: true, trace: true };
            let params = floats("params", &[r, p])?;
            let (spikes, words) = (spike_words("spikes")?, spike_words("words")?);
            let (u, traces) = (zeros("potentials", &[r, m, LIF.steps, o])?, zeros("traces", &[r, m, o])?);
            let kernel = spike_forward::SpikeForward::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &params, &spikes, &words, Some(&u), Some(&traces))?;
            let args = spike_forward::Args { m, w_off: 0, b_off: i * o };
            case(
                format!("{samples},H={HIDDEN},S={}", LIF.steps),
                2 * r * m * LIF.steps * i * o,
                move |pass| bound.record(pass, &args),
            )
        }
        "lif_backward" => {
            let (n, steps) = (HIDDEN, LIF.steps);
            let current = lif_forward::Current::PerStep;
            let spec =
                lif_backward::Spec { r, m, n, lif: LIF, current, upstream: lif_backward::Upstream::Readout };
            let (u, upstream) = (floats("potentials", &[r, m, steps, n])?, floats("d_trace", &[r, m, n])?);
            let d_current = zeros("d_current", &[r, m, steps, n])?;
            let bound = lif_backward::LifBackward::new(gpu, &spec)?.bind(gpu, &u, &upstream, &d_current);
            case(format!("{samples},N={n},S={steps}"), r * m * n, move |pass| bound.record(pass, m, 0.0))
        }
        "spike_backward_weights" => {
            let (i, o, steps) = (HIDDEN, HIDDEN, LIF.steps);
            let spec = spike_backward_weights::Spec { r, m, i, o, p, steps, slices: s };
            let di = floats("di", &[r, m, steps, o])?;
            let (spikes, partials) = (spike_words("spikes")?, zeros("partials", &[s, r, p])?);
            let kernel = spike_backward_weights::SpikeBackwardWeights::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &di, &spikes, &partials);
            let args = spike_backward_weights::Args { m, w_off: 0, b_off: i * o };
            case(
                format!("{samples},H={HIDDEN},S={steps},slices={s}"),
                2 * r * m * steps * i * o,
                move |pass| bound.record(pass, &args),
            )
        }
        "activity_count" => {
            let units = activity_count::Units::Spikes;
            let spec = activity_count::Spec { r, m: b, c: HIDDEN, units };
            let words = spike_words("words")?;
            let counts = gpu.alloc::<u32>("counts", &[spec.counts()], Fill::Zero)?;
            let bound = activity_count::ActivityCount::new(gpu, &spec)?.bind(gpu, &words, &counts);
            case(format!("{envs},N={HIDDEN}"), r * b * HIDDEN, move |pass| bound.record(pass, b, false))
        }
        "gaussian_head" => {
            let (params, mean) = (floats("params", &[r, p])?, floats("mean", &[r, b, a])?);
            let (action, logprob) = (zeros("action", &[r, b, a])?, zeros("logprob", &[r, b])?);
            let kernel = gaussian_head::GaussianHead::new(gpu, &gaussian_head::Spec { r, b, a, p })?;
            let bound = kernel.bind(gpu, &params, &keys()?, &mean, &action, &logprob);
            let args =
                gaussian_head::Args { b, clock: 0, ls_off: 0, greedy: false, action_off: 0, logprob_off: 0 };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "gae" => {
            let (reward, value) = (floats("reward", &[t, r, b])?, floats("value", &[t + 1, r, b])?);
            let final_value = floats("final_value", &[t, r, b])?;
            let flags = gpu.alloc::<u32>("flags", &[t, r, b], Fill::Zero)?;
            let hyper = gpu.upload("hyper", &[r], &vec![[0.99f32, 0.95, 0.05, 0.0]; r])?;
            let (advantage, returns) = (zeros("advantage", &[t, r, b])?, zeros("returns", &[t, r, b])?);
            let kernel = gae::Gae::new(gpu, &gae::Spec { t, r, b })?;
            let bound = kernel.bind(gpu, &reward, &value, &final_value, &flags, &hyper, &advantage, &returns);
            case(format!("T={t},{envs}"), t * r * b, move |pass| bound.record(pass))
        }
        "minibatch_gather" => {
            let (obs, action) = (floats("obs", &[t + 1, r, b, o])?, floats("action", &[t, r, b, a])?);
            let (mb_obs, mb_action) = (zeros("mb_obs", &[r, m, o])?, zeros("mb_action", &[r, m, a])?);
            let kernel = minibatch_gather::MinibatchGather::new(
                gpu,
                &minibatch_gather::Spec { t, r, b, o, a, m, unit: Unit::Sample, tail: 0 },
            )?;
            let bound = kernel.bind(gpu, &keys()?, &obs, &action, &mb_obs, &mb_action);
            case(format!("T={t},B={b},{samples}"), r * m, move |pass| {
                bound.record(pass, Minibatch { update: 0, epoch: 0, mb: 0 })
            })
        }
        "minibatch_scalars" => {
            let (logprob, advantage) = (floats("logprob", &[t, r, b])?, floats("advantage", &[t, r, b])?);
            let (returns, value) = (floats("returns", &[t, r, b])?, floats("value", &[t + 1, r, b])?);
            let kernel = minibatch_scalars::MinibatchScalars::new(
                gpu,
                &minibatch_scalars::Spec { t, r, b, m, unit: Unit::Sample },
            )?;
            let bound = kernel.bind(gpu, &keys()?, &logprob, &advantage, &returns, &value, &scalars()?);
            case(format!("T={t},B={b},{samples}"), r * m, move |pass| {
                bound.record(pass, Minibatch { update: 0, epoch: 0, mb: 0 })
            })
        }
        "advantage_stats" => {
            let stats = gpu.alloc::<[f32; 2]>("stats", &[r], Fill::Zero)?;
            let spec = advantage_stats::Spec { r, m, unbiased: true, normalise: true };
            let bound = advantage_stats::AdvantageStats::new(gpu, &spec)?.bind(gpu, &scalars()?, &stats);
            case(samples, r * m, move |pass| bound.record(pass))
        }
        "ppo_policy_loss" => {
            let (params, mean, action) =
                (floats("params", &[r, p])?, floats("mean", &[r, m, a])?, floats("action", &[r, m, a])?);
            let stats = gpu.upload("stats", &[r], &vec![[0f32, 1.0]; r])?;
            let (d_mean, terms) = (zeros("d_mean", &[r, m, a])?, zeros("terms", &[r, m, a + 4])?);
            let kernel =
                ppo_policy_loss::PpoPolicyLoss::new(gpu, &ppo_policy_loss::Spec { r, m, a, p, ls_off: 0 })?;
            let bound = kernel.bind(gpu, &params, &mean, &action, &scalars()?, &stats, &d_mean, &terms);
            case(samples, r * m, move |pass| {
                bound.record(pass, ppo_policy_loss::Hyper { clip_eps: 0.2, ent_coef: 1e-3 })
            })
        }
        "ppo_value_loss" => {
            let (value, d_value, terms) =
                (floats("value", &[r, m])?, zeros("d_value", &[r, m])?, zeros("terms_v", &[r, m, 1])?);
            let bound = ppo_value_loss::PpoValueLoss::new(gpu, &ppo_value_loss::Spec { r, m, tail: 0 })?
                .bind(gpu, &value, &scalars()?, &d_value, &terms);
            case(samples, r * m, move |pass| {
                bound.record(pass, ppo_value_loss::Hyper { vf_coef: 0.5, clip_eps: None })
            })
        }
        "grad_reduce" => {
            let (partials, grads) = (floats("partials", &[s, r, p])?, zeros("grads", &[r, p])?);
            let bound = grad_reduce::GradReduce::new(gpu, &grad_reduce::Spec { r, p, s })?
                .bind(gpu, &partials, &grads);
            case(format!("R={r},P={p},S={s}"), s * r * p, move |pass| bound.record(pass))
        }
        "column_sum" => {
            let (source, out) = (floats("source", &[r, m, a + 4])?, zeros("out", &[r, a + 4])?);
            let bound = column_sum::ColumnSum::new(gpu, &column_sum::Spec { r, m, c: a + 4 })?
                .bind(gpu, &source, &out);
            let args = column_sum::Args { m, out_stride: a + 4, out_off: 0, scale: 1.0 };
            case(format!("{samples},C={}", a + 4), r * m * (a + 4), move |pass| bound.record(pass, &args))
        }
        "grad_norm" => {
            let (grads, norms) = (floats("grads", &[r, p])?, zeros("norms", &[r, 2])?);
            let bound = grad_norm::GradNorm::new(gpu, &grad_norm::Spec { r, p, split: p / 2, joint: false })?
                .bind(gpu, &grads, &norms);
            case(format!("R={r},P={p}"), r * p, move |pass| bound.record(pass))
        }
        "adam" => {
            let hyper = adam::Hyper { lr: [3e-4, 1e-3], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
            let (params, grads, norms) = (
                floats("params", &[r, p])?,
                floats("grads", &[r, p])?,
                gpu.upload("norms", &[r, 2], &vec![1f32; 2 * r])?,
            );
            let (first, second) = (zeros("m", &[r, p])?, zeros("v", &[r, p])?);
            let rows = gpu.upload("hyper", &[r, 8], &vec![hyper.row::<f32>(); r].concat())?;
            let bound = adam::Adam::new(gpu, &adam::Spec { r, p, split: p / 2 })?
                .bind(gpu, &params, &grads, &norms, &first, &second, &rows);
            case(format!("R={r},P={p}"), r * p, move |pass| bound.record(pass, &hyper.args(1)))
        }
        "ddpg_act" => {
            let (z, action) = (floats("z", &[r, b, a])?, zeros("action", &[r, b, a])?);
            let kernel = ddpg_act::DdpgAct::new(gpu, &ddpg_act::Spec { r, b, a })?;
            let bound = kernel.bind(gpu, &keys()?, &z, &action);
            let args = ddpg_act::Args { clock: 0, scale: 4.0, noise: 1.0 };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "dqn_act" => {
            let codebook = Codebook::new(&task, 32, &[0.25, 0.5, 1.0]);
            let (k, l) = (codebook.vehicles, codebook.choices());
            let (q, choice, action) =
                (floats("q", &[r, b, k * l])?, zeros("choice", &[r, b, k])?, zeros("action", &[r, b, a])?);
            let book = gpu.upload("codebook", &[codebook.flat().len()], &codebook.flat())?;
            let kernel = dqn_act::DqnAct::new(gpu, &dqn_act::Spec { r, b, codebook })?;
            let bound = kernel.bind(gpu, &keys()?, &q, &book, &choice, &action);
            let args = dqn_act::Args { clock: 0, threshold: dqn_act::threshold(0.1) };
            case(format!("{envs},L={l}"), r * b * k, move |pass| bound.record(pass, &args))
        }
        "replay_write" => {
            let row = Row { obs: o, action: a };
            let (obs, final_obs) = (floats("obs", &[2, r, b, o])?, floats("final_obs", &[r, b, o])?);
            let (action, reward) = (floats("action", &[r, b, a])?, floats("reward", &[r, b])?);
            let flags = gpu.alloc::<u32>("flags", &[r, b], Fill::Zero)?;
            let replay = zeros("replay", &[r, t, b, row.width()])?;
            let kernel = replay_write::ReplayWrite::new(gpu, &replay_write::Spec { r, b, c: t, row })?;
            let bound = kernel.bind(gpu, &obs, &final_obs, &action, &reward, &flags, &replay);
            let args =
                replay_write::Args { slot: t - 1, obs_off: 0, next_off: r * b * o, reward_scale: 0.05 };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "replay_gather" => {
            let row = Row { obs: o, action: a };
            let replay = floats("replay", &[r, t * b, row.width()])?;
            let (mb_obs, mb_action) = (zeros("mb_obs", &[r, m, o])?, zeros("mb_action", &[r, m, a])?);
            let mb_next = zeros("mb_next", &[r, m, o])?;
            let mb_scalars = gpu.alloc::<[f32; 2]>("mb_scalars", &[r, m], Fill::Zero)?;
            let spec = replay_gather::Spec { r, capacity: t * b, row, m };
            let bound = replay_gather::ReplayGather::new(gpu, &spec)?.bind(
                gpu,
                &keys()?,
                &replay,
                &mb_obs,
                &mb_action,
                &mb_next,
                &mb_scalars,
            );
            let args = replay_gather::Args { clock: 0, step: 0, filled: t * b };
            case(format!("N={},{samples}", t * b), r * m, move |pass| bound.record(pass, &args))
        }
        "critic_input" => {
            let (obs, action) = (floats("obs", &[r, m, o])?, floats("z", &[r, m, a])?);
            let x = zeros("x", &[r, m, o + a])?;
            let kernel = critic_input::CriticInput::new(gpu, &critic_input::Spec { r, m, o, a })?;
            let bound = kernel.bind(gpu, &obs, &action, &x);
            case(samples, r * m, move |pass| bound.record(pass, Some(4.0)))
        }
        "critic_input_backward" => {
            let (x, dx) = (floats("x", &[r, m, o + a])?, floats("dx", &[r, m, o + a])?);
            let dz = zeros("dz", &[r, m, a])?;
            let spec = critic_input::Spec { r, m, o, a };
            let kernel = critic_input_backward::CriticInputBackward::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &x, &dx, &dz);
            case(samples, r * m, move |pass| bound.record(pass, 4.0))
        }
        "td_loss" => {
            let (k, l) = (3, 96);
            let (q, q_next) = (floats("q", &[r, m, k * l])?, floats("q_next", &[r, m, k * l])?);
            let (d_q, terms) = (zeros("d_q", &[r, m, k * l])?, zeros("terms", &[r, m, 2])?);
            let choice = zeros("mb_action", &[r, m, k])?;
            let scalars = gpu.upload("mb_scalars", &[r, m], &vec![[0.5f32, 1.0]; r * m])?;
            let kernel = td_loss::TdLoss::new(gpu, &td_loss::Spec { r, m, k, l, huber: true })?;
            let bound = kernel.bind(gpu, &q, &q_next, &choice, &scalars, &d_q, &terms);
            case(format!("{samples},K={k},L={l}"), r * m, move |pass| bound.record(pass, 0.9))
        }
        "polyak" => {
            let (params, target) = (floats("params", &[r, p])?, floats("target", &[r, p])?);
            let bound = polyak::Polyak::new(gpu, &polyak::Spec { r, p })?.bind(gpu, &params, &target);
            case(format!("R={r},P={p}"), r * p, move |pass| bound.record(pass, 0.005))
        }
        "metrics_reduce" => {
            let (metrics, sums) = (floats("metrics", &[r, rows, b])?, zeros("sums", &[r, rows, 2])?);
            let kernel =
                metrics_reduce::MetricsReduce::new(gpu, &metrics_reduce::Spec { r, metric_rows: rows, b })?;
            let bound = kernel.bind(gpu, &metrics, &sums);
            case(envs, r * rows * b, move |pass| {
                bound.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: 0 })
            })
        }
        "metrics_accumulate" => {
            let (metrics, episode) = (floats("metrics", &[r, rows, b])?, zeros("episode", &[r, rows, b])?);
            let kernel = metrics_accumulate::MetricsAccumulate::new(
                gpu,
                &metrics_accumulate::Spec { elements: r * rows * b },
            )?;
            let bound = kernel.bind(gpu, &metrics, &episode);
            case(envs, r * rows * b, move |pass| bound.record(pass, false))
        }
        "misac_accumulate" => {
            let (metrics, action) =
                (floats("metrics", &[r, metric::ROWS, b])?, floats("action", &[r, b, 4])?);
            let gains = floats("gains", &[r, gain_row::ROWS, b, 4])?;
            let episode = zeros("episode", &[misac_accumulate::episode_len(&cars)])?;
            let kernel = misac_accumulate::MisacAccumulate::new(gpu, &cars)?;
            let bound = kernel.bind(gpu, &metrics, &action, &gains, &episode);
            let args = misac_accumulate::Args { first: false, judged: true };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "lstm_forward" => {
            let (m, h) = (b, 64);
            let gates = || floats("gates", &[r, m, 4 * h]);
            let cell = floats("cell", &[r, m, h])?;
            let (acts, hidden) = (zeros("acts", &[r, m, 4 * h])?, zeros("hidden", &[r, m, h])?);
            let now = zeros("h_now", &[r, m, h])?;
            let kernel = lstm_forward::LstmForward::new(gpu, &lstm_forward::Spec { r, m, h })?;
            let bound = kernel.bind(gpu, &gates()?, &gates()?, &cell, &acts, &hidden, &now);
            let args = lstm_forward::Args {
                m,
                stride: m,
                gx_off: 0,
                c_prev_off: 0,
                c_off: 0,
                acts_off: 0,
                h_off: 0,
            };
            case(format!("{envs},H={h}"), r * m * h, move |pass| bound.record(pass, &args))
        }
        "lstm_backward" => {
            let (m, h) = (b, 64);
            let narrow = || floats("dh", &[r, m, h]);
            let acts = floats("acts", &[r, m, 4 * h])?;
            let wide = || zeros("d_gates", &[r, m, 4 * h]);
            let kernel = lstm_backward::LstmBackward::new(gpu, &lstm_backward::Spec { r, m, h })?;
            let bound =
                kernel.bind(gpu, &narrow()?, &narrow()?, &narrow()?, &acts, &narrow()?, &wide()?, &wide()?);
            let args = lstm_backward::Args {
                m,
                stride: m,
                dh_off: 0,
                c_prev_off: 0,
                c_off: 0,
                acts_off: 0,
                dg_off: 0,
                last: true,
            };
            case(format!("{envs},H={h}"), r * m * h, move |pass| bound.record(pass, &args))
        }
        "bernoulli_head" => {
            let a = 4;
            let (action, logprob) = (zeros("action", &[r, b, a])?, zeros("logprob", &[r, b])?);
            let kernel = bernoulli_head::BernoulliHead::new(gpu, &bernoulli_head::Spec { r, b, a })?;
            let bound = kernel.bind(gpu, &keys()?, &floats("logits", &[r, b, a])?, &action, &logprob);
            let args = bernoulli_head::Args {
                b,
                clock: 0,
                greedy: false,
                logits_off: 0,
                action_off: 0,
                logprob_off: 0,
            };
            case(envs, r * b, move |pass| bound.record(pass, &args))
        }
        "bernoulli_policy_loss" => {
            let spec = bernoulli_policy_loss::Spec { r, m, a: 4, skip: 0 };
            let hyper = bernoulli_policy_loss::Hyper { clip_eps: Some(0.2), ent_coef: 0.01 };
            let (logits, action) = (floats("logits", &[r, m, 4])?, zeros("mb_action", &[r, m, 4])?);
            let stats = gpu.upload("stats", &[r], &vec![[0.0f32, 1.0]; r])?;
            let (d_logits, terms) = (zeros("d_logits", &[r, m, 4])?, zeros("terms", &[r, m, 4])?);
            let bound = bernoulli_policy_loss::BernoulliPolicyLoss::new(gpu, &spec)?.bind(
                gpu,
                &logits,
                &action,
                &scalars()?,
                &stats,
                &d_logits,
                &terms,
            );
            case(samples, r * m, move |pass| bound.record(pass, hyper))
        }
        _ => panic!("kernel '{stem}' of the registry has no bench"),
    }
}

/// The check of the registry; panics where shader and twin differ.
fn assert_equivalent(gpu: &Gpu, entry: &Entry) {
    let rows = (entry.check)(gpu).unwrap_or_else(|e| panic!("{}: {e}", entry.kernel));
    assert!(!rows.is_empty(), "{}: nothing was compared", entry.kernel);
    for row in &rows {
        assert!(
            row.passed(),
            "{}: '{}' differs from its twin, so it is not timed: {:?}",
            entry.kernel,
            row.quantity,
            row.failures
        );
    }
}

fn kernels(c: &mut Criterion) {
    let Ok(name) = std::env::var("ISACBENCH_DEVICE") else {
        println!("kernels: skipped, because ISACBENCH_DEVICE names no adapter (gpu, or a part of its name)");
        return;
    };
    let gpu = Gpu::open(&name.parse().expect("every text is a choice"))
        .unwrap_or_else(|e| panic!("ISACBENCH_DEVICE={name}: {e}"));
    println!("kernels: on adapter '{}'", gpu.info.name);
    if gpu.is_software() {
        println!("WARNING: this is a software adapter; the figures below say nothing about any GPU");
    }
    for entry in REGISTRY {
        let case = build(&gpu, entry.kernel).unwrap_or_else(|e| panic!("{}: {e}", entry.kernel));
        let mut checked = false;
        let mut group = c.benchmark_group(entry.kernel);
        group.throughput(Throughput::Elements((DISPATCHES * case.elements) as u64));
        // Criterion calls this for the kernels that its filter leaves.
        // A stored figure of a software adapter must be known as one.
        let id = if gpu.is_software() { format!("{},software", case.sizes) } else { case.sizes.clone() };
        group.bench_function(id, |bencher| {
            if !std::mem::replace(&mut checked, true) {
                assert_equivalent(&gpu, entry);
            }
            bencher.iter(|| {
                let submitted = gpu.run(|pass| (0..DISPATCHES).for_each(|_| (case.record)(pass)));
                submitted.unwrap_or_else(|e| panic!("{}: {e}", entry.kernel));
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = kernels
}
criterion_main!(benches);
