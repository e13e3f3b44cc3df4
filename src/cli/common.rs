//! What commands have in common: their options, the place where the work runs, the manifest.

use crate::gpu::{self, DeviceChoice, Gpu};
use crate::num::real::SimdLevel;
use crate::run::rows::{DeviceName, Manifest};
use crate::run::task::{Agent, Task};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Args)]
pub(super) struct Common {
    /// auto (hardware GPU if there is one, else the CPU path), cpu, gpu (any adapter), or part of an adapter's name or
    /// interface (vulkan, metal, dx12)
    #[arg(long, default_value = "auto")]
    pub(super) device: DeviceChoice,
    /// TOML file with keys that differ from the preset's
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Override a configuration key, for example --set task.p_max_dbm=30 or --set preset=paper (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) sets: Vec<String>,
}

/// Where the work runs, and the sentence that says why.
pub struct Place {
    pub(super) gpu: Option<Arc<Gpu>>,
    pub(super) name: DeviceName,
    pub(super) why: String,
}

pub(super) fn cpu_place(why: &str) -> Place {
    let threads = rayon::current_num_threads();
    let simd = SimdLevel::detect().title();
    let threads = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
    let device = format!("cpu ({threads}, {simd})");
    Place {
        gpu: None,
        why: format!("device: {device}: {why}"),
        name: DeviceName { device, driver: None, backend: "cpu".into() },
    }
}

pub(super) fn place(choice: &DeviceChoice) -> Result<Place> {
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
                    backend: info.backend.to_str().into(),
                },
                gpu: Some(Arc::new(gpu)),
            })
        }
        Err(e) if *choice == DeviceChoice::Auto => {
            let software: Vec<_> = gpu::adapters().iter().map(|a| a.get_info().name).collect();
            Ok(cpu_place(&match (software.is_empty(), &e) {
                (true, _) => format!("no {} adapter on this machine", gpu::INTERFACE),
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

/// The command line, where it is not that of the process.
static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Says what the command line is; the first to say so is right.
pub(super) fn command_line(words: Vec<OsString>) {
    WORDS.get_or_init(|| words);
}

pub(super) fn words_os() -> Vec<OsString> {
    WORDS.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

/// The command line. A path need not be UTF-8; what is none of it is a replacement character here.
pub(super) fn words() -> Vec<String> {
    words_os().into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

pub(super) fn manifest<C: Task>(config: &C, agents: &[String], place: &Place) -> Manifest {
    Manifest::collect(&words(), &config.to_toml(), C::NAME, agents, &config.common().train.seeds, &place.name)
}

/// The agent called `id` of a task.
pub(super) fn agent<C: Task>(id: &str) -> Result<&'static Agent<C>> {
    if id.is_empty() {
        bail!("an agent without a name: is there a comma too many?");
    }
    C::agent(id).with_context(|| {
        let ids: Vec<_> = C::agents().iter().map(|a| a.id).collect();
        format!("no agent '{id}' in task {}; there are: {}", C::NAME, ids.join(", "))
    })
}

/// A duration in words: `2m 5s`; to the minute where there are hours.
pub(super) fn time(seconds: f64) -> String {
    let step = if seconds < 3600.0 { 1.0 } else { 60.0 };
    let whole = (seconds.max(0.0) / step).round() * step;
    humantime::format_duration(Duration::from_secs(whole as u64)).to_string()
}

pub(super) fn size(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        x if x < 1.0 => "under 1 MiB".into(),
        x if x < 1024.0 => format!("{x:.0} MiB"),
        x => format!("{:.1} GiB", x / 1024.0),
    }
}
