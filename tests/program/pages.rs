//! What the tests of report pages share: made-up numbers and their manifest, files of a folder, parts of a page.

use isacbench::run::rows::Manifest;
use std::path::Path;

/// A number in -1..1 that looks random and is always the same (SplitMix64 over the parts).
pub fn wobble(parts: &[u64]) -> f64 {
    let mut h = 0u64;
    for p in parts {
        h = (h ^ p).wrapping_add(0x9e37_79b9_7f4a_7c15);
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^= h >> 31;
    }
    (h >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// The manifest of made-up rows of a task.
pub fn manifest(task: &str, command: &str, config: String, agents: &[&str]) -> Manifest {
    Manifest {
        command: command.into(),
        config,
        task: task.into(),
        experiment: None,
        agents: agents.iter().map(|a| a.to_string()).collect(),
        seeds: vec![0, 1, 2, 3, 4],
        device: "synthetic device".into(),
        driver: None,
        backend: "cpu".into(),
        parts: Vec::new(),
        git_revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
        git_dirty: Some(false),
        crate_version: "0.1.0".into(),
        os: "linux x86_64".into(),
        cpu_model: None,
        cpu_cores: Some(2),
        simd: "scalar".into(),
        started_utc: Some("2026-01-02T03:04:05Z".into()),
        wall_s: None,
    }
}

/// Names of the files in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fails unless two folders hold the same files with the same bytes; how many there are.
pub fn assert_equal_files(one: &Path, two: &Path) -> usize {
    let files = names(one);
    assert_eq!(files, names(two));
    for name in &files {
        let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
        assert!(read(one) == read(two), "{name} differs");
    }
    files.len()
}

/// What a figure says in words.
pub fn texts_of(svg: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(svg).unwrap();
    let doc = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", svg.display()));
    let mine = doc.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text());
    mine.map(|t| t.trim().to_string()).collect()
}

/// The row of the table of claims that holds `claim`.
pub fn claim_line<'a>(text: &'a str, claim: &str) -> &'a str {
    text.lines()
        .find(|l| l.starts_with('|') && l.contains(claim))
        .unwrap_or_else(|| panic!("no claim {claim}"))
}

/// The part of a page below a heading, up to the next one.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    after.split("\n#").next().unwrap()
}
