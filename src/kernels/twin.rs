//! What the host files of kernels share: the number type of scalar twins, and checks of sizes before a kernel is recorded.

use super::MAX_TRIPS;
use crate::gpu::{Buf, Gpu, GpuError};
use crate::num::real::Real;

/// Software Vulkan ends the loops of a thread early and silently: refuses there what could be cut. Hardware has no such limit.
pub fn check_trips(gpu: &Gpu, kernel: &str, trips: usize) -> Result<(), GpuError> {
    if gpu.is_software() && trips >= MAX_TRIPS {
        let what = format!(
            "{trips} loop iterations per thread (kernel '{kernel}'; software Vulkan stops at 65,535)"
        );
        return Err(GpuError::Unsupported { adapter: gpu.info.name.clone(), what });
    }
    Ok(())
}

/// Loop iterations of `n` words' worth of Philox blocks: ten rounds and the block itself.
pub fn philox_trips(n: usize) -> usize {
    n.div_ceil(4) * 16
}

/// That `offset .. offset + len` lies inside a buffer.
pub fn assert_inside(kernel: &str, what: &str, offset: usize, len: usize, all: usize) {
    assert!(offset + len <= all, "{kernel}: {len} elements from {offset} leave {what} of {all} elements");
}

/// That a buffer has exactly the elements a kernel was compiled for.
pub fn assert_len<T: bytemuck::Pod>(buf: &Buf<T>, len: usize, shape: &str, spec: &impl std::fmt::Debug) {
    assert_eq!(buf.len(), len, "'{}' of shape {:?} is not {shape} of {spec:?}", buf.label, buf.shape);
}

/// Element type of a scalar twin: f32 (same bits as the shader) or f64 (its judge).
pub trait Scalar: Real<Elem = Self, Word = u32> + Default + Send + Sync + 'static {}
impl<F: Real<Elem = F, Word = u32> + Default + Send + Sync + 'static> Scalar for F {}
