//! Rooflines, throughput, replicas, energies, phases. Real devices only.

use super::units::three;
use super::view::{Picture, View};
use crate::bench::energy::{INFERENCE, MODEL, STEP};
use crate::energy::accounts::{EFFECTIVE, MEASURED, MEMORY, PAPER};
use crate::num::stats::{Interval, once};
use crate::report::figure::{self, Bar, Bars, Figure, Look, Note, Point, Series, Shape, Swatch, categories};
use crate::run::rows::{BenchEnergyRow, BenchRow, BenchScalingRow};
use std::collections::BTreeMap;

/// Lines of one figure: as many as there are colours.
const MOST_LINES: usize = 10;
/// Sizes that are all written at an axis.
const MOST_TICKS: usize = 8;
/// Groups of bars that stand side by side with their labels.
const MOST_GROUPS: usize = 7;

/// Whether a file is one that this report writes.
pub(super) fn is_ours(file: &str) -> bool {
    let stems = ["roofline-", "throughput-", "replicas.", "energy-", "phases."];
    file.ends_with(".svg") && stems.iter().any(|s| file.starts_with(s))
}

/// The interval of these ends, if they are known.
fn interval(lo: f64, hi: f64) -> Option<Interval> {
    (!lo.is_nan() && !hi.is_nan()).then_some(Interval { lo, hi })
}

/// Every figure, drawn or not, in the order of the page.
pub(super) fn all(view: &View) -> Vec<Picture> {
    let mut out: Vec<Picture> = view.devices.iter().map(|d| roofline(view, d)).collect();
    out.extend(THROUGHPUT.iter().map(|(section, what)| throughput(view, section, what)));
    out.push(replicas(view));
    out.push(energy(view, INFERENCE, "policy", "energy-inference.svg"));
    out.push(energy(view, STEP, "training", "energy-training.svg"));
    out.push(phases(view));
    out
}

/// Names of kernels by what they belong to, for colours.
const FAMILIES: [(&str, &[&str]); 5] = [
    ("dense layers", &["dense", "mlp"]),
    ("spiking layers", &["lif", "spike"]),
    ("LSTM", &["lstm"]),
    (PHYSICS, &["physics"]),
    ("whole rollouts and updates", &["rollout", "update", "training"]),
];
const PHYSICS: &str = "physics";
const OTHERS: &str = "learning, heads, reductions";

fn family(group: &str, tasks: &[&str]) -> &'static str {
    let stem = group.trim_start_matches("network_").split('_').next().unwrap_or(group);
    if tasks.contains(&stem) {
        return PHYSICS;
    }
    FAMILIES.iter().find(|f| f.1.contains(&stem)).map_or(OTHERS, |f| f.0)
}

/// File of a device's roofline.
pub(super) fn roofline_file(device: &str) -> String {
    format!("roofline-{device}.svg")
}

/// What stands in a roofline: of every group the largest benchmark that counts operations and bytes.
pub(super) fn on_roofline<'a>(view: &View<'a>, device: &str) -> Vec<&'a BenchRow> {
    let sections = ["kernel", "physics", "rollout", "update", "training"];
    let all = sections.iter().flat_map(|s| view.largest(device, s));
    all.filter(|r| !r.flops_per_byte.is_nan() && r.flops_per_s > 0.0).collect()
}

fn roofline(view: &View, device: &str) -> Picture {
    const GIGA: f64 = 1e-9;
    let shown = on_roofline(view, device);
    let point = |r: &&BenchRow| Point::new(r.flops_per_byte, GIGA * r.flops_per_s, None);
    let mut series = Vec::new();
    let families = || FAMILIES.iter().map(|f| f.0).chain([OTHERS]);
    let tasks = view.report.tasks;
    for name in families() {
        let mine = shown.iter().filter(|r| family(&r.group, tasks) == name);
        let mut points: Vec<Point> = mine.map(point).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        series.push(Series::new(name, Look::Marks, points));
    }
    let ceiling = Swatch::new("ceiling", (0x00, 0x00, 0x00), Shape::None);
    let palette: Vec<_> = categories(families()).into_iter().chain([ceiling]).collect();
    let mut notes = Vec::new();
    let roof = shown.iter().find(|r| !r.roofline_flops_per_s.is_nan());
    if let Some(r) = roof {
        let (peak, copy) = (GIGA * r.ceiling_flops_per_s, GIGA * r.ceiling_bytes_per_s);
        let ridge = peak / copy;
        let ends =
            shown.iter().map(|r| r.flops_per_byte).fold((ridge, ridge), |(a, b), x| (a.min(x), b.max(x)));
        let (left, right) = (ends.0 / 2.0, ends.1 * 3.0);
        let at = |x: f64| Point::new(x, peak.min(copy * x), None);
        series.push(Series::new("ceiling", Look::Bound, [left, ridge, right].map(at).to_vec()));
        let label = |x: f64, text: String| Note { x, y: at(x).y, text, series: "ceiling".into() };
        notes.push(label(ridge, format!("matrix product {} GFLOP/s", three(peak))));
        notes.push(label((left * ridge).sqrt(), format!("copy {} GB/s", three(copy))));
    }
    // The fastest first: those are read first, and who comes late may find no place.
    let mut named = shown.clone();
    named.sort_by(|a, b| b.flops_per_s.total_cmp(&a.flops_per_s));
    let note = |r: &&BenchRow| Note {
        x: r.flops_per_byte,
        y: GIGA * r.flops_per_s,
        text: r.group.clone(),
        series: family(&r.group, tasks).into(),
    };
    notes.extend(named.iter().map(note));
    Picture {
        file: roofline_file(device),
        caption: format!(
            "Roofline of {}: operations a second against operations per byte, log scales, each benchmark at its largest size. Dashed: what a large \
             copy and a large f32 matrix product reached in the same run. Operations and bytes are those that the work needs, so that what stays \
             in caches may lie above the slope. Names without room are in the table.",
            view.name(device)
        ),
        picture: figure::Picture::Lines(Figure {
            title: format!("Roofline, {}", view.name(device)),
            x_label: "operations per byte (FLOP/B)".into(),
            y_label: "speed (GFLOP/s)".into(),
            log_x: true,
            log_y: true,
            bound_label: "measured ceilings".into(),
            series,
            notes,
            sparse_notes: true,
            ..Figure::with(palette)
        }),
    }
}

/// Sections with a figure of throughput over the batch, and what is counted.
pub(super) const THROUGHPUT: [(&str, &str); 5] = [
    ("physics", "environment steps"),
    ("rollout", "environment steps"),
    ("update", "environment steps"),
    ("training", "environment steps"),
    ("kernel", "inferences"),
];

/// Lines of a section over the batch; of kernels, those of whole networks.
pub(super) fn over_batch<'a>(view: &View<'a>, section: &str) -> Vec<Vec<&'a BenchScalingRow>> {
    let wanted = if section == "kernel" { "inferences" } else { "env_steps" };
    let mut lines: BTreeMap<_, Vec<&BenchScalingRow>> = BTreeMap::new();
    for s in view.report.rows.scaling.iter().filter(|s| s.axis == "B" && s.quantity == wanted) {
        let row = view.real.iter().find(|r| r.device == s.device && r.group == s.group);
        if row.is_some_and(|r| r.section == section && !r.group.starts_with(REPLICAS)) {
            lines.entry((&s.group, &s.device, &s.fixed)).or_default().push(s);
        }
    }
    lines.into_values().collect()
}

/// Name of a line: group without its section, other sizes, device.
pub(super) fn line_name(s: &BenchScalingRow, section: &str) -> String {
    let group = s.group.strip_prefix(section).map_or(s.group.as_str(), |g| g.trim_start_matches('_'));
    let words = [group.replacen('_', " ", 1), s.fixed.clone(), s.device.clone()];
    words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ")
}

pub(super) fn throughput_file(section: &str) -> String {
    format!("throughput-{}.svg", if section == "kernel" { "inference" } else { section })
}

fn throughput(view: &View, section: &str, what: &str) -> Picture {
    let mut lines = over_batch(view, section);
    let all = lines.len();
    // Where there are too many, the fastest are shown.
    let best = |l: &Vec<&BenchScalingRow>| l.iter().map(|s| s.per_s).fold(0.0, f64::max);
    if all > MOST_LINES {
        lines.sort_by(|a, b| best(b).total_cmp(&best(a)));
        lines.truncate(MOST_LINES);
        lines.sort_by_key(|l| line_name(l[0], section));
    }
    let point =
        |s: &&BenchScalingRow| Point::new(f64::from(s.size), s.per_s, interval(s.lo_per_s, s.hi_per_s));
    let line = |l: &Vec<&BenchScalingRow>| {
        Series::new(&line_name(l[0], section), Look::Points, l.iter().map(point).collect())
    };
    let series: Vec<Series> = lines.iter().map(line).collect();
    // A network is benched on rows of observations, whoever they come from.
    let (name, batch, x_label) = match section {
        "kernel" => ("networks", "rows of a batch", "rows M"),
        _ => (section, "environments", "environments B"),
    };
    let left = match all.saturating_sub(MOST_LINES) {
        0 => String::new(),
        n => format!(" The {n} slowest lines are in the table only."),
    };
    Picture {
        file: throughput_file(section),
        caption: format!(
            "Throughput against the number of {batch} ({name}), log scales, medians of wall time with 95 % intervals over samples.{left}"
        ),
        picture: figure::Picture::Lines(Figure {
            title: format!("Throughput against batch: {name}"),
            x_label: x_label.into(),
            y_label: format!("{what} per second"),
            log_x: true,
            log_y: true,
            x_ticks: ticks(lines.iter().flatten().map(|s| s.size)),
            palette: categories(series.iter().map(|s| s.agent.clone())).into(),
            series,
            ..Figure::default()
        }),
    }
}

/// The sizes themselves, if they are few enough for an axis; else none, for round numbers.
fn ticks(sizes: impl Iterator<Item = u32>) -> Vec<f64> {
    let all: std::collections::BTreeSet<u32> = sizes.collect();
    if all.len() <= MOST_TICKS { all.into_iter().map(f64::from).collect() } else { Vec::new() }
}

/// Groups that update many small replicas: in one batch, and one after another.
pub(super) const REPLICAS: &str = "replicas_";
const BATCHED: &str = "replicas_batched";

fn replicas(view: &View) -> Picture {
    let mut lines: BTreeMap<(bool, &str, String), Vec<Point>> = BTreeMap::new();
    let mut sizes = Vec::new();
    for r in view.real.iter().filter(|r| r.group.starts_with(REPLICAS)) {
        let Some(n) = r.replicas else { continue };
        sizes.push(n);
        let fixed = crate::bench::analysis::without(&r.sizes, "R");
        let point = Point::new(f64::from(n), r.wall_s, interval(r.wall_lo_s, r.wall_hi_s));
        lines.entry((r.group != BATCHED, &r.device, fixed)).or_default().push(point);
    }
    let series: Vec<Series> = lines
        .into_iter()
        .map(|((serial, device, fixed), mut points)| {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            let how = if serial { "one after another" } else { "in one batch" };
            let words = [how, &fixed, device].into_iter().filter(|w| !w.is_empty());
            Series::new(&words.collect::<Vec<_>>().join(", "), Look::Points, points)
        })
        .take(MOST_LINES)
        .collect();
    Picture {
        file: "replicas.svg".into(),
        caption: "Time in which all of R small replicas are updated once, in one batch and one after another, log scales, medians of wall time with \
                  95 % intervals over samples."
            .into(),
        picture: figure::Picture::Lines(Figure {
            title: "Updating R replicas".into(),
            x_ticks: ticks(sizes.into_iter()),
            x_label: "replicas R".into(),
            y_label: "time for all of them (s)".into(),
            log_x: true,
            log_y: true,
            palette: categories(series.iter().map(|s| s.agent.clone())).into(),
            series,
            ..Figure::default()
        }),
    }
}

/// Methods and constants with bars of their own.
const SHOWN: [(&str, &str, &str); 5] = [
    (PAPER, "int32", "paper formula\nint32"),
    (PAPER, "fp32", "paper formula\nfp32"),
    (EFFECTIVE, "int32", "effective ops\nint32"),
    (EFFECTIVE, "fp32", "effective ops\nfp32"),
    (MEMORY, "int32", "with memory\nint32"),
];

fn energy(view: &View, unit: &str, work: &str, file: &str) -> Picture {
    let rows = view.report.energy.iter().filter(|r| r.unit == unit && r.work == work);
    let mine: Vec<&BenchEnergyRow> = rows.filter(|r| !r.energy_j.is_nan()).collect();
    let bar = |r: &&BenchEnergyRow| Bar {
        agent: r.agent.clone(),
        y: r.energy_j,
        interval: interval(r.lo_j, r.hi_j),
        seeds: None,
    };
    let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
    for (method, constants, label) in SHOWN {
        let of = mine.iter().filter(|r| r.device == MODEL && r.method == method && r.constants == constants);
        groups.push((label.into(), of.map(bar).collect()));
    }
    for device in &view.devices {
        let of = mine.iter().filter(|r| r.method == MEASURED && r.device == *device);
        groups.push((format!("measured\n{device}"), of.map(bar).collect()));
    }
    groups.retain(|g| !g.1.is_empty());
    groups.truncate(MOST_GROUPS);
    let palette = once(view.report.energy.iter().map(|r| r.agent.clone()));
    let what = if unit == INFERENCE { "inference" } else { "environment step in training" };
    Picture {
        file: file.into(),
        caption: format!(
            "Energy per {what} by method, log scale. The first methods are models of 45 nm CMOS and say nothing of the devices here; bars of two \
             methods do not compare. Measured: the device's own counter, idle power subtracted, 95 % intervals over windows."
        ),
        picture: figure::Picture::Bars(Bars {
            title: format!("Energy per {what}, by method"),
            y_label: "energy (J)".into(),
            log_y: true,
            groups,
            ..Bars::with(categories(palette))
        }),
    }
}

/// The usual order of phases.
const PHASES: [&str; 4] = ["rollout", "gae", "update", "readback"];

fn phases(view: &View) -> Picture {
    type Key<'a> = (&'a str, &'a str, &'a str);
    let mut updates: BTreeMap<Key, BTreeMap<&str, Vec<&crate::run::rows::BenchPhaseRow>>> = BTreeMap::new();
    for p in view.report.rows.phases.iter().filter(|p| view.is_real(&p.device)) {
        let update = updates.entry((&p.device, &p.task, &p.policy)).or_default();
        update.entry(&p.sizes).or_default().push(p);
    }
    let mut palette: Vec<String> = PHASES.map(String::from).to_vec();
    let mut groups = Vec::new();
    for ((device, task, policy), sizes) in updates {
        let seconds = |p: &Vec<&crate::run::rows::BenchPhaseRow>| p.iter().map(|p| p.wall_s).sum::<f64>();
        let Some((sizes, parts)) = sizes.into_iter().max_by(|a, b| seconds(&a.1).total_cmp(&seconds(&b.1)))
        else {
            continue;
        };
        for p in &parts {
            if !palette.contains(&p.phase) {
                palette.push(p.phase.clone());
            }
        }
        let bars =
            parts.iter().map(|p| Bar { agent: p.phase.clone(), y: p.share, interval: None, seeds: None });
        let who = [task, policy].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        let mut bars: Vec<Bar> = bars.collect();
        bars.sort_by_key(|b| palette.iter().position(|p| *p == b.agent));
        groups.push((format!("{who}\n{device}\n{sizes}"), bars));
    }
    groups.truncate(MOST_GROUPS);
    Picture {
        file: "phases.svg".into(),
        caption: "Shares of the phases of one training update, of their sum, each agent at its largest size."
            .into(),
        picture: figure::Picture::Bars(Bars {
            title: "Where the time of an update goes".into(),
            y_label: "share of an update".into(),
            groups,
            palette: categories(palette).into(),
            percent: true,
            ..Bars::default()
        }),
    }
}
