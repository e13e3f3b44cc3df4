//! Physics of task misac on the CPU backend as the JAX peer (`misac_hmoe_jax.py`) has it: preset `paper` (K = 4, 64
//! antennas, 200 slots).

use isacbench::config::Layered;
use isacbench::env::{Batch, StepSlices};
use isacbench::nets::bernoulli::Sample;
use isacbench::num::real::{F32Lanes, LaneKernel, Word, run_lanes};
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::physics::{
    Channel, MMAX, MisacParams, MisacSpec, channel, load_state, misac_reset_chunk, misac_step_chunk,
};
use rayon::prelude::*;

/// Environments a thread carries through the slots at once.
const CHUNK: usize = 48;

/// One slot after another of all environments, without a policy: cameras on with probability 0.3, the channel of every
/// vehicle, and the sum of its magnitudes and of the rewards, so that nothing is optimised away. The peer draws no
/// observation here; this step does.
pub struct Physics {
    spec: MisacSpec,
    params: MisacParams,
    chunks: Vec<PhysicsChunk>,
    clock: u32,
}

struct PhysicsChunk {
    first: u32,
    envs: usize,
    state: Vec<f32>,
    obs: Vec<f32>,
    final_obs: Vec<f32>,
    logits: Vec<f32>,
    action: Vec<f32>,
    logprob: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
}

/// Σ |h| over environments, vehicles and antennas.
struct Channels<'a> {
    spec: &'a MisacSpec,
    params: &'a MisacParams,
    state: &'a [f32],
    first: u32,
    envs: usize,
    clock: u32,
}

impl Channels<'_> {
    #[inline(always)]
    fn span<V: F32Lanes>(&self, from: usize, to: usize) -> f64 {
        let zero = V::splat(0.0);
        let mut h = Channel { re: [zero; MMAX], im: [zero; MMAX] };
        let mut sum = zero;
        let mut at = from;
        while at + V::LANES <= to {
            let s = load_state::<V>(self.spec.vehicles, self.state, self.envs, at);
            let ids = V::Word::iota(self.first + at as u32);
            for i in 0..self.spec.vehicles {
                channel(self.spec, self.params, &s, i, ids, self.clock, &mut h);
                for m in 0..self.spec.antennas {
                    sum += (h.re[m] * h.re[m] + h.im[m] * h.im[m]).sqrt();
                }
            }
            at += V::LANES;
        }
        let mut lanes = [0f32; 16];
        sum.store(&mut lanes);
        lanes[..V::LANES].iter().map(|x| f64::from(*x)).sum()
    }
}

impl LaneKernel for Channels<'_> {
    type Out = f64;
    #[inline(always)]
    fn run<V: F32Lanes>(self) -> f64 {
        let whole = self.envs / V::LANES * V::LANES;
        self.span::<V>(0, whole) + self.span::<f32>(whole, self.envs)
    }
}

impl Physics {
    pub fn new(envs: usize) -> Physics {
        let config = MisacConfig::load(None, &["preset=paper".into()]).expect("the built-in preset is valid");
        let (spec, params) = (config.task.spec(), config.task.params([0, 0]));
        let (o, k) = (spec.obs_dim(), spec.vehicles);
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
                    logits: vec![(0.3f32 / 0.7).ln(); n * k],
                    action: vec![0.0; n * k],
                    logprob: vec![0.0; n],
                    reward: vec![0.0; n],
                    flags: vec![0; n],
                };
                misac_reset_chunk(&spec, &params, n, c.first, &mut c.state, &mut c.obs, 0);
                c
            })
            .collect();
        Physics { spec, params, chunks, clock: 0 }
    }

    /// Slots of one call of [`Physics::run`]: an episode.
    pub fn slots(&self) -> usize {
        self.spec.slots
    }

    /// An episode of every environment; the sum of all rewards and channel magnitudes.
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
    fn slot(&mut self, spec: &MisacSpec, params: &MisacParams, clock: u32) -> f64 {
        let (envs, first) = (self.envs, self.first);
        let magnitudes = run_lanes(Channels { spec, params, state: &self.state, first, envs, clock });
        Sample {
            key: params.key,
            first,
            clock,
            greedy: false,
            logits: &self.logits,
            action: &mut self.action,
            logprob: &mut self.logprob,
        }
        .run();
        let batch = Batch { params, envs, first, state: &mut self.state, obs: &mut self.obs };
        let out = StepSlices {
            final_obs: &mut self.final_obs,
            reward: &mut self.reward,
            flags: &mut self.flags,
            metrics: None,
            full: false,
        };
        misac_step_chunk(spec, batch, &self.action, out, clock);
        magnitudes + self.reward.iter().map(|&r| f64::from(r)).sum::<f64>()
    }
}
