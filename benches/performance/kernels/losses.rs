//! Losses of the policy gradient and their gradients.

use super::{Case, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::{
    advantage_stats, bernoulli_policy_loss, joint_policy_loss, ppo_policy_loss, ppo_value_loss,
};
use isacbench::tasks::v2x::physics::Beam;

/// Phases of `joint_policy_loss`: those of one beam.
const JOINT_PHASES: usize = 64;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, m, p, .. } = mk.at;
    let sizes = [("R", r), ("M", m)];
    let stats = || mk.upload("stats", &[r], &vec![[0f32, 1.0]; r]);
    match stem {
        "advantage_stats" => {
            let spec = advantage_stats::Spec { r, m, unbiased: true, normalise: true };
            mk.case(&sizes, advantage_stats::cost(&spec), |gpu| {
                let (scalars, stats) = (mk.scalars()?, stats()?);
                let bound = advantage_stats::AdvantageStats::new(gpu, &spec)?.bind(gpu, &scalars, &stats);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "ppo_policy_loss" => {
            let a = mk.v2x(Beam::Angles).task.action_dim();
            let spec = ppo_policy_loss::Spec { r, m, a, p, ls_off: 0 };
            mk.case(&sizes, ppo_policy_loss::cost(&spec), |gpu| {
                let (params, mean) = (mk.floats("params", &[r, p])?, mk.floats("mean", &[r, m, a])?);
                let (action, scalars, stats) = (mk.floats("mb_action", &[r, m, a])?, mk.scalars()?, stats()?);
                let (d_mean, terms) = (mk.zeros("d_mean", &[r, m, a])?, mk.zeros("terms", &[r, m, a + 4])?);
                let kernel = ppo_policy_loss::PpoPolicyLoss::new(gpu, &spec)?;
                let hyper = ppo_policy_loss::Hyper { clip_eps: 0.2, ent_coef: 1e-3 };
                let hyper = gpu.upload("hyper", &[r], &vec![hyper.row(); r])?;
                let bound =
                    kernel.bind(gpu, &params, &mean, &action, &scalars, &stats, &hyper, &d_mean, &terms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "ppo_value_loss" => {
            let spec = ppo_value_loss::Spec { r, m, tail: 0, clip: false };
            mk.case(&sizes, ppo_value_loss::cost(&spec), |gpu| {
                let (value, scalars) = (mk.floats("value", &[r, m])?, mk.scalars()?);
                let (d_value, terms) = (mk.zeros("d_value", &[r, m])?, mk.zeros("terms_v", &[r, m, 1])?);
                let kernel = ppo_value_loss::PpoValueLoss::new(gpu, &spec)?;
                let hyper = ppo_value_loss::Hyper { vf_coef: 0.5, clip_eps: 0.2 };
                let hyper = gpu.upload("hyper", &[r], &vec![hyper.row(); r])?;
                let bound = kernel.bind(gpu, &value, &scalars, &hyper, &d_value, &terms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "bernoulli_policy_loss" => {
            let a = mk.misac().task.vehicles;
            let spec = bernoulli_policy_loss::Spec { r, m, a, skip: 0, clip: true };
            mk.case(&sizes, bernoulli_policy_loss::cost(&spec), |gpu| {
                let (logits, action) = (mk.floats("logits", &[r, m, a])?, mk.zeros("mb_action", &[r, m, a])?);
                let (scalars, stats) = (mk.scalars()?, stats()?);
                let (d_logits, terms) = (mk.zeros("d_logits", &[r, m, a])?, mk.zeros("terms", &[r, m, 4])?);
                let kernel = bernoulli_policy_loss::BernoulliPolicyLoss::new(gpu, &spec)?;
                let hyper = bernoulli_policy_loss::Hyper { clip_eps: 0.2, ent_coef: 0.01 };
                let hyper = gpu.upload("hyper", &[r], &vec![hyper.row(); r])?;
                let bound = kernel.bind(gpu, &logits, &action, &scalars, &stats, &hyper, &d_logits, &terms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "joint_policy_loss" => {
            let (k, a) = (mk.misac().task.vehicles, JOINT_PHASES);
            let spec = joint_policy_loss::Spec { r, m, k, a, p, ls_off: 0, clip: true };
            mk.case(&sizes, joint_policy_loss::cost(&spec), |gpu| {
                let (params, outputs) =
                    (mk.floats("params", &[r, p])?, mk.floats("outputs", &[r, m, k + a])?);
                let (taken, drawn) = (mk.zeros("mb_taken", &[r, m, k])?, mk.floats("mb_drawn", &[r, m, a])?);
                let (scalars, stats) = (mk.scalars()?, stats()?);
                let terms = mk.zeros("terms", &[r, m, a + 4])?;
                let kernel = joint_policy_loss::JointPolicyLoss::new(gpu, &spec)?;
                let hyper = joint_policy_loss::Hyper { clip_eps: 0.2, ent_coef: 1e-3 };
                let hyper = gpu.upload("hyper", &[r], &vec![hyper.row(); r])?;
                let bound =
                    kernel.bind(gpu, &params, &outputs, &taken, &drawn, &scalars, &stats, &hyper, &terms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        _ => Ok(None),
    }
}
