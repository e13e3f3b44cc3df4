//! Tables and sentences of the report, chosen from the numbers.

use super::figures::{self, REPLICAS};
use super::units::{si, three, time};
use super::view::{Picture, SOFTWARE_TITLE, View};
use crate::bench::analysis::{SAME_RUN, without};
use crate::bench::compare::NOISE;
use crate::bench::energy::{INFERENCE, MODEL, STEP};
use crate::energy::accounts::{EFFECTIVE, MEASURED, MEMORY, PAPER};
use crate::energy::meters::{AGREES, MIN_WINDOW_S, REPEATS};
use crate::num::stats::{RESAMPLES, once};
use crate::report::opening::{Number, write_opening};
use crate::report::words::{code, joules, rows_of, table, write_manifest, write_table};
use crate::run::rows::{BenchEnergyRow, BenchRow};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A median with the ends of its interval, all in the unit of the median.
fn time_with(s: f64, lo: f64, hi: f64) -> String {
    if lo.is_nan() || hi.is_nan() {
        return format!("{} (one sample)", time(s));
    }
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    let (unit, name) = units.into_iter().find(|(u, _)| s >= 0.9995 * u).unwrap_or((1e-9, "ns"));
    format!("{} ({} to {}) {name}", three(s / unit), three(lo / unit), three(hi / unit))
}

/// The time of a benchmark by its own clock.
fn time_of(r: &BenchRow) -> String {
    match r.clock.as_str() {
        "device" => time_with(r.device_s, r.device_lo_s, r.device_hi_s),
        _ => time_with(r.wall_s, r.wall_lo_s, r.wall_hi_s),
    }
}

pub(super) fn percent(share: f64) -> String {
    match share {
        x if x.is_nan() => "-".into(),
        x if x > 0.0 && x < 0.001 => "<0.1 %".into(),
        x if x < 0.0995 => format!("{:.1} %", 100.0 * x),
        x => format!("{:.0} %", 100.0 * x),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

/// The whole page. `drawn` tells which figures there are.
pub(super) fn summary(view: &View, drawn: &dyn Fn(&str) -> bool, pictures: &[Picture]) -> String {
    let mut out = String::new();
    let (answer, numbers) = answer(view);
    write_opening(&mut out, "Performance", &answer, &numbers);
    let show = |out: &mut String, file: &str| {
        if let Some(p) = pictures.iter().find(|p| p.file == file && drawn(file)) {
            let _ = writeln!(out, "![{}]({})\n", p.caption, p.file);
        }
    };
    throughput(&mut out, view, &show);
    kernels(&mut out, view, &show);
    replicas(&mut out, view, &show);
    phases(&mut out, view, &show);
    energy(&mut out, view, &show);
    out.push_str("## What was measured\n\n");
    devices(&mut out, view);
    ceilings(&mut out, view);
    software(&mut out, view);
    left_out(&mut out, view);
    method(&mut out);
    write_manifest(&mut out, "", view.report.manifest);
    out
}

/// The page in one sentence, with its numbers: the fastest rollout and training, and what the device can reach.
fn answer(view: &View) -> (String, Vec<Number>) {
    let all = || view.devices.iter().flat_map(|d| view.real.iter().filter(move |r| r.device == *d));
    let best = |section: &str| {
        let mine = all().filter(|r| r.section == section && !r.group.starts_with(REPLICAS));
        let steps = mine.filter(|r| !r.env_steps_per_s.is_nan());
        steps.max_by(|a, b| a.env_steps_per_s.total_cmp(&b.env_steps_per_s))
    };
    let mut numbers = Vec::new();
    for (section, words) in [("rollout", "in rollouts"), ("training", "in training")] {
        if let Some(r) = best(section) {
            let who: Vec<&str> = [r.task.as_str(), &r.policy].into_iter().filter(|w| !w.is_empty()).collect();
            let what = format!("{words} ({}, {} on {})", who.join(" "), r.sizes, code(&r.device));
            numbers.push(Number::new(format!("{} steps/s", si(r.env_steps_per_s)), what));
        }
    }
    let reached = |of: &dyn Fn(&BenchRow) -> f64| {
        let values = view.devices.iter().flat_map(|d| view.section(d, "ceiling")).map(|r| of(r));
        values.filter(|x| !x.is_nan()).max_by(f64::total_cmp)
    };
    if let Some(peak) = reached(&|r| r.flops_per_s) {
        let what = "a large matrix product reached on the fastest device here";
        numbers.push(Number::new(format!("{}FLOP/s", spaced(&si(peak))), what));
    }
    let answer = match best("rollout").or(best("physics")).or(best("training")) {
        Some(r) => format!(
            "{} takes {} environment steps a second at most, with `{}` of task {}.",
            view.name(&r.device),
            si(r.env_steps_per_s).trim(),
            if r.policy.is_empty() { &r.group } else { &r.policy },
            r.task
        ),
        None if view.real.is_empty() => {
            "No device was timed: software adapters only show that the kernels run.".into()
        }
        None => format!("{} benchmarks of kernels, none of environment steps.", view.real.len()),
    };
    (answer, numbers)
}

fn devices(out: &mut String, view: &View) {
    let (real, software) = (view.real.len(), view.software.len());
    let checked = view.report.rows.benchmarks.iter().filter(|r| !r.check.is_empty()).count();
    let _ = writeln!(
        out,
        "{real} benchmarks of {} and {software} of software adapters, which stand apart at the end. {checked} of them were timed after their results \
         had been compared with the reference (column `check` of the rows); the others have nothing to compare.\n",
        match view.devices.len() {
            0 => "no device".to_string(),
            1 => "one device".to_string(),
            n => format!("{n} devices"),
        },
    );
    let rows = rows_of(&view.devices, |device| {
        let r = view.real.iter().find(|r| r.device == *device)?;
        let threads = r.threads.map_or("-".into(), |n| n.to_string());
        let first = view.section(device, "ceiling").count();
        let benchmarks = view.real.iter().filter(|x| x.device == *device).count() - first;
        Some(vec![
            code(device),
            r.device_name.clone(),
            r.device_kind.clone(),
            or_dash(&r.driver),
            threads,
            benchmarks.to_string(),
        ])
    });
    if !rows.is_empty() {
        out.push_str(&table("device | name | kind | driver | threads | benchmarks", 4, &rows));
    }
}

fn ceilings(out: &mut String, view: &View) {
    out.push_str("### What the devices can reach\n\n");
    let mut rows = Vec::new();
    for device in &view.devices {
        for r in view.section(device, "ceiling") {
            // Of a matrix product the bytes are beside the point.
            let (speed, unit) =
                if r.flops_per_s.is_nan() { (r.bytes_per_s, "B/s") } else { (r.flops_per_s, "FLOP/s") };
            rows.push(vec![
                code(device),
                r.group.clone(),
                r.sizes.clone(),
                r.clock.clone(),
                time_of(r),
                format!("{}{unit}", spaced(&si(speed))),
            ]);
        }
    }
    if rows.is_empty() {
        out.push_str("No ceiling was measured in this run, so that no share of one is given.\n\n");
        return;
    }
    out.push_str("A large copy (read and write counted) and a large f32 matrix product, in the same run. The highest of each counts.\n\n");
    out.push_str(&table("device | ceiling | sizes | clock | time | reached", 4, &rows));
}

/// A space before the unit where the number has no prefix.
fn spaced(rate: &str) -> String {
    if rate.ends_with(|c: char| c.is_ascii_digit()) { format!("{rate} ") } else { rate.into() }
}

fn throughput(out: &mut String, view: &View, show: &dyn Fn(&mut String, &str)) {
    out.push_str("## Throughput\n\n");
    let mut rows = Vec::new();
    for (section, _) in figures::THROUGHPUT.iter().filter(|s| s.0 != "kernel") {
        for device in &view.devices {
            let mut best: Vec<&&BenchRow> = Vec::new();
            let mine = view.section(device, section).filter(|r| !r.group.starts_with(REPLICAS));
            for r in mine.filter(|r| !r.env_steps_per_s.is_nan()) {
                match best.iter_mut().find(|b| b.group == r.group) {
                    Some(b) if r.env_steps_per_s > b.env_steps_per_s => *b = r,
                    Some(_) => {}
                    None => best.push(r),
                }
            }
            for r in best {
                rows.push(vec![
                    section.to_string(),
                    or_dash(&r.task),
                    or_dash(&r.policy),
                    code(device),
                    r.sizes.clone(),
                    time_with(r.wall_s, r.wall_lo_s, r.wall_hi_s),
                    si(r.env_steps_per_s),
                    si(r.inferences_per_s),
                    si(r.flops_per_s),
                    percent(r.compute_share),
                ]);
            }
        }
    }
    for (section, _) in figures::THROUGHPUT {
        show(out, &figures::throughput_file(section));
    }
    if rows.is_empty() {
        out.push_str("No benchmark of environment steps in this run.\n\n");
    } else {
        out.push_str("Each at the size with the most environment steps per second, by wall time.\n\n");
        let header = "what | task | policy | device | sizes | time of an iteration | steps/s | inferences/s | \
             FLOP/s | of compute ceiling";
        out.push_str(&table(header, 5, &rows));
    }
    let mut rows = Vec::new();
    for (section, _) in figures::THROUGHPUT {
        for line in figures::over_batch(view, section) {
            for s in line {
                rows.push(vec![
                    s.group.clone(),
                    or_dash(&s.fixed),
                    code(&s.device),
                    s.size.to_string(),
                    si(s.per_s),
                    format!("{} to {}", si(s.lo_per_s), si(s.hi_per_s)),
                    format!("{}×", three(s.gain)),
                    percent(s.efficiency),
                ]);
            }
        }
    }
    if !rows.is_empty() {
        out.push_str(
            "### Scaling over the batch\n\nGain: over the smallest B. Efficiency: gain over the ratio of the sizes; 100 % where more environments cost \
             no time, and falling with 1/B where the device is full.\n\n",
        );
        let header = "group | other sizes | device | B | per second | 95 % interval | gain | efficiency";
        out.push_str(&table(header, 3, &rows));
    }
}

fn kernels(out: &mut String, view: &View, show: &dyn Fn(&mut String, &str)) {
    out.push_str("## Kernels\n\n");
    let mut any = false;
    for device in &view.devices {
        let mut shown = view.largest(device, "kernel");
        if shown.is_empty() {
            continue;
        }
        any = true;
        let _ = writeln!(out, "### {} ({})\n", view.name(device), code(device));
        show(out, &figures::roofline_file(device));
        shown.sort_by(|a, b| b.roofline_share.total_cmp(&a.roofline_share).then(a.group.cmp(&b.group)));
        let nan_last = |r: &&BenchRow| r.roofline_share.is_nan();
        shown.sort_by_key(nan_last);
        let header = "kernel | sizes | clock | time | FLOP/s | B/s | FLOP/B | of compute ceiling | \
             of memory ceiling | of roofline | bound by";
        write_table(out, header, 3, &shown, |r| {
            vec![
                r.group.clone(),
                r.sizes.clone(),
                r.clock.clone(),
                time_of(r),
                si(r.flops_per_s),
                si(r.bytes_per_s),
                three(r.flops_per_byte),
                percent(r.compute_share),
                percent(r.memory_share),
                percent(r.roofline_share),
                or_dash(&r.bound),
            ]
        });
        let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for r in shown.iter().filter(|r| !r.reason.is_empty()) {
            missing.entry(&r.reason).or_default().push(&r.group);
        }
        for (reason, groups) in missing {
            let _ = writeln!(out, "No share: {} ({reason}).\n", groups.join(", "));
        }
    }
    if !any {
        out.push_str("No kernel was timed in this run.\n\n");
    }
}

fn replicas(out: &mut String, view: &View, show: &dyn Fn(&mut String, &str)) {
    type Times = BTreeMap<u32, [f64; 2]>;
    let mut lines: BTreeMap<(&str, String), Times> = BTreeMap::new();
    for r in view.real.iter().filter(|r| r.group.starts_with(REPLICAS)) {
        if let Some(n) = r.replicas {
            let times = lines.entry((&r.device, without(&r.sizes, "R"))).or_default();
            times.entry(n).or_insert([f64::NAN; 2])[usize::from(r.group != "replicas_batched")] = r.wall_s;
        }
    }
    if lines.is_empty() {
        return;
    }
    out.push_str("## Many small replicas\n\n");
    show(out, "replicas.svg");
    let header = "device | other sizes | R | in one batch | one after another | batch over serial";
    let all = lines.iter().flat_map(|(line, times)| times.iter().map(move |(n, both)| (line, n, both)));
    write_table(out, header, 2, all, |((device, fixed), n, [batched, serial])| {
        vec![
            code(device),
            or_dash(fixed),
            n.to_string(),
            time(*batched),
            time(*serial),
            percent(batched / serial),
        ]
    });
}

fn phases(out: &mut String, view: &View, show: &dyn Fn(&mut String, &str)) {
    let rows: Vec<_> = view.report.rows.phases.iter().filter(|p| view.is_real(&p.device)).collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("## Phases of an update\n\n");
    show(out, "phases.svg");
    let header = "device | task | policy | sizes | phase | median time | share";
    write_table(out, header, 5, rows, |p| {
        vec![
            code(&p.device),
            or_dash(&p.task),
            or_dash(&p.policy),
            p.sizes.clone(),
            p.phase.clone(),
            time(p.wall_s),
            percent(p.share),
        ]
    });
}

/// Columns of the energy table: method, constants.
const METHODS: [(&str, &str); 5] =
    [(PAPER, "int32"), (PAPER, "fp32"), (EFFECTIVE, "int32"), (EFFECTIVE, "fp32"), (MEMORY, "int32")];

fn energy<'a>(out: &mut String, view: &View<'a>, show: &dyn Fn(&mut String, &str)) {
    let all = view.report.energy;
    if all.is_empty() {
        return;
    }
    out.push_str("## Energy\n\n");
    let mut weights: Vec<String> =
        all.iter().map(|r| format!("{} ({})", code(&r.agent), r.weights)).collect();
    weights.dedup();
    weights.sort();
    weights.dedup();
    let _ = writeln!(
        out,
        "Weights: {}; with those before training (`initial`), firing rates are not those of a trained network. Models are of 45 nm CMOS and know no \
         device; a column does not compare with another.\n",
        weights.join(", ")
    );
    show(out, "energy-inference.svg");
    show(out, "energy-training.svg");
    let key = |r: &'a BenchEnergyRow| (r.unit.as_str(), r.work.as_str(), r.task.as_str(), r.agent.as_str());
    let mut keys = once(all.iter().map(key));
    let rank = |unit: &str, work: &str| (unit != INFERENCE, work != "rollout");
    keys.sort_by(|a, b| (rank(a.0, a.1), a.2, a.3).cmp(&(rank(b.0, b.1), b.2, b.3)));
    let measured = all.iter().filter(|r| r.device != MODEL && r.method == MEASURED);
    let devices = once(measured.map(|r| r.device.as_str()));
    let shown = |r: Option<&BenchEnergyRow>| {
        r.map_or("-".into(), |r| if r.energy_j.is_nan() { "-".into() } else { joules(r.energy_j) })
    };
    let mut rows = Vec::new();
    for (unit, work, task, agent) in keys {
        let mine = |r: &&'a BenchEnergyRow| key(r) == (unit, work, task, agent);
        let mut row = vec![
            format!("{} ({work})", if unit == STEP { "step" } else { "inference" }),
            task.into(),
            code(agent),
        ];
        for (method, constants) in METHODS {
            row.push(shown(all.iter().filter(mine).find(|r| r.method == method && r.constants == constants)));
        }
        for device in &devices {
            let measured = all.iter().filter(mine).find(|r| r.method == MEASURED && r.device == *device);
            row.push(match measured {
                Some(r) if !r.energy_j.is_nan() && !r.lo_j.is_nan() => {
                    format!("{} ({} to {})", joules(r.energy_j), joules(r.lo_j), joules(r.hi_j))
                }
                other => shown(other),
            });
        }
        rows.push(row);
    }
    let mut header: Vec<String> = ["energy of one", "task", "agent"].map(String::from).to_vec();
    header.extend(METHODS.iter().map(|(m, c)| format!("{m}, {c}")));
    header.extend(devices.iter().map(|d| format!("measured, {d}")));
    out.push_str(&table(&header.join(" | "), 3, &rows));

    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for r in all.iter().filter(|r| r.energy_j.is_nan()) {
        let place = if r.device == MODEL { r.method.as_str() } else { r.device.as_str() };
        let who = format!("{} {}", r.agent, r.work);
        let list = reasons.entry((place, &r.reason)).or_default();
        if !list.contains(&who) {
            list.push(who);
        }
    }
    for ((place, reason), who) in reasons {
        let _ = writeln!(out, "- No energy, {place}: {reason} ({}).", who.join(", "));
    }
    let how: Vec<_> = all.iter().filter(|r| r.method == MEASURED && !r.energy_j.is_nan()).collect();
    if !how.is_empty() {
        out.push_str("\nHow it was measured:\n\n");
        for r in how {
            let _ = writeln!(out, "- {} {}, {}: {}", r.agent, r.work, r.device, r.reason);
        }
    }
    out.push('\n');
}

fn software(out: &mut String, view: &View) {
    if view.software.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {SOFTWARE_TITLE}\n");
    out.push_str(
        "These ran on the processor by way of a Vulkan driver in software. They show that the kernels run and agree with their reference. Their times \
         say nothing about GPUs and are not shown.\n\n",
    );
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for r in &view.software {
        groups.entry((&r.device_name, &r.group, &r.check)).or_default().push(&r.sizes);
    }
    write_table(
        out,
        "adapter | group | sizes | compared before",
        4,
        groups,
        |((name, group, check), sizes)| {
            vec![name.to_string(), group.to_string(), sizes.join("; "), or_dash(check)]
        },
    );
}

fn left_out(out: &mut String, view: &View) {
    if view.report.left_out.is_empty() {
        return;
    }
    out.push_str("## Left out\n\nWhat criterion's folder holds beside these, and why it is in no table:\n\n");
    for l in view.report.left_out {
        let _ = writeln!(out, "- `{}`: {}", l.path.display(), l.why);
    }
    out.push('\n');
}

fn method(out: &mut String) {
    let _ = writeln!(
        out,
        "## How the numbers are made\n\n\
         - Times are medians over criterion's samples; intervals are 95 % percentile bootstrap intervals of the median, {RESAMPLES} resamples. They \
         hold for this run: two runs of one binary may differ by more. Comparisons call a difference of up to {} none.\n\
         - Clock `device`: timestamps on the device, where it has them (`device_method` in the Parquet file); `wall` includes submission and waiting. \
         Environment steps and inferences per second are always by wall time.\n\
         - FLOPs and bytes are those that the work needs (each input read once, each output written once), not what a kernel does. Shares are of the \
         ceilings in this report: of the same device, with as many threads, at most {} h apart.\n\
         - Measured energy: {REPEATS} windows of at least {MIN_WINDOW_S} s of steady work, the counter's difference minus idle power taken before and \
         after; power readings integrated over the same windows must agree within {}. A device without a counter has none, never an estimate.\n\
         - `-` stands for what this run does not have. The rows are beside this page as Parquet; `results/README.md` explains their columns.\n",
        percent(NOISE),
        SAME_RUN.as_secs() / 3600,
        percent(AGREES),
    );
}
