//! One file per kernel: sizes (`Spec`), host side, CPU twin (`<stem>_cpu`, a pure function over slices that takes the buffers in
//! binding order), tolerance with its reason, and `check`, which runs shader and twin on the same inputs. `isacbench check` and
//! `tests/equiv_*.rs` call the same `check` functions, at default and at awkward sizes.

pub mod adam;
pub mod advantage_stats;
pub mod column_sum;
pub mod compare;
pub mod dense_backward_input;
pub mod dense_backward_weights;
pub mod dense_forward;
pub mod gae;
pub mod gaussian_head;
pub mod grad_norm;
pub mod grad_reduce;
pub mod inputs;
pub mod math_eval;
pub mod metrics_accumulate;
pub mod metrics_reduce;
pub mod minibatch_gather;
pub mod minibatch_scalars;
pub mod normal_fill;
pub mod philox_fill;
pub mod ppo_policy_loss;
pub mod ppo_value_loss;
pub mod sample;
pub mod tile;
pub mod v2x_batch;
pub mod v2x_reference;
pub mod v2x_reset;
pub mod v2x_step;

pub use compare::{Comparison, Tol};

use crate::gpu::{Gpu, GpuError};
use crate::policy::Activation;
use crate::task::v2x::{Beam, Kinematics, V2xSpec};
use crate::task::v2x_reference::Reference;

/// Most loop iterations a thread of a kernel may make: software Vulkan ends all loops of a thread after 65,535 in total, without an
/// error. Hosts assert it.
pub const MAX_TRIPS: usize = 60_000;

/// A kernel's equivalence check at its default sizes.
pub struct KernelCheck {
    pub kernel: &'static str,
    pub run: fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
}

/// The paper's task with 500 environments in three replicas.
const fn v2x(beam: Beam) -> v2x_batch::Spec {
    v2x_batch::Spec {
        r: 3,
        b: 500,
        task: V2xSpec { vehicles: 3, antennas: 32, slots: 100, beam, kinematics: Kinematics::Paper },
    }
}

/// Every kernel, in data-flow order.
#[rustfmt::skip]
pub const CHECKS: &[KernelCheck] = &[
    KernelCheck { kernel: "philox_fill", run: |gpu| philox_fill::check(gpu, &philox_fill::Spec { blocks: 4099 }, 1) },
    KernelCheck { kernel: "v2x_reset", run: |gpu| v2x_reset::check(gpu, &v2x(Beam::Angles), 1) },
    KernelCheck {
        kernel: "v2x_reference",
        run: |gpu| {
            let mut rows = Vec::new();
            for who in [Reference::Random, Reference::LastEstimate, Reference::Ekf, Reference::Genie, Reference::GenieZf] {
                let spec = v2x_reference::Spec { batch: v2x(who.beam()), who };
                rows.extend(named(&format!("{who:?}"), v2x_reference::check(gpu, &spec, 1)?));
            }
            Ok(rows)
        },
    },
    KernelCheck {
        kernel: "v2x_step",
        run: |gpu| {
            let mut rows = Vec::new();
            for beam in [Beam::Angles, Beam::Tracking, Beam::Matrix, Beam::Steer, Beam::Span] {
                rows.extend(named(&format!("{beam:?}"), v2x_step::check(gpu, &v2x(beam), 1)?));
            }
            Ok(rows)
        },
    },
    KernelCheck {
        kernel: "metrics_reduce",
        run: |gpu| metrics_reduce::check(gpu, &metrics_reduce::Spec { r: 3, metric_rows: 12, b: 1000 }, 1),
    },
    KernelCheck {
        kernel: "metrics_accumulate",
        run: |gpu| metrics_accumulate::check(gpu, &metrics_accumulate::Spec { elements: 3 * 12 * 1000 }, 1),
    },
];

/// The same comparisons with `variant` in front of their names.
fn named(variant: &str, rows: Vec<Comparison>) -> Vec<Comparison> {
    rows.into_iter().map(|c| Comparison { quantity: format!("{variant}: {}", c.quantity), ..c }).collect()
}
    KernelCheck { kernel: "normal_fill", run: |gpu| normal_fill::check(gpu, &normal_fill::DEFAULT, 1) },
    KernelCheck { kernel: "math_eval", run: |gpu| math_eval::check_all(gpu, 4099, 1) },
    KernelCheck { kernel: "gae", run: |gpu| gae::check(gpu, &gae::DEFAULT, 1) },
    KernelCheck { kernel: "minibatch_gather", run: |gpu| minibatch_gather::check(gpu, &minibatch_gather::DEFAULT, 1) },
    KernelCheck { kernel: "minibatch_scalars", run: |gpu| minibatch_scalars::check(gpu, &minibatch_scalars::DEFAULT, 1) },
    KernelCheck { kernel: "advantage_stats", run: |gpu| advantage_stats::check(gpu, &advantage_stats::DEFAULT, 1) },
    KernelCheck { kernel: "ppo_policy_loss", run: |gpu| ppo_policy_loss::check(gpu, &ppo_policy_loss::DEFAULT, 1) },
    KernelCheck { kernel: "ppo_value_loss", run: |gpu| ppo_value_loss::check(gpu, &ppo_value_loss::DEFAULT, 1) },
    KernelCheck {
        kernel: "dense_forward",
        run: |gpu| {
            let spec = dense_forward::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, act: Activation::Tanh };
            dense_forward::check(gpu, &spec, 1)
        },
    },
    KernelCheck {
        kernel: "gaussian_head",
        run: |gpu| gaussian_head::check(gpu, &gaussian_head::Spec { r: 3, b: 500, a: 6, p: 20 }, 1),
    },
    KernelCheck {
        kernel: "dense_backward_input",
        run: |gpu| {
            let spec = dense_backward_input::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 128 + 5, act: Activation::Tanh };
            dense_backward_input::check(gpu, &spec, 1)
        },
    },
    KernelCheck {
        kernel: "dense_backward_weights",
        run: |gpu| {
            let spec = dense_backward_weights::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, s: 3 };
            dense_backward_weights::check(gpu, &spec, 1)
        },
    },
    KernelCheck {
        kernel: "grad_reduce",
        run: |gpu| grad_reduce::check(gpu, &grad_reduce::Spec { r: 3, p: 5003, s: 8 }, 1),
    },
    KernelCheck {
        kernel: "column_sum",
        run: |gpu| column_sum::check(gpu, &column_sum::Spec { r: 3, m: 1000, c: 6 }, 1),
    },
    KernelCheck {
        kernel: "grad_norm",
        run: |gpu| grad_norm::check(gpu, &grad_norm::Spec { r: 3, p: 37_000, split: 18_953, joint: false }, 1),
    },
    KernelCheck {
        kernel: "adam",
        run: |gpu| adam::check(gpu, &adam::Spec { r: 3, p: 5003, split: 2500 }, 1),
    },
];
