//! `ekf`: tracking as radar does it, without learning.

use super::{V2xAgent, V2xKind};
use crate::tasks::v2x::reference::Reference;

pub const AGENT: V2xAgent = V2xAgent {
    id: "ekf",
    summary: "extended Kalman filter, steer at the prediction, equal power",
    kind: V2xKind::Reference(Reference::Ekf),
};
