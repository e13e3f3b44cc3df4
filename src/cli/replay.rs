//! `isacbench replay`

use super::evaluate::weights;
use super::print::{note, say};
use crate::files::write_whole;
use crate::report::replay::LARGE;
use crate::run::checkpoint::Checkpoint;
use crate::run::errors::JobError;
use crate::run::record::Shot;
use crate::run::replay::{MOST_EPISODES, Player, replay as played};
use crate::run::task::{Agent, Task};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ReplayArgs {
    /// Task whose episodes are played
    #[arg(value_name = "TASK")]
    pub(super) task: String,
    /// Agents, with commas between them (docs/agents.md has all) [default: those of the checkpoints]
    #[arg(
        long,
        value_delimiter = ',',
        required_unless_present = "checkpoints",
        value_name = "AGENT[,AGENT]"
    )]
    agents: Vec<String>,
    /// Trained weights of a learned agent: a file, or the folder of its training (repeatable)
    #[arg(long = "checkpoint", value_name = "[AGENT=]PATH")]
    checkpoints: Vec<PathBuf>,
    /// Which replica of each checkpoint, from 0
    #[arg(long, default_value_t = 0, value_name = "R")]
    replica: usize,
    /// Seed of the draws, which are the same for all agents [default: that of `evaluate`, with a checkpoint of its
    /// replica]
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// The first so many episodes of an evaluation with that seed
    #[arg(long, default_value_t = 2, value_name = "N")]
    episodes: usize,
    /// The first so many slots of each episode [default: 400, or all if there are fewer]
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
    /// TOML file with keys that differ from the preset's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a configuration key, for example --set task.p_max_dbm=30 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Page to write
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
    /// Overwrite a page that is there
    #[arg(long)]
    force: bool,
}

/// Slots of an episode that are recorded where nobody says how many.
const USUAL_SLOTS: usize = 400;

/// Records episodes of agents and writes the page that plays them.
pub(super) fn replay<C: Task>(a: &ReplayArgs) -> Result<()> {
    if a.out.is_dir() {
        bail!(
            "--out '{}': a folder; name a file, such as '{}'",
            a.out.display(),
            a.out.join("replay.html").display()
        );
    }
    if a.out.exists() && !a.force {
        bail!("'{}' is there already; overwrite it with --force, or choose another --out", a.out.display());
    }
    if !(1..=MOST_EPISODES).contains(&a.episodes) {
        bail!("--episodes {}: must be from 1 to {MOST_EPISODES}", a.episodes);
    }
    let (players, config, trained) = players::<C>(a)?;
    let all = config.env(&[]).sizes().slots;
    let slots = a.slots.unwrap_or(all.min(USUAL_SLOTS));
    if !(1..=all).contains(&slots) {
        bail!("--slots {slots}: must be from 1 to {all}, the slots of an episode");
    }
    let own = || config.common().evaluate.seed.wrapping_add(trained);
    let shot = Shot { seed: a.seed.unwrap_or_else(own), episodes: a.episodes, slots };
    let page = played(&players, &shot)?.html();
    write_whole(&a.out, page.as_bytes()).with_context(|| format!("cannot write '{}'", a.out.display()))?;
    let names: Vec<_> = players.iter().map(|p| p.agent.id).collect();
    say!(
        "replay of {}, task {}, draws of seed {}: {} ({} bytes)",
        names.join(", "),
        C::NAME,
        shot.seed,
        a.out.display(),
        page.len()
    );
    if page.len() > LARGE {
        note!(
            "warning: a page of more than {} MB is slow to open; lower --episodes or --slots",
            LARGE / 1_000_000
        );
    }
    Ok(())
}

/// The agents that are asked for, the configuration of the first one with weights or else of the command line, and the
/// training seed of those weights or else 0.
fn players<C: Task>(a: &ReplayArgs) -> Result<(Vec<Player<C>>, C, u32)> {
    let mut agents: Vec<&'static Agent<C>> =
        a.agents.iter().map(|id| super::common::agent::<C>(id.trim())).collect::<Result<_>>()?;
    if let Some((_, twice)) =
        agents.iter().enumerate().find(|(i, x)| agents[..*i].iter().any(|y| x.id == y.id))
    {
        bail!("--agents: '{}' is named twice", twice.id);
    }
    let mut saved: Vec<(&'static Agent<C>, Checkpoint<C>, C)> = Vec::new();
    for given in &a.checkpoints {
        let (agent, path) = whose::<C>(given)?;
        if saved.iter().any(|s| s.0.id == agent.id) {
            bail!("--checkpoint: agent '{}' has two", agent.id);
        }
        let (checkpoint, config) = weights::<C>(a.config.as_deref(), &path, agent, &a.sets)?;
        let replicas = checkpoint.seeds.len();
        if a.replica >= replicas {
            bail!("--replica {}: '{}' has {replicas}, counted from 0", a.replica, path.display());
        }
        if !agents.iter().any(|x| x.id == agent.id) {
            // What was trained is looked at first.
            agents.insert(saved.len(), agent);
        }
        saved.push((agent, checkpoint, config));
    }
    if let Some((first, others)) = saved.split_first() {
        for other in others {
            let mut keys = first.2.different_keys(&other.2);
            keys.retain(|key| ["task.", "evaluate."].iter().any(|section| key.starts_with(section)));
            if !keys.is_empty() {
                let (x, y, keys) = (first.0.id, other.0.id, keys.join(", "));
                note!("warning: '{x}' and '{y}' differ in {keys}; what is seen is of different experiments");
            }
        }
    }
    let config = match saved.first() {
        Some(first) => first.2.clone(),
        None => C::load(a.config.as_deref(), &a.sets)?,
    };
    let trained = saved.first().map_or(0, |s| s.1.seeds[a.replica]);
    let mut out = Vec::new();
    for agent in agents {
        out.push(match saved.iter().find(|s| s.0.id == agent.id) {
            Some((agent, checkpoint, own)) => Player::trained(agent, own.clone(), checkpoint, a.replica),
            None if agent.is_learned() => return Err(JobError::NoWeights(agent.id).into()),
            None => Player::fixed(agent, config.clone()),
        });
    }
    Ok((out, config, trained))
}

/// Whose weights a `--checkpoint` has, and where they lie.
fn whose<C: Task>(given: &Path) -> Result<(&'static Agent<C>, PathBuf)> {
    if let Some((id, path)) = given.to_str().and_then(|text| text.split_once('='))
        && let Some(agent) = C::agent(id)
    {
        if !agent.is_learned() {
            bail!("agent '{id}' has no weights to load: drop its --checkpoint");
        }
        return Ok((agent, path.into()));
    }
    let inside = given.join("checkpoint.safetensors");
    let saved = Checkpoint::<C>::load(if given.is_dir() { &inside } else { given })?;
    Ok((super::common::agent::<C>(&saved.agent)?, given.into()))
}
