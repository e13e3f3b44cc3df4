//! What networks cost: counted operations, joules by three models, joules by the device's own counter.
//!
//! [`counts`] turns measured activity into integers as NeuroBench defines them; [`methods`] turns those into joules:
//! the formula of the paper "spiking-ac", effective operations, and Lemaire's model with memory; [`training`] counts
//! what a training run does; [`meters`] measures work by hardware [`counters`]. [`accounts`] lists all of it for the
//! rows, [`experts`] that of the mixture of experts, [`rules`] that of agents without a network. The methods never
//! share a column: the three models are of 45 nm CMOS and say nothing of the device that [`meters`] reads.

pub mod accounts;
pub mod counters;
pub mod counts;
pub mod experts;
pub mod meters;
pub mod methods;
pub mod rules;
pub mod training;

pub use accounts::Entry;
pub use counts::{CountError, Counts, Elementwise, FirstLayer};
pub use methods::Constants;
pub use rules::RuleCounts;
pub use training::{NetworkSchedule, TrainingSchedule};
