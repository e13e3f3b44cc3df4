//! Tables of README.md and docs/ that say which rows they are of hold what those rows say.
//!
//! A table is bound to rows by a comment above it: `<!-- rows: FOLDER METRIC -->`. Its first column names agents, and
//! columns whose head holds a number and the unit of the swept key (`40 dBm`, `sampled at 10 dB`) hold means over
//! seeds, with the interval in brackets where one is printed.
#![cfg(feature = "report")]

use isacbench::num::stats::{bootstrap_mean_95, mean};
use isacbench::report::frames;
use isacbench::run::rows::{EnergyRow, EvalRow, Schema};
use isacbench::run::task::Task;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use std::path::Path;

/// A table with the place of its first line, the folder and the metric.
struct Bound<'a> {
    place: String,
    folder: &'a str,
    metric: &'a str,
    lines: Vec<&'a str>,
}

fn bound<'a>(name: &str, text: &'a str) -> Vec<Bound<'a>> {
    let mut out = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let Some(words) = line.strip_prefix("<!-- rows: ").and_then(|l| l.strip_suffix(" -->")) else {
            continue;
        };
        let (folder, metric) = words.split_once(' ').unwrap_or_else(|| panic!("{name}:{}: {line}", n + 1));
        let table: Vec<&str> = lines[n + 1..].iter().take_while(|l| l.starts_with('|')).copied().collect();
        assert!(table.len() > 2, "{name}:{}: no table below the comment", n + 1);
        out.push(Bound { place: format!("{name}:{}", n + 2), folder, metric, lines: table });
    }
    out
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The swept value and the variant of a column, from its head.
fn column(head: &str, unit: &str) -> Option<(f64, &'static str)> {
    if head.contains("paper") {
        return None;
    }
    let words: Vec<&str> = head.split_whitespace().collect();
    let at = words.windows(2).find(|w| w[1] == unit)?[0].parse().ok()?;
    Some((at, if words[0] == "sampled" { "sampled" } else { "" }))
}

/// Decimals of a printed number.
fn decimals(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, d)| d.len())
}

/// Whether `text` is `x` rounded to the digits that it has.
fn says(text: &str, x: f64) -> bool {
    let printed: f64 = text.parse().unwrap_or(f64::NAN);
    (printed - x).abs() <= 0.5000001 * 10f64.powi(-(decimals(text) as i32))
}

/// What is wrong with a cell of `values`, a mean over seeds.
fn wrong(cell: &str, values: &[f64]) -> Option<String> {
    if values.is_empty() {
        return Some("there are no such rows".into());
    }
    let (head, ends) = cell.split_once(" (").map_or((cell, None), |(a, b)| (a, b.strip_suffix(')')));
    let m = mean(values);
    if !says(head, m) {
        return Some(format!("{cell} where the rows say {m}"));
    }
    let (lo, hi) = ends?.split_once(" to ")?;
    let i = bootstrap_mean_95(values, 0)?;
    (!says(lo, i.lo) || !says(hi, i.hi))
        .then(|| format!("{cell} where the rows say {m} ({} to {})", i.lo, i.hi))
}

/// Cells that were compared, and what is wrong with them.
fn check<C: Task>(table: &Bound, root: &Path, faults: &mut Vec<String>) -> usize {
    let schema: &Schema = C::SCHEMA;
    let rows: Vec<EvalRow> = frames::read(&root.join(table.folder).join("evals.parquet"), schema).unwrap();
    let heads = cells(table.lines[0]);
    let (mut compared, mut agents) = (0, Vec::new());
    for line in &table.lines[2..] {
        let cells = cells(line);
        let same = cells[0].starts_with("the same, sampled");
        if !same {
            agents = cells[0].split('`').skip(1).step_by(2).map(str::to_string).collect();
        }
        assert!(!agents.is_empty(), "{}: no agent in {line}", table.place);
        for (head, cell) in heads.iter().zip(&cells).filter(|c| !c.1.is_empty()) {
            let Some((at, variant)) = column(head, C::SWEPT.unit) else { continue };
            let variant = if same { "sampled" } else { variant };
            for agent in &agents {
                let mut mine: Vec<&EvalRow> = rows
                    .iter()
                    .filter(|r| r.metric == table.metric && r.key.at == at && r.key.agent == *agent)
                    .filter(|r| r.key.labels.last().is_some_and(|v| v == variant))
                    .filter(|r| configured::<C>(&r.key.labels))
                    .collect();
                mine.sort_by_key(|r| r.key.seed);
                let values: Vec<f64> = mine.iter().map(|r| r.mean).collect();
                compared += 1;
                let fault = wrong(cell, &values);
                faults.extend(fault.map(|f| format!("{}: {agent}, {head}: {f}", table.place)));
            }
        }
    }
    compared
}

/// The same of energies of a decision at one swept value, in nJ: `<!-- rows: FOLDER inference_nj 40 -->`. Columns are
/// accounts, as "`paper`, int32".
fn check_energies<C: Task>(table: &Bound, root: &Path, at: f64, faults: &mut Vec<String>) -> usize {
    let rows: Vec<EnergyRow> =
        frames::read(&root.join(table.folder).join("energy.parquet"), C::SCHEMA).unwrap();
    let heads = cells(table.lines[0]);
    let mut compared = 0;
    for line in &table.lines[2..] {
        let cells = cells(line);
        let agent = cells[0].split('`').nth(1).unwrap();
        for (head, cell) in heads.iter().zip(&cells).skip(1).filter(|c| !c.1.is_empty()) {
            let Some((method, constants)) = head.strip_prefix('`').and_then(|h| h.split_once("`, ")) else {
                continue;
            };
            let mine = rows.iter().filter(|r| {
                (r.key.agent.as_str(), r.key.at, r.stage.as_str()) == (agent, at, "inference")
                    && (r.method.as_str(), r.constants.as_str()) == (method, constants)
                    && r.key.labels.last().is_some_and(String::is_empty)
            });
            let values: Vec<f64> = mine.map(|r| 1e9 * r.energy_j).collect();
            compared += 1;
            let fault = wrong(cell, &values);
            faults.extend(fault.map(|f| format!("{}: {agent}, {head}: {f}", table.place)));
        }
    }
    compared
}

/// Whether labels are those of the paper's own task: of misac, one constant β and the recipe of the preset.
fn configured<C: Task>(labels: &[String]) -> bool {
    C::NAME != "misac" || !labels.iter().any(|l| ["kinematic", "a2c", "direct"].contains(&l.as_str()))
}

#[test]
fn tables_of_the_docs_are_what_the_rows_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path()));
    let (mut tables, mut compared, mut faults) = (0, 0, Vec::new());
    for page in pages.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let (name, text) =
            (page.file_name().unwrap().to_string_lossy(), std::fs::read_to_string(page).unwrap());
        for table in bound(&name, &text) {
            tables += 1;
            let task = if table.folder.contains("rl-h-moe") { MisacConfig::NAME } else { V2xConfig::NAME };
            if let Some(at) = table.metric.strip_prefix("inference_nj ") {
                let n = check_energies::<V2xConfig>(&table, root, at.parse().unwrap(), &mut faults);
                assert!(n > 20, "{}: {n} cells compared", table.place);
                compared += n;
                continue;
            }
            let n = match task == MisacConfig::NAME {
                true => check::<MisacConfig>(&table, root, &mut faults),
                false => check::<V2xConfig>(&table, root, &mut faults),
            };
            assert!(n > 3, "{}: {n} cells compared", table.place);
            compared += n;
        }
    }
    assert!(tables >= 4 && compared > 60, "{tables} tables, {compared} cells");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_number_is_found() {
    let five = [1.0, 2.0, 3.0, 4.0, 5.0];
    let i = bootstrap_mean_95(&five, 0).unwrap();
    assert_eq!(wrong("3.0", &five), None);
    assert_eq!(wrong(&format!("3.00 ({:.2} to {:.2})", i.lo, i.hi), &five), None);
    for bad in ["3.1", "-", "3.0 (1.0 to 2.0)", "2.94"] {
        assert!(wrong(bad, &five).is_some(), "{bad}");
    }
    assert!(wrong("3.0", &[]).is_some());
    assert_eq!(column("sampled at 40 dBm", "dBm"), Some((40.0, "sampled")));
    assert_eq!(column("paper at 40 dBm", "dBm"), None);
    assert_eq!(column("10 dB", "dB"), Some((10.0, "")));
    let page = "text\n<!-- rows: results/x sum_rate -->\n| agent | 0 dBm |\n|---|---|\n| `ppo` | 1 |\n\nmore";
    let found = bound("page", page);
    assert_eq!(
        (found.len(), found[0].folder, found[0].metric, found[0].lines.len()),
        (1, "results/x", "sum_rate", 3)
    );
}
