//! `h-moe`: the paper's heterogeneous mixture of experts (section III): an LSTM schedules, a perceptron sets phases, and no gradient crosses.

use super::{MisacAgent, experts};
use crate::nets::experts::{Architecture, Scheduler};
use crate::run::task::Kind;

/// Its networks.
pub const H_MOE: Architecture = Architecture { scheduler: Scheduler::Lstm, ages: true };

pub const AGENT: MisacAgent = MisacAgent {
    id: "h-moe",
    summary: "RL-H-MoE: LSTM schedules cameras, perceptron sets phases, trained apart",
    kind: Kind::Learned(|config, env| experts(H_MOE, config, env)),
};
