//! The page of several reports: each with a link and the sentence that answers it.

use super::opening::write_opening;
use super::words::counted;
use super::{ReportError, page, write_whole};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Name of the page.
pub const FILE: &str = "index.html";

/// Writes the page to `dir`, which holds the reports: (name, folder) each, in their order. Those without a page yet are
/// said. Gives where the page lies.
///
/// # Errors
/// What the file system refuses.
pub fn write(dir: &Path, reports: &[(String, PathBuf)]) -> Result<PathBuf, ReportError> {
    let mut there = String::new();
    let mut missing: Vec<&str> = Vec::new();
    let mut count = 0;
    for (name, folder) in reports {
        let path = folder.join("report.html");
        let Ok(text) = std::fs::read_to_string(&path) else {
            missing.push(name);
            continue;
        };
        count += 1;
        let link = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let answer = page::answer_of(&text).unwrap_or_default().replace('<', "&lt;");
        // Names with an underscore or a star are no Markdown.
        let answer = answer.replace('*', "\\*").replace('_', "\\_");
        let _ = writeln!(there, "## [{name}](<{link}>)\n\n{answer}\n");
    }
    let mut text = String::new();
    write_opening(
        &mut text,
        "Reports",
        &format!("{}, each with what it answers.", counted(count, "report")),
        &[],
    );
    text.push_str(&there);
    if !missing.is_empty() {
        let _ = writeln!(text, "## Not there yet\n\n{}\n", missing.join("; "));
    }
    let path = dir.join(FILE);
    write_whole(&path, page::html(&text, "Reports", |_| None).as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_has_its_answer_and_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a-smoke");
        std::fs::create_dir(&folder).unwrap();
        let report = page::html("# A\n\n**It `holds`: a_b < 2.**\n", "A", |_| None);
        std::fs::write(folder.join("report.html"), report).unwrap();
        let all = [("a".to_string(), folder), ("b".to_string(), dir.path().join("b-smoke"))];
        let text = std::fs::read_to_string(write(dir.path(), &all).unwrap()).unwrap();
        assert!(text.contains("<a href=\"a-smoke/report.html\">a</a>"), "{text}");
        assert!(text.contains("<p>It holds: a_b &lt; 2.</p>") && text.contains("<p>b</p>"), "{text}");
        assert_eq!(page::answer_of(&text).unwrap(), "one report, each with what it answers.");
    }
}
