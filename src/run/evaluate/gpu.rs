//! Evaluation on a GPU: one batch of at most [`KEY_BATCH`] episodes of every replica at a time, whole episodes without
//! a host round trip.

use super::{
    ActBuffers, ActsGpu, Controller, Evaluation, Histograms, KEY_BATCH, Precision, ReplicaEstimates, Sums,
    add_counts, counting, no_counts,
};
use crate::env::{EnvBuffers, EnvGpu, Limit, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::activity_count::{self, Units};
use crate::kernels::{ddpg_act, dqn_act, gaussian_head, metrics_accumulate, metrics_reduce, quantile_count};
use crate::learn::network::{Between, Forward, ForwardF16, Rows, Spikes, visible};
use crate::nets::lif::MAX_STEPS;
use crate::nets::mlp::Layer;
use crate::nets::{Activity, Head, LayerActivity, MlpLayout, Policy};
use bytemuck::Pod;

pub(super) fn evaluate(
    eval: &Evaluation,
    gpu: &Gpu,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<ReplicaEstimates>, GpuError> {
    let replicas = eval.env.replicas();
    let mut out: Vec<Sums> = vec![Sums::new(eval); replicas];
    let mut counts: Vec<Histograms> = vec![no_counts(&*eval.env); replicas];
    let mut done = 0;
    let mut runner: Option<Batch> = None;
    let mut activity: Vec<Option<Activity>> = vec![None; replicas];
    while done < eval.episodes {
        let envs = KEY_BATCH.min(eval.episodes - done) as usize;
        if runner.as_ref().is_none_or(|r| r.envs != envs) {
            runner = Some(Batch::new(eval, gpu, envs)?);
        }
        let runner = runner.as_ref().expect("just made");
        for (total, s) in out.iter_mut().zip(runner.run(eval, gpu, &eval.keys(done / KEY_BATCH))?) {
            total.add(&s);
        }
        runner.add_counts(gpu, &mut counts)?;
        for (total, seen) in activity.iter_mut().zip(runner.activity(eval, gpu)?) {
            total.get_or_insert_default().add(&seen);
        }
        done += envs as u64;
        progress((envs * replicas) as u64);
    }
    let all = out.iter().zip(activity).zip(&counts);
    Ok(all.map(|((s, activity), counts)| ReplicaEstimates { activity, ..s.estimates(counts) }).collect())
}

/// Buffers and bound kernels for `envs` episodes of every replica.
struct Batch {
    envs: usize,
    keys: Buf<[u32; 2]>,
    slot_sums: Buf<f32>,
    episode: Buf<f32>,
    episode_sums: Buf<f32>,
    /// `[R, QUANTITIES, BINS]`, of an environment with samples.
    counts: Option<(quantile_count::QuantileCountBound, Buf<u32>)>,
    env: Box<dyn EnvGpu>,
    act: Act,
    slot_reduce: metrics_reduce::MetricsReduceBound,
    accumulate: metrics_accumulate::MetricsAccumulateBound,
    episode_reduce: metrics_reduce::MetricsReduceBound,
}

enum Act {
    Rule(Box<dyn ActsGpu>),
    Policy(Box<PolicyGpu>),
}

/// A network with what counts its activity and what turns its outputs into actions.
struct PolicyGpu {
    actor: Actor,
    counts: Counts,
    head: HeadGpu,
}

enum Actor {
    F32(Box<Forward>),
    F16(ForwardF16),
}

enum HeadGpu {
    Gaussian { bound: gaussian_head::GaussianHeadBound, log_std_off: usize, greedy: bool },
    Tanh { bound: ddpg_act::DdpgActBound, scale: f32 },
    Factored(dqn_act::DqnActBound),
}

/// Counts what enters each weight matrix of a network, over all slots.
struct Counts {
    net: MlpLayout,
    r: usize,
    /// The network's input, then its hidden layers: `[R, N]`, of spiking neurons `[R, 2, N]`.
    layers: Vec<(activity_count::ActivityCountBound, Buf<u32>)>,
}

impl Counts {
    /// `hidden` are the outputs of a perceptron's hidden layers, f32 or the bits of f16.
    fn new<T: Pod>(
        gpu: &Gpu,
        net: &MlpLayout,
        (r, m): (usize, usize),
        slots: usize,
        obs: &Buf<f32>,
        hidden: &[Buf<T>],
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
        // The kernels select every product, whether a neuron fired or not; the first matrix and the read-out are
        // multiplied once. Neurons that encode the inputs have no matrix.
        let last = self.net.layers.len() - 1;
        let times = |n: usize| match n {
            0 if self.net.population.is_some() => 0,
            n if n == 0 || n == last => 1,
            _ => steps.unwrap_or(1),
        };
        let products =
            self.net.layers.iter().enumerate().map(|(n, l)| times(n) * (l.inputs * l.outputs) as u64);
        let executed = samples * products.sum::<u64>();
        Ok((0..self.r).map(|r| Activity { samples, layers: layers(r), executed }).collect())
    }
}

/// Buffers for the outputs of a perceptron's hidden layers; a spiking network has its own.
fn hidden<T: Pod>(gpu: &Gpu, net: &MlpLayout, rows: Rows) -> Result<Vec<Buf<T>>, GpuError> {
    let (_, hidden) = visible(net).split_last().expect("a network has layers");
    let buffer = |(n, l): (usize, &Layer)| {
        gpu.alloc(&format!("evaluate.h{}", n + 1), &[rows.r, rows.m, l.outputs], Fill::Zero)
    };
    hidden.iter().enumerate().map(buffer).collect()
}

/// What a learned policy is bound to.
struct PolicyBuffers<'a> {
    keys: &'a Buf<[u32; 2]>,
    obs: &'a Buf<f32>,
    action: &'a Buf<f32>,
}

impl PolicyGpu {
    /// `params` `[R, P]`, for `envs` environments of each of `r` replicas and `slots` slots.
    fn new(
        gpu: &Gpu,
        policy: &Policy,
        params: &[f32],
        greedy: bool,
        precision: Precision,
        (r, envs, slots): (usize, usize, usize),
        b: &PolicyBuffers,
    ) -> Result<Self, GpuError> {
        let (p, a, net) = (policy.params, b.action.shape[2], &policy.net);
        let weights = gpu.upload("evaluate.weights", &[r, p], params)?;
        zeros!(gpu, "evaluate": logprob[r, envs], out[r, envs, net.outputs()]);
        let out = &out;
        let size = Rows { r, m: envs, p };
        let (actor, counts) = match precision {
            Precision::F32 => {
                let hidden = hidden::<f32>(gpu, net, size)?;
                let outputs: Vec<_> = hidden.iter().chain([out]).collect();
                let spikes = Spikes::new(gpu, net, size, 0)?;
                let spikes = spikes.as_ref();
                let actor = Forward::sharing(gpu, net, size, &weights, b.obs, &outputs, spikes, false)?;
                let counts = Counts::new(gpu, net, (r, envs), slots, b.obs, &hidden, spikes)?;
                (Actor::F32(Box::new(actor)), counts)
            }
            Precision::Int8 => unreachable!("decides on the CPU"),
            Precision::F16 => {
                let hidden = hidden::<u16>(gpu, net, size)?;
                let actor = ForwardF16::new(gpu, net, size, &weights, b.obs, &hidden, out)?;
                let counts = Counts::new(gpu, net, (r, envs), slots, b.obs, &hidden, None)?;
                (Actor::F16(actor), counts)
            }
        };
        let head = match &policy.head {
            Head::Gaussian { log_std_off } => {
                let kernel = gaussian_head::GaussianHead::new(
                    gpu,
                    &gaussian_head::Spec { r, b: envs, a, p, behind: 0 },
                )?;
                HeadGpu::Gaussian {
                    bound: kernel.bind(gpu, &weights, b.keys, out, b.action, &logprob),
                    log_std_off: *log_std_off,
                    greedy,
                }
            }
            Head::Tanh { scale } => {
                zeros!(gpu, "evaluate": noise[r]);
                let kernel = ddpg_act::DdpgAct::new(gpu, &ddpg_act::Spec { r, b: envs, a })?;
                HeadGpu::Tanh { bound: kernel.bind(gpu, b.keys, &noise, out, b.action), scale: *scale }
            }
            Head::Factored { codebook } => {
                let flat = codebook.flat();
                let book = gpu.upload("evaluate.codebook", &[flat.len()], &flat)?;
                zeros!(gpu, "evaluate": choice[r, envs, codebook.factors]);
                let greedy = gpu.alloc::<u32>("evaluate.thresholds", &[r], Fill::Zero)?;
                let spec = dqn_act::Spec { r, b: envs, codebook: codebook.clone() };
                let kernel = dqn_act::DqnAct::new(gpu, &spec)?;
                HeadGpu::Factored(kernel.bind(gpu, b.keys, &greedy, out, &book, &choice, b.action))
            }
        };
        Ok(PolicyGpu { actor, counts, head })
    }

    fn record(&self, pass: &mut wgpu::ComputePass, envs: usize, clock: u32) {
        match &self.actor {
            // The first slot starts at rest; the others go on in the second row of potentials.
            Actor::F32(actor) => {
                let between = if clock == 0 { Between::OWN } else { Between { start: 1, end: 1 } };
                actor.record_between(pass, envs, 0, 0, between);
            }
            Actor::F16(actor) => actor.record(pass, envs),
        }
        self.counts.record(pass, envs, clock == 0);
        match &self.head {
            HeadGpu::Gaussian { bound, log_std_off, greedy } => bound.record(
                pass,
                &gaussian_head::Args {
                    b: envs,
                    clock,
                    ls_off: *log_std_off,
                    greedy: *greedy,
                    action_off: 0,
                    logprob_off: 0,
                },
            ),
            HeadGpu::Tanh { bound, scale } => bound.record(pass, &ddpg_act::Args { clock, scale: *scale }),
            HeadGpu::Factored(bound) => bound.record(pass, &dqn_act::Args { clock }),
        }
    }
}

impl Batch {
    fn new(eval: &Evaluation, gpu: &Gpu, envs: usize) -> Result<Self, GpuError> {
        let (r, size) = (eval.env.replicas(), eval.env.sizes());
        let (o, a, rows, slots) = (size.obs, size.action, size.metrics, size.slots);
        let keys = gpu.upload("evaluate.keys", &[r], &eval.keys(0))?;
        let flags = gpu.alloc::<u32>("evaluate.flags", &[r, envs], Fill::Zero)?;
        zeros!(gpu, "evaluate": state[r, size.state, envs], obs[r, envs, o], final_obs[r, envs, o], action[r, envs, a],
            reward[r, envs], metrics[r, rows, envs], episode[r, rows, envs], slot_sums[slots, r, rows, 2],
            episode_sums[r, rows, 2]);
        let act = match &eval.controller {
            Controller::Rule(rule) => {
                zeros!(gpu, "evaluate": memory[r, rule.memory().max(1), envs]);
                let buffers = ActBuffers { state: &state, memory: &memory, action: &action };
                Act::Rule(rule.bind(gpu, envs, &buffers)?.expect("asked for a rule that a GPU can decide by"))
            }
            Controller::Policy { policy, params, greedy, precision } => {
                let buffers = PolicyBuffers { keys: &keys, obs: &obs, action: &action };
                let sizes = (r, envs, slots);
                let policy = PolicyGpu::new(gpu, policy, params, *greedy, *precision, sizes, &buffers)?;
                Act::Policy(Box::new(policy))
            }
        };
        let buffers = EnvBuffers {
            action: &action,
            state: &state,
            obs: &obs,
            final_obs: &final_obs,
            reward: &reward,
            flags: &flags,
            metrics: &metrics,
        };
        let reduce =
            metrics_reduce::MetricsReduce::new(gpu, &metrics_reduce::Spec { r, metric_rows: rows, b: envs })?;
        let elements = metrics_accumulate::Spec { elements: r * rows * envs };
        let accumulate = metrics_accumulate::MetricsAccumulate::new(gpu, &elements)?;
        let counts = match counting(&*eval.env, r, envs) {
            None => None,
            Some(spec) => {
                let counts = gpu.alloc::<u32>("evaluate.histograms", &[spec.counts()], Fill::Zero)?;
                let kernel = quantile_count::QuantileCount::new(gpu, &spec)?;
                Some((kernel.bind(gpu, &metrics, &counts), counts))
            }
        };
        Ok(Batch {
            counts,
            envs,
            env: eval.env.bind(gpu, envs, &buffers)?,
            act,
            slot_reduce: reduce.bind(gpu, &metrics, &slot_sums),
            episode_reduce: reduce.bind(gpu, &episode, &episode_sums),
            accumulate: accumulate.bind(gpu, &metrics, &episode),
            keys,
            slot_sums,
            episode,
            episode_sums,
        })
    }

    /// How active the replicas' networks were in the last run; empty without a network.
    fn activity(&self, eval: &Evaluation, gpu: &Gpu) -> Result<Vec<Activity>, GpuError> {
        match &self.act {
            Act::Rule(_) => Ok(Vec::new()),
            Act::Policy(policy) => policy.counts.read(gpu, (self.envs * eval.env.sizes().slots) as u64),
        }
    }

    /// Adds what the last run counted.
    fn add_counts(&self, gpu: &Gpu, total: &mut [Histograms]) -> Result<(), GpuError> {
        let Some((_, counts)) = &self.counts else { return Ok(()) };
        let counts = gpu.read(counts)?;
        for (total, counts) in total.iter_mut().zip(counts.chunks_exact(counts.len() / self.keys.len())) {
            add_counts(total, counts);
        }
        Ok(())
    }

    fn run(&self, eval: &Evaluation, gpu: &Gpu, keys: &[[u32; 2]]) -> Result<Vec<Sums>, GpuError> {
        let (r, size) = (keys.len(), eval.env.sizes());
        let (rows, slots) = (size.metrics, size.slots);
        gpu.write(&self.keys, keys);
        self.env.set_keys(gpu, keys);
        if let Act::Rule(rule) = &self.act {
            rule.set_keys(gpu, keys);
        }
        gpu.run(|pass| {
            self.env.reset(pass, 0, 0, 0);
            for slot in 0..slots {
                let clock = slot as u32;
                match &self.act {
                    Act::Rule(rule) => rule.record(pass, clock),
                    Act::Policy(policy) => policy.record(pass, self.envs, clock),
                }
                self.env.step(pass, &StepArgs { clock, full: true, ..StepArgs::default() });
                self.slot_reduce
                    .record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: slot * r * rows * 2 });
                self.accumulate.record(pass, slot == 0);
                if let Some((count, _)) = &self.counts {
                    count.record(pass, slot == 0);
                }
            }
            self.episode_reduce
                .record(pass, &metrics_reduce::Args { scale: 1.0 / slots as f32, sums_off: 0 });
        })?;
        let (told, totals) = (gpu.read(&self.slot_sums)?, gpu.read(&self.episode_sums)?);
        let pair = |all: &[f32], at: usize| [f64::from(all[2 * at]), f64::from(all[2 * at + 1])];
        let limits = eval.env.limits();
        let episodes = if limits.is_empty() { Vec::new() } else { gpu.read(&self.episode)? };
        let kept = |i: usize, limit: &Limit| {
            let most = f64::from(limit.most[i]) * slots as f64;
            let sums = &episodes[(i * rows + limit.row) * self.envs..][..self.envs];
            sums.iter().filter(|sum| f64::from(**sum) <= most).count() as u64
        };
        let sums = |i: usize| Sums {
            episodes: self.envs as u64,
            metrics: (0..rows).map(|m| pair(&totals, i * rows + m)).collect(),
            slots: eval
                .slots
                .iter()
                .map(|row| (0..slots).map(|t| pair(&told, (t * r + i) * rows + row)).collect())
                .collect(),
            kept: limits.iter().map(|limit| kept(i, limit)).collect(),
            activity: Activity::default(),
        };
        Ok((0..r).map(sums).collect())
    }
}
