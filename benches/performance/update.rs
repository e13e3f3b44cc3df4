//! Advantages and all minibatches of all epochs over a finished rollout, which is made anew before each sample and not
//! timed.

use crate::harness::{Bench, Effort, Hosted, Ready, Subject};
use crate::training::{Updates, agents};
use crate::workload::learner::{Learner, flops, steps};
use isacbench::bench::{Section, Work};

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let device = place.device();
        for agent in agents() {
            for size in agent.sizes(bench.grid, device.kind) {
                let subject = Subject {
                    work: Work {
                        env_steps: Some(steps(agent.who, size) as f64),
                        flops: flops(agent.who, size).update(),
                        ..Work::default()
                    },
                    ..agent.subject("update", Section::Update, size)
                };
                bench.measure(subject, device.clone(), Effort::LONG, |checks| {
                    let check = agent.check(checks, &place)?;
                    let mut learner = Learner::new(agent.who, size, place.gpu())?;
                    learner.rollout()?;
                    learner.advantages()?;
                    let (work, gpu) = (Updates { learner }, place.gpu().cloned());
                    Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu }) })
                });
            }
        }
    }
}
