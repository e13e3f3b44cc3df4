//! The runs of a reproduction: each trains an agent, if it learns, evaluates it over a grid of swept values and seeds,
//! and adds its rows.

use super::training::{RunId, Trained, Training};
use super::{Way, grid};
use crate::energy::TrainingSchedule;
use crate::energy::accounts;
use crate::energy::meters::{Joules, Meter, SYSFS};
use crate::files::{if_there, write_whole};
use crate::gpu::Gpu;
use crate::learn::Algorithm;
use crate::run::errors::JobError;
use crate::run::rows::{
    ActivityRow, ELSEWHERE, EVALUATED, EnergyRow, EvalRow, Key, Rows, SlotRow, mode_name, with_word,
};
use crate::run::task::{Agent, Evaluated, Run, Task, Unit, Weights, units};
use crate::run::watch::{Quiet, Watch};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Trains and evaluates all [`Task::runs`] of a configuration.
///
/// # Errors
/// What stopped the job; what was trained can be continued.
pub fn reproduce<C: Task>(config: &C, way: &Way) -> Result<Rows, JobError> {
    let mut rows = Rows::default();
    for (n, run) in config.runs().iter().enumerate() {
        way.watch.run(n);
        let own = run.rows(way)?;
        rows.curves.extend(own.curves);
        rows.evals.extend(own.evals);
        rows.slots.extend(own.slots);
        rows.energy.extend(own.energy);
        rows.activity.extend(own.activity);
    }
    Ok(rows)
}

/// Rows that a run has left, and what they depend on.
#[derive(Serialize, Deserialize)]
struct Left {
    of: String,
    rows: Rows,
}

/// Name of that file.
const ROWS: &str = "rows.json";

/// The rows that a run has left in a job that is continued. Runs that share a folder overwrite each other's rows, and
/// are done again.
pub(super) fn left<C: Task>(run: &Run<C>, way: &Way) -> Result<Option<Rows>, JobError> {
    if !way.resume || way.measure {
        return Ok(None);
    }
    let path = way.out.join("training").join(&run.folder).join(ROWS);
    let text = if_there(std::fs::read(&path)).map_err(|e| JobError::file(&path, e))?;
    let left = text.and_then(|text| serde_json::from_slice::<Left>(&text).ok());
    Ok(left.filter(|left| left.of == run.text(way)).map(|left| left.rows))
}

/// Joules per slot (a decision and a step of its environment) by the device's counter, idle power subtracted, if
/// `asked`. Evaluates the given replicas again and again.
pub fn measured<C: Task>(
    agent: &Agent<C>,
    units: &[Unit<C>],
    weights: Weights,
    gpu: Option<&Gpu>,
    asked: bool,
    watch: &dyn Watch,
) -> Joules {
    let Some(first) = units.first() else { return Err("there are no replicas".into()) };
    // Software adapters run on the processor.
    let board = gpu.filter(|g| !g.is_software());
    let mut meter = Meter::open(Path::new(SYSFS), board, "--measure-energy", asked)?;
    let episodes = first.config.common().evaluate.episodes.min(1024);
    let short: Vec<C> = units.iter().map(|u| u.config.with_episodes(episodes)).collect();
    let short: Vec<_> = short.iter().zip(units).map(|(config, u)| Unit { config, seed: u.seed }).collect();
    let slots = episodes * (units.len() * first.config.env(&[]).sizes().slots) as u64;
    watch.begin(&format!("measure {}", agent.id), 1);
    let joules = meter.joules("; policy with its environment", || {
        C::evaluate(agent, &short, Some(weights), gpu, &Quiet).map_err(|e| e.to_string())?;
        Ok(slots)
    });
    watch.end();
    joules
}

/// Mean over all updates of a replica's firing rates, hidden layers in the order of their networks.
fn mean_rates(rows: &[ActivityRow], key: &Key) -> Vec<f64> {
    let mut sums: Vec<((&str, u32), f64, u32)> = Vec::new();
    for r in rows.iter().filter(|r| r.key == *key && r.value.is_finite()) {
        let place = (r.network.as_str(), r.layer);
        match sums.iter_mut().find(|s| s.0 == place) {
            Some((_, sum, n)) => {
                *sum += r.value;
                *n += 1;
            }
            None => sums.push((place, r.value, 1)),
        }
    }
    sums.iter().map(|(_, sum, n)| sum / f64::from(*n)).collect()
}

/// Rows of one evaluated replica.
fn evaluation<C: Task>(key: &Key, e: Evaluated, rows: &mut Rows) {
    let row = |(metric, x): (String, crate::run::evaluate::Estimate)| EvalRow {
        key: key.clone(),
        episodes: e.episodes,
        metric,
        mean: x.mean,
        std_error: x.std_error,
    };
    rows.evals.extend(e.metrics.into_iter().filter(|m| C::facts(&m.0).in_rows).map(row));
    let slots = e.slots.first().map_or(0, Vec::len);
    rows.slots.extend((0..slots).map(|t| SlotRow {
        key: key.clone(),
        slot: t as u32,
        values: e.slots.iter().map(|s| s[t].mean).collect(),
    }));
    rows.energy.extend(e.energy.into_iter().map(|x| EnergyRow::new(key, x)));
    rows.activity.extend(e.counted.into_iter().map(|q| ActivityRow::new(key, EVALUATED, None, q)));
}

impl<C: Task> Run<C> {
    /// Everything that its rows depend on, as text.
    fn text(&self, way: &Way) -> String {
        let elsewhere = self.elsewhere.iter().map(|(word, config)| format!("{word}: {}", config.to_toml()));
        let device = way.gpu.map_or("cpu".into(), |g| format!("{:?}", g.info));
        let of = [
            format!("{} {:?} at {:?} on {device}", self.agent.id, self.variant, self.swept),
            format!("{:?} {}", self.precisions, env!("CARGO_PKG_VERSION")),
            self.config.to_toml(),
            self.own.to_toml(),
        ];
        of.into_iter().chain(elsewhere).collect::<Vec<_>>().join("\n")
    }

    /// Its rows: those that it left in a job that is continued, or new ones, which it leaves. So a long job that stops
    /// between two runs, or behind the last one, evaluates nothing twice.
    fn rows(&self, way: &Way) -> Result<Rows, JobError> {
        let (dir, of) = (way.out.join("training").join(&self.folder), self.text(way));
        let path = dir.join(ROWS);
        if let Some(rows) = left(self, way)? {
            way.watch.begin(&format!("{} {}: rows are there", self.agent.id, self.variant), 1);
            way.watch.end();
            if let Some(journal) = way.journal.filter(|_| self.agent.is_learned()) {
                let updates = self.own.common().train.updates;
                journal.begin(updates, updates)?;
            }
            return Ok(rows);
        }
        let mut rows = Rows::default();
        self.add_rows(way, &mut rows)?;
        let left = Left { of, rows };
        let text = serde_json::to_vec(&left).map_err(|e| JobError::file(&path, e))?;
        std::fs::create_dir_all(&dir)
            .and_then(|()| write_whole(&path, &text))
            .map_err(|e| JobError::file(&path, e))?;
        Ok(left.rows)
    }

    fn add_rows(&self, way: &Way, rows: &mut Rows) -> Result<(), JobError> {
        let (agent, watch) = (self.agent, way.watch);
        let grid = grid(&self.swept, &self.config.common().train.seeds);
        let mut trained = None;
        if agent.is_learned() {
            let training = Training {
                config: &self.own,
                run: RunId { agent, variant: self.variant.clone() },
                replicas: grid.clone(),
                dir: way.out.join("training").join(&self.folder),
                every: self.config.common().checkpoint_every,
                resume: way.resume,
                journal: way.journal,
                events: None,
                best: false,
            };
            trained = Some(training.run(way.gpu, watch)?);
        }
        let configs: Vec<C> = grid.iter().map(|(x, _)| self.config.at(*x)).collect();
        let units = units(&configs, &grid);
        let gpu = way.gpu.map(|g| &**g);
        let algorithm = trained.as_ref().map(|t: &Trained<C>| t.checkpoint.algorithm());
        let weights = trained.as_ref().zip(algorithm.as_ref());
        let weights = weights.map(|(t, a)| Weights::trained(a, &t.checkpoint.state.params));
        let results = C::evaluate(agent, &units, weights, gpu, watch)?;
        // An agent of experts has no account of its training in rows.
        let schedule =
            algorithm.as_ref().filter(|a| !matches!(a, Algorithm::Experts(_))).map(TrainingSchedule::of);
        for (place, e) in grid.iter().zip(results) {
            let key = self.config.key(agent, &self.variant, *place);
            evaluation::<C>(&key, e, rows);
            if let (Some(schedule), Some(trained)) = (&schedule, &trained) {
                let (energy, counted) = accounts::training(schedule, &mean_rates(&trained.activity, &key));
                rows.energy.extend(energy.into_iter().map(|x| EnergyRow::new(&key, x)));
                rows.activity.extend(counted.into_iter().map(|q| ActivityRow::new(&key, "train", None, q)));
            }
        }
        // A policy that can decide in two ways is asked for both.
        if let (Some(weights), true) = (weights, self.config.reads(agent, "evaluate.greedy")) {
            let greedy = !self.config.common().evaluate.greedy;
            let other: Vec<C> = configs.iter().map(|c| c.with_greedy(greedy)).collect();
            let other: Vec<_> = other.iter().zip(&units).map(|(config, u)| Unit { config, ..*u }).collect();
            let variant = with_word(&self.variant, mode_name(greedy));
            for (place, e) in grid.iter().zip(C::evaluate(agent, &other, Some(weights), gpu, watch)?) {
                evaluation::<C>(&self.config.key(agent, &variant, *place), e, rows);
            }
        }
        for precision in &self.precisions {
            let other = weights.map(|w| Weights { precision: *precision, ..w });
            let variant = self.in_precision(*precision);
            for (place, e) in grid.iter().zip(C::evaluate(agent, &units, other, gpu, watch)?) {
                evaluation::<C>(&self.config.key(agent, &variant, *place), e, rows);
            }
        }
        if let Some(trained) = trained.as_ref().filter(|_| !self.elsewhere.is_empty()) {
            self.add_elsewhere(trained, way, rows)?;
        }
        // The device is asked once for all replicas, which do the same work; the row stands at the last of them.
        if let (Some(weights), Some(place)) = (weights, grid.last()) {
            let key = self.config.key(agent, &self.variant, *place);
            let result = measured(agent, &units, weights, gpu, way.measure, watch);
            rows.energy.push(EnergyRow::new(&key, accounts::measured(accounts::INFERENCE, &result)));
            if schedule.is_some() {
                let none = Err("training is not measured apart from evaluation".into());
                rows.energy.push(EnergyRow::new(&key, accounts::measured(accounts::TRAINING, &none)));
            }
        }
        if let Some(trained) = trained {
            rows.curves.extend(trained.curves);
            rows.activity.extend(trained.activity);
        }
        Ok(())
    }

    /// The rows of what was trained at the highest swept value in the other environments, in every mode.
    fn add_elsewhere(&self, trained: &Trained<C>, way: &Way, rows: &mut Rows) -> Result<(), JobError> {
        let whole = &trained.checkpoint;
        let highest = whole.swept.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mine = whole.swept.iter().enumerate().filter(|(_, x)| **x == highest).map(|(i, _)| i);
        let weights = whole.weights_of(mine);
        let (algorithm, places) = (weights.algorithm(), weights.replicas());
        let of_all = Weights::trained(&algorithm, &weights.state.params);
        let (agent, gpu) = (self.agent, way.gpu.map(|g| &**g));
        for (word, config) in &self.elsewhere {
            let own = config.common().evaluate.greedy;
            let mut modes = vec![(own, with_word(&self.variant, &format!("{ELSEWHERE}{word}")))];
            if self.config.reads(agent, "evaluate.greedy") {
                modes.push((!own, with_word(&modes[0].1, mode_name(!own))));
            }
            for (greedy, variant) in modes {
                let configs: Vec<C> = places.iter().map(|(x, _)| config.at(*x).with_greedy(greedy)).collect();
                let found = C::evaluate(agent, &units(&configs, &places), Some(of_all), gpu, way.watch)?;
                for (place, e) in places.iter().zip(found) {
                    evaluation::<C>(&self.config.key(agent, &variant, *place), e, rows);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::config::{DdpgConfig, PpoConfig};
    use crate::tasks::v2x::config::V2xConfig;

    fn config(factors: &str) -> V2xConfig {
        let sets = [
            "task.slots=10",
            "ppo.horizon=10",
            "ppo.minibatch=40",
            "ppo.envs=8",
            "ppo.hidden=[8]",
            "train.updates=1",
            "train.seeds=[0, 1]",
            "evaluate.episodes=8",
            "reproduce.p_max_dbm=[40.0, 20.0]",
            factors,
        ];
        V2xConfig::load(None, &sets.map(String::from)).unwrap()
    }

    fn rows_of(config: &V2xConfig, agent: &str) -> Rows {
        let dir = tempfile::tempdir().unwrap();
        let way =
            Way { out: dir.path(), resume: false, measure: false, gpu: None, journal: None, watch: &Quiet };
        let mut rows = Rows::default();
        for run in config.runs().iter().filter(|r| r.agent.id == agent) {
            run.add_rows(&way, &mut rows).unwrap();
        }
        rows
    }

    /// Twice the errors make four times the mean square, of the same weights, at the highest power, in both modes.
    #[test]
    fn trained_agents_are_evaluated_with_more_errors_too() {
        let (with, without) = (config("reproduce.error_factors=[2.0]"), config("reproduce.error_factors=[]"));
        let ppo = V2xConfig::agent("ppo").expect("an agent");
        assert_eq!(with.training_difference(&without, ppo), None, "a training does not read it");
        let other = V2xConfig { ddpg: DdpgConfig { tau: 0.5, ..with.ddpg.clone() }, ..with.clone() };
        assert_eq!(with.training_difference(&other, ppo), None, "ppo does not read [ddpg]");
        let other = V2xConfig { ppo: PpoConfig { clip: 0.5, ..with.ppo.clone() }, ..with.clone() };
        assert!(with.training_difference(&other, ppo).is_some_and(|what| what.starts_with("ppo.clip")));
        let (all, plain) = (rows_of(&with, "ppo"), rows_of(&without, "ppo"));
        let variant = |key: &Key| key.labels.last().unwrap().clone();
        let (own, elsewhere): (Vec<&EvalRow>, Vec<&EvalRow>) =
            all.evals.iter().partition(|r| !variant(&r.key).starts_with(ELSEWHERE));
        // As text: where there is no error, it is NaN.
        let same = format!("{own:?}") == format!("{:?}", plain.evals);
        assert!(same, "nothing else is another");
        assert!(elsewhere.iter().all(|r| r.key.at == 40.0));
        for (word, mode) in [("evaluated:errors=2", ""), ("evaluated:errors=2 sampled", "sampled")] {
            for seed in [0, 1] {
                let mean = |rows: &[&EvalRow], variant: &str| {
                    let is = |r: &&&EvalRow| {
                        r.key.labels.last().unwrap() == variant
                            && (r.key.seed, r.key.at, r.metric.as_str()) == (seed, 40.0, "angle_mse_rad2")
                    };
                    rows.iter().find(is).map(|r| r.mean).unwrap()
                };
                let ratio = mean(&elsewhere, word) / mean(&own, mode);
                // The echo of another beam has another variance; that of the first slots' is the same.
                assert!(ratio > 2.0 && ratio < 8.0, "{word}, seed {seed}: {ratio}");
            }
        }
        // What needs no training is what it is, with whatever errors.
        assert!(rows_of(&with, "ekf").evals.iter().all(|r| variant(&r.key).is_empty()));
    }
}
