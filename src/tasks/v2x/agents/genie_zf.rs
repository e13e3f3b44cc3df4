//! `genie-zf`: perfect knowledge of the angles, without interference.

use super::{V2xAgent, V2xKind};
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "genie-zf",
    summary: "zero-forcing at the true angles, water-filled power",
    kind: V2xKind::Reference(Reference::GenieZf),
};
