//! Kernels of task misac.

pub mod misac_accumulate;
pub mod misac_batch;
pub mod misac_gain;
pub mod misac_reset;
pub mod misac_schedule;
pub mod misac_step;
pub mod spatial_loss;
