//! The command line: `isacbench devices | check | train | evaluate | reproduce`.

use crate::agents::{self, AGENTS, Kind};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{self, Config, Layered, V2xConfig};
use crate::energy::accounts;
use crate::evaluate::{Estimate, Outcome};
use crate::golden;
use crate::gpu::{self, DeviceChoice, Gpu};
use crate::kernels::REGISTRY;
use crate::learn::Algorithm;
use crate::real::SimdLevel;
use crate::reproduce::{self, Training, Watch};
use crate::rows::{DeviceName, Manifest};
use crate::stats;
use crate::task::v2x::{V2xParams, metric};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Learned control for integrated sensing and communication (ISAC): environments, agents, training and reports on GPUs and CPUs.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the adapters and what `--device auto` would take.
    ///
    /// Example: isacbench devices
    Devices(DevicesArgs),
    /// Compare every kernel on an adapter with its CPU reference.
    ///
    /// Example: isacbench check --device gpu --golden tests/golden
    Check(CheckArgs),
    /// Train a learned agent, one replica per seed, and write checkpoint and learning curves.
    ///
    /// Example: isacbench train --agent ppo --set task.beam=tracking --set train.seeds=[0,1,2] --out runs/tracking
    Train(TrainArgs),
    /// Run an agent for many episodes and print each metric with its 95 % interval.
    ///
    /// Example: isacbench evaluate --task v2x --agent ekf --episodes 4096 --set task.p_max_dbm=30 --json
    Evaluate(EvaluateArgs),
    /// Train and evaluate everything a paper shows, or an experiment that it lacks, and write figures and tables with printed values beside ours.
    ///
    /// Example: isacbench reproduce spiking-ac --scale quick --out runs/spiking-ac
    Reproduce(ReproduceArgs),
}

#[derive(Args)]
struct Common {
    /// auto (hardware GPU if there is one, else the CPU path), cpu, gpu (any adapter), or part of an adapter's name
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// TOML file with keys that differ from the preset's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a configuration key, for example --set task.p_max_dbm=30 or --set preset=paper (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Args)]
struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct CheckArgs {
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

#[derive(Args)]
struct TrainArgs {
    #[command(flatten)]
    common: Common,
    /// Task to train on
    #[arg(long, default_value = "v2x", value_parser = ["v2x"])]
    task: String,
    /// Learned agent
    #[arg(long, default_value = "ppo")]
    agent: String,
    /// Folder for checkpoint.safetensors, curves and manifest.json
    #[arg(long, default_value = "runs/train", value_name = "DIR")]
    out: PathBuf,
    /// Continue from the checkpoint in --out
    #[arg(long)]
    resume: bool,
}

#[derive(Args)]
struct EvaluateArgs {
    #[command(flatten)]
    common: Common,
    /// Task to run
    #[arg(long, default_value = "v2x", value_parser = ["v2x"])]
    task: String,
    /// Agent id (see the README's table)
    #[arg(long)]
    agent: String,
    /// Trained weights of a learned agent
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Episodes per replica
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    episodes: Option<u64>,
    /// Take the mode of a stochastic policy instead of a sample
    #[arg(long)]
    greedy: bool,
    /// Read the device's energy counter, if it has one: four windows of 5 s
    #[arg(long)]
    measure_energy: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ReproduceArgs {
    /// spiking-ac (the paper's figures), rate-penalty (sum-rate against energy), beams (every learned agent with every parameterisation of
    /// the beams), or all (each in a folder of its own)
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    #[command(flatten)]
    common: Common,
    /// smoke (minutes: does everything run?), quick (half an hour on two cores) or full (a GPU)
    #[arg(long, default_value = "smoke", value_parser = ["smoke", "quick", "full"])]
    scale: String,
    /// Folder for the report [default: runs/EXPERIMENT-SCALE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue an interrupted job in --out
    #[arg(long)]
    resume: bool,
    /// Read the device's energy counter, if it has one: 20 s for each learned agent
    #[arg(long)]
    measure_energy: bool,
}

/// Runs the command; an error is for the caller to print.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Devices(a) => devices(&a),
        Command::Check(a) => check(&a),
        Command::Train(a) => train(&a),
        Command::Evaluate(a) => evaluate(&a),
        Command::Reproduce(a) => reproduce_experiments(&a),
    }
}

/// Where the work runs, and the sentence that says why.
struct Place {
    gpu: Option<Arc<Gpu>>,
    name: DeviceName,
    why: String,
}

fn cpu_place(why: &str) -> Place {
    let threads = rayon::current_num_threads();
    let simd = match SimdLevel::detect() {
        SimdLevel::Scalar => "scalar",
        SimdLevel::Avx2 => "AVX2",
        SimdLevel::Avx512 => "AVX-512",
    };
    let device = format!("cpu ({threads} threads, {simd})");
    Place {
        gpu: None,
        why: format!("device: {device}: {why}"),
        name: DeviceName { device, driver: None, backend: "cpu".into() },
    }
}

fn place(choice: &DeviceChoice) -> Result<Place> {
    if *choice == DeviceChoice::Cpu {
        return Ok(cpu_place("asked for"));
    }
    match Gpu::open(choice) {
        Ok(gpu) => {
            let info = gpu.info.clone();
            let kind = if gpu.is_software() {
                "software adapter: checks only, its speed says nothing about GPUs"
            } else {
                "hardware GPU"
            };
            Ok(Place {
                why: format!("device: {} ({:?}, {kind})", info.name, info.backend),
                name: DeviceName {
                    device: info.name,
                    driver: Some(format!("{} {}", info.driver, info.driver_info).trim().to_string()),
                    backend: format!("{:?}", info.backend).to_lowercase(),
                },
                gpu: Some(Arc::new(gpu)),
            })
        }
        Err(e) if *choice == DeviceChoice::Auto => {
            let software: Vec<_> = gpu::adapters().iter().map(|a| a.get_info().name).collect();
            Ok(cpu_place(&match (software.is_empty(), &e) {
                (true, _) => "no Vulkan adapter on this machine".to_string(),
                (false, gpu::GpuError::NoAdapter(_)) => format!(
                    "no hardware GPU (software adapters are taken only by name: {})",
                    software.join(", ")
                ),
                (false, e) => e.to_string(),
            }))
        }
        Err(e) => Err(e.into()),
    }
}

/// A progress bar on a terminal, plain lines elsewhere; both on standard error.
struct Bars {
    state: Mutex<Option<Stage>>,
}

struct Stage {
    bar: ProgressBar,
    what: String,
    plain: bool,
    note: String,
    started: Instant,
    printed: Instant,
}

impl Bars {
    fn new() -> Self {
        Bars { state: Mutex::new(None) }
    }
    fn with(&self, f: impl FnOnce(&mut Stage)) {
        if let Ok(mut s) = self.state.lock()
            && let Some(stage) = s.as_mut()
        {
            f(stage);
        }
    }
}

impl Watch for Bars {
    fn begin(&self, what: &str, total: u64) {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(total) };
        bar.set_length(total);
        let style = ProgressStyle::with_template(
            "{prefix:28} {bar:30} {pos}/{len} [{elapsed_precise} < {eta}] {msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_string());
        let now = Instant::now();
        if let Ok(mut s) = self.state.lock() {
            *s = Some(Stage {
                bar,
                what: what.into(),
                plain,
                note: String::new(),
                started: now,
                printed: now,
            });
        }
    }

    fn advance(&self, units: u64, note: &str) {
        self.with(|s| {
            s.bar.inc(units);
            if !note.is_empty() {
                s.note = note.to_string();
                s.bar.set_message(s.note.clone());
            }
            if s.plain && units > 0 && s.printed.elapsed().as_secs() >= 10 {
                s.printed = Instant::now();
                let (at, of) = (s.bar.position(), s.bar.length().unwrap_or(0));
                eprintln!(
                    "{}: {at}/{of} after {:.0} s {}",
                    s.what,
                    s.started.elapsed().as_secs_f64(),
                    s.note
                );
            }
        });
    }

    fn warn(&self, what: &str) {
        eprintln!("warning: {what}");
    }

    fn end(&self) {
        self.with(|s| {
            s.bar.finish_and_clear();
            eprintln!("{}: done in {:.1} s {}", s.what, s.started.elapsed().as_secs_f64(), s.note);
        });
    }
}

/// Stands in for [`Bars`] where output is for a program.
struct Silent;

impl Watch for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, what: &str) {
        eprintln!("warning: {what}");
    }
}

fn devices(a: &DevicesArgs) -> Result<()> {
    let all = gpu::adapters();
    let auto = place(&DeviceChoice::Auto)?;
    let info = |x: &wgpu::Adapter| {
        let (i, l) = (x.get_info(), x.limits());
        json!({
            "name": i.name, "type": format!("{:?}", i.device_type), "backend": format!("{:?}", i.backend),
            "driver": format!("{} {}", i.driver, i.driver_info).trim(),
            "max_storage_binding_bytes": l.max_storage_buffer_binding_size, "max_buffer_bytes": l.max_buffer_size,
            "max_workgroup_storage_bytes": l.max_compute_workgroup_storage_size,
            "timestamps": x.features().contains(wgpu::Features::TIMESTAMP_QUERY),
            "f16": x.features().contains(wgpu::Features::SHADER_F16),
            "subgroups": x.features().contains(wgpu::Features::SUBGROUP),
        })
    };
    if a.json {
        println!(
            "{}",
            json!({ "adapters": all.iter().map(info).collect::<Vec<_>>(), "auto": auto.name.device })
        );
        return Ok(());
    }
    for x in &all {
        let i = info(x);
        println!(
            "{}\n    {}, {}, driver {}\n    storage binding {:.0} MiB, buffer {:.0} MiB, timestamps {}, f16 {}, subgroups {}",
            i["name"].as_str().unwrap_or(""),
            i["type"].as_str().unwrap_or(""),
            i["backend"].as_str().unwrap_or(""),
            i["driver"].as_str().unwrap_or(""),
            i["max_storage_binding_bytes"].as_f64().unwrap_or(0.0) / 1048576.0,
            i["max_buffer_bytes"].as_f64().unwrap_or(0.0) / 1048576.0,
            i["timestamps"],
            i["f16"],
            i["subgroups"]
        );
    }
    if all.is_empty() {
        println!("no adapter (Debian: mesa-vulkan-drivers has software Vulkan)");
    }
    println!("auto: {}", auto.why.trim_start_matches("device: "));
    Ok(())
}

fn check(a: &CheckArgs) -> Result<()> {
    if let Some(dir) = &a.dump_wgsl {
        for e in REGISTRY {
            let path = dir.join(format!("{}.wgsl", e.kernel));
            let text = gpu::compose(e.kernel, &(e.prelude)())?.source;
            crate::files::write_whole(&path, text.as_bytes())
                .with_context(|| format!("cannot write '{}'", path.display()))?;
        }
        eprintln!("{} composed shaders written to {}", REGISTRY.len(), dir.display());
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

fn train(a: &TrainArgs) -> Result<()> {
    let config = Config::load(a.common.config.as_deref(), &a.common.sets)?;
    let agent = find_agent(&a.agent)?;
    if !agent.kind.is_learned() {
        let learned: Vec<_> = AGENTS.iter().filter(|x| x.kind.is_learned()).map(|x| x.id).collect();
        bail!("agent '{}' needs no training; learned agents: {}", agent.id, learned.join(", "));
    }
    let place = place(&a.common.device)?;
    eprintln!("{}", place.why);
    let started = Instant::now();
    let replicas = reproduce::replicas(&config.task, &[config.task.p_max_dbm], &config.train.seeds);
    let training = Training {
        config: &config,
        agent,
        replicas,
        variant: String::new(),
        dir: a.out.clone(),
        every: config.reproduce.checkpoint_every,
        resume: a.resume,
    };
    if a.resume && !training.checkpoint_path().exists() {
        eprintln!("no checkpoint in {}: starting from the beginning", a.out.display());
    }
    let mut manifest = manifest(&config, &[agent.id.to_string()], &place);
    let trained = training.run(place.gpu.as_ref(), &Bars::new())?;
    let rows = trained.curves;
    #[cfg(feature = "report")]
    {
        use crate::report::frames;
        frames::write_parquet(&a.out.join("curves.parquet"), &mut frames::curves(&rows)?)?;
        if !trained.activity.is_empty() {
            let path = a.out.join("activity.parquet");
            frames::write_parquet(&path, &mut frames::activity(&trained.activity)?)?;
        }
    }
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    let path = a.out.join("manifest.json");
    crate::files::write_whole(&path, serde_json::to_string_pretty(&manifest)?.as_bytes())
        .with_context(|| format!("cannot write '{}'", path.display()))?;
    let steps = rows.iter().map(|r| r.env_steps).max().unwrap_or(0) * config.train.seeds.len() as u64;
    println!(
        "{} environment steps, {:.3e} per second, checkpoint {}",
        steps,
        steps as f64 / started.elapsed().as_secs_f64(),
        training.checkpoint_path().display()
    );
    Ok(())
}

fn manifest(config: &Config, agents: &[String], place: &Place) -> Manifest {
    let args: Vec<String> = std::env::args().collect();
    Manifest::collect(&args, &config.to_toml(), &config.task.name, agents, &config.train.seeds, &place.name)
}

fn find_agent(id: &str) -> Result<&'static agents::Agent> {
    agents::find(id).with_context(|| {
        format!("no agent '{id}'; there are: {}", AGENTS.iter().map(|a| a.id).collect::<Vec<_>>().join(", "))
    })
}

fn evaluate(a: &EvaluateArgs) -> Result<()> {
    let agent = find_agent(&a.agent)?;
    let mut sets = a.common.sets.clone();
    if let Some(n) = a.episodes {
        sets.push(format!("evaluate.episodes={n}"));
    }
    if a.greedy {
        sets.push("evaluate.greedy=true".into());
    }
    let mut checkpoint = None;
    let (config, replicas): (Config, Vec<V2xParams>) = match (&a.checkpoint, agent.kind) {
        (Some(path), kind) if kind.is_learned() => {
            if a.common.config.is_some() {
                bail!("--config: a checkpoint brings its own configuration; change single keys with --set");
            }
            let mut saved = Checkpoint::load(path)?;
            if saved.agent != agent.id {
                let (file, found, wanted) = (path.display().to_string(), saved.agent, agent.id.into());
                return Err(CheckpointError::OtherAgent { file, found, wanted }.into());
            }
            let config = saved.config.with(&sets)?;
            let sizes = |c: &Config| Algorithm::new(kind, c, Vec::new()).map(|a| (*a.task(), a.policy()));
            if sizes(&config) != sizes(&saved.config) {
                bail!("--set: these keys change the sizes that '{}' was trained with", path.display());
            }
            let chosen =
                sets.iter().filter_map(|s| s.split_once('=')).any(|(key, _)| key.trim() == "task.p_max_dbm");
            if chosen && saved.p_max_dbm.contains(&config.task.p_max_dbm) {
                saved.keep_power(config.task.p_max_dbm);
            } else if saved.p_max_dbm.iter().any(|p| *p != saved.p_max_dbm[0]) {
                let mut all = saved.p_max_dbm.clone();
                all.dedup();
                bail!(
                    "'{}' holds replicas for {all:?} dBm: choose one with --set task.p_max_dbm=…",
                    path.display()
                );
            }
            let power = if chosen { config.task.p_max_dbm } else { saved.p_max_dbm[0] };
            let task = V2xConfig { p_max_dbm: power, ..config.task.clone() };
            let params =
                saved.seeds.iter().map(|s| task.params([config.evaluate.seed.wrapping_add(*s), 0])).collect();
            checkpoint = Some(saved);
            (config, params)
        }
        (Some(_), _) => bail!("agent '{}' has no weights to load: drop --checkpoint", agent.id),
        (None, kind) if kind.is_learned() => return Err(reproduce::JobError::NoWeights(agent.id).into()),
        (None, _) => {
            let config = Config::load(a.common.config.as_deref(), &sets)?;
            let params = vec![config.task.params([config.evaluate.seed, 0])];
            (config, params)
        }
    };
    let place = place(&a.common.device)?;
    let bars = Bars::new();
    let watch: &dyn Watch = if a.json { &Silent } else { &bars };
    if !a.json {
        eprintln!("{}", place.why);
    }
    let outcomes =
        reproduce::outcomes(agent, &config, &replicas, checkpoint.as_ref(), place.gpu.as_deref(), watch)?;
    let vehicles = config.task.vehicles;
    let mut metrics = summarise(agent.kind == Kind::UpperBound, vehicles, &outcomes);
    let mut measured = None;
    if let Some(saved) = &checkpoint {
        metrics.extend(energies(agent, saved, &outcomes)?);
        let gpu = place.gpu.as_deref();
        measured = Some(reproduce::measured(agent, &config, &replicas, saved, gpu, a.measure_energy, watch));
    }
    let episodes: u64 = outcomes.iter().map(|o| o.episodes).sum();
    if a.json {
        let mut object = Map::new();
        for m in &metrics {
            object.insert(
                m.name.clone(),
                json!({ "mean": number(m.mean), "ci95": [number(m.lo), number(m.hi)] }),
            );
        }
        if let Some(measured) = &measured {
            let (mean, reason) = match measured {
                Ok((joules, how)) => (number(*joules), how),
                Err(why) => (Value::Null, why),
            };
            object.insert(MEASURED.into(), json!({ "mean": mean, "reason": reason }));
        }
        let mut out = json!({ "task": a.task, "agent": agent.id, "device": place.name.device, "episodes": episodes, "replicas": outcomes.len(), "metrics": object });
        if agent.kind != Kind::UpperBound {
            let slots: Vec<_> = (0..config.task.slots)
                .map(|t| pool(&outcomes.iter().map(|o| (o.slots[t], o.episodes)).collect::<Vec<_>>()))
                .collect();
            out["slots"] = json!({ "sum_rate_bps_hz": slots.iter().map(|s| json!({ "mean": number(s.0), "ci95": [number(s.1), number(s.2)] })).collect::<Vec<_>>() });
        }
        println!("{out}");
        return Ok(());
    }
    println!(
        "{} at {} dBm, {episodes} episodes of {} slots",
        agent.id, config.task.p_max_dbm, config.task.slots
    );
    for m in &metrics {
        // Angle errors go down to 1e-9 rad.
        let show = |x: f64| if x != 0.0 && x.abs() < 1e-3 { format!("{x:.6e}") } else { format!("{x:.6}") };
        println!("  {:24} {:>14}   95 % interval [{}, {}]", m.name, show(m.mean), show(m.lo), show(m.hi));
    }
    match measured {
        Some(Ok((joules, how))) => println!("  {MEASURED} {joules:.3e} ({how})"),
        Some(Err(why)) => println!("  {MEASURED} none: {why}"),
        None => {}
    }
    Ok(())
}

/// One policy call and its slot by the device's counter.
const MEASURED: &str = "energy_measured_j_per_slot";

/// Energy of a policy call, once per slot, by each model, and firing rates (or shares of active units) of the policy network.
fn energies(agent: &agents::Agent, saved: &Checkpoint, outcomes: &[Outcome]) -> Result<Vec<Summary>> {
    let policy = saved.algorithm().policy();
    let mut values: Vec<(String, Vec<(Estimate, u64)>)> = Vec::new();
    for (o, params) in outcomes.iter().zip(saved.state.params.chunks(policy.params)) {
        let Some(activity) = &o.activity else { continue };
        let (entries, counted) = accounts::inference(&policy.net, params, activity)
            .map_err(|e| reproduce::JobError::Count(agent.id, e))?;
        let plain = |x: &str| x.replace(", ", "_").replace([' ', '-'], "_");
        let named = entries
            .iter()
            .map(|e| (format!("energy_{}_{}_j_per_slot", plain(e.method), plain(&e.constants)), e.energy_j));
        let rates = counted.iter().filter(|q| q.layer > 0);
        let rates = rates.map(|q| (format!("{}_{}_layer_{}", q.network, q.name, q.layer), q.value));
        for (name, mean) in named.chain(rates) {
            let estimate = (Estimate { mean, std_error: f64::NAN }, o.episodes);
            match values.iter_mut().find(|v| v.0 == name) {
                Some(v) => v.1.push(estimate),
                None => values.push((name, vec![estimate])),
            }
        }
    }
    let summary = |(name, values): (String, Vec<_>)| {
        let (mean, lo, hi) = pool(&values);
        Summary { name, mean, lo, hi }
    };
    Ok(values.into_iter().map(summary).collect())
}

fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

struct Summary {
    name: String,
    mean: f64,
    lo: f64,
    hi: f64,
}

/// Mean and 95 % interval: over seeds where there are several replicas, over episodes where there is one.
fn pool(replicas: &[(Estimate, u64)]) -> (f64, f64, f64) {
    let means: Vec<f64> = replicas.iter().map(|r| r.0.mean).collect();
    let mean = stats::mean(&means);
    let interval = match stats::standard_error(&means) {
        Some(se) => stats::t_interval_95(mean, se, means.len()),
        None => stats::t_interval_95(mean, replicas[0].0.std_error, replicas[0].1 as usize),
    };
    interval.map_or((mean, f64::NAN, f64::NAN), |i| (mean, i.lo, i.hi))
}

/// The metrics as they are reported: mean squares become roots.
fn summarise(bound_only: bool, vehicles: usize, outcomes: &[Outcome]) -> Vec<Summary> {
    let pooled =
        |row: usize| pool(&outcomes.iter().map(|o| (o.metrics[row], o.episodes)).collect::<Vec<_>>());
    let plain = |name: &str, row: usize| {
        let (mean, lo, hi) = pooled(row);
        Summary { name: name.into(), mean, lo, hi }
    };
    let root = |name: &str, row: usize| {
        let (mean, lo, hi) = pooled(row);
        Summary { name: name.into(), mean: mean.sqrt(), lo: lo.max(0.0).sqrt(), hi: hi.sqrt() }
    };
    if bound_only {
        return vec![plain("sum_rate_bps_hz", metric::UPPER_BOUND)];
    }
    let mut out = vec![
        plain("sum_rate_bps_hz", metric::SUM_RATE),
        plain("jain", metric::JAIN),
        plain("reward", metric::REWARD),
        plain("indicator_share", metric::INDICATOR),
        root("angle_rmse_rad", metric::ANGLE_SE),
        root("distance_rmse_m", metric::DISTANCE_SE),
        root("angle_crlb_root_rad", metric::ANGLE_CRLB),
        root("distance_crlb_root_m", metric::DISTANCE_CRLB),
        plain("upper_bound_bps_hz", metric::UPPER_BOUND),
    ];
    out.extend((0..vehicles).map(|k| plain(&format!("rate_{k}_bps_hz"), metric::RATE + k)));
    out
}

fn reproduce_experiments(a: &ReproduceArgs) -> Result<()> {
    let all = a.experiment == "all";
    let names: Vec<&str> = if all { config::experiments().collect() } else { vec![&a.experiment] };
    let load = |name: &&str| {
        Config::load_experiment(name, &a.scale, a.common.config.as_deref(), &a.common.sets)
            .map(|c| (name.to_string(), c))
    };
    let jobs: Vec<(String, Config)> = names.iter().map(load).collect::<Result<_, _>>()?;
    let place = place(&a.common.device)?;
    eprintln!("{}", place.why);
    for (name, config) in &jobs {
        let out = match &a.out {
            Some(dir) if all => dir.join(name),
            Some(dir) => dir.clone(),
            None => PathBuf::from(format!("runs/{name}-{}", a.scale)),
        };
        reproduce_one(a, name, config, &out, &place)?;
    }
    Ok(())
}

fn reproduce_one(a: &ReproduceArgs, name: &str, config: &Config, out: &Path, place: &Place) -> Result<()> {
    let started = Instant::now();
    let mut ids: Vec<String> = reproduce::runs(config).iter().map(|r| r.agent.id.to_string()).collect();
    ids.dedup();
    let mut manifest = manifest(config, &ids, place);
    let way = reproduce::Way {
        out,
        resume: a.resume,
        measure: a.measure_energy,
        gpu: place.gpu.as_ref(),
        watch: &Bars::new(),
    };
    let rows = reproduce::reproduce(config, &way)?;
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    write_report(name, out, &rows, &manifest)
}

#[cfg(feature = "report")]
fn write_report(name: &str, out: &Path, rows: &reproduce::Rows, manifest: &Manifest) -> Result<()> {
    use crate::report::{experiments, spiking_ac};
    let paths = match name {
        "rate-penalty" => experiments::write_rate_penalty(out, rows, manifest)?,
        "beams" => experiments::write_beams(out, rows, manifest)?,
        _ => spiking_ac::write(out, rows, manifest)?,
    };
    println!("report: {}", paths.html.display());
    println!("        {}", paths.markdown.display());
    Ok(())
}

#[cfg(not(feature = "report"))]
fn write_report(_: &str, out: &Path, rows: &reproduce::Rows, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_string(
        &json!({ "curves": rows.curves, "evals": rows.evals, "slots": rows.slots, "energy": rows.energy, "activity": rows.activity, "manifest": manifest }),
    )?;
    crate::files::write_whole(&out.join("rows.json"), text.as_bytes())?;
    println!("rows: {} (built without the feature 'report': no figures)", out.join("rows.json").display());
    Ok(())
}
