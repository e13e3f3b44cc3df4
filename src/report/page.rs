//! Markdown → one HTML file that needs nothing beside it: figures inlined as SVG, a small style sheet, no script.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1f;--paper:#fff;--line:#d4d4da;--soft:#f4f4f7;--quiet:#5b5b66}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6ea;--paper:#17171a;--line:#3b3b42;--soft:#222227;--quiet:#a5a5b0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:64rem;background:var(--paper);color:var(--ink);\
font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.25rem;margin-top:2.4rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{font-size:1.05rem;margin-top:1.6rem}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .7rem;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th{text-align:left;background:var(--soft)}
.prose table{min-width:40rem}.prose td{white-space:normal;overflow-wrap:anywhere}.prose td:nth-child(n+2){min-width:7rem}
div.scroll+p>em:only-child{font-size:.8rem;color:var(--quiet)}
figure{margin:1.2rem 0}
figure svg{display:block;width:100%;max-width:720px;height:auto;background:#fff;border:1px solid var(--line);border-radius:6px}
figcaption{margin-top:.45rem;font-size:.875rem;color:var(--quiet);max-width:720px}
code{font-size:.9em;background:var(--soft);padding:.05em .3em;border-radius:4px}
pre{overflow-x:auto;background:var(--soft);padding:.8rem 1rem;border-radius:6px}pre code{padding:0;background:none}
";

/// A table with a cell longer than this holds sentences, characters.
const SENTENCE_CHARS: usize = 60;

/// Renders Markdown (with tables) as a page titled `title`.
///
/// `figure` gives the SVG document for an image's address; that image becomes a figure with its alternative text as the
/// caption. An image it does not know stays a link to a file.
pub fn html(markdown: &str, title: &str, figure: impl Fn(&str) -> Option<String>) -> String {
    let mut events: Vec<Event> = Vec::new();
    // Address of the figure being read, its document and its caption so far.
    let mut open: Option<(String, String)> = None;
    // Place of the open table's wrapper, its longest cell and the length of the current one, characters.
    let mut table: Option<(usize, usize, usize)> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        if let Some((_, caption)) = &mut open {
            match event {
                Event::Text(t) | Event::Code(t) => caption.push_str(&t),
                Event::SoftBreak | Event::HardBreak => caption.push(' '),
                Event::End(TagEnd::Image) => {
                    if let Some((svg, caption)) = open.take() {
                        events.push(raw(figure_block(&svg, &caption)));
                    }
                }
                _ => {}
            }
            continue;
        }
        match event {
            Event::Start(Tag::Image { ref dest_url, .. }) => match figure(dest_url) {
                Some(svg) => open = Some((svg, String::new())),
                None => events.push(event),
            },
            Event::Start(Tag::Table(_)) => {
                table = Some((events.len(), 0, 0));
                events.push(raw(String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Table) => {
                events.push(event);
                events.push(raw("</div>\n".to_string()));
                if let Some((at, longest, _)) = table.take() {
                    // Numbers stay on one line and scroll; sentences wrap.
                    let class = if longest > SENTENCE_CHARS { "scroll prose" } else { "scroll" };
                    events[at] = raw(format!("<div class=\"{class}\" tabindex=\"0\">\n"));
                }
            }
            other => {
                if let Some((_, longest, cell)) = &mut table {
                    match &other {
                        Event::Start(Tag::TableCell) => *cell = 0,
                        Event::Text(t) | Event::Code(t) => *cell += t.chars().count(),
                        Event::End(TagEnd::TableCell) => *longest = (*longest).max(*cell),
                        _ => {}
                    }
                }
                events.push(other);
            }
        }
    }
    let events = unwrap_figures(events);
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
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

fn figure_block(svg: &str, caption: &str) -> String {
    let caption = escape(caption);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{caption}\" "), 1);
    format!("<figure>\n{}\n<figcaption>{caption}</figcaption>\n</figure>\n", svg.trim_end())
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
        assert!(h.contains("<figcaption>reward &amp; rate &quot;x&quot;</figcaption>"), "{h}");
        assert!(h.contains("<text>x</text>") && !h.contains("<p><figure"), "{h}");
        assert_eq!(h.matches("<p>").count(), 2, "{h}");
        assert_eq!(h.matches("</p>").count(), 2, "{h}");
    }

    #[test]
    fn unknown_images_stay_links() {
        assert!(page("![alt](other.svg)").contains("<img src=\"other.svg\" alt=\"alt\""));
    }

    #[test]
    fn tables_scroll_and_titles_are_escaped() {
        let h = page("| a | b |\n|---|--:|\n| 1 | 2 |\n");
        assert!(h.contains("<div class=\"scroll\" tabindex=\"0\">\n<table>"), "{h}");
        assert_eq!(h.matches("<div").count(), h.matches("</div>").count());
        let sentence = "word ".repeat(20);
        assert!(page(&format!("| a |\n|---|\n| {sentence} |\n")).contains("<div class=\"scroll prose\""));
        assert!(h.contains("<title>a &lt; b</title>"));
    }

    #[test]
    fn a_config_cannot_inject_markup() {
        assert!(!page("```toml\nx = \"<script>\"\n```\n").contains("<script>"));
    }
}
