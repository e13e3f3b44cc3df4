//! `h-moe`: the paper's heterogeneous mixture of experts (section III): an LSTM schedules, a perceptron sets phases, and no gradient crosses.

use super::{MisacAgent, MisacKind};
use crate::nets::experts::H_MOE;

pub const AGENT: MisacAgent = MisacAgent {
    id: "h-moe",
    summary: "RL-H-MoE: LSTM schedules cameras, perceptron sets phases, trained apart",
    kind: MisacKind::Learned(H_MOE),
};
