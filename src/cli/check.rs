//! `isacbench check`

use super::place;
use crate::golden;
use crate::gpu::{self, DeviceChoice, Reduce};
use crate::kernels::REGISTRY;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct CheckArgs {
    /// The adapter to check: gpu (any), auto (hardware only), cpu (twins against the golden vectors only), or part of a name
    #[arg(long, default_value = "gpu")]
    device: DeviceChoice,
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

pub fn check(a: &CheckArgs) -> Result<()> {
    if let Some(dir) = &a.dump_wgsl {
        for e in REGISTRY {
            for form in Reduce::ALL.into_iter().filter(|f| *f == Reduce::Tree || e.adds()) {
                let path = dir.join(match form {
                    Reduce::Tree => format!("{}.wgsl", e.kernel),
                    Reduce::Subgroups => format!("{}.{}.wgsl", e.kernel, form.name()),
                });
                let text = gpu::compose(e.kernel, &(e.prelude)(), form)?.source;
                crate::files::write_whole(&path, text.as_bytes())
                    .with_context(|| format!("cannot write '{}'", path.display()))?;
            }
        }
        eprintln!("composed shaders of {} kernels written to {}", REGISTRY.len(), dir.display());
    }
    let place = place(&a.device)?;
    if !a.json {
        println!("{}", place.why);
    }
    let mut failures = 0;
    let mut kernels = Vec::new();
    match place.gpu.as_deref() {
        Some(gpu) => {
            if !a.json {
                println!(
                    "{:28} {:34} {:>12} {:>24} {:>10}",
                    "kernel", "quantity", "max |error|", "tolerance", "of budget"
                );
            }
            for e in REGISTRY {
                if let Some(lacks) = e.lacks(gpu) {
                    if !a.json {
                        println!("{:28} skipped: the adapter lacks {lacks}", e.kernel);
                    }
                    kernels
                        .push(json!({ "kernel": e.kernel, "skipped": format!("the adapter lacks {lacks}") }));
                    continue;
                }
                for c in (e.check)(gpu)? {
                    failures += usize::from(!c.passed());
                    if !a.json {
                        print_comparison(e.kernel, &c);
                    }
                    kernels.push(json!({ "kernel": e.kernel, "comparison": c, "passed": c.passed() }));
                }
            }
        }
        None if a.golden.is_none() => {
            bail!("kernels are compared on an adapter: use --device gpu, or --golden DIR for the CPU twins")
        }
        None => {}
    }
    let mut files = Vec::new();
    if let Some(dir) = &a.golden {
        for g in golden::run(dir, place.gpu.as_deref())? {
            match &g.outcome {
                golden::Outcome::Compared(rows) => {
                    for r in rows {
                        failures += usize::from(!r.comparison.passed());
                        if !a.json {
                            print_comparison(&format!("{} [{}]", g.file, r.backend), &r.comparison);
                        }
                        files.push(json!({ "file": g.file, "backend": r.backend.to_string(), "comparison": r.comparison, "passed": r.comparison.passed() }));
                    }
                }
                golden::Outcome::Skipped { reason } => {
                    if !a.json {
                        println!("{:28} skipped: {reason}", g.file);
                    }
                    files.push(json!({ "file": g.file, "skipped": reason }));
                }
            }
        }
    }
    if a.json {
        println!(
            "{}",
            json!({ "task": "check", "device": place.name.device, "kernels": kernels, "golden": files, "failures": failures })
        );
    } else {
        println!("{} comparisons, {failures} failed", kernels.len() + files.len());
    }
    if failures > 0 {
        bail!("{failures} comparisons are outside their tolerance");
    }
    Ok(())
}

fn print_comparison(name: &str, c: &crate::kernels::Comparison) {
    let tolerance = if c.tol_abs == 0.0 && c.tol_rel == 0.0 {
        "exact".to_string()
    } else {
        format!("{:.1e} + {:.1e}·scale", c.tol_abs, c.tol_rel)
    };
    let verdict = if c.passed() { "" } else { "  FAILED" };
    println!(
        "{name:28} {:34} {:>12.3e} {tolerance:>24} {:>9.1}%{verdict}",
        c.quantity,
        c.max_abs_err,
        100.0 * c.budget_share
    );
    for f in &c.failures {
        println!("    {f}");
    }
}
