//! Environments that one thread steps at once, each with a seed, a number and a clock of its own.

use crate::env::{At, Env, StepSlices};

/// Which draws an environment gets, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) seed: u32,
    /// Of the environment in the streams of its seed.
    pub(super) number: u32,
    /// Slots since the first reset.
    pub(super) clock: u32,
    /// Whether the first observation of the episode at `clock` has been given out.
    pub(super) begun: bool,
    /// Whether it waits behind the end of an episode.
    pub(super) over: bool,
}

/// Environments that one thread steps at once.
pub(super) const CHUNK: usize = 256;

/// Arrays of some environments, `n` of them.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) n: usize,
    /// `[S, n]`
    pub(super) state: Vec<f32>,
    /// First observations of episodes that nobody has seen yet, `[n, O]`.
    pub(super) fresh: Vec<f32>,
    /// Of a slot: `[n, O]`, `[n]` and `[metrics, n]`.
    pub(super) final_obs: Vec<f32>,
    pub(super) flags: Vec<u32>,
    pub(super) metrics: Vec<f32>,
}

/// Neighbours with one key and clock, as places in their chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbours {
    pub(super) from: usize,
    pub(super) to: usize,
    at: SharedAt,
}

/// What neighbours share of an [`At`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SharedAt {
    seed: u32,
    first: u32,
    clock: u32,
}

/// Neighbours among the chosen that one call can step.
pub(super) fn neighbours(who: &[Identity], chosen: impl Fn(usize) -> bool) -> Vec<Neighbours> {
    let mut out: Vec<Neighbours> = Vec::new();
    for (i, w) in who.iter().enumerate().filter(|(i, _)| chosen(*i)) {
        let at = SharedAt { seed: w.seed, first: w.number, clock: w.clock };
        match out.last_mut() {
            Some(group)
                if group.to == i
                    && (group.at.seed, group.at.clock) == (at.seed, at.clock)
                    && u64::from(group.at.first) + (i - group.from) as u64 == u64::from(w.number) =>
            {
                group.to = i + 1;
            }
            _ => out.push(Neighbours { from: i, to: i + 1, at }),
        }
    }
    out
}

impl Neighbours {
    fn at(&self) -> At {
        let SharedAt { seed, first, clock } = self.at;
        At { replica: 0, key: [seed, 0], first, envs: self.to - self.from, clock }
    }
}

/// Columns `group` of rows of `n`.
fn columns(rows: &[f32], n: usize, group: Neighbours) -> Vec<f32> {
    rows.chunks_exact(n).flat_map(|row| &row[group.from..group.to]).copied().collect()
}

fn put_columns(rows: &mut [f32], n: usize, group: Neighbours, values: &[f32]) {
    for (row, values) in rows.chunks_exact_mut(n).zip(values.chunks_exact(group.to - group.from)) {
        row[group.from..group.to].copy_from_slice(values);
    }
}

impl Chunk {
    /// Fresh episodes of `group`, whose rows of `obs` `[n, O]` are written.
    pub(super) fn reset(&mut self, env: &dyn Env, group: Neighbours, obs: &mut [f32]) {
        let o = obs.len() / self.n;
        let obs = &mut obs[group.from * o..group.to * o];
        if group.to - group.from == self.n {
            env.reset(&group.at(), &mut self.state, obs);
            return;
        }
        let mut state = columns(&self.state, self.n, group);
        env.reset(&group.at(), &mut state, obs);
        put_columns(&mut self.state, self.n, group, &state);
    }

    /// One slot of `group`.
    pub(super) fn step(
        &mut self,
        env: &dyn Env,
        group: Neighbours,
        action: &[f32],
        obs: &mut [f32],
        reward: &mut [f32],
        full: bool,
    ) {
        let n = self.n;
        let rows = |len: usize| group.from * len..group.to * len;
        let (o, a) = (obs.len() / n, action.len() / n);
        let (action, obs, reward) = (&action[rows(a)], &mut obs[rows(o)], &mut reward[rows(1)]);
        let (final_obs, flags) = (&mut self.final_obs[rows(o)], &mut self.flags[rows(1)]);
        if group.to - group.from == n {
            let metrics = full.then_some(&mut self.metrics[..]);
            let out = StepSlices { final_obs, reward, flags, metrics, full };
            env.step(&group.at(), action, &mut self.state, obs, out);
            return;
        }
        let mut state = columns(&self.state, n, group);
        let mut metrics = vec![0.0; if full { self.metrics.len() / n * (group.to - group.from) } else { 0 }];
        let out = StepSlices { final_obs, reward, flags, metrics: full.then_some(&mut metrics), full };
        env.step(&group.at(), action, &mut state, obs, out);
        put_columns(&mut self.state, n, group, &state);
        if full {
            put_columns(&mut self.metrics, n, group, &metrics);
        }
    }
}
