//! misac_reset: first states of an episode and their observations, for every environment of every replica.

use super::misac_batch::{self, check_params, normal_size, range_size};
pub use super::misac_batch::{Spec, WG};
use crate::env::Batch;
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::philox::draw;
use crate::num::real::counted::{Counted, operations};
use crate::tasks::misac::physics::{MisacParams, reset_range, stream};

pub const SHADER: Source = shader!("shaders/misac/", "misac_reset", super::SHARED);

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of |value| and of what it is made of: positions of 80 m, unit cosines, Box-Muller radii, two arcs of a few ulps over the way of an episode",
};

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slot counter of the draws: the first episode starts at 0.
    pub clock: u32,
    /// Start of state `[R, 7K, B]` inside its buffer.
    pub state_off: usize,
    /// Start of obs `[R, B, 3K]` inside its buffer.
    pub obs_off: usize,
}

/// `params` `[R]`, `state` `[R, 7K, B]` from `state_off`, `obs` `[R, B, 3K]` from `obs_off`.
pub fn misac_reset_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[MisacParams],
    state: &mut [F],
    obs: &mut [F],
) {
    let (rows, row) = (spec.task.state_rows() * spec.b, spec.task.obs_dim() * spec.b);
    let states = state[at.state_off..].chunks_exact_mut(rows);
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
    let args = Args { clock: 0, state_off: 0, obs_off: 0 };
    let each = operations(|| misac_reset_cpu(&one, &args, &params, &mut state, &mut obs));
    let words = spec.r * words_of::<MisacParams>() + spec.state_len() + spec.obs_len();
    Cost::new(spec.r * spec.b * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    misac_batch::constants(spec)
}

host! {
    MisacReset, MisacResetBound;
    fits |gpu, spec| check_trips(gpu, "misac_reset", spec.task.vehicles * (1 + philox_trips(16)));
    /// `params` `[R]`; `state` and `obs` hold whatever the offsets of `record` point into.
    bind |spec| { params: MisacParams = of_len(spec.r), state: f32, obs: f32 }
}

impl MisacResetBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        assert_inside("misac_reset", "state", at.state_off, self.spec.state_len(), self.state);
        assert_inside("misac_reset", "obs", at.obs_off, self.spec.obs_len(), self.obs);
        let imm = [at.clock, at.state_off as u32, at.obs_off as u32];
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.b, WG), &imm);
    }
}

/// What the rounding of a first state and its observation is measured by: rows x, v, age, e, two cosines, turn of
/// `[7K]`, then `[3K]`.
pub(super) fn reset_scale(spec: &Spec, p: &MisacParams, env: u32, clock: u32) -> (Vec<f64>, Vec<f64>) {
    let k = spec.task.vehicles;
    let (mut state, mut obs) = (vec![0.0; spec.task.state_rows()], vec![0.0; spec.task.obs_dim()]);
    let range = range_size(k, p.key, env, clock);
    for i in 0..k {
        let w = draw(p.key, stream::RESET, env, clock, 2 * i as u32 + 1);
        let way = f64::from(p.speed_min_m_s) * f64::from(p.dt_s) * spec.task.slots as f64;
        let sizes =
            [80.0, 25.0, 0.0, f64::from(p.sigma_vis_rad) * normal_size(w[0], w[1]), 1.0, 1.0, 3.0 / way];
        for (q, size) in sizes.into_iter().enumerate() {
            state[q * k + i] = size;
        }
        obs[i] = 1.0;
        obs[k + i] = 2.0 + f64::from(p.distance_noise) * range[i];
        obs[2 * k + i] = 1.0;
    }
    (state, obs)
}

/// Shader against f64 twin, and on lavapipe against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let params = check_params(spec, seed);
    let at = Args { clock: 41, state_off: 2, obs_off: 3 };
    let (state_len, obs_len) = (at.state_off + spec.state_len(), at.obs_off + spec.obs_len());
    let (mut state64, mut obs64) = (vec![0f64; state_len], vec![0f64; obs_len]);
    misac_reset_cpu(spec, &at, &params, &mut state64, &mut obs64);
    let (mut state32, mut obs32) = (vec![0f32; state_len], vec![0f32; obs_len]);
    misac_reset_cpu(spec, &at, &params, &mut state32, &mut obs32);
    let (mut state_scale, mut obs_scale) = (vec![0.0; state_len], vec![0.0; obs_len]);
    for (r, p) in params.iter().enumerate() {
        for env in 0..spec.b {
            let (rows, row) = reset_scale(spec, p, env as u32, at.clock);
            for (q, size) in rows.iter().enumerate() {
                state_scale[at.state_off + (r * rows.len() + q) * spec.b + env] = *size;
            }
            obs_scale[at.obs_off + (r * spec.b + env) * row.len()..][..row.len()].copy_from_slice(&row);
        }
    }

    bind!(gpu, bound = MisacReset::new(gpu, spec)?; params_buf = params, state_buf[state_len], obs_buf[obs_len]);
    gpu.write(&state_buf, &vec![0.0; at.state_off]);
    gpu.write(&obs_buf, &vec![0.0; at.obs_off]);
    gpu.run(|pass| bound.record(pass, &at))?;
    let (state, obs) = (gpu.read(&state_buf)?, gpu.read(&obs_buf)?);
    let mut rows = vec![
        compare_scaled("state", &state, &state64, &state_scale, TOL),
        compare_scaled("obs", &obs, &obs64, &obs_scale, TOL),
    ];
    rows.extend(compare_bits(gpu, "state", &state, &state32));
    rows.extend(compare_bits(gpu, "obs", &obs, &obs32));
    Ok(rows)
}
