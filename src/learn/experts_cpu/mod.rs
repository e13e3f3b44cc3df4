//! Learning experts on the CPU: f32, vector lanes, rayon. No step depends on the number of threads, so a run repeats
//! bit for bit on a machine.
//!
//! Environments are split into chunks that a thread carries through the whole episode; minibatches of whole
//! environments are split into parts, whose gradient sums are added in a fixed order (`experts_backward_cpu`). Where
//! the trunk is shared, both gradients of the first minibatch of an update are taken apart, to compare them, whether
//! the metrics will be read or not; that costs one more pass through the hidden layers for the samples of L_spat in
//! that minibatch. Where the trunk's phases are drawn, this comparison is all that L_spat is there for.
//!
//! Why PPO is written twice ([`super::ppo_cpu`] is the other): here a recurrent scheduler learns from whole episodes,
//! so that minibatches are of environments, and beside it phases learn from a loss of their own that no sample of the
//! policy enters. There spiking and dense networks learn from single slots in any order. What both have in common, GAE,
//! Adam and the shuffle, is shared; one learner for both would ask at every step which of the two it is.

mod learner;
mod rollout;

pub(super) use learner::trunk;

use super::adam::AdamStep;
use super::experts::ExpertsSpec;
use super::experts_backward_cpu::{Backward, MinibatchPart, Spatial};
use super::experts_memory_cpu::{Chunk, Minibatch, PartResult, Sums, chunk_envs, part_envs};
use super::{BeamUpdate, Experts, LearnerState, Pool, UpdateMetrics, explained_variance, pace_extra};
use crate::config::PolicyGradient;
use crate::env::Sizes;
use crate::gpu::GpuError;
use crate::kernels::kl_control;
use crate::kernels::kl_control::Pace;
use crate::nets::dense::leading;
use crate::nets::experts::ExpertsCpu;
use crate::num::shuffle::Shuffle;
use learner::Learner;
use rayon::prelude::*;
use rollout::Acting;

/// R replicas on the CPU.
pub struct ExpertsPpoCpu {
    spec: ExpertsSpec,
    learners: Vec<Learner>,
    chunks: Vec<Chunk>,
    minibatches: Vec<Minibatch>,
    /// `[R, parts]` and `[R, chunks]`.
    parts: Vec<PartResult>,
    spatial_parts: Vec<PartResult>,
    acting: Pool<Acting>,
    backward: Pool<Backward>,
    spatial: Pool<Spatial>,
    adam_steps: u64,
    clock: u32,
}

impl ExpertsPpoCpu {
    /// Allocates everything and resets the environments.
    pub fn new(spec: &ExpertsSpec, start: &LearnerState) -> Self {
        let (layout, p, env) = (&spec.layout, spec.params(), &spec.env);
        let Sizes { obs: o, action: k, state: rows, slots: t, .. } = env.sizes();
        let replicas = spec.replicas();
        let paces = spec.paces(start);
        let learners = (0..replicas)
            .map(|r| {
                let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
                let mut l = Learner {
                    params: of(&start.params),
                    m: of(&start.m),
                    v: of(&start.v),
                    grads: vec![0.0; p],
                    spatial: vec![0.0; if layout.isolated() { 0 } else { p }],
                    net: ExpertsCpu::new(layout),
                    pace: Pace::from_row(&paces[8 * r..]),
                    rate: 0.0,
                    skipped: 0,
                    sums: Sums::default(),
                };
                l.net.pack(&l.params);
                l
            })
            .collect();
        let (size, most) = (chunk_envs(spec.temporal.envs), spec.spatial_slots(0).count());
        let mut chunks = Vec::new();
        for replica in 0..replicas {
            for first in (0..spec.temporal.envs).step_by(size) {
                let envs = size.min(spec.temporal.envs - first);
                chunks.push(Chunk {
                    replica,
                    first: first as u32,
                    envs,
                    state: vec![0.0; rows * envs],
                    obs: vec![0.0; envs * o],
                    x: vec![0.0; t * envs * leading(o)],
                    action: vec![0.0; t * envs * k],
                    phases: vec![0.0; t * envs * layout.log_std().len()],
                    logprob: vec![0.0; t * envs],
                    value: vec![0.0; (t + 1) * envs],
                    reward: vec![0.0; t * envs],
                    flags: vec![0; t * envs],
                    final_obs: vec![0.0; envs * o],
                    final_value: vec![0.0; t * envs],
                    advantage: vec![0.0; t * envs],
                    returns: vec![0.0; t * envs],
                    states: vec![0.0; most * rows * envs],
                    moments: vec![[0.0; 2]; envs],
                    sums: vec![0.0; env.curve().len()],
                });
            }
        }
        let m = spec.minibatch_envs();
        let clock = start.updates * t as u32;
        chunks.par_iter_mut().for_each(|c| {
            env.reset(&c.at(spec, clock), &mut c.state, &mut c.obs);
        });
        let results = |n: usize| (0..n).map(|_| PartResult::new(spec)).collect::<Vec<_>>();
        ExpertsPpoCpu {
            learners,
            minibatches: (0..replicas)
                .map(|_| Minibatch { envs: vec![0; m], mean: 0.0, inverse: 1.0 })
                .collect(),
            parts: results(replicas * m.div_ceil(part_envs(m))),
            spatial_parts: results(if layout.isolated() { chunks.len() } else { 0 }),
            chunks,
            acting: Pool::new(),
            backward: Pool::new(),
            spatial: Pool::new(),
            adam_steps: start.adam_steps,
            clock,
            spec: spec.clone(),
        }
    }
}

impl Experts for ExpertsPpoCpu {
    fn rollout(&mut self, update: u32) -> Result<(), GpuError> {
        let (spec, learners, clock, pool) = (&self.spec, &self.learners, self.clock, &self.acting);
        let size = chunk_envs(spec.temporal.envs);
        self.chunks.par_iter_mut().for_each(|c| {
            let work = |s: &mut Acting| c.collect(spec, &learners[c.replica].net, s, update, clock);
            pool.with(|| Acting::new(spec, size), work);
        });
        self.clock += spec.slots() as u32;
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.chunks.par_iter_mut().for_each(|c| c.advantages(spec));
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        self.adam_steps += 1;
        let (spec, chunks, learners, pool) = (&self.spec, &self.chunks, &self.learners, &self.backward);
        let (envs, m) = (spec.temporal.envs, spec.minibatch_envs());
        let size = chunk_envs(envs);
        let (per_replica, per_part) = (envs.div_ceil(size), part_envs(m));
        let parts = m.div_ceil(per_part);

        // ---- ENVIRONMENTS in the order of the shuffle; mean and deviation of their advantages ----
        let of_replica = chunks.par_chunks(per_replica);
        self.minibatches.par_iter_mut().enumerate().zip(of_replica).for_each(|((r, b), chunks)| {
            let shuffle = Shuffle::new(spec.env.key(r), update, epoch, envs as u32);
            shuffle.fill(mb * m as u32, &mut b.envs);
            b.normalise(spec, chunks);
        });

        // ---- LOSS, BACKWARD: gradient sums of the parts ----
        let apart = !spec.layout.isolated() && epoch == 0 && mb == 0;
        let joined = spec.layout.log_std.is_none();
        let (minibatches, base) = (&self.minibatches, self.clock - spec.slots() as u32);
        self.parts.par_iter_mut().enumerate().for_each(|(i, out)| {
            let (r, from) = (i / parts, i % parts * per_part);
            let part = MinibatchPart {
                spec,
                net: &learners[r].net,
                chunks: &chunks[r * per_replica..(r + 1) * per_replica],
                batch: &minibatches[r],
                envs: &minibatches[r].envs[from..m.min(from + per_part)],
                replica: r,
                update,
                clock: base,
                apart,
            };
            pool.with(|| Backward::new(spec), |s| s.part(&part, out));
        });

        // ---- CLIP, ADAM: scheduler and critic ----
        let [policy, critic, _] = spec.layout.groups();
        let first = epoch == 0 && mb == 0;
        self.learners.par_iter_mut().zip(self.parts.par_chunks(parts)).enumerate().for_each(
            |(r, (l, parts))| {
                let (t, max_norm) = (spec.of(r), spec.of(r).max_grad_norm);
                let before = l.sums.loss.kl;
                parts.iter().for_each(|p| l.sums.add(&p.sums));
                let divergence = (l.sums.loss.kl - before) as f32;
                let mut squares = [policy.clone(), critic.clone()].map(|range| l.reduce(range, parts));
                if apart {
                    l.compare(parts);
                    if joined {
                        squares[0] = l.join();
                    }
                }
                let norms = squares.map(f64::sqrt);
                l.sums.norms[0] += norms[0];
                l.sums.norms[1] += norms[1];
                // A gradient that is not finite changes nothing, so that a diverging replica stays visible without
                // spreading.
                let hyper = t.adam([rates[r][0], rates[r][1]]);
                let skipped = l.pace.skipped;
                let betas =
                    [hyper.beta1, hyper.beta2, 1.0 - hyper.beta1, 1.0 - hyper.beta2].map(|x| x as f32);
                kl_control::advance(
                    &mut l.pace,
                    divergence,
                    norms.map(|n| n as f32),
                    t.limits().row(),
                    betas,
                    first,
                );
                l.rate += f64::from(l.pace.rate);
                l.skipped += (l.pace.skipped - skipped) as u32;
                if l.pace.live != 0.0 {
                    let step = AdamStep::paced(&hyper, &l.pace, spec.layout.critic.offset);
                    l.step(&step, 0, policy.clone(), norms[0], max_norm);
                    l.step(&step, 1, critic.clone(), norms[1], max_norm);
                    l.net.pack(&l.params);
                }
            },
        );
        Ok(())
    }

    fn spatial(&mut self, update: u32, rates: &[[f64; 3]]) -> Result<(), GpuError> {
        let (spec, learners, pool) = (&self.spec, &self.learners, &self.spatial);
        let per_replica = spec.temporal.envs.div_ceil(chunk_envs(spec.temporal.envs));
        let base = self.clock - spec.slots() as u32;

        // ---- L_SPAT, BACKWARD: gradient sums of the chunks ----
        self.spatial_parts.par_iter_mut().zip(&self.chunks).for_each(|(out, c)| {
            let net = &learners[c.replica].net;
            pool.with(|| Spatial::new(spec), |s| s.chunk(spec, net, c, update, base, out));
        });

        // ---- CLIP, ADAM: phases ----
        let [_, _, phases] = spec.layout.groups();
        let max_norm = spec.spatial.max_grad_norm;
        let parts = self.spatial_parts.par_chunks(per_replica);
        self.learners.par_iter_mut().zip(parts).enumerate().for_each(|(r, (l, parts))| {
            let hyper = spec.of(r).adam([rates[r][2]; 2]);
            let step = AdamStep::new(&hyper, u64::from(update) + 1, spec.layout.critic.offset);
            parts.iter().for_each(|p| l.sums.add(&p.sums));
            let norm = l.reduce(phases.clone(), parts).sqrt();
            l.sums.norms[2] += norm;
            if norm.is_finite() {
                l.step(&step, 0, phases.clone(), norm, max_norm);
                l.net.pack(&l.params);
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let spec = &self.spec;
        let (slots, steps) = (spec.samples() as f64, (spec.epochs() * spec.minibatches()) as f64);
        let mut means = vec![vec![0.0; spec.env.curve().len()]; self.learners.len()];
        let mut fits = vec![[[0.0; 2]; 2]; self.learners.len()];
        for c in &mut self.chunks {
            for (fit, of) in fits[c.replica].iter_mut().zip([&c.advantage, &c.returns]) {
                for x in of {
                    let x = f64::from(*x);
                    *fit = [fit[0] + x, fit[1] + x * x];
                }
            }
            for (mean, sum) in means[c.replica].iter_mut().zip(&mut c.sums) {
                *mean += std::mem::take(sum) / slots;
            }
        }
        let update = |((l, means), [missed, returns]): ((&mut Learner, Vec<f64>), [[f64; 2]; 2])| {
            let s = std::mem::take(&mut l.sums);
            let clips = spec.temporal.algorithm == PolicyGradient::Ppo;
            let of_ratio = |x: f64| if clips { x / steps } else { f64::NAN };
            UpdateMetrics {
                approx_kl: of_ratio(s.loss.kl),
                clip_fraction: of_ratio(s.loss.clipped),
                explained_variance: explained_variance(slots, missed, returns),
                rate_share: std::mem::take(&mut l.rate) / steps,
                skipped_share: f64::from(std::mem::take(&mut l.skipped)) / steps,
                slots: means,
                gradient_steps: steps as u32,
                policy_loss: s.loss.policy / steps,
                value_loss: s.value_loss / steps,
                entropy: s.loss.entropy / steps,
                grad_norm_actor: s.norms[0] / steps,
                grad_norm_critic: s.norms[1] / steps,
                beams: Some(BeamUpdate {
                    gain: s.gain / s.gains,
                    grad_norm: s.norms[2],
                    cosine: s.cosine.unwrap_or(f64::NAN),
                }),
                ..UpdateMetrics::absent()
            }
        };
        let all: Vec<UpdateMetrics> = self.learners.iter_mut().zip(means).zip(fits).map(update).collect();
        Ok(read.then_some(all))
    }

    fn state(&mut self, updates: u32) -> Result<LearnerState, GpuError> {
        let all =
            |f: fn(&Learner) -> &Vec<f32>| self.learners.iter().flat_map(|l| f(l).iter().copied()).collect();
        Ok(LearnerState {
            params: all(|l| &l.params),
            m: all(|l| &l.m),
            v: all(|l| &l.v),
            adam_steps: self.adam_steps,
            updates,
            extra: vec![pace_extra(self.learners.iter().map(|l| l.pace.row()))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MonoPhases, PolicyGradient, SpatialConfig, TemporalConfig};
    use crate::learn::experts_toy::{K, M, Toy, spec};
    use crate::nets::experts::Phase;
    use crate::nets::experts::definition::{ALL, BLIND, ISOLATED, MIXTURE, TRUNK, define, dense};
    use std::f64::consts::PI;
    use std::ops::Range;
    use std::sync::Arc;

    type Change = fn(&mut TemporalConfig, &mut SpatialConfig);

    const SLOTS: usize = 23;

    /// Of every architecture, and of a trunk whose phases are drawn.
    fn all_specs() -> Vec<ExpertsSpec> {
        let mut all: Vec<_> = ALL.into_iter().map(|a| spec(a, SLOTS, |_, _| {})).collect();
        all.push(spec(TRUNK, SLOTS, |t, _| t.mono_phases = MonoPhases::Gaussian));
        all
    }

    /// The environments of [`spec`].
    fn toy(spec: &ExpertsSpec) -> Toy {
        let keys = (0..spec.replicas()).map(|r| spec.env.key(r)).collect();
        Toy { slots: spec.slots(), keys, price: vec![0.1, 0.4] }
    }

    fn updates(spec: &ExpertsSpec, l: &mut ExpertsPpoCpu, range: Range<u32>) -> Vec<UpdateMetrics> {
        let mut metrics = Vec::new();
        for u in range {
            let lr = spec.learning_rates(u, 4);
            l.rollout(u).unwrap();
            l.advantages().unwrap();
            for epoch in 0..spec.epochs() as u32 {
                for mb in 0..spec.minibatches() as u32 {
                    l.minibatch(u, epoch, mb, &lr).unwrap();
                }
            }
            if spec.layout.isolated() {
                l.spatial(u, &lr).unwrap();
            }
            metrics.extend(l.finish(true).unwrap().unwrap());
        }
        metrics
    }

    fn trained(spec: &ExpertsSpec, until: u32) -> (LearnerState, Vec<UpdateMetrics>) {
        let mut l = ExpertsPpoCpu::new(spec, &spec.start());
        let metrics = updates(spec, &mut l, 0..until);
        (l.state(until).unwrap(), metrics)
    }

    /// By bits, so that NaN equals NaN.
    fn bits(state: &LearnerState, metrics: &[UpdateMetrics]) -> (Vec<u32>, String) {
        let all = state.params.iter().chain(&state.m).chain(&state.v).map(|x| x.to_bits()).collect();
        (all, format!("{metrics:?}"))
    }

    #[test]
    fn results_depend_neither_on_threads_nor_on_the_other_replicas() {
        for spec in all_specs() {
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                pool.install(|| trained(&spec, 2))
            };
            let (state, metrics) = with(1);
            assert!(state.params.iter().all(|x| x.is_finite()));
            // In the order of the curve: the reward, which is negative, then how many were looked at.
            for u in &metrics {
                assert!(u.slots.len() == 2 && u.slots[0] < 0.0, "{:?}", u.slots);
                assert!((0.5..2.5).contains(&u.slots[1]), "{:?}", u.slots);
            }
            let other = with(3);
            assert_eq!(bits(&state, &metrics), bits(&other.0, &other.1));
            let alone = ExpertsSpec { env: Arc::new(toy(&spec).alone(1)), ..spec.clone() };
            assert_eq!(trained(&alone, 2).0.params, state.params[spec.params()..]);
        }
    }

    #[test]
    fn a_run_continues_from_its_state() {
        for (n, mut spec) in all_specs().into_iter().enumerate() {
            if n == 1 {
                spec.temporal.algorithm = PolicyGradient::A2c;
            }
            let mut whole = ExpertsPpoCpu::new(&spec, &spec.start());
            updates(&spec, &mut whole, 0..2);
            let mut resumed = ExpertsPpoCpu::new(&spec, &whole.state(2).unwrap());
            let (a, b) = (updates(&spec, &mut whole, 2..4), updates(&spec, &mut resumed, 2..4));
            assert_eq!(bits(&whole.state(4).unwrap(), &a), bits(&resumed.state(4).unwrap(), &b));
        }
    }

    #[test]
    fn no_gradient_crosses_between_scheduler_and_phases() {
        let of = |architecture, change: Change, until| {
            let spec = spec(architecture, SLOTS, change);
            let (state, metrics) = trained(&spec, until);
            let [policy, critic, phases] = spec.layout.groups();
            let part = |range: Range<usize>| -> Vec<u32> {
                let replicas = state.params.chunks(spec.params());
                replicas
                    .flat_map(|p| p[range.clone()].iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                    .collect()
            };
            (part(policy), part(critic), part(phases), metrics)
        };
        for architecture in [ISOLATED, BLIND] {
            // The phases touch neither scheduler nor critic, in any number of updates.
            let a = of(architecture, |_, s| s.lr = 1e-2, 3);
            let b = of(architecture, |_, s| s.lr = 1e-30, 3);
            assert_eq!((&a.0, &a.1), (&b.0, &b.1));
            assert_ne!(a.2, b.2, "the phases did not learn");
            // The policy loss does not touch the phases. Later updates meet other ages, so only the first tells.
            let a = of(architecture, |_, _| {}, 1);
            let b = of(architecture, |t, _| (t.lr_policy, t.lr_critic) = (1e-30, 1e-30), 1);
            assert_eq!(a.2, b.2);
            assert!(a.0 != b.0 && a.1 != b.1, "scheduler and critic did not learn");
            assert!(a.3.iter().all(|m| m.beams.unwrap().cosine.is_nan()));
        }
        // Through a shared trunk the phases do reach the scheduler.
        for architecture in [TRUNK, MIXTURE] {
            let a = of(architecture, |_, s| s.loss_weight = 1.0, 1);
            let b = of(architecture, |_, s| s.loss_weight = 2.0, 1);
            assert_ne!(a.0, b.0);
            assert_eq!(a.1, b.1, "the critic is apart");
            assert!(a.3.iter().all(|m| m.beams.unwrap().cosine.abs() <= 1.0), "{:?}", a.3);
        }
    }

    /// The key of one agent's phases: what is drawn beside the cameras touches neither these nor what they cost, and no
    /// other agent; L_spat is measured, and moves nothing.
    #[test]
    fn drawn_phases_stand_in_the_ratio_alone() {
        let of = |architecture, mono_phases, change: Change, until| {
            let spec = spec(architecture, SLOTS, |t, s| {
                (t.mono_phases, t.epochs, t.minibatch_envs) = (mono_phases, 1, 70);
                change(t, s);
            });
            let (state, metrics) = trained(&spec, until);
            (spec, bits(&state, &[]).0, metrics)
        };
        let (learned, drawn) = (MonoPhases::LSpat, MonoPhases::Gaussian);
        for architecture in [ISOLATED, BLIND, MIXTURE] {
            let [a, b] = [learned, drawn].map(|m| of(architecture, m, |t, _| t.log_std_init = -2.0, 2).1);
            assert_eq!(a, b, "{architecture:?} has no such phases");
        }
        let plain = of(TRUNK, learned, |_, _| {}, 1);
        assert_eq!(plain.1, of(TRUNK, learned, |t, _| t.log_std_init = -2.0, 1).1);
        let (spec, params, metrics) = of(TRUNK, drawn, |_, _| {}, 1);
        assert_eq!(spec.params(), plain.0.params() + K * M);
        assert_eq!(
            spec.tensors().iter().find(|t| t.name == "log_std").unwrap().range(),
            spec.layout.log_std()
        );
        for (a, b) in metrics.iter().zip(&plain.2) {
            // The same cameras under the same draws, and L_spat of the same means.
            assert_eq!(a.slots, b.slots);
            let [a, b] = [a, b].map(|u| (u.beams.unwrap(), u.entropy));
            assert_eq!((a.0.gain, a.0.grad_norm), (b.0.gain, b.0.grad_norm));
            assert!(a.0.cosine != b.0.cosine && a.0.cosine.abs() < 1.0, "the ratio's gradient is another");
            let own = (K * M) as f64 * (0.5 * (2.0 * PI * 1f64.exp()).ln() - 0.5);
            assert!((a.1 - b.1 - own).abs() < 1e-4, "{} and {}", a.1, b.1);
        }
        let start: Vec<u32> = spec.start().params.iter().map(|x| x.to_bits()).collect();
        assert!(spec.layout.log_std().all(|i| params[i] != start[i]), "log_std does not learn");
        assert_eq!(f32::from_bits(start[spec.layout.log_std().start]), -0.5);
        // In the first minibatch of an update, where it is measured, and in the second.
        let weighed = of(TRUNK, drawn, |t, s| (t.epochs, s.loss_weight) = (2, 7.0), 2);
        assert_eq!(weighed.1, of(TRUNK, drawn, |t, _| t.epochs = 2, 2).1, "L_spat moves drawn phases");
        assert_ne!(of(TRUNK, learned, |_, s| s.loss_weight = 7.0, 1).1, plain.1);
        assert_ne!(of(TRUNK, drawn, |t, _| t.log_std_init = -2.0, 1).1, params);
    }

    #[test]
    fn slots_of_l_spat_take_turns() {
        let spec = spec(ISOLATED, 5, |_, s| s.stride = 3);
        let slots = |u| spec.spatial_slots(u).collect::<Vec<_>>();
        assert_eq!([slots(0), slots(1), slots(2), slots(3)], [vec![0, 3], vec![1, 4], vec![2], vec![0, 3]]);
        // More than there are slots: one of them, each in its turn.
        let spec = self::spec(ISOLATED, 5, |_, s| s.stride = 9);
        assert_eq!(spec.spatial_slots(13).collect::<Vec<_>>(), [3]);
    }

    /// The losses of one minibatch of one replica in f64, from the definitions, at parameters `p`: policy and critic
    /// loss, and L_spat.
    fn losses(l: &ExpertsPpoCpu, r: usize, p: &[f64]) -> [f64; 3] {
        let (spec, b) = (&l.spec, &l.minibatches[r]);
        let (layout, c) = (&spec.layout, &spec.temporal);
        let (toy, Sizes { obs: o, state: rows, .. }) = (toy(spec), spec.env.sizes());
        let (k, size, ldx) = (K, chunk_envs(c.envs), leading(o));
        let chunks: Vec<&Chunk> = l.chunks.iter().filter(|c| c.replica == r).collect();
        let (n, base) = ((b.envs.len() * spec.slots()) as f64, l.clock - spec.slots() as u32);
        let (mut policy, mut value, mut gain) = (0.0, 0.0, 0.0);
        let (mut h, mut cell) = (Vec::new(), vec![0.0; c.hidden]);
        for &env in &b.envs {
            let (chunk, e) = (chunks[env as usize / size], env as usize % size);
            h.clear();
            h.resize(c.hidden, 0.0);
            cell.fill(0.0);
            let mut entering = spec.spatial_slots(0).enumerate().peekable();
            for t in 0..spec.slots() {
                let row = t * chunk.envs + e;
                let x: Vec<f64> = chunk.x[row * ldx..][..o].iter().map(|x| f64::from(*x)).collect();
                let y = define(layout, p, &x, &mut h, &mut cell);
                let (mut logp, mut entropy) = (0.0, 0.0);
                for (a, z) in y[..k].iter().enumerate() {
                    let q = 1.0 / (1.0 + (-z).exp());
                    let taken = chunk.action[row * k + a] > 0.5;
                    logp += if taken { q.ln() } else { (1.0 - q).ln() };
                    entropy -= q * q.ln() + (1.0 - q) * (1.0 - q).ln();
                }
                for (i, log_std) in p[layout.log_std()].iter().enumerate() {
                    let drawn = f64::from(chunk.phases[row * layout.phases() + i]);
                    let z = (drawn - y[k + i]) / log_std.exp();
                    logp += -0.5 * z * z - log_std - 0.5 * (2.0 * PI).ln();
                    entropy += 0.5 + log_std + 0.5 * (2.0 * PI).ln();
                }
                let adv = (f64::from(chunk.advantage[row]) - f64::from(b.mean)) * f64::from(b.inverse);
                policy += match c.algorithm {
                    PolicyGradient::A2c => -adv * logp,
                    PolicyGradient::Ppo => {
                        let ratio = (logp - f64::from(chunk.logprob[row])).exp();
                        (-adv * ratio).max(-adv * ratio.clamp(1.0 - c.clip, 1.0 + c.clip))
                    }
                } - c.entropy_coef * entropy;
                value += 0.5 * (dense(&layout.critic, p, &x)[0] - f64::from(chunk.returns[row])).powi(2);
                if let Some((i, _)) = entering.next_if(|(_, slot)| *slot == t) {
                    for vehicle in 0..k {
                        let at = |row: usize| chunk.states[(i * rows + row) * chunk.envs + e];
                        let steer = match layout.phase {
                            Phase::Direct => 0.0,
                            Phase::Residual => -PI * x[vehicle],
                        };
                        let phi: [f64; M] =
                            std::array::from_fn(|q| y[k + vehicle * M + q] + q as f64 * steer);
                        let now = [at(vehicle), at(k + vehicle)];
                        gain += toy.gain(r, now, vehicle, env, base + t as u32, &phi);
                    }
                }
            }
        }
        let samples = (b.envs.len() * spec.spatial_slots(0).count() * k) as f64;
        [policy / n, value / n, -spec.spatial.loss_weight * gain / samples]
    }

    #[test]
    fn gradients_are_those_of_the_definitions_by_central_differences() {
        let (drawn, learned) = (MonoPhases::Gaussian, MonoPhases::LSpat);
        for (architecture, algorithm, phase, mono_phases) in [
            (ISOLATED, PolicyGradient::Ppo, Phase::Direct, learned),
            (BLIND, PolicyGradient::A2c, Phase::Residual, learned),
            (TRUNK, PolicyGradient::Ppo, Phase::Residual, learned),
            (MIXTURE, PolicyGradient::Ppo, Phase::Direct, learned),
            (MIXTURE, PolicyGradient::A2c, Phase::Residual, learned),
            (TRUNK, PolicyGradient::Ppo, Phase::Residual, drawn),
            (TRUNK, PolicyGradient::A2c, Phase::Direct, drawn),
        ] {
            let what = format!("{architecture:?}, {algorithm:?}, {phase:?}, {mono_phases:?}");
            // A large rate, so that ratios leave 1 before the second minibatch; the tolerance is of the whole gradient.
            let spec = spec(architecture, SLOTS, |t, s| {
                (t.algorithm, s.phase, t.mono_phases) = (algorithm, phase, mono_phases);
                (t.envs, t.minibatch_envs) = (10, 10);
                (t.lr_policy, t.entropy_coef) = (0.02, 0.05);
                (t.max_grad_norm, s.max_grad_norm) = (0.0, 0.0);
            });
            let mut l = ExpertsPpoCpu::new(&spec, &spec.start());
            l.rollout(0).unwrap();
            l.advantages().unwrap();
            let (lr, [policy, critic, phases]) = (spec.learning_rates(0, 1), spec.layout.groups());
            for epoch in 0..2 {
                let before: Vec<Vec<f64>> =
                    l.learners.iter().map(|l| l.params.iter().map(|x| f64::from(*x)).collect()).collect();
                l.minibatch(0, epoch, 0, &lr).unwrap();
                if spec.layout.isolated() {
                    l.spatial(0, &lr).unwrap();
                }
                for r in 0..2 {
                    let largest = l.learners[r].grads.iter().fold(0f32, |a, b| a.max(b.abs()));
                    assert!(largest > 1e-3, "{what}: no gradient");
                    for i in (0..spec.params()).step_by(23) {
                        let moved = |delta: f64| {
                            let mut p = before[r].clone();
                            p[i] += delta;
                            let [a, b, c] = losses(&l, r, &p);
                            if policy.contains(&i) && !spec.layout.isolated() && mono_phases == learned {
                                a + c
                            } else if policy.contains(&i) {
                                a
                            } else if critic.contains(&i) {
                                b
                            } else {
                                assert!(phases.contains(&i));
                                c
                            }
                        };
                        let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                        let got = f64::from(l.learners[r].grads[i]);
                        assert!(
                            (got - want).abs() < 2e-5 + 1e-3 * want.abs(),
                            "{what}, epoch {epoch}, replica {r}, parameter {i}: {got} against {want}"
                        );
                    }
                }
            }
        }
    }
}
