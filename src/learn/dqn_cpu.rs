//! One replica of `dqn` on the CPU: ε-greedy choices, and the gradient of one minibatch.
//!
//! Q(o, c) = Σ_k Q_k(o, c_k), Q_k of the pair or the sum of its beam's and its level's; Huber loss of Q(o, c) − y, y =
//! r + γ(1 − terminated)·Σ_k max_c Q_k^target(o', c).

use super::off_policy::{Nets, OffPolicySpec};
use super::off_policy_memory_cpu::{BLOCK, Batch, Weights};
use crate::kernels::dqn_act;
use crate::nets::Codebook;
use crate::nets::dense::{
    Activations, Gradient, Packed, Strided, backward_hidden, forward, forward_hidden, leading,
};

/// Networks of a replica and the memory of their passes.
pub(super) struct DqnCpu {
    codebook: Codebook,
    q: Packed,
    target: Packed,
    acting: Activations,
    acts: Activations,
    grad: Gradient,
}

impl DqnCpu {
    pub fn new(spec: &OffPolicySpec, nets: &Nets, codebook: Codebook) -> Self {
        let net = &nets.policy;
        DqnCpu {
            codebook,
            q: Packed::new(net),
            target: Packed::new(net),
            acting: Activations::new(net, spec.common.envs),
            acts: Activations::new(net, BLOCK),
            grad: Gradient::new(net, BLOCK),
        }
    }

    /// Takes the weights.
    pub fn pack(&mut self, w: &Weights) {
        self.q.pack(&w.params);
        self.target.pack(&w.target);
    }

    /// Takes new online weights, which the targets follow.
    pub fn follow(&mut self, params: &[f32], tau: f32) {
        self.q.pack(params);
        self.target.blend(tau, &self.q);
    }

    /// Choices `[B, K]` of observations `[B, O]`, each uniform with probability `epsilon`, and the raw actions `[B, A]`
    /// that they mean.
    pub fn act(
        &mut self,
        key: [u32; 2],
        clock: u32,
        obs: &[f32],
        epsilon: f64,
        choice: &mut [f32],
        action: &mut [f32],
    ) {
        let (o, book) = (self.q.layout.inputs(), &self.codebook);
        let (k, l, h, a) = (book.factors, book.choices(), book.outputs(), book.actions());
        forward(&self.q, obs.len() / o, Strided { data: obs, row: o, col: 1 }, &mut self.acting);
        let threshold = dqn_act::threshold(epsilon);
        let outputs = self.acting.output().chunks(leading(k * h));
        for (env, ((q, choice), action)) in
            outputs.zip(choice.chunks_mut(k)).zip(action.chunks_mut(a)).enumerate()
        {
            for (vehicle, (q, choice)) in q.chunks_exact(h).zip(choice).enumerate() {
                let tried = dqn_act::explored(key, env as u32, clock, vehicle as u32, threshold, l as u32);
                let c = tried.map_or_else(|| book.greedy(q), |c| c as usize);
                *choice = c as f32;
                book.decode(vehicle, c, action);
            }
        }
    }

    /// Gradient of the loss into `grads`; the loss.
    pub fn gradients(&mut self, gamma: f32, batch: &Batch, grads: &mut [f32]) -> f64 {
        let (o, book) = (self.q.layout.inputs(), &self.codebook);
        let (k, l) = (book.factors, book.outputs());
        let (ldx, ldq) = (leading(o), leading(k * l));
        let m = batch.scalars.len();
        let inv_m = 1.0 / m as f32;
        let mut total = 0.0;
        let mut targets = [0f32; BLOCK];
        self.grad.clear();
        for lo in (0..m).step_by(BLOCK) {
            let hi = m.min(lo + BLOCK);
            let rows = hi - lo;
            let strided = |data| Strided { data, row: ldx, col: 1 };
            let (obs, next) = (&batch.obs[lo * ldx..hi * ldx], &batch.next[lo * ldx..hi * ldx]);
            forward(&self.target, rows, strided(next), &mut self.acts);
            for (i, y) in targets[..rows].iter_mut().enumerate() {
                let q = &self.acts.output()[i * ldq..];
                let best: f32 = q.chunks_exact(l).take(k).map(|q| book.best(q)).sum();
                let [reward, goes_on] = batch.scalars[lo + i];
                *y = reward + gamma * goes_on * best;
            }
            // Only K of the outputs, or twice as many, have a part in the loss, so the last layer is done output by
            // output.
            forward_hidden(&self.q, rows, strided(obs), &mut self.acts);
            let hidden = self.acts.layers.iter().rev().nth(1).expect("a hidden layer");
            let ldh = hidden.len() / BLOCK;
            let mut loss = 0f32;
            for (i, y) in targets[..rows].iter().enumerate() {
                let h = &hidden[i * ldh..(i + 1) * ldh];
                let choice = &batch.action[(lo + i) * k..(lo + i + 1) * k];
                let outputs = choice
                    .iter()
                    .enumerate()
                    .flat_map(|(vehicle, c)| book.parts_of(*c as usize).map(move |part| vehicle * l + part));
                let mut value = 0f32;
                for o in outputs.clone() {
                    let (w, bias) = self.q.output(o);
                    value += dot(h, w) + bias;
                }
                let error = value - y;
                loss += if error.abs() < 1.0 { 0.5 * error * error } else { error.abs() - 0.5 };
                let d = error.clamp(-1.0, 1.0) * inv_m;
                let below = self.grad.d.layers.iter_mut().rev().nth(1).expect("a hidden layer");
                let below = &mut below[i * ldh..(i + 1) * ldh];
                below.fill(0.0);
                for o in outputs.clone() {
                    below.iter_mut().zip(self.q.output(o).0).for_each(|(b, w)| *b += d * w);
                }
                // ReLU
                below.iter_mut().zip(h).for_each(|(b, h)| *b = if *h > 0.0 { *b } else { 0.0 });
                outputs.for_each(|o| self.grad.add_output(o, d, h));
            }
            total += f64::from(loss * inv_m);
            backward_hidden(&self.q, rows, obs, &self.acts, &mut self.grad);
        }
        self.grad.write_to(&self.q.layout, grads);
        total
    }
}

/// Σ a·b over vectors whose length is a multiple of 16, in sixteen sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum()
}
