//! The table of agents of task v2x.

use super::{V2xAgent, ddpg, dqn, ekf, genie, genie_zf, last_estimate, ppo, random, spiking_ac, upper_bound};

/// Every agent of task v2x, in the order of the tables.
pub const AGENTS: &[V2xAgent] = &[
    spiking_ac::AGENT,
    ppo::AGENT,
    ddpg::AGENT,
    dqn::AGENT,
    random::AGENT,
    last_estimate::AGENT,
    ekf::AGENT,
    genie::AGENT,
    genie_zf::AGENT,
    upper_bound::AGENT,
];
