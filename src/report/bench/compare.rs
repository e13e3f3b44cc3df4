//! Two folders of results against each other.

use super::units::{si, three, time};
use super::{BENCHMARKS, SAMPLES, SOFTWARE_TITLE};
use crate::bench::compare::{Comparison, NOISE, Pair, Place, Set, Verdict};
use crate::num::stats::{Interval, RESAMPLES};
use crate::report::figure::{Dot, Dots};
use crate::report::frames;
use crate::report::words::{code, write_table};
use crate::report::{ReportError, page, write_whole};
use crate::run::rows::Manifest;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Reads the benchmarks and their samples from a folder that `isacbench bench` has written, and its manifest if it is
/// there.
///
/// # Errors
/// [`ReportError`] that names the file: missing, damaged, or with a benchmark whose samples are not there.
pub fn read_set(dir: &Path) -> Result<(Set, Option<Manifest>), ReportError> {
    let (rows, samples) = (frames::read(&dir.join(BENCHMARKS), &())?, frames::read(&dir.join(SAMPLES), &())?);
    let manifest = std::fs::read(dir.join("manifest.json")).ok();
    Ok((Set { rows, samples }, manifest.and_then(|text| serde_json::from_slice(&text).ok())))
}

/// Dots of the figure: the largest differences.
const MOST_DOTS: usize = 40;

/// The comparison as Markdown.
pub fn markdown(names: [&str; 2], manifests: [Option<&Manifest>; 2], c: &Comparison) -> String {
    let mut out = String::from("# Comparison of two sets of benchmarks\n\n");
    let about = |name: &str, m: Option<&Manifest>| {
        let or = |x: Option<String>| x.unwrap_or_else(|| "-".into());
        let revision = m.and_then(|m| {
            let dirty = if m.git_dirty == Some(true) { ", with local changes" } else { "" };
            m.git_revision.as_ref().map(|r| format!("{}{dirty}", r.get(..12).unwrap_or(r)))
        });
        vec![
            code(name),
            or(m.map(|m| m.device.clone())),
            or(revision),
            or(m.and_then(|m| m.started_utc.clone())),
        ]
    };
    let header = " | folder | devices | revision | reported (UTC)";
    write_table(&mut out, header, 5, [("A", 0), ("B", 1)], |(letter, i)| {
        [vec![letter.to_string()], about(names[i], manifests[i])].concat()
    });
    let real = || c.pairs.iter().filter(|p| !p.software);
    let count = |v: Verdict| real().filter(|p| p.verdict == v).count();
    let _ = writeln!(
        out,
        "Of {} benchmarks in both, B is faster in {}, slower in {} and not distinguishable in {}. Only in A: {}; only in B: {}; not comparable: {}.\n",
        real().count(),
        count(Verdict::Faster),
        count(Verdict::Slower),
        count(Verdict::NotDistinguishable),
        c.only_a.len(),
        c.only_b.len(),
        c.unlike.len(),
    );
    if real().next().is_some() {
        let _ = writeln!(
            out,
            "Ratio: speed of B over that of A, with the 95 % bootstrap interval of the ratio of medians ({RESAMPLES} resamples of criterion's samples). \
             A difference counts if the whole interval lies more than {} % from 1. Intervals hold for these two runs; runs of one binary \
             differ too.\n",
            100.0 * NOISE
        );
        if c.pairs.iter().any(|p| p.device_a != p.device_b) {
            out.push_str("Some pairs are of two devices: both are named.\n\n");
        }
        out.push_str("![Speed of B over that of A, log scale, with 95 % intervals; the benchmarks that differ most. Right of 1, B is faster.](compare.svg)\n\n");
        pairs(&mut out, real());
    }
    let software = c.pairs.iter().filter(|p| p.software).count();
    if software > 0 {
        let _ = writeln!(
            out,
            "## {SOFTWARE_TITLE}\n\n{software} benchmarks in both sets, whose times are not compared.\n"
        );
    }
    for (title, places) in [("Only in A", &c.only_a), ("Only in B", &c.only_b)] {
        missing(&mut out, title, places);
    }
    if !c.unlike.is_empty() {
        out.push_str("## Not comparable\n\n");
        for (p, why) in &c.unlike {
            let _ = writeln!(out, "- `{}/{}/{}`: {why}", p.group, p.device, p.sizes);
        }
        out.push('\n');
    }
    out
}

fn devices(p: &Pair) -> String {
    if p.device_a == p.device_b {
        code(&p.device_a)
    } else {
        format!("{} → {}", code(&p.device_a), code(&p.device_b))
    }
}

fn interval(p: &Pair) -> String {
    p.interval.map_or("one sample: none".into(), |i| format!("{} to {}", three(i.lo), three(i.hi)))
}

fn pairs<'a>(out: &mut String, pairs: impl Iterator<Item = &'a Pair>) {
    let speed = |p: &Pair, per_s: f64| match p.quantity {
        "iterations" => time(1.0 / per_s),
        "env_steps" => format!("{} steps/s", si(per_s)),
        _ => format!("{} inf./s", si(per_s)),
    };
    let header = "group | sizes | device | clock | A | B | ratio | 95 % interval | B is";
    write_table(out, header, 4, pairs, |p| {
        vec![
            p.group.clone(),
            p.sizes.clone(),
            devices(p),
            p.clock.into(),
            speed(p, p.a_per_s),
            speed(p, p.b_per_s),
            format!("{}×", three(p.ratio)),
            interval(p),
            p.verdict.to_string(),
        ]
    });
}

fn missing(out: &mut String, title: &str, places: &[Place]) {
    if places.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {title}\n");
    for p in places {
        let _ = writeln!(out, "- `{}/{}/{}`", p.group, p.device, p.sizes);
    }
    out.push('\n');
}

/// The largest differences as dots; `None` without a pair of real devices.
fn figure(c: &Comparison) -> Result<Option<String>, ReportError> {
    let mut shown: Vec<&Pair> = c.pairs.iter().filter(|p| !p.software).collect();
    let all = shown.len();
    shown.sort_by(|a, b| b.ratio.ln().abs().total_cmp(&a.ratio.ln().abs()));
    shown.truncate(MOST_DOTS);
    shown.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    let dot = |p: &&Pair| Dot {
        label: format!(
            "{} {}{}",
            p.group,
            p.sizes,
            if p.device_a == "cpu" { String::new() } else { format!(", {}", p.device_a) }
        ),
        x: p.ratio,
        interval: p.interval.unwrap_or(Interval { lo: p.ratio, hi: p.ratio }),
        strong: p.verdict != Verdict::NotDistinguishable,
    };
    let title = match all > MOST_DOTS {
        true => format!("Speed of B over that of A ({MOST_DOTS} largest differences of {all})"),
        false => "Speed of B over that of A".to_string(),
    };
    Dots {
        title,
        x_label: "ratio, right of 1: B is faster".into(),
        at: 1.0,
        dots: shown.iter().map(dot).collect(),
    }
    .svg()
}

/// Writes `compare.md`, `compare.svg` and `compare.html` to `dir`, and gives the page's paths.
///
/// # Errors
/// [`ReportError`] if plotters or the file system fails.
pub fn write_comparison(dir: &Path, text: &str, c: &Comparison) -> Result<[PathBuf; 2], ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Io { path: dir.to_path_buf(), source })?;
    let svg = figure(c)?;
    if let Some(svg) = &svg {
        write_whole(&dir.join("compare.svg"), svg.as_bytes())?;
    }
    let (markdown, html) = (dir.join("compare.md"), dir.join("compare.html"));
    write_whole(&markdown, text.as_bytes())?;
    let page = page::html(text, "Comparison", |file| svg.clone().filter(|_| file == "compare.svg"));
    write_whole(&html, page.as_bytes())?;
    Ok([markdown, html])
}
