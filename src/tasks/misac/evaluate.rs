//! Evaluation of task misac, on the CPU in vector lanes or on a GPU, with the same draws: energies, constraints,
//! tracking and what the beams reach.

use super::evaluate_gpu;
use super::judge::{Judge, REACHED};
pub use super::outcome::{
    AGE_MAX, BEAM_GAIN, COST, Controller, ENERGY, ESTIMATE_GAIN, FRAMES, L_BMP, MAE, METRICS, MODULUS_ERROR,
    MisacEstimates, MisacEvaluation, POWER, REWARD, SHARE_OVER_AGE, SHARE_OVER_GAMMA, SUM_RATE,
    TRUE_ANGLE_GAIN,
};
use super::outcome::{Sums, larger};
use super::outside::split;
use crate::env::{At, Batch, StepSlices};
use crate::gpu::{Gpu, GpuError};
use crate::learn::phases_cpu::draw_phases;
use crate::nets::experts::{ExpertsCpu, ExpertsState, act};
use crate::num::real::run_lanes;
use crate::run::actor::schedule;
use crate::run::evaluate::{KEY_BATCH, Moment};
use crate::tasks::misac::agents::Slot;
use crate::tasks::misac::physics::{MisacParams, metric, misac_reset_chunk, misac_step_chunk};
use rayon::prelude::*;

/// Episodes that a thread carries at once.
const CHUNK: u64 = 256;

/// Runs the evaluation on the GPU if one is given and [`MisacEvaluation::decides_on_gpu`], else on the CPU; `progress`
/// gets the number of episodes that were finished since its last call. Results depend neither on the number of threads
/// nor on how episodes are grouped.
pub fn evaluate(
    eval: &MisacEvaluation,
    gpu: Option<&Gpu>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<MisacEstimates>, GpuError> {
    match gpu.filter(|_| eval.decides_on_gpu()) {
        Some(gpu) => evaluate_gpu::evaluate(eval, gpu, progress),
        None => Ok(on_cpu(eval, progress)),
    }
}

/// The same on the CPU, many episodes side by side and the next ones behind them: of a controller that one thread asks.
pub fn in_order(eval: &MisacEvaluation, progress: &(dyn Fn(u64) + Sync)) -> Vec<MisacEstimates> {
    let one = |(r, params): (usize, &MisacParams)| {
        let mut sums = Sums::new(&eval.task);
        for first in (0..eval.episodes).step_by(KEY_BATCH as usize) {
            let n = KEY_BATCH.min(eval.episodes - first);
            let params = MisacParams { key: [params.key[0], 1 + (first / KEY_BATCH) as u32], ..*params };
            sums.add(&episodes(eval, None, r, &params, 0, n as usize));
            progress(n);
        }
        sums.estimates()
    };
    eval.replicas.iter().enumerate().map(one).collect()
}

fn on_cpu(eval: &MisacEvaluation, progress: &(dyn Fn(u64) + Sync)) -> Vec<MisacEstimates> {
    let chunks = eval.episodes.div_ceil(CHUNK);
    let nets: Vec<ExpertsCpu> = match &eval.controller {
        Controller::Fixed(_) | Controller::Outside { .. } => Vec::new(),
        Controller::Learned { layout, params, .. } => params
            .chunks(layout.params())
            .map(|p| {
                let mut net = ExpertsCpu::new(layout);
                net.pack(p);
                net
            })
            .collect(),
    };
    let mut out = vec![Sums::new(&eval.task); eval.replicas.len()];
    // Chunks are taken a few thousand at a time, so that memory does not grow with the number of episodes.
    let tasks = eval.replicas.len() as u64 * chunks;
    let mut next = 0;
    while next < tasks {
        let upto = tasks.min(next + 4096);
        let sums: Vec<(usize, Sums)> = (next..upto)
            .into_par_iter()
            .map(|i| {
                // Whoever waits for the evaluation may end it between two chunks.
                progress(0);
                let (r, first) = ((i / chunks) as usize, i % chunks * CHUNK);
                let n = CHUNK.min(eval.episodes - first);
                let mut params = eval.replicas[r];
                params.key[1] = 1 + (first / KEY_BATCH) as u32;
                let s = episodes(eval, nets.get(r), r, &params, (first % KEY_BATCH) as u32, n as usize);
                progress(n);
                (r, s)
            })
            .collect();
        for (r, s) in &sums {
            out[*r].add(s);
        }
        next = upto;
    }
    out.iter().map(Sums::estimates).collect()
}

/// `envs` episodes side by side, the first as environment `first`.
fn episodes(
    eval: &MisacEvaluation,
    net: Option<&ExpertsCpu>,
    replica: usize,
    params: &MisacParams,
    first: u32,
    envs: usize,
) -> Sums {
    let task = &eval.task;
    let (o, k) = (task.obs_dim(), task.vehicles);
    let mut state = vec![0f32; task.state_rows() * envs];
    let (mut obs, mut final_obs) = (vec![0f32; envs * o], vec![0f32; envs * o]);
    let mut action = vec![0f32; envs * k];
    let (mut reward, mut flags) = (vec![0f32; envs], vec![0u32; envs]);
    let mut rows = vec![0f32; metric::ROWS * envs];
    let mut reached = vec![0f32; REACHED * envs];
    let mut sums = Sums::new(task);
    // Of every episode: sums over slots, in f64.
    let mut total = vec![[0f64; METRICS.len()]; envs];
    let mut power_gain = vec![[0f64; 4]; envs];

    let mut logits = vec![0f32; if net.is_some() { envs * k } else { 0 }];
    let mut phases = vec![0f32; net.map_or(0, |n| envs * n.layout.phases())];
    let (mut means, mut density) = (phases.clone(), vec![0f32; envs]);
    let mut recurrent = net.map(|n| ExpertsState::new(&n.layout, envs));
    let whole = match &eval.controller {
        Controller::Outside { phases: true, .. } => k + k * task.antennas,
        _ => k,
    };
    let mut written = vec![0f32; envs * whole];
    misac_reset_chunk(task, params, envs, first, &mut state, &mut obs, 0);
    let mut memory: Vec<Vec<u32>> = Vec::new();
    if let Controller::Fixed(schedules) = &eval.controller {
        let start = |env| Slot { task, params, state: &state, envs, env, id: first + env as u32, slot: 0 };
        memory = (0..envs).map(|env| schedules[replica].begin(&start(env))).collect();
    }
    for slot in 0..task.slots {
        let clock = slot as u32;
        let judged = slot.is_multiple_of(eval.gain_stride);
        let at = At { replica, key: params.key, first, envs, clock };
        match &eval.controller {
            Controller::Fixed(schedules) => {
                for (env, (pi, memory)) in action.chunks_mut(k).zip(&memory).enumerate() {
                    let now = Slot { task, params, state: &state, envs, env, id: first + env as u32, slot };
                    schedules[replica].decide(&now, memory, pi);
                }
            }
            Controller::Outside { rule, .. } => {
                rule.act(&Moment { at, state: &state, obs: &obs }, &mut [], &mut written);
                (action, phases) = split(&written, k, whole);
            }
            Controller::Learned { layout, greedy, .. } => {
                let (net, recurrent) =
                    (net.expect("one per replica"), recurrent.as_mut().expect("made above"));
                let wanted = judged.then_some(&mut phases[..]);
                act(net, envs, &obs, recurrent, &mut logits, wanted);
                if judged && !greedy && layout.log_std.is_some() {
                    means.copy_from_slice(&phases);
                    draw_phases(net, &at, &means, &mut phases, &mut density);
                }
                schedule(&at, *greedy, &logits, &mut action);
                for row in obs.chunks(o) {
                    for (n, x) in sums.active_inputs.iter_mut().zip(&row[..layout.seen()]) {
                        *n += u64::from(*x != 0.0);
                    }
                }
            }
        }
        if judged {
            let phases = (!phases.is_empty()).then_some(&phases[..]);
            run_lanes(Judge { task, params, envs, first, clock, state: &state, phases, out: &mut reached });
            for (env, (total, gain)) in total.iter_mut().zip(&mut power_gain).enumerate() {
                let row = |n: usize| f64::from(reached[n * envs + env]);
                gain.iter_mut().enumerate().for_each(|(n, sum)| *sum += row(n));
                total[SUM_RATE] += row(4);
                total[MODULUS_ERROR] = larger(total[MODULUS_ERROR], row(5));
                total[POWER] += row(6);
            }
        }
        let batch = Batch { params, envs, first, state: &mut state, obs: &mut obs };
        let out = StepSlices {
            final_obs: &mut final_obs,
            reward: &mut reward,
            flags: &mut flags,
            metrics: Some(&mut rows),
            full: true,
        };
        misac_step_chunk(task, batch, &action, out, clock);
        for (env, total) in total.iter_mut().enumerate() {
            let row = |n: usize| f64::from(rows[n * envs + env]);
            let (energy, mae) = (row(metric::ENERGY), row(metric::ANGLE_MAE).to_degrees());
            total[ENERGY] += energy;
            total[REWARD] += row(metric::REWARD);
            total[L_BMP] += row(metric::L_BMP);
            total[SHARE_OVER_GAMMA] += row(metric::OVER_GAMMA);
            total[SHARE_OVER_AGE] += row(metric::OVER_AGE);
            total[AGE_MAX] = larger(total[AGE_MAX], row(metric::AGE_MAX));
            total[MAE] += mae;
            total[FRAMES] += action[env * k..][..k].iter().map(|x| f64::from(*x)).sum::<f64>();
            for (sum, x) in sums.slots[slot].iter_mut().zip([energy, mae]) {
                sum[0] += x;
                sum[1] += x * x;
            }
        }
    }
    for (total, gains) in total.into_iter().zip(power_gain) {
        sums.put_episode(eval, total, gains);
    }
    sums
}
