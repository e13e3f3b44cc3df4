//! Numbers of benchmarks in units that leave few digits.

use crate::report::words::num;

/// Three significant digits without an exponent.
pub(super) fn three(x: f64) -> String {
    if x.is_nan() {
        return "-".into();
    }
    let power = if x > 0.0 { x.log10().floor() as i32 } else { 0 };
    format!("{x:.*}", (2 - power).clamp(0, 6) as usize)
}

/// A rate with the prefix of its thousands: 13.8 M.
pub(super) fn si(x: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
    match units.into_iter().find(|(u, _)| x >= 0.9995 * u) {
        Some((unit, prefix)) => format!("{}{prefix}", three(x / unit)),
        None => num(x),
    }
}

/// A time in the unit that leaves few digits.
pub(super) fn time(s: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    match units.into_iter().find(|(u, _)| s >= 0.9995 * u) {
        Some((unit, name)) => format!("{} {name}", three(s / unit)),
        None => "-".into(),
    }
}
