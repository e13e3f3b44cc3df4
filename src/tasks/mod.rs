//! The tasks: one folder each, which holds all that names it.

pub mod misac;
pub mod v2x;
