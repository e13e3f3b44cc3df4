//! `dp-causal`: camera frames by the dynamic program of [`crate::tasks::misac::causal`], which knows what an agent
//! has observed so far and nothing of the future.
//!
//! Draws come from counters, so an episode can be simulated in advance: the frames of all its slots are decided when it
//! starts, each from the observations up to its slot.

use super::{FixedSchedule, Make, MisacAgent, Slot, write_bits};
use crate::run::task::Kind;
use crate::tasks::misac::causal::Causal;
use crate::tasks::misac::dp::Rule;
use crate::tasks::misac::physics::{KMAX, observe, step};
use std::sync::Arc;

pub const AGENT: MisacAgent = MisacAgent {
    id: "dp-causal",
    summary: "dynamic program on what an agent observes: estimates each trajectory, plans, decides, slot by slot",
    kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(DpCausal)))),
};

struct DpCausal;

impl FixedSchedule for DpCausal {
    /// The cameras of every slot.
    fn begin(&self, start: &Slot) -> Vec<u32> {
        let (task, p) = (start.task, start.params);
        let mut state = start.full();
        let mut reference = Causal::new(task, p);
        let mut obs = vec![0f32; task.obs_dim()];
        let mut decide = |clock| {
            observe(task, p, &state, start.id, clock, |i, x| obs[i] = x);
            let cameras = reference.decide(&obs);
            let mut pi = [0f32; KMAX];
            write_bits(cameras, &mut pi);
            step(task, p, start.id, clock, &pi, &mut state);
            cameras
        };
        (0..task.slots as u32).map(&mut decide).collect()
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Plan, Vec::new()))
    }

    fn decide(&self, now: &Slot, memory: &[u32], pi: &mut [f32]) {
        write_bits(memory[now.slot], pi);
    }
}
