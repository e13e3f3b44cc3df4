//! Curves, measured points and levels over two axes, with what a paper prints.

use super::canvas::{
    Axis, BOTTOM, LEGEND_GAP_PX, LEGEND_ROW_PX, MIDDLE, PLOT_HEIGHT_PX, Room, WIDTH_PX, axes, dashed,
    document, error_bar, marker, px, stroke, text_width_px, write,
};
use super::palette::{Palette, style_in};
use super::ticks::{drawn_at, extent, ticks};
use super::values::{Datum, Words, along, open_key, open_series};
use crate::num::stats::{Interval, once};
use crate::num::text::num;
use crate::report::ReportError;
use crate::report::pen::BLACK;

/// Most points that the curves of a figure have together; longer ones are drawn as means of neighbours.
pub(super) const CURVE_POINTS: usize = 4000;

/// Most points of one curve: as many as a figure shows apart.
pub(super) const POINTS_OF_A_CURVE: usize = 400;

/// Markers along a dense curve.
pub(super) const CURVE_MARKERS: usize = 6;

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

/// Dashes and gaps of a bound, and of an agent that does not learn, px.
pub(super) const BOUND_DASHES: (f64, f64) = (6.0, 4.0);

pub(super) const LEVEL_DASHES: (f64, f64) = (2.0, 3.0);

pub(super) enum Sample {
    Line(Look, String),
    Paper(String),
}

/// What a mark of a paper is called in the legend.
pub(super) fn paper_name(agent: &str) -> String {
    format!("paper: {agent}")
}

/// Kind of what dashed lines stand for, which one entry of the legend hides.
pub(super) const BOUND_KIND: &str = "bound";

/// Means of this many neighbours, the last one of what is left.
pub(super) fn averaged(points: &[Point], span: usize) -> Vec<Point> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
