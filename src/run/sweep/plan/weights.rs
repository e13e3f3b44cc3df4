//! Weights of learned agents that are evaluated without a training.

use super::file::{Mode, SweepFile};
use crate::run::checkpoint::Checkpoint;
use crate::run::sweep::{SweepError, digest, reading, task};
use crate::run::task::{Task, Unit};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Weights of a learned agent in mode `evaluate`.
pub struct Weights<C: Task> {
    pub path: PathBuf,
    pub checkpoint: Checkpoint<C>,
    pub(super) digest: String,
}

impl<C: Task> Weights<C> {
    /// The replica that stands for `seed` at the swept value of `config`: one trained there, or the only one of this
    /// seed.
    pub(super) fn replica(&self, config: &C, seed: u32) -> Option<usize> {
        let c = &self.checkpoint;
        let one_value = c.swept.iter().all(|x| *x == c.swept[0]);
        (0..c.seeds.len()).find(|&r| c.seeds[r] == seed && (one_value || c.swept[r] == config.swept()))
    }

    /// The weights of these replicas in their order; [`Plan::new`](super::Plan::new) has seen that there are such.
    pub fn rows(&self, units: &[Unit<C>]) -> Checkpoint<C> {
        let row = |u: &Unit<C>| self.replica(u.config, u.seed).expect("looked for when the plan was made");
        let swept = units.iter().map(|u| u.config.swept()).collect();
        Checkpoint { swept, ..self.checkpoint.weights_of(units.iter().map(row)) }
    }
}

pub(super) fn weights_of<C: Task>(
    file: &SweepFile,
    agents: &[&'static str],
    wrong: &impl Fn(&str, String) -> SweepError,
) -> Result<BTreeMap<String, Weights<C>>, SweepError> {
    let mut out = BTreeMap::new();
    for (agent, path) in &file.checkpoints {
        let key = format!("checkpoints.{agent}");
        if file.mode != Mode::Evaluate {
            return Err(wrong(&key, "is for mode = \"evaluate\" only".into()));
        }
        if !agents.contains(&agent.as_str()) {
            return Err(wrong(&key, "is not among 'agents'".into()));
        }
        if !task::agent::<C>(agent).is_learned() {
            return Err(wrong(&key, "this agent has no weights to load".into()));
        }
        let bytes = std::fs::read(path).map_err(reading(path))?;
        let checkpoint = Checkpoint::<C>::load(path)?;
        if checkpoint.agent != *agent {
            return Err(wrong(&key, format!("'{}' holds agent '{}'", path.display(), checkpoint.agent)));
        }
        out.insert(agent.clone(), Weights { path: path.clone(), checkpoint, digest: digest(&[&bytes]) });
    }
    if file.mode == Mode::Evaluate
        && let Some(agent) =
            agents.iter().find(|a| task::agent::<C>(a).is_learned() && !out.contains_key(**a))
    {
        return Err(wrong(
            "checkpoints",
            format!("agent '{agent}' is learned: give its weights, {agent} = \"FILE\""),
        ));
    }
    Ok(out)
}
