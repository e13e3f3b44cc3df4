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
//! Why PPO is written twice ([`super::ppo_gpu`] is the other): see [`super::experts_cpu`]. On a GPU the two record
//! other kernels as well: sequences through an LSTM and L_spat here, spikes and whole rollouts in one kernel there.

mod acting;
mod beams;
mod learned;
mod rollout;
mod temporal;

pub(crate) use acting::{Acting, DrawnPhases, decision_nets};

use super::experts::ExpertsSpec;
use super::{
    BeamUpdate, Experts, LearnerState, UpdateMetrics, explained_variance, fit_sums, pace_extra, record_fit,
    slices,
};
use crate::config::PolicyGradient;
use crate::env::Sizes;
use crate::gpu::{Buf, Gpu, GpuError};
use crate::num::shuffle::Minibatch;
use acting::Nets;
use beams::{Beams, spatial_rows};
use learned::Learned;
use rollout::Rollout;
use std::sync::Arc;
use temporal::{Learning, Temporal};

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
