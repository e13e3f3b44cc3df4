//! Progress of long work, on standard error.

use super::print::note;
use crate::run::watch::Watch;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Instant;

/// A progress bar on a terminal, plain lines elsewhere; both on standard error.
pub struct Bars {
    state: Mutex<Option<Stage>>,
}

struct Stage {
    bar: ProgressBar,
    what: String,
    plain: bool,
    note: String,
    started: Instant,
    printed: Instant,
}

impl Bars {
    pub fn new() -> Self {
        Bars { state: Mutex::new(None) }
    }
    fn with(&self, f: impl FnOnce(&mut Stage)) {
        if let Ok(mut s) = self.state.lock()
            && let Some(stage) = s.as_mut()
        {
            f(stage);
        }
    }
}

impl Watch for Bars {
    fn begin(&self, what: &str, total: u64) {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(total) };
        bar.set_length(total);
        let style = ProgressStyle::with_template(
            "{prefix:28} {bar:30} {pos}/{len} [{elapsed_precise} < {eta}] {msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_string());
        let now = Instant::now();
        if let Ok(mut s) = self.state.lock() {
            *s = Some(Stage {
                bar,
                what: what.into(),
                plain,
                note: String::new(),
                started: now,
                printed: now,
            });
        }
    }

    fn advance(&self, units: u64, note: &str) {
        self.with(|s| {
            s.bar.inc(units);
            if !note.is_empty() {
                s.note = note.to_string();
                s.bar.set_message(s.note.clone());
            }
            if s.plain && units > 0 && s.printed.elapsed().as_secs() >= 10 {
                s.printed = Instant::now();
                let (at, of) = (s.bar.position(), s.bar.length().unwrap_or(0));
                note!("{}: {at}/{of} after {:.0} s {}", s.what, s.started.elapsed().as_secs_f64(), s.note);
            }
        });
    }

    fn warn(&self, what: &str) {
        note!("warning: {what}");
    }

    fn end(&self) {
        self.with(|s| {
            s.bar.finish_and_clear();
            note!("{}: done in {:.1} s {}", s.what, s.started.elapsed().as_secs_f64(), s.note);
        });
    }
}

/// Stands in for [`Bars`] where output is for a program.
pub struct Silent;

impl Watch for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, what: &str) {
        note!("warning: {what}");
    }
}
