//! Task misac for clients outside of this program: actions are whole numbers again, whatever a client's policy puts
//! out, and may hold the phases of the beams, which learners set beside their decisions.

use super::env::MisacEnv;
use super::judge::{Judge, REACHED};
use super::physics::metric;
use crate::env::{At, Component, Env, EnvBuffers, EnvGpu, Metric, Sizes, StepSlices};
use crate::gpu::{Gpu, GpuError};
use crate::num::real::run_lanes;

/// The environment, a camera on where its number is at least ½.
#[derive(Clone, Debug)]
pub struct Outside {
    pub env: MisacEnv,
    /// Whether an action also has the K·M phases Φ of (10), rad, vehicle by vehicle, and the metrics what beams with
    /// them reach. Without, no beam is formed.
    pub phases: bool,
}

/// Metrics of the beams of a slot: names and meanings.
const BEAMS: [(&str, &str); 6] = [
    ("beam_gain_share", "sum over vehicles of |h^H v|^2 of the action's beams over that of matched phases"),
    ("estimate_gain_share", "the same of beams that steer at the estimated angle"),
    ("true_angle_gain_share", "the same of beams that steer at the true angle"),
    ("sum_rate_bps_hz", "sum over vehicles of log2(1 + SINR) of (1)"),
    ("modulus_error", "largest | |v_m| - 1/sqrt(M) | (9b) of any beam"),
    ("power_share", "transmitted power over P_max (9c)"),
];

impl Outside {
    fn phase_count(&self) -> usize {
        if self.phases { self.env.spec.vehicles * self.env.spec.antennas } else { 0 }
    }
}

/// The cameras `[envs, K]` and the phases `[envs, K·M]` of actions `[envs, K + K·M]`.
pub(super) fn split(action: &[f32], k: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut cameras, mut phases) = (Vec::new(), Vec::new());
    for row in action.chunks_exact(width) {
        cameras.extend(row[..k].iter().map(|x| f32::from(u8::from(*x >= 0.5))));
        phases.extend(&row[k..]);
    }
    (cameras, phases)
}

impl Env for Outside {
    fn sizes(&self) -> Sizes {
        let sizes = self.env.sizes();
        let more = if self.phases { BEAMS.len() } else { 0 };
        Sizes { action: sizes.action + self.phase_count(), metrics: sizes.metrics + more, ..sizes }
    }
    fn replicas(&self) -> usize {
        self.env.replicas()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.env.key(replica)
    }
    fn observation(&self) -> Vec<Component> {
        self.env.observation()
    }
    fn action(&self) -> Vec<Component> {
        let m = self.env.spec.antennas;
        let phase = |i: usize| Component {
            low: -std::f32::consts::PI,
            high: std::f32::consts::PI,
            ..Component::free(format!("phase_{}_{}", 1 + i / m, i % m), "rad")
        };
        self.env.action().into_iter().chain((0..self.phase_count()).map(phase)).collect()
    }
    fn metrics(&self) -> Vec<Metric> {
        let beams = BEAMS.iter().filter(|_| self.phases);
        let beams = beams.map(|(name, about)| Metric { name: (*name).into(), about });
        self.env.metrics().into_iter().chain(beams).collect()
    }
    fn curve(&self) -> &[usize] {
        self.env.curve()
    }

    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        self.env.reset(at, state, obs);
    }
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let (cameras, phases) = split(action, self.env.spec.vehicles, self.sizes().action);
        let StepSlices { final_obs, reward, flags, metrics, full } = out;
        let (own, beams) = match metrics {
            Some(all) => {
                let (own, beams) = all.split_at_mut(metric::ROWS * at.envs);
                (Some(own), Some(beams))
            }
            None => (None, None),
        };
        if let Some(beams) = beams.filter(|b| full && !b.is_empty()) {
            // Of the state before the step, in which the slot's beams are formed.
            let mut reached = vec![0.0; REACHED * at.envs];
            let params = &self.env.params_at(at);
            let (task, state, phases) = (&self.env.spec, &*state, Some(&phases[..]));
            let &At { envs, first, clock, .. } = at;
            run_lanes(Judge { task, params, envs, first, clock, state, phases, out: &mut reached });
            for env in 0..envs {
                let row = |n: usize| reached[n * envs + env];
                let [own, matched, estimate, truth] = std::array::from_fn(row);
                let shares = [own / matched, estimate / matched, truth / matched, row(4), row(5), row(6)];
                for (n, x) in shares.into_iter().enumerate() {
                    beams[n * envs + env] = x;
                }
            }
        }
        self.env.step(at, &cameras, state, obs, StepSlices { final_obs, reward, flags, metrics: own, full });
    }

    /// Whole numbers are made of actions on the CPU only.
    fn bind(&self, gpu: &Gpu, b: usize, buffers: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        assert!(!self.phases, "actions with phases are for the CPU");
        self.env.bind(gpu, b, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::env::Slot;
    use crate::tasks::misac::config::MisacConfig;
    use std::f64::consts::PI;

    /// Beams whose phases steer at the estimate reach what the metrics say of such beams, cameras are rounded, and all
    /// else is as without phases.
    #[test]
    fn phases_are_judged_and_change_nothing_else() {
        let sets = ["task.vehicles=2", "task.antennas=8", "task.slots=9"].map(String::from);
        let env = MisacConfig::load(None, &sets).expect("valid").typed_env(&[(10.0, 5)]);
        let whole = Outside { env: env.clone(), phases: true };
        let (small, large, envs) = (env.sizes(), whole.sizes(), 5);
        assert_eq!((large.action, large.metrics), (2 + 16, small.metrics + BEAMS.len()));
        assert_eq!((whole.action().len(), whole.metrics().len()), (large.action, large.metrics));
        let before = |s: Sizes| {
            Slot::filled(vec![0.0; s.state * envs], [envs * s.obs, envs * s.obs, envs, s.metrics * envs], 0.0)
        };
        let (mut a, mut b) = (before(small), before(large));
        let mut at = At { replica: 0, key: [5, 0], first: 3, envs, clock: 0 };
        env.reset(&at, &mut a.state, &mut a.obs);
        whole.reset(&at, &mut b.state, &mut b.obs);
        for clock in 0..9 {
            at.clock = clock;
            let on = |e: usize, k: usize| (e + k + clock as usize).is_multiple_of(3);
            let cameras: Vec<f32> = (0..envs * 2).map(|i| f32::from(u8::from(on(i / 2, i % 2)))).collect();
            let mut action = Vec::new();
            for e in 0..envs {
                // A policy's numbers are anywhere.
                action.extend((0..2).map(|k| if on(e, k) { 0.75 } else { 0.25 }));
                for k in 0..2 {
                    let cosine = f64::from(b.obs[e * small.obs + k]);
                    action.extend((0..8).map(|m| (-PI * f64::from(m) * cosine) as f32));
                }
            }
            a.step(&env, &at, &cameras, true);
            b.step(&whole, &at, &action, true);
            assert_eq!((&a.state, &a.obs, &a.reward), (&b.state, &b.obs, &b.reward), "slot {clock}");
            assert_eq!(a.metrics, b.metrics[..a.metrics.len()]);
            let beams = &b.metrics[a.metrics.len()..];
            for e in 0..envs {
                let row = |n: usize| f64::from(beams[n * envs + e]);
                assert!((row(0) - row(1)).abs() < 1e-4, "slot {clock}: {} {}", row(0), row(1));
                assert!(row(0) <= 1.0 + 1e-5 && row(3) > 0.0 && row(4) < 1e-6 && (row(5) - 1.0).abs() < 1e-5);
            }
        }
    }
}
