//! `random`: beams and powers by chance.

use super::{V2xAgent, V2xKind};
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "random",
    summary: "beams U(0, π), power Dirichlet(1)",
    kind: V2xKind::Reference(Reference::Random),
};
