//! The table of agents of task misac.

use super::{MisacAgent, best_periodic, dp_bound, dp_causal, dp_optimal, networks, one_way};

/// Every agent of task misac, in the order of the tables.
pub const AGENTS: &[MisacAgent] = &[
    networks::H_MOE_AGENT,
    networks::H_MOE_NO_AOI_AGENT,
    networks::PPO_MONO_AGENT,
    networks::HOMOGENEOUS_MOE_AGENT,
    one_way::VISION,
    one_way::RADAR,
    best_periodic::AGENT,
    dp_optimal::AGENT,
    dp_causal::AGENT,
    dp_bound::AGENT,
];
