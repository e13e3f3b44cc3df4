//! The three workloads whose throughput is compared with the JAX peer (`benches/peers/v2x_ppo_jax.py`), on the CPU backend, with the peer's
//! settings: preset `fast` (K = 3, 32 antennas, 100 slots, hidden 128-128), 4 epochs of 16 minibatches, one replica.

pub mod misac;

use isacbench::config::{Config, Layered};
use isacbench::learn::ppo_cpu::{PpoCpu, SampleGaussian, reset_chunk, step_chunk};
use isacbench::learn::{LearnerState, PpoSpec, Replica, learning_rates};
use isacbench::real::run_lanes;
use isacbench::task::v2x::{Batch, StepSlices, V2xParams, V2xSpec};
use isacbench::train::Ppo;
use rayon::prelude::*;

/// Minibatches of an epoch.
const MINIBATCHES: usize = 16;
/// Environments a thread carries through the slots at once.
const CHUNK: usize = 256;

/// The peer's configuration with `envs` environments.
fn config(envs: usize) -> Config {
    let load =
        |sets: &[String]| Config::load(None, sets).expect("the built-in preset with other sizes is valid");
    let horizon = load(&[]).ppo.horizon;
    let mut sets =
        vec![format!("ppo.envs={envs}"), format!("ppo.minibatch={}", envs * horizon / MINIBATCHES)];
    sets.extend(["ppo.epochs=4", "ppo.hidden=[128, 128]", "train.seeds=[0]"].map(String::from));
    load(&sets)
}

/// One slot after another of all environments, without a policy. Each slot draws standard normal actions with Philox, as the peer does with
/// its own generator; rewards are summed, so that nothing is optimised away.
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
        let config = config(envs);
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

/// [`PpoSpec::mlp`] (agent `ppo`) or [`PpoSpec::spiking`] (agent `spiking-ac`).
pub type MakePpo = fn(&Config, Vec<Replica>) -> PpoSpec;

/// PPO on the CPU backend.
pub struct Training {
    spec: PpoSpec,
    ppo: PpoCpu,
    update: u32,
}

impl Training {
    pub fn new(make: MakePpo, envs: usize) -> Training {
        let config = config(envs);
        let seeds = &config.train.seeds;
        let replicas =
            seeds.iter().map(|&seed| Replica { seed, task: config.task.params([seed, 0]) }).collect();
        let spec = make(&config, replicas);
        let ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
        Training { spec, ppo, update: 0 }
    }

    /// Environment steps of one rollout.
    pub fn steps(&self) -> usize {
        self.spec.samples()
    }

    /// Policy and physics through the horizon.
    pub fn rollout(&mut self) {
        self.ppo.rollout(self.update).expect("the CPU has no device errors");
    }

    /// A whole update: rollout, advantages, every minibatch of every epoch, metrics.
    pub fn update(&mut self) {
        let (u, spec) = (self.update, &self.spec);
        let lr = learning_rates(&spec.ppo, u, u32::MAX);
        self.rollout();
        self.ppo.advantages().expect("the CPU has no device errors");
        for epoch in 0..self.spec.ppo.epochs as u32 {
            for mb in 0..self.spec.minibatches() as u32 {
                self.ppo.minibatch(u, epoch, mb, lr).expect("the CPU has no device errors");
            }
        }
        self.ppo.finish(true).expect("the CPU has no device errors");
        self.update += 1;
    }
}
