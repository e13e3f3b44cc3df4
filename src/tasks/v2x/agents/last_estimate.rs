//! `last-estimate`: what two lines do without learning.

use super::{V2xAgent, V2xKind};
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "last-estimate",
    summary: "steer at the last echo's angle, equal power",
    kind: V2xKind::Reference(Reference::LastEstimate),
};
