//! v2x_gradient: what slots give (a [`Quantity`]) and its gradient by the actions taken in them, from scenes
//! (v2x_scene). One sample for each thread. The closed forms are `src/tasks/v2x/gradient.rs`.

pub use super::v2x_batch::WG;
use super::v2x_batch::{self, STEP, check_params, check_states, sensitivity};
use super::v2x_scene::{self, v2x_scene_cpu};
use super::v2x_step::{beam_constants, check_actions};
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::num::real::counted::{Counted, operations};
use crate::tasks::v2x::gradient::{Quantity, gradient, gradient_range, scene_dim, state_of};
use crate::tasks::v2x::physics::V2xParams;

pub const SHADER: Source = shader!("shaders/v2x/", "v2x_gradient", super::SHARED);

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 4.0 * STEP,
    why: "of a sample's largest |gradient|, or a tenth of its value, plus what angles off by 1 rad, distances by 100 % and raw numbers by their size would change (secants at \
          1e-6): as v2x_step, twice, for the second derivative of the array's response, which is a difference of two nearly equal numbers",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R replicas of M samples (`batch.b`) each.
    pub batch: v2x_batch::Spec,
    pub of: Quantity,
    /// Width of the indicator of [`Quantity::RewardSmooth`], nepers.
    pub width: f32,
}

impl Spec {
    /// Samples of all replicas.
    fn samples(&self) -> usize {
        self.batch.r * self.batch.b
    }
    /// Elements of the scenes `[R, M, 4K]`.
    fn scenes(&self) -> usize {
        self.samples() * scene_dim(&self.batch.task)
    }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Factor of the gradient.
    pub weight: f32,
}

/// `params` `[R]`; `scene` `[R, M, 4K]`; `action` `[R, M, A]`; `d_action` `[R, M, A]`, the gradient times `weight`;
/// `value` `[R, M]`.
pub fn v2x_gradient_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    params: &[V2xParams],
    scene: &[F],
    action: &[F],
    d_action: &mut [F],
    value: &mut [F],
) {
    let (m, t) = (spec.batch.b, &spec.batch.task);
    let (w, a) = (scene_dim(t) * m, t.action_dim() * m);
    for (r, params) in params.iter().enumerate().take(spec.batch.r) {
        let (scene, action) = (&scene[r * w..][..w], &action[r * a..][..a]);
        let (d_action, value) = (&mut d_action[r * a..][..a], &mut value[r * m..][..m]);
        gradient_range::<F, 0>(
            t, params, spec.of, spec.width, at.weight, scene, action, d_action, value, 0, m,
        );
    }
}

/// What a dispatch must do; operations counted on the twin.
pub fn cost(spec: &Spec) -> Cost {
    let one = Spec { batch: v2x_batch::Spec { r: 1, b: 1, ..spec.batch }, ..*spec };
    let params = check_params(&one.batch, 1);
    let (scene, _) = check_samples(&one.batch, &params, 1);
    let counted = |x: &[f32]| x.iter().copied().map(Counted).collect::<Vec<_>>();
    let (scene, action) = (counted(&scene), counted(&vec![0.1; one.batch.action_len()]));
    let each = operations(|| {
        let (mut d_action, mut value) = (vec![Counted(0.0); action.len()], [Counted(0.0)]);
        v2x_gradient_cpu(&one, &Args { weight: 1.0 }, &params, &scene, &action, &mut d_action, &mut value);
    });
    let n = spec.samples();
    let words = spec.batch.r * words_of::<V2xParams>() + spec.scenes() + 2 * spec.batch.action_len() + n;
    Cost::new(n * each as usize, words)
}

pub fn prelude(spec: &Spec) -> Prelude {
    let prelude = beam_constants(v2x_batch::constants(&spec.batch), &spec.batch.task);
    prelude
        .f32("WIDTH", spec.width)
        .u32("QUANTITY", spec.of as usize)
        .u32("QUANTITY_RATE", Quantity::Rate as usize)
        .u32("QUANTITY_REWARD_SMOOTH", Quantity::RewardSmooth as usize)
        .u32("QUANTITY_SUM_RATE", Quantity::SumRate as usize)
        .u32("QUANTITY_JAIN", Quantity::Jain as usize)
        .u32("QUANTITY_ANGLE_CRLB", Quantity::AngleCrlb as usize)
        .u32("QUANTITY_DISTANCE_CRLB", Quantity::DistanceCrlb as usize)
}

host! {
    V2xGradient, V2xGradientBound;
    fits |gpu, spec| check_trips(gpu, "v2x_gradient", 4 * super::v2x_step::trips(&spec.batch.task));
    /// Shapes as in [`v2x_gradient_cpu`].
    bind |spec| {
        params: V2xParams = of_len(spec.batch.r),
        scene: f32 = of_len(spec.scenes()),
        action: f32 = of_len(spec.batch.action_len()),
        d_action: f32 = of_len(spec.batch.action_len()),
        value: f32 = of_len(spec.samples()),
    }
}

impl V2xGradientBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        self.bound.record(pass, fold_groups(self.spec.samples(), WG), &[at.weight.to_bits()]);
    }
}

/// Scenes `[R, B, 4K]` and actions `[R, B, A]` that look at every regime.
pub fn check_samples(batch: &v2x_batch::Spec, params: &[V2xParams], seed: u32) -> (Vec<f32>, Vec<f32>) {
    let (states, clock) = (check_states(batch, seed), 2 * batch.task.slots as u32);
    let mut scene = vec![f32::NAN; batch.r * batch.b * scene_dim(&batch.task)];
    v2x_scene_cpu(batch, &v2x_scene::Args { clock, scene_off: 0 }, params, &states, &mut scene);
    (scene, check_actions(batch, params, &states, clock, seed))
}

/// How far rounding may move the value and the gradient of one sample, `[1 + A]`.
fn scale(spec: &Spec, p: &V2xParams, scene: &[f32], action: &[f32]) -> Vec<f64> {
    let (t, k, a) = (&spec.batch.task, spec.batch.task.vehicles, action.len());
    let (scene, action) = (widen(scene), widen(action));
    // Explicit beams come in exactly.
    let fixed = if t.beam.is_matrix() { a - k } else { 0 };
    let x = [&scene[..], &action[fixed..]].concat();
    let angles = |i: usize| i / k == 0 || i / k == 2;
    let size: Vec<f64> =
        (0..x.len()).map(|i| if i < scene.len() && angles(i) { 1.0 } else { 1.0 + x[i].abs() }).collect();
    let run = |x: &[f64]| {
        let mut act = action.clone();
        act[fixed..].copy_from_slice(&x[scene.len()..]);
        let mut out = vec![0.0; 1 + a];
        let (value, d_action) = out.split_at_mut(1);
        value[0] = gradient(t, k, p, spec.of, spec.width, &state_of(k, &x[..scene.len()]), &act, d_action);
        out
    };
    let base = run(&x);
    let largest = base[1..].iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    let moved = sensitivity(&x, &size, run);
    moved
        .iter()
        .zip(&base)
        .enumerate()
        .map(|(i, (s, b))| s + if i == 0 { b.abs() } else { largest.max(0.1 * base[0].abs()) })
        .collect()
}

/// Against the f64 twin. The bits of the f32 twin are not asked for: Mesa re-associates some of these sums.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let params = check_params(&spec.batch, seed);
    let (scene, action) = check_samples(&spec.batch, &params, seed);
    let (n, a, w) = (spec.samples(), spec.batch.task.action_dim(), scene_dim(&spec.batch.task));
    let (mut want, mut want_value) = (vec![f64::NAN; n * a], vec![f64::NAN; n]);
    let at = Args { weight: -0.25 };
    v2x_gradient_cpu(spec, &at, &params, &widen(&scene), &widen(&action), &mut want, &mut want_value);
    let (mut size, mut size_value) = (Vec::new(), Vec::new());
    for i in 0..n {
        let of = scale(spec, &params[i / spec.batch.b], &scene[i * w..][..w], &action[i * a..][..a]);
        size_value.push(of[0]);
        size.extend_from_slice(&of[1..]);
    }
    bind!(gpu, bound = V2xGradient::new(gpu, spec)?; params_buf = params, scene, action, d_action[n * a], value[n]);
    gpu.run(|pass| bound.record(pass, &at))?;
    let (got, got_value) = (gpu.read(&d_action)?, gpu.read(&value)?);
    Ok(vec![
        compare_scaled("d_action", &got, &want, &size, TOL),
        compare_scaled("value", &got_value, &want_value, &size_value, TOL),
    ])
}
