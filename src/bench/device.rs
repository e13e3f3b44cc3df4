//! Where benches run.

use super::{Device, DeviceKind};
use crate::gpu::{DeviceChoice, Gpu, GpuError, adapters};
use std::sync::Arc;

/// Environment variable that names the devices of a run, between commas: `cpu`, `gpu` (any adapter, hardware first),
/// `all` (the CPU and every adapter), or a part of an adapter's name or interface. `cpu` where it is not set.
pub const DEVICES: &str = "ISACBENCH_DEVICE";

/// A backend.
#[derive(Clone)]
pub enum Place {
    Cpu,
    Gpu(Arc<Gpu>),
}

impl Place {
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Place::Cpu => None,
            Place::Gpu(gpu) => Some(gpu),
        }
    }

    /// Of the CPU, with all of the threads that rayon has.
    pub fn device(&self) -> Device {
        match self {
            Place::Cpu => Device::cpu(rayon::current_num_threads()),
            Place::Gpu(gpu) => Device::of(gpu),
        }
    }
}

impl Device {
    /// The CPU with `threads` threads. Only with all of them is it simply `cpu`, so that ceilings and benchmarks of one
    /// core meet each other.
    pub fn cpu(threads: usize) -> Device {
        let slug = match threads {
            n if n == rayon::current_num_threads() => "cpu".into(),
            1 => "cpu-1-thread".into(),
            n => format!("cpu-{n}-threads"),
        };
        let name = crate::run::rows::cpu_model().unwrap_or_else(|| std::env::consts::ARCH.into());
        Device { slug, name, kind: DeviceKind::Cpu, driver: None, threads: Some(threads) }
    }

    pub fn of(gpu: &Gpu) -> Device {
        let info = &gpu.info;
        Device {
            slug: slug(&info.name),
            name: info.name.clone(),
            kind: if gpu.is_software() { DeviceKind::SoftwareGpu } else { DeviceKind::Gpu },
            driver: Some(format!("{} {}", info.driver, info.driver_info).trim().to_string()),
            threads: None,
        }
    }
}

/// A name in small letters and hyphens, short enough for a folder of criterion.
pub fn slug(name: &str) -> String {
    let mut out = String::new();
    let plain = name.replace("(R)", " ").replace("(TM)", " ");
    for c in plain.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            _ if out.ends_with('-') || out.is_empty() => {}
            _ => out.push('-'),
        }
    }
    out.truncate(48);
    out.trim_end_matches('-').into()
}

/// The devices that `list` names (see [`DEVICES`]), each once. Errors if there is no such adapter.
pub fn places(list: &str) -> Result<Vec<Place>, GpuError> {
    let mut out: Vec<Place> = Vec::new();
    let open = |choice: &DeviceChoice, out: &mut Vec<Place>| {
        let gpu = Gpu::open(choice)?;
        if !out.iter().filter_map(Place::gpu).any(|g| g.info == gpu.info) {
            out.push(Place::Gpu(Arc::new(gpu)));
        }
        Ok::<_, GpuError>(())
    };
    for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        if matches!(word, "cpu" | "all") && !out.iter().any(|p| p.gpu().is_none()) {
            out.push(Place::Cpu);
        }
        match word {
            "cpu" => {}
            "all" => {
                for adapter in adapters() {
                    open(&DeviceChoice::Named(adapter.get_info().name), &mut out)?;
                }
            }
            _ => open(&word.parse().expect("every text is a choice"), &mut out)?,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_names_of_folders() {
        assert_eq!(slug("NVIDIA H200"), "nvidia-h200");
        assert_eq!(slug("Intel(R) Xeon(R) Processor"), "intel-xeon-processor");
        assert_eq!(slug("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-llvm-15-0-6-256-bits");
        let long = slug(&"AMD Radeon Graphics (RADV) ".repeat(9));
        assert!(long.len() <= 48 && !long.ends_with('-'), "{long}");
    }

    #[test]
    fn the_cpu_is_named_by_its_threads() {
        let all = rayon::current_num_threads();
        assert_eq!((Device::cpu(all).slug.as_str(), Device::cpu(all).threads), ("cpu", Some(all)));
        if all > 1 {
            assert_eq!(Device::cpu(1).slug, "cpu-1-thread");
        }
        assert_eq!(Device::cpu(all + 1).slug, format!("cpu-{}-threads", all + 1));
    }

    #[test]
    fn a_list_names_each_device_once_and_a_wrong_name_is_an_error() {
        let found = places("cpu, cpu,").expect("there is a CPU");
        assert!(matches!(found[..], [Place::Cpu]));
        assert!(places("").expect("nothing is asked for").is_empty());
        let error = places("cpu,no such adapter").err().expect("there is none").to_string();
        assert!(error.contains("no such adapter") || error.contains("no Vulkan adapter"), "{error}");
    }
}
