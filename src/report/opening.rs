//! How a page begins, and what is folded away on it: tags of HTML that Markdown lets through, here and on GitHub.

use super::pen::escape;
use std::fmt::Write;

/// A number that stands large at the top of a page, with what it is; both may hold `code`.
pub(crate) struct Number {
    pub(crate) value: String,
    pub(crate) what: String,
}

impl Number {
    pub(crate) fn new(value: impl Into<String>, what: impl Into<String>) -> Number {
        Number { value: value.into(), what: what.into() }
    }
}

/// Text as HTML, with what stands between backticks as code.
fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let one = |(i, part): (usize, &str)| match i % 2 {
        1 => format!("<code>{}</code>", escape(part)),
        _ => escape(part),
    };
    parts.map(one).collect()
}

/// Writes the title, the answer and the numbers.
pub(crate) fn write_opening(out: &mut String, title: &str, answer: &str, numbers: &[Number]) {
    let _ = writeln!(out, "# {title}\n\n**{answer}**\n");
    if !numbers.is_empty() {
        out.push_str("<dl class=\"numbers\">\n");
        for n in numbers {
            let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", inline(&n.value), inline(&n.what));
        }
        out.push_str("</dl>\n\n");
    }
}

/// Writes a part of a page that is folded away below `summary`.
pub(crate) fn fold(out: &mut String, summary: &str, body: &str) {
    let _ =
        writeln!(out, "<details>\n<summary>{}</summary>\n\n{}\n\n</details>\n", inline(summary), body.trim());
}

/// The same in a cell of a table, where Markdown holds.
pub(crate) fn fold_in_cell(summary: &str, body: &str) -> String {
    if body.is_empty() {
        return summary.to_string();
    }
    format!("<details><summary>{}</summary>{body}</details>", inline(summary))
}

/// How much of a run's evidence is told at once, characters.
const BRIEF_CHARS: usize = 76;

/// The first thing that a text says, without intervals in brackets.
pub(crate) fn brief(evidence: &str) -> String {
    let mut text = String::new();
    let mut rest = evidence;
    // What stands in brackets with "to" is an interval.
    while let Some((before, after)) = rest.split_once(" (") {
        text.push_str(before);
        match after.split_once(')') {
            Some((inside, behind)) if inside.contains(" to ") => rest = behind,
            Some((inside, behind)) => {
                let _ = write!(text, " ({inside})");
                rest = behind;
            }
            None => {
                text.push_str(" (");
                rest = after;
            }
        }
    }
    text.push_str(rest);
    let end = ["; ", ". "].iter().filter_map(|s| text.find(s)).min().unwrap_or(text.len());
    let first = text[..end].trim_end_matches('.').trim();
    if first.chars().count() <= BRIEF_CHARS {
        return first.to_string();
    }
    let cut: String = first.chars().take(BRIEF_CHARS).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words).trim_end_matches([',', ':']);
    // A name between backticks is not cut apart.
    let whole =
        if cut.matches('`').count() % 2 == 1 { cut.rsplit_once('`').map_or(cut, |(a, _)| a) } else { cut };
    format!("{} …", whole.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_html_with_code() {
        let mut out = String::new();
        write_opening(&mut out, "T", "It is.", &[Number::new("1 < 2", "of `a`")]);
        assert!(out.starts_with("# T\n\n**It is.**\n\n<dl class=\"numbers\">\n"), "{out}");
        assert!(out.contains("<dt>1 &lt; 2</dt><dd>of <code>a</code></dd>"), "{out}");
        let mut folded = String::new();
        fold(&mut folded, "s", "\n| a |\n");
        assert_eq!(folded, "<details>\n<summary>s</summary>\n\n| a |\n\n</details>\n\n");
    }

    #[test]
    fn the_first_thing_is_told_without_intervals() {
        let text = "`a` 22.30 (22.23 to 22.39) against `b` 23.02 (22.74 to 23.23) at 40 dBm. More (1 of 2)";
        assert_eq!(brief(text), "`a` 22.30 against `b` 23.02 at 40 dBm");
        assert_eq!(brief("one (two) three; four"), "one (two) three");
        let long = brief(&format!("{} `cut-here` {}", "word ".repeat(13), "word ".repeat(9)));
        assert!(
            long.ends_with('…') && long.chars().count() < 80 && long.matches('`').count().is_multiple_of(2),
            "{long}"
        );
    }
}
