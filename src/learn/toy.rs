//! An environment for the tests of learners that belongs to no task: six numbers wander by themselves and are to be
//! followed.

use crate::config::{PpoConfig, SpikingConfig};
use crate::env::{At, Component, Env, EnvBuffers, EnvGpu, Metric, Sizes, StepSlices, TRUNCATED};
use crate::gpu::{Gpu, GpuError};
use crate::num::philox::{Stream, draw};

/// Numbers to be followed.
const A: usize = 6;
/// Slots of an episode.
const SLOTS: usize = 100;

/// R replicas, a seed each.
#[derive(Clone, Debug)]
pub struct Toy {
    pub seeds: Vec<u32>,
}

/// `A` numbers in [−1, 1) of one environment and slot.
fn uniforms(at: &At, env: usize, clock: u32) -> [f32; A] {
    let words = [0, 1].map(|block| draw(at.key, Stream::Reset, at.first + env as u32, clock, block));
    std::array::from_fn(|i| (words[i / 4][i % 4] >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

impl Toy {
    /// `[ppo]` for episodes of this environment.
    pub fn ppo() -> PpoConfig {
        let text = "hidden = [40, 24]\nenvs = 300\nhorizon = 100\nepochs = 2\nminibatch = 3000\ngamma = 0.6\ngae_lambda = 0.5\n\
                    clip = 0.2\nclip_value = false\nlr_actor = 1e-3\nlr_critic = 2e-3\nlr_final_share = 0.1\nadam_beta1 = 0.9\n\
                    adam_beta2 = 0.999\nadam_eps = 1e-5\nmax_grad_norm = 0.5\nclip_scope = \"separate\"\nvf_coef = 0.5\n\
                    entropy_coef = 0.0\nnormalise_advantages = true\nreward_scale = 0.05\nlog_std_init = -0.5\nactor_gain = 0.01\n\
                    log_std_min = -4.0\nlog_std_max = 1.0\ntrust_region = true\ntarget_kl = 0.02\nkl_skip_ratio = 10.0";
        toml::from_str(text).expect("every key of the section")
    }

    /// `[spiking]` with neurons that fire.
    pub fn spiking(rate_penalty: f64) -> SpikingConfig {
        SpikingConfig {
            hidden: Vec::new(),
            population: 0,
            steps: 6,
            lambda: 0.5,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: true,
            readout: Default::default(),
            learn_leak: false,
            membrane: Default::default(),
            hidden_gain: 8.0,
            actor_gain: 0.3,
            lr_actor: 3e-3,
            lr_critic: 2e-3,
            target_kl: 0.03,
            rate_penalty,
        }
    }
}

impl Env for Toy {
    fn sizes(&self) -> Sizes {
        Sizes { obs: 2 * A, action: A, state: A, slots: SLOTS, metrics: 2 }
    }
    fn replicas(&self) -> usize {
        self.seeds.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        [self.seeds[replica], 0]
    }
    fn observation(&self) -> Vec<Component> {
        (0..2 * A).map(|i| Component::free(format!("x_{i}"), "")).collect()
    }
    fn action(&self) -> Vec<Component> {
        (0..A).map(|i| Component::free(format!("guess_{i}"), "")).collect()
    }
    fn metrics(&self) -> Vec<Metric> {
        let metric = |name: &str, about| Metric { name: name.into(), about };
        vec![metric("distance", "squared distance of the guess"), metric("reward", "minus that")]
    }
    fn curve(&self) -> &[usize] {
        &[1, 0]
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        for env in 0..at.envs {
            for (i, x) in uniforms(at, env, at.clock).into_iter().enumerate() {
                state[i * at.envs + env] = x;
                obs[env * 2 * A + i] = x;
                obs[env * 2 * A + A + i] = x * x;
            }
        }
    }

    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let ends = (at.clock as usize + 1).is_multiple_of(SLOTS);
        let metrics = out.metrics.expect("learners ask for metrics");
        for env in 0..at.envs {
            let mut distance = 0.0;
            for (i, turn) in uniforms(at, env, at.clock).into_iter().enumerate() {
                let x = &mut state[i * at.envs + env];
                distance += (action[env * A + i] - *x).powi(2);
                *x = 0.9 * *x + 0.1 * turn;
                obs[env * 2 * A + i] = *x;
                obs[env * 2 * A + A + i] = *x * *x;
            }
            out.reward[env] = -distance;
            (metrics[env], metrics[at.envs + env]) = (distance, -distance);
        }
        out.flags.fill(if ends { TRUNCATED } else { 0 });
        if ends {
            out.final_obs.copy_from_slice(obs);
            self.reset(&At { clock: at.clock + 1, ..*at }, state, obs);
        }
    }

    fn bind(&self, gpu: &Gpu, _: usize, _: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        Err(GpuError::Unsupported {
            adapter: gpu.info.name.clone(),
            what: "kernels of this environment".into(),
        })
    }
}
