//! What a replay is made of.

use serde::Serialize;

/// What is seen of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scene {
    /// What is seen, in a sentence or two.
    pub caption: String,
    /// s
    pub slot_s: Option<f64>,
    /// `None` of a task whose things have no place.
    pub plan: Option<GroundPlan>,
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
pub struct GroundPlan {
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
}
