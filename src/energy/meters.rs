//! Joules from the machine's own counters: NVIDIA's management library for its GPUs (feature `nvml`), Linux powercap (RAPL) for CPUs.
//!
//! A measurement is made of windows of seconds of steady work, with the idle power of the same counter, taken just before, subtracted. Where
//! there is no counter there is a reason, never an estimate.

use crate::stats;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Linux shows its counters.
pub const SYSFS: &str = "/sys";
/// Shortest window that is believed, s: counters advance every 1 to 100 ms.
pub const MIN_WINDOW_S: f64 = 5.0;
/// Windows of a measurement.
pub const REPEATS: usize = 3;

/// One processor package.
#[derive(Debug)]
struct Zone {
    counter: PathBuf,
    /// Where the counter starts again at 0, µJ.
    range_uj: u64,
    last_uj: u64,
}

/// Energy of all processor packages, from `class/powercap/intel-rapl:N` (also on AMD processors).
#[derive(Debug)]
pub struct Powercap {
    zones: Vec<Zone>,
    sum_uj: u64,
}

fn number(path: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} holds {:?}, no number", path.display(), text.trim()))
}

impl Powercap {
    /// `sysfs` is [`SYSFS`], or another tree in tests.
    pub fn open(sysfs: &Path) -> Result<Self, String> {
        let folder = sysfs.join("class/powercap");
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| {
                // Packages only: `intel-rapl:0:0` is a part of one, `intel-rapl-mmio:0` counts it a second time.
                let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let index = name.strip_prefix("intel-rapl:");
                index.is_some_and(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_digit()))
            })
            .filter(|p| {
                // The zone of the whole platform holds the packages too.
                std::fs::read_to_string(p.join("name")).is_ok_and(|n| n.starts_with("package"))
            })
            .collect();
        paths.sort();
        if paths.is_empty() {
            return Err(format!("{} has no processor package", folder.display()));
        }
        let zones = paths.into_iter().map(|p| {
            let counter = p.join("energy_uj");
            let last_uj = number(&counter)?;
            Ok(Zone { range_uj: number(&p.join("max_energy_range_uj"))?, last_uj, counter })
        });
        Ok(Powercap { zones: zones.collect::<Result<_, String>>()?, sum_uj: 0 })
    }

    /// Joules since it was opened. It must be read before a counter has gone round twice (minutes).
    pub fn read(&mut self) -> Result<f64, String> {
        for z in &mut self.zones {
            let now = number(&z.counter)?;
            let round = if now < z.last_uj { z.range_uj } else { 0 };
            self.sum_uj += (now + round).saturating_sub(z.last_uj);
            z.last_uj = now;
        }
        Ok(self.sum_uj as f64 * 1e-6)
    }
}

/// A counter of the device that does the work.
pub enum Meter {
    Powercap(Powercap),
    #[cfg(feature = "nvml")]
    Nvml {
        library: nvml_wrapper::Nvml,
        index: u32,
    },
}

impl Meter {
    /// The counter of the GPU called `gpu`, or of the processor.
    pub fn open(sysfs: &Path, gpu: Option<&str>) -> Result<Self, String> {
        match gpu {
            None => Powercap::open(sysfs).map(Meter::Powercap).map_err(|e| format!("no counter: {e}")),
            Some(name) => Meter::of_gpu(name),
        }
    }

    #[cfg(feature = "nvml")]
    fn of_gpu(name: &str) -> Result<Self, String> {
        let failed = |e: nvml_wrapper::error::NvmlError| format!("no counter: NVML: {e}");
        let library = nvml_wrapper::Nvml::init().map_err(failed)?;
        for index in 0..library.device_count().map_err(failed)? {
            let device = library.device_by_index(index).map_err(failed)?;
            if device.name().map_err(failed)? == name {
                device.total_energy_consumption().map_err(failed)?;
                return Ok(Meter::Nvml { library, index });
            }
        }
        Err(format!("no counter: NVML knows no '{name}'"))
    }

    #[cfg(not(feature = "nvml"))]
    fn of_gpu(name: &str) -> Result<Self, String> {
        Err(format!("no counter: built without the feature 'nvml', which reads that of '{name}'"))
    }

    /// Joules since some fixed moment.
    pub fn read(&mut self) -> Result<f64, String> {
        match self {
            Meter::Powercap(p) => p.read(),
            #[cfg(feature = "nvml")]
            Meter::Nvml { library, index } => {
                let millijoules = library.device_by_index(*index).and_then(|d| d.total_energy_consumption());
                millijoules.map(|mj| mj as f64 * 1e-3).map_err(|e| format!("NVML: {e}"))
            }
        }
    }

    /// What it counts.
    pub fn what(&self) -> &'static str {
        match self {
            Meter::Powercap(_) => "processor packages, powercap",
            #[cfg(feature = "nvml")]
            Meter::Nvml { .. } => "GPU board, NVML",
        }
    }
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Mean over the windows, idle power subtracted.
    pub joules_per_unit: f64,
    /// Half width of its 95 % Student-t interval over the windows; NaN for one window.
    pub half_width_j: f64,
    /// Power while nothing was asked of the device, W: what was subtracted.
    pub idle_w: f64,
    /// Mean power during the work, W.
    pub busy_w: f64,
    pub windows: usize,
    /// Mean length, s.
    pub window_s: f64,
    /// Units of work in all windows.
    pub units: u64,
}

impl Measurement {
    /// How it was made, in one line.
    pub fn how(&self, meter: &str) -> String {
        format!(
            "{meter}; {} windows of {:.1} s, ± {:.2e} J; {:.1} W at work, {:.1} W idle subtracted",
            self.windows, self.window_s, self.half_width_j, self.busy_w, self.idle_w
        )
    }
}

/// [`REPEATS`] windows of at least [`MIN_WINDOW_S`] of steady `work`, which returns the units it did, after one window without work.
pub fn measure(meter: &mut Meter, work: impl FnMut() -> Result<u64, String>) -> Result<Measurement, String> {
    windows(meter, MIN_WINDOW_S, REPEATS, |s| std::thread::sleep(Duration::from_secs_f64(s)), work)
}

fn windows(
    meter: &mut Meter,
    seconds: f64,
    repeats: usize,
    idle: impl FnOnce(f64),
    mut work: impl FnMut() -> Result<u64, String>,
) -> Result<Measurement, String> {
    let (from, clock) = (meter.read()?, Instant::now());
    idle(seconds);
    let idle_w = (meter.read()? - from) / clock.elapsed().as_secs_f64();
    // Caches, clocks and thread pools warm up outside the windows.
    work()?;
    let (mut per_unit, mut all_units, mut all_s, mut all_j) = (Vec::new(), 0, 0.0, 0.0);
    for _ in 0..repeats {
        let (from, clock) = (meter.read()?, Instant::now());
        let mut units = 0;
        while clock.elapsed().as_secs_f64() < seconds {
            units += work()?;
        }
        let joules = meter.read()? - from;
        let s = clock.elapsed().as_secs_f64();
        per_unit.push((joules - idle_w * s) / units.max(1) as f64);
        all_units += units;
        all_s += s;
        all_j += joules;
    }
    let half = stats::standard_error(&per_unit).map(|se| se * stats::t_quantile_95(repeats - 1));
    Ok(Measurement {
        joules_per_unit: stats::mean(&per_unit),
        half_width_j: half.unwrap_or(f64::NAN),
        idle_w,
        busy_w: all_j / all_s,
        windows: repeats,
        window_s: all_s / repeats as f64,
        units: all_units,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn zone(root: &Path, zone: &str, name: &str, range: u64, energy: u64) -> PathBuf {
        let dir = root.join("class/powercap").join(zone);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("name"), format!("{name}\n")).unwrap();
        fs::write(dir.join("max_energy_range_uj"), format!("{range}\n")).unwrap();
        fs::write(dir.join("energy_uj"), format!("{energy}\n")).unwrap();
        dir.join("energy_uj")
    }

    #[test]
    fn packages_are_summed_through_their_wraparound() {
        let root = tempfile::tempdir().unwrap();
        let a = zone(root.path(), "intel-rapl:0", "package-0", 10_000_000, 9_000_000);
        let b = zone(root.path(), "intel-rapl:1", "package-1", 10_000_000, 500_000);
        // Neither a part of a package, nor the second path to one, nor the platform that holds them.
        for (dir, name) in
            [("intel-rapl:0:0", "core"), ("intel-rapl-mmio:0", "package-0"), ("intel-rapl:2", "psys")]
        {
            let other = zone(root.path(), dir, name, 10_000_000, 1);
            fs::write(other, "7000000\n").unwrap();
        }
        let mut p = Powercap::open(root.path()).unwrap();
        assert_eq!(p.read().unwrap(), 0.0);
        fs::write(&a, "1000000\n").unwrap();
        fs::write(&b, "750000\n").unwrap();
        assert_eq!(p.read().unwrap(), 2.25);
        fs::write(&a, "1500000\n").unwrap();
        assert_eq!(p.read().unwrap(), 2.75);
        fs::write(&a, "nonsense\n").unwrap();
        assert!(p.read().unwrap_err().contains("nonsense"));
    }

    #[test]
    fn a_missing_counter_has_a_reason() {
        let root = tempfile::tempdir().unwrap();
        let reason = |gpu| Meter::open(root.path(), gpu).err().unwrap();
        assert!(reason(None).contains("no counter") && reason(None).contains("powercap"), "{}", reason(None));
        fs::create_dir_all(root.path().join("class/powercap")).unwrap();
        assert!(reason(None).contains("no processor package"), "{}", reason(None));
        assert!(reason(Some("no such GPU")).contains("no counter"));
        let counter = zone(root.path(), "intel-rapl:0", "package-0", 10, 1);
        fs::remove_file(&counter).unwrap();
        assert!(reason(None).contains("energy_uj"), "{}", reason(None));
    }

    #[test]
    fn idle_power_is_subtracted_from_every_window() {
        let root = tempfile::tempdir().unwrap();
        let counter = zone(root.path(), "intel-rapl:0", "package-0", u64::MAX / 2, 0);
        let add = |uj: u64| fs::write(&counter, (number(&counter).unwrap() + uj).to_string()).unwrap();
        let mut meter = Meter::open(root.path(), None).unwrap();
        // 2 J in an idle window of about 20 ms, and 4 units of 250 J in each window of work.
        let idle = |s: f64| {
            std::thread::sleep(Duration::from_secs_f64(s));
            add(2_000_000);
        };
        let work = || {
            std::thread::sleep(Duration::from_millis(25));
            add(1_000_000_000);
            Ok(4)
        };
        let m = windows(&mut meter, 0.02, 3, idle, work).unwrap();
        assert_eq!((m.windows, m.units), (3, 12));
        assert!(m.idle_w > 0.0 && m.idle_w <= 100.0, "{m:?}");
        let want = 250.0 - m.idle_w * m.window_s / 4.0;
        assert!((m.joules_per_unit - want).abs() < 1e-6, "{m:?}");
        assert!(m.joules_per_unit < 250.0 && m.half_width_j < 1.0 && m.busy_w > m.idle_w, "{m:?}");
        assert!(m.how("x").contains("3 windows") && m.how("x").contains("idle subtracted"));
        let failed = windows(&mut meter, 0.0, 1, |_| {}, || Err("out of memory".into()));
        assert_eq!(failed, Err("out of memory".into()));
    }
}
