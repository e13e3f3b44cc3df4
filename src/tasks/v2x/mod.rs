//! Task v2x: one-step ISAC beamforming for K vehicles (paper "spiking-ac").

pub mod agents;
pub mod config;
pub mod evaluate;
pub mod golden;
pub mod kernels;
#[cfg(feature = "report")]
pub mod paper;
pub mod physics;
pub mod reference;
#[cfg(feature = "report")]
pub mod report;
pub mod reproduce;
