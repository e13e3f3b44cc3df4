//! `ddpg`: the paper's off-policy rival with a deterministic actor.

use super::{V2xAgent, V2xKind};
use crate::learn::{Algorithm, OffPolicySpec};

pub const AGENT: V2xAgent = V2xAgent {
    id: "ddpg",
    summary: "DDPG, ReLU networks 128-128, deterministic policy",
    kind: V2xKind::Learned(|config, replicas| Algorithm::OffPolicy(OffPolicySpec::ddpg(config, replicas))),
};
