//! Typed rows: what a run leaves behind. `train` writes [`CurveRow`]s, `evaluate` writes [`EvalRow`]s and [`SlotRow`]s, both write
//! [`ActivityRow`]s and [`EnergyRow`]s, `bench` writes [`BenchRow`]s and what belongs to them, and every run has one [`Manifest`].
//!
//! A number that does not exist (the critic loss of an agent without a critic) is NaN here and null in Parquet and JSON, never 0.
//! Wall-clock time, device and revision live only in the manifest: the rows of two identical runs are bit-identical, but for energy that a
//! counter measured.

mod bench;

pub use bench::*;

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// NaN and infinities become null in JSON, and null becomes NaN.
pub(crate) mod nan_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        x.is_finite().then_some(*x).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::NAN))
    }
}

/// One update of one training run (one agent, power and seed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveRow {
    /// Agent id, e.g. `spiking-ac`.
    pub agent: String,
    /// Meaning of the action: `angles`, `tracking` or `matrix`.
    pub beam: String,
    /// Motion of the vehicles: `paper` or `cartesian`.
    pub kinematics: String,
    /// What else an experiment varies, such as `rate_penalty=0.03`; else empty.
    #[serde(default)]
    pub variant: String,
    /// Power limit of the road-side unit, dBm.
    pub p_max_dbm: f64,
    /// Seed of the replica.
    pub seed: u32,
    /// Number of the update, from 0.
    pub update: u32,
    /// Environment steps taken by this replica when the update ended, steps.
    pub env_steps: u64,
    /// Mean reward (27) per slot of the update's rollout, bps/Hz when every slot meets the sensing limits.
    #[serde(with = "nan_as_null")]
    pub reward: f64,
    /// Mean sum-rate over the rollout, bps/Hz.
    #[serde(with = "nan_as_null")]
    pub sum_rate_bps_hz: f64,
    /// Mean Jain index (28) over the rollout, 0 to 1.
    #[serde(with = "nan_as_null")]
    pub jain: f64,
    /// Share of slots in which the sensing limits of (27) are met, 0 to 1.
    #[serde(with = "nan_as_null")]
    pub indicator_share: f64,
    /// Policy loss, averaged over the update's minibatches, no unit.
    #[serde(with = "nan_as_null")]
    pub policy_loss: f64,
    /// Value loss, averaged over the update's minibatches, reward squared.
    #[serde(with = "nan_as_null")]
    pub value_loss: f64,
    /// Entropy of the policy, nat.
    #[serde(with = "nan_as_null")]
    pub entropy: f64,
    /// Estimated divergence between the policy before and after the update, nat.
    #[serde(with = "nan_as_null")]
    pub approx_kl: f64,
    /// Share of samples whose probability ratio was clipped, 0 to 1.
    #[serde(with = "nan_as_null")]
    pub clip_fraction: f64,
    /// Euclidean norm of the actor's gradient before any clipping, no unit.
    #[serde(with = "nan_as_null")]
    pub grad_norm_actor: f64,
    /// Euclidean norm of the critic's gradient before any clipping, no unit.
    #[serde(with = "nan_as_null")]
    pub grad_norm_critic: f64,
}

/// One metric of one evaluated agent, power and seed (long format).
///
/// Metrics of task v2x: `sum_rate_bps_hz`, `jain`, `reward`, `indicator_share`, `angle_mse_rad2`, `distance_mse_m2`, `angle_crlb_rad2`,
/// `distance_crlb_m2`, and `rate_0`, `rate_1`, … (rate per vehicle, bps/Hz). Errors and bounds are kept as mean squares, so that they
/// can be averaged: an RMSE is the square root of the mean over episodes **and** seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRow {
    /// Agent id.
    pub agent: String,
    /// Meaning of the action: `angles`, `tracking` or `matrix`.
    pub beam: String,
    /// Motion of the vehicles: `paper` or `cartesian`.
    pub kinematics: String,
    /// What else an experiment varies, such as `rate_penalty=0.03`; else empty.
    #[serde(default)]
    pub variant: String,
    /// Power limit of the road-side unit, dBm.
    pub p_max_dbm: f64,
    /// Seed of the replica.
    pub seed: u32,
    /// Number of episodes behind `mean`.
    pub episodes: u64,
    /// Name of the metric, with its unit as a suffix where it has one.
    pub metric: String,
    /// Mean over episodes, slots and vehicles, in the metric's unit.
    #[serde(with = "nan_as_null")]
    pub mean: f64,
    /// Standard error of `mean` over episodes, in the metric's unit (NaN for a single episode).
    #[serde(with = "nan_as_null")]
    pub std_error: f64,
}

/// Mean sum-rate in one slot of the episode, over the episodes of one evaluated agent, power and seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRow {
    /// Agent id.
    pub agent: String,
    /// Meaning of the action: `angles`, `tracking` or `matrix`.
    pub beam: String,
    /// Motion of the vehicles: `paper` or `cartesian`.
    pub kinematics: String,
    /// What else an experiment varies, such as `rate_penalty=0.03`; else empty.
    #[serde(default)]
    pub variant: String,
    /// Power limit of the road-side unit, dBm.
    pub p_max_dbm: f64,
    /// Seed of the replica.
    pub seed: u32,
    /// Slot of the episode, from 0.
    pub slot: u32,
    /// Mean sum-rate in this slot, bps/Hz.
    #[serde(with = "nan_as_null")]
    pub sum_rate_bps_hz: f64,
}

/// Energy of one agent, power and seed by one method of [`crate::energy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyRow {
    /// Agent id.
    pub agent: String,
    /// Meaning of the action: `angles`, `tracking` or `matrix`.
    pub beam: String,
    /// Motion of the vehicles: `paper` or `cartesian`.
    pub kinematics: String,
    /// What else an experiment varies, such as `rate_penalty=0.03`; else empty.
    #[serde(default)]
    pub variant: String,
    /// Power limit of the road-side unit, dBm.
    pub p_max_dbm: f64,
    /// Seed of the replica.
    pub seed: u32,
    /// `inference` (one action) or `training-episode` (one environment's T slots, with all that is learned from them).
    pub phase: String,
    /// `actor`, `critic`, …; `all` where they cannot be told apart.
    pub network: String,
    /// `paper`, `effective-ops`, `memory-aware` or `measured`.
    pub method: String,
    /// Number format of the constants and what else was chosen; `device` where it was measured.
    pub constants: String,
    /// J per inference or per training episode; NaN where the method gives none.
    #[serde(with = "nan_as_null")]
    pub energy_j: f64,
    /// Why there is no energy, or how it was measured; else empty.
    pub reason: String,
}

/// What an agent's networks did: firing rates, operations, sizes (long format).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityRow {
    /// Agent id.
    pub agent: String,
    /// Meaning of the action: `angles`, `tracking` or `matrix`.
    pub beam: String,
    /// Motion of the vehicles: `paper` or `cartesian`.
    pub kinematics: String,
    /// What else an experiment varies, such as `rate_penalty=0.03`; else empty.
    #[serde(default)]
    pub variant: String,
    /// Power limit of the road-side unit, dBm.
    pub p_max_dbm: f64,
    /// Seed of the replica.
    pub seed: u32,
    /// `evaluate` (means per inference) or `train` (firing rates of an update's rollout; operations per training episode).
    pub phase: String,
    /// Number of the update, from 0; null where the value is of no single update.
    pub update: Option<u32>,
    /// `actor`, `critic`, …
    pub network: String,
    /// Hidden layer, from 1; 0 for the whole network.
    pub layer: u32,
    /// Name of the quantity, such as `firing_rate` (spikes per neuron and spike step), `active_share`, `effective_macs`, `parameter_bytes`.
    pub quantity: String,
    #[serde(with = "nan_as_null")]
    pub value: f64,
}

/// Where rows come from. Everything that may differ between two identical runs is here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Command line; the program is named without its folder.
    pub command: String,
    /// Effective configuration as TOML.
    pub config: String,
    /// Task id: `v2x` or `misac`.
    pub task: String,
    /// Agent ids of the run.
    pub agents: Vec<String>,
    /// Seeds of the run.
    pub seeds: Vec<u32>,
    /// Device that did the work, as its driver names it.
    pub device: String,
    /// Driver and its version, null for the CPU path.
    pub driver: Option<String>,
    /// `cpu`, `vulkan`, …
    pub backend: String,
    /// Revision of the sources, null where they are not in git.
    pub git_revision: Option<String>,
    /// Whether tracked files differ from `git_revision`, null where that is null.
    pub git_dirty: Option<bool>,
    /// Version of this crate.
    pub crate_version: String,
    /// Operating system and architecture, e.g. `linux x86_64`.
    pub os: String,
    /// CPU model, null where the system does not tell.
    pub cpu_model: Option<String>,
    /// Logical CPU cores this process may use, null where the system does not tell.
    pub cpu_cores: Option<usize>,
    /// Vector instructions used by the CPU path: `scalar`, `avx2` or `avx512`.
    pub simd: String,
    /// Start of the run, RFC 3339, UTC.
    pub started_utc: Option<String>,
    /// Wall time of the run, s. Null until the run ends.
    pub wall_s: Option<f64>,
}

/// The device of a run, as [`Manifest::collect`] needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// Device as its driver names it.
    pub device: String,
    /// Driver and version; `None` for the CPU path.
    pub driver: Option<String>,
    /// `cpu`, `vulkan`, …
    pub backend: String,
}

impl Manifest {
    /// Takes down the machine, the revision of the sources and the time now as the start. `args` is the command line with the program
    /// first; `config` is TOML text. What the machine does not tell is `None`. Set `wall_s` when the run ends.
    pub fn collect(
        args: &[String],
        config: &str,
        task: &str,
        agents: &[String],
        seeds: &[u32],
        device: &DeviceName,
    ) -> Manifest {
        let (git_revision, git_dirty) = sources();
        Manifest {
            command: command_line(args),
            config: config.to_string(),
            task: task.to_string(),
            agents: agents.to_vec(),
            seeds: seeds.to_vec(),
            device: device.device.clone(),
            driver: device.driver.clone(),
            backend: device.backend.clone(),
            git_revision,
            git_dirty,
            crate_version: env!("CARGO_PKG_VERSION").to_string(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu_model: cpu_model(),
            cpu_cores: std::thread::available_parallelism().ok().map(usize::from),
            simd: format!("{:?}", crate::num::real::SimdLevel::detect()).to_lowercase(),
            started_utc: Some(humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
            wall_s: None,
        }
    }
}

/// The command as typed, without the folder of the program, which says nothing about the run.
fn command_line(args: &[String]) -> String {
    let mut words = args.iter().map(|a| {
        let plain = !a.is_empty() && a.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c));
        if plain { a.clone() } else { format!("'{}'", a.replace('\'', "'\\''")) }
    });
    let program = words.next().map(|w| {
        Path::new(&w).file_name().map_or_else(|| w.clone(), |name| name.to_string_lossy().into_owned())
    });
    program.into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// Revision of this program's sources and whether tracked files differ from it, where they lie in a git repository.
pub fn sources() -> (Option<String>, Option<bool>) {
    match git_state(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Some((revision, dirty)) => (Some(revision), dirty),
        None => (None, None),
    }
}

/// Revision of the sources in `dir` and whether tracked files differ from it. `None` when git is absent or when `dir` is not tracked
/// (a crate unpacked below some other repository must not take that one's revision). Untracked files are left out: results are
/// written there, and an untracked source cannot be compiled in without a tracked file naming it.
fn git_state(dir: &Path) -> Option<(String, Option<bool>)> {
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(dir).args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
    };
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let revision = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty());
    Some((revision, dirty))
}

/// The processor, as it names itself.
pub(crate) fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(s: &[&str]) -> Vec<String> {
        s.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn missing_numbers_are_null_in_json_and_come_back_as_nan() {
        let row = EvalRow {
            agent: "ppo".into(),
            beam: "angles".into(),
            kinematics: "paper".into(),
            variant: String::new(),
            p_max_dbm: 40.0,
            seed: 1,
            episodes: 1,
            metric: "reward".into(),
            mean: 1.25,
            std_error: f64::NAN,
        };
        let json = serde_json::to_string(&row).unwrap();
        assert!(json.contains("\"std_error\":null"), "{json}");
        let back: EvalRow = serde_json::from_str(&json).unwrap();
        assert_eq!(back.mean, 1.25);
        assert!(back.std_error.is_nan());
    }

    #[test]
    fn command_line_drops_the_folder_and_quotes_what_a_shell_would_split() {
        let line = command_line(&words(&["/opt/bin/isacbench", "train", "--note", "two words", "it's"]));
        assert_eq!(line, r"isacbench train --note 'two words' 'it'\''s'");
        assert_eq!(command_line(&[]), "");
    }

    #[test]
    fn a_folder_outside_git_has_no_revision() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(git_state(dir.path()), None);
    }

    #[test]
    fn manifest_names_the_run_and_survives_json() {
        let device = DeviceName { device: "test device".into(), driver: None, backend: "cpu".into() };
        let m = Manifest::collect(
            &words(&["isacbench", "train"]),
            "seed = 1\n",
            "v2x",
            &words(&["ppo"]),
            &[1, 2],
            &device,
        );
        assert_eq!(m.crate_version, env!("CARGO_PKG_VERSION"));
        assert_eq!(
            (m.command.as_str(), m.seeds.as_slice(), m.wall_s),
            ("isacbench train", &[1, 2][..], None)
        );
        let started = m.started_utc.as_deref().unwrap();
        let age = humantime::parse_rfc3339(started).unwrap().elapsed().unwrap();
        assert!(age.as_secs() < 60, "{started}");
        if let Some(revision) = &m.git_revision {
            assert_eq!(revision.len(), 40, "{revision}");
        }
        let back: Manifest = serde_json::from_str(&serde_json::to_string(&m).unwrap()).unwrap();
        assert_eq!(back, m);
    }
}
