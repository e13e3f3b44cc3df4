//! The learning algorithms, on both backends with the same random draws: on-policy updates made of rollout, advantages
//! and minibatch steps, and off-policy ones whose slots, replay and gradient steps alternate.

mod activity_gpu;
mod adam;
pub mod apg;
pub mod apg_cpu;
pub mod apg_gpu;
mod ddpg_cpu;
mod dispatch;
mod dqn_cpu;
pub mod experts;
mod experts_backward_cpu;
pub mod experts_cpu;
pub mod experts_gpu;
mod experts_memory_cpu;
#[cfg(test)]
mod experts_toy;
mod learner;
pub mod mixture;
pub mod network;
pub mod off_policy;
pub mod off_policy_cpu;
pub mod off_policy_gpu;
mod off_policy_memory_cpu;
pub mod off_policy_step_gpu;
mod pack;
mod parts;
pub mod phases_cpu;
pub mod ppo_cpu;
pub mod ppo_gpu;
pub mod recurrent;
pub use crate::kernels::replay;
pub mod step_gpu;
#[cfg(test)]
mod toy;

pub use apg::ApgSpec;
pub use dispatch::Learner;
pub use experts::ExpertsSpec;
pub use learner::{Apg, Experts, OffPolicy, Ppo};
pub use off_policy::OffPolicySpec;

use crate::config::{PpoConfig, SpikingConfig};
use crate::env::Env;
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::adam::Clamp;
use crate::kernels::kl_control::Pace;
use crate::kernels::metrics_reduce;
use crate::nets::cpu::carried_width;
use crate::nets::{Activation, ActorCriticLayout, Head, Policy, Tensor};
use std::sync::{Arc, Mutex};

/// Slices of a minibatch whose weight gradients are summed apart on a GPU, so that the sums fill it.
fn slices(rows: usize) -> usize {
    rows.div_ceil(512).clamp(1, 64)
}

/// Working memory that threads borrow, so that it is allocated and zeroed once.
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    fn new() -> Self {
        Pool(Mutex::new(Vec::new()))
    }

    fn with<R>(&self, new: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let free = self.0.lock().expect("no thread panics with the lock").pop();
        let mut item = free.unwrap_or_else(new);
        let out = work(&mut item);
        self.0.lock().expect("no thread panics with the lock").push(item);
        out
    }
}

/// A learning algorithm with everything that its backends are built from.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a job has one or two of them, and passes them by reference")]
pub enum Algorithm {
    Ppo(PpoSpec),
    OffPolicy(OffPolicySpec),
    Experts(ExpertsSpec),
    Apg(ApgSpec),
}

impl Algorithm {
    /// Where its replicas learn.
    pub fn env(&self) -> &Arc<dyn Env> {
        match self {
            Algorithm::Ppo(s) => &s.env,
            Algorithm::OffPolicy(s) => &s.env,
            Algorithm::Experts(s) => &s.env,
            Algorithm::Apg(s) => &s.env,
        }
    }
    /// Environment steps of one update of one replica.
    pub fn samples(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.samples(),
            Algorithm::OffPolicy(s) => s.samples(),
            Algorithm::Experts(s) => s.samples(),
            Algorithm::Apg(s) => s.samples(),
        }
    }
    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        match self {
            Algorithm::Ppo(s) => s.layout().params(),
            Algorithm::OffPolicy(s) => s.nets().params(),
            Algorithm::Experts(s) => s.params(),
            Algorithm::Apg(s) => s.net().end(),
        }
    }
    /// What lies where in the flat vector.
    pub fn tensors(&self) -> Vec<Tensor> {
        match self {
            Algorithm::Ppo(s) => s.layout().tensors(),
            Algorithm::OffPolicy(s) => s.tensors(),
            Algorithm::Experts(s) => s.tensors(),
            Algorithm::Apg(s) => s.tensors(),
        }
    }
    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        match self {
            Algorithm::Ppo(s) => LearnerState::new(s),
            Algorithm::OffPolicy(s) => s.start(),
            Algorithm::Experts(s) => s.start(),
            Algorithm::Apg(s) => s.start(),
        }
    }
    /// The policy that is learned; `None` of experts, which are more than a network with a head.
    pub fn policy(&self) -> Option<Policy> {
        match self {
            Algorithm::Ppo(s) => {
                let layout = s.layout();
                let head = Head::Gaussian { log_std_off: layout.log_std_off };
                Some(Policy { params: layout.params(), net: layout.actor, head })
            }
            Algorithm::OffPolicy(s) => Some(s.policy()),
            Algorithm::Apg(s) => Some(s.policy()),
            Algorithm::Experts(_) => None,
        }
    }
    /// The networks that decide, as text: equal texts are equal networks.
    pub fn decision(&self) -> String {
        match self {
            Algorithm::Experts(s) => format!("{:?}", s.layout),
            _ => format!("{:?}", self.policy()),
        }
    }
    /// Whether the policy is a network with a gradient of its own, rather than the choice that a critic values most.
    pub fn has_actor(&self) -> bool {
        match self {
            Algorithm::Ppo(_) | Algorithm::Experts(_) | Algorithm::Apg(_) => true,
            Algorithm::OffPolicy(s) => s.nets().critic.is_some(),
        }
    }
    /// Whether a network values what the policy does.
    pub fn has_critic(&self) -> bool {
        !matches!(self, Algorithm::Apg(_))
    }
    /// Whether a gradient of this update was not finite, so that the learner passed over it; `None` where it made no
    /// gradient step.
    pub fn is_stuck(&self, u: &UpdateMetrics) -> Option<bool> {
        let finite = (u.grad_norm_critic.is_finite() || !self.has_critic())
            && (u.grad_norm_actor.is_finite() || !self.has_actor());
        (u.gradient_steps > 0).then_some(!finite)
    }
    /// Whether the policy network has neurons that spike.
    pub fn spikes(&self) -> bool {
        self.policy().is_some_and(|p| p.net.lif.is_some())
    }
    /// Updates before the one whose time is that of all later ones.
    pub fn warm_up(&self) -> u32 {
        match self {
            Algorithm::Ppo(_) | Algorithm::Experts(_) | Algorithm::Apg(_) => 1,
            // A replay is filled before there is anything to learn from.
            Algorithm::OffPolicy(s) => s.common.learning_starts.div_ceil(s.samples()).clamp(1, 20) as u32,
        }
    }
    /// The key of a setting that follows the length of the run, if there is one: without, a longer run begins as a
    /// shorter one does.
    pub fn follows_length(&self) -> Option<&'static str> {
        let rates = |share: f64, key| (share != 1.0).then_some(key);
        match self {
            Algorithm::Ppo(s) => {
                let mut all = std::iter::once(&s.ppo).chain(&s.each);
                all.find_map(|p| rates(p.lr_final_share, "ppo.lr_final_share"))
            }
            Algorithm::Experts(s) => {
                let mut all = std::iter::once(&s.temporal).chain(&s.each);
                all.find_map(|t| rates(t.lr_final_share, "temporal.lr_final_share"))
            }
            Algorithm::OffPolicy(s) => s.follows_length(),
            Algorithm::Apg(s) => s.follows_length(),
        }
    }
    /// How far learning is, in a few words: the first two means of an update over all replicas.
    pub fn note(&self, metrics: &[UpdateMetrics]) -> String {
        let (env, n) = (self.env(), metrics.len() as f64);
        let names = env.metrics();
        let mean = |i: usize| metrics.iter().map(|u| u.slots[i]).sum::<f64>() / n;
        let of = |(i, row): (usize, &usize)| format!("{} {:.2}", names[*row].name, mean(i));
        env.curve().iter().take(2).enumerate().map(of).collect::<Vec<_>>().join(", ")
    }
    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        match self {
            Algorithm::Ppo(s) => {
                let sizes = s.env.sizes();
                let layout = s.layout();
                let potentials = carried_width(&layout.actor) + carried_width(&layout.critic);
                let per_slot = sizes.obs + sizes.action + potentials + 7;
                let rollout = s.samples() * per_slot * 4;
                let weights = layout.params() * 4 * (6 + s.ppo.minibatch.div_ceil(1024));
                (s.env.replicas() * (rollout + weights)) as u64
            }
            Algorithm::OffPolicy(s) => s.host_bytes(),
            Algorithm::Apg(s) => s.host_bytes(),
            Algorithm::Experts(s) => s.host_bytes(),
        }
    }
}

/// What both PPO backends are built from.
#[derive(Clone, Debug)]
pub struct PpoSpec {
    pub env: Arc<dyn Env>,
    pub ppo: PpoConfig,
    /// Spiking networks with these neurons instead of tanh perceptrons.
    pub spiking: Option<SpikingConfig>,
    /// Where replicas of one batch learn with different numbers, those of each; empty where all learn as `ppo` says.
    /// Only rates, weights of losses and the like may differ: [`PpoConfig::structure`] is equal.
    pub each: Vec<PpoConfig>,
}

impl PpoSpec {
    /// PPO with tanh perceptrons: agent `ppo`.
    pub fn mlp(ppo: &PpoConfig, env: Arc<dyn Env>) -> Self {
        PpoSpec { env, ppo: ppo.clone(), spiking: None, each: Vec::new() }
    }
    /// PPO with spiking networks: agent `spiking-ac`. What `[spiking]` says of learning takes the place of `[ppo]`.
    pub fn spiking(ppo: &PpoConfig, spiking: &SpikingConfig, env: Arc<dyn Env>) -> Self {
        let s = spiking;
        let ppo = PpoConfig {
            hidden: if s.hidden.is_empty() { ppo.hidden.clone() } else { s.hidden.clone() },
            lr_actor: s.lr_actor,
            lr_critic: s.lr_critic,
            actor_gain: s.actor_gain,
            target_kl: s.target_kl,
            ..ppo.clone()
        };
        PpoSpec { env, ppo, spiking: Some(s.clone()), each: Vec::new() }
    }
    /// What replica `r` learns with.
    pub fn of(&self, r: usize) -> &PpoConfig {
        self.each.get(r).unwrap_or(&self.ppo)
    }
    /// What every replica learns with, `[R]`.
    pub fn all(&self) -> impl Iterator<Item = &PpoConfig> {
        (0..self.env.replicas()).map(|r| self.of(r))
    }
    /// Scheduled rates of actor and critic of every replica in an update (0-based) of a run of `total`: linear from the
    /// configured ones to their final share.
    pub fn learning_rates(&self, update: u32, total: u32) -> Vec<[f64; 2]> {
        let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
        let of = |p: &PpoConfig| {
            let share = 1.0 + (p.lr_final_share - 1.0) * progress.min(1.0);
            [p.lr_actor * share, p.lr_critic * share]
        };
        self.all().map(of).collect()
    }
    /// The logarithms of the standard deviations, and where they stay.
    pub fn clamp(&self) -> Clamp {
        let layout = self.layout();
        let params = layout.log_std_off..layout.log_std_off + layout.actions();
        Clamp { params, low: self.ppo.log_std_min, high: self.ppo.log_std_max }
    }
    /// The paces `[R, 8]` that a state begins with; one of an earlier version has none, and every step of it counted.
    pub fn paces(&self, state: &LearnerState) -> Vec<f32> {
        paces(state, self.all().map(|p| [p.adam_beta1, p.adam_beta2]))
    }
    pub fn layout(&self) -> ActorCriticLayout {
        let neurons = match &self.spiking {
            Some(s) => s.neurons(),
            None => Activation::Tanh.into(),
        };
        let sizes = self.env.sizes();
        ActorCriticLayout::new(sizes.obs, &self.ppo.hidden, sizes.action, neurons)
    }
    /// Samples T·B of one update of one replica.
    pub fn samples(&self) -> usize {
        self.ppo.envs * self.ppo.horizon
    }
    /// Minibatches of one epoch.
    pub fn minibatches(&self) -> usize {
        self.samples() / self.ppo.minibatch
    }
    /// The flat parameter vectors `[R, P]` before the first update.
    pub fn initial_params(&self) -> Vec<f32> {
        let layout = self.layout();
        let gain = self.spiking.as_ref().map_or(std::f64::consts::SQRT_2, |s| s.hidden_gain);
        let of = |(r, p): (usize, &PpoConfig)| {
            layout.init(self.env.key(r), gain, p.actor_gain, p.log_std_init as f32)
        };
        self.all().enumerate().flat_map(of).collect()
    }
}

/// Parameters and optimiser state of all replicas: what a checkpoint holds and what a backend starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// `[R, P]`
    pub params: Vec<f32>,
    /// First and second moments of Adam, `[R, P]`.
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    /// Adam steps done.
    pub adam_steps: u64,
    /// Updates done.
    pub updates: u32,
    /// What else an algorithm must remember to go on as if it had never stopped: target networks, replay.
    pub extra: Vec<Extra>,
}

/// What the replay of an off-policy learner is called among these.
pub const REPLAY: &str = "replay";

/// A further array of a learner's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    pub name: String,
    /// Of one replica.
    pub shape: Vec<usize>,
    /// `[R, shape…]`
    pub data: Vec<f32>,
}

impl Extra {
    /// Whether checkpoints of the first format do not have it.
    pub fn is_new(name: &str) -> bool {
        name == PACE
    }
}

impl LearnerState {
    /// The start of a run.
    pub fn new(spec: &PpoSpec) -> Self {
        let params = spec.initial_params();
        let zeros = vec![0.0; params.len()];
        let mut state =
            LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra: Vec::new() };
        let paces = spec.paces(&state);
        state.extra = vec![pace_extra(paces.as_chunks().0.iter().copied())];
        state
    }

    /// The array of this name, `[R, shape…]`.
    pub fn extra(&self, name: &str) -> Option<&[f32]> {
        self.extra.iter().find(|e| e.name == name).map(|e| &e.data[..])
    }
}

/// The paces of `kl_control` in a state.
const PACE: &str = "pace";

/// The paces `[R, 8]` in a state, or those that all its steps led to.
fn paces(state: &LearnerState, betas: impl Iterator<Item = [f64; 2]>) -> Vec<f32> {
    let after = betas.flat_map(|b| Pace::after(state.adam_steps, b).row());
    state.extra(PACE).map_or_else(|| after.collect(), <[f32]>::to_vec)
}

fn pace_extra(rows: impl Iterator<Item = [f32; 8]>) -> Extra {
    Extra { name: PACE.into(), shape: vec![8], data: rows.flatten().collect() }
}

/// Means over one update of one replica. What an algorithm does not have is NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateMetrics {
    /// Means per slot of the metrics that [`Env::curve`] names, in its order: the first is the reward as the task
    /// defines it (not scaled).
    pub slots: Vec<f64>,
    /// Gradient steps behind the losses and norms below, which are NaN where there was none.
    pub gradient_steps: u32,
    /// Means over the minibatches of the update.
    pub policy_loss: f64,
    pub value_loss: f64,
    pub entropy: f64,
    pub approx_kl: f64,
    pub clip_fraction: f64,
    /// Mean gradient norms before clipping.
    pub grad_norm_actor: f64,
    pub grad_norm_critic: f64,
    /// Share of the variance of the rollout's returns that its values explained: 1 is perfect, 0 as good as their mean.
    pub explained_variance: f64,
    /// Share of the policy's hidden neurons that said nothing: no spike in the rollout; of ReLU, 0 for every sample of
    /// the last minibatch.
    pub dead_neurons: f64,
    /// Share that said the same whatever came: a spike in every step of the rollout; of tanh, beyond ±0.99 for every
    /// sample of the last minibatch.
    pub saturated_neurons: f64,
    /// Mean share of its scheduled rate that the actor stepped with, and the share of steps that were left out: see
    /// [`kl_control`](crate::kernels::kl_control).
    pub rate_share: f64,
    pub skipped_share: f64,
    /// Firing rates, spikes per neuron and spike step, in the rollout: the actor's hidden layers, then the critic's.
    /// Empty without spikes.
    pub firing_rates: Vec<f64>,
    /// Of the loss of the beams, where there is one.
    pub beams: Option<BeamUpdate>,
}

impl UpdateMetrics {
    /// An update of which nothing is known.
    pub fn absent() -> Self {
        let nan = f64::NAN;
        UpdateMetrics {
            slots: Vec::new(),
            gradient_steps: 0,
            policy_loss: nan,
            value_loss: nan,
            entropy: nan,
            approx_kl: nan,
            clip_fraction: nan,
            grad_norm_actor: nan,
            grad_norm_critic: nan,
            explained_variance: nan,
            dead_neurons: nan,
            saturated_neurons: nan,
            rate_share: nan,
            skipped_share: nan,
            firing_rates: Vec::new(),
            beams: None,
        }
    }
}

/// Share of the variance of returns that values explained, 1 − Var(G − V)/Var(G), of n samples with these sums and sums
/// of squares of both; NaN where all returns are equal.
fn explained_variance(n: f64, residual: [f64; 2], returns: [f64; 2]) -> f64 {
    let variance = |[sum, square]: [f64; 2]| (square / n - (sum / n) * (sum / n)).max(0.0);
    let of_returns = variance(returns);
    if of_returns > 0.0 { 1.0 - variance(residual) / of_returns } else { f64::NAN }
}

/// What makes the sums, and of squares, over the environments of what values missed and of returns, and these:
/// `[T, R, 2]`.
type Fit = [(metrics_reduce::MetricsReduceBound, Buf<f32>); 2];

/// A half of [`Fit`] of `of` `[T, R, B]`.
fn fit_of(
    g: &Gpu,
    of: &Buf<f32>,
    [t, r, b]: [usize; 3],
) -> Result<(metrics_reduce::MetricsReduceBound, Buf<f32>), GpuError> {
    let sums = g.alloc::<f32>("rollout.fit", &[t, r, 2], Fill::Zero)?;
    // A row for each slot of each replica.
    let spec = metrics_reduce::Spec { r: 1, metric_rows: t * r, b };
    Ok((metrics_reduce::MetricsReduce::new(g, &spec)?.bind(g, of, &sums), sums))
}

fn record_fit(pass: &mut wgpu::ComputePass, fit: &Fit) {
    let sums = metrics_reduce::Args { scale: 1.0, sums_off: 0 };
    fit.iter().for_each(|(reduce, _)| reduce.record(pass, &sums));
}

/// Both sums of replica `r` of `replicas`.
fn fit_sums(sums: &[f32], r: usize, replicas: usize) -> [f64; 2] {
    let of_replica = sums.as_chunks::<2>().0.iter().skip(r).step_by(replicas);
    of_replica.fold([0.0; 2], |[sum, square], x| [sum + f64::from(x[0]), square + f64::from(x[1])])
}

/// What an update of experts says of the beams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamUpdate {
    /// |h^H v|²/M over the samples that entered L_spat.
    pub gain: f64,
    /// Norm of L_spat's gradient before clipping; where the trunk is shared, of its part on the trunk in the first
    /// minibatch.
    pub grad_norm: f64,
    /// Cosine between the gradients of policy loss and L_spat on a shared trunk (hidden layers and gate), in the
    /// update's first minibatch; NaN where none is shared.
    pub cosine: f64,
}
