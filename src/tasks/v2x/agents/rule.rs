//! An agent of task v2x that is written down as a rule.

use crate::tasks::v2x::physics::{Beam, State, V2xParams, V2xSpec, load_state};

/// A rule that decides on the CPU, environment by environment.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What its actions mean: [`Beam::Steer`] (K angles in rad, K powers in W) or [`Beam::Span`].
    pub beam: Beam,
    /// Numbers per environment that it keeps from slot to slot, given the number of vehicles; they are 0 before the
    /// first slot of an episode.
    pub memory: fn(usize) -> usize,
    /// Writes the action of the coming slot.
    pub act: fn(now: &Slot, memory: &mut [f32], action: &mut [f32]),
}

/// One environment before the decision of a slot.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    pub task: &'a V2xSpec,
    pub params: &'a V2xParams,
    /// `[10K, envs]`
    pub state: &'a [f32],
    pub envs: usize,
    pub env: usize,
    /// Number of the environment in its Philox streams.
    pub id: u32,
    /// Slot of the episode.
    pub slot: usize,
    /// What a learned agent sees, `[4K]`.
    pub obs: &'a [f32],
}

impl Slot<'_> {
    /// What the last echo said (θ̂, d̂, v̂, γ̂ and their variances), and the truth behind it.
    pub fn full(&self) -> State<f32> {
        load_state(self.task.vehicles, self.state, self.envs, self.env)
    }
}
