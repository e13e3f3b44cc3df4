//! One file per kernel: sizes (`Spec`), host side, CPU twin (`<stem>_cpu`, a pure function over slices that takes the buffers in
//! binding order), tolerance with its reason, and `check`, which runs shader and twin on the same inputs. `isacbench check` and
//! `tests/equiv_*.rs` call the same `check` functions, at default and at awkward sizes.

pub mod compare;
pub mod metrics_accumulate;
pub mod metrics_reduce;
pub mod philox_fill;
pub mod v2x_batch;
pub mod v2x_reference;
pub mod v2x_reset;
pub mod v2x_step;

pub use compare::{Comparison, Tol};

use crate::gpu::{Gpu, GpuError};
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
