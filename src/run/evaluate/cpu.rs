//! Evaluation on the CPU: vector lanes, rayon; chunks of episodes in the order of their numbers.

use super::{
    Controller, Evaluation, Histograms, KEY_BATCH, Moment, Precision, ReplicaEstimates, Sums, add_counts,
    counting, no_counts,
};
use crate::env::{At, Slot};
use crate::kernels::quantile_count::quantile_count_cpu;
use crate::nets::Head;
use crate::nets::cpu::{Activations, forward};
use crate::nets::dense::{Packed, Strided};
use crate::nets::{Policy, int8};
use crate::run::actor::decide;
use rayon::prelude::*;
use std::sync::Mutex;

/// Episodes a thread carries at once.
const CHUNK: u64 = 256;

/// A policy's network in the precision that it computes in.
enum Net {
    F32(Packed),
    Int8(int8::Net),
}

impl Net {
    fn new(policy: &Policy, params: &[f32], precision: Precision) -> Self {
        if precision == Precision::Int8 {
            return Net::Int8(int8::Net::new(&policy.net, params));
        }
        let mut net = Packed::new(&policy.net);
        net.pack(params);
        Net::F32(net)
    }

    fn forward(&self, rows: usize, x: Strided, acts: &mut Activations) {
        match (self, acts) {
            (Net::F32(net), acts) => forward(net, rows, x, acts),
            (Net::Int8(net), Activations::Dense(acts)) => net.forward(rows, x, acts),
            (Net::Int8(_), Activations::Spiking(_)) => panic!("spiking networks are not quantised"),
        }
    }
}

pub(super) fn evaluate(eval: &Evaluation, progress: &(dyn Fn(u64) + Sync)) -> Vec<ReplicaEstimates> {
    let chunks = eval.episodes.div_ceil(CHUNK);
    let nets: Vec<Net> = match &eval.controller {
        Controller::Rule(_) => Vec::new(),
        Controller::Policy { policy, params, precision, .. } => {
            params.chunks(policy.params).map(|p| Net::new(policy, p, *precision)).collect()
        }
    };
    let replicas = eval.env.replicas();
    let mut out: Vec<Sums> = vec![Sums::new(eval); replicas];
    // Counts are whole numbers: the order in which chunks add theirs does not show.
    let counts: Vec<Mutex<Histograms>> = (0..replicas).map(|_| Mutex::new(no_counts(&*eval.env))).collect();
    // Chunks are taken a few thousand at a time, so that memory does not grow with the number of episodes.
    let tasks = replicas as u64 * chunks;
    let mut next = 0;
    while next < tasks {
        let upto = tasks.min(next + 4096);
        let sums: Vec<(usize, Sums)> = (next..upto)
            .into_par_iter()
            .map(|i| {
                // Whoever waits for the evaluation may end it between two chunks.
                progress(0);
                let (replica, first) = ((i / chunks) as usize, i % chunks * CHUNK);
                let envs = CHUNK.min(eval.episodes - first);
                let at = At {
                    replica,
                    key: eval.key(replica, first / KEY_BATCH),
                    first: (first % KEY_BATCH) as u32,
                    envs: envs as usize,
                    clock: 0,
                };
                let s = episodes(eval, nets.get(replica), at, &counts[replica]);
                progress(envs);
                (replica, s)
            })
            .collect();
        for (r, s) in &sums {
            out[*r].add(s);
        }
        next = upto;
    }
    let counts = counts.into_iter().map(|c| c.into_inner().expect("no thread panics while it adds"));
    out.iter().zip(counts).map(|(s, counts)| s.estimates(&counts)).collect()
}

/// The same by one thread that asks the controller, many episodes side by side and the next ones behind them.
pub(super) fn in_order(eval: &Evaluation, progress: &(dyn Fn(u64) + Sync)) -> Vec<ReplicaEstimates> {
    let one = |replica: usize| {
        let (mut sums, counts) = (Sums::new(eval), Mutex::new(no_counts(&*eval.env)));
        for first in (0..eval.episodes).step_by(KEY_BATCH as usize) {
            let envs = KEY_BATCH.min(eval.episodes - first);
            let key = eval.key(replica, first / KEY_BATCH);
            let at = At { replica, key, first: 0, envs: envs as usize, clock: 0 };
            sums.add(&episodes(eval, None, at, &counts));
            progress(envs);
        }
        sums.estimates(&counts.into_inner().expect("no thread panics while it adds"))
    };
    (0..eval.env.replicas()).map(one).collect()
}

/// Episodes side by side, from their first slot on; what is counted of them is added to `counts`.
fn episodes(eval: &Evaluation, net: Option<&Net>, start: At, counts: &Mutex<Histograms>) -> Sums {
    let (env, size, envs) = (&*eval.env, eval.env.sizes(), start.envs);
    let (o, a, rows) = (size.obs, size.action, size.metrics);
    let mut now = Slot::filled(vec![0f32; size.state * envs], [envs * o, envs * o, envs, rows * envs], 0.0);
    let mut action = vec![0f32; envs * a];
    let mut per_episode = vec![0f64; rows * envs];
    let mut sums = Sums::new(eval);
    let own = match &eval.controller {
        Controller::Rule(rule) => rule.memory(),
        Controller::Policy { .. } => 0,
    };
    let mut memory = vec![0f32; own * envs];
    let mut acts = match &eval.controller {
        Controller::Rule(_) => None,
        Controller::Policy { policy, .. } => Some(Activations::counting(&policy.net, envs)),
    };
    let counting = counting(env, 1, envs);
    let mut counted = vec![0u32; counting.map_or(0, |spec| spec.counts())];
    env.reset(&start, &mut now.state, &mut now.obs);
    for slot in 0..size.slots {
        let at = At { clock: slot as u32, ..start };
        match &eval.controller {
            Controller::Rule(rule) => {
                rule.act(&Moment { at, state: &now.state, obs: &now.obs }, &mut memory, &mut action);
            }
            Controller::Policy { policy, params: flat, greedy, .. } => {
                let (net, acts) = (net.expect("one per replica"), acts.as_mut().expect("made above"));
                let x = Strided { data: &now.obs, row: o, col: 1 };
                net.forward(envs, x, acts);
                acts.count(&policy.net, envs, x, &mut sums.activity);
                acts.carry();
                let log_std = match policy.head {
                    Head::Gaussian { log_std_off } => &flat[at.replica * policy.params + log_std_off..][..a],
                    _ => &[],
                };
                decide(policy, log_std, &at, *greedy, acts, &mut action);
            }
        }
        now.step(env, &at, &action, true);
        if let Some(spec) = &counting {
            quantile_count_cpu(spec, false, &now.metrics, &mut counted);
        }
        for (sum, x) in per_episode.iter_mut().zip(&now.metrics) {
            *sum += f64::from(*x);
        }
        for (told, row) in sums.slots.iter_mut().zip(eval.slots) {
            for x in &now.metrics[row * envs..(row + 1) * envs] {
                told[slot][0] += f64::from(*x);
                told[slot][1] += f64::from(*x) * f64::from(*x);
            }
        }
    }
    add_counts(&mut counts.lock().expect("no thread panics while it adds"), &counted);
    sums.episodes = envs as u64;
    for (kept, limit) in sums.kept.iter_mut().zip(env.limits()) {
        let most = f64::from(limit.most[start.replica]) * size.slots as f64;
        let means = &per_episode[limit.row * envs..][..envs];
        *kept = means.iter().filter(|sum| **sum <= most).count() as u64;
    }
    for (sum, values) in sums.metrics.iter_mut().zip(per_episode.chunks(envs)) {
        for x in values {
            let mean = x / size.slots as f64;
            sum[0] += mean;
            sum[1] += mean * mean;
        }
    }
    sums
}
