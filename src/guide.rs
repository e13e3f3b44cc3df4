//! How to add an agent, a task and a kernel, each as a small program that runs.
//!
//! # An agent
//!
//! A row of task misac is a file below `src/tasks/misac/agents/` with a `pub const AGENT`, and its line in [`AGENTS`](crate::tasks::misac::agents::AGENTS); training,
//! evaluation, the command line and the report find it there. One that learns names its networks
//! ([`Architecture`](crate::nets::experts::Architecture)); one that does not makes a schedule. Kernels for it are not needed: an agent whose
//! decisions no kernel makes ([`FixedSchedule::rule`](crate::tasks::misac::agents::FixedSchedule::rule)) is evaluated on the CPU, and says so. This one takes a
//! frame of the vehicle whose picture is oldest, one vehicle a slot:
//!
//! ```
//! use isacbench::tasks::misac::agents::{FixedSchedule, MisacAgent, MisacKind, Slot};
//! use isacbench::config::{Layered};
//! use isacbench::tasks::misac::config::{MisacConfig};
//! use isacbench::tasks::misac::evaluate::{COST, Controller, ENERGY, Job, evaluate};
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
//!     kind: MisacKind::Fixed(|_, _| Ok(Arc::new(Oldest))),
//! };
//!
//! let config = MisacConfig::load(None, &["task.slots=60".into()])?;
//! let (task, params) = (config.task.spec(), config.task.params([7, 0]));
//! let MisacKind::Fixed(make) = AGENT.kind else { unreachable!() };
//! let schedule = [make(&task, &params)?];
//! let job = Job { task, replicas: vec![params], controller: Controller::Fixed(&schedule), episodes: 8, gain_stride: 20 };
//! let outcome = &evaluate(&job, None, &|_| {})?[0];
//! // A frame of 10 J in every slot, and what four staggered ages cost beside it.
//! assert!(outcome.metrics[ENERGY].mean > 10.0 && outcome.metrics[ENERGY].mean < 40.0);
//! assert!(outcome.metrics[COST].mean >= outcome.metrics[ENERGY].mean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A row of task v2x is a file below `src/tasks/v2x/agents/` and its line in [`AGENTS`](crate::tasks::v2x::agents::AGENTS). One that learns says what makes its
//! algorithm, out of the parts that there are ([`V2xKind::Learned`](crate::tasks::v2x::agents::V2xKind), `src/tasks/v2x/agents/ppo.rs`); one that does not is a
//! function of what the last echo said, without a kernel. This one steers as `last-estimate` does and gives more power to vehicles that are far:
//!
//! ```
//! use isacbench::tasks::v2x::agents::{Rule, Slot, V2xAgent, V2xKind};
//! use isacbench::tasks::v2x::config::{V2xConfig};
//! use isacbench::config::{Layered};
//! use isacbench::tasks::v2x::evaluate::{Controller, Job, evaluate};
//! use isacbench::tasks::v2x::physics::{Beam, metric};
//! use isacbench::tasks::v2x::reference::Reference;
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
//!     kind: V2xKind::Rule(Rule { beam: Beam::Steer, memory: |_| 0, act }),
//! };
//!
//! let config = V2xConfig::load(None, &[])?;
//! let job = |controller| Job {
//!     task: config.task.spec(),
//!     replicas: vec![config.task.params([7, 0])],
//!     controller,
//!     episodes: 64,
//! };
//! let V2xKind::Rule(rule) = AGENT.kind else { unreachable!() };
//! let far = &evaluate(&job(Controller::Rule(rule)), None, &|_| {})?[0].metrics;
//! let equal = &evaluate(&job(Controller::Reference(Reference::LastEstimate)), None, &|_| {})?[0].metrics;
//! // The same echoes and the same episodes, other powers; and no rule exceeds the bound.
//! assert_ne!(far[metric::SUM_RATE].mean, equal[metric::SUM_RATE].mean);
//! assert_eq!(far[metric::UPPER_BOUND].mean, equal[metric::UPPER_BOUND].mean);
//! assert!(far[metric::SUM_RATE].mean < far[metric::UPPER_BOUND].mean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A task
//!
//! A task is its equations, written once over [`Real`](crate::num::real::Real) lanes: in f64 they judge the kernels, in f32 they are the kernels' twins, and in vector lanes the CPU
//! backend. Noise comes from counters ([`draw`](crate::num::philox::draw)), so that a slot of an environment is the same wherever it is computed. Here, a
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
//! What else a task has: sizes and parameters (`MisacSpec`, `MisacParams` in [`task::misac`](crate::tasks::misac::physics)), a typed configuration with presets
//! ([`Layered`](crate::config::Layered)), kernels for reset and step, its rows ([`rows`](crate::run::rows)), and its agents.
//!
//! # A kernel
//!
//! A kernel has one name in every room: `shaders/NAME.wgsl`, `src/kernels/NAME.rs` with sizes, host side, twin, tolerance, `cost` and `check`, a line in
//! [`REGISTRY`](crate::kernels::REGISTRY), `tests/equiv/NAME.rs` and a case in `benches/performance/kernels/`. The core of it, without the files:
//!
//! ```
//! use isacbench::gpu::{DeviceChoice, Gpu, Prelude, fold_groups};
//! use isacbench::kernels::{Tol, compare::compare};
//! use isacbench::num::real::Real;
//!
//! const SOURCE: &str = "
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
//! let kernel = gpu.kernel_from("scaled_sum", SOURCE, &Prelude::new().u32("WG", 64).u32("N", x.len()))?;
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
