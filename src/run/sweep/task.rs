//! What a sweep asks of a task: which replicas can share a batch, and how a batch is made and evaluated.

use crate::gpu::Gpu;
use crate::learn::{Algorithm, ExpertsSpec, Replica};
use crate::run::checkpoint::Checkpoint;
use crate::run::reproduce::{Job, JobError, Watch};
use crate::tasks::misac::agents as misac_agents;
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::v2x::agents;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::evaluate::Outcome;
use crate::tasks::v2x::physics::metric;

/// One replica of a batch: a point's configuration with one of the sweep's seeds.
#[derive(Debug)]
pub struct Unit<'a, C> {
    pub config: &'a C,
    pub seed: u32,
}

impl<C> Clone for Unit<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Unit<'_, C> {}

/// One metric of one replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Name, with its unit as a suffix where it has one.
    pub metric: String,
    /// Episodes behind `mean`.
    pub episodes: u64,
    pub mean: f64,
    /// Standard error of `mean` over episodes; NaN where there is none.
    pub std_error: f64,
}

/// A task that can be swept.
pub trait Swept: Job {
    /// What a report looks at where no metric is named.
    const METRIC: &'static str;

    /// Ids of all agents, in the order of the tables.
    fn agents() -> Vec<&'static str>;
    /// Whether an agent has weights.
    fn learns(agent: &str) -> bool;
    /// Where on the task's own axis this configuration lies ([`Trainable::SWEPT`](crate::run::checkpoint::Trainable::SWEPT)).
    fn swept(&self) -> f64;
    /// What replicas of `agent` must have in common to share a batch, as text: sizes, the learner's settings and the evaluation's. What is left
    /// are the task parameters, which every replica has for itself.
    fn shape(&self, agent: &str) -> String;
    /// The sizes of the weights and of the task in them, as text: a checkpoint serves configurations in which they are equal.
    fn sizes(&self, agent: &str) -> String;
    /// What trains `agent` in these replicas, whose shapes are equal; `None` if it does not learn.
    fn batch(agent: &str, units: &[Unit<Self>]) -> Option<Self::Algorithm>;
    /// Updates before the one whose time is that of all later ones.
    fn warm_up(algorithm: &Self::Algorithm) -> u32;
    /// This configuration with another number of episodes.
    fn with_episodes(&self, episodes: u64) -> Self;
    fn episodes(&self) -> u64;
    /// Environment steps of an evaluated episode.
    fn slots(&self) -> usize;
    /// Updates between two saved states.
    fn checkpoint_every(&self) -> u32;
    /// Evaluates `agent` in these replicas, whose shapes are equal; `weights` are a learned one's, a replica each.
    fn evaluate(
        agent: &str,
        units: &[Unit<Self>],
        weights: Option<&Checkpoint<Self>>,
        gpu: Option<&Gpu>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Measured>>, JobError>;
}

impl Swept for V2xConfig {
    const METRIC: &'static str = "sum_rate_bps_hz";

    fn agents() -> Vec<&'static str> {
        agents::AGENTS.iter().map(|a| a.id).collect()
    }
    fn learns(agent: &str) -> bool {
        agents::find(agent).is_some_and(|a| a.is_learned())
    }
    fn swept(&self) -> f64 {
        self.task.p_max_dbm
    }
    fn shape(&self, agent: &str) -> String {
        // The debug form of a number is read back as the same number, so equal texts are equal settings.
        let learner = agents::find(agent).and_then(|a| a.algorithm(self, Vec::new()));
        let learner = learner.map_or(String::new(), |l| format!("{l:?} {}", self.train.updates));
        format!(
            "{agent} {learner} {:?} {} {}",
            self.task.spec(),
            self.evaluate.episodes,
            self.evaluate.greedy
        )
    }
    fn sizes(&self, agent: &str) -> String {
        let of = |a: Algorithm| format!("{:?} {:?}", a.task(), a.policy());
        agents::find(agent).and_then(|a| a.algorithm(self, Vec::new())).map_or(String::new(), of)
    }
    fn batch(agent: &str, units: &[Unit<Self>]) -> Option<Algorithm> {
        let replica = |u: &Unit<Self>| Replica { seed: u.seed, task: u.config.task.params([u.seed, 0]) };
        agents::find(agent)?.algorithm(units.first()?.config, units.iter().map(replica).collect())
    }
    fn warm_up(algorithm: &Algorithm) -> u32 {
        match algorithm {
            Algorithm::Ppo(_) => 1,
            // A replay is filled before there is anything to learn from.
            Algorithm::OffPolicy(s) => s.common.learning_starts.div_ceil(s.samples()).clamp(1, 20) as u32,
        }
    }
    fn with_episodes(&self, episodes: u64) -> Self {
        let mut c = self.clone();
        c.evaluate.episodes = episodes;
        c
    }
    fn episodes(&self) -> u64 {
        self.evaluate.episodes
    }
    fn slots(&self) -> usize {
        self.task.slots
    }
    fn checkpoint_every(&self) -> u32 {
        self.reproduce.checkpoint_every
    }
    fn evaluate(
        agent: &str,
        units: &[Unit<Self>],
        weights: Option<&Checkpoint<Self>>,
        gpu: Option<&Gpu>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Measured>>, JobError> {
        let (Some(agent), Some(first)) = (agents::find(agent), units.first()) else { return Ok(Vec::new()) };
        let params: Vec<_> = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        let weights = weights.map(crate::tasks::v2x::reproduce::Weights::from);
        let outcomes =
            crate::tasks::v2x::reproduce::outcomes(agent, first.config, &params, weights, gpu, watch)?;
        let vehicles = first.config.task.vehicles;
        Ok(outcomes.iter().map(|o| v2x_metrics(agent.is_bound(), vehicles, o)).collect())
    }
}

/// The bound is a number of every slot and no agent's doing: it stands for itself only.
fn v2x_metrics(bound: bool, vehicles: usize, o: &Outcome) -> Vec<Measured> {
    let measured = |metric: String, e: &crate::run::evaluate::Estimate| Measured {
        metric,
        episodes: o.episodes,
        mean: e.mean,
        std_error: e.std_error,
    };
    if bound {
        return vec![measured(metric::NAMES[metric::SUM_RATE].into(), &o.metrics[metric::UPPER_BOUND])];
    }
    let names = Outcome::names(vehicles).into_iter().zip(&o.metrics).enumerate();
    names.filter(|(i, _)| *i != metric::UPPER_BOUND).map(|(_, (n, e))| measured(n, e)).collect()
}

impl Swept for MisacConfig {
    const METRIC: &'static str = "energy_j";

    fn agents() -> Vec<&'static str> {
        misac_agents::AGENTS.iter().map(|a| a.id).collect()
    }
    fn learns(agent: &str) -> bool {
        misac_agents::find(agent).is_some_and(|a| a.architecture().is_some())
    }
    fn swept(&self) -> f64 {
        self.task.snr_db
    }
    fn shape(&self, agent: &str) -> String {
        let architecture = misac_agents::find(agent).and_then(|a| a.architecture());
        let learner = architecture.map_or(String::new(), |a| {
            format!("{:?} {}", ExpertsSpec::new(a, self, Vec::new()), self.train.updates)
        });
        let e = &self.evaluate;
        format!("{agent} {learner} {:?} {} {} {}", self.task.spec(), e.episodes, e.greedy, e.gain_stride)
    }
    fn sizes(&self, agent: &str) -> String {
        let architecture = misac_agents::find(agent).and_then(|a| a.architecture());
        architecture.map_or(String::new(), |a| {
            let s = ExpertsSpec::new(a, self, Vec::new());
            format!("{:?} {:?}", s.task, s.layout)
        })
    }
    fn batch(agent: &str, units: &[Unit<Self>]) -> Option<ExpertsSpec> {
        let architecture = misac_agents::find(agent)?.architecture()?;
        let replica = |u: &Unit<Self>| Replica { seed: u.seed, task: u.config.task.params([u.seed, 0]) };
        Some(ExpertsSpec::new(architecture, units.first()?.config, units.iter().map(replica).collect()))
    }
    fn warm_up(_: &ExpertsSpec) -> u32 {
        1
    }
    fn with_episodes(&self, episodes: u64) -> Self {
        let mut c = self.clone();
        c.evaluate.episodes = episodes;
        c
    }
    fn episodes(&self) -> u64 {
        self.evaluate.episodes
    }
    fn slots(&self) -> usize {
        self.task.slots
    }
    fn checkpoint_every(&self) -> u32 {
        self.reproduce.checkpoint_every
    }
    fn evaluate(
        agent: &str,
        units: &[Unit<Self>],
        weights: Option<&Checkpoint<Self>>,
        gpu: Option<&Gpu>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Measured>>, JobError> {
        let (Some(agent), Some(first)) = (misac_agents::find(agent), units.first()) else {
            return Ok(Vec::new());
        };
        let params: Vec<_> = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        let all =
            crate::tasks::misac::reproduce::outcomes(agent, first.config, &params, weights, gpu, watch)?;
        let metrics = |e: &crate::tasks::misac::reproduce::Evaluated| {
            let row = |(name, x): (&'static str, crate::run::evaluate::Estimate)| Measured {
                metric: name.into(),
                episodes: e.outcome.episodes,
                mean: x.mean,
                std_error: x.std_error,
            };
            e.metrics().into_iter().map(row).collect()
        };
        Ok(all.iter().map(metrics).collect())
    }
}
