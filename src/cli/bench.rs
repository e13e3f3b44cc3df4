//! `isacbench bench`

use super::place;
use super::print::{note, say};
use super::watch::Bars;
use crate::bench::analysis::{self, BenchRows};
use crate::bench::device::slug;
use crate::bench::energy::{self, INITIAL, Named, Target};
use crate::bench::samples::{self, Benchmark, Found};
use crate::bench::{Device, DeviceKind, criterion_home};
use crate::config::first_difference;
use crate::energy::meters::SYSFS;
use crate::gpu::DeviceChoice;
use crate::num::stats::once;
use crate::run::rows::{BenchEnergyRow, DeviceName, Manifest, cpu_model};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

#[derive(Args)]
pub struct BenchArgs {
    /// criterion's folder [default: CRITERION_HOME, else criterion in the target folder]
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    from: Option<PathBuf>,
    /// Folder for the report [default: results/MACHINE/bench; with --compare nothing is written]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure joules per inference and environment step by the device's own counter, on the CPU and on the GPU that
    /// --device names: about four minutes a device that has one, on a machine that does nothing else
    #[arg(long, conflicts_with = "compare")]
    measure: bool,
    /// What --measure runs on beside the CPU: auto (hardware GPU if there is one), cpu (nothing else), gpu, or part of
    /// an adapter's name
    #[arg(long, default_value = "auto", conflicts_with = "compare")]
    device: DeviceChoice,
    /// Trained weights whose energy is given instead of those before training (repeatable; those of one task need one
    /// configuration of it, which its other agents then have too)
    #[arg(long = "checkpoint", value_name = "FILE", conflicts_with = "compare")]
    checkpoints: Vec<PathBuf>,
    /// Compare two folders that this command has written, A and B, and print ratios of speed with their intervals
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    compare: Option<Vec<PathBuf>>,
    /// Fail if a benchmark in B is surely slower than this share of its speed in A, for example 0.9
    #[arg(long, value_name = "RATIO", requires = "compare")]
    fail_below: Option<f64>,
}

pub(super) fn bench(a: &BenchArgs, tasks: &energy::Tasks) -> Result<()> {
    if let Some(ratio) = a.fail_below
        && !(ratio.is_finite() && ratio > 0.0)
    {
        bail!("--fail-below {ratio}: must be a positive number, such as 0.9");
    }
    match a.compare.as_deref() {
        Some([old, new]) => compare(a, old, new),
        _ => report(a, tasks),
    }
}

fn report(a: &BenchArgs, tasks: &energy::Tasks) -> Result<()> {
    let started = Instant::now();
    let home = a.from.clone().unwrap_or_else(criterion_home);
    let found = samples::collect(&home)?;
    let names: Vec<&str> = tasks.iter().map(|t| t.name()).collect();
    let subjects = subjects(a, &found, tasks)?;
    let out = a.out.clone().unwrap_or_else(|| Path::new("results").join(machine(&found)).join("bench"));
    crate::files::writable_folder(&out).with_context(|| format!("cannot write to '{}'", out.display()))?;
    for l in &found.left_out {
        note!("left out: {}: {}", l.path.display(), l.why);
    }
    let rows = analysis::rows(&found.benchmarks);
    let energy = energies(a, &found, &subjects)?;
    let mut manifest = manifest(&found, &subjects, &names);
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    write(&out, &found, &rows, &energy, &manifest, &names)
}

/// Agents whose energy is given: those of every report, those that were benchmarked, and those whose weights were
/// named.
fn subjects(a: &BenchArgs, found: &Found, tasks: &energy::Tasks) -> Result<Vec<Named>> {
    let mut out: Vec<Named> = Vec::new();
    for path in &a.checkpoints {
        let subject = energy::load(tasks, path)?;
        if let Some(other) = out.iter().find(|n| n.subject.agent() == subject.agent()) {
            bail!(
                "--checkpoint '{}': agent '{}' has its weights from '{}' already",
                path.display(),
                subject.agent(),
                other.weights
            );
        }
        let of_task = |n: &&Named| n.subject.task() == subject.task();
        if let Some(other) = out.iter().find(of_task)
            && let Some(what) = first_difference("", &other.subject.compared(), &subject.compared())
        {
            bail!(
                "--checkpoint '{}': {what} (there: '{}'); agents of one table need one task: give each its own report",
                path.display(),
                other.weights
            );
        }
        let weights = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        out.push(Named { subject, weights });
    }
    let trained = out.len();
    let benchmarked = found.benchmarks.iter().filter_map(|b| b.record.policy.as_deref());
    // A program may lack the agents of every report, and a network may be benchmarked that is no agent.
    let known = |p: &&str| energy::is_learned(tasks, p);
    for agent in energy::AGENTS.into_iter().chain(benchmarked).filter(known) {
        if out.iter().any(|n| n.subject.agent() == agent) {
            continue;
        }
        // What stands beside trained weights has their task.
        let mut subject = None;
        for n in &out[..trained] {
            let beside = n.subject.beside(agent);
            subject = subject.or(beside.with_context(|| format!("'{agent}' beside '{}'", n.weights))?);
        }
        let subject = subject.map_or_else(|| energy::initial(tasks, agent), Ok)?;
        out.push(Named { subject, weights: INITIAL.into() });
    }
    Ok(out)
}

/// Rows of the models, then those of each device's counter.
fn energies(a: &BenchArgs, found: &Found, subjects: &[Named]) -> Result<Vec<BenchEnergyRow>> {
    let mut out = Vec::new();
    for s in subjects {
        out.extend(s.models()?);
    }
    let watch = Bars::new();
    for target in targets(a, found)? {
        out.extend(energy::measured(subjects, &target, Path::new(SYSFS), a.measure, &watch));
    }
    Ok(out)
}

/// Devices of the benchmarks; with --measure the CPU and the named GPU in any case.
fn targets(a: &BenchArgs, found: &Found) -> Result<Vec<Target>> {
    let mut out: Vec<Target> = Vec::new();
    for b in &found.benchmarks {
        let d = &b.record.device;
        // One core of the CPU has no counter of its own, and a software adapter is the processor.
        let part = d.kind == DeviceKind::SoftwareGpu || d.kind == DeviceKind::Cpu && d.slug != CPU;
        if !part && !out.iter().any(|t| t.slug == d.slug) {
            out.push(Target { slug: d.slug.clone(), name: d.name.clone(), kind: d.kind, gpu: None });
        }
    }
    if !a.measure {
        return Ok(out);
    }
    if !out.iter().any(|t| t.kind == DeviceKind::Cpu) {
        let name = cpu_model().unwrap_or_else(|| CPU.into());
        out.push(Target { slug: CPU.into(), name, kind: DeviceKind::Cpu, gpu: None });
    }
    match place(&a.device)?.gpu {
        Some(gpu) if gpu.is_software() => {
            note!("not measured: '{}' is a software adapter and runs on the processor", gpu.info.name);
        }
        Some(gpu) => {
            let name = gpu.info.name.clone();
            match out.iter_mut().find(|t| t.name == name) {
                Some(t) => t.gpu = Some(gpu),
                None => out.push(Target { slug: slug(&name), name, kind: DeviceKind::Gpu, gpu: Some(gpu) }),
            }
        }
        None => {}
    }
    Ok(out)
}

/// Slug of the CPU path with all its threads.
const CPU: &str = "cpu";

/// Name of the machine's folder below results/: its GPU, or its processor with the number of cores.
fn machine(found: &Found) -> String {
    let devices = || found.benchmarks.iter().map(|b| &b.record.device);
    if let Some(gpu) = devices().find(|d| d.kind == DeviceKind::Gpu) {
        return slug(&gpu.name);
    }
    let cpu = devices().find(|d| d.kind == DeviceKind::Cpu).map(|d| d.name.clone()).or_else(cpu_model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}-{cores}-cores", slug(&cpu.unwrap_or_else(|| CPU.into())))
}

fn manifest(found: &Found, subjects: &[Named], tasks: &[&str]) -> Manifest {
    let devices = || found.benchmarks.iter().map(|b| &b.record.device);
    let name = |d: &Device| match d.kind {
        DeviceKind::SoftwareGpu => format!("{} (software adapter)", d.name),
        _ => d.name.clone(),
    };
    let backend = |d: &Device| if d.kind == DeviceKind::Cpu { "cpu" } else { "vulkan" };
    let drivers = once(devices().filter_map(|d| d.driver.clone()));
    let device = DeviceName {
        device: once(devices().map(name)).join(", "),
        driver: (!drivers.is_empty()).then(|| drivers.join(", ")),
        backend: once(devices().map(backend)).join(", "),
    };
    let time =
        |t: Option<SystemTime>| t.map_or("-".into(), |t| humantime::format_rfc3339_seconds(t).to_string());
    let taken = || found.benchmarks.iter().map(|b: &Benchmark| b.taken);
    let config = format!(
        "benchmarks = {}\nleft_out = {}\nfirst_samples_utc = \"{}\"\nlast_samples_utc = \"{}\"\n",
        found.benchmarks.len(),
        found.left_out.len(),
        time(taken().min()),
        time(taken().max())
    );
    let agents: Vec<String> = subjects.iter().map(|s| s.subject.agent().to_string()).collect();
    let mut manifest =
        Manifest::collect(&super::common::words(), &config, &tasks.join(", "), &agents, &[], &device);
    // What was timed, not what reports it.
    let records = || found.benchmarks.iter().map(|b| &b.record);
    let revisions: BTreeSet<&str> = records().filter_map(|r| r.git_revision.as_deref()).collect();
    manifest.git_revision =
        (!revisions.is_empty()).then(|| revisions.into_iter().collect::<Vec<_>>().join(", "));
    manifest.git_dirty = records().filter_map(|r| r.git_dirty).reduce(|a, b| a || b);
    manifest
}

#[cfg(feature = "report")]
fn write(
    out: &Path,
    found: &Found,
    rows: &BenchRows,
    energy: &[BenchEnergyRow],
    manifest: &Manifest,
    tasks: &[&str],
) -> Result<()> {
    use crate::report::bench::{self, Report};
    let paths = bench::write(out, &Report { rows, energy, left_out: &found.left_out, manifest, tasks })?;
    say!("report: {}", paths.html.display());
    say!("        {}", paths.summary.display());
    Ok(())
}

#[cfg(not(feature = "report"))]
fn write(
    out: &Path,
    _: &Found,
    rows: &BenchRows,
    energy: &[BenchEnergyRow],
    manifest: &Manifest,
    _: &[&str],
) -> Result<()> {
    let BenchRows { benchmarks, samples, scaling, phases } = rows;
    let rows = serde_json::json!({ "benchmarks": benchmarks, "samples": samples, "scaling": scaling, "phases": phases, "energy": energy, "manifest": manifest });
    crate::files::write_whole(&out.join("rows.json"), rows.to_string().as_bytes())?;
    say!("rows: {} (built without the feature 'report': no figures)", out.join("rows.json").display());
    Ok(())
}

#[cfg(feature = "report")]
fn compare(a: &BenchArgs, old: &Path, new: &Path) -> Result<()> {
    use crate::bench::compare::compare;
    use crate::report::bench::{markdown, read_set, write_comparison};
    let read = |dir: &Path| {
        read_set(dir).with_context(|| {
            format!("--compare '{}': no results of `isacbench bench`; write them with `isacbench bench --out DIR`", dir.display())
        })
    };
    let ((set_a, manifest_a), (set_b, manifest_b)) = (read(old)?, read(new)?);
    let comparison = compare(&set_a, &set_b);
    let names = [old, new].map(|p| p.display().to_string());
    let text = markdown([&names[0], &names[1]], [manifest_a.as_ref(), manifest_b.as_ref()], &comparison);
    if let Some(out) = &a.out {
        let [markdown, html] = write_comparison(out, &text, &comparison)?;
        note!("comparison: {}", html.display());
        note!("            {}", markdown.display());
    }
    // The figure is a file beside the text; printed there is none.
    let printed: Vec<&str> = text.lines().filter(|l| !l.starts_with("![")).collect();
    say!("{}", printed.join("\n"));
    if let Some(ratio) = a.fail_below {
        let slow: Vec<String> = comparison
            .below(ratio)
            .map(|p| format!("{}/{}/{} ({:.3})", p.group, p.device_b, p.sizes, p.ratio))
            .collect();
        if !slow.is_empty() {
            bail!(
                "{} of {} benchmarks are below {ratio} of their speed in A: {}",
                slow.len(),
                comparison.pairs.len(),
                slow.join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(not(feature = "report"))]
fn compare(_: &BenchArgs, _: &Path, _: &Path) -> Result<()> {
    bail!("--compare reads Parquet files: build with the feature 'report' (the default)")
}
