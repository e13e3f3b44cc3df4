//! The tasks: one folder each, which holds all that names it; beside them what is no task's own.

pub mod basis;
pub mod misac;
pub mod v2x;

use crate::cli::{self, Registered};
use crate::golden;
use crate::kernels::{self, Entry};

/// The tasks of this program.
pub const ALL: &[&dyn Registered] =
    &[&cli::Entry::<v2x::config::V2xConfig>::new(), &cli::Entry::<misac::config::MisacConfig>::new()];

/// Every kernel of the crate: those that belong to no task, then each task's.
pub fn kernels() -> impl Iterator<Item = &'static Entry> {
    kernels::REGISTRY.iter().chain(ALL.iter().flat_map(|task| task.kernels()))
}

/// What all golden vectors are compared by: those that belong to no task, then each task's.
pub fn golden() -> Vec<golden::File> {
    golden::FILES.iter().chain(ALL.iter().flat_map(|task| task.golden())).copied().collect()
}
