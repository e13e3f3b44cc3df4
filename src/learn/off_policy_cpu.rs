//! The off-policy agents on the CPU: f32, vector lanes; replicas side by side on all cores. A replica's own work is
//! sequential, so a run repeats bit for bit whatever the number of threads.

use super::adam::AdamStep;
use super::ddpg_cpu::DdpgCpu;
use super::dqn_cpu::DqnCpu;
use super::off_policy::{Method, OffPolicySpec};
use super::off_policy_memory_cpu::{Batch, Weights};
use super::replay::{Row, filled, sample};
use super::{LearnerState, OffPolicy, UpdateMetrics};
use crate::env::{At, Slot, TRUNCATED};
use crate::gpu::GpuError;
use crate::kernels::polyak::polyak_cpu;
use crate::nets::dense::leading;
use rayon::prelude::*;

enum Agent {
    Ddpg(Box<DdpgCpu>),
    Dqn(Box<DqnCpu>),
}

/// One replica: its environments, replay and learner. Arrays over environments are `[B, ·]`.
struct Worker {
    /// All environments of the replica; the clock is the slot's.
    at: At,
    /// Before the slot; what it leaves is in `slot`.
    obs: Vec<f32>,
    slot: Slot,
    action: Vec<f32>,
    /// What the replay keeps of an action where it is not the raw one.
    choice: Vec<f32>,
    /// `[capacity, W]`
    replay: Vec<f32>,
    batch: Batch,
    weights: Weights,
    agent: Agent,
    /// Sums over slots and environments of the metrics in learning curves.
    slot_sums: Vec<f64>,
    /// Sums over gradient steps of policy loss, value loss, gradient norms.
    step_sums: [f64; 4],
}

/// `ddpg` or `dqn` for R replicas on the CPU.
pub struct OffPolicyCpu {
    spec: OffPolicySpec,
    split: usize,
    workers: Vec<Worker>,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: u32,
}

impl OffPolicyCpu {
    /// Allocates everything and resets the environments, whose episodes end with an update.
    pub fn new(spec: &OffPolicySpec, start: &LearnerState) -> Self {
        let nets = spec.nets();
        let (p, b, m, row) = (nets.params(), spec.common.envs, spec.common.minibatch, spec.row());
        let sizes = spec.env.sizes();
        let (o, a) = (sizes.obs, sizes.action);
        let ring = spec.common.capacity * row.width();
        let clock = start.updates * sizes.slots as u32;
        let worker = |r: usize| {
            let at = At { replica: r, key: spec.env.key(r), first: 0, envs: b, clock };
            let of = |x: &[f32], n: usize| x[r * n..(r + 1) * n].to_vec();
            let agent = match (&spec.method, &nets.critic) {
                (Method::Ddpg { scale }, Some(critic)) => {
                    Agent::Ddpg(Box::new(DdpgCpu::new(spec, &nets, critic, *scale as f32)))
                }
                (Method::Ddpg { .. }, None) => unreachable!("ddpg has a critic"),
                (Method::Dqn(codebook), _) => {
                    Agent::Dqn(Box::new(DqnCpu::new(spec, &nets, codebook.clone())))
                }
            };
            let mut w = Worker {
                at,
                obs: vec![0.0; b * o],
                slot: Slot::filled(vec![0.0; sizes.state * b], [b * o, b * o, b, sizes.metrics * b], 0.0),
                action: vec![0.0; b * a],
                choice: vec![0.0; b * row.action],
                replay: of(&start.extra[1].data, ring),
                batch: Batch {
                    obs: vec![0.0; m * leading(o)],
                    next: vec![0.0; m * leading(o)],
                    action: vec![0.0; m * row.action],
                    scalars: vec![[0.0; 2]; m],
                },
                weights: Weights {
                    params: of(&start.params, p),
                    target: of(&start.extra[0].data, p),
                    m: of(&start.m, p),
                    v: of(&start.v, p),
                    grads: vec![0.0; p],
                },
                agent,
                slot_sums: vec![0.0; spec.env.curve().len()],
                step_sums: [0.0; 4],
            };
            w.pack();
            spec.env.reset(&at, &mut w.slot.state, &mut w.obs);
            w
        };
        let workers = (0..spec.env.replicas()).into_par_iter().map(worker).collect();
        OffPolicyCpu {
            spec: spec.clone(),
            split: nets.split(),
            workers,
            adam_steps: start.adam_steps,
            steps: 0,
        }
    }
}

impl OffPolicy for OffPolicyCpu {
    fn collect(&mut self, clock: u32, exploration: &[f64]) -> Result<(), GpuError> {
        let spec = &self.spec;
        let each = self.workers.par_iter_mut().zip(exploration);
        each.for_each(|(w, exploration)| w.collect(spec, clock, *exploration));
        Ok(())
    }

    fn store(&mut self, clock: u32) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.workers.par_iter_mut().for_each(|w| w.store(spec, clock));
        Ok(())
    }

    fn minibatch(&mut self, clock: u32, step: u32, lr: &[[f64; 2]]) -> Result<(), GpuError> {
        self.adam_steps += 1;
        self.steps += 1;
        let (spec, row) = (&self.spec, self.spec.row());
        let n = filled(clock, spec.ring_slots(), spec.common.envs) as u32;
        let (t, split) = (self.adam_steps, self.split);
        self.workers.par_iter_mut().zip(lr).for_each(|(w, lr)| {
            w.gather(row, clock, step, n);
            w.learn(spec, &AdamStep::new(&spec.adam(w.at.replica, *lr), t, split));
        });
        Ok(())
    }

    fn targets(&mut self) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.workers.par_iter_mut().for_each(|w| w.targets(spec.of(w.at.replica).tau as f32));
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let (slots, steps) = (self.spec.samples() as f64, std::mem::take(&mut self.steps));
        let has_actor = matches!(self.spec.method, Method::Ddpg { .. });
        let metrics = |w: &mut Worker| {
            let means = w.slot_sums.iter_mut().map(|sum| std::mem::take(sum) / slots);
            let [policy, value, actor, critic] =
                std::mem::take(&mut w.step_sums).map(|x| x / f64::from(steps));
            let of_actor = |x: f64| if has_actor { x } else { f64::NAN };
            UpdateMetrics {
                slots: means.collect(),
                gradient_steps: steps,
                policy_loss: of_actor(policy),
                value_loss: value,
                grad_norm_actor: of_actor(actor),
                grad_norm_critic: critic,
                ..UpdateMetrics::absent()
            }
        };
        let out: Vec<_> = self.workers.iter_mut().map(metrics).collect();
        Ok(read.then_some(out))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let all =
            |f: fn(&Worker) -> &Vec<f32>| self.workers.iter().flat_map(|w| f(w).iter().copied()).collect();
        Ok(LearnerState {
            params: all(|w| &w.weights.params),
            m: all(|w| &w.weights.m),
            v: all(|w| &w.weights.v),
            adam_steps: self.adam_steps,
            updates,
            extra: self.spec.extra(all(|w| &w.weights.target), all(|w| &w.replay)),
        })
    }
}

impl Worker {
    fn pack(&mut self) {
        match &mut self.agent {
            Agent::Ddpg(x) => x.pack(&self.weights),
            Agent::Dqn(x) => x.pack(&self.weights),
        }
    }

    /// One slot of every environment under the exploring policy.
    fn collect(&mut self, spec: &OffPolicySpec, clock: u32, exploration: f64) {
        let at = At { clock, ..self.at };
        let (key, b) = (at.key, at.envs);
        match &mut self.agent {
            Agent::Ddpg(x) => {
                x.act(key, clock, &self.obs, exploration as f32, &mut self.action);
                self.choice.copy_from_slice(&self.action);
            }
            Agent::Dqn(x) => x.act(key, clock, &self.obs, exploration, &mut self.choice, &mut self.action),
        }
        self.slot.step(&*spec.env, &at, &self.action, false);
        for (sum, row) in self.slot_sums.iter_mut().zip(spec.env.curve()) {
            *sum += f64::from(self.slot.metrics[row * b..(row + 1) * b].iter().sum::<f32>());
        }
    }

    /// The slot's transitions into the ring.
    fn store(&mut self, spec: &OffPolicySpec, clock: u32) {
        let (row, b) = (spec.row(), spec.common.envs);
        let (w, slot) = (row.width(), clock as usize % spec.ring_slots());
        let scale = spec.of(self.at.replica).reward_scale as f32;
        for (env, to) in self.replay[slot * b * w..(slot + 1) * b * w].chunks_exact_mut(w).enumerate() {
            // An episode's last transition leads to its own last observation, not to the fresh one behind it.
            let Slot { final_obs, obs: next_obs, reward, flags, .. } = &self.slot;
            let next = if flags[env] & TRUNCATED != 0 { final_obs } else { next_obs };
            let of = |n: usize| env * n..(env + 1) * n;
            row.put(
                to,
                &self.obs[of(row.obs)],
                &self.choice[of(row.action)],
                &next[of(row.obs)],
                scale * reward[env],
                flags[env],
            );
        }
        std::mem::swap(&mut self.obs, &mut self.slot.obs);
    }

    fn gather(&mut self, row: Row, clock: u32, step: u32, filled: u32) {
        let (w, o, d, ldx) = (row.width(), row.obs, row.action, leading(row.obs));
        let (batch, key) = (&mut self.batch, self.at.key);
        for block in 0..batch.scalars.len().div_ceil(4) {
            for (j, index) in sample(key, clock, step, block as u32, filled).into_iter().enumerate() {
                let i = 4 * block + j;
                if i == batch.scalars.len() {
                    return;
                }
                let from = &self.replay[index as usize * w..][..w];
                batch.obs[i * ldx..][..o].copy_from_slice(&from[..o]);
                batch.action[i * d..][..d].copy_from_slice(&from[o..row.next()]);
                batch.next[i * ldx..][..o].copy_from_slice(&from[row.next()..row.scalars()]);
                batch.scalars[i] = [from[row.scalars()], from[row.scalars() + 1]];
            }
        }
    }

    /// Gradients, clipping and Adam. A gradient that is not finite changes nothing, so that one diverging replica stays
    /// visible without spreading.
    fn learn(&mut self, spec: &OffPolicySpec, adam: &AdamStep) {
        let w = &mut self.weights;
        let numbers = spec.of(self.at.replica);
        let losses = match &mut self.agent {
            Agent::Ddpg(x) => x.gradients(numbers.gamma as f32, &self.batch, &mut w.grads),
            Agent::Dqn(x) => [0.0, x.gradients(numbers.gamma as f32, &self.batch, &mut w.grads)],
        };
        let groups = [0..adam.split, adam.split..w.grads.len()];
        let norms = groups.clone().map(|range| {
            let squares =
                w.grads[range].chunks(1024).map(|g| f64::from(g.iter().map(|x| x * x).sum::<f32>()));
            squares.sum::<f64>().sqrt()
        });
        // A single network is the first group; its norm is reported as the critic's.
        let reported = if groups[1].is_empty() { [0.0, norms[0]] } else { norms };
        for (sum, x) in self.step_sums.iter_mut().zip(losses.into_iter().chain(reported)) {
            *sum += x;
        }
        if !norms.iter().all(|n| n.is_finite()) {
            return;
        }
        let max = numbers.max_grad_norm;
        for (group, range) in groups.into_iter().enumerate() {
            let scale = if max > 0.0 { (max / (norms[group] + 1e-6)).min(1.0) as f32 } else { 1.0 };
            let (m, v, p) = (&mut w.m[range.clone()], &mut w.v[range.clone()], &mut w.params[range.clone()]);
            adam.run(group, scale, &w.grads[range], m, v, p);
        }
    }

    /// target ← τ·online + (1 − τ)·target, in the flat vectors and in what the networks run on.
    fn targets(&mut self, tau: f32) {
        let w = &mut self.weights;
        polyak_cpu(tau, &w.params, &mut w.target);
        match &mut self.agent {
            Agent::Ddpg(x) => x.follow(&w.params, tau),
            Agent::Dqn(x) => x.follow(&w.params, tau),
        }
    }
}
