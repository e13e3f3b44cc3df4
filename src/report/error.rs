//! Why a report was not written.

use std::path::{Path, PathBuf};

/// Why a report was not written. Files written before the error are whole.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// A table could not be formed, or a Parquet file could not be read or written.
    #[error("{what}")]
    Table { what: String, source: polars::prelude::PolarsError },
    /// Two rows stand for the same thing, so one of them would be counted as another seed.
    #[error("{table} rows: {row} occurs {times} times; rows of two runs must not be mixed")]
    DuplicateRow { table: &'static str, row: String, times: u32 },
    /// A figure could not be drawn.
    #[error("figure {name}: {message}")]
    Figure { name: String, message: String },
    /// The manifest's configuration is not that of such a job.
    #[error("{0}")]
    Config(String),
    /// The manifest could not be written as JSON.
    #[error("manifest.json cannot be written")]
    Manifest(#[from] serde_json::Error),
}

/// [`crate::files::write_whole`] with the path in the error.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    crate::files::write_whole(path, bytes)
        .map_err(|source| ReportError::Io { path: path.to_path_buf(), source })
}
