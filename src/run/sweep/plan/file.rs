//! The sweep file.
//!
//! ```toml
//! task = "…"                         # one of the program
//! mode = "train-and-evaluate"        # or "evaluate": agents that need no training, and checkpoints
//! agents = ["ppo", "ekf"]
//! seeds = { first = 0, count = 32 }  # or a list
//! config = { train.updates = 50 }    # keys that differ from the preset's in all points
//!
//! [grid]                             # every value with every other
//! task.p_max_dbm = [0, 20, 40]
//! [list]                             # lists of one length, taken side by side
//! ppo.lr_actor = [1e-3, 3e-4]
//! ppo.lr_critic = [2e-3, 1e-3]
//! [random]                           # `draws` draws of a value on every axis; equal ones are one point
//! task.kappa = { choice = [[10, 10], [5, 5]] }
//! ppo.clip = { uniform = [0.1, 0.3] }  # or log_uniform, or integer (both ends included)
//! ```

use super::axes::leaves;
use crate::config::one_line;
use crate::run::sweep::task::Keep;
use crate::run::sweep::{SweepError, reading};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What is done with a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Learned agents are trained from scratch, then every agent is evaluated.
    #[default]
    TrainAndEvaluate,
    /// Learned agents come from `[checkpoints]`.
    Evaluate,
}

/// Seeds of every point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a list of seeds of 0 to 4294967295, or { first = 0, count = 32 }"
)]
pub(in crate::run) enum Seeds {
    List(Vec<u32>),
    Range { first: u32, count: u32 },
}

/// A sweep file as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Name of the task.
    pub task: String,
    #[serde(default)]
    pub mode: Mode,
    pub agents: Vec<String>,
    pub(super) seeds: Seeds,
    #[serde(default)]
    pub(super) config: Table,
    #[serde(default)]
    pub(super) grid: Table,
    #[serde(default)]
    pub(super) list: Table,
    #[serde(default)]
    pub(super) random: Table,
    /// Draws at random; equal ones are one point.
    pub(super) draws: Option<u32>,
    #[serde(default)]
    pub(super) random_seed: u32,
    /// Most replicas of a batch; what the device carries if it is absent.
    pub replicas: Option<usize>,
    /// What rows tell beside the metrics of evaluations.
    #[serde(default)]
    pub keep: BTreeSet<Keep>,
    /// Weights of learned agents in mode `evaluate`, relative to the working directory.
    #[serde(default)]
    pub(super) checkpoints: BTreeMap<String, PathBuf>,
}

impl SweepFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SweepError::Read`], and [`SweepError::Parse`] with line and key of what is wrong.
    pub fn load(path: &Path) -> Result<SweepFile, SweepError> {
        let text = std::fs::read_to_string(path).map_err(reading(path))?;
        SweepFile::parse(&text, &path.display().to_string())
    }

    /// As [`SweepFile::load`], of a text that is called `origin` in errors.
    pub fn parse(text: &str, origin: &str) -> Result<SweepFile, SweepError> {
        toml::from_str(text).map_err(|e| SweepError::Parse(origin.into(), with_key(&e, text)))
    }

    /// Most points there can be: agents × grid × list × draws, `usize::MAX` where it is more. Equal draws make one
    /// point.
    pub fn points(&self) -> usize {
        let length = |v: &Value| v.as_array().map_or(1, Vec::len);
        let grid = leaves(&self.grid, |_| false);
        let list = leaves(&self.list, |_| false).values().map(length).next().unwrap_or(1);
        let sizes =
            grid.values().map(length).chain([self.agents.len(), list, self.draws.unwrap_or(1) as usize]);
        sizes.fold(1, usize::saturating_mul)
    }
}

/// A TOML error in one line with the key that stands where it was found.
pub(in crate::run) fn with_key(e: &toml::de::Error, text: &str) -> String {
    let said = one_line(e, text);
    let key = e.span().and_then(|span| {
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |n| n + 1);
        let line = text.get(start..)?.lines().next()?;
        let key = line.split_once('=')?.0.trim();
        (!key.is_empty() && !key.starts_with(['#', '['])).then(|| key.to_string())
    });
    match key.filter(|k| !said.contains(&format!("`{k}`"))) {
        Some(key) => format!("{said} (key '{key}')"),
        None => said,
    }
}
