//! The table of agents of task misac.

use super::{
    MisacAgent, best_periodic, dp_bound, dp_optimal, h_moe, h_moe_no_aoi, homogeneous_moe, ppo_mono,
    radar_only, vision_only,
};

/// Every agent of task misac, in the order of the tables.
pub const AGENTS: &[MisacAgent] = &[
    h_moe::AGENT,
    h_moe_no_aoi::AGENT,
    ppo_mono::AGENT,
    homogeneous_moe::AGENT,
    vision_only::AGENT,
    radar_only::AGENT,
    best_periodic::AGENT,
    dp_optimal::AGENT,
    dp_bound::AGENT,
];
