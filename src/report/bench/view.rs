//! What the report of benchmarks is taken from.

use crate::bench::analysis::{BenchRows, SOFTWARE};
use crate::bench::samples::LeftOut;
use crate::num::stats::once;
use crate::report::figure;
use crate::run::rows::{BenchEnergyRow, BenchRow, Manifest};

/// What software adapters' table is called, wherever one appears.
pub const SOFTWARE_TITLE: &str = "software adapter: checks only, no GPU speed";

/// Everything that is reported.
pub struct Report<'a> {
    pub rows: &'a BenchRows,
    pub energy: &'a [BenchEnergyRow],
    pub left_out: &'a [LeftOut],
    pub manifest: &'a Manifest,
    /// Ids of the tasks, with which the groups of their kernels begin.
    pub tasks: &'a [&'a str],
}

/// One figure.
pub(super) struct Picture {
    pub(super) file: String,
    pub(super) picture: figure::Picture,
    pub(super) caption: String,
}

/// What figures and tables are taken from: devices first, software apart.
pub(super) struct View<'a> {
    pub(super) report: &'a Report<'a>,
    /// Benchmarks of real devices.
    pub(super) real: Vec<&'a BenchRow>,
    pub(super) software: Vec<&'a BenchRow>,
    /// Slugs of real devices, the CPU last.
    pub(super) devices: Vec<&'a str>,
}

impl<'a> View<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        let (software, real): (Vec<_>, Vec<_>) =
            report.rows.benchmarks.iter().partition(|r| r.device_kind == SOFTWARE);
        let mut devices = once(real.iter().map(|r| r.device.as_str()));
        devices.sort_by_key(|d| (d.starts_with("cpu"), d.to_string()));
        View { report, real, software, devices }
    }

    pub(super) fn is_real(&self, device: &str) -> bool {
        self.devices.contains(&device)
    }

    /// Name of a device in a table.
    pub(super) fn name(&self, device: &str) -> String {
        let row = self.real.iter().find(|r| r.device == device);
        row.map_or_else(|| device.to_string(), |r| r.device_name.clone())
    }

    pub(super) fn section(&self, device: &str, section: &str) -> impl Iterator<Item = &&'a BenchRow> {
        self.real.iter().filter(move |r| r.device == device && r.section == section)
    }

    /// Of every group of a section the benchmark with the most work: the one that fills the device best.
    pub(super) fn largest(&self, device: &str, section: &str) -> Vec<&'a BenchRow> {
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
