//! isacbench: vectorised environments of integrated sensing and communication, the policies that control them, and their training, on
//! GPUs (WGSL kernels through wgpu) and CPUs, with the same arguments in the same order.

pub mod gpu;
pub mod kernels;
pub mod philox;
pub mod real;
#[cfg(feature = "report")]
pub mod report;
pub mod rows;
pub mod stats;
