//! Shards of a sweep become one dataset.

use super::SweepError;
use super::dataset::{PLAN, PlanFile, Tree, put, verified};
use super::plan::Shard;
use crate::run::lock::Lock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub points: usize,
    /// Points that more than one folder held, with equal results.
    pub repeated: usize,
}

/// Copies every point of the sweep that `dirs` hold parts of to `out`, which holds none yet, with a plan of the whole
/// sweep. The folders merged stay as they are. The plan is written last: what an interrupted merge leaves is no
/// dataset, and the merge can be repeated.
///
/// # Errors
/// [`SweepError::OtherPlan`] if the folders are not of one sweep, [`SweepError::Incomplete`] if a point is missing,
/// [`SweepError::Conflict`] if a point has two results, [`SweepError::Damaged`] if a part is broken,
/// [`SweepError::Exists`] if `out` holds a sweep.
pub fn merge(dirs: &[PathBuf], out: &Path) -> Result<Merged, SweepError> {
    let plans = dirs.iter().map(|d| PlanFile::load(d)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = plans.first() else {
        return Err(SweepError::Option("merge needs at least one folder".into()));
    };
    for (dir, plan) in dirs.iter().zip(&plans) {
        let what = match plan {
            p if p.hash != first.hash => {
                format!("plan {} there and {} in '{}'", p.hash, first.hash, dirs[0].display())
            }
            p if p.crate_version != first.crate_version => {
                format!(
                    "version {} there and {} in '{}'",
                    p.crate_version,
                    first.crate_version,
                    dirs[0].display()
                )
            }
            _ => continue,
        };
        return Err(SweepError::other_plan(&dir.join(PLAN), what));
    }
    let known: BTreeSet<&str> = first.points.iter().map(|p| p.id.as_str()).collect();
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for dir in dirs {
        for (id, files) in Tree::list(dir)?.parts {
            for file in files {
                if !known.contains(id.as_str()) {
                    return Err(SweepError::other_plan(&file, format!("point {id} is none of this plan's")));
                }
                verified(&file)?;
                let Some(other) = found.get(&id) else {
                    found.insert(id.clone(), file);
                    continue;
                };
                // Names hold the checksums.
                if other.file_name() != file.file_name() {
                    let (a, b) = (other.display().to_string(), file.display().to_string());
                    return Err(SweepError::Conflict { point: id, a, b });
                }
                repeated.insert(id.clone());
            }
        }
    }
    complete(first, &plans, dirs, &found)?;

    let _lock = Lock::take(out)?;
    if out.join(PLAN).exists() {
        return Err(SweepError::Exists { dir: out.display().to_string() });
    }
    for p in &first.points {
        put(out, &p.agent, &p.id, &verified(&found[&p.id])?)?;
    }
    let devices: BTreeSet<String> = plans.iter().flat_map(|p| p.devices.iter().cloned()).collect();
    PlanFile { shard: Shard::WHOLE, devices: devices.into_iter().collect(), ..first.clone() }.save(out)?;
    Ok(Merged { points: first.points.len(), repeated: repeated.len() })
}

/// That every point was found; else which are missing and whose they are.
fn complete(
    plan: &PlanFile,
    plans: &[PlanFile],
    dirs: &[PathBuf],
    found: &BTreeMap<String, PathBuf>,
) -> Result<(), SweepError> {
    let missing: Vec<usize> =
        (0..plan.points.len()).filter(|i| !found.contains_key(&plan.points[*i].id)).collect();
    let Some(&first) = missing.first() else { return Ok(()) };
    let p = &plan.points[first];
    let owner = plans.iter().zip(dirs).find(|(p, _)| p.shard.holds(first));
    let whose = match owner {
        Some((p, dir)) => format!("of shard {} in '{}': continue it with --resume", p.shard, dir.display()),
        None => format!(
            "of no shard given here ({})",
            plans.iter().map(|p| p.shard.to_string()).collect::<Vec<_>>().join(", ")
        ),
    };
    Err(SweepError::Incomplete(format!(
        "{} of {} points are missing; the first is {} ({}), {whose}",
        missing.len(),
        plan.points.len(),
        p.id,
        p.describe(&plan.axes)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sweep::dataset::PlannedPoint;
    use crate::run::sweep::plan::Mode;

    fn plan(index: usize) -> PlanFile {
        let point = |i: usize| PlannedPoint {
            id: format!("p{i:016x}"),
            agent: if i < 3 { "ppo" } else { "ekf" }.into(),
            axes: vec![Some(i.to_string())],
        };
        PlanFile {
            format: "isacbench-sweep-2".into(),
            hash: "0123456789abcdef".into(),
            task: "v2x".into(),
            mode: Mode::Evaluate,
            shard: Shard { index, of: 2 },
            devices: vec![format!("device {index}")],
            crate_version: "0".into(),
            seeds: vec![0],
            axes: vec!["task.xi".into()],
            at: None,
            tuning: BTreeMap::new(),
            points: (0..5).map(point).collect(),
        }
    }

    /// Two shards with all their points.
    fn shards(dir: &Path) -> Vec<PathBuf> {
        (1..=2)
            .map(|index| {
                let (plan, to) = (plan(index), dir.join(format!("shard-{index}")));
                std::fs::create_dir_all(&to).unwrap();
                plan.save(&to).unwrap();
                for p in plan.own() {
                    put(&to, &p.agent, &p.id, format!("rows of {}", p.id).as_bytes()).unwrap();
                }
                to
            })
            .collect()
    }

    fn error(dirs: &[PathBuf], out: &Path) -> SweepError {
        let e = merge(dirs, out).unwrap_err();
        assert!(!out.join(PLAN).exists(), "a merge that failed left a dataset: {e}");
        e
    }

    #[test]
    fn shards_become_one_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, out) = (shards(dir.path()), dir.path().join("all"));
        assert_eq!(merge(&dirs, &out).unwrap(), Merged { points: 5, repeated: 0 });
        let plan = PlanFile::load(&out).unwrap();
        assert_eq!((plan.shard, plan.devices.len()), (Shard::WHOLE, 2));
        let tree = Tree::list(&out).unwrap();
        assert_eq!(tree.parts.len(), 5);
        assert!(tree.parts.values().flatten().all(|f| verified(f).is_ok()));
        assert!(matches!(merge(&dirs, &out).unwrap_err(), SweepError::Exists { .. }));
        // A folder twice, and the whole beside a part: equal results are one.
        let more = [dirs[0].clone(), dirs[0].clone(), out.clone()];
        let again = dir.path().join("again");
        assert_eq!(merge(&more, &again).unwrap(), Merged { points: 5, repeated: 3 });
    }

    #[test]
    fn what_is_missing_is_named_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, out) = (shards(dir.path()), dir.path().join("all"));
        let e = error(&dirs[..1], &out).to_string();
        assert!(e.contains("2 of 5 points") && e.contains("of no shard given here (1/2)"), "{e}");
        let lost = Tree::list(&dirs[1]).unwrap().parts.into_values().last().unwrap();
        std::fs::remove_file(&lost[0]).unwrap();
        let e = error(&dirs, &out).to_string();
        for says in ["1 of 5 points", "p0000000000000003", "ekf, task.xi = 3", "shard 2/2", "shard-2"] {
            assert!(e.contains(says), "{says} is not in: {e}");
        }
    }

    #[test]
    fn other_sweeps_conflicts_and_damage_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, out) = (shards(dir.path()), dir.path().join("all"));
        let id = "p0000000000000001";
        let other = put(&dirs[0], "ppo", id, b"other rows").unwrap();
        assert!(matches!(error(&dirs, &out), SweepError::Conflict { point, .. } if point == id));
        std::fs::remove_file(other).unwrap();
        let part = Tree::list(&dirs[0]).unwrap().parts.into_values().next().unwrap().remove(0);
        let whole = std::fs::read(&part).unwrap();
        std::fs::write(&part, &whole[1..]).unwrap();
        assert!(matches!(error(&dirs, &out), SweepError::Damaged { .. }));
        std::fs::write(&part, &whole).unwrap();
        PlanFile { hash: "f".into(), ..plan(2) }.save(&dirs[1]).unwrap();
        assert!(matches!(error(&dirs, &out), SweepError::OtherPlan { .. }));
        std::fs::remove_file(dirs[1].join(PLAN)).unwrap();
        assert!(matches!(error(&dirs, &out), SweepError::NoPlan { .. }));
    }
}
