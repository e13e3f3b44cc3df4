//! The library from outside: physics, agents and learners against independent references, the energy account, the
//! shaders' text, sweeps, and files. A module for each subject, one binary, since each links all of wgpu and polars:
//! `cargo test --test library golden::` runs one subject's. Kernels against their CPU twins are in `tests/equiv`, the
//! program and its pages in `tests/program`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/lif.rs"]
mod neurons;
#[path = "../common/off_policy.rs"]
mod small_off_policy;
#[path = "../common/ppo.rs"]
mod small_ppo;

mod agents;
mod bad_config;
mod bench_checks;
mod committed_pages;
mod comparer_selftest;
mod docs;
mod energy;
mod fuzz_corpus;
mod glossary;
mod golden;
mod golden_v2x;
mod grad_fd;
mod grad_fd_ppo;
mod grad_spiking;
mod invariants;
mod kernel_cost;
mod learning;
#[cfg(feature = "report")]
mod live;
mod misac_agents;
mod misac_choices;
mod misac_learning;
mod networks;
mod off_policy;
mod printed_numbers;
#[cfg(feature = "report")]
mod replay;
mod results_readme;
mod resume;
mod rollout_statistics;
mod shader_layout;
mod shader_lint;
mod spiking_cpu;
mod structure;
mod sweep_memory;
mod sweep_packing;
mod sweep_reads;
mod tune;
mod v2x_choices;
