//! Named values below each other, with their intervals.

use super::canvas::{
    Axis, MIDDLE, Room, WIDTH_PX, axes, document, marker, px, shortened, stroke, text_width_px, write,
};
use super::palette::Shape;
use super::ticks::{extent, ticks};
use super::values::{Datum, Words, open_series};
use crate::num::stats::Interval;
use crate::report::ReportError;
use crate::report::pen::INK;

/// One line of [`Dots`].
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    pub label: String,
    /// Positive.
    pub x: f64,
    pub interval: Interval,
    /// Filled and coloured, else hollow and grey.
    pub strong: bool,
}

/// Named values below each other on one logarithmic axis, with their intervals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dots {
    pub title: String,
    pub x_label: String,
    /// Value that all are held against: a vertical line.
    pub at: f64,
    /// From top to bottom.
    pub dots: Vec<Dot>,
}

/// Height of a line of [`Dots`], px.
pub(super) const DOT_ROW_PX: f64 = 19.0;

impl Dots {
    /// Draws the values as an SVG document, [`WIDTH_PX`] wide. `None` without one.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if plotters fails.
    pub fn svg(&self) -> Result<Option<String>, ReportError> {
        let ends = |d: &Dot| [d.x, d.interval.lo, d.interval.hi];
        let xs: Vec<f64> = self.dots.iter().flat_map(ends).chain([self.at]).map(f64::log10).collect();
        if self.dots.is_empty() || xs.iter().any(|x| !x.is_finite()) {
            return Ok(None);
        }
        let (lo, hi) = extent(xs.iter().copied());
        let pad = (0.05 * (hi - lo)).max(0.02);
        self.draw((lo - pad, hi + pad))
    }

    fn draw(&self, range: (f64, f64)) -> Result<Option<String>, ReportError> {
        let text_px = 12.0;
        // Identifiers are wider than prose.
        let width_px = |label: &str| 1.18 * text_width_px(label, text_px);
        let widest = self.dots.iter().map(|d| width_px(&d.label)).fold(0.0, f64::max);
        let labels_px = (widest + 20.0).min(0.62 * f64::from(WIDTH_PX));
        let letters = ((labels_px - 20.0) / width_px("x")) as usize;
        let rows = self.dots.len() as f64;
        let height_px = (36.0 + rows * DOT_ROW_PX + 60.0) as u32;
        // A dot's value stands on the x axis.
        let words = Words::of("", &self.x_label, "");
        document(&self.title, &words.attributes(), height_px, |pen| {
            let room = Room { top: 36.0, bottom: 8.0, left: labels_px, right: 24.0, y_labels: 0.0 };
            let both = [
                Axis { range, ticks: ticks(range, true, 0), log: true },
                Axis { range: (0.0, rows), ticks: vec![], log: false },
            ];
            let frame = axes(pen, height_px, &room, both, [&self.x_label, ""])?;
            let at = |x: f64, row: f64| frame.at(x.log10(), rows - row);
            pen.line(&[at(self.at, 0.0), at(self.at, rows)], stroke(INK, 1.2));
            for (i, d) in self.dots.iter().enumerate() {
                let row = i as f64 + 0.5;
                let color = match (d.strong, d.x > self.at) {
                    (false, _) => (0x8A, 0x8A, 0x8A),
                    (true, true) => (0x00, 0x72, 0xB2),
                    (true, false) => (0xD5, 0x5E, 0x00),
                };
                let place = at(d.x, row);
                let datum = Datum { x: None, y: d.x, interval: Some(d.interval), seeds: None, at: place };
                open_series(pen, &d.label, "dot", std::slice::from_ref(&datum), None);
                pen.title(&words.told(&d.label, &datum, None));
                pen.line(&[at(d.interval.lo, row), at(d.interval.hi, row)], stroke(color, 1.8));
                marker(pen, place, Shape::Circle, color, 7.0, !d.strong);
                let left = (px(labels_px - 8.0), at(self.at, row).1);
                write(pen, &shortened(&d.label, letters), left, text_px, ("end", MIDDLE));
                pen.close();
            }
            Ok(())
        })
    }
}
