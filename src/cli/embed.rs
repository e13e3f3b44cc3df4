//! What a program that has this one inside asks of it: the answers of commands as values, and tasks by their names.

use super::tasks::{Tasks, find};
use super::{Command, parse};
use crate::run::evaluate::Acts;
use crate::run::registry::{AnyCheckpoint, Client};
use crate::run::watch::Watch;
use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

/// What `isacbench evaluate … --json` with these words prints.
///
/// # Errors
/// What the command would say.
pub fn evaluate(tasks: &Tasks, words: &[String], watch: &dyn Watch) -> Result<Value> {
    let line = ["isacbench", "evaluate"].into_iter().map(str::to_string).chain(words.iter().cloned());
    let cli = parse(line.chain(["--json".into()]).map(OsString::from)).map_err(|e| {
        // Its first line says what is wrong; the others are about the command line.
        let text = e.to_string();
        anyhow!("{}", text.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    match cli.command {
        Some(Command::Evaluate(a)) => {
            find(tasks, a.task.as_deref(), Some(a.agent[0].trim()))?.evaluation(&a, watch)
        }
        _ => unreachable!("the command is among the words"),
    }
}

/// A policy from outside, called `name`, judged as the task's own agents are: the same object as of [`evaluate`].
/// `sets` are keys as in `--set`; `whole` as in [`Task::client_env`](crate::run::task::Task::client_env).
///
/// # Errors
/// An unknown task, and the key that is wrong.
pub fn judge(
    tasks: &Tasks,
    task: &str,
    sets: &[String],
    whole: bool,
    name: &str,
    rule: Arc<dyn Acts>,
    watch: &dyn Watch,
) -> Result<Value> {
    find(tasks, Some(task), None)?.judgement(sets, whole, name, rule, watch)
}

/// A task with these keys, as clients step it.
///
/// # Errors
/// An unknown task, and the key that is wrong.
pub fn client(tasks: &Tasks, task: &str, sets: &[String], whole: bool) -> Result<Client> {
    Ok(find(tasks, Some(task), None)?.client(sets, whole)?)
}

/// A checkpoint of any of the tasks.
///
/// # Errors
/// What is wrong with the file.
pub fn checkpoint(tasks: &Tasks, path: &Path) -> Result<Box<dyn AnyCheckpoint>> {
    super::tasks::checkpoint(tasks, path)
}

/// The TOML text of a value as `--set` takes it.
///
/// # Errors
/// If `value` has no counterpart in TOML.
pub fn set(key: &str, value: &Value) -> Result<String> {
    fn toml(value: &Value) -> Option<toml::Value> {
        Some(match value {
            Value::Bool(x) => toml::Value::Boolean(*x),
            Value::Number(x) => match x.as_i64() {
                Some(x) => toml::Value::Integer(x),
                None => toml::Value::Float(x.as_f64()?),
            },
            Value::String(x) => toml::Value::String(x.clone()),
            Value::Array(all) => toml::Value::Array(all.iter().map(toml).collect::<Option<_>>()?),
            Value::Object(all) => {
                let pairs = all.iter().map(|(k, v)| Some((k.clone(), toml(v)?)));
                toml::Value::Table(pairs.collect::<Option<_>>()?)
            }
            Value::Null => return None,
        })
    }
    match toml(value) {
        Some(value) => Ok(format!("{key}={value}")),
        None => bail!("config key '{key}': nothing is no value"),
    }
}
