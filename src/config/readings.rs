//! Readings of a paper: what it leaves open, one choice at a time and in random draws of all.

use super::{ConfigError, Layered, Rule, U32_MAX};
use crate::num::philox::{Stream, draw};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The word that changes how policies decide and nothing else.
const MODE: &str = "evaluate.greedy=";

/// `[readings]`: what a job of readings varies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingsConfig {
    /// Readings in which every choice is drawn, each alternative and what is configured with the same probability.
    pub draws: u32,
    /// Of these draws.
    pub seed: u32,
    /// By the name of a choice: alternatives to what is configured, each as `key=value` words. `evaluate.greedy` asks
    /// for the other mode of the same weights; `preset` stands for the keys in which that preset differs.
    pub choices: BTreeMap<String, Vec<String>>,
}

/// What a choice is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// The choice.
    pub choice: String,
    /// One of its alternatives.
    pub words: String,
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `as configured`, the words of the one alternative, or `draw N`.
    pub name: String,
    /// What is not as configured.
    pub settings: Vec<Setting>,
    /// Variant of its rows; empty for what is configured.
    pub variant: String,
    /// Whether policies decide in the other mode.
    pub other_mode: bool,
    /// Whether all choices were drawn.
    pub drawn: bool,
}

/// The name of the reading with nothing changed.
pub const AS_CONFIGURED: &str = "as configured";

impl Reading {
    fn new(name: String, settings: Vec<Setting>, greedy: bool, drawn: bool) -> Self {
        let words = settings.iter().flat_map(|s| s.words.split_whitespace());
        let (mode, rest): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with(MODE));
        let other = |word: &&str| (**word == format!("{MODE}true")) != greedy;
        let other_mode = mode.last().is_some_and(other);
        Reading { name, variant: rest.join(" "), other_mode, settings, drawn }
    }
}

impl ReadingsConfig {
    pub const RULES: &'static [Rule] =
        &[Rule::whole("draws", 0.0, 10_000.0), Rule::whole("seed", 0.0, U32_MAX)];

    /// What is configured, every alternative by itself, then the draws; `greedy` is how policies decide as configured.
    pub fn all(&self, greedy: bool) -> Vec<Reading> {
        let mut out = vec![Reading::new(AS_CONFIGURED.into(), Vec::new(), greedy, false)];
        for (choice, alternatives) in &self.choices {
            for words in alternatives {
                let setting = Setting { choice: choice.clone(), words: words.clone() };
                out.push(Reading::new(words.clone(), vec![setting], greedy, false));
            }
        }
        for n in 0..self.draws {
            let mut settings = Vec::new();
            for (i, (choice, alternatives)) in self.choices.iter().enumerate() {
                let word: u32 = draw([self.seed, 0], Stream::Sweep, n, 0, i as u32)[0];
                // Of 2³² words; what is left over from equal shares is nothing beside the number of draws.
                let place = (u64::from(word) * (alternatives.len() as u64 + 1)) >> 32;
                if let Some(words) = (place as usize).checked_sub(1).map(|at| &alternatives[at]) {
                    settings.push(Setting { choice: choice.clone(), words: words.clone() });
                }
            }
            out.push(Reading::new(format!("draw {}", n + 1), settings, greedy, true));
        }
        out
    }

    /// These without the alternatives that are what is configured anyway: a choice that has been made the other way has
    /// nothing to vary.
    pub fn beside<C: Layered>(&self, plain: &C) -> ReadingsConfig {
        let differs = |words: &String| plain.with_words(words).is_ok_and(|c| c.table() != plain.table());
        let choices = self.choices.iter().map(|(choice, alternatives)| {
            (choice.clone(), alternatives.iter().filter(|words| differs(words)).cloned().collect::<Vec<_>>())
        });
        ReadingsConfig { choices: choices.filter(|(_, all)| !all.is_empty()).collect(), ..self.clone() }
    }

    /// That every alternative, and all that is drawn, is a configuration beside `plain`, which has no readings.
    ///
    /// # Errors
    /// The choice and the key.
    pub fn relations<C: Layered>(&self, plain: &C) -> Result<(), ConfigError> {
        for (choice, alternatives) in &self.choices {
            let key = format!("readings.choices.{choice}");
            if alternatives.is_empty() {
                return Err(ConfigError::value(&key, "no alternative is listed"));
            }
            for (i, words) in alternatives.iter().enumerate() {
                if alternatives[..i].contains(words) {
                    return Err(ConfigError::value(&key, format!("{words:?} is listed twice")));
                }
                plain.with_words(words).map_err(|e| ConfigError::value(&key, e.to_string()))?;
            }
        }
        for reading in self.all(true).iter().filter(|r| r.drawn) {
            let of = |e: ConfigError| {
                let what = format!("{} sets {:?}: {e}", reading.name, reading.variant);
                ConfigError::value("readings.choices", what)
            };
            plain.with_words(&reading.variant).map_err(of)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn every_alternative_stands_alone_and_draws_take_all_of_them() {
        let config = readings(
            &[
                ("gain", &["task.path_gain_1m_db=-80", "task.path_gain_1m_db=-90"]),
                ("mode", &["evaluate.greedy=false"]),
            ],
            600,
        );
        let all = config.all(true);
        assert_eq!((all.len(), all[0].name.as_str(), all[0].variant.as_str()), (604, AS_CONFIGURED, ""));
        assert_eq!((all[1].variant.as_str(), all[1].other_mode), ("task.path_gain_1m_db=-80", false));
        // The mode is no training of its own.
        assert_eq!((all[3].variant.as_str(), all[3].other_mode), ("", true));
        assert!(!config.all(false)[3].other_mode);
        let share = |is: fn(&Reading) -> bool| {
            all.iter().filter(|r| r.drawn && is(r)).count() as f64 / f64::from(config.draws)
        };
        // Five standard deviations of 600 draws.
        for (what, share, of) in [
            ("gain as configured", share(|r| r.variant.is_empty()), 1.0 / 3.0),
            ("gain -90", share(|r| r.variant.ends_with("-90")), 1.0 / 3.0),
            ("sampled", share(|r| r.other_mode), 0.5),
            ("both", share(|r| r.other_mode && r.variant.ends_with("-80")), 1.0 / 6.0),
        ] {
            assert!((share - of).abs() < 0.1, "{what}: {share}");
        }
        let other = ReadingsConfig { seed: 1, ..config.clone() };
        assert_ne!(other.all(true), all);
        // More draws begin as fewer do.
        assert_eq!(ReadingsConfig { draws: 20, ..config }.all(true), all[..24]);
    }

    #[test]
    fn what_is_configured_is_no_alternative() {
        let all =
            readings(&[("cap", &["task.cap_d_m=5", "task.cap_d_m=50"]), ("beam", &["task.beam=angles"])], 4);
        let plain = V2xConfig::load(None, &[]).unwrap();
        assert_eq!(all.beside(&plain), readings(&[("cap", &["task.cap_d_m=50"])], 4));
        let other = V2xConfig::load(None, &["task.beam=tracking".into(), "task.cap_d_m=9".into()]).unwrap();
        assert_eq!(all.beside(&other), all);
        all.relations(&plain).unwrap();
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_choice() {
        let refused = |choices: &[(&str, &[&str])]| {
            readings(choices, 4).relations(&V2xConfig::load(None, &[]).unwrap()).unwrap_err().to_string()
        };
        for (choices, words) in [
            (&[("a", &["task.vehicles=0"][..])][..], &["readings.choices.a", "vehicles"][..]),
            (&[("a", &["task.nothing=1"][..])], &["readings.choices.a", "nothing"]),
            (&[("a", &[][..])], &["readings.choices.a", "no alternative"]),
            (&[("a", &["preset=none"][..])], &["readings.choices.a", "preset"]),
            (&[("a", &["task.cap_d_m=50", "task.cap_d_m=50"][..])], &["listed twice"]),
        ] {
            let error = refused(choices);
            assert!(words.iter().all(|w| error.contains(w)) && !error.contains('\n'), "{error}");
        }
    }
}
