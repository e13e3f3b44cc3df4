//! Adapter choice, device and limits.

use super::immediates::Uniforms;
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
    /// The first adapter whose name or backend (`vulkan`, `metal`, `dx12`) contains this text (case-insensitive).
    Named(String),
}

/// What of an adapter a device is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that it has and this program can use.
    Full,
    /// The lowest limits of WebGPU and no features: what every adapter has, and a browser gives.
    Least,
}

impl Reach {
    /// The environment variable `ISACBENCH_GPU=least` lowers it.
    fn wished() -> Reach {
        match std::env::var("ISACBENCH_GPU").as_deref() {
            Ok("least") => Reach::Least,
            _ => Reach::Full,
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;
    /// Words in any case; a part of a name must say something, since every adapter's name contains the empty one.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s.trim().to_lowercase().as_str() {
            "" => return Err("a device is auto, cpu, gpu, or part of an adapter's name or interface".into()),
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
    /// What takes the place of immediates on a device without.
    pub(super) uniforms: Option<Arc<Uniforms>>,
    /// What `Gpu::kernel` has compiled already, for all clones.
    pub(super) compiled: Compiled,
    /// What the driver said when the device was lost.
    pub(super) lost: Arc<OnceLock<String>>,
}

/// Seconds a submission may take before the device counts as lost.
pub const TIMEOUT_S: u64 = 120;

/// Storage buffers of the largest kernels, threads of their workgroups and bytes of workgroup memory: what WebGPU
/// promises, and what older adapters lack.
const BINDINGS: u32 = 8;
const THREADS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16 << 10;

/// What a device with these limits lacks.
fn lacking(limits: &wgpu::Limits) -> Option<String> {
    let threads = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    [
        (limits.max_storage_buffers_per_shader_stage, BINDINGS, "storage buffers of a kernel"),
        (threads, THREADS, "threads of a workgroup"),
        (limits.max_compute_workgroup_storage_size, WORKGROUP_BYTES, "bytes of workgroup memory"),
    ]
    .into_iter()
    .find(|(has, needed, _)| has < needed)
    .map(|(has, needed, what)| format!("{needed} {what} (it has {has})"))
}

fn instance() -> wgpu::Instance {
    let mut d = wgpu::InstanceDescriptor::new_without_display_handle();
    d.backends = wgpu::Backends::PRIMARY;
    d.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(d)
}

/// All adapters, hardware before software. One that two interfaces reach is there twice, first by the system's own.
pub fn adapters() -> Vec<wgpu::Adapter> {
    let mut all = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::PRIMARY));
    let foreign = |info: &wgpu::AdapterInfo| cfg!(windows) && info.backend == wgpu::Backend::Vulkan;
    all.sort_by_key(|a| {
        let info = a.get_info();
        (rank(&info), foreign(&info))
    });
    all
}

/// Whether `wanted`, in any case, is a part of the adapter's name or backend.
fn is_called(info: &wgpu::AdapterInfo, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    [info.name.as_str(), info.backend.to_str()].iter().any(|name| name.to_lowercase().contains(&wanted))
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
        Gpu::open_with(choice, Reach::wished())
    }

    /// The same with so much of it.
    pub fn open_with(choice: &DeviceChoice, reach: Reach) -> Result<Gpu, GpuError> {
        let all = adapters();
        let names = || all.iter().map(|a| a.get_info().name).collect::<Vec<_>>().join(", ");
        let found = match choice {
            DeviceChoice::Cpu => None,
            DeviceChoice::Auto => all.iter().find(|a| rank(&a.get_info()) < 4),
            DeviceChoice::Gpu => all.first(),
            DeviceChoice::Named(wanted) => {
                let hit = all.iter().find(|a| is_called(&a.get_info(), wanted));
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
        Gpu::from_adapter(adapter, reach)
    }

    fn from_adapter(adapter: &wgpu::Adapter, reach: Reach) -> Result<Gpu, GpuError> {
        let info = adapter.get_info();
        // Each of them is done without where it is missing.
        let want = wgpu::Features::IMMEDIATES
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
            | wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16;
        let (features, limits) = match reach {
            Reach::Full => (adapter.features() & want, adapter.limits()),
            Reach::Least => (wgpu::Features::empty(), wgpu::Limits::default()),
        };
        if let Some(what) = lacking(&limits) {
            return Err(GpuError::Unsupported { adapter: info.name, what });
        }
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
        let uniforms = (!features.contains(wgpu::Features::IMMEDIATES)).then(|| Uniforms::new(&device));
        let compiled = Compiled::default();
        Ok(Gpu { device, queue, info, limits, features, reduce, uniforms, compiled, lost })
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
    fn what_webgpu_promises_is_enough_and_less_is_refused_by_name() {
        assert_eq!(lacking(&wgpu::Limits::default()), None);
        let few = lacking(&wgpu::Limits::downlevel_defaults()).unwrap();
        assert_eq!(few, "8 storage buffers of a kernel (it has 4)");
        let narrow = wgpu::Limits { max_compute_workgroup_size_x: 128, ..wgpu::Limits::default() };
        assert_eq!(lacking(&narrow).unwrap(), "256 threads of a workgroup (it has 128)");
    }

    #[test]
    fn an_adapter_is_named_by_its_backend_too() {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Dx12);
        info.name = "Radeon RX".into();
        assert!(["radeon", "rx", "DX12"].iter().all(|wanted| is_called(&info, wanted)));
        assert!(!is_called(&info, "vulkan"));
    }

    #[test]
    fn bits_are_promised_by_lavapipe_alone() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, VirtualGpu};
        let lavapipe = "llvmpipe (LLVM 15.0.6, 256 bits)";
        assert!(rounds_as_twins(Cpu, lavapipe) && !rounds_as_twins(VirtualGpu, lavapipe));
        assert!(!rounds_as_twins(Cpu, "SwiftShader Device (Subzero)"));
        assert!(!rounds_as_twins(DiscreteGpu, "NVIDIA H200"));
    }
}
