//! Task misac as learners see it: its physics behind [`Env`], its channel and beams behind [`Beams`].

use super::kernels::{misac_batch, misac_reset, misac_step, spatial_loss};
use super::physics::{MisacParams, MisacSpec, Phase, metric, misac_reset_chunk, misac_step_chunk};
use super::spatial_cpu::SpatialLoss;
use crate::env::{
    At, Batch, BeamArgs, BeamBuffers, BeamSamples, BeamSize, Beams, BeamsGpu, Component, Env, EnvBuffers,
    EnvGpu, Metric, Sizes, StepArgs, StepSlices,
};
use crate::gpu::{Buf, Gpu, GpuError};
use std::ops::Range;
use std::sync::Arc;

/// Environments of R replicas that differ in their parameters only.
#[derive(Clone, Debug)]
pub struct MisacEnv {
    pub spec: MisacSpec,
    /// `[R]`; the keys are those of training.
    pub params: Vec<MisacParams>,
}

impl MisacEnv {
    pub(super) fn params_at(&self, at: &At) -> MisacParams {
        MisacParams { key: at.key, ..self.params[at.replica] }
    }

    fn batch(&self, b: usize) -> misac_batch::Spec {
        misac_batch::Spec { r: self.params.len(), b, task: self.spec }
    }
}

impl Env for MisacEnv {
    fn sizes(&self) -> Sizes {
        Sizes {
            obs: self.spec.obs_dim(),
            action: self.spec.vehicles,
            state: self.spec.state_rows(),
            slots: self.spec.slots,
            metrics: metric::ROWS,
        }
    }
    fn replicas(&self) -> usize {
        self.params.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.params[replica].key
    }
    fn part(&self, replicas: Range<usize>) -> Option<Arc<dyn Env>> {
        Some(Arc::new(MisacEnv { spec: self.spec, params: self.params[replicas].to_vec() }))
    }

    fn observation(&self) -> Vec<Component> {
        let (vehicles, bounded) =
            (1..=self.spec.vehicles, |name, low| Component { name, unit: "", low, high: 1.0 });
        let cosines = vehicles.clone().map(|k| bounded(format!("estimated_angle_cosine_{k}"), -1.0));
        // A distance is measured with an error that has no bounds.
        let distances = vehicles.clone().map(|k| Component::free(format!("measured_distance_{k}"), "80 m"));
        let age = |k| Component {
            high: if self.spec.choices.age_saturates { 1.0 } else { f32::INFINITY },
            ..bounded(format!("age_share_{k}"), 0.0)
        };
        let ages = vehicles.map(age);
        cosines.chain(distances).chain(ages).collect()
    }
    fn action(&self) -> Vec<Component> {
        let camera = |k| Component { name: format!("camera_{k}"), unit: "", low: 0.0, high: 1.0 };
        (1..=self.spec.vehicles).map(camera).collect()
    }
    fn metrics(&self) -> Vec<Metric> {
        let rows = metric::NAMES.iter().zip(metric::ABOUT);
        rows.map(|(name, about)| Metric { name: (*name).into(), about }).collect()
    }
    fn curve(&self) -> &[usize] {
        &[metric::REWARD, metric::ENERGY, metric::L_BMP, metric::OVER_GAMMA]
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        misac_reset_chunk(&self.spec, &self.params_at(at), at.envs, at.first, state, obs, at.clock);
    }
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let params = &self.params_at(at);
        let batch = Batch { params, envs: at.envs, first: at.first, state, obs };
        misac_step_chunk(&self.spec, batch, action, out, at.clock);
    }

    fn bind(&self, gpu: &Gpu, b: usize, x: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        let size = self.batch(b);
        let params = gpu.upload("misac.params", &[size.r], &self.params)?;
        let reset = misac_reset::MisacReset::new(gpu, &size)?.bind(gpu, &params, x.state, x.obs);
        let step = misac_step::MisacStep::new(gpu, &size)?.bind(
            gpu,
            &params,
            x.action,
            x.state,
            x.obs,
            x.final_obs,
            x.reward,
            x.flags,
            x.metrics,
        );
        Ok(Box::new(MisacEnvGpu { own: self.params.clone(), params, reset, step }))
    }

    fn beams(&self) -> Option<&dyn Beams> {
        Some(self)
    }
}

struct MisacEnvGpu {
    own: Vec<MisacParams>,
    params: Buf<MisacParams>,
    reset: misac_reset::MisacResetBound,
    step: misac_step::MisacStepBound,
}

impl EnvGpu for MisacEnvGpu {
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]) {
        let under = |(p, key): (&MisacParams, &[u32; 2])| MisacParams { key: *key, ..*p };
        gpu.write(&self.params, &self.own.iter().zip(keys).map(under).collect::<Vec<_>>());
    }
    fn reset(&self, pass: &mut wgpu::ComputePass, clock: u32, state_off: usize, obs_off: usize) {
        self.reset.record(pass, &misac_reset::Args { clock, state_off, obs_off });
    }
    fn step(&self, pass: &mut wgpu::ComputePass, at: &StepArgs) {
        let StepArgs { clock, action_off, state_off, next_off, obs_off, reward_off, full } = *at;
        self.step.record(
            pass,
            &misac_step::Args { clock, action_off, state_off, next_off, obs_off, reward_off, full },
        );
    }
}

impl Beams for MisacEnv {
    fn shape(&self) -> [usize; 2] {
        [self.spec.vehicles, self.spec.antennas]
    }

    fn loss(&self, replica: usize, samples: BeamSamples) -> f64 {
        SpatialLoss { spec: &self.spec, params: &self.params[replica], samples }.run()
    }

    fn bind(&self, gpu: &Gpu, size: BeamSize, x: &BeamBuffers) -> Result<Box<dyn BeamsGpu>, GpuError> {
        let spec = spatial_loss::Spec {
            batch: self.batch(size.b),
            phase: if size.direct { Phase::Direct } else { Phase::Residual },
            slots: size.slots,
            m: size.m,
        };
        let params = gpu.upload("misac.beam_params", &[spec.batch.r], &self.params)?;
        let loss = spatial_loss::SpatialLoss::new(gpu, &spec)?;
        Ok(Box::new(loss.bind(gpu, &params, x.state, x.phases, x.d_phases, x.gain)))
    }
}

impl BeamsGpu for spatial_loss::SpatialLossBound {
    fn record(&self, pass: &mut wgpu::ComputePass, at: &BeamArgs) {
        let BeamArgs { which, clock, clock_step, lambda } = *at;
        self.record(pass, &spatial_loss::Args { which, clock, clock_step, state_off: 0, lambda });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::env::TRUNCATED;
    use crate::tasks::misac::config::MisacConfig;

    /// What an episode does to its arrays: as the names and bounds say, the same under whatever chunk, another under
    /// another key.
    #[test]
    fn an_episode_keeps_what_the_components_promise() {
        let sets = ["task.vehicles=3", "task.antennas=4", "task.slots=12"].map(String::from);
        let env = MisacConfig::load(None, &sets).expect("valid").typed_env(&[(0.0, 5), (20.0, 6)]);
        let (sizes, n) = (env.sizes(), 9);
        assert_eq!((sizes.obs, sizes.action, env.replicas(), env.key(1)), (9, 3, 2, [6, 0]));
        let (bounds, names) = (env.observation(), env.metrics());
        assert_eq!((bounds.len(), env.action().len(), names.len()), (sizes.obs, sizes.action, sizes.metrics));
        let curve: Vec<&str> = env.curve().iter().map(|row| names[*row].name.as_str()).collect();
        assert_eq!(curve, ["reward", "energy_j", "l_bmp", "share_over_gamma"]);

        let episode = |key, first: u32, envs: usize| {
            let mut at = At { replica: 1, key, first, envs, clock: 0 };
            let (mut state, mut obs) = (vec![0.0; sizes.state * envs], vec![0.0; sizes.obs * envs]);
            let mut final_obs = vec![f32::NAN; sizes.obs * envs];
            let (mut reward, mut flags) = (vec![0.0; envs], vec![0; envs]);
            let mut metrics = vec![0.0; sizes.metrics * envs];
            env.reset(&at, &mut state, &mut obs);
            let mut seen = Vec::new();
            for clock in 0..sizes.slots as u32 {
                at.clock = clock;
                seen.extend_from_slice(&obs);
                let action: Vec<f32> = (0..envs * 3).map(|i| ((i as u32 + clock) % 2) as f32).collect();
                let out = StepSlices {
                    final_obs: &mut final_obs,
                    reward: &mut reward,
                    flags: &mut flags,
                    metrics: Some(&mut metrics),
                    full: true,
                };
                env.step(&at, &action, &mut state, &mut obs, out);
                let ends = clock as usize + 1 == sizes.slots;
                assert!(flags.iter().all(|f| *f == if ends { TRUNCATED } else { 0 }));
                assert_eq!(reward, metrics[metric::REWARD * envs..][..envs]);
                assert_eq!(final_obs.iter().all(|x| x.is_finite()), ends);
            }
            for row in seen.chunks_exact(sizes.obs).chain(final_obs.chunks_exact(sizes.obs)) {
                for (x, c) in row.iter().zip(&bounds) {
                    assert!((c.low..=c.high).contains(x), "{}: {x}", c.name);
                }
            }
            seen
        };
        let whole = episode([6, 0], 0, n);
        let part = episode([6, 0], 4, 2);
        // Actions go by place in the chunk, and environment 4 stands at an even one in both.
        for (a, b) in whole.chunks_exact(n * 9).zip(part.chunks_exact(2 * 9)) {
            assert_eq!(a[4 * 9..6 * 9], *b);
        }
        assert_ne!(whole, episode([6, 1], 0, n));
    }
}
