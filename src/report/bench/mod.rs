//! The report of benchmarks: Parquet, tables, rooflines, throughput over batch and replicas, energy and shares of phases, on one page; and two such
//! folders against each other.
//!
//! No number of a software adapter stands beside one of a device: it has a table of its own, and no figure.

mod compare;
mod figures;
mod text;

pub use compare::{markdown, read_set, write_comparison};

use super::{ReportError, Tables, page, write_whole};
use crate::bench::analysis::{BenchRows, SOFTWARE};
use crate::bench::samples::LeftOut;
use crate::run::rows::{BenchEnergyRow, BenchRow, Manifest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files of a folder of results.
pub const BENCHMARKS: &str = "benchmarks.parquet";
pub const SAMPLES: &str = "samples.parquet";
pub const SCALING: &str = "scaling.parquet";
pub const PHASES: &str = "phases.parquet";
pub const ENERGY: &str = "energy.parquet";

/// What software adapters' table is called, wherever one appears.
pub const SOFTWARE_TITLE: &str = "software adapter: checks only, no GPU speed";

/// Everything that is reported.
pub struct Report<'a> {
    pub rows: &'a BenchRows,
    pub energy: &'a [BenchEnergyRow],
    pub left_out: &'a [LeftOut],
    pub manifest: &'a Manifest,
}

/// Where a report lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchPaths {
    pub summary: PathBuf,
    pub html: PathBuf,
    pub figures: Vec<PathBuf>,
}

/// Writes Parquet, manifest, figures, `summary.md` and `report.html` to `dir`, each whole or not at all. Figures of an earlier report that this one
/// has not are removed.
///
/// # Errors
/// [`ReportError`], with the file or table it is about.
pub fn write(dir: &Path, report: &Report) -> Result<BenchPaths, ReportError> {
    let rows = report.rows;
    let mut benchmarks = super::frames::frame(&rows.benchmarks)?;
    let mut samples = super::frames::frame(&rows.samples)?;
    let mut scaling = super::frames::frame(&rows.scaling)?;
    let mut phases = super::frames::frame(&rows.phases)?;
    let mut energy = super::frames::frame(report.energy)?;
    let mut all = [
        (BENCHMARKS, &mut benchmarks),
        (SAMPLES, &mut samples),
        (SCALING, &mut scaling),
        (PHASES, &mut phases),
        (ENERGY, &mut energy),
    ];
    Tables::write(dir, &mut all, report.manifest)?;
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

/// Writes the figures and removes those that an earlier report has left.
fn put_figures(dir: &Path, drawn: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, ReportError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ReportError::Io { path, source }
    };
    for entry in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
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

/// One figure.
struct Picture {
    file: String,
    picture: super::figure::Picture,
    caption: String,
}

/// What figures and tables are taken from: devices first, software apart.
struct View<'a> {
    report: &'a Report<'a>,
    /// Benchmarks of real devices.
    real: Vec<&'a BenchRow>,
    software: Vec<&'a BenchRow>,
    /// Slugs of real devices, the CPU last.
    devices: Vec<&'a str>,
}

impl<'a> View<'a> {
    fn new(report: &'a Report<'a>) -> Self {
        let (software, real): (Vec<_>, Vec<_>) =
            report.rows.benchmarks.iter().partition(|r| r.device_kind == SOFTWARE);
        let mut devices: Vec<&str> = Vec::new();
        for r in &real {
            if !devices.contains(&r.device.as_str()) {
                devices.push(&r.device);
            }
        }
        devices.sort_by_key(|d| (d.starts_with("cpu"), d.to_string()));
        View { report, real, software, devices }
    }

    fn is_real(&self, device: &str) -> bool {
        self.devices.contains(&device)
    }

    /// Name of a device in a table.
    fn name(&self, device: &str) -> String {
        let row = self.real.iter().find(|r| r.device == device);
        row.map_or_else(|| device.to_string(), |r| r.device_name.clone())
    }

    fn section(&self, device: &str, section: &str) -> impl Iterator<Item = &&'a BenchRow> {
        self.real.iter().filter(move |r| r.device == device && r.section == section)
    }

    /// Of every group of a section the benchmark with the most work: the one that fills the device best.
    fn largest(&self, device: &str, section: &str) -> Vec<&'a BenchRow> {
        let mut out: Vec<&BenchRow> = Vec::new();
        for r in self.section(device, section) {
            match out.iter_mut().find(|o| o.group == r.group) {
                Some(o) if work(r) > work(o) => *o = r,
                Some(_) => {}
                None => out.push(r),
            }
        }
        out
    }
}

/// For comparing the sizes of one group.
fn work(r: &BenchRow) -> f64 {
    [r.flops, r.bytes, r.env_steps, r.inferences].into_iter().find(|x| !x.is_nan()).unwrap_or(r.wall_s)
}
