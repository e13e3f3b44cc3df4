//! The best weights of a training beside its last ones.
//!
//! Whenever a checkpoint is due, a replica's score is its mean reward since the one before. Weights of the highest
//! score are kept, replica by replica. Scores are of rewards that were met in training, with drawn actions: weights
//! that are chosen by them flatter, so judge them by an evaluation, which has other seeds.

use crate::files::{if_there, write_whole};
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::JobError;
use crate::run::rows::{CurveRow, Schema};
use crate::run::task::Task;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The column of the curves that scores are made of.
const REWARD: &str = "reward";

/// What is known of one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Score {
    /// Updates done.
    updates: u32,
    /// Mean since the checkpoint before.
    reward: f64,
}

pub(super) struct Best {
    /// Place of the reward among the columns of the curves.
    column: Option<usize>,
    every: u32,
    total: u32,
    scores: Vec<Option<Score>>,
    /// `[R, P]`; empty before the first score.
    params: Vec<f32>,
}

impl Best {
    pub(super) fn new(schema: &Schema, replicas: usize, every: u32, total: u32) -> Best {
        let column = schema.curve.iter().position(|c| c.name == REWARD);
        Best { column, every: every.max(1), total, scores: vec![None; replicas], params: Vec::new() }
    }

    /// Weights, and the scores that they have.
    pub(super) fn paths(dir: &Path) -> [PathBuf; 2] {
        [dir.join("best.safetensors"), dir.join("best.json")]
    }

    /// Looks at the rows since the last checkpoint, if one is due after `updates` updates, and takes the weights of
    /// replicas that were never better; whether there is any.
    pub(super) fn see(&mut self, updates: u32, params: &[f32], rows: &[CurveRow]) -> bool {
        let due = updates.is_multiple_of(self.every) || updates == self.total;
        let Some(column) = self.column.filter(|_| due && updates > 0) else { return false };
        let from = (updates - 1) / self.every * self.every;
        let replicas = self.scores.len();
        let mut sums = vec![(0.0, 0u32); replicas];
        // Rows come replica by replica, update by update.
        for (i, row) in rows.iter().enumerate().rev() {
            if row.update < from {
                break;
            }
            let sum = &mut sums[i % replicas];
            *sum = (sum.0 + row.slots[column], sum.1 + 1);
        }
        let mut better = false;
        let width = params.len() / replicas;
        for (r, (sum, n)) in sums.into_iter().enumerate() {
            let reward = sum / f64::from(n);
            let weights = &params[r * width..][..width];
            let above = self.scores[r].as_ref().is_none_or(|s| reward > s.reward);
            if n == 0 || !reward.is_finite() || !above || weights.iter().any(|x| !x.is_finite()) {
                continue;
            }
            if self.params.is_empty() {
                self.params = params.to_vec();
            }
            self.params[r * width..][..width].copy_from_slice(weights);
            self.scores[r] = Some(Score { updates, reward });
            better = true;
        }
        better && self.params.iter().all(|x| x.is_finite())
    }

    /// Weights first: scores without them would be believed.
    pub(super) fn save<C: Task>(&self, dir: &Path, like: &Checkpoint<C>) -> Result<(), JobError> {
        let [weights, scores] = Best::paths(dir);
        let mut best = like.weights_of(0..self.scores.len());
        best.state.params.clone_from(&self.params);
        best.save_weights(&weights)?;
        let text = serde_json::to_string_pretty(&self.scores).expect("numbers are always JSON") + "\n";
        write_whole(&scores, text.as_bytes()).map_err(|e| JobError::file(&scores, e))
    }

    /// What a run that is continued has found. Files that do not fit are none: the search begins anew.
    pub(super) fn load<C: Task>(&mut self, dir: &Path, replicas: &[(f64, u32)]) {
        let [weights, scores] = Best::paths(dir);
        let text = if_there(std::fs::read(scores)).ok().flatten();
        let scores = text.and_then(|text| serde_json::from_slice::<Vec<Option<Score>>>(&text).ok());
        let saved = Checkpoint::<C>::load(&weights).ok().filter(|c| c.replicas() == replicas);
        if let (Some(scores), Some(saved)) = (scores.filter(|s| s.len() == replicas.len()), saved) {
            (self.scores, self.params) = (scores, saved.state.params);
        }
    }

    /// (updates, mean reward) of each replica's best.
    pub(super) fn found(&self) -> Vec<Option<(u32, f64)>> {
        self.scores.iter().map(|s| s.as_ref().map(|s| (s.updates, s.reward))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::v2x::rows::SCHEMA;

    fn rows(rewards: &[[f64; 2]]) -> Vec<CurveRow> {
        let row = |update: usize, x: f64| CurveRow {
            update: update as u32,
            slots: vec![x, 0.0, 0.0, 0.0],
            ..CurveRow::default()
        };
        rewards.iter().enumerate().flat_map(|(u, r)| r.iter().map(move |x| row(u, *x))).collect()
    }

    #[test]
    fn every_replica_keeps_its_own_best() {
        let all = rows(&[[1.0, 9.0], [3.0, 7.0], [5.0, 1.0], [5.0, 1.0], [0.0, 2.0]]);
        let mut best = Best::new(&SCHEMA, 2, 2, 5);
        assert!(!best.see(1, &[1.0, 1.0], &all[..2]), "no checkpoint is due");
        assert!(best.see(2, &[2.0, 2.0], &all[..4]));
        assert!(best.see(4, &[4.0, 4.0], &all[..8]));
        assert!(!best.see(5, &[5.0, 5.0], &all));
        assert_eq!(best.found(), [Some((4, 5.0)), Some((2, 8.0))]);
        assert_eq!(best.params, [4.0, 2.0]);
    }

    #[test]
    fn what_is_not_finite_is_never_the_best() {
        let all = rows(&[[1.0, 1.0], [9.0, f64::NAN]]);
        let mut best = Best::new(&SCHEMA, 2, 1, 2);
        assert!(best.see(1, &[1.0, 1.0], &all[..2]));
        assert!(!best.see(2, &[f32::INFINITY, 2.0], &all));
        assert_eq!(best.params, [1.0, 1.0]);
    }
}
