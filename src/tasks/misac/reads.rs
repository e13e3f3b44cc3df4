//! What each agent of task misac reads of a configuration.

use super::agents::MisacAgent;
use super::config::MisacConfig;
use super::physics::ErrorGrowth;
use crate::config::PolicyGradient;
use crate::learn::Algorithm;
use crate::nets::experts::Scheduler;
use crate::run::task::Task;

/// [`Task::reads`]
pub(super) fn reads(config: &MisacConfig, agent: &MisacAgent, key: &str) -> bool {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    let learner = config.algorithm(agent, &[]);
    let learns = learner.is_some();
    let isolated =
        matches!(&learner, Some(Algorithm::Experts(s)) if s.layout.architecture.scheduler == Scheduler::Lstm);
    match (section, name) {
        ("task", "name") => false,
        ("task", "error_rate") => config.task.error_growth == ErrorGrowth::Exponential,
        ("task", "beam_width_factor") => config.task.error_growth == ErrorGrowth::RandomWalk,
        ("task", _) | ("evaluate", "episodes" | "gain_stride") => true,
        // A preset's name stands for its keys; presets differ in those of learners only.
        ("evaluate", "greedy") | ("preset", _) | ("train", "updates") => learns,
        ("temporal", "hidden" | "t_seq") | ("spatial", "hidden" | "lr" | "max_grad_norm") => isolated,
        ("temporal", "trunk") => learns && !isolated,
        ("temporal", "epochs" | "minibatch_envs" | "clip") => {
            learns && config.temporal.algorithm == PolicyGradient::Ppo
        }
        ("temporal" | "spatial", _) => learns,
        _ => false,
    }
}
