//! What every task's environment should show before anything learns on it: the contract of [`crate::env`] on the CPU,
//! and that a GPU's kernels are the same environment.

use crate::env::lanes::{self, Physics, PlainEnv};
use crate::env::{At, Env, EnvBuffers, Slot, StepArgs, TERMINATED, TRUNCATED};
use crate::gpu::{Fill, Gpu, GpuError, Prelude, Source};
use crate::kernels::Cost;
use crate::kernels::compare::{Comparison, Tol, bits, compare_bits, compare_exact, compare_scaled};
use crate::kernels::inputs::normal;
use crate::num::real::counted::{Counted, operations};
use std::marker::PhantomData;

/// Actions `[n, A]` of a slot, from the number of the slot and n: as a policy of the task could choose them.
pub type Actions<'a> = &'a dyn Fn(u32, usize) -> Vec<f32>;

/// One slot from a state under an action; without them a reset. What is not written is NaN, or all bits of the flags.
fn slot(env: &dyn Env, at: &At, from: Option<(&[f32], &[f32])>, full: bool) -> Slot {
    let (n, size) = (at.envs, env.sizes());
    let state = from.map_or_else(|| vec![f32::NAN; size.state * n], |(state, _)| state.to_vec());
    let mut out = Slot::filled(state, [size.obs * n, size.obs * n, n, size.metrics * n], f32::NAN);
    out.flags.fill(u32::MAX);
    match from {
        None => env.reset(at, &mut out.state, &mut out.obs),
        Some((_, action)) => out.step(env, at, action, full),
    }
    out
}

/// Column `e` of `[rows, n]`.
fn column(all: &[f32], n: usize, e: usize) -> Vec<f32> {
    all.iter().skip(e).step_by(n).copied().collect()
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Over the end of an episode, in every replica: each environment gives the same bits alone, without vector lanes, as
/// among others; everything is written, and final observations only at the end; the flags say when that is, and a fresh
/// episode follows; observations keep their bounds; the reward is the first row of the learning curve; and less is
/// computed without `full`, but nothing else.
///
/// # Errors
/// What does not hold.
pub fn on_cpu(env: &dyn Env, actions: Actions) -> Result<(), String> {
    let (size, bounds) = (env.sizes(), env.observation());
    let named =
        [(size.obs, bounds.len()), (size.action, env.action().len()), (size.metrics, env.metrics().len())];
    ensure(named.iter().all(|(a, b)| a == b), || format!("{size:?} against as many names: {named:?}"))?;
    let (first, envs) = (1000, 37);
    let start = (size.slots as u32).saturating_sub(2);
    for replica in 0..env.replicas() {
        let at = |clock| At { replica, key: [9, 4], first, envs, clock };
        let mut now = slot(env, &at(start), None, true);
        for clock in start..start + 3 {
            let at = at(clock);
            let place = || format!("replica {replica}, slot {clock}");
            let action = actions(clock, envs);
            let next = slot(env, &at, Some((&now.state, &action)), true);
            let ends = (clock as usize + 1).is_multiple_of(size.slots);
            for e in 0..envs {
                let alone = At { first: first + e as u32, envs: 1, ..at };
                let from = (&column(&now.state, envs, e)[..], &action[e * size.action..][..size.action]);
                let one = slot(env, &alone, Some(from), true);
                let row = |all: &[f32]| bits(&all[e * size.obs..][..size.obs]);
                let same = bits(&one.state) == bits(&column(&next.state, envs, e))
                    && bits(&one.metrics) == bits(&column(&next.metrics, envs, e))
                    && (bits(&one.obs), bits(&one.final_obs)) == (row(&next.obs), row(&next.final_obs))
                    && (one.reward[0].to_bits(), one.flags[0]) == (next.reward[e].to_bits(), next.flags[e]);
                ensure(same, || format!("environment {e} is another one alone ({})", place()))?;
                let (flags, last) = (next.flags[e], &next.final_obs[e * size.obs..][..size.obs]);
                ensure(flags & !(TRUNCATED | TERMINATED) == 0 && (flags != 0) == ends, || {
                    format!("flags {flags} where the end of the episode is {ends} ({})", place())
                })?;
                ensure(last.iter().all(|x| if ends { x.is_finite() } else { x.is_nan() }), || {
                    format!(
                        "the final observation is {last:?} where the end of the episode is {ends} ({})",
                        place()
                    )
                })?;
            }
            for (what, all) in [("state", &next.state), ("obs", &next.obs), ("metrics", &next.metrics)] {
                ensure(all.iter().all(|x| x.is_finite()), || format!("{what} is not finite ({})", place()))?;
            }
            let row = env.curve()[0] * envs;
            ensure(bits(&next.reward) == bits(&next.metrics[row..][..envs]), || {
                format!("the reward is not row {} of the metrics ({})", env.curve()[0], place())
            })?;
            for (x, c) in next.obs.chunks(size.obs).flat_map(|row| row.iter().zip(&bounds)) {
                ensure((c.low..=c.high).contains(x), || format!("{} is {x} ({})", c.name, place()))?;
            }
            let short = slot(env, &at, Some((&now.state, &action)), false);
            let curve = |s: &Slot| {
                env.curve().iter().map(|i| bits(&s.metrics[i * envs..][..envs])).collect::<Vec<_>>()
            };
            let state = bits(&short.state) == bits(&next.state) && bits(&short.reward) == bits(&next.reward);
            ensure(state && curve(&short) == curve(&next), || {
                format!("another slot without `full` ({})", place())
            })?;
            if ends {
                let fresh = slot(env, &At { clock: clock + 1, ..at }, None, true);
                ensure(
                    bits(&fresh.state) == bits(&next.state) && bits(&fresh.obs) == bits(&next.obs),
                    || format!("the next episode is not a fresh one ({})", place()),
                )?;
            }
            now = next;
        }
    }
    Ok(())
}

/// One quantity of all slots and replicas: what a GPU gave, what the CPU says, and by how much a component varies.
#[derive(Default)]
struct Judged {
    got: Vec<f32>,
    want: Vec<f32>,
    scale: Vec<f64>,
}

impl Judged {
    /// Adds numbers of one slot; `component` is which of the state, the observation or the metrics each of them is.
    fn add(&mut self, got: &[f32], want: &[f32], component: impl Fn(usize) -> usize) {
        let mut largest: Vec<f64> = Vec::new();
        for (i, x) in want.iter().enumerate() {
            let c = component(i);
            largest.resize(largest.len().max(c + 1), 0.0);
            largest[c] = largest[c].max(f64::from(x.abs()));
        }
        self.got.extend(got);
        self.want.extend(want);
        self.scale.extend((0..want.len()).map(|i| largest[component(i)]));
    }
}

/// A reset and three slots over the end of an episode, `b` environments of each replica in a rollout's buffers, each
/// slot judged from the device's own state before it: by `tol` of the largest value of a component among the
/// environments, and to the bit where the adapter promises that.
///
/// # Errors
/// What the device cannot do.
pub fn on_gpu(
    env: &dyn Env,
    gpu: &Gpu,
    b: usize,
    actions: Actions,
    tol: Tol,
) -> Result<Vec<Comparison>, GpuError> {
    const SLOTS: usize = 3;
    let (r, size) = (env.replicas(), env.sizes());
    let (n, clock) = (r * b, (size.slots as u32).saturating_sub(2));
    // Learners keep the states of slots where beams are learned from them; elsewhere they are stepped in place.
    let kept = env.beams().is_some();
    let state_off = |t: usize| if kept { t * n * size.state } else { 0 };
    let action: Vec<f32> = (0..SLOTS as u32).flat_map(|t| actions(t, n)).collect();
    let buf = |label: &str, len: usize| gpu.alloc::<f32>(label, &[len], Fill::Poison);
    let buffers = EnvBuffers {
        action: &gpu.upload("check.action", &[action.len()], &action)?,
        state: &buf("check.state", if kept { SLOTS + 1 } else { 1 } * n * size.state)?,
        obs: &buf("check.obs", (SLOTS + 1) * n * size.obs)?,
        final_obs: &buf("check.final_obs", n * size.obs)?,
        reward: &buf("check.reward", SLOTS * n)?,
        flags: &gpu.alloc("check.flags", &[SLOTS * n], Fill::Poison)?,
        metrics: &buf("check.metrics", n * size.metrics)?,
    };
    let bound = env.bind(gpu, b, &buffers)?;
    let keys: Vec<[u32; 2]> = (0..r as u32).map(|i| [11 + i, 2]).collect();
    bound.set_keys(gpu, &keys);
    let read = |buf| gpu.read::<f32>(buf);
    let mut state = Vec::new();
    for t in 0..=SLOTS {
        gpu.run(|pass| match t.checked_sub(1) {
            None => bound.reset(pass, clock, 0, 0),
            Some(slot) => {
                let at = StepArgs {
                    clock: clock + slot as u32,
                    action_off: slot * n * size.action,
                    state_off: state_off(slot),
                    next_off: state_off(t),
                    obs_off: t * n * size.obs,
                    reward_off: slot * n,
                    full: t == SLOTS,
                };
                bound.step(pass, &at);
            }
        })?;
        state.extend_from_slice(&read(buffers.state)?[state_off(t)..][..n * size.state]);
    }
    let (obs, reward) = (read(buffers.obs)?, read(buffers.reward)?);
    let (final_obs, metrics) = (read(buffers.final_obs)?, read(buffers.metrics)?);
    let flags = gpu.read::<u32>(buffers.flags)?;

    let mut judged: [(&str, Judged); 5] =
        ["state", "obs", "reward", "metrics", "final_obs"].map(|name| (name, Judged::default()));
    let mut want_flags = vec![0; flags.len()];
    let ends = |t: usize| (clock as usize + t + 1).is_multiple_of(size.slots);
    let last_end = (0..SLOTS).rev().find(|t| ends(*t));
    for (replica, key) in keys.into_iter().enumerate() {
        let part =
            |all: &[f32], t: usize, width: usize| all[(t * n + replica * b) * width..][..b * width].to_vec();
        for t in 0..=SLOTS {
            let from = t.checked_sub(1).map(|t| (part(&state, t, size.state), part(&action, t, size.action)));
            let at = At { replica, key, first: 0, envs: b, clock: clock + t.saturating_sub(1) as u32 };
            let want = slot(env, &at, from.as_ref().map(|(s, a)| (&s[..], &a[..])), true);
            judged[0].1.add(&part(&state, t, size.state), &want.state, |i| i / b);
            judged[1].1.add(&part(&obs, t, size.obs), &want.obs, |i| i % size.obs);
            let Some(t) = t.checked_sub(1) else { continue };
            judged[2].1.add(&part(&reward, t, 1), &want.reward, |_| 0);
            want_flags[t * n + replica * b..][..b].copy_from_slice(&want.flags);
            if t + 1 == SLOTS {
                judged[3].1.add(&part(&metrics, 0, size.metrics), &want.metrics, |i| i / b);
            }
            if Some(t) == last_end {
                judged[4].1.add(&part(&final_obs, 0, size.obs), &want.final_obs, |i| i % size.obs);
            }
        }
    }
    let mut out = vec![compare_exact("flags", &flags, &want_flags)];
    for (name, Judged { got, want, scale }) in &judged {
        let wide: Vec<f64> = want.iter().map(|x| f64::from(*x)).collect();
        out.push(compare_scaled(name, got, &wide, scale, tol));
        out.extend(compare_bits(gpu, name, got, want));
    }
    Ok(out)
}

/// What the kernel of a plain task is compared with its equations by.
pub trait Checked<const S: usize, const O: usize, const A: usize, const M: usize>:
    Physics<S, O, A, M>
{
    /// Replicas whose parameters differ.
    const EXAMPLES: &'static [Self];
    /// As of [`on_gpu`].
    const TOL: Tol;
}

/// The kernel of a plain task as a module of kernels is, for [`entry!`](crate::kernels::entry) in
/// [`Task::kernels`](super::task::Task::kernels).
pub struct PlainKernel<P, const S: usize, const O: usize, const A: usize, const M: usize>(PhantomData<P>);

/// Sizes of a comparison of a [`PlainKernel`].
pub struct Spec {
    /// Environments of a replica.
    pub envs: usize,
    /// Slots of an episode.
    pub slots: usize,
}

/// More environments than one workgroup, and no multiple of one.
pub const DEFAULT: Spec = Spec { envs: 67, slots: 3 };

impl<P, const S: usize, const O: usize, const A: usize, const M: usize> PlainKernel<P, S, O, A, M>
where
    P: Checked<S, O, A, M>,
{
    pub const SHADER: Source = P::SHADER;
    pub const WG: usize = lanes::WG;

    pub fn prelude(spec: &Spec) -> Prelude {
        lanes::prelude(P::EXAMPLES.len(), spec.envs, spec.slots)
    }

    /// State, action, observation, reward and flags: the state is read and written.
    pub fn cost(spec: &Spec) -> Cost {
        let each = operations(|| {
            let mut state = P::EXAMPLES[0].reset::<Counted>(0, 0);
            P::EXAMPLES[0].step(0, 0, &[Counted(0.5); A], &mut state);
            P::EXAMPLES[0].observe(&state);
        });
        let envs = P::EXAMPLES.len() * spec.envs;
        Cost::new(each as usize * envs, (2 * S + A + O + 2) * envs)
    }

    /// As [`on_gpu`], of all examples under drawn actions.
    ///
    /// # Errors
    /// What the device cannot do.
    pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
        let env = PlainEnv { slots: spec.slots, params: P::EXAMPLES.to_vec() };
        on_gpu(&env, gpu, spec.envs, &|slot, n| normal(seed, slot, n * A, 3.0), P::TOL)
    }
}
