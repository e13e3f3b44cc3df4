//! From a rollout to minibatches and metrics.

use super::{Case, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::{
    gae, metrics_accumulate, metrics_reduce, minibatch_gather, minibatch_scalars, quantile_count,
};
use isacbench::num::shuffle::{Minibatch, Unit};
use isacbench::tasks::v2x::physics::{Beam, metric};

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, b, t, m, .. } = mk.at;
    let task = mk.v2x(Beam::Angles).task;
    let (o, a, rows) = (task.obs_dim(), task.action_dim(), task.metric_rows());
    let which = Minibatch { update: 0, epoch: 0, mb: 0 };
    let unit = Unit::Sample;
    let (envs, slots) = ([("R", r), ("B", b)], [("R", r), ("B", b), ("T", t)]);
    let gathered = [("R", r), ("B", b), ("T", t), ("M", m)];
    match stem {
        "gae" => {
            let spec = gae::Spec { t, r, b };
            mk.case(&slots, gae::cost(&spec), |gpu| {
                let (reward, value) = (mk.floats("reward", &[t, r, b])?, mk.floats("value", &[t + 1, r, b])?);
                let final_value = mk.floats("final_value", &[t, r, b])?;
                let flags = mk.alloc::<u32>("flags", &[t, r, b])?;
                let hyper = mk.upload("hyper", &[r], &vec![[0.99f32, 0.95, 0.05, 0.0]; r])?;
                let (advantage, returns) =
                    (mk.zeros("advantage", &[t, r, b])?, mk.zeros("returns", &[t, r, b])?);
                let kernel = gae::Gae::new(gpu, &spec)?;
                let bound =
                    kernel.bind(gpu, &reward, &value, &final_value, &flags, &hyper, &advantage, &returns);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "minibatch_gather" => {
            let spec = minibatch_gather::Spec { t, r, b, o, a, m, unit, tail: 0 };
            mk.case(&gathered, minibatch_gather::cost(&spec), |gpu| {
                let (keys, obs) = (mk.keys()?, mk.floats("obs", &[t + 1, r, b, o])?);
                let action = mk.floats("action", &[t, r, b, a])?;
                let (mb_obs, mb_action) =
                    (mk.zeros("mb_obs", &[r, m, o])?, mk.zeros("mb_action", &[r, m, a])?);
                let kernel = minibatch_gather::MinibatchGather::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &keys, &obs, &action, &mb_obs, &mb_action);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, which)))
            })
        }
        "minibatch_scalars" => {
            let spec = minibatch_scalars::Spec { t, r, b, m, unit };
            mk.case(&gathered, minibatch_scalars::cost(&spec), |gpu| {
                let keys = mk.keys()?;
                let (logprob, advantage) =
                    (mk.floats("logprob", &[t, r, b])?, mk.floats("advantage", &[t, r, b])?);
                let (returns, value) =
                    (mk.floats("returns", &[t, r, b])?, mk.floats("value", &[t + 1, r, b])?);
                let scalars = mk.scalars()?;
                let kernel = minibatch_scalars::MinibatchScalars::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &keys, &logprob, &advantage, &returns, &value, &scalars);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, which)))
            })
        }
        "metrics_reduce" => {
            let spec = metrics_reduce::Spec { r, metric_rows: rows, b };
            mk.case(&envs, metrics_reduce::cost(&spec), |gpu| {
                let (metrics, sums) =
                    (mk.floats("metrics", &[r, rows, b])?, mk.zeros("sums", &[r, rows, 2])?);
                let bound = metrics_reduce::MetricsReduce::new(gpu, &spec)?.bind(gpu, &metrics, &sums);
                let args = metrics_reduce::Args { scale: 1.0, sums_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "metrics_accumulate" => {
            let spec = metrics_accumulate::Spec { elements: r * rows * b };
            mk.case(&envs, metrics_accumulate::cost(&spec), |gpu| {
                let (metrics, episode) =
                    (mk.floats("metrics", &[r, rows, b])?, mk.zeros("episode", &[r, rows, b])?);
                let bound =
                    metrics_accumulate::MetricsAccumulate::new(gpu, &spec)?.bind(gpu, &metrics, &episode);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, false)))
            })
        }
        "quantile_count" => {
            let (quantities, each) = (metric::SAMPLES, task.vehicles);
            let spec = quantile_count::Spec { r, metric_rows: rows, b, quantities, rows: each };
            mk.case(&envs, quantile_count::cost(&spec), |gpu| {
                let metrics = mk.floats("metrics", &[r, rows, b])?;
                let counts = mk.alloc::<u32>("counts", &[r, quantities, quantile_count::BINS])?;
                let bound = quantile_count::QuantileCount::new(gpu, &spec)?.bind(gpu, &metrics, &counts);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, false)))
            })
        }
        _ => Ok(None),
    }
}
