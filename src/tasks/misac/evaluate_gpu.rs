//! Evaluation of task misac on a GPU: the episodes under one key side by side in every replica.
//!
//! What is reported of an episode is summed over its slots on the device (`misac_accumulate`) and read when it has
//! ended; the sums over episodes are made here, in f64. Of single slots the device sums over episodes
//! (`metrics_reduce`).

use super::outcome::{
    AGE_MAX, Controller, ENERGY, FRAMES, L_BMP, MAE, METRICS, MODULUS_ERROR, MisacEstimates, MisacEvaluation,
    POWER, REWARD, SHARE_OVER_AGE, SHARE_OVER_GAMMA, SUM_RATE, Sums, rule_of,
};
use crate::gpu::{Buf, Fill, Gpu, GpuError, zeros};
use crate::kernels::activity_count::{self, Units};
use crate::kernels::{bernoulli_head, metrics_reduce, obs_mask};
use crate::learn::experts_gpu::{Acting, DrawnPhases, decision_nets};
use crate::learn::mixture::MixtureForward;
use crate::learn::network::Rows;
use crate::nets::MlpLayout;
use crate::nets::experts::{Decision, ExpertsLayout};
use crate::run::evaluate::KEY_BATCH;
use crate::tasks::misac::agents::{FixedSchedule, Slot};
use crate::tasks::misac::dp::Rule;
use crate::tasks::misac::kernels::misac_accumulate::episode_row;
use crate::tasks::misac::kernels::{
    misac_accumulate, misac_batch, misac_gain, misac_reset, misac_schedule, misac_step,
};
use crate::tasks::misac::physics::{MisacParams, Phase, gain_row, metric};
use rayon::prelude::*;

/// Replicas are taken so many at a time that no buffer is larger.
const MOST_BYTES: u64 = 128 << 20;
/// Slots of one submission: far from the time a device may take for it.
const SLOTS_AT_ONCE: usize = 8;
/// Of [`Sums::slot_rounding`]: `metrics_reduce` may be off by its tolerance in Σx², and by twice as much in (Σx)².
const SLOT_ROUNDING: f64 = 3.0 * metrics_reduce::TOL.rel;

/// As [`super::evaluate::evaluate`], for an evaluation that [`MisacEvaluation::decides_on_gpu`].
pub fn evaluate(
    eval: &MisacEvaluation,
    gpu: &Gpu,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<MisacEstimates>, GpuError> {
    let most = MOST_BYTES.min(gpu.limits.max_storage_buffer_binding_size);
    let at_once = (most / (4 * largest(eval) as u64)).max(1) as usize;
    in_groups(eval, gpu, at_once, progress)
}

/// Numbers that a replica has in the largest buffer.
fn largest(eval: &MisacEvaluation) -> usize {
    let (task, envs) = (&eval.task, KEY_BATCH.min(eval.episodes) as usize);
    let widest_layer = |nets: &[MlpLayout]| nets.iter().flat_map(|n| &n.layers).map(|l| l.outputs).max();
    let deciding = match &eval.controller {
        Controller::Fixed(schedules) => match rule_of(schedules, &eval.replicas) {
            Some((Rule::Plan, _)) => envs * task.slots,
            Some((_, words)) => words.len() / eval.replicas.len(),
            None => 0,
        },
        Controller::Outside { .. } => 0,
        Controller::Learned { layout, .. } => {
            let width = match &layout.decision {
                Decision::Isolated { lstm, phases, .. } => {
                    widest_layer(std::slice::from_ref(phases)).max(Some(4 * lstm.hidden()))
                }
                Decision::Shared { experts, .. } => widest_layer(experts),
            };
            (envs * width.unwrap_or(0)).max(layout.params())
        }
    };
    let beams = envs * task.vehicles * task.antennas.max(gain_row::ROWS);
    deciding.max(beams).max(task.slots * metric::ROWS * 2)
}

/// `at_once` replicas at a time.
fn in_groups(
    eval: &MisacEvaluation,
    gpu: &Gpu,
    at_once: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<MisacEstimates>, GpuError> {
    let mut out = Vec::new();
    for from in (0..eval.replicas.len()).step_by(at_once) {
        let to = (from + at_once).min(eval.replicas.len());
        let controller = match &eval.controller {
            Controller::Fixed(schedules) => Controller::Fixed(&schedules[from..to]),
            Controller::Outside { .. } => unreachable!("it decides on the CPU"),
            Controller::Learned { layout, params, greedy } => {
                let p = layout.params();
                Controller::Learned { layout, params: &params[from * p..to * p], greedy: *greedy }
            }
        };
        let group = MisacEvaluation { replicas: eval.replicas[from..to].to_vec(), controller, ..*eval };
        out.extend(together(&group, gpu, progress)?);
    }
    Ok(out)
}

/// All replicas at once, the episodes of one key after those of the other.
fn together(
    eval: &MisacEvaluation,
    gpu: &Gpu,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<MisacEstimates>, GpuError> {
    let mut out = vec![Sums::new(&eval.task); eval.replicas.len()];
    let mut batch: Option<GpuBatch> = None;
    let mut done = 0;
    while done < eval.episodes {
        let envs = KEY_BATCH.min(eval.episodes - done) as usize;
        if batch.as_ref().is_none_or(|b| b.size.b != envs) {
            batch = Some(GpuBatch::new(eval, gpu, envs)?);
        }
        let with_key = |p: &MisacParams| MisacParams { key: [p.key[0], 1 + (done / KEY_BATCH) as u32], ..*p };
        let params: Vec<MisacParams> = eval.replicas.iter().map(with_key).collect();
        let batch = batch.as_ref().expect("just made");
        for (total, s) in out.iter_mut().zip(batch.run(eval, gpu, &params)?) {
            total.add(&s);
        }
        done += envs as u64;
        progress(envs as u64 * eval.replicas.len() as u64);
    }
    Ok(out.iter().map(Sums::estimates).collect())
}

/// What decides.
enum Deciding {
    Schedule {
        bound: Box<misac_schedule::MisacScheduleBound>,
        /// Where decisions are planned when an episode starts: `[R, B, T]`.
        plan: Option<Buf<u32>>,
    },
    Networks(Box<Networks>),
}

/// What makes the phases.
enum Phases {
    Mean(MixtureForward),
    Drawn(DrawnPhases),
}

struct Networks {
    keys: Buf<[u32; 2]>,
    /// Where the agent does not see ages.
    mask: Option<obs_mask::ObsMaskBound>,
    acting: Acting,
    phases: Phases,
    sample: bernoulli_head::BernoulliHeadBound,
    greedy: bool,
    count: activity_count::ActivityCountBound,
    /// Slots in which each input was not 0, `[R, 3K]`.
    counts: Buf<u32>,
}

/// Buffers and bound kernels for an episode in every environment of every replica.
struct GpuBatch {
    size: misac_batch::Spec,
    params: Buf<MisacParams>,
    state: Buf<f32>,
    /// `[T, R, METRIC_ROWS, 2]`
    slot_sums: Buf<f32>,
    /// `[R, EPISODE_ROWS, B]`
    episode: Buf<f32>,
    reset: misac_reset::MisacResetBound,
    deciding: Deciding,
    gain: misac_gain::MisacGainBound,
    step: misac_step::MisacStepBound,
    accumulate: misac_accumulate::MisacAccumulateBound,
    slot_reduce: metrics_reduce::MetricsReduceBound,
}

impl GpuBatch {
    fn new(eval: &MisacEvaluation, gpu: &Gpu, b: usize) -> Result<Self, GpuError> {
        let (r, task) = (eval.replicas.len(), eval.task);
        let (o, k) = (task.obs_dim(), task.vehicles);
        let size = misac_batch::Spec { r, b, task };
        let params = gpu.upload("evaluate.params", &[r], &eval.replicas)?;
        let flags = gpu.alloc::<u32>("evaluate.flags", &[r, b], Fill::Zero)?;
        // Without networks the phases stay 0: no correction to the beam at the estimated angle.
        zeros!(gpu, "evaluate": state[r, task.state_rows(), b], obs[r, b, o], final_obs[r, b, o], action[r, b, k],
            reward[r, b], metrics[r, metric::ROWS, b], phases[r, b, k, task.antennas], gains[r, gain_row::ROWS, b, k],
            episode[r, episode_row::ROWS, b], slot_sums[task.slots, r, metric::ROWS, 2]);
        let (deciding, phase) = match &eval.controller {
            Controller::Fixed(schedules) => {
                let (rule, mut words) =
                    rule_of(schedules, &eval.replicas).expect("an evaluation for the GPU");
                let age_max = eval.replicas[0].age_max as usize;
                let spec = misac_schedule::Spec { batch: size, rule, age_max };
                if matches!(rule, Rule::Always | Rule::Never | Rule::Plan) {
                    words = vec![0; spec.rule_len()];
                }
                let rule_buf = gpu.upload("evaluate.rule", &[words.len()], &words)?;
                let bound =
                    misac_schedule::MisacSchedule::new(gpu, &spec)?.bind(gpu, &state, &rule_buf, &action);
                let plan = (rule == Rule::Plan).then_some(rule_buf);
                (Deciding::Schedule { bound: Box::new(bound), plan }, Phase::Residual)
            }
            Controller::Outside { .. } => unreachable!("not an evaluation for the GPU"),
            Controller::Learned { layout, params, greedy } => {
                let nets = Networks::new(gpu, size, layout, params, *greedy, &obs, &action, &phases)?;
                (Deciding::Networks(Box::new(nets)), layout.phase)
            }
        };
        let gain = misac_gain::MisacGain::new(gpu, &misac_gain::Spec { batch: size, phase })?;
        let reduce_spec = metrics_reduce::Spec { r, metric_rows: metric::ROWS, b };
        Ok(GpuBatch {
            size,
            reset: misac_reset::MisacReset::new(gpu, &size)?.bind(gpu, &params, &state, &obs),
            deciding,
            gain: gain.bind(gpu, &params, &state, &phases, &gains),
            step: misac_step::MisacStep::new(gpu, &size)?
                .bind(gpu, &params, &action, &state, &obs, &final_obs, &reward, &flags, &metrics),
            accumulate: misac_accumulate::MisacAccumulate::new(gpu, &size)?
                .bind(gpu, &metrics, &action, &gains, &episode),
            slot_reduce: metrics_reduce::MetricsReduce::new(gpu, &reduce_spec)?
                .bind(gpu, &metrics, &slot_sums),
            params,
            state,
            slot_sums,
            episode,
        })
    }

    fn record_slot(&self, pass: &mut wgpu::ComputePass, eval: &MisacEvaluation, slot: usize) {
        let (clock, judged) = (slot as u32, slot.is_multiple_of(eval.gain_stride));
        match &self.deciding {
            Deciding::Schedule { bound, .. } => {
                bound.record(pass, &misac_schedule::Args { clock, state_off: 0, action_off: 0 })
            }
            Deciding::Networks(nets) => nets.record(pass, self.size.b, clock, judged),
        }
        if judged {
            self.gain.record(pass, &misac_gain::Args { clock, state_off: 0, phases_off: 0 });
        }
        let step = misac_step::Args {
            clock,
            action_off: 0,
            state_off: 0,
            next_off: 0,
            obs_off: 0,
            reward_off: 0,
            full: true,
        };
        self.step.record(pass, &step);
        self.accumulate.record(pass, &misac_accumulate::Args { first: slot == 0, judged });
        let sums_off = slot * self.size.r * metric::ROWS * 2;
        self.slot_reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off });
    }

    /// An episode in every environment; `params` hold the key.
    fn run(&self, eval: &MisacEvaluation, gpu: &Gpu, params: &[MisacParams]) -> Result<Vec<Sums>, GpuError> {
        gpu.write(&self.params, params);
        if let Deciding::Networks(nets) = &self.deciding {
            nets.restart(gpu, params);
        }
        gpu.run(|pass| self.reset.record(pass, &misac_reset::Args { clock: 0, state_off: 0, obs_off: 0 }))?;
        if let (Deciding::Schedule { plan: Some(plan), .. }, Controller::Fixed(schedules)) =
            (&self.deciding, &eval.controller)
        {
            gpu.write(plan, &self.planned(eval, schedules, params, &gpu.read(&self.state)?));
        }
        for from in (0..eval.task.slots).step_by(SLOTS_AT_ONCE) {
            let to = (from + SLOTS_AT_ONCE).min(eval.task.slots);
            gpu.run(|pass| (from..to).for_each(|slot| self.record_slot(pass, eval, slot)))?;
        }
        self.read(eval, gpu)
    }

    /// Decisions `[R, B, T]` of every episode from its first state; `state` `[R, 7K, B]`.
    fn planned(
        &self,
        eval: &MisacEvaluation,
        schedules: &[std::sync::Arc<dyn FixedSchedule>],
        params: &[MisacParams],
        state: &[f32],
    ) -> Vec<u32> {
        let (envs, task) = (self.size.b, &eval.task);
        let rows = task.state_rows() * envs;
        let plan = |n: usize| {
            let (r, env) = (n / envs, n % envs);
            let state = &state[r * rows..][..rows];
            let start = Slot { task, params: &params[r], state, envs, env, id: env as u32, slot: 0 };
            let words = schedules[r].begin(&start);
            assert_eq!(words.len(), task.slots, "a plan has a word for every slot");
            words
        };
        (0..self.size.r * envs).into_par_iter().flat_map_iter(plan).collect()
    }

    /// What the episodes came to.
    fn read(&self, eval: &MisacEvaluation, gpu: &Gpu) -> Result<Vec<Sums>, GpuError> {
        let (r, b, o) = (self.size.r, self.size.b, eval.task.obs_dim());
        let (episode, slots) = (gpu.read(&self.episode)?, gpu.read(&self.slot_sums)?);
        let counts = match &self.deciding {
            Deciding::Schedule { .. } => vec![0; r * o],
            Deciding::Networks(nets) => gpu.read(&nets.counts)?,
        };
        let replica = |i: usize| {
            let mut sums = Sums::new(&eval.task);
            sums.slot_rounding = SLOT_ROUNDING;
            sums.active_inputs = counts[i * o..][..o].iter().map(|n| u64::from(*n)).collect();
            for (t, [energy, mae]) in sums.slots.iter_mut().enumerate() {
                let pair = |row: usize| {
                    let at = 2 * ((t * r + i) * metric::ROWS + row);
                    [f64::from(slots[at]), f64::from(slots[at + 1])]
                };
                *energy = pair(metric::ENERGY);
                let [sum, squares] = pair(metric::ANGLE_MAE);
                *mae = [sum.to_degrees(), squares.to_degrees().to_degrees()];
            }
            let p = &eval.replicas[i];
            let per_p_max = 1.0 / (f64::from(p.beam_power_w) * eval.task.vehicles as f64);
            for env in 0..b {
                let row = |row: usize| f64::from(episode[(i * episode_row::ROWS + row) * b + env]);
                let mut total = [0.0; METRICS.len()];
                for (metric, from) in [
                    (ENERGY, episode_row::ENERGY),
                    (REWARD, episode_row::REWARD),
                    (L_BMP, episode_row::L_BMP),
                    (SHARE_OVER_GAMMA, episode_row::OVER_GAMMA),
                    (AGE_MAX, episode_row::AGE_MAX),
                    (SHARE_OVER_AGE, episode_row::OVER_AGE),
                    (FRAMES, episode_row::FRAMES),
                    (SUM_RATE, episode_row::RATE),
                    (MODULUS_ERROR, episode_row::MODULUS_ERROR),
                ] {
                    total[metric] = row(from);
                }
                total[MAE] = row(episode_row::ANGLE_MAE).to_degrees();
                total[POWER] = row(episode_row::POWER) * per_p_max;
                let gains =
                    [episode_row::GAIN, episode_row::MATCHED, episode_row::ESTIMATE, episode_row::TRUTH];
                sums.put_episode(eval, total, gains.map(row));
            }
            sums
        };
        Ok((0..r).map(replica).collect())
    }
}

impl Networks {
    /// Weights `flat` `[R, P]`; decisions into `action`, beams' phases into `phases`.
    #[expect(clippy::too_many_arguments, reason = "networks with their input and outputs")]
    fn new(
        gpu: &Gpu,
        misac_batch::Spec { r, b, task }: misac_batch::Spec,
        layout: &ExpertsLayout,
        flat: &[f32],
        greedy: bool,
        obs: &Buf<f32>,
        action: &Buf<f32>,
        phases: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let (o, k, p) = (task.obs_dim(), task.vehicles, layout.params());
        assert!(u32::try_from(b * task.slots).is_ok(), "{b} episodes overflow the counts of an input");
        let weights = gpu.upload("evaluate.weights", &[r, p], flat)?;
        let keys = gpu.alloc::<[u32; 2]>("evaluate.keys", &[r], Fill::Zero)?;
        zeros!(gpu, "evaluate": logits[r, b, k], logprob[r, b]);
        let counts = gpu.alloc::<u32>("evaluate.counts", &[r, o], Fill::Zero)?;
        let (scheduler, beams) = decision_nets(layout);
        let size = Rows { r, m: b, p };
        let mask = obs_mask::Spec { rows: r * b, o, first: layout.seen() };
        let count = activity_count::Spec { r, m: b, c: o, units: Units::Values };
        Ok(Networks {
            mask: match layout.seen() == o {
                true => None,
                false => Some(obs_mask::ObsMask::new(gpu, &mask)?.bind(gpu, obs)),
            },
            acting: Acting::new(gpu, &scheduler, size, &weights, obs, &logits)?,
            phases: match layout.log_std {
                Some(_) if !greedy => Phases::Drawn(DrawnPhases::new(
                    gpu, layout, &beams, size, &weights, &keys, obs, phases, &logprob,
                )?),
                _ => Phases::Mean(MixtureForward::new(gpu, &beams, size, &weights, obs, phases)?),
            },
            sample: bernoulli_head::BernoulliHead::new(gpu, &bernoulli_head::Spec { r, b, a: k })?
                .bind(gpu, &keys, &logits, action, &logprob),
            greedy,
            count: activity_count::ActivityCount::new(gpu, &count)?.bind(gpu, obs, &counts),
            keys,
            counts,
        })
    }

    /// As where an episode starts, under the keys of `params`.
    fn restart(&self, gpu: &Gpu, params: &[MisacParams]) {
        gpu.write(&self.keys, &params.iter().map(|p| p.key).collect::<Vec<_>>());
        let mut enc = gpu.device.create_command_encoder(&Default::default());
        self.acting.recurrent_state().iter().for_each(|x| enc.clear_buffer(&x.raw, 0, None));
        gpu.queue.submit([enc.finish()]);
    }

    fn record(&self, pass: &mut wgpu::ComputePass, b: usize, clock: u32, judged: bool) {
        if let Some(mask) = &self.mask {
            mask.record(pass, 0);
        }
        self.acting.record(pass, b, 0);
        let sample = bernoulli_head::Args {
            b,
            clock,
            greedy: self.greedy,
            logits_off: 0,
            action_off: 0,
            logprob_off: 0,
        };
        self.sample.record(pass, &sample);
        if judged {
            match &self.phases {
                Phases::Mean(phases) => phases.record(pass, b, 0),
                Phases::Drawn(phases) => phases.record(pass, b, clock, 0, 0),
            }
        }
        self.count.record(pass, b, clock == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::gpu::DeviceChoice;
    use crate::run::task::{Kind, Task};
    use crate::tasks::misac::agents::{H_MOE, Make};
    use crate::tasks::misac::config::MisacConfig;

    /// Replicas that do not fit at once give what they give together, each with its own weights and schedule.
    #[test]
    fn replicas_may_be_taken_in_groups() {
        let gpu = match Gpu::open(&DeviceChoice::Gpu) {
            Ok(gpu) => gpu,
            Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => panic!("{e}"),
            Err(e) => return eprintln!("SKIPPED (no GPU): {e}"),
        };
        let sets = ["task.slots=10", "task.antennas=4", "temporal.hidden=5", "temporal.head_gain=3"];
        let config = MisacConfig::load(None, &sets.map(String::from)).expect("a valid configuration");
        let task = config.task.spec();
        let replicas =
            vec![config.task.params([1, 0]), config.task.params([2, 0]), config.task.params([3, 0])];
        let layout = config.layout(H_MOE);
        let params: Vec<f32> = replicas.iter().flat_map(|p| layout.init(p.key, 3.0, 0.5)).collect();
        let Kind::Fixed(Make(make)) = MisacConfig::agent("best-periodic").expect("an agent").kind else {
            unreachable!()
        };
        let schedules: Vec<_> = (0..3)
            .map(|r| {
                let beta = [0.06, 0.1, 0.3][r];
                make(&task, &MisacParams { beta, ..replicas[r] }).expect("a schedule")
            })
            .collect();
        let learned = || Controller::Learned { layout: &layout, params: &params, greedy: false };
        for controller in [learned(), Controller::Fixed(&schedules)] {
            let eval = MisacEvaluation {
                task,
                replicas: replicas.clone(),
                controller,
                episodes: 20,
                gain_stride: 3,
            };
            let run = |at_once| {
                let out = in_groups(&eval, &gpu, at_once, &|_| {}).expect("the device works");
                out.iter().map(|o| format!("{o:?}")).collect::<Vec<_>>()
            };
            let [whole, pairs, single] = [run(3), run(2), run(1)];
            assert_eq!((&whole, &whole), (&pairs, &single));
            assert!(whole[0] != whole[1] && whole[1] != whole[2] && whole[0] != whole[2]);
        }
        let eval = MisacEvaluation { task, replicas, controller: learned(), episodes: 20, gain_stride: 3 };
        assert_eq!(largest(&eval), layout.params(), "few episodes: the weights");
        let many = MisacEvaluation { episodes: 5000, ..eval };
        assert_eq!(largest(&many), 4096 * 128, "the phase network's hidden layers, under one key");
    }
}
