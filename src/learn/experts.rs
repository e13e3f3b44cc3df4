//! What the learners of task misac are built from (paper "rl-h-moe", section III): one on-policy update per batch of episodes, in which the
//! scheduler and its critic follow the policy gradient (12) and the phases follow L_spat (13) alone, unless a trunk is shared.

use super::{LearnerState, Replica};
use crate::config::{PolicyGradient, SpatialConfig, TemporalConfig};
use crate::nets::Tensor;
use crate::nets::experts::{Architecture, ExpertsLayout};
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::misac::physics::{MisacParams, MisacSpec};

/// One architecture, its settings and its replicas.
#[derive(Clone, Debug)]
pub struct ExpertsSpec {
    pub task: MisacSpec,
    pub layout: ExpertsLayout,
    pub temporal: TemporalConfig,
    pub spatial: SpatialConfig,
    pub replicas: Vec<Replica<MisacParams>>,
}

impl ExpertsSpec {
    pub fn new(
        architecture: Architecture,
        config: &MisacConfig,
        replicas: Vec<Replica<MisacParams>>,
    ) -> Self {
        ExpertsSpec {
            task: config.task.spec(),
            layout: ExpertsLayout::new(architecture, config),
            temporal: config.temporal.clone(),
            spatial: config.spatial.clone(),
            replicas,
        }
    }

    /// Environment steps T·B of one update of one replica: an episode of every environment.
    pub fn samples(&self) -> usize {
        self.temporal.envs * self.task.slots
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

    /// Slots of an episode that enter L_spat in this update: every `stride`-th, beginning one later in every update, so that all slots have their
    /// turn.
    pub fn spatial_slots(&self, update: u32) -> impl Iterator<Item = usize> + use<> {
        let stride = self.spatial.stride.min(self.task.slots);
        (update as usize % stride..self.task.slots).step_by(stride)
    }

    /// Learning rates of scheduler, critic and phases in an update (0-based) of a run of `total`: linear from the configured ones to their final
    /// share.
    pub fn learning_rates(&self, update: u32, total: u32) -> [f64; 3] {
        let t = &self.temporal;
        let progress = if total > 1 { f64::from(update) / f64::from(total - 1) } else { 0.0 };
        let share = 1.0 + (t.lr_final_share - 1.0) * progress.min(1.0);
        [t.lr_policy * share, t.lr_critic * share, self.spatial.lr * share]
    }

    /// The state before the first update.
    pub fn start(&self) -> LearnerState {
        let init = |r: &Replica<MisacParams>| {
            self.layout.init(r.task.key, self.temporal.head_gain, self.spatial.output_gain)
        };
        let params: Vec<f32> = self.replicas.iter().flat_map(init).collect();
        let zeros = vec![0.0; params.len()];
        LearnerState { m: zeros.clone(), v: zeros, params, adam_steps: 0, updates: 0, extra: Vec::new() }
    }

    /// Bytes that the CPU learner keeps, about.
    pub fn host_bytes(&self) -> u64 {
        let (k, o) = (self.task.vehicles, self.task.obs_dim());
        let per_slot = o.next_multiple_of(16) + k + 7 + self.task.state_rows() / self.spatial.stride;
        (self.replicas.len() * 4 * (self.samples() * per_slot + 8 * self.params())) as u64
    }
}

/// Means over one update of one replica; NaN where an agent has no such thing.
#[derive(Clone, Debug, PartialEq)]
pub struct MisacUpdate {
    /// Per slot of the rollout: (11) and (3), J; L_BMP; share of slots with L_BMP > Γ_misa.
    pub reward: f64,
    pub energy_j: f64,
    pub l_bmp: f64,
    pub share_over_gamma: f64,
    /// |h^H v|²/M over the samples that entered L_spat.
    pub beam_gain: f64,
    /// Over the minibatches. With `a2c` the policy loss is −A ln π, with `ppo` the clipped surrogate.
    pub policy_loss: f64,
    pub value_loss: f64,
    pub entropy: f64,
    /// Norms before clipping: of the scheduler's gradient (with L_spat's where the trunk is shared), of the critic's, of L_spat's (where the trunk is
    /// shared: its part on the trunk in the first minibatch).
    pub grad_norm_policy: f64,
    pub grad_norm_critic: f64,
    pub grad_norm_spatial: f64,
    /// Cosine between the gradients of policy loss and L_spat on a shared trunk (hidden layers and gate), in the update's first minibatch.
    pub gradient_cosine: f64,
}
