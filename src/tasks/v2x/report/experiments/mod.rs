//! Reports of the experiments that the paper lacks: what a penalty on firing rates costs and saves, spiking networks
//! beside dense ones of many sizes, every parameterisation of the beams, and the paper's own recipe.
//!
//! As in the report of the paper, each sentence is chosen, and each number filled in, from the rows.

mod beams;
mod front;
mod rate_penalty;
mod recipe;

pub use beams::write_beams;
pub use front::write_front;
pub use rate_penalty::write_rate_penalty;
pub use recipe::write_recipe;

use super::{PALETTE, rank};
use crate::energy::accounts::INFERENCE;
use crate::num::stats::RESAMPLES;
use crate::report::judge::{hardly_trained, mode_words, smoke_words};
use crate::report::opening::{Number, fold, write_opening};
use crate::report::words::*;
use crate::run::rows::{Key, Manifest, Rows};
use crate::run::task::Task;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::rows::{BEAM, SCHEMA, VARIANT};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The two-line baseline that a learned agent has to beat.
const BASELINE: &str = "last-estimate";
const SUM_RATE: &str = "sum_rate_bps_hz";

/// One agent as it was configured in the experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    agent: String,
    beam: String,
    variant: String,
}

impl Run {
    fn of(key: &Key) -> Run {
        let label = |i: usize| key.labels[i].clone();
        Run { agent: key.agent.clone(), beam: label(BEAM), variant: label(VARIANT) }
    }

    fn has(&self, key: &Key) -> bool {
        (&key.agent, &key.labels[BEAM], &key.labels[VARIANT]) == (&self.agent, &self.beam, &self.variant)
    }
}

/// The rows of an experiment at one power.
struct View {
    /// In the mode of the page.
    rows: Rows,
    /// In the other one, if there are any, with its name.
    other: Option<(&'static str, Rows)>,
    resamples: Resamples,
    /// The power that is shown: 40 dBm if it is there, else the highest, dBm.
    p_max_dbm: Option<f64>,
    /// Whatever order the rows came in.
    runs: Vec<Run>,
}

impl View {
    fn new(rows: &Rows) -> Self {
        let other = rows.other_mode().map(|mode| (mode, rows.in_mode(true)));
        let rows = rows.in_mode(false);
        let powers = || rows.evals.iter().map(|r| r.key.at);
        let headline = powers().find(|p| *p == super::super::paper::HEADLINE_DBM);
        let p_max_dbm = headline.or(powers().max_by(f64::total_cmp));
        let mut runs: Vec<Run> = Vec::new();
        for r in &rows.evals {
            // Rows come run by run, so that the last one is the likely match.
            let known = runs.last().is_some_and(|run| run.has(&r.key));
            if !known && !runs.iter().any(|run| run.has(&r.key)) {
                runs.push(Run::of(&r.key));
            }
        }
        runs.sort_by_key(|r| (rank(&r.agent), r.beam.clone(), r.variant.clone()));
        View { rows, other, resamples: Resamples::default(), p_max_dbm, runs }
    }

    fn of<'s>(&'s self, agent: &'s str) -> impl Iterator<Item = &'s Run> {
        self.runs.iter().filter(move |r| r.agent == agent)
    }

    /// Mean over seeds; `None` without a finite value.
    fn estimate(&self, values: BTreeMap<u32, f64>) -> Option<Estimate> {
        let values: Vec<f64> = values.into_values().filter(|v| v.is_finite()).collect();
        (!values.is_empty()).then(|| self.resamples.estimate(&values))
    }

    fn metric(&self, run: &Run, metric: &str) -> Option<Estimate> {
        self.metric_in(&self.rows, run, metric)
    }

    /// The sum-rate in the other mode, in a cell; "-" without one.
    fn other_rate(&self, run: &Run) -> Option<String> {
        let (_, rows) = self.other.as_ref()?;
        Some(self.metric_in(rows, run, SUM_RATE).map_or("-".to_string(), |e| e.short()))
    }

    fn metric_in(&self, rows: &Rows, run: &Run, metric: &str) -> Option<Estimate> {
        let mine = rows.evals.iter().filter(|r| self.shows(run, &r.key) && r.metric == metric);
        self.estimate(mine.map(|r| (r.key.seed, r.mean)).collect())
    }

    /// Whether a row is of a run, at the power that is shown.
    fn shows(&self, run: &Run, key: &Key) -> bool {
        run.has(key) && Some(key.at) == self.p_max_dbm
    }

    /// Energy of an inference, J.
    fn energy(&self, run: &Run, method: &str, constants: &str) -> Option<Estimate> {
        let mine = self.rows.energy.iter().filter(|r| {
            self.shows(run, &r.key)
                && (r.stage.as_str(), r.method.as_str(), r.constants.as_str())
                    == (INFERENCE, method, constants)
        });
        self.estimate(mine.map(|r| (r.key.seed, r.energy_j)).collect())
    }

    /// Firing rates, or shares of active units, of the policy network's hidden layers in evaluation.
    fn activity(&self, run: &Run) -> Vec<Estimate> {
        let mut layers: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
        for r in &self.rows.activity {
            if self.shows(run, &r.key)
                && (r.stage.as_str(), r.network.as_str()) == ("evaluate", "actor")
                && r.layer > 0
            {
                layers.entry(r.layer).or_default().insert(r.key.seed, r.value);
            }
        }
        layers.into_values().filter_map(|seeds| self.estimate(seeds)).collect()
    }

    /// Environment steps of one seed, and updates.
    fn trained(&self, run: &Run) -> Option<(u64, u32)> {
        let mine = self.rows.curves.iter().filter(|r| self.shows(run, &r.key));
        mine.map(|r| (r.env_steps, r.update + 1)).max()
    }

    fn baseline(&self) -> Option<Estimate> {
        self.metric(self.of(BASELINE).next()?, SUM_RATE)
    }

    /// The beginning of a page: its answer and numbers, and of a run that is too small neither.
    fn open(
        &self,
        out: &mut String,
        title: &str,
        manifest: &Manifest,
        answer: String,
        numbers: &[Number],
    ) -> bool {
        let small = hardly_trained::<V2xConfig>(manifest.seeds.len(), &manifest.config);
        match &small {
            None => write_opening(out, title, &answer, numbers),
            Some(_) => {
                let answer = "A smoke run: everything runs, and no agent is judged against another.";
                write_opening(out, title, answer, &[]);
            }
        }
        out.push_str(&smoke_words(small.as_deref()));
        small.is_some()
    }

    fn scope(&self, out: &mut String, manifest: &Manifest) {
        write_cited(out, V2xConfig::CITE);
        let seeds: BTreeSet<u32> = self.rows.evals.iter().map(|r| r.key.seed).collect();
        let beams: BTreeSet<&str> = self.rows.curves.iter().map(|r| r.key.labels[BEAM].as_str()).collect();
        if let Some((steps, updates)) = self.runs.iter().filter_map(|r| self.trained(r)).max() {
            let beams: Vec<String> = beams.into_iter().map(code).collect();
            let _ = writeln!(
                out,
                "Learned agents have beam {}; each is trained with at most {steps} environment steps a seed, {updates} updates.\n",
                listed(&beams)
            );
        }
        if let Some((mode, _)) = &self.other {
            let _ = writeln!(out, "{}\n", mode_words(mode));
        }
        let _ = writeln!(
            out,
            "P_max {}; {} on {} ({}).{}\n",
            self.p_max_dbm.map_or("-".into(), |p| format!("{p} dBm")),
            match seeds.len() {
                0 => "no evaluated seed".to_string(),
                1 => "one seed: no intervals, means compared".to_string(),
                n => format!("{n} seeds"),
            },
            manifest.device,
            manifest.backend,
            match self.rows.evals.iter().any(|r| Some(r.key.at) != self.p_max_dbm) {
                true => " The rows of other powers lie in the Parquet files.",
                false => "",
            }
        );
    }

    fn method(&self, out: &mut String, more: &str) {
        let seeds: BTreeSet<u32> = self.rows.evals.iter().map(|r| r.key.seed).collect();
        let few = match seeds.len() {
            n @ 2..5 => format!(" With {n} seeds such an interval is too narrow; take it as a hint."),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "## How the numbers are made\n\n\
             - Intervals are 95 % percentile bootstrap intervals of the mean over seeds, {RESAMPLES} resamples. They tell the spread between \
             trainings, not between episodes. \"Level\" means that two intervals overlap.{few}\n\
             {more}- `-` stands for what this run does not have. The rows are beside this page as Parquet.\n"
        );
    }
}

/// "above", "below" or "level with" of two estimates.
fn stands(a: &Estimate, b: &Estimate) -> &'static str {
    match order(a, b) {
        Order::Above => "above",
        Order::Below => "below",
        Order::Level => "level with",
    }
}
