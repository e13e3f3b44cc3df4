//! Exported policies beside what other programs computed from their files: `tests/networks`.

use isacbench::cli::{Registered, embed};
use isacbench::run::actor::{Decided, Mode};
use isacbench::run::registry::Entry;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use serde_json::Value;
use std::path::{Path, PathBuf};

static V2X: Entry<V2xConfig> = Entry::new();
static MISAC: Entry<MisacConfig> = Entry::new();

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/networks").join(name)
}

fn floats(v: &Value) -> Vec<f32> {
    match v {
        Value::Array(all) => all.iter().flat_map(floats).collect(),
        x => vec![x.as_f64().unwrap() as f32],
    }
}

/// The graph of an ONNX file: its seventh field. What stands beside it tells of versions.
fn graph(bytes: &[u8]) -> &[u8] {
    let varint = |at: &mut usize| {
        let (mut x, mut shift) = (0u64, 0);
        loop {
            let b = bytes[*at];
            *at += 1;
            x |= u64::from(b & 0x7f) << shift;
            shift += 7;
            if b < 0x80 {
                return x;
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let tag = varint(&mut at);
        let n = varint(&mut at);
        if tag & 7 == 2 {
            if tag >> 3 == 7 {
                return &bytes[at..at + n as usize];
            }
            at += n as usize;
        }
    }
    panic!("no graph")
}

/// Slot by slot, outputs of the policy beside those of onnxruntime; and the exporter still writes the file that was
/// run.
#[test]
fn policies_decide_as_onnxruntime_ran_their_files() {
    let tasks: [&'static dyn Registered; 2] = [&V2X, &MISAC];
    for name in ["v2x-ppo", "v2x-dqn", "v2x-spiking-ac", "misac-h-moe"] {
        let checkpoint = embed::checkpoint(&tasks, &file(&format!("{name}.safetensors"))).unwrap();
        let written = std::fs::read(file(&format!("{name}.onnx"))).unwrap();
        assert!(graph(&checkpoint.onnx(0, true).unwrap()) == graph(&written), "{name}: another graph");
        let told: Value =
            serde_json::from_slice(&std::fs::read(file(&format!("{name}.json"))).unwrap()).unwrap();
        let actor = checkpoint.actor(0);
        let [o, a] = actor.sizes();
        let mut memory: Vec<f32> = Vec::new();
        let mut compared = 0;
        for slot in told["slots"].as_array().unwrap() {
            let obs = floats(&slot["observation"]);
            let envs = obs.len() / o;
            memory.resize(envs * actor.memory(), 0.0);
            let (mut action, mut phases) = (vec![0.0; envs * a], vec![0.0; envs * actor.phases()]);
            let wanted = (!phases.is_empty()).then_some(&mut phases[..]);
            let mode = Mode { greedy: true, key: [0, 0], clock: 0 };
            actor.act(&obs, mode, &mut memory, Decided { action: &mut action, phases: wanted });
            let near = |own: &[f32], key: &str| {
                let there = floats(&slot[key]);
                assert_eq!(own.len(), there.len());
                for (x, y) in own.iter().zip(&there) {
                    assert!((x - y).abs() <= 1e-5 * (1.0 + y.abs()), "{name}, {key}: {x} and {y}");
                }
                own.len()
            };
            if phases.is_empty() {
                compared += near(&action, "action");
            } else {
                compared += near(&phases, "phase_rad");
                let cameras: Vec<f32> =
                    floats(&slot["logit"]).iter().map(|x| f32::from(u8::from(*x > 0.0))).collect();
                assert_eq!(action, cameras, "{name}");
            }
        }
        assert!(compared > 200, "{name}: {compared}");
    }
}

/// The read-out that snnTorch computed from the NIR file, beside the policy's outputs for the same observations.
#[test]
fn a_spiking_policy_decides_as_snntorch_ran_its_file() {
    let tasks: [&'static dyn Registered; 2] = [&V2X, &MISAC];
    let checkpoint = embed::checkpoint(&tasks, &file("v2x-spiking-ac.safetensors")).unwrap();
    let told: Value = serde_json::from_slice(&std::fs::read(file("v2x-spiking-ac.json")).unwrap()).unwrap();
    let obs: Vec<f32> =
        told["slots"].as_array().unwrap().iter().flat_map(|s| floats(&s["observation"])).collect();
    let actor = checkpoint.actor(0);
    let [o, a] = actor.sizes();
    let mut action = vec![0.0; obs.len() / o * a];
    let mode = Mode { greedy: true, key: [0, 0], clock: 0 };
    actor.act(&obs, mode, &mut [], Decided { action: &mut action, phases: None });
    let there = floats(&told["snntorch"]["read_out"]);
    assert_eq!(action.len(), there.len());
    assert!(action.iter().zip(&there).all(|(x, y)| (x - y).abs() <= 2e-6 * (1.0 + y.abs())));
    // They did spike, in both layers.
    let spikes = floats(&told["snntorch"]["spikes_per_layer"]);
    assert!(spikes.len() == 2 && spikes.iter().all(|n| *n > 20.0), "{spikes:?}");
}
