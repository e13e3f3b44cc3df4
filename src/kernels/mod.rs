//! One file per kernel: sizes (`Spec`), host side, CPU twin (`<stem>_cpu`, a pure function over slices that takes the
//! buffers in binding order), tolerance with its reason, `cost` (FLOPs and least bytes from the sizes), and `check`,
//! which runs shader and twin on the same inputs. `isacbench check` and the modules of `tests/equiv/` call the same
//! `check` functions, at default and at awkward sizes.

/// The source of the kernel `$name` in `$dir` of the calling crate, as in `shader!("shaders/", "adam")`. What all
/// kernels share can be imported, and further lists of imports where they are given.
#[macro_export]
macro_rules! shader {
    ($dir:literal, $name:literal $(, $imports:expr)*) => {
        $crate::gpu::Source {
            name: $name,
            file: concat!($dir, $name, ".wgsl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $dir, $name, ".wgsl")),
            imports: &[$crate::kernels::SHARED $(, $imports)*],
        }
    };
}
pub use shader;

/// A list of what kernels can import from `$dir` of the calling crate, as in
/// `imports!("shaders/shared/": "math", "philox")`.
#[macro_export]
macro_rules! imports {
    ($dir:literal: $($name:literal),* $(,)?) => {
        &[$($crate::gpu::Import {
            name: $name,
            file: concat!($dir, $name, ".wgsl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $dir, $name, ".wgsl")),
        }),*]
    };
}
pub use imports;

/// The host side of a kernel, in its module beside `Spec`, `SHADER` and `prelude`: the compiled kernel, and the kernel
/// with its buffers, for which the module writes `record`, or says behind `bind` how many workgroups do it all, `with`
/// which immediates, where nothing changes from one dispatch to the next.
///
/// `fits` says what a device must be able to do. `bind` lists the buffers in binding order; `of_len` and `at_least` are
/// those of [`Buf`](crate::gpu::Buf), with lengths from the pattern of the `Spec`, and a buffer without either is one
/// that `record` points into: under its name the bound kernel has the number of its elements. With `up to slots`, `new`
/// takes the most slots of a dispatch, which both keep. A module whose `bind` is another one leaves it out and writes
/// its own.
#[macro_export]
macro_rules! host {
    (
        $kernel:ident, $bound:ident $(, up to $most:ident)?;
        $(fits |$gpu:pat_param, $spec:pat_param| $fits:expr;)?
        $(#[doc = $shapes:literal])+
        bind |$sizes:pat_param| { $($buf:ident: $of:ty $(= $holds:ident($len:expr))?),* $(,)? }
        $(record |$at:pat_param| $groups:expr $(, with $immediates:expr)?;)?
    ) => {
        $crate::kernels::host!(@types $kernel, $bound, [$($most)?], [$($buf)*] $(, |$gpu, $spec| $fits)?);

        impl $kernel {
            $(#[doc = $shapes])+
            #[allow(clippy::too_many_arguments, reason = "the buffers in binding order")]
            pub fn bind(&self, gpu: &$crate::gpu::Gpu, $($buf: &$crate::gpu::Buf<$of>),*) -> $bound {
                let $sizes = &self.spec;
                let buffers = [$($crate::kernels::host!(@raw $buf $($holds($len))?)),*];
                let bound = self.kernel.bind(gpu, &buffers);
                $bound { spec: Clone::clone(&self.spec), bound, $($most: self.$most,)? $($buf: $buf.len()),* }
            }
        }

        $(impl $bound {
            pub fn record(&self, pass: &mut $crate::gpu::wgpu::ComputePass) {
                let $at = &self.spec;
                self.bound.record(pass, $groups, &$crate::kernels::host!(@immediates $($immediates)?));
            }
        })?
    };
    (
        $kernel:ident, $bound:ident $(, length of $buf:ident)?;
        $(fits |$gpu:pat_param, $spec:pat_param| $fits:expr;)?
    ) => {
        $crate::kernels::host!(@types $kernel, $bound, [], [$($buf)?] $(, |$gpu, $spec| $fits)?);
    };
    (
        @types $kernel:ident, $bound:ident, [$($most:ident)?], [$($buf:ident)*]
        $(, |$gpu:pat_param, $spec:pat_param| $fits:expr)?
    ) => {
        /// The compiled kernel.
        pub struct $kernel {
            spec: Spec,
            kernel: $crate::gpu::Kernel,
            $($most: usize,)?
        }

        /// The kernel with its buffers.
        #[allow(dead_code, reason = "not every kernel asks how long every buffer is")]
        pub struct $bound {
            spec: Spec,
            bound: $crate::gpu::Bound,
            $($most: usize,)?
            $($buf: usize,)*
        }

        impl $kernel {
            /// # Errors
            /// What the device cannot do.
            pub fn new(gpu: &$crate::gpu::Gpu, spec: &Spec $(, $most: usize)?) -> Result<Self, $crate::gpu::GpuError> {
                $(
                    let fits = |$gpu: &$crate::gpu::Gpu, $spec: &Spec| -> Result<(), $crate::gpu::GpuError> { $fits };
                    fits(gpu, spec)?;
                )?
                let kernel = gpu.kernel(&SHADER, &prelude(spec))?;
                Ok($kernel { spec: Clone::clone(spec), kernel $(, $most)? })
            }
        }
    };
    (@immediates) => {
        []
    };
    (@immediates $immediates:expr) => {
        $immediates
    };
    (@raw $buf:ident) => {
        &$buf.raw
    };
    (@raw $buf:ident $holds:ident($len:expr)) => {
        $buf.$holds($len)
    };
}
pub use host;

/// Constants of a module for a shader, under a prefix: `constants!(prelude, "METRIC", metric: ROWS, ENERGY)` adds
/// `METRIC_ROWS` and `METRIC_ENERGY`.
macro_rules! constants {
    ($prelude:expr, $prefix:literal, $of:ident: $($name:ident),+ $(,)?) => {
        $prelude$(.u32(concat!($prefix, "_", stringify!($name)), $of::$name))+
    };
}
pub(crate) use constants;

/// In a check, the kernel bound to buffers of its own: afterwards every name stands for a buffer, which holds the array
/// of that name or that of `name = array`, or as many poisoned elements as `name[length]` says.
macro_rules! bind {
    ($gpu:expr, $bound:ident = $kernel:expr; $($buf:ident $([$len:expr])? $(= $data:expr)?),* $(,)?) => {
        $(let $buf = $crate::kernels::bind!(@buffer $gpu, $buf $([$len])? $(= $data)?);)*
        let $bound = $kernel.bind($gpu, $(&$buf),*);
    };
    (@buffer $gpu:expr, $buf:ident) => {
        $crate::kernels::bind!(@buffer $gpu, $buf = $buf)
    };
    (@buffer $gpu:expr, $buf:ident = $data:expr) => {{
        let data = &$data[..];
        $gpu.upload(&format!("{}.{}", SHADER.name, stringify!($buf)), &[data.len()], data)?
    }};
    (@buffer $gpu:expr, $buf:ident[$len:expr]) => {
        $gpu.alloc(&format!("{}.{}", SHADER.name, stringify!($buf)), &[$len], $crate::gpu::Fill::Poison)?
    };
}
pub(crate) use bind;

/// The [`Entry`] of a kernel by its module, with typical sizes; `check` and `wg` where they are not those of the
/// module.
#[macro_export]
macro_rules! entry {
    ($stem:ident, $spec:expr) => {
        $crate::kernels::entry!($stem, $spec, wg $stem::WG)
    };
    ($stem:ident, $spec:expr, wg $wg:expr) => {
        $crate::kernels::entry!($stem, $spec, check |gpu| $stem::check(gpu, &$spec, 1), wg $wg)
    };
    ($stem:ident, $spec:expr, check $check:expr) => {
        $crate::kernels::entry!($stem, $spec, check $check, wg $stem::WG)
    };
    ($stem:ident, $spec:expr, check $check:expr, wg $wg:expr) => {
        $crate::kernels::Entry {
            kernel: $stem::SHADER.name,
            shader: $stem::SHADER,
            wg: || $wg,
            prelude: || $stem::prelude(&$spec),
            cost: || $stem::cost(&$spec),
            check: $check,
            needs: $crate::gpu::wgpu::Features::empty(),
        }
    };
}
pub use entry;

pub mod activity_count;
pub mod adam;
pub mod advantage_stats;
pub mod bernoulli_head;
pub mod bernoulli_policy_loss;
pub mod column_sum;
pub(crate) mod common;
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
pub mod joint_policy_loss;
pub mod kl_control;
pub mod layer;
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
pub mod population_backward;
pub mod population_forward;
pub mod ppo_policy_loss;
pub mod ppo_value_loss;
pub mod quantile_count;
pub mod readout_carried;
mod registry;
pub mod replay;
pub mod replay_gather;
pub mod replay_write;
pub mod slot;
pub mod slot_gather;
pub mod spike_backward_weights;
pub mod spike_forward;
pub mod td_loss;
pub mod tile;
pub mod twin;

pub use compare::{Comparison, Tol};
pub use cost::Cost;
pub(crate) use registry::variants;
pub use registry::{Entry, SHARED, named};
pub use twin::MAX_TRIPS;

use crate::nets::{Activation, Lif, Membrane, Readout};
use activity_count::Units;
use dense_forward_f16::Stored;
use lif_backward::Upstream;
use lif_forward::Current;

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
const BACK_INPUT: dense_backward_input::Spec =
    dense_backward_input::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 128 + 5, act: Activation::Tanh };
const BACK_WEIGHTS: dense_backward_weights::Spec =
    dense_backward_weights::Spec { r: 3, m: 200, i: 128, o: 128, p: 128 * 129 + 5, s: 3, b_scale: 1.0 };

/// The neurons of the paper.
const LIF: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: false,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};
/// The same with potentials that outlive an inference.
const CARRIED: Lif = Lif { membrane: Membrane::Carried, ..LIF };
/// The same with leaks that are learned.
const LEARNED: Lif = Lif { learn_leak: true, ..LIF };
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

/// Every kernel that belongs to no task, in data-flow order. [`crate::tasks`] has those of the tasks.
#[rustfmt::skip]
pub const REGISTRY: &[Entry] = &[
    entry!(philox_fill, philox_fill::DEFAULT),
    entry!(normal_fill, normal_fill::DEFAULT),
    entry!(math_eval, math_eval::DEFAULT, check |gpu| math_eval::check_all(gpu, 4099, 1)),
    entry!(obs_mask, obs_mask::DEFAULT),
    entry!(dense_forward, FORWARD, wg tile::Tile::choose(FORWARD.m, FORWARD.o).threads()),
    Entry {
        kernel: dense_forward_f16::SHADER.name,
        shader: dense_forward_f16::SHADER,
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
    entry!(population_forward, population_forward::DEFAULT),
    entry!(lif_forward, NEURONS, check |gpu| {
        let mut rows = named("constant currents", lif_forward::check(gpu, &NEURONS, 1)?);
        for readout in [Readout::Last, Readout::Mean] {
            let lif = Lif { readout, ..LIF };
            let all = lif_forward::Spec { lif, current: Current::PerStep, keep: true, trace: true, ..NEURONS };
            rows.extend(named(&format!("currents per step, read-out {readout:?}"), lif_forward::check(gpu, &all, 1)?));
        }
        for (name, lif) in [("learned leak", LEARNED), ("carried potentials", CARRIED)] {
            rows.extend(named(name, lif_forward::check(gpu, &lif_forward::Spec { lif, ..NEURONS }, 1)?));
        }
        Ok(rows)
    }),
    entry!(spike_forward, SPIKES, check |gpu| {
        let mut rows = spike_forward::check(gpu, &SPIKES, 1)?;
        for (name, lif) in [("learned leak", LEARNED), ("carried potentials", CARRIED)] {
            rows.extend(named(name, spike_forward::check(gpu, &spike_forward::Spec { lif, ..SPIKES }, 1)?));
        }
        Ok(rows)
    }, wg spike_forward::threads(&SPIKES)),
    entry!(readout_carried, readout_carried::DEFAULT),
    entry!(activity_count, activity_count::Spec { r: 3, m: 1000, c: 128, units: Units::Spikes }),
    entry!(lstm_forward, lstm_forward::DEFAULT),
    entry!(expert_mix, expert_mix::DEFAULT),
    entry!(gaussian_head, gaussian_head::Spec { r: 3, b: 500, a: 6, p: 20, behind: 0 }),
    entry!(bernoulli_head, bernoulli_head::DEFAULT),
    entry!(gae, gae::DEFAULT),
    entry!(minibatch_gather, minibatch_gather::DEFAULT),
    entry!(minibatch_scalars, minibatch_scalars::DEFAULT),
    entry!(advantage_stats, advantage_stats::DEFAULT),
    entry!(ppo_policy_loss, ppo_policy_loss::DEFAULT),
    entry!(bernoulli_policy_loss, bernoulli_policy_loss::DEFAULT),
    entry!(joint_policy_loss, joint_policy_loss::DEFAULT),
    entry!(ppo_value_loss, ppo_value_loss::DEFAULT),
    entry!(slot_gather, slot_gather::DEFAULT),
    entry!(dense_backward_input, BACK_INPUT, wg tile::Tile::choose(BACK_INPUT.m, BACK_INPUT.i).threads()),
    entry!(dense_backward_weights, BACK_WEIGHTS, wg tile::Tile::choose(BACK_WEIGHTS.o, BACK_WEIGHTS.i).threads()),
    entry!(lif_backward, NEURONS_BACK, check |gpu| {
        let learned = lif_backward::Spec { lif: LEARNED, ..NEURONS_BACK };
        let mut rows = named("learned leak", lif_backward::check(gpu, &learned, 1)?);
        let carried = lif_backward::Spec { lif: CARRIED, current: Current::Constant, ..NEURONS_BACK };
        rows.extend(named("carried potentials", lif_backward::check(gpu, &carried, 1)?));
        for detach_reset in [false, true] {
            for (current, upstream, readout) in [
                (Current::PerStep, Upstream::Readout, Readout::Last),
                (Current::PerStep, Upstream::Readout, Readout::Mean),
                (Current::Constant, Upstream::Spikes, Readout::Last),
            ] {
                let lif = Lif { detach_reset, readout, ..LIF };
                let spec = lif_backward::Spec { lif, current, upstream, ..NEURONS_BACK };
                let variant = format!("{current:?}, read-out {readout:?}, reset detached {detach_reset}");
                rows.extend(named(&variant, lif_backward::check(gpu, &spec, 1)?));
            }
        }
        Ok(rows)
    }),
    entry!(population_backward, population_backward::DEFAULT),
    entry!(spike_backward_weights, SPIKES_BACK, wg tile::Tile::choose(SPIKES_BACK.o, SPIKES_BACK.i).threads()),
    entry!(lstm_backward, lstm_backward::DEFAULT),
    entry!(expert_mix_backward, expert_mix_backward::DEFAULT),
    entry!(grad_reduce, grad_reduce::Spec { r: 3, p: 5003, s: 8 }),
    entry!(column_sum, column_sum::Spec { r: 3, m: 1000, c: 6 }),
    entry!(grad_join, grad_join::Spec { r: 3, p: 37_000 }),
    entry!(grad_norm, grad_norm::Spec { r: 3, p: 37_000, split: 18_953, joint: false }),
    entry!(kl_control, kl_control::Spec { r: 37, c: 5, column: 2 }),
    entry!(adam, adam::Spec { r: 3, p: 5003, split: 2500 }),
    entry!(ddpg_act, ddpg_act::Spec { r: 3, b: 500, a: 6 }),
    entry!(dqn_act, dqn_act::choices(1, 1, false), check |gpu| {
        let mut rows = Vec::new();
        for (parts, width, additive) in [(1, 1, false), (1, 1, true), (2, 32, false)] {
            let head = if additive { ", additive" } else { "" };
            let variant = format!("beams of {} values{head}", parts * width);
            rows.extend(named(&variant, dqn_act::check(gpu, &dqn_act::choices(parts, width, additive), 1)?));
        }
        Ok(rows)
    }),
    entry!(replay_write, replay_write::DEFAULT),
    entry!(replay_gather, replay_gather::DEFAULT),
    entry!(critic_input, critic_input::DEFAULT),
    entry!(td_loss, td_loss::DEFAULT, check |gpu| {
        variants([0, 32], |split| {
            let l = if split > 0 { 35 } else { td_loss::DEFAULT.l };
            td_loss::check(gpu, &td_loss::Spec { l, split, ..td_loss::DEFAULT }, 1)
        })
    }),
    entry!(critic_input_backward, critic_input_backward::DEFAULT),
    entry!(polyak, polyak::Spec { r: 3, p: 5003 }),
    entry!(metrics_reduce, metrics_reduce::Spec { r: 3, metric_rows: 12, b: 1000 }),
    entry!(metrics_accumulate, metrics_accumulate::Spec { elements: 3 * 12 * 1000 }),
    entry!(
        quantile_count,
        quantile_count::Spec { r: 3, metric_rows: 22, b: 1000, quantities: 3, rows: 3 }
    ),
];
