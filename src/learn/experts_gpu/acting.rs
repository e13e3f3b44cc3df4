//! Which networks decide, and how a schedule and drawn phases come out of them slot by slot.

use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::gaussian_head;
use crate::learn::experts::ExpertsSpec;
use crate::learn::mixture::{Mixture, MixtureForward, heads};
use crate::learn::network::{Forward, Rows};
use crate::learn::recurrent::LstmStepGpu;
use crate::nets::MlpLayout;
use crate::nets::experts::{Decision, ExpertsLayout};
use crate::nets::lstm::LstmLayout;

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
pub(super) struct Nets {
    pub(super) scheduler: SchedulerNets,
    pub(super) critic: MlpLayout,
    /// In the vector of scheduler and critic where the trunk is shared, else in its own.
    pub(super) phases: Mixture,
    /// P of scheduler and critic.
    pub(super) p: usize,
}

impl Nets {
    pub(super) fn new(spec: &ExpertsSpec) -> Self {
        let layout = &spec.layout;
        let [policy, critic, _] = layout.groups();
        let (scheduler, mut phases) = decision_nets(layout);
        if layout.isolated() {
            phases.nets = phases.nets.iter().map(|net| net.at(0)).collect();
        }
        Nets { scheduler, critic: layout.critic.at(policy.len()), phases, p: policy.len() + critic.len() }
    }

    /// Rows of a minibatch of `envs` environments beside its samples: a sequence has a state more than steps.
    pub(super) fn extra(&self, envs: usize) -> usize {
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
