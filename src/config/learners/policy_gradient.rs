//! What kernels take of the sections that learn by the policy gradient: `[ppo]` and `[temporal]`.

use super::{PpoConfig, TemporalConfig};
use crate::kernels::{adam, ppo_policy_loss};

/// What kernels take of a section that learns by the policy gradient.
macro_rules! policy_gradient {
    ($($section:ty),*) => {$(
        impl $section {
            /// What Adam steps with at these rates of policy and critic.
            pub fn adam(&self, lr: [f64; 2]) -> adam::Hyper {
                let (beta1, beta2, eps) = (self.adam_beta1, self.adam_beta2, self.adam_eps);
                adam::Hyper { lr, max_norm: self.max_grad_norm, beta1, beta2, eps }
            }

            /// What `gae` takes: γ, λ and the factor of the rewards.
            pub fn gae(&self) -> [f32; 4] {
                [self.gamma as f32, self.gae_lambda as f32, self.reward_scale as f32, 0.0]
            }

            /// What weighs the terms of the policy's loss.
            pub fn surrogate(&self) -> ppo_policy_loss::Hyper {
                ppo_policy_loss::Hyper { clip_eps: self.clip, ent_coef: self.entropy_coef }
            }
        }
    )*};
}

policy_gradient!(PpoConfig, TemporalConfig);
