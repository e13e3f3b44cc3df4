//! A small environment with beams whose channel has a closed form in f64: what the learners of experts are tested in.

use super::ExpertsSpec;
use crate::config::{MonoPhases, PolicyGradient, SpatialConfig, TemporalConfig};
use crate::env::{
    At, BeamBuffers, BeamSamples, BeamSize, Beams, BeamsGpu, Component, Env, EnvBuffers, EnvGpu, Metric,
    Sizes, StepSlices, TRUNCATED,
};
use crate::gpu::{Gpu, GpuError};
use crate::nets::experts::{Architecture, Phase};
use crate::num::philox::{Stream, draw};
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Vehicles and antennas.
pub const K: usize = 3;
pub const M: usize = 5;
/// Largest age.
const MOST: f32 = 10.0;

/// Vehicles whose directions drift, and whose ages cost until they are looked at. State rows: K cosines, K ages.
#[derive(Clone, Debug)]
pub struct Toy {
    pub slots: usize,
    pub keys: Vec<[u32; 2]>,
    /// What a slot of age costs, of each replica.
    pub price: Vec<f32>,
}

/// Sizes, chunks, parts, blocks and lanes of which the last is short; two replicas that differ.
pub fn spec(
    architecture: Architecture,
    slots: usize,
    change: impl FnOnce(&mut TemporalConfig, &mut SpatialConfig),
) -> ExpertsSpec {
    let mut temporal = TemporalConfig {
        algorithm: PolicyGradient::Ppo,
        hidden: 10,
        trunk: vec![12, 9],
        critic: vec![11],
        envs: 70,
        epochs: 2,
        minibatch_envs: 35,
        gamma: 0.97,
        gae_lambda: 0.95,
        clip: 0.2,
        trust_region: true,
        target_kl: 0.01,
        kl_skip_ratio: 10.0,
        lr_policy: 5e-3,
        lr_critic: 1e-3,
        lr_final_share: 0.1,
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_eps: 1e-5,
        max_grad_norm: 0.5,
        entropy_coef: 0.0,
        normalise_advantages: true,
        reward_scale: 0.5,
        head_gain: 1.0,
        t_seq: 0,
        mono_phases: MonoPhases::LSpat,
        log_std_init: -0.5,
    };
    let mut spatial = SpatialConfig {
        phase: Phase::Residual,
        hidden: vec![13],
        loss_weight: 1.0,
        lr: 1e-3,
        max_grad_norm: 0.5,
        stride: 4,
        output_gain: 1.0,
    };
    change(&mut temporal, &mut spatial);
    let toy = Toy { slots, keys: vec![[3, 0], [9, 0]], price: vec![0.1, 0.4] };
    ExpertsSpec::new(architecture, Arc::new(toy), &temporal, &spatial)
}

impl Toy {
    /// The replica `r` of it, alone.
    pub fn alone(&self, r: usize) -> Toy {
        Toy { slots: self.slots, keys: vec![self.keys[r]], price: vec![self.price[r]] }
    }

    fn put_obs(envs: usize, state: &[f32], obs: &mut [f32]) {
        for (e, row) in obs.chunks_exact_mut(3 * K).enumerate() {
            for i in 0..K {
                let (cos, age) = (state[i * envs + e], state[(K + i) * envs + e]);
                // The older, the less is known of the direction.
                row[i] = cos - 0.01 * age;
                row[K + i] = cos * cos;
                row[2 * K + i] = age / MOST;
            }
        }
    }

    /// Antennas of vehicle `i`'s channel, conj(h_q): a wave from its direction and one that is drawn anew in every
    /// slot.
    fn channel(&self, replica: usize, [cos, age]: [f32; 2], i: usize, env: u32, clock: u32) -> [[f64; 2]; M] {
        let word = draw(self.keys[replica], Stream::Explore, env, clock, i as u32)[0];
        let turn = TAU * f64::from(word) / 4294967296.0;
        std::array::from_fn(|q| {
            let (sin, direct) = (PI * q as f64 * f64::from(cos)).sin_cos();
            let (other_sin, other) = (turn + 0.7 * q as f64).sin_cos();
            let share = 0.3 + 0.02 * f64::from(age);
            [direct + share * other, sin + share * other_sin]
        })
    }

    /// |h^H v|²/M of one vehicle, [cosine, age], with the phases `phi`.
    pub fn gain(
        &self,
        replica: usize,
        vehicle: [f32; 2],
        i: usize,
        env: u32,
        clock: u32,
        phi: &[f64; M],
    ) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for ([a, b], phi) in self.channel(replica, vehicle, i, env, clock).into_iter().zip(phi) {
            let (sin, cos) = phi.sin_cos();
            re += a * cos - b * sin;
            im += a * sin + b * cos;
        }
        (re * re + im * im) / (M * M) as f64
    }
}

impl Env for Toy {
    fn sizes(&self) -> Sizes {
        Sizes { obs: 3 * K, action: K, state: 2 * K, slots: self.slots, metrics: 2 }
    }
    fn replicas(&self) -> usize {
        self.keys.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.keys[replica]
    }
    fn observation(&self) -> Vec<Component> {
        (0..3 * K).map(|i| Component::free(format!("x{i}"), "")).collect()
    }
    fn action(&self) -> Vec<Component> {
        (0..K).map(|i| Component { name: format!("look{i}"), unit: "", low: 0.0, high: 1.0 }).collect()
    }
    fn metrics(&self) -> Vec<Metric> {
        let row = |name: &str, about| Metric { name: name.into(), about };
        vec![row("looks", "vehicles that are looked at"), row("reward", "less what ages and looks cost")]
    }
    fn curve(&self) -> &[usize] {
        &[1, 0]
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        for e in 0..at.envs {
            let words = draw(at.key, Stream::Reset, at.first + e as u32, at.clock, 0);
            for i in 0..K {
                state[i * at.envs + e] = (f64::from(words[i]) / 4294967296.0) as f32 * 1.6 - 0.8;
                state[(K + i) * at.envs + e] = 0.0;
            }
        }
        Toy::put_obs(at.envs, state, obs);
    }

    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let n = at.envs;
        let ends = (at.clock as usize + 1).is_multiple_of(self.slots);
        let metrics = out.metrics.expect("the learner asks for them");
        for e in 0..n {
            let pi = &action[e * K..][..K];
            let looks: f32 = pi.iter().sum();
            let ages: f32 = (0..K).map(|i| state[(K + i) * n + e]).sum();
            out.reward[e] = -0.4 * looks - self.price[at.replica] * ages;
            out.flags[e] = if ends { TRUNCATED } else { 0 };
            (metrics[e], metrics[n + e]) = (looks, out.reward[e]);
            for (i, pi) in pi.iter().enumerate() {
                let age = &mut state[(K + i) * n + e];
                *age = if *pi > 0.5 { 0.0 } else { (*age + 1.0).min(MOST) };
                state[i * n + e] *= 0.99;
            }
        }
        if ends {
            Toy::put_obs(n, state, out.final_obs);
            self.reset(&At { clock: at.clock + 1, ..*at }, state, obs);
        } else {
            Toy::put_obs(n, state, obs);
        }
    }

    fn bind(&self, gpu: &Gpu, _: usize, _: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        Err(no_kernels(gpu))
    }
    fn beams(&self) -> Option<&dyn Beams> {
        Some(self)
    }
}

impl Beams for Toy {
    fn shape(&self) -> [usize; 2] {
        [K, M]
    }

    fn loss(&self, replica: usize, s: BeamSamples) -> f64 {
        let stride = s.ids.len();
        let mut sum = 0.0;
        for n in 0..s.n {
            for i in 0..K {
                let vehicle = [s.state[i * stride + n], s.state[(K + i) * stride + n]];
                let steer = s.steer.map_or(0.0, |(cos, ld)| -PI * f64::from(cos[n * ld + i]));
                let at = n * s.ld + i * M;
                let phi: [f64; M] = std::array::from_fn(|q| f64::from(s.out[at + q]) + q as f64 * steer);
                sum += self.gain(replica, vehicle, i, s.ids[n], s.clock, &phi);
                let h = self.channel(replica, vehicle, i, s.ids[n], s.clock);
                let terms: [[f64; 2]; M] = std::array::from_fn(|q| {
                    let ([a, b], (sin, cos)) = (h[q], phi[q].sin_cos());
                    [a * cos - b * sin, a * sin + b * cos]
                });
                let [re, im] = [0, 1].map(|part| terms.iter().map(|t| t[part]).sum::<f64>());
                for (q, [a, b]) in terms.into_iter().enumerate() {
                    let slope = 2.0 * (im * a - re * b) / (M * M) as f64;
                    s.d_out[at + q] = (-f64::from(s.weight) * slope) as f32;
                }
            }
        }
        sum
    }

    fn bind(&self, gpu: &Gpu, _: BeamSize, _: &BeamBuffers) -> Result<Box<dyn BeamsGpu>, GpuError> {
        Err(no_kernels(gpu))
    }
}

fn no_kernels(gpu: &Gpu) -> GpuError {
    GpuError::Unsupported { adapter: gpu.info.name.clone(), what: "an environment without kernels".into() }
}
