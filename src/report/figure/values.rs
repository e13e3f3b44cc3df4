//! The values behind a drawing, for the script of a page and for readers without one.

use super::canvas::{Frame, LEGEND_ROW_PX, px};
use crate::num::stats::Interval;
use crate::num::text::num;
use crate::report::pen::{Pen, escape, number};

/// What the numbers of a figure mean.
pub(super) struct Words {
    /// Name and unit of both axes.
    pub(super) x: (String, String),
    pub(super) y: (String, String),
    /// What values are means over.
    pub(super) counted: &'static str,
}

impl Words {
    pub(super) fn of(x_label: &str, y_label: &str, counted: &'static str) -> Words {
        let counted = if counted.is_empty() { "seeds" } else { counted };
        Words { x: name_and_unit(x_label), y: name_and_unit(y_label), counted }
    }

    /// Attributes of the root, for the script of a page.
    pub(super) fn attributes(&self) -> String {
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
    pub(super) fn told(&self, series: &str, datum: &Datum, at: Option<&str>) -> String {
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
pub(super) fn name_and_unit(label: &str) -> (String, String) {
    let found = label.rsplit_once(" (").and_then(|(name, rest)| {
        let (unit, after) = rest.split_once(')')?;
        Some((format!("{name}{after}"), unit.to_string()))
    });
    found.unwrap_or_else(|| (label.to_string(), String::new()))
}

/// A value with its place in the drawing.
pub(super) struct Datum {
    pub(super) x: Option<f64>,
    pub(super) y: f64,
    pub(super) interval: Option<Interval>,
    pub(super) seeds: Option<usize>,
    pub(super) at: (i32, i32),
}

/// Opens a group of a series: `kind` says what of it, and `data` are the values that it shows.
pub(super) fn open_series(pen: &mut Pen, series: &str, kind: &str, data: &[Datum], label: Option<&str>) {
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
pub(super) fn along(
    frame: &Frame,
    y: f64,
    place: f64,
    interval: Option<Interval>,
    seeds: Option<usize>,
) -> Vec<Datum> {
    const PLACES: i32 = 24;
    let x = |i: i32| frame.x.0 + (frame.x.1 - frame.x.0) * f64::from(i) / f64::from(PLACES);
    (0..=PLACES).map(|i| Datum { x: None, y, interval, seeds, at: frame.at(x(i), place) }).collect()
}

/// Opens an entry of the legend: what it hides is called by series or by kind.
pub(super) fn open_key(pen: &mut Pen, attribute: &str, name: &str, (x, y): (f64, f64), width_px: f64) {
    pen.open(&format!("class=\"key\" data-{attribute}=\"{}\"", escape(name)));
    let half = LEGEND_ROW_PX / 2.0;
    pen.target([(px(x - 4.0), px(y - half)), (px(x + width_px - 8.0), px(y + half))]);
}
