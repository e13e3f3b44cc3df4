//! Episodes as one sees them: one HTML file that plays what was recorded, slot by slot, and needs nothing beside it.
//!
//! The page knows no task. A [`Scene`] says what the numbers of a [`Take`] mean, in primitives that every task can
//! fill: points and their error ellipses, lobes of an array's beams, lamps, numbers of a slot and time lines. Nothing is
//! computed of them in the page but places on the screen and the lobes, which are the recorded weights seen from a
//! direction.
//!
//! Places are polar, as an array at the origin measures them: the angle grows clockwise from the negative x axis, so
//! that (θ, d) lies at x = −d cos θ, y = d sin θ. The array lies along the x axis, its elements half a wavelength apart.

mod still;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// What a report's folder calls its replay.
pub const FILE: &str = "replay.html";

/// More than this is slow to open, bytes.
pub const LARGE: usize = 3_000_000;

/// What is seen of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scene {
    /// What is seen, in a sentence or two.
    pub caption: String,
    /// s
    pub slot_s: Option<f64>,
    /// `None` of a task whose things have no place.
    pub plan: Option<Plan>,
    /// Names of what moves, K of them.
    pub movers: Vec<String>,
    /// Numbers that each of them has in a slot.
    pub columns: Vec<Column>,
    /// What its lamp stands for, if it has one.
    pub lamp: Option<String>,
    pub lines: Vec<Line>,
}

/// What is seen from above.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What stands at the origin.
    pub origin: String,
    /// N: antennas of its array.
    pub antennas: usize,
    /// Distance of a road along the x axis, if there is one, m.
    pub road_y_m: Option<f64>,
    /// What an estimate and its ellipse are, in a few words.
    pub estimate: String,
}

/// A number of a mover.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    pub label: &'static str,
    pub unit: &'static str,
    /// Behind the point.
    pub digits: u8,
}

/// A curve over the slots of an episode. What is shown of a recorded value x is `factor`·x or, of a mean square,
/// `factor`·√x.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// As an evaluation calls it.
    pub metric: String,
    pub label: String,
    pub unit: &'static str,
    pub factor: f64,
    pub root: bool,
    /// A curve for each mover instead of one.
    pub each: bool,
    pub log: bool,
    /// What the dashed line beside it is.
    pub bound: Option<&'static str>,
}

impl Line {
    /// One curve of the metric as it is.
    pub fn of(metric: impl Into<String>, label: impl Into<String>, unit: &'static str) -> Line {
        Line {
            metric: metric.into(),
            label: label.into(),
            unit,
            factor: 1.0,
            root: false,
            each: false,
            log: false,
            bound: None,
        }
    }
    /// Of a mean of recorded values.
    pub fn shown(&self, mean: f64) -> f64 {
        self.factor * if self.root { mean.sqrt() } else { mean }
    }
}

/// One agent in one episode, over T slots. Arrays of a task without a plan are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Take {
    /// `[T, K, 2]`: angle (rad) and distance (m) where it is.
    pub truth: Vec<f32>,
    /// `[T, K, 4]`: angle and distance of the estimate, and the standard deviations of both.
    pub estimate: Vec<f32>,
    /// `[T, K, N]`: weights of the beams; their norm does not show.
    pub beams: Vec<[f32; 2]>,
    /// `[T, K]`: share of the power in a beam.
    pub shares: Vec<f32>,
    /// `[T, K]`: where beams are steered at, rad; empty where nothing says.
    pub aims: Vec<f32>,
    /// `[T, K, columns]`
    pub cells: Vec<f32>,
    /// `[T, K]`; empty without lamps.
    pub lamps: Vec<bool>,
    /// Of each line `[T]`, or `[T, K]`.
    pub lines: Vec<Vec<f32>>,
    /// Of each line `[T]`, or nothing.
    pub bounds: Vec<Vec<f32>>,
}

/// An agent with its takes, episode by episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    pub agent: String,
    /// What it is, in a line.
    pub about: String,
    pub rgb: (u8, u8, u8),
    pub takes: Vec<Take>,
}

/// All that a page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    pub task: &'static str,
    pub scene: Scene,
    /// Of the draws.
    pub seed: u32,
    /// T
    pub slots: usize,
    /// Equal draws for all.
    pub casts: Vec<Cast>,
    /// The configuration, as TOML.
    pub config: String,
    /// What it was made by, in a line.
    pub made_by: String,
}

/// |aᴴ(θ)f|² of an array's weights over the most that their norm allows: 1 where the beam is steered at `theta`, rad.
pub fn gain(weights: &[[f32; 2]], theta: f64) -> f64 {
    let (mut re, mut im, mut norm) = (0.0, 0.0, 0.0);
    for (n, [x, y]) in weights.iter().enumerate() {
        let (x, y) = (f64::from(*x), f64::from(*y));
        let (sin, cos) = (std::f64::consts::PI * n as f64 * theta.cos()).sin_cos();
        re += cos * x - sin * y;
        im += cos * y + sin * x;
        norm += x * x + y * y;
    }
    if norm > 0.0 { (re * re + im * im) / (norm * weights.len() as f64) } else { 0.0 }
}

impl Replay {
    /// Mean of a line's recorded values over the slots of all takes, as it is shown; `None` where there are none.
    pub fn mean(&self, cast: &Cast, line: usize) -> Option<f64> {
        let values = || cast.takes.iter().flat_map(|t| &t.lines[line]);
        let n = values().count();
        (n > 0).then(|| self.scene.lines[line].shown(values().map(|x| f64::from(*x)).sum::<f64>() / n as f64))
    }

    /// The page.
    pub fn html(&self) -> String {
        let title = format!("Task {}, slot by slot", self.task);
        // What stands in a script ends with the first `</script`, whatever it stands in.
        let data = json_in_html(&self.json());
        let (title, caption) = (escape(&title), escape(&self.scene.caption));
        let (config, made_by) = (escape(&self.config), escape(&self.made_by));
        let (still, means) = (still::svg(self), self.means());
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'\">\n<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n<p>{caption}</p>\n</header>\n<main id=\"stage\" hidden></main>\n\
             <noscript>\n{still}<p>A browser that runs scripts plays the episodes; this is the first slot.</p>\n\
             </noscript>\n{means}<details>\n<summary>Configuration</summary>\n<pre>{config}</pre>\n</details>\n\
             <footer>{made_by}</footer>\n<script type=\"application/json\" id=\"replay\">{data}</script>\n\
             <script>\n{}</script>\n</body>\n</html>\n",
            include_str!("page.css"),
            include_str!("page.js"),
        )
    }

    /// A table of what the lines are on average.
    fn means(&self) -> String {
        let episodes = self.casts.first().map_or(0, |c| c.takes.len());
        let plural = if episodes == 1 { "" } else { "s" };
        let mut out = format!(
            "<section>\n<h2>Means over {episodes} episode{plural} of {} slots</h2>\n<div class=\"scroll\" \
             tabindex=\"0\"><table>\n<tr><th>agent</th>",
            self.slots
        );
        for line in &self.scene.lines {
            let unit = if line.unit.is_empty() { String::new() } else { format!(", {}", line.unit) };
            let _ = write!(out, "<th>{}{}</th>", escape(&line.label), escape(&unit));
        }
        out.push_str("</tr>\n");
        for cast in &self.casts {
            let _ = write!(out, "<tr><td>{}</td>", escape(&cast.agent));
            for line in 0..self.scene.lines.len() {
                let mean = self.mean(cast, line).map_or("-".into(), crate::num::text::num);
                let _ = write!(out, "<td class=\"n\">{mean}</td>");
            }
            out.push_str("</tr>\n");
        }
        out + "</table></div>\n</section>\n"
    }

    fn json(&self) -> Value {
        let floats = |x: &[f32]| STANDARD.encode(bytemuck::cast_slice::<f32, u8>(x));
        let take = |t: &Take| {
            let beams: Vec<u8> = t.beams.chunks(self.antennas()).flat_map(quantised).collect();
            json!({
                "truth": floats(&t.truth),
                "estimate": floats(&t.estimate),
                "beams": STANDARD.encode(beams),
                "shares": floats(&t.shares),
                "aims": floats(&t.aims),
                "cells": floats(&t.cells),
                "lamps": STANDARD.encode(t.lamps.iter().map(|on| u8::from(*on)).collect::<Vec<_>>()),
                "lines": t.lines.iter().map(|x| floats(x)).collect::<Vec<_>>(),
                "bounds": t.bounds.iter().map(|x| floats(x)).collect::<Vec<_>>(),
            })
        };
        let cast = |c: &Cast| {
            let (r, g, b) = c.rgb;
            json!({
                "agent": c.agent,
                "about": c.about,
                "colour": format!("#{r:02x}{g:02x}{b:02x}"),
                "takes": c.takes.iter().map(take).collect::<Vec<_>>(),
            })
        };
        json!({
            "task": self.task,
            "scene": self.scene,
            "seed": self.seed,
            "slots": self.slots,
            "casts": self.casts.iter().map(cast).collect::<Vec<_>>(),
        })
    }

    fn antennas(&self) -> usize {
        self.scene.plan.as_ref().map_or(1, |p| p.antennas.max(1))
    }
}

/// The weights of a beam as signed bytes, the largest part ±127: a hundredth of a dB at the peak, −45 dB beside it.
fn quantised(weights: &[[f32; 2]]) -> Vec<u8> {
    let parts = || weights.iter().flatten();
    let most = parts().fold(0f32, |most, x| most.max(x.abs())).max(f32::MIN_POSITIVE);
    parts().map(|x| (x / most * 127.0).round() as i8 as u8).collect()
}

/// JSON that no markup around it can end or begin in.
fn json_in_html(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A report's Markdown with a link to the replay below its title, if one lies beside it.
pub(super) fn linked(page: String, dir: &Path) -> String {
    if !dir.join(FILE).exists() {
        return page;
    }
    let link = format!("[Episodes of three agents, slot by slot]({FILE})");
    match page.split_once("\n\n") {
        Some((title, rest)) => format!("{title}\n\n{link}\n\n{rest}"),
        None => format!("{page}\n{link}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    fn steered(theta: f64, n: usize) -> Vec<[f32; 2]> {
        let element = |m: usize| {
            let (sin, cos) = (-PI * m as f64 * theta.cos()).sin_cos();
            [cos as f32, sin as f32]
        };
        (0..n).map(element).collect()
    }

    fn replay(words: &str) -> Replay {
        let line = Line { bound: Some("the most"), ..Line::of("rate", words, "bps/Hz") };
        let plan = Plan { origin: words.into(), antennas: 8, road_y_m: Some(5.0), estimate: words.into() };
        let scene = Scene {
            caption: words.into(),
            slot_s: Some(0.02),
            plan: Some(plan),
            movers: vec![words.into()],
            columns: vec![Column { label: "rate", unit: "bps/Hz", digits: 2 }],
            lamp: Some(words.into()),
            lines: vec![line],
        };
        let take = Take {
            truth: vec![1.0, 10.0, 1.1, 11.0],
            estimate: vec![1.0, 10.0, 0.01, 0.5, 1.1, 11.0, 0.01, 0.5],
            beams: [steered(1.0, 8), steered(1.1, 8)].concat(),
            shares: vec![1.0; 2],
            aims: vec![1.0, 1.1],
            cells: vec![2.0, 4.0],
            lamps: vec![true, false],
            lines: vec![vec![2.0, 4.0]],
            bounds: vec![vec![5.0, 5.0]],
        };
        let cast = Cast { agent: words.into(), about: words.into(), rgb: (1, 2, 3), takes: vec![take] };
        Replay {
            task: "toy",
            scene,
            seed: 7,
            slots: 2,
            casts: vec![cast],
            config: words.into(),
            made_by: words.into(),
        }
    }

    #[test]
    fn a_beam_has_its_gain_where_it_is_steered() {
        let beam = steered(0.7, 16);
        assert!((gain(&beam, 0.7) - 1.0).abs() < 1e-6);
        assert!((0..=180).all(|d| gain(&beam, f64::from(d).to_radians()) <= 1.0 + 1e-6));
        assert_eq!(gain(&[[0.0; 2]; 4], 1.0), 0.0);
        // What a page is given of it: to a thousandth at the peak.
        let bytes = quantised(&beam);
        let back: Vec<[f32; 2]> =
            bytes.chunks(2).map(|b| [f32::from(b[0] as i8), f32::from(b[1] as i8)]).collect();
        assert!((gain(&back, 0.7) - 1.0).abs() < 1e-3, "{}", gain(&back, 0.7));
    }

    #[test]
    fn words_cannot_end_the_script_that_they_stand_in() {
        let evil = "</script><script>alert(1)</script>&\u{2028}<!--";
        let page = replay(evil).html();
        // The two of the page itself.
        assert_eq!(page.matches("</script").count(), 2, "{page}");
        assert_eq!(page.matches("<script").count(), 2);
        assert!(!page.contains("<!--"));
        let (_, rest) = page.split_once("id=\"replay\">").unwrap();
        let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
        assert_eq!(data["scene"]["caption"], evil);
        assert_eq!(data["casts"][0]["agent"], evil);
    }

    #[test]
    fn a_page_needs_nothing_beside_it() {
        let page = replay("plain").html();
        for outside in ["http://", "https://", "src=", "href=", "url(", "@import", "fetch(", "XMLHttpRequest"]
        {
            // The namespace of drawings is a name, not an address that anybody asks.
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(
            page.contains("<td class=\"n\">3.0000</td>"),
            "the mean of 2 and 4: {}",
            replay("plain").means()
        );
        assert!(page.contains("<svg") && page.contains("<noscript>"));
    }

    #[test]
    fn a_report_links_a_replay_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let page = || "# Title\n\nText.\n".to_string();
        assert_eq!(linked(page(), dir.path()), page());
        std::fs::write(dir.path().join(FILE), "x").unwrap();
        let text = linked(page(), dir.path());
        assert!(
            text.starts_with("# Title\n\n[Episodes") && text.ends_with("](replay.html)\n\nText.\n"),
            "{text}"
        );
    }
}
