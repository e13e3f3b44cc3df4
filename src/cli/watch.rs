//! Progress of long work, on standard error.

use super::common::time;
use super::print::note;
use crate::run::watch::Watch;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A progress bar on a terminal, plain lines elsewhere; both on standard error.
pub struct Bars {
    state: Mutex<Option<Stage>>,
    /// What the runs of the job are expected to take, in seconds, and how many of them have begun.
    runs: Mutex<(Vec<f64>, usize)>,
    /// Whether a program reads along (`ISACBENCH_PROGRESS=json`): objects `{"what", "done", "total", "note"}`, a line
    /// each.
    json: bool,
}

/// Between two lines for a person, and for a program.
const LINES: [Duration; 2] = [Duration::from_secs(10), Duration::from_millis(100)];

struct Stage {
    bar: ProgressBar,
    what: String,
    plain: bool,
    note: String,
    started: Instant,
    printed: Instant,
    /// When the first units of this process were told, and how many there were: a resumed job begins with what was done
    /// before.
    first: Option<(Instant, u64)>,
}

impl Stage {
    /// What is left at the speed so far, in words; empty before there is any. `behind` is what the runs behind this one
    /// are expected to take, in seconds.
    fn left(&self, behind: Option<f64>) -> String {
        let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let Some((since, from)) = self.first.filter(|(_, from)| *from < at) else { return String::new() };
        let seconds = since.elapsed().as_secs_f64() / (at - from) as f64 * of.saturating_sub(at) as f64;
        let all = behind.map_or(String::new(), |more| format!(" and {} of the job", time(seconds + more)));
        format!(", about {} left{all}", time(seconds))
    }
}

impl Bars {
    pub fn new() -> Self {
        Self::of_runs(Vec::new())
    }
    /// Of a job whose runs are expected to take as many seconds.
    pub fn of_runs(runs: Vec<f64>) -> Self {
        let json = std::env::var_os("ISACBENCH_PROGRESS").is_some_and(|how| how == "json");
        Bars { state: Mutex::new(None), runs: Mutex::new((runs, 0)), json }
    }
    /// What the runs behind the one that has begun are expected to take, in seconds; `None` where nobody knows.
    fn behind(&self) -> Option<f64> {
        let runs = self.runs.lock().ok()?;
        Some(runs.0.get(runs.1..).filter(|_| !runs.0.is_empty())?.iter().sum())
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
    fn run(&self, n: usize) {
        if let Ok(mut runs) = self.runs.lock() {
            runs.1 = n + 1;
        }
    }

    fn begin(&self, what: &str, total: u64) {
        let plain = self.json || !std::io::stderr().is_terminal();
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
                first: None,
            });
        }
    }

    fn advance(&self, units: u64, note: &str) {
        let behind = self.behind();
        self.with(|s| {
            s.bar.inc(units);
            if s.first.is_none() {
                s.first = Some((Instant::now(), s.bar.position()));
            }
            if !note.is_empty() {
                s.note = note.to_string();
                s.bar.set_message(s.note.clone());
            }
            if s.plain && units > 0 && s.printed.elapsed() >= LINES[usize::from(self.json)] {
                s.printed = Instant::now();
                let (at, of) = (s.bar.position(), s.bar.length().unwrap_or(0));
                if self.json {
                    note!("{}", json!({ "what": s.what, "done": at, "total": of, "note": s.note }));
                    return;
                }
                let (seconds, left) = (s.started.elapsed().as_secs_f64(), s.left(behind));
                note!("{}: {at}/{of} after {seconds:.0} s{left} {}", s.what, s.note);
            }
        });
    }

    fn warn(&self, what: &str) {
        note!("warning: {what}");
    }

    fn stops(&self) -> bool {
        interrupted()
    }

    fn end(&self) {
        self.with(|s| {
            s.bar.finish_and_clear();
            note!("{}: done in {:.1} s {}", s.what, s.started.elapsed().as_secs_f64(), s.note);
        });
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether a signal has asked trainings to end.
fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// From now on the first SIGINT or SIGTERM lets a training save what it has and end, and the second ends the process.
/// Jobs that evaluate end with the next training.
#[cfg(feature = "report")]
pub fn end_in_order() -> anyhow::Result<()> {
    super::signals::at_each(|signal| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(128 + signal);
        }
        note!("interrupted: ends when this update is saved; once more to end at once");
    })
}

/// Without the library that catches signals, the process ends at once, and goes on from its last checkpoint.
#[cfg(not(feature = "report"))]
pub fn end_in_order() -> anyhow::Result<()> {
    Ok(())
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
