//! Estimates over seeds, and how they are put into words and tables.

use super::figure::Point;
use super::opening::fold;
use crate::config::Layered;
use crate::num::stats::{self, Bootstrap, Interval};
use crate::run::rows::Manifest;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

pub(crate) const BOOTSTRAP_SEED: u32 = 0;

/// A mean over seeds with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) interval: Option<Interval>,
    pub(crate) seeds: usize,
}

impl Estimate {
    /// For an increasing `f`: the square root that turns a mean square into an RMSE.
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        Estimate { mean: f(self.mean), interval: self.interval.map(|i| i.map(&f)), seeds: self.seeds }
    }

    /// For a decreasing `f`, which swaps the ends of the interval.
    pub(crate) fn map_down(self, f: impl Fn(f64) -> f64) -> Estimate {
        let interval = self.interval.map(|i| Interval { lo: f(i.hi), hi: f(i.lo) });
        Estimate { mean: f(self.mean), interval, seeds: self.seeds }
    }

    /// Ends of the interval; of a single seed its value.
    pub(crate) fn ends(&self) -> (f64, f64) {
        self.interval.map_or((self.mean, self.mean), |i| (i.lo, i.hi))
    }

    pub(crate) fn interval_text(&self) -> String {
        match (self.interval, self.seeds) {
            (Some(i), _) => format!("{} to {}", num(i.lo), num(i.hi)),
            (None, 1) => "one seed: no interval".to_string(),
            (None, _) => "not finite: no interval".to_string(),
        }
    }

    /// The interval of an energy, in units that leave few digits.
    pub(crate) fn joules_text(&self) -> String {
        self.interval
            .map_or("one seed: no interval".into(), |i| format!("{} to {}", joules(i.lo), joules(i.hi)))
    }

    /// For a cell or a sentence that has no room for words.
    pub(crate) fn short(&self) -> String {
        match self.interval {
            Some(i) => format!("{} ({} to {})", num(self.mean), num(i.lo), num(i.hi)),
            None => num(self.mean),
        }
    }

    /// As [`Estimate::short`], without an interval that has no width.
    pub(crate) fn brief(&self) -> String {
        if self.interval.is_some_and(|i| i.lo == i.hi) { num(self.mean) } else { self.short() }
    }

    pub(crate) fn point(&self, x: f64) -> Point {
        Point::new(x, self.mean, self.interval).of(self.seeds)
    }
}

/// How two estimates stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Above,
    Below,
    /// The intervals overlap.
    Level,
}

pub(crate) fn order(a: &Estimate, b: &Estimate) -> Order {
    let ((a_lo, a_hi), (b_lo, b_hi)) = (a.ends(), b.ends());
    if a_lo > b_hi {
        Order::Above
    } else if a_hi < b_lo {
        Order::Below
    } else {
        Order::Level
    }
}

/// The power of ten of the first digit of `x` as it is written with so many digits behind that one.
fn written_power(x: f64, digits: usize) -> i32 {
    let text = format!("{x:.digits$e}");
    text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0)
}

/// Four significant digits; `-` for what is missing.
pub(crate) fn num(x: f64) -> String {
    if x.is_nan() {
        return "-".to_string();
    }
    if x == 0.0 || x.is_infinite() {
        return format!("{x}");
    }
    // Of what is written, so that 0.99997 is 1.000 as 1 is.
    let power = written_power(x, 3);
    if !(-3..7).contains(&power) {
        return format!("{x:.2e}");
    }
    format!("{x:.*}", (3 - power).max(0) as usize)
}

/// Two significant digits, for differences that are small beside what they are of.
pub(crate) fn rounded(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return num(x);
    }
    let power = written_power(x, 1);
    if power < -4 { format!("{x:.1e}") } else { format!("{x:.*}", (1 - power).max(0) as usize) }
}

/// A ratio; a power of ten where it is so small or large that its digits say nothing.
pub(crate) fn times(x: f64) -> String {
    if !x.is_finite() {
        return "-".to_string();
    }
    if x != 0.0 && !(1e-3..1e4).contains(&x.abs()) {
        let text = format!("{x:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{digits}·10{}×", raised(power.parse().unwrap_or(0)));
    }
    format!("{}×", num((x * 1e4).round() / 1e4))
}

/// A power as small digits above the line.
pub(crate) fn raised(power: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
    };
    power.to_string().chars().map(digit).collect()
}

/// Units at the ends of names, the longer ones first, and how they are written.
const UNITS: [(&str, &str); 17] = [
    ("_j_per_slot", "J per slot"),
    ("_bps_hz", "bps/Hz"),
    ("_percent", "%"),
    ("_rad2", "rad²"),
    ("_slots", "slots"),
    ("_m_s", "m/s"),
    ("_dbm", "dBm"),
    ("_deg", "°"),
    ("_rad", "rad"),
    ("_db", "dB"),
    ("_m2", "m²"),
    ("_hz", "Hz"),
    ("_pj", "pJ"),
    ("_j", "J"),
    ("_m", "m"),
    ("_s", "s"),
    ("_w", "W"),
];
/// Words of names that are written otherwise.
const SPELT: [(&str, &str); 9] = [
    ("sum rate", "mean sum-rate"),
    ("net rate", "net rate"),
    ("p max", "P_max"),
    ("snr", "SNR"),
    ("rmse", "RMSE"),
    ("mse", "mean square error"),
    ("mae", "mean absolute error"),
    ("crlb", "CRLB"),
    ("t proc", "T_proc"),
];

/// A value of a key with the key's words: `P_max 40 dBm`.
pub(crate) fn value_of(name: &str, value: f64) -> String {
    let whole = axis(name);
    match whole.strip_suffix(')').and_then(|w| w.rsplit_once(" (")) {
        Some((words, unit)) => format!("{words} {value} {unit}"),
        None => format!("{whole} {value}"),
    }
}

/// What an axis says of a metric or a key, from its name, which has its unit at the end: `mean sum-rate (bps/Hz)`.
pub(crate) fn axis(name: &str) -> String {
    let (train, plain) = name.strip_prefix("train_").map_or(("", name), |rest| (" in training", rest));
    let plain = plain.strip_prefix("task.").unwrap_or(plain);
    // Keys of other sections are what one types.
    if plain.contains('.') {
        return plain.to_string();
    }
    let (stem, unit) = UNITS
        .iter()
        .find_map(|(end, unit)| Some((plain.strip_suffix(end).filter(|s| !s.is_empty())?, *unit)))
        .unwrap_or((plain, ""));
    let mut words = stem.replace('_', " ");
    for (plain, spelt) in SPELT {
        let whole = format!(" {words} ").replace(&format!(" {plain} "), &format!(" {spelt} "));
        words = whole.trim().to_string();
    }
    match unit {
        "" => format!("{words}{train}"),
        unit => format!("{words}{train} ({unit})"),
    }
}

pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

pub(crate) fn code(agent: &str) -> String {
    format!("`{agent}`")
}

/// Text as a table cell.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A Markdown table with its columns' names between bars; the first `text_columns` are aligned left, the others right.
pub(crate) fn table(header: &str, text_columns: usize, rows: &[Vec<String>]) -> String {
    let mut out = format!("| {header} |\n|");
    for i in 0..header.split(" | ").count() {
        out.push_str(if i < text_columns { "---|" } else { "--:|" });
    }
    out.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| cell(c)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
    out
}

/// The rows of a table, one for each item that `row` gives one for.
pub(crate) fn rows_of<T, R: Into<Option<Vec<String>>>>(
    items: impl IntoIterator<Item = T>,
    row: impl FnMut(T) -> R,
) -> Vec<Vec<String>> {
    items.into_iter().map(row).filter_map(Into::into).collect()
}

/// Writes the [`table`] of [`rows_of`] these items.
pub(crate) fn write_table<T, R: Into<Option<Vec<String>>>>(
    out: &mut String,
    header: &str,
    text_columns: usize,
    items: impl IntoIterator<Item = T>,
    row: impl FnMut(T) -> R,
) {
    out.push_str(&table(header, text_columns, &rows_of(items, row)));
}

/// The header of a table with a column for each of `values`.
pub(crate) fn header_over(first: &str, values: &[f64], unit: &str) -> String {
    values.iter().fold(first.to_string(), |header, v| format!("{header} | {v} {unit}"))
}

/// "is" or "are".
pub(crate) fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// So many of something, as `one seed` and `5 seeds`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("one {what}"),
        n => format!("{n} {what}s"),
    }
}

/// How many seeds there are, in words.
pub(crate) fn seeds_words(most: Option<usize>) -> String {
    match most {
        None => "no evaluated seed".to_string(),
        Some(1) => "one seed".to_string(),
        Some(n) => format!("up to {n} seeds"),
    }
}

/// What to say of intervals over so few seeds.
pub(crate) fn few_seeds(estimates: impl Iterator<Item = Estimate>) -> String {
    match estimates.map(|e| e.seeds).filter(|n| *n > 1).min() {
        Some(n) if n < 5 => format!(" With {n} seeds such an interval is too narrow; take it as a hint."),
        _ => String::new(),
    }
}

/// The finite ones in ascending order, each once.
pub(crate) fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|x| x.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Means per seed of (seed, value), in the order of the seeds.
pub(crate) fn seed_means(values: impl Iterator<Item = (u32, f64)>) -> BTreeMap<u32, f64> {
    let mut lists: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (seed, value) in values {
        lists.entry(seed).or_default().push(value);
    }
    lists.into_iter().map(|(seed, list)| (seed, stats::mean(&list))).collect()
}

/// A list of numbers, or `-`.
pub(crate) fn numbers(values: &[f64]) -> String {
    let all: Vec<String> = values.iter().map(f64::to_string).collect();
    if all.is_empty() { "-".into() } else { all.join(", ") }
}

/// Resamples by number of seeds: each is drawn once, so all quantities of a run see the same ones.
#[derive(Default)]
pub(crate) struct Resamples(Mutex<HashMap<usize, Option<Arc<Bootstrap>>>>);

impl Resamples {
    pub(crate) fn estimate(&self, values: &[f64]) -> Estimate {
        let bootstrap = {
            let mut drawn = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let n = values.len();
            drawn.entry(n).or_insert_with(|| Bootstrap::new(n, BOOTSTRAP_SEED).map(Arc::new)).clone()
        };
        let interval = bootstrap.and_then(|b| b.mean_interval(values));
        Estimate { mean: stats::mean(values), interval, seeds: values.len() }
    }
}

/// What a paper is cited as in a sentence, from its BibTeX: `Chen Shang, Jiadong Yu: Title, 2025, arXiv:2501.01038`;
/// `None` of text without author and title.
pub(crate) fn cited(bibtex: &str) -> Option<String> {
    let field = |name: &str| {
        let line = bibtex.lines().find(|l| l.trim_start().starts_with(&format!("{name} =")))?;
        let value = line.split_once('=')?.1.trim().trim_end_matches(',');
        Some(value.replace(['{', '}'], ""))
    };
    let person = |name: &str| match name.split_once(", ") {
        Some((last, first)) => format!("{first} {last}"),
        None => name.to_string(),
    };
    let authors: Vec<String> = field("author")?.split(" and ").map(person).collect();
    let year = field("year").map_or(String::new(), |y| format!(", {y}"));
    let archive = field("eprint").map_or(String::new(), |e| format!(", arXiv:{e}"));
    Some(format!("{}: *{}*{year}{archive}", authors.join(", "), field("title")?))
}

/// Says of which paper a page speaks, if it is of one.
pub(crate) fn write_cited(out: &mut String, bibtex: &str) {
    if let Some(paper) = cited(bibtex) {
        let _ = writeln!(out, "The paper: {paper}.\n");
    }
}

/// The last section of a page: where its rows come from, after what `scope` says of it.
pub(crate) fn write_manifest(out: &mut String, scope: &str, m: &Manifest) {
    let _ = write!(out, "## The run\n\n{scope}");
    let or_dash = |x: &Option<String>| x.clone().unwrap_or_else(|| "-".into());
    let seeds: Vec<String> = m.seeds.iter().map(u32::to_string).collect();
    let revision = match (&m.git_revision, m.git_dirty) {
        (Some(r), Some(true)) => format!("{r}, with local changes"),
        (Some(r), Some(false)) => r.clone(),
        (Some(r), None) => format!("{r}, local changes unknown"),
        (None, _) => "-".to_string(),
    };
    let mut rows: Vec<Vec<String>> = [
        ("command", format!("`{}`", m.command)),
        ("task", m.task.clone()),
        ("agents", m.agents.join(", ")),
        ("seeds", seeds.join(", ")),
        ("device", m.device.clone()),
        ("driver", or_dash(&m.driver)),
        ("backend", m.backend.clone()),
        ("revision", revision),
        ("crate version", m.crate_version.clone()),
        ("system", m.os.clone()),
        ("CPU", or_dash(&m.cpu_model)),
        ("CPU cores", m.cpu_cores.map_or("-".into(), |n| n.to_string())),
        ("vector instructions", m.simd.clone()),
        ("started (UTC)", or_dash(&m.started_utc)),
        ("wall time (s)", m.wall_s.map_or("-".into(), |s| format!("{s:.1}"))),
    ]
    .map(|(name, value)| vec![name.to_string(), value])
    .to_vec();
    // One that ran through is described already.
    if m.parts.len() > 1 {
        rows.extend(m.parts.iter().enumerate().map(|(i, p)| {
            let seconds = p.wall_s.map_or("-".into(), |s| format!("{s:.1} s"));
            let or_unknown = |n: Option<u64>| n.map_or("?".into(), |n| n.to_string());
            let (from, to) = (or_unknown(p.updates_from), or_unknown(p.updates_to));
            let began = or_dash(&p.started_utc);
            vec![
                format!("part {}", i + 1),
                format!("{began}, {seconds}, {}, updates {from} to {to}", p.device),
            ]
        }));
    }
    out.push_str(&table(" | ", 2, &rows));
    // The fence is longer than any run of backticks in the text, so the text cannot end it.
    let longest = m.config.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    fold(out, "Configuration", &format!("{fence}toml\n{}\n{fence}", m.config.trim_end()));
}

/// Joules in a unit that leaves few digits.
pub(crate) fn joules(x: f64) -> String {
    let units = [(1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"), (1e-12, "pJ")];
    let (unit, name) = units.into_iter().find(|(u, _)| x.abs() >= 0.9995 * u).unwrap_or((1e-12, "pJ"));
    format!("{} {name}", num(x / unit))
}

/// Updates of a run and of its preset.
pub(crate) fn updates_of<C: Layered>(config: &str) -> Option<(u32, u32)> {
    let updates =
        |config: &toml::Table| u32::try_from(config.get("train")?.get("updates")?.as_integer()?).ok();
    let config: toml::Table = config.parse().ok()?;
    let preset = config.get("preset")?.as_str()?;
    let whole: toml::Table = C::PRESETS.iter().find(|p| p.0 == preset)?.1.parse().ok()?;
    Some((updates(&config)?, updates(&whole)?))
}

/// What to bear in mind where learned agents were trained for fewer updates than the preset of `C` has.
pub(crate) fn trained_less<C: Layered>(manifest: &Manifest) -> Option<String> {
    let (here, whole) = updates_of::<C>(&manifest.config)?;
    let config: toml::Table = manifest.config.parse().ok()?;
    let preset = config.get("preset")?.as_str()?;
    (here < whole).then(|| {
        format!(
            "Learned agents were trained for {here} updates, not the {whole} of preset `{preset}`: what is said of them here holds for agents \
             trained that long."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_never_zero_or_a_row_of_digits() {
        let texts = [5e-6, 2_718_118.0, 0.0, 2.166, 0.0386, 9999.0, f64::NAN].map(times);
        assert_eq!(texts, ["5.00·10⁻⁶×", "2.72·10⁶×", "0×", "2.166×", "0.03860×", "9999×", "-"]);
    }

    #[test]
    fn digits_are_those_of_what_is_written() {
        let four = [0.99997, 1.0, 0.9999, 99.9996, 12.345, -0.07216, 9.9996e6, 4.321e-4, 0.0].map(num);
        assert_eq!(
            four,
            ["1.000", "1.000", "0.9999", "100.0", "12.35", "-0.07216", "1.00e7", "4.32e-4", "0"]
        );
        let two = [0.0999, 0.0996, 12.3, 0.22].map(rounded);
        assert_eq!(two, ["0.10", "0.10", "12", "0.22"]);
    }

    #[test]
    fn axes_say_words_and_units() {
        for (name, text) in [
            ("sum_rate_bps_hz", "mean sum-rate (bps/Hz)"),
            ("task.p_max_dbm", "P_max (dBm)"),
            ("snr_db", "SNR (dB)"),
            ("energy_paper_fp32_j_per_slot", "energy paper fp32 (J per slot)"),
            ("train_reward", "reward in training"),
            ("ppo.lr_actor", "ppo.lr_actor"),
            ("angle_mse_rad2", "angle mean square error (rad²)"),
            ("jain", "jain"),
        ] {
            assert_eq!(axis(name), text);
        }
    }

    #[test]
    fn a_paper_is_cited_by_its_bibtex() {
        let bib = "@misc{x,\n  title = {Energy of {ISAC}},\n  author = {Shang, Chen and Yu, Jiadong},\n  year = {2025},\n  \
                   eprint = {2501.01038}\n}";
        assert_eq!(cited(bib).unwrap(), "Chen Shang, Jiadong Yu: *Energy of ISAC*, 2025, arXiv:2501.01038");
        assert_eq!(cited(""), None);
    }
}
