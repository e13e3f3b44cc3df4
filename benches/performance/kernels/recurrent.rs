//! Cells of the LSTM, one step.

use super::{Case, Maker};
use isacbench::gpu::GpuError;
use isacbench::kernels::{lstm_backward, lstm_forward};

/// Width of the LSTM of task misac.
const WIDTH: usize = 64;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let (r, m, h) = (mk.at.r, mk.at.b, WIDTH);
    let sizes = [("R", r), ("M", m), ("H", h)];
    let narrow = |name: &str| mk.floats(name, &[r, m, h]);
    let wide = |name: &str| mk.floats(name, &[r, m, 4 * h]);
    match stem {
        "lstm_forward" => {
            let spec = lstm_forward::Spec { r, m, h };
            mk.case(&sizes, lstm_forward::cost(&spec), |gpu| {
                let (gates_x, gates_h, acts) = (wide("gates_x")?, wide("gates_h")?, wide("acts")?);
                // c before and after the step.
                let (cell, hidden, now) =
                    (mk.floats("cell", &[r, 2 * m, h])?, mk.zeros("hidden", &[r, m, h])?, narrow("h_now")?);
                let kernel = lstm_forward::LstmForward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &gates_x, &gates_h, &cell, &acts, &hidden, &now);
                let args = lstm_forward::Args {
                    m,
                    stride: m,
                    gx_off: 0,
                    c_prev_off: 0,
                    c_off: r * m * h,
                    acts_off: 0,
                    h_off: 0,
                };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "lstm_backward" => {
            let spec = lstm_backward::Spec { r, m, h };
            mk.case(&sizes, lstm_backward::cost(&spec), |gpu| {
                let (dh, dh_next, dc) = (narrow("dh")?, narrow("dh_next")?, mk.zeros("dc", &[r, m, h])?);
                let (cell, acts) = (mk.floats("cell", &[r, 2 * m, h])?, wide("acts")?);
                let zeros = |name: &str| mk.zeros(name, &[r, m, 4 * h]);
                let (d_gates, d_now) = (zeros("d_gates")?, zeros("d_now")?);
                let kernel = lstm_backward::LstmBackward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &dh, &dh_next, &cell, &acts, &dc, &d_gates, &d_now);
                let args = lstm_backward::Args {
                    m,
                    stride: m,
                    dh_off: 0,
                    c_prev_off: 0,
                    c_off: r * m * h,
                    acts_off: 0,
                    dg_off: 0,
                    last: false,
                };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        _ => Ok(None),
    }
}
