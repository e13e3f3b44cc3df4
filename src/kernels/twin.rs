//! What the host files of kernels share: the number type of scalar twins, and checks of sizes before a kernel is
//! recorded.

use crate::gpu::{Gpu, GpuError};
use crate::num::real::Real;

/// Most loop iterations a thread of a kernel may make: software Vulkan ends all loops of a thread after 65,535 in
/// total, without an error. [`check_trips`] refuses what could be cut.
pub const MAX_TRIPS: usize = 60_000;

/// Software Vulkan ends the loops of a thread early and silently: refuses there what could be cut. Hardware has no such
/// limit.
///
/// # Errors
/// [`GpuError::Unsupported`] with the kernel's name, on software adapters only.
pub fn check_trips(gpu: &Gpu, kernel: &str, trips: usize) -> Result<(), GpuError> {
    if gpu.is_software() && trips >= MAX_TRIPS {
        let what = format!(
            "{trips} loop iterations per thread (kernel '{kernel}'; software Vulkan stops at 65,535)"
        );
        return Err(GpuError::Unsupported { adapter: gpu.info.name.clone(), what });
    }
    Ok(())
}

/// That a dispatch of these workgroups is one that every adapter takes.
///
/// # Errors
/// [`GpuError::Unsupported`] with the kernel's name where one of them is above 65,535.
pub fn check_groups(gpu: &Gpu, kernel: &str, groups: &[usize]) -> Result<(), GpuError> {
    fits(
        gpu,
        kernel,
        "workgroups along one axis (65,535 are there)",
        65_535,
        groups.iter().copied().max().unwrap_or(0),
    )
}

/// That a kernel, which counts the elements of its buffers in u32, can reach all `len` of one.
///
/// # Errors
/// [`GpuError::Unsupported`] with the kernel's name where there are more.
pub fn check_index(gpu: &Gpu, kernel: &str, len: usize) -> Result<(), GpuError> {
    fits(gpu, kernel, "elements of a buffer (indices have 32 bits)", u32::MAX as usize, len)
}

fn fits(gpu: &Gpu, kernel: &str, what: &str, most: usize, wanted: usize) -> Result<(), GpuError> {
    if wanted <= most {
        return Ok(());
    }
    Err(GpuError::Unsupported {
        adapter: gpu.info.name.clone(),
        what: format!("{wanted} {what} for kernel '{kernel}'"),
    })
}

/// Loop iterations of `n` words' worth of Philox blocks: ten rounds and the block itself.
pub fn philox_trips(n: usize) -> usize {
    n.div_ceil(4) * 16
}

/// That `offset .. offset + len` lies inside a buffer.
pub fn assert_inside(kernel: &str, what: &str, offset: usize, len: usize, all: usize) {
    assert!(offset + len <= all, "{kernel}: {len} elements from {offset} leave {what} of {all} elements");
}

/// The normals of a Philox block.
pub fn normals_of<F: Real<Elem = F, Word = u32>>([w0, w1, w2, w3]: [u32; 4]) -> [F; 4] {
    let ((z0, z1), (z2, z3)) = (F::normal_pair(w0, w1), F::normal_pair(w2, w3));
    [z0, z1, z2, z3]
}

/// Element type of a scalar twin: f32 (same bits as the shader) or f64 (its judge).
pub trait Scalar: Real<Elem = Self, Word = u32> + Default + Send + Sync + 'static {}
impl<F: Real<Elem = F, Word = u32> + Default + Send + Sync + 'static> Scalar for F {}
