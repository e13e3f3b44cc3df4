//! One minibatch step of PPO on the GPU, from gathered samples to Adam: what training repeats and what the golden
//! vectors check.

use super::network::{Backward, Forward, Rows, Spikes, visible};
use super::{LearnerState, slices};
use crate::config::{ClipScope, PpoConfig};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::adam::Clamp;
use crate::kernels::{
    adam, advantage_stats, column_sum, grad_norm, grad_reduce, kl_control, ppo_policy_loss, ppo_value_loss,
};
use crate::nets::ActorCriticLayout;

/// Means over one minibatch, as the kernels leave them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepMetrics {
    pub policy_loss: f64,
    pub approx_kl: f64,
    pub clip_fraction: f64,
    pub entropy: f64,
    pub value_loss: f64,
    /// Norms of actor (with log-std) and critic before clipping.
    pub norms: [f64; 2],
    /// Share of the actor's rate, and steps left out so far.
    pub rate_share: f64,
    pub skipped: f64,
}

/// What the replicas of a batch begin with, and the numbers that they learn with.
pub struct Learners<'a> {
    pub start: &'a LearnerState,
    /// Of every replica, `[R]`.
    pub each: &'a [PpoConfig],
    /// `[R, 8]`
    pub paces: &'a [f32],
    pub clamp: &'a Clamp,
}

/// The kernels of a minibatch step with their buffers, and the learners they move.
pub struct StepGpu {
    ppo: PpoConfig,
    each: Vec<PpoConfig>,
    layout: ActorCriticLayout,
    r: usize,

    /// The minibatch, to be filled before a step: observations `[R, M, O]`, actions `[R, M, A]`, (old log-probability,
    /// advantage, return, old value) `[R, M]`.
    pub obs: Buf<f32>,
    pub action: Buf<f32>,
    pub scalars: Buf<[f32; 4]>,

    /// Weights and moments of Adam, `[R, P]`.
    pub params: Buf<f32>,
    pub m: Buf<f32>,
    pub v: Buf<f32>,
    /// Gradients of the last step before clipping, `[R, P]`.
    pub grads: Buf<f32>,
    /// Outputs of the hidden layers of perceptrons, `[R, rows, width]`; anyone may overwrite them between steps.
    pub actor_hidden: Vec<Buf<f32>>,
    pub critic_hidden: Vec<Buf<f32>>,
    /// What takes their place in spiking networks.
    pub actor_spikes: Option<Spikes>,
    pub critic_spikes: Option<Spikes>,

    hyper: Buf<f32>,
    /// Of every replica's actor (`kl_control`), `[R, 8]`.
    pub pace: Buf<f32>,
    /// Rows of every step of an update: policy terms `[R, A+4]`, value terms `[R, 1]`, norms `[R, 2]`.
    term_rows: Buf<f32>,
    value_rows: Buf<f32>,
    norm_rows: Buf<f32>,
    /// Paces behind every step, `[R, 8]`.
    pace_rows: Buf<f32>,

    stats: advantage_stats::AdvantageStatsBound,
    actor: Forward,
    critic: Forward,
    policy_loss: ppo_policy_loss::PpoPolicyLossBound,
    value_loss: ppo_value_loss::PpoValueLossBound,
    /// log-std gradients into the first slice of the partial gradients.
    log_std_sum: column_sum::ColumnSumBound,
    term_sum: column_sum::ColumnSumBound,
    value_sum: column_sum::ColumnSumBound,
    norm_sum: column_sum::ColumnSumBound,
    pace_sum: column_sum::ColumnSumBound,
    actor_back: Backward,
    critic_back: Backward,
    reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    /// Under joint clipping, the norms of the two groups, which only the metrics want.
    group_norm: Option<grad_norm::GradNormBound>,
    control: kl_control::KlControlBound,
    adam: adam::AdamBound,
}

impl StepGpu {
    /// `steps` minibatch steps make an update; all replicas have the sizes of the first; hidden activations hold `rows`
    /// ≥ M rows per replica. The losses of spiking networks have `rate_penalty` times their mean firing rate in them.
    pub fn new(
        g: &Gpu,
        layout: &ActorCriticLayout,
        rate_penalty: f64,
        rows: usize,
        steps: usize,
        learners: &Learners,
    ) -> Result<Self, GpuError> {
        let (start, r, ppo) = (learners.start, learners.each.len(), &learners.each[0]);
        let (m, p, o, a, n) =
            (ppo.minibatch, layout.params(), layout.actor.inputs(), layout.actions(), layout.log_std_off);
        assert!(rows >= m, "{rows} rows cannot hold a minibatch of {m}");
        let hidden = |name: &str, rows: usize| -> Result<Vec<Buf<f32>>, GpuError> {
            let (_, hidden) = visible(&layout.actor).split_last().expect("a network has layers");
            let of = |i: usize, width: usize| {
                g.alloc(&format!("{name}.h{}", i + 1), &[r, rows, width], Fill::Zero)
            };
            hidden.iter().enumerate().map(|(i, l)| of(i, l.outputs)).collect()
        };
        fn with<'a>(h: &'a [Buf<f32>], out: &'a Buf<f32>) -> Vec<&'a Buf<f32>> {
            h.iter().chain(std::iter::once(out)).collect()
        }

        // The learners.
        let params = g.upload("ppo.params", &[r, p], &start.params)?;
        let moment1 = g.upload("ppo.adam_m", &[r, p], &start.m)?;
        let moment2 = g.upload("ppo.adam_v", &[r, p], &start.v)?;
        zeros!(g, "ppo": hyper[r, 8]);
        let limits: Vec<f32> = learners.each.iter().flat_map(|p| p.limits().row::<f32>()).collect();
        let limits = g.upload("ppo.limits", &[r, 2], &limits)?;
        let (surrogate, squares): (Vec<_>, Vec<_>) =
            learners.each.iter().map(|p| (p.surrogate().row(), p.squares().row())).unzip();
        let surrogate = g.upload("ppo.surrogate", &[r], &surrogate)?;
        let squares = g.upload("ppo.squares", &[r], &squares)?;
        let pace = g.upload("ppo.pace", &[r, 8], learners.paces)?;

        // The minibatch.
        zeros!(g, "minibatch": obs[r, m, o], action[r, m, a]);
        let scalars = g.alloc::<[f32; 4]>("minibatch.scalars", &[r, m], Fill::Zero)?;
        let stats = g.alloc::<[f32; 2]>("minibatch.advantage_stats", &[r], Fill::Zero)?;
        let (actor_hidden, critic_hidden) = (hidden("actor", rows)?, hidden("critic", rows)?);
        let size = Rows { r, m, p };
        let spikes = |net| Spikes::new(g, net, Rows { m: rows, ..size }, m);
        let (actor_spikes, critic_spikes) = (spikes(&layout.actor)?, spikes(&layout.critic)?);
        let (actor_dh, critic_dh) = (hidden("actor.d", m)?, hidden("critic.d", m)?);
        zeros!(g, "minibatch": mean[r, m, a], value[r, m], d_mean[r, m, a], d_value[r, m], terms[r, m, a + 4],
            terms_v[r, m, 1], partials[slices(m), r, p], grads[r, p], norms[r, 2], group_norms[r, 2]);
        zeros!(g, "update": term_rows[steps, r, a + 4], value_rows[steps, r, 1], norm_rows[steps, r, 2],
            pace_rows[steps, r, 8]);

        let (actor_acts, critic_acts) = (with(&actor_hidden, &mean), with(&critic_hidden, &value));
        let (actor_dy, critic_dy) = (with(&actor_dh, &d_mean), with(&critic_dh, &d_value));
        let forward = |net, acts: &[_], spikes: &Option<Spikes>| {
            Forward::sharing(g, net, size, &params, &obs, acts, spikes.as_ref(), true)
        };
        let back = |net, acts: &[_], dy: &[_], spikes: &Option<Spikes>| match spikes {
            None => Backward::new(g, net, size, slices(m), &params, &obs, acts, dy, None, &partials),
            Some(spikes) => {
                let (dy, s) = (dy[0], slices(m));
                Backward::spiking(g, net, size, s, &params, &obs, spikes, dy, None, &partials, rate_penalty)
            }
        };
        let sum_of = |spec: column_sum::Spec, from: &Buf<f32>, to: &Buf<f32>| {
            Ok::<_, GpuError>(column_sum::ColumnSum::new(g, &spec)?.bind(g, from, to))
        };
        let joint = ppo.clip_scope == ClipScope::Joint;
        let norm_of = |joint: bool, to: &Buf<f32>| {
            Ok::<_, GpuError>(
                grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split: layout.split(), joint })?
                    .bind(g, &grads, to),
            )
        };
        Ok(StepGpu {
            stats: advantage_stats::AdvantageStats::new(
                g,
                &advantage_stats::Spec { r, m, unbiased: true, normalise: ppo.normalise_advantages },
            )?
            .bind(g, &scalars, &stats),
            actor: forward(&layout.actor, &actor_acts, &actor_spikes)?,
            critic: forward(&layout.critic, &critic_acts, &critic_spikes)?,
            policy_loss: ppo_policy_loss::PpoPolicyLoss::new(
                g,
                &ppo_policy_loss::Spec { r, m, a, p, ls_off: n },
            )?
            .bind(g, &params, &mean, &action, &scalars, &stats, &surrogate, &d_mean, &terms),
            value_loss: ppo_value_loss::PpoValueLoss::new(
                g,
                &ppo_value_loss::Spec { r, m, tail: 0, clip: ppo.clip_value },
            )?
            .bind(g, &value, &scalars, &squares, &d_value, &terms_v),
            log_std_sum: sum_of(column_sum::Spec { r, m, c: a + 4 }, &terms, &partials)?,
            term_sum: sum_of(column_sum::Spec { r, m, c: a + 4 }, &terms, &term_rows)?,
            value_sum: sum_of(column_sum::Spec { r, m, c: 1 }, &terms_v, &value_rows)?,
            norm_sum: sum_of(
                column_sum::Spec { r, m: 1, c: 2 },
                if joint { &group_norms } else { &norms },
                &norm_rows,
            )?,
            pace_sum: sum_of(column_sum::Spec { r, m: 1, c: 8 }, &pace, &pace_rows)?,
            actor_back: back(&layout.actor, &actor_acts, &actor_dy, &actor_spikes)?,
            critic_back: back(&layout.critic, &critic_acts, &critic_dy, &critic_spikes)?,
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: slices(m) })?
                .bind(g, &partials, &grads),
            norm: norm_of(joint, &norms)?,
            group_norm: if joint { Some(norm_of(false, &group_norms)?) } else { None },
            control: kl_control::KlControl::new(g, &kl_control::Spec { r, c: a + 4, column: a + 1 })?
                .bind(g, &term_rows, &norms, &hyper, &limits, &pace),
            adam: adam::Adam::paced(g, &adam::Spec { r, p, split: layout.split() }, learners.clamp)?
                .bind(g, &params, &grads, &norms, &moment1, &moment2, &hyper, &pace),
            obs,
            action,
            scalars,
            params,
            m: moment1,
            v: moment2,
            grads,
            actor_hidden,
            critic_hidden,
            actor_spikes,
            critic_spikes,
            hyper,
            pace,
            term_rows,
            value_rows,
            norm_rows,
            pace_rows,
            each: learners.each.to_vec(),
            ppo: ppo.clone(),
            layout: layout.clone(),
            r,
        })
    }

    /// Sets the scheduled rates of actor and critic of every replica for the steps submitted from now on.
    pub fn learning_rates(&self, gpu: &Gpu, rates: &[[f64; 2]]) {
        let rows = self.each.iter().zip(rates).flat_map(|(p, lr)| p.adam(*lr).row::<f32>());
        gpu.write(&self.hyper, &rows.collect::<Vec<f32>>());
    }

    /// One step on what `obs`, `action` and `scalars` hold: loss, backward, clip, and Adam at each replica's pace; its
    /// metrics go to row `row` of the update.
    pub fn record(&self, pass: &mut wgpu::ComputePass, row: usize) {
        let (m, a) = (self.ppo.minibatch, self.layout.actions());
        self.stats.record(pass);
        // loss
        self.actor.record(pass, m, 0, 0);
        self.critic.record(pass, m, 0, 0);
        self.policy_loss.record(pass);
        self.value_loss.record(pass);
        // backward. The log-std columns go first: the four columns behind them fall on the critic's first weights,
        // which the critic's backward pass overwrites.
        let log_std = column_sum::Args {
            m,
            out_stride: self.layout.params(),
            out_off: self.layout.log_std_off,
            scale: 1.0,
        };
        self.log_std_sum.record(pass, &log_std);
        self.actor_back.record(pass, m);
        self.critic_back.record(pass, m);
        self.reduce.record(pass);
        let total = |width: usize, scale: f32| column_sum::Args {
            m,
            out_stride: width,
            out_off: row * self.r * width,
            scale,
        };
        self.term_sum.record(pass, &total(a + 4, 1.0 / m as f32));
        // clip, pace, adam: the divergence is among the sums, the scheduled rates are in `hyper`
        self.norm.record(pass);
        self.control.record(pass, row);
        self.adam.record(pass, &adam::Args::PACED);
        // sums for the metrics
        if let Some(norm) = &self.group_norm {
            norm.record(pass);
        }
        self.pace_sum.record(pass, &column_sum::Args { m: 1, ..total(8, 1.0) });
        self.value_sum.record(pass, &total(1, 1.0 / m as f32));
        self.norm_sum.record(pass, &column_sum::Args { m: 1, ..total(2, 1.0) });
    }

    /// The metrics of the update's steps, read back: `[steps][R]`.
    pub fn metrics(&self, gpu: &Gpu) -> Result<Vec<Vec<StepMetrics>>, GpuError> {
        let (terms, values, norms) =
            (gpu.read(&self.term_rows)?, gpu.read(&self.value_rows)?, gpu.read(&self.norm_rows)?);
        let paces = gpu.read(&self.pace_rows)?;
        let (r, a) = (self.r, self.layout.actions());
        let of = |i: usize| {
            let term = |c: usize| f64::from(terms[i * (a + 4) + a + c]);
            StepMetrics {
                policy_loss: term(0),
                approx_kl: term(1),
                clip_fraction: term(2),
                entropy: term(3),
                value_loss: values[i].into(),
                norms: [norms[2 * i].into(), norms[2 * i + 1].into()],
                rate_share: paces[8 * i].into(),
                skipped: paces[8 * i + 5].into(),
            }
        };
        Ok((0..values.len() / r).map(|step| (0..r).map(|k| of(step * r + k)).collect()).collect())
    }
}
