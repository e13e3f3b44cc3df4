//! What each agent of task v2x reads of a configuration.

use super::agents::{Fixed, V2xAgent};
use super::config::V2xConfig;
use super::physics::Beam;
use crate::learn::Algorithm;
use crate::learn::off_policy::Method;
use crate::run::task::{Kind, Task};

/// Keys of `[task]` of which [`metric::UPPER_BOUND`](super::physics::metric::UPPER_BOUND) knows nothing: those of radar, rewards and parameterised beams.
const NOT_OF_THE_BOUND: [&str; 18] = [
    "antennas_rx",
    "carrier_hz",
    "light_speed_m_s",
    "kappa",
    "xi",
    "noise_radar_dbm",
    "alpha_tau_s",
    "alpha_mu_hz",
    "matched_filter_noise",
    "jain_scale",
    "eps_theta_rad2",
    "eps_d_m2",
    "tracking_delta_rad",
    "zf_regularisation",
    "cos_floor",
    "cap_theta_rad",
    "cap_d_m",
    "cap_v_m_s",
];

/// [`Task::reads`]
pub(super) fn reads(config: &V2xConfig, agent: &V2xAgent, key: &str) -> bool {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    let learner = config.algorithm(agent, &[]);
    let spiking = learner.as_ref().is_some_and(Algorithm::spikes);
    match (section, name) {
        ("task", "name") => false,
        // References and rules have beams of their own, and see what was measured.
        ("task", "beam" | "obs_shift" | "obs_scale") => learner.is_some(),
        ("task", "tracking_delta_rad") => {
            learner.is_some() && matches!(config.task.beam, Beam::Tracking | Beam::Zf)
        }
        ("task", "zf_regularisation") => learner.is_some() && config.task.beam == Beam::Zf,
        ("task", name) if matches!(agent.kind, Kind::Fixed(Fixed::Bound)) => {
            !NOT_OF_THE_BOUND.contains(&name)
        }
        ("task", _) | ("evaluate", "episodes") => true,
        // Off-policy agents are evaluated without exploration in any case.
        ("evaluate", "greedy") => matches!(learner, Some(Algorithm::Ppo(_))),
        // A preset's name stands for its keys; presets differ in those of learners only.
        ("preset", _) | ("train", "updates") => learner.is_some(),
        // See PpoSpec::spiking.
        ("ppo", "lr_actor" | "lr_critic" | "actor_gain" | "target_kl") if spiking => false,
        ("ppo", "hidden") if spiking => config.spiking.hidden.is_empty(),
        ("ppo", _) => matches!(learner, Some(Algorithm::Ppo(_))),
        ("spiking", _) => spiking,
        ("ddpg" | "dqn", _) => match learner {
            Some(Algorithm::OffPolicy(s)) => (section == "ddpg") == matches!(s.method, Method::Ddpg { .. }),
            _ => false,
        },
        _ => false,
    }
}
