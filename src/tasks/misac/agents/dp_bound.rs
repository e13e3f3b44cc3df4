//! `dp-bound`: every vehicle's frames of least energy, planned over the whole episode with its trajectory known
//! beforehand.
//!
//! Its energy is a lower bound on the cost (11) of every policy ([`Trajectory`](crate::tasks::misac::dp::Trajectory));
//! its own cost has the penalty too, which the plans do not avoid, since each is made for one vehicle alone. It does
//! not know the draws of sweeps that realign (`task.realign`): each vehicle's frames are then decided by its age, and
//! its energy is a lower bound on average only.

use super::{AgentError, FixedSchedule, Make, MisacAgent, Slot, write_bits};
use crate::run::task::Kind;
use crate::tasks::misac::dp::{Rule, Schedule, Trajectory, beta_of_episode};
use crate::tasks::misac::physics::{KMAX, MisacParams, MisacSpec, step};
use std::sync::Arc;

const ID: &str = "dp-bound";
/// Slots that are planned for every age up to that, at most: 128 MB for each vehicle.
const MOST_SLOTS: usize = 4000;

pub const AGENT: MisacAgent = MisacAgent {
    id: ID,
    summary: "each vehicle's best frames with its trajectory known: its energy is a lower bound on every cost",
    kind: Kind::Fixed(Make(|spec, _| {
        if !spec.choices.age_saturates && spec.slots > MOST_SLOTS {
            return Err(AgentError::TooManySlots { agent: ID, slots: spec.slots, most: MOST_SLOTS });
        }
        Ok(Arc::new(DpBound))
    })),
};

/// The scheduling problem with every age that an episode has.
fn problem(task: &MisacSpec, p: &MisacParams) -> Schedule {
    let problem = Schedule::new(task, p);
    let oldest = if task.choices.age_saturates { problem.age_max } else { task.slots };
    Schedule { age_max: oldest, ..problem }
}

struct DpBound;

impl FixedSchedule for DpBound {
    /// The cameras of every slot.
    fn begin(&self, start: &Slot) -> Vec<u32> {
        let (p, state) = (start.params, start.full());
        let problem = problem(start.task, p);
        if start.task.choices.realign {
            return played(start, &problem);
        }
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

/// The cameras of every slot where sweeps realign: each vehicle's are decided by its age, and the episode is played
/// beforehand with its draws.
fn played(start: &Slot, problem: &Schedule) -> Vec<u32> {
    let (task, p) = (start.task, start.params);
    let mut state = start.full();
    let betas: Vec<Vec<f64>> = (0..task.vehicles).map(|k| beta_of_episode(task, p, &state, k)).collect();
    let alone: Vec<(Trajectory, Vec<f64>)> = betas
        .iter()
        .map(|beta| {
            let trajectory = problem.trajectory(beta);
            let values = trajectory.values();
            (trajectory, values)
        })
        .collect();
    let decide = |n: usize| {
        let on = |(k, (trajectory, values)): (usize, &(Trajectory, Vec<f64>))| {
            u32::from(trajectory.takes_frame(values, n, state.age[k] as usize)) << k
        };
        let cameras = alone.iter().enumerate().map(on).sum();
        let mut pi = [0f32; KMAX];
        write_bits(cameras, &mut pi);
        step(task, p, start.id, n as u32, &pi, &mut state);
        cameras
    };
    (0..task.slots).map(decide).collect()
}
