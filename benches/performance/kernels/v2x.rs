//! Task v2x.

use super::{Case, HIDDEN, Maker};
use isacbench::gpu::GpuError;
use isacbench::nets::{Activation, ActorCriticLayout};
use isacbench::tasks::v2x::gradient::{Quantity, scene_dim};
use isacbench::tasks::v2x::kernels::{
    v2x_gradient, v2x_reference, v2x_reset, v2x_rollout, v2x_scene, v2x_slots, v2x_step,
};
use isacbench::tasks::v2x::physics::Beam;
use isacbench::tasks::v2x::reference::Reference;

pub fn build(mk: &Maker, stem: &str) -> Result<Option<Case>, GpuError> {
    let (r, b) = (mk.at.r, mk.at.b);
    let spec = mk.v2x(Beam::Angles);
    let (o, rows) = (spec.task.obs_dim(), spec.task.metric_rows());
    let sizes = [("R", r), ("B", b)];
    match stem {
        "v2x_reset" => mk.case(&sizes, v2x_reset::cost(&spec), |gpu| {
            let (params, state) = (mk.v2x_params(&spec)?, mk.v2x_states(&spec)?);
            let obs = mk.zeros("obs", &[r, b, o])?;
            let bound = v2x_reset::V2xReset::new(gpu, &spec)?.bind(gpu, &params, &state, &obs);
            let args = v2x_reset::Args { clock: 0, obs_off: 0 };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        // The costliest of them.
        "v2x_reference" => {
            let who = Reference::GenieZf;
            let spec = v2x_reference::Spec { batch: mk.v2x(who.beam()), who };
            mk.case(&sizes, v2x_reference::cost(&spec), |gpu| {
                let (params, state) = (mk.v2x_params(&spec.batch)?, mk.v2x_states(&spec.batch)?);
                let memory = mk.zeros("memory", &[spec.memory_len().max(1)])?;
                let action = mk.zeros("action", &[spec.batch.action_len()])?;
                let kernel = v2x_reference::V2xReference::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &state, &memory, &action);
                let args = v2x_reference::Args { clock: 0, action_off: 0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "v2x_step" => mk.case(&sizes, v2x_step::cost(&spec), |gpu| {
            let (params, state) = (mk.v2x_params(&spec)?, mk.v2x_states(&spec)?);
            let action = mk.floats("action", &[r, b, spec.task.action_dim()])?;
            let (obs, final_obs) = (mk.zeros("obs", &[r, b, o])?, mk.zeros("final_obs", &[r, b, o])?);
            let (reward, flags) = (mk.zeros("reward", &[r, b])?, mk.alloc::<u32>("flags", &[r, b])?);
            let metrics = mk.zeros("metrics", &[r, rows, b])?;
            let kernel = v2x_step::V2xStep::new(gpu, &spec)?;
            let bound =
                kernel.bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
            let args = v2x_step::Args { clock: 0, action_off: 0, obs_off: 0, reward_off: 0, full: true };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "v2x_scene" => mk.case(&sizes, v2x_scene::cost(&spec), |gpu| {
            let (params, state) = (mk.v2x_params(&spec)?, mk.v2x_states(&spec)?);
            let scene = mk.zeros("scene", &[r, b, scene_dim(&spec.task)])?;
            let bound = v2x_scene::V2xScene::new(gpu, &spec)?.bind(gpu, &params, &state, &scene);
            let args = v2x_scene::Args { clock: 0, scene_off: 0 };
            Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
        }),
        "v2x_gradient" => {
            let spec = v2x_gradient::Spec { batch: spec, of: Quantity::Rate, width: 1.0 };
            mk.case(&sizes, v2x_gradient::cost(&spec), |gpu| {
                let batch = &spec.batch;
                let (params, state) = (mk.v2x_params(batch)?, mk.v2x_states(batch)?);
                let a = batch.task.action_dim();
                let scene = mk.zeros("scene", &[r, b, scene_dim(&batch.task)])?;
                let action = mk.floats("action", &[r, b, a])?;
                let (d_action, value) = (mk.zeros("d_action", &[r, b, a])?, mk.zeros("value", &[r, b])?);
                // Scenes as they are before a slot.
                let scenes = v2x_scene::V2xScene::new(gpu, batch)?.bind(gpu, &params, &state, &scene);
                gpu.run(|pass| scenes.record(pass, &v2x_scene::Args { clock: 0, scene_off: 0 }))?;
                let kernel = v2x_gradient::V2xGradient::new(gpu, &spec)?;
                let bound = kernel.bind(gpu, &params, &scene, &action, &d_action, &value);
                let args = v2x_gradient::Args { weight: 1.0 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        // Software does few slots in a dispatch.
        "v2x_slots" => {
            let slots = 10;
            let sizes = [("R", r), ("B", b), ("T", slots)];
            mk.case(&sizes, v2x_slots::cost_of(&spec, slots), |gpu| {
                let (params, state) = (mk.v2x_params(&spec)?, mk.v2x_states(&spec)?);
                let (obs, sums) = (mk.zeros("obs", &[r, b, o])?, mk.zeros("sums", &[r, v2x_slots::SUMS, b])?);
                let kernel = v2x_slots::V2xSlots::new(gpu, &spec, slots)?;
                let bound = kernel.bind(gpu, &params, &state, &obs, &sums);
                let args = v2x_slots::Args { clock: 0, slots: slots as u32 };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        "v2x_rollout" => {
            let slots = 10;
            let sizes = [("R", r), ("B", b), ("T", slots), ("H", HIDDEN)];
            let layout = ActorCriticLayout::new(o, &[HIDDEN; 2], spec.task.action_dim(), Activation::Tanh);
            // The work does not depend on the limits, but how it is shared out does.
            let limits = mk.gpu.map_or_else(wgpu::Limits::default, |gpu| gpu.limits.clone());
            let spec = v2x_rollout::Spec::new(&limits, spec, slots, &layout).expect("fits every device");
            mk.case(&sizes, v2x_rollout::cost_of(&spec, slots), |gpu| {
                let batch = &spec.batch;
                let (params, state) = (mk.v2x_params(batch)?, mk.v2x_states(batch)?);
                let net = mk.floats("net", &[r, spec.p])?;
                let obs = mk.zeros("obs", &[slots + 2, r, b, o])?;
                let action = mk.zeros("action", &[spec.action_len()])?;
                let logprob = mk.zeros("logprob", &[slots, r, b])?;
                let flags = mk.alloc::<u32>("flags", &[slots, r, b])?;
                let outcome = mk.zeros("outcome", &[spec.outcome_len()])?;
                let kernel = v2x_rollout::V2xRollout::new(gpu, &spec, slots)?;
                let bound =
                    kernel.bind(gpu, &params, &net, &state, &obs, &action, &logprob, &flags, &outcome);
                let args = v2x_rollout::Args { clock: 0, first: 0, slots };
                Ok(Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args)))
            })
        }
        _ => Ok(None),
    }
}
