//! From a description and a piece of work to criterion's samples and a record beside them.

use crate::workload::learner::Size;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use isacbench::bench::check::CheckError;
use isacbench::bench::device::{DEVICES, Place, places};
use isacbench::bench::grid::{Grid, Learning};
use isacbench::bench::{Device, DeviceKind, DeviceTime, RECORD_FILE, Record, Section, Work, criterion_home};
use isacbench::gpu::timestamps::{AROUND_PASS, AROUND_SPAN, Timestamps};
use isacbench::gpu::{Gpu, GpuError};
use isacbench::run::rows::Sources;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Samples of device time, and how long they may take in all.
const DEVICE_SAMPLES: usize = 10;
const DEVICE_BUDGET: Duration = Duration::from_secs(3);

/// Work that can be timed.
pub trait Timed {
    /// Does it `iterations` times and waits for its end; the wall time of that alone.
    fn run(&mut self, iterations: u64) -> Result<Duration, GpuError>;
    /// Seconds on the device of one iteration, and how they were taken.
    fn on_device(&mut self) -> Result<Option<(f64, &'static str)>, GpuError> {
        Ok(None)
    }
}

/// Dispatches of one kernel or of a few, the same in every iteration.
pub struct Passes {
    gpu: Arc<Gpu>,
    /// Iterations of one submission: enough to hide what a submission costs, few enough for drivers that end long ones.
    most: u64,
    record: Box<dyn Fn(&mut wgpu::ComputePass)>,
}

impl Passes {
    /// An iteration is a dispatch or a few.
    pub fn short(gpu: &Arc<Gpu>, record: Box<dyn Fn(&mut wgpu::ComputePass)>) -> Passes {
        Passes { gpu: gpu.clone(), most: if gpu.is_software() { 1 } else { 20 }, record }
    }

    /// An iteration is hundreds of dispatches.
    pub fn long(gpu: &Arc<Gpu>, record: Box<dyn Fn(&mut wgpu::ComputePass)>) -> Passes {
        Passes { gpu: gpu.clone(), most: 1, record }
    }

    fn pass(&self, pass: &mut wgpu::ComputePass, iterations: u64) {
        (0..iterations).for_each(|_| (self.record)(pass));
    }
}

impl Timed for Passes {
    fn run(&mut self, iterations: u64) -> Result<Duration, GpuError> {
        let start = Instant::now();
        let mut left = iterations;
        while left > 0 {
            let now = left.min(self.most);
            self.gpu.run(|pass| self.pass(pass, now))?;
            left -= now;
        }
        Ok(start.elapsed())
    }

    fn on_device(&mut self) -> Result<Option<(f64, &'static str)>, GpuError> {
        let Some(stamps) = Timestamps::new(&self.gpu) else { return Ok(None) };
        let n = self.most;
        let seconds = stamps.pass(&self.gpu, |pass| self.pass(pass, n))?;
        Ok(Some((seconds / n as f64, AROUND_PASS)))
    }
}

/// Work of a host, which may submit to a device.
pub trait Host {
    /// What goes before and is not timed.
    fn prepare(&mut self) -> Result<(), GpuError> {
        Ok(())
    }
    /// One iteration; need not wait for the device.
    fn once(&mut self) -> Result<(), GpuError>;
}

impl<F: FnMut() -> Result<(), GpuError>> Host for F {
    fn once(&mut self) -> Result<(), GpuError> {
        self()
    }
}

/// [`Host`] work, the wait for the device included.
pub struct Hosted<W> {
    pub work: W,
    pub gpu: Option<Arc<Gpu>>,
}

impl<W: Host> Hosted<W> {
    fn wait(&self) -> Result<(), GpuError> {
        match &self.gpu {
            Some(gpu) => gpu.wait(gpu.queue.submit([])),
            None => Ok(()),
        }
    }
}

impl<W: Host> Timed for Hosted<W> {
    fn run(&mut self, iterations: u64) -> Result<Duration, GpuError> {
        self.work.prepare()?;
        self.wait()?;
        let start = Instant::now();
        for _ in 0..iterations {
            self.work.once()?;
        }
        self.wait()?;
        Ok(start.elapsed())
    }

    fn on_device(&mut self) -> Result<Option<(f64, &'static str)>, GpuError> {
        let Some(gpu) = self.gpu.clone() else { return Ok(None) };
        let Some(stamps) = Timestamps::new(&gpu) else { return Ok(None) };
        self.work.prepare()?;
        self.wait()?;
        let seconds = stamps.span(&gpu, || self.work.once())?;
        Ok(seconds.map(|s| (s, AROUND_SPAN)))
    }
}

/// What has passed its check and can be timed.
pub struct Ready {
    pub check: Option<String>,
    pub timed: Box<dyn Timed>,
}

/// Results of checks that serve several benchmarks.
#[derive(Default)]
pub struct Checks(HashMap<String, Result<String, String>>);

impl Checks {
    /// `check`, once for each `name`.
    pub fn once(
        &mut self,
        name: String,
        check: impl FnOnce() -> Result<String, CheckError>,
    ) -> Result<String, Failure> {
        let kept = self.0.entry(name).or_insert_with(|| check().map_err(|e| e.to_string()));
        kept.clone().map_err(Failure)
    }
}

/// Why a benchmark gave nothing.
#[derive(Debug)]
pub struct Failure(String);

impl From<GpuError> for Failure {
    fn from(e: GpuError) -> Self {
        Failure(e.to_string())
    }
}

/// How long a benchmark takes.
#[derive(Clone, Copy)]
pub struct Effort {
    pub samples: usize,
    pub warm_up: Duration,
    pub measure: Duration,
    pub mode: SamplingMode,
}

impl Effort {
    /// Work of microseconds to milliseconds.
    pub const SHORT: Effort = Effort {
        samples: 15,
        warm_up: Duration::from_millis(200),
        measure: Duration::from_millis(800),
        mode: SamplingMode::Auto,
    };
    /// Work that may take longer than all the time given: then each sample is one iteration.
    pub const LONG: Effort = Effort {
        samples: 10,
        warm_up: Duration::from_millis(200),
        measure: Duration::from_millis(1000),
        mode: SamplingMode::Flat,
    };
}

/// A benchmark's description without its device.
pub struct Subject {
    pub group: String,
    pub section: Section,
    pub task: Option<&'static str>,
    pub policy: Option<&'static str>,
    pub sizes: Vec<(&'static str, usize)>,
    pub work: Work,
}

/// The run.
pub struct Bench {
    criterion: Criterion,
    home: PathBuf,
    /// False where criterion only tries things out.
    saves: bool,
    pub grid: Grid,
    pub places: Vec<Place>,
    checks: Checks,
    failures: Vec<String>,
    /// Revision, and whether files differ from it.
    sources: Sources,
}

impl Bench {
    pub fn new() -> Result<Bench, String> {
        let asked = std::env::var(DEVICES).unwrap_or_else(|_| "cpu".into());
        let places = places(&asked).map_err(|e| format!("{DEVICES}={asked}: {e}"))?;
        let home = criterion_home();
        // Rows have their own intervals; criterion's default of 100,000 resamples would take longer than the
        // measurement.
        let criterion = Criterion::default().nresamples(2000).output_directory(&home).configure_from_args();
        for place in &places {
            let device = place.device();
            println!("benches: on {} ({})", device.name, device.slug);
            if device.kind == DeviceKind::SoftwareGpu {
                println!(
                    "WARNING: a software adapter: small sizes, checks only; its times say nothing about any GPU"
                );
            }
        }
        let has = |flag: &str| std::env::args().any(|a| a == flag);
        Ok(Bench {
            criterion,
            home,
            saves: has("--bench") && !has("--test") && !has("--list"),
            grid: Grid::from_env()?,
            places,
            checks: Checks::default(),
            failures: Vec::new(),
            sources: isacbench::sources!(
                "src",
                "shaders",
                "configs",
                "benches",
                "revision",
                "Cargo.toml",
                "Cargo.lock"
            ),
        })
    }

    /// Times what `ready` gives on `device`, if criterion's filter lets it: `ready` checks and sets up, and is not
    /// called otherwise.
    pub fn measure(
        &mut self,
        subject: Subject,
        device: Device,
        effort: Effort,
        ready: impl FnOnce(&mut Checks) -> Result<Ready, Failure>,
    ) {
        let sizes = subject.sizes.iter().map(|&(letter, n)| (letter.to_owned(), n as u64));
        let mut record = Record {
            group: subject.group,
            section: subject.section,
            task: subject.task.map(String::from),
            policy: subject.policy.map(String::from),
            device,
            sizes: sizes.collect::<BTreeMap<_, _>>(),
            work: subject.work,
            check: None,
            device_time: None,
            git_revision: self.sources.0.map(str::to_string),
            git_dirty: self.sources.1,
        };
        let mut ready = Some(ready);
        let mut running: Option<Ready> = None;
        let id = BenchmarkId::new(&record.device.slug, record.sizes_id());
        let path = record.folder(&self.home).join(RECORD_FILE);
        let (criterion, checks, saves) = (&mut self.criterion, &mut self.checks, self.saves);

        // Failures leave through criterion, which has no other way out of a benchmark.
        let fail = |e: Failure| -> ! { resume_unwind(Box::new(e)) };
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut group = criterion.benchmark_group(&record.group);
            group
                .sample_size(effort.samples)
                .warm_up_time(effort.warm_up)
                .measurement_time(effort.measure)
                .sampling_mode(effort.mode);
            if let Some(n) = record.work.env_steps.or(record.work.inferences).or(record.work.flops) {
                group.throughput(Throughput::Elements(n as u64));
            }
            group.bench_function(id, |b| {
                if let Some(ready) = ready.take() {
                    // Samples of another run must not be taken for this one's if it fails.
                    if saves {
                        let _ = std::fs::remove_file(&path);
                    }
                    let mut first = ready(checks).unwrap_or_else(|e| fail(e));
                    // Drivers compile at the first dispatch: criterion must not plan by that.
                    first.timed.run(1).unwrap_or_else(|e| fail(e.into()));
                    running = Some(first);
                }
                let timed = &mut running.as_mut().expect("set up in the first call").timed;
                b.iter_custom(|n| timed.run(n).unwrap_or_else(|e| fail(e.into())));
            });
            group.finish();
            let Some(ready) = &mut running else { return };
            if saves {
                record.check = ready.check.clone();
                record.device_time = device_time(ready.timed.as_mut()).unwrap_or_else(|e| fail(e.into()));
                record.save(&self.home).unwrap_or_else(|e| fail(Failure(e.to_string())));
            }
        }));
        if let Err(cause) = ended {
            match cause.downcast::<Failure>() {
                Ok(failure) => {
                    let id = format!("{}/{}/{}", record.group, record.device.slug, record.sizes_id());
                    eprintln!("NOT TIMED: {id}: {}", failure.0);
                    self.failures.push(id);
                }
                Err(cause) => resume_unwind(cause),
            }
        }
    }

    /// criterion's last words, and whether anything failed.
    pub fn end(self) -> ExitCode {
        self.criterion.final_summary();
        if self.failures.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("{} benchmarks were not timed: {}", self.failures.len(), self.failures.join(", "));
        ExitCode::FAILURE
    }
}

fn device_time(timed: &mut dyn Timed) -> Result<Option<DeviceTime>, GpuError> {
    let (start, mut seconds, mut how) = (Instant::now(), Vec::new(), "");
    while seconds.len() < DEVICE_SAMPLES && (seconds.is_empty() || start.elapsed() < DEVICE_BUDGET) {
        let Some((s, method)) = timed.on_device()? else { return Ok(None) };
        seconds.push(s);
        how = method;
    }
    Ok(Some(DeviceTime { method: how.into(), seconds }))
}

impl From<Learning> for Size {
    fn from(l: Learning) -> Size {
        Size { r: l.r, b: l.b, h: l.h }
    }
}
