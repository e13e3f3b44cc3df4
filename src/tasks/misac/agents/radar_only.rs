//! `radar-only`: no camera ever (the paper's Radar-Only).

use super::{FixedSchedule, Make, MisacAgent, Slot};
use crate::run::task::Kind;
use crate::tasks::misac::dp::Rule;
use std::sync::Arc;

pub const AGENT: MisacAgent = MisacAgent {
    id: "radar-only",
    summary: "no camera ever",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(RadarOnly)))),
};

struct RadarOnly;

impl FixedSchedule for RadarOnly {
    fn decide(&self, _: &Slot, _: &[u32], pi: &mut [f32]) {
        pi.fill(0.0);
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Never, Vec::new()))
    }
}
