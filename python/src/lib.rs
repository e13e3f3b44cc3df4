//! The extension module of the Python package `isacbench`: environments over the crate's own door, and what its
//! commands answer. Names, defaults and conventions of clients are the business of the Python files beside it.

mod envs;
mod jobs;
mod policy;
mod pool;

use pyo3::prelude::*;

/// The tasks of this wheel: whoever builds one with a task of their own adds it here.
pub(crate) const TASKS: &isacbench::cli::Tasks = isacbench::tasks::ALL;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::envs::{Envs, physics_rate, spec};
    #[pymodule_export]
    use super::jobs::{evaluate, judge, main, page, setting, tasks};
    #[pymodule_export]
    use super::policy::{Policy, load};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "as Python calls it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
