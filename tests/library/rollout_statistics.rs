//! Whole episodes of the reference agents of task v2x, on the GPU and by the f32 twins from the same draws: 512
//! environments at 40 dBm. Errors may add up over the slots here, so this bounds what step-by-step comparison cannot
//! see.

use crate::common::gpu_or_skip;
use isacbench::config::Layered;
use isacbench::env::TRUNCATED;
use isacbench::gpu::{Fill, Gpu};
use isacbench::kernels::{metrics_accumulate, metrics_reduce};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::kernels::{v2x_batch, v2x_reference, v2x_reset, v2x_step};
use isacbench::tasks::v2x::physics::{V2xParams, V2xSpec, metric};
use isacbench::tasks::v2x::reference::Reference;

const B: usize = 512;

/// What an episode leaves.
struct Episode {
    /// [T, B]
    sum_rate: Vec<f32>,
    /// [T, NM, 2]: Σ and Σ² over the environments.
    slot_sums: Vec<f32>,
    /// [NM, 2]: the same of each environment's mean over the episode.
    episode_sums: Vec<f32>,
    flags: Vec<u32>,
}

struct Setup {
    who: v2x_reference::Spec,
    params: Vec<V2xParams>,
}

impl Setup {
    fn new(who: Reference) -> Setup {
        let config = V2xConfig::load(None, &["task.p_max_dbm=40".into()]).unwrap().task;
        let batch = v2x_batch::Spec { r: 1, b: B, task: V2xSpec { beam: who.beam(), ..config.spec() } };
        Setup { who: v2x_reference::Spec { batch, who }, params: vec![config.params([2026, 0])] }
    }

    fn on_cpu(&self) -> Episode {
        let spec = &self.who.batch;
        let (slots, nm) = (spec.task.slots, spec.task.metric_rows());
        let reduce = metrics_reduce::Spec { r: 1, metric_rows: nm, b: B };
        let accumulate = metrics_accumulate::Spec { elements: spec.metrics_len() };
        let (mut state, mut obs, mut final_obs) =
            (vec![0f32; spec.state_len()], vec![0f32; spec.obs_len()], vec![0f32; spec.obs_len()]);
        let (mut memory, mut action) = (vec![0f32; self.who.memory_len()], vec![0f32; spec.action_len()]);
        let (mut reward, mut flags) = (vec![0f32; slots * B], vec![0u32; slots * B]);
        let (mut metrics, mut episode) = (vec![0f32; spec.metrics_len()], vec![0f32; spec.metrics_len()]);
        let mut slot_sums = vec![0f32; slots * nm * 2];
        let mut episode_sums = vec![0f32; nm * 2];
        let mut sum_rate = Vec::new();
        v2x_reset::v2x_reset_cpu(
            spec,
            &v2x_reset::Args { clock: 0, obs_off: 0 },
            &self.params,
            &mut state,
            &mut obs,
        );
        for slot in 0..slots {
            let clock = slot as u32;
            let at = v2x_reference::Args { clock, action_off: 0 };
            v2x_reference::v2x_reference_cpu(&self.who, &at, &self.params, &state, &mut memory, &mut action);
            let at = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: slot * B, full: true };
            v2x_step::v2x_step_cpu(
                spec,
                &at,
                &self.params,
                &action,
                &mut state,
                &mut obs,
                &mut final_obs,
                &mut reward,
                &mut flags,
                &mut metrics,
            );
            let at = metrics_reduce::Args { scale: 1.0, sums_off: slot * nm * 2 };
            metrics_reduce::metrics_reduce_cpu(&reduce, &at, &metrics, &mut slot_sums);
            metrics_accumulate::metrics_accumulate_cpu(&accumulate, slot == 0, &metrics, &mut episode);
            sum_rate.extend_from_slice(&metrics[metric::SUM_RATE * B..][..B]);
        }
        let at = metrics_reduce::Args { scale: 1.0 / slots as f32, sums_off: 0 };
        metrics_reduce::metrics_reduce_cpu(&reduce, &at, &episode, &mut episode_sums);
        Episode { sum_rate, slot_sums, episode_sums, flags }
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<Episode, isacbench::gpu::GpuError> {
        let spec = &self.who.batch;
        let (slots, nm) = (spec.task.slots, spec.task.metric_rows());
        let params = gpu.upload("params", &[1], &self.params)?;
        let f32s = |label: &str, n: usize| gpu.alloc::<f32>(label, &[n], Fill::Poison);
        let state = f32s("state", spec.state_len())?;
        let (obs, final_obs) = (f32s("obs", spec.obs_len())?, f32s("final_obs", spec.obs_len())?);
        let (memory, action) =
            (f32s("memory", self.who.memory_len().max(1))?, f32s("action", spec.action_len())?);
        let reward = f32s("reward", slots * B)?;
        let flags = gpu.alloc::<u32>("flags", &[slots * B], Fill::Poison)?;
        let (metrics, episode) = (f32s("metrics", spec.metrics_len())?, f32s("episode", spec.metrics_len())?);
        let (slot_sums, episode_sums) = (f32s("slot_sums", slots * nm * 2)?, f32s("episode_sums", nm * 2)?);

        let reset = v2x_reset::V2xReset::new(gpu, spec)?.bind(gpu, &params, &state, &obs);
        let agent =
            v2x_reference::V2xReference::new(gpu, &self.who)?.bind(gpu, &params, &state, &memory, &action);
        let step = v2x_step::V2xStep::new(gpu, spec)?
            .bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics);
        let reduce =
            metrics_reduce::MetricsReduce::new(gpu, &metrics_reduce::Spec { r: 1, metric_rows: nm, b: B })?;
        let (reduce_slot, reduce_episode) =
            (reduce.bind(gpu, &metrics, &slot_sums), reduce.bind(gpu, &episode, &episode_sums));
        let accumulate = metrics_accumulate::MetricsAccumulate::new(
            gpu,
            &metrics_accumulate::Spec { elements: spec.metrics_len() },
        )?
        .bind(gpu, &metrics, &episode);

        let mut sum_rate = Vec::new();
        gpu.run(|pass| reset.record(pass, &v2x_reset::Args { clock: 0, obs_off: 0 }))?;
        for slot in 0..slots {
            let clock = slot as u32;
            gpu.run(|pass| {
                agent.record(pass, &v2x_reference::Args { clock, action_off: 0 });
                step.record(
                    pass,
                    &v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: slot * B, full: true },
                );
                reduce_slot.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off: slot * nm * 2 });
                accumulate.record(pass, slot == 0);
            })?;
            sum_rate.extend_from_slice(&gpu.read(&metrics)?[metric::SUM_RATE * B..][..B]);
        }
        gpu.run(|pass| {
            reduce_episode.record(pass, &metrics_reduce::Args { scale: 1.0 / slots as f32, sums_off: 0 })
        })?;
        Ok(Episode {
            sum_rate,
            slot_sums: gpu.read(&slot_sums)?,
            episode_sums: gpu.read(&episode_sums)?,
            flags: gpu.read(&flags)?,
        })
    }
}

/// (mean, variance of the mean) over the environments from Σ and Σ².
fn mean(sums: &[f32]) -> (f64, f64) {
    let n = B as f64;
    let (mean, square) = (f64::from(sums[0]) / n, f64::from(sums[1]) / n);
    (mean, (square - mean * mean).max(0.0) / (n - 1.0))
}

fn episode_agrees(who: Reference) -> f64 {
    let Some(gpu) = gpu_or_skip() else { return f64::NAN };
    let setup = Setup::new(who);
    let (cpu, dev) = (setup.on_cpu(), setup.on_gpu(gpu).unwrap());
    let slots = setup.who.batch.task.slots;
    let nm = setup.who.batch.task.metric_rows();

    // Same draws: the environments themselves agree, not only their statistics.
    let gap: f64 = cpu.sum_rate.iter().zip(&dev.sum_rate).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>()
        / (slots * B) as f64;
    println!("{who:?}: mean |difference of the sum-rate| = {gap:e} bps/Hz");
    assert!(gap < 1e-3, "{who:?}: mean |difference of the sum-rate| is {gap:e} bps/Hz");

    for slot in 0..slots {
        let at = (slot * nm + metric::SUM_RATE) * 2;
        let ((a, var_a), (b, var_b)) = (mean(&cpu.slot_sums[at..]), mean(&dev.slot_sums[at..]));
        // The floor is the rounding of Σx and Σx² in f32, where environments hardly differ.
        let allowed = 4.0 * (var_a + var_b).sqrt() + 1e-4;
        assert!(
            (a - b).abs() <= allowed,
            "{who:?}, slot {slot}: mean sum-rate {a} on the CPU, {b} on the GPU, allowed ±{allowed}"
        );
        // The reduction is of the very metrics that were read back.
        let direct = dev.sum_rate[slot * B..][..B].iter().map(|x| f64::from(*x)).sum::<f64>() / B as f64;
        assert!(
            (direct - b).abs() < 1e-5 * direct.abs(),
            "{who:?}, slot {slot}: reduced {b}, summed here {direct}"
        );
    }
    // No environment passes its upper bound on average, and the mean over the episode is that of the slots.
    let (over, _) = mean(&dev.episode_sums[2 * metric::SUM_RATE..]);
    let (bound, _) = mean(&dev.episode_sums[2 * metric::UPPER_BOUND..]);
    assert!(over > 0.0 && over <= bound * (1.0 + 1e-5), "{who:?}: {over} bps/Hz against a bound of {bound}");
    let by_slots = (0..slots).map(|t| mean(&dev.slot_sums[(t * nm + metric::SUM_RATE) * 2..]).0).sum::<f64>()
        / slots as f64;
    assert!(
        (over - by_slots).abs() < 1e-4 * over,
        "{who:?}: episode mean {over}, mean of the slots {by_slots}"
    );
    let (on_cpu, _) = mean(&cpu.episode_sums[2 * metric::SUM_RATE..]);
    assert!((over - on_cpu).abs() < 1e-3, "{who:?}: episode mean {over} on the GPU, {on_cpu} on the CPU");
    // Every episode ends at the last slot and nowhere else.
    for (i, f) in dev.flags.iter().enumerate() {
        assert_eq!(
            *f,
            if i / B == slots - 1 { TRUNCATED } else { 0 },
            "flag of slot {}, environment {}",
            i / B,
            i % B
        );
    }
    over
}

#[test]
fn reference_agents() {
    let simple = [Reference::Random, Reference::LastEstimate, Reference::Ekf];
    let all = [&simple[..], &[Reference::Genie, Reference::GenieZf, Reference::Ukf]].concat();
    let rates: Vec<f64> = all.into_iter().map(episode_agrees).collect();
    if rates[0].is_nan() {
        return;
    }
    println!("mean sum-rates: {rates:?} bps/Hz");
    // Any pointing beats chance, and knowing the coming angles beats the last ones.
    assert!(rates[1..].iter().all(|r| *r > rates[0]), "{rates:?}");
    assert!(rates[3] >= rates[1] && rates[4] >= rates[3], "{rates:?}");
}
