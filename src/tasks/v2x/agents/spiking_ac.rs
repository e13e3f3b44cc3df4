//! `spiking-ac`: the agent that the paper proposes: PPO with spiking actor and critic.

use super::V2xAgent;
use crate::learn::{Algorithm, PpoSpec};
use crate::run::task::Kind;

pub const AGENT: V2xAgent = V2xAgent {
    id: "spiking-ac",
    summary: "PPO, spiking actor and critic 128-128 (LIF, 6 spike steps), Gaussian policy",
    kind: Kind::Learned(|config, env| Algorithm::Ppo(PpoSpec::spiking(&config.ppo, &config.spiking, env))),
};
