//! The off-policy agents on the GPU: every kernel is bound to its buffers once; slots, replay, gradient steps and
//! targets follow each other on the device without a host round trip, and the host reads one small block of sums when
//! it asks for metrics.
//!
//! Same draws and formulas as [`super::off_policy_cpu`]; sums run in another order, so results agree by tolerance.

use super::network::{Forward, Rows};
use super::off_policy::{Method, OffPolicySpec};
use super::off_policy_step_gpu::{Loss, OffPolicyStep, Spec as StepSpec, StepMetrics};
use super::replay::filled;
use super::{LearnerState, OffPolicy, UpdateMetrics};
use crate::env::{EnvBuffers, EnvGpu, Sizes, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::{ddpg_act, dqn_act, metrics_reduce, replay_gather, replay_write};
use std::sync::Arc;

enum Act {
    Ddpg { bound: ddpg_act::DdpgActBound, scale: f32, noise: Buf<f32> },
    Dqn { bound: dqn_act::DqnActBound, thresholds: Buf<u32> },
}

/// `ddpg` or `dqn` for R replicas on a GPU.
pub struct OffPolicyGpu {
    gpu: Arc<Gpu>,
    spec: OffPolicySpec,
    sizes: Sizes,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: usize,
    /// Exploration and learning rates of each replica that the device has; empty before the first.
    exploration: Vec<f64>,
    lr: Vec<[f64; 2]>,
    /// `[T, R, rows, 2]`
    slot_sums: Buf<f32>,
    /// `[R, capacity, W]`
    replay: Buf<f32>,

    env: Box<dyn EnvGpu>,
    policy: Forward,
    act: Act,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    write: replay_write::ReplayWriteBound,
    gather: replay_gather::ReplayGatherBound,
    learn: OffPolicyStep,
}

impl OffPolicyGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the replay.
    pub fn new(gpu: Arc<Gpu>, spec: &OffPolicySpec, start: &LearnerState) -> Result<Self, GpuError> {
        let (nets, row, sizes) = (spec.nets(), spec.row(), spec.env.sizes());
        let (r, b, m, t) = (spec.env.replicas(), spec.common.envs, spec.common.minibatch, sizes.slots);
        let (o, a, p, rows) = (sizes.obs, sizes.action, nets.params(), sizes.metrics);
        let g = &*gpu;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);

        let loss = match &spec.method {
            Method::Ddpg { scale } => Loss::Ddpg { scale: *scale as f32 },
            Method::Dqn(book) => {
                Loss::Dqn { k: book.factors, l: book.outputs(), split: book.split(), huber: true }
            }
        };
        let step_spec = StepSpec {
            nets: nets.clone(),
            loss,
            r,
            m,
            d: row.action,
            gamma: spec.each_of(|n| n.gamma),
            tau: spec.each_of(|n| n.tau),
            steps: spec.steps(),
        };
        let learn = OffPolicyStep::new(g, &step_spec, start)?;

        let keys: Vec<_> = (0..r).map(|r| spec.env.key(r)).collect();
        let keys = g.upload("off_policy.keys", &[r], &keys)?;

        // A slot. Observations before and behind it change places from slot to slot.
        let flags = g.alloc::<u32>("slot.flags", &[r, b], Fill::Zero)?;
        zeros!(g, "slot": state[r, sizes.state, b], obs[2, r, b, o], final_obs[r, b, o], action[r, b, a], reward[r, b],
            metrics[r, rows, b]);
        zeros!(g, "update": slot_sums[t, r, rows, 2]);
        let acts = nets.policy.layers.iter().enumerate();
        let acts = acts
            .map(|(i, l)| zero(&format!("slot.h{}", i + 1), &[r, b, l.outputs]))
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = acts.last().expect("a network has layers");
        let replay = g.upload("replay", &[r, spec.common.capacity, row.width()], &start.extra[1].data)?;

        let mut choice = None;
        let act = match &spec.method {
            Method::Ddpg { scale } => {
                zeros!(g, "off_policy": noise[r]);
                let kernel = ddpg_act::DdpgAct::new(g, &ddpg_act::Spec { r, b, a })?;
                let bound = kernel.bind(g, &keys, &noise, outputs, &action);
                Act::Ddpg { bound, scale: *scale as f32, noise }
            }
            Method::Dqn(codebook) => {
                let thresholds = g.alloc::<u32>("off_policy.thresholds", &[r], Fill::Zero)?;
                let flat = codebook.flat();
                let book = g.upload("off_policy.codebook", &[flat.len()], &flat)?;
                let choice = choice.insert(zero("slot.choice", &[r, b, codebook.factors])?);
                let kernel = dqn_act::DqnAct::new(g, &dqn_act::Spec { r, b, codebook: codebook.clone() })?;
                let bound = kernel.bind(g, &keys, &thresholds, outputs, &book, choice, &action);
                Act::Dqn { bound, thresholds }
            }
        };
        let reward_scale = g.upload("off_policy.reward_scale", &[r], &spec.each_of(|n| n.reward_scale))?;
        let stored = choice.as_ref().unwrap_or(&action);
        let write = replay_write::Spec { r, b, c: spec.ring_slots(), row };
        let gather = replay_gather::Spec { r, capacity: spec.common.capacity, row, m };
        let buffers = EnvBuffers {
            action: &action,
            state: &state,
            obs: &obs,
            final_obs: &final_obs,
            reward: &reward,
            flags: &flags,
            metrics: &metrics,
        };
        let reduce =
            metrics_reduce::MetricsReduce::new(g, &metrics_reduce::Spec { r, metric_rows: rows, b })?;
        let write = replay_write::ReplayWrite::new(g, &write)?;
        let gather = replay_gather::ReplayGather::new(g, &gather)?;
        let (size, acts) = (Rows { r, m: b, p }, acts.iter().collect::<Vec<_>>());
        let this = OffPolicyGpu {
            env: spec.env.bind(g, b, &buffers)?,
            policy: Forward::new(g, &nets.policy, size, &learn.params, &obs, &acts)?,
            act,
            slot_reduce: reduce.bind(g, &metrics, &slot_sums),
            write: write.bind(g, &reward_scale, &obs, &final_obs, stored, &reward, &flags, &replay),
            gather: gather.bind(g, &keys, &replay, &learn.obs, &learn.action, &learn.next, &learn.scalars),
            learn,
            adam_steps: start.adam_steps,
            steps: 0,
            exploration: Vec::new(),
            lr: Vec::new(),
            slot_sums,
            replay,
            spec: spec.clone(),
            sizes,
            gpu,
        };
        let clock = start.updates * t as u32;
        let obs_off = this.obs_off(clock);
        this.submit(|pass| this.env.reset(pass, clock, 0, obs_off));
        Ok(this)
    }

    /// Where the observations before slot `clock` are.
    fn obs_off(&self, clock: u32) -> usize {
        (clock % 2) as usize * self.spec.env.replicas() * self.spec.common.envs * self.sizes.obs
    }

    /// Records into one compute pass and submits without waiting.
    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut enc = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([enc.finish()]);
    }
}

impl OffPolicy for OffPolicyGpu {
    fn collect(&mut self, clock: u32, exploration: &[f64]) -> Result<(), GpuError> {
        // It holds for an update, and a write of it would split the stream of commands.
        if self.exploration != exploration {
            match &self.act {
                Act::Ddpg { noise, .. } => {
                    self.gpu.write(noise, &exploration.iter().map(|x| *x as f32).collect::<Vec<_>>())
                }
                Act::Dqn { thresholds, .. } => {
                    let each = exploration.iter().map(|x| dqn_act::threshold(*x));
                    self.gpu.write(thresholds, &each.collect::<Vec<_>>())
                }
            }
            self.exploration = exploration.to_vec();
        }
        let (r, b) = (self.spec.env.replicas(), self.spec.common.envs);
        let Sizes { slots: t, metrics: rows, .. } = self.sizes;
        self.submit(|pass| {
            self.policy.record(pass, b, self.obs_off(clock), 0);
            match &self.act {
                Act::Ddpg { bound, scale, .. } => {
                    bound.record(pass, &ddpg_act::Args { clock, scale: *scale })
                }
                Act::Dqn { bound, .. } => bound.record(pass, &dqn_act::Args { clock }),
            }
            let step =
                StepArgs { clock, obs_off: self.obs_off(clock + 1), full: true, ..StepArgs::default() };
            self.env.step(pass, &step);
            let sums_off = clock as usize % t * r * rows * 2;
            self.slot_reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off });
        });
        Ok(())
    }

    fn store(&mut self, clock: u32) -> Result<(), GpuError> {
        let args = replay_write::Args {
            slot: clock as usize % self.spec.ring_slots(),
            obs_off: self.obs_off(clock),
            next_off: self.obs_off(clock + 1),
        };
        self.submit(|pass| self.write.record(pass, &args));
        Ok(())
    }

    fn minibatch(&mut self, clock: u32, step: u32, lr: &[[f64; 2]]) -> Result<(), GpuError> {
        // As of exploration.
        if self.lr != lr {
            let hyper = lr.iter().enumerate().map(|(r, lr)| self.spec.adam(r, *lr));
            self.learn.optimiser(&self.gpu, &hyper.collect::<Vec<_>>());
            self.lr = lr.to_vec();
        }
        // The betas, which the bias corrections are made of, are those of all replicas.
        let hyper = self.spec.adam(0, [0.0; 2]);
        self.adam_steps += 1;
        let row = self.steps;
        self.steps += 1;
        let n = filled(clock, self.spec.ring_slots(), self.spec.common.envs);
        self.submit(|pass| {
            self.gather.record(pass, &replay_gather::Args { clock, step, filled: n });
            self.learn.record(pass, &hyper, self.adam_steps, row);
        });
        Ok(())
    }

    fn targets(&mut self) -> Result<(), GpuError> {
        self.submit(|pass| self.learn.record_targets(pass));
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let steps = std::mem::take(&mut self.steps);
        if !read {
            // Bounds what is in flight; nothing is read.
            let done = self.gpu.queue.submit([]);
            self.gpu.wait(done)?;
            return Ok(None);
        }
        let r = self.spec.env.replicas();
        let Sizes { slots: t, metrics: rows, .. } = self.sizes;
        let slots = self.gpu.read(&self.slot_sums)?;
        let steps = self.learn.metrics(&self.gpu, steps)?;
        let out = (0..r)
            .map(|k| {
                let slot_mean = |row: &usize| {
                    let sum: f64 = (0..t).map(|t| f64::from(slots[((t * r + k) * rows + row) * 2])).sum();
                    sum / self.spec.samples() as f64
                };
                let mean = |of: fn(&StepMetrics) -> f64| {
                    steps.iter().map(|s| of(&s[k])).sum::<f64>() / steps.len() as f64
                };
                let (actor, critic) = match self.spec.method {
                    Method::Ddpg { .. } => (mean(|s| s.norms[0]), mean(|s| s.norms[1])),
                    // A single network is the first group; its norm is reported as the critic's.
                    Method::Dqn(_) => (f64::NAN, mean(|s| s.norms[0])),
                };
                UpdateMetrics {
                    slots: self.spec.env.curve().iter().map(slot_mean).collect(),
                    gradient_steps: steps.len() as u32,
                    policy_loss: mean(|s| s.policy_loss),
                    value_loss: mean(|s| s.value_loss),
                    grad_norm_actor: actor,
                    grad_norm_critic: critic,
                    ..UpdateMetrics::absent()
                }
            })
            .collect();
        Ok(Some(out))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let (target, replay) = (self.gpu.read(&self.learn.target)?, self.gpu.read(&self.replay)?);
        Ok(LearnerState {
            params: self.gpu.read(&self.learn.params)?,
            m: self.gpu.read(&self.learn.m)?,
            v: self.gpu.read(&self.learn.v)?,
            adam_steps: self.adam_steps,
            updates,
            extra: self.spec.extra(target, replay),
        })
    }
}
