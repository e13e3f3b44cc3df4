//! `isacbench train`

use super::watch::Bars;
use super::{Common, Place, find_misac_agent, find_v2x_agent, manifest, place};
use crate::config::Layered;
use crate::run::reproduce::{self, Job, RunId, Trained, Training};
use crate::tasks::misac::agents as misac;
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::v2x::agents as v2x;
use crate::tasks::v2x::config::V2xConfig;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct TrainArgs {
    #[command(flatten)]
    common: Common,
    /// Task to train on
    #[arg(long, default_value = "v2x", value_parser = ["v2x", "misac"])]
    task: String,
    /// Learned agent [default: ppo, or h-moe of task misac]
    #[arg(long)]
    agent: Option<String>,
    /// Folder for checkpoint.safetensors, curves and manifest.json
    #[arg(long, default_value = "runs/train", value_name = "DIR")]
    out: PathBuf,
    /// Continue from the checkpoint in --out
    #[arg(long)]
    resume: bool,
}

pub fn train(a: &TrainArgs) -> Result<()> {
    let (file, sets) = (a.common.config.as_deref(), &a.common.sets[..]);
    match a.task.as_str() {
        "misac" => {
            let config = MisacConfig::load(file, sets)?;
            let agent = find_misac_agent(a.agent.as_deref().unwrap_or("h-moe"))?;
            let learned = misac::AGENTS.iter().filter(|x| x.architecture().is_some()).map(|x| x.id);
            must_learn(agent.id, learned.collect())?;
            let (at, every) = (config.task.snr_db, config.reproduce.checkpoint_every);
            run(a, &config, agent.id, at, every, &place(&a.common.device)?, |trained| {
                #[cfg(feature = "report")]
                parquet(a, "curves", &trained.curves)?;
                Ok(trained.curves.iter().map(|r| r.env_steps).max())
            })
        }
        _ => {
            let config = V2xConfig::load(file, sets)?;
            let agent = find_v2x_agent(a.agent.as_deref().unwrap_or("ppo"))?;
            must_learn(agent.id, v2x::AGENTS.iter().filter(|x| x.is_learned()).map(|x| x.id).collect())?;
            let (at, every) = (config.task.p_max_dbm, config.reproduce.checkpoint_every);
            run(a, &config, agent.id, at, every, &place(&a.common.device)?, |trained| {
                #[cfg(feature = "report")]
                {
                    parquet(a, "curves", &trained.curves)?;
                    if !trained.activity.is_empty() {
                        parquet(a, "activity", &trained.activity)?;
                    }
                }
                Ok(trained.curves.iter().map(|r| r.env_steps).max())
            })
        }
    }
}

fn must_learn(agent: &str, learned: Vec<&str>) -> Result<()> {
    if !learned.contains(&agent) {
        bail!("agent '{agent}' needs no training; learned agents: {}", learned.join(", "));
    }
    Ok(())
}

#[cfg(feature = "report")]
fn parquet<R: crate::report::frames::TableRow>(a: &TrainArgs, name: &str, rows: &[R]) -> Result<()> {
    use crate::report::frames;
    Ok(frames::write_parquet(&a.out.join(format!("{name}.parquet")), &mut frames::frame(rows)?)?)
}

/// Trains one replica per seed at the swept value `at`. `write` writes the rows' tables and gives the environment steps of a replica.
fn run<C: Job>(
    a: &TrainArgs,
    config: &C,
    agent: &'static str,
    at: f64,
    every: u32,
    place: &Place,
    write: impl FnOnce(&Trained<C>) -> Result<Option<u64>>,
) -> Result<()> {
    eprintln!("{}", place.why);
    let started = Instant::now();
    let replicas = reproduce::grid(&[at], &config.train_config().seeds);
    let seeds = replicas.len() as u64;
    let run = RunId { agent, variant: String::new() };
    let training = Training { config, run, replicas, dir: a.out.clone(), every, resume: a.resume };
    if a.resume && !training.checkpoint_path().exists() {
        eprintln!("no checkpoint in {}: starting from the beginning", a.out.display());
    }
    let mut manifest = manifest(config, &[agent.to_string()], place);
    let trained = training.run(place.gpu.as_ref(), &Bars::new())?;
    let steps = write(&trained)?.unwrap_or(0) * seeds;
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    let path = a.out.join("manifest.json");
    crate::files::write_whole(&path, serde_json::to_string_pretty(&manifest)?.as_bytes())
        .with_context(|| format!("cannot write '{}'", path.display()))?;
    println!(
        "{} environment steps, {:.3e} per second, checkpoint {}",
        steps,
        steps as f64 / started.elapsed().as_secs_f64(),
        training.checkpoint_path().display()
    );
    Ok(())
}
