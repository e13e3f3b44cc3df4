//! The pages in `results/` are what their rows give: rendered again they have the same headings and values, no figure
//! has too many marks, and no page is too large. `scripts/render-pages.sh` writes them.
#![cfg(feature = "report")]

use isacbench::report::{bench, read_rows};
use isacbench::run::registry::{AnyTask, Entry};
use isacbench::run::rows::Manifest;
use isacbench::run::sweep::report::{Query, write};
use isacbench::run::tune;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use std::path::{Path, PathBuf};

static V2X: Entry<V2xConfig> = Entry::new();
static MISAC: Entry<MisacConfig> = Entry::new();
/// Most elements that a figure draws.
const MARKS: usize = 5000;
/// Largest page, bytes.
const PAGE: u64 = 3_000_000;

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

fn task(name: &str) -> Option<&'static dyn AnyTask> {
    [&V2X as &dyn AnyTask, &MISAC].into_iter().find(|t| t.name() == name)
}

/// Headings, summaries of folds, cells of tables and bold answers, in their order: what a page says, however it is
/// spaced.
fn said(markdown: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(markdown).unwrap_or_else(|e| panic!("{}: {e}", markdown.display()));
    let kept =
        |l: &&str| ["#", "|", "**", "<summary>", "<div><dt>", "!["].iter().any(|start| l.starts_with(start));
    text.lines().filter(kept).map(str::to_string).collect()
}

fn assert_same(committed: &Path, rendered: &Path) {
    let (there, now) = (said(committed), said(rendered));
    assert!(there.len() > 5, "{}: only {} lines", committed.display(), there.len());
    for (a, b) in there.iter().zip(&now) {
        assert_eq!(a, b, "{}: scripts/render-pages.sh renders it", committed.display());
    }
    assert_eq!(there.len(), now.len(), "{}", committed.display());
}

#[test]
fn reports_of_reproductions_are_what_their_rows_give() {
    for folder in ["spiking-ac-quick", "rl-h-moe-quick", "front-quick"] {
        let dir = results().join("intel-xeon-processor-2-cores").join(folder);
        let manifest: Manifest =
            serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        let task = task(&manifest.task).unwrap();
        let rows = read_rows(&dir, task.schema()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let experiment = manifest.experiment.clone().unwrap();
        task.write_report(&experiment, out.path(), &rows, &manifest).unwrap();
        assert_same(&dir.join("report.md"), &out.path().join("report.md"));
    }
}

#[test]
fn pages_of_datasets_and_benchmarks_are_what_their_rows_give() {
    let machine = results().join("intel-xeon-processor-2-cores");
    let out = tempfile::tempdir().unwrap();
    for folder in ["tune-v2x-1", "tune-v2x-3"] {
        let dir = machine.join(folder);
        tune::page::again(&dir, out.path()).unwrap();
        assert_same(&dir.join("page/tune.md"), &out.path().join("tune.md"));
    }
    // As the script asks: of v2x the reward too.
    for (folder, metrics) in [
        ("sweep-v2x-quick", &["sum_rate_bps_hz", "reward"][..]),
        ("sweep-misac-quick", &["energy_j", "cost_j"]),
    ] {
        let dir = machine.join(folder);
        let query = Query { metrics: metrics.iter().map(ToString::to_string).collect(), ..Query::default() };
        write(&dir, out.path(), &query, &task).unwrap();
        assert_same(&dir.join("report.md"), &out.path().join("report.md"));
    }
    for machine in ["intel-xeon-processor-2-cores", "amd-epyc-2-cores"] {
        let dir = results().join(machine).join("bench");
        let (rows, energy) = bench::read(&dir).unwrap();
        let manifest: Manifest =
            serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        let report = bench::Report {
            rows: &rows,
            energy: &energy,
            left_out: &[],
            manifest: &manifest,
            tasks: &["v2x", "misac"],
        };
        bench::write(out.path(), &report).unwrap();
        assert_same(&dir.join("summary.md"), &out.path().join("summary.md"));
    }
}

/// Files below `dir` with this end.
fn below(dir: &Path, end: &str, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            below(&entry, end, out);
        } else if entry.extension().is_some_and(|e| e == end) {
            out.push(entry);
        }
    }
}

#[test]
fn committed_figures_and_pages_are_small() {
    let (mut figures, mut pages) = (Vec::new(), Vec::new());
    below(&results(), "svg", &mut figures);
    below(&results(), "html", &mut pages);
    // Of an earlier version: see scripts/render-pages.sh.
    figures.retain(|path| !path.to_string_lossy().contains("readings-quick"));
    assert!(figures.len() > 40 && pages.len() > 8, "{} figures, {} pages", figures.len(), pages.len());
    for path in figures {
        let text = std::fs::read_to_string(&path).unwrap();
        let doc = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let shapes = ["circle", "line", "path", "polygon", "polyline", "rect"];
        let drawn = doc.descendants().filter(|n| shapes.contains(&n.tag_name().name())).count();
        let values = doc.descendants().filter_map(|n| n.attribute("data-points"));
        let values: usize = values.map(|v| v.matches('[').count() - 1).sum();
        assert!(drawn + values > 3 && drawn.max(values) <= MARKS, "{}: {drawn}, {values}", path.display());
        assert!(text.contains("prefers-color-scheme:dark"), "{} is white on dark pages", path.display());
    }
    for path in pages {
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size < PAGE, "{}: {size} bytes", path.display());
    }
}
