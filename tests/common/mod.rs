//! What the GPU tests share: their devices, skipping that is seen, and assertions over comparisons.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::gpu::{DeviceChoice, Gpu};
use isacbench::kernels::Comparison;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The calling test's device, or `None` with a printed line. `REQUIRE_GPU=1` turns a missing device into a failure;
/// `ISACBENCH_DEVICE` names an adapter.
pub fn gpu_or_skip() -> Option<&'static Gpu> {
    shared_gpu().map(|gpu| &**gpu)
}

/// Each software device has threads for all cores.
const MOST_DEVICES: usize = 4;

/// The same, for what keeps the device.
///
/// All tests share one device of hardware. Software Vulkan compiles a shader when it first runs, on the one thread of
/// its device's queue, which is most of what these tests take: of that there is a device for each core up to
/// [`MOST_DEVICES`], and tests take them in turn.
pub fn shared_gpu() -> Option<&'static Arc<Gpu>> {
    static GPUS: OnceLock<Vec<Arc<Gpu>>> = OnceLock::new();
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static TURN: usize = TAKEN.fetch_add(1, Ordering::Relaxed));
    let gpus = GPUS.get_or_init(|| {
        let choice = match std::env::var("ISACBENCH_DEVICE") {
            Ok(name) => name.parse().unwrap(),
            Err(_) => DeviceChoice::Gpu,
        };
        match Gpu::open(&choice) {
            Ok(first) => {
                let further = if first.is_software() {
                    std::thread::available_parallelism().map_or(0, |n| n.get().min(MOST_DEVICES) - 1)
                } else {
                    0
                };
                let open = |_| {
                    Gpu::open(&choice).unwrap_or_else(|e| panic!("a further device of the same adapter: {e}"))
                };
                std::iter::once(first).chain((0..further).map(open)).map(Arc::new).collect()
            }
            Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
                panic!("REQUIRE_GPU=1 and: {e}")
            }
            Err(e) => {
                eprintln!("SKIPPED (no GPU): {e}");
                vec![]
            }
        }
    });
    (!gpus.is_empty()).then(|| &gpus[TURN.with(|t| *t) % gpus.len()])
}

/// Every comparison passed, else a message with the first failures.
pub fn assert_all(case: &str, rows: Result<Vec<Comparison>, isacbench::gpu::GpuError>) {
    let rows = rows.unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(!rows.is_empty(), "{case}: nothing was compared");
    for r in &rows {
        assert!(r.elements > 0, "{case}: '{}' compared no element", r.quantity);
        assert!(
            r.passed(),
            "{case}: '{}' differs: max |err| {:e}, {:.2} of the budget (abs {:e}, rel {:e}: {}); {:?}",
            r.quantity,
            r.max_abs_err,
            r.budget_share,
            r.tol_abs,
            r.tol_rel,
            r.why,
            r.failures
        );
    }
}
