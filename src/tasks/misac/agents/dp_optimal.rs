//! `dp-optimal`: the exact optimum of the scheduling problem in the long run, by relative value iteration on the joint
//! ages. Where ages do not saturate it is refused unless it keeps them within A_max
//! ([`Schedule::keeps_ages`]).

use super::{AgentError, FixedSchedule, Make, MisacAgent, Slot, write_bits};
use crate::run::task::Kind;
use crate::tasks::misac::dp::{Optimum, Rule, Schedule};
use crate::tasks::misac::physics::{KMAX, MisacParams, MisacSpec, Uncertainty};
use std::sync::Arc;

const ID: &str = "dp-optimal";
/// States times decisions that are solved at most: 256 MB and about a minute.
const MOST_MOVES: u64 = 1 << 26;
/// Joint ages of a GPU's table, at most: 16 MB a replica.
const MOST_WORDS: usize = 1 << 22;
/// Half the span of T h − h at which value iteration stops, J, of costs from 1 J to 1 kJ.
const TOLERANCE_J: f64 = 1e-7;

pub const AGENT: MisacAgent = MisacAgent {
    id: ID,
    summary: "exact optimum of the scheduling problem: value iteration on the joint ages",
    kind: Kind::Fixed(Make(|spec, params| {
        let problem = problem(spec, params)?;
        let (optimum, table) = solved(&problem, spec)?;
        Ok(Arc::new(DpOptimal {
            joint: problem.joint_table(&table, MOST_WORDS),
            table,
            value_j: optimum.cost_j,
            residual_j: optimum.residual_j,
            episode_j: problem.episode_cost(spec.slots),
            problem,
        }))
    })),
};

/// The scheduling problem, if it is one that this agent solves.
///
/// # Errors
/// Why it is not.
pub fn problem(spec: &MisacSpec, params: &MisacParams) -> Result<Schedule, AgentError> {
    if spec.uncertainty != Uncertainty::Constant {
        return Err(AgentError::ConstantOnly(ID));
    }
    if spec.choices.realign && !spec.choices.age_saturates {
        return Err(AgentError::SaturatedOnly(ID));
    }
    let problem = Schedule::new(spec, params);
    let (states, most) = (problem.count().unwrap_or(u64::MAX), MOST_MOVES >> spec.vehicles);
    if states > most {
        return Err(AgentError::TooManyStates { agent: ID, states, most });
    }
    Ok(problem)
}

/// Its optimum, and the decisions of every state.
///
/// # Errors
/// If energies are too far from each other, or ages grow beyond what was solved.
pub fn solved(problem: &Schedule, spec: &MisacSpec) -> Result<(Optimum, Vec<u32>), AgentError> {
    let optimum = problem.solve(TOLERANCE_J, 100_000).map_err(|why| AgentError::NotConverged {
        agent: ID,
        why,
        e_vis_j: problem.e_vis_j,
        e_recovery_j: problem.e_recovery_j,
        lambda_j: problem.lambda_j,
    })?;
    let table = problem.table(&optimum.values);
    if !spec.choices.age_saturates && !problem.keeps_ages(&table) {
        return Err(AgentError::BeyondMost(ID));
    }
    Ok((optimum, table))
}

struct DpOptimal {
    problem: Schedule,
    /// Cameras of every state.
    table: Vec<u32>,
    /// The same of every joint age, where that is not too much for a GPU.
    joint: Option<Vec<u32>>,
    value_j: f64,
    residual_j: f64,
    episode_j: f64,
}

impl FixedSchedule for DpOptimal {
    fn decide(&self, now: &Slot, _: &[u32], pi: &mut [f32]) {
        let mut ages = [0; KMAX];
        let ages = &mut ages[..pi.len()];
        for (k, age) in ages.iter_mut().enumerate() {
            *age = now.age(k).min(self.problem.age_max);
        }
        write_bits(self.problem.bits(&self.table, ages), pi);
    }

    fn rule(&self) -> Option<(Rule, Vec<u32>)> {
        Some((Rule::Table, self.joint.clone()?))
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
