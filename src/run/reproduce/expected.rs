//! What a job will take on this device, before it begins.

use super::run::left;
use super::{Way, grid};
use crate::files::if_there;
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::JobError;
use crate::run::evaluate::Precision;
use crate::run::pace;
use crate::run::task::{Run, Task, Unit, Weights, units};
use crate::run::watch::Quiet;
use std::time::Instant;

/// What one run of a job will take.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub agent: &'static str,
    /// What tells the run from others of the agent, as its rows have it; empty of one that is told by its agent.
    pub what: String,
    /// Swept values times seeds.
    pub replicas: usize,
    /// Updates that are done already, and all of them; 0 of 0 where nothing learns.
    pub updates: [u32; 2],
    /// Of the learner; 0 where nothing learns.
    pub bytes: u64,
    /// Of what is left, training and evaluation.
    pub seconds: f64,
}

/// Seconds that one replica takes.
#[derive(Clone, Copy)]
struct Pace {
    update: f64,
    episode: f64,
    /// Of an evaluation at one swept value, before its first episode.
    start: f64,
}

/// Measured from an update of two replicas (on a GPU, of all of them) past the warm-up and from some of their episodes,
/// once for each agent and structure. Of a job that is continued, what is left.
///
/// # Errors
/// What the device or an agent cannot do.
pub fn expected<C: Task>(config: &C, way: &Way) -> Result<Vec<Expected>, JobError> {
    let mut known: Vec<(String, Pace)> = Vec::new();
    config.runs().iter().map(|run| one(run, way, &mut known)).collect()
}

fn one<C: Task>(run: &Run<C>, way: &Way, known: &mut Vec<(String, Pace)>) -> Result<Expected, JobError> {
    let common = run.config.common();
    let all = grid(&run.swept, &common.train.seeds);
    let algorithm = run.own.algorithm_at(run.agent, &all);
    let total = algorithm.as_ref().map_or(0, |_| common.train.updates);
    let there = left(run, way)?.is_some();
    let done = if there { total } else { done(run, way)?.min(total) };
    let mut out = Expected {
        agent: run.agent.id,
        what: what(run),
        replicas: all.len(),
        updates: [done, total],
        bytes: algorithm.as_ref().map_or(0, crate::learn::Algorithm::host_bytes),
        seconds: 0.0,
    };
    if there {
        return Ok(out);
    }
    let structure = run.own.algorithm_at(run.agent, &[]).map_or(String::new(), |a| a.structure());
    let key = format!("{} {structure} {:?}", run.agent.id, run.config.env(&[]));
    let pace = match known.iter().find(|k| k.0 == key) {
        Some(k) => k.1,
        None => {
            let pace = measure(run, &all, way)?;
            known.push((key, pace));
            pace
        }
    };
    // Each mode and precision is an evaluation of its own, other environments of the highest swept value only.
    let modes = 1 + usize::from(algorithm.is_some() && run.config.reads(run.agent, "evaluate.greedy"));
    let precisions = if algorithm.is_some() { run.precisions.len() } else { 0 };
    let elsewhere = if algorithm.is_some() { run.elsewhere.len() * modes } else { 0 };
    let (n, seeds) = (all.len() as f64, common.train.seeds.len() as f64);
    let replicas = n * (modes + precisions) as f64 + seeds * elsewhere as f64;
    out.seconds = f64::from(total - done) * n * pace.update
        + replicas * common.evaluate.episodes as f64 * pace.episode
        + (modes + precisions) as f64 * run.swept.len() as f64 * pace.start;
    Ok(out)
}

/// Labels of the run's rows.
fn what<C: Task>(run: &Run<C>) -> String {
    let labels = run.own.labels(run.agent, &run.variant);
    labels.into_iter().filter(|x| !x.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Updates of a training that is to be continued; 0 where there is none.
fn done<C: Task>(run: &Run<C>, way: &Way) -> Result<u32, JobError> {
    if !way.resume {
        return Ok(0);
    }
    let path = way.out.join("training").join(&run.folder).join("checkpoint.safetensors");
    let Some(bytes) = if_there(std::fs::read(&path)).map_err(|e| JobError::file(&path, e))? else {
        return Ok(0);
    };
    Ok(Checkpoint::<C>::from_bytes(&bytes, path.display().to_string())?.state.updates)
}

fn measure<C: Task>(run: &Run<C>, all: &[(f64, u32)], way: &Way) -> Result<Pace, JobError> {
    // A CPU is as fast with few replicas as with many; a GPU is not. Two of them lie at both ends of the swept axis.
    let ends = [all.first(), all.last()].into_iter().flatten().copied().collect::<Vec<_>>();
    let few = if way.gpu.is_some() { all } else { &ends[..] };
    let n = few.len().max(1) as f64;
    let algorithm = run.own.algorithm_at(run.agent, few);
    let (mut update, mut state) = (0.0, None);
    if let Some(algorithm) = &algorithm {
        let (seconds, behind) = pace::update(algorithm, way.gpu)?;
        (update, state) = (seconds / n, Some(behind));
    }
    let weights = algorithm.as_ref().zip(state.as_ref());
    let weights = weights.map(|(algorithm, state)| Weights {
        algorithm,
        params: &state.params,
        precision: Precision::F32,
    });
    let gpu = way.gpu.map(|g| &**g);
    // Seconds of an evaluation, with the episodes of each replica.
    let take = |episodes: u64| -> Result<f64, JobError> {
        let configs: Vec<C> = few.iter().map(|(x, _)| run.config.at(*x).with_episodes(episodes)).collect();
        let units: Vec<Unit<C>> = units(&configs, few);
        let started = Instant::now();
        C::evaluate(run.agent, &units, weights, gpu, &Quiet)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let most = run.config.common().evaluate.episodes;
    let (little, much) = (most.min(16), most.min(208));
    let (first, second) = (take(little)?, if much > little { take(much)? } else { 0.0 });
    let episode = match much > little {
        true => (second - first).max(0.0) / ((much - little) as f64 * n),
        false => first / (little as f64 * n),
    };
    let start = (first - episode * little as f64 * n).max(0.0) / ends.len().max(1) as f64;
    Ok(Pace { update, episode, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::run::reproduce::reproduce;
    use crate::tasks::v2x::config::V2xConfig;

    /// What is expected of a job names its runs and their sizes, and nothing is left of one that is done.
    #[test]
    fn what_is_left_is_told_before_it_begins() {
        let sets = [
            "task.slots=10",
            "ppo.horizon=10",
            "ppo.minibatch=40",
            "ppo.envs=8",
            "ppo.hidden=[8]",
            "spiking.hidden=[8]",
            "ddpg.hidden=[8]",
            "dqn.hidden=[8]",
            "train.updates=2",
            "train.seeds=[0, 1]",
            "evaluate.episodes=8",
            "reproduce.p_max_dbm=[40.0, 20.0]",
            "reproduce.error_factors=[]",
        ];
        let config = V2xConfig::load(None, &sets.map(String::from)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let way =
            Way { out: dir.path(), resume: true, measure: false, gpu: None, journal: None, watch: &Quiet };
        let before = expected(&config, &way).unwrap();
        assert_eq!(before.len(), config.runs().len());
        let ppo = before.iter().find(|e| e.agent == "ppo").unwrap();
        assert_eq!((ppo.replicas, ppo.updates), (4, [0, 2]));
        assert!(ppo.seconds > 0.0 && ppo.bytes > 0, "{ppo:?}");
        let genie = before.iter().find(|e| e.agent == "genie").unwrap();
        assert_eq!((genie.replicas, genie.updates, genie.bytes), (4, [0, 0], 0));
        reproduce(&config, &way).unwrap();
        let after = expected(&config, &way).unwrap();
        let ppo = after.iter().find(|e| e.agent == "ppo").unwrap();
        assert_eq!(ppo.updates, [2, 2]);
        assert!(after.iter().all(|e| e.seconds == 0.0), "{after:?}");
    }
}
