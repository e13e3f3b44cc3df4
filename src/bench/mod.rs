//! What a benchmark knows about itself: criterion keeps the samples, [`Record`] what they are samples of. A bench
//! writes its record beside criterion's own files after its equivalence check has passed; `isacbench bench` joins the
//! two into rows.
//!
//! criterion's identifiers are `group/device/sizes`, e.g. `dense_forward/cpu/R=1,B=1024,H=128`: the device stands
//! between, so that a run on one device never overwrites another's samples.

pub mod analysis;
pub mod compare;
pub mod energy;
pub mod samples;
pub mod steady;

use crate::files::write_whole;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub mod check;
pub mod device;
pub mod grid;
pub mod work;

/// File name of a record, in the folder that holds criterion's `new/`.
pub const RECORD_FILE: &str = "isacbench.json";

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// One dispatch of one kernel, or one call of its twin.
    Kernel,
    /// Environment steps without a policy.
    Physics,
    /// Policy and physics.
    Rollout,
    /// Advantages and all minibatches of all epochs over a finished rollout.
    Update,
    /// Rollout and update.
    Training,
    /// A part of a training update, of the same run as the whole.
    Phase,
    /// A large copy or a large matrix product: what the device can reach.
    Ceiling,
}

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// In identifiers: `cpu`, or the adapter's name in small letters and hyphens.
    pub slug: String,
    /// As its driver, or the processor, names it.
    pub name: String,
    pub kind: DeviceKind,
    /// Driver and its version, null for the CPU path.
    pub driver: Option<String>,
    /// Threads of the CPU path, null on GPUs.
    pub threads: Option<usize>,
}

/// Kinds of devices; figures of a software adapter say nothing about GPUs and are never shown as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    Cpu,
    Gpu,
    SoftwareGpu,
}

/// What one iteration (as criterion counts them) does. Null where it does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Environment steps.
    pub env_steps: Option<f64>,
    /// Passes of the policy network for one observation.
    pub inferences: Option<f64>,
    /// Floating-point operations by the formula: an addition, a multiplication, a comparison are one each, padding is
    /// not counted.
    pub flops: Option<f64>,
    /// Bytes that must move through the device's memory at least: each input read once, each output written once.
    pub bytes: Option<f64>,
}

/// Time on the device itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceTime {
    /// How it was taken, e.g. `timestamp queries around each dispatch`.
    pub method: String,
    /// Seconds of one iteration, one number a sample.
    pub seconds: Vec<f64>,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// criterion's group: a kernel's stem; a network's `network_NET_forward` and `network_NET_backward` of mlp, lif and
    /// lstm (on the CPU `network_lstm_forward_backward`, since its backward pass overwrites what the forward pass
    /// kept); `physics_TASK`; `rollout_TASK_AGENT`, `update_…`, `training_…`; `phase_PHASE_TASK_AGENT` of the phases
    /// rollout, gae, update, readback; `replicas_batched`, `replicas_serial`; `ceiling_copy`, `ceiling_copy_kernel`,
    /// `ceiling_matmul`, `ceiling_matmul_dense`.
    pub group: String,
    pub section: Section,
    /// Name of the task, null where none matters.
    pub task: Option<String>,
    /// Agent id or network (`mlp`, `lif`, `lstm`), null where none acts.
    pub policy: Option<String>,
    pub device: Device,
    /// Dimension letter (R, B, T, M, H, …) → size.
    pub sizes: BTreeMap<String, u64>,
    pub work: Work,
    /// What was compared before timing, and with what result; null where there is nothing to compare (ceilings).
    pub check: Option<String>,
    /// Null where the device has no timestamps.
    pub device_time: Option<DeviceTime>,
    /// Of the sources that were timed, and whether tracked files differed from it; null outside a repository.
    #[serde(default)]
    pub git_revision: Option<String>,
    #[serde(default)]
    pub git_dirty: Option<bool>,
}

/// A record that cannot be written or read.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: std::io::Error },
    #[error("{}: not a record of a benchmark: {cause}", path.display())]
    Parse { path: PathBuf, cause: serde_json::Error },
}

impl Record {
    /// Third part of criterion's identifier: `R=1,B=1024`, in the order R, B, T, M, H and then by letter.
    pub fn sizes_id(&self) -> String {
        const ORDER: &str = "RBTMH";
        let place = |letter: &str| (ORDER.find(letter).unwrap_or(ORDER.len()), letter.to_owned());
        let mut sizes: Vec<_> = self.sizes.iter().collect();
        sizes.sort_by_key(|(letter, _)| place(letter));
        sizes.iter().map(|(letter, size)| format!("{letter}={size}")).collect::<Vec<_>>().join(",")
    }

    /// Folder of this benchmark below criterion's `home`.
    pub fn folder(&self, home: &Path) -> PathBuf {
        home.join(&self.group).join(&self.device.slug).join(self.sizes_id())
    }

    /// Writes the record below criterion's `home`, whole or not at all.
    pub fn save(&self, home: &Path) -> Result<(), RecordError> {
        let folder = self.folder(home);
        let path = folder.join(RECORD_FILE);
        let io = |cause| RecordError::Io { path: path.clone(), cause };
        std::fs::create_dir_all(&folder).map_err(io)?;
        let text = serde_json::to_string_pretty(self).expect("numbers and strings only");
        write_whole(&path, text.as_bytes()).map_err(io)
    }

    /// Reads a record.
    pub fn load(path: &Path) -> Result<Record, RecordError> {
        let io = |cause| RecordError::Io { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(io)?;
        serde_json::from_str(&text).map_err(|cause| RecordError::Parse { path: path.to_owned(), cause })
    }
}

/// Folder below which criterion writes: `CRITERION_HOME`, else `criterion` in the target folder.
pub fn criterion_home() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    set("CRITERION_HOME")
        .unwrap_or_else(|| set("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()).join("criterion"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            group: "dense_forward".into(),
            section: Section::Kernel,
            task: None,
            policy: Some("mlp".into()),
            device: Device {
                slug: "cpu".into(),
                name: "a processor".into(),
                kind: DeviceKind::Cpu,
                driver: None,
                threads: Some(2),
            },
            sizes: [("H", 128), ("B", 1024), ("R", 1), ("I", 12)].map(|(l, n)| (l.to_owned(), n)).into(),
            work: Work { flops: Some(0.1), ..Work::default() },
            check: Some("passed".into()),
            device_time: Some(DeviceTime { method: "timestamps".into(), seconds: vec![1e-3, 1.0 / 3.0] }),
            git_revision: Some("0123456789abcdef".into()),
            git_dirty: Some(false),
        }
    }

    #[test]
    fn sizes_stand_in_one_order() {
        assert_eq!(record().sizes_id(), "R=1,B=1024,H=128,I=12");
    }

    #[test]
    fn a_record_comes_back_as_it_was_written_and_a_broken_one_is_named() {
        let home = tempfile::tempdir().expect("a folder for the test");
        record().save(home.path()).expect("written");
        let path = home.path().join("dense_forward/cpu/R=1,B=1024,H=128,I=12").join(RECORD_FILE);
        assert_eq!(Record::load(&path).expect("read"), record());
        std::fs::write(&path, "{").expect("overwritten");
        let error = Record::load(&path).expect_err("half a file").to_string();
        assert!(error.contains("isacbench.json") && error.contains("not a record"), "{error}");
    }
}
