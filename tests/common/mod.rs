//! What the GPU tests share: one device per test binary, skipping that is seen, and assertions over comparisons.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::gpu::{DeviceChoice, Gpu};
use isacbench::kernels::Comparison;
use std::sync::{Arc, OnceLock};

/// The device, or `None` with a printed line. `REQUIRE_GPU=1` turns a missing device into a failure; `ISACBENCH_DEVICE` names an adapter.
pub fn gpu_or_skip() -> Option<&'static Gpu> {
    shared_gpu().map(|gpu| &**gpu)
}

/// The same, for what keeps the device.
pub fn shared_gpu() -> Option<&'static Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| {
        let choice = match std::env::var("ISACBENCH_DEVICE") {
            Ok(name) => name.parse().unwrap(),
            Err(_) => DeviceChoice::Gpu,
        };
        match Gpu::open(&choice) {
            Ok(gpu) => Some(Arc::new(gpu)),
            Err(e) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
                panic!("REQUIRE_GPU=1 and: {e}")
            }
            Err(e) => {
                eprintln!("SKIPPED (no GPU): {e}");
                None
            }
        }
    });
    gpu.as_ref()
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
