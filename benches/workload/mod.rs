//! The workloads whose throughput is compared with the JAX peers (`benches/peers/`), with the peers' settings: physics
//! of the CPU backend here and in [`misac`], rollouts and training of every backend in [`learner`].

pub mod learner;
pub mod misac;

use isacbench::env::{Batch, StepSlices};
use isacbench::learn::ppo_cpu::SampleGaussian;
use isacbench::num::real::run_lanes;
use isacbench::tasks::v2x::env::{reset_chunk, step_chunk};
use isacbench::tasks::v2x::physics::{V2xParams, V2xSpec};
use rayon::prelude::*;

/// Environments a thread carries through the slots at once.
const CHUNK: usize = 256;

/// One slot after another of all environments of task v2x, without a policy, on the CPU backend. Each slot draws
/// standard normal actions with Philox, as the peer does with its own generator; rewards are summed, so that nothing is
/// optimised away.
pub struct Physics {
    spec: V2xSpec,
    params: V2xParams,
    chunks: Vec<PhysicsChunk>,
    clock: u32,
}

struct PhysicsChunk {
    first: u32,
    envs: usize,
    state: Vec<f32>,
    obs: Vec<f32>,
    final_obs: Vec<f32>,
    mean: Vec<f32>,
    action: Vec<f32>,
    logprob: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
}

impl Physics {
    pub fn new(envs: usize) -> Physics {
        let config = learner::v2x_config(envs, 128);
        let (spec, params) = (config.task.spec(), config.task.params([0, 0]));
        let (o, a) = (spec.obs_dim(), spec.action_dim());
        let chunks = (0..envs)
            .step_by(CHUNK)
            .map(|first| {
                let n = CHUNK.min(envs - first);
                let mut c = PhysicsChunk {
                    first: first as u32,
                    envs: n,
                    state: vec![0.0; spec.state_rows() * n],
                    obs: vec![0.0; n * o],
                    final_obs: vec![0.0; n * o],
                    mean: vec![0.0; n * a],
                    action: vec![0.0; n * a],
                    logprob: vec![0.0; n],
                    reward: vec![0.0; n],
                    flags: vec![0; n],
                };
                reset_chunk(&spec, &params, n, c.first, &mut c.state, &mut c.obs, 0);
                c
            })
            .collect();
        Physics { spec, params, chunks, clock: 0 }
    }

    /// Slots of one call of [`Physics::run`]: an episode.
    pub fn slots(&self) -> usize {
        self.spec.slots
    }

    /// An episode of every environment; the sum of all rewards.
    pub fn run(&mut self) -> f64 {
        let (spec, params, clock) = (&self.spec, &self.params, self.clock);
        let slots = spec.slots as u32;
        self.clock += slots;
        let each =
            |c: &mut PhysicsChunk| (clock..clock + slots).map(|t| c.slot(spec, params, t)).sum::<f64>();
        self.chunks.par_iter_mut().map(each).sum()
    }
}

impl PhysicsChunk {
    fn slot(&mut self, spec: &V2xSpec, params: &V2xParams, clock: u32) -> f64 {
        let actions = spec.action_dim();
        run_lanes(SampleGaussian {
            key: params.key,
            first: self.first,
            clock,
            behind: 0,
            actions,
            log_std: &[0.0; 64][..actions],
            mean: &self.mean,
            ld: actions,
            action: &mut self.action,
            logprob: &mut self.logprob,
        });
        let batch =
            Batch { params, envs: self.envs, first: self.first, state: &mut self.state, obs: &mut self.obs };
        let out = StepSlices {
            final_obs: &mut self.final_obs,
            reward: &mut self.reward,
            flags: &mut self.flags,
            metrics: None,
            full: false,
        };
        step_chunk(spec, batch, &self.action, out, clock);
        self.reward.iter().map(|&r| f64::from(r)).sum()
    }
}
