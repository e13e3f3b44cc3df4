//! `dqn`: the paper's off-policy rival with discrete choices.

use super::{V2xAgent, V2xKind};
use crate::learn::{Algorithm, OffPolicySpec};

pub const AGENT: V2xAgent = V2xAgent {
    id: "dqn",
    summary: "DQN, ReLU network 128-128, per vehicle one of 32 beams and 3 power levels",
    kind: V2xKind::Learned(|config, replicas| Algorithm::OffPolicy(OffPolicySpec::dqn(config, replicas))),
};
