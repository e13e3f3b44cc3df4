//! Rows: what a run leaves behind. `train` writes [`CurveRow`]s, `evaluate` writes [`EvalRow`]s and [`SlotRow`]s, both write
//! [`ActivityRow`]s and [`EnergyRow`]s, `bench` writes [`BenchRow`]s and what belongs to them, and every run has one [`Manifest`].
//!
//! A number that does not exist (the critic loss of an agent without a critic) is NaN here and null in Parquet and JSON, never 0.
//! Wall-clock time, device and revision live only in the manifest: the rows of two identical runs are bit-identical, but for energy that a
//! counter measured.

mod bench;
pub(crate) mod columns;
mod mode;

pub use bench::*;
pub use columns::{Cell, Cells, Column, Key, Named, Row, Schema, text_of};
pub use mode::{ELSEWHERE, MEAN_ACTION, SAMPLED, mode_name, with_word};

use crate::energy::accounts::{Entry, Quantity};
use columns::row;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

row! {
    keyed
    /// One update of one training run.
    CurveRow, "curve" in "curves.parquet", by [seed, update];
    /// Number of the update, from 0.
    update: u32,
    /// Environment steps taken by this replica when the update ended, steps.
    env_steps: u64,
    [
        /// Means per slot of the update's rollout, named by the schema.
        slots of curve
    ]
    /// Mean beam gain of the samples that entered the loss of the beams, 1 where the phases match a channel of equal magnitudes.
    beam_gain: f64,
    /// Policy loss, averaged over the update's minibatches, no unit.
    policy_loss: f64,
    /// Value loss before its coefficient, averaged over the update's minibatches, scaled reward squared.
    value_loss: f64,
    /// Entropy of the policy, nat.
    entropy: f64,
    /// Divergence between the policy before and after the update, estimated as the mean of (ratio − 1) − ln ratio, nat.
    approx_kl: f64,
    /// Share of samples whose probability ratio was clipped, 0 to 1.
    clip_fraction: f64,
    /// Share of the variance of the rollout's returns that the critic's values explained: 1 is perfect, 0 as good as their mean.
    explained_variance: f64,
    /// Share of the policy's hidden neurons that were silent for the whole of the update's last minibatch, 0 to 1.
    dead_neurons: f64,
    /// Share of the policy's hidden neurons that spiked in every step, or whose tanh was beyond 0.99, for the whole of the update's last minibatch, 0 to 1.
    saturated_neurons: f64,
    /// Mean share of its scheduled rate that the policy stepped with under its trust region, 0 to 1.
    rate_share: f64,
    /// Share of the update's steps that the trust region left out, 0 to 1.
    skipped_share: f64,
    /// Mean Euclidean norm of the gradient of the actor, or of what schedules, before any clipping, no unit.
    grad_norm_actor: f64,
    /// Mean Euclidean norm of the critic's gradient before any clipping, no unit.
    grad_norm_critic: f64,
    /// Mean Euclidean norm of the gradient of the loss of the beams before any clipping, no unit.
    grad_norm_spatial: f64,
    /// Cosine between the gradients of the policy loss and of the loss of the beams on the parameters that both reach; null where none is shared.
    gradient_cosine: f64,
}

row! {
    keyed
    /// One metric of one evaluated agent (long format).
    ///
    /// Metrics are those of the task, and what a schedule or a bound knows of itself. Errors and bounds of errors are kept as mean squares, so that
    /// they can be averaged: an RMSE is the square root of the mean over episodes **and** seeds.
    EvalRow, "evaluation" in "evals.parquet", by [metric, seed];
    /// Number of episodes behind `mean`.
    episodes: u64,
    /// Name of the metric, with its unit as a suffix where it has one.
    metric: String,
    /// Mean over episodes of the episode's mean over its slots, in the metric's unit; of a largest value the largest of all.
    mean: f64,
    /// Standard error of `mean` over episodes, in the metric's unit; null for a single episode, a largest value and an exact one.
    std_error: f64,
}

row! {
    keyed
    /// Means in one slot of the episode, over the episodes of one evaluated agent.
    SlotRow, "slot" in "slots.parquet", by [slot, seed];
    /// Slot of the episode, from 0.
    slot: u32,
    [
        /// Means over episodes, named by the schema.
        values of slots
    ]
}

row! {
    keyed
    /// Energy of one agent's networks by one method of [`crate::energy`].
    EnergyRow, "energy" in "energy.parquet", by [stage, network, method, constants, seed];
    /// `inference` (one decision) or `training-episode` (one environment's T slots, with all that is learned from them).
    stage: String,
    /// `actor`, `critic`, …, whose energies add up; `all` where they cannot be told apart.
    network: String,
    /// `paper`, `effective-ops`, `memory-aware` or `measured`, never to be compared with one another.
    method: String,
    /// Number format of the constants of 45 nm and what else was chosen; `device` where it was measured.
    constants: String,
    /// J per inference or per training episode, `measured` per slot with its environment; null where the method gives none.
    energy_j: f64,
    /// Why there is no energy, or how it was measured; else empty.
    reason: String,
}

row! {
    keyed
    /// What an agent's networks did: firing rates, operations, sizes (long format).
    ActivityRow, "activity" in "activity.parquet", by [stage, network, layer, quantity, update, seed];
    /// `evaluate` (means per inference) or `train` (firing rates of an update's rollout; operations per training episode).
    stage: String,
    /// Number of the update, from 0; null where the value is of no single update.
    update: Option<u32>,
    /// `actor`, `critic`, …
    network: String,
    /// Hidden layer, from 1; 0 for the whole network.
    layer: u32,
    /// Name of the quantity, such as `firing_rate` (spikes per neuron and spike step), `active_share`, `effective_macs`, `parameter_bytes`.
    quantity: String,
    /// In the quantity's unit.
    value: f64,
}

/// Stage of what an evaluation counted.
pub const EVALUATED: &str = "evaluate";

impl EnergyRow {
    pub fn new(key: &Key, e: Entry) -> EnergyRow {
        let (stage, method) = (e.phase.into(), e.method.into());
        let Entry { network, constants, energy_j, reason, .. } = e;
        EnergyRow { key: key.clone(), stage, network, method, constants, energy_j, reason }
    }
}

impl ActivityRow {
    pub fn new(key: &Key, stage: &str, update: Option<u32>, q: Quantity) -> ActivityRow {
        let (key, stage, quantity) = (key.clone(), stage.into(), q.name.into());
        ActivityRow { key, stage, update, network: q.network, layer: q.layer, quantity, value: q.value }
    }
}

/// Everything a report is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub curves: Vec<CurveRow>,
    pub evals: Vec<EvalRow>,
    pub slots: Vec<SlotRow>,
    pub energy: Vec<EnergyRow>,
    /// Empty where a task counts no activity.
    pub activity: Vec<ActivityRow>,
}

impl Rows {
    /// Writes rows and manifest as one file `rows.json`: what a program without the feature `report` leaves. Returns where it lies.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn write_json(&self, dir: &Path, manifest: &Manifest) -> std::io::Result<PathBuf> {
        let path = dir.join("rows.json");
        let all = serde_json::json!({ "curves": self.curves, "evals": self.evals, "slots": self.slots, "energy": self.energy, "activity": self.activity, "manifest": manifest });
        crate::files::write_whole(&path, all.to_string().as_bytes())?;
        Ok(path)
    }
}

/// The columns of a table behind the first `skip`, as Markdown.
fn table<R: Row>(schema: &R::Schema, skip: usize) -> String {
    let columns = R::columns(schema);
    let lines =
        columns[skip..].iter().map(|c| format!("| `{}` | {} |\n", c.name, c.about.replace('|', "\\|")));
    format!("| column | meaning |\n|---|---|\n{}", lines.collect::<String>())
}

/// A table with what it has rows of.
fn entry<R: Row>(schema: &R::Schema, skip: usize) -> String {
    let table = table::<R>(schema, skip);
    format!("\n`{}`, one row per ({}):\n\n{table}", R::FILE, R::keys(schema).join(", "))
}

/// The dictionary of a task's columns, as Markdown: those of the key once, then those of each table. `results/README.md` has it word for word.
pub fn dictionary(schema: &Schema) -> String {
    // Agent, labels, what is swept, seed.
    let keys = schema.labels.len() + 3;
    let all = table::<SlotRow>(schema, 0);
    let key: String = all.lines().take(2 + keys).map(|line| format!("{line}\n")).collect();
    let tables = [
        entry::<CurveRow>(schema, keys),
        entry::<EvalRow>(schema, keys),
        entry::<SlotRow>(schema, keys),
        entry::<EnergyRow>(schema, keys),
        entry::<ActivityRow>(schema, keys),
    ];
    format!(
        "## Columns of task {}\n\nEvery table begins with the same keys:\n\n{key}{}",
        schema.task,
        tables.concat()
    )
}

/// The dictionary of the columns of benchmarks, as [`dictionary`].
pub fn bench_dictionary() -> String {
    let tables = [
        entry::<BenchRow>(&(), 0),
        entry::<BenchSampleRow>(&(), 0),
        entry::<BenchScalingRow>(&(), 0),
        entry::<BenchPhaseRow>(&(), 0),
        entry::<BenchEnergyRow>(&(), 0),
    ];
    format!("## Columns of benchmarks\n{}", tables.concat())
}

/// Where rows come from. Everything that may differ between two identical runs is here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Command line; the program is named without its folder.
    pub command: String,
    /// Effective configuration as TOML.
    pub config: String,
    /// Task id.
    pub task: String,
    /// What a reproduction reproduces, null of other jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
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
    /// Revision of the sources that the program was built from, null where they were not in git.
    pub git_revision: Option<String>,
    /// Whether they differed from `git_revision`, null where that is not known.
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
    /// Start of the run's first part, RFC 3339, UTC.
    pub started_utc: Option<String>,
    /// Wall time of the run, s, over all parts whose time is known. Null until the run ends.
    pub wall_s: Option<f64>,
    /// The processes that worked on the run, of runs that can be continued; the last one is what the fields above describe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<RunPart>,
}

/// What one process did of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPart {
    /// Command line.
    pub command: String,
    /// Start, RFC 3339, UTC.
    pub started_utc: Option<String>,
    /// Wall time, s; of a process that was killed, until its last checkpoint.
    pub wall_s: Option<f64>,
    /// Device, as its driver names it.
    pub device: String,
    /// Driver and its version, null for the CPU path.
    pub driver: Option<String>,
    /// `cpu`, `vulkan`, …
    pub backend: String,
    /// Revision of the program's sources, null where it is not known.
    pub git_revision: Option<String>,
    /// Whether the sources differed from it.
    pub git_dirty: Option<bool>,
    /// Updates that were done when the part began, over all training runs that it came to. Null where it was not written down.
    pub updates_from: Option<u64>,
    /// Updates that are in checkpoints at its end.
    pub updates_to: Option<u64>,
}

impl RunPart {
    /// A run that is one part.
    pub fn of(m: &Manifest) -> RunPart {
        RunPart {
            command: m.command.clone(),
            started_utc: m.started_utc.clone(),
            wall_s: m.wall_s,
            device: m.device.clone(),
            driver: m.driver.clone(),
            backend: m.backend.clone(),
            git_revision: m.git_revision.clone(),
            git_dirty: m.git_dirty,
            updates_from: None,
            updates_to: None,
        }
    }

    /// Both devices in words, if `next` ran on another one or under another driver. On a CPU nothing depends on which one it is.
    pub fn other_device(&self, next: &RunPart) -> Option<String> {
        let same = self.backend == next.backend
            && (self.backend == "cpu" || (&self.device, &self.driver) == (&next.device, &next.driver));
        let name = |p: &RunPart| match &p.driver {
            Some(driver) => format!("'{}' (driver {driver})", p.device),
            None => format!("'{}'", p.device),
        };
        (!same).then(|| format!("{} before and {} now", name(self), name(next)))
    }
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
    /// Takes down the machine, the revision of the program and the time now as the start. `args` is the command line with the program
    /// first; `config` is TOML text. What the machine does not tell is `None`. Set `wall_s` when the run ends.
    pub fn collect(
        args: &[String],
        config: &str,
        task: &str,
        agents: &[String],
        seeds: &[u32],
        device: &DeviceName,
    ) -> Manifest {
        let (git_revision, git_dirty) = BUILT_FROM.get().copied().unwrap_or_default();
        Manifest {
            command: command_line(args),
            config: config.to_string(),
            task: task.to_string(),
            experiment: None,
            agents: agents.to_vec(),
            seeds: seeds.to_vec(),
            device: device.device.clone(),
            driver: device.driver.clone(),
            backend: device.backend.clone(),
            git_revision: git_revision.map(str::to_string),
            git_dirty,
            crate_version: env!("CARGO_PKG_VERSION").to_string(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu_model: cpu_model(),
            cpu_cores: std::thread::available_parallelism().ok().map(usize::from),
            simd: crate::num::real::SimdLevel::detect().name().into(),
            started_utc: Some(humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
            wall_s: None,
            parts: Vec::new(),
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

/// Revision of the sources that a program was built from and whether they differed from it, where they lay in a git repository then: what
/// [`sources!`](crate::sources) says.
pub type Sources = (Option<&'static str>, Option<bool>);

/// Only the program knows, and compiling it into this crate would compile all of it again with every commit.
static BUILT_FROM: OnceLock<Sources> = OnceLock::new();

/// Says what this program was built from, for all manifests of the process; the first call counts.
pub fn built_from(sources: Sources) {
    let _ = BUILT_FROM.set(sources);
}

/// What this program was built from, as [`built_from`] was told.
pub fn sources() -> Sources {
    BUILT_FROM.get().copied().unwrap_or((None, None))
}

/// The processor, as it names itself; on a system that does not tell, as on Linux for Arm, the machine that it is in.
pub(crate) fn cpu_model() -> Option<String> {
    let name = if cfg!(target_os = "macos") {
        let asked = std::process::Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output();
        String::from_utf8(asked.ok()?.stdout).ok()?
    } else if cfg!(windows) {
        std::env::var("PROCESSOR_IDENTIFIER").ok()?
    } else {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        match text.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(':')) {
            Some((_, name)) => name.to_string(),
            None => std::fs::read_to_string("/sys/firmware/devicetree/base/model").ok()?,
        }
    };
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!name.is_empty()).then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(s: &[&str]) -> Vec<String> {
        s.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn missing_numbers_are_null_in_json_and_come_back_as_nan() {
        let key = Key { agent: "ppo".into(), labels: vec!["angles".into()], at: 40.0, seed: 1 };
        let row = EvalRow { key, episodes: 1, metric: "reward".into(), mean: 1.25, std_error: f64::NAN };
        let json = serde_json::to_string(&row).unwrap();
        assert!(json.contains("\"std_error\":null"), "{json}");
        let back: EvalRow = serde_json::from_str(&json).unwrap();
        assert_eq!(back.mean, 1.25);
        assert!(back.std_error.is_nan());
        let row = SlotRow { values: vec![1.0, f64::NAN], ..SlotRow::default() };
        let json = serde_json::to_string(&row).unwrap();
        assert!(json.contains("\"values\":[1.0,null]"), "{json}");
        let back: SlotRow = serde_json::from_str(&json).unwrap();
        assert!(back.values[0] == 1.0 && back.values[1].is_nan());
    }

    const SCHEMA: Schema = Schema {
        task: "toy",
        labels: &[Named::new("wind", "Strength of the | wind.")],
        swept: Named::new("height_m", "Height, m."),
        curve: &[Named::new("reward", "Mean reward.")],
        learner: &["policy_loss", "gradient_cosine"],
        slots: &[Named::new("rate", "Rate."), Named::new("power_w", "Power, W.")],
    };

    fn names<R: Row<Schema = Schema>>() -> Vec<&'static str> {
        R::columns(&SCHEMA).iter().map(|c| c.name).collect()
    }

    #[test]
    fn columns_are_those_of_key_row_and_schema() {
        let own = ["agent", "wind", "height_m", "seed"];
        let with = |more: &[&'static str]| [&own[..], more].concat();
        let curve = ["update", "env_steps", "reward", "policy_loss", "gradient_cosine"];
        assert_eq!(names::<CurveRow>(), with(&curve));
        assert_eq!(names::<SlotRow>(), with(&["slot", "rate", "power_w"]));
        assert_eq!(names::<EvalRow>(), with(&["episodes", "metric", "mean", "std_error"]));
        assert_eq!(CurveRow::keys(&SCHEMA), ["agent", "wind", "height_m", "seed", "update"]);
        assert_eq!(SlotRow::keys(&SCHEMA), ["agent", "wind", "height_m", "slot", "seed"]);
        assert_eq!(Schema::place(SCHEMA.slots, "power_w"), 1);
    }

    #[test]
    fn cells_make_the_rows_they_came_from() {
        let key = Key { agent: "a".into(), labels: vec!["strong".into()], at: 2.5, seed: 7 };
        let rows = [
            SlotRow { key: key.clone(), slot: 1, values: vec![0.5, -0.0] },
            SlotRow { key: Key { seed: 8, ..key }, slot: 2, values: vec![1.5, 2.5] },
        ];
        let mut back = vec![SlotRow::default(); 2];
        for c in SlotRow::columns(&SCHEMA) {
            assert!(c.set(&mut back, c.cells(&rows)), "{}", c.name);
            assert!(!c.set(&mut back, Cells::Long(vec![0; 2])), "{} takes cells of another kind", c.name);
        }
        assert_eq!(back, rows);
    }

    #[test]
    fn a_row_that_says_nothing_has_no_numbers() {
        let row = CurveRow::default();
        assert!(row.beam_gain.is_nan() && row.gradient_cosine.is_nan() && row.slots.is_empty());
        assert_eq!(ActivityRow::default().update, None);
    }

    #[test]
    fn every_column_is_in_the_dictionary_with_its_meaning() {
        for schema in [&SCHEMA, &crate::tasks::v2x::rows::SCHEMA, &crate::tasks::misac::rows::SCHEMA] {
            let text = dictionary(schema);
            fn check<R: Row<Schema = Schema>>(schema: &Schema, text: &str) {
                assert!(text.contains(&format!("`{}`, one row per (", R::FILE)), "{}", R::FILE);
                for c in R::columns(schema) {
                    let line = format!("| `{}` | {} |", c.name, c.about.replace('|', "\\|"));
                    assert!(text.lines().any(|l| l == line), "no line {line} in {text}");
                    assert!(c.about.len() > 4 && !c.about.contains('\n'), "{}: {}", c.name, c.about);
                }
                let names: Vec<_> = R::columns(schema).iter().map(|c| c.name).collect();
                assert!(names.iter().enumerate().all(|(i, n)| !names[..i].contains(n)), "{names:?}");
                assert!(R::keys(schema).iter().all(|k| names.contains(k)));
            }
            check::<CurveRow>(schema, &text);
            check::<EvalRow>(schema, &text);
            check::<SlotRow>(schema, &text);
            check::<EnergyRow>(schema, &text);
            check::<ActivityRow>(schema, &text);
            // Every column that the learners are said to fill is one.
            let curves = CurveRow::columns(schema);
            assert!(
                schema.learner.iter().all(|l| curves.iter().any(|c| c.name == *l)),
                "{:?}",
                schema.learner
            );
        }
    }

    #[test]
    fn command_line_drops_the_folder_and_quotes_what_a_shell_would_split() {
        let line = command_line(&words(&["/opt/bin/isacbench", "train", "--note", "two words", "it's"]));
        assert_eq!(line, r"isacbench train --note 'two words' 'it'\''s'");
        assert_eq!(command_line(&[]), "");
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
        assert_eq!(
            (m.git_revision.as_ref(), m.git_dirty),
            (None, None),
            "only a program knows what it was built from"
        );
        let back: Manifest = serde_json::from_str(&serde_json::to_string(&m).unwrap()).unwrap();
        assert_eq!(back, m);
    }
}
