//! The GPU side: one device, buffers with shapes, shaders composed from the texts of kernels, kernels bound once and
//! recorded many times.

mod buffer;
mod context;
mod immediates;
mod kernel;
mod portable;
mod reduce;
mod shader;
pub mod timestamps;

pub(crate) use buffer::zeros;
pub use buffer::{Buf, Fill};
pub use context::{DeviceChoice, Gpu, Reach, adapters};
pub use immediates::{IMMEDIATE_BYTES, immediates_as_uniform};
pub use kernel::{Access, Kernel};
pub use portable::{Portable, portable};
pub use reduce::Reduce;
pub use shader::{Bound, Composed, Import, Prelude, Source, bindings, compose, fold_groups};

/// For who implements [`EnvGpu`](crate::env::EnvGpu).
pub use wgpu;

/// The system's own interfaces to its GPUs, which are the backends that wgpu is compiled with here.
pub(crate) const INTERFACE: &str = if cfg!(target_vendor = "apple") {
    "Metal"
} else if cfg!(windows) {
    "DirectX 12 or Vulkan"
} else {
    "Vulkan"
};
/// What to do without an adapter.
const ADVICE: &str = if cfg!(target_os = "linux") {
    ", or install a driver (Debian: mesa-vulkan-drivers for software Vulkan)"
} else {
    ""
};

/// What can go wrong between this program and a graphics adapter.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("no {of} adapter found ({0}); use --device cpu{hint}", of = INTERFACE, hint = ADVICE)]
    NoAdapter(String),
    #[error("no adapter is called '{wanted}'; there are: {available}")]
    NoSuchAdapter { wanted: String, available: String },
    #[error("adapter '{adapter}' lacks {what}, which this program needs")]
    Unsupported { adapter: String, what: String },
    #[error(
        "buffer '{label}' needs {needed} bytes but adapter '{adapter}' allows {allowed} per {limit}; use fewer replicas, environments or slots"
    )]
    TooLarge { label: String, needed: u64, allowed: u64, adapter: String, limit: &'static str },
    #[error("out of device memory while making buffer '{label}' ({needed} bytes): {detail}")]
    OutOfMemory { label: String, needed: u64, detail: String },
    #[error("shader '{0}' does not compile:\n{1}")]
    Shader(String, String),
    #[error("precision f16 is for perceptrons on a GPU adapter (--device gpu), and {0}")]
    NoF16(&'static str),
    #[error("precision int8 is for perceptrons, and {0}")]
    NoInt8(&'static str),
    #[error("device request failed: {0}")]
    Device(String),
    #[error("the device did not finish in {0} s or was lost: {1}")]
    Lost(u64, String),
}
