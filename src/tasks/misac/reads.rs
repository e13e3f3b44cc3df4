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
    let layout = match &learner {
        Some(Algorithm::Experts(s)) => Some(&s.layout),
        _ => None,
    };
    let comes_from = |scheduler| layout.is_some_and(|l| l.architecture.scheduler == scheduler);
    let isolated = comes_from(Scheduler::Lstm);
    match (section, name) {
        ("task", "name") => false,
        ("task", "error_rate") => config.task.error_growth == ErrorGrowth::Exponential,
        ("task", "beam_width_factor") => config.task.error_growth == ErrorGrowth::RandomWalk,
        ("task", _) | ("evaluate", "episodes" | "gain_stride") => true,
        // A preset's name stands for its keys; presets differ in those of learners only.
        ("evaluate", "greedy") | ("preset", _) | ("train", "updates") => learns,
        ("temporal", "hidden" | "t_seq") | ("spatial", "hidden" | "lr" | "max_grad_norm") => isolated,
        ("temporal", "trunk") => learns && !isolated,
        ("temporal", "mono_phases") => comes_from(Scheduler::Trunk),
        ("temporal", "log_std_init") => layout.is_some_and(|l| l.log_std.is_some()),
        ("temporal", "epochs" | "minibatch_envs" | "clip") => {
            learns && config.temporal.algorithm == PolicyGradient::Ppo
        }
        ("temporal" | "spatial", _) => learns,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::misac::agents::AGENTS;

    #[test]
    fn phases_are_drawn_by_one_agent() {
        for (phases, drawn) in [("l-spat", false), ("gaussian", true)] {
            let config = MisacConfig::load(None, &[format!("temporal.mono_phases={phases}")]).expect("valid");
            for agent in AGENTS {
                let mono = agent.id == "ppo-mono";
                assert_eq!(reads(&config, agent, "temporal.mono_phases"), mono, "{}", agent.id);
                assert_eq!(reads(&config, agent, "temporal.log_std_init"), mono && drawn, "{}", agent.id);
            }
        }
    }
}
