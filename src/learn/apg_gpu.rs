//! `apg` on the GPU: every kernel is bound to its buffers once; an update is a recorded sequence of dispatches without
//! a host round trip, and the host reads one small block of sums when it asks for metrics.
//!
//! Same draws, shuffles and formulas as [`super::apg_cpu`]; sums run in another order, so results agree by tolerance.

use super::activity_gpu::{Extreme, Firing};
use super::apg::{ApgSpec, noise_clock};
use super::network::{Backward, Between, Forward, Rows, Spikes, visible};
use super::{Apg, LearnerState, UpdateMetrics, slices};
use crate::env::{EnvBuffers, EnvGpu, GradientBuffers, GradientSize, Sizes, SlotGradientGpu, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::{
    adam, column_sum, critic_input, critic_input_backward, ddpg_act, grad_norm, grad_reduce, metrics_reduce,
    minibatch_gather,
};
use crate::nets::cpu::Extremes;
use crate::num::shuffle::{Minibatch, Unit};
use std::sync::Arc;

/// `apg` or `spiking-apg` for R replicas on a GPU.
pub struct ApgGpu {
    gpu: Arc<Gpu>,
    spec: ApgSpec,
    sizes: Sizes,
    /// Numbers of a scene.
    width: usize,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: usize,
    /// What the device has of each replica; empty before the first.
    noise: Vec<f64>,
    lr: Vec<f64>,

    params: Buf<f32>,
    m: Buf<f32>,
    v: Buf<f32>,
    deviations: Buf<f32>,
    hyper: Buf<f32>,
    /// `[T, R, rows, 2]`
    slot_sums: Buf<f32>,
    /// Of every step of an update: mean objective `[R, 1]`, norm `[R, 2]`.
    value_rows: Buf<f32>,
    norm_rows: Buf<f32>,
    /// Of the hidden layers in a rollout, and in the last minibatch of an update.
    firing: Vec<Firing>,
    extremes: Vec<Extreme>,

    // A slot.
    env: Box<dyn EnvGpu>,
    slots: Box<dyn SlotGradientGpu>,
    policy: Forward,
    act: ddpg_act::DdpgActBound,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    // A minibatch step.
    gather: minibatch_gather::MinibatchGatherBound,
    /// Of potentials, where they are carried, and scenes once more.
    gather_membrane: Option<minibatch_gather::MinibatchGatherBound>,
    forward: Forward,
    act_again: ddpg_act::DdpgActBound,
    /// scale·tanh(z)
    squash: ddpg_act::DdpgActBound,
    unsquash: critic_input_backward::CriticInputBackwardBound,
    backward: Backward,
    reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    adam: adam::AdamBound,
    value_sum: column_sum::ColumnSumBound,
    norm_sum: column_sum::ColumnSumBound,
}

impl ApgGpu {
    /// Allocates every buffer and compiles and binds every kernel. Errors if the adapter cannot hold the rollout.
    pub fn new(gpu: Arc<Gpu>, spec: &ApgSpec, start: &LearnerState) -> Result<Self, GpuError> {
        let (net, sizes, c) = (spec.net(), spec.env.sizes(), &spec.apg);
        let slot_gradient =
            spec.env.slot_gradient().expect("a spec is made of an environment whose slots have a gradient");
        let (r, b, t, m) = (spec.env.replicas(), c.envs, c.horizon, c.minibatch);
        let (p, o, a, w, rows) =
            (net.end(), sizes.obs, sizes.action, slot_gradient.scene_dim(), sizes.metrics);
        let g = &*gpu;
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);

        // The learners.
        let params = g.upload("apg.params", &[r, p], &start.params)?;
        let moment1 = g.upload("apg.adam_m", &[r, p], &start.m)?;
        let moment2 = g.upload("apg.adam_v", &[r, p], &start.v)?;
        let keys: Vec<_> = (0..r).map(|r| spec.env.key(r)).collect();
        let keys = g.upload("apg.keys", &[r], &keys)?;
        zeros!(g, "apg": hyper[r, 8], deviations[r], none[r]);

        // The rollout, and a minibatch of it. Hidden activations are shared by both, which never run at once.
        let flags = g.alloc::<u32>("slot.flags", &[r, b], Fill::Zero)?;
        zeros!(g, "rollout": obs[t + 1, r, b, o], scenes[t, r, b, w], slot_sums[t, r, rows, 2]);
        zeros!(g, "slot": state[r, sizes.state, b], final_obs[r, b, o], action[r, b, a], reward[r, b],
            metrics[r, rows, b], slot_z[r, b, a]);
        zeros!(g, "minibatch": mb_obs[r, m, o], scene[r, m, w], mb_action[r, m, a], d_action[r, m, a], value[r, m],
            z[r, m, a], mu[r, m, a], d_z[r, m, a], partials[slices(m), r, p], grads[r, p], norms[r, 2]);
        let steps = c.epochs * spec.minibatches();
        zeros!(g, "update": value_rows[steps, r, 1], norm_rows[steps, r, 2]);
        let size = Rows { r, m: b.max(m), p };
        let (_, inner) = visible(&net).split_last().expect("a network has layers");
        let layers = |name: &str, rows: usize| -> Result<Vec<Buf<f32>>, GpuError> {
            let each = inner.iter().enumerate();
            each.map(|(i, l)| zero(&format!("{name}{}", i + 1), &[r, rows, l.outputs])).collect()
        };
        let (hidden, d_hidden) = (layers("actor.h", size.m)?, layers("actor.d", m)?);
        let spikes = Spikes::new(g, &net, size, m)?;
        fn with<'a>(h: &'a [Buf<f32>], out: &'a Buf<f32>) -> Vec<&'a Buf<f32>> {
            h.iter().chain([out]).collect()
        }
        let in_slots =
            spikes.as_ref().map(|s| s.of_rollout(g, &net, t, Rows { m: b, ..size })).transpose()?;
        let forward = |rows: Rows, x: &Buf<f32>, out: &Buf<f32>, learn: bool| {
            let spikes = if learn { spikes.as_ref() } else { in_slots.as_ref() };
            Forward::sharing(g, &net, rows, &params, x, &with(&hidden, out), spikes, learn)
        };
        let learning = Rows { m, ..size };
        let backward = match &spikes {
            None => {
                let (acts, dy) = (with(&hidden, &z), with(&d_hidden, &d_z));
                Backward::new(g, &net, learning, slices(m), &params, &mb_obs, &acts, &dy, None, &partials)?
            }
            Some(spikes) => {
                let (s, penalty) = (slices(m), spec.rate_penalty());
                Backward::spiking(
                    g, &net, learning, s, &params, &mb_obs, spikes, &d_z, None, &partials, penalty,
                )?
            }
        };
        let buffers = EnvBuffers {
            action: &action,
            state: &state,
            obs: &obs,
            final_obs: &final_obs,
            reward: &reward,
            flags: &flags,
            metrics: &metrics,
        };
        let gradient = GradientBuffers {
            state: &state,
            scenes: &scenes,
            scene: &scene,
            action: &mb_action,
            d_action: &d_action,
            value: &value,
        };
        let acts = |rows: usize, noise: &Buf<f32>, z: &Buf<f32>, to: &Buf<f32>| {
            let kernel = ddpg_act::DdpgAct::new(g, &ddpg_act::Spec { r, b: rows, a })?;
            Ok::<_, GpuError>(kernel.bind(g, &keys, noise, z, to))
        };
        let sum_of = |c: usize, m: usize, from: &Buf<f32>, to: &Buf<f32>| {
            Ok::<_, GpuError>(column_sum::ColumnSum::new(g, &column_sum::Spec { r, m, c })?.bind(g, from, to))
        };
        let gather = minibatch_gather::Spec { t, r, b, o, a: w, m, unit: Unit::Sample, tail: 0 };
        let membranes = |spikes: &Option<Spikes>| spikes.as_ref().and_then(|s| s.membrane.clone());
        let gather_membrane = match [&in_slots, &spikes].map(membranes) {
            [Some(from), Some(to)] => {
                let spec = minibatch_gather::Spec { o: from.shape[3], ..gather.clone() };
                let kernel = minibatch_gather::MinibatchGather::new(g, &spec)?;
                Some(kernel.bind(g, &keys, &from, &scenes, &to, &scene))
            }
            _ => None,
        };
        let unsquash = critic_input::Spec { r, m, o: 0, a };
        let of = GradientSize { b, m, of: c.of() };
        let this = ApgGpu {
            env: spec.env.bind(g, b, &buffers)?,
            slots: slot_gradient.bind(g, of, &gradient)?,
            policy: forward(Rows { m: b, ..size }, &obs, &slot_z, false)?,
            act: acts(b, &deviations, &slot_z, &action)?,
            slot_reduce: metrics_reduce::MetricsReduce::new(
                g,
                &metrics_reduce::Spec { r, metric_rows: rows, b },
            )?
            .bind(g, &metrics, &slot_sums),
            gather: minibatch_gather::MinibatchGather::new(g, &gather)?
                .bind(g, &keys, &obs, &scenes, &mb_obs, &scene),
            gather_membrane,
            forward: forward(learning, &mb_obs, &z, true)?,
            act_again: acts(m, &deviations, &z, &mb_action)?,
            squash: acts(m, &none, &z, &mu)?,
            unsquash: critic_input_backward::CriticInputBackward::new(g, &unsquash)?
                .bind(g, &mu, &d_action, &d_z),
            backward,
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: slices(m) })?
                .bind(g, &partials, &grads),
            norm: grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split: p, joint: false })?
                .bind(g, &grads, &norms),
            adam: adam::Adam::new(g, &adam::Spec { r, p, split: p })?
                .bind(g, &params, &grads, &norms, &moment1, &moment2, &hyper, &hyper),
            value_sum: sum_of(1, m, &value, &value_rows)?,
            norm_sum: sum_of(2, 1, &norms, &norm_rows)?,
            firing: Firing::new(g, &net, spikes.as_ref(), (r, b), t)?,
            extremes: Extreme::new(g, spikes.as_ref(), &hidden, &net, r, m)?,
            params,
            m: moment1,
            v: moment2,
            deviations,
            hyper,
            slot_sums,
            value_rows,
            norm_rows,
            adam_steps: start.adam_steps,
            steps: 0,
            noise: Vec::new(),
            lr: Vec::new(),
            width: w,
            sizes,
            spec: spec.clone(),
            gpu,
        };
        let clock = start.updates * t as u32;
        this.submit(|pass| this.env.reset(pass, clock, 0, 0));
        Ok(this)
    }

    /// Records into one compute pass and submits without waiting.
    fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut enc = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([enc.finish()]);
    }

    /// Sets the noise of every replica for what is submitted from now on.
    fn explore(&mut self, noise: &[f64]) {
        // It holds for an update, and a write of it would split the stream of commands.
        if self.noise != noise {
            self.gpu.write(&self.deviations, &noise.iter().map(|x| *x as f32).collect::<Vec<_>>());
            self.noise = noise.to_vec();
        }
    }
}

impl Apg for ApgGpu {
    fn rollout(&mut self, update: u32, noise: &[f64]) -> Result<(), GpuError> {
        self.explore(noise);
        let (r, b, t) = (self.spec.env.replicas(), self.spec.apg.envs, self.spec.apg.horizon);
        let (scale, Sizes { obs: o, metrics: rows, .. }) = (self.spec.apg.action_scale as f32, self.sizes);
        // Rollouts end with an episode: the observations behind one are those of a reset.
        let clock = update * t as u32;
        self.submit(|pass| {
            self.env.reset(pass, clock, 0, 0);
            for slot in 0..t {
                let at = clock + slot as u32;
                let between = Between::of_rollout(slot, t, self.sizes.slots);
                self.policy.record_between(pass, b, slot * r * b * o, 0, between);
                self.firing.iter().for_each(|f| f.record(pass, b, slot == 0));
                self.act.record(pass, &ddpg_act::Args { clock: at, scale });
                self.slots.scene(pass, at, slot * r * b * self.width);
                let obs_off = (slot + 1) * r * b * o;
                self.env.step(pass, &StepArgs { clock: at, obs_off, full: true, ..StepArgs::default() });
                let sums_off = slot * r * rows * 2;
                self.slot_reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off });
            }
        });
        Ok(())
    }

    fn minibatch(
        &mut self,
        update: u32,
        epoch: u32,
        mb: u32,
        noise: &[f64],
        lr: &[f64],
    ) -> Result<(), GpuError> {
        self.explore(noise);
        if self.lr != lr {
            let rows = lr.iter().enumerate().flat_map(|(r, lr)| self.spec.of(r).adam(*lr).row::<f32>());
            self.gpu.write(&self.hyper, &rows.collect::<Vec<f32>>());
            self.lr = lr.to_vec();
        }
        self.adam_steps += 1;
        let (row, t) = (self.steps, self.adam_steps);
        self.steps += 1;
        let (r, m, c) = (self.spec.env.replicas(), self.spec.apg.minibatch, &self.spec.apg);
        let (clock, scale) = (noise_clock(t), c.action_scale as f32);
        let last = epoch as usize + 1 == c.epochs && mb as usize + 1 == self.spec.minibatches();
        let total = |m: usize, width: usize, scale: f32| column_sum::Args {
            m,
            out_stride: width,
            out_off: row * r * width,
            scale,
        };
        self.submit(|pass| {
            self.gather.record(pass, Minibatch { update, epoch, mb });
            if let Some(gather) = &self.gather_membrane {
                gather.record(pass, Minibatch { update, epoch, mb });
            }
            self.forward.record(pass, m, 0, 0);
            if last {
                self.extremes.iter().for_each(|x| x.record(pass, m));
            }
            self.act_again.record(pass, &ddpg_act::Args { clock, scale });
            self.squash.record(pass, &ddpg_act::Args { clock, scale });
            self.slots.gradient(pass, -1.0 / m as f32);
            self.unsquash.record(pass, scale);
            self.backward.record(pass, m);
            self.reduce.record(pass);
            // clip, adam: the betas, which the bias corrections are made of, are those of all replicas
            self.norm.record(pass);
            self.adam.record(pass, &c.adam(0.0).args(t));
            // sums for the metrics
            self.value_sum.record(pass, &total(m, 1, -1.0 / m as f32));
            self.norm_sum.record(pass, &total(1, 2, 1.0));
        });
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
        let g = &*self.gpu;
        let (r, samples) = (self.spec.env.replicas(), self.spec.samples() as f64);
        let (t, rows) = (self.spec.apg.horizon, self.sizes.metrics);
        let slots = g.read(&self.slot_sums)?;
        let (values, norms) = (g.read(&self.value_rows)?, g.read(&self.norm_rows)?);
        let firing = self.firing.iter().map(|f| f.rates(g, samples)).collect::<Result<Vec<_>, _>>()?;
        let extremes = self.extremes.iter().map(|x| x.read(g, r)).collect::<Result<Vec<_>, _>>()?;
        let of = |k: usize| {
            let slot_mean = |row: &usize| {
                (0..t).map(|t| f64::from(slots[((t * r + k) * rows + row) * 2])).sum::<f64>() / samples
            };
            let mean = |x: &[f32], width: usize| {
                (0..steps).map(|step| f64::from(x[(step * r + k) * width])).sum::<f64>() / steps as f64
            };
            let units = extremes.iter().flat_map(|layer| layer[k].iter().copied()).collect();
            let [dead, saturated] = Extremes(units).shares();
            UpdateMetrics {
                slots: self.spec.env.curve().iter().map(slot_mean).collect(),
                gradient_steps: steps as u32,
                policy_loss: mean(&values, 1),
                grad_norm_actor: mean(&norms, 2),
                dead_neurons: dead,
                saturated_neurons: saturated,
                firing_rates: firing.iter().map(|layer| layer[k]).collect(),
                ..UpdateMetrics::absent()
            }
        };
        Ok(Some((0..r).map(of).collect()))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        Ok(LearnerState {
            params: self.gpu.read(&self.params)?,
            m: self.gpu.read(&self.m)?,
            v: self.gpu.read(&self.v)?,
            adam_steps: self.adam_steps,
            updates,
            extra: Vec::new(),
        })
    }
}
