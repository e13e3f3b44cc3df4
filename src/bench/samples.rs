//! What `cargo bench` has left in criterion's folder: every record with the samples beside it.
//!
//! A folder that cannot be used (an interrupted bench, a damaged file, a bench without a record) is named with its
//! reason and left out; the others are still worth a report.

use super::{RECORD_FILE, Record};
use crate::num::stats;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// One benchmark with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    pub record: Record,
    /// Wall time of one iteration, s, one number a sample.
    pub wall_s: Vec<f64>,
    /// Iterations of each sample.
    pub iterations: Vec<u64>,
    /// When criterion wrote the samples.
    pub taken: SystemTime,
}

/// A folder of criterion's that is in no row, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub path: PathBuf,
    pub why: String,
}

/// All of a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub benchmarks: Vec<Benchmark>,
    pub left_out: Vec<LeftOut>,
}

/// Why there is nothing to report.
#[derive(Debug, Error)]
pub enum SamplesError {
    #[error("criterion's folder '{}' cannot be read; run `cargo bench` first, or name the folder with --from", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("criterion's folder '{}' has no benchmark with samples and a record ({left_out} left out{}); run `cargo bench` first, or name the folder with --from", path.display(), first.as_ref().map(|f| format!(", the first: {f}")).unwrap_or_default())]
    Nothing { path: PathBuf, left_out: usize, first: Option<String> },
}

/// criterion's `new/benchmark.json`, as far as it names the benchmark.
#[derive(Deserialize)]
struct Id {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// criterion's `new/sample.json`.
#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    /// ns of all iterations of a sample.
    times: Vec<f64>,
}

/// criterion's `new/estimates.json`, as far as it tells that it belongs to the samples.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// ns of an iteration.
    point_estimate: f64,
}

/// criterion's median and ours are the same number but for rounding.
const SAME_MEDIAN: f64 = 1e-6;

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(path).map_err(|e| format!("new/{name}: {e}; run this bench again"))?;
    serde_json::from_str(&text)
        .map_err(|e| format!("new/{name} is damaged ({e}); delete this folder and run the bench again"))
}

/// Names of the folders in `dir`, sorted.
fn folders(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut out = crate::files::entries(dir)?;
    out.retain(|path| path.is_dir());
    Ok(out)
}

/// Reads every benchmark below criterion's `home`.
///
/// # Errors
/// [`SamplesError`] if the folder cannot be read or nothing in it can be used.
pub fn collect(home: &Path) -> Result<Found, SamplesError> {
    let top = folders(home).map_err(|source| SamplesError::Folder { path: home.to_owned(), source })?;
    let mut found = Found::default();
    for group in &top {
        look(home, group, 1, &mut found);
    }
    if found.benchmarks.is_empty() {
        let first = found.left_out.first().map(|l| format!("'{}': {}", l.path.display(), l.why));
        return Err(SamplesError::Nothing { path: home.to_owned(), left_out: found.left_out.len(), first });
    }
    Ok(found)
}

/// criterion keeps benchmarks at `group/…`, `group/function/…` or `group/function/value/…`; records stand at the last.
const DEPTH: usize = 3;

fn look(home: &Path, dir: &Path, depth: usize, found: &mut Found) {
    let path = dir.strip_prefix(home).unwrap_or(dir).to_owned();
    let (has_record, has_samples) = (dir.join(RECORD_FILE).exists(), dir.join("new").is_dir());
    match (has_record, has_samples) {
        (true, _) => match benchmark(home, dir) {
            Ok(b) => found.benchmarks.push(b),
            Err(why) => found.left_out.push(LeftOut { path, why }),
        },
        (false, true) => {
            let why = format!("no {RECORD_FILE}: this bench did not end, or leaves no record of what it did");
            found.left_out.push(LeftOut { path, why });
        }
        (false, false) if depth < DEPTH => match folders(dir) {
            Ok(below) => below.iter().for_each(|d| look(home, d, depth + 1, found)),
            Err(e) => found.left_out.push(LeftOut { path, why: e.to_string() }),
        },
        (false, false) => {}
    }
}

fn benchmark(home: &Path, dir: &Path) -> Result<Benchmark, String> {
    let record = Record::load(&dir.join(RECORD_FILE)).map_err(|e| format!("{e}; run this bench again"))?;
    if record.folder(home) != dir {
        let of = record.folder(Path::new("")).display().to_string();
        return Err(format!("{RECORD_FILE} is that of '{of}'; delete this folder and run the bench again"));
    }
    let new = dir.join("new");
    let id: Id = json(&new.join("benchmark.json"))?;
    let names = (id.group_id.as_str(), id.function_id.as_deref(), id.value_str.as_deref());
    let sizes = record.sizes_id();
    if names != (record.group.as_str(), Some(record.device.slug.as_str()), Some(sizes.as_str())) {
        return Err(format!(
            "new/benchmark.json is of another benchmark than {RECORD_FILE}; run the bench again"
        ));
    }
    let sample: Sample = json(&new.join("sample.json"))?;
    let counted = |n: &f64| n.is_finite() && *n >= 1.0;
    let timed = |t: &f64| t.is_finite() && *t > 0.0;
    if sample.iters.is_empty()
        || sample.iters.len() != sample.times.len()
        || !sample.iters.iter().all(counted)
        || !sample.times.iter().all(timed)
    {
        let (n, m) = (sample.iters.len(), sample.times.len());
        return Err(format!(
            "new/sample.json is damaged ({n} iteration counts, {m} times, all must be positive numbers); \
             delete this folder and run the bench again"
        ));
    }
    let wall_s: Vec<f64> = sample.times.iter().zip(&sample.iters).map(|(ns, n)| 1e-9 * ns / n).collect();
    let estimates: Estimates = json(&new.join("estimates.json"))?;
    let (ours, theirs) = (stats::median(&wall_s), 1e-9 * estimates.median.point_estimate);
    if (ours - theirs).abs().is_nan() || (ours - theirs).abs() > SAME_MEDIAN * ours {
        return Err(format!(
            "new/estimates.json (median {theirs:e} s) is not of new/sample.json ({ours:e} s); run the bench again"
        ));
    }
    if let Some(t) = &record.device_time
        && (t.seconds.is_empty() || !t.seconds.iter().all(timed))
    {
        return Err(format!("{RECORD_FILE}: device times must be positive numbers; run the bench again"));
    }
    let path = new.join("sample.json");
    let taken = path.metadata().and_then(|m| m.modified()).map_err(|e| format!("new/sample.json: {e}"))?;
    let iterations = sample.iters.iter().map(|n| *n as u64).collect();
    Ok(Benchmark { record, wall_s, iterations, taken })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Device, DeviceKind, DeviceTime, Section, Work};
    use super::*;

    /// A processor with two threads.
    pub fn cpu() -> Device {
        Device {
            slug: "cpu".into(),
            name: "a processor".into(),
            kind: DeviceKind::Cpu,
            driver: None,
            threads: Some(2),
        }
    }

    pub fn record(group: &str, section: Section, sizes: &[(&str, u64)]) -> Record {
        Record {
            group: group.into(),
            section,
            task: None,
            policy: None,
            device: cpu(),
            sizes: sizes.iter().map(|(l, n)| (l.to_string(), *n)).collect(),
            work: Work::default(),
            check: Some("passed".into()),
            device_time: None,
            git_revision: None,
            git_dirty: None,
        }
    }

    /// Writes the record and what criterion would leave beside it: `times_s` of single iterations.
    pub fn leave(home: &Path, record: &Record, times_s: &[f64]) -> PathBuf {
        record.save(home).unwrap();
        let dir = record.folder(home).join("new");
        std::fs::create_dir_all(&dir).unwrap();
        let ns: Vec<f64> = times_s.iter().map(|s| 3e9 * s).collect();
        let write =
            |name: &str, value: serde_json::Value| std::fs::write(dir.join(name), value.to_string()).unwrap();
        let (group, device, sizes) = (&record.group, &record.device.slug, record.sizes_id());
        write(
            "benchmark.json",
            serde_json::json!({ "group_id": group, "function_id": device, "value_str": sizes }),
        );
        write(
            "sample.json",
            serde_json::json!({ "sampling_mode": "Flat", "iters": vec![3.0; ns.len()], "times": ns }),
        );
        let median = 1e9 * stats::median(times_s);
        write(
            "estimates.json",
            serde_json::json!({ "median": { "point_estimate": median, "standard_error": 0.0 } }),
        );
        record.folder(home)
    }

    #[test]
    fn samples_are_seconds_of_one_iteration() {
        let home = tempfile::tempdir().unwrap();
        let r = record("gae", Section::Kernel, &[("R", 1), ("B", 64)]);
        leave(home.path(), &r, &[1e-3, 3e-3, 2e-3]);
        let found = collect(home.path()).unwrap();
        assert_eq!((found.benchmarks.len(), found.left_out.len()), (1, 0));
        let b = &found.benchmarks[0];
        assert_eq!((&b.record, b.iterations.as_slice()), (&r, &[3, 3, 3][..]));
        for (got, want) in b.wall_s.iter().zip([1e-3, 3e-3, 2e-3]) {
            assert!((got - want).abs() < 1e-15, "{got} {want}");
        }
        assert!(b.taken.elapsed().unwrap().as_secs() < 60);
    }

    #[test]
    fn what_cannot_be_used_is_left_out_with_its_reason() {
        let home = tempfile::tempdir().unwrap();
        let sizes = |b: u64| [("B", b)];
        let make = |b: u64| leave(home.path(), &record("gae", Section::Kernel, &sizes(b)), &[1e-3, 2e-3]);
        make(1);
        let spoil = |b: u64, file: &str, text: &str| std::fs::write(make(b).join(file), text).unwrap();
        spoil(2, "new/sample.json", "{\"iters\": [1.0");
        spoil(3, "new/sample.json", "{\"iters\": [1.0, 1.0], \"times\": [5.0]}");
        spoil(4, "new/sample.json", "{\"iters\": [0.0], \"times\": [5.0]}");
        spoil(5, "new/estimates.json", "{\"median\": {\"point_estimate\": 17.0}}");
        spoil(
            6,
            "new/benchmark.json",
            "{\"group_id\": \"gae\", \"function_id\": \"cpu\", \"value_str\": \"B=7\"}",
        );
        spoil(7, RECORD_FILE, "{");
        std::fs::remove_dir_all(make(8).join("new")).unwrap();
        std::fs::remove_file(make(9).join(RECORD_FILE)).unwrap();
        std::fs::rename(make(10), home.path().join("gae/cpu/B=11")).unwrap();
        let mut timeless = record("gae", Section::Kernel, &sizes(12));
        timeless.device_time = Some(DeviceTime { method: "timestamps".into(), seconds: vec![0.0] });
        leave(home.path(), &timeless, &[1.0, 1.0]);
        let found = collect(home.path()).unwrap();
        assert_eq!(found.benchmarks.len(), 1);
        assert_eq!(found.benchmarks[0].record.sizes["B"], 1);
        let why = |b: u64| {
            let path = Path::new("gae/cpu").join(format!("B={b}"));
            let hit = found.left_out.iter().find(|l| l.path == path);
            hit.unwrap_or_else(|| panic!("B={b} is not in {:?}", found.left_out)).why.clone()
        };
        for (b, words) in [
            (2, "sample.json is damaged"),
            (3, "2 iteration counts, 1 times"),
            (4, "positive numbers"),
            (5, "estimates.json"),
            (6, "another benchmark"),
            (7, "not a record"),
            (8, "new/benchmark.json"),
            (9, "no isacbench.json"),
            (11, "that of 'gae/cpu/B=10'"),
            (12, "device times"),
        ] {
            assert!(why(b).contains(words), "B={b}: {}", why(b));
        }
        assert_eq!(found.left_out.len(), 10);
    }

    #[test]
    fn a_folder_without_benchmarks_says_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let error = collect(&home.path().join("none")).unwrap_err().to_string();
        assert!(
            error.contains("none") && error.contains("cargo bench") && error.contains("--from"),
            "{error}"
        );
        let error = collect(home.path()).unwrap_err().to_string();
        assert!(error.contains("no benchmark") && error.contains("0 left out"), "{error}");
        std::fs::create_dir_all(home.path().join("gae/cpu/B=1/new")).unwrap();
        let error = collect(home.path()).unwrap_err().to_string();
        assert!(error.contains("1 left out") && error.contains("no isacbench.json"), "{error}");
    }
}
