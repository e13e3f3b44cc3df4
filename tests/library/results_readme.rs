//! `results/README.md` says of every column what the program's own dictionary says, and names every metric of an
//! evaluation.

use isacbench::config::Layered;
use isacbench::env::Env;
use isacbench::run::rows::{Schema, bench_dictionary, dictionary};
use isacbench::run::task::Task;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::evaluate::METRICS;
use isacbench::tasks::v2x::config::V2xConfig;
use std::sync::Arc;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/results/README.md")).unwrap()
}

/// From the line `heading` to the next heading of its kind.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let from = text.find(heading).unwrap_or_else(|| panic!("results/README.md has no '{heading}'"));
    let rest = &text[from..];
    rest[1..].find("\n## ").map_or(rest, |to| &rest[..to + 2])
}

/// The dictionary stands at the head of its section, word for word.
fn has(dictionary: &str) {
    let readme = readme();
    let section = section(&readme, dictionary.lines().next().unwrap());
    for (here, wanted) in section.lines().zip(dictionary.lines()) {
        assert_eq!(here, wanted, "results/README.md is not what isacbench::run::rows says");
    }
    assert!(section.lines().count() >= dictionary.lines().count(), "results/README.md ends too early");
}

/// The metrics that a section has a line of, in backticks in the first column behind the dictionary.
fn named(schema: &Schema) -> Vec<String> {
    let readme = readme();
    let section = section(&readme, &format!("## Columns of task {}", schema.task));
    let (_, metrics) = section.split_once("\n| metric |").expect("a table of metrics");
    let first = metrics.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    first.flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`').to_string())).collect()
}

#[test]
fn columns_are_those_of_the_dictionary() {
    has(&dictionary(V2xConfig::SCHEMA));
    has(&dictionary(MisacConfig::SCHEMA));
    has(&bench_dictionary());
}

#[test]
fn every_metric_is_told() {
    let config = V2xConfig::load(None, &[]).unwrap();
    let env: Arc<dyn Env> = config.env(&[]);
    let (samples, rows) = (env.samples().unwrap(), env.metrics().into_iter().map(|m| m.name));
    let means = rows.take(env.sizes().metrics - samples.len()).filter(|name| V2xConfig::facts(name).in_rows);
    let shares = env.limits().into_iter().map(|limit| limit.share.to_string());
    let names =
        means.chain(shares).chain(samples.quantiles.as_flattened().iter().map(|name| name.to_string()));
    let told = named(V2xConfig::SCHEMA);
    let names: Vec<String> = names.collect();
    assert!(names.len() > 5 && names.iter().all(|name| told.contains(name)), "{names:?} in {told:?}");
    let told = named(MisacConfig::SCHEMA);
    assert!(METRICS.iter().all(|name| told.iter().any(|t| t == name)), "{METRICS:?} in {told:?}");
}
