//! Replays: agents of a task in the same episodes, to be looked at side by side.

use super::actor::Actor;
use super::checkpoint::Checkpoint;
use super::errors::JobError;
use super::record::Shot;
use super::task::{Agent, Task};
use crate::files::{if_there, write_whole};
use crate::report::figure::colour_of;
use crate::report::replay::{Cast, FILE, Replay};
use std::path::{Path, PathBuf};

/// Most episodes of a page.
pub const MOST_EPISODES: usize = 64;

/// An agent, ready to act.
pub struct Player<C: Task> {
    pub agent: &'static Agent<C>,
    pub config: C,
    /// The networks of a learned one.
    pub actor: Option<Actor>,
    /// Where its weights are from; else empty.
    pub note: String,
}

impl<C: Task> Player<C> {
    /// One that needs no weights.
    pub fn fixed(agent: &'static Agent<C>, config: C) -> Self {
        Player { agent, config, actor: None, note: String::new() }
    }
    /// The policy of a replica.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn trained(agent: &'static Agent<C>, config: C, saved: &Checkpoint<C>, replica: usize) -> Self {
        let one = saved.weights_of([replica]);
        let actor = Actor::new(&one.algorithm(), &one.state.params);
        let note = format!("weights of training seed {} at update {}", one.seeds[0], one.state.updates);
        Player { agent, config, actor: Some(actor), note }
    }
}

/// Plays these agents, one at least, with the same draws.
///
/// # Errors
/// What one of them cannot do.
pub fn replay<C: Task>(players: &[Player<C>], shot: &Shot) -> Result<Replay, JobError> {
    let mut scene = None;
    let mut casts = Vec::new();
    for player in players {
        let (own, takes) = player.config.film(player.agent, player.actor.as_ref(), shot)?;
        scene.get_or_insert(own);
        let (id, summary) = (player.agent.id, player.agent.summary);
        let about =
            if player.note.is_empty() { summary.into() } else { format!("{summary}; {}", player.note) };
        casts.push(Cast { agent: id.into(), about, rgb: colour_of(C::palette(), id), takes });
    }
    let (revision, dirty) = super::rows::sources();
    let changed = if dirty == Some(true) { " with local changes" } else { "" };
    let revision =
        revision.map_or(String::new(), |r| format!(", revision {}{changed}", r.get(..12).unwrap_or(r)));
    let first = &players[0].config;
    Ok(Replay {
        task: C::NAME,
        scene: scene.expect("somebody plays"),
        seed: shot.seed,
        slots: shot.slots.min(first.env(&[]).sizes().slots),
        casts,
        config: first.to_toml(),
        made_by: format!("isacbench {}{revision}, draws of seed {}", env!("CARGO_PKG_VERSION"), shot.seed),
    })
}

/// Slots of an episode, and episodes, of the replay beside a report.
const REPORT_SLOTS: usize = 200;
const REPORT_EPISODES: usize = 2;

/// Writes the replay of [`Task::SHOWN`] beside the report of a job in `dir`: learned agents with the weights that its
/// trainings left there, at the configuration's place of the swept axis or else the highest. Agents that the job has
/// not are left out; with fewer than two there is no replay, and one of an earlier report is removed.
///
/// # Errors
/// What an agent cannot do, and what the file system refuses.
pub fn beside_report<C: Task>(config: &C, dir: &Path) -> Result<Option<PathBuf>, JobError> {
    let runs = config.runs();
    let mut found = Vec::new();
    for id in C::SHOWN {
        let Some(run) = runs.iter().find(|r| r.agent.id == *id && r.variant.is_empty()) else { continue };
        let path = dir.join("training").join(&run.folder).join("checkpoint.safetensors");
        if !run.agent.is_learned() {
            found.push((run, None));
        } else if path.exists() {
            found.push((run, Some(Checkpoint::<C>::load(&path)?)));
        }
    }
    let path = dir.join(FILE);
    if found.len() < 2 {
        if_there(std::fs::remove_file(&path)).map_err(|e| JobError::file(&path, e))?;
        return Ok(None);
    }
    let (mut place, mut seed) = (config.swept(), config.common().evaluate.seed);
    if let Some(saved) = found.iter().find_map(|(_, saved)| saved.as_ref()) {
        if !saved.swept.contains(&place) {
            place = saved.swept.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        }
        // As the evaluation of its first replica there.
        let first = saved.swept.iter().position(|x| *x == place).expect("one of them");
        seed = seed.wrapping_add(saved.seeds[first]);
    }
    let mut players = Vec::new();
    for (run, saved) in &found {
        let own = run.config.at(place);
        match saved {
            None => players.push(Player::fixed(run.agent, own)),
            Some(saved) => {
                let replica = saved.swept.iter().position(|x| *x == place);
                players.extend(replica.map(|r| Player::trained(run.agent, own, saved, r)));
            }
        }
    }
    let page = replay(&players, &Shot { seed, episodes: REPORT_EPISODES, slots: REPORT_SLOTS })?.html();
    std::fs::create_dir_all(dir)
        .and_then(|()| write_whole(&path, page.as_bytes()))
        .map_err(|e| JobError::file(&path, e))?;
    Ok(Some(path))
}
