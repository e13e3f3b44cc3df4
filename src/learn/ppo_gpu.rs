//! PPO on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of dispatches without a host round trip, and
//! the host reads back one small block of sums when it asks for metrics.
//!
//! Same draws, same shuffles, same formulas as [`super::ppo_cpu`]; sums run in another order, so results agree by tolerance.

use super::network::{Forward, Rows, Spikes};
use super::step_gpu::StepGpu;
use super::{LearnerState, PpoSpec, UpdateMetrics};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::activity_count::{self, Units};
use crate::kernels::{
    gae, gaussian_head, metrics_reduce, minibatch_gather, minibatch_scalars, v2x_batch, v2x_reset, v2x_step,
};
use crate::policy::lif::MAX_STEPS;
use crate::policy::mlp::Layer;
use crate::policy::{ActorCriticLayout, MlpLayout};
use crate::shuffle::{Minibatch, Unit};
use crate::task::v2x::metric;
use crate::train::Ppo;
use std::sync::Arc;

struct Dims {
    r: usize,
    b: usize,
    t: usize,
    o: usize,
    a: usize,
}

/// Spikes of a hidden layer in a rollout.
struct Firing {
    count: activity_count::ActivityCountBound,
    /// [R, 2, N]
    counts: Buf<u32>,
    neurons: usize,
}

impl Firing {
    /// One for each hidden layer; none for a perceptron.
    fn new(
        gpu: &Gpu,
        net: &MlpLayout,
        spikes: Option<&Spikes>,
        (r, m): (usize, usize),
        slots: usize,
    ) -> Result<Vec<Self>, GpuError> {
        assert!(
            u32::try_from(slots * m * MAX_STEPS).is_ok(),
            "{m} environments overflow the counts of a neuron"
        );
        let words = spikes.iter().flat_map(|s| &s.words).zip(&net.layers);
        let of = |(words, layer): (&Buf<u32>, &Layer)| {
            let neurons = layer.outputs;
            let spec = activity_count::Spec { r, m, c: neurons, units: Units::Spikes };
            let counts = gpu.alloc("rollout.firing", &[r, 2, neurons], Fill::Zero)?;
            let count = activity_count::ActivityCount::new(gpu, &spec)?.bind(gpu, words, &counts);
            Ok(Firing { count, counts, neurons })
        };
        words.map(of).collect()
    }
}

/// PPO for R replicas on a GPU.
pub struct PpoGpu {
    gpu: Arc<Gpu>,
    spec: PpoSpec,
    layout: ActorCriticLayout,
    dims: Dims,
    adam_steps: u64,
    /// [T, R, METRIC_ROWS, 2]
    slot_sums: Buf<f32>,

    reset: v2x_reset::V2xResetBound,
    step: v2x_step::V2xStepBound,
    actor: Forward,
    critic: Forward,
    critic_final: Forward,
    head: gaussian_head::GaussianHeadBound,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    /// Of spiking networks, the actor's hidden layers, then the critic's.
    firing: Vec<Firing>,
    gae: gae::GaeBound,
    gather: minibatch_gather::MinibatchGatherBound,
    scalars: minibatch_scalars::MinibatchScalarsBound,
    learn: StepGpu,
}

impl PpoGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the rollout.
    pub fn new(gpu: Arc<Gpu>, spec: &PpoSpec, start: &LearnerState) -> Result<Self, GpuError> {
        let layout = spec.layout();
        let (r, b, t, m) = (spec.replicas.len(), spec.ppo.envs, spec.ppo.horizon, spec.ppo.minibatch);
        let (p, o, a) = (layout.params(), spec.task.obs_dim(), spec.task.action_dim());
        let g = &*gpu;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);

        // The learners and their minibatch. Hidden activations are shared by rollout and minibatch, which never run at once.
        let steps = spec.ppo.epochs * spec.minibatches();
        let rate_penalty = spec.spiking.as_ref().map_or(0.0, |s| s.rate_penalty);
        let learn = StepGpu::new(g, &layout, &spec.ppo, rate_penalty, r, b.max(m), steps, start)?;

        // The replicas' parameters.
        let tasks: Vec<_> = spec.replicas.iter().map(|x| x.task).collect();
        let keys: Vec<_> = spec.replicas.iter().map(|x| x.task.key).collect();
        let task_params = g.upload("ppo.task_params", &[r], &tasks)?;
        let keys = g.upload("ppo.keys", &[r], &keys)?;
        let gae_hyper =
            [spec.ppo.gamma as f32, spec.ppo.gae_lambda as f32, spec.ppo.reward_scale as f32, 0.0];
        let gae_hyper = g.upload("ppo.gae_hyper", &[r], &vec![gae_hyper; r])?;

        // The rollout.
        let batch = v2x_batch::Spec { r, b, task: spec.task };
        let rows = spec.task.metric_rows();
        let state = zero("rollout.state", &[r, spec.task.state_rows(), b])?;
        let obs = zero("rollout.obs", &[t + 1, r, b, o])?;
        let action = zero("rollout.action", &[t, r, b, a])?;
        let logprob = zero("rollout.logprob", &[t, r, b])?;
        let value = zero("rollout.value", &[t + 1, r, b])?;
        let reward = zero("rollout.reward", &[t, r, b])?;
        let flags = g.alloc::<u32>("rollout.flags", &[t, r, b], Fill::Zero)?;
        let final_obs = zero("rollout.final_obs", &[r, b, o])?;
        let final_value = zero("rollout.final_value", &[t, r, b])?;
        let advantage = zero("rollout.advantage", &[t, r, b])?;
        let returns = zero("rollout.returns", &[t, r, b])?;
        let metrics = zero("rollout.metrics", &[r, rows, b])?;
        let slot_sums = zero("rollout.slot_sums", &[t, r, rows, 2])?;
        let mean = zero("rollout.mean", &[r, b, a])?;

        let size = Rows { r, m: b.max(m), p };
        let actor = |x: &Buf<f32>, out: &Buf<f32>| {
            let acts: Vec<_> = learn.actor_hidden.iter().chain([out]).collect();
            let spikes = learn.actor_spikes.as_ref();
            Forward::sharing(g, &layout.actor, size, &learn.params, x, &acts, spikes, false)
        };
        let critic = |x: &Buf<f32>, out: &Buf<f32>| {
            let acts: Vec<_> = learn.critic_hidden.iter().chain([out]).collect();
            let spikes = learn.critic_spikes.as_ref();
            Forward::sharing(g, &layout.critic, size, &learn.params, x, &acts, spikes, false)
        };
        let mut firing = Firing::new(g, &layout.actor, learn.actor_spikes.as_ref(), (r, b), t)?;
        firing.extend(Firing::new(g, &layout.critic, learn.critic_spikes.as_ref(), (r, b), t)?);
        Ok(PpoGpu {
            firing,
            reset: v2x_reset::V2xReset::new(g, &batch)?.bind(g, &task_params, &state, &obs),
            step: v2x_step::V2xStep::new(g, &batch)?.bind(
                g,
                &task_params,
                &action,
                &state,
                &obs,
                &final_obs,
                &reward,
                &flags,
                &metrics,
            ),
            actor: actor(&obs, &mean)?,
            critic: critic(&obs, &value)?,
            critic_final: critic(&final_obs, &final_value)?,
            head: gaussian_head::GaussianHead::new(g, &gaussian_head::Spec { r, b, a, p })?.bind(
                g,
                &learn.params,
                &keys,
                &mean,
                &action,
                &logprob,
            ),
            slot_reduce: metrics_reduce::MetricsReduce::new(
                g,
                &metrics_reduce::Spec { r, metric_rows: rows, b },
            )?
            .bind(g, &metrics, &slot_sums),
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
            gather: minibatch_gather::MinibatchGather::new(
                g,
                &minibatch_gather::Spec { t, r, b, o, a, m, unit: Unit::Sample, tail: 0 },
            )?
            .bind(g, &keys, &obs, &action, &learn.obs, &learn.action),
            scalars: minibatch_scalars::MinibatchScalars::new(
                g,
                &minibatch_scalars::Spec { t, r, b, m, unit: Unit::Sample },
            )?
            .bind(g, &keys, &logprob, &advantage, &returns, &value, &learn.scalars),
            adam_steps: start.adam_steps,
            slot_sums,
            learn,
            spec: spec.clone(),
            layout,
            dims: Dims { r, b, t, o, a },
            gpu,
        })
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
        let d = &self.dims;
        let (slot, slot_obs) = (d.r * d.b, d.r * d.b * d.o);
        let first = update * d.t as u32;
        let rows = self.spec.task.metric_rows();
        self.submit(|pass| {
            // The rollout before ended with an episode: these are the same fresh states that the automatic reset drew.
            self.reset.record(pass, &v2x_reset::Args { clock: first, obs_off: 0 });
            for t in 0..d.t {
                let clock = first + t as u32;
                self.actor.record(pass, d.b, t * slot_obs, 0);
                self.critic.record(pass, d.b, t * slot_obs, t * slot);
                self.firing.iter().for_each(|f| f.count.record(pass, d.b, t == 0));
                let head = gaussian_head::Args {
                    b: d.b,
                    clock,
                    ls_off: self.layout.log_std_off,
                    greedy: false,
                    action_off: t * slot * d.a,
                    logprob_off: t * slot,
                };
                self.head.record(pass, &head);
                let step = v2x_step::Args {
                    clock,
                    action_off: t * slot * d.a,
                    obs_off: (t + 1) * slot_obs,
                    reward_off: t * slot,
                    full: true,
                };
                self.step.record(pass, &step);
                self.slot_reduce
                    .record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: t * d.r * rows * 2 });
                if (clock as usize + 1).is_multiple_of(self.spec.task.slots) {
                    self.critic_final.record(pass, d.b, 0, t * slot);
                }
            }
        });
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        self.submit(|pass| self.gae.record(pass));
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, lr: [f64; 2]) -> Result<(), GpuError> {
        // The learning rates hold for an update, and a write of them would split the stream of commands.
        if epoch == 0 && mb == 0 {
            self.learn.learning_rates(&self.gpu, lr);
        }
        self.adam_steps += 1;
        let which = Minibatch { update, epoch, mb };
        let row = epoch as usize * self.spec.minibatches() + mb as usize;
        self.submit(|pass| {
            self.gather.record(pass, which);
            self.scalars.record(pass, which);
            self.learn.record(pass, self.adam_steps, row);
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        if !read {
            // Bounds what is in flight; nothing is read.
            let done = self.gpu.queue.submit([]);
            self.gpu.wait(done)?;
            return Ok(None);
        }
        let d = &self.dims;
        let slots = self.gpu.read(&self.slot_sums)?;
        let steps = self.learn.metrics(&self.gpu)?;
        let firing = self.firing.iter().map(|f| self.gpu.read(&f.counts)).collect::<Result<Vec<_>, _>>()?;
        let spike_steps = self.spec.spiking.as_ref().map_or(0, |s| s.steps);
        let rows = self.spec.task.metric_rows();
        let out = (0..d.r)
            .map(|r| {
                let slot_mean = |row: usize| {
                    let sum: f64 = (0..d.t).map(|t| f64::from(slots[((t * d.r + r) * rows + row) * 2])).sum();
                    sum / (d.t * d.b) as f64
                };
                let mean = |of: fn(&super::step_gpu::StepMetrics) -> f64| {
                    steps.iter().map(|s| of(&s[r])).sum::<f64>() / steps.len() as f64
                };
                let rate = |r: usize, neurons: usize, counts: &[u32]| {
                    let spikes = &counts[2 * r * neurons..][..neurons];
                    let all = (d.t * d.b * spike_steps * neurons) as f64;
                    spikes.iter().map(|&n| f64::from(n)).sum::<f64>() / all
                };
                UpdateMetrics {
                    reward: slot_mean(metric::REWARD),
                    sum_rate_bps_hz: slot_mean(metric::SUM_RATE),
                    jain: slot_mean(metric::JAIN),
                    indicator_share: slot_mean(metric::INDICATOR),
                    policy_loss: mean(|s| s.policy_loss),
                    approx_kl: mean(|s| s.approx_kl),
                    clip_fraction: mean(|s| s.clip_fraction),
                    entropy: mean(|s| s.entropy),
                    value_loss: mean(|s| s.value_loss),
                    grad_norm_actor: mean(|s| s.norms[0]),
                    grad_norm_critic: mean(|s| s.norms[1]),
                    firing_rates: self
                        .firing
                        .iter()
                        .zip(&firing)
                        .map(|(f, n)| rate(r, f.neurons, n))
                        .collect(),
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
            extra: Vec::new(),
        })
    }
}
