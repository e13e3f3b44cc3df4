//! Policies as other programs read them: NIR files of spiking networks (`nir`), and ONNX graphs ([`graph`]) of whole
//! decisions, made of networks ([`nets`]) and of what a task puts before and behind them ([`Wrap`]).

pub mod graph;
#[cfg(test)]
pub(crate) mod interpreter;
pub mod nets;
#[cfg(feature = "nir")]
pub mod nir;
pub mod proto;

use graph::{Graph, Value};

/// What a network sees, and what it was made of.
pub struct Seen {
    /// `[N, O]`, as environments give observations.
    pub obs: Value,
    /// In physical units, in the task's own order.
    pub physical: Vec<Value>,
}

/// What a policy has decided.
pub struct Decided {
    /// Raw actions `[N, A]`, or the logits of a schedule.
    pub action: Value,
    /// `[N, K·M]`, rad, of agents that set phases.
    pub phases: Option<Value>,
}

/// What a task puts before and behind the networks of an exported policy, so that the file takes what is measured and
/// gives what is radiated.
pub trait Wrap {
    /// Inputs in physical units, and the observation that they make.
    fn enter(&self, g: &mut Graph) -> Seen;
    /// Outputs in physical units.
    ///
    /// # Errors
    /// What cannot be written in closed form.
    fn leave(&self, g: &mut Graph, seen: &Seen, decided: &Decided) -> Result<(), String>;
}
