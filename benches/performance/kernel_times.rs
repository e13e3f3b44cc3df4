//! Every kernel of the registry on every adapter, one dispatch an iteration, after its check. The CPU backend has no such kernels: what does their work
//! there is in the other families (the twins judge, they do not run).

use crate::harness::{Bench, Effort, Passes, Ready, Subject};
use crate::kernels;
use isacbench::bench::{Section, Work, check};
use isacbench::kernels::REGISTRY;

/// Kernels that belong to a task.
fn task(stem: &str) -> Option<&'static str> {
    let misac = ["spatial_loss", "slot_gather", "obs_mask", "value_iteration"];
    match stem {
        s if s.starts_with("v2x_") => Some("v2x"),
        s if s.starts_with("misac_") || misac.contains(&s) => Some("misac"),
        _ => None,
    }
}

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let Some(gpu) = place.gpu() else { continue };
        let device = place.device();
        let at = bench.grid.kernels(device.kind);
        for entry in REGISTRY {
            let stem = entry.kernel;
            let described = kernels::build(None, at, stem).expect("there is no device that could fail");
            let cost = described.cost;
            let subject = Subject {
                group: stem.into(),
                section: Section::Kernel,
                task: task(stem),
                policy: None,
                sizes: described.sizes,
                // Integer work has no FLOP/s.
                work: Work {
                    flops: cost.flops.filter(|f| *f > 0.0),
                    bytes: Some(cost.bytes),
                    ..Work::default()
                },
            };
            bench.measure(subject, device.clone(), Effort::SHORT, |checks| {
                let check = checks.once(format!("{stem} {}", gpu.info.name), || check::kernel(gpu, stem))?;
                let record = kernels::build(Some(gpu), at, stem)?.record.expect("there is an adapter");
                let timed = Passes::short(gpu, record);
                Ok(Ready { check: Some(check), timed: Box::new(timed) })
            });
        }
    }
}
