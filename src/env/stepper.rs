//! Environments that somebody outside this crate steps: each with a seed, a number and a clock of its own, so that one
//! may be reset while the others go on, and with the three ways in which clients expect an episode to end.
//!
//! Draws are those of a training: environment `number` under key (seed, 0). An environment among a thousand others, or
//! alone, goes through the same numbers, bit for bit, as in [`Env::step`].

mod chunk;

use super::{Env, Sizes, TERMINATED, TRUNCATED};
use chunk::{CHUNK, Chunk, Identity, neighbours};
use rayon::{Scope, ThreadPool};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens behind the last slot of an episode, in the words of Gymnasium's vector environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoreset {
    /// That step gives the last observation; the next one ignores its action and gives the first observation of a fresh
    /// episode, with reward 0.
    NextStep,
    /// That step already gives the first observation of a fresh episode; the last one stands in `final_obs`.
    SameStep,
    /// That step gives the last observation, and the environment waits for a reset.
    Disabled,
}

/// Why environments were not reset or stepped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepperError {
    #[error("reset: call it before the first step")]
    NotReset,
    #[error("environment {0}: its episode is over; reset it before the next step")]
    Over(usize),
    #[error(
        "environment {0} has been stepped {1} times, as often as draws can be counted: reset it with another seed"
    )]
    Worn(usize, u32),
    #[error("saved environments: {0}")]
    Saved(String),
}

/// What a step writes beside the observations.
pub struct StepOutputs<'a> {
    /// `[B, O]`: the next observation.
    pub obs: &'a mut [f32],
    /// `[B, O]`: of [`Autoreset::SameStep`], the last observation of an episode where one ended.
    pub final_obs: &'a mut [f32],
    /// `[B]`
    pub reward: &'a mut [f32],
    /// `[B]`
    pub terminated: &'a mut [bool],
    /// `[B]`
    pub truncated: &'a mut [bool],
    /// `[metrics, B]`: every row of [`Env::metrics`], 0 where a step only reset.
    pub metrics: Option<&'a mut [f32]>,
}

/// Does `work` on all parts, in this thread and in those of `pool`, or of the pool that this thread has. This thread
/// begins at once: a part takes about as long as another thread to wake up.
fn share<T: Send>(pool: Option<&ThreadPool>, parts: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let threads = pool.map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads);
    let parts = Mutex::new(parts);
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || {
        while let Some(part) = next() {
            work(part);
        }
    };
    fn together<'s>(scope: &Scope<'s>, threads: usize, take: &'s (dyn Fn() + Sync)) {
        (1..threads).for_each(|_| scope.spawn(move |_| take()));
        take();
    }
    match pool {
        Some(pool) => pool.in_place_scope(|scope| together(scope, threads, &take)),
        None => rayon::in_place_scope(|scope| together(scope, threads, &take)),
    }
}

/// B environments of the first replica of an [`Env`].
#[derive(Debug)]
pub struct Stepper {
    env: Arc<dyn Env>,
    mode: Autoreset,
    /// `[B]`
    who: Vec<Identity>,
    chunks: Vec<Chunk>,
}

impl Stepper {
    /// Environments 0, 1, … of `seed`; [`Stepper::reset`] begins their first episodes.
    ///
    /// # Panics
    /// If `env` has no replica.
    pub fn new(env: Arc<dyn Env>, mode: Autoreset, envs: usize, seed: u32) -> Self {
        assert!(env.replicas() > 0, "the parameters of one replica");
        let Sizes { obs, state, metrics, .. } = env.sizes();
        let chunk = |from: usize| {
            let n = CHUNK.min(envs - from);
            Chunk {
                n,
                state: vec![0.0; state * n],
                fresh: vec![0.0; obs * n],
                final_obs: vec![0.0; obs * n],
                flags: vec![0; n],
                metrics: vec![0.0; metrics * n],
            }
        };
        let own = |i: usize| Identity { seed, number: i as u32, clock: 0, begun: false, over: false };
        Stepper {
            env,
            mode,
            who: (0..envs).map(own).collect(),
            chunks: (0..envs).step_by(CHUNK).map(chunk).collect(),
        }
    }

    /// B
    pub fn envs(&self) -> usize {
        self.who.len()
    }
    /// What is stepped.
    pub fn env(&self) -> &dyn Env {
        &*self.env
    }
    /// Whether environment `i` waits behind the end of an episode.
    pub fn is_over(&self, i: usize) -> bool {
        self.who[i].over
    }

    /// Environment `i` begins anew, as environment `number` of `seed`, with the next reset.
    pub fn seed(&mut self, i: usize, seed: u32, number: u32) {
        self.who[i] = Identity { seed, number, clock: 0, begun: false, over: false };
    }

    /// Fresh episodes in all environments, or in those of `which` `[B]`: the next ones of each, or the first behind
    /// [`Stepper::seed`]. Writes their rows of `obs` `[B, O]`, and no others.
    ///
    /// # Errors
    /// [`StepperError::Worn`]
    ///
    /// # Panics
    /// If an array is of another size.
    pub fn reset(&mut self, which: Option<&[bool]>, obs: &mut [f32]) -> Result<(), StepperError> {
        self.reset_in(None, which, obs)
    }

    /// The same with the threads of `pool`.
    ///
    /// # Errors
    /// [`StepperError::Worn`]
    ///
    /// # Panics
    /// If an array is of another size.
    pub fn reset_in(
        &mut self,
        pool: Option<&ThreadPool>,
        which: Option<&[bool]>,
        obs: &mut [f32],
    ) -> Result<(), StepperError> {
        let (o, slots) = (self.env.sizes().obs, self.env.sizes().slots as u32);
        assert_eq!(obs.len(), self.who.len() * o, "observations [B, O]");
        let chosen = |i: usize| which.is_none_or(|w| w[i]);
        for i in (0..self.who.len()).filter(|i| chosen(*i)) {
            let who = &mut self.who[i];
            if who.begun {
                let next = (who.clock / slots + 1).checked_mul(slots);
                who.clock =
                    next.filter(|c| *c < last_start(slots)).ok_or(StepperError::Worn(i, who.clock))?;
            }
            (who.begun, who.over) = (true, false);
        }
        let env = &*self.env;
        let work = |n: usize, chunk: &mut Chunk, who: &[Identity], obs: &mut [f32]| {
            for group in neighbours(who, |i| chosen(n * CHUNK + i)) {
                chunk.reset(env, group, obs);
            }
        };
        if self.chunks.len() == 1 {
            work(0, &mut self.chunks[0], &self.who, obs);
        } else {
            let parts = self.who.chunks(CHUNK).zip(obs.chunks_mut(CHUNK * o));
            let all = self.chunks.iter_mut().enumerate().zip(parts);
            share(pool, all, |((n, chunk), (who, obs))| work(n, chunk, who, obs));
        }
        Ok(())
    }

    /// One slot of all environments under `action` `[B, A]`.
    ///
    /// # Errors
    /// What no environment may be stepped in; nothing has been done then.
    ///
    /// # Panics
    /// If an array is of another size.
    pub fn step(&mut self, action: &[f32], out: StepOutputs) -> Result<(), StepperError> {
        self.step_in(None, action, out)
    }

    /// The same with the threads of `pool`.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    ///
    /// # Panics
    /// If an array is of another size.
    pub fn step_in(
        &mut self,
        pool: Option<&ThreadPool>,
        action: &[f32],
        out: StepOutputs,
    ) -> Result<(), StepperError> {
        let Sizes { obs: o, action: a, slots, metrics: m, .. } = self.env.sizes();
        let (b, mode) = (self.who.len(), self.mode);
        let StepOutputs { obs, final_obs, reward, terminated, truncated, metrics } = out;
        assert_eq!(action.len(), b * a, "actions [B, A]");
        assert_eq!((obs.len(), final_obs.len(), reward.len()), (b * o, b * o, b), "[B, O], [B, O], [B]");
        assert_eq!((terminated.len(), truncated.len()), (b, b), "flags [B]");
        for (i, who) in self.who.iter().enumerate() {
            if !who.begun && !who.over {
                return Err(StepperError::NotReset);
            }
            if who.over && mode == Autoreset::Disabled {
                return Err(StepperError::Over(i));
            }
            if who.clock >= last_start(slots as u32) {
                return Err(StepperError::Worn(i, who.clock));
            }
        }
        let (env, full) = (&*self.env, metrics.is_some());
        let work = |chunk: ChunkSlices| chunk.step(env, mode, full);
        if self.chunks.len() == 1 {
            let (chunk, who) = (&mut self.chunks[0], &mut self.who[..]);
            work(ChunkSlices { chunk, who, action, obs, final_obs, reward, terminated, truncated });
        } else {
            let flags = terminated.chunks_mut(CHUNK).zip(truncated.chunks_mut(CHUNK));
            let seen = obs.chunks_mut(CHUNK * o).zip(final_obs.chunks_mut(CHUNK * o));
            let own = self.chunks.iter_mut().zip(self.who.chunks_mut(CHUNK));
            let written = seen.zip(reward.chunks_mut(CHUNK)).zip(flags);
            let all = own.zip(action.chunks(CHUNK * a)).zip(written).map(
                |(((chunk, who), action), (((obs, final_obs), reward), (terminated, truncated)))| {
                    ChunkSlices { chunk, who, action, obs, final_obs, reward, terminated, truncated }
                },
            );
            share(pool, all, work);
        }
        if let Some(metrics) = metrics {
            assert_eq!(metrics.len(), m * b, "metrics [metrics, B]");
            for (n, chunk) in self.chunks.iter().enumerate() {
                for (row, values) in metrics.chunks_exact_mut(b).zip(chunk.metrics.chunks_exact(chunk.n)) {
                    row[n * CHUNK..][..chunk.n].copy_from_slice(values);
                }
            }
        }
        Ok(())
    }

    /// All that a copy needs to go on identically, as bytes.
    pub fn save(&self) -> Vec<u8> {
        let words = self
            .who
            .iter()
            .flat_map(|w| [w.seed, w.number, w.clock, u32::from(w.begun) | u32::from(w.over) << 1]);
        let mut out: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        for x in self.chunks.iter().flat_map(|c| c.state.iter().chain(&c.fresh)) {
            out.extend(x.to_le_bytes());
        }
        out
    }

    /// Goes on where the environments of [`Stepper::save`], of the same task and as many, were.
    ///
    /// # Errors
    /// [`StepperError::Saved`]; nothing has been changed then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), StepperError> {
        let Sizes { obs, state, .. } = self.env.sizes();
        let wanted = self.who.len() * 4 * (4 + obs + state);
        if bytes.len() != wanted {
            let what = format!("{} bytes, {wanted} are {} of this task", bytes.len(), self.who.len());
            return Err(StepperError::Saved(what));
        }
        let mut words = bytes.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().expect("a word")));
        let mut next = || words.next().expect("counted above");
        for who in &mut self.who {
            let [seed, number, clock, bits] = std::array::from_fn(|_| next());
            *who = Identity { seed, number, clock, begun: bits & 1 != 0, over: bits & 2 != 0 };
        }
        for x in self.chunks.iter_mut().flat_map(|c| c.state.iter_mut().chain(&mut c.fresh)) {
            *x = f32::from_bits(next());
        }
        Ok(())
    }
}

/// No episode of so many slots begins at this clock or later: draws are counted in 32 bits.
fn last_start(slots: u32) -> u32 {
    u32::MAX - slots
}

/// What a thread steps: a chunk and its part of all arrays.
struct ChunkSlices<'a> {
    chunk: &'a mut Chunk,
    who: &'a mut [Identity],
    action: &'a [f32],
    obs: &'a mut [f32],
    final_obs: &'a mut [f32],
    reward: &'a mut [f32],
    terminated: &'a mut [bool],
    truncated: &'a mut [bool],
}

impl ChunkSlices<'_> {
    fn step(self, env: &dyn Env, mode: Autoreset, full: bool) {
        let ChunkSlices { chunk, who, action, obs, final_obs, reward, terminated, truncated } = self;
        let (n, o) = (chunk.n, obs.len() / chunk.n);
        let moving = neighbours(who, |i| !who[i].over);
        if full && moving.iter().map(|r| r.to - r.from).sum::<usize>() < n {
            chunk.metrics.fill(0.0);
        }
        for group in moving {
            chunk.step(env, group, action, obs, reward, full);
        }
        for (i, who) in who.iter_mut().enumerate() {
            let row = i * o..(i + 1) * o;
            if who.over {
                // Only under `NextStep`: this call resets the environment, and its action is not used.
                obs[row.clone()].copy_from_slice(&chunk.fresh[row]);
                (reward[i], terminated[i], truncated[i]) = (0.0, false, false);
                (who.over, who.begun) = (false, true);
                continue;
            }
            who.clock += 1;
            let flags = chunk.flags[i];
            (terminated[i], truncated[i]) = (flags & TERMINATED != 0, flags & TRUNCATED != 0);
            if flags == 0 {
                continue;
            }
            match mode {
                Autoreset::SameStep => final_obs[row.clone()].copy_from_slice(&chunk.final_obs[row]),
                Autoreset::NextStep | Autoreset::Disabled => {
                    chunk.fresh[row.clone()].copy_from_slice(&obs[row.clone()]);
                    obs[row.clone()].copy_from_slice(&chunk.final_obs[row]);
                    (who.over, who.begun) = (true, false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::env::{At, Slot};
    use crate::run::task::Task;
    use crate::tasks::v2x::config::V2xConfig;

    const SLOTS: u32 = 7;

    fn env() -> Arc<dyn Env> {
        let sets = [format!("task.slots={SLOTS}"), "task.beam=tracking".into()];
        V2xConfig::load(None, &sets).expect("valid").env_at(&[(30.0, 0)])
    }

    /// Actions that differ from environment to environment and from slot to slot, `from` the first of them.
    fn actions(a: usize, from: usize, envs: usize, t: u32) -> Vec<f32> {
        let number = |i: usize| ((from * a + i) as f32 * 0.37 + t as f32 * 0.61).sin();
        (0..envs * a).map(number).collect()
    }

    /// Observations, last observations, rewards, flags and metrics of a step.
    #[derive(Clone, Debug, PartialEq)]
    struct Seen {
        obs: Vec<f32>,
        final_obs: Vec<f32>,
        reward: Vec<f32>,
        terminated: Vec<bool>,
        truncated: Vec<bool>,
        metrics: Vec<f32>,
    }

    struct Client {
        stepper: Stepper,
        seen: Seen,
    }

    impl Client {
        fn new(mode: Autoreset, envs: usize, seed: u32) -> Self {
            let stepper = Stepper::new(env(), mode, envs, seed);
            let Sizes { obs, metrics, .. } = stepper.env().sizes();
            let seen = Seen {
                obs: vec![0.0; envs * obs],
                final_obs: vec![0.0; envs * obs],
                reward: vec![0.0; envs],
                terminated: vec![false; envs],
                truncated: vec![false; envs],
                metrics: vec![0.0; metrics * envs],
            };
            Client { stepper, seen }
        }
        fn reset(&mut self, which: Option<&[bool]>) -> Vec<f32> {
            self.stepper.reset(which, &mut self.seen.obs).expect("not worn");
            self.seen.obs.clone()
        }
        fn step(&mut self, action: &[f32]) -> Result<Seen, StepperError> {
            let Seen { obs, final_obs, reward, terminated, truncated, metrics } = &mut self.seen;
            let metrics = Some(&mut metrics[..]);
            self.stepper
                .step(action, StepOutputs { obs, final_obs, reward, terminated, truncated, metrics })?;
            Ok(self.seen.clone())
        }
        fn at(&mut self, t: u32) -> Seen {
            let (a, envs) = (self.stepper.env().sizes().action, self.stepper.envs());
            self.step(&actions(a, 0, envs, t)).expect("may be stepped")
        }
    }

    /// More than one chunk, against the environment itself.
    #[test]
    fn same_step_is_the_environment_bit_for_bit() {
        let envs = 2 * CHUNK + 3;
        let mut client = Client::new(Autoreset::SameStep, envs, 9);
        let env = env();
        let Sizes { obs: o, state, action: a, metrics, .. } = env.sizes();
        let mut want = Slot::filled(vec![0.0; state * envs], [envs * o, envs * o, envs, metrics * envs], 0.0);
        let mut at = At { replica: 0, key: [9, 0], first: 0, envs, clock: 0 };
        env.reset(&at, &mut want.state, &mut want.obs);
        assert_eq!(client.reset(None), want.obs);
        for t in 0..2 * SLOTS + 2 {
            at.clock = t;
            want.step(&*env, &at, &actions(a, 0, envs, t), true);
            let got = client.at(t);
            let ends = (t + 1).is_multiple_of(SLOTS);
            assert_eq!(
                (&got.obs, &got.reward, &got.metrics),
                (&want.obs, &want.reward, &want.metrics),
                "{t}"
            );
            assert!(got.truncated.iter().all(|x| *x == ends) && !got.terminated.contains(&true));
            if ends {
                assert_eq!(got.final_obs, want.final_obs);
            }
        }
    }

    #[test]
    fn an_environment_is_the_same_alone_and_among_others() {
        let (mut many, mut few, mut one) = (
            Client::new(Autoreset::SameStep, 2 * CHUNK + 3, 4),
            Client::new(Autoreset::SameStep, 2, 4),
            Client::new(Autoreset::SameStep, 1, 0),
        );
        // Environment 300 of seed 4 by itself.
        let place = CHUNK + 44;
        one.stepper.seed(0, 4, place as u32);
        let (all, two, own) = (many.reset(None), few.reset(None), one.reset(None));
        let (o, a) = (own.len(), one.stepper.env().sizes().action);
        assert_eq!((&all[..2 * o], &all[place * o..][..o]), (&two[..], &own[..]));
        for t in 0..SLOTS + 3 {
            let all = many.at(t);
            let two = few.at(t);
            let own = one.step(&actions(a, place, 1, t)).expect("may be stepped");
            assert_eq!((&all.obs[..2 * o], &all.reward[..2]), (&two.obs[..], &two.reward[..]), "slot {t}");
            assert_eq!((&all.obs[place * o..][..o], all.reward[place]), (&own.obs[..], own.reward[0]));
        }
    }

    /// The same two episodes, told in three ways.
    #[test]
    fn modes_tell_the_same_episodes() {
        let mut all =
            [Autoreset::SameStep, Autoreset::NextStep, Autoreset::Disabled].map(|m| Client::new(m, 5, 1));
        let first = all.each_mut().map(|c| c.reset(None));
        assert!(first[1..].iter().all(|x| *x == first[0]));
        for episode in 0..2 {
            for t in 0..SLOTS {
                let [same, next, disabled] = all.each_mut().map(|c| c.at(t + episode * SLOTS));
                assert_eq!((&same.reward, &same.metrics), (&next.reward, &next.metrics));
                assert_eq!(next, Seen { final_obs: next.final_obs.clone(), ..disabled });
                if t + 1 < SLOTS {
                    assert_eq!(same.obs, next.obs);
                    continue;
                }
                assert!(next.truncated.iter().all(|x| *x));
                assert_eq!((&same.final_obs, next.obs == same.obs), (&next.obs, false));
                let waits = all[2].stepper.is_over(0);
                assert!(waits && all[2].step(&actions(6, 0, 5, 0)) == Err(StepperError::Over(0)));
                assert_eq!(all[2].reset(None), same.obs);
                let fresh = all[1].at(99);
                assert_eq!((fresh.obs, fresh.reward), (same.obs, vec![0.0; 5]));
                assert!(fresh.metrics.iter().all(|x| *x == 0.0) && !fresh.truncated.contains(&true));
            }
        }
    }

    /// A reset in the middle goes on to the next episode, and others do not notice.
    #[test]
    fn some_are_reset_while_others_go_on() {
        let (mut some, mut none) =
            (Client::new(Autoreset::Disabled, 9, 2), Client::new(Autoreset::Disabled, 9, 2));
        some.reset(None);
        none.reset(None);
        let o = some.seen.obs.len() / 9;
        for t in 0..3 {
            assert_eq!(some.at(t), none.at(t));
        }
        let mask: Vec<bool> = (0..9).map(|i| i % 4 == 1).collect();
        let (before, after) = (some.seen.obs.clone(), some.reset(Some(&mask)));
        let is_reset = |i: usize| mask[i];
        for i in 0..9 {
            assert_eq!(before[i * o..][..o] == after[i * o..][..o], !is_reset(i), "environment {i}");
        }
        let mut reset_then = Vec::new();
        for t in 3..SLOTS {
            let (a, b) = (some.at(t), none.at(t));
            for i in (0..9).filter(|i| !is_reset(*i)) {
                assert_eq!((&a.obs[i * o..][..o], a.reward[i]), (&b.obs[i * o..][..o], b.reward[i]));
                assert_eq!((a.truncated[i], a.metrics[i]), (b.truncated[i], b.metrics[i]));
            }
            reset_then.push(a);
        }
        assert_eq!(some.seen.truncated, mask.iter().map(|m| !m).collect::<Vec<_>>());
        // What was reset is in the episode that all begin next.
        none.reset(None);
        let first = none.seen.obs.clone();
        assert_eq!(first[o..2 * o], after[o..2 * o]);
        for (t, seen) in (3..SLOTS).zip(reset_then) {
            assert_eq!(none.at(t).reward[1], seen.reward[1]);
        }
    }

    #[test]
    fn a_reset_begins_another_episode_and_a_seed_the_same_one() {
        let mut client = Client::new(Autoreset::SameStep, 3, 6);
        let (first, second) = (client.reset(None), client.reset(None));
        assert_ne!(first, second);
        (0..3).for_each(|i| client.stepper.seed(i, 6, i as u32));
        assert_eq!(client.reset(None), first);
        assert_eq!(client.reset(None), second);
        // Each its own seed, as if it were alone.
        (0..3).for_each(|i| client.stepper.seed(i, 10 + i as u32, 0));
        let apart = client.reset(None);
        let o = apart.len() / 3;
        for i in 0..3 {
            let mut alone = Client::new(Autoreset::SameStep, 1, 10 + i as u32);
            assert_eq!(alone.reset(None), apart[i * o..][..o]);
            assert_eq!(alone.step(&actions(6, i, 1, 0)).expect("begun").reward[0], client.stepper_reward(i));
        }
    }

    impl Client {
        /// The reward of environment `i` in a first slot, of a copy.
        fn stepper_reward(&self, i: usize) -> f32 {
            let mut copy = Client::new(Autoreset::SameStep, self.stepper.envs(), 0);
            copy.stepper.load(&self.stepper.save()).expect("saved by the same");
            copy.at(0).reward[i]
        }
    }

    #[test]
    fn a_copy_goes_on_identically() {
        for mode in [Autoreset::SameStep, Autoreset::NextStep] {
            let mut client = Client::new(mode, CHUNK + 2, 3);
            client.reset(None);
            // As far as the end of an episode, behind which `NextStep` waits.
            (0..SLOTS).for_each(|t| drop(client.at(t)));
            let mut copy = Client::new(mode, CHUNK + 2, 77);
            copy.stepper.load(&client.stepper.save()).expect("saved by the same");
            for t in 0..SLOTS + 2 {
                let (a, b) = (client.at(t), copy.at(t));
                assert_eq!(a, Seen { final_obs: a.final_obs.clone(), ..b }, "{mode:?}, slot {t}");
            }
        }
        let mut other = Client::new(Autoreset::SameStep, 2, 0);
        assert!(matches!(other.stepper.load(&[0; 16]), Err(StepperError::Saved(_))));
    }

    #[test]
    fn what_cannot_be_stepped_is_refused() {
        let mut client = Client::new(Autoreset::SameStep, 2, 0);
        assert_eq!(client.step(&[0.0; 12]), Err(StepperError::NotReset));
        client.reset(None);
        client.stepper.who[1].clock = last_start(SLOTS);
        assert_eq!(client.step(&[0.0; 12]), Err(StepperError::Worn(1, last_start(SLOTS))));
        let mut obs = client.seen.obs.clone();
        assert_eq!(client.stepper.reset(None, &mut obs), Err(StepperError::Worn(1, last_start(SLOTS))));
    }
}
