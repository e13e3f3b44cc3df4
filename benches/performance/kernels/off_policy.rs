//! Learning from a replay.

use super::{Case, Maker};
use isacbench::bench::grid::Kernels;
use isacbench::gpu::GpuError;
use isacbench::kernels::{critic_input, critic_input_backward, polyak, replay_gather, replay_write, td_loss};
use isacbench::learn::replay::Row;
use isacbench::tasks::v2x::physics::Beam;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let Kernels { r, b, t, m, p, .. } = mk.at;
    let task = mk.v2x(Beam::Angles).task;
    let (o, a) = (task.obs_dim(), task.action_dim());
    let row = Row { obs: o, action: a };
    let sizes = [("R", r), ("M", m)];
    match stem {
        "replay_write" => {
            let spec = replay_write::Spec { r, b, c: t, row };
            mk.case(&[("R", r), ("B", b)], replay_write::cost(&spec), |gpu| {
                let (obs, final_obs) =
                    (mk.floats("obs", &[2, r, b, o])?, mk.floats("final_obs", &[r, b, o])?);
                let (action, reward) = (mk.floats("action", &[r, b, a])?, mk.floats("reward", &[r, b])?);
                let (flags, replay) =
                    (mk.alloc::<u32>("flags", &[r, b])?, mk.zeros("replay", &[r, t, b, row.width()])?);
                let scale = mk.upload("reward_scale", &[r], &vec![0.05f32; r])?;
                let kernel = replay_write::ReplayWrite::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &scale, &obs, &final_obs, &action, &reward, &flags, &replay);
                let args = replay_write::Args { slot: t - 1, obs_off: 0, next_off: r * b * o };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "replay_gather" => {
            let spec = replay_gather::Spec { r, capacity: t * b, row, m };
            let sizes = [("R", r), ("M", m), ("N", t * b)];
            mk.case(&sizes, replay_gather::cost(&spec), |gpu| {
                let (keys, replay) = (mk.keys()?, mk.floats("replay", &[r, t * b, row.width()])?);
                let (mb_obs, mb_action) =
                    (mk.zeros("mb_obs", &[r, m, o])?, mk.zeros("mb_action", &[r, m, a])?);
                let (mb_next, scalars) =
                    (mk.zeros("mb_next", &[r, m, o])?, mk.alloc::<[f32; 2]>("mb_scalars", &[r, m])?);
                let kernel = replay_gather::ReplayGather::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &keys, &replay, &mb_obs, &mb_action, &mb_next, &scalars);
                let args = replay_gather::Args { clock: 0, step: 0, filled: t * b };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "critic_input" => {
            let spec = critic_input::Spec { r, m, o, a };
            mk.case(&sizes, critic_input::cost(&spec), |gpu| {
                let (obs, action) = (mk.floats("obs", &[r, m, o])?, mk.floats("action", &[r, m, a])?);
                let x = mk.zeros("x", &[r, m, o + a])?;
                let bound = critic_input::CriticInput::new(gpu, &spec)?.bind(gpu, &obs, &action, &x);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, Some(4.0))))
            })
        }
        "critic_input_backward" => {
            let spec = critic_input_backward::Spec { r, m, o, a };
            mk.case(&sizes, critic_input_backward::cost(&spec), |gpu| {
                let (x, dx) = (mk.floats("x", &[r, m, o + a])?, mk.floats("dx", &[r, m, o + a])?);
                let dz = mk.zeros("dz", &[r, m, a])?;
                let kernel = critic_input_backward::CriticInputBackward::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &x, &dx, &dz);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, 4.0)))
            })
        }
        // The choices of dqn: three vehicles, 32 beams of three powers.
        "td_loss" => {
            let (k, l) = (3, 96);
            let spec = td_loss::Spec { r, m, k, l, split: 0, huber: true };
            let sizes = [("R", r), ("M", m), ("K", k), ("L", l)];
            mk.case(&sizes, td_loss::cost(&spec), |gpu| {
                let (q, q_next) = (mk.floats("q", &[r, m, k * l])?, mk.floats("q_next", &[r, m, k * l])?);
                let (d_q, terms) = (mk.zeros("d_q", &[r, m, k * l])?, mk.zeros("terms", &[r, m, 2])?);
                let choice = mk.zeros("mb_action", &[r, m, k])?;
                let scalars = mk.upload("mb_scalars", &[r, m], &vec![[0.5f32, 1.0]; r * m])?;
                let gamma = mk.upload("gamma", &[r], &vec![0.9f32; r])?;
                let kernel = td_loss::TdLoss::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &gamma, &q, &q_next, &choice, &scalars, &d_q, &terms);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        "polyak" => {
            let spec = polyak::Spec { r, p };
            mk.case(&[("R", r), ("P", p)], polyak::cost(&spec), |gpu| {
                let (params, target) = (mk.floats("params", &[r, p])?, mk.floats("target", &[r, p])?);
                let tau = mk.upload("tau", &[r], &vec![0.005f32; r])?;
                let bound = polyak::Polyak::new(gpu, &spec)?.bind(gpu, &tau, &params, &target);
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass)))
            })
        }
        _ => Ok(None),
    }
}
