//! isacbench: vectorised environments of integrated sensing and communication, the policies that control them, and
//! their training, on GPUs (WGSL kernels through wgpu) and CPUs, with the same arguments in the same order.
//!
//! How to read this crate: its rooms, each of which imports from those above it in this list and never from one below
//! (`tests/library/structure.rs`).
//!
//! 1. [`num`]: arithmetic written once for f64, f32 and vector lanes, counted random numbers, statistics. [`gpu`]: a
//!    device, its buffers, shaders composed from texts.
//! 2. [`nets`]: where parameters lie in a flat vector, and the fast layers of the CPU. [`env`](mod@env): what is asked
//!    of an environment, and all that a learner knows of one.
//! 3. [`kernels`]: one file for each GPU kernel with its CPU twin, tolerance, check and cost; the shaders are in
//!    `shaders/`.
//! 4. [`config`]: TOML with units → typed configuration.
//! 5. [`learn`]: PPO, DDPG, DQN and mixtures of experts over any [`Env`](env::Env), on the CPU and on a GPU.
//! 6. [`energy`]: operations and joules, counted and measured. [`golden`]: results of other programs that the twins and
//!    kernels must give.
//!    [`exchange`]: policies as ONNX graphs.
//! 7. [`run::rows`]: the tables that jobs leave; `report`: figures and pages made of them.
//! 8. [`run`]: [`run::task`], what jobs ask of a task; [`run::train`](mod@run::train), the main path from top to
//!    bottom; evaluation, whole papers, checkpoints, sweeps, which survive interruption and are spread over machines,
//!    and tuning, which is a sweep of trials.
//! 9. [`bench`](mod@bench): what `cargo bench` has left, as rows, ratios and joules.
//! 10. [`cli`]: the commands, for the tasks that a program hands in.
//! 11. [`tasks`]: a folder each, with physics, kernels, configuration, agents, benches and report. Nothing else names a
//!     task.
//!
//! [`guide`] shows how to add an agent, a task and a kernel.
//!
//! Dimension letters everywhere: R replicas, B environments, T slots, K vehicles, N antennas, O observation, A action,
//! M minibatch, P parameters.

pub mod bench;
pub mod cli;
pub mod config;
pub mod energy;
pub mod env;
pub mod exchange;
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

pub use isacbench_revision::sources;
