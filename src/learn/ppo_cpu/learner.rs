//! Weights and moments of a replica, and their step along the gradients of a minibatch.

use crate::config::ClipScope;
use crate::kernels::kl_control;
use crate::kernels::kl_control::Pace;
use crate::learn::PpoSpec;
use crate::learn::adam::AdamStep;
use crate::nets::cpu::{Extremes, carried_width};
use crate::nets::dense::Packed;
use crate::nets::{ActorCriticLayout, MlpLayout};
use rayon::prelude::*;

/// Parameters that a thread adds, clips and steps at once.
pub(in crate::learn) const SPAN: usize = 4096;

/// Weights and moments of one replica.
pub(super) struct Learner {
    pub(super) params: Vec<f32>,
    pub(super) m: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) grads: Vec<f32>,
    pub(super) actor: Packed,
    pub(super) critic: Packed,
    pub(super) pace: Pace<f32>,
    /// Sums over minibatches of policy loss, value loss, entropy, KL, clip share, gradient norms, share of the actor's
    /// rate.
    pub(super) sums: [f64; 8],
    /// Steps left out since the metrics were read.
    pub(super) skipped: u32,
    /// Shares of the actor's hidden units that were silent, and saturated.
    pub(super) extremes: [f64; 2],
}

impl Learner {
    pub(super) fn pack(&mut self) {
        let (actor, critic, params) = (&mut self.actor, &mut self.critic, &self.params);
        rayon::join(|| actor.pack(params), || critic.pack(params));
    }

    /// Adds the parts' gradients, clips, and steps Adam (torch.optim.Adam) at the pace of replica `r`, whose second
    /// group begins at `split`. A gradient that is not finite changes nothing, so that one diverging replica stays
    /// visible without spreading.
    pub(super) fn update(
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
pub(super) fn extremes_of(parts: &[PartResult]) -> [f64; 2] {
    let mut sum = parts[0].extremes.clone();
    for part in &parts[1..] {
        let both = sum.0.iter_mut().zip(&part.extremes.0);
        both.for_each(|(sum, n)| *sum = [sum[0] + n[0], sum[1] + n[1]]);
    }
    sum.shares()
}

/// Potentials of a sample that actor and critic carry from slot to slot.
pub(super) fn widths(layout: &ActorCriticLayout) -> [usize; 2] {
    [&layout.actor, &layout.critic].map(carried_width)
}

/// Neurons of each spiking layer, times spike steps: the actor's, then the critic's.
pub(super) fn spiking_layers(layout: &ActorCriticLayout) -> impl Iterator<Item = usize> {
    [&layout.actor, &layout.critic].into_iter().flat_map(neuron_steps)
}

/// Neurons of each spiking layer of a network, times spike steps.
pub(in crate::learn) fn neuron_steps(net: &MlpLayout) -> impl Iterator<Item = usize> {
    let steps = net.lif.map(|lif| lif.steps);
    steps.into_iter().flat_map(|s| net.layers[..net.layers.len() - 1].iter().map(move |l| s * l.outputs))
}

pub(super) struct PartResult {
    pub(super) grads: Vec<f32>,
    /// Contributions to policy loss, value loss, entropy, KL, clip share; two zeros.
    pub(super) sums: [f64; 7],
    /// Of the actor's hidden units, in the last minibatch of an update.
    pub(super) extremes: Extremes,
}
