//! Claims of a paper, judged from a dataset: each setting of its axes, but for the one along which the paper's figures
//! go, is a run of its own.

use super::dataset::{PlanFile, PlannedPoint, Replicated, SLOTS, Status, TRIAL, Tree, read_part};
use super::{SweepError, put_file};
use crate::num::text::FEW_SEEDS;
use crate::report::figure::Matrix;
use crate::report::words::{code, listed, write_table};
use crate::report::{Judged, Verdict, take_back_claims};
use crate::run::registry::AnyTask;
use crate::run::rows::{EvalRow, Key, Rows};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Most settings that are judged: each of them takes about a second.
const MOST_SETTINGS: usize = 256;
/// Most settings with a column each; of more, the figure and how many there are.
const MOST_COLUMNS: usize = 12;
const FIGURE: &str = "claims.svg";

/// Values on the axes of a setting, in the order of the plan's; `None` where no agent reads the axis.
type Setting = Vec<Option<String>>;

/// A point that a query asks for, with what it gave.
struct Found<'a> {
    point: &'a PlannedPoint,
    /// Values on the axes that make a setting.
    values: Setting,
    replicas: Vec<Replicated>,
}

/// The claims in one setting, and the agents that have a point there.
struct Verdicts<'a> {
    claims: Vec<Judged>,
    agents: BTreeSet<&'a str>,
}

/// Whether two values can be of one setting.
fn fits(a: &[Option<String>], b: &[Option<String>]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

/// Whether a point is part of a setting.
fn belongs(point: &Setting, setting: &Setting) -> bool {
    point.iter().zip(setting).all(|(p, s)| p.is_none() || p == s)
}

/// Every setting of which some agent has a point, where agents that read other axes stand beside each other; `None` if
/// there are more than are judged.
fn settings(by_agent: &BTreeMap<&str, BTreeSet<&Setting>>) -> Option<Vec<Setting>> {
    let mut all: Vec<Setting> = Vec::new();
    for points in by_agent.values() {
        let mut joined: BTreeSet<Setting> = BTreeSet::new();
        let mut taken: BTreeSet<&Setting> = BTreeSet::new();
        for setting in &all {
            let mine: Vec<&&Setting> = points.iter().filter(|p| fits(setting, p)).collect();
            if mine.is_empty() {
                joined.insert(setting.clone());
            }
            for point in mine {
                taken.insert(point);
                joined.insert(setting.iter().zip(*point).map(|(a, b)| a.clone().or(b.clone())).collect());
            }
            if joined.len() > MOST_SETTINGS {
                return None;
            }
        }
        joined.extend(points.iter().filter(|p| !taken.contains(**p)).map(|p| (*p).clone()));
        all = joined.into_iter().collect();
    }
    (all.len() <= MOST_SETTINGS).then_some(all)
}

/// Whether a value on an axis is the one that was typed.
fn is_typed(value: &str, typed: &str) -> bool {
    let same = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    same(value.trim_matches('"'), typed)
}

/// Whether the point passes the filters on agent and axes.
fn passes(point: &PlannedPoint, axes: &[String], filters: &[(String, String)]) -> bool {
    filters.iter().all(|(column, typed)| match axes.iter().position(|a| a == column) {
        Some(i) => point.axes[i].as_ref().is_none_or(|value| is_typed(value, typed)),
        None => column != "agent" || point.agent == *typed,
    })
}

/// The section of a dataset's page, of rows in which each of these columns has this value, and the paths of what it
/// shows; empty for a task without claims, and for a tuning, whose agents have not one training in common.
pub fn write(
    dir: &Path,
    out: &Path,
    plan: &PlanFile,
    filters: &[(String, String)],
    task: &dyn AnyTask,
) -> Result<(String, Vec<PathBuf>), SweepError> {
    let none = || Ok((String::new(), Vec::new()));
    if !plan.tuning.is_empty() || plan.axes.iter().any(|a| [TRIAL, SLOTS].contains(&a.as_str())) {
        return none();
    }
    if task.claims(&Rows::default(), "").is_empty() {
        return none();
    }
    let mut page = "\n## Claims of the paper\n\n".to_string();
    let swept = format!("task.{}", task.schema().swept.name);
    let along = plan.axes.iter().position(|a| *a == swept);
    if along.is_none() && plan.at.is_none() {
        let _ = writeln!(page, "Not judged: `plan.json` is of a version that did not say `{swept}`.");
        return Ok((page, Vec::new()));
    }
    let axes: Vec<usize> = (0..plan.axes.len()).filter(|i| Some(*i) != along).collect();
    let mut parts = Tree::list(dir)?.parts;
    let mut found: Vec<Found> = Vec::new();
    for point in plan.points.iter().filter(|p| passes(p, &plan.axes, filters)) {
        let Some(part) = parts.remove(&point.id).and_then(|mut paths| paths.pop()) else { continue };
        let values = axes.iter().map(|i| point.axes[*i].clone()).collect();
        found.push(Found { point, values, replicas: read_part(&part)? });
    }
    let mut by_agent: BTreeMap<&str, BTreeSet<&Setting>> = BTreeMap::new();
    for f in &found {
        by_agent.entry(&f.point.agent).or_default().insert(&f.values);
    }
    let Some(all) = settings(&by_agent) else {
        let _ = writeln!(
            page,
            "Not judged: there are more than {MOST_SETTINGS} settings; `--where` takes some of them."
        );
        return Ok((page, Vec::new()));
    };
    let seed = filters.iter().find(|f| f.0 == "seed").map(|f| f.1.as_str());
    let places: BTreeSet<&str> =
        along.iter().flat_map(|i| found.iter().filter_map(|f| f.point.axes[*i].as_deref())).collect();
    let judged: Vec<Verdicts> = all
        .iter()
        .map(|setting| {
            let mut rows = Rows::default();
            let mut agents = BTreeSet::new();
            for f in found.iter().filter(|f| belongs(&f.values, setting)) {
                agents.insert(f.point.agent.as_str());
                let own = along.and_then(|i| f.point.axes[i].as_deref());
                let at: Vec<f64> = match (along, own) {
                    (None, _) => plan.at.into_iter().collect(),
                    (Some(_), Some(own)) => own.parse().into_iter().collect(),
                    // What does not read the axis is the same everywhere on it.
                    (Some(_), None) => places.iter().filter_map(|p| p.parse().ok()).collect(),
                };
                for at in at {
                    rows.evals.extend(evals(f, at, seed, task.schema().labels.len()));
                }
            }
            let mut claims = task.claims(&rows, "");
            if plan.seeds.len() < FEW_SEEDS {
                take_back_claims(&mut claims);
            }
            Verdicts { claims, agents }
        })
        .collect();
    let paths = told(&mut page, out, plan, &axes, &all, &judged)?;
    Ok((page, paths))
}

/// The rows of a point's replicas that ended well.
fn evals(f: &Found, at: f64, seed: Option<&str>, labels: usize) -> impl Iterator<Item = EvalRow> {
    let agent = f.point.agent.clone();
    let wanted = move |r: &&Replicated| {
        r.status == Status::Ok && seed.is_none_or(|seed| is_typed(&r.seed.to_string(), seed))
    };
    f.replicas.iter().filter(wanted).flat_map(move |r| {
        let key = Key { agent: agent.clone(), labels: vec![String::new(); labels], at, seed: r.seed };
        r.metrics.iter().map(move |m| EvalRow {
            key: key.clone(),
            episodes: m.episodes,
            metric: m.metric.clone(),
            mean: m.mean,
            std_error: m.std_error,
        })
    })
}

impl Verdicts<'_> {
    /// The verdict on a claim, or what it would need.
    fn text(&self, claim: usize) -> String {
        let j = &self.claims[claim];
        if j.verdict != Verdict::NoData {
            return j.verdict.text().into();
        }
        if let Some(rows) = j.beyond {
            return format!("not judged: needs {rows}, which a dataset does not have");
        }
        let missing: Vec<String> =
            j.needs.iter().filter(|a| !self.agents.contains(**a)).map(|a| code(a)).collect();
        match missing.is_empty() {
            true => "not judged: needs other points".into(),
            false => format!("not judged: needs {}", listed(&missing)),
        }
    }
}

/// Tables of the verdicts and, of several settings, the figure.
fn told(
    page: &mut String,
    out: &Path,
    plan: &PlanFile,
    axes: &[usize],
    settings: &[Setting],
    judged: &[Verdicts],
) -> Result<Vec<PathBuf>, SweepError> {
    let Some(Verdicts { claims, .. }) = judged.first() else {
        page.push_str("Not judged: no point passes `--where`.\n");
        return Ok(Vec::new());
    };
    page.push_str(
        "Verdicts of the paper's own report, from the means of the seeds with 95 % bootstrap intervals: one agent counts as above \
         another if its interval lies above the other's. A dataset has what evaluations gave, in the one mode that was asked for, and no \
         learning curves: claims about these, about single slots or about joules are not judged, and a training that left its trust \
         region is not noticed. A claim about one power or SNR is judged at the one of the sweep that stands in for the paper's: the \
         40 dBm or the highest power, the SNR nearest to 10 dB.\n\n",
    );
    let name = |setting: &Setting| {
        let set = axes
            .iter()
            .zip(setting)
            .filter_map(|(i, v)| Some(format!("{} = {}", plan.axes[*i], v.as_ref()?)));
        set.collect::<Vec<_>>().join(", ")
    };
    if let [_] = settings {
        write_table(
            page,
            "where | claim | here | rests on | numbers",
            5,
            claims.iter().enumerate(),
            |(c, j)| {
                let numbers = if j.verdict == Verdict::NoData { String::new() } else { j.evidence.clone() };
                vec![j.place.to_string(), j.text.to_string(), judged[0].text(c), j.basis.to_string(), numbers]
            },
        );
        return Ok(Vec::new());
    }
    write_table(page, "setting | keys", 2, settings.iter().enumerate(), |(i, s)| {
        vec![(i + 1).to_string(), format!("`{}`", name(s))]
    });
    let columns = settings.len() <= MOST_COLUMNS;
    let mut header = "where | claim | rests on".to_string();
    match columns {
        true => (1..=settings.len()).for_each(|n| header.push_str(&format!(" | {n}"))),
        false => header.push_str(" | holds | does not hold | open | not judged"),
    }
    write_table(page, &header, header.split(" | ").count(), claims.iter().enumerate(), |(c, j)| {
        let mut cells = vec![j.place.to_string(), j.text.to_string(), j.basis.to_string()];
        if columns {
            cells.extend(judged.iter().map(|all| all.text(c)));
            return cells;
        }
        let of =
            |wanted: &[Verdict]| judged.iter().filter(|all| wanted.contains(&all.claims[c].verdict)).count();
        let blank = match of(&[Verdict::NoData, Verdict::LeftTrustRegion, Verdict::Smoke]) {
            0 => "0".to_string(),
            n if n == judged.len() => judged[0].text(c),
            n => n.to_string(),
        };
        let counts =
            [of(&[Verdict::Holds, Verdict::HoldsInPart]), of(&[Verdict::Fails]), of(&[Verdict::Open])];
        cells.extend(counts.iter().map(usize::to_string).chain([blank]));
        cells
    });
    let square = |c: usize| judged.iter().map(|all| all.claims[c].verdict.square()).collect();
    let matrix = Matrix {
        title: format!("Claims of the paper in the settings of sweep {}", plan.hash),
        rows: claims.iter().enumerate().map(|(c, j)| (j.text.to_string(), square(c))).collect(),
        groups: vec![(format!("settings 1 to {}", settings.len()), settings.len())],
        columns: settings.iter().map(name).collect(),
        legend: Verdict::LEGEND,
    };
    let mut paths = Vec::new();
    if let Some(svg) = matrix.svg()? {
        let _ = writeln!(
            page,
            "![Claims by settings. Blue: the claim holds; orange: it does not; grey: intervals overlap; empty: not judged.]({FIGURE})"
        );
        paths.push(put_file(out.join(FIGURE), &svg)?);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::registry::Entry;
    use crate::run::sweep::dataset::Dataset;
    use crate::run::sweep::plan::{Plan, Shard, SweepFile};
    use crate::run::sweep::task::Measured;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    fn joined(points: &[(&str, &[[&str; 2]])]) -> Vec<[String; 2]> {
        let setting =
            |v: &[&str; 2]| v.iter().map(|x| (*x != "-").then(|| x.to_string())).collect::<Setting>();
        let all: Vec<(&str, Vec<Setting>)> =
            points.iter().map(|(agent, vs)| (*agent, vs.iter().map(setting).collect())).collect();
        let by_agent = all.iter().map(|(agent, vs)| (*agent, vs.iter().collect())).collect();
        let found = settings(&by_agent).unwrap();
        found.iter().map(|s| [0, 1].map(|i| s[i].clone().unwrap_or("-".into()))).collect()
    }

    #[test]
    fn what_an_agent_does_not_read_stands_in_every_setting() {
        let two = |a: &str, b: &str| [a.to_string(), b.to_string()];
        // The axes of two agents make a grid, in which a third one stands everywhere.
        let grid =
            [("a", &[["1", "-"], ["2", "-"]][..]), ("b", &[["-", "5"], ["-", "6"]]), ("c", &[["-", "-"]])];
        assert_eq!(joined(&grid), [two("1", "5"), two("1", "6"), two("2", "5"), two("2", "6")]);
        // What fits nowhere stands alone.
        let apart = [("a", &[["1", "5"]][..]), ("b", &[["1", "5"], ["2", "-"]])];
        assert_eq!(joined(&apart), [two("1", "5"), two("2", "-")]);
        // One that is missing at a value leaves that value to the others.
        let missing = [("a", &[["1", "-"], ["2", "-"]][..]), ("b", &[["2", "-"]])];
        assert_eq!(joined(&missing), [two("1", "-"), two("2", "-")]);
    }

    /// A dataset whose metrics are made up.
    fn dataset<C: crate::run::task::Task>(
        dir: &Path,
        text: &str,
        metrics: impl Fn(&str, f64, &[Option<toml::Value>], u32) -> Vec<(&'static str, f64)>,
    ) -> PlanFile {
        let plan: Plan<C> = Plan::new(&SweepFile::parse(text, "x").unwrap(), "x").unwrap();
        let file = PlanFile::of(&plan, Shard::WHOLE, "cpu");
        let mut dataset = Dataset::open(dir, &file, false).unwrap();
        for point in &plan.points {
            let replica = |seed: u32| {
                let one = |(metric, mean): (&str, f64)| Measured {
                    metric: metric.into(),
                    episodes: 1,
                    mean,
                    std_error: 0.0,
                    step: None,
                };
                let all = metrics(point.agent, point.config.swept(), &point.axes, seed);
                Replicated { seed, status: Status::Ok, metrics: all.into_iter().map(one).collect() }
            };
            dataset
                .commit(&plan.axes, point, &plan.seeds.iter().map(|s| replica(*s)).collect::<Vec<_>>())
                .unwrap();
        }
        file
    }

    fn line<'a>(page: &'a str, claim: &str) -> &'a str {
        page.lines().find(|l| l.contains(claim)).unwrap_or_else(|| panic!("no {claim} in {page}"))
    }

    #[test]
    fn a_sweep_of_the_paper_s_agents_is_judged_in_each_setting() {
        let text = "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"random\", \"ekf\", \"beam-training\"]\nseeds = [0, 1, 2, 3, 4]\n\
                    [grid]\ntask.p_max_dbm = [0.0, 40.0]\ntask.cap_d_m = [5.0, 50.0]";
        let dir = tempfile::tempdir().unwrap();
        let page_of = |filters: &[(&str, &str)]| {
            let filters: Vec<_> = filters.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let plan = PlanFile::load(dir.path()).unwrap();
            write(dir.path(), &dir.path().join("page"), &plan, &filters, &Entry::<V2xConfig>::new()).unwrap()
        };
        std::fs::create_dir(dir.path().join("page")).unwrap();
        // The second cap makes what falls with power rise.
        let plan = dataset::<V2xConfig>(dir.path(), text, |_, p, axes, seed| {
            let rises = axes.contains(&Some(50.0.into()));
            let error = if rises { 1.0 + p } else { 100.0 - p };
            vec![
                ("sum_rate_bps_hz", 5.0),
                ("distance_mse_m2", error + 0.01 * f64::from(seed)),
                ("angle_mse_rad2", 1.0),
            ]
        });
        assert_eq!(plan.at, Some(0.0));
        let (page, paths) = page_of(&[]);
        assert!(
            page.contains("| 1 | `task.cap_d_m = 5.0` |") && page.contains("| 2 | `task.cap_d_m = 50.0` |"),
            "{page}"
        );
        let worsens = line(&page, "The distance RMSE of DQN and Random is worse");
        assert!(worsens.ends_with("| **does not hold** | holds for those compared |"), "{worsens}");
        let needs = line(&page, "Spiking-AC has a higher sum-rate than tracking");
        assert!(
            needs.ends_with("| not judged: needs `spiking-ac` | not judged: needs `spiking-ac` |"),
            "{needs}"
        );
        assert_eq!(paths.len(), 1);
        assert!(std::fs::read_to_string(&paths[0]).unwrap().contains("settings 1 to 2"));
        // One setting: with its numbers and no figure.
        let (page, paths) = page_of(&[("task.cap_d_m", "50")]);
        let worsens = line(&page, "The distance RMSE of DQN and Random is worse");
        assert!(
            worsens.contains("| holds for those compared | measured | `random` at 40 dBm 6.40"),
            "{worsens}"
        );
        assert!(paths.is_empty());
        let (page, _) = page_of(&[("agent", "nobody")]);
        assert!(page.contains("no point passes"), "{page}");
    }

    #[test]
    fn a_sweep_without_the_swept_axis_is_judged_where_its_points_are() {
        let text = "task = \"misac\"\nmode = \"evaluate\"\nagents = [\"vision-only\", \"radar-only\"]\nseeds = [0, 1, 2, 3, 4]\n\
                    [config]\ntask.snr_db = 10.0\n[grid]\ntask.sigma_vis_deg = [0.05, 0.6]";
        let dir = tempfile::tempdir().unwrap();
        let plan = dataset::<MisacConfig>(dir.path(), text, |agent, _, _, _| {
            vec![("energy_j", if agent == "vision-only" { 40.0 } else { 55.0 }), ("mae_deg", 1.0)]
        });
        let out = dir.path().join("page");
        std::fs::create_dir(&out).unwrap();
        let page =
            |plan: &PlanFile| write(dir.path(), &out, plan, &[], &Entry::<MisacConfig>::new()).unwrap().0;
        let told = page(&plan);
        assert!(
            line(&told, "exactly 40 J").ends_with("| by construction | **holds** | **holds** |"),
            "{told}"
        );
        assert!(
            line(&told, "Radar-Only costs more").ends_with("| **does not hold** | **does not hold** |"),
            "{told}"
        );
        assert!(line(&told, "saves over 40 %").contains("not judged: needs `h-moe`"), "{told}");
        assert!(
            line(&told, "diverges over time")
                .contains("needs means of single slots, which a dataset does not have"),
            "{told}"
        );
        // Of an earlier version, nobody knows where.
        assert!(
            page(&PlanFile { at: None, ..plan.clone() }).contains("Not judged: `plan.json` is of a version")
        );
        // A tuning's trainings have not one length.
        let settings = [("trials".to_string(), "3".to_string())].into();
        assert_eq!(page(&PlanFile { tuning: settings, ..plan }), "");
    }
}
