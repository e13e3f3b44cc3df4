//! The table of agents of task v2x. What an agent does is in `learn`, in [`Reference`], or in a file of its own beside
//! this one.

use super::{Fixed, V2xAgent};
use crate::learn::{Algorithm, ApgSpec, OffPolicySpec, PpoSpec};
use crate::run::task::{Agent, Kind};
use crate::tasks::v2x::protocol::Protocol;
use crate::tasks::v2x::reference::Reference;

/// An agent whose decisions have a kernel.
const fn reference(id: &'static str, summary: &'static str, who: Reference) -> V2xAgent {
    Agent { id, summary, kind: Kind::Fixed(Fixed::Reference(who)) }
}

/// A protocol of figure 2 of the paper.
const fn protocol(id: &'static str, summary: &'static str, who: Protocol) -> V2xAgent {
    Agent { id, summary, kind: Kind::Fixed(Fixed::Protocol(who)) }
}

/// Learned agents that a reproduction of the paper leaves to its experiments: nothing like them is in it.
pub const BEYOND: [&str; 2] = ["apg", "spiking-apg"];

/// Every agent of task v2x, in the order of the tables.
pub const AGENTS: &[V2xAgent] = &[
    // What the paper proposes.
    Agent {
        id: "spiking-ac",
        summary: "PPO, spiking actor and critic (LIF, 6 spike steps), Gaussian policy",
        kind: Kind::Learned(|config, env| {
            Algorithm::Ppo(PpoSpec::spiking(&config.ppo_by_link(), &config.spiking, env))
        }),
    },
    // Its rivals: dense, off-policy with a deterministic actor, off-policy with discrete choices.
    Agent {
        id: "ppo",
        summary: "PPO, tanh networks 128-128, Gaussian policy",
        kind: Kind::Learned(|config, env| Algorithm::Ppo(PpoSpec::mlp(&config.ppo_by_link(), env))),
    },
    Agent {
        id: "ddpg",
        summary: "DDPG, ReLU networks 128-128, deterministic policy",
        kind: Kind::Learned(|config, env| {
            Algorithm::OffPolicy(OffPolicySpec::ddpg(&config.ddpg_by_link(), env))
        }),
    },
    Agent {
        id: "dqn",
        summary: "DQN, ReLU network 128-128, per vehicle one of 32 beams and 3 power levels",
        kind: Kind::Learned(|config, env| {
            let spec = OffPolicySpec::dqn(&config.dqn_by_link(), env).expect("learned beams have a codebook");
            Algorithm::OffPolicy(spec)
        }),
    },
    // What the simulator's own gradient makes of the same networks.
    Agent {
        id: "apg",
        summary: "analytic policy gradient, tanh network 128-128, deterministic policy; trains on true angles",
        kind: Kind::Learned(|config, env| {
            let spec = ApgSpec::mlp(&config.apg, &config.ppo.hidden, env);
            Algorithm::Apg(spec.expect("slots of this task have a gradient"))
        }),
    },
    Agent {
        id: "spiking-apg",
        summary: "analytic policy gradient, spiking network (LIF, 6 spike steps), deterministic policy; trains on true angles",
        kind: Kind::Learned(|config, env| {
            let spec = ApgSpec::spiking(&config.apg, &config.ppo.hidden, &config.spiking, env);
            Algorithm::Apg(spec.expect("slots of this task have a gradient"))
        }),
    },
    reference("random", "beams U(0, π), power Dirichlet(1)", Reference::Random),
    reference("last-estimate", "steer at the last echo's angle, equal power", Reference::LastEstimate),
    reference("ekf", "extended Kalman filter, steer at the prediction, equal power", Reference::Ekf),
    reference("ukf", "unscented Kalman filter, steer at the prediction, equal power", Reference::Ukf),
    reference("ekf-zf", "zero-forcing at the filter's prediction, water-filled power", Reference::EkfZf),
    // What the paper sets its one-step scheme against.
    protocol(
        "beam-training",
        "sweep of a DFT codebook with pilots, steer at the strongest beam, equal power",
        Protocol::BeamTraining,
    ),
    protocol(
        "two-stage",
        "steer at the last echo one slot on by (14), after pilots and reports, equal power",
        Protocol::TwoStage,
    ),
    protocol(
        "channel-history",
        "angles of past uplink pilots, extrapolated along a line, equal power",
        Protocol::ChannelHistory,
    ),
    reference("genie", "steer at the coming true angle, equal power", Reference::Genie),
    reference("genie-zf", "zero-forcing at the true angles, water-filled power", Reference::GenieZf),
    Agent {
        id: "upper-bound",
        summary: "matched beams without interference, water-filled power: a number no agent can exceed",
        kind: Kind::Fixed(Fixed::Bound),
    },
];
