//! The rows of task v2x: one table. A further agent is its line there, or a file with a `pub const AGENT` and its line
//! in [`AGENTS`].

mod rule;
mod table;

pub use rule::{Rule, Slot};
pub use table::{AGENTS, BEYOND};

use super::acts::{ReferenceActs, RuleActs};
use super::config::{ProtocolConfig, V2xConfig};
use super::env::V2xEnv;
use super::physics::{Beam, V2xSpec};
use super::protocol::{Protocol, ProtocolActs};
use super::reference::Reference;
use crate::env::Env;
use crate::run::evaluate::Acts;
use crate::run::task::Agent;
use std::sync::Arc;

/// One row.
pub type V2xAgent = Agent<V2xConfig>;

/// What agents that need no learning are.
#[derive(Clone, Copy, Debug)]
pub enum Fixed {
    /// One of the references that have a kernel.
    Reference(Reference),
    /// A rule that needs no kernel.
    Rule(Rule),
    /// A protocol with pilots, which decides on the CPU.
    Protocol(Protocol),
    /// No beams at all: a number that no agent exceeds, [`super::physics::metric::UPPER_BOUND`].
    Bound,
}

impl Fixed {
    /// The environment with actions in this agent's own parameterisation, and how it acts there; `settings` `[R]` are
    /// those of pilots. A bound is carried by a reference: only the bound of its slots is looked at.
    pub fn acts(self, env: V2xEnv, settings: &[ProtocolConfig]) -> (Arc<dyn Env>, Arc<dyn Acts>) {
        let with = |beam| V2xEnv { spec: V2xSpec { beam, ..env.spec }, params: env.params.clone() };
        match self {
            Fixed::Rule(rule) => {
                let env = with(self.beam());
                (Arc::new(env.clone()), Arc::new(RuleActs { rule, env }))
            }
            Fixed::Reference(who) => {
                let env = with(self.beam());
                (Arc::new(env.clone()), Arc::new(ReferenceActs { who, env }))
            }
            Fixed::Protocol(who) => {
                let (env, settings) = (with(self.beam()), settings.to_vec());
                (Arc::new(env.clone()), Arc::new(ProtocolActs { who, env, settings }))
            }
            Fixed::Bound => Fixed::Reference(Reference::Genie).acts(env, settings),
        }
    }

    /// What its actions mean.
    pub fn beam(self) -> Beam {
        match self {
            Fixed::Rule(rule) => rule.beam,
            Fixed::Reference(who) => who.beam(),
            Fixed::Protocol(_) => Beam::Steer,
            Fixed::Bound => Reference::Genie.beam(),
        }
    }
}
