//! Policy and physics through a horizon, without learning. On an adapter that can do task v2x's rollouts both ways
//! (`RolloutPath`), the way that training does not take has a group of its own: `rollout_v2x_ppo_per_slot` on hardware,
//! `rollout_v2x_ppo_fused` on software Vulkan.

use crate::harness::{Bench, Effort, Hosted, Ready, Subject};
use crate::training::{Agent, agents};
use crate::workload::learner::{Learner, Size, Who, flops, ppo_spec, steps};
use isacbench::bench::device::Place;
use isacbench::bench::{Section, Work};
use isacbench::gpu::GpuError;
use isacbench::learn::ppo_gpu::RolloutPath;

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let device = place.device();
        for agent in agents() {
            for size in agent.sizes(bench.grid, device.kind) {
                rollout(bench, &place, &agent, size, None);
                if let Some(path) = other_path(&place, &agent, size) {
                    rollout(bench, &place, &agent, size, Some(path));
                }
            }
        }
    }
}

/// The path that training does not take on this adapter, where it could.
fn other_path(place: &Place, agent: &Agent, size: Size) -> Option<RolloutPath> {
    let (Place::Gpu(gpu), Who::V2x(id)) = (place, agent.who) else { return None };
    let spec = ppo_spec(id, size);
    let other = match RolloutPath::choose(gpu, &spec) {
        RolloutPath::Fused => RolloutPath::PerSlot,
        RolloutPath::PerSlot => RolloutPath::Fused,
    };
    other.possible(gpu, &spec).then_some(other)
}

fn rollout(bench: &mut Bench, place: &Place, agent: &Agent, size: Size, path: Option<RolloutPath>) {
    let all = steps(agent.who, size) as f64;
    let mut subject = Subject {
        work: Work {
            env_steps: Some(all),
            inferences: Some(all),
            flops: flops(agent.who, size).rollout,
            bytes: None,
        },
        ..agent.subject("rollout", Section::Rollout, size)
    };
    subject.group += match path {
        None => "",
        Some(RolloutPath::Fused) => "_fused",
        Some(RolloutPath::PerSlot) => "_per_slot",
    };
    bench.measure(subject, place.device(), Effort::LONG, |checks| {
        let check = agent.check_path(checks, place, path)?;
        let work = rollouts(agent, size, place, path)?;
        let gpu = place.gpu().cloned();
        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu }) })
    });
}

fn rollouts(
    agent: &Agent,
    size: Size,
    place: &Place,
    path: Option<RolloutPath>,
) -> Result<impl FnMut() -> Result<(), GpuError> + use<>, GpuError> {
    let mut learner = Learner::with_path(agent.who, size, place.gpu(), path)?;
    Ok(move || learner.rollout())
}
