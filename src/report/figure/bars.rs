//! Groups of bars.

use super::canvas::{
    Axis, BOTTOM, LEGEND_GAP_PX, LEGEND_ROW_PX, MIDDLE, PLOT_HEIGHT_PX, Room, TOP, WIDTH_PX, axes, dashed,
    document, error_bar, px, stroke, text_width_px, write,
};
use super::palette::{Palette, style_in};
use super::ticks::{drawn_at, extent, percent, ticks};
use super::values::{Datum, Words, along, open_key, open_series};
use crate::num::stats::{Interval, once};
use crate::report::ReportError;
use crate::report::pen::INK;

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
