//! `genie-zf`: perfect knowledge of the angles, without interference.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "genie-zf",
    summary: "zero-forcing at the true angles, water-filled power",
    kind: Kind::Fixed(Fixed::Reference(Reference::GenieZf)),
};
