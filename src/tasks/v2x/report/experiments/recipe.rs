//! The paper's own recipe: sum-rate over slots, and when each agent passes what is printed.

use super::*;
use crate::report::figure::{Figure, Look, Point, Series, extent};
use crate::report::{ReportError, ReportPaths, Tables};
use crate::run::rows::Schema;
use crate::run::task::Task;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::paper::{self, Quantity};
use std::path::Path;

const TITLE: &str = "The paper's recipe (task v2x): sum-rate over slots";
const FILE: &str = "recipe.svg";
/// Place of the sum-rate among the means of a curve.
const RATE: usize = Schema::place(SCHEMA.curve, SUM_RATE);
/// Updates of a seed that are averaged before they are set against the printed value, so that no lucky one passes it.
const SMOOTHED: usize = 5;

/// What a learned agent did on its way.
struct Way<'a> {
    run: &'a Run,
    /// What the paper prints, bps/Hz.
    printed: Option<f64>,
    /// By slots of one seed: sum-rate of each seed in training, bps/Hz.
    curve: BTreeMap<u64, BTreeMap<u32, f64>>,
    /// Slots after which the means over seeds stay at or above the printed value until the end.
    passed: Option<u64>,
    /// Over the last reads, mean over seeds.
    last: Option<Estimate>,
    /// Mean KL divergence of the last reads, nats; `None` of agents without.
    kl: Option<f64>,
}

/// Writes Parquet rows, manifest, figure, `report.md` and `report.html` of the experiment `recipe` to `dir`.
///
/// # Errors
/// As [`super::super::write`].
pub fn write_recipe(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let view = View::new(rows);
    let ways: Vec<Way> = view.runs.iter().filter_map(|run| way(&view, run)).collect();
    let svgs = vec![(FILE, figure(&view, &ways).svg()?)];
    tables.pages(TITLE, svgs, |drawn| {
        let mut out = String::new();
        let small = view.open(&mut out, TITLE, manifest, answer(&ways), &numbers(&view, &ways));
        out.push_str("## Sum-rate over slots\n\n");
        match drawn(FILE) {
            true => {
                let _ = writeln!(
                    out,
                    "![Mean sum-rate in training under the paper's recipe over the slots of one seed, mean over seeds \
                     with a 95 % band, with exploration. Dotted: what the paper prints for each agent at 40 dBm, and \
                     the rate of `{BASELINE}`.]({FILE})\n"
                );
            }
            false => out.push_str("Not drawn: this run has no learning curve.\n\n"),
        }
        if !small {
            out.push_str("## Findings\n\n");
            for line in sentences(&view, &ways) {
                let _ = writeln!(out, "- {line}");
            }
            out.push('\n');
        }
        out.push_str("## Numbers\n\n");
        table_of(&view, &ways, &mut out);
        view.method(
            &mut out,
            &format!(
                "- The recipe is `preset = \"paper\"`: learning rates 5e-5 and 5e-4, discount 0.99, clip 0.2, \
                 minibatches of 512, no schedule, no trust region. What the paper does not print is a choice that the \
                 preset marks.\n\
                 - The printed value is passed where the mean over seeds of {SMOOTHED} reads is at or above it and \
                 stays there.\n\
                 - All agents have the same number of updates. `ddpg` and `dqn` make a gradient step for every 32 \
                 slots, so they have fewer slots and more steps.\n"
            ),
        );
        let mut scope = String::new();
        view.scope(&mut scope, manifest);
        write_manifest(&mut out, &scope, manifest);
        out
    })
}

fn way<'a>(view: &View, run: &'a Run) -> Option<Way<'a>> {
    V2xConfig::agent(&run.agent).filter(|a| a.is_learned())?;
    let printed = paper::VALUES.iter().find(|v| {
        v.agent == run.agent && v.quantity == Quantity::SumRate && Some(v.p_max_dbm) == view.p_max_dbm
    });
    let printed = printed.map(|v| v.value);
    let mut curve: BTreeMap<u64, BTreeMap<u32, f64>> = BTreeMap::new();
    let mut kl: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for r in view.rows.curves.iter().filter(|r| view.shows(run, &r.key)) {
        curve.entry(r.env_steps).or_default().insert(r.key.seed, r.slots[RATE]);
        kl.entry(r.env_steps).or_default().push(r.approx_kl);
    }
    let means: Vec<(u64, f64)> = curve.iter().map(|(s, seeds)| (*s, mean(seeds.values().copied()))).collect();
    let last: Vec<&BTreeMap<u32, f64>> = curve.values().rev().take(SMOOTHED).collect();
    let mut seeds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    last.iter().flat_map(|read| read.iter()).for_each(|(s, x)| seeds.entry(*s).or_default().push(*x));
    let kl = mean(kl.into_values().rev().take(SMOOTHED).flatten());
    Some(Way {
        run,
        printed,
        passed: printed.and_then(|value| passed(&means, value)),
        last: view.estimate(seeds.into_iter().map(|(s, all)| (s, mean(all.into_iter()))).collect()),
        kl: kl.is_finite().then_some(kl),
        curve,
    })
}

/// NaN of none.
fn mean(all: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = all.fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x));
    sum / n
}

/// Slots of the first of [`SMOOTHED`] reads whose mean is at or above `value`, as are those of all that follow.
fn passed(means: &[(u64, f64)], value: f64) -> Option<u64> {
    let smooth: Vec<(u64, f64)> = means
        .windows(SMOOTHED.min(means.len()).max(1))
        .map(|w| (w[w.len() - 1].0, mean(w.iter().map(|m| m.1))))
        .collect();
    let below = smooth.iter().rposition(|(_, x)| x.is_nan() || *x < value).map_or(0, |at| at + 1);
    smooth.get(below).map(|(slots, _)| *slots)
}

fn figure(view: &View, ways: &[Way]) -> Figure {
    let mut series = Vec::new();
    for way in ways {
        let point = |(slots, seeds): (&u64, &BTreeMap<u32, f64>)| {
            view.estimate(seeds.clone()).map(|e| e.point(*slots as f64 / 1e6))
        };
        let points: Vec<Point> = way.curve.iter().filter_map(point).collect();
        series.push(Series::new(&way.run.agent, Look::Curve, points));
    }
    let (lo, hi) = extent(series.iter().flat_map(|s: &Series| &s.points).map(|p| p.x));
    if hi > 0.0 {
        for (way, printed) in ways.iter().filter_map(|way| Some((way, way.printed?))) {
            series.push(Series::level(&way.run.agent, printed, (lo, hi)));
        }
        if let Some(e) = view.baseline() {
            series.push(Series::level(BASELINE, e.mean, (lo, hi)));
        }
    }
    Figure {
        title: "Sum-rate in training under the paper's recipe".into(),
        x_label: "slots of one seed (millions)".into(),
        y_label: "mean sum-rate (bps/Hz)".into(),
        from_zero: true,
        series,
        ..Figure::with(PALETTE)
    }
}

fn millions(slots: u64) -> String {
    match slots {
        0..100_000 => slots.to_string(),
        _ => format!("{:.1} million", slots as f64 / 1e6),
    }
}

/// The page in one sentence.
fn answer(ways: &[Way]) -> String {
    let printed: Vec<&Way> = ways.iter().filter(|w| w.printed.is_some()).collect();
    let passed = printed.iter().filter(|w| w.passed.is_some()).count();
    if printed.is_empty() {
        return "This run has no agent for which the paper prints a sum-rate.".into();
    }
    format!(
        "With the paper's own settings, {passed} of {} agents pass the sum-rate that the paper prints for them.",
        printed.len()
    )
}

fn numbers(view: &View, ways: &[Way]) -> Vec<Number> {
    let bps = |x: f64| format!("{} bps/Hz", num(x));
    let own = ways.iter().filter_map(|w| {
        let (printed, last) = (w.printed?, w.last.as_ref()?);
        let (slots, _) = w.curve.last_key_value()?;
        let what =
            format!("{} after {} slots a seed; printed is {printed}", code(&w.run.agent), millions(*slots));
        Some(Number::new(bps(last.mean), what))
    });
    let base =
        view.baseline().map(|e| Number::new(bps(e.mean), format!("`{BASELINE}`, which learns nothing")));
    own.take(2).chain(base).collect()
}

fn sentences(view: &View, ways: &[Way]) -> Vec<String> {
    if ways.iter().all(|w| w.curve.is_empty()) {
        return vec!["This run has no learning curve.".into()];
    }
    let mut out = Vec::new();
    for way in ways {
        let (Some(printed), Some(last), Some((slots, _))) =
            (way.printed, &way.last, way.curve.last_key_value())
        else {
            continue;
        };
        let end = format!("ends at {} bps/Hz after {} slots", last.short(), millions(*slots));
        out.push(match way.passed {
            Some(at) => format!(
                "{} passes the printed {printed} bps/Hz after {} slots of a seed and {end}.",
                code(&way.run.agent),
                millions(at)
            ),
            None => format!("{} does not pass the printed {printed} bps/Hz and {end}.", code(&way.run.agent)),
        });
    }
    let printed: Vec<&Way> = ways.iter().filter(|w| w.printed.is_some()).collect();
    let on_the_way = printed.iter().filter(|w| w.passed.is_some() && still_rises(w)).count();
    if !printed.is_empty() && on_the_way == printed.len() {
        out.push(
            "So every printed rate is one that the paper's own recipe passes on its way: it says when training was \
             ended, not what an agent can reach, and the order of the agents depends on where one stops."
                .into(),
        );
    } else if on_the_way > 0 {
        let names: Vec<String> = printed
            .iter()
            .filter(|w| w.passed.is_some() && still_rises(w))
            .map(|w| code(&w.run.agent))
            .collect();
        out.push(format!(
            "Of {} the printed rate is one that is passed on the way: it says when training was ended, not what the \
             agent can reach.",
            listed(&names)
        ));
    }
    if let Some(base) = view.baseline() {
        let above = ways.iter().filter_map(|w| Some((w, w.last.as_ref()?)));
        let above: Vec<String> =
            above.filter(|(_, e)| order(e, &base) == Order::Above).map(|(w, _)| code(&w.run.agent)).collect();
        out.push(match above.as_slice() {
            [] => format!(
                "Under this recipe no agent comes near `{BASELINE}`, which steers at the last echo's angle and has {} bps/Hz.",
                base.short()
            ),
            _ => format!("Above `{BASELINE}` ({} bps/Hz): {}.", base.short(), listed(&above)),
        });
    }
    out
}

/// Whether the last tenth of the curve lies above the tenth before.
fn still_rises(way: &Way) -> bool {
    let means: Vec<f64> = way.curve.values().map(|seeds| mean(seeds.values().copied())).collect();
    let part = (means.len() / 10).max(1);
    if means.len() < 2 * part {
        return false;
    }
    let tail = &means[means.len() - 2 * part..];
    mean(tail[part..].iter().copied()) > mean(tail[..part].iter().copied())
}

fn table_of(view: &View, ways: &[Way], out: &mut String) {
    let line = |way: &Way| {
        vec![
            code(&way.run.agent),
            way.printed.map_or("-".into(), |x| x.to_string()),
            way.passed.map_or("-".into(), millions),
            way.last.as_ref().map_or("-".into(), Estimate::short),
            view.metric(way.run, SUM_RATE).map_or("-".into(), |e| e.short()),
            way.curve.last_key_value().map_or("-".into(), |(slots, _)| millions(*slots)),
            view.trained(way.run).map_or("-".into(), |t| t.1.to_string()),
            way.kl.map_or("-".into(), |x| format!("{x:.4}")),
        ]
    };
    let rows: Vec<Vec<String>> = ways.iter().map(line).collect();
    let header = format!(
        "agent | printed at 40 dBm (bps/Hz) | passed after (slots of a seed) | last {SMOOTHED} reads in training \
         (bps/Hz) | evaluated (bps/Hz) | slots of a seed | updates | KL at the end (nats)"
    );
    out.push_str("Mean over seeds, with the 95 % interval in brackets.\n\n");
    out.push_str(&table(&header, 1, &rows));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_passed_where_the_curve_stays_above() {
        let curve = |means: &[f64]| -> Vec<(u64, f64)> {
            means.iter().enumerate().map(|(i, x)| (10 * (i as u64 + 1), *x)).collect()
        };
        // Means of five: 3, 4, 5, 6 of the reads that end at 50, 60, 70, 80.
        let rising = curve(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(passed(&rising, 5.0), Some(70));
        assert_eq!(passed(&rising, 0.0), Some(50), "passed from the first on");
        assert_eq!(passed(&rising, 6.5), None);
        let falls_back = curve(&[9.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(passed(&falls_back, 5.0), None, "it does not stay there");
        assert_eq!(passed(&curve(&[7.0]), 5.0), Some(10), "fewer reads than are averaged");
        assert_eq!(passed(&[], 5.0), None);
    }
}
