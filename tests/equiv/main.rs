//! Everything that runs on a GPU against what the CPU says: a module for each kernel, of the same name as its shader,
//! its host file and its bench, and for what the kernels make together (`ppo`, `off_policy`, `apg`, `misac`,
//! `misac_evaluate`, `spiking`, `precision`, `determinism`, `subgroups`, `least`, `loop_budget`, `env_contract`,
//! `live`), and the benches' cases. One binary, since each links all of wgpu: `cargo test --test equiv gae::` runs one
//! kernel's.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/lif.rs"]
mod neurons;
#[path = "../common/off_policy.rs"]
mod small_off_policy;
#[path = "../common/ppo.rs"]
mod small_ppo;

mod activity_count;
mod adam;
mod advantage_stats;
mod apg;
mod bench_cases;
mod bernoulli_head;
mod bernoulli_policy_loss;
mod column_sum;
mod critic_input;
mod critic_input_backward;
mod ddpg_act;
mod dense_backward_input;
mod dense_backward_weights;
mod dense_forward;
mod dense_forward_f16;
mod determinism;
mod dqn_act;
mod env_contract;
mod expert_mix;
mod expert_mix_backward;
mod gae;
mod gaussian_head;
mod grad_join;
mod grad_norm;
mod grad_reduce;
mod joint_policy_loss;
mod kl_control;
mod least;
mod lif_backward;
mod lif_forward;
#[cfg(feature = "report")]
mod live;
mod loop_budget;
mod lstm_backward;
mod lstm_forward;
mod math_eval;
mod metrics_accumulate;
mod metrics_reduce;
mod minibatch_gather;
mod minibatch_scalars;
mod misac;
mod misac_accumulate;
mod misac_evaluate;
mod misac_gain;
mod misac_reset;
mod misac_schedule;
mod misac_step;
mod normal_fill;
mod obs_mask;
mod off_policy;
mod philox_fill;
mod polyak;
mod population_backward;
mod population_forward;
mod ppo;
mod ppo_policy_loss;
mod ppo_value_loss;
mod precision;
mod quantile_count;
mod readout_carried;
mod replay_gather;
mod replay_write;
mod slot_gather;
mod spatial_loss;
mod spike_backward_weights;
mod spike_forward;
mod spiking;
mod subgroups;
mod td_loss;
mod v2x_gradient;
mod v2x_reference;
mod v2x_reset;
mod v2x_rollout;
mod v2x_scene;
mod v2x_slots;
mod v2x_step;

#[test]
fn every_kernel_has_a_module_here() {
    let modules = include_str!("main.rs");
    for kernel in isacbench::tasks::kernels().map(|entry| entry.kernel) {
        assert!(modules.contains(&format!("\nmod {kernel};\n")), "no tests/equiv/{kernel}.rs");
    }
}
