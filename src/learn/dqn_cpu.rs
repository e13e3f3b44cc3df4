//! One replica of `dqn` on the CPU: ε-greedy choices, and the gradient of one minibatch.
//!
//! Q(o, c) = Σ_k Q_k(o, c_k); Huber loss of Q(o, c) − y, y = r + γ(1 − terminated)·Σ_k max_c Q_k^target(o', c).

use super::off_policy::{Nets, OffPolicySpec};
use super::off_policy_cpu::{BLOCK, Batch, Weights};
use crate::kernels::dqn_act;
use crate::policy::Codebook;
use crate::policy::codebook::argmax;
use crate::policy::dense::{Activations, Gradient, Packed, Strided, backward, forward, leading};

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

    /// Takes the weights after they have changed.
    pub fn pack(&mut self, w: &Weights) {
        self.q.pack(&w.params);
        self.target.pack(&w.target);
    }

    /// Choices [B, K] of observations [B, O], each uniform with probability `epsilon`, and the raw actions [B, A] that they mean.
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
        let (k, l, a) = (book.vehicles, book.choices(), book.actions());
        forward(&self.q, obs.len() / o, Strided { data: obs, row: o, col: 1 }, &mut self.acting);
        let threshold = dqn_act::threshold(epsilon);
        let outputs = self.acting.output().chunks(leading(k * l));
        for (env, ((q, choice), action)) in
            outputs.zip(choice.chunks_mut(k)).zip(action.chunks_mut(a)).enumerate()
        {
            for (vehicle, (q, choice)) in q.chunks_exact(l).zip(choice).enumerate() {
                let tried = dqn_act::explored(key, env as u32, clock, vehicle as u32, threshold, l as u32);
                let c = tried.map_or_else(|| argmax(q), |c| c as usize);
                *choice = c as f32;
                book.decode(vehicle, c, action);
            }
        }
    }

    /// Gradient of the loss into `grads`; the loss.
    pub fn gradients(&mut self, spec: &OffPolicySpec, batch: &Batch, grads: &mut [f32]) -> f64 {
        let (o, k, l) = (self.q.layout.inputs(), self.codebook.vehicles, self.codebook.choices());
        let (ldx, ldq) = (leading(o), leading(k * l));
        let m = spec.common.minibatch;
        let (inv_m, gamma) = (1.0 / m as f32, spec.common.gamma as f32);
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
                let best: f32 = q.chunks_exact(l).take(k).map(largest).sum();
                let [reward, goes_on] = batch.scalars[lo + i];
                *y = reward + gamma * goes_on * best;
            }
            forward(&self.q, rows, strided(obs), &mut self.acts);
            let d = self.grad.d.layers.last_mut().expect("a network has layers");
            let mut loss = 0f32;
            for (i, (y, choice)) in
                targets[..rows].iter().zip(batch.action[lo * k..hi * k].chunks_exact(k)).enumerate()
            {
                let q = &self.acts.output()[i * ldq..];
                let taken = |(vehicle, c): (usize, &f32)| vehicle * l + *c as usize;
                let error = choice.iter().enumerate().map(|c| q[taken(c)]).sum::<f32>() - y;
                loss += if error.abs() < 1.0 { 0.5 * error * error } else { error.abs() - 0.5 };
                let d = &mut d[i * ldq..(i + 1) * ldq];
                d.fill(0.0);
                for c in choice.iter().enumerate() {
                    d[taken(c)] = error.clamp(-1.0, 1.0) * inv_m;
                }
            }
            total += f64::from(loss * inv_m);
            backward(&self.q, rows, obs, &self.acts, &mut self.grad);
        }
        self.grad.write_to(&self.q.layout, grads);
        total
    }
}

fn largest(q: &[f32]) -> f32 {
    q.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
