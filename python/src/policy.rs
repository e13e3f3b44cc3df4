//! Trained policies.

use crate::TASKS;
use crate::envs::wrong;
use crate::pool;
use isacbench::cli::embed;
use isacbench::run::actor::{Actor, Decided, Mode};
use isacbench::run::registry::AnyCheckpoint;
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;

/// The agents of a checkpoint, one replica of which acts.
#[pyclass(frozen, module = "isacbench._core")]
pub struct Policy {
    checkpoint: Box<dyn AnyCheckpoint>,
    actor: Actor,
    replica: usize,
}

/// Reads a checkpoint; `replica` acts.
#[pyfunction]
pub fn load(py: Python, path: PathBuf, replica: usize) -> PyResult<Policy> {
    let checkpoint = pool::at_once(py, || embed::checkpoint(TASKS, &path))?.map_err(wrong)?;
    let replicas = checkpoint.replicas();
    if replica >= replicas {
        return Err(PyValueError::new_err(format!("replica: {replica}, the checkpoint has {replicas}")));
    }
    let actor = pool::at_once(py, || checkpoint.actor(replica))?;
    Ok(Policy { checkpoint, actor, replica })
}

/// A decision: actions `[B, A]`, phases `[B, K·M]` if they were wanted, memory `[B, M]`.
type Decision<'py> =
    (Bound<'py, PyArray2<f32>>, Option<Bound<'py, PyArray2<f32>>>, Bound<'py, PyArray2<f32>>);

#[pymethods]
impl Policy {
    #[getter]
    fn task(&self) -> &str {
        self.checkpoint.task()
    }
    #[getter]
    fn agent(&self) -> &str {
        self.checkpoint.agent()
    }
    #[getter]
    fn replicas(&self) -> usize {
        self.checkpoint.replicas()
    }
    #[getter]
    fn replica(&self) -> usize {
        self.replica
    }
    #[getter]
    fn seeds(&self) -> Vec<u32> {
        self.checkpoint.seeds().to_vec()
    }
    /// The configuration of the replica, as TOML.
    #[getter]
    fn config(&self) -> String {
        self.checkpoint.config(self.replica)
    }
    /// O, A, numbers of memory, phases.
    #[getter]
    fn sizes(&self) -> (usize, usize, usize, usize) {
        let [o, a] = self.actor.sizes();
        (o, a, self.actor.memory(), self.actor.phases())
    }

    /// The policy as an ONNX file's bytes.
    fn onnx<'py>(&self, py: Python<'py>, raw: bool) -> PyResult<Bound<'py, PyBytes>> {
        let found = pool::at_once(py, || self.checkpoint.onnx(self.replica, raw))?;
        Ok(PyBytes::new(py, &found.map_err(|e| PyValueError::new_err(e.to_string()))?))
    }

    /// Its networks for PyTorch.
    fn torch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let found = pool::at_once(py, || self.checkpoint.torch(self.replica))?;
        Ok(PyBytes::new(py, &found.map_err(|e| PyValueError::new_err(e.to_string()))?))
    }

    /// Its spiking network as a NIR file, and what readers must know.
    fn nir<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Vec<String>)> {
        let found = pool::at_once(py, || self.checkpoint.nir(self.replica))?;
        let (bytes, warnings) = found.map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok((PyBytes::new(py, &bytes), warnings))
    }

    /// Decides for `obs` `[B, O]` after `memory` `[B, M]`.
    #[allow(clippy::too_many_arguments, reason = "what a decision depends on")]
    fn act<'py>(
        &self,
        py: Python<'py>,
        obs: PyReadonlyArray2<f32>,
        memory: PyReadonlyArray2<f32>,
        greedy: bool,
        seed: u32,
        clock: u32,
        phases: bool,
    ) -> PyResult<Decision<'py>> {
        let [o, a] = self.actor.sizes();
        let (b, width) = (obs.as_array().nrows(), obs.as_array().ncols());
        if width != o || b == 0 {
            return Err(PyValueError::new_err(format!("obs: shape ({b}, {width}) instead of (B, {o})")));
        }
        let m = self.actor.memory();
        if memory.as_array().dim() != (b, m) {
            let found = memory.as_array().dim();
            return Err(PyValueError::new_err(format!("state: shape {found:?} instead of ({b}, {m})")));
        }
        let contiguous = |name| PyValueError::new_err(format!("{name}: not contiguous"));
        let obs = obs.as_slice().map_err(|_| contiguous("obs"))?;
        if let Some(i) = obs.iter().position(|x| !x.is_finite()) {
            return Err(PyValueError::new_err(format!("obs: {} at [{}, {}]", obs[i], i / o, i % o)));
        }
        let mut memory = memory.as_slice().map_err(|_| contiguous("state"))?.to_vec();
        let mut action = vec![0.0; b * a];
        let mut phi = vec![0.0; if phases { b * self.actor.phases() } else { 0 }];
        let (actor, mode) = (&self.actor, Mode { greedy, key: [seed, 0], clock });
        pool::at_once(py, || {
            let out = Decided { action: &mut action, phases: (!phi.is_empty()).then_some(&mut phi[..]) };
            actor.act(obs, mode, &mut memory, out);
        })?;
        let matrix = |x: Vec<f32>, columns: usize| x.to_pyarray(py).reshape([b, columns]);
        let phi = if phases { Some(matrix(phi, self.actor.phases())?) } else { None };
        Ok((matrix(action, a)?, phi, matrix(memory, m)?))
    }
}
