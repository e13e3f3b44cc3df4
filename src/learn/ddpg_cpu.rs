//! One replica of `ddpg` on the CPU: acting with noise, and the gradients of one minibatch.
//!
//! critic: mean (Q(o, a) − y)², y = r + γ(1 − terminated)·Q_t(o', μ_t(o')); actor: −mean Q(o, μ(o)) through the same,
//! not yet updated critic.

use super::off_policy::{Nets, OffPolicySpec};
use super::off_policy_memory_cpu::{BLOCK, Batch, Weights};
use crate::kernels::ddpg_act;
use crate::nets::MlpLayout;
use crate::nets::dense::{
    Activations, Gradient, Packed, Strided, backward, backward_input, forward, leading,
};
use crate::num::real::Real;

/// Networks of a replica and the memory of their passes.
pub(super) struct DdpgCpu {
    critic_layout: MlpLayout,
    scale: f32,
    actor: Packed,
    critic: Packed,
    actor_target: Packed,
    critic_target: Packed,
    acting: Activations,
    actor_acts: Activations,
    critic_acts: Activations,
    d_actor: Gradient,
    d_critic: Gradient,
    /// Input of the critic and its gradient, `[BLOCK, leading(O + A)]`.
    input: Vec<f32>,
    d_input: Vec<f32>,
}

impl DdpgCpu {
    pub fn new(spec: &OffPolicySpec, nets: &Nets, critic: &MlpLayout, scale: f32) -> Self {
        let input = vec![0.0; BLOCK * leading(critic.inputs())];
        DdpgCpu {
            critic_layout: critic.clone(),
            scale,
            actor: Packed::new(&nets.policy),
            critic: Packed::new(critic),
            actor_target: Packed::new(&nets.policy),
            critic_target: Packed::new(critic),
            acting: Activations::new(&nets.policy, spec.common.envs),
            actor_acts: Activations::new(&nets.policy, BLOCK),
            critic_acts: Activations::new(critic, BLOCK),
            d_actor: Gradient::new(&nets.policy, BLOCK),
            d_critic: Gradient::new(critic, BLOCK),
            d_input: input.clone(),
            input,
        }
    }

    /// Takes new online weights, which the targets follow.
    pub fn follow(&mut self, params: &[f32], tau: f32) {
        self.actor.pack(params);
        self.critic.pack(params);
        self.actor_target.blend(tau, &self.actor);
        self.critic_target.blend(tau, &self.critic);
    }

    /// Takes the weights.
    pub fn pack(&mut self, w: &Weights) {
        self.actor.pack(&w.params);
        self.critic.pack(&w.params);
        self.actor_target.pack(&w.target);
        self.critic_target.pack(&w.target);
    }

    /// Actions `[B, A]` of observations `[B, O]` under noise of standard deviation `noise`.
    pub fn act(&mut self, key: [u32; 2], clock: u32, obs: &[f32], noise: f32, action: &mut [f32]) {
        let (o, a) = (self.actor.layout.inputs(), self.actor.layout.outputs());
        let envs = obs.len() / o;
        forward(&self.actor, envs, Strided { data: obs, row: o, col: 1 }, &mut self.acting);
        let outputs = self.acting.output().chunks(leading(a));
        for (env, (z, action)) in outputs.zip(action.chunks_mut(a)).enumerate() {
            ddpg_act::act(key, env as u32, clock, self.scale, noise, &z[..a], action);
        }
    }

    /// μ(z) = scale·tanh(z) behind the observations in the critic's input.
    fn put_policy(&mut self, rows: usize, obs: &[f32]) {
        let (o, a) = (self.actor.layout.inputs(), self.actor.layout.outputs());
        let (ldx, lda, ldc) = (leading(o), leading(a), leading(o + a));
        for i in 0..rows {
            let row = &mut self.input[i * ldc..][..o + a];
            row[..o].copy_from_slice(&obs[i * ldx..][..o]);
            for (x, z) in row[o..].iter_mut().zip(&self.actor_acts.output()[i * lda..]) {
                *x = self.scale * Real::tanh(*z);
            }
        }
    }

    /// Gradients of both losses into `grads`; [policy loss, critic loss].
    pub fn gradients(&mut self, gamma: f32, batch: &Batch, grads: &mut [f32]) -> [f64; 2] {
        let (o, a) = (self.actor.layout.inputs(), self.actor.layout.outputs());
        let (ldx, lda, ldc, ldq) = (leading(o), leading(a), leading(o + a), leading(1));
        let m = batch.scalars.len();
        let inv_m = 1.0 / m as f32;
        let mut losses = [0.0; 2];
        let mut targets = [0f32; BLOCK];
        self.d_actor.clear();
        self.d_critic.clear();
        for lo in (0..m).step_by(BLOCK) {
            let hi = m.min(lo + BLOCK);
            let rows = hi - lo;
            let strided = |data| Strided { data, row: ldx, col: 1 };
            let (obs, next) = (&batch.obs[lo * ldx..hi * ldx], &batch.next[lo * ldx..hi * ldx]);

            // y = r + γ(1 − terminated)·Q_t(o', μ_t(o'))
            forward(&self.actor_target, rows, strided(next), &mut self.actor_acts);
            self.put_policy(rows, next);
            let input = Strided { data: &self.input, row: ldc, col: 1 };
            forward(&self.critic_target, rows, input, &mut self.critic_acts);
            for (i, y) in targets[..rows].iter_mut().enumerate() {
                let [reward, goes_on] = batch.scalars[lo + i];
                *y = reward + gamma * goes_on * self.critic_acts.output()[i * ldq];
            }

            // mean (Q(o, a) − y)²
            for (i, action) in batch.action[lo * a..hi * a].chunks_exact(a).enumerate() {
                let row = &mut self.input[i * ldc..][..o + a];
                row[..o].copy_from_slice(&obs[i * ldx..][..o]);
                row[o..].copy_from_slice(action);
            }
            let input = Strided { data: &self.input, row: ldc, col: 1 };
            forward(&self.critic, rows, input, &mut self.critic_acts);
            let d = self.d_critic.d.layers.last_mut().expect("a network has layers");
            let mut loss = 0f32;
            for (i, y) in targets[..rows].iter().enumerate() {
                let error = self.critic_acts.output()[i * ldq] - y;
                loss += error * error;
                d[i * ldq..(i + 1) * ldq].fill(0.0);
                d[i * ldq] = 2.0 * error * inv_m;
            }
            losses[1] += f64::from(loss * inv_m);
            backward(&self.critic, rows, &self.input, &self.critic_acts, &mut self.d_critic);

            // −mean Q(o, μ(o))
            forward(&self.actor, rows, strided(obs), &mut self.actor_acts);
            self.put_policy(rows, obs);
            let input = Strided { data: &self.input, row: ldc, col: 1 };
            forward(&self.critic, rows, input, &mut self.critic_acts);
            let d = self.d_critic.d.layers.last_mut().expect("a network has layers");
            let mut sum = 0f32;
            for i in 0..rows {
                sum += self.critic_acts.output()[i * ldq];
                d[i * ldq] = -inv_m;
            }
            losses[0] -= f64::from(sum * inv_m);
            backward_input(&self.critic, rows, &self.critic_acts, &mut self.d_critic, &mut self.d_input);
            let d = self.d_actor.d.layers.last_mut().expect("a network has layers");
            for i in 0..rows {
                d[i * lda..(i + 1) * lda].fill(0.0);
                for j in 0..a {
                    // dμ/dz = scale·(1 − tanh²)
                    let t = self.input[i * ldc + o + j] / self.scale;
                    d[i * lda + j] = self.d_input[i * ldc + o + j] * self.scale * (1.0 - t * t);
                }
            }
            backward(&self.actor, rows, obs, &self.actor_acts, &mut self.d_actor);
        }
        self.d_actor.write_to(&self.actor.layout, grads);
        self.d_critic.write_to(&self.critic_layout, grads);
        losses
    }
}
