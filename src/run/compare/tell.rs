//! Comparisons as text and as JSON.

use super::{Comparison, Estimate, Pair, condition_text};
use crate::num::stats::Interval;
use crate::num::text::{aligned, num, seeds_in_words};
use crate::run::task::Better;
use serde_json::{Value, json};
use std::fmt::Write;

/// How the intervals of a comparison are made, in a sentence.
pub const METHOD: &str = "95 % intervals: percentile bootstrap over seeds (10,000 resamples), those of each condition for themselves";

fn ends(i: Option<Interval>) -> String {
    i.map_or("-".into(), |i| format!("[{}, {}]", num(i.lo), num(i.hi)))
}

/// Pairs that are told: all of few agents; of many each with the next one and with the best.
pub(super) fn told(c: &Comparison) -> impl Iterator<Item = &Pair> {
    let few = c.agents.len() <= 4;
    c.pairs.iter().filter(move |p| few || p.a == 0 || p.b == p.a + 1)
}

/// Characters of the longest bar.
const BAR: usize = 24;

/// A bar from 0 to each mean, with its interval behind it in lighter shade; none where a value is negative, or nothing
/// is above 0.
fn bars(of: Vec<(f64, Option<Interval>)>) -> Vec<String> {
    let ends = |(mean, i): &(f64, Option<Interval>)| i.map_or((*mean, *mean), |i| (i.lo, i.hi));
    let most = of.iter().map(|e| ends(e).1).fold(0.0, f64::max);
    if of.iter().any(|e| !e.0.is_finite() || ends(e).0 < 0.0) || most <= 0.0 {
        return vec![String::new(); of.len()];
    }
    let cells = |x: f64| (x / most * BAR as f64).round() as usize;
    let bar = |e: &(f64, Option<Interval>)| {
        let (lo, hi) = ends(e);
        format!("{}{}", "█".repeat(cells(lo)), "░".repeat(cells(hi) - cells(lo)))
    };
    of.iter().map(bar).collect()
}

/// A comparison in a few lines.
pub fn text(c: &Comparison) -> String {
    let direction = if c.better == Better::Higher { "higher is better" } else { "lower is better" };
    let mut out = format!("{} ({direction}), {}\n", c.metric, seeds_in_words(c.seeds));
    let conditions = match (c.conditions.len(), c.shared) {
        (1, _) if c.conditions[0].is_empty() => String::new(),
        (1, _) => condition_text(&c.conditions[0]),
        (n, shared) if shared == n => format!("mean over {n} conditions"),
        (n, 0) => format!("no condition has all agents: means are of what each has of {n}, without ranks"),
        (n, shared) => format!("mean over the {shared} of {n} conditions that all agents have"),
    };
    if !conditions.is_empty() {
        let _ = writeln!(out, "  {conditions}");
    }
    if c.shared < c.conditions.len() {
        out.push_str("  pairs are of all conditions and seeds that two agents share\n");
    }
    if c.agents.len() > 4 {
        out.push_str("  pairs: the first with every other one, and neighbours; --json has all\n");
    }
    let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut rows = vec![row(&["agent", "mean", "95 % interval", "IQM", "mean rank"])];
    rows.extend(c.agents.iter().map(|a| {
        let rank = if a.ranks.is_empty() { "-".into() } else { format!("{:.2}", a.mean_rank()) };
        vec![a.agent.clone(), num(a.all.mean), ends(a.all.interval), num(a.iqm), rank]
    }));
    let table = aligned(&rows);
    // Bars stand behind the lines of the table, below an empty place in that of its head.
    let bars = bars(c.agents.iter().map(|a| (a.all.mean, a.all.interval)).collect());
    for (line, bar) in table.lines().zip(std::iter::once(String::new()).chain(bars)) {
        let _ = writeln!(out, "{}", format!("{line}  {bar}").trim_end());
    }
    let mut rows = vec![row(&["pair", "difference", "95 % interval", "pairs won", "P(first is better)"])];
    for p in told(c) {
        let names = format!("{} − {}", c.agents[p.a].agent, c.agents[p.b].agent);
        let paired = p.paired.as_ref();
        rows.push(vec![
            names,
            paired.map_or("no common seed".into(), |x| num(x.difference)),
            paired.map_or("-".into(), |x| ends(x.interval)),
            paired.map_or("-".into(), |x| format!("{} of {}", x.above, x.pairs)),
            p.improvement.map_or("-".into(), |(x, i)| {
                let ends = i.map_or(String::new(), |i| format!(" [{:.2}, {:.2}]", i.lo, i.hi));
                format!("{x:.2}{ends}")
            }),
        ]);
    }
    out.push_str(&aligned(&rows));
    out
}

fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

fn interval(i: Option<Interval>) -> Value {
    i.map_or(Value::Null, |i| json!([number(i.lo), number(i.hi)]))
}

fn estimate(e: &Estimate) -> Value {
    json!({ "mean": number(e.mean), "ci95": interval(e.interval), "runs": e.runs })
}

/// A comparison as one object.
pub fn json(c: &Comparison) -> Value {
    let agents = c.agents.iter().map(|a| {
        let by = c.conditions.iter().zip(&a.by_condition);
        let by = by.filter_map(|(condition, e)| {
            let at: serde_json::Map<_, _> = condition.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
            Some(json!({ "condition": at, "estimate": estimate(e.as_ref()?) }))
        });
        json!({
            "agent": a.agent,
            "all": estimate(&a.all),
            "iqm": { "mean": number(a.iqm), "ci95": interval(a.iqm_interval) },
            "rank_probability": a.ranks,
            "by_condition": by.collect::<Vec<_>>(),
            "profile": a.profile.iter().map(|s| json!([s.at, s.share, interval(s.interval)])).collect::<Vec<_>>(),
        })
    });
    let pairs = c.pairs.iter().map(|p| {
        let paired = p.paired.as_ref().map(|x| {
            json!({ "difference": number(x.difference), "ci95": interval(x.interval), "pairs": x.pairs, "better": x.above, "worse": x.below })
        });
        let improvement = p.improvement.map(|(x, i)| json!({ "probability": x, "ci95": interval(i) }));
        json!({ "a": c.agents[p.a].agent, "b": c.agents[p.b].agent, "paired": paired, "improvement": improvement })
    });
    json!({
        "metric": c.metric,
        "better": c.better,
        "intervals": METHOD,
        "seeds": c.seeds,
        "few_seeds": c.seeds < crate::num::text::FEW_SEEDS,
        "conditions": c.conditions.len(),
        "shared_conditions": c.shared,
        "agents": agents.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_means_and_say_how_sure_they_are() {
        let sure = |x: f64| (x, None);
        assert_eq!(
            bars(vec![sure(2.0), sure(1.0), sure(0.0)]),
            ["█".repeat(24), "█".repeat(12), String::new()]
        );
        let wide = bars(vec![(18.0, Some(Interval { lo: 12.0, hi: 24.0 })), sure(6.0)]);
        assert_eq!(wide, [format!("{}{}", "█".repeat(12), "░".repeat(12)), "█".repeat(6)]);
        for none in [vec![sure(-1.0), sure(2.0)], vec![sure(0.0)], vec![sure(f64::NAN), sure(1.0)]] {
            assert!(bars(none).iter().all(String::is_empty));
        }
    }
}
