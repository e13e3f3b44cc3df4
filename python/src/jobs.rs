//! What the commands of the program answer.

use crate::TASKS;
use crate::envs::{faultless, wrong};
use crate::pool::{self, check};
use isacbench::cli::embed;
use isacbench::energy::RuleCounts;
use isacbench::env::Env;
use isacbench::run::evaluate::{Acts, Moment};
use isacbench::run::watch::{Quiet, Watch};
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2, ToPyArray};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The command line with these words, the first of which is the program; its exit code.
#[pyfunction]
pub fn main(words: Vec<OsString>) -> u8 {
    let sources = isacbench::sources!(
        "src",
        "../src",
        "../shaders",
        "../configs",
        "../revision",
        "../Cargo.toml",
        "../Cargo.lock"
    );
    isacbench::cli::main_words(TASKS, sources, words)
}

/// Names of tasks and their agents, as JSON.
#[pyfunction]
pub fn tasks() -> String {
    let one = |t: &&dyn isacbench::cli::Registered| json!({ "name": t.name(), "agents": t.agents(), "learned": t.learned(), "metric": t.metric() });
    Value::Array(TASKS.iter().map(one).collect()).to_string()
}

/// `key=value` as `--set` takes it; the value is JSON.
#[pyfunction]
pub fn setting(key: &str, value: &str) -> PyResult<String> {
    let value =
        serde_json::from_str(value).map_err(|e| PyValueError::new_err(format!("config key '{key}': {e}")))?;
    embed::set(key, &value).map_err(wrong)
}

/// Markdown as one HTML file; `figures` are SVG documents by the addresses under which they are shown.
#[pyfunction]
pub fn page(markdown: &str, title: &str, figures: Vec<(String, String)>) -> String {
    let figure = |address: &str| figures.iter().find(|f| f.0 == address).map(|f| f.1.clone());
    isacbench::report::page::html(markdown, title, figure)
}

/// Ends the job where its caller was interrupted, and tells the caller how far it is.
struct Interruptible<'a> {
    stop: &'a AtomicBool,
    progress: Option<Py<PyAny>>,
    done: Mutex<(u64, u64)>,
}

impl Watch for Interruptible<'_> {
    fn begin(&self, _: &str, total: u64) {
        if let Ok(mut done) = self.done.lock() {
            *done = (0, total);
        }
    }
    fn advance(&self, units: u64, _: &str) {
        check(self.stop);
        let Some(progress) = &self.progress else { return };
        let (now, total) = match self.done.lock() {
            Ok(mut done) => {
                done.0 += units;
                *done
            }
            Err(_) => return,
        };
        // Whoever draws the bar may fail; the job need not.
        let _ = Python::attach(|py| progress.call1(py, (now, total)).map(drop));
    }
    fn end(&self) {}
    fn warn(&self, what: &str) {
        let warned = Python::attach(|py| {
            let text = std::ffi::CString::new(what).unwrap_or_default();
            PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), &text, 2)
        });
        // A warning that is to be an error cannot stop a thread of the pool.
        drop(warned);
    }
}

/// What `isacbench evaluate … --json` with these words prints.
#[pyfunction]
pub fn evaluate(py: Python, words: Vec<String>, progress: Option<Py<PyAny>>) -> PyResult<String> {
    let stop = AtomicBool::new(false);
    let answer = pool::interruptible(py, &stop, || {
        let watch = Interruptible { stop: &stop, progress, done: Mutex::new((0, 0)) };
        embed::evaluate(TASKS, &words, &watch)
    })?;
    Ok(answer.map_err(wrong)?.to_string())
}

/// A policy that Python calls: `policy(obs)` gives actions, and `policy.reset(n)`, where there is one, begins n
/// episodes.
struct Called {
    policy: Py<PyAny>,
    reset: Option<Py<PyAny>>,
    env: Arc<dyn Env>,
    failed: Arc<Mutex<Option<PyErr>>>,
    /// Nothing more is asked of a policy that has failed.
    stop: AtomicBool,
}

impl Called {
    fn ask(&self, py: Python, now: &Moment, action: &mut [f32]) -> PyResult<()> {
        let (b, o, a) = (now.at.envs, self.env.sizes().obs, self.env.sizes().action);
        py.check_signals()?;
        if let Some(reset) = self.reset.as_ref().filter(|_| now.at.clock == 0) {
            reset.call1(py, (b,))?;
        }
        let obs: Bound<PyArray2<f32>> = now.obs.to_pyarray(py).reshape([b, o])?;
        let answer = self.policy.call1(py, (obs,))?;
        let found: PyReadonlyArray2<f32> = answer.extract(py).map_err(|_| {
            let what = format!("policy: gave no float32 array of shape ({b}, {a})");
            PyTypeError::new_err(what)
        })?;
        if found.as_array().dim() != (b, a) {
            let shape = found.as_array().dim();
            return Err(PyValueError::new_err(format!(
                "policy: gave actions of shape {shape:?} instead of ({b}, {a})"
            )));
        }
        for (to, from) in action.iter_mut().zip(found.as_array().iter()) {
            *to = *from;
        }
        faultless(&*self.env, action)
    }
}

impl Acts for Called {
    fn act(&self, now: &Moment, _: &mut [f32], action: &mut [f32]) {
        if let Err(e) = Python::attach(|py| self.ask(py, now, action)) {
            if let Ok(mut failed) = self.failed.lock() {
                *failed = Some(e);
            }
            self.stop.store(true, Ordering::Relaxed);
        }
        check(&self.stop);
    }
    fn counts(&self) -> Option<RuleCounts> {
        None
    }
}

/// A policy of Python, judged as the task's own agents are.
#[pyfunction]
pub fn judge(
    py: Python,
    task: &str,
    sets: Vec<String>,
    whole: bool,
    name: &str,
    policy: Py<PyAny>,
) -> PyResult<String> {
    let env = embed::client(TASKS, task, &sets, whole).map_err(wrong)?.env;
    let reset = policy.getattr(py, "reset").ok().filter(|reset| reset.bind(py).is_callable());
    let failed = Arc::new(Mutex::new(None));
    let rule = Called { policy, reset, env, failed: failed.clone(), stop: AtomicBool::new(false) };
    // In this thread: what the policy uses may know of one thread only.
    let rule: Arc<dyn Acts> = Arc::new(rule);
    let answer = pool::at_once(py, move || embed::judge(TASKS, task, &sets, whole, name, rule, &Quiet));
    let own = failed.lock().map_err(|_| PyRuntimeError::new_err("the policy's error was lost"))?.take();
    match own {
        Some(e) => Err(e),
        None => Ok(answer?.map_err(wrong)?.to_string()),
    }
}
