//! `isacbench tune`

use super::common::{Common, size, time};
use super::place;
use super::print::{note, say};
use super::sweep::{device_name, open, say_costs, say_not_ok, some_replicas, usual_replicas, work};
use crate::run::sweep::Shard;
use crate::run::sweep::SweepError;
use crate::run::sweep::dataset::PLAN;
use crate::run::sweep::run::{self, Way};
use crate::run::task::Task;
use crate::run::tune::{Ask, SpaceFile, Tuning, page};
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct TuneArgs {
    #[arg(value_name = "TASK")]
    pub(super) task: String,
    /// Learned agent (repeatable, or several with commas) [default: all of the task]
    #[arg(long = "agent", value_name = "AGENT", value_delimiter = ',')]
    agents: Vec<String>,
    /// Trials of each agent
    #[arg(long, value_name = "N")]
    trials: u32,
    /// Slots that a seed of a whole trial may take, such as 2000000 or 2e6
    #[arg(long, value_name = "SLOTS", value_parser = slots)]
    budget: u64,
    /// Successive halving: one of ETA trials goes on to ETA times the slots [default without a number: 3]
    #[arg(long, value_name = "ETA", num_args = 0..=1, default_missing_value = "3")]
    halving: Option<u32>,
    /// Seeds of every trial, with commas, none of them one of evaluation [default: the file's]
    #[arg(long, value_name = "SEEDS", value_delimiter = ',')]
    seeds: Vec<u32>,
    /// What may vary, the objective and the tuning seeds, as TOML [default: the task's own]
    #[arg(long, value_name = "FILE.toml")]
    space: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Folder for dataset, settings and page [default: runs/tune-TASK]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print batches, memory and time, from a short measurement, and stop
    #[arg(long)]
    dry_run: bool,
    /// Continue the tuning in --out, or begin it if there is none
    #[arg(long)]
    resume: bool,
    /// Most replicas side by side [default: 16 on a CPU and 256 on a GPU; what does not fit is split]
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
}

/// A number of slots, also as `2e6`.
fn slots(text: &str) -> Result<u64, String> {
    let whole = |x: f64| (x >= 0.0 && x.fract() == 0.0 && x < 2f64.powi(53)).then_some(x as u64);
    let parsed = text.parse().ok().or_else(|| whole(text.parse().ok()?));
    parsed.ok_or_else(|| format!("'{text}' is no number of slots"))
}

/// Tunes agents of the task whose configuration is `C`.
pub(super) fn tune<C: Task>(a: &TuneArgs) -> Result<()> {
    let replicas = some_replicas(a.replicas)?;
    let (file, origin) = match &a.space {
        Some(path) => (SpaceFile::load(path)?, path.display().to_string()),
        None if C::TUNE.is_empty() => {
            bail!("--space: task '{}' names no ranges of its own; give a file", C::NAME)
        }
        None => {
            let origin = format!("the ranges of task {}", C::NAME);
            (SpaceFile::parse(C::TUNE, &origin)?, origin)
        }
    };
    let ask = Ask {
        agents: &a.agents,
        trials: a.trials,
        budget: a.budget,
        halving: a.halving,
        seeds: &a.seeds,
        config: a.common.config.as_deref(),
        sets: &a.common.sets,
    };
    let tuning = Tuning::<C>::new(&file, &ask, &origin)?;
    let place = place(&a.common.device)?;
    note!("{}", place.why);
    let replicas = replicas.unwrap_or(usual_replicas(&place));
    let (agents, seeds) = (tuning.agents.join(", "), tuning.seeds().len());
    say!("{} trials of each agent ({agents}) with {seeds} seeds", tuning.trials);
    if tuning.sizes.len() > 1 {
        let rungs = tuning.sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        say!("successive halving: {rungs} trials of each agent come to the rungs");
    }
    let out = a.out.clone().unwrap_or_else(|| format!("runs/tune-{}", C::NAME).into());
    let planned = tuning.file(device_name(&place));
    // A folder that holds a job is looked at before time is spent; a new one is made when all is known to be right.
    let mut dataset = match !a.dry_run && out.join(PLAN).exists() {
        true => Some(open(&out, &planned, a.resume)?),
        false => None,
    };
    let expected = tuning.expected();
    let done = |id: &str| dataset.as_ref().is_some_and(|d| d.done.contains_key(id));
    let batches = run::batches(&expected, Shard::WHOLE, replicas, done);
    if !batches.is_empty() {
        let found = run::costs(&expected, &batches, replicas, place.gpu.as_ref())?;
        let objective = &tuning.objective;
        let told = |agent: &str, metric: &str| found.metrics.contains(&(agent.into(), metric.into()));
        if let Some(b) = batches.iter().find(|b| !told(b.agent, objective)) {
            let all = found.metrics.iter().filter(|m| m.0 == b.agent).map(|m| m.1.as_str());
            let all = all.collect::<Vec<_>>().join(", ");
            let what = format!("'{objective}' is no metric of agent '{}'; there are: {all}", b.agent);
            return Err(SweepError::key(&origin, "objective", what).into());
        }
        if a.dry_run {
            say_costs(&batches, &found, replicas);
            return Ok(());
        }
        let seconds = found.costs.iter().map(|c| c.seconds).sum();
        let most = found.costs.iter().map(|c| c.bytes).max().unwrap_or(0);
        say!(
            "{} batches, about {} and {} of memory for the learner (measured in {:.1} s)",
            batches.len(),
            time(seconds),
            size(most),
            found.spent_s
        );
    }
    let mut dataset = match dataset.take() {
        Some(dataset) => dataset,
        None => open(&out, &planned, a.resume)?,
    };
    if !dataset.done.is_empty() {
        note!("{} points are there already", dataset.done.len());
    }
    let run = |way: &mut Way| tuning.run(&mut dataset, device_name(&place), way);
    let tuned = work(&a.common.device, &place, replicas, &out, run)?;
    let written = page::write(&tuning, &tuned, &out)?;
    for (n, agent) in tuning.agents.iter().enumerate() {
        match tuned.chosen(n).and_then(|t| Some((t, t.objective?))) {
            Some((t, mean)) => say!("{agent}: trial {}, {} = {mean:.5}", t.number + 1, tuning.objective),
            None => say!("{agent}: no trial ended well"),
        }
    }
    say_not_ok(&tuned.done);
    for path in written.pages.iter().chain(&written.settings) {
        say!("        {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::slots;

    #[test]
    fn slots_are_whole() {
        assert_eq!((slots("0"), slots("2000000"), slots("2e6")), (Ok(0), Ok(2_000_000), Ok(2_000_000)));
        for bad in ["", "-1", "1.5", "1e300", "nan", "many"] {
            assert!(slots(bad).is_err(), "{bad}");
        }
    }
}
