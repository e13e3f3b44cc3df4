//! The command line: `isacbench devices | check | train | evaluate | reproduce | bench | sweep | merge | report`.

mod bench;
mod check;
mod devices;
mod evaluate;
mod reproduce;
#[cfg(feature = "report")]
mod sweep;
mod train;
mod watch;

use crate::gpu::{self, DeviceChoice, Gpu};
use crate::num::real::SimdLevel;
use crate::run::checkpoint::Trainable;
use crate::run::rows::{DeviceName, Manifest};
use crate::tasks::misac::agents::{self as misac, MisacAgent};
use crate::tasks::v2x::agents::{self as v2x, V2xAgent};
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::sync::Arc;

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
    Devices(devices::DevicesArgs),
    /// Compare every kernel on an adapter with its CPU reference.
    ///
    /// Example: isacbench check --device gpu --golden tests/golden
    Check(check::CheckArgs),
    /// Train a learned agent, one replica per seed, and write checkpoint and learning curves.
    ///
    /// Example: isacbench train --task misac --agent h-moe --set task.snr_db=10 --out runs/h-moe
    ///
    /// Example: isacbench train --agent ppo --set task.beam=tracking --set train.seeds=[0,1,2] --out runs/tracking
    Train(train::TrainArgs),
    /// Run an agent for many episodes and print each metric with its 95 % interval.
    ///
    /// Example: isacbench evaluate --task v2x --agent ekf --episodes 4096 --set task.p_max_dbm=30 --json
    ///
    /// Example: isacbench evaluate --task misac --agent dp-optimal --set task.snr_db=20 --json
    Evaluate(evaluate::EvaluateArgs),
    /// Train and evaluate everything a paper shows, or an experiment that it lacks, and write figures and tables with printed values beside ours.
    ///
    /// Example: isacbench reproduce spiking-ac --scale quick --out runs/spiking-ac
    Reproduce(reproduce::ReproduceArgs),
    /// Turn what `cargo bench` has left into tables, figures and one page, or compare two such results.
    ///
    /// Example: isacbench bench --out results/my-machine/bench
    ///
    /// Example: isacbench bench --compare results/my-machine/before results/my-machine/after --fail-below 0.9
    Bench(bench::BenchArgs),
    /// Train and evaluate a grid of configurations × agents × seeds, or a shard of it, into a Parquet dataset that survives any interruption.
    ///
    /// Example: isacbench sweep configs/sweep-v2x.toml --dry-run
    ///
    /// Example: isacbench sweep configs/sweep-misac.toml --shard 2/4 --out runs/misac-2 --resume
    #[cfg(feature = "report")]
    Sweep(sweep::SweepArgs),
    /// Put the shards of a sweep together, after a check that every point is there once.
    ///
    /// Example: isacbench merge runs/misac-1 runs/misac-2 --out runs/misac
    #[cfg(feature = "report")]
    Merge(sweep::MergeArgs),
    /// Tables with intervals and figures of a sweep's dataset.
    ///
    /// Example: isacbench report runs/misac --metric cost_j --where agent=h-moe --by task.snr_db
    #[cfg(feature = "report")]
    Report(sweep::ReportArgs),
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

/// Runs the command; an error is for the caller to print.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Devices(a) => devices::devices(&a),
        Command::Check(a) => check::check(&a),
        Command::Train(a) => train::train(&a),
        Command::Evaluate(a) => evaluate::evaluate(&a),
        Command::Reproduce(a) => reproduce::reproduce_experiments(&a),
        Command::Bench(a) => bench::bench(&a),
        #[cfg(feature = "report")]
        Command::Sweep(a) => sweep::sweep(&a),
        #[cfg(feature = "report")]
        Command::Merge(a) => sweep::merge(&a),
        #[cfg(feature = "report")]
        Command::Report(a) => sweep::report(&a),
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

fn manifest<C: Trainable>(config: &C, agents: &[String], place: &Place) -> Manifest {
    let args: Vec<String> = std::env::args().collect();
    Manifest::collect(&args, &config.to_toml(), C::TASK, agents, &config.train_config().seeds, &place.name)
}

fn find_v2x_agent(id: &str) -> Result<&'static V2xAgent> {
    v2x::find(id).with_context(|| no_agent(id, "v2x", v2x::AGENTS.iter().map(|a| a.id)))
}

fn find_misac_agent(id: &str) -> Result<&'static MisacAgent> {
    misac::find(id).with_context(|| no_agent(id, "misac", misac::AGENTS.iter().map(|a| a.id)))
}

fn no_agent(id: &str, task: &str, there_are: impl Iterator<Item = &'static str>) -> String {
    format!("no agent '{id}' in task {task}; there are: {}", there_are.collect::<Vec<_>>().join(", "))
}
