//! `best-periodic`: every vehicle has one camera frame in p slots, staggered over vehicles; p is the best there is.

use super::{FixedSchedule, Make, MisacAgent, Slot};
use crate::run::task::Kind;
use crate::tasks::misac::dp::{Rule, Schedule, best_period};
use std::sync::Arc;

pub const AGENT: MisacAgent = MisacAgent {
    id: "best-periodic",
    summary: "the best fixed camera period, staggered over vehicles",
    kind: Kind::Fixed(Make(|spec, params| {
        let (period, cost_j) = best_period(spec, params);
        Ok(Arc::new(BestPeriodic { problem: Schedule::new(spec, params), period, cost_j }))
    })),
};

struct BestPeriodic {
    problem: Schedule,
    /// Slots from one frame of a vehicle to the next.
    period: usize,
    /// What it was chosen by: mean cost per slot, J.
    cost_j: f64,
}

impl FixedSchedule for BestPeriodic {
    fn decide(&self, now: &Slot, _: &[u32], pi: &mut [f32]) {
        for (k, pi) in pi.iter_mut().enumerate() {
            *pi = f32::from(u8::from(self.problem.periodic(k, self.period, now.slot)));
        }
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Periodic, vec![self.period as u32]))
    }

    fn facts(&self) -> Vec<(&'static str, f64)> {
        vec![("period_slots", self.period as f64), ("period_cost_j", self.cost_j)]
    }
}
