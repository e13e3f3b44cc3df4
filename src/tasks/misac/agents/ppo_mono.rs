//! `ppo-mono`: the paper's "Standard PPO": one perceptron trunk, both heads, both losses through the trunk.

use super::{MisacAgent, experts};
use crate::nets::experts::{Architecture, Scheduler};
use crate::run::task::Kind;

/// Its networks.
pub const PPO_MONO: Architecture = Architecture { scheduler: Scheduler::Trunk, ages: true };

pub const AGENT: MisacAgent = MisacAgent {
    id: "ppo-mono",
    summary: "Standard PPO: one tanh trunk with both heads and both losses",
    kind: Kind::Learned(|config, env| experts(PPO_MONO, config, env)),
};
