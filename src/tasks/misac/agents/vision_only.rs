//! `vision-only`: every camera in every slot (the paper's Vision-Only).

use super::{FixedSchedule, Make, MisacAgent, Slot};
use crate::run::task::Kind;
use crate::tasks::misac::dp::Rule;
use std::sync::Arc;

pub const AGENT: MisacAgent = MisacAgent {
    id: "vision-only",
    summary: "every camera in every slot",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(VisionOnly)))),
};

struct VisionOnly;

impl FixedSchedule for VisionOnly {
    fn decide(&self, _: &Slot, _: &[u32], pi: &mut [f32]) {
        pi.fill(1.0);
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Always, Vec::new()))
    }
}
