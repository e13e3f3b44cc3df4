//! Policies for PyTorch and back: safetensors files of one replica's networks under PyTorch's names, with what they are
//! made of as metadata, and checkpoints of files that were changed elsewhere.

use super::checkpoint::{Checkpoint, bare, finite, with_metadata};
use super::errors::CheckpointError;
use super::export::{ExportError, known};
use super::task::Task;
use crate::learn::Algorithm;
use crate::nets::experts::{Decision, ExpertsLayout, Scheduler};
use crate::nets::{Activation, Head, Policy};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FORMAT: &str = "isacbench-torch-1";

/// What a module must be made of to hold these networks.
fn architecture(algorithm: &Algorithm, policy: Option<&Policy>) -> Value {
    match (algorithm, policy) {
        (_, Some(policy)) => {
            let prefix = if matches!(policy.head, Head::Factored { .. }) { "q." } else { "actor." };
            let act = match policy.net.layers[0].act {
                Activation::Relu => "relu",
                _ => "tanh",
            };
            let population = policy.net.population.map(|p| json!({ "fields": p.fields, "gain": p.gain }));
            let head = match &policy.head {
                Head::Gaussian { .. } => json!({ "kind": "gaussian" }),
                Head::Tanh { scale } => json!({ "kind": "tanh", "scale": scale }),
                Head::Factored { codebook: b } => json!({
                    "kind": "factored", "factors": b.factors, "parts": b.parts, "width": b.width,
                    "beams": b.beams, "levels": b.levels, "additive": b.additive,
                }),
            };
            json!({
                "kind": "policy", "prefix": prefix, "activation": act, "lif": policy.net.lif,
                "population": population, "head": head,
            })
        }
        (Algorithm::Experts(spec), None) => experts(&spec.layout),
        (_, None) => unreachable!("every other algorithm has a policy"),
    }
}

fn experts(layout: &ExpertsLayout) -> Value {
    let (scheduler, count) = match layout.architecture.scheduler {
        Scheduler::Lstm => ("lstm", 0),
        Scheduler::Trunk => ("trunk", 1),
        Scheduler::Mixture { experts } => ("mixture", experts),
    };
    let gated = matches!(&layout.decision, Decision::Shared { gate: Some(_), .. });
    json!({
        "kind": "experts", "scheduler": scheduler, "experts": count, "gate": gated, "vehicles": layout.vehicles,
        "antennas": layout.antennas, "phase": layout.phase, "seen": layout.seen(), "obs": layout.obs,
    })
}

/// The networks of a replica as a safetensors file: tensors under PyTorch's names and shapes, without an axis of
/// replicas.
///
/// # Errors
/// A replica that is not there, and weights that are not finite.
pub fn torch<C: Task>(c: &Checkpoint<C>, replica: usize) -> Result<Vec<u8>, ExportError> {
    if replica >= c.seeds.len() {
        return Err(ExportError::Replica(replica, c.seeds.len() - 1));
    }
    let algorithm = c.algorithm();
    let width = algorithm.params();
    let params = &c.state.params[replica * width..][..width];
    let failed = |e: &dyn std::fmt::Display| ExportError::Agent(c.agent.clone(), e.to_string());
    let tensors = algorithm.tensors();
    let views = tensors.iter().map(|t| {
        finite("the checkpoint", &t.name, &params[t.range()]).map_err(|e| failed(&e))?;
        let bytes = bytemuck::cast_slice::<f32, u8>(&params[t.range()]);
        let view = TensorView::new(Dtype::F32, t.shape.clone(), bytes).map_err(|e| failed(&e))?;
        Ok((t.name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, ExportError>>()?;
    let more = [
        ("format", FORMAT.to_string()),
        ("architecture", architecture(&algorithm, algorithm.policy().as_ref()).to_string()),
    ];
    let metadata: BTreeMap<String, String> = known(c, replica, &more).into_iter().collect();
    let bytes = safetensors::serialize(views, None).map_err(|e| failed(&e))?;
    with_metadata(&bytes, &metadata).map_err(|e| failed(&e))
}

/// The text of a key in a file's metadata.
fn field(bytes: &[u8], name: &str, key: &str) -> Result<String, CheckpointError> {
    let damaged = |e: String| CheckpointError::Damaged(name.into(), e);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
    let found = header.metadata().as_ref().and_then(|m| m.get(key).cloned());
    found.ok_or_else(|| {
        damaged(format!("no '{key}' in its metadata: was it written by `export --format torch`?"))
    })
}

/// The task whose policy a file holds; `name` is the file's in errors.
///
/// # Errors
/// A file that is none of [`torch`]'s.
pub fn task_of(bytes: &[u8], name: &str) -> Result<String, CheckpointError> {
    let format = field(bytes, name, "format")?;
    if format != FORMAT {
        let what = format!("format '{format}', this program reads '{FORMAT}'");
        return Err(CheckpointError::Damaged(name.into(), what));
    }
    field(bytes, name, "task")
}

/// A checkpoint of one replica with the weights of a file, whose metadata are those that [`torch`] wrote. Takes memory
/// in proportion to `bytes`.
///
/// # Errors
/// What is missing, of another shape or not finite; a configuration or an agent that this program does not know.
pub fn from_torch<C: Task>(bytes: &[u8], name: &str) -> Result<Checkpoint<C>, CheckpointError> {
    let damaged = |e: String| CheckpointError::Damaged(name.into(), e);
    let text = field(bytes, name, "configuration")?;
    let config =
        C::from_toml(&text, "its configuration").map_err(|e| CheckpointError::Config(name.into(), e))?;
    let agent = field(bytes, name, "agent")?;
    config.relations_for(&agent).map_err(|e| CheckpointError::Config(name.into(), e))?;
    let number = |key: &str| -> Result<f64, CheckpointError> {
        let text = field(bytes, name, key)?;
        text.parse().map_err(|_| damaged(format!("'{key}' in its metadata: '{text}' is no number")))
    };
    let seed = number("seed")?;
    if !(0.0..=f64::from(u32::MAX)).contains(&seed) || seed.fract() != 0.0 {
        return Err(damaged(format!("'seed' in its metadata: {seed} is no seed")));
    }
    let swept = number(C::SCHEMA.swept.name)?;
    let updates = number("updates")?.clamp(0.0, f64::from(u32::MAX)) as u32;
    let found = C::agent(&agent).filter(|a| a.is_learned());
    let found =
        found.ok_or_else(|| damaged(format!("agent '{agent}', which this program does not train")))?;
    let algorithm = config.algorithm_at(found, &[(swept, seed as u32)]).expect("a learned agent");
    let (tensors, width) = (algorithm.tensors(), algorithm.params());
    if width.saturating_mul(size_of::<f32>()) > bytes.len() {
        return Err(damaged(format!("{} bytes for {width} parameters", bytes.len())));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let mut state = bare(0, updates);
    state.params = vec![0.0; width];
    for t in &tensors {
        let wrong =
            |what: String| CheckpointError::Tensor { file: name.into(), tensor: t.name.clone(), what };
        let view = file.tensor(&t.name).map_err(|_| wrong("is missing".into()))?;
        if view.dtype() != Dtype::F32 || view.shape() != t.shape {
            return Err(wrong(format!("is {:?} {:?}, not F32 {:?}", view.dtype(), view.shape(), t.shape)));
        }
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        finite(name, &t.name, &values)?;
        state.params[t.range()].copy_from_slice(&values);
    }
    Ok(Checkpoint { config, agent, seeds: vec![seed as u32], swept: vec![swept], state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    fn checkpoint<C: Task>(sets: &[&str], agent: &str) -> Checkpoint<C> {
        let config = C::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let replicas = [(config.swept(), 3), (config.swept(), 4)];
        let state = config.algorithm_at(C::agent(agent).unwrap(), &replicas).unwrap().start();
        let (swept, seeds) = replicas.into_iter().unzip();
        Checkpoint { config, agent: agent.into(), seeds, swept, state }
    }

    fn there_and_back<C: Task>(sets: &[&str], agent: &str) {
        let c = checkpoint::<C>(sets, agent);
        let bytes = torch(&c, 1).unwrap();
        assert_eq!(bytes, torch(&c, 1).unwrap(), "equal policies are equal files");
        assert_eq!(task_of(&bytes, "x").unwrap(), C::NAME);
        let back = from_torch::<C>(&bytes, "x").unwrap();
        let width = c.algorithm().params();
        assert!(back.state.params == c.state.params[width..], "{agent}");
        assert_eq!(
            (back.seeds.as_slice(), &back.swept, &back.agent),
            (&[4][..], &vec![c.swept[1]], &c.agent)
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        back.save_weights(&path).unwrap();
        assert!(Checkpoint::<C>::load(&path).unwrap().state.params == back.state.params);
        assert_eq!(torch(&c, 2).err(), Some(ExportError::Replica(2, 1)));
    }

    #[test]
    fn weights_come_back_as_they_went() {
        let small = ["ppo.hidden=[9]", "ddpg.hidden=[9]", "dqn.hidden=[9]", "spiking.hidden=[8]"];
        for agent in ["ppo", "ddpg", "dqn", "apg", "spiking-ac"] {
            there_and_back::<V2xConfig>(&small, agent);
        }
        there_and_back::<V2xConfig>(
            &["spiking.hidden=[8]", "spiking.population=4", "spiking.learn_leak=true"],
            "spiking-ac",
        );
        for agent in MisacConfig::agents().iter().filter(|a| a.is_learned()) {
            there_and_back::<MisacConfig>(&["task.antennas=8"], agent.id);
        }
    }

    /// Cut short, of other tensors, of another configuration: an error that names the file.
    #[test]
    fn damaged_files_are_refused() {
        let bytes = torch(&checkpoint::<V2xConfig>(&["ppo.hidden=[9]"], "ppo"), 0).unwrap();
        for n in (0..bytes.len()).step_by(97) {
            let e = from_torch::<V2xConfig>(&bytes[..n], "cut").err().expect("cut short").to_string();
            assert!(e.contains("cut"), "{e}");
        }
        let replaced = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the header");
            let mut out = bytes.clone();
            out[at..at + to.len()].copy_from_slice(to.as_bytes());
            let e = task_of(&out, "odd").and_then(|_| from_torch::<V2xConfig>(&out, "odd").map(drop));
            e.expect_err("not what it was").to_string()
        };
        assert!(replaced("actor.fc1.weight", "actor.fc7.weight").contains("actor.fc1.weight"));
        assert!(replaced("isacbench-torch-1", "isacbench-torch-9").contains("isacbench-torch-1"));
        assert!(replaced("\"agent\":\"ppo\"", "\"agent\":\"ddd\"").contains("ddd"));
        assert!(replaced("\"seed\":\"3\"", "\"seed\":\"x\"").contains("seed"));
        let other = torch(&checkpoint::<MisacConfig>(&["task.antennas=8"], "ppo-mono"), 0).unwrap();
        assert!(from_torch::<V2xConfig>(&other, "other").is_err());
        let mut nan = bytes.clone();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(from_torch::<V2xConfig>(&nan, "nan").err().unwrap().to_string().contains("NaN"));
    }
}
