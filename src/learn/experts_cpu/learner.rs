//! Weights and moments of a replica, and their step along the gradients of a minibatch.

use crate::kernels::kl_control::Pace;
use crate::learn::adam::AdamStep;
use crate::learn::experts_memory_cpu::{PartResult, Sums};
use crate::nets::MlpLayout;
use crate::nets::experts::{Decision, ExpertsCpu, ExpertsLayout};
use rayon::prelude::*;
use std::ops::Range;

/// Parameters that a thread adds, clips and steps at once.
const SPAN: usize = 4096;

/// Weights and moments of one replica.
pub(super) struct Learner {
    pub(super) params: Vec<f32>,
    pub(super) m: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) grads: Vec<f32>,
    /// Gradient of L_spat alone, where the trunk is shared.
    pub(super) spatial: Vec<f32>,
    pub(super) net: ExpertsCpu,
    /// Of what schedules and its critic.
    pub(super) pace: Pace<f32>,
    pub(super) sums: Sums,
    /// Sum over steps of the share of the scheduled rate, and steps left out.
    pub(super) rate: f64,
    pub(super) skipped: u32,
}

impl Learner {
    /// Adds the parts' gradients in their order; the square of the sum's norm, itself added span by span in order.
    pub(super) fn reduce(&mut self, range: Range<usize>, parts: &[PartResult]) -> f64 {
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

    /// Compares the policy's gradient with that of L_spat on what both pass through.
    pub(super) fn compare(&mut self, parts: &[PartResult]) {
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
    }

    /// Adds L_spat's gradient to the policy's; the square of the sum's norm.
    pub(super) fn join(&mut self) -> f64 {
        let [policy, ..] = self.net.layout.groups();
        let both = self.grads[policy.clone()].iter_mut().zip(&self.spatial[policy]);
        both.map(|(g, s)| {
            *g += s;
            f64::from(*g * *g)
        })
        .sum()
    }

    /// Clips and steps Adam (torch.optim.Adam) over one group.
    pub(super) fn step(
        &mut self,
        adam: &AdamStep,
        group: usize,
        range: Range<usize>,
        norm: f64,
        max_norm: f64,
    ) {
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
pub(in crate::learn) fn trunk(layout: &ExpertsLayout) -> Vec<Range<usize>> {
    match &layout.decision {
        Decision::Isolated { .. } => Vec::new(),
        Decision::Shared { gate, experts } => {
            let hidden = |e: &MlpLayout| e.offset..e.layers[e.layers.len() - 1].w_off;
            gate.iter().map(|g| g.offset..g.end()).chain(experts.iter().map(hidden)).collect()
        }
    }
}
