//! Environments.

use crate::TASKS;
use crate::pool;
use isacbench::cli::embed;
use isacbench::env::stepper::{Autoreset, StepOutputs, Stepper, StepperError};
use isacbench::env::{At, Component, Env, Sizes, StepSlices};
use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArrayDyn};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Instant;

/// Environments that a thread steps by itself: a pool would cost more than it saves.
const FEW: usize = 256;

/// What of a task Python makes spaces and names of, as JSON.
#[pyfunction]
pub fn spec(task: &str, sets: Vec<String>, whole: bool) -> PyResult<String> {
    let client = embed::client(TASKS, task, &sets, whole).map_err(wrong)?;
    let Sizes { slots, .. } = client.env.sizes();
    let components = |all: Vec<Component>| {
        let number = |x: f32| if x.is_finite() { json!(x) } else { Value::Null };
        let one = |c: Component| json!({ "name": c.name, "unit": c.unit, "low": number(c.low), "high": number(c.high) });
        all.into_iter().map(one).collect::<Vec<_>>()
    };
    let metrics = client.env.metrics();
    // The last rows are samples of distributions, not metrics of a slot.
    let told = metrics.len() - client.env.samples().map_or(0, |s| s.len());
    let metrics: Vec<_> =
        metrics.iter().take(told).map(|m| json!({ "name": m.name, "about": m.about })).collect();
    Ok(json!({
        "task": task,
        "episode_slots": slots,
        "observation": components(client.env.observation()),
        "action": components(client.env.action()),
        "metrics": metrics,
        "config": client.config,
    })
    .to_string())
}

/// What is wrong with a name or a key.
pub fn wrong(e: anyhow::Error) -> PyErr {
    PyValueError::new_err(format!("{e:#}"))
}

/// Some environments of a task. Arrays come from Python and are written in place.
#[pyclass(frozen, module = "isacbench._core")]
pub struct Envs {
    stepper: Mutex<Stepper>,
    /// The same environment, for what is asked of it while it is stepped.
    env: Arc<dyn Env>,
    envs: usize,
}

/// A step or reset that came while another one was not over.
fn in_use() -> PyErr {
    PyRuntimeError::new_err("these environments are in use by another thread: take one for each")
}

/// An array that no other call is writing.
fn writable<'py, T: numpy::Element>(
    array: &Bound<'py, PyArrayDyn<T>>,
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    array.try_readwrite().map_err(|_| in_use())
}

/// One dimension of an array for each environment.
fn flat<'a, T: numpy::Element>(
    name: &str,
    array: &'a mut PyReadwriteArrayDyn<T>,
    len: usize,
) -> PyResult<&'a mut [T]> {
    let slice = array.as_slice_mut().map_err(|_| PyValueError::new_err(format!("{name}: not contiguous")))?;
    if slice.len() != len {
        return Err(PyValueError::new_err(format!("{name}: {} numbers instead of {len}", slice.len())));
    }
    Ok(slice)
}

impl Envs {
    fn lock(&self) -> PyResult<MutexGuard<'_, Stepper>> {
        match self.stepper.try_lock() {
            Ok(stepper) => Ok(stepper),
            Err(TryLockError::WouldBlock) => Err(in_use()),
            Err(TryLockError::Poisoned(_)) => {
                Err(PyRuntimeError::new_err("these environments failed in an earlier call: make new ones"))
            }
        }
    }

    /// Work on the environments without the interpreter's lock.
    fn work<T: Send>(
        &self,
        py: Python,
        job: impl FnOnce(&mut Stepper, Option<&ThreadPool>) -> T + Send,
    ) -> PyResult<T> {
        let mut stepper = self.lock()?;
        let stepper = &mut *stepper;
        // Few environments are one part, and no other thread gets any of it.
        let pool = if self.envs <= FEW { None } else { Some(pool::pool()?) };
        pool::at_once(py, || job(stepper, pool.as_deref()))
    }
}

fn refused(e: StepperError) -> PyErr {
    match e {
        StepperError::Saved(_) => PyValueError::new_err(e.to_string()),
        _ => PyRuntimeError::new_err(e.to_string()),
    }
}

#[pymethods]
impl Envs {
    /// `mode`: `next_step`, `same_step` or `disabled`.
    #[new]
    fn new(
        task: &str,
        sets: Vec<String>,
        whole: bool,
        num_envs: usize,
        mode: &str,
        seed: u32,
    ) -> PyResult<Self> {
        let mode = match mode {
            "next_step" => Autoreset::NextStep,
            "same_step" => Autoreset::SameStep,
            "disabled" => Autoreset::Disabled,
            other => {
                let known = "next_step, same_step, disabled";
                return Err(PyValueError::new_err(format!("autoreset_mode: '{other}' (there are: {known})")));
            }
        };
        if num_envs == 0 {
            return Err(PyValueError::new_err("num_envs: must be at least 1"));
        }
        let env = embed::client(TASKS, task, &sets, whole).map_err(wrong)?.env;
        let Sizes { obs, action, state, metrics, .. } = env.sizes();
        let numbers = 3 * obs + action + state + metrics;
        if num_envs.checked_mul(numbers * 4).is_none_or(|bytes| bytes > 1 << 40) {
            return Err(PyValueError::new_err(format!(
                "num_envs: {num_envs} environments do not fit into memory"
            )));
        }
        let stepper = Mutex::new(Stepper::new(env.clone(), mode, num_envs, seed));
        Ok(Envs { stepper, env, envs: num_envs })
    }

    /// Environments `which` begin anew as environments `numbers` of `seeds` with the next reset.
    fn seed(&self, which: Vec<usize>, seeds: Vec<u32>, numbers: Vec<u32>) -> PyResult<()> {
        let mut stepper = self.lock()?;
        for ((i, seed), number) in which.into_iter().zip(seeds).zip(numbers) {
            if i >= self.envs {
                return Err(PyValueError::new_err(format!("environment {i} of {}", self.envs)));
            }
            stepper.seed(i, seed, number);
        }
        Ok(())
    }

    /// Fresh episodes in those of `mask` `[B]`, or all; writes their rows of `obs` `[B, O]`.
    fn reset(
        &self,
        py: Python,
        obs: &Bound<PyArrayDyn<f32>>,
        mask: Option<PyReadonlyArrayDyn<bool>>,
    ) -> PyResult<()> {
        let mut obs = writable(obs)?;
        let obs = flat("obs", &mut obs, self.envs * self.env.sizes().obs)?;
        let mask = mask.as_ref().map(|m| m.as_slice()).transpose();
        let mask = mask.map_err(|_| PyValueError::new_err("reset_mask: not contiguous"))?;
        if let Some(mask) = mask.filter(|m| m.len() != self.envs) {
            return Err(PyValueError::new_err(format!(
                "reset_mask: {} values for {} environments",
                mask.len(),
                self.envs
            )));
        }
        self.work(py, |stepper, pool| stepper.reset_in(pool, mask, obs))?.map_err(refused)
    }

    /// One slot under `actions` `[B, A]`; writes all other arrays, `metrics` `[metrics, B]` if it is there.
    #[allow(clippy::too_many_arguments, reason = "the arrays of a step")]
    fn step(
        &self,
        py: Python,
        actions: PyReadonlyArrayDyn<f32>,
        obs: &Bound<PyArrayDyn<f32>>,
        final_obs: &Bound<PyArrayDyn<f32>>,
        reward: &Bound<PyArrayDyn<f32>>,
        terminated: &Bound<PyArrayDyn<bool>>,
        truncated: &Bound<PyArrayDyn<bool>>,
        metrics: Option<Bound<PyArrayDyn<f32>>>,
    ) -> PyResult<()> {
        let Sizes { obs: o, action: a, metrics: m, .. } = self.env.sizes();
        let b = self.envs;
        let actions = actions.as_slice().map_err(|_| PyValueError::new_err("actions: not contiguous"))?;
        if actions.len() != b * a {
            return Err(PyValueError::new_err(format!(
                "actions: {} numbers instead of {b} × {a}",
                actions.len()
            )));
        }
        faultless(&*self.env, actions)?;
        let (mut obs, mut final_obs, mut reward) = (writable(obs)?, writable(final_obs)?, writable(reward)?);
        let (mut terminated, mut truncated) = (writable(terminated)?, writable(truncated)?);
        let mut metrics = metrics.as_ref().map(writable).transpose()?;
        let out = StepOutputs {
            obs: flat("obs", &mut obs, b * o)?,
            final_obs: flat("final_obs", &mut final_obs, b * o)?,
            reward: flat("reward", &mut reward, b)?,
            terminated: flat("terminated", &mut terminated, b)?,
            truncated: flat("truncated", &mut truncated, b)?,
            metrics: metrics.as_mut().map(|x| flat("metrics", x, m * b)).transpose()?,
        };
        self.work(py, |stepper, pool| stepper.step_in(pool, actions, out))?.map_err(refused)
    }

    /// Rows of the metrics, those of samples among them.
    fn metric_rows(&self) -> usize {
        self.env.sizes().metrics
    }

    /// All that a copy needs to go on identically.
    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.lock()?.save()))
    }

    fn load(&self, bytes: &[u8]) -> PyResult<()> {
        self.lock()?.load(bytes).map_err(refused)
    }
}

/// That actions `[B, A]` are finite and none is out of what the task allows.
pub fn faultless(env: &dyn Env, actions: &[f32]) -> PyResult<()> {
    let a = env.sizes().action;
    // All of them at once, without a branch: where they are is looked for when there is one.
    if !actions.iter().fold(true, |all, x| all & x.is_finite()) {
        let i = actions.iter().position(|x| !x.is_finite()).unwrap_or_default();
        let (e, n) = (i / a, i % a);
        return Err(PyValueError::new_err(format!("actions: {} in environment {e}, number {n}", actions[i])));
    }
    match env.fault(0, actions) {
        Some((e, what)) => Err(PyValueError::new_err(format!("actions: environment {e}: {what}"))),
        None => Ok(()),
    }
}

/// Environments that a thread carries through all slots of [`physics_rate`], as many as in the program's own bench.
const CARRIED: usize = 256;

/// Their arrays.
struct Carried<'a> {
    at: At,
    action: &'a [f32],
    state: Vec<f32>,
    obs: Vec<f32>,
    final_obs: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
}

impl<'a> Carried<'a> {
    /// Environments from `first` on, at their first slot.
    fn new(env: &dyn Env, first: usize, action: &'a [f32]) -> Self {
        let Sizes { obs, action: a, state, .. } = env.sizes();
        let envs = action.len() / a;
        let mut new = Carried {
            at: At { replica: 0, key: env.key(0), first: first as u32, envs, clock: 0 },
            action,
            state: vec![0.0; state * envs],
            obs: vec![0.0; obs * envs],
            final_obs: vec![0.0; obs * envs],
            reward: vec![0.0; envs],
            flags: vec![0; envs],
        };
        env.reset(&new.at, &mut new.state, &mut new.obs);
        new
    }

    fn run(&mut self, env: &dyn Env, slots: u32) {
        let Carried { at, action, state, obs, final_obs, reward, flags } = self;
        for _ in 0..slots {
            let out = StepSlices { final_obs, reward, flags, metrics: None, full: false };
            env.step(at, action, state, obs, out);
            at.clock += 1;
        }
    }
}

/// Slots a second of a task's environments by themselves, all of them together: what a client's steps are compared
/// with. `actions` `[B, A]` are those of every slot.
#[pyfunction]
pub fn physics_rate(
    py: Python,
    task: &str,
    sets: Vec<String>,
    actions: PyReadonlyArray2<f32>,
    slots: u32,
) -> PyResult<f64> {
    let env = embed::client(TASKS, task, &sets, false).map_err(wrong)?.env;
    let (b, width, a) = (actions.as_array().nrows(), actions.as_array().ncols(), env.sizes().action);
    if width != a || b == 0 {
        return Err(PyValueError::new_err(format!("actions: shape ({b}, {width}) instead of (B, {a})")));
    }
    let actions = actions.as_slice().map_err(|_| PyValueError::new_err("actions: not contiguous"))?;
    faultless(&*env, actions)?;
    pool::detached(py, || {
        let parts = actions.chunks(CARRIED * a).enumerate();
        let mut chunks: Vec<Carried> =
            parts.map(|(n, action)| Carried::new(&*env, n * CARRIED, action)).collect();
        let began = Instant::now();
        chunks.par_iter_mut().for_each(|c| c.run(&*env, slots));
        b as f64 * f64::from(slots) / began.elapsed().as_secs_f64()
    })
}
