//! Task v2x: one-step ISAC beamforming for K vehicles (paper "spiking-ac").

mod acts;
pub mod agents;
pub mod array;
pub mod bench;
pub mod codebook;
pub mod config;
pub mod env;
mod exchange;
pub mod forcing;
pub mod golden;
pub mod gradient;
pub mod kernels;
#[cfg(feature = "report")]
mod live;
pub mod overhead;
#[cfg(feature = "report")]
pub mod paper;
pub mod physics;
pub mod protocol;
mod reads;
pub mod reference;
#[cfg(feature = "report")]
mod replay;
#[cfg(feature = "report")]
pub mod report;
pub mod rows;
mod task;
