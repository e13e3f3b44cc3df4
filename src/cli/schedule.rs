//! `isacbench schedule`

use super::print::say;
use super::watch::Bars;
use crate::run::task::{Task, Timetable};
use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Args)]
pub struct ScheduleArgs {
    /// Task whose schedule is solved [default: the first one that schedules anything]
    #[arg(long)]
    pub(super) task: Option<String>,
    /// TOML file with keys that differ from the preset's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a configuration key, for example --set task.vehicles=6 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Solves the schedule of a configuration and prints it; whether the task has one.
pub(super) fn schedule<C: Task>(a: &ScheduleArgs) -> Result<bool> {
    let config = C::load(a.config.as_deref(), &a.sets)?;
    let Some(found) = config.timetables(&Bars::new())? else { return Ok(false) };
    if a.json {
        let numbers =
            |t: &Timetable| t.costs.iter().map(|(n, x)| (n.to_string(), json!(x))).collect::<Map<_, _>>();
        let one = |t: &Timetable| json!({ "name": t.name, "about": t.about, "mean_per_slot": Value::Object(numbers(t)), "before": t.before, "cycle": t.cycle });
        let all: Vec<_> = found.all.iter().map(one).collect();
        say!(
            "{}",
            json!({ "task": C::NAME, "about": found.about, "columns": found.columns, "schedules": all })
        );
        return Ok(true);
    }
    for t in &found.all {
        let costs: Vec<_> = t.costs.iter().map(|(name, x)| format!("{name} {x:.4}")).collect();
        say!("{}: {}", t.name, t.about);
        say!("  {} per slot in the long run", costs.join(", "));
        let repeats = t.cycle.len();
        match t.before.len() {
            0 => say!("  repeats its {repeats} slots from the first on"),
            n => say!("  repeats its last {repeats} slots, behind the first {n}"),
        }
        say!("  slot  {}", found.columns.join("  "));
        for (n, row) in t.before.iter().chain(&t.cycle).enumerate() {
            if n == t.before.len() && n > 0 {
                say!("  from here on again and again:");
            }
            let cells = row
                .iter()
                .zip(&found.columns)
                .map(|(on, name)| format!("{:^width$}", if *on { "●" } else { "·" }, width = name.len()));
            say!("  {n:>4}  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    Ok(true)
}
