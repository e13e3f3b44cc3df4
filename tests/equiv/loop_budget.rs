//! Sizes that a thread's loops on software Vulkan could not finish are refused with an error, there only, before
//! anything is compiled.

use crate::common::gpu_or_skip;
use isacbench::gpu::{Gpu, GpuError};
use isacbench::kernels::*;
use isacbench::nets::{Activation, Codebook, Lif, Membrane, Readout};

/// More than any loop may count.
const N: usize = 1 << 17;
/// Rows, samples or parameters of which each thread of a workgroup takes its share.
const SHARED: usize = 1 << 26;
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

type Refused = (&'static str, fn(&Gpu) -> Result<(), GpuError>);

const CASES: [Refused; 25] = [
    ("activity_count", |gpu| {
        let units = activity_count::Units::Spikes;
        activity_count::ActivityCount::new(gpu, &activity_count::Spec { r: 1, m: SHARED, c: 128, units })
            .map(drop)
    }),
    ("advantage_stats", |gpu| {
        let spec = advantage_stats::Spec { m: SHARED, ..advantage_stats::DEFAULT };
        advantage_stats::AdvantageStats::new(gpu, &spec).map(drop)
    }),
    ("bernoulli_head", |gpu| {
        let spec = bernoulli_head::Spec { a: N, ..bernoulli_head::DEFAULT };
        bernoulli_head::BernoulliHead::new(gpu, &spec).map(drop)
    }),
    ("bernoulli_policy_loss", |gpu| {
        let spec = bernoulli_policy_loss::Spec { a: N, ..bernoulli_policy_loss::DEFAULT };
        bernoulli_policy_loss::BernoulliPolicyLoss::new(gpu, &spec).map(drop)
    }),
    ("column_sum", |gpu| {
        column_sum::ColumnSum::new(gpu, &column_sum::Spec { r: 1, m: SHARED, c: 128 }).map(drop)
    }),
    ("ddpg_act", |gpu| ddpg_act::DdpgAct::new(gpu, &ddpg_act::Spec { r: 1, b: 1, a: N }).map(drop)),
    ("dense_backward_input", |gpu| {
        let act = Activation::Tanh;
        let spec = dense_backward_input::Spec { r: 1, m: 8, i: 8, o: N, p: 9 * N, act };
        dense_backward_input::DenseBackwardInput::new(gpu, &spec).map(drop)
    }),
    ("dense_backward_weights", |gpu| {
        let spec = dense_backward_weights::Spec { r: 1, m: N, i: 8, o: 8, p: 72, s: 1, b_scale: 1.0 };
        dense_backward_weights::DenseBackwardWeights::new(gpu, &spec).map(drop)
    }),
    ("dense_forward", |gpu| {
        let spec =
            dense_forward::Spec { r: 1, m: 8, i: N, o: 8, p: 9 * N, act: Activation::Tanh, b_scale: 1.0 };
        dense_forward::DenseForward::new(gpu, &spec).map(drop)
    }),
    ("dqn_act", |gpu| {
        let codebook = Codebook {
            factors: 1,
            parts: 1,
            width: 1,
            beams: vec![0.0; N],
            levels: vec![0.0],
            additive: false,
        };
        dqn_act::DqnAct::new(gpu, &dqn_act::Spec { r: 1, b: 1, codebook }).map(drop)
    }),
    ("expert_mix_backward", |gpu| {
        let spec = expert_mix_backward::Spec { c: N, ..expert_mix_backward::DEFAULT };
        expert_mix_backward::ExpertMixBackward::new(gpu, &spec).map(drop)
    }),
    ("gae", |gpu| gae::Gae::new(gpu, &gae::Spec { t: N, r: 1, b: 1 }).map(drop)),
    ("gaussian_head", |gpu| {
        gaussian_head::GaussianHead::new(gpu, &gaussian_head::Spec { r: 1, b: 1, a: N, p: N, behind: 0 })
            .map(drop)
    }),
    ("grad_join", |gpu| grad_join::GradJoin::new(gpu, &grad_join::Spec { r: 1, p: SHARED }).map(drop)),
    ("grad_norm", |gpu| {
        let spec = grad_norm::Spec { r: 1, p: SHARED, split: 1, joint: false };
        grad_norm::GradNorm::new(gpu, &spec).map(drop)
    }),
    ("grad_reduce", |gpu| {
        grad_reduce::GradReduce::new(gpu, &grad_reduce::Spec { r: 1, p: 1, s: N }).map(drop)
    }),
    ("metrics_reduce", |gpu| {
        let spec = metrics_reduce::Spec { r: 1, metric_rows: 1, b: SHARED };
        metrics_reduce::MetricsReduce::new(gpu, &spec).map(drop)
    }),
    ("minibatch_gather", |gpu| {
        let spec = minibatch_gather::Spec { o: N, ..minibatch_gather::DEFAULT };
        minibatch_gather::MinibatchGather::new(gpu, &spec).map(drop)
    }),
    ("population_backward", |gpu| {
        let of = population_forward::Spec { m: 1 << 21, ..population_forward::DEFAULT };
        population_backward::PopulationBackward::new(gpu, &population_backward::Spec { of, slices: 1 })
            .map(drop)
    }),
    ("ppo_policy_loss", |gpu| {
        let spec = ppo_policy_loss::Spec { a: N, p: N, ls_off: 0, ..ppo_policy_loss::DEFAULT };
        ppo_policy_loss::PpoPolicyLoss::new(gpu, &spec).map(drop)
    }),
    ("joint_policy_loss", |gpu| {
        let spec = joint_policy_loss::Spec { a: N, p: N, ls_off: 0, ..joint_policy_loss::DEFAULT };
        joint_policy_loss::JointPolicyLoss::new(gpu, &spec).map(drop)
    }),
    ("replay_gather", |gpu| {
        let mut spec = replay_gather::DEFAULT;
        spec.row.obs = N;
        replay_gather::ReplayGather::new(gpu, &spec).map(drop)
    }),
    ("spike_backward_weights", |gpu| {
        let spec = spike_backward_weights::Spec { r: 1, m: N, i: 8, o: 8, p: 72, steps: 6, slices: 1 };
        spike_backward_weights::SpikeBackwardWeights::new(gpu, &spec).map(drop)
    }),
    ("spike_forward", |gpu| {
        let spec =
            spike_forward::Spec { r: 1, m: 8, i: N, o: 8, p: 9 * N, lif: LIF, keep: false, trace: false };
        spike_forward::SpikeForward::new(gpu, &spec).map(drop)
    }),
    ("td_loss", |gpu| td_loss::TdLoss::new(gpu, &td_loss::Spec { l: N, ..td_loss::DEFAULT }).map(drop)),
];

#[test]
fn software_refuses_with_an_error_that_names_the_kernel() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (kernel, make) in CASES {
        match make(gpu) {
            Err(GpuError::Unsupported { what, .. }) if gpu.is_software() => {
                assert!(
                    what.contains(&format!("'{kernel}'")) && what.contains("loop iterations"),
                    "{kernel}: {what}"
                );
            }
            // Hardware has no such limit: whatever else it lacks, it is not that.
            Err(GpuError::Unsupported { what, .. }) => {
                assert!(!what.contains("loop iterations"), "{kernel}: {what}")
            }
            Err(e) => panic!("{kernel}: {e}"),
            Ok(()) => assert!(!gpu.is_software(), "{kernel} takes loops that software Vulkan ends early"),
        }
    }
}

/// A size that no adapter can dispatch or index is an error as well.
#[test]
fn too_many_workgroups_and_elements_are_errors() {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec =
        dense_forward::Spec { r: 1, m: 1 << 30, i: 1, o: 1, p: 2, act: Activation::None, b_scale: 1.0 };
    let groups = dense_forward::DenseForward::new(gpu, &spec).map(drop).unwrap_err().to_string();
    assert!(groups.contains("'dense_forward'") && groups.contains("workgroups"), "{groups}");
    let current = lif_forward::Current::Constant;
    let spec = lif_forward::Spec { r: 1, m: 1 << 24, n: 128, lif: LIF, current, keep: true, trace: false };
    let index = lif_forward::LifForward::new(gpu, &spec).map(drop).unwrap_err().to_string();
    assert!(index.contains("'lif_forward'") && index.contains("elements"), "{index}");
}
