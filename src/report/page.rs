//! Markdown → one HTML file that needs nothing beside it: figures inlined as SVG, a style sheet, and a short script
//! that adds to what can be read without it.
//!
//! What stands before the first heading of the second order opens the page; a paragraph there that is all bold is the
//! answer. Then come the contents, made of the headings, and at the end the words that the page uses. `<details>` and
//! the other tags of `opening` pass through.

use super::glossary;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
/// What scripts add. No library: see its first lines.
const SCRIPT: &str = include_str!("page.js");

/// A table with a cell longer than this holds sentences, characters.
const SENTENCE_CHARS: usize = 60;
/// Most headings of the third order that the contents show of a section: more are a list of their own.
const MOST_BELOW: usize = 8;

/// A heading of the contents.
struct Entry {
    id: String,
    text: String,
    below: Vec<(String, String)>,
}

/// What is read of a heading, a table or a figure until it ends.
#[derive(Default)]
struct Open {
    /// Document of the figure, with its address and its caption so far.
    figure: Option<(String, String, String)>,
    /// Place of the table's wrapper, its longest cell and the length of the current one, characters.
    table: Option<(usize, usize, usize)>,
    /// Place of the heading, its level and its text so far.
    heading: Option<(usize, HeadingLevel, String)>,
}

/// Renders Markdown (with tables) as a page titled `title`.
///
/// `figure` gives the SVG document for an image's address; that image becomes a figure with its alternative text as the
/// caption. An image it does not know stays a link to a file.
pub fn html(markdown: &str, title: &str, figure: impl Fn(&str) -> Option<String>) -> String {
    let mut events: Vec<Event> = Vec::new();
    let mut open = Open::default();
    let mut ids = Ids::default();
    let mut contents: Vec<Entry> = Vec::new();
    // Nearest heading, for the captions of tables; folds that are open; place of the first section.
    let (mut last, mut folds, mut first) = (String::new(), 0usize, None);
    let mut answer: Option<String> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        if let Some((_, _, caption)) = &mut open.figure {
            match event {
                Event::Text(t) | Event::Code(t) => caption.push_str(&t),
                Event::SoftBreak | Event::HardBreak => caption.push(' '),
                Event::End(TagEnd::Image) => {
                    if let Some((address, svg, caption)) = open.figure.take() {
                        events.push(raw(figure_block(&ids.of(&address), &svg, &caption)));
                    }
                }
                _ => {}
            }
            continue;
        }
        if let Some((_, _, text)) = &mut open.heading
            && let Event::Text(t) | Event::Code(t) = &event
        {
            text.push_str(t);
        }
        match event {
            Event::Start(Tag::Image { ref dest_url, .. }) => match figure(dest_url) {
                Some(svg) => open.figure = Some((dest_url.to_string(), svg, String::new())),
                None => events.push(event),
            },
            Event::Start(Tag::Heading { level, .. }) => {
                open.heading = Some((events.len(), level, String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                let Some((at, level, text)) = open.heading.take() else { continue };
                let id = ids.of(&text);
                let start = match level {
                    HeadingLevel::H2 => {
                        let before = if contents.is_empty() { "" } else { "</section>\n" };
                        first = first.or(Some(at));
                        contents.push(Entry { id: id.clone(), text: text.clone(), below: Vec::new() });
                        format!("{before}<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">")
                    }
                    HeadingLevel::H3 => {
                        // What is folded away is found by opening the fold.
                        if let (Some(section), 0) = (contents.last_mut(), folds) {
                            section.below.push((id.clone(), text.clone()));
                        }
                        format!("<h3 id=\"{id}\">")
                    }
                    other => format!("<{other}>"),
                };
                events[at] = raw(start);
                events.push(raw(format!("</{level}>\n")));
                last = text;
            }
            Event::Start(Tag::Table(_)) => {
                open.table = Some((events.len(), 0, 0));
                events.push(raw(String::new()));
                events.push(event);
                events.push(raw(format!("<caption>{}</caption>", escape(&last))));
            }
            Event::End(TagEnd::Table) => {
                events.push(event);
                events.push(raw("</div>\n".to_string()));
                if let Some((at, longest, _)) = open.table.take() {
                    // Numbers stay on one line and scroll; sentences wrap.
                    let class = if longest > SENTENCE_CHARS { "scroll prose" } else { "scroll" };
                    let name = escape(&last);
                    events[at] = raw(format!(
                        "<div class=\"{class}\" role=\"region\" aria-label=\"Table: {name}\" tabindex=\"0\">\n"
                    ));
                }
            }
            other => {
                if let Some((_, longest, cell)) = &mut open.table {
                    match &other {
                        Event::Start(Tag::TableCell) => *cell = 0,
                        Event::Text(t) | Event::Code(t) => *cell += t.chars().count(),
                        Event::End(TagEnd::TableCell) => *longest = (*longest).max(*cell),
                        _ => {}
                    }
                }
                if let Event::Html(h) | Event::InlineHtml(h) = &other {
                    folds = (folds + h.matches("<details").count())
                        .saturating_sub(h.matches("</details").count());
                }
                if matches!(other, Event::End(TagEnd::Paragraph)) && first.is_none() && answer.is_none() {
                    answer = mark_answer(&mut events);
                }
                events.push(other);
            }
        }
    }
    let rest = events.split_off(first.unwrap_or(events.len()));
    let [head, body] = [events, rest].map(|part| {
        let mut out = String::new();
        html::push_html(&mut out, unwrap_figures(part).into_iter());
        // Headers of columns say so; those of cells are none.
        out.replace("<th>", "<th scope=\"col\">").replace("<th style", "<th scope=\"col\" style")
    });
    let words = words(&format!("{markdown}{title}"));
    let end = if contents.is_empty() { "" } else { "</section>\n" };
    let title = escape(title);
    let answer =
        answer.map_or(String::new(), |a| format!("<meta name=\"description\" content=\"{}\">\n", escape(&a)));
    let toc = toc(&contents, !words.is_empty());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n{answer}\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n\
         <header>\n{head}</header>\n{toc}<main id=\"main\">\n{body}{end}{words}</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// The answer of a page that [`html()`] wrote: what a list of reports tells of it.
pub fn answer_of(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("<meta name=\"description\" content=\"")?;
    let text = rest.split_once("\">")?.0;
    Some(text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// Names of places on a page, each once.
#[derive(Default)]
struct Ids(Vec<String>);

impl Ids {
    fn of(&mut self, text: &str) -> String {
        let plain = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let slug: String = text.trim_end_matches(".svg").chars().map(plain).collect();
        let slug = slug.split('-').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("-");
        // These are the page's own.
        let taken =
            |id: &str| id.is_empty() || ["main", "words"].contains(&id) || self.0.iter().any(|x| x == id);
        let numbered = (2..).map(|n| format!("{slug}-{n}"));
        let id = std::iter::once(slug.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(slug.clone());
        self.0.push(id.clone());
        id
    }
}

/// Makes the paragraph that ends here the answer, if it is all bold, and gives its text.
fn mark_answer(events: &mut [Event]) -> Option<String> {
    let start = events.iter().rposition(|e| matches!(e, Event::Start(Tag::Paragraph)))?;
    let inner = &events[start + 1..];
    let bold = matches!(inner.first(), Some(Event::Start(Tag::Strong)))
        && matches!(inner.last(), Some(Event::End(TagEnd::Strong)));
    if !bold {
        return None;
    }
    let mut text = String::new();
    for e in inner {
        match e {
            Event::Text(t) | Event::Code(t) => text.push_str(t),
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            _ => {}
        }
    }
    events[start] = raw("<p class=\"answer\">".to_string());
    Some(text)
}

/// The contents; empty of a page without headings.
fn toc(contents: &[Entry], words: bool) -> String {
    if contents.is_empty() {
        return String::new();
    }
    let mut out = String::from("<nav class=\"toc\" aria-label=\"Contents\">\n<ol>\n");
    let link = |id: &str, text: &str| format!("<a href=\"#{id}\">{}</a>", escape(text));
    for e in contents {
        let _ = write!(out, "<li>{}", link(&e.id, &e.text));
        if (2..=MOST_BELOW).contains(&e.below.len()) {
            let below: Vec<String> =
                e.below.iter().map(|(id, t)| format!("<li>{}</li>", link(id, t))).collect();
            let _ = write!(out, "<ol>{}</ol>", below.concat());
        }
        out.push_str("</li>\n");
    }
    if words {
        let _ = writeln!(out, "<li>{}</li>", link("words", "Words"));
    }
    out.push_str("</ol>\n</nav>\n");
    out
}

/// The words that a page uses, folded.
fn words(text: &str) -> String {
    let used = glossary::used(text);
    if used.is_empty() {
        return String::new();
    }
    let mut out = String::from("<details id=\"words\" class=\"block\"><summary>Words</summary>\n<dl>\n");
    for w in used {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(w.word), escape(&w.meaning.replace('`', "")));
    }
    out.push_str("</dl>\n</details>\n");
    out
}

fn raw(html: String) -> Event<'static> {
    Event::Html(CowStr::from(html))
}

/// A paragraph that holds nothing but a figure gives way to it: `<p>` must not hold a `<figure>`.
fn unwrap_figures(events: Vec<Event>) -> Vec<Event> {
    let is_figure = |e: &Event| matches!(e, Event::Html(h) if h.starts_with("<figure"));
    let mut out: Vec<Event> = Vec::with_capacity(events.len());
    let mut events = events.into_iter().peekable();
    while let Some(event) = events.next() {
        if matches!(event, Event::Start(Tag::Paragraph)) && events.peek().is_some_and(is_figure) {
            out.extend(events.next());
            if matches!(events.peek(), Some(Event::End(TagEnd::Paragraph))) {
                events.next();
            } else {
                out.push(event);
            }
        } else {
            out.push(event);
        }
    }
    out
}

fn figure_block(id: &str, svg: &str, caption: &str) -> String {
    let caption = escape(caption);
    let svg = svg.replacen("<svg ", &format!("<svg aria-describedby=\"{id}-caption\" "), 1);
    format!(
        "<figure id=\"{id}\">\n<div class=\"plot\">\n{}\n</div>\n\
         <figcaption id=\"{id}-caption\">{caption}</figcaption>\n</figure>\n",
        svg.trim_end()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = "<svg width=\"1\"><text>x</text></svg>";

    fn page(markdown: &str) -> String {
        html(markdown, "a < b", |address| (address == "f.svg").then(|| SVG.to_string()))
    }

    #[test]
    fn figures_are_inlined_with_their_caption() {
        let h = page("before\n\n![reward & `rate` \"x\"](f.svg)\n\nafter\n");
        assert!(
            h.contains("<figcaption id=\"f-caption\">reward &amp; rate &quot;x&quot;</figcaption>"),
            "{h}"
        );
        assert!(h.contains("<svg aria-describedby=\"f-caption\" width"), "{h}");
        assert!(h.contains("<text>x</text>") && !h.contains("<p><figure"), "{h}");
        assert_eq!(h.matches("<p>").count(), 2, "{h}");
        assert_eq!(h.matches("</p>").count(), 2, "{h}");
    }

    #[test]
    fn unknown_images_stay_links() {
        assert!(page("![alt](other.svg)").contains("<img src=\"other.svg\" alt=\"alt\""));
    }

    #[test]
    fn tables_scroll_and_say_what_they_are() {
        let h = page("## Rates\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n");
        let wrapper = "<div class=\"scroll\" role=\"region\" aria-label=\"Table: Rates\" tabindex=\"0\">\n<table>\
                       <caption>Rates</caption>";
        assert!(h.contains(wrapper), "{h}");
        assert!(h.contains("<th scope=\"col\">a</th><th scope=\"col\" style="), "{h}");
        assert_eq!(h.matches("<div").count(), h.matches("</div>").count());
        let sentence = "word ".repeat(20);
        assert!(page(&format!("| a |\n|---|\n| {sentence} |\n")).contains("<div class=\"scroll prose\""));
        assert!(h.contains("<title>a &lt; b</title>"));
    }

    #[test]
    fn a_config_cannot_inject_markup() {
        let h = page("```toml\nx = \"<script>\"\n```\n");
        assert_eq!(h.matches("<script>").count(), 1, "only the page's own");
    }

    #[test]
    fn headings_make_the_contents_and_what_is_before_them_opens_the_page() {
        let text = "# T\n\n**It `holds`.**\n\n## A & b\n\n### One\n\n### Two\n\n\
                    ## A & b\n\n<details>\n<summary>s</summary>\n\n\
                    ### Hidden\n\n### Hidden too\n\n</details>\n";
        let h = page(text);
        let (head, rest) = h.split_once("</header>").unwrap();
        assert!(head.contains("<p class=\"answer\"><strong>It <code>holds</code>.</strong></p>"), "{h}");
        assert_eq!(answer_of(&h).unwrap(), "It holds.");
        for part in [
            "<a href=\"#a-b\">A &amp; b</a><ol><li><a href=\"#one\">One</a></li><li><a href=\"#two\">Two</a></li></ol>",
            "<a href=\"#a-b-2\">A &amp; b</a></li>",
            "<h3 id=\"hidden\">Hidden</h3>",
            "<section aria-labelledby=\"a-b-2\">\n<h2 id=\"a-b-2\">",
        ] {
            assert!(rest.contains(part), "no {part} in {rest}");
        }
        assert_eq!(h.matches("<section").count(), h.matches("</section>").count());
        assert!(answer_of(&page("# T\n\nNo **answer**.\n")).is_none());
    }

    #[test]
    fn words_are_explained_where_they_are_used() {
        assert!(page("## A\n\nWhat `genie` does.\n").contains("<dt>genie</dt>"));
        let h = page("## A\n\nNothing.\n");
        assert!(!h.contains("<dl>") && !h.contains("#words\""), "{h}");
    }
}
