//! Typed rows → polars → Parquet, tables, SVG figures and pages that stand beside a paper's printed results.
//!
//! [`frames`] keeps rows in Parquet and averages over seeds, [`figure`] draws, [`page`] turns Markdown into one HTML file,
//! [`paper`] holds what a paper prints, [`spiking_ac`] writes the report of task v2x, and [`experiments`] those of what the paper lacks. Sentences are chosen from the numbers.

pub mod experiments;
pub mod figure;
pub mod frames;
pub mod page;
pub mod paper;
pub mod spiking_ac;
mod words;

use crate::reproduce::Rows;
use crate::rows::Manifest;
use polars::prelude::DataFrame;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a report was not written. Files written before the error are whole.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// A table could not be formed, or a Parquet file could not be read or written.
    #[error("{what}: {source}")]
    Table { what: String, source: polars::prelude::PolarsError },
    /// Two rows stand for the same thing, so one of them would be counted as another seed.
    #[error("{table} rows: {row} occurs {times} times; rows of two runs must not be mixed")]
    DuplicateRow { table: &'static str, row: String, times: u32 },
    /// A figure could not be drawn.
    #[error("figure {name}: {message}")]
    Figure { name: String, message: String },
    /// The manifest could not be written as JSON.
    #[error("manifest.json: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// Where a report lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPaths {
    pub markdown: PathBuf,
    pub html: PathBuf,
    pub manifest: PathBuf,
    /// Parquet files: curves, evals, slots, energy, activity.
    pub tables: Vec<PathBuf>,
    /// Figures drawn. One whose rows are not in the run is missing here, and the page says so.
    pub figures: Vec<PathBuf>,
}

/// [`crate::files::write_whole`] with the path in the error.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    crate::files::write_whole(path, bytes)
        .map_err(|source| ReportError::Io { path: path.to_path_buf(), source })
}

/// Rows and manifest of a job, written to its folder.
struct Tables {
    dir: PathBuf,
    manifest: PathBuf,
    paths: Vec<PathBuf>,
    curves: DataFrame,
    evals: DataFrame,
    slots: DataFrame,
}

impl Tables {
    /// Writes Parquet and manifest to `dir`, which is created if it is not there; nothing if two rows have the same keys.
    fn write(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<Tables, ReportError> {
        let mut curves = frames::curves(&rows.curves)?;
        let mut evals = frames::evals(&rows.evals)?;
        let mut slots = frames::slots(&rows.slots)?;
        let mut energy = frames::energy(&rows.energy)?;
        let mut activity = frames::activity(&rows.activity)?;
        std::fs::create_dir_all(dir).map_err(|source| ReportError::Io { path: dir.to_path_buf(), source })?;
        let mut paths = Vec::new();
        for (name, frame) in [
            ("curves.parquet", &mut curves),
            ("evals.parquet", &mut evals),
            ("slots.parquet", &mut slots),
            ("energy.parquet", &mut energy),
            ("activity.parquet", &mut activity),
        ] {
            paths.push(dir.join(name));
            frames::write_parquet(&dir.join(name), frame)?;
        }
        let path = dir.join("manifest.json");
        write_whole(&path, (serde_json::to_string_pretty(manifest)? + "\n").as_bytes())?;
        Ok(Tables { dir: dir.to_path_buf(), manifest: path, paths, curves, evals, slots })
    }

    /// Writes the figures that have something to show, removes those of an earlier report that have not, and writes both pages. `markdown` is
    /// told which figures there are.
    fn pages<'a>(
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
        let text = markdown(&|file| drawn.contains_key(file));
        let (markdown, html) = (self.dir.join("report.md"), self.dir.join("report.html"));
        write_whole(&markdown, text.as_bytes())?;
        write_whole(&html, page::html(&text, title, |file| drawn.get(file).cloned()).as_bytes())?;
        Ok(ReportPaths { markdown, html, manifest: self.manifest, tables: self.paths, figures })
    }
}
