//! PPO on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of dispatches without a host round trip, and
//! the host reads back one small block of sums when it asks for metrics.
//!
//! Same draws, same shuffles, same formulas as [`super::ppo_cpu`]; sums run in another order, so results agree by tolerance.

use super::{LearnerState, PpoSpec, UpdateMetrics};
use crate::config::ClipScope;
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::{
    adam, advantage_stats, column_sum, dense_backward_input, dense_backward_weights, dense_forward, gae, gaussian_head, grad_norm, grad_reduce,
    metrics_reduce, minibatch_gather, minibatch_scalars, ppo_policy_loss, ppo_value_loss, v2x_batch, v2x_reset, v2x_step,
};
use crate::policy::{ActorCriticLayout, MlpLayout};
use crate::shuffle::Minibatch;
use crate::task::v2x::metric;
use crate::train::Ppo;
use std::sync::Arc;

/// Slices of a minibatch whose weight gradients are summed apart, so that the sums fill a GPU.
fn splits(minibatch: usize) -> usize {
    minibatch.div_ceil(512).clamp(1, 64)
}

/// A network's forward pass from one input buffer through its own activations.
struct Forward {
    layers: Vec<dense_forward::DenseForwardBound>,
    layout: MlpLayout,
}

impl Forward {
    /// `acts[l]` receives the output of layer l; kernels hold `rows` rows per replica.
    fn new(gpu: &Gpu, net: &MlpLayout, dims: &Dims, params: &Buf<f32>, x: &Buf<f32>, acts: &[&Buf<f32>]) -> Result<Self, GpuError> {
        let mut layers = Vec::new();
        for (i, l) in net.layers.iter().enumerate() {
            let spec = dense_forward::Spec { r: dims.r, m: dims.rows, i: l.inputs, o: l.outputs, p: dims.p, act: l.act };
            let input = if i == 0 { x } else { acts[i - 1] };
            layers.push(dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, params, input, acts[i]));
        }
        Ok(Forward { layers, layout: net.clone() })
    }

    /// `m` rows per replica from `x_off` of the input to `y_off` of the output.
    fn record(&self, pass: &mut wgpu::ComputePass, m: usize, x_off: usize, y_off: usize) {
        let last = self.layers.len() - 1;
        for (i, (bound, l)) in self.layers.iter().zip(&self.layout.layers).enumerate() {
            let args = dense_forward::Args {
                m,
                w_off: l.w_off,
                b_off: l.b_off,
                x_off: if i == 0 { x_off } else { 0 },
                y_off: if i == last { y_off } else { 0 },
            };
            bound.record(pass, &args);
        }
    }
}

/// A network's backward pass for one minibatch: weight gradients into `partials`.
struct Backward {
    weights: Vec<dense_backward_weights::DenseBackwardWeightsBound>,
    inputs: Vec<Option<dense_backward_input::DenseBackwardInputBound>>,
    layout: MlpLayout,
}

impl Backward {
    /// `dy[l]` is the gradient by the output of layer l; the last is given, the others are written.
    #[expect(clippy::too_many_arguments, reason = "a network with its input, activations and gradients")]
    fn new(
        gpu: &Gpu, net: &MlpLayout, dims: &Dims, params: &Buf<f32>, x: &Buf<f32>, acts: &[&Buf<f32>], dy: &[&Buf<f32>], partials: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let (mut weights, mut inputs) = (Vec::new(), Vec::new());
        for (i, l) in net.layers.iter().enumerate() {
            let input = if i == 0 { x } else { acts[i - 1] };
            let spec = dense_backward_weights::Spec { r: dims.r, m: dims.m, i: l.inputs, o: l.outputs, p: dims.p, s: splits(dims.m) };
            weights.push(dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?.bind(gpu, dy[i], input, partials));
            inputs.push(if i == 0 {
                None
            } else {
                let spec =
                    dense_backward_input::Spec { r: dims.r, m: dims.m, i: l.inputs, o: l.outputs, p: dims.p, act: net.layers[i - 1].act };
                Some(dense_backward_input::DenseBackwardInput::new(gpu, &spec)?.bind(gpu, params, dy[i], acts[i - 1], dy[i - 1]))
            });
        }
        Ok(Backward { weights, inputs, layout: net.clone() })
    }

    fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        for (i, l) in self.layout.layers.iter().enumerate().rev() {
            let args = dense_backward_weights::Args { m, w_off: l.w_off, b_off: l.b_off, dy_off: 0, x_off: 0 };
            self.weights[i].record(pass, &args);
            if let Some(input) = &self.inputs[i] {
                input.record(pass, &dense_backward_input::Args { m, w_off: l.w_off, dy_off: 0, h_off: 0, dx_off: 0 });
            }
        }
    }
}

struct Dims {
    r: usize,
    b: usize,
    t: usize,
    /// Samples of a minibatch.
    m: usize,
    /// The larger of `b` and `m`: rows the activation buffers hold per replica.
    rows: usize,
    p: usize,
    o: usize,
    a: usize,
}

/// PPO for R replicas on a GPU.
pub struct PpoGpu {
    gpu: Arc<Gpu>,
    spec: PpoSpec,
    layout: ActorCriticLayout,
    dims: Dims,
    adam_steps: u64,

    params: Buf<f32>,
    m: Buf<f32>,
    v: Buf<f32>,
    hyper: Buf<f32>,
    /// [T, R, METRIC_ROWS, 2]
    slot_sums: Buf<f32>,
    /// Rows of every minibatch of the update: policy terms [R, A+4], value terms [R, 1], norms [R, 2].
    term_rows: Buf<f32>,
    value_rows: Buf<f32>,
    norm_rows: Buf<f32>,

    reset: v2x_reset::V2xResetBound,
    step: v2x_step::V2xStepBound,
    actor_rollout: Forward,
    critic_rollout: Forward,
    critic_final: Forward,
    head: gaussian_head::GaussianHeadBound,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    gae: gae::GaeBound,
    gather: minibatch_gather::MinibatchGatherBound,
    scalars: minibatch_scalars::MinibatchScalarsBound,
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
    actor_back: Backward,
    critic_back: Backward,
    reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    adam: adam::AdamBound,
}

impl PpoGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the rollout.
    pub fn new(gpu: Arc<Gpu>, spec: &PpoSpec, start: &LearnerState) -> Result<Self, GpuError> {
        let layout = spec.layout();
        let (r, b, t, m) = (spec.replicas.len(), spec.ppo.envs, spec.ppo.horizon, spec.ppo.minibatch);
        let (p, o, a) = (layout.params(), spec.task.obs_dim(), spec.task.action_dim());
        let d = Dims { r, b, t, m, rows: b.max(m), p, o, a };
        let g = &*gpu;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);

        // Persistent arrays.
        let tasks: Vec<_> = spec.replicas.iter().map(|x| x.task).collect();
        let keys: Vec<_> = spec.replicas.iter().map(|x| x.task.key).collect();
        let task_params = g.upload("ppo.task_params", &[r], &tasks)?;
        let keys = g.upload("ppo.keys", &[r], &keys)?;
        let params = g.upload("ppo.params", &[r, p], &start.params)?;
        let moment1 = g.upload("ppo.adam_m", &[r, p], &start.m)?;
        let moment2 = g.upload("ppo.adam_v", &[r, p], &start.v)?;
        let hyper = zero("ppo.adam_hyper", &[r, 8])?;
        let gae_hyper = [spec.ppo.gamma as f32, spec.ppo.gae_lambda as f32, spec.ppo.reward_scale as f32, 0.0];
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

        // Activations: hidden layers are shared by rollout and minibatch, which never run at once.
        let hidden = |name: &str| -> Result<Vec<Buf<f32>>, GpuError> {
            let acts = spec.ppo.hidden.iter().enumerate();
            acts.map(|(i, h)| zero(&format!("{name}.h{}", i + 1), &[r, d.rows, *h])).collect()
        };
        let (actor_h, critic_h) = (hidden("actor")?, hidden("critic")?);
        let (actor_dh, critic_dh) = (hidden("actor.d")?, hidden("critic.d")?);
        fn with<'a>(h: &'a [Buf<f32>], out: &'a Buf<f32>) -> Vec<&'a Buf<f32>> {
            h.iter().chain(std::iter::once(out)).collect()
        }

        // The minibatch.
        let mb_obs = zero("minibatch.obs", &[r, m, o])?;
        let mb_action = zero("minibatch.action", &[r, m, a])?;
        let mb_scalars = g.alloc::<[f32; 4]>("minibatch.scalars", &[r, m], Fill::Zero)?;
        let stats = g.alloc::<[f32; 2]>("minibatch.advantage_stats", &[r], Fill::Zero)?;
        let mb_mean = zero("minibatch.mean", &[r, m, a])?;
        let mb_value = zero("minibatch.value", &[r, m])?;
        let d_mean = zero("minibatch.d_mean", &[r, m, a])?;
        let d_value = zero("minibatch.d_value", &[r, m])?;
        let terms = zero("minibatch.terms", &[r, m, a + 4])?;
        let terms_v = zero("minibatch.terms_v", &[r, m, 1])?;
        let partials = zero("minibatch.partials", &[splits(m), r, p])?;
        let grads = zero("minibatch.grads", &[r, p])?;
        let norms = zero("minibatch.norms", &[r, 2])?;
        let steps = spec.ppo.epochs * spec.minibatches();
        let term_rows = zero("update.term_rows", &[steps, r, a + 4])?;
        let value_rows = zero("update.value_rows", &[steps, r, 1])?;
        let norm_rows = zero("update.norm_rows", &[steps, r, 2])?;

        let (actor_acts, critic_acts) = (with(&actor_h, &mb_mean), with(&critic_h, &mb_value));
        let (actor_dy, critic_dy) = (with(&actor_dh, &d_mean), with(&critic_dh, &d_value));
        let sum_of = |spec: column_sum::Spec, from: &Buf<f32>, to: &Buf<f32>| {
            Ok::<_, GpuError>(column_sum::ColumnSum::new(g, &spec)?.bind(g, from, to))
        };
        let n = layout.log_std_off;
        let joint = spec.ppo.clip_scope == ClipScope::Joint;
        Ok(PpoGpu {
            reset: v2x_reset::V2xReset::new(g, &batch)?.bind(g, &task_params, &state, &obs),
            step: v2x_step::V2xStep::new(g, &batch)?.bind(g, &task_params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics),
            actor_rollout: Forward::new(g, &layout.actor, &d, &params, &obs, &with(&actor_h, &mean))?,
            critic_rollout: Forward::new(g, &layout.critic, &d, &params, &obs, &with(&critic_h, &value))?,
            critic_final: Forward::new(g, &layout.critic, &d, &params, &final_obs, &with(&critic_h, &final_value))?,
            head: gaussian_head::GaussianHead::new(g, &gaussian_head::Spec { r, b, a, p })?.bind(g, &params, &keys, &mean, &action, &logprob),
            slot_reduce: metrics_reduce::MetricsReduce::new(g, &metrics_reduce::Spec { r, metric_rows: rows, b })?.bind(g, &metrics, &slot_sums),
            gae: gae::Gae::new(g, &gae::Spec { t, r, b })?.bind(g, &reward, &value, &final_value, &flags, &gae_hyper, &advantage, &returns),
            gather: minibatch_gather::MinibatchGather::new(g, &minibatch_gather::Spec { t, r, b, o, a, m })?
                .bind(g, &keys, &obs, &action, &mb_obs, &mb_action),
            scalars: minibatch_scalars::MinibatchScalars::new(g, &minibatch_scalars::Spec { t, r, b, m })?
                .bind(g, &keys, &logprob, &advantage, &returns, &value, &mb_scalars),
            stats: advantage_stats::AdvantageStats::new(
                g,
                &advantage_stats::Spec { r, m, unbiased: true, normalise: spec.ppo.normalise_advantages },
            )?
            .bind(g, &mb_scalars, &stats),
            actor: Forward::new(g, &layout.actor, &d, &params, &mb_obs, &actor_acts)?,
            critic: Forward::new(g, &layout.critic, &d, &params, &mb_obs, &critic_acts)?,
            policy_loss: ppo_policy_loss::PpoPolicyLoss::new(g, &ppo_policy_loss::Spec { r, m, a, p, ls_off: n })?
                .bind(g, &params, &mb_mean, &mb_action, &mb_scalars, &stats, &d_mean, &terms),
            value_loss: ppo_value_loss::PpoValueLoss::new(g, &ppo_value_loss::Spec { r, m })?.bind(g, &mb_value, &mb_scalars, &d_value, &terms_v),
            log_std_sum: sum_of(column_sum::Spec { r, m, c: a + 4 }, &terms, &partials)?,
            term_sum: sum_of(column_sum::Spec { r, m, c: a + 4 }, &terms, &term_rows)?,
            value_sum: sum_of(column_sum::Spec { r, m, c: 1 }, &terms_v, &value_rows)?,
            norm_sum: sum_of(column_sum::Spec { r, m: 1, c: 2 }, &norms, &norm_rows)?,
            actor_back: Backward::new(g, &layout.actor, &d, &params, &mb_obs, &actor_acts, &actor_dy, &partials)?,
            critic_back: Backward::new(g, &layout.critic, &d, &params, &mb_obs, &critic_acts, &critic_dy, &partials)?,
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: splits(m) })?.bind(g, &partials, &grads),
            norm: grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split: layout.split(), joint })?.bind(g, &grads, &norms),
            adam: adam::Adam::new(g, &adam::Spec { r, p, split: layout.split() })?
                .bind(g, &params, &grads, &norms, &moment1, &moment2, &hyper),
            adam_steps: start.adam_steps,
            params,
            m: moment1,
            v: moment2,
            hyper,
            slot_sums,
            term_rows,
            value_rows,
            norm_rows,
            spec: spec.clone(),
            layout,
            dims: d,
            gpu,
        })
    }

    /// Records into one compute pass and submits without waiting.
    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut enc = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([enc.finish()]);
    }

    fn adam_hyper(&self, lr: [f64; 2]) -> adam::Hyper {
        let p = &self.spec.ppo;
        adam::Hyper { lr, max_norm: p.max_grad_norm, beta1: p.adam_beta1, beta2: p.adam_beta2, eps: p.adam_eps }
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
                self.actor_rollout.record(pass, d.b, t * slot_obs, 0);
                self.critic_rollout.record(pass, d.b, t * slot_obs, t * slot);
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
                self.slot_reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: t * d.r * rows * 2 });
                if (clock as usize + 1) % self.spec.task.slots == 0 {
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
        let hyper = self.adam_hyper(lr);
        if epoch == 0 && mb == 0 {
            self.gpu.write(&self.hyper, &vec![hyper.row::<f32>(); self.dims.r].concat());
        }
        self.adam_steps += 1;
        let d = &self.dims;
        let p = &self.spec.ppo;
        let which = Minibatch { update, epoch, mb };
        let row = epoch as usize * self.spec.minibatches() + mb as usize;
        let total = |to: usize, width: usize, scale: f32| column_sum::Args { m: d.m, out_stride: width, out_off: to * d.r * width, scale };
        self.submit(|pass| {
            // gather
            self.gather.record(pass, which);
            self.scalars.record(pass, which);
            self.stats.record(pass);
            // loss
            self.actor.record(pass, d.m, 0, 0);
            self.critic.record(pass, d.m, 0, 0);
            self.policy_loss.record(pass, ppo_policy_loss::Hyper { clip_eps: p.clip, ent_coef: p.entropy_coef });
            self.value_loss.record(pass, ppo_value_loss::Hyper { vf_coef: p.vf_coef, clip_eps: p.clip_value.then_some(p.clip) });
            // backward. The log-std columns go first: the four columns behind them fall on the critic's first weights, which the
            // critic's backward pass overwrites.
            let log_std = column_sum::Args { m: d.m, out_stride: d.p, out_off: self.layout.log_std_off, scale: 1.0 };
            self.log_std_sum.record(pass, &log_std);
            self.actor_back.record(pass, d.m);
            self.critic_back.record(pass, d.m);
            self.reduce.record(pass);
            // clip, adam
            self.norm.record(pass);
            self.adam.record(pass, &hyper.args(self.adam_steps));
            // sums for the metrics
            self.term_sum.record(pass, &total(row, d.a + 4, 1.0 / d.m as f32));
            self.value_sum.record(pass, &total(row, 1, 1.0 / d.m as f32));
            self.norm_sum.record(pass, &column_sum::Args { m: 1, ..total(row, 2, 1.0) });
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
        let (slots, terms) = (self.gpu.read(&self.slot_sums)?, self.gpu.read(&self.term_rows)?);
        let (values, norms) = (self.gpu.read(&self.value_rows)?, self.gpu.read(&self.norm_rows)?);
        let rows = self.spec.task.metric_rows();
        let steps = self.spec.ppo.epochs * self.spec.minibatches();
        let out = (0..d.r)
            .map(|r| {
                let slot_mean = |row: usize| {
                    let sum: f64 = (0..d.t).map(|t| f64::from(slots[((t * d.r + r) * rows + row) * 2])).sum();
                    sum / (d.t * d.b) as f64
                };
                let mean = |all: &[f32], width: usize, c: usize| {
                    (0..steps).map(|s| f64::from(all[(s * d.r + r) * width + c])).sum::<f64>() / steps as f64
                };
                let term = |c: usize| mean(&terms, d.a + 4, d.a + c);
                UpdateMetrics {
                    reward: slot_mean(metric::REWARD),
                    sum_rate_bps_hz: slot_mean(metric::SUM_RATE),
                    jain: slot_mean(metric::JAIN),
                    indicator_share: slot_mean(metric::INDICATOR),
                    policy_loss: term(0),
                    approx_kl: term(1),
                    clip_fraction: term(2),
                    entropy: term(3),
                    value_loss: mean(&values, 1, 0),
                    grad_norm_actor: mean(&norms, 2, 0),
                    grad_norm_critic: mean(&norms, 2, 1),
                }
            })
            .collect();
        Ok(Some(out))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        Ok(LearnerState {
            params: self.gpu.read(&self.params)?,
            m: self.gpu.read(&self.m)?,
            v: self.gpu.read(&self.v)?,
            adam_steps: self.adam_steps,
            updates,
        })
    }
}
