//! Joules of work by the machine's own [`counters`]: [`Meter`] is the one way to them.
//!
//! Where there is no counter there is a reason, never an estimate; and so where what it says cannot be: it does not
//! move, goes back, or stands for more than [`MOST_W`], or work that took no more than idleness. The protocol of a
//! measurement, on a machine that does nothing else:
//!
//! 1. [`SETTLE_S`] of rest, then a window of [`MIN_WINDOW_S`] without work: idle power of the same counter.
//! 2. [`WARM_UP_S`] of work outside any window: clocks, caches and thread pools settle, and so do readings of power
//!    that are means over a second.
//! 3. [`REPEATS`] windows of at least [`MIN_WINDOW_S`] of steady work. In each, joules are the counter's difference,
//!    minus idle power times its length.
//! 4. Step 1 again. The mean of both idle powers is what is subtracted; both are reported, for a device that was warmed
//!    up idles at another power.
//!
//! The result is the mean over windows with its Student-t interval. Where the device also gives readings of its power,
//! another thread takes one every [`POWER_EVERY_S`] in each window; their integral over the counter's joules is
//! reported beside it, and said aloud where both differ by more than [`AGREES`].

pub use super::counters::SYSFS;
use super::counters::{self, Counter, GpuName, Watts};
use crate::gpu::Gpu;
use crate::num::stats;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Shortest window that is believed, s: counters advance every 1 to 100 ms.
pub const MIN_WINDOW_S: f64 = 5.0;
/// Windows of a measurement.
pub const REPEATS: usize = 3;
/// Rest before an idle window, s.
pub const SETTLE_S: f64 = 2.0;
/// Work before the first window, s.
pub const WARM_UP_S: f64 = 2.0;
/// Between two readings of power, s.
pub const POWER_EVERY_S: f64 = 0.02;
/// Power of one counter that is not believed, W: it was set anew, which for one that goes round looks like progress.
pub const MOST_W: f64 = 5000.0;
/// Integrated power and counter agree within this share.
pub const AGREES: f64 = 0.1;

/// Joules per unit of work, or why there are none.
pub type Joules = Result<Measurement, String>;

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// What was counted, of which work.
    pub what: String,
    /// Mean over the windows, idle power subtracted.
    pub joules_per_unit: f64,
    /// Half width of its 95 % Student-t interval over the windows; NaN for one window.
    pub half_width_j: f64,
    /// Power while nothing was asked of the device, W: what was subtracted, the mean of the next two.
    pub idle_w: f64,
    pub idle_before_w: f64,
    pub idle_after_w: f64,
    /// Mean power during the work, W.
    pub busy_w: f64,
    pub windows: usize,
    /// Mean length, s.
    pub window_s: f64,
    /// Units of work in all windows.
    pub units: u64,
    /// Integrated readings of power over the counter's joules, over all windows, 1; NaN where the device has none.
    pub integrated_share: f64,
}

impl Measurement {
    /// How it was made, in one line.
    pub fn how(&self) -> String {
        let check = match self.integrated_share {
            x if x.is_nan() => String::new(),
            x if (x - 1.0).abs() > AGREES => {
                format!("; integrated power DISAGREES: {x:.3} of the counter's joules")
            }
            x => format!("; integrated power gives {x:.3} of it"),
        };
        format!(
            "{}; {} windows of {:.1} s, ± {:.2e} J; {:.1} W at work, {:.1} W idle subtracted ({:.1} before, {:.1} after){check}",
            self.what,
            self.windows,
            self.window_s,
            self.half_width_j,
            self.busy_w,
            self.idle_w,
            self.idle_before_w,
            self.idle_after_w
        )
    }
}

/// Lengths of a measurement's parts, s.
#[derive(Clone, Copy)]
struct Protocol {
    settle_s: f64,
    warm_up_s: f64,
    window_s: f64,
    repeats: usize,
    power_every_s: f64,
}

const PROTOCOL: Protocol = Protocol {
    settle_s: SETTLE_S,
    warm_up_s: WARM_UP_S,
    window_s: MIN_WINDOW_S,
    repeats: REPEATS,
    power_every_s: POWER_EVERY_S,
};

/// Seconds of a measurement, about: idle before and after, warm-up and windows.
pub const MEASUREMENT_S: f64 = 2.0 * (SETTLE_S + MIN_WINDOW_S) + WARM_UP_S + REPEATS as f64 * MIN_WINDOW_S;

/// The counter of a device that was asked to measure work, one piece after another.
pub struct Meter {
    counter: Box<dyn Counter>,
    protocol: Protocol,
    /// What a device idles at after one measurement is what it idles at before the next.
    idle_w: Option<f64>,
}

impl Meter {
    /// The meter of the GPU, or of the processor; `asked` is whether `option` of the command line was given. `sysfs` is
    /// [`SYSFS`], or another tree in tests.
    ///
    /// # Errors
    /// Why nothing is measured.
    pub fn open(sysfs: &Path, gpu: Option<&Gpu>, option: &str, asked: bool) -> Result<Self, String> {
        let counter = counters::open(sysfs, gpu.map(|g| GpuName::of(&g.info)))?;
        if !asked {
            return Err(format!("not asked for, with {option} ({} can be read)", counter.what()));
        }
        Ok(Meter { counter, protocol: PROTOCOL, idle_w: None })
    }

    /// Joules of steady `work`, which returns the units it did when they are done, by the protocol above; `note`
    /// follows the counter's name.
    ///
    /// # Errors
    /// What the work or the counter could not do.
    pub fn joules(&mut self, note: &str, work: impl FnMut() -> Result<u64, String>) -> Joules {
        let counter = self.counter.as_mut();
        let found = by_protocol(self.protocol, counter, self.idle_w.take(), rest, work)?;
        self.idle_w = Some(found.idle_after_w);
        Ok(Measurement { what: found.what + note, ..found })
    }
}

fn rest(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

fn by_protocol(
    p: Protocol,
    counter: &mut dyn Counter,
    idle_before_w: Option<f64>,
    rest: impl Fn(f64),
    mut work: impl FnMut() -> Result<u64, String>,
) -> Joules {
    let idle = |counter: &mut dyn Counter| -> Result<f64, String> {
        rest(p.settle_s);
        let ((), joules, s) = window(counter, || {
            rest(p.window_s);
            Ok(())
        })?;
        Ok(joules / s)
    };
    let idle_before_w = match idle_before_w {
        Some(watts) => watts,
        None => idle(counter)?,
    };
    let clock = Instant::now();
    loop {
        work()?;
        if clock.elapsed().as_secs_f64() >= p.warm_up_s {
            break;
        }
    }
    let mut windows: Vec<(u64, f64, f64)> = Vec::new();
    let mut integrated_j = Some(0.0);
    for _ in 0..p.repeats {
        let sampler = counter.watts();
        let ((units, joules, s), integral) = with_power(sampler, p.power_every_s, || {
            window(counter, || {
                let (mut units, clock) = (0, Instant::now());
                while clock.elapsed().as_secs_f64() < p.window_s {
                    units += work()?;
                }
                Ok(units)
            })
        })?;
        if units == 0 {
            return Err(format!("no unit of work was done in {s:.2} s"));
        }
        windows.push((units, joules, s));
        integrated_j = integrated_j.zip(integral).map(|(sum, j)| sum + j);
    }
    let idle_after_w = idle(counter)?;
    let idle_w = 0.5 * (idle_before_w + idle_after_w);
    let per_unit: Vec<f64> = windows.iter().map(|(units, j, s)| (j - idle_w * s) / *units as f64).collect();
    let mean = stats::mean(&per_unit);
    let half = stats::standard_error(&per_unit).map(|se| se * stats::t_quantile_95(per_unit.len() - 1));
    let sum = |of: fn(&(u64, f64, f64)) -> f64| windows.iter().map(of).sum::<f64>();
    let (all_j, all_s) = (sum(|w| w.1), sum(|w| w.2));
    // Something else drew power while nothing was asked of the device, or the work is too small to be seen.
    if mean <= 0.0 {
        return Err(format!(
            "the counter does not tell the work from idleness: {mean:.3e} J a unit, {:.2} W at work and {idle_w:.2} W idle \
             ({idle_before_w:.2} before, {idle_after_w:.2} after)",
            all_j / all_s
        ));
    }
    Ok(Measurement {
        what: counter.what().into(),
        joules_per_unit: mean,
        half_width_j: half.unwrap_or(f64::NAN),
        idle_w,
        idle_before_w,
        idle_after_w,
        busy_w: all_j / all_s,
        windows: p.repeats,
        window_s: all_s / p.repeats as f64,
        units: windows.iter().map(|w| w.0).sum(),
        integrated_share: integrated_j.map_or(f64::NAN, |j| j / all_j),
    })
}

/// What `work` returns, with the counter's joules meanwhile and the seconds. Every counter of the device must have
/// moved on.
fn window<T>(
    counter: &mut dyn Counter,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<(T, f64, f64), String> {
    let (from, clock) = (counter.joules()?, Instant::now());
    let out = work()?;
    let (to, s) = (counter.joules()?, clock.elapsed().as_secs_f64());
    if from.len() != to.len() || to.is_empty() {
        return Err(format!("{} counters became {}", from.len(), to.len()));
    }
    let (n, mut sum) = (to.len(), 0.0);
    for (i, (from, to)) in from.iter().zip(&to).enumerate() {
        let joules = to - from;
        let wrong = match joules / s {
            _ if joules == 0.0 => "did not move".to_string(),
            _ if joules < 0.0 => format!("went back by {:.3} J", -joules),
            watts if watts <= MOST_W => {
                sum += joules;
                continue;
            }
            watts => format!("moved by {joules:.3} J, which is {watts:.0} W"),
        };
        return Err(format!("energy counter {} of {n} {wrong} in {s:.2} s", i + 1));
    }
    Ok((out, sum, s))
}

/// Runs `window` while another thread reads power; its integral over the window, J, where there is a reading.
fn with_power<T>(
    watts: Option<Watts>,
    every_s: f64,
    window: impl FnOnce() -> Result<T, String>,
) -> Result<(T, Option<f64>), String> {
    let Some(mut watts) = watts else { return Ok((window()?, None)) };
    let (done, clock) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut readings: Vec<(f64, f64)> = Vec::new();
            loop {
                // The last reading is taken after the window has ended.
                let last = done.load(Ordering::Acquire);
                readings.push((clock.elapsed().as_secs_f64(), watts()?));
                if last {
                    return Ok::<_, String>(readings);
                }
                rest(every_s);
            }
        });
        let out = window();
        let end_s = clock.elapsed().as_secs_f64();
        done.store(true, Ordering::Release);
        let readings = reader.join().map_err(|_| "the thread that reads power died".to_string())??;
        Ok((out?, Some(integral(&readings, end_s))))
    })
}

/// Joules from 0 to `end_s` of power readings (s, W), joined by straight lines and level before the first and after the
/// last.
fn integral(readings: &[(f64, f64)], end_s: f64) -> f64 {
    let Some((first, last)) = readings.first().zip(readings.last()) else { return f64::NAN };
    let mut joules = first.0.min(end_s) * first.1 + (end_s - last.0).max(0.0) * last.1;
    for pair in readings.windows(2) {
        let ((t0, w0), (t1, w1)) = (pair[0], pair[1]);
        if t0 >= end_s || t1 <= t0 {
            continue;
        }
        let to = t1.min(end_s);
        let at_to = w0 + (w1 - w0) * (to - t0) / (t1 - t0);
        joules += 0.5 * (w0 + at_to) * (to - t0);
    }
    joules
}

#[cfg(test)]
mod tests {
    use super::super::counters::{number, tests::zone};
    use super::*;
    use std::fs;

    const SHORT: Protocol =
        Protocol { settle_s: 0.0, warm_up_s: 0.0, window_s: 0.02, repeats: 3, power_every_s: 0.002 };

    #[test]
    fn idle_power_is_subtracted_from_every_window() {
        let root = tempfile::tempdir().unwrap();
        let counter = zone(root.path(), "intel-rapl:0", "package-0", u64::MAX / 2, 0);
        let add = |uj: u64| fs::write(&counter, (number(&counter).unwrap() + uj).to_string()).unwrap();
        let mut meter = counters::open(root.path(), None).unwrap();
        let meter = meter.as_mut();
        // 2 J in an idle window of about 20 ms, and 4 units of 25 J in each window of work.
        let idle = |s: f64| {
            rest(s);
            add(2_000_000);
        };
        let work = || {
            std::thread::sleep(Duration::from_millis(25));
            add(100_000_000);
            Ok(4)
        };
        let settled = Protocol { settle_s: 0.001, ..SHORT };
        let m = by_protocol(settled, meter, None, idle, work).unwrap();
        assert_eq!((m.windows, m.units), (3, 12));
        assert!(m.idle_w > 0.0 && m.idle_w <= 100.0, "{m:?}");
        assert_eq!(m.idle_w, 0.5 * (m.idle_before_w + m.idle_after_w));
        let want = 25.0 - m.idle_w * m.window_s / 4.0;
        assert!((m.joules_per_unit - want).abs() < 1e-6, "{m:?}");
        assert!(m.joules_per_unit < 25.0 && m.half_width_j < 1.0 && m.busy_w > m.idle_w, "{m:?}");
        assert!(m.integrated_share.is_nan(), "powercap has no reading of power");
        assert!(m.how().contains("3 windows") && m.how().contains("idle subtracted"), "{}", m.how());
        // The idle power of a measurement just before is taken as it is.
        let next = by_protocol(SHORT, meter, Some(1000.0), idle, work).unwrap();
        assert_eq!(next.idle_before_w, 1000.0);
        assert!(next.idle_after_w <= 100.0, "{next:?}");
        let failed = by_protocol(SHORT, meter, None, idle, || Err("out of memory".into()));
        assert_eq!(failed, Err("out of memory".into()));
    }

    /// Counters that say what a test wrote down, reading by reading.
    struct Script(std::vec::IntoIter<Result<Vec<f64>, String>>);

    impl Counter for Script {
        fn what(&self) -> &'static str {
            "a script"
        }
        fn joules(&mut self) -> Result<Vec<f64>, String> {
            self.0.next().unwrap()
        }
    }

    /// One window of work between idle windows, by the readings at their ends: before, work, after.
    fn scripted(readings: [&[f64]; 6], units: u64) -> Joules {
        let one = Protocol { repeats: 1, ..SHORT };
        let readings: Vec<_> = readings.iter().map(|x| Ok(x.to_vec())).collect();
        by_protocol(one, &mut Script(readings.into_iter()), None, rest, || {
            rest(0.03);
            Ok(units)
        })
    }

    #[test]
    fn what_a_counter_cannot_say_is_a_reason() {
        let good: [&[f64]; 6] = [&[0.0], &[0.1], &[0.1], &[9.0], &[9.0], &[9.1]];
        let m = scripted(good, 3).unwrap();
        assert!(m.joules_per_unit > 2.0 && m.joules_per_unit < 3.0 && m.half_width_j.is_nan(), "{m:?}");
        let reason = |at: usize, reading: &'static [f64], units| {
            let mut readings = good;
            readings[at] = reading;
            scripted(readings, units).unwrap_err()
        };
        // It stands still, idle or at work, or goes back, or jumps: it was set anew.
        assert!(scripted([&[7.0]; 6], 3).unwrap_err().contains("did not move"));
        for (at, reading) in [(1, &[0.0][..]), (3, &[0.1]), (5, &[9.0])] {
            let why = reason(at, reading, 3);
            assert!(why.contains("counter 1 of 1 did not move"), "{why}");
        }
        assert!(reason(3, &[0.05], 3).contains("went back"), "{}", reason(3, &[0.05], 3));
        assert!(reason(3, &[1e6], 3).contains("W in"), "{}", reason(3, &[1e6], 3));
        assert!(reason(3, &[f64::NAN], 3).contains("NaN"), "{}", reason(3, &[f64::NAN], 3));
        // One of two packages stands still, or is no more.
        let halves: [&[f64]; 6] =
            [&[0.0, 4.0], &[0.1, 4.1], &[0.1, 4.1], &[9.0, 4.1], &[9.0, 4.1], &[9.1, 4.2]];
        assert!(scripted(halves, 3).unwrap_err().contains("counter 2 of 2 did not move"));
        assert!(reason(3, &[], 3).contains("1 counters became 0"), "{}", reason(3, &[], 3));
        // Work that took less than nothing, and no work.
        let why = reason(3, &[0.1000001], 3);
        assert!(why.contains("idleness") && why.contains("-"), "{why}");
        assert!(reason(3, &[9.0], 0).contains("no unit of work"), "{}", reason(3, &[9.0], 0));
    }

    /// Draws [`Fake::IDLE_W`] or [`Fake::BUSY_W`]; its readings of power are `scale` times that.
    struct Fake {
        busy: std::sync::Arc<AtomicBool>,
        last: Instant,
        joules: f64,
        scale: f64,
    }

    impl Fake {
        const IDLE_W: f64 = 50.0;
        const BUSY_W: f64 = 250.0;
        fn new(scale: f64) -> Self {
            Fake { busy: Default::default(), last: Instant::now(), joules: 0.0, scale }
        }
    }

    impl Counter for Fake {
        fn what(&self) -> &'static str {
            "a fake"
        }
        fn joules(&mut self) -> Result<Vec<f64>, String> {
            // Read at the ends of idle windows and of windows of work, between which it drew one power.
            let watts = if self.busy.load(Ordering::Acquire) { Fake::BUSY_W } else { Fake::IDLE_W };
            self.joules += watts * self.last.elapsed().as_secs_f64();
            self.last = Instant::now();
            Ok(vec![self.joules])
        }
        fn watts(&self) -> Option<Watts> {
            let (busy, scale) = (self.busy.clone(), self.scale);
            (scale > 0.0).then(|| {
                let watts = move || {
                    let busy = busy.load(Ordering::Acquire);
                    Ok(scale * if busy { Fake::BUSY_W } else { Fake::IDLE_W })
                };
                Box::new(watts) as Watts
            })
        }
    }

    /// Work that makes the meter draw busy power until the next rest.
    fn fake(scale: f64, p: Protocol) -> Joules {
        let mut meter = Fake::new(scale);
        let (busy, resting) = (meter.busy.clone(), meter.busy.clone());
        let idle = move |s: f64| {
            resting.store(false, Ordering::Release);
            rest(s);
        };
        // A unit is a microsecond.
        let work = || {
            let clock = Instant::now();
            busy.store(true, Ordering::Release);
            rest(0.005);
            Ok(clock.elapsed().as_micros() as u64)
        };
        by_protocol(p, &mut meter, None, idle, work)
    }

    #[test]
    fn integrated_power_is_held_against_the_counter() {
        let p = Protocol { window_s: 0.05, ..SHORT };
        let m = fake(1.0, p).unwrap();
        assert!(
            (m.idle_before_w - Fake::IDLE_W).abs() < 1.0 && (m.idle_after_w - Fake::IDLE_W).abs() < 1.0,
            "{m:?}"
        );
        // Windows are 50 ms of a clock that other tests share: a thread that waits for a core moves them by a few
        // percent.
        assert!((m.integrated_share - 1.0).abs() < 0.06, "{m:?}");
        let net = 1e-6 * (Fake::BUSY_W - Fake::IDLE_W);
        assert!((m.joules_per_unit - net).abs() < 0.1 * net, "{m:?}, not {net}");
        assert!(m.how().contains("integrated power gives"), "{}", m.how());
        let half = fake(0.5, p).unwrap();
        assert!((half.integrated_share - 0.5).abs() < 0.06, "{half:?}");
        assert!(half.how().contains("DISAGREES"), "{}", half.how());
        assert!(fake(0.0, p).unwrap().integrated_share.is_nan());
    }

    #[test]
    fn a_window_is_as_long_as_asked_and_warmed_up() {
        let p = Protocol { window_s: 0.04, warm_up_s: 0.03, ..SHORT };
        let calls = std::cell::Cell::new(0);
        let m = by_protocol(p, &mut Fake::new(0.0), Some(0.0), rest, || {
            calls.set(calls.get() + 1);
            rest(0.01);
            Ok(1)
        });
        let m = m.unwrap();
        assert!(m.window_s >= 0.04, "{m:?}");
        // Three of at least 10 ms fill the warm-up unless the machine sleeps longer; their units do not count.
        assert!(calls.get() > m.units && calls.get() <= m.units + 3, "{} {m:?}", calls.get());
        const { assert!(MIN_WINDOW_S >= 5.0 && REPEATS >= 3) };
    }

    #[test]
    fn a_meter_is_asked_for_and_hands_its_idle_power_on() {
        let root = tempfile::tempdir().unwrap();
        let reason = |asked| Meter::open(root.path(), None, "--measure", asked).err().unwrap();
        assert!(reason(true).contains("no counter") && reason(false).contains("no counter"));
        zone(root.path(), "intel-rapl:0", "package-0", 10, 1);
        let can = "not asked for, with --measure (processor packages, powercap can be read)";
        assert_eq!(reason(false), can);
        assert!(Meter::open(root.path(), None, "--measure", true).is_ok());

        // Idle, work, idle; then work and idle: what it idled at is known.
        let readings = [0.0, 0.1, 0.1, 9.0, 9.0, 9.1, 9.1, 18.0, 18.0, 18.1].map(|x| Ok(vec![x]));
        let counter = Box::new(Script(Vec::from(readings).into_iter()));
        let mut meter = Meter { counter, protocol: Protocol { repeats: 1, ..SHORT }, idle_w: None };
        let work = || {
            rest(0.03);
            Ok(3)
        };
        let first = meter.joules(" (cpu)", work).unwrap();
        assert!(first.how().starts_with("a script (cpu); 1 windows"), "{}", first.how());
        let second = meter.joules(" (cpu)", work).unwrap();
        assert_eq!(second.idle_before_w, first.idle_after_w);
        assert_eq!(meter.idle_w, Some(second.idle_after_w));
        assert_eq!(meter.joules("", || Err("out of memory".into())), Err("out of memory".into()));
        assert_eq!(meter.idle_w, None, "nothing is known of a device after work that failed");
    }

    #[test]
    fn integrals_of_readings() {
        // Level at 2 W for 1 s, rising to 4 W at 3 s, level until 4 s.
        let readings = [(1.0, 2.0), (3.0, 4.0)];
        assert!((integral(&readings, 4.0) - (2.0 + 6.0 + 4.0)).abs() < 1e-12);
        // The window ends between two readings, or before the first.
        assert!((integral(&readings, 2.0) - (2.0 + 2.5)).abs() < 1e-12);
        assert!((integral(&readings, 0.5) - 1.0).abs() < 1e-12);
        assert!(integral(&[], 1.0).is_nan());
    }

    #[test]
    fn a_reading_that_fails_is_a_reason() {
        let fails: Watts = Box::new(|| Err("gone".into()));
        assert_eq!(with_power(Some(fails), 0.001, || Ok(1)), Err("gone".into()));
        let works: Watts = Box::new(|| Ok(1.0));
        assert_eq!(
            with_power(Some(works), 0.001, || Err::<u32, _>("no memory".into())),
            Err("no memory".into())
        );
    }
}
