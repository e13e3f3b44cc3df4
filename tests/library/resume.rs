//! Checkpoints: a training that is continued from a file equals one that never stopped, and what is wrong with a file
//! is said.

use crate::common::shared_gpu;
use crate::small_ppo::{TWO, assert_same_bits, config, continued, spec, trained};
use isacbench::config::ConfigError;
use isacbench::gpu::Gpu;
use isacbench::learn::{Algorithm, LearnerState, PpoSpec};
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::errors::CheckpointError;
use isacbench::run::task::Task;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Learning rates that fall, so that their progress must survive, and a beam that is not the preset's.
const SETS: [&str; 5] =
    ["task.beam=tracking", "task.slots=20", "ppo.horizon=20", "ppo.minibatch=80", "ppo.lr_final_share=0.1"];

fn checkpoint(state: LearnerState) -> Checkpoint<V2xConfig> {
    let (seeds, swept) = TWO.into_iter().unzip();
    Checkpoint { config: config(&SETS), agent: "ppo".into(), seeds, swept, state }
}

/// A checkpoint of fresh weights.
fn fresh() -> Checkpoint<V2xConfig> {
    let c = checkpoint(LearnerState {
        params: vec![],
        m: vec![],
        v: vec![],
        adam_steps: 0,
        updates: 0,
        extra: vec![],
    });
    let state = c.algorithm().start();
    Checkpoint { state, ..c }
}

fn resumed(what: &str, gpu: Option<&Arc<Gpu>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.safetensors");
    let spec = ppo(&fresh());
    let (whole, metrics) = trained(&spec, 4, gpu);

    let (half, first) = continued(&spec, &LearnerState::new(&spec), 2, 4, gpu);
    assert_eq!(half.updates, 2);
    checkpoint(half.clone()).save(&path).unwrap();
    let read = Checkpoint::<V2xConfig>::load(&path).unwrap();
    assert_same_bits(&format!("{what}, saved and read"), &half, &read.state);
    assert_eq!((read.agent.as_str(), &read.config), ("ppo", &fresh().config));
    let (rest, second) = continued(&ppo(&read), &read.state, 4, 4, gpu);
    assert_same_bits(&format!("{what}, resumed"), &whole, &rest);
    assert_eq!(metrics, [first, second].concat(), "{what}: metrics");
    assert_ne!(half.params, whole.params, "{what}: the second half changed nothing");
}

/// The specification in a checkpoint of PPO.
fn ppo(c: &Checkpoint<V2xConfig>) -> PpoSpec {
    let Algorithm::Ppo(spec) = c.algorithm() else { panic!("a checkpoint of agent {}", c.agent) };
    spec
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_on_the_cpu() {
    resumed("CPU", None);
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_on_the_gpu() {
    if let Some(gpu) = shared_gpu() {
        resumed("GPU", Some(gpu));
    }
}

/// What a checkpoint's replicas are is what the tests' own specification is.
#[test]
fn the_specification_survives() {
    let ours = spec(&config(&SETS), &TWO);
    let its = ppo(&fresh());
    assert_eq!(format!("{ours:?}"), format!("{its:?}"));
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// A valid checkpoint with something changed.
fn changed(dir: &Path, change: impl FnOnce(&mut Tensors, &mut HashMap<String, String>)) -> PathBuf {
    let path = dir.join("changed.safetensors");
    fresh().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors =
        file.iter().map(|(n, t)| (n.to_string(), (t.shape().to_vec(), t.data().to_vec()))).collect();
    let mut meta = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
    change(&mut tensors, &mut meta);
    let views = tensors
        .iter()
        .map(|(n, (shape, data))| (n.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    std::fs::write(&path, safetensors::serialize(views, Some(meta)).unwrap()).unwrap();
    path
}

fn error_of(path: &Path) -> CheckpointError {
    let e =
        Checkpoint::<V2xConfig>::load(path).err().unwrap_or_else(|| panic!("{} was read", path.display()));
    assert!(
        e.to_string().contains(&*path.file_name().unwrap().to_string_lossy()),
        "the file is not named: {e}"
    );
    e
}

#[test]
fn an_unchanged_copy_is_read() {
    let dir = tempfile::tempdir().unwrap();
    assert_same_bits(
        "copy",
        &Checkpoint::<V2xConfig>::load(&changed(dir.path(), |_, _| {})).unwrap().state,
        &fresh().state,
    );
}

#[test]
fn damaged_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let tensor_error = |path: &Path, tensor: &str, what: &str| match error_of(path) {
        CheckpointError::Tensor { tensor: t, what: w, .. } => {
            assert!(t == tensor && w.contains(what), "{t}: {w}")
        }
        other => panic!("{other}"),
    };
    for (tensor, bad) in [
        ("critic.fc2.bias", f32::NAN),
        ("adam_m.log_std", f32::INFINITY),
        ("adam_v.actor.fc1.weight", f32::NEG_INFINITY),
    ] {
        let path = changed(dir.path(), |t, _| {
            t.get_mut(tensor).unwrap().1[8..12].copy_from_slice(&bad.to_le_bytes())
        });
        tensor_error(&path, tensor, "at element 2");
    }
    for tensor in ["log_std", "adam_v.critic.fc3.bias"] {
        let path = changed(dir.path(), |t, _| drop(t.remove(tensor).unwrap()));
        tensor_error(&path, tensor, "is missing");
    }
    // The same number of elements, in another shape.
    let path = changed(dir.path(), |t, _| t.get_mut("actor.fc1.weight").unwrap().0.swap(1, 2));
    tensor_error(&path, "actor.fc1.weight", "[2, 12, 16], not F32 [2, 16, 12]");
}

#[test]
fn damaged_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.safetensors");
    fresh().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for broken in [
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
        &whole[..7],
        &[],
        b"no safetensors file, but long enough to be one",
    ] {
        std::fs::write(&path, broken).unwrap();
        assert!(matches!(error_of(&path), CheckpointError::Damaged(..)), "{} bytes", broken.len());
    }
    assert!(matches!(error_of(&dir.path().join("absent.safetensors")), CheckpointError::Read(..)));
}

#[test]
fn damaged_metadata_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |_, m| m.get_mut("config").unwrap().insert_str(0, "colour = \"blue\"\n"));
    match error_of(&path) {
        CheckpointError::Config(_, e) => {
            assert!(matches!(&e, ConfigError::Parse(_, what) if what.contains("colour")), "{e}")
        }
        other => panic!("{other}"),
    }
    for (key, value) in
        [("seeds", "[3]"), ("seeds", "three"), ("adam_steps", "-1"), ("format", "isacbench-0")]
    {
        let path = changed(dir.path(), |_, m| drop(m.insert(key.into(), value.into())));
        assert!(matches!(error_of(&path), CheckpointError::Damaged(..)), "{key} = {value}");
    }
    for key in ["format", "config", "agent", "seeds", "p_max_dbm", "adam_steps", "updates"] {
        let path = changed(dir.path(), |_, m| drop(m.remove(key).unwrap()));
        let e = error_of(&path);
        assert!(matches!(&e, CheckpointError::Damaged(_, what) if what.contains(key)), "{e}");
    }
}

#[test]
fn a_failed_save_leaves_the_older_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.safetensors");
    fresh().save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();

    // A state that could not be read again.
    let mut diverged = fresh();
    diverged.state.params[40] = f32::NAN;
    let e = diverged.save(&path).unwrap_err();
    assert!(matches!(&e, CheckpointError::Tensor { tensor, .. } if tensor == "actor.fc1.weight"), "{e}");
    assert!(std::fs::read(&path).unwrap() == before && files() == 1);

    // A name at which no file can be: the rename at the end fails, and nothing is left behind.
    let taken = dir.path().join("taken.safetensors");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("inside"), "kept").unwrap();
    let e = fresh().save(&taken).unwrap_err();
    assert!(matches!(&e, CheckpointError::Write(file, _) if file.contains("taken")), "{e}");
    assert!(files() == 2 && taken.join("inside").exists());

    // The temporary file cannot be made.
    std::fs::create_dir(dir.path().join(format!(".run.safetensors.{}.tmp", std::process::id()))).unwrap();
    let mut other = fresh();
    other.state.params[0] += 1.0;
    assert!(matches!(other.save(&path), Err(CheckpointError::Write(..))));
    assert!(std::fs::read(&path).unwrap() == before, "the older file changed");
}

/// A run that is lengthened is warned of by the key that follows its length: it must be one that can be set.
#[test]
fn what_follows_the_length_of_a_run_is_a_key_of_its_agent() {
    fn keys<C: Task>(names: &[&str]) -> Vec<&'static str> {
        let mut out = Vec::new();
        for agent in C::agents().iter().filter(|a| a.is_learned()) {
            let mut config = C::load(None, &[]).unwrap();
            while let Some(key) = config.algorithm(agent, &[]).unwrap().follows_length() {
                let (section, name) = key.split_once('.').unwrap();
                assert!(config.table()[section].get(name).is_some(), "{}: no key {key}", agent.id);
                out.push(key);
                let fixed = match name {
                    "noise_share" => &format!("{section}.noise_final=0.5 {section}.noise_start=0.5"),
                    "epsilon_share" => "dqn.epsilon_final=0.5 dqn.epsilon_start=0.5",
                    _ => &format!("{key}=1.0"),
                };
                let sets: Vec<String> = fixed.split(' ').map(String::from).collect();
                let next = config.with(&sets).unwrap();
                assert!(next != config, "{}: {key} is not what follows the length", agent.id);
                config = next;
            }
        }
        assert!(names.iter().all(|n| out.contains(n)), "{out:?}");
        out
    }
    keys::<V2xConfig>(&["ppo.lr_final_share", "ddpg.noise_share", "dqn.epsilon_share"]);
    keys::<MisacConfig>(&["temporal.lr_final_share"]);
}
