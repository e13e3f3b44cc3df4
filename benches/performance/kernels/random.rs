//! Random numbers and elementary functions.

use super::{Case, Maker};
use isacbench::gpu::{GpuError, fold_groups};
use isacbench::kernels::inputs::normal;
use isacbench::kernels::{math_eval, normal_fill, philox_fill};

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let n = mk.at.r * mk.at.b * 64;
    let start = || mk.upload("start_key", &[6], &[0u32, 1, 2, 3, 4, 5]);
    match stem {
        "philox_fill" => {
            let spec = philox_fill::Spec { blocks: n };
            mk.case(&[("N", n)], philox_fill::cost(&spec), |gpu| {
                let out = mk.alloc::<[u32; 4]>("out", &[n])?;
                let kernel = gpu.kernel(&philox_fill::SHADER, &philox_fill::prelude(&spec))?;
                let bound = kernel.bind(gpu, &[&start()?.raw, &out.raw]);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| {
                    bound.record(pass, fold_groups(n, philox_fill::WG), &[])
                }))
            })
        }
        "normal_fill" => {
            let spec = normal_fill::Spec { blocks: n };
            mk.case(&[("N", n)], normal_fill::cost(&spec), |gpu| {
                let out = mk.alloc::<[f32; 4]>("out", &[n])?;
                let bound = normal_fill::NormalFill::new(gpu, &spec)?.bind(gpu, &start()?, &out);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        // exp
        "math_eval" => {
            let spec = math_eval::Spec { n, ..math_eval::DEFAULT };
            mk.case(&[("N", n)], math_eval::cost(&spec), |gpu| {
                let args: Vec<[u32; 2]> =
                    normal(3, 0, n, 3.0).into_iter().map(|x| [x.to_bits(), x.to_bits()]).collect();
                let (args, out) = (mk.upload("args", &[n], &args)?, mk.alloc::<[f32; 2]>("out", &[n])?);
                let bound = math_eval::MathEval::new(gpu, &spec)?.bind(gpu, &args, &out);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        _ => Ok(None),
    }
}
