//! Typed rows → polars → Parquet, tables, SVG figures and pages that stand beside a paper's printed results.
//!
//! [`frames`] keeps rows in Parquet, [`figure`] draws, [`page`] turns Markdown into one HTML file, [`replay`] plays
//! episodes in one. A task's report, which lies in the task's folder, chooses its sentences from the numbers and hands
//! in its columns and colours; [`bench`](mod@bench) is that of benchmarks.

pub mod bench;
pub mod curve;
mod error;
pub mod figure;
pub mod frames;
pub mod glossary;
pub mod index;
pub(crate) mod judge;
pub mod live;
pub(crate) mod opening;
pub mod page;
mod pen;
pub mod replay;
pub(crate) mod words;

pub use error::ReportError;
pub(crate) use error::write_whole;
pub use judge::{BY_CONSTRUCTION, Judged, Verdict, take_back_claims, too_small};

use crate::files::if_there;
use crate::run::rows::{ActivityRow, CurveRow, EnergyRow, EvalRow, Manifest, Row, Rows, Schema, SlotRow};
use polars::prelude::DataFrame;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a report lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPaths {
    pub markdown: PathBuf,
    pub html: PathBuf,
    pub manifest: PathBuf,
    /// Parquet files: curves, evals, slots, energy and, where there is any, activity.
    pub tables: Vec<PathBuf>,
    /// Figures drawn. One whose rows are not in the run is missing here, and the page says so.
    pub figures: Vec<PathBuf>,
}

impl ReportPaths {
    /// What is to be read first.
    pub fn pages(self) -> Vec<PathBuf> {
        vec![self.html, self.markdown]
    }
}

/// Rows as Parquet tables and the manifest, without figures and pages; returns where they lie.
///
/// # Errors
/// As of [`Tables::of_rows`].
pub(crate) fn write_rows(
    dir: &Path,
    rows: &Rows,
    schema: &Schema,
    manifest: &Manifest,
) -> Result<Vec<PathBuf>, ReportError> {
    let tables = Tables::of_rows(dir, rows, schema, manifest)?;
    Ok(tables.paths.into_iter().chain([tables.manifest]).collect())
}

/// The rows that a report of a task has left in `dir`.
///
/// # Errors
/// [`ReportError`] that names the file: missing, or with other columns than `schema` has.
pub fn read_rows(dir: &Path, schema: &Schema) -> Result<Rows, ReportError> {
    let activity = dir.join(ActivityRow::FILE);
    Ok(Rows {
        curves: frames::read_earlier(&dir.join(CurveRow::FILE), schema)?,
        evals: frames::read_earlier(&dir.join(EvalRow::FILE), schema)?,
        slots: frames::read_earlier(&dir.join(SlotRow::FILE), schema)?,
        energy: frames::read_earlier(&dir.join(EnergyRow::FILE), schema)?,
        activity: if activity.exists() { frames::read_earlier(&activity, schema)? } else { Vec::new() },
    })
}

/// Tables and manifest of a job, written to its folder.
pub(crate) struct Tables {
    dir: PathBuf,
    manifest: PathBuf,
    paths: Vec<PathBuf>,
    /// What the numbers of its pages are of, in a line: see [`made_by`].
    about: String,
}

/// What a run's numbers are made by, in a line: preset, updates, seeds, revision.
pub fn made_by(m: &Manifest) -> String {
    let config: toml::Table = m.config.parse().unwrap_or_default();
    let preset = config.get("preset").and_then(toml::Value::as_str).map(|p| format!("preset `{p}`"));
    let updates = config.get("train").and_then(|t| t.get("updates")).and_then(toml::Value::as_integer);
    let updates = updates.map(|n| format!("{n} updates"));
    let changed = if m.git_dirty == Some(true) { " with local changes" } else { "" };
    let revision = m.git_revision.as_ref().map(|r| format!("revision {}{changed}", r.get(..12).unwrap_or(r)));
    let seeds = Some(crate::num::text::seeds_in_words(m.seeds.len()));
    [preset, updates, seeds, revision].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The page with `about` below every table, so that a table that is cut out of it says what it is of.
fn stamped(page: &str, about: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut in_table = false;
    for line in page.lines() {
        let is_row = line.starts_with('|');
        if in_table && !is_row {
            out.push_str(&format!("\n*{about}*\n"));
        }
        in_table = is_row;
        out.push_str(line);
        out.push('\n');
    }
    out
}

impl Tables {
    /// Writes each frame as Parquet under its name, and the manifest, to `dir`, which is created if it is not there.
    pub(crate) fn write(
        dir: &Path,
        frames: Vec<(&str, DataFrame)>,
        manifest: &Manifest,
    ) -> Result<Tables, ReportError> {
        std::fs::create_dir_all(dir).map_err(|source| ReportError::Io { path: dir.to_path_buf(), source })?;
        let mut paths = Vec::new();
        for (name, mut frame) in frames {
            let path = dir.join(name);
            // Pages that are rendered again leave the rows alone, whichever version wrote them.
            if !frames::holds(&path, &frame) {
                frames::write_parquet(&path, &mut frame)?;
            }
            paths.push(path);
        }
        let path = dir.join("manifest.json");
        write_whole(&path, (serde_json::to_string_pretty(manifest)? + "\n").as_bytes())?;
        Ok(Tables { dir: dir.to_path_buf(), manifest: path, paths, about: made_by(manifest) })
    }

    /// [`Tables::write`] of a task's rows. Nothing is written if two rows have the same keys. A table of activity is
    /// there only if there is any.
    pub(crate) fn of_rows(
        dir: &Path,
        rows: &Rows,
        schema: &Schema,
        manifest: &Manifest,
    ) -> Result<Tables, ReportError> {
        let mut all = vec![
            (CurveRow::FILE, frames::frame(&rows.curves, schema)?),
            (EvalRow::FILE, frames::frame(&rows.evals, schema)?),
            (SlotRow::FILE, frames::frame(&rows.slots, schema)?),
            (EnergyRow::FILE, frames::frame(&rows.energy, schema)?),
        ];
        if !rows.activity.is_empty() {
            all.push((ActivityRow::FILE, frames::frame(&rows.activity, schema)?));
        } else {
            // Of an earlier report.
            let path = dir.join(ActivityRow::FILE);
            if_there(std::fs::remove_file(&path)).map_err(|source| ReportError::Io { path, source })?;
        }
        Tables::write(dir, all, manifest)
    }

    /// Writes the figures that have something to show, removes those of an earlier report that have not, and writes
    /// both pages. `markdown` is told which figures there are.
    pub(crate) fn pages<'a>(
        self,
        title: &str,
        svgs: Vec<(&'a str, Option<String>)>,
        markdown: impl FnOnce(&dyn Fn(&str) -> bool) -> String,
    ) -> Result<ReportPaths, ReportError> {
        let mut drawn: BTreeMap<&'a str, String> = BTreeMap::new();
        let mut figures = Vec::new();
        for (file, svg) in svgs {
            let path = self.dir.join(file);
            match svg {
                Some(svg) => {
                    write_whole(&path, svg.as_bytes())?;
                    drawn.insert(file, svg);
                    figures.push(path);
                }
                None if path.exists() => {
                    std::fs::remove_file(&path).map_err(|source| ReportError::Io { path, source })?;
                }
                None => {}
            }
        }
        let text = stamped(&markdown(&|file| drawn.contains_key(file)), &self.about);
        let text = replay::linked(text, &self.dir);
        let (markdown, html) = (self.dir.join("report.md"), self.dir.join("report.html"));
        write_whole(&markdown, text.as_bytes())?;
        write_whole(&html, page::html(&text, title, |file| drawn.get(file).cloned()).as_bytes())?;
        Ok(ReportPaths { markdown, html, manifest: self.manifest, tables: self.paths, figures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_says_what_it_is_of() {
        let page = "# A\n\n| a |\n|---|\n| 1 |\n\ntext | no table\n| b |\n|---|\n| 2 |\n\n";
        let told = stamped(page, "preset `fast`");
        assert_eq!(told.matches("*preset `fast`*").count(), 2);
        assert!(told.contains("| 1 |\n\n*preset `fast`*\n\ntext | no table\n| b |"), "{told}");
    }
}
