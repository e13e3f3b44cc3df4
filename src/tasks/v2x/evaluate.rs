//! Evaluation of task v2x, on the CPU or a GPU, with the same draws.

use crate::gpu::{Fill, Gpu, GpuError};
use crate::kernels::activity_count::{self, Units};
use crate::kernels::{ddpg_act, dqn_act, gaussian_head, metrics_accumulate, metrics_reduce};
use crate::learn::network::{Forward, ForwardF16, Rows, Spikes, visible};
use crate::learn::ppo_cpu::{SampleGaussian, reset_chunk, step_chunk};
use crate::nets::codebook::argmax;
use crate::nets::cpu::{Activations, forward};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::lif::MAX_STEPS;
use crate::nets::mlp::Layer;
use crate::nets::{Activity, Head, LayerActivity, MlpLayout, Policy};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};
use crate::run::evaluate::{Estimate, KEY_BATCH, Precision};
use crate::tasks::v2x::agents::{Rule, Slot};
use crate::tasks::v2x::kernels::{v2x_batch, v2x_reference, v2x_reset, v2x_step};
use crate::tasks::v2x::physics::{Batch, StepSlices, V2xParams, V2xSpec, metric};
use crate::tasks::v2x::reference::{Reference, reference_range};
use bytemuck::Pod;
use rayon::prelude::*;

/// Episodes a thread of the CPU carries at once.
const CHUNK: u64 = 256;

/// What acts.
pub enum Controller<'a> {
    Reference(Reference),
    /// Decides on the CPU.
    Rule(Rule),
    /// A learned policy; `params` [R, P].
    Policy {
        policy: Policy,
        params: &'a [f32],
        greedy: bool,
        precision: Precision,
    },
}

/// One evaluation.
pub struct Job<'a> {
    /// Sizes; the beam is replaced by the controller's own where it is a reference.
    pub task: V2xSpec,
    /// Task parameters of each replica; the first word of the key is its seed.
    pub replicas: Vec<V2xParams>,
    pub controller: Controller<'a>,
    /// Episodes per replica.
    pub episodes: u64,
}

/// What one replica did.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub episodes: u64,
    /// In the order of [`metric`]: the nine named ones, then the rates of the vehicles.
    pub metrics: Vec<Estimate>,
    /// Sum-rate of each slot, bps/Hz.
    pub slots: Vec<Estimate>,
    /// How active the policy network was, over all slots; `None` without a network.
    pub activity: Option<Activity>,
}

impl Outcome {
    /// Names of `metrics`.
    pub fn names(vehicles: usize) -> Vec<String> {
        metric::NAMES
            .iter()
            .map(|n| n.to_string())
            .chain((0..vehicles).map(|k| format!("rate_{k}")))
            .collect()
    }
}

/// Sums over episodes, in f64: count, then (Σx, Σx²) per metric and per slot.
#[derive(Clone)]
struct Sums {
    episodes: u64,
    metrics: Vec<[f64; 2]>,
    slots: Vec<[f64; 2]>,
    /// Empty where it was not counted.
    activity: Activity,
}

impl Sums {
    fn new(task: &V2xSpec) -> Self {
        Sums {
            episodes: 0,
            metrics: vec![[0.0; 2]; task.metric_rows()],
            slots: vec![[0.0; 2]; task.slots],
            activity: Activity::default(),
        }
    }
    fn add(&mut self, o: &Sums) {
        self.episodes += o.episodes;
        if o.activity.samples > 0 {
            self.activity.add(&o.activity);
        }
        for (a, b) in self.metrics.iter_mut().zip(&o.metrics).chain(self.slots.iter_mut().zip(&o.slots)) {
            a[0] += b[0];
            a[1] += b[1];
        }
    }
    fn outcome(&self) -> Outcome {
        let estimate = |sums: &[f64; 2]| Estimate::of(self.episodes, *sums);
        Outcome {
            episodes: self.episodes,
            metrics: self.metrics.iter().map(estimate).collect(),
            slots: self.slots.iter().map(estimate).collect(),
            activity: (self.activity.samples > 0).then(|| self.activity.clone()),
        }
    }
}

impl Job<'_> {
    /// The task with the action parameterisation of the controller.
    fn spec(&self) -> V2xSpec {
        match &self.controller {
            Controller::Reference(who) => V2xSpec { beam: who.beam(), ..self.task },
            Controller::Rule(rule) => V2xSpec { beam: rule.beam, ..self.task },
            Controller::Policy { .. } => self.task,
        }
    }

    /// Whether a GPU can make the decisions.
    pub fn decides_on_gpu(&self) -> bool {
        !matches!(self.controller, Controller::Rule(_))
    }
}

/// Runs the job on the GPU if one is given and [`Job::decides_on_gpu`], else on the CPU; `progress` gets the number of episodes that were finished since its last call.
/// Besides what the device cannot do, errors if f16 is asked for where there is none ([`Precision::F16`]).
pub fn evaluate(
    job: &Job,
    gpu: Option<&Gpu>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Outcome>, GpuError> {
    match gpu.filter(|_| job.decides_on_gpu()) {
        Some(gpu) => on_gpu(job, gpu, progress),
        None if matches!(job.controller, Controller::Policy { precision: Precision::F16, .. }) => {
            Err(GpuError::NoF16("this evaluation runs on the CPU"))
        }
        None => Ok(on_cpu(job, progress)),
    }
}

fn on_cpu(job: &Job, progress: &(dyn Fn(u64) + Sync)) -> Vec<Outcome> {
    let spec = job.spec();
    let chunks = job.episodes.div_ceil(CHUNK);
    let nets: Vec<Packed> = match &job.controller {
        Controller::Reference(_) | Controller::Rule(_) => Vec::new(),
        Controller::Policy { policy, params, .. } => params
            .chunks(policy.params)
            .map(|p| {
                let mut net = Packed::new(&policy.net);
                net.pack(p);
                net
            })
            .collect(),
    };
    let mut out: Vec<Sums> = vec![Sums::new(&spec); job.replicas.len()];
    // Chunks are taken a few thousand at a time, so that memory does not grow with the number of episodes.
    let tasks = job.replicas.len() as u64 * chunks;
    let mut next = 0;
    while next < tasks {
        let upto = tasks.min(next + 4096);
        let sums: Vec<(usize, Sums)> = (next..upto)
            .into_par_iter()
            .map(|i| {
                let (r, first) = ((i / chunks) as usize, i % chunks * CHUNK);
                let n = CHUNK.min(job.episodes - first);
                let mut params = job.replicas[r];
                params.key[1] = 1 + (first / KEY_BATCH) as u32;
                let s = episodes(job, &spec, nets.get(r), r, &params, (first % KEY_BATCH) as u32, n as usize);
                progress(n);
                (r, s)
            })
            .collect();
        for (r, s) in &sums {
            out[*r].add(s);
        }
        next = upto;
    }
    out.iter().map(Sums::outcome).collect()
}

/// `envs` episodes side by side, the first as environment `first`.
fn episodes(
    job: &Job,
    spec: &V2xSpec,
    net: Option<&Packed>,
    replica: usize,
    params: &V2xParams,
    first: u32,
    envs: usize,
) -> Sums {
    let (o, a, rows) = (spec.obs_dim(), spec.action_dim(), spec.metric_rows());
    let mut state = vec![0f32; spec.state_rows() * envs];
    let (mut obs, mut final_obs) = (vec![0f32; envs * o], vec![0f32; envs * o]);
    let mut action = vec![0f32; envs * a];
    let (mut logprob, mut reward, mut flags) = (vec![0f32; envs], vec![0f32; envs], vec![0u32; envs]);
    let mut metrics = vec![0f32; rows * envs];
    let mut per_episode = vec![0f64; rows * envs];
    let mut sums = Sums::new(spec);
    // Numbers of an environment; rows [·, envs] of a reference, [envs, ·] of a rule.
    let own = match &job.controller {
        Controller::Reference(who) => who.memory_rows(spec.vehicles),
        Controller::Rule(rule) => (rule.memory)(spec.vehicles),
        Controller::Policy { .. } => 0,
    };
    let mut memory = vec![0f32; own * envs];
    let mut acts = net.map(|n| Activations::counting(&n.layout, envs));
    reset_chunk(spec, params, envs, first, &mut state, &mut obs, 0);
    for slot in 0..spec.slots {
        let clock = slot as u32;
        match &job.controller {
            Controller::Reference(who) => {
                run_lanes(ActChunk {
                    who: *who,
                    spec,
                    params,
                    envs,
                    first,
                    state: &state,
                    memory: &mut memory,
                    action: &mut action,
                    clock,
                });
            }
            Controller::Rule(rule) => {
                for (env, action) in action.chunks_mut(a).enumerate() {
                    let (id, obs) = (first + env as u32, &obs[env * o..][..o]);
                    let now = Slot { task: spec, params, state: &state, envs, env, id, slot, obs };
                    (rule.act)(&now, &mut memory[env * own..][..own], action);
                }
            }
            Controller::Policy { policy, params: flat, greedy, .. } => {
                let (net, acts) = (net.expect("one per replica"), acts.as_mut().expect("made above"));
                let x = Strided { data: &obs, row: o, col: 1 };
                forward(net, envs, x, acts);
                acts.count(&net.layout, envs, x, &mut sums.activity);
                let (mean, ld) = (acts.output(), leading(policy.net.outputs()));
                match &policy.head {
                    Head::Gaussian { .. } if *greedy => {
                        for (row, m) in action.chunks_mut(a).zip(mean.chunks(ld)) {
                            row.copy_from_slice(&m[..a]);
                        }
                    }
                    Head::Gaussian { log_std_off } => {
                        let log_std = &flat[replica * policy.params + log_std_off..][..a];
                        run_lanes(SampleGaussian {
                            key: params.key,
                            first,
                            clock,
                            actions: a,
                            log_std,
                            mean,
                            ld,
                            action: &mut action,
                            logprob: &mut logprob,
                        });
                    }
                    // Off-policy agents act without exploration, whatever `greedy` says: exploration is part of learning.
                    Head::Tanh { scale } => {
                        for (row, z) in action.chunks_mut(a).zip(mean.chunks(ld)) {
                            ddpg_act::act(params.key, 0, clock, *scale, 0.0, &z[..a], row);
                        }
                    }
                    Head::Factored { codebook } => {
                        for (row, q) in action.chunks_mut(a).zip(mean.chunks(ld)) {
                            for (k, q) in
                                q.chunks_exact(codebook.choices()).take(codebook.vehicles).enumerate()
                            {
                                codebook.decode(k, argmax(q), row);
                            }
                        }
                    }
                }
            }
        }
        let batch = Batch { params, envs, first, state: &mut state, obs: &mut obs };
        let out = StepSlices {
            final_obs: &mut final_obs,
            reward: &mut reward,
            flags: &mut flags,
            metrics: Some(&mut metrics),
            full: true,
        };
        step_chunk(spec, batch, &action, out, clock);
        for (sum, x) in per_episode.iter_mut().zip(&metrics) {
            *sum += f64::from(*x);
        }
        for x in &metrics[..envs] {
            sums.slots[slot][0] += f64::from(*x);
            sums.slots[slot][1] += f64::from(*x) * f64::from(*x);
        }
    }
    sums.episodes = envs as u64;
    for (row, values) in per_episode.chunks(envs).enumerate() {
        for x in values {
            let mean = x / spec.slots as f64;
            sums.metrics[row][0] += mean;
            sums.metrics[row][1] += mean * mean;
        }
    }
    sums
}

struct ActChunk<'a> {
    who: Reference,
    spec: &'a V2xSpec,
    params: &'a V2xParams,
    envs: usize,
    first: u32,
    state: &'a [f32],
    memory: &'a mut [f32],
    action: &'a mut [f32],
    clock: u32,
}

impl LaneKernel for ActChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let ActChunk { who, spec, params, envs, first, state, memory, action, clock } = self;
        let whole = envs / V::LANES * V::LANES;
        reference_range::<V, 0>(who, spec, params, envs, first, state, memory, action, clock, 0, whole);
        if whole < envs {
            reference_range::<f32, 0>(
                who, spec, params, envs, first, state, memory, action, clock, whole, envs,
            );
        }
    }
}

fn on_gpu(job: &Job, gpu: &Gpu, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Outcome>, GpuError> {
    let spec = job.spec();
    let mut out: Vec<Sums> = vec![Sums::new(&spec); job.replicas.len()];
    let mut done = 0;
    let mut runner: Option<GpuBatch> = None;
    let mut activity: Vec<Option<Activity>> = vec![None; job.replicas.len()];
    while done < job.episodes {
        let envs = KEY_BATCH.min(job.episodes - done) as usize;
        if runner.as_ref().is_none_or(|r| r.envs != envs) {
            runner = Some(GpuBatch::new(job, &spec, gpu, envs)?);
        }
        let params: Vec<V2xParams> = job
            .replicas
            .iter()
            .map(|p| V2xParams { key: [p.key[0], 1 + (done / KEY_BATCH) as u32], ..*p })
            .collect();
        let runner = runner.as_ref().expect("just made");
        for (total, s) in out.iter_mut().zip(runner.run(&spec, gpu, &params)?) {
            total.add(&s);
        }
        for (total, seen) in activity.iter_mut().zip(runner.activity(&spec, gpu)?) {
            total.get_or_insert_default().add(&seen);
        }
        done += envs as u64;
        progress(envs as u64 * job.replicas.len() as u64);
    }
    Ok(out.iter().zip(activity).map(|(s, activity)| Outcome { activity, ..s.outcome() }).collect())
}

/// Buffers and bound kernels for `envs` episodes of every replica.
struct GpuBatch {
    envs: usize,
    params: crate::gpu::Buf<V2xParams>,
    keys: crate::gpu::Buf<[u32; 2]>,
    slot_sums: crate::gpu::Buf<f32>,
    episode_sums: crate::gpu::Buf<f32>,
    reset: v2x_reset::V2xResetBound,
    act: GpuAct,
    step: v2x_step::V2xStepBound,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    accumulate: metrics_accumulate::MetricsAccumulateBound,
    episode_reduce: metrics_reduce::MetricsReduceBound,
}

enum GpuAct {
    Reference(v2x_reference::V2xReferenceBound),
    Policy(Box<GpuPolicy>),
}

/// A network with what counts its activity and what turns its outputs into actions.
struct GpuPolicy {
    actor: Actor,
    counts: Counts,
    head: GpuHead,
}

enum Actor {
    F32(Forward),
    F16(ForwardF16),
}

enum GpuHead {
    Gaussian { bound: gaussian_head::GaussianHeadBound, log_std_off: usize, greedy: bool },
    Tanh { bound: ddpg_act::DdpgActBound, scale: f32 },
    Factored(dqn_act::DqnActBound),
}

/// Counts what enters each weight matrix of a network, over all slots.
struct Counts {
    net: MlpLayout,
    r: usize,
    /// The network's input, then its hidden layers: [R, N], of spiking neurons [R, 2, N].
    layers: Vec<(activity_count::ActivityCountBound, crate::gpu::Buf<u32>)>,
}

impl Counts {
    /// `hidden` are the outputs of a perceptron's hidden layers, f32 or the bits of f16.
    fn new<T: Pod>(
        gpu: &Gpu,
        net: &MlpLayout,
        (r, m): (usize, usize),
        slots: usize,
        obs: &crate::gpu::Buf<f32>,
        hidden: &[crate::gpu::Buf<T>],
        spikes: Option<&Spikes>,
    ) -> Result<Self, GpuError> {
        assert!(u32::try_from(m * slots * MAX_STEPS).is_ok(), "{m} episodes overflow the counts of a unit");
        let counter = |c: usize, units: Units| {
            let spec = activity_count::Spec { r, m, c, units };
            let counts = gpu.alloc::<u32>("evaluate.counts", &[spec.counts()], Fill::Zero)?;
            Ok::<_, GpuError>((activity_count::ActivityCount::new(gpu, &spec)?, counts))
        };
        let (kernel, counts) = counter(net.inputs(), Units::Values)?;
        let mut layers = vec![(kernel.bind(gpu, obs, &counts), counts)];
        for (h, l) in hidden.iter().zip(&net.layers) {
            let units = if size_of::<T>() == 2 { Units::Halves } else { Units::Values };
            let (kernel, counts) = counter(l.outputs, units)?;
            layers.push((kernel.bind(gpu, h, &counts), counts));
        }
        for (words, l) in spikes.iter().flat_map(|s| &s.words).zip(&net.layers) {
            let (kernel, counts) = counter(l.outputs, Units::Spikes)?;
            layers.push((kernel.bind(gpu, words, &counts), counts));
        }
        Ok(Counts { net: net.clone(), r, layers })
    }

    fn record(&self, pass: &mut wgpu::ComputePass, m: usize, first: bool) {
        self.layers.iter().for_each(|(bound, _)| bound.record(pass, m, first));
    }

    /// What each replica's network did in `samples` inferences.
    fn read(&self, gpu: &Gpu, samples: u64) -> Result<Vec<Activity>, GpuError> {
        let counts = self.layers.iter().map(|(_, c)| gpu.read(c)).collect::<Result<Vec<_>, _>>()?;
        let steps = self.net.lif.map(|l| l.steps as u64);
        let layer = |r: usize, n: usize, l: &Layer| {
            let of = |n: usize| &counts[n][r * counts[n].len() / self.r..][..counts[n].len() / self.r];
            let wide = |x: &[u32]| x.iter().map(|&x| u64::from(x)).collect::<Vec<_>>();
            let hidden = n + 1 < self.net.layers.len();
            LayerActivity {
                presentations: if n == 0 { 1 } else { steps.unwrap_or(1) },
                active: wide(&of(n)[..l.inputs]),
                membrane_updates: match steps {
                    Some(_) if hidden => wide(&of(n + 1)[l.outputs..]).iter().sum(),
                    _ => 0,
                },
            }
        };
        let layers = |r: usize| self.net.layers.iter().enumerate().map(|(n, l)| layer(r, n, l)).collect();
        // The kernels select every product, whether a neuron fired or not; the first matrix and the read-out are multiplied once.
        let last = self.net.layers.len() - 1;
        let times = |n: usize| if n == 0 || n == last { 1 } else { steps.unwrap_or(1) };
        let products =
            self.net.layers.iter().enumerate().map(|(n, l)| times(n) * (l.inputs * l.outputs) as u64);
        let executed = samples * products.sum::<u64>();
        Ok((0..self.r).map(|r| Activity { samples, layers: layers(r), executed }).collect())
    }
}

/// Buffers for the outputs of a perceptron's hidden layers; a spiking network has its own.
fn hidden<T: Pod>(gpu: &Gpu, net: &MlpLayout, rows: Rows) -> Result<Vec<crate::gpu::Buf<T>>, GpuError> {
    let (_, hidden) = visible(net).split_last().expect("a network has layers");
    let buffer = |(n, l): (usize, &Layer)| {
        gpu.alloc(&format!("evaluate.h{}", n + 1), &[rows.r, rows.m, l.outputs], Fill::Zero)
    };
    hidden.iter().enumerate().map(buffer).collect()
}

impl GpuBatch {
    fn new(job: &Job, spec: &V2xSpec, gpu: &Gpu, envs: usize) -> Result<Self, GpuError> {
        let r = job.replicas.len();
        let (o, a, rows, slots) = (spec.obs_dim(), spec.action_dim(), spec.metric_rows(), spec.slots);
        let zero = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Zero);
        let params = gpu.upload("evaluate.params", &[r], &job.replicas)?;
        let keys =
            gpu.upload("evaluate.keys", &[r], &job.replicas.iter().map(|p| p.key).collect::<Vec<_>>())?;
        let state = zero("evaluate.state", &[r, spec.state_rows(), envs])?;
        let (obs, final_obs) =
            (zero("evaluate.obs", &[r, envs, o])?, zero("evaluate.final_obs", &[r, envs, o])?);
        let (action, reward) =
            (zero("evaluate.action", &[r, envs, a])?, zero("evaluate.reward", &[r, envs])?);
        let flags = gpu.alloc::<u32>("evaluate.flags", &[r, envs], Fill::Zero)?;
        let (metrics, episode) =
            (zero("evaluate.metrics", &[r, rows, envs])?, zero("evaluate.episode", &[r, rows, envs])?);
        let (slot_sums, episode_sums) = (
            zero("evaluate.slot_sums", &[slots, r, rows, 2])?,
            zero("evaluate.episode_sums", &[r, rows, 2])?,
        );
        let batch = v2x_batch::Spec { r, b: envs, task: *spec };
        let act = match &job.controller {
            Controller::Reference(who) => {
                let memory = zero("evaluate.memory", &[r, who.memory_rows(spec.vehicles).max(1), envs])?;
                let kernel =
                    v2x_reference::V2xReference::new(gpu, &v2x_reference::Spec { batch, who: *who })?;
                GpuAct::Reference(kernel.bind(gpu, &params, &state, &memory, &action))
            }
            Controller::Rule(_) => unreachable!("a rule decides on the CPU"),
            Controller::Policy { policy, params: flat, greedy, precision } => {
                let p = policy.params;
                let weights = gpu.upload("evaluate.weights", &[r, p], flat)?;
                let logprob = zero("evaluate.logprob", &[r, envs])?;
                let net = &policy.net;
                let size = Rows { r, m: envs, p };
                let out = &zero("evaluate.out", &[r, envs, net.outputs()])?;
                let (actor, counts) = match precision {
                    Precision::F32 => {
                        let hidden = hidden::<f32>(gpu, net, size)?;
                        let outputs: Vec<_> = hidden.iter().chain([out]).collect();
                        let spikes = Spikes::new(gpu, net, size, 0)?;
                        let spikes = spikes.as_ref();
                        let actor =
                            Forward::sharing(gpu, net, size, &weights, &obs, &outputs, spikes, false)?;
                        let counts = Counts::new(gpu, net, (r, envs), slots, &obs, &hidden, spikes)?;
                        (Actor::F32(actor), counts)
                    }
                    Precision::F16 => {
                        let hidden = hidden::<u16>(gpu, net, size)?;
                        let actor = ForwardF16::new(gpu, net, size, &weights, &obs, &hidden, out)?;
                        let counts = Counts::new(gpu, net, (r, envs), slots, &obs, &hidden, None)?;
                        (Actor::F16(actor), counts)
                    }
                };
                let head = match &policy.head {
                    Head::Gaussian { log_std_off } => {
                        let kernel =
                            gaussian_head::GaussianHead::new(gpu, &gaussian_head::Spec { r, b: envs, a, p })?;
                        GpuHead::Gaussian {
                            bound: kernel.bind(gpu, &weights, &keys, out, &action, &logprob),
                            log_std_off: *log_std_off,
                            greedy: *greedy,
                        }
                    }
                    Head::Tanh { scale } => {
                        let kernel = ddpg_act::DdpgAct::new(gpu, &ddpg_act::Spec { r, b: envs, a })?;
                        GpuHead::Tanh { bound: kernel.bind(gpu, &keys, out, &action), scale: *scale }
                    }
                    Head::Factored { codebook } => {
                        let flat = codebook.flat();
                        let book = gpu.upload("evaluate.codebook", &[flat.len()], &flat)?;
                        let choice = zero("evaluate.choice", &[r, envs, codebook.vehicles])?;
                        let spec = dqn_act::Spec { r, b: envs, codebook: codebook.clone() };
                        let kernel = dqn_act::DqnAct::new(gpu, &spec)?;
                        GpuHead::Factored(kernel.bind(gpu, &keys, out, &book, &choice, &action))
                    }
                };
                GpuAct::Policy(Box::new(GpuPolicy { actor, counts, head }))
            }
        };
        let reduce =
            metrics_reduce::MetricsReduce::new(gpu, &metrics_reduce::Spec { r, metric_rows: rows, b: envs })?;
        Ok(GpuBatch {
            envs,
            reset: v2x_reset::V2xReset::new(gpu, &batch)?.bind(gpu, &params, &state, &obs),
            act,
            step: v2x_step::V2xStep::new(gpu, &batch)?
                .bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics),
            slot_reduce: reduce.bind(gpu, &metrics, &slot_sums),
            episode_reduce: reduce.bind(gpu, &episode, &episode_sums),
            accumulate: metrics_accumulate::MetricsAccumulate::new(
                gpu,
                &metrics_accumulate::Spec { elements: r * rows * envs },
            )?
            .bind(gpu, &metrics, &episode),
            params,
            keys,
            slot_sums,
            episode_sums,
        })
    }

    /// How active the replicas' networks were in the last run; empty without a network.
    fn activity(&self, spec: &V2xSpec, gpu: &Gpu) -> Result<Vec<Activity>, GpuError> {
        match &self.act {
            GpuAct::Reference(_) => Ok(Vec::new()),
            GpuAct::Policy(policy) => policy.counts.read(gpu, (self.envs * spec.slots) as u64),
        }
    }

    fn run(&self, spec: &V2xSpec, gpu: &Gpu, params: &[V2xParams]) -> Result<Vec<Sums>, GpuError> {
        let (r, rows) = (params.len(), spec.metric_rows());
        gpu.write(&self.params, params);
        gpu.write(&self.keys, &params.iter().map(|p| p.key).collect::<Vec<_>>());
        gpu.run(|pass| {
            self.reset.record(pass, &v2x_reset::Args { clock: 0, obs_off: 0 });
            for slot in 0..spec.slots {
                let clock = slot as u32;
                match &self.act {
                    GpuAct::Reference(bound) => {
                        bound.record(pass, &v2x_reference::Args { clock, action_off: 0 })
                    }
                    GpuAct::Policy(policy) => {
                        let GpuPolicy { actor, counts, head } = &**policy;
                        match actor {
                            Actor::F32(actor) => actor.record(pass, self.envs, 0, 0),
                            Actor::F16(actor) => actor.record(pass, self.envs),
                        }
                        counts.record(pass, self.envs, slot == 0);
                        match head {
                            GpuHead::Gaussian { bound, log_std_off, greedy } => bound.record(
                                pass,
                                &gaussian_head::Args {
                                    b: self.envs,
                                    clock,
                                    ls_off: *log_std_off,
                                    greedy: *greedy,
                                    action_off: 0,
                                    logprob_off: 0,
                                },
                            ),
                            GpuHead::Tanh { bound, scale } => {
                                bound.record(pass, &ddpg_act::Args { clock, scale: *scale, noise: 0.0 })
                            }
                            GpuHead::Factored(bound) => {
                                bound.record(pass, &dqn_act::Args { clock, threshold: 0 })
                            }
                        }
                    }
                }
                self.step.record(
                    pass,
                    &v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true },
                );
                self.slot_reduce
                    .record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: slot * r * rows * 2 });
                self.accumulate.record(pass, slot == 0);
            }
            self.episode_reduce
                .record(pass, &metrics_reduce::Args { scale: 1.0 / spec.slots as f32, sums_off: 0 });
        })?;
        let (slots, totals) = (gpu.read(&self.slot_sums)?, gpu.read(&self.episode_sums)?);
        Ok((0..r)
            .map(|i| {
                let pair = |all: &[f32], at: usize| [f64::from(all[2 * at]), f64::from(all[2 * at + 1])];
                Sums {
                    episodes: self.envs as u64,
                    metrics: (0..rows).map(|m| pair(&totals, i * rows + m)).collect(),
                    slots: (0..spec.slots)
                        .map(|t| pair(&slots, (t * r + i) * rows + metric::SUM_RATE))
                        .collect(),
                    activity: Activity::default(),
                }
            })
            .collect())
    }
}

/// The reference that stands in for agents without beams: only the bound of its slots is looked at.
pub const BOUND_CARRIER: Reference = Reference::Genie;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::learn::Replica;
    use crate::tasks::v2x::agents::find;
    use crate::tasks::v2x::config::V2xConfig;

    #[test]
    fn activity_counts_every_inference_whatever_the_chunks_and_threads() {
        let sets = ["ppo.hidden=[40, 24]", "spiking.hidden_gain=8"].map(String::from);
        let config = V2xConfig::load(None, &sets).expect("a valid configuration");
        let replicas = [3, 9].map(|seed| Replica { seed, task: config.task.params([seed, 0]) }).to_vec();
        for id in ["ppo", "spiking-ac"] {
            let agent = find(id).expect("an agent");
            let algorithm = agent.algorithm(&config, replicas.clone()).expect("a learner");
            let start = algorithm.start();
            let outcomes = |episodes, threads| {
                let job = Job {
                    task: config.task.spec(),
                    replicas: replicas.iter().map(|r| r.task).collect(),
                    controller: Controller::Policy {
                        policy: algorithm.policy(),
                        params: &start.params,
                        greedy: false,
                        precision: Precision::F32,
                    },
                    episodes,
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| evaluate(&job, None, &|_| ()).expect("the CPU has no device errors"))
            };
            // A chunk and a part of one.
            let (one, three) = (outcomes(300, 1), outcomes(300, 3));
            assert_eq!(one, three);
            for o in &one {
                let activity = o.activity.as_ref().expect("a policy has a network");
                assert_eq!(activity.samples, 300 * 100);
                let layers = &activity.layers;
                assert_eq!(layers.iter().map(|l| l.active.len()).collect::<Vec<_>>(), [12, 40, 24]);
                let spiking = id == "spiking-ac";
                let steps = if spiking { 6 } else { 1 };
                assert_eq!(layers.iter().map(|l| l.presentations).collect::<Vec<_>>(), [1, steps, steps]);
                for (l, neurons) in layers.iter().zip([40, 24, 0]) {
                    let (least, most) = (activity.samples * neurons, activity.samples * neurons * 6);
                    let updates = l.membrane_updates;
                    assert!(if spiking { (least..=most).contains(&updates) } else { updates == 0 });
                    assert!((0.01..=1.0).contains(&l.rate(activity.samples)), "{}", l.rate(activity.samples));
                }
                // The echo's signal quality is 0 in the first slot, and later where it is too small for f32 beside 1; tanh units are never 0.
                assert!(layers[0].active[9..].iter().all(|n| (300 * 98..=300 * 99).contains(n)));
                assert_eq!(layers[0].active[..9], [300 * 100; 9]);
                assert!(spiking || layers[1].active.iter().all(|&n| n == activity.samples));
            }
        }
    }
}
