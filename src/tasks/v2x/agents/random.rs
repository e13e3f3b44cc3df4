//! `random`: beams and powers by chance.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "random",
    summary: "beams U(0, π), power Dirichlet(1)",
    kind: Kind::Fixed(Fixed::Reference(Reference::Random)),
};
