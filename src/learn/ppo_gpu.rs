//! PPO on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of dispatches without a host round trip, and
//! the host reads back one small block of sums when it asks for metrics.
//!
//! A rollout goes one of two ways ([`RolloutPath`]): a dozen dispatches a slot, or many slots in one dispatch that keeps environments, activations and
//! weights inside its workgroups, with the critic behind it. Both give the same numbers.
//!
//! Same draws, same shuffles, same formulas as [`super::ppo_cpu`]; sums run in another order, so results agree by tolerance.

use super::network::{Forward, Rows, Spikes};
use super::step_gpu::StepGpu;
use super::{LearnerState, PpoSpec, UpdateMetrics};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::activity_count::{self, Units};
use crate::kernels::{gae, gaussian_head, metrics_reduce, minibatch_gather, minibatch_scalars};
use crate::nets::lif::MAX_STEPS;
use crate::nets::mlp::Layer;
use crate::nets::{ActorCriticLayout, MlpLayout};
use crate::num::shuffle::{Minibatch, Unit};
use crate::run::train::Ppo;
use crate::tasks::v2x::kernels::{v2x_batch, v2x_reset, v2x_rollout, v2x_step};
use crate::tasks::v2x::physics::metric;
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

/// How a rollout is dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutPath {
    /// Many slots in one dispatch (v2x_rollout). Perceptrons of a size for workgroup memory, with beams `angles` or `tracking`.
    Fused,
    /// Layer by layer and slot by slot: anything.
    PerSlot,
}

/// Most slots of a fused dispatch: 25 of them hide what a launch costs, and leave a display its share of the device.
const FUSED_SLOTS: usize = 25;

impl RolloutPath {
    /// Fused on hardware where it is possible for enough environments at once; slot by slot on software Vulkan, whose processors have no workgroup
    /// memory to gain from.
    pub fn choose(gpu: &Gpu, spec: &PpoSpec) -> RolloutPath {
        match fused_kernel(gpu, spec) {
            Some((kernel, _)) if !gpu.is_software() && shared_enough(&kernel) => RolloutPath::Fused,
            _ => RolloutPath::PerSlot,
        }
    }

    /// Whether the adapter can run such rollouts.
    pub fn possible(self, gpu: &Gpu, spec: &PpoSpec) -> bool {
        self == RolloutPath::PerSlot || fused_kernel(gpu, spec).is_some()
    }
}

/// Whether enough environments share the weights that their workgroup reads at every slot: wide layers leave room for so few that dense_forward, with
/// its 128 rows, reads less.
fn shared_enough(kernel: &v2x_rollout::Spec) -> bool {
    kernel.plan.resident || kernel.plan.envs >= kernel.batch.b.min(32)
}

/// The fused kernel of a specification and its most slots, if the adapter can run it.
fn fused_kernel(gpu: &Gpu, spec: &PpoSpec) -> Option<(v2x_rollout::Spec, usize)> {
    let batch = v2x_batch::Spec { r: spec.replicas.len(), b: spec.ppo.envs, task: spec.task };
    let kernel = v2x_rollout::Spec::new(&gpu.limits, batch, spec.ppo.horizon, &spec.layout())?;
    let slots = v2x_rollout::V2xRollout::most_slots(gpu, &kernel, FUSED_SLOTS.min(spec.task.slots));
    (slots > 0).then_some((kernel, slots))
}

/// What only one of the two paths has. The critic is the same.
enum Rollout {
    Fused {
        slots: v2x_rollout::V2xRolloutBound,
        /// Most slots of a dispatch.
        most: usize,
        /// Of all slots at once.
        sums: metrics_reduce::MetricsReduceBound,
    },
    PerSlot {
        actor: Box<Forward>,
        head: gaussian_head::GaussianHeadBound,
        step: Box<v2x_step::V2xStepBound>,
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
    /// Sums over the environments, and of squares: [4, T, R, 2] of the outcomes if fused, else [T, R, METRIC_ROWS, 2].
    slot_sums: Buf<f32>,

    reset: v2x_reset::V2xResetBound,
    rollout: Rollout,
    critic: Forward,
    critic_final: Forward,
    /// Rows of a replica in one pass of the critic.
    critic_rows: usize,
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
            RolloutPath::Fused => Some(fused_kernel(&gpu, spec).ok_or_else(|| GpuError::Unsupported {
                adapter: gpu.info.name.clone(),
                what: "room in a workgroup for this policy and its beams (a fused rollout)".into(),
            })?),
            RolloutPath::PerSlot => None,
        };
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
        let state = zero("rollout.state", &[r, spec.task.state_rows(), b])?;
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
        let critic = |x: &Buf<f32>, out: &Buf<f32>| {
            let acts: Vec<_> = learn.critic_hidden.iter().chain([out]).collect();
            let spikes = learn.critic_spikes.as_ref();
            Forward::sharing(g, &layout.critic, size, &learn.params, x, &acts, spikes, false)
        };
        let mut firing = Firing::new(g, &layout.actor, learn.actor_spikes.as_ref(), (r, b), t)?;
        firing.extend(Firing::new(g, &layout.critic, learn.critic_spikes.as_ref(), (r, b), t)?);
        let (rollout, reward, final_obs, slot_sums) =
            match fused {
                Some((kernel, most)) => {
                    let outcomes = v2x_rollout::outcome::ROWS;
                    let outcome = zero("rollout.outcome", &[outcomes, t, r, b])?;
                    let sums = zero("rollout.slot_sums", &[outcomes, t, r, 2])?;
                    let slots = v2x_rollout::V2xRollout::new(g, &kernel, most)?.bind(
                        g,
                        &task_params,
                        &learn.params,
                        &state,
                        &obs,
                        &action,
                        &logprob,
                        &flags,
                        &outcome,
                    );
                    // A row for each slot, whatever it is a row of.
                    let reduce = metrics_reduce::Spec { r, metric_rows: outcomes * t, b };
                    let reduce = metrics_reduce::MetricsReduce::new(g, &reduce)?.bind(g, &outcome, &sums);
                    (Rollout::Fused { slots, most, sums: reduce }, outcome, None, sums)
                }
                None => {
                    let rows = spec.task.metric_rows();
                    let reward = zero("rollout.reward", &[t, r, b])?;
                    let final_obs = zero("rollout.final_obs", &[r, b, o])?;
                    let metrics = zero("rollout.metrics", &[r, rows, b])?;
                    let sums = zero("rollout.slot_sums", &[t, r, rows, 2])?;
                    let mean = zero("rollout.mean", &[r, b, a])?;
                    let acts: Vec<_> = learn.actor_hidden.iter().chain([&mean]).collect();
                    let spikes = learn.actor_spikes.as_ref();
                    let actor =
                        Forward::sharing(g, &layout.actor, size, &learn.params, &obs, &acts, spikes, false)?;
                    let head = gaussian_head::GaussianHead::new(g, &gaussian_head::Spec { r, b, a, p })?
                        .bind(g, &learn.params, &keys, &mean, &action, &logprob);
                    let step = v2x_step::V2xStep::new(g, &batch)?.bind(
                        g,
                        &task_params,
                        &action,
                        &state,
                        &obs,
                        &final_obs,
                        &reward,
                        &flags,
                        &metrics,
                    );
                    let reduce = metrics_reduce::Spec { r, metric_rows: rows, b };
                    let reduce = metrics_reduce::MetricsReduce::new(g, &reduce)?.bind(g, &metrics, &sums);
                    let path =
                        Rollout::PerSlot { actor: Box::new(actor), head, step: Box::new(step), sums: reduce };
                    (path, reward, Some(final_obs), sums)
                }
            };
        Ok(PpoGpu {
            firing,
            reset: v2x_reset::V2xReset::new(g, &batch)?.bind(g, &task_params, &state, &obs),
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

    /// Slot by slot, value included.
    fn per_slot(
        &self,
        pass: &mut wgpu::ComputePass,
        first: u32,
        (actor, head, step): (&Forward, &gaussian_head::GaussianHeadBound, &v2x_step::V2xStepBound),
        sums: &metrics_reduce::MetricsReduceBound,
    ) {
        let d = &self.dims;
        let (slot, slot_obs) = (d.r * d.b, d.r * d.b * d.o);
        let rows = self.spec.task.metric_rows();
        for t in 0..d.t {
            let clock = first + t as u32;
            actor.record(pass, d.b, t * slot_obs, 0);
            self.critic.record(pass, d.b, t * slot_obs, t * slot);
            self.firing.iter().for_each(|f| f.count.record(pass, d.b, t == 0));
            let draw = gaussian_head::Args {
                b: d.b,
                clock,
                ls_off: self.layout.log_std_off,
                greedy: false,
                action_off: t * slot * d.a,
                logprob_off: t * slot,
            };
            head.record(pass, &draw);
            let act = v2x_step::Args {
                clock,
                action_off: t * slot * d.a,
                obs_off: (t + 1) * slot_obs,
                reward_off: t * slot,
                full: true,
            };
            step.record(pass, &act);
            sums.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: t * d.r * rows * 2 });
            if (clock as usize + 1).is_multiple_of(self.spec.task.slots) {
                self.critic_final.record(pass, d.b, 0, t * slot);
            }
        }
    }

    /// Many slots a dispatch, up to an episode's end, then the values of all of them. One replica's observations stand side by side, so that its
    /// critic takes as many slots in one pass as its activations have rows; those of several replicas alternate by slot, and each pass takes one.
    fn fused(
        &self,
        pass: &mut wgpu::ComputePass,
        first: u32,
        (slots, most): (&v2x_rollout::V2xRolloutBound, usize),
        sums: &metrics_reduce::MetricsReduceBound,
    ) {
        let d = &self.dims;
        let (slot, slot_obs, episode) = (d.r * d.b, d.r * d.b * d.o, self.spec.task.slots);
        let mut t = 0;
        while t < d.t {
            let clock = first as usize + t;
            let now = most.min(d.t - t).min(episode - clock % episode);
            slots.record(pass, &v2x_rollout::Args { clock: clock as u32, first: t, slots: now });
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

    /// Where in `slot_sums` the sum of a quantity of a slot stands.
    fn sum_of(&self, t: usize, r: usize, what: usize) -> usize {
        let d = &self.dims;
        use v2x_rollout::outcome;
        let row = match self.rollout {
            Rollout::Fused { .. } => {
                let row = match what {
                    metric::REWARD => outcome::REWARD,
                    metric::SUM_RATE => outcome::SUM_RATE,
                    metric::JAIN => outcome::JAIN,
                    metric::INDICATOR => outcome::INDICATOR,
                    other => unreachable!("metric {other} is no outcome"),
                };
                (row * d.t + t) * d.r + r
            }
            Rollout::PerSlot { .. } => (t * d.r + r) * self.spec.task.metric_rows() + what,
        };
        2 * row
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
            self.reset.record(pass, &v2x_reset::Args { clock: first, obs_off: 0 });
            match &self.rollout {
                Rollout::Fused { slots, most, sums } => self.fused(pass, first, (slots, *most), sums),
                Rollout::PerSlot { actor, head, step, sums } => {
                    self.per_slot(pass, first, (actor, head, step), sums);
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
        let out = (0..d.r)
            .map(|r| {
                let slot_mean = |what: usize| {
                    let sum: f64 = (0..d.t).map(|t| f64::from(slots[self.sum_of(t, r, what)])).sum();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Activation;
    use crate::tasks::v2x::physics::{Beam, Kinematics, V2xSpec};

    #[test]
    fn wide_layers_are_not_read_for_a_few_environments() {
        let task = V2xSpec {
            vehicles: 3,
            antennas: 32,
            slots: 100,
            beam: Beam::Angles,
            kinematics: Kinematics::Paper,
        };
        let limits = |kib: u32| wgpu::Limits {
            max_compute_workgroup_storage_size: kib << 10,
            ..wgpu::Limits::default()
        };
        let enough = |kib: u32, hidden: &[usize], b: usize| {
            let batch = v2x_batch::Spec { r: 1, b, task };
            let layout = ActorCriticLayout::new(task.obs_dim(), hidden, task.action_dim(), Activation::Tanh);
            shared_enough(&v2x_rollout::Spec::new(&limits(kib), batch, 100, &layout).expect("fits"))
        };
        assert!(enough(48, &[128, 128], 65_536) && enough(48, &[256, 256], 65_536));
        assert!(!enough(48, &[512, 512], 65_536) && !enough(16, &[128, 128], 65_536));
        // All that there are, and weights that stay.
        assert!(enough(48, &[128, 128], 8) && enough(16, &[16, 16], 65_536));
    }
}
