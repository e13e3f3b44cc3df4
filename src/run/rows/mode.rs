//! Rows of one run in another light: as its policies decide in another mode, or as one of its variants was.
//!
//! Every learned agent that can decide in two ways is evaluated in both with the same weights. The mode of
//! `evaluate.greedy` is that of the plain rows; those of the other one have its name as the last word of their variant.
//!
//! What the same weights do in another environment stands beside them too: a word that begins with [`ELSEWHERE`] behind
//! the run's own variant, and before the mode.

use super::{ActivityRow, EVALUATED, EnergyRow, Key, Rows};
use crate::energy::accounts::{INFERENCE, MEASURED};
use std::collections::BTreeSet;

/// The name of the mode in which a policy draws its actions.
pub const SAMPLED: &str = "sampled";
/// The name of the mode in which it takes the mean of their distribution, or what is most probable.
pub const MEAN_ACTION: &str = "mean-action";

/// What the word of an evaluation in another environment than that of training begins with.
pub const ELSEWHERE: &str = "evaluated:";

/// The name of a mode, by `evaluate.greedy`.
pub fn mode_name(greedy: bool) -> &'static str {
    if greedy { MEAN_ACTION } else { SAMPLED }
}

/// `variant` with a further word.
pub fn with_word(variant: &str, word: &str) -> String {
    format!("{variant} {word}").trim_start().into()
}

/// A variant without the mode at its end, and that mode.
fn apart(variant: &str) -> (&str, Option<&'static str>) {
    let mode = [SAMPLED, MEAN_ACTION].into_iter().find(|mode| variant.rsplit(' ').next() == Some(mode));
    match mode {
        Some(mode) => (variant[..variant.len() - mode.len()].trim_end(), Some(mode)),
        None => (variant, None),
    }
}

/// A variant without the word of another environment at its end, and that word.
fn at_home(variant: &str) -> (&str, &str) {
    let word = variant.rsplit(' ').next().filter(|word| word.starts_with(ELSEWHERE)).unwrap_or_default();
    (variant[..variant.len() - word.len()].trim_end(), word)
}

/// Where the variant stands among the labels.
fn variant(key: &Key) -> &str {
    key.labels.last().map_or("", String::as_str)
}

fn labelled(key: &Key, variant: &str) -> Key {
    let mut key = key.clone();
    if let Some(last) = key.labels.last_mut() {
        *last = variant.into();
    }
    key
}

/// The run of a row whatever its variant.
type RunOf = (String, Vec<String>);

fn run_of(key: &Key) -> RunOf {
    (key.agent.clone(), key.labels[..key.labels.len().saturating_sub(1)].to_vec())
}

impl Rows {
    /// The mode of rows that stand beside the plain ones, if there are any.
    pub fn other_mode(&self) -> Option<&'static str> {
        self.evals.iter().find_map(|r| apart(variant(&r.key)).1)
    }

    /// Agents with rows in another mode than that of the plain ones.
    pub fn in_two_modes(&self) -> BTreeSet<String> {
        let two = self.evals.iter().filter(|r| apart(variant(&r.key)).1.is_some());
        two.map(|r| r.key.agent.clone()).collect()
    }

    /// The rows of the mode of `evaluate.greedy` only (`other` is false), or those of the other mode in the place of
    /// the plain ones wherever there are any: what agents do that have one mode, and all of training, is the same.
    #[must_use]
    pub fn in_mode(&self, other: bool) -> Rows {
        let replaced: BTreeSet<(RunOf, &str)> = match other {
            false => BTreeSet::new(),
            true => {
                let keys = self.evals.iter().map(|r| &r.key);
                let of_other = keys.filter_map(|k| match apart(variant(k)) {
                    (own, Some(_)) => Some((run_of(k), own)),
                    (_, None) => None,
                });
                of_other.collect()
            }
        };
        let kept = |key: &Key, evaluated: bool| match apart(variant(key)) {
            (own, Some(_)) => other.then(|| labelled(key, own)),
            (own, None) if evaluated && replaced.contains(&(run_of(key), own)) => None,
            _ => Some(key.clone()),
        };
        self.relabelled(kept)
    }

    /// The rows of one variant as if it were the run itself, of those agents for which `is_part` holds. An agent
    /// without rows in the variant keeps its plain ones. An agent with several labels has rows there if any of its
    /// labels has, because a variant may be what changes a label. Its evaluations in other environments come along.
    #[must_use]
    pub fn of_variant(&self, wanted: &str, is_part: impl Fn(&str) -> bool) -> Rows {
        let there: BTreeSet<&str> = {
            let mine = self.evals.iter().filter(|r| variant(&r.key) == wanted);
            mine.map(|r| r.key.agent.as_str()).collect()
        };
        let kept = |key: &Key, _: bool| {
            let wanted = if there.contains(key.agent.as_str()) { wanted } else { "" };
            let (own, elsewhere) = at_home(variant(key));
            (own == wanted && is_part(&key.agent)).then(|| labelled(key, elsewhere))
        };
        self.relabelled(kept)
    }

    /// The rows whose key `kept` gives, with that key; it is told whether a row is of an evaluation, whose mode
    /// matters, or of a training.
    fn relabelled(&self, kept: impl Fn(&Key, bool) -> Option<Key>) -> Rows {
        macro_rules! table {
            ($table:ident, $evaluated:expr) => {{
                let rows = self.$table.iter();
                rows.filter_map(|r| Some((kept(&r.key, $evaluated(r))?, r)))
                    .map(|(key, r)| {
                        let mut r = r.clone();
                        r.key = key;
                        r
                    })
                    .collect()
            }};
        }
        Rows {
            curves: table!(curves, |_| false),
            evals: table!(evals, |_| true),
            slots: table!(slots, |_| true),
            energy: table!(energy, |r: &EnergyRow| r.stage == INFERENCE && r.method != MEASURED),
            activity: table!(activity, |r: &ActivityRow| r.stage == EVALUATED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CurveRow, EvalRow};
    use super::*;

    fn key(agent: &str, beam: &str, variant: &str) -> Key {
        Key { agent: agent.into(), labels: vec![beam.into(), variant.into()], at: 40.0, seed: 0 }
    }

    fn eval(agent: &str, beam: &str, variant: &str, mean: f64) -> EvalRow {
        EvalRow { key: key(agent, beam, variant), metric: "x".into(), mean, ..EvalRow::default() }
    }

    fn rows() -> Rows {
        let energy = |variant: &str, stage: &str, energy_j: f64| EnergyRow {
            key: key("ppo", "angles", variant),
            stage: stage.into(),
            energy_j,
            ..EnergyRow::default()
        };
        Rows {
            curves: vec![CurveRow { key: key("ppo", "angles", ""), ..CurveRow::default() }],
            evals: vec![
                eval("ppo", "angles", "", 1.0),
                eval("ppo", "angles", "sampled", 2.0),
                eval("ddpg", "angles", "", 3.0),
                eval("ppo", "zf", "task.x=1 sampled", 4.0),
                eval("ppo", "zf", "task.x=1", 5.0),
            ],
            energy: vec![
                energy("", "inference", 1.0),
                energy("sampled", "inference", 2.0),
                energy("", "training-episode", 3.0),
            ],
            ..Rows::default()
        }
    }

    fn told(rows: &Rows) -> Vec<(String, String, String, f64)> {
        let one =
            |r: &EvalRow| (r.key.agent.clone(), r.key.labels[0].clone(), r.key.labels[1].clone(), r.mean);
        rows.evals.iter().map(one).collect()
    }

    fn row(agent: &str, beam: &str, variant: &str, mean: f64) -> (String, String, String, f64) {
        (agent.into(), beam.into(), variant.into(), mean)
    }

    #[test]
    fn a_mode_is_one_or_the_other_and_never_both() {
        let all = rows();
        assert_eq!(all.other_mode(), Some(SAMPLED));
        assert_eq!(all.in_two_modes().into_iter().collect::<Vec<_>>(), ["ppo"]);
        let own = [
            row("ppo", "angles", "", 1.0),
            row("ddpg", "angles", "", 3.0),
            row("ppo", "zf", "task.x=1", 5.0),
        ];
        assert_eq!(told(&all.in_mode(false)), own);
        let other = [
            row("ppo", "angles", "", 2.0),
            row("ddpg", "angles", "", 3.0),
            row("ppo", "zf", "task.x=1", 4.0),
        ];
        assert_eq!(told(&all.in_mode(true)), other);
        // What a training took has no mode, and its curves stay.
        let energies = |rows: Rows| rows.energy.iter().map(|r| r.energy_j).collect::<Vec<_>>();
        assert_eq!(energies(all.in_mode(false)), [1.0, 3.0]);
        assert_eq!(energies(all.in_mode(true)), [2.0, 3.0]);
        assert_eq!(all.in_mode(true).curves.len(), 1);
        // Rows of one mode only are what they are in either.
        let plain = all.in_mode(false);
        assert_eq!((plain.other_mode(), told(&plain.in_mode(true))), (None, told(&plain)));
    }

    #[test]
    fn a_variant_stands_for_the_run_where_it_has_rows() {
        let all = rows();
        let seen = all.in_mode(true).of_variant("task.x=1", |_| true);
        assert_eq!(told(&seen), [row("ddpg", "angles", "", 3.0), row("ppo", "zf", "", 4.0)]);
        let seen = all.in_mode(false).of_variant("task.x=1", |agent| agent != "ddpg");
        assert_eq!(told(&seen), [row("ppo", "zf", "", 5.0)]);
        assert_eq!(told(&all.in_mode(false).of_variant("", |_| true)).len(), 2);
        // Of the same weights in another environment.
        let mut all = rows();
        let elsewhere = |own: &str| format!("{own} {ELSEWHERE}errors=2").trim_start().to_string();
        all.evals.extend([
            eval("ppo", "angles", &elsewhere(""), 6.0),
            eval("ppo", "zf", &elsewhere("task.x=1"), 7.0),
            eval("ppo", "zf", &format!("{} sampled", elsewhere("task.x=1")), 8.0),
        ]);
        for (other, plain, there) in [(false, 5.0, 7.0), (true, 4.0, 8.0)] {
            let seen = all.in_mode(other).of_variant("task.x=1", |agent| agent == "ppo");
            let word = elsewhere("");
            assert_eq!(told(&seen), [row("ppo", "zf", "", plain), row("ppo", "zf", &word, there)]);
        }
        let seen = all.in_mode(false).of_variant("", |agent| agent == "ppo");
        assert_eq!(told(&seen), [row("ppo", "angles", "", 1.0), row("ppo", "angles", &elsewhere(""), 6.0)]);
        // A word that only looks like a mode belongs to the variant.
        assert_eq!(apart("x=sampled"), ("x=sampled", None));
        assert_eq!(apart("x=1 mean-action"), ("x=1", Some(MEAN_ACTION)));
    }
}
