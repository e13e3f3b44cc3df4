//! `isacbench check`

use super::common::cpu_place;
use super::print::{note, say};
use super::{Tasks, place};
use crate::golden;
use crate::gpu::{self, DeviceChoice, Reduce};
use crate::kernels::{self, Entry};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct CheckArgs {
    /// The adapter to check: gpu (any), auto (hardware only), cpu (twins against the golden vectors only), or part of a
    /// name [default: gpu; with --dump-wgsl alone, nothing is compared where there is none]
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Also run every vector file of this folder on CPU and adapter
    #[arg(long, value_name = "DIR")]
    golden: Option<PathBuf>,
    /// Write each kernel's composed WGSL to this folder
    #[arg(long, value_name = "DIR")]
    dump_wgsl: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn check(a: &CheckArgs, tasks: &Tasks) -> Result<()> {
    let all: Vec<&Entry> = kernels::REGISTRY.iter().chain(tasks.iter().flat_map(|t| t.kernels())).collect();
    // Shaders are written for reading too: who names no device and asks for no more needs no adapter.
    let only_writes = a.device.is_none() && a.golden.is_none() && a.dump_wgsl.is_some();
    let place = place(a.device.as_ref().unwrap_or(&DeviceChoice::Gpu))
        .or_else(|e| if only_writes { Ok(cpu_place(&format!("{e:#}"))) } else { Err(e) })?;
    if let Some(dir) = &a.dump_wgsl {
        for e in &all {
            for form in Reduce::ALL.into_iter().filter(|f| *f == Reduce::Tree || e.adds()) {
                let path = dir.join(match form {
                    Reduce::Tree => format!("{}.wgsl", e.kernel),
                    Reduce::Subgroups => format!("{}.{}.wgsl", e.kernel, form.name()),
                });
                let text = gpu::compose(&e.shader, &(e.prelude)(), form)?.source;
                crate::files::write_whole(&path, text.as_bytes())
                    .with_context(|| format!("cannot write '{}'", path.display()))?;
            }
        }
        note!("composed shaders of {} kernels written to {}", all.len(), dir.display());
    }
    let tell = |line: String| {
        if !a.json {
            say!("{line}");
        }
    };
    tell(place.why.clone());
    let (mut compared, mut failures) = (0, 0);
    let mut kernels = Vec::new();
    match place.gpu.as_deref() {
        Some(gpu) => {
            let [kernel, quantity, error] = ["kernel", "quantity", "max |error|"];
            tell(format!("{kernel:28} {quantity:34} {error:>12} {:>24} {:>10}", "tolerance", "of budget"));
            for e in &all {
                if let Some(lacks) = e.lacks(gpu) {
                    let why = format!("the adapter lacks {lacks}");
                    tell(format!("{:28} skipped: {why}", e.kernel));
                    kernels.push(json!({ "kernel": e.kernel, "skipped": why }));
                    continue;
                }
                for c in (e.check)(gpu)? {
                    compared += 1;
                    failures += usize::from(!c.passed());
                    tell(in_lines(e.kernel, &c));
                    kernels.push(json!({ "kernel": e.kernel, "comparison": c, "passed": c.passed() }));
                }
            }
        }
        None if a.golden.is_none() && a.dump_wgsl.is_none() => {
            bail!("kernels are compared on an adapter: use --device gpu, or --golden DIR for the CPU twins")
        }
        None => {}
    }
    if place.gpu.is_some() && compared == 0 {
        bail!("nothing was compared: the adapter lacks what every kernel needs");
    }
    let (mut files, mut bad_files, mut golden_compared) = (Vec::new(), 0, None);
    if let Some(dir) = &a.golden {
        let before = compared;
        let checks: Vec<golden::File> =
            golden::FILES.iter().chain(tasks.iter().flat_map(|t| t.golden())).copied().collect();
        for g in golden::run(dir, &checks, place.gpu.as_deref())? {
            match &g.outcome {
                golden::GoldenOutcome::Compared(rows) => {
                    compared += rows.len();
                    for r in rows {
                        failures += usize::from(!r.comparison.passed());
                        tell(in_lines(&format!("{} [{}]", g.file, r.backend), &r.comparison));
                        files.push(json!({ "file": g.file, "backend": r.backend.to_string(), "comparison": r.comparison, "passed": r.comparison.passed() }));
                    }
                }
                golden::GoldenOutcome::Skipped { reason } => {
                    tell(format!("{:28} skipped: {reason}", g.file));
                    files.push(json!({ "file": g.file, "skipped": reason }));
                }
                golden::GoldenOutcome::Failed { reason } => {
                    bad_files += 1;
                    tell(format!("{:28} FAILED: {reason}", g.file));
                    files.push(json!({ "file": g.file, "error": reason, "passed": false }));
                }
            }
        }
        golden_compared = Some(compared - before);
    }
    if a.json {
        say!(
            "{}",
            json!({ "task": "check", "device": place.name.device, "kernels": kernels, "golden": files, "comparisons": compared, "failures": failures, "bad_files": bad_files })
        );
    } else if place.gpu.is_some() || a.golden.is_some() {
        say!("{compared} comparisons, {failures} failed");
    }
    match (failures, bad_files) {
        (0, 0) => {}
        (_, 0) => bail!("{failures} comparisons are outside their tolerance"),
        (0, _) => bail!("{bad_files} files cannot be compared"),
        _ => bail!(
            "{failures} comparisons are outside their tolerance, and {bad_files} files cannot be compared"
        ),
    }
    if let (Some(0), Some(dir)) = (golden_compared, &a.golden) {
        bail!(
            "nothing in '{}' was compared: no file there has the name of one that is tested",
            dir.display()
        );
    }
    Ok(())
}

/// A comparison in a line, with a line for each failure.
fn in_lines(name: &str, c: &crate::kernels::Comparison) -> String {
    let tolerance = if c.tol_abs == 0.0 && c.tol_rel == 0.0 {
        "exact".to_string()
    } else {
        format!("{:.1e} + {:.1e}·scale", c.tol_abs, c.tol_rel)
    };
    let verdict = if c.passed() { "" } else { "  FAILED" };
    let (error, percent) = (c.max_abs_err, 100.0 * c.budget_share);
    let line = format!("{name:28} {:34} {error:>12.3e} {tolerance:>24} {percent:>9.1}%{verdict}", c.quantity);
    std::iter::once(line).chain(c.failures.iter().map(|f| format!("    {f}"))).collect::<Vec<_>>().join("\n")
}
