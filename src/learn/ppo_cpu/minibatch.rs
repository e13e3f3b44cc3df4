//! Minibatches: samples gathered in the order of a shuffle, and loss and gradients of a part of them.

use super::gaussian::log_norm;
use super::learner::{Learner, PartResult, neuron_steps, widths};
use super::rollout::{CHUNK, Chunk, Scalars};
use crate::learn::PpoSpec;
use crate::nets::ActorCriticLayout;
use crate::nets::cpu::{Activations, Gradient, backward, forward};
use crate::nets::dense::{Aligned, Strided, leading};
use crate::num::real::Real;
use crate::num::shuffle::Shuffle;
use rayon::prelude::*;
use std::ops::Range;

/// Samples whose activations are held at once in the backward pass: a multiple of the 12 rows of a tile, and few enough
/// that the operands of a weight gradient stay in the first cache.
pub(in crate::learn) const BLOCK: usize = 120;

/// The same for spiking networks, whose potentials of all spike steps are to stay in the second cache until the
/// backward pass.
pub(in crate::learn) const SPIKING_BLOCK: usize = 48;

/// Samples of a part of a minibatch, about.
const PART_SAMPLES: usize = 1024;

/// Samples of a part of a minibatch of `m`: depends on m alone. Whole tiles, and an even number of parts where it can
/// be, so that threads share evenly.
pub(in crate::learn) fn part_rows(m: usize) -> usize {
    let n = m.div_ceil(PART_SAMPLES);
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
pub(super) struct Sampler<'a> {
    pub(super) shuffle: &'a Shuffle,
    pub(super) chunks: &'a [Chunk],
    pub(super) envs: usize,
    pub(super) first: usize,
}

/// The samples of a minibatch of one replica.
pub(super) struct Gathered {
    /// `[M, leading(O)]`, zero beyond O.
    pub(super) x: Aligned,
    /// `[M, A]`
    pub(super) action: Vec<f32>,
    pub(super) scalars: Vec<Scalars>,
    /// Of actor and critic, `[M, width]`.
    pub(super) membrane: [Vec<f32>; 2],
    /// Mean and 1/(std + 1e-8) of the advantages (unbiased, as torch.std), or 0 and 1.
    pub(super) stats: (f32, f32),
    inputs: usize,
    actions: usize,
}

impl Gathered {
    pub(super) fn new(m: usize, inputs: usize, actions: usize, widths: [usize; 2]) -> Self {
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
    pub(super) fn fill(&mut self, s: &Sampler, rows: usize, normalise: bool) {
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

pub(super) struct BackwardScratch {
    actor: Activations,
    critic: Activations,
    d_actor: Gradient,
    d_critic: Gradient,
    /// Samples at once.
    block: usize,
}

impl BackwardScratch {
    pub(super) fn new(layout: &ActorCriticLayout) -> Self {
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
    pub(super) fn part(
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
