//! `ekf`: tracking as radar does it, without learning.

use super::{Fixed, V2xAgent};
use crate::run::task::Kind;
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "ekf",
    summary: "extended Kalman filter, steer at the prediction, equal power",
    kind: Kind::Fixed(Fixed::Reference(Reference::Ekf)),
};
