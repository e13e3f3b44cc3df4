//! spatial_loss: L_spat = −λ·mean over samples and vehicles of |h^H v|²/M (13), its gradient by the phases and the gain
//! of every sample.
//!
//! Samples come out of a rollout of `slots` slots whose states are kept, `[slots, R, 7K, B]`: of minibatch mb, slot by
//! slot, those of M/slots environments in the order of the keyed shuffle of an epoch, as `minibatch_gather` and
//! `slot_gather` take whole environments. The channel of a sample is drawn again from the state and the clock of its
//! slot, so that none is stored.

use super::misac_batch::{
    PHASE_STEP, Spec as BatchSpec, WG as BATCH_WG, beam_constants, check_params, check_phases, check_states,
    state_of,
};
use super::misac_gain::matched;
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::num::shuffle::{Minibatch, Samples, Unit};
use crate::tasks::misac::physics::{Channel, MMAX, MisacParams, Phase, channel, spatial_gain};

pub const SHADER: Source = shader!("shaders/misac/", "spatial_loss", super::SHARED);

pub const WG: usize = BATCH_WG;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of what phases pi m cos(theta) off by 6e-7 m change: M times the matched gain, and for a derivative M times |h_m| times sum |h|",
};

/// Sizes, fixed when the kernel is compiled. `batch.b` environments were stepped.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub batch: BatchSpec,
    pub phase: Phase,
    /// Slots of the rollout.
    pub slots: usize,
    /// M: samples of a replica in a minibatch.
    pub m: usize,
}

impl Spec {
    /// Elements of the states of the rollout `[slots, R, 7K, B]`.
    pub fn states_len(&self) -> usize {
        self.slots * self.batch.state_len()
    }
    /// Elements of the gains `[R, M, K]`.
    pub fn gain_len(&self) -> usize {
        self.batch.r * self.m * self.batch.task.vehicles
    }
    /// Elements of the phases `[R, M, K, antennas]`.
    pub fn phases_len(&self) -> usize {
        self.gain_len() * self.batch.task.antennas
    }
    /// Replica, slot and environment of each sample of a minibatch, replica by replica.
    fn samples(&self, which: Minibatch, params: &[MisacParams]) -> Vec<(usize, usize, usize)> {
        let keys: Vec<[u32; 2]> = params.iter().take(self.batch.r).map(|p| p.key).collect();
        let samples = Samples::new(Unit::Environment, which, &keys, (self.slots, self.batch.b), self.m);
        let one = |(r, j)| {
            let (slot, env) = samples.at(r, j);
            (r, slot, env)
        };
        (0..self.batch.r).flat_map(|r| (0..self.m).map(move |j| (r, j))).map(one).collect()
    }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    pub which: Minibatch,
    /// Clock of the first of the kept slots, and from one of them to the next.
    pub clock: u32,
    pub clock_step: u32,
    /// Start of the states `[slots, R, 7K, B]` inside their buffer, in elements.
    pub state_off: usize,
    /// λ of (13).
    pub lambda: f32,
}

impl Args {
    /// What turns the derivatives of [`spatial_gain`] into those of the loss: −λ/(M_samples·K·M_antennas²).
    fn factor(&self, spec: &Spec) -> f32 {
        let t = &spec.batch.task;
        let terms = (spec.m * t.vehicles) as f64 * (t.antennas * t.antennas) as f64;
        (-f64::from(self.lambda) / terms) as f32
    }
}

/// `params` `[R]`, `state` `[slots, R, 7K, B]` from `state_off`, `phases` `[R, M, K, antennas]` (rad); `d_phases` of
/// the same shape, the gradient of the loss; `gain` `[R, M, K]`: |h^H v|²/antennas.
pub fn spatial_loss_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[MisacParams],
    state: &[F],
    phases: &[F],
    d_phases: &mut [F],
    gain: &mut [F],
) {
    at.which.assert_inside(spec.m, spec.slots * spec.batch.b);
    let task = &spec.batch.task;
    let (k, n) = (task.vehicles, task.antennas);
    let factor = F::splat(f64::from(at.factor(spec)));
    let mut derivative = [F::splat(0.0); MMAX];
    for (sample, (r, slot, env)) in spec.samples(at.which, params).into_iter().enumerate() {
        let s = state_of(&spec.batch, &state[at.state_off + slot * spec.batch.state_len()..], r, env);
        for i in 0..k {
            let first = (sample * k + i) * n;
            let phi = &phases[first..][..n];
            let clock = at.clock + slot as u32 * at.clock_step;
            gain[sample * k + i] = spatial_gain(
                task,
                &params[r],
                &s,
                i,
                env as u32,
                clock,
                spec.phase,
                |m| phi[m],
                &mut derivative,
            );
            for (out, d) in d_phases[first..][..n].iter_mut().zip(&derivative) {
                *out = factor * *d;
            }
        }
    }
}

/// What a dispatch must do, each sample's whole state read; operations counted on the twin.
pub fn cost(spec: &Spec) -> Cost {
    let one = Spec { batch: BatchSpec { r: 1, b: 1, ..spec.batch }, slots: 1, m: 1, ..*spec };
    let params = check_params(&one.batch, 1);
    let state = counted(&check_states(&one.batch, &params, 1));
    let phases = vec![Counted(0.1); one.phases_len()];
    let (mut d_phases, mut gain) = (phases.clone(), vec![Counted::default(); one.gain_len()]);
    let which = Minibatch { update: 0, epoch: 0, mb: 0 };
    let args = Args { which, clock: 0, clock_step: 1, state_off: 0, lambda: 1.0 };
    let each =
        operations(|| spatial_loss_cpu(&one, &args, &params, &state, &phases, &mut d_phases, &mut gain));
    let samples = spec.batch.r * spec.m;
    let words = spec.batch.r * words_of::<MisacParams>()
        + samples * spec.batch.task.state_rows()
        + 2 * spec.phases_len()
        + spec.gain_len();
    Cost::new(samples * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    beam_constants(&spec.batch, spec.phase).u32("SLOTS", spec.slots).u32("M", spec.m)
}

host! {
    SpatialLoss, SpatialLossBound;
    fits |gpu, spec| {
        let n = spec.batch.task.antennas;
        Unit::Environment.assert_whole(spec.slots, spec.m);
        // The shuffle's walk is longer than 100 rounds with probability below 1e-12.
        check_trips(gpu, "spatial_loss", n.div_ceil(2) * philox_trips(4) + 5 * n + philox_trips(16) + 100)
    };
    /// Shapes as in [`spatial_loss_cpu`]; `state` holds whatever the offset of `record` points into, the others may be
    /// longer.
    bind |spec| {
        params: MisacParams = of_len(spec.batch.r),
        state: f32,
        phases: f32 = at_least(spec.phases_len()),
        d_phases: f32 = at_least(spec.phases_len()),
        gain: f32 = at_least(spec.gain_len()),
    }
}

impl SpatialLossBound {
    /// Panics unless the minibatch lies inside the rollout.
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let spec = &self.spec;
        at.which.assert_inside(spec.m, spec.slots * spec.batch.b);
        assert_inside("spatial_loss", "states", at.state_off, spec.states_len(), self.state);
        let [update, epoch, mb] = at.which.immediates();
        let imm =
            [update, epoch, mb, at.clock, at.clock_step, at.state_off as u32, at.factor(spec).to_bits()];
        self.bound.record(pass, fold_groups(spec.gain_len(), WG), &imm);
    }
}

/// Shader against f64 twin for the first and the last minibatch, and on lavapipe against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let task = &spec.batch.task;
    let (k, n) = (task.vehicles, task.antennas);
    let params = check_params(&spec.batch, seed);
    let state_off = 3;
    let mut state = vec![0f32; state_off];
    for slot in 0..spec.slots as u32 {
        state.extend(check_states(&spec.batch, &params, seed + slot));
    }
    let state64 = widen(&state);
    let mut rows = Vec::new();
    for mb in [0, (spec.slots * spec.batch.b / spec.m - 1) as u32] {
        let which = Minibatch { update: 3 + seed, epoch: 1, mb };
        let at = Args { which, clock: 4711, clock_step: 3, state_off, lambda: 1.5 };
        let samples = spec.samples(which, &params);
        let states = || {
            samples.iter().map(|&(r, slot, env)| {
                (r, state_of(&spec.batch, &state64[state_off + slot * spec.batch.state_len()..], r, env))
            })
        };
        let phases = check_phases(&spec.batch, spec.phase, &params, states(), seed);
        let (mut d_phases, mut gain) = (vec![0f64; spec.phases_len()], vec![0f64; spec.gain_len()]);
        spatial_loss_cpu(spec, &at, &params, &state64, &widen(&phases), &mut d_phases, &mut gain);
        let (mut d_twin, mut gain_twin) = (vec![0f32; spec.phases_len()], vec![0f32; spec.gain_len()]);
        spatial_loss_cpu(spec, &at, &params, &state, &phases, &mut d_twin, &mut gain_twin);

        let blur = 2.0 * PHASE_STEP * 1e6 * n as f64;
        let factor = f64::from(at.factor(spec)).abs();
        let (mut d_scale, mut scale) = (Vec::new(), Vec::new());
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        for ((r, s), &(_, slot, env)) in states().zip(&samples) {
            for i in 0..k {
                channel(task, &params[r], &s, i, env as u32, at.clock + 3 * slot as u32, &mut h);
                scale.push(matched(&h, n) / n as f64 * blur);
                let amplitude = |m: usize| h.re[m].hypot(h.im[m]);
                let sum: f64 = (0..n).map(amplitude).sum();
                d_scale.extend((0..n).map(|m| factor * 2.0 * (amplitude(m) + 0.1) * sum * blur));
            }
        }

        bind!(gpu, bound = SpatialLoss::new(gpu, spec)?; params_buf = params, state_buf = state, phases,
            d_phases_buf[d_phases.len()], gain_buf[gain.len()]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let (got_d, got_gain) = (gpu.read(&d_phases_buf)?, gpu.read(&gain_buf)?);
        rows.push(compare_scaled(&format!("d_phases, minibatch {mb}"), &got_d, &d_phases, &d_scale, TOL));
        rows.push(compare_scaled(&format!("gain, minibatch {mb}"), &got_gain, &gain, &scale, TOL));
        rows.extend(compare_bits(gpu, &format!("d_phases, minibatch {mb}"), &got_d, &d_twin));
        rows.extend(compare_bits(gpu, &format!("gain, minibatch {mb}"), &got_gain, &gain_twin));
    }
    Ok(rows)
}
