//! A point of a sweep: one agent with one configuration.

use crate::run::task::Task;
use toml::Value;

/// One agent with one configuration.
#[derive(Clone, Debug)]
pub struct Point<C> {
    /// `p` and 16 hexadecimal digits.
    pub id: String,
    pub agent: &'static str,
    pub config: C,
    /// Values on the plan's axes, as the configuration holds them; `None` where the agent does not read the key.
    pub axes: Vec<Option<Value>>,
    /// Which part of the training it is, where it is not all of it.
    pub stage: Option<Stage>,
}

/// A part of a training whose schedule is that of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The point whose replicas it goes on from, and the updates that they have done.
    pub from: Option<(String, u32)>,
    /// Updates after which it is evaluated.
    pub until: u32,
    /// Whether another point may go on from here.
    pub keep: bool,
}

impl<C: Task> Point<C> {
    /// Updates after which its training stops, and those of them that another point has done.
    pub fn updates(&self) -> (u32, u32) {
        match &self.stage {
            Some(s) => (s.until, s.from.as_ref().map_or(0, |f| f.1)),
            None => (self.config.common().train.updates, 0),
        }
    }
}
