//! Jobs: training ([`train`](mod@train), the main path), evaluation, whole papers, sweeps, and the rows and checkpoints that they leave.

pub mod checkpoint;
pub mod evaluate;
pub mod reproduce;
pub mod rows;
#[cfg(feature = "report")]
pub mod sweep;
pub mod train;
