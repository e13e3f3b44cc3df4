//! The rows of the results: id → what acts. Order as in the tables. Here those of task v2x, in [`misac`] those of task misac.

pub mod misac;

use crate::task::v2x_reference::Reference;

/// What an agent id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Learned with PPO: tanh networks, Gaussian policy.
    Ppo,
    /// Learned with PPO: spiking networks, Gaussian policy.
    SpikingAc,
    /// Learned with DDPG: ReLU networks, deterministic policy.
    Ddpg,
    /// Learned with DQN: ReLU network, a choice of beam and power level per vehicle.
    Dqn,
    /// Needs no learning.
    Reference(Reference),
    /// No beams at all: matched gain, no interference, water-filled power.
    UpperBound,
}

impl Kind {
    /// Whether agents of this kind have weights.
    pub fn is_learned(self) -> bool {
        !matches!(self, Kind::Reference(_) | Kind::UpperBound)
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Agent {
    pub id: &'static str,
    pub kind: Kind,
    pub summary: &'static str,
}

/// Every agent of task v2x that this program has.
pub const AGENTS: &[Agent] = &[
    Agent {
        id: "spiking-ac",
        kind: Kind::SpikingAc,
        summary: "PPO, spiking actor and critic 128-128 (LIF, 6 spike steps), Gaussian policy",
    },
    Agent { id: "ppo", kind: Kind::Ppo, summary: "PPO, tanh networks 128-128, Gaussian policy" },
    Agent { id: "ddpg", kind: Kind::Ddpg, summary: "DDPG, ReLU networks 128-128, deterministic policy" },
    Agent {
        id: "dqn",
        kind: Kind::Dqn,
        summary: "DQN, ReLU network 128-128, per vehicle one of 32 beams and 3 power levels",
    },
    Agent {
        id: "random",
        kind: Kind::Reference(Reference::Random),
        summary: "beams U(0, π), power Dirichlet(1)",
    },
    Agent {
        id: "last-estimate",
        kind: Kind::Reference(Reference::LastEstimate),
        summary: "steer at the last echo's angle, equal power",
    },
    Agent {
        id: "ekf",
        kind: Kind::Reference(Reference::Ekf),
        summary: "extended Kalman filter, steer at the prediction, equal power",
    },
    Agent {
        id: "genie",
        kind: Kind::Reference(Reference::Genie),
        summary: "steer at the coming true angle, equal power",
    },
    Agent {
        id: "genie-zf",
        kind: Kind::Reference(Reference::GenieZf),
        summary: "zero-forcing at the true angles, water-filled power",
    },
    Agent {
        id: "upper-bound",
        kind: Kind::UpperBound,
        summary: "matched beams without interference, water-filled power: a number no agent can exceed",
    },
];

/// The agent called `id`.
pub fn find(id: &str) -> Option<&'static Agent> {
    AGENTS.iter().find(|a| a.id == id)
}
