//! Typed rows → polars → Parquet, tables, SVG figures and pages that stand beside a paper's printed results.
//!
//! [`frames`] keeps rows in Parquet and averages over seeds, [`figure`] draws, [`page`] turns Markdown into one HTML file,
//! [`paper`] holds what a paper prints, and [`spiking_ac`] writes the report of task v2x. Sentences are chosen from the numbers.

pub mod figure;
pub mod frames;
pub mod page;
pub mod paper;
pub mod spiking_ac;

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
