//! Policy and physics through a horizon, without learning.

use crate::harness::{Bench, Effort, Hosted, Ready, Subject};
use crate::training::{Agent, agents};
use crate::workload::learner::{Learner, Size, flops, steps};
use isacbench::bench::{Section, Work};
use isacbench::gpu::GpuError;

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let device = place.device();
        for agent in agents() {
            for size in agent.sizes(bench.grid, device.kind) {
                let all = steps(agent.who, size) as f64;
                let subject = Subject {
                    work: Work {
                        env_steps: Some(all),
                        inferences: Some(all),
                        flops: flops(agent.who, size).rollout,
                        bytes: None,
                    },
                    ..agent.subject("rollout", Section::Rollout, size)
                };
                bench.measure(subject, device.clone(), Effort::LONG, |checks| {
                    let check = agent.check(checks, &place)?;
                    let work = rollouts(&agent, size, &place)?;
                    let gpu = place.gpu().cloned();
                    Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu }) })
                });
            }
        }
    }
}

fn rollouts(
    agent: &Agent,
    size: Size,
    place: &isacbench::bench::device::Place,
) -> Result<impl FnMut() -> Result<(), GpuError> + use<>, GpuError> {
    let mut learner = Learner::new(agent.who, size, place.gpu())?;
    Ok(move || learner.rollout())
}
