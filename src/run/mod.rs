//! Jobs: training ([`train`](mod@train), the main path), evaluation, replays, whole papers, sweeps, tuning, and the
//! rows and checkpoints that they leave.

pub mod actor;
pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod errors;
pub mod evaluate;
pub mod export;
pub mod health;
pub mod journal;
pub mod lock;
pub mod pace;
pub mod readings;
#[cfg(feature = "report")]
pub mod record;
pub mod registry;
#[cfg(feature = "report")]
pub mod replay;
pub mod reproduce;
pub mod rows;
#[cfg(feature = "report")]
pub mod sweep;
pub mod task;
pub mod tensorboard;
pub mod torch;
pub mod train;
#[cfg(feature = "report")]
pub mod tune;
pub mod watch;
