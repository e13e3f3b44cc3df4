//! Agents against each other: means with intervals, paired differences, probability of improvement, ranks and
//! performance profiles, from evaluations, trainings, sweeps and reports alike.
//!
//! An agent has a value for each metric, seed and condition (the swept keys of the task). Values of one seed and
//! condition have the same draws of the environment, so they make a pair.

#[cfg(feature = "report")]
mod page;
#[cfg(feature = "report")]
mod read;
mod tell;

#[cfg(feature = "report")]
pub use page::{ASKED, Asked, again, write};
#[cfg(feature = "report")]
pub use read::{CompareError, Read, read, same_value};
pub use tell::{METHOD, json, text};

#[cfg(feature = "report")]
use super::registry::AnyTask;
use super::task::{Better, Facts};
use crate::num::compare::{self, Paired, Runs, Share, Table};
use crate::num::stats::{self, Interval, once};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const BOOTSTRAP_SEED: u32 = 0;

/// Swept keys and their values, in the order of the keys; empty where nothing is swept.
pub type Condition = Vec<(String, String)>;

/// Both as one text.
pub fn condition_text(condition: &Condition) -> String {
    condition.iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join(", ")
}

/// What one agent reached with one seed under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub agent: String,
    pub condition: Condition,
    pub seed: u32,
    pub metric: String,
    /// In the metric's unit.
    pub value: f64,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub interval: Option<Interval>,
    /// Runs behind it.
    pub runs: usize,
}

/// One agent of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Of {
    pub agent: String,
    /// Over all conditions that are compared.
    pub all: Estimate,
    /// Interquartile mean of the same runs.
    pub iqm: f64,
    pub iqm_interval: Option<Interval>,
    /// Under each of [`Comparison::conditions`]; `None` where it did not run.
    pub by_condition: Vec<Option<Estimate>>,
    /// Probability of each rank, the best first; empty where no agent has two runs.
    pub ranks: Vec<f64>,
    /// Shares of runs above normalised scores.
    pub profile: Vec<Share>,
}

impl Of {
    /// Its mean rank, from 1; NaN without ranks.
    pub fn mean_rank(&self) -> f64 {
        if self.ranks.is_empty() {
            return f64::NAN;
        }
        self.ranks.iter().enumerate().map(|(i, p)| (i + 1) as f64 * p).sum()
    }
}

/// Two agents of a comparison, by their places.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub a: usize,
    pub b: usize,
    /// The difference `a − b`, in the metric's unit and with its own sign; `above` counts pairs in which `a` is better.
    pub paired: Option<Paired>,
    /// Probability that a run of `a` is better than one of `b`.
    pub improvement: Option<(f64, Option<Interval>)>,
}

/// Agents by one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub metric: String,
    pub facts: Facts,
    pub better: Better,
    /// All of them, those under which all agents ran first.
    pub conditions: Vec<Condition>,
    /// How many of them all agents share: means over all, ranks and profiles are of these. Where they share none, means
    /// are of what each has, and there are neither ranks nor profiles.
    pub shared: usize,
    /// The best one first.
    pub agents: Vec<Of>,
    /// Each agent with every one behind it.
    pub pairs: Vec<Pair>,
    /// The fewest seeds of any agent under any condition.
    pub seeds: usize,
}

/// What is known of a metric; `train_` before its name says that it was measured in the last update of a training.
#[cfg(feature = "report")]
pub fn facts_of(task: Option<&dyn AnyTask>, metric: &str) -> Facts {
    let plain = metric.strip_prefix("train_").unwrap_or(metric);
    task.map_or_else(|| Facts::of(plain), |t| t.facts(plain))
}

/// Places of a performance profile: from well below the worst agent's mean to well above the best one's.
fn places() -> Vec<f64> {
    (-10..=30).map(|i| f64::from(i) * 0.05).collect()
}

/// Mean and 95 % percentile bootstrap interval over seeds, kept in the metric's range.
pub fn estimate(strata: &[Vec<f64>], facts: &Facts) -> Estimate {
    let all = strata.concat();
    let interval = stats::stratified_95(strata, BOOTSTRAP_SEED, stats::mean);
    let interval = interval.map(|i| i.within(facts.range));
    Estimate { mean: stats::mean(&all), interval, runs: all.len() }
}

/// Compares the agents by `metric`; `None` if fewer than two have it. `better` decides where the metric's facts do not;
/// without either, more is taken to be better.
pub fn compare(scores: &[Score], metric: &str, facts: &Facts, better: Option<Better>) -> Option<Comparison> {
    let own: Vec<&Score> = scores.iter().filter(|s| s.metric == metric && s.value.is_finite()).collect();
    let agents = once(own.iter().map(|s| s.agent.as_str()));
    if agents.len() < 2 {
        return None;
    }
    let better = better.or(facts.better).unwrap_or(Better::Higher);
    let place: HashMap<&str, usize> = agents.iter().enumerate().map(|(i, a)| (*a, i)).collect();
    // Conditions in the order of their first appearance, each with the runs of all agents.
    let mut known: HashMap<&Condition, usize> = HashMap::new();
    let mut found: Vec<(&Condition, Vec<BTreeMap<u32, f64>>)> = Vec::new();
    for s in &own {
        let c = *known.entry(&s.condition).or_insert_with(|| {
            found.push((&s.condition, vec![BTreeMap::new(); agents.len()]));
            found.len() - 1
        });
        found[c].1[place[s.agent.as_str()]].insert(s.seed, s.value);
    }
    let whole = |runs: &[BTreeMap<u32, f64>]| runs.iter().all(|r| !r.is_empty());
    let shared = found.iter().filter(|(_, runs)| whole(runs)).count();
    found.sort_by_key(|(_, runs)| !whole(runs));
    let conditions: Vec<&Condition> = found.iter().map(|f| f.0).collect();
    let runs: Vec<Vec<BTreeMap<u32, f64>>> = found.iter().map(|f| f.1.clone()).collect();
    let of = |c: usize, a: usize, sign: f64| -> Runs {
        runs[c][a].iter().map(|(seed, x)| (*seed, sign * x)).collect()
    };
    let table = |sign: f64, agents: &[usize]| -> Table {
        (0..conditions.len()).map(|c| agents.iter().map(|a| of(c, *a, sign)).collect()).collect()
    };
    let order: Vec<usize> = (0..agents.len()).collect();
    let plain = table(1.0, &order);
    let signed = table(better.sign(), &order);
    let complete = compare::complete(&signed);
    let ranks = compare::ranks(&complete);
    let normalised = compare::normalised(&complete);
    let compared = if shared > 0 { shared } else { conditions.len() };
    let values = |runs: &Runs| runs.iter().map(|r| r.1).collect::<Vec<f64>>();
    let mut all: Vec<(usize, Of)> = order
        .iter()
        .map(|a| {
            let strata: Vec<Vec<f64>> =
                plain[..compared].iter().map(|c| values(&c[*a])).filter(|x| !x.is_empty()).collect();
            let by_condition = plain.iter().map(|c| {
                let x = values(&c[*a]);
                (!x.is_empty()).then(|| estimate(&[x], facts))
            });
            let iqm = stats::stratified_95(&strata, BOOTSTRAP_SEED, stats::iqm);
            let of = Of {
                agent: agents[*a].into(),
                all: estimate(&strata, facts),
                iqm: stats::iqm(&strata.concat()),
                iqm_interval: iqm.map(|i| i.within(facts.range)),
                by_condition: by_condition.collect(),
                ranks: ranks.get(*a).cloned().unwrap_or_default(),
                profile: match normalised.is_empty() {
                    true => Vec::new(),
                    false => compare::profile(&normalised, *a, &places()),
                },
            };
            (*a, of)
        })
        .collect();
    // By the expected rank, then by the mean.
    let expected = |of: &Of| if of.ranks.is_empty() { 0.0 } else { of.mean_rank() };
    let key = |of: &Of| (expected(of), -better.sign() * of.all.mean);
    all.sort_by(|(_, x), (_, y)| {
        let (x, y) = (key(x), key(y));
        x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1))
    });
    let signed = table(better.sign(), &all.iter().map(|(a, _)| *a).collect::<Vec<_>>());
    let two: Vec<(usize, usize)> =
        (0..all.len()).flat_map(|a| (a + 1..all.len()).map(move |b| (a, b))).collect();
    let pair = |(a, b): (usize, usize)| {
        let paired = compare::paired(&signed, a, b).map(|p| Paired {
            difference: better.sign() * p.difference,
            interval: p.interval.map(|i| turned(i, better)),
            ..p
        });
        Pair { a, b, paired, improvement: compare::improvement(&signed, a, b) }
    };
    let pairs: Vec<Pair> = two.into_par_iter().map(pair).collect();
    let seeds = runs.iter().flatten().map(BTreeMap::len).filter(|n| *n > 0).min().unwrap_or(0);
    Some(Comparison {
        metric: metric.into(),
        facts: *facts,
        better,
        conditions: conditions.into_iter().cloned().collect(),
        shared,
        agents: all.into_iter().map(|(_, of)| of).collect(),
        pairs,
        seeds,
    })
}

/// The interval with the sign of the metric.
fn turned(i: Interval, better: Better) -> Interval {
    match better {
        Better::Higher => i,
        Better::Lower => Interval { lo: -i.hi, hi: -i.lo },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(agent: &str, power: f64, seed: u32, value: f64) -> Score {
        let condition = vec![("p_max_dbm".to_string(), power.to_string())];
        Score { agent: agent.into(), condition, seed, metric: "cost".into(), value }
    }

    fn scores() -> Vec<Score> {
        let mut out = Vec::new();
        for seed in 0..3 {
            let x = f64::from(seed);
            for power in [0.0, 40.0] {
                out.push(score("dear", power, seed, 10.0 + power + x));
                out.push(score("cheap", power, seed, 9.0 + power + x));
            }
            out.push(score("partial", 40.0, seed, 30.0 + x));
        }
        out
    }

    #[test]
    fn costs_are_better_the_lower_they_are() {
        let mut all = scores();
        all.retain(|s| s.agent != "partial");
        let c = compare(&all, "cost", &Facts::of("cost").lower(), None).unwrap();
        assert_eq!(c.agents.iter().map(|a| a.agent.as_str()).collect::<Vec<_>>(), ["cheap", "dear"]);
        assert_eq!((c.shared, c.seeds, c.agents[0].ranks.as_slice()), (2, 3, &[1.0, 0.0][..]));
        let p = c.pairs[0].paired.as_ref().unwrap();
        assert_eq!((p.difference, p.above, p.pairs), (-1.0, 6, 6));
        assert_eq!(p.interval, Some(Interval { lo: -1.0, hi: -1.0 }));
        assert!(c.pairs[0].improvement.unwrap().0 > 0.5);
        // Taken the other way round, the order turns.
        let c = compare(&all, "cost", &Facts::of("cost"), Some(Better::Higher)).unwrap();
        assert_eq!(c.agents[0].agent, "dear");
        assert_eq!(c.pairs[0].paired.as_ref().unwrap().difference, 1.0);
    }

    #[test]
    fn means_are_of_the_conditions_that_all_have() {
        let c = compare(&scores(), "cost", &Facts::of("cost").lower(), None).unwrap();
        assert_eq!((c.conditions.len(), c.shared), (2, 1));
        assert_eq!(condition_text(&c.conditions[0]), "p_max_dbm = 40");
        assert_eq!((c.agents[0].agent.as_str(), c.agents[0].all.mean), ("partial", 31.0));
        assert_eq!(c.agents[0].by_condition[1], None);
        assert_eq!(c.agents[1].by_condition[1].unwrap().mean, 10.0);
        // Pairs are of whatever two agents share.
        assert_eq!(c.pairs[2].paired.as_ref().unwrap().pairs, 6);
    }

    #[test]
    fn one_agent_is_no_comparison() {
        let all = [score("a", 0.0, 0, 1.0), score("b", 0.0, 0, f64::NAN)];
        assert_eq!(compare(&all, "cost", &Facts::of("cost"), None), None);
        assert_eq!(compare(&all, "other", &Facts::of("other"), None), None);
    }

    #[test]
    fn intervals_stay_in_the_range_of_a_metric() {
        let e = estimate(&[vec![0.9, 1.0, 1.0]], &Facts::of("x_share"));
        assert!(e.interval.unwrap().hi <= 1.0);
        let e = estimate(&[vec![-5.0, 5.0]], &Facts::of("x_share"));
        assert_eq!(e.interval, Some(Interval { lo: 0.0, hi: 1.0 }));
    }
}
