//! v2x_reference: actions of the reference agents that need no learning, for every environment of every replica.

pub use super::v2x_batch::WG;
use super::v2x_batch::{self, STEP, check_params, sensitivity, state_of};
use crate::env::{Batch, StepSlices};
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::philox::{Stream, draw};
use crate::num::real::counted::{Counted, Operations, kinds};
use crate::tasks::v2x::physics::{
    Beam, KMAX, V2xParams, comm_snr_per_watt, motion, motion_noise, reset_range, step_range,
};
use crate::tasks::v2x::reference::{Reference, act, forced, reference_range};

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_reference", super::SHARED);

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: STEP,
    why: "of |value| plus what angles off by 1 rad and distances by 100 % would change (secants at 1e-6), plus the magnitudes that cancel: \
          covariances before an update, rows and columns of the inverse Gram matrix",
};

/// Sizes, fixed when the kernel is compiled. `batch.task.beam` is [`Reference::beam`] of `who`.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub batch: v2x_batch::Spec,
    pub who: Reference,
}

impl Spec {
    /// Elements of the memory `[R, 9K, B]` (0 for agents without one).
    pub fn memory_len(&self) -> usize {
        self.batch.r * self.who.memory_rows(self.batch.task.vehicles) * self.batch.b
    }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// The coming slot: the clock the step will have.
    pub clock: u32,
    /// Start of action `[R, B, A]` inside its buffer, in elements.
    pub action_off: usize,
}

/// `params` `[R]`, `state` `[R, 10K, B]`, `memory` `[R, 9K, B]` (of the filters, else not looked at), `action`
/// `[R, B, A]` from `action_off`.
pub fn v2x_reference_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    state: &[F],
    memory: &mut [F],
    action: &mut [F],
) {
    let (b, t) = (spec.batch.b, &spec.batch.task);
    let (rows, own, a) = (t.state_rows() * b, spec.who.memory_rows(t.vehicles) * b, t.action_dim() * b);
    for (r, params) in params.iter().enumerate().take(spec.batch.r) {
        let memory = if own == 0 { &mut [] } else { &mut memory[r * own..][..own] };
        let action = &mut action[at.action_off + r * a..][..a];
        reference_range::<F, 0>(
            spec.who,
            t,
            params,
            b,
            0,
            &state[r * rows..][..rows],
            memory,
            action,
            at.clock,
            0,
            b,
        );
    }
}

/// Operations of one decision in the middle of an episode, counted on the twin.
pub fn decision(spec: &Spec) -> Operations {
    let one = Spec { batch: v2x_batch::Spec { r: 1, b: 1, ..spec.batch }, ..*spec };
    let (params, state) = (check_params(&one.batch, 1), counted(&v2x_batch::check_states(&one.batch, 1)));
    let mut memory = vec![Counted::default(); one.memory_len().max(1)];
    let mut action = vec![Counted::default(); one.batch.action_len()];
    let args = Args { clock: 1, action_off: 0 };
    kinds(|| v2x_reference_cpu(&one, &args, &params, &state, &mut memory, &mut action))
}

/// What a dispatch must do, the whole state read.
pub fn cost(spec: &Spec) -> Cost {
    let each = decision(spec).total();
    let words = spec.batch.r * words_of::<V2xParams>()
        + spec.batch.state_len()
        + 2 * spec.memory_len()
        + spec.batch.action_len();
    Cost::new(spec.batch.r * spec.batch.b * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    v2x_batch::constants(&spec.batch)
        .u32("AGENT", spec.who as usize)
        .u32("AGENT_RANDOM", Reference::Random as usize)
        .u32("AGENT_LAST_ESTIMATE", Reference::LastEstimate as usize)
        .u32("AGENT_EKF", Reference::Ekf as usize)
        .u32("AGENT_EKF_ZF", Reference::EkfZf as usize)
        .u32("AGENT_UKF", Reference::Ukf as usize)
        .u32("AGENT_GENIE_ZF", Reference::GenieZf as usize)
}

host! {
    V2xReference, V2xReferenceBound;
    fits |gpu, spec| {
        let k = spec.batch.task.vehicles;
        assert_eq!(spec.batch.task.beam, spec.who.beam(), "{:?} writes actions of another beam", spec.who);
        check_trips(gpu, "v2x_reference", philox_trips(3 * k) + 2 * k * k * k + 6 * k * k + 72 * k)
    };
    /// `params` `[R]`, `state` `[R, 10K, B]`, `memory` `[R, 9K, B]` (any buffer for an agent without a filter);
    /// `action` holds whatever the offset of `record` points into.
    bind |spec| {
        params: V2xParams = of_len(spec.batch.r),
        state: f32 = of_len(spec.batch.state_len()),
        memory: f32 = at_least(spec.memory_len()),
        action: f32,
    }
}

impl V2xReferenceBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let batch = &self.spec.batch;
        assert_inside("v2x_reference", "action", at.action_off, batch.action_len(), self.action);
        self.bound.record(pass, fold_groups(batch.r * batch.b, WG), &[at.clock, at.action_off as u32]);
    }
}

/// Scales of action `[R, B, A]` and memory `[R, 9K, B]`.
fn scales(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    states: &[f32],
    memory: &[f32],
    action64: &[f64],
    memory64: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let t = &spec.batch.task;
    let (k, a, b) = (t.vehicles, t.action_dim(), spec.batch.b);
    let rows = spec.who.memory_rows(k);
    let mut action_scale: Vec<f64> = action64.iter().map(|x| x.abs()).collect();
    let mut memory_scale: Vec<f64> = memory64.iter().map(|x| x.abs()).collect();
    for e in 0..spec.batch.r * b {
        let (r, env) = (e / b, e % b);
        let p = &params[r];
        let s = state_of(&spec.batch, states, r, env);
        let own: Vec<f64> = (0..rows).map(|q| f64::from(memory[(r * rows + q) * b + env])).collect();
        // Secants over the true state, the observation and the filter's memory.
        let mut x = Vec::new();
        let mut size = Vec::new();
        for i in 0..k {
            x.extend([s.theta[i], s.d[i], s.v[i], s.obs_theta[i], s.obs_d[i], s.obs_v[i]]);
            size.extend([1.0, s.d[i], s.v[i], 1.0, s.obs_d[i].abs(), s.obs_v[i].abs()]);
        }
        x.extend_from_slice(&own);
        size.extend(own.iter().map(|x| x.abs()));
        let change = sensitivity(&x, &size, |x| {
            let mut s = s;
            for i in 0..k {
                let v = &x[6 * i..6 * i + 6];
                (s.theta[i], s.d[i], s.v[i], s.obs_theta[i], s.obs_d[i], s.obs_v[i]) =
                    (v[0], v[1], v[2], v[3], v[4], v[5]);
            }
            let mut own = x[6 * k..].to_vec();
            let mut out = vec![0.0; a];
            act(spec.who, t, k, p, env as u32, at.clock, &s, &mut own, &mut out);
            out.extend(own);
            out
        });
        let action_scale = &mut action_scale[at.action_off + e * a..][..a];
        for (s, c) in action_scale.iter_mut().zip(&change) {
            *s += c;
        }
        for q in 0..rows {
            memory_scale[(r * rows + q) * b + env] += change[a + q];
        }
        if spec.who == Reference::Random {
            // −ln u near u = 1 is off by 3e-8 absolute, and the shares are relative to the sum.
            let words: Vec<u32> = (0..(2 * k).div_ceil(4))
                .flat_map(|q| draw(p.key, Stream::Baseline, env as u32, at.clock, q as u32))
                .collect();
            let sum: f64 = words[k..2 * k].iter().map(|w| -f64::unit_from_word(*w).ln()).sum();
            for s in &mut action_scale[k..] {
                *s += f64::from(p.p_max_w) * (1.0 + 0.1 / sum);
            }
        }
        // What the coming angles and distances are off by beyond the secants, and what they are.
        let mut wide = [[0.0; 2]; KMAX];
        let mut next = s;
        if rows > 0 && !(at.clock as usize).is_multiple_of(t.slots) {
            for i in 0..k {
                let m = &own[9 * i..9 * i + 9];
                let sd = [m[3], m[6], m[8]].map(f64::sqrt);
                // |F| of (14) at the observation; P − K·P cancels, so its error is one of P before the update.
                let (v, d) = (s.obs_v[i].abs(), s.obs_d[i].abs());
                let dt = f64::from(p.dt_s);
                let jacobian =
                    [[1.0 + v * dt / d, v * dt / (d * d), dt / d], [v * dt, 1.0, dt], [0.0, 0.0, 1.0]];
                let noise = [p.sigma_theta_rad, p.sigma_d_m, p.sigma_v_m_s].map(f64::from);
                let mut w = [0.0; 3];
                for (w, (row, q)) in w.iter_mut().zip(jacobian.iter().zip(noise)) {
                    *w = q + row.iter().zip(sd).map(|(f, s)| f * s).sum::<f64>();
                }
                let z = [s.obs_theta[i], s.obs_d[i], s.obs_v[i]];
                // Standardised innovations, each rounded as its terms are.
                let pull: f64 = (0..3)
                    .map(|j| ((z[j] - m[j]).abs() + 0.1 * z[j].abs()) / (sd[j] * sd[j] + s.var[j][i]).sqrt())
                    .sum();
                let at = |q: usize| (r * rows + 9 * i + q) * b + env;
                for (q, w) in w.iter().enumerate() {
                    memory_scale[at(q)] += w * pull;
                }
                for (q, (f, g)) in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)].into_iter().enumerate() {
                    memory_scale[at(3 + q)] += w[f] * w[g];
                }
                wide[i] = [w[0] * pull, w[1] * pull];
            }
        }
        if rows > 0 {
            for i in 0..k {
                let at = |q: usize| (r * rows + 9 * i + q) * b + env;
                (next.theta[i], next.d[i]) = (memory64[at(0)], memory64[at(1)]);
            }
        } else {
            motion(k, t.kinematics, p, &motion_noise::<f64>(k, p, env as u32, at.clock), &mut next);
        }
        if matches!(spec.who, Reference::Ekf | Reference::Ukf) {
            action_scale.iter_mut().zip(wide).take(k).for_each(|(s, [theta, _])| *s += theta);
        }
        if spec.batch.task.beam == Beam::Span {
            let act = &action64[at.action_off + e * a..][..a];
            // X_ji = G⁻¹_ji/√G⁻¹_ii, so G⁻¹_ji = X_ji·X_ii. An error E in G changes it by G⁻¹·E·G⁻¹.
            let inv = |j: usize, i: usize| act[k + j * k + i] * act[k + i * k + i];
            let reach: Vec<f64> = (0..k).map(|i| (0..k).map(|j| inv(j, i).abs()).sum()).collect();
            let mut water = f64::from(p.p_max_w);
            for i in 0..k {
                let rel = reach[i] * reach[i] / inv(i, i);
                if act[k + k * k + i] > 0.0 {
                    water += (1.0 + rel) * inv(i, i) / comm_snr_per_watt::<f64>(p, next.d[i]);
                }
                for j in 0..k {
                    let x = k + j * k + i;
                    action_scale[x] += reach[i] * reach[j] / inv(i, i).sqrt() + act[x].abs() * rel;
                }
            }
            for s in &mut action_scale[k + k * k..] {
                *s += water;
            }
            // What the filter's own errors make of it, by central differences.
            for (q, [theta, d]) in wide.into_iter().enumerate().take(k) {
                for (of, h) in [(0, 1e-6 * theta), (1, 1e-6 * d)].into_iter().filter(|(_, h)| *h > 0.0) {
                    let at = |sign: f64| {
                        let (mut theta, mut d) = (next.theta, next.d);
                        let x = if of == 0 { &mut theta[q] } else { &mut d[q] };
                        *x += sign * h;
                        let mut out = vec![0.0; a];
                        forced(k, t.antennas, p, &theta, &d, &mut out);
                        out
                    };
                    for ((s, up), down) in action_scale.iter_mut().zip(at(1.0)).zip(at(-1.0)) {
                        *s += (up - down).abs() / 2e-6;
                    }
                }
            }
        }
    }
    (action_scale, memory_scale)
}

/// Calls `each` with the number and the environments of every replica: the physics itself, whose kernels are checked by
/// what this kernel decides.
fn play(
    spec: &v2x_batch::Spec,
    params: &[V2xParams],
    state: &mut [f32],
    obs: &mut [f32],
    each: impl Fn(usize, &mut Batch<V2xParams>),
) {
    let (rows, row) = (spec.task.state_rows() * spec.b, spec.task.obs_dim() * spec.b);
    let replicas = params.iter().zip(state.chunks_exact_mut(rows)).zip(obs.chunks_exact_mut(row));
    for (r, ((params, state), obs)) in replicas.enumerate() {
        each(r, &mut Batch { params, envs: spec.b, first: 0, state, obs });
    }
}

/// Shader against f64 twin on states that the agent's own actions led to, at an episode's first slot and later; on
/// lavapipe also against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let batch = &spec.batch;
    let params = check_params(batch, seed);
    let mut rows = Vec::new();
    for slots_before in [0, 7] {
        // The f32 twin plays the slots before.
        let mut state = vec![0f32; batch.state_len()];
        let mut obs = vec![0f32; batch.obs_len()];
        let mut memory = vec![0f32; spec.memory_len()];
        let mut action = vec![0f32; batch.action_len()];
        play(batch, &params, &mut state, &mut obs, |_, replica| {
            reset_range::<f32, 0>(&batch.task, replica, 0, 0, batch.b);
        });
        for clock in 0..slots_before {
            v2x_reference_cpu(
                spec,
                &Args { clock, action_off: 0 },
                &params,
                &state,
                &mut memory,
                &mut action,
            );
            play(batch, &params, &mut state, &mut obs, |r, replica| {
                let mut out = StepSlices {
                    final_obs: &mut vec![0f32; replica.obs.len()],
                    reward: &mut vec![0f32; batch.b],
                    flags: &mut vec![0u32; batch.b],
                    metrics: None,
                    full: false,
                };
                let a = batch.task.action_dim() * batch.b;
                let action = &action[r * a..][..a];
                step_range::<f32, 0>(&batch.task, replica, action, &mut out, clock, 0, batch.b);
            });
        }

        let at = Args { clock: slots_before, action_off: 3 };
        let len = at.action_off + batch.action_len();
        let (mut memory32, mut action32) = (memory.clone(), vec![0f32; len]);
        v2x_reference_cpu(spec, &at, &params, &state, &mut memory32, &mut action32);
        let (mut memory64, mut action64) = (widen(&memory), vec![0f64; len]);
        v2x_reference_cpu(spec, &at, &params, &widen(&state), &mut memory64, &mut action64);
        let (action_scale, memory_scale) = scales(spec, &at, &params, &state, &memory, &action64, &memory64);

        bind!(gpu, bound = V2xReference::new(gpu, spec)?; params_buf = params, state_buf = state,
            memory_buf[memory.len().max(1)], action_buf[len]);
        gpu.write(&memory_buf, &memory);
        gpu.write(&action_buf, &vec![0.0; at.action_off]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let got = gpu.read(&action_buf)?;
        let name = format!("action at slot {slots_before}");
        rows.extend(compare_twins(gpu, &name, &got, [&action64, &action_scale], TOL, &action32));
        if !memory.is_empty() {
            let got = gpu.read(&memory_buf)?;
            let name = format!("memory at slot {slots_before}");
            rows.extend(compare_twins(gpu, &name, &got, [&memory64, &memory_scale], TOL, &memory32));
        }
    }
    Ok(rows)
}
