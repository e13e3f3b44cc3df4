//! The program as its user meets it, and the pages it writes: `cargo test --test program sweep_cli::` runs one
//! subject's.

#[path = "../common/program.rs"]
mod child;
#[path = "../common/mod.rs"]
mod common;

mod answers;
mod bad_input;
mod bench_report;
mod check;
mod cli;
mod cli_misac;
mod folders;
mod output;
#[cfg(feature = "report")]
mod page;
#[cfg(feature = "report")]
mod pages;
#[cfg(feature = "report")]
mod questions;
#[cfg(feature = "report")]
mod replay;
mod report;
mod report_misac;
mod revision;
mod sweep_cli;
mod tune_cli;
