//! Recording of episodes, slot by slot: the same draws, environments and decisions as in an evaluation, one agent in a
//! few episodes.

use super::actor::{Actor, Decided, Mode};
use super::evaluate::{Acts, Moment};
use crate::env::{At, Env, Slot};
use crate::report::replay::{Line, Scene, Take};
use std::sync::Arc;

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Seed of the draws: those of an evaluation with this seed.
    pub seed: u32,
    /// How many episodes of that evaluation, from its first on, side by side; at most those of one key.
    pub episodes: usize,
    /// How many slots of each, from its first on.
    pub slots: usize,
}

/// Whoever decides in episodes, and looks at what comes of it.
pub trait Recorder {
    /// Numbers of an environment that it keeps from slot to slot, all 0 before the first one.
    fn memory(&self) -> usize {
        0
    }
    /// Writes the actions `[envs, A]` of the coming slot.
    fn act(&mut self, now: &Moment, memory: &mut [f32], action: &mut [f32]);
    /// Keeps what is to be seen of the slot; `after` is what the step has left. Behind the last slot of an episode, its
    /// state and observation are those of the next one.
    fn see(&mut self, now: &Moment, action: &[f32], after: &Slot);
}

/// Plays episodes side by side: episode e as evaluations do it, as environment e under key (seed, 1).
pub fn play(env: &dyn Env, shot: &Shot, recorder: &mut dyn Recorder) {
    let (size, envs) = (env.sizes(), shot.episodes);
    let (o, rows) = (size.obs, size.metrics);
    let mut at = At { replica: 0, key: [shot.seed, 1], first: 0, envs, clock: 0 };
    let mut slot = Slot::filled(vec![0f32; size.state * envs], [envs * o, envs * o, envs, rows * envs], 0.0);
    let mut memory = vec![0f32; recorder.memory() * envs];
    let mut action = vec![0f32; envs * size.action];
    env.reset(&at, &mut slot.state, &mut slot.obs);
    for t in 0..shot.slots.min(size.slots) {
        at.clock = t as u32;
        let (state, obs) = (slot.state.clone(), slot.obs.clone());
        let now = Moment { at, state: &state, obs: &obs };
        recorder.act(&now, &mut memory, &mut action);
        slot.step(env, &at, &action, true);
        recorder.see(&now, &action, &slot);
    }
}

/// What decides by nothing but an action.
pub enum Decider<'a> {
    Rule(Arc<dyn Acts>),
    Policy { actor: &'a Actor, greedy: bool },
}

impl Decider<'_> {
    /// As [`Recorder::memory`].
    pub fn memory(&self) -> usize {
        match self {
            Decider::Rule(rule) => rule.memory(),
            Decider::Policy { actor, .. } => actor.memory(),
        }
    }
    /// As [`Recorder::act`].
    pub fn act(&self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        match self {
            Decider::Rule(rule) => rule.act(now, memory, action),
            Decider::Policy { actor, greedy } => {
                let mode = Mode { greedy: *greedy, key: now.at.key, clock: now.at.clock };
                actor.act(now.obs, mode, memory, Decided { action, phases: None });
            }
        }
    }
}

/// Keeps the first metrics of every slot.
struct Plain<'a> {
    decider: Decider<'a>,
    rows: usize,
    takes: Vec<Take>,
}

impl Recorder for Plain<'_> {
    fn memory(&self) -> usize {
        self.decider.memory()
    }
    fn act(&mut self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        self.decider.act(now, memory, action);
    }
    fn see(&mut self, now: &Moment, _: &[f32], after: &Slot) {
        for (env, take) in self.takes.iter_mut().enumerate() {
            for row in 0..self.rows {
                take.lines[row].push(after.metrics[row * now.at.envs + env]);
            }
        }
    }
}

/// What is seen of any task: the metrics of its slots as time lines.
pub fn plain(env: &dyn Env, decider: Decider, shot: &Shot) -> (Scene, Vec<Take>) {
    let mut metrics = env.metrics();
    metrics.truncate(metrics.len() - env.samples().map_or(0, |s| s.len()));
    let rows = metrics.len();
    let take = Take { lines: vec![Vec::new(); rows], bounds: vec![Vec::new(); rows], ..Take::default() };
    let mut plain = Plain { decider, rows, takes: vec![take; shot.episodes] };
    play(env, shot, &mut plain);
    let line = |m: &crate::env::Metric| Line::of(m.name.clone(), m.name.replace('_', " "), "");
    let scene = Scene {
        caption: "What every slot of an episode gave.".into(),
        slot_s: None,
        plan: None,
        movers: Vec::new(),
        columns: Vec::new(),
        lamp: None,
        lines: metrics.iter().map(line).collect(),
    };
    (scene, plain.takes)
}
