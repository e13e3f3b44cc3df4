//! Ticks of axes, and how numbers stand at them.

/// Ticks of an axis over a range of what it is linear in.
pub(super) fn ticks((lo, hi): (f64, f64), log: bool, wanted: usize) -> Vec<f64> {
    match log {
        true => log_ticks(10f64.powf(lo), 10f64.powf(hi)).iter().map(|v| v.log10()).collect(),
        false => round_ticks(lo, hi, wanted),
    }
}

/// Where a value lies on an axis, if it can be drawn there.
pub(super) fn drawn_at(y: f64, log: bool) -> Option<f64> {
    if log { (y > 0.0).then(|| y.log10()) } else { Some(y) }.filter(|v| v.is_finite())
}

/// Smallest and largest.
pub(crate) fn extent(xs: impl Iterator<Item = f64>) -> (f64, f64) {
    xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)))
}

/// About `wanted` round numbers (1, 2 or 5 times a power of ten) in `lo..=hi`.
pub(super) fn round_ticks(lo: f64, hi: f64, wanted: usize) -> Vec<f64> {
    let raw = (hi - lo) / wanted as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let first = (lo / step - 1e-9).ceil() as i64;
    let last = (hi / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Ticks of a logarithmic axis between the values `lo` and `hi`: decades, with 2 and 5 between them where there are
/// few, and round numbers where there is less than a decade.
pub(super) fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let decades = hi.log10() - lo.log10();
    if decades < 1.0 {
        return round_ticks(lo, hi, 6).into_iter().filter(|v| *v > 0.0).collect();
    }
    let every = (decades / 8.0).ceil() as i32;
    let steps: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (lo.log10().floor() as i32..=hi.log10().ceil() as i32)
        .filter(|k| k.rem_euclid(every) == 0)
        .flat_map(|k| steps.iter().map(move |s| s * 10f64.powi(k)))
        .filter(|v| *v >= lo * (1.0 - 1e-9) && *v <= hi * (1.0 + 1e-9))
        .collect()
}

/// A tick as text: powers of ten where plain digits would be long.
pub(super) fn tick_text(x: f64) -> String {
    if x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e6) {
        let power = (x.abs().log10() + 1e-9).floor() as i32;
        let factor = x / 10f64.powi(power);
        let digits: String = power.to_string().chars().map(superscript).collect();
        return if (factor - 1.0).abs() < 1e-6 {
            format!("10{digits}")
        } else {
            format!("{}·10{digits}", (factor * 1e6).round() / 1e6)
        };
    }
    // Ticks have few digits; this drops the tail of their sum, such as 0.30000000000000004.
    let text = format!("{:.9}", x);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A share as a percentage, with one digit where it is small.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        "<0.1 %".into()
    } else if share < 0.0995 {
        format!("{:.1} %", 100.0 * share)
    } else {
        format!("{:.0} %", 100.0 * share)
    }
}

pub(super) fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(round_ticks(0.0, 62.0, 7), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(round_ticks(-0.5, 0.5, 5), [-0.4, -0.2, 0.0, 0.2, 0.4]);
        assert_eq!(log_ticks(3e-4, 0.2), [1e-3, 1e-2, 1e-1]);
        assert_eq!(log_ticks(0.9, 11.0), [1.0, 2.0, 5.0, 10.0]);
        assert!(log_ticks(1e-12, 1.0).len() <= 9);
        assert!(log_ticks(0.158, 0.166).len() >= 3);
    }

    #[test]
    fn tick_texts() {
        for (x, text) in [
            (0.0, "0"),
            (0.30000000000000004, "0.3"),
            (40.0, "40"),
            (1e-5, "10⁻⁵"),
            (1e-15, "10⁻¹⁵"),
            (2e7, "2·10⁷"),
            (0.01, "0.01"),
        ] {
            assert_eq!(tick_text(x), text);
        }
    }

    #[test]
    fn shares_as_percentages() {
        let texts = [0.0, 0.0001, 0.0123, 0.0994, 0.123, 0.5, 1.0].map(percent);
        assert_eq!(texts, ["0.0 %", "<0.1 %", "1.2 %", "9.9 %", "12 %", "50 %", "100 %"]);
    }
}
