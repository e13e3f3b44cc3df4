//! `isacbench train`

use super::watch::Bars;
use super::{Common, find_agent, manifest, place};
use crate::agents::AGENTS;
use crate::config::{Config, Layered};
use crate::reproduce::{self, RunId, Training};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct TrainArgs {
    #[command(flatten)]
    common: Common,
    /// Task to train on
    #[arg(long, default_value = "v2x", value_parser = ["v2x"])]
    task: String,
    /// Learned agent
    #[arg(long, default_value = "ppo")]
    agent: String,
    /// Folder for checkpoint.safetensors, curves and manifest.json
    #[arg(long, default_value = "runs/train", value_name = "DIR")]
    out: PathBuf,
    /// Continue from the checkpoint in --out
    #[arg(long)]
    resume: bool,
}

pub fn train(a: &TrainArgs) -> Result<()> {
    let config = Config::load(a.common.config.as_deref(), &a.common.sets)?;
    let agent = find_agent(&a.agent)?;
    if !agent.kind.is_learned() {
        let learned: Vec<_> = AGENTS.iter().filter(|x| x.kind.is_learned()).map(|x| x.id).collect();
        bail!("agent '{}' needs no training; learned agents: {}", agent.id, learned.join(", "));
    }
    let place = place(&a.common.device)?;
    eprintln!("{}", place.why);
    let started = Instant::now();
    let replicas = reproduce::grid(&[config.task.p_max_dbm], &config.train.seeds);
    let training = Training {
        config: &config,
        run: RunId { agent: agent.id, variant: String::new() },
        replicas,
        dir: a.out.clone(),
        every: config.reproduce.checkpoint_every,
        resume: a.resume,
    };
    if a.resume && !training.checkpoint_path().exists() {
        eprintln!("no checkpoint in {}: starting from the beginning", a.out.display());
    }
    let mut manifest = manifest(&config, &[agent.id.to_string()], &place);
    let trained = training.run(place.gpu.as_ref(), &Bars::new())?;
    let rows = trained.curves;
    #[cfg(feature = "report")]
    {
        use crate::report::frames;
        frames::write_parquet(&a.out.join("curves.parquet"), &mut frames::curves(&rows)?)?;
        if !trained.activity.is_empty() {
            let path = a.out.join("activity.parquet");
            frames::write_parquet(&path, &mut frames::activity(&trained.activity)?)?;
        }
    }
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    let path = a.out.join("manifest.json");
    crate::files::write_whole(&path, serde_json::to_string_pretty(&manifest)?.as_bytes())
        .with_context(|| format!("cannot write '{}'", path.display()))?;
    let steps = rows.iter().map(|r| r.env_steps).max().unwrap_or(0) * config.train.seeds.len() as u64;
    println!(
        "{} environment steps, {:.3e} per second, checkpoint {}",
        steps,
        steps as f64 / started.elapsed().as_secs_f64(),
        training.checkpoint_path().display()
    );
    Ok(())
}
