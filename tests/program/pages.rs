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

/// Whether the row of a claim has this verdict, resting on this.
pub fn has_verdict(line: &str, verdict: &str, basis: &str) -> bool {
    line.contains(&format!("| {verdict} | <details><summary>"))
        && line.contains(&format!("Rests on: {basis}. "))
}

/// What is folded away below a summary.
pub fn fold<'a>(text: &'a str, summary: &str) -> &'a str {
    let start = format!("<summary>{summary}</summary>\n");
    let (_, after) = text.split_once(&start).unwrap_or_else(|| panic!("no fold {summary}"));
    after.split("\n</details>").next().unwrap()
}

/// Fails unless a page needs nothing beside it, every link within it leads somewhere, no two places have one name, and
/// its sections come in this order.
pub fn assert_page(html: &str, sections: &[&str]) {
    for part in ["<img", "<link", "<script src", "@import", "url(", "http://", "https://"] {
        // The name of SVG is no address.
        let found = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(part), "the page has {part}");
    }
    assert_eq!(html.matches("<script>").count(), 1);
    let of = |attribute: &str| -> Vec<String> {
        let start = format!(" {attribute}=\"");
        let parts = html.split(&start).skip(1);
        parts.map(|p| p.split('"').next().unwrap().to_string()).collect()
    };
    let ids = of("id");
    for (i, id) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(id), "two places are called {id}");
    }
    let links: Vec<String> =
        of("href").into_iter().filter_map(|h| Some(h.strip_prefix('#')?.to_string())).collect();
    assert!(links.len() > sections.len() && links.iter().all(|l| ids.contains(l)), "{links:?} {ids:?}");
    for tags in [
        ["<table>", "</table>"],
        ["<figure ", "</figure>"],
        ["<section ", "</section>"],
        ["<details", "</details>"],
    ] {
        assert_eq!(html.matches(tags[0]).count(), html.matches(tags[1]).count(), "{tags:?}");
    }
    assert_eq!(html.matches("<table>").count(), html.matches("<caption>").count());
    assert_eq!(html.matches("<svg aria-describedby").count(), html.matches("role=\"img\"").count());
    let headings: Vec<String> = html
        .split("<h2 id=")
        .skip(1)
        .map(|h| h.split_once('>').unwrap().1.split("</h2>").next().unwrap().to_string())
        .collect();
    let mut from = 0;
    for wanted in sections {
        let found = headings[from..].iter().position(|h| h.starts_with(wanted));
        from += 1 + found.unwrap_or_else(|| panic!("no {wanted} behind the others in {headings:?}"));
    }
}

/// A value that a figure carries for the script of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub series: String,
    /// Of a bar.
    pub at: Option<String>,
    pub x: Option<f64>,
    pub y: f64,
    pub interval: Option<(f64, f64)>,
    pub seeds: Option<u64>,
}

/// The values of a figure, of groups of this kind.
pub fn values_of(svg: &str, kind: &str) -> Vec<Value> {
    let doc = roxmltree::Document::parse(svg).unwrap();
    let mut out = Vec::new();
    for group in doc.descendants().filter(|n| n.attribute("data-kind") == Some(kind)) {
        let points: Vec<[Option<f64>; 7]> =
            serde_json::from_str(group.attribute("data-points").unwrap()).unwrap();
        for [x, y, lo, hi, seeds, left, top] in points {
            assert!(left.is_some() && top.is_some());
            out.push(Value {
                series: group.attribute("data-series").unwrap().into(),
                at: group.attribute("data-at").map(String::from),
                x,
                y: y.unwrap(),
                interval: lo.zip(hi),
                seeds: seeds.map(|n| n as u64),
            });
        }
    }
    out
}

/// The part of a page below a heading, up to the next one.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    after.split("\n#").next().unwrap()
}
