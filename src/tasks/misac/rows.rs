//! What the columns of this task's rows are called.

use crate::run::rows::{Named, Schema, text_of};
use crate::tasks::misac::config::MisacConfig;

/// Columns of task misac.
pub const SCHEMA: Schema = Schema {
    task: "misac",
    labels: &[
        Named::new("algorithm", "`a2c` (Algorithm 1) or `ppo`; empty for agents that do not learn."),
        Named::new(
            "phase",
            "What a phase network puts out: `direct`, the phases themselves, or `residual`, what is added to those of the estimated angle; \
             empty for agents without one.",
        ),
        Named::new("uncertainty", "`constant`: one β; `kinematic`: β follows each vehicle's angular rate."),
        Named::new("variant", "What else an experiment varies, such as `t_proc=2`; else empty."),
    ],
    swept: Named::new("snr_db", "RF signal-to-noise ratio, on which β depends, dB."),
    curve: &[
        Named::new("reward", "Mean reward (11) per slot, J."),
        Named::new("energy_j", "Mean energy (3) per slot, J."),
        Named::new("l_bmp", "Mean L_BMP, 0 to 1."),
        Named::new("share_over_gamma", "Share of slots with L_BMP above Γ_misa (9e), 0 to 1."),
    ],
    learner: &[
        "beam_gain",
        "policy_loss",
        "value_loss",
        "entropy",
        "approx_kl",
        "clip_fraction",
        "explained_variance",
        "rate_share",
        "skipped_share",
        "grad_norm_actor",
        "grad_norm_critic",
        "grad_norm_spatial",
        "gradient_cosine",
    ],
    slots: &[
        Named::new("energy_j", "Mean energy (3) in this slot, J."),
        Named::new("mae_deg", "Mean absolute angle error over vehicles in this slot, °."),
    ],
};

/// Places of the labels.
pub const ALGORITHM: usize = Schema::place(SCHEMA.labels, "algorithm");
pub const PHASE: usize = Schema::place(SCHEMA.labels, "phase");
pub const UNCERTAINTY: usize = Schema::place(SCHEMA.labels, "uncertainty");
pub const VARIANT: usize = Schema::place(SCHEMA.labels, "variant");

/// The labels of a run, in the order of the schema; agents that need no training have no recipe.
pub fn labels(config: &MisacConfig, learned: bool, variant: &str) -> Vec<String> {
    let of = |text: String| if learned { text } else { String::new() };
    vec![
        of(text_of(&config.temporal.algorithm)),
        of(text_of(&config.spatial.phase)),
        text_of(&config.task.uncertainty),
        variant.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::run::task::Task;

    /// Rows of earlier runs have these texts, and configurations are written with them.
    #[test]
    fn labels_are_the_words_of_the_configuration() {
        let of = |agent: &str, set: String| {
            MisacConfig::load(None, &[set]).unwrap().labels(MisacConfig::agent(agent).unwrap(), "t_proc=2")
        };
        for algorithm in ["a2c", "ppo"] {
            assert_eq!(of("h-moe", format!("temporal.algorithm={algorithm:?}"))[ALGORITHM], algorithm);
        }
        for phase in ["direct", "residual"] {
            assert_eq!(of("h-moe", format!("spatial.phase={phase:?}"))[PHASE], phase);
        }
        for uncertainty in ["constant", "kinematic"] {
            let set = format!("task.uncertainty={uncertainty:?}");
            assert_eq!(of("vision-only", set), ["", "", uncertainty, "t_proc=2"]);
        }
        assert_eq!((UNCERTAINTY, VARIANT), (2, 3));
    }
}
