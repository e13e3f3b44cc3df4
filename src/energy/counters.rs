//! Counters of energy: NVIDIA's management library for its GPUs (feature `nvml`), Linux powercap (RAPL) for CPUs. Where
//! there is none there is a reason.

use std::path::{Path, PathBuf};

/// Where Linux shows its counters.
pub const SYSFS: &str = "/sys";

/// One processor package.
#[derive(Debug)]
struct Zone {
    counter: PathBuf,
    /// Where the counter starts again at 0, µJ.
    range_uj: u64,
    last_uj: u64,
    /// Since it was opened.
    sum_uj: u64,
}

/// Energy of all processor packages, from `class/powercap/intel-rapl:N` (also on AMD processors).
#[derive(Debug)]
struct Powercap {
    zones: Vec<Zone>,
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "{}: {e} (Linux lets only root read it; give this user the right, or run as root)",
                path.display()
            )
        }
        _ => format!("{}: {e}", path.display()),
    })
}

pub(super) fn number(path: &Path) -> Result<u64, String> {
    let text = text(path)?;
    text.trim().parse().map_err(|_| format!("{} holds {:?}, no number", path.display(), text.trim()))
}

impl Powercap {
    fn open(sysfs: &Path) -> Result<Self, String> {
        let folder = sysfs.join("class/powercap");
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
            // Packages only: `intel-rapl:0:0` is a part of one, `intel-rapl-mmio:0` counts it a second time.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let index = name.strip_prefix("intel-rapl:");
            if index.is_none_or(|i| i.is_empty() || !i.bytes().all(|b| b.is_ascii_digit())) {
                continue;
            }
            // The zone of the whole platform holds the packages too. A zone that does not tell may be a package,
            // without which the sum is wrong.
            if text(&path.join("name"))?.starts_with("package") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(format!("{} has no processor package", folder.display()));
        }
        let zones = paths.into_iter().map(|p| {
            let counter = p.join("energy_uj");
            let last_uj = number(&counter)?;
            Ok(Zone { range_uj: number(&p.join("max_energy_range_uj"))?, last_uj, sum_uj: 0, counter })
        });
        Ok(Powercap { zones: zones.collect::<Result<_, String>>()? })
    }

    /// Joules of each package since it was opened. It must be read before a counter has gone round twice (minutes).
    fn read(&mut self) -> Result<Vec<f64>, String> {
        let one = |z: &mut Zone| {
            let now = number(&z.counter)?;
            let step = match now.checked_sub(z.last_uj) {
                Some(step) => step,
                // Round once: the rest of the range, and on from 0.
                None => z.range_uj.checked_sub(z.last_uj).and_then(|rest| rest.checked_add(now)).ok_or_else(
                    || {
                        format!(
                            "{} went back from {} to {now}, though it counts up to {}",
                            z.counter.display(),
                            z.last_uj,
                            z.range_uj
                        )
                    },
                )?,
            };
            z.sum_uj =
                z.sum_uj.checked_add(step).ok_or_else(|| format!("{} overflows", z.counter.display()))?;
            z.last_uj = now;
            Ok(z.sum_uj as f64 * 1e-6)
        };
        self.zones.iter_mut().map(one).collect()
    }
}

/// Readings of power, W, that another thread can take.
pub type Watts = Box<dyn FnMut() -> Result<f64, String> + Send>;

/// What a measurement reads.
pub trait Counter {
    /// What it counts.
    fn what(&self) -> &'static str;
    /// Joules since some fixed moment, by each of the counters that together are the device.
    fn joules(&mut self) -> Result<Vec<f64>, String>;
    /// Readings of power that do not come from the counter, if the device has them.
    fn watts(&self) -> Option<Watts> {
        None
    }
}

/// RAPL has no reading of power: every tool derives it from this counter.
impl Counter for Powercap {
    fn what(&self) -> &'static str {
        "processor packages, powercap"
    }
    fn joules(&mut self) -> Result<Vec<f64>, String> {
        self.read()
    }
}

/// The counter of the GPU, or of the processor. `sysfs` is [`SYSFS`], or another tree in tests.
///
/// # Errors
/// Why there is none.
pub fn open(sysfs: &Path, gpu: Option<GpuName>) -> Result<Box<dyn Counter>, String> {
    let counter: Result<Box<dyn Counter>, String> = match gpu {
        None => Powercap::open(sysfs).map(|p| Box::new(p) as _),
        #[cfg(feature = "nvml")]
        Some(gpu) => nvml::Board::open(gpu).map(|b| Box::new(b) as _),
        #[cfg(not(feature = "nvml"))]
        Some(gpu) => Err(format!("built without the feature 'nvml', which reads that of '{}'", gpu.name)),
    };
    counter.map_err(|e| format!("no counter: {e}"))
}

/// A GPU as its Vulkan driver names it.
#[derive(Clone, Copy, Debug)]
pub struct GpuName<'a> {
    pub name: &'a str,
    /// `0000:01:00.0`; empty where the driver does not tell.
    pub pci: &'a str,
}

impl<'a> GpuName<'a> {
    pub fn of(info: &'a wgpu::AdapterInfo) -> Self {
        GpuName { name: &info.name, pci: &info.device_pci_bus_id }
    }
}

/// Whether two PCI addresses are the same: libraries write the domain with four or eight digits.
#[cfg_attr(not(feature = "nvml"), allow(dead_code, reason = "only NVML has GPUs"))]
fn same_pci(a: &str, b: &str) -> bool {
    let parts = |x: &str| {
        let numbers = x.split([':', '.']).map(|p| u32::from_str_radix(p, 16).ok());
        numbers.collect::<Option<Vec<u32>>>().filter(|v| v.len() == 4)
    };
    parts(a).is_some_and(|a| Some(a) == parts(b))
}

#[cfg(feature = "nvml")]
mod nvml {
    use super::{Counter, GpuName, Watts, same_pci};
    use nvml_wrapper::{Nvml, error::NvmlError};
    use std::sync::Arc;

    /// A whole board.
    pub struct Board {
        library: Arc<Nvml>,
        index: u32,
    }

    fn failed(e: NvmlError) -> String {
        format!("NVML: {e}")
    }

    impl Board {
        pub fn open(gpu: GpuName) -> Result<Self, String> {
            let library = Nvml::init().map_err(failed)?;
            let mut found = Vec::new();
            for index in 0..library.device_count().map_err(failed)? {
                let device = library.device_by_index(index).map_err(failed)?;
                if device.name().map_err(failed)? == gpu.name {
                    let pci = device.pci_info().map(|p| p.bus_id).unwrap_or_default();
                    found.push((index, same_pci(&pci, gpu.pci)));
                }
            }
            let at_address: Vec<u32> = found.iter().filter(|f| f.1).map(|f| f.0).collect();
            let index = match (&at_address[..], &found[..]) {
                ([index], _) | ([], [(index, _)]) => *index,
                ([], []) => return Err(format!("NVML knows no '{}'", gpu.name)),
                _ => {
                    let (n, name) = (found.len(), gpu.name);
                    return Err(format!(
                        "NVML has {n} GPUs called '{name}', and their addresses do not tell which one works"
                    ));
                }
            };
            let device = library.device_by_index(index).map_err(failed)?;
            if device.mig_mode().is_ok_and(|m| m.current != 0) {
                return Err("the GPU is split (MIG), and its counter holds the work of all parts".into());
            }
            device.total_energy_consumption().map_err(failed)?;
            Ok(Board { library: Arc::new(library), index })
        }
    }

    impl Counter for Board {
        fn what(&self) -> &'static str {
            "GPU board, NVML"
        }
        fn joules(&mut self) -> Result<Vec<f64>, String> {
            let device = self.library.device_by_index(self.index);
            let millijoules = device.and_then(|d| d.total_energy_consumption()).map_err(failed)?;
            Ok(vec![millijoules as f64 * 1e-3])
        }
        fn watts(&self) -> Option<Watts> {
            let (library, index) = (self.library.clone(), self.index);
            library.device_by_index(index).and_then(|d| d.power_usage()).ok()?;
            Some(Box::new(move || {
                let milliwatts = library.device_by_index(index).and_then(|d| d.power_usage());
                milliwatts.map(|mw| f64::from(mw) * 1e-3).map_err(failed)
            }))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    pub fn zone(root: &Path, zone: &str, name: &str, range: u64, energy: u64) -> PathBuf {
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
        assert_eq!(p.read().unwrap(), [0.0, 0.0]);
        fs::write(&a, "1000000\n").unwrap();
        fs::write(&b, "750000\n").unwrap();
        assert_eq!(p.read().unwrap(), [2.0, 0.25]);
        fs::write(&a, "1500000\n").unwrap();
        assert_eq!(p.read().unwrap(), [2.5, 0.25]);
        fs::write(&a, "nonsense\n").unwrap();
        assert!(p.read().unwrap_err().contains("nonsense"));
    }

    #[test]
    fn a_missing_counter_has_a_reason() {
        let root = tempfile::tempdir().unwrap();
        let reason = |gpu| open(root.path(), gpu).err().unwrap();
        assert!(reason(None).contains("no counter") && reason(None).contains("powercap"), "{}", reason(None));
        fs::create_dir_all(root.path().join("class/powercap")).unwrap();
        assert!(reason(None).contains("no processor package"), "{}", reason(None));
        assert!(reason(Some(GpuName { name: "no such GPU", pci: "" })).contains("no counter"));
        let counter = zone(root.path(), "intel-rapl:0", "package-0", 10, 1);
        fs::remove_file(&counter).unwrap();
        assert!(reason(None).contains("energy_uj"), "{}", reason(None));
        fs::write(&counter, "1.5\n").unwrap();
        assert!(reason(None).contains("no number"), "{}", reason(None));
    }

    #[test]
    fn addresses_are_compared_as_numbers() {
        assert!(same_pci("0000:01:00.0", "00000000:01:00.0") && same_pci("0001:0A:00.0", "00000001:0a:00.0"));
        assert!(!same_pci("0000:01:00.0", "0000:02:00.0"));
        assert!(
            !same_pci("", "") && !same_pci("x:y:z.0", "x:y:z.0"),
            "text that is no address equals nothing, not even itself"
        );
    }

    #[test]
    fn a_counter_that_fails_half_way_is_a_reason() {
        let root = tempfile::tempdir().unwrap();
        let counter = zone(root.path(), "intel-rapl:0", "package-0", 1000, 900);
        let read = |text: Option<&str>| {
            fs::write(&counter, "900\n").unwrap();
            let mut p = Powercap::open(root.path()).unwrap();
            match text {
                Some(text) => fs::write(&counter, text).unwrap(),
                None => fs::remove_file(&counter).unwrap(),
            }
            p.read()
        };
        assert!((read(Some("100\n")).unwrap()[0] - 200e-6).abs() < 1e-12);
        for (text, why) in [
            (None, "energy_uj"),
            (Some(""), "no number"),
            (Some("-5"), "no number"),
            (Some("nan"), "no number"),
        ] {
            assert!(read(text).unwrap_err().contains(why), "{text:?}");
        }
        // Less than before, though it never counts so far: it was set anew.
        for range in ["0\n", "800\n"] {
            fs::write(counter.with_file_name("max_energy_range_uj"), range).unwrap();
            assert!(read(Some("100\n")).unwrap_err().contains("went back"), "{range}");
        }
        // A zone that does not say what it is may be a package, whose joules would be left out.
        fs::remove_file(zone(root.path(), "intel-rapl:1", "package-1", 10, 1).with_file_name("name"))
            .unwrap();
        assert!(Powercap::open(root.path()).unwrap_err().contains("name"));
    }
}
