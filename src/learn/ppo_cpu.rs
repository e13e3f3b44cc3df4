//! PPO on the CPU: f32, vector lanes, rayon. No step depends on the number of threads, so a run repeats bit for bit on
//! a machine.
//!
//! Environments are split into chunks that a thread carries through the whole rollout (policy, physics, advantages) in
//! its caches; minibatches are split into parts whose gradient sums are added in a fixed order.

use super::adam::AdamStep;
use super::{LearnerState, Pool, Ppo, PpoSpec, UpdateMetrics, explained_variance, pace_extra};
use crate::config::ClipScope;
use crate::env::{At, StepSlices, TRUNCATED};
use crate::gpu::GpuError;
use crate::kernels::gae;
use crate::kernels::kl_control::{self, Pace};
use crate::nets::cpu::{Activations, Extremes, Gradient, backward, carried_width, forward};
use crate::nets::dense::{Aligned, Packed, Strided, leading};
use crate::nets::{ActorCriticLayout, MlpLayout};
use crate::num::philox::{Stream, draw};
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, run_lanes};
use crate::num::shuffle::Shuffle;
use rayon::prelude::*;
use std::ops::Range;

/// Environments a thread carries through a rollout at once.
const CHUNK: usize = 256;
/// Samples whose activations are held at once in the backward pass: a multiple of the 12 rows of a tile, and few enough
/// that the operands of a weight gradient stay in the first cache.
pub(super) const BLOCK: usize = 120;
/// The same for spiking networks, whose potentials of all spike steps are to stay in the second cache until the
/// backward pass.
pub(super) const SPIKING_BLOCK: usize = 48;
/// Samples of a part of a minibatch, about.
const PART: usize = 1024;
/// Parameters that a thread adds, clips and steps at once.
pub(super) const SPAN: usize = 4096;

/// A group of environments of one replica with its rollout. Arrays are `[T, envs, ·]`, `obs` and `value`
/// `[T+1, envs, ·]`.
struct Chunk {
    /// Which environments; the clock is the rollout's.
    at: At,
    envs: usize,
    state: Vec<f32>,
    obs: Vec<f32>,
    action: Vec<f32>,
    logprob: Vec<f32>,
    value: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
    final_obs: Vec<f32>,
    final_value: Vec<f32>,
    /// What the loss needs of a sample beside observation and action.
    scalars: Vec<Scalars>,
    /// Potentials of actor and critic before each slot, `[T, envs, width]`; empty where they are reset.
    membrane: [Vec<f32>; 2],
    /// Sums over slots and environments of the metrics in learning curves.
    sums: Vec<f64>,
    /// Sums, and of squares, of what values missed of the returns, and of the returns.
    fit: [[f64; 2]; 2],
    /// Spikes of the actor's hidden layers, then the critic's; empty without spikes.
    spikes: Vec<u64>,
}

/// Log-probability, advantage, return and value of a sample, in one cache line.
type Scalars = [f32; 4];

/// Weights and moments of one replica.
struct Learner {
    params: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    grads: Vec<f32>,
    actor: Packed,
    critic: Packed,
    pace: Pace<f32>,
    /// Sums over minibatches of policy loss, value loss, entropy, KL, clip share, gradient norms, share of the actor's
    /// rate.
    sums: [f64; 8],
    /// Steps left out since the metrics were read.
    skipped: u32,
    /// Shares of the actor's hidden units that were silent, and saturated.
    extremes: [f64; 2],
}

/// PPO for R replicas on the CPU.
pub struct PpoCpu {
    spec: PpoSpec,
    layout: ActorCriticLayout,
    learners: Vec<Learner>,
    chunks: Vec<Chunk>,
    /// The current minibatch of each replica, and what its parts give: `[R, parts]`.
    gathered: Vec<Gathered>,
    parts: Vec<PartResult>,
    scratch: Pool<BackwardScratch>,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: u32,
    clock: u32,
}

impl PpoCpu {
    /// Allocates everything and resets the environments.
    pub fn new(spec: &PpoSpec, start: &LearnerState) -> Self {
        let layout = spec.layout();
        let p = layout.params();
        let (sizes, replicas) = (spec.env.sizes(), spec.env.replicas());
        let (o, a, t) = (sizes.obs, sizes.action, spec.ppo.horizon);
        let paces = spec.paces(start);
        let learners = (0..replicas)
            .map(|r| {
                let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
                let mut l = Learner {
                    params: of(&start.params),
                    m: of(&start.m),
                    v: of(&start.v),
                    grads: vec![0.0; p],
                    actor: Packed::new(&layout.actor),
                    critic: Packed::new(&layout.critic),
                    pace: Pace::from_row(&paces[8 * r..]),
                    sums: [0.0; 8],
                    skipped: 0,
                    extremes: [f64::NAN; 2],
                };
                l.pack();
                l
            })
            .collect();
        let mut chunks = Vec::new();
        for replica in 0..replicas {
            for first in (0..spec.ppo.envs).step_by(CHUNK) {
                let envs = CHUNK.min(spec.ppo.envs - first);
                let key = spec.env.key(replica);
                chunks.push(Chunk {
                    at: At { replica, key, first: first as u32, envs, clock: 0 },
                    envs,
                    state: vec![0.0; sizes.state * envs],
                    obs: vec![0.0; (t + 1) * envs * o],
                    action: vec![0.0; t * envs * a],
                    logprob: vec![0.0; t * envs],
                    value: vec![0.0; (t + 1) * envs],
                    reward: vec![0.0; t * envs],
                    flags: vec![0; t * envs],
                    final_obs: vec![0.0; envs * o],
                    final_value: vec![0.0; t * envs],
                    scalars: vec![[0.0; 4]; t * envs],
                    membrane: widths(&layout).map(|width| vec![0.0; t * envs * width]),
                    sums: vec![0.0; spec.env.curve().len()],
                    fit: [[0.0; 2]; 2],
                    spikes: vec![0; spiking_layers(&layout).count()],
                });
            }
        }
        let clock = start.updates * spec.ppo.horizon as u32;
        let m = spec.ppo.minibatch;
        let gathered = (0..replicas).map(|_| Gathered::new(m, o, a, widths(&layout))).collect();
        let parts = (0..replicas * m.div_ceil(part_rows(m)))
            .map(|_| PartResult {
                grads: vec![0.0; p],
                sums: [0.0; 7],
                extremes: Extremes::of(&layout.actor),
            })
            .collect();
        let scratch = Pool::new();
        let mut this = PpoCpu {
            spec: spec.clone(),
            layout,
            learners,
            chunks,
            gathered,
            parts,
            scratch,
            adam_steps: start.adam_steps,
            steps: 0,
            clock,
        };
        let (spec, clock) = (&this.spec, this.clock);
        this.chunks.par_iter_mut().for_each(|c| {
            let last = spec.ppo.horizon * c.envs * o;
            spec.env.reset(&At { clock, ..c.at }, &mut c.state, &mut c.obs[last..]);
        });
        this
    }
}

impl Ppo for PpoCpu {
    fn rollout(&mut self, _update: u32) -> Result<(), GpuError> {
        let (spec, learners, layout, clock) = (&self.spec, &self.learners, &self.layout, self.clock);
        self.chunks.par_iter_mut().for_each_init(
            || RolloutScratch::new(layout, spec.env.sizes().metrics),
            |s, c| c.collect(spec, layout, &learners[c.at.replica], s, clock),
        );
        self.clock += self.spec.ppo.horizon as u32;
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.chunks.par_iter_mut().for_each(|c| c.advantages(spec));
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 2]]) -> Result<(), GpuError> {
        let (spec, layout, chunks, learners, scratch) =
            (&self.spec, &self.layout, &self.chunks, &self.learners, &self.scratch);
        let m = spec.ppo.minibatch;
        let (rows, per_replica) = (part_rows(m), spec.ppo.envs.div_ceil(CHUNK));

        // ---- GATHER: samples in the order of the shuffle; mean and deviation of their advantages ----
        let (normalise, envs, first) = (spec.ppo.normalise_advantages, spec.ppo.envs, mb as usize * m);
        self.gathered.par_iter_mut().zip(chunks.par_chunks(per_replica)).for_each(|(g, chunks)| {
            let shuffle = Shuffle::new(chunks[0].at.key, update, epoch, spec.samples() as u32);
            g.fill(&Sampler { shuffle: &shuffle, chunks, envs, first }, rows, normalise);
        });

        // ---- LOSS, BACKWARD: gradient sums of the parts ----
        let (gathered, parts) = (&self.gathered, m.div_ceil(rows));
        let last = epoch as usize + 1 == spec.ppo.epochs && mb as usize + 1 == spec.minibatches();
        self.parts.par_iter_mut().enumerate().for_each(|(i, out)| {
            let (r, from) = (i / parts, i % parts * rows);
            let work = |s: &mut BackwardScratch| {
                s.part(spec, r, layout, &learners[r], &gathered[r], from..m.min(from + rows), last, out)
            };
            scratch.with(|| BackwardScratch::new(layout), work);
        });

        // ---- CLIP, ADAM ----
        self.adam_steps += 1;
        self.steps += 1;
        let first = epoch == 0 && mb == 0;
        let each = self.learners.par_iter_mut().zip(self.parts.par_chunks(parts)).enumerate();
        each.for_each(|(r, (l, parts))| {
            l.update(spec, (r, layout.split()), rates[r], first, parts);
            if last {
                l.extremes = extremes_of(parts);
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let slots = self.spec.samples() as f64;
        let steps = std::mem::take(&mut self.steps);
        let none = UpdateMetrics {
            slots: vec![0.0; self.spec.env.curve().len()],
            gradient_steps: steps,
            firing_rates: vec![0.0; spiking_layers(&self.layout).count()],
            ..UpdateMetrics::absent()
        };
        let mut out = vec![none; self.learners.len()];
        let mut fits = vec![[[0.0; 2]; 2]; self.learners.len()];
        for c in &mut self.chunks {
            let (u, fit) = (&mut out[c.at.replica], &mut fits[c.at.replica]);
            fit.as_flattened_mut().iter_mut().zip(c.fit.as_flattened()).for_each(|(sum, x)| *sum += x);
            for (mean, sum) in u.slots.iter_mut().zip(&mut c.sums) {
                *mean += std::mem::take(sum) / slots;
            }
            for ((rate, n), neurons) in
                u.firing_rates.iter_mut().zip(&mut c.spikes).zip(spiking_layers(&self.layout))
            {
                *rate += std::mem::take(n) as f64 / (slots * neurons as f64);
            }
        }
        for ((u, l), [missed, returns]) in out.iter_mut().zip(&mut self.learners).zip(fits) {
            u.explained_variance = explained_variance(slots, missed, returns);
            let [pg, v, entropy, kl, clipped, na, nc, rate] =
                std::mem::take(&mut l.sums).map(|x| x / f64::from(steps));
            (u.policy_loss, u.value_loss, u.entropy, u.approx_kl, u.clip_fraction) =
                (pg, v, entropy, kl, clipped);
            (u.grad_norm_actor, u.grad_norm_critic) = (na, nc);
            [u.dead_neurons, u.saturated_neurons] = l.extremes;
            (u.rate_share, u.skipped_share) =
                (rate, f64::from(std::mem::take(&mut l.skipped)) / f64::from(steps));
        }
        Ok(read.then_some(out))
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
            extra: vec![pace_extra(self.learners.iter().map(|l| l.pace.row()))],
        })
    }
}

impl Learner {
    fn pack(&mut self) {
        let (actor, critic, params) = (&mut self.actor, &mut self.critic, &self.params);
        rayon::join(|| actor.pack(params), || critic.pack(params));
    }

    /// Adds the parts' gradients, clips, and steps Adam (torch.optim.Adam) at the pace of replica `r`, whose second
    /// group begins at `split`. A gradient that is not finite changes nothing, so that one diverging replica stays
    /// visible without spreading.
    fn update(
        &mut self,
        spec: &PpoSpec,
        (r, split): (usize, usize),
        lr: [f64; 2],
        first: bool,
        parts: &[PartResult],
    ) {
        let ppo = spec.of(r);
        for p in parts {
            self.sums.iter_mut().zip(p.sums).for_each(|(s, x)| *s += x);
        }
        let ranges = [0..split, split..self.grads.len()];
        let squares = ranges.clone().map(|range| {
            // Adds the parts in their order and squares, span by span; the squares are added in order too.
            let spans = self.grads[range.clone()].par_chunks_mut(SPAN).enumerate().map(|(i, g)| {
                let from = range.start + i * SPAN;
                g.copy_from_slice(&parts[0].grads[from..from + g.len()]);
                for p in &parts[1..] {
                    g.iter_mut().zip(&p.grads[from..]).for_each(|(g, x)| *g += x);
                }
                f64::from(g.iter().map(|x| x * x).sum::<f32>())
            });
            spans.collect::<Vec<f64>>().iter().sum::<f64>()
        });
        let norms = squares.map(f64::sqrt);
        self.sums[5] += norms[0];
        self.sums[6] += norms[1];
        let joint = (squares[0] + squares[1]).sqrt();
        let hyper = ppo.adam(lr);
        let divergence = parts.iter().map(|p| p.sums[3]).sum::<f64>() as f32;
        let before = self.pace.skipped;
        let betas = [hyper.beta1, hyper.beta2, 1.0 - hyper.beta1, 1.0 - hyper.beta2].map(|x| x as f32);
        let finite = norms.map(|n| n as f32);
        kl_control::advance(&mut self.pace, divergence, finite, ppo.limits().row(), betas, first);
        self.sums[7] += f64::from(self.pace.rate);
        self.skipped += (self.pace.skipped - before) as u32;
        if self.pace.live == 0.0 {
            return;
        }
        let step = AdamStep::paced(&hyper, &self.pace, split);
        for (group, range) in ranges.into_iter().enumerate() {
            let norm = if ppo.clip_scope == ClipScope::Joint { joint } else { norms[group] };
            let scale = if ppo.max_grad_norm > 0.0 {
                (ppo.max_grad_norm / (norm + 1e-6)).min(1.0) as f32
            } else {
                1.0
            };
            let (m, v, p) =
                (&mut self.m[range.clone()], &mut self.v[range.clone()], &mut self.params[range.clone()]);
            let spans = m
                .par_chunks_mut(SPAN)
                .zip(v.par_chunks_mut(SPAN))
                .zip(p.par_chunks_mut(SPAN))
                .zip(self.grads[range].par_chunks(SPAN));
            spans.for_each(|(((m, v), p), grads)| step.run(group, scale, grads, m, v, p));
        }
        let clamp = spec.clamp();
        for x in &mut self.params[clamp.params] {
            *x = x.clamp(clamp.low as f32, clamp.high as f32);
        }
        self.pack();
    }
}

/// Shares of the actor's hidden units that were silent, and saturated, in all parts of a minibatch.
fn extremes_of(parts: &[PartResult]) -> [f64; 2] {
    let mut sum = parts[0].extremes.clone();
    for part in &parts[1..] {
        let both = sum.0.iter_mut().zip(&part.extremes.0);
        both.for_each(|(sum, n)| *sum = [sum[0] + n[0], sum[1] + n[1]]);
    }
    sum.shares()
}

/// Potentials of a sample that actor and critic carry from slot to slot.
fn widths(layout: &ActorCriticLayout) -> [usize; 2] {
    [&layout.actor, &layout.critic].map(carried_width)
}

/// Neurons of each spiking layer, times spike steps: the actor's, then the critic's.
fn spiking_layers(layout: &ActorCriticLayout) -> impl Iterator<Item = usize> {
    [&layout.actor, &layout.critic].into_iter().flat_map(neuron_steps)
}

/// Neurons of each spiking layer of a network, times spike steps.
pub(super) fn neuron_steps(net: &MlpLayout) -> impl Iterator<Item = usize> {
    let steps = net.lif.map(|lif| lif.steps);
    steps.into_iter().flat_map(|s| net.layers[..net.layers.len() - 1].iter().map(move |l| s * l.outputs))
}

/// Samples of a part of a minibatch of `m`: depends on m alone. Whole tiles, and an even number of parts where it can
/// be, so that threads share evenly.
pub(super) fn part_rows(m: usize) -> usize {
    let n = m.div_ceil(PART);
    m.div_ceil(if n > 1 {
        n.next_multiple_of(2)
    } else if m >= 256 {
        2
    } else {
        1
    })
    .next_multiple_of(12)
}

/// Where the samples of a minibatch lie.
struct Sampler<'a> {
    shuffle: &'a Shuffle,
    chunks: &'a [Chunk],
    envs: usize,
    first: usize,
}

/// The samples of a minibatch of one replica.
struct Gathered {
    /// `[M, leading(O)]`, zero beyond O.
    x: Aligned,
    /// `[M, A]`
    action: Vec<f32>,
    scalars: Vec<Scalars>,
    /// Of actor and critic, `[M, width]`.
    membrane: [Vec<f32>; 2],
    /// Mean and 1/(std + 1e-8) of the advantages (unbiased, as torch.std), or 0 and 1.
    stats: (f32, f32),
    inputs: usize,
    actions: usize,
}

impl Gathered {
    fn new(m: usize, inputs: usize, actions: usize, widths: [usize; 2]) -> Self {
        Gathered {
            x: Aligned::zeros(m * leading(inputs)),
            action: vec![0.0; m * actions],
            scalars: vec![[0.0; 4]; m],
            membrane: widths.map(|width| vec![0.0; m * width]),
            stats: (0.0, 1.0),
            inputs,
            actions,
        }
    }

    /// Takes the minibatch of `s`, `rows` samples at a time.
    fn fill(&mut self, s: &Sampler, rows: usize, normalise: bool) {
        let (o, a) = (self.inputs, self.actions);
        let ldx = leading(o);
        let parts = self
            .x
            .par_chunks_mut(rows * ldx)
            .zip(self.action.par_chunks_mut(rows * a))
            .zip(self.scalars.par_chunks_mut(rows))
            .enumerate();
        let sums = parts.map(|(part, ((x, action), scalars))| {
            let mut index = vec![0; scalars.len()];
            s.shuffle.fill((s.first + part * rows) as u32, &mut index);
            let (mut sum, mut square) = (0.0, 0.0);
            for (((x, action), scalars), i) in
                x.chunks_exact_mut(ldx).zip(action.chunks_exact_mut(a)).zip(scalars).zip(index)
            {
                let (t, b) = (i as usize / s.envs, i as usize % s.envs);
                let c = &s.chunks[b / CHUNK];
                let row = t * c.envs + b % CHUNK;
                x[..o].copy_from_slice(&c.obs[row * o..(row + 1) * o]);
                action.copy_from_slice(&c.action[row * a..(row + 1) * a]);
                *scalars = c.scalars[row];
                let adv = f64::from(scalars[1]);
                sum += adv;
                square += adv * adv;
            }
            (sum, square)
        });
        let sums: Vec<(f64, f64)> = sums.collect();
        if normalise {
            let m = self.scalars.len() as f64;
            let (sum, square) = sums.iter().fold((0.0, 0.0), |acc, s| (acc.0 + s.0, acc.1 + s.1));
            let mean = sum / m;
            let var = if m > 1.0 { ((square - sum * mean) / (m - 1.0)).max(0.0) } else { 0.0 };
            self.stats = (mean as f32, (1.0 / (var.sqrt() + 1e-8)) as f32);
        }
        for (net, to) in self.membrane.iter_mut().enumerate().filter(|(_, to)| !to.is_empty()) {
            let width = to.len() / self.scalars.len();
            to.par_chunks_mut(rows * width).enumerate().for_each(|(part, to)| {
                let mut index = vec![0; to.len() / width];
                s.shuffle.fill((s.first + part * rows) as u32, &mut index);
                for (to, i) in to.chunks_exact_mut(width).zip(index) {
                    let (t, b) = (i as usize / s.envs, i as usize % s.envs);
                    let c = &s.chunks[b / CHUNK];
                    let row = t * c.envs + b % CHUNK;
                    to.copy_from_slice(&c.membrane[net][row * width..(row + 1) * width]);
                }
            });
        }
    }
}

struct PartResult {
    grads: Vec<f32>,
    /// Contributions to policy loss, value loss, entropy, KL, clip share; two zeros.
    sums: [f64; 7],
    /// Of the actor's hidden units, in the last minibatch of an update.
    extremes: Extremes,
}

struct BackwardScratch {
    actor: Activations,
    critic: Activations,
    d_actor: Gradient,
    d_critic: Gradient,
    /// Samples at once.
    block: usize,
}

impl BackwardScratch {
    fn new(layout: &ActorCriticLayout) -> Self {
        let block = if layout.actor.lif.is_some() { SPIKING_BLOCK } else { BLOCK };
        BackwardScratch {
            actor: Activations::new(&layout.actor, block),
            critic: Activations::new(&layout.critic, block),
            d_actor: Gradient::new(&layout.actor, block),
            d_critic: Gradient::new(&layout.critic, block),
            block,
        }
    }

    /// Loss and gradients of some samples of a minibatch, the `last` of the update or not.
    #[allow(clippy::too_many_arguments, reason = "a replica's share of a minibatch")]
    fn part(
        &mut self,
        spec: &PpoSpec,
        r: usize,
        layout: &ActorCriticLayout,
        l: &Learner,
        mb: &Gathered,
        samples: Range<usize>,
        last: bool,
        out: &mut PartResult,
    ) {
        let Range { start: from, end: to } = samples;
        out.extremes.0.fill([0; 2]);
        let ppo = spec.of(r);
        let (o, a) = (layout.actor.inputs(), layout.actions());
        let (ldx, lda, ldv) = (leading(o), leading(a), leading(1));
        let inv_m = 1.0 / ppo.minibatch as f32;
        let log_std = &l.params[layout.log_std_off..layout.log_std_off + a];
        let inv_std: Vec<f32> = log_std.iter().map(|s| (-s).exp()).collect();
        let norm = log_norm(log_std);
        let entropy = norm + 0.5 * a as f32;
        let (clip, vf, ent) = (ppo.clip as f32, ppo.vf_coef as f32, ppo.entropy_coef as f32);
        let (mut d_log_std, mut z) = (vec![0f32; a], vec![0f32; a]);
        // The mean firing rate of each network, times the penalty, is part of its loss.
        let penalty = spec.spiking.as_ref().map_or(0.0, |s| s.rate_penalty);
        let spike_cost = [&layout.actor, &layout.critic]
            .map(|net| (penalty / (ppo.minibatch * neuron_steps(net).sum::<usize>().max(1)) as f64) as f32);
        let [potentials, of_critic] = widths(layout);
        let mut sums = [0.0; 7];
        self.d_actor.clear();
        self.d_critic.clear();
        for lo in (from..to).step_by(self.block) {
            let hi = to.min(lo + self.block);
            let rows = hi - lo;
            let (obs, action) = (&mb.x[lo * ldx..hi * ldx], &mb.action[lo * a..hi * a]);
            let x = Strided { data: obs, row: ldx, col: 1 };
            self.actor.begin(&mb.membrane[0][lo * potentials..hi * potentials]);
            self.critic.begin(&mb.membrane[1][lo * of_critic..hi * of_critic]);
            forward(&l.actor, rows, x, &mut self.actor);
            if last {
                self.actor.add_extremes(&layout.actor, rows, &mut out.extremes);
            }
            forward(&l.critic, rows, x, &mut self.critic);
            let (d_mean, d_value) = (self.d_actor.d_out(), self.d_critic.d_out());
            let (mean, value) = (self.actor.output(), self.critic.output());
            let (mut pg, mut vl, mut kl, mut clipped) = (0f32, 0f32, 0f32, 0f32);
            for i in 0..rows {
                let [old, adv, ret, v_old] = mb.scalars[lo + i];
                let mut quad = 0.0;
                for (j, z) in z.iter_mut().enumerate() {
                    *z = (action[i * a + j] - mean[i * lda + j]) * inv_std[j];
                    quad += *z * *z;
                }
                let log_ratio = (-0.5 * quad - norm) - old;
                let ratio = Real::exp(log_ratio);
                let adv = (adv - mb.stats.0) * mb.stats.1;
                let (plain, cut) = (-adv * ratio, -adv * ratio.clamp(1.0 - clip, 1.0 + clip));
                pg += plain.max(cut);
                kl += (ratio - 1.0) - log_ratio;
                clipped += f32::from((ratio - 1.0).abs() > clip);
                // d(−adv·ratio)/d logp where the unclipped term is the larger, else 0.
                let g = if plain >= cut { plain * inv_m } else { 0.0 };
                for j in 0..a {
                    d_mean[i * lda + j] = g * z[j] * inv_std[j];
                    d_log_std[j] += g * (z[j] * z[j] - 1.0);
                }
                d_mean[i * lda + a..(i + 1) * lda].fill(0.0);
                let v = value[i * ldv];
                let mut err = v - ret;
                let mut slope = err;
                if ppo.clip_value {
                    let v_cut = v_old + (v - v_old).clamp(-clip, clip);
                    if (v_cut - ret).abs() > err.abs() {
                        err = v_cut - ret;
                        slope = if (v - v_old).abs() < clip { err } else { 0.0 };
                    }
                }
                vl += 0.5 * err * err;
                d_value[i * ldv..(i + 1) * ldv].fill(0.0);
                d_value[i * ldv] = vf * slope * inv_m;
            }
            for (s, x) in sums.iter_mut().zip([pg, vl, entropy * rows as f32, kl, clipped]) {
                *s += f64::from(x * inv_m);
            }
            backward(&l.actor, rows, obs, &self.actor, spike_cost[0], &mut self.d_actor);
            backward(&l.critic, rows, obs, &self.critic, spike_cost[1], &mut self.d_critic);
        }
        let grads = &mut out.grads;
        self.d_actor.write_to(&layout.actor, grads);
        self.d_critic.write_to(&layout.critic, grads);
        for (g, d) in grads[layout.log_std_off..].iter_mut().zip(&d_log_std) {
            *g = d - ent * (to - from) as f32 * inv_m;
        }
        out.sums = sums;
    }
}

struct RolloutScratch {
    actor: Activations,
    critic: Activations,
    metrics: Vec<f32>,
}

impl RolloutScratch {
    fn new(layout: &ActorCriticLayout, metrics: usize) -> Self {
        RolloutScratch {
            actor: Activations::forward_only(&layout.actor, CHUNK),
            critic: Activations::forward_only(&layout.critic, CHUNK),
            metrics: vec![0.0; metrics * CHUNK],
        }
    }
}

impl Chunk {
    fn collect(
        &mut self,
        spec: &PpoSpec,
        layout: &ActorCriticLayout,
        l: &Learner,
        s: &mut RolloutScratch,
        clock: u32,
    ) {
        let (o, a, t_max, envs) = (layout.actor.inputs(), layout.actions(), spec.ppo.horizon, self.envs);
        let rows = s.metrics.len() / CHUNK;
        self.obs.copy_within(t_max * envs * o.., 0);
        let log_std = &l.params[layout.log_std_off..layout.log_std_off + a];
        let (lda, ldv) = (leading(a), leading(1));
        // The rollout before ended with an episode.
        s.actor.rest();
        s.critic.rest();
        for t in 0..t_max {
            let (before, after) = self.obs.split_at_mut((t + 1) * envs * o);
            let x = Strided { data: &before[t * envs * o..], row: o, col: 1 };
            for (kept, acts) in self.membrane.iter_mut().zip([&s.actor, &s.critic]) {
                let slot = kept.len() / t_max;
                kept[t * slot..(t + 1) * slot].copy_from_slice(&acts.before()[..slot]);
            }
            forward(&l.actor, envs, x, &mut s.actor);
            forward(&l.critic, envs, x, &mut s.critic);
            let half = self.spikes.len() / 2;
            let (actor, critic) = self.spikes.split_at_mut(half);
            s.actor.add_spikes(actor);
            s.critic.add_spikes(critic);
            s.actor.carry();
            s.critic.carry();
            let at = At { clock: clock + t as u32, ..self.at };
            let action = &mut self.action[t * envs * a..(t + 1) * envs * a];
            run_lanes(SampleGaussian {
                key: at.key,
                first: at.first,
                clock: at.clock,
                behind: 0,
                actions: a,
                log_std,
                mean: s.actor.output(),
                ld: lda,
                action,
                logprob: &mut self.logprob[t * envs..(t + 1) * envs],
            });
            for (v, row) in self.value[t * envs..(t + 1) * envs].iter_mut().zip(s.critic.output().chunks(ldv))
            {
                *v = row[0];
            }
            let out = StepSlices {
                final_obs: &mut self.final_obs,
                reward: &mut self.reward[t * envs..(t + 1) * envs],
                flags: &mut self.flags[t * envs..(t + 1) * envs],
                metrics: Some(&mut s.metrics[..rows * envs]),
                full: false,
            };
            spec.env.step(&at, action, &mut self.state, &mut after[..envs * o], out);
            if self.flags[t * envs] & TRUNCATED != 0 {
                forward(&l.critic, envs, Strided { data: &self.final_obs, row: o, col: 1 }, &mut s.critic);
                for (v, row) in
                    self.final_value[t * envs..(t + 1) * envs].iter_mut().zip(s.critic.output().chunks(ldv))
                {
                    *v = row[0];
                }
                s.actor.rest();
                s.critic.rest();
            }
            for (sum, row) in self.sums.iter_mut().zip(spec.env.curve()) {
                *sum += f64::from(sum_of(&s.metrics[row * envs..(row + 1) * envs]));
            }
        }
    }

    /// Generalised advantage estimation of this chunk. The rollout ends with an episode, so the row of values behind it
    /// is never used.
    fn advantages(&mut self, spec: &PpoSpec) {
        let n = spec.ppo.horizon * self.envs;
        let size = gae::Spec { t: spec.ppo.horizon, r: 1, b: self.envs };
        let hyper = [spec.of(self.at.replica).gae()];
        let (mut adv, mut ret) = (vec![0f32; n], vec![0f32; n]);
        gae::gae_cpu(
            &size,
            &self.reward,
            &self.value,
            &self.final_value,
            &self.flags,
            &hyper,
            &mut adv,
            &mut ret,
        );
        for (at, row) in self.scalars.iter_mut().enumerate() {
            *row = [self.logprob[at], adv[at], ret[at], self.value[at]];
        }
        self.fit = [&adv, &ret].map(|of| {
            of.iter().fold([0.0; 2], |[sum, square], x| {
                let x = f64::from(*x);
                [sum + x, square + x * x]
            })
        });
    }
}

/// Sum in eight chains, so that the additions need not wait for each other.
fn sum_of(x: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    for part in x.chunks(8) {
        sums.iter_mut().zip(part).for_each(|(s, x)| *s += x);
    }
    sums.iter().sum()
}

/// ln of the density's denominator, Σ log_std + ½ ln 2π, which sampling and loss both subtract. Summed in f64: with
/// many actions it is large, and what f32 loses of equal terms would stay in every ratio.
pub(super) fn log_norm(log_std: &[f32]) -> f32 {
    log_std.iter().map(|s| f64::from(*s) + 0.918_938_533_204_672_7).sum::<f64>() as f32
}

/// Samples of a diagonal Gaussian policy: the fast form of `kernels::gaussian_head`, same draws.
pub struct SampleGaussian<'a> {
    pub key: [u32; 2],
    pub first: u32,
    pub clock: u32,
    /// Draws of the slot that other actions took.
    pub behind: u32,
    pub actions: usize,
    pub log_std: &'a [f32],
    /// `[envs, ld]`
    pub mean: &'a [f32],
    pub ld: usize,
    /// `[envs, A]`
    pub action: &'a mut [f32],
    /// `[envs]`
    pub logprob: &'a mut [f32],
}

impl SampleGaussian<'_> {
    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let a = self.actions;
        let norm = V::splat_f32(log_norm(self.log_std));
        let std: Vec<f32> = self.log_std.iter().map(|s| Real::exp(*s)).collect();
        // [A, lanes]
        let mut noise = vec![0f32; a * V::LANES];
        let mut env = from;
        while env + V::LANES <= to {
            let mut quad = V::splat(0.0);
            let ids = V::Word::iota(self.first + env as u32);
            for (block, noise) in noise.chunks_mut(4 * V::LANES).enumerate() {
                let w = draw(self.key, Stream::Action, ids, self.clock, self.behind + block as u32);
                let (z0, z1) = V::normal_pair(w[0], w[1]);
                let (z2, z3) = V::normal_pair(w[2], w[3]);
                let rows = noise.chunks_exact_mut(V::LANES).zip(&std[4 * block..]);
                for (z, (row, std)) in [z0, z1, z2, z3].into_iter().zip(rows) {
                    quad += z * z;
                    (V::splat_f32(*std) * z).store(row);
                }
            }
            let actions = self.action[env * a..(env + V::LANES) * a].chunks_exact_mut(a);
            for (l, (action, mean)) in actions.zip(self.mean[env * self.ld..].chunks(self.ld)).enumerate() {
                for (i, (x, mean)) in action.iter_mut().zip(mean).enumerate() {
                    *x = mean + noise[i * V::LANES + l];
                }
            }
            (V::splat(-0.5) * quad - norm).store(&mut self.logprob[env..]);
            env += V::LANES;
        }
    }
}

impl LaneKernel for SampleGaussian<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.logprob.len();
        let whole = n / V::LANES * V::LANES;
        self.span::<V>(0, whole);
        self.span::<f32>(whole, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SpikingConfig;
    use crate::learn::toy::Toy;
    use crate::nets::{Membrane, Readout};
    use std::sync::Arc;

    /// Chunks, parts and spans of which the last is short; two replicas.
    fn spec() -> PpoSpec {
        PpoSpec::mlp(&Toy::ppo(), Arc::new(Toy { seeds: vec![3, 9] }))
    }

    /// The same with spiking networks.
    fn spiking_spec(rate_penalty: f64) -> PpoSpec {
        PpoSpec::spiking(&Toy::ppo(), &Toy::spiking(rate_penalty), spec().env)
    }

    /// With potentials that are carried from slot to slot, and outputs that leak.
    fn carried_spec() -> PpoSpec {
        let spiking = SpikingConfig {
            membrane: Membrane::Carried,
            readout: Readout::Last,
            lambda: 0.2,
            ..Toy::spiking(0.1)
        };
        PpoSpec::spiking(&Toy::ppo(), &spiking, spec().env)
    }

    fn two_updates(spec: PpoSpec, threads: usize) -> (LearnerState, Vec<UpdateMetrics>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| {
            let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
            let mut metrics = Vec::new();
            for update in 0..2 {
                ppo.rollout(update).unwrap();
                ppo.advantages().unwrap();
                for epoch in 0..spec.ppo.epochs as u32 {
                    for mb in 0..spec.minibatches() as u32 {
                        ppo.minibatch(update, epoch, mb, &spec.learning_rates(update, 2)).unwrap();
                    }
                }
                metrics.extend(ppo.finish(true).unwrap().unwrap());
            }
            (ppo.state(2).unwrap(), metrics)
        })
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for spec in [spec(), spiking_spec(0.1), carried_spec()] {
            let one = two_updates(spec.clone(), 1);
            assert!(one.0.params.iter().all(|x| x.is_finite()));
            assert_eq!(one, two_updates(spec, 3));
        }
    }

    #[test]
    fn firing_rates_are_those_of_the_rollout_and_the_penalty_lowers_them() {
        let rates = |penalty| {
            let metrics = two_updates(spiking_spec(penalty), 2).1;
            assert_eq!(metrics.len(), 4, "two updates of two replicas");
            metrics.into_iter().map(|m| m.firing_rates).collect::<Vec<_>>()
        };
        let (free, charged) = (rates(0.0), rates(30.0));
        for (free, charged) in free.iter().zip(&charged) {
            assert_eq!(free.len(), 4, "two hidden layers of actor and critic");
            assert!(free.iter().chain(charged).all(|r| (0.0..=1.0).contains(r)), "{free:?} {charged:?}");
            assert!(free.iter().all(|r| *r > 0.01), "silent: {free:?}");
        }
        // The first rollout comes before any update.
        assert_eq!(free[..2], charged[..2]);
        for (free, charged) in free[2..].iter().zip(&charged[2..]) {
            let mean = |rates: &[f64]| rates.iter().sum::<f64>() / 4.0;
            assert!(mean(charged) < 0.97 * mean(free), "{charged:?} with a penalty, {free:?} without");
        }
        assert!(two_updates(spec(), 2).1.iter().all(|m| m.firing_rates.is_empty()));
    }

    #[test]
    fn a_spiking_run_continues_from_its_state() {
        for spec in [spiking_spec(0.1), carried_spec()] {
            continues_from_its_state(&spec);
        }
    }

    fn continues_from_its_state(spec: &PpoSpec) {
        let update = |ppo: &mut PpoCpu, u: u32| {
            ppo.rollout(u).unwrap();
            ppo.advantages().unwrap();
            for epoch in 0..spec.ppo.epochs as u32 {
                for mb in 0..spec.minibatches() as u32 {
                    ppo.minibatch(u, epoch, mb, &spec.learning_rates(u, 2)).unwrap();
                }
            }
            ppo.finish(true).unwrap();
        };
        let mut whole = PpoCpu::new(spec, &LearnerState::new(spec));
        update(&mut whole, 0);
        let mut resumed = PpoCpu::new(spec, &whole.state(1).unwrap());
        update(&mut whole, 1);
        update(&mut resumed, 1);
        assert_eq!(whole.state(2).unwrap(), resumed.state(2).unwrap());
    }

    /// Before any update, a minibatch's forward pass from the stored potentials gives the values of its rollout, bit
    /// for bit; episodes start at rest.
    #[test]
    fn a_minibatch_starts_from_the_potentials_before_its_slots() {
        let spec = carried_spec();
        let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
        for update in 0..2 {
            ppo.rollout(update).unwrap();
        }
        ppo.advantages().unwrap();
        let (m, layout) = (spec.ppo.minibatch, spec.layout());
        let shuffle = Shuffle::new(spec.env.key(1), 0, 0, spec.samples() as u32);
        let mut g = Gathered::new(m, 12, 6, widths(&layout));
        let chunks = &ppo.chunks[spec.ppo.envs.div_ceil(CHUNK)..];
        g.fill(&Sampler { shuffle: &shuffle, chunks, envs: spec.ppo.envs, first: m }, part_rows(m), true);
        let width = carried_width(&layout.critic);
        let mut acts = Activations::new(&layout.critic, m);
        acts.begin(&g.membrane[1]);
        let x = Strided { data: &g.x, row: leading(12), col: 1 };
        let critic = &ppo.learners[1].critic;
        forward(critic, m, x, &mut acts);
        let got: Vec<f32> = acts.output().chunks(leading(1)).map(|row| row[0]).collect();
        let want: Vec<f32> = g.scalars.iter().map(|s| s[3]).collect();
        assert_eq!(got, want);
        // From rest they would be others, but for the first slots of episodes.
        let at_rest = |i: usize| g.membrane[1][i * width..(i + 1) * width].iter().all(|v| *v == 0.0);
        acts.rest();
        forward(critic, m, x, &mut acts);
        let (mut first, mut differ) = (0, 0);
        for (i, (row, want)) in acts.output().chunks(leading(1)).zip(&want).enumerate() {
            let slot = shuffle.index((m + i) as u32) as usize / spec.ppo.envs;
            first += usize::from(slot == 0);
            assert_eq!(at_rest(i), slot == 0, "slot {slot}");
            // A network that has long been silent says 0 either way.
            let says = row[0] != 0.0 || *want != 0.0;
            differ += usize::from(row[0] != *want);
            assert_eq!(row[0] != *want, says && slot > 0, "slot {slot}");
        }
        assert!(first > 0 && differ > m / 2, "{first} samples of a first slot, {differ} from elsewhere");
        // The value behind the time limit starts where the last slot ended.
        let c = &chunks[0];
        let last = spec.ppo.horizon - 1;
        let x = Strided { data: &c.obs[last * c.envs * 12..(last + 1) * c.envs * 12], row: 12, col: 1 };
        let mut acts = Activations::forward_only(&layout.critic, c.envs);
        acts.begin(&c.membrane[1][last * c.envs * width..]);
        forward(critic, c.envs, x, &mut acts);
        acts.carry();
        forward(critic, c.envs, Strided { data: &c.final_obs, row: 12, col: 1 }, &mut acts);
        let got: Vec<f32> = acts.output().chunks(leading(1)).map(|row| row[0]).collect();
        assert_eq!(got, c.final_value[last * c.envs..]);
    }

    #[test]
    fn a_gathered_minibatch_is_the_shuffled_rollout() {
        let spec = spec();
        let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
        ppo.rollout(0).unwrap();
        ppo.advantages().unwrap();
        let (m, envs) = (spec.ppo.minibatch, spec.ppo.envs);
        ppo.minibatch(0, 1, 4, &[[1e-4; 2]; 2]).unwrap();
        let per_replica = envs.div_ceil(CHUNK);
        for r in 0..2 {
            let shuffle = Shuffle::new(spec.env.key(r), 0, 1, spec.samples() as u32);
            let g = &ppo.gathered[r];
            let (mut sum, mut square) = (0.0, 0.0);
            for i in 0..m {
                let s = shuffle.index((4 * m + i) as u32) as usize;
                let (t, b) = (s / envs, s % envs);
                let c = &ppo.chunks[r * per_replica + b / CHUNK];
                let row = t * c.envs + b % CHUNK;
                assert_eq!(g.x[i * 16..i * 16 + 12], c.obs[row * 12..row * 12 + 12], "observation {i}");
                assert_eq!(g.action[i * 6..i * 6 + 6], c.action[row * 6..row * 6 + 6], "action {i}");
                let [logprob, adv, ret, value] = g.scalars[i];
                assert_eq!([logprob, value], [c.logprob[row], c.value[row]], "log-probability and value {i}");
                assert_eq!(ret, adv + value, "return {i}");
                sum += f64::from(adv);
                square += f64::from(adv) * f64::from(adv);
            }
            let mean = sum / m as f64;
            let std = ((square - sum * mean) / (m as f64 - 1.0)).sqrt();
            assert!(
                (f64::from(g.stats.0) - mean).abs() < 1e-6 * (1.0 + mean.abs()),
                "mean {} against {mean}",
                g.stats.0
            );
            assert!((f64::from(g.stats.1) * std - 1.0).abs() < 1e-5, "1/std {} against std {std}", g.stats.1);
        }
    }
}
