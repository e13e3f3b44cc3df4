//! What the learners of experts are built from (paper "rl-h-moe", section III): one on-policy update per batch of
//! episodes, in which the scheduler and its critic follow the policy gradient (12) and the phases follow L_spat (13)
//! alone, unless a trunk is shared. Where the phases of a shared trunk are drawn (`temporal.mono_phases = "gaussian"`),
//! they follow the policy gradient too, and L_spat is only measured.

use super::LearnerState;
use crate::config::{MonoPhases, PolicyGradient, SpatialConfig, TemporalConfig};
use crate::env::{Beams, Env, Sizes};
use crate::nets::Tensor;
use crate::nets::experts::{Architecture, ExpertsLayout, Scheduler, Widths};
use std::sync::Arc;

/// One architecture, its settings and the environments of its replicas.
#[derive(Clone, Debug)]
pub struct ExpertsSpec {
    pub env: Arc<dyn Env>,
    pub layout: ExpertsLayout,
    pub temporal: TemporalConfig,
    pub spatial: SpatialConfig,
    /// Where replicas of one batch learn with different numbers, those of each; empty where all learn as `temporal`
    /// says. Only rates, weights of losses and the like may differ: [`TemporalConfig::structure`] is equal.
    pub each: Vec<TemporalConfig>,
    /// The same of `spatial`: [`SpatialConfig::structure`] is equal.
    pub each_spatial: Vec<SpatialConfig>,
}

impl ExpertsSpec {
    /// # Panics
    /// If the environment has no beams, or its actions are not one decision for each vehicle.
    pub fn new(
        architecture: Architecture,
        env: Arc<dyn Env>,
        temporal: &TemporalConfig,
        spatial: &SpatialConfig,
    ) -> Self {
        let [vehicles, antennas] = env.beams().expect("experts learn beams beside decisions").shape();
        let sizes = env.sizes();
        assert_eq!(sizes.action, vehicles, "an action is one decision for each vehicle");
        let widths = Widths {
            obs: sizes.obs,
            vehicles,
            antennas,
            lstm: temporal.hidden,
            phases: &spatial.hidden,
            trunk: &temporal.trunk,
            critic: &temporal.critic,
        };
        let mut layout = ExpertsLayout::new(architecture, spatial.phase, &widths);
        if architecture.scheduler == Scheduler::Trunk && temporal.mono_phases == MonoPhases::Gaussian {
            layout = layout.drawn();
        }
        let (temporal, spatial) = (temporal.clone(), spatial.clone());
        ExpertsSpec { env, layout, temporal, spatial, each: Vec::new(), each_spatial: Vec::new() }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.env.sizes()
    }

    pub(super) fn beams(&self) -> &dyn Beams {
        self.env.beams().expect("asked for when the specification was made")
    }

    /// R
    pub fn replicas(&self) -> usize {
        self.env.replicas()
    }

    /// T: slots of an episode.
    pub fn slots(&self) -> usize {
        self.env.sizes().slots
    }

    /// Environment steps T·B of one update of one replica: an episode of every environment.
    pub fn samples(&self) -> usize {
        self.temporal.envs * self.slots()
    }

    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        self.layout.params()
    }

    /// What lies where in the flat vector.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.layout.tensors()
    }

    /// Passes over the rollout; the advantage actor-critic makes one.
    pub fn epochs(&self) -> usize {
        match self.temporal.algorithm {
            PolicyGradient::A2c => 1,
            PolicyGradient::Ppo => self.temporal.epochs,
        }
    }

    /// Environments of a minibatch; all of them for the advantage actor-critic.
    pub fn minibatch_envs(&self) -> usize {
        match self.temporal.algorithm {
            PolicyGradient::A2c => self.temporal.envs,
            PolicyGradient::Ppo => self.temporal.minibatch_envs,
        }
    }

    /// Minibatches of one epoch.
    pub fn minibatches(&self) -> usize {
        self.temporal.envs / self.minibatch_envs()
    }

    /// Slots of an episode that enter L_spat in this update: every `stride`-th, beginning one later in every update, so
    /// that all slots have their turn.
    pub fn spatial_slots(&self, update: u32) -> impl Iterator<Item = usize> + use<> {
        let (slots, stride) = (self.slots(), self.spatial_stride());
        (update as usize % stride..slots).step_by(stride)
    }

    /// Slots from one that enters L_spat to the next.
    pub fn spatial_stride(&self) -> usize {
        self.spatial.stride.min(self.slots())
    }

    /// What replica `r` learns with.
    pub fn of(&self, r: usize) -> &TemporalConfig {
        self.each.get(r).unwrap_or(&self.temporal)
    }

    /// What the phases of replica `r` learn with.
    pub fn spatial_of(&self, r: usize) -> &SpatialConfig {
        self.each_spatial.get(r).unwrap_or(&self.spatial)
    }

    /// What every replica learns with, `[R]`.
    pub fn all(&self) -> impl Iterator<Item = &TemporalConfig> {
        (0..self.replicas()).map(|r| self.of(r))
    }

    /// The paces `[R, 8]` that a state begins with; one of an earlier version has none, and every step of it counted.
    pub fn paces(&self, state: &LearnerState) -> Vec<f32> {
        super::paces(state, self.all().map(|t| [t.adam_beta1, t.adam_beta2]))
    }

    /// Scheduled rates of scheduler, critic and phases of every replica in an update (0-based) of a run of `total`:
    /// linear from the configured ones to their final share.
    pub fn learning_rates(&self, update: u32, total: u32) -> Vec<[f64; 3]> {
        let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
        let of = |(r, t): (usize, &TemporalConfig)| {
            let share = 1.0 + (t.lr_final_share - 1.0) * progress.min(1.0);
            [t.lr_policy * share, t.lr_critic * share, self.spatial_of(r).lr * share]
        };
        self.all().enumerate().map(of).collect()
    }

    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        let init = |r: usize| {
            let (t, output_gain) = (self.of(r), self.spatial_of(r).output_gain);
            let mut params = self.layout.init(self.env.key(r), t.head_gain, output_gain);
            params[self.layout.log_std()].fill(t.log_std_init as f32);
            params
        };
        let params: Vec<f32> = (0..self.replicas()).flat_map(init).collect();
        let zeros = vec![0.0; params.len()];
        let mut state =
            LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra: Vec::new() };
        let paces = self.paces(&state);
        state.extra = vec![super::pace_extra(paces.as_chunks().0.iter().copied())];
        state
    }

    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        let Sizes { obs, action, state, .. } = self.sizes();
        let per_slot =
            obs.next_multiple_of(16) + action + 7 + state / self.spatial.stride + self.layout.log_std().len();
        (self.replicas() * 4 * (self.samples() * per_slot + 8 * self.params())) as u64
    }
}
