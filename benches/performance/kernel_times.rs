//! Every kernel of the registry on every adapter, one dispatch an iteration, after its check. The CPU backend has no
//! such kernels: what does their work there is in the other families (the twins judge, they do not run).

use crate::harness::{Bench, Effort, Passes, Ready, Subject};
use crate::kernels;
use isacbench::bench::{Device, Section, Work, check};
use isacbench::gpu::{Gpu, Reduce};
use isacbench::kernels::Entry;
use isacbench::tasks;
use std::sync::Arc;

/// Kernels that belong to a task.
fn task(stem: &str) -> Option<&'static str> {
    let misac = ["spatial_loss", "slot_gather", "obs_mask"];
    match stem {
        s if s.starts_with("v2x_") => Some("v2x"),
        s if s.starts_with("misac_") || misac.contains(&s) => Some("misac"),
        _ => None,
    }
}

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let Some(gpu) = place.gpu() else { continue };
        for entry in tasks::kernels() {
            if let Some(lacks) = entry.lacks(gpu) {
                println!("benches: {} is left out: {} lacks {lacks}", entry.kernel, gpu.info.name);
                continue;
            }
            measure(bench, gpu, &place.device(), entry, entry.kernel.into());
            // A sum over a workgroup in the form that the device does not take by itself, for comparison.
            for form in Reduce::ALL.into_iter().filter(|f| *f != gpu.reduce && entry.adds()) {
                if let Ok(gpu) = gpu.with_reduce(form) {
                    let group = format!("{}_{}", entry.kernel, form.name());
                    measure(bench, &Arc::new(gpu), &place.device(), entry, group);
                }
            }
        }
    }
}

fn measure(bench: &mut Bench, gpu: &Arc<Gpu>, device: &Device, entry: &Entry, group: String) {
    let stem = entry.kernel;
    let at = bench.grid.kernels(device.kind);
    let described = kernels::build(None, at, stem).expect("there is no device that could fail");
    let cost = described.cost;
    let subject = Subject {
        group,
        section: Section::Kernel,
        task: task(stem),
        policy: None,
        sizes: described.sizes,
        // Integer work has no FLOP/s.
        work: Work { flops: cost.flops.filter(|f| *f > 0.0), bytes: Some(cost.bytes), ..Work::default() },
    };
    bench.measure(subject, device.clone(), Effort::SHORT, |checks| {
        let check = checks
            .once(format!("{stem} {}", gpu.info.name), || check::kernels(gpu, tasks::kernels(), &[stem]))?;
        let record = kernels::build(Some(gpu), at, stem)?.record.expect("there is an adapter");
        let timed = Passes::short(gpu, record);
        Ok(Ready { check: Some(check), timed: Box::new(timed) })
    });
}
