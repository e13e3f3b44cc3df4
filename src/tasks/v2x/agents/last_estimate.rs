//! `last-estimate`: what two lines do without learning.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "last-estimate",
    summary: "steer at the last echo's angle, equal power",
    kind: Kind::Fixed(Fixed::Reference(Reference::LastEstimate)),
};
