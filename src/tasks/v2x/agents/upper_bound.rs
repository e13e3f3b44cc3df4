//! `upper-bound`: matched gain for every vehicle, no interference, water-filled power.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;

pub const AGENT: V2xAgent = V2xAgent {
    id: "upper-bound",
    summary: "matched beams without interference, water-filled power: a number no agent can exceed",
    kind: Kind::Fixed(Fixed::Bound),
};
