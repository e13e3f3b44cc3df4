//! One gradient step of an off-policy agent on the GPU, from a gathered minibatch to the target networks: what training
//! repeats and what the golden vectors check.

use super::network::{Backward, Forward, Rows};
use super::off_policy::Nets;
use super::{LearnerState, slices};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::{
    adam, column_sum, critic_input, critic_input_backward, grad_norm, grad_reduce, polyak, td_loss,
};

/// What is minimised.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Squared error of the critic; the actor, whose actions are scale·tanh(z), climbs the critic.
    Ddpg { scale: f32 },
    /// Error of the sum of one choice for each of `k` vehicles, whose heads have `l` values, split as [`td_loss`] has
    /// it.
    Dqn { k: usize, l: usize, split: usize, huber: bool },
}

/// What a step is made for.
#[derive(Clone, Debug)]
pub struct Spec {
    pub nets: Nets,
    pub loss: Loss,
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica.
    pub m: usize,
    /// D: numbers that an action is stored as.
    pub d: usize,
    /// Of each replica, `[R]`: the discount, and the share of the online weights in the targets.
    pub gamma: Vec<f32>,
    pub tau: Vec<f32>,
    /// Most steps between two readings of the metrics.
    pub steps: usize,
}

/// Means over one minibatch, as the kernels leave them.
#[derive(Clone, Copy, Debug)]
pub struct StepMetrics {
    /// NaN without an actor.
    pub policy_loss: f64,
    pub value_loss: f64,
    /// Norms before clipping: of the first parameter group and of the second (0 if it is empty).
    pub norms: [f64; 2],
}

/// The critic's side of the policy gradient.
struct ActorStep {
    scale: f32,
    actor_target: Forward,
    input_next: critic_input::CriticInputBound,
    critic_target: Forward,
    actor: Forward,
    input_policy: critic_input::CriticInputBound,
    critic_policy: Forward,
    critic_back: Backward,
    input_back: critic_input_backward::CriticInputBackwardBound,
    actor_back: Backward,
    input_taken: critic_input::CriticInputBound,
    policy_sum: column_sum::ColumnSumBound,
    policy_rows: Buf<f32>,
}

/// The kernels of a gradient step with their buffers, and the learners they move.
pub struct OffPolicyStep {
    spec: Spec,

    /// The minibatch, to be filled before a step: `[R, M, O]`, `[R, M, D]`, `[R, M, O]`, (reward, 1 − terminated)
    /// `[R, M]`.
    pub obs: Buf<f32>,
    pub action: Buf<f32>,
    pub next: Buf<f32>,
    pub scalars: Buf<[f32; 2]>,

    /// Weights, those of the target networks, and moments of Adam, `[R, P]`.
    pub params: Buf<f32>,
    pub target: Buf<f32>,
    pub m: Buf<f32>,
    pub v: Buf<f32>,
    /// Gradients of the last step before clipping, `[R, P]`.
    pub grads: Buf<f32>,
    /// (term of the loss, y) of every sample of the last step, `[R, M, 2]`.
    pub terms: Buf<f32>,
    hyper: Buf<f32>,
    /// Rows of every step of an update: loss and mean y `[R, 2]`, norms `[R, 2]`.
    term_rows: Buf<f32>,
    norm_rows: Buf<f32>,

    actor: Option<ActorStep>,
    /// `dqn`: the target network at the next observations.
    value_next: Option<Forward>,
    value: Forward,
    loss: td_loss::TdLossBound,
    value_back: Backward,
    term_sum: column_sum::ColumnSumBound,
    norm_sum: column_sum::ColumnSumBound,
    reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    adam: adam::AdamBound,
    polyak: polyak::PolyakBound,
}

impl OffPolicyStep {
    /// `start` holds the parameters, their moments, and the targets as its first further array.
    pub fn new(g: &Gpu, spec: &Spec, start: &LearnerState) -> Result<Self, GpuError> {
        let &Spec { r, m, d, .. } = spec;
        let (net, p, split) = (&spec.nets.policy, spec.nets.params(), spec.nets.split());
        let o = net.inputs();
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);
        let layers = |name: &str, net: &crate::nets::MlpLayout| -> Result<Vec<Buf<f32>>, GpuError> {
            let each = net.layers.iter().enumerate();
            each.map(|(i, l)| zero(&format!("{name}{}", i + 1), &[r, m, l.outputs])).collect()
        };
        fn all(x: &[Buf<f32>]) -> Vec<&Buf<f32>> {
            x.iter().collect()
        }
        fn last(x: &[Buf<f32>]) -> &Buf<f32> {
            x.last().expect("a network has layers")
        }

        // The learners.
        let params = g.upload("off_policy.params", &[r, p], &start.params)?;
        let target = g.upload("off_policy.target", &[r, p], &start.extra[0].data)?;
        let moment1 = g.upload("off_policy.adam_m", &[r, p], &start.m)?;
        let moment2 = g.upload("off_policy.adam_v", &[r, p], &start.v)?;
        zeros!(g, "off_policy": hyper[r, 8]);
        let gamma = g.upload("off_policy.gamma", &[r], &spec.gamma)?;
        let tau = g.upload("off_policy.tau", &[r], &spec.tau)?;

        // The minibatch.
        let scalars = g.alloc::<[f32; 2]>("minibatch.scalars", &[r, m], Fill::Zero)?;
        zeros!(g, "minibatch": obs[r, m, o], action[r, m, d], next[r, m, o], terms[r, m, 2], partials[slices(m), r, p],
            grads[r, p], norms[r, 2]);
        zeros!(g, "update": term_rows[spec.steps, r, 2], norm_rows[spec.steps, r, 2]);

        let size = Rows { r, m, p };
        let sum_of = |c: usize, m: usize, from: &Buf<f32>, to: &Buf<f32>| {
            Ok::<_, GpuError>(column_sum::ColumnSum::new(g, &column_sum::Spec { r, m, c })?.bind(g, from, to))
        };

        // The value network that the loss is of: its input, activations and their gradients.
        let value_net = spec.nets.critic.as_ref().unwrap_or(net);
        let (acts, dy) = (layers("value.h", value_net)?, layers("value.d", value_net)?);
        let next_acts = layers("value.next", value_net)?;
        let of = match spec.loss {
            Loss::Ddpg { .. } => td_loss::Spec { r, m, k: 1, l: 1, split: 0, huber: false },
            Loss::Dqn { k, l, split, huber } => td_loss::Spec { r, m, k, l, split, huber },
        };
        let loss = td_loss::TdLoss::new(g, &of)?;
        let loss = loss.bind(g, &gamma, last(&acts), last(&next_acts), &action, &scalars, last(&dy), &terms);
        let back = |net, x: &Buf<f32>, acts: &[Buf<f32>], dy: &[&Buf<f32>], dx: Option<&Buf<f32>>| {
            Backward::new(g, net, size, slices(m), &params, x, &all(acts), dy, dx, &partials)
        };

        let mut actor = None;
        let mut taken = None;
        if let (Loss::Ddpg { scale }, Some(critic)) = (spec.loss, &spec.nets.critic) {
            let a = net.outputs();
            let input = critic_input::CriticInput::new(g, &critic_input::Spec { r, m, o, a })?;
            zeros!(g, "critic": x[r, m, o + a]);
            zeros!(g, "policy": x_policy[r, m, o + a], dx[r, m, o + a]);
            let (actor_acts, actor_dy) = (layers("actor.h", net)?, layers("actor.d", net)?);
            let z = last(&actor_acts);
            // −mean Q has the same gradient by every Q.
            let slope = g.upload("policy.slope", &[r, m, 1], &vec![-1.0 / m as f32; r * m])?;
            let mut slope_dy = all(&dy);
            *slope_dy.last_mut().expect("a network has layers") = &slope;
            zeros!(g, "update": policy_rows[spec.steps, r, 1]);
            let spec = critic_input_backward::Spec { r, m, o, a };
            let back_input = critic_input_backward::CriticInputBackward::new(g, &spec)?;
            actor = Some(ActorStep {
                scale,
                actor_target: Forward::new(g, net, size, &target, &next, &all(&actor_acts))?,
                input_next: input.bind(g, &next, z, &x),
                critic_target: Forward::new(g, critic, size, &target, &x, &all(&next_acts))?,
                actor: Forward::new(g, net, size, &params, &obs, &all(&actor_acts))?,
                input_policy: input.bind(g, &obs, z, &x_policy),
                critic_policy: Forward::new(g, critic, size, &params, &x_policy, &all(&acts))?,
                critic_back: back(critic, &x_policy, &acts, &slope_dy, Some(&dx))?,
                input_back: back_input.bind(g, &x_policy, &dx, last(&actor_dy)),
                actor_back: back(net, &obs, &actor_acts, &all(&actor_dy), None)?,
                input_taken: input.bind(g, &obs, &action, &x),
                policy_sum: sum_of(1, m, last(&acts), &policy_rows)?,
                policy_rows,
            });
            taken = Some(x);
        }
        let x = taken.as_ref().unwrap_or(&obs);
        let value_next = match spec.loss {
            Loss::Ddpg { .. } => None,
            Loss::Dqn { .. } => Some(Forward::new(g, net, size, &target, &next, &all(&next_acts))?),
        };
        Ok(OffPolicyStep {
            value: Forward::new(g, value_net, size, &params, x, &all(&acts))?,
            value_back: back(value_net, x, &acts, &all(&dy), None)?,
            actor,
            value_next,
            loss,
            term_sum: sum_of(2, m, &terms, &term_rows)?,
            norm_sum: sum_of(2, 1, &norms, &norm_rows)?,
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: slices(m) })?
                .bind(g, &partials, &grads),
            norm: grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split, joint: false })?
                .bind(g, &grads, &norms),
            adam: adam::Adam::new(g, &adam::Spec { r, p, split })?
                .bind(g, &params, &grads, &norms, &moment1, &moment2, &hyper, &hyper),
            polyak: polyak::Polyak::new(g, &polyak::Spec { r, p })?.bind(g, &tau, &params, &target),
            obs,
            action,
            next,
            scalars,
            params,
            target,
            m: moment1,
            v: moment2,
            grads,
            terms,
            hyper,
            term_rows,
            norm_rows,
            spec: spec.clone(),
        })
    }

    /// Sets the constants of each replica's optimiser, `[R]`, for the steps submitted from now on.
    pub fn optimiser(&self, gpu: &Gpu, hyper: &[adam::Hyper]) {
        gpu.write(&self.hyper, &hyper.iter().flat_map(|h| h.row::<f32>()).collect::<Vec<_>>());
    }

    /// One step on what the minibatch holds: targets, losses, backward, clip, Adam's step `t` = 1, 2, …; its metrics go
    /// to row `row`.
    pub fn record(&self, pass: &mut wgpu::ComputePass, hyper: &adam::Hyper, t: u64, row: usize) {
        let (r, m) = (self.spec.r, self.spec.m);
        let total = |m: usize, width: usize, scale: f32| column_sum::Args {
            m,
            out_stride: width,
            out_off: row * r * width,
            scale,
        };
        if let Some(net) = &self.value_next {
            net.record(pass, m, 0, 0);
        }
        if let Some(x) = &self.actor {
            // Q_t(o', μ_t(o'))
            x.actor_target.record(pass, m, 0, 0);
            x.input_next.record(pass, Some(x.scale));
            x.critic_target.record(pass, m, 0, 0);
            // −mean Q(o, μ(o)), through the critic that the loss below has not moved yet
            x.actor.record(pass, m, 0, 0);
            x.input_policy.record(pass, Some(x.scale));
            x.critic_policy.record(pass, m, 0, 0);
            x.policy_sum.record(pass, &total(m, 1, -1.0 / m as f32));
            x.critic_back.record_input(pass, m);
            x.input_back.record(pass, x.scale);
            x.actor_back.record(pass, m);
            x.input_taken.record(pass, None);
        }
        self.value.record(pass, m, 0, 0);
        self.loss.record(pass);
        self.value_back.record(pass, m);
        self.reduce.record(pass);
        // clip, adam: the bias corrections follow from t alone, the rest is in `hyper`
        self.norm.record(pass);
        self.adam.record(pass, &hyper.args(t));
        // sums for the metrics
        self.term_sum.record(pass, &total(m, 2, 1.0 / m as f32));
        self.norm_sum.record(pass, &total(1, 2, 1.0));
    }

    /// target ← τ·online + (1 − τ)·target
    pub fn record_targets(&self, pass: &mut wgpu::ComputePass) {
        self.polyak.record(pass);
    }

    /// The metrics of the first `steps` rows, read back: `[steps][R]`.
    pub fn metrics(&self, gpu: &Gpu, steps: usize) -> Result<Vec<Vec<StepMetrics>>, GpuError> {
        let (terms, norms) = (gpu.read(&self.term_rows)?, gpu.read(&self.norm_rows)?);
        let policy = match &self.actor {
            Some(x) => gpu.read(&x.policy_rows)?,
            None => vec![f32::NAN; terms.len() / 2],
        };
        let of = |i: usize| StepMetrics {
            policy_loss: policy[i].into(),
            value_loss: terms[2 * i].into(),
            norms: [norms[2 * i].into(), norms[2 * i + 1].into()],
        };
        let r = self.spec.r;
        Ok((0..steps).map(|step| (0..r).map(|k| of(step * r + k)).collect()).collect())
    }
}
