//! Rung after rung: train, evaluate, rank, and go on with the best trials of each agent.

use super::plan::Tuning;
use crate::run::sweep::dataset::{Dataset, PlanFile, Replicated, Status, read_part};
use crate::run::sweep::run::{self, Done, PASSED, Way, clear, passed_file};
use crate::run::sweep::{Plan, Shard, SweepError, remove};
use crate::run::task::{Better, Task};
use std::cmp::Ordering;

/// What one trial gave in a rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// From 0.
    pub number: usize,
    /// Its replicas, one for each seed.
    pub replicas: Vec<Replicated>,
    /// Mean of the objective over seeds; `None` where one of them has diverged or is not finite: such a trial is the
    /// worst.
    pub objective: Option<f64>,
}

/// What an agent's trials gave in a rung, the best first.
pub type Ranking = Vec<Trial>;

impl Trial {
    pub(super) fn new(number: usize, replicas: Vec<Replicated>, metric: &str) -> Trial {
        let of = |r: &Replicated| match r.status {
            Status::Ok => r.metrics.iter().find(|m| m.metric == metric).map(|m| m.mean),
            _ => None,
        };
        let all: Option<Vec<f64>> = replicas.iter().map(of).collect();
        let objective = all.map(|x| crate::num::stats::mean(&x)).filter(|x| x.is_finite());
        Trial { number, replicas, objective }
    }

    /// The mean of a metric over the seeds that have it.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let named = |r: &Replicated| r.metrics.iter().find(|m| m.metric == metric).map(|m| m.mean);
        let all: Vec<f64> = self.replicas.iter().filter_map(named).filter(|x| x.is_finite()).collect();
        (!all.is_empty()).then(|| crate::num::stats::mean(&all))
    }
}

/// The better one first; what diverged last; of equal ones the earlier trial.
pub(super) fn order(better: Better, a: &Trial, b: &Trial) -> Ordering {
    let by_objective = match (a.objective, b.objective) {
        (Some(a), Some(b)) if better == Better::Higher => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    by_objective.then(a.number.cmp(&b.number))
}

/// What a tuning left.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// `rungs[rung][agent]`
    pub rungs: Vec<Vec<Ranking>>,
    pub done: Done,
}

impl Tuned {
    /// The best trial of an agent, of those that went to the end; `None` where none of them ended well.
    pub fn chosen(&self, agent: usize) -> Option<&Trial> {
        self.rungs.last()?[agent].first().filter(|t| t.objective.is_some())
    }
}

impl<C: Task> Tuning<C> {
    /// `plan.json` of all that may happen, by which a folder is known.
    pub fn file(&self, device: &str) -> PlanFile {
        self.file_of(&self.all, device)
    }

    fn file_of(&self, plan: &Plan<C>, device: &str) -> PlanFile {
        PlanFile { tuning: self.settings.clone(), ..PlanFile::of(plan, Shard::WHOLE, device) }
    }

    /// Does what is missing. `dataset` was opened by [`Tuning::file`] of the same device; its plan lists what the
    /// tuning has come to.
    ///
    /// # Errors
    /// What stops the job; committed points stay.
    pub fn run(&self, dataset: &mut Dataset, device: &str, way: &mut Way) -> Result<Tuned, SweepError> {
        let passed = dataset.dir.join(PASSED);
        let mut out =
            Tuned { rungs: Vec::new(), done: Done { found: dataset.done.len(), ..Done::default() } };
        // The trials of each agent in the rungs so far.
        let mut who = vec![vec![(0..self.trials).collect::<Vec<_>>(); self.agents.len()]];
        for rung in 0..self.sizes.len() {
            let plan = self.part(&who);
            let file = self.file_of(&plan, device);
            file.save(&dataset.dir)?;
            let done = run::run(&plan, &file, dataset, way)?;
            out.done.computed += done.computed;
            out.done.not_ok += done.not_ok;
            let ranked =
                who[rung].iter().enumerate().map(|(a, trials)| self.ranking(dataset, rung, a, trials));
            let ranked: Vec<Ranking> = ranked.collect::<Result<_, _>>()?;
            if let Some(size) = self.sizes.get(rung + 1) {
                let best = |r: &Ranking| {
                    let well = r.iter().filter(|t| t.objective.is_some());
                    let mut best: Vec<usize> = well.take(*size).map(|t| t.number).collect();
                    best.sort_unstable();
                    best
                };
                let next: Vec<Vec<usize>> = ranked.iter().map(best).collect();
                for (agent, trials) in who[rung].iter().enumerate() {
                    let ends = trials.iter().filter(|t| !next[agent].contains(*t));
                    ends.map(|t| (rung, agent, *t)).try_for_each(|place| self.forget(&passed, place))?;
                }
                who.push(next);
            }
            if rung > 0 {
                // What these trials went on from.
                for (agent, trials) in who[rung].iter().enumerate() {
                    let mut before = trials.iter().map(|t| (rung - 1, agent, *t));
                    before.try_for_each(|place| self.forget(&passed, place))?;
                }
            }
            out.rungs.push(ranked);
        }
        clear(&passed)?;
        Ok(out)
    }

    /// Removes the states that a trial has left for a later rung.
    fn forget(
        &self,
        passed: &std::path::Path,
        (rung, agent, trial): (usize, usize, usize),
    ) -> Result<(), SweepError> {
        for seed in &self.all.seeds {
            remove(&passed_file(passed, &self.point(rung, agent, trial).id, *seed))?;
        }
        Ok(())
    }

    fn ranking(
        &self,
        dataset: &Dataset,
        rung: usize,
        agent: usize,
        trials: &[usize],
    ) -> Result<Ranking, SweepError> {
        let one = |t: &usize| {
            let replicas = read_part(&dataset.done[&self.point(rung, agent, *t).id])?;
            Ok(Trial::new(*t, replicas, &self.objective))
        };
        let mut out = trials.iter().map(one).collect::<Result<Ranking, SweepError>>()?;
        out.sort_by(|a, b| order(self.better, a, b));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sweep::task::Measured;

    #[test]
    fn what_diverged_is_the_worst_and_earlier_trials_come_first_of_equal_ones() {
        let trial = |number: usize, means: &[f64]| {
            let one = |(seed, mean): (usize, &f64)| {
                let status = if mean.is_nan() { Status::Diverged } else { Status::Ok };
                let m = Measured { metric: "x".into(), episodes: 1, mean: *mean, std_error: 0.0, step: None };
                Replicated { seed: seed as u32, status, metrics: vec![m] }
            };
            Trial::new(number, means.iter().enumerate().map(one).collect(), "x")
        };
        let all = [
            trial(0, &[f64::NAN, 100.0]),
            trial(1, &[1.0, 3.0]),
            trial(2, &[2.0, 2.0]),
            trial(3, &[5.0, 5.0]),
            trial(4, &[f64::NAN, f64::NAN]),
        ];
        let by = |better| {
            let mut ranked = all.to_vec();
            ranked.sort_by(|a, b| order(better, a, b));
            ranked.iter().map(|t| t.number).collect::<Vec<_>>()
        };
        assert_eq!(by(Better::Higher), [3, 1, 2, 0, 4]);
        assert_eq!(by(Better::Lower), [1, 2, 3, 0, 4]);
        assert_eq!((all[0].objective, all[0].mean("x"), all[1].objective), (None, Some(100.0), Some(2.0)));
    }
}
