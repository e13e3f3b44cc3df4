//! SVG documents of figures: elements with a colour for light pages and one for dark ones, in groups that carry the
//! values behind them.
//!
//! Colours are attributes, so that every reader of SVG shows them. A style sheet in the document gives the other ones
//! where whoever looks prefers dark pages; in print it is silent. So a figure is dark on a dark page and when it is
//! opened alone.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// Red, green and blue.
pub(super) type Rgb = (u8, u8, u8);

/// Text and axes on light pages.
pub(super) const INK: Rgb = (0x22, 0x22, 0x22);
/// What a paper prints.
pub(super) const BLACK: Rgb = (0, 0, 0);
pub(super) const WHITE: Rgb = (0xFF, 0xFF, 0xFF);
/// A dark page.
pub(super) const NIGHT: Rgb = (0x17, 0x17, 0x1A);
/// Contrast of colours to a dark page; text needs 4.5, and ink has more.
const CONTRAST: f64 = 4.5;

/// Relative luminance, as WCAG has it.
pub(super) fn luminance((r, g, b): Rgb) -> f64 {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// Contrast ratio of two colours, from 1 to 21.
pub(super) fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

/// The colour on a dark page: greys change sides, other colours are mixed with white until they can be seen.
pub(super) fn on_dark(rgb: Rgb) -> Rgb {
    let (r, g, b) = rgb;
    if r == g && g == b {
        // White becomes the page, black nearly white.
        let turned =
            |dark: u8| (f64::from(dark) + (230.0 - f64::from(dark)) * (1.0 - f64::from(r) / 255.0)) as u8;
        return (turned(NIGHT.0), turned(NIGHT.1), turned(NIGHT.2));
    }
    let mixed = |share: f64| {
        let mix = |c: u8| (f64::from(c) + share * (255.0 - f64::from(c))).round() as u8;
        (mix(r), mix(g), mix(b))
    };
    (0..=20).map(|i| mixed(f64::from(i) / 20.0)).find(|c| contrast(*c, NIGHT) >= CONTRAST).unwrap_or(WHITE)
}

fn hex((r, g, b): Rgb) -> String {
    format!("{r:02X}{g:02X}{b:02X}")
}

/// Text as an attribute or between tags.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with six digits, as JSON has it; `null` if it is not finite.
pub(super) fn number(x: f64) -> String {
    let rounded = format!("{x:.5e}").parse().unwrap_or(f64::NAN);
    serde_json::to_string(&rounded).unwrap_or_else(|_| "null".into()).trim_end_matches(".0").to_string()
}

/// How a line is drawn.
#[derive(Clone, Copy)]
pub(super) struct Stroke {
    pub(super) rgb: Rgb,
    /// Units of the drawing.
    pub(super) width: i32,
    /// Lengths of dashes and gaps, units of the drawing.
    pub(super) dashes: Option<(i32, i32)>,
}

/// Where a text stands at its place.
#[derive(Clone, Copy)]
pub(super) struct Anchor {
    /// `start`, `middle` or `end`.
    pub(super) h: &'static str,
    /// How far the line of letters lies below the place.
    pub(super) dy: &'static str,
}

/// Writes one document.
pub(super) struct Pen {
    out: String,
    fills: BTreeSet<Rgb>,
    strokes: BTreeSet<Rgb>,
    /// Groups that are open.
    open: usize,
}

type At = (i32, i32);

fn points(at: &[At]) -> String {
    at.iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
}

impl Pen {
    pub(super) fn new() -> Pen {
        Pen { out: String::new(), fills: BTreeSet::new(), strokes: BTreeSet::new(), open: 0 }
    }

    fn fill(&mut self, rgb: Rgb) -> String {
        self.fills.insert(rgb);
        format!("class=\"f{0}\" fill=\"#{0}\"", hex(rgb))
    }

    fn stroke(&mut self, s: Stroke) -> String {
        self.strokes.insert(s.rgb);
        let dashes = s.dashes.map_or(String::new(), |(on, off)| format!(" stroke-dasharray=\"{on} {off}\""));
        format!("class=\"s{0}\" stroke=\"#{0}\" stroke-width=\"{1}\"{dashes}", hex(s.rgb), s.width)
    }

    fn element(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{text}");
    }

    /// Opens a group with these attributes, as they are written.
    pub(super) fn open(&mut self, attributes: &str) {
        self.element(format!("<g {attributes}>"));
        self.open += 1;
    }

    pub(super) fn close(&mut self) {
        self.element("</g>");
        self.open -= 1;
    }

    /// What a reader without scripts is told of the group that is open.
    pub(super) fn title(&mut self, text: &str) {
        self.element(format!("<title>{}</title>", escape(text)));
    }

    pub(super) fn line(&mut self, at: &[At], stroke: Stroke) {
        let style = self.stroke(stroke);
        self.element(format!("<polyline fill=\"none\" {style} points=\"{}\"/>", points(at)));
    }

    pub(super) fn polygon(&mut self, at: &[At], rgb: Rgb, opacity: f64) {
        let fill = self.fill(rgb);
        let opacity = if opacity < 1.0 { format!(" opacity=\"{opacity}\"") } else { String::new() };
        self.element(format!("<polygon {fill}{opacity} points=\"{}\"/>", points(at)));
    }

    pub(super) fn disc(&mut self, (x, y): At, r: i32, rgb: Rgb) {
        let fill = self.fill(rgb);
        self.element(format!("<circle {fill} cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"));
    }

    pub(super) fn ring(&mut self, (x, y): At, r: i32, stroke: Stroke) {
        let style = self.stroke(stroke);
        self.element(format!("<circle fill=\"none\" {style} cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"));
    }

    /// A filled rectangle, with an edge of another colour if there is one.
    pub(super) fn rect(&mut self, [(x0, y0), (x1, y1)]: [At; 2], rgb: Rgb, edge: Option<Stroke>) {
        let mut style = self.fill(rgb);
        if let Some(edge) = edge {
            let stroke = self.stroke(edge);
            // Both are classes of one element.
            let class = format!("f{} s{}", hex(rgb), hex(edge.rgb));
            let rest = |s: &str| s.split_once("\" ").map_or(String::new(), |(_, rest)| rest.to_string());
            style = format!("class=\"{class}\" {} {}", rest(&style), rest(&stroke));
        }
        let (x, y, w, h) = (x0.min(x1), y0.min(y1), (x1 - x0).abs(), (y1 - y0).abs());
        self.element(format!("<rect {style} x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"));
    }

    /// Takes clicks and is not seen.
    pub(super) fn target(&mut self, [(x0, y0), (x1, y1)]: [At; 2]) {
        let (w, h) = (x1 - x0, y1 - y0);
        self.element(format!(
            "<rect class=\"target\" fill=\"none\" pointer-events=\"all\" x=\"{x0}\" y=\"{y0}\" width=\"{w}\" \
             height=\"{h}\"/>"
        ));
    }

    pub(super) fn text(&mut self, (x, y): At, size: i32, anchor: Anchor, text: &str) {
        let fill = self.fill(INK);
        self.element(format!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"{}\" text-anchor=\"{}\" font-size=\"{size}\" {fill}>{}</text>",
            anchor.dy,
            anchor.h,
            escape(text)
        ));
    }

    /// What plotters drew of axes: the elements of a document of the same size, in ink and these two greys.
    pub(super) fn axes(&mut self, document: &str, greys: [Rgb; 2]) {
        let inner = document.split_once('\n').map_or("", |(_, rest)| rest);
        let mut inner = inner.trim_end().trim_end_matches("</svg>").to_string();
        for written in [" font-family=\"sans-serif\"", " opacity=\"1\""] {
            inner = inner.replace(written, "");
        }
        self.fills.insert(INK);
        inner = inner
            .replace(&format!("fill=\"#{}\"", hex(INK)), &format!("class=\"f{0}\" fill=\"#{0}\"", hex(INK)));
        for grey in greys {
            self.strokes.insert(grey);
            let plain = format!("stroke=\"#{}\"", hex(grey));
            inner = inner.replace(&plain, &format!("class=\"s{}\" {plain}", hex(grey)));
        }
        self.out.push_str(&inner);
    }

    /// The whole document, shown at this width and height in pixels, with these units to a pixel.
    pub(super) fn document(
        self,
        title: &str,
        attributes: &str,
        (width, height): (u32, u32),
        units: u32,
    ) -> String {
        debug_assert_eq!(self.open, 0, "a group of '{title}' is open");
        let mut dark = String::new();
        for (letter, property, colors) in [("f", "fill", &self.fills), ("s", "stroke", &self.strokes)] {
            for rgb in colors {
                let _ = write!(dark, ".{letter}{}{{{property}:#{}}}", hex(*rgb), hex(on_dark(*rgb)));
            }
        }
        format!(
            "<svg role=\"img\" aria-label=\"{}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\" \
             xmlns=\"http://www.w3.org/2000/svg\" font-family=\"sans-serif\" {attributes}>\n\
             <style>@media screen and (prefers-color-scheme:dark){{{dark}}}</style>\n{}</svg>\n",
            escape(title),
            width * units,
            height * units,
            self.out
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_can_be_seen_on_a_dark_page() {
        for rgb in
            [INK, BLACK, (0x33, 0x22, 0x88), (0x66, 0x11, 0x00), (0xD5, 0x5E, 0x00), (0x66, 0x66, 0x66)]
        {
            assert!(contrast(on_dark(rgb), NIGHT) >= CONTRAST, "{rgb:?} {:?}", on_dark(rgb));
        }
        assert_eq!(on_dark(WHITE), NIGHT);
        // One that is seen already stays.
        assert_eq!(on_dark((0xE6, 0x9F, 0x00)), (0xE6, 0x9F, 0x00));
        assert!((contrast(BLACK, WHITE) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_json() {
        let texts = [40.0, 0.1 + 0.2, 1.614_321_9e-9, 0.0, f64::NAN, -2.5e7].map(number);
        assert_eq!(texts, ["40", "0.3", "1.61432e-9", "0", "null", "-25000000"]);
    }

    #[test]
    fn a_document_names_its_colours_twice() {
        let mut pen = Pen::new();
        pen.open("data-series=\"a\"");
        pen.title("a < b");
        pen.disc((1, 2), 3, (0x00, 0x72, 0xB2));
        pen.close();
        let edge = Stroke { rgb: BLACK, width: 4, dashes: None };
        pen.rect([(0, 0), (4, 4)], WHITE, Some(edge));
        let svg = pen.document("t \"x\"", "data-x=\"x\"", (10, 20), 4);
        for part in [
            "aria-label=\"t &quot;x&quot;\" width=\"10\" height=\"20\" viewBox=\"0 0 40 80\"",
            "<circle class=\"f0072B2\" fill=\"#0072B2\" cx=\"1\" cy=\"2\" r=\"3\"/>",
            "<title>a &lt; b</title>",
            "class=\"fFFFFFF s000000\" fill=\"#FFFFFF\" stroke=\"#000000\"",
            ".fFFFFFF{fill:#17171A}",
        ] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
    }
}
