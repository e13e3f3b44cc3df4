//! Whole updates, and what their parts take.

use crate::harness::{Bench, Checks, Effort, Failure, Host, Hosted, Ready, Subject, Timed};
use crate::workload::learner::{Learner, Size, Who, experts_spec, flops, ppo_spec, steps, v2x_agent};
use criterion::SamplingMode;
use isacbench::bench::device::Place;
use isacbench::bench::grid::Grid;
use isacbench::bench::{Device, DeviceKind, Section, Work};
use isacbench::gpu::GpuError;
use isacbench::gpu::timestamps::{AROUND_SPAN, Timestamps};
use isacbench::learn::ppo_gpu::RolloutPath;
use isacbench::tasks;
use isacbench::tasks::misac::agents::H_MOE;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A row of the results that learns.
pub struct Agent {
    pub task: &'static str,
    pub id: &'static str,
    pub who: Who,
}

/// One of each kind of network: perceptrons, spiking neurons, an LSTM.
pub fn agents() -> [Agent; 3] {
    [
        Agent { task: "v2x", id: "ppo", who: Who::V2x("ppo") },
        Agent { task: "v2x", id: "spiking-ac", who: Who::V2x("spiking-ac") },
        Agent { task: "misac", id: "h-moe", who: Who::Misac(H_MOE) },
    ]
}

impl Agent {
    pub fn sizes(&self, grid: Grid, kind: DeviceKind) -> Vec<Size> {
        let all = match self.who {
            Who::V2x(_) => tasks::v2x::bench::learner_sizes(grid, kind),
            Who::Misac(_) => tasks::misac::bench::learner_sizes(grid, kind),
        };
        all.into_iter().map(Size::from).collect()
    }

    /// Group `what_TASK_AGENT`, without work.
    pub fn subject(&self, what: &str, section: Section, size: Size) -> Subject {
        Subject {
            group: format!("{what}_{}_{}", self.task, self.id),
            section,
            task: Some(self.task),
            policy: Some(self.id),
            sizes: vec![("R", size.r), ("B", size.b), ("H", size.h)],
            work: Work::default(),
        }
    }

    /// On an adapter a small training's first gradients against the CPU backend; on the CPU its networks and physics
    /// against the twins.
    pub fn check(&self, checks: &mut Checks, place: &Place) -> Result<String, Failure> {
        self.check_path(checks, place, None)
    }

    /// The same with rollouts of task v2x that go `path`, if one is given.
    pub fn check_path(
        &self,
        checks: &mut Checks,
        place: &Place,
        path: Option<RolloutPath>,
    ) -> Result<String, Failure> {
        let (who, small) = (self.who, Size { r: 1, b: 16, h: 128 });
        match place {
            Place::Gpu(gpu) => checks.once(format!("{} {path:?} {}", self.id, gpu.info.name), || match who {
                Who::V2x(id) => tasks::v2x::bench::check_gpu(gpu, v2x_agent(id), path),
                Who::Misac(_) => tasks::misac::bench::check_gpu(gpu),
            }),
            Place::Cpu => checks.once(self.id.into(), || match who {
                Who::V2x(id) => tasks::v2x::bench::check_cpu(&ppo_spec(id, small)),
                Who::Misac(which) => {
                    tasks::misac::bench::check_cpu(&experts_spec(which, Size { h: 64, ..small }))
                }
            }),
        }
    }
}

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let device = place.device();
        for agent in agents() {
            for size in agent.sizes(bench.grid, device.kind) {
                let subject = Subject {
                    work: Work {
                        env_steps: Some(steps(agent.who, size) as f64),
                        flops: flops(agent.who, size).training(),
                        ..Work::default()
                    },
                    ..agent.subject("training", Section::Training, size)
                };
                bench.measure(subject, device.clone(), Effort::LONG, |checks| {
                    let check = agent.check(checks, &place)?;
                    let mut learner = Learner::new(agent.who, size, place.gpu())?;
                    let work = move || learner.update();
                    let gpu = place.gpu().cloned();
                    Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu }) })
                });
            }
            let first =
                agent.sizes(bench.grid, device.kind).into_iter().max_by_key(|s| (s.h == 128, s.r * s.b));
            if let Some(size) = first {
                phases(bench, &agent, &place, &device, size);
            }
        }
    }
}

/// Parts of an update, in order.
const PHASES: [&str; 4] = ["rollout", "gae", "update", "readback"];

/// Updates whose parts are timed, behind one that warms up.
const UPDATES: usize = 10;

/// Seconds that each part of each update of one run took, by the wall and on the device.
struct UpdateTimes {
    check: String,
    wall_s: Vec<[f64; 4]>,
    device_s: Vec<[f64; 4]>,
}

/// The same samples for every part: what the first of them that criterion asks for has measured.
struct PhaseTimes {
    run: Rc<UpdateTimes>,
    part: usize,
    next: usize,
    next_on_device: usize,
}

impl Timed for PhaseTimes {
    fn run(&mut self, iterations: u64) -> Result<Duration, GpuError> {
        let mut sum = 0.0;
        for _ in 0..iterations {
            sum += self.run.wall_s[self.next % self.run.wall_s.len()][self.part];
            self.next += 1;
        }
        Ok(Duration::from_secs_f64(sum))
    }

    fn on_device(&mut self) -> Result<Option<(f64, &'static str)>, GpuError> {
        let Some(s) = self.run.device_s.get(self.next_on_device % self.run.device_s.len().max(1)) else {
            return Ok(None);
        };
        self.next_on_device += 1;
        Ok(Some((s[self.part], AROUND_SPAN)))
    }
}

impl UpdateTimes {
    fn new(agent: &Agent, place: &Place, size: Size, check: String) -> Result<UpdateTimes, GpuError> {
        let mut learner = Learner::new(agent.who, size, place.gpu())?;
        learner.update()?;
        let mut run = UpdateTimes { check, wall_s: Vec::new(), device_s: Vec::new() };
        for _ in 0..UPDATES {
            let mut parts = [0.0; 4];
            for (part, s) in parts.iter_mut().enumerate() {
                let start = Instant::now();
                step(&mut learner, part)?;
                learner.wait()?;
                *s = start.elapsed().as_secs_f64();
            }
            run.wall_s.push(parts);
        }
        // Once more with the device's clock, which would slow the others down.
        let Some((gpu, stamps)) = place.gpu().and_then(|gpu| Some((gpu, Timestamps::new(gpu)?))) else {
            return Ok(run);
        };
        for _ in 0..3 {
            let mut parts = [0.0; 4];
            for (part, s) in parts.iter_mut().enumerate() {
                match stamps.span(gpu, || step(&mut learner, part))? {
                    Some(seconds) => *s = seconds,
                    None => return Ok(run),
                }
            }
            run.device_s.push(parts);
        }
        Ok(run)
    }
}

fn step(learner: &mut Learner, part: usize) -> Result<(), GpuError> {
    match part {
        0 => learner.rollout(),
        1 => learner.advantages(),
        2 => learner.minibatches(),
        _ => learner.readback(),
    }
}

/// The device is waited for behind every part, so that parts do not overlap: their sum is a little more than an update
/// of `training`.
fn phases(bench: &mut Bench, agent: &Agent, place: &Place, device: &Device, size: Size) {
    let kept: RefCell<Option<Rc<UpdateTimes>>> = RefCell::default();
    let effort = Effort {
        samples: UPDATES,
        // The samples are there already: criterion takes each of them once.
        warm_up: Duration::from_nanos(1),
        measure: Duration::from_nanos(1),
        mode: SamplingMode::Flat,
    };
    let flops = flops(agent.who, size);
    for (part, name) in PHASES.iter().enumerate() {
        let flops = [flops.rollout, flops.advantages, flops.minibatches, None][part];
        let env_steps = Some(steps(agent.who, size) as f64);
        let subject = Subject {
            work: Work { env_steps, flops, ..Work::default() },
            ..agent.subject(&format!("phase_{name}"), Section::Phase, size)
        };
        bench.measure(subject, device.clone(), effort, |checks| {
            if kept.borrow().is_none() {
                let check = agent.check(checks, place)?;
                *kept.borrow_mut() = Some(Rc::new(UpdateTimes::new(agent, place, size, check)?));
            }
            let run = kept.borrow().clone().expect("just made");
            let check = Some(run.check.clone());
            Ok(Ready { check, timed: Box::new(PhaseTimes { run, part, next: 0, next_on_device: 0 }) })
        });
    }
}

/// Advantages and all minibatches over one finished rollout, as often as wanted.
pub struct Updates {
    pub learner: Learner,
}

impl Host for Updates {
    fn prepare(&mut self) -> Result<(), GpuError> {
        self.learner.readback()?;
        self.learner.rollout()
    }
    fn once(&mut self) -> Result<(), GpuError> {
        self.learner.advantages()?;
        self.learner.minibatches()
    }
}
