//! Steady work whose energy is measured: the policy networks alone, rollouts, and training, on the CPU backend or a
//! GPU.

use crate::env::{At, Env, Slot};
use crate::gpu::{Fill, Gpu};
use crate::learn::network::{Forward, Rows, visible};
use crate::learn::recurrent::LstmStepGpu;
use crate::learn::{Algorithm, Learner, LearnerState};
use crate::nets::cpu::{Activations, forward};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::experts::{Decision, ExpertsCpu, ExpertsState, act};
use crate::nets::{Head, MlpLayout};
use crate::run::registry::AnyCheckpoint;
use crate::run::train::{TrainingSpan, train};
use rayon::prelude::*;
use std::hint::black_box;
use std::sync::Arc;

/// How much is done between two looks at the clock: enough to fill the device, in well under a window.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Environments of PPO, and of experts.
    pub envs: usize,
    pub experts_envs: usize,
    /// Observations of a batch of inferences, and batches.
    pub inferences: usize,
    pub batches: usize,
    /// Rollouts or updates.
    pub updates: u32,
}

pub const CPU: Sizes = Sizes { envs: 1024, experts_envs: 512, inferences: 4096, batches: 8, updates: 1 };
pub const GPU: Sizes = Sizes { envs: 8192, experts_envs: 2048, inferences: 16_384, batches: 64, updates: 4 };

/// Observations that a thread carries at once.
const CHUNK: usize = 256;
/// Observations are those of this slot of an episode.
const OBSERVED_SLOT: usize = 20;
/// Minibatches of an epoch.
const MINIBATCHES: usize = 16;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The networks that decide, and nothing else.
    Policy,
    /// Policy with its environment, as the learner collects experience (its critic included).
    Rollout,
    /// Whole updates.
    Training,
}

/// Does a piece of the work and says how many inferences or environment steps it was.
pub type Piece<'a> = Box<dyn FnMut() -> Result<u64, String> + 'a>;

/// The work of an agent, ready to run, or why there is none.
pub fn prepare<'a>(
    subject: &'a dyn AnyCheckpoint,
    kind: Kind,
    gpu: Option<&'a Arc<Gpu>>,
    sizes: Sizes,
) -> Result<Piece<'a>, String> {
    let failed = |e: crate::gpu::GpuError| e.to_string();
    let (mut algorithm, state) = (subject.first(), subject.state());
    if kind == Kind::Policy {
        let (params, envs) = (&state.params[..algorithm.params()], sizes.inferences);
        let env = algorithm.env().as_ref();
        return match (algorithm.policy(), &algorithm) {
            (Some(policy), _) => {
                let mut net = Packed::new(&policy.net);
                net.pack(params);
                let gaussian = matches!(policy.head, Head::Gaussian { .. });
                let obs = observations(env, &net, gaussian, envs);
                match gpu {
                    None => Ok(networks(net, obs, sizes.batches)),
                    Some(gpu) => networks_gpu(gpu, policy.net, policy.params, params, &obs, sizes.batches)
                        .map_err(failed),
                }
            }
            (None, Algorithm::Experts(spec)) => {
                let layout = &spec.layout;
                let mut net = ExpertsCpu::new(layout);
                net.pack(params);
                let obs = scheduled_observations(env, &net, envs);
                match (gpu, &layout.decision) {
                    (None, _) => Ok(decisions(net, obs, sizes.batches)),
                    (Some(gpu), Decision::Isolated { .. }) => {
                        decisions_gpu(gpu, layout, params, &obs, sizes.batches).map_err(failed)
                    }
                    (Some(_), Decision::Shared { .. }) => {
                        Err("networks with a shared trunk do not run apart from their learner on a GPU"
                            .into())
                    }
                }
            }
            (None, _) => unreachable!("only experts have no policy of one network"),
        };
    }
    match &mut algorithm {
        Algorithm::Ppo(spec) => {
            spec.ppo.envs = sizes.envs;
            spec.ppo.minibatch = spec.ppo.envs * spec.ppo.horizon / MINIBATCHES;
        }
        Algorithm::Apg(spec) => {
            spec.apg.envs = sizes.envs;
            spec.apg.minibatch = spec.apg.envs * spec.apg.horizon / MINIBATCHES;
        }
        Algorithm::Experts(spec) => {
            spec.temporal.envs = sizes.experts_envs;
            spec.temporal.minibatch_envs = spec.temporal.envs / MINIBATCHES;
        }
        Algorithm::OffPolicy(_) => {
            return Err("off-policy agents learn between their slots and are not measured".into());
        }
    }
    let start = first_replica(state, algorithm.params());
    let learner = Learner::new(&algorithm, &start, gpu).map_err(failed)?;
    Ok(learning(algorithm, learner, kind, gpu, sizes.updates))
}

/// The state of replica 0, as at the start of a run.
fn first_replica(s: &LearnerState, params: usize) -> LearnerState {
    let first = |v: &[f32]| v[..params].to_vec();
    LearnerState {
        params: first(&s.params),
        m: first(&s.m),
        v: first(&s.v),
        adam_steps: s.adam_steps,
        updates: 0,
        extra: Vec::new(),
    }
}

/// Observations `[envs, O]` of [`OBSERVED_SLOT`], the policy's means having acted until then (zeros, if its outputs are
/// no actions).
fn observations(env: &dyn Env, net: &Packed, gaussian: bool, envs: usize) -> Vec<f32> {
    let (o, a) = (env.sizes().obs, env.sizes().action);
    observed(env, envs, |n| {
        let mut acts = Activations::forward_only(&net.layout, n);
        move |obs: &[f32], action: &mut [f32]| {
            if gaussian {
                forward(net, n, Strided { data: obs, row: o, col: 1 }, &mut acts);
                for (row, mean) in action.chunks_mut(a).zip(acts.output().chunks(leading(a))) {
                    row.copy_from_slice(&mean[..a]);
                }
            }
        }
    })
}

/// As [`observations`], decisions 1 where the schedule's logits are positive.
fn scheduled_observations(env: &dyn Env, net: &ExpertsCpu, envs: usize) -> Vec<f32> {
    observed(env, envs, |n| {
        let (mut recurrent, mut logits) =
            (ExpertsState::new(&net.layout, n), vec![0f32; n * env.sizes().action]);
        move |obs: &[f32], action: &mut [f32]| {
            act(net, n, obs, &mut recurrent, &mut logits, None);
            action.iter_mut().zip(&logits).for_each(|(pi, x)| *pi = f32::from(u8::from(*x > 0.0)));
        }
    })
}

/// Observations of [`OBSERVED_SLOT`] of replica 0, chunk by chunk; `controller` makes what acts in so many
/// environments.
fn observed<A: FnMut(&[f32], &mut [f32])>(
    env: &dyn Env,
    envs: usize,
    controller: impl Fn(usize) -> A,
) -> Vec<f32> {
    let sizes = env.sizes();
    let chunk = |first: usize| {
        let n = CHUNK.min(envs - first);
        let mut at = At { replica: 0, key: env.key(0), first: first as u32, envs: n, clock: 0 };
        let mut slot = Slot::filled(vec![0f32; sizes.state * n], [n * sizes.obs, n * sizes.obs, n, 0], 0.0);
        let mut action = vec![0f32; n * sizes.action];
        let mut act = controller(n);
        env.reset(&at, &mut slot.state, &mut slot.obs);
        for clock in 0..OBSERVED_SLOT as u32 {
            at.clock = clock;
            act(&slot.obs, &mut action);
            slot.step(env, &at, &action, false);
        }
        slot.obs
    };
    (0..envs).step_by(CHUNK).flat_map(chunk).collect()
}

/// Forward passes over the same observations on all threads.
fn networks<'a>(net: Packed, obs: Vec<f32>, batches: usize) -> Piece<'a> {
    let o = net.layout.inputs();
    let mut acts: Vec<Activations> =
        obs.chunks(CHUNK * o).map(|x| Activations::forward_only(&net.layout, x.len() / o)).collect();
    Box::new(move || {
        for _ in 0..batches {
            obs.par_chunks(CHUNK * o).zip(&mut acts).for_each(|(x, acts)| {
                forward(&net, x.len() / o, Strided { data: x, row: o, col: 1 }, acts);
                black_box(acts.output());
            });
        }
        Ok((batches * obs.len() / o) as u64)
    })
}

fn networks_gpu<'a>(
    gpu: &'a Arc<Gpu>,
    net: MlpLayout,
    p: usize,
    params: &[f32],
    obs: &[f32],
    batches: usize,
) -> Result<Piece<'a>, crate::gpu::GpuError> {
    let m = obs.len() / net.inputs();
    let params = gpu.upload("steady.params", &[1, p], params)?;
    let x = gpu.upload("steady.obs", &[1, m, net.inputs()], obs)?;
    let outputs =
        visible(&net).iter().map(|l| gpu.alloc::<f32>("steady.out", &[1, m, l.outputs], Fill::Zero));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    let outputs: Vec<_> = outputs.iter().collect();
    let pass = Forward::new(gpu, &net, Rows { r: 1, m, p }, &params, &x, &outputs)?;
    Ok(Box::new(move || {
        let record = |to: &mut wgpu::ComputePass| (0..batches).for_each(|_| pass.record(to, m, 0, 0));
        gpu.run(record).map_err(|e| e.to_string())?;
        Ok((batches * m) as u64)
    }))
}

/// Schedules and phases from the same observations on all threads, the recurrent state carried on.
fn decisions<'a>(net: ExpertsCpu, obs: Vec<f32>, batches: usize) -> Piece<'a> {
    let (o, k, km) = (net.layout.obs, net.layout.vehicles, net.layout.phases());
    let memory = |x: &[f32]| {
        let n = x.len() / o;
        (ExpertsState::new(&net.layout, n), vec![0f32; n * k], vec![0f32; n * km])
    };
    let mut memories: Vec<_> = obs.chunks(CHUNK * o).map(memory).collect();
    Box::new(move || {
        for _ in 0..batches {
            obs.par_chunks(CHUNK * o).zip(&mut memories).for_each(|(x, (state, logits, phases))| {
                act(&net, x.len() / o, x, state, logits, Some(phases));
                black_box((logits, phases));
            });
        }
        Ok((batches * obs.len() / o) as u64)
    })
}

fn decisions_gpu<'a>(
    gpu: &'a Arc<Gpu>,
    layout: &crate::nets::experts::ExpertsLayout,
    params: &[f32],
    obs: &[f32],
    batches: usize,
) -> Result<Piece<'a>, crate::gpu::GpuError> {
    let Decision::Isolated { lstm, head, phases } = &layout.decision else {
        unreachable!("asked for isolated networks only")
    };
    let (m, p) = (obs.len() / layout.obs, layout.params());
    let rows = Rows { r: 1, m, p };
    let params = gpu.upload("steady.params", &[1, p], params)?;
    let x = gpu.upload("steady.obs", &[1, m, layout.obs], obs)?;
    let buffers = |net: &MlpLayout| {
        let each = net.layers.iter().map(|l| gpu.alloc::<f32>("steady.out", &[1, m, l.outputs], Fill::Zero));
        each.collect::<Result<Vec<_>, _>>()
    };
    let (logits, turns) = (buffers(head)?, buffers(phases)?);
    let step = LstmStepGpu::new(gpu, lstm, rows, &params, &x)?;
    let head = Forward::new(gpu, head, rows, &params, &step.hidden, &logits.iter().collect::<Vec<_>>())?;
    let phases = Forward::new(gpu, phases, rows, &params, &x, &turns.iter().collect::<Vec<_>>())?;
    Ok(Box::new(move || {
        gpu.run(|to| {
            for _ in 0..batches {
                step.record(to, 0);
                head.record(to, m, 0, 0);
                phases.record(to, m, 0, 0);
            }
        })
        .map_err(|e| e.to_string())?;
        Ok((batches * m) as u64)
    }))
}

fn learning<'a>(
    algorithm: Algorithm,
    mut learner: Learner,
    kind: Kind,
    gpu: Option<&'a Arc<Gpu>>,
    updates: u32,
) -> Piece<'a> {
    let steps = algorithm.samples() as u64;
    let mut update = 0;
    Box::new(move || {
        let from = update;
        update += updates;
        let done = match (&mut learner, kind) {
            (Learner::OnPolicy(ppo), Kind::Rollout) => {
                (from..update).try_for_each(|u| ppo.rollout(u)).and_then(|()| finished(gpu))
            }
            (Learner::Experts(experts), Kind::Rollout) => {
                (from..update).try_for_each(|u| experts.rollout(u)).and_then(|()| finished(gpu))
            }
            (learner, _) => {
                let span = TrainingSpan {
                    algorithm: &algorithm,
                    updates: u32::MAX,
                    until: update,
                    log_every: u32::MAX,
                };
                train(&span, learner, from, |_, _| {}, |_| true).map(|_| ())
            }
        };
        done.map_err(|e| e.to_string())?;
        Ok(steps * u64::from(updates))
    })
}

/// Waits until the GPU has done what was submitted.
fn finished(gpu: Option<&Arc<Gpu>>) -> Result<(), crate::gpu::GpuError> {
    gpu.map_or(Ok(()), |gpu| gpu.wait(gpu.queue.submit([])))
}
