//! Kernels of task v2x.

pub mod v2x_batch;
pub mod v2x_reference;
pub mod v2x_reset;
pub mod v2x_rollout;
pub mod v2x_slots;
pub mod v2x_step;
