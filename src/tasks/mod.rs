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

#[cfg(all(test, feature = "report"))]
mod tests {
    use crate::report::judge::hardly_trained;
    use crate::report::too_small;
    use crate::run::task::Task;

    /// A scale that is meant to tell something is large enough to be judged, whatever the experiment is.
    fn is_judged<C: Task>() {
        for (name, text) in C::EXPERIMENTS {
            for scale in ["quick", "study", "full"] {
                let config = C::load_experiment(name, scale, None, &[]).unwrap();
                let (seeds, whole) = (config.common().train.seeds.len(), config.to_toml());
                let why = if text.is_empty() {
                    too_small::<C>(seeds, &whole)
                } else {
                    hardly_trained::<C>(seeds, &whole)
                };
                assert_eq!(why, None, "{name} at scale {scale}");
            }
        }
    }

    #[test]
    fn no_scale_but_smoke_is_too_small_to_be_judged() {
        is_judged::<super::v2x::config::V2xConfig>();
        is_judged::<super::misac::config::MisacConfig>();
    }
}
