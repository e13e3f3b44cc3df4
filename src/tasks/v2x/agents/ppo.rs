//! `ppo`: the paper's dense rival: PPO with tanh perceptrons and a Gaussian policy.

use super::V2xAgent;
use crate::learn::{Algorithm, PpoSpec};
use crate::run::task::Kind;

pub const AGENT: V2xAgent = V2xAgent {
    id: "ppo",
    summary: "PPO, tanh networks 128-128, Gaussian policy",
    kind: Kind::Learned(|config, env| Algorithm::Ppo(PpoSpec::mlp(&config.ppo, env))),
};
