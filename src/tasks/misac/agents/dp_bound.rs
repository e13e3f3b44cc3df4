//! `dp-bound`: every vehicle's frames of least energy, planned over the whole episode with its trajectory known
//! beforehand.
//!
//! Its energy is a lower bound on the cost (11) of every policy ([`Trajectory`](crate::tasks::misac::dp::Trajectory));
//! its own cost has the penalty that the plans, made apart, run into.

use super::{FixedSchedule, Make, MisacAgent, Slot, write_bits};
use crate::run::task::Kind;
use crate::tasks::misac::dp::{Rule, Schedule, beta_of_episode};
use std::sync::Arc;

pub const AGENT: MisacAgent = MisacAgent {
    id: "dp-bound",
    summary: "each vehicle's best frames with its trajectory known: its energy is a lower bound on every cost",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(DpBound)))),
};

struct DpBound;

impl FixedSchedule for DpBound {
    /// The cameras of every slot.
    fn begin(&self, start: &Slot) -> Vec<u32> {
        let (p, state) = (start.params, start.full());
        let problem = Schedule::new(start.task, p);
        let mut cameras = vec![0; start.task.slots];
        for k in 0..start.task.vehicles {
            let beta = beta_of_episode(start.task, p, &state, k);
            for (cameras, on) in cameras.iter_mut().zip(problem.trajectory(&beta).plan().frames) {
                *cameras |= u32::from(on) << k;
            }
        }
        cameras
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Plan, Vec::new()))
    }

    fn is_bound(&self) -> bool {
        true
    }

    fn decide(&self, now: &Slot, memory: &[u32], pi: &mut [f32]) {
        write_bits(memory[now.slot], pi);
    }
}
