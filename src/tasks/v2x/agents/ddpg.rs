//! `ddpg`: the paper's off-policy rival with a deterministic actor.

use super::V2xAgent;
use crate::learn::{Algorithm, OffPolicySpec};
use crate::run::task::Kind;

pub const AGENT: V2xAgent = V2xAgent {
    id: "ddpg",
    summary: "DDPG, ReLU networks 128-128, deterministic policy",
    kind: Kind::Learned(|config, env| Algorithm::OffPolicy(OffPolicySpec::ddpg(&config.ddpg, env))),
};
