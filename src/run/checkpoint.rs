//! Checkpoints: one safetensors file with every tensor of every replica (leading axis R), the optimiser's moments
//! (`adam_m.…`, `adam_v.…`), and the configuration, seeds and progress as metadata. Written whole: to a temporary file,
//! then renamed.

use super::errors::CheckpointError;
use super::task::Task;
use crate::learn::{Algorithm, Extra, LearnerState, REPLAY};
use crate::nets::Tensor;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// A trained (or half-trained) set of replicas of a task with configuration `C`.
pub struct Checkpoint<C: Task> {
    pub config: C,
    pub agent: String,
    pub seeds: Vec<u32>,
    /// Swept value of each replica, [`Task::SWEPT`].
    pub swept: Vec<f64>,
    pub state: LearnerState,
}

/// The second has the paces of `kl_control`; the first is read too.
const FORMAT: &str = "isacbench-2";
const EARLIER: &str = "isacbench-1";
const LAST_READ: &str = "last_read";
/// Names the array that a finished training leaves out.
const LEFT_OUT: &str = "left_out";

/// The task whose agents a checkpoint file holds.
///
/// # Errors
/// A file that cannot be read or is no checkpoint.
pub fn task_of(path: &Path) -> Result<String, CheckpointError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| CheckpointError::Read(name.clone(), e))?;
    let damaged = |e: String| CheckpointError::Damaged(name.clone(), e);
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let meta = header.metadata().as_ref();
    let text =
        meta.and_then(|m| m.get("config")).ok_or_else(|| damaged("no 'config' in its metadata".into()))?;
    let table: toml::Table = text.parse().map_err(|_| damaged("its configuration is no TOML".into()))?;
    let task = table.get("task").and_then(|t| t.get("name")).and_then(toml::Value::as_str);
    task.map(str::to_string).ok_or_else(|| damaged("its configuration names no task".into()))
}

/// What [`Checkpoint::save_beside_rows`] wrote down; `None` of a file that says nothing of it.
pub fn last_read(bytes: &[u8]) -> Option<Option<u32>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let text = header.metadata().as_ref()?.get(LAST_READ)?.as_str();
    if text == "none" { Some(None) } else { text.parse().ok().map(Some) }
}

/// Whether a file lacks what a learner needs to go on, because its training is finished.
pub fn is_finished(bytes: &[u8]) -> bool {
    let header = SafeTensors::read_metadata(bytes).ok();
    header.is_some_and(|(_, h)| h.metadata().as_ref().is_some_and(|m| m.contains_key(LEFT_OUT)))
}

impl<C: Task> Checkpoint<C> {
    /// (swept value, seed) of each replica.
    pub fn replicas(&self) -> Vec<(f64, u32)> {
        self.swept.iter().copied().zip(self.seeds.iter().copied()).collect()
    }

    /// What this checkpoint was learned by. Its agent is a learned one: nothing else can be loaded.
    pub fn algorithm(&self) -> Algorithm {
        let agent = C::agent(&self.agent).expect("an agent of the task");
        self.config.algorithm_at(agent, &self.replicas()).expect("a learned agent")
    }

    /// Drops every replica that was not trained at this swept value.
    pub fn keep(&mut self, swept: f64) {
        let keep: Vec<bool> = self.swept.iter().map(|x| *x == swept).collect();
        let replicas = self.seeds.len();
        let rows = |v: &Vec<f32>| {
            v.chunks((v.len() / replicas).max(1))
                .zip(&keep)
                .filter(|(_, k)| **k)
                .flat_map(|(row, _)| row.iter().copied())
                .collect::<Vec<f32>>()
        };
        self.state = LearnerState {
            params: rows(&self.state.params),
            m: rows(&self.state.m),
            v: rows(&self.state.v),
            extra: self.state.extra.iter().map(|e| Extra { data: rows(&e.data), ..e.clone() }).collect(),
            ..self.state
        };
        self.seeds = self.seeds.iter().zip(&keep).filter(|(_, k)| **k).map(|(s, _)| *s).collect();
        self.swept.retain(|x| *x == swept);
    }

    /// The weights alone of these replicas, in this order.
    pub fn weights_of(&self, replicas: impl IntoIterator<Item = usize>) -> Checkpoint<C> {
        let width = self.state.params.len() / self.seeds.len();
        let mut out = Checkpoint {
            config: self.config.clone(),
            agent: self.agent.clone(),
            seeds: Vec::new(),
            swept: Vec::new(),
            state: bare(self.state.adam_steps, self.state.updates),
        };
        for r in replicas {
            out.seeds.push(self.seeds[r]);
            out.swept.push(self.swept[r]);
            out.state.params.extend(&self.state.params[r * width..][..width]);
        }
        out
    }

    /// Writes the file, replacing an older one only when the new one is complete and holds finite numbers.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.write(path, &[])
    }

    /// The same with the last update whose metrics were read: how often they were may have changed on the way. See
    /// [`last_read`]. Of a training that is `finished`, the replay is left out: hundreds of megabytes that nothing but
    /// a longer training could use.
    pub fn save_beside_rows(
        &self,
        path: &Path,
        last: Option<u32>,
        finished: bool,
    ) -> Result<(), CheckpointError> {
        let mut more = vec![(LAST_READ, last.map_or("none".into(), |u| u.to_string()))];
        if finished && self.state.extra.iter().any(|e| e.name == REPLAY) {
            more.push((LEFT_OUT, REPLAY.into()));
        }
        self.write(path, &more)
    }

    /// Weights that act and are not trained on: without moments of the optimiser, target networks and replay.
    pub fn save_weights(&self, path: &Path) -> Result<(), CheckpointError> {
        let mut all = self.weights_of(0..self.seeds.len());
        let width = all.state.params.len();
        (all.state.m, all.state.v) = (vec![0.0; width], vec![0.0; width]);
        all.state.extra = self.algorithm().start().extra;
        let left_out = all.state.extra.iter().any(|e| e.name == REPLAY);
        let more = left_out.then(|| (LEFT_OUT, REPLAY.to_string()));
        all.write(path, more.as_slice())
    }

    fn write(&self, path: &Path, more: &[(&str, String)]) -> Result<(), CheckpointError> {
        let name = path.display().to_string();
        let algorithm = self.algorithm();
        let (tensors, p) = (algorithm.tensors(), algorithm.params());
        let mut arrays = Vec::new();
        for (prefix, flat) in
            [("", &self.state.params), ("adam_m.", &self.state.m), ("adam_v.", &self.state.v)]
        {
            for t in &tensors {
                // What could not be read again must not take the place of a file that can.
                for replica in flat.chunks(p) {
                    finite(&name, &format!("{prefix}{}", t.name), &replica[t.range()])?;
                }
                let rows: Vec<u8> = flat
                    .chunks(p)
                    .flat_map(|p| bytemuck::cast_slice::<f32, u8>(&p[t.range()]))
                    .copied()
                    .collect();
                let shape: Vec<usize> =
                    std::iter::once(self.seeds.len()).chain(t.shape.iter().copied()).collect();
                arrays.push((format!("{prefix}{}", t.name), shape, rows));
            }
        }
        let left_out = |e: &&Extra| !more.iter().any(|(key, name)| *key == LEFT_OUT && *name == e.name);
        for e in self.state.extra.iter().filter(left_out) {
            finite(&name, &e.name, &e.data)?;
            let shape = std::iter::once(self.seeds.len()).chain(e.shape.iter().copied()).collect();
            arrays.push((e.name.clone(), shape, bytemuck::cast_slice(&e.data).to_vec()));
        }
        let write = |e: String| CheckpointError::Write(name.clone(), e);
        let views = arrays
            .iter()
            .map(|(n, shape, bytes)| {
                TensorView::new(Dtype::F32, shape.clone(), bytes).map(|v| (n.clone(), v))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| write(e.to_string()))?;
        let mut meta = BTreeMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("config".to_string(), self.config.to_toml()),
            ("agent".to_string(), self.agent.clone()),
            ("seeds".to_string(), format!("{:?}", self.seeds)),
            (C::SCHEMA.swept.name.to_string(), format!("{:?}", self.swept)),
            ("adam_steps".to_string(), self.state.adam_steps.to_string()),
            ("updates".to_string(), self.state.updates.to_string()),
        ]);
        meta.extend(more.iter().map(|(key, value)| (key.to_string(), value.clone())));
        let bytes = safetensors::serialize(views, None).map_err(|e| write(e.to_string()))?;
        let bytes = with_metadata(&bytes, &meta).map_err(|e| write(e.to_string()))?;
        crate::files::write_whole(path, &bytes).map_err(|e| write(e.to_string()))
    }

    /// Reads and checks a file: format, shapes, and that every number is finite.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| CheckpointError::Read(name.clone(), e))?;
        Self::from_bytes(&bytes, name)
    }

    /// As [`Checkpoint::load`], of a file's contents; `name` is the file's in errors. Takes memory in proportion to
    /// `bytes`, whatever sizes they claim.
    pub fn from_bytes(bytes: &[u8], name: String) -> Result<Self, CheckpointError> {
        let damaged = |e: String| CheckpointError::Damaged(name.clone(), e);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let meta = header.metadata().clone().unwrap_or_default();
        let field = |key: &str| meta.get(key).ok_or_else(|| damaged(format!("no '{key}' in its metadata")));
        let earlier = field("format")? == EARLIER;
        if field("format")? != FORMAT && !earlier {
            return Err(damaged(format!("format '{}', this program reads '{FORMAT}'", field("format")?)));
        }
        let bad = |key: &str, e: &dyn std::fmt::Display| damaged(format!("'{key}' in its metadata: {e}"));
        let text = field("config")?;
        // Of another task, every key would be wrong: the name says it better.
        let task = |t: toml::Table| Some(t.get("task")?.get("name")?.as_str()?.to_string());
        if let Some(found) = text.parse().ok().and_then(task).filter(|t| t != C::NAME) {
            return Err(CheckpointError::OtherTask { file: name, found, wanted: C::NAME });
        }
        let config =
            C::from_toml(text, "its configuration").map_err(|e| CheckpointError::Config(name.clone(), e))?;
        config.relations_for(field("agent")?).map_err(|e| CheckpointError::Config(name.clone(), e))?;
        let seeds: Vec<u32> = serde_json::from_str(field("seeds")?).map_err(|e| bad("seeds", &e))?;
        let swept: Vec<f64> =
            serde_json::from_str(field(C::SCHEMA.swept.name)?).map_err(|e| bad(C::SCHEMA.swept.name, &e))?;
        if seeds.is_empty() || swept.len() != seeds.len() {
            return Err(damaged(format!("{} seeds for {} {}", seeds.len(), swept.len(), C::SWEPT.noun)));
        }
        let adam_steps =
            field("adam_steps")?.parse().map_err(|e: std::num::ParseIntError| bad("adam_steps", &e))?;
        let updates = field("updates")?.parse().map_err(|e: std::num::ParseIntError| bad("updates", &e))?;
        let agent = field("agent")?.clone();
        // Without replicas, its arrays beside the weights are empty; their shapes are of one replica.
        let Some(extras) = C::agent(&agent).and_then(|a| config.algorithm(a, &[])).map(|a| a.start().extra)
        else {
            return Err(damaged(format!("agent '{agent}', which this program does not train")));
        };
        let mut out = Checkpoint { agent, config, state: bare(adam_steps, updates), seeds, swept };
        let algorithm = out.algorithm();
        let (tensors, p, replicas) = (algorithm.tensors(), algorithm.params(), out.seeds.len());
        // Before room is made for them: what is a little too short is told with the tensor that is missing.
        if p.saturating_mul(replicas).saturating_mul(size_of::<f32>()) > bytes.len() {
            return Err(damaged(format!("{} bytes for {replicas} replicas of {p} parameters", bytes.len())));
        }
        out.state.params = read_flat(&file, &name, "", &tensors, p, replicas)?;
        out.state.m = read_flat(&file, &name, "adam_m.", &tensors, p, replicas)?;
        out.state.v = read_flat(&file, &name, "adam_v.", &tensors, p, replicas)?;
        // What a learner begins with where an earlier version kept nothing: see `PpoSpec::paces`.
        for e in extras.into_iter().filter(|e| !(earlier && Extra::is_new(&e.name))) {
            let data = match meta.get(LEFT_OUT) {
                // Nothing trains on it, so nothing stands for it.
                Some(name) if *name == e.name => Vec::new(),
                _ => read_array(&file, &name, &e.name, &e.shape, replicas)?,
            };
            out.state.extra.push(Extra { data, ..e });
        }
        Ok(out)
    }
}

/// A state after these steps without any number yet.
pub(super) fn bare(adam_steps: u64, updates: u32) -> LearnerState {
    let [params, m, v] = [(); 3].map(|()| Vec::new());
    LearnerState { params, m, v, adam_steps, updates, extra: Vec::new() }
}

pub(super) fn finite(file: &str, tensor: &str, values: &[f32]) -> Result<(), CheckpointError> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(CheckpointError::Tensor {
            file: file.into(),
            tensor: tensor.into(),
            what: format!("holds {} at element {i}", values[i]),
        }),
        None => Ok(()),
    }
}

/// Puts metadata into a serialised file that has none. The library takes them as a hash map and so writes them in
/// another order every time, while equal checkpoints are to be equal files.
pub(super) fn with_metadata(file: &[u8], meta: &BTreeMap<String, String>) -> serde_json::Result<Vec<u8>> {
    const WORD: usize = size_of::<u64>();
    let (length, rest) = file.split_at(WORD);
    let (tensors, data) = rest.split_at(u64::from_le_bytes(length.try_into().expect("a word")) as usize);
    // `tensors` is a JSON object padded with blanks: {"name":{…},…}
    let mut header = format!("{{\"__metadata__\":{},", serde_json::to_string(meta)?).into_bytes();
    header.extend(&tensors[1..]);
    header.resize(header.len().next_multiple_of(WORD), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat())
}

/// A tensor `[R, shape…]` of finite numbers.
fn read_array(
    file: &SafeTensors,
    name: &str,
    tensor: &str,
    shape: &[usize],
    replicas: usize,
) -> Result<Vec<f32>, CheckpointError> {
    let wrong = |what: String| CheckpointError::Tensor { file: name.into(), tensor: tensor.into(), what };
    let view = file.tensor(tensor).map_err(|_| wrong("is missing".into()))?;
    let want: Vec<usize> = std::iter::once(replicas).chain(shape.iter().copied()).collect();
    if view.dtype() != Dtype::F32 || view.shape() != want {
        return Err(wrong(format!("is {:?} {:?}, not F32 {want:?}", view.dtype(), view.shape())));
    }
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
    finite(name, tensor, &values)?;
    Ok(values)
}

fn read_flat(
    file: &SafeTensors,
    name: &str,
    prefix: &str,
    tensors: &[Tensor],
    p: usize,
    replicas: usize,
) -> Result<Vec<f32>, CheckpointError> {
    let mut flat = vec![0f32; replicas * p];
    for t in tensors {
        let tensor = format!("{prefix}{}", t.name);
        let wrong =
            |what: String| CheckpointError::Tensor { file: name.into(), tensor: tensor.clone(), what };
        let values = read_array(file, name, &tensor, &t.shape, replicas)?;
        // Adam takes the root of its second moments: a negative one would turn the next step into NaN.
        if let Some(i) = values.iter().position(|x| *x < 0.0).filter(|_| prefix == "adam_v.") {
            return Err(wrong(format!("holds {} at element {i}, a mean of squares", values[i])));
        }
        for (r, row) in values.chunks(t.count()).enumerate() {
            flat[r * p..][t.range()].copy_from_slice(row);
        }
    }
    Ok(flat)
}
