//! `dp-optimal`: the exact optimum of the scheduling problem in the long run, by relative value iteration on the joint
//! ages. Where ages do not saturate it is refused unless it keeps them within A_max
//! ([`Schedule::keeps_ages`]).

use super::{AgentError, FixedSchedule, Make, MisacAgent, Slot, write_bits};
use crate::run::task::Kind;
use crate::tasks::misac::dp::{Rule, Schedule};
use crate::tasks::misac::physics::Uncertainty;
use std::sync::Arc;

const ID: &str = "dp-optimal";
/// Joint ages that are solved at most: 100 MB and about a minute.
const MOST_STATES: u64 = 1 << 20;
/// Half the span of T h − h at which value iteration stops, J, of costs from 1 J to 1 kJ.
const TOLERANCE_J: f64 = 1e-7;

pub const AGENT: MisacAgent = MisacAgent {
    id: ID,
    summary: "exact optimum of the scheduling problem: value iteration on the joint ages",
    kind: Kind::Fixed(Make(|spec, params| {
        if spec.uncertainty != Uncertainty::Constant {
            return Err(AgentError::ConstantOnly(ID));
        }
        let choices = spec.choices;
        if choices.realign && !choices.age_saturates {
            return Err(AgentError::SaturatedOnly(ID));
        }
        let problem = Schedule::new(spec, params);
        let states = (problem.age_max as u64 + 1).saturating_pow(spec.vehicles as u32);
        if states > MOST_STATES {
            return Err(AgentError::TooManyStates { agent: ID, states, most: MOST_STATES });
        }
        let optimum = problem.solve(TOLERANCE_J, 100_000).map_err(|why| AgentError::NotConverged {
            agent: ID,
            why,
            e_vis_j: problem.e_vis_j,
            e_recovery_j: problem.e_recovery_j,
            lambda_j: problem.lambda_j,
        })?;
        let table = problem.table(&optimum.values);
        if !choices.age_saturates && !problem.keeps_ages(&table) {
            return Err(AgentError::BeyondMost(ID));
        }
        Ok(Arc::new(DpOptimal {
            table,
            value_j: optimum.cost_j,
            residual_j: optimum.residual_j,
            episode_j: problem.episode_cost(spec.slots),
            problem,
        }))
    })),
};

struct DpOptimal {
    problem: Schedule,
    /// Cameras of every joint age.
    table: Vec<u32>,
    value_j: f64,
    residual_j: f64,
    episode_j: f64,
}

impl FixedSchedule for DpOptimal {
    fn decide(&self, now: &Slot, _: &[u32], pi: &mut [f32]) {
        let base = self.problem.age_max + 1;
        let joint = (0..pi.len()).rev().fold(0, |i, k| i * base + now.age(k).min(self.problem.age_max));
        write_bits(self.table[joint], pi);
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Table, self.table.clone()))
    }

    /// Mean cost per slot in the long run, with how exact it is, and the least that any policy pays per slot of an
    /// episode from fresh frames.
    fn facts(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("dp_value_j", self.value_j),
            ("dp_residual_j", self.residual_j),
            ("dp_episode_j", self.episode_j),
        ]
    }
}
