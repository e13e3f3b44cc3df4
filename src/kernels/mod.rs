//! One file per kernel: sizes (`Spec`), host side, CPU twin (`<stem>_cpu`, a pure function over slices that takes the buffers in
//! binding order), tolerance with its reason, and `check`, which runs shader and twin on the same inputs. `isacbench check` and
//! `tests/equiv_*.rs` call the same `check` functions, at default and at awkward sizes.

pub mod advantage_stats;
pub mod compare;
pub mod gae;
pub mod math_eval;
pub mod minibatch_gather;
pub mod minibatch_scalars;
pub mod normal_fill;
pub mod philox_fill;
pub mod ppo_policy_loss;
pub mod ppo_value_loss;
pub mod sample;

pub use compare::{Comparison, Tol};

use crate::gpu::{Gpu, GpuError, Prelude};

/// Most loop iterations a thread of a kernel may make: software Vulkan ends all loops of a thread after 65,535 in total, without an
/// error. Hosts assert it.
pub const MAX_TRIPS: usize = 60_000;

/// A kernel's equivalence check at its default sizes.
pub struct KernelCheck {
    pub kernel: &'static str,
    pub run: fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
}

/// Every kernel, in data-flow order.
#[rustfmt::skip]
pub const CHECKS: &[KernelCheck] = &[
    KernelCheck { kernel: "philox_fill", run: |gpu| philox_fill::check(gpu, &philox_fill::DEFAULT, 1) },
    KernelCheck { kernel: "normal_fill", run: |gpu| normal_fill::check(gpu, &normal_fill::DEFAULT, 1) },
    KernelCheck { kernel: "math_eval", run: |gpu| math_eval::check_all(gpu, 4099, 1) },
    KernelCheck { kernel: "gae", run: |gpu| gae::check(gpu, &gae::DEFAULT, 1) },
    KernelCheck { kernel: "minibatch_gather", run: |gpu| minibatch_gather::check(gpu, &minibatch_gather::DEFAULT, 1) },
    KernelCheck { kernel: "minibatch_scalars", run: |gpu| minibatch_scalars::check(gpu, &minibatch_scalars::DEFAULT, 1) },
    KernelCheck { kernel: "advantage_stats", run: |gpu| advantage_stats::check(gpu, &advantage_stats::DEFAULT, 1) },
    KernelCheck { kernel: "ppo_policy_loss", run: |gpu| ppo_policy_loss::check(gpu, &ppo_policy_loss::DEFAULT, 1) },
    KernelCheck { kernel: "ppo_value_loss", run: |gpu| ppo_value_loss::check(gpu, &ppo_value_loss::DEFAULT, 1) },
];

/// A shader with constants it is compiled with, for checks that need no device.
pub struct ShaderCase {
    pub stem: &'static str,
    pub prelude: fn() -> Prelude,
    /// Threads of a workgroup.
    pub wg: usize,
}

/// Every shader of [`crate::gpu::SHADERS`].
#[rustfmt::skip]
pub const SHADER_CASES: &[ShaderCase] = &[
    ShaderCase { stem: "philox_fill", prelude: || philox_fill::prelude(&philox_fill::DEFAULT), wg: philox_fill::WG },
    ShaderCase { stem: "normal_fill", prelude: || normal_fill::prelude(&normal_fill::DEFAULT), wg: normal_fill::WG },
    ShaderCase { stem: "math_eval", prelude: || math_eval::prelude(&math_eval::DEFAULT), wg: math_eval::WG },
    ShaderCase { stem: "gae", prelude: || gae::prelude(&gae::DEFAULT), wg: gae::WG },
    ShaderCase { stem: "minibatch_gather", prelude: || minibatch_gather::prelude(&minibatch_gather::DEFAULT), wg: minibatch_gather::WG },
    ShaderCase { stem: "minibatch_scalars", prelude: || minibatch_scalars::prelude(&minibatch_scalars::DEFAULT), wg: minibatch_scalars::WG },
    ShaderCase { stem: "advantage_stats", prelude: || advantage_stats::prelude(&advantage_stats::DEFAULT), wg: advantage_stats::WG },
    ShaderCase { stem: "ppo_policy_loss", prelude: || ppo_policy_loss::prelude(&ppo_policy_loss::DEFAULT), wg: ppo_policy_loss::WG },
    ShaderCase { stem: "ppo_value_loss", prelude: || ppo_value_loss::prelude(&ppo_value_loss::DEFAULT), wg: ppo_value_loss::WG },
];
