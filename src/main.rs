//! Parse, run, print the error chain, exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Mesa's device-select layer looks for a Wayland display when adapters are listed and prints "error: XDG_RUNTIME_DIR is invalid or not set"
    // on machines without one, next to our own messages. It only reorders adapters, which this program does by itself; who steers it keeps it.
    if ["NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME"].iter().all(|v| std::env::var_os(v).is_none())
    {
        // SAFETY: this is the first statement of the process; no other thread exists that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    match isacbench::cli::run(isacbench::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
