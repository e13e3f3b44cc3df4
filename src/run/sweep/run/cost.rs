//! What a sweep will cost, from short measurements.

use super::batch::{Batch, units};
use super::evaluated;
use super::train::replicas;
use crate::gpu::Gpu;
use crate::learn::Algorithm;
use crate::run::checkpoint::Checkpoint;
use crate::run::pace;
use crate::run::sweep::plan::{Mode, Plan};
use crate::run::sweep::{SweepError, task};
use crate::run::task::{Task, Unit};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// What a batch is expected to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Of the learner, in parts of at most the batch size; 0 where nothing learns.
    pub bytes: u64,
    pub seconds: f64,
}

/// What a short measurement tells of batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// In the order of the batches.
    pub costs: Vec<Cost>,
    /// What an evaluation of each agent tells: agent, metric.
    pub metrics: BTreeSet<(String, String)>,
    /// How long it took.
    pub spent_s: f64,
}

/// Expected memory and time of batches, from one short measurement for each agent and structure: an update of a few
/// replicas past the warm-up, and some episodes.
pub fn costs<C: Task>(
    plan: &Plan<C>,
    batches: &[Batch],
    most: usize,
    gpu: Option<&Arc<Gpu>>,
) -> Result<Measurement, SweepError> {
    const EPISODES: u64 = 256;
    let started = Instant::now();
    // By agent and structure: seconds of an update and of an episode of one replica.
    let mut known: Vec<(String, [f64; 2])> = Vec::new();
    let (mut costs, mut metrics) = (Vec::new(), BTreeSet::new());
    for b in batches {
        let all = units(plan, &b.points);
        let head = all[0].config;
        let learner = |units: &[Unit<C>]| match plan.mode {
            Mode::Evaluate => None,
            Mode::TrainAndEvaluate => head.algorithm(task::agent(b.agent), units),
        };
        let part = all.len().min(most);
        let bytes = learner(&all[..part]).map_or(0, |a| a.host_bytes());
        let one = learner(&all[..1]);
        let structure = learner(&[]).map_or(String::new(), |a| a.structure());
        let key = format!("{} {structure} {:?}", b.agent, head.env(&[]));
        let rates = match known.iter().find(|k| k.0 == key) {
            Some(k) => k.1,
            None => {
                // A CPU is as fast with few replicas as with many; a GPU is not.
                let few = &all[..part.min(if gpu.is_some() { part } else { 2 })];
                let (rates, told) = measure(plan, b.agent, few, learner(few), EPISODES, gpu)?;
                metrics.extend(told.into_iter().map(|m| (b.agent.to_string(), m.metric)));
                known.push((key, rates));
                rates
            }
        };
        let (until, from) = plan.points[b.points[0]].updates();
        let updates = if one.is_some() { f64::from(until - from) } else { 0.0 };
        let each = updates * rates[0] + head.common().evaluate.episodes as f64 * rates[1];
        costs.push(Cost { bytes, seconds: each * all.len() as f64 });
    }
    Ok(Measurement { costs, metrics, spent_s: started.elapsed().as_secs_f64() })
}

fn measure<C: Task>(
    plan: &Plan<C>,
    agent: &'static str,
    units: &[Unit<C>],
    learner: Option<Algorithm>,
    episodes: u64,
    gpu: Option<&Arc<Gpu>>,
) -> Result<([f64; 2], Vec<task::Measured>), SweepError> {
    let n = units.len() as f64;
    let quiet = crate::run::watch::Quiet;
    let (mut update_s, mut weights) = (0.0, plan.weights.get(agent).map(|w| w.rows(units)));
    if let Some(algorithm) = learner {
        let (seconds, state) = pace::update(&algorithm, gpu)?;
        update_s = seconds / n;
        let (swept, seeds) = replicas(units).into_iter().unzip();
        weights =
            Some(Checkpoint { config: units[0].config.clone(), agent: agent.into(), seeds, swept, state });
    }
    let few = episodes.min(units[0].config.common().evaluate.episodes);
    let short: Vec<C> = units.iter().map(|u| u.config.with_episodes(few)).collect();
    let short: Vec<Unit<C>> =
        short.iter().zip(units).map(|(config, u)| Unit { config, seed: u.seed }).collect();
    let started = Instant::now();
    let stuck = vec![false; short.len()];
    let none = BTreeSet::new();
    let mut told = evaluated(agent, &short, weights.as_ref(), &stuck, gpu.map(|g| &**g), &quiet, &none)?;
    Ok(([update_s, started.elapsed().as_secs_f64() / (n * few as f64)], told.swap_remove(0).metrics))
}
