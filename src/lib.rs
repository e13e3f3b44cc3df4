//! isacbench: vectorised environments of integrated sensing and communication, the policies that control them, and their training, on
//! GPUs (WGSL kernels through wgpu) and CPUs, with the same arguments in the same order.

pub mod checkpoint;
pub mod config;
pub mod files;
pub mod golden;
pub mod gpu;
pub mod kernels;
pub mod learn;
pub mod philox;
pub mod policy;
pub mod real;
pub mod shuffle;
pub mod task;
pub mod train;
