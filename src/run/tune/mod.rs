//! Tuning: the same number of trials, slots and seeds for every learned agent of a comparison, by random search or
//! successive halving.
//!
//! It is a sweep of trials: the same points, packing, folder, parts and resumption ([`super::sweep`]). What is added:
//!
//! 1. [`space`]: the file that says what may vary, what is looked at, and the seeds; each task has one built in.
//! 2. [`plan`]: trials of every agent, and the rungs of halving: points that stop on their way, under the schedule
//!    of the whole run.
//! 3. [`run`]: rung after rung; the best trials of each agent go on, packed anew.
//! 4. [`page`]: the chosen settings as TOML for `--config`, and a page with every trial and how the result follows
//!    each key.
//!
//! What a trial gives depends on its agent, settings and seed alone: killed and resumed, a tuning leaves the same
//! files.

pub mod page;
pub mod plan;
pub mod run;
pub mod space;

pub use plan::{Ask, Tuning};
pub use space::SpaceFile;
