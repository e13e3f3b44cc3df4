//! Learning task misac on the CPU: f32, vector lanes, rayon. No step depends on the number of threads, so a run repeats bit for bit on a machine.
//!
//! Environments are split into chunks that a thread carries through the whole episode; minibatches of whole environments are split into parts, whose
//! gradient sums are added in a fixed order. Where the trunk is shared, both gradients of the first minibatch of an update are taken apart, to compare
//! them; that costs one more pass through the hidden layers for the samples of L_spat in that minibatch.

use super::adam::AdamStep;
use super::misac::{ExpertsSpec, MisacUpdate};
use super::spatial_cpu::{GROUP, SpatialLoss};
use super::{LearnerState, Pool};
use crate::config::{Phase, PolicyGradient};
use crate::gpu::GpuError;
use crate::kernels::adam::Hyper;
use crate::kernels::gae;
use crate::policy::MlpLayout;
use crate::policy::bernoulli::{Loss, LossHyper, LossSums, Sample};
use crate::policy::dense::{
    Activations, Gradient, Packed, Strided, backward, backward_first, forward, forward_first, leading,
};
use crate::policy::experts::{Decision, ExpertsCpu, ExpertsLayout, ExpertsState, Nets, act, softmax};
use crate::policy::lstm_cpu::{LstmGradient, Sequences};
use crate::shuffle::Shuffle;
use crate::task::misac::{Batch, StepSlices, metric, misac_reset_chunk, misac_step_chunk};
use crate::train::Experts;
use rayon::prelude::*;
use std::ops::Range;

/// Samples whose activations are held at once outside the recurrent network: a multiple of the 12 rows of a tile.
const BLOCK: usize = 120;
/// Environments of a chunk and of a part, about: whole tiles and whole lanes.
const CHUNK: usize = 48;
const PART: usize = 24;
/// Parameters that a thread adds, clips and steps at once.
const SPAN: usize = 4096;

/// Environments of each chunk of `envs`: depends on `envs` alone; an even number of chunks where it can be.
fn chunk_envs(envs: usize) -> usize {
    envs.div_ceil(envs.div_ceil(CHUNK).next_multiple_of(2)).next_multiple_of(GROUP)
}

/// Environments of each part of a minibatch of `envs`.
fn part_envs(envs: usize) -> usize {
    let parts = envs.div_ceil(PART);
    envs.div_ceil(if parts > 1 { parts.next_multiple_of(2) } else { 1 })
}

/// A group of environments of one replica with its episode. Arrays are [T, envs, ·].
struct Chunk {
    replica: usize,
    first: u32,
    envs: usize,
    state: Vec<f32>,
    /// The next observation [envs, O].
    obs: Vec<f32>,
    /// Observations as the networks see them, [T, envs, leading(O)].
    x: Vec<f32>,
    action: Vec<f32>,
    logprob: Vec<f32>,
    value: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
    final_obs: Vec<f32>,
    final_value: Vec<f32>,
    advantage: Vec<f32>,
    returns: Vec<f32>,
    /// States before the slots that enter L_spat, [slots, 7K, envs].
    states: Vec<f32>,
    /// Sums over the slots of each environment: advantage and its square.
    moments: Vec<[f64; 2]>,
    /// Sums over slots and environments of energy, reward, L_BMP, whether it is above Γ.
    sums: [f64; 4],
}

/// Weights and moments of one replica.
struct Learner {
    params: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    grads: Vec<f32>,
    /// Gradient of L_spat alone, where the trunk is shared.
    spatial: Vec<f32>,
    net: ExpertsCpu,
    sums: Sums,
}

/// What is summed up over an update.
#[derive(Clone, Default)]
struct Sums {
    loss: LossSums,
    value_loss: f64,
    gain: f64,
    gains: f64,
    norms: [f64; 3],
    cosine: Option<f64>,
}

/// A minibatch of one replica: its environments, and mean and 1/(std + 1e-8) of their advantages.
struct Minibatch {
    envs: Vec<u32>,
    mean: f32,
    inverse: f32,
}

/// What a part of a minibatch gives.
struct PartResult {
    grads: Vec<f32>,
    spatial: Vec<f32>,
    sums: Sums,
}

impl PartResult {
    fn new(spec: &ExpertsSpec) -> Self {
        let p = spec.params();
        let spatial = vec![0.0; if spec.layout.isolated() { 0 } else { p }];
        PartResult { grads: vec![0.0; p], spatial, sums: Sums::default() }
    }
}

/// R replicas on the CPU.
pub struct MisacCpu {
    spec: ExpertsSpec,
    learners: Vec<Learner>,
    chunks: Vec<Chunk>,
    minibatches: Vec<Minibatch>,
    /// [R, parts] and [R, chunks].
    parts: Vec<PartResult>,
    spatial_parts: Vec<PartResult>,
    acting: Pool<Acting>,
    backward: Pool<Backward>,
    spatial: Pool<Spatial>,
    adam_steps: u64,
    clock: u32,
}

impl MisacCpu {
    /// Allocates everything and resets the environments.
    pub fn new(spec: &ExpertsSpec, start: &LearnerState) -> Self {
        let (layout, p, t) = (&spec.layout, spec.params(), spec.task.slots);
        let (o, k, rows) = (spec.task.obs_dim(), spec.task.vehicles, spec.task.state_rows());
        let replicas = spec.replicas.len();
        let learners = (0..replicas)
            .map(|r| {
                let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
                let mut l = Learner {
                    params: of(&start.params),
                    m: of(&start.m),
                    v: of(&start.v),
                    grads: vec![0.0; p],
                    spatial: vec![0.0; if layout.isolated() { 0 } else { p }],
                    net: ExpertsCpu::new(layout),
                    sums: Sums::default(),
                };
                l.net.pack(&l.params);
                l
            })
            .collect();
        let (size, most) = (chunk_envs(spec.temporal.envs), spec.spatial_slots(0).count());
        let mut chunks = Vec::new();
        for replica in 0..replicas {
            for first in (0..spec.temporal.envs).step_by(size) {
                let envs = size.min(spec.temporal.envs - first);
                chunks.push(Chunk {
                    replica,
                    first: first as u32,
                    envs,
                    state: vec![0.0; rows * envs],
                    obs: vec![0.0; envs * o],
                    x: vec![0.0; t * envs * leading(o)],
                    action: vec![0.0; t * envs * k],
                    logprob: vec![0.0; t * envs],
                    value: vec![0.0; (t + 1) * envs],
                    reward: vec![0.0; t * envs],
                    flags: vec![0; t * envs],
                    final_obs: vec![0.0; envs * o],
                    final_value: vec![0.0; t * envs],
                    advantage: vec![0.0; t * envs],
                    returns: vec![0.0; t * envs],
                    states: vec![0.0; most * rows * envs],
                    moments: vec![[0.0; 2]; envs],
                    sums: [0.0; 4],
                });
            }
        }
        let m = spec.minibatch_envs();
        let clock = start.updates * t as u32;
        chunks.par_iter_mut().for_each(|c| {
            let params = &spec.replicas[c.replica].task;
            misac_reset_chunk(&spec.task, params, c.envs, c.first, &mut c.state, &mut c.obs, clock);
        });
        let results = |n: usize| (0..n).map(|_| PartResult::new(spec)).collect::<Vec<_>>();
        MisacCpu {
            learners,
            minibatches: (0..replicas)
                .map(|_| Minibatch { envs: vec![0; m], mean: 0.0, inverse: 1.0 })
                .collect(),
            parts: results(replicas * m.div_ceil(part_envs(m))),
            spatial_parts: results(if layout.isolated() { chunks.len() } else { 0 }),
            chunks,
            acting: Pool::new(),
            backward: Pool::new(),
            spatial: Pool::new(),
            adam_steps: start.adam_steps,
            clock,
            spec: spec.clone(),
        }
    }

    /// Adam's constants for step `t` with these learning rates.
    fn adam(&self, lr: [f64; 2], t: u64) -> AdamStep {
        let c = &self.spec.temporal;
        let hyper = Hyper { lr, max_norm: 0.0, beta1: c.adam_beta1, beta2: c.adam_beta2, eps: c.adam_eps };
        AdamStep::new(&hyper, t, self.spec.layout.critic.offset)
    }
}

impl Experts for MisacCpu {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        let (spec, learners, clock, pool) = (&self.spec, &self.learners, self.clock, &self.acting);
        let size = chunk_envs(spec.temporal.envs);
        self.chunks.par_iter_mut().for_each(|c| {
            let work = |s: &mut Acting| c.collect(spec, &learners[c.replica].net, s, update, clock);
            pool.with(|| Acting::new(&spec.layout, size), work);
        });
        self.clock += spec.task.slots as u32;
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.chunks.par_iter_mut().for_each(|c| c.advantages(spec));
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, lr: [f64; 3]) -> Result<(), GpuError> {
        self.adam_steps += 1;
        let step = self.adam([lr[0], lr[1]], self.adam_steps);
        let (spec, chunks, learners, pool) = (&self.spec, &self.chunks, &self.learners, &self.backward);
        let (envs, m) = (spec.temporal.envs, spec.minibatch_envs());
        let size = chunk_envs(envs);
        let (per_replica, per_part) = (envs.div_ceil(size), part_envs(m));
        let parts = m.div_ceil(per_part);

        // ---- ENVIRONMENTS in the order of the shuffle; mean and deviation of their advantages ----
        let of_replica = chunks.par_chunks(per_replica);
        self.minibatches.par_iter_mut().zip(&spec.replicas).zip(of_replica).for_each(
            |((b, replica), chunks)| {
                let shuffle = Shuffle::new(replica.task.key, update, epoch, envs as u32);
                shuffle.fill(mb * m as u32, &mut b.envs);
                b.normalise(spec, chunks);
            },
        );

        // ---- LOSS, BACKWARD: gradient sums of the parts ----
        let apart = !spec.layout.isolated() && epoch == 0 && mb == 0;
        let (minibatches, base) = (&self.minibatches, self.clock - spec.task.slots as u32);
        self.parts.par_iter_mut().enumerate().for_each(|(i, out)| {
            let (r, from) = (i / parts, i % parts * per_part);
            let part = Part {
                spec,
                net: &learners[r].net,
                chunks: &chunks[r * per_replica..(r + 1) * per_replica],
                batch: &minibatches[r],
                envs: &minibatches[r].envs[from..m.min(from + per_part)],
                replica: r,
                update,
                clock: base,
                apart,
            };
            pool.with(|| Backward::new(spec), |s| s.part(&part, out));
        });

        // ---- CLIP, ADAM: scheduler and critic ----
        let [policy, critic, _] = spec.layout.groups();
        let max_norm = spec.temporal.max_grad_norm;
        self.learners.par_iter_mut().zip(self.parts.par_chunks(parts)).for_each(|(l, parts)| {
            parts.iter().for_each(|p| l.sums.add(&p.sums));
            let mut squares = [policy.clone(), critic.clone()].map(|range| l.reduce(range, parts));
            if apart {
                squares[0] = l.join(parts);
            }
            let norms = squares.map(f64::sqrt);
            l.sums.norms[0] += norms[0];
            l.sums.norms[1] += norms[1];
            // A gradient that is not finite changes nothing, so that a diverging replica stays visible without spreading.
            if norms.iter().all(|n| n.is_finite()) {
                l.step(&step, 0, policy.clone(), norms[0], max_norm);
                l.step(&step, 1, critic.clone(), norms[1], max_norm);
                l.net.pack(&l.params);
            }
        });
        Ok(())
    }

    fn spatial(&mut self, update: u32, lr: f64) -> Result<(), GpuError> {
        let step = self.adam([lr; 2], u64::from(update) + 1);
        let (spec, learners, pool) = (&self.spec, &self.learners, &self.spatial);
        let per_replica = spec.temporal.envs.div_ceil(chunk_envs(spec.temporal.envs));
        let base = self.clock - spec.task.slots as u32;

        // ---- L_SPAT, BACKWARD: gradient sums of the chunks ----
        self.spatial_parts.par_iter_mut().zip(&self.chunks).for_each(|(out, c)| {
            let net = &learners[c.replica].net;
            pool.with(|| Spatial::new(spec), |s| s.chunk(spec, net, c, update, base, out));
        });

        // ---- CLIP, ADAM: phases ----
        let [_, _, phases] = spec.layout.groups();
        let max_norm = spec.spatial.max_grad_norm;
        let parts = self.spatial_parts.par_chunks(per_replica);
        self.learners.par_iter_mut().zip(parts).for_each(|(l, parts)| {
            parts.iter().for_each(|p| l.sums.add(&p.sums));
            let norm = l.reduce(phases.clone(), parts).sqrt();
            l.sums.norms[2] += norm;
            if norm.is_finite() {
                l.step(&step, 0, phases.clone(), norm, max_norm);
                l.net.pack(&l.params);
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<MisacUpdate>>, GpuError> {
        let spec = &self.spec;
        let (slots, steps) = (spec.samples() as f64, (spec.epochs() * spec.minibatches()) as f64);
        let mut means = vec![[0.0; 4]; self.learners.len()];
        for c in &mut self.chunks {
            let sums = std::mem::take(&mut c.sums);
            means[c.replica].iter_mut().zip(sums).for_each(|(mean, sum)| *mean += sum / slots);
        }
        let update = |(l, [energy_j, reward, l_bmp, share_over_gamma]): (&mut Learner, [f64; 4])| {
            let s = std::mem::take(&mut l.sums);
            MisacUpdate {
                reward,
                energy_j,
                l_bmp,
                share_over_gamma,
                beam_gain: s.gain / s.gains,
                policy_loss: s.loss.policy / steps,
                value_loss: s.value_loss / steps,
                entropy: s.loss.entropy / steps,
                grad_norm_policy: s.norms[0] / steps,
                grad_norm_critic: s.norms[1] / steps,
                grad_norm_spatial: s.norms[2],
                gradient_cosine: s.cosine.unwrap_or(f64::NAN),
            }
        };
        let all: Vec<MisacUpdate> = self.learners.iter_mut().zip(means).map(update).collect();
        Ok(read.then_some(all))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let all =
            |f: fn(&Learner) -> &Vec<f32>| self.learners.iter().flat_map(|l| f(l).iter().copied()).collect();
        Ok(LearnerState {
            params: all(|l| &l.params),
            m: all(|l| &l.m),
            v: all(|l| &l.v),
            adam_steps: self.adam_steps,
            updates,
            extra: Vec::new(),
        })
    }
}

impl Sums {
    fn add(&mut self, o: &Sums) {
        self.loss.policy += o.loss.policy;
        self.loss.entropy += o.loss.entropy;
        self.value_loss += o.value_loss;
        self.gain += o.gain;
        self.gains += o.gains;
    }
}

impl Minibatch {
    fn normalise(&mut self, spec: &ExpertsSpec, chunks: &[Chunk]) {
        if !spec.temporal.normalise_advantages {
            return;
        }
        let size = chunk_envs(spec.temporal.envs);
        let moments = self.envs.iter().map(|&e| chunks[e as usize / size].moments[e as usize % size]);
        let [sum, square] = moments.fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        let n = (self.envs.len() * spec.task.slots) as f64;
        let mean = sum / n;
        // Unbiased, as torch.std.
        let var = if n > 1.0 { ((square - sum * mean) / (n - 1.0)).max(0.0) } else { 0.0 };
        (self.mean, self.inverse) = (mean as f32, (1.0 / (var.sqrt() + 1e-8)) as f32);
    }
}

impl Learner {
    /// Adds the parts' gradients in their order; the square of the sum's norm, itself added span by span in order.
    fn reduce(&mut self, range: Range<usize>, parts: &[PartResult]) -> f64 {
        let start = range.start;
        let each = self.grads[range].par_chunks_mut(SPAN).enumerate().map(|(i, g)| {
            let from = start + i * SPAN;
            g.copy_from_slice(&parts[0].grads[from..from + g.len()]);
            for p in &parts[1..] {
                g.iter_mut().zip(&p.grads[from..]).for_each(|(g, x)| *g += x);
            }
            f64::from(g.iter().map(|x| x * x).sum::<f32>())
        });
        each.collect::<Vec<f64>>().iter().sum()
    }

    /// Compares the policy's gradient with that of L_spat on what both pass through, and adds the latter; the square of the sum's norm.
    fn join(&mut self, parts: &[PartResult]) -> f64 {
        let [policy, ..] = self.net.layout.groups();
        self.spatial.copy_from_slice(&parts[0].spatial);
        for p in &parts[1..] {
            self.spatial.iter_mut().zip(&p.spatial).for_each(|(g, x)| *g += x);
        }
        let (mut dot, mut a, mut b) = (0.0, 0.0, 0.0);
        for range in trunk(&self.net.layout) {
            for (x, y) in self.grads[range.clone()].iter().zip(&self.spatial[range]) {
                let (x, y) = (f64::from(*x), f64::from(*y));
                dot += x * y;
                a += x * x;
                b += y * y;
            }
        }
        self.sums.cosine = Some(dot / (a * b).sqrt());
        self.sums.norms[2] += b.sqrt();
        let both = self.grads[policy.clone()].iter_mut().zip(&self.spatial[policy]);
        both.map(|(g, s)| {
            *g += s;
            f64::from(*g * *g)
        })
        .sum()
    }

    /// Clips and steps Adam (torch.optim.Adam) over one group.
    fn step(&mut self, adam: &AdamStep, group: usize, range: Range<usize>, norm: f64, max_norm: f64) {
        let scale = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
        let each = self.m[range.clone()]
            .par_chunks_mut(SPAN)
            .zip(self.v[range.clone()].par_chunks_mut(SPAN))
            .zip(self.params[range.clone()].par_chunks_mut(SPAN))
            .zip(self.grads[range].par_chunks(SPAN));
        each.for_each(|(((m, v), p), grads)| adam.run(group, scale, grads, m, v, p));
    }
}

/// The parameters that both losses pass through on their way to all others: hidden layers and gate of a shared trunk.
pub(super) fn trunk(layout: &ExpertsLayout) -> Vec<Range<usize>> {
    match &layout.decision {
        Decision::Isolated { .. } => Vec::new(),
        Decision::Shared { gate, experts } => {
            let hidden = |e: &MlpLayout| e.offset..e.layers[e.layers.len() - 1].w_off;
            gate.iter().map(|g| g.offset..g.end()).chain(experts.iter().map(hidden)).collect()
        }
    }
}

/// Working memory of a rollout.
struct Acting {
    state: ExpertsState,
    critic: Activations,
    logits: Vec<f32>,
    metrics: Vec<f32>,
    final_x: Vec<f32>,
}

impl Acting {
    fn new(layout: &ExpertsLayout, envs: usize) -> Self {
        Acting {
            state: ExpertsState::new(layout, envs),
            critic: Activations::new(&layout.critic, BLOCK),
            logits: vec![0.0; envs * layout.vehicles],
            metrics: vec![0.0; metric::ROWS * envs],
            final_x: vec![0.0; envs * leading(layout.obs_dim())],
        }
    }
}

impl Chunk {
    /// One episode of every environment.
    fn collect(&mut self, spec: &ExpertsSpec, net: &ExpertsCpu, s: &mut Acting, update: u32, clock: u32) {
        let (k, n, t_max) = (spec.task.vehicles, self.envs, spec.task.slots);
        let (ldx, rows) = (leading(spec.task.obs_dim()), spec.task.state_rows());
        let params = &spec.replicas[self.replica].task;
        let mut spatial = spec.spatial_slots(update).enumerate().peekable();
        s.state.restart();
        for t in 0..t_max {
            if let Some((i, _)) = spatial.next_if(|(_, slot)| *slot == t) {
                self.states[i * rows * n..(i + 1) * rows * n].copy_from_slice(&self.state);
            }
            spec.layout.see(&self.obs, &mut self.x[t * n * ldx..(t + 1) * n * ldx], ldx);
            let logits = &mut s.logits[..n * k];
            act(net, n, &self.obs, &mut s.state, logits, None);
            let action = &mut self.action[t * n * k..(t + 1) * n * k];
            Sample {
                key: params.key,
                first: self.first,
                clock: clock + t as u32,
                greedy: false,
                logits,
                action,
                logprob: &mut self.logprob[t * n..(t + 1) * n],
            }
            .run();
            let batch =
                Batch { params, envs: n, first: self.first, state: &mut self.state, obs: &mut self.obs };
            let metrics = &mut s.metrics[..metric::ROWS * n];
            let out = StepSlices {
                final_obs: &mut self.final_obs,
                reward: &mut self.reward[t * n..(t + 1) * n],
                flags: &mut self.flags[t * n..(t + 1) * n],
                metrics: Some(metrics),
            };
            misac_step_chunk(&spec.task, batch, action, out, clock + t as u32);
            let wanted = [metric::ENERGY, metric::REWARD, metric::L_BMP, metric::OVER_GAMMA];
            for (sum, row) in self.sums.iter_mut().zip(wanted) {
                *sum += f64::from(s.metrics[row * n..(row + 1) * n].iter().sum::<f32>());
            }
        }
        values(net, &self.x, t_max * n, &mut s.critic, &mut self.value);
        spec.layout.see(&self.final_obs, &mut s.final_x, ldx);
        values(net, &s.final_x, n, &mut s.critic, &mut self.final_value[(t_max - 1) * n..]);
    }

    /// Generalised advantage estimation. The rollout ends with an episode, so the row of values behind it is never used.
    fn advantages(&mut self, spec: &ExpertsSpec) {
        let c = &spec.temporal;
        let hyper = [[c.gamma as f32, c.gae_lambda as f32, c.reward_scale as f32, 0.0]];
        gae::gae_cpu(
            &gae::Spec { t: spec.task.slots, r: 1, b: self.envs },
            &self.reward,
            &self.value,
            &self.final_value,
            &self.flags,
            &hyper,
            &mut self.advantage,
            &mut self.returns,
        );
        self.moments.fill([0.0; 2]);
        for row in self.advantage.chunks_exact(self.envs) {
            for (sum, x) in self.moments.iter_mut().zip(row) {
                let x = f64::from(*x);
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
    }
}

/// Values of `rows` observations x [rows, leading(O)].
fn values(net: &ExpertsCpu, x: &[f32], rows: usize, acts: &mut Activations, out: &mut [f32]) {
    let ldx = leading(net.layout.obs_dim());
    for (x, out) in x[..rows * ldx].chunks(BLOCK * ldx).zip(out.chunks_mut(BLOCK)) {
        forward(&net.critic, x.len() / ldx, Strided { data: x, row: ldx, col: 1 }, acts);
        out.iter_mut().zip(acts.output().chunks(leading(1))).for_each(|(v, row)| *v = row[0]);
    }
}

/// A share of a minibatch of one replica.
struct Part<'a> {
    spec: &'a ExpertsSpec,
    net: &'a ExpertsCpu,
    chunks: &'a [Chunk],
    batch: &'a Minibatch,
    envs: &'a [u32],
    replica: usize,
    update: u32,
    /// Clock of the episode's first slot.
    clock: u32,
    /// Whether L_spat's gradient is wanted apart from the policy's.
    apart: bool,
}

impl Part<'_> {
    fn hyper(&self) -> LossHyper {
        let c = &self.spec.temporal;
        LossHyper {
            clip: (c.algorithm == PolicyGradient::Ppo).then_some(c.clip as f32),
            entropy_coef: c.entropy_coef as f32,
            per_sample: 1.0 / (self.batch.envs.len() * self.spec.task.slots) as f32,
            mean: self.batch.mean,
            inverse: self.batch.inverse,
        }
    }
}

/// Working memory of a part.
struct Backward {
    /// The part's samples, [T, envs, ·]; slots in the order of `slots`.
    x: Vec<f32>,
    action: Vec<f32>,
    logprob: Vec<f32>,
    advantage: Vec<f32>,
    returns: Vec<f32>,
    slots: Vec<usize>,
    decision: DecisionBackward,
    critic: Activations,
    d_critic: Gradient,
}

enum DecisionBackward {
    Isolated { lstm: Box<Sequences>, head: Activations, d_head: Vec<f32>, grad: LstmGradient },
    Shared(SharedBackward),
}

impl Backward {
    fn new(spec: &ExpertsSpec) -> Self {
        let (layout, t) = (&spec.layout, spec.task.slots);
        let envs = part_envs(spec.minibatch_envs());
        let (n, k) = (t * envs, spec.task.vehicles);
        let decision = match &layout.decision {
            Decision::Isolated { lstm, head, .. } => DecisionBackward::Isolated {
                lstm: Box::new(Sequences::new(lstm, t, envs)),
                head: Activations::new(head, n),
                d_head: vec![0.0; n * leading(k)],
                grad: LstmGradient::new(lstm, head),
            },
            Decision::Shared { gate, experts } => {
                DecisionBackward::Shared(SharedBackward::new(gate.as_ref(), experts, spec, envs))
            }
        };
        Backward {
            x: vec![0.0; n * leading(spec.task.obs_dim())],
            action: vec![0.0; n * k],
            logprob: vec![0.0; n],
            advantage: vec![0.0; n],
            returns: vec![0.0; n],
            slots: Vec::with_capacity(t),
            decision,
            critic: Activations::new(&layout.critic, BLOCK),
            d_critic: Gradient::new(&layout.critic, BLOCK),
        }
    }

    /// Losses and gradients of a part.
    fn part(&mut self, p: &Part, out: &mut PartResult) {
        let (spec, envs) = (p.spec, p.envs.len());
        let (t_max, k, ldx) = (spec.task.slots, spec.task.vehicles, leading(spec.task.obs_dim()));
        let n = t_max * envs;
        // Where the trunk is shared, slots that enter L_spat come last, so that blocks are of one kind.
        self.slots.clear();
        let mut plain = t_max;
        if spec.layout.isolated() {
            self.slots.extend(0..t_max);
        } else {
            let mut entering = spec.spatial_slots(p.update).peekable();
            self.slots.extend((0..t_max).filter(|t| entering.next_if_eq(t).is_none()));
            plain = self.slots.len();
            self.slots.extend(spec.spatial_slots(p.update));
        }
        self.gather(p);
        out.sums = Sums::default();

        let hyper = p.hyper();
        match (&mut self.decision, &p.net.nets, &spec.layout.decision) {
            (
                DecisionBackward::Isolated { lstm, head: head_out, d_head, grad },
                Nets::Isolated { lstm: net, head, .. },
                Decision::Isolated { lstm: lstm_layout, head: head_layout, .. },
            ) => {
                for (t, rows) in self.x[..n * ldx].chunks_exact(envs * ldx).enumerate() {
                    for (row, x) in rows.chunks_exact(ldx).enumerate() {
                        lstm.x(envs, t, row)[..3 * k].copy_from_slice(&x[..3 * k]);
                    }
                }
                lstm.forward(net, envs);
                let h = Strided { data: lstm.hidden(envs), row: net.sizes.ld_in, col: 1 };
                forward(head, n, h, head_out);
                out.sums.loss = Loss {
                    hyper,
                    logits: head_out.output(),
                    ld: leading(k),
                    action: &self.action[..n * k],
                    old: &self.logprob[..n],
                    advantage: &self.advantage[..n],
                    d_logits: d_head,
                }
                .run();
                grad.clear();
                lstm.backward(net, head, envs, d_head, grad);
                grad.write_to(lstm_layout, head_layout, &mut out.grads);
            }
            (DecisionBackward::Shared(s), Nets::Shared { gate, experts }, _) => {
                let samples = Samples {
                    x: &self.x[..n * ldx],
                    action: &self.action[..n * k],
                    logprob: &self.logprob[..n],
                    advantage: &self.advantage[..n],
                    slots: &self.slots,
                    plain,
                };
                let PartResult { grads, spatial, sums } = out;
                if p.apart {
                    s.run(p, gate.as_ref(), experts, &samples, Some(hyper), false, grads, sums);
                    s.run(p, gate.as_ref(), experts, &samples, None, true, spatial, sums);
                } else {
                    s.run(p, gate.as_ref(), experts, &samples, Some(hyper), true, grads, sums);
                }
            }
            _ => unreachable!("networks are made of their layout"),
        }
        out.sums.value_loss = self.critic(p, n, hyper.per_sample);
        self.d_critic.write_to(&spec.layout.critic, &mut out.grads);
    }

    fn gather(&mut self, p: &Part) {
        let spec = p.spec;
        let (k, ldx, size) =
            (spec.task.vehicles, leading(spec.task.obs_dim()), chunk_envs(spec.temporal.envs));
        for (at, &t) in self.slots.iter().enumerate() {
            for (e, &env) in p.envs.iter().enumerate() {
                let c = &p.chunks[env as usize / size];
                let (from, to) = (t * c.envs + env as usize % size, at * p.envs.len() + e);
                self.x[to * ldx..][..ldx].copy_from_slice(&c.x[from * ldx..][..ldx]);
                self.action[to * k..][..k].copy_from_slice(&c.action[from * k..][..k]);
                self.logprob[to] = c.logprob[from];
                self.advantage[to] = c.advantage[from];
                self.returns[to] = c.returns[from];
            }
        }
    }

    /// Gradient of the mean of ½(V − R)² over the first `n` samples; this part's share of that mean.
    fn critic(&mut self, p: &Part, n: usize, per_sample: f32) -> f64 {
        let (ldx, ldv) = (leading(p.spec.task.obs_dim()), leading(1));
        self.d_critic.clear();
        let mut loss = 0.0;
        for (x, returns) in self.x[..n * ldx].chunks(BLOCK * ldx).zip(self.returns[..n].chunks(BLOCK)) {
            let rows = returns.len();
            forward(&p.net.critic, rows, Strided { data: x, row: ldx, col: 1 }, &mut self.critic);
            let d_value = self.d_critic.d.layers.last_mut().expect("a network has layers");
            let mut sum = 0f32;
            for (i, ret) in returns.iter().enumerate() {
                let err = self.critic.output()[i * ldv] - ret;
                sum += 0.5 * err * err;
                d_value[i * ldv] = err * per_sample;
            }
            loss += f64::from(sum) * f64::from(per_sample);
            backward(&p.net.critic, rows, x, &self.critic, &mut self.d_critic);
        }
        loss
    }
}

/// A part's samples, slots `plain..` of which enter L_spat.
struct Samples<'a> {
    x: &'a [f32],
    action: &'a [f32],
    logprob: &'a [f32],
    advantage: &'a [f32],
    slots: &'a [usize],
    plain: usize,
}

/// States of the samples of one slot, gathered for [`SpatialLoss`].
struct SlotStates {
    /// [7K, padded]
    state: Vec<f32>,
    ids: Vec<u32>,
}

impl SlotStates {
    fn new() -> Self {
        SlotStates { state: Vec::new(), ids: Vec::new() }
    }

    /// Takes the slot with index `i` among those that enter L_spat of these environments, each given by its chunk and its place there; what
    /// is padded stays finite.
    fn take<'a>(&mut self, rows: usize, i: usize, envs: impl Iterator<Item = (&'a Chunk, usize)> + Clone) {
        self.ids.clear();
        self.ids.extend(envs.clone().map(|(c, at)| c.first + at as u32));
        let last = *self.ids.last().expect("a part has environments");
        self.ids.resize(self.ids.len().next_multiple_of(GROUP), last);
        let stride = self.ids.len();
        self.state.resize(rows * stride, 0.0);
        for (to, (c, at)) in envs.enumerate() {
            let from = &c.states[i * rows * c.envs + at..];
            for row in 0..rows {
                self.state[row * stride + to] = from[row * c.envs];
            }
        }
    }
}

/// Weight of every sample and vehicle in L_spat over `envs` environments.
fn spatial_weight(spec: &ExpertsSpec, update: u32, envs: usize) -> f32 {
    let n = envs * spec.spatial_slots(update).count() * spec.task.vehicles;
    (spec.spatial.loss_weight / n as f64) as f32
}

/// Backward pass of trunk or mixture.
struct SharedBackward {
    gate: Option<(Activations, Gradient)>,
    experts: Vec<(Activations, Gradient)>,
    /// Mixed outputs and their gradient, [BLOCK, leading(K + K·M)].
    y: Vec<f32>,
    d_y: Vec<f32>,
    slot: SlotStates,
    /// Slots of a block.
    block: usize,
}

impl SharedBackward {
    fn new(gate: Option<&MlpLayout>, experts: &[MlpLayout], spec: &ExpertsSpec, envs: usize) -> Self {
        let block = (BLOCK / envs).max(1);
        let rows = block * envs;
        let of = |l: &MlpLayout| (Activations::new(l, rows), Gradient::new(l, rows));
        let ld = leading(spec.task.vehicles + spec.layout.phases());
        SharedBackward {
            gate: gate.map(of),
            experts: experts.iter().map(of).collect(),
            y: vec![0.0; rows * ld],
            d_y: vec![0.0; rows * ld],
            slot: SlotStates::new(),
            block,
        }
    }

    /// Gradients of the policy loss (if `policy`) and of L_spat (if `spatial`) into `grads`.
    #[expect(clippy::too_many_arguments, reason = "the networks, the samples and where the results go")]
    fn run(
        &mut self,
        p: &Part,
        gate: Option<&Packed>,
        experts: &[Packed],
        samples: &Samples,
        policy: Option<LossHyper>,
        spatial: bool,
        grads: &mut [f32],
        sums: &mut Sums,
    ) {
        let envs = p.envs.len();
        let (all, plain) = (samples.slots.len(), samples.plain);
        for (_, grad) in self.gate.iter_mut().chain(&mut self.experts) {
            grad.clear();
        }
        // Blocks of slots that do not enter L_spat, then of those that do.
        let kinds = [(0..plain, false), (plain..all, spatial)];
        for (range, entering) in kinds {
            if policy.is_none() && !entering {
                continue;
            }
            for from in range.clone().step_by(self.block) {
                let slots = from..range.end.min(from + self.block);
                self.block(p, gate, experts, samples, slots, policy, entering, envs, sums);
            }
        }
        if let (Some(net), Some((_, grad))) = (gate, &self.gate) {
            grad.write_to(&net.layout, grads);
        }
        for (net, (_, grad)) in experts.iter().zip(&self.experts) {
            grad.write_to(&net.layout, grads);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as run, and which slots")]
    fn block(
        &mut self,
        p: &Part,
        gate: Option<&Packed>,
        experts: &[Packed],
        samples: &Samples,
        slots: Range<usize>,
        policy: Option<LossHyper>,
        entering: bool,
        envs: usize,
        sums: &mut Sums,
    ) {
        let spec = p.spec;
        let (k, km, ldx) = (spec.task.vehicles, spec.layout.phases(), leading(spec.task.obs_dim()));
        let ld = leading(k + km);
        let wanted = if entering { k + km } else { k };
        let (from, to) = (slots.start * envs, slots.end * envs);
        let rows = to - from;
        let x = &samples.x[from * ldx..to * ldx];
        let strided = Strided { data: x, row: ldx, col: 1 };

        // ---- FORWARD ----
        for (net, (acts, _)) in experts.iter().zip(&mut self.experts) {
            forward_first(net, rows, strided, wanted, acts);
        }
        let lg = leading(experts.len());
        if let (Some(net), Some((acts, _))) = (gate, &mut self.gate) {
            forward(net, rows, strided, acts);
            softmax(rows, experts.len(), acts);
            for m in 0..rows {
                let y = &mut self.y[m * ld..][..wanted];
                y.fill(0.0);
                for (e, (out, _)) in self.experts.iter().enumerate() {
                    let share = acts.output()[m * lg + e];
                    y.iter_mut().zip(&out.output()[m * ld..]).for_each(|(y, x)| *y += share * x);
                }
            }
        }
        let y = if gate.is_some() { &self.y[..] } else { self.experts[0].0.output() };

        // ---- LOSSES ----
        self.d_y[..rows * ld].fill(0.0);
        if let Some(hyper) = policy {
            let loss = Loss {
                hyper,
                logits: y,
                ld,
                action: &samples.action[from * k..to * k],
                old: &samples.logprob[from..to],
                advantage: &samples.advantage[from..to],
                d_logits: &mut self.d_y,
            }
            .run();
            sums.loss.policy += loss.policy;
            sums.loss.entropy += loss.entropy;
        }
        if entering {
            let weight = spatial_weight(spec, p.update, p.batch.envs.len());
            for at in slots.clone() {
                let row = (at - slots.start) * envs;
                let size = chunk_envs(spec.temporal.envs);
                let places = p.envs.iter().map(|e| (&p.chunks[*e as usize / size], *e as usize % size));
                self.slot.take(spec.task.state_rows(), at - samples.plain, places);
                let cos = &x[row * ldx..];
                sums.gain += SpatialLoss {
                    spec: &spec.task,
                    params: &spec.replicas[p.replica].task,
                    clock: p.clock + samples.slots[at] as u32,
                    ids: &self.slot.ids,
                    n: envs,
                    state: &self.slot.state,
                    weight,
                    steer: (spec.layout.phase == Phase::Residual).then_some((cos, ldx)),
                    out: &y[row * ld + k..],
                    ld,
                    d_out: &mut self.d_y[row * ld + k..],
                }
                .run();
                sums.gains += (envs * k) as f64;
            }
        }

        // ---- BACKWARD ----
        for (e, (net, (acts, grad))) in experts.iter().zip(&mut self.experts).enumerate() {
            let d = grad.d.layers.last_mut().expect("a network has layers");
            match &mut self.gate {
                None => d[..rows * ld].copy_from_slice(&self.d_y[..rows * ld]),
                Some((gate_acts, gate_grad)) => {
                    let d_gate = gate_grad.d.layers.last_mut().expect("a network has layers");
                    for m in 0..rows {
                        let share = gate_acts.output()[m * lg + e];
                        let d_y = &self.d_y[m * ld..][..ld];
                        d[m * ld..][..ld].iter_mut().zip(d_y).for_each(|(d, x)| *d = share * x);
                        // By the share itself, for now.
                        let out = &acts.output()[m * ld..][..wanted];
                        d_gate[m * lg + e] = d_y.iter().zip(out).map(|(d, y)| d * y).sum();
                    }
                }
            }
            backward_first(net, rows, x, acts, wanted, grad);
        }
        if let (Some(net), Some((acts, grad))) = (gate, &mut self.gate) {
            // Softmax: dz_e = g_e (dg_e − Σ g dg)
            let d = grad.d.layers.last_mut().expect("a network has layers");
            for (d, g) in d.chunks_mut(lg).zip(acts.output().chunks(lg)).take(rows) {
                let mean: f32 = d.iter().zip(g).take(experts.len()).map(|(d, g)| d * g).sum();
                d.iter_mut().zip(g).take(experts.len()).for_each(|(d, g)| *d = g * (*d - mean));
            }
            backward(net, rows, x, acts, grad);
        }
    }
}

/// Working memory of L_spat over a chunk, where phases have a network of their own.
struct Spatial {
    x: Vec<f32>,
    acts: Activations,
    grad: Gradient,
    slot: SlotStates,
    /// Slots of a block.
    block: usize,
}

impl Spatial {
    fn new(spec: &ExpertsSpec) -> Self {
        let Decision::Isolated { phases, .. } = &spec.layout.decision else {
            unreachable!("L_spat passes through a shared trunk with the policy loss")
        };
        let envs = chunk_envs(spec.temporal.envs);
        let block = (BLOCK / envs).max(1);
        let rows = block * envs;
        Spatial {
            x: vec![0.0; rows * leading(spec.task.obs_dim())],
            acts: Activations::new(phases, rows),
            grad: Gradient::new(phases, rows),
            slot: SlotStates::new(),
            block,
        }
    }

    fn chunk(
        &mut self,
        spec: &ExpertsSpec,
        net: &ExpertsCpu,
        c: &Chunk,
        update: u32,
        clock: u32,
        out: &mut PartResult,
    ) {
        let Nets::Isolated { phases, .. } = &net.nets else { unreachable!("as in new") };
        let (k, ldx, ld, n) =
            (spec.task.vehicles, leading(spec.task.obs_dim()), leading(spec.layout.phases()), c.envs);
        let weight = spatial_weight(spec, update, spec.temporal.envs);
        let slots: Vec<usize> = spec.spatial_slots(update).collect();
        self.grad.clear();
        out.sums = Sums::default();
        for (b, slots) in slots.chunks(self.block).enumerate() {
            let rows = slots.len() * n;
            for (x, t) in self.x.chunks_exact_mut(n * ldx).zip(slots) {
                x.copy_from_slice(&c.x[t * n * ldx..(t + 1) * n * ldx]);
            }
            forward(phases, rows, Strided { data: &self.x, row: ldx, col: 1 }, &mut self.acts);
            for (i, t) in slots.iter().enumerate() {
                let row = i * n;
                self.slot.take(spec.task.state_rows(), b * self.block + i, (0..n).map(|at| (c, at)));
                out.sums.gain += SpatialLoss {
                    spec: &spec.task,
                    params: &spec.replicas[c.replica].task,
                    clock: clock + *t as u32,
                    ids: &self.slot.ids,
                    n,
                    state: &self.slot.state,
                    weight,
                    steer: (spec.layout.phase == Phase::Residual).then_some((&self.x[row * ldx..], ldx)),
                    out: &self.acts.output()[row * ld..],
                    ld,
                    d_out: &mut self.grad.d.layers.last_mut().expect("a network has layers")[row * ld..],
                }
                .run();
                out.sums.gains += (n * k) as f64;
            }
            backward(phases, rows, &self.x, &self.acts, &mut self.grad);
        }
        self.grad.write_to(&phases.layout, &mut out.grads);
    }
}
