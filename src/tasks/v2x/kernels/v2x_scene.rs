//! v2x_scene: what a slot is judged by beside its action, `[θ, d, θ̂, d̂]` of every vehicle: the truth behind the
//! coming motion, and the last echo. The gradient of the slot (v2x_gradient) is taken there. The motion is that of
//! v2x_step, the same draws.

use super::v2x_batch::{self, STEP, check_params, check_states, noise_size, sensitivity, state_of};
pub use super::v2x_batch::{Spec, WG};
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::tasks::v2x::gradient::{scene_dim, scene_range};
use crate::tasks::v2x::physics::{KMAX, Noise, V2xParams, motion, motion_noise};

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_scene", super::SHARED);

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2.0 * STEP,
    why: "of |value| plus what angles off by 1 rad, distances by 100 % and normals by their size would change: that of v2x_step",
};

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slots since the first reset.
    pub clock: u32,
    /// Start of the scenes `[R, B, 4K]` inside their buffer.
    pub scene_off: usize,
}

/// Elements of the scenes of a slot.
fn scenes(spec: &Spec) -> usize {
    spec.r * spec.b * scene_dim(&spec.task)
}

/// `params` `[R]`; `state` `[R, 10K, B]` before the slot; `scene` `[R, B, 4K]` from `scene_off`.
pub fn v2x_scene_cpu<F: Scalar>(spec: &Spec, at: &Args, params: &[V2xParams], state: &[F], scene: &mut [F]) {
    let (b, t) = (spec.b, &spec.task);
    let (rows, width) = (t.state_rows() * b, scene_dim(t) * b);
    for (r, params) in params.iter().enumerate().take(spec.r) {
        let scene = &mut scene[at.scene_off + r * width..][..width];
        scene_range::<F>(t, params, (0, b), at.clock, &state[r * rows..][..rows], scene, 0, b);
    }
}

/// What a dispatch must do; operations counted on the twin.
pub fn cost(spec: &Spec) -> Cost {
    let one = Spec { r: 1, b: 1, ..*spec };
    let (params, states) = (check_params(&one, 1), check_states(&one, 1));
    let states: Vec<Counted> = states.into_iter().map(Counted).collect();
    let each = operations(|| {
        let mut scene = vec![Counted(0.0); scenes(&one)];
        v2x_scene_cpu(&one, &Args { clock: 0, scene_off: 0 }, &params, &states, &mut scene);
    });
    // Of the state it needs all but the SINR and the variances of the echo, and the speed that it saw.
    let read = spec.r * (words_of::<V2xParams>() + 5 * spec.task.vehicles * spec.b);
    Cost::new(spec.r * spec.b * each as usize, read + scenes(spec))
}

pub fn prelude(spec: &Spec) -> Prelude {
    v2x_batch::constants(spec)
}

host! {
    V2xScene, V2xSceneBound;
    fits |gpu, spec| check_trips(gpu, "v2x_scene", philox_trips(3 * spec.task.vehicles) + 4 * spec.task.vehicles);
    /// `params` `[R]`, `state` `[R, 10K, B]`; `scene` holds whatever the offset of `record` points into.
    bind |spec| {
        params: V2xParams = of_len(spec.r),
        state: f32 = of_len(spec.state_len()),
        scene: f32,
    }
}

impl V2xSceneBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        assert_inside("v2x_scene", "scene", at.scene_off, scenes(&self.spec), self.scene);
        let groups = fold_groups(self.spec.r * self.spec.b, WG);
        self.bound.record(pass, groups, &[at.clock, at.scene_off as u32]);
    }
}

/// How far rounding may move the scene of one environment.
fn scale(spec: &Spec, p: &V2xParams, states: &[f32], (r, env): (usize, usize), clock: u32) -> Vec<f64> {
    let k = spec.task.vehicles;
    let before = state_of(spec, states, r, env);
    let z = motion_noise::<f64>(k, p, env as u32, clock);
    let mut x = Vec::new();
    let mut size = Vec::new();
    for i in 0..k {
        x.extend([before.theta[i], before.d[i], before.v[i]]);
        size.extend([1.0, before.d[i], before.v[i]]);
    }
    x.extend_from_slice(&z[..3 * k]);
    size.extend_from_slice(&noise_size(&z)[..3 * k]);
    let run = |x: &[f64]| {
        let mut s = before;
        for i in 0..k {
            (s.theta[i], s.d[i], s.v[i]) = (x[3 * i], x[3 * i + 1], x[3 * i + 2]);
        }
        let mut z: Noise<f64> = [0.0; 3 * KMAX];
        z[..3 * k].copy_from_slice(&x[3 * k..]);
        motion(k, spec.task.kinematics, p, &z, &mut s);
        [&s.theta, &s.d, &s.obs_theta, &s.obs_d]
            .into_iter()
            .flat_map(|g| g[..k].to_vec())
            .collect::<Vec<f64>>()
    };
    let base = run(&x);
    sensitivity(&x, &size, run).iter().zip(&base).map(|(s, b)| s + b.abs()).collect()
}

/// Against the f64 twin, and on lavapipe against the bits of the f32 twin; at an offset, before which nothing is
/// written.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (params, states) = (check_params(spec, seed), check_states(spec, seed));
    let (n, at) = (scenes(spec), Args { clock: 2 * spec.task.slots as u32 + 1, scene_off: 5 });
    let mut want = vec![f64::NAN; at.scene_off + n];
    v2x_scene_cpu(spec, &at, &params, &widen(&states), &mut want);
    let mut twin = vec![f32::NAN; at.scene_off + n];
    v2x_scene_cpu(spec, &at, &params, &states, &mut twin);
    let all = (0..spec.r).flat_map(|r| (0..spec.b).map(move |env| (r, env)));
    let size: Vec<f64> =
        all.flat_map(|(r, env)| scale(spec, &params[r], &states, (r, env), at.clock)).collect();
    bind!(gpu, bound = V2xScene::new(gpu, spec)?; params_buf = params, state_buf = states, scene_buf[at.scene_off + n]);
    gpu.run(|pass| bound.record(pass, &at))?;
    let got = gpu.read(&scene_buf)?;
    let (head, got) = got.split_at(at.scene_off);
    let mut rows =
        compare_twins(gpu, "scene", got, [&want[at.scene_off..], &size], TOL, &twin[at.scene_off..]);
    let poison = head.iter().all(|x| x.is_nan());
    assert!(poison, "v2x_scene wrote before its offset");
    rows.shrink_to_fit();
    Ok(rows)
}
