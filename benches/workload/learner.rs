//! Learners of both tasks with the settings of the JAX peers: task v2x, preset `fast` (K = 3, 32 antennas, 100 slots),
//! 4 epochs of 16 minibatches; task misac, preset `paper` (K = 4, 64 antennas, 200 slots, phases 128-128, critic
//! 64-64), one gradient step per update over all slots.

use isacbench::bench::work::Flops;
use isacbench::config::Layered;
use isacbench::gpu::{Gpu, GpuError};
use isacbench::learn::experts_cpu::ExpertsPpoCpu;
use isacbench::learn::experts_gpu::ExpertsPpoGpu;
use isacbench::learn::ppo_cpu::PpoCpu;
use isacbench::learn::ppo_gpu::{PpoGpu, RolloutPath};
use isacbench::learn::{Algorithm, Experts, ExpertsSpec, LearnerState, Ppo, PpoSpec};
use isacbench::nets::experts::Architecture;
use isacbench::run::task::Task;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::agents::V2xAgent;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::{misac, v2x};
use std::sync::Arc;

/// Minibatches of an epoch of PPO.
const MINIBATCHES: usize = 16;

/// Replicas, environments of each, width of the hidden layers or of the LSTM.
#[derive(Clone, Copy)]
pub struct Size {
    pub r: usize,
    pub b: usize,
    pub h: usize,
}

/// What is learned by which rule.
#[derive(Clone, Copy)]
pub enum Who {
    /// Agent `ppo` or `spiking-ac`.
    V2x(&'static str),
    Misac(Architecture),
}

/// The peer's configuration of task v2x with `envs` environments and layers of `hidden`.
pub fn v2x_config(envs: usize, hidden: usize) -> V2xConfig {
    let load =
        |sets: &[String]| V2xConfig::load(None, sets).expect("the built-in preset with other sizes is valid");
    let horizon = load(&[]).ppo.horizon;
    load(&[
        format!("ppo.envs={envs}"),
        format!("ppo.minibatch={}", envs * horizon / MINIBATCHES),
        format!("ppo.hidden=[{hidden}, {hidden}]"),
        "spiking.hidden=[]".into(),
        "ppo.epochs=4".into(),
    ])
}

/// The agent of task v2x that is called `id`.
pub fn v2x_agent(id: &str) -> &'static V2xAgent {
    V2xConfig::agent(id).expect("one of the task's agents")
}

/// Of an agent of task v2x.
pub fn ppo_spec(agent: &str, size: Size) -> PpoSpec {
    let config = v2x_config(size.b, size.h);
    let replicas: Vec<_> = (0..size.r as u32).map(|seed| (config.task.p_max_dbm, seed)).collect();
    let Some(Algorithm::Ppo(spec)) = config.algorithm_at(v2x_agent(agent), &replicas) else {
        panic!("agent '{agent}' does not learn by PPO")
    };
    spec
}

/// The peer's configuration of task misac.
fn misac_config(size: Size) -> MisacConfig {
    let sets = [
        "preset=paper".into(),
        format!("temporal.envs={}", size.b),
        "temporal.minibatch_envs=1".into(),
        format!("temporal.hidden={}", size.h),
    ];
    MisacConfig::load(None, &sets).expect("the built-in preset with other sizes is valid")
}

/// Of an agent of task misac.
pub fn experts_spec(architecture: Architecture, size: Size) -> ExpertsSpec {
    let config = misac_config(size);
    let replicas: Vec<_> = (0..size.r as u32).map(|seed| (config.task.snr_db, seed)).collect();
    config.learner(architecture, config.typed_env(&replicas))
}

enum Rule {
    Ppo(Box<dyn Ppo>, Box<PpoSpec>),
    Experts(Box<dyn Experts>, Box<ExpertsSpec>),
}

/// A learner on the CPU backend or on an adapter.
pub struct Learner {
    rule: Rule,
    gpu: Option<Arc<Gpu>>,
    update: u32,
}

impl Learner {
    pub fn new(who: Who, size: Size, gpu: Option<&Arc<Gpu>>) -> Result<Learner, GpuError> {
        Learner::with_path(who, size, gpu, None)
    }

    /// The same; on an adapter, rollouts of task v2x go `path`, if one is given.
    pub fn with_path(
        who: Who,
        size: Size,
        gpu: Option<&Arc<Gpu>>,
        path: Option<RolloutPath>,
    ) -> Result<Learner, GpuError> {
        let rule = match who {
            Who::V2x(id) => {
                let spec = ppo_spec(id, size);
                let start = LearnerState::new(&spec);
                let learner: Box<dyn Ppo> = match gpu {
                    Some(gpu) => {
                        let path = path.unwrap_or_else(|| RolloutPath::choose(gpu, &spec));
                        Box::new(PpoGpu::with_path(gpu.clone(), &spec, &start, path)?)
                    }
                    None => Box::new(PpoCpu::new(&spec, &start)),
                };
                Rule::Ppo(learner, Box::new(spec))
            }
            Who::Misac(architecture) => {
                let spec = experts_spec(architecture, size);
                let start = spec.start();
                let learner: Box<dyn Experts> = match gpu {
                    Some(gpu) => Box::new(ExpertsPpoGpu::new(gpu.clone(), &spec, &start)?),
                    None => Box::new(ExpertsPpoCpu::new(&spec, &start)),
                };
                Rule::Experts(learner, Box::new(spec))
            }
        };
        Ok(Learner { rule, gpu: gpu.cloned(), update: 0 })
    }

    /// Environment steps of one rollout of all replicas.
    pub fn steps(&self) -> usize {
        match &self.rule {
            Rule::Ppo(_, spec) => spec.env.replicas() * spec.samples(),
            Rule::Experts(_, spec) => spec.replicas() * spec.samples(),
        }
    }

    /// Policy and physics through the horizon.
    pub fn rollout(&mut self) -> Result<(), GpuError> {
        match &mut self.rule {
            Rule::Ppo(l, _) => l.rollout(self.update),
            Rule::Experts(l, _) => l.rollout(self.update),
        }
    }

    pub fn advantages(&mut self) -> Result<(), GpuError> {
        match &mut self.rule {
            Rule::Ppo(l, _) => l.advantages(),
            Rule::Experts(l, _) => l.advantages(),
        }
    }

    /// All minibatches of all epochs, and L_spat where the phases have a network of their own.
    pub fn minibatches(&mut self) -> Result<(), GpuError> {
        let update = self.update;
        match &mut self.rule {
            Rule::Ppo(l, spec) => {
                let lr = spec.learning_rates(update, u32::MAX);
                for epoch in 0..spec.ppo.epochs as u32 {
                    for mb in 0..spec.minibatches() as u32 {
                        l.minibatch(update, epoch, mb, &lr)?;
                    }
                }
            }
            Rule::Experts(l, spec) => {
                let lr = spec.learning_rates(update, u32::MAX);
                for epoch in 0..spec.epochs() as u32 {
                    for mb in 0..spec.minibatches() as u32 {
                        l.minibatch(update, epoch, mb, &lr)?;
                    }
                }
                if spec.layout.isolated() {
                    l.spatial(update, &lr)?;
                }
            }
        }
        Ok(())
    }

    /// Closes the update: its means are read back.
    pub fn readback(&mut self) -> Result<(), GpuError> {
        match &mut self.rule {
            Rule::Ppo(l, _) => drop(l.finish(true)?),
            Rule::Experts(l, _) => drop(l.finish(true)?),
        }
        self.update += 1;
        Ok(())
    }

    /// Rollout, advantages, minibatches, metrics.
    pub fn update(&mut self) -> Result<(), GpuError> {
        self.rollout()?;
        self.advantages()?;
        self.minibatches()?;
        self.readback()
    }

    /// Until the device has done what was submitted.
    pub fn wait(&self) -> Result<(), GpuError> {
        match &self.gpu {
            Some(gpu) => gpu.wait(gpu.queue.submit([])),
            None => Ok(()),
        }
    }
}

/// FLOPs of an update.
pub fn flops(who: Who, size: Size) -> Flops {
    match who {
        Who::V2x(id) => v2x::bench::flops(&ppo_spec(id, size), v2x_config(size.b, size.h).task.spec()),
        Who::Misac(architecture) => {
            misac::bench::flops(&experts_spec(architecture, size), misac_config(size).task.spec())
        }
    }
}

/// Environment steps of a rollout of all replicas.
pub fn steps(who: Who, size: Size) -> usize {
    size.r
        * match who {
            Who::V2x(id) => ppo_spec(id, size).samples(),
            Who::Misac(architecture) => experts_spec(architecture, size).samples(),
        }
}
