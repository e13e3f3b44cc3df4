//! Joules of an inference and of an environment step, agent by agent: the three models, which know no device, and the
//! counters of the devices that were benchmarked.

use super::DeviceKind;
use super::steady::{self, Kind};
use crate::config::ConfigError;
use crate::energy::accounts::{self, MEASURED};
use crate::energy::meters::{Joules, MEASUREMENT_S, Meter};
use crate::energy::{Entry, TrainingSchedule};
use crate::gpu::Gpu;
use crate::learn::{Algorithm, Learner, UpdateMetrics};
use crate::run::errors::{CheckpointError, JobError};
use crate::run::registry::{AnyCheckpoint, AnyTask};
use crate::run::rows::{BenchEnergyRow, text_of};
use crate::run::train::{TrainingSpan, train};
use crate::run::watch::{Quiet, Watch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Agents whose energy stands in every report: a perceptron, a spiking network, an LSTM.
pub const AGENTS: [&str; 3] = ["ppo", "spiking-ac", "h-moe"];

/// Units of energy.
pub const INFERENCE: &str = "inference";
pub const STEP: &str = "environment-step";
/// Device of rows that are models.
pub const MODEL: &str = "model";
/// Weights before any training.
pub const INITIAL: &str = "initial";

/// Episodes that an agent's activity is counted in.
const EPISODES: u64 = 64;

/// Environments of the rollout in which the firing rates of training are counted.
const RATE_ENVS: usize = 32;

/// The weights of one agent.
pub type Subject = Box<dyn AnyCheckpoint>;

/// The tasks that subjects come from.
pub type Tasks<'a> = [&'a dyn AnyTask];

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum EnergyError {
    #[error("no learned agent '{0}'; there are: {1}")]
    NoAgent(String, String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Agent ids whose weights can be had without a checkpoint.
pub fn is_learned(tasks: &Tasks, agent: &str) -> bool {
    tasks.iter().any(|t| t.learned().contains(&agent))
}

/// An agent as it is before training, with the default preset and seed 0.
///
/// # Errors
/// [`EnergyError::NoAgent`] if no task has such a learned agent.
pub fn initial(tasks: &Tasks, agent: &str) -> Result<Subject, EnergyError> {
    for task in tasks {
        if let Some(subject) = task.initial(agent)? {
            return Ok(subject);
        }
    }
    let learned: Vec<_> = tasks.iter().flat_map(|t| t.learned()).collect();
    Err(EnergyError::NoAgent(agent.into(), learned.join(", ")))
}

/// Trained weights. Of a sweep, the replicas of its first value.
///
/// # Errors
/// What is wrong with the file.
pub fn load(tasks: &Tasks, path: &Path) -> Result<Subject, EnergyError> {
    let mut other = None;
    for task in tasks {
        match task.open(path) {
            Err(e @ CheckpointError::OtherTask { .. }) => other = Some(e),
            Err(e) => return Err(e.into()),
            Ok(mut subject) => {
                subject.keep_first_place();
                return Ok(subject);
            }
        }
    }
    Err(other.map_or_else(|| EnergyError::NoAgent("any".into(), "no task".into()), EnergyError::from))
}

/// A subject with the name of its weights in rows.
pub struct Named {
    pub subject: Subject,
    /// [`INITIAL`], or the checkpoint's file.
    pub weights: String,
}

/// A device whose counter is read.
pub struct Target {
    pub slug: String,
    pub name: String,
    pub kind: DeviceKind,
    /// `None`: the CPU path.
    pub gpu: Option<Arc<Gpu>>,
}

impl Named {
    fn row(&self, unit: &str, work: &str, method: &str, constants: &str) -> BenchEnergyRow {
        BenchEnergyRow {
            device: MODEL.into(),
            device_name: String::new(),
            task: self.subject.task().into(),
            agent: self.subject.agent().into(),
            unit: unit.into(),
            work: work.into(),
            method: method.into(),
            constants: constants.into(),
            energy_j: f64::NAN,
            lo_j: f64::NAN,
            hi_j: f64::NAN,
            idle_w: f64::NAN,
            busy_w: f64::NAN,
            integrated_share: f64::NAN,
            weights: self.weights.clone(),
            reason: String::new(),
        }
    }

    /// Rows of the three models. Means over the replicas of a checkpoint.
    pub fn models(&self) -> Result<Vec<BenchEnergyRow>, EnergyError> {
        let evaluated = self.subject.evaluated(EPISODES, &Quiet)?;
        let entries = evaluated.into_iter().flat_map(|e| e.energy).collect();
        let inference = Sums::of(entries, self.subject.replicas());
        let algorithm = self.subject.algorithm();
        let rates = firing_rates(self.subject.as_ref(), &algorithm)?;
        let (training, slots) = per_training_episode(&TrainingSchedule::of(&algorithm), &rates);
        let mut out = Vec::new();
        let mut put = |unit, work, sums: &Sums, per: f64, reason: &str| {
            for ((method, constants), joules) in &sums.0 {
                let row = self.row(unit, work, method, constants);
                let none =
                    if joules.is_nan() { sums.1.get(*method).map_or("", String::as_str) } else { reason };
                out.push(BenchEnergyRow { energy_j: joules / per, reason: none.into(), ..row });
            }
        };
        put(INFERENCE, "policy", &inference, 1.0, "");
        put(STEP, "rollout", &inference, 1.0, "one inference; models do not count the environment");
        put(STEP, "training", &training, slots, "");
        Ok(out)
    }

    /// Rows of the device's counter: joules where it could be read, else the reason.
    fn measured(&self, on: &Target, (unit, kind): (&str, Kind), joules: Joules) -> BenchEnergyRow {
        let work = match kind {
            Kind::Policy => "policy",
            Kind::Rollout => "rollout",
            Kind::Training => "training",
        };
        let mut row = BenchEnergyRow {
            device: on.slug.clone(),
            device_name: on.name.clone(),
            ..self.row(unit, work, MEASURED, "device")
        };
        match joules {
            Ok(m) => {
                (row.energy_j, row.idle_w, row.busy_w) = (m.joules_per_unit, m.idle_w, m.busy_w);
                (row.lo_j, row.hi_j) =
                    (m.joules_per_unit - m.half_width_j, m.joules_per_unit + m.half_width_j);
                (row.integrated_share, row.reason) = (m.integrated_share, m.how());
            }
            Err(why) => row.reason = why,
        }
        row
    }
}

/// J by (method, constants), and why a method has none.
#[derive(Default)]
struct Sums(BTreeMap<(&'static str, String), f64>, BTreeMap<&'static str, String>);

impl Sums {
    /// Entries of `n` replicas: networks are added, replicas averaged.
    fn of(entries: Vec<Entry>, n: usize) -> Self {
        let mut this = Sums::default();
        for e in entries {
            if e.energy_j.is_nan() {
                this.1.insert(e.method, e.reason);
            }
            *this.0.entry((e.method, e.constants)).or_default() += e.energy_j / n as f64;
        }
        this
    }
}

/// Firing rates of a rollout with these weights, of every network that learns, replica by replica; none without spikes.
fn firing_rates(c: &dyn AnyCheckpoint, algorithm: &Algorithm) -> Result<Vec<Vec<f64>>, EnergyError> {
    let mut rates = vec![Vec::new(); c.replicas()];
    if let Algorithm::Ppo(spec) = algorithm
        && algorithm.spikes()
    {
        // Rates are those of the rollout, before anything is learned from it: the rest may be small.
        let mut small = spec.clone();
        (small.ppo.envs, small.ppo.epochs) = (RATE_ENVS, 1);
        small.ppo.minibatch = RATE_ENVS * small.ppo.horizon;
        let small = Algorithm::Ppo(small);
        let mut learner = Learner::new(&small, c.state(), None).map_err(JobError::Gpu)?;
        let span = TrainingSpan { algorithm: &small, updates: 1, until: 1, log_every: 1 };
        let seen = |_, m: &[UpdateMetrics]| {
            rates = m.iter().map(|m| m.firing_rates.clone()).collect();
        };
        train(&span, &mut learner, 0, seen, |_| true).map_err(JobError::Gpu)?;
    }
    Ok(rates)
}

/// A training episode with its slots, from the rates of each replica.
fn per_training_episode(schedule: &TrainingSchedule, rates: &[Vec<f64>]) -> (Sums, f64) {
    let entries = rates.iter().flat_map(|r| accounts::training(schedule, r).0).collect();
    (Sums::of(entries, rates.len()), schedule.slots as f64)
}

/// What is measured of every agent on every device.
const MEASURED_WORK: [(&str, Kind); 3] =
    [(INFERENCE, Kind::Policy), (STEP, Kind::Rollout), (STEP, Kind::Training)];

/// Rows of the counter of one device, `asked` for or not: nothing is run unless the device has one.
pub fn measured(
    all: &[Named],
    on: &Target,
    sysfs: &Path,
    asked: bool,
    watch: &dyn Watch,
) -> Vec<BenchEnergyRow> {
    let rows = |why: &str| {
        let row = |n: &Named| MEASURED_WORK.map(|w| n.measured(on, w, Err(why.to_string())));
        all.iter().flat_map(row).collect()
    };
    let gpu = match (&on.gpu, on.kind) {
        (_, DeviceKind::SoftwareGpu) => {
            return rows("software adapter: it runs on the processor and says nothing about GPUs");
        }
        (None, DeviceKind::Gpu) if !asked => return rows("not asked for, with --measure"),
        (None, DeviceKind::Gpu) => {
            return rows("the GPU is not at hand: name it with --device, on its machine");
        }
        (gpu, _) => gpu.as_ref(),
    };
    let mut meter = match Meter::open(sysfs, gpu.map(|g| &**g), "--measure", asked) {
        Ok(meter) => meter,
        Err(why) => return rows(&why),
    };
    let count = all.len() * MEASURED_WORK.len();
    watch.begin(&format!("measure on {} ({:.0} s)", on.name, count as f64 * MEASUREMENT_S), count as u64);
    let sizes = if gpu.is_some() { steady::GPU } else { steady::CPU };
    let note = format!(" ({})", text_of(&on.kind));
    let out = with_meter(all, on, sizes, watch, &mut |work| meter.joules(&note, work));
    watch.end();
    out
}

fn with_meter(
    all: &[Named],
    on: &Target,
    sizes: steady::Sizes,
    watch: &dyn Watch,
    joules: &mut dyn FnMut(&mut steady::Piece) -> Joules,
) -> Vec<BenchEnergyRow> {
    let mut out = Vec::new();
    for n in all {
        for (unit, kind) in MEASURED_WORK {
            let work = steady::prepare(n.subject.as_ref(), kind, on.gpu.as_ref(), sizes);
            out.push(n.measured(on, (unit, kind), work.and_then(|mut work| joules(&mut work))));
            watch.advance(1, n.subject.agent());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::accounts::{EFFECTIVE, MEMORY, PAPER};
    use crate::energy::meters::Measurement;
    use crate::run::registry::Entry;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    const V2X: Entry<V2xConfig> = Entry::new();
    const MISAC: Entry<MisacConfig> = Entry::new();

    fn tasks() -> [&'static dyn AnyTask; 2] {
        [&V2X, &MISAC]
    }

    fn named(agent: &str) -> Named {
        Named { subject: initial(&tasks(), agent).unwrap(), weights: INITIAL.into() }
    }

    fn target(kind: DeviceKind) -> Target {
        Target { slug: "a-device".into(), name: "A device".into(), kind, gpu: None }
    }

    fn joules(rows: &[BenchEnergyRow], unit: &str, work: &str, method: &str, constants: &str) -> f64 {
        let mine = rows.iter().filter(|r| {
            [&r.unit, &r.work, &r.method, &r.constants].map(String::as_str) == [unit, work, method, constants]
        });
        let found: Vec<_> = mine.collect();
        assert_eq!(found.len(), 1, "{unit} {work} {method} {constants}");
        found[0].energy_j
    }

    #[test]
    fn models_of_a_perceptron_by_hand() {
        let rows = named("ppo").models().unwrap();
        // 18,688 products of 3.2 pJ.
        let paper = joules(&rows, INFERENCE, "policy", PAPER, "int32");
        assert!((paper * 1e9 - 59.80).abs() < 0.01, "{paper}");
        assert_eq!(joules(&rows, STEP, "rollout", PAPER, "int32"), paper);
        // Actor and critic, one pass forward in every slot.
        let training = joules(&rows, STEP, "training", PAPER, "int32");
        assert!((training * 1e9 - 117.56).abs() < 0.01, "{training}");
        assert!(joules(&rows, STEP, "training", EFFECTIVE, "fp32") > 10.0 * training);
        assert!(joules(&rows, INFERENCE, "policy", MEMORY, "int32") > paper);
        let memory = rows.iter().find(|r| r.work == "training" && r.method == MEMORY).unwrap();
        assert!(memory.energy_j.is_nan() && memory.reason.contains("inference only"), "{memory:?}");
        assert!(rows.iter().all(|r| r.device == MODEL && r.weights == INITIAL && r.task == "v2x"));
    }

    #[test]
    fn models_of_spikes_and_of_an_lstm_are_there() {
        let spiking = named("spiking-ac").models().unwrap();
        let dense = joules(&named("ppo").models().unwrap(), INFERENCE, "policy", PAPER, "int32");
        let sparse = joules(&spiking, INFERENCE, "policy", PAPER, "int32");
        assert!(sparse > 0.0 && sparse < dense, "{sparse} {dense}");
        let training = joules(&spiking, STEP, "training", EFFECTIVE, "int32");
        assert!(training > 0.0, "firing rates of a rollout are known: {training}");
        let h_moe = named("h-moe").models().unwrap();
        assert!(joules(&h_moe, INFERENCE, "policy", MEMORY, "int32") > 0.0);
        // One pass forward of LSTM, phases and critic in every slot; the passes of the training are several.
        let training = |method| joules(&h_moe, STEP, "training", method, "int32");
        let products = 4 * 64 * 76 + 192 + 256 + 1536 + 16_384 + 128 * 256 + 12 * 64 + 64 * 64 + 64;
        let paper = 3.2e-3 * f64::from(products);
        assert!((training(PAPER) * 1e9 - paper).abs() < 1e-3, "{} {paper}", training(PAPER) * 1e9);
        assert!(training(EFFECTIVE) > training(PAPER), "{}", training(EFFECTIVE));
        assert!(initial(&tasks(), "ekf").err().unwrap().to_string().contains("spiking-ac"));
    }

    #[test]
    fn without_a_counter_there_is_a_reason() {
        let (all, none) = ([named("ppo")], tempfile::tempdir().unwrap());
        let rows = |kind| measured(&all, &target(kind), none.path(), true, &Quiet);
        for (kind, reason) in [
            (DeviceKind::Cpu, "no counter"),
            (DeviceKind::Gpu, "--device"),
            (DeviceKind::SoftwareGpu, "says nothing about GPUs"),
        ] {
            let rows = rows(kind);
            assert_eq!(rows.len(), 3);
            assert!(rows.iter().all(|r| r.energy_j.is_nan() && r.reason.contains(reason)), "{rows:?}");
            assert!(rows.iter().all(|r| r.method == MEASURED && r.device == "a-device"));
        }
        // A counter that nobody asked to read.
        let zone = none.path().join("class/powercap/intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        for (file, text) in [("name", "package-0"), ("max_energy_range_uj", "9999999"), ("energy_uj", "1")] {
            std::fs::write(zone.join(file), text).unwrap();
        }
        let rows = measured(&all, &target(DeviceKind::Cpu), none.path(), false, &Quiet);
        assert!(rows.iter().all(|r| r.energy_j.is_nan() && r.reason.contains("--measure")), "{rows:?}");
    }

    const TINY: steady::Sizes =
        steady::Sizes { envs: 16, experts_envs: 16, inferences: 300, batches: 2, updates: 1 };

    /// Every work once on this device; what it says it did, and the rows.
    fn once(on: &Target, all: &[Named]) -> (Vec<Result<u64, String>>, Vec<BenchEnergyRow>) {
        let mut units = Vec::new();
        let rows = with_meter(all, on, TINY, &Quiet, &mut |work| {
            units.push(work());
            Ok(Measurement {
                what: "a meter".into(),
                joules_per_unit: 2.0,
                half_width_j: 0.5,
                idle_w: 10.0,
                idle_before_w: 9.0,
                idle_after_w: 11.0,
                busy_w: 30.0,
                windows: 3,
                window_s: 5.0,
                units: 1,
                integrated_share: 0.99,
            })
        });
        (units, rows)
    }

    /// Two batches of 300 inferences; a rollout and an update of 16 environments of 100 slots, of experts 200.
    const DONE: [u64; 9] = [600, 1600, 1600, 600, 1600, 1600, 600, 3200, 3200];

    #[test]
    fn every_work_runs_and_its_joules_come_with_their_interval() {
        let all: Vec<Named> = AGENTS.iter().map(|a| named(a)).collect();
        let (units, rows) = once(&target(DeviceKind::Cpu), &all);
        assert_eq!(units.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), DONE);
        assert_eq!(rows.len(), 9);
        let r = &rows[1];
        assert_eq!((r.agent.as_str(), r.unit.as_str(), r.work.as_str()), ("ppo", STEP, "rollout"));
        assert_eq!((r.energy_j, r.lo_j, r.hi_j, r.idle_w, r.busy_w), (2.0, 1.5, 2.5, 10.0, 30.0));
        assert_eq!(r.integrated_share, 0.99);
        assert!(r.reason.contains("a meter") && r.reason.contains("idle subtracted"), "{}", r.reason);
    }

    #[test]
    fn every_work_runs_on_an_adapter() {
        let gpu = match Gpu::open(&crate::gpu::DeviceChoice::Gpu) {
            Ok(gpu) => Arc::new(gpu),
            Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
                panic!("REQUIRE_GPU=1 and: {e}")
            }
            Err(e) => return eprintln!("SKIPPED (no GPU): {e}"),
        };
        let all: Vec<Named> = AGENTS.iter().map(|a| named(a)).collect();
        let (units, _) = once(&Target { gpu: Some(gpu), ..target(DeviceKind::Gpu) }, &all);
        assert_eq!(units.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), DONE);
    }

    #[test]
    fn work_that_there_is_not_has_a_reason() {
        let ddpg = named("ddpg");
        let why = steady::prepare(ddpg.subject.as_ref(), Kind::Training, None, TINY).err().unwrap();
        assert!(why.contains("off-policy"), "{why}");
        let mut inference = steady::prepare(ddpg.subject.as_ref(), Kind::Policy, None, TINY).unwrap();
        assert_eq!(inference(), Ok(600));
    }
}
