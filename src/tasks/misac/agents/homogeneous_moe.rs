//! `homogeneous-moe`: the paper's homogeneous mixture: two equal experts under a softmax gate, both losses through all of them.

use super::{MisacAgent, experts};
use crate::nets::experts::{Architecture, Scheduler};
use crate::run::task::Kind;

/// Its networks.
pub const HOMOGENEOUS_MOE: Architecture =
    Architecture { scheduler: Scheduler::Mixture { experts: 2 }, ages: true };

pub const AGENT: MisacAgent = MisacAgent {
    id: "homogeneous-moe",
    summary: "two equal tanh experts under a softmax gate, both heads and both losses",
    kind: Kind::Learned(|config, env| experts(HOMOGENEOUS_MOE, config, env)),
};
