//! The page of a replay.

use super::markup::{escape, json_in_html};
use super::scene::{Cast, Replay, Take};
use super::still;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// What a report's folder calls its replay.
pub const FILE: &str = "replay.html";

/// More than this is slow to open, bytes.
pub const LARGE: usize = 3_000_000;

impl Replay {
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

/// The weights of a beam as signed bytes, the largest part ±127: right to 0.01 dB at the peak, to −60 dB beside it.
fn quantised(weights: &[[f32; 2]]) -> Vec<u8> {
    let parts = || weights.iter().flatten();
    let most = parts().fold(0f32, |most, x| most.max(x.abs())).max(f32::MIN_POSITIVE);
    parts().map(|x| (x / most * 127.0).round() as i8 as u8).collect()
}

/// A report's Markdown with a link to the replay below its title, if one lies beside it.
pub(in crate::report) fn linked(page: String, dir: &Path) -> String {
    if !dir.join(FILE).exists() {
        return page;
    }
    let link = format!("[Episodes, slot by slot]({FILE})");
    match page.split_once("\n\n") {
        Some((title, rest)) => format!("{title}\n\n{link}\n\n{rest}"),
        None => format!("{page}\n{link}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::replay::scene::{Column, GroundPlan, Line, Scene, gain};
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
        let plan =
            GroundPlan { origin: words.into(), antennas: 8, road_y_m: Some(5.0), estimate: words.into() };
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
