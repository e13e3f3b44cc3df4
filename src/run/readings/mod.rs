//! Jobs of readings: which claims of a paper survive what it leaves open.
//!
//! A reading is a variant of the task's own job. Its trainings have the slots of the configured ones, whatever the
//! environments of an update are. Agents that read none of the keys that a variant changes are what they are without
//! it, and are not run again.

#[cfg(feature = "report")]
mod page;

#[cfg(feature = "report")]
pub use page::write;

use super::task::{Run, Task};
use crate::config::ReadingsConfig;
use std::path::PathBuf;

/// The runs of all readings: what is configured, then of every other variant the agents that it changes. Alternatives
/// that are what is configured are none.
///
/// # Panics
/// With choices that [`ReadingsConfig::relations`] refuses.
pub fn runs<C: Task>(readings: &ReadingsConfig, config: &C) -> Vec<Run<C>> {
    let plain = config.without_readings();
    let mut out = plain.runs();
    let mut known = vec![String::new()];
    for reading in readings.beside(&plain).all(plain.common().evaluate.greedy) {
        if known.contains(&reading.variant) {
            continue;
        }
        known.push(reading.variant.clone());
        let varied = plain.with_words(&reading.variant).expect("checked with the configuration");
        let changed = plain.different_keys(&varied);
        for mut run in varied.runs() {
            let agent = run.agent;
            if !changed.iter().any(|key| plain.reads(agent, key) || varied.reads(agent, key)) {
                continue;
            }
            // As many slots as without the variant, where it does not say otherwise.
            let samples = |c: &C| c.algorithm(agent, &[]).map(|a| a.samples() as u64);
            let same = !changed.iter().any(|key| key == "train.updates");
            if let (Some(before), Some(now), true) = (samples(&plain), samples(&varied), same) {
                let slots = u64::from(plain.common().train.updates) * before;
                let updates = u32::try_from(slots.div_ceil(now)).unwrap_or(u32::MAX);
                (run.config, run.own) = (run.config.with_updates(updates), run.own.with_updates(updates));
            }
            run.variant.clone_from(&reading.variant);
            run.folder = PathBuf::from("readings").join(reading.name.replace('/', "-")).join(&run.folder);
            out.push(run);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    fn readings(choices: &[(&str, &[&str])], draws: u32) -> ReadingsConfig {
        let list = |all: &[&str]| all.iter().map(|s| s.to_string()).collect();
        ReadingsConfig {
            draws,
            seed: 0,
            choices: choices.iter().map(|(name, all)| (name.to_string(), list(all))).collect(),
        }
    }

    #[test]
    fn only_what_a_variant_changes_is_run_again() {
        let config = V2xConfig::load(None, &["train.updates=10".into()]).unwrap();
        let ids = |words: &str| {
            let all = readings(&[("one", &[words])], 0);
            let all = runs(&all, &config);
            let plain = config.runs().len();
            all[plain..].iter().map(|r| (r.agent.id, r.config.train.updates)).collect::<Vec<_>>()
        };
        // Environments of an update are halved: twice as many updates.
        assert_eq!(ids("ppo.envs=32"), [("spiking-ac", 20), ("ppo", 20)]);
        assert_eq!(ids("ddpg.tau=0.5"), [("ddpg", 10)]);
        assert_eq!(ids("ppo.envs=32 train.updates=3")[1], ("ppo", 3));
        assert_eq!(ids("evaluate.greedy=false"), []);
        assert_eq!(ids("task.path_gain_1m_db=-80").len(), config.runs().len());
        assert!(ids("task.cap_d_m=50").iter().all(|(id, _)| *id != "upper-bound"));
        // The paper's preset is its keys of learners; sizes of jobs and what the task says stay.
        let paper = runs(&readings(&[("one", &["preset=paper"])], 0), &config);
        let ppo = paper.iter().rfind(|r| r.agent.id == "ppo").unwrap();
        let printed = V2xConfig::load(None, &["preset=paper".into()]).unwrap();
        assert_eq!((&ppo.config.ppo, &ppo.config.spiking), (&printed.ppo, &printed.spiking));
        assert_eq!(ppo.config.train.updates, 5);
        assert_eq!(ppo.config.task.eps_d_m2, config.task.eps_d_m2);
        assert!(!paper[config.runs().len()..].iter().any(|r| r.agent.id == "ekf"));
    }

    #[test]
    fn the_built_in_readings_run() {
        for scale in ["smoke", "quick", "study", "full"] {
            let v2x = V2xConfig::load_experiment("readings", scale, None, &[]).unwrap();
            let misac = MisacConfig::load_experiment("readings", scale, None, &[]).unwrap();
            for (readings, runs) in [
                (v2x.readings.as_ref().unwrap(), v2x.runs().len()),
                (misac.readings.as_ref().unwrap(), misac.runs().len()),
            ] {
                assert!(scale == "smoke" || readings.draws == 32);
                assert!(runs > 20 || scale == "smoke", "{scale}: {runs}");
            }
            for run in v2x.runs() {
                run.config.relations_for(run.agent.id).unwrap();
            }
            for run in misac.runs() {
                run.config.relations_for(run.agent.id).unwrap();
            }
        }
    }
}
