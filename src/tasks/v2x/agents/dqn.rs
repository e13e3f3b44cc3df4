//! `dqn`: the paper's off-policy rival with discrete choices.

use super::V2xAgent;
use crate::learn::{Algorithm, OffPolicySpec};
use crate::run::task::Kind;

pub const AGENT: V2xAgent = V2xAgent {
    id: "dqn",
    summary: "DQN, ReLU network 128-128, per vehicle one of 32 beams and 3 power levels",
    kind: Kind::Learned(|config, env| {
        let spec = OffPolicySpec::dqn(&config.dqn, env).expect("learned beams have a codebook");
        Algorithm::OffPolicy(spec)
    }),
};
