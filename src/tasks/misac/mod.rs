//! Task misac: camera scheduling and analogue beamforming for K vehicles (paper "rl-h-moe").

pub mod agents;
pub mod bench;
pub mod causal;
pub mod config;
pub mod dp;
pub mod env;
pub mod evaluate;
mod evaluate_gpu;
mod exchange;
mod judge;
pub mod kernels;
mod outcome;
pub mod outside;
#[cfg(feature = "report")]
pub mod paper;
pub mod physics;
mod reads;
#[cfg(feature = "report")]
mod replay;
#[cfg(feature = "report")]
pub mod report;
pub mod rows;
mod spatial_cpu;
mod task;
mod timetables;
