//! One file per kernel: sizes (`Spec`), host side, CPU twin (`<stem>_cpu`, a pure function over slices that takes the buffers in
//! binding order), tolerance with its reason, `cost` (FLOPs and least bytes from the sizes), and `check`, which runs shader and twin on the same inputs. `isacbench check` and
//! the modules of `tests/equiv/` call the same `check` functions, at default and at awkward sizes.

pub mod activity_count;
pub mod adam;
pub mod advantage_stats;
pub mod bernoulli_head;
pub mod bernoulli_policy_loss;
pub mod column_sum;
pub mod compare;
pub mod cost;
pub mod critic_input;
pub mod critic_input_backward;
pub mod ddpg_act;
pub mod dense_backward_input;
pub mod dense_backward_weights;
pub mod dense_forward;
pub mod dense_forward_f16;
pub mod dqn_act;
pub mod expert_mix;
pub mod expert_mix_backward;
pub mod gae;
pub mod gaussian_head;
pub mod grad_join;
pub mod grad_norm;
pub mod grad_reduce;
pub mod inputs;
pub mod lif_backward;
pub mod lif_forward;
pub mod lstm_backward;
pub mod lstm_forward;
pub mod math_eval;
pub mod metrics_accumulate;
pub mod metrics_reduce;
pub mod minibatch_gather;
pub mod minibatch_scalars;
pub mod normal_fill;
pub mod obs_mask;
pub mod philox_fill;
pub mod polyak;
pub mod ppo_policy_loss;
pub mod ppo_value_loss;
pub mod replay_gather;
pub mod replay_write;
pub mod slot_gather;
pub mod spike_backward_weights;
pub mod spike_forward;
pub mod td_loss;
pub mod tile;
pub mod twin;
pub mod value_iteration;

pub use compare::{Comparison, Tol};
pub use cost::Cost;

use crate::gpu::{Gpu, GpuError, Prelude, Reduce, compose};
use crate::nets::{Activation, ActorCriticLayout, Codebook, Lif};
use crate::tasks::misac::dp::Rule;
use crate::tasks::misac::kernels::{
    misac_accumulate, misac_batch, misac_gain, misac_reset, misac_schedule, misac_step, spatial_loss,
};
use crate::tasks::misac::physics::{MisacSpec, Phase, Uncertainty};
use crate::tasks::v2x::kernels::{v2x_batch, v2x_reference, v2x_reset, v2x_rollout, v2x_slots, v2x_step};
use crate::tasks::v2x::physics::{Beam, Kinematics, V2xSpec};
use crate::tasks::v2x::reference::Reference;
use activity_count::Units;
use dense_forward_f16::Stored;
use lif_backward::Upstream;
use lif_forward::Current;

/// Most loop iterations a thread of a kernel may make: software Vulkan ends all loops of a thread after 65,535 in total, without an
/// error. Hosts assert it.
pub const MAX_TRIPS: usize = 60_000;

/// A kernel: what checks it at its default sizes, and what compiles it without a device.
pub struct Entry {
    /// Stem of the shader, the host file, the twin, the test and the bench.
    pub kernel: &'static str,
    /// Threads of a workgroup.
    pub wg: fn() -> usize,
    /// Constants of a typical instance.
    pub prelude: fn() -> Prelude,
    /// What a dispatch of that instance must do.
    pub cost: fn() -> Cost,
    pub check: fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
    /// What not every adapter has.
    pub needs: wgpu::Features,
}

impl Entry {
    /// What an adapter lacks to run the kernel.
    pub fn lacks(&self, gpu: &Gpu) -> Option<wgpu::Features> {
        let lacks = self.needs - gpu.features;
        (!lacks.is_empty()).then_some(lacks)
    }

    /// Whether the kernel adds over a workgroup, in one of the forms of [`Reduce`].
    pub fn adds(&self) -> bool {
        let source = |form| compose(self.kernel, &(self.prelude)(), form).map(|c| c.source).ok();
        source(Reduce::Tree) != source(Reduce::Subgroups)
    }
}

macro_rules! entry {
    ($stem:ident, $spec:expr) => {
        Entry {
            kernel: stringify!($stem),
            wg: || $stem::WG,
            prelude: || $stem::prelude(&$spec),
            cost: || $stem::cost(&$spec),
            check: |gpu| $stem::check(gpu, &$spec, 1),
            needs: wgpu::Features::empty(),
        }
    };
    ($stem:ident, $spec:expr, wg $wg:expr) => {
        entry!($stem, $spec, check |gpu| $stem::check(gpu, &$spec, 1), $wg)
    };
    ($stem:ident, $spec:expr, check $check:expr) => {
        entry!($stem, $spec, check $check, $stem::WG)
    };
    ($stem:ident, $spec:expr, check $check:expr, $wg:expr) => {
        Entry {
            kernel: stringify!($stem),
            wg: || $wg,
            prelude: || $stem::prelude(&$spec),
            cost: || $stem::cost(&$spec),
            check: $check,
            needs: wgpu::Features::empty(),
        }
    };
}

/// The paper's task with 500 environments in three replicas.
const fn v2x(beam: Beam) -> v2x_batch::Spec {
    v2x_batch::Spec {
        r: 3,
        b: 500,
        task: V2xSpec { vehicles: 3, antennas: 32, slots: 100, beam, kinematics: Kinematics::Paper },
    }
}

/// The same task with 100 environments in three replicas under a perceptron, as it suits a device with these limits.
fn rollout(beam: Beam, hidden: &[usize], limits: &wgpu::Limits) -> v2x_rollout::Spec {
    let batch = v2x_batch::Spec { b: 100, ..v2x(beam) };
    let layout =
        ActorCriticLayout::new(batch.task.obs_dim(), hidden, batch.task.action_dim(), Activation::Tanh);
    v2x_rollout::Spec::new(limits, batch, 10, &layout).expect("fits every device")
}

/// The second paper's task with 500 environments in three replicas.
const fn misac(uncertainty: Uncertainty) -> misac_batch::Spec {
    misac_batch::Spec { r: 3, b: 500, task: MisacSpec { vehicles: 4, antennas: 64, slots: 200, uncertainty } }
}
const MISAC: misac_batch::Spec = misac(Uncertainty::Constant);
const BEAMS: misac_gain::Spec =
    misac_gain::Spec { batch: misac_batch::Spec { b: 100, ..MISAC }, phase: Phase::Direct };
const SPATIAL: spatial_loss::Spec =
    spatial_loss::Spec { batch: misac_batch::Spec { b: 20, ..MISAC }, phase: Phase::Direct, slots: 9, m: 90 };

const FORWARD: dense_forward::Spec = dense_forward::Spec {
    r: 3,
    m: 200,
    i: 128,
    o: 128,
    p: 128 * 129 + 5,
    act: Activation::Tanh,
    b_scale: 1.0,
};
const FORWARD_F16: dense_forward_f16::Spec = dense_forward_f16::Spec {
    r: 3,
    m: 200,
    i: 128,
    o: 128,
    p: 128 * 129 + 5,
    act: Activation::Tanh,
    x: Stored::F16,
    y: Stored::F16,
};
/// The choices of `dqn` with 500 environments in three replicas.
fn choices(beam: Beam) -> dqn_act::Spec {
    dqn_act::Spec { r: 3, b: 500, codebook: Codebook::new(&v2x(beam).task, 32, &[0.25, 0.5, 1.0]) }
}

const BACK_INPUT: dense_backward_input::Spec =
    dense_backward_input::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 128 + 5, act: Activation::Tanh };
const BACK_WEIGHTS: dense_backward_weights::Spec =
    dense_backward_weights::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, s: 3, b_scale: 1.0 };

/// The neurons of the paper.
const LIF: Lif = Lif { steps: 6, lambda: 0.5, threshold: 1.0, reset: 0.0, eta: 3.0, detach_reset: false };
const NEURONS: lif_forward::Spec = lif_forward::Spec {
    r: 3,
    m: 200,
    n: 128,
    lif: LIF,
    current: Current::Constant,
    keep: false,
    trace: false,
};
const SPIKES: spike_forward::Spec =
    spike_forward::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, lif: LIF, keep: true, trace: true };
const NEURONS_BACK: lif_backward::Spec = lif_backward::Spec {
    r: 3,
    m: 200,
    n: 128,
    lif: LIF,
    current: Current::PerStep,
    upstream: Upstream::Readout,
};
const SPIKES_BACK: spike_backward_weights::Spec =
    spike_backward_weights::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, steps: 6, slices: 3 };

/// Every kernel, in data-flow order.
#[rustfmt::skip]
pub const REGISTRY: &[Entry] = &[
    entry!(philox_fill, philox_fill::DEFAULT),
    entry!(normal_fill, normal_fill::DEFAULT),
    entry!(math_eval, math_eval::DEFAULT, check |gpu| math_eval::check_all(gpu, 4099, 1)),
    entry!(v2x_reset, v2x(Beam::Angles)),
    entry!(v2x_reference, v2x_reference::Spec { batch: v2x(Beam::Span), who: Reference::GenieZf }, check |gpu| {
        let mut rows = Vec::new();
        for who in [Reference::Random, Reference::LastEstimate, Reference::Ekf, Reference::Genie, Reference::GenieZf] {
            let spec = v2x_reference::Spec { batch: v2x(who.beam()), who };
            rows.extend(named(&format!("{who:?}"), v2x_reference::check(gpu, &spec, 1)?));
        }
        Ok(rows)
    }),
    entry!(v2x_step, v2x(Beam::Angles), check |gpu| {
        let mut rows = Vec::new();
        for beam in [Beam::Angles, Beam::Tracking, Beam::Matrix, Beam::Steer, Beam::Span] {
            rows.extend(named(&format!("{beam:?}"), v2x_step::check(gpu, &v2x(beam), 1)?));
        }
        Ok(rows)
    }),
    entry!(v2x_slots, v2x(Beam::Angles), check |gpu| {
        let mut rows = Vec::new();
        for beam in [Beam::Angles, Beam::Tracking, Beam::Matrix] {
            rows.extend(named(&format!("{beam:?}"), v2x_slots::check(gpu, &v2x(beam), 1)?));
        }
        Ok(rows)
    }),
    Entry {
        kernel: "v2x_rollout",
        wg: || rollout(Beam::Angles, &[128, 128], &wgpu::Limits::default()).plan.threads(),
        prelude: || v2x_rollout::prelude(&rollout(Beam::Angles, &[128, 128], &wgpu::Limits::default())),
        cost: || v2x_rollout::cost(&rollout(Beam::Angles, &[128, 128], &wgpu::Limits::default())),
        needs: wgpu::Features::empty(),
        check: |gpu| {
            // Streamed weights as the adapter has room for, and resident ones for which every adapter has.
            let all = &wgpu::Limits::default();
            let mut rows = Vec::new();
            for (beam, hidden, limits) in
                [(Beam::Angles, &[128, 128][..], &gpu.limits), (Beam::Tracking, &[20], all)]
            {
                let spec = rollout(beam, hidden, limits);
                rows.extend(named(&format!("{beam:?}"), v2x_rollout::check(gpu, &spec, 1)?));
            }
            Ok(rows)
        },
    },
    entry!(misac_reset, MISAC),
    entry!(misac_schedule, misac_schedule::Spec { batch: MISAC, rule: Rule::Table, age_max: 10 }, check |gpu| {
        let mut rows = Vec::new();
        for rule in [Rule::Always, Rule::Never, Rule::Periodic, Rule::Table, Rule::Plan] {
            let spec = misac_schedule::Spec { batch: MISAC, rule, age_max: 10 };
            rows.extend(named(&format!("{rule:?}"), misac_schedule::check(gpu, &spec, 1)?));
        }
        Ok(rows)
    }),
    entry!(misac_step, MISAC, check |gpu| {
        let mut rows = Vec::new();
        for uncertainty in [Uncertainty::Constant, Uncertainty::Kinematic] {
            rows.extend(named(&format!("{uncertainty:?}"), misac_step::check(gpu, &misac(uncertainty), 1)?));
        }
        Ok(rows)
    }),
    entry!(obs_mask, obs_mask::DEFAULT),
    entry!(misac_gain, BEAMS, check |gpu| {
        let mut rows = Vec::new();
        for phase in [Phase::Direct, Phase::Residual] {
            rows.extend(named(&format!("{phase:?}"), misac_gain::check(gpu, &misac_gain::Spec { phase, ..BEAMS }, 1)?));
        }
        Ok(rows)
    }),
    entry!(value_iteration, value_iteration::DEFAULT),
    entry!(dense_forward, FORWARD, wg tile::Tile::choose(FORWARD.m, FORWARD.o).threads()),
    Entry {
        kernel: "dense_forward_f16",
        wg: || tile::Tile::choose(FORWARD_F16.m, FORWARD_F16.o).threads(),
        prelude: || dense_forward_f16::prelude(&FORWARD_F16),
        cost: || dense_forward_f16::cost(&FORWARD_F16),
        check: |gpu| {
            let mut rows = Vec::new();
            for (x, y) in [(Stored::F32, Stored::F16), (Stored::F16, Stored::F16), (Stored::F16, Stored::F32)] {
                let spec = dense_forward_f16::Spec { x, y, ..FORWARD_F16 };
                rows.extend(named(&format!("{x:?} to {y:?}"), dense_forward_f16::check(gpu, &spec, 1)?));
            }
            Ok(rows)
        },
        needs: wgpu::Features::SHADER_F16,
    },
    entry!(lif_forward, NEURONS, check |gpu| {
        let mut rows = named("constant currents", lif_forward::check(gpu, &NEURONS, 1)?);
        let all = lif_forward::Spec { current: Current::PerStep, keep: true, trace: true, ..NEURONS };
        rows.extend(named("currents per step", lif_forward::check(gpu, &all, 1)?));
        Ok(rows)
    }),
    entry!(spike_forward, SPIKES, wg spike_forward::threads(&SPIKES)),
    entry!(activity_count, activity_count::Spec { r: 3, m: 1000, c: 128, units: Units::Spikes }),
    entry!(lstm_forward, lstm_forward::DEFAULT),
    entry!(expert_mix, expert_mix::DEFAULT),
    entry!(gaussian_head, gaussian_head::Spec { r: 3, b: 500, a: 6, p: 20 }),
    entry!(bernoulli_head, bernoulli_head::DEFAULT),
    entry!(gae, gae::DEFAULT),
    entry!(minibatch_gather, minibatch_gather::DEFAULT),
    entry!(minibatch_scalars, minibatch_scalars::DEFAULT),
    entry!(advantage_stats, advantage_stats::DEFAULT),
    entry!(ppo_policy_loss, ppo_policy_loss::DEFAULT),
    entry!(bernoulli_policy_loss, bernoulli_policy_loss::DEFAULT),
    entry!(ppo_value_loss, ppo_value_loss::DEFAULT),
    entry!(slot_gather, slot_gather::DEFAULT),
    entry!(spatial_loss, SPATIAL, check |gpu| {
        let mut rows = Vec::new();
        for phase in [Phase::Direct, Phase::Residual] {
            rows.extend(named(&format!("{phase:?}"), spatial_loss::check(gpu, &spatial_loss::Spec { phase, ..SPATIAL }, 1)?));
        }
        Ok(rows)
    }),
    entry!(dense_backward_input, BACK_INPUT, wg tile::Tile::choose(BACK_INPUT.m, BACK_INPUT.i).threads()),
    entry!(dense_backward_weights, BACK_WEIGHTS, wg tile::Tile::choose(BACK_WEIGHTS.o, BACK_WEIGHTS.i).threads()),
    entry!(lif_backward, NEURONS_BACK, check |gpu| {
        let mut rows = Vec::new();
        for detach_reset in [false, true] {
            for (current, upstream) in [(Current::PerStep, Upstream::Readout), (Current::Constant, Upstream::Spikes)] {
                let lif = Lif { detach_reset, ..LIF };
                let spec = lif_backward::Spec { lif, current, upstream, ..NEURONS_BACK };
                rows.extend(named(&format!("{current:?}, reset detached {detach_reset}"), lif_backward::check(gpu, &spec, 1)?));
            }
        }
        Ok(rows)
    }),
    entry!(spike_backward_weights, SPIKES_BACK, wg tile::Tile::choose(SPIKES_BACK.o, SPIKES_BACK.i).threads()),
    entry!(lstm_backward, lstm_backward::DEFAULT),
    entry!(expert_mix_backward, expert_mix_backward::DEFAULT),
    entry!(grad_reduce, grad_reduce::Spec { r: 3, p: 5003, s: 8 }),
    entry!(column_sum, column_sum::Spec { r: 3, m: 1000, c: 6 }),
    entry!(grad_join, grad_join::Spec { r: 3, p: 37_000 }),
    entry!(grad_norm, grad_norm::Spec { r: 3, p: 37_000, split: 18_953, joint: false }),
    entry!(adam, adam::Spec { r: 3, p: 5003, split: 2500 }),
    entry!(ddpg_act, ddpg_act::Spec { r: 3, b: 500, a: 6 }),
    Entry {
        kernel: "dqn_act",
        wg: || dqn_act::WG,
        prelude: || dqn_act::prelude(&choices(Beam::Angles)),
        cost: || dqn_act::cost(&choices(Beam::Angles)),
        check: |gpu| {
            let mut rows = Vec::new();
            for beam in [Beam::Angles, Beam::Tracking, Beam::Matrix] {
                rows.extend(named(&format!("{beam:?}"), dqn_act::check(gpu, &choices(beam), 1)?));
            }
            Ok(rows)
        },
        needs: wgpu::Features::empty(),
    },
    entry!(replay_write, replay_write::DEFAULT),
    entry!(replay_gather, replay_gather::DEFAULT),
    entry!(critic_input, critic_input::DEFAULT),
    entry!(td_loss, td_loss::DEFAULT),
    entry!(critic_input_backward, critic_input_backward::DEFAULT),
    entry!(polyak, polyak::Spec { r: 3, p: 5003 }),
    entry!(metrics_reduce, metrics_reduce::Spec { r: 3, metric_rows: 12, b: 1000 }),
    entry!(metrics_accumulate, metrics_accumulate::Spec { elements: 3 * 12 * 1000 }),
    entry!(misac_accumulate, MISAC),
];

/// The comparisons of `check` with each form of the sum over a workgroup that the adapter has.
fn in_each_form(
    gpu: &Gpu,
    check: impl Fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
) -> Result<Vec<Comparison>, GpuError> {
    let mut rows = Vec::new();
    for form in Reduce::ALL {
        match gpu.with_reduce(form) {
            Ok(gpu) => rows.extend(named(form.name(), check(&gpu)?)),
            Err(GpuError::Unsupported { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(rows)
}

/// The same comparisons with `variant` in front of their names.
fn named(variant: &str, rows: Vec<Comparison>) -> Vec<Comparison> {
    rows.into_iter().map(|c| Comparison { quantity: format!("{variant}: {}", c.quantity), ..c }).collect()
}
