//! `docs/glossary.md` has the words of the reports.
#![cfg(feature = "report")]

use isacbench::report::glossary::markdown;
use std::path::Path;

#[test]
fn the_page_is_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/glossary.md");
    if std::env::var_os("WRITE_GLOSSARY").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == markdown(),
        "docs/glossary.md is not that of src/report/glossary.rs: WRITE_GLOSSARY=1 writes it"
    );
}
