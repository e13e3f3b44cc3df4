//! The report of benchmarks: Parquet, tables, rooflines, throughput over batch and replicas, energy and shares of
//! phases, on one page; and two such folders against each other.
//!
//! No number of a software adapter stands beside one of a device: it has a table of its own, and no figure.

mod compare;
mod figures;
mod text;
mod units;
mod view;

pub use compare::{markdown, read_set, write_comparison};
pub use view::{Report, SOFTWARE_TITLE};

use super::frames::{self, frame};
use super::{ReportError, Tables, page, write_whole};
use crate::bench::analysis::BenchRows;
use crate::run::rows::{BenchEnergyRow, BenchPhaseRow, BenchRow, BenchSampleRow, BenchScalingRow, Row};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use view::View;

/// Files of a folder of results.
pub const BENCHMARKS: &str = BenchRow::FILE;
pub const SAMPLES: &str = BenchSampleRow::FILE;
pub const SCALING: &str = BenchScalingRow::FILE;
pub const PHASES: &str = BenchPhaseRow::FILE;
pub const ENERGY: &str = BenchEnergyRow::FILE;

/// Where a report lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchPaths {
    pub summary: PathBuf,
    pub html: PathBuf,
    pub figures: Vec<PathBuf>,
}

/// Writes Parquet, manifest, figures, `summary.md` and `report.html` to `dir`, each whole or not at all. Figures of an
/// earlier report that this one has not are removed.
///
/// # Errors
/// [`ReportError`], with the file or table it is about.
pub fn write(dir: &Path, report: &Report) -> Result<BenchPaths, ReportError> {
    let rows = report.rows;
    let all = vec![
        (BENCHMARKS, frame(&rows.benchmarks, &())?),
        (SAMPLES, frame(&rows.samples, &())?),
        (SCALING, frame(&rows.scaling, &())?),
        (PHASES, frame(&rows.phases, &())?),
        (ENERGY, frame(report.energy, &())?),
    ];
    Tables::write(dir, all, report.manifest)?;

    let view = View::new(report);
    let plates = figures::all(&view);
    let mut drawn: BTreeMap<String, String> = BTreeMap::new();
    for plate in &plates {
        if let Some(svg) = plate.picture.svg()? {
            drawn.insert(plate.file.clone(), svg);
        }
    }
    let figures = put_figures(dir, &drawn)?;
    let text = text::summary(&view, &|file| drawn.contains_key(file), &plates);
    let (summary, html) = (dir.join("summary.md"), dir.join("report.html"));
    write_whole(&summary, text.as_bytes())?;
    let page = page::html(&text, "Performance", |file| drawn.get(file).cloned());
    write_whole(&html, page.as_bytes())?;
    Ok(BenchPaths { summary, html, figures })
}

/// The rows that a report of benchmarks has left in `dir`.
///
/// # Errors
/// [`ReportError`] that names the file.
pub fn read(dir: &Path) -> Result<(BenchRows, Vec<BenchEnergyRow>), ReportError> {
    let rows = BenchRows {
        benchmarks: frames::read(&dir.join(BENCHMARKS), &())?,
        samples: frames::read(&dir.join(SAMPLES), &())?,
        scaling: frames::read(&dir.join(SCALING), &())?,
        phases: frames::read(&dir.join(PHASES), &())?,
    };
    Ok((rows, frames::read(&dir.join(ENERGY), &())?))
}

/// Writes the figures and removes those that an earlier report has left.
fn put_figures(dir: &Path, drawn: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, ReportError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ReportError::Io { path, source }
    };
    for path in crate::files::entries(dir).map_err(io(dir))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if figures::is_ours(&name) && !drawn.contains_key(&name) {
            std::fs::remove_file(&path).map_err(io(&path))?;
        }
    }
    let mut paths = Vec::new();
    for (file, svg) in drawn {
        let path = dir.join(file);
        write_whole(&path, svg.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}
