//! Learning experts on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of
//! dispatches without a host round trip, and the host reads back some small sums when it asks for metrics.
//!
//! Same draws, same shuffles, same formulas as [`super::experts_cpu`]; sums run in another order, so results agree by
//! tolerance. Scheduler and critic lie in one flat vector, the phases in another: no kernel that learns the one is
//! bound to the other. Where they share a trunk, there is one vector, and every minibatch step makes two passes through
//! the trunk: one for the policy loss and one for L_spat over the slots that enter it, whose gradients are compared and
//! added. Where phases are drawn, the first pass makes the outputs of both heads, for one loss of both, and the second
//! is only compared, in an update's first step.
//!
//! Why PPO has two files ([`super::ppo_gpu`] is the other): see [`super::experts_cpu`]. On a GPU the two record other
//! kernels as well: sequences through an LSTM and L_spat here, spikes and whole rollouts in one kernel there.

use super::experts::ExpertsSpec;
use super::experts_cpu::trunk;
use super::mixture::{Mixture, MixtureBackward, MixtureForward, ending, heads, hidden};
use super::network::{Backward, Forward, Rows};
use super::recurrent::{LstmGpu, LstmStepGpu, Sequences};
use super::{
    BeamUpdate, Experts, Fit, LearnerState, UpdateMetrics, explained_variance, fit_of, fit_sums, pace_extra,
    record_fit, slices,
};
use crate::config::{PolicyGradient, TemporalConfig};
use crate::env::{BeamArgs, BeamBuffers, BeamSize, BeamsGpu, EnvBuffers, EnvGpu, Sizes, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::twin::check_trips;
use crate::kernels::{
    adam, advantage_stats, bernoulli_head, bernoulli_policy_loss, column_sum, gae, gaussian_head, grad_join,
    grad_norm, grad_reduce, joint_policy_loss, kl_control, metrics_reduce, minibatch_gather,
    minibatch_scalars, obs_mask, ppo_value_loss, slot_gather,
};
use crate::nets::MlpLayout;
use crate::nets::experts::{Decision, ExpertsLayout, Phase};
use crate::nets::lstm::LstmLayout;
use crate::num::shuffle::{Minibatch, Unit};
use std::ops::Range;
use std::sync::Arc;

/// Parameters that one optimiser moves: a vector `[R, P]` out of parts of the replicas' whole vectors, its gradients
/// and Adam.
struct Learned {
    /// Parts of a replica's whole vector, in the order in which they lie here.
    parts: Vec<Range<usize>>,
    params: Buf<f32>,
    m: Buf<f32>,
    v: Buf<f32>,
    /// `[slices, R, P]`
    partials: Buf<f32>,
    /// Their sum, `[R, P]`, and its norms in the two groups before clipping, `[R, 2]`.
    grads: Buf<f32>,
    norms: Buf<f32>,
    hyper: Buf<f32>,
    /// Of every replica; rates apart, which change with every update.
    constants: Vec<adam::Hyper>,
    r: usize,
    reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    adam: adam::AdamBound,
    pace: Option<Paced>,
}

/// The pace of what schedules, and what it comes from.
struct Paced {
    control: kl_control::KlControlBound,
    /// `[R, 8]`, and behind every step of an update `[steps, R, 8]`.
    pace: Buf<f32>,
    rows: Buf<f32>,
    sum: column_sum::ColumnSumBound,
}

impl Learned {
    /// Parameters before `split` are a group of their own, with its own learning rate and norm.
    #[expect(clippy::too_many_arguments, reason = "a vector, where it comes from and how it moves")]
    fn new(
        g: &Gpu,
        name: &str,
        spec: &ExpertsSpec,
        start: &LearnerState,
        parts: Vec<Range<usize>>,
        split: usize,
        slices: usize,
        max_norm: impl Fn(usize) -> f64,
    ) -> Result<Self, GpuError> {
        let (r, whole) = (spec.replicas(), spec.params());
        let p = parts.iter().map(ExactSizeIterator::len).sum();
        let of = |all: &[f32]| -> Vec<f32> {
            let row = |row: &[f32]| parts.iter().flat_map(|x| row[x.clone()].to_vec()).collect::<Vec<_>>();
            all.chunks_exact(whole).flat_map(row).collect()
        };
        let vector = |what: &str, all: &[f32]| g.upload(&format!("{name}.{what}"), &[r, p], &of(all));
        let (params, m, v) =
            (vector("params", &start.params)?, vector("adam_m", &start.m)?, vector("adam_v", &start.v)?);
        let zero = |what: &str, shape: &[usize]| g.alloc::<f32>(&format!("{name}.{what}"), shape, Fill::Zero);
        let (partials, grads) = (zero("partials", &[slices, r, p])?, zero("grads", &[r, p])?);
        let (norms, hyper) = (zero("norms", &[r, 2])?, zero("adam_hyper", &[r, 8])?);
        check_trips(g, "grad_norm", p.div_ceil(grad_norm::WG) + 10)?;
        Ok(Learned {
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: slices })?
                .bind(g, &partials, &grads),
            norm: grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split, joint: false })?
                .bind(g, &grads, &norms),
            adam: adam::Adam::new(g, &adam::Spec { r, p, split })?
                .bind(g, &params, &grads, &norms, &m, &v, &hyper, &hyper),
            constants: (0..r)
                .map(|i| adam::Hyper { max_norm: max_norm(i), ..spec.of(i).adam([0.0; 2]) })
                .collect(),
            parts,
            params,
            m,
            v,
            partials,
            grads,
            norms,
            hyper,
            pace: None,
            r,
        })
    }

    /// At each replica's pace, which answers to the divergences among the sums `means` `[steps, R, ·]` of the policy
    /// loss's terms, of which the last four are [`ppo_policy_loss::TERMS`](crate::kernels::ppo_policy_loss::TERMS).
    fn paced(
        mut self,
        g: &Gpu,
        spec: &ExpertsSpec,
        start: &LearnerState,
        split: usize,
        means: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let (r, p, steps) = (self.r, self.p(), means.shape[0]);
        let limits: Vec<f32> = spec.all().flat_map(|t| t.limits().row::<f32>()).collect();
        let limits = g.upload("temporal.limits", &[r, 2], &limits)?;
        let pace = g.upload("temporal.pace", &[r, 8], &spec.paces(start))?;
        let (c, column) = (means.shape[2], means.shape[2] - 3);
        let rows = g.alloc::<f32>("update.pace_rows", &[steps, r, 8], Fill::Zero)?;
        let (m, v) = (&self.m, &self.v);
        self.adam = adam::Adam::paced(g, &adam::Spec { r, p, split }, &adam::Clamp::NONE)?.bind(
            g,
            &self.params,
            &self.grads,
            &self.norms,
            m,
            v,
            &self.hyper,
            &pace,
        );
        let control = kl_control::KlControl::new(g, &kl_control::Spec { r, c, column })?.bind(
            g,
            means,
            &self.norms,
            &self.hyper,
            &limits,
            &pace,
        );
        let sum = column_sum::ColumnSum::new(g, &column_sum::Spec { r, m: 1, c: 8 })?.bind(g, &pace, &rows);
        self.pace = Some(Paced { control, pace, rows, sum });
        Ok(self)
    }

    /// Of what schedules, which always has a pace.
    fn paced_by(&self) -> &Paced {
        self.pace.as_ref().expect("made paced")
    }

    /// P
    fn p(&self) -> usize {
        self.params.shape[1]
    }

    /// Sets the rates of the steps submitted from now on, of every replica.
    fn rates(&self, gpu: &Gpu, rates: impl Iterator<Item = [f64; 2]>) {
        let row = |(lr, hyper): ([f64; 2], &adam::Hyper)| adam::Hyper { lr, ..*hyper }.row::<f32>();
        gpu.write(&self.hyper, &rates.zip(&self.constants).flat_map(row).collect::<Vec<f32>>());
    }

    /// Clips the gradients and makes Adam's step `t` = 1, 2, …; at a pace of its own, the step `row` of an update.
    fn record_step(&self, pass: &mut wgpu::ComputePass, t: u64, row: usize) {
        self.norm.record(pass);
        match &self.pace {
            None => self.adam.record(pass, &self.constants[0].args(t)),
            Some(paced) => {
                paced.control.record(pass, row);
                self.adam.record(pass, &adam::Args::PACED);
                let (m, out_stride, out_off) = (1, 8, row * self.r * 8);
                paced.sum.record(pass, &column_sum::Args { m, out_stride, out_off, scale: 1.0 });
            }
        }
    }

    /// Puts what is here into the whole vectors.
    fn read(&self, gpu: &Gpu, whole: usize, to: &mut LearnerState) -> Result<(), GpuError> {
        for (from, to) in [(&self.params, &mut to.params), (&self.m, &mut to.m), (&self.v, &mut to.v)] {
            for (mut from, to) in gpu.read(from)?.chunks_exact(self.p()).zip(to.chunks_exact_mut(whole)) {
                for part in &self.parts {
                    let (own, rest) = from.split_at(part.len());
                    to[part.clone()].copy_from_slice(own);
                    from = rest;
                }
            }
        }
        Ok(())
    }
}

/// What the schedule comes from, and where it lies in its vector.
pub(crate) enum SchedulerNets {
    Lstm { lstm: LstmLayout, head: MlpLayout },
    Trunk(Mixture),
}

/// What makes the logits of the schedule and what makes the phases, where they lie in a replica's whole vector.
pub(crate) fn decision_nets(layout: &ExpertsLayout) -> (SchedulerNets, Mixture) {
    match &layout.decision {
        Decision::Isolated { lstm, head, phases } => {
            (SchedulerNets::Lstm { lstm: lstm.clone(), head: head.clone() }, Mixture::single(phases.clone()))
        }
        Decision::Shared { gate, experts } => {
            let (nets, others) = experts
                .iter()
                .map(|net| {
                    let [logits, phases] = heads(net, layout.vehicles);
                    (logits, phases)
                })
                .unzip();
            let gate = gate.clone();
            (SchedulerNets::Trunk(Mixture { nets, gate: gate.clone() }), Mixture { nets: others, gate })
        }
    }
}

/// Where the networks lie in their vectors.
struct Nets {
    scheduler: SchedulerNets,
    critic: MlpLayout,
    /// In the vector of scheduler and critic where the trunk is shared, else in its own.
    phases: Mixture,
    /// P of scheduler and critic.
    p: usize,
}

impl Nets {
    fn new(spec: &ExpertsSpec) -> Self {
        let layout = &spec.layout;
        let [policy, critic, _] = layout.groups();
        let (scheduler, mut phases) = decision_nets(layout);
        if layout.isolated() {
            phases.nets = phases.nets.iter().map(|net| net.at(0)).collect();
        }
        Nets { scheduler, critic: layout.critic.at(policy.len()), phases, p: policy.len() + critic.len() }
    }

    /// Rows of a minibatch of `envs` environments beside its samples: a sequence has a state more than steps.
    fn extra(&self, envs: usize) -> usize {
        match self.scheduler {
            SchedulerNets::Lstm { .. } => envs,
            SchedulerNets::Trunk(_) => 0,
        }
    }
}

/// How the schedule's logits come about, slot by slot.
pub(crate) enum Acting {
    Lstm(Box<LstmStepGpu>, Box<Forward>),
    Trunk(Box<MixtureForward>),
}

impl Acting {
    /// `params` `[R, P]`; `obs` holds observations `[R, M, O]` at the offsets of [`Acting::record`]; `logits`
    /// `[R, M, K]`.
    pub(crate) fn new(
        g: &Gpu,
        nets: &SchedulerNets,
        size: Rows,
        params: &Buf<f32>,
        obs: &Buf<f32>,
        logits: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        Ok(match nets {
            SchedulerNets::Lstm { lstm, head } => {
                let lstm = LstmStepGpu::new(g, lstm, size, params, obs)?;
                let head = Forward::new(g, head, size, params, &lstm.hidden, &[logits])?;
                Acting::Lstm(Box::new(lstm), Box::new(head))
            }
            SchedulerNets::Trunk(net) => {
                Acting::Trunk(Box::new(MixtureForward::new(g, net, size, params, obs, logits)?))
            }
        })
    }

    /// What must be zero before an episode.
    pub(crate) fn recurrent_state(&self) -> Vec<&Buf<f32>> {
        match self {
            Acting::Lstm(lstm, _) => vec![&lstm.hidden, &lstm.cell],
            Acting::Trunk(_) => Vec::new(),
        }
    }

    /// Logits of `m` environments of each replica from the observations at element `x_off`; moves the recurrent state
    /// on by a slot.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass, m: usize, x_off: usize) {
        match self {
            Acting::Lstm(lstm, head) => {
                lstm.record(pass, x_off);
                head.record(pass, m, 0, 0);
            }
            Acting::Trunk(net) => net.record(pass, m, x_off),
        }
    }
}

/// Phases that are drawn around the outputs of a network.
pub(crate) struct DrawnPhases {
    forward: MixtureForward,
    head: gaussian_head::GaussianHeadBound,
    /// First element of `log_std`.
    ls_off: usize,
    /// Phases of a slot, R·B·K·M, and its log-densities, R·B.
    each: [usize; 2],
}

impl DrawnPhases {
    /// `obs` holds observations, `phases` `[R, B, K·M]` and `logprob` `[R, B]` at the offsets of
    /// [`DrawnPhases::record`]; `logprob` already has those of the schedule, and gets the sums.
    #[expect(clippy::too_many_arguments, reason = "networks with their input and outputs")]
    pub(crate) fn new(
        g: &Gpu,
        layout: &ExpertsLayout,
        net: &Mixture,
        size: Rows,
        params: &Buf<f32>,
        keys: &Buf<[u32; 2]>,
        obs: &Buf<f32>,
        phases: &Buf<f32>,
        logprob: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let Rows { r, m: b, p } = size;
        let a = layout.phases();
        let mean = g.alloc::<f32>("drawn.mean", &[r, b, a], Fill::Zero)?;
        let spec = gaussian_head::Spec { r, b, a, p, behind: layout.vehicles.div_ceil(4) };
        Ok(DrawnPhases {
            forward: MixtureForward::new(g, net, size, params, obs, &mean)?,
            head: gaussian_head::GaussianHead::new(g, &spec)?.bind(g, params, keys, &mean, phases, logprob),
            ls_off: layout.log_std().start,
            each: [r * b * a, r * b],
        })
    }

    /// Those of slot `slot` of `phases` and `logprob`, from the observations at element `x_off`.
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        b: usize,
        clock: u32,
        x_off: usize,
        slot: usize,
    ) {
        self.forward.record(pass, b, x_off);
        let [action_off, logprob_off] = self.each.map(|n| slot * n);
        let ls_off = self.ls_off;
        let draw = gaussian_head::Args { b, clock, ls_off, greedy: false, action_off, logprob_off };
        self.head.record(pass, &draw);
    }
}

/// What a rollout leaves: `[T(+1), R, B, ·]`.
struct Rollout {
    keys: Buf<[u32; 2]>,
    obs: Buf<f32>,
    action: Buf<f32>,
    /// Where they are drawn.
    phases: Option<Buf<f32>>,
    logprob: Buf<f32>,
    value: Buf<f32>,
    /// States before the slots that enter L_spat and the present one, `[slots + 1, R, S, B]`.
    state: Buf<f32>,
    advantage: Buf<f32>,
    returns: Buf<f32>,
    /// `[T, R, metrics, 2]`
    slot_sums: Buf<f32>,

    env: Box<dyn EnvGpu>,
    /// Of observations and of the last ones, where the agent does not see ages.
    mask: Option<[obs_mask::ObsMaskBound; 2]>,
    acting: Acting,
    sample: bernoulli_head::BernoulliHeadBound,
    drawn: Option<DrawnPhases>,
    critic: Forward,
    critic_final: Forward,
    reduce: metrics_reduce::MetricsReduceBound,
    gae: gae::GaeBound,
    fit: Fit,
}

impl Rollout {
    /// Up to `kept` slots enter L_spat.
    fn new(
        g: &Gpu,
        spec: &ExpertsSpec,
        nets: &Nets,
        params: &Buf<f32>,
        kept: usize,
    ) -> Result<Self, GpuError> {
        let (r, b) = (spec.replicas(), spec.temporal.envs);
        let Sizes { obs: o, action: k, state: rows, slots: t, metrics: metric_rows } = spec.sizes();
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);
        let keys: Vec<_> = (0..r).map(|i| spec.env.key(i)).collect();
        let gae_hyper: Vec<_> = spec.all().map(TemporalConfig::gae).collect();

        let keys = g.upload("rollout.keys", &[r], &keys)?;
        let gae_hyper = g.upload("rollout.gae_hyper", &[r], &gae_hyper)?;
        let state = zero("rollout.state", &[kept + 1, r, rows, b])?;
        let obs = zero("rollout.obs", &[t + 1, r, b, o])?;
        let final_obs = zero("rollout.final_obs", &[r, b, o])?;
        let logits = zero("rollout.logits", &[r, b, k])?;
        let action = zero("rollout.action", &[t, r, b, k])?;
        let logprob = zero("rollout.logprob", &[t, r, b])?;
        // A slot more, as observations have it: both are gathered by the same kernel.
        let phases = match spec.layout.log_std {
            None => None,
            Some(_) => Some(zero("rollout.phases", &[t + 1, r, b, spec.layout.phases()])?),
        };
        let value = zero("rollout.value", &[t + 1, r, b])?;
        let final_value = zero("rollout.final_value", &[t, r, b])?;
        let reward = zero("rollout.reward", &[t, r, b])?;
        let flags = g.alloc::<u32>("rollout.flags", &[t, r, b], Fill::Zero)?;
        let advantage = zero("rollout.advantage", &[t, r, b])?;
        let returns = zero("rollout.returns", &[t, r, b])?;
        let metrics = zero("rollout.metrics", &[r, metric_rows, b])?;
        let slot_sums = zero("rollout.slot_sums", &[t, r, metric_rows, 2])?;

        check_trips(g, "gae", t)?;
        let size = Rows { r, m: b, p: nets.p };
        let buffers = EnvBuffers {
            action: &action,
            state: &state,
            obs: &obs,
            final_obs: &final_obs,
            reward: &reward,
            flags: &flags,
            metrics: &metrics,
        };
        let acting = Acting::new(g, &nets.scheduler, size, params, &obs, &logits)?;
        let hidden = hidden(g, "rollout.critic", &nets.critic, r, b)?;
        let critic = |x: &Buf<f32>, out: &Buf<f32>| {
            Forward::new(g, &nets.critic, size, params, x, &ending(&hidden, out))
        };
        let fit = [fit_of(g, &advantage, [t, r, b])?, fit_of(g, &returns, [t, r, b])?];
        let seen = spec.layout.seen();
        let mask = |obs: &Buf<f32>| {
            let spec = obs_mask::Spec { rows: r * b, o, first: seen };
            Ok::<_, GpuError>(obs_mask::ObsMask::new(g, &spec)?.bind(g, obs))
        };
        Ok(Rollout {
            env: spec.env.bind(g, b, &buffers)?,
            mask: if seen < o { Some([mask(&obs)?, mask(&final_obs)?]) } else { None },
            drawn: match &phases {
                None => None,
                Some(phases) => Some(DrawnPhases::new(
                    g,
                    &spec.layout,
                    &nets.phases,
                    size,
                    params,
                    &keys,
                    &obs,
                    phases,
                    &logprob,
                )?),
            },
            acting,
            sample: bernoulli_head::BernoulliHead::new(g, &bernoulli_head::Spec { r, b, a: k })?
                .bind(g, &keys, &logits, &action, &logprob),
            critic: critic(&obs, &value)?,
            critic_final: critic(&final_obs, &final_value)?,
            reduce: metrics_reduce::MetricsReduce::new(g, &metrics_reduce::Spec { r, metric_rows, b })?
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
            keys,
            obs,
            action,
            phases,
            logprob,
            value,
            state,
            advantage,
            returns,
            slot_sums,
            fit,
        })
    }

    /// One episode of every environment from `first`, the clock of its first slot. States before the slots of `kept`
    /// stay.
    fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        spec: &ExpertsSpec,
        first: u32,
        kept: impl Iterator<Item = usize>,
    ) {
        let (r, b) = (spec.replicas(), spec.temporal.envs);
        let Sizes { obs, action, state, slots: t, metrics } = spec.sizes();
        let (slot, slot_obs, slot_state) = (r * b, r * b * obs, r * state * b);
        let mut kept = kept.peekable();
        let mut state_off = 0;
        // The episode before has ended: these are the same fresh states that the automatic reset drew.
        self.env.reset(pass, first, state_off, 0);
        for t_now in 0..t {
            let (clock, x_off) = (first + t_now as u32, t_now * slot_obs);
            if let Some([mask, _]) = &self.mask {
                mask.record(pass, x_off);
            }
            self.acting.record(pass, b, x_off);
            self.critic.record(pass, b, x_off, t_now * slot);
            let action_off = t_now * slot * action;
            let sample = bernoulli_head::Args {
                b,
                clock,
                greedy: false,
                logits_off: 0,
                action_off,
                logprob_off: t_now * slot,
            };
            self.sample.record(pass, &sample);
            if let Some(drawn) = &self.drawn {
                drawn.record(pass, b, clock, x_off, t_now);
            }
            let next_off = state_off + if kept.next_if_eq(&t_now).is_some() { slot_state } else { 0 };
            let step = StepArgs {
                clock,
                action_off,
                state_off,
                next_off,
                obs_off: x_off + slot_obs,
                reward_off: t_now * slot,
                full: true,
            };
            self.env.step(pass, &step);
            state_off = next_off;
            let sums_off = t_now * r * metrics * 2;
            self.reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off });
        }
        if let Some([_, mask]) = &self.mask {
            mask.record(pass, 0);
        }
        self.critic_final.record(pass, b, 0, (t - 1) * slot);
    }
}

/// L_spat (13) and its gradient over minibatches of environments: the observations of the slots that enter it, and the
/// channels of their states drawn again.
struct Beams {
    envs: usize,
    /// Sums of the gains over the samples of every step of an update, `[steps, R, K]`.
    gains: Buf<f32>,
    gather: slot_gather::SlotGatherBound,
    forward: MixtureForward,
    /// By the number of slots, of which there are at most two.
    loss: Vec<(usize, Box<dyn BeamsGpu>)>,
    backward: MixtureBackward,
    gain_sum: column_sum::ColumnSumBound,
}

/// Numbers of slots that enter L_spat in an update, ascending.
fn spatial_counts(spec: &ExpertsSpec) -> Vec<usize> {
    let mut counts: Vec<usize> =
        (0..spec.spatial_stride() as u32).map(|u| spec.spatial_slots(u).count()).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Rows of a minibatch of `envs` environments in L_spat; the most.
fn spatial_rows(spec: &ExpertsSpec, envs: usize) -> usize {
    spatial_counts(spec).last().map_or(0, |most| most * envs)
}

impl Beams {
    /// Weight gradients go into `partials`; `steps` steps make an update.
    #[expect(
        clippy::too_many_arguments,
        reason = "the networks, what they learn from and where their gradients go"
    )]
    fn new(
        g: &Gpu,
        spec: &ExpertsSpec,
        net: &Mixture,
        params: &Buf<f32>,
        partials: &Buf<f32>,
        from: &Rollout,
        envs: usize,
        steps: usize,
    ) -> Result<Self, GpuError> {
        let (r, b) = (spec.replicas(), spec.temporal.envs);
        let (o, k, t) = (spec.layout.obs, spec.layout.vehicles, spec.slots());
        let (counts, rows) = (spatial_counts(spec), spatial_rows(spec, envs));
        let (phases, slots) = (spec.layout.phases(), rows / envs);
        let slices = partials.shape[0];
        check_trips(g, "dense_backward_weights", 2 * rows.div_ceil(slices) + 64)?;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);
        let obs = zero("spatial.obs", &[r, slots, envs, o])?;
        let (y, d_y) =
            (zero("spatial.phases", &[r, rows, phases])?, zero("spatial.d_phases", &[r, rows, phases])?);
        let (gain, gains) = (zero("spatial.gain", &[r, rows, k])?, zero("spatial.gains", &[steps, r, k])?);
        let size = Rows { r, m: rows, p: params.shape[1] };
        let direct = spec.layout.phase == Phase::Direct;
        let buffers = BeamBuffers { state: &from.state, phases: &y, d_phases: &d_y, gain: &gain };
        let loss = |&slots: &usize| {
            let size = BeamSize { b, slots, m: slots * envs, direct };
            Ok::<_, GpuError>((slots, spec.beams().bind(g, size, &buffers)?))
        };
        let gather = slot_gather::Spec { t, r, b, o, slots, envs };
        let forward = MixtureForward::new(g, net, size, params, &obs, &y)?;
        Ok(Beams {
            envs,
            gather: slot_gather::SlotGather::new(g, &gather)?.bind(g, &from.keys, &from.obs, &obs),
            loss: counts.iter().map(loss).collect::<Result<_, _>>()?,
            backward: MixtureBackward::new(g, net, size, slices, params, &obs, &forward, &y, &d_y, partials)?,
            forward,
            gain_sum: column_sum::ColumnSum::new(g, &column_sum::Spec { r, m: rows, c: k })?
                .bind(g, &gain, &gains),
            gains,
        })
    }

    /// Forward, loss and backward for a minibatch behind its update's rollout; sums of the gains into row `row`.
    fn record(&self, pass: &mut wgpu::ComputePass, spec: &ExpertsSpec, which: Minibatch, row: usize) {
        let kept: Vec<usize> = spec.spatial_slots(which.update).collect();
        let (first, stride, slots) = (kept[0], spec.spatial_stride(), kept.len());
        let rows = slots * self.envs;
        self.gather.record(pass, &slot_gather::Args { which, first, stride, slots });
        self.forward.record(pass, rows, 0);
        let (_, loss) = self.loss.iter().find(|(n, _)| *n == slots).expect("made for every number of slots");
        let args = BeamArgs {
            which,
            clock: which.update * spec.slots() as u32 + first as u32,
            clock_step: stride as u32,
            lambda: spec.spatial.loss_weight as f32,
        };
        loss.record(pass, &args);
        self.backward.record(pass, rows);
        let k = spec.layout.vehicles;
        let out_off = row * spec.replicas() * k;
        self.gain_sum.record(pass, &column_sum::Args { m: rows, out_stride: k, out_off, scale: 1.0 });
    }

    /// Mean gain of each replica over the steps of update `update`.
    fn mean_gain(&self, gpu: &Gpu, spec: &ExpertsSpec, update: u32) -> Result<Vec<f64>, GpuError> {
        let (r, k) = (spec.replicas(), spec.layout.vehicles);
        let sums = gpu.read(&self.gains)?;
        let samples = sums.len() / r * spec.spatial_slots(update).count() * self.envs;
        let of = |i: usize| {
            let rows = sums.chunks_exact(k).skip(i).step_by(r).flatten();
            rows.map(|g| f64::from(*g)).sum::<f64>() / samples as f64
        };
        Ok((0..r).map(of).collect())
    }
}

/// How the schedule's logits come about in a minibatch, and what goes back.
enum Learning {
    Lstm { lstm: Box<LstmGpu>, head: Box<Forward>, head_back: Box<Backward> },
    Trunk(Box<SharedTrunk>),
}

/// What compares the gradient of L_spat with the policy's.
enum Compared {
    /// And adds it.
    Joined,
    /// With a copy of the policy's, in an update's first step.
    Apart(grad_reduce::GradReduceBound),
}

/// The loss of what the policy decides.
enum PolicyLoss {
    Schedule(bernoulli_policy_loss::BernoulliPolicyLossBound),
    Joint(Box<JointLoss>),
}

/// Of a schedule and drawn phases, which come out of the rollout; sums of the gradients by `log_std` go into the first
/// slice of the partial sums.
struct JointLoss {
    gather: minibatch_gather::MinibatchGatherBound,
    loss: joint_policy_loss::JointPolicyLossBound,
    log_std_sum: column_sum::ColumnSumBound,
    /// P, and where `log_std` lies.
    p: usize,
    ls_off: usize,
}

struct SharedTrunk {
    forward: MixtureForward,
    backward: MixtureBackward,
    beams: Beams,
    reduce: grad_reduce::GradReduceBound,
    compared: Compared,
    join: grad_join::GradJoinBound,
    /// Products of the two gradients on the trunk in every step of an update, `[steps, R, 3]`.
    products: Buf<f32>,
}

/// Minibatch steps of scheduler and critic, and of the phases where they share the trunk.
struct Temporal {
    learned: Learned,
    /// Rows of every step of an update: terms of the policy loss `[R, 4]` (behind K·M others where phases are drawn)
    /// and the value loss `[R, 1]`, norms `[R, 2]`.
    term_rows: Buf<f32>,
    value_rows: Buf<f32>,
    norm_rows: Buf<f32>,
    /// Rows of the networks' inputs and outputs.
    rows: usize,

    gather: minibatch_gather::MinibatchGatherBound,
    scalars: minibatch_scalars::MinibatchScalarsBound,
    stats: advantage_stats::AdvantageStatsBound,
    scheduler: Learning,
    policy_loss: PolicyLoss,
    critic: Forward,
    value_loss: ppo_value_loss::PpoValueLossBound,
    critic_back: Backward,
    term_sum: column_sum::ColumnSumBound,
    value_sum: column_sum::ColumnSumBound,
    norm_sum: column_sum::ColumnSumBound,
}

impl Temporal {
    fn new(
        g: &Gpu,
        spec: &ExpertsSpec,
        nets: &Nets,
        learned: Learned,
        start: &LearnerState,
        from: &Rollout,
    ) -> Result<Self, GpuError> {
        let (r, b, t, p) = (spec.replicas(), spec.temporal.envs, spec.slots(), nets.p);
        let (o, k, envs) = (spec.layout.obs, spec.layout.vehicles, spec.minibatch_envs());
        // Samples of a replica, and rows of the networks.
        let (m, extra) = (t * envs, nets.extra(envs));
        let rows = m + extra;
        let steps = spec.epochs() * spec.minibatches();
        let slices = learned.partials.shape[0];
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);
        check_trips(g, "advantage_stats", 2 * m.div_ceil(advantage_stats::WG) + 32)?;
        check_trips(g, "dense_backward_weights", 2 * rows.div_ceil(slices) + 64)?;

        let obs = zero("minibatch.obs", &[r, rows, o])?;
        let action = zero("minibatch.action", &[r, m, k])?;
        let scalars = g.alloc::<[f32; 4]>("minibatch.scalars", &[r, m], Fill::Zero)?;
        let stats = g.alloc::<[f32; 2]>("minibatch.advantage_stats", &[r], Fill::Zero)?;
        // Drawn phases stand behind the logits, and the gradient by both takes their place.
        let drawn = spec.layout.log_std().len();
        let logits = zero("minibatch.logits", &[r, rows, k + drawn])?;
        let d_logits = if drawn > 0 { logits.clone() } else { zero("minibatch.d_logits", &[r, rows, k])? };
        let (value, d_value) = (zero("minibatch.value", &[r, rows])?, zero("minibatch.d_value", &[r, rows])?);
        let h = hidden(g, "minibatch.critic", &nets.critic, r, rows)?;
        let dh = hidden(g, "minibatch.critic.d", &nets.critic, r, rows)?;
        let width = drawn + 4;
        let (terms, terms_v) =
            (zero("minibatch.terms", &[r, m, width])?, zero("minibatch.terms_v", &[r, m, 1])?);
        let (term_rows, value_rows) =
            (zero("update.term_rows", &[steps, r, width])?, zero("update.value_rows", &[steps, r, 1])?);
        let norm_rows = zero("update.norm_rows", &[steps, r, 2])?;
        let learned = learned.paced(g, spec, start, nets.critic.offset, &term_rows)?;

        let (params, partials) = (&learned.params, &learned.partials);
        let size = Rows { r, m: rows, p };
        let scheduler = match &nets.scheduler {
            SchedulerNets::Lstm { lstm, head } => {
                let sequences = Sequences { r, s: t, m: envs, p, t_seq: spec.temporal.t_seq };
                let lstm = LstmGpu::new(g, lstm, sequences, slices, params, &obs, None, partials)?;
                let x = &lstm.hidden;
                let forward = Forward::new(g, head, size, params, x, &[&logits])?;
                let (acts, dy, dx) = ([&logits], [&d_logits], Some(&lstm.dh));
                let back = Backward::new(g, head, size, slices, params, x, &acts, &dy, dx, partials)?;
                Learning::Lstm { head: Box::new(forward), head_back: Box::new(back), lstm: Box::new(lstm) }
            }
            SchedulerNets::Trunk(net) => {
                let whole = match &spec.layout.decision {
                    Decision::Shared { gate, experts } if drawn > 0 => {
                        Some(Mixture { nets: experts.clone(), gate: gate.clone() })
                    }
                    _ => None,
                };
                let net = whole.as_ref().unwrap_or(net);
                let forward = MixtureForward::new(g, net, size, params, &obs, &logits)?;
                let backward = MixtureBackward::new(
                    g, net, size, slices, params, &obs, &forward, &logits, &d_logits, partials,
                )?;
                let own = self::slices(spatial_rows(spec, envs));
                let other = zero("spatial.partials", &[own, r, p])?;
                let other_grads = zero("spatial.grads", &[r, p])?;
                let compared = if drawn > 0 { 1 } else { steps };
                let products = zero("update.products", &[compared, r, 3])?;
                // L_spat's gradient is added to this.
                let joined = match drawn {
                    0 => learned.grads.clone(),
                    _ => zero("policy.grads", &[r, p])?,
                };
                let mut mask = vec![0f32; p];
                trunk(&spec.layout).into_iter().for_each(|range| mask[range].fill(1.0));
                let mask = g.upload("trunk.mask", &[p], &mask)?;
                check_trips(g, "grad_join", p.div_ceil(grad_join::WG) + 10)?;
                Learning::Trunk(Box::new(SharedTrunk {
                    forward,
                    backward,
                    beams: Beams::new(g, spec, &nets.phases, params, &other, from, envs, compared)?,
                    compared: match drawn {
                        0 => Compared::Joined,
                        _ => Compared::Apart(
                            grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: 1 })?.bind(
                                g,
                                &learned.grads,
                                &joined,
                            ),
                        ),
                    },
                    reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: own })?.bind(
                        g,
                        &other,
                        &other_grads,
                    ),
                    join: grad_join::GradJoin::new(g, &grad_join::Spec { r, p })?.bind(
                        g,
                        &mask,
                        &other_grads,
                        &joined,
                        &products,
                    ),
                    products,
                }))
            }
        };
        let sum = |m: usize, c: usize, from: &Buf<f32>, to: &Buf<f32>| {
            let kernel = column_sum::ColumnSum::new(g, &column_sum::Spec { r, m, c })?;
            Ok::<_, GpuError>(kernel.bind(g, from, to))
        };
        let (unit, acts) = (Unit::Environment, ending(&h, &value));
        let gather = minibatch_gather::Spec { t, r, b, o, a: k, m, unit, tail: extra };
        let own_scalars = minibatch_scalars::Spec { t, r, b, m, unit };
        let normalise = spec.temporal.normalise_advantages;
        let own_stats = advantage_stats::Spec { r, m, unbiased: true, normalise };
        let clip = spec.temporal.algorithm == PolicyGradient::Ppo;
        let surrogate: Vec<_> = (0..r).map(|i| spec.of(i).surrogate().row()).collect();
        let surrogate = g.upload("temporal.surrogate", &[r], &surrogate)?;
        let squares = ppo_value_loss::Hyper { vf_coef: 1.0, clip_eps: 0.0 };
        let squares = g.upload("temporal.squares", &[r], &vec![squares.row(); r])?;
        let values = ppo_value_loss::Spec { r, m, tail: extra, clip: false };
        let dy = ending(&dh, &d_value);
        let policy_loss = match &from.phases {
            None => {
                let spec = bernoulli_policy_loss::Spec { r, m, a: k, skip: extra, clip };
                let kernel = bernoulli_policy_loss::BernoulliPolicyLoss::new(g, &spec)?;
                PolicyLoss::Schedule(
                    kernel.bind(g, &logits, &action, &scalars, &stats, &surrogate, &d_logits, &terms),
                )
            }
            Some(phases) => {
                let ls_off = spec.layout.log_std().start;
                let own = zero("minibatch.phases", &[r, m, drawn])?;
                // The cameras come along once more.
                let gather = minibatch_gather::Spec { t, r, b, o: drawn, a: k, m, unit, tail: 0 };
                let joint = joint_policy_loss::Spec { r, m, k, a: drawn, p, ls_off, clip };
                PolicyLoss::Joint(Box::new(JointLoss {
                    gather: minibatch_gather::MinibatchGather::new(g, &gather)?.bind(
                        g,
                        &from.keys,
                        phases,
                        &from.action,
                        &own,
                        &action,
                    ),
                    loss: joint_policy_loss::JointPolicyLoss::new(g, &joint)?
                        .bind(g, params, &logits, &action, &own, &scalars, &stats, &surrogate, &terms),
                    log_std_sum: sum(m, width, &terms, partials)?,
                    p,
                    ls_off,
                }))
            }
        };
        Ok(Temporal {
            gather: minibatch_gather::MinibatchGather::new(g, &gather)?.bind(
                g,
                &from.keys,
                &from.obs,
                &from.action,
                &obs,
                &action,
            ),
            scalars: minibatch_scalars::MinibatchScalars::new(g, &own_scalars)?.bind(
                g,
                &from.keys,
                &from.logprob,
                &from.advantage,
                &from.returns,
                &from.value,
                &scalars,
            ),
            stats: advantage_stats::AdvantageStats::new(g, &own_stats)?.bind(g, &scalars, &stats),
            scheduler,
            policy_loss,
            critic: Forward::new(g, &nets.critic, size, params, &obs, &acts)?,
            value_loss: ppo_value_loss::PpoValueLoss::new(g, &values)?
                .bind(g, &value, &scalars, &squares, &d_value, &terms_v),
            critic_back: Backward::new(
                g,
                &nets.critic,
                size,
                slices,
                params,
                &obs,
                &acts,
                &dy,
                None,
                partials,
            )?,
            term_sum: sum(m, width, &terms, &term_rows)?,
            value_sum: sum(m, 1, &terms_v, &value_rows)?,
            norm_sum: sum(1, 2, &learned.norms, &norm_rows)?,
            learned,
            term_rows,
            value_rows,
            norm_rows,
            rows,
        })
    }

    /// What must be zero before a step: the state in front of the sequences.
    fn recurrent_state(&self) -> Vec<&Buf<f32>> {
        match &self.scheduler {
            Learning::Lstm { lstm, .. } => vec![&lstm.h_now],
            Learning::Trunk(_) => Vec::new(),
        }
    }

    /// Step `row` of the update, Adam's step `t`.
    fn record(&self, pass: &mut wgpu::ComputePass, spec: &ExpertsSpec, which: Minibatch, t: u64, row: usize) {
        let (r, rows) = (spec.replicas(), self.rows);
        let m = spec.slots() * spec.minibatch_envs();
        self.gather.record(pass, which);
        self.scalars.record(pass, which);
        self.stats.record(pass);
        // losses
        match &self.scheduler {
            Learning::Lstm { lstm, head, .. } => {
                lstm.record_forward(pass);
                head.record(pass, rows, 0, 0);
            }
            Learning::Trunk(trunk) => trunk.forward.record(pass, rows, 0),
        }
        match &self.policy_loss {
            PolicyLoss::Schedule(loss) => loss.record(pass),
            PolicyLoss::Joint(joint) => {
                joint.gather.record(pass, which);
                joint.loss.record(pass);
                // The four columns behind those of log_std fall on the critic's first weights, which its backward pass
                // overwrites.
                let (out_stride, out_off) = (joint.p, joint.ls_off);
                joint.log_std_sum.record(pass, &column_sum::Args { m, out_stride, out_off, scale: 1.0 });
            }
        }
        self.critic.record(pass, rows, 0, 0);
        self.value_loss.record(pass);
        // backward
        match &self.scheduler {
            Learning::Lstm { lstm, head_back, .. } => {
                head_back.record(pass, rows);
                lstm.record_backward(pass);
            }
            Learning::Trunk(trunk) => trunk.backward.record(pass, rows),
        }
        self.critic_back.record(pass, rows);
        self.learned.reduce.record(pass);
        if let Learning::Trunk(trunk) = &self.scheduler {
            if let Compared::Apart(copy) = &trunk.compared
                && row == 0
            {
                copy.record(pass);
            }
            if matches!(trunk.compared, Compared::Joined) || row == 0 {
                trunk.beams.record(pass, spec, which, row);
                trunk.reduce.record(pass);
                trunk.join.record(pass, row * r * 3);
            }
        }
        let total = |m: usize, width: usize, scale: f32| column_sum::Args {
            m,
            out_stride: width,
            out_off: row * r * width,
            scale,
        };
        self.term_sum.record(pass, &total(m, self.term_rows.shape[2], 1.0 / m as f32));
        // clip, pace, adam: the divergence is among the sums
        self.learned.record_step(pass, t, row);
        // sums for the metrics
        self.value_sum.record(pass, &total(m, 1, 1.0 / m as f32));
        self.norm_sum.record(pass, &total(1, 2, 1.0));
    }
}

/// Steps of phases with a network of their own.
struct Spatial {
    learned: Learned,
    beams: Beams,
}

/// R replicas on a GPU.
pub struct ExpertsPpoGpu {
    gpu: Arc<Gpu>,
    spec: ExpertsSpec,
    rollout: Rollout,
    temporal: Temporal,
    /// None where the trunk is shared.
    spatial: Option<Spatial>,
    adam_steps: u64,
    /// The update that is going on.
    update: u32,
}

impl ExpertsPpoGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the rollout.
    pub fn new(gpu: Arc<Gpu>, spec: &ExpertsSpec, start: &LearnerState) -> Result<Self, GpuError> {
        let g = &*gpu;
        let [policy, critic, phases] = spec.layout.groups();
        let nets = Nets::new(spec);
        let (envs, split) = (spec.minibatch_envs(), policy.len());
        let rows = spec.slots() * envs + nets.extra(envs);
        let max_norm = |r: usize| spec.of(r).max_grad_norm;
        let parts = vec![policy, critic];
        let learned = Learned::new(g, "temporal", spec, start, parts, split, slices(rows), max_norm)?;
        let kept = spatial_rows(spec, 1);
        let rollout = Rollout::new(g, spec, &nets, &learned.params, kept)?;
        let temporal = Temporal::new(g, spec, &nets, learned, start, &rollout)?;
        let spatial = if spec.layout.isolated() {
            let (envs, split) = (spec.temporal.envs, phases.len());
            let (rows, max_norm) = (spatial_rows(spec, envs), spec.spatial.max_grad_norm);
            let parts = vec![phases];
            let learned = Learned::new(g, "phases", spec, start, parts, split, slices(rows), |_| max_norm)?;
            let beams =
                Beams::new(g, spec, &nets.phases, &learned.params, &learned.partials, &rollout, envs, 1)?;
            Some(Spatial { learned, beams })
        } else {
            None
        };
        let (adam_steps, update) = (start.adam_steps, start.updates);
        Ok(ExpertsPpoGpu { rollout, temporal, spatial, adam_steps, update, spec: spec.clone(), gpu })
    }

    /// Sets `clear` to zero, records into one compute pass and submits without waiting.
    fn submit(&self, clear: &[&Buf<f32>], record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut enc = self.gpu.device.create_command_encoder(&Default::default());
        clear.iter().for_each(|b| enc.clear_buffer(&b.raw, 0, None));
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([enc.finish()]);
    }

    /// Mean gain, norm of L_spat's gradient and its cosine with the policy's, of each replica.
    fn spatial_metrics(&self) -> Result<Vec<[f64; 3]>, GpuError> {
        let (gpu, spec) = (&self.gpu, &self.spec);
        let (beams, of): (_, Vec<[f64; 2]>) = match (&self.spatial, &self.temporal.scheduler) {
            (Some(s), _) => {
                let norms = gpu.read(&s.learned.norms)?;
                (&s.beams, norms.chunks_exact(2).map(|n| [f64::from(n[0]), f64::NAN]).collect())
            }
            (None, Learning::Trunk(trunk)) => {
                // Of the first step, where nothing has moved yet.
                let first = gpu.read(&trunk.products)?;
                let of = |x: &[f32]| {
                    let [dot, a, b] = [0, 1, 2].map(|k| f64::from(x[k]));
                    [b.sqrt(), dot / (a * b).sqrt()]
                };
                (&trunk.beams, first.chunks_exact(3).take(spec.replicas()).map(of).collect())
            }
            (None, Learning::Lstm { .. }) => {
                unreachable!("phases beside an LSTM have a network of their own")
            }
        };
        let gains = beams.mean_gain(gpu, spec, self.update)?;
        Ok(gains.into_iter().zip(of).map(|(gain, [norm, cosine])| [gain, norm, cosine]).collect())
    }
}

impl Experts for ExpertsPpoGpu {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        self.update = update;
        let (spec, first) = (&self.spec, update * self.spec.slots() as u32);
        self.submit(&self.rollout.acting.recurrent_state(), |pass| {
            self.rollout.record(pass, spec, first, spec.spatial_slots(update));
        });
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        self.submit(&[], |pass| {
            self.rollout.gae.record(pass);
            record_fit(pass, &self.rollout.fit);
        });
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        // The learning rates hold for an update, and a write of them would split the stream of commands.
        if epoch == 0 && mb == 0 {
            self.temporal.learned.rates(&self.gpu, rates.iter().map(|lr| [lr[0], lr[1]]));
        }
        self.adam_steps += 1;
        let which = Minibatch { update, epoch, mb };
        let row = epoch as usize * self.spec.minibatches() + mb as usize;
        self.submit(&self.temporal.recurrent_state(), |pass| {
            self.temporal.record(pass, &self.spec, which, self.adam_steps, row);
        });
        Ok(())
    }

    fn spatial(&mut self, update: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        let spatial = self.spatial.as_ref().expect("called where the phases have a network of their own");
        spatial.learned.rates(&self.gpu, rates.iter().map(|lr| [lr[2]; 2]));
        self.submit(&[], |pass| {
            // All environments.
            spatial.beams.record(pass, &self.spec, Minibatch { update, epoch: 0, mb: 0 }, 0);
            spatial.learned.reduce.record(pass);
            spatial.learned.record_step(pass, u64::from(update) + 1, 0);
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let gpu = &self.gpu;
        if !read {
            // Bounds what is in flight; nothing is read.
            let done = gpu.queue.submit([]);
            gpu.wait(done)?;
            return Ok(None);
        }
        let (r, Sizes { slots: t, metrics: rows, .. }) = (self.spec.replicas(), self.spec.sizes());
        let slots = gpu.read(&self.rollout.slot_sums)?;
        let (terms, values) = (gpu.read(&self.temporal.term_rows)?, gpu.read(&self.temporal.value_rows)?);
        let norms = gpu.read(&self.temporal.norm_rows)?;
        let paces = gpu.read(&self.temporal.learned.paced_by().rows)?;
        let [missed, returns] = [0, 1].map(|k| gpu.read(&self.rollout.fit[k].1));
        let (missed, returns) = (missed?, returns?);
        let clips = self.spec.temporal.algorithm == PolicyGradient::Ppo;
        let spatial = self.spatial_metrics()?;
        let steps = values.len() / r;
        let width = self.temporal.term_rows.shape[2];
        let update = |i: usize| {
            let slot_mean = |row: &usize| {
                let at = |t: usize| ((t * r + i) * rows + row) * 2;
                (0..t).map(|t| f64::from(slots[at(t)])).sum::<f64>() / self.spec.samples() as f64
            };
            let step_mean = |of: &[f32], width: usize, c: usize| {
                let at = |step: usize| (step * r + i) * width + c;
                (0..steps).map(|step| f64::from(of[at(step)])).sum::<f64>() / steps as f64
            };
            let [gain, grad_norm, cosine] = spatial[i];
            UpdateMetrics {
                slots: self.spec.env.curve().iter().map(slot_mean).collect(),
                gradient_steps: steps as u32,
                policy_loss: step_mean(&terms, width, width - 4),
                value_loss: step_mean(&values, 1, 0),
                entropy: step_mean(&terms, width, width - 1),
                grad_norm_actor: step_mean(&norms, 2, 0),
                grad_norm_critic: step_mean(&norms, 2, 1),
                approx_kl: if clips { step_mean(&terms, width, width - 3) } else { f64::NAN },
                clip_fraction: if clips { step_mean(&terms, width, width - 2) } else { f64::NAN },
                explained_variance: explained_variance(
                    self.spec.samples() as f64,
                    fit_sums(&missed, i, r),
                    fit_sums(&returns, i, r),
                ),
                rate_share: step_mean(&paces, 8, 0),
                // The first step of an update leaves none out.
                skipped_share: f64::from(paces[((steps - 1) * r + i) * 8 + 5] - paces[i * 8 + 5])
                    / steps as f64,
                beams: Some(BeamUpdate { gain, grad_norm, cosine }),
                ..UpdateMetrics::absent()
            }
        };
        Ok(Some((0..r).map(update).collect()))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let whole = self.spec.params();
        let gpu_paces = self.gpu.read(&self.temporal.learned.paced_by().pace)?;
        let zeros = vec![0.0; self.spec.replicas() * whole];
        let mut state = LearnerState {
            m: zeros.clone(),
            v: zeros.clone(),
            params: zeros,
            adam_steps: self.adam_steps,
            updates,
            extra: vec![pace_extra(gpu_paces.as_chunks().0.iter().copied())],
        };
        self.temporal.learned.read(&self.gpu, whole, &mut state)?;
        if let Some(spatial) = &self.spatial {
            spatial.learned.read(&self.gpu, whole, &mut state)?;
        }
        Ok(state)
    }
}
