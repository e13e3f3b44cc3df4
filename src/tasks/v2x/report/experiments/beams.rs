//! Every learned agent with every parameterisation of the beams.

use super::*;
use crate::num::stats::once;
use crate::report::figure::{Bar, Bars, Figure, Look, Point, Series, extent};
use crate::report::{ReportError, ReportPaths, Tables};
use crate::run::rows::Schema;
use crate::run::task::Task;
use crate::tasks::v2x::config::V2xConfig;
use std::path::Path;

const TITLE: &str = "Beams (task v2x): learned agents by parameterisation";
const FILE: &str = "beams.svg";
const GENIE: &str = "genie";
/// Learning curves by beam.
const CURVES: [(&str, &str); 4] = [
    ("angles", "curves-angles.svg"),
    ("tracking", "curves-tracking.svg"),
    ("matrix", "curves-matrix.svg"),
    ("zf", "curves-zf.svg"),
];
/// Place of the sum-rate among the means of a curve.
const RATE: usize = Schema::place(SCHEMA.curve, SUM_RATE);

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` of the experiment `beams` to `dir`.
///
/// # Errors
/// As [`super::super::write`].
pub fn write_beams(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let view = View::new(rows);
    let mut svgs = vec![(FILE, bars(&view).svg()?)];
    for (beam, file) in CURVES {
        svgs.push((file, curves(&view, beam).svg()?));
    }
    tables.pages(TITLE, svgs, |drawn| {
        let mut out = String::new();
        let small = view.open(&mut out, TITLE, manifest, answer(&view), &numbers(&view));
        out.push_str("## Sum-rate by beam\n\n");
        match drawn(FILE) {
            true => {
                let _ = writeln!(
                    out,
                    "![Mean sum-rate of the learned agents by meaning of their action, with 95 % error bars over seeds. Dotted: references, \
                     which have beams of their own.]({FILE})\n"
                );
            }
            false => out.push_str("Not drawn: no evaluated sum-rate of a learned agent in this run.\n\n"),
        }
        if !small {
            out.push_str("## Findings\n\n");
            for line in sentences(&view) {
                let _ = writeln!(out, "- {line}");
            }
            out.push('\n');
        }
        out.push_str("## Numbers\n\n");
        table_of(&view, small, &mut out);
        out.push_str("## Training\n\n");
        for (beam, file) in CURVES.iter().filter(|c| drawn(c.1)) {
            let _ = writeln!(
                out,
                "![Mean sum-rate in training with beam `{beam}` over the environment steps of one seed, mean over seeds with a 95 % band; of \
                 `ddpg` and `dqn` with exploration.]({file})\n"
            );
        }
        view.method(
            &mut out,
            "- `angles`: an action is an angle per vehicle; `tracking`: a deviation from the last estimate; `matrix`: the complex \
             entries of all beams, or a residual on steering or zero-forcing at the last estimates (`task.matrix_base`); `zf`: regularised zero-forcing at the angles of `tracking`. Shares of the power are part of each. `dqn` \
             chooses from the same grid of beams with `angles` and `matrix`, and from one round the last estimate with `tracking` and `zf`.\n\
             - All agents are trained for the same number of updates, not of environment steps; a curve that still rises at its end says \
             what this budget gives, not what the agent can.\n",
        );
        let mut scope = String::new();
        view.scope(&mut scope, manifest);
        write_manifest(&mut out, &scope, manifest);
        out
    })
}

fn learned(view: &View) -> Vec<&Run> {
    let is = |r: &&Run| V2xConfig::agent(&r.agent).is_some_and(|a| a.is_learned());
    view.runs.iter().filter(is).collect()
}

fn references(view: &View) -> Vec<&Run> {
    let all = learned(view);
    view.runs.iter().filter(|r| !all.contains(r)).collect()
}

/// Beams of the learned agents, those of the table first.
fn beams(view: &View) -> Vec<String> {
    let mut out = once(learned(view).into_iter().map(|run| run.beam.clone()));
    out.sort_by_key(|b| CURVES.iter().position(|c| c.0 == b).unwrap_or(CURVES.len()));
    out
}

fn percent(of: &Estimate, whole: &Estimate) -> String {
    format!("{:.1}", 100.0 * of.mean / whole.mean)
}

fn bar(view: &View, run: &Run) -> Option<Bar> {
    let e = view.metric(run, SUM_RATE)?;
    Some(Bar { agent: run.agent.clone(), y: e.mean, interval: e.interval, seeds: Some(e.seeds) })
}

fn bars(view: &View) -> Bars {
    let group = |beam: String| {
        let mine = learned(view).into_iter().filter(|r| r.beam == beam);
        let bars: Vec<Bar> = mine.filter_map(|r| bar(view, r)).collect();
        (!bars.is_empty()).then_some((beam, bars))
    };
    let groups: Vec<_> = beams(view).into_iter().filter_map(group).collect();
    let levels = references(view).into_iter().filter_map(|r| bar(view, r));
    let at = view.p_max_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
    Bars {
        title: format!("Mean sum-rate{at} by meaning of the action"),
        y_label: "mean sum-rate (bps/Hz)".into(),
        levels: if groups.is_empty() { Vec::new() } else { levels.collect() },
        groups,
        ..Bars::with(PALETTE)
    }
}

fn curves(view: &View, beam: &str) -> Figure {
    let mut series = Vec::new();
    for run in learned(view).into_iter().filter(|r| r.beam == beam) {
        let mut updates: BTreeMap<u64, BTreeMap<u32, f64>> = BTreeMap::new();
        for r in &view.rows.curves {
            if view.shows(run, &r.key) {
                updates.entry(r.env_steps).or_default().insert(r.key.seed, r.slots[RATE]);
            }
        }
        let point = |(steps, seeds): (u64, BTreeMap<u32, f64>)| {
            view.estimate(seeds).map(|e| e.point(steps as f64 / 1e3))
        };
        let points: Vec<Point> = updates.into_iter().filter_map(point).collect();
        series.push(Series::new(&run.agent, Look::Curve, points));
    }
    let (lo, hi) = extent(series.iter().flat_map(|s: &Series| &s.points).map(|p| p.x));
    if let Some(e) = view.baseline().filter(|_| hi > 0.0) {
        series.push(Series::level(BASELINE, e.mean, (lo, hi)));
    }
    Figure {
        title: format!("Sum-rate in training, beam {beam}"),
        x_label: "environment steps of one seed (thousands)".into(),
        y_label: "mean sum-rate (bps/Hz)".into(),
        log_x: true,
        from_zero: true,
        series,
        ..Figure::with(PALETTE)
    }
}

/// Learned agents with their rates, and the best of them.
fn best(view: &View) -> Option<(&Run, Estimate, Vec<Estimate>)> {
    let rated: Vec<(&Run, Estimate)> =
        learned(view).into_iter().filter_map(|r| Some((r, view.metric(r, SUM_RATE)?))).collect();
    let (run, rate) = *rated.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    Some((run, rate, rated.into_iter().map(|r| r.1).collect()))
}

/// The page in one sentence.
fn answer(view: &View) -> String {
    let Some((run, rate, _)) = best(view) else { return "This run has no evaluated learned agent.".into() };
    let own =
        format!("{} with beam `{}` is the best, at {} bps/Hz", code(&run.agent), run.beam, num(rate.mean));
    match view.baseline() {
        None => format!("{own}; this run has no `{BASELINE}` to compare with."),
        Some(base) => format!("{own}, {} `{BASELINE}` with {}.", stands(&rate, &base), num(base.mean)),
    }
}

fn numbers(view: &View) -> Vec<Number> {
    let (Some((run, rate, all)), Some(base)) = (best(view), view.baseline()) else { return Vec::new() };
    let above = all.iter().filter(|e| order(e, &base) == Order::Above).count();
    let bps = |e: &Estimate| format!("{} bps/Hz", num(e.mean));
    vec![
        Number::new(
            bps(&rate),
            format!("{} with beam `{}` (95 %: {})", code(&run.agent), run.beam, rate.interval_text()),
        ),
        Number::new(bps(&base), format!("`{BASELINE}`, which learns nothing")),
        Number::new(
            format!("{above} of {}", all.len()),
            format!("learned agents and beams beat `{BASELINE}`"),
        ),
    ]
}

fn sentences(view: &View) -> Vec<String> {
    let Some(base) = view.baseline() else {
        return vec![format!("This run has no `{BASELINE}` to compare with.")];
    };
    let rated: Vec<(&Run, Estimate)> =
        learned(view).into_iter().filter_map(|r| Some((r, view.metric(r, SUM_RATE)?))).collect();
    let Some((best, rate)) = rated.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) else {
        return vec!["This run has no evaluated learned agent.".into()];
    };
    let mut out = Vec::new();
    let told = |wanted: Order| {
        let mine = rated.iter().filter(|(_, e)| order(e, &base) == wanted);
        mine.map(|(r, e)| format!("{} with beam `{}` ({})", code(&r.agent), r.beam, e.short()))
            .collect::<Vec<_>>()
    };
    let (above, level) = (told(Order::Above), told(Order::Level));
    out.push(match above.as_slice() {
        [] => format!(
            "None of the {} learned agents and beams beats `{BASELINE}`, which steers at the last estimate with equal power and reaches {} \
             bps/Hz.",
            rated.len(),
            base.short()
        ),
        _ => format!(
            "{} of {} learned agents and beams beat `{BASELINE}`, which steers at the last estimate with equal power and reaches {} bps/Hz: {}.",
            above.len(),
            rated.len(),
            base.short(),
            listed(&above)
        ),
    });
    if !level.is_empty() {
        out.push(format!("Level with it: {}.", listed(&level)));
    }
    for beam in beams(view) {
        let mine = rated.iter().filter(|(r, _)| r.beam == beam);
        if let Some((r, e)) = mine.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) {
            out.push(format!(
                "Best with beam `{beam}`: {} with {} bps/Hz, {} `{BASELINE}`.",
                code(&r.agent),
                e.short(),
                stands(e, &base)
            ));
        }
    }
    if let Some(genie) = view.of(GENIE).next().and_then(|r| view.metric(r, SUM_RATE)) {
        out.push(format!(
            "The best of all, {} with beam `{}`, reaches {} % of `{GENIE}`, which knows the angles.",
            code(&best.agent),
            best.beam,
            percent(rate, &genie)
        ));
    }
    out
}

fn table_of(view: &View, small: bool, out: &mut String) {
    let base = view.baseline();
    let genie = view.of(GENIE).next().and_then(|r| view.metric(r, SUM_RATE));
    let line = |(run, beam): (&Run, String)| {
        let short = |metric: &str| view.metric(run, metric).map_or("-".to_string(), |e| e.short());
        let rate = view.metric(run, SUM_RATE);
        let share = rate.zip(genie).map(|(r, g)| percent(&r, &g));
        let stands = rate.zip(base).filter(|_| run.agent != BASELINE).map(|(r, b)| match order(&r, &b) {
            _ if small => "not judged (smoke)",
            Order::Above => "above",
            Order::Below => "below",
            Order::Level => "level",
        });
        let trained = view.trained(run);
        let mut cells = vec![
            code(&run.agent),
            beam,
            short(SUM_RATE),
            share.unwrap_or_else(|| "-".into()),
            stands.unwrap_or("-").into(),
            short("reward"),
            short("jain"),
            short("indicator_share"),
            trained.map_or("-".into(), |t| t.1.to_string()),
            trained.map_or("-".into(), |t| t.0.to_string()),
        ];
        cells.extend(view.other_rate(run));
        cells
    };
    let own = learned(view).into_iter().map(|r| (r, format!("`{}`", r.beam)));
    let rows: Vec<Vec<String>> =
        own.chain(references(view).into_iter().map(|r| (r, "-".to_string()))).map(line).collect();
    let mut header =
        "agent | beam | sum-rate (bps/Hz) | of `genie` (%) | against `last-estimate` | reward (bps/Hz) | \
         Jain index | within the limits of (27) | updates | environment steps per seed"
            .to_string();
    if let Some((mode, _)) = &view.other {
        let _ = write!(header, " | sum-rate, {mode} (bps/Hz)");
    }
    out.push_str("Mean over seeds, with the 95 % interval in brackets.\n\n");
    out.push_str(&table(&header, 2, &rows));
}
