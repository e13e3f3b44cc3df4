//! What a sweep asks of a task: which replicas can share a batch, and what is kept of an evaluation.

use crate::energy::accounts::{INFERENCE, metric_name};
use crate::energy::rules::RULE;
use crate::gpu::Gpu;
use crate::run::errors::JobError;
use crate::run::evaluate::Estimate;
use crate::run::task::{Agent, Evaluated, Task, Unit, Weights};
use crate::run::watch::Watch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One metric of one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name, with its unit as a suffix where it has one.
    pub metric: String,
    /// Episodes behind `mean`.
    pub episodes: u64,
    #[serde(with = "crate::run::rows::columns::json")]
    pub mean: f64,
    /// Standard error of `mean` over episodes; NaN where there is none.
    #[serde(with = "crate::run::rows::columns::json")]
    pub std_error: f64,
    /// Slot of the episode, of what is told slot by slot, or update of the training; `None` of all else.
    pub step: Option<u32>,
}

/// What a sweep keeps beside the metrics of its evaluations, where its file asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Learning curves: `curve_…`, by update.
    Curves,
    /// Slots of an episode: `slot_…`, by slot.
    Slots,
    /// Energy of a decision by each model: `energy_…_j_per_slot`.
    Energy,
    /// Bounds that hold whatever an agent does.
    Bounds,
}

/// Begin the names of metrics by slot and by update.
pub const SLOT: &str = "slot_";
pub const CURVE: &str = "curve_";

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
    keep: &BTreeSet<Keep>,
) -> Result<Vec<Vec<Measured>>, JobError> {
    let all = C::evaluate(agent, units, weights, gpu, watch)?;
    let of = |(metric, e): &(String, Estimate), episodes| Measured {
        metric: metric.clone(),
        episodes,
        mean: e.mean,
        std_error: e.std_error,
        step: None,
    };
    let kept = |m: &&(String, Estimate)| keep.contains(&Keep::Bounds) || C::facts(&m.0).in_rows;
    let one = |e: &Evaluated| {
        let mut out: Vec<Measured> = e.metrics.iter().filter(kept).map(|m| of(m, e.episodes)).collect();
        if keep.contains(&Keep::Energy) {
            let known = e.energy.iter().filter(|x| x.phase == INFERENCE && x.energy_j.is_finite());
            out.extend(known.map(|x| {
                let network = if x.network == RULE { "actor" } else { &x.network };
                let name = metric_name(network, x.method, &x.constants);
                of(&(name, Estimate::exact(x.energy_j)), e.episodes)
            }));
        }
        if keep.contains(&Keep::Slots) {
            for (column, slots) in C::SCHEMA.slots.iter().zip(&e.slots) {
                let slots = slots.iter().enumerate().filter(|(_, x)| x.mean.is_finite());
                out.extend(slots.map(|(t, x)| Measured {
                    step: Some(t as u32),
                    ..of(&(format!("{SLOT}{}", column.name), *x), e.episodes)
                }));
            }
        }
        out
    };
    Ok(all.iter().map(one).collect())
}
