//! The rows of task v2x: one file per agent. A further agent is a file with a `pub const AGENT` and its line in [`AGENTS`].

mod ddpg;
mod dqn;
mod ekf;
mod genie;
mod genie_zf;
mod last_estimate;
mod ppo;
mod random;
mod spiking_ac;
mod upper_bound;

use crate::learn::{Algorithm, Replica};
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::physics::{Beam, State, V2xParams, V2xSpec, load_state};
use crate::tasks::v2x::reference::Reference;

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct V2xAgent {
    pub id: &'static str,
    pub summary: &'static str,
    pub kind: V2xKind,
}

/// What an agent id stands for.
#[derive(Clone, Copy, Debug)]
pub enum V2xKind {
    /// Networks that are trained.
    Learned(MakeAlgorithm),
    /// One of the references that have a kernel.
    Reference(Reference),
    /// A rule that needs no learning and no kernel.
    Rule(Rule),
    /// No beams at all: a number that no agent exceeds, [`crate::tasks::v2x::physics::metric::UPPER_BOUND`].
    Bound,
}

/// What the replicas of a configuration learn by, and their networks.
pub type MakeAlgorithm = fn(&V2xConfig, Vec<Replica>) -> Algorithm;

/// Every agent of task v2x, in the order of the tables.
pub const AGENTS: &[V2xAgent] = &[
    spiking_ac::AGENT,
    ppo::AGENT,
    ddpg::AGENT,
    dqn::AGENT,
    random::AGENT,
    last_estimate::AGENT,
    ekf::AGENT,
    genie::AGENT,
    genie_zf::AGENT,
    upper_bound::AGENT,
];

/// The agent called `id`.
pub fn find(id: &str) -> Option<&'static V2xAgent> {
    AGENTS.iter().find(|a| a.id == id)
}

impl V2xAgent {
    /// Whether it has weights.
    pub fn is_learned(&self) -> bool {
        matches!(self.kind, V2xKind::Learned(_))
    }

    /// Whether it is a bound rather than something that acts.
    pub fn is_bound(&self) -> bool {
        matches!(self.kind, V2xKind::Bound)
    }

    /// Whether a GPU can make its decisions; if not it is evaluated on the CPU.
    pub fn decides_on_gpu(&self) -> bool {
        !matches!(self.kind, V2xKind::Rule(_))
    }

    /// What it learns by; `None` if it does not learn.
    pub fn algorithm(&self, config: &V2xConfig, replicas: Vec<Replica>) -> Option<Algorithm> {
        match self.kind {
            V2xKind::Learned(make) => Some(make(config, replicas)),
            _ => None,
        }
    }
}

/// A rule that decides on the CPU, environment by environment.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What its actions mean: [`Beam::Steer`] (K angles in rad, K powers in W) or [`Beam::Span`].
    pub beam: Beam,
    /// Numbers per environment that it keeps from slot to slot, given the number of vehicles; they are 0 before the first slot of an episode.
    pub memory: fn(usize) -> usize,
    /// Writes the action of the coming slot.
    pub act: fn(now: &Slot, memory: &mut [f32], action: &mut [f32]),
}

/// One environment before the decision of a slot.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    pub task: &'a V2xSpec,
    pub params: &'a V2xParams,
    /// [10K, envs]
    pub state: &'a [f32],
    pub envs: usize,
    pub env: usize,
    /// Number of the environment in its Philox streams.
    pub id: u32,
    /// Slot of the episode.
    pub slot: usize,
    /// What a learned agent sees, [4K].
    pub obs: &'a [f32],
}

impl Slot<'_> {
    /// What the last echo said (θ̂, d̂, v̂, γ̂ and their variances), and the truth behind it.
    pub fn full(&self) -> State<f32> {
        load_state(self.task.vehicles, self.state, self.envs, self.env)
    }
}
