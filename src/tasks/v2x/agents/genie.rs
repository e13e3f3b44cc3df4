//! `genie`: perfect knowledge of the angle, and no use of the power.

use super::{V2xAgent, V2xKind};
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "genie",
    summary: "steer at the coming true angle, equal power",
    kind: V2xKind::Reference(Reference::Genie),
};
