//! How to add an agent, a task and a kernel, each as a small program that runs.
//!
//! # An agent
//!
//! A row of task misac is a file below `src/tasks/misac/agents/` with a `pub const AGENT`, and its line in
//! [`AGENTS`](crate::tasks::misac::agents::AGENTS); training, evaluation, the command line, sweeps and the report find
//! it there. One that learns says what trains it ([`Kind::Learned`](crate::run::task::Kind::Learned)), here by its
//! networks ([`Architecture`](crate::nets::experts::Architecture)); one that does not makes a schedule. Kernels for it
//! are not needed: an agent whose decisions no kernel makes
//! ([`FixedSchedule::rule`](crate::tasks::misac::agents::FixedSchedule::rule)) is evaluated on the CPU, and says so.
//! This one takes a frame of the vehicle whose picture is oldest, one vehicle a slot:
//!
//! ```
//! use isacbench::config::Layered;
//! use isacbench::run::task::{Kind, Task, units};
//! use isacbench::run::watch::Quiet;
//! use isacbench::tasks::misac::agents::{FixedSchedule, Make, MisacAgent, Slot};
//! use isacbench::tasks::misac::config::MisacConfig;
//! use std::sync::Arc;
//!
//! struct Oldest;
//!
//! impl FixedSchedule for Oldest {
//!     fn decide(&self, now: &Slot, _: &[u32], pi: &mut [f32]) {
//!         let oldest = (0..pi.len()).max_by_key(|k| now.age(*k));
//!         pi.fill(0.0);
//!         pi[oldest.expect("a vehicle")] = 1.0;
//!     }
//! }
//!
//! const AGENT: MisacAgent = MisacAgent {
//!     id: "oldest",
//!     summary: "one frame a slot, of the vehicle with the oldest one",
//!     kind: Kind::Fixed(Make(|_, _| Ok(Arc::new(Oldest)))),
//! };
//!
//! let config = MisacConfig::load(None, &["task.slots=60".into(), "evaluate.episodes=8".into()])?;
//! // One replica, with seed 7, on the CPU.
//! let done = &MisacConfig::evaluate(&AGENT, &units(&[config], &[(0.0, 7)]), None, None, &Quiet)?[0];
//! let mean = |name: &str| done.metrics.iter().find(|m| m.0 == name).expect("a metric").1.mean;
//! // A frame of 10 J in every slot, and what four staggered ages cost beside it.
//! assert!(mean("energy_j") > 10.0 && mean("energy_j") < 40.0);
//! assert!(mean("cost_j") >= mean("energy_j"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A row of task v2x is a line in [`AGENTS`](crate::tasks::v2x::agents::AGENTS). One that learns is
//! made of existing algorithms (`src/tasks/v2x/agents/table.rs`); one that does not is a function of what the last echo
//! said, without a kernel. This one steers as `last-estimate` does and gives more power to vehicles that are
//! far:
//!
//! ```
//! use isacbench::config::Layered;
//! use isacbench::run::task::{Kind, Task, units};
//! use isacbench::run::watch::Quiet;
//! use isacbench::tasks::v2x::agents::{Fixed, Rule, Slot, V2xAgent};
//! use isacbench::tasks::v2x::config::V2xConfig;
//! use isacbench::tasks::v2x::physics::Beam;
//!
//! fn act(now: &Slot, _: &mut [f32], action: &mut [f32]) {
//!     let (k, echo) = (now.task.vehicles, now.full());
//!     let (angles, powers) = action.split_at_mut(k);
//!     angles.copy_from_slice(&echo.obs_theta[..k]);
//!     let total: f32 = echo.obs_d[..k].iter().map(|d| d * d).sum();
//!     for (p, d) in powers.iter_mut().zip(&echo.obs_d) {
//!         *p = now.params.p_max_w * d * d / total;
//!     }
//! }
//!
//! const AGENT: V2xAgent = V2xAgent {
//!     id: "far-first",
//!     summary: "steer at the last echo's angle, power as the square of its distance",
//!     kind: Kind::Fixed(Fixed::Rule(Rule { beam: Beam::Steer, memory: |_| 0, act })),
//! };
//!
//! let config = V2xConfig::load(None, &["evaluate.episodes=64".into()])?;
//! let mean = |agent: &V2xAgent, name: &str| -> Result<f64, Box<dyn std::error::Error>> {
//!     let done = V2xConfig::evaluate(agent, &units(&[config.clone()], &[(config.swept(), 7)]), None, None, &Quiet)?;
//!     Ok(done[0].metrics.iter().find(|m| m.0 == name).expect("a metric").1.mean)
//! };
//! let equal = V2xConfig::agent("last-estimate").expect("a row of the table");
//! // The same echoes and the same episodes, other powers; and no rule exceeds the bound.
//! let (rate, bound) = ("sum_rate_bps_hz", "upper_bound_bps_hz");
//! assert_ne!(mean(&AGENT, rate)?, mean(equal, rate)?);
//! assert_eq!(mean(&AGENT, bound)?, mean(equal, bound)?);
//! assert!(mean(&AGENT, rate)? < mean(&AGENT, bound)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A task
//!
//! A task from outside the crate is one folder, as `examples/own_task/`: physics, a kernel, configuration, agents and a
//! `main` that hands it to [`cli`](crate::cli); all commands then know it. The tasks of the crate stand in
//! [`tasks`](crate::tasks::ALL) in the same way. Learners, evaluation and sweeps ask nothing of a task but its
//! [`Env`](crate::env::Env) (sizes, spaces, names of metrics, reset and step of a range of environments, its kernels if
//! it has any) and its [`Task`](crate::run::task::Task), which its configuration implements: presets
//! ([`Layered`](crate::config::Layered)), the [`ranges`](crate::config::ranges) of its numbers, its agents, the columns
//! of its [`rows`](crate::run::rows).
//!
//! Its equations are written once over [`Real`](crate::num::real::Real) lanes: in f64 they judge the kernels, in f32
//! they are the kernels' twins, and in vector lanes the CPU backend. Noise comes from counters
//! ([`draw`](crate::num::philox::draw)), so that a slot of an environment is the same wherever it is computed. Here, a
//! target that drifts and is charged for its distance from where an agent looks:
//!
//! ```
//! use isacbench::num::philox::{Stream, draw};
//! use isacbench::num::real::{F32Lanes, LaneKernel, Real, Word, run_lanes};
//!
//! /// One slot: the target moves by N(0, 0.1²); the reward is minus the squared distance, m².
//! #[inline(always)]
//! fn step<V: Real>(key: [u32; 2], env: V::Word, clock: u32, look: V, target: &mut V) -> V {
//!     let w = draw(key, Stream::Motion, env, clock, 0);
//!     *target += V::splat(0.1) * V::normal_pair(w[0], w[1]).0;
//!     let miss = *target - look;
//!     -(miss * miss)
//! }
//!
//! /// All environments with the widest vectors of the machine.
//! struct Step<'a> { targets: &'a mut [f32], rewards: &'a mut [f32] }
//!
//! impl LaneKernel for Step<'_> {
//!     type Out = ();
//!     #[inline(always)]
//!     fn run<V: F32Lanes>(self) {
//!         for from in (0..self.targets.len()).step_by(V::LANES) {
//!             let mut x = V::load(&self.targets[from..]);
//!             let r = step([7, 0], V::Word::iota(from as u32), 3, V::splat(0.0), &mut x);
//!             x.store(&mut self.targets[from..]);
//!             r.store(&mut self.rewards[from..]);
//!         }
//!     }
//! }
//!
//! let (mut targets, mut rewards) = ([0.5f32; 32], [0f32; 32]);
//! run_lanes(Step { targets: &mut targets, rewards: &mut rewards });
//! for env in 0..32 {
//!     let (mut x32, mut x64) = (0.5f32, 0.5f64);
//!     let r = step([7, 0], env, 3, 0.0f32, &mut x32);
//!     step([7, 0], env, 3, 0.0f64, &mut x64);
//!     // The same bits in lanes and alone, and the same draw in double precision.
//!     assert_eq!((targets[env as usize], rewards[env as usize]), (x32, r));
//!     assert!((f64::from(x32) - x64).abs() < 1e-6);
//! }
//! ```
//!
//! In `examples/own_task/`, some 600 lines with its test, `physics.rs` has equations as these, as
//! [`Physics`](crate::env::lanes::Physics), of which [`PlainEnv`](crate::env::lanes::PlainEnv) makes the environment;
//! its kernel is the same equations once more. `task.rs` has the configuration, whose preset names of a learner's
//! section only what differs from [`LEARNERS`](crate::config::LEARNERS), two learners made of existing parts, and rules
//! and a bound as [`Acting`](crate::run::task::Acting). `main.rs` calls [`cli::main`](crate::cli::main). `tests.rs`
//! asks [`run::check`](crate::run::check) whether the environment keeps its contract and the kernel is the same
//! environment. A task that needs more than this implements [`Env`](crate::env::Env) itself, as the crate's own tasks
//! do, and one that is evaluated in its own way overrides [`Task::evaluate`](crate::run::task::Task::evaluate).
//!
//! # A kernel
//!
//! A kernel has one name in every room: `shaders/NAME.wgsl`, `src/kernels/NAME.rs` with sizes, host side, twin,
//! tolerance, `cost` and `check`, a line in [`REGISTRY`](crate::kernels::REGISTRY), `tests/equiv/NAME.rs` and a case in
//! `benches/performance/kernels/`. One that belongs to a task stands in `shaders/TASK/` and `src/tasks/TASK/kernels/`,
//! with its line in the table there. The core of it, without the files:
//!
//! ```
//! use isacbench::gpu::{DeviceChoice, Gpu, Prelude, Source, fold_groups};
//! use isacbench::kernels::{SHARED, Tol, compare::compare};
//! use isacbench::num::real::Real;
//!
//! const TEXT: &str = "
//! ##import index
//! struct Imm { a: f32 }
//! var<immediate> imm: Imm;
//! @group(0) @binding(0) var<storage, read> x: array<f32>;
//! @group(0) @binding(1) var<storage, read_write> y: array<f32>;
//! @compute @workgroup_size(WG) fn scaled_sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
//!     let i = linear_id(id, groups);
//!     if (i >= N) { return; }
//!     y[i] += imm.a * x[i];
//! }";
//! // In a file of its own: `shader!("shaders/", "scaled_sum")`. Imports of a task stand in a list of their own beside what all kernels share.
//! const SHADER: Source = Source { name: "scaled_sum", file: "guide.rs", text: TEXT, imports: &[SHARED] };
//!
//! /// The twin: y ← y + a·x, buffers in binding order, for f32 and f64.
//! fn scaled_sum_cpu<F: Real<Elem = F>>(a: F, x: &[F], y: &mut [F]) {
//!     y.iter_mut().zip(x).for_each(|(y, x)| *y += a * *x);
//! }
//!
//! const TOL: Tol = Tol { abs: 0.0, rel: 2.4e-7, why: "a product and a sum, rounded to 6e-8 each, of terms no larger than the result" };
//!
//! // Any adapter, software Vulkan included; without one there is nothing to compare.
//! let Ok(gpu) = Gpu::open(&DeviceChoice::Gpu) else { return Ok(()) };
//! let x: Vec<f32> = (0..1000).map(|i| i as f32 / 7.0).collect();
//! let kernel = gpu.kernel(&SHADER, &Prelude::new().u32("WG", 64).u32("N", x.len()))?;
//! let (x_buf, y_buf) = (gpu.upload("x", &[1000], &x)?, gpu.upload("y", &[1000], &x)?);
//! let bound = kernel.bind(&gpu, &[x_buf.of_len(1000), y_buf.of_len(1000)]);
//! gpu.run(|pass| bound.record(pass, fold_groups(1000, 64), &[3f32.to_bits()]))?;
//!
//! let x64: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
//! let mut want = x64.clone();
//! scaled_sum_cpu(3.0, &x64, &mut want);
//! assert!(compare("y", &gpu.read(&y_buf)?, &want, TOL).passed());
//! # Ok::<(), isacbench::gpu::GpuError>(())
//! ```
