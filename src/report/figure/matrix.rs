//! Squares that say what holds where.

use super::canvas::{GREYS, MIDDLE, TOP, WIDTH_PX, document, px, shortened, stroke, text_width_px, write};
use super::values::{Datum, open_series};
use crate::report::ReportError;
use crate::report::pen::{Pen, Rgb, WHITE, escape};

/// A cell of a [`Matrix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Square {
    Yes,
    /// As far as it could be seen.
    Part,
    No,
    /// Neither is shown.
    Open,
    /// There is nothing to say.
    Blank,
}

impl Square {
    /// In the order of a legend.
    const ALL: [Square; 5] = [Square::Yes, Square::Part, Square::No, Square::Open, Square::Blank];

    fn color(self) -> Rgb {
        match self {
            Square::Yes => (0x00, 0x72, 0xB2),
            Square::Part => (0x8F, 0xC4, 0xE8),
            Square::No => (0xD5, 0x5E, 0x00),
            Square::Open => (0xB4, 0xB4, 0xB4),
            Square::Blank => WHITE,
        }
    }
}

/// Rows of squares with a name each, over columns in groups: what holds where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    pub title: String,
    /// Name and squares, from top to bottom.
    pub rows: Vec<(String, Vec<Square>)>,
    /// Name and number of columns, from left to right.
    pub groups: Vec<(String, usize)>,
    /// Names of all columns, if they have any.
    pub columns: Vec<String>,
    /// What the kinds of squares mean, in the order of [`Square`].
    pub legend: [&'static str; 5],
}

/// Height of a row of a [`Matrix`], px.
pub(super) const SQUARE_ROW_PX: f64 = 18.0;

/// Size of the names of its groups, and of the lines on which they stand, px.
pub(super) const LABEL_PX: f64 = 11.0;

pub(super) const LABEL_LINE_PX: f64 = 13.0;

/// The line of each of these labels (left end, width), counted from below: the lowest on which it touches none of those
/// before it.
pub(super) fn lines_of(labels: &[(f64, f64)]) -> Vec<usize> {
    let mut lines: Vec<usize> = Vec::new();
    for (i, (x, width)) in labels.iter().enumerate() {
        let touches = |line: usize| {
            let there = labels[..i].iter().zip(&lines).filter(|(_, l)| **l == line);
            there.into_iter().any(|((from, w), _)| *from < x + width && *x < from + w)
        };
        let line = (0..).find(|line| !touches(*line)).unwrap_or(i);
        lines.push(line);
    }
    lines
}

impl Matrix {
    /// Draws the squares as an SVG document, [`WIDTH_PX`] wide. `None` without one.
    ///
    /// # Errors
    /// None; as of other figures.
    pub fn svg(&self) -> Result<Option<String>, ReportError> {
        let columns: usize = self.groups.iter().map(|g| g.1).sum();
        if self.rows.is_empty() || columns == 0 {
            return Ok(None);
        }
        const TEXT_PX: f64 = 12.0;
        const GAP_PX: f64 = 8.0;
        let widest = self.rows.iter().map(|r| text_width_px(&r.0, TEXT_PX)).fold(0.0, f64::max);
        let left = (1.1 * widest + 20.0).min(0.52 * f64::from(WIDTH_PX));
        let letters = ((left - 20.0) / text_width_px("n", TEXT_PX)) as usize;
        let gaps = GAP_PX * (self.groups.len() as f64 - 1.0);
        let wide = ((f64::from(WIDTH_PX) - left - 16.0 - gaps) / columns as f64).min(SQUARE_ROW_PX);
        let mut x = left;
        let mut labels: Vec<(f64, f64)> = Vec::new();
        // Left end of every column.
        let mut places: Vec<f64> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (name, n) in &self.groups {
            let width = 1.2 * text_width_px(name, LABEL_PX) + 4.0;
            // None stands beyond the edge.
            labels.push((x.min(f64::from(WIDTH_PX) - width), width));
            for i in 0..*n {
                let own = self.columns.get(places.len()).filter(|c| !c.is_empty());
                names.push(own.cloned().unwrap_or_else(|| match n {
                    1 => name.clone(),
                    n => format!("{name}, {} of {n}", i + 1),
                }));
                places.push(x + i as f64 * wide);
            }
            x += *n as f64 * wide + GAP_PX;
        }
        let lines = lines_of(&labels);
        let top = 39.0 + LABEL_LINE_PX * (1 + lines.iter().max().unwrap_or(&0)) as f64;
        let bottom = top + self.rows.len() as f64 * SQUARE_ROW_PX;
        let square = |pen: &mut Pen, (x, y): (f64, f64), wide: f64, kind: Square| {
            let corners = [(px(x + 1.0), px(y + 2.0)), (px(x + wide - 1.0), px(y + SQUARE_ROW_PX - 2.0))];
            let edge = if kind == Square::Blank { GREYS[0] } else { kind.color() };
            pen.rect(corners, kind.color(), Some(stroke(edge, 1.0)));
        };
        let json = |texts: &[String]| escape(&serde_json::to_string(texts).unwrap_or_default());
        let kinds = self.legend.map(String::from);
        let attributes = format!("data-columns=\"{}\" data-words=\"{}\"", json(&names), json(&kinds));
        document(&self.title, &attributes, (bottom + 40.0) as u32, |pen| {
            for ((name, _), (label, line)) in self.groups.iter().zip(labels.iter().zip(&lines)) {
                let at = (px(label.0), px(top - 3.0 - LABEL_LINE_PX * (1 + line) as f64));
                write(pen, name, at, LABEL_PX, ("start", TOP));
            }
            for (row, (name, squares)) in self.rows.iter().enumerate() {
                let y = top + row as f64 * SQUARE_ROW_PX;
                let kind = |column: usize| squares.get(column).copied().unwrap_or(Square::Blank);
                let datum = |column: usize| Datum {
                    x: Some(column as f64),
                    y: Square::ALL.iter().position(|k| *k == kind(column)).unwrap_or(0) as f64,
                    interval: None,
                    seeds: None,
                    at: (px(places[column] + wide / 2.0), px(y + SQUARE_ROW_PX / 2.0)),
                };
                let data: Vec<Datum> = (0..columns).map(datum).collect();
                open_series(pen, name, "squares", &data, None);
                pen.title(name);
                for (column, x) in places.iter().enumerate() {
                    square(pen, (*x, y), wide, kind(column));
                }
                let at = (px(left - 8.0), px(y + SQUARE_ROW_PX / 2.0));
                write(pen, &shortened(name, letters), at, TEXT_PX, ("end", MIDDLE));
                pen.close();
            }
            let mut x = 16.0;
            for (kind, text) in Square::ALL.into_iter().zip(self.legend) {
                square(pen, (x, bottom + 10.0), SQUARE_ROW_PX, kind);
                let at = (px(x + SQUARE_ROW_PX + 4.0), px(bottom + 10.0 + SQUARE_ROW_PX / 2.0));
                write(pen, text, at, TEXT_PX, ("start", MIDDLE));
                x += SQUARE_ROW_PX + 20.0 + 1.1 * text_width_px(text, TEXT_PX);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_groups_never_touch() {
        assert_eq!(
            lines_of(&[(0.0, 10.0), (12.0, 10.0), (20.0, 10.0), (21.0, 3.0), (22.0, 9.0)]),
            [0, 0, 1, 2, 0]
        );
        // As in a page of readings: many choices of one column, long names among them.
        let names = [
            "default",
            "alpha_0",
            "cap_d",
            "caps_in_reward",
            "eps_d",
            "feedback",
            "gamma",
            "hidden",
            "kinematics",
            "mode",
            "preset",
            "reward",
            "sensing_noise",
            "32 draws of all",
        ];
        let groups: Vec<(String, usize)> =
            names.iter().map(|n| (n.to_string(), if n.contains("draws") { 32 } else { 1 })).collect();
        let columns = groups.iter().map(|g| g.1).sum();
        let rows = vec![("a claim of the paper ".repeat(4), vec![Square::Yes; columns])];
        let svg =
            Matrix { title: "t".into(), rows, groups, columns: vec![], legend: ["a", "b", "c", "d", "e"] }
                .svg()
                .unwrap()
                .unwrap();
        // (x, y, text) of the labels, as they are written.
        let attribute = |tag: &str, name: &str| -> Option<f64> {
            tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
        };
        let mut at: Vec<(f64, f64, usize)> = Vec::new();
        for text in svg.split("<text").skip(1) {
            let (tag, rest) = text.split_once('>').unwrap();
            let name = rest.split('<').next().unwrap().trim();
            if names.contains(&name) {
                at.push((attribute(tag, "x").unwrap(), attribute(tag, "y").unwrap(), name.len()));
            }
        }
        assert_eq!(at.len(), names.len());
        for (i, a) in at.iter().enumerate() {
            for b in &at[..i] {
                // 0.6 of the size is a wide letter of a sans-serif face.
                let end = |l: &(f64, f64, usize)| l.0 + 0.6 * LABEL_PX * l.2 as f64;
                let apart = a.1 != b.1 || a.0 >= end(b) || b.0 >= end(a);
                assert!(apart, "{a:?} touches {b:?}");
            }
        }
    }
}
