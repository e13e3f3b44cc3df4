//! The agents that learn: an [`Architecture`] each, which `learn` trains.

use super::MisacAgent;
use crate::learn::{Algorithm, ExpertsSpec};
use crate::nets::experts::{Architecture, Scheduler};
use crate::run::task::Kind;

/// The paper's heterogeneous mixture of experts (section III): an LSTM schedules, a perceptron sets phases, and no
/// gradient crosses.
pub const H_MOE: Architecture = Architecture { scheduler: Scheduler::Lstm, ages: true };
/// The paper's ablation: it does not see the ages A_k.
pub const H_MOE_NO_AOI: Architecture = Architecture { ages: false, ..H_MOE };
/// The paper's "Standard PPO": one perceptron trunk, both heads, both losses through the trunk.
pub const PPO_MONO: Architecture = Architecture { scheduler: Scheduler::Trunk, ages: true };
/// The paper's homogeneous mixture: two equal experts under a softmax gate, both losses through all of them.
pub const HOMOGENEOUS_MOE: Architecture =
    Architecture { scheduler: Scheduler::Mixture { experts: 2 }, ages: true };

/// An architecture and its agent.
macro_rules! agent {
    ($agent:ident = $id:literal, $architecture:ident, $summary:literal) => {
        pub const $agent: MisacAgent = MisacAgent {
            id: $id,
            summary: $summary,
            kind: Kind::Learned(|config, env| {
                Algorithm::Experts(ExpertsSpec::new($architecture, env, &config.temporal, &config.spatial))
            }),
        };
    };
}

agent!(
    H_MOE_AGENT = "h-moe",
    H_MOE,
    "RL-H-MoE: LSTM schedules cameras, perceptron sets phases, trained apart"
);
agent!(H_MOE_NO_AOI_AGENT = "h-moe-no-aoi", H_MOE_NO_AOI, "RL-H-MoE without the ages in its state");
agent!(PPO_MONO_AGENT = "ppo-mono", PPO_MONO, "Standard PPO: one tanh trunk with both heads and both losses");
agent!(
    HOMOGENEOUS_MOE_AGENT = "homogeneous-moe",
    HOMOGENEOUS_MOE,
    "two equal tanh experts under a softmax gate, both heads and both losses"
);
