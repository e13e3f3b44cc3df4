//! Task v2x as an [`Env`]: vector lanes on the CPU; on a GPU `v2x_reset`, `v2x_step` and, for a whole rollout in one
//! dispatch, `v2x_rollout`.

use super::codebook::codebook;
use super::config::{V2xConfig, V2xTaskConfig};
use super::gradient::{Quantity, gradient_range, scene_dim, scene_range};
use super::kernels::{v2x_batch, v2x_gradient, v2x_reset, v2x_rollout, v2x_scene, v2x_step};
use super::physics::{Beam, V2xParams, V2xSpec, metric, reset_range, step_range};
use crate::env::{
    At, Batch, Component, Env, EnvBuffers, EnvGpu, FusedBuffers, FusedPlan, FusedRollout, GRADIENT_GROUP,
    GradientBuffers, GradientSize, Limit, Metric, Objective, Samples, Sizes, SlotGradient, SlotGradientGpu,
    StepArgs, StepSlices,
};
use crate::gpu::{Buf, Gpu, GpuError};
use crate::nets::{ActorCriticLayout, Codebook};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};
use std::ops::Range;
use std::sync::Arc;

/// The task with the parameters of R replicas, whose keys are those of training.
#[derive(Clone, Debug)]
pub struct V2xEnv {
    pub spec: V2xSpec,
    /// `[R]`
    pub params: Vec<V2xParams>,
}

/// Task parameters at a power limit, dBm, under a key.
pub fn params_of(task: &V2xTaskConfig, p_max_dbm: f64, key: [u32; 2]) -> V2xParams {
    V2xTaskConfig { p_max_dbm, ..task.clone() }.params(key)
}

impl V2xConfig {
    /// The environment of replicas with these parameters, `[R]`.
    pub fn env_of(&self, params: Vec<V2xParams>) -> Arc<dyn Env> {
        Arc::new(V2xEnv { spec: self.task.spec(), params })
    }
}

/// Rows of the metrics in learning curves.
const CURVE: [usize; 4] = [metric::REWARD, metric::SUM_RATE, metric::JAIN, metric::INDICATOR];

/// What the rows of [`metric::NAMES`] are.
const ABOUT: [&str; 10] = [
    "sum of log2(1 + SINR) over the vehicles (13)",
    "Jain index of the rates (28)",
    "reward (27)",
    "share of slots in which both bounds hold the limits of (27)",
    "mean over vehicles of the squared error of the measured angle",
    "mean over vehicles of the squared error of the measured distance",
    "mean over vehicles of the angle's bound (22), capped as the measurement is",
    "mean over vehicles of the distance's bound (23), capped as the measurement is",
    "sum-rate of matched beams without interference and with water-filled power: no agent can exceed it",
    "mean over vehicles of the squared difference between the angle of the beam and the true angle",
];

/// What the median and the 90 % quantile of [`metric::SAMPLE_NAMES`] are called.
const QUANTILES: [[&str; 2]; metric::SAMPLES] = [
    ["angle_error_median_rad", "angle_error_p90_rad"],
    ["distance_error_median_m", "distance_error_p90_m"],
    ["pointing_error_median_rad", "pointing_error_p90_rad"],
];

/// How far above P_max a sum of rounded powers may be.
const SLACK: f32 = 1e-4;

impl Env for V2xEnv {
    fn sizes(&self) -> Sizes {
        let s = &self.spec;
        Sizes {
            obs: s.obs_dim(),
            action: s.action_dim(),
            state: s.state_rows(),
            slots: s.slots,
            metrics: s.metric_rows(),
        }
    }
    fn replicas(&self) -> usize {
        self.params.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.params[replica].key
    }
    fn part(&self, replicas: Range<usize>) -> Option<Arc<dyn Env>> {
        Some(Arc::new(V2xEnv { spec: self.spec, params: self.params[replicas].to_vec() }))
    }

    /// What the last echo measured: noise takes angle, distance and speed past any bound.
    fn observation(&self) -> Vec<Component> {
        let k = self.spec.vehicles;
        // Of all replicas: γ̂ is never negative.
        let lows = self.params.iter().map(|p| -p.obs_shift[3] * p.obs_scale[3]);
        let low = lows.reduce(f32::min).unwrap_or(f32::NEG_INFINITY);
        let each =
            |name: &'static str, unit| (0..k).map(move |i| Component::free(format!("{name}_{i}"), unit));
        let sinr =
            (0..k).map(|i| Component { low, ..Component::free(format!("log10_sinr_{i}"), "scaled decades") });
        each("angle", "scaled rad")
            .chain(each("distance", "scaled m"))
            .chain(each("speed", "scaled m/s"))
            .chain(sinr)
            .collect()
    }

    fn action(&self) -> Vec<Component> {
        let (k, n) = (self.spec.vehicles, self.spec.antennas);
        let each = |name: &'static str| (0..k).map(move |i| Component::free(format!("{name}_{i}"), ""));
        let angles = || {
            (0..k).map(|i| Component {
                low: 0.0,
                high: std::f32::consts::PI,
                ..Component::free(format!("angle_{i}"), "rad")
            })
        };
        let beams = || {
            ["re", "im"]
                .into_iter()
                .flat_map(|part| (0..k * n).map(move |i| format!("beam_{}_{part}_{}", i / n, i % n)))
                .map(|name| Component::free(name, ""))
        };
        let most = self.params.iter().map(|p| p.p_max_w).reduce(f32::max).unwrap_or(f32::INFINITY);
        let power = |i| Component { low: 0.0, high: most, ..Component::free(format!("power_{i}"), "W") };
        let powers = || (0..k).map(power);
        match self.spec.beam {
            Beam::Angles => each("angle_logit").chain(each("power_logit")).collect(),
            // The angle turns by Δ·tanh of it.
            Beam::Tracking | Beam::Zf => each("turn_atanh").chain(each("power_logit")).collect(),
            Beam::Matrix | Beam::OnSteering | Beam::OnZf => beams().chain(each("power_logit")).collect(),
            Beam::Direct => beams().chain(powers()).collect(),
            Beam::Steer => angles().chain(powers()).collect(),
            Beam::Span => angles()
                .chain((0..k * k).map(|i| Component::free(format!("mix_{}_{}", i / k, i % k), "")))
                .chain(powers())
                .collect(),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let k = self.spec.vehicles;
        let about = |row: usize| match row {
            row if row < metric::RATE => ABOUT[row],
            row if row < self.spec.sample_row() => "rate of a vehicle, bps/Hz",
            _ => "absolute error of a vehicle",
        };
        let metric = |row| Metric { name: metric::name(k, row), about: about(row) };
        (0..self.spec.metric_rows()).map(metric).collect()
    }
    fn samples(&self) -> Option<Samples> {
        Some(Samples { rows: self.spec.vehicles, quantiles: &QUANTILES })
    }
    /// (24a) and (24b) as printed, with the mean over an episode's slots for the expectation. The bounds are capped as
    /// the measurement is: whether a mean keeps its limit is the same without, as long as cap²/(K·T) exceeds the limit.
    fn limits(&self) -> Vec<Limit> {
        let most = |of: fn(&V2xParams) -> f32| self.params.iter().map(of).collect();
        let (theta, d) = (most(|p| p.eps_theta_rad2), most(|p| p.eps_d_m2));
        vec![
            Limit { share: "long_run_angle_share", row: metric::ANGLE_CRLB, most: theta },
            Limit { share: "long_run_distance_share", row: metric::DISTANCE_CRLB, most: d },
        ]
    }
    fn curve(&self) -> &[usize] {
        &CURVE
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        reset_chunk(&self.spec, &self.params_at(at), at.envs, at.first, state, obs, at.clock);
    }
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let batch = Batch { params: &self.params_at(at), envs: at.envs, first: at.first, state, obs };
        step_chunk(&self.spec, batch, action, out, at.clock);
    }

    fn bind(&self, gpu: &Gpu, b: usize, to: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        let batch = self.batch(b);
        let params = gpu.upload("v2x.params", &[batch.r], &self.params)?;
        Ok(Box::new(V2xGpu {
            reset: v2x_reset::V2xReset::new(gpu, &batch)?.bind(gpu, &params, to.state, to.obs),
            step: v2x_step::V2xStep::new(gpu, &batch)?.bind(
                gpu,
                &params,
                to.action,
                to.state,
                to.obs,
                to.final_obs,
                to.reward,
                to.flags,
                to.metrics,
            ),
            host: self.params.clone(),
            params,
        }))
    }

    fn slot_gradient(&self) -> Option<&dyn SlotGradient> {
        Some(self)
    }

    /// Powers below 0, and more than P_max in all.
    fn fault(&self, replica: usize, actions: &[f32]) -> Option<(usize, String)> {
        if !self.spec.beam.writes_powers() {
            return None;
        }
        let (a, most) = (self.spec.action_dim(), self.params[replica].p_max_w);
        let fault = |action: &[f32]| {
            let powers = &action[a - self.spec.vehicles..];
            if let Some((i, w)) = powers.iter().enumerate().find(|(_, w)| **w < 0.0) {
                return Some(format!("power_{i} is {w} W"));
            }
            let sum: f32 = powers.iter().sum();
            (sum > most * (1.0 + SLACK)).then(|| format!("the powers are {sum} W, P_max is {most} W"))
        };
        actions.chunks_exact(a).enumerate().find_map(|(e, action)| Some((e, fault(action)?)))
    }

    fn codebook(&self, beams: usize, power_levels: &[f64]) -> Option<Codebook> {
        codebook(&self.spec, self.params.first(), beams, power_levels)
    }

    fn fused(
        &self,
        gpu: &Gpu,
        b: usize,
        horizon: usize,
        layout: &ActorCriticLayout,
    ) -> Option<Box<dyn FusedPlan>> {
        let kernel = v2x_rollout::Spec::new(&gpu.limits, self.batch(b), horizon, layout)?;
        let most = v2x_rollout::V2xRollout::most_slots(gpu, &kernel, FUSED_SLOTS.min(self.spec.slots));
        (most > 0).then(|| Box::new(V2xFusedPlan { kernel, most, params: self.params.clone() }) as _)
    }
}

impl V2xEnv {
    /// A replica's parameters under the key of a call.
    pub(super) fn params_at(&self, at: &At) -> V2xParams {
        V2xParams { key: at.key, ..self.params[at.replica] }
    }

    /// Sizes of its kernels for `b` environments of each replica.
    fn batch(&self, b: usize) -> v2x_batch::Spec {
        v2x_batch::Spec { r: self.params.len(), b, task: self.spec }
    }
}

/// What an objective is here, and the width of its indicator.
fn quantity(of: Objective) -> (Quantity, f32) {
    match of {
        Objective::Rate => (Quantity::Rate, 1.0),
        Objective::RewardSmooth { width } => (Quantity::RewardSmooth, width),
    }
}

impl SlotGradient for V2xEnv {
    fn scene_dim(&self) -> usize {
        scene_dim(&self.spec)
    }

    fn scene(&self, at: &At, state: &[f32], scene: &mut [f32]) {
        run_lanes(SceneChunk { spec: &self.spec, params: &self.params_at(at), at, state, scene });
    }

    fn gradient(
        &self,
        replica: usize,
        of: Objective,
        weight: f32,
        scene: &[f32],
        action: &[f32],
        d_action: &mut [f32],
        value: &mut [f32],
    ) {
        let (spec, params, of) = (&self.spec, &self.params[replica], quantity(of));
        run_lanes(GradientChunk { spec, params, of, weight, scene, action, d_action, value });
    }

    fn bind(
        &self,
        gpu: &Gpu,
        GradientSize { b, m, of }: GradientSize,
        to: &GradientBuffers,
    ) -> Result<Box<dyn SlotGradientGpu>, GpuError> {
        let params = gpu.upload("v2x.params", &[self.params.len()], &self.params)?;
        let (of, width) = quantity(of);
        let spec = v2x_gradient::Spec { batch: self.batch(m), of, width };
        Ok(Box::new(V2xGradientGpu {
            scene: v2x_scene::V2xScene::new(gpu, &self.batch(b))?.bind(gpu, &params, to.state, to.scenes),
            gradient: v2x_gradient::V2xGradient::new(gpu, &spec)?.bind(
                gpu,
                &params,
                to.scene,
                to.action,
                to.d_action,
                to.value,
            ),
        }))
    }
}

/// Names of the metrics of a slot that are means: [`metric::NAMES`], then the rates of the vehicles.
pub fn metric_names(vehicles: usize) -> Vec<String> {
    (0..metric::RATE + vehicles).map(|row| metric::name(vehicles, row)).collect()
}

// ---- On a GPU ----

struct V2xGpu {
    host: Vec<V2xParams>,
    params: Buf<V2xParams>,
    reset: v2x_reset::V2xResetBound,
    step: v2x_step::V2xStepBound,
}

impl EnvGpu for V2xGpu {
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]) {
        assert_eq!(keys.len(), self.host.len(), "a key for each replica");
        let params = self.host.iter().zip(keys).map(|(p, key)| V2xParams { key: *key, ..*p });
        gpu.write(&self.params, &params.collect::<Vec<_>>());
    }
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32, state_off: usize, obs_off: usize) {
        assert_eq!(state_off, 0, "the state of v2x is kept in place");
        self.reset.record(pass, &v2x_reset::Args { clock, obs_off });
    }
    fn step(&self, pass: &mut wgpu::ComputePass, at: &StepArgs) {
        let &StepArgs { clock, action_off, state_off, next_off, obs_off, reward_off, full } = at;
        assert_eq!((state_off, next_off), (0, 0), "the state of v2x is kept in place");
        self.step.record(pass, &v2x_step::Args { clock, action_off, obs_off, reward_off, full });
    }
}

struct V2xGradientGpu {
    scene: v2x_scene::V2xSceneBound,
    gradient: v2x_gradient::V2xGradientBound,
}

impl SlotGradientGpu for V2xGradientGpu {
    fn scene(&self, pass: &mut wgpu::ComputePass, clock: u32, scene_off: usize) {
        self.scene.record(pass, &v2x_scene::Args { clock, scene_off });
    }
    fn gradient(&self, pass: &mut wgpu::ComputePass, weight: f32) {
        self.gradient.record(pass, &v2x_gradient::Args { weight });
    }
}

/// Most slots of a fused dispatch: 25 of them hide what a launch costs, and leave a display its share of the device.
const FUSED_SLOTS: usize = 25;

/// Whether enough environments share the weights that their workgroup reads at every slot: wide layers leave room for
/// so few that dense_forward, with its 128 rows, reads less.
fn shared_enough(kernel: &v2x_rollout::Spec) -> bool {
    kernel.tiling.resident || kernel.tiling.envs >= kernel.batch.b.min(32)
}

struct V2xFusedPlan {
    kernel: v2x_rollout::Spec,
    /// Most slots of a dispatch.
    most: usize,
    params: Vec<V2xParams>,
}

impl FusedPlan for V2xFusedPlan {
    fn pays(&self) -> bool {
        shared_enough(&self.kernel)
    }
    fn outcomes(&self) -> usize {
        v2x_rollout::outcome::ROWS
    }
    fn bind(&self, gpu: &Gpu, to: &FusedBuffers) -> Result<Box<dyn FusedRollout>, GpuError> {
        let params = gpu.upload("v2x.params", &[self.params.len()], &self.params)?;
        Ok(Box::new(V2xFused {
            most: self.most,
            reset: v2x_reset::V2xReset::new(gpu, &self.kernel.batch)?.bind(gpu, &params, to.state, to.obs),
            slots: v2x_rollout::V2xRollout::new(gpu, &self.kernel, self.most)?
                .bind(gpu, &params, to.params, to.state, to.obs, to.action, to.logprob, to.flags, to.outcome),
        }))
    }
}

struct V2xFused {
    most: usize,
    reset: v2x_reset::V2xResetBound,
    slots: v2x_rollout::V2xRolloutBound,
}

impl FusedRollout for V2xFused {
    fn most(&self) -> usize {
        self.most
    }
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32) {
        self.reset.record(pass, &v2x_reset::Args { clock, obs_off: 0 });
    }
    fn record(&self, pass: &mut wgpu::ComputePass, clock: u32, first: usize, slots: usize) {
        self.slots.record(pass, &v2x_rollout::Args { clock, first, slots });
    }
}

// ---- On the CPU ----

struct StepChunk<'a> {
    spec: &'a V2xSpec,
    batch: Batch<'a, V2xParams>,
    action: &'a [f32],
    out: StepSlices<'a>,
    clock: u32,
}

impl LaneKernel for StepChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.batch.envs;
        let whole = n / V::LANES * V::LANES;
        if self.spec.vehicles == 3 {
            step_range::<V, 3>(self.spec, &mut self.batch, self.action, &mut self.out, self.clock, 0, whole);
        } else {
            step_range::<V, 0>(self.spec, &mut self.batch, self.action, &mut self.out, self.clock, 0, whole);
        }
        if whole < n {
            step_range::<f32, 0>(
                self.spec,
                &mut self.batch,
                self.action,
                &mut self.out,
                self.clock,
                whole,
                n,
            );
        }
    }
}

struct SceneChunk<'a> {
    spec: &'a V2xSpec,
    params: &'a V2xParams,
    at: &'a At,
    state: &'a [f32],
    scene: &'a mut [f32],
}

impl LaneKernel for SceneChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let SceneChunk { spec, params, at, state, scene } = self;
        let (envs, whole) = ((at.first, at.envs), at.envs / V::LANES * V::LANES);
        scene_range::<V>(spec, params, envs, at.clock, state, scene, 0, whole);
        if whole < at.envs {
            scene_range::<f32>(spec, params, envs, at.clock, state, scene, whole, at.envs);
        }
    }
}

struct GradientChunk<'a> {
    spec: &'a V2xSpec,
    params: &'a V2xParams,
    of: (Quantity, f32),
    weight: f32,
    scene: &'a [f32],
    action: &'a [f32],
    d_action: &'a mut [f32],
    value: &'a mut [f32],
}

impl LaneKernel for GradientChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let GradientChunk { spec, params: p, of: (of, width), weight, scene, action, d_action, value } = self;
        let n = value.len();
        assert!(n.is_multiple_of(GRADIENT_GROUP), "{n} samples are no whole lanes");
        // No form of its own for three vehicles: this one takes long enough to compile.
        gradient_range::<V, 0>(spec, p, of, width, weight, scene, action, d_action, value, 0, n);
    }
}

/// One slot of all environments of a batch with the widest vectors: the fast form of [`super::kernels::v2x_step`], same
/// bits.
pub fn step_chunk(spec: &V2xSpec, batch: Batch<V2xParams>, action: &[f32], out: StepSlices, clock: u32) {
    run_lanes(StepChunk { spec, batch, action, out, clock });
}

/// Fresh episodes in all environments of a batch.
pub fn reset_chunk(
    spec: &V2xSpec,
    params: &V2xParams,
    envs: usize,
    first: u32,
    state: &mut [f32],
    obs: &mut [f32],
    clock: u32,
) {
    reset_range::<f32, 0>(spec, &mut Batch { params, envs, first, state, obs }, clock, 0, envs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::nets::Activation;
    use crate::run::task::Task;
    use crate::tasks::v2x::physics::{Choices, Kinematics};

    const TASK: V2xSpec = V2xSpec {
        vehicles: 3,
        antennas: 32,
        slots: 100,
        beam: Beam::Angles,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };

    #[test]
    fn wide_layers_are_not_read_for_a_few_environments() {
        let limits = |kib: u32| wgpu::Limits {
            max_compute_workgroup_storage_size: kib << 10,
            ..wgpu::Limits::default()
        };
        let enough = |kib: u32, hidden: &[usize], b: usize| {
            let batch = v2x_batch::Spec { r: 1, b, task: TASK };
            let layout = ActorCriticLayout::new(TASK.obs_dim(), hidden, TASK.action_dim(), Activation::Tanh);
            shared_enough(&v2x_rollout::Spec::new(&limits(kib), batch, 100, &layout).expect("fits"))
        };
        assert!(enough(48, &[128, 128], 65_536) && enough(48, &[256, 256], 65_536));
        assert!(!enough(48, &[512, 512], 65_536) && !enough(16, &[128, 128], 65_536));
        // All that there are, and weights that stay.
        assert!(enough(48, &[128, 128], 8) && enough(16, &[16, 16], 65_536));
    }

    #[test]
    fn every_number_has_a_name_of_its_own() {
        let distinct = |mut names: Vec<String>, n: usize, what: &str| {
            names.sort();
            names.dedup();
            assert_eq!(names.len(), n, "{what}");
        };
        let all =
            [Beam::Angles, Beam::Tracking, Beam::Matrix, Beam::Direct, Beam::Zf, Beam::Steer, Beam::Span];
        for beam in all {
            let env = V2xEnv { spec: V2xSpec { beam, ..TASK }, params: Vec::new() };
            let sizes = env.sizes();
            for (all, n) in [(env.observation(), sizes.obs), (env.action(), sizes.action)] {
                assert!(all.iter().all(|c| c.low < c.high), "{beam:?}");
                distinct(all.into_iter().map(|c| c.name).collect(), n, &format!("{beam:?}"));
            }
            distinct(env.metrics().into_iter().map(|m| m.name).collect(), sizes.metrics, "metrics");
        }
    }

    /// A call takes the replica's parameters and its own key.
    #[test]
    fn draws_are_those_of_the_call_s_key_and_all_else_of_the_replica() {
        let config = V2xConfig::load(None, &[]).expect("the built-in preset is valid");
        let env = config.env_at(&[(40.0, 3), (20.0, 9)]);
        assert_eq!((env.replicas(), env.key(0), env.key(1)), (2, [3, 0], [9, 0]));
        let Sizes { obs: o, state: s, action: a, metrics: m, .. } = env.sizes();
        let envs = 5;
        let slot = |env: &dyn Env, replica: usize, key: [u32; 2]| {
            let at = At { replica, key, first: 2, envs, clock: 7 };
            let (mut state, mut obs) = (vec![0.0; s * envs], vec![0.0; o * envs]);
            env.reset(&at, &mut state, &mut obs);
            let (mut final_obs, mut reward, mut flags) =
                (vec![0.0; o * envs], vec![0.0; envs], vec![0; envs]);
            let mut metrics = vec![0.0; m * envs];
            let out = StepSlices {
                final_obs: &mut final_obs,
                reward: &mut reward,
                flags: &mut flags,
                metrics: Some(&mut metrics),
                full: true,
            };
            env.step(&at, &vec![0.1; a * envs], &mut state, &mut obs, out);
            let row = |i: usize| metrics[i * envs..][..envs].to_vec();
            assert_eq!(row(env.curve()[0]), reward);
            (obs, state, row(metric::SUM_RATE))
        };
        let other = config.env_at(&[(20.0, 50)]);
        assert_eq!(slot(&*env, 1, [9, 0]), slot(&*other, 0, [9, 0]));
        assert_ne!(slot(&*env, 1, [9, 0]).1, slot(&*env, 1, [9, 1]).1, "another key draws otherwise");
        assert_ne!(slot(&*env, 0, [9, 0]).2, slot(&*env, 1, [9, 0]).2, "less power, another rate");
    }
}
