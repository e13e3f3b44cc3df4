//! Task misac.

use super::{Case, Maker};
use isacbench::gpu::GpuError;
use isacbench::kernels::{obs_mask, slot_gather};
use isacbench::num::shuffle::Minibatch;
use isacbench::tasks::misac::dp::Rule;
use isacbench::tasks::misac::kernels::{
    misac_accumulate, misac_gain, misac_reset, misac_schedule, misac_step, spatial_loss,
};
use isacbench::tasks::misac::physics::{Phase, gain_row, metric};

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let (r, b, t) = (mk.at.r, mk.at.b, mk.at.t);
    let spec = mk.misac();
    let (o, k, n) = (spec.task.obs_dim(), spec.task.vehicles, spec.task.antennas);
    let sizes = [("R", r), ("B", b)];
    match stem {
        "misac_reset" => mk.case(&sizes, misac_reset::cost(&spec), |gpu| {
            let (params, state) = (mk.misac_params()?, mk.misac_states()?);
            let obs = mk.zeros("obs", &[r, b, o])?;
            let bound = misac_reset::MisacReset::new(gpu, &spec)?.bind(gpu, &params, &state, &obs);
            let args = misac_reset::Args { clock: 0, state_off: 0, obs_off: 0 };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "misac_schedule" => {
            let spec = misac_schedule::Spec { batch: spec, rule: Rule::Table, age_max: 10 };
            mk.case(&sizes, misac_schedule::cost(&spec), |gpu| {
                let (state, rule) = (mk.misac_states()?, mk.alloc::<u32>("rule", &[spec.rule_len()])?);
                let action = mk.zeros("action", &[r, b, k])?;
                let kernel = misac_schedule::MisacSchedule::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &state, &rule, &action);
                let args = misac_schedule::Args { clock: 0, state_off: 0, action_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "misac_step" => mk.case(&sizes, misac_step::cost(&spec), |gpu| {
            let (params, action) = (mk.misac_params()?, mk.zeros("action", &[r, b, k])?);
            let (state, obs) = (mk.misac_states()?, mk.zeros("obs", &[r, b, o])?);
            let (final_obs, reward) = (mk.zeros("final_obs", &[r, b, o])?, mk.zeros("reward", &[r, b])?);
            let (flags, metrics) =
                (mk.alloc::<u32>("flags", &[r, b])?, mk.zeros("metrics", &[r, metric::ROWS, b])?);
            let kernel = misac_step::MisacStep::new(gpu, &spec)?;
            let bound =
                kernel.bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
            let args = misac_step::Args {
                clock: 0,
                action_off: 0,
                state_off: 0,
                next_off: 0,
                obs_off: 0,
                reward_off: 0,
                full: true,
            };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "misac_gain" => {
            let spec = misac_gain::Spec { batch: spec, phase: Phase::Direct };
            mk.case(&sizes, misac_gain::cost(&spec), |gpu| {
                let (params, state) = (mk.misac_params()?, mk.misac_states()?);
                let (phases, gains) =
                    (mk.floats("phases", &[r, b, k, n])?, mk.zeros("gains", &[spec.gains_len()])?);
                let kernel = misac_gain::MisacGain::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &state, &phases, &gains);
                let args = misac_gain::Args { clock: 0, state_off: 0, phases_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "misac_accumulate" => mk.case(&sizes, misac_accumulate::cost(&spec), |gpu| {
            let (metrics, action) =
                (mk.floats("metrics", &[r, metric::ROWS, b])?, mk.floats("action", &[r, b, k])?);
            let gains = mk.floats("gains", &[r, gain_row::ROWS, b, k])?;
            let episode = mk.zeros("episode", &[misac_accumulate::episode_len(&spec)])?;
            let kernel = misac_accumulate::MisacAccumulate::new(gpu, &spec)?;
            let bound = kernel.bind(gpu, &metrics, &action, &gains, &episode);
            let args = misac_accumulate::Args { first: false, judged: true };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "obs_mask" => {
            let spec = obs_mask::Spec { rows: r * b, o, first: 2 * k };
            mk.case(&sizes, obs_mask::cost(&spec), |gpu| {
                let bound = obs_mask::ObsMask::new(gpu, &spec)?.bind(gpu, &mk.floats("obs", &[r, b, o])?);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, 0)))
            })
        }
        // Every fourth slot.
        "slot_gather" => {
            let slots = t / 4;
            let spec = slot_gather::Spec { t, r, b, o, slots, envs: b };
            let which = Minibatch { update: 0, epoch: 0, mb: 0 };
            let sizes = [("R", r), ("B", b), ("T", slots)];
            mk.case(&sizes, slot_gather::cost(&spec), |gpu| {
                let keys = mk.keys()?;
                let (obs, kept) = (mk.zeros("obs", &[t + 1, r, b, o])?, mk.zeros("kept", &[r, slots, b, o])?);
                let bound = slot_gather::SlotGather::new(gpu, &spec)?.bind(gpu, &keys, &obs, &kept);
                let args = slot_gather::Args { which, first: 0, stride: 4, slots };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "spatial_loss" => {
            let m = mk.at.m.min(b);
            let spec = spatial_loss::Spec { batch: spec, phase: Phase::Direct, slots: 1, m };
            let which = Minibatch { update: 0, epoch: 0, mb: 0 };
            mk.case(&[("R", r), ("M", m)], spatial_loss::cost(&spec), |gpu| {
                let (params, state) = (mk.misac_params()?, mk.misac_states()?);
                let phases = mk.floats("phases", &[r, m, k, n])?;
                let (d_phases, gain) = (mk.zeros("d_phases", &[r, m, k, n])?, mk.zeros("gain", &[r, m, k])?);
                let kernel = spatial_loss::SpatialLoss::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &state, &phases, &d_phases, &gain);
                let args = spatial_loss::Args { which, clock: 0, clock_step: 1, state_off: 0, lambda: 1.0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        _ => Ok(None),
    }
}
