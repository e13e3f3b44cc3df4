//! Environment steps without a policy: actions are drawn every slot as untrained policies would draw them. Task misac
//! also makes every vehicle's channel; on adapters with the gains of K beams, which is more than the CPU side does. One
//! iteration is an episode of every environment; on adapters task v2x keeps its state in registers through as many
//! slots as a dispatch may do.

use crate::harness::{Bench, Effort, Hosted, Passes, Ready, Subject};
use crate::workload::{Physics, misac};
use isacbench::bench::device::Place;
use isacbench::bench::{Section, Work, check};
use isacbench::gpu::{Fill, Gpu, GpuError};
use isacbench::kernels::bernoulli_head;
use isacbench::tasks;
use isacbench::tasks::misac::kernels::*;
use isacbench::tasks::misac::physics::{Choices as MisacChoices, MisacSpec, Phase, Uncertainty, metric};
use isacbench::tasks::v2x::kernels::*;
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, V2xSpec};
use std::hint::black_box;
use std::sync::Arc;

/// Preset `fast`.
const V2X: V2xSpec = V2xSpec {
    vehicles: 3,
    antennas: 32,
    slots: 100,
    beam: Beam::Angles,
    kinematics: Kinematics::Paper,
    choices: Choices::DEFAULT,
};
/// Preset `paper`.
const MISAC: MisacSpec = MisacSpec {
    vehicles: 4,
    antennas: 64,
    slots: 200,
    uncertainty: Uncertainty::Constant,
    choices: MisacChoices::DEFAULT,
};

fn subject(task: &'static str, b: usize, slots: usize, flops: Option<f64>) -> Subject {
    Subject {
        group: format!("physics_{task}"),
        section: Section::Physics,
        task: Some(task),
        policy: None,
        sizes: vec![("R", 1), ("B", b)],
        work: Work { env_steps: Some((b * slots) as f64), flops, ..Work::default() },
    }
}

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let device = place.device();
        for &b in tasks::v2x::bench::physics_sizes(bench.grid, device.kind) {
            let flops = v2x_slots::cost_of(&v2x_batch::Spec { r: 1, b, task: V2X }, V2X.slots).flops;
            bench.measure(subject("v2x", b, V2X.slots, flops), device.clone(), Effort::LONG, |checks| {
                let name = format!("physics v2x {}", device.slug);
                match &place {
                    Place::Cpu => {
                        let check = checks.once(name, tasks::v2x::bench::check_physics)?;
                        let mut physics = Physics::new(b);
                        let work = move || {
                            black_box(physics.run());
                            Ok::<_, GpuError>(())
                        };
                        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu: None }) })
                    }
                    Place::Gpu(gpu) => {
                        let stems = ["v2x_reset", "v2x_slots"];
                        let check = checks.once(name, || check::kernels(gpu, tasks::kernels(), &stems))?;
                        Ok(Ready { check: Some(check), timed: Box::new(v2x(gpu, b)?) })
                    }
                }
            });
        }
        for &b in tasks::misac::bench::physics_sizes(bench.grid, device.kind) {
            // What the CPU side does beside the step is no kernel.
            let flops = place.gpu().and_then(|_| {
                let spec = misac_batch::Spec { r: 1, b, task: MISAC };
                let beams = misac_gain::Spec { batch: spec, phase: Phase::Direct };
                let draw = bernoulli_head::Spec { r: 1, b, a: MISAC.vehicles };
                let slot = misac_step::cost_of(&spec, false).flops?
                    + misac_gain::cost(&beams).flops?
                    + bernoulli_head::cost(&draw).flops?;
                Some(MISAC.slots as f64 * slot)
            });
            bench.measure(subject("misac", b, MISAC.slots, flops), device.clone(), Effort::LONG, |checks| {
                let name = format!("physics misac {}", device.slug);
                match &place {
                    Place::Cpu => {
                        let check = checks.once(name, tasks::misac::bench::check_physics)?;
                        let mut physics = misac::Physics::new(b);
                        let work = move || {
                            black_box(physics.run());
                            Ok::<_, GpuError>(())
                        };
                        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu: None }) })
                    }
                    Place::Gpu(gpu) => {
                        let stems = ["misac_reset", "bernoulli_head", "misac_gain", "misac_step"];
                        let check = checks.once(name, || check::kernels(gpu, tasks::kernels(), &stems))?;
                        Ok(Ready { check: Some(check), timed: Box::new(misac_episode(gpu, b)?) })
                    }
                }
            });
        }
    }
}

/// An episode in as few dispatches as the device allows.
fn v2x(gpu: &Arc<Gpu>, b: usize) -> Result<Passes, GpuError> {
    let spec = v2x_batch::Spec { r: 1, b, task: V2X };
    let zeros = |name: &str, shape: &[usize]| gpu.alloc::<f32>(name, shape, Fill::Zero);
    let params = gpu.upload("params", &[1], &v2x_batch::check_params(&spec, 1))?;
    let (state, obs) = (zeros("state", &[1, V2X.state_rows(), b])?, zeros("obs", &[1, b, V2X.obs_dim()])?);
    let sums = zeros("sums", &[1, v2x_slots::SUMS, b])?;
    let most = v2x_slots::V2xSlots::most_slots(gpu, &spec, V2X.slots);
    let reset = v2x_reset::V2xReset::new(gpu, &spec)?.bind(gpu, &params, &state, &obs);
    let slots = v2x_slots::V2xSlots::new(gpu, &spec, most)?.bind(gpu, &params, &state, &obs, &sums);
    let record = move |pass: &mut wgpu::ComputePass| {
        reset.record(pass, &v2x_reset::Args { clock: 0, obs_off: 0 });
        for clock in (0..V2X.slots).step_by(most) {
            let n = most.min(V2X.slots - clock);
            slots.record(pass, &v2x_slots::Args { clock: clock as u32, slots: n as u32 });
        }
    };
    Ok(Passes::long(gpu, Box::new(record)))
}

fn misac_episode(gpu: &Arc<Gpu>, b: usize) -> Result<Passes, GpuError> {
    let spec = misac_batch::Spec { r: 1, b, task: MISAC };
    let beams = misac_gain::Spec { batch: spec, phase: Phase::Direct };
    let (o, k) = (MISAC.obs_dim(), MISAC.vehicles);
    let zeros = |name: &str, shape: &[usize]| gpu.alloc::<f32>(name, shape, Fill::Zero);
    let params = gpu.upload("params", &[1], &misac_batch::check_params(&spec, 1))?;
    let keys = gpu.upload("keys", &[1], &[[1u32, 0]])?;
    // Cameras on with probability 0.3.
    let logits = gpu.upload("logits", &[1, b, k], &vec![(0.3f32 / 0.7).ln(); b * k])?;
    let (action, logprob) = (zeros("action", &[1, b, k])?, zeros("logprob", &[1, b])?);
    let (state, obs) = (zeros("state", &[1, MISAC.state_rows(), b])?, zeros("obs", &[1, b, o])?);
    let (final_obs, reward) = (zeros("final_obs", &[1, b, o])?, zeros("reward", &[1, b])?);
    let flags = gpu.alloc::<u32>("flags", &[1, b], Fill::Zero)?;
    let metrics = zeros("metrics", &[1, metric::ROWS, b])?;
    let (phases, gains) =
        (zeros("phases", &[1, b, k, MISAC.antennas])?, zeros("gains", &[beams.gains_len()])?);
    let reset = misac_reset::MisacReset::new(gpu, &spec)?.bind(gpu, &params, &state, &obs);
    let draw = bernoulli_head::BernoulliHead::new(gpu, &bernoulli_head::Spec { r: 1, b, a: k })?
        .bind(gpu, &keys, &logits, &action, &logprob);
    let gain = misac_gain::MisacGain::new(gpu, &beams)?.bind(gpu, &params, &state, &phases, &gains);
    let step = misac_step::MisacStep::new(gpu, &spec)?
        .bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
    let record = move |pass: &mut wgpu::ComputePass| {
        reset.record(pass, &misac_reset::Args { clock: 0, state_off: 0, obs_off: 0 });
        for clock in 0..MISAC.slots as u32 {
            let args = bernoulli_head::Args {
                b,
                clock,
                greedy: false,
                logits_off: 0,
                action_off: 0,
                logprob_off: 0,
            };
            draw.record(pass, &args);
            gain.record(pass, &misac_gain::Args { clock, state_off: 0, phases_off: 0 });
            let args = misac_step::Args {
                clock,
                action_off: 0,
                state_off: 0,
                next_off: 0,
                obs_off: 0,
                reward_off: 0,
                full: false,
            };
            step.record(pass, &args);
        }
    };
    Ok(Passes::long(gpu, Box::new(record)))
}
