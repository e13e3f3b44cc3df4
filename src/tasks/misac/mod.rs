//! Task misac: camera scheduling and analogue beamforming for K vehicles (paper "rl-h-moe").

pub mod agents;
pub mod config;
pub mod dp;
pub mod evaluate;
mod evaluate_gpu;
pub mod kernels;
#[cfg(feature = "report")]
pub mod paper;
pub mod physics;
#[cfg(feature = "report")]
pub mod report;
pub mod reproduce;
pub mod rows;
