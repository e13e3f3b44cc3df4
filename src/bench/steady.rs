//! Steady work whose energy is measured: the policy networks alone, rollouts, and training, on the CPU backend or a GPU.

use super::energy::Subject;
use crate::gpu::{Fill, Gpu};
use crate::learn::network::{Forward, Rows, visible};
use crate::learn::ppo_cpu::{reset_chunk, step_chunk};
use crate::learn::recurrent::LstmStepGpu;
use crate::learn::{Algorithm, ExpertsSpec, LearnerState};
use crate::nets::cpu::{Activations, forward};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::experts::{Decision, ExpertsCpu, ExpertsState, act};
use crate::nets::{Head, MlpLayout};
use crate::run::train::{Learner, Plan, experts, train, train_experts};
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::misac::physics as misac;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::physics as v2x;
use rayon::prelude::*;
use std::hint::black_box;
use std::sync::Arc;

/// How much is done between two looks at the clock: enough to fill the device, in well under a window.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Environments of task v2x, and of task misac.
    pub v2x_envs: usize,
    pub misac_envs: usize,
    /// Observations of a batch of inferences, and batches.
    pub inferences: usize,
    pub batches: usize,
    /// Rollouts or updates.
    pub updates: u32,
}

pub const CPU: Sizes = Sizes { v2x_envs: 1024, misac_envs: 512, inferences: 4096, batches: 8, updates: 1 };
pub const GPU: Sizes =
    Sizes { v2x_envs: 8192, misac_envs: 2048, inferences: 16_384, batches: 64, updates: 4 };

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
pub type Run<'a> = Box<dyn FnMut() -> Result<u64, String> + 'a>;

/// The work of an agent, ready to run, or why there is none.
pub fn prepare<'a>(
    subject: &'a Subject,
    kind: Kind,
    gpu: Option<&'a Arc<Gpu>>,
    sizes: Sizes,
) -> Result<Run<'a>, String> {
    let failed = |e: crate::gpu::GpuError| e.to_string();
    match (subject, kind) {
        (Subject::V2x(c), Kind::Policy) => {
            let policy = c.algorithm().policy();
            let (params, envs) = (&c.state.params[..policy.params], sizes.inferences);
            let mut net = Packed::new(&policy.net);
            net.pack(params);
            let gaussian = matches!(policy.head, Head::Gaussian { .. });
            let obs = observations(&c.config, c.swept[0], &net, gaussian, envs);
            match gpu {
                None => Ok(networks(net, obs, sizes.batches)),
                Some(gpu) => {
                    networks_gpu(gpu, policy.net, policy.params, params, &obs, sizes.batches).map_err(failed)
                }
            }
        }
        (Subject::Misac(c), Kind::Policy) => {
            let layout = c.algorithm().layout;
            let (params, envs) = (&c.state.params[..layout.params()], sizes.inferences);
            let mut net = ExpertsCpu::new(&layout);
            net.pack(params);
            let obs = misac_observations(&c.config, c.swept[0], &net, envs);
            match (gpu, &layout.decision) {
                (None, _) => Ok(decisions(net, obs, sizes.batches)),
                (Some(gpu), Decision::Isolated { .. }) => {
                    decisions_gpu(gpu, &layout, params, &obs, sizes.batches).map_err(failed)
                }
                (Some(_), Decision::Shared { .. }) => {
                    Err("networks with a shared trunk do not run apart from their learner on a GPU".into())
                }
            }
        }
        (Subject::V2x(c), _) => {
            let mut config = c.config.clone();
            config.ppo.envs = sizes.v2x_envs;
            config.ppo.minibatch = config.ppo.envs * config.ppo.horizon / MINIBATCHES;
            let Some(algorithm @ Algorithm::Ppo(_)) = one_replica(&config, &c.agent, c.swept[0], c.seeds[0])
            else {
                return Err("off-policy agents learn between their slots and are not measured".into());
            };
            let start = first_replica(&c.state, algorithm.params());
            let learner = Learner::new(&algorithm, &start, gpu).map_err(failed)?;
            Ok(on_policy(algorithm, learner, kind, gpu, sizes.updates))
        }
        (Subject::Misac(c), _) => {
            let mut config = c.config.clone();
            config.temporal.envs = sizes.misac_envs;
            config.temporal.minibatch_envs = config.temporal.envs / MINIBATCHES;
            let spec = one_replica(&config, &c.agent, c.swept[0], c.seeds[0]).expect("a learned agent");
            let start = first_replica(&c.state, spec.params());
            let learner = experts(&spec, &start, gpu).map_err(failed)?;
            Ok(on_experts(spec, learner, kind, gpu, sizes.updates))
        }
    }
}

fn one_replica<C: crate::run::checkpoint::Trainable>(
    config: &C,
    agent: &str,
    swept: f64,
    seed: u32,
) -> Option<C::Algorithm> {
    config.algorithm(agent, &[(swept, seed)])
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

/// Observations [envs, O] of [`OBSERVED_SLOT`], the policy's means having acted until then (zeros, if its outputs are no actions).
fn observations(config: &V2xConfig, p_max_dbm: f64, net: &Packed, gaussian: bool, envs: usize) -> Vec<f32> {
    let (spec, params) =
        (config.task.spec(), crate::tasks::v2x::reproduce::params_of(&config.task, p_max_dbm, [0, 0]));
    let (o, a) = (spec.obs_dim(), spec.action_dim());
    let chunk = |first: usize| {
        let n = CHUNK.min(envs - first);
        let mut state = vec![0f32; spec.state_rows() * n];
        let (mut obs, mut final_obs, mut action) = (vec![0f32; n * o], vec![0f32; n * o], vec![0f32; n * a]);
        let (mut reward, mut flags) = (vec![0f32; n], vec![0u32; n]);
        let mut acts = Activations::forward_only(&net.layout, n);
        reset_chunk(&spec, &params, n, first as u32, &mut state, &mut obs, 0);
        for clock in 0..OBSERVED_SLOT as u32 {
            if gaussian {
                forward(net, n, Strided { data: &obs, row: o, col: 1 }, &mut acts);
                let ld = leading(a);
                for (row, mean) in action.chunks_mut(a).zip(acts.output().chunks(ld)) {
                    row.copy_from_slice(&mean[..a]);
                }
            }
            let batch = v2x::Batch {
                params: &params,
                envs: n,
                first: first as u32,
                state: &mut state,
                obs: &mut obs,
            };
            let out = v2x::StepSlices {
                final_obs: &mut final_obs,
                reward: &mut reward,
                flags: &mut flags,
                metrics: None,
                full: false,
            };
            step_chunk(&spec, batch, &action, out, clock);
        }
        obs
    };
    (0..envs).step_by(CHUNK).flat_map(chunk).collect()
}

/// As [`observations`], cameras on where the schedule's logits are positive.
fn misac_observations(config: &MisacConfig, snr_db: f64, net: &ExpertsCpu, envs: usize) -> Vec<f32> {
    let (spec, params) =
        (config.task.spec(), crate::tasks::misac::reproduce::params_of(&config.task, snr_db, [0, 0]));
    let (o, k) = (spec.obs_dim(), spec.vehicles);
    let chunk = |first: usize| {
        let n = CHUNK.min(envs - first);
        let mut state = vec![0f32; spec.state_rows() * n];
        let (mut obs, mut final_obs) = (vec![0f32; n * o], vec![0f32; n * o]);
        let (mut logits, mut action) = (vec![0f32; n * k], vec![0f32; n * k]);
        let (mut reward, mut flags) = (vec![0f32; n], vec![0u32; n]);
        let mut recurrent = ExpertsState::new(&net.layout, n);
        misac::misac_reset_chunk(&spec, &params, n, first as u32, &mut state, &mut obs, 0);
        for clock in 0..OBSERVED_SLOT as u32 {
            act(net, n, &obs, &mut recurrent, &mut logits, None);
            action.iter_mut().zip(&logits).for_each(|(pi, x)| *pi = f32::from(u8::from(*x > 0.0)));
            let batch = misac::Batch {
                params: &params,
                envs: n,
                first: first as u32,
                state: &mut state,
                obs: &mut obs,
            };
            let out = misac::StepSlices {
                final_obs: &mut final_obs,
                reward: &mut reward,
                flags: &mut flags,
                metrics: None,
            };
            misac::misac_step_chunk(&spec, batch, &action, out, clock);
        }
        obs
    };
    (0..envs).step_by(CHUNK).flat_map(chunk).collect()
}

/// Forward passes over the same observations on all threads.
fn networks<'a>(net: Packed, obs: Vec<f32>, batches: usize) -> Run<'a> {
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
) -> Result<Run<'a>, crate::gpu::GpuError> {
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
fn decisions<'a>(net: ExpertsCpu, obs: Vec<f32>, batches: usize) -> Run<'a> {
    let (o, k, km) = (net.layout.obs_dim(), net.layout.vehicles, net.layout.phases());
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
) -> Result<Run<'a>, crate::gpu::GpuError> {
    let Decision::Isolated { lstm, head, phases } = &layout.decision else {
        unreachable!("asked for isolated networks only")
    };
    let (m, p) = (obs.len() / layout.obs_dim(), layout.params());
    let rows = Rows { r: 1, m, p };
    let params = gpu.upload("steady.params", &[1, p], params)?;
    let x = gpu.upload("steady.obs", &[1, m, layout.obs_dim()], obs)?;
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

fn on_policy<'a>(
    algorithm: Algorithm,
    mut learner: Learner,
    kind: Kind,
    gpu: Option<&'a Arc<Gpu>>,
    updates: u32,
) -> Run<'a> {
    let steps = algorithm.samples() as u64;
    let mut update = 0;
    Box::new(move || {
        let from = update;
        update += updates;
        let done = match (&mut learner, kind) {
            (Learner::OnPolicy(ppo), Kind::Rollout) => {
                (from..update).try_for_each(|u| ppo.rollout(u)).and_then(|()| finished(gpu))
            }
            (learner, _) => {
                let plan =
                    Plan { algorithm: &algorithm, updates: u32::MAX, until: update, log_every: u32::MAX };
                train(&plan, learner, from, |_, _| {}, |_| {}).map(|_| ())
            }
        };
        done.map_err(|e| e.to_string())?;
        Ok(steps * u64::from(updates))
    })
}

fn on_experts<'a>(
    spec: ExpertsSpec,
    mut learner: Box<dyn crate::run::train::Experts>,
    kind: Kind,
    gpu: Option<&'a Arc<Gpu>>,
    updates: u32,
) -> Run<'a> {
    let steps = spec.samples() as u64;
    let mut update = 0;
    Box::new(move || {
        let from = update;
        update += updates;
        let done = match kind {
            Kind::Rollout => (from..update).try_for_each(|u| learner.rollout(u)).and_then(|()| finished(gpu)),
            _ => {
                let plan = Plan { algorithm: &spec, updates: u32::MAX, until: update, log_every: u32::MAX };
                train_experts(&plan, learner.as_mut(), from, |_, _| {}, |_| {}).map(|_| ())
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
