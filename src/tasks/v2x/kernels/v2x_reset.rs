//! v2x_reset: first states of an episode and their observations, for every environment of every replica.

use super::v2x_batch::{self, check_params, shift_of};
pub use super::v2x_batch::{Spec, WG};
use crate::env::Batch;
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::tasks::v2x::physics::{V2xParams, reset_range};

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_reset", super::SHARED);

pub const TOL: Tol =
    Tol { abs: 1e-30, rel: 5e-7, why: "one product and one sum per value: a few half-ulps of 6e-8" };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slot counter of the draws: the first episode starts at 0.
    pub clock: u32,
    /// Start of obs `[R, B, 4K]` inside its buffer.
    pub obs_off: usize,
}

/// `params` `[R]`, `state` `[R, 10K, B]`, `obs` `[R, B, 4K]` from `obs_off`.
pub fn v2x_reset_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    state: &mut [F],
    obs: &mut [F],
) {
    let (rows, row) = (spec.task.state_rows() * spec.b, spec.task.obs_dim() * spec.b);
    let states = state.chunks_exact_mut(rows);
    let rows_of_obs = obs[at.obs_off..].chunks_exact_mut(row);
    for ((params, state), obs) in params.iter().take(spec.r).zip(states).zip(rows_of_obs) {
        let mut batch = Batch { params, envs: spec.b, first: 0, state, obs };
        reset_range::<F, 0>(&spec.task, &mut batch, at.clock, 0, spec.b);
    }
}

/// What a dispatch must do; operations counted on the twin.
pub fn cost(spec: &Spec) -> Cost {
    let one = Spec { r: 1, b: 1, ..*spec };
    let params = check_params(&one, 1);
    let (mut state, mut obs) =
        (vec![Counted::default(); one.state_len()], vec![Counted::default(); one.obs_len()]);
    let each = operations(|| {
        v2x_reset_cpu(&one, &Args { clock: 0, obs_off: 0 }, &params, &mut state, &mut obs);
    });
    let words = spec.r * words_of::<V2xParams>() + spec.state_len() + spec.obs_len();
    Cost::new(spec.r * spec.b * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    v2x_batch::constants(spec)
}

host! {
    V2xReset, V2xResetBound;
    /// `params` `[R]`, `state` `[R, 10K, B]`; `obs` holds whatever the offset of `record` points into.
    bind |spec| { params: V2xParams = of_len(spec.r), state: f32 = of_len(spec.state_len()), obs: f32 }
}

impl V2xResetBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        assert_inside("v2x_reset", "obs", at.obs_off, self.spec.obs_len(), self.obs);
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.b, WG), &[at.clock, at.obs_off as u32]);
    }
}

/// Shader against f64 twin, and on lavapipe against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let params = check_params(spec, seed);
    let at = Args { clock: 41, obs_off: 3 };
    let obs_len = at.obs_off + spec.obs_len();
    let (mut state64, mut obs64) = (vec![0f64; spec.state_len()], vec![0f64; obs_len]);
    v2x_reset_cpu(spec, &at, &params, &mut state64, &mut obs64);
    let (mut state32, mut obs32) = (vec![0f32; spec.state_len()], vec![0f32; obs_len]);
    v2x_reset_cpu(spec, &at, &params, &mut state32, &mut obs32);

    bind!(gpu, bound = V2xReset::new(gpu, spec)?; params_buf = params, state_buf[spec.state_len()], obs_buf[obs_len]);
    gpu.write(&obs_buf, &vec![0.0; at.obs_off]);
    gpu.run(|pass| bound.record(pass, &at))?;
    let (state, obs) = (gpu.read(&state_buf)?, gpu.read(&obs_buf)?);
    let (k, o) = (spec.task.vehicles, spec.task.obs_dim());
    let shifted = |i: usize| shift_of(&params[i / o / spec.b], k, i % o);
    let scale: Vec<f64> =
        (0..obs_len).map(|i| obs64[i].abs() + i.checked_sub(at.obs_off).map_or(0.0, shifted)).collect();
    let mut rows =
        vec![compare("state", &state, &state64, TOL), compare_scaled("obs", &obs, &obs64, &scale, TOL)];
    rows.extend(compare_bits(gpu, "state", &state, &state32));
    rows.extend(compare_bits(gpu, "obs", &obs, &obs32));
    Ok(rows)
}
