//! `spiking-ac`: the agent that the paper proposes: PPO with spiking actor and critic.

use super::{V2xAgent, V2xKind};
use crate::learn::{Algorithm, PpoSpec};

pub const AGENT: V2xAgent = V2xAgent {
    id: "spiking-ac",
    summary: "PPO, spiking actor and critic 128-128 (LIF, 6 spike steps), Gaussian policy",
    kind: V2xKind::Learned(|config, replicas| Algorithm::Ppo(PpoSpec::spiking(config, replicas))),
};
