//! Rollouts: environments that a thread carries through policy, physics and advantages.

use super::gaussian::SampleGaussian;
use super::learner::Learner;
use crate::env::{At, StepSlices, TRUNCATED};
use crate::kernels::gae;
use crate::learn::PpoSpec;
use crate::nets::ActorCriticLayout;
use crate::nets::cpu::{Activations, forward};
use crate::nets::dense::{Strided, leading};
use crate::num::real::run_lanes;

/// Environments a thread carries through a rollout at once.
pub(super) const CHUNK: usize = 256;

/// A group of environments of one replica with its rollout. Arrays are `[T, envs, ·]`, `obs` and `value`
/// `[T+1, envs, ·]`.
pub(super) struct Chunk {
    /// Which environments; the clock is the rollout's.
    pub(super) at: At,
    pub(super) envs: usize,
    pub(super) state: Vec<f32>,
    pub(super) obs: Vec<f32>,
    pub(super) action: Vec<f32>,
    pub(super) logprob: Vec<f32>,
    pub(super) value: Vec<f32>,
    pub(super) reward: Vec<f32>,
    pub(super) flags: Vec<u32>,
    pub(super) final_obs: Vec<f32>,
    pub(super) final_value: Vec<f32>,
    /// What the loss needs of a sample beside observation and action.
    pub(super) scalars: Vec<Scalars>,
    /// Potentials of actor and critic before each slot, `[T, envs, width]`; empty where they are reset.
    pub(super) membrane: [Vec<f32>; 2],
    /// Sums over slots and environments of the metrics in learning curves.
    pub(super) sums: Vec<f64>,
    /// Sums, and of squares, of what values missed of the returns, and of the returns.
    pub(super) fit: [[f64; 2]; 2],
    /// Spikes of the actor's hidden layers, then the critic's; empty without spikes.
    pub(super) spikes: Vec<u64>,
}

/// Log-probability, advantage, return and value of a sample, in one cache line.
pub(super) type Scalars = [f32; 4];

pub(super) struct RolloutScratch {
    actor: Activations,
    critic: Activations,
    metrics: Vec<f32>,
}

impl RolloutScratch {
    pub(super) fn new(layout: &ActorCriticLayout, metrics: usize) -> Self {
        RolloutScratch {
            actor: Activations::forward_only(&layout.actor, CHUNK),
            critic: Activations::forward_only(&layout.critic, CHUNK),
            metrics: vec![0.0; metrics * CHUNK],
        }
    }
}

impl Chunk {
    pub(super) fn collect(
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
    pub(super) fn advantages(&mut self, spec: &PpoSpec) {
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
