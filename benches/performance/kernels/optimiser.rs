//! From partial sums of gradients to parameters.

use super::{Case, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::kl_control::{self, Limits, Pace};
use isacbench::kernels::{adam, column_sum, grad_join, grad_norm, grad_reduce};

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, m, s, p, .. } = mk.at;
    let sizes = [("R", r), ("P", p)];
    match stem {
        "grad_reduce" => {
            let spec = grad_reduce::Spec { r, p, s };
            mk.case(&[("R", r), ("P", p), ("S", s)], grad_reduce::cost(&spec), |gpu| {
                let (partials, grads) = (mk.floats("partials", &[s, r, p])?, mk.zeros("grads", &[r, p])?);
                let bound = grad_reduce::GradReduce::new(gpu, &spec)?.bind(gpu, &partials, &grads);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        // As many columns as the policy loss of task v2x has.
        "column_sum" => {
            let c = 10;
            let spec = column_sum::Spec { r, m, c };
            let sizes = [("R", r), ("M", m), ("C", c)];
            mk.case(&sizes, column_sum::cost(&spec), |gpu| {
                let (source, out) = (mk.floats("source", &[r, m, c])?, mk.zeros("out", &[r, c])?);
                let bound = column_sum::ColumnSum::new(gpu, &spec)?.bind(gpu, &source, &out);
                let args = column_sum::Args { m, out_stride: c, out_off: 0, scale: 1.0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "grad_join" => {
            let spec = grad_join::Spec { r, p };
            mk.case(&sizes, grad_join::cost(&spec), |gpu| {
                let (mask, out) = (mk.floats("mask", &[p])?, mk.zeros("out", &[r, 3])?);
                let (other, grads) = (mk.floats("other", &[r, p])?, mk.floats("grads", &[r, p])?);
                let bound = grad_join::GradJoin::new(gpu, &spec)?.bind(gpu, &mask, &other, &grads, &out);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, 0)))
            })
        }
        "grad_norm" => {
            let spec = grad_norm::Spec { r, p, split: p / 2, joint: false };
            mk.case(&sizes, grad_norm::cost(&spec), |gpu| {
                let (grads, norms) = (mk.floats("grads", &[r, p])?, mk.zeros("norms", &[r, 2])?);
                let bound = grad_norm::GradNorm::new(gpu, &spec)?.bind(gpu, &grads, &norms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "kl_control" => {
            let hyper = adam::Hyper { lr: [3e-4, 1e-3], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
            let spec = kl_control::Spec { r, c: 10, column: 7 };
            mk.case(&sizes, kl_control::cost(&spec), |gpu| {
                let means = mk.upload("means", &[2, r, 10], &vec![0.02f32; 20 * r])?;
                let norms = mk.upload("norms", &[r, 2], &vec![1f32; 2 * r])?;
                let rows = mk.upload("hyper", &[r, 8], &vec![hyper.row::<f32>(); r].concat())?;
                let limits = Limits { target: 0.03, limit: 0.3 };
                let limits = mk.upload("limits", &[r, 2], &vec![limits.row::<f32>(); r].concat())?;
                let pace =
                    mk.upload("pace", &[r, 8], &vec![Pace::after(0, [0.9, 0.999]).row(); r].concat())?;
                let kernel = kl_control::KlControl::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &means, &norms, &rows, &limits, &pace);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, 1)))
            })
        }
        "adam" => {
            let hyper = adam::Hyper { lr: [3e-4, 1e-3], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
            let spec = adam::Spec { r, p, split: p / 2 };
            mk.case(&sizes, adam::cost(&spec), |gpu| {
                let (params, grads) = (mk.floats("params", &[r, p])?, mk.floats("grads", &[r, p])?);
                let norms = mk.upload("norms", &[r, 2], &vec![1f32; 2 * r])?;
                let (first, second) = (mk.zeros("m", &[r, p])?, mk.zeros("v", &[r, p])?);
                let rows = mk.upload("hyper", &[r, 8], &vec![hyper.row::<f32>(); r].concat())?;
                let kernel = adam::Adam::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &grads, &norms, &first, &second, &rows, &rows);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &hyper.args(1))))
            })
        }
        _ => Ok(None),
    }
}
