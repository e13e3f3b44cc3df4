//! What each agent of task v2x reads of a configuration.

use super::agents::{Fixed, V2xAgent};
use super::config::V2xConfig;
use super::physics::{Beam, Reward};
use super::protocol::Protocol;
use crate::config::Climb;
use crate::learn::Algorithm;
use crate::learn::off_policy::Method;
use crate::run::task::{Kind, Task};

/// Keys of `[task]` on which [`metric::UPPER_BOUND`](super::physics::metric::UPPER_BOUND) does not depend: those of
/// radar, rewards and parameterised beams.
const NOT_OF_THE_BOUND: [&str; 25] = [
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
    "matrix_base",
    "matrix_scale",
    "cos_floor",
    "cap_theta_rad",
    "cap_d_m",
    "cap_v_m_s",
    "reward",
    "reward_weights",
    "limits",
    "caps_in_reward",
    "sensing_noise",
];

/// [`Task::reads`]
pub(super) fn reads(config: &V2xConfig, agent: &V2xAgent, key: &str) -> bool {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    let learner = config.algorithm(agent, &[]);
    let by_gradient = matches!(learner, Some(Algorithm::Apg(_)));
    let spiking = learner.as_ref().is_some_and(Algorithm::spikes);
    match (section, name) {
        ("task", "name") => false,
        // References and rules have beams of their own, and see what was measured.
        ("task", "beam" | "obs_shift" | "obs_scale" | "sinr_feedback") => learner.is_some(),
        ("task", "reward_by_link") => matches!(learner, Some(Algorithm::Ppo(_) | Algorithm::OffPolicy(_))),
        ("task", "ekf_noise") => {
            matches!(agent.kind, Kind::Fixed(Fixed::Reference(who)) if who.filters())
        }
        ("task", "reward_weights") if config.task.reward != Reward::Lagrangian => false,
        ("task", "tracking_delta_rad") => {
            learner.is_some() && matches!(config.task.beam, Beam::Tracking | Beam::Zf)
        }
        ("task", "zf_regularisation") => {
            learner.is_some() && matches!(config.task.spec().beam, Beam::Zf | Beam::OnZf)
        }
        ("task", "matrix_base") => learner.is_some() && config.task.beam == Beam::Matrix,
        ("task", "matrix_scale") => {
            learner.is_some() && matches!(config.task.spec().beam, Beam::OnSteering | Beam::OnZf)
        }
        ("task", name) if matches!(agent.kind, Kind::Fixed(Fixed::Bound)) => {
            !NOT_OF_THE_BOUND.contains(&name)
        }
        ("task", _) | ("evaluate", "episodes") => true,
        ("protocol", name) => match agent.kind {
            Kind::Learned(_) => ["symbol_s", "feedback_symbols"].contains(&name),
            Kind::Fixed(Fixed::Protocol(Protocol::BeamTraining)) => {
                !["uplink_dbm", "history_slots"].contains(&name)
            }
            Kind::Fixed(Fixed::Protocol(Protocol::TwoStage)) => {
                ["symbol_s", "pilot_symbols", "feedback_symbols", "stage_symbols"].contains(&name)
            }
            Kind::Fixed(Fixed::Protocol(Protocol::ChannelHistory)) => {
                ["symbol_s", "pilot_symbols", "pilot_samples", "uplink_dbm", "history_slots"].contains(&name)
            }
            Kind::Fixed(_) => false,
        },
        // Off-policy agents are evaluated without exploration in any case.
        ("evaluate", "greedy") => matches!(learner, Some(Algorithm::Ppo(_))),
        // A preset's name stands for its keys; presets differ in those of learners only.
        ("preset", _) | ("train", "updates") => learner.is_some(),
        // See PpoSpec::spiking.
        ("ppo", "lr_actor" | "lr_critic" | "actor_gain" | "target_kl") if spiking => false,
        ("ppo", "hidden") if spiking => config.spiking.hidden.is_empty(),
        ("ppo", "hidden") if by_gradient => true,
        ("ppo", _) => matches!(learner, Some(Algorithm::Ppo(_))),
        // Of a trust region and a critic.
        ("spiking", "lr_actor" | "lr_critic" | "target_kl") if by_gradient => false,
        ("spiking", _) => spiking,
        // See ApgSpec::spiking.
        ("apg", "lr" | "actor_gain") if spiking => false,
        ("apg", "lr_spiking") if !spiking => false,
        ("apg", "indicator_width") => by_gradient && config.apg.objective == Climb::RewardSmooth,
        ("apg", _) => by_gradient,
        ("ddpg" | "dqn", _) => match learner {
            Some(Algorithm::OffPolicy(s)) => (section == "ddpg") == matches!(s.method, Method::Ddpg { .. }),
            _ => false,
        },
        _ => false,
    }
}
