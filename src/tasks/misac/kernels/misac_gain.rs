//! misac_gain: what the beams of a slot are worth to every vehicle: gain, its matched and steered references, SINR and
//! rate with the interference of all K beams (1). The channel (2), (8) is drawn inside, from the state before the step
//! and the clock of the slot.
//!
//! The rows lie as `[R, GAIN_ROWS, B, K]`, so that `metrics_accumulate` and `metrics_reduce` take B·K for their B; the
//! sum-rate is K times the mean rate.

use super::misac_batch::{
    PHASE_STEP, Spec as BatchSpec, WG as BATCH_WG, beam_constants, check_params, check_phases, check_states,
    state_of,
};
use crate::kernels::common::*;
use crate::kernels::{bind, constants, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::tasks::misac::physics::{Channel, MMAX, MisacParams, Phase, channel, gain_row, gains, geometry};

pub const SHADER: Source = shader!("shaders/misac/", "misac_gain", super::SHARED);

pub const WG: usize = BATCH_WG;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of |value|, and of M times the matched gain for what follows from phases pi m cos(theta), whose cosine is rounded to 2e-7",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub batch: BatchSpec,
    pub phase: Phase,
}

impl Spec {
    /// Elements of the rows `[R, GAIN_ROWS, B, K]`.
    pub fn gains_len(&self) -> usize {
        gain_row::ROWS * self.batch.action_len()
    }
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Clock of the slot, as in the step that follows.
    pub clock: u32,
    /// Start of the state `[R, 7K, B]` before the step inside its buffer.
    pub state_off: usize,
    /// Start of the phases `[R, B, K, M]` inside their buffer.
    pub phases_off: usize,
}

/// `params` `[R]`, `state` `[R, 7K, B]` from `state_off`, `phases` `[R, B, K, M]` (rad) from `phases_off`, `out`
/// `[R, GAIN_ROWS, B, K]`.
pub fn misac_gain_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[MisacParams],
    state: &[F],
    phases: &[F],
    out: &mut [F],
) {
    let BatchSpec { r, b, task } = spec.batch;
    let k = task.vehicles;
    let per_env = k * task.antennas;
    for n in 0..r * b {
        let (r, env) = (n / b, n % b);
        let s = state_of(&spec.batch, &state[at.state_off..], r, env);
        let phi = &phases[at.phases_off + n * per_env..][..per_env];
        for i in 0..k {
            let g = gains(&task, &params[r], &s, i, env as u32, at.clock, spec.phase, |j| phi[j]);
            let all = [g.gain, g.matched, g.estimate, g.truth, g.sinr, g.rate, g.modulus_error, g.power];
            for (q, x) in all.into_iter().enumerate() {
                out[((r * gain_row::ROWS + q) * b + env) * k + i] = x;
            }
        }
    }
}

/// What a dispatch must do, the whole state read; operations counted on the twin.
pub fn cost(spec: &Spec) -> Cost {
    let one = Spec { batch: BatchSpec { r: 1, b: 1, ..spec.batch }, ..*spec };
    let params = check_params(&one.batch, 1);
    let state = counted(&check_states(&one.batch, &params, 1));
    let phases = vec![Counted(0.1); one.batch.phases_len()];
    let mut gains = vec![Counted::default(); one.gains_len()];
    let args = Args { clock: 0, state_off: 0, phases_off: 0 };
    let each = operations(|| misac_gain_cpu(&one, &args, &params, &state, &phases, &mut gains));
    let BatchSpec { r, b, .. } = spec.batch;
    let words =
        r * words_of::<MisacParams>() + spec.batch.state_len() + spec.batch.phases_len() + spec.gains_len();
    Cost::new(r * b * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    let one = (1.0 / (spec.batch.task.antennas as f64).sqrt()) as f32;
    let prelude = beam_constants(&spec.batch, spec.phase).f32("PER_ROOT_ANTENNA", one);
    constants!(prelude, "GAIN", gain_row: ROWS, GAIN, MATCHED, ESTIMATE, TRUTH, SINR, RATE, MODULUS_ERROR, POWER)
}

host! {
    MisacGain, MisacGainBound;
    fits |gpu, spec| {
        let (k, n) = (spec.batch.task.vehicles, spec.batch.task.antennas);
        let trips = n.div_ceil(2) * philox_trips(4) + n * (4 + k) + philox_trips(4) + (3 + philox_trips(4)) * k;
        check_trips(gpu, "misac_gain", trips)
    };
    /// `params` `[R]`, `out` `[R, GAIN_ROWS, B, K]`; `state` and `phases` hold whatever the offsets of `record` point
    /// into.
    bind |spec| {
        params: MisacParams = of_len(spec.batch.r),
        state: f32,
        phases: f32,
        out: f32 = of_len(spec.gains_len()),
    }
}

impl MisacGainBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let batch = &self.spec.batch;
        assert_inside("misac_gain", "state", at.state_off, batch.state_len(), self.state);
        assert_inside("misac_gain", "phases", at.phases_off, batch.phases_len(), self.phases);
        let imm = [at.clock, at.state_off as u32, at.phases_off as u32];
        self.bound.record(pass, fold_groups(batch.action_len(), WG), &imm);
    }
}

/// (Σ_m |h_m|)²/M from a channel.
pub(super) fn matched(h: &Channel<f64>, antennas: usize) -> f64 {
    let sum: f64 = (0..antennas).map(|m| h.re[m].hypot(h.im[m])).sum();
    sum * sum / antennas as f64
}

/// Shader against f64 twin, and on lavapipe against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let BatchSpec { r, b, task } = spec.batch;
    let (k, n) = (task.vehicles, task.antennas);
    let params = check_params(&spec.batch, seed);
    let at = Args { clock: 4711, state_off: 5, phases_off: 3 };
    let mut state = vec![0f32; at.state_off];
    state.extend(check_states(&spec.batch, &params, seed));
    let state64 = widen(&state);
    let states = |e: usize| (e / b, state_of(&spec.batch, &state64[at.state_off..], e / b, e % b));
    let mut phases = vec![0f32; at.phases_off];
    phases.extend(check_phases(&spec.batch, spec.phase, &params, (0..r * b).map(states), seed));
    let mut want = vec![0f64; spec.gains_len()];
    misac_gain_cpu(spec, &at, &params, &state64, &widen(&phases), &mut want);
    let mut twin = vec![0f32; spec.gains_len()];
    misac_gain_cpu(spec, &at, &params, &state, &phases, &mut twin);

    // What a phase off by PHASE_STEP·m makes of a gain is up to 2·PHASE_STEP·M of the matched one (TOL is per 1e-6).
    let blur = 2.0 * PHASE_STEP * 1e6 * n as f64;
    let mut scale = vec![0.0; want.len()];
    let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
    for e in 0..r * b {
        let (r, s) = states(e);
        let (p, env) = (&params[r], e % b);
        for i in 0..k {
            channel(&task, p, &s, i, env as u32, at.clock, &mut h);
            let place = |q: usize| ((r * gain_row::ROWS + q) * b + env) * k + i;
            let value = |q: usize| want[place(q)];
            let (best, d) = (matched(&h, n), geometry(p, s.x[i]).2);
            let snr = f64::from(p.beam_power_w) * f64::from(p.path_gain_m2) / f64::from(p.noise_w) / (d * d);
            // One error in the own beam, one in each of the others.
            let own = snr * best * blur;
            let (sinr, received) = (value(gain_row::SINR), snr * value(gain_row::GAIN));
            let floor = received / sinr;
            let sinr_error = (own + sinr * own * (k - 1) as f64) / floor + 4.0 * sinr;
            for (q, size) in [
                (gain_row::GAIN, best * blur),
                (gain_row::MATCHED, best * (4.0 + blur)),
                (gain_row::ESTIMATE, best * blur),
                (gain_row::TRUTH, best * blur),
                (gain_row::SINR, sinr_error),
                (
                    gain_row::RATE,
                    sinr_error / (1.0 + sinr) * std::f64::consts::LOG2_E + 1.0 + value(gain_row::RATE),
                ),
                (gain_row::MODULUS_ERROR, 1.0 / (n as f64).sqrt()),
                (gain_row::POWER, f64::from(p.beam_power_w)),
            ] {
                scale[place(q)] = size;
            }
        }
    }

    bind!(gpu, bound = MisacGain::new(gpu, spec)?; params, state, phases, gains[spec.gains_len()]);
    gpu.run(|pass| bound.record(pass, &at))?;
    let got = gpu.read(&gains)?;
    let mut rows = Vec::new();
    for (q, name) in gain_row::NAMES.iter().enumerate() {
        fn pick<T: Copy>(x: &[T], q: usize, len: usize) -> Vec<T> {
            x.chunks_exact(len).skip(q).step_by(gain_row::ROWS).flatten().copied().collect()
        }
        let len = b * k;
        let (got, twin) = (pick(&got, q, len), pick(&twin, q, len));
        rows.push(compare_scaled(name, &got, &pick(&want, q, len), &pick(&scale, q, len), TOL));
        rows.extend(compare_bits(gpu, name, &got, &twin));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

    /// Matched phases reach the matched gain and no phases exceed it; residual phases of 0 are the beam of the
    /// estimate, and no beam is more than what (9b) and (9c) allow.
    #[test]
    fn gains_keep_their_bounds() {
        let task = MisacSpec {
            vehicles: 4,
            antennas: 64,
            slots: 200,
            uncertainty: Uncertainty::Constant,
            choices: Choices::DEFAULT,
        };
        let batch = BatchSpec { r: 1, b: 50, task };
        let params = check_params(&batch, 5);
        let state = widen(&check_states(&batch, &params, 5));
        let at = Args { clock: 9, state_off: 0, phases_off: 0 };
        let run = |phase: Phase, phases: &[f64]| {
            let spec = Spec { batch, phase };
            let mut out = vec![0f64; spec.gains_len()];
            misac_gain_cpu(&spec, &at, &params, &state, phases, &mut out);
            out.chunks_exact(50 * 4).map(<[f64]>::to_vec).collect::<Vec<_>>()
        };
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        let mut matched = Vec::new();
        for env in 0..50 {
            let s = state_of(&batch, &state, 0, env);
            for i in 0..4 {
                channel(&task, &params[0], &s, i, env as u32, 9, &mut h);
                matched.extend((0..64).map(|m| h.im[m].atan2(h.re[m])));
            }
        }
        let out = run(Phase::Direct, &matched);
        for e in 0..200 {
            assert!((out[gain_row::GAIN][e] / out[gain_row::MATCHED][e] - 1.0).abs() < 1e-12);
            assert!(out[gain_row::MODULUS_ERROR][e] < 1e-15);
            assert!((out[gain_row::POWER][e] - 0.25).abs() < 1e-12);
            assert!(out[gain_row::TRUTH][e] <= out[gain_row::MATCHED][e] * (1.0 + 1e-12));
        }
        let out = run(Phase::Residual, &vec![0.0; 50 * 4 * 64]);
        for e in 0..200 {
            assert!(
                (out[gain_row::GAIN][e] - out[gain_row::ESTIMATE][e]).abs()
                    < 1e-12 * out[gain_row::MATCHED][e]
            );
        }
    }

    /// SINR and rate by complex sums over the antennas, in a formula of their own.
    #[test]
    fn rate_is_that_of_the_received_signal() {
        let task = MisacSpec {
            vehicles: 3,
            antennas: 7,
            slots: 200,
            uncertainty: Uncertainty::Kinematic,
            choices: Choices::DEFAULT,
        };
        let batch = BatchSpec { r: 2, b: 5, task };
        let spec = Spec { batch, phase: Phase::Direct };
        let params = check_params(&batch, 6);
        let state = widen(&check_states(&batch, &params, 6));
        let at = Args { clock: 9, state_off: 0, phases_off: 0 };
        let phases: Vec<f64> = (0..batch.phases_len()).map(|i| (0.37 * i as f64).sin() * 3.0).collect();
        let mut out = vec![0f64; spec.gains_len()];
        misac_gain_cpu(&spec, &at, &params, &state, &phases, &mut out);
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        for e in 0..10 {
            let (r, env) = (e / 5, e % 5);
            let (p, s) = (&params[r], state_of(&batch, &state, r, env));
            for i in 0..3 {
                channel(&task, p, &s, i, env as u32, 9, &mut h);
                let loss = f64::from(p.path_gain_m2) / (s.x[i] * s.x[i] + 400.0);
                let received: Vec<f64> = (0..3)
                    .map(|j| {
                        let amplitude = (f64::from(p.beam_power_w) * loss / 7.0).sqrt();
                        let y: num_complex::Complex64 = (0..7)
                            .map(|m| {
                                let h = num_complex::Complex64::new(h.re[m], h.im[m]);
                                let v = num_complex::Complex64::from_polar(
                                    amplitude,
                                    phases[(e * 3 + j) * 7 + m],
                                );
                                h.conj() * v
                            })
                            .sum();
                        y.norm_sqr()
                    })
                    .collect();
                let rest: f64 = received.iter().sum::<f64>() - received[i];
                let rate = (1.0 + received[i] / (rest + f64::from(p.noise_w))).log2();
                let got = out[((r * gain_row::ROWS + gain_row::RATE) * 5 + env) * 3 + i];
                assert!((got - rate).abs() < 1e-9 * (1.0 + rate), "{got} against {rate}");
            }
        }
    }
}
