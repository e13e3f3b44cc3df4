//! Adapter choice, device and limits.

use super::kernel::Compiled;
use super::{GpuError, Reduce};
use std::sync::{Arc, OnceLock};

/// Which device a command was asked to run on (`--device`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A hardware GPU if there is one, else the CPU path.
    Auto,
    Cpu,
    /// Any adapter, hardware first; a software adapter is taken only when there is no other.
    Gpu,
    /// The first adapter whose name contains this text (case-insensitive).
    Named(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;
    /// Words in any case; a part of a name must say something, since every adapter's name contains the empty one.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s.trim().to_lowercase().as_str() {
            "" => return Err("a device is auto, cpu, gpu, or part of an adapter's name".into()),
            "auto" => DeviceChoice::Auto,
            "cpu" => DeviceChoice::Cpu,
            "gpu" => DeviceChoice::Gpu,
            _ => DeviceChoice::Named(s.trim().to_string()),
        })
    }
}

/// An open device with what it can do.
#[derive(Clone)]
pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: wgpu::AdapterInfo,
    pub limits: wgpu::Limits,
    pub features: wgpu::Features,
    /// How the kernels compiled with it add over a workgroup.
    pub reduce: Reduce,
    /// What `Gpu::kernel` has compiled already, for all clones.
    pub(super) compiled: Compiled,
    /// What the driver said when the device was lost.
    pub(super) lost: Arc<OnceLock<String>>,
}

/// Seconds a submission may take before the device counts as lost.
pub const TIMEOUT_S: u64 = 120;

fn instance() -> wgpu::Instance {
    let mut d = wgpu::InstanceDescriptor::new_without_display_handle();
    d.backends = wgpu::Backends::PRIMARY;
    d.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(d)
}

/// All adapters, hardware before software.
pub fn adapters() -> Vec<wgpu::Adapter> {
    let mut all = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::PRIMARY));
    all.sort_by_key(|a| rank(&a.get_info()));
    all
}

fn rank(info: &wgpu::AdapterInfo) -> u32 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Mesa's lavapipe alone: it makes the operations that the shaders name, in their order, each rounded as by the CPU.
/// Other software adapters are CPUs too, but may contract a product with a sum (SwiftShader's results differ by an
/// ulp).
fn rounds_as_twins(kind: wgpu::DeviceType, name: &str) -> bool {
    kind == wgpu::DeviceType::Cpu && name.starts_with("llvmpipe")
}

impl Gpu {
    /// Opens the adapter that `choice` names. `Auto` takes hardware only; `Cpu` is never an adapter.
    pub fn open(choice: &DeviceChoice) -> Result<Gpu, GpuError> {
        let all = adapters();
        let names = || all.iter().map(|a| a.get_info().name).collect::<Vec<_>>().join(", ");
        let found = match choice {
            DeviceChoice::Cpu => None,
            DeviceChoice::Auto => all.iter().find(|a| rank(&a.get_info()) < 4),
            DeviceChoice::Gpu => all.first(),
            DeviceChoice::Named(wanted) => {
                let hit =
                    all.iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted.to_lowercase()));
                if hit.is_none() && !all.is_empty() {
                    return Err(GpuError::NoSuchAdapter { wanted: wanted.clone(), available: names() });
                }
                hit
            }
        };
        let adapter = found.ok_or_else(|| {
            GpuError::NoAdapter(if all.is_empty() {
                "none at all".into()
            } else {
                format!("only {}", names())
            })
        })?;
        Gpu::from_adapter(adapter)
    }

    fn from_adapter(adapter: &wgpu::Adapter) -> Result<Gpu, GpuError> {
        let info = adapter.get_info();
        let have = adapter.features();
        if !have.contains(wgpu::Features::IMMEDIATES) {
            return Err(GpuError::Unsupported {
                adapter: info.name,
                what: "immediates (push constants)".into(),
            });
        }
        let want = wgpu::Features::IMMEDIATES
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
            | wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16;
        let features = have & want;
        let limits = adapter.limits();
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("isacbench"),
            required_features: features,
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        }))
        .map_err(|e| GpuError::Device(e.to_string()))?;
        let lost = Arc::new(OnceLock::new());
        let told = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            let _ = told.set(format!("{reason:?} {message}").trim_end().to_string());
        });
        // Whatever is asked of a lost device is invalid; `alive` tells. Any other error is a fault of this program.
        let told = lost.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            assert!(told.get().is_some(), "wgpu: {e}");
        }));
        let reduce = Reduce::preferred(&info, features);
        Ok(Gpu { device, queue, info, limits, features, reduce, compiled: Compiled::default(), lost })
    }

    /// [`GpuError::Lost`] if the device is lost: what was recorded since then was not done.
    pub(super) fn alive(&self) -> Result<(), GpuError> {
        self.lost.get().map_or(Ok(()), |what| Err(GpuError::Lost(TIMEOUT_S, what.clone())))
    }

    /// True for software Vulkan, whose timings say nothing about GPUs.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether its f32 results are promised to be those of the CPU twins, bit for bit; elsewhere they are near them.
    pub fn rounds_as_twins(&self) -> bool {
        rounds_as_twins(self.info.device_type, &self.info.name)
    }

    /// Runs what `record` puts into one compute pass and waits for it.
    pub fn run(&self, record: impl FnOnce(&mut wgpu::ComputePass)) -> Result<(), GpuError> {
        let mut enc = self.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&Default::default()));
        self.wait(self.queue.submit([enc.finish()]))
    }

    /// Waits for a submission.
    pub fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        self.device
            .poll(wgpu::PollType::Wait {
                submission_index: Some(index),
                timeout: Some(std::time::Duration::from_secs(TIMEOUT_S)),
            })
            .map_err(|e| GpuError::Lost(TIMEOUT_S, e.to_string()))?;
        self.alive()
    }
}

impl Gpu {
    /// The same device whose kernels, compiled from now on, add in the form `reduce`. Errors if it cannot.
    pub fn with_reduce(&self, reduce: Reduce) -> Result<Gpu, GpuError> {
        match reduce.missing(&self.info, self.features) {
            None => Ok(Gpu { reduce, ..self.clone() }),
            Some(what) => {
                Err(GpuError::Unsupported { adapter: self.info.name.clone(), what: what.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_promised_by_lavapipe_alone() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, VirtualGpu};
        let lavapipe = "llvmpipe (LLVM 15.0.6, 256 bits)";
        assert!(rounds_as_twins(Cpu, lavapipe) && !rounds_as_twins(VirtualGpu, lavapipe));
        assert!(!rounds_as_twins(Cpu, "SwiftShader Device (Subzero)"));
        assert!(!rounds_as_twins(DiscreteGpu, "NVIDIA H200"));
    }
}
