//! What of a configuration the results of an agent depend on.

use super::axes::leaves;
use super::file::Mode;
use crate::run::task::{Agent, Task};
use std::fmt::Write;
use toml::{Table, Value};

/// Whether an agent's results depend on a key: what it reads, but for how it was trained where its weights are given.
pub(super) fn reads<C: Task>(mode: Mode, config: &C, agent: &Agent<C>, key: &str) -> bool {
    let evaluated = key.starts_with("task.") || key.starts_with("evaluate.");
    config.reads(agent, key) && (evaluated || mode == Mode::TrainAndEvaluate || !agent.is_learned())
}

/// What a point is but for agent, weights and seeds: every key that is read with its value, in alphabetical order.
pub(in crate::run) fn what_is_read<C: Task>(mode: Mode, config: &C, agent: &Agent<C>) -> String {
    let mut out = String::new();
    for (key, value) in leaves(&config.table(), |_| false) {
        if reads(mode, config, agent, &key) {
            let _ = writeln!(out, "{key}={value}");
        }
    }
    out
}

/// A key's value, or of a table what is read of it; `None` if nothing is.
pub(in crate::run) fn read_of(key: &str, value: Value, reads: &dyn Fn(&str) -> bool) -> Option<Value> {
    let Value::Table(table) = value else { return reads(key).then_some(value) };
    let below = |(k, v): (String, Value)| Some((k.clone(), read_of(&format!("{key}.{k}"), v, reads)?));
    let kept: Table = table.into_iter().filter_map(below).collect();
    (!kept.is_empty()).then_some(Value::Table(kept))
}
