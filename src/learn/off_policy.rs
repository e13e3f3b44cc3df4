//! What the off-policy agents are built from: `ddpg` and `dqn`, both backends.

use super::replay::Row;
use super::{Extra, LearnerState, REPLAY};
use crate::config::{DdpgConfig, DqnConfig, DqnHead};
use crate::env::{Env, Sizes};
use crate::kernels::adam;
use crate::nets::codebook::Codebook;
use crate::nets::{Activation, Head, MlpLayout, Policy, Tensor};
use std::f64::consts::SQRT_2;
use std::sync::Arc;

/// What differs between the agents.
#[derive(Clone, Debug)]
pub enum Method {
    /// Raw actions lie in [−scale, scale].
    Ddpg { scale: f64 },
    /// With what each factor of the policy can choose.
    Dqn(Codebook),
}

/// What all replicas of a batch share: see the keys of [`DdpgConfig`].
#[derive(Clone, Debug)]
pub struct Common {
    pub hidden: Vec<usize>,
    pub envs: usize,
    pub capacity: usize,
    pub minibatch: usize,
    pub learning_starts: usize,
    pub train_every: usize,
    pub gradient_steps: usize,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_eps: f64,
}

/// Numbers of one replica, which may differ within a batch: see the keys of [`DdpgConfig`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    pub gamma: f64,
    pub tau: f64,
    /// Of actor and critic; `dqn` has only the first.
    pub lr: [f64; 2],
    pub lr_final_share: f64,
    pub max_grad_norm: f64,
    pub reward_scale: f64,
    /// Exploration at the start, at the end of its way, and the share of the run that the way takes.
    pub exploration: [f64; 3],
    /// Gain of the orthogonal initialisation of the policy's last layer.
    pub output_gain: f64,
}

macro_rules! common {
    ($c:expr) => {
        Common {
            hidden: $c.hidden.clone(),
            envs: $c.envs,
            capacity: $c.capacity,
            minibatch: $c.minibatch,
            learning_starts: $c.learning_starts,
            train_every: $c.train_every,
            gradient_steps: $c.gradient_steps,
            adam_beta1: $c.adam_beta1,
            adam_beta2: $c.adam_beta2,
            adam_eps: $c.adam_eps,
        }
    };
}

macro_rules! numbers {
    ($c:expr, $lr:expr, $exploration:expr, $gain:expr) => {
        Numbers {
            gamma: $c.gamma,
            tau: $c.tau,
            lr: $lr,
            lr_final_share: $c.lr_final_share,
            max_grad_norm: $c.max_grad_norm,
            reward_scale: $c.reward_scale,
            exploration: $exploration,
            output_gain: $gain,
        }
    };
}

/// The networks in the flat vector of a replica: the actor, then the critic of (observation, raw action); or the
/// Q-network alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Nets {
    /// O → A before tanh, or O → K·H: H values for each of K factors ([`Codebook::outputs`]).
    pub policy: MlpLayout,
    /// O + A → 1
    pub critic: Option<MlpLayout>,
}

impl Nets {
    /// P: length of the flat vector.
    pub fn params(&self) -> usize {
        self.critic.as_ref().unwrap_or(&self.policy).end()
    }
    /// Where the second parameter group (the critic) starts; P without one.
    pub fn split(&self) -> usize {
        self.policy.end()
    }
}

/// What both backends of an off-policy agent are built from.
#[derive(Clone, Debug)]
pub struct OffPolicySpec {
    pub env: Arc<dyn Env>,
    pub method: Method,
    pub common: Common,
    /// Of every replica where `each` is empty.
    pub numbers: Numbers,
    /// Of each replica, `[R]`, or empty.
    pub each: Vec<Numbers>,
}

impl OffPolicySpec {
    /// Agent `ddpg`.
    pub fn ddpg(c: &DdpgConfig, env: Arc<dyn Env>) -> Self {
        let exploration = [c.noise_start, c.noise_final, c.noise_share];
        let numbers = numbers!(c, [c.lr_actor, c.lr_critic], exploration, c.actor_gain);
        let method = Method::Ddpg { scale: c.action_scale };
        OffPolicySpec { env, method, common: common!(c), numbers, each: Vec::new() }
    }

    /// Agent `dqn`; `None` where the environment has no factored choices.
    pub fn dqn(c: &DqnConfig, env: Arc<dyn Env>) -> Option<Self> {
        let exploration = [c.epsilon_start, c.epsilon_final, c.epsilon_share];
        let numbers = numbers!(c, [c.lr, c.lr], exploration, c.output_gain);
        let book = env.codebook(c.beams, &c.power_levels)?;
        let method = Method::Dqn(Codebook { additive: c.head == DqnHead::Additive, ..book });
        Some(OffPolicySpec { env, method, common: common!(c), numbers, each: Vec::new() })
    }

    /// The numbers of replica `r`.
    pub fn of(&self, r: usize) -> &Numbers {
        self.each.get(r).unwrap_or(&self.numbers)
    }

    /// One of the numbers of each replica, as kernels take it, `[R]`.
    pub(super) fn each_of(&self, number: impl Fn(&Numbers) -> f64) -> Vec<f32> {
        (0..self.env.replicas()).map(|r| number(self.of(r)) as f32).collect()
    }

    pub fn nets(&self) -> Nets {
        let Sizes { obs: o, action: a, .. } = self.env.sizes();
        let net = |inputs: usize, hidden: &[usize], outputs: usize, offset: usize| {
            MlpLayout::new(&[&[inputs], hidden, &[outputs]].concat(), Activation::Relu, offset)
        };
        let hidden = &self.common.hidden;
        match &self.method {
            Method::Ddpg { .. } => {
                let policy = net(o, hidden, a, 0);
                let critic = Some(net(o + a, hidden, 1, policy.end()));
                Nets { policy, critic }
            }
            Method::Dqn(book) => {
                Nets { policy: net(o, hidden, book.factors * book.outputs(), 0), critic: None }
            }
        }
    }

    /// `actor.fc1.weight`, …, `critic.fc1.weight`, … or `q.fc1.weight`, …: the names of the golden files.
    pub fn tensors(&self) -> Vec<Tensor> {
        let nets = self.nets();
        match &nets.critic {
            Some(critic) => [nets.policy.tensors("actor."), critic.tensors("critic.")].concat(),
            None => nets.policy.tensors("q."),
        }
    }

    /// Layout of a stored transition: raw actions, or a choice per factor.
    pub fn row(&self) -> Row {
        let sizes = self.env.sizes();
        let action = match &self.method {
            Method::Ddpg { .. } => sizes.action,
            Method::Dqn(book) => book.factors,
        };
        Row { obs: sizes.obs, action }
    }

    /// Slots that the replay holds.
    pub fn ring_slots(&self) -> usize {
        self.common.capacity / self.common.envs
    }

    /// Environment steps of one update of one replica: an episode of every environment.
    pub fn samples(&self) -> usize {
        self.common.envs * self.env.sizes().slots
    }

    /// Whether a round of gradient steps follows slot `clock`.
    pub fn learns(&self, clock: u32) -> bool {
        let slots = clock as usize + 1;
        slots.is_multiple_of(self.common.train_every)
            && slots * self.common.envs >= self.common.learning_starts
    }

    /// Most gradient steps of an update.
    pub fn steps(&self) -> usize {
        self.env.sizes().slots.div_ceil(self.common.train_every) * self.common.gradient_steps
    }

    /// Standard deviation of the noise (`ddpg`), or ε (`dqn`), of each replica in an update (0-based) of a run of
    /// `total`, `[R]`.
    pub fn exploration(&self, update: u32, total: u32) -> Vec<f64> {
        let of = |r: usize| {
            let [start, last, share] = self.of(r).exploration;
            let end = share * f64::from(total);
            let progress = if f64::from(update) < end { f64::from(update) / end } else { 1.0 };
            start + (last - start) * progress
        };
        (0..self.env.replicas()).map(of).collect()
    }

    /// The key of a schedule that changes and so follows the length of the run, if there is one in any replica.
    pub fn follows_length(&self) -> Option<&'static str> {
        let [rates, exploration] = match &self.method {
            Method::Ddpg { .. } => ["ddpg.lr_final_share", "ddpg.noise_share"],
            Method::Dqn(_) => ["dqn.lr_final_share", "dqn.epsilon_share"],
        };
        let own = |n: &Numbers| match n.exploration {
            _ if n.lr_final_share != 1.0 => Some(rates),
            [start, last, _] => (start != last).then_some(exploration),
        };
        own(&self.numbers).or_else(|| self.each.iter().find_map(own))
    }

    /// Learning rates of each replica in an update (0-based) of a run of `total`, `[R]`: linear from the configured
    /// ones to their final share.
    pub fn learning_rates(&self, update: u32, total: u32) -> Vec<[f64; 2]> {
        let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
        let of = |r: usize| {
            let share = 1.0 + (self.of(r).lr_final_share - 1.0) * progress.min(1.0);
            self.of(r).lr.map(|lr| lr * share)
        };
        (0..self.env.replicas()).map(of).collect()
    }

    /// Constants of the optimiser of replica `r` at these learning rates.
    pub fn adam(&self, r: usize, lr: [f64; 2]) -> adam::Hyper {
        let c = &self.common;
        adam::Hyper {
            lr,
            max_norm: self.of(r).max_grad_norm,
            beta1: c.adam_beta1,
            beta2: c.adam_beta2,
            eps: c.adam_eps,
        }
    }

    /// The state before the first update: orthogonal weights, targets equal to them, an empty replay.
    pub fn start(&self) -> LearnerState {
        let nets = self.nets();
        let mut params = Vec::new();
        for r in 0..self.env.replicas() {
            let (key, mut flat) = (self.env.key(r), vec![0.0; nets.params()]);
            nets.policy.init(key, 0, SQRT_2, self.of(r).output_gain, &mut flat);
            if let Some(critic) = &nets.critic {
                critic.init(key, 2 * nets.policy.layers.len(), SQRT_2, 1.0, &mut flat);
            }
            params.extend(flat);
        }
        let zeros = vec![0.0; params.len()];
        let width = self.row().width();
        let replay = vec![0.0; self.env.replicas() * self.common.capacity * width];
        let extra = self.extra(params.clone(), replay);
        LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra }
    }

    /// Targets `[R, P]` and replay `[R, capacity, W]` as a state keeps them.
    pub fn extra(&self, target: Vec<f32>, replay: Vec<f32>) -> Vec<Extra> {
        vec![
            Extra { name: "target".into(), shape: vec![self.nets().params()], data: target },
            Extra {
                name: REPLAY.into(),
                shape: vec![self.common.capacity, self.row().width()],
                data: replay,
            },
        ]
    }

    /// The policy that is learned; it acts without exploration.
    pub fn policy(&self) -> Policy {
        let nets = self.nets();
        let head = match &self.method {
            Method::Ddpg { scale } => Head::Tanh { scale: *scale as f32 },
            Method::Dqn(codebook) => Head::Factored { codebook: codebook.clone() },
        };
        Policy { params: nets.params(), net: nets.policy, head }
    }

    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        // The replay itself, the state a run starts from, and the copies of which a checkpoint is made.
        let replay = 5 * self.common.capacity * self.row().width() * 4;
        let weights = self.nets().params() * 4 * 10;
        (self.env.replicas() * (replay + weights)) as u64
    }
}
