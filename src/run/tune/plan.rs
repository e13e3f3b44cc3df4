//! Trials of every agent, and the rungs of successive halving.
//!
//! The first trial of an agent is the configuration as it stands; the n-th one draws every key that the agent reads, as
//! the n-th point of a sweep does, so that another key changes no value and all agents have trials alike. A trial has
//! as many updates as its slots allow. With halving by η, rung k of K (from 0) goes up to η^(k+1−K) of these updates,
//! with the learning rates and exploration that the whole run has there, and the best N·η^(−k) trials of each agent
//! come to it.

use super::space::SpaceFile;
use crate::config::{ConfigError, user_sets};
use crate::run::rows::text_of;
use crate::run::sweep::dataset::{SLOTS, TRIAL};
use crate::run::sweep::plan::{Draw, Stage, agents_of, at, leaves, read_of, seeds_of, what_is_read};
use crate::run::sweep::{Mode, Plan, Point, SweepError, digest, task};
use crate::run::task::{Better, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::{Table, Value};

/// What is asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// Ids of learned agents; empty for all.
    pub agents: &'a [String],
    /// Of each agent.
    pub trials: u32,
    /// Slots that a seed of a whole trial may take.
    pub budget: u64,
    /// η of successive halving.
    pub halving: Option<u32>,
    /// In the place of the file's.
    pub seeds: &'a [u32],
    /// Keys that differ from the preset's in all trials, over those of the file.
    pub config: Option<&'a Path>,
    pub sets: &'a [String],
}

/// A tuning, ready to run.
pub struct Tuning<C: Task> {
    /// Every trial in every rung: rungs outermost, then agents, then trials.
    pub(super) all: Plan<C>,
    pub agents: Vec<&'static str>,
    pub trials: usize,
    /// Trials of each agent in every rung.
    pub sizes: Vec<usize>,
    pub objective: String,
    pub better: Better,
    /// How each key is drawn, in the order of the plan's axes.
    pub(super) draws: BTreeMap<String, Draw>,
    /// Keys that were set in all trials.
    pub(super) fixed: Table,
    /// What was asked for, by option or key.
    pub settings: BTreeMap<String, String>,
}

/// Keys that are the tuning's own business.
const TAKEN: [(&str, &str); 4] = [
    ("train.updates", "follows from --budget"),
    ("task.name", "the task is given on the command line"),
    ("experiment", "belongs to `reproduce`"),
    ("reproduce", "belongs to `reproduce`"),
];

impl<C: Task> Tuning<C> {
    /// All trials; `origin` is the name of `file` in errors.
    ///
    /// # Errors
    /// One line with the option or key that is wrong.
    pub fn new(file: &SpaceFile, ask: &Ask, origin: &str) -> Result<Tuning<C>, SweepError> {
        let wrong = |key: &str, what: String| SweepError::key(origin, key, what);
        let option = |name: &str, what: String| SweepError::Option(format!("--{name}: {what}"));
        if file.task != C::NAME {
            return Err(wrong("task", format!("'{}' is not task {}", file.task, C::NAME)));
        }
        let learned: Vec<String> =
            C::agents().iter().filter(|a| a.is_learned()).map(|a| a.id.to_string()).collect();
        let ids = if ask.agents.is_empty() { &learned[..] } else { ask.agents };
        let agents = agents_of::<C>(ids).map_err(|what| option("agent", what))?;
        if let Some(id) = agents.iter().find(|id| !task::agent::<C>(id).is_learned()) {
            return Err(option("agent", format!("'{id}' does not learn; there are: {}", learned.join(", "))));
        }
        if ask.trials == 0 {
            return Err(option("trials", "must be at least 1".into()));
        }
        if ask.halving.is_some_and(|eta| eta < 2) {
            return Err(option("halving", "must be at least 2: one trial of so many goes on".into()));
        }
        let seeds = match ask.seeds {
            [] => seeds_of(&file.seeds).map_err(|what| wrong("seeds", what))?,
            list => match list.iter().enumerate().find(|(i, s)| list[..*i].contains(s)) {
                Some((_, s)) => return Err(option("seeds", format!("{s} is listed twice"))),
                None => list.to_vec(),
            },
        };
        let mut draws = file.draws(origin)?;
        let taken = |key: &str| TAKEN.iter().find(|(t, _)| key == *t || key.starts_with(&format!("{t}.")));
        let own = leaves(&file.config, |_| false);
        let sections = [("config", own.keys().collect::<Vec<_>>()), ("space", draws.keys().collect())];
        for (section, key) in sections.iter().flat_map(|(s, keys)| keys.iter().map(move |k| (s, *k))) {
            if let Some((_, why)) = taken(key) {
                return Err(wrong(&format!("{section}.{key}"), (*why).into()));
            }
        }
        let config_error = |file: &str, source| SweepError::Config { file: file.into(), source };
        let user = |key: &str| user_sets(ask.config, ask.sets, key);
        let user_origin = ask.config.map_or("--set".into(), |p| p.display().to_string());
        if user("train.updates").map_err(|e| config_error(&user_origin, e))? {
            return Err(SweepError::key(&user_origin, "train.updates", "follows from --budget"));
        }
        for key in draws.keys() {
            if own.contains_key(key) {
                return Err(wrong(&format!("space.{key}"), "is set in [config] too".into()));
            }
            if user(key).map_err(|e| config_error(&user_origin, e))? {
                return Err(wrong(&format!("space.{key}"), format!("is set by {user_origin} too")));
            }
        }
        // The file's own keys lie below those of the command line.
        let mut sets = Vec::new();
        for (key, value) in &own {
            if !user(key).map_err(|e| config_error(&user_origin, e))? {
                sets.push(format!("{key}={value}"));
            }
        }
        sets.extend_from_slice(ask.sets);
        let load =
            |more: &[String]| -> Result<C, ConfigError> { C::load(ask.config, &[&sets[..], more].concat()) };
        let from_user = ask.config.is_some() || !ask.sets.is_empty();
        let base = load(&[]).map_err(|e| config_error(if from_user { &user_origin } else { origin }, e))?;
        seeds_of_their_own::<C>(&base, &seeds).map_err(|what| match ask.seeds {
            [] => wrong("seeds", what),
            _ => option("seeds", what),
        })?;

        let reads = |id: &&str, key: &str| base.reads(task::agent(id), key);
        // A file may serve other agents too.
        draws.retain(|key, _| agents.iter().any(|id| reads(id, key)));
        if let Some(id) = agents.iter().find(|id| !draws.keys().any(|key| reads(id, key))) {
            return Err(wrong("space", format!("names no key that agent '{id}' reads")));
        }
        let mut all = Plan {
            mode: Mode::TrainAndEvaluate,
            axes: draws.keys().cloned().chain([SLOTS.to_string(), TRIAL.to_string()]).collect(),
            seeds,
            points: Vec::new(),
            merged: 0,
            weights: BTreeMap::new(),
            tells_training: true,
            keep: BTreeSet::new(),
            hash: String::new(),
        };
        let mut trials = Vec::new();
        for agent in &agents {
            trials.push(trials_of(agent, &draws, file.random_seed, ask, origin, &load)?);
        }
        let sizes = rungs(&trials, ask);
        for rung in 0..sizes.len() {
            for (agent, trials) in agents.iter().zip(&trials) {
                all.points.extend(
                    trials
                        .iter()
                        .enumerate()
                        .map(|(n, t)| point(agent, n, t, (rung, sizes.len()), ask.halving, &draws)),
                );
            }
        }
        let ids: Vec<&[u8]> = all.points.iter().map(|p| p.id.as_bytes()).collect();
        let seeds: Vec<u8> = all.seeds.iter().flat_map(|s| s.to_le_bytes()).collect();
        all.hash = digest(&[&[C::NAME.as_bytes(), &seeds][..], &ids].concat());

        let mut fixed = Table::new();
        let mut settings = BTreeMap::from([
            ("agent".to_string(), agents.join(", ")),
            ("trials".into(), ask.trials.to_string()),
            ("budget".into(), ask.budget.to_string()),
            ("halving".into(), ask.halving.map_or("none".into(), |eta| eta.to_string())),
            ("seeds".into(), format!("{:?}", all.seeds)),
            ("random_seed".into(), file.random_seed.to_string()),
            ("objective".into(), file.objective.clone()),
            ("better".into(), text_of(&file.better)),
        ]);
        settings.extend(draws.iter().map(|(key, draw)| (format!("space.{key}"), draw.to_string())));
        let preset = base.table().get("preset").map(|p| format!("preset={p}"));
        let preset = C::load(None, &Vec::from_iter(preset)).map_err(|e| config_error(origin, e))?.table();
        for (key, value) in leaves(&base.table(), |_| false) {
            if at(&preset, &key).as_ref() != Some(&value) || key == "preset" {
                settings.insert(format!("config.{key}"), value.to_string());
                fixed.insert(key, value);
            }
        }
        Ok(Tuning {
            all,
            agents,
            trials: ask.trials as usize,
            sizes,
            objective: file.objective.clone(),
            better: file.better,
            draws,
            fixed,
            settings,
        })
    }

    /// The points of some trials of every agent in the first `rungs` rungs; `who[rung][agent]` are the trials.
    pub(super) fn part(&self, who: &[Vec<Vec<usize>>]) -> Plan<C> {
        let at = |rung: usize, agent: usize, trial: usize| self.point(rung, agent, trial).clone();
        let mut points = Vec::new();
        for (rung, agents) in who.iter().enumerate() {
            for (agent, trials) in agents.iter().enumerate() {
                points.extend(trials.iter().map(|t| at(rung, agent, *t)));
            }
        }
        Plan {
            mode: self.all.mode,
            axes: self.all.axes.clone(),
            seeds: self.all.seeds.clone(),
            points,
            merged: 0,
            weights: BTreeMap::new(),
            tells_training: self.all.tells_training,
            keep: self.all.keep.clone(),
            hash: self.all.hash.clone(),
        }
    }

    /// A trial (from 0) of an agent in a rung.
    pub(super) fn point(&self, rung: usize, agent: usize, trial: usize) -> &Point<C> {
        &self.all.points[(rung * self.agents.len() + agent) * self.trials + trial]
    }

    /// Of every trial.
    pub fn seeds(&self) -> &[u32] {
        &self.all.seeds
    }

    /// As many points as the tuning will come to, whichever trials go on: what its cost is reckoned from.
    pub fn expected(&self) -> Plan<C> {
        let first = |n: &usize| vec![(0..*n).collect(); self.agents.len()];
        self.part(&self.sizes.iter().map(first).collect::<Vec<_>>())
    }
}

/// Tuning seeds are none that agents are trained or evaluated with afterwards, at any scale.
fn seeds_of_their_own<C: Task>(base: &C, seeds: &[u32]) -> Result<(), String> {
    let common = base.common();
    let mut others = vec![
        ("train.seeds".to_string(), common.train.seeds.clone()),
        ("evaluate.seed".to_string(), vec![common.evaluate.seed]),
    ];
    for (scale, text) in C::SCALES {
        let list = text.parse::<Table>().ok().and_then(|t| at(&t, "train.seeds"));
        let list = list.as_ref().and_then(Value::as_array).into_iter().flatten();
        let list = list.filter_map(|s| u32::try_from(s.as_integer()?).ok()).collect();
        others.push((format!("train.seeds of scale '{scale}'"), list));
    }
    let clash = |s: &&u32| others.iter().find(|(_, list)| list.contains(s)).map(|(key, _)| (**s, key));
    match seeds.iter().find_map(|s| clash(&s)) {
        Some((s, key)) => {
            Err(format!("{s} is among {key}, and what is tuned on a seed is never judged by it"))
        }
        None => Ok(()),
    }
}

/// A trial before it is cut into rungs.
struct Trial<C> {
    config: C,
    /// What its results depend on.
    text: String,
    /// By key; `None` where the agent does not read it.
    values: BTreeMap<String, Option<Value>>,
    /// Slots of one update, updates of the whole run, and those after which there is something learned.
    samples: u64,
    updates: u32,
    warm_up: u32,
}

/// N different trials of an agent.
fn trials_of<C: Task>(
    id: &'static str,
    draws: &BTreeMap<String, Draw>,
    random_seed: u32,
    ask: &Ask,
    origin: &str,
    load: &dyn Fn(&[String]) -> Result<C, ConfigError>,
) -> Result<Vec<Trial<C>>, SweepError> {
    let agent = task::agent::<C>(id);
    let wrong = |source| match source {
        ConfigError::Parse(_, what) => SweepError::Parse(origin.into(), what),
        source => SweepError::Config { file: origin.into(), source },
    };
    let mut seen = BTreeSet::new();
    let mut out: Vec<Trial<C>> = Vec::new();
    let base = load(&[]).map_err(wrong)?;
    let read: Vec<(&String, &Draw)> = draws.iter().filter(|(k, _)| base.reads(agent, k)).collect();
    // Where there are few values, draws repeat; after this many there are no new ones.
    let most = 1000 + 100 * ask.trials;
    for n in 0..most {
        if out.len() == ask.trials as usize {
            return Ok(out);
        }
        let drawn = |(key, draw): &(&String, &Draw)| format!("{key}={}", draw.value(random_seed, key, n));
        let sets: Vec<String> = if n == 0 { Vec::new() } else { read.iter().map(drawn).collect() };
        if !seen.insert(sets.clone()) {
            continue;
        }
        let config = load(&sets).and_then(|c| c.relations_for(id).map(|()| c)).map_err(wrong)?;
        let Some(learner) = config.algorithm(agent, &[]) else { unreachable!("a learned agent") };
        let (samples, warm_up) = (learner.samples() as u64, learner.warm_up());
        let updates = u32::try_from(ask.budget / samples).unwrap_or(u32::MAX);
        if updates <= warm_up {
            return Err(SweepError::Option(format!(
                "--budget: {} slots are too few: agent '{id}' takes {samples} an update, and needs at least {} of them",
                ask.budget,
                warm_up + 1
            )));
        }
        let config = load(&[sets, vec![format!("train.updates={updates}")]].concat()).map_err(wrong)?;
        let text = what_is_read(Mode::TrainAndEvaluate, &config, agent);
        // The configuration as it stands may be drawn too.
        if out.iter().any(|t| t.text == text) {
            continue;
        }
        let table = config.table();
        let reads = |key: &str| config.reads(agent, key);
        let mut values = BTreeMap::new();
        for key in draws.keys() {
            let Some(own) = at(&table, key) else {
                let what = "is no key of the configuration";
                return Err(SweepError::key(origin, format!("space.{key}"), what));
            };
            values.insert(key.clone(), read_of(key, own, &reads));
        }
        out.push(Trial { config, text, values, samples, updates, warm_up });
    }
    Err(SweepError::Option(format!(
        "--trials: there are only {} different settings of agent '{id}' in [space] of {origin}",
        out.len()
    )))
}

/// How many trials come to each rung: one rung without halving; with it, as many rungs as leave
/// at least one trial for the last and, for the first, more updates than a warm-up takes.
fn rungs<C>(trials: &[Vec<Trial<C>>], ask: &Ask) -> Vec<usize> {
    let Some(eta) = ask.halving else { return vec![ask.trials as usize] };
    let mut out = vec![ask.trials as usize];
    let learns = |share: u32| trials.iter().flatten().all(|t| t.updates / share > t.warm_up);
    let mut share = eta;
    while let Some(left) = out.last().map(|n| n / eta as usize).filter(|n| *n > 0 && learns(share)) {
        out.push(left);
        let Some(next) = share.checked_mul(eta) else { break };
        share = next;
    }
    out
}

/// A trial in rung `rung` of `rungs`.
fn point<C: Task>(
    agent: &'static str,
    n: usize,
    t: &Trial<C>,
    (rung, rungs): (usize, usize),
    halving: Option<u32>,
    draws: &BTreeMap<String, Draw>,
) -> Point<C> {
    let until = |rung: usize| t.updates / halving.unwrap_or(1).pow((rungs - 1 - rung) as u32);
    let id = |rung: usize| {
        let stop = until(rung).to_string();
        format!("p{}", digest(&[C::NAME, "tune", agent, &t.text, &stop].map(str::as_bytes)))
    };
    let slots = i64::try_from(u64::from(until(rung)) * t.samples).unwrap_or(i64::MAX);
    let axes = draws.keys().map(|key| t.values[key].clone());
    Point {
        id: id(rung),
        agent,
        config: t.config.clone(),
        axes: axes.chain([Some(Value::Integer(slots)), Some(Value::Integer(n as i64 + 1))]).collect(),
        stage: Some(Stage {
            from: (rung > 0).then(|| (id(rung - 1), until(rung - 1))),
            until: until(rung),
            keep: rung + 1 < rungs,
        }),
    }
}
