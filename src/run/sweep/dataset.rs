//! The results: one Parquet file per point in a Hive-partitioned tree.
//!
//! ```text
//! OUT
//!   plan.json                                                    what is swept, see [`PlanFile`]
//!   data/agent=ppo/point=p0123456789abcdef/part-SHA256.parquet   a row per seed and metric, without the columns that stand in the path
//!   work                                                         half-trained batches; gone when the sweep is done
//!   damaged                                                      what was found broken and computed again
//!   lock                                                         process id of the owner
//! ```
//!
//! A part is written under another name, synchronised and renamed, so it is there whole or not at all. The first 16
//! digits of its SHA-256 are in its name: what was damaged later is found, and two results of a point are equal when
//! their names are. Equal rows make equal files.

use super::plan::{Mode, Plan, Point, Shard, at};
use super::task::Measured;
use super::{SweepError, checksum, reading, writing};
use crate::files::{entries, if_there, remove_leftovers, sync_folder, writable_folder, write_whole};
use crate::report::ReportError;
use crate::report::frames::parquet_bytes;
use crate::run::lock::Lock;
use crate::run::rows::text_of;
use crate::run::task::Task;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How a replica ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Ok,
    /// A gradient of the last update or a weight was not finite: the replica has stopped learning.
    Diverged,
    /// A metric of its evaluation was not finite.
    NotFinite,
}

/// What one replica of a point gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicated {
    pub seed: u32,
    pub status: Status,
    pub metrics: Vec<Measured>,
}

/// A point as the plan file names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedPoint {
    pub id: String,
    pub agent: String,
    /// Values on the axes, as TOML; null where the agent does not read the key.
    pub axes: Vec<Option<String>>,
}

impl PlannedPoint {
    /// `ppo, task.p_max_dbm = 40.0`
    pub fn describe(&self, axes: &[String]) -> String {
        let read = axes.iter().zip(&self.axes).filter_map(|(k, v)| Some(format!(", {k} = {}", v.as_ref()?)));
        std::iter::once(self.agent.clone()).chain(read).collect()
    }
}

/// Axes of a tuning that are no keys: number of the trial, and slots of a seed that it has trained.
pub const TRIAL: &str = "trial";
pub const SLOTS: &str = "slots";

/// `plan.json`: what a folder's sweep is. Two folders with equal hashes are parts of one sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    pub format: String,
    pub hash: String,
    pub task: String,
    pub mode: Mode,
    pub shard: Shard,
    /// `cpu`, whose results depend neither on its kind nor on its threads, or an adapter's name; of a merged dataset
    /// all of them.
    pub devices: Vec<String>,
    /// Version of the program; another one may give other results.
    pub crate_version: String,
    pub seeds: Vec<u32>,
    pub axes: Vec<String>,
    /// The task's swept value, which all points have where no axis sets it; absent in plans of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// Of a tuning, what it was asked for, by option or key; else empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tuning: BTreeMap<String, String>,
    /// All points of the sweep, those of other shards too; of a tuning those that it has come to.
    pub points: Vec<PlannedPoint>,
}

const FORMAT: &str = "isacbench-sweep-2";
/// Its parts hold the columns `agent` and `point` too, and its points are told apart by keys that their agents do not
/// read.
const EARLIER: &str = "isacbench-sweep-1";

/// Name of the plan file.
pub const PLAN: &str = "plan.json";

impl PlanFile {
    pub fn of<C: Task>(plan: &Plan<C>, shard: Shard, device: &str) -> PlanFile {
        let point = |p: &Point<C>| PlannedPoint {
            id: p.id.clone(),
            agent: p.agent.into(),
            axes: p.axes.iter().map(|v| v.as_ref().map(ToString::to_string)).collect(),
        };
        PlanFile {
            format: FORMAT.into(),
            hash: plan.hash.clone(),
            task: C::NAME.into(),
            mode: plan.mode,
            shard,
            devices: vec![device.into()],
            crate_version: env!("CARGO_PKG_VERSION").into(),
            seeds: plan.seeds.clone(),
            axes: plan.axes.clone(),
            at: plan.points.first().map(|p| p.config.swept()),
            tuning: BTreeMap::new(),
            points: plan.points.iter().map(point).collect(),
        }
    }

    /// Reads the plan of the sweep in `dir`.
    pub fn load(dir: &Path) -> Result<PlanFile, SweepError> {
        let path = dir.join(PLAN);
        let Some(bytes) = if_there(std::fs::read(&path)).map_err(reading(&path))? else {
            return Err(SweepError::NoPlan { dir: dir.display().to_string() });
        };
        let damaged = |what: String| SweepError::damaged(&path, what);
        let plan: PlanFile = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if ![FORMAT, EARLIER].contains(&plan.format.as_str()) {
            return Err(damaged(format!("format '{}', this program reads '{FORMAT}'", plan.format)));
        }
        if !(1..=plan.shard.of).contains(&plan.shard.index) {
            return Err(damaged(format!("shard {}", plan.shard)));
        }
        Ok(plan)
    }

    pub fn save(&self, dir: &Path) -> Result<(), SweepError> {
        let path = dir.join(PLAN);
        let text = serde_json::to_string_pretty(self).expect("a plan is always representable as JSON") + "\n";
        write_whole(&path, text.as_bytes()).and_then(|()| sync_folder(dir)).map_err(writing(&path))
    }

    /// The points that the folder's shard has.
    pub fn own(&self) -> impl Iterator<Item = &PlannedPoint> {
        self.points.iter().enumerate().filter(|(i, _)| self.shard.holds(*i)).map(|(_, p)| p)
    }

    /// In what `other` is another sweep or another part of it; `None` if it continues this one.
    fn difference(&self, other: &PlanFile) -> Option<String> {
        if self.format != other.format {
            let (there, here) = (&self.format, &other.format);
            return Some(format!("format {there} there and {here} here, whose points have other ids"));
        }
        let keys = self.tuning.keys().chain(other.tuning.keys());
        if let Some(key) = keys.into_iter().find(|k| self.tuning.get(*k) != other.tuning.get(*k)) {
            let show = |p: &PlanFile| p.tuning.get(key).map_or("nothing".to_string(), Clone::clone);
            return Some(format!("{key} is {} there and {} here", show(self), show(other)));
        }
        if self.hash != other.hash {
            let what = if self.task != other.task {
                format!("task {} there and {} here", self.task, other.task)
            } else if self.seeds != other.seeds {
                format!("{} seeds there and {} here", self.seeds.len(), other.seeds.len())
            } else if self.axes != other.axes {
                format!("axes {} there and {} here", self.axes.join(", "), other.axes.join(", "))
            } else {
                let there: BTreeSet<&str> = self.points.iter().map(|p| p.id.as_str()).collect();
                let new = other.points.iter().filter(|p| !there.contains(p.id.as_str())).count();
                match (new, there.len() == other.points.len()) {
                    (0, true) => "the same points, and another `keep`".to_string(),
                    _ => format!(
                        "{} points there and {} here, {new} of them new or changed",
                        there.len(),
                        other.points.len()
                    ),
                }
            };
            return Some(format!("plan {} there and {} here: {what}", self.hash, other.hash));
        }
        let pairs = [
            ("shard", self.shard.to_string(), other.shard.to_string()),
            ("device", self.devices.join(", "), other.devices.join(", ")),
            ("version", self.crate_version.clone(), other.crate_version.clone()),
        ];
        pairs
            .into_iter()
            .find(|(_, a, b)| a != b)
            .map(|(what, a, b)| format!("{what} {a} there and {b} here"))
    }
}

fn table<T>(what: &str, result: PolarsResult<T>) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Table { what: what.to_string(), source })
}

/// A column that holds `value` in every row, null if there is none. Its type is that of the configuration's own value,
/// so that it is the same in the parts of all agents; what is neither number nor word is kept as TOML text.
fn axis_column(name: &str, own: &toml::Value, value: Option<&toml::Value>, rows: usize) -> Column {
    let name: PlSmallStr = name.into();
    match own {
        toml::Value::Float(_) => Column::new(name, vec![value.and_then(toml::Value::as_float); rows]),
        toml::Value::Integer(_) => Column::new(name, vec![value.and_then(toml::Value::as_integer); rows]),
        toml::Value::Boolean(_) => Column::new(name, vec![value.and_then(toml::Value::as_bool); rows]),
        toml::Value::String(_) => Column::new(name, vec![value.and_then(toml::Value::as_str); rows]),
        _ => Column::new(name, vec![value.map(ToString::to_string); rows]),
    }
}

/// The bytes of a point's part: a row per replica and metric. Agent and point are in the part's path ([`partition`])
/// and not in the part: readers of such trees make columns of the path, of a type of their own, and some refuse files
/// that hold them once more.
pub fn part<C: Task>(
    axes: &[String],
    point: &Point<C>,
    replicas: &[Replicated],
) -> Result<Vec<u8>, ReportError> {
    let rows: Vec<(&Replicated, &Measured)> =
        replicas.iter().flat_map(|r| r.metrics.iter().map(move |m| (r, m))).collect();
    let n = rows.len();
    let number = |f: fn(&Measured) -> f64| -> Vec<Option<f64>> {
        rows.iter().map(|(_, m)| Some(f(m)).filter(|x| !x.is_nan())).collect()
    };
    let config = point.config.table();
    let axis = |(name, value): (&String, &Option<toml::Value>)| {
        let own = at(&config, name).or_else(|| value.clone());
        let own = own.unwrap_or_else(|| toml::Value::String(String::new()));
        axis_column(name, &own, value.as_ref(), n)
    };
    let mut columns: Vec<Column> = axes.iter().zip(&point.axes).map(axis).collect();
    columns.extend([
        Column::new("seed".into(), rows.iter().map(|(r, _)| r.seed).collect::<Vec<_>>()),
        Column::new("metric".into(), rows.iter().map(|(_, m)| m.metric.as_str()).collect::<Vec<_>>()),
        Column::new("episodes".into(), rows.iter().map(|(_, m)| m.episodes).collect::<Vec<_>>()),
        Column::new("mean".into(), number(|m| m.mean)),
        Column::new("std_error".into(), number(|m| m.std_error)),
        Column::new("status".into(), rows.iter().map(|(r, _)| text_of(&r.status)).collect::<Vec<_>>()),
    ]);
    // Only where slots or updates were asked for.
    if rows.iter().any(|(_, m)| m.step.is_some()) {
        columns.push(Column::new(STEP.into(), rows.iter().map(|(_, m)| m.step).collect::<Vec<_>>()));
    }
    let mut frame = table("sweep", DataFrame::new(n, columns))?;
    table("sweep", parquet_bytes(&mut frame))
}

/// What [`part`] was made of, but for the point.
pub fn read_part(path: &Path) -> Result<Vec<Replicated>, SweepError> {
    let bytes = verified(path)?;
    let rows = || -> PolarsResult<Vec<Replicated>> {
        let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish()?;
        let (seeds, episodes) = (frame.column("seed")?.u32()?, frame.column("episodes")?.u64()?);
        let (metrics, status) = (frame.column("metric")?.str()?, frame.column("status")?.str()?);
        let (means, errors) = (frame.column("mean")?.f64()?, frame.column("std_error")?.f64()?);
        let steps = frame.column(STEP).and_then(|c| c.u32()).ok();
        let mut out: Vec<Replicated> = Vec::new();
        for i in 0..frame.height() {
            let missing = || polars_err!(ComputeError: "row {i} lacks a value");
            let seed = seeds.get(i).ok_or_else(missing)?;
            if out.last().is_none_or(|r| r.seed != seed) {
                let status = status
                    .get(i)
                    .and_then(|name| serde_json::from_value(name.into()).ok())
                    .ok_or_else(missing)?;
                out.push(Replicated { seed, status, metrics: Vec::new() });
            }
            let measured = Measured {
                metric: metrics.get(i).ok_or_else(missing)?.into(),
                episodes: episodes.get(i).ok_or_else(missing)?,
                mean: means.get(i).unwrap_or(f64::NAN),
                std_error: errors.get(i).unwrap_or(f64::NAN),
                step: steps.and_then(|s| s.get(i)),
            };
            out.last_mut().expect("a replica").metrics.push(measured);
        }
        Ok(out)
    };
    Ok(table("sweep", rows())?)
}

/// The column of slots and updates, in datasets that keep them.
pub const STEP: &str = "step";

/// Columns that stand in a part's path.
pub const PARTITION: [&str; 2] = ["point", "agent"];

/// The values of [`PARTITION`] in a part's path; `None` for a file that lies elsewhere.
pub fn partition(part: &Path) -> Option<[&str; 2]> {
    let folder = |n: usize| part.ancestors().nth(n)?.file_name()?.to_str();
    Some([folder(1)?.strip_prefix("point=")?, folder(2)?.strip_prefix("agent=")?])
}

/// Where a point's part lies below `dir`.
pub fn part_path(dir: &Path, agent: &str, point: &str, bytes: &[u8]) -> PathBuf {
    let folder = dir.join("data").join(format!("agent={agent}")).join(format!("point={point}"));
    folder.join(format!("part-{}.parquet", checksum(bytes)))
}

/// Writes a part, whole or not at all.
pub fn put(dir: &Path, agent: &str, point: &str, bytes: &[u8]) -> Result<PathBuf, SweepError> {
    let path = part_path(dir, agent, point, bytes);
    let mut made = write_whole(&path, bytes);
    // The part's own folder, and those above it, which may be new too.
    for folder in path.ancestors().skip(1).take(4) {
        made = made.and_then(|()| sync_folder(folder));
    }
    made.map_err(writing(&path))?;
    Ok(path)
}

/// A part whose bytes are those it was written with.
///
/// # Errors
/// [`SweepError::Damaged`] if they are not.
pub fn verified(path: &Path) -> Result<Vec<u8>, SweepError> {
    let bytes = std::fs::read(path).map_err(reading(path))?;
    let found = checksum(&bytes);
    match path.file_name().and_then(|n| n.to_str()) {
        Some(name) if name == format!("part-{found}.parquet") => Ok(bytes),
        _ => {
            let n = bytes.len();
            let what = format!("its {n} bytes have the checksum {found}, which its name does not");
            Err(SweepError::damaged(path, what))
        }
    }
}

/// What lies in a dataset's tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// Parts by point; more than one only where something went wrong.
    pub parts: BTreeMap<String, Vec<PathBuf>>,
}

impl Tree {
    /// Lists `dir/data` without reading files.
    pub fn list(dir: &Path) -> Result<Tree, SweepError> {
        let folder = |path: &Path| -> Result<Vec<PathBuf>, SweepError> {
            Ok(if_there(entries(path)).map_err(reading(path))?.unwrap_or_default())
        };
        let mut out = Tree::default();
        for agent in folder(&dir.join("data"))? {
            for point in folder(&agent)? {
                // As the path of a file in it.
                let Some(id) = partition(&point.join("part")).map(|[id, _]| id.to_string()) else { continue };
                for file in folder(&point)? {
                    if file.extension().is_some_and(|e| e == "parquet") {
                        out.parts.entry(id.clone()).or_default().push(file);
                    }
                }
            }
        }
        Ok(out)
    }
}

/// A dataset that this process writes.
#[derive(Debug)]
pub struct Dataset {
    pub dir: PathBuf,
    /// Held until the dataset is dropped.
    pub lock: Lock,
    /// Points that are there, with their parts.
    pub done: BTreeMap<String, PathBuf>,
    /// Parts that were broken, where they lie now.
    pub damaged: Vec<PathBuf>,
}

impl Dataset {
    /// Takes the folder for a sweep. Without `resume` it must hold none; with it, the same one, of which all whole
    /// points are kept, and broken parts are moved aside.
    ///
    /// # Errors
    /// [`SweepError::Lock`], [`SweepError::Exists`], [`SweepError::OtherPlan`], and what the file system says.
    pub fn open(dir: &Path, plan: &PlanFile, resume: bool) -> Result<Dataset, SweepError> {
        let lock = Lock::take(dir)?;
        match PlanFile::load(dir) {
            Ok(_) if !resume => return Err(SweepError::Exists { dir: dir.display().to_string() }),
            Ok(there) => {
                if let Some(what) = there.difference(plan) {
                    return Err(SweepError::other_plan(&dir.join(PLAN), what));
                }
            }
            Err(SweepError::NoPlan { .. }) if !dir.join("data").exists() => {
                writable_folder(dir).map_err(writing(dir))?;
                plan.save(dir)?;
            }
            Err(e) => return Err(e),
        }
        let mut out = Dataset { dir: dir.to_path_buf(), lock, done: BTreeMap::new(), damaged: Vec::new() };
        let tree = Tree::list(dir)?;
        // What a killed process was writing: parts, and beside the data plans, settings and pages.
        remove_leftovers(dir).map_err(writing(dir))?;
        let own: BTreeSet<&str> = plan.own().map(|p| p.id.as_str()).collect();
        for (id, files) in tree.parts {
            for file in files {
                match verified(&file) {
                    Ok(_) if !own.contains(id.as_str()) => {
                        let what = format!("point {id} is none of this plan's");
                        return Err(SweepError::other_plan(&file, what));
                    }
                    Ok(_) => {
                        if let Some(first) = out.done.insert(id.clone(), file.clone()) {
                            let show = |p: &Path| p.display().to_string();
                            return Err(SweepError::Conflict { point: id, a: show(&first), b: show(&file) });
                        }
                    }
                    Err(SweepError::Damaged { .. }) => out.set_aside(&file, &id)?,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(out)
    }

    fn set_aside(&mut self, file: &Path, id: &str) -> Result<(), SweepError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = self.dir.join("damaged").join(format!("{id}-{name}"));
        let moved =
            std::fs::create_dir_all(self.dir.join("damaged")).and_then(|()| std::fs::rename(file, &to));
        moved.map_err(writing(&to))?;
        self.damaged.push(to);
        Ok(())
    }

    /// Adds a point.
    pub fn commit<C: Task>(
        &mut self,
        axes: &[String],
        point: &Point<C>,
        replicas: &[Replicated],
    ) -> Result<(), SweepError> {
        let bytes = part(axes, point, replicas)?;
        let path = put(&self.dir, point.agent, &point.id, &bytes)?;
        self.done.insert(point.id.clone(), path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sweep::plan::SweepFile;
    use crate::tasks::v2x::config::V2xConfig;

    fn plan(updates: u32) -> Plan<V2xConfig> {
        let text = format!(
            "task = \"v2x\"\nagents = [\"ppo\", \"ekf\"]\nseeds = [1, 2]\nconfig = {{ train.updates = {updates} }}\n[grid]\ntask.p_max_dbm = [0, 40]\nppo.hidden = [[8], [8, 8]]"
        );
        Plan::new(&SweepFile::parse(&text, "x").unwrap(), "x").unwrap()
    }

    fn replicas(first: f64) -> Vec<Replicated> {
        let one = |seed: u32| {
            let m = |metric: &str, mean: f64| Measured {
                metric: metric.into(),
                episodes: 8,
                mean,
                std_error: 0.5,
                step: None,
            };
            let metrics = vec![m("reward", first + f64::from(seed)), m("jain", f64::NAN)];
            Replicated { seed, status: Status::NotFinite, metrics }
        };
        vec![one(1), one(2)]
    }

    fn all<C: Task>(dir: &Path, plan: &Plan<C>) -> Dataset {
        let file = PlanFile::of(plan, Shard::WHOLE, "cpu");
        let mut d = Dataset::open(dir, &file, true).unwrap();
        for (i, p) in plan.points.iter().enumerate() {
            if !d.done.contains_key(&p.id) {
                d.commit(&plan.axes, p, &replicas(i as f64)).unwrap();
            }
        }
        d
    }

    #[test]
    fn a_part_holds_every_row_and_equal_rows_make_equal_files() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(3);
        let d = all(dir.path(), &plan);
        assert_eq!(d.done.len(), 6);
        let path = &d.done[&plan.points[3].id];
        assert!(path.display().to_string().contains("/data/agent=ppo/point=p"), "{}", path.display());
        let frame = crate::report::frames::read_parquet(path).unwrap();
        let names: Vec<&str> = frame.get_column_names().into_iter().map(|n| n.as_str()).collect();
        assert_eq!(
            names,
            ["ppo.hidden", "task.p_max_dbm", "seed", "metric", "episodes", "mean", "std_error", "status"]
        );
        assert_eq!(frame.height(), 4);
        let text = |c: &str| frame.column(c).unwrap().str().unwrap().get(0).unwrap().to_string();
        assert_eq!((text("ppo.hidden"), text("status")), ("[8, 8]".into(), "not-finite".into()));
        let mean = frame.column("mean").unwrap().f64().unwrap();
        assert_eq!(mean.iter().collect::<Vec<_>>(), [Some(4.0), None, Some(5.0), None]);
        let again = part(&plan.axes, &plan.points[3], &replicas(3.0)).unwrap();
        assert_eq!(again, std::fs::read(path).unwrap());
        assert_ne!(again, part(&plan.axes, &plan.points[3], &replicas(3.5)).unwrap());
    }

    #[test]
    fn no_part_holds_what_is_in_its_path_and_all_have_one_schema() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(3);
        let d = all(dir.path(), &plan);
        for (i, point) in plan.points.iter().enumerate() {
            let path = &d.done[&point.id];
            assert_eq!(partition(path), Some([point.id.as_str(), point.agent]));
            let frame = crate::report::frames::read_parquet(path).unwrap();
            assert!(PARTITION.iter().all(|name| frame.column(name).is_err()), "{i}");
            let kinds: Vec<DataType> = frame.dtypes();
            use DataType::{Float64, String as Text, UInt32, UInt64};
            assert_eq!(kinds, [Text, Float64, UInt32, Text, UInt64, Float64, Float64, Text], "{i}");
            // `ekf` reads no width.
            let nulls = frame.column("ppo.hidden").unwrap().null_count();
            assert_eq!(nulls, if point.agent == "ekf" { 4 } else { 0 }, "{i}");
            // Words are not string views, by which pyarrow and pandas cannot filter.
            let schema = frame.schema().to_arrow(CompatLevel::oldest());
            let said = polars_parquet::write::schema_to_metadata_key(&schema).value.unwrap();
            assert!(String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(&said), "{i}");
        }
    }

    #[test]
    fn a_folder_is_continued_by_its_own_plan_only() {
        let dir = tempfile::tempdir().unwrap();
        let plan3 = plan(3);
        drop(all(dir.path(), &plan3));
        let open = |plan: &PlanFile, resume| Dataset::open(dir.path(), plan, resume);
        let own = PlanFile::of(&plan3, Shard::WHOLE, "cpu");
        assert!(matches!(open(&own, false).unwrap_err(), SweepError::Exists { .. }));
        assert_eq!(open(&own, true).unwrap().done.len(), 6);
        for (other, says) in [
            (PlanFile::of(&plan(4), Shard::WHOLE, "cpu"), "4 of them new or changed"),
            (PlanFile::of(&plan3, Shard { index: 1, of: 2 }, "cpu"), "shard 1/1 there and 1/2 here"),
            (PlanFile::of(&plan3, Shard::WHOLE, "a GPU"), "device cpu there and a GPU here"),
        ] {
            let e = open(&other, true).unwrap_err();
            assert!(matches!(e, SweepError::OtherPlan { .. }) && e.to_string().contains(says), "{e}");
        }
        assert_eq!(open(&own, true).unwrap().done.len(), 6, "a refusal changed the folder");
        let file = dir.path().join(PLAN);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, &text[..text.len() / 2]).unwrap();
        let e = open(&own, true).unwrap_err();
        assert!(matches!(e, SweepError::Damaged { .. }) && e.to_string().contains("plan.json"), "{e}");
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(open(&own, true).unwrap_err(), SweepError::NoPlan { .. }));
    }

    #[test]
    fn broken_parts_are_set_aside_and_leftovers_removed() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(3);
        let d = all(dir.path(), &plan);
        let parts: Vec<PathBuf> = plan.points.iter().map(|p| d.done[&p.id].clone()).collect();
        drop(d);
        let cut = std::fs::read(&parts[1]).unwrap();
        std::fs::write(&parts[1], &cut[..cut.len() - 9]).unwrap();
        let mut flipped = std::fs::read(&parts[2]).unwrap();
        flipped[40] ^= 4;
        std::fs::write(&parts[2], &flipped).unwrap();
        let half = crate::files::temporary(&parts[0]).unwrap();
        std::fs::write(&half, "half").unwrap();
        let page = dir.path().join("page/.tune.html.7.tmp");
        std::fs::create_dir(dir.path().join("page")).unwrap();
        std::fs::write(&page, "half").unwrap();
        let file = PlanFile::of(&plan, Shard::WHOLE, "cpu");
        let d = Dataset::open(dir.path(), &file, true).unwrap();
        assert_eq!((d.done.len(), d.damaged.len()), (4, 2));
        assert!(!half.exists() && !page.exists() && !parts[1].exists() && parts[3].exists());
        let mut kept: Vec<Vec<u8>> = d.damaged.iter().map(|p| std::fs::read(p).unwrap()).collect();
        let mut broken = [cut[..cut.len() - 9].to_vec(), flipped];
        kept.sort();
        broken.sort();
        assert!(kept == broken, "what was broken is kept");
        drop(d);
        let d = all(dir.path(), &plan);
        assert_eq!((d.done.len(), std::fs::read(&parts[1]).unwrap()), (6, cut));
    }

    #[test]
    fn a_part_of_another_sweep_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(3);
        drop(all(dir.path(), &plan));
        put(dir.path(), "ppo", "p0000000000000000", b"anything").unwrap();
        let file = PlanFile::of(&plan, Shard::WHOLE, "cpu");
        let e = Dataset::open(dir.path(), &file, true).unwrap_err();
        assert!(e.to_string().contains("p0000000000000000"), "{e}");
    }

    #[test]
    fn a_part_that_cannot_be_written_is_an_error_and_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(3);
        let mut d = Dataset::open(dir.path(), &PlanFile::of(&plan, Shard::WHOLE, "cpu"), false).unwrap();
        std::fs::write(dir.path().join("data"), "no folder").unwrap();
        let e = d.commit(&plan.axes, &plan.points[0], &replicas(0.0)).unwrap_err();
        assert!(matches!(e, SweepError::Write(..)), "{e}");
        assert!(d.done.is_empty());
    }
}
