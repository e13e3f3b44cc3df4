//! The file that says what a tuning varies.
//!
//! ```toml
//! task = "…"
//! objective = "…"                    # a metric of the evaluation
//! better = "higher"                  # or "lower"
//! seeds = { first = 2000, count = 3 }  # or a list: of tuning only
//! random_seed = 0
//! [config]                           # keys that differ from the preset's in all trials
//! evaluate.episodes = 512
//! [space]                            # a trial of an agent draws the keys that the agent reads
//! ppo.lr_actor = { log_uniform = [1e-4, 1e-2] }   # or uniform, integer (both ends included), choice
//! ppo.hidden = { choice = [[64, 64], [128, 128]] }
//! ```

use crate::run::sweep::plan::{Draw, Seeds, draw_of, is_draw, leaves, with_key};
use crate::run::sweep::{SweepError, reading};
use crate::run::task::Better;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Table;

/// A file as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceFile {
    /// Name of the task.
    pub task: String,
    pub objective: String,
    pub better: Better,
    pub(in crate::run) seeds: Seeds,
    #[serde(default)]
    pub random_seed: u32,
    #[serde(default)]
    pub(super) config: Table,
    space: Table,
}

impl SpaceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SweepError::Read`], and [`SweepError::Parse`] with line and key of what is wrong.
    pub fn load(path: &Path) -> Result<SpaceFile, SweepError> {
        let text = std::fs::read_to_string(path).map_err(reading(path))?;
        SpaceFile::parse(&text, &path.display().to_string())
    }

    /// As [`SpaceFile::load`], of a text that is called `origin` in errors.
    pub fn parse(text: &str, origin: &str) -> Result<SpaceFile, SweepError> {
        toml::from_str(text).map_err(|e| SweepError::Parse(origin.into(), with_key(&e, text)))
    }

    /// How each dotted key is drawn.
    pub(super) fn draws(&self, origin: &str) -> Result<BTreeMap<String, Draw>, SweepError> {
        let wrong = |key: &str, what: String| SweepError::key(origin, key, what);
        let all = leaves(&self.space, is_draw);
        if all.is_empty() {
            return Err(wrong("space", "names no key to draw".into()));
        }
        let one = |(key, v): (String, toml::Value)| {
            let name = format!("space.{key}");
            Ok((key, draw_of(&v).map_err(|what| wrong(&name, what))?))
        };
        all.into_iter().map(one).collect()
    }
}
