//! `h-moe-no-aoi`: the paper's ablation: `h-moe` that does not see the ages A_k.

use super::{MisacAgent, MisacKind};
use crate::nets::experts::H_MOE_NO_AOI;

pub const AGENT: MisacAgent = MisacAgent {
    id: "h-moe-no-aoi",
    summary: "RL-H-MoE without the ages in its state",
    kind: MisacKind::Learned(H_MOE_NO_AOI),
};
