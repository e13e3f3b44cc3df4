//! The first slot of the first agent as a drawing, for readers without scripts.

use super::markup::escape;
use super::scene::{Replay, gain};
use std::fmt::Write;

/// px
const WIDTH: f64 = 720.0;
const MARGIN: f64 = 24.0;
/// Of the picture's height that a lobe of gain 1 takes, as in the page.
const REACH: f64 = 0.92;
/// Directions of a lobe.
const DIRECTIONS: usize = 720;
/// Of what moves, in turn; the page has the same.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288", "#999933"];

fn place(theta: f32, d: f32) -> (f64, f64) {
    let (theta, d) = (f64::from(theta), f64::from(d));
    (-d * theta.cos(), d * theta.sin())
}

/// Nothing for a task without a plan.
pub(super) fn svg(replay: &Replay) -> String {
    let (Some(plan), Some(cast)) = (&replay.scene.plan, replay.casts.first()) else { return String::new() };
    let Some(take) = cast.takes.first() else { return String::new() };
    let k = replay.scene.movers.len();
    let all = || take.truth.chunks_exact(2).map(|p| place(p[0], p[1]));
    let (mut left, mut right, mut top) = (0f64, 0f64, plan.road_y_m.unwrap_or(0.0));
    for (x, y) in all() {
        (left, right, top) = (left.min(x), right.max(x), top.max(y));
    }
    let per_m = (WIDTH - 2.0 * MARGIN) / (right - left).max(1.0);
    top = top.max(0.4 * (right - left));
    // Where a lobe of gain 1 ends.
    let reach = REACH * top;
    let height = top * per_m + 2.0 * MARGIN + 40.0;
    let base = height - MARGIN - 40.0;
    let at = |(x, y): (f64, f64)| (MARGIN + (x - left) * per_m, base - y * per_m);
    let words = format!("Slot 0 of {}: {}", cast.agent, replay.scene.caption);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escape(&words)
    );
    if let Some(y) = plan.road_y_m {
        let y = at((0.0, y)).1;
        let _ = writeln!(
            out,
            "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#bbb\" stroke-dasharray=\"8 6\"/>"
        );
    }
    for (i, beam) in take.beams.chunks_exact(plan.antennas).take(k).enumerate() {
        let mut path = String::new();
        for n in 0..=DIRECTIONS {
            let theta = std::f64::consts::PI * n as f64 / DIRECTIONS as f64;
            let r = reach * gain(beam, theta);
            // What is nearer than half a pixel would only make the file longer.
            if r * per_m > 0.5 {
                let (x, y) = at((-r * theta.cos(), r * theta.sin()));
                let _ = write!(path, "L{x:.1} {y:.1}");
            }
        }
        let (x, y) = at((0.0, 0.0));
        let colour = COLOURS[i % COLOURS.len()];
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {y:.1}{path}Z\" fill=\"{colour}\" fill-opacity=\".25\" stroke=\"{colour}\"/>"
        );
    }
    for (i, place) in all().take(k).map(at).enumerate() {
        let (x, y) = place;
        let (colour, name) = (COLOURS[i % COLOURS.len()], escape(&replay.scene.movers[i]));
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            // Names of neighbours do not lie on each other.
            if i % 2 == 0 { y - 10.0 } else { y + 20.0 }
        );
    }
    for e in take.estimate.chunks_exact(4).take(k) {
        let (x, y) = at(place(e[0], e[1]));
        let _ = writeln!(
            out,
            "<path d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\" stroke=\"#222\" fill=\"none\"/>",
            x - 4.0,
            y - 4.0
        );
    }
    let (x, y) = at((0.0, 0.0));
    let _ = writeln!(
        out,
        "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"16\" height=\"6\" fill=\"#222\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text x=\"{MARGIN}\" y=\"{:.1}\">{}: dots are true places, crosses estimates, lobes the beams</text>\n</svg>",
        x - 8.0,
        y + 20.0,
        escape(&plan.origin),
        height - 8.0,
        escape(&cast.agent),
    );
    out
}
