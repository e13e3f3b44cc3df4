//! The environments of the tasks keep the contract of `isacbench::env`, and their kernels are the same environments.

use crate::common::gpu_or_skip;
use isacbench::env::{At, Component, Env, EnvBuffers, EnvGpu, Metric, Sizes, StepSlices};
use isacbench::gpu::{Gpu, GpuError};
use isacbench::kernels::Tol;
use isacbench::kernels::inputs::{Sample, normal};
use isacbench::run::check::{Actions, on_cpu, on_gpu};
use isacbench::run::task::{Task, Unit};
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use std::sync::Arc;

/// Two replicas that differ in their seed and in their place on the swept axis, in short episodes.
fn two<C: Task>(sets: &[&str]) -> Arc<dyn Env> {
    let sets: Vec<String> = sets.iter().chain(&["task.slots=4"]).map(|s| s.to_string()).collect();
    let config = C::load(None, &sets).unwrap();
    let other = config.at(config.swept() - 7.0);
    config.env(&[Unit { config: &config, seed: 1 }, Unit { config: &other, seed: 2 }])
}

fn keeps_the_contract(env: &dyn Env, actions: Actions) {
    on_cpu(env, actions).unwrap_or_else(|e| panic!("{env:?}: {e}"));
    // On hardware a limit that is met or missed by a rounding changes a reward by all of it: the kernels' own
    // comparisons know of that.
    let Some(gpu) = gpu_or_skip().filter(|gpu| gpu.rounds_as_twins()) else { return };
    let tol =
        Tol { abs: 0.0, rel: 1e-6, why: "the adapter rounds as the twins do: every bit is compared beside" };
    let rows = on_gpu(env, gpu, 67, actions, tol).unwrap();
    // Flags, and five quantities by tolerance and by their bits.
    assert_eq!(rows.len(), 11);
    for c in rows {
        assert!(c.elements > 0 && c.passed(), "{env:?}, {}: {:?}", c.quantity, c.failures);
    }
}

#[test]
fn of_v2x() {
    for beam in ["angles", "tracking", "matrix", "zf"] {
        for kinematics in ["paper", "cartesian"] {
            let env = two::<V2xConfig>(&[
                &format!("task.beam={beam:?}"),
                &format!("task.kinematics={kinematics:?}"),
                "task.antennas_tx=8",
                // On a base, bits are not promised; `v2x_step` compares those matrices by tolerance.
                "task.matrix_base=none",
            ]);
            let width = env.sizes().action;
            keeps_the_contract(&*env, &|slot, n| normal(3, slot, n * width, 1.0));
        }
    }
}

#[test]
fn of_misac() {
    for sets in [&["task.paths=1"][..], &["task.paths=3", "task.uncertainty=\"kinematic\""]] {
        let env = two::<MisacConfig>(sets);
        let width = env.sizes().action;
        // A camera is on or off.
        let actions = |slot: u32, n: usize| {
            let mut sample = Sample::new(4, slot);
            (0..n * width).map(|_| f32::from(u8::from(sample.unit() < 0.4))).collect()
        };
        keeps_the_contract(&*env, &actions);
    }
}

/// An environment with one fault in its steps on the CPU.
#[derive(Debug)]
struct Faulty(Arc<dyn Env>, Fault);

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// What an environment sees depends on how many there are.
    Chunk,
    /// The state is not written.
    Unwritten,
    /// No flag tells the end of an episode.
    Endless,
    /// The next episode begins where the last one did.
    Stale,
    /// The reward is not the first row of the learning curve.
    Reward,
    /// An observation of no number.
    Bounds,
}

impl Env for Faulty {
    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }
    fn replicas(&self) -> usize {
        self.0.replicas()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        self.0.key(replica)
    }
    fn observation(&self) -> Vec<Component> {
        self.0.observation()
    }
    fn action(&self) -> Vec<Component> {
        self.0.action()
    }
    fn metrics(&self) -> Vec<Metric> {
        self.0.metrics()
    }
    fn curve(&self) -> &[usize] {
        self.0.curve()
    }
    fn reset(&self, at: &At, state: &mut [f32], obs: &mut [f32]) {
        self.0.reset(at, state, obs);
    }
    fn step(&self, at: &At, action: &[f32], state: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let StepSlices { final_obs, reward, flags, metrics, full } = out;
        let slices = StepSlices {
            final_obs: &mut *final_obs,
            reward: &mut *reward,
            flags: &mut *flags,
            metrics,
            full,
        };
        self.0.step(at, action, state, obs, slices);
        match self.1 {
            Fault::Chunk => obs[0] += at.envs as f32 / 64.0,
            Fault::Unwritten => state.fill(f32::NAN),
            Fault::Endless => flags.fill(0),
            Fault::Stale if flags[0] != 0 => self.0.reset(&At { clock: 0, ..*at }, state, obs),
            Fault::Stale => {}
            Fault::Reward => reward.iter_mut().for_each(|x| *x += 1.0),
            Fault::Bounds => obs.fill(f32::INFINITY),
        }
    }
    fn bind(&self, gpu: &Gpu, b: usize, buffers: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        self.0.bind(gpu, b, buffers)
    }
}

#[test]
fn every_fault_is_told() {
    let env = two::<MisacConfig>(&[]);
    let width = env.sizes().action;
    let actions = |_: u32, n: usize| vec![1.0; n * width];
    for (fault, told) in [
        (Fault::Chunk, "another one alone"),
        (Fault::Unwritten, "not finite"),
        (Fault::Endless, "flags 0"),
        (Fault::Stale, "not a fresh one"),
        (Fault::Reward, "not row"),
        (Fault::Bounds, "not finite"),
    ] {
        let faulty = Faulty(env.clone(), fault);
        let what = on_cpu(&faulty, &actions).expect_err("a fault");
        assert!(what.contains(told), "{fault:?}: {what}");
        let Some(gpu) = gpu_or_skip() else { continue };
        let tol = Tol { abs: 0.0, rel: 1e-3, why: "a fault is larger" };
        let rows = on_gpu(&faulty, gpu, 67, &actions, tol).unwrap();
        assert!(rows.iter().any(|c| !c.passed()), "{fault:?} is not seen on a GPU");
    }
}
