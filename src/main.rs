//! Parse, run, print the error chain, exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match isacbench::cli::run(isacbench::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
