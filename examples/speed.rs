use isacbench::{config::Config, learn::{LearnerState, PpoSpec, Replica, ppo_cpu::*}, task::v2x::*};
use rayon::prelude::*;
use std::time::Instant;
fn main() {
    let sets: Vec<String> = std::env::args().skip(1).collect();
    let c = Config::load(None, &sets).unwrap();
    let spec = c.task.spec();
    let (envs, ch) = (8192usize, 256usize);
    let params = c.task.params([0, 0]);
    let mut chunks: Vec<_> = (0..envs / ch).map(|i| {
        let mut state = vec![0f32; 30 * ch]; let mut obs = vec![0f32; 12 * ch];
        reset_chunk(&spec, &params, ch, (i * ch) as u32, &mut state, &mut obs, 0);
        (i, state, obs, vec![0.1f32; 6 * ch], vec![0f32; 12 * ch], vec![0f32; ch], vec![0u32; ch]) }).collect();
    for _ in 0..3 {
        let t0 = Instant::now();
        chunks.par_iter_mut().for_each(|(i, state, obs, act, fo, rew, fl)| for clock in 0..400u32 {
            step_chunk(&spec, Batch { params: &params, envs: ch, first: (*i * ch) as u32, state, obs }, act, StepSlices { final_obs: fo, reward: rew, flags: fl, metrics: None, full: false }, clock) });
        let dt = t0.elapsed().as_secs_f64();
        println!("physics {:.3e} steps/s", (envs * 400) as f64 / dt);
    }
    let ps = PpoSpec { task: spec, ppo: c.ppo.clone(), replicas: c.train.seeds.iter().map(|s| Replica { seed: *s, task: c.task.params([*s, 0]) }).collect() };
    let mut e = PpoCpu::new(&ps, &LearnerState::new(&ps));
    let n = (ps.samples() * ps.replicas.len()) as f64;
    let (mut tr, mut tm, mut steps) = (0.0, 0.0, 0.0);
    for u in 0..c.train.updates {
        let t0 = Instant::now(); e.rollout(); let t1 = Instant::now();
        let lr = isacbench::learn::learning_rates(&c.ppo, u, c.train.updates);
        for ep in 0..c.ppo.epochs { for mb in 0..ps.minibatches() { e.minibatch(u, ep as u32, mb as u32, lr); } }
        let t2 = Instant::now();
        tr += (t1 - t0).as_secs_f64(); tm += (t2 - t1).as_secs_f64(); steps += n;
        let m = e.metrics();
        if u % 10 == 0 || u + 1 == c.train.updates {
            let mean = |f: fn(&isacbench::learn::UpdateMetrics) -> f64| m.iter().map(f).sum::<f64>() / m.len() as f64;
            println!("u {u} steps {:.2e} reward {:.3} rate {:.3} jain {:.3} ind {:.3} pg {:.4} v {:.4} ent {:.3} kl {:.4} clip {:.3} na {:.3} nc {:.3} | rollout {:.3e}/s train {:.3e}/s",
                steps / m.len() as f64, mean(|x| x.reward), mean(|x| x.sum_rate_bps_hz), mean(|x| x.jain), mean(|x| x.indicator_share), mean(|x| x.policy_loss), mean(|x| x.value_loss), mean(|x| x.entropy), mean(|x| x.approx_kl), mean(|x| x.clip_fraction), mean(|x| x.grad_norm_actor), mean(|x| x.grad_norm_critic), steps / tr, steps / (tr + tm));
        }
    }
}
