//! The points that a sweep file stands for.
//!
//! Points come in the order agent, grid (the last key fastest), list, draw; keys in alphabetical order. A point is what
//! its agent reads ([`Task::reads`]): combinations that are equal in it are one point, which has no value on the other
//! axes. Its id is made of its agent and these keys, so that it is the same whatever else is swept beside it; the
//! plan's hash is made of all ids and the seeds. (In format `isacbench-sweep-1` ids were made of the whole
//! configuration; they differ from these.) Where a replica's seed is `s`, it trains and is evaluated under Philox keys
//! (s, …), as in `reproduce`.
//!
//! In mode `evaluate` all agents have the task and the evaluation that the checkpoints hold, with the file's own keys
//! on top.

mod axes;
mod file;
mod point;
mod reads;
mod shard;
mod weights;

pub(in crate::run) use axes::{Draw, draw_of, is_draw, leaves};
pub use file::{Mode, SweepFile};
pub(in crate::run) use file::{Seeds, with_key};
pub use point::{Point, Stage};
pub(in crate::run) use reads::{read_of, what_is_read};
pub use shard::Shard;
pub use weights::Weights;

use super::task::Keep;
use super::{SweepError, digest, task};
use crate::run::rows::text_of;
use crate::run::task::Task;
pub(in crate::run) use crate::run::task::value_at as at;
use axes::combinations;
use reads::reads;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};
use weights::weights_of;

/// Most points of a sweep.
const MOST_POINTS: usize = 1_000_000;

/// All points of a sweep, in their order.
pub struct Plan<C: Task> {
    pub mode: Mode,
    /// Dotted configuration keys that are swept.
    pub axes: Vec<String>,
    pub seeds: Vec<u32>,
    pub points: Vec<Point<C>>,
    /// Combinations of values that are one of these points, because they differ only in what its agent does not read.
    pub merged: usize,
    /// By agent, in mode `evaluate`.
    pub weights: BTreeMap<String, Weights<C>>,
    /// Whether rows tell of the last update of a training too.
    pub tells_training: bool,
    /// What they tell beside that.
    pub keep: BTreeSet<Keep>,
    /// Of everything that a result depends on.
    pub hash: String,
}

/// Keys that cannot be swept, each with the reason: the sweep sets them itself, or they do not apply to it.
const TAKEN: [(&str, &str); 6] = [
    ("train.seeds", "seeds of a sweep are given by 'seeds'"),
    ("evaluate.seed", "a replica is evaluated under its own seed, from 'seeds'"),
    ("task.name", "the task is given by 'task'"),
    ("experiment", "belongs to `reproduce`"),
    ("reproduce.p_max_dbm", "belongs to `reproduce`: sweep task.p_max_dbm"),
    ("reproduce.snr_db", "belongs to `reproduce`: sweep task.snr_db"),
];

impl<C: Task> Plan<C> {
    /// The points of a sweep file; `origin` is its name in errors.
    ///
    /// # Errors
    /// [`SweepError::Key`] or [`SweepError::Config`] with the key that is wrong; in mode `evaluate` also what is wrong
    /// with a checkpoint.
    pub fn new(file: &SweepFile, origin: &str) -> Result<Plan<C>, SweepError> {
        let wrong = |key: &str, what: String| SweepError::key(origin, key, what);
        if file.task != C::NAME {
            return Err(wrong("task", format!("'{}' is not task {}", file.task, C::NAME)));
        }
        let agents = agents_of::<C>(&file.agents).map_err(|what| wrong("agents", what))?;
        let seeds = seeds_of(&file.seeds).map_err(|what| wrong("seeds", what))?;
        if file.replicas == Some(0) {
            return Err(wrong("replicas", "must be at least 1".into()));
        }
        let fixed = leaves(&file.config, |_| false);
        let (grid, list) = (leaves(&file.grid, |_| false), leaves(&file.list, |_| false));
        let random = leaves(&file.random, is_draw);
        let mut axes: BTreeSet<String> = BTreeSet::new();
        for (section, keys) in [("grid", &grid), ("list", &list), ("random", &random)] {
            for key in keys.keys() {
                let name = format!("{section}.{key}");
                if fixed.contains_key(key) {
                    return Err(wrong(&name, "is set in [config] too".into()));
                }
                if !axes.insert(key.clone()) {
                    return Err(wrong(&name, "is swept twice".into()));
                }
            }
        }
        for (section, key) in fixed.keys().map(|k| ("config.", k)).chain(axes.iter().map(|k| ("", k))) {
            let taken = TAKEN.iter().find(|(t, _)| key == t || key.starts_with(&format!("{t}.")));
            if let Some((_, why)) = taken {
                return Err(wrong(&format!("{section}{key}"), (*why).into()));
            }
        }
        let values = |section: &str, t: &BTreeMap<String, Value>| {
            t.iter()
                .map(|(key, v)| match v {
                    Value::Array(list) if !list.is_empty() => Ok((key.clone(), list.clone())),
                    _ => Err(wrong(&format!("{section}.{key}"), format!("{v} must be a list of values"))),
                })
                .collect::<Result<BTreeMap<_, _>, _>>()
        };
        let (grid, list) = (values("grid", &grid)?, values("list", &list)?);
        let length = list.values().map(Vec::len).next().unwrap_or(1);
        if let Some((key, v)) = list.iter().find(|(_, v)| v.len() != length) {
            let what = format!("has {} values where the first list has {length}", v.len());
            return Err(wrong(&format!("list.{key}"), what));
        }
        let random = random
            .iter()
            .map(|(key, v)| Ok((key.clone(), draw_of(v).map_err(|e| wrong(&format!("random.{key}"), e))?)))
            .collect::<Result<BTreeMap<_, _>, SweepError>>()?;
        let draws = match (file.draws, random.is_empty()) {
            (None, true) => 1,
            (Some(n), false) if n > 0 => n,
            (Some(_), true) => return Err(wrong("draws", "there is no axis in [random]".into())),
            (_, false) => {
                return Err(wrong("draws", "must say how many points [random] draws, at least 1".into()));
            }
        };
        if file.points() > MOST_POINTS {
            return Err(wrong("grid", format!("there are more than {MOST_POINTS} points")));
        }
        let weights = weights_of::<C>(file, &agents, &wrong)?;
        let axes: Vec<String> = axes.into_iter().collect();
        // Of few values some are drawn again. The same point twice is one result counted twice, so it is there once.
        let mut seen = BTreeSet::new();
        let drawn: Vec<Vec<(&str, Value)>> = (0..draws)
            .map(|n| random.iter().map(|(k, d)| (k.as_str(), d.value(file.random_seed, k, n))).collect())
            .filter(|d: &Vec<(&str, Value)>| seen.insert(format!("{d:?}")))
            .collect();

        let mut plan = Plan {
            mode: file.mode,
            axes,
            seeds,
            points: Vec::new(),
            merged: 0,
            weights,
            tells_training: false,
            keep: file.keep.clone(),
            hash: String::new(),
        };
        if !plan.weights.is_empty()
            && (fixed.contains_key("preset") || plan.axes.iter().any(|a| a == "preset"))
        {
            let what = "has no place beside [checkpoints], whose configuration is taken";
            return Err(wrong("preset", what.into()));
        }
        // By id, the combinations that gave the point: their number, from 1, and their values.
        let mut seen: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        let mut number = 0;
        let sets: Vec<String> = fixed.iter().map(|(k, v)| format!("{k}={v}")).collect();
        for agent in agents {
            for cell in combinations(&grid) {
                for row in 0..length {
                    for drawn in &drawn {
                        let row = list.iter().map(|(k, v)| (k.as_str(), v[row].clone()));
                        let own: Vec<_> =
                            cell.iter().cloned().chain(row).chain(drawn.iter().cloned()).collect();
                        let (point, values) = plan.point(agent, &sets, &own, origin)?;
                        number += 1;
                        let same = seen.entry(point.id.clone()).or_default();
                        if let Some((first, _)) = same.iter().find(|s| s.1 == values) {
                            let of = plan.describe(&point);
                            let what = format!(
                                "points {first} and {number} are the same ({of}); an axis lists a value twice"
                            );
                            let key = plan.axes.first().map_or("agents", |a| a);
                            return Err(wrong(key, what));
                        }
                        if same.is_empty() {
                            plan.points.push(point);
                        }
                        same.push((number, values));
                    }
                }
            }
        }
        let unread = |i: &usize| plan.points.iter().all(|p| p.axes[*i].is_none());
        if let Some(i) = (0..plan.axes.len()).find(unread) {
            let what = format!("changes nothing: none of the agents reads it ({})", file.agents.join(", "));
            return Err(wrong(&plan.axes[i], what));
        }
        plan.merged = number - plan.points.len();
        plan.hash = plan.hash();
        Ok(plan)
    }

    /// The point of a combination, and its values on all axes, those that are not read too, as text.
    fn point(
        &self,
        agent: &'static str,
        sets: &[String],
        own: &[(&str, Value)],
        origin: &str,
    ) -> Result<(Point<C>, String), SweepError> {
        let sets: Vec<String> =
            sets.iter().cloned().chain(own.iter().map(|(k, v)| format!("{k}={v}"))).collect();
        let (first, weights) = (self.weights.values().next(), self.weights.get(agent));
        // What is compared must have one task: agents without weights take that of the checkpoints.
        let loaded = match weights.or(first) {
            Some(w) => w.checkpoint.config.with(&sets),
            None => C::load(None, &sets),
        };
        use crate::config::ConfigError;
        let config =
            loaded.and_then(|c| c.relations_for(agent).map(|()| c)).map_err(|source| match source {
                // Layers say where a key came from; here all came from this file.
                ConfigError::Parse(_, what) => SweepError::Parse(origin.into(), what),
                source => SweepError::Config { file: origin.into(), source },
            })?;
        if let Some(w) = weights {
            let other = config.other_decision(&w.checkpoint.config, task::agent(agent));
            let what = if !other.is_empty() {
                let keys = other.join(", ");
                Some(format!(
                    "'{}' was trained with another value of {keys}, so its policy does not fit",
                    w.path.display()
                ))
            } else {
                let missing = self.seeds.iter().find(|s| w.replica(&config, **s).is_none());
                missing.map(|s| {
                    let (path, at) = (w.path.display(), config.swept());
                    format!("'{path}' holds no replica of seed {s} at {at} {}", C::SWEPT.unit)
                })
            };
            let what = what.or_else(|| {
                let first = first.filter(|f| f.path != w.path)?;
                let (key, [there, here]) =
                    other_task(&first.checkpoint.config.with(&sets).ok()?.table(), &config.table())?;
                let (a, b) = (first.path.display(), w.path.display());
                let how = "agents of one table need one task: set it in [config], or sweep it";
                Some(format!("{key} is {there} in '{a}' and {here} in '{b}'; {how}"))
            });
            if let Some(what) = what {
                return Err(SweepError::key(origin, format!("checkpoints.{agent}"), what));
            }
        }
        let table = config.table();
        let values: Vec<Option<Value>> = self.axes.iter().map(|key| at(&table, key)).collect();
        let reads = |key: &str| reads(self.mode, &config, task::agent(agent), key);
        let axes = self.axes.iter().zip(&values).map(|(key, v)| read_of(key, v.clone()?, &reads)).collect();
        let weights = weights.map_or("", |w| &w.digest);
        let text = what_is_read(self.mode, &config, task::agent(agent));
        let mode = text_of(&self.mode);
        let parts = [C::NAME, &mode, agent, weights, &text].map(str::as_bytes);
        let point = Point { id: format!("p{}", digest(&parts)), agent, config, axes, stage: None };
        Ok((point, format!("{values:?}")))
    }

    /// Of everything that a result depends on.
    fn hash(&self) -> String {
        let seeds: Vec<u8> = self.seeds.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut parts: Vec<&[u8]> = vec![C::NAME.as_bytes(), &seeds];
        parts.extend(self.axes.iter().map(|a| a.as_bytes()));
        parts.extend(self.points.iter().map(|p| p.id.as_bytes()));
        let keep: Vec<String> = self.keep.iter().map(text_of).collect();
        parts.extend(keep.iter().map(|k| k.as_bytes()));
        digest(&parts)
    }

    /// `ppo, task.p_max_dbm = 40.0`
    pub fn describe(&self, p: &Point<C>) -> String {
        let read =
            self.axes.iter().zip(&p.axes).filter_map(|(k, v)| Some(format!(", {k} = {}", v.as_ref()?)));
        std::iter::once(p.agent.to_string()).chain(read).collect()
    }

    /// Indices of the points of a shard.
    pub fn shard(&self, shard: Shard) -> Vec<usize> {
        (0..self.points.len()).filter(|i| shard.holds(*i)).collect()
    }
}

/// The first key of task or evaluation in which two configurations differ, with both values. Seeds are the sweep's own.
fn other_task(a: &Table, b: &Table) -> Option<(String, [Value; 2])> {
    let (a, b) = (leaves(a, |_| false), leaves(b, |_| false));
    a.into_iter().find_map(|(key, there)| {
        let compared = (key.starts_with("task.") || key.starts_with("evaluate.")) && key != "evaluate.seed";
        let here = b.get(&key).filter(|here| compared && **here != there)?;
        Some((key, [there, here.clone()]))
    })
}

pub(in crate::run) fn agents_of<C: Task>(ids: &[String]) -> Result<Vec<&'static str>, String> {
    if ids.is_empty() {
        return Err("needs at least one agent".into());
    }
    let known: Vec<&str> = C::agents().iter().map(|a| a.id).collect();
    let mut out = Vec::new();
    for id in ids {
        let Some(agent) = known.iter().find(|a| *a == id) else {
            return Err(format!("no agent '{id}' in task {}; there are: {}", C::NAME, known.join(", ")));
        };
        if out.contains(agent) {
            return Err(format!("'{id}' is listed twice"));
        }
        out.push(*agent);
    }
    Ok(out)
}

pub(in crate::run) fn seeds_of(seeds: &Seeds) -> Result<Vec<u32>, String> {
    let list = match *seeds {
        Seeds::List(ref list) => list.clone(),
        Seeds::Range { first, count } => {
            let end = first.checked_add(count).filter(|_| count <= 1 << 16);
            (first..end.ok_or("are more than 65536, or beyond what 32 bits hold")?).collect()
        }
    };
    if list.is_empty() {
        return Err("needs at least one seed".into());
    }
    match list.iter().enumerate().find(|(i, s)| list[..*i].contains(s)) {
        Some((_, s)) => Err(format!("{s} is listed twice")),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    const GRID: &str = r#"
        task = "v2x"
        agents = ["ppo", "ekf"]
        seeds = { first = 3, count = 2 }
        config = { train.updates = 7 }
        [grid]
        task.p_max_dbm = [0, 40]
        task.beam = ["angles", "tracking"]
        [list]
        ppo.lr_actor = [1e-3, 3e-4]
        ppo.lr_critic = [2e-3, 1e-3]
    "#;

    fn plan(text: &str) -> Result<Plan<V2xConfig>, SweepError> {
        Plan::new(&SweepFile::parse(text, "x.toml")?, "x.toml")
    }

    fn error(text: &str) -> String {
        format!("{:#}", anyhow::Error::from(plan(text).err().unwrap_or_else(|| panic!("no error: {text}"))))
    }

    #[test]
    fn grids_and_lists_make_every_point_once_in_order() {
        let p = plan(GRID).unwrap();
        // Eight of `ppo`; of `ekf`, which reads neither its rates nor what its actions mean, one for each power.
        assert_eq!((p.points.len(), p.merged, p.seeds.as_slice()), (10, 6, &[3, 4][..]));
        assert_eq!(p.axes, ["ppo.lr_actor", "ppo.lr_critic", "task.beam", "task.p_max_dbm"]);
        let seen: Vec<_> = p.points[..5]
            .iter()
            .map(|q| {
                (
                    q.agent,
                    format!("{:?}", q.config.task.beam),
                    q.config.task.p_max_dbm,
                    q.config.ppo.lr_critic,
                )
            })
            .collect();
        let b = |s: &str| s.to_string();
        assert_eq!(
            seen,
            [
                ("ppo", b("Angles"), 0.0, 2e-3),
                ("ppo", b("Angles"), 0.0, 1e-3),
                ("ppo", b("Angles"), 40.0, 2e-3),
                ("ppo", b("Angles"), 40.0, 1e-3),
                ("ppo", b("Tracking"), 0.0, 2e-3),
            ]
        );
        assert!(p.points.iter().all(|q| q.config.train.updates == 7));
        // Whole numbers are decimal ones where the key has such.
        assert_eq!(p.points[0].axes[3], Some(Value::Float(0.0)));
        assert_eq!(p.points[9].axes, [None, None, None, Some(Value::Float(40.0))]);
        assert_eq!(p.describe(&p.points[9]), "ekf, task.p_max_dbm = 40.0");
    }

    #[test]
    fn an_axis_that_no_agent_reads_is_refused() {
        let e = error(&GRID.replace("\"ppo\", ", ""));
        assert!(e.contains("ppo.lr_actor") && e.contains("none of the agents reads it (ekf)"), "{e}");
        let e = error(&GRID.replace("task.beam = [\"angles\", \"tracking\"]", "dqn.lr = [1e-3, 1e-4]"));
        assert!(e.contains("dqn.lr") && e.contains("(ppo, ekf)"), "{e}");
    }

    #[test]
    fn a_table_as_a_value_shows_what_is_read_of_it() {
        let text = GRID.replace(
            "ppo.lr_actor = [1e-3, 3e-4]\n        ppo.lr_critic = [2e-3, 1e-3]",
            "ppo = [{ lr_actor = 1e-3, clip = 0.1 }, { lr_actor = 2e-3, clip = 0.1 }]",
        );
        let p = plan(&text.replace("\"ekf\"", "\"spiking-ac\"")).unwrap();
        // Both agents read `clip`, `ppo` alone the rate.
        let of = |agent: &str| p.points.iter().filter(|q| q.agent == agent).count();
        assert_eq!((of("ppo"), of("spiking-ac")), (8, 4));
        let shown = |agent: &str| {
            let q = p.points.iter().find(|q| q.agent == agent).unwrap();
            q.axes[0].as_ref().unwrap().as_table().unwrap().clone()
        };
        assert!(shown("ppo").contains_key("lr_actor") && shown("spiking-ac").contains_key("clip"));
        assert!(!shown("spiking-ac").contains_key("lr_actor"));
    }

    #[test]
    fn ids_follow_the_point_and_not_what_is_swept_beside_it() {
        let whole = plan(GRID).unwrap();
        let less = plan(&GRID.replace("[0, 40]", "[40]").replace(", \"ekf\"", "")).unwrap();
        assert!(less.points.iter().all(|q| whole.points.iter().any(|w| w.id == q.id && w.agent == q.agent)));
        assert_ne!(whole.hash, less.hash);
        // Comments, order and spelling of numbers are no other sweep.
        let other = GRID.replace("[0, 40]", "[0.0, 4e1] # dBm");
        assert_eq!(plan(&other).unwrap().hash, whole.hash);
        for change in
            [("count = 2", "count = 3"), ("updates = 7", "updates = 8"), ("1e-3, 3e-4", "1e-3, 4e-4")]
        {
            assert_ne!(plan(&GRID.replace(change.0, change.1)).unwrap().hash, whole.hash, "{change:?}");
        }
        // How often a job saves its state changes no result.
        let often = GRID.replace("updates = 7", "updates = 7, reproduce.checkpoint_every = 3");
        assert_eq!(plan(&often).unwrap().hash, whole.hash);
        // Nor do keys that none of the agents reads.
        let unread = GRID.replace("updates = 7", "updates = 7, spiking.steps = 3, dqn.tau = 0.5");
        assert_eq!(plan(&unread).unwrap().hash, whole.hash);
    }

    #[test]
    fn random_axes_draw_the_same_values_whatever_else_is_drawn() {
        let text = r#"
            task = "v2x"
            agents = ["ppo"]
            seeds = [0]
            draws = 50
            [random]
            ppo.lr_actor = { log_uniform = [1e-4, 1e-2] }
            ppo.epochs = { integer = [1, 3] }
            ppo.clip = { uniform = [0.1, 0.3] }
            task.beam = { choice = ["angles", "tracking"] }
        "#;
        let p = plan(text).unwrap();
        assert_eq!(p.points.len(), 50);
        let clips: Vec<f64> = p.points.iter().map(|q| q.config.ppo.clip).collect();
        assert!(clips.iter().all(|c| (0.1..=0.3).contains(c)));
        let mean = clips.iter().sum::<f64>() / 50.0;
        assert!((0.17..0.23).contains(&mean), "{mean}");
        let rates = p.points.iter().map(|q| q.config.ppo.lr_actor);
        assert!(
            rates.clone().all(|x| (1e-4..=1e-2).contains(&x)) && rates.filter(|x| *x < 1e-3).count() > 15
        );
        for n in 1..=3 {
            assert!(p.points.iter().any(|q| q.config.ppo.epochs == n), "{n} epochs were never drawn");
        }
        let alone = text.lines().filter(|l| !l.contains("lr_actor") && !l.contains("epochs"));
        let alone = plan(&alone.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(alone.points.iter().map(|q| q.config.ppo.clip).collect::<Vec<_>>(), clips);
        assert_ne!(plan(&text.replace("draws", "random_seed = 1\ndraws")).unwrap().hash, p.hash);
    }

    #[test]
    fn equal_draws_are_one_point() {
        let text = "task = \"v2x\"\nagents = [\"ppo\", \"ekf\"]\nseeds = [0]\ndraws = 40\n[random]\n\
                    ppo.epochs = { integer = [1, 3] }\ntask.beam = { choice = [\"angles\", \"tracking\"] }";
        let p = plan(text).unwrap();
        // Forty draws of two axes with three and two values, of which `ekf` reads neither.
        assert_eq!((p.points.len(), p.merged), (7, 5));
        assert_eq!(p.points.iter().map(|q| &q.id).collect::<BTreeSet<_>>().len(), 7);
    }

    #[test]
    fn keys_that_an_agent_learns_by_do_not_stand_in_the_way_of_others() {
        let text = "task = \"v2x\"\nagents = [\"ekf\"]\nseeds = [0]\n[grid]\ntask.slots = [30]";
        assert_eq!(plan(text).unwrap().points.len(), 1);
        let e = error(&text.replace("ekf", "ppo"));
        assert!(e.contains("ppo.horizon") && e.contains("task.slots = 30"), "{e}");
    }

    #[test]
    fn axes_of_one_range_are_drawn_apart() {
        let draw = Draw::Uniform([0.0, 1.0]);
        for n in 0..20 {
            let [clip, kl, again] = ["ppo.clip", "ppo.kl", "ppo.clip"].map(|key| draw.value(0, key, n));
            assert_eq!(clip, again);
            assert_ne!(clip, kl, "draw {n}");
        }
    }

    #[test]
    fn shards_are_a_partition() {
        let p = plan(GRID).unwrap();
        let mut all: Vec<usize> = (1..=3).flat_map(|index| p.shard(Shard { index, of: 3 })).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for bad in ["0/3", "4/3", "1", "a/b", "1/0", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        let with = |from: &str, to: &str| error(&GRID.replace(from, to));
        for (from, to, says) in [
            ("task.p_max_dbm = [0, 40]", "task.p_max_dbm = [0, 400]", "task.p_max_dbm"),
            ("task.p_max_dbm = [0, 40]", "task.p_max_dbm = 40", "grid.task.p_max_dbm"),
            ("task.p_max_dbm = [0, 40]", "task.p_max_dbm = []", "grid.task.p_max_dbm"),
            ("task.p_max_dbm = [0, 40]", "task.p_max_dbm = [40, 40.0]", "are the same"),
            ("task.p_max_dbm", "task.colour", "colour"),
            ("task.p_max_dbm = [0, 40]", "train.seeds = [[0], [1]]", "train.seeds"),
            ("task.p_max_dbm = [0, 40]", "ppo.lr_actor = [1e-3]", "is swept twice"),
            ("task.p_max_dbm = [0, 40]", "train.updates = [1, 2]", "grid.train.updates"),
            ("[2e-3, 1e-3]", "[2e-3]", "list.ppo.lr_critic"),
            ("\"ekf\"", "\"nobody\"", "agents"),
            ("\"ekf\"", "\"ppo\"", "listed twice"),
            ("{ first = 3, count = 2 }", "[1, 1]", "seeds"),
            ("{ first = 3, count = 2 }", "[]", "seeds"),
            ("{ first = 3, count = 2 }", "{ first = 4294967295, count = 2 }", "seeds"),
            ("{ first = 3, count = 2 }", "\"many\"", "seeds"),
            ("task = \"v2x\"", "task = \"v2x\"\ncolour = 1", "colour"),
            ("task = \"v2x\"", "task = \"chess\"", "chess"),
            ("task = \"v2x\"", "task = \"v2x\"\nmode = \"fly\"", "mode"),
            ("task = \"v2x\"", "task = \"v2x\"\ndraws = 3", "draws"),
            ("task = \"v2x\"", "task = \"v2x\"\nmode = \"evaluate\"", "checkpoints"),
            ("task = \"v2x\"", "task = \"v2x\"\nreplicas = 0", "replicas"),
            ("[list]", "[random]\nppo.clip = { uniform = [0.1, 0.3] }\n[list]", "draws"),
            ("task = \"v2x\"", "task = ", "line 2"),
        ] {
            let e = with(from, to);
            assert!(e.starts_with("x.toml") && e.contains(says) && !e.contains('\n'), "{to}: {e}");
        }
        let e = error(
            &GRID
                .replace("[list]", "[random]\nppo.clip = { uniform = [0.3, 0.1] }\n[list]")
                .replace("task = \"v2x\"", "task = \"v2x\"\ndraws = 1"),
        );
        assert!(e.contains("random.ppo.clip") && e.contains("smaller one first"), "{e}");
    }

    #[test]
    fn both_tasks_are_swept() {
        let text = "task = \"misac\"\nagents = [\"h-moe\", \"dp-optimal\"]\nseeds = [0]\n[grid]\ntask.snr_db = [0, 10]";
        let p = Plan::<MisacConfig>::new(&SweepFile::parse(text, "m.toml").unwrap(), "m.toml").unwrap();
        assert_eq!(p.points.len(), 4);
        assert_eq!(p.describe(&p.points[3]), "dp-optimal, task.snr_db = 10.0");
    }
}
