//! What the learner of experts on the CPU works on: chunks of environments with their episode, minibatches, and what
//! their parts give.

use super::experts::ExpertsSpec;
use crate::env::BeamSamples;
use crate::nets::bernoulli::LossSums;

/// Samples whose activations are held at once outside the recurrent network: a multiple of the 12 rows of a tile.
pub(super) const BLOCK: usize = 120;
/// Environments of a chunk and of a part, about: whole tiles and whole lanes.
const CHUNK_ENVS: usize = 48;
const PART_ENVS: usize = 24;
/// Environments of each chunk of `envs`: depends on `envs` alone; an even number of chunks where it can be.
pub(super) fn chunk_envs(envs: usize) -> usize {
    envs.div_ceil(envs.div_ceil(CHUNK_ENVS).next_multiple_of(2)).next_multiple_of(BeamSamples::GROUP)
}

/// Environments of each part of a minibatch of `envs`.
pub(super) fn part_envs(envs: usize) -> usize {
    let parts = envs.div_ceil(PART_ENVS);
    envs.div_ceil(if parts > 1 { parts.next_multiple_of(2) } else { 1 })
}

/// A group of environments of one replica with its episode. Arrays are `[T, envs, ·]`.
pub(super) struct Chunk {
    pub(super) replica: usize,
    pub(super) first: u32,
    pub(super) envs: usize,
    pub(super) state: Vec<f32>,
    /// The next observation `[envs, O]`.
    pub(super) obs: Vec<f32>,
    /// Observations as the networks see them, `[T, envs, leading(O)]`.
    pub(super) x: Vec<f32>,
    pub(super) action: Vec<f32>,
    /// As the network put them out and as they were drawn, where they are.
    pub(super) phases: Vec<f32>,
    pub(super) logprob: Vec<f32>,
    pub(super) value: Vec<f32>,
    pub(super) reward: Vec<f32>,
    pub(super) flags: Vec<u32>,
    pub(super) final_obs: Vec<f32>,
    pub(super) final_value: Vec<f32>,
    pub(super) advantage: Vec<f32>,
    pub(super) returns: Vec<f32>,
    /// States before the slots that enter L_spat, `[slots, S, envs]`.
    pub(super) states: Vec<f32>,
    /// Sums over the slots of each environment: advantage and its square.
    pub(super) moments: Vec<[f64; 2]>,
    /// Sums over slots and environments of what learning curves show.
    pub(super) sums: Vec<f64>,
}

/// What is summed up over an update.
#[derive(Clone, Default)]
pub(super) struct Sums {
    pub(super) loss: LossSums,
    pub(super) value_loss: f64,
    pub(super) gain: f64,
    pub(super) gains: f64,
    pub(super) norms: [f64; 3],
    pub(super) cosine: Option<f64>,
}

/// A minibatch of one replica: its environments, and mean and 1/(std + 1e-8) of their advantages.
pub(super) struct Minibatch {
    pub(super) envs: Vec<u32>,
    pub(super) mean: f32,
    pub(super) inverse: f32,
}

/// What a part of a minibatch gives.
pub(super) struct PartResult {
    pub(super) grads: Vec<f32>,
    pub(super) spatial: Vec<f32>,
    pub(super) sums: Sums,
}

impl PartResult {
    pub(super) fn new(spec: &ExpertsSpec) -> Self {
        let p = spec.params();
        let spatial = vec![0.0; if spec.layout.isolated() { 0 } else { p }];
        PartResult { grads: vec![0.0; p], spatial, sums: Sums::default() }
    }
}

impl Sums {
    pub(super) fn add(&mut self, o: &Sums) {
        self.loss.add(&o.loss);
        self.value_loss += o.value_loss;
        self.gain += o.gain;
        self.gains += o.gains;
    }
}

impl Minibatch {
    pub(super) fn normalise(&mut self, spec: &ExpertsSpec, chunks: &[Chunk]) {
        if !spec.temporal.normalise_advantages {
            return;
        }
        let size = chunk_envs(spec.temporal.envs);
        let moments = self.envs.iter().map(|&e| chunks[e as usize / size].moments[e as usize % size]);
        let [sum, square] = moments.fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        let n = (self.envs.len() * spec.slots()) as f64;
        let mean = sum / n;
        // Unbiased, as torch.std.
        let var = if n > 1.0 { ((square - sum * mean) / (n - 1.0)).max(0.0) } else { 0.0 };
        (self.mean, self.inverse) = (mean as f32, (1.0 / (var.sqrt() + 1e-8)) as f32);
    }
}
