//! `isacbench train`

use super::folder::{self, Again};
use super::print::{note, say};
use super::watch::{Bars, end_in_order};
use super::{Common, manifest, place};
use crate::run::journal::Journal;
use crate::run::reproduce::{self, RunId, Training};
use crate::run::task::Task;
use crate::run::tensorboard;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct TrainArgs {
    #[command(flatten)]
    common: Common,
    /// Task to train on [default: the one that has the agent]
    #[arg(long)]
    pub(super) task: Option<String>,
    /// Learned agent [default: the task's own]
    #[arg(long)]
    pub(super) agent: Option<String>,
    /// Folder for checkpoint.safetensors, curves and manifest.json
    #[arg(long, default_value = "runs/train", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    again: Again,
    /// Also write learning curves as event files for TensorBoard, a folder for each agent and seed
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

/// Trains one replica per seed at the configuration's place on the swept axis.
pub(super) fn train<C: Task>(a: &TrainArgs) -> Result<()> {
    let config = C::load(a.common.config.as_deref(), &a.common.sets)?;
    let agent = super::common::agent::<C>(a.agent.as_deref().unwrap_or(C::LEARNER))?;
    if !agent.is_learned() {
        let learned = C::agents().iter().filter(|x| x.is_learned()).map(|x| x.id);
        let learned = learned.collect::<Vec<_>>().join(", ");
        bail!("agent '{}' needs no training; learned agents: {learned}", agent.id);
    }
    config.relations_for(agent.id)?;
    let place = place(&a.common.device)?;
    let folder = folder::for_training(&a.out, a.again)?;
    note!("{}", place.why);
    end_in_order()?;
    let started = Instant::now();
    let replicas = reproduce::grid(&[config.swept()], &config.common().train.seeds);
    let seeds = replicas.len() as u64;
    let manifest = manifest(&config, &[agent.id.to_string()], &place);
    let journal = Journal::new(&a.out, manifest, folder.before.clone());
    let training = Training {
        config: &config,
        run: RunId { agent, variant: String::new() },
        replicas,
        dir: a.out.clone(),
        every: config.common().checkpoint_every,
        resume: a.again.resume,
        journal: Some(&journal),
        events: a.tensorboard.clone().map(|dir| tensorboard::Place { dir, force: a.again.force }),
        best: true,
    };
    if a.again.resume && !training.checkpoint_path().exists() {
        note!("no checkpoint in {}: starting from the beginning", a.out.display());
    }
    let trained = training.run(place.gpu.as_ref(), &Bars::new())?;
    #[cfg(feature = "report")]
    {
        use crate::report::frames;
        let write = |name: &str, mut frame| frames::write_parquet(&a.out.join(name), &mut frame);
        write("curves.parquet", frames::frame(&trained.curves, C::SCHEMA)?)?;
        for (name, svg) in crate::report::curve::curves(&trained.curves, C::SCHEMA, &C::palette().into())? {
            crate::files::write_whole(&a.out.join(name), svg.as_bytes())?;
        }
        if !trained.activity.is_empty() {
            write("activity.parquet", frames::frame(&trained.activity, C::SCHEMA)?)?;
        }
    }
    let updates = trained.checkpoint.state.updates;
    let checkpoint = training.checkpoint_path();
    let checkpoint = checkpoint.display();
    if trained.found == updates {
        // A manifest that is there tells who did the work.
        if folder.before.is_none() {
            journal.write()?;
        }
        say!("nothing was left to do: {updates} updates were done before, checkpoint {checkpoint}");
        return Ok(());
    }
    journal.write()?;
    let steps = |updates: u32| u64::from(updates) * trained.checkpoint.algorithm().samples() as u64 * seeds;
    let own = steps(updates - trained.found);
    let per_second = own as f64 / started.elapsed().as_secs_f64();
    match trained.found {
        0 => say!("{own} environment steps, {per_second:.3e} per second, checkpoint {checkpoint}"),
        found => say!(
            "{own} environment steps from update {found} to {updates}, {per_second:.3e} per second ({} steps in all), checkpoint {checkpoint}",
            steps(updates)
        ),
    }
    #[cfg(feature = "report")]
    say!("learning curves: {}", a.out.join("curve-*.svg").display());
    let best = trained.best.iter().zip(&trained.checkpoint.seeds);
    let best = best
        .filter_map(|(b, seed)| b.map(|(at, reward)| format!("seed {seed} {reward:.4} after update {at}")));
    let best: Vec<String> = best.collect();
    if !best.is_empty() {
        let path = a.out.join("best.safetensors");
        let more = if best.len() > 5 { format!(", and {} more", best.len() - 5) } else { String::new() };
        say!(
            "best rewards while training ({}): {}{more}",
            path.display(),
            best[..best.len().min(5)].join(", ")
        );
    }
    Ok(())
}
