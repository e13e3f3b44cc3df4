//! `apg` on the CPU: f32, vector lanes, rayon. As in [`super::ppo_cpu`], chunks of environments go through a rollout in
//! a thread's caches, minibatches are split into parts whose gradient sums are added in a fixed order, and no step
//! depends on the number of threads.

use super::adam::AdamStep;
use super::apg::{ApgSpec, noise_clock};
use super::ppo_cpu::{BLOCK, SPAN, SPIKING_BLOCK, neuron_steps, part_rows};
use super::{Apg, LearnerState, Pool, UpdateMetrics};
use crate::env::{At, GRADIENT_GROUP as GROUP, SlotGradient, StepSlices, TRUNCATED};
use crate::gpu::GpuError;
use crate::nets::MlpLayout;
use crate::nets::cpu::{Activations, Extremes, Gradient, backward, carried_width, forward};
use crate::nets::dense::{Aligned, Packed, Strided, leading};
use crate::num::philox::{Stream, draw};
use crate::num::real::{F32Lanes, LaneKernel, Word, run_lanes};
use crate::num::shuffle::Shuffle;
use rayon::prelude::*;
use std::ops::Range;

/// Environments a thread carries through a rollout at once: whole tiles of a dense layer and whole lanes.
const CHUNK: usize = 96;
/// A group of environments of one replica with its rollout. Arrays are `[T, envs, ·]`, `obs` `[T+1, envs, O]`.
struct Chunk {
    /// Which environments; the clock is the rollout's.
    at: At,
    state: Vec<f32>,
    obs: Vec<f32>,
    scene: Vec<f32>,
    /// Potentials before each slot, `[T, envs, width]`; empty where they are reset.
    membrane: Vec<f32>,
    /// Sums over slots and environments of the metrics in learning curves.
    sums: Vec<f64>,
    /// Spikes of the hidden layers; empty without spikes.
    spikes: Vec<u64>,
}

/// Weights and moments of one replica.
struct Worker {
    key: [u32; 2],
    params: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    grads: Vec<f32>,
    actor: Packed,
    /// Sums over minibatches of the loss and of the gradient's norm.
    sums: [f64; 2],
    /// Shares of the hidden units that were silent, and saturated.
    extremes: [f64; 2],
}

/// What a part of a minibatch gives.
struct PartResult {
    grads: Vec<f32>,
    /// Σ objective
    value: f64,
    extremes: Extremes,
}

/// `apg` or `spiking-apg` for R replicas on the CPU.
pub struct ApgCpu {
    spec: ApgSpec,
    net: MlpLayout,
    workers: Vec<Worker>,
    chunks: Vec<Chunk>,
    /// `[R, parts]`
    parts: Vec<PartResult>,
    rollout: Pool<RolloutScratch>,
    learning: Pool<PartScratch>,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: u32,
    clock: u32,
}

impl ApgCpu {
    /// Allocates everything and resets the environments.
    pub fn new(spec: &ApgSpec, start: &LearnerState) -> Self {
        let (net, sizes) = (spec.net(), spec.env.sizes());
        let (p, o, t, b) = (net.end(), sizes.obs, spec.apg.horizon, spec.apg.envs);
        let w = slots_of(spec).scene_dim();
        let replicas = spec.env.replicas();
        let worker = |r: usize| {
            let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
            let mut worker = Worker {
                key: spec.env.key(r),
                params: of(&start.params),
                m: of(&start.m),
                v: of(&start.v),
                grads: vec![0.0; p],
                actor: Packed::new(&net),
                sums: [0.0; 2],
                extremes: [f64::NAN; 2],
            };
            worker.actor.pack(&worker.params);
            worker
        };
        let clock = start.updates * t as u32;
        let mut chunks = Vec::new();
        for replica in 0..replicas {
            for first in (0..b).step_by(CHUNK) {
                let envs = CHUNK.min(b - first);
                let at = At { replica, key: spec.env.key(replica), first: first as u32, envs, clock };
                let mut chunk = Chunk {
                    at,
                    state: vec![0.0; sizes.state * envs],
                    obs: vec![0.0; (t + 1) * envs * o],
                    scene: vec![0.0; t * envs * w],
                    membrane: vec![0.0; t * envs * carried_width(&net)],
                    sums: vec![0.0; spec.env.curve().len()],
                    spikes: vec![0; neuron_steps(&net).count()],
                };
                spec.env.reset(&at, &mut chunk.state, &mut chunk.obs[t * envs * o..]);
                chunks.push(chunk);
            }
        }
        let m = spec.apg.minibatch;
        let part = |_| PartResult { grads: vec![0.0; p], value: 0.0, extremes: Extremes::of(&net) };
        ApgCpu {
            workers: (0..replicas).map(worker).collect(),
            chunks,
            parts: (0..replicas * m.div_ceil(part_rows(m))).map(part).collect(),
            rollout: Pool::new(),
            learning: Pool::new(),
            adam_steps: start.adam_steps,
            steps: 0,
            clock,
            spec: spec.clone(),
            net,
        }
    }
}

/// The gradient of the environment's slots.
fn slots_of(spec: &ApgSpec) -> &dyn SlotGradient {
    spec.env.slot_gradient().expect("a spec is made of an environment whose slots have a gradient")
}

impl Apg for ApgCpu {
    fn rollout(&mut self, _update: u32, noise: &[f64]) -> Result<(), GpuError> {
        let (spec, net, workers, pool) = (&self.spec, &self.net, &self.workers, &self.rollout);
        let clock = self.clock;
        self.chunks.par_iter_mut().for_each(|c| {
            let (actor, noise) = (&workers[c.at.replica].actor, noise[c.at.replica] as f32);
            pool.with(|| RolloutScratch::new(spec, net), |s| c.collect(spec, actor, noise, clock, s));
        });
        self.clock += spec.apg.horizon as u32;
        Ok(())
    }

    fn minibatch(
        &mut self,
        update: u32,
        epoch: u32,
        mb: u32,
        noise: &[f64],
        lr: &[f64],
    ) -> Result<(), GpuError> {
        self.adam_steps += 1;
        self.steps += 1;
        let (spec, net, chunks, workers) = (&self.spec, &self.net, &self.chunks, &self.workers);
        let (m, per_replica) = (spec.apg.minibatch, spec.apg.envs.div_ceil(CHUNK));
        let rows = part_rows(m);
        let parts = m.div_ceil(rows);
        let last = epoch as usize + 1 == spec.apg.epochs && mb as usize + 1 == spec.minibatches();
        let (pool, clock) = (&self.learning, noise_clock(self.adam_steps));

        // ---- GATHER, ACT, SLOT GRADIENT, BACKWARD: gradient sums of the parts ----
        self.parts.par_iter_mut().enumerate().for_each(|(i, out)| {
            let (r, from) = (i / parts, i % parts * rows);
            let minibatch = Samples {
                spec,
                replica: r,
                chunks: &chunks[r * per_replica..(r + 1) * per_replica],
                shuffle: Shuffle::new(workers[r].key, update, epoch, spec.samples() as u32),
                first: mb as usize * m,
                clock,
                noise: noise[r] as f32,
                last,
            };
            let (worker, part) = (&workers[r], from..m.min(from + rows));
            pool.with(|| PartScratch::new(spec, net), |s| s.part(&minibatch, net, worker, part, out));
        });

        // ---- CLIP, ADAM ----
        let t = self.adam_steps;
        let each = self.workers.par_iter_mut().zip(self.parts.par_chunks(parts)).enumerate();
        each.for_each(|(r, (worker, parts))| {
            let step = AdamStep::new(&spec.of(r).adam(lr[r]), t, worker.params.len());
            worker.update(&step, spec.of(r).max_grad_norm, m, parts);
            if last {
                let mut sum = parts[0].extremes.clone();
                for part in &parts[1..] {
                    let both = sum.0.iter_mut().zip(&part.extremes.0);
                    both.for_each(|(sum, n)| *sum = [sum[0] + n[0], sum[1] + n[1]]);
                }
                worker.extremes = sum.shares();
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let (slots, steps) = (self.spec.samples() as f64, std::mem::take(&mut self.steps));
        let of = |w: &mut Worker| {
            let [loss, norm] = std::mem::take(&mut w.sums).map(|x| x / f64::from(steps));
            UpdateMetrics {
                slots: vec![0.0; self.spec.env.curve().len()],
                gradient_steps: steps,
                policy_loss: loss,
                grad_norm_actor: norm,
                dead_neurons: w.extremes[0],
                saturated_neurons: w.extremes[1],
                firing_rates: vec![0.0; neuron_steps(&self.net).count()],
                ..UpdateMetrics::absent()
            }
        };
        let mut out: Vec<_> = self.workers.iter_mut().map(of).collect();
        for c in &mut self.chunks {
            let u = &mut out[c.at.replica];
            for (mean, sum) in u.slots.iter_mut().zip(&mut c.sums) {
                *mean += std::mem::take(sum) / slots;
            }
            for ((rate, n), neurons) in
                u.firing_rates.iter_mut().zip(&mut c.spikes).zip(neuron_steps(&self.net))
            {
                *rate += std::mem::take(n) as f64 / (slots * neurons as f64);
            }
        }
        Ok(read.then_some(out))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let all =
            |f: fn(&Worker) -> &Vec<f32>| self.workers.iter().flat_map(|w| f(w).iter().copied()).collect();
        Ok(LearnerState {
            params: all(|w| &w.params),
            m: all(|w| &w.m),
            v: all(|w| &w.v),
            adam_steps: self.adam_steps,
            updates,
            extra: Vec::new(),
        })
    }
}

impl Worker {
    /// Adds the parts' gradients, clips, and steps Adam. A gradient that is not finite changes nothing, so that one
    /// diverging replica stays visible without spreading.
    fn update(&mut self, step: &AdamStep, max_norm: f64, m: usize, parts: &[PartResult]) {
        let spans = self.grads.par_chunks_mut(SPAN).enumerate().map(|(i, g)| {
            let from = i * SPAN;
            g.copy_from_slice(&parts[0].grads[from..from + g.len()]);
            for p in &parts[1..] {
                g.iter_mut().zip(&p.grads[from..]).for_each(|(g, x)| *g += x);
            }
            f64::from(g.iter().map(|x| x * x).sum::<f32>())
        });
        let norm = spans.collect::<Vec<f64>>().iter().sum::<f64>().sqrt();
        self.sums[0] -= parts.iter().map(|p| p.value).sum::<f64>() / m as f64;
        self.sums[1] += norm;
        if !norm.is_finite() {
            return;
        }
        let scale = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
        let spans = self
            .m
            .par_chunks_mut(SPAN)
            .zip(self.v.par_chunks_mut(SPAN))
            .zip(self.params.par_chunks_mut(SPAN))
            .zip(self.grads.par_chunks(SPAN));
        spans.for_each(|(((m, v), p), grads)| step.run(0, scale, grads, m, v, p));
        self.actor.pack(&self.params);
    }
}

struct RolloutScratch {
    actor: Activations,
    action: Vec<f32>,
    metrics: Vec<f32>,
    final_obs: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
}

impl RolloutScratch {
    fn new(spec: &ApgSpec, net: &MlpLayout) -> Self {
        let sizes = spec.env.sizes();
        RolloutScratch {
            actor: Activations::forward_only(net, CHUNK),
            action: vec![0.0; CHUNK * sizes.action],
            metrics: vec![0.0; CHUNK * sizes.metrics],
            final_obs: vec![0.0; CHUNK * sizes.obs],
            reward: vec![0.0; CHUNK],
            flags: vec![0; CHUNK],
        }
    }
}

impl Chunk {
    fn collect(&mut self, spec: &ApgSpec, actor: &Packed, noise: f32, clock: u32, s: &mut RolloutScratch) {
        let (sizes, envs, slots) = (spec.env.sizes(), self.at.envs, slots_of(spec));
        let (o, a, w, t_max) = (sizes.obs, sizes.action, slots.scene_dim(), spec.apg.horizon);
        self.obs.copy_within(t_max * envs * o.., 0);
        let potentials = self.membrane.len() / t_max;
        // The rollout before ended with an episode.
        s.actor.rest();
        for t in 0..t_max {
            self.membrane[t * potentials..][..potentials].copy_from_slice(&s.actor.before()[..potentials]);
            let (before, after) = self.obs.split_at_mut((t + 1) * envs * o);
            forward(actor, envs, Strided { data: &before[t * envs * o..], row: o, col: 1 }, &mut s.actor);
            s.actor.add_spikes(&mut self.spikes);
            s.actor.carry();
            let at = At { clock: clock + t as u32, ..self.at };
            let action = &mut s.action[..envs * a];
            let scale = spec.apg.action_scale as f32;
            let z = s.actor.output();
            run_lanes(Explore {
                key: at.key,
                first: at.first,
                clock: at.clock,
                actions: a,
                scale,
                noise,
                z,
                action,
            });
            slots.scene(&at, &self.state, &mut self.scene[t * envs * w..][..envs * w]);
            let out = StepSlices {
                final_obs: &mut s.final_obs[..envs * o],
                reward: &mut s.reward[..envs],
                flags: &mut s.flags[..envs],
                metrics: Some(&mut s.metrics[..sizes.metrics * envs]),
                full: false,
            };
            spec.env.step(&at, action, &mut self.state, &mut after[..envs * o], out);
            if s.flags[0] & TRUNCATED != 0 {
                s.actor.rest();
            }
            for (sum, row) in self.sums.iter_mut().zip(spec.env.curve()) {
                *sum += f64::from(s.metrics[row * envs..(row + 1) * envs].iter().sum::<f32>());
            }
        }
    }
}

/// A minibatch of one replica: where its samples lie, and how they are acted in.
struct Samples<'a> {
    spec: &'a ApgSpec,
    replica: usize,
    chunks: &'a [Chunk],
    shuffle: Shuffle,
    /// Its first sample in the shuffled epoch.
    first: usize,
    clock: u32,
    noise: f32,
    /// Whether it is the last of the update.
    last: bool,
}

struct PartScratch {
    actor: Activations,
    d_actor: Gradient,
    /// `[block, leading(O)]`, zero beyond O.
    x: Aligned,
    /// `[block, W]`, `[block, A]`, `[block, A]`, `[block]`: padded to whole lanes.
    scene: Vec<f32>,
    action: Vec<f32>,
    d_action: Vec<f32>,
    value: Vec<f32>,
    /// `[block, width]`, or empty.
    membrane: Vec<f32>,
    index: Vec<u32>,
    /// Samples at once.
    block: usize,
}

impl PartScratch {
    fn new(spec: &ApgSpec, net: &MlpLayout) -> Self {
        let block = if net.lif.is_some() { SPIKING_BLOCK } else { BLOCK };
        let padded = block.next_multiple_of(GROUP);
        let (a, w) = (net.outputs(), slots_of(spec).scene_dim());
        PartScratch {
            actor: Activations::new(net, block),
            d_actor: Gradient::new(net, block),
            x: Aligned::zeros(block * leading(net.inputs())),
            scene: vec![0.0; padded * w],
            action: vec![0.0; padded * a],
            d_action: vec![0.0; padded * a],
            value: vec![0.0; padded],
            membrane: vec![0.0; block * carried_width(net)],
            index: vec![0; block],
            block,
        }
    }

    /// Objective and gradients of some samples of a minibatch.
    fn part(
        &mut self,
        mb: &Samples,
        net: &MlpLayout,
        w: &Worker,
        samples: Range<usize>,
        out: &mut PartResult,
    ) {
        let (spec, slots) = (mb.spec, slots_of(mb.spec));
        let (o, a, width, envs) = (net.inputs(), net.outputs(), slots.scene_dim(), spec.apg.envs);
        let (ldx, lda, potentials) = (leading(o), leading(a), self.membrane.len() / self.block);
        let (m, scale) = (spec.apg.minibatch, spec.apg.action_scale as f32);
        let spike_cost = (spec.rate_penalty() / (m * neuron_steps(net).sum::<usize>().max(1)) as f64) as f32;
        out.extremes.0.fill([0; 2]);
        out.value = 0.0;
        self.d_actor.clear();
        for lo in samples.clone().step_by(self.block) {
            let rows = samples.end.min(lo + self.block) - lo;
            let padded = rows.next_multiple_of(GROUP);
            let index = &mut self.index[..rows];
            mb.shuffle.fill((mb.first + lo) as u32, index);
            for (row, i) in index.iter().enumerate() {
                let (t, b) = (*i as usize / envs, *i as usize % envs);
                let c = &mb.chunks[b / CHUNK];
                let at = t * c.at.envs + b % CHUNK;
                self.x[row * ldx..][..o].copy_from_slice(&c.obs[at * o..][..o]);
                self.scene[row * width..][..width].copy_from_slice(&c.scene[at * width..][..width]);
                let from = &c.membrane[at * potentials..][..potentials];
                self.membrane[row * potentials..][..potentials].copy_from_slice(from);
            }
            self.actor.begin(&self.membrane[..rows * potentials]);
            // What fills the last lanes is some sample once more.
            for row in rows..padded {
                self.scene.copy_within((rows - 1) * width..rows * width, row * width);
                self.action.copy_within(0..a, row * a);
            }
            let x = Strided { data: &self.x[..rows * ldx], row: ldx, col: 1 };
            forward(&w.actor, rows, x, &mut self.actor);
            if mb.last {
                self.actor.add_extremes(net, rows, &mut out.extremes);
            }
            let z = &self.actor.output()[..rows * lda];
            let (first, action) = (lo as u32, &mut self.action[..rows * a]);
            let (key, clock, noise) = (w.key, mb.clock, mb.noise);
            run_lanes(Explore { key, first, clock, actions: a, scale, noise, z, action });
            let (d_action, value) = (&mut self.d_action[..padded * a], &mut self.value[..padded]);
            slots.gradient(
                mb.replica,
                spec.apg.of(),
                -1.0 / m as f32,
                &self.scene[..padded * width],
                &self.action[..padded * a],
                d_action,
                value,
            );
            out.value += f64::from(value[..rows].iter().sum::<f32>());
            run_lanes(Unsquash {
                actions: a,
                scale,
                z,
                d_action,
                d_z: &mut self.d_actor.d_out()[..rows * lda],
            });
            backward(&w.actor, rows, &self.x[..rows * ldx], &self.actor, spike_cost, &mut self.d_actor);
        }
        self.d_actor.write_to(net, &mut out.grads);
    }
}

/// Actions of a deterministic policy under noise: the fast form of `kernels::ddpg_act`, same draws and bits.
struct Explore<'a> {
    key: [u32; 2],
    /// Number of the first row in the streams.
    first: u32,
    clock: u32,
    actions: usize,
    scale: f32,
    /// Standard deviation; without, nothing is drawn.
    noise: f32,
    /// `[rows, leading(A)]`
    z: &'a [f32],
    /// `[rows, A]`
    action: &'a mut [f32],
}

impl Explore<'_> {
    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let (a, ld) = (self.actions, leading(self.actions));
        let (scale, deviation) = (V::splat_f32(self.scale), V::splat_f32(self.noise));
        let mut lanes = [0f32; GROUP];
        let mut row = from;
        while row + V::LANES <= to {
            let ids = V::Word::iota(self.first + row as u32);
            for block in 0..a.div_ceil(4) {
                let mut normals = [V::splat(0.0); 4];
                if self.noise > 0.0 {
                    let w = draw(self.key, Stream::Explore, ids, self.clock, block as u32);
                    (normals[0], normals[1]) = V::normal_pair(w[0], w[1]);
                    (normals[2], normals[3]) = V::normal_pair(w[2], w[3]);
                }
                for (j, n) in (4 * block..a).zip(normals) {
                    for (l, x) in lanes.iter_mut().enumerate().take(V::LANES) {
                        *x = self.z[(row + l) * ld + j];
                    }
                    let x = scale * V::load(&lanes).tanh() + deviation * n;
                    x.max(-scale).min(scale).store(&mut lanes);
                    for (l, x) in lanes.iter().enumerate().take(V::LANES) {
                        self.action[(row + l) * a + j] = *x;
                    }
                }
            }
            row += V::LANES;
        }
    }
}

impl LaneKernel for Explore<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.action.len() / self.actions;
        let whole = n / V::LANES * V::LANES;
        self.span::<V>(0, whole);
        self.span::<f32>(whole, n);
    }
}

/// Gradients by z out of those by the actions around scale·tanh(z).
struct Unsquash<'a> {
    actions: usize,
    scale: f32,
    /// `[rows, leading(A)]`
    z: &'a [f32],
    /// `[rows, A]`
    d_action: &'a [f32],
    /// `[rows, leading(A)]`, zero beyond A.
    d_z: &'a mut [f32],
}

impl LaneKernel for Unsquash<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let (a, ld) = (self.actions, leading(self.actions));
        let (one, scale) = (V::splat(1.0), V::splat_f32(self.scale));
        for ((z, d_action), d_z) in
            self.z.chunks_exact(ld).zip(self.d_action.chunks_exact(a)).zip(self.d_z.chunks_exact_mut(ld))
        {
            d_z[..a].copy_from_slice(d_action);
            d_z[a..].fill(0.0);
            for j in (0..ld).step_by(V::LANES) {
                let t = V::load(&z[j..]).tanh();
                (V::load(&d_z[j..]) * scale * (one - t * t)).store(&mut d_z[j..]);
            }
        }
    }
}
