//! The rows of task misac: a file for each schedule, one for the networks. A further agent is a file with a
//! `pub const AGENT` and its line in [`AGENTS`].

mod best_periodic;
mod dp_bound;
mod dp_causal;
pub(super) mod dp_optimal;
mod networks;
mod one_way;
mod table;

pub use networks::{H_MOE, H_MOE_NO_AOI, HOMOGENEOUS_MOE, PPO_MONO};
pub use table::AGENTS;

use super::config::MisacConfig;
use crate::run::task::Agent;
use crate::tasks::misac::dp::{NotConverged, Rule};
use crate::tasks::misac::physics::{MisacParams, MisacSpec, State, load_state};
use std::sync::Arc;

/// One row. One that needs no training is what makes its schedule; beams then steer at the estimated angle.
pub type MisacAgent = Agent<MisacConfig>;

/// Makes the schedule of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Make(pub fn(&MisacSpec, &MisacParams) -> Scheduled);

/// A schedule, or why there is none.
pub type Scheduled = Result<Arc<dyn FixedSchedule>, AgentError>;

/// Why there is no schedule for a task.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AgentError {
    #[error(
        "agent '{agent}' solves {states} states of ages, more than {most}: lower task.vehicles or task.age_max_slots"
    )]
    TooManyStates { agent: &'static str, states: u64, most: u64 },
    #[error(
        "agent '{0}' knows one constant β only; with task.uncertainty = \"kinematic\" there are dp-causal and dp-bound"
    )]
    ConstantOnly(&'static str),
    #[error(
        "agent '{0}' solves ages up to task.age_max_slots: with task.age_saturates = false it knows no task.realign = true"
    )]
    SaturatedOnly(&'static str),
    #[error(
        "agent '{0}' solves ages up to task.age_max_slots, and with task.age_saturates = false the best schedule lets some grow beyond: \
         raise it"
    )]
    BeyondMost(&'static str),
    #[error(
        "agent '{agent}' plans {slots} slots for every age up to that with task.age_saturates = false, more than {most}: lower task.slots"
    )]
    TooManySlots { agent: &'static str, slots: usize, most: usize },
    #[error(
        "agent '{agent}': {why}; energies must be nearer to each other than task.lambda_misa_j={lambda_j:e}, task.e_vis_j={e_vis_j:e} and \
         task.e_recovery_j={e_recovery_j:e}"
    )]
    NotConverged { agent: &'static str, why: NotConverged, e_vis_j: f64, e_recovery_j: f64, lambda_j: f64 },
}

/// A camera schedule that needs no learning.
pub trait FixedSchedule: Send + Sync {
    /// What the schedule keeps of an episode that starts in this state, for [`FixedSchedule::decide`].
    fn begin(&self, _start: &Slot) -> Vec<u32> {
        Vec::new()
    }

    /// Sets `pi[k]` to 1 where vehicle k's camera is on, else to 0.
    fn decide(&self, now: &Slot, memory: &[u32], pi: &mut [f32]);

    /// The same decisions as kernel `misac_schedule` makes them: the rule and its words for one replica (a period, a
    /// table), for a [`Rule::Plan`] none: its words are what [`FixedSchedule::begin`] returns, one a slot with the
    /// camera of vehicle k in bit k. `None`: the schedule decides on the CPU, and is evaluated there.
    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        None
    }

    /// Whether its energy is a lower bound rather than what a schedule costs.
    fn is_bound(&self) -> bool {
        false
    }

    /// What the schedule knows of itself beside its evaluation: names of metrics, with units as suffixes, and values.
    fn facts(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// One environment before the decision of a slot.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    pub task: &'a MisacSpec,
    pub params: &'a MisacParams,
    /// `[7K, envs]`
    pub state: &'a [f32],
    pub envs: usize,
    pub env: usize,
    /// Number of the environment in its draws.
    pub id: u32,
    /// Slot of the episode.
    pub slot: usize,
}

impl Slot<'_> {
    /// A_k, slots.
    pub fn age(&self, k: usize) -> usize {
        self.state[(2 * self.task.vehicles + k) * self.envs + self.env] as usize
    }
    /// The whole state.
    pub fn full(&self) -> State<f32> {
        load_state(self.task.vehicles, self.state, self.envs, self.env)
    }
}

/// Writes the bits of `cameras`, vehicle 0 lowest.
fn write_bits(cameras: u32, pi: &mut [f32]) {
    for (k, pi) in pi.iter_mut().enumerate() {
        *pi = (cameras >> k & 1) as f32;
    }
}
