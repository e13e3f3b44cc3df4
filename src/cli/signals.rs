//! Ctrl-C and whatever else asks the process to end, as far as its system has them.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

/// From now on a thread of its own calls `act` with each SIGINT and SIGTERM.
#[cfg(unix)]
pub(super) fn at_each(mut act: impl FnMut(i32) + Send + 'static) -> Result<()> {
    use signal_hook::iterator::Signals;
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
    std::thread::spawn(move || signals.forever().for_each(&mut act));
    Ok(())
}

/// Elsewhere nothing waits for a signal: its handler leaves a number, which the thread looks for. Two within one look
/// are one.
#[cfg(not(unix))]
pub(super) fn at_each(mut act: impl FnMut(i32) + Send + 'static) -> Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
    let came = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, came.clone(), signal as usize)
            .context("signals cannot be caught")?;
    }
    std::thread::spawn(move || {
        loop {
            match came.swap(0, Ordering::SeqCst) {
                0 => std::thread::sleep(LOOK),
                signal => act(signal as i32),
            }
        }
    });
    Ok(())
}
