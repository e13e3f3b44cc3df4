//! The one place that writes to standard output and standard error. `println!` panics where nobody listens or a disk is
//! full; here the work goes on:
//! what a closed pipe would have shown is dropped, and any other failure is kept and ends the command with an error
//! when its work is saved.

use anyhow::{Context, Result};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// What went wrong first with standard output; nothing is written behind a gap.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// A line on standard output: results.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::print::result(format_args!($($words)*)) };
}

/// A line on standard error: progress and warnings.
macro_rules! note {
    ($($words:tt)*) => { $crate::cli::print::remark(format_args!($($words)*)) };
}

pub(super) use {note, say};

pub(super) fn result(line: Arguments) {
    let mut failed = FAILED.lock().unwrap_or_else(|broken| broken.into_inner());
    if failed.is_none() {
        // A line at a time, so that two lines of one table are never both lost for one cause.
        let mut out = io::stdout().lock();
        *failed = writeln!(out, "{line}").and_then(|()| out.flush()).err();
    }
}

/// Nobody may be listening to standard error, and there is nowhere else to say so.
pub(super) fn remark(line: Arguments) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The last words of a command that failed.
pub fn error(e: &anyhow::Error) {
    note!("error: {e:#}");
}

fn judged(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        // As `… | head` wants it.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Whether all that was said has arrived.
///
/// # Errors
/// Why standard output took no more, but for a closed pipe.
pub(super) fn arrived() -> Result<()> {
    judged(FAILED.lock().unwrap_or_else(|broken| broken.into_inner()).take().map_or(Ok(()), Err))
}

/// Help, version or a wrong command line, as the parser words it. Does not return from a wrong one.
///
/// # Errors
/// As [`arrived`].
pub(super) fn parser(e: &clap::Error) -> Result<()> {
    let outcome = e.print().and_then(|()| io::stdout().flush());
    if e.use_stderr() {
        std::process::exit(e.exit_code());
    }
    judged(outcome)
}
