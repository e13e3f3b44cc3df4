//! PPO on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of dispatches without a
//! host round trip, and the host reads back one small block of sums when it asks for metrics.
//!
//! A rollout goes one of two ways ([`RolloutPath`]): a dozen dispatches a slot, or many slots in one dispatch that
//! keeps environments, activations and weights inside its workgroups, with the critic behind it. Both give the same
//! numbers.
//!
//! Same draws, same shuffles, same formulas as [`super::ppo_cpu`]; sums run in another order, so results agree by
//! tolerance.

use super::activity_gpu::{Extreme, Firing};
use super::network::{Between, Forward, Rows, Spikes};
use super::step_gpu::{Learners, StepGpu, StepMetrics};
use super::{
    Fit, LearnerState, Ppo, PpoSpec, UpdateMetrics, explained_variance, fit_of, fit_sums, pace_extra,
    record_fit,
};
use crate::config::PpoConfig;
use crate::env::{EnvBuffers, EnvGpu, FusedBuffers, FusedPlan, FusedRollout, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::{gae, gaussian_head, metrics_reduce, minibatch_gather, minibatch_scalars};
use crate::nets::ActorCriticLayout;
use crate::nets::cpu::Extremes;
use crate::num::shuffle::{Minibatch, Unit};
use std::sync::Arc;

struct Dims {
    r: usize,
    b: usize,
    t: usize,
    o: usize,
    a: usize,
    /// Slots of an episode, and rows of the metrics of a slot.
    episode: usize,
    rows: usize,
}

/// How a rollout is dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutPath {
    /// Many slots in one dispatch, where the environment has a kernel for it: [`Env::fused`](crate::env::Env::fused).
    Fused,
    /// Layer by layer and slot by slot: anything.
    PerSlot,
}

impl RolloutPath {
    /// Fused on hardware where it is possible for enough environments at once; slot by slot on software Vulkan, whose
    /// processors have no workgroup memory to gain from.
    pub fn choose(gpu: &Gpu, spec: &PpoSpec) -> RolloutPath {
        match fused_plan(gpu, spec) {
            Some(plan) if !gpu.is_software() && plan.pays() => RolloutPath::Fused,
            _ => RolloutPath::PerSlot,
        }
    }

    /// Whether the adapter can run such rollouts.
    pub fn possible(self, gpu: &Gpu, spec: &PpoSpec) -> bool {
        self == RolloutPath::PerSlot || fused_plan(gpu, spec).is_some()
    }
}

/// How the environment would run such a rollout in one kernel, if it and the adapter can.
fn fused_plan(gpu: &Gpu, spec: &PpoSpec) -> Option<Box<dyn FusedPlan>> {
    spec.env.fused(gpu, spec.ppo.envs, spec.ppo.horizon, &spec.layout())
}

/// What only one of the two paths has. The critic is the same.
enum Rollout {
    Fused {
        slots: Box<dyn FusedRollout>,
        /// Of all slots at once.
        sums: metrics_reduce::MetricsReduceBound,
    },
    PerSlot {
        actor: Box<Forward>,
        head: gaussian_head::GaussianHeadBound,
        env: Box<dyn EnvGpu>,
        sums: metrics_reduce::MetricsReduceBound,
    },
}

/// PPO for R replicas on a GPU.
pub struct PpoGpu {
    gpu: Arc<Gpu>,
    spec: PpoSpec,
    layout: ActorCriticLayout,
    dims: Dims,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: usize,
    /// Sums over the environments, and of squares: `[outcomes, T, R, 2]` if fused, else `[T, R, rows, 2]`.
    slot_sums: Buf<f32>,

    rollout: Rollout,
    critic: Forward,
    critic_final: Forward,
    /// Rows of a replica in one pass of the critic.
    critic_rows: usize,
    /// Of spiking networks, the actor's hidden layers, then the critic's.
    firing: Vec<Firing>,
    /// Of the actor's hidden layers in the last minibatch of an update.
    extremes: Vec<Extreme>,
    gae: gae::GaeBound,
    fit: Fit,
    gather: minibatch_gather::MinibatchGatherBound,
    /// Of the potentials of actor and critic, where they are carried.
    gather_membrane: Option<minibatch_gather::MinibatchGatherBound>,
    scalars: minibatch_scalars::MinibatchScalarsBound,
    learn: StepGpu,
}

impl PpoGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the rollout.
    pub fn new(gpu: Arc<Gpu>, spec: &PpoSpec, start: &LearnerState) -> Result<Self, GpuError> {
        let path = RolloutPath::choose(&gpu, spec);
        Self::with_path(gpu, spec, start, path)
    }

    /// The same with rollouts of this path. Errors also if it is [`RolloutPath::Fused`] and the adapter cannot.
    pub fn with_path(
        gpu: Arc<Gpu>,
        spec: &PpoSpec,
        start: &LearnerState,
        path: RolloutPath,
    ) -> Result<Self, GpuError> {
        let fused = match path {
            RolloutPath::Fused => Some(fused_plan(&gpu, spec).ok_or_else(|| GpuError::Unsupported {
                adapter: gpu.info.name.clone(),
                what: "room in a workgroup for this policy and its actions (a fused rollout)".into(),
            })?),
            RolloutPath::PerSlot => None,
        };
        let layout = spec.layout();
        let (r, b, t, m) = (spec.env.replicas(), spec.ppo.envs, spec.ppo.horizon, spec.ppo.minibatch);
        let sizes = spec.env.sizes();
        let (p, o, a, rows) = (layout.params(), sizes.obs, sizes.action, sizes.metrics);
        let g = &*gpu;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);

        // The learners and their minibatch. Hidden activations are shared by rollout and minibatch, which never run at
        // once.
        let steps = spec.ppo.epochs * spec.minibatches();
        let rate_penalty = spec.spiking.as_ref().map_or(0.0, |s| s.rate_penalty);
        let (each, paces) = (spec.all().cloned().collect::<Vec<_>>(), spec.paces(start));
        let learners = Learners { start, each: &each, paces: &paces, clamp: &spec.clamp() };
        let learn = StepGpu::new(g, &layout, rate_penalty, b.max(m), steps, &learners)?;

        // The replicas' keys and constants.
        let keys: Vec<_> = (0..r).map(|r| spec.env.key(r)).collect();
        let keys = g.upload("ppo.keys", &[r], &keys)?;
        let gae_hyper: Vec<_> = spec.all().map(PpoConfig::gae).collect();
        let gae_hyper = g.upload("ppo.gae_hyper", &[r], &gae_hyper)?;

        // The rollout.
        let state = zero("rollout.state", &[r, sizes.state, b])?;
        // Fused, final observations stand behind the others, and rewards before the other outcomes.
        let behind = usize::from(fused.is_some());
        let obs = zero("rollout.obs", &[t + 1 + behind, r, b, o])?;
        let action = zero("rollout.action", &[t, r, b, a])?;
        let logprob = zero("rollout.logprob", &[t, r, b])?;
        let value = zero("rollout.value", &[t + 1, r, b])?;
        let flags = g.alloc::<u32>("rollout.flags", &[t, r, b], Fill::Zero)?;
        let final_value = zero("rollout.final_value", &[t, r, b])?;
        let advantage = zero("rollout.advantage", &[t, r, b])?;
        let returns = zero("rollout.returns", &[t, r, b])?;

        let size = Rows { r, m: b.max(m), p };
        let in_slots = |spikes: &Option<Spikes>, net| {
            spikes.as_ref().map(|s| s.of_rollout(g, net, t, Rows { m: b, ..size })).transpose()
        };
        let actor_spikes = in_slots(&learn.actor_spikes, &layout.actor)?;
        let critic_spikes = in_slots(&learn.critic_spikes, &layout.critic)?;
        let critic = |x: &Buf<f32>, out: &Buf<f32>| {
            let acts: Vec<_> = learn.critic_hidden.iter().chain([out]).collect();
            let spikes = critic_spikes.as_ref();
            Forward::sharing(g, &layout.critic, size, &learn.params, x, &acts, spikes, false)
        };
        let membranes = |spikes: &Option<Spikes>| spikes.as_ref().and_then(|s| s.membrane.clone());
        let gather_membrane = match [&actor_spikes, &critic_spikes].map(membranes) {
            [Some(actor), Some(critic)] => {
                let [o, a] = [&actor, &critic].map(|buf| buf.shape[3]);
                let spec = minibatch_gather::Spec { t, r, b, o, a, m, unit: Unit::Sample, tail: 0 };
                let to = [&learn.actor_spikes, &learn.critic_spikes].map(membranes);
                let [Some(to_actor), Some(to_critic)] = to else { unreachable!("as the rollout's") };
                let kernel = minibatch_gather::MinibatchGather::new(g, &spec)?;
                Some(kernel.bind(g, &keys, &actor, &critic, &to_actor, &to_critic))
            }
            _ => None,
        };
        let mut firing = Firing::new(g, &layout.actor, learn.actor_spikes.as_ref(), (r, b), t)?;
        firing.extend(Firing::new(g, &layout.critic, learn.critic_spikes.as_ref(), (r, b), t)?);
        let (rollout, reward, final_obs, slot_sums) = match fused {
            Some(plan) => {
                let outcomes = plan.outcomes();
                let outcome = zero("rollout.outcome", &[outcomes, t, r, b])?;
                let sums = zero("rollout.slot_sums", &[outcomes, t, r, 2])?;
                let params = &learn.params;
                let slots = plan.bind(
                    g,
                    &FusedBuffers {
                        params,
                        state: &state,
                        obs: &obs,
                        action: &action,
                        logprob: &logprob,
                        flags: &flags,
                        outcome: &outcome,
                    },
                )?;
                // To the reduction, every slot of every quantity is a metric of its own.
                let reduce = metrics_reduce::Spec { r, metric_rows: outcomes * t, b };
                let reduce = metrics_reduce::MetricsReduce::new(g, &reduce)?.bind(g, &outcome, &sums);
                (Rollout::Fused { slots, sums: reduce }, outcome, None, sums)
            }
            None => {
                let reward = zero("rollout.reward", &[t, r, b])?;
                let final_obs = zero("rollout.final_obs", &[r, b, o])?;
                let metrics = zero("rollout.metrics", &[r, rows, b])?;
                let sums = zero("rollout.slot_sums", &[t, r, rows, 2])?;
                let mean = zero("rollout.mean", &[r, b, a])?;
                let acts: Vec<_> = learn.actor_hidden.iter().chain([&mean]).collect();
                let spikes = actor_spikes.as_ref();
                let actor =
                    Forward::sharing(g, &layout.actor, size, &learn.params, &obs, &acts, spikes, false)?;
                let head =
                    gaussian_head::GaussianHead::new(g, &gaussian_head::Spec { r, b, a, p, behind: 0 })?
                        .bind(g, &learn.params, &keys, &mean, &action, &logprob);
                let env = spec.env.bind(
                    g,
                    b,
                    &EnvBuffers {
                        action: &action,
                        state: &state,
                        obs: &obs,
                        final_obs: &final_obs,
                        reward: &reward,
                        flags: &flags,
                        metrics: &metrics,
                    },
                )?;
                let reduce = metrics_reduce::Spec { r, metric_rows: rows, b };
                let reduce = metrics_reduce::MetricsReduce::new(g, &reduce)?.bind(g, &metrics, &sums);
                let path = Rollout::PerSlot { actor: Box::new(actor), head, env, sums: reduce };
                (path, reward, Some(final_obs), sums)
            }
        };
        Ok(PpoGpu {
            firing,
            rollout,
            critic: critic(&obs, &value)?,
            critic_final: critic(final_obs.as_ref().unwrap_or(&obs), &final_value)?,
            critic_rows: size.m,
            gae: gae::Gae::new(g, &gae::Spec { t, r, b })?.bind(
                g,
                &reward,
                &value,
                &final_value,
                &flags,
                &gae_hyper,
                &advantage,
                &returns,
            ),
            fit: [fit_of(g, &advantage, [t, r, b])?, fit_of(g, &returns, [t, r, b])?],
            extremes: Extreme::new(g, learn.actor_spikes.as_ref(), &learn.actor_hidden, &layout.actor, r, m)?,
            gather: minibatch_gather::MinibatchGather::new(
                g,
                &minibatch_gather::Spec { t, r, b, o, a, m, unit: Unit::Sample, tail: 0 },
            )?
            .bind(g, &keys, &obs, &action, &learn.obs, &learn.action),
            gather_membrane,
            scalars: minibatch_scalars::MinibatchScalars::new(
                g,
                &minibatch_scalars::Spec { t, r, b, m, unit: Unit::Sample },
            )?
            .bind(g, &keys, &logprob, &advantage, &returns, &value, &learn.scalars),
            adam_steps: start.adam_steps,
            steps: 0,
            slot_sums,
            learn,
            spec: spec.clone(),
            layout,
            dims: Dims { r, b, t, o, a, episode: sizes.slots, rows },
            gpu,
        })
    }

    /// Slot by slot, value included.
    fn per_slot(
        &self,
        pass: &mut wgpu::ComputePass,
        first: u32,
        (actor, head, env): (&Forward, &gaussian_head::GaussianHeadBound, &dyn EnvGpu),
        sums: &metrics_reduce::MetricsReduceBound,
    ) {
        let d = &self.dims;
        let (slot, slot_obs) = (d.r * d.b, d.r * d.b * d.o);
        for t in 0..d.t {
            let clock = first + t as u32;
            let between = Between::of_rollout(t, d.t, d.episode);
            actor.record_between(pass, d.b, t * slot_obs, 0, between);
            self.critic.record_between(pass, d.b, t * slot_obs, t * slot, between);
            self.firing.iter().for_each(|f| f.record(pass, d.b, t == 0));
            let draw = gaussian_head::Args {
                b: d.b,
                clock,
                ls_off: self.layout.log_std_off,
                greedy: false,
                action_off: t * slot * d.a,
                logprob_off: t * slot,
            };
            head.record(pass, &draw);
            let step = StepArgs {
                clock,
                action_off: t * slot * d.a,
                obs_off: (t + 1) * slot_obs,
                reward_off: t * slot,
                full: true,
                ..StepArgs::default()
            };
            env.step(pass, &step);
            sums.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: t * d.r * d.rows * 2 });
            if (clock as usize + 1).is_multiple_of(d.episode) {
                // From where the last slot left its potentials.
                let behind = Between { start: between.end, end: between.end };
                self.critic_final.record_between(pass, d.b, 0, t * slot, behind);
            }
        }
    }

    /// Many slots a dispatch, up to an episode's end, then the values of all of them. One replica's observations stand
    /// side by side, so that its critic takes as many slots in one pass as its activations have rows; those of several
    /// replicas alternate by slot, and each pass takes one.
    fn fused(
        &self,
        pass: &mut wgpu::ComputePass,
        first: u32,
        slots: &dyn FusedRollout,
        sums: &metrics_reduce::MetricsReduceBound,
    ) {
        let d = &self.dims;
        let (slot, slot_obs, episode) = (d.r * d.b, d.r * d.b * d.o, d.episode);
        let mut t = 0;
        while t < d.t {
            let clock = first as usize + t;
            let now = slots.most().min(d.t - t).min(episode - clock % episode);
            slots.record(pass, clock as u32, t, now);
            t += now;
            if (clock + now).is_multiple_of(episode) {
                self.critic_final.record(pass, d.b, (d.t + 1) * slot_obs, (t - 1) * slot);
            }
        }
        let together = if d.r == 1 { self.critic_rows / d.b } else { 1 };
        for t in (0..d.t).step_by(together) {
            let now = together.min(d.t - t);
            self.critic.record(pass, now * d.b, t * slot_obs, t * slot);
        }
        sums.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: 0 });
    }

    /// Where in `slot_sums` the sum of a slot's `curve`th metric of learning curves stands.
    fn sum_of(&self, t: usize, r: usize, curve: usize) -> usize {
        let d = &self.dims;
        2 * match self.rollout {
            Rollout::Fused { .. } => (curve * d.t + t) * d.r + r,
            Rollout::PerSlot { .. } => (t * d.r + r) * d.rows + self.spec.env.curve()[curve],
        }
    }

    /// Records into one compute pass and submits without waiting.
    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut enc = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([enc.finish()]);
    }
}

impl Ppo for PpoGpu {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        let first = update * self.dims.t as u32;
        self.submit(|pass| {
            // The rollout before ended with an episode: these are the same fresh states that the automatic reset drew.
            match &self.rollout {
                Rollout::Fused { slots, sums } => {
                    slots.reset(pass, first);
                    self.fused(pass, first, &**slots, sums);
                }
                Rollout::PerSlot { actor, head, env, sums } => {
                    env.reset(pass, first, 0, 0);
                    self.per_slot(pass, first, (actor, head, &**env), sums);
                }
            }
        });
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        self.submit(|pass| {
            self.gae.record(pass);
            record_fit(pass, &self.fit);
        });
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 2]]) -> Result<(), GpuError> {
        // The learning rates hold for an update, and a write of them would split the stream of commands.
        if epoch == 0 && mb == 0 {
            self.learn.learning_rates(&self.gpu, rates);
        }
        self.adam_steps += 1;
        self.steps += 1;
        let which = Minibatch { update, epoch, mb };
        let row = epoch as usize * self.spec.minibatches() + mb as usize;
        self.submit(|pass| {
            self.gather.record(pass, which);
            if let Some(gather) = &self.gather_membrane {
                gather.record(pass, which);
            }
            self.scalars.record(pass, which);
            self.learn.record(pass, row);
            if row + 1 == self.spec.ppo.epochs * self.spec.minibatches() {
                self.extremes.iter().for_each(|e| e.record(pass, self.spec.ppo.minibatch));
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let done = std::mem::take(&mut self.steps);
        if !read {
            // Bounds what is in flight; nothing is read.
            let last = self.gpu.queue.submit([]);
            self.gpu.wait(last)?;
            return Ok(None);
        }
        let d = &self.dims;
        let slots = self.gpu.read(&self.slot_sums)?;
        let mut steps = self.learn.metrics(&self.gpu)?;
        steps.truncate(done);
        let slot_count = (d.t * d.b) as f64;
        let firing = self.firing.iter().map(|f| f.rates(&self.gpu, slot_count));
        let firing = firing.collect::<Result<Vec<_>, _>>()?;
        let extremes = self.extremes.iter().map(|e| e.read(&self.gpu, d.r)).collect::<Result<Vec<_>, _>>()?;
        let said: Vec<[f64; 2]> = (0..d.r)
            .map(|r| Extremes(extremes.iter().flat_map(|layer| layer[r].iter().copied()).collect()).shares())
            .collect();
        let [missed, returns] = [0, 1].map(|k| self.gpu.read(&self.fit[k].1));
        let (missed, returns) = (missed?, returns?);
        let explained =
            |r: usize| explained_variance(slot_count, fit_sums(&missed, r, d.r), fit_sums(&returns, r, d.r));
        // The first step of an update leaves none out.
        let skipped = |r: usize| match &steps[..] {
            [first, .., last] => (last[r].skipped - first[r].skipped) / steps.len() as f64,
            _ => 0.0,
        };
        let out = (0..d.r)
            .map(|r| {
                let slot_mean = |curve: usize| {
                    let sum: f64 = (0..d.t).map(|t| f64::from(slots[self.sum_of(t, r, curve)])).sum();
                    sum / (d.t * d.b) as f64
                };
                let mean = |of: fn(&StepMetrics) -> f64| {
                    steps.iter().map(|s| of(&s[r])).sum::<f64>() / steps.len() as f64
                };
                UpdateMetrics {
                    slots: (0..self.spec.env.curve().len()).map(slot_mean).collect(),
                    gradient_steps: done as u32,
                    policy_loss: mean(|s| s.policy_loss),
                    approx_kl: mean(|s| s.approx_kl),
                    clip_fraction: mean(|s| s.clip_fraction),
                    entropy: mean(|s| s.entropy),
                    value_loss: mean(|s| s.value_loss),
                    grad_norm_actor: mean(|s| s.norms[0]),
                    grad_norm_critic: mean(|s| s.norms[1]),
                    rate_share: mean(|s| s.rate_share),
                    skipped_share: skipped(r),
                    explained_variance: explained(r),
                    dead_neurons: said[r][0],
                    saturated_neurons: said[r][1],
                    firing_rates: firing.iter().map(|layer| layer[r]).collect(),
                    beams: None,
                }
            })
            .collect();
        Ok(Some(out))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        Ok(LearnerState {
            params: self.gpu.read(&self.learn.params)?,
            m: self.gpu.read(&self.learn.m)?,
            v: self.gpu.read(&self.learn.v)?,
            adam_steps: self.adam_steps,
            updates,
            extra: vec![pace_extra(self.gpu.read(&self.learn.pace)?.as_chunks().0.iter().copied())],
        })
    }
}
