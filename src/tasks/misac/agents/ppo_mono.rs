//! `ppo-mono`: the paper's "Standard PPO": one perceptron trunk, both heads, both losses through the trunk.

use super::{MisacAgent, MisacKind};
use crate::nets::experts::PPO_MONO;

pub const AGENT: MisacAgent = MisacAgent {
    id: "ppo-mono",
    summary: "Standard PPO: one tanh trunk with both heads and both losses",
    kind: MisacKind::Learned(PPO_MONO),
};
