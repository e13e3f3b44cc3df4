//! `vision-only` and `radar-only`: every camera in every slot, and no camera ever (the paper's Vision-Only and
//! Radar-Only).

use super::{FixedSchedule, Make, MisacAgent, Slot};
use crate::run::task::Kind;
use crate::tasks::misac::dp::Rule;
use std::sync::Arc;

pub const VISION: MisacAgent = MisacAgent {
    id: "vision-only",
    summary: "every camera in every slot",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(OneWay { on: true })))),
};

pub const RADAR: MisacAgent = MisacAgent {
    id: "radar-only",
    summary: "no camera ever",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(OneWay { on: false })))),
};

struct OneWay {
    on: bool,
}

impl FixedSchedule for OneWay {
    fn decide(&self, _: &Slot, _: &[u32], pi: &mut [f32]) {
        pi.fill(f32::from(u8::from(self.on)));
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((if self.on { Rule::Always } else { Rule::Never }, Vec::new()))
    }
}
