//! What a sweep asks of a task: which replicas can share a batch, and what is kept of an evaluation.

use crate::gpu::Gpu;
use crate::run::errors::JobError;
use crate::run::evaluate::Estimate;
use crate::run::task::{Agent, Task, Unit, Weights};
use crate::run::watch::Watch;

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

/// The agent of a point: plans hold none that their task has not.
pub fn agent<C: Task>(id: &str) -> &'static Agent<C> {
    C::agent(id).expect("a plan holds agents of its task")
}

/// What replicas of `agent` must have in common to share a batch, as text: sizes, the learner's structure and the
/// evaluation's settings. What is left are the task parameters and the learner's numbers, which every replica has for
/// itself.
pub fn shape<C: Task>(config: &C, agent: &Agent<C>) -> String {
    // Without units no parameter is among them.
    let learner = config.algorithm(agent, &[]);
    let learner =
        learner.map_or(String::new(), |l| format!("{} {}", l.structure(), config.common().train.updates));
    format!("{} {learner} {:?} {}", agent.id, config.env(&[]), config.evaluation_text())
}

/// Evaluates `agent` in these replicas, whose shapes are equal; `weights` are a learned one's, a replica each.
pub fn evaluate<C: Task>(
    agent: &Agent<C>,
    units: &[Unit<C>],
    weights: Option<Weights>,
    gpu: Option<&Gpu>,
    watch: &dyn Watch,
) -> Result<Vec<Vec<Measured>>, JobError> {
    let all = C::evaluate(agent, units, weights, gpu, watch)?;
    let of = |(metric, e): &(String, Estimate), episodes| Measured {
        metric: metric.clone(),
        episodes,
        mean: e.mean,
        std_error: e.std_error,
    };
    let kept = |m: &&(String, Estimate)| C::shown(&m.0).in_rows;
    Ok(all.iter().map(|e| e.metrics.iter().filter(kept).map(|m| of(m, e.episodes)).collect()).collect())
}
