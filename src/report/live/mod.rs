//! A page on which a browser runs a task's kernels through WebGPU: one HTML file, plain JavaScript, no network.
//!
//! A task says what its page is made of ([`Live`]): kernels with their constants ([`PagePlan`]), what is dispatched for
//! a slot of each agent, what its sliders change, how one environment is drawn, and inputs with the words that the CPU
//! twins make of them ([`Check`]), which the page compares before anything runs. Where there is no WebGPU, the page
//! plays a [`Recorded`] run. The JavaScript here (`live.js`) knows no task; a task's own script draws.

mod network;
mod plan;

pub use network::{Network, NetworkArrays};
pub use plan::{Array, Dispatch, Kernel, PagePlan, Stored, Word};

use crate::gpu::GpuError;
use crate::learn::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why there is no live page.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The page has no kernels for what an agent or a configuration wants.
    #[error("the live page has no {0}")]
    Lacks(String),
    #[error("agent '{agent}' is not on the live page; there are: {known}")]
    Agent { agent: String, known: String },
    #[error(transparent)]
    Shader(#[from] GpuError),
}

/// Most slots that the page computes between two pictures, and so the room for their sums.
pub const MOST_SLOTS: usize = 64;

/// Words as the page has them: little-endian, in base 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(String);

impl Words {
    pub fn of<T: bytemuck::Pod>(data: &[T]) -> Self {
        use base64::Engine;
        Words(base64::engine::general_purpose::STANDARD.encode(bytemuck::cast_slice::<T, u8>(data)))
    }
    /// The words again, for whoever checks a page.
    ///
    /// # Panics
    /// If these are not whole words, which [`Words::of`] never makes.
    pub fn to_vec(&self) -> Vec<u32> {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(&self.0).expect("base 64");
        bytemuck::pod_collect_to_vec(&bytes)
    }
}

/// A trained policy that drives a page.
pub struct Trained {
    /// Id of its agent.
    pub agent: String,
    /// One replica.
    pub algorithm: Algorithm,
    /// `[P]`
    pub params: Vec<f32>,
    /// Where it comes from, in a line.
    pub about: String,
}

/// What a page is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    pub title: String,
    /// Sentences below the title.
    pub about: String,
    /// What runs where there are several, as in "mean over 256 roads".
    pub noun: &'static str,
    /// Where numbers and kernels come from, in a line.
    pub made_by: String,
    pub plan: PagePlan,
    /// B
    pub envs: usize,
    /// T, slots of an episode.
    pub slots: usize,
    pub slot_s: f64,
    /// First state of an episode.
    pub reset: Vec<Dispatch>,
    pub controls: Vec<Control>,
    pub agents: Vec<Driver>,
    /// The agent that drives at first.
    pub first: usize,
    /// Sums over the environments `[slots, rows, 2]`, of values and of their squares, of the slots since the last
    /// picture.
    pub sums: Array,
    pub rows: usize,
    pub curves: Vec<Curve>,
    /// Arrays of which one environment is drawn.
    pub seen: Seen,
    /// Checked before the first slot.
    pub check: Check,
    pub recorded: Recorded,
    /// What the task's script must know.
    pub scene: Value,
    /// The task's script: `scene(data)` gives what draws.
    #[serde(skip)]
    pub script: &'static str,
}

/// Elements of an array that are others, with their bits.
pub type Changes = Vec<(usize, u32)>;

/// A slider that changes numbers of an array.
#[derive(Clone, Debug, Serialize)]
pub struct Control {
    pub id: &'static str,
    pub label: &'static str,
    pub unit: &'static str,
    pub about: &'static str,
    pub values: Vec<f64>,
    /// Where it stands at first: there nothing is changed.
    pub first: usize,
    pub array: Array,
    /// Of each value.
    pub words: Vec<Changes>,
    /// Whether it shows from the next episode on only, so that one is begun.
    pub restarts: bool,
}

impl Control {
    /// What differs between arrays `base` and `with`, word by word.
    pub fn difference(base: &[u32], with: &[u32]) -> Changes {
        assert_eq!(base.len(), with.len(), "arrays of one shape");
        let all = base.iter().zip(with).enumerate();
        all.filter(|(_, (x, y))| x != y).map(|(i, (_, y))| (i, *y)).collect()
    }
}

/// An agent of the page.
#[derive(Clone, Debug, Serialize)]
pub struct Driver {
    pub id: String,
    pub about: String,
    /// One, or one for each number of spike steps.
    pub programs: Vec<Program>,
    pub first: usize,
    /// Spike words of the first environment in the last slot: where each hidden layer's are, and how many; empty of an
    /// agent without.
    pub spikes: Vec<(Array, usize)>,
    /// What the task's script must know of it.
    pub scene: Value,
}

/// What is dispatched for a slot.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// Spike steps, of a spiking network.
    pub steps: Option<usize>,
    pub slot: Vec<Dispatch>,
    /// Checked before its first slot.
    pub check: Option<Check>,
}

/// A line of the chart: the mean over the environments of a row of the sums.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    pub row: usize,
    pub label: &'static str,
    pub unit: &'static str,
}

/// `[rows, B]` of state and metrics, `[B, A]` of the action.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seen {
    pub state: Array,
    pub state_rows: usize,
    pub action: Array,
    pub metrics: Array,
}

/// Inputs, dispatches and the words that these must leave.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// As in "12 words of …".
    pub what: &'static str,
    pub writes: Vec<Write>,
    pub runs: Vec<Tick>,
    pub expects: Vec<Expect>,
}

/// The first elements of an array before a check.
#[derive(Clone, Debug, Serialize)]
pub struct Write {
    pub array: Array,
    pub words: Stored,
}

/// Dispatches at a value of the clock, and of the slot since the last picture.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    pub clock: u32,
    pub slot: u32,
    pub dispatches: Vec<Dispatch>,
}

/// The first elements of an array after a check.
#[derive(Clone, Debug, Serialize)]
pub struct Expect {
    pub array: Array,
    pub words: Stored,
    /// Bits that must be equal; of numbers with a tolerance, none.
    pub mask: u32,
    /// So much each number may be off; `None` where bits are compared.
    pub tolerance: Option<Stored>,
}

/// A run of the CPU path, one environment of which is drawn, slot by slot.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Whose, as in [`Driver::id`].
    pub agent: String,
    pub slots: usize,
    /// `[slots + 1, state_rows]`: before the first slot and behind each; behind the last of an episode, the first of
    /// the next.
    pub states: Words,
    /// `[slots, A]`
    pub actions: Words,
    /// `[slots, rows]`
    pub metrics: Words,
    /// `[slots, curves]`, means over the environments.
    pub means: Words,
}

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("live.css");
const SCRIPT: &str = include_str!("live.js");

impl Live {
    /// The page, which needs nothing beside it.
    ///
    /// # Panics
    /// If a number of the scene is not finite.
    pub fn html(&self) -> String {
        let data = serde_json::to_string(self).expect("a page is numbers and words");
        // Inside a script element, only `</` ends it.
        let data = data.replace("</", "<\\/");
        let escaped = |s: &str| {
            s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        };
        // The data last: what stands in it is not looked at again.
        PAGE.replace("{{title}}", &escaped(&self.title))
            .replace("{{about}}", &escaped(&self.about))
            .replace("{{made_by}}", &escaped(&self.made_by))
            .replace("{{style}}", STYLE)
            .replace("{{scene}}", self.script)
            .replace("{{script}}", SCRIPT)
            .replace("{{data}}", &data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        let words = Words::of(&[1.5f32, -0.0]);
        assert_eq!(words.to_vec(), [1.5f32.to_bits(), (-0.0f32).to_bits()]);
    }

    #[test]
    fn only_what_differs_is_written() {
        assert_eq!(Control::difference(&[1, 2, 3], &[1, 5, 3]), [(1, 5)]);
        assert!(Control::difference(&[1], &[1]).is_empty());
    }
}
