//! `h-moe-no-aoi`: the paper's ablation: `h-moe` that does not see the ages A_k.

use super::{H_MOE, MisacAgent, experts};
use crate::nets::experts::Architecture;
use crate::run::task::Kind;

/// Its networks.
pub const H_MOE_NO_AOI: Architecture = Architecture { ages: false, ..H_MOE };

pub const AGENT: MisacAgent = MisacAgent {
    id: "h-moe-no-aoi",
    summary: "RL-H-MoE without the ages in its state",
    kind: Kind::Learned(|config, env| experts(H_MOE_NO_AOI, config, env)),
};
