//! Links of README.md and of the pages beside it lead somewhere.

use std::path::{Path, PathBuf};

/// Markdown pages that a reader comes to.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("results/README.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    pages.extend(docs.filter(|p| p.extension().is_some_and(|e| e == "md")));
    pages
}

/// Text outside of code.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect()
}

/// As GitHub and mdBook make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// What is wrong with the link `to` on a page, if anything is.
fn broken(page: &Path, to: &str) -> Option<String> {
    if to.contains("://") {
        return None;
    }
    let (file, place) = to.split_once('#').map_or((to, None), |(file, place)| (file, Some(place)));
    let target = if file.is_empty() { page.to_path_buf() } else { page.parent().unwrap().join(file) };
    if !target.exists() {
        return Some(format!("{}: {to} is not there", page.display()));
    }
    let place = place?;
    let text = prose(&target);
    let headings = text.lines().filter(|l| l.starts_with('#'));
    let found = headings.map(|l| anchor(l.trim_start_matches('#'))).any(|a| a == place);
    (!found).then(|| format!("{}: {to}: no such heading", page.display()))
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > 8, "{pages:?}");
    let (mut links, mut wrong) = (0, Vec::new());
    for page in &pages {
        let text = prose(page);
        for rest in text.split("](").skip(1) {
            let to = rest.split(')').next().unwrap();
            links += 1;
            wrong.extend(broken(page, to));
        }
    }
    assert!(links > 15, "{links} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert!(broken(&page, "docs/of-tomorrow.md").is_some());
    assert!(broken(&page, "docs/results.md#of-tomorrow").is_some());
    assert_eq!(broken(&page, "docs/results.md#spiking-ac"), None);
    assert_eq!(broken(&page, "#results"), None);
    assert_eq!(anchor(" Choices the papers leave open"), "choices-the-papers-leave-open");
}
