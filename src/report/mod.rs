//! Typed rows → polars → Parquet, tables, SVG figures and pages that stand beside a paper's printed results.
//!
//! [`frames`] keeps rows in Parquet and averages over seeds, [`figure`] draws, [`page`] turns Markdown into one HTML file,
//! [`paper`] holds what the papers print, [`spiking_ac`] writes the report of task v2x, [`rl_h_moe`] that of task misac, and [`experiments`] those of
//! what the paper of task v2x lacks. Sentences are chosen from the numbers.

pub mod bench;
pub mod figure;
pub mod frames;
pub(crate) mod judge;
pub mod page;
pub(crate) mod words;

use crate::run::rows::Manifest;
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
    /// Parquet files: curves, evals, slots, energy and, of task v2x, activity.
    pub tables: Vec<PathBuf>,
    /// Figures drawn. One whose rows are not in the run is missing here, and the page says so.
    pub figures: Vec<PathBuf>,
}

/// [`crate::files::write_whole`] with the path in the error.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    crate::files::write_whole(path, bytes)
        .map_err(|source| ReportError::Io { path: path.to_path_buf(), source })
}

/// Tables and manifest of a job, written to its folder.
pub(crate) struct Tables {
    dir: PathBuf,
    manifest: PathBuf,
    paths: Vec<PathBuf>,
}

impl Tables {
    /// Writes each frame as Parquet under its name, and the manifest, to `dir`, which is created if it is not there.
    pub(crate) fn write(
        dir: &Path,
        frames: &mut [(&str, &mut DataFrame)],
        manifest: &Manifest,
    ) -> Result<Tables, ReportError> {
        std::fs::create_dir_all(dir).map_err(|source| ReportError::Io { path: dir.to_path_buf(), source })?;
        let mut paths = Vec::new();
        for (name, frame) in frames {
            let path = dir.join(*name);
            frames::write_parquet(&path, frame)?;
            paths.push(path);
        }
        let path = dir.join("manifest.json");
        write_whole(&path, (serde_json::to_string_pretty(manifest)? + "\n").as_bytes())?;
        Ok(Tables { dir: dir.to_path_buf(), manifest: path, paths })
    }

    /// Writes the figures that have something to show, removes those of an earlier report that have not, and writes both pages. `markdown` is
    /// told which figures there are.
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
        let text = markdown(&|file| drawn.contains_key(file));
        let (markdown, html) = (self.dir.join("report.md"), self.dir.join("report.html"));
        write_whole(&markdown, text.as_bytes())?;
        write_whole(&html, page::html(&text, title, |file| drawn.get(file).cloned()).as_bytes())?;
        Ok(ReportPaths { markdown, html, manifest: self.manifest, tables: self.paths, figures })
    }
}
