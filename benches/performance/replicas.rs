//! Updating R small replicas of `ppo` in one batch against updating them one after another: the same work, in
//! `replicas_batched` as one learner of R replicas, in `replicas_serial` as R updates of a learner of one, each waited
//! for before the next, as separate runs would do it.

use crate::harness::{Bench, Effort, Host, Hosted, Ready, Subject};
use crate::training::{Agent, Updates, agents};
use crate::workload::learner::{Learner, Size, flops, steps};
use isacbench::bench::{Section, Work};
use isacbench::gpu::GpuError;

/// R updates of one replica.
struct Serial {
    one: Updates,
    replicas: usize,
}

impl Host for Serial {
    fn prepare(&mut self) -> Result<(), GpuError> {
        self.one.prepare()
    }
    fn once(&mut self) -> Result<(), GpuError> {
        for _ in 0..self.replicas {
            self.one.once()?;
            self.one.learner.wait()?;
        }
        Ok(())
    }
}

fn started(agent: &Agent, size: Size, place: &isacbench::bench::device::Place) -> Result<Updates, GpuError> {
    let mut learner = Learner::new(agent.who, size, place.gpu())?;
    learner.rollout()?;
    learner.advantages()?;
    Ok(Updates { learner })
}

pub fn run(bench: &mut Bench) {
    let [agent, ..] = agents();
    for place in bench.places.clone() {
        let device = place.device();
        for size in bench.grid.replicas(device.kind).into_iter().map(Size::from) {
            for batched in [true, false] {
                let group = if batched { "replicas_batched" } else { "replicas_serial" };
                let subject = Subject {
                    group: group.into(),
                    work: Work {
                        env_steps: Some(steps(agent.who, size) as f64),
                        flops: flops(agent.who, size).update(),
                        ..Work::default()
                    },
                    ..agent.subject("", Section::Update, size)
                };
                bench.measure(subject, device.clone(), Effort::LONG, |checks| {
                    let (check, gpu) = (agent.check(checks, &place)?, place.gpu().cloned());
                    let timed: Box<dyn crate::harness::Timed> = if batched {
                        Box::new(Hosted { work: started(&agent, size, &place)?, gpu })
                    } else {
                        let one = started(&agent, Size { r: 1, ..size }, &place)?;
                        Box::new(Hosted { work: Serial { one, replicas: size.r }, gpu })
                    };
                    Ok(Ready { check: Some(check), timed })
                });
            }
        }
    }
}
