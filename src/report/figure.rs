//! Figures as SVG: one colour and marker per agent id in every figure, 95 % bands or error bars, hollow markers for
//! what a paper prints, and the legend below the plot. plotters draws axes and their ticks.
//!
//! Groups of elements carry the values behind them: `data-series` is what the legend calls them, and `data-points` a
//! JSON list of `[x, y, lo, hi, seeds, left, top]` (`null` for what there is not; the place is in units of the drawing)
//! that the script of a page shows beside the pointer. A reader without scripts has the same words in `<title>`.

use super::ReportError;
use super::opening::fold;
use super::pen::{Anchor, BLACK, INK, Pen, Rgb, Stroke, WHITE, escape, number};
use crate::num::stats::{Interval, once};
use crate::num::text::num;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Color, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, RGBColor, SVGBackend, TRANSPARENT,
    TextStyle,
};
use std::borrow::Cow;

/// Width at which a figure is shown, px. Text is sized for it.
pub const WIDTH_PX: u32 = 720;
/// Most points that the curves of a figure have together; longer ones are drawn as means of neighbours.
const CURVE_POINTS: usize = 4000;
/// Most points of one curve: as many as a figure shows apart.
const POINTS_OF_A_CURVE: usize = 400;
/// Height of the plot with its axes, without the legend, px.
const PLOT_HEIGHT_PX: u32 = 430;
/// plotters rounds coordinates to whole units; with four units per pixel, lines stay smooth.
const UNITS_PER_PX: u32 = 4;
/// plotters divides SVG font sizes by this.
const FONT_FACTOR: f64 = 1.24;
const LEGEND_ROW_PX: f64 = 22.0;
/// Between the label of the x axis and the legend.
const LEGEND_GAP_PX: f64 = 10.0;
/// Markers along a dense curve.
const CURVE_MARKERS: usize = 6;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Dense curve, its intervals as a band.
    Curve,
    /// A few measured points, joined, with markers and error bars.
    Points,
    /// Points that no line joins.
    Marks,
    /// Dashed line without markers and intervals: a bound.
    Bound,
    /// Dotted line without markers: an agent that does not learn, beside learning curves.
    Level,
}

/// One point, in the units of the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// 95 % interval of y, if there is one.
    pub interval: Option<Interval>,
    /// 95 % interval of x, if x is measured too.
    pub x_interval: Option<Interval>,
    /// Seeds behind it, if they are known.
    pub seeds: Option<usize>,
}

impl Point {
    /// Of an x that was not measured.
    pub fn new(x: f64, y: f64, interval: Option<Interval>) -> Point {
        Point { x, y, interval, x_interval: None, seeds: None }
    }

    /// Of so many seeds.
    #[must_use]
    pub fn of(self, seeds: usize) -> Point {
        Point { seeds: Some(seeds), ..self }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Agent id: decides colour and marker.
    pub agent: String,
    pub look: Look,
    /// Ascending in x.
    pub points: Vec<Point>,
}

impl Series {
    pub fn new(agent: &str, look: Look, points: Vec<Point>) -> Series {
        Series { agent: agent.to_string(), look, points }
    }

    /// An agent that does not learn, from one end of the x axis to the other.
    pub fn level(agent: &str, y: f64, ends: (f64, f64)) -> Series {
        let ends = [ends.0, ends.1].map(|x| Point::new(x, y, None));
        Series::new(agent, Look::Level, ends.to_vec())
    }
}

/// What a paper's number says of y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// The value itself.
    At,
    /// More than it: an arrow upwards.
    Above,
    /// Anything from y to here: a bar.
    To(f64),
}

/// A number printed by a paper. Marks at the same point stand side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperMark {
    /// Agent id: decides the shape, which is hollow and black.
    pub agent: String,
    pub x: f64,
    pub y: f64,
    pub reach: Reach,
}

/// A few words at a point of a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub x: f64,
    pub y: f64,
    pub text: String,
    /// Name of the series that it is hidden with.
    pub series: String,
}

/// A figure. Axis labels carry their unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Places of the ticks of the x axis; empty for round numbers.
    pub x_ticks: Vec<f64>,
    /// Logarithmic x axis, of positive values.
    pub log_x: bool,
    /// Logarithmic y axis. Values that are not positive are left out.
    pub log_y: bool,
    /// Lets a linear y axis begin at 0.
    pub from_zero: bool,
    /// What dashed lines stand for, for the legend; the look [`Look::Bound`].
    pub bound_label: String,
    pub series: Vec<Series>,
    pub marks: Vec<PaperMark>,
    /// Written beside their points.
    pub notes: Vec<Note>,
    /// Leaves out a note that would lie on a marker or another note, instead of writing it there.
    pub sparse_notes: bool,
    /// Colours and markers of the series.
    pub palette: Palette,
    /// What [`Point::seeds`] counts, where it is no seeds.
    pub counted: &'static str,
}

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    None,
    Circle,
    Square,
    Up,
    Down,
    Left,
    Right,
    Diamond,
    Plus,
    Cross,
    Pentagon,
    Hexagon,
    Star,
    /// Filled stars of so many points.
    Star3,
    Star4,
    Star5,
    Star6,
}

/// The colour and marker of one agent, or of another kind of series. Within a figure they are told apart by both, so
/// with any colour vision.
#[derive(Clone, Debug, PartialEq)]
pub struct Swatch {
    pub name: Cow<'static, str>,
    pub rgb: (u8, u8, u8),
    /// [`Shape::None`] for what has no marker, such as a bound.
    pub shape: Shape,
}

impl Swatch {
    pub const fn new(name: &'static str, rgb: (u8, u8, u8), shape: Shape) -> Swatch {
        Swatch { name: Cow::Borrowed(name), rgb, shape }
    }
}

/// The swatches of a figure: those of a task's agents, or [`categories`].
pub type Palette = Cow<'static, [Swatch]>;

/// For names without a swatch; which one depends on the name alone.
const SPARE: [((u8, u8, u8), Shape); 4] = [
    ((0x11, 0x77, 0x33), Shape::Circle),
    ((0x99, 0x99, 0x33), Shape::Square),
    ((0xAA, 0x44, 0x99), Shape::Diamond),
    ((0x66, 0x33, 0x00), Shape::Up),
];

/// Of series that are no agents, by their place. Colours of Okabe and Ito, with dark ones of Paul Tol's.
const CATEGORIES: [((u8, u8, u8), Shape); 10] = [
    ((0x00, 0x72, 0xB2), Shape::Square),
    ((0xD5, 0x5E, 0x00), Shape::Circle),
    ((0x00, 0x9E, 0x73), Shape::Up),
    ((0xCC, 0x79, 0xA7), Shape::Diamond),
    ((0xE6, 0x9F, 0x00), Shape::Down),
    ((0x56, 0xB4, 0xE9), Shape::Pentagon),
    ((0x33, 0x22, 0x88), Shape::Cross),
    ((0x88, 0x22, 0x55), Shape::Plus),
    ((0x99, 0x99, 0x33), Shape::Star),
    ((0x66, 0x66, 0x66), Shape::Circle),
];

/// A palette of series that are no agents, in the order of their names.
pub fn categories<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<Swatch> {
    let swatch = |(i, name): (usize, S)| {
        let (rgb, shape) = CATEGORIES[i % CATEGORIES.len()];
        Swatch { name: Cow::Owned(name.into()), rgb, shape }
    };
    names.into_iter().enumerate().map(swatch).collect()
}

fn style_in(palette: &[Swatch], name: &str) -> (Rgb, Shape) {
    let known = palette.iter().find(|s| s.name == name).map(|s| (s.rgb, s.shape));
    known.unwrap_or_else(|| {
        let sum: usize = name.bytes().map(usize::from).sum();
        SPARE[sum % SPARE.len()]
    })
}

/// The colour of an agent in every figure.
pub(crate) fn colour_of(palette: &[Swatch], name: &str) -> (u8, u8, u8) {
    style_in(palette, name).0
}

/// Pixels of the shown figure in drawing units.
fn px(x: f64) -> i32 {
    (x * f64::from(UNITS_PER_PX)).round() as i32
}

fn stroke(rgb: Rgb, width_px: f64) -> Stroke {
    Stroke { rgb, width: px(width_px), dashes: None }
}

/// A line of dashes and gaps of these lengths, px.
fn dashed(rgb: Rgb, width_px: f64, (on, off): (f64, f64)) -> Stroke {
    Stroke { dashes: Some((px(on), px(off))), ..stroke(rgb, width_px) }
}

/// Dashes and gaps of a bound, and of an agent that does not learn, px.
const BOUND_DASHES: (f64, f64) = (6.0, 4.0);
const LEVEL_DASHES: (f64, f64) = (2.0, 3.0);
/// Lines of a grid, and of axes.
const GREYS: [Rgb; 2] = [(0xDD, 0xDD, 0xDD), (0x66, 0x66, 0x66)];

/// Of what plotters writes.
const TEXT: RGBColor = RGBColor(INK.0, INK.1, INK.2);

const TOP: &str = "0.76em";
const MIDDLE: &str = "0.5ex";
const BOTTOM: &str = "-0.5ex";

/// A linear axis with given ticks. A logarithmic one is linear in log10 of the value and labelled with the value.
struct Axis {
    range: (f64, f64),
    ticks: Vec<f64>,
    log: bool,
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

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An SVG document of this height, [`WIDTH_PX`] wide: the title and what `draw` adds. `attributes` are those of its
/// root.
fn document(
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
fn write(pen: &mut Pen, text: &str, at: (i32, i32), size_px: f64, (h, dy): (&'static str, &'static str)) {
    pen.text(at, px(size_px), Anchor { h, dy }, text);
}

/// An interval between two places, with caps that reach so far to both sides.
fn error_bar(pen: &mut Pen, ends: [(i32, i32); 2], line: Stroke, (across, up): (f64, f64)) {
    let cap = |(x, y): (i32, i32)| [(x - px(across), y - px(up)), (x + px(across), y + px(up)), (x, y)];
    let [from, to] = ends;
    let [a, b, _] = cap(to);
    pen.line(&[&cap(from)[..], &[to, a, b]].concat(), line);
}

/// Ticks of an axis over a range of what it is linear in.
fn ticks((lo, hi): (f64, f64), log: bool, wanted: usize) -> Vec<f64> {
    match log {
        true => log_ticks(10f64.powf(lo), 10f64.powf(hi)).iter().map(|v| v.log10()).collect(),
        false => round_ticks(lo, hi, wanted),
    }
}

/// Where a value lies on an axis, if it can be drawn there.
fn drawn_at(y: f64, log: bool) -> Option<f64> {
    if log { (y > 0.0).then(|| y.log10()) } else { Some(y) }.filter(|v| v.is_finite())
}

/// Smallest and largest.
pub(crate) fn extent(xs: impl Iterator<Item = f64>) -> (f64, f64) {
    xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)))
}

/// Where values lie between axes, in units of the drawing.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    /// Places of the lower left and of the upper right corner.
    ends: [(i32, i32); 2],
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let place = |v: f64, (lo, hi): (f64, f64), from: i32, to: i32| {
            from + ((v - lo) / (hi - lo) * f64::from(to - from)).round() as i32
        };
        let [low, high] = self.ends;
        (place(x, self.x, low.0, high.0), place(y, self.y, low.1, high.1))
    }
}

/// Space around a plot with its labels, and for the labels of the y axis, px.
struct Room {
    top: f64,
    bottom: f64,
    left: f64,
    right: f64,
    y_labels: f64,
}

/// Draws axes with their grid; a label that is empty is not there.
fn axes(
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
fn marker(pen: &mut Pen, at: (i32, i32), shape: Shape, color: Rgb, size_px: f64, hollow: bool) {
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

/// What the numbers of a figure mean.
struct Words {
    /// Name and unit of both axes.
    x: (String, String),
    y: (String, String),
    /// What values are means over.
    counted: &'static str,
}

impl Words {
    fn of(x_label: &str, y_label: &str, counted: &'static str) -> Words {
        let counted = if counted.is_empty() { "seeds" } else { counted };
        Words { x: name_and_unit(x_label), y: name_and_unit(y_label), counted }
    }

    /// Attributes of the root, for the script of a page.
    fn attributes(&self) -> String {
        format!(
            "data-x=\"{}\" data-x-unit=\"{}\" data-y=\"{}\" data-y-unit=\"{}\" data-counted=\"{}\"",
            escape(&self.x.0),
            escape(&self.x.1),
            escape(&self.y.0),
            escape(&self.y.1),
            self.counted
        )
    }

    /// A value in a sentence; `at` is the place of a bar.
    fn told(&self, series: &str, datum: &Datum, at: Option<&str>) -> String {
        let with = |value: f64, unit: &str| match unit {
            "" => num(value),
            unit => format!("{} {unit}", num(value)),
        };
        let place = match (at, datum.x) {
            (Some(at), _) => format!(", {at}"),
            (None, Some(x)) => format!(", {} {}", self.x.0, with(x, &self.x.1)),
            (None, None) => String::new(),
        };
        let interval = datum.interval.map(|i| format!("95 %: {} to {}", num(i.lo), num(i.hi)));
        let seeds = datum.seeds.map(|n| format!("{n} {}", self.counted));
        let more: Vec<String> = interval.into_iter().chain(seeds).collect();
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
        format!("{series}{place}: {} {}{more}", self.y.0, with(datum.y, &self.y.1))
    }
}

/// The name of an axis and the unit in its brackets.
fn name_and_unit(label: &str) -> (String, String) {
    let found = label.rsplit_once(" (").and_then(|(name, rest)| {
        let (unit, after) = rest.split_once(')')?;
        Some((format!("{name}{after}"), unit.to_string()))
    });
    found.unwrap_or_else(|| (label.to_string(), String::new()))
}

/// A value with its place in the drawing.
struct Datum {
    x: Option<f64>,
    y: f64,
    interval: Option<Interval>,
    seeds: Option<usize>,
    at: (i32, i32),
}

/// Opens a group of a series: `kind` says what of it, and `data` are the values that it shows.
fn open_series(pen: &mut Pen, series: &str, kind: &str, data: &[Datum], label: Option<&str>) {
    let or_null = |x: Option<f64>| x.map_or("null".to_string(), number);
    let one = |d: &Datum| {
        format!(
            "[{},{},{},{},{},{},{}]",
            or_null(d.x),
            number(d.y),
            or_null(d.interval.map(|i| i.lo)),
            or_null(d.interval.map(|i| i.hi)),
            d.seeds.map_or("null".into(), |n| n.to_string()),
            d.at.0,
            d.at.1
        )
    };
    let mut attributes = format!("data-series=\"{}\"", escape(series));
    if !kind.is_empty() {
        attributes.push_str(&format!(" data-kind=\"{kind}\""));
    }
    if !data.is_empty() {
        let all: Vec<String> = data.iter().map(one).collect();
        attributes.push_str(&format!(" data-points=\"[{}]\"", all.join(",")));
    }
    if let Some(label) = label {
        attributes.push_str(&format!(" data-at=\"{}\"", escape(label)));
    }
    pen.open(&attributes);
}

/// A level over the whole width, as the script finds it: the value at many places.
fn along(frame: &Frame, y: f64, place: f64, interval: Option<Interval>, seeds: Option<usize>) -> Vec<Datum> {
    const PLACES: i32 = 24;
    let x = |i: i32| frame.x.0 + (frame.x.1 - frame.x.0) * f64::from(i) / f64::from(PLACES);
    (0..=PLACES).map(|i| Datum { x: None, y, interval, seeds, at: frame.at(x(i), place) }).collect()
}

/// Opens an entry of the legend: what it hides is called by series or by kind.
fn open_key(pen: &mut Pen, attribute: &str, name: &str, (x, y): (f64, f64), width_px: f64) {
    pen.open(&format!("class=\"key\" data-{attribute}=\"{}\"", escape(name)));
    let half = LEGEND_ROW_PX / 2.0;
    pen.target([(px(x - 4.0), px(y - half)), (px(x + width_px - 8.0), px(y + half))]);
}

/// About `wanted` round numbers (1, 2 or 5 times a power of ten) in `lo..=hi`.
fn round_ticks(lo: f64, hi: f64, wanted: usize) -> Vec<f64> {
    let raw = (hi - lo) / wanted as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let first = (lo / step - 1e-9).ceil() as i64;
    let last = (hi / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Ticks of a logarithmic axis between the values `lo` and `hi`: decades, with 2 and 5 between them where there are
/// few, and round numbers where there is less than a decade.
fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let decades = hi.log10() - lo.log10();
    if decades < 1.0 {
        return round_ticks(lo, hi, 6).into_iter().filter(|v| *v > 0.0).collect();
    }
    let every = (decades / 8.0).ceil() as i32;
    let steps: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (lo.log10().floor() as i32..=hi.log10().ceil() as i32)
        .filter(|k| k.rem_euclid(every) == 0)
        .flat_map(|k| steps.iter().map(move |s| s * 10f64.powi(k)))
        .filter(|v| *v >= lo * (1.0 - 1e-9) && *v <= hi * (1.0 + 1e-9))
        .collect()
}

/// A tick as text: powers of ten where plain digits would be long.
fn tick_text(x: f64) -> String {
    if x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e6) {
        let power = (x.abs().log10() + 1e-9).floor() as i32;
        let factor = x / 10f64.powi(power);
        let digits: String = power.to_string().chars().map(superscript).collect();
        return if (factor - 1.0).abs() < 1e-6 {
            format!("10{digits}")
        } else {
            format!("{}·10{digits}", (factor * 1e6).round() / 1e6)
        };
    }
    // Ticks have few digits; this drops the tail of their sum, such as 0.30000000000000004.
    let text = format!("{:.9}", x);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A share as a percentage, with one digit where it is small.
fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        "<0.1 %".into()
    } else if share < 0.0995 {
        format!("{:.1} %", 100.0 * share)
    } else {
        format!("{:.0} %", 100.0 * share)
    }
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    }
}
enum Sample {
    Line(Look, String),
    Paper(String),
}

/// What a mark of a paper is called in the legend.
fn paper_name(agent: &str) -> String {
    format!("paper: {agent}")
}

/// Kind of what dashed lines stand for, which one entry of the legend hides.
const BOUND_KIND: &str = "bound";

/// Width of a text, px; sans-serif letters are about this wide.
fn text_width_px(text: &str, size_px: f64) -> f64 {
    0.54 * size_px * text.chars().count() as f64
}

/// Means of this many neighbours, the last one of what is left.
fn averaged(points: &[Point], span: usize) -> Vec<Point> {
    let mean =
        |part: &[Point], of: &dyn Fn(&Point) -> f64| part.iter().map(of).sum::<f64>() / part.len() as f64;
    let one = |part: &[Point]| {
        let whole = part.iter().all(|p| p.interval.is_some());
        let end = |of: fn(Interval) -> f64| mean(part, &|p| p.interval.map_or(f64::NAN, of));
        Point {
            x: mean(part, &|p| p.x),
            y: mean(part, &|p| p.y),
            interval: whole.then(|| Interval { lo: end(|i| i.lo), hi: end(|i| i.hi) }),
            x_interval: None,
            seeds: part.iter().filter_map(|p| p.seeds).min(),
        }
    };
    points.chunks(span).map(one).collect()
}

impl Figure {
    /// Nothing yet, in these colours.
    pub fn with(palette: impl Into<Palette>) -> Figure {
        Figure { palette: palette.into(), ..Figure::default() }
    }

    fn x(&self, x: f64) -> f64 {
        if self.log_x { x.log10() } else { x }
    }

    fn y(&self, y: f64) -> Option<f64> {
        drawn_at(y, self.log_y)
    }

    fn legend(&self) -> Vec<(Sample, String)> {
        let mut entries: Vec<(Sample, String)> = Vec::new();
        // A level beside the curve of its agent is hidden with that, by one entry.
        let has_curve = |s: &Series| self.series.iter().any(|o| o.look != Look::Level && o.agent == s.agent);
        let own = |s: &&Series| !(s.look == Look::Level && has_curve(s));
        for s in self.series.iter().filter(|s| s.look != Look::Bound && !s.points.is_empty()).filter(own) {
            entries.push((Sample::Line(s.look, s.agent.clone()), s.agent.clone()));
        }
        let papers = once(self.marks.iter().map(|m| &m.agent));
        entries.extend(papers.into_iter().map(|a| (Sample::Paper(a.clone()), paper_name(a))));
        if self.series.iter().any(|s| s.look == Look::Bound && !s.points.is_empty()) {
            entries.push((Sample::Line(Look::Bound, String::new()), self.bound_label.clone()));
        }
        entries
    }

    /// The figure with curves of as many points as it can show; how many neighbours the longest one's are means of.
    fn shortened(&self) -> Option<(Figure, usize)> {
        let curves = || self.series.iter().filter(|s| s.look == Look::Curve);
        let most = (CURVE_POINTS / curves().count().max(1)).clamp(1, POINTS_OF_A_CURVE);
        let span = |s: &Series| if s.look == Look::Curve { s.points.len().div_ceil(most).max(1) } else { 1 };
        let longest = self.series.iter().map(span).max().filter(|n| *n > 1)?;
        let mut figure = self.clone();
        for s in figure.series.iter_mut() {
            let n = span(s);
            if n > 1 {
                s.points = averaged(&s.points, n);
            }
        }
        Some((figure, longest))
    }

    /// Draws the figure as an SVG document, [`WIDTH_PX`] wide. Without any finite point there is nothing to draw:
    /// `None`. Curves of very many points are drawn as means of neighbours, and the figure says so.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if plotters fails.
    pub fn svg(&self) -> Result<Option<String>, ReportError> {
        if let Some((figure, span)) = self.shortened() {
            return figure.drawn(&format!("Curves: means of up to {span} neighbouring points."));
        }
        self.drawn("")
    }

    fn drawn(&self, remark: &str) -> Result<Option<String>, ReportError> {
        let xs = {
            let ends = |p: &Point| [Some(p.x), p.x_interval.map(|i| i.lo), p.x_interval.map(|i| i.hi)];
            let ours = self.series.iter().flat_map(|s| &s.points).flat_map(ends).flatten();
            ours.chain(self.marks.iter().map(|m| m.x)).map(|x| self.x(x)).filter(|x| x.is_finite())
        };
        let ys: Vec<f64> = {
            let ends = |p: &Point| [Some(p.y), p.interval.map(|i| i.lo), p.interval.map(|i| i.hi)];
            let ours = self.series.iter().flat_map(|s| &s.points).flat_map(ends).flatten();
            let high = |m: &PaperMark| if let Reach::To(y) = m.reach { y } else { m.y };
            let theirs = self.marks.iter().flat_map(|m| [m.y, high(m)]);
            ours.chain(theirs).filter_map(|y| self.y(y)).collect()
        };
        if self.series.iter().all(|s| s.points.iter().all(|p| self.y(p.y).is_none())) || ys.is_empty() {
            return Ok(None);
        }
        let spread = |lo: f64, hi: f64, part: f64| {
            let pad = if hi > lo { part * (hi - lo) } else { 0.5 * hi.abs().max(1.0) };
            (lo - pad, hi + pad)
        };
        let (x_lo, x_hi) = extent(xs);
        let x_range = spread(x_lo, x_hi, 0.03);
        let (y_lo, y_hi) = extent(ys.iter().copied());
        let y_range = if self.from_zero && !self.log_y && y_lo >= 0.0 && y_hi > 0.0 {
            (0.0, y_hi * 1.05)
        } else {
            spread(y_lo, y_hi, 0.05)
        };
        self.draw(x_range, y_range, remark)
    }

    fn draw(
        &self,
        x_range: (f64, f64),
        y_range: (f64, f64),
        remark: &str,
    ) -> Result<Option<String>, ReportError> {
        let legend = self.legend();
        let (text_px, sample_px) = (13.0, 34.0);
        let widest = legend.iter().map(|(_, t)| text_width_px(t, text_px)).fold(0.0, f64::max);
        let cell_px = sample_px + 6.0 + widest + 24.0;
        let left_px = 16.0;
        let columns = (((f64::from(WIDTH_PX) - left_px) / cell_px).floor() as usize).max(1);
        let rows = legend.len().div_ceil(columns);
        let legend_px = rows as f64 * LEGEND_ROW_PX + LEGEND_GAP_PX + 8.0;
        let remark_px = if remark.is_empty() { 0.0 } else { LEGEND_ROW_PX };
        let height_px = PLOT_HEIGHT_PX + (legend_px + remark_px) as u32;
        let words = Words::of(&self.x_label, &self.y_label, self.counted);
        document(&self.title, &words.attributes(), height_px, |pen| {
            let x_ticks = match self.x_ticks.is_empty() {
                true => ticks(x_range, self.log_x, 8),
                false => self.x_ticks.iter().map(|x| self.x(*x)).collect(),
            };
            let both = [
                Axis { range: x_range, ticks: x_ticks, log: self.log_x },
                Axis { range: y_range, ticks: ticks(y_range, self.log_y, 7), log: self.log_y },
            ];
            let room = Room {
                top: 36.0,
                bottom: f64::from(height_px - PLOT_HEIGHT_PX),
                left: 4.0,
                right: 16.0,
                y_labels: 66.0,
            };
            let frame = axes(pen, height_px, &room, both, [&self.x_label, &self.y_label])?;
            let inside = |p: &Point| self.y(p.y).map(|y| frame.at(self.x(p.x), y));
            let datum = |p: &Point| {
                let at = inside(p)?;
                Some(Datum { x: Some(p.x), y: p.y, interval: p.interval, seeds: p.seeds, at })
            };
            for s in self.series.iter().filter(|s| s.look == Look::Curve) {
                let (color, _) = style_in(&self.palette, &s.agent);
                let ends = |end: fn(&Interval) -> f64| {
                    s.points
                        .iter()
                        .filter_map(move |p| Some((self.x(p.x), self.y(end(p.interval.as_ref()?))?)))
                };
                let upper = ends(|i| i.hi);
                let around = upper.chain(ends(|i| i.lo).collect::<Vec<_>>().into_iter().rev());
                let around: Vec<(i32, i32)> = around.map(|(x, y)| frame.at(x, y)).collect();
                if around.len() > 3 {
                    open_series(pen, &s.agent, "band", &[], None);
                    pen.polygon(&around, color, 0.16);
                    pen.close();
                }
            }
            for s in self.series.iter().filter(|s| s.look != Look::Marks && !s.points.is_empty()) {
                let (color, _) = style_in(&self.palette, &s.agent);
                let line: Vec<(i32, i32)> = s.points.iter().filter_map(inside).collect();
                let (style, kind) = match s.look {
                    Look::Curve => (stroke(color, 2.0), "curve"),
                    Look::Points | Look::Marks => (stroke(color, 1.8), "line"),
                    Look::Bound => (dashed(color, 1.4, BOUND_DASHES), BOUND_KIND),
                    Look::Level => (dashed(color, 1.8, LEVEL_DASHES), "level"),
                };
                let data: Vec<Datum> = match (s.look, s.points.first()) {
                    // Its values are those of the markers.
                    (Look::Points | Look::Marks, _) | (_, None) => Vec::new(),
                    (Look::Level, Some(p)) => match self.y(p.y) {
                        Some(place) => along(&frame, p.y, place, p.interval, p.seeds),
                        None => Vec::new(),
                    },
                    (Look::Curve | Look::Bound, _) => s.points.iter().filter_map(datum).collect(),
                };
                open_series(pen, &s.agent, kind, &data, None);
                match (data.first(), data.last()) {
                    (Some(first), Some(last)) if s.look == Look::Curve => {
                        let end = words.told("", last, None);
                        pen.title(&format!("{}; at the end{end}", words.told(&s.agent, first, None)));
                    }
                    (Some(first), _) if s.look == Look::Level => {
                        pen.title(&words.told(&s.agent, first, None));
                    }
                    _ => {}
                }
                pen.line(&line, style);
                pen.close();
            }
            // Dense curves carry a few markers, at other places for each line, so that they are told apart without
            // colour.
            for (i, s) in self.series.iter().enumerate().filter(|(_, s)| s.look == Look::Curve) {
                let (color, shape) = style_in(&self.palette, &s.agent);
                let every = s.points.len().div_ceil(CURVE_MARKERS).max(1);
                let skip = (2 * i + 1) * every / (2 * self.series.len());
                open_series(pen, &s.agent, "markers", &[], None);
                for at in s.points.iter().skip(skip).step_by(every).filter_map(inside) {
                    marker(pen, at, shape, color, 7.0, false);
                }
                pen.close();
            }
            let marked = |s: &&Series| matches!(s.look, Look::Points | Look::Marks);
            for s in self.series.iter().filter(marked) {
                let (color, shape) = style_in(&self.palette, &s.agent);
                let data: Vec<Datum> = s.points.iter().filter_map(datum).collect();
                open_series(pen, &s.agent, "points", &data, None);
                for (p, d) in s.points.iter().filter(|p| inside(p).is_some()).zip(&data) {
                    pen.open("class=\"point\"");
                    pen.title(&words.told(&s.agent, d, None));
                    let end = |y: f64| self.y(y).map(|y| frame.at(self.x(p.x), y));
                    if let Some((lo, hi)) = p.interval.and_then(|i| Some((end(i.lo)?, end(i.hi)?))) {
                        error_bar(pen, [lo, hi], stroke(color, 1.4), (4.0, 0.0));
                    }
                    if let Some(i) = p.x_interval.filter(|i| self.x(i.lo).is_finite()) {
                        let ends = [i.lo, i.hi].map(|x| (frame.at(self.x(x), 0.0).0, d.at.1));
                        error_bar(pen, ends, stroke(color, 1.4), (0.0, 4.0));
                    }
                    marker(pen, d.at, shape, color, 8.0, false);
                    pen.close();
                }
                pen.close();
            }
            for (i, m) in self.marks.iter().enumerate() {
                let Some(y) = self.y(m.y) else { continue };
                let (_, shape) = style_in(&self.palette, &m.agent);
                let beside = self.marks[..i].iter().filter(|o| (o.x, o.y) == (m.x, m.y)).count();
                let at = |y: f64| {
                    let (x, y) = frame.at(self.x(m.x), y);
                    (x + px(15.0 * beside as f64), y)
                };
                let (x, low) = at(y);
                let name = paper_name(&m.agent);
                let (middle, told) = match m.reach {
                    Reach::At => (low, String::new()),
                    Reach::Above => (low, ", or more".to_string()),
                    Reach::To(end) => match self.y(end).map(|y| at(y).1) {
                        Some(high) => ((low + high) / 2, format!(", up to {}", num(end))),
                        None => continue,
                    },
                };
                let d = Datum { x: Some(m.x), y: m.y, interval: None, seeds: None, at: (x, middle) };
                open_series(pen, &name, "paper", std::slice::from_ref(&d), None);
                pen.title(&format!("{}{told}", words.told(&name, &d, None)));
                let line = stroke(BLACK, 1.6);
                match m.reach {
                    Reach::At => {}
                    Reach::Above => {
                        let (from, tip) = (low - px(7.0), low - px(26.0));
                        pen.line(&[(x, from), (x, tip)], line);
                        pen.line(
                            &[(x - px(4.0), tip + px(6.0)), (x, tip), (x + px(4.0), tip + px(6.0))],
                            line,
                        );
                    }
                    Reach::To(_) => error_bar(pen, [(x, low), (x, 2 * middle - low)], line, (5.0, 0.0)),
                }
                marker(pen, (x, middle), shape, BLACK, 12.0, true);
                pen.close();
            }
            let left_end = frame.ends[0].0;
            // A note stands at the first corner of its point that no marker and no other note has taken.
            let place = |x: f64, y: f64| Some(frame.at(self.x(x), self.y(y)?));
            let points = self.series.iter().filter(marked).flat_map(|s| &s.points);
            let around = |(x, y): (i32, i32)| [x - px(4.0), y - px(4.0), x + px(4.0), y + px(4.0)];
            let mut taken: Vec<[i32; 4]> = points.filter_map(|p| place(p.x, p.y)).map(around).collect();
            for n in &self.notes {
                let Some((x, y)) = place(n.x, n.y) else { continue };
                let (w, h) = (px(1.12 * text_width_px(&n.text, 12.0)), px(12.0));
                let corner = |right: bool, rise: f64| {
                    let left = if right { x + px(6.0) } else { x - px(6.0) - w };
                    [left, y - px(rise) - h, left + w, y - px(rise)]
                };
                // Right of the axis and inside the drawing.
                let inner = |r: &[i32; 4]| r[0] >= left_end && r[2] <= px(f64::from(WIDTH_PX));
                let free = |r: &[i32; 4]| {
                    inner(r)
                        && taken.iter().all(|t| r[2] <= t[0] || t[2] <= r[0] || r[3] <= t[1] || t[3] <= r[1])
                };
                let spots =
                    [5.0, -17.0, 19.0, -31.0, 33.0].map(|rise| [corner(true, rise), corner(false, rise)]);
                // Far from its point a note would be taken for another's.
                let near = if self.sparse_notes { 6 } else { spots.as_flattened().len() };
                let spot = match spots.as_flattened()[..near].iter().find(|r| free(r)) {
                    Some(spot) => *spot,
                    None if self.sparse_notes => continue,
                    None => spots[0][0],
                };
                taken.push(spot);
                open_series(pen, &n.series, "note", &[], None);
                write(pen, &n.text, (spot[0], spot[3]), 12.0, ("start", BOTTOM));
                pen.close();
            }

            for (i, (sample, text)) in legend.iter().enumerate() {
                // Columns are filled downwards, so that agents stay in their order and the paper's marks stand
                // together.
                let (column, row) = (i / rows, i % rows);
                let x = left_px + column as f64 * cell_px;
                let y = f64::from(PLOT_HEIGHT_PX) + LEGEND_GAP_PX + (row as f64 + 0.5) * LEGEND_ROW_PX;
                let (from, to) = ((px(x), px(y)), (px(x + sample_px), px(y)));
                let middle = (px(x + sample_px / 2.0), px(y));
                let (attribute, name) = match sample {
                    Sample::Line(Look::Bound, _) => ("kind", BOUND_KIND),
                    _ => ("series", text.as_str()),
                };
                open_key(pen, attribute, name, (x, y), cell_px);
                match sample {
                    Sample::Paper(agent) => {
                        marker(pen, middle, style_in(&self.palette, agent).1, BLACK, 12.0, true);
                    }
                    Sample::Line(look, agent) => {
                        let (color, shape) = style_in(&self.palette, agent);
                        let line = match look {
                            Look::Bound => Some(dashed((0x55, 0x55, 0x55), 2.0, BOUND_DASHES)),
                            Look::Level => Some(dashed(color, 2.0, LEVEL_DASHES)),
                            Look::Curve | Look::Points => Some(stroke(color, 2.0)),
                            Look::Marks => None,
                        };
                        if let Some(line) = line {
                            pen.line(&[from, to], line);
                        }
                        if matches!(look, Look::Points | Look::Marks | Look::Curve) {
                            marker(pen, middle, shape, color, 8.0, false);
                        }
                    }
                }
                write(pen, text, (to.0 + px(6.0), to.1), text_px, ("start", MIDDLE));
                pen.close();
            }
            if !remark.is_empty() {
                let y = f64::from(height_px) - 14.0;
                write(pen, remark, (px(left_px), px(y)), 12.0, ("start", MIDDLE));
            }
            Ok(())
        })
    }
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Agent id: decides the colour.
    pub agent: String,
    pub y: f64,
    /// 95 % interval of y, if there is one.
    pub interval: Option<Interval>,
    /// Seeds behind it, if they are known.
    pub seeds: Option<usize>,
}

/// Groups of bars over an axis that carries its unit. On a logarithmic axis bars start at its bottom: only their upper
/// ends mean something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    pub title: String,
    pub y_label: String,
    pub log_y: bool,
    /// Label (of one or more lines) and bars.
    pub groups: Vec<(String, Vec<Bar>)>,
    /// Agents that all groups are held against, each a dotted line over the whole width.
    pub levels: Vec<Bar>,
    /// Names of bars that are no agents, in the order of their colours.
    pub palette: Palette,
    /// Writes each value above its bar, as a percentage.
    pub percent: bool,
    /// What the seeds of bars are, where they are none.
    pub counted: &'static str,
}

impl Bars {
    /// Nothing yet, in these colours.
    pub fn with(palette: impl Into<Palette>) -> Bars {
        Bars { palette: palette.into(), ..Bars::default() }
    }

    fn y(&self, y: f64) -> Option<f64> {
        drawn_at(y, self.log_y)
    }

    /// Draws the bars as an SVG document, [`WIDTH_PX`] wide. `None` without a value that can be drawn.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if plotters fails.
    pub fn svg(&self) -> Result<Option<String>, ReportError> {
        let bars = || self.groups.iter().flat_map(|g| &g.1).chain(&self.levels);
        let ends = |b: &Bar| [Some(b.y), b.interval.map(|i| i.lo), b.interval.map(|i| i.hi)];
        let ys: Vec<f64> = bars().flat_map(ends).flatten().filter_map(|y| self.y(y)).collect();
        let (lo, hi) = extent(ys.iter().copied());
        if ys.is_empty() {
            return Ok(None);
        }
        let range = match self.log_y {
            true => ((lo - 0.3).floor(), hi + 0.08 * (hi - lo).max(1.0)),
            false => (0.0, hi * 1.05),
        };
        self.draw(range)
    }

    fn draw(&self, y_range: (f64, f64)) -> Result<Option<String>, ReportError> {
        let agents = once(self.groups.iter().flat_map(|g| &g.1).map(|b| b.agent.as_str()));
        let names = || agents.iter().copied().chain(self.levels.iter().map(|l| l.agent.as_str()));
        let cell_px = names().map(|a| text_width_px(a, 13.0)).fold(0.0, f64::max) + 50.0;
        let columns = (((f64::from(WIDTH_PX) - 16.0) / cell_px).floor() as usize).max(1);
        let rows = names().count().div_ceil(columns);
        let height_px = PLOT_HEIGHT_PX + (rows as f64 * LEGEND_ROW_PX + LEGEND_GAP_PX + 8.0) as u32;
        let words = Words::of("", &self.y_label, self.counted);
        document(&self.title, &words.attributes(), height_px, |pen| {
            let room = Room {
                top: 36.0,
                bottom: f64::from(height_px - PLOT_HEIGHT_PX),
                left: 4.0,
                right: 16.0,
                y_labels: 66.0,
            };
            let groups = self.groups.len() as f64;
            let both = [
                Axis { range: (0.0, groups), ticks: vec![], log: false },
                Axis { range: y_range, ticks: ticks(y_range, self.log_y, 7), log: self.log_y },
            ];
            let frame = axes(pen, height_px, &room, both, ["", &self.y_label])?;
            for (g, (label, bars)) in self.groups.iter().enumerate() {
                let width = 0.8 / agents.len() as f64;
                let told = label.replace('\n', ", ");
                for b in bars {
                    let Some(top) = self.y(b.y) else { continue };
                    let place = agents.iter().position(|a| *a == b.agent).unwrap_or(0) as f64;
                    let x = g as f64 + 0.1 + place * width;
                    let (color, _) = style_in(&self.palette, &b.agent);
                    let (low, high) = (frame.at(x, y_range.0), frame.at(x + 0.92 * width, top));
                    let middle = (low.0 + high.0) / 2;
                    let d =
                        Datum { x: None, y: b.y, interval: b.interval, seeds: b.seeds, at: (middle, high.1) };
                    open_series(pen, &b.agent, "bar", std::slice::from_ref(&d), Some(&told));
                    pen.title(&words.told(&b.agent, &d, Some(&told)));
                    pen.rect([low, high], color, None);
                    if self.percent {
                        let at = (middle, high.1 - px(2.0));
                        write(pen, &percent(b.y), at, 11.0, ("middle", BOTTOM));
                    }
                    let end = |y: f64| self.y(y).map(|y| frame.at(x + 0.46 * width, y.max(y_range.0)));
                    if let Some((lo, hi)) = b.interval.and_then(|i| Some((end(i.lo)?, end(i.hi)?))) {
                        error_bar(pen, [lo, hi], stroke(INK, 1.4), (3.0, 0.0));
                    }
                    pen.close();
                }
                let (x, y) = frame.at(g as f64 + 0.5, y_range.0);
                for (line, text) in label.lines().enumerate() {
                    let at = (x, y + px(8.0 + 15.0 * line as f64));
                    write(pen, text, at, 12.0, ("middle", TOP));
                }
            }
            // Every other one begins with a gap, so that two lines at one height show both colours.
            for (i, level) in self.levels.iter().enumerate() {
                let Some(y) = self.y(level.y) else { continue };
                let (from, to) = (frame.at(0.0, y), frame.at(groups, y));
                let color = style_in(&self.palette, &level.agent).0;
                let data = along(&frame, level.y, y, level.interval, level.seeds);
                open_series(pen, &level.agent, "level", &data, None);
                if let Some(first) = data.first() {
                    pen.title(&words.told(&level.agent, first, None));
                }
                let line = [(from.0 + px(3.0 * (i % 2) as f64), from.1), to];
                pen.line(&line, dashed(color, 1.8, (3.0, 3.0)));
                pen.close();
            }
            for (i, agent) in names().enumerate() {
                let x = 16.0 + (i % columns) as f64 * cell_px;
                let y =
                    f64::from(PLOT_HEIGHT_PX) + LEGEND_GAP_PX + ((i / columns) as f64 + 0.5) * LEGEND_ROW_PX;
                let color = style_in(&self.palette, agent).0;
                open_key(pen, "series", agent, (x, y), cell_px);
                if i < agents.len() {
                    pen.rect([(px(x + 4.0), px(y - 6.0)), (px(x + 18.0), px(y + 6.0))], color, None);
                } else {
                    pen.line(&[(px(x), px(y)), (px(x + 22.0), px(y))], dashed(color, 1.8, (3.0, 3.0)));
                }
                write(pen, agent, (px(x + 28.0), px(y)), 13.0, ("start", MIDDLE));
                pen.close();
            }
            Ok(())
        })
    }
}

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
const DOT_ROW_PX: f64 = 19.0;

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

/// A text of at most so many letters.
fn shortened(label: &str, letters: usize) -> String {
    match label.chars().count() > letters {
        true => label.chars().take(letters.saturating_sub(1)).chain(['…']).collect(),
        false => label.to_string(),
    }
}

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
const SQUARE_ROW_PX: f64 = 18.0;
/// Size of the names of its groups, and of the lines on which they stand, px.
const LABEL_PX: f64 = 11.0;
const LABEL_LINE_PX: f64 = 13.0;

/// The line of each of these labels (left end, width), counted from below: the lowest on which it touches none of those
/// before it.
fn lines_of(labels: &[(f64, f64)]) -> Vec<usize> {
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

/// What a report draws.
pub(crate) enum Picture {
    Lines(Figure),
    Bars(Bars),
}

impl Picture {
    pub(crate) fn svg(&self) -> Result<Option<String>, ReportError> {
        match self {
            Picture::Lines(f) => f.svg(),
            Picture::Bars(b) => b.svg(),
        }
    }
}

/// One figure with its file and caption.
pub(crate) struct Plate {
    pub(crate) file: &'static str,
    pub(crate) number: &'static str,
    pub(crate) picture: Picture,
    pub(crate) caption: String,
    /// What is missing if it cannot be drawn.
    pub(crate) needs: &'static str,
}

impl Plate {
    /// Files and documents of all, `None` for one that has nothing to show.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if plotters fails.
    pub(crate) fn svgs(plates: &[Plate]) -> Result<Vec<(&'static str, Option<String>)>, ReportError> {
        plates.iter().map(|p| Ok((p.file, p.picture.svg()?))).collect()
    }

    /// The figure with its caption and `more` below it, folded away under its title; or what is missing for it.
    pub(crate) fn write_folded(&self, out: &mut String, drawn: bool, more: &str) {
        let mut body = String::new();
        self.write(&mut body, drawn);
        if !drawn && more.is_empty() {
            return out.push_str(&body);
        }
        let title = match &self.picture {
            Picture::Lines(f) => &f.title,
            Picture::Bars(b) => &b.title,
        };
        fold(out, title, &(body + more));
    }

    /// The figure with its caption, or what is missing for it.
    pub(crate) fn write(&self, out: &mut String, drawn: bool) {
        out.push_str(&match drawn {
            true => format!("![{}]({})\n\n", self.caption, self.file),
            false => format!("Figure {} is not drawn: {} in this run.\n\n", self.number, self.needs),
        });
    }
}

/// Panics unless every swatch has a name and a colour of its own, and all that have a marker another one.
#[cfg(test)]
pub(crate) fn tell_apart(palette: &[Swatch]) {
    for (i, a) in palette.iter().enumerate() {
        let unlike =
            |b: &Swatch| a.name != b.name && a.rgb != b.rgb && (a.shape != b.shape || a.shape == Shape::None);
        assert!(palette[i + 1..].iter().all(unlike), "{}", a.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(round_ticks(0.0, 62.0, 7), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(round_ticks(-0.5, 0.5, 5), [-0.4, -0.2, 0.0, 0.2, 0.4]);
        assert_eq!(log_ticks(3e-4, 0.2), [1e-3, 1e-2, 1e-1]);
        assert_eq!(log_ticks(0.9, 11.0), [1.0, 2.0, 5.0, 10.0]);
        assert!(log_ticks(1e-12, 1.0).len() <= 9);
        assert!(log_ticks(0.158, 0.166).len() >= 3);
    }

    /// A printed value is a level of the agent whose curve it belongs to: one entry hides both.
    #[test]
    fn an_agent_has_one_entry_in_a_legend() {
        let curve =
            Series::new("ppo", Look::Curve, vec![Point::new(0.0, 1.0, None), Point::new(1.0, 2.0, None)]);
        let level = |agent: &str| Series::level(agent, 1.5, (0.0, 1.0));
        let figure = Figure { series: vec![curve, level("ppo"), level("ekf")], ..Figure::default() };
        let names: Vec<String> = figure.legend().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["ppo", "ekf"]);
    }

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

    #[test]
    fn tick_texts() {
        for (x, text) in [
            (0.0, "0"),
            (0.30000000000000004, "0.3"),
            (40.0, "40"),
            (1e-5, "10⁻⁵"),
            (1e-15, "10⁻¹⁵"),
            (2e7, "2·10⁷"),
            (0.01, "0.01"),
        ] {
            assert_eq!(tick_text(x), text);
        }
    }

    #[test]
    fn shares_as_percentages() {
        let texts = [0.0, 0.0001, 0.0123, 0.0994, 0.123, 0.5, 1.0].map(percent);
        assert_eq!(texts, ["0.0 %", "<0.1 %", "1.2 %", "9.9 %", "12 %", "50 %", "100 %"]);
    }

    #[test]
    fn categories_are_told_apart_whatever_they_are_called() {
        let names = || (0..CATEGORIES.len()).map(|i| format!("series {i}"));
        let all = categories(names());
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a.name != b.name && a.rgb != b.rgb), "{}", a.name);
        }
        // Without a swatch, a name keeps its colour.
        assert_eq!(style_in(&all, "ppo"), style_in(&[], "ppo"));
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        let figure = Figure {
            title: "t".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            log_y: true,
            series: vec![Series {
                agent: "ppo".into(),
                look: Look::Points,
                points: vec![Point::new(0.0, -1.0, None)],
            }],
            ..Figure::default()
        };
        assert!(figure.svg().unwrap().is_none());
    }
}
