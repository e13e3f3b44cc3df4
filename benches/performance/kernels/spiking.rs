//! Spiking layers of the policies' hidden width.

use super::{Case, HIDDEN, LIF, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::lif_forward::CarriedAt;
use isacbench::kernels::{
    activity_count, lif_backward, lif_forward, population_backward, population_forward, readout_carried,
    spike_backward_weights, spike_forward,
};

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, b, m, s, p, .. } = mk.at;
    let (i, o, n, steps) = (HIDDEN, HIDDEN, HIDDEN, LIF.steps);
    let sizes = [("R", r), ("M", m), ("H", HIDDEN), ("S", steps)];
    // Neurons that encode twelve observations.
    let of = population_forward::Spec { r, m, o: 12, fields: 10, p, gain: 4.0 };
    let fields = [("R", r), ("M", m), ("O", of.o), ("P", of.fields)];
    match stem {
        "population_forward" => mk.case(&fields, population_forward::cost(&of), |gpu| {
            let (params, x) = (mk.floats("params", &[r, p])?, mk.floats("x", &[r, m, of.o])?);
            let current = mk.zeros("current", &[r, m, of.n()])?;
            let bound =
                population_forward::PopulationForward::new(gpu, &of)?.bind(gpu, &params, &x, &current);
            let args = population_forward::Args { m, w_off: 0, b_off: of.n(), x_off: 0 };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "population_backward" => {
            let spec = population_backward::Spec { of, slices: s };
            mk.case(&fields, population_backward::cost(&spec), |gpu| {
                let (params, x) = (mk.floats("params", &[r, p])?, mk.floats("x", &[r, m, of.o])?);
                let current = mk.floats("current", &[r, m, of.n()])?;
                let d_current = mk.floats("d_current", &[r, m, of.n()])?;
                let partials = mk.zeros("partials", &[s, r, p])?;
                let kernel = population_backward::PopulationBackward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &x, &current, &d_current, &partials);
                let args = population_backward::Args { m, w_off: 0, b_off: of.n() };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "lif_forward" => {
            let current = lif_forward::Current::Constant;
            let spec = lif_forward::Spec { r, m, n, lif: LIF, current, keep: false, trace: false };
            mk.case(&sizes, lif_forward::cost(&spec), |gpu| {
                let current = mk.floats("current", &[r, m, n])?;
                let words = mk.alloc::<u32>("words", &[r, m, n])?;
                let bound = lif_forward::LifForward::new(gpu, &spec)?
                    .bind(gpu, None, &current, &words, None, None, None)?;
                let leak = lif_forward::LeakAt::default();
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| {
                    bound.record(pass, m, leak, CarriedAt::default())
                }))
            })
        }
        "spike_forward" => {
            let spec = spike_forward::Spec { r, m, i, o, p, lif: LIF, keep: true, trace: true };
            mk.case(&sizes, spike_forward::cost(&spec), |gpu| {
                let params = mk.floats("params", &[r, p])?;
                let (spikes, words) = (mk.spike_words("spikes", m)?, mk.alloc::<u32>("words", &[r, m, o])?);
                let (u, traces) =
                    (mk.zeros("potentials", &[r, m, steps, o])?, mk.zeros("traces", &[r, m, o])?);
                let kernel = spike_forward::SpikeForward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &spikes, &words, Some(&u), Some(&traces), None)?;
                let args = spike_forward::Args {
                    m,
                    w_off: 0,
                    b_off: i * o,
                    leak_off: 0,
                    carried: CarriedAt::default(),
                };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "readout_carried" => {
            // Outputs of six actions, in place.
            let spec = readout_carried::Spec { r, m, o: 6, kept: 1.0 / 64.0 };
            let sizes = [("R", r), ("M", m), ("O", spec.o)];
            mk.case(&sizes, readout_carried::cost(&spec), |gpu| {
                let (y, membrane) =
                    (mk.floats("y", &[r, m, spec.o])?, mk.floats("membrane", &[r, m, spec.o])?);
                let bound = readout_carried::ReadoutCarried::new(gpu, &spec)?.bind(gpu, &y, &membrane);
                let at = CarriedAt { start: 0, end: 0, width: spec.o };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, m, 0, at)))
            })
        }
        "lif_backward" => {
            let (current, upstream) = (lif_forward::Current::PerStep, lif_backward::Upstream::Readout);
            let spec = lif_backward::Spec { r, m, n, lif: LIF, current, upstream };
            mk.case(&sizes, lif_backward::cost(&spec), |gpu| {
                let u = mk.floats("potentials", &[r, m, steps, n])?;
                let upstream = mk.floats("d_trace", &[r, m, n])?;
                let d_current = mk.zeros("d_current", &[r, m, steps, n])?;
                let kernel = lif_backward::LifBackward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, None, &u, &upstream, &d_current, None, None)?;
                let leak = lif_forward::LeakAt::default();
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| {
                    bound.record(pass, m, 0.0, leak, CarriedAt::default())
                }))
            })
        }
        "spike_backward_weights" => {
            let spec = spike_backward_weights::Spec { r, m, i, o, p, steps, slices: s };
            mk.case(&sizes, spike_backward_weights::cost(&spec), |gpu| {
                let di = mk.floats("di", &[r, m, steps, o])?;
                let (spikes, partials) = (mk.spike_words("spikes", m)?, mk.zeros("partials", &[s, r, p])?);
                let kernel = spike_backward_weights::SpikeBackwardWeights::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &di, &spikes, &partials);
                let args = spike_backward_weights::Args { m, w_off: 0, b_off: i * o };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "activity_count" => {
            let units = activity_count::Units::Spikes;
            let spec = activity_count::Spec { r, m: b, c: n, units };
            let sizes = [("R", r), ("B", b), ("H", n)];
            mk.case(&sizes, activity_count::cost(&spec), |gpu| {
                let words = mk.spike_words("words", b)?;
                let counts = mk.alloc::<u32>("counts", &[spec.counts()])?;
                let bound = activity_count::ActivityCount::new(gpu, &spec)?.bind(gpu, &words, &counts);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, b, false)))
            })
        }
        _ => Ok(None),
    }
}
