//! isacbench: vectorised environments of integrated sensing and communication, the policies that control them, and their training, on
//! GPUs (WGSL kernels through wgpu) and CPUs, with the same arguments in the same order.
//!
//! How to read this crate, in the order data flows:
//!
//! 1. [`config`]: TOML with units → typed configuration; [`agents`]: the rows of the results, by id.
//! 2. [`task`]: physics and step contract; one source for f64, f32 and vector lanes ([`real`]), noise from [`philox`].
//! 3. [`policy`]: parameter layouts and the fast dense layers of the CPU.
//! 4. [`kernels`]: one file per GPU kernel with its CPU twin, tolerance and check; their shaders are in `shaders/`.
//! 5. [`learn`]: PPO, DDPG and DQN as lists of these, on the CPU and on the [`gpu`]; [`train`](mod@train) is the main path, top to bottom.
//! 6. [`evaluate`](mod@evaluate): Monte Carlo evaluation; [`energy`]: operations and joules; [`reproduce`](mod@reproduce): a whole paper; [`rows`], [`stats`], `report`: tables and figures;
//!    [`bench`]: what `cargo bench` has left, as rows, ratios and joules.
//!
//! A grid of configurations, agents and seeds is a `sweep`, which survives interruption and is spread over machines.
//!
//! [`guide`] shows how to add an agent, a task and a kernel.
//!
//! Dimension letters everywhere: R replicas, B environments, T slots, K vehicles, N antennas, O observation, A action, M minibatch, P parameters.

pub mod bench;
pub mod cli;
pub mod config;
pub mod energy;
pub mod env;
pub mod files;
pub mod golden;
pub mod gpu;
pub mod guide;
pub mod kernels;
pub mod learn;
pub mod nets;
pub mod num;
#[cfg(feature = "report")]
pub mod report;
pub mod run;
pub mod tasks;
