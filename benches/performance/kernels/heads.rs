//! From the outputs of networks to actions.

use super::{Case, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::{bernoulli_head, ddpg_act, dqn_act, gaussian_head};
use isacbench::tasks::v2x::codebook::codebook;
use isacbench::tasks::v2x::physics::Beam;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, b, p, .. } = mk.at;
    let task = mk.v2x(Beam::Angles).task;
    let a = task.action_dim();
    let sizes = [("R", r), ("B", b)];
    match stem {
        "gaussian_head" => {
            let spec = gaussian_head::Spec { r, b, a, p, behind: 0 };
            mk.case(&sizes, gaussian_head::cost(&spec), |gpu| {
                let (params, keys, mean) =
                    (mk.floats("params", &[r, p])?, mk.keys()?, mk.floats("mean", &[r, b, a])?);
                let (action, logprob) = (mk.zeros("action", &[r, b, a])?, mk.zeros("logprob", &[r, b])?);
                let kernel = gaussian_head::GaussianHead::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &keys, &mean, &action, &logprob);
                let args = gaussian_head::Args {
                    b,
                    clock: 0,
                    ls_off: 0,
                    greedy: false,
                    action_off: 0,
                    logprob_off: 0,
                };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "bernoulli_head" => {
            let a = mk.misac().task.vehicles;
            let spec = bernoulli_head::Spec { r, b, a };
            mk.case(&sizes, bernoulli_head::cost(&spec), |gpu| {
                let (keys, logits) = (mk.keys()?, mk.floats("logits", &[r, b, a])?);
                let (action, logprob) = (mk.zeros("action", &[r, b, a])?, mk.zeros("logprob", &[r, b])?);
                let kernel = bernoulli_head::BernoulliHead::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &keys, &logits, &action, &logprob);
                let args = bernoulli_head::Args {
                    b,
                    clock: 0,
                    greedy: false,
                    logits_off: 0,
                    action_off: 0,
                    logprob_off: 0,
                };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "ddpg_act" => {
            let spec = ddpg_act::Spec { r, b, a };
            mk.case(&sizes, ddpg_act::cost(&spec), |gpu| {
                let (keys, z, action) =
                    (mk.keys()?, mk.floats("z", &[r, b, a])?, mk.zeros("action", &[r, b, a])?);
                let noise = mk.upload("noise", &[r], &vec![1.0f32; r])?;
                let bound = ddpg_act::DdpgAct::new(gpu, &spec)?.bind(gpu, &keys, &noise, &z, &action);
                let args = ddpg_act::Args { clock: 0, scale: 4.0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "dqn_act" => {
            let codebook = codebook(&task, None, 32, &[0.25, 0.5, 1.0]).expect("a learned parameterisation");
            let (k, l) = (codebook.factors, codebook.outputs());
            let spec = dqn_act::Spec { r, b, codebook: codebook.clone() };
            let cost = dqn_act::cost(&spec);
            mk.case(&[("R", r), ("B", b), ("L", l)], cost, |gpu| {
                let (keys, q) = (mk.keys()?, mk.floats("q", &[r, b, k * l])?);
                let book = mk.upload("codebook", &[codebook.flat().len()], &codebook.flat())?;
                let (choice, action) = (mk.zeros("choice", &[r, b, k])?, mk.zeros("action", &[r, b, a])?);
                let thresholds = mk.upload("thresholds", &[r], &vec![dqn_act::threshold(0.1); r])?;
                let kernel = dqn_act::DqnAct::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &keys, &thresholds, &q, &book, &choice, &action);
                let args = dqn_act::Args { clock: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        _ => Ok(None),
    }
}
