//! The command line: `isacbench devices | check | train | evaluate | compare | export | import | schedule | replay |
//! reproduce | cite | bench | sweep | tune | merge | report | page`.

mod bench;
mod check;
mod cite;
mod common;
#[cfg(feature = "report")]
mod compare;
mod devices;
pub mod embed;
mod evaluate;
mod export;
mod first;
mod folder;
#[cfg(feature = "report")]
mod page;
pub mod print;
#[cfg(feature = "report")]
mod replay;
#[cfg(feature = "report")]
mod report;
mod reproduce;
mod schedule;
#[cfg(feature = "report")]
mod signals;
#[cfg(feature = "report")]
mod sweep;
pub mod tasks;
mod train;
#[cfg(feature = "report")]
mod tune;
mod watch;

pub use crate::run::registry::Entry;
pub use crate::run::rows::Sources;
pub use common::Place;
pub use tasks::{Registered, Tasks};

use crate::run::errors::JobError;
use crate::run::rows::built_from;
use anyhow::{Context, Result, bail};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use common::{Common, command_line, manifest, place};
use std::ffi::OsString;
use std::process::ExitCode;

/// Learned control for integrated sensing and communication (ISAC): environments, agents, training and reports on GPUs
/// and CPUs.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
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
    /// Run an agent for many episodes and print each metric with its 95 % interval; of several agents, compare them.
    ///
    /// Example: isacbench evaluate --task v2x --agent ekf --episodes 4096 --set task.p_max_dbm=30 --json
    ///
    /// Example: isacbench evaluate --task misac --agent dp-optimal --set task.snr_db=20 --json
    ///
    /// Example: isacbench evaluate --agent ppo,ekf-zf,genie --checkpoint ppo=runs/ppo --out runs/compared
    Evaluate(evaluate::EvaluateArgs),
    /// Compare agents from evaluations, trainings, sweeps and reports: means, paired differences on the same seeds and
    /// draws, probability of improvement, ranks and performance profiles.
    ///
    /// Example: isacbench compare runs/a.json runs/b.json
    ///
    /// Example: isacbench compare runs/sweep-v2x --agent ppo,last-estimate --metric reward --out runs/compared
    #[cfg(feature = "report")]
    Compare(compare::CompareArgs),
    /// Write a page that plays episodes slot by slot: the road from above, beams, estimates and what they give, two
    /// agents side by side with the same draws.
    ///
    /// Example: isacbench replay v2x --agents last-estimate,ekf-zf,genie --out runs/replay.html
    ///
    /// Example: isacbench replay misac --checkpoint runs/h-moe --agents best-periodic,dp-optimal --out runs/c.html
    #[cfg(feature = "report")]
    Replay(replay::ReplayArgs),
    /// Write a trained policy as an ONNX file: the whole decision, from estimates in physical units to angles, powers,
    /// beams, cameras and phases.
    ///
    /// Example: isacbench export --checkpoint runs/ppo --out ppo.onnx
    ///
    /// Example: isacbench export --checkpoint runs/h-moe --replica 2 --raw --out h-moe.onnx
    Export(export::ExportArgs),
    /// Make a checkpoint of a file of `export --format torch` whose weights were changed elsewhere, to be judged here.
    ///
    /// Example: isacbench import tuned.safetensors --out runs/tuned/checkpoint.safetensors
    Import(export::ImportArgs),
    /// Solve the best schedule of a configuration and print it slot by slot, the best fixed period beside it, and what
    /// each costs.
    ///
    /// Example: isacbench schedule --set task.vehicles=6 --set task.snr_db=12 --set task.e_recovery_j=50
    Schedule(schedule::ScheduleArgs),
    /// Train and evaluate everything a paper shows, or an experiment that it lacks, and write figures and tables with
    /// printed values beside ours.
    ///
    /// Example: isacbench reproduce spiking-ac --scale quick --out runs/spiking-ac
    Reproduce(reproduce::ReproduceArgs),
    /// Print what to cite: this program, the papers of its tasks and, of a run, the line that says where its numbers
    /// come from.
    ///
    /// Example: isacbench cite results/intel-xeon-processor-2-cores/spiking-ac-quick
    Cite(cite::CiteArgs),
    /// Turn what `cargo bench` has left into tables, figures and one page, or compare two such results.
    ///
    /// Example: isacbench bench --out results/my-machine/bench
    ///
    /// Example: isacbench bench --compare results/my-machine/before results/my-machine/after --fail-below 0.9
    Bench(bench::BenchArgs),
    /// Train and evaluate a grid of configurations × agents × seeds, or a shard of it, into a Parquet dataset that
    /// survives any interruption.
    ///
    /// Example: isacbench sweep configs/sweep-v2x.toml --dry-run
    ///
    /// Example: isacbench sweep configs/sweep-misac.toml --shard 2/4 --out runs/misac-2 --resume
    #[cfg(feature = "report")]
    Sweep(sweep::SweepArgs),
    /// Search the settings of learned agents: the same number of trials, slots and seeds for each, as many trials in a
    /// batch as it holds.
    ///
    /// A trial draws the keys of [space] (a file by --space, else the task's own); trial 1 is the configuration as it
    /// stands. Tuning seeds are never evaluation seeds. --out gets a dataset that `report` reads, chosen-AGENT.toml for
    /// --config, and page/tune.html: every trial, the chosen one, and how the result follows each key. A job that was
    /// interrupted continues with --resume and leaves the same files.
    ///
    /// Example: isacbench tune v2x --agent ppo --agent ddpg --trials 64 --budget 1000000 --halving --out runs/tune
    ///
    /// Example: isacbench tune misac --trials 16 --budget 200000 --seeds 3000,3001 --dry-run
    #[cfg(feature = "report")]
    Tune(tune::TuneArgs),
    /// Put the shards of a sweep together, after a check that every point is there once.
    ///
    /// Example: isacbench merge runs/misac-1 runs/misac-2 --out runs/misac
    #[cfg(feature = "report")]
    Merge(sweep::MergeArgs),
    /// Render the pages of any folder of results again from its rows: a paper's run, readings and other experiments,
    /// a sweep, a tuning, a comparison, benchmarks. Of a sweep or a tuning it answers questions too: which metric,
    /// which rows, over what.
    ///
    /// Example: isacbench report results/intel-xeon-processor-2-cores/spiking-ac-quick --out runs/again
    ///
    /// Example: isacbench report runs/misac --metric cost_j --where agent=h-moe --by task.snr_db
    #[cfg(feature = "report")]
    Report(report::ReportArgs),
    /// Write a live page: a task's kernels in a browser, with sliders, driven by a trained policy.
    ///
    /// Example: isacbench page --live runs/live
    ///
    /// Example: isacbench page --live runs/live --checkpoint runs/tracking --set task.p_max_dbm=30
    #[cfg(feature = "report")]
    Page(page::PageArgs),
}

/// Threads that a variable may ask for, unless the machine has more cores: so many start at once, a hundred thousand
/// take until the end of days.
const MOST_THREADS: usize = 1024;

/// Starts the thread pool of all commands, before one of them does it with whatever the environment says.
fn start_threads() -> Result<()> {
    let most = std::thread::available_parallelism().map_or(MOST_THREADS, |n| n.get().max(MOST_THREADS));
    // Of the pool here, by its old name too, and of the one that reads and writes tables.
    for key in ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS", "POLARS_MAX_THREADS"] {
        let Some(value) = std::env::var_os(key).filter(|v| !v.is_empty()) else { continue };
        let value = value.to_string_lossy();
        match value.parse::<usize>() {
            Ok(n) if n <= most => {}
            Ok(n) => bail!("{key}={n}: at most {most} threads are started"),
            Err(_) => bail!("{key}={value}: not a number of threads"),
        }
    }
    rayon::ThreadPoolBuilder::new()
        .build_global()
        .context("cannot start the threads that the work needs; RAYON_NUM_THREADS may ask for fewer")
}

/// The whole of a program with these tasks, built from these [`sources!`](crate::sources): parses the command line,
/// runs the command, prints the error chain. To be called first of all.
pub fn main(tasks: &Tasks, sources: Sources) -> ExitCode {
    ExitCode::from(main_words(tasks, sources, std::env::args_os().collect()))
}

/// The same with a command line of these words, the first of which is the program, as an exit code: for a program that
/// is started by an interpreter.
pub fn main_words(tasks: &Tasks, sources: Sources, words: Vec<OsString>) -> u8 {
    built_from(sources);
    command_line(words);
    // Mesa's device-select layer looks for a Wayland display when adapters are listed and prints "error:
    // XDG_RUNTIME_DIR is invalid or not set" on machines without one, next to our own messages. It only reorders
    // adapters, which this program does by itself; who steers it keeps it.
    if ["NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME"].iter().all(|v| std::env::var_os(v).is_none())
    {
        // SAFETY: this is the first statement of the process; no other thread exists that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    match run(tasks) {
        Ok(()) => 0,
        Err(e) => {
            print::error(&e);
            let interrupted = matches!(e.downcast_ref(), Some(JobError::Interrupted { .. }));
            if interrupted { 130 } else { 1 }
        }
    }
}

/// A command line in parts. A value may begin with a minus sign everywhere: what is wrong with it is then said by its
/// own key.
fn parse(words: impl IntoIterator<Item = OsString>) -> clap::error::Result<Cli> {
    let signed = |arg: clap::Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    let command = Cli::command().mut_subcommands(|command| command.mut_args(signed));
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// Parses the command line and runs the command on these tasks; an error is for the caller to print.
pub fn run(tasks: &Tasks) -> Result<()> {
    let cli = match parse(common::words_os()) {
        Ok(cli) => cli,
        Err(e) => return print::parser(&e),
    };
    match cli.command {
        Some(asked) => {
            start_threads()?;
            command(asked, tasks)?;
        }
        None => first::first(tasks),
    }
    print::arrived()
}

fn command(command: Command, all: &Tasks) -> Result<()> {
    match command {
        Command::Devices(a) => devices::devices(&a),
        Command::Check(a) => check::check(&a, all),
        Command::Train(a) => tasks::find(all, a.task.as_deref(), a.agent.as_deref())?.train(&a),
        Command::Evaluate(a) if a.policy.is_some() => bail!(
            "--policy: ONNX files are run by onnxruntime, which the command of the Python module has: pip install './python[onnx]'"
        ),
        Command::Evaluate(a) => tasks::find(all, a.task.as_deref(), Some(a.agent[0].trim()))?.evaluate(&a),
        #[cfg(feature = "report")]
        Command::Compare(a) => compare::compare(&a, &tasks::any(all)),
        #[cfg(feature = "report")]
        Command::Replay(a) => tasks::find(all, Some(&a.task), None)?.replay(&a),
        Command::Export(a) => export::export(&a, all),
        Command::Import(a) => export::import(&a, all),
        Command::Schedule(a) => tasks::schedule(all, &a),
        Command::Reproduce(a) => reproduce::run(&a, tasks::experiments(all, &a)?),
        Command::Cite(a) => cite::cite(&a, all),
        Command::Bench(a) => bench::bench(&a, &tasks::any(all)),
        #[cfg(feature = "report")]
        Command::Sweep(a) => tasks::sweep(all, &a),
        #[cfg(feature = "report")]
        Command::Tune(a) => tasks::find(all, Some(&a.task), None)?.tune(&a),
        #[cfg(feature = "report")]
        Command::Merge(a) => sweep::merge(&a),
        #[cfg(feature = "report")]
        Command::Report(a) => report::report(&a, &tasks::any(all)),
        #[cfg(feature = "report")]
        Command::Page(a) => tasks::page(all, &a),
    }
}
