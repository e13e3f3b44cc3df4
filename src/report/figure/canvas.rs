//! What all figures are drawn with: lengths, strokes, axes by plotters, markers, texts.

use super::palette::Shape;
use super::ticks::tick_text;
use crate::report::ReportError;
use crate::report::pen::{Anchor, INK, Pen, Rgb, Stroke, WHITE};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Color, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, RGBColor, SVGBackend, TRANSPARENT,
    TextStyle,
};

/// Width at which a figure is shown, px. Text is sized for it.
pub const WIDTH_PX: u32 = 720;
/// Height of the plot with its axes, without the legend, px.
pub(super) const PLOT_HEIGHT_PX: u32 = 430;

/// plotters rounds coordinates to whole units; with four units per pixel, lines stay smooth.
pub(super) const UNITS_PER_PX: u32 = 4;

/// plotters divides SVG font sizes by this.
pub(super) const FONT_FACTOR: f64 = 1.24;

pub(super) const LEGEND_ROW_PX: f64 = 22.0;

/// Between the label of the x axis and the legend.
pub(super) const LEGEND_GAP_PX: f64 = 10.0;

/// Pixels of the shown figure in drawing units.
pub(super) fn px(x: f64) -> i32 {
    (x * f64::from(UNITS_PER_PX)).round() as i32
}

pub(super) fn stroke(rgb: Rgb, width_px: f64) -> Stroke {
    Stroke { rgb, width: px(width_px), dashes: None }
}

/// A line of dashes and gaps of these lengths, px.
pub(super) fn dashed(rgb: Rgb, width_px: f64, (on, off): (f64, f64)) -> Stroke {
    Stroke { dashes: Some((px(on), px(off))), ..stroke(rgb, width_px) }
}

/// Lines of a grid, and of axes.
pub(super) const GREYS: [Rgb; 2] = [(0xDD, 0xDD, 0xDD), (0x66, 0x66, 0x66)];

/// Of what plotters writes.
pub(super) const TEXT: RGBColor = RGBColor(INK.0, INK.1, INK.2);

pub(super) const TOP: &str = "0.76em";

pub(super) const MIDDLE: &str = "0.5ex";

pub(super) const BOTTOM: &str = "-0.5ex";

/// A linear axis with given ticks. A logarithmic one is linear in log10 of the value and labelled with the value.
pub(super) struct Axis {
    pub(super) range: (f64, f64),
    pub(super) ticks: Vec<f64>,
    pub(super) log: bool,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.range.0) / (self.range.1 - self.range.0);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Ticks are the coarse points; the finer ones between them would only add lines.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        // A linear tick next to 0 is 0 with the tail of a sum; a logarithmic one is never 0.
        tick_text(match self.log {
            true => 10f64.powf(*value),
            false if value.abs() < 1e-12 => 0.0,
            false => *value,
        })
    }
}

pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An SVG document of this height, [`WIDTH_PX`] wide: the title and what `draw` adds. `attributes` are those of its
/// root.
pub(super) fn document(
    title: &str,
    attributes: &str,
    height_px: u32,
    draw: impl FnOnce(&mut Pen) -> Drawn,
) -> Result<Option<String>, ReportError> {
    let mut pen = Pen::new();
    let whole = [(0, 0), (px(f64::from(WIDTH_PX)), px(f64::from(height_px)))];
    pen.rect(whole, WHITE, None);
    write(&mut pen, title, (px(16.0), px(10.0)), 15.0, ("start", TOP));
    draw(&mut pen).map_err(|e| ReportError::Figure { name: title.into(), message: e.to_string() })?;
    // Drawn in fine units, shown at its real width.
    Ok(Some(pen.document(title, attributes, (WIDTH_PX, height_px), UNITS_PER_PX)))
}

/// Writes a text with this side of it at `at`.
pub(super) fn write(
    pen: &mut Pen,
    text: &str,
    at: (i32, i32),
    size_px: f64,
    (h, dy): (&'static str, &'static str),
) {
    pen.text(at, px(size_px), Anchor { h, dy }, text);
}

/// An interval between two places, with caps that reach so far to both sides.
pub(super) fn error_bar(pen: &mut Pen, ends: [(i32, i32); 2], line: Stroke, (across, up): (f64, f64)) {
    let cap = |(x, y): (i32, i32)| [(x - px(across), y - px(up)), (x + px(across), y + px(up)), (x, y)];
    let [from, to] = ends;
    let [a, b, _] = cap(to);
    pen.line(&[&cap(from)[..], &[to, a, b]].concat(), line);
}

/// Where values lie between axes, in units of the drawing.
pub(super) struct Frame {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    /// Places of the lower left and of the upper right corner.
    pub(super) ends: [(i32, i32); 2],
}

impl Frame {
    pub(super) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let place = |v: f64, (lo, hi): (f64, f64), from: i32, to: i32| {
            from + ((v - lo) / (hi - lo) * f64::from(to - from)).round() as i32
        };
        let [low, high] = self.ends;
        (place(x, self.x, low.0, high.0), place(y, self.y, low.1, high.1))
    }
}

/// Space around a plot with its labels, and for the labels of the y axis, px.
pub(super) struct Room {
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) y_labels: f64,
}

/// Draws axes with their grid; a label that is empty is not there.
pub(super) fn axes(
    pen: &mut Pen,
    height_px: u32,
    room: &Room,
    [x, y]: [Axis; 2],
    [x_label, y_label]: [&str; 2],
) -> Result<Frame, DrawingAreaErrorKind<std::io::Error>> {
    let (x_range, y_range) = (x.range, y.range);
    let font = |size_px: f64| {
        TextStyle::from(("sans-serif", f64::from(px(size_px)) * FONT_FACTOR).into_font()).color(&TEXT)
    };
    let line = |(r, g, b): Rgb, width_px: f64| RGBColor(r, g, b).stroke_width(px(width_px) as u32);
    let mut drawn = String::new();
    let ends = {
        let size = (WIDTH_PX * UNITS_PER_PX, height_px * UNITS_PER_PX);
        let root = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        let plot = root.margin(px(room.top), px(room.bottom), px(room.left), px(room.right));
        let mut chart = ChartBuilder::on(&plot)
            .x_label_area_size(px(46.0))
            .y_label_area_size(px(room.y_labels))
            .build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.bold_line_style(line(GREYS[0], 0.75))
            .light_line_style(TRANSPARENT)
            .axis_style(line(GREYS[1], 1.0))
            .label_style(font(13.0))
            .axis_desc_style(font(14.0));
        if !x_label.is_empty() {
            mesh.x_desc(x_label);
        }
        if !y_label.is_empty() {
            mesh.y_desc(y_label);
        }
        mesh.draw()?;
        let corner = |x: f64, y: f64| chart.backend_coord(&(x, y));
        let ends = [corner(x_range.0, y_range.0), corner(x_range.1, y_range.1)];
        root.present()?;
        ends
    };
    pen.axes(&drawn, GREYS);
    Ok(Frame { x: x_range, y: y_range, ends })
}

/// A marker of about `size_px` across at `at`, filled or hollow.
pub(super) fn marker(pen: &mut Pen, at: (i32, i32), shape: Shape, color: Rgb, size_px: f64, hollow: bool) {
    let r = f64::from(px(size_px / 2.0));
    let spoke = |turn: f64, length: f64| {
        let angle = std::f64::consts::TAU * turn;
        (at.0 + (length * r * angle.sin()).round() as i32, at.1 - (length * r * angle.cos()).round() as i32)
    };
    let corners = |n: usize, start: f64, length: f64| -> Vec<(i32, i32)> {
        (0..n).map(|i| spoke(start + i as f64 / n as f64, length)).collect()
    };
    let pointed = |n: usize| -> Vec<(i32, i32)> {
        let length = |i: usize| if i.is_multiple_of(2) { 1.5 } else { 0.6 };
        (0..2 * n).map(|i| spoke(i as f64 / (2 * n) as f64, length(i))).collect()
    };
    let line = stroke(color, if hollow { 1.8 } else { 2.2 });
    // Through the middle and back, so that a star is one line.
    let crossed = |pen: &mut Pen, n: usize, start: f64| {
        let spokes = (0..2 * n).map(|i| spoke(start + i as f64 / (2 * n) as f64, 1.1));
        let whole: Vec<(i32, i32)> = spokes.flat_map(|end| [at, end]).collect();
        pen.line(&whole, line);
    };
    let outline = match shape {
        Shape::None => return,
        Shape::Circle if hollow => return pen.ring(at, r as i32, line),
        Shape::Circle => return pen.disc(at, r as i32, color),
        Shape::Plus => return crossed(pen, 2, 0.0),
        Shape::Cross => return crossed(pen, 2, 0.125),
        Shape::Star => return crossed(pen, 3, 0.0),
        Shape::Square => corners(4, 0.125, 1.25),
        Shape::Diamond => corners(4, 0.0, 1.3),
        Shape::Up => corners(3, 0.0, 1.3),
        Shape::Down => corners(3, 0.5, 1.3),
        Shape::Left => corners(3, 0.75, 1.3),
        Shape::Right => corners(3, 0.25, 1.3),
        Shape::Pentagon => corners(5, 0.0, 1.15),
        Shape::Hexagon => corners(6, 0.0, 1.15),
        Shape::Star3 => pointed(3),
        Shape::Star4 => pointed(4),
        Shape::Star5 => pointed(5),
        Shape::Star6 => pointed(6),
    };
    if hollow {
        let closed: Vec<_> = outline.iter().chain(&outline[..2]).copied().collect();
        pen.line(&closed, line);
    } else {
        pen.polygon(&outline, color, 1.0);
    }
}

/// Width of a text, px; sans-serif letters are about this wide.
pub(super) fn text_width_px(text: &str, size_px: f64) -> f64 {
    0.54 * size_px * text.chars().count() as f64
}

/// A text of at most so many letters.
pub(super) fn shortened(label: &str, letters: usize) -> String {
    match label.chars().count() > letters {
        true => label.chars().take(letters.saturating_sub(1)).chain(['…']).collect(),
        false => label.to_string(),
    }
}
