//! Dense layers of the policies' hidden width, and the mixture of experts.

use super::{Case, HIDDEN, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::{
    dense_backward_input, dense_backward_weights, dense_forward, dense_forward_f16, expert_mix,
    expert_mix_backward,
};
use isacbench::nets::Activation;

/// Columns that the experts of task misac mix.
const COLUMNS: usize = 260;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, m, s, p, .. } = mk.at;
    let (i, o, act) = (HIDDEN, HIDDEN, Activation::Tanh);
    let sizes = [("R", r), ("M", m), ("H", HIDDEN)];
    let mixed = [("R", r), ("M", m), ("C", COLUMNS)];
    match stem {
        "dense_forward" => {
            let spec = dense_forward::Spec { r, m, i, o, p, act, b_scale: 1.0 };
            mk.case(&sizes, dense_forward::cost(&spec), |gpu| {
                let (params, x) = (mk.floats("params", &[r, p])?, mk.floats("x", &[r, m, i])?);
                let y = mk.zeros("y", &[r, m, o])?;
                let bound = dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, &params, &x, &y);
                let args = dense_forward::Args { m, w_off: 0, b_off: o * i, x_off: 0, y_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        // A hidden layer behind another, as an inference in f16 has it.
        "dense_forward_f16" => {
            let half = dense_forward_f16::Stored::F16;
            let spec = dense_forward_f16::Spec { r, m, i, o, p, act, x: half, y: half };
            mk.case(&sizes, dense_forward_f16::cost(&spec), |gpu| {
                let (params, x) = (mk.floats("params", &[r, p])?, mk.halves("x", &[r, m, i])?);
                let y = mk.alloc::<u16>("y", &[r, m, o])?;
                let kernel = dense_forward_f16::DenseForwardF16::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &x, &y);
                let args = dense_forward_f16::Args { m, w_off: 0, b_off: o * i, x_off: 0, y_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "dense_backward_input" => {
            let spec = dense_backward_input::Spec { r, m, i, o, p, act };
            mk.case(&sizes, dense_backward_input::cost(&spec), |gpu| {
                let (params, dy) = (mk.floats("params", &[r, p])?, mk.floats("dy", &[r, m, o])?);
                let (h, dx) = (mk.floats("h", &[r, m, i])?, mk.zeros("dx", &[r, m, i])?);
                let kernel = dense_backward_input::DenseBackwardInput::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &dy, &h, &dx);
                let args = dense_backward_input::Args { m, w_off: 0, dy_off: 0, h_off: 0, dx_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "dense_backward_weights" => {
            let spec = dense_backward_weights::Spec { r, m, i, o, p, s, b_scale: 1.0 };
            mk.case(&sizes, dense_backward_weights::cost(&spec), |gpu| {
                let (dy, x) = (mk.floats("dy", &[r, m, o])?, mk.floats("x", &[r, m, i])?);
                let partials = mk.zeros("partials", &[s, r, p])?;
                let kernel = dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &dy, &x, &partials);
                let args = dense_backward_weights::Args { m, w_off: 0, b_off: o * i, dy_off: 0, x_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "expert_mix" => {
            let c = COLUMNS;
            let spec = expert_mix::Spec { r, m, c };
            mk.case(&mixed, expert_mix::cost(&spec), |gpu| {
                let (gate, y) = (mk.floats("gate", &[r, m, 2])?, mk.zeros("y", &[r, m, c])?);
                let [first, second] = [mk.floats("a", &[r, m, c])?, mk.floats("b", &[r, m, c])?];
                let bound = expert_mix::ExpertMix::new(gpu, &spec)?.bind(gpu, &gate, &first, &second, &y);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, m)))
            })
        }
        "expert_mix_backward" => {
            let c = COLUMNS;
            let spec = expert_mix_backward::Spec { r, m, c };
            mk.case(&mixed, expert_mix_backward::cost(&spec), |gpu| {
                let wide = |name: &str| mk.floats(name, &[r, m, c]);
                let (gate, first, second, dy) =
                    (mk.floats("gate", &[r, m, 2])?, wide("a")?, wide("b")?, wide("dy")?);
                let [da, db] = [mk.zeros("da", &[r, m, c])?, mk.zeros("db", &[r, m, c])?];
                let d_gate = mk.zeros("d_gate", &[r, m, 2])?;
                let kernel = expert_mix_backward::ExpertMixBackward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &gate, &first, &second, &dy, &da, &db, &d_gate);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, m)))
            })
        }
        _ => Ok(None),
    }
}
