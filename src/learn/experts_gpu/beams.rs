//! L_spat: the loss of the phases, over the slots that enter it.

use super::rollout::Rollout;
use crate::env::{BeamArgs, BeamBuffers, BeamSize, BeamsGpu};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::twin::check_trips;
use crate::kernels::{column_sum, slot_gather};
use crate::learn::experts::ExpertsSpec;
use crate::learn::mixture::{Mixture, MixtureBackward, MixtureForward};
use crate::learn::network::Rows;
use crate::nets::experts::Phase;
use crate::num::shuffle::Minibatch;

/// L_spat (13) and its gradient over minibatches of environments: the observations of the slots that enter it, and the
/// channels of their states drawn again.
pub(super) struct Beams {
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
pub(super) fn spatial_rows(spec: &ExpertsSpec, envs: usize) -> usize {
    spatial_counts(spec).last().map_or(0, |most| most * envs)
}

impl Beams {
    /// Weight gradients go into `partials`; `steps` steps make an update.
    #[expect(
        clippy::too_many_arguments,
        reason = "the networks, what they learn from and where their gradients go"
    )]
    pub(super) fn new(
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
    pub(super) fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        spec: &ExpertsSpec,
        which: Minibatch,
        row: usize,
    ) {
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
    pub(super) fn mean_gain(&self, gpu: &Gpu, spec: &ExpertsSpec, update: u32) -> Result<Vec<f64>, GpuError> {
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
