//! Operations that `cost` gives against those that the twins do, counted; and some by hand.

use isacbench::config::Layered;
use isacbench::kernels::cost::{self, counted};
use isacbench::kernels::inputs::normal;
use isacbench::kernels::*;
use isacbench::learn::PpoSpec;
use isacbench::nets::{Activation, ActorCriticLayout, MlpLayout};
use isacbench::num::real::Real;
use isacbench::num::real::counted::{Counted, operations};
use isacbench::run::task::Task;
use isacbench::tasks::misac::kernels::*;
use isacbench::tasks::misac::physics::{Choices as MisacChoices, MisacSpec, Uncertainty, metric};
use isacbench::tasks::v2x;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::gradient::Quantity;
use isacbench::tasks::v2x::kernels::*;
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, V2xSpec};
use isacbench::tasks::v2x::reference::Reference;

fn numbers(n: usize) -> Vec<Counted> {
    counted(&normal(1, 0, n, 0.5))
}

fn zeros(n: usize) -> Vec<Counted> {
    vec![Counted(0.0); n]
}

fn flops(cost: Cost) -> u64 {
    cost.flops.expect("operations do not depend on the data") as u64
}

#[test]
fn functions_cost_what_their_polynomials_do() {
    let x = Counted(0.7);
    let of = |work: fn(Counted) -> Counted| {
        let run = move || {
            std::hint::black_box(work(x));
        };
        operations(run) as usize
    };
    assert_eq!(of(Real::exp), cost::EXP);
    assert_eq!(of(Real::ln), cost::LN);
    assert_eq!(of(Real::tanh), cost::TANH);
    assert_eq!(of(Real::sigmoid), cost::SIGMOID);
    assert_eq!(of(|x| Real::sin_cos(x).0), cost::SIN_COS);
    assert_eq!(of(|x| Real::sin_cos_pi_multiple(x, 3).0), cost::SIN_COS_PI_MULTIPLE);
    assert_eq!(of(|x| x.atan2_upper(x)), cost::ATAN2_UPPER);
    assert_eq!(of(|_| Real::unit_from_word(77)), cost::UNIT);
    assert_eq!(of(|_| Real::normal_pair(77, 99).0), cost::NORMAL_PAIR);
    assert_eq!(of(bernoulli_head::log_sigmoid), cost::LOG_SIGMOID);
}

/// 2·M·O·I and a bias each, by hand: 3 replicas of 5 rows, 4 inputs, 2 outputs.
#[test]
fn a_dense_layer_by_hand() {
    let spec = dense_forward::Spec { r: 3, m: 5, i: 4, o: 2, p: 99, act: Activation::None, b_scale: 1.0 };
    let c = dense_forward::cost(&spec);
    assert_eq!(c.flops, Some(f64::from(3 * 5 * 2 * (2 * 4 + 1))));
    // Weights and biases of each replica, rows in, rows out: not the 99 parameters.
    assert_eq!(c.bytes, f64::from(4 * (3 * (2 * 4 + 2) + 3 * 5 * 4 + 3 * 5 * 2)));
}

/// The same with x in f32 and y in f16: half the bytes of what comes out.
#[test]
fn a_dense_layer_in_f16_by_hand() {
    use dense_forward_f16::Stored;
    let (x, y) = (Stored::F32, Stored::F16);
    let spec = dense_forward_f16::Spec { r: 3, m: 5, i: 4, o: 2, p: 99, act: Activation::None, x, y };
    let c = dense_forward_f16::cost(&spec);
    assert_eq!(c.flops, Some(f64::from(3 * 5 * 2 * (2 * 4 + 1))));
    assert_eq!(c.bytes, f64::from(4 * (3 * (2 * 4 + 2) + 3 * 5 * 4) + 2 * 3 * 5 * 2));
}

/// A slot: scale the reward, discount, add, subtract; trace 3; return 1. 7 slots of 2 replicas of 3.
#[test]
fn advantages_by_hand() {
    let c = gae::cost(&gae::Spec { t: 7, r: 2, b: 3 });
    assert_eq!(c.flops, Some(f64::from(8 * 7 * 2 * 3)));
    // reward, flags, advantage, returns: 7 slots; value: 8; four numbers a replica.
    assert_eq!(c.bytes, f64::from(4 * (4 * 42 + 8 * 6 + 4 * 2)));
}

#[test]
fn spikes_and_branches_have_no_number() {
    let lif = policy_lif();
    let spec = spike_forward::Spec { r: 1, m: 2, i: 3, o: 4, p: 16, lif, keep: true, trace: false };
    let c = spike_forward::cost(&spec);
    assert_eq!(c.flops, None);
    // Weights and biases, words in, words out, 6 potentials each.
    assert_eq!(c.bytes, f64::from(4 * (4 * 3 + 4 + 2 * 3 + 2 * 4 + 2 * 4 * 6)));
    // A potential comes and one goes.
    let carried = isacbench::nets::Lif { membrane: isacbench::nets::Membrane::Carried, ..lif };
    let more = spike_forward::cost(&spike_forward::Spec { lif: carried, ..spec });
    assert_eq!(more.bytes - c.bytes, f64::from(4 * 2 * 2 * 4));
    assert_eq!(td_loss::cost(&td_loss::Spec { r: 1, m: 2, k: 3, l: 4, split: 0, huber: true }).flops, None);
}

fn policy_lif() -> isacbench::nets::Lif {
    isacbench::nets::Lif {
        steps: 6,
        lambda: 0.5,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset: false,
        readout: isacbench::nets::Readout::Last,
        learn_leak: false,
        membrane: isacbench::nets::Membrane::Reset,
    }
}

#[test]
fn dense_kernels_do_what_their_cost_says() {
    let (r, m, i, o, p) = (2, 5, 7, 3, 40);
    for act in [Activation::None, Activation::Tanh, Activation::Relu] {
        let spec = dense_forward::Spec { r, m, i, o, p, act, b_scale: 0.5 };
        let at = dense_forward::Args { m, w_off: 1, b_off: 1 + o * i, x_off: 0, y_off: 0 };
        let (params, x, mut y) = (numbers(r * p), numbers(r * m * i), zeros(r * m * o));
        let done = operations(|| dense_forward::dense_forward_cpu(&spec, &at, &params, &x, &mut y));
        assert_eq!(done, flops(dense_forward::cost(&spec)), "dense_forward {act:?}");

        let (x_is, y_is) = (dense_forward_f16::Stored::F32, dense_forward_f16::Stored::F16);
        let spec = dense_forward_f16::Spec { r, m, i, o, p, act, x: x_is, y: y_is };
        let run = || dense_forward_f16::dense_forward_f16_cpu(&spec, &at, &params, &x, &mut y);
        assert_eq!(operations(run), flops(dense_forward_f16::cost(&spec)), "dense_forward_f16 {act:?}");

        let spec = dense_backward_input::Spec { r, m, i, o, p, act };
        let at = dense_backward_input::Args { m, w_off: 1, dy_off: 0, h_off: 0, dx_off: 0 };
        let (dy, mut dx) = (numbers(r * m * o), zeros(r * m * i));
        let run = || dense_backward_input::dense_backward_input_cpu(&spec, &at, &params, &dy, &x, &mut dx);
        assert_eq!(operations(run), flops(dense_backward_input::cost(&spec)), "dense_backward_input {act:?}");
    }
    let spec = dense_backward_weights::Spec { r, m, i, o, p, s: 2, b_scale: 0.5 };
    let at = dense_backward_weights::Args { m, w_off: 1, b_off: 1 + o * i, dy_off: 0, x_off: 0 };
    let (dy, x, mut partials) = (numbers(r * m * o), numbers(r * m * i), zeros(2 * r * p));
    let run = || dense_backward_weights::dense_backward_weights_cpu(&spec, &at, &dy, &x, &mut partials);
    assert_eq!(operations(run), flops(dense_backward_weights::cost(&spec)));

    let spec = readout_carried::Spec { r, m, o, kept: 0.3 };
    let (mut y, mut membrane) = (numbers(r * m * o), numbers(r * m * o));
    let at = lif_forward::CarriedAt { start: 0, end: 0, width: o };
    let run = || readout_carried::readout_carried_cpu(&spec, m, 0, at, &mut y, &mut membrane);
    assert_eq!(operations(run), flops(readout_carried::cost(&spec)));

    let of = population_forward::Spec { r, m, o: 3, fields: 4, p, gain: 4.0 };
    let (w_off, b_off) = (1, 1 + of.n());
    let at = population_forward::Args { m, w_off, b_off, x_off: 0 };
    let (params, x, mut current) = (numbers(r * p), numbers(r * m * 3), zeros(r * m * of.n()));
    let run = || population_forward::population_forward_cpu(&of, &at, &params, &x, &mut current);
    assert_eq!(operations(run), flops(population_forward::cost(&of)));
    let (spec, at) =
        (population_backward::Spec { of, slices: 2 }, population_backward::Args { m, w_off, b_off });
    let d = numbers(r * m * of.n());
    let run = || {
        population_backward::population_backward_cpu(&spec, &at, &params, &x, &current, &d, &mut partials);
    };
    assert_eq!(operations(run), flops(population_backward::cost(&spec)));
}

#[test]
fn cells_and_heads_do_what_their_cost_says() {
    let (r, m, h) = (2, 3, 5);
    let n = r * m * h;
    let spec = lstm_forward::Spec { r, m, h };
    let at = lstm_forward::Args { m, stride: m, gx_off: 0, c_prev_off: 0, c_off: n, acts_off: 0, h_off: 0 };
    let (gx, gh, mut cell, mut acts) = (numbers(4 * n), numbers(4 * n), numbers(2 * n), zeros(4 * n));
    let (mut hidden, mut now) = (zeros(n), zeros(n));
    let run = || {
        lstm_forward::lstm_forward_cpu(&spec, &at, &gx, &gh, &mut cell, &mut acts, &mut hidden, &mut now);
    };
    assert_eq!(operations(run), flops(lstm_forward::cost(&spec)));

    let spec = lstm_backward::Spec { r, m, h };
    let at = lstm_backward::Args {
        m,
        stride: m,
        dh_off: 0,
        c_prev_off: 0,
        c_off: n,
        acts_off: 0,
        dg_off: 0,
        last: false,
    };
    let (dh, dh_next, mut dc) = (numbers(n), numbers(n), numbers(n));
    let (mut d_gates, mut d_now) = (zeros(4 * n), zeros(4 * n));
    let run = || {
        lstm_backward::lstm_backward_cpu(
            &spec,
            &at,
            &dh,
            &dh_next,
            &cell,
            &acts,
            &mut dc,
            &mut d_gates,
            &mut d_now,
        );
    };
    assert_eq!(operations(run), flops(lstm_backward::cost(&spec)));

    for a in [4, 6] {
        let (b, p) = (3, 9);
        let keys = [[1, 2], [1, 3]];
        let (mut action, mut logprob) = (zeros(r * b * a), zeros(r * b));
        let spec = gaussian_head::Spec { r, b, a, p, behind: 0 };
        let at = gaussian_head::Args { b, clock: 5, ls_off: 1, greedy: false, action_off: 0, logprob_off: 0 };
        let (params, mean) = (numbers(r * p), numbers(r * b * a));
        let run = || {
            gaussian_head::gaussian_head_cpu(&spec, &at, &params, &keys, &mean, &mut action, &mut logprob);
        };
        assert_eq!(operations(run), flops(gaussian_head::cost(&spec)), "{a} actions");
        let spec = bernoulli_head::Spec { r, b, a };
        let at =
            bernoulli_head::Args { b, clock: 5, greedy: false, logits_off: 0, action_off: 0, logprob_off: 0 };
        let run = || bernoulli_head::bernoulli_head_cpu(&spec, &at, &keys, &mean, &mut action, &mut logprob);
        assert_eq!(operations(run), flops(bernoulli_head::cost(&spec)), "{a} logits");
        let spec = ddpg_act::Spec { r, b, a };
        let at = ddpg_act::Args { clock: 5, scale: 4.0 };
        let noise = vec![Counted(1.0); r];
        // Whether there is noise is asked once.
        let run = || ddpg_act::ddpg_act_cpu(&spec, &at, &keys, &noise, &mean, &mut action);
        assert_eq!(operations(run) - (r * b) as u64, flops(ddpg_act::cost(&spec)), "{a} raw actions");
    }
}

#[test]
fn sums_and_steps_do_what_their_cost_says() {
    let (t, r, b) = (5, 2, 3);
    let n = t * r * b;
    let spec = gae::Spec { t, r, b };
    let (reward, value, last) = (numbers(n), numbers(n + r * b), numbers(n));
    let (mut advantage, mut returns) = (zeros(n), zeros(n));
    let hyper = [[0.9, 0.95, 0.1, 0.0].map(Counted); 2];
    let flags = vec![0; n];
    let run = || gae::gae_cpu(&spec, &reward, &value, &last, &flags, &hyper, &mut advantage, &mut returns);
    assert_eq!(operations(run), flops(gae::cost(&spec)));

    let p = 11;
    let (x, mut y) = (numbers(r * p), numbers(r * p));
    let (mask, mut sums) = (numbers(p), zeros(3 * r));
    let spec = grad_join::Spec { r, p };
    let run = || grad_join::grad_join_cpu(&spec, 0, &mask, &x, &mut y, &mut sums);
    assert_eq!(operations(run), flops(grad_join::cost(&spec)));
    let spec = grad_norm::Spec { r, p, split: 4, joint: false };
    let mut norms = zeros(2 * r);
    let run = || grad_norm::grad_norm_cpu(&spec, &x, &mut norms);
    assert_eq!(operations(run), flops(grad_norm::cost(&spec)));
    let (spec, partials) = (grad_reduce::Spec { r, p, s: 3 }, numbers(3 * r * p));
    let run = || grad_reduce::grad_reduce_cpu(&spec, &partials, &mut y);
    assert_eq!(operations(run), flops(grad_reduce::cost(&spec)));
    let spec = column_sum::Spec { r, m: 5, c: 4 };
    let at = column_sum::Args { m: 5, out_stride: 4, out_off: 0, scale: 0.5 };
    let (source, mut out) = (numbers(r * 20), zeros(4 * r));
    let run = || column_sum::column_sum_cpu(&spec, &at, &source, &mut out);
    assert_eq!(operations(run), flops(column_sum::cost(&spec)));

    let (m, o, a) = (5, 4, 3);
    let spec = critic_input::Spec { r, m, o, a };
    let (obs, action, mut x) = (numbers(r * m * o), numbers(r * m * a), zeros(r * m * (o + a)));
    let run = || critic_input::critic_input_cpu(&spec, Some(Counted(4.0)), &obs, &action, &mut x);
    assert_eq!(operations(run), flops(critic_input::cost(&spec)));
    let (dx, mut dz) = (numbers(r * m * (o + a)), zeros(r * m * a));
    let run = || critic_input_backward::critic_input_backward_cpu(&spec, Counted(4.0), &x, &dx, &mut dz);
    assert_eq!(operations(run), flops(critic_input_backward::cost(&spec)));
    let (spec, mut episode) = (metrics_accumulate::Spec { elements: 30 }, numbers(30));
    let metrics = numbers(30);
    let run = || metrics_accumulate::metrics_accumulate_cpu(&spec, false, &metrics, &mut episode);
    assert_eq!(operations(run), flops(metrics_accumulate::cost(&spec)));
}

/// Terms that a twin works out twice, or works out of constants, are not counted twice: there its count is a bound.
#[test]
fn losses_cost_no_more_than_their_twins_do() {
    let near = |what: &str, done: u64, cost: Cost| {
        let (done, cost) = (done as f64, flops(cost) as f64);
        assert!(cost <= done && done < 1.3 * cost, "{what}: {done} operations, {cost} by the formula");
    };
    let (r, m, a) = (1, 50, 6);
    let scalars: Vec<[Counted; 4]> = (0..m).map(|i| [-5.0, 0.1 * i as f32, 0.2, 0.3].map(Counted)).collect();
    let stats = [[Counted(0.0), Counted(1.0)]];
    let spec = ppo_policy_loss::Spec { r, m, a, p: 6, ls_off: 0 };
    let (params, mean, action) = (numbers(6), numbers(m * a), numbers(m * a));
    let (mut d_mean, mut terms) = (zeros(m * a), zeros(m * (a + 4)));
    let hyper = [ppo_policy_loss::Hyper { clip_eps: 0.2, ent_coef: 0.01 }];
    let done = operations(|| {
        ppo_policy_loss::ppo_policy_loss_cpu(
            &spec,
            &hyper,
            &params,
            &mean,
            &action,
            &scalars,
            &stats,
            &mut d_mean,
            &mut terms,
        );
    });
    near("ppo_policy_loss", done, ppo_policy_loss::cost(&spec));

    let spec = bernoulli_policy_loss::Spec { r, m, a, skip: 0, clip: true };
    let mut terms = zeros(4 * m);
    let done = operations(|| {
        bernoulli_policy_loss::bernoulli_policy_loss_cpu(
            &spec,
            &hyper,
            &mean,
            &action,
            &scalars,
            &stats,
            &mut d_mean,
            &mut terms,
        );
    });
    near("bernoulli_policy_loss", done, bernoulli_policy_loss::cost(&spec));

    let spec = joint_policy_loss::Spec { r, m, k: 2, a: 4, p: 6, ls_off: 0, clip: true };
    let (taken, drawn) = (numbers(m * 2), numbers(m * 4));
    let mut terms = zeros(8 * m);
    let done = operations(|| {
        joint_policy_loss::joint_policy_loss_cpu(
            &spec,
            &hyper,
            &params,
            &mut d_mean,
            &taken,
            &drawn,
            &scalars,
            &stats,
            &mut terms,
        );
    });
    near("joint_policy_loss", done, joint_policy_loss::cost(&spec));

    let spec = ppo_value_loss::Spec { r, m, tail: 0, clip: false };
    let hyper = [ppo_value_loss::Hyper { vf_coef: 0.5, clip_eps: 0.2 }];
    let (value, mut d_value, mut terms) = (numbers(m), zeros(m), zeros(m));
    let done = operations(|| {
        ppo_value_loss::ppo_value_loss_cpu(&spec, &hyper, &value, &scalars, &mut d_value, &mut terms);
    });
    near("ppo_value_loss", done, ppo_value_loss::cost(&spec));

    let (c, gate) = (40, vec![[Counted(0.1), Counted(0.2)]; m]);
    let spec = expert_mix::Spec { r, m, c };
    let (x, mut y) = (numbers(m * c), zeros(m * c));
    let done = operations(|| expert_mix::expert_mix_cpu(&spec, m, &gate, &x, &x, &mut y));
    near("expert_mix", done, expert_mix::cost(&spec));

    let spec = kl_control::Spec { r, c: 5, column: 1 };
    let hyper = adam::Hyper { lr: [1e-3; 2], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
    let (means, norms, row) = (numbers(5), [Counted(1.0); 2], counted(&hyper.row::<f32>()));
    let limits = kl_control::Limits { target: 1.0, limit: 100.0 }.row::<Counted>();
    let [zero, one] = [Counted(0.0), Counted(1.0)];
    let mut pace =
        [kl_control::Pace { rate: one, live: one, corrections: [zero; 2], steps: zero, skipped: zero }];
    let done = operations(|| {
        kl_control::kl_control_cpu(&spec, false, &means, &norms, &row, &limits, &mut pace);
    });
    near("kl_control", done, kl_control::cost(&spec));

    let spec = adam::Spec { r, p: 200, split: 100 };
    let hyper = adam::Hyper { lr: [1e-3; 2], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
    let (mut params, grads, norms) = (numbers(200), numbers(200), [Counted(1.0); 2]);
    let (mut first, mut second) = (zeros(200), zeros(200));
    let row = counted(&hyper.row::<f32>());
    let done = operations(|| {
        adam::adam_cpu(&spec, &hyper.args(1), &mut params, &grads, &norms, &mut first, &mut second, &row);
    });
    // Comparing, dividing and adding for the clipping factor, which the twin does for every element.
    near("adam", done - 4 * 200, adam::cost(&spec));
}

/// The sum of its parts, and the observation that a dispatch starts from.
#[test]
fn a_fused_rollout_does_what_its_cost_says() {
    for (beam, hidden) in [(Beam::Angles, &[5, 7][..]), (Beam::Tracking, &[9])] {
        let task = V2xSpec {
            vehicles: 2,
            antennas: 8,
            slots: 100,
            beam,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        let batch = v2x_batch::Spec { r: 2, b: 3, task };
        let layout = ActorCriticLayout::new(task.obs_dim(), hidden, task.action_dim(), Activation::Tanh);
        let spec = v2x_rollout::Spec::new(&wgpu::Limits::default(), batch, 4, &layout).expect("small");
        let params = v2x_batch::check_params(&batch, 7);
        let (net, mut state) = (numbers(2 * spec.p), counted(&v2x_batch::check_states(&batch, 7)));
        let (mut obs, mut action) = (zeros(spec.obs_len()), zeros(spec.action_len()));
        let (mut logprob, mut flags) = (zeros(spec.slots_len()), vec![0; spec.slots_len()]);
        let mut outcome = zeros(spec.outcome_len());
        for slots in [1, 3] {
            let at = v2x_rollout::Args { clock: 5, first: 1, slots };
            let done = operations(|| {
                v2x_rollout::v2x_rollout_cpu(
                    &spec,
                    &at,
                    &params,
                    &net,
                    &mut state,
                    &mut obs,
                    &mut action,
                    &mut logprob,
                    &mut flags,
                    &mut outcome,
                );
            });
            // The twin of the layers multiplies every bias by its factor, 1.
            let ones: usize = spec.net.layers.iter().map(|l| 6 * slots * l.outputs).sum();
            let cost = flops(v2x_rollout::cost_of(&spec, slots));
            assert_eq!(done - ones as u64, cost, "{beam:?}, {slots} slots");
        }
        let words = |slots: usize| v2x_rollout::cost_of(&spec, slots).bytes / 4.0;
        // Eight numbers observed, four actions, log-probability, flags and four outcomes, of six environments.
        assert_eq!(words(3) - words(1), f64::from(2 * 6 * (8 + 4 + 1 + 1 + 4)));
    }
}

/// What is counted on one environment holds for all of them: no operation of the physics depends on the data.
#[test]
fn the_physics_does_the_same_in_every_environment() {
    for beam in [Beam::Angles, Beam::Tracking, Beam::Steer, Beam::Direct] {
        for kinematics in [Kinematics::Paper, Kinematics::Cartesian] {
            let task = V2xSpec {
                vehicles: 3,
                antennas: 32,
                slots: 100,
                beam,
                kinematics,
                choices: Choices::DEFAULT,
            };
            let spec = v2x_batch::Spec { r: 2, b: 40, task };
            let (params, mut state) =
                (v2x_batch::check_params(&spec, 7), counted(&v2x_batch::check_states(&spec, 7)));
            let action: Vec<_> =
                numbers(spec.action_len()).iter().map(|x| Counted(x.0.abs() + 0.01)).collect();
            let (mut obs, mut last) = (zeros(spec.obs_len()), zeros(spec.obs_len()));
            let (mut reward, mut flags) = (zeros(80), vec![0; 80]);
            let mut metrics = zeros(spec.metrics_len());
            for full in [false, true] {
                let at = v2x_step::Args { clock: 3, action_off: 0, obs_off: 0, reward_off: 0, full };
                let done = operations(|| {
                    v2x_step::v2x_step_cpu(
                        &spec,
                        &at,
                        &params,
                        &action,
                        &mut state,
                        &mut obs,
                        &mut last,
                        &mut reward,
                        &mut flags,
                        &mut metrics,
                    );
                });
                let cost = v2x_step::cost_of(&spec, full);
                assert_eq!(done, flops(cost), "{beam:?} {kinematics:?}, metrics {full}");
            }
        }
    }
    let both = [Uncertainty::Constant, Uncertainty::Kinematic];
    for (uncertainty, choices) in both.into_iter().flat_map(|u| MisacChoices::EACH.map(|c| (u, c))) {
        let task = MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty, choices };
        let spec = misac_batch::Spec { r: 2, b: 20, task };
        let params = misac_batch::check_params(&spec, 7);
        let mut state = counted(&misac_batch::check_states(&spec, &params, 7));
        let action: Vec<_> =
            numbers(spec.action_len()).iter().map(|x| Counted(f32::from(u8::from(x.0 > 0.0)))).collect();
        let phases = numbers(spec.phases_len());
        let beams =
            misac_gain::Spec { batch: spec, phase: isacbench::tasks::misac::physics::Phase::Residual };
        let mut gains = zeros(beams.gains_len());
        let at = misac_gain::Args { clock: 3, state_off: 0, phases_off: 0 };
        let done =
            operations(|| misac_gain::misac_gain_cpu(&beams, &at, &params, &state, &phases, &mut gains));
        assert_eq!(done, flops(misac_gain::cost(&beams)), "{uncertainty:?}");
        let (mut obs, mut last) = (zeros(spec.obs_len()), zeros(spec.obs_len()));
        let (mut reward, mut flags, mut metrics) = (zeros(40), vec![0; 40], zeros(40 * metric::ROWS));
        let at = misac_step::Args {
            clock: 3,
            action_off: 0,
            state_off: 0,
            next_off: 0,
            obs_off: 0,
            reward_off: 0,
            full: true,
        };
        let done = operations(|| {
            misac_step::misac_step_cpu(
                &spec,
                &at,
                &params,
                &action,
                &mut state,
                &mut obs,
                &mut last,
                &mut reward,
                &mut flags,
                &mut metrics,
            );
        });
        assert_eq!(done, flops(misac_step::cost(&spec)), "{uncertainty:?}");
    }
}

/// Slots have operations that are no floating-point ones, draws foremost, and gradients have none: the clock is kinder
/// than this.
#[test]
fn the_gradient_of_a_slot_costs_at_most_two_and_a_half_slots() {
    for beam in
        [Beam::Angles, Beam::Tracking, Beam::Matrix, Beam::Direct, Beam::OnSteering, Beam::OnZf, Beam::Zf]
    {
        let task = V2xSpec {
            vehicles: 3,
            antennas: 32,
            slots: 100,
            beam,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        let batch = v2x_batch::Spec { r: 1, b: 1, task };
        for of in [Quantity::Rate, Quantity::RewardSmooth] {
            let gradient = flops(v2x_gradient::cost(&v2x_gradient::Spec { batch, of, width: 0.5 }));
            let slot = flops(v2x_step::cost_of(&batch, false));
            let slots = gradient as f64 / slot as f64;
            println!("{beam:?} {of:?}: {slots:.2} slots");
            // A base is differentiated with what stands on it, though a slot makes it once for all its beams.
            let most = if matches!(beam, Beam::OnSteering | Beam::OnZf) { 3.0 } else { 2.5 };
            assert!(slots <= most, "{beam:?} {of:?}: {gradient} against {slot} of the slot");
        }
    }
}

#[test]
fn references_do_the_same_in_every_environment() {
    let filters = [Reference::Ekf, Reference::Ukf];
    let others = [Reference::Random, Reference::LastEstimate, Reference::Genie, Reference::GenieZf];
    for who in filters.into_iter().chain(others) {
        let task = V2xSpec {
            vehicles: 3,
            antennas: 32,
            slots: 100,
            beam: who.beam(),
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        let spec = v2x_reference::Spec { batch: v2x_batch::Spec { r: 1, b: 40, task }, who };
        let params = v2x_batch::check_params(&spec.batch, 7);
        let state = counted(&v2x_batch::check_states(&spec.batch, 7));
        let (mut memory, mut action) = (zeros(spec.memory_len().max(1)), zeros(spec.batch.action_len()));
        let at = v2x_reference::Args { clock: 1, action_off: 0 };
        let done = operations(|| {
            v2x_reference::v2x_reference_cpu(&spec, &at, &params, &state, &mut memory, &mut action);
        });
        assert_eq!(done, flops(v2x_reference::cost(&spec)), "{who:?}");
    }
}

/// About a million operations a step with 4 epochs, as the design has it: 12 → 128 → 128 → 6 and a critic.
#[test]
fn training_costs_about_a_million_operations_a_step() {
    let config = V2xConfig::load(None, &[]).expect("the built-in preset is valid");
    let spec = PpoSpec::mlp(&config.ppo, config.env_at(&[(40.0, 0)]));
    let flops = v2x::bench::flops(&spec, config.task.spec());
    let samples = spec.samples() as f64;
    let a_step = flops.training().expect("perceptrons") / samples;
    let macs: usize = [&spec.layout().actor, &spec.layout().critic].map(MlpLayout::dense_macs).iter().sum();
    // Forward in the rollout, forward and about twice that backward in each epoch.
    let products = 2.0 * macs as f64 * (1.0 + 3.0 * spec.ppo.epochs as f64);
    assert!((0.9..1.3).contains(&(a_step / products)), "{a_step} a step, {products} in products");
    assert!(flops.rollout.expect("perceptrons") / samples > 2.0 * macs as f64);
    let spiking = PpoSpec::spiking(&config.ppo, &config.spiking, spec.env);
    let flops = v2x::bench::flops(&spiking, config.task.spec());
    assert_eq!((flops.training(), flops.rollout), (None, None));
}
