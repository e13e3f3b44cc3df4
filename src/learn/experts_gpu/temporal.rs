//! A minibatch step of scheduler and critic, and of the phases where they share the trunk.

use super::acting::{Nets, SchedulerNets};
use super::beams::{Beams, spatial_rows};
use super::learned::Learned;
use super::rollout::Rollout;
use crate::config::PolicyGradient;
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::twin::check_trips;
use crate::kernels::{
    advantage_stats, bernoulli_policy_loss, column_sum, grad_join, grad_reduce, joint_policy_loss,
    minibatch_gather, minibatch_scalars, ppo_value_loss,
};
use crate::learn::experts::ExpertsSpec;
use crate::learn::experts_cpu::trunk;
use crate::learn::mixture::{Mixture, MixtureBackward, MixtureForward, ending, hidden};
use crate::learn::network::{Backward, Forward, Rows};
use crate::learn::recurrent::{LstmGpu, Sequences};
use crate::learn::{LearnerState, slices};
use crate::nets::experts::Decision;
use crate::num::shuffle::{Minibatch, Unit};

/// How the schedule's logits come about in a minibatch, and what goes back.
pub(super) enum Learning {
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

pub(super) struct SharedTrunk {
    forward: MixtureForward,
    backward: MixtureBackward,
    pub(super) beams: Beams,
    reduce: grad_reduce::GradReduceBound,
    compared: Compared,
    join: grad_join::GradJoinBound,
    /// Products of the two gradients on the trunk in every step of an update, `[steps, R, 3]`.
    pub(super) products: Buf<f32>,
}

/// Minibatch steps of scheduler and critic, and of the phases where they share the trunk.
pub(super) struct Temporal {
    pub(super) learned: Learned,
    /// Rows of every step of an update: terms of the policy loss `[R, 4]` (behind K·M others where phases are drawn)
    /// and the value loss `[R, 1]`, norms `[R, 2]`.
    pub(super) term_rows: Buf<f32>,
    pub(super) value_rows: Buf<f32>,
    pub(super) norm_rows: Buf<f32>,
    /// Rows of the networks' inputs and outputs.
    rows: usize,

    gather: minibatch_gather::MinibatchGatherBound,
    scalars: minibatch_scalars::MinibatchScalarsBound,
    stats: advantage_stats::AdvantageStatsBound,
    pub(super) scheduler: Learning,
    policy_loss: PolicyLoss,
    critic: Forward,
    value_loss: ppo_value_loss::PpoValueLossBound,
    critic_back: Backward,
    term_sum: column_sum::ColumnSumBound,
    value_sum: column_sum::ColumnSumBound,
    norm_sum: column_sum::ColumnSumBound,
}

impl Temporal {
    pub(super) fn new(
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
    pub(super) fn recurrent_state(&self) -> Vec<&Buf<f32>> {
        match &self.scheduler {
            Learning::Lstm { lstm, .. } => vec![&lstm.h_now],
            Learning::Trunk(_) => Vec::new(),
        }
    }

    /// Step `row` of the update, Adam's step `t`.
    pub(super) fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        spec: &ExpertsSpec,
        which: Minibatch,
        t: u64,
        row: usize,
    ) {
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
