//! misac_schedule: the decisions of a fixed schedule for every environment: always, never, one frame per period and
//! vehicle, the decision that a table holds for the joint age (the exact optimum of [`crate::tasks::misac::dp`]), or
//! those planned for every slot when the episode started.
//!
//! The period counts from the start of the episode: slot n is `clock` mod T.

use super::misac_batch::{self, Spec as BatchSpec, WG as BATCH_WG, check_params, check_states};
use crate::kernels::common::*;
use crate::kernels::{bind, host, shader};
use crate::tasks::misac::dp::Rule;

pub const SHADER: Source = shader!("shaders/misac/", "misac_schedule", super::SHARED);

pub const WG: usize = BATCH_WG;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub batch: BatchSpec,
    pub rule: Rule,
    /// A_max, which must be that of the parameters; a table ends there.
    pub age_max: usize,
}

impl Spec {
    /// (A_max+1)^K, the words of a table; 1 without one.
    pub fn joint_ages(&self) -> usize {
        match self.rule {
            Rule::Table => (self.age_max + 1).pow(self.batch.task.vehicles as u32),
            _ => 1,
        }
    }
    /// Words of `rule`: R periods, R tables, or plans `[R, B, T]`; 1 where it is not read.
    pub fn rule_len(&self) -> usize {
        match self.rule {
            Rule::Always | Rule::Never => 1,
            Rule::Periodic => self.batch.r,
            Rule::Table => self.batch.r * self.joint_ages(),
            Rule::Plan => self.batch.r * self.batch.b * self.batch.task.slots,
        }
    }
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Clock of the slot, as in the step that follows.
    pub clock: u32,
    /// Start of the state `[R, 7K, B]` inside its buffer.
    pub state_off: usize,
    /// Start of action `[R, B, K]` inside its buffer.
    pub action_off: usize,
}

/// `state` `[R, 7K, B]` from `state_off`, `rule` as [`Spec::rule_len`] says (bit k of a table's or a plan's word is the
/// camera of vehicle k), `action` `[R, B, K]` of 0 and 1 from `action_off`.
pub fn misac_schedule_cpu<F: Scalar + Into<f64>>(
    spec: &Spec,
    at: &Args,
    state: &[F],
    rule: &[u32],
    action: &mut [F],
) {
    let BatchSpec { r, b, task } = spec.batch;
    let k = task.vehicles;
    let slot = at.clock as usize % task.slots;
    for n in 0..r * b {
        let (r, env) = (n / b, n % b);
        let age = |i: usize| -> usize {
            let x: f64 = state[at.state_off + (r * task.state_rows() + 2 * k + i) * b + env].into();
            (x as usize).min(spec.age_max)
        };
        let bits = match spec.rule {
            Rule::Always => u32::MAX,
            Rule::Never => 0,
            Rule::Periodic => {
                let period = rule[r] as usize;
                (0..k).map(|i| u32::from((slot + i * period / k).is_multiple_of(period)) << i).sum()
            }
            Rule::Table => {
                let joint = (0..k).rev().fold(0, |at, i| at * (spec.age_max + 1) + age(i));
                rule[r * spec.joint_ages() + joint]
            }
            Rule::Plan => rule[n * task.slots + slot],
        };
        for i in 0..k {
            action[at.action_off + n * k + i] = F::splat(f64::from(bits >> i & 1));
        }
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    let (envs, k) = (spec.batch.r * spec.batch.b, spec.batch.task.vehicles);
    let read = match spec.rule {
        Rule::Always | Rule::Never => 0,
        Rule::Periodic => spec.batch.r,
        // An environment reads its ages and one entry.
        Rule::Table => envs * k + envs.min(spec.rule_len()),
        Rule::Plan => envs,
    };
    Cost::new(0, read + envs * k)
}

pub fn prelude(spec: &Spec) -> Prelude {
    misac_batch::constants(&spec.batch)
        .u32("SCHEDULE", spec.rule as usize)
        .u32("SCHEDULE_ALWAYS", Rule::Always as usize)
        .u32("SCHEDULE_PERIODIC", Rule::Periodic as usize)
        .u32("SCHEDULE_TABLE", Rule::Table as usize)
        .u32("SCHEDULE_PLAN", Rule::Plan as usize)
        .u32("AGES", spec.age_max + 1)
        .u32("JOINT_AGES", spec.joint_ages())
}

host! {
    MisacSchedule, MisacScheduleBound;
    fits |gpu, spec| check_trips(gpu, "misac_schedule", 3 * spec.batch.task.vehicles);
    /// `rule` as [`Spec::rule_len`] says; `state` and `action` hold whatever the offsets of `record` point into.
    bind |spec| { state: f32, rule: u32 = of_len(spec.rule_len()), action: f32 }
}

impl MisacScheduleBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let batch = &self.spec.batch;
        assert_inside("misac_schedule", "state", at.state_off, batch.state_len(), self.state);
        assert_inside("misac_schedule", "action", at.action_off, batch.action_len(), self.action);
        let imm = [at.clock, at.state_off as u32, at.action_off as u32];
        self.bound.record(pass, fold_groups(batch.r * batch.b, WG), &imm);
    }
}

/// Shader against twin, every bit, in two slots of an episode.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let params = check_params(&spec.batch, seed);
    let mut source = Sample::new(seed, 5);
    let rule: Vec<u32> = (0..spec.rule_len())
        .map(|_| match spec.rule {
            Rule::Periodic => 1 + source.word() % (spec.age_max as u32 + 1),
            _ => source.word(),
        })
        .collect();
    let at = Args { clock: 0, state_off: 3, action_off: 2 };
    let mut state = vec![0f32; at.state_off];
    state.extend(check_states(&spec.batch, &params, seed));
    let len = at.action_off + spec.batch.action_len();
    let mut rows = Vec::new();
    for clock in [7, 7 * spec.batch.task.slots as u32 + 12] {
        let at = Args { clock, ..at };
        let mut want = vec![0f64; len];
        misac_schedule_cpu(spec, &at, &widen(&state), &rule, &mut want);
        bind!(gpu, bound = MisacSchedule::new(gpu, spec)?; state_buf = state, rule_buf = rule, action[len]);
        gpu.write(&action, &vec![0.0; at.action_off]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let want: Vec<f32> = want.into_iter().map(|x| x as f32).collect();
        rows.push(compare_words(&format!("action at {clock}"), &gpu.read(&action)?, &want));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::dp::Schedule;
    use crate::tasks::misac::physics::{Choices, MisacSpec, Uncertainty};

    /// The decisions are those of [`Schedule`].
    #[test]
    fn decisions_are_those_of_the_scheduling_problem() {
        let task = MisacSpec {
            vehicles: 3,
            antennas: 8,
            slots: 50,
            uncertainty: Uncertainty::Constant,
            choices: Choices::DEFAULT,
        };
        let batch = BatchSpec { r: 1, b: 40, task };
        let params = check_params(&batch, 4);
        let problem = Schedule {
            beta: vec![0.1, 0.2, 0.05],
            e_vis_j: 10.0,
            e_recovery_j: 25.0,
            t_proc: 0,
            age_max: 10,
            lambda_j: 200.0,
            gamma_misa: 0.15,
            realign: false,
        };
        let values = problem.solve(1e-6, 10_000).unwrap().values;
        let table = problem.table(&values);
        assert!(table.iter().any(|w| *w != table[0]));
        let state = widen(&check_states(&batch, &params, 4));
        for clock in [49, 50, 53] {
            let at = Args { clock, state_off: 0, action_off: 0 };
            for (rule, words) in [(Rule::Table, table.clone()), (Rule::Periodic, vec![4])] {
                let mut action = vec![f64::NAN; batch.action_len()];
                misac_schedule_cpu(&Spec { batch, rule, age_max: 10 }, &at, &state, &words, &mut action);
                // A plan is looked up by episode and slot.
                let words: Vec<u32> = (0..40 * 50).map(|n| n * 37 % 8).collect();
                let mut planned = vec![f64::NAN; batch.action_len()];
                let spec = Spec { batch, rule: Rule::Plan, age_max: 10 };
                misac_schedule_cpu(&spec, &at, &state, &words, &mut planned);
                for (n, x) in planned.iter().enumerate() {
                    let word = words[n / 3 * 50 + clock as usize % 50];
                    assert_eq!(*x, f64::from(word >> (n % 3) & 1), "plan at {clock}");
                }
                for env in 0..40 {
                    let ages: Vec<usize> = (0..3).map(|i| state[(6 + i) * 40 + env] as usize).collect();
                    for i in 0..3 {
                        let want = match rule {
                            Rule::Table => problem.decide(&ages, &values)[i],
                            _ => problem.periodic(i, 4, clock as usize % 50),
                        };
                        assert_eq!(action[env * 3 + i], f64::from(u8::from(want)), "{rule:?} at {clock}");
                    }
                }
            }
        }
    }
}
