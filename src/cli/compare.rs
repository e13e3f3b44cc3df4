//! `isacbench compare`

use super::print::{note, say};
use crate::report::figure::Swatch;
use crate::run::compare::{self, Asked, CompareError, METHOD};
use crate::run::registry::AnyTask;
use crate::run::task::Better;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct CompareArgs {
    /// Files of `evaluate --json`, and folders of trainings, sweeps, tunings and reproductions
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Only these agents, with commas between them: all variants of each
    #[arg(long = "agent", value_delimiter = ',', value_name = "AGENT[,AGENT]")]
    agents: Vec<String>,
    /// Metric to compare by (repeatable) [default: those that the task is judged by]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Only conditions in which a swept key has this value, for example --where p_max_dbm=40 (repeatable)
    #[arg(long = "where", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Which values of a metric are better, where the task does not say
    #[arg(long, value_enum)]
    better: Option<Better>,
    /// Swept key on the x axis of figures [default: the first one that holds several numbers]
    #[arg(long, value_name = "KEY")]
    x: Option<String>,
    /// Draw one metric over another, for example energy_paper_fp32_j_per_slot,sum_rate_bps_hz (repeatable)
    #[arg(long = "scatter", value_name = "X,Y")]
    scatter: Vec<String>,
    /// Folder for a page with all tables and figures
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn compare(a: &CompareArgs, tasks: &[&dyn AnyTask]) -> Result<()> {
    let mut read = compare::read(&a.runs, tasks)?;
    let wrong = |what: String| CompareError::Option(what);
    let listed = |all: &[String]| match all.iter().any(|x| !x.is_empty()) {
        true => all.join("; "),
        false => "none, nothing is swept in these runs".into(),
    };
    let known = crate::num::stats::once(read.scores.iter().map(|s| s.agent.clone()));
    // `ppo` is `ppo, ppo.clip=0.1` and `ppo (before)` too.
    let asked = |name: &str| {
        a.agents.iter().any(|agent| {
            let rest = name.strip_prefix(agent.as_str());
            rest.is_some_and(|r| r.is_empty() || r.starts_with(", ") || r.starts_with(" ("))
        })
    };
    for agent in &a.agents {
        if !known.iter().any(|name| name.starts_with(agent.as_str()) && asked(name)) {
            return Err(wrong(format!(
                "--agent {agent}: not in these runs; there are: {}",
                known.join("; ")
            ))
            .into());
        }
    }
    if !a.agents.is_empty() {
        read.scores.retain(|s| asked(&s.agent));
        read.lines.retain(|l| asked(&l.agent));
    }
    for filter in &a.filters {
        let (key, value) = filter.split_once('=').ok_or_else(|| {
            wrong(format!("--where {filter}: expected KEY=VALUE, for example --where p_max_dbm=40"))
        })?;
        let (key, value) = (key.trim().trim_start_matches("task."), value.trim());
        let fits = |c: &compare::Condition| c.iter().any(|(k, v)| k == key && compare::same_value(v, value));
        if !read.scores.iter().any(|s| fits(&s.condition)) {
            let known =
                crate::num::stats::once(read.scores.iter().map(|s| compare::condition_text(&s.condition)));
            return Err(
                wrong(format!("--where {filter}: no run has it; there are: {}", listed(&known))).into()
            );
        }
        read.scores.retain(|s| fits(&s.condition));
        read.lines.retain(|l| fits(&l.condition));
    }
    let task = tasks.iter().find(|t| t.name() == read.task);
    let facts = |metric: &str| compare::facts_of(task.copied(), metric);
    let mut metrics = a.metrics.clone();
    if metrics.is_empty() {
        let has = |m: &String| read.scores.iter().any(|s| s.metric == *m);
        let usual = task.map_or(Vec::new(), |t| t.compared().iter().map(ToString::to_string).collect());
        let trained = usual.iter().map(|m: &String| format!("train_{m}"));
        metrics = usual.iter().cloned().chain(trained).filter(has).collect();
    }
    let mut all = Vec::new();
    for metric in &metrics {
        match compare::compare(&read.scores, metric, &facts(metric), a.better) {
            Some(comparison) => all.push(comparison),
            None if a.metrics.is_empty() => {}
            None => {
                let has = read.scores.iter().filter(|s| s.metric == *metric).map(|s| s.agent.as_str());
                let what = match &crate::num::stats::once(has)[..] {
                    [one] => format!("--metric {metric}: only one agent has it ({one})"),
                    _ => {
                        let known = crate::num::stats::once(read.scores.iter().map(|s| s.metric.as_str()));
                        format!("--metric {metric}: no agent has it; there are: {}", known.join(", "))
                    }
                };
                return Err(wrong(what).into());
            }
        }
    }
    if all.is_empty() {
        let agents = known.join(", ");
        let what = format!(
            "nothing to compare: no metric that two agents share (agents: {agents}); name one with --metric"
        );
        return Err(wrong(what).into());
    }
    for warning in &read.warnings {
        note!("warning: {warning}");
    }
    if a.json {
        let sources: Vec<_> = read
            .sources
            .iter()
            .map(|s| json!({ "name": s.name, "kind": s.kind, "about": s.about }))
            .collect();
        let all: Vec<_> = all.iter().map(compare::json).collect();
        say!(
            "{}",
            json!({ "task": read.task, "sources": sources, "comparisons": all, "warnings": read.warnings })
        );
    } else {
        for s in &read.sources {
            say!("{} {}: {}", s.kind, s.name, s.about);
        }
        say!("{METHOD}");
        for comparison in &all {
            say!("\n{}", compare::text(comparison).trim_end());
        }
    }
    let scatter = a.scatter.iter().map(|text| {
        let (x, y) = text.split_once(',').ok_or_else(|| wrong(format!("--scatter {text}: expected X,Y")))?;
        Ok((x.trim().to_string(), y.trim().to_string()))
    });
    let scatter = scatter.collect::<Result<Vec<_>, CompareError>>()?;
    let Some(out) = &a.out else {
        if !scatter.is_empty() || a.x.is_some() {
            return Err(wrong("--scatter and --x are of figures: name a folder with --out".into()).into());
        }
        return Ok(());
    };
    let palette: &[Swatch] = task.map_or(&[], |t| t.palette());
    let metric = task.map_or("", |t| t.metric());
    let asked = Asked { x: a.x.clone(), scatter, palette: palette.into(), metric };
    let paths = compare::write(out, &read, &all, &asked)?;
    if !a.json {
        for path in paths {
            note!("wrote {}", path.display());
        }
    }
    Ok(())
}

/// Renders the page of a comparison again.
pub(super) fn again(dir: &Path, out: &Path, tasks: &[&dyn AnyTask]) -> Result<Vec<PathBuf>> {
    Ok(compare::again(dir, out, tasks)?.into_iter().take(2).collect())
}
