//! `genie`: perfect knowledge of the angle, and no use of the power.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "genie",
    summary: "steer at the coming true angle, equal power",
    kind: Kind::Fixed(Fixed::Reference(Reference::Genie)),
};
