//! `homogeneous-moe`: the paper's homogeneous mixture: two equal experts under a softmax gate, both losses through all of them.

use super::{MisacAgent, MisacKind};
use crate::nets::experts::HOMOGENEOUS_MOE;

pub const AGENT: MisacAgent = MisacAgent {
    id: "homogeneous-moe",
    summary: "two equal tanh experts under a softmax gate, both heads and both losses",
    kind: MisacKind::Learned(HOMOGENEOUS_MOE),
};
