//! `ppo`: the paper's dense rival: PPO with tanh perceptrons and a Gaussian policy.

use super::{V2xAgent, V2xKind};
use crate::learn::{Algorithm, PpoSpec};

pub const AGENT: V2xAgent = V2xAgent {
    id: "ppo",
    summary: "PPO, tanh networks 128-128, Gaussian policy",
    kind: V2xKind::Learned(|config, replicas| Algorithm::Ppo(PpoSpec::mlp(config, replicas))),
};
