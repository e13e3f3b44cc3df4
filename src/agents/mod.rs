//! The rows of the results: id → what acts. A folder per task, in it a file per agent.

pub mod misac;
pub mod v2x;
