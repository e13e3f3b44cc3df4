//! PPO on the CPU: f32, vector lanes, rayon. No step depends on the number of threads, so a run repeats bit for bit on
//! a machine.
//!
//! Environments are split into chunks that a thread carries through the whole rollout (policy, physics, advantages) in
//! its caches; minibatches are split into parts whose gradient sums are added in a fixed order.

mod gaussian;
mod learner;
mod minibatch;
mod rollout;

pub use gaussian::SampleGaussian;
pub(super) use gaussian::log_norm;
pub(super) use learner::{SPAN, neuron_steps};
pub(super) use minibatch::{BLOCK, SPIKING_BLOCK, part_rows};

use super::{LearnerState, Pool, Ppo, PpoSpec, UpdateMetrics, explained_variance, pace_extra};
use crate::env::At;
use crate::gpu::GpuError;
use crate::kernels::kl_control::Pace;
use crate::nets::ActorCriticLayout;
use crate::nets::cpu::Extremes;
use crate::nets::dense::Packed;
use crate::num::shuffle::Shuffle;
use learner::{Learner, PartResult, extremes_of, spiking_layers, widths};
use minibatch::{BackwardScratch, Gathered, Sampler};
use rayon::prelude::*;
use rollout::{CHUNK, Chunk, RolloutScratch};

/// PPO for R replicas on the CPU.
pub struct PpoCpu {
    spec: PpoSpec,
    layout: ActorCriticLayout,
    learners: Vec<Learner>,
    chunks: Vec<Chunk>,
    /// The current minibatch of each replica, and what its parts give: `[R, parts]`.
    gathered: Vec<Gathered>,
    parts: Vec<PartResult>,
    scratch: Pool<BackwardScratch>,
    adam_steps: u64,
    /// Gradient steps since the last reading of the metrics.
    steps: u32,
    clock: u32,
}

impl PpoCpu {
    /// Allocates everything and resets the environments.
    pub fn new(spec: &PpoSpec, start: &LearnerState) -> Self {
        let layout = spec.layout();
        let p = layout.params();
        let (sizes, replicas) = (spec.env.sizes(), spec.env.replicas());
        let (o, a, t) = (sizes.obs, sizes.action, spec.ppo.horizon);
        let paces = spec.paces(start);
        let learners = (0..replicas)
            .map(|r| {
                let of = |v: &[f32]| v[r * p..(r + 1) * p].to_vec();
                let mut l = Learner {
                    params: of(&start.params),
                    m: of(&start.m),
                    v: of(&start.v),
                    grads: vec![0.0; p],
                    actor: Packed::new(&layout.actor),
                    critic: Packed::new(&layout.critic),
                    pace: Pace::from_row(&paces[8 * r..]),
                    sums: [0.0; 8],
                    skipped: 0,
                    extremes: [f64::NAN; 2],
                };
                l.pack();
                l
            })
            .collect();
        let mut chunks = Vec::new();
        for replica in 0..replicas {
            for first in (0..spec.ppo.envs).step_by(CHUNK) {
                let envs = CHUNK.min(spec.ppo.envs - first);
                let key = spec.env.key(replica);
                chunks.push(Chunk {
                    at: At { replica, key, first: first as u32, envs, clock: 0 },
                    envs,
                    state: vec![0.0; sizes.state * envs],
                    obs: vec![0.0; (t + 1) * envs * o],
                    action: vec![0.0; t * envs * a],
                    logprob: vec![0.0; t * envs],
                    value: vec![0.0; (t + 1) * envs],
                    reward: vec![0.0; t * envs],
                    flags: vec![0; t * envs],
                    final_obs: vec![0.0; envs * o],
                    final_value: vec![0.0; t * envs],
                    scalars: vec![[0.0; 4]; t * envs],
                    membrane: widths(&layout).map(|width| vec![0.0; t * envs * width]),
                    sums: vec![0.0; spec.env.curve().len()],
                    fit: [[0.0; 2]; 2],
                    spikes: vec![0; spiking_layers(&layout).count()],
                });
            }
        }
        let clock = start.updates * spec.ppo.horizon as u32;
        let m = spec.ppo.minibatch;
        let gathered = (0..replicas).map(|_| Gathered::new(m, o, a, widths(&layout))).collect();
        let parts = (0..replicas * m.div_ceil(part_rows(m)))
            .map(|_| PartResult {
                grads: vec![0.0; p],
                sums: [0.0; 7],
                extremes: Extremes::of(&layout.actor),
            })
            .collect();
        let scratch = Pool::new();
        let mut this = PpoCpu {
            spec: spec.clone(),
            layout,
            learners,
            chunks,
            gathered,
            parts,
            scratch,
            adam_steps: start.adam_steps,
            steps: 0,
            clock,
        };
        let (spec, clock) = (&this.spec, this.clock);
        this.chunks.par_iter_mut().for_each(|c| {
            let last = spec.ppo.horizon * c.envs * o;
            spec.env.reset(&At { clock, ..c.at }, &mut c.state, &mut c.obs[last..]);
        });
        this
    }
}

impl Ppo for PpoCpu {
    fn rollout(&mut self, _update: u32) -> Result<(), GpuError> {
        let (spec, learners, layout, clock) = (&self.spec, &self.learners, &self.layout, self.clock);
        self.chunks.par_iter_mut().for_each_init(
            || RolloutScratch::new(layout, spec.env.sizes().metrics),
            |s, c| c.collect(spec, layout, &learners[c.at.replica], s, clock),
        );
        self.clock += self.spec.ppo.horizon as u32;
        Ok(())
    }

    fn advantages(&mut self) -> Result<(), GpuError> {
        let spec = &self.spec;
        self.chunks.par_iter_mut().for_each(|c| c.advantages(spec));
        Ok(())
    }

    fn minibatch(&mut self, update: u32, epoch: u32, mb: u32, rates: &[[f64; 2]]) -> Result<(), GpuError> {
        let (spec, layout, chunks, learners, scratch) =
            (&self.spec, &self.layout, &self.chunks, &self.learners, &self.scratch);
        let m = spec.ppo.minibatch;
        let (rows, per_replica) = (part_rows(m), spec.ppo.envs.div_ceil(CHUNK));

        // ---- GATHER: samples in the order of the shuffle; mean and deviation of their advantages ----
        let (normalise, envs, first) = (spec.ppo.normalise_advantages, spec.ppo.envs, mb as usize * m);
        self.gathered.par_iter_mut().zip(chunks.par_chunks(per_replica)).for_each(|(g, chunks)| {
            let shuffle = Shuffle::new(chunks[0].at.key, update, epoch, spec.samples() as u32);
            g.fill(&Sampler { shuffle: &shuffle, chunks, envs, first }, rows, normalise);
        });

        // ---- LOSS, BACKWARD: gradient sums of the parts ----
        let (gathered, parts) = (&self.gathered, m.div_ceil(rows));
        let last = epoch as usize + 1 == spec.ppo.epochs && mb as usize + 1 == spec.minibatches();
        self.parts.par_iter_mut().enumerate().for_each(|(i, out)| {
            let (r, from) = (i / parts, i % parts * rows);
            let work = |s: &mut BackwardScratch| {
                s.part(spec, r, layout, &learners[r], &gathered[r], from..m.min(from + rows), last, out)
            };
            scratch.with(|| BackwardScratch::new(layout), work);
        });

        // ---- CLIP, ADAM ----
        self.adam_steps += 1;
        self.steps += 1;
        let first = epoch == 0 && mb == 0;
        let each = self.learners.par_iter_mut().zip(self.parts.par_chunks(parts)).enumerate();
        each.for_each(|(r, (l, parts))| {
            l.update(spec, (r, layout.split()), rates[r], first, parts);
            if last {
                l.extremes = extremes_of(parts);
            }
        });
        Ok(())
    }

    fn finish(&mut self, read: bool) -> Result<Option<Vec<UpdateMetrics>>, GpuError> {
        let slots = self.spec.samples() as f64;
        let steps = std::mem::take(&mut self.steps);
        let none = UpdateMetrics {
            slots: vec![0.0; self.spec.env.curve().len()],
            gradient_steps: steps,
            firing_rates: vec![0.0; spiking_layers(&self.layout).count()],
            ..UpdateMetrics::absent()
        };
        let mut out = vec![none; self.learners.len()];
        let mut fits = vec![[[0.0; 2]; 2]; self.learners.len()];
        for c in &mut self.chunks {
            let (u, fit) = (&mut out[c.at.replica], &mut fits[c.at.replica]);
            fit.as_flattened_mut().iter_mut().zip(c.fit.as_flattened()).for_each(|(sum, x)| *sum += x);
            for (mean, sum) in u.slots.iter_mut().zip(&mut c.sums) {
                *mean += std::mem::take(sum) / slots;
            }
            for ((rate, n), neurons) in
                u.firing_rates.iter_mut().zip(&mut c.spikes).zip(spiking_layers(&self.layout))
            {
                *rate += std::mem::take(n) as f64 / (slots * neurons as f64);
            }
        }
        for ((u, l), [missed, returns]) in out.iter_mut().zip(&mut self.learners).zip(fits) {
            u.explained_variance = explained_variance(slots, missed, returns);
            let [pg, v, entropy, kl, clipped, na, nc, rate] =
                std::mem::take(&mut l.sums).map(|x| x / f64::from(steps));
            (u.policy_loss, u.value_loss, u.entropy, u.approx_kl, u.clip_fraction) =
                (pg, v, entropy, kl, clipped);
            (u.grad_norm_actor, u.grad_norm_critic) = (na, nc);
            [u.dead_neurons, u.saturated_neurons] = l.extremes;
            (u.rate_share, u.skipped_share) =
                (rate, f64::from(std::mem::take(&mut l.skipped)) / f64::from(steps));
        }
        Ok(read.then_some(out))
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
    use crate::config::SpikingConfig;
    use crate::learn::toy::Toy;
    use crate::nets::cpu::{Activations, carried_width, forward};
    use crate::nets::dense::{Strided, leading};
    use crate::nets::{Membrane, Readout};
    use std::sync::Arc;

    /// Chunks, parts and spans of which the last is short; two replicas.
    fn spec() -> PpoSpec {
        PpoSpec::mlp(&Toy::ppo(), Arc::new(Toy { seeds: vec![3, 9] }))
    }

    /// The same with spiking networks.
    fn spiking_spec(rate_penalty: f64) -> PpoSpec {
        PpoSpec::spiking(&Toy::ppo(), &Toy::spiking(rate_penalty), spec().env)
    }

    /// With potentials that are carried from slot to slot, and outputs that leak.
    fn carried_spec() -> PpoSpec {
        let spiking = SpikingConfig {
            membrane: Membrane::Carried,
            readout: Readout::Last,
            lambda: 0.2,
            ..Toy::spiking(0.1)
        };
        PpoSpec::spiking(&Toy::ppo(), &spiking, spec().env)
    }

    fn two_updates(spec: PpoSpec, threads: usize) -> (LearnerState, Vec<UpdateMetrics>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| {
            let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
            let mut metrics = Vec::new();
            for update in 0..2 {
                ppo.rollout(update).unwrap();
                ppo.advantages().unwrap();
                for epoch in 0..spec.ppo.epochs as u32 {
                    for mb in 0..spec.minibatches() as u32 {
                        ppo.minibatch(update, epoch, mb, &spec.learning_rates(update, 2)).unwrap();
                    }
                }
                metrics.extend(ppo.finish(true).unwrap().unwrap());
            }
            (ppo.state(2).unwrap(), metrics)
        })
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for spec in [spec(), spiking_spec(0.1), carried_spec()] {
            let one = two_updates(spec.clone(), 1);
            assert!(one.0.params.iter().all(|x| x.is_finite()));
            assert_eq!(one, two_updates(spec, 3));
        }
    }

    #[test]
    fn firing_rates_are_those_of_the_rollout_and_the_penalty_lowers_them() {
        let rates = |penalty| {
            let metrics = two_updates(spiking_spec(penalty), 2).1;
            assert_eq!(metrics.len(), 4, "two updates of two replicas");
            metrics.into_iter().map(|m| m.firing_rates).collect::<Vec<_>>()
        };
        let (free, charged) = (rates(0.0), rates(30.0));
        for (free, charged) in free.iter().zip(&charged) {
            assert_eq!(free.len(), 4, "two hidden layers of actor and critic");
            assert!(free.iter().chain(charged).all(|r| (0.0..=1.0).contains(r)), "{free:?} {charged:?}");
            assert!(free.iter().all(|r| *r > 0.01), "silent: {free:?}");
        }
        // The first rollout comes before any update.
        assert_eq!(free[..2], charged[..2]);
        for (free, charged) in free[2..].iter().zip(&charged[2..]) {
            let mean = |rates: &[f64]| rates.iter().sum::<f64>() / 4.0;
            assert!(mean(charged) < 0.97 * mean(free), "{charged:?} with a penalty, {free:?} without");
        }
        assert!(two_updates(spec(), 2).1.iter().all(|m| m.firing_rates.is_empty()));
    }

    #[test]
    fn a_spiking_run_continues_from_its_state() {
        for spec in [spiking_spec(0.1), carried_spec()] {
            continues_from_its_state(&spec);
        }
    }

    fn continues_from_its_state(spec: &PpoSpec) {
        let update = |ppo: &mut PpoCpu, u: u32| {
            ppo.rollout(u).unwrap();
            ppo.advantages().unwrap();
            for epoch in 0..spec.ppo.epochs as u32 {
                for mb in 0..spec.minibatches() as u32 {
                    ppo.minibatch(u, epoch, mb, &spec.learning_rates(u, 2)).unwrap();
                }
            }
            ppo.finish(true).unwrap();
        };
        let mut whole = PpoCpu::new(spec, &LearnerState::new(spec));
        update(&mut whole, 0);
        let mut resumed = PpoCpu::new(spec, &whole.state(1).unwrap());
        update(&mut whole, 1);
        update(&mut resumed, 1);
        assert_eq!(whole.state(2).unwrap(), resumed.state(2).unwrap());
    }

    /// Before any update, a minibatch's forward pass from the stored potentials gives the values of its rollout, bit
    /// for bit; episodes start at rest.
    #[test]
    fn a_minibatch_starts_from_the_potentials_before_its_slots() {
        let spec = carried_spec();
        let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
        for update in 0..2 {
            ppo.rollout(update).unwrap();
        }
        ppo.advantages().unwrap();
        let (m, layout) = (spec.ppo.minibatch, spec.layout());
        let shuffle = Shuffle::new(spec.env.key(1), 0, 0, spec.samples() as u32);
        let mut g = Gathered::new(m, 12, 6, widths(&layout));
        let chunks = &ppo.chunks[spec.ppo.envs.div_ceil(CHUNK)..];
        g.fill(&Sampler { shuffle: &shuffle, chunks, envs: spec.ppo.envs, first: m }, part_rows(m), true);
        let width = carried_width(&layout.critic);
        let mut acts = Activations::new(&layout.critic, m);
        acts.begin(&g.membrane[1]);
        let x = Strided { data: &g.x, row: leading(12), col: 1 };
        let critic = &ppo.learners[1].critic;
        forward(critic, m, x, &mut acts);
        let got: Vec<f32> = acts.output().chunks(leading(1)).map(|row| row[0]).collect();
        let want: Vec<f32> = g.scalars.iter().map(|s| s[3]).collect();
        assert_eq!(got, want);
        // From rest they would be others, but for the first slots of episodes.
        let at_rest = |i: usize| g.membrane[1][i * width..(i + 1) * width].iter().all(|v| *v == 0.0);
        acts.rest();
        forward(critic, m, x, &mut acts);
        let (mut first, mut differ) = (0, 0);
        for (i, (row, want)) in acts.output().chunks(leading(1)).zip(&want).enumerate() {
            let slot = shuffle.index((m + i) as u32) as usize / spec.ppo.envs;
            first += usize::from(slot == 0);
            assert_eq!(at_rest(i), slot == 0, "slot {slot}");
            // A network that has long been silent says 0 either way.
            let says = row[0] != 0.0 || *want != 0.0;
            differ += usize::from(row[0] != *want);
            assert_eq!(row[0] != *want, says && slot > 0, "slot {slot}");
        }
        assert!(first > 0 && differ > m / 2, "{first} samples of a first slot, {differ} from elsewhere");
        // The value behind the time limit starts where the last slot ended.
        let c = &chunks[0];
        let last = spec.ppo.horizon - 1;
        let x = Strided { data: &c.obs[last * c.envs * 12..(last + 1) * c.envs * 12], row: 12, col: 1 };
        let mut acts = Activations::forward_only(&layout.critic, c.envs);
        acts.begin(&c.membrane[1][last * c.envs * width..]);
        forward(critic, c.envs, x, &mut acts);
        acts.carry();
        forward(critic, c.envs, Strided { data: &c.final_obs, row: 12, col: 1 }, &mut acts);
        let got: Vec<f32> = acts.output().chunks(leading(1)).map(|row| row[0]).collect();
        assert_eq!(got, c.final_value[last * c.envs..]);
    }

    #[test]
    fn a_gathered_minibatch_is_the_shuffled_rollout() {
        let spec = spec();
        let mut ppo = PpoCpu::new(&spec, &LearnerState::new(&spec));
        ppo.rollout(0).unwrap();
        ppo.advantages().unwrap();
        let (m, envs) = (spec.ppo.minibatch, spec.ppo.envs);
        ppo.minibatch(0, 1, 4, &[[1e-4; 2]; 2]).unwrap();
        let per_replica = envs.div_ceil(CHUNK);
        for r in 0..2 {
            let shuffle = Shuffle::new(spec.env.key(r), 0, 1, spec.samples() as u32);
            let g = &ppo.gathered[r];
            let (mut sum, mut square) = (0.0, 0.0);
            for i in 0..m {
                let s = shuffle.index((4 * m + i) as u32) as usize;
                let (t, b) = (s / envs, s % envs);
                let c = &ppo.chunks[r * per_replica + b / CHUNK];
                let row = t * c.envs + b % CHUNK;
                assert_eq!(g.x[i * 16..i * 16 + 12], c.obs[row * 12..row * 12 + 12], "observation {i}");
                assert_eq!(g.action[i * 6..i * 6 + 6], c.action[row * 6..row * 6 + 6], "action {i}");
                let [logprob, adv, ret, value] = g.scalars[i];
                assert_eq!([logprob, value], [c.logprob[row], c.value[row]], "log-probability and value {i}");
                assert_eq!(ret, adv + value, "return {i}");
                sum += f64::from(adv);
                square += f64::from(adv) * f64::from(adv);
            }
            let mean = sum / m as f64;
            let std = ((square - sum * mean) / (m as f64 - 1.0)).sqrt();
            assert!(
                (f64::from(g.stats.0) - mean).abs() < 1e-6 * (1.0 + mean.abs()),
                "mean {} against {mean}",
                g.stats.0
            );
            assert!((f64::from(g.stats.1) * std - 1.0).abs() < 1e-5, "1/std {} against std {std}", g.stats.1);
        }
    }
}
