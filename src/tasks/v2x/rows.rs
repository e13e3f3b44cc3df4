//! What the columns of this task's rows are called.

use crate::run::rows::{Named, Schema, text_of};
use crate::tasks::v2x::config::V2xConfig;

/// Columns of task v2x.
pub const SCHEMA: Schema = Schema {
    task: "v2x",
    labels: &[
        Named::new("beam", "Meaning of the action: `angles`, `tracking`, `matrix` or `zf`."),
        Named::new("kinematics", "Motion of the vehicles: `paper` or `cartesian`."),
        Named::new(
            "variant",
            "What else an experiment varies, such as `rate_penalty=0.03` or `spiking.hidden=[64]`, and the precision if it is not f32, such as `int8`; `evaluated:errors=2` of what was trained without and evaluated with twice the errors of the echo; else empty.",
        ),
    ],
    swept: Named::new("p_max_dbm", "Power limit of the road-side unit, dBm."),
    curve: &[
        Named::new("reward", "Mean reward (27) per slot, bps/Hz where every slot meets the sensing limits."),
        Named::new("sum_rate_bps_hz", "Mean sum-rate (13), bps/Hz."),
        Named::new("jain", "Mean Jain index (28), 0 to 1."),
        Named::new("indicator_share", "Share of slots in which the sensing limits of (27) are met, 0 to 1."),
    ],
    learner: &[
        "policy_loss",
        "value_loss",
        "entropy",
        "approx_kl",
        "clip_fraction",
        "explained_variance",
        "dead_neurons",
        "saturated_neurons",
        "rate_share",
        "skipped_share",
        "grad_norm_actor",
        "grad_norm_critic",
    ],
    slots: &[
        Named::new("sum_rate_bps_hz", "Mean sum-rate (13) in this slot, bps/Hz."),
        Named::new("angle_mse_rad2", "Mean square of the angle's measurement error in this slot, rad²."),
        Named::new("distance_mse_m2", "Mean square of the distance's measurement error in this slot, m²."),
        Named::new(
            "pointing_mse_rad2",
            "Mean square of the difference between the angle of a beam and the true angle in this slot, rad².",
        ),
    ],
};

/// What the word of evaluations with more errors in their echoes begins with; a factor of
/// `reproduce.error_factors` follows.
pub const ERRORS: &str = "errors=";

/// Places of the labels.
pub const BEAM: usize = Schema::place(SCHEMA.labels, "beam");
pub const KINEMATICS: usize = Schema::place(SCHEMA.labels, "kinematics");
pub const VARIANT: usize = Schema::place(SCHEMA.labels, "variant");

/// The labels of a run, in the order of the schema.
pub fn labels(config: &V2xConfig, variant: &str) -> Vec<String> {
    vec![text_of(&config.task.beam), text_of(&config.task.kinematics), variant.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;

    /// Rows of earlier runs have these texts, and configurations are written with them.
    #[test]
    fn labels_are_the_words_of_the_configuration() {
        let of = |set: &str| labels(&V2xConfig::load(None, &[set.into()]).unwrap(), "x=1");
        for beam in ["angles", "tracking", "matrix", "zf"] {
            assert_eq!(of(&format!("task.beam={beam:?}")), [beam, "paper", "x=1"]);
        }
        for kinematics in ["paper", "cartesian"] {
            assert_eq!(of(&format!("task.kinematics={kinematics:?}"))[KINEMATICS], kinematics);
        }
        let all = of("task.beam=\"matrix\"");
        assert_eq!((all[BEAM].as_str(), all[VARIANT].as_str()), ("matrix", "x=1"));
    }
}
