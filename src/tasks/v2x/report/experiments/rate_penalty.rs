//! Sum-rate against energy per inference over `spiking.rate_penalty`.

use super::*;
use crate::energy::accounts::{EFFECTIVE, MEMORY, PAPER};
use crate::report::figure::{Figure, Look, Note, Point, Series, extent};
use crate::report::{ReportError, ReportPaths, Tables};
use std::path::Path;

const TITLE: &str = "Rate penalty (task v2x): sum-rate against energy per inference";
const SPIKING: &str = "spiking-ac";
const DENSE: &str = "ppo";
const PREFIX: &str = "rate_penalty=";

/// An account of energy with its figure.
struct Account {
    method: &'static str,
    constants: &'static str,
    words: &'static str,
    file: &'static str,
}

const ACCOUNTS: [Account; 3] = [
    Account { method: PAPER, constants: "int32", words: "paper formula, int32", file: "front-paper.svg" },
    Account {
        method: EFFECTIVE,
        constants: "fp32",
        words: "effective operations, fp32",
        file: "front-effective.svg",
    },
    Account { method: MEMORY, constants: "int32", words: "with memory, int32", file: "front-memory.svg" },
];
/// The reading of effective operations in which the first layer is computed at every spike step.
const EVERY_STEP: &str = "fp32, layer 1 at every step";

/// One penalty.
struct Place<'a> {
    penalty: f64,
    run: &'a Run,
    rate: Estimate,
    activity: Vec<Estimate>,
    /// J per inference in the order of [`ACCOUNTS`].
    energy: Vec<Option<Estimate>>,
}

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` of the experiment `rate-penalty` to `dir`.
///
/// # Errors
/// As [`super::super::write`].
pub fn write_rate_penalty(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let view = View::new(rows);
    let front = front(&view);
    let figures: Vec<Figure> = (0..ACCOUNTS.len()).map(|a| figure(&view, &front, a)).collect();
    let svgs: Result<Vec<_>, ReportError> =
        ACCOUNTS.iter().zip(&figures).map(|(a, f)| Ok((a.file, f.svg()?))).collect();
    tables.pages(TITLE, svgs?, |drawn| {
        let mut out = String::new();
        let (answer, numbers) = answer(&front);
        let small = view.open(&mut out, TITLE, manifest, answer, &numbers);
        out.push_str("## The front\n\n");
        for (i, a) in ACCOUNTS.iter().enumerate() {
            if drawn(a.file) {
                let _ = writeln!(out, "![{}]({})\n", caption(i), a.file);
            } else {
                let _ = writeln!(out, "{} is not drawn: no energy by this method in this run.\n", a.file);
            }
        }
        if !small {
            out.push_str("## Findings\n\n");
            for line in sentences(&view, &front) {
                let _ = writeln!(out, "- {line}");
            }
            out.push('\n');
        }
        out.push_str("## Numbers\n\n");
        table_of(&view, &front, &mut out);
        view.method(
            &mut out,
            "- The penalty is the weight of the mean firing rate of all hidden neurons in the losses of actor and critic \
             (`spiking.rate_penalty`).\n\
             - Firing rates are spikes per neuron and spike step of the policy network in evaluation; energies are of one inference \
             of that network. The methods have constants of their own: their joules do not compare, their ratios to `ppo` do.\n\
             - A network that never spikes has the same output in every slot. With `beam = \"tracking\"` it then steers at the last estimate \
             plus a constant, as `last-estimate` does without a network: only what lies above that line is learned.\n",
        );
        let mut scope = String::new();
        view.scope(&mut scope, manifest);
        write_manifest(&mut out, &scope, manifest);
        out
    })
}

fn energies(view: &View, run: &Run) -> Vec<Option<Estimate>> {
    ACCOUNTS.iter().map(|a| view.energy(run, a.method, a.constants)).collect()
}

/// The penalties of the run, ascending.
fn front<'a>(view: &'a View) -> Vec<Place<'a>> {
    let place = |run: &'a Run| {
        Some(Place {
            penalty: run.variant.strip_prefix(PREFIX)?.parse().ok()?,
            run,
            rate: view.metric(run, SUM_RATE)?,
            activity: view.activity(run),
            energy: energies(view, run),
        })
    };
    let mut out: Vec<Place> = view.of(SPIKING).filter_map(place).collect();
    out.sort_by(|a, b| a.penalty.total_cmp(&b.penalty));
    out
}

fn caption(account: usize) -> String {
    format!(
        "Mean sum-rate against energy per inference ({}), log scale, with 95 % error bars over seeds. Numbers beside the points of \
         `spiking-ac`: rate penalty. Dotted: `last-estimate`, which has no network.",
        ACCOUNTS[account].words
    )
}

fn figure(view: &View, front: &[Place], account: usize) -> Figure {
    let nano = 1e9;
    let point = |rate: &Estimate, energy: &Option<Estimate>| {
        let e = energy.filter(|e| e.mean > 0.0)?.map(|x| nano * x);
        Some(Point { x_interval: e.interval, ..rate.point(e.mean) })
    };
    let mut series = Vec::new();
    let mut notes = Vec::new();
    let mut points = Vec::new();
    for place in front {
        if let Some(p) = point(&place.rate, &place.energy[account]) {
            notes.push(Note { x: p.x, y: p.y, text: format!("{}", place.penalty), series: SPIKING.into() });
            points.push(p);
        }
    }
    series.push(Series::new(SPIKING, Look::Points, points));
    let dense = view.of(DENSE).next().and_then(|run| {
        point(
            &view.metric(run, SUM_RATE)?,
            &view.energy(run, ACCOUNTS[account].method, ACCOUNTS[account].constants),
        )
    });
    series.push(Series::new(DENSE, Look::Points, dense.into_iter().collect()));
    let (lo, hi) = extent(series.iter().flat_map(|s: &Series| &s.points).map(|p| p.x));
    if let Some(e) = view.baseline().filter(|_| hi > 0.0) {
        series.push(Series::level(BASELINE, e.mean, (lo, hi)));
    }
    // Without a point there would be nothing but the line of the baseline.
    if hi <= 0.0 {
        series.clear();
    }
    Figure {
        title: format!("Sum-rate against energy per inference: {}", ACCOUNTS[account].words),
        x_label: format!("energy per inference (nJ), {}", ACCOUNTS[account].words),
        y_label: "mean sum-rate (bps/Hz)".into(),
        log_x: true,
        series,
        notes,
        ..Figure::with(PALETTE)
    }
}

/// The page in one sentence, with its numbers: how far energy falls before the sum-rate does.
fn answer(front: &[Place]) -> (String, Vec<Number>) {
    let Some(first) = front.first() else {
        return ("This run has no `spiking-ac` with a rate penalty.".into(), Vec::new());
    };
    let falls = front.iter().position(|p| order(&p.rate, &first.rate) == Order::Below);
    let kept = &front[..falls.unwrap_or(front.len())];
    let last = kept.last().unwrap_or(first);
    // The account of operations.
    let saved = first.energy[1].zip(last.energy[1]).map(|(a, b)| a.mean / b.mean);
    let bps = |p: &Place| format!("{} bps/Hz", num(p.rate.mean));
    let with = |p: &Place| {
        format!("`spiking-ac` with a rate penalty of {} (95 %: {})", p.penalty, p.rate.interval_text())
    };
    let mut numbers = vec![Number::new(bps(first), with(first))];
    if last.penalty > first.penalty {
        numbers.push(Number::new(bps(last), with(last)));
    }
    let Some(saved) = saved.filter(|_| last.penalty > first.penalty) else {
        return ("Every rate penalty of this run costs sum-rate.".into(), numbers);
    };
    numbers.push(Number::new(
        times(saved),
        format!("less energy per inference at that penalty ({})", ACCOUNTS[1].words),
    ));
    let text = format!(
        "A rate penalty of {} costs no sum-rate, and an inference takes {} less energy with it ({}).",
        last.penalty,
        times(saved),
        ACCOUNTS[1].words
    );
    (text, numbers)
}

/// Firing rates of the layers in percent.
fn percents(activity: &[Estimate]) -> String {
    listed(&activity.iter().map(|e| format!("{} %", num(100.0 * e.mean))).collect::<Vec<_>>())
}

fn sentences(view: &View, front: &[Place]) -> Vec<String> {
    let Some((first, last)) = front.first().zip(front.last()) else {
        return vec!["This run has no `spiking-ac` with a rate penalty.".into()];
    };
    let mut out = Vec::new();
    let joined = |p: &Place| {
        let each = ACCOUNTS.iter().zip(&p.energy);
        let each = each.filter_map(|(a, e)| Some(format!("{} ({})", joules((*e)?.mean), a.words)));
        listed(&each.collect::<Vec<_>>())
    };
    let tell = |p: &Place| {
        format!(
            "{} bps/Hz with firing rates of {} in its hidden layers and takes {} per inference",
            p.rate.short(),
            percents(&p.activity),
            joined(p)
        )
    };
    out.push(format!("With a rate penalty of {}, `spiking-ac` reaches {}.", first.penalty, tell(first)));
    let saved = |p: &Place| {
        let each = ACCOUNTS.iter().zip(p.energy.iter().zip(&first.energy));
        let each =
            each.filter_map(|(a, (e, f))| Some(format!("{} ({})", times((*f)?.mean / (*e)?.mean), a.words)));
        listed(&each.collect::<Vec<_>>())
    };
    let falls = front.iter().position(|p| order(&p.rate, &first.rate) == Order::Below);
    let kept = &front[..falls.unwrap_or(front.len())];
    if let Some(p) = kept.last().filter(|p| p.penalty > first.penalty) {
        out.push(format!(
            "Up to a penalty of {} the sum-rate stays level with that or above it: there it is {} bps/Hz with firing rates of {}, \
             and an inference takes less energy by these factors: {}.",
            p.penalty,
            p.rate.short(),
            percents(&p.activity),
            saved(p)
        ));
    }
    match falls.map(|i| &front[i]) {
        Some(p) => out.push(format!(
            "From a penalty of {} on it costs sum-rate: {} bps/Hz at energies lower by {}.",
            p.penalty,
            p.rate.short(),
            saved(p)
        )),
        None => out.push(format!(
            "No penalty of this run takes the sum-rate below that of {} by more than the intervals.",
            first.penalty
        )),
    }
    if falls.is_some_and(|i| i + 1 < front.len()) {
        out.push(format!("With the largest penalty, {}, it reaches {}.", last.penalty, tell(last)));
    }
    out.extend(against_dense(view, front));
    if let Some(base) = view.baseline() {
        let count = |wanted: Order| front.iter().filter(|p| order(&p.rate, &base) == wanted).count();
        let all = [
            (Order::Above, "lie above it"),
            (Order::Level, "are level with it"),
            (Order::Below, "lie below it"),
        ];
        let some = all.iter().filter(|(o, _)| count(*o) > 0);
        let told: Vec<String> = some.map(|(o, words)| format!("{} {words}", count(*o))).collect();
        out.push(format!(
            "`{BASELINE}`, without a network, reaches {} bps/Hz: of {} penalties, {}.",
            base.short(),
            front.len(),
            listed(&told)
        ));
    }
    out
}

/// How the energies stand to those of the dense network, method by method.
fn against_dense(view: &View, front: &[Place]) -> Option<String> {
    let run = view.of(DENSE).next()?;
    let rate = view.metric(run, SUM_RATE)?;
    let mut parts = Vec::new();
    for (i, (a, dense)) in ACCOUNTS.iter().zip(energies(view, run)).enumerate() {
        let Some(dense) = dense else { continue };
        let ratios: Vec<f64> = front.iter().filter_map(|p| Some(dense.mean / p.energy[i]?.mean)).collect();
        let (lo, hi) = ratios.iter().fold((f64::INFINITY, 0.0), |(lo, hi), r| (r.min(lo), r.max(hi)));
        if ratios.is_empty() {
            continue;
        }
        let less = ratios.iter().filter(|r| **r > 1.0).count();
        parts.push(format!(
            "{}: `{DENSE}` takes {} to {} the energy of `{SPIKING}`, which takes less at {} of {} penalties",
            a.words,
            times(lo),
            times(hi),
            less,
            ratios.len()
        ));
    }
    (!parts.is_empty()).then(|| {
        format!(
            "Beside the dense network of `{DENSE}`, which reaches {} bps/Hz, by method: {}.",
            rate.short(),
            parts.join("; ")
        )
    })
}

fn table_of(view: &View, front: &[Place], out: &mut String) {
    let layers = front.iter().map(|p| p.activity.len()).max().unwrap_or(0);
    let dense = view.of(DENSE).next();
    let dense_energy = dense.map(|r| energies(view, r)).unwrap_or_default();
    let of_dense = |i: usize, e: Option<Estimate>| {
        let ratio = e.zip(dense_energy.get(i).copied().flatten()).map(|(e, d)| e.mean / d.mean);
        ratio.map_or("-".into(), times)
    };
    let line = |name: String, penalty: String, run: &Run| {
        let short = |e: Option<Estimate>| e.map_or("-".to_string(), |e| e.short());
        let energy = |e: Option<Estimate>| e.map_or("-".to_string(), |e| joules(e.mean));
        let mut cells =
            vec![name, penalty, short(view.metric(run, SUM_RATE)), short(view.metric(run, "reward"))];
        let activity = view.activity(run);
        cells.extend((0..layers).map(|l| short(activity.get(l).copied())));
        for (i, e) in energies(view, run).into_iter().enumerate() {
            cells.extend([energy(e), of_dense(i, e)]);
        }
        // A dense network has one reading only.
        let every = view.energy(run, EFFECTIVE, EVERY_STEP).or(view.energy(run, EFFECTIVE, "fp32"));
        cells.extend([energy(every), of_dense(1, every)]);
        cells.extend(view.other_rate(run));
        cells
    };
    let mut rows: Vec<Vec<String>> =
        front.iter().map(|p| line(code(SPIKING), format!("{}", p.penalty), p.run)).collect();
    let others = view.runs.iter().filter(|r| !r.variant.starts_with(PREFIX));
    rows.extend(others.map(|r| line(code(&r.agent), "-".into(), r)));
    let mut header: Vec<String> =
        ["agent", "rate penalty", "sum-rate (bps/Hz)", "reward (bps/Hz)"].map(String::from).to_vec();
    header.extend((1..=layers).map(|l| format!("firing rate, layer {l}")));
    let every = "effective operations, fp32, layer 1 at every step";
    for words in ACCOUNTS.iter().map(|a| a.words).chain([every]) {
        header.extend([words.to_string(), "over `ppo`".to_string()]);
    }
    header.extend(view.other.as_ref().map(|(mode, _)| format!("sum-rate, {mode} (bps/Hz)")));
    out.push_str("Mean over seeds, with the 95 % interval in brackets; energies per inference. For `ppo`: share of units that are not zero in \
                  place of a firing rate.\n\n");
    fold(out, "All penalties", &table(&header.join(" | "), 1, &rows));
}
